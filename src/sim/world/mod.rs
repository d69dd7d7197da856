//! The whole engine in virtual time: worlds in which everything goes wrong, and nothing may.
//!
//! A seed decides who is called, how each process works, and what fails when. The engine is the real
//! one, each process of it on a runtime of its own, on a store in memory with faults in front, with an
//! in-process carrier that is not kind. After every step the auditors of [`invariants`] read the
//! carrier's ledger and what was saved. The same seed gives the same world, step by step.
//!
//! Unlike the rest of [`super`], which stands on the wire and knows no dialer, this knows the engine: it
//! is there to break it. It knows no adapter: a store is handed in.

mod carrier;
mod course;
mod dice;
mod invariants;
mod ledger;
mod node;
mod people;
mod plan;
mod report;
mod requests;
mod scene;
mod store;

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use self::{course::World, plan::Plan};
pub use self::{
    plan::Size,
    report::{Report, Totals},
};
use crate::store::Store;

/// Runs one world on an empty store whose operations take no time.
///
/// Must not be called from within a runtime: every process of the world brings its own.
pub fn run(seed: u64, size: Size, store: Arc<dyn Store>, keeps_timeline: bool) -> Report {
    World::new(Plan::of(seed, size), store, keeps_timeline).run()
}

/// After so many failures the rest is not run: something is broken.
const ENOUGH_FAILED: usize = 10;

/// What came of many worlds.
#[derive(Debug, Default)]
pub struct Many {
    /// Everything that was counted.
    pub totals: Totals,
    /// The worlds in which something happened that must not, by seed.
    pub failed: Vec<Report>,
}

/// Runs a world for each seed, `n_threads` at a time; `store` makes an empty store for each.
pub fn run_many(
    seeds: Range<u64>,
    size: Size,
    n_threads: usize,
    store: impl Fn() -> Arc<dyn Store> + Sync,
) -> Many {
    let next = AtomicU64::new(seeds.start);
    let many = Mutex::new(Many::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(seed, size, store(), false);
            let mut many = many.lock().unwrap_or_else(PoisonError::into_inner);
            many.totals.add(&report.totals);
            if report.violation.is_some() {
                many.failed.push(report);
            }
            if many.failed.len() >= ENOUGH_FAILED {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..n_threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut many = many.into_inner().unwrap_or_else(PoisonError::into_inner);
    many.failed.sort_by_key(|report| report.seed);
    many
}
