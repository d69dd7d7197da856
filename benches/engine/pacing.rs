//! Set rates of dial starts against what the carrier was really asked for.
//!
//! Everything is computed from the simulated carrier's own record of when each request arrived. A
//! rate is kept when the starts are within 2 % of it over the whole time and no second, wherever it
//! begins, has more than one too many.

use std::time::Duration;

use clap::Args;
use dialtone::domain::Timestamp;
use serde_json::json;

use crate::{
    Common,
    world::{self, StoreChoice, World},
};

/// The rates to measure.
const RATES: [f64; 4] = [0.2, 5.0, 50.0, 150.0];

/// How far the measured rate may be from the set one, in percent.
const TOLERANCE_PERCENT: f64 = 2.0;

/// How long the first start may take, which is not part of what is measured here.
const FIRST: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct PacingArgs {
    #[command(flatten)]
    pub common: Common,
    /// How long to measure each rate.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// A rate to measure, in calls per second; several times for several. Without it 0.2, 5, 50, 150.
    #[arg(long = "rate")]
    rates: Vec<f64>,
}

/// What the carrier saw of one rate.
struct Measured {
    n_starts: usize,
    per_second: f64,
    worst_second: usize,
    least_gap: Duration,
}

pub async fn run(args: &PacingArgs) -> anyhow::Result<bool> {
    let rates = if args.rates.is_empty() {
        RATES.to_vec()
    } else {
        args.rates.clone()
    };
    println!(
        "each rate for {} s; rates in calls per second, gaps in milliseconds",
        args.seconds
    );
    println!(
        "store   |   set |  actual | deviation | starts | worst second | allowed | least gap |"
    );
    let mut all_kept = true;
    for store in args.common.stores() {
        for set in &rates {
            let starts = starts(&store, *set, args.seconds).await?;
            let measured = measure(&starts);
            let deviation = (measured.per_second / set - 1.0) * 100.0;
            let allowed = most_in_a_second(*set);
            let is_kept = deviation.abs() <= TOLERANCE_PERCENT && measured.worst_second <= allowed;
            all_kept &= is_kept;
            println!(
                "{:<7} | {set:>5} | {:>7.3} | {deviation:>+7.2} % | {:>6} | {:>12} | {allowed:>7} | {:>9} | {}",
                store.name(),
                measured.per_second,
                measured.n_starts,
                measured.worst_second,
                measured.least_gap.as_millis(),
                if is_kept { "kept" } else { "NOT KEPT" },
            );
        }
    }
    Ok(all_kept)
}

/// Dials at a rate for a while; gives when the carrier was asked for each call.
async fn starts(store: &StoreChoice, rate: f64, seconds: u32) -> anyhow::Result<Vec<Timestamp>> {
    let world = World::start(store).await?;
    // Enough people that the list never ends first.
    let n_people = people_for(rate, seconds);
    let settings = json!({
        "maxConcurrentCalls": world::MAX_CONCURRENT_CALLS,
        "callsPerSecond": rate,
        "retry": {"maxAttempts": 1},
    });
    let campaign = world
        .client
        .upload(world::list(n_people), &settings)
        .await?;
    world.client.ask(&campaign, "start").await?;
    world
        .until("the first call", FIRST, |simulator| {
            (simulator.totals().calls_created > 0).then_some(())
        })
        .await?;
    tokio::time::sleep(Duration::from_secs(u64::from(seconds))).await;
    let mut starts = world.creates(0);
    world.client.ask(&campaign, "stop").await?;
    world.end().await?;
    starts.sort_unstable();
    if let Some(first) = starts.first().copied() {
        let end = first + Duration::from_secs(u64::from(seconds));
        starts.retain(|at| *at <= end);
    }
    Ok(starts)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most 200 and times are minutes"
)]
fn people_for(rate: f64, seconds: u32) -> u32 {
    (rate * f64::from(seconds) * 1.3).ceil() as u32 + 20
}

/// One more than the rate gives, wherever the second begins.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are at most 200"
)]
fn most_in_a_second(rate: f64) -> usize {
    rate.ceil() as usize + 1
}

/// `starts` are in order. The rate counts intervals, so that it is exact for a few starts too.
#[expect(
    clippy::cast_precision_loss,
    reason = "a measurement has a few thousand starts"
)]
fn measure(starts: &[Timestamp]) -> Measured {
    let gaps = starts
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).unsigned_abs());
    let whole: Duration = gaps.clone().sum();
    let worst_second = (0..starts.len())
        .map(|first| {
            let end = starts[first] + Duration::from_secs(1);
            starts[first..].partition_point(|at| *at < end)
        })
        .max();
    Measured {
        n_starts: starts.len(),
        per_second: starts.len().saturating_sub(1) as f64 / whole.as_secs_f64(),
        worst_second: worst_second.unwrap_or(0),
        least_gap: gaps.min().unwrap_or_default(),
    }
}
