//! Emergency stops: everything stands still until somebody lifts them.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::{Body, Params},
};
use crate::{
    domain::{
        Timestamp,
        access::Role,
        halt::{Halt, HaltScope},
        ids::TenantId,
    },
    engine::Standstill,
};

/// The longest reason.
const MAX_REASON: usize = 500;

/// What an emergency stop holds for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ScopeParams {
    /// `tenant`, which it is without it, or `installation`, for an owner of its first tenant.
    scope: Option<String>,
}

/// How to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmergencyStopBody {
    /// End the talks that are going on, too. Otherwise they go on to their end.
    #[serde(default)]
    hang_up: bool,
    /// Up to 500 characters.
    reason: Option<String>,
}

/// Whether everything stands still, and what is still up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmergencyStopView {
    /// Whether the tenant stands still: its own stop or the installation's is in force.
    pub is_in_force: bool,
    /// The tenant's own stop.
    pub tenant: Option<HaltView>,
    /// The installation's.
    pub installation: Option<HaltView>,
    /// Open calls in the scope that nobody has answered: to be asked for, queued, ringing, or not
    /// known yet.
    pub unanswered: u64,
    /// Open calls in the scope with somebody on the line.
    pub talking: u64,
}

/// An emergency stop that is in force.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HaltView {
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who stopped it.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Whether talks are ended too.
    pub hang_up: bool,
}

impl From<&Halt> for HaltView {
    fn from(halt: &Halt) -> Self {
        Self {
            at: halt.at,
            by: halt.by.clone(),
            reason: halt.reason.clone(),
            hang_up: halt.ends_talks,
        }
    }
}

impl From<Standstill> for EmergencyStopView {
    fn from(it: Standstill) -> Self {
        Self {
            is_in_force: it.halts.in_force().is_some(),
            tenant: it.halts.tenant.as_ref().map(HaltView::from),
            installation: it.halts.installation.as_ref().map(HaltView::from),
            unanswered: it.n_unanswered,
            talking: it.n_talking,
        }
    }
}

/// The scope that is meant, if the caller may use it. The installation belongs to the owners of its
/// first tenant.
fn scope_of(caller: &Caller, params: &ScopeParams) -> ApiResult<HaltScope> {
    match params.scope.as_deref() {
        None | Some("tenant") => Ok(HaltScope::Tenant(caller.tenant)),
        Some("installation")
            if caller.role >= Role::Owner && caller.tenant == TenantId::DEFAULT =>
        {
            Ok(HaltScope::Installation)
        }
        Some("installation") => Err(ApiError::forbidden()),
        Some(_) => Err(ApiError::field(
            "/scope",
            "unknown",
            "must be tenant or installation",
        )),
    }
}

/// The caller's e-mail address.
pub(super) async fn name_of(caller: &Caller, state: &ApiState) -> ApiResult<String> {
    let store = state.engine.store();
    let user = store.find_user(caller.tenant, caller.user).await?;
    Ok(user.ok_or_else(ApiError::unauthorized)?.email)
}

async fn view(
    caller: &Caller,
    state: &ApiState,
    scope: HaltScope,
) -> ApiResult<Json<EmergencyStopView>> {
    let standstill = state.engine.standstill(caller.tenant, scope).await?;
    Ok(Json(standstill.into()))
}

/// Whether an emergency stop is in force, and how many calls are still up.
#[utoipa::path(get, path = "/emergency-stop", tag = "emergency-stop", params(ScopeParams),
    responses((status = 200, body = EmergencyStopView), (status = 403)))]
pub async fn get(
    caller: Caller,
    State(state): State<ApiState>,
    Params(params): Params<ScopeParams>,
) -> ApiResult<Json<EmergencyStopView>> {
    let scope = scope_of(&caller, &params)?;
    view(&caller, &state, scope).await
}

/// Stops everything: when it is answered no call is asked for any more, and calls that nobody has
/// answered are taken back. Campaigns keep their status, and whoever was not reached is called when
/// the stop is lifted. Asking again changes nothing, but may end talks too.
#[utoipa::path(post, path = "/emergency-stop", tag = "emergency-stop", params(ScopeParams),
    request_body = EmergencyStopBody,
    responses((status = 200, body = EmergencyStopView), (status = 403), (status = 422)))]
pub async fn stop(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Params(params): Params<ScopeParams>,
    Body(body): Body<EmergencyStopBody>,
) -> ApiResult<Json<EmergencyStopView>> {
    let scope = scope_of(&caller, &params)?;
    let reason = body.reason.map(|reason| reason.trim().to_owned());
    let reason = reason.filter(|reason| !reason.is_empty());
    if reason
        .as_ref()
        .is_some_and(|it| it.chars().count() > MAX_REASON)
    {
        let detail = "must have at most 500 characters";
        return Err(ApiError::field("/reason", "length", detail));
    }
    let halt = Halt {
        at: state.engine.clock().now(),
        by: name_of(&caller, &state).await?,
        reason,
        ends_talks: body.hang_up,
    };
    state.engine.halt(scope, &halt).await?;
    view(&caller, &state, scope).await
}

/// Lifts the emergency stop: dialing goes on as it was.
#[utoipa::path(delete, path = "/emergency-stop", tag = "emergency-stop", params(ScopeParams),
    responses((status = 200, body = EmergencyStopView), (status = 403)))]
pub async fn lift(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Params(params): Params<ScopeParams>,
) -> ApiResult<Json<EmergencyStopView>> {
    let scope = scope_of(&caller, &params)?;
    let by = name_of(&caller, &state).await?;
    state.engine.lift_halt(scope, &by).await?;
    view(&caller, &state, scope).await
}
