//! A campaign's settings as clients write and read them, and the defaults of what they leave out.

use std::{num::NonZeroU16, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::{
    conduct::{self, MachinesBody, SilenceBody, TransferSettings},
    error::{ApiError, ApiResult},
    policy::{
        self, BudgetBody, CallerIdsBody, Part, PolicyBody, RampBody, RulesBody, ScheduleBody,
        SilentLimitBody, part,
    },
};
use crate::{
    domain::{
        campaign::{Campaign, Policy},
        machine::MachinePolicy,
        outcome::RetryKind,
        pacing::{CallRate, PacingLimits},
        phone::Region,
        profile::Share,
        retry::{RetryDelay, RetryPolicy, RetryRule},
        rules::CampaignRules,
        step::{Silence, Step, VoiceCall},
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
    /// Whose agent: elevenlabs or vapi, where the installation has it; the one it prefers without it.
    /// While that vendor fails, new calls get the other's.
    pub agent_vendor: Option<String>,
    /// Which agent of that vendor; the installation's without it.
    pub agent_id: Option<String>,
    /// How long it may ring: 15 to 600.
    pub ring_timeout_seconds: Option<u64>,
    /// How long a call may last: 10 to 14,400.
    pub max_duration_seconds: Option<u64>,
    /// The key by which callees get off the list: 0 to 9, * or #; null for none. 9 without it.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<String>)]
    pub opt_out_key: Option<Option<String>>,
    /// How long a callee may hear nobody, and what they hear then; null for the usual.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<SilenceBody>)]
    pub silence: Part<SilenceBody>,
    /// Whether the carrier records both sides of each call. Most places ask for the callee's consent.
    pub record: Option<bool>,
    /// For how many days recordings are kept, 1 to 3650; then they are deleted at the carrier, also those
    /// made before this was set. null keeps them.
    #[serde(default, deserialize_with = "or_null")]
    #[schema(value_type = Option<u16>)]
    pub recording_days: Option<Option<u64>>,
    /// What is done about machines that answer; null for nothing.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<MachinesBody>)]
    pub machines: Part<MachinesBody>,
    /// To whom callees are transferred who ask the agent for a person; null for nobody.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<TransferSettings>)]
    pub transfer: Part<TransferSettings>,
    /// The language in which the carrier speaks our own sentences, such as en-GB; empty for its own.
    pub spoken_language: Option<String>,
    /// How many calls may be open at once: 1 to 10,000.
    pub max_concurrent_calls: Option<u32>,
    /// The least time between two dial starts: up to 3,600,000.
    pub call_delay_ms: Option<u64>,
    /// Dial starts per second: 0.1 to 200.
    pub calls_per_second: Option<f64>,
    /// How often again.
    pub retry: Option<RetryBody>,
    /// A rise of the rate after each time the campaign becomes active; null for none.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<RampBody>)]
    pub ramp: Part<RampBody>,
    /// The number callees see, in the form +12025550100: short for `callerIds` with one number.
    pub caller_id: Option<String>,
    /// The numbers callees see; null for all of the installation's in turn.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<CallerIdsBody>)]
    pub caller_ids: Part<CallerIdsBody>,
    /// Who may be called when; null for the installation's usual rules.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<RulesBody>)]
    pub rules: Part<RulesBody>,
    /// The weight against the tenant's other campaigns: 1 to 10.
    pub priority: Option<u32>,
    /// What it may cost; null for no limit.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<BudgetBody>)]
    pub budget: Part<BudgetBody>,
    /// When it starts and ends by itself; null for neither.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<ScheduleBody>)]
    pub schedule: Part<ScheduleBody>,
    /// How many of the people who answer may hear nobody; null for the usual limit.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<SilentLimitBody>)]
    pub silent_limit: Part<SilentLimitBody>,
    /// The country of numbers without `+`, such as US.
    pub region: Option<String>,
}

impl SettingsBody {
    /// What it says of the policies.
    fn policy(&self) -> PolicyBody<'_> {
        PolicyBody {
            rules: self.rules.as_ref(),
            caller_id: self.caller_id.as_deref(),
            caller_ids: self.caller_ids.as_ref(),
            priority: self.priority,
            budget: self.budget.as_ref(),
            schedule: self.schedule.as_ref(),
            silent_limit: self.silent_limit.as_ref(),
        }
    }
}

/// How often a contact is called again.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryBody {
    /// The most attempts for one contact, whatever their outcomes: 1 to 50.
    pub max_attempts: Option<u32>,
    /// By how many in a hundred a wait varies, so that those who failed together do not come back
    /// together: 0 to 50.
    pub jitter_percent: Option<u16>,
    /// By how many minutes a wait may grow, so that the next attempt comes at another part of the
    /// person's day: 0 for none, up to 1440.
    pub other_hours_minutes: Option<u64>,
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
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryRuleView {
    /// How many further attempts: up to 50.
    pub count: u32,
    /// How long to wait before the next: up to 30 days.
    pub delay_seconds: u64,
    /// Each further wait is so many times as long: 2 to 10; the same each time without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<u32>,
    /// With `factor`: the longest wait, up to 30 days; a day without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_seconds: Option<u64>,
    /// The waits one by one, in place of the others; the last holds for all that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delays_seconds: Option<Vec<u64>>,
}

/// Settings as they are in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsView {
    /// The language the agent speaks; null for the agent's own.
    pub language: Option<String>,
    /// The voice the agent speaks with; null for the agent's own.
    pub voice_id: Option<String>,
    /// Whose agent; null for the vendor that the installation prefers.
    pub agent_vendor: Option<String>,
    /// Which agent; null for the installation's.
    pub agent_id: Option<String>,
    /// How long it may ring.
    pub ring_timeout_seconds: u64,
    /// How long a call may last.
    pub max_duration_seconds: u64,
    /// The key by which callees get off the list; null for none.
    pub opt_out_key: Option<String>,
    /// How long a callee may hear nobody, and what they hear then.
    pub silence: SilenceBody,
    /// Whether the carrier records both sides of each call.
    pub record: bool,
    /// For how many days recordings are kept; null keeps them.
    pub recording_days: Option<u16>,
    /// What is done about machines that answer.
    pub machines: MachinesBody,
    /// To whom callees are transferred; null for nobody.
    pub transfer: Option<TransferSettings>,
    /// The language in which the carrier speaks our own sentences; null for its own.
    pub spoken_language: Option<String>,
    /// How many calls may be open at once.
    pub max_concurrent_calls: u32,
    /// The least time between two dial starts.
    pub call_delay_ms: u64,
    /// Dial starts per second.
    pub calls_per_second: f64,
    /// How often again.
    pub retry: RetryView,
    /// The rise of the rate; null for none.
    pub ramp: Option<RampBody>,
    /// The number callees see, where it is one; else null.
    pub caller_id: Option<String>,
    /// The numbers callees see; null for all of the installation's in turn.
    pub caller_ids: Option<CallerIdsBody>,
    /// Who may be called when.
    pub rules: RulesBody,
    /// The weight against the tenant's other campaigns.
    pub priority: u32,
    /// What it may cost.
    pub budget: BudgetBody,
    /// When it starts and ends by itself.
    pub schedule: ScheduleBody,
    /// How many of the people who answer may hear nobody.
    pub silent_limit: SilentLimitBody,
    /// The country of numbers without `+`.
    pub region: String,
}

/// How often a contact is called again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryView {
    /// The most attempts for one contact.
    pub max_attempts: u32,
    /// By how many in a hundred a wait varies.
    pub jitter_percent: u16,
    /// By how many minutes a wait may grow to come at another part of the day; 0 for none.
    pub other_hours_minutes: u64,
    /// After busy; null for never.
    pub busy: Option<RetryRuleView>,
    /// After no answer; null for never.
    pub no_answer: Option<RetryRuleView>,
    /// After a machine answered; null for never.
    pub voicemail: Option<RetryRuleView>,
    /// After a network fault; null for never.
    pub failed: Option<RetryRuleView>,
}

impl From<&RetryRule> for RetryRuleView {
    fn from(rule: &RetryRule) -> Self {
        let (factor, most_seconds, delays_seconds) = match &rule.delay {
            RetryDelay::Fixed(_) => (None, None, None),
            RetryDelay::Exponential { factor, most, .. } => {
                (Some(*factor), Some(most.as_secs()), None)
            }
            RetryDelay::Table(delays) => {
                let seconds = delays.iter().map(Duration::as_secs).collect();
                (None, None, Some(seconds))
            }
        };
        Self {
            count: rule.count,
            delay_seconds: rule.delay.nth(1).unwrap_or_default().as_secs(),
            factor,
            most_seconds,
            delays_seconds,
        }
    }
}

impl From<&RetryPolicy> for RetryView {
    fn from(policy: &RetryPolicy) -> Self {
        let rule = |kind| policy.rules.get(&kind).map(RetryRuleView::from);
        Self {
            max_attempts: policy.max_attempts,
            jitter_percent: policy.jitter.thousandths() / 10,
            other_hours_minutes: policy.other_hours.unwrap_or_default().as_secs() / 60,
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
        let policy = &campaign.policy;
        Self {
            language: call.language.clone(),
            voice_id: call.voice_id.clone(),
            agent_vendor: call.agent_vendor.as_ref().map(ToString::to_string),
            agent_id: call.agent_id.clone(),
            ring_timeout_seconds: call.ring_timeout.as_secs(),
            max_duration_seconds: call.max_duration.as_secs(),
            opt_out_key: call.opt_out_key.map(String::from),
            silence: SilenceBody::from(&call.silence),
            record: call.is_recorded,
            recording_days: call.recording_days.map(NonZeroU16::get),
            machines: MachinesBody::from(&call.machines),
            transfer: call.transfer.as_ref().map(TransferSettings::from),
            spoken_language: call.spoken_language.clone(),
            max_concurrent_calls: campaign.pacing.max_concurrent_calls,
            call_delay_ms: u64::try_from(campaign.pacing.call_delay.as_millis())
                .unwrap_or(u64::MAX),
            calls_per_second: campaign.pacing.calls_per_second.per_second(),
            retry: RetryView::from(&campaign.retry),
            ramp: campaign.pacing.ramp.map(RampBody::from),
            caller_id: policy
                .caller_ids
                .as_ref()
                .and_then(|pool| match pool.numbers.as_slice() {
                    [only] => Some(only.to_string()),
                    _ => None,
                }),
            caller_ids: policy.caller_ids.as_ref().map(CallerIdsBody::from),
            rules: RulesBody::from(&policy.rules),
            priority: policy.priority.weight(),
            budget: BudgetBody::from(&policy.budget),
            schedule: ScheduleBody::from(&policy.schedule),
            silent_limit: SilentLimitBody::from(&policy.silent_limit),
            region: campaign.region.code(),
        }
    }
}

/// What a campaign has that says nothing else.
pub fn defaults(region: Region, rules: &CampaignRules) -> CampaignEdit {
    let call = VoiceCall {
        prompt: Template::default(),
        first_message: Template::default(),
        language: None,
        voice_id: None,
        agent_vendor: None,
        agent_id: None,
        ring_timeout: VoiceCall::RING.1,
        max_duration: VoiceCall::LENGTH.1,
        opt_out_key: Some(VoiceCall::OPT_OUT_KEY),
        silence: Silence::default(),
        is_recorded: false,
        recording_days: None,
        machines: MachinePolicy::default(),
        transfer: None,
        spoken_language: None,
    };
    CampaignEdit {
        name: String::new(),
        steps: vec![Step::VoiceCall(call)],
        pacing: PacingLimits::default(),
        retry: RetryPolicy::default(),
        policy: Policy {
            rules: rules.clone(),
            ..Policy::default()
        },
        region,
    }
}

/// `base` with everything replaced that a request names; `usual` is what a policy is without one.
pub fn edit_with(
    base: &CampaignEdit,
    usual: &Policy,
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
    if let Some(ramp) = &body.ramp {
        edit.pacing.ramp = ramp.as_ref().map(policy::ramp_of).transpose()?;
    }
    policy::change(&mut edit.policy, usual, &body.policy())?;
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
    if let Some(text) = body.agent_vendor.as_deref().map(str::trim) {
        let pointer = "/settings/agentVendor";
        call.agent_vendor = match text {
            "" => None,
            text => Some(parse(pointer, text, "must be the name of a vendor")?),
        };
    }
    if let Some(seconds) = body.ring_timeout_seconds {
        let (least, _, most) = VoiceCall::RING;
        call.ring_timeout = seconds_in("/settings/ringTimeoutSeconds", seconds, least, most)?;
    }
    if let Some(seconds) = body.max_duration_seconds {
        let (least, _, most) = VoiceCall::LENGTH;
        call.max_duration = seconds_in("/settings/maxDurationSeconds", seconds, least, most)?;
    }
    if let Some(key) = &body.opt_out_key {
        call.opt_out_key = key.as_deref().map(key_of).transpose()?;
    }
    if let Some(body) = &body.silence {
        let silence = body.as_ref().map(conduct::silence_of).transpose()?;
        call.silence = silence.unwrap_or_default();
    }
    call.is_recorded = body.record.unwrap_or(call.is_recorded);
    if let Some(days) = body.recording_days {
        call.recording_days = days.map(recording_days_of).transpose()?;
    }
    if let Some(body) = &body.machines {
        let machines = body.as_ref().map(conduct::machines_of).transpose()?;
        call.machines = machines.unwrap_or_default();
    }
    if let Some(body) = &body.transfer {
        call.transfer = body.as_ref().map(conduct::transfer_of).transpose()?;
    }
    if let Some(text) = &body.spoken_language {
        call.spoken_language = conduct::spoken_language(text)?;
    }
    Ok(())
}

fn recording_days_of(days: u64) -> ApiResult<NonZeroU16> {
    let most = VoiceCall::MOST_RECORDING_DAYS;
    let days = u16::try_from(days).ok().filter(|days| *days <= most);
    days.and_then(NonZeroU16::new).ok_or_else(|| {
        let detail = format!("must be from 1 to {most}, or null");
        ApiError::field("/settings/recordingDays", "outOfRange", detail)
    })
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
    if let Some(percent) = body.jitter_percent {
        let pointer = "/settings/retry/jitterPercent";
        retry.jitter = Share::per_mille(10 * percent.min(51))
            .filter(|_| percent <= 50)
            .ok_or_else(|| ApiError::field(pointer, "outOfRange", "must be at most 50"))?;
    }
    if let Some(minutes) = body.other_hours_minutes {
        if minutes > 24 * 60 {
            let pointer = "/settings/retry/otherHoursMinutes";
            return Err(ApiError::field(
                pointer,
                "outOfRange",
                "must be at most 1440",
            ));
        }
        retry.other_hours = (minutes > 0).then(|| Duration::from_secs(60 * minutes));
    }
    for (kind, rule) in [
        (RetryKind::Busy, &body.busy),
        (RetryKind::NoAnswer, &body.no_answer),
        (RetryKind::Voicemail, &body.voicemail),
        (RetryKind::Failed, &body.failed),
    ] {
        if let Some(rule) = rule {
            retry.rules.insert(kind, retry_rule(kind, rule)?);
        }
    }
    Ok(())
}

fn retry_rule(kind: RetryKind, rule: &RetryRuleView) -> ApiResult<RetryRule> {
    const LONGEST: u64 = 30 * 24 * 3600;
    let refused = |detail: &str| {
        let pointer = format!("/settings/retry/{}", kind.name());
        ApiError::field(&pointer, "outOfRange", detail)
    };
    let delays = rule.delays_seconds.iter().flatten();
    let waits = delays
        .chain([&rule.delay_seconds])
        .chain(&rule.most_seconds);
    if rule.count > 50 || waits.max().is_some_and(|wait| *wait > LONGEST) {
        return Err(refused(
            "count must be at most 50 and each wait at most 2592000 seconds",
        ));
    }
    if rule
        .factor
        .is_some_and(|factor| !(2..=10).contains(&factor))
    {
        return Err(refused("factor must be from 2 to 10"));
    }
    let first = Duration::from_secs(rule.delay_seconds);
    let delay = match (&rule.delays_seconds, rule.factor) {
        (Some(delays), _) if delays.is_empty() || delays.len() > 50 => {
            return Err(refused("delaysSeconds must have 1 to 50 waits"));
        }
        (Some(delays), _) => {
            RetryDelay::Table(delays.iter().copied().map(Duration::from_secs).collect())
        }
        (None, Some(factor)) => RetryDelay::Exponential {
            first,
            factor,
            most: Duration::from_secs(rule.most_seconds.unwrap_or(24 * 3600)).max(first),
        },
        (None, None) => RetryDelay::Fixed(first),
    };
    Ok(RetryRule {
        count: rule.count,
        delay,
    })
}

/// A key of a telephone.
fn key_of(text: &str) -> ApiResult<char> {
    let key = text.trim().parse().ok();
    key.filter(|key: &char| key.is_ascii_digit() || matches!(key, '*' | '#'))
        .ok_or_else(|| {
            let detail = "must be one of 0 to 9, * and #, or null";
            ApiError::field("/settings/optOutKey", "form", detail)
        })
}

/// A value that is there; null says something else than a field that is left out.
fn or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
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
            policy: campaign.policy.clone(),
            region: campaign.region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_after(settings: &str) -> ApiResult<VoiceCall> {
        let body: SettingsBody = serde_json::from_str(settings).unwrap();
        let base = defaults("US".parse().unwrap(), &CampaignRules::default());
        let edit = edit_with(&base, &base.policy, String::new(), None, None, &body)?;
        let Some(Step::VoiceCall(call)) = edit.steps.into_iter().next() else {
            panic!("no voice step");
        };
        Ok(call)
    }

    fn key_after(settings: &str) -> ApiResult<Option<char>> {
        call_after(settings).map(|call| call.opt_out_key)
    }

    #[test]
    fn recordings_are_kept_unless_days_are_asked_for() {
        let days = |settings: &str| {
            let call = call_after(&format!(r#"{{"record":true{settings}}}"#));
            call.map(|call| call.recording_days.map(NonZeroU16::get))
        };
        assert_eq!(days("").unwrap(), None);
        assert_eq!(days(r#","recordingDays":null"#).unwrap(), None);
        assert_eq!(days(r#","recordingDays":1"#).unwrap(), Some(1));
        assert_eq!(days(r#","recordingDays":3650"#).unwrap(), Some(3650));
        for wrong in [0, 3651, 65_536 + 1] {
            let settings = format!(r#","recordingDays":{wrong}"#);
            assert!(days(&settings).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_opt_out_key_is_9_unless_another_or_none_is_asked_for() {
        assert_eq!(key_after("{}").unwrap(), Some('9'));
        assert_eq!(key_after(r##"{"optOutKey":"#"}"##).unwrap(), Some('#'));
        assert_eq!(key_after(r#"{"optOutKey":null}"#).unwrap(), None);
        for wrong in ["", "99", "A", "é"] {
            let settings = format!(r#"{{"optOutKey":"{wrong}"}}"#);
            assert!(key_after(&settings).is_err(), "{wrong}");
        }
    }
}
