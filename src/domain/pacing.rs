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
    /// How the rate rises to that after each time the campaign became active; none begins with it.
    pub ramp: Option<Ramp>,
}

/// A rise of the rate from a lower one, evenly over a time.
///
/// A new number that dials at full rate looks like a robot to carriers, and a wrong prompt has
/// reached few people when somebody notices it in the first minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// The rate at first; one that is not below the set rate changes nothing.
    pub from: CallRate,
    /// How long the rise takes.
    pub over: Duration,
}

impl Ramp {
    /// The rate after `active_for`, on the way to `target` and never above it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the result lies between two rates"
    )]
    pub fn rate(&self, target: CallRate, active_for: Duration) -> CallRate {
        if self.from >= target || active_for >= self.over {
            return target;
        }
        let done = active_for.as_secs_f64() / self.over.as_secs_f64();
        let rise = f64::from(target.per_1000_seconds - self.from.per_1000_seconds) * done;
        CallRate {
            per_1000_seconds: self.from.per_1000_seconds + rise as u32,
        }
    }
}

impl PacingLimits {
    /// The rate in force when the campaign has been active for `active_for` without a break.
    pub fn rate_after(&self, active_for: Duration) -> CallRate {
        self.ramp.map_or(self.calls_per_second, |ramp| {
            ramp.rate(self.calls_per_second, active_for)
        })
    }
}

impl Default for PacingLimits {
    /// Ten calls at once, one start a second: what a new carrier account allows.
    fn default() -> Self {
        Self {
            max_concurrent_calls: 10,
            call_delay: Duration::ZERO,
            calls_per_second: CallRate::default(),
            ramp: None,
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

impl Usage {
    /// With `n` more that began, the last of them then.
    #[must_use]
    pub fn after(self, n: u32, last_start: Option<Timestamp>) -> Self {
        Self {
            n_open: self.n_open + n,
            last_start: max(self.last_start, last_start),
        }
    }
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

    /// The gate of a campaign's own limits when it has been active for `active_for` without a break:
    /// like [`Gate::of`], with the rate that the ramp has come to.
    pub fn ramping(limits: &PacingLimits, usage: Usage, active_for: Duration) -> Self {
        Self {
            interval: max(limits.call_delay, limits.rate_after(active_for).interval()),
            ..Self::of(limits, usage)
        }
    }

    /// A gate that knows only how many may be open: an agent vendor's concurrency, a budget.
    pub fn of_room(max_open: u32, n_open: u32) -> Self {
        Self {
            max_open,
            interval: Duration::ZERO,
            usage: Usage {
                n_open,
                last_start: None,
            },
        }
    }

    /// How many more calls may be open.
    pub fn room(&self) -> u32 {
        self.max_open.saturating_sub(self.usage.n_open)
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.usage.last_start.map(|last| last + self.interval)
    }
}

/// The dial starts up to `horizon` from now that keep every gate, soonest first: `max_starts` at most.
pub fn allow(gates: &[Gate], now: Timestamp, horizon: Duration, max_starts: u32) -> Vec<Timestamp> {
    let room = room(gates).min(max_starts) as usize;
    let interval = gates.iter().map(|gate| gate.interval).max();
    let mut next = earliest(gates, now);
    let mut starts = Vec::new();
    while starts.len() < room && next <= now + horizon {
        starts.push(next);
        next += interval.unwrap_or_default();
    }
    starts
}

/// When spacing allows the next start; none while a limit on open calls is reached, because then only
/// the end of a call changes anything.
pub fn next_start(gates: &[Gate], now: Timestamp) -> Option<Timestamp> {
    (room(gates) > 0).then(|| earliest(gates, now))
}

fn room(gates: &[Gate]) -> u32 {
    gates.iter().map(Gate::room).min().unwrap_or(0)
}

fn earliest(gates: &[Gate], now: Timestamp) -> Timestamp {
    let earliest = gates.iter().filter_map(Gate::earliest).max();
    earliest.map_or(now, |at| max(at, now))
}

/// A planned start as records keep it, in whole milliseconds. Cut off, it could lie too close to the
/// one before.
///
/// Who plans the next start goes by the plan, not by this: at 150 a second each round would lose up to a
/// seventh of an interval, or, from a time cut off, be faster than requests may leave.
pub fn kept_as(planned: Timestamp) -> Timestamp {
    let rest = planned.subsec_nanosecond().rem_euclid(1_000_000);
    let missing = (1_000_000 - rest) % 1_000_000;
    planned + jiff::SignedDuration::from_nanos(i64::from(missing))
}

/// What keeps requests apart as they really leave.
///
/// Starts are planned with their distance, but a busy machine sends some of them late, and late ones
/// must not bunch. A rate makes up for lateness, or requests would be ever later against their plan
/// until they are given back; but slowly, so that no second has more than one start too many. A
/// least distance makes up for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Keeps the rate over time, or the distance.
    steady: Meter,
    /// Keeps every single second, while lateness is made up for.
    brisk: Option<Meter>,
}

/// How much lateness a rate makes up for.
const MADE_UP: Duration = Duration::from_secs(1);

impl Lane {
    /// A lane for a rate, empty yet.
    ///
    /// What is late leaves at half a start a second more than the rate, and half an interval too soon
    /// at most: together no more than one start too many, wherever the second begins.
    pub fn of_rate(rate: CallRate) -> Self {
        let interval = rate.interval();
        // Rounded up: a few nanoseconds less let one more into a second.
        let brisk = 1_000_000_000_000_u64.div_ceil(u64::from(rate.per_1000_seconds) + 500);
        let brisk = Duration::from_nanos(brisk);
        Self {
            steady: Meter::of(interval, max(interval, MADE_UP)),
            brisk: Some(Meter::of(brisk, brisk / 2)),
        }
    }

    /// A lane for a least distance, empty yet.
    pub fn of_delay(delay: Duration) -> Self {
        Self {
            steady: Meter::of(delay, Duration::ZERO),
            brisk: None,
        }
    }

    /// This lane with the pace of `other`, for limits that change while calls go out.
    #[must_use]
    pub fn at_pace_of(self, other: Self) -> Self {
        Self {
            steady: other.steady.after(self.steady.last),
            brisk: other
                .brisk
                .map(|brisk| brisk.after(self.brisk.and_then(|brisk| brisk.last))),
        }
    }

    fn opens_at(&self) -> Option<Timestamp> {
        let brisk = self.brisk.and_then(|brisk| brisk.opens_at());
        max(self.steady.opens_at(), brisk)
    }

    fn pass(&mut self, now: Timestamp) {
        self.steady.pass(now);
        if let Some(brisk) = &mut self.brisk {
            brisk.pass(now);
        }
    }
}

/// Counts starts against a pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meter {
    interval: Duration,
    /// How much too soon a start may be after late ones.
    tolerance: Duration,
    /// When the last start was, or would have been if all had come evenly: one that makes up for
    /// lateness is ahead of it by that much.
    last: Option<Timestamp>,
}

impl Meter {
    fn of(interval: Duration, tolerance: Duration) -> Self {
        Self {
            interval,
            tolerance,
            last: None,
        }
    }

    fn after(self, last: Option<Timestamp>) -> Self {
        Self { last, ..self }
    }

    fn opens_at(&self) -> Option<Timestamp> {
        let early = jiff::SignedDuration::try_from(self.tolerance).unwrap_or_default();
        self.last.map(|last| last + self.interval - early)
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
mod tests;
