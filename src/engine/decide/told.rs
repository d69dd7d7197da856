//! What follows from signals: callbacks, look-ups and the media path.

use super::{Decision, Effect, Snapshot, ending, reply};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, Party, Recording},
    campaign::CampaignStatus,
    disposition::Disposition,
    enrollment::EnrollmentState,
    erasure::KeptNumber,
    event::{Event, Moment},
    follow_up::FollowUp,
    ids::{CallSid, ConversationId},
    machine::{self, Detected, Response},
    mute::Mute,
    outcome::Outcome,
    report::AgentReport,
    signal::{CallEnd, Signal, SignalKind},
    step::speaking_time,
    transfer::TransferPolicy,
};

/// A signal about the open attempt.
pub(super) fn told(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    signal: &Signal,
    now: Timestamp,
) -> Decision {
    let bound = open.state.sid();
    if let (Some(bound), Some(told)) = (bound, &signal.sid)
        && bound != told
    {
        // A second call for the same attempt: it must not stay up.
        return second_call(snapshot, open, told, &signal.kind, now);
    }
    let Some(sid) = bound.or(signal.sid.as_ref()).cloned() else {
        return Decision::default();
    };
    let mut attempt = open.clone();
    attempt.facts = with_facts(&open.facts, signal);
    if let SignalKind::Over { end, .. } = &signal.kind {
        let machines = snapshot.voice_call(open).map(|call| &call.machines);
        let outcome = ending::judge(end, &attempt.facts, machines);
        return ending::end(snapshot, attempt, Some(sid), outcome, now);
    }
    if let Some(state) = advance(&open.state, &sid, signal) {
        attempt.state = state;
    }
    let response = respond(snapshot, open, &mut attempt, &sid, &signal.kind, now);
    if attempt == *open {
        return Decision::default();
    }
    let has_left = attempt.facts.message_at.is_some() && open.facts.message_at.is_none();
    let check_at = check_at(snapshot, &attempt, now);
    let mut decision = snapshot.keep_open(attempt, check_at, now);
    if let (Some(change), Some(moment)) =
        (&mut decision.save, moment_of(snapshot, open, signal, now))
    {
        change.events.push(moment);
    }
    if let Some(change) = &mut decision.save
        && has_left
    {
        let moment = snapshot.moment(open.id, Moment::LeavingMessage, now);
        change.events.push(moment);
    }
    decision.effects.extend(response);
    decision.effects.extend(agent_note(open, &signal.kind));
    if bound.is_none() && is_unwanted(snapshot, open) {
        decision.effects.push(Effect::EndCall { sid });
    }
    decision
}

/// What follows from a verdict on who answered. A carrier that waits to be told is
/// told by the answer to its question.
fn respond(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    attempt: &mut Attempt,
    sid: &CallSid,
    kind: &SignalKind,
    now: Timestamp,
) -> Option<Effect> {
    let SignalKind::Detected { by, is_asking } = kind else {
        return None;
    };
    let facts = &open.facts;
    let is_ending = facts.ended_by.is_some() || facts.media_ended_at.is_some();
    if !Detected::is_news(facts.answered_by, *by) || is_ending || facts.was_transferred() {
        return None;
    }
    let call = snapshot.voice_call(open)?;
    let effect = match call.machines.response(&attempt.facts) {
        Response::CarryOn => return None,
        Response::HangUp => Effect::EndCall { sid: sid.clone() },
        Response::Leave(message) => {
            attempt.facts.message_at = Some(now);
            Effect::Speak {
                sid: sid.clone(),
                speech: call.speech(message, snapshot.enrollment),
            }
        }
    };
    attempt.facts.ended_by = Some(Party::System);
    (!is_asking).then_some(effect)
}

/// What an agent's coming or not coming says about the calls after this one.
fn agent_note(open: &Attempt, kind: &SignalKind) -> Option<Effect> {
    let is_news = open.facts.conversation.is_none() && open.facts.agent_failure.is_none();
    match kind {
        SignalKind::AgentJoined { .. } if is_news => Some(Effect::NoteAgentJoined),
        SignalKind::AgentFailed { detail } if is_news => Some(Effect::NoteAgentFailed {
            detail: detail.clone(),
        }),
        _ => None,
    }
}

/// Whether nobody wants the call any more that only now got a name.
fn is_unwanted(snapshot: &Snapshot<'_>, open: &Attempt) -> bool {
    matches!(open.facts.ended_by, Some(Party::Operator | Party::System))
        || snapshot.campaign.status == CampaignStatus::Cancelled
}

/// A signal about an attempt that is no longer open: late facts are added, nothing is revived.
pub(super) fn told_late(snapshot: &Snapshot<'_>, signal: &Signal, now: Timestamp) -> Decision {
    let Some(past) = snapshot.past else {
        return Decision::default();
    };
    if let (KeptNumber::Erased(_), SignalKind::Recorded { recording, .. }) =
        (&past.to, &signal.kind)
    {
        let effects = vec![Effect::DeleteRecording {
            recording: recording.clone(),
        }];
        return Decision {
            effects,
            ..Decision::default()
        };
    }
    match (&past.state, &signal.sid) {
        // Nobody knew of a call when the attempt was given back, or hung up before it had a name.
        (AttemptState::Released { .. } | AttemptState::Ended { sid: None, .. }, Some(sid))
            if shows_life(&signal.kind) =>
        {
            reply::late_call(snapshot, past, sid, now)
        }
        (
            AttemptState::Ended {
                sid: Some(bound), ..
            },
            Some(told),
        ) if bound != told => second_call(snapshot, past, told, &signal.kind, now),
        (AttemptState::Ended { .. }, _) => add_facts(snapshot, past, signal, now),
        _ => Decision::default(),
    }
}

/// The state after `signal`, or `None` when it is old news. `sid` names the call.
fn advance(state: &AttemptState, sid: &CallSid, signal: &Signal) -> Option<AttemptState> {
    use AttemptState::{Connected, Dialing, Ended, Released, Reserved, Ringing, Unknown};

    let sid = sid.clone();
    match (&signal.kind, state) {
        (
            SignalKind::Answered | SignalKind::MediaStarted { .. },
            Reserved | Unknown { .. } | Dialing { .. } | Ringing { .. },
        ) => Some(Connected {
            sid,
            since: signal.at,
        }),
        (SignalKind::Ringing, Reserved | Unknown { .. } | Dialing { .. }) => Some(Ringing { sid }),
        (SignalKind::Placed, Reserved | Unknown { .. }) => Some(Dialing { sid }),
        (
            SignalKind::Answered
            | SignalKind::MediaStarted { .. }
            | SignalKind::Ringing
            | SignalKind::Placed
            | SignalKind::AgentJoined { .. }
            | SignalKind::AgentSpoke
            | SignalKind::TalkHeld
            | SignalKind::Detected { .. }
            | SignalKind::Disposed(_)
            | SignalKind::FollowUpWished(_)
            | SignalKind::Muted(_)
            | SignalKind::TransferJoined
            | SignalKind::TransferEnded(_)
            | SignalKind::AgentFailed { .. }
            | SignalKind::Reported { .. }
            | SignalKind::Recorded { .. }
            | SignalKind::MediaEnded { .. }
            | SignalKind::Over { .. },
            Reserved
            | Unknown { .. }
            | Dialing { .. }
            | Ringing { .. }
            | Connected { .. }
            | Ended { .. }
            | Released { .. },
        ) => None,
    }
}

/// The facts with what `signal` adds. What is known stays, so the order of signals does not matter.
fn with_facts(facts: &CallFacts, signal: &Signal) -> CallFacts {
    let mut facts = facts.clone();
    match &signal.kind {
        SignalKind::Placed => {}
        SignalKind::Ringing => {
            facts.ringing_at.get_or_insert(signal.at);
        }
        SignalKind::Answered => {
            facts.answered_at.get_or_insert(signal.at);
        }
        SignalKind::Over {
            duration,
            network_code,
            ..
        } => {
            facts.duration = facts.duration.or(*duration);
            facts.network_code = facts.network_code.or(*network_code);
        }
        SignalKind::MediaStarted { stream, node } => {
            facts.answered_at.get_or_insert(signal.at);
            let bound = facts.stream.get_or_insert_with(|| stream.clone());
            // The carrier tells of the stream too, and does not know whom it reached.
            if bound == stream && facts.node.is_none() {
                facts.node.clone_from(node);
            }
        }
        SignalKind::AgentJoined {
            conversation,
            vendor,
        } => {
            if facts.conversation.is_none() {
                facts.conversation = Some(conversation.clone());
                facts.vendor = Some(vendor.clone());
                // One that came first may be about a conversation that led to nothing.
                facts.report = facts.report.filter(|it| it.conversation == *conversation);
            }
        }
        SignalKind::AgentSpoke => {
            if let (None, Some(answered_at)) = (facts.first_audio_after, facts.answered_at) {
                facts.first_audio_after = signal.at.duration_since(answered_at).try_into().ok();
            }
        }
        SignalKind::TalkHeld => {
            facts.held_at.get_or_insert(signal.at);
        }
        SignalKind::Detected { by, .. } => {
            let (by, at) = (*by, signal.at);
            if Detected::is_news(facts.answered_by, by) {
                facts.answered_by = Some(Detected { by, at });
            }
        }
        SignalKind::Disposed(disposition) => {
            let is_later = |before: &Disposition| before.at < disposition.at;
            if facts.disposition.as_ref().is_none_or(is_later) {
                facts.disposition = Some(disposition.clone());
            }
        }
        SignalKind::FollowUpWished(wish) => {
            let is_later = |before: &FollowUp| before.wished_at < wish.wished_at;
            if facts.follow_up.as_ref().is_none_or(is_later) {
                facts.follow_up = Some(wish.clone());
            }
        }
        SignalKind::Muted(mute) => {
            let is_later = |before: &Mute| before.at < mute.at;
            if facts.mute.as_ref().is_none_or(is_later) {
                facts.mute = Some(mute.clone());
            }
        }
        SignalKind::TransferJoined => {
            if let Some(transfer) = &mut facts.transfer {
                transfer.joined_at.get_or_insert(signal.at);
            }
        }
        SignalKind::TransferEnded(end) => {
            if let Some(transfer) = &mut facts.transfer {
                transfer.ends(*end);
                // The callee hears so, and is hung up on.
                if transfer.was_in_vain() {
                    facts.ended_by.get_or_insert(Party::System);
                }
            }
        }
        SignalKind::AgentFailed { detail } => {
            facts.agent_failure.get_or_insert_with(|| detail.clone());
        }
        SignalKind::Reported { report } => facts.report = with_report(&facts, report),
        SignalKind::Recorded {
            recording,
            duration,
        } => {
            facts.recording.get_or_insert_with(|| Recording {
                sid: recording.clone(),
                duration: *duration,
                told_at: signal.at,
                deleted_at: None,
            });
        }
        SignalKind::MediaEnded { by } => {
            facts.media_ended_at.get_or_insert(signal.at);
            // A callee who is handed over leaves the agent, not the call.
            let by = by.filter(|_| !facts.was_transferred());
            facts.ended_by = facts.ended_by.or(by);
        }
    }
    facts
}

/// What is known from the agent's vendor when `report` was told too. Of a call's conversations, the one
/// that the callee was in counts.
fn with_report(facts: &CallFacts, report: &AgentReport) -> Option<AgentReport> {
    let is_of_another = |conversation: &ConversationId| *conversation != report.conversation;
    match &facts.report {
        known if facts.conversation.as_ref().is_some_and(is_of_another) => known.clone(),
        Some(known) if is_of_another(&known.conversation) => Some(known.clone()),
        Some(known) => Some(known.clone().completed_by(report)),
        None => Some(report.clone()),
    }
}

/// When the verdict on who answered counts as lost, while it is waited for.
fn verdict_missing_at(snapshot: &Snapshot<'_>, attempt: &Attempt) -> Option<Timestamp> {
    let due_at = machine::verdict_due(&attempt.facts)?;
    Some(due_at + snapshot.timing.verdict)
}

/// Whether the verdict on who is on the line should have come by now.
pub(super) fn lacks_verdict(snapshot: &Snapshot<'_>, open: &Attempt, now: Timestamp) -> bool {
    let is_connected = matches!(open.state, AttemptState::Connected { .. });
    is_connected && verdict_missing_at(snapshot, open).is_some_and(|at| at <= now)
}

/// When to ask the carrier if nothing else comes.
pub(super) fn check_at(snapshot: &Snapshot<'_>, attempt: &Attempt, now: Timestamp) -> Timestamp {
    let (ring, length) = snapshot.call_limits();
    let timing = snapshot.timing;
    let facts = &attempt.facts;
    match &attempt.state {
        AttemptState::Connected { .. }
            if facts.is_being_transferred() && facts.ended_by.is_none() =>
        {
            now + timing.going_on
        }
        // Its end was asked for, or is bound to come.
        AttemptState::Dialing { .. }
        | AttemptState::Ringing { .. }
        | AttemptState::Connected { .. }
            if facts.ended_by.is_some() || facts.media_ended_at.is_some() =>
        {
            (now + timing.hangup).max(speaks_until(snapshot, attempt) + timing.hangup)
        }
        AttemptState::Connected { since, .. } => {
            let usual = (*since + length + timing.talk)
                .min(now + timing.going_on)
                .max(now + timing.look);
            let verdict = verdict_missing_at(snapshot, attempt).map(|at| at.max(now + timing.look));
            usual.min(verdict.unwrap_or(usual))
        }
        AttemptState::Dialing { .. } => {
            let rung = attempt.dial_at + ring + timing.answer;
            // Looked at when calling hours end, if it is still queued then (F-24).
            let by = attempt.ring_by.filter(|by| *by > now);
            rung.max(now + timing.look)
                .min(by.unwrap_or(rung.max(now + timing.look)))
        }
        AttemptState::Ringing { .. } => {
            (attempt.dial_at + ring + timing.answer).max(now + timing.look)
        }
        AttemptState::Reserved
        | AttemptState::Unknown { .. }
        | AttemptState::Ended { .. }
        | AttemptState::Released { .. } => now + timing.look,
    }
}

/// Until when the carrier may be speaking to the callee in our place: such a call is not to be cut.
/// In the past for a call in which it is not.
pub(super) fn speaks_until(snapshot: &Snapshot<'_>, attempt: &Attempt) -> Timestamp {
    let facts = &attempt.facts;
    let Some(call) = snapshot.voice_call(attempt) else {
        return attempt.reserved_at;
    };
    let message = facts.message_at.map(|at| at + call.message_time());
    let sentence = facts
        .media_ended_at
        .filter(|_| facts.was_left_alone())
        .zip(call.silence.sentence.as_ref())
        .map(|(at, sentence)| at + speaking_time(sentence));
    let regret = facts.transfer.as_ref().and_then(|transfer| {
        let policy = call.transfer.as_ref()?;
        let sentence = policy.sentence.as_ref()?;
        // How long it rang in vain is not known.
        let said_by = transfer.at + TransferPolicy::RING + speaking_time(sentence);
        transfer.was_in_vain().then_some(said_by)
    });
    message
        .max(sentence)
        .max(regret)
        .unwrap_or(attempt.reserved_at)
}

/// The timeline's line for a signal that says something new besides a state.
fn moment_of(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    signal: &Signal,
    now: Timestamp,
) -> Option<Event> {
    let moment = match &signal.kind {
        SignalKind::Detected { by, .. } if Detected::is_news(open.facts.answered_by, *by) => {
            Moment::Detected { by: *by }
        }
        SignalKind::MediaStarted { .. } if open.facts.stream.is_none() => Moment::MediaStarted,
        SignalKind::AgentJoined { conversation, .. } => Moment::AgentJoined {
            conversation: conversation.clone(),
        },
        SignalKind::AgentFailed { detail } => Moment::AgentFailed {
            detail: detail.clone(),
        },
        SignalKind::Recorded { duration, .. } if open.facts.recording.is_none() => {
            Moment::Recorded {
                duration: *duration,
            }
        }
        SignalKind::Reported { report } => Moment::Reported {
            verdict: report.verdict,
        },
        SignalKind::MediaEnded { by } => Moment::MediaEnded {
            by: by.filter(|_| !open.facts.was_transferred()),
        },
        SignalKind::Disposed(disposition) => Moment::Disposed {
            disposition: disposition.name.clone(),
            note: disposition.note.clone(),
        },
        SignalKind::FollowUpWished(wish) => Moment::FollowUpWished {
            at: wish.at,
            note: wish.note.clone(),
        },
        SignalKind::Muted(mute) => Moment::Muted {
            is_on: mute.is_on,
            by: mute.by.clone(),
        },
        SignalKind::TransferJoined => Moment::TransferJoined,
        SignalKind::TransferEnded(end) => Moment::TransferEnded {
            result: end.result,
            seconds: end.talked.map(|talked| talked.as_secs()),
        },
        SignalKind::Placed
        | SignalKind::Ringing
        | SignalKind::Answered
        | SignalKind::AgentSpoke
        | SignalKind::MediaStarted { .. }
        | SignalKind::TalkHeld
        | SignalKind::Detected { .. }
        | SignalKind::Recorded { .. }
        | SignalKind::Over { .. } => return None,
    };
    Some(snapshot.moment(open.id, moment, now))
}

/// The timeline's line for a signal that usually comes after the end.
fn late_moment_of(
    snapshot: &Snapshot<'_>,
    past: &Attempt,
    signal: &Signal,
    now: Timestamp,
) -> Option<Event> {
    match &signal.kind {
        SignalKind::Recorded { .. } | SignalKind::Reported { .. } => {
            moment_of(snapshot, past, signal, now)
        }
        _ => None,
    }
}

fn shows_life(kind: &SignalKind) -> bool {
    match kind {
        SignalKind::Placed
        | SignalKind::Ringing
        | SignalKind::Answered
        | SignalKind::MediaStarted { .. }
        | SignalKind::AgentJoined { .. }
        | SignalKind::AgentSpoke
        | SignalKind::TalkHeld
        | SignalKind::Disposed(_)
        | SignalKind::FollowUpWished(_)
        | SignalKind::Muted(_)
        | SignalKind::TransferJoined => true,
        // A verdict may come after the end.
        SignalKind::Detected { .. }
        | SignalKind::TransferEnded(_)
        | SignalKind::AgentFailed { .. }
        | SignalKind::Reported { .. }
        | SignalKind::Recorded { .. }
        | SignalKind::MediaEnded { .. }
        | SignalKind::Over { .. } => false,
    }
}

fn second_call(
    snapshot: &Snapshot<'_>,
    attempt: &Attempt,
    other: &CallSid,
    kind: &SignalKind,
    now: Timestamp,
) -> Decision {
    if shows_life(kind) {
        reply::late_call(snapshot, attempt, other, now)
    } else {
        Decision::default()
    }
}

/// Whether a signal brings words about somebody whose data was erased: nothing of it is kept.
fn is_about_an_erased_person(past: &Attempt, signal: &Signal) -> bool {
    past.to.known().is_none() && matches!(signal.kind, SignalKind::Reported { .. })
}

/// Adds what came late to an ended attempt.
///
/// An agent whose arrival was reported after the end turns *abandoned* into *answered*: the outcome
/// follows from the facts, in whatever order they came.
fn add_facts(snapshot: &Snapshot<'_>, past: &Attempt, signal: &Signal, now: Timestamp) -> Decision {
    if is_about_an_erased_person(past, signal) {
        return Decision {
            effects: vec![Effect::ForgetWords { attempt: past.id }],
            ..Decision::default()
        };
    }
    let mut attempt = past.clone();
    attempt.facts = with_facts(&past.facts, signal);
    if attempt.facts == past.facts {
        return Decision::default();
    }
    let mut state = snapshot.enrollment.state.clone();
    if let AttemptState::Ended { outcome, at, .. } = &mut attempt.state
        && matches!(outcome, Outcome::Abandoned | Outcome::AgentUnavailable)
    {
        let mut facts = attempt.facts.clone();
        // A verdict after the end is a fact, and changes nothing (F-26).
        facts.answered_by = facts.answered_by.filter(|detected| detected.at <= *at);
        let machines = snapshot.voice_call(past).map(|call| &call.machines);
        *outcome = ending::judge(&CallEnd::Completed, &facts, machines);
        if let EnrollmentState::Finished {
            outcome: Some(last),
            ..
        } = &mut state
            && past.id.number == snapshot.enrollment.n_attempts
        {
            *last = outcome.clone();
        }
    }
    if attempt.state == past.state {
        let news = late_moment_of(snapshot, past, signal, now);
        return snapshot.save(state, Some(attempt), news.into_iter().collect());
    }
    let events = vec![snapshot.call_event(&attempt, signal.at)];
    // Looked at once more: it ended as something else than was known at its end.
    let effects = ending::watch(&attempt);
    Decision {
        effects,
        ..snapshot.save(state, Some(attempt), events)
    }
}
