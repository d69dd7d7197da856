//! When enough calls fail for one cause that a campaign should stand still.
//!
//! Each cause is judged over the calls that say something about it. Too few calls count as if the
//! missing ones had gone well, so that a trip needs the same number of failures at any time.
//!
//! The caller gives the calls that ended since the campaign last became active: what tripped before
//! must not trip again by itself when an operator resumes.

use super::{
    Timestamp,
    attempt::{Attempt, AttemptState, ReleaseReason},
    outcome::{Fault, FaultClass, Outcome},
    phone::PhoneNumber,
};

/// What came of one attempt, as far as policies over several calls care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallResult {
    /// Who was called.
    pub to: PhoneNumber,
    /// How it ended; what the carrier refused counts as failed.
    pub outcome: Outcome,
    /// How we learned of its end.
    pub news: News,
    /// When it ended.
    pub at: Timestamp,
}

/// How we learned that a call was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    /// The carrier told us, as it should.
    Callback,
    /// No callback came, so the carrier was asked.
    LookedUp,
    /// The carrier answered our own request with it: no callback was to be expected.
    NotDue,
}

/// Why calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The carrier or the network cannot make calls.
    Carrier,
    /// Calls are answered and no agent can be had.
    Agent,
    /// The carrier's callbacks do not reach us.
    Callbacks,
}

/// How many of the last calls may fail for one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// How many of the last calls are looked at.
    pub window: u32,
    /// Fewer calls than this count as this many.
    pub least_calls: u32,
    /// Thousandths of them that must fail.
    pub share_permille: u32,
}

/// A breaker for each cause; none never trips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// See [`Cause::Carrier`].
    pub carrier: Option<Breaker>,
    /// See [`Cause::Agent`].
    pub agent: Option<Breaker>,
    /// See [`Cause::Callbacks`].
    pub callbacks: Option<Breaker>,
}

/// What made a breaker open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// For what cause calls fail.
    pub cause: Cause,
    /// How many failed.
    pub n_failed: u32,
    /// Of how many.
    pub n_calls: u32,
}

impl Default for BreakerPolicy {
    /// Carrier: half of the last 40, of 20 at least, because lists contain dead numbers. Agent: half
    /// of the last 10, because each failure is a person who hears nothing (F-35). Callbacks: half of
    /// the last 20.
    fn default() -> Self {
        let half = |window, least_calls| {
            Some(Breaker {
                window,
                least_calls,
                share_permille: 500,
            })
        };
        Self {
            carrier: half(40, 20),
            agent: half(10, 10),
            callbacks: half(20, 20),
        }
    }
}

impl BreakerPolicy {
    /// How many of the last calls have to be known.
    pub fn longest_window(&self) -> u32 {
        // Some of the last calls say nothing about a cause.
        2 * Cause::ALL
            .into_iter()
            .filter_map(|cause| self.breaker(cause))
            .map(|breaker| breaker.window)
            .max()
            .unwrap_or_default()
    }

    /// The breaker for `cause`.
    pub fn breaker(&self, cause: Cause) -> Option<Breaker> {
        match cause {
            Cause::Carrier => self.carrier,
            Cause::Agent => self.agent,
            Cause::Callbacks => self.callbacks,
        }
    }
}

impl CallResult {
    /// What came of `attempt`, or none when it is open, erased or says nothing about calls; `was_looked_up`
    /// says whether its end had to be asked for.
    pub fn of(attempt: &Attempt, was_looked_up: bool) -> Option<Self> {
        let (outcome, news, at) = match &attempt.state {
            AttemptState::Ended { sid, outcome, at } => {
                let news = match sid {
                    None => News::NotDue,
                    Some(_) if was_looked_up => News::LookedUp,
                    Some(_) => News::Callback,
                };
                (outcome.clone(), news, *at)
            }
            AttemptState::Released { at, why } => {
                (Outcome::Failed(refusal(why)?), News::NotDue, *at)
            }
            AttemptState::Reserved
            | AttemptState::Unknown { .. }
            | AttemptState::Dialing { .. }
            | AttemptState::Ringing { .. }
            | AttemptState::Connected { .. } => return None,
        };
        Some(Self {
            to: attempt.to.known()?.clone(),
            outcome,
            news,
            at,
        })
    }

    /// Whether the call failed for `cause`; none when it says nothing about it.
    ///
    /// That the carrier asks for less, or that the account may not call, is no outage: the one lowers
    /// the pace (F-27), the other pauses by itself. Refused destinations and caller numbers rest by
    /// themselves.
    fn failed_for(&self, cause: Cause) -> Option<bool> {
        match cause {
            Cause::Carrier => match &self.outcome {
                Outcome::Failed(fault) => match fault.class {
                    FaultClass::Network | FaultClass::Unclassified => Some(true),
                    FaultClass::Number => Some(false),
                    FaultClass::Account
                    | FaultClass::CallerNumber
                    | FaultClass::Destination
                    | FaultClass::Limit
                    | FaultClass::Ours => None,
                },
                Outcome::Answered
                | Outcome::Abandoned
                | Outcome::AgentUnavailable
                | Outcome::Busy
                | Outcome::NoAnswer
                | Outcome::Voicemail => Some(false),
                Outcome::Canceled => None,
            },
            Cause::Agent => match self.outcome {
                Outcome::AgentUnavailable => Some(true),
                Outcome::Answered => Some(false),
                Outcome::Abandoned
                | Outcome::Busy
                | Outcome::NoAnswer
                | Outcome::Voicemail
                | Outcome::Failed(_)
                | Outcome::Canceled => None,
            },
            Cause::Callbacks => match self.news {
                News::Callback => Some(false),
                News::LookedUp => Some(true),
                News::NotDue => None,
            },
        }
    }
}

fn refusal(why: &ReleaseReason) -> Option<Fault> {
    match why {
        ReleaseReason::Refused(fault) => Some(fault.clone()),
        ReleaseReason::Unreachable => Some(Fault {
            class: FaultClass::Network,
            code: None,
            detail: "the carrier could not be reached".to_owned(),
        }),
        ReleaseReason::Withheld | ReleaseReason::NeverPlaced => None,
    }
}

impl Cause {
    /// All of them; the first to trip is the one that is named.
    pub const ALL: [Self; 3] = [Self::Carrier, Self::Agent, Self::Callbacks];

    /// The cause's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Carrier => "carrier",
            Self::Agent => "agent",
            Self::Callbacks => "callbacks",
        }
    }

    /// The cause of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

impl Trip {
    /// The reason in words for an operator.
    pub fn detail(&self) -> String {
        let Self {
            n_failed, n_calls, ..
        } = self;
        let what = match self.cause {
            Cause::Carrier => "could not be made",
            Cause::Agent => "were answered and had no agent",
            Cause::Callbacks => "ended without a callback, so the carrier had to be asked",
        };
        format!("{n_failed} of the last {n_calls} calls {what}")
    }
}

impl Breaker {
    /// How many failures open it among `n_calls`.
    fn n_to_open(&self, n_calls: u32) -> u32 {
        let of = u64::from(n_calls.max(self.least_calls)) * u64::from(self.share_permille);
        u32::try_from(of.div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}

/// Whether calls fail too often, from what came of the last ones, newest first.
pub fn judge(recent: &[CallResult], policy: &BreakerPolicy) -> Option<Trip> {
    Cause::ALL.into_iter().find_map(|cause| {
        let breaker = policy.breaker(cause)?;
        let (n_failed, n_calls) = count(recent, cause, breaker.window);
        (n_failed >= breaker.n_to_open(n_calls)).then_some(Trip {
            cause,
            n_failed,
            n_calls,
        })
    })
}

/// The most calls that should be open while no agent can be had, or none for no such limit.
///
/// From the second failure in a row no more calls are up than would open the breaker if all of them
/// failed: dialing slows before people answer (F-35), and one good call lets it go on.
pub fn caution(recent: &[CallResult], policy: &BreakerPolicy) -> Option<u32> {
    let breaker = policy.breaker(Cause::Agent)?;
    let n_in_row = recent
        .iter()
        .filter_map(|result| result.failed_for(Cause::Agent))
        .take_while(|failed| *failed)
        .count();
    let (n_failed, n_calls) = count(recent, Cause::Agent, breaker.window);
    let n_left = breaker.n_to_open(n_calls).saturating_sub(n_failed).max(1);
    (n_in_row >= 2).then_some(n_left)
}

/// How many failed for `cause` among the newest `window` calls that say something about it.
fn count(recent: &[CallResult], cause: Cause, window: u32) -> (u32, u32) {
    recent
        .iter()
        .filter_map(|result| result.failed_for(cause))
        .take(window as usize)
        .fold((0, 0), |(n_failed, n_calls), failed| {
            (n_failed + u32::from(failed), n_calls + 1)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        attempt::CallFacts,
        ids::{AttemptId, EnrollmentId},
    };

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn result(outcome: Outcome, news: News) -> CallResult {
        CallResult {
            to: "+12125550100".parse().unwrap(),
            outcome,
            news,
            at: NOW,
        }
    }

    fn failed(class: FaultClass) -> CallResult {
        let fault = Fault {
            class,
            code: None,
            detail: String::new(),
        };
        result(Outcome::Failed(fault), News::NotDue)
    }

    fn answered() -> CallResult {
        result(Outcome::Answered, News::Callback)
    }

    fn no_agent() -> CallResult {
        result(Outcome::AgentUnavailable, News::Callback)
    }

    fn judged(recent: &[CallResult]) -> Option<Trip> {
        judge(recent, &BreakerPolicy::default())
    }

    // proves F-35
    #[test]
    fn five_of_ten_without_an_agent_open_the_breaker() {
        let mut recent = vec![answered(); 5];
        recent.extend(vec![no_agent(); 4]);
        assert_eq!(judged(&recent), None);
        recent.insert(0, no_agent());
        let trip = judged(&recent).unwrap();
        assert_eq!(
            (trip.cause, trip.n_failed, trip.n_calls),
            (Cause::Agent, 5, 10)
        );
        assert_eq!(judged(&vec![no_agent(); 4]), None);
        assert!(judged(&vec![no_agent(); 5]).is_some());
    }

    // proves F-35
    #[test]
    fn one_refusal_in_ten_does_not_open_it() {
        let recent: Vec<_> = (0..100)
            .map(|n| if n % 10 == 0 { no_agent() } else { answered() })
            .collect();
        assert_eq!(judged(&recent), None);
        assert_eq!(caution(&recent, &BreakerPolicy::default()), None);
    }

    // proves F-35
    #[test]
    fn dialing_slows_while_agents_fail() {
        let policy = BreakerPolicy::default();
        assert_eq!(caution(&[no_agent()], &policy), None);
        assert_eq!(caution(&[no_agent(), no_agent()], &policy), Some(3));
        assert_eq!(caution(&vec![no_agent(); 4], &policy), Some(1));
        assert_eq!(
            caution(&[answered(), no_agent(), no_agent()], &policy),
            None
        );
    }

    // proves F-27
    #[test]
    fn answers_that_ask_for_less_are_no_outage() {
        for class in [
            FaultClass::Limit,
            FaultClass::Account,
            FaultClass::Ours,
            FaultClass::CallerNumber,
            FaultClass::Destination,
        ] {
            assert_eq!(judged(&vec![failed(class); 100]), None, "{class:?}");
        }
        let mut recent = vec![failed(FaultClass::Limit); 100];
        recent.extend(vec![failed(FaultClass::Network); 10]);
        assert_eq!(judged(&recent).unwrap().cause, Cause::Carrier);
    }

    #[test]
    fn dead_numbers_and_people_who_do_not_answer_are_no_outage() {
        let mut recent = vec![failed(FaultClass::Number); 30];
        recent.extend(vec![result(Outcome::NoAnswer, News::Callback); 30]);
        assert_eq!(judged(&recent), None);
    }

    #[test]
    fn only_the_window_counts() {
        let mut recent = vec![answered(); 21];
        recent.extend(vec![failed(FaultClass::Network); 40]);
        assert_eq!(judged(&recent), None);
        assert!(judged(&recent[1..]).is_some());
    }

    #[test]
    fn callbacks_that_do_not_come_are_a_cause_of_their_own() {
        let recent = vec![result(Outcome::NoAnswer, News::LookedUp); 10];
        let trip = judged(&recent).unwrap();
        assert_eq!(trip.cause, Cause::Callbacks);
        assert_eq!(
            trip.detail(),
            "10 of the last 10 calls ended without a callback, so the carrier had to be asked"
        );
    }

    #[test]
    fn a_breaker_that_is_off_never_trips() {
        let off = BreakerPolicy {
            carrier: None,
            agent: None,
            callbacks: None,
        };
        assert_eq!(judge(&vec![no_agent(); 100], &off), None);
        assert_eq!(caution(&vec![no_agent(); 100], &off), None);
    }

    #[test]
    fn a_result_is_made_of_what_an_attempt_says() {
        let attempt = |state| Attempt {
            id: AttemptId {
                enrollment: EnrollmentId::new(Uuid::from_u128(1)),
                number: 1,
            },
            step: 0,
            to: "+12125550100".parse().unwrap(),
            from: "+12125550101".parse().unwrap(),
            reserved_at: NOW,
            dial_at: NOW,
            ring_by: None,
            decision: None,
            state,
            facts: CallFacts::default(),
        };
        let ended = attempt(AttemptState::Ended {
            sid: Some("CA1".parse().unwrap()),
            outcome: Outcome::Busy,
            at: NOW,
        });
        assert_eq!(CallResult::of(&ended, true).unwrap().news, News::LookedUp);
        assert_eq!(CallResult::of(&ended, false).unwrap().news, News::Callback);
        let released = |why| attempt(AttemptState::Released { at: NOW, why });
        let unreachable = CallResult::of(&released(ReleaseReason::Unreachable), false).unwrap();
        assert_eq!(unreachable.failed_for(Cause::Carrier), Some(true));
        assert_eq!(unreachable.failed_for(Cause::Callbacks), None);
        assert_eq!(
            CallResult::of(&released(ReleaseReason::Withheld), false),
            None
        );
        assert_eq!(
            CallResult::of(&attempt(AttemptState::Reserved), false),
            None
        );
    }

    #[test]
    fn names_are_read_back() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }

    proptest! {
        #[test]
        fn a_trip_is_at_least_the_share_of_the_calls(
            kinds in proptest::collection::vec(0_u8..5, 0..120),
            window in 1_u32..60, least_calls in 1_u32..60, share_permille in 1_u32..1_000,
        ) {
            let breaker = Some(Breaker { window, least_calls, share_permille });
            let policy = BreakerPolicy { carrier: breaker, agent: breaker, callbacks: breaker };
            let recent: Vec<_> = kinds.iter().map(|kind| match kind {
                0 => failed(FaultClass::Network),
                1 => no_agent(),
                2 => result(Outcome::Answered, News::LookedUp),
                3 => failed(FaultClass::Limit),
                _ => answered(),
            }).collect();
            if let Some(trip) = judge(&recent, &policy) {
                prop_assert!(trip.n_calls <= window && trip.n_failed <= trip.n_calls);
                let of = trip.n_calls.max(least_calls);
                prop_assert!(trip.n_failed * 1_000 >= of * share_permille);
            }
            // One more good call never opens a breaker that was closed.
            let better: Vec<_> = [answered()].into_iter().chain(recent.clone()).collect();
            prop_assert!(judge(&recent, &policy).is_some() || judge(&better, &policy).is_none());
        }
    }
}
