//! Campaigns made from campaigns: a copy, one for those who were missed, one call to hear how it sounds.

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::{Caller, Manager},
    campaigns::{self, CampaignView, checked_name},
    error::{ApiError, ApiResult},
    extract::{Body, Id},
};
use crate::{
    domain::{contact::Fields, ids::CampaignId, phone::PhoneNumber, text::field_name},
    engine::{TakenOver, TestCallee},
};

/// What a copy is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Copy {
    /// Its name; the original's without it.
    name: Option<String>,
    /// Whether its people are taken over.
    #[serde(default)]
    with_contacts: bool,
}

/// What a campaign for those who were missed is to be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Again {
    /// Its name; the original's without it.
    name: Option<String>,
}

/// Who is called to hear how a campaign sounds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TestCall {
    /// A phone of your own, as people write it.
    phone: String,
    /// In place of the first person's name.
    name: Option<String>,
    /// In place of the first person's columns.
    #[serde(default)]
    fields: Fields,
}

/// Creates a draft with the settings of another campaign, but for the times of its schedule.
///
/// With `withContacts` everybody enrolled in the original is enrolled in the copy, with the same columns;
/// whoever was erased is not. The answer comes when all of them are. Who gives up waiting finds the draft
/// with whom it has so far, and the rest on the way.
#[utoipa::path(post, path = "/campaigns/{id}/duplicate", tag = "campaigns",
    params(("id" = String, Path)), request_body = Copy,
    responses((status = 201, body = CampaignView), (status = 403), (status = 404), (status = 422)))]
pub async fn duplicate(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(copy): Body<Copy>,
) -> ApiResult<(StatusCode, Json<CampaignView>)> {
    let whom = copy.with_contacts.then_some(TakenOver::Everyone);
    copied(state, caller, id, copy.name, whom).await
}

/// Creates a draft for those whose calls in a campaign came to nothing: busy, no answer, a machine, a
/// failure that may pass, no agent. Its settings are the original's, but for the times of its schedule.
///
/// Who was answered, whose number cannot be called and whom a rule excluded is not in it. Waiting is as for
/// `duplicate`.
#[utoipa::path(post, path = "/campaigns/{id}/retry-failed", tag = "campaigns",
    params(("id" = String, Path)), request_body = Again,
    responses((status = 201, body = CampaignView), (status = 403), (status = 404), (status = 422)))]
pub async fn retry_failed(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(again): Body<Again>,
) -> ApiResult<(StatusCode, Json<CampaignView>)> {
    copied(state, caller, id, again.name, Some(TakenOver::Missed)).await
}

/// Calls a phone of your own once, as the campaign would: a campaign of its own, started at once.
///
/// What the texts say of a person is the first person's of the campaign, or what is given here. Every rule
/// holds for this call too: `diagnostics` of the campaign in the answer says what it waits for.
#[utoipa::path(post, path = "/campaigns/{id}/test-call", tag = "campaigns",
    params(("id" = String, Path)), request_body = TestCall,
    responses((status = 201, body = CampaignView), (status = 403), (status = 404), (status = 422)))]
pub async fn test_call(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(test): Body<TestCall>,
) -> ApiResult<(StatusCode, Json<CampaignView>)> {
    let campaign = campaigns::load(&state, caller.tenant, id).await?;
    let phone = PhoneNumber::normalize(&test.phone, campaign.region)
        .map_err(|error| ApiError::field("/phone", "form", error.to_string()))?;
    let fields = test.fields.into_iter();
    let callee = TestCallee {
        phone,
        name: test.name,
        fields: fields
            .map(|(name, value)| (field_name(&name), value))
            .collect(),
    };
    let engine = &state.engine;
    let test = engine.call_to_test(caller.tenant, id, callee).await?;
    let view = campaigns::view(&state, &test).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn copied(
    state: ApiState,
    caller: Caller,
    id: CampaignId,
    name: Option<String>,
    whom: Option<TakenOver>,
) -> ApiResult<(StatusCode, Json<CampaignView>)> {
    let name = name.as_deref().map(checked_name).transpose()?;
    let tasks = state.tasks.clone();
    // A task of its own: whoever asked may leave before everybody is taken over.
    let copying = async move {
        let (engine, tenant) = (&state.engine, caller.tenant);
        let copy = engine.copy_campaign(tenant, id, name).await?;
        if let Some(whom) = whom {
            engine.take_over(tenant, id, copy.id, whom).await?;
        }
        campaigns::view(&state, &copy).await
    };
    let copying = tasks.spawn(copying.in_current_span());
    let view = copying.await.map_err(|_| ApiError::broken())??;
    Ok((StatusCode::CREATED, Json(view)))
}
