//! What of the agent's speech was sent, what of it was heard, and what became void.
//!
//! Pure. Time is a [`Duration`] since the call's audio began. The carrier plays what it is sent in
//! order at the pace of speech; a mark comes back when everything before it was played. After a
//! clear all pending marks come back at once, so marks carry a generation, and those of a cleared one
//! prove nothing.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// Speech in the carrier's queue, or being played.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    turn: u64,
    sent_at: Duration,
    length: Duration,
}

#[derive(Debug)]
struct PendingMark {
    name: String,
    /// Segments sent before it, counted from the call's start.
    n_before: u64,
}

/// The carrier's play position, as far as it can be known here.
#[derive(Debug, Default)]
pub struct Playback {
    generation: u64,
    /// Audio of this turn and those before is void.
    void_turn: Option<u64>,
    /// What is not known to have been played, oldest first.
    segments: VecDeque<Segment>,
    /// How many segments left the front of the queue.
    n_done: u64,
    /// When the first segment began to play, unless it was sent later.
    anchor: Duration,
    /// When the last segment ends to play. Follows from the others; kept because speech comes fifty
    /// times a second.
    ends_at: Duration,
    marks: VecDeque<PendingMark>,
    n_marks: u64,
    /// The turn that was sent after the last mark.
    unmarked: Option<u64>,
}

/// What the return of a mark proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Everything before it was heard.
    Heard,
    /// Nothing: it was discarded by a clear, or is not ours.
    Void,
}

impl Playback {
    /// Whether audio of this turn is still wanted.
    pub fn wants(&self, turn: u64) -> bool {
        self.void_turn.is_none_or(|void| turn > void)
    }

    /// Records that audio of a turn is sent now. Returns the name of a mark to send before it, when
    /// the turn before had none yet.
    pub fn send(&mut self, turn: u64, length: Duration, now: Duration) -> Option<String> {
        let mark = self
            .unmarked
            .filter(|before| *before != turn)
            .and_then(|_| self.mark());
        let ends_at = self.ends_at;
        self.ends_at = ends_at.max(now) + length;
        self.unmarked = Some(turn);
        // Audio that follows without a gap and without a mark between is one segment: so an agent
        // that sends many small pieces does not make the ledger long.
        let n_sent = self.n_sent();
        let is_marked = self
            .marks
            .back()
            .is_some_and(|mark| mark.n_before == n_sent);
        match self.segments.back_mut() {
            Some(last) if last.turn == turn && !is_marked && now <= ends_at => {
                last.length += length;
            }
            _ => self.segments.push_back(Segment {
                turn,
                sent_at: now,
                length,
            }),
        }
        mark
    }

    /// The name of a mark to send now, so that what was sent since the last one is known to be heard
    /// when it returns; none when nothing was sent.
    pub fn mark(&mut self) -> Option<String> {
        let turn = self.unmarked.take()?;
        self.n_marks += 1;
        let name = format!("g{}.t{turn}.{}", self.generation, self.n_marks);
        self.marks.push_back(PendingMark {
            name: name.clone(),
            n_before: self.n_sent(),
        });
        Some(name)
    }

    /// Whether something was sent since the last mark.
    pub fn is_unmarked(&self) -> bool {
        self.unmarked.is_some()
    }

    /// Whether nothing is left that could still be heard, as far as marks prove it.
    pub fn is_played_out(&self) -> bool {
        self.segments.is_empty()
    }

    /// A mark came back.
    pub fn echoed(&mut self, name: &str, now: Duration) -> Echo {
        let Some(place) = self.marks.iter().position(|mark| mark.name == name) else {
            return Echo::Void;
        };
        let n_before = self.marks[place].n_before;
        self.marks.drain(..=place);
        while self.n_done < n_before && self.segments.pop_front().is_some() {
            self.n_done += 1;
        }
        // The next segment cannot have begun before: whatever was reckoned is set right here.
        self.anchor = now;
        self.ends_at = self.timeline().last().map_or(now, |(_, _, end)| end);
        Echo::Heard
    }

    /// The callee spoke over the agent: the queue is cleared, and audio of `turn` and those before
    /// is void from now on. Returns the turns of which something was not heard.
    pub fn interrupt(&mut self, turn: u64, now: Duration) -> BTreeSet<u64> {
        let cut = self
            .timeline()
            .filter(|(_, _, ends_at)| *ends_at > now)
            .map(|(segment, _, _)| segment.turn)
            .collect();
        self.void_turn = self.void_turn.max(Some(turn));
        self.generation += 1;
        self.n_done += self.segments.len() as u64;
        self.segments.clear();
        self.marks.clear();
        self.unmarked = None;
        self.anchor = now;
        self.ends_at = now;
        cut
    }

    /// How long what was sent will still play.
    pub fn queued(&self, now: Duration) -> Duration {
        self.ends_at.saturating_sub(now)
    }

    fn n_sent(&self) -> u64 {
        self.n_done + self.segments.len() as u64
    }

    /// Each segment with the times at which it begins and ends to play.
    fn timeline(&self) -> impl Iterator<Item = (&Segment, Duration, Duration)> {
        self.segments.iter().scan(self.anchor, |at, segment| {
            let begins_at = segment.sent_at.max(*at);
            *at = begins_at + segment.length;
            Some((segment, begins_at, *at))
        })
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
