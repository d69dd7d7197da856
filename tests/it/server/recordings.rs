//! Recordings of calls.

use std::{sync::Arc, time::Duration};

use dialtone::sim::{
    Behaviour::{Converses, NoAnswer},
    faults::Faults,
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, until};

fn recorded() -> Value {
    json!({"record": true, "retry": {"maxAttempts": 1}})
}

/// What the server answers to somebody who listens.
struct Sound {
    status: StatusCode,
    content_type: Option<String>,
    range: Option<String>,
    bytes: Vec<u8>,
}

async fn listen(world: &World, token: &str, call: &str, range: Option<&str>) -> Sound {
    fetch(world, token, &format!("/calls/{call}/recording"), range).await
}

async fn fetch(world: &World, token: &str, path: &str, range: Option<&str>) -> Sound {
    let url = format!("{}/api/v1{path}", world.url());
    let mut request = world.owner.http.get(url).bearer_auth(token);
    if let Some(range) = range {
        request = request.header(header::RANGE, range);
    }
    let response = request.send().await.unwrap();
    let headers = response.headers();
    let range = headers.get(header::CONTENT_RANGE);
    let content_type = headers.get(header::CONTENT_TYPE);
    Sound {
        status: response.status(),
        content_type: content_type.map(|it| it.to_str().unwrap().to_owned()),
        range: range.map(|range| range.to_str().unwrap().to_owned()),
        bytes: response.bytes().await.unwrap().to_vec(),
    }
}

/// The one call of a campaign, once its recording is told.
async fn recorded_call(world: &World, campaign: &str) -> String {
    world.until_status(campaign, "completed").await;
    let call = until("the recording", async || {
        let call = world.calls(campaign).await.remove(0);
        (call["hasRecording"] == true).then_some(call)
    })
    .await;
    call["id"].as_str().unwrap().to_owned()
}

/// The loudest sample of each channel.
fn loudest(file: &[u8]) -> [u16; 2] {
    let mut loudest = [0, 0];
    for frame in file[44..].chunks_exact(4) {
        for (channel, sample) in frame.chunks_exact(2).enumerate() {
            let sample = i16::from_le_bytes([sample[0], sample[1]]).unsigned_abs();
            loudest[channel] = sample.max(loudest[channel]);
        }
    }
    loudest
}

/// What the carrier has of a call.
async fn at_the_carrier(world: &World, sid: &str) -> Value {
    let config = world.simulator.config();
    let url = format!(
        "{}/2010-04-01/Accounts/{}/Calls/{sid}/Recordings.json",
        world.simulator.base_url(),
        config.account_sid
    );
    let request = world.owner.http.get(url);
    let request = request.basic_auth(&config.account_sid, Some(&config.auth_token));
    request.send().await.unwrap().json().await.unwrap()
}

// proves F-59
pub async fn both_sides_of_a_call_can_be_listened_to_from_anywhere_in_it(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    let campaign = world.start_campaign(&list(1..2), recorded()).await;
    let call = recorded_call(&world, &campaign).await;
    let shown = world.owner.get(&format!("/calls/{call}")).await.ok();
    let timeline = shown["timeline"].as_array().unwrap();
    assert!(
        timeline.iter().any(|it| it["kind"] == "recorded"),
        "{shown}"
    );

    let token = &world.owner.token;
    let whole = listen(&world, token, &call, None).await;
    assert_eq!((whole.status, whole.range), (StatusCode::OK, None));
    assert_eq!(&whole.bytes[..4], b"RIFF");
    let [callee, agent] = loudest(&whole.bytes);
    assert!(callee > 1000 && agent > 1000, "{callee} and {agent}");

    // A carrier that gives parts, and one that gives everything whatever is asked.
    let total = whole.bytes.len();
    let from = total * 9 / 10;
    for recording_in_parts in [true, false] {
        world.simulator.set_faults(Faults {
            recording_in_parts,
            ..Faults::default()
        });
        let part = listen(&world, token, &call, Some(&format!("bytes={from}-"))).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        let place = format!("bytes {from}-{}/{total}", total - 1);
        assert_eq!(part.range, Some(place));
        assert_eq!(part.bytes, whole.bytes[from..]);
    }
    let outside = listen(&world, token, &call, Some(&format!("bytes={total}-"))).await;
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    world.end().await;
}

// proves F-59
pub async fn a_recording_that_is_not_ready_is_said_to_be_so(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Converses)
        .faults(Faults {
            recording_late_ms: 3_600_000,
            ..Faults::default()
        })
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), recorded()).await;
    let call = recorded_call(&world, &campaign).await;
    let path = format!("/calls/{call}/recording");
    world.owner.get(&path).await.refused(409, "notYet");
    world.end().await;
}

pub async fn nothing_is_recorded_that_was_not_to_be(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    let settings = json!({"retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    let shown = world.until_status(&campaign, "completed").await;
    assert_eq!(shown["settings"]["record"], false);
    let call = world.calls(&campaign).await.remove(0);
    let sid = call["sid"].as_str().unwrap();
    assert_eq!(at_the_carrier(&world, sid).await["recordings"], json!([]));
    let path = format!("/calls/{}/recording", call["id"].as_str().unwrap());
    world.owner.get(&path).await.refused(404, "notFound");
    world.end().await;
}

pub async fn the_recordings_of_the_erased_are_deleted_at_the_carrier(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    let campaign = world.start_campaign(&list(1..2), recorded()).await;
    let call = recorded_call(&world, &campaign).await;
    let shown = world.owner.get(&format!("/calls/{call}")).await.ok();
    let sid = shown["sid"].as_str().unwrap();
    let kept = at_the_carrier(&world, sid).await;
    assert_eq!(kept["recordings"].as_array().unwrap().len(), 1, "{kept}");
    let whom = json!({"phone": shown["phone"]});
    world.owner.post("/contacts/erase", &whom).await.ok();
    assert_eq!(at_the_carrier(&world, sid).await["recordings"], json!([]));
    let path = format!("/calls/{call}/recording");
    world.owner.get(&path).await.refused(404, "notFound");

    // The carrier tells of it once more: it is deleted, not kept.
    let fields = [
        ("CallSid", sid),
        ("RecordingSid", "RE00000000000000000000000000000009"),
        ("RecordingStatus", "completed"),
    ];
    let told = world.callback("recording", &call, &fields).await;
    assert_eq!(told.status.as_u16(), 204);
    let shown = world.owner.get(&format!("/calls/{call}")).await.ok();
    assert_eq!(shown["hasRecording"], false);
    world.end().await;
}

/// Recordings that cannot be deleted, or can.
fn deletions_fail(share: f64) -> Faults {
    Faults {
        delete_recording_fails: share,
        ..Faults::default()
    }
}

pub async fn a_recording_is_deleted_when_it_is_as_old_as_it_may_become(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Converses)
        .faults(deletions_fail(1.0))
        .engine(|settings| {
            settings.timing.day = Duration::from_millis(1);
            settings.retention = Duration::from_millis(50);
        })
        .start()
        .await;
    let kept = world.start_campaign(&list(1..2), recorded()).await;
    let kept = recorded_call(&world, &kept).await;
    let mut settings = recorded();
    settings["recordingDays"] = json!(1);
    let campaign = world.start_campaign(&list(2..3), settings).await;
    let shown = world.owner.get(&format!("/campaigns/{campaign}")).await;
    assert_eq!(shown.ok()["settings"]["recordingDays"], 1);
    let call = recorded_call(&world, &campaign).await;
    let path = format!("/calls/{call}");
    let sid = world.owner.get(&path).await.ok()["sid"].clone();
    let sid = sid.as_str().unwrap();
    let there = at_the_carrier(&world, sid).await;
    assert_eq!(there["recordings"].as_array().unwrap().len(), 1, "{there}");

    // The campaign goes, what it kept does not stay; and the carrier is asked until it does it.
    let address = format!("/campaigns/{campaign}");
    let deleted = world.owner.send(Method::DELETE, &address, None).await;
    assert!(deleted.status.is_success(), "{}", deleted.text);
    world.simulator.set_faults(deletions_fail(0.0));
    let shown = until("the deletion", async || {
        let shown = world.owner.get(&path).await.ok();
        (shown["hasRecording"] == false).then_some(shown)
    })
    .await;
    assert!(shown["recordingDeletedAt"].is_string(), "{shown}");
    let timeline = shown["timeline"].as_array().unwrap();
    let deletions = timeline
        .iter()
        .filter(|it| it["kind"] == "recordingDeleted");
    assert_eq!(deletions.count(), 1, "{shown}");
    assert_eq!(at_the_carrier(&world, sid).await["recordings"], json!([]));
    let path = format!("/calls/{call}/recording");
    world.owner.get(&path).await.refused(410, "deleted");

    let kept = listen(&world, &world.owner.token, &kept, None).await;
    assert_eq!(kept.status, StatusCode::OK, "no days were asked for");
    world.end().await;
}

pub async fn what_the_agents_vendor_recorded_is_had_with_its_key(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Converses)
        .callee(9, [NoAnswer])
        .with_vapi()
        .start()
        .await;
    for (person, vendor, kind) in [(1, "elevenlabs", "audio/mpeg"), (2, "vapi", "audio/wav")] {
        let settings = json!({"agentVendor": vendor, "retry": {"maxAttempts": 1}});
        let campaign = world
            .start_campaign(&list(person..person + 1), settings)
            .await;
        world.until_status(&campaign, "completed").await;
        let call = world.calls(&campaign).await.remove(0);
        let path = format!("/calls/{}/agent-recording", call["id"].as_str().unwrap());
        let token = &world.owner.token;
        let whole = until("the vendor's recording", async || {
            let sound = fetch(&world, token, &path, None).await;
            if sound.status == StatusCode::CONFLICT {
                return None;
            }
            assert_eq!(sound.status, StatusCode::OK, "{vendor}");
            Some(sound)
        })
        .await;
        assert_eq!(whole.content_type.as_deref(), Some(kind));
        let total = whole.bytes.len();
        let part = fetch(&world, token, &path, Some("bytes=-100")).await;
        let place = format!("bytes {}-{}/{total}", total - 100, total - 1);
        assert_eq!(part.range, Some(place), "{vendor}");
        assert_eq!(part.bytes, whole.bytes[total - 100..]);
        let nobody = fetch(&world, "no token", &path, None).await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    }
    let settings = json!({"retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(9..10), settings).await;
    world.until_status(&campaign, "completed").await;
    let call = world.calls(&campaign).await.remove(0);
    let path = format!("/calls/{}/agent-recording", call["id"].as_str().unwrap());
    world.owner.get(&path).await.refused(404, "notFound");
    world.end().await;
}
