//! Enrollments, and which figure of a campaign's progress each one counts in.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    attempt::AttemptShape,
    campaign::retry_kind,
    fault::outcome_option,
    record, unreadable,
    wire::{millis, text},
};
use crate::{
    domain::{
        Timestamp,
        attempt::Attempt,
        contact::Fields,
        enrollment::{Enrollment, EnrollmentState, Progress},
        erasure::KeptNumber,
        ids::{CampaignId, ContactId, EnrollmentId, PlaceKey, TenantId},
        outcome::Outcome,
        retry::Tally,
        rules::Rule,
    },
    store::StoreResult,
};

record!(
    /// An enrollment.
    EnrollmentRecord, Enrollment, "EnrollmentShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Enrollment", rename_all = "camelCase")]
struct EnrollmentShape {
    #[serde(rename = "_id", with = "text")]
    id: EnrollmentId,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    campaign: CampaignId,
    #[serde(with = "text")]
    contact: ContactId,
    #[serde(with = "text")]
    phone: KeptNumber,
    #[serde(with = "text")]
    place: PlaceKey,
    name: Option<String>,
    fields: Fields,
    #[serde(with = "StateShape")]
    state: EnrollmentState,
    cursor: u16,
    n_attempts: u32,
    n_counted: u32,
    #[serde(with = "tally")]
    tally: Tally,
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "EnrollmentState",
    tag = "name",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum StateShape {
    Waiting {
        #[serde(with = "millis")]
        due_at: Timestamp,
        #[serde(with = "rule_option")]
        held_by: Option<Rule>,
    },
    Open {
        #[serde(with = "AttemptShape")]
        attempt: Attempt,
        #[serde(with = "millis")]
        check_at: Timestamp,
    },
    Finished {
        #[serde(with = "outcome_option")]
        outcome: Option<Outcome>,
        #[serde(with = "rule_option")]
        by_rule: Option<Rule>,
        #[serde(with = "millis")]
        at: Timestamp,
    },
}

/// A rule by its name, or null.
mod rule_option {
    use super::*;

    pub fn serialize<S: Serializer>(rule: &Option<Rule>, to: S) -> Result<S::Ok, S::Error> {
        rule.map(Rule::name).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rule>, D::Error> {
        let Some(name) = Option::<String>::deserialize(from)? else {
            return Ok(None);
        };
        rule(&name).map(Some).map_err(D::Error::custom)
    }
}

/// The rule of that name in a record.
pub fn rule(name: &str) -> StoreResult<Rule> {
    let unknown = || unreadable("an enrollment", format!("there is no rule {name:?}"));
    Rule::from_name(name).ok_or_else(unknown)
}

/// Counts by the name of their kind.
mod tally {
    use std::collections::BTreeMap;

    use super::*;

    pub fn serialize<S: Serializer>(tally: &Tally, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(tally.iter().map(|(kind, n)| (kind.name(), n)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tally, D::Error> {
        BTreeMap::<String, u32>::deserialize(from)?
            .into_iter()
            .map(|(name, n)| Ok((retry_kind(&name).map_err(D::Error::custom)?, n)))
            .collect()
    }
}

/// Which figure of a campaign's progress something counts in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// Enrollments that wait and were never tried.
    Untried,
    /// Enrollments that wait for another try.
    Retrying,
    /// Enrollments with an open attempt.
    Open,
    /// Enrollments at their end, by [`Outcome::name`] or `none`.
    Finished(Cow<'static, str>),
    /// Attempts for which a call existed.
    Calls,
    /// Open attempts with somebody on the line.
    Connected,
}

impl Bucket {
    const FINISHED: &'static str = "finished/";

    /// Where an enrollment counts.
    pub fn of(enrollment: &Enrollment) -> Self {
        match &enrollment.state {
            EnrollmentState::Waiting { .. } if enrollment.n_attempts == 0 => Self::Untried,
            EnrollmentState::Waiting { .. } => Self::Retrying,
            EnrollmentState::Open { .. } => Self::Open,
            EnrollmentState::Finished { outcome, .. } => Self::Finished(Cow::Borrowed(
                outcome.as_ref().map_or("none", Outcome::name),
            )),
        }
    }

    /// The bucket's name in stores.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Untried => "untried".into(),
            Self::Retrying => "retrying".into(),
            Self::Open => "open".into(),
            Self::Finished(outcome) => format!("{}{outcome}", Self::FINISHED).into(),
            Self::Calls => "calls".into(),
            Self::Connected => "connected".into(),
        }
    }

    /// The bucket of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(outcome) = name.strip_prefix(Self::FINISHED) {
            return Some(Self::Finished(outcome.to_owned().into()));
        }
        [
            Self::Untried,
            Self::Retrying,
            Self::Open,
            Self::Calls,
            Self::Connected,
        ]
        .into_iter()
        .find(|bucket| bucket.name() == name)
    }

    /// Adds `n` of this bucket to the figures it counts in.
    pub fn add_to(self, progress: &mut Progress, n: u64) {
        match self {
            Self::Calls => return progress.n_calls += n,
            Self::Connected => return progress.n_connected += n,
            Self::Untried => progress.n_untried += n,
            Self::Retrying => progress.n_retrying += n,
            Self::Open => progress.n_open += n,
            Self::Finished(outcome) => {
                progress.n_finished += n;
                if n > 0 {
                    *progress
                        .finished_by_outcome
                        .entry(outcome.into_owned())
                        .or_default() += n;
                }
            }
        }
        progress.n_enrolled += n;
    }
}
