//! What was said, as numbered lines.
//!
//! Pure. Lines of both sides share one counter, in the order in which their turns first appeared. A
//! line that changes is given again under its number.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::{attempt::Party, event::TranscriptLine};

/// How many of the agent's latest turns can still be corrected.
const MAX_KEPT_TURNS: usize = 32;

/// The lines of one call so far.
#[derive(Debug, Default)]
pub struct Transcript {
    n_lines: u32,
    callee: Option<Line>,
    agent: BTreeMap<u64, AgentLine>,
    cut_short: BTreeSet<u64>,
    /// How long the callee waited for a turn of the agent.
    latencies: BTreeMap<u64, Duration>,
}

#[derive(Debug)]
struct Line {
    number: u32,
    text: String,
}

#[derive(Debug)]
struct AgentLine {
    line: Line,
    interrupted: bool,
    latency: Option<Duration>,
}

impl Transcript {
    /// The callee said something. Text that may still change is replaced by what follows, up to the
    /// text that is final.
    pub fn callee_said(&mut self, text: &str, is_final: bool) -> Option<TranscriptLine> {
        let (number, is_news) = match &self.callee {
            Some(open) => (open.number, open.text != text || is_final),
            None => (0, !text.is_empty()),
        };
        if !is_news {
            return None;
        }
        let number = if number == 0 {
            self.next_number()
        } else {
            number
        };
        self.callee = (!is_final).then(|| Line {
            number,
            text: text.to_owned(),
        });
        Some(callee_line(number, text, is_final))
    }

    /// The agent's text of a turn, as it intends to say it.
    pub fn agent_said(&mut self, turn: u64, text: &str) -> Option<TranscriptLine> {
        let is_known = self.agent.get(&turn);
        let is_news = is_known.map_or(!text.is_empty(), |known| known.line.text != text);
        if !is_news {
            return None;
        }
        let interrupted = self.cut_short.contains(&turn);
        Some(self.set_agent_line(turn, text, interrupted))
    }

    /// What the agent really said of a turn that was cut short. Of a turn that is not known here it
    /// means the latest one.
    pub fn agent_corrected(&mut self, turn: u64, text: &str) -> Option<TranscriptLine> {
        let turn = if self.agent.contains_key(&turn) {
            turn
        } else {
            self.agent.keys().next_back().copied().unwrap_or(turn)
        };
        let is_news = self
            .agent
            .get(&turn)
            .is_none_or(|known| known.line.text != text || !known.interrupted);
        is_news.then(|| self.set_agent_line(turn, text, true))
    }

    /// The callee waited so long for a turn of the agent. Its text may be known by now, or not.
    pub fn answered_after(&mut self, turn: u64, latency: Duration) -> Option<TranscriptLine> {
        self.latencies.insert(turn, latency);
        if self.latencies.len() > MAX_KEPT_TURNS {
            self.latencies.pop_first();
        }
        let known = self.agent.get_mut(&turn)?;
        known.latency = Some(latency);
        Some(known.to_line())
    }

    /// The callee cut these turns of the agent short: part of them was never heard.
    pub fn cut_short(&mut self, turns: &BTreeSet<u64>) -> Vec<TranscriptLine> {
        self.cut_short.extend(turns);
        while self.cut_short.len() > MAX_KEPT_TURNS {
            self.cut_short.pop_first();
        }
        turns
            .iter()
            .filter_map(|turn| {
                let known = self.agent.get_mut(turn)?;
                let is_news = !known.interrupted;
                known.interrupted = true;
                is_news.then(|| known.to_line())
            })
            .collect()
    }

    /// The call is over: a line that could still have changed stays as it is.
    pub fn finish(&mut self) -> Option<TranscriptLine> {
        let open = self.callee.take()?;
        Some(callee_line(open.number, &open.text, true))
    }

    fn set_agent_line(&mut self, turn: u64, text: &str, interrupted: bool) -> TranscriptLine {
        let number = match self.agent.get(&turn) {
            Some(known) => known.line.number,
            None => self.next_number(),
        };
        let line = Line {
            number,
            text: text.to_owned(),
        };
        let known = AgentLine {
            line,
            interrupted,
            latency: self.latencies.get(&turn).copied(),
        };
        let shown = known.to_line();
        self.agent.insert(turn, known);
        if self.agent.len() > MAX_KEPT_TURNS {
            self.agent.pop_first();
        }
        shown
    }

    fn next_number(&mut self) -> u32 {
        self.n_lines += 1;
        self.n_lines
    }
}

impl AgentLine {
    fn to_line(&self) -> TranscriptLine {
        TranscriptLine {
            turn: self.line.number,
            speaker: Party::Agent,
            text: self.line.text.clone(),
            is_final: true,
            interrupted: self.interrupted,
            latency: self.latency,
        }
    }
}

fn callee_line(number: u32, text: &str, is_final: bool) -> TranscriptLine {
    TranscriptLine {
        turn: number,
        speaker: Party::Callee,
        text: text.to_owned(),
        is_final,
        interrupted: false,
        latency: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: Option<TranscriptLine>) -> String {
        line.map_or_else(
            || "-".to_owned(),
            |line| {
                format!(
                    "{} {}: {}{}{}",
                    line.turn,
                    line.speaker.name(),
                    line.text,
                    if line.is_final { "" } else { " …" },
                    if line.interrupted { " ✂" } else { "" },
                )
            },
        )
    }

    #[test]
    fn both_sides_share_one_counter() {
        let mut transcript = Transcript::default();
        assert_eq!(shown(transcript.agent_said(1, "Hi Ann")), "1 agent: Hi Ann");
        assert_eq!(
            shown(transcript.callee_said("who", false)),
            "2 callee: who …"
        );
        assert_eq!(shown(transcript.callee_said("who", false)), "-");
        assert_eq!(
            shown(transcript.agent_said(3, "It's me")),
            "3 agent: It's me"
        );
        assert_eq!(
            shown(transcript.callee_said("who is it", true)),
            "2 callee: who is it"
        );
        assert_eq!(shown(transcript.callee_said("bye", true)), "4 callee: bye");
        assert_eq!(shown(transcript.callee_said("", false)), "-");
    }

    // proves F-32
    #[test]
    fn a_turn_cut_short_is_marked_and_corrected() {
        let mut transcript = Transcript::default();
        transcript.agent_said(4, "Long text");
        let cut = transcript.cut_short(&BTreeSet::from([4, 5]));
        assert_eq!(cut.len(), 1);
        assert_eq!(shown(cut.into_iter().next()), "1 agent: Long text ✂");
        assert_eq!(
            shown(transcript.agent_corrected(4, "Long")),
            "1 agent: Long ✂"
        );
        assert_eq!(shown(transcript.agent_corrected(4, "Long")), "-");
        assert_eq!(
            shown(transcript.agent_said(5, "Late text")),
            "2 agent: Late text ✂"
        );
        assert_eq!(shown(transcript.agent_said(6, "Next")), "3 agent: Next");
    }

    #[test]
    fn how_long_the_callee_waited_is_with_the_turns_line_whichever_comes_first() {
        let mut transcript = Transcript::default();
        let wait = Duration::from_millis(700);
        transcript.agent_said(1, "Hi Ann");
        let line = transcript.answered_after(1, wait).unwrap();
        assert_eq!((line.turn, line.latency), (1, Some(wait)));
        assert_eq!(transcript.answered_after(2, wait), None, "nothing to show");
        let line = transcript.agent_said(2, "It's me").unwrap();
        assert_eq!((line.turn, line.latency), (2, Some(wait)));
        let cut = transcript.agent_corrected(2, "It's").unwrap();
        assert_eq!((cut.interrupted, cut.latency), (true, Some(wait)));
        assert_eq!(transcript.agent_said(3, "Bye").unwrap().latency, None);
    }

    #[test]
    fn a_correction_of_an_unknown_turn_means_the_latest() {
        let mut transcript = Transcript::default();
        transcript.agent_said(4, "Long text");
        assert_eq!(
            shown(transcript.agent_corrected(9, "Long")),
            "1 agent: Long ✂"
        );
    }

    #[test]
    fn the_end_of_the_call_makes_an_open_line_final() {
        let mut transcript = Transcript::default();
        transcript.callee_said("hel", false);
        assert_eq!(shown(transcript.finish()), "1 callee: hel");
        assert_eq!(shown(transcript.finish()), "-");
    }
}
