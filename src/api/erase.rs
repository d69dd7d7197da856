//! Erasing a person's data.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::{Body, Id},
    suppressions::region_of,
};
use crate::{
    domain::{ids::ContactId, phone::PhoneNumber, suppression::email_address},
    engine::{Erased, Whom},
};

/// Whose data is erased: one of number and address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EraseBody {
    /// As people write it.
    phone: Option<String>,
    /// Where the person is written to.
    email: Option<String>,
    /// The country of a number without `+`; the installation's without it.
    region: Option<String>,
}

/// What a person's data was taken out of.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErasedView {
    /// How many times the person was in a campaign.
    pub enrollments: u64,
    /// How many attempts there were to call the person.
    pub calls: u64,
    /// How many rejected rows of lists were about the person.
    pub rejected_rows: u64,
}

impl From<Erased> for ErasedView {
    fn from(erased: Erased) -> Self {
        Self {
            enrollments: erased.n_enrollments,
            calls: erased.n_calls,
            rejected_rows: erased.n_rejected_rows,
        }
    }
}

/// Takes everything that says who a person is out of all records, and keeps a salted hash, so that the
/// person is never contacted again. Figures stay. It cannot be undone.
///
/// `POST /contacts/{id}/erase`: 404 also when the person was erased before; 409 while a call is up.
#[utoipa::path(post, path = "/contacts/{id}/erase", tag = "contacts",
    params(("id" = String, Path)),
    responses((status = 200, body = ErasedView), (status = 404), (status = 409)))]
pub async fn contact(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<ContactId>,
) -> ApiResult<Json<ErasedView>> {
    erase(state, caller, Whom::Contact(id)).await
}

/// As `POST /contacts/{id}/erase`, by number or address. Whoever is not in the address book may be in
/// rejected rows and on the do-not-call list, and is kept as a hash too.
#[utoipa::path(post, path = "/contacts/erase", tag = "contacts", request_body = EraseBody,
    responses((status = 200, body = ErasedView), (status = 409), (status = 422)))]
pub async fn whoever(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Body(body): Body<EraseBody>,
) -> ApiResult<Json<ErasedView>> {
    let whom = whom(&state, &body)?;
    erase(state, caller, whom).await
}

/// A task of its own: whoever asked may leave before it is done.
async fn erase(state: ApiState, caller: Caller, whom: Whom) -> ApiResult<Json<ErasedView>> {
    let engine = state.engine.clone();
    let erasing = state
        .tasks
        .spawn(async move { engine.erase(caller.tenant, &whom, caller.user).await });
    let erased = erasing.await.map_err(|_| ApiError::broken())??;
    Ok(Json(erased.into()))
}

fn whom(state: &ApiState, body: &EraseBody) -> ApiResult<Whom> {
    match (&body.phone, &body.email) {
        (Some(phone), None) => {
            let region = region_of(body.region.as_deref(), state.region)?;
            PhoneNumber::normalize(phone, region)
                .map(Whom::Phone)
                .map_err(|error| ApiError::field("/phone", "form", error.to_string()))
        }
        (None, Some(email)) => email_address(email).map(Whom::Email).ok_or_else(|| {
            ApiError::field("/email", "form", "is not written like an e-mail address")
        }),
        _ => Err(ApiError::invalid("name one of phone and email")),
    }
}
