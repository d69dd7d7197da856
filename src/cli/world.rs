//! `dialtone simulate --world`: the whole engine in virtual time, with faults and auditors.

use std::{num::NonZeroUsize, ops::Range, process::ExitCode};

use anyhow::Context as _;

use crate::{
    app,
    clock::{Clock as _, SystemClock},
    sim::world::{self, Size},
};

/// Runs one world and shows what happened in it, or many and shows what they come to.
pub(super) async fn run(
    first: u64,
    n_seeds: Option<u64>,
    people: Option<u64>,
    threads: Option<NonZeroUsize>,
) -> anyhow::Result<ExitCode> {
    let usual = Size::default();
    let size = people.map_or(usual, |n| Size {
        people: (n, n),
        campaigns: 1,
    });
    // Every process of a world has a runtime of its own, which cannot run inside this one.
    let work = tokio::task::spawn_blocking(move || match n_seeds {
        None => one(first, size),
        Some(n) => many(first..first.saturating_add(n), size, threads),
    });
    let held = work.await.context("the simulation panicked")?;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn one(seed: u64, size: Size) -> bool {
    let report = world::run(seed, size, app::store_in_memory(), true);
    print!("{report}");
    eprint!("{}", report.totals);
    report.violation.is_none()
}

fn many(seeds: Range<u64>, size: Size, threads: Option<NonZeroUsize>) -> bool {
    let n_threads = threads.or_else(|| std::thread::available_parallelism().ok());
    let n_threads = n_threads.map_or(1, NonZeroUsize::get);
    let begin = SystemClock.now();
    let many = world::run_many(seeds, size, n_threads, app::store_in_memory);
    let seconds = SystemClock.now().duration_since(begin).as_secs_f64();
    print!("{}", many.totals);
    println!("{:<28}{n_threads:>14}", "threads");
    println!("{:<28}{seconds:>14.1}", "seconds");
    println!(
        "{:<28}{:>14.1}",
        "seeds per second",
        many.totals.n_seeds as f64 / seconds
    );
    println!(
        "{:<28}{:>14.0}",
        "operations per second",
        many.totals.n_operations as f64 / seconds
    );
    for failed in &many.failed {
        let violation = failed.violation.as_deref().unwrap_or_default();
        println!("seed {}: {violation}", failed.seed);
    }
    if let Some(failed) = many.failed.first() {
        println!(
            "see it happen: dialtone simulate --world --seed {}",
            failed.seed
        );
    }
    many.failed.is_empty()
}
