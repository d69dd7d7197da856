//! How long the agent takes to answer: from the callee's last voice to the first audio of the answer.
//!
//! Pure. A voice is looked for every tenth of a second, and it is known no better than that. What is heard
//! while the agent speaks, and a moment after, may be the agent's own echo and does not count.

use std::time::{Duration, Instant};

/// How long after its end the agent's speech may still come back on the callee's side: on its way there
/// and back, nobody answers sooner.
const ECHO: Duration = Duration::from_millis(300);

/// Who was heard last.
#[derive(Debug)]
pub struct Latency {
    /// When the callee's voice was last heard, unless the agent has spoken since.
    voice_at: Option<Instant>,
    /// Until when a voice may be an echo.
    echo_until: Instant,
    /// The turn that the agent spoke last.
    turn: Option<u64>,
}

impl Latency {
    /// Of a call that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            voice_at: None,
            echo_until: now,
            turn: None,
        }
    }

    /// The callee is heard.
    pub fn voice(&mut self, now: Instant) {
        if now >= self.echo_until {
            self.voice_at = Some(now);
        }
    }

    /// Audio of a turn is heard from and to then. Gives how long the callee waited for it, if it is the
    /// first of the turn and answers what the callee said.
    pub fn speech(&mut self, turn: u64, from: Instant, to: Instant) -> Option<Duration> {
        let voice_at = self.voice_at.take();
        self.echo_until = self.echo_until.max(to + ECHO);
        let before = self.turn.replace(turn);
        // What an agent says first is no answer: the callee said hello.
        before.filter(|before| *before != turn)?;
        voice_at.map(|voice_at| from.saturating_duration_since(voice_at))
    }

    /// The agent answered, and nobody hears it.
    pub fn unheard(&mut self, turn: u64) {
        self.voice_at = None;
        self.turn = Some(turn);
    }

    /// What was still to be heard of the agent is heard no more.
    pub fn cleared(&mut self, now: Instant) {
        self.echo_until = self.echo_until.min(now + ECHO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn began() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A call in which the agent has said its first words, which end then.
    fn greeted(began: Instant) -> Latency {
        let mut latency = Latency::new(began);
        latency.voice(began);
        let first = latency.speech(1, began + ms(500), began + ms(1_500));
        assert_eq!(first, None, "a greeting answers nothing");
        latency
    }

    #[test]
    fn an_answer_is_measured_from_the_callees_last_voice_to_the_first_audio_of_the_turn() {
        let began = began();
        let mut latency = greeted(began);
        for at in [1_800, 1_900, 2_400] {
            latency.voice(began + ms(at));
        }
        let answer = latency.speech(2, began + ms(3_000), began + ms(4_000));
        assert_eq!(answer, Some(ms(600)));
        let more = latency.speech(2, began + ms(4_000), began + ms(5_000));
        assert_eq!(more, None, "the turn goes on");
    }

    #[test]
    fn who_speaks_twice_without_a_word_from_the_callee_answers_nothing() {
        let began = began();
        let mut latency = greeted(began);
        let more = latency.speech(2, began + ms(9_000), began + ms(9_500));
        assert_eq!(more, None);
    }

    #[test]
    fn an_echo_is_not_the_callee() {
        let began = began();
        let mut latency = greeted(began);
        for at in [600, 1_000, 1_500, 1_799] {
            latency.voice(began + ms(at));
        }
        let answer = latency.speech(2, began + ms(5_000), began + ms(6_000));
        assert_eq!(answer, None);
    }

    #[test]
    fn who_interrupts_the_agent_is_heard_when_it_is_silent() {
        let began = began();
        let mut latency = greeted(began);
        latency.speech(1, began + ms(1_500), began + ms(9_000));
        latency.cleared(began + ms(2_000));
        latency.voice(began + ms(2_200));
        latency.voice(began + ms(2_500));
        let answer = latency.speech(2, began + ms(2_900), began + ms(3_000));
        assert_eq!(answer, Some(ms(400)));
    }

    #[test]
    fn an_answer_that_nobody_hears_is_not_waited_for() {
        let began = began();
        let mut latency = greeted(began);
        latency.voice(began + ms(2_000));
        latency.unheard(2);
        let later = latency.speech(3, began + ms(9_000), began + ms(9_500));
        assert_eq!(later, None);
    }

    #[test]
    fn what_the_agent_says_within_its_turn_is_no_answer() {
        let began = began();
        let mut latency = greeted(began);
        latency.voice(began + ms(2_000));
        let more = latency.speech(1, began + ms(2_100), began + ms(2_200));
        assert_eq!(more, None);
    }
}
