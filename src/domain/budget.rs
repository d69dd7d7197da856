//! What a campaign may cost, in minutes and in money.
//!
//! Calls that are up count at their greatest length, because nobody can take back what a call that
//! has begun will cost. So a budget is never exceeded, and what short calls leave over is used when
//! they have ended.

use std::time::Duration;

use super::pacing::Gate;

/// What a campaign may use in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// The most minutes, as billed.
    pub most_minutes: Option<u64>,
    /// The most money, in millionths of a US dollar.
    pub most_cost_micro_usd: Option<u64>,
    /// What a minute costs, carrier and agent together. Without it money is not limited.
    pub per_minute_micro_usd: Option<u64>,
}

/// What is used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Minutes of calls that ended, each rounded up by itself: the sum of [`billed_minutes`].
    pub n_minutes: u64,
    /// Calls that are open, each of which may still become as long as allowed.
    pub n_open: u32,
}

/// What the budget leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many more calls may begin now; none when the budget sets no limit.
    pub n_calls: Option<u32>,
    /// Whether no call could begin even if all that are up cost nothing: time to pause and say so.
    pub is_exhausted: bool,
}

/// The minutes that a carrier bills for a call that lasted `duration` from the answer: whole ones,
/// rounded up; nothing for a call that was not answered.
pub fn billed_minutes(duration: Duration) -> u64 {
    let whole = duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0));
    whole.div_ceil(60)
}

impl Budget {
    /// Whether it limits anything.
    pub fn limits(&self) -> bool {
        self.minutes().is_some()
    }

    /// The minutes that may be billed in all; none without a limit.
    fn minutes(&self) -> Option<u64> {
        let paid_for = self
            .most_cost_micro_usd
            .zip(self.per_minute_micro_usd)
            .and_then(|(most, each)| most.checked_div(each));
        match (self.most_minutes, paid_for) {
            (Some(minutes), Some(paid_for)) => Some(minutes.min(paid_for)),
            (minutes, paid_for) => minutes.or(paid_for),
        }
    }

    /// What `spent` has cost; none without a price. Calls that are up are not in it.
    pub fn cost_micro_usd(&self, spent: &Spent) -> Option<u64> {
        let each = self.per_minute_micro_usd?;
        Some(spent.n_minutes.saturating_mul(each))
    }
}

impl Room {
    /// The room as a gate for [`super::pacing::allow`], beside `n_open` calls that are up.
    pub fn gate(&self, n_open: u32) -> Gate {
        let max_open = self
            .n_calls
            .map_or(u32::MAX, |n_calls| n_open.saturating_add(n_calls));
        Gate::of_room(max_open, n_open)
    }
}

/// How many more calls of up to `max_duration` the budget leaves room for.
pub fn room(budget: &Budget, spent: &Spent, max_duration: Duration) -> Room {
    let Some(minutes) = budget.minutes() else {
        return Room {
            n_calls: None,
            is_exhausted: false,
        };
    };
    // A call of no length at all is no call: one costs a minute at least.
    let per_call = billed_minutes(max_duration).max(1);
    let left = minutes.saturating_sub(spent.n_minutes);
    let n_fit = left / per_call;
    let n_calls = n_fit.saturating_sub(u64::from(spent.n_open));
    Room {
        n_calls: Some(u32::try_from(n_calls).unwrap_or(u32::MAX)),
        is_exhausted: n_fit == 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Timestamp, pacing};

    const QUARTER: Duration = Duration::from_secs(900);

    fn minutes(most: u64) -> Budget {
        Budget {
            most_minutes: Some(most),
            ..Budget::default()
        }
    }

    fn spent(n_minutes: u64, n_open: u32) -> Spent {
        Spent { n_minutes, n_open }
    }

    #[test]
    fn minutes_are_billed_whole() {
        let billed = [0, 1, 60, 61, 3_600].map(|secs| billed_minutes(Duration::from_secs(secs)));
        assert_eq!(billed, [0, 1, 1, 2, 60]);
        assert_eq!(billed_minutes(Duration::from_millis(300)), 1);
    }

    #[test]
    fn calls_that_are_up_count_at_their_greatest_length() {
        let left = |n_minutes, n_open| room(&minutes(100), &spent(n_minutes, n_open), QUARTER);
        assert_eq!(left(0, 0).n_calls, Some(6));
        assert_eq!(left(0, 6).n_calls, Some(0));
        assert_eq!(left(4, 4).n_calls, Some(2));
    }

    #[test]
    fn it_is_exhausted_when_not_even_one_call_fits() {
        let full = room(&minutes(100), &spent(60, 2), QUARTER);
        assert_eq!((full.n_calls, full.is_exhausted), (Some(0), false));
        let over = room(&minutes(100), &spent(86, 0), QUARTER);
        assert_eq!((over.n_calls, over.is_exhausted), (Some(0), true));
    }

    #[test]
    fn money_is_minutes_at_a_price() {
        let budget = Budget {
            most_cost_micro_usd: Some(10_000_000),
            per_minute_micro_usd: Some(100_000),
            ..Budget::default()
        };
        let left = room(&budget, &spent(40, 0), QUARTER);
        assert_eq!(left.n_calls, Some(4));
        assert_eq!(budget.cost_micro_usd(&spent(40, 9)), Some(4_000_000));
        let both = Budget {
            most_minutes: Some(50),
            ..budget
        };
        assert_eq!(room(&both, &spent(40, 0), QUARTER).n_calls, Some(0));
    }

    #[test]
    fn without_a_limit_there_is_none() {
        let free = room(&Budget::default(), &spent(u64::MAX, 9), QUARTER);
        assert_eq!((free.n_calls, free.is_exhausted), (None, false));
        let no_price = Budget {
            most_cost_micro_usd: Some(1),
            ..Budget::default()
        };
        assert_eq!(room(&no_price, &spent(9, 9), QUARTER).n_calls, None);
    }

    #[test]
    fn the_room_works_as_a_gate() {
        let now = Timestamp::constant(1_760_000_000, 0);
        let gate = room(&minutes(45), &spent(0, 1), QUARTER).gate(1);
        let starts = pacing::allow(&[gate], now, Duration::ZERO, 100);
        assert_eq!(starts.len(), 2);
    }

    proptest! {
        // Calls begin whenever there is room and end after any time up to their limit.
        #[test]
        fn a_budget_is_never_exceeded(
            most in 0_u64..2_000, max_s in 10_u64..3_600,
            steps in proptest::collection::vec((any::<bool>(), 0.0_f64..=1.0), 1..200),
        ) {
            let limit = Duration::from_secs(max_s);
            let mut spent = spent(0, 0);
            for (begins, length) in steps {
                if begins {
                    let n_calls = room(&minutes(most), &spent, limit).n_calls.unwrap();
                    spent.n_open += n_calls.min(3);
                } else if spent.n_open > 0 {
                    spent.n_open -= 1;
                    spent.n_minutes += billed_minutes(limit.mul_f64(length));
                }
                let worst = spent.n_minutes + u64::from(spent.n_open) * billed_minutes(limit);
                prop_assert!(worst <= most);
            }
        }
    }
}
