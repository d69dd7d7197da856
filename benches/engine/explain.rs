//! How long the answers to "why was this contact not called yet?" and "why is the campaign not
//! dialing?" take, as a client sees it, while the campaign dials.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Common,
    world::{self, StoreChoice, World},
};

/// What is promised: for one contact, and for the whole campaign.
const CONTACT: Duration = Duration::from_millis(50);
const CAMPAIGN: Duration = Duration::from_secs(1);

/// How long the calls that give the campaign a history may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub common: Common,
    /// How many people the campaign has.
    #[arg(long, default_value_t = 100_000)]
    people: u32,
    /// How many calls are made before anything is asked.
    #[arg(long, default_value_t = 300)]
    calls: u64,
    /// How many contacts are asked about, spread over the whole list.
    #[arg(long, default_value_t = 200)]
    contacts: usize,
    /// How often the campaign is asked about.
    #[arg(long, default_value_t = 10)]
    campaigns: usize,
}

/// How long several answers took, in order.
struct Times(Vec<Duration>);

pub async fn run(args: &ExplainArgs) -> anyhow::Result<bool> {
    println!(
        "{} people, {} calls made before, a call every 50 ms meanwhile; milliseconds",
        args.people, args.calls
    );
    println!("store   | answer      | asked | median |   p99 |  most | allowed |");
    let mut all_kept = true;
    for store in args.common.stores() {
        all_kept &= measure(&store, args).await?;
    }
    Ok(all_kept)
}

async fn measure(store: &StoreChoice, args: &ExplainArgs) -> anyhow::Result<bool> {
    let world = World::start(store).await?;
    let settings = json!({"maxConcurrentCalls": 200, "callsPerSecond": 20.0});
    let campaign = world
        .client
        .upload(world::list(args.people), &settings)
        .await?;
    world.client.ask(&campaign, "start").await?;
    world
        .until("the first calls", PATIENCE, |simulator| {
            (simulator.totals().calls_created >= args.calls).then_some(())
        })
        .await?;

    let path = format!("/campaigns/{campaign}");
    let ids = contacts(&world, &path, args).await?;
    let mut explain = Vec::new();
    for id in &ids {
        explain.push(took(&world, &format!("{path}/contacts/{id}/explain")).await?);
    }
    let mut diagnostics = Vec::new();
    for _ in 0..args.campaigns {
        diagnostics.push(took(&world, &format!("{path}/diagnostics")).await?);
    }
    let is_kept = [
        Times::of(explain).report(store, "explain", CONTACT),
        Times::of(diagnostics).report(store, "diagnostics", CAMPAIGN),
    ];
    world.client.ask(&campaign, "stop").await?;
    world.end().await?;
    Ok(is_kept.into_iter().all(|kept| kept))
}

/// How long one answer took. What is refused or missing is an error.
async fn took(world: &World, path: &str) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    let answer = world.client.get(path).await?;
    let took = asked.elapsed();
    ensure!(answer.is_object(), "{path} answered {answer}");
    Ok(took)
}

/// Contacts spread evenly over the campaign's list.
async fn contacts(world: &World, path: &str, args: &ExplainArgs) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world
            .client
            .get(&format!("{path}/contacts?limit=500{cursor}"))
            .await?;
        for item in page["items"].as_array().into_iter().flatten() {
            ids.push(world::text(item, "enrollmentId")?);
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(
        ids.len() == args.people as usize,
        "the list has {} of {} contacts",
        ids.len(),
        args.people
    );
    let step = (ids.len() / args.contacts.max(1)).max(1);
    Ok(ids.into_iter().step_by(step).take(args.contacts).collect())
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that `percent` of the answers did not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).copied().unwrap_or_default()
    }

    /// Prints a row; true when every answer came in time.
    fn report(&self, store: &StoreChoice, what: &str, allowed: Duration) -> bool {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let most = self.percentile(100);
        let is_kept = !self.0.is_empty() && most <= allowed;
        println!(
            "{:<7} | {what:<11} | {:>5} | {:>6.1} | {:>5.1} | {:>5.1} | {:>7} | {}",
            store.name(),
            self.0.len(),
            ms(self.percentile(50)),
            ms(self.percentile(99)),
            ms(most),
            allowed.as_millis(),
            if is_kept { "kept" } else { "NOT KEPT" },
        );
        is_kept
    }
}
