//! What the server says of those who were not called yet. Its numbers add up, or the test fails.

use serde_json::Value;

use crate::world::{World, until};

fn n(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn n_in(groups: &Value) -> u64 {
    let groups = groups.as_array().unwrap().iter();
    groups.map(|group| n(&group["count"])).sum()
}

/// Where a campaign's people are while nobody's state changes.
// proves F-67
pub async fn diagnosis(world: &World, campaign: &str) -> Value {
    let path = format!("/campaigns/{campaign}/diagnostics");
    let found = world.owner.get(&path).await.ok();
    let finished = found["finished"].as_object().unwrap();
    let n_finished: u64 = finished.values().map(n).sum();
    let sum = n(&found["open"]) + n_in(&found["waiting"]) + n_finished;
    assert_eq!(sum, n(&found["enrolled"]), "{found}");
    let n_without_call = finished.get("none").map_or(0, n);
    assert!(n_in(&found["finishedByRule"]) <= n_without_call, "{found}");
    found
}

/// Those of `groups` for whom `rule` decides.
pub fn group(groups: &Value, rule: &str) -> Option<Value> {
    let mut groups = groups.as_array().unwrap().iter();
    groups.find(|group| group["rule"] == rule).cloned()
}

/// Waits until `rule` keeps so many people of a campaign; gives their group.
pub async fn until_held(world: &World, campaign: &str, rule: &str, count: u64) -> Value {
    let path = format!("/campaigns/{campaign}/diagnostics");
    until(&format!("{count} held by {rule}"), async || {
        let found = world.owner.get(&path).await.ok();
        group(&found["waiting"], rule).filter(|group| group["count"] == count)
    })
    .await
}

/// What every rule says about the person with that number.
pub async fn explain(world: &World, campaign: &str, phone: &str) -> Value {
    let path = format!("/campaigns/{campaign}/contacts");
    let contacts = world.owner.all(&path).await;
    let contact = contacts.iter().find(|contact| contact["phone"] == phone);
    let id = contact.unwrap()["enrollmentId"].as_str().unwrap();
    world.owner.get(&format!("{path}/{id}/explain")).await.ok()
}
