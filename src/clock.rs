//! The one source of time and of new identifiers.
//!
//! Everything else takes `now` as an argument or holds an `Arc<dyn Clock>`, so that a test or the
//! simulator can decide both. It knows nothing of what is measured or named.

use std::{sync::Mutex, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

/// Where the time and new identifiers come from.
pub trait Clock: Send + Sync + 'static {
    /// The present time in UTC, cut to the millisecond, because that is what both stores keep.
    fn now(&self) -> Timestamp;

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

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that makes identifiers"
    )]
    fn new_uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    n_ids: u64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            state: Mutex::new(ManualState {
                now: to_millisecond(now),
                n_ids: 0,
            }),
        }
    }

    /// Moves the clock forward by `step`.
    pub fn advance(&self, step: Duration) {
        let mut state = self
            .state
            .lock()
            .expect("no code panics while it holds the clock");
        state.now += step;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state
            .lock()
            .expect("no code panics while it holds the clock")
            .now
    }

    fn new_uuid(&self) -> Uuid {
        let mut state = self
            .state
            .lock()
            .expect("no code panics while it holds the clock");
        state.n_ids += 1;
        let millis = u64::try_from(state.now.as_millisecond()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &counter_bytes(state.n_ids)).into_uuid()
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
