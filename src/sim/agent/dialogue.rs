//! What is said: the agent's replies, and what it believes the caller said. Pure.

use crate::sim::chance::Chance;

/// The lines of one conversation, chosen by the seed and the number of the session.
#[derive(Debug)]
pub struct Dialogue {
    chance: Chance,
    session: String,
    replies_left: usize,
    is_unwanted: bool,
    n_lines: usize,
}

/// The agent's next line.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub text: &'static str,
    /// After it the agent ends the call.
    pub is_last: bool,
}

impl Dialogue {
    /// A dialogue with `turns` replies, least and most.
    pub fn new(chance: Chance, session: u64, turns: (usize, usize)) -> Self {
        let session = session.to_string();
        let n_replies = chance.about(&["replies", &session]).count(turns.0, turns.1);
        Self {
            chance,
            session,
            replies_left: n_replies.max(1),
            is_unwanted: false,
            n_lines: 0,
        }
    }

    pub fn reply(&mut self) -> Reply {
        self.replies_left = self.replies_left.saturating_sub(1);
        let is_last = self.replies_left == 0;
        let lines = match (is_last, self.is_unwanted) {
            (true, true) => LAST_FAREWELLS,
            (true, false) => FAREWELLS,
            (false, _) => REPLIES,
        };
        Reply {
            text: self.line("agent", lines),
            is_last,
        }
    }

    /// What the caller is taken to have said.
    pub fn transcript(&mut self) -> &'static str {
        self.line("caller", CALLER_LINES)
    }

    /// The caller wants no more calls: what they said. The next reply is a farewell for good.
    pub fn refusal(&mut self) -> &'static str {
        self.replies_left = 1;
        self.is_unwanted = true;
        self.line("caller", REFUSALS)
    }

    fn line(&mut self, speaker: &str, lines: &'static [&'static str]) -> &'static str {
        self.n_lines += 1;
        let number = self.n_lines.to_string();
        let draw = self
            .chance
            .about(&["line", speaker, &self.session, &number]);
        draw.pick::<&'static str>(lines)
    }
}

const REPLIES: &[&str] = &[
    "Thank you. May I ask who looks after this at your end?",
    "I understand. Would a short call next week suit you better?",
    "Good to hear. It takes two minutes to explain.",
    "Of course. Which part would you like to know more about?",
    "That makes sense. How are you doing this today?",
    "I see. Shall I send you the details in writing?",
];

const FAREWELLS: &[&str] = &[
    "Thank you for your time. Have a good day, goodbye.",
    "Then I will send it over. Thank you, goodbye.",
    "All clear, I will not keep you any longer. Goodbye.",
];

const LAST_FAREWELLS: &[&str] = &[
    "Understood, you will not be called again. Goodbye.",
    "I have noted that, this was the last call. Goodbye.",
];

const REFUSALS: &[&str] = &[
    "Please do not call me again.",
    "Take me off your list, please.",
];

const CALLER_LINES: &[&str] = &[
    "Yes, hello?",
    "Who is calling, please?",
    "Yes, I have a minute.",
    "What is this about?",
    "That sounds interesting, tell me more.",
    "No, we already have somebody for that.",
    "Could you call again on Thursday?",
    "Please send me an e-mail instead.",
    "I am driving right now.",
    "How much would that cost?",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_ends_after_its_turns_and_repeats_with_the_seed() {
        let lines = || {
            let mut dialogue = Dialogue::new(Chance::seeded(5), 3, (3, 3));
            let caller = dialogue.transcript();
            (
                caller,
                [dialogue.reply(), dialogue.reply(), dialogue.reply()],
            )
        };
        assert_eq!(lines(), lines());
        assert_eq!(lines().1.map(|reply| reply.is_last), [false, false, true]);
    }

    #[test]
    fn after_a_refusal_the_next_line_is_the_last() {
        let mut dialogue = Dialogue::new(Chance::seeded(5), 3, (3, 3));
        assert!(REFUSALS.contains(&dialogue.refusal()));
        let reply = dialogue.reply();
        assert!(reply.is_last && LAST_FAREWELLS.contains(&reply.text));
    }
}
