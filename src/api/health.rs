//! Whether the process is alive, and whether it does its part.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiState;

/// Whether the process does its part.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Readiness {
    /// Everything below is well.
    ready: bool,
    /// The store can be read and written.
    store: bool,
    /// `owner` while this process dispatches for every tenant; `standby` while another does.
    dispatch: &'static str,
    /// An emergency stop holds for a tenant: nothing is dialed there. Null while the store does not
    /// say.
    emergency_stop: Option<bool>,
    /// Every loop runs; one that panicked in the last minute was begun again.
    loops: bool,
    /// Media sockets are taken.
    media: bool,
    /// Calls whose audio is here.
    live_calls: usize,
}

/// Answers as long as the process runs.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200)))]
pub async fn alive() -> &'static str {
    "ok"
}

/// Whether the process does its part: 503 while the store does not answer, after a loop panicked, or
/// while the process is ending.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub async fn ready(State(state): State<ApiState>) -> (StatusCode, Json<Readiness>) {
    let health = state.engine.health().await;
    // One that does not answer was waited for already.
    let halted = match health.store {
        true => state.engine.is_halted().await.ok(),
        false => None,
    };
    let readiness = Readiness {
        ready: health.store && health.loops && !health.closing,
        store: health.store,
        dispatch: if health.dispatch { "owner" } else { "standby" },
        emergency_stop: halted,
        loops: health.loops,
        media: !health.closing,
        live_calls: state.media.n_live(),
    };
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}
