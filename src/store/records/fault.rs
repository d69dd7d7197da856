//! Outcomes, faults and parties.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::{
    attempt::Party,
    outcome::{Fault, FaultClass, Outcome},
};

#[derive(Serialize, Deserialize)]
#[serde(remote = "FaultClass", rename_all = "camelCase")]
enum FaultClassShape {
    Account,
    Number,
    CallerNumber,
    Destination,
    Network,
    Limit,
    Ours,
    Unclassified,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Fault", rename_all = "camelCase")]
pub struct FaultShape {
    #[serde(with = "FaultClassShape")]
    class: FaultClass,
    code: Option<u32>,
    detail: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome", tag = "name", rename_all = "camelCase")]
pub enum OutcomeShape {
    Answered,
    Abandoned,
    AgentUnavailable,
    Busy,
    NoAnswer,
    Voicemail,
    Failed(#[serde(with = "FaultShape")] Fault),
    Canceled,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Party", rename_all = "camelCase")]
pub enum PartyShape {
    Callee,
    Agent,
    Operator,
    System,
}

#[derive(Serialize, Deserialize)]
struct OutcomeValue(#[serde(with = "OutcomeShape")] Outcome);

#[derive(Serialize, Deserialize)]
struct PartyValue(#[serde(with = "PartyShape")] Party);

/// An outcome, or null.
pub mod outcome_option {
    use super::*;

    pub fn serialize<S: Serializer>(outcome: &Option<Outcome>, to: S) -> Result<S::Ok, S::Error> {
        outcome.clone().map(OutcomeValue).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Outcome>, D::Error> {
        Ok(Option::<OutcomeValue>::deserialize(from)?.map(|value| value.0))
    }
}

/// A party, or null.
pub mod party_option {
    use super::*;

    pub fn serialize<S: Serializer>(party: &Option<Party>, to: S) -> Result<S::Ok, S::Error> {
        party.map(PartyValue).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Party>, D::Error> {
        Ok(Option::<PartyValue>::deserialize(from)?.map(|value| value.0))
    }
}
