//! Campaigns with their steps and policies.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    fault::FaultShape,
    record,
    wire::{duration_ms, millis, millis_option, per_second, region, template, text, text_option},
};
use crate::domain::{
    Timestamp,
    campaign::{Campaign, CampaignStatus, PauseReason},
    ids::{CampaignId, TenantId},
    outcome::{Fault, RetryKind},
    pacing::{CallRate, PacingLimits},
    phone::{PhoneNumber, Region},
    retry::{RetryPolicy, RetryRule},
    step::{Step, VoiceCall},
    text::Template,
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
    #[serde(with = "text_option")]
    caller_id: Option<PhoneNumber>,
    #[serde(with = "region")]
    region: Region,
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[serde(with = "millis")]
    updated_at: Timestamp,
    #[serde(with = "millis_option")]
    started_at: Option<Timestamp>,
    #[serde(with = "millis_option")]
    ended_at: Option<Timestamp>,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CampaignStatus", tag = "name", rename_all = "camelCase")]
enum StatusShape {
    Draft,
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
    Agent { detail: String },
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
    agent_id: Option<String>,
    #[serde(rename = "ringTimeoutMs", with = "duration_ms")]
    ring_timeout: Duration,
    #[serde(rename = "maxDurationMs", with = "duration_ms")]
    max_duration: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PacingLimits", rename_all = "camelCase")]
struct PacingShape {
    max_concurrent_calls: u32,
    #[serde(rename = "callDelayMs", with = "duration_ms")]
    call_delay: Duration,
    #[serde(with = "per_second")]
    calls_per_second: CallRate,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryPolicy", rename_all = "camelCase")]
struct RetryShape {
    max_attempts: u32,
    #[serde(with = "rules")]
    rules: BTreeMap<RetryKind, RetryRule>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryRule", rename_all = "camelCase")]
struct RuleShape {
    count: u32,
    #[serde(rename = "delayMs", with = "duration_ms")]
    delay: Duration,
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
        to.collect_map(rules.iter().map(|(kind, rule)| (kind.name(), Value(*rule))))
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
