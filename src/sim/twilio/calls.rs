//! Creating, reading, changing and deleting one call by REST.

use std::{sync::Arc, time::Duration};

use axum::{
    Form, Json,
    extract::{OriginalUri, Path, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    call::{Call, Placement, Status},
    error::Refusal,
    fields::Fields,
    life,
    request::{NewCall, invalid_callee, source},
};
use crate::sim::{callee::Reaction, ledger::CallFacts, simulation::Simulation};

type Pairs = Form<Vec<(String, String)>>;

/// `POST Calls.json`: 201 with the queued call. Faults may refuse it, or hide that it was placed.
pub async fn create_call(
    State(simulation): State<Arc<Simulation>>,
    Form(pairs): Pairs,
) -> Response {
    let order = match NewCall::parse(&Fields(pairs), &simulation.config.numbers) {
        Ok(order) => order,
        Err(refusal) => return refused(&simulation, refusal),
    };
    let mishap = mishap(&simulation, &order.to);
    match mishap {
        Some(Mishap::Throttled) => return refused(&simulation, Refusal::too_many_requests()),
        Some(Mishap::FailsBefore) => return refused(&simulation, Refusal::internal_error()),
        Some(Mishap::Refused(code)) => {
            let message = format!("Account not allowed to call {}", order.to);
            return refused(&simulation, Refusal::bad_request(code, message));
        }
        Some(Mishap::FailsAfter | Mishap::HangsAfter) | None => {}
    }
    let call = match place(&simulation, order) {
        Ok(call) => call,
        Err(refusal) => return refused(&simulation, refusal),
    };
    match mishap {
        Some(Mishap::FailsAfter) => bad_gateway(),
        Some(Mishap::HangsAfter) => {
            let wait = Duration::from_millis(simulation.faults().create_hangs_ms);
            let _stopped = simulation
                .stop
                .run_until_cancelled(tokio::time::sleep(wait))
                .await;
            created(&call)
        }
        Some(Mishap::Throttled | Mishap::Refused(_) | Mishap::FailsBefore) | None => created(&call),
    }
}

fn created(call: &Call) -> Response {
    (StatusCode::CREATED, Json(call.to_json())).into_response()
}

fn refused(simulation: &Simulation, refusal: Refusal) -> Response {
    simulation.ledger.count_refusal();
    refusal.into_response()
}

/// What a gateway in front of the interface answers: no JSON at all.
fn bad_gateway() -> Response {
    let page = Html("<html><body><h1>502 Bad Gateway</h1></body></html>");
    (StatusCode::BAD_GATEWAY, page).into_response()
}

/// What goes wrong with one creation.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    Throttled,
    Refused(u32),
    FailsBefore,
    FailsAfter,
    HangsAfter,
}

fn mishap(simulation: &Simulation, to: &str) -> Option<Mishap> {
    let n_requests = simulation.ledger.count_request(to).to_string();
    let faults = simulation.faults();
    if let Some(code) = faults.refusal_of(to) {
        return Some(Mishap::Refused(code));
    }
    [
        (Mishap::Throttled, "throttled", faults.create_throttled),
        (Mishap::FailsBefore, "fails", faults.create_fails),
        (
            Mishap::FailsAfter,
            "fails after",
            faults.create_fails_after_placing,
        ),
        (Mishap::HangsAfter, "hangs", faults.create_hangs),
    ]
    .into_iter()
    .find(|(_, name, share)| {
        let draw = simulation.chance.about(&["create", name, to, &n_requests]);
        draw.happens(*share)
    })
    .map(|(mishap, ..)| mishap)
}

/// Puts the call into the queue and starts its task.
fn place(simulation: &Arc<Simulation>, order: NewCall) -> Result<Arc<Call>, Refusal> {
    let limit = simulation.config.max_concurrent;
    if !simulation.exchange.take_place(limit) {
        let message = "Call concurrency limit exceeded";
        return Err(Refusal::bad_request(10004, message));
    }
    let n_earlier = simulation.exchange.count_call_to(&order.to);
    let script = simulation.script(&order.to, n_earlier);
    if script.reaction == Reaction::RefusedByCarrier {
        simulation.exchange.give_place_back();
        return Err(invalid_callee(&order.to));
    }
    for (code, detail) in &order.warnings {
        simulation.ledger.alert(*code, detail);
    }
    let now = Instant::now();
    let release_at = simulation
        .exchange
        .next_release(now, start_interval(simulation));
    let created_at = simulation.now();
    let (call, redirects) = Call::queued(Placement {
        sid: simulation.new_sid("CA"),
        account_sid: simulation.config.account_sid.clone(),
        listed_from: created_at + list_lag(simulation, &order.to, n_earlier),
        order,
        script,
        n_earlier,
        created_at,
        queue_time_ms: (release_at - now).as_millis(),
        hang_up: simulation.stop.child_token(),
    });
    let call = Arc::new(call);
    simulation.exchange.insert(call.clone());
    simulation.ledger.call_created(facts(&call));
    let life = life::live(simulation.clone(), call.clone(), redirects, release_at);
    let span = tracing::debug_span!("simulated_call", call_sid = %call.sid);
    simulation.tasks.spawn(life.instrument(span));
    Ok(call)
}

fn start_interval(simulation: &Simulation) -> Duration {
    let per_second = simulation.config.calls_per_second;
    if per_second <= 0.0 {
        return Duration::ZERO;
    }
    simulation
        .pace
        .shorten(Duration::from_secs_f64(1.0 / per_second))
}

fn list_lag(simulation: &Simulation, to: &str, n_earlier: u32) -> Duration {
    let longest = Duration::from_millis(simulation.faults().list_lag_ms);
    let draw = simulation
        .chance
        .about(&["list lag", to, &n_earlier.to_string()]);
    draw.between(Duration::ZERO, longest)
}

fn facts(call: &Call) -> CallFacts {
    CallFacts {
        sid: call.sid.clone(),
        to: call.order.to.clone(),
        from: call.order.from.clone(),
        behaviour: call.script.behaviour,
        created_at: call.created_at,
        answered_at: None,
        ended_at: None,
        outcome: None,
        beeps_at: None,
        announcements: Vec::new(),
        transfers: Vec::new(),
    }
}

/// `GET Calls/{sid}.json`.
pub async fn show_call(
    State(simulation): State<Arc<Simulation>>,
    Path((_, file)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Value>, Refusal> {
    let call = find(&simulation, &file, uri.path())?;
    Ok(Json(call.to_json()))
}

/// `POST Calls/{sid}.json`: ends or redirects a call; 200 with its state, which may lag behind.
pub async fn update_call(
    State(simulation): State<Arc<Simulation>>,
    Path((_, file)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    Form(pairs): Pairs,
) -> Result<Json<Value>, Refusal> {
    let call = find(&simulation, &file, uri.path())?;
    let fields = Fields(pairs);
    match fields.get("Status") {
        Some("canceled" | "completed") if call.status().is_final() => {
            return Err(Refusal::not_found(uri.path()));
        }
        Some("canceled") => call.cancel_before_answer(),
        Some("completed") => call.hang_up.cancel(),
        Some(other) => {
            let message = format!("invalid Status: {other}");
            return Err(Refusal::bad_request(20001, message));
        }
        None => {
            let draw = simulation.chance.about(&["redirect", &call.sid]);
            if draw.happens(simulation.faults().redirect_fails) {
                return Err(Refusal::internal_error());
            }
            redirect(&simulation, &call, &fields)?;
        }
    }
    Ok(Json(call.to_json()))
}

fn redirect(simulation: &Simulation, call: &Call, fields: &Fields) -> Result<(), Refusal> {
    let mut warnings = Vec::new();
    let Some(source) = source(fields, &mut warnings)? else {
        return Ok(());
    };
    for (code, detail) in warnings {
        simulation.ledger.alert(code, &detail);
    }
    if call.status() != Status::InProgress || !call.redirect(source) {
        let message = "Call is not in-progress. Cannot redirect.";
        return Err(Refusal::bad_request(21220, message));
    }
    if let Some(seconds) = fields.get("TimeLimit").and_then(|text| text.parse().ok()) {
        call.limit_to(Duration::from_secs(seconds));
    }
    Ok(())
}

/// `DELETE Calls/{sid}.json`: 204, or 20009 while the call is going on.
pub async fn delete_call(
    State(simulation): State<Arc<Simulation>>,
    Path((_, file)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
) -> Result<StatusCode, Refusal> {
    let call = find(&simulation, &file, uri.path())?;
    if !call.status().is_final() {
        let message = "Cannot delete because resource is in progress";
        return Err(Refusal::bad_request(20009, message));
    }
    simulation.exchange.remove(&call.sid);
    Ok(StatusCode::NO_CONTENT)
}

fn find(simulation: &Simulation, file: &str, path: &str) -> Result<Arc<Call>, Refusal> {
    file.strip_suffix(".json")
        .and_then(|sid| simulation.exchange.find(sid))
        .ok_or_else(|| Refusal::not_found(path))
}
