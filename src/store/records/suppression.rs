//! Those who must not be contacted, and the tenant's own days off.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{
    record, unreadable,
    wire::{millis, text, text_option},
};
use crate::{
    domain::{
        Timestamp,
        holiday::Holidays,
        ids::{SuppressionId, TenantId, UserId},
        place::RegionCode,
        register::{RegisterName, RegisterNameError, Registers},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    store::{Lift, StoreResult},
};

record!(
    /// An entry of the list of those who must not be contacted.
    SuppressionRecord, Suppression, "SuppressionShape"
);
record!(
    /// Who took an entry out of force.
    LiftRecord, Lift, "LiftShape"
);
record!(
    /// The days that a tenant adds to the public holidays.
    HolidaysRecord, Holidays, "holidays"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Suppression", rename_all = "camelCase")]
struct SuppressionShape {
    #[serde(rename = "_id", with = "text")]
    id: SuppressionId,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "subject")]
    subject: Subject,
    #[serde(with = "scope")]
    scope: Scope,
    #[serde(with = "source")]
    source: SuppressionSource,
    reason: Option<String>,
    #[serde(with = "millis")]
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Lift", rename_all = "camelCase")]
struct LiftShape {
    #[serde(with = "millis")]
    at: Timestamp,
    #[serde(with = "text_option")]
    by: Option<UserId>,
    reason: Option<String>,
}

/// The one text that a subject is found by.
pub fn subject_key(subject: &Subject) -> String {
    match subject {
        Subject::Phone(phone) => format!("phone:{}", phone.as_str()),
        Subject::Email(address) => format!("email:{address}"),
        Subject::Hash(hash) => format!("hash:{hash}"),
    }
}

/// Subjects by the text that they are found by.
mod subject {
    use super::*;

    pub fn serialize<S: Serializer>(subject: &Subject, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&subject_key(subject))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Subject, D::Error> {
        let key = String::deserialize(from)?;
        match key.split_once(':') {
            Some(("phone", phone)) => phone.parse().map(Subject::Phone).map_err(D::Error::custom),
            Some(("email", address)) => Ok(Subject::Email(address.to_owned())),
            Some(("hash", hash)) => Ok(Subject::Hash(hash.to_owned())),
            _ => Err(D::Error::custom("there is no such kind of subject")),
        }
    }
}

/// What of an entry may be searched for, lower case.
pub fn search_text(entry: &Suppression) -> String {
    let subject = match &entry.subject {
        Subject::Phone(phone) => phone.as_str(),
        Subject::Email(address) => address,
        Subject::Hash(_) => "",
    };
    let reason = entry.reason.as_deref().unwrap_or_default();
    format!("{subject} {reason}").to_lowercase()
}

/// Scopes by their name.
mod scope {
    use super::*;

    pub fn serialize<S: Serializer>(scope: &Scope, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(scope.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scope, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no scope {name:?}"));
        Scope::from_name(&name).ok_or_else(unknown)
    }
}

/// Sources by their name.
pub mod source {
    use super::*;

    pub fn serialize<S: Serializer>(source: &SuppressionSource, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(source.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SuppressionSource, D::Error> {
        let name = String::deserialize(from)?;
        let unknown = || D::Error::custom(format!("there is no source {name:?}"));
        SuppressionSource::from_name(&name).ok_or_else(unknown)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Day {
    /// Everywhere without it.
    #[serde(with = "text_option")]
    region: Option<RegionCode>,
    /// As `2026-12-24`: a day has no zone of its own.
    #[serde(with = "text")]
    date: jiff::civil::Date,
    name: String,
}

/// A copy of a register, by its name and when it was taken.
pub fn register_copy(name: &str, taken_at_ms: i64) -> StoreResult<(RegisterName, Timestamp)> {
    let damaged = |error: String| unreadable("a copy of a register", error);
    let name = name.parse();
    let name = name.map_err(|error: RegisterNameError| damaged(error.to_string()))?;
    let taken_at = Timestamp::from_millisecond(taken_at_ms);
    Ok((name, taken_at.map_err(|error| damaged(error.to_string()))?))
}

/// Copies of registers: when each was taken, by name.
pub mod registers {
    use std::collections::BTreeMap;

    use super::*;

    pub fn serialize<S: Serializer>(registers: &Registers, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            registers
                .iter()
                .map(|(name, at)| (name.as_str(), at.as_millisecond())),
        )
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Registers, D::Error> {
        let copies = BTreeMap::<String, i64>::deserialize(from)?;
        let copies = copies.iter().map(|(name, at)| register_copy(name, *at));
        copies.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Days in a list.
mod holidays {
    use super::*;

    pub fn serialize<S: Serializer>(days: &Holidays, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(days.iter().map(|(region, date, name)| Day {
            region: region.cloned(),
            date,
            name: name.to_owned(),
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Holidays, D::Error> {
        let mut days = Holidays::default();
        for day in Vec::<Day>::deserialize(from)? {
            days.add(day.region, day.date, &day.name);
        }
        Ok(days)
    }
}
