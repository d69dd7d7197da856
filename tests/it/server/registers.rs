//! Do-not-call registers: nobody is called by a copy that is missing, broken or too old.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::Behaviour::Busy,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::diagnosis::{explain, until_held};
use crate::world::{Place, Scenario, World, list, person, until, watch_for};

const IMPORT: &str = "/suppressions/import?register=us-national";

/// Imports a copy of the register that is so many days old, with the third person on it.
async fn import(world: &World, days: u64) -> Value {
    let taken_at = SystemClock.now() - Duration::from_secs(days * 24 * 3600);
    // As the register is given out: an area code and a number.
    let csv = format!("202,{}\n", &person(3)["+1202".len()..]);
    let path = format!("{IMPORT}&asOf={taken_at}");
    world.owner.post_csv(&path, &csv).await.ok()
}

/// How old the copy of the register is.
async fn freshness(world: &World) -> Value {
    let found = world.owner.get("/suppressions/registers").await.ok();
    found["registers"][0]["freshness"].clone()
}

fn n_warnings(answer: &Value) -> usize {
    answer["warnings"].as_array().unwrap().len()
}

fn asking(rules: Value) -> Value {
    json!({"rules": rules, "retry": {"maxAttempts": 1}})
}

// proves F-72
pub async fn nobody_is_called_by_a_register_before_a_whole_and_fresh_copy_is_imported(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = asking(json!({"registers": ["us-national"]}));
    let started = world.owner.upload(&list(1..4), &settings, &[]).await.ok();
    assert_eq!(n_warnings(&started["campaign"]), 1, "{started}");
    let campaign = started["campaign"]["id"].as_str().unwrap();
    let diagnostics = format!("/campaigns/{campaign}/diagnostics");
    let forecast = format!("/campaigns/{campaign}/forecast");

    // None; then one that breaks off, one with a row that cannot be read, and one that is too old.
    until_held(&world, campaign, "registerFresh", 3).await;
    let explained = explain(&world, campaign, &person(2)).await;
    assert_eq!(explained["decidedBy"], "registerFresh", "{explained}");
    assert_eq!(explained["nextAt"], Value::Null);
    let broken = world
        .owner
        .post_csv(IMPORT, "phone,name\n2025550199,\"Ann")
        .await;
    broken.refused(422, "listUnclosedQuote");
    let csv = "phone\n2025550199\nunknown\n";
    let unread = world.owner.post_csv(IMPORT, csv).await.ok();
    assert_eq!(unread["register"]["isWhole"], false, "{unread}");
    assert_eq!(freshness(&world).await, Value::Null);
    let old = import(&world, 32).await;
    assert_eq!(old["register"]["isWhole"], true, "{old}");
    assert_eq!(freshness(&world).await, "stale");
    for path in [&diagnostics, &forecast] {
        assert_eq!(n_warnings(&world.owner.get(path).await.ok()), 1);
    }
    watch_for(Duration::from_secs(1)).await;
    until_held(&world, campaign, "registerFresh", 3).await;
    assert_eq!(world.ledger().totals.calls_created, 0);

    // Still good enough, and not for long.
    import(&world, 26).await;
    world.until_status(campaign, "completed").await;
    assert_eq!(freshness(&world).await, "aging");
    assert_eq!(n_warnings(&world.owner.get(&diagnostics).await.ok()), 1);
    let ledger = world.ledger();
    let mut called: Vec<&str> = ledger.calls.iter().map(|call| &*call.to).collect();
    called.sort_unstable();
    assert_eq!(
        called,
        [person(1), person(2)],
        "the third is on the register"
    );

    import(&world, 1).await;
    assert_eq!(freshness(&world).await, "fresh");
    for path in [&diagnostics, &forecast] {
        assert_eq!(n_warnings(&world.owner.get(path).await.ok()), 0);
    }
    // Campaigns that go by no register are as before.
    let other = world.start_campaign(&list(5..6), asking(json!({}))).await;
    world.until_status(&other, "completed").await;
    world.end().await;
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

// proves F-72
pub async fn a_register_that_is_asked_for_between_claim_and_dial_withholds_the_call(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .engine(|settings| settings.horizon = Duration::from_secs(60))
        .start()
        .await;
    let settings = json!({"callDelayMs": 10_000, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..3), settings).await;
    let last = until("a call that waits for its start", async || {
        let calls = world.calls(&campaign).await;
        let last = calls.iter().max_by_key(|call| time(&call["dialAt"]))?;
        let waits = calls.len() == 2 && last["state"] == "reserved";
        waits.then(|| last["phone"].as_str().unwrap().to_owned())
    })
    .await;
    let path = format!("/campaigns/{campaign}");
    let rules = json!({"settings": {"rules": {"registers": ["us-national"]}}});
    let changed = world.owner.send(Method::PATCH, &path, Some(&rules)).await;
    assert_eq!(n_warnings(&changed.ok()), 1);
    until_held(&world, &campaign, "registerFresh", 1).await;
    let calls = world.calls(&campaign).await;
    let of_last = calls.iter().filter(|call| call["phone"] == last.as_str());
    let states: Vec<&Value> = of_last.map(|call| &call["state"]).collect();
    assert_eq!(states, ["released"]);
    assert_eq!(world.ledger().calls.len(), 1);

    import(&world, 0).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 2);
    world.end().await;
}

pub async fn what_is_no_register_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let owner = &world.owner;
    for wrong in [
        "register=US",
        "register=us-national&asOf=2999-01-01",
        "register=us-national&asOf=lately",
        "register=us-national&scope=sms",
        "asOf=2026-01-01",
    ] {
        let path = format!("/suppressions/import?{wrong}");
        let refused = owner.post_csv(&path, &person(1)).await;
        refused.refused(422, "invalid");
    }
    assert_eq!(freshness(&world).await, Value::Null);
    for rules in [
        json!({"registers": ["US"]}),
        json!({"profile": "none", "requiresRegisters": true}),
    ] {
        let refused = owner.upload(&list(1..2), &asking(rules), &[]).await;
        refused.refused(422, "invalid");
    }
    // The profile says which.
    let rules = json!({"profile": "us-federal", "requiresRegisters": true});
    let draft = [("start", "false")];
    let made = owner
        .upload(&list(1..2), &asking(rules.clone()), &draft)
        .await
        .ok();
    let shown = &made["campaign"]["settings"]["rules"];
    assert_eq!(shown["requiresRegisters"], true, "{made}");
    assert_eq!(n_warnings(&made["campaign"]), 1);
    let profiles = owner.get("/rule-profiles").await.ok();
    let federal = profiles.as_array().unwrap().iter();
    let federal = federal.clone().find(|it| it["id"] == "us-federal").unwrap();
    assert_eq!(federal["regions"][0]["registers"], json!(["us-national"]));
    world.end().await;
}
