//! The one source of time and of new identifiers.
//!
//! Everything else takes `now` as an argument or holds an `Arc<dyn Clock>`, so that a test or the
//! simulator can decide both. It knows nothing of what is measured or named.

mod steady;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

pub use steady::{FOLLOW_EVERY, Following, SteadyClock};

/// Where the time and new identifiers come from.
pub trait Clock: Send + Sync + 'static {
    /// The present time in UTC, cut to the millisecond, because that is what both stores keep.
    fn now(&self) -> Timestamp;

    /// Ready when `wait` has passed on this clock; at once when it is nothing.
    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()>;

    /// A fresh time-ordered identifier (UUIDv7).
    fn new_uuid(&self) -> Uuid;
}

/// The machine's own clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        to_millisecond(Timestamp::now())
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(wait))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that makes identifiers"
    )]
    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock that moves only when told to. Whoever sleeps on it wakes when it is moved that far, the
/// soonest first.
#[derive(Debug)]
pub struct ManualClock {
    state: Arc<Mutex<ManualState>>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    n_ids: u64,
    n_sleeps: u64,
    /// By when they wake, and those of one moment in the order in which they went to sleep.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self::numbering_from(now, 0)
    }

    /// A clock that stands at `now` and gives out identifiers that no clock gives out which counts
    /// from elsewhere.
    pub fn numbering_from(now: Timestamp, n_ids: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(ManualState {
                now: to_millisecond(now),
                n_ids,
                n_sleeps: 0,
                sleepers: BTreeMap::new(),
            })),
        }
    }

    /// Moves the clock forward by `step`.
    pub fn advance(&self, step: Duration) {
        let now = self.now() + step;
        self.set(now);
    }

    /// Moves the clock to `now` and wakes everybody whose time has come; whether there was anybody.
    pub fn set(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let now = to_millisecond(now);
        state.now = now;
        if state.sleepers.keys().next().is_none_or(|(at, _)| *at > now) {
            return false;
        }
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        drop(state);
        for waker in due.into_values() {
            waker.wake();
        }
        true
    }

    /// When the next sleeper wakes; none while nobody sleeps.
    pub fn next_wake(&self) -> Option<Timestamp> {
        lock(&self.state).sleepers.keys().next().map(|(at, _)| *at)
    }
}

fn lock(state: &Mutex<ManualState>) -> MutexGuard<'_, ManualState> {
    state
        .lock()
        .expect("no code panics while it holds the clock")
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        lock(&self.state).now
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        let mut state = lock(&self.state);
        state.n_sleeps += 1;
        // Nobody wakes early: what is kept of the time is whole milliseconds.
        let millis = wait.as_nanos().div_ceil(1_000_000);
        let wait = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX / 2));
        let at = state.now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        Box::pin(ManualSleep {
            key: (at, state.n_sleeps),
            clock: self.state.clone(),
        })
    }

    fn new_uuid(&self) -> Uuid {
        let mut state = lock(&self.state);
        state.n_ids += 1;
        let millis = u64::try_from(state.now.as_millisecond()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &counter_bytes(state.n_ids)).into_uuid()
    }
}

/// A sleep on a [`ManualClock`]. Dropping it leaves nothing behind.
struct ManualSleep {
    key: (Timestamp, u64),
    clock: Arc<Mutex<ManualState>>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.clock);
        if state.now >= self.key.0 {
            state.sleepers.remove(&self.key);
            return Poll::Ready(());
        }
        state.sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        lock(&self.clock).sleepers.remove(&self.key);
    }
}

fn counter_bytes(n: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&n.to_be_bytes());
    bytes
}

/// `at` without the part below a millisecond.
pub fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).expect("a rounded timestamp is in range")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    #[test]
    fn a_sleeper_wakes_when_the_clock_has_come_that_far() {
        let clock = ManualClock::at(NOW);
        let mut sleep = clock.sleep(Duration::from_millis(20));
        assert_eq!((&mut sleep).now_or_never(), None);
        assert_eq!(clock.next_wake(), Some(NOW + Duration::from_millis(20)));
        clock.advance(Duration::from_millis(19));
        assert_eq!((&mut sleep).now_or_never(), None);
        clock.advance(Duration::from_millis(1));
        assert_eq!((&mut sleep).now_or_never(), Some(()));
        assert_eq!(clock.sleep(Duration::ZERO).now_or_never(), Some(()));
        assert_eq!(clock.sleep(Duration::from_nanos(1)).now_or_never(), None);
    }

    #[test]
    fn a_sleep_that_is_dropped_is_forgotten() {
        let clock = ManualClock::at(NOW);
        let mut sleep = clock.sleep(Duration::from_millis(20));
        assert_eq!((&mut sleep).now_or_never(), None);
        drop(sleep);
        assert_eq!(clock.next_wake(), None);
    }
}
