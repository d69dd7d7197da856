//! Campaigns: what they look like outside, and what may be asked of them.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::{Body, Id, List, Params, page_request},
    settings::{SettingsBody, SettingsView, edit_with},
};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignAction, Policy},
        ids::{CampaignId, TenantId},
        step::Step,
    },
    engine::CampaignEdit,
    realtime::payload::{ProgressView, actions_of},
    store::CampaignFilter,
};

/// A campaign.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CampaignView {
    /// Ours.
    pub id: String,
    /// For people.
    pub name: String,
    /// draft, active, paused, completed or cancelled.
    pub status: String,
    /// Why it is paused.
    pub reason: Option<String>,
    /// What the agent is to do.
    pub prompt: String,
    /// What the agent says first.
    pub first_message: String,
    /// How it is done.
    pub settings: SettingsView,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it was first started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it came to a final status.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Rises with each change.
    pub version: u64,
    /// What may be asked of it now: start, pause, resume, stop, edit, enroll, delete.
    pub allowed_actions: Vec<String>,
    /// How far it has come.
    pub progress: ProgressView,
    /// What is to be done so that it does not stand still soon, or again: copies of do-not-call
    /// registers that are missing or too old, or will be.
    pub warnings: Vec<String>,
}

/// A campaign to create, or a whole new state of one (`PUT`).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCampaign {
    /// For people.
    pub name: String,
    /// What the agent is to do; `{{column}}` stands for the contact's value.
    #[serde(default)]
    pub prompt: String,
    /// What the agent says first; `{{column}}` stands for the contact's value.
    #[serde(default)]
    pub first_message: String,
    /// How it is done; what is left out has its default.
    #[serde(default)]
    pub settings: SettingsBody,
}

/// What to change in a campaign (`PATCH`); what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CampaignPatch {
    name: Option<String>,
    prompt: Option<String>,
    first_message: Option<String>,
    #[serde(default)]
    settings: SettingsBody,
}

/// Which campaigns.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CampaignParams {
    /// Only those in this status.
    status: Option<String>,
    /// Only those whose name contains this.
    search: Option<String>,
    /// At most this many items, 1 to 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Figures about a campaign and what they amount to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// The figures.
    pub progress: ProgressView,
    /// Contacts at their end whose last call was answered and met by an agent, as a share of all
    /// at their end; null while nobody is.
    pub answered_share: Option<f64>,
    /// Calls per contact at its end; null while nobody is.
    pub calls_per_finished: Option<f64>,
}

const MAX_NAME: usize = 200;

/// The campaign with its progress as clients see it.
pub async fn view(state: &ApiState, campaign: &Campaign) -> ApiResult<CampaignView> {
    let progress = progress_of(state, campaign.tenant, campaign.id).await?;
    let Some(Step::VoiceCall(call)) = campaign.steps.first() else {
        return Err(ApiError::invalid("the campaign has no voice step"));
    };
    Ok(CampaignView {
        id: campaign.id.to_string(),
        name: campaign.name.clone(),
        status: campaign.status.name().to_owned(),
        reason: campaign.status.reason(),
        prompt: call.prompt.source().to_owned(),
        first_message: call.first_message.source().to_owned(),
        settings: SettingsView::of(campaign, call),
        created_at: campaign.created_at,
        updated_at: campaign.updated_at,
        started_at: campaign.started_at,
        ended_at: campaign.ended_at,
        version: campaign.version,
        allowed_actions: actions_of(campaign),
        progress,
        warnings: state.engine.warnings(campaign).await?,
    })
}

async fn progress_of(
    state: &ApiState,
    tenant: TenantId,
    id: CampaignId,
) -> ApiResult<ProgressView> {
    let store = state.engine.store();
    let seq = store.last_seq(tenant, id).await?;
    let progress = store.progress(tenant, id).await?;
    Ok(ProgressView::new(
        id,
        progress,
        seq,
        state.engine.clock().now(),
    ))
}

/// The campaign, or 404.
pub async fn load(state: &ApiState, tenant: TenantId, id: CampaignId) -> ApiResult<Campaign> {
    let campaign = state.engine.store().find_campaign(tenant, id).await?;
    campaign.ok_or_else(|| ApiError::not_found("campaign"))
}

/// The settings of a campaign to create.
pub fn edit_of(state: &ApiState, new: &NewCampaign) -> ApiResult<CampaignEdit> {
    check_vendor(state, &new.settings)?;
    let name = checked_name(&new.name)?;
    let defaults = state.defaults();
    edit_with(
        &defaults,
        &defaults.policy,
        name,
        Some(&new.prompt),
        Some(&new.first_message),
        &new.settings,
    )
}

/// Whether there are agents of the vendor that is asked for.
fn check_vendor(state: &ApiState, settings: &SettingsBody) -> ApiResult<()> {
    let asked = settings.agent_vendor.as_deref().map(str::trim);
    let vendors = &state.agent_vendors;
    let is_there = |name: &str| name.is_empty() || vendors.iter().any(|it| it.as_str() == name);
    if asked.is_none_or(is_there) {
        return Ok(());
    }
    let names: Vec<&str> = vendors.iter().map(|vendor| vendor.as_str()).collect();
    Err(ApiError::field(
        "/settings/agentVendor",
        "unknown",
        format!("must be one that is set up here: {}", names.join(", ")),
    ))
}

/// A campaign's name as it is kept.
pub fn checked_name(name: &str) -> ApiResult<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME {
        return Err(ApiError::field(
            "/name",
            "length",
            "must have 1 to 200 characters",
        ));
    }
    Ok(name.to_owned())
}

/// Lists campaigns, newest first.
#[utoipa::path(get, path = "/campaigns", tag = "campaigns", params(CampaignParams),
    responses((status = 200, body = List<CampaignView>)))]
pub async fn list(
    caller: Caller,
    State(state): State<ApiState>,
    Params(params): Params<CampaignParams>,
) -> ApiResult<Json<List<CampaignView>>> {
    let filter = CampaignFilter {
        status: params.status,
        search: params.search,
        ..CampaignFilter::default()
    };
    list_of(&state, caller, &filter, params.limit, params.cursor).await
}

/// Lists the campaigns that are dialing.
#[utoipa::path(get, path = "/campaigns/active", tag = "campaigns",
    responses((status = 200, body = List<CampaignView>)))]
pub async fn active(
    caller: Caller,
    State(state): State<ApiState>,
) -> ApiResult<Json<List<CampaignView>>> {
    let filter = CampaignFilter {
        status: Some("active".to_owned()),
        ..CampaignFilter::default()
    };
    list_of(&state, caller, &filter, Some(500), None).await
}

async fn list_of(
    state: &ApiState,
    caller: Caller,
    filter: &CampaignFilter,
    limit: Option<u32>,
    cursor: Option<String>,
) -> ApiResult<Json<List<CampaignView>>> {
    let page = page_request(limit, cursor)?;
    let page = state
        .engine
        .store()
        .list_campaigns(caller.tenant, filter, &page)
        .await?;
    let mut items = Vec::with_capacity(page.items.len());
    for campaign in &page.items {
        items.push(view(state, campaign).await?);
    }
    Ok(Json(List {
        items,
        total: page.total,
        next: page.next,
    }))
}

/// Creates a campaign as a draft.
#[utoipa::path(post, path = "/campaigns", tag = "campaigns", request_body = NewCampaign,
    responses((status = 201, body = CampaignView), (status = 422)))]
pub async fn create(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Body(new): Body<NewCampaign>,
) -> ApiResult<(StatusCode, Json<CampaignView>)> {
    let edit = edit_of(&state, &new)?;
    let campaign = state.engine.create_campaign(caller.tenant, edit).await?;
    Ok((StatusCode::CREATED, Json(view(&state, &campaign).await?)))
}

/// One campaign.
#[utoipa::path(get, path = "/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)),
    responses((status = 200, body = CampaignView), (status = 404)))]
pub async fn get(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<CampaignView>> {
    let campaign = load(&state, caller.tenant, id).await?;
    Ok(Json(view(&state, &campaign).await?))
}

/// Changes some settings of a campaign that has not ended; limits act within a second.
#[utoipa::path(patch, path = "/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)),
    request_body = CampaignPatch,
    responses((status = 200, body = CampaignView), (status = 404), (status = 409), (status = 422)))]
pub async fn patch(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(patch): Body<CampaignPatch>,
) -> ApiResult<Json<CampaignView>> {
    check_vendor(&state, &patch.settings)?;
    // Checked once before, so that a wrong field is refused with its pointer.
    let current = load(&state, caller.tenant, id).await?;
    let usual = state.defaults().policy;
    patched(&current, &usual, &patch)?;
    let edit = |current: &Campaign| patched(current, &usual, &patch).map_err(ApiError::into_engine);
    let campaign = state.engine.edit_campaign(caller.tenant, id, edit).await?;
    Ok(Json(view(&state, &campaign).await?))
}

fn patched(current: &Campaign, usual: &Policy, patch: &CampaignPatch) -> ApiResult<CampaignEdit> {
    let name = checked_name(patch.name.as_ref().unwrap_or(&current.name))?;
    let (prompt, first) = (patch.prompt.as_deref(), patch.first_message.as_deref());
    edit_with(
        &CampaignEdit::from(current),
        usual,
        name,
        prompt,
        first,
        &patch.settings,
    )
}

/// Replaces all settings of a campaign that has not ended.
#[utoipa::path(put, path = "/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)),
    request_body = NewCampaign,
    responses((status = 200, body = CampaignView), (status = 404), (status = 409), (status = 422)))]
pub async fn put(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Body(new): Body<NewCampaign>,
) -> ApiResult<Json<CampaignView>> {
    let edit = edit_of(&state, &new)?;
    let campaign = state
        .engine
        .edit_campaign(caller.tenant, id, |_| Ok(edit.clone()))
        .await?;
    Ok(Json(view(&state, &campaign).await?))
}

/// Hides a draft or an ended campaign from every list; its records stay.
#[utoipa::path(delete, path = "/campaigns/{id}", tag = "campaigns", params(("id" = String, Path)),
    responses((status = 204), (status = 404), (status = 409)))]
pub async fn delete(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<StatusCode> {
    state.engine.delete_campaign(caller.tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(
    state: &ApiState,
    caller: Caller,
    id: CampaignId,
    action: CampaignAction,
) -> ApiResult<Json<CampaignView>> {
    let campaign = state
        .engine
        .change_status(caller.tenant, id, action)
        .await?;
    Ok(Json(view(state, &campaign).await?))
}

/// Starts a draft. Starting an active campaign changes nothing.
#[utoipa::path(post, path = "/campaigns/{id}/start", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = CampaignView), (status = 404), (status = 409)))]
pub async fn start(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<CampaignView>> {
    change(&state, caller, id, CampaignAction::Start).await
}

/// Pauses a running campaign within a second; calls that are up are left to finish.
#[utoipa::path(post, path = "/campaigns/{id}/pause", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = CampaignView), (status = 404), (status = 409)))]
pub async fn pause(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<CampaignView>> {
    change(&state, caller, id, CampaignAction::Pause).await
}

/// Goes on with a paused campaign.
#[utoipa::path(post, path = "/campaigns/{id}/resume", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = CampaignView), (status = 404), (status = 409)))]
pub async fn resume(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<CampaignView>> {
    change(&state, caller, id, CampaignAction::Resume).await
}

/// Ends a campaign for good: calls nobody has answered are cancelled, talks finish.
#[utoipa::path(post, path = "/campaigns/{id}/stop", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = CampaignView), (status = 404), (status = 409)))]
pub async fn stop(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<CampaignView>> {
    change(&state, caller, id, CampaignAction::Stop).await
}

/// How far a campaign has come.
#[utoipa::path(get, path = "/campaigns/{id}/progress", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = ProgressView), (status = 404)))]
pub async fn progress(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<ProgressView>> {
    load(&state, caller.tenant, id).await?;
    Ok(Json(progress_of(&state, caller.tenant, id).await?))
}

/// Figures about a campaign and what they amount to.
#[utoipa::path(get, path = "/campaigns/{id}/stats", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = StatsView), (status = 404)))]
pub async fn stats(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<StatsView>> {
    load(&state, caller.tenant, id).await?;
    let progress = progress_of(&state, caller.tenant, id).await?;
    let answered = progress
        .outcomes
        .get("answered")
        .copied()
        .unwrap_or_default();
    Ok(Json(StatsView {
        answered_share: share(answered, progress.finished),
        calls_per_finished: share(progress.calls, progress.finished),
        progress,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
