//! What follows from the end of an attempt.

use super::{Decision, Snapshot};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, ReleaseReason},
    campaign::CampaignStatus,
    ids::CallSid,
    outcome::Outcome,
    retry,
    signal::CallEnd,
};

/// How an attempt ended, from what the carrier says and what is known of the talk.
pub(super) fn judge(end: &CallEnd, facts: &CallFacts) -> Outcome {
    match end {
        CallEnd::Completed if facts.conversation.is_some() => Outcome::Answered,
        CallEnd::Completed if facts.agent_failure.is_some() => Outcome::AgentUnavailable,
        CallEnd::Completed => Outcome::Abandoned,
        CallEnd::Busy => Outcome::Busy,
        CallEnd::NoAnswer => Outcome::NoAnswer,
        CallEnd::Failed(fault) => Outcome::Failed(fault.clone()),
        CallEnd::Canceled => Outcome::Canceled,
    }
}

/// Ends an attempt for which a call existed, or that was refused because of the number, and says
/// whether the contact is called again, goes on to the next step, or is done.
pub(super) fn end(
    snapshot: &Snapshot<'_>,
    mut attempt: Attempt,
    sid: Option<CallSid>,
    outcome: Outcome,
    now: Timestamp,
) -> Decision {
    attempt.state = AttemptState::Ended {
        sid,
        outcome: outcome.clone(),
        at: now,
    };
    let n_counted = snapshot.enrollment.n_counted + 1;
    let mut tally = snapshot.enrollment.tally.clone();
    if let Some(kind) = outcome.retry_kind() {
        *tally.entry(kind).or_default() += 1;
    }
    let policy = &snapshot.campaign.retry;
    let retry_at = retry::next_due(policy, &tally, attempt.id, n_counted, &outcome, now)
        .filter(|_| snapshot.campaign.status != CampaignStatus::Cancelled);
    let next_step = snapshot.enrollment.cursor + 1;
    let goes_on =
        outcome == Outcome::Answered && usize::from(next_step) < snapshot.campaign.steps.len();

    let mut decision = match retry_at {
        Some(due_at) => snapshot.wait(attempt, due_at, now),
        None if goes_on => snapshot.wait(attempt, now, now),
        None => snapshot.finish(Some(attempt), Some(outcome), now),
    };
    if let Some(change) = &mut decision.save {
        change.enrollment.n_counted = n_counted;
        change.enrollment.tally = tally;
        if goes_on {
            change.enrollment.cursor = next_step;
            change.enrollment.tally.clear();
        }
    }
    decision
}

/// Gives an attempt back without a call. It is not counted.
pub(super) fn release(
    snapshot: &Snapshot<'_>,
    mut attempt: Attempt,
    why: ReleaseReason,
    due_at: Timestamp,
    now: Timestamp,
) -> Decision {
    attempt.state = AttemptState::Released { at: now, why };
    snapshot.wait(attempt, due_at, now)
}
