//! Everything in memory, for as long as the value lives: what the simulation runs on.
//!
//! A complete store without a database under it: plain maps, one lock, nothing serialized. Each method
//! runs to its end where it is called, so a run over a virtual clock is the same each time. Its promises
//! are those of the trait, except that nothing outlives it.

mod accounts;
mod calls;
mod campaigns;
mod contacts;
mod dispatch;
mod enrollments;
mod events;
mod figures;
mod imports;
mod inbox;
mod installation;
mod people;
mod suppressions;
mod totals;
mod web_tools;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    domain::{
        Timestamp,
        halt::{Halt, HaltScope},
    },
    store::Deployment,
};

/// The store that ends with the value.
#[derive(Default)]
pub struct MemoryStore {
    records: Arc<Mutex<Records>>,
    /// Told after each change of a log.
    logged: watch::Sender<()>,
}

/// All records, each kind with the maps by which it is found.
#[derive(Default)]
struct Records {
    accounts: accounts::Accounts,
    calls: calls::Calls,
    campaigns: campaigns::Campaigns,
    contacts: contacts::Contacts,
    deployment: Option<Deployment>,
    dispatch: dispatch::Leases,
    enrollments: enrollments::Enrollments,
    halts: BTreeMap<HaltScope, Halt>,
    imports: imports::Imports,
    inbox: inbox::Inbox,
    log: events::Log,
    suppressions: suppressions::Suppressions,
    totals: totals::Totals,
    web_tools: web_tools::WebTools,
}

impl MemoryStore {
    fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }
}

fn lock(records: &Mutex<Records>) -> MutexGuard<'_, Records> {
    records.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time as the other stores keep it.
fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).expect("a rounded timestamp is in range")
}

/// A duration as the other stores keep it.
fn to_whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
