//! What agents and operators ask for during a call.

use std::sync::Arc;

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::{
        Behaviour::{self, Busy, Converses, NoAnswer},
        SimulatorConfig, ToolUse,
        ledger::{CallFacts, ToolFacts},
    },
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Place, Scenario, Waits, World, end_waits, list, person, until};

/// The person who takes transferred calls.
const TAKER: u32 = 900;

/// An agent that uses these tools when the callee has spoken, and has more to say then.
fn using(tools: Vec<ToolUse>) -> impl FnOnce(&mut SimulatorConfig) {
    move |simulator| {
        simulator.agent.turns = (2, 2);
        simulator.agent.tools = tools;
    }
}

fn tool(name: &str, parameters: Value) -> ToolUse {
    ToolUse {
        name: name.to_owned(),
        parameters,
        says: None,
    }
}

fn after_saying(text: &str, name: &str) -> ToolUse {
    ToolUse {
        says: Some(text.to_owned()),
        ..tool(name, json!({}))
    }
}

fn transferring() -> Value {
    json!({"transfer": {
        "to": person(TAKER),
        "whisper": "A call from {{name}} of {{city}} & family.",
        "sentence": "Nobody is there, {{name}}.",
    }})
}

/// The one call to a person, with its timeline and transcript.
async fn call_to(world: &World, campaign: &str, n: u32) -> Value {
    let calls = world.calls_to(campaign, n).await;
    let id = calls[0]["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

fn kinds(call: &Value) -> Vec<&str> {
    let timeline = call["timeline"].as_array().unwrap();
    timeline
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect()
}

/// What the agents were told of their tools.
fn answers(world: &World) -> Vec<ToolFacts> {
    let conversations = world.ledger().conversations.into_iter();
    conversations.flat_map(|talk| talk.tools).collect()
}

/// What really happened in the one call to a person.
fn real_call_to(world: &World, n: u32) -> CallFacts {
    let calls = world.ledger().calls.into_iter();
    calls.into_iter().find(|call| call.to == person(n)).unwrap()
}

pub async fn an_agent_says_how_it_sees_the_call_and_is_told_of_tools_that_are_none(
    place: Arc<Place>,
) {
    let tools = vec![
        tool("lookup", json!({"id": 7})),
        tool("set_disposition", json!({})),
        tool("set_disposition", json!({"disposition": "unsure"})),
        tool(
            "set_disposition",
            json!({"disposition": "interested", "note": "wants a brochure"}),
        ),
    ];
    let world = Scenario::on(&place).simulator(using(tools)).start().await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    assert_eq!(call["disposition"], "interested");
    assert_eq!(call["dispositionNote"], "wants a brochure");
    let told = kinds(&call);
    let n_told = told.iter().filter(|kind| **kind == "disposition").count();
    assert_eq!(n_told, 2, "{told:?}");
    let answers = answers(&world);
    let are_errors: Vec<bool> = answers.iter().map(|answer| answer.is_error).collect();
    assert_eq!(are_errors, [true, true, false, false], "{answers:?}");
    assert!(answers[0].result.contains("not available"), "{answers:?}");
    world.end().await;
}

pub async fn an_agent_that_ends_the_call_is_heard_out_and_the_call_is_ended(place: Arc<Place>) {
    let goodbye = "Thank you very much, and goodbye.";
    let tools = vec![after_saying(goodbye, "end_call")];
    let world = Scenario::on(&place)
        .simulator(using(tools))
        .simulator(|simulator| simulator.agent.turns = (9, 9))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    assert_eq!(call["endedBy"], "agent", "{call}");
    let lines = call["transcript"].as_array().unwrap();
    let said = lines.iter().find(|line| line["text"] == goodbye);
    assert!(said.is_some(), "{call}");
    let talk = &world.ledger().conversations[0];
    assert!(!talk.tools[0].is_error, "{talk:?}");
    assert!(talk.agent_lines < 9, "the agent was to go on: {talk:?}");
    world.end().await;
}

pub async fn who_wants_to_be_called_again_is_called_again_then(place: Arc<Place>) {
    let now = SystemClock.now();
    let later = now.as_second() + 26 * 3600;
    let at = Timestamp::from_second(later - later % 60).unwrap();
    let tools = vec![
        tool("schedule_callback", json!({"at": "tomorrow"})),
        tool("schedule_callback", json!({"at": "2020-01-01T10:00"})),
        tool(
            "schedule_callback",
            json!({"at": at.to_string(), "note": "about the offer"}),
        ),
    ];
    let world = Scenario::on(&place).simulator(using(tools)).start().await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    let waiting = until("a wait for the other call", async || {
        let contact = world.contact(&campaign, 1).await;
        (contact["state"] == "waiting" && contact["attempts"] == 1).then_some(contact)
    })
    .await;
    let due: Timestamp = waiting["dueAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(due, at, "{waiting}");
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    let noted: Timestamp = call["followUpAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        (noted, &call["followUpNote"]),
        (at, &json!("about the offer"))
    );
    assert!(kinds(&call).contains(&"followUpWished"), "{call}");
    let told = answers(&world);
    assert!(told[0].is_error && told[0].result.contains("cannot be read"));
    assert!(told[1].is_error && told[1].result.contains("has passed"));
    assert!(!told[2].is_error, "{told:?}");

    // The agent schedules another call each time, until none is left.
    let path = format!("/campaigns/{campaign}");
    until("the end of the attempts", async || {
        if world.contact(&campaign, 1).await["state"] == "waiting" {
            end_waits(&*world.store, &campaign, Waits::All).await;
        }
        let campaign = world.owner.get(&path).await.ok();
        (campaign["status"] == "completed").then_some(())
    })
    .await;
    let calls = world.calls_to(&campaign, 1).await;
    assert_eq!(calls.len(), 3, "{calls:?}");
    let last = answers(&world).pop().unwrap();
    assert!(
        last.is_error && last.result.contains("no further call"),
        "{last:?}"
    );
    world.end().await;
}

pub async fn nobody_is_promised_a_call_when_none_is_allowed(place: Arc<Place>) {
    // All days but the third from now: neither today nor, wherever the callee is, tomorrow.
    const DAYS: [&str; 7] = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let today = SystemClock.now().as_second() / (24 * 3600);
    let closed = today + 3;
    let at = Timestamp::from_second(closed * 24 * 3600 + 15 * 3600).unwrap();
    // The epoch was a Thursday.
    let open = (0..7).filter(|day| (today - day) % 7 != closed % 7);
    let open: Vec<String> = open
        .map(|day| DAYS[usize::try_from((today - day) % 7).unwrap()])
        .map(|day| format!("{day} 00:00-24:00"))
        .collect();
    let tools = vec![tool("schedule_callback", json!({"at": at.to_string()}))];
    let world = Scenario::on(&place)
        .everyone(Converses)
        .simulator(using(tools))
        .start()
        .await;
    let settings = json!({"rules": {"window": open.join(", ")}});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    world.until_status(&campaign, "completed").await;
    let told = answers(&world);
    assert!(
        told[0].is_error && told[0].result.contains("no calls are allowed"),
        "{told:?}"
    );
    assert_eq!(world.contact(&campaign, 1).await["outcome"], "answered");
    world.end().await;
}

pub async fn a_callee_who_asks_for_a_person_is_connected_with_one(place: Arc<Place>) {
    let tools = vec![after_saying("I will connect you.", "transfer_to_human")];
    let world = Scenario::on(&place)
        .callee(TAKER, [Converses])
        .simulator(using(tools))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), transferring()).await;
    let shown = world.until_status(&campaign, "completed").await;
    assert_eq!(shown["settings"]["transfer"]["to"], person(TAKER));
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    let transfer = &call["transfer"];
    assert_eq!(
        (&transfer["to"], &transfer["by"], &transfer["result"]),
        (&json!(person(TAKER)), &json!("agent"), &json!("answered")),
        "{call}"
    );
    assert!(transfer["joinedAt"].is_string(), "{call}");
    assert_eq!(call["endedBy"], Value::Null, "{call}");
    let told = kinds(&call);
    for kind in ["transferring", "transferJoined", "transferEnded"] {
        assert!(told.contains(&kind), "{told:?}");
    }
    let lines = call["transcript"].as_array().unwrap();
    let said = lines
        .iter()
        .find(|line| line["text"] == "I will connect you.");
    assert_eq!(said.unwrap()["interrupted"], false, "{call}");
    let real = real_call_to(&world, 1);
    let [joined] = real.transfers.as_slice() else {
        panic!("{real:?}");
    };
    assert_eq!(
        (joined.to.as_str(), joined.status),
        (&*person(TAKER), "completed")
    );
    assert_eq!(joined.caller_id.as_deref(), Some(real.from.as_str()));
    let whispered = "A call from Person 1 of Town 1 & family.";
    assert_eq!(joined.whispered.as_deref(), Some(whispered));
    assert_eq!(real.announcements.len(), 0, "{real:?}");
    world.end().await;
}

pub async fn a_callee_whose_person_is_on_the_phone_hears_so(place: Arc<Place>) {
    nobody_is_there(&place, Busy, "busy").await;
}

pub async fn a_callee_whose_person_does_not_answer_hears_so(place: Arc<Place>) {
    nobody_is_there(&place, NoAnswer, "noAnswer").await;
}

async fn nobody_is_there(place: &Arc<Place>, behaviour: Behaviour, result: &str) {
    let tools = vec![tool("transfer_to_human", json!({}))];
    let world = Scenario::on(place)
        .callee(TAKER, [behaviour])
        .simulator(using(tools))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), transferring()).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    assert_eq!(call["transfer"]["result"], result, "{call}");
    assert_eq!(call["transfer"]["joinedAt"], Value::Null, "{call}");
    assert_eq!(call["endedBy"], "system", "{call}");
    let real = real_call_to(&world, 1);
    let [said] = real.announcements.as_slice() else {
        panic!("{real:?}");
    };
    assert_eq!(said.content, "Nobody is there, Person 1.");
    assert!(said.is_whole, "{real:?}");
    world.end().await;
}

pub async fn an_agent_is_told_when_nobody_takes_calls_and_goes_on(place: Arc<Place>) {
    let tools = vec![tool("transfer_to_human", json!({}))];
    let world = Scenario::on(&place).simulator(using(tools)).start().await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let told = answers(&world);
    assert!(
        told[0].is_error && told[0].result.contains("nobody can be reached"),
        "{told:?}"
    );
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(
        (&call["endedBy"], &call["transfer"]),
        (&json!("agent"), &Value::Null)
    );
    world.end().await;
}

pub async fn the_other_vendors_agent_uses_the_same_tools(place: Arc<Place>) {
    let tools = vec![
        tool("set_disposition", json!({"disposition": "interested"})),
        tool("schedule_callback", json!({"at": "noon"})),
        tool("transfer_to_human", json!({})),
    ];
    let world = Scenario::on(&place)
        .with_vapi()
        .callee(TAKER, [Converses])
        .simulator(using(tools))
        .start()
        .await;
    let mut settings = transferring();
    settings["agentVendor"] = json!("vapi");
    let campaign = world.start_campaign(&list(1..2), settings).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["agentVendor"], "vapi", "{call}");
    assert_eq!(call["disposition"], "interested", "{call}");
    assert_eq!(call["transfer"]["result"], "answered", "{call}");
    let told = answers(&world);
    assert!(!told[0].is_error && told[1].is_error, "{told:?}");
    world.end().await;
}

pub async fn an_operator_transfers_a_call(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(TAKER, [Converses])
        .callee(TAKER + 1, [Converses])
        .simulator(|simulator| simulator.agent.turns = (9, 9))
        .start()
        .await;
    for (settings, body, to) in [
        (json!({}), json!({"to": person(TAKER + 1)}), TAKER + 1),
        (transferring(), json!({}), TAKER),
    ] {
        let n = to - TAKER + 1;
        let has_number = settings["transfer"].is_object();
        let campaign = world.start_campaign(&list(n..n + 1), settings).await;
        let call = until("a talk", async || {
            let call = world.calls_to(&campaign, n).await.into_iter().next()?;
            call["conversationId"].is_string().then_some(call)
        })
        .await;
        let path = format!("/calls/{}/transfer", call["id"].as_str().unwrap());
        let ask = async |body: &Value| world.owner.send(Method::POST, &path, Some(body)).await;
        ask(&json!({"to": "reception"}))
            .await
            .refused(422, "invalid");
        if !has_number {
            ask(&json!({})).await.refused(422, "invalid");
        }
        let asked = ask(&body).await;
        assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
        world.until_status(&campaign, "completed").await;
        let call = call_to(&world, &campaign, n).await;
        let transfer = &call["transfer"];
        assert_eq!(
            (&transfer["to"], &transfer["by"], &transfer["result"]),
            (&json!(person(to)), &json!("operator"), &json!("answered")),
            "{call}"
        );
        assert_eq!(call["outcome"], "answered", "{call}");
        ask(&body).await.refused(409, "notAllowed");
    }
    world.end().await;
}

pub async fn what_is_told_of_a_transfer_without_a_signature_or_sense_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let campaign = world.start_campaign(&list(1..2), transferring()).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    let (id, sid) = (call["id"].as_str().unwrap(), call["sid"].as_str().unwrap());
    for kind in ["transfer", "whisper"] {
        let path = format!("/webhooks/twilio/{kind}/{id}");
        let fields = [("CallSid", sid), ("DialCallStatus", "completed")];
        let forged = world
            .owner
            .form(&world.url(), &path, &fields, "wrong")
            .await;
        forged.refused(403, "wrongSignature");
    }
    let unknown = [("CallSid", sid), ("DialCallStatus", "sleeping")];
    let told = world.callback("transfer", id, &unknown).await;
    assert_eq!(told.status.as_u16(), 422, "{}", told.text);
    // Nobody was transferred, so nothing follows from it.
    let ended = [("CallSid", sid), ("DialCallStatus", "busy")];
    let told = world.callback("transfer", id, &ended).await;
    assert_eq!(told.status.as_u16(), 200, "{}", told.text);
    assert!(
        told.text.contains("Nobody is there, Person 1."),
        "{}",
        told.text
    );
    let mut wrong = transferring();
    wrong["transfer"]["whisper"] = json!("{{surname}}");
    let uploaded = world.owner.upload(&list(1..2), &wrong, &[]).await;
    uploaded.refused(422, "invalid");
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["transfer"], Value::Null, "{call}");
    world.end().await;
}
