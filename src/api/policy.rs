//! What must hold for a campaign's calls, as clients write and read it.
//!
//! Each part is one object: a request that names it replaces it whole, null takes it back to what it
//! is without one.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ApiResult};
use crate::domain::{
    Timestamp,
    budget::Budget,
    caller_id::{CallerIdPool, Choice},
    campaign::Policy,
    cap::Cap,
    fairness::Priority,
    pacing::{CallRate, Ramp},
    phone::PhoneNumber,
    profile::{Profile, ProfileId},
    quality::SilentLimit,
    register::{RegisterName, RegisterNameError},
    rules::CampaignRules,
    schedule::Schedule,
};

/// The most registers that a campaign names.
const MAX_REGISTERS: usize = 20;

/// A part that a request leaves alone, takes back, or replaces.
pub type Part<T> = Option<Option<T>>;

/// Tells a part that is null from one that is not there.
pub fn part<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Part<T>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// Who may be called when, by the clock of the person called.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RulesBody {
    /// The ready-made rules, such as `us-strict`; see `GET /rule-profiles`. The installation's
    /// without it.
    pub profile: Option<String>,
    /// The campaign's own hours, such as `mon-fri 09:00-12:00 13:00-17:00, sat 10:00-14:00`.
    pub window: Option<String>,
    /// The time zone of people whose number and list tell none, such as `America/New_York`. The
    /// installation's without it.
    pub time_zone: Option<String>,
    /// The campaign's own caps, counted over all campaigns.
    #[serde(default)]
    pub caps: Vec<CapBody>,
    /// The least time between two attempts to one person, over all campaigns.
    pub min_gap_minutes: Option<u64>,
    /// Whether a person must have agreed, even where the profile does not ask.
    #[serde(default)]
    pub requires_consent: bool,
    /// Whether nobody is called on public holidays, even where the profile does not ask.
    #[serde(default)]
    pub observes_holidays: bool,
    /// The do-not-call registers, such as `us-national`, of which there must be an imported copy that is
    /// not older than 31 days: up to 20. See `POST /suppressions/import`.
    #[serde(default)]
    pub registers: Vec<String>,
    /// Whether that holds for the registers that the profile names, too; see `GET /rule-profiles`.
    #[serde(default)]
    pub requires_registers: bool,
}

/// At most so many attempts within any span of that length.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapBody {
    /// How many: 1 to 1000.
    pub most: u32,
    /// The length of the span: 1 to 8760.
    pub within_hours: u64,
}

/// Numbers to call from, and how one is chosen.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallerIdsBody {
    /// In the form +12025550100: 1 to 1000.
    pub numbers: Vec<String>,
    /// roundRobin, random or localPresence.
    #[serde(default = "round_robin")]
    pub choice: String,
    /// The most calls from one number in a day (UTC).
    pub per_day: Option<u32>,
    /// The least time between two calls from one number.
    pub cooling_seconds: Option<u64>,
}

/// A rise of the rate after each time the campaign becomes active.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RampBody {
    /// Dial starts per second at first.
    pub from: f64,
    /// How long the rise takes: 1 to 86,400.
    pub over_seconds: u64,
}

/// What a campaign may cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BudgetBody {
    /// The most minutes, as billed: each call's begun minutes.
    pub most_minutes: Option<u64>,
    /// The most money, in millionths of a US dollar. Needs `perMinuteMicroUsd`.
    pub most_cost_micro_usd: Option<u64>,
    /// What a minute costs, carrier and agent together, in millionths of a US dollar.
    pub per_minute_micro_usd: Option<u64>,
}

/// When a campaign starts and ends by itself.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScheduleBody {
    /// A campaign that is started before waits until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub start_at: Option<Timestamp>,
    /// Pauses then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub end_at: Option<Timestamp>,
    /// How much later than planned it may still start: up to 10,080; 60 without it.
    pub lateness_minutes: Option<u64>,
}

/// How many of the people who answer may hear nobody.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilentLimitBody {
    /// From how many in a thousand it is logged.
    pub warn_permille: u32,
    /// From how many in a thousand the campaign pauses.
    pub stop_permille: u32,
    /// Fewer answered calls than this are not judged.
    pub least_answered: u64,
}

/// What a request says of the policies.
#[derive(Debug, Clone, Default)]
pub struct PolicyBody<'a> {
    pub rules: Option<&'a Option<RulesBody>>,
    pub caller_id: Option<&'a str>,
    pub caller_ids: Option<&'a Option<CallerIdsBody>>,
    pub priority: Option<u32>,
    pub budget: Option<&'a Option<BudgetBody>>,
    pub schedule: Option<&'a Option<ScheduleBody>>,
    pub silent_limit: Option<&'a Option<SilentLimitBody>>,
}

fn round_robin() -> String {
    Choice::RoundRobin.name().to_owned()
}

/// Changes `policy` as a request says; `usual` is what a part is without one.
pub fn change(policy: &mut Policy, usual: &Policy, body: &PolicyBody<'_>) -> ApiResult<()> {
    if let Some(rules) = body.rules {
        policy.rules = match rules {
            Some(rules) => rules_of(rules, &usual.rules)?,
            None => usual.rules.clone(),
        };
    }
    if let Some(text) = body.caller_id {
        policy.caller_ids = Some(one_caller(text)?);
    }
    if let Some(pool) = body.caller_ids {
        policy.caller_ids = pool.as_ref().map(pool_of).transpose()?;
    }
    if let Some(weight) = body.priority {
        let out = |_| ApiError::field("/settings/priority", "outOfRange", "must be from 1 to 10");
        policy.priority = Priority::try_from(weight).map_err(out)?;
    }
    if let Some(budget) = body.budget {
        policy.budget = budget
            .as_ref()
            .map(budget_of)
            .transpose()?
            .unwrap_or_default();
    }
    if let Some(schedule) = body.schedule {
        let schedule = schedule.as_ref().map(schedule_of).transpose()?;
        policy.schedule = schedule.unwrap_or_default();
    }
    if let Some(limit) = body.silent_limit {
        let limit = limit.as_ref().map(silent_limit_of).transpose()?;
        policy.silent_limit = limit.unwrap_or_default();
    }
    Ok(())
}

fn rules_of(body: &RulesBody, usual: &CampaignRules) -> ApiResult<CampaignRules> {
    let pointer = |field: &str| format!("/settings/rules/{field}");
    let refused = |field: &str, code: &'static str, detail: String| {
        ApiError::field(&pointer(field), code, detail)
    };
    let profile = body.profile.as_ref().map(|text| text.parse());
    let profile = profile
        .transpose()
        .map_err(|error: crate::domain::profile::ProfileError| {
            refused("profile", "unknown", error.to_string())
        })?;
    let window = body.window.as_ref().map(|text| text.parse());
    let window = window
        .transpose()
        .map_err(|error: crate::domain::window::WindowError| {
            refused("window", "form", error.to_string())
        })?;
    let zone = body.time_zone.as_ref().map(|text| text.parse());
    let zone = zone
        .transpose()
        .map_err(|error: crate::domain::zone::ZoneError| {
            refused("timeZone", "unknown", error.to_string())
        })?;
    let caps: Vec<Cap> = body.caps.iter().map(cap_of).collect::<ApiResult<_>>()?;
    let min_gap = body.min_gap_minutes.filter(|minutes| *minutes > 0);
    if min_gap.is_some_and(|minutes| minutes > 365 * 24 * 60) {
        let detail = "must be at most 525600".to_owned();
        return Err(refused("minGapMinutes", "outOfRange", detail));
    }
    if body.registers.len() > MAX_REGISTERS {
        let detail = format!("must have at most {MAX_REGISTERS} registers");
        return Err(refused("registers", "length", detail));
    }
    let registers = body.registers.iter().map(|text| text.parse());
    let registers: BTreeSet<RegisterName> = registers
        .collect::<Result<_, _>>()
        .map_err(|error: RegisterNameError| refused("registers", "form", error.to_string()))?;
    let profile = profile.unwrap_or(usual.profile);
    if body.requires_registers && !names_registers(profile) {
        let detail = format!("the profile {profile} names none; name them in registers");
        return Err(refused("requiresRegisters", "unknown", detail));
    }
    Ok(CampaignRules {
        profile,
        window,
        zone: zone.unwrap_or_else(|| usual.zone.clone()),
        caps,
        min_gap: min_gap.map(|minutes| Duration::from_secs(60 * minutes)),
        requires_consent: body.requires_consent,
        observes_holidays: body.observes_holidays,
        registers,
        requires_registers: body.requires_registers,
    })
}

/// Whether the profile as it is now names a register anywhere.
fn names_registers(profile: ProfileId) -> bool {
    let versions = Profile::all().iter().filter(|it| it.id == profile);
    let mut rows = versions.flat_map(Profile::rows);
    rows.any(|(_, rules)| !rules.registers.is_empty())
}

fn cap_of(body: &CapBody) -> ApiResult<Cap> {
    if !(1..=1000).contains(&body.most) || !(1..=8760).contains(&body.within_hours) {
        let detail = "most must be from 1 to 1000 and withinHours from 1 to 8760";
        return Err(ApiError::field(
            "/settings/rules/caps",
            "outOfRange",
            detail,
        ));
    }
    Ok(Cap {
        most: body.most,
        within: Duration::from_secs(3600 * body.within_hours),
    })
}

/// A telephone number in a request.
pub fn number(pointer: &str, text: &str) -> ApiResult<PhoneNumber> {
    let form = |_| ApiError::field(pointer, "form", "must be of the form +12025550100");
    text.trim().parse().map_err(form)
}

fn one_caller(text: &str) -> ApiResult<CallerIdPool> {
    Ok(CallerIdPool {
        numbers: vec![number("/settings/callerId", text)?],
        choice: Choice::RoundRobin,
        per_day: None,
        cooling: None,
    })
}

fn pool_of(body: &CallerIdsBody) -> ApiResult<CallerIdPool> {
    let pointer = "/settings/callerIds/numbers";
    if !(1..=1000).contains(&body.numbers.len()) {
        return Err(ApiError::field(
            pointer,
            "length",
            "must have 1 to 1000 numbers",
        ));
    }
    let numbers = body.numbers.iter().map(|text| number(pointer, text));
    let choice = Choice::from_name(&body.choice).ok_or_else(|| {
        let detail = "must be roundRobin, random or localPresence";
        ApiError::field("/settings/callerIds/choice", "unknown", detail)
    })?;
    Ok(CallerIdPool {
        numbers: numbers.collect::<ApiResult<_>>()?,
        choice,
        per_day: body.per_day,
        cooling: body.cooling_seconds.map(Duration::from_secs),
    })
}

/// The ramp that a request sets.
pub fn ramp_of(body: &RampBody) -> ApiResult<Ramp> {
    let out = |error: crate::domain::pacing::RateError| {
        ApiError::field("/settings/ramp/from", "outOfRange", error.to_string())
    };
    if !(1..=86_400).contains(&body.over_seconds) {
        let detail = "must be from 1 to 86400";
        return Err(ApiError::field(
            "/settings/ramp/overSeconds",
            "outOfRange",
            detail,
        ));
    }
    Ok(Ramp {
        from: CallRate::try_from(body.from).map_err(out)?,
        over: Duration::from_secs(body.over_seconds),
    })
}

fn budget_of(body: &BudgetBody) -> ApiResult<Budget> {
    if body.most_cost_micro_usd.is_some() && body.per_minute_micro_usd.is_none_or(|each| each == 0)
    {
        let detail = "a limit on money needs what a minute costs";
        return Err(ApiError::field(
            "/settings/budget/perMinuteMicroUsd",
            "missing",
            detail,
        ));
    }
    Ok(Budget {
        most_minutes: body.most_minutes,
        most_cost_micro_usd: body.most_cost_micro_usd,
        per_minute_micro_usd: body.per_minute_micro_usd,
    })
}

fn schedule_of(body: &ScheduleBody) -> ApiResult<Schedule> {
    let minutes = body.lateness_minutes.unwrap_or(60);
    if minutes > 7 * 24 * 60 {
        let detail = "must be at most 10080";
        let pointer = "/settings/schedule/latenessMinutes";
        return Err(ApiError::field(pointer, "outOfRange", detail));
    }
    let schedule = Schedule {
        start_at: body.start_at,
        end_at: body.end_at,
        lateness: Duration::from_secs(60 * minutes),
    };
    schedule
        .check()
        .map_err(|error| ApiError::field("/settings/schedule/endAt", "order", error.to_string()))
}

fn silent_limit_of(body: &SilentLimitBody) -> ApiResult<SilentLimit> {
    if body.stop_permille > 1000 || body.warn_permille > body.stop_permille {
        let detail = "must be at most 1000, and warnPermille not above it";
        let pointer = "/settings/silentLimit/stopPermille";
        return Err(ApiError::field(pointer, "outOfRange", detail));
    }
    Ok(SilentLimit {
        warn_permille: body.warn_permille,
        stop_permille: body.stop_permille,
        least_answered: body.least_answered,
        ..SilentLimit::default()
    })
}

impl From<&CampaignRules> for RulesBody {
    fn from(rules: &CampaignRules) -> Self {
        Self {
            profile: Some(rules.profile.to_string()),
            window: rules.window.as_ref().map(ToString::to_string),
            time_zone: Some(rules.zone.to_string()),
            caps: rules.caps.iter().map(CapBody::from).collect(),
            min_gap_minutes: rules.min_gap.map(|gap| gap.as_secs() / 60),
            requires_consent: rules.requires_consent,
            observes_holidays: rules.observes_holidays,
            registers: rules.registers.iter().map(ToString::to_string).collect(),
            requires_registers: rules.requires_registers,
        }
    }
}

impl From<&Cap> for CapBody {
    fn from(cap: &Cap) -> Self {
        Self {
            most: cap.most,
            within_hours: cap.within.as_secs() / 3600,
        }
    }
}

impl From<&CallerIdPool> for CallerIdsBody {
    fn from(pool: &CallerIdPool) -> Self {
        Self {
            numbers: pool.numbers.iter().map(ToString::to_string).collect(),
            choice: pool.choice.name().to_owned(),
            per_day: pool.per_day,
            cooling_seconds: pool.cooling.map(|cooling| cooling.as_secs()),
        }
    }
}

impl From<Ramp> for RampBody {
    fn from(ramp: Ramp) -> Self {
        Self {
            from: ramp.from.per_second(),
            over_seconds: ramp.over.as_secs(),
        }
    }
}

impl From<&Budget> for BudgetBody {
    fn from(budget: &Budget) -> Self {
        Self {
            most_minutes: budget.most_minutes,
            most_cost_micro_usd: budget.most_cost_micro_usd,
            per_minute_micro_usd: budget.per_minute_micro_usd,
        }
    }
}

impl From<&Schedule> for ScheduleBody {
    fn from(schedule: &Schedule) -> Self {
        Self {
            start_at: schedule.start_at,
            end_at: schedule.end_at,
            lateness_minutes: Some(schedule.lateness.as_secs() / 60),
        }
    }
}

impl From<&SilentLimit> for SilentLimitBody {
    fn from(limit: &SilentLimit) -> Self {
        Self {
            warn_permille: limit.warn_permille,
            stop_permille: limit.stop_permille,
            least_answered: limit.least_answered,
        }
    }
}
