//! The records as both stores write them: one document each, in camelCase.
//!
//! Domain types know no serialization. The shapes here are declared beside them and checked against
//! them by the compiler (`serde(remote)`), so a field that is added there has to be given a place
//! here. Times are milliseconds since 1970, durations milliseconds; a variant goes by its `name()`.
//! What does not fit a shape cannot be read: a value from a newer release never becomes a guess.

mod account;
mod attempt;
mod audience;
mod campaign;
mod counts;
mod enrollment;
mod event;
mod fault;
mod installation;
mod policy;
mod price;
mod report;
mod signal;
mod suppression;
#[cfg(test)]
mod tests;
mod web_tool;
mod wire;

use serde::{Serialize, de::DeserializeOwned};

pub use account::{SessionRecord, UserRecord};
pub use attempt::CallDocument;
pub use audience::{ContactRecord, ImportRecord, RejectedRecord};
pub use campaign::CampaignRecord;
pub use counts::CallCounts;
pub use enrollment::{Bucket, EnrollmentRecord, rule};
pub use event::EventRecord;
pub use installation::{DeploymentRecord, HaltRecord, halt_key};
pub use signal::InboxRecord;
pub use suppression::{
    HolidaysRecord, LiftRecord, SuppressionRecord, register_copy, search_text, subject_key,
};
pub use web_tool::WebToolRecord;

use super::{StoreError, StoreResult};

/// Declares the owned, serializable form of a domain type whose shape is `$shape`.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident, $domain:ty, $shape:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = $shape)] pub $domain);

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $domain {
            fn from(record: $name) -> Self {
                record.0
            }
        }
    };
}
use record;

/// The record's JSON text.
pub fn to_json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records have text keys and plain values only")
}

/// The record that `body` is; `what` names it in the error.
pub fn from_json<R: DeserializeOwned>(what: &str, body: &str) -> StoreResult<R> {
    serde_json::from_str(body).map_err(|error| unreadable(what, error))
}

/// The error for a record that does not fit its shape.
pub fn unreadable(what: impl Into<String>, source: impl Into<super::BoxError>) -> StoreError {
    StoreError::Unreadable {
        record: what.into(),
        source: source.into(),
    }
}
