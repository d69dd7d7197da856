//! Campaigns with their steps and policies.

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    fault::FaultShape,
    policy::PolicyShape,
    record,
    wire::{
        duration_ms, duration_ms_option, millis, millis_option, per_second, region, template,
        template_option, text, text_option,
    },
};
use crate::domain::{
    Timestamp,
    campaign::{Brake, Campaign, CampaignStatus, PauseReason, Policy},
    ids::{AgentVendor, CampaignId, TenantId},
    machine::{DetectionMode, HeldRule, MachinePolicy, Message, OnMachine, Tuning},
    outcome::{Fault, RetryKind},
    pacing::{CallRate, PacingLimits, Ramp},
    phone::{PhoneNumber, Region},
    profile::Share,
    retry::{RetryDelay, RetryPolicy, RetryRule},
    step::{Silence, Step, VoiceCall},
    text::Template,
    transfer::TransferPolicy,
};

record!(
    /// A campaign.
    CampaignRecord, Campaign, "CampaignShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Campaign", rename_all = "camelCase")]
struct CampaignShape {
    #[serde(rename = "_id", with = "text")]
    id: CampaignId,
    #[serde(with = "text")]
    tenant: TenantId,
    name: String,
    #[serde(with = "StatusShape")]
    status: CampaignStatus,
    #[serde(with = "steps")]
    steps: Vec<Step>,
    #[serde(with = "PacingShape")]
    pacing: PacingLimits,
    #[serde(with = "RetryShape")]
    retry: RetryPolicy,
    #[serde(with = "PolicyShape")]
    policy: Policy,
    #[serde(with = "region")]
    region: Region,
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[serde(with = "millis")]
    updated_at: Timestamp,
    #[serde(with = "millis_option")]
    started_at: Option<Timestamp>,
    #[serde(with = "millis_option")]
    active_since: Option<Timestamp>,
    #[serde(with = "millis_option")]
    ended_at: Option<Timestamp>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CampaignStatus", tag = "name", rename_all = "camelCase")]
enum StatusShape {
    Draft,
    Scheduled,
    Active,
    Paused(#[serde(with = "PauseShape")] PauseReason),
    Completed,
    Cancelled,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PauseReason", tag = "by", rename_all = "camelCase")]
enum PauseShape {
    Operator,
    Carrier(#[serde(with = "FaultShape")] Fault),
    Agent {
        detail: String,
    },
    Brake {
        #[serde(with = "brake")]
        brake: Brake,
        detail: String,
    },
}

/// A brake by its name.
mod brake {
    use super::*;

    pub fn serialize<S: Serializer>(brake: &Brake, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(brake.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Brake, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no brake {name:?}"));
        Brake::from_name(&name).ok_or_else(unknown)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Step", tag = "kind", rename_all = "camelCase")]
enum StepShape {
    VoiceCall(#[serde(with = "VoiceCallShape")] VoiceCall),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "VoiceCall", rename_all = "camelCase")]
struct VoiceCallShape {
    #[serde(with = "template")]
    prompt: Template,
    #[serde(with = "template")]
    first_message: Template,
    language: Option<String>,
    voice_id: Option<String>,
    #[serde(default, with = "text_option")]
    agent_vendor: Option<AgentVendor>,
    agent_id: Option<String>,
    #[serde(rename = "ringTimeoutMs", with = "duration_ms")]
    ring_timeout: Duration,
    #[serde(rename = "maxDurationMs", with = "duration_ms")]
    max_duration: Duration,
    /// Records from before there was one have the usual key.
    #[serde(default = "usual_opt_out_key")]
    opt_out_key: Option<char>,
    #[serde(with = "SilenceShape", default)]
    silence: Silence,
    #[serde(default)]
    is_recorded: bool,
    #[serde(default)]
    recording_days: Option<NonZeroU16>,
    #[serde(with = "MachinesShape", default)]
    machines: MachinePolicy,
    #[serde(default, with = "transfer_option")]
    transfer: Option<TransferPolicy>,
    #[serde(default)]
    spoken_language: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Silence", rename_all = "camelCase")]
struct SilenceShape {
    #[serde(rename = "firstWordsWithinMs", with = "duration_ms_option")]
    first_words_within: Option<Duration>,
    #[serde(rename = "bothWithinMs", with = "duration_ms_option")]
    both_within: Option<Duration>,
    #[serde(with = "template_option")]
    sentence: Option<Template>,
}

fn usual_opt_out_key() -> Option<char> {
    Some(VoiceCall::OPT_OUT_KEY)
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MachinePolicy", rename_all = "camelCase")]
struct MachinesShape {
    #[serde(with = "DetectionModeShape")]
    mode: DetectionMode,
    #[serde(with = "OnMachineShape")]
    on_machine: OnMachine,
    unknown_is_machine: bool,
    #[serde(with = "HeldShape")]
    held: HeldRule,
    #[serde(with = "TuningShape")]
    tuning: Tuning,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DetectionMode", rename_all = "camelCase")]
enum DetectionModeShape {
    Off,
    Async,
    BeforeConnecting,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "OnMachine", tag = "name", rename_all = "camelCase")]
enum OnMachineShape {
    HangUp,
    LeaveMessage {
        #[serde(with = "MessageShape")]
        message: Message,
    },
    CarryOn,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Message", rename_all = "camelCase")]
enum MessageShape {
    Text(#[serde(with = "template")] Template),
    Audio(String),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HeldRule", rename_all = "camelCase")]
struct HeldShape {
    turns: Option<u32>,
    #[serde(rename = "afterMs", with = "duration_ms_option")]
    after: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Tuning", rename_all = "camelCase")]
struct TuningShape {
    #[serde(rename = "timeoutMs", with = "duration_ms_option")]
    timeout: Option<Duration>,
    #[serde(rename = "speechMs", with = "duration_ms_option")]
    speech: Option<Duration>,
    #[serde(rename = "speechEndMs", with = "duration_ms_option")]
    speech_end: Option<Duration>,
    #[serde(rename = "silenceMs", with = "duration_ms_option")]
    silence: Option<Duration>,
}

/// To whom callees are handed over, or null.
mod transfer_option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "TransferPolicy", rename_all = "camelCase")]
    struct Shape {
        #[serde(with = "text")]
        to: PhoneNumber,
        #[serde(with = "template_option")]
        whisper: Option<Template>,
        #[serde(with = "text_option")]
        caller_id: Option<PhoneNumber>,
        #[serde(with = "template_option")]
        sentence: Option<Template>,
    }

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "Shape")] TransferPolicy);

    pub fn serialize<S: Serializer>(
        policy: &Option<TransferPolicy>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        policy.clone().map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<TransferPolicy>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PacingLimits", rename_all = "camelCase")]
struct PacingShape {
    max_concurrent_calls: u32,
    #[serde(rename = "callDelayMs", with = "duration_ms")]
    call_delay: Duration,
    #[serde(with = "per_second")]
    calls_per_second: CallRate,
    #[serde(default, with = "ramp", skip_serializing_if = "Option::is_none")]
    ramp: Option<Ramp>,
}

/// The rise of the rate, where there is one.
mod ramp {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        #[serde(with = "per_second")]
        from: CallRate,
        #[serde(rename = "overMs", with = "duration_ms")]
        over: Duration,
    }

    pub fn serialize<S: Serializer>(ramp: &Option<Ramp>, to: S) -> Result<S::Ok, S::Error> {
        ramp.map(|Ramp { from, over }| Shape { from, over })
            .serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Ramp>, D::Error> {
        let shape = Option::<Shape>::deserialize(from)?;
        Ok(shape.map(|Shape { from, over }| Ramp { from, over }))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryPolicy", rename_all = "camelCase")]
struct RetryShape {
    max_attempts: u32,
    #[serde(with = "rules")]
    rules: BTreeMap<RetryKind, RetryRule>,
    #[serde(rename = "jitterPerMille", with = "share", default = "usual_jitter")]
    jitter: Share,
    #[serde(rename = "otherHoursMs", with = "duration_ms_option", default)]
    other_hours: Option<Duration>,
}

fn usual_jitter() -> Share {
    RetryPolicy::JITTER
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryRule", rename_all = "camelCase")]
struct RuleShape {
    count: u32,
    #[serde(rename = "delayMs", with = "delay")]
    delay: RetryDelay,
}

/// A share in thousandths.
mod share {
    use super::*;

    pub fn serialize<S: Serializer>(share: &Share, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(share.thousandths())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Share, D::Error> {
        let thousandths = u16::deserialize(from)?;
        let error = || D::Error::custom(format!("{thousandths} per mille is more than the whole"));
        Share::per_mille(thousandths).ok_or_else(error)
    }
}

/// A fixed wait as a number, a table as an array, a growing one as an object: all in milliseconds.
mod delay {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Value {
        Fixed(Ms),
        Table(Vec<Ms>),
        #[serde(rename_all = "camelCase")]
        Exponential {
            first: Ms,
            factor: u32,
            most: Ms,
        },
    }

    #[derive(Serialize, Deserialize)]
    struct Ms(#[serde(with = "duration_ms")] Duration);

    pub fn serialize<S: Serializer>(delay: &RetryDelay, to: S) -> Result<S::Ok, S::Error> {
        let value = match delay {
            RetryDelay::Fixed(delay) => Value::Fixed(Ms(*delay)),
            RetryDelay::Table(delays) => Value::Table(delays.iter().copied().map(Ms).collect()),
            RetryDelay::Exponential {
                first,
                factor,
                most,
            } => Value::Exponential {
                first: Ms(*first),
                factor: *factor,
                most: Ms(*most),
            },
        };
        value.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RetryDelay, D::Error> {
        Ok(match Value::deserialize(from)? {
            Value::Fixed(delay) => RetryDelay::Fixed(delay.0),
            Value::Table(delays) => RetryDelay::Table(delays.into_iter().map(|it| it.0).collect()),
            Value::Exponential {
                first,
                factor,
                most,
            } => RetryDelay::Exponential {
                first: first.0,
                factor,
                most: most.0,
            },
        })
    }
}

/// The steps in order.
mod steps {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "StepShape")] Step);

    pub fn serialize<S: Serializer>(steps: &[Step], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(steps.iter().cloned().map(Value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Step>, D::Error> {
        let values = Vec::<Value>::deserialize(from)?;
        Ok(values.into_iter().map(|value| value.0).collect())
    }
}

/// The rules by the name of their kind.
mod rules {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "RuleShape")] RetryRule);

    pub fn serialize<S: Serializer>(
        rules: &BTreeMap<RetryKind, RetryRule>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(
            rules
                .iter()
                .map(|(kind, rule)| (kind.name(), Value(rule.clone()))),
        )
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<RetryKind, RetryRule>, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(from)?;
        values
            .into_iter()
            .map(|(name, rule)| Ok((retry_kind(&name).map_err(D::Error::custom)?, rule.0)))
            .collect()
    }
}

/// The kind of that name.
pub fn retry_kind(name: &str) -> Result<RetryKind, String> {
    RetryKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| format!("{name:?} is no kind of outcome that is retried"))
}
