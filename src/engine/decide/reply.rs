//! What follows from the carrier's answers: to a request for a call, and to questions about one.

use super::{CarrierReply, Decision, Effect, Finding, Snapshot, ending, told};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, ReleaseReason},
    campaign::CampaignStatus,
    enrollment::EnrollmentState,
    event::{EventKind, Moment},
    ids::{AttemptId, CallSid},
    machine::AnsweredBy,
    outcome::{Fault, FaultClass, Outcome},
    signal::{CallEnd, Signal, SignalKind},
    transfer::Transfer,
};

/// How often the carrier must say that it knows no such call before that is believed (F-03).
const LOOKS: u32 = 2;

/// How often one enrollment may be refused for a reason that nobody has classified.
const MAX_UNCLASSIFIED: u32 = 3;

/// The call must not go out, and the carrier was not asked.
pub(super) fn withheld(snapshot: &Snapshot<'_>, open: &Attempt, now: Timestamp) -> Decision {
    if open.state == AttemptState::Reserved {
        give_back(snapshot, open, ReleaseReason::Withheld, now, now)
    } else {
        Decision::default()
    }
}

/// Ends an attempt for which there is no call: as cancelled when somebody hung it up, or else as
/// released, so that the contact is called when `due_at` has come.
fn give_back(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    why: ReleaseReason,
    due_at: Timestamp,
    now: Timestamp,
) -> Decision {
    let goes_on = snapshot.campaign.status != CampaignStatus::Cancelled;
    if goes_on && open.facts.ended_by.is_some() {
        return ending::end(snapshot, open.clone(), None, Outcome::Canceled, now);
    }
    ending::release(snapshot, open.clone(), why, due_at, now)
}

/// The carrier answered a request for a call.
pub(super) fn replied(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    reply: &CarrierReply,
    now: Timestamp,
) -> Decision {
    match (reply, &open.state) {
        (CarrierReply::Accepted(sid), _) => {
            let placed = Signal {
                sid: Some(sid.clone()),
                at: now,
                kind: SignalKind::Placed,
            };
            let mut decision = told::told(snapshot, open, &placed, now);
            decision.effects.push(Effect::NoteAccepted);
            decision
        }
        // A callback was faster than the reply, and it proves that the call exists.
        (_, state) if state.sid().is_some() => Decision::default(),
        (CarrierReply::Refused(fault), _) => refused(snapshot, open, fault, now),
        (CarrierReply::Throttled { wait }, _) => {
            let fault = Fault {
                class: FaultClass::Limit,
                code: None,
                detail: "the carrier asked for fewer requests".to_owned(),
            };
            rest(snapshot, open, ReleaseReason::Refused(fault), *wait, now)
        }
        (CarrierReply::Unreachable, _) => {
            let wait = snapshot.timing.look;
            rest(snapshot, open, ReleaseReason::Unreachable, wait, now)
        }
        (CarrierReply::Unknown, _) => {
            let mut decision = ask_later(snapshot, open, 0, now);
            decision.effects.push(Effect::NoteUnanswered);
            decision
        }
    }
}

/// The carrier answered after the attempt was given up.
pub(super) fn replied_late(
    snapshot: &Snapshot<'_>,
    reply: &CarrierReply,
    now: Timestamp,
) -> Decision {
    match reply {
        CarrierReply::Accepted(sid) => {
            let placed = Signal {
                sid: Some(sid.clone()),
                at: now,
                kind: SignalKind::Placed,
            };
            told::told_late(snapshot, &placed, now)
        }
        CarrierReply::Refused(_)
        | CarrierReply::Throttled { .. }
        | CarrierReply::Unreachable
        | CarrierReply::Unknown => Decision::default(),
    }
}

/// The carrier will not place the call: whose fault it is decides what follows.
fn refused(snapshot: &Snapshot<'_>, open: &Attempt, fault: &Fault, now: Timestamp) -> Decision {
    let released = |due_at: Timestamp, effect: Effect| {
        let why = ReleaseReason::Refused(fault.clone());
        let mut decision = ending::release(snapshot, open.clone(), why, due_at, now);
        decision.effects.push(effect);
        decision
    };
    let later = now + snapshot.timing.refused_gap;
    match fault.class {
        FaultClass::Number => {
            let outcome = Outcome::Failed(fault.clone());
            let mut decision = ending::end(snapshot, open.clone(), None, outcome, now);
            decision.effects.push(Effect::WatchRefusals);
            decision
        }
        FaultClass::Network => {
            let outcome = Outcome::Failed(fault.clone());
            ending::end(snapshot, open.clone(), None, outcome, now)
        }
        FaultClass::CallerNumber => released(
            now,
            Effect::RestNumber {
                number: open.from.clone(),
                fault: fault.clone(),
            },
        ),
        FaultClass::Destination => released(later, Effect::WatchDestinations),
        FaultClass::Account | FaultClass::Ours => released(
            now,
            Effect::PauseCampaign {
                fault: fault.clone(),
            },
        ),
        FaultClass::Limit => released(
            later,
            Effect::RestCarrier {
                wait: snapshot.timing.look,
            },
        ),
        // Not the contact's fault as far as is known; but who is refused again and again is given up.
        FaultClass::Unclassified if n_released(snapshot) >= MAX_UNCLASSIFIED => {
            let outcome = Outcome::Failed(fault.clone());
            ending::end(snapshot, open.clone(), None, outcome, now)
        }
        FaultClass::Unclassified => released(
            later,
            Effect::NoteUnclassified {
                fault: fault.clone(),
            },
        ),
    }
}

/// How many attempts of the enrollment were given back before this one.
fn n_released(snapshot: &Snapshot<'_>) -> u32 {
    let enrollment = snapshot.enrollment;
    enrollment
        .n_attempts
        .saturating_sub(enrollment.n_counted + 1)
}

fn rest(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    why: ReleaseReason,
    wait: std::time::Duration,
    now: Timestamp,
) -> Decision {
    let mut decision = ending::release(snapshot, open.clone(), why, now + wait, now);
    decision.effects.push(Effect::RestCarrier { wait });
    decision
}

/// Keeps the attempt open as unknown, to ask the carrier (again) after its list has settled.
fn ask_later(snapshot: &Snapshot<'_>, open: &Attempt, n_looks: u32, now: Timestamp) -> Decision {
    let since = match open.state {
        AttemptState::Unknown { since, .. } => since,
        _ => now,
    };
    let mut attempt = open.clone();
    attempt.state = AttemptState::Unknown { since, n_looks };
    snapshot.keep_open(attempt, now + snapshot.timing.look, now)
}

/// The carrier was asked about a call from which no news had come.
pub(super) fn looked_up(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    finding: &Finding,
    now: Timestamp,
) -> Decision {
    match (finding, &open.state) {
        (
            Finding::Found {
                sid,
                status,
                answered_by,
            },
            _,
        ) => {
            if told::lacks_verdict(snapshot, open, now) && *status == SignalKind::Answered {
                return no_verdict(snapshot, open, sid, *answered_by, now);
            }
            found(snapshot, open, sid, status, now)
        }
        (Finding::Unanswered, _) => {
            snapshot.keep_open(open.clone(), now + snapshot.timing.look, now)
        }
        (Finding::Absent, AttemptState::Reserved) => ask_later(snapshot, open, 1, now),
        (Finding::Absent, AttemptState::Unknown { n_looks, .. }) if n_looks + 1 < LOOKS => {
            ask_later(snapshot, open, n_looks + 1, now)
        }
        (Finding::Absent, AttemptState::Unknown { .. }) => {
            let due_at = now + snapshot.timing.unplaced_gap;
            give_back(snapshot, open, ReleaseReason::NeverPlaced, due_at, now)
        }
        (Finding::Absent, state) => {
            // The carrier once named this call and has forgotten it: whatever it was, it is over.
            let over = SignalKind::Over {
                end: CallEnd::Failed(Fault {
                    class: FaultClass::Network,
                    code: None,
                    detail: "the carrier no longer knows the call".to_owned(),
                }),
                duration: None,
                network_code: None,
            };
            let signal = Signal {
                sid: state.sid().cloned(),
                at: now,
                kind: over,
            };
            told::told(snapshot, open, &signal, now)
        }
    }
}

/// The call exists: takes over what the carrier knows, and ends a call that should be over.
fn found(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    sid: &CallSid,
    status: &SignalKind,
    now: Timestamp,
) -> Decision {
    let signal = Signal {
        sid: Some(sid.clone()),
        at: now,
        kind: status.clone(),
    };
    let mut asked = open.clone();
    asked.facts.was_looked_up |= matches!(status, SignalKind::Over { .. });
    let mut decision = told::told(snapshot, &asked, &signal, now);
    let still_open = decision
        .save
        .as_ref()
        .is_none_or(|change| change.enrollment.open_attempt().is_some());
    if !still_open {
        return decision;
    }
    if decision.save.is_none() {
        let check_at = told::check_at(snapshot, open, now);
        decision.save = snapshot.keep_open(open.clone(), check_at, now).save;
    }
    if is_overdue(snapshot, open, now) {
        decision.effects.push(Effect::EndCall { sid: sid.clone() });
    } else if is_queued_too_long(&decision, open, now) {
        decision.effects.push(Effect::Withdraw { sid: sid.clone() });
    }
    decision
}

/// The verdict on who answered did not come in its time (F-26): the one that the carrier has on record
/// counts, and without any the answerer is unknown.
fn no_verdict(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    sid: &CallSid,
    on_record: Option<AnsweredBy>,
    now: Timestamp,
) -> Decision {
    let status = SignalKind::Detected {
        by: on_record.unwrap_or(AnsweredBy::Unknown),
        is_asking: false,
    };
    let mut decision = found(snapshot, open, sid, &status, now);
    if on_record.is_none()
        && let Some(change) = &mut decision.save
    {
        // Nobody said so.
        change.events.retain(|event| !is_verdict(&event.kind));
        let moment = snapshot.moment(open.id, Moment::VerdictMissing, now);
        change.events.push(moment);
    }
    decision
}

fn is_verdict(kind: &EventKind) -> bool {
    let EventKind::Timeline { moment, .. } = kind else {
        return false;
    };
    matches!(moment, Moment::Detected { .. })
}

/// Whether calling hours have ended before the phone began to ring (F-24).
fn is_queued_too_long(decision: &Decision, open: &Attempt, now: Timestamp) -> bool {
    let after = decision
        .save
        .as_ref()
        .and_then(|change| change.enrollment.open_attempt())
        .unwrap_or(open);
    matches!(after.state, AttemptState::Dialing { .. }) && after.ring_by.is_some_and(|by| now >= by)
}

/// Whether the call should have been over by now.
fn is_overdue(snapshot: &Snapshot<'_>, open: &Attempt, now: Timestamp) -> bool {
    let (ring, length) = snapshot.call_limits();
    match &open.state {
        AttemptState::Connected { since, .. } => {
            let facts = &open.facts;
            let is_transferred = facts.is_being_transferred();
            let has_no_audio = facts.media_ended_at.is_some() && !is_transferred;
            let is_ending = has_no_audio || facts.ended_by.is_some();
            let transfer = facts.transfer.as_ref().filter(|_| is_transferred);
            let longest = transfer.map_or(*since + length, Transfer::is_over_by);
            is_ending && now >= told::speaks_until(snapshot, open)
                || now >= longest + snapshot.timing.talk
        }
        AttemptState::Dialing { .. } | AttemptState::Ringing { .. } => {
            open.facts.ended_by.is_some()
                || snapshot.campaign.status == CampaignStatus::Cancelled
                || now >= open.dial_at + ring + snapshot.timing.answer
        }
        AttemptState::Reserved
        | AttemptState::Unknown { .. }
        | AttemptState::Ended { .. }
        | AttemptState::Released { .. } => false,
    }
}

/// The number was refused, and it was not its fault (F-23): the attempt does not count, and the
/// contact waits again.
pub(super) fn not_at_fault(
    snapshot: &Snapshot<'_>,
    attempt: AttemptId,
    now: Timestamp,
) -> Decision {
    let is_last = snapshot.enrollment.n_attempts == attempt.number;
    // Whoever was erased is called no more, whoever's fault it was.
    let is_finished = matches!(snapshot.enrollment.state, EnrollmentState::Finished { .. })
        && snapshot.enrollment.phone.known().is_some();
    let (Some(past), true, true) = (snapshot.past, is_last, is_finished) else {
        return Decision::default();
    };
    let AttemptState::Ended {
        sid: None,
        outcome: Outcome::Failed(fault),
        ..
    } = &past.state
    else {
        return Decision::default();
    };
    let why = ReleaseReason::Refused(fault.clone());
    let mut decision = ending::release(snapshot, past.clone(), why, now, now);
    if let Some(change) = &mut decision.save {
        change.enrollment.n_counted = change.enrollment.n_counted.saturating_sub(1);
    }
    decision
}

/// A call turned up for an attempt that was given up.
pub(super) fn late_call(
    snapshot: &Snapshot<'_>,
    past: &Attempt,
    sid: &CallSid,
    now: Timestamp,
) -> Decision {
    Decision {
        events: vec![snapshot.moment(past.id, Moment::LateCall, now)],
        effects: vec![Effect::EndCall { sid: sid.clone() }],
        ..Decision::default()
    }
}
