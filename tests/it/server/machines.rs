//! Machines that answer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dialtone::{
    domain::ids::{AttemptId, TenantId},
    sim::{
        Behaviour::{Converses, Fax, Machine},
        SimulatorConfig,
        faults::Faults,
        ledger::CallFacts,
    },
};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, person, until};

/// How much faster than life people act where a machine is to record something.
const SLOW: f64 = 4.0;

fn once(machines: Value) -> Value {
    json!({"retry": {"maxAttempts": 1}, "machines": machines})
}

/// An agent that is not done with a machine before its verdict comes.
fn talkative(simulator: &mut SimulatorConfig) {
    simulator.agent.turns = (3, 3);
}

/// The one call to a person, with its timeline.
async fn call_to(world: &World, campaign: &str, n: u32) -> Value {
    let calls = world.calls_to(campaign, n).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    let id = calls[0]["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

/// What really happened in the one call to a person.
fn real_call_to(world: &World, n: u32) -> CallFacts {
    let calls = world.ledger().calls.into_iter();
    let mut calls = calls.filter(|call| call.to == person(n));
    let call = calls.next().unwrap();
    assert!(calls.next().is_none(), "person {n} was called twice");
    call
}

fn kinds(call: &Value) -> Vec<&str> {
    let timeline = call["timeline"].as_array().unwrap();
    timeline
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect()
}

// proves F-26
pub async fn a_machine_is_hung_up_on_and_a_person_is_not(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [Machine])
        .simulator(talkative)
        .start()
        .await;
    let machines = json!({"detection": "async", "onMachine": "hangUp"});
    let campaign = world.start_campaign(&list(1..3), once(machines)).await;
    let shown = world.until_status(&campaign, "completed").await;
    assert_eq!(shown["settings"]["machines"]["detection"], "async");

    let machine = call_to(&world, &campaign, 1).await;
    assert_eq!(machine["outcome"], "voicemail", "{machine}");
    assert_eq!(machine["answeredBy"], "machine");
    assert_eq!(machine["endedBy"], "system");
    assert!(kinds(&machine).contains(&"detected"), "{machine}");
    let person = call_to(&world, &campaign, 2).await;
    assert_eq!(person["outcome"], "answered", "{person}");
    assert_eq!(person["answeredBy"], "human");
    world.end().await;
}

// proves F-26
pub async fn a_message_is_left_after_the_beep(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [Machine])
        .callee(3, [Machine])
        .callee(4, [Machine])
        .simulator(talkative)
        .simulator(|simulator| simulator.speed = SLOW)
        .start()
        .await;
    let text = json!({"onMachine": "leaveMessage", "message": "Hello {{name}} of {{city}} & all."});
    for (mode, people) in [("async", 1..3), ("beforeConnecting", 3..4)] {
        let mut machines = text.clone();
        machines["detection"] = json!(mode);
        let campaign = world
            .start_campaign(&list(people.clone()), once(machines))
            .await;
        world.until_status(&campaign, "completed").await;
        let n = people.start;
        let call = call_to(&world, &campaign, n).await;
        assert_eq!(call["outcome"], "voicemail", "{call}");
        assert_eq!(call["answeredBy"], "machineReady");
        assert!(call["messageAt"].is_string(), "{call}");
        assert!(kinds(&call).contains(&"leavingMessage"), "{call}");
        let real = real_call_to(&world, n);
        let [message] = real.announcements.as_slice() else {
            panic!("{real:?}");
        };
        assert_eq!(
            message.content,
            format!("Hello Person {n} of Town {n} & all.")
        );
        assert!(message.is_whole, "{real:?}");
        assert!(message.began_at >= real.beeps_at.unwrap(), "{real:?}");
    }
    assert_eq!(real_call_to(&world, 2).announcements.len(), 0, "a person");

    let recording = "https://recordings.example.com/1.mp3?a=1&b=2";
    let machines = json!({
        "detection": "async", "onMachine": "leaveMessage", "audioUrl": recording,
    });
    let campaign = world.start_campaign(&list(4..5), once(machines)).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(real_call_to(&world, 4).announcements[0].content, recording);
    world.end().await;
}

// proves F-26
pub async fn who_is_detected_before_connecting_talks_to_the_agent_only_as_a_person(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place).callee(1, [Machine]).start().await;
    let machines = json!({"detection": "beforeConnecting"});
    let campaign = world.start_campaign(&list(1..3), once(machines)).await;
    world.until_status(&campaign, "completed").await;
    let machine = call_to(&world, &campaign, 1).await;
    assert_eq!(machine["outcome"], "voicemail", "{machine}");
    assert_eq!(machine["conversationId"], Value::Null);
    let person = call_to(&world, &campaign, 2).await;
    assert_eq!(person["outcome"], "answered", "{person}");
    assert_eq!(person["answeredBy"], "human");
    world.end().await;
}

// proves F-26
pub async fn a_late_verdict_does_not_disturb_a_person(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Converses)
        .simulator(|simulator| {
            simulator.agent.turns = (3, 3);
            simulator.undetected = BTreeSet::from([person(1)]);
        })
        .start()
        .await;
    let machines = json!({"detection": "async", "heldAfterTurns": 1});
    let campaign = world.start_campaign(&list(1..2), once(machines)).await;
    let (id, sid) = until("a talk that is held", async || {
        let calls = world.calls_to(&campaign, 1).await;
        let id: AttemptId = calls.first()?["id"].as_str()?.parse().unwrap();
        let found = world.store.find_call(TenantId::DEFAULT, id).await.unwrap();
        found?.attempt.facts.held_at?;
        Some((id.to_string(), calls[0]["sid"].as_str()?.to_owned()))
    })
    .await;
    let told = world
        .callback(
            "amd",
            &id,
            &[("CallSid", &sid), ("AnsweredBy", "machine_start")],
        )
        .await;
    assert_eq!(told.status.as_u16(), 204, "{}", told.text);
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    assert_eq!(call["endedBy"], "agent", "{call}");
    until("the verdict as a fact", async || {
        let call = call_to(&world, &campaign, 1).await;
        (call["answeredBy"] == "machine").then_some(())
    })
    .await;
    world.end().await;
}

// proves F-26
pub async fn a_lost_verdict_is_asked_for_and_without_any_the_answerer_is_unknown(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .callee(1, [Machine])
        .everyone(Converses)
        .faults(Faults {
            lost_verdict: 1.0,
            ..Faults::default()
        })
        .simulator(talkative)
        .simulator(|simulator| {
            // Calls last longer than the carrier listens.
            simulator.speed = 2.0;
            simulator.undetected = BTreeSet::from([person(2), person(3)]);
        })
        .engine(|settings| {
            settings.timing.verdict = Duration::ZERO;
            settings.sweep = Duration::from_millis(100);
        })
        .start()
        .await;
    let mut campaigns = Vec::new();
    for (n, unknown_is_machine) in [(1, false), (2, true), (3, false)] {
        let machines = json!({
            "detection": "async", "timeoutSeconds": 3, "heldAfterTurns": 0,
            "unknownIsMachine": unknown_is_machine,
        });
        let campaign = world.start_campaign(&list(n..n + 1), once(machines)).await;
        campaigns.push(campaign);
    }
    for (n, answered_by, outcome, kind) in [
        (1, "machine", "voicemail", "detected"),
        (2, "unknown", "voicemail", "verdictMissing"),
        (3, "unknown", "answered", "verdictMissing"),
    ] {
        let campaign = &campaigns[n as usize - 1];
        world.until_status(campaign, "completed").await;
        let call = call_to(&world, campaign, n).await;
        assert_eq!(call["answeredBy"], answered_by, "{call}");
        assert_eq!(call["outcome"], outcome, "{call}");
        assert!(kinds(&call).contains(&kind), "{call}");
    }
    world.end().await;
}

// proves F-26
pub async fn a_fax_is_hung_up_on_and_not_called_again(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [Fax])
        .simulator(talkative)
        .start()
        .await;
    let again = json!({"count": 2, "delaySeconds": 0});
    let settings = json!({
        "retry": {"voicemail": again},
        "machines": {"detection": "async", "onMachine": "carryOn"},
    });
    let campaign = world.start_campaign(&list(1..2), settings).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "voicemail", "{call}");
    assert_eq!(call["answeredBy"], "fax");
    assert_eq!(call["endedBy"], "system");
    world.end().await;
}

pub async fn a_verdict_that_the_carrier_did_not_sign_or_nobody_knows_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let campaign = world.start_campaign(&list(1..2), once(json!(null))).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    let (id, sid) = (call["id"].as_str().unwrap(), call["sid"].as_str().unwrap());
    let path = format!("/webhooks/twilio/amd/{id}");
    let fields = [("CallSid", sid), ("AnsweredBy", "machine_start")];
    let forged = world
        .owner
        .form(&world.url(), &path, &fields, "wrong")
        .await;
    forged.refused(403, "wrongSignature");
    let unknown = [("CallSid", sid), ("AnsweredBy", "robot")];
    let told = world.callback("amd", id, &unknown).await;
    assert_eq!(told.status.as_u16(), 422, "{}", told.text);
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["answeredBy"], Value::Null, "{call}");
    assert_eq!(call["outcome"], "answered");
    world.end().await;
}
