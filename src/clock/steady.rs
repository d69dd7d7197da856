//! A clock that no jump of the machine's own moves.
//!
//! Leases, retries and waits are points in time. A machine whose clock is set forward by an hour
//! must not take over a living process's lease nor call a day's retries early, and several machines
//! must agree on the time. So the time runs on by the machine's count of seconds since it was
//! switched on, and follows a reference slowly.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Clock, SystemClock, to_millisecond};

/// Below this, a difference from the reference is left alone: it is about what asking for the time
/// over a network can tell, and what machines whose clocks are kept right differ by.
const TOLERANCE: SignedDuration = SignedDuration::from_millis(100);

/// Following the reference, the clock runs faster or slower by a tenth at most.
const SLOWNESS: i32 = 10;

/// A difference above this would take long to make good, and so it is made good at once ...
const FAR: SignedDuration = SignedDuration::from_secs(60);

/// ... when the reference has said so this many times in a row: longer than any lease lasts.
const INSISTENCE: u32 = 6;

/// How often the reference is to be asked.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(10);

/// How the clock stands to its reference after a reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// They agree.
    Steady,
    /// The clock makes a difference good, slowly.
    Drifting,
    /// The clock was set, by that much.
    Set(SignedDuration),
}

/// The machine's clock as it was at the start, running on evenly.
#[derive(Debug)]
pub struct SteadyClock {
    course: Mutex<Course>,
}

/// A straight line: the time at some moment, and where it is led to.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// By the count of seconds.
    at: SignedDuration,
    time: Timestamp,
    /// What is still to be made good.
    behind: SignedDuration,
    n_far: u32,
}

impl SteadyClock {
    /// A clock that begins with the machine's time.
    #[expect(
        clippy::new_without_default,
        reason = "it reads the machine's clock, which no default value does"
    )]
    pub fn new() -> Self {
        let course = Course {
            at: uptime(),
            time: SystemClock.now(),
            behind: SignedDuration::ZERO,
            n_far: 0,
        };
        Self {
            course: Mutex::new(course),
        }
    }

    /// Sets the clock, before anything depends on it.
    pub fn set(&self, reference: Timestamp) {
        let at = uptime();
        let mut course = self.course();
        let difference = reference.duration_since(course.now(at));
        if difference.abs() > TOLERANCE {
            *course = course.set(at, reference);
        }
    }

    /// Takes a reading of the reference, from [`FOLLOW_EVERY`] after the one before.
    pub fn follow(&self, reference: Timestamp) -> Following {
        let mut course = self.course();
        let (next, following) = course.following(uptime(), reference);
        *course = next;
        following
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let now = self.course().now(uptime());
        to_millisecond(now)
    }

    fn sleep(&self, wait: Duration) -> BoxFuture<'static, ()> {
        SystemClock.sleep(wait)
    }

    fn new_uuid(&self) -> Uuid {
        SystemClock.new_uuid()
    }
}

impl Course {
    fn now(&self, at: SignedDuration) -> Timestamp {
        let passed = at - self.at;
        let most = passed / SLOWNESS;
        let made_good = self.behind.clamp(-most, most);
        self.time + passed + made_good
    }

    fn set(&self, at: SignedDuration, time: Timestamp) -> Self {
        Self {
            at,
            time,
            behind: SignedDuration::ZERO,
            n_far: 0,
        }
    }

    fn following(&self, at: SignedDuration, reference: Timestamp) -> (Self, Following) {
        let now = self.now(at);
        let difference = reference.duration_since(now);
        let is_far = difference.abs() > FAR;
        let n_far = if is_far { self.n_far + 1 } else { 0 };
        if n_far >= INSISTENCE {
            return (self.set(at, reference), Following::Set(difference));
        }
        let is_off = difference.abs() > TOLERANCE;
        // A far one waits: half an hour of running slowly helps nobody.
        let is_led = is_off && !is_far;
        let next = Self {
            at,
            time: now,
            behind: if is_led {
                difference
            } else {
                SignedDuration::ZERO
            },
            n_far,
        };
        let following = if is_off {
            Following::Drifting
        } else {
            Following::Steady
        };
        (next, following)
    }
}

/// Since the machine was switched on, times of sleep included: a process on a machine that slept must
/// know that its leases have run out.
fn uptime() -> SignedDuration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let nanoseconds = i32::try_from(time.tv_nsec).expect("it is below a second");
    SignedDuration::new(time.tv_sec, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn course() -> Course {
        Course {
            at: SignedDuration::ZERO,
            time: START,
            behind: SignedDuration::ZERO,
            n_far: 0,
        }
    }

    fn seconds(n: i64) -> SignedDuration {
        SignedDuration::from_secs(n)
    }

    #[test]
    fn it_runs_on_evenly() {
        assert_eq!(course().now(seconds(30)), START + seconds(30));
    }

    #[test]
    fn small_differences_are_left_alone() {
        let reference = START + seconds(10) + SignedDuration::from_millis(99);
        let (next, following) = course().following(seconds(10), reference);
        assert_eq!(following, Following::Steady);
        assert_eq!(next.now(seconds(20)), START + seconds(20));
    }

    // proves F-93
    #[test]
    fn a_difference_is_made_good_by_a_tenth_of_the_time_and_never_goes_back() {
        // Two seconds ahead: a second of that in the next ten, all of it later.
        let (ahead, following) = course().following(seconds(10), START + seconds(12));
        assert_eq!(following, Following::Drifting);
        assert_eq!(ahead.now(seconds(20)), START + seconds(21));
        assert_eq!(ahead.now(seconds(50)), START + seconds(52));
        // Two seconds behind: slower, and forward all the same.
        let (behind, _) = course().following(seconds(10), START + seconds(8));
        assert_eq!(behind.now(seconds(10)), START + seconds(10));
        assert_eq!(behind.now(seconds(20)), START + seconds(19));
        assert_eq!(behind.now(seconds(50)), START + seconds(48));
    }

    // proves F-93
    #[test]
    fn a_jump_moves_nothing_until_it_has_lasted_longer_than_any_lease() {
        for jump in [seconds(3600), seconds(-3600), seconds(86_400)] {
            let mut course = course();
            for n in 1..i64::from(INSISTENCE) {
                let at = seconds(10 * n);
                let (next, following) = course.following(at, START + at + jump);
                assert_eq!(following, Following::Drifting);
                assert_eq!(next.now(at), START + at);
                course = next;
            }
            let at = seconds(60);
            let (next, following) = course.following(at, START + at + jump);
            assert_eq!(following, Following::Set(jump));
            assert_eq!(next.now(at), START + at + jump);
        }
    }

    // proves F-93
    #[test]
    fn a_jump_that_is_taken_back_is_forgotten() {
        let mut course = course();
        for n in 1..20 {
            let at = seconds(10 * n);
            let jump = if n % INSISTENCE as i64 == 0 {
                SignedDuration::ZERO
            } else {
                seconds(3600)
            };
            let (next, following) = course.following(at, START + at + jump);
            assert!(!matches!(following, Following::Set(_)));
            course = next;
        }
        assert_eq!(course.now(seconds(200)), START + seconds(200));
    }

    #[test]
    fn it_begins_with_the_machines_time_and_can_be_set() {
        let clock = SteadyClock::new();
        let off = clock.now().duration_since(SystemClock.now()).abs();
        assert!(off < seconds(1), "{off}");
        clock.set(START);
        let passed = clock.now().duration_since(START);
        assert!(
            passed >= SignedDuration::ZERO && passed < seconds(1),
            "{passed}"
        );
    }
}
