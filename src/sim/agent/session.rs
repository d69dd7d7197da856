//! The conversation socket: from the upgrade to the close.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    initiation::{BadInitiation, Initiation},
    message,
    record::{End, Record},
    talk::Talk,
    webhook,
};
use crate::sim::{ledger::ConversationFacts, simulation::Simulation};

const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// `GET conversation`: any query parameters; `convai` is selected only if it was offered.
pub async fn open(
    State(simulation): State<Arc<Simulation>>,
    Query(parameters): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .protocols(["convai"])
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE_BYTES)
        .on_upgrade(move |socket| {
            let tasks = simulation.tasks.clone();
            tasks.track_future(admit(simulation, parameters, socket))
        })
}

/// Why the agent ends a conversation, in the service's words.
pub(super) struct Ending {
    pub code: Option<u16>,
    pub reason: String,
    /// Sent as an `error` message before the close.
    pub error_type: Option<&'static str>,
}

impl Ending {
    pub fn normal(reason: &str) -> Self {
        Self {
            code: Some(1000),
            reason: reason.to_owned(),
            error_type: None,
        }
    }

    pub fn failure(code: u16, error_type: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            reason: reason.into(),
            error_type: Some(error_type),
        }
    }

    /// Refused without an `error` message.
    fn refusal(code: u16, reason: &str) -> Self {
        Self {
            code: Some(code),
            reason: reason.to_owned(),
            error_type: None,
        }
    }

    /// The client closed with `code`, or just went away.
    pub fn by_client(code: Option<u16>) -> Self {
        let shown = code.unwrap_or(1006);
        Self {
            code,
            reason: format!("Client disconnected: {shown}"),
            error_type: None,
        }
    }

    fn is_failure(&self) -> bool {
        self.error_type.is_some() && self.code != Some(1000)
    }
}

impl From<BadInitiation> for Ending {
    fn from(bad: BadInitiation) -> Self {
        Self::failure(1008, bad.error_type, bad.reason)
    }
}

async fn admit(
    simulation: Arc<Simulation>,
    parameters: BTreeMap<String, String>,
    mut socket: WebSocket,
) {
    match admission(&simulation, &parameters) {
        Ok(admission) => converse(simulation, socket, admission).await,
        Err(refusal) => close(&mut socket, &refusal).await,
    }
}

/// A client that may hold a conversation.
struct Admission {
    conversation_id: String,
    authorization_method: &'static str,
    n_session: u64,
}

fn admission(
    simulation: &Simulation,
    parameters: &BTreeMap<String, String>,
) -> Result<Admission, Ending> {
    if parameters.get("agent_id") != Some(&simulation.config.agent_id) {
        let reason = "The AI agent you are trying to reach does not exist.";
        return Err(Ending::refusal(3000, reason));
    }
    let not_authorized = || Ending::refusal(3000, "Could not authorize the conversation.");
    let signature = parameters.get("conversation_signature");
    let redeemed = match signature {
        Some(signature) => Some(
            simulation
                .agents
                .redeem(signature, Instant::now())
                .ok_or_else(not_authorized)?,
        ),
        None if simulation.config.agent.requires_auth => return Err(not_authorized()),
        None => None,
    };
    let n_session = simulation.agents.next_session();
    let draw = simulation
        .chance
        .about(&["agent refuses", &n_session.to_string()]);
    if draw.happens(simulation.faults().agent_refuses) {
        return Err(Ending::refusal(3008, "too many concurrent connections"));
    }
    Ok(Admission {
        authorization_method: if redeemed.is_some() {
            "signed_url"
        } else {
            "public"
        },
        conversation_id: redeemed
            .and_then(|redeemed| redeemed.single_use_for)
            .unwrap_or_else(|| simulation.new_sid("conv_")),
        n_session,
    })
}

async fn converse(simulation: Arc<Simulation>, mut socket: WebSocket, admission: Admission) {
    let mut record = Record {
        conversation_id: admission.conversation_id.clone(),
        authorization_method: admission.authorization_method,
        user_id: None,
        started_at: simulation.now(),
        transcript: Vec::new(),
        client_data: json!({}),
        end: None,
    };
    let mut facts = blank_facts(&record);
    simulation.ledger.conversation_opened(facts.clone());
    let ending = match initiation(&simulation, &mut socket).await {
        Ok(initiation) => {
            facts.prompt.clone_from(&initiation.prompt);
            facts.first_message.clone_from(&initiation.first_message);
            facts
                .dynamic_variables
                .clone_from(&initiation.dynamic_variables);
            record.client_data.clone_from(&initiation.client_data);
            record.user_id.clone_from(&initiation.user_id);
            simulation.ledger.conversation_changed(facts.clone());
            simulation.agents.save(record.clone());
            let mut talk = Talk::new(
                simulation.clone(),
                &mut socket,
                initiation,
                admission.n_session,
                &mut record,
                &mut facts,
            );
            talk.hold().await
        }
        Err(ending) => ending,
    };
    close(&mut socket, &ending).await;
    finish(simulation, record, facts, &ending);
}

fn blank_facts(record: &Record) -> ConversationFacts {
    ConversationFacts {
        vendor: "elevenlabs",
        conversation_id: record.conversation_id.clone(),
        opened_at: record.started_at,
        closed_at: None,
        close_code: None,
        prompt: String::new(),
        first_message: String::new(),
        dynamic_variables: serde_json::Map::new(),
        user_lines: 0,
        agent_lines: 0,
        interruptions: 0,
        hints: Vec::new(),
        tools: Vec::new(),
        pongs: 0,
        slowest_pong_ms: 0,
        reports_taken: 0,
        reports_refused: 0,
    }
}

/// The first message, or defaults when none comes in time.
async fn initiation(simulation: &Simulation, socket: &mut WebSocket) -> Result<Initiation, Ending> {
    let agent = &simulation.config.agent;
    let message = tokio::select! {
        message = timeout(agent.initiation_wait, first_message(socket)) => {
            message.unwrap_or(Ok(json!({})))?
        }
        () = simulation.stop.cancelled() => return Err(stopped()),
    };
    Ok(Initiation::accept(message, agent)?)
}

async fn first_message(socket: &mut WebSocket) -> Result<Value, Ending> {
    loop {
        let text = match socket.recv().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(frame))) => {
                return Err(Ending::by_client(frame.map(|frame| frame.code)));
            }
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Err(_)) | None => return Err(Ending::by_client(None)),
        };
        let message: Value = serde_json::from_str(&text)
            .map_err(|error| Ending::failure(1008, "invalid_message", error.to_string()))?;
        // Audio may overtake the initiation; what is said before the start is not heard.
        if message["type"] == "conversation_initiation_client_data" {
            return Ok(message);
        }
    }
}

/// The ending when the whole simulator stops.
pub(super) fn stopped() -> Ending {
    Ending::refusal(1001, "the simulator stops")
}

async fn close(socket: &mut WebSocket, ending: &Ending) {
    let Some(code) = ending.code else {
        return;
    };
    let closing = async {
        if let Some(error_type) = ending.error_type {
            let error = message::error(code, error_type, &ending.reason);
            socket.send(Message::Text(error.to_string().into())).await?;
        }
        let reason = ending.reason.as_str().into();
        socket
            .send(Message::Close(Some(CloseFrame { code, reason })))
            .await?;
        // The client's answer completes the handshake; until then it may still be sending audio.
        while let Some(received) = socket.recv().await {
            if let Message::Close(_) = received? {
                break;
            }
        }
        Ok::<(), axum::Error>(())
    };
    match timeout(CLOSE_LIMIT, closing).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "agent socket did not close in order"),
        Err(_) => tracing::debug!("client did not answer the close of its agent socket"),
    }
}

fn finish(
    simulation: Arc<Simulation>,
    mut record: Record,
    mut facts: ConversationFacts,
    ending: &Ending,
) {
    let now = simulation.now();
    facts.closed_at = Some(now);
    facts.close_code = ending.code;
    simulation.ledger.conversation_changed(facts);
    record.end = Some(End {
        at: now,
        code: ending.code,
        reason: ending.reason.clone(),
        is_failure: ending.is_failure(),
    });
    simulation.agents.save(record.clone());
    simulation.spawn(webhook::post_when_done(simulation.clone(), record));
}
