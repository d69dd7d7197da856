//! The people of a world: what becomes of one call to one of them.
//!
//! Pure: dice in, a fate out. Knows no carrier and no campaign.

use std::time::Duration;

use super::dice::Dice;

/// What a person is like for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Is there now and then.
    Ordinary,
    /// Does not exist: the carrier says so after it took the call.
    Nobody,
    /// The carrier refuses the number as soon as it is asked.
    Refused,
}

/// What becomes of one call, if nothing else ends it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Busy at once.
    Busy,
    /// The network finds no way.
    Unreachable,
    /// There is no such number.
    NoSuchNumber,
    /// Rings until the time is over.
    NoAnswer,
    /// Picked up after `rings`, and hung up by the callee after `talks`.
    Answers {
        /// How long it rings.
        rings: Duration,
        /// How long the callee stays.
        talks: Duration,
    },
}

impl Person {
    /// Somebody, as people are.
    pub fn anybody(dice: &mut Dice) -> Self {
        match dice.number(0, 99) {
            0..=2 => Self::Nobody,
            3..=4 => Self::Refused,
            _ => Self::Ordinary,
        }
    }

    /// What becomes of the next call.
    pub fn fate(self, dice: &mut Dice) -> Fate {
        if self != Self::Ordinary {
            return Fate::NoSuchNumber;
        }
        match dice.number(0, 99) {
            0..=11 => Fate::Busy,
            12..=15 => Fate::Unreachable,
            16..=35 => Fate::NoAnswer,
            _ => Fate::Answers {
                rings: dice.millis(500, 9_000),
                talks: dice.millis(0, 20_000),
            },
        }
    }
}
