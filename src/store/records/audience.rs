//! Contacts, imports and the rows that were not accepted.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    record,
    wire::{millis, millis_option, text, text_option},
};
use crate::domain::{
    Timestamp,
    audience::{Import, ImportStatus, RejectedRow},
    consent::{Consent, ConsentKind},
    contact::{Contact, Fields},
    ids::{CampaignId, ContactId, ImportId, TenantId},
    phone::PhoneNumber,
    zone::Zone,
};

record!(
    /// A person in the address book.
    ContactRecord, Contact, "ContactShape"
);
record!(
    /// An uploaded list.
    ImportRecord, Import, "ImportShape"
);
record!(
    /// A row that was not accepted.
    RejectedRecord, RejectedRow, "RejectedShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Contact", rename_all = "camelCase")]
struct ContactShape {
    #[serde(rename = "_id", with = "text")]
    id: ContactId,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    phone: PhoneNumber,
    name: Option<String>,
    fields: Fields,
    email: Option<String>,
    #[serde(with = "text_option")]
    zone: Option<Zone>,
    #[serde(with = "consent_option")]
    consent: Option<Consent>,
    #[serde(with = "millis")]
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Consent", rename_all = "camelCase")]
struct ConsentShape {
    #[serde(with = "ConsentKindShape")]
    kind: ConsentKind,
    source: String,
    #[serde(with = "millis")]
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ConsentKind", rename_all = "camelCase")]
enum ConsentKindShape {
    Written,
    Express,
    Implied,
    Withdrawn,
}

#[derive(Serialize, Deserialize)]
struct ConsentValue(#[serde(with = "ConsentShape")] Consent);

/// A consent, or null.
mod consent_option {
    use super::*;

    pub fn serialize<S: Serializer>(consent: &Option<Consent>, to: S) -> Result<S::Ok, S::Error> {
        consent.clone().map(ConsentValue).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Consent>, D::Error> {
        Ok(Option::<ConsentValue>::deserialize(from)?.map(|value| value.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Import", rename_all = "camelCase")]
struct ImportShape {
    #[serde(rename = "_id", with = "text")]
    id: ImportId,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    campaign: CampaignId,
    file_name: String,
    #[serde(with = "StatusShape")]
    status: ImportStatus,
    n_rows: u64,
    n_accepted: u64,
    n_duplicates: u64,
    n_rejected: u64,
    #[serde(with = "millis")]
    created_at: Timestamp,
    #[serde(with = "millis_option")]
    ended_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ImportStatus", tag = "name", rename_all = "camelCase")]
enum StatusShape {
    Running,
    Finished,
    Failed { reason: String },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RejectedRow", rename_all = "camelCase")]
struct RejectedShape {
    line: u64,
    code: String,
    reason: String,
    column: Option<String>,
    cells: Vec<String>,
}
