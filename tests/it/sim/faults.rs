//! Faults between the dialer and the carrier.

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use dialtone::sim::{Behaviour, Faults, Mix, SimulatorConfig};
use serde_json::json;

use super::dialer::{ANNA, World, callee, sequence_number};

#[tokio::test]
async fn callbacks_are_lost_and_repeated_as_the_faults_say() {
    let faults = Faults {
        lost_callback: 1.0,
        ..Faults::default()
    };
    let mut world = World::start(SimulatorConfig {
        faults,
        ..callee(Behaviour::Busy)
    })
    .await;
    world.dial(ANNA).await;
    assert!(world.hears_nothing_for(Duration::from_millis(600)).await);
    assert_eq!(world.simulator.ledger().totals.callbacks.lost, 3);

    let url = format!("{}/sim/faults", world.simulator.base_url());
    let change = json!({"lost_callback": 0.0, "duplicate_callback": 1.0});
    let response = world.http.post(&url).json(&change).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    world.dial(ANNA).await;
    let mut tokens = Vec::new();
    for _ in 0..6 {
        tokens.push(sequence_number(&world.next_hook("status").await));
    }
    tokens.sort_unstable();
    assert_eq!(tokens, [0, 0, 1, 1, 2, 2]);
    world.end().await;
}

#[tokio::test]
async fn a_failed_answer_may_hide_a_placed_call_that_is_listed_late() {
    let faults = Faults {
        create_fails_after_placing: 1.0,
        list_lag_ms: 400,
        ..Faults::default()
    };
    let config = SimulatorConfig {
        faults,
        ..callee(Behaviour::NoAnswer)
    };
    let mut world = World::start(config).await;
    let (status, body) = world.order(ANNA, &[]).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(body.is_string(), "a gateway answers without JSON");
    assert_eq!(
        world.next_hook("status").await.field("CallStatus"),
        "initiated"
    );
    assert_eq!(world.simulator.ledger().numbers[ANNA].created_at.len(), 1);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (_, list) = world.get(&world.calls_url()).await;
    assert_eq!(list["calls"].as_array().unwrap().len(), 1);

    world.simulator.set_faults(Faults {
        create_fails: 1.0,
        ..Faults::default()
    });
    let (status, _) = world.order(ANNA, &[]).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    world.simulator.set_faults(Faults {
        create_throttled: 1.0,
        ..Faults::default()
    });
    let (status, _) = world.order(ANNA, &[]).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(world.simulator.ledger().numbers[ANNA].created_at.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn an_answer_may_be_withheld_until_the_dialer_has_given_up() {
    let faults = Faults {
        create_hangs: 1.0,
        create_hangs_ms: 60_000,
        ..Faults::default()
    };
    let config = SimulatorConfig {
        faults,
        ..callee(Behaviour::Busy)
    };
    let mut world = World::start(config).await;
    let giving_up = Duration::from_millis(100);
    let order = tokio::time::timeout(giving_up, world.order(ANNA, &[])).await;
    assert!(order.is_err(), "the answer came");
    let told = world.statuses_to_the_end().await;
    assert_eq!(told.last().unwrap().field("CallStatus"), "busy");
    assert_eq!(world.simulator.ledger().numbers[ANNA].created_at.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn held_callbacks_are_overtaken_by_later_ones() {
    let faults = Faults {
        reordered_callback: 0.5,
        ..Faults::default()
    };
    let mix = Mix::only(Behaviour::Busy);
    let config = SimulatorConfig {
        faults,
        mix,
        ..SimulatorConfig::for_testing()
    };
    let mut world = World::start(config).await;
    const N_CALLS: usize = 6;
    for n in 0..N_CALLS {
        world.dial(&format!("+1500557{n:04}")).await;
    }
    let mut arrived: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for _ in 0..3 * N_CALLS {
        let hook = world.next_hook("status").await;
        let numbers = arrived.entry(hook.field("CallSid").to_owned()).or_default();
        numbers.push(sequence_number(&hook));
    }
    assert!(
        arrived.values().any(|numbers| !numbers.is_sorted()),
        "{arrived:?}"
    );
    assert!(
        arrived.values().all(|numbers| numbers.len() == 3),
        "{arrived:?}"
    );
    world.end().await;
}
