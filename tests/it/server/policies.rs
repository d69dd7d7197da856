//! What a campaign may use, when it runs, and what stands it still by itself: measured at the carrier.

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

pub async fn a_number_rests_between_its_calls(place: Arc<Place>) {
    let own = ["+15005550006", "+15005550007"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let pool = json!({"callerIds": {"numbers": own, "coolingSeconds": 3600}});
    let campaign = world.start_campaign(&list(0..5), once(pool)).await;
    until_held(&world, &campaign, "callerId", 3).await;
    world.until_progress(&campaign, "finished", 2).await;
    let once_each = own.clone().map(|number| (number, 1));
    assert_eq!(by_caller(&world.ledger()), once_each);

    // Whom a number kept waiting is called as soon as it need not rest for so long.
    let pool = json!({"callerIds": {"numbers": [own[0]], "coolingSeconds": 2}});
    change(&world, &campaign, pool).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    let expected = [(own[0].clone(), 4), (own[1].clone(), 1)];
    assert_eq!(by_caller(&ledger), expected);
    let calls = world.calls(&campaign).await;
    let of_first = calls.iter().filter(|call| call["from"] == own[0].as_str());
    let starts = of_first.map(|call| call["dialAt"].as_str().unwrap());
    let mut starts: Vec<Timestamp> = starts.map(|at| at.parse().unwrap()).collect();
    starts.sort();
    for pair in starts.windows(2) {
        let rest = pair[1].duration_since(pair[0]).unsigned_abs();
        assert!(rest >= Duration::from_secs(2), "{starts:?}");
    }
    world.end().await;
}

/// The versions of those who wait.
async fn waiting_versions(world: &World, campaign: &str) -> Vec<u64> {
    let filter = EnrollmentFilter {
        state: Some("waiting".to_owned()),
    };
    let (id, page) = (campaign.parse().unwrap(), PageRequest::first(500));
    let found = world
        .store
        .list_enrollments(TenantId::DEFAULT, id, &filter, &page);
    let found = found.await.unwrap().items;
    found.iter().map(|enrollment| enrollment.version).collect()
}

pub async fn nobody_is_touched_who_waits_for_a_number(place: Arc<Place>) {
    const PEOPLE: usize = 100;
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let own = world.simulator.config().numbers[0].clone();
    let pool = json!({"callerIds": {"numbers": [own], "coolingSeconds": 3600}});
    let people = list(0..u32::try_from(PEOPLE).unwrap());
    let campaign = draft(&world, &people, once(pool)).await;
    let as_enrolled = waiting_versions(&world, &campaign).await;
    assert_eq!(as_enrolled.len(), PEOPLE);
    ask(&world, &campaign, "start").await;
    world.until_progress(&campaign, "finished", 1).await;
    until_held(&world, &campaign, "callerId", PEOPLE as u64 - 1).await;
    // Rounds of dispatch go by.
    watch_for(Duration::from_secs(2)).await;
    let waiting = waiting_versions(&world, &campaign).await;
    assert_eq!(waiting, as_enrolled[1..], "whoever waits is as enrolled");
    assert_eq!(world.ledger().calls.len(), 1);
    let explained = explain(&world, &campaign, &person(50)).await;
    assert_eq!(explained["decidedBy"], "callerId", "{explained}");

    change(&world, &campaign, json!({ "callerIds": null })).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), PEOPLE);
    world.end().await;
}

pub async fn callees_see_the_number_that_is_most_like_theirs(place: Arc<Place>) {
    let own = ["+13125550100", "+12025550100", "+442079460018"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let people = [person(1), londoner(1), "+13125550111".to_owned(), person(2)];
    let mut csv = "name,phone,city\n".to_owned();
    for phone in &people {
        csv += &format!("Somebody,{phone},Town\n");
    }
    let pool = json!({"callerIds": {"numbers": own, "choice": "localPresence"}});
    let campaign = world.start_campaign(&csv, once(pool)).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    let from: BTreeMap<&str, &str> = ledger
        .calls
        .iter()
        .map(|call| (call.to.as_str(), call.from.as_str()))
        .collect();
    let seen = people.each_ref().map(|phone| from[phone.as_str()]);
    assert_eq!(
        seen,
        [&own[1], &own[2], &own[0], &own[1]].map(String::as_str)
    );
    world.end().await;
}

/// How many calls came from each number.
fn by_caller(ledger: &LedgerSnapshot) -> Vec<(String, u32)> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for call in &ledger.calls {
        *counts.entry(call.from.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

pub async fn numbers_take_turns_and_each_makes_its_calls_of_a_day_and_no_more(place: Arc<Place>) {
    let own = ["+15005550006", "+15005550007", "+15005550008"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let all = world.start_campaign(&list(0..9), once(json!({}))).await;
    world.until_status(&all, "completed").await;
    let evenly = own.clone().map(|number| (number, 3));
    assert_eq!(by_caller(&world.ledger()), evenly);

    // The first has made three calls today, and may make two more.
    let pool = json!({"callerIds": {"numbers": [own[0]], "perDay": 5}});
    let suppressed: Vec<Suppression> = (10..20).map(suppression).collect();
    let engine = &world.app.engine;
    engine
        .suppress(TenantId::DEFAULT, suppressed)
        .await
        .unwrap();
    let few = world.start_campaign(&list(10..24), once(pool)).await;
    until_held(&world, &few, "callerId", 2).await;
    world.until_progress(&few, "finished", 12).await;
    let ledger = world.ledger();
    let expected = [
        (own[0].clone(), 5),
        (own[1].clone(), 3),
        (own[2].clone(), 3),
    ];
    assert_eq!(by_caller(&ledger), expected);
    let found = diagnosis(&world, &few).await;
    assert_eq!(found["finished"], json!({"busy": 2, "none": 10}), "{found}");
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

fn refusing(beginning: &str, code: u32) -> Faults {
    Faults {
        create_refused: BTreeMap::from([(beginning.to_owned(), code)]),
        ..Faults::default()
    }
}

pub async fn a_network_that_connects_no_call_pauses_the_campaign_until_it_is_resumed(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 32016))
        .start()
        .await;
    let settings = once(json!({"maxConcurrentCalls": 2, "callsPerSecond": 20.0}));
    let campaign = world.start_campaign(&list(0..30), settings).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    world.until_progress(&campaign, "open", 0).await;
    let n_asked = n_requests(&world.ledger(), "+1202");
    assert!((10..=14).contains(&n_asked), "{n_asked} were tried");
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"failed": n_asked}));

    world.simulator.set_faults(Faults::default());
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 30 - n_asked as usize);
    world.end().await;
}

pub async fn calls_of_the_erased_count_when_a_network_connects_none(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 32016))
        .start()
        .await;
    let settings = once(json!({"maxConcurrentCalls": 1, "callDelayMs": 400}));
    let campaign = world.start_campaign(&list(0..30), settings).await;
    let contacts = format!("/campaigns/{campaign}/contacts");
    let mut n_erased = 0;
    let last = until("the end of the calls", async || {
        for contact in world.owner.all(&contacts).await {
            if contact["state"] == "finished" && contact["phone"] != "erased" {
                let whom = json!({"phone": contact["phone"]});
                world.owner.post("/contacts/erase", &whom).await.ok();
                n_erased += 1;
            }
        }
        let campaign = world.owner.get(&format!("/campaigns/{campaign}")).await;
        let campaign = campaign.ok();
        (campaign["status"] != "active").then_some(campaign)
    })
    .await;
    assert_eq!(last["status"], "paused", "{n_erased} were erased: {last}");
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    assert!(n_erased > 0);
    world.until_progress(&campaign, "open", 0).await;
    ask(&world, &campaign, "stop").await;
    world.end().await;
}

// proves F-03
pub async fn a_carrier_that_answers_no_request_pauses_the_campaign_and_ends_nobody(
    place: Arc<Place>,
) {
    let failing = Faults {
        create_fails: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(failing)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..40), once(json!({}))).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    // First the requests that are still under way: one that is made later would be answered.
    world.until_progress(&campaign, "open", 0).await;
    world.simulator.set_faults(Faults::default());
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({}), "{found}");
    assert_eq!(world.ledger().calls.len(), 0);
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 40);
    world.end().await;
}

// proves F-35
pub async fn an_agent_that_fails_for_most_pauses_the_campaign(place: Arc<Place>) {
    let faults = Faults {
        agent_refuses: 0.75,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = once(json!({
        "maxConcurrentCalls": 2,
        "silentLimit": {"warnPermille": 1000, "stopPermille": 1000, "leastAnswered": 1000},
    }));
    let campaign = world.start_campaign(&list(0..24), settings).await;
    let paused = world.until_status(&campaign, "paused").await;
    let status = stored(&world, &campaign).await.status;
    let is_agents = matches!(
        status,
        CampaignStatus::Paused(
            PauseReason::Agent { .. }
                | PauseReason::Brake {
                    brake: Brake::AgentFailures,
                    ..
                }
        )
    );
    assert!(is_agents, "{paused}");
    world.until_progress(&campaign, "open", 0).await;
    assert!(world.ledger().calls.len() <= 12);
    world.end().await;
}

// proves F-73
pub async fn people_who_hear_nobody_pause_the_campaign_at_the_limit(place: Arc<Place>) {
    let faults = Faults {
        agent_refuses: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = once(json!({
        "maxConcurrentCalls": 1,
        "silentLimit": {"warnPermille": 500, "stopPermille": 1000, "leastAnswered": 2},
    }));
    let campaign = world.start_campaign(&list(0..6), settings).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::SilentCalls));
    world.until_progress(&campaign, "open", 0).await;
    let n_calls = world.ledger().calls.len();
    assert!((2..=3).contains(&n_calls), "{n_calls}");

    // A call that the pause took back is made again, so calls are no measure of who is through.
    let path = format!("/campaigns/{campaign}/progress");
    let progress = world.owner.get(&path).await.ok();
    let n_finished = progress["finished"].as_u64().unwrap();
    // Whoever resumes has seen them: one more is no two of the limit. It is alone for a while.
    change(&world, &campaign, json!({"callDelayMs": 20_000})).await;
    ask(&world, &campaign, "resume").await;
    world
        .until_progress(&campaign, "finished", n_finished + 1)
        .await;
    world.simulator.set_faults(Faults::default());
    change(&world, &campaign, json!({"callDelayMs": 0})).await;
    world.until_status(&campaign, "completed").await;
    world.end().await;
}

// proves F-22, F-67
pub async fn a_country_that_is_not_enabled_is_left_alone_and_the_others_are_called(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+44", 21215))
        .start()
        .await;
    let mut people = "name,phone,city\n".to_owned();
    for n in 0..12 {
        people += &format!("Londoner {n},{},London\n", londoner(n));
        people += &format!("Person {n},{},Town {n}\n", person(n));
    }
    let settings = once(json!({"callsPerSecond": 5.0}));
    let campaign = world.start_campaign(&people, settings).await;
    world.until_progress(&campaign, "finished", 12).await;
    until_held(&world, &campaign, "destination", 12).await;
    let ledger = world.ledger();
    assert_eq!(n_requests(&ledger, "+1202"), 12);
    let n_refused = n_requests(&ledger, "+44");
    assert!((1..=3).contains(&n_refused), "{n_refused}");
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"busy": 12}), "{found}");
    assert_eq!(found["status"], "active");
    let explained = explain(&world, &campaign, &londoner(3)).await;
    assert_eq!(explained["decidedBy"], "destination", "{explained}");
    world.end().await;
}

// proves F-23
pub async fn a_code_that_hits_every_number_is_the_accounts_and_ends_nobody(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 21216))
        .start()
        .await;
    for (people, settings, most) in [
        (0..12, json!({"callDelayMs": 1_500}), 5),
        (20..50, json!({"callsPerSecond": 50.0}), 30),
    ] {
        let before = n_requests(&world.ledger(), "+1202");
        let n = people.len();
        let campaign = world.start_campaign(&list(people), once(settings)).await;
        let paused = world.until_status(&campaign, "paused").await;
        let reason = paused["reason"].as_str().unwrap();
        assert!(reason.contains("account"), "{reason}");
        until("everybody given back", async || {
            let path = format!("/campaigns/{campaign}/progress");
            let progress = world.owner.get(&path).await.ok();
            (progress["open"] == 0 && progress["finished"] == 0).then_some(())
        })
        .await;
        let n_asked = n_requests(&world.ledger(), "+1202") - before;
        assert!((5..=most).contains(&n_asked), "{n_asked} were tried");
        let found = diagnosis(&world, &campaign).await;
        assert_eq!(found["waiting"][0]["count"], n, "{found}");
    }
    world.simulator.set_faults(Faults::default());
    for campaign in world.owner.all("/campaigns").await {
        let id = campaign["id"].as_str().unwrap();
        ask(&world, id, "resume").await;
        world.until_status(id, "completed").await;
    }
    assert_eq!(world.ledger().calls.len(), 42);
    world.end().await;
}
