//! Numbers that look random and never change: the same attempt always gives the same.
//!
//! Waits and choices vary by them, so that a batch that failed together does not come back
//! together, and a run can be repeated to the letter.

use super::ids::AttemptId;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// A number that is evenly spread over attempts (FNV-1a, so that it never changes with a release).
pub fn spread(attempt: AttemptId) -> u32 {
    let enrollment = attempt.enrollment.uuid();
    let number = attempt.number.to_be_bytes();
    let hash = enrollment
        .as_bytes()
        .iter()
        .chain(&number)
        .fold(OFFSET, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        });
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).expect("the upper half of 64 bits fits in 32")
}

/// One of `0..n`, each equally often over many attempts; 0 when there is nothing to choose.
pub fn choice(attempt: AttemptId, n: usize) -> usize {
    let scaled = (u64::from(spread(attempt)) * n as u64) >> 32;
    usize::try_from(scaled).expect("it is less than n")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::EnrollmentId;

    fn attempt(n: u128, number: u32) -> AttemptId {
        AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(n)),
            number,
        }
    }

    #[test]
    fn the_numbers_are_the_same_in_every_release() {
        assert_eq!(spread(attempt(1, 1)), 3_810_720_482);
        assert_eq!(spread(attempt(1, 2)), 2_061_711_688);
    }

    #[test]
    fn choices_come_equally_often() {
        let mut counts = [0_u32; 7];
        for n in 0..7_000 {
            counts[choice(attempt(n, 1), 7)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1_150).contains(count)),
            "{counts:?}"
        );
    }
}
