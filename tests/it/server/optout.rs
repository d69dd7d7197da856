//! People who want no more calls.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::{
        Timestamp,
        ids::{SuppressionId, TenantId},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    sim::Behaviour::{AsksNotToBeCalled, NoAnswer, PressesNine},
};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, person, until};

/// Within this time an opt-out acts.
const EFFECT: Duration = Duration::from_secs(1);

/// What the list of those who must not be contacted says about a person.
async fn suppressions_of(world: &World, n: u32) -> Vec<Suppression> {
    let subjects = [Subject::Phone(person(n).parse().unwrap())];
    let found = world.store.suppressions_of(TenantId::DEFAULT, &subjects);
    found.await.unwrap()
}

/// The one call to a person, with its timeline and transcript.
async fn call_to(world: &World, campaign: &str, n: u32) -> Value {
    let calls = world.calls_to(campaign, n).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    let id = calls[0]["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

fn moments<'a>(call: &'a Value, kind: &str) -> Vec<&'a Value> {
    let timeline = call["timeline"].as_array().unwrap();
    timeline.iter().filter(|it| it["kind"] == kind).collect()
}

// proves F-71
pub async fn who_presses_9_is_on_the_list_within_a_second(place: Arc<Place>) {
    let world = Scenario::on(&place).callee(1, [PressesNine]).start().await;
    let campaign = world.start_campaign(&list(1..3), json!({})).await;
    world.until_status(&campaign, "completed").await;

    let entries = suppressions_of(&world, 1).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = &entries[0];
    assert_eq!(
        (entry.source, entry.scope, entry.tenant),
        (SuppressionSource::Keypad, Scope::All, TenantId::DEFAULT)
    );
    assert_eq!(suppressions_of(&world, 2).await, []);

    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered");
    let (pressed, noted) = (moments(&call, "keyPressed"), moments(&call, "optedOut"));
    assert_eq!((pressed.len(), noted.len()), (1, 1), "{call}");
    assert_eq!(
        noted[0]["text"],
        "the callee wants no more calls, told by keypad"
    );
    let pressed_at: Timestamp = pressed[0]["at"].as_str().unwrap().parse().unwrap();
    let took = entry.at.duration_since(pressed_at).unsigned_abs();
    assert!(took < EFFECT, "{took:?}");
    world.end().await;
}

// proves F-71
pub async fn who_asks_the_agent_is_on_the_list_with_their_words_and_the_agent_is_told(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .callee(1, [AsksNotToBeCalled])
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;

    let call = call_to(&world, &campaign, 1).await;
    let transcript = call["transcript"].as_array().unwrap();
    let said = transcript.iter().find(|line| line["speaker"] == "callee");
    let entries = suppressions_of(&world, 1).await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].source, SuppressionSource::Agent);
    assert_eq!(entries[0].scope, Scope::All);
    assert_eq!(json!(entries[0].reason), said.unwrap()["text"], "{call}");
    assert_eq!(moments(&call, "optedOut").len(), 1, "{call}");
    let tools = &world.ledger().conversations[0].tools;
    assert_eq!(tools.len(), 1);
    assert!(!tools[0].is_error);
    assert_eq!(
        tools[0].result,
        "noted, this person will not be called again"
    );
    world.end().await;
}

pub async fn a_key_that_a_campaign_has_no_use_for_takes_nobody_off_the_list(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(PressesNine).start().await;
    for (n, key) in [(1, json!(null)), (2, json!("#"))] {
        let settings = json!({ "optOutKey": key });
        let campaign = world.start_campaign(&list(n..n + 1), settings).await;
        let shown = world.until_status(&campaign, "completed").await;
        assert_eq!(shown["settings"]["optOutKey"], key);
        let call = call_to(&world, &campaign, n).await;
        assert_eq!(moments(&call, "keyPressed").len(), 1, "{call}");
        assert_eq!(moments(&call, "optedOut").len(), 0, "{call}");
        assert_eq!(suppressions_of(&world, n).await, []);
    }
    world.end().await;
}

// proves F-50
pub async fn who_opted_out_stays_on_the_list_when_another_is_uploaded(place: Arc<Place>) {
    let world = Scenario::on(&place).callee(1, [PressesNine]).start().await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let before = suppressions_of(&world, 1).await;
    assert_eq!(before.len(), 1);
    let draft = [("start", "false")];
    world
        .owner
        .upload(&list(1..3), &json!({}), &draft)
        .await
        .ok();
    assert_eq!(suppressions_of(&world, 1).await, before);
    world.end().await;
}

// proves F-71
pub async fn a_suppression_withdraws_what_rings_and_lets_talks_finish(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [NoAnswer])
        .simulator(|simulator| simulator.agent.turns = (4, 4))
        .start()
        .await;
    let settings = json!({"ringTimeoutSeconds": 600});
    let campaign = world.start_campaign(&list(1..3), settings).await;
    world.until_progress(&campaign, "connected", 1).await;
    until("ringing", async || {
        let calls = world.calls_to(&campaign, 1).await;
        (calls[0]["state"] == "ringing").then_some(())
    })
    .await;
    let at = SystemClock.now();
    let entries = [1, 2].map(|n| Suppression {
        id: SuppressionId::new(SystemClock.new_uuid()),
        tenant: TenantId::DEFAULT,
        subject: Subject::Phone(person(n).parse().unwrap()),
        scope: Scope::All,
        source: SuppressionSource::Operator,
        reason: None,
        at,
    });
    let engine = &world.app.engine;
    let suppressed = engine.suppress(TenantId::DEFAULT, entries.to_vec());
    suppressed.await.unwrap();
    world.until_status(&campaign, "completed").await;

    let withdrawn = call_to(&world, &campaign, 1).await;
    assert_eq!(withdrawn["outcome"], "canceled", "{withdrawn}");
    assert_eq!(withdrawn["endedBy"], "system");
    let rang_on = world
        .ledger()
        .calls
        .into_iter()
        .find(|call| call.to == person(1));
    let ended_at = rang_on.unwrap().ended_at.unwrap();
    assert!(ended_at.duration_since(at).unsigned_abs() < EFFECT);
    let talk = call_to(&world, &campaign, 2).await;
    assert_eq!(talk["outcome"], "answered", "{talk}");
    assert_eq!(talk["endedBy"], "agent");
    world.end().await;
}
