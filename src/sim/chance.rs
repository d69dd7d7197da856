//! Chance that repeats: every draw is a hash of the seed and of what the draw is about.
//!
//! There is no generator and so no state: the order in which calls run cannot change what happens
//! to one of them.

use std::time::Duration;

/// The source of every draw of one simulator.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    seed: u64,
}

impl Chance {
    /// Draws that depend on `seed` and nothing else.
    pub fn seeded(seed: u64) -> Self {
        Self { seed }
    }

    /// The draw about the subject that `parts` name together.
    pub fn about(self, parts: &[&str]) -> Draw {
        let mut hash = FNV_OFFSET ^ mixed(self.seed);
        for part in parts {
            for byte in part.bytes().chain([SEPARATOR]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
            }
        }
        Draw(mixed(hash))
    }
}

/// One draw; every method gives the same answer whenever it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Draw(u64);

impl Draw {
    /// Evenly spread in `0.0..1.0`.
    pub fn fraction(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something with this probability (0 to 1) happens.
    pub fn happens(self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// Evenly spread from `low` up to `high`.
    pub fn between(self, low: Duration, high: Duration) -> Duration {
        low + high.saturating_sub(low).mul_f64(self.fraction())
    }

    /// Evenly spread from `low` to `high`, both included.
    pub fn count(self, low: usize, high: usize) -> usize {
        low + self.index(high.saturating_sub(low) + 1)
    }

    /// One element of `choices`, which must not be empty.
    pub fn pick<T: Copy>(self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    fn index(self, n: usize) -> usize {
        ((self.fraction() * n as f64) as usize).min(n.saturating_sub(1))
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// A byte that UTF-8 never holds, so that `["ab", "c"]` and `["a", "bc"]` differ.
const SEPARATOR: u8 = 0xff;

/// The finishing step of SplitMix64: FNV alone leaves similar texts with similar high bits.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_repeats_and_depends_on_seed_and_subject() {
        let draw = |seed, parts: &[&str]| Chance::seeded(seed).about(parts).fraction();
        assert_eq!(
            draw(1, &["ring", "+15550100"]),
            draw(1, &["ring", "+15550100"])
        );
        assert_ne!(
            draw(1, &["ring", "+15550100"]),
            draw(2, &["ring", "+15550100"])
        );
        assert_ne!(draw(1, &["ab", "c"]), draw(1, &["a", "bc"]));
    }

    #[test]
    fn draws_about_neighbouring_numbers_are_spread_evenly() {
        let chance = Chance::seeded(7);
        let n_below = (0..10_000)
            .filter(|n| {
                chance
                    .about(&["mix", &format!("+1555{n:07}")])
                    .happens(0.25)
            })
            .count();
        assert!((2_300..2_700).contains(&n_below), "{n_below} of 10000");
    }

    #[test]
    fn counts_include_both_ends() {
        let chance = Chance::seeded(3);
        let counts: std::collections::BTreeSet<_> = (0..200)
            .map(|n| chance.about(&[&n.to_string()]).count(2, 4))
            .collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
    }
}
