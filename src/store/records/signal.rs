//! Signals as they wait in the inbox.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    attempt::{AnsweredByShape, DispositionShape, FollowUpShape, MuteShape, TransferEndShape},
    fault::{FaultShape, party_option},
    record,
    report::ReportShape,
    wire::{duration_ms_option, millis, text, text_option},
};
use crate::{
    domain::{
        Timestamp,
        attempt::Party,
        disposition::Disposition,
        follow_up::FollowUp,
        ids::{AgentVendor, AttemptId, CallSid, ConversationId, RecordingSid, StreamSid, TenantId},
        machine::AnsweredBy,
        mute::Mute,
        outcome::Fault,
        report::AgentReport,
        signal::{CallEnd, Signal, SignalKind},
        transfer::TransferEnd,
    },
    store::InboxEntry,
};

record!(
    /// A signal that was received.
    InboxRecord, InboxEntry, "EntryShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "InboxEntry", rename_all = "camelCase")]
struct EntryShape {
    key: String,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    attempt: AttemptId,
    #[serde(with = "millis")]
    received_at: Timestamp,
    #[serde(with = "SignalShape")]
    signal: Signal,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Signal", rename_all = "camelCase")]
struct SignalShape {
    #[serde(with = "text_option")]
    sid: Option<CallSid>,
    #[serde(with = "millis")]
    at: Timestamp,
    #[serde(with = "KindShape")]
    kind: SignalKind,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "SignalKind",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum KindShape {
    Placed,
    Ringing,
    Answered,
    Over {
        #[serde(with = "EndShape")]
        end: CallEnd,
        #[serde(rename = "durationMs", with = "duration_ms_option")]
        duration: Option<Duration>,
        network_code: Option<u16>,
    },
    MediaStarted {
        #[serde(with = "text")]
        stream: StreamSid,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
    AgentJoined {
        #[serde(with = "text")]
        conversation: ConversationId,
        #[serde(with = "text")]
        vendor: AgentVendor,
    },
    AgentSpoke,
    TalkHeld,
    Detected {
        #[serde(with = "AnsweredByShape")]
        by: AnsweredBy,
        is_asking: bool,
    },
    Disposed(#[serde(with = "DispositionShape")] Disposition),
    FollowUpWished(#[serde(with = "FollowUpShape")] FollowUp),
    Muted(#[serde(with = "MuteShape")] Mute),
    TransferJoined,
    TransferEnded(#[serde(with = "TransferEndShape")] TransferEnd),
    AgentFailed {
        detail: String,
    },
    Reported {
        #[serde(with = "ReportShape")]
        report: AgentReport,
    },
    Recorded {
        #[serde(with = "text")]
        recording: RecordingSid,
        #[serde(rename = "durationMs", with = "duration_ms_option")]
        duration: Option<Duration>,
    },
    MediaEnded {
        #[serde(with = "party_option")]
        by: Option<Party>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CallEnd", tag = "name", rename_all = "camelCase")]
enum EndShape {
    Completed,
    Busy,
    NoAnswer,
    Failed(#[serde(with = "FaultShape")] Fault),
    Canceled,
}
