//! Conversations with a small server that a test plays by hand.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{
        Query, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::*;
use crate::agents::{AgentEnd, AgentEvent, ToAgent, Tool, ToolCall};

const SOON: Duration = Duration::from_secs(5);

/// What the server does when it is asked for an address.
#[derive(Clone)]
struct Server {
    refusal: Option<(u16, &'static str)>,
    sockets: mpsc::Sender<WebSocket>,
    address: String,
}

async fn signed_url(
    State(server): State<Server>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if let Some((status, body)) = server.refusal {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    assert_eq!(headers["xi-api-key"], "hush");
    let signed_url = format!(
        "ws://{}/v1/convai/conversation?agent_id={}&conversation_signature=cvtkn_1",
        server.address, query["agent_id"]
    );
    Json(json!({ "signed_url": signed_url })).into_response()
}

async fn conversation(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        server.sockets.send(socket).await.unwrap();
    })
}

async fn serve(refusal: Option<(u16, &'static str)>) -> (ElevenLabs, mpsc::Receiver<WebSocket>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sockets, accepted) = mpsc::channel(4);
    let server = Router::new()
        .route("/v1/convai/conversation/get-signed-url", get(signed_url))
        .route("/v1/convai/conversation", get(conversation))
        .with_state(Server {
            refusal,
            sockets,
            address: address.clone(),
        });
    tokio::spawn(async move { axum::serve(listener, server).await });
    let agent = ElevenLabs::new(ElevenLabsConfig {
        api_key: "hush".to_owned().into(),
        agent_id: "agent_1".to_owned(),
        base_url: format!("http://{address}"),
    })
    .unwrap();
    (agent, accepted)
}

/// An open session, and the server's end of it with the initiation message already read.
struct Talk {
    agent: ElevenLabs,
    session: AgentSession,
    server: WebSocket,
    initiation: Value,
}

async fn talk() -> Talk {
    let (agent, mut accepted) = serve(None).await;
    let brief = Brief {
        prompt: Some("Be kind.".to_owned()),
        ..Brief::default()
    };
    let session = agent.open(&brief, None).await.unwrap();
    let mut server = accepted.recv().await.unwrap();
    let initiation = receive(&mut server).await;
    Talk {
        agent,
        session,
        server,
        initiation,
    }
}

async fn talk_ready() -> Talk {
    let mut talk = talk().await;
    send(&mut talk.server, metadata("ulaw_8000")).await;
    let conversation = "conv_1".parse().unwrap();
    assert_eq!(
        next(&mut talk.session).await,
        Some(AgentEvent::Ready {
            conversation,
            vendor: VENDOR.parse().unwrap(),
        })
    );
    talk
}

fn metadata(output: &str) -> Value {
    json!({
        "type": "conversation_initiation_metadata",
        "conversation_initiation_metadata_event": {
            "conversation_id": "conv_1",
            "agent_output_audio_format": output,
            "user_input_audio_format": "ulaw_8000",
        },
    })
}

fn audio(event_id: u64) -> Value {
    json!({"type": "audio", "audio_event": {"audio_base_64": "//8=", "event_id": event_id}})
}

async fn send(server: &mut WebSocket, message: Value) {
    server
        .send(Message::Text(message.to_string().into()))
        .await
        .unwrap();
}

async fn receive(server: &mut WebSocket) -> Value {
    match timeout(SOON, server.recv()).await.unwrap() {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        other => panic!("not a text: {other:?}"),
    }
}

async fn next(session: &mut AgentSession) -> Option<AgentEvent> {
    timeout(SOON, session.events.recv()).await.unwrap()
}

async fn close_with(code: u16, reason: &str) -> Option<AgentEvent> {
    let mut talk = talk().await;
    let frame = CloseFrame {
        code,
        reason: reason.to_owned().into(),
    };
    talk.server.send(Message::Close(Some(frame))).await.unwrap();
    next(&mut talk.session).await
}

#[tokio::test]
async fn the_brief_goes_first_and_audio_goes_both_ways() {
    let mut talk = talk_ready().await;
    let overrides = &talk.initiation["conversation_config_override"];
    assert_eq!(overrides["agent"]["prompt"]["prompt"], "Be kind.");
    let commands = talk.session.commands.clone();
    commands
        .send(ToAgent::Audio("f39/".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        receive(&mut talk.server).await,
        json!({"user_audio_chunk": "f39/"})
    );
    send(&mut talk.server, audio(1)).await;
    assert_eq!(
        next(&mut talk.session).await,
        Some(AgentEvent::Audio {
            turn: 1,
            payload: "//8=".to_owned()
        })
    );
}

// proves F-31
#[tokio::test]
async fn audio_of_an_interrupted_turn_is_dropped() {
    let mut talk = talk_ready().await;
    send(&mut talk.server, audio(4)).await;
    let interruption = json!({"type": "interruption", "interruption_event": {"event_id": 4}});
    send(&mut talk.server, interruption).await;
    send(&mut talk.server, audio(4)).await;
    send(&mut talk.server, audio(5)).await;
    assert!(matches!(
        next(&mut talk.session).await,
        Some(AgentEvent::Audio { turn: 4, .. })
    ));
    assert_eq!(
        next(&mut talk.session).await,
        Some(AgentEvent::Interrupted { turn: 4 })
    );
    assert!(matches!(
        next(&mut talk.session).await,
        Some(AgentEvent::Audio { turn: 5, .. })
    ));
}

#[tokio::test]
async fn pings_are_answered() {
    let mut talk = talk_ready().await;
    let ping = json!({"type": "ping", "ping_event": {"event_id": 0}});
    send(&mut talk.server, ping).await;
    assert_eq!(
        receive(&mut talk.server).await,
        json!({"type": "pong", "event_id": 0})
    );
}

// proves F-71
#[tokio::test]
async fn the_use_of_a_tool_is_told_and_the_agent_gets_its_answer() {
    let mut talk = talk_ready().await;
    let call = json!({
        "type": "client_tool_call",
        "client_tool_call": {"tool_name": "do_not_call", "tool_call_id": "tc_1",
            "parameters": {"reason": "not interested"}, "event_id": 5},
    });
    send(&mut talk.server, call).await;
    let used = ToolCall {
        id: "tc_1".to_owned(),
        tool: Tool::DoNotCall {
            reason: Some("not interested".to_owned()),
        },
    };
    let told = AgentEvent::ToolsUsed(vec![Ok(used.clone())]);
    assert_eq!(next(&mut talk.session).await, Some(told));
    let answer = ToAgent::Answer(used.done("noted"));
    talk.session.commands.send(answer).await.unwrap();
    let answer = receive(&mut talk.server).await;
    assert_eq!(answer["type"], "client_tool_result");
    assert_eq!(answer["tool_call_id"], "tc_1");
    assert_eq!(answer["is_error"], false);
}

// proves F-29
#[tokio::test]
async fn an_agent_with_another_format_is_refused_with_the_remedy() {
    let mut talk = talk().await;
    send(&mut talk.server, metadata("pcm_44100")).await;
    let Some(AgentEvent::Ended(AgentEnd::Failed { detail })) = next(&mut talk.session).await else {
        panic!("not failed");
    };
    assert!(detail.contains("mu-law"), "{detail}");
}

// proves F-29
#[tokio::test]
async fn an_agent_that_speaks_and_hears_linear_samples_is_converted_for() {
    let mut talk = talk().await;
    let mut metadata = metadata("pcm_16000");
    let event = &mut metadata["conversation_initiation_metadata_event"];
    event["user_input_audio_format"] = json!("pcm_24000");
    send(&mut talk.server, metadata).await;
    assert!(matches!(
        next(&mut talk.session).await,
        Some(AgentEvent::Ready { .. })
    ));
    // A tenth of a second each way.
    let spoken = STANDARD.encode([0_u8; 3_200]);
    let audio = json!({"type": "audio", "audio_event": {"audio_base_64": spoken, "event_id": 1}});
    send(&mut talk.server, audio).await;
    let Some(AgentEvent::Audio { payload, .. }) = next(&mut talk.session).await else {
        panic!("no audio");
    };
    assert_eq!(STANDARD.decode(payload).unwrap(), [0xFF; 800]);
    let said = ToAgent::Audio(STANDARD.encode([0xFF_u8; 800]));
    talk.session.commands.send(said).await.unwrap();
    let heard = receive(&mut talk.server).await;
    let heard = STANDARD.decode(heard["user_audio_chunk"].as_str().unwrap());
    assert_eq!(heard.unwrap(), [0; 4_800]);
}

// proves F-43
#[tokio::test]
async fn a_refused_override_is_told_in_the_operators_words() {
    let ended = close_with(
        1008,
        "Override for field 'prompt' is not allowed by config.",
    )
    .await;
    let Some(AgentEvent::Ended(AgentEnd::Failed { detail })) = ended else {
        panic!("not failed: {ended:?}");
    };
    assert!(
        detail.ends_with("allow overriding 'prompt' in the agent's security settings"),
        "{detail}"
    );
}

#[tokio::test]
async fn the_agents_own_end_is_finished() {
    let mut talk = talk_ready().await;
    let frame = CloseFrame {
        code: 1000,
        reason: "".into(),
    };
    talk.server.send(Message::Close(Some(frame))).await.unwrap();
    assert_eq!(
        next(&mut talk.session).await,
        Some(AgentEvent::Ended(AgentEnd::Finished))
    );
    assert_eq!(next(&mut talk.session).await, None);
}

// proves F-36
#[tokio::test]
async fn a_connection_that_breaks_is_a_failure() {
    let mut talk = talk_ready().await;
    drop(talk.server);
    assert!(matches!(
        next(&mut talk.session).await,
        Some(AgentEvent::Ended(AgentEnd::Failed { .. }))
    ));
}

async fn assert_closed_normally(server: &mut WebSocket) {
    loop {
        match timeout(SOON, server.recv()).await.unwrap() {
            Some(Ok(Message::Close(Some(frame)))) => return assert_eq!(frame.code, 1000),
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

// proves F-39
#[tokio::test]
async fn we_close_by_command_by_dropping_and_at_shutdown() {
    let mut by_command = talk_ready().await;
    by_command
        .session
        .commands
        .send(ToAgent::Close)
        .await
        .unwrap();
    assert_closed_normally(&mut by_command.server).await;
    assert_eq!(
        next(&mut by_command.session).await,
        Some(AgentEvent::Ended(AgentEnd::Closed))
    );

    let mut dropped = talk_ready().await;
    drop(dropped.session);
    assert_closed_normally(&mut dropped.server).await;

    let mut at_shutdown = talk_ready().await;
    let closing = async { timeout(SOON, at_shutdown.agent.close()).await.unwrap() };
    tokio::join!(closing, assert_closed_normally(&mut at_shutdown.server));
}

#[tokio::test]
async fn a_refused_address_is_sorted_by_what_to_do() {
    let open = async |status, body| {
        let (agent, _accepted) = serve(Some((status, body))).await;
        agent.open(&Brief::default(), None).await.unwrap_err()
    };
    let unknown = open(404, r#"{"detail":"Not Found"}"#).await;
    assert!(matches!(unknown, AgentError::Refused(text) if text.contains("agent id")));
    assert!(matches!(open(429, "").await, AgentError::Busy(_)));
    assert!(matches!(open(503, "").await, AgentError::Unavailable(_)));
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_unavailable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let agent = ElevenLabs::new(ElevenLabsConfig {
        api_key: "hush".to_owned().into(),
        agent_id: "agent_1".to_owned(),
        base_url: format!("http://{address}"),
    })
    .unwrap();
    let error = agent.open(&Brief::default(), None).await.unwrap_err();
    assert!(matches!(&error, AgentError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("agent_1"), "{error}");
}
