//! From the start of a campaign with very many people to its first call at the carrier.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::Timestamp,
};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Common, machine,
    world::{self, StoreChoice, World},
};

/// What is promised.
const BUDGET: Duration = Duration::from_secs(2);

/// How long a first call is waited for at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a paused campaign is left alone before the next round, for what was on its way to end.
const REST: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct FirstDialArgs {
    #[command(flatten)]
    pub common: Common,
    /// How many people the campaign has.
    #[arg(long, default_value_t = 1_000_000)]
    people: u32,
    /// How often to pause and resume after the first start.
    #[arg(long, default_value_t = 4)]
    resumes: usize,
}

pub async fn run(args: &FirstDialArgs) -> anyhow::Result<bool> {
    println!(
        "{} people, uploaded as a list over HTTP; memory is of server, simulator and client together",
        args.people
    );
    println!(
        "store   |  load s | rows/s |  MiB | first dial after start, ms | after each resume, ms"
    );
    let mut all_kept = true;
    for store in args.common.stores() {
        all_kept &= measure(&store, args).await?;
    }
    Ok(all_kept)
}

async fn measure(store: &StoreChoice, args: &FirstDialArgs) -> anyhow::Result<bool> {
    let world = World::start(store).await?;
    let settings = json!({
        "maxConcurrentCalls": 10,
        "callsPerSecond": 5.0,
        "retry": {"maxAttempts": 1},
    });
    let csv = world::list(args.people);
    let began = Instant::now();
    let campaign = world.client.upload(csv, &settings).await?;
    let load = began.elapsed();
    let memory = machine::resident_mib().context("this system does not say what memory is used")?;

    let first = first_dial(&world, &campaign, "start").await?;
    let mut resumed = Vec::new();
    for _ in 0..args.resumes {
        world.client.ask(&campaign, "pause").await?;
        tokio::time::sleep(REST).await;
        resumed.push(first_dial(&world, &campaign, "resume").await?);
    }
    let is_kept = first <= BUDGET && resumed.iter().all(|took| *took <= BUDGET);
    let resumed: Vec<String> = resumed
        .iter()
        .map(|took| took.as_millis().to_string())
        .collect();
    println!(
        "{:<7} | {:>7.1} | {:>6.0} | {memory:>4} | {:>26} | {} | {}",
        store.name(),
        load.as_secs_f64(),
        f64::from(args.people) / load.as_secs_f64(),
        first.as_millis(),
        resumed.join(", "),
        if is_kept { "kept" } else { "NOT KEPT" },
    );
    world.client.ask(&campaign, "stop").await?;
    world.end().await?;
    Ok(is_kept)
}

/// From just before the request to `action` to the arrival of the next call at the carrier.
async fn first_dial(world: &World, campaign: &str, action: &str) -> anyhow::Result<Duration> {
    let n_before = world.creates(0).len();
    let asked_at: Timestamp = SystemClock.now();
    world.client.ask(campaign, action).await?;
    let placed_at = world
        .until("the first call", PATIENCE, |_| {
            world.creates(n_before).first().copied()
        })
        .await?;
    Ok(placed_at.duration_since(asked_at).unsigned_abs())
}
