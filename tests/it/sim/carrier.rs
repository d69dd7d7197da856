//! Calls over REST, webhooks and the media socket.

use std::{collections::BTreeSet, time::Duration};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD};
use dialtone::sim::{Behaviour, SimulatorConfig};
use serde_json::json;

use super::dialer::{ANNA, World, callee, sequence_number};

/// `number:status` of each callback.
fn told(hooks: &[super::dialer::Hook]) -> Vec<String> {
    hooks
        .iter()
        .map(|hook| format!("{}:{}", sequence_number(hook), hook.field("CallStatus")))
        .collect()
}

#[tokio::test]
async fn a_busy_number_is_told_with_numbered_signed_callbacks() {
    let mut world = World::start(callee(Behaviour::Busy)).await;
    let sid = world.dial(ANNA).await;
    let hooks = world.statuses_to_the_end().await;
    assert_eq!(told(&hooks), ["0:initiated", "1:ringing", "2:busy"]);
    let last = &hooks[2];
    assert_eq!(last.field("CallSid"), sid);
    assert_eq!(last.field("SipResponseCode"), "486");
    assert_eq!(
        (last.field("CallDuration"), last.field("Duration")),
        ("0", "0")
    );
    assert_eq!(last.field("CallbackSource"), "call-progress-events");
    assert_eq!(last.field("ToCountry"), "US");
    assert!(
        last.fields
            .contains(&("CalledZip".to_owned(), String::new()))
    );
    assert!(last.field("Timestamp").ends_with(" +0000"));
    let tokens: BTreeSet<_> = hooks.iter().map(|hook| &hook.idempotency_token).collect();
    assert_eq!(tokens.len(), 3);
    assert_eq!(world.simulator.ledger().totals.outcomes["busy"], 1);
    world.end().await;
}

#[tokio::test]
async fn nobody_answers_until_the_ring_timeout() {
    let mut world = World::start(callee(Behaviour::NoAnswer)).await;
    world.order(ANNA, &[("Timeout", "10")]).await;
    let hooks = world.statuses_to_the_end().await;
    assert_eq!(told(&hooks), ["0:initiated", "1:ringing", "2:no-answer"]);
    world.end().await;
}

#[tokio::test]
async fn an_invalid_number_fails_after_it_was_accepted_and_a_refused_one_at_once() {
    let mut world = World::start(callee(Behaviour::Invalid)).await;
    world.dial(ANNA).await;
    let hooks = world.statuses_to_the_end().await;
    assert_eq!(told(&hooks), ["0:initiated", "1:failed"]);
    assert_eq!(hooks[1].field("SipResponseCode"), "404");
    world.end().await;

    let world = World::start(callee(Behaviour::Refused)).await;
    let (status, refusal) = world.order(ANNA, &[]).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::BAD_REQUEST, &json!(21211))
    );
    assert_eq!(world.simulator.ledger().totals.calls_created, 0);
    world.end().await;
}

#[tokio::test]
async fn an_answered_call_streams_a_frame_every_20_ms_until_the_dialer_closes() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    let sid = world.dial(ANNA).await;
    let voice = world.next_hook("voice").await;
    assert_eq!(
        (voice.field("CallSid"), voice.field("CallStatus")),
        (&*sid, "in-progress")
    );
    assert_eq!(voice.field("CallbackSource"), "");
    let connected = world.next_frame().await.message;
    let expected = json!({"event": "connected", "protocol": "Call", "version": "1.0.0"});
    assert_eq!(connected, expected);
    let start = world.next_frame().await.message;
    assert_eq!(start["sequenceNumber"], "1");
    assert_eq!(start["start"]["callSid"], json!(sid));
    assert_eq!(start["start"]["customParameters"], json!({"attempt": "77"}));
    let first = world.next_frame().await;
    assert_eq!(first.message["media"]["chunk"], "1");
    for chunk in 2..=40 {
        let frame = world.next_frame().await;
        assert_eq!(frame.message["media"]["chunk"], json!(chunk.to_string()));
        if chunk == 40 {
            let took = (frame.at - first.at).as_millis();
            assert!((600..1_200).contains(&took), "39 frames took {took} ms");
        }
    }
    world.close_media().await;
    loop {
        let hook = world.next_hook("status").await;
        if hook.field("CallStatus") == "completed" {
            assert_eq!(sequence_number(&hook), 3);
            let seconds: u32 = hook.field("CallDuration").parse().unwrap();
            assert!((1..=4).contains(&seconds), "{seconds}");
            assert_eq!(hook.field("Duration"), "1");
            break;
        }
    }
    let ledger = world.simulator.ledger();
    assert_eq!(ledger.n_alerts(31921), 1);
    assert_eq!((ledger.totals.streams_open, ledger.totals.live), (0, 0));
    world.end().await;
}

#[tokio::test]
async fn a_pressed_key_is_told_once_and_in_its_place() {
    let mut world = World::start(callee(Behaviour::PressesNine)).await;
    world.dial(ANNA).await;
    // `connected` has no number.
    world.next_frame().await;
    let mut n_keys = 0;
    for number in 1..=150 {
        let message = world.next_frame().await.message;
        assert_eq!(message["sequenceNumber"], json!(number.to_string()));
        if message["event"] == "dtmf" {
            n_keys += 1;
            let dtmf = json!({"track": "inbound_track", "digit": "9"});
            assert_eq!(message["dtmf"], dtmf);
        }
    }
    assert_eq!(n_keys, 1);
    world.close_media().await;
    world.end().await;
}

#[tokio::test]
async fn clear_returns_the_waiting_marks_and_played_audio_returns_its_own() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    world.dial(ANNA).await;
    let start = world.next_event("start").await;
    let sid = &start["streamSid"];
    let audio = |ms: usize| {
        let payload = STANDARD.encode(vec![0xff; ms * 8]);
        json!({"event": "media", "streamSid": sid, "media": {"payload": payload}})
    };
    let mark = |name: &str| json!({"event": "mark", "streamSid": sid, "mark": {"name": name}});
    world.say(audio(60)).await;
    world.say(mark("played")).await;
    world.say(audio(60_000)).await;
    world.say(mark("a")).await;
    world.say(mark("b")).await;
    assert_eq!(world.next_event("mark").await["mark"]["name"], "played");
    world.say(json!({"event": "clear", "streamSid": sid})).await;
    assert_eq!(world.next_event("mark").await["mark"]["name"], "a");
    assert_eq!(world.next_event("mark").await["mark"]["name"], "b");
    world.end().await;
}

#[tokio::test]
async fn violations_of_the_media_protocol_are_counted_and_the_stream_goes_on() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    world.dial(ANNA).await;
    let start = world.next_event("start").await;
    let sid = &start["streamSid"];
    world
        .say(json!({"event": "clear", "streamSid": "MZ0"}))
        .await;
    let extra = json!({"event": "media", "streamSid": sid, "media": {"payload": "/w==", "x": 1}});
    world.say(extra).await;
    world
        .say(json!({"event": "media", "streamSid": sid, "media": {"payload": "%"}}))
        .await;
    let mark = json!({"event": "mark", "streamSid": sid, "mark": {"name": "still here"}});
    world.say(mark).await;
    assert_eq!(world.next_event("mark").await["mark"]["name"], "still here");
    assert_eq!(world.simulator.ledger().n_alerts(31951), 3);
    world.end().await;
}

#[tokio::test]
async fn hanging_up_by_rest_stops_the_stream_and_cannot_be_done_twice() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    let sid = world.dial(ANNA).await;
    world.next_event("media").await;
    let hang_up = [("Status", "completed")];
    let (status, _) = world.post(&world.call_url(&sid), &hang_up).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        world.next_event("stop").await["stop"]["callSid"],
        json!(sid)
    );
    while world.next_hook("status").await.field("CallStatus") != "completed" {}
    let (status, refusal) = world.post(&world.call_url(&sid), &hang_up).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::NOT_FOUND, &json!(20404))
    );
    let redirect = [("Twiml", "<Response/>")];
    let (status, refusal) = world.post(&world.call_url(&sid), &redirect).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::BAD_REQUEST, &json!(21220))
    );
    world.end().await;
}

#[tokio::test]
async fn a_queued_call_can_be_canceled_and_the_rate_is_kept() {
    let config = SimulatorConfig {
        calls_per_second: 0.01,
        ..callee(Behaviour::Busy)
    };
    let mut world = World::start(config).await;
    world.dial(ANNA).await;
    let waiting = world.dial("+15005550102").await;
    let (_, call) = world.get(&world.call_url(&waiting)).await;
    assert_eq!(call["status"], "queued");
    let queue_time: u64 = call["queue_time"].as_str().unwrap().parse().unwrap();
    assert!((3_000..=5_000).contains(&queue_time), "{queue_time}");
    world
        .post(&world.call_url(&waiting), &[("Status", "canceled")])
        .await;
    loop {
        let hook = world.next_hook("status").await;
        if hook.field("CallSid") == waiting {
            assert_eq!(hook.field("CallStatus"), "canceled");
            break;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let world = World::start(SimulatorConfig::for_testing()).await;
    let account = &world.simulator.config().account_sid;
    let request = world.http.get(world.calls_url());
    let response = request
        .basic_auth(account, Some("wrong"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(
        response.headers()["twilio-request-id"]
            .to_str()
            .unwrap()
            .starts_with("RQ")
    );
    assert_eq!(
        response.json::<serde_json::Value>().await.unwrap()["code"],
        20003
    );
    let (status, refusal) = world.get(&world.call_url("CA0")).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::NOT_FOUND, &json!(20404))
    );
    world.end().await;
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = World::start(callee(Behaviour::Busy)).await;
    for _ in 0..3 {
        world.dial(ANNA).await;
    }
    world.dial("+15005550102").await;
    let url = format!("{}?To=%2B15005550101&PageSize=2", world.calls_url());
    let (_, first) = world.get(&url).await;
    assert_eq!(first["calls"].as_array().unwrap().len(), 2);
    let next = first["next_page_uri"].as_str().unwrap();
    let (_, second) = world
        .get(&format!("{}{next}", world.simulator.base_url()))
        .await;
    assert_eq!(second["calls"].as_array().unwrap().len(), 1);
    assert_eq!(second["next_page_uri"], json!(null));
    assert_ne!(first["calls"][1]["sid"], second["calls"][0]["sid"]);
    world.end().await;
}

#[tokio::test]
async fn a_refused_callback_is_sent_again_as_its_address_says() {
    let mut world = World::start(SimulatorConfig::for_testing()).await;
    let broken = world.hook_url("broken#rc=2&rp=5xx");
    let form = [
        ("To", "+15005550102"),
        ("From", "+15005550006"),
        ("Twiml", "<Response/>"),
        ("StatusCallback", &*broken),
    ];
    world.post(&world.calls_url(), &form).await;
    let first = world.next_hook("broken").await;
    assert_eq!(first.field("CallStatus"), "completed");
    for _ in 0..2 {
        let again = world.next_hook("broken").await;
        assert_eq!(again.idempotency_token, first.idempotency_token);
    }
    assert!(world.hears_nothing_for(Duration::from_millis(100)).await);
    assert_eq!(world.simulator.ledger().totals.callbacks.failed, 1);
    world.end().await;
}

#[tokio::test]
async fn calls_beyond_the_accounts_concurrency_are_refused() {
    let config = SimulatorConfig {
        max_concurrent: Some(1),
        ..callee(Behaviour::NoAnswer)
    };
    let world = World::start(config).await;
    world.dial(ANNA).await;
    let (status, refusal) = world.order("+15005550102", &[]).await;
    assert_eq!(
        (status, &refusal["code"]),
        (StatusCode::BAD_REQUEST, &json!(10004))
    );
    assert_eq!(world.simulator.ledger().totals.live_max, 1);
    world.end().await;
}
