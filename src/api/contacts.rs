//! Who is in a campaign, and where each of them stands.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiState,
    auth::{Caller, Manager},
    campaigns,
    error::{ApiError, ApiResult},
    extract::{Body, Id, List, Params, page_request},
};
use crate::{
    domain::{
        Timestamp,
        audience::Member,
        consent::{Consent, ConsentKind},
        contact::Fields,
        enrollment::{Enrollment, EnrollmentState},
        ids::{CampaignId, EnrollmentId},
        phone::{PhoneNumber, Region},
        text::field_name,
        zone::Zone,
    },
    import::code,
    store::EnrollmentFilter,
};

/// A contact in a campaign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentView {
    /// The contact in this campaign.
    pub enrollment_id: String,
    /// The person.
    pub contact_id: String,
    /// Where the person is called.
    pub phone: String,
    /// As the list wrote it.
    pub name: Option<String>,
    /// The list's other columns.
    pub fields: Fields,
    /// waiting, open or finished.
    pub state: String,
    /// When the next attempt may begin.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Timestamp>,
    /// Attempts that count against the budget.
    pub attempts: u32,
    /// How the last attempt ended, once finished.
    pub outcome: Option<String>,
    /// When it came to its end.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl From<Enrollment> for EnrollmentView {
    fn from(enrollment: Enrollment) -> Self {
        let (due_at, outcome, finished_at) = match &enrollment.state {
            EnrollmentState::Waiting { due_at, .. } => (Some(*due_at), None, None),
            EnrollmentState::Open { .. } => (None, None, None),
            EnrollmentState::Finished { outcome, at, .. } => (
                None,
                outcome.as_ref().map(|it| it.name().to_owned()),
                Some(*at),
            ),
        };
        Self {
            enrollment_id: enrollment.id.to_string(),
            contact_id: enrollment.contact.to_string(),
            phone: enrollment.phone.shown().to_owned(),
            state: enrollment.state.name().to_owned(),
            due_at,
            attempts: enrollment.n_counted,
            outcome,
            finished_at,
            name: enrollment.name,
            fields: enrollment.fields,
        }
    }
}

/// Which contacts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ContactParams {
    /// Only those in this state: waiting, open or finished.
    state: Option<String>,
    /// At most this many items, 1 to 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// People to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewContacts {
    /// Up to 5,000.
    contacts: Vec<NewContact>,
}

/// A person to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewContact {
    /// As people write it.
    phone: String,
    /// Of the person.
    name: Option<String>,
    /// What else the texts may use.
    #[serde(default)]
    fields: Fields,
    /// Where the person is written to.
    email: Option<String>,
    /// The person's time zone, as `America/New_York`.
    time_zone: Option<String>,
    /// What the person agreed to.
    consent: Option<NewConsent>,
}

/// What a person agreed to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewConsent {
    /// written, express, implied or withdrawn.
    kind: String,
    /// Where it was given: a form, a call, a list.
    source: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// What became of people to add; the numbers add up.
#[derive(Debug, Serialize, ToSchema)]
pub struct AddedContacts {
    /// How many are in the campaign now.
    pub accepted: u64,
    /// How many were there before.
    pub duplicates: u64,
    /// The ones that cannot be called.
    pub rejected: Vec<RejectedContact>,
}

/// A person who cannot be called.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedContact {
    /// The position in the request, from 0.
    pub index: usize,
    /// A stable name for the reason.
    pub code: &'static str,
    /// The reason in words.
    pub reason: String,
}

const MAX_CONTACTS: usize = 5000;

/// Lists a campaign's contacts in the order they were added.
#[utoipa::path(get, path = "/campaigns/{id}/contacts", tag = "contacts",
    params(("id" = String, Path), ContactParams),
    responses((status = 200, body = List<EnrollmentView>), (status = 404)))]
pub async fn list(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Params(params): Params<ContactParams>,
) -> ApiResult<Json<List<EnrollmentView>>> {
    campaigns::load(&state, caller.tenant, id).await?;
    let page = page_request(params.limit, params.cursor)?;
    let filter = EnrollmentFilter {
        state: params.state,
    };
    let page = state
        .engine
        .store()
        .list_enrollments(caller.tenant, id, &filter, &page)
        .await?;
    Ok(Json(List::of(page, EnrollmentView::from)))
}

/// Adds people to a campaign that has not ended.
#[utoipa::path(post, path = "/campaigns/{id}/contacts", tag = "contacts",
    params(("id" = String, Path)), request_body = NewContacts,
    responses((status = 200, body = AddedContacts), (status = 404), (status = 409), (status = 422)))]
pub async fn add(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(new): Body<NewContacts>,
) -> ApiResult<Json<AddedContacts>> {
    if new.contacts.len() > MAX_CONTACTS {
        return Err(ApiError::field(
            "/contacts",
            "tooMany",
            "at most 5000 at once; use a CSV",
        ));
    }
    let campaign = campaigns::load(&state, caller.tenant, id).await?;
    let mut members = Vec::new();
    let mut rejected = Vec::new();
    for (index, contact) in new.contacts.into_iter().enumerate() {
        match member(contact, campaign.region) {
            Ok(member) => members.push(member),
            Err((code, reason)) => rejected.push(RejectedContact {
                index,
                code,
                reason,
            }),
        }
    }
    let enrolled = state.engine.enroll(caller.tenant, id, members).await?;
    Ok(Json(AddedContacts {
        accepted: enrolled.n_added,
        duplicates: enrolled.duplicates.len() as u64,
        rejected,
    }))
}

/// The person, or the code and the words for what is wrong.
fn member(contact: NewContact, region: Region) -> Result<Member, (&'static str, String)> {
    let phone = PhoneNumber::normalize(&contact.phone, region)
        .map_err(|error| (code::PHONE_INVALID, error.to_string()))?;
    let zone = contact.time_zone.map(|text| text.parse::<Zone>());
    let zone = zone
        .transpose()
        .map_err(|error| (code::ZONE_UNKNOWN, error.to_string()))?;
    let consent = contact.consent.map(|said| {
        let kind = ConsentKind::from_name(&said.kind).ok_or_else(|| {
            let reason = format!(
                "{:?} is not written, express, implied or withdrawn",
                said.kind
            );
            (code::CONSENT_UNKNOWN, reason)
        });
        Ok(Consent {
            kind: kind?,
            source: said.source,
            at: said.at,
        })
    });
    let fields = contact
        .fields
        .into_iter()
        .map(|(name, value)| (field_name(&name), value));
    Ok(Member {
        phone,
        name: contact.name,
        fields: fields.collect(),
        email: contact.email.map(|address| address.trim().to_lowercase()),
        zone,
        consent: consent.transpose()?,
    })
}

/// The path of one contact of a campaign.
#[derive(Debug, Deserialize)]
pub struct ContactPath {
    id: String,
    enrollment: String,
}

/// Takes a person who was never called out of a campaign.
#[utoipa::path(delete, path = "/campaigns/{id}/contacts/{enrollment}", tag = "contacts",
    params(("id" = String, Path), ("enrollment" = String, Path)),
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn remove(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    axum::extract::Path(path): axum::extract::Path<ContactPath>,
) -> ApiResult<StatusCode> {
    let unknown = || ApiError::not_found("enrollment");
    let campaign: CampaignId = path.id.parse().map_err(|_| unknown())?;
    let id: EnrollmentId = path.enrollment.parse().map_err(|_| unknown())?;
    let found = state
        .engine
        .store()
        .find_enrollment(caller.tenant, id)
        .await?;
    found
        .filter(|it| it.campaign == campaign)
        .ok_or_else(unknown)?;
    state.engine.remove(caller.tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
