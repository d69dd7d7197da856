//! Events.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    attempt::{AnsweredByShape, TransferResultShape},
    fault::{PartyShape, party_option},
    price::price_option,
    record,
    report::verdict_option,
    suppression::source,
    wire::{duration_ms, duration_ms_option, millis, millis_option, text},
};
use crate::domain::{
    Timestamp,
    attempt::Party,
    event::{Event, EventKind, Moment, TranscriptLine},
    ids::{AttemptId, CampaignId, ContactId, ConversationId, EnrollmentId, TenantId, UserId},
    machine::AnsweredBy,
    phone::PhoneNumber,
    price::Price,
    report::AgentVerdict,
    suppression::SuppressionSource,
    transfer::TransferResult,
};

record!(
    /// An event, without its place in the log.
    EventRecord, Event, "EventShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Event", rename_all = "camelCase")]
struct EventShape {
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    campaign: CampaignId,
    #[serde(with = "millis")]
    at: Timestamp,
    #[serde(with = "KindShape")]
    kind: EventKind,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "EventKind",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum KindShape {
    Campaign {
        status: String,
        reason: Option<String>,
    },
    EmergencyStop {
        is_in_force: bool,
        by: String,
        reason: Option<String>,
    },
    Enrolled {
        n: u64,
    },
    Call {
        #[serde(with = "text")]
        attempt: AttemptId,
        #[serde(with = "text")]
        contact: ContactId,
        state: String,
        outcome: Option<String>,
    },
    Enrollment {
        #[serde(with = "text")]
        enrollment: EnrollmentId,
        state: String,
        #[serde(with = "millis_option")]
        due_at: Option<Timestamp>,
    },
    Erased {
        #[serde(with = "text")]
        enrollment: EnrollmentId,
        #[serde(with = "text")]
        by: UserId,
    },
    Timeline {
        #[serde(with = "text")]
        attempt: AttemptId,
        #[serde(with = "MomentShape")]
        moment: Moment,
    },
    Transcript {
        #[serde(with = "text")]
        attempt: AttemptId,
        #[serde(with = "LineShape")]
        line: TranscriptLine,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "Moment",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum MomentShape {
    MediaStarted,
    AgentJoined {
        #[serde(with = "text")]
        conversation: ConversationId,
    },
    AgentFailed {
        detail: String,
    },
    Detected {
        #[serde(with = "AnsweredByShape")]
        by: AnsweredBy,
    },
    VerdictMissing,
    LeavingMessage,
    Interrupted,
    KeyPressed {
        digit: char,
    },
    OptedOut {
        #[serde(with = "source")]
        by: SuppressionSource,
    },
    Hinted {
        by: String,
        text: String,
    },
    Muted {
        is_on: bool,
        by: String,
    },
    Recorded {
        #[serde(rename = "durationMs", with = "duration_ms_option")]
        duration: Option<Duration>,
    },
    RecordingDeleted,
    Priced {
        #[serde(default, with = "price_option")]
        price: Option<Price>,
    },
    Disposed {
        disposition: String,
        note: Option<String>,
    },
    FollowUpWished {
        #[serde(with = "millis")]
        at: Timestamp,
        note: Option<String>,
    },
    ToolUsed {
        tool: String,
        #[serde(rename = "tookMs", with = "duration_ms")]
        took: Duration,
        error: Option<String>,
    },
    Transferring {
        #[serde(with = "text")]
        to: PhoneNumber,
        #[serde(with = "PartyShape")]
        by: Party,
    },
    TransferJoined,
    TransferEnded {
        #[serde(with = "TransferResultShape")]
        result: TransferResult,
        seconds: Option<u64>,
    },
    MediaEnded {
        #[serde(with = "party_option")]
        by: Option<Party>,
    },
    Reported {
        #[serde(default, with = "verdict_option")]
        verdict: Option<AgentVerdict>,
    },
    LateCall,
    Erased,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TranscriptLine", rename_all = "camelCase")]
struct LineShape {
    turn: u32,
    #[serde(with = "PartyShape")]
    speaker: Party,
    text: String,
    is_final: bool,
    interrupted: bool,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "latencyMs",
        with = "duration_ms_option"
    )]
    latency: Option<Duration>,
}
