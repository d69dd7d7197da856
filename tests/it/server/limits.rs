//! How many calls at once, and how closely they follow each other: measured at the carrier.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::Behaviour::{Busy, NoAnswer},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::diagnosis::group;
use crate::world::{Place, Scenario, World, list, until, watch_for};

/// Nobody is called twice.
fn once(mut settings: Value) -> Value {
    settings["retry"] = json!({"maxAttempts": 1});
    settings
}

/// The dial starts of a campaign, in order. None of its calls reached the carrier before its start.
async fn dial_starts(world: &World, campaign: &str) -> Vec<Timestamp> {
    let placed: BTreeMap<String, Timestamp> = world
        .ledger()
        .calls
        .into_iter()
        .map(|call| (call.sid, call.created_at))
        .collect();
    let mut starts = Vec::new();
    for call in world.calls(campaign).await {
        let Some(sid) = call["sid"].as_str() else {
            continue; // Given back before it was asked for.
        };
        let start: Timestamp = call["dialAt"].as_str().unwrap().parse().unwrap();
        let placed = placed[sid];
        assert!(placed >= start, "placed at {placed}: {call}");
        starts.push(start);
    }
    starts.sort();
    starts
}

fn gaps(starts: &[Timestamp]) -> Vec<Duration> {
    starts
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).unsigned_abs())
        .collect()
}

/// Everybody is busy, so late that even a slow machine has dialed the next by then.
fn lines_stay_up(scenario: Scenario) -> Scenario {
    scenario
        .everyone(Busy)
        .simulator(|simulator| simulator.speed = 2.0)
}

// proves F-08
pub async fn no_more_calls_are_up_at_once_than_the_campaign_allows(place: Arc<Place>) {
    let world = lines_stay_up(Scenario::on(&place)).start().await;
    let settings = once(json!({"maxConcurrentCalls": 3, "callsPerSecond": 100.0}));
    let campaign = world.start_campaign(&list(0..9), settings).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().totals.live_max, 3);
    world.end().await;
}

pub async fn a_tenants_campaigns_share_its_limits(place: Arc<Place>) {
    let world = lines_stay_up(Scenario::on(&place))
        .setting("DIALTONE_MAX_CONCURRENT_CALLS", 3)
        .start()
        .await;
    let first = world.start_campaign(&list(0..5), once(json!({}))).await;
    let second = world.start_campaign(&list(5..10), once(json!({}))).await;
    world.until_status(&first, "completed").await;
    world.until_status(&second, "completed").await;
    assert_eq!(world.ledger().totals.live_max, 3);
    world.end().await;
}

// proves F-67
pub async fn no_more_calls_are_up_at_once_than_the_agents_account_can_talk_in(place: Arc<Place>) {
    // Phones ring for so long that the limit is seen.
    let world = Scenario::on(&place)
        .everyone(NoAnswer)
        .simulator(|simulator| simulator.speed = 4.0)
        .setting("DIALTONE_AGENT_MAX_CONVERSATIONS", 3)
        .start()
        .await;
    let first = world.start_campaign(&list(0..3), once(json!({}))).await;
    let second = world.start_campaign(&list(3..6), once(json!({}))).await;
    let path = format!("/campaigns/{second}/diagnostics");
    let group = until("the limit by its name", async || {
        let found = world.owner.get(&path).await.ok();
        group(&found["waiting"], "agentSlots")
    })
    .await;
    assert!(
        group["remedy"]
            .as_str()
            .unwrap()
            .contains("DIALTONE_AGENT_MAX_CONVERSATIONS")
    );
    let path = format!("/campaigns/{second}/forecast");
    let forecast = world.owner.get(&path).await.ok();
    assert_eq!(forecast["limitedBy"], "agentSlots", "{forecast}");
    assert_eq!(forecast["openAtMost"], 3, "{forecast}");
    world.until_status(&first, "completed").await;
    world.until_status(&second, "completed").await;
    assert_eq!(world.ledger().totals.live_max, 3);
    world.end().await;
}

// proves F-11
pub async fn dial_starts_keep_the_delay_between_calls(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = once(json!({"callDelayMs": 300, "callsPerSecond": 100.0}));
    let campaign = world.start_campaign(&list(0..8), settings).await;
    world.until_status(&campaign, "completed").await;
    let gaps = gaps(&dial_starts(&world, &campaign).await);
    assert_eq!(gaps.len(), 7);
    let least = Duration::from_millis(300);
    assert!(gaps.iter().all(|gap| *gap >= least), "{gaps:?}");
    world.end().await;
}

// proves F-11
pub async fn dial_starts_keep_the_rate_also_over_a_pause(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = once(json!({"callsPerSecond": 10.0}));
    let campaign = world.start_campaign(&list(0..20), settings).await;
    until("some calls", async || {
        (world.simulator.totals().calls_created >= 5).then_some(())
    })
    .await;
    let path = format!("/campaigns/{campaign}");
    world.owner.ask(&format!("{path}/pause")).await.ok();
    watch_for(Duration::from_millis(700)).await;
    world.owner.ask(&format!("{path}/resume")).await.ok();
    world.until_status(&campaign, "completed").await;
    let gaps = gaps(&dial_starts(&world, &campaign).await);
    let least = Duration::from_millis(100);
    assert!(gaps.iter().all(|gap| *gap >= least), "{gaps:?}");
    let n_close = gaps.iter().filter(|gap| **gap < least * 2).count();
    assert!(
        n_close > gaps.len() / 2,
        "the rate is not reached: {gaps:?}"
    );
    world.end().await;
}

pub async fn a_changed_limit_acts_within_a_second(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = once(json!({"callDelayMs": 60_000}));
    let campaign = world.start_campaign(&list(0..4), settings).await;
    until("the first call", async || {
        (world.simulator.totals().calls_created == 1).then_some(())
    })
    .await;
    let path = format!("/campaigns/{campaign}");
    let change = json!({"settings": {"callDelayMs": 100}});
    let changed = world
        .owner
        .send(Method::PATCH, &path, Some(&change))
        .await
        .ok();
    let changed_at = SystemClock.now();
    assert_eq!(changed["settings"]["callDelayMs"], 100);
    assert_eq!(
        changed["settings"]["callsPerSecond"], 50.0,
        "what is not named stays"
    );
    world.until_status(&campaign, "completed").await;
    let second = dial_starts(&world, &campaign).await[1];
    assert!(
        second <= changed_at + Duration::from_secs(1),
        "{second} after {changed_at}"
    );
    world.end().await;
}

// proves F-15
pub async fn every_active_campaign_dials_after_a_restart(place: Arc<Place>) {
    const CAMPAIGNS: u32 = 21;
    const PEOPLE: u32 = 60;
    let world = Scenario::on(&place).everyone(Busy).start().await;
    // So slowly that nobody is through with the list before all of them were at it.
    let settings = once(json!({"callsPerSecond": 0.5}));
    let mut campaigns = Vec::new();
    for n in 0..CAMPAIGNS {
        let people = list(n * PEOPLE..(n + 1) * PEOPLE);
        campaigns.push(world.start_campaign(&people, settings.clone()).await);
    }
    until("calls of every campaign", async || {
        let placed = n_placed(&world, PEOPLE);
        (placed.len() == CAMPAIGNS as usize).then_some(())
    })
    .await;

    let world = world.restart().await;
    let before = n_placed(&world, PEOPLE);
    until("more calls of every campaign", async || {
        let placed = n_placed(&world, PEOPLE);
        let all = before.iter().all(|(campaign, n)| placed[campaign] > *n);
        all.then_some(())
    })
    .await;
    for campaign in &campaigns {
        let stop = format!("/campaigns/{campaign}/stop");
        world.owner.ask(&stop).await.ok();
    }
    for campaign in &campaigns {
        world.until_progress(campaign, "open", 0).await;
    }
    world.end().await;
}

/// How many calls there were to each campaign's people, of whom each campaign has so many.
fn n_placed(world: &World, n_people: u32) -> BTreeMap<u32, usize> {
    let mut placed = BTreeMap::new();
    for call in world.ledger().calls {
        let person: u32 = call.to[call.to.len() - 4..].parse().unwrap();
        *placed.entry(person / n_people).or_default() += 1;
    }
    placed
}
