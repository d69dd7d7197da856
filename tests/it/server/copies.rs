//! Campaigns made from campaigns.

use std::{collections::BTreeMap, sync::Arc};

use dialtone::{
    domain::{access::Role, ids::TenantId},
    sim::{
        Behaviour::{Busy, Converses, NoAnswer},
        faults::Faults,
    },
};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, add_user, list, person};

async fn phones(world: &World, campaign: &Value) -> Vec<String> {
    let id = campaign["id"].as_str().unwrap();
    let people = world.owner.all(&format!("/campaigns/{id}/contacts")).await;
    let mut phones: Vec<String> = people
        .iter()
        .map(|it| it["phone"].as_str().unwrap().to_owned())
        .collect();
    phones.sort();
    phones
}

pub async fn a_copy_has_the_settings_and_on_request_the_people(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let settings = json!({
        "maxConcurrentCalls": 3, "schedule": {"startAt": "2030-01-01T09:00:00Z"},
        "retry": {"maxAttempts": 2},
    });
    let draft = [("start", "false")];
    let original = world
        .owner
        .upload(&list(1..4), &settings, &draft)
        .await
        .ok();
    let original = original["campaign"].clone();
    let path = format!("/campaigns/{}/duplicate", original["id"].as_str().unwrap());
    let mut expected = original["settings"].clone();
    expected["schedule"]["startAt"] = Value::Null;

    let empty = world.owner.post(&path, &json!({})).await.ok();
    assert_eq!(empty["status"], "draft");
    assert_eq!(empty["name"], original["name"]);
    assert_eq!(empty["prompt"], original["prompt"]);
    assert_eq!(empty["settings"], expected, "{empty}");
    assert_eq!(empty["progress"]["enrolled"], 0);

    let full = json!({"name": " Winter ", "withContacts": true});
    let full = world.owner.post(&path, &full).await.ok();
    assert_eq!(full["name"], "Winter");
    assert_eq!(full["progress"]["enrolled"], 3);
    assert_eq!(phones(&world, &full).await, phones(&world, &original).await);
    let id = full["id"].as_str().unwrap();
    let people = world.owner.all(&format!("/campaigns/{id}/contacts")).await;
    let id = original["id"].as_str().unwrap();
    let before = world.owner.all(&format!("/campaigns/{id}/contacts")).await;
    let fields = |people: &[Value]| -> BTreeMap<String, (Value, Value)> {
        let of = |it: &Value| (it["name"].clone(), it["fields"].clone());
        people
            .iter()
            .map(|it| (it["phone"].to_string(), of(it)))
            .collect()
    };
    assert_eq!(fields(&people), fields(&before));

    let nameless = world.owner.post(&path, &json!({"name": " "})).await;
    nameless.refused(422, "invalid");
    let wrong = world.owner.post(&path, &json!({"contacts": true})).await;
    wrong.refused(422, "invalid");
    let ours = TenantId::DEFAULT;
    add_user(&*world.store, ours, "viewer@example.com", Role::Viewer).await;
    let viewer = world.sign_in("viewer@example.com").await;
    viewer
        .post(&path, &json!({}))
        .await
        .refused(403, "forbidden");
    world.end().await;
}

pub async fn those_whose_calls_came_to_nothing_are_called_by_a_campaign_of_their_own(
    place: Arc<Place>,
) {
    let refused = BTreeMap::from([(person(4), 21211)]);
    let world = Scenario::on(&place)
        .callee(1, [Converses])
        .callee(2, [Busy, Converses])
        .callee(3, [NoAnswer, Converses])
        .callee(5, [Converses])
        .faults(Faults {
            create_refused: refused,
            ..Faults::default()
        })
        .start()
        .await;
    let never = json!({"phones": [person(5)], "reason": "asked for it"});
    world.owner.post("/suppressions", &never).await.ok();
    let settings = json!({"retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..6), settings).await;
    world.until_status(&campaign, "completed").await;
    let path = format!("/campaigns/{campaign}/retry-failed");
    let again = world
        .owner
        .post(&path, &json!({"name": "Again"}))
        .await
        .ok();
    // Neither who was answered, nor the number that is none, nor who must not be called.
    assert_eq!(phones(&world, &again).await, [person(2), person(3)]);
    let id = again["id"].as_str().unwrap();
    world
        .owner
        .ask(&format!("/campaigns/{id}/start"))
        .await
        .ok();
    world.until_status(id, "completed").await;
    let outcomes: Vec<Value> = world
        .calls(id)
        .await
        .iter()
        .map(|it| it["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["answered", "answered"]);
    let none = format!("/campaigns/{id}/retry-failed");
    let none = world.owner.post(&none, &json!({})).await.ok();
    assert_eq!(none["progress"]["enrolled"], 0);
    world.end().await;
}

pub async fn a_test_call_says_what_the_campaign_would(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    let draft = [("start", "false")];
    let original = world
        .owner
        .upload(&list(1..4), &json!({}), &draft)
        .await
        .ok();
    let original = original["campaign"]["id"].as_str().unwrap().to_owned();
    let path = format!("/campaigns/{original}/test-call");
    let test = json!({"phone": person(7), "name": "Zoe"});
    let test = world.owner.post(&path, &test).await.ok();
    let id = test["id"].as_str().unwrap();
    assert_ne!(id, original);
    world.until_status(id, "completed").await;
    let calls = world.calls(id).await;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["phone"], person(7));
    let heard = &world.ledger().conversations[0];
    assert_eq!(heard.first_message, "Hello Zoe, how is Town 1?");
    let untouched = world
        .owner
        .get(&format!("/campaigns/{original}"))
        .await
        .ok();
    assert_eq!(untouched["status"], "draft");
    assert_eq!(untouched["progress"]["calls"], 0);
    let wrong = world.owner.post(&path, &json!({"phone": "12"})).await;
    let wrong = wrong.refused(422, "invalid");
    assert_eq!(wrong["errors"][0]["pointer"], "/phone", "{wrong}");
    world.end().await;
}
