//! What the vendor of an agent finds in a conversation after its end.
//!
//! It is a fact beside the call's outcome: neither changes the other. What the vendor does not say stays
//! unknown.

use std::collections::BTreeMap;

use super::ids::ConversationId;

/// What a vendor tells after a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentReport {
    /// The conversation it is about.
    pub conversation: ConversationId,
    /// Whether the agent reached what it was to reach.
    pub verdict: Option<AgentVerdict>,
    /// The verdict in the vendor's own terms where they say more, such as `8` or `Excellent`.
    pub rating: Option<String>,
    /// The verdict on each thing that the agent's owner asked for, by its name.
    pub criteria: BTreeMap<String, AgentVerdict>,
    /// The conversation in a few sentences.
    pub summary: Option<String>,
    /// What the agent was to find out, by its name: each value as JSON text.
    pub collected: BTreeMap<String, String>,
    /// What the conversation cost.
    pub cost: Option<AgentCost>,
}

/// Whether the agent reached what it was to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentVerdict {
    /// It did.
    Success,
    /// It did not.
    Failure,
    /// The vendor could not tell, or said something that is neither.
    Unknown,
}

/// What a vendor takes for a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentCost {
    /// In millionths of the unit.
    pub millionths: u64,
    /// Of what.
    pub unit: CostUnit,
}

/// What vendors count costs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostUnit {
    /// US dollars.
    Usd,
    /// The vendor's own credits, whose price depends on the plan.
    Credits,
}

impl AgentReport {
    /// A report on that conversation that says nothing yet.
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            conversation,
            verdict: None,
            rating: None,
            criteria: BTreeMap::new(),
            summary: None,
            collected: BTreeMap::new(),
            cost: None,
        }
    }

    /// The report with what `later`, on the same conversation, says of what was not known. What is known
    /// stays.
    #[must_use]
    pub fn completed_by(self, later: &Self) -> Self {
        Self {
            verdict: self.verdict.or(later.verdict),
            rating: self.rating.or_else(|| later.rating.clone()),
            criteria: known_or_told(self.criteria, &later.criteria),
            summary: self.summary.or_else(|| later.summary.clone()),
            collected: known_or_told(self.collected, &later.collected),
            cost: self.cost.or(later.cost),
            conversation: self.conversation,
        }
    }

    /// What is left of the report when the person's data was erased: what the conversation cost.
    pub fn erased(&self) -> Self {
        Self {
            cost: self.cost,
            ..Self::new(self.conversation.clone())
        }
    }
}

fn known_or_told<T: Clone>(
    known: BTreeMap<String, T>,
    told: &BTreeMap<String, T>,
) -> BTreeMap<String, T> {
    if known.is_empty() {
        told.clone()
    } else {
        known
    }
}

impl AgentVerdict {
    /// The verdict's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

impl CostUnit {
    /// The unit's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usd => "usd",
            Self::Credits => "credits",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> AgentReport {
        AgentReport::new("conv_1".parse().unwrap())
    }

    // proves F-53
    #[test]
    fn a_later_report_adds_and_replaces_nothing() {
        let first = AgentReport {
            verdict: Some(AgentVerdict::Failure),
            summary: Some("short".to_owned()),
            ..report()
        };
        let later = AgentReport {
            verdict: Some(AgentVerdict::Success),
            rating: Some("8".to_owned()),
            criteria: BTreeMap::from([("interested".to_owned(), AgentVerdict::Success)]),
            summary: Some("other".to_owned()),
            collected: BTreeMap::from([("time".to_owned(), "\"17:00\"".to_owned())]),
            cost: Some(AgentCost {
                millionths: 7,
                unit: CostUnit::Usd,
            }),
            ..report()
        };
        let both = first.clone().completed_by(&later);
        let expected = AgentReport {
            verdict: Some(AgentVerdict::Failure),
            summary: Some("short".to_owned()),
            ..later.clone()
        };
        assert_eq!(both, expected);
        assert_eq!(both.clone().completed_by(&later), both);
    }

    // proves F-50
    #[test]
    fn nothing_that_was_said_is_left_of_an_erased_report() {
        let cost = AgentCost {
            millionths: 7,
            unit: CostUnit::Credits,
        };
        let told = AgentReport {
            verdict: Some(AgentVerdict::Success),
            rating: Some("8".to_owned()),
            criteria: BTreeMap::from([("interested".to_owned(), AgentVerdict::Success)]),
            summary: Some("Ann wants a call at five.".to_owned()),
            collected: BTreeMap::from([("time".to_owned(), "\"17:00\"".to_owned())]),
            cost: Some(cost),
            ..report()
        };
        let left = AgentReport {
            cost: Some(cost),
            ..report()
        };
        assert_eq!(told.erased(), left);
    }
}
