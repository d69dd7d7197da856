//! A campaign's settings as clients write and read them, and the defaults of what they leave out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ApiResult};
use crate::{
    domain::{
        campaign::Campaign,
        outcome::RetryKind,
        pacing::{CallRate, PacingLimits},
        phone::{PhoneNumber, Region},
        retry::{RetryPolicy, RetryRule},
        step::{Step, VoiceCall},
        text::Template,
    },
    engine::CampaignEdit,
};

/// Settings in a request; what is left out keeps its value or has its default.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SettingsBody {
    /// The language the agent speaks, such as `en`.
    pub language: Option<String>,
    /// The voice the agent speaks with.
    pub voice_id: Option<String>,
    /// Which agent; the installation's without it.
    pub agent_id: Option<String>,
    /// How long it may ring: 15 to 600.
    pub ring_timeout_seconds: Option<u64>,
    /// How long a call may last: 10 to 14,400.
    pub max_duration_seconds: Option<u64>,
    /// How many calls may be open at once: 1 to 10,000.
    pub max_concurrent_calls: Option<u32>,
    /// The least time between two dial starts: up to 3,600,000.
    pub call_delay_ms: Option<u64>,
    /// Dial starts per second: 0.1 to 200.
    pub calls_per_second: Option<f64>,
    /// How often again.
    pub retry: Option<RetryBody>,
    /// The number callees see, in the form +12025550100.
    pub caller_id: Option<String>,
    /// The country of numbers without `+`, such as US.
    pub region: Option<String>,
}

/// How often a contact is called again.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryBody {
    /// The most attempts for one contact, whatever their outcomes: 1 to 50.
    pub max_attempts: Option<u32>,
    /// After busy.
    pub busy: Option<RetryRuleView>,
    /// After no answer.
    pub no_answer: Option<RetryRuleView>,
    /// After a machine answered.
    pub voicemail: Option<RetryRuleView>,
    /// After a network fault.
    pub failed: Option<RetryRuleView>,
}

/// What one kind of outcome allows.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryRuleView {
    /// How many further attempts: up to 50.
    pub count: u32,
    /// How long to wait before the next: up to 30 days.
    pub delay_seconds: u64,
}

/// Settings as they are in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    /// The language the agent speaks; null for the agent's own.
    pub language: Option<String>,
    /// The voice the agent speaks with; null for the agent's own.
    pub voice_id: Option<String>,
    /// Which agent; null for the installation's.
    pub agent_id: Option<String>,
    /// How long it may ring.
    pub ring_timeout_seconds: u64,
    /// How long a call may last.
    pub max_duration_seconds: u64,
    /// How many calls may be open at once.
    pub max_concurrent_calls: u32,
    /// The least time between two dial starts.
    pub call_delay_ms: u64,
    /// Dial starts per second.
    pub calls_per_second: f64,
    /// How often again.
    pub retry: RetryView,
    /// The number callees see; null for the installation's first.
    pub caller_id: Option<String>,
    /// The country of numbers without `+`.
    pub region: String,
}

/// How often a contact is called again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryView {
    /// The most attempts for one contact.
    pub max_attempts: u32,
    /// After busy; null for never.
    pub busy: Option<RetryRuleView>,
    /// After no answer; null for never.
    pub no_answer: Option<RetryRuleView>,
    /// After a machine answered; null for never.
    pub voicemail: Option<RetryRuleView>,
    /// After a network fault; null for never.
    pub failed: Option<RetryRuleView>,
}

impl From<&RetryPolicy> for RetryView {
    fn from(policy: &RetryPolicy) -> Self {
        let rule = |kind| {
            policy
                .rules
                .get(&kind)
                .map(|rule: &RetryRule| RetryRuleView {
                    count: rule.count,
                    delay_seconds: rule.delay.as_secs(),
                })
        };
        Self {
            max_attempts: policy.max_attempts,
            busy: rule(RetryKind::Busy),
            no_answer: rule(RetryKind::NoAnswer),
            voicemail: rule(RetryKind::Voicemail),
            failed: rule(RetryKind::Failed),
        }
    }
}

impl SettingsView {
    /// The settings of a campaign whose voice step is `call`.
    pub fn of(campaign: &Campaign, call: &VoiceCall) -> Self {
        Self {
            language: call.language.clone(),
            voice_id: call.voice_id.clone(),
            agent_id: call.agent_id.clone(),
            ring_timeout_seconds: call.ring_timeout.as_secs(),
            max_duration_seconds: call.max_duration.as_secs(),
            max_concurrent_calls: campaign.pacing.max_concurrent_calls,
            call_delay_ms: u64::try_from(campaign.pacing.call_delay.as_millis())
                .unwrap_or(u64::MAX),
            calls_per_second: campaign.pacing.calls_per_second.per_second(),
            retry: RetryView::from(&campaign.retry),
            caller_id: campaign.caller_id.as_ref().map(ToString::to_string),
            region: campaign.region.code(),
        }
    }
}

/// What a campaign has that says nothing else.
pub fn defaults(region: Region) -> CampaignEdit {
    let call = VoiceCall {
        prompt: Template::default(),
        first_message: Template::default(),
        language: None,
        voice_id: None,
        agent_id: None,
        ring_timeout: VoiceCall::RING.1,
        max_duration: VoiceCall::LENGTH.1,
    };
    CampaignEdit {
        name: String::new(),
        steps: vec![Step::VoiceCall(call)],
        pacing: PacingLimits::default(),
        retry: RetryPolicy::default(),
        caller_id: None,
        region,
    }
}

/// `base` with everything replaced that a request names.
pub fn edit_with(
    base: &CampaignEdit,
    name: String,
    prompt: Option<&str>,
    first_message: Option<&str>,
    body: &SettingsBody,
) -> ApiResult<CampaignEdit> {
    let mut edit = base.clone();
    edit.name = name;
    if let Some(Step::VoiceCall(call)) = edit.steps.first_mut() {
        change_call(call, prompt, first_message, body)?;
    }
    change_pacing(&mut edit.pacing, body)?;
    if let Some(retry) = &body.retry {
        change_retry(&mut edit.retry, retry)?;
    }
    if let Some(text) = &body.caller_id {
        edit.caller_id = Some(parse::<PhoneNumber>(
            "/settings/callerId",
            text,
            "must be of the form +12025550100",
        )?);
    }
    if let Some(text) = &body.region {
        edit.region = parse(
            "/settings/region",
            text,
            "must be a country such as US or GB",
        )?;
    }
    Ok(edit)
}

fn change_call(
    call: &mut VoiceCall,
    prompt: Option<&str>,
    first_message: Option<&str>,
    body: &SettingsBody,
) -> ApiResult<()> {
    if let Some(text) = prompt {
        call.prompt = template("/prompt", text)?;
    }
    if let Some(text) = first_message {
        call.first_message = template("/firstMessage", text)?;
    }
    for (setting, value) in [
        (&mut call.language, &body.language),
        (&mut call.voice_id, &body.voice_id),
        (&mut call.agent_id, &body.agent_id),
    ] {
        if let Some(text) = value {
            *setting = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        }
    }
    if let Some(seconds) = body.ring_timeout_seconds {
        let (least, _, most) = VoiceCall::RING;
        call.ring_timeout = seconds_in("/settings/ringTimeoutSeconds", seconds, least, most)?;
    }
    if let Some(seconds) = body.max_duration_seconds {
        let (least, _, most) = VoiceCall::LENGTH;
        call.max_duration = seconds_in("/settings/maxDurationSeconds", seconds, least, most)?;
    }
    Ok(())
}

fn change_pacing(pacing: &mut PacingLimits, body: &SettingsBody) -> ApiResult<()> {
    if let Some(n) = body.max_concurrent_calls {
        if !(1..=10_000).contains(&n) {
            let pointer = "/settings/maxConcurrentCalls";
            return Err(ApiError::field(
                pointer,
                "outOfRange",
                "must be from 1 to 10000",
            ));
        }
        pacing.max_concurrent_calls = n;
    }
    if let Some(ms) = body.call_delay_ms {
        if ms > 3_600_000 {
            let pointer = "/settings/callDelayMs";
            return Err(ApiError::field(
                pointer,
                "outOfRange",
                "must be at most 3600000",
            ));
        }
        pacing.call_delay = Duration::from_millis(ms);
    }
    if let Some(rate) = body.calls_per_second {
        pacing.calls_per_second = CallRate::try_from(rate).map_err(|error| {
            ApiError::field("/settings/callsPerSecond", "outOfRange", error.to_string())
        })?;
    }
    Ok(())
}

fn change_retry(retry: &mut RetryPolicy, body: &RetryBody) -> ApiResult<()> {
    if let Some(n) = body.max_attempts {
        if !(1..=50).contains(&n) {
            let pointer = "/settings/retry/maxAttempts";
            return Err(ApiError::field(
                pointer,
                "outOfRange",
                "must be from 1 to 50",
            ));
        }
        retry.max_attempts = n;
    }
    for (kind, rule) in [
        (RetryKind::Busy, body.busy),
        (RetryKind::NoAnswer, body.no_answer),
        (RetryKind::Voicemail, body.voicemail),
        (RetryKind::Failed, body.failed),
    ] {
        let Some(rule) = rule else { continue };
        if rule.count > 50 || rule.delay_seconds > 30 * 24 * 3600 {
            let pointer = format!("/settings/retry/{}", kind.name());
            let detail = "count must be at most 50 and delaySeconds at most 2592000";
            return Err(ApiError::field(&pointer, "outOfRange", detail));
        }
        let delay = Duration::from_secs(rule.delay_seconds);
        retry.rules.insert(
            kind,
            RetryRule {
                count: rule.count,
                delay,
            },
        );
    }
    Ok(())
}

fn template(pointer: &str, text: &str) -> ApiResult<Template> {
    Template::parse(text).map_err(|error| ApiError::field(pointer, "template", error.to_string()))
}

fn parse<T: std::str::FromStr>(pointer: &str, text: &str, expected: &str) -> ApiResult<T> {
    text.trim()
        .parse()
        .map_err(|_| ApiError::field(pointer, "form", expected))
}

fn seconds_in(pointer: &str, seconds: u64, least: Duration, most: Duration) -> ApiResult<Duration> {
    let value = Duration::from_secs(seconds);
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let detail = format!("must be from {} to {}", least.as_secs(), most.as_secs());
    Err(ApiError::field(pointer, "outOfRange", detail))
}

impl From<&Campaign> for CampaignEdit {
    fn from(campaign: &Campaign) -> Self {
        Self {
            name: campaign.name.clone(),
            steps: campaign.steps.clone(),
            pacing: campaign.pacing,
            retry: campaign.retry.clone(),
            caller_id: campaign.caller_id.clone(),
            region: campaign.region,
        }
    }
}
