//! When a contact is called again.

use std::{collections::BTreeMap, hash::Hasher, time::Duration};

use super::{
    Timestamp,
    ids::AttemptId,
    outcome::{Outcome, RetryKind},
};

/// How often and when a contact is called again, by how the last attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts for one enrollment, whatever their outcomes.
    pub max_attempts: u32,
    /// What each kind of outcome allows.
    pub rules: BTreeMap<RetryKind, RetryRule>,
}

/// What one kind of outcome allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRule {
    /// How many further attempts outcomes of this kind may cause.
    pub count: u32,
    /// How long to wait before the next.
    pub delay: Duration,
}

/// How many attempts ended in each kind of outcome so far.
pub type Tally = BTreeMap<RetryKind, u32>;

impl Default for RetryPolicy {
    /// Three attempts: after busy twice 15 min apart, after no answer twice 2 h apart, after a
    /// machine once after 4 h, after a network fault once after 30 min.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            max_attempts: 3,
            rules: BTreeMap::from([
                (
                    RetryKind::Busy,
                    RetryRule {
                        count: 2,
                        delay: minutes(15),
                    },
                ),
                (
                    RetryKind::NoAnswer,
                    RetryRule {
                        count: 2,
                        delay: minutes(120),
                    },
                ),
                (
                    RetryKind::Voicemail,
                    RetryRule {
                        count: 1,
                        delay: minutes(240),
                    },
                ),
                (
                    RetryKind::Failed,
                    RetryRule {
                        count: 1,
                        delay: minutes(30),
                    },
                ),
            ]),
        }
    }
}

/// When the contact is due again after `attempt` ended in `outcome`, or `None` when that was the last.
///
/// `tally` counts the kinds of all outcomes including this one. The wait varies by up to a tenth in
/// either direction, from a hash of the attempt id, so that a batch that failed together does not
/// come back together, and the same attempt always waits the same.
pub fn next_due(
    policy: &RetryPolicy,
    tally: &Tally,
    attempt: AttemptId,
    n_attempts: u32,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Timestamp> {
    let kind = outcome.retry_kind()?;
    let rule = policy.rules.get(&kind)?;
    let n_of_kind = tally.get(&kind).copied().unwrap_or_default();
    let allowed = n_attempts < policy.max_attempts && n_of_kind <= rule.count;
    allowed.then(|| now + with_jitter(rule.delay, attempt))
}

/// `delay` changed by up to a tenth, the same every time for the same attempt.
fn with_jitter(delay: Duration, attempt: AttemptId) -> Duration {
    let share = f64::from(spread(attempt)) / f64::from(u32::MAX);
    let changed = delay.mul_f64(0.9 + 0.2 * share);
    Duration::from_millis(u64::try_from(changed.as_millis()).unwrap_or(u64::MAX))
}

/// A number that is evenly spread over attempts (FNV-1a, so that it never changes with a release).
fn spread(attempt: AttemptId) -> u32 {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write(attempt.enrollment.uuid().as_bytes());
    hash.write(&attempt.number.to_be_bytes());
    let mixed = hash.finish().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).expect("the upper half of 64 bits fits in 32")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        ids::EnrollmentId,
        outcome::{Fault, FaultClass},
    };

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn attempt(n: u128, number: u32) -> AttemptId {
        AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(n)),
            number,
        }
    }

    fn policy(max_attempts: u32, count: u32) -> RetryPolicy {
        let rule = RetryRule {
            count,
            delay: Duration::from_secs(600),
        };
        RetryPolicy {
            max_attempts,
            rules: BTreeMap::from([(RetryKind::Busy, rule)]),
        }
    }

    fn due(
        policy: &RetryPolicy,
        n_busy: u32,
        n_attempts: u32,
        outcome: &Outcome,
    ) -> Option<Timestamp> {
        let tally = Tally::from([(RetryKind::Busy, n_busy)]);
        next_due(
            policy,
            &tally,
            attempt(1, n_attempts),
            n_attempts,
            outcome,
            NOW,
        )
    }

    // proves F-12
    #[test]
    fn one_retry_means_one_retry() {
        assert!(due(&policy(9, 1), 1, 1, &Outcome::Busy).is_some());
        assert_eq!(due(&policy(9, 1), 2, 2, &Outcome::Busy), None);
    }

    #[test]
    fn the_budget_ends_retries_of_every_kind() {
        assert!(due(&policy(3, 9), 2, 2, &Outcome::Busy).is_some());
        assert_eq!(due(&policy(3, 9), 3, 3, &Outcome::Busy), None);
    }

    #[test]
    fn an_answer_or_a_dead_number_is_the_end() {
        let dead = Outcome::Failed(Fault {
            class: FaultClass::Number,
            code: Some(404),
            detail: "no such number".to_owned(),
        });
        for outcome in [
            Outcome::Answered,
            Outcome::Abandoned,
            Outcome::Canceled,
            dead,
        ] {
            assert_eq!(
                due(&RetryPolicy::default(), 0, 1, &outcome),
                None,
                "{outcome}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_a_tenth_and_repeats(enrollment: u128, number in 1_u32..50) {
            let id = attempt(enrollment, number);
            let delay = Duration::from_secs(1000);
            let waited = with_jitter(delay, id);
            prop_assert!(waited >= Duration::from_secs(900) && waited <= Duration::from_secs(1100));
            prop_assert_eq!(waited, with_jitter(delay, id));
        }
    }
}
