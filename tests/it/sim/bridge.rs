//! Whole calls: the simulated carrier joined to the simulated agent by the least of bridges.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message as MediaMessage, WebSocket},
    },
    http::{StatusCode, header},
    response::Response,
    routing::{any, post},
};
use dialtone::sim::{AgentSettings, Faults, Mix, Simulator, SimulatorConfig};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Twelve calls at twenty times the speed of life; a loaded machine may need most of it.
const DEADLINE: Duration = Duration::from_secs(30);
const N_CALLS: usize = 12;

#[derive(Clone)]
struct Bridge {
    address: SocketAddr,
    agent_url: String,
}

/// Serves voice webhooks and media sockets until the guard is dropped.
async fn start_bridge(simulator: &Simulator) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let base = simulator.base_url().replace("http", "ws");
    let agent_id = &simulator.config().agent_id;
    let agent_url = format!("{base}/v1/convai/conversation?agent_id={agent_id}");
    let routes = Router::new()
        .route("/voice", post(voice))
        .route("/status", post(async || StatusCode::NO_CONTENT))
        .route("/media", any(media))
        .with_state(Bridge { address, agent_url });
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let serving = axum::serve(listener, routes);
        stopped.run_until_cancelled(serving.into_future()).await
    });
    (address, stop.drop_guard())
}

async fn voice(State(bridge): State<Bridge>) -> ([(header::HeaderName, &'static str); 1], String) {
    let twiml = format!(
        "<Response><Connect><Stream url=\"ws://{}/media\"/></Connect></Response>",
        bridge.address
    );
    ([(header::CONTENT_TYPE, "text/xml")], twiml)
}

async fn media(State(bridge): State<Bridge>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| join(bridge, socket))
}

/// Passes audio between both sides until one of them ends.
async fn join(bridge: Bridge, mut carrier: WebSocket) {
    let mut agent = connect_async(&bridge.agent_url).await.unwrap().0;
    let initiation = json!({"type": "conversation_initiation_client_data"});
    agent
        .send(Message::text(initiation.to_string()))
        .await
        .unwrap();
    let mut stream_sid = Value::Null;
    loop {
        tokio::select! {
            received = carrier.recv() => {
                let Some(Ok(MediaMessage::Text(text))) = received else { break };
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["event"] == "start" {
                    stream_sid = message["streamSid"].clone();
                } else if message["event"] == "media" {
                    let audio = json!({"user_audio_chunk": message["media"]["payload"]});
                    if agent.send(Message::text(audio.to_string())).await.is_err() {
                        break;
                    }
                }
            }
            received = agent.next() => {
                let Some(Ok(Message::Text(text))) = received else { break };
                let message: Value = serde_json::from_str(&text).unwrap();
                let reply = match message["type"].as_str().unwrap() {
                    "audio" => json!({"event": "media", "streamSid": stream_sid,
                        "media": {"payload": message["audio_event"]["audio_base_64"]}}),
                    "interruption" => json!({"event": "clear", "streamSid": stream_sid}),
                    _ => continue,
                };
                if carrier.send(MediaMessage::Text(reply.to_string().into())).await.is_err() {
                    break;
                }
            }
        }
    }
    // Whoever ended first does not need the courtesy; the other side does.
    let _agent_may_be_gone = agent.close(None).await;
    let _carrier_may_be_gone = carrier.send(MediaMessage::Close(None)).await;
}

#[tokio::test]
async fn whole_calls_have_both_sides_in_their_records_and_end_soon() {
    let simulator = Simulator::start(SimulatorConfig::for_testing())
        .await
        .unwrap();
    let (address, _bridge) = start_bridge(&simulator).await;
    let began = Instant::now();
    place_calls(&simulator, address, N_CALLS).await;
    wait_for_the_end(&simulator).await;
    let ledger = simulator.ledger();
    assert_eq!(ledger.totals.outcomes["completed"], N_CALLS as u64);
    assert_eq!(ledger.conversations.len(), N_CALLS);
    for conversation in &ledger.conversations {
        assert!(conversation.user_lines > 0, "{conversation:?}");
        assert!(conversation.agent_lines >= 3, "{conversation:?}");
        assert_eq!(conversation.close_code, Some(1000), "{conversation:?}");
    }
    assert_eq!(
        (
            ledger.totals.agent_sessions_open,
            ledger.totals.streams_open
        ),
        (0, 0)
    );
    assert!(began.elapsed() < DEADLINE);
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_mixed_world_brings_every_call_to_an_end() {
    let config = SimulatorConfig {
        mix: Mix::default(),
        ..SimulatorConfig::for_testing()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let (address, _bridge) = start_bridge(&simulator).await;
    place_calls(&simulator, address, 40).await;
    wait_for_the_end(&simulator).await;
    let totals = simulator.ledger().totals;
    assert_eq!(totals.calls_created + totals.calls_refused, 40);
    assert_eq!(totals.calls_ended, totals.calls_created);
    assert_eq!(totals.live_max_per_number, 1);
    for outcome in ["completed", "busy", "no-answer"] {
        assert!(
            totals.outcomes.contains_key(outcome),
            "{:?}",
            totals.outcomes
        );
    }
    simulator.shutdown().await;
}

#[tokio::test]
async fn with_every_fault_on_the_way_all_calls_and_conversations_still_end() {
    let faults = Faults {
        lost_callback: 0.2,
        late_callback: 0.2,
        late_by_ms: 200,
        duplicate_callback: 0.2,
        reordered_callback: 0.2,
        agent_refuses: 0.15,
        agent_crashes: 0.15,
        agent_over_quota: 0.15,
        agent_silent: 0.15,
        ..Faults::default()
    };
    let agent = AgentSettings {
        max_duration: Duration::from_secs(2),
        ..AgentSettings::default()
    };
    let config = SimulatorConfig {
        faults,
        agent,
        ..SimulatorConfig::for_testing()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let (address, _bridge) = start_bridge(&simulator).await;
    place_calls(&simulator, address, 40).await;
    wait_for_the_end(&simulator).await;
    let ledger = simulator.ledger();
    assert_eq!(ledger.totals.calls_ended, 40);
    assert!(ledger.totals.callbacks.lost > 0);
    let codes: BTreeSet<_> = ledger.conversations.iter().map(|c| c.close_code).collect();
    assert!(
        codes.is_superset(&BTreeSet::from([Some(1000), Some(1002), Some(1011)])),
        "{codes:?}"
    );
    // Refused conversations were never opened.
    assert!(ledger.conversations.len() < 40);
    simulator.shutdown().await;
}

async fn place_calls(simulator: &Simulator, bridge: SocketAddr, n_calls: usize) {
    let config = simulator.config();
    let url = format!(
        "{}/2010-04-01/Accounts/{}/Calls.json",
        simulator.base_url(),
        config.account_sid
    );
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut orders = JoinSet::new();
    for n in 0..n_calls {
        let form = [
            ("To", format!("+1500556{n:04}")),
            ("From", config.numbers[0].clone()),
            ("Url", format!("http://{bridge}/voice")),
            ("StatusCallback", format!("http://{bridge}/status")),
        ];
        let request = http
            .post(&url)
            .basic_auth(&config.account_sid, Some(&config.auth_token))
            .form(&form);
        orders.spawn(request.send());
    }
    for answer in orders.join_all().await {
        assert!(answer.unwrap().status().as_u16() < 500);
    }
}

async fn wait_for_the_end(simulator: &Simulator) {
    let ending = async {
        loop {
            let totals = simulator.totals();
            if totals.live == 0 && totals.agent_sessions_open == 0 {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(DEADLINE, ending).await.is_err() {
        panic!("calls are left: {:?}", simulator.ledger().totals);
    }
}
