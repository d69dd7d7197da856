//! People whose data is erased, and what is given to those who ask what is held about them.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::ids::{AttemptId, TenantId},
    sim::Behaviour::{NoAnswer, Refused},
    store::Commit,
};
use serde_json::{Value, json};

use super::diagnosis;
use crate::world::{Place, Scenario, World, list, person, until};

const SOON: Duration = Duration::from_secs(60);
const MANY: NonZeroU32 = NonZeroU32::new(9).unwrap();

/// What names the one who is erased; nobody else has any of it.
const NAME: &str = "Ottilie Querfeld";
const EMAIL: &str = "ottilie@querfeld.example";
const TOWN: &str = "Querfeldstadt";

/// A list with the one who is erased, in it twice, and somebody else.
fn list_with_her() -> String {
    format!(
        "name,phone,city,email\n{NAME},{},{TOWN},{EMAIL}\nBen,{},Bonn,ben@example.com\n\
         {NAME},(202) 555-0001,{TOWN},\n{NAME},nonsense,{TOWN},{EMAIL}\n",
        person(1),
        person(2)
    )
}

/// Everything that the API gives about anybody, but for what is asked for by a contact's id.
async fn everything(world: &World) -> String {
    let owner = &world.owner;
    let mut all = Vec::new();
    for campaign in owner.all("/campaigns").await {
        let path = format!("/campaigns/{}", campaign["id"].as_str().unwrap());
        all.push(campaign);
        for part in ["progress", "stats", "diagnostics", "forecast"] {
            all.push(owner.get(&format!("{path}/{part}")).await.ok());
        }
        for contact in owner.all(&format!("{path}/contacts")).await {
            let id = contact["enrollmentId"].as_str().unwrap();
            let explain = format!("{path}/contacts/{id}/explain");
            all.push(owner.get(&explain).await.ok());
            all.push(contact);
        }
    }
    for call in owner.all("/calls").await {
        let id = call["id"].as_str().unwrap();
        all.push(owner.get(&format!("/calls/{id}")).await.ok());
    }
    all.extend(owner.all("/suppressions").await);
    let all: Vec<String> = all.iter().map(Value::to_string).collect();
    all.join("\n")
}

/// Everything that the API gives of an uploaded list.
async fn rejected(world: &World, import: &str) -> String {
    let path = format!("/imports/{import}/rejected");
    let rows = world.owner.all(&path).await;
    let csv = world.owner.get(&format!("{path}.csv")).await.text;
    json!(rows).to_string() + &csv
}

/// The words of a person that a text contains, in any case.
fn traces<'a>(text: &str, words: &[&'a str]) -> Vec<&'a str> {
    let text = text.to_lowercase();
    let is_there = |word: &&&str| text.contains(&word.to_lowercase());
    words.iter().filter(is_there).copied().collect()
}

/// The figures of a campaign, without when they were taken.
async fn figures(world: &World, campaign: &str) -> Vec<Value> {
    let mut figures = Vec::new();
    for part in ["progress", "stats"] {
        let path = format!("/campaigns/{campaign}/{part}");
        let mut shown = world.owner.get(&path).await.ok();
        for changing in ["at", "seq", "progress"] {
            shown.as_object_mut().unwrap().remove(changing);
        }
        figures.push(shown);
    }
    figures
}

/// How often the carrier was asked to call a number.
fn n_requests(world: &World, phone: &str) -> u32 {
    let ledger = world.ledger();
    ledger.numbers.get(phone).map_or(0, |facts| facts.requests)
}

async fn contact_id(world: &World, campaign: &str, n: u32) -> String {
    let contact = world.contact(campaign, n).await;
    contact["contactId"].as_str().unwrap().to_owned()
}

// proves F-50
pub async fn who_is_erased_is_in_no_record_and_is_never_called_again(place: Arc<Place>) {
    let world = Scenario::on(&place).callee(4, [Refused]).start().await;
    let settings = json!({"retry": {"maxAttempts": 1}});
    let started = world.owner.upload(&list_with_her(), &settings, &[]).await;
    let started = started.ok();
    let campaign = started["campaign"]["id"].as_str().unwrap().to_owned();
    let import = started["import"]["id"].as_str().unwrap();
    world.until_status(&campaign, "completed").await;
    let refused = world.start_campaign(&list(4..5), settings.clone()).await;
    world.until_status(&refused, "completed").await;
    let listed = json!({"phones": [person(1)], "emails": [EMAIL], "reason": NAME});
    world.owner.post("/suppressions", &listed).await.ok();

    let (one, four) = (person(1), person(4));
    let words = [
        NAME,
        EMAIL,
        TOWN,
        &one,
        &one[2..],
        "555-0001",
        &four,
        &four[2..],
    ];
    let contact = contact_id(&world, &campaign, 1).await;
    let call = world.calls_to(&campaign, 1).await.remove(0);
    let held = world
        .owner
        .get(&format!("/contacts/{contact}/export"))
        .await;
    let held = held.ok();
    assert_eq!(held["contact"]["email"], EMAIL);
    assert_eq!(held["enrollments"][0]["campaignId"], campaign.as_str());
    assert_eq!(held["enrollments"][0]["fields"]["city"], TOWN);
    assert_eq!(held["calls"][0]["id"], call["id"]);
    assert!(
        !held["calls"][0]["transcript"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(held["suppressions"].as_array().unwrap().len(), 2);
    assert_eq!(held["rejectedRows"].as_array().unwrap().len(), 2);
    assert_eq!(traces(&held.to_string(), &words[..6]), words[..6]);
    let before = [
        figures(&world, &campaign).await,
        figures(&world, &refused).await,
    ];
    let shown = everything(&world).await + &rejected(&world, import).await;
    assert_eq!(traces(&shown, &words), words);

    let erased = world.owner.ask(&format!("/contacts/{contact}/erase")).await;
    let erased = erased.ok();
    assert_eq!(
        erased,
        json!({"enrollments": 1, "calls": 1, "rejectedRows": 2})
    );
    let by_number = json!({"phone": "(202) 555-0004"});
    let erased = world.owner.post("/contacts/erase", &by_number).await.ok();
    assert_eq!(erased["enrollments"], 1);

    let after = [
        figures(&world, &campaign).await,
        figures(&world, &refused).await,
    ];
    assert_eq!(after, before);
    let id = call["id"].as_str().unwrap();
    let fields = [
        ("CallSid", call["sid"].as_str().unwrap()),
        ("To", one.as_str()),
        ("CallStatus", "completed"),
        ("SequenceNumber", "99"),
        ("CallDuration", "7"),
    ];
    let late = world.callback("status", id, &fields).await;
    assert_eq!(late.status.as_u16(), 204, "{}", late.text);
    until("the callback to be processed", async || {
        let late = SystemClock.now() + SOON;
        let left = world.store.unsettled(TenantId::DEFAULT, late, MANY).await;
        left.unwrap().is_empty().then_some(())
    })
    .await;
    nothing_is_left(&world, &place, import, &words).await;
    let left = world.owner.get(&format!("/calls/{id}")).await.ok();
    assert_eq!(left["transcript"], json!([]));
    assert_eq!(
        (&left["phone"], &left["name"]),
        (&json!("erased"), &Value::Null)
    );
    for (key, value) in call.as_object().unwrap() {
        if !["phone", "name"].contains(&key.as_str()) {
            assert_eq!(left[key], *value, "{key}");
        }
    }
    let gone = format!("/contacts/{contact}");
    let path = format!("{gone}/export");
    world.owner.get(&path).await.refused(404, "notFound");
    let path = format!("{gone}/erase");
    world.owner.ask(&path).await.refused(404, "notFound");
    // Asking by number again finds nothing more to do.
    let again = world.owner.post("/contacts/erase", &by_number).await.ok();
    assert_eq!(
        again,
        json!({"enrollments": 0, "calls": 0, "rejectedRows": 0})
    );

    is_left_alone(&world, &campaign).await;
    world.end().await;
}

/// Neither the API nor the database knows the words of a person.
async fn nothing_is_left(world: &World, place: &Place, import: &str, words: &[&str]) {
    let shown = everything(world).await + &rejected(world, import).await;
    assert_eq!(traces(&shown, words), [] as [&str; 0], "{shown}");
    let kept = place.dump().await;
    for line in kept.lines() {
        assert_eq!(traces(line, words), [] as [&str; 0], "{line}");
    }
}

/// Whoever was erased is uploaded again, by number and by address, and never called.
async fn is_left_alone(world: &World, campaign: &str) {
    let before = n_requests(world, &person(1));
    assert_eq!(before, 1);
    let again = format!(
        "name,phone,city,email\n{NAME},(202) 555-0001,{TOWN},\nBen,{},Bonn,{EMAIL}\n\
         Cid,{},Ulm,\n",
        person(7),
        person(8)
    );
    let once_more = world.start_campaign(&again, json!({})).await;
    world.until_status(&once_more, "completed").await;
    let n_calls = [1, 7, 8].map(|n| n_requests(world, &person(n)));
    assert_eq!(n_calls, [before, 0, 1]);
    let found = world
        .owner
        .get(&format!("/campaigns/{once_more}/diagnostics"))
        .await
        .ok();
    let ended = diagnosis::group(&found["finishedByRule"], "suppression");
    assert_eq!(ended.unwrap()["count"], 2, "{found}");
    assert_ne!(once_more, campaign);

    // Only with a reason may the person be called again.
    let entries = world.owner.all("/suppressions").await;
    let by_erasure: Vec<&Value> = entries.iter().filter(|it| it["isErased"] == true).collect();
    assert_eq!(by_erasure.len(), 3, "{entries:?}");
    let entry = by_erasure[0];
    assert_eq!(entry["source"], "erasure");
    let lift = format!("/suppressions/{}/lift", entry["id"].as_str().unwrap());
    let refused = world.owner.post(&lift, &json!({"reason": " "})).await;
    refused.refused(422, "invalid");
    let reason = json!({"reason": "asked to be called"});
    let lifted = world.owner.post(&lift, &reason).await;
    assert_eq!(lifted.status.as_u16(), 204);
}

// proves F-71
pub async fn nobody_is_erased_during_a_talk_and_what_rings_is_taken_back(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(1, [NoAnswer])
        .simulator(|simulator| simulator.agent.turns = (400, 400))
        .start()
        .await;
    let settings = json!({
        "ringTimeoutSeconds": 600, "maxDurationSeconds": 7200, "maxConcurrentCalls": 2,
    });
    let campaign = world.start_campaign(&list(1..4), settings).await;
    world.until_progress(&campaign, "connected", 1).await;
    until("ringing", async || {
        let calls = world.calls_to(&campaign, 1).await;
        (calls.first()?["state"] == "ringing").then_some(())
    })
    .await;
    let talking = contact_id(&world, &campaign, 2).await;
    let erase = format!("/contacts/{talking}/erase");
    let waiting = json!({"phone": person(3)});
    let erased = world.owner.post("/contacts/erase", &waiting).await.ok();
    assert_eq!(
        erased,
        json!({"enrollments": 1, "calls": 0, "rejectedRows": 0})
    );
    let refused = world.owner.ask(&erase).await.refused(409, "inCall");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("wait for its end"), "{detail}");
    assert_eq!(world.calls_to(&campaign, 2).await[0]["state"], "connected");

    let ringing = json!({"phone": person(1)});
    let erased = world.owner.post("/contacts/erase", &ringing).await.ok();
    assert_eq!(erased["calls"], 1);
    let talk = world.calls_to(&campaign, 2).await.remove(0);
    let hang_up = format!("/calls/{}/hangup", talk["id"].as_str().unwrap());
    world.owner.ask(&hang_up).await.ok();
    world.until_status(&campaign, "completed").await;
    world.owner.ask(&erase).await.ok();
    let contacts = format!("/campaigns/{campaign}/contacts");
    for contact in world.owner.all(&contacts).await {
        assert_eq!(contact["phone"], "erased", "{contact}");
        assert_eq!(contact["state"], "finished", "{contact}");
    }
    let found = world
        .owner
        .get(&format!("/campaigns/{campaign}/diagnostics"))
        .await
        .ok();
    assert_eq!(
        found["finished"],
        json!({"answered": 1, "canceled": 1, "none": 1})
    );
    assert_eq!([1, 2, 3].map(|n| n_requests(&world, &person(n))), [1, 1, 0]);
    world.end().await;
}

pub async fn an_erasure_that_was_cut_short_is_finished_by_asking_again(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let started = world.owner.upload(&list_with_her(), &json!({}), &[]).await;
    let started = started.ok();
    let campaign = started["campaign"]["id"].as_str().unwrap().to_owned();
    let import = started["import"]["id"].as_str().unwrap();
    world.until_status(&campaign, "completed").await;
    let contact = contact_id(&world, &campaign, 1).await;
    let before = figures(&world, &campaign).await;
    let call = world.calls_to(&campaign, 1).await.remove(0);

    // As far as the one call, whose words are still there.
    let attempt: AttemptId = call["id"].as_str().unwrap().parse().unwrap();
    let store = &world.store;
    let found = store.find_enrollment(TenantId::DEFAULT, attempt.enrollment);
    let found = found.await.unwrap().unwrap();
    let kept = store.find_call(TenantId::DEFAULT, attempt).await.unwrap();
    let mut enrollment = found.without_words();
    enrollment.version += 1;
    let part = Commit {
        enrollment,
        attempt: Some(kept.unwrap().attempt.erased()),
        events: vec![],
    };
    store.commit(&part).await.unwrap();

    let erased = world.owner.ask(&format!("/contacts/{contact}/erase")).await;
    assert_eq!(erased.ok()["calls"], 1);
    let one = person(1);
    let words = [NAME, EMAIL, TOWN, &one, &one[2..], "555-0001"];
    nothing_is_left(&world, &place, import, &words).await;
    assert_eq!(figures(&world, &campaign).await, before);
    let left = world.owner.get(&format!("/calls/{attempt}")).await.ok();
    assert_eq!(left["transcript"], json!([]));
    world.end().await;
}

pub async fn whoever_cannot_be_told_apart_is_not_erased(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let shared = format!(
        "phone,email\n{},office@example.com\n{},office@example.com\n{},own@example.com\n",
        person(1),
        person(2),
        person(3)
    );
    let draft = [("start", "false"), ("prompt", ""), ("firstMessage", "")];
    let created = world.owner.upload(&shared, &json!({}), &draft).await.ok();
    let campaign = created["campaign"]["id"].as_str().unwrap();
    let erase = async |body: Value| world.owner.post("/contacts/erase", &body).await;
    let several = erase(json!({"email": "Office@example.com"})).await;
    let detail = several.refused(422, "invalid")["detail"].to_string();
    let first = contact_id(&world, campaign, 1).await;
    assert!(detail.contains(&first), "{detail}");
    for wrong in [
        json!({}),
        json!({"phone": person(1), "email": "own@example.com"}),
        json!({"phone": "12"}),
        json!({"email": "nobody"}),
        json!({"phone": "2025550001", "region": "Atlantis"}),
    ] {
        erase(wrong).await.refused(422, "invalid");
    }
    assert_eq!(world.owner.get("/suppressions").await.ok()["total"], 0);
    let one = erase(json!({"email": "own@example.com"})).await.ok();
    assert_eq!(one["enrollments"], 1);
    let contacts = format!("/campaigns/{campaign}/contacts");
    let phones: Vec<Value> = world.owner.all(&contacts).await;
    let phones: Vec<&Value> = phones.iter().map(|it| &it["phone"]).collect();
    assert_eq!(
        phones,
        [&json!(person(1)), &json!(person(2)), &json!("erased")]
    );
    world.end().await;
}
