//! Contacts, imports and the rows that were not accepted.

use serde::{Deserialize, Serialize};

use super::{
    record,
    wire::{millis, millis_option, text},
};
use crate::domain::{
    Timestamp,
    audience::{Import, ImportStatus, RejectedRow},
    contact::{Contact, Fields},
    ids::{CampaignId, ContactId, ImportId, TenantId},
    phone::PhoneNumber,
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
    #[serde(with = "millis")]
    created_at: Timestamp,
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
