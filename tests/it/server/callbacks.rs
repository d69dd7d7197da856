//! The carrier's requests: signed or refused, once or many times, in time or late.

use std::sync::Arc;

use dialtone::{
    sim::{
        Behaviour::{Busy, NoAnswer},
        Faults,
    },
    telephony::twilio::signature,
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};

use crate::world::{Place, Scenario, World, list, until};

const NOBODY: &str = "att_00000000000000000000000000000007_1";

fn once() -> Value {
    json!({"retry": {"maxAttempts": 1}})
}

/// Everything of a call that callbacks could change.
async fn call(world: &World, id: &str) -> Value {
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

async fn open_call(world: &World, campaign: &str, state: &str) -> Value {
    until(state, async || {
        let calls = world.calls(campaign).await;
        calls.into_iter().find(|call| call["state"] == state)
    })
    .await
}

fn text<'a>(call: &'a Value, field: &str) -> &'a str {
    call[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {call}"))
}

// proves F-18
pub async fn the_same_callback_many_times_and_late_ones_change_nothing(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let campaign = world.start_campaign(&list(1..2), once()).await;
    world.until_status(&campaign, "completed").await;
    let id = text(&world.calls_to(&campaign, 1).await[0], "id").to_owned();
    let before = call(&world, &id).await;
    let sid = text(&before, "sid");
    for (status, sequence) in [
        ("initiated", "0"),
        ("ringing", "1"),
        ("in-progress", "2"),
        ("completed", "3"),
        ("busy", "4"),
        ("no-answer", "5"),
    ] {
        for _ in 0..4 {
            let fields = [
                ("CallSid", sid),
                ("CallStatus", status),
                ("SequenceNumber", sequence),
                ("CallDuration", "99"),
            ];
            let answer = world.callback("status", &id, &fields).await;
            assert_eq!(answer.status.as_u16(), 204, "{}", answer.text);
        }
    }
    let voice = world.callback("voice", &id, &[("CallSid", sid)]).await;
    assert!(
        voice.text.contains("<Hangup") && !voice.text.contains("<Connect"),
        "{}",
        voice.text
    );
    assert_eq!(call(&world, &id).await, before);
    assert_eq!(world.contact(&campaign, 1).await["attempts"], 1);
    world.end().await;
}

// proves F-56, F-87
pub async fn requests_that_the_carrier_did_not_sign_are_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).callee(1, [NoAnswer]).start().await;
    let settings = json!({"ringTimeoutSeconds": 60, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    let ringing = open_call(&world, &campaign, "ringing").await;
    let (id, sid) = (text(&ringing, "id"), text(&ringing, "sid"));
    let before = call(&world, id).await;
    for kind in ["voice", "after", "status", "stream", "recording"] {
        let path = format!("/webhooks/twilio/{kind}/{id}");
        let fields = [
            ("CallSid", sid),
            ("CallStatus", "completed"),
            ("SequenceNumber", "9"),
        ];
        let forged = world
            .owner
            .form(&world.url(), &path, &fields, "another token")
            .await;
        forged.refused(403, "wrongSignature");
        let unsigned = world
            .owner
            .http
            .post(format!("{}{path}", world.url()))
            .form(&fields);
        assert_eq!(
            unsigned.send().await.unwrap().status().as_u16(),
            403,
            "{kind}"
        );
        // A signature for one address is none for another.
        let token = &world.simulator.config().auth_token;
        let other = format!("{}/elsewhere", world.url());
        let pairs = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let moved = world
            .owner
            .http
            .post(format!("{}{path}", world.url()))
            .form(&fields)
            .header("x-twilio-signature", signature::sign(token, &other, &pairs));
        assert_eq!(moved.send().await.unwrap().status().as_u16(), 403, "{kind}");
    }
    let media = connect(&world, id, "another token").await;
    assert_eq!(media.err(), Some(403));
    assert_eq!(call(&world, id).await, before);
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.contact(&campaign, 1).await["outcome"], "noAnswer");
    assert_eq!(world.ledger().totals.agent_sessions_opened, 0);
    world.end().await;
}

// proves F-04
pub async fn a_callback_for_a_call_that_nobody_knows_is_told_so(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let fields = [
        ("CallSid", "CA77"),
        ("CallStatus", "ringing"),
        ("SequenceNumber", "1"),
    ];
    world
        .callback("status", NOBODY, &fields)
        .await
        .refused(404, "notFound");
    world
        .callback("status", "att_garbage", &fields)
        .await
        .refused(404, "notFound");
    world
        .callback("gossip", NOBODY, &fields)
        .await
        .refused(404, "notFound");
    world
        .callback("status", NOBODY, &[("CallSid", "CA77")])
        .await
        .refused(422, "invalid");
    let voice = world.callback("voice", NOBODY, &fields).await;
    assert_eq!(voice.status.as_u16(), 200);
    assert!(
        voice.text.contains("<Hangup") && !voice.text.contains("<Connect"),
        "{}",
        voice.text
    );
    assert_eq!(world.owner.get("/calls").await.ok()["total"], 0);
    world.end().await;
}

// proves F-04
pub async fn a_call_that_turns_up_after_it_was_given_up_is_ended(place: Arc<Place>) {
    let faults = Faults {
        create_fails: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .callee(2, [NoAnswer])
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), once()).await;
    let released = open_call(&world, &campaign, "released").await;
    let id = text(&released, "id");

    // Some call of the account stands for the one that was held up on its way.
    world.simulator.set_faults(Faults::default());
    let settings = json!({"ringTimeoutSeconds": 200, "retry": {"maxAttempts": 1}});
    let other = world.start_campaign(&list(2..3), settings).await;
    let sid = text(&open_call(&world, &other, "dialing").await, "sid").to_owned();
    let fields = [
        ("CallSid", sid.as_str()),
        ("CallStatus", "ringing"),
        ("SequenceNumber", "9"),
    ];
    let answer = world.callback("status", id, &fields).await;
    assert_eq!(answer.status.as_u16(), 204, "{}", answer.text);
    until("the end of the late call", async || {
        let calls = world.ledger().calls;
        calls
            .iter()
            .any(|call| call.sid == sid && call.ended_at.is_some())
            .then_some(())
    })
    .await;
    let voice = world.callback("voice", id, &[("CallSid", "CA78")]).await;
    assert!(!voice.text.contains("<Connect"), "{}", voice.text);
    let late = call(&world, id).await;
    assert_eq!(late["state"], "released");
    let moments = late["timeline"].as_array().unwrap();
    assert!(
        moments.iter().any(|moment| moment["kind"] == "lateCall"),
        "{moments:?}"
    );
    assert_eq!(world.ledger().totals.agent_sessions_opened, 0);
    world.until_status(&campaign, "completed").await;
    world.until_status(&other, "completed").await;
    world.end().await;
}

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Opens a media socket that is signed with `auth_token`, or gives the refusal's status.
async fn connect(world: &World, attempt: &str, auth_token: &str) -> Result<Socket, u16> {
    let url = format!("ws://{}/media/twilio/{attempt}", world.app.address);
    let mut request = url.as_str().into_client_request().unwrap();
    let signature = signature::sign(auth_token, &url, &[]);
    request
        .headers_mut()
        .insert("x-twilio-signature", signature.parse().unwrap());
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Says on a media socket which call it carries, and waits until the server closes it.
async fn refused_after_start(mut socket: Socket, sid: &str, token: &str) {
    let start = json!({
        "event": "start", "sequenceNumber": "1", "streamSid": "MZ77",
        "start": {
            "accountSid": "AC1", "streamSid": "MZ77", "callSid": sid, "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": token},
        },
    });
    socket.send(Message::text(start.to_string())).await.unwrap();
    let closed = async { while let Some(Ok(_)) = socket.next().await {} };
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(5), closed).await;
    assert!(in_time.is_ok(), "the socket stays open");
}

/// The token that the answer to the carrier's request gives for a call's stream.
async fn media_token(world: &World, id: &str, sid: &str) -> String {
    let voice = world.callback("voice", id, &[("CallSid", sid)]).await;
    let (_, rest) = voice
        .text
        .split_once("name=\"token\" value=\"")
        .expect("a token");
    rest.split('"').next().unwrap().to_owned()
}

// proves F-41, F-42
pub async fn a_stream_without_the_token_or_beside_another_gets_no_agent(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| simulator.agent.turns = (3, 3))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), once()).await;
    until("a conversation", async || {
        (world.simulator.totals().agent_sessions_opened == 1).then_some(())
    })
    .await;
    let talking = open_call(&world, &campaign, "connected").await;
    let (id, sid) = (text(&talking, "id"), text(&talking, "sid"));
    let token = media_token(&world, id, sid).await;
    let auth_token = world.simulator.config().auth_token.clone();

    let stranger = connect(&world, id, &auth_token).await.unwrap();
    refused_after_start(stranger, sid, "guessed").await;
    let second = connect(&world, id, &auth_token).await.unwrap();
    refused_after_start(second, sid, &token).await;
    let of_another_call = connect(&world, id, &auth_token).await.unwrap();
    refused_after_start(of_another_call, "CA79", &token).await;

    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().totals.agent_sessions_opened, 1);
    assert_eq!(world.contact(&campaign, 1).await["outcome"], "answered");
    world.end().await;
}
