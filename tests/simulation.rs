//! Worlds in which everything goes wrong: the whole engine, many seeds, every promise checked after
//! every step.
//!
//! `DIALTONE_SEEDS=200000` runs so many instead of a few hundred, `DIALTONE_FIRST_SEED` says where to
//! begin. What fails prints its timeline and how to run it again.

#![cfg(test)]

use std::{ops::Range, sync::Arc};

use dialtone::{
    clock::{Clock as _, SystemClock},
    sim::world::{self, Size},
    store::{Store, memory::MemoryStore, sqlite::SqliteStore},
};

fn in_maps() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

fn in_sqlite() -> Arc<dyn Store> {
    Arc::new(SqliteStore::in_memory().unwrap())
}

fn number(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().expect("the variable is a number"),
        Err(_) => usual,
    }
}

/// The seeds that the environment asks for, `usual` many without it.
fn seeds(usual: u64) -> Range<u64> {
    let first = number("DIALTONE_FIRST_SEED", 1);
    first..first + number("DIALTONE_SEEDS", usual)
}

fn nothing_breaks(on: &str, seeds: Range<u64>, store: fn() -> Arc<dyn Store>) {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let begin = SystemClock.now();
    let many = world::run_many(seeds.clone(), Size::default(), n_threads, store);
    let seconds = SystemClock.now().duration_since(begin).as_secs_f64();
    let n_seeds = many.totals.n_seeds;
    println!("{}{:<28}{seconds:>14.1}", many.totals, "seconds");
    println!(
        "{:<28}{:>14.1}",
        "seeds per second",
        n_seeds as f64 / seconds
    );
    for failed in &many.failed {
        let violation = failed.violation.as_deref().unwrap_or_default();
        println!("seed {}: {violation}", failed.seed);
    }
    if let Some(first) = many.failed.first() {
        let again = world::run(first.seed, Size::default(), store(), true);
        println!(
            "\n{again}\nagain: dialtone simulate --world --seed {}",
            first.seed
        );
        let n_failed = many.failed.len();
        panic!("{n_failed} of {n_seeds} worlds broke a promise on {on}");
    }
    assert_eq!(n_seeds, seeds.end - seeds.start, "every world was run");
}

// proves F-01, F-02, F-03, F-04, F-05, F-06, F-07, F-08, F-09, F-11, F-12, F-14, F-16, F-17, F-18
#[test]
fn no_promise_breaks_in_any_world() {
    nothing_breaks("maps", seeds(200), in_maps);
}

// proves F-11
#[test]
fn a_world_that_broke_a_promise_once_holds() {
    // A node took over whose predecessor's last request had left late.
    let size = Size {
        people: (200, 200),
        campaigns: 1,
    };
    let world = world::run(84, size, in_maps(), false);
    assert_eq!(world.violation, None, "\n{world}");
}

// proves F-91, F-92
#[test]
fn no_promise_breaks_on_the_embedded_store() {
    let seeds = seeds(15);
    // Its records are real, and so is the time they take.
    let n_seeds = (seeds.end - seeds.start).min(number("DIALTONE_SQLITE_SEEDS", 1_000));
    nothing_breaks("SQLite", seeds.start..seeds.start + n_seeds, in_sqlite);
}

#[test]
fn a_seed_gives_the_same_world_every_time_and_on_every_store() {
    let first = number("DIALTONE_FIRST_SEED", 1);
    for seed in first..first + 8 {
        let told = world::run(seed, Size::default(), in_maps(), true);
        for store in [in_maps, in_sqlite] {
            let again = world::run(seed, Size::default(), store(), false);
            assert_eq!(again.fingerprint, told.fingerprint, "seed {seed}");
            assert_eq!(again.totals, told.totals, "seed {seed}");
        }
    }
}
