//! Operators take a live call over: its agent is muted, and its callee connected with a person.
//!
//! What is begun here goes on to its end when whoever asked leaves: half of it would leave the callee with an
//! agent that nobody hears.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::{
    ApiState,
    attend::{self, Reached, reach},
    auth::{Caller, Manager},
    calls::{self, CallDetail},
    emergency::name_of,
    error::{ApiError, ApiResult},
    extract::{Body, Id},
    media,
    policy::number,
};
use crate::{
    bridge::Operators,
    domain::{
        attempt::Party,
        enrollment::CallRecord,
        ids::AttemptId,
        mute::Mute,
        phone::PhoneNumber,
        signal::{Signal, SignalKind},
        transfer::TransferRefused,
    },
    engine::TransferError,
    realtime::payload::CallView,
};

/// Mutes the agent of a live call: the callee hears nothing of it from now on, and what the carrier had
/// of its speech is cleared.
///
/// The agent goes on to hear the callee, to be told hints and to use its tools; it may end the call. It
/// is on the call's timeline with who did it. An agent that is muted already stays so. 409 `notLive` before
/// and after the talk, 409 `notHere` when this process does not have its audio.
#[utoipa::path(post, path = "/calls/{id}/mute", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallDetail), (status = 403), (status = 404), (status = 409)))]
pub async fn mute(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    to_its_end(&state.clone(), set_muted(state, caller, id, headers, true)).await
}

/// Lets a muted agent be heard again, from what it says next.
///
/// 409 as for `mute`.
#[utoipa::path(post, path = "/calls/{id}/unmute", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallDetail), (status = 403), (status = 404), (status = 409)))]
pub async fn unmute(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    to_its_end(&state.clone(), set_muted(state, caller, id, headers, false)).await
}

/// To whom a call is transferred.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferBody {
    /// The number of the person who takes the call, in the form +12025550100; the campaign's without it.
    to: Option<String>,
}

/// Has the callee connected with a person; the agent is left. What became of it is on the call.
///
/// The agent is muted as soon as this is asked for, where this process has the call's audio, and heard
/// again if the carrier does not take the request.
#[utoipa::path(post, path = "/calls/{id}/transfer", tag = "calls", params(("id" = String, Path)),
    request_body = TransferBody,
    responses((status = 202, body = CallView), (status = 404), (status = 409), (status = 422), (status = 502)))]
pub async fn transfer(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    Body(body): Body<TransferBody>,
) -> ApiResult<(StatusCode, Json<CallView>)> {
    calls::load(&state, caller, id).await?;
    let to = body.to.as_deref().map(|text| number("/to", text));
    let to = to.transpose()?;
    let call = to_its_end(&state.clone(), hand_over(state, caller, id, to)).await?;
    Ok((StatusCode::ACCEPTED, Json(CallView::from(&call))))
}

/// A task of its own.
async fn to_its_end<T: Send + 'static>(
    state: &ApiState,
    doing: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    let doing = state.tasks.spawn(doing.in_current_span());
    doing.await.map_err(|_| ApiError::broken())?
}

async fn set_muted(
    state: ApiState,
    caller: Caller,
    id: AttemptId,
    headers: HeaderMap,
    is_on: bool,
) -> ApiResult<Response> {
    let operators = match reach(&state, &calls::load(&state, caller, id).await?, &headers)? {
        Reached::Here(operators) => operators,
        Reached::At(node) => {
            let action = if is_on { "mute" } else { "unmute" };
            let body = None::<&()>;
            return state.nodes.pass_on(&node, id, action, &headers, body).await;
        }
    };
    let by = name_of(&caller, &state).await?;
    let muting = operators.muting().await;
    operators
        .mute(is_on)
        .await
        .map_err(|over| ApiError::new(StatusCode::CONFLICT, "notLive", over.to_string()))?;
    let call = calls::load(&state, caller, id).await?;
    if call.attempt.facts.is_muted() != is_on {
        let at = state.engine.clock().now();
        let signal = Signal {
            sid: call.attempt.state.sid().cloned(),
            at,
            kind: SignalKind::Muted(Mute { is_on, by, at }),
        };
        media::tell_of(&state.engine, caller.tenant, id, signal).await;
    }
    drop(muting);
    attend::detail(&state, caller, id).await
}

async fn hand_over(
    state: ApiState,
    caller: Caller,
    id: AttemptId,
    to: Option<PhoneNumber>,
) -> ApiResult<CallRecord> {
    let engine = &state.engine;
    let may = engine.may_transfer(caller.tenant, id, to.as_ref()).await;
    may.map_err(refused)?;
    let muted = MutedMeanwhile::begin(&state, caller, id).await?;
    let transferred = engine
        .transfer(caller.tenant, id, Party::Operator, to)
        .await;
    if transferred.is_err() {
        muted.end().await;
    }
    transferred.map_err(refused)?;
    calls::load(&state, caller, id).await
}

fn refused(error: TransferError) -> ApiError {
    match error {
        TransferError::Refused(TransferRefused::Nobody) => {
            ApiError::field("/to", "missing", "the campaign has no number of its own")
        }
        TransferError::Refused(refused) => {
            ApiError::new(StatusCode::CONFLICT, "notAllowed", refused.to_string())
        }
        error @ TransferError::Carrier => {
            ApiError::new(StatusCode::BAD_GATEWAY, "carrier", error.to_string())
        }
        TransferError::Engine(error) => error.into(),
    }
}

/// A call whose agent is not to talk on while the carrier takes the call away from it. None where the agent
/// is muted anyway, or not here.
struct MutedMeanwhile(Option<(Operators, OwnedMutexGuard<()>)>);

impl MutedMeanwhile {
    async fn begin(state: &ApiState, caller: Caller, id: AttemptId) -> ApiResult<Self> {
        let Some(operators) = state.media.operators(id) else {
            return Ok(Self(None));
        };
        let muting = operators.muting().await;
        let call = calls::load(state, caller, id).await?;
        if call.attempt.facts.is_muted() {
            return Ok(Self(None));
        }
        // A talk that is just over has nobody to mute.
        operators.mute(true).await.ok();
        Ok(Self(Some((operators, muting))))
    }

    async fn end(self) {
        if let Some((operators, _muting)) = self.0 {
            operators.mute(false).await.ok();
        }
    }
}
