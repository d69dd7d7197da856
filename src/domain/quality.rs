//! How often people answer and hear nobody.
//!
//! Regulators count calls on which the person who answered heard no speaker within two seconds, and
//! allow about three in a hundred. Machines are not people: they are in no count here (F-73).

use std::time::Duration;

use super::{
    attempt::{Attempt, AttemptState},
    outcome::Outcome,
};

/// A person who hears nothing for longer than this was called silently.
pub const SILENCE: Duration = Duration::from_secs(2);

/// How many silent calls a campaign may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentLimit {
    /// From how many in a thousand people are told.
    pub warn_permille: u32,
    /// From how many in a thousand the campaign stands still.
    pub stop_permille: u32,
    /// Over how long calls are counted.
    pub over: Duration,
    /// Fewer answered calls than this are not judged: of three calls, one is no share.
    pub least_answered: u64,
}

impl Default for SilentLimit {
    /// Warns from 2 %, stops from 3 %, over 30 days and at least 100 answered calls.
    fn default() -> Self {
        Self {
            warn_permille: 20,
            stop_permille: 30,
            over: Duration::from_secs(30 * 24 * 60 * 60),
            least_answered: 100,
        }
    }
}

/// Calls that a person answered, and those of them on which nobody spoke in time. A call is in at
/// most one of the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QualityCounts {
    /// Answered by a person, bad ones included.
    pub n_answered_live: u64,
    /// Over before an agent was on the line.
    pub n_abandoned: u64,
    /// An agent was on the line and was not heard in time.
    pub n_silent: u64,
}

/// What the counts mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// Within the limit.
    Fine,
    /// Near it.
    Warn,
    /// At it: no more calls.
    Stop,
}

/// What one answered call was for the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reception {
    /// Somebody spoke in time, or the person hung up before that time was over.
    Served,
    /// See [`QualityCounts::n_abandoned`].
    Abandoned,
    /// See [`QualityCounts::n_silent`].
    Silent,
}

impl Quality {
    /// The word for it in the API and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Warn => "warn",
            Self::Stop => "stop",
        }
    }
}

impl QualityCounts {
    /// The counts with one more attempt; unchanged when no person answered, or it is not over.
    #[must_use]
    pub fn with(mut self, attempt: &Attempt) -> Self {
        if let Some(reception) = reception(attempt) {
            self.n_answered_live += 1;
            self.n_abandoned += u64::from(reception == Reception::Abandoned);
            self.n_silent += u64::from(reception == Reception::Silent);
        }
        self
    }

    /// Silent and abandoned calls in a thousand answered; none when nobody answered yet.
    pub fn permille(&self) -> Option<u64> {
        self.n_bad()
            .saturating_mul(1000)
            .checked_div(self.n_answered_live)
    }

    fn n_bad(&self) -> u64 {
        self.n_abandoned.saturating_add(self.n_silent)
    }
}

/// What a call was for the person who answered; none when no person did, or it is not over.
pub fn reception(attempt: &Attempt) -> Option<Reception> {
    let AttemptState::Ended { outcome, at, .. } = &attempt.state else {
        return None;
    };
    let facts = &attempt.facts;
    let measured = facts
        .answered_at
        .and_then(|answered| Duration::try_from(at.duration_since(answered)).ok());
    // What we saw is finer than the carrier's whole seconds. Without either it was long enough.
    let lasted = measured.or(facts.duration).unwrap_or(Duration::MAX);
    match outcome {
        Outcome::Answered => match facts.first_audio_after {
            Some(after) if after <= SILENCE => Some(Reception::Served),
            None if lasted <= SILENCE => Some(Reception::Served),
            Some(_) | None => Some(Reception::Silent),
        },
        Outcome::Abandoned if lasted <= SILENCE => Some(Reception::Served),
        Outcome::Abandoned | Outcome::AgentUnavailable => Some(Reception::Abandoned),
        Outcome::Busy
        | Outcome::NoAnswer
        | Outcome::Voicemail
        | Outcome::Failed(_)
        | Outcome::Canceled => None,
    }
}

/// What the counts of the last [`SilentLimit::over`] mean.
pub fn judge(counts: &QualityCounts, limit: &SilentLimit) -> Quality {
    if counts.n_answered_live < limit.least_answered {
        return Quality::Fine;
    }
    let n_bad = u128::from(counts.n_bad()) * 1000;
    let of = u128::from(counts.n_answered_live);
    let reaches = |permille: u32| n_bad > 0 && n_bad >= of * u128::from(permille);
    if reaches(limit.stop_permille) {
        Quality::Stop
    } else if reaches(limit.warn_permille) {
        Quality::Warn
    } else {
        Quality::Fine
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        Timestamp,
        attempt::CallFacts,
        ids::{AttemptId, EnrollmentId},
    };

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn attempt(outcome: Outcome, lasted_ms: u64, audio_ms: Option<u64>) -> Attempt {
        Attempt {
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
            state: AttemptState::Ended {
                sid: None,
                outcome,
                at: NOW + Duration::from_millis(lasted_ms),
            },
            facts: CallFacts {
                answered_at: Some(NOW),
                first_audio_after: audio_ms.map(Duration::from_millis),
                ..CallFacts::default()
            },
        }
    }

    fn counts(n_answered_live: u64, n_abandoned: u64, n_silent: u64) -> QualityCounts {
        QualityCounts {
            n_answered_live,
            n_abandoned,
            n_silent,
        }
    }

    fn judged(n_answered_live: u64, n_abandoned: u64, n_silent: u64) -> Quality {
        judge(
            &counts(n_answered_live, n_abandoned, n_silent),
            &SilentLimit::default(),
        )
    }

    // proves F-73
    #[test]
    fn speech_after_two_seconds_is_silence() {
        let of = |audio_ms| reception(&attempt(Outcome::Answered, 60_000, audio_ms));
        assert_eq!(of(Some(2_000)), Some(Reception::Served));
        assert_eq!(of(Some(2_001)), Some(Reception::Silent));
        assert_eq!(of(None), Some(Reception::Silent));
    }

    // proves F-35
    #[test]
    fn a_call_without_an_agent_is_abandoned() {
        assert_eq!(
            reception(&attempt(Outcome::AgentUnavailable, 1_500, None)),
            Some(Reception::Abandoned)
        );
        assert_eq!(
            reception(&attempt(Outcome::Abandoned, 2_500, None)),
            Some(Reception::Abandoned)
        );
    }

    #[test]
    fn a_person_who_hangs_up_at_once_was_not_kept_waiting() {
        for outcome in [Outcome::Abandoned, Outcome::Answered] {
            assert_eq!(
                reception(&attempt(outcome, 1_500, None)),
                Some(Reception::Served)
            );
        }
    }

    // proves F-73
    #[test]
    fn machines_are_in_no_count() {
        for outcome in [Outcome::Voicemail, Outcome::NoAnswer, Outcome::Busy] {
            let all = QualityCounts::default().with(&attempt(outcome, 60_000, None));
            assert_eq!(all, QualityCounts::default());
        }
        let all = QualityCounts::default()
            .with(&attempt(Outcome::Answered, 60_000, Some(100)))
            .with(&attempt(Outcome::Answered, 60_000, Some(3_000)))
            .with(&attempt(Outcome::AgentUnavailable, 2_000, None));
        assert_eq!(all, counts(3, 1, 1));
    }

    // proves F-73
    #[test]
    fn it_warns_at_two_and_stops_at_three_in_a_hundred() {
        assert_eq!(judged(1_000, 10, 9), Quality::Fine);
        assert_eq!(judged(1_000, 10, 10), Quality::Warn);
        assert_eq!(judged(1_000, 20, 9), Quality::Warn);
        assert_eq!(judged(1_000, 20, 10), Quality::Stop);
    }

    // proves F-73
    #[test]
    fn the_first_hundred_calls_are_not_judged() {
        assert_eq!(judged(0, 0, 0), Quality::Fine);
        assert_eq!(judged(99, 0, 99), Quality::Fine);
        assert_eq!(judged(100, 0, 2), Quality::Warn);
        assert_eq!(judged(100, 0, 3), Quality::Stop);
    }

    #[test]
    fn the_share_that_is_shown_is_none_before_anybody_answered() {
        assert_eq!(counts(0, 0, 0).permille(), None);
        assert_eq!(counts(200, 3, 2).permille(), Some(25));
    }

    proptest! {
        #[test]
        fn one_more_good_call_never_makes_it_worse(n in 100_u64..5_000, bad in 0_u64..300) {
            let bad = bad.min(n);
            prop_assert!(judged(n + 1, 0, bad) <= judged(n, 0, bad));
            prop_assert!(judged(n + 1, 0, bad + 1) >= judged(n, 0, bad));
        }

        #[test]
        fn no_campaign_goes_on_at_three_in_a_hundred(n in 100_u64..100_000, bad in 0_u64..5_000) {
            let bad = bad.min(n);
            prop_assert_eq!(judged(n, bad, 0) == Quality::Stop, bad > 0 && bad * 100 >= n * 3);
        }
    }
}
