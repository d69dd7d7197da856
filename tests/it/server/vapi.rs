//! Calls with Vapi's assistants, and what becomes of calls while one vendor's agents fail.

use std::sync::Arc;

use dialtone::sim::{
    AudioFormat,
    Behaviour::{AsksNotToBeCalled, Converses},
    Faults,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list};

/// Nobody is called twice, one call is up at a time, and hearing nobody stands nothing still.
fn one_by_one(vendor: &str) -> Value {
    json!({
        "agentVendor": vendor,
        "maxConcurrentCalls": 1,
        "retry": {"maxAttempts": 1},
        "silentLimit": {"warnPermille": 1000, "stopPermille": 1000, "leastAnswered": 1000},
    })
}

async fn details(world: &World, campaign: &str, n: u32) -> Value {
    let calls = world.calls_to(campaign, n).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    let id = calls[0]["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

/// Which vendor served each call, the first one first; none where none did.
async fn served_by(world: &World, campaign: &str) -> Vec<Option<String>> {
    let calls = world.calls(campaign).await;
    let vendors = calls.iter().map(|call| &call["agentVendor"]);
    vendors.map(|it| it.as_str().map(str::to_owned)).collect()
}

// proves F-43, F-62
pub async fn a_talk_with_vapi_is_briefed_kept_and_ended(place: Arc<Place>) {
    let world = Scenario::on(&place).with_vapi().start().await;
    let settings = json!({"agentVendor": "vapi", "maxDurationSeconds": 700});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    let view = world.until_status(&campaign, "completed").await;
    assert_eq!(view["settings"]["agentVendor"], "vapi");

    let call = details(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    assert_eq!(call["agentVendor"], "vapi");
    assert_eq!(call["endedBy"], "agent");
    assert!(call["answerToFirstAudioMs"].is_u64(), "{call}");
    let conversations = world.ledger().conversations;
    assert_eq!(conversations.len(), 1);
    let talk = &conversations[0];
    assert_eq!(talk.vendor, "vapi");
    assert_eq!(call["conversationId"], talk.conversation_id.as_str());
    assert_eq!(talk.prompt, "You call Person 1 from Town 1.");
    assert_eq!(talk.first_message, "Hello Person 1, how is Town 1?");
    for (variable, value) in [
        ("campaign_id", json!(campaign)),
        ("contact_id", call["contactId"].clone()),
        ("attempt_id", call["id"].clone()),
        ("call_sid", call["sid"].clone()),
    ] {
        assert_eq!(talk.dynamic_variables[variable], value, "{variable}");
    }
    let transcript = call["transcript"].as_array().unwrap();
    assert_eq!(transcript[0]["text"], "Hello Person 1, how is Town 1?");
    let n_lines = |speaker: &str| {
        let lines = transcript.iter().filter(|line| line["speaker"] == speaker);
        u32::try_from(lines.count()).unwrap()
    };
    assert_eq!(n_lines("agent"), talk.agent_lines, "{transcript:?}");
    assert_eq!(n_lines("callee"), talk.user_lines, "{transcript:?}");
    assert!(talk.agent_lines >= 2 && talk.user_lines >= 1, "{talk:?}");
    assert!(
        transcript.iter().all(|line| line["final"] == true),
        "{transcript:?}"
    );
    world.end().await;
}

// proves F-31
pub async fn who_speaks_over_vapis_agent_interrupts_it(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| {
            // Slow enough that whoever cuts in does so before the agent is done.
            simulator.speed = 5.0;
            simulator.agent.turns = (4, 4);
        })
        .with_vapi()
        .setting("DIALTONE_AGENT_VENDOR", "vapi")
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..12), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let n_real: usize = world
        .ledger()
        .conversations
        .iter()
        .map(|talk| talk.interruptions as usize)
        .sum();
    let mut n_clears = 0;
    for n in 0..12 {
        let call = details(&world, &campaign, n).await;
        let moments = call["timeline"].as_array().unwrap().iter();
        n_clears += moments.filter(|it| it["kind"] == "interrupted").count();
        assert_eq!(call["outcome"], "answered", "{call}");
    }
    assert!((1..=n_real).contains(&n_clears), "{n_clears} of {n_real}");
    world.end().await;
}

// proves F-71
pub async fn who_asks_vapis_agent_is_on_the_list(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [AsksNotToBeCalled])
        .with_vapi()
        .setting("DIALTONE_AGENT_VENDOR", "vapi")
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let call = details(&world, &campaign, 1).await;
    let moments = call["timeline"].as_array().unwrap();
    let n_noted = moments.iter().filter(|it| it["kind"] == "optedOut").count();
    assert_eq!(n_noted, 1, "{call}");
    assert_eq!(world.owner.all("/suppressions").await.len(), 1);
    let served = served_by(&world, &campaign).await;
    assert_eq!(served, vec![Some("vapi".to_owned()); 2]);
    world.end().await;
}

// proves F-29
pub async fn agents_with_other_formats_are_converted_for(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| {
            simulator.agent.input_format = AudioFormat::Pcm16000;
            simulator.agent.output_format = AudioFormat::Pcm16000;
        })
        .with_vapi()
        .setting("VAPI_AUDIO", "linear")
        .start()
        .await;
    for vendor in ["elevenlabs", "vapi"] {
        let settings = json!({"agentVendor": vendor});
        let campaign = world.start_campaign(&list(1..2), settings).await;
        world.until_status(&campaign, "completed").await;
        let call = details(&world, &campaign, 1).await;
        assert_eq!(call["outcome"], "answered", "{call}");
        assert_eq!(
            (&call["agentVendor"], &call["endedBy"]),
            (&json!(vendor), &json!("agent"))
        );
    }
    // Both were heard by somebody who answers, and heard the answer.
    for talk in &world.ledger().conversations {
        assert!(talk.agent_lines >= 2 && talk.user_lines >= 1, "{talk:?}");
    }
    world.end().await;
}

// proves F-35, F-36
pub async fn a_call_that_one_vendor_refuses_is_taken_by_the_other(place: Arc<Place>) {
    let faults = Faults {
        vapi_refuses: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .faults(faults)
        .with_vapi()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..5), one_by_one("vapi")).await;
    world.until_status(&campaign, "completed").await;
    for n in 0..5 {
        assert_eq!(world.contact(&campaign, n).await["outcome"], "answered");
    }
    let served = served_by(&world, &campaign).await;
    assert_eq!(served, vec![Some("elevenlabs".to_owned()); 5]);
    world.end().await;
}

// proves F-36
pub async fn new_calls_go_to_the_other_vendor_while_one_breaks_them_off(place: Arc<Place>) {
    let faults = Faults {
        vapi_crashes: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Converses)
        .faults(faults)
        .with_vapi()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..4), one_by_one("vapi")).await;
    world.until_status(&campaign, "completed").await;
    let served = served_by(&world, &campaign).await;
    let served: Vec<_> = served.iter().map(|it| it.as_deref().unwrap()).collect();
    // Three that broke off are enough; a talk never changes its vendor.
    assert_eq!(served, ["vapi", "vapi", "vapi", "elevenlabs"]);
    for (call, vendor) in world.calls(&campaign).await.iter().zip(served) {
        let failure = call["agentFailure"].as_str().unwrap_or_default();
        assert_eq!(failure.contains("vapifault"), vendor == "vapi", "{call}");
    }
    world.end().await;
}

pub async fn a_vendor_that_is_not_set_up_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let settings = json!({"agentVendor": "vapi"});
    let refused = world.owner.upload(&list(0..1), &settings, &[]).await;
    let problem = refused.refused(422, "invalid");
    assert_eq!(
        problem["errors"][0]["pointer"], "/settings/agentVendor",
        "{problem}"
    );
    let usual = world.start_campaign(&list(0..1), json!({})).await;
    let change = json!({ "settings": settings });
    let path = format!("/campaigns/{usual}");
    let patched = world.owner.send(Method::PATCH, &path, Some(&change)).await;
    patched.refused(422, "invalid");
    world.until_status(&usual, "completed").await;
    assert_eq!(
        served_by(&world, &usual).await,
        [Some("elevenlabs".to_owned())]
    );
    world.end().await;
}
