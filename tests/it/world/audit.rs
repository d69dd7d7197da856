//! Whether what really happened is what should have: the carrier's and the agent's own records
//! against the rules and against ours.

use std::collections::{BTreeMap, BTreeSet};

use dialtone::sim::{LedgerSnapshot, Simulator, ledger::CallFacts};
use serde_json::{Value, json};

use super::{Client, until};

/// Checks everything that must hold in the end; `allowed` are the carrier's alerts that may be.
pub async fn check(simulator: &Simulator, owner: &Client, allowed: &BTreeSet<u32>) {
    until(
        "the end of every call, stream and conversation",
        async || {
            let totals = simulator.totals();
            let is_quiet =
                totals.live == 0 && totals.streams_open == 0 && totals.agent_sessions_open == 0;
            is_quiet.then_some(())
        },
    )
    .await;
    let ledger = simulator.ledger();
    let mut found = unexpected_alerts(&ledger, allowed);
    found.extend(live_twice(&ledger));
    let calls = owner.all("/calls").await;
    let total = owner.get("/calls?limit=1").await.ok()["total"].clone();
    if total != calls.len() {
        found.push(format!(
            "the list of calls says {total}, it has {}",
            calls.len()
        ));
    }
    found.extend(unmatched(&ledger, &calls));
    for campaign in owner.all("/campaigns").await {
        let own: Vec<&Value> = calls
            .iter()
            .filter(|call| call["campaignId"] == campaign["id"])
            .collect();
        found.extend(too_many(&ledger, &campaign, &own));
        found.extend(wrong_figures(owner, &campaign, &own).await);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn unexpected_alerts(ledger: &LedgerSnapshot, allowed: &BTreeSet<u32>) -> Vec<String> {
    let alerts = ledger.alerts.iter();
    alerts
        .filter(|(code, _)| !allowed.contains(code))
        .map(|(code, alert)| format!("the carrier complained of {code}: {}", alert.last_detail))
        .collect()
}

/// No person has two calls at once.
fn live_twice(ledger: &LedgerSnapshot) -> Vec<String> {
    let twice = ledger
        .numbers
        .iter()
        .filter(|(_, facts)| facts.live_max > 1);
    twice
        .map(|(number, _)| format!("{number} had two calls at once"))
        .collect()
}

/// Every call that the carrier placed belongs to exactly one attempt, and every sid is a call.
fn unmatched(ledger: &LedgerSnapshot, calls: &[Value]) -> Vec<String> {
    let mut n_attempts: BTreeMap<&str, u32> = BTreeMap::new();
    for sid in calls.iter().filter_map(|call| call["sid"].as_str()) {
        *n_attempts.entry(sid).or_default() += 1;
    }
    let mut found = Vec::new();
    for call in &ledger.calls {
        match n_attempts.remove(call.sid.as_str()) {
            Some(1) => {}
            Some(n) => found.push(format!("{} belongs to {n} attempts", call.sid)),
            None => found.push(format!("{} belongs to no attempt", call.sid)),
        }
    }
    found.extend(
        n_attempts
            .keys()
            .map(|sid| format!("{sid} was never placed")),
    );
    found
}

/// No person of a campaign was called more often than the outcomes of the calls before allow.
fn too_many(ledger: &LedgerSnapshot, campaign: &Value, calls: &[&Value]) -> Vec<String> {
    let facts: BTreeMap<&str, &CallFacts> = ledger
        .calls
        .iter()
        .map(|call| (call.sid.as_str(), call))
        .collect();
    let mut placed: BTreeMap<&str, Vec<&CallFacts>> = BTreeMap::new();
    for call in calls {
        let fact = call["sid"].as_str().and_then(|sid| facts.get(sid));
        if let Some(fact) = fact.filter(|fact| !was_taken_back(fact)) {
            let enrollment = call["enrollmentId"].as_str().unwrap();
            placed.entry(enrollment).or_default().push(fact);
        }
    }
    let retry = &campaign["settings"]["retry"];
    // Whoever wanted to be called again may be, after a talk too.
    let wished: BTreeSet<&str> = calls
        .iter()
        .filter(|call| !call["followUpAt"].is_null())
        .filter_map(|call| call["sid"].as_str())
        .collect();
    let mut found = Vec::new();
    for calls in placed.values_mut() {
        calls.sort_by_key(|call| call.created_at);
        if calls.len() as u64 > retry["maxAttempts"].as_u64().unwrap() {
            found.push(format!("{} was called {} times", calls[0].to, calls.len()));
        }
        for n in 1..calls.len() {
            let is_wished = wished.contains(calls[n - 1].sid.as_str());
            if !is_wished && !may_follow(retry, &calls[..n]) {
                let before = calls[n - 1].outcome.as_deref();
                found.push(format!("{} was called again after {before:?}", calls[n].to));
            }
        }
    }
    found
}

/// Whether the call was cancelled before anybody answered, as a pause does: it is not counted.
fn was_taken_back(call: &CallFacts) -> bool {
    call.outcome.as_deref() == Some("canceled") && call.answered_at.is_none()
}

/// Whether another call may follow these, going by how the carrier says they ended.
fn may_follow(retry: &Value, before: &[&CallFacts]) -> bool {
    let kind = |call: &CallFacts| match call.outcome.as_deref() {
        Some("busy") => Some("busy"),
        Some("no-answer") => Some("noAnswer"),
        Some("failed") => Some("failed"),
        _ => None,
    };
    let Some(last) = before.last().and_then(|call| kind(call)) else {
        return false;
    };
    let n_of_kind = before
        .iter()
        .filter(|call| kind(call) == Some(last))
        .count();
    n_of_kind as u64 <= retry[last]["count"].as_u64().unwrap_or_default()
}

/// The figures shown equal a recount over the lists.
async fn wrong_figures(owner: &Client, campaign: &Value, calls: &[&Value]) -> Vec<String> {
    let id = campaign["id"].as_str().unwrap();
    let path = format!("/campaigns/{id}");
    let contacts = owner.all(&format!("{path}/contacts")).await;
    let shown = owner.get(&format!("{path}/progress")).await.ok();
    let n_calls = |state: &str| calls.iter().filter(|call| call["state"] == state).count();
    let taken_back = calls
        .iter()
        .filter(|call| call["outcome"] == "canceled" && call["endedBy"].is_null());
    let n_counted = n_calls("ended") - taken_back.count();
    let n_contacts = |state: &str| contacts.iter().filter(|it| it["state"] == state).count();
    let attempts: u64 = contacts
        .iter()
        .filter_map(|it| it["attempts"].as_u64())
        .sum();
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    for contact in contacts.iter().filter(|it| it["state"] == "finished") {
        *outcomes
            .entry(contact["outcome"].as_str().unwrap_or("none"))
            .or_default() += 1;
    }
    let recount = [
        ("enrolled", json!(contacts.len())),
        ("open", json!(n_contacts("open"))),
        ("finished", json!(n_contacts("finished"))),
        ("connected", json!(n_calls("connected"))),
        (
            "calls",
            json!(calls.iter().filter(|call| !call["sid"].is_null()).count()),
        ),
        ("outcomes", json!(outcomes)),
    ];
    let mut found: Vec<String> = recount
        .into_iter()
        .filter(|(figure, counted)| shown[figure] != *counted)
        .map(|(figure, counted)| format!("{figure} says {}, counted are {counted}", shown[figure]))
        .collect();
    // What a pause takes back counts all the same when the campaign is stopped meanwhile.
    let most = match campaign["status"].as_str() {
        Some("cancelled") => n_calls("ended"),
        _ => n_counted,
    };
    if !(n_counted as u64..=most as u64).contains(&attempts) {
        found.push(format!(
            "contacts count {attempts} attempts, {n_counted} ended and were not taken back"
        ));
    }
    let waiting = shown["untried"].as_u64().unwrap() + shown["retrying"].as_u64().unwrap();
    if waiting != n_contacts("waiting") as u64 {
        found.push(format!(
            "untried and retrying say {waiting}, {} wait",
            n_contacts("waiting")
        ));
    }
    if campaign["status"] == "completed" && n_contacts("finished") != contacts.len() {
        found.push(format!("{id} is completed and not everybody is finished"));
    }
    found
}
