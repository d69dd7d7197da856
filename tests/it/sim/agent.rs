//! Conversations over the agent's socket.

use std::time::Duration;

use axum::{Router, http::HeaderMap, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use dialtone::sim::{AgentSettings, Faults, PostCallWebhook, Simulator, SimulatorConfig};
use futures_util::{SinkExt, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, interval, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{ClientRequestBuilder, Message},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const DEADLINE: Duration = Duration::from_secs(5);
const FRAME: Duration = Duration::from_millis(20);
/// Ordinary talk.
const VOICE: [u8; 160] = square_wave(16);
/// The pitch that says: do not call me again.
const ASKING: [u8; 160] = square_wave(8);
const SILENCE: [u8; 160] = [0xff; 160];

/// A loud wave in mu-law that changes its sign after so many samples.
const fn square_wave(half_period: usize) -> [u8; 160] {
    let mut wave = [0x90; 160];
    let mut n = 0;
    while n < 160 {
        if (n / half_period).is_multiple_of(2) {
            wave[n] = 0x10;
        }
        n += 1;
    }
    wave
}

/// What one conversation brought, in order.
struct Heard {
    messages: Vec<Value>,
    close_code: u16,
    close_reason: String,
}

impl Heard {
    fn kinds(&self) -> Vec<&str> {
        self.messages
            .iter()
            .map(|message| message["type"].as_str().unwrap())
            .collect()
    }

    fn all(&self, kind: &str) -> Vec<&Value> {
        self.messages
            .iter()
            .filter(|message| message["type"] == kind)
            .collect()
    }
}

async fn start(config: SimulatorConfig) -> Simulator {
    Simulator::start(config).await.unwrap()
}

async fn signed_url(simulator: &Simulator, query: &str) -> reqwest::Response {
    let config = simulator.config();
    let url = format!(
        "{}/v1/convai/conversation/get-signed-url?agent_id={}{query}",
        simulator.base_url(),
        config.agent_id
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(url)
        .header("xi-api-key", &config.agent_api_key)
        .send()
        .await
        .unwrap()
}

async fn connect(simulator: &Simulator) -> Socket {
    let answer: Value = signed_url(simulator, "").await.json().await.unwrap();
    let url = answer["signed_url"].as_str().unwrap();
    connect_async(url).await.unwrap().0
}

async fn send(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

fn initiation(extra: Value) -> Value {
    let mut message = json!({"type": "conversation_initiation_client_data"});
    message
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    message
}

/// Sends 20 ms frames, speaking from 300 ms on for 300 ms of every second, until the agent closes.
async fn converse(socket: Socket) -> Heard {
    converse_in(VOICE, socket).await
}

/// As [`converse`], in that voice. Tools of the client answer that they did it.
async fn converse_in(voice: [u8; 160], mut socket: Socket) -> Heard {
    let mut messages = Vec::new();
    let mut frames = interval(FRAME);
    let began = Instant::now();
    let conversation = async {
        loop {
            tokio::select! {
                _ = frames.tick() => {
                    let phase = began.elapsed().as_millis() % 1_000;
                    let audio = if (300..600).contains(&phase) { voice } else { SILENCE };
                    // The agent may just have closed; its close frame is read below.
                    let _may_be_over = socket
                        .send(Message::text(
                            json!({"user_audio_chunk": STANDARD.encode(audio)}).to_string(),
                        ))
                        .await;
                }
                received = socket.next() => match received.unwrap().unwrap() {
                    Message::Text(text) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] == "ping" {
                            let id = &message["ping_event"]["event_id"];
                            send(&mut socket, json!({"type": "pong", "event_id": id})).await;
                        }
                        if message["type"] == "client_tool_call" {
                            let id = &message["client_tool_call"]["tool_call_id"];
                            let result = json!({"type": "client_tool_result", "tool_call_id": id,
                                "result": "done", "is_error": false});
                            send(&mut socket, result).await;
                        }
                        messages.push(message);
                    }
                    Message::Close(Some(frame)) => {
                        return (u16::from(frame.code), frame.reason.to_string());
                    }
                    _ => {}
                },
            }
        }
    };
    let ended = timeout(DEADLINE, conversation).await;
    let (close_code, close_reason) = ended.expect("the agent ends the conversation");
    Heard {
        messages,
        close_code,
        close_reason,
    }
}

#[tokio::test]
async fn a_conversation_goes_from_greeting_to_end_call() {
    let simulator = start(SimulatorConfig::for_testing()).await;
    let mut socket = connect(&simulator).await;
    let variables = json!({"dynamic_variables": {"name": "Ann"}, "user_id": "contact-42",
        "conversation_config_override": {"agent": {"first_message": "Hi {{name}}"}}});
    send(&mut socket, initiation(variables)).await;
    let heard = converse(socket).await;
    assert_eq!(
        (heard.close_code, &*heard.close_reason),
        (1000, "end_call tool was called.")
    );
    let greeting = [
        "conversation_initiation_metadata",
        "audio",
        "agent_response",
        "audio",
    ];
    assert_eq!(heard.kinds()[..4], greeting);
    assert_eq!(heard.all("conversation_initiation_metadata").len(), 1);
    assert_eq!(heard.messages[1]["audio_event"]["event_id"], 1);
    let response = &heard.messages[2]["agent_response_event"];
    assert_eq!(response["agent_response"], "Hi Ann");
    assert!(!heard.all("user_transcript").is_empty());
    assert!(heard.all("agent_response").len() >= 3);
    assert_eq!(heard.kinds().last(), Some(&"agent_tool_response"));
    assert_eq!(heard.all("ping")[0]["ping_event"]["ping_ms"], json!(null));

    let event = &heard.messages[0]["conversation_initiation_metadata_event"];
    let record = finished_record(&simulator, event["conversation_id"].as_str().unwrap()).await;
    assert_eq!(record["status"], "done");
    assert_eq!(record["transcript"][0]["message"], "Hi Ann");
    let client_data = &record["conversation_initiation_client_data"];
    assert_eq!(client_data["dynamic_variables"], json!({"name": "Ann"}));
    let ledger = simulator.ledger();
    assert_eq!(ledger.conversations[0].first_message, "Hi Ann");
    assert_eq!(ledger.conversations[0].close_code, Some(1000));
    assert!(ledger.conversations[0].pongs >= 1);
    assert_eq!(ledger.totals.agent_sessions_open, 0);
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_caller_who_asks_for_no_more_calls_is_noted_and_let_go() {
    let simulator = start(SimulatorConfig::for_testing()).await;
    let mut socket = connect(&simulator).await;
    send(&mut socket, initiation(json!({}))).await;
    let heard = converse_in(ASKING, socket).await;
    assert_eq!(heard.close_code, 1000);
    let calls = heard.all("client_tool_call");
    assert_eq!(calls.len(), 1, "{calls:?}");
    let call = &calls[0]["client_tool_call"];
    assert_eq!(call["tool_name"], "do_not_call");
    let said = &heard.all("user_transcript")[0]["user_transcription_event"];
    assert_eq!(call["parameters"]["reason"], said["user_transcript"]);
    // The greeting, and the farewell after the tool's answer.
    assert_eq!(heard.all("agent_response").len(), 2);
    let place_of = |kind| heard.kinds().iter().rposition(|it| *it == kind);
    assert!(place_of("client_tool_call") < place_of("agent_response"));
    let tools = &simulator.ledger().conversations[0].tools;
    assert_eq!(tools.len(), 1);
    assert_eq!((&*tools[0].result, tools[0].is_error), ("done", false));
    simulator.shutdown().await;
}

async fn finished_record(simulator: &Simulator, id: &str) -> Value {
    let url = format!("{}/v1/convai/conversations/{id}", simulator.base_url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let request = http
            .get(&url)
            .header("xi-api-key", &simulator.config().agent_api_key);
        let record: Value = request.send().await.unwrap().json().await.unwrap();
        if record["status"] == "done" || Instant::now() > deadline {
            return record;
        }
        tokio::time::sleep(FRAME).await;
    }
}

#[tokio::test]
async fn a_caller_who_cuts_in_interrupts_the_agent() {
    // In real time the greeting plays for more than three seconds, so the caller cuts in.
    let config = SimulatorConfig {
        speed: 1.0,
        ..SimulatorConfig::for_testing()
    };
    let simulator = start(config).await;
    let mut socket = connect(&simulator).await;
    send(&mut socket, initiation(json!({}))).await;
    let mut kinds = Vec::new();
    for _ in 0..5 {
        send(
            &mut socket,
            json!({"user_audio_chunk": STANDARD.encode(VOICE)}),
        )
        .await;
    }
    let listening = async {
        while kinds.last() != Some(&json!("interruption")) {
            if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                kinds.push(message["type"].clone());
                if message["type"] == "interruption" {
                    assert_eq!(message["interruption_event"]["event_id"], 1);
                }
            }
        }
        let Message::Text(stale) = socket.next().await.unwrap().unwrap() else {
            panic!("stale audio follows an interruption");
        };
        let stale: Value = serde_json::from_str(&stale).unwrap();
        assert_eq!(
            (&stale["type"], &stale["audio_event"]["event_id"]),
            (&json!("audio"), &json!(1))
        );
    };
    timeout(DEADLINE, listening).await.unwrap();
    socket.close(None).await.unwrap();
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_missing_variable_closes_with_1008_before_any_audio() {
    let simulator = start(SimulatorConfig::for_testing()).await;
    let mut socket = connect(&simulator).await;
    let overrides =
        json!({"conversation_config_override": {"agent": {"first_message": "Hi {{name}}"}}});
    send(&mut socket, initiation(overrides)).await;
    let heard = converse(socket).await;
    assert_eq!(heard.close_code, 1008);
    let reason = "Missing required dynamic variables in first message: {'name'}";
    assert_eq!(heard.close_reason, reason);
    assert_eq!(heard.kinds(), ["error"]);
    assert_eq!(
        heard.messages[0]["error_event"]["error_type"],
        "missing_dynamic_variable"
    );
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_private_agent_needs_a_signature_and_a_single_use_one_opens_once() {
    let agent = AgentSettings {
        requires_auth: true,
        ..AgentSettings::default()
    };
    let simulator = start(SimulatorConfig {
        agent,
        ..SimulatorConfig::for_testing()
    })
    .await;
    let base = simulator.base_url().replace("http", "ws");
    let url = format!("{base}/v1/convai/conversation?agent_id=agent_sim");
    let heard = converse(connect_async(url).await.unwrap().0).await;
    assert_eq!(heard.close_code, 3000);
    assert_eq!(heard.close_reason, "Could not authorize the conversation.");

    let answer: Value = signed_url(&simulator, "&include_conversation_id=true")
        .await
        .json()
        .await
        .unwrap();
    let url = answer["signed_url"].as_str().unwrap();
    let mut first = connect_async(url).await.unwrap().0;
    send(&mut first, initiation(json!({}))).await;
    let metadata = first.next().await.unwrap().unwrap();
    assert!(
        metadata
            .to_text()
            .unwrap()
            .contains(url.split("conversation_id=").nth(1).unwrap())
    );
    assert_eq!(
        converse(connect_async(url).await.unwrap().0)
            .await
            .close_code,
        3000
    );
    simulator.shutdown().await;
}

#[tokio::test]
async fn convai_is_selected_if_offered_and_unknown_agents_and_keys_are_refused() {
    let simulator = start(SimulatorConfig::for_testing()).await;
    let base = simulator.base_url().replace("http", "ws");
    let url = format!("{base}/v1/convai/conversation?agent_id=nobody&source=test");
    let request = ClientRequestBuilder::new(url.parse().unwrap()).with_sub_protocol("convai");
    let (socket, response) = connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "convai");
    assert_eq!(converse(socket).await.close_code, 3000);

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!(
        "{}/v1/convai/conversation/get_signed_url?agent_id=agent_sim",
        simulator.base_url()
    );
    let response = http
        .get(&url)
        .header("xi-api-key", "wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    let refusal: Value = response.json().await.unwrap();
    assert_eq!(refusal["detail"]["status"], "invalid_api_key");
    simulator.shutdown().await;
}

#[tokio::test]
async fn agent_faults_end_conversations_with_their_own_codes() {
    let none = Faults::default();
    let cases = [
        (
            Faults {
                agent_refuses: 1.0,
                ..none.clone()
            },
            3008,
        ),
        (
            Faults {
                agent_over_quota: 1.0,
                ..none.clone()
            },
            1002,
        ),
        (
            Faults {
                agent_crashes: 1.0,
                ..none.clone()
            },
            1011,
        ),
    ];
    let simulator = start(SimulatorConfig::for_testing()).await;
    for (faults, code) in cases {
        simulator.set_faults(faults);
        let mut socket = connect(&simulator).await;
        send(&mut socket, initiation(json!({}))).await;
        assert_eq!(converse(socket).await.close_code, code);
    }
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_silent_agent_says_nothing_until_the_longest_conversation_is_over() {
    let agent = AgentSettings {
        max_duration: Duration::from_secs(1),
        ..AgentSettings::default()
    };
    let faults = Faults {
        agent_silent: 1.0,
        ..Faults::default()
    };
    let simulator = start(SimulatorConfig {
        agent,
        faults,
        ..SimulatorConfig::for_testing()
    })
    .await;
    let mut socket = connect(&simulator).await;
    send(&mut socket, initiation(json!({}))).await;
    let heard = converse(socket).await;
    assert_eq!(heard.close_code, 1000);
    assert!(heard.all("audio").is_empty() && heard.all("agent_response").is_empty());
    assert_eq!(
        heard.all("error")[0]["error_event"]["error_type"],
        "max_duration_exceeded"
    );
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_finished_conversation_is_posted_with_its_signature() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/post-call", listener.local_addr().unwrap());
    let (sender, mut posted) = mpsc::channel(1);
    let receive = async move |headers: HeaderMap, body: String| {
        let signature = headers["elevenlabs-signature"].to_str().unwrap().to_owned();
        sender.send((signature, body)).await.unwrap();
    };
    let server = tokio::spawn(async move {
        axum::serve(listener, Router::new().route("/post-call", post(receive))).await
    });
    let secret = "wsec_test".to_owned();
    let agent = AgentSettings {
        post_call_webhook: Some(PostCallWebhook {
            url,
            secret: secret.clone(),
        }),
        ..AgentSettings::default()
    };
    let simulator = start(SimulatorConfig {
        agent,
        ..SimulatorConfig::for_testing()
    })
    .await;
    let mut socket = connect(&simulator).await;
    send(
        &mut socket,
        initiation(json!({"dynamic_variables": {"call_sid": "CA1"}})),
    )
    .await;
    socket.close(None).await.unwrap();
    let (signature, body) = timeout(DEADLINE, posted.recv()).await.unwrap().unwrap();
    assert_eq!(signature, expected_signature(&secret, &signature, &body));
    let event: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&event["type"], &event["data"]["status"]),
        (&json!("post_call_transcription"), &json!("done"))
    );
    let data = &event["data"]["conversation_initiation_client_data"];
    assert_eq!(data["dynamic_variables"]["call_sid"], "CA1");
    simulator.shutdown().await;
    server.abort();
}

/// The header a sender with `secret` writes at the time that `received` names.
fn expected_signature(secret: &str, received: &str, body: &str) -> String {
    let time = received
        .split(',')
        .next()
        .unwrap()
        .strip_prefix("t=")
        .unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let hash = mac.finalize().into_bytes();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v0={hex}")
}
