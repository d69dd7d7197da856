//! Who may be called when: the rules as they act in the running server, and what it says about them.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::{
        Timestamp,
        ids::{SuppressionId, TenantId},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
        zone::Zone,
    },
    sim::{
        Behaviour::{Busy, PressesNine},
        Faults,
    },
};
use reqwest::Method;
use serde_json::{Value, json};

use super::diagnosis::{self, diagnosis, explain, until_held};
use crate::world::{Place, Scenario, World, list, person, until};

/// Within this time a changed rule acts.
const EFFECT: Duration = Duration::from_secs(5);

/// An hour of every day that is half a day away where the people of these tests live.
fn closed_now() -> String {
    let zone: Zone = "America/New_York".parse().unwrap();
    let hour = (SystemClock.now().to_zoned(zone.tz().clone()).hour() + 12) % 24;
    format!("mon-sun {hour:02}:00-{hour:02}:59")
}

fn suppression_of(phone: &str) -> Suppression {
    Suppression {
        id: SuppressionId::new(SystemClock.new_uuid()),
        tenant: TenantId::DEFAULT,
        subject: Subject::Phone(phone.parse().unwrap()),
        scope: Scope::All,
        source: SuppressionSource::Operator,
        reason: None,
        at: SystemClock.now(),
    }
}

/// How many calls the carrier placed to a number.
fn n_placed(world: &World, phone: &str) -> usize {
    let ledger = world.ledger();
    ledger.calls.iter().filter(|call| call.to == phone).count()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

async fn change(world: &World, campaign: &str, settings: Value) {
    let path = format!("/campaigns/{campaign}");
    let change = json!({ "settings": settings });
    let changed = world.owner.send(Method::PATCH, &path, Some(&change));
    changed.await.ok();
}

// proves F-50, F-67
pub async fn who_is_on_the_do_not_call_list_is_not_called(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let suppressed = vec![suppression_of(&person(1))];
    let engine = &world.app.engine;
    engine
        .suppress(TenantId::DEFAULT, suppressed)
        .await
        .unwrap();
    let once = json!({"retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..4), once).await;
    world.until_status(&campaign, "completed").await;

    let placed = [1, 2, 3].map(|n| n_placed(&world, &person(n)));
    assert_eq!(placed, [0, 1, 1]);
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"busy": 2, "none": 1}));
    let ended = diagnosis::group(&found["finishedByRule"], "suppression");
    assert_eq!(ended.unwrap()["count"], 1, "{found}");
    let contact = world.contact(&campaign, 1).await;
    assert_eq!(contact["attempts"], 0);
    let explained = explain(&world, &campaign, &person(1)).await;
    assert_eq!(explained["decidedBy"], "suppression", "{explained}");
    assert_eq!(explained["nextAt"], Value::Null);
    world.end().await;
}

// proves F-71
pub async fn a_suppression_between_claim_and_dial_withholds_the_call(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .engine(|settings| settings.horizon = Duration::from_secs(30))
        .start()
        .await;
    let settings = json!({"callDelayMs": 3000, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..4), settings).await;
    let last = until("a call that waits for its start", async || {
        let calls = world.calls(&campaign).await;
        let reserved = calls.iter().filter(|call| call["state"] == "reserved");
        let last = reserved.max_by_key(|call| time(&call["dialAt"]))?;
        (calls.len() == 3).then(|| last["phone"].as_str().unwrap().to_owned())
    })
    .await;
    // As another process does it: nobody tells this one.
    let entries = [suppression_of(&last)];
    world.store.add_suppressions(&entries).await.unwrap();
    world.until_status(&campaign, "completed").await;

    assert_eq!(n_placed(&world, &last), 0);
    assert_eq!(world.ledger().calls.len(), 2);
    let calls = world.calls(&campaign).await;
    let of_last = calls.iter().filter(|call| call["phone"] == last.as_str());
    let states: Vec<&Value> = of_last.map(|call| &call["state"]).collect();
    assert_eq!(states, ["released"]);
    let found = diagnosis(&world, &campaign).await;
    let ended = diagnosis::group(&found["finishedByRule"], "suppression");
    assert_eq!(ended.unwrap()["count"], 1, "{found}");
    world.end().await;
}

// proves F-71
pub async fn who_opts_out_in_one_campaign_is_not_called_by_another(place: Arc<Place>) {
    let world = Scenario::on(&place).callee(1, [PressesNine]).start().await;
    let first = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&first, "completed").await;
    let second = world.start_campaign(&list(1..3), json!({})).await;
    world.until_status(&second, "completed").await;

    assert_eq!(n_placed(&world, &person(1)), 1);
    assert_eq!(n_placed(&world, &person(2)), 1);
    let found = diagnosis(&world, &second).await;
    let ended = diagnosis::group(&found["finishedByRule"], "suppression");
    assert_eq!(ended.unwrap()["count"], 1, "{found}");
    world.end().await;
}

// proves F-67, F-69
pub async fn nobody_is_called_outside_the_window_and_everybody_soon_after_it_opens(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = json!({
        "rules": {"window": closed_now()}, "retry": {"maxAttempts": 1},
    });
    let began_at = SystemClock.now();
    let campaign = world.start_campaign(&list(1..4), settings).await;
    let group = until_held(&world, &campaign, "callingWindow", 3).await;
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["waiting"].as_array().unwrap().len(), 1, "{found}");
    let opens_at = time(&group["nextAt"]);
    let hours = opens_at.duration_since(began_at).as_secs() / 3600;
    assert!((11..=12).contains(&hours), "{opens_at}");
    let explained = explain(&world, &campaign, &person(2)).await;
    assert_eq!(explained["decidedBy"], "callingWindow", "{explained}");
    assert_eq!(explained["isAllowed"], false);
    assert_eq!(time(&explained["nextAt"]), opens_at);
    assert_eq!(world.ledger().totals.calls_created, 0);

    let opened_at = SystemClock.now();
    change(
        &world,
        &campaign,
        json!({"rules": {"window": "mon-sun 00:00-24:00"}}),
    )
    .await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    assert_eq!(ledger.calls.len(), 3);
    let soon = opened_at..opened_at + EFFECT;
    let placed = ledger.calls.iter().map(|call| call.created_at);
    for at in placed {
        assert!(soon.contains(&at), "{at} is not in {soon:?}");
    }
    world.end().await;
}

// proves F-67
pub async fn who_was_called_by_one_campaign_is_left_alone_by_the_next_for_a_while(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let once = json!({"retry": {"maxAttempts": 1}});
    let first = world.start_campaign(&list(1..2), once).await;
    world.until_status(&first, "completed").await;
    let called_at = world.ledger().calls[0].created_at;

    let cases = [
        (
            "frequencyCap",
            json!({"caps": [{"most": 1, "withinHours": 24}]}),
            24,
        ),
        ("minimumGap", json!({"minGapMinutes": 120}), 2),
    ];
    for (n, (rule, rules, hours)) in (10..).zip(cases) {
        let people = format!("{}Person {n},{},Town\n", list(1..2), person(n));
        let settings = json!({"rules": rules, "retry": {"maxAttempts": 1}});
        let next = world.start_campaign(&people, settings).await;
        let group = until_held(&world, &next, rule, 1).await;
        world.until_progress(&next, "finished", 1).await;
        let found = diagnosis(&world, &next).await;
        assert_eq!(found["finished"], json!({"busy": 1}));
        assert_eq!(found["waiting"].as_array().unwrap().len(), 1, "{found}");
        let due = called_at + Duration::from_secs(3600 * hours);
        let off = time(&group["nextAt"]).duration_since(due).unsigned_abs();
        assert!(off < Duration::from_secs(60), "{group} and {due}");
        let explained = explain(&world, &next, &person(1)).await;
        assert_eq!(explained["decidedBy"], rule, "{explained}");
        assert_eq!(n_placed(&world, &person(1)), 1, "{rule}");
        assert_eq!(n_placed(&world, &person(n)), 1, "{rule}");
        let shown = world.owner.get(&format!("/campaigns/{next}")).await.ok();
        assert_eq!(shown["status"], "active");
    }
    world.end().await;
}

// proves F-67
pub async fn whom_a_rule_put_off_is_called_when_the_rule_is_lifted(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let once = json!({"retry": {"maxAttempts": 1}});
    let first = world.start_campaign(&list(1..4), once).await;
    world.until_status(&first, "completed").await;

    let hours = json!({"count": 1, "delaySeconds": 7200});
    let settings = json!({
        "rules": {"minGapMinutes": 120},
        "retry": {"maxAttempts": 2, "busy": hours},
    });
    let second = world.start_campaign(&list(1..5), settings).await;
    until_held(&world, &second, "minimumGap", 3).await;
    world.until_progress(&second, "retrying", 1).await;
    let retrying = world.contact(&second, 4).await;

    change(&world, &second, json!({"rules": {"minGapMinutes": 0}})).await;
    world.until_progress(&second, "retrying", 4).await;
    let placed = [1, 2, 3, 4].map(|n| n_placed(&world, &person(n)));
    assert_eq!(placed, [2, 2, 2, 1]);
    let still = world.contact(&second, 4).await;
    assert_eq!(still["dueAt"], retrying["dueAt"], "a retry keeps its time");
    world
        .owner
        .ask(&format!("/campaigns/{second}/stop"))
        .await
        .ok();
    world.end().await;
}

// proves F-67
pub async fn only_who_agreed_is_called_where_that_is_asked_for(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = json!({"rules": {"requiresConsent": true}, "retry": {"maxAttempts": 1}});
    let draft = [("start", "false")];
    let uploaded = world
        .owner
        .upload(&list(1..3), &settings, &draft)
        .await
        .ok();
    let campaign = uploaded["campaign"]["id"].as_str().unwrap();
    let path = format!("/campaigns/{campaign}");
    let agreed = json!({"contacts": [{
        "phone": person(3),
        "fields": {"city": "Town"},
        "name": "Person 3",
        "consent": {"kind": "express", "source": "a form", "at": "2026-01-01T00:00:00Z"},
    }]});
    let contacts = format!("{path}/contacts");
    let added = world.owner.post(&contacts, &agreed).await.ok();
    assert_eq!(added["accepted"], 1, "{added}");
    world.owner.ask(&format!("{path}/start")).await.ok();
    world.until_status(campaign, "completed").await;

    let placed = [1, 2, 3].map(|n| n_placed(&world, &person(n)));
    assert_eq!(placed, [0, 0, 1]);
    let found = diagnosis(&world, campaign).await;
    assert_eq!(found["finished"], json!({"busy": 1, "none": 2}));
    let ended = diagnosis::group(&found["finishedByRule"], "consent");
    assert_eq!(ended.unwrap()["count"], 2, "{found}");
    let explained = explain(&world, campaign, &person(1)).await;
    assert_eq!(explained["decidedBy"], "consent", "{explained}");
    world.end().await;
}

// proves F-67
pub async fn people_who_are_added_where_it_is_daytime_are_called_at_once(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = json!({"rules": {"window": daytime_in_london()}, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    until_held(&world, &campaign, "callingWindow", 1).await;
    let added_at = SystemClock.now();
    let elsewhere = json!({"contacts": [{
        "phone": "+442079460001",
        "name": "Person 2",
        "fields": {"city": "Town"},
    }]});
    let path = format!("/campaigns/{campaign}/contacts");
    let added = world.owner.post(&path, &elsewhere).await.ok();
    assert_eq!(added["accepted"], 1, "{added}");
    world.until_progress(&campaign, "finished", 1).await;
    let ledger = world.ledger();
    assert_eq!(ledger.calls.len(), 1);
    assert_eq!(ledger.calls[0].to, "+442079460001");
    assert!(ledger.calls[0].created_at < added_at + EFFECT);
    until_held(&world, &campaign, "callingWindow", 1).await;
    diagnosis(&world, &campaign).await;
    world.end().await;
}

// proves F-67
pub async fn nobody_is_called_on_a_day_that_the_tenant_took_off(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let zone: Zone = "America/New_York".parse().unwrap();
    let today = SystemClock.now().to_zoned(zone.tz().clone()).date();
    // The test may run over midnight.
    let days = [today, today.tomorrow().unwrap()];
    let days = days.map(|date| json!({"date": date, "name": "Company day", "region": "US"}));
    let holidays = json!({ "holidays": days });
    let put = async |holidays: &Value| {
        let path = "/settings/holidays";
        let put = world.owner.send(Method::PUT, path, Some(holidays)).await;
        put.ok()
    };
    assert_eq!(put(&holidays).await, holidays);
    let observes = |is| json!({"rules": {"observesHolidays": is}, "retry": {"maxAttempts": 1}});
    let observing = world.start_campaign(&list(1..4), observes(true)).await;
    until_held(&world, &observing, "callingWindow", 3).await;
    let explained = explain(&world, &observing, &person(2)).await;
    assert_eq!(explained["decidedBy"], "holiday", "{explained}");
    let rules = explained["rules"].as_array().unwrap();
    let finding = rules.iter().find(|it| it["rule"] == "holiday").unwrap();
    assert_eq!(finding["values"]["holiday"], "Company day", "{finding}");
    let least = today.tomorrow().unwrap().tomorrow().unwrap();
    let next = time(&explained["nextAt"]).to_zoned(zone.tz().clone());
    assert!(next.date() >= least, "{next}");

    // Campaigns that do not observe holidays go on.
    let other = world.start_campaign(&list(10..12), observes(false)).await;
    world.until_status(&other, "completed").await;
    assert_eq!(world.ledger().calls.len(), 2);

    put(&json!({"holidays": []})).await;
    world.until_status(&observing, "completed").await;
    assert_eq!(world.ledger().calls.len(), 5);
    world.end().await;
}

/// A number where it is between nine and eight now, in a country that no row of the rules names.
fn in_daytime() -> &'static str {
    let places = [
        ("Europe/London", "+442079460011"),
        ("Asia/Tokyo", "+81312345678"),
        ("Pacific/Auckland", "+6493670000"),
    ];
    let is_day = |zone: &str| {
        let zone: Zone = zone.parse().unwrap();
        (9..20).contains(&SystemClock.now().to_zoned(zone.tz().clone()).hour())
    };
    let mut found = places.iter().filter(|(zone, _)| is_day(zone));
    found.next().expect("somewhere it is day").1
}

// proves F-73
pub async fn who_heard_nobody_is_left_alone_by_machines_for_days(place: Arc<Place>) {
    let refusing = Faults {
        agent_refuses: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(refusing).start().await;
    let phone = in_daytime();
    let people = format!("name,phone,city\nAnn,{phone},Town\n");
    let once = json!({"retry": {"maxAttempts": 1}});
    let first = world.start_campaign(&people, once.clone()).await;
    world.until_status(&first, "completed").await;
    assert_eq!(n_placed(&world, phone), 1);
    let called_at = world.ledger().calls[0].created_at;
    world.simulator.set_faults(Faults::default());

    // The same campaign by the rules of others, which ask for three days of rest.
    let draft = [("start", "false")];
    let uploaded = world.owner.upload(&list(1..2), &once, &draft).await.ok();
    let second = uploaded["campaign"]["id"].as_str().unwrap();
    let path = format!("/campaigns/{second}");
    let agreed = json!({"contacts": [{
        "phone": phone,
        "fields": {"city": "Town"},
        "name": "Ann",
        "consent": {"kind": "express", "source": "a form", "at": "2026-01-01T00:00:00Z"},
    }]});
    let added = world.owner.post(&format!("{path}/contacts"), &agreed).await;
    assert_eq!(added.ok()["accepted"], 1);
    change(&world, second, json!({"rules": {"profile": "us-strict"}})).await;
    world.owner.ask(&format!("{path}/start")).await.ok();
    let group = until_held(&world, second, "abandonedRest", 1).await;
    let due = called_at + Duration::from_secs(72 * 3600);
    let off = time(&group["nextAt"]).duration_since(due);
    // Days later it is night, perhaps: then the morning after.
    assert!(
        off.as_secs() > -60 && off.as_hours() < 24,
        "{group} and {due}"
    );
    let explained = explain(&world, second, phone).await;
    assert_eq!(explained["decidedBy"], "abandonedRest", "{explained}");
    assert_eq!(n_placed(&world, phone), 1);

    change(&world, second, json!({"rules": {"profile": "none"}})).await;
    world.until_status(second, "completed").await;
    assert_eq!(n_placed(&world, phone), 2);
    world.end().await;
}

/// Three hours of every day that are now in London and not in New York.
fn daytime_in_london() -> String {
    let zone: Zone = "Europe/London".parse().unwrap();
    let hour = SystemClock.now().to_zoned(zone.tz().clone()).hour() + 24;
    format!(
        "mon-sun {:02}:00-{:02}:00",
        (hour - 1) % 24,
        (hour + 2) % 24
    )
}
