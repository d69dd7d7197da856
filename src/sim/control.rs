//! The simulator's own routes: what happened, and which faults are in force.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::Value;

use super::{
    faults::Faults,
    ledger::{CallFacts, LedgerSnapshot},
    simulation::Simulation,
};

pub(super) fn routes() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/sim/ledger", get(show_ledger))
        .route("/sim/calls", get(list_calls))
        .route("/sim/faults", get(show_faults).post(change_faults))
}

/// `GET /sim/ledger`: every fact, with a map by number.
async fn show_ledger(State(simulation): State<Arc<Simulation>>) -> Json<LedgerSnapshot> {
    Json(simulation.ledger.snapshot())
}

/// `GET /sim/calls`: every call created, oldest first.
async fn list_calls(State(simulation): State<Arc<Simulation>>) -> Json<Vec<CallFacts>> {
    Json(simulation.ledger.snapshot().calls)
}

async fn show_faults(State(simulation): State<Arc<Simulation>>) -> Json<Faults> {
    Json(simulation.faults())
}

/// `POST /sim/faults`: replaces the fields named in the body; 200 with all faults, 422 when a
/// field is unknown or does not fit.
async fn change_faults(
    State(simulation): State<Arc<Simulation>>,
    Json(changes): Json<Value>,
) -> Result<Json<Faults>, (StatusCode, String)> {
    let faults = simulation
        .faults()
        .changed(changes)
        .map_err(|problem| (StatusCode::UNPROCESSABLE_ENTITY, problem))?;
    simulation.set_faults(faults.clone());
    Ok(Json(faults))
}
