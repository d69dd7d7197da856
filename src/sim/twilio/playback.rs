//! What the callee hears: audio waits in a buffer and plays at the pace of real time. Pure.

use std::{collections::VecDeque, time::Duration};

use crate::sim::tone::LINE_RATE;

/// How much audio the carrier keeps for one stream.
const MAX_BUFFERED: Duration = Duration::from_secs(600);

/// The buffer of one stream; times are counted from the stream's start.
#[derive(Debug, Default)]
pub struct Playback {
    /// When everything buffered so far will have been played.
    plays_until: Duration,
    /// Marks with the moment at which the audio before them has been played.
    marks: VecDeque<(Duration, String)>,
}

/// The buffer was full: the audio is discarded.
#[derive(Debug, PartialEq, Eq)]
pub struct BufferFull;

impl Playback {
    /// Queues `n_bytes` of mu-law behind what is already there.
    pub fn queue(&mut self, now: Duration, n_bytes: usize) -> Result<(), BufferFull> {
        let begins = self.plays_until.max(now);
        if begins - now > MAX_BUFFERED {
            return Err(BufferFull);
        }
        let nanos = n_bytes as u64 * (1_000_000_000 / LINE_RATE as u64);
        self.plays_until = begins + Duration::from_nanos(nanos);
        Ok(())
    }

    /// When audio that is queued now begins to be heard.
    pub fn plays_until(&self, now: Duration) -> Duration {
        self.plays_until.max(now)
    }

    /// Queues a mark behind the audio sent so far.
    pub fn mark(&mut self, now: Duration, name: String) {
        self.marks.push_back((self.plays_until.max(now), name));
    }

    /// Drops all audio that was not played; every mark becomes due.
    pub fn clear(&mut self, now: Duration) {
        self.plays_until = self.plays_until.min(now);
        for (due, _) in &mut self.marks {
            *due = (*due).min(now);
        }
    }

    /// The next mark whose audio has been played or discarded, in order.
    pub fn take_due_mark(&mut self, now: Duration) -> Option<String> {
        if self.marks.front()?.0 > now {
            return None;
        }
        self.marks.pop_front().map(|(_, name)| name)
    }

    /// Whether the callee hears something at this moment.
    pub fn is_audible(&self, now: Duration) -> bool {
        self.plays_until > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_mark_comes_back_when_the_audio_before_it_was_played() {
        let mut playback = Playback::default();
        playback.queue(ms(0), 8_000).unwrap();
        playback.mark(ms(0), "one second".to_owned());
        playback.queue(ms(0), 160).unwrap();
        assert_eq!(playback.take_due_mark(ms(999)), None);
        assert_eq!(
            playback.take_due_mark(ms(1_000)).as_deref(),
            Some("one second")
        );
        assert!(playback.is_audible(ms(1_019)) && !playback.is_audible(ms(1_020)));
    }

    #[test]
    fn clearing_returns_every_mark_in_order_and_silences_the_rest() {
        let mut playback = Playback::default();
        for name in ["a", "b"] {
            playback.queue(ms(0), 80_000).unwrap();
            playback.mark(ms(0), name.to_owned());
        }
        playback.clear(ms(500));
        assert!(!playback.is_audible(ms(500)));
        assert_eq!(playback.take_due_mark(ms(500)).as_deref(), Some("a"));
        assert_eq!(playback.take_due_mark(ms(500)).as_deref(), Some("b"));
        playback.queue(ms(600), 160).unwrap();
        playback.mark(ms(600), "c".to_owned());
        assert_eq!(playback.take_due_mark(ms(610)), None);
    }

    #[test]
    fn a_mark_with_nothing_before_it_is_due_at_once() {
        let mut playback = Playback::default();
        playback.mark(ms(40), "now".to_owned());
        assert_eq!(playback.take_due_mark(ms(40)).as_deref(), Some("now"));
    }

    #[test]
    fn ten_minutes_fill_the_buffer() {
        let mut playback = Playback::default();
        playback.queue(ms(0), 600 * 8_000 + 160).unwrap();
        assert_eq!(playback.queue(ms(0), 160), Err(BufferFull));
        assert_eq!(playback.queue(ms(20), 160), Ok(()));
    }
}
