//! What vendors of agents tell after a conversation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire::text;
use crate::domain::{
    ids::ConversationId,
    report::{AgentCost, AgentReport, AgentVerdict, CostUnit},
};

/// What is not known is left out.
#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentReport", rename_all = "camelCase")]
pub struct ReportShape {
    #[serde(with = "text")]
    conversation: ConversationId,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "verdict_option"
    )]
    verdict: Option<AgentVerdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rating: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "criteria")]
    criteria: BTreeMap<String, AgentVerdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "collected"
    )]
    collected: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "cost_option")]
    cost: Option<AgentCost>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentVerdict", rename_all = "camelCase")]
enum VerdictShape {
    Success,
    Failure,
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "CostUnit", rename_all = "camelCase")]
enum UnitShape {
    Usd,
    Credits,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AgentCost", rename_all = "camelCase")]
struct CostShape {
    millionths: u64,
    #[serde(with = "UnitShape")]
    unit: CostUnit,
}

#[derive(Serialize, Deserialize)]
struct Verdict(#[serde(with = "VerdictShape")] AgentVerdict);

/// A verdict by its name, or null.
pub mod verdict_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    pub fn serialize<S: Serializer>(
        verdict: &Option<AgentVerdict>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        verdict.map(Verdict).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AgentVerdict>, D::Error> {
        Ok(Option::<Verdict>::deserialize(from)?.map(|verdict| verdict.0))
    }
}

/// A cost, or null.
mod cost_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "CostShape")] AgentCost);

    pub fn serialize<S: Serializer>(cost: &Option<AgentCost>, to: S) -> Result<S::Ok, S::Error> {
        cost.map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<AgentCost>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}

/// Verdicts as a list: their names are a vendor's, and not every name can be a document's key.
mod criteria {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Criterion {
        name: String,
        verdict: Verdict,
    }

    pub fn serialize<S: Serializer>(
        criteria: &BTreeMap<String, AgentVerdict>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(criteria.iter().map(|(name, verdict)| Criterion {
            name: name.clone(),
            verdict: Verdict(*verdict),
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, AgentVerdict>, D::Error> {
        let criteria = Vec::<Criterion>::deserialize(from)?.into_iter();
        Ok(criteria.map(|it| (it.name, it.verdict.0)).collect())
    }
}

/// Values as a list, for the same reason.
mod collected {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Item {
        name: String,
        value: String,
    }

    pub fn serialize<S: Serializer>(
        collected: &BTreeMap<String, String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(collected.iter().map(|(name, value)| Item {
            name: name.clone(),
            value: value.clone(),
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, String>, D::Error> {
        let items = Vec::<Item>::deserialize(from)?.into_iter();
        Ok(items.map(|it| (it.name, it.value)).collect())
    }
}

/// A report, or null.
pub mod report_option {
    use serde::{Deserializer, Serializer};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Value(#[serde(with = "ReportShape")] AgentReport);

    pub fn serialize<S: Serializer>(
        report: &Option<AgentReport>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        report.clone().map(Value).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<AgentReport>, D::Error> {
        Ok(Option::<Value>::deserialize(from)?.map(|value| value.0))
    }
}
