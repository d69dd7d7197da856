//! What follows from the end of an attempt.

use super::{Decision, Effect, Snapshot};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, ReleaseReason},
    campaign::CampaignStatus,
    ids::CallSid,
    machine::{AnsweredBy, MachinePolicy},
    outcome::Outcome,
    place::Place,
    price::CarrierPrice,
    quality::{self, Reception},
    retry,
    signal::CallEnd,
    transfer::Transfer,
};

/// How an attempt ended, from what the carrier says and what is known of the talk.
pub(super) fn judge(end: &CallEnd, facts: &CallFacts, machines: Option<&MachinePolicy>) -> Outcome {
    match end {
        CallEnd::Completed if facts.transfer.as_ref().is_some_and(Transfer::was_answered) => {
            Outcome::Answered
        }
        CallEnd::Completed if machines.is_some_and(|policy| policy.is_machine(facts)) => {
            Outcome::Voicemail
        }
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
    let is_withdrawn = sid.is_some() && is_withdrawn(snapshot, &attempt.facts, &outcome);
    if sid.is_some() && is_charged(&attempt.facts, &outcome) {
        attempt.facts.price = Some(CarrierPrice::awaited(now, snapshot.timing.price));
    }
    attempt.state = AttemptState::Ended {
        sid,
        outcome: outcome.clone(),
        at: now,
    };
    if is_withdrawn {
        // Nobody was reached, so it is not counted.
        return snapshot.wait(
            attempt.clone(),
            after_withdrawal(snapshot, &attempt, now),
            now,
        );
    }
    let n_counted = snapshot.enrollment.n_counted + 1;
    let mut tally = snapshot.enrollment.tally.clone();
    if let Some(kind) = outcome.retry_kind() {
        *tally.entry(kind).or_default() += 1;
    }
    let policy = &snapshot.campaign.retry;
    let retry_at = retry::next_due(policy, &tally, attempt.id, n_counted, &outcome, now)
        .filter(|_| !is_fax(&attempt.facts, &outcome))
        .map(|due_at| at_another_hour(snapshot, due_at, &attempt));
    let retry_at = follow_up_at(snapshot, &attempt.facts, &outcome, n_counted)
        .map(|at| at.max(now))
        .or(retry_at)
        .filter(|_| snapshot.campaign.status != CampaignStatus::Cancelled);
    let next_step = snapshot.enrollment.cursor + 1;
    let goes_on = retry_at.is_none()
        && outcome == Outcome::Answered
        && usize::from(next_step) < snapshot.campaign.steps.len();

    let watch = watch(&attempt);
    let mut decision = match retry_at {
        Some(due_at) => snapshot.wait(attempt, due_at, now),
        None if goes_on => snapshot.wait(attempt, now, now),
        None => snapshot.finish(Some(attempt), Some(outcome), None, now),
    };
    if let Some(change) = &mut decision.save {
        change.enrollment.n_counted = n_counted;
        change.enrollment.tally = tally;
        if goes_on {
            change.enrollment.cursor = next_step;
            change.enrollment.tally.clear();
        }
    }
    decision.effects.extend(watch);
    decision
}

/// Whether the carrier takes something for a call: it was answered.
fn is_charged(facts: &CallFacts, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered | Outcome::Voicemail | Outcome::AgentUnavailable | Outcome::Abandoned => {
            true
        }
        Outcome::Busy | Outcome::NoAnswer | Outcome::Failed(_) | Outcome::Canceled => {
            facts.answered_at.is_some()
        }
    }
}

/// When the callee of an answered call wants to be called again, where the attempts suffice for it.
fn follow_up_at(
    snapshot: &Snapshot<'_>,
    facts: &CallFacts,
    outcome: &Outcome,
    n_counted: u32,
) -> Option<Timestamp> {
    let is_possible =
        *outcome == Outcome::Answered && n_counted < snapshot.campaign.retry.max_attempts;
    let wish = facts.follow_up.as_ref().filter(|_| is_possible);
    wish.map(|wish| wish.at)
}

/// Whether a fax answered: it is none of the machines that a person has beside the phone.
fn is_fax(facts: &CallFacts, outcome: &Outcome) -> bool {
    let by = facts.answered_by.map(|detected| detected.by);
    *outcome == Outcome::Voicemail && by == Some(AnsweredBy::Fax)
}

/// The due time, moved to another part of the person's day than this attempt's where the policy says
/// so.
fn at_another_hour(snapshot: &Snapshot<'_>, due_at: Timestamp, attempt: &Attempt) -> Timestamp {
    let place: Option<Place> = snapshot.enrollment.place.as_str().parse().ok();
    let zone = place.as_ref().and_then(|place| place.zones().first());
    let zone = zone.unwrap_or(&snapshot.campaign.policy.rules.zone);
    let policy = &snapshot.campaign.retry;
    retry::at_other_hours(policy, due_at, attempt.id, &[attempt.dial_at], zone)
}

/// What to look at after an attempt that ended like this.
pub(super) fn watch(attempt: &Attempt) -> Vec<Effect> {
    let has_failed = match attempt.state.outcome() {
        Some(Outcome::Failed(fault)) => fault.class.may_be_an_outage(),
        Some(Outcome::AgentUnavailable) => true,
        _ => attempt.facts.was_looked_up,
    };
    let is_bad = matches!(
        quality::reception(attempt),
        Some(Reception::Abandoned | Reception::Silent)
    );
    [
        has_failed.then_some(Effect::WatchFailures),
        is_bad.then_some(Effect::WatchQuality),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether the call was taken back before anybody answered, and by nobody who meant this contact: a
/// pause does that to calls that still wait at the carrier (F-24).
fn is_withdrawn(snapshot: &Snapshot<'_>, facts: &CallFacts, outcome: &Outcome) -> bool {
    *outcome == Outcome::Canceled
        && facts.ended_by.is_none()
        && facts.answered_at.is_none()
        && snapshot.campaign.status != CampaignStatus::Cancelled
}

/// When to call somebody again whose call was withdrawn: as soon as the campaign goes on; later where
/// the phone may have rung, or something else than a pause withdraws calls.
fn after_withdrawal(snapshot: &Snapshot<'_>, attempt: &Attempt, now: Timestamp) -> Timestamp {
    let is_paused = matches!(snapshot.campaign.status, CampaignStatus::Paused(_));
    if is_paused && attempt.facts.ringing_at.is_none() {
        now
    } else {
        now + snapshot.timing.refused_gap
    }
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
