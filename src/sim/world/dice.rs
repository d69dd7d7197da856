//! Chance that repeats: one generator for a whole world, whose steps come in a fixed order.

use std::time::Duration;

use crate::domain::Timestamp;

/// A small generator (SplitMix64). The same seed throws the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The dice of a seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number that depends on another, on a moment and on everything thrown so far.
    pub fn mixed_with(&self, other: u64, at: Timestamp) -> u64 {
        let moment = at.as_millisecond().unsigned_abs();
        Self::seeded(self.state ^ other.rotate_left(17) ^ moment).throw()
    }

    /// Whether something with this probability (0 to 1) happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.fraction() < probability
    }

    /// Evenly spread in `0.0..1.0`.
    pub fn fraction(&mut self) -> f64 {
        (self.throw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly spread from `low` to `high`, both included.
    pub fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.throw() % (high.saturating_sub(low) + 1)
    }

    /// Whole milliseconds, evenly spread from `low` to `high`.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.number(low, high))
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let last = choices.len().saturating_sub(1) as u64;
        let index = usize::try_from(self.number(0, last)).unwrap_or_default();
        choices[index]
    }
}
