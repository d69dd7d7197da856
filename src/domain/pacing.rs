//! How many calls may begin now, and when to look again.
//!
//! Limits are of two kinds: how many calls may be up at once, and how closely dial starts may
//! follow each other. Starts are given as instants a short way ahead, so that the set rate is kept
//! by a loop that wakes rarely. A stalled loop never catches up: a start lies in the present or
//! the future, whatever was missed.

use std::{cmp::max, time::Duration};

use super::Timestamp;

/// The limits of one campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacingLimits {
    /// How many of its calls may be open at once, dialing included.
    pub max_concurrent_calls: u32,
    /// The least time between two dial starts.
    pub call_delay: Duration,
    /// The most dial starts per second.
    pub calls_per_second: CallRate,
}

impl Default for PacingLimits {
    /// Ten calls at once, one start a second: what a new carrier account allows.
    fn default() -> Self {
        Self {
            max_concurrent_calls: 10,
            call_delay: Duration::ZERO,
            calls_per_second: CallRate::default(),
        }
    }
}

/// Dial starts per second, from 0.1 to 200 in steps of a thousandth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRate {
    per_1000_seconds: u32,
}

/// The rate is outside what is supported.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("a rate of {0} calls per second is not between 0.1 and 200")]
pub struct RateError(f64);

impl Default for CallRate {
    /// One a second.
    fn default() -> Self {
        Self {
            per_1000_seconds: 1000,
        }
    }
}

impl TryFrom<f64> for CallRate {
    type Error = RateError;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range check leaves 100 to 200,000"
    )]
    fn try_from(per_second: f64) -> Result<Self, RateError> {
        if !(0.1..=200.0).contains(&per_second) {
            return Err(RateError(per_second));
        }
        Ok(Self {
            per_1000_seconds: (per_second * 1000.0).round() as u32,
        })
    }
}

impl CallRate {
    /// Starts per second.
    pub fn per_second(self) -> f64 {
        f64::from(self.per_1000_seconds) / 1000.0
    }

    /// The time from one start to the next.
    pub fn interval(self) -> Duration {
        Duration::from_nanos(1_000_000_000_000 / u64::from(self.per_1000_seconds))
    }
}

/// What is up, and when the last start was: of a campaign or of a whole tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Open attempts: everything from the saved intent to the known end.
    pub n_open: u32,
    /// The latest dial start given out, in the past or shortly ahead.
    pub last_start: Option<Timestamp>,
}

/// One limit that applies, with what is used of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// The most open attempts.
    pub max_open: u32,
    /// The least time between two starts.
    pub interval: Duration,
    /// What is used.
    pub usage: Usage,
}

impl Gate {
    /// The gate of a campaign's own limits.
    pub fn of(limits: &PacingLimits, usage: Usage) -> Self {
        Self {
            max_open: limits.max_concurrent_calls,
            interval: max(limits.call_delay, limits.calls_per_second.interval()),
            usage,
        }
    }

    fn room(&self) -> u32 {
        self.max_open.saturating_sub(self.usage.n_open)
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.usage.last_start.map(|last| last + self.interval)
    }
}

/// What may begin: the instants, soonest first, and when to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// One instant for each dial start that may be given out now.
    pub starts: Vec<Timestamp>,
    /// When spacing allows the next start that is not among them; none while a limit on open calls
    /// is reached, because then only the end of a call changes anything.
    pub look_again_at: Option<Timestamp>,
}

/// Gives out dial starts up to `horizon` from now that keep every gate, and at most `max_starts`.
pub fn allow(gates: &[Gate], now: Timestamp, horizon: Duration, max_starts: u32) -> Allowance {
    let room = gates
        .iter()
        .map(Gate::room)
        .min()
        .unwrap_or(0)
        .min(max_starts);
    let interval = gates
        .iter()
        .map(|gate| gate.interval)
        .max()
        .unwrap_or_default();
    let mut next = gates
        .iter()
        .filter_map(Gate::earliest)
        .max()
        .map_or(now, |at| max(at, now));
    let mut starts = Vec::new();
    while starts.len() < room as usize && next <= now + horizon {
        starts.push(next);
        next += interval;
    }
    let waits_for_spacing = starts.len() < room as usize;
    Allowance {
        starts,
        look_again_at: waits_for_spacing.then_some(next),
    }
}

/// What keeps requests apart as they really leave.
///
/// Starts are planned with their distance, but a busy machine sends some of them late, and late ones
/// must not bunch. A lane lets one through when it keeps its distance to the one before; a rate may
/// make up for lateness by one interval, so that it is kept over time, which is at most one start
/// more in any second. A least distance may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    interval: Duration,
    tolerance: Duration,
    /// When the last start was, or would have been if all had come evenly: a rate that makes up for
    /// lateness is ahead of it by that much.
    last: Option<Timestamp>,
}

impl Lane {
    /// A lane for a rate, empty yet.
    pub fn of_rate(rate: CallRate) -> Self {
        let interval = rate.interval();
        Self {
            interval,
            tolerance: interval,
            last: None,
        }
    }

    /// A lane for a least distance, empty yet.
    pub fn of_delay(delay: Duration) -> Self {
        Self {
            interval: delay,
            tolerance: Duration::ZERO,
            last: None,
        }
    }

    /// This lane with the pace of `other`, for limits that change while calls go out.
    #[must_use]
    pub fn at_pace_of(self, other: Self) -> Self {
        Self {
            last: self.last,
            ..other
        }
    }

    fn opens_at(&self) -> Option<Timestamp> {
        self.last
            .map(|last| last + self.interval.saturating_sub(self.tolerance))
    }

    fn pass(&mut self, now: Timestamp) {
        self.last = Some(self.last.map_or(now, |last| max(last + self.interval, now)));
    }
}

/// Lets one start through every lane at `now`, or says when to try again; then none has moved.
pub fn depart(lanes: &mut [Lane], now: Timestamp) -> Result<(), Timestamp> {
    match lanes.iter().filter_map(Lane::opens_at).max() {
        Some(opens) if opens > now => Err(opens),
        _ => {
            for lane in lanes {
                lane.pass(now);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);
    const HORIZON: Duration = Duration::from_millis(250);

    fn gate(max_open: u32, interval_ms: u64, n_open: u32, last_ms: Option<i64>) -> Gate {
        let last_start = last_ms.map(|ms| {
            NOW.checked_add(jiff::SignedDuration::from_millis(ms))
                .unwrap()
        });
        Gate {
            max_open,
            interval: Duration::from_millis(interval_ms),
            usage: Usage { n_open, last_start },
        }
    }

    fn offsets(allowance: &Allowance) -> Vec<i64> {
        allowance
            .starts
            .iter()
            .map(|at| at.as_millisecond() - NOW.as_millisecond())
            .collect()
    }

    #[test]
    fn the_first_start_is_now_and_the_next_keeps_its_distance() {
        let allowance = allow(&[gate(10, 100, 0, None)], NOW, HORIZON, 100);
        assert_eq!(offsets(&allowance), [0, 100, 200]);
        assert_eq!(
            allowance.look_again_at,
            Some(NOW + Duration::from_millis(300))
        );
    }

    #[test]
    fn a_full_house_waits_for_a_call_to_end() {
        let allowance = allow(&[gate(2, 100, 2, None)], NOW, HORIZON, 100);
        assert_eq!(
            allowance,
            Allowance {
                starts: vec![],
                look_again_at: None
            }
        );
    }

    // proves F-11
    #[test]
    fn a_stalled_loop_does_not_catch_up() {
        let allowance = allow(&[gate(10, 100, 0, Some(-30_000))], NOW, HORIZON, 100);
        assert_eq!(offsets(&allowance), [0, 100, 200]);
    }

    #[test]
    fn the_strictest_gate_decides() {
        let campaign = gate(10, 100, 0, Some(-50));
        let tenant = gate(3, 20, 1, Some(-5));
        assert_eq!(
            offsets(&allow(&[campaign, tenant], NOW, HORIZON, 100)),
            [50, 150]
        );
    }

    #[test]
    fn a_changed_pace_counts_from_the_last_start() {
        let mut lanes = [Lane::of_delay(Duration::from_secs(60))];
        depart(&mut lanes, NOW).unwrap();
        assert_eq!(depart(&mut lanes, NOW), Err(NOW + Duration::from_secs(60)));
        let mut faster = [lanes[0].at_pace_of(Lane::of_delay(Duration::from_secs(1)))];
        assert_eq!(depart(&mut faster, NOW + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn rates_outside_the_range_are_refused() {
        assert!(CallRate::try_from(0.05).is_err());
        assert!(CallRate::try_from(f64::NAN).is_err());
        assert_eq!(
            CallRate::try_from(2.5).unwrap().interval(),
            Duration::from_millis(400)
        );
    }

    proptest! {
        // proves F-11
        #[test]
        fn late_starts_never_make_more_than_one_too_many_in_a_second(
            rate in 1.0_f64..100.0,
            late_ms in proptest::collection::vec(0_i64..400, 1..300),
        ) {
            let rate = CallRate::try_from(rate).unwrap();
            let mut lanes = [Lane::of_rate(rate)];
            let mut now = NOW;
            let mut sent: Vec<Timestamp> = Vec::new();
            for (n, late) in late_ms.iter().enumerate() {
                // Most come on time; every tenth is held up, and the ones behind it arrive at once.
                let stall = if n % 10 == 0 { *late } else { 0 };
                now += jiff::SignedDuration::from_millis(stall);
                while let Err(at) = depart(&mut lanes, now) {
                    prop_assert!(at > now);
                    now = at;
                }
                sent.push(now);
            }
            let most = rate.per_second().ceil() as usize + 1;
            for (n, first) in sent.iter().enumerate() {
                let within = sent[n..].iter().take_while(|at| **at < *first + Duration::from_secs(1));
                prop_assert!(within.count() <= most);
            }
        }

        #[test]
        fn a_least_distance_is_never_undercut(late_ms in proptest::collection::vec(0_i64..400, 1..100)) {
            let delay = Duration::from_millis(100);
            let mut lanes = [Lane::of_delay(delay)];
            let mut now = NOW;
            let mut last: Option<Timestamp> = None;
            for late in late_ms {
                now += jiff::SignedDuration::from_millis(late);
                while let Err(at) = depart(&mut lanes, now) {
                    now = at;
                }
                prop_assert!(last.is_none_or(|last| now >= last + delay));
                last = Some(now);
            }
        }

        #[test]
        fn starts_keep_every_gate(
            max_open in 0_u32..50, n_open in 0_u32..60, interval_ms in 1_u64..2_000,
            last_ms in proptest::option::of(-5_000_i64..500),
        ) {
            let gate = gate(max_open, interval_ms, n_open, last_ms);
            let allowance = allow(&[gate], NOW, HORIZON, 100);
            prop_assert!(allowance.starts.len() as u32 + n_open <= max_open.max(n_open));
            let mut all: Vec<_> = gate.usage.last_start.into_iter().collect();
            all.extend(&allowance.starts);
            for pair in all.windows(2) {
                prop_assert!(pair[1] >= pair[0] + gate.interval);
            }
            prop_assert!(allowance.starts.iter().all(|at| *at >= NOW));
        }
    }
}
