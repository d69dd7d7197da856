//! Ending the server on purpose: nobody is cut off, nobody is forgotten.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    sim::Behaviour::NoAnswer,
};
use serde_json::json;

use crate::world::{Place, Scenario, World, list, until};

/// What was on the wire when the drain began may still arrive.
const WIRE: Duration = Duration::from_millis(500);

/// Many more than are called until the drain begins, on a slow machine too.
const N_PEOPLE: u32 = 30;

async fn status_of(world: &World, path: &str) -> u16 {
    let response = world
        .owner
        .http
        .get(format!("{}{path}", world.url()))
        .send()
        .await;
    response.unwrap().status().as_u16()
}

// proves F-94
pub async fn a_draining_server_lets_talks_finish_and_forgets_nobody(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let settings = json!({"callsPerSecond": 5.0});
    let campaign = world.start_campaign(&list(0..N_PEOPLE), settings).await;
    assert_eq!(status_of(&world, "/readyz").await, 200);
    world.until_progress(&campaign, "connected", 1).await;

    let draining_at = SystemClock.now();
    let looking = async {
        let mut seen = (0, 0);
        world.app.engine.stop_dialing();
        while world.simulator.totals().live > 0 {
            seen = (
                status_of(&world, "/readyz").await,
                status_of(&world, "/healthz").await,
            );
        }
        seen
    };
    let (seen, ()) = tokio::join!(looking, world.app.drain());
    assert_eq!(seen, (503, 200), "not ready, and alive");
    let ledger = world.ledger();
    let n_placed = ledger.calls.len();
    assert!(
        n_placed < N_PEOPLE as usize,
        "the list was over before the drain"
    );
    let late = ledger
        .calls
        .iter()
        .filter(|call| call.created_at > draining_at + WIRE);
    assert_eq!(late.count(), 0);
    for call in world.calls(&campaign).await {
        match call["state"].as_str() {
            Some("ended") => assert_eq!(call["outcome"], "answered", "{call}"),
            state => assert_eq!(state, Some("released"), "{call}"),
        }
    }
    let progress = world
        .owner
        .get(&format!("/campaigns/{campaign}/progress"))
        .await
        .ok();
    assert_eq!(progress["open"], 0);
    assert_eq!(progress["calls"], n_placed);

    let world = world.restart().await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), N_PEOPLE as usize);
    for n in 0..N_PEOPLE {
        let contact = world.contact(&campaign, n).await;
        assert_eq!(contact["attempts"], 1, "{contact}");
    }
    world.end().await;
}

// proves F-94
pub async fn a_drain_that_takes_too_long_leaves_the_rest_for_the_next_start(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(NoAnswer)
        .setting("DIALTONE_DRAIN_SECONDS", 1)
        .start()
        .await;
    let settings = json!({"ringTimeoutSeconds": 60, "retry": {"maxAttempts": 1}});
    let campaign = world.start_campaign(&list(0..3), settings).await;
    until("three calls", async || {
        (world.simulator.totals().live == 3).then_some(())
    })
    .await;
    let before = SystemClock.now();
    world.app.drain().await;
    let took = SystemClock.now().duration_since(before).unsigned_abs();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(3),
        "{took:?}"
    );

    let world = world.restart().await;
    world
        .until_status_as_time_passes(&campaign, "completed")
        .await;
    assert_eq!(world.ledger().calls.len(), 3);
    for n in 0..3 {
        assert_eq!(world.contact(&campaign, n).await["outcome"], "noAnswer");
    }
    world.end().await;
}
