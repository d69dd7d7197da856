//! Operators in live calls: they listen in, tell the agent what the callee does not hear, and take over.

use std::{f64::consts::TAU, sync::Arc, time::Duration};

use dialtone::{
    app::App,
    audio::mulaw,
    clock::{Clock as _, SystemClock},
    domain::{access::Role, ids::TenantId},
    sim::{Behaviour::Converses, faults::Faults},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        handshake::client::{Request, Response},
    },
};

use crate::world::{
    Client, OWNER, PASSWORD, Place, Scenario, World, add_user, list, person, until,
};

const SOON: Duration = Duration::from_secs(30);

/// The simulated agent's voice, and the callees'.
const AGENT_HERTZ: u32 = 400;
const CALLEE_HERTZ: u32 = 250;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Conversations that go on until somebody hangs up.
fn long_talks(place: &Arc<Place>) -> Scenario {
    Scenario::on(place).simulator(|simulator| {
        simulator.speed = 4.0;
        simulator.agent.turns = (40, 40);
    })
}

/// Starts a campaign of one person; gives it, and its call as soon as there is one.
async fn one_call(world: &World, settings: Value) -> (String, String) {
    let campaign = world.start_campaign(&list(1..2), settings).await;
    let call = until("a call", async || {
        let calls = world.calls_to(&campaign, 1).await;
        Some(calls.first()?["id"].as_str().unwrap().to_owned())
    })
    .await;
    (campaign, call)
}

fn request(world: &World, call: &str) -> Request {
    request_at(&world.app, call)
}

fn request_at(process: &App, call: &str) -> Request {
    let url = format!("ws://{}/api/v1/calls/{call}/listen", process.address);
    url.as_str().into_client_request().unwrap()
}

fn with_header(mut request: Request, name: &'static str, value: &str) -> Request {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

async fn try_listen(world: &World, call: &str) -> Result<(Socket, Response), (u16, Value)> {
    let token = format!("Bearer {}", world.owner.token);
    let request = with_header(request(world, call), "authorization", &token);
    match connect_async(request).await {
        Ok(opened) => Ok(opened),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let problem = serde_json::from_slice(body).unwrap_or_default();
            Err((response.status().as_u16(), problem))
        }
        Err(error) => panic!("{error}"),
    }
}

/// Listens as soon as the call's audio has begun.
async fn listen(world: &World, call: &str) -> Socket {
    until("a talk to listen to", async || {
        match try_listen(world, call).await {
            Ok((socket, _)) => Some(socket),
            Err((status, problem)) => {
                assert!(
                    status == 409 && ["notLive", "notHere"].contains(&code(&problem)),
                    "{status} {problem}"
                );
                None
            }
        }
    })
    .await
}

fn code(problem: &Value) -> &str {
    problem["code"].as_str().unwrap_or_default()
}

/// What comes on a listener's socket.
#[derive(Debug)]
enum Heard {
    Audio(u8, Vec<u8>),
    Told(Value),
    Closed(u16),
}

async fn hear(socket: &mut Socket) -> Heard {
    loop {
        match timeout(SOON, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Binary(data))) => return Heard::Audio(data[0], data[1..].to_vec()),
            Some(Ok(Message::Text(text))) => {
                return Heard::Told(serde_json::from_str(&text).unwrap());
            }
            Some(Ok(Message::Close(frame))) => {
                return Heard::Closed(frame.map_or(0, |frame| frame.code.into()));
            }
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// How much of a sound is at a pitch: up to a half of its energy for each sample.
fn share(audio: &[u8], hertz: u32) -> f64 {
    let samples: Vec<f64> = audio
        .iter()
        .map(|it| f64::from(mulaw::decode(*it)))
        .collect();
    let energy: f64 = samples.iter().map(|it| it * it).sum();
    let step = TAU * f64::from(hertz) / 8_000.0;
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in (0..).zip(&samples) {
        re += sample * (step * f64::from(n)).cos();
        im += sample * (step * f64::from(n)).sin();
    }
    (re * re + im * im) / (energy * samples.len() as f64)
}

fn is_loud(audio: &[u8]) -> bool {
    let sum: u64 = audio
        .iter()
        .map(|it| u64::from(mulaw::decode(*it).unsigned_abs()))
        .sum();
    audio.len() >= 160 && sum / audio.len() as u64 > 2_000
}

/// Listens until both sides have been heard to speak for a fifth of a second.
async fn hears_both_sides(socket: &mut Socket) {
    let mut n_loud = [0, 0];
    while n_loud.iter().any(|n| *n < 10) {
        match hear(socket).await {
            Heard::Audio(side, audio) => {
                // A sound that begins or ends in a frame is not all of one pitch.
                let hertz = [CALLEE_HERTZ, AGENT_HERTZ][usize::from(side)];
                if is_loud(&audio) && share(&audio[..160], hertz) > 0.4 {
                    n_loud[usize::from(side)] += 1;
                }
            }
            Heard::Told(message) => {
                let kind = message["type"].as_str().unwrap();
                assert!(["cleared", "lost"].contains(&kind), "{message}");
            }
            Heard::Closed(code) => panic!("closed with {code} after {n_loud:?}"),
        }
    }
}

async fn hang_up(world: &World, campaign: &str, call: &str) {
    world.owner.ask(&format!("/calls/{call}/hangup")).await.ok();
    world.until_status(campaign, "completed").await;
}

pub async fn who_listens_hears_both_sides_until_the_call_is_over(place: Arc<Place>) {
    let world = long_talks(&place).start().await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let mut socket = listen(&world, &call).await;
    match hear(&mut socket).await {
        Heard::Told(started) => {
            assert_eq!(started["type"], "started");
            assert_eq!(started["callId"], call.as_str());
            assert_eq!(started["sampleRate"], 8000);
        }
        other => panic!("{other:?}"),
    }
    hears_both_sides(&mut socket).await;
    hang_up(&world, &campaign, &call).await;
    let mut last = Value::Null;
    let code = loop {
        match hear(&mut socket).await {
            Heard::Audio(..) => {}
            Heard::Told(message) => last = message,
            Heard::Closed(code) => break code,
        }
    };
    assert_eq!((code, last), (1000, json!({"type": "ended"})));
    let path = format!("/calls/{call}/listen");
    let late = world.owner.get(&path).await.refused(409, "notLive");
    assert!(late["detail"].as_str().unwrap().contains("ended"), "{late}");
    world.end().await;
}

// proves F-86
pub async fn nobody_else_hears_a_call_or_speaks_to_its_agent(place: Arc<Place>) {
    let world = long_talks(&place).start().await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let socket = listen(&world, &call).await;
    let tenant = TenantId::new(SystemClock.new_uuid());
    world.store.ensure_tenant(tenant).await.unwrap();
    add_user(&*world.store, tenant, "stranger@example.com", Role::Owner).await;
    let ours = TenantId::DEFAULT;
    add_user(&*world.store, ours, "viewer@example.com", Role::Viewer).await;

    let (path, hint) = (format!("/calls/{call}/listen"), json!({"text": "Hello"}));
    let hints = format!("/calls/{call}/hint");
    for (client, status, code) in [
        (world.sign_in("stranger@example.com").await, 404, "notFound"),
        (world.sign_in("viewer@example.com").await, 403, "forbidden"),
        (Client::stranger(&world.url()), 401, "unauthorized"),
    ] {
        client.get(&path).await.refused(status, code);
        client.post(&hints, &hint).await.refused(status, code);
    }
    world.owner.get(&path).await.refused(426, "upgradeRequired");

    // As a browser does, which cannot send a header.
    let protocols = format!("dialtone.listen, bearer.{}", world.owner.token);
    let asked = with_header(request(&world, &call), "sec-websocket-protocol", &protocols);
    let (mut browser, answer) = connect_async(asked).await.unwrap();
    assert_eq!(
        answer.headers()["sec-websocket-protocol"],
        "dialtone.listen"
    );
    assert!(matches!(hear(&mut browser).await, Heard::Told(_)));
    let wrong = "dialtone.listen, bearer.garbage";
    let asked = with_header(request(&world, &call), "sec-websocket-protocol", wrong);
    let refused = connect_async(asked).await;
    assert!(
        matches!(&refused, Err(tungstenite::Error::Http(it)) if it.status() == 401),
        "{refused:?}"
    );
    drop(socket);
    until("an agent who could be told", async || {
        (!world.ledger().conversations.is_empty()).then_some(())
    })
    .await;
    hang_up(&world, &campaign, &call).await;
    assert_eq!(world.ledger().conversations[0].hints, Vec::<String>::new());
    world.end().await;
}

pub async fn listeners_who_take_nothing_do_not_hold_up_the_call(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| {
            simulator.speed = 4.0;
            simulator.agent.turns = (3, 3);
        })
        .start()
        .await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let mut sockets = vec![listen(&world, &call).await];
    while sockets.len() < 8 {
        sockets.push(try_listen(&world, &call).await.unwrap().0);
    }
    let (status, problem) = try_listen(&world, &call).await.unwrap_err();
    assert_eq!((status, code(&problem)), (429, "tooManyListeners"));
    // Who leaves makes room for another, who hears the call.
    drop(sockets.pop());
    let mut other = listen_when_there_is_room(&world, &call).await;
    assert!(matches!(hear(&mut other).await, Heard::Told(_)));
    assert!(matches!(hear(&mut other).await, Heard::Audio(..)));

    world.until_status(&campaign, "completed").await;
    let ended = world.calls_to(&campaign, 1).await.remove(0);
    assert_eq!(ended["outcome"], "answered", "{ended}");
    assert_eq!(ended["endedBy"], "agent", "{ended}");
    let talk = &world.ledger().conversations[0];
    assert!(talk.agent_lines >= 4 && talk.user_lines >= 1, "{talk:?}");
    drop(sockets);
    world.end().await;
}

async fn listen_when_there_is_room(world: &World, call: &str) -> Socket {
    until("room for a listener", async || {
        match try_listen(world, call).await {
            Ok((socket, _)) => Some(socket),
            Err((status, problem)) => {
                assert_eq!(status, 429, "{problem}");
                None
            }
        }
    })
    .await
}

pub async fn a_hint_reaches_the_agent_of_either_vendor_and_is_kept(place: Arc<Place>) {
    let world = long_talks(&place).with_vapi().start().await;
    for (n, vendor) in (0..).zip(["elevenlabs", "vapi"]) {
        let (campaign, call) = one_call(&world, json!({"agentVendor": vendor})).await;
        let path = format!("/calls/{call}/hint");
        for text in ["", " ", &"x".repeat(1_001)] {
            let problem = world.owner.post(&path, &json!({"text": text})).await;
            let problem = problem.refused(422, "invalid");
            assert_eq!(problem["errors"][0]["pointer"], "/text", "{problem}");
        }
        let text = format!("The callee paid \"everything\" to {vendor}.");
        let told = until("an agent to tell", async || {
            let told = world.owner.post(&path, &json!({"text": text})).await;
            if told.status.is_success() {
                return Some(told.ok());
            }
            assert_eq!(told.status.as_u16(), 409, "{}", told.text);
            None
        })
        .await;
        let moments = told["timeline"].as_array().unwrap();
        let hinted: Vec<_> = moments.iter().filter(|it| it["kind"] == "hinted").collect();
        assert_eq!(hinted.len(), 1, "{told}");
        let expected = format!("owner@example.com told the agent: {text}");
        assert_eq!(hinted[0]["text"], expected.as_str());
        until("the agent to be told", async || {
            let talk = world.ledger().conversations.get(n)?.clone();
            (talk.vendor == vendor && talk.hints == [text.clone()]).then_some(())
        })
        .await;
        hang_up(&world, &campaign, &call).await;
        let late = world.owner.post(&path, &json!({"text": text})).await;
        late.refused(409, "notLive");
    }
    world.end().await;
}

/// The number of somebody who takes calls over.
const TAKER: u32 = 900;

fn actions(call: &Value) -> Vec<&str> {
    let actions = call["allowedActions"].as_array().unwrap();
    actions.iter().map(|it| it.as_str().unwrap()).collect()
}

/// Listens until the agent has been heard for a fifth of a second.
async fn hears_the_agent(socket: &mut Socket) {
    let mut n_loud = 0;
    while n_loud < 10 {
        match hear(socket).await {
            Heard::Audio(1, audio) => n_loud += u32::from(is_loud(&audio)),
            Heard::Audio(..) | Heard::Told(_) => {}
            Heard::Closed(code) => panic!("closed with {code}"),
        }
    }
}

pub async fn an_operator_mutes_the_agent_and_takes_the_call_over(place: Arc<Place>) {
    let world = long_talks(&place).callee(TAKER, [Converses]).start().await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let mut socket = listen(&world, &call).await;
    hears_the_agent(&mut socket).await;
    let ours = TenantId::DEFAULT;
    add_user(&*world.store, ours, "viewer@example.com", Role::Viewer).await;
    let viewer = world.sign_in("viewer@example.com").await;
    let (mute, unmute) = (
        format!("/calls/{call}/mute"),
        format!("/calls/{call}/unmute"),
    );
    viewer.ask(&mute).await.refused(403, "forbidden");

    let before = world.owner.get(&format!("/calls/{call}")).await.ok();
    assert_eq!(before["isAgentMuted"], false, "{before}");
    assert!(actions(&before).contains(&"mute"), "{before}");
    let muted = world.owner.ask(&mute).await.ok();
    assert_eq!(muted["isAgentMuted"], true, "{muted}");
    let allowed = actions(&muted);
    assert!(
        allowed.contains(&"unmute") && !allowed.contains(&"mute"),
        "{muted}"
    );
    let again = world.owner.ask(&mute).await.ok();
    assert_eq!(
        again["timeline"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["kind"] == "muted")
            .count(),
        1
    );
    // What was on its way is cleared, and of what the agent says then nothing is heard.
    // Fifty pieces a second come from the callee, silent or not; an agent is never quiet for so long.
    let silence = async {
        let mut n_pieces = 0;
        while n_pieces < 250 {
            match hear(&mut socket).await {
                Heard::Audio(1, _) => n_pieces = 0,
                Heard::Audio(..) => n_pieces += 1,
                Heard::Told(_) => {}
                Heard::Closed(code) => panic!("closed with {code}"),
            }
        }
    };
    let silence = timeout(2 * SOON, silence).await;
    silence.expect("the agent speaks, and is not heard");
    let open = world.owner.ask(&unmute).await.ok();
    assert_eq!(open["isAgentMuted"], false, "{open}");
    hears_the_agent(&mut socket).await;

    world.owner.ask(&mute).await.ok();
    let path = format!("/calls/{call}/transfer");
    let nobody = world.owner.post(&path, &json!({})).await;
    nobody.refused(422, "invalid");
    let to = json!({"to": person(TAKER)});
    let asked = world.owner.post(&path, &to).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
    world.until_status(&campaign, "completed").await;
    let ended = world.owner.get(&format!("/calls/{call}")).await.ok();
    assert_eq!(ended["transfer"]["result"], "answered", "{ended}");
    assert_eq!(ended["allowedActions"], json!([]), "{ended}");
    let timeline = ended["timeline"].as_array().unwrap();
    let told: Vec<&str> = timeline
        .iter()
        .filter(|it| ["muted", "unmuted", "transferring"].contains(&it["kind"].as_str().unwrap()))
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    assert_eq!(
        told[..3],
        [
            "owner@example.com muted the agent",
            "owner@example.com let the agent be heard again",
            "owner@example.com muted the agent",
        ]
    );
    assert!(
        told[3].starts_with("the call is being transferred"),
        "{told:?}"
    );
    world.owner.ask(&unmute).await.refused(409, "notLive");
    world.end().await;
}

pub async fn an_agent_is_heard_again_when_the_carrier_does_not_take_the_call_over(
    place: Arc<Place>,
) {
    let world = long_talks(&place).callee(TAKER, [Converses]).start().await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let mut socket = listen(&world, &call).await;
    hears_the_agent(&mut socket).await;
    world.simulator.set_faults(Faults {
        redirect_fails: 1.0,
        ..Faults::default()
    });
    let path = format!("/calls/{call}/transfer");
    let to = json!({"to": person(TAKER)});
    world.owner.post(&path, &to).await.refused(502, "carrier");
    // It was silenced for the time being: what it had said until then comes no more, what it says next does.
    let cleared = async {
        loop {
            match hear(&mut socket).await {
                Heard::Told(message) if message["type"] == "cleared" => break,
                Heard::Audio(..) | Heard::Told(_) => {}
                Heard::Closed(code) => panic!("closed with {code}"),
            }
        }
    };
    timeout(SOON, cleared).await.expect("the agent is silenced");
    hears_the_agent(&mut socket).await;
    let shown = world.owner.get(&format!("/calls/{call}")).await.ok();
    assert_eq!(shown["isAgentMuted"], false, "{shown}");

    world.simulator.set_faults(Faults::default());
    let asked = world.owner.post(&path, &to).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
    world.until_status(&campaign, "completed").await;
    let ended = world.owner.get(&format!("/calls/{call}")).await.ok();
    assert_eq!(ended["transfer"]["result"], "answered", "{ended}");
    world.end().await;
}

pub async fn a_call_is_reached_over_a_process_that_does_not_have_its_audio(place: Arc<Place>) {
    let world = long_talks(&place).start().await;
    let other = world.another_process().await;
    let url = format!("http://{}", other.address);
    let operator = Client::sign_in(&url, OWNER, PASSWORD).await;
    let (campaign, call) = one_call(&world, json!({})).await;
    let near = listen(&world, &call).await;
    drop(near);

    let token = format!("Bearer {}", operator.token);
    let asked = with_header(request_at(&other, &call), "authorization", &token);
    let (mut socket, _) = connect_async(asked).await.unwrap();
    assert!(matches!(hear(&mut socket).await, Heard::Told(it) if it["type"] == "started"));
    hears_the_agent(&mut socket).await;
    let hint = json!({"text": "From far away."});
    let path = |action: &str| format!("/calls/{call}/{action}");
    let told = operator.post(&path("hint"), &hint).await.ok();
    let timeline = told["timeline"].as_array().unwrap();
    let kept = "owner@example.com told the agent: From far away.";
    assert!(timeline.iter().any(|it| it["text"] == kept), "{told}");
    let muted = operator.ask(&path("mute")).await.ok();
    assert_eq!(muted["isAgentMuted"], true, "{muted}");
    let open = operator.ask(&path("unmute")).await.ok();
    assert_eq!(open["isAgentMuted"], false, "{open}");
    let wrong = operator.post(&path("hint"), &json!({"text": ""})).await;
    wrong.refused(422, "invalid");
    // What was passed on already is not passed on again.
    let passed_on = operator
        .http
        .post(format!("{url}/api/v1{}", path("mute")))
        .bearer_auth(&operator.token)
        .header("x-dialtone-passed-on", "1");
    let problem: Value = passed_on.send().await.unwrap().json().await.unwrap();
    assert_eq!(code(&problem), "notHere", "{problem}");

    hang_up(&world, &campaign, &call).await;
    let mut last = Value::Null;
    let code = loop {
        match hear(&mut socket).await {
            Heard::Audio(..) => {}
            Heard::Told(message) => last = message,
            Heard::Closed(code) => break code,
        }
    };
    assert_eq!((code, last), (1000, json!({"type": "ended"})));
    operator.ask(&path("mute")).await.refused(409, "notLive");
    assert_eq!(world.ledger().conversations[0].hints, ["From far away."]);
    other.close().await;
    world.end().await;
}
