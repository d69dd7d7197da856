//! A list becomes calls, and what became of each can be read.

use std::sync::Arc;

use dialtone::sim::Behaviour::{Busy, Converses, HangsUp, Invalid, NoAnswer, Refused};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, list, person};

/// Each kind of outcome is tried again once, a second later.
fn retrying() -> Value {
    let again = json!({"count": 1, "delaySeconds": 1});
    json!({
        "ringTimeoutSeconds": 20,
        "retry": {"maxAttempts": 3, "busy": again, "noAnswer": again, "failed": again},
    })
}

// proves F-12, F-46
pub async fn a_list_becomes_calls_and_each_person_comes_to_an_end(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [Converses])
        .callee(2, [Busy, Converses])
        .callee(3, [NoAnswer])
        .callee(4, [Invalid])
        .callee(5, [Refused])
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..6), retrying()).await;
    world.until_status(&campaign, "completed").await;

    for (n, outcome, attempts) in [
        (1, "answered", vec!["answered"]),
        (2, "answered", vec!["busy", "answered"]),
        (3, "noAnswer", vec!["noAnswer", "noAnswer"]),
        (4, "failed", vec!["failed"]),
        (5, "failed", vec!["failed"]),
    ] {
        let contact = world.contact(&campaign, n).await;
        assert_eq!(contact["outcome"], outcome, "{contact}");
        assert_eq!(contact["state"], "finished");
        assert_eq!(contact["attempts"], attempts.len(), "{contact}");
        let calls = world.calls_to(&campaign, n).await;
        let outcomes: Vec<_> = calls.iter().map(|call| call["outcome"].clone()).collect();
        assert_eq!(outcomes, attempts, "{calls:?}");
        for call in &calls {
            assert_eq!(call["state"], "ended");
            assert_eq!(call["from"], world.simulator.config().numbers[0]);
        }
    }
    let unknown = world.calls_to(&campaign, 4).await.remove(0);
    assert_eq!(unknown["fault"]["class"], "number", "{unknown}");
    let refused = world.calls_to(&campaign, 5).await.remove(0);
    assert_eq!(refused["fault"]["code"], 21211, "{refused}");
    assert_eq!(refused["sid"], Value::Null);
    assert_eq!(world.ledger().numbers[&person(5)].requests, 1);
    world.end().await;
}

// proves F-43
pub async fn the_agent_is_told_who_is_on_the_line(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let csv = format!(
        "Full Name,Phone,City\n\"Ann \"\"Z\"\" O'Hara\",{},Köln & Bonn\n",
        person(1)
    );
    let campaign = world.start_campaign(&csv, json!({})).await;
    world.until_status(&campaign, "completed").await;

    let call = world.calls_to(&campaign, 1).await.remove(0);
    let conversations = world.ledger().conversations;
    assert_eq!(conversations.len(), 1);
    let talk = &conversations[0];
    assert_eq!(talk.prompt, "You call Ann \"Z\" O'Hara from Köln & Bonn.");
    assert_eq!(
        talk.first_message,
        "Hello Ann \"Z\" O'Hara, how is Köln & Bonn?"
    );
    for (variable, value) in [
        ("campaign_id", json!(campaign)),
        ("contact_id", call["contactId"].clone()),
        ("attempt_id", call["id"].clone()),
        ("call_sid", call["sid"].clone()),
        ("name", json!("Ann \"Z\" O'Hara")),
        ("city", json!("Köln & Bonn")),
        ("phone", json!(person(1))),
    ] {
        assert_eq!(talk.dynamic_variables[variable], value, "{variable}");
    }
    assert_eq!(call["conversationId"], talk.conversation_id.as_str());
    world.end().await;
}

// proves F-62
pub async fn a_talk_is_kept_with_its_timeline_and_both_sides_words(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;

    let id = world.calls_to(&campaign, 1).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let call = world.owner.get(&format!("/calls/{id}")).await.ok();
    let kinds: Vec<&str> = call["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moment| moment["kind"].as_str().unwrap())
        .collect();
    let place_of = |kind: &str| {
        let n = kinds.iter().filter(|it| **it == kind).count();
        assert_eq!(n, 1, "{kind} in {kinds:?}");
        kinds.iter().position(|it| *it == kind)
    };
    let order = [
        "reserved",
        "connected",
        "mediaStarted",
        "agentJoined",
        "mediaEnded",
        "ended",
    ];
    let places = order.map(place_of);
    assert!(places.is_sorted(), "{kinds:?}");

    let transcript = call["transcript"].as_array().unwrap();
    let talk = &world.ledger().conversations[0];
    let n_lines = |speaker: &str| {
        let lines = transcript.iter().filter(|line| line["speaker"] == speaker);
        u32::try_from(lines.count()).unwrap()
    };
    assert_eq!(n_lines("agent"), talk.agent_lines, "{transcript:?}");
    assert_eq!(n_lines("callee"), talk.user_lines, "{transcript:?}");
    assert!(talk.agent_lines >= 2 && talk.user_lines >= 1, "{talk:?}");
    assert_eq!(transcript[0]["text"], "Hello Person 1, how is Town 1?");
    assert!(
        transcript.iter().all(|line| line["final"] == true),
        "{transcript:?}"
    );
    assert!(
        call["answerToFirstAudioMs"].as_u64().unwrap() < 1_000,
        "{call}"
    );
    world.end().await;
}

// proves F-58
pub async fn who_hung_up_is_known(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(2, [HangsUp])
        .simulator(|simulator| simulator.agent.turns = (2, 2))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), json!({})).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.calls_to(&campaign, 1).await[0]["endedBy"], "agent");
    assert_eq!(world.calls_to(&campaign, 2).await[0]["endedBy"], "callee");
    world.end().await;
}

// proves F-16
pub async fn a_person_in_two_campaigns_gets_a_call_from_each_and_progresses_in_each(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .callee(1, [Busy, Converses])
        .start()
        .await;
    let first = world.start_campaign(&list(1..2), retrying()).await;
    world.until_status(&first, "completed").await;
    let second = world.start_campaign(&list(1..3), retrying()).await;
    world.until_status(&second, "completed").await;
    assert_eq!(world.contact(&first, 1).await["attempts"], 2);
    assert_eq!(world.contact(&second, 1).await["attempts"], 1);
    let contacts = [&first, &second].map(|campaign| world.contact(campaign, 1));
    let [one, other] = futures_util::future::join_all(contacts)
        .await
        .try_into()
        .unwrap();
    assert_eq!(
        one["contactId"], other["contactId"],
        "one person in the address book"
    );
    world.end().await;
}

pub async fn how_long_the_agent_took_to_answer_is_kept_with_each_turn(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Converses)
        .simulator(|simulator| {
            simulator.agent.turns = (2, 2);
            // Slow enough that nobody answers as fast as an echo.
            simulator.speed = 2.0;
        })
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), retrying()).await;
    world.until_status(&campaign, "completed").await;
    for n in 1..3 {
        let id = world.calls_to(&campaign, n).await.remove(0)["id"].clone();
        let path = format!("/calls/{}", id.as_str().unwrap());
        let call = world.owner.get(&path).await.ok();
        let lines = call["transcript"].as_array().unwrap();
        let (agent, callee): (Vec<&Value>, Vec<&Value>) =
            lines.iter().partition(|line| line["speaker"] == "agent");
        assert_eq!(agent[0]["latencyMs"], Value::Null, "a greeting: {call}");
        assert!(
            callee.iter().all(|line| line["latencyMs"].is_null()),
            "{call}"
        );
        let mut waits: Vec<u64> = agent
            .iter()
            .filter_map(|line| line["latencyMs"].as_u64())
            .collect();
        waits.sort_unstable();
        let latency = &call["latency"];
        assert!(!waits.is_empty(), "{call}");
        assert_eq!(latency["turns"], waits.len(), "{call}");
        assert_eq!(latency["medianMs"], waits[(waits.len() - 1) / 2], "{call}");
        assert_eq!(latency["worstMs"], waits[waits.len() - 1], "{call}");
    }
    world.end().await;
}
