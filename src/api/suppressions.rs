//! Who must not be contacted.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::{Body, Id, List, Params, page_request},
};
use crate::{
    domain::{
        Timestamp,
        ids::SuppressionId,
        phone::{PhoneNumber, Region},
        suppression::{Scope, Subject, Suppression, SuppressionSource, email_address},
    },
    store::{Lift, SuppressionEntry},
};

/// The most people of one request.
const MAX_PEOPLE: usize = 10_000;

/// The longest reason.
const MAX_REASON: usize = 500;

/// An entry of the list of those who must not be contacted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuppressionView {
    /// Ours.
    pub id: String,
    /// Whoever has this number; null when the entry is about something else.
    pub phone: Option<String>,
    /// Whoever has this address; null when the entry is about something else.
    pub email: Option<String>,
    /// Whether it is somebody whose data was erased: only a hash is kept.
    pub is_erased: bool,
    /// `all`, or one channel: voice, sms, whatsapp, email, linkedin.
    pub scope: String,
    /// Who or what asked for it: operator, import, keypad, agent, provider, erasure or api.
    pub source: String,
    /// As it was put.
    pub reason: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// When it was taken out of force; null while it is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub lifted_at: Option<Timestamp>,
    /// Why it was taken out of force.
    pub lifted_reason: Option<String>,
}

/// People who must not be contacted any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSuppressions {
    /// Numbers as people write them; with the addresses up to 10,000.
    #[serde(default)]
    phones: Vec<String>,
    /// E-mail addresses.
    #[serde(default)]
    emails: Vec<String>,
    /// `all` or one channel; all without it.
    scope: Option<String>,
    /// Up to 500 characters.
    reason: Option<String>,
    /// The country of numbers without `+`; the installation's without it.
    region: Option<String>,
}

/// What became of people to suppress; the numbers add up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedSuppressions {
    /// How many entries are new.
    pub added: u64,
    /// How many were in force before.
    pub known: u64,
    /// The ones that are neither a number nor an address.
    pub rejected: Vec<RejectedSuppression>,
}

/// What is neither a number nor an address.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedSuppression {
    /// As it was sent.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an entry is taken out of force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftBody {
    /// Up to 500 characters.
    reason: String,
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SuppressionParams {
    /// Only those whose number, address or reason contains this.
    search: Option<String>,
    /// At most this many items, 1 to 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl From<SuppressionEntry> for SuppressionView {
    fn from(entry: SuppressionEntry) -> Self {
        let suppression = entry.suppression;
        let (phone, email, is_erased) = match suppression.subject {
            Subject::Phone(phone) => (Some(phone.to_string()), None, false),
            Subject::Email(email) => (None, Some(email), false),
            Subject::Hash(_) => (None, None, true),
        };
        let lifted = entry.lifted;
        Self {
            id: suppression.id.to_string(),
            phone,
            email,
            is_erased,
            scope: suppression.scope.name().to_owned(),
            source: suppression.source.name().to_owned(),
            reason: suppression.reason,
            at: suppression.at,
            lifted_at: lifted.as_ref().map(|lift| lift.at),
            lifted_reason: lifted.and_then(|lift| lift.reason),
        }
    }
}

pub(super) fn checked_reason(reason: &str) -> ApiResult<Option<String>> {
    let reason = reason.trim();
    if reason.chars().count() > MAX_REASON {
        let detail = "must have at most 500 characters";
        return Err(ApiError::field("/reason", "length", detail));
    }
    Ok(Some(reason.to_owned()).filter(|reason| !reason.is_empty()))
}

/// The country that a request names, or `usual`.
pub(super) fn region_of(named: Option<&str>, usual: Region) -> ApiResult<Region> {
    let wrong = |_| ApiError::field("/region", "form", "must be a country such as US or GB");
    named.map_or(Ok(usual), |text| text.parse().map_err(wrong))
}

/// The scope that a request names, or all.
pub(super) fn scope_of(named: Option<&str>) -> ApiResult<Scope> {
    let wrong = || {
        let detail = "must be all, voice, sms, whatsapp, email or linkedin";
        ApiError::field("/scope", "unknown", detail)
    };
    named.map_or(Ok(Scope::All), |name| {
        Scope::from_name(name).ok_or_else(wrong)
    })
}

/// Who is meant by the numbers and addresses of a request, and what is neither.
fn subjects(new: &NewSuppressions, region: Region) -> (Vec<Subject>, Vec<RejectedSuppression>) {
    let (mut found, mut rejected) = (Vec::new(), Vec::new());
    for text in &new.phones {
        match PhoneNumber::normalize(text, region) {
            Ok(phone) => found.push(Subject::Phone(phone)),
            Err(error) => rejected.push(RejectedSuppression {
                value: text.clone(),
                reason: error.to_string(),
            }),
        }
    }
    for text in &new.emails {
        match email_address(text) {
            Some(email) => found.push(Subject::Email(email)),
            None => rejected.push(RejectedSuppression {
                value: text.clone(),
                reason: "this is not written like an e-mail address".to_owned(),
            }),
        }
    }
    found.sort();
    found.dedup();
    (found, rejected)
}

/// Lists those who must not be contacted, newest first, lifted entries included.
#[utoipa::path(get, path = "/suppressions", tag = "suppressions", params(SuppressionParams),
    responses((status = 200, body = List<SuppressionView>)))]
pub async fn list(
    caller: Caller,
    State(state): State<ApiState>,
    Params(params): Params<SuppressionParams>,
) -> ApiResult<Json<List<SuppressionView>>> {
    let page = page_request(params.limit, params.cursor)?;
    let search = params.search.as_deref().filter(|text| !text.is_empty());
    let store = state.engine.store();
    let page = store
        .list_suppressions(caller.tenant, search, &page)
        .await?;
    Ok(Json(List::of(page, SuppressionView::from)))
}

/// Adds people who must not be contacted any more, on one channel or all. It acts within a second, in
/// every campaign; calls to them that nobody has answered are cancelled.
#[utoipa::path(post, path = "/suppressions", tag = "suppressions", request_body = NewSuppressions,
    responses((status = 201, body = AddedSuppressions), (status = 422)))]
pub async fn add(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Body(new): Body<NewSuppressions>,
) -> ApiResult<(StatusCode, Json<AddedSuppressions>)> {
    let n_people = new.phones.len() + new.emails.len();
    if !(1..=MAX_PEOPLE).contains(&n_people) {
        let detail = "must have 1 to 10000 numbers and addresses";
        return Err(ApiError::field("/phones", "length", detail));
    }
    let scope = scope_of(new.scope.as_deref())?;
    let region = region_of(new.region.as_deref(), state.region)?;
    let reason = checked_reason(new.reason.as_deref().unwrap_or_default())?;
    let (subjects, rejected) = subjects(&new, region);
    let clock = state.engine.clock();
    let at = clock.now();
    let entries: Vec<Suppression> = subjects
        .into_iter()
        .map(|subject| Suppression {
            id: SuppressionId::new(clock.new_uuid()),
            tenant: caller.tenant,
            subject,
            scope,
            source: SuppressionSource::Operator,
            reason: reason.clone(),
            at,
        })
        .collect();
    let n_entries = entries.len() as u64;
    let added = state.engine.suppress(caller.tenant, entries).await?;
    let result = AddedSuppressions {
        added,
        known: n_entries - added,
        rejected,
    };
    Ok((StatusCode::CREATED, Json(result)))
}

/// Takes an entry out of force. It stays in the list, with the reason.
#[utoipa::path(post, path = "/suppressions/{id}/lift", tag = "suppressions",
    params(("id" = String, Path)), request_body = LiftBody,
    responses((status = 204), (status = 404), (status = 422)))]
pub async fn lift(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<SuppressionId>,
    Body(body): Body<LiftBody>,
) -> ApiResult<StatusCode> {
    let reason = checked_reason(&body.reason)?;
    if reason.is_none() {
        let detail = "must say why the person may be contacted again";
        return Err(ApiError::field("/reason", "missing", detail));
    }
    let lift = Lift {
        at: state.engine.clock().now(),
        by: Some(caller.user),
        reason,
    };
    let store = state.engine.store();
    if store.lift_suppression(caller.tenant, id, &lift).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found("suppression"))
    }
}
