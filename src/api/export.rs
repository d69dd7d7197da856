//! Everything that is held about one person, for whoever asks what that is.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiState, auth::Caller, calls::CallDetail, contacts::EnrollmentView, error::ApiResult,
    extract::Id, imports::RejectedView, suppressions::SuppressionView,
};
use crate::{
    domain::{
        Timestamp,
        audience::RejectedRow,
        consent::Consent,
        contact::{Contact, Fields},
        enrollment::Enrollment,
        ids::{ContactId, ImportId},
    },
    engine::Held,
};

/// Everything that is held about one person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonView {
    /// The address book's entry.
    pub contact: ContactView,
    /// The person in each campaign.
    pub enrollments: Vec<HeldEnrollment>,
    /// Every attempt to call the person, with what happened and what was said.
    pub calls: Vec<CallDetail>,
    /// The entries of the do-not-call list about the person, lifted ones too.
    pub suppressions: Vec<SuppressionView>,
    /// The rows of lists that were not accepted and are about the person.
    pub rejected_rows: Vec<HeldRow>,
}

/// A person in the address book.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContactView {
    /// Ours.
    pub id: String,
    /// Where the person is called.
    pub phone: String,
    /// As the first list wrote it.
    pub name: Option<String>,
    /// That list's other columns.
    pub fields: Fields,
    /// Where the person is written to.
    pub email: Option<String>,
    /// The time zone that a list stated.
    pub time_zone: Option<String>,
    /// The word on being called that counts.
    pub consent: Option<ConsentView>,
    /// When the person was first seen.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// What a person agreed to.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsentView {
    /// written, express, implied or withdrawn.
    pub kind: String,
    /// Where it was given.
    pub source: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// The person in one campaign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldEnrollment {
    /// Which campaign.
    pub campaign_id: String,
    /// Where the person is taken to be, with the time zones.
    pub place: String,
    /// The person there.
    #[serde(flatten)]
    pub enrollment: EnrollmentView,
}

/// A row that was not accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldRow {
    /// Of which list.
    pub import_id: String,
    /// The row.
    #[serde(flatten)]
    pub row: RejectedView,
}

impl From<Held> for PersonView {
    fn from(held: Held) -> Self {
        let calls = held.calls.iter();
        let calls = calls.map(|(call, events)| CallDetail::new(call, events));
        Self {
            contact: held.contact.into(),
            enrollments: held.enrollments.into_iter().map(Into::into).collect(),
            calls: calls.collect(),
            suppressions: held.suppressions.into_iter().map(Into::into).collect(),
            rejected_rows: held.rejected_rows.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Contact> for ContactView {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id.to_string(),
            phone: contact.phone.to_string(),
            name: contact.name,
            fields: contact.fields,
            email: contact.email,
            time_zone: contact.zone.map(|zone| zone.to_string()),
            consent: contact.consent.map(ConsentView::from),
            created_at: contact.created_at,
        }
    }
}

impl From<Consent> for ConsentView {
    fn from(consent: Consent) -> Self {
        Self {
            kind: consent.kind.name().to_owned(),
            source: consent.source,
            at: consent.at,
        }
    }
}

impl From<Enrollment> for HeldEnrollment {
    fn from(enrollment: Enrollment) -> Self {
        Self {
            campaign_id: enrollment.campaign.to_string(),
            place: enrollment.place.as_str().to_owned(),
            enrollment: enrollment.into(),
        }
    }
}

impl From<(ImportId, RejectedRow)> for HeldRow {
    fn from((import, row): (ImportId, RejectedRow)) -> Self {
        Self {
            import_id: import.to_string(),
            row: row.into(),
        }
    }
}

/// Everything that is held about a person: what the law lets people ask for.
#[utoipa::path(get, path = "/contacts/{id}/export", tag = "contacts",
    params(("id" = String, Path)),
    responses((status = 200, body = PersonView), (status = 404)))]
pub async fn contact(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<ContactId>,
) -> ApiResult<Json<PersonView>> {
    let held = state.engine.held_about(caller.tenant, id).await?;
    Ok(Json(held.into()))
}
