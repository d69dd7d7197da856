//! What the carrier takes for calls.

use std::{sync::Arc, time::Duration};

use dialtone::sim::{
    Behaviour::{Busy, Converses},
    faults::Faults,
};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, until};

fn once() -> Value {
    json!({"retry": {"maxAttempts": 1}})
}

/// A world in which the first question for a price comes so soon after the call.
fn asking_after(place: &Arc<Place>, first: Duration) -> Scenario {
    Scenario::on(place)
        .callee(1, [Converses])
        .callee(2, [Busy])
        .engine(move |settings| {
            settings.timing.price = first;
            settings.prices = Duration::from_millis(50);
        })
}

/// The one call to person 1, once its price is in that state.
async fn until_price_is(world: &World, campaign: &str, state: &str) -> Value {
    let id = until(&format!("a price that is {state}"), async || {
        let call = world.calls_to(campaign, 1).await.remove(0);
        (call["carrierPriceState"] == state).then(|| call["id"].as_str().unwrap().to_owned())
    })
    .await;
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

fn priced(call: &Value) -> Vec<&str> {
    let timeline = call["timeline"].as_array().unwrap();
    let priced = timeline.iter().filter(|it| it["kind"] == "priced");
    priced.map(|it| it["text"].as_str().unwrap()).collect()
}

// proves F-28
pub async fn what_the_carrier_takes_is_on_record_some_time_after_the_call(place: Arc<Place>) {
    let world = asking_after(&place, Duration::from_millis(100))
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), once()).await;
    world.until_status(&campaign, "completed").await;
    let call = until_price_is(&world, &campaign, "known").await;
    let minute = json!({"millionths": 14_000, "currency": "USD"});
    assert_eq!(call["carrierPrice"], minute, "{call}");
    assert_eq!(priced(&call), ["the carrier takes 0.014 USD"]);
    assert_eq!(call["outcome"], "answered");

    let busy = world.calls_to(&campaign, 2).await.remove(0);
    assert_eq!(busy["carrierPrice"], Value::Null, "{busy}");
    assert_eq!(busy["carrierPriceState"], Value::Null, "{busy}");
    world.end().await;
}

// proves F-28
pub async fn a_price_that_never_comes_is_given_up_and_unknown(place: Arc<Place>) {
    let world = asking_after(&place, Duration::from_millis(1))
        .faults(Faults {
            price_late_ms: 3_600_000,
            ..Faults::default()
        })
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), once()).await;
    world.until_status(&campaign, "completed").await;
    let call = until_price_is(&world, &campaign, "givenUp").await;
    assert_eq!(call["carrierPrice"], Value::Null, "{call}");
    assert_eq!(
        priced(&call),
        ["the carrier tells no price and is asked no more"]
    );
    world.end().await;
}

// proves F-28
pub async fn a_restart_forgets_no_price(place: Arc<Place>) {
    let world = asking_after(&place, Duration::from_millis(100))
        .faults(Faults {
            price_late_ms: 3_000,
            ..Faults::default()
        })
        .start()
        .await;
    let campaign = world.start_campaign(&list(1..3), once()).await;
    world.until_status(&campaign, "completed").await;
    let world = world.restart().await;
    let call = until_price_is(&world, &campaign, "known").await;
    assert_eq!(priced(&call).len(), 1, "{call}");
    world.end().await;
}
