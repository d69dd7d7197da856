//! What clients are shown: one set of structs for Socket.IO and REST.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{
    Timestamp,
    attempt::Attempt,
    campaign::{Campaign, CampaignAction},
    enrollment::{CallRecord, Progress},
    event::{Event, EventKind, Moment, StoredEvent, TranscriptLine},
    ids::CampaignId,
    machine::AnsweredBy,
    mute,
    outcome::{Fault, Outcome},
    price::{CarrierPrice, Price},
    report::AgentVerdict,
    transfer::{self, Transfer, TransferResult},
};

/// `campaign_update`: where a campaign stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignUpdate {
    /// Which campaign.
    pub campaign_id: String,
    /// The event's place in the campaign's log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// draft, active, paused, completed or cancelled.
    pub status: String,
    /// Why it paused.
    pub reason: Option<String>,
    /// Its name; none when it was deleted meanwhile.
    pub name: Option<String>,
}

/// `emergency_stop`: one that holds for a campaign came into force or was lifted.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopUpdate {
    /// Which campaign. Every active one tells of the same stop.
    pub campaign_id: String,
    /// The event's place in the campaign's log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether it is in force now.
    pub is_in_force: bool,
    /// Who stopped or lifted it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// `campaign_progress`: how far a campaign has come. Every figure is a recount of records.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// Which campaign.
    pub campaign_id: String,
    /// The last event that had happened when the figures were counted.
    pub seq: u64,
    /// When they were counted.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Everyone enrolled: the sum of untried, retrying, open and finished.
    pub enrolled: u64,
    /// Waiting and never tried.
    pub untried: u64,
    /// Waiting for another try.
    pub retrying: u64,
    /// With an open attempt.
    pub open: u64,
    /// Of those, with somebody on the line.
    pub connected: u64,
    /// At their end.
    pub finished: u64,
    /// Those at their end, by how the last attempt ended; `none` without any attempt.
    pub outcomes: std::collections::BTreeMap<String, u64>,
    /// Calls that the carrier placed. A number that it refused got none, though the try counts.
    pub calls: u64,
    /// When the next waiting enrollment is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_due_at: Option<Timestamp>,
}

/// `campaign_call_update`: one call.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// The attempt's id.
    pub id: String,
    /// Which campaign.
    pub campaign_id: String,
    /// The event that brought this, on Socket.IO only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// When that was, on Socket.IO only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
    /// Which person.
    pub contact_id: String,
    /// The person in the campaign.
    pub enrollment_id: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The person's name.
    pub name: Option<String>,
    /// Whom we call.
    pub phone: String,
    /// The number the callee sees.
    pub from: String,
    /// reserved, unknown, dialing, ringing, connected, ended or released.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it could not be made.
    pub fault: Option<FaultView>,
    /// The carrier's name for the call.
    pub sid: Option<String>,
    /// When the carrier was to be asked.
    #[schema(value_type = String, format = DateTime)]
    pub dial_at: Timestamp,
    /// When the phone began to ring.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ringing_at: Option<Timestamp>,
    /// When it was answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// How long it lasted from the answer, as the carrier says.
    pub duration_seconds: Option<u64>,
    /// Whether there is a recording to listen to.
    pub has_recording: bool,
    /// When the recording was deleted because it was older than the campaign keeps recordings.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub recording_deleted_at: Option<Timestamp>,
    /// What the carrier takes for the call, once it is known. What the agent costs is in the call's `report`,
    /// and what a person costs to whom the callee was transferred is not known.
    pub carrier_price: Option<PriceView>,
    /// awaited, known or givenUp (it was asked for often enough and not told); null before the call has
    /// ended, and where nobody answered.
    pub carrier_price_state: Option<String>,
    /// callee, agent, operator or system.
    pub ended_by: Option<String>,
    /// Who or what answered, as the carrier's detection says: human, machine, machineReady (its greeting
    /// is over), fax or unknown.
    pub answered_by: Option<String>,
    /// When a message was left on a machine.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub message_at: Option<Timestamp>,
    /// The agent vendor's name for the conversation.
    pub conversation_id: Option<String>,
    /// The vendor whose agent joined.
    pub agent_vendor: Option<String>,
    /// From the answer to the agent's first audio.
    pub answer_to_first_audio_ms: Option<u64>,
    /// Why no agent could be had.
    pub agent_failure: Option<String>,
    /// Whether the agent reached what it was to reach, as its vendor says after the call: success, failure
    /// or unknown. It says nothing about `outcome`, and the other way round.
    pub agent_verdict: Option<String>,
    /// How the agent sees the call, in a word or two.
    pub disposition: Option<String>,
    /// The same in a sentence.
    pub disposition_note: Option<String>,
    /// When the callee wants to be called again, as the agent understood.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub follow_up_at: Option<Timestamp>,
    /// What about.
    pub follow_up_note: Option<String>,
    /// The transfer of the callee to a person.
    pub transfer: Option<TransferView>,
    /// Whether an operator has muted the agent, so that the callee hears nothing of it.
    pub is_agent_muted: bool,
    /// What may be asked of it now: hangUp, and during a talk listen, hint, transfer, and mute or unmute.
    pub allowed_actions: Vec<String>,
}

/// An amount of money.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PriceView {
    /// In millionths of the currency's unit; a credit is below zero.
    pub millionths: i64,
    /// Which currency, such as USD.
    pub currency: String,
}

impl From<Price> for PriceView {
    fn from(price: Price) -> Self {
        Self {
            millionths: price.millionths,
            currency: price.currency.to_string(),
        }
    }
}

/// The transfer of a callee to a person.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransferView {
    /// To whom.
    pub to: String,
    /// Who asked for it: agent or operator.
    pub by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When that person answered.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub joined_at: Option<Timestamp>,
    /// What became of it, once it is over: answered, busy, noAnswer, failed, canceled (the callee hung up
    /// first) or refused (by the carrier; the agent went on).
    pub result: Option<String>,
    /// How long callee and person talked.
    pub duration_seconds: Option<u64>,
}

impl From<&Transfer> for TransferView {
    fn from(transfer: &Transfer) -> Self {
        let talked = transfer.end.and_then(|end| end.talked);
        Self {
            to: transfer.to.to_string(),
            by: transfer.by.name().to_owned(),
            at: transfer.at,
            joined_at: transfer.joined_at,
            result: transfer.end.map(|end| end.result.name().to_owned()),
            duration_seconds: talked.map(|talked| talked.as_secs()),
        }
    }
}

/// Why a call could not be made.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FaultView {
    /// Whose fault it is: account, number, callerNumber, destination, network, limit, ours or
    /// unclassified.
    pub class: String,
    /// The carrier's own number for it.
    pub code: Option<u32>,
    /// A sentence.
    pub detail: String,
}

/// `call_transcript`: one line of what was said.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranscriptView {
    /// Which call, on Socket.IO only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// Which campaign, on Socket.IO only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign_id: Option<String>,
    /// The event's place in the campaign's log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Counts turns from 1; a line of the same turn and speaker replaces the one before.
    pub turn: u32,
    /// agent or callee.
    pub speaker: String,
    /// What was said.
    pub text: String,
    /// Whether the text may still change.
    pub r#final: bool,
    /// Whether the callee did not hear all of this turn of the agent: they spoke over it, or it was muted.
    pub interrupted: bool,
    /// From the callee's last voice to the first audio of this turn of the agent, to a tenth of a second;
    /// null for what answers nothing, such as a greeting.
    pub latency_ms: Option<u64>,
}

/// One moment in the course of a call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TimelineView {
    /// The event's place in the campaign's log.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// A stable name.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// `active_campaigns_list`: the campaigns that are dialing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActiveCampaigns {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Oldest start first.
    pub items: Vec<ActiveCampaign>,
}

/// A campaign that is dialing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ActiveCampaign {
    /// Which.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: String,
    /// How far it has come.
    pub progress: ProgressView,
}

impl ProgressView {
    /// The figures as counted at `at`, when `seq` was the last event.
    pub fn new(campaign: CampaignId, progress: Progress, seq: u64, at: Timestamp) -> Self {
        Self {
            campaign_id: campaign.to_string(),
            seq,
            at,
            enrolled: progress.n_enrolled,
            untried: progress.n_untried,
            retrying: progress.n_retrying,
            open: progress.n_open,
            connected: progress.n_connected,
            finished: progress.n_finished,
            outcomes: progress.finished_by_outcome,
            calls: progress.n_calls,
            next_due_at: progress.next_due_at,
        }
    }
}

impl CallView {
    /// The call, as brought by the event `seq` at `at`.
    pub fn brought_by(call: &CallRecord, event: &StoredEvent) -> Self {
        Self {
            seq: Some(event.seq),
            at: Some(event.event.at),
            ..Self::from(call)
        }
    }
}

impl From<&CallRecord> for CallView {
    fn from(call: &CallRecord) -> Self {
        let attempt = &call.attempt;
        let facts = &attempt.facts;
        let outcome = attempt.state.outcome();
        Self {
            id: attempt.id.to_string(),
            campaign_id: call.campaign.to_string(),
            seq: None,
            at: None,
            contact_id: call.contact.to_string(),
            enrollment_id: attempt.id.enrollment.to_string(),
            attempt: attempt.id.number,
            name: call.name.clone(),
            phone: attempt.to.shown().to_owned(),
            from: attempt.from.to_string(),
            state: attempt.state.name().to_owned(),
            outcome: outcome.map(|outcome| outcome.name().to_owned()),
            fault: outcome.and_then(fault_of).map(FaultView::from),
            sid: attempt.state.sid().map(ToString::to_string),
            dial_at: attempt.dial_at,
            ringing_at: facts.ringing_at,
            answered_at: facts.answered_at,
            ended_at: attempt.state.ended_at(),
            duration_seconds: facts.duration.map(|duration| duration.as_secs()),
            has_recording: facts.kept_recording().is_some(),
            recording_deleted_at: facts.recording.as_ref().and_then(|it| it.deleted_at),
            carrier_price: facts
                .price
                .and_then(CarrierPrice::known)
                .map(PriceView::from),
            carrier_price_state: facts.price.map(|price| price.name().to_owned()),
            ended_by: facts.ended_by.map(|party| party.name().to_owned()),
            answered_by: facts.answered_by.map(|it| it.by.name().to_owned()),
            message_at: facts.message_at,
            conversation_id: facts.conversation.as_ref().map(ToString::to_string),
            agent_vendor: facts.vendor.as_ref().map(ToString::to_string),
            answer_to_first_audio_ms: facts.first_audio_after.map(millis),
            agent_failure: facts.agent_failure.clone(),
            agent_verdict: facts
                .report
                .as_ref()
                .and_then(|report| report.verdict)
                .map(|verdict| verdict.name().to_owned()),
            disposition: facts.disposition.as_ref().map(|it| it.name.clone()),
            disposition_note: facts.disposition.as_ref().and_then(|it| it.note.clone()),
            follow_up_at: facts.follow_up.as_ref().map(|it| it.at),
            follow_up_note: facts.follow_up.as_ref().and_then(|it| it.note.clone()),
            transfer: facts.transfer.as_ref().map(TransferView::from),
            is_agent_muted: facts.is_muted(),
            allowed_actions: call_actions(attempt),
        }
    }
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn call_actions(attempt: &Attempt) -> Vec<String> {
    let may_transfer = transfer::can_be_asked(attempt).is_ok();
    let transfer = may_transfer.then_some("transfer");
    let mute = mute::allowed_action(attempt);
    let actions = attempt.state.allowed_actions().iter().copied();
    let actions = actions.chain(transfer).chain(mute);
    actions.map(str::to_owned).collect()
}

fn fault_of(outcome: &Outcome) -> Option<&Fault> {
    match outcome {
        Outcome::Failed(fault) => Some(fault),
        _ => None,
    }
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        Self {
            class: fault.class.name().to_owned(),
            code: fault.code,
            detail: fault.detail.clone(),
        }
    }
}

impl TranscriptView {
    /// The line that an event holds.
    pub fn new(line: &TranscriptLine, seq: u64, at: Timestamp) -> Self {
        Self {
            call_id: None,
            campaign_id: None,
            seq,
            at,
            turn: line.turn,
            speaker: line.speaker.name().to_owned(),
            text: line.text.clone(),
            r#final: line.is_final,
            interrupted: line.interrupted,
            latency_ms: line.latency.map(millis),
        }
    }
}

impl TimelineView {
    /// The moment that an event of a call holds; none for lines of the transcript.
    pub fn of(stored: &StoredEvent) -> Option<Self> {
        let (kind, text) = match &stored.event.kind {
            EventKind::Call { state, outcome, .. } => (
                state.clone(),
                outcome.clone().unwrap_or_else(|| state.clone()),
            ),
            EventKind::Timeline { moment, .. } => in_words(moment),
            EventKind::Campaign { .. }
            | EventKind::EmergencyStop { .. }
            | EventKind::Enrolled { .. }
            | EventKind::Enrollment { .. }
            | EventKind::Erased { .. }
            | EventKind::Transcript { .. } => return None,
        };
        Some(Self {
            seq: stored.seq,
            at: stored.event.at,
            kind,
            text,
        })
    }
}

fn in_words(moment: &Moment) -> (String, String) {
    let (kind, text) = match moment {
        Moment::MediaStarted => ("mediaStarted", "the call's audio began".to_owned()),
        Moment::AgentJoined { conversation } => {
            ("agentJoined", format!("the agent joined as {conversation}"))
        }
        Moment::AgentFailed { detail } => ("agentFailed", detail.clone()),
        Moment::Detected { by } => ("detected", detected(*by).to_owned()),
        Moment::VerdictMissing => (
            "verdictMissing",
            "the carrier told no verdict on who answered in its time; it counts as unknown"
                .to_owned(),
        ),
        Moment::LeavingMessage => (
            "leavingMessage",
            "a message is being left on the machine".to_owned(),
        ),
        Moment::Interrupted => ("interrupted", "the callee spoke over the agent".to_owned()),
        Moment::KeyPressed { digit } => ("keyPressed", format!("the callee pressed {digit}")),
        Moment::OptedOut { by } => (
            "optedOut",
            format!("the callee wants no more calls, told by {}", by.name()),
        ),
        Moment::Hinted { by, text } => ("hinted", format!("{by} told the agent: {text}")),
        Moment::Muted { is_on: true, by } => ("muted", format!("{by} muted the agent")),
        Moment::Muted { is_on: false, by } => {
            ("unmuted", format!("{by} let the agent be heard again"))
        }
        Moment::Recorded { duration } => ("recorded", recorded(*duration)),
        Moment::RecordingDeleted => (
            "recordingDeleted",
            "the recording was deleted, as old as the campaign keeps recordings".to_owned(),
        ),
        Moment::Priced { price: Some(price) } => ("priced", format!("the carrier takes {price}")),
        Moment::Priced { price: None } => (
            "priced",
            "the carrier tells no price and is asked no more".to_owned(),
        ),
        Moment::Disposed { disposition, note } => (
            "disposition",
            with_note(format!("the agent calls it {disposition}"), note.as_ref()),
        ),
        Moment::FollowUpWished { at, note } => (
            "followUpWished",
            with_note(
                format!("the callee wants to be called again at {at}"),
                note.as_ref(),
            ),
        ),
        Moment::ToolUsed { tool, took, error } => {
            ("toolUsed", tool_used(tool, *took, error.as_deref()))
        }
        Moment::Transferring { to, by } => (
            "transferring",
            format!(
                "the call is being transferred to {to}, asked for by the {}",
                by.name()
            ),
        ),
        Moment::TransferJoined => (
            "transferJoined",
            "the person to whom the call is transferred has answered".to_owned(),
        ),
        Moment::TransferEnded { result, seconds } => {
            ("transferEnded", transfer_ended(*result, *seconds))
        }
        Moment::MediaEnded { by: Some(party) } => (
            "mediaEnded",
            format!("the talk was ended by the {}", party.name()),
        ),
        Moment::MediaEnded { by: None } => ("mediaEnded", "the talk ended".to_owned()),
        Moment::Erased => (
            "erased",
            "what was said or pressed here was erased".to_owned(),
        ),
        Moment::Reported { verdict } => ("reported", reported(*verdict).to_owned()),
        Moment::LateCall => (
            "lateCall",
            "a call turned up for an attempt that was given up".to_owned(),
        ),
    };
    (kind.to_owned(), text)
}

fn reported(verdict: Option<AgentVerdict>) -> &'static str {
    match verdict {
        Some(AgentVerdict::Success) => "the agent's vendor reports a success",
        Some(AgentVerdict::Failure) => "the agent's vendor reports a failure",
        Some(AgentVerdict::Unknown) => "the agent's vendor reports and gives no clear verdict",
        None => "the agent's vendor reports on the conversation",
    }
}

fn tool_used(tool: &str, took: Duration, error: Option<&str>) -> String {
    match error {
        Some(error) => format!("the agent used the tool {tool} in vain: {error}"),
        None => {
            let seconds = took.as_secs_f64();
            format!("the agent used the tool {tool}, which answered in {seconds:.1} s")
        }
    }
}

fn recorded(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "the recording can be listened to".to_owned(),
        |length| format!("the recording of {} s can be listened to", length.as_secs()),
    )
}

fn with_note(text: String, note: Option<&String>) -> String {
    match note {
        Some(note) => format!("{text}: {note}"),
        None => text,
    }
}

fn transfer_ended(result: TransferResult, seconds: Option<u64>) -> String {
    let text = match (result, seconds) {
        (TransferResult::Answered, Some(seconds)) => {
            return format!("the transferred call ended after {seconds} s");
        }
        (TransferResult::Answered, None) => "the transferred call ended",
        (TransferResult::Busy, _) => "the transfer failed: the line was busy",
        (TransferResult::NoAnswer, _) => "the transfer failed: nobody answered",
        (TransferResult::Failed, _) => "the transfer failed: the carrier could not call",
        (TransferResult::Canceled, _) => "the callee hung up before the transfer",
        (TransferResult::Refused, _) => "the carrier did not take the request for a transfer",
    };
    text.to_owned()
}

fn detected(by: AnsweredBy) -> &'static str {
    match by {
        AnsweredBy::Human => "the carrier hears a person",
        AnsweredBy::Machine => "the carrier hears a machine's greeting",
        AnsweredBy::MachineReady => "the carrier hears a machine that records",
        AnsweredBy::Fax => "the carrier hears a fax",
        AnsweredBy::Unknown => "the carrier cannot tell who answered",
    }
}

/// What an operator may ask of a campaign now.
pub fn actions_of(campaign: &Campaign) -> Vec<String> {
    campaign
        .status
        .allowed_actions()
        .iter()
        .map(|it: &CampaignAction| it.name().to_owned())
        .collect()
}

/// The update that a campaign event stands for.
pub fn campaign_update(event: &Event, seq: u64, name: Option<String>) -> Option<CampaignUpdate> {
    let EventKind::Campaign { status, reason } = &event.kind else {
        return None;
    };
    Some(CampaignUpdate {
        campaign_id: event.campaign.to_string(),
        seq,
        at: event.at,
        status: status.clone(),
        reason: reason.clone(),
        name,
    })
}
