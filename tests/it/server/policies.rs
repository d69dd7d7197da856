//! What a campaign may use, when it runs, what it calls from, and what stands it still by itself: measured
//! at the carrier.

pub mod brakes;
pub mod callers;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::{
        Timestamp,
        campaign::{Brake, Campaign, CampaignStatus, PauseReason},
        ids::{SuppressionId, TenantId},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    sim::{
        Behaviour::{Busy, Converses},
        Faults, LedgerSnapshot,
    },
    store::{EnrollmentFilter, PageRequest},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::diagnosis::{diagnosis, explain, until_held};
use crate::world::{Place, Scenario, World, list, person, until, watch_for};

/// Nobody is called twice.
fn once(mut settings: Value) -> Value {
    settings["retry"] = json!({"maxAttempts": 1});
    settings
}

async fn draft(world: &World, csv: &str, settings: Value) -> String {
    let parts = [("start", "false")];
    let uploaded = world.owner.upload(csv, &settings, &parts).await.ok();
    uploaded["campaign"]["id"].as_str().unwrap().to_owned()
}

async fn ask(world: &World, campaign: &str, action: &str) {
    let path = format!("/campaigns/{campaign}/{action}");
    world.owner.ask(&path).await.ok();
}

async fn change(world: &World, campaign: &str, settings: Value) {
    let path = format!("/campaigns/{campaign}");
    let change = json!({ "settings": settings });
    let changed = world.owner.send(Method::PATCH, &path, Some(&change));
    changed.await.ok();
}

async fn stored(world: &World, campaign: &str) -> Campaign {
    let id = campaign.parse().unwrap();
    let found = world.store.find_campaign(TenantId::DEFAULT, id).await;
    found.unwrap().unwrap()
}

/// What stood the campaign still.
async fn brake(world: &World, campaign: &str) -> Option<Brake> {
    match stored(world, campaign).await.status {
        CampaignStatus::Paused(PauseReason::Brake { brake, .. }) => Some(brake),
        _ => None,
    }
}

/// Requests for calls to numbers that begin like that, refused ones included.
fn n_requests(ledger: &LedgerSnapshot, beginning: &str) -> u32 {
    let numbers = ledger.numbers.iter();
    numbers
        .filter(|(number, _)| number.starts_with(beginning))
        .map(|(_, facts)| facts.requests)
        .sum()
}

/// A list of people in London.
fn londoner(n: u32) -> String {
    format!("+442079460{n:03}")
}

pub async fn a_budget_of_minutes_pauses_the_campaign_and_is_never_exceeded(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    let settings = json!({"maxDurationSeconds": 60, "budget": {"mostMinutes": 4}});
    let campaign = world.start_campaign(&list(0..7), once(settings)).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::Budget));
    let calls = world.calls(&campaign).await;
    let minutes: u64 = calls
        .iter()
        .filter_map(|call| call["durationSeconds"].as_u64())
        .map(|seconds| seconds.div_ceil(60))
        .sum();
    assert_eq!((calls.len(), minutes), (4, 4), "{calls:?}");
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"answered": 4}));
    assert!(found["reason"].as_str().unwrap().contains("budget"));

    change(&world, &campaign, json!({"budget": null})).await;
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 7);
    world.end().await;
}

pub async fn a_budget_of_money_is_never_exceeded(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Converses).start().await;
    // Three minutes, and change that is no minute's price.
    let budget = json!({"mostCostMicroUsd": 350_000, "perMinuteMicroUsd": 100_000});
    let settings = json!({"maxDurationSeconds": 60, "budget": budget});
    let campaign = world.start_campaign(&list(0..5), once(settings)).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::Budget));
    assert_eq!(world.calls(&campaign).await.len(), 3);
    assert_eq!(world.ledger().calls.len(), 3);

    let more = json!({"mostCostMicroUsd": 500_000, "perMinuteMicroUsd": 100_000});
    change(&world, &campaign, json!({ "budget": more })).await;
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 5);
    world.end().await;
}

fn suppression(n: u32) -> Suppression {
    Suppression {
        id: SuppressionId::new(SystemClock.new_uuid()),
        tenant: TenantId::DEFAULT,
        subject: Subject::Phone(person(n).parse().unwrap()),
        scope: Scope::All,
        source: SuppressionSource::Operator,
        reason: None,
        at: SystemClock.now(),
    }
}

pub async fn who_may_not_be_called_takes_no_dial_start_from_the_others(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let engine = &world.app.engine;
    let suppressed = (0..60).map(suppression).collect();
    engine
        .suppress(TenantId::DEFAULT, suppressed)
        .await
        .unwrap();
    let settings = once(json!({"callDelayMs": 1000}));
    let began_at = SystemClock.now();
    let campaign = world.start_campaign(&list(0..62), settings).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    assert_eq!(ledger.calls.len(), 2);
    let last = ledger.calls[1].created_at;
    assert!(
        last < began_at + Duration::from_secs(30),
        "60 people who were not called took until {last}"
    );
    world.end().await;
}

pub async fn campaigns_share_dial_starts_by_their_priorities(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .setting("DIALTONE_CALLS_PER_SECOND", 20)
        .start()
        .await;
    // Places enough that only the rate is short, however slowly calls end.
    let of = |priority| once(json!({"priority": priority, "maxConcurrentCalls": 60}));
    let heavy = draft(&world, &list(0..70), of(10)).await;
    let light = draft(&world, &list(100..170), of(2)).await;
    // Both are active before anything is dialed.
    let stop = "/emergency-stop";
    world.owner.post(stop, &json!({})).await.ok();
    for campaign in [&light, &heavy] {
        ask(&world, campaign, "start").await;
    }
    world.owner.send(Method::DELETE, stop, None).await.ok();
    until("sixty calls", async || {
        (world.simulator.totals().calls_created >= 60).then_some(())
    })
    .await;
    for campaign in [&light, &heavy] {
        ask(&world, campaign, "stop").await;
    }
    for campaign in [&light, &heavy] {
        world.until_progress(campaign, "open", 0).await;
    }
    let ledger = world.ledger();
    let of_light: Vec<String> = (100..170).map(person).collect();
    let first = &ledger.calls[..60];
    let n_light = first.iter().filter(|call| of_light.contains(&call.to));
    // Ten are its share, thirty would be half; on a slow machine requests arrive out of turn.
    let n_light = n_light.count();
    assert!((8..=16).contains(&n_light), "{n_light} of 60");
    world.end().await;
}

pub async fn a_ramp_begins_slowly_and_reaches_the_rate(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = json!({"callsPerSecond": 5.0, "ramp": {"from": 0.5, "overSeconds": 6}});
    let campaign = world.start_campaign(&list(0..25), once(settings)).await;
    world.until_status(&campaign, "completed").await;
    let calls = world.calls(&campaign).await;
    let starts = calls.iter().map(|call| call["dialAt"].as_str().unwrap());
    let mut starts: Vec<Timestamp> = starts.map(|at| at.parse().unwrap()).collect();
    starts.sort();
    // Two and a half are due by then, beside the first.
    let slowly = starts[0] + Duration::from_secs(2);
    let n_slow = starts.iter().filter(|at| **at < slowly).count();
    assert!(n_slow <= 4, "{n_slow}: {starts:?}");
    // The middle one of the gaps: a disk that stands still for a moment makes one of them long.
    let gap = |range: std::ops::RangeInclusive<usize>| {
        let pairs = starts[range].windows(2);
        let mut gaps: Vec<_> = pairs.map(|two| two[1].duration_since(two[0])).collect();
        gaps.sort();
        gaps[gaps.len() / 2]
    };
    let (first, last) = (gap(0..=3), gap(16..=24));
    assert!(last < first, "{first:?}, {last:?}");
    world.end().await;
}

// proves F-95
pub async fn a_campaign_starts_and_ends_when_its_schedule_says(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let now = SystemClock.now();
    let start_at = now + Duration::from_secs(4);
    let settings = once(json!({
        "schedule": {"startAt": start_at.to_string()},
    }));
    let planned = world.start_campaign(&list(0..3), settings).await;
    let shown = world.owner.get(&format!("/campaigns/{planned}")).await.ok();
    assert_eq!(shown["status"], "scheduled", "{shown}");
    let found = diagnosis(&world, &planned).await;
    assert_eq!(found["waiting"][0]["rule"], "campaignActive", "{found}");
    assert_eq!(found["waiting"][0]["count"], 3, "{found}");
    world.until_status(&planned, "completed").await;
    let ledger = world.ledger();
    assert_eq!(ledger.calls.len(), 3);
    for call in &ledger.calls {
        assert!(call.created_at >= start_at, "{}", call.created_at);
    }

    let end_at = SystemClock.now() + Duration::from_secs(3);
    let settings = once(json!({
        "schedule": {"endAt": end_at.to_string()},
        "callDelayMs": 1000,
    }));
    let ending = world.start_campaign(&list(10..30), settings).await;
    world.until_status(&ending, "paused").await;
    assert_eq!(brake(&world, &ending).await, Some(Brake::ScheduleEnd));
    world.until_progress(&ending, "open", 0).await;
    let found = diagnosis(&world, &ending).await;
    assert!(found["reason"].as_str().unwrap().contains("scheduled end"));
    let latest = world.ledger().calls.last().unwrap().created_at;
    assert!(latest < end_at + Duration::from_secs(1), "{latest}");
    world.end().await;
}

// proves F-95
pub async fn a_start_that_was_missed_is_shown_and_not_made_up_for(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let id = draft(&world, &list(0..3), once(json!({}))).await;
    let mut campaign = stored(&world, &id).await;
    let hours = |n: u64| Duration::from_secs(3600 * n);
    campaign.policy.schedule.start_at = Some(SystemClock.now() - hours(2));
    campaign.policy.schedule.lateness = hours(1);
    campaign.status = CampaignStatus::Scheduled;
    campaign.version += 1;
    world.store.save_campaign(&campaign, &[]).await.unwrap();
    let paused = world.until_status(&id, "paused").await;
    assert_eq!(brake(&world, &id).await, Some(Brake::ScheduleMissed));
    assert!(paused["reason"].as_str().unwrap().contains("missed"));
    assert_eq!(world.ledger().calls.len(), 0);
    let found = diagnosis(&world, &id).await;
    assert_eq!(found["waiting"][0]["rule"], "campaignActive", "{found}");
    ask(&world, &id, "resume").await;
    world.until_status(&id, "completed").await;
    assert_eq!(world.ledger().calls.len(), 3);
    world.end().await;
}
