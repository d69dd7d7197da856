//! What vendors of agents tell after a conversation.

use std::sync::Arc;

use dialtone::{
    clock::{Clock as _, SystemClock},
    sim::{ConversationFacts, Faults},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::world::{Answer, Place, REPORT_SECRET, Scenario, World, list, until};

const VENDORS: [&str; 2] = ["elevenlabs", "vapi"];

/// A word that nobody else says.
const WORD: &str = "Zwetschgenknödel";

/// Calls one person, and waits for the end of that.
async fn talk_by(world: &World, vendor: &str, n: u32) -> Value {
    let settings = json!({"agentVendor": vendor, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(n..n + 1), settings).await;
    world.until_status(&campaign, "completed").await;
    let call = world.calls_to(&campaign, n).await.remove(0);
    details(world, &call).await
}

async fn details(world: &World, call: &Value) -> Value {
    let id = call["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

/// The call once its report is there.
async fn reported(world: &World, call: &Value) -> Value {
    until("a report", async || {
        let call = details(world, call).await;
        (!call["report"].is_null()).then_some(call)
    })
    .await
}

/// How often the timeline says that there was a report.
fn n_reported(call: &Value) -> usize {
    let moments = call["timeline"].as_array().unwrap().iter();
    moments.filter(|it| it["kind"] == "reported").count()
}

/// What the simulator knows of the conversation of a call.
fn conversation(world: &World, call: &Value) -> ConversationFacts {
    let mut all = world.ledger().conversations.into_iter();
    all.find(|it| call["conversationId"] == it.conversation_id.as_str())
        .unwrap()
}

/// What ElevenLabs posts about a conversation, with the attempt where it knows that.
fn post_call(conversation: &Value, attempt: Option<&Value>, summary: &str) -> String {
    json!({
        "type": "post_call_transcription",
        "data": {
            "conversation_id": conversation,
            "analysis": {"call_successful": "failure", "transcript_summary": summary},
            "metadata": {"cost": 7},
            "conversation_initiation_client_data": {"dynamic_variables": {"attempt_id": attempt}},
        },
    })
    .to_string()
}

fn signed_at(unix_secs: i64, secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{unix_secs}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix_secs},v0={hex}")
}

async fn post(world: &World, vendor: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = format!("{}/webhooks/{vendor}", world.url());
    world.owner.post_raw(&url, headers, body).await
}

/// Posts what ElevenLabs would, with a right signature.
async fn post_signed(world: &World, body: &str) -> Answer {
    let signature = signed_at(SystemClock.now().as_second(), REPORT_SECRET, body);
    let headers = [("ElevenLabs-Signature", signature.as_str())];
    post(world, "elevenlabs", &headers, body).await
}

// proves F-53, F-55
pub async fn what_each_vendor_finds_arrives_beside_the_outcome(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .with_vapi()
        .takes_reports()
        .sends_reports(REPORT_SECRET)
        .start()
        .await;
    for vendor in VENDORS {
        let call = talk_by(&world, vendor, 1).await;
        let call = reported(&world, &call).await;
        let talk = conversation(&world, &call);
        assert_eq!(talk.vendor, vendor);
        let report = &call["report"];
        let (verdict, unit) = match (vendor, talk.user_lines) {
            ("elevenlabs", 0) => ("failure", "credits"),
            ("elevenlabs", 1) => ("unknown", "credits"),
            ("elevenlabs", _) => ("success", "credits"),
            (_, 0) => ("failure", "usd"),
            (_, _) => ("success", "usd"),
        };
        assert_eq!(report["verdict"], verdict, "{report}");
        assert_eq!(call["agentVerdict"], verdict);
        let summary = report["summary"].as_str().unwrap();
        assert!(summary.starts_with("The agent spoke "), "{summary}");
        assert_eq!(report["collected"], json!({"answers": talk.user_lines}));
        assert_eq!(report["cost"]["unit"], unit, "{report}");
        assert!(report["cost"]["millionths"].is_u64(), "{report}");
        // Whatever the agent made of it, somebody answered and talked.
        assert_eq!(call["outcome"], "answered", "{call}");
        assert_eq!(n_reported(&call), 1, "{call}");
        let listed = world.owner.all("/calls").await;
        assert!(listed.iter().any(|it| it["agentVerdict"] == verdict));
    }
    world.end().await;
}

// proves F-56
pub async fn what_is_not_signed_as_it_should_be_changes_nothing(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .with_vapi()
        .setting("ELEVENLABS_WEBHOOK_SECRET", REPORT_SECRET)
        .sends_reports("wsec_of_somebody_else")
        .start()
        .await;
    let mut calls = Vec::new();
    for vendor in VENDORS {
        let call = talk_by(&world, vendor, 1).await;
        until("a refused report", async || {
            (conversation(&world, &call).reports_refused > 0).then_some(())
        })
        .await;
        calls.push(call);
    }
    let call = &calls[0];
    let body = post_call(&call["conversationId"], Some(&call["id"]), "Nothing.");
    let now = SystemClock.now().as_second();
    let good = signed_at(now, REPORT_SECRET, &body);
    let refused = async |signature: &str, body: &str| {
        let headers = [("ElevenLabs-Signature", signature)];
        let answer = post(&world, "elevenlabs", &headers, body).await;
        answer.refused(401, "wrongSignature");
    };
    refused(&good, &body.replace("Nothing", "Anything")).await;
    refused(&good.replace("v0=", "v0=0"), &body).await;
    let old = signed_at(now - 3_600, REPORT_SECRET, &body);
    refused(&old, &body).await;
    refused("", &body).await;
    let bare = post(&world, "elevenlabs", &[], &body).await;
    bare.refused(401, "wrongSignature");
    // Vapi's secret is not set up, and nothing is taken on trust.
    let unchecked = post(&world, "vapi", &[("X-Vapi-Secret", "")], "{}").await;
    let problem = unchecked.refused(403, "noWebhookSecret");
    assert!(problem["detail"].as_str().unwrap().contains("secret"));
    for stranger in ["twilio", "nobody"] {
        let unknown = post(&world, stranger, &[], "{}").await;
        unknown.refused(404, "notFound");
    }
    for call in &calls {
        let call = details(&world, call).await;
        assert!(call["report"].is_null(), "{call}");
        assert_eq!(n_reported(&call), 0);
    }
    // The same is taken when it is signed as it should be.
    post_signed(&world, &body).await.ok();
    let call = reported(&world, call).await;
    assert_eq!(call["report"]["summary"], "Nothing.");
    let unreadable = post_signed(&world, r#"{"type":"post_call_transcription"}"#).await;
    unreadable.refused(422, "invalid");
    world.end().await;
}

// proves F-55
pub async fn reports_that_come_late_or_twice_say_it_once(place: Arc<Place>) {
    let faults = Faults {
        late_report: 1.0,
        late_by_ms: 1_000,
        duplicate_report: 1.0,
        ..Faults::default()
    };
    let mut world = Scenario::on(&place)
        .faults(faults)
        .with_vapi()
        .takes_reports()
        .sends_reports(REPORT_SECRET)
        .start()
        .await;
    let mut calls = Vec::new();
    for vendor in VENDORS {
        let call = talk_by(&world, vendor, 1).await;
        until("both reports", async || {
            (conversation(&world, &call).reports_taken == 2).then_some(())
        })
        .await;
        calls.push(reported(&world, &call).await);
    }
    // Much later, when another process knows nothing but the records; and it says something else.
    world = world.restart().await;
    let call = &calls[0];
    let again = post_call(&call["conversationId"], Some(&call["id"]), "Other words.");
    post_signed(&world, &again).await.ok();
    // What is told after it is processed after it.
    let next = talk_by(&world, "elevenlabs", 2).await;
    reported(&world, &next).await;
    for before in &calls {
        let call = details(&world, before).await;
        assert_eq!(call["report"], before["report"]);
        assert_eq!(call["outcome"], "answered");
        assert_eq!(n_reported(&call), 1, "{call}");
    }
    world.end().await;
}

// proves F-55
pub async fn a_report_finds_its_call_by_the_conversation_and_no_other(place: Arc<Place>) {
    let world = Scenario::on(&place).takes_reports().start().await;
    let one = talk_by(&world, "elevenlabs", 1).await;
    let two = talk_by(&world, "elevenlabs", 2).await;
    // Nobody here had it, or the attempt is another deployment's: it is not asked for again.
    let stranger = json!("conv_of_somebody_else");
    let elsewhere = json!("att_00000000000000000000000000000007_1");
    for attempt in [None, Some(&elsewhere)] {
        let unknown = post_call(&stranger, attempt, WORD);
        post_signed(&world, &unknown).await.ok();
    }
    // The attempt is known and was another conversation.
    let confused = post_call(&stranger, Some(&one["id"]), WORD);
    post_signed(&world, &confused).await.ok();
    // No report at all.
    post_signed(&world, r#"{"type":"post_call_audio","data":{}}"#)
        .await
        .ok();
    for (call, attempt) in [(&one, None), (&two, Some(&elsewhere))] {
        let body = post_call(&call["conversationId"], attempt, "Found.");
        post_signed(&world, &body).await.ok();
        let call = reported(&world, call).await;
        assert_eq!(call["report"]["summary"], "Found.", "{call}");
        assert_eq!(call["report"]["verdict"], "failure");
        assert_eq!(call["outcome"], "answered");
        assert_eq!(n_reported(&call), 1, "{call}");
    }
    world.end().await;
}

// proves F-50
pub async fn nothing_that_was_reported_outlives_an_erasure(place: Arc<Place>) {
    let world = Scenario::on(&place).takes_reports().start().await;
    let before = talk_by(&world, "elevenlabs", 1).await;
    let after = talk_by(&world, "elevenlabs", 2).await;
    let report = |call: &Value| post_call(&call["conversationId"], Some(&call["id"]), WORD);
    post_signed(&world, &report(&before)).await.ok();
    let told = reported(&world, &before).await;
    assert_eq!(told["report"]["summary"], WORD);
    assert!(place.dump().await.contains(WORD));
    let contact = told["contactId"].as_str().unwrap();
    let held = world
        .owner
        .get(&format!("/contacts/{contact}/export"))
        .await;
    assert_eq!(held.ok()["calls"][0]["report"]["summary"], WORD);

    for call in [&before, &after] {
        let contact = call["contactId"].as_str().unwrap();
        let path = format!("/contacts/{contact}/erase");
        world.owner.send(Method::POST, &path, None).await.ok();
    }
    assert!(!place.dump().await.contains(WORD));
    // Told once more of the one, and for the first time of the other.
    for call in [&before, &after] {
        post_signed(&world, &report(call)).await.ok();
    }
    let n_open = async || {
        let (now, many) = (SystemClock.now(), std::num::NonZeroU32::new(9).unwrap());
        let soon = now + std::time::Duration::from_secs(60);
        let tenant = dialtone::domain::ids::TenantId::DEFAULT;
        world
            .store
            .unsettled(tenant, soon, many)
            .await
            .unwrap()
            .len()
    };
    until("nothing left to process", async || {
        (n_open().await == 0).then_some(())
    })
    .await;
    assert!(!place.dump().await.contains(WORD));
    let left = details(&world, &before).await;
    let expected = json!({
        "verdict": null, "rating": null, "criteria": {}, "summary": null, "collected": {},
        "cost": {"millionths": 7_000_000, "unit": "credits"},
    });
    assert_eq!(left["report"], expected);
    assert_eq!(left["agentVerdict"], Value::Null);
    assert_eq!(n_reported(&left), 1);
    assert!(details(&world, &after).await["report"].is_null());
    world.end().await;
}
