//! Everything stands still until somebody lifts it: asked over HTTP, and by the command line.

use std::{process::Stdio, sync::Arc, time::Duration};

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
    sim::Behaviour::Busy,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::diagnosis::{explain, until_held};
use crate::world::{OWNER, PASSWORD, Place, Scenario, World, list, person, until, watch_for};

/// How many requests may be on the wire at once in these tests.
const ON_THE_WIRE: usize = 2;

/// People of the first campaign, who are called at once; those of the second are called one a second.
const QUICK: u32 = 8;
const PEOPLE: u32 = 28;

/// The carrier lets one call a second out of its queue, and everybody is busy.
fn queueing(place: &Arc<Place>) -> Scenario {
    Scenario::on(place)
        .everyone(Busy)
        .simulator(|simulator| simulator.calls_per_second = 1.0 / simulator.speed)
        .engine(|settings| settings.max_requests = ON_THE_WIRE)
}

/// Starts two campaigns and waits until calls queue at the carrier while more are to come.
async fn with_a_queue(world: &World) -> [String; 2] {
    let rate = |per_second: f64| json!({"callsPerSecond": per_second, "retry": {"maxAttempts": 1}});
    let second = list(QUICK..PEOPLE);
    let second = world.start_campaign(&second, rate(1.0)).await;
    let first = world.start_campaign(&list(0..QUICK), rate(20.0)).await;
    until("a queue at the carrier", async || {
        (world.simulator.totals().calls_created >= u64::from(QUICK)).then_some(())
    })
    .await;
    [first, second]
}

fn placed_after(world: &World, at: Timestamp) -> usize {
    let calls = world.ledger().calls;
    calls.iter().filter(|call| call.created_at > at).count()
}

async fn everybody_is_called_once(world: &World, campaigns: &[String]) {
    for campaign in campaigns {
        world.until_status(campaign, "completed").await;
        let path = format!("/campaigns/{campaign}/contacts");
        for contact in world.owner.all(&path).await {
            let came_to = (&contact["attempts"], &contact["outcome"]);
            assert_eq!(came_to, (&json!(1), &json!("busy")), "{contact}");
        }
    }
}

// proves F-07
pub async fn an_emergency_stop_clears_the_lines_and_lifting_it_goes_on(place: Arc<Place>) {
    let world = queueing(&place).start().await;
    let campaigns = with_a_queue(&world).await;
    let why = json!({"reason": "wrong prompt"});
    let stopped = world.owner.post("/emergency-stop", &why).await.ok();
    let stopped_at = SystemClock.now();
    assert_eq!(stopped["isInForce"], true, "{stopped}");
    assert_eq!(stopped["tenant"]["by"], OWNER, "{stopped}");

    until("clear lines", async || {
        let now = world.owner.get("/emergency-stop").await.ok();
        (now["unanswered"] == 0 && now["talking"] == 0).then_some(())
    })
    .await;
    assert_eq!(world.simulator.totals().live, 0);
    watch_for(Duration::from_secs(1)).await;
    let n_late = placed_after(&world, stopped_at);
    assert!(n_late <= ON_THE_WIRE, "{n_late} requests after the stop");
    let n_placed = world.ledger().calls.len();
    assert!(n_placed < PEOPLE as usize, "there was nothing left to stop");
    let n_taken_back = world.ledger().totals.outcomes["canceled"];
    assert!(n_taken_back >= 1, "no call waited at the carrier");

    // Campaigns are what they were, and say why they stand still.
    let [_, second] = &campaigns;
    for campaign in &campaigns {
        let path = format!("/campaigns/{campaign}");
        assert_eq!(world.owner.get(&path).await.ok()["status"], "active");
        let found = world.owner.get(&format!("{path}/diagnostics")).await.ok();
        let reason = found["reason"].as_str().unwrap();
        let at = stopped["tenant"]["at"].as_str().unwrap();
        for part in [OWNER, "wrong prompt", "lift it", at] {
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(found["emergencyStop"], stopped["tenant"]);
    }
    let waiting = world.contact(second, PEOPLE - 1).await;
    assert_eq!(waiting["attempts"], 0, "{waiting}");
    let explained = explain(&world, second, &person(PEOPLE - 1)).await;
    let rules = explained["rules"].as_array().unwrap();
    let finding = rules.iter().find(|it| it["rule"] == "emergencyStop");
    assert_eq!(finding.unwrap()["values"]["by"], OWNER, "{explained}");
    let ready = reqwest::get(format!("{}/readyz", world.url())).await;
    let ready: Value = ready.unwrap().json().await.unwrap();
    assert_eq!(ready["emergencyStop"], true, "{ready}");

    // Who stopped it first stays, whoever asks again. It outlasts the process.
    let again = world.owner.post("/emergency-stop", &json!({})).await.ok();
    assert_eq!(again["tenant"], stopped["tenant"]);
    let world = world.restart().await;
    let path = format!("/campaigns/{second}/progress");
    let progress = world.owner.get(&path).await.ok();
    let waiting = ["untried", "retrying"].map(|figure| progress[figure].as_u64().unwrap());
    let n_waiting = waiting.iter().sum();
    until_held(&world, second, "emergencyStop", n_waiting).await;
    assert_eq!(world.ledger().calls.len(), n_placed);

    let path = "/emergency-stop";
    let lifted = world.owner.send(Method::DELETE, path, None).await.ok();
    assert_eq!(lifted["isInForce"], false, "{lifted}");
    everybody_is_called_once(&world, &campaigns).await;
    world.end().await;
}

/// Runs `dialtone emergency-stop`; gives its exit code and what it said.
async fn command(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_dialtone"))
        .arg("emergency-stop")
        .args(arguments)
        .env_clear()
        .envs([
            ("PUBLIC_URL", world.url().as_str()),
            ("DIALTONE_ADMIN_EMAIL", OWNER),
            ("DIALTONE_ADMIN_PASSWORD", PASSWORD),
        ])
        .stdin(Stdio::null())
        .output();
    let output = run.await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

// proves F-07
pub async fn the_command_stops_what_a_running_server_does(place: Arc<Place>) {
    let world = queueing(&place).start().await;
    let campaigns = with_a_queue(&world).await;
    let (code, said) = command(&world, &["--reason", "a drill"]).await;
    let stopped_at = SystemClock.now();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no call is queued or ringing"), "{said}");
    let now = world.owner.get("/emergency-stop").await.ok();
    assert_eq!(now["tenant"]["reason"], "a drill", "{now}");
    assert_eq!(now["unanswered"], 0, "{now}");
    watch_for(Duration::from_secs(1)).await;
    assert_eq!(placed_after(&world, stopped_at), 0);

    // The installation's own stop holds as well, until that is lifted too.
    let (code, said) = command(&world, &["--installation"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = command(&world, &["--lift"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("another stop"), "{said}");
    let (code, said) = command(&world, &["--lift", "--installation"]).await;
    assert_eq!(code, Some(0), "{said}");
    everybody_is_called_once(&world, &campaigns).await;

    let (code, said) = command(&world, &["--password", "a guess"]).await;
    assert_eq!(code, Some(1), "{said}");
    let now = world.owner.get("/emergency-stop").await.ok();
    assert_eq!(now["isInForce"], false, "{now}");
    world.end().await;
}

// proves F-07
pub async fn an_emergency_stop_ends_talks_when_it_is_to(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .simulator(|simulator| simulator.agent.turns = (200, 200))
        .start()
        .await;
    let settings = json!({"retry": {"maxAttempts": 1}, "maxDurationSeconds": 3600});
    let campaign = world.start_campaign(&list(0..2), settings).await;
    world.until_progress(&campaign, "connected", 2).await;
    let stop = |hangs_up: bool| json!({ "hangUp": hangs_up });
    let stopped = world.owner.post("/emergency-stop", &stop(false)).await.ok();
    assert_eq!(stopped["talking"], 2, "{stopped}");
    assert_eq!(stopped["tenant"]["hangUp"], false, "{stopped}");
    let stopped = world.owner.post("/emergency-stop", &stop(true)).await.ok();
    assert_eq!(stopped["tenant"]["hangUp"], true, "{stopped}");
    until("the end of the talks", async || {
        let now = world.owner.get("/emergency-stop").await.ok();
        (now["talking"] == 0).then_some(())
    })
    .await;
    for call in world.calls(&campaign).await {
        assert_eq!(call["endedBy"], "operator", "{call}");
    }
    // Nobody is completed by it either: that is seen to when it is lifted.
    let path = "/emergency-stop";
    world.owner.send(Method::DELETE, path, None).await.ok();
    world.until_status(&campaign, "completed").await;
    world.end().await;
}
