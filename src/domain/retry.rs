//! When a contact is called again.

use std::{collections::BTreeMap, time::Duration};

use jiff::{ToSpan, civil::DateTime};

use super::{
    Timestamp,
    ids::AttemptId,
    outcome::{Outcome, RetryKind},
    profile::Share,
    spread::spread,
    window::later,
    zone::Zone,
};

/// How often and when a contact is called again, by how the last attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most attempts for one enrollment, whatever their outcomes.
    pub max_attempts: u32,
    /// What each kind of outcome allows.
    pub rules: BTreeMap<RetryKind, RetryRule>,
    /// By what share of itself a wait varies in either direction, so that a batch that failed
    /// together does not come back together.
    pub jitter: Share,
    /// How much later the next attempt may be made so that it comes at another part of the
    /// person's day than the earlier ones; none leaves it where the delay puts it.
    pub other_hours: Option<Duration>,
}

/// What one kind of outcome allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryRule {
    /// How many further attempts outcomes of this kind may cause.
    pub count: u32,
    /// How long to wait before each.
    pub delay: RetryDelay,
}

/// How long to wait before the first, second, … further attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryDelay {
    /// The same each time.
    Fixed(Duration),
    /// Longer each time.
    Exponential {
        /// Before the first.
        first: Duration,
        /// How many times as long each next one is.
        factor: u32,
        /// The longest.
        most: Duration,
    },
    /// One by one; the last holds for all that follow. Empty allows no further attempt.
    Table(Vec<Duration>),
}

impl RetryDelay {
    /// The wait before the `n`th further attempt, from 1; none when there is none.
    pub fn nth(&self, n: u32) -> Option<Duration> {
        let n_before = n.max(1) - 1;
        match self {
            Self::Fixed(delay) => Some(*delay),
            Self::Exponential {
                first,
                factor,
                most,
            } => {
                let grown = factor
                    .checked_pow(n_before)
                    .and_then(|by| first.checked_mul(by));
                Some(grown.unwrap_or(*most).min(*most))
            }
            Self::Table(delays) => {
                let index = usize::try_from(n_before).unwrap_or(usize::MAX);
                delays.get(index).or(delays.last()).copied()
            }
        }
    }
}

impl From<Duration> for RetryDelay {
    fn from(delay: Duration) -> Self {
        Self::Fixed(delay)
    }
}

/// How many attempts ended in each kind of outcome so far.
pub type Tally = BTreeMap<RetryKind, u32>;

impl RetryPolicy {
    /// A tenth.
    pub const JITTER: Share = Share::per_mille(100).expect("100 is below 1000");
}

impl Default for RetryPolicy {
    /// Three attempts: after busy twice 15 min apart, after no answer twice 2 h apart, after a
    /// machine once after 4 h, after a network fault once after 30 min.
    fn default() -> Self {
        let rule = |count, minutes: u64| RetryRule {
            count,
            delay: Duration::from_secs(60 * minutes).into(),
        };
        Self {
            max_attempts: 3,
            rules: BTreeMap::from([
                (RetryKind::Busy, rule(2, 15)),
                (RetryKind::NoAnswer, rule(2, 120)),
                (RetryKind::Voicemail, rule(1, 240)),
                (RetryKind::Failed, rule(1, 30)),
            ]),
            jitter: Self::JITTER,
            other_hours: None,
        }
    }
}

/// When the contact is due again after `attempt` ended in `outcome`, or `None` when that was the last.
///
/// `tally` counts the kinds of all outcomes including this one. The wait varies by the policy's
/// jitter, from a hash of the attempt id: the same attempt always waits the same.
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
    let delay = rule.delay.nth(n_of_kind).filter(|_| allowed)?;
    Some(later(now, with_jitter(delay, policy.jitter, attempt)))
}

/// The parts of a day by the hour at which they begin: morning, afternoon, evening with the night.
const PARTS_OF_DAY: [i8; 3] = [8, 12, 17];

/// A due time moved, by up to the policy's shift, to a part of the person's day in which none of
/// the `earlier` attempts was made; unmoved when it is in one, or none comes soon enough.
///
/// People who do not answer at one time of day may at another. It is never moved forward, so the
/// delay stays the least wait; hours and holidays are the rules' business.
pub fn at_other_hours(
    policy: &RetryPolicy,
    due: Timestamp,
    attempt: AttemptId,
    earlier: &[Timestamp],
    zone: &Zone,
) -> Timestamp {
    /// Moved attempts are spread over so much of the part, or they would all come at its start.
    const SPREAD: Duration = Duration::from_secs(3600);

    let Some(shift) = policy.other_hours else {
        return due;
    };
    let part = |at: Timestamp| part_of_day(zone.tz().to_datetime(at));
    let is_used = |wanted: usize| earlier.iter().any(|at| part(*at) == wanted);
    if !is_used(part(due)) {
        return due;
    }
    let last = later(due, shift);
    let begin = next_parts(due, zone).find(|at| *at > last || !is_used(part(*at)));
    match begin {
        Some(begin) if begin <= last => {
            let room = last.duration_since(begin).unsigned_abs().min(SPREAD);
            later(begin, room.mul_f64(share_of(attempt)))
        }
        _ => due,
    }
}

/// Which of [`PARTS_OF_DAY`] a wall-clock time is in.
fn part_of_day(local: DateTime) -> usize {
    let begun = PARTS_OF_DAY.iter().rposition(|hour| *hour <= local.hour());
    begun.unwrap_or(PARTS_OF_DAY.len() - 1)
}

/// When the parts of the day begin that come after `at`, for some days.
fn next_parts(at: Timestamp, zone: &Zone) -> impl Iterator<Item = Timestamp> {
    let today = zone.tz().to_datetime(at).date();
    let begins = (0_i64..3).flat_map(move |n| {
        let date = today.saturating_add(n.days());
        PARTS_OF_DAY.map(|hour| date.at(hour, 0, 0, 0))
    });
    begins
        .filter_map(|local| zone.tz().to_timestamp(local).ok())
        .filter(move |begin| *begin > at)
}

/// `delay` changed by up to `jitter` of itself, the same every time for the same attempt.
fn with_jitter(delay: Duration, jitter: Share, attempt: AttemptId) -> Duration {
    let most = f64::from(jitter.thousandths()) / 1000.0;
    let changed = delay.mul_f64(1.0 - most + 2.0 * most * share_of(attempt));
    Duration::from_millis(u64::try_from(changed.as_millis()).unwrap_or(u64::MAX))
}

/// A share from 0 to 1 that is evenly spread over attempts.
fn share_of(attempt: AttemptId) -> f64 {
    f64::from(spread(attempt)) / f64::from(u32::MAX)
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
        let delay = Duration::from_secs(600).into();
        RetryPolicy {
            max_attempts,
            rules: BTreeMap::from([(RetryKind::Busy, RetryRule { count, delay })]),
            ..RetryPolicy::default()
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

    // proves F-13
    #[test]
    fn each_wait_is_the_stated_one() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let exponential = RetryDelay::Exponential {
            first: minutes(5),
            factor: 3,
            most: minutes(60),
        };
        let table = RetryDelay::Table(vec![minutes(5), minutes(240)]);
        for (delay, waits) in [
            (minutes(5).into(), [5, 5, 5, 5]),
            (exponential, [5, 15, 45, 60]),
            (table, [5, 240, 240, 240]),
        ] {
            let mut policy = policy(9, 9);
            policy.jitter = Share::per_mille(0).unwrap();
            policy.rules.get_mut(&RetryKind::Busy).unwrap().delay = delay;
            for (n, wait) in (1..).zip(waits) {
                let due = due(&policy, n, n, &Outcome::Busy);
                assert_eq!(due, Some(NOW + minutes(wait)), "{n}");
            }
        }
        let mut policy = policy(9, 9);
        policy.rules.get_mut(&RetryKind::Busy).unwrap().delay = RetryDelay::Table(vec![]);
        assert_eq!(due(&policy, 1, 1, &Outcome::Busy), None);
    }

    #[test]
    fn growth_without_end_stops_at_the_longest_wait() {
        let most = Duration::from_secs(86_400);
        let delay = RetryDelay::Exponential {
            first: Duration::from_secs(60),
            factor: 10,
            most,
        };
        assert_eq!(delay.nth(50), Some(most));
    }

    #[test]
    fn the_next_attempt_comes_at_another_part_of_the_day() {
        let zone: Zone = "America/New_York".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let policy = RetryPolicy {
            other_hours: Some(Duration::from_secs(12 * 3600)),
            ..RetryPolicy::default()
        };
        let moved = |due: &str, earlier: &[&str]| {
            let earlier: Vec<_> = earlier.iter().map(|it| at(it)).collect();
            let due = at_other_hours(&policy, at(due), attempt(1, 1), &earlier, &zone);
            due.to_zoned(zone.tz().clone()).hour()
        };
        let (morning, noon) = ("2026-12-01T14:00:00Z", "2026-12-01T18:00:00Z");
        let evening = "2026-12-01T23:00:00Z";
        assert_eq!(moved("2026-12-02T15:00:00Z", &[]), 10, "nothing to avoid");
        assert_eq!(
            moved("2026-12-02T15:00:00Z", &[noon]),
            10,
            "another part already"
        );
        assert_eq!(moved("2026-12-02T15:00:00Z", &[morning]), 12);
        assert_eq!(moved("2026-12-02T15:00:00Z", &[morning, noon]), 17);
        assert_eq!(moved("2026-12-02T15:00:00Z", &[morning, noon, evening]), 10);
        assert_eq!(
            moved("2026-12-02T08:30:00Z", &[evening]),
            8,
            "the night is the evening's"
        );
    }

    proptest! {
        #[test]
        fn a_moved_attempt_keeps_its_least_wait_and_its_greatest_shift(
            enrollment: u128,
            due in 0_i64..400 * 86_400,
            earlier in proptest::collection::vec(0_i64..4 * 86_400, 0..4),
            shift in 0_u64..48 * 3600,
            zone in proptest::sample::select(vec!["America/New_York", "Australia/Lord_Howe", "UTC"]),
        ) {
            let zone: Zone = zone.parse().unwrap();
            let due = NOW + jiff::SignedDuration::from_secs(due);
            let earlier: Vec<_> =
                earlier.into_iter().map(|ago| due - jiff::SignedDuration::from_secs(ago)).collect();
            let policy = RetryPolicy {
                other_hours: Some(Duration::from_secs(shift)),
                ..RetryPolicy::default()
            };
            let moved = at_other_hours(&policy, due, attempt(enrollment, 1), &earlier, &zone);
            prop_assert!(moved >= due && moved <= due + Duration::from_secs(shift));
            // The plain meaning: hour by hour, is there an unused part of the day?
            let part = |at: Timestamp| match at.to_zoned(zone.tz().clone()).hour() {
                8..12 => 0,
                12..17 => 1,
                _ => 2,
            };
            let is_free = |at: Timestamp| earlier.iter().all(|it| part(*it) != part(at));
            if moved != due {
                prop_assert!(is_free(moved) && !is_free(due));
            } else if !is_free(due) {
                let minutes = (0..=shift / 60).map(|n| due + Duration::from_secs(60 * n));
                // A part that begins in the last minute has no room to be spread over.
                let found = minutes.into_iter().find(|it| is_free(*it));
                prop_assert_eq!(found, None);
            }
        }

        #[test]
        fn the_wait_stays_within_a_tenth_and_repeats(enrollment: u128, number in 1_u32..50) {
            let id = attempt(enrollment, number);
            let delay = Duration::from_secs(1000);
            let waited = with_jitter(delay, RetryPolicy::JITTER, id);
            prop_assert!(waited >= Duration::from_secs(900) && waited <= Duration::from_secs(1100));
            prop_assert_eq!(waited, with_jitter(delay, RetryPolicy::JITTER, id));
        }
    }
}
