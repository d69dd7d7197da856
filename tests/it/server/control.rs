//! Starting, pausing, resuming and stopping.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::{
        Behaviour::{Busy, NoAnswer},
        Faults,
    },
};
use serde_json::json;

use crate::world::{Place, Scenario, World, list, until, watch_for};

/// How long a change may take until it acts.
const EFFECT: Duration = Duration::from_secs(1);

/// Many more than are called until a pause, on a slow machine too.
const N_PEOPLE: u32 = 30;

fn slowly() -> serde_json::Value {
    json!({"callsPerSecond": 5.0})
}

fn placed_after(world: &World, at: Timestamp) -> usize {
    let calls = world.ledger().calls;
    calls.iter().filter(|call| call.created_at > at).count()
}

// proves F-05, F-06
pub async fn a_pause_lets_talks_finish_and_begins_no_calls(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let campaign = world.start_campaign(&list(0..N_PEOPLE), slowly()).await;
    world.until_progress(&campaign, "connected", 1).await;
    let path = format!("/campaigns/{campaign}");
    let paused = world.owner.ask(&format!("{path}/pause")).await.ok();
    let paused_at = SystemClock.now();
    assert_eq!(paused["status"], "paused");
    assert_eq!(paused["reason"], "paused by an operator");
    assert_eq!(
        paused["allowedActions"],
        json!(["resume", "stop", "edit", "enroll"])
    );

    watch_for(2 * EFFECT).await;
    world.until_progress(&campaign, "open", 0).await;
    assert_eq!(placed_after(&world, paused_at + EFFECT), 0);
    let n_placed = world.ledger().calls.len();
    assert!(
        n_placed < N_PEOPLE as usize,
        "the list was over before the pause"
    );
    let answered = world.calls(&campaign).await;
    let talks = answered.iter().filter(|call| call["outcome"] == "answered");
    let n_talks = talks.count();
    let taken_back = answered.iter().filter(|call| call["outcome"] == "canceled");
    let n_taken_back = taken_back.count();
    assert_eq!(n_talks + n_taken_back, n_placed, "{answered:?}");

    world.owner.ask(&format!("{path}/resume")).await.ok();
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), N_PEOPLE as usize + n_taken_back);
    world.end().await;
}

// proves F-06
pub async fn pausing_and_resuming_during_a_talk_rings_nobody_again(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| simulator.agent.turns = (3, 3))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_progress(&campaign, "connected", 1).await;
    let mut n_changes = 0;
    while n_changes < 40 {
        let action = if n_changes % 2 == 0 {
            "pause"
        } else {
            "resume"
        };
        let changed = world
            .owner
            .ask(&format!("/campaigns/{campaign}/{action}"))
            .await
            .ok();
        if changed["progress"]["open"] == 0 {
            break;
        }
        n_changes += 1;
    }
    assert!(n_changes > 4, "the talk ended too soon to tell");
    let last = world
        .owner
        .ask(&format!("/campaigns/{campaign}/resume"))
        .await;
    assert!(matches!(last.status.as_u16(), 200 | 409), "{}", last.text);
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.calls_to(&campaign, 1).await.len(), 1);
    assert_eq!(world.ledger().calls.len(), 1);
    world.end().await;
}

// proves F-24, F-25
pub async fn a_pause_takes_back_what_waits_at_the_carrier_and_calls_it_again(place: Arc<Place>) {
    // The carrier lets a call out of its queue every other second, and people act twenty times as fast.
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.calls_per_second = 0.5 / simulator.speed)
        .start()
        .await;
    let settings = json!({"retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(0..6), settings).await;
    until("a queue at the carrier", async || {
        (world.simulator.totals().calls_created == 6).then_some(())
    })
    .await;
    let path = format!("/campaigns/{campaign}");
    world.owner.ask(&format!("{path}/pause")).await.ok();
    let paused_at = SystemClock.now();

    world.until_progress(&campaign, "open", 0).await;
    let took = SystemClock.now().duration_since(paused_at).unsigned_abs();
    assert!(
        took < 2 * EFFECT,
        "calls waited at the carrier for {took:?}"
    );
    let canceled = world.ledger().totals.outcomes["canceled"];
    assert!(canceled >= 3, "{canceled} of 6 calls were taken back");
    for n in 0..6 {
        let contact = world.contact(&campaign, n).await;
        let was_called = contact["state"] == "finished";
        assert_eq!(contact["attempts"], u32::from(was_called), "{contact}");
    }

    world.owner.ask(&format!("{path}/resume")).await.ok();
    world.until_status(&campaign, "completed").await;
    for n in 0..6 {
        let contact = world.contact(&campaign, n).await;
        assert_eq!(
            (&contact["attempts"], &contact["outcome"]),
            (&json!(1), &json!("busy"))
        );
    }
    assert_eq!(world.ledger().calls.len() as u64, 6 + canceled);
    world.end().await;
}

// proves F-07
pub async fn a_stop_cancels_what_rings_and_lets_talks_finish(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .callee(0, [NoAnswer])
        .callee(1, [NoAnswer])
        .simulator(|simulator| simulator.agent.turns = (3, 3))
        .start()
        .await;
    let settings = json!({"maxConcurrentCalls": 4, "ringTimeoutSeconds": 200});
    let campaign = world.start_campaign(&list(0..12), settings).await;
    world.until_progress(&campaign, "connected", 2).await;
    let path = format!("/campaigns/{campaign}/stop");
    let stopped = world.owner.ask(&path).await.ok();
    let stopped_at = SystemClock.now();
    assert_eq!(stopped["status"], "cancelled");

    world.until_progress(&campaign, "open", 0).await;
    watch_for(2 * EFFECT).await;
    assert_eq!(placed_after(&world, stopped_at + EFFECT), 0);
    for n in [0, 1] {
        let calls = world.calls_to(&campaign, n).await;
        assert_eq!(calls[0]["outcome"], "canceled", "{calls:?}");
        assert_eq!(calls[0]["endedBy"], "operator");
    }
    let answered = world.owner.get("/calls?outcome=answered").await.ok();
    assert!(answered["total"].as_u64().unwrap() >= 2, "{answered}");
    let again = world.owner.ask(&path).await.ok();
    assert_eq!(again["status"], "cancelled");
    let start = world
        .owner
        .ask(&format!("/campaigns/{campaign}/start"))
        .await;
    start.refused(409, "notAllowed");
    world.end().await;
}

// proves F-04, F-07
pub async fn a_stop_while_a_request_is_on_its_way_ends_that_call_and_keeps_it_on_record(
    place: Arc<Place>,
) {
    let faults = Faults {
        create_hangs: 1.0,
        create_hangs_ms: 700,
        lost_callback: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(NoAnswer)
        .faults(faults)
        .impatient()
        .start()
        .await;
    let settings = json!({"ringTimeoutSeconds": 600, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    until("a call that nobody was told of", async || {
        (world.simulator.totals().calls_created == 1).then_some(())
    })
    .await;
    let path = format!("/campaigns/{campaign}/stop");
    world.owner.ask(&path).await.ok();
    world.until_progress(&campaign, "open", 0).await;
    let calls = world.calls_to(&campaign, 1).await;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["outcome"], "canceled", "{calls:?}");
    assert_eq!(calls[0]["endedBy"], "operator");
    assert_eq!(calls[0]["sid"], world.ledger().calls[0].sid.as_str());
    world.end().await;
}

// proves F-08
pub async fn starting_many_times_at_once_is_starting_once(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let settings = json!({"maxConcurrentCalls": 2, "retry": {"maxAttempts": 1}});
    let created = world
        .owner
        .upload(&list(0..8), &settings, &[("start", "false")])
        .await
        .ok();
    let draft = &created["campaign"];
    assert_eq!(draft["status"], "draft");
    let id = draft["id"].as_str().unwrap();
    let path = format!("/campaigns/{id}/start");
    let starts = (0..20).map(|_| world.owner.ask(&path));
    for started in futures_util::future::join_all(starts).await {
        assert_eq!(started.ok()["status"], "active");
    }
    world.owner.ask(&path).await.ok();
    world.until_status(id, "completed").await;
    let ledger = world.ledger();
    assert_eq!(ledger.calls.len(), 8);
    assert!(ledger.totals.live_max <= 2, "{:?}", ledger.totals);
    world.end().await;
}

// proves F-65
pub async fn an_operator_ends_a_call_and_the_carrier_confirms_it(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| simulator.agent.turns = (3, 3))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_progress(&campaign, "connected", 1).await;
    let call = world.calls_to(&campaign, 1).await.remove(0);
    assert_eq!(
        call["allowedActions"],
        json!(["hangUp", "listen", "hint", "transfer", "mute"])
    );
    let path = format!("/calls/{}/hangup", call["id"].as_str().unwrap());
    let asked = world.owner.ask(&path).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text);
    world.until_status(&campaign, "completed").await;
    let call = world.calls_to(&campaign, 1).await.remove(0);
    assert_eq!(call["endedBy"], "operator", "{call}");
    assert_eq!(call["allowedActions"], json!([]));
    world.owner.ask(&path).await.refused(409, "notAllowed");
    world.end().await;
}
