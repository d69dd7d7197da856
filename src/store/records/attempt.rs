//! Attempts, and the call records that show them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    fault::{FaultShape, OutcomeShape, PartyShape, party_option},
    price::price_state_option,
    record,
    report::report_option,
    suppression::registers,
    wire::{duration_ms_option, millis, millis_option, text, text_option},
};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, Party, Recording, ReleaseReason},
    disposition::Disposition,
    enrollment::CallRecord,
    erasure::KeptNumber,
    follow_up::FollowUp,
    ids::{
        AgentVendor, AttemptId, CallSid, CampaignId, ContactId, ConversationId, RecordingSid,
        StreamSid, TenantId,
    },
    machine::{AnsweredBy, Detected},
    mute::Mute,
    outcome::{Fault, Outcome},
    phone::PhoneNumber,
    place::ZoneSource,
    price::CarrierPrice,
    register::Registers,
    report::AgentReport,
    rules::DecisionRecord,
    transfer::{Transfer, TransferEnd, TransferResult},
};

record!(
    /// An attempt and whose it is.
    CallDocument, CallRecord, "CallShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "CallRecord", rename_all = "camelCase")]
struct CallShape {
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    campaign: CampaignId,
    #[serde(with = "text")]
    contact: ContactId,
    name: Option<String>,
    #[serde(with = "AttemptShape")]
    attempt: Attempt,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Attempt", rename_all = "camelCase")]
pub struct AttemptShape {
    #[serde(with = "text")]
    id: AttemptId,
    step: u16,
    #[serde(with = "text")]
    to: KeptNumber,
    #[serde(with = "text")]
    from: PhoneNumber,
    #[serde(with = "millis")]
    reserved_at: Timestamp,
    #[serde(with = "millis")]
    dial_at: Timestamp,
    #[serde(default, with = "millis_option")]
    ring_by: Option<Timestamp>,
    #[serde(default, with = "decision_option")]
    decision: Option<DecisionRecord>,
    #[serde(with = "StateShape")]
    state: AttemptState,
    #[serde(with = "FactsShape")]
    facts: CallFacts,
}

/// A decision, or null.
mod decision_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "DecisionShape")] DecisionRecord);

    pub fn serialize<S: Serializer>(
        decision: &Option<DecisionRecord>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        decision.clone().map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<DecisionRecord>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DecisionRecord", rename_all = "camelCase")]
struct DecisionShape {
    profile: String,
    profile_version: String,
    #[serde(with = "millis")]
    at: Timestamp,
    local: String,
    region: String,
    #[serde(with = "zone_source")]
    zone_source: ZoneSource,
    #[serde(with = "registers")]
    registers: Registers,
}

/// What zones were taken from, by its name.
mod zone_source {
    use serde::{Deserializer, Serializer, de::Error};

    use super::*;

    pub fn serialize<S: Serializer>(source: &ZoneSource, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(source.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ZoneSource, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no source of zones {name:?}"));
        ZoneSource::from_name(&name).ok_or_else(unknown)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "AttemptState",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum StateShape {
    Reserved,
    Unknown {
        #[serde(with = "millis")]
        since: Timestamp,
        n_looks: u32,
    },
    Dialing {
        #[serde(with = "text")]
        sid: CallSid,
    },
    Ringing {
        #[serde(with = "text")]
        sid: CallSid,
    },
    Connected {
        #[serde(with = "text")]
        sid: CallSid,
        #[serde(with = "millis")]
        since: Timestamp,
    },
    Ended {
        #[serde(with = "text_option")]
        sid: Option<CallSid>,
        #[serde(with = "OutcomeShape")]
        outcome: Outcome,
        #[serde(with = "millis")]
        at: Timestamp,
    },
    Released {
        #[serde(with = "millis")]
        at: Timestamp,
        #[serde(with = "ReleaseShape")]
        why: ReleaseReason,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ReleaseReason", tag = "name", rename_all = "camelCase")]
enum ReleaseShape {
    Withheld,
    NeverPlaced,
    Refused(#[serde(with = "FaultShape")] Fault),
    Unreachable,
}

/// A verdict by its name.
#[derive(Serialize, Deserialize)]
#[serde(remote = "AnsweredBy", rename_all = "camelCase")]
pub enum AnsweredByShape {
    Human,
    Machine,
    MachineReady,
    Fax,
    Unknown,
}

/// A verdict with its time, or null.
mod detected_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Detected")]
    struct Shape {
        #[serde(with = "AnsweredByShape")]
        by: AnsweredBy,
        #[serde(with = "millis")]
        at: Timestamp,
    }

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "Shape")] Detected);

    pub fn serialize<S: Serializer>(detected: &Option<Detected>, to: S) -> Result<S::Ok, S::Error> {
        detected.map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Detected>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

mod recording_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Recording")]
    struct Shape {
        #[serde(with = "text")]
        sid: RecordingSid,
        #[serde(rename = "durationMs", with = "duration_ms_option")]
        duration: Option<Duration>,
        #[serde(rename = "toldAt", with = "millis")]
        told_at: Timestamp,
        #[serde(
            rename = "deletedAt",
            default,
            skip_serializing_if = "Option::is_none",
            with = "millis_option"
        )]
        deleted_at: Option<Timestamp>,
    }

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "Shape")] Recording);

    pub fn serialize<S: Serializer>(
        recording: &Option<Recording>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        recording.clone().map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Recording>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

/// Whether a call's agent is heard.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Mute", rename_all = "camelCase")]
pub struct MuteShape {
    is_on: bool,
    by: String,
    #[serde(with = "millis")]
    at: Timestamp,
}

/// How the agent sees a call.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Disposition", rename_all = "camelCase")]
pub struct DispositionShape {
    #[serde(rename = "disposition")]
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(with = "millis")]
    at: Timestamp,
}

/// A callee's wish to be called again.
#[derive(Serialize, Deserialize)]
#[serde(remote = "FollowUp", rename_all = "camelCase")]
pub struct FollowUpShape {
    #[serde(with = "millis")]
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(with = "millis")]
    wished_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Transfer", rename_all = "camelCase")]
struct TransferShape {
    #[serde(with = "text")]
    to: PhoneNumber,
    #[serde(with = "PartyShape")]
    by: Party,
    #[serde(with = "millis")]
    at: Timestamp,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    joined_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "transfer_end_option"
    )]
    end: Option<TransferEnd>,
}

/// How a handing over ended.
#[derive(Serialize, Deserialize)]
#[serde(remote = "TransferEnd", rename_all = "camelCase")]
pub struct TransferEndShape {
    #[serde(with = "TransferResultShape")]
    result: TransferResult,
    #[serde(rename = "talkedMs", with = "duration_ms_option")]
    talked: Option<Duration>,
}

/// A result by its name.
#[derive(Serialize, Deserialize)]
#[serde(remote = "TransferResult", rename_all = "camelCase")]
pub enum TransferResultShape {
    Answered,
    Busy,
    NoAnswer,
    Failed,
    Canceled,
    Refused,
}

/// A value in its shape, or null.
macro_rules! option_in_shape {
    ($name:ident, $value:ty, $shape:literal) => {
        mod $name {
            use serde::{Deserializer, Serializer};

            use super::*;

            #[derive(Serialize, Deserialize)]
            struct Value(#[serde(with = $shape)] $value);

            pub fn serialize<S: Serializer>(
                value: &Option<$value>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                value.clone().map(Value).serialize(to)
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$value>, D::Error> {
                Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
            }
        }
    };
}

option_in_shape!(disposition_option, Disposition, "DispositionShape");
option_in_shape!(follow_up_option, FollowUp, "FollowUpShape");
option_in_shape!(mute_option, Mute, "MuteShape");
option_in_shape!(transfer_option, Transfer, "TransferShape");
option_in_shape!(transfer_end_option, TransferEnd, "TransferEndShape");

/// Facts that are not known are left out: most of a call's life has few.
#[derive(Serialize, Deserialize)]
#[serde(remote = "CallFacts", rename_all = "camelCase")]
struct FactsShape {
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    ringing_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    answered_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "durationMs",
        with = "duration_ms_option"
    )]
    duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network_code: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text_option")]
    stream: Option<StreamSid>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    media_ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "detected_option"
    )]
    answered_by: Option<Detected>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "verdictWithinMs",
        with = "duration_ms_option"
    )]
    verdict_within: Option<Duration>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    held_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "millis_option"
    )]
    message_at: Option<Timestamp>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "recording_option"
    )]
    recording: Option<Recording>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "price_state_option"
    )]
    price: Option<CarrierPrice>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text_option")]
    conversation: Option<ConversationId>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text_option")]
    vendor: Option<AgentVendor>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "firstAudioAfterMs",
        with = "duration_ms_option"
    )]
    first_audio_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_failure: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "report_option"
    )]
    report: Option<AgentReport>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "disposition_option"
    )]
    disposition: Option<Disposition>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "follow_up_option"
    )]
    follow_up: Option<FollowUp>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "mute_option")]
    mute: Option<Mute>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "transfer_option"
    )]
    transfer: Option<Transfer>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "party_option"
    )]
    ended_by: Option<Party>,
    #[serde(default)]
    was_looked_up: bool,
}
