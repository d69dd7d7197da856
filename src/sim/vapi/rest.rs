//! The vendor's API: calls and the assistant.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{Call, report};
use crate::sim::{
    config::{AudioFormat, SimulatorConfig},
    file,
    simulation::Simulation,
};

/// A refusal in the vendor's shape.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    /// A text, or a list of them after a validation.
    message: Value,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<Value>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({
            "message": self.message,
            "error": self.status.canonical_reason(),
            "statusCode": self.status.as_u16(),
        });
        (self.status, Json(body)).into_response()
    }
}

type Answer<T> = Result<T, Refusal>;

/// `POST /call`: a call over the WebSocket transport; there are no telephone numbers here.
pub async fn create(
    State(simulation): State<Arc<Simulation>>,
    headers: HeaderMap,
    Json(wish): Json<Value>,
) -> Answer<(StatusCode, Json<Value>)> {
    check_key(&simulation.config, &headers)?;
    check_assistant(&simulation.config, &wish)?;
    let format = format_of(&wish["transport"])?;
    let number = simulation.vapi.next_number();
    let draw = simulation
        .chance
        .about(&["vapi refuses", &number.to_string()]);
    if draw.happens(simulation.faults().vapi_refuses) {
        let message = "Over Concurrency Limit.";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
    }
    let call = Call {
        id: simulation.clock.new_uuid().to_string(),
        number,
        name: wish["name"].as_str().map(str::to_owned),
        format,
        overrides: wish["assistantOverrides"].clone(),
        created_at: simulation.now(),
        started_at: None,
        ended: None,
        lines: Vec::new(),
    };
    let mut shown = report::call(&simulation, &call);
    let address = simulation.address;
    let url = format!("ws://{address}/vapi/{}/transport", call.id);
    shown["transport"]["websocketCallUrl"] = json!(url);
    shown["subscriptionLimits"] = json!({
        "concurrencyBlocked": false, "concurrencyLimit": 1_000, "remainingConcurrentCalls": 999,
    });
    simulation.vapi.save(call);
    Ok((StatusCode::CREATED, Json(shown)))
}

fn check_assistant(config: &SimulatorConfig, wish: &Value) -> Answer<()> {
    let ways = [
        "assistantId",
        "assistant",
        "squadId",
        "squad",
        "workflowId",
        "workflow",
    ];
    let n_ways = ways.iter().filter(|way| !wish[**way].is_null()).count();
    if n_ways != 1 {
        let message = json!([
            "exactly one of assistantId, assistant, squadId, squad, workflowId, workflow is needed"
        ]);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    }
    if wish["assistantId"] != config.vapi_assistant_id.as_str() {
        let message = format!("Couldn't Find Assistant. {}", wish["assistantId"]);
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    Ok(())
}

fn format_of(transport: &Value) -> Answer<AudioFormat> {
    if transport["provider"] != "vapi.websocket" {
        let message = "Couldn't Get Phone Number. Need Either `phoneNumberId` Or `phoneNumber`.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    }
    let format = &transport["audioFormat"];
    match (format["format"].as_str(), format["sampleRate"].as_u64()) {
        (Some("mulaw"), None | Some(8_000)) => Ok(AudioFormat::Ulaw8000),
        (None | Some("pcm_s16le"), None | Some(16_000)) => Ok(AudioFormat::Pcm16000),
        _ => {
            let message = json!([format!("transport.audioFormat {format} is not simulated")]);
            Err(Refusal::new(StatusCode::BAD_REQUEST, message))
        }
    }
}

/// `GET /call/{id}`.
pub async fn show(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    check_key(&simulation.config, &headers)?;
    let call = simulation.vapi.find(&id);
    let call = call.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Call Not Found."))?;
    Ok(Json(report::call(&simulation, &call)))
}

/// `GET /call/{id}/mono-recording`: as long as the call was, and silent.
pub async fn mono_recording(
    simulation: State<Arc<Simulation>>,
    id: Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    recording(&simulation, &id, &headers, 1)
}

/// `GET /call/{id}/stereo-recording`: the same with two channels.
pub async fn stereo_recording(
    simulation: State<Arc<Simulation>>,
    id: Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    recording(&simulation, &id, &headers, 2)
}

/// Samples a second of recordings.
const RECORDING_RATE: u32 = 16_000;

fn recording(
    simulation: &Simulation,
    id: &str,
    headers: &HeaderMap,
    n_channels: u16,
) -> Answer<Response> {
    check_key(&simulation.config, headers)?;
    let call = simulation.vapi.find(id);
    let call = call.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Call Not Found."))?;
    let (Some(began), Some((ended, _))) = (call.started_at, &call.ended) else {
        let message = "Couldn't Get Recording. Call Has Not Ended.";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, message));
    };
    let seconds = ended.duration_since(began).as_secs_f64().max(0.0);
    let n_samples = (seconds * f64::from(RECORDING_RATE)) as usize;
    let mut file = file::wav_head(n_channels, RECORDING_RATE, n_samples);
    file.resize(file.len() + n_samples * usize::from(n_channels) * 2, 0);
    Ok(([(header::CONTENT_TYPE, "audio/wav")], file).into_response())
}

/// `PATCH /call/{id}`: the name is all that can be changed.
pub async fn rename(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(change): Json<Value>,
) -> Answer<Json<Value>> {
    check_key(&simulation.config, &headers)?;
    let others = change.as_object().into_iter().flat_map(|it| it.keys());
    let others: Vec<String> = others
        .filter(|name| *name != "name")
        .map(|name| format!("property {name} should not exist"))
        .collect();
    if !others.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, others));
    }
    let name = change["name"].as_str().map(str::to_owned);
    let call = simulation.vapi.rename(&id, name);
    let call = call.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "Call Not Found."))?;
    Ok(Json(report::call(&simulation, &call)))
}

/// Which calls a list is to have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    id: Option<String>,
    assistant_id: Option<String>,
    limit: Option<usize>,
    created_at_gt: Option<Timestamp>,
    created_at_ge: Option<Timestamp>,
    created_at_lt: Option<Timestamp>,
    created_at_le: Option<Timestamp>,
}

/// As many as the service shows at a time unless asked for more, and at most.
const USUAL_LIMIT: usize = 100;
const MOST: usize = 1_000;

impl Filter {
    fn takes(&self, simulation: &Simulation, call: &Call) -> bool {
        let at = call.created_at;
        let assistant_id = &simulation.config.vapi_assistant_id;
        self.id.as_ref().is_none_or(|id| *id == call.id)
            && self
                .assistant_id
                .as_ref()
                .is_none_or(|id| id == assistant_id)
            && self.created_at_gt.is_none_or(|limit| at > limit)
            && self.created_at_ge.is_none_or(|limit| at >= limit)
            && self.created_at_lt.is_none_or(|limit| at < limit)
            && self.created_at_le.is_none_or(|limit| at <= limit)
    }
}

/// `GET /call`: newest first.
pub async fn list(
    State(simulation): State<Arc<Simulation>>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Answer<Json<Vec<Value>>> {
    check_key(&simulation.config, &headers)?;
    let calls = simulation.vapi.all();
    let calls = calls.iter().filter(|call| filter.takes(&simulation, call));
    let limit = filter.limit.unwrap_or(USUAL_LIMIT).min(MOST);
    let shown = calls
        .take(limit)
        .map(|call| report::call(&simulation, call));
    Ok(Json(shown.collect()))
}

/// `GET /assistant/{id}`.
pub async fn show_assistant(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    check_key(&simulation.config, &headers)?;
    check_assistant(&simulation.config, &json!({ "assistantId": id }))?;
    let agent = &simulation.config.agent;
    Ok(Json(json!({
        "id": id,
        "orgId": report::ORGANISATION,
        "createdAt": simulation.began_at,
        "updatedAt": simulation.began_at,
        "name": agent.name,
        "firstMessage": agent.first_message,
        "model": {
            "provider": "openai",
            "model": "gpt-4o",
            "messages": [{"role": "system", "content": agent.prompt}],
        },
        "voice": {"provider": "vapi", "voiceId": "Elliot"},
        "transcriber": {"provider": "deepgram", "model": "nova-2", "language": "en"},
    })))
}

fn check_key(config: &SimulatorConfig, headers: &HeaderMap) -> Answer<()> {
    let expected = format!("Bearer {}", config.vapi_api_key);
    let given = headers
        .get(header::AUTHORIZATION)
        .map_or(&[][..], |key| key.as_bytes());
    if expected.as_bytes().ct_eq(given).into() {
        return Ok(());
    }
    let message = "Invalid Key. Hot tip, you may be using the private key instead of the public key, \
                   or vice versa.";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, message))
}
