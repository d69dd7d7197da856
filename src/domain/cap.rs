//! How often a person may be called: rolling caps and the least gap between calls.

use std::{fmt, time::Duration};

use super::{Timestamp, window::later};

/// At most so many attempts within any span of that length, over all campaigns of a tenant.
///
/// An attempt counts from its reservation until exactly `within` later; one whose result is not
/// known counts like any other (F-74).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cap {
    /// How many attempts.
    pub most: u32,
    /// The length of the span.
    pub within: Duration,
}

impl Cap {
    /// The cap that is the same as a least gap between attempts.
    pub fn gap(gap: Duration) -> Self {
        Self {
            most: 1,
            within: gap,
        }
    }

    /// How many of `attempts` count at `at`.
    ///
    /// One that another process reserved a moment later than our clock says counts too.
    pub fn count(&self, attempts: impl IntoIterator<Item = Timestamp>, at: Timestamp) -> u32 {
        let counting = attempts
            .into_iter()
            .filter(|it| later(*it, self.within) > at);
        u32::try_from(counting.count()).unwrap_or(u32::MAX)
    }

    /// The first instant from `at` on at which one more attempt is within the cap; none when a cap
    /// of zero never allows one.
    pub fn next_allowed(
        &self,
        attempts: impl IntoIterator<Item = Timestamp>,
        at: Timestamp,
    ) -> Option<Timestamp> {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        if most == 0 {
            return None;
        }
        let ends = attempts.into_iter().map(|it| later(it, self.within));
        let mut ends: Vec<_> = ends.filter(|end| *end > at).collect();
        if ends.len() < most {
            return Some(at);
        }
        ends.sort_unstable();
        Some(ends[ends.len() - most])
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.most, in_words(self.within))
    }
}

/// A length of time for an operator: whole hours, else minutes, else seconds.
pub(super) fn in_words(length: Duration) -> String {
    match length.as_secs() {
        s if s >= 3600 && s.is_multiple_of(3600) => format!("{} h", s / 3600),
        s if s >= 60 && s.is_multiple_of(60) => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_760_000_000 + second).unwrap()
    }

    // proves F-74
    #[test]
    fn the_fourth_attempt_waits_until_the_first_is_24_hours_old() {
        let cap = Cap {
            most: 3,
            within: DAY,
        };
        let attempts = [at(7_200), at(0), at(3_600)];
        assert_eq!(cap.next_allowed(attempts, at(7_300)), Some(at(86_400)));
        assert_eq!(cap.next_allowed(attempts, at(86_399)), Some(at(86_400)));
        assert_eq!(cap.next_allowed(attempts, at(86_400)), Some(at(86_400)));
        assert_eq!(cap.next_allowed(attempts, at(86_401)), Some(at(86_401)));
        assert_eq!(cap.count(attempts, at(86_399)), 3);
        assert_eq!(cap.count(attempts, at(86_400)), 2);
    }

    #[test]
    fn a_reservation_ahead_of_our_clock_counts() {
        let cap = Cap::gap(Duration::from_secs(60));
        assert_eq!(cap.next_allowed([at(5)], at(0)), Some(at(65)));
    }

    #[test]
    fn a_cap_of_zero_never_allows() {
        let cap = Cap {
            most: 0,
            within: DAY,
        };
        assert_eq!(cap.next_allowed([], at(0)), None);
    }

    proptest! {
        #[test]
        fn the_next_allowed_instant_is_the_first(
            attempts in proptest::collection::vec(-400_i64..50, 0..12),
            most in 1_u32..6,
            within in 1_u64..300,
        ) {
            let cap = Cap { most, within: Duration::from_secs(within) };
            let attempts: Vec<_> = attempts.into_iter().map(at).collect();
            let first = (0..2_000).map(at).find(|t| cap.count(attempts.clone(), *t) < most);
            prop_assert_eq!(cap.next_allowed(attempts, at(0)), first);
        }
    }
}
