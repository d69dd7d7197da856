//! What an ended call counts for. It is kept beside the record, so that sums read no records.

use crate::domain::{
    attempt::{Attempt, AttemptState},
    budget,
    quality::{self, Reception},
};

/// What one call adds to [`crate::store::CallTotals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallCounts {
    /// Whether a person answered.
    pub is_answered: bool,
    /// Whether that person was left without an agent.
    pub is_abandoned: bool,
    /// Whether that person heard nothing for too long.
    pub is_silent: bool,
    /// Each begun minute.
    pub billed_minutes: u64,
}

impl CallCounts {
    /// What the attempt counts for; none unless it has ended and there was a call.
    pub fn of(attempt: &Attempt) -> Option<Self> {
        let AttemptState::Ended { sid: Some(_), .. } = &attempt.state else {
            return None;
        };
        let reception = quality::reception(attempt);
        let duration = attempt.facts.duration.unwrap_or_default();
        Some(Self {
            is_answered: reception.is_some(),
            is_abandoned: reception == Some(Reception::Abandoned),
            is_silent: reception == Some(Reception::Silent),
            billed_minutes: budget::billed_minutes(duration),
        })
    }
}
