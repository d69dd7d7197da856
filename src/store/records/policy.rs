//! What must hold for a campaign's calls.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::wire::{duration_ms, duration_ms_option, millis_option, text, text_option};
use crate::domain::{
    Timestamp,
    breaker::{Breaker, BreakerPolicy},
    budget::Budget,
    caller_id::{CallerIdPool, Choice},
    campaign::Policy,
    cap::Cap,
    fairness::Priority,
    phone::PhoneNumber,
    profile::ProfileId,
    quality::SilentLimit,
    register::RegisterName,
    rules::CampaignRules,
    schedule::Schedule,
    window::Window,
    zone::Zone,
};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Policy", rename_all = "camelCase")]
pub struct PolicyShape {
    #[serde(with = "RulesShape")]
    rules: CampaignRules,
    #[serde(with = "pool_option")]
    caller_ids: Option<CallerIdPool>,
    #[serde(with = "priority")]
    priority: Priority,
    #[serde(with = "BudgetShape")]
    budget: Budget,
    #[serde(with = "ScheduleShape")]
    schedule: Schedule,
    #[serde(with = "SilentLimitShape")]
    silent_limit: SilentLimit,
    #[serde(with = "BreakersShape")]
    breakers: BreakerPolicy,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CampaignRules", rename_all = "camelCase")]
struct RulesShape {
    #[serde(with = "text")]
    profile: ProfileId,
    #[serde(with = "text_option")]
    window: Option<Window>,
    #[serde(with = "text")]
    zone: Zone,
    #[serde(with = "caps")]
    caps: Vec<Cap>,
    #[serde(rename = "minGapMs", with = "duration_ms_option")]
    min_gap: Option<Duration>,
    requires_consent: bool,
    observes_holidays: bool,
    #[serde(with = "register_names")]
    registers: BTreeSet<RegisterName>,
    requires_registers: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cap", rename_all = "camelCase")]
struct CapShape {
    most: u32,
    #[serde(rename = "withinMs", with = "duration_ms")]
    within: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CallerIdPool", rename_all = "camelCase")]
struct PoolShape {
    #[serde(with = "numbers")]
    numbers: Vec<PhoneNumber>,
    #[serde(with = "choice")]
    choice: Choice,
    per_day: Option<u32>,
    #[serde(rename = "coolingMs", with = "duration_ms_option")]
    cooling: Option<Duration>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Budget", rename_all = "camelCase")]
struct BudgetShape {
    most_minutes: Option<u64>,
    most_cost_micro_usd: Option<u64>,
    per_minute_micro_usd: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Schedule", rename_all = "camelCase")]
struct ScheduleShape {
    #[serde(with = "millis_option")]
    start_at: Option<Timestamp>,
    #[serde(with = "millis_option")]
    end_at: Option<Timestamp>,
    #[serde(rename = "latenessMs", with = "duration_ms")]
    lateness: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "SilentLimit", rename_all = "camelCase")]
struct SilentLimitShape {
    warn_permille: u32,
    stop_permille: u32,
    #[serde(rename = "overMs", with = "duration_ms")]
    over: Duration,
    least_answered: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "BreakerPolicy", rename_all = "camelCase")]
struct BreakersShape {
    #[serde(with = "breaker_option")]
    carrier: Option<Breaker>,
    #[serde(with = "breaker_option")]
    agent: Option<Breaker>,
    #[serde(with = "breaker_option")]
    callbacks: Option<Breaker>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Breaker", rename_all = "camelCase")]
struct BreakerShape {
    window: u32,
    least_calls: u32,
    share_permille: u32,
}

/// The caps in the operator's order.
mod caps {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "CapShape")] Cap);

    pub fn serialize<S: Serializer>(caps: &[Cap], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(caps.iter().copied().map(Value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Cap>, D::Error> {
        let values = Vec::<Value>::deserialize(from)?;
        Ok(values.into_iter().map(|value| value.0).collect())
    }
}

/// A pool of numbers, or null.
mod pool_option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "PoolShape")] CallerIdPool);

    pub fn serialize<S: Serializer>(pool: &Option<CallerIdPool>, to: S) -> Result<S::Ok, S::Error> {
        pool.clone().map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<CallerIdPool>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

/// A breaker, or null.
mod breaker_option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "BreakerShape")] Breaker);

    pub fn serialize<S: Serializer>(breaker: &Option<Breaker>, to: S) -> Result<S::Ok, S::Error> {
        breaker.map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Breaker>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

/// Numbers in the operator's order.
mod numbers {
    use super::*;

    pub fn serialize<S: Serializer>(numbers: &[PhoneNumber], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(numbers.iter().map(PhoneNumber::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PhoneNumber>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let numbers = texts.iter().map(|text| text.parse());
        numbers.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Names of registers.
mod register_names {
    use super::*;

    pub fn serialize<S: Serializer>(
        names: &BTreeSet<RegisterName>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(names.iter().map(RegisterName::as_str))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeSet<RegisterName>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let names = texts.iter().map(|text| text.parse());
        names.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// A choice by its name.
mod choice {
    use super::*;

    pub fn serialize<S: Serializer>(choice: &Choice, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(choice.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Choice, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("numbers cannot be chosen by {name:?}"));
        Choice::from_name(&name).ok_or_else(unknown)
    }
}

/// A priority as its weight.
mod priority {
    use super::*;

    pub fn serialize<S: Serializer>(priority: &Priority, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(priority.weight())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Priority, D::Error> {
        Priority::try_from(u32::deserialize(from)?).map_err(D::Error::custom)
    }
}
