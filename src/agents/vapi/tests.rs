//! Calls with a small server that a test plays by hand.

use axum::{
    Json, Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use super::*;
use crate::agents::{AgentEnd, AgentEvent, ToAgent};

const SOON: Duration = Duration::from_secs(5);

/// What the server does when it is asked for a call.
#[derive(Clone)]
struct Server {
    answer: (u16, Value),
    wishes: mpsc::Sender<Value>,
    sockets: mpsc::Sender<WebSocket>,
}

struct Scene {
    agent: Vapi,
    wishes: mpsc::Receiver<Value>,
    sockets: mpsc::Receiver<WebSocket>,
}

async fn create(
    State(server): State<Server>,
    headers: HeaderMap,
    Json(wish): Json<Value>,
) -> Response {
    assert_eq!(headers["authorization"], "Bearer hush");
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("dialtone/")
    );
    server.wishes.send(wish).await.unwrap();
    let (status, answer) = server.answer;
    (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
}

async fn assistant() -> Json<Value> {
    Json(json!({"model": {"provider": "openai", "model": "m", "messages": []}}))
}

async fn transport(State(server): State<Server>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move { server.sockets.send(socket).await.unwrap() })
}

async fn scene(refusal: Option<(u16, Value)>) -> Scene {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let created = json!({
        "id": "call-1", "status": "queued",
        "transport": {"websocketCallUrl": format!("ws://{address}/call-1/transport")},
        "subscriptionLimits": {"concurrencyBlocked": false},
    });
    let (wishes_in, wishes) = mpsc::channel(4);
    let (sockets_in, sockets) = mpsc::channel(4);
    let server = Router::new()
        .route("/call", post(create))
        .route("/assistant/asst_1", get(assistant))
        .route("/call-1/transport", any(transport))
        .with_state(Server {
            answer: refusal.unwrap_or((201, created)),
            wishes: wishes_in,
            sockets: sockets_in,
        });
    tokio::spawn(async move { axum::serve(listener, server).await });
    let agent = Vapi::new(VapiConfig {
        api_key: "hush".to_owned().into(),
        assistant_id: "asst_1".to_owned(),
        base_url: format!("http://{address}"),
        audio: VapiAudio::Mulaw,
    })
    .unwrap();
    Scene {
        agent,
        wishes,
        sockets,
    }
}

async fn next(session: &mut AgentSession) -> Option<AgentEvent> {
    timeout(SOON, session.events.recv()).await.unwrap()
}

async fn received(socket: &mut WebSocket) -> Option<Message> {
    timeout(SOON, socket.recv()).await.unwrap()?.ok()
}

// proves F-30, F-39, F-43
#[tokio::test]
async fn a_call_is_created_audio_goes_both_ways_and_it_is_ended() {
    let mut scene = scene(None).await;
    let brief = Brief {
        prompt: Some("Be kind.".to_owned()),
        ..Brief::default()
    };
    let mut session = scene.agent.open(&brief, None).await.unwrap();
    let wish = scene.wishes.recv().await.unwrap();
    assert_eq!(wish["assistantId"], "asst_1");
    let model = &wish["assistantOverrides"]["model"];
    assert_eq!(model["messages"][0]["content"], "Be kind.");
    assert_eq!(model["provider"], "openai");
    let mut server = scene.sockets.recv().await.unwrap();
    let up = json!({"type": "status-update", "status": "in-progress"}).to_string();
    server.send(Message::Text(up.into())).await.unwrap();
    let Some(AgentEvent::Ready {
        conversation,
        vendor,
    }) = next(&mut session).await
    else {
        panic!("not ready");
    };
    assert_eq!((conversation.as_str(), vendor.as_str()), ("call-1", VENDOR));
    server
        .send(Message::Binary(vec![0x90; 3].into()))
        .await
        .unwrap();
    let spoken = AgentEvent::Audio {
        turn: 1,
        payload: "kJCQ".to_owned(),
    };
    assert_eq!(next(&mut session).await, Some(spoken));
    let said = ToAgent::Audio("AQID".to_owned());
    session.commands.send(said).await.unwrap();
    let heard = received(&mut server).await;
    assert_eq!(heard, Some(Message::Binary(vec![1, 2, 3].into())));
    session.commands.send(ToAgent::Close).await.unwrap();
    let farewell = received(&mut server).await;
    assert_eq!(farewell, Some(Message::Text(outgoing::END_CALL.into())));
    let closed = received(&mut server).await;
    assert!(matches!(closed, Some(Message::Close(Some(frame))) if frame.code == 1000));
    let end = next(&mut session).await;
    assert_eq!(end, Some(AgentEvent::Ended(AgentEnd::Closed)));
}

// proves F-35
#[tokio::test]
async fn a_refused_call_is_sorted_by_what_to_do_and_asked_for_once() {
    let refused = async |status, body| {
        let mut scene = scene(Some((status, body))).await;
        let error = scene.agent.open(&Brief::default(), None).await.unwrap_err();
        assert!(scene.wishes.recv().await.is_some());
        assert!(scene.wishes.try_recv().is_err());
        error
    };
    let wrong = refused(401, json!({"message": "Invalid Key."})).await;
    assert!(matches!(wrong, AgentError::Refused(text) if text.contains("VAPI_API_KEY")));
    assert!(matches!(refused(429, json!({})).await, AgentError::Busy(_)));
    assert!(matches!(
        refused(503, json!({})).await,
        AgentError::Unavailable(_)
    ));
    let blocked = json!({"id": "c", "subscriptionLimits": {"concurrencyBlocked": true, "concurrencyLimit": 10}});
    assert!(matches!(refused(201, blocked).await, AgentError::Busy(text) if text.contains("10")));
    let empty = refused(201, json!({"id": "c"})).await;
    assert!(matches!(empty, AgentError::Unavailable(_)), "{empty}");
}
