//! Calls over Vapi's WebSocket transport.

use std::time::Duration;

use axum::{Json, Router, http::HeaderMap, routing::post};
use dialtone::sim::{Simulator, SimulatorConfig};
use futures_util::{SinkExt, StreamExt};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const DEADLINE: Duration = Duration::from_secs(20);

async fn answered(request: RequestBuilder, key: &str) -> (StatusCode, Value) {
    let response = request.bearer_auth(key).send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn wish(simulator: &Simulator) -> Value {
    json!({
        "assistantId": simulator.config().vapi_assistant_id,
        "transport": {
            "provider": "vapi.websocket",
            "audioFormat": {"format": "mulaw", "container": "raw", "sampleRate": 8000},
        },
    })
}

async fn created(simulator: &Simulator, wish: &Value) -> Value {
    let request = client().post(format!("{}/call", simulator.base_url()));
    let (status, call) = answered(request.json(wish), &simulator.config().vapi_api_key).await;
    assert_eq!(status, StatusCode::CREATED, "{call}");
    call
}

/// The next text of that kind; how many bytes of audio came before.
async fn next(socket: &mut Socket, kind: &str) -> (Value, usize) {
    let mut n_bytes = 0;
    let reading = async {
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Binary(audio) => n_bytes += audio.len(),
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == kind {
                        return message;
                    }
                }
                _ => {}
            }
        }
    };
    let message = timeout(DEADLINE, reading).await.unwrap();
    (message, n_bytes)
}

#[tokio::test]
async fn requests_are_checked_as_the_vendor_does() {
    let simulator = Simulator::start(SimulatorConfig::for_testing())
        .await
        .unwrap();
    let key = &simulator.config().vapi_api_key;
    let url = format!("{}/call", simulator.base_url());
    let ask = async |key: &str, change: fn(&mut Value)| {
        let mut wish = wish(&simulator);
        change(&mut wish);
        answered(client().post(&url).json(&wish), key).await
    };
    let (status, body) = ask("another", |_| {}).await;
    assert_eq!((status.as_u16(), &body["statusCode"]), (401, &json!(401)));
    let (status, body) = ask(key, |wish| wish["squadId"] = json!("s")).await;
    assert!(
        status == StatusCode::BAD_REQUEST && body["message"].is_array(),
        "{body}"
    );
    let (status, body) = ask(key, |wish| wish["transport"] = Value::Null).await;
    assert!(
        status == StatusCode::BAD_REQUEST && body["message"].is_string(),
        "{body}"
    );
    let (status, _) = ask(key, |wish| wish["assistantId"] = json!("nobody")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_call_greets_is_ended_by_its_client_and_reported() {
    let (reports_in, mut reports) = mpsc::channel::<(HeaderMap, Value)>(4);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let report_url = format!("http://{}/report", listener.local_addr().unwrap());
    let receive = post(async move |headers: HeaderMap, Json(report): Json<Value>| {
        reports_in.send((headers, report)).await.unwrap();
    });
    let receiver = Router::new().route("/report", receive);
    tokio::spawn(async move { axum::serve(listener, receiver).await });

    let simulator = Simulator::start(SimulatorConfig::for_testing())
        .await
        .unwrap();
    let mut wish = wish(&simulator);
    wish["assistantOverrides"] = json!({
        "variableValues": {"name": "Ann"},
        "metadata": {"contact_id": "con_1"},
        "firstMessage": "Hello {{name}}.",
        "server": {"url": report_url, "headers": {"X-Vapi-Secret": "hush"}},
    });
    let call = created(&simulator, &wish).await;
    assert_eq!(
        (&call["type"], &call["status"]),
        (&json!("vapi.websocketCall"), &json!("queued"))
    );
    let url = call["transport"]["websocketCallUrl"].as_str().unwrap();
    let (mut socket, _) = connect_async(url).await.unwrap();
    assert!(connect_async(url).await.is_err(), "a call has one socket");

    let (up, _) = next(&mut socket, "status-update").await;
    assert_eq!(up["status"], "in-progress");
    let (said, n_bytes) = next(&mut socket, "transcript").await;
    assert_eq!(
        (&said["role"], &said["transcript"]),
        (&json!("assistant"), &json!("Hello Ann."))
    );
    assert!(n_bytes >= 8 * 200, "{n_bytes} bytes of speech");
    let end = Message::text(r#"{"type":"end-call"}"#);
    socket.send(end).await.unwrap();
    let (ended, _) = next(&mut socket, "status-update").await;
    assert_eq!(
        (&ended["status"], &ended["endedReason"]),
        (&json!("ended"), &json!("manually-canceled"))
    );
    drop(socket);

    let mut kinds = Vec::new();
    let report = loop {
        let (headers, told) = timeout(DEADLINE, reports.recv()).await.unwrap().unwrap();
        assert_eq!(headers["x-vapi-secret"], "hush");
        let message = &told["message"];
        kinds.push(format!("{} {}", message["type"], message["status"]));
        if message["type"] == "end-of-call-report" {
            break told;
        }
    };
    kinds.sort();
    let expected = [
        r#""end-of-call-report" null"#,
        r#""status-update" "ended""#,
        r#""status-update" "in-progress""#,
    ];
    assert_eq!(kinds, expected);
    let message = &report["message"];
    assert_eq!(message["endedReason"], "manually-canceled");
    assert_eq!(message["artifact"]["transcript"], "AI: Hello Ann.");
    let overrides = &message["call"]["assistantOverrides"];
    assert_eq!(overrides["metadata"]["contact_id"], "con_1");
    let id = call["id"].as_str().unwrap();
    let request = client().get(format!("{}/call/{id}", simulator.base_url()));
    let (_, shown) = answered(request, &simulator.config().vapi_api_key).await;
    assert_eq!(shown["status"], "ended");
    assert!(shown["analysis"]["summary"].is_string(), "{shown}");
    let facts = &simulator.ledger().conversations[0];
    assert_eq!((facts.vendor, facts.conversation_id.as_str()), ("vapi", id));
    simulator.shutdown().await;
}
