//! The agent's REST routes: signed URLs, the agent's settings, conversation records.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::record::Record;
use crate::sim::{config::SimulatorConfig, file, simulation::Simulation};

/// A refusal with one of the shapes that `detail` takes.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn not_found(code: &'static str, message: String) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code,
            message,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"detail": {"status": self.code, "message": self.message}});
        (self.status, Json(body)).into_response()
    }
}

type Answer = Result<Json<Value>, Refusal>;
type Parameters = Query<BTreeMap<String, String>>;

/// `GET conversation/get-signed-url?agent_id=...`: a socket address valid for 15 minutes.
pub async fn sign_url(
    State(simulation): State<Arc<Simulation>>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    check_key(&simulation.config, &headers)?;
    let agent_id = parameters.get("agent_id").map_or("", String::as_str);
    check_agent(&simulation.config, agent_id)?;
    let signature = simulation.new_sid("cvtkn_");
    let wants_id = parameters
        .get("include_conversation_id")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let conversation_id = wants_id.then(|| simulation.new_sid("conv_"));
    let mut url = format!(
        "ws://{}/v1/convai/conversation?agent_id={agent_id}&conversation_signature={signature}",
        simulation
            .config
            .agent
            .address
            .unwrap_or(simulation.address)
    );
    if let Some(id) = &conversation_id {
        url.push_str("&conversation_id=");
        url.push_str(id);
    }
    simulation
        .agents
        .issue(signature, conversation_id, Instant::now());
    Ok(Json(json!({"signed_url": url})))
}

/// `GET agents/{id}`: the settings a dialer needs, above all the audio formats.
pub async fn show_agent(
    State(simulation): State<Arc<Simulation>>,
    Path(agent_id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    check_key(&simulation.config, &headers)?;
    check_agent(&simulation.config, &agent_id)?;
    let agent = &simulation.config.agent;
    Ok(Json(json!({
        "agent_id": agent_id,
        "name": agent.name,
        "conversation_config": {
            "agent": {
                "first_message": agent.first_message,
                "language": "en",
                "prompt": {"prompt": agent.prompt},
            },
            "asr": {"user_input_audio_format": agent.input_format.name()},
            "tts": {"agent_output_audio_format": agent.output_format.name()},
            "conversation": {
                "max_duration_seconds": agent.max_duration.as_secs(),
                "client_events": agent.client_events,
            },
        },
        "platform_settings": {
            "auth": {"enable_auth": agent.requires_auth},
            "overrides": {"conversation_config_override": override_switches(simulation.as_ref())},
        },
        "phone_numbers": [],
        "metadata": {},
    })))
}

/// The permissions as the nested booleans that the real service shows.
fn override_switches(simulation: &Simulation) -> Value {
    let mut switches = json!({});
    for path in &simulation.config.agent.allowed_overrides {
        let mut place = &mut switches;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = Value::Bool(true);
    }
    switches
}

/// `GET conversations/{id}`.
pub async fn show_conversation(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    check_key(&simulation.config, &headers)?;
    let record = find(&simulation, &id)?;
    Ok(Json(record.to_json(&simulation)))
}

/// `GET conversations/{id}/audio`: as long as the conversation was, and silent.
pub async fn conversation_audio(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    check_key(&simulation.config, &headers)?;
    let record = find(&simulation, &id)?;
    if !record.has_audio(&simulation) {
        let message = format!("Conversation {id} has no audio.");
        return Err(Refusal::not_found("audio_not_found", message));
    }
    let seconds = record.duration_secs(simulation.now()) as f64;
    let file = file::silent_mp3(seconds);
    Ok(([(CONTENT_TYPE, "audio/mpeg")], file).into_response())
}

fn find(simulation: &Simulation, id: &str) -> Result<Record, Refusal> {
    simulation.agents.find(id).ok_or_else(|| {
        let message = format!("Conversation with id {id} not found.");
        Refusal::not_found("conversation_not_found", message)
    })
}

const DEFAULT_PAGE_SIZE: usize = 30;
const MAX_PAGE_SIZE: usize = 100;

/// `GET conversations`: newest first; `agent_id`, `user_id`, `cursor` and `page_size` are heeded.
pub async fn list_conversations(
    State(simulation): State<Arc<Simulation>>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Answer {
    check_key(&simulation.config, &headers)?;
    let page_size = parameters
        .get("page_size")
        .and_then(|size| size.parse().ok())
        .unwrap_or(DEFAULT_PAGE_SIZE)
        .clamp(1, MAX_PAGE_SIZE);
    let is_wanted = |record: &Record| {
        let fits = |name: &str, value: Option<&str>| {
            parameters
                .get(name)
                .is_none_or(|wanted| Some(wanted.as_str()) == value)
        };
        fits("agent_id", Some(&simulation.config.agent_id))
            && fits("user_id", record.user_id.as_deref())
    };
    let records = simulation.agents.records();
    let mut waiting = records
        .iter()
        .filter(|record| is_wanted(record))
        .skip_while(|record| {
            let cursor = parameters.get("cursor");
            cursor.is_some_and(|cursor| *cursor != record.conversation_id)
        })
        .peekable();
    let page: Vec<_> = waiting
        .by_ref()
        .take(page_size)
        .map(|record| record.to_list_item(&simulation))
        .collect();
    let next = waiting.peek().map(|record| &record.conversation_id);
    Ok(Json(json!({
        "conversations": page,
        "next_cursor": next,
        "has_more": next.is_some(),
    })))
}

fn check_key(config: &SimulatorConfig, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get("xi-api-key")
        .map_or(&[][..], |key| key.as_bytes());
    if config.agent_api_key.as_bytes().ct_eq(given).into() {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::UNAUTHORIZED,
        code: "invalid_api_key",
        message: "Invalid API key".to_owned(),
    })
}

fn check_agent(config: &SimulatorConfig, agent_id: &str) -> Result<(), Refusal> {
    if agent_id == config.agent_id {
        return Ok(());
    }
    let message = format!("Agent with id {agent_id} not found.");
    Err(Refusal::not_found("agent_not_found", message))
}
