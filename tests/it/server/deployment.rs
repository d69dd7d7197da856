//! Records that were copied, or restored from a backup.

use std::{sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    sim::Behaviour::NoAnswer,
};
use serde_json::json;

use crate::world::{Place, Scenario, World, list, person, until, watch_for};

/// A campaign that has hours of calls before it, and how many were made when it stood still.
async fn slow_campaign(world: &World) -> String {
    let settings = json!({"callDelayMs": 300, "ringTimeoutSeconds": 15});
    world.start_campaign(&list(0..200), settings).await
}

fn n_created(world: &World) -> u64 {
    world.simulator.totals().calls_created
}

async fn first_call(world: &World) {
    until("the first call", async || {
        (n_created(world) > 0).then_some(())
    })
    .await;
}

/// Nothing is dialed by itself; what an operator resumes goes on.
async fn stands_still_until_resumed(world: &World, campaign: &str) {
    let path = format!("/campaigns/{campaign}");
    let found = world.owner.get(&path).await.ok();
    assert_eq!(found["status"], "paused", "{found}");
    let before = n_created(world);
    watch_for(Duration::from_secs(2)).await;
    assert_eq!(n_created(world), before);
    resume(world, campaign).await;
    until("a call after the resume", async || {
        (n_created(world) > before).then_some(())
    })
    .await;
    stop(world, campaign).await;
}

/// Resumes the campaign, which is refused while the carrier is asked which calls it made.
async fn resume(world: &World, campaign: &str) {
    until("leave to resume", async || {
        let answer = world
            .owner
            .ask(&format!("/campaigns/{campaign}/resume"))
            .await;
        if answer.status.is_success() {
            return Some(());
        }
        answer.refused(409, "notYet");
        None
    })
    .await;
}

/// Calls somebody over the carrier's account without this server.
async fn call_elsewhere(world: &World, to: &str) {
    let config = world.simulator.config();
    let base = world.simulator.base_url();
    let url = format!(
        "{base}/2010-04-01/Accounts/{}/Calls.json",
        config.account_sid
    );
    let form = [
        ("To", to),
        ("From", config.numbers[0].as_str()),
        ("Twiml", "<Response><Hangup/></Response>"),
    ];
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http
        .post(url)
        .basic_auth(&config.account_sid, Some(&config.auth_token))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
}

/// Stops the campaign and waits until its last call is over.
async fn stop(world: &World, campaign: &str) {
    let path = format!("/campaigns/{campaign}");
    world.owner.ask(&format!("{path}/stop")).await.ok();
    until("the end of the last call", async || {
        let progress = world.owner.get(&format!("{path}/progress")).await.ok();
        (progress["open"] == 0).then_some(())
    })
    .await;
}

// proves F-95
pub async fn a_copy_of_the_records_does_not_dial_until_somebody_says_so(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(NoAnswer).start().await;
    let campaign = slow_campaign(&world).await;
    first_call(&world).await;
    let world = world
        .restart_with(|config| config.server.deployment = "another".to_owned())
        .await;
    let path = format!("/campaigns/{campaign}");
    let found = world.owner.get(&path).await.ok();
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("copied"), "{reason}");
    stands_still_until_resumed(&world, &campaign).await;
    world.end().await;
}

// proves F-95
pub async fn a_restored_backup_does_not_dial_until_somebody_says_so(place: Arc<Place>) {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("records.mark");
    let world = Scenario::on(&place).everyone(NoAnswer).start().await;
    let campaign = slow_campaign(&world).await;
    first_call(&world).await;
    // What is noted outside says that the records were written in an hour from now: they are older.
    let noted = SystemClock.now() + Duration::from_secs(3600);
    std::fs::write(&mark, format!("{noted}\n")).unwrap();
    let world = world
        .restart_with(|config| config.server.mark = Some(mark.clone()))
        .await;
    let path = format!("/campaigns/{campaign}");
    let found = world.owner.get(&path).await.ok();
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("backup"), "{reason}");
    stands_still_until_resumed(&world, &campaign).await;
    world.end().await;
}

// proves F-95
pub async fn whoever_was_called_since_the_backup_is_not_called_again(place: Arc<Place>) {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("records.mark");
    let world = Scenario::on(&place).everyone(NoAnswer).start().await;
    let once = json!({
        "callDelayMs": 3_600_000, "ringTimeoutSeconds": 15, "retry": {"maxAttempts": 1},
    });
    let campaign = world.start_campaign(&list(0..3), once).await;
    first_call(&world).await;
    // What the records do not know, as if they ended before it.
    let n_calls = |to: &str| {
        world
            .simulator
            .ledger()
            .calls
            .iter()
            .filter(|call| call.to == to)
            .count()
    };
    let people: Vec<String> = (0..3).map(person).collect();
    for to in people.iter().filter(|to| n_calls(to) == 0) {
        call_elsewhere(&world, to).await;
    }
    let noted = SystemClock.now() + Duration::from_secs(3600);
    std::fs::write(&mark, format!("{noted}\n")).unwrap();
    let world = world
        .restart_with(|config| config.server.mark = Some(mark.clone()))
        .await;
    resume(&world, &campaign).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.simulator.ledger();
    for to in &people {
        let calls = ledger.calls.iter().filter(|call| call.to == *to);
        assert_eq!(calls.count(), 1, "calls to {to}");
    }
    let progress = world
        .owner
        .get(&format!("/campaigns/{campaign}/progress"))
        .await
        .ok();
    assert_eq!(progress["outcomes"]["noAnswer"], 3, "{progress}");
    world.end().await;
}

// proves F-95
pub async fn ones_own_records_go_on_by_themselves(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(NoAnswer).start().await;
    let campaign = slow_campaign(&world).await;
    first_call(&world).await;
    let world = world.restart().await;
    let before = n_created(&world);
    world.until_status(&campaign, "active").await;
    until("another call", async || {
        (n_created(&world) > before).then_some(())
    })
    .await;
    stop(&world, &campaign).await;
    world.end().await;
}
