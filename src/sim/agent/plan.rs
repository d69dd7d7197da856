//! When the agent acts, and what goes wrong with it.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::sim::{pace::Pace, simulation::Simulation};

pub const THINKING_TIME: Duration = Duration::from_millis(700);
pub const SHORTEST_THINKING: Duration = Duration::from_millis(40);
/// How long the agent waits for the caller before it speaks again.
pub const TURN_TIMEOUT: Duration = Duration::from_secs(7);
pub const SHORTEST_TURN_TIMEOUT: Duration = Duration::from_millis(1_000);
pub const FAREWELL_TIME: Duration = Duration::from_millis(600);
pub const SHORTEST_FAREWELL: Duration = Duration::from_millis(40);
/// How long the agent waits for a tool of the client before it goes on without.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(20);
pub const CRASH_AFTER: Duration = Duration::from_secs(4);
pub const SHORTEST_CRASH: Duration = Duration::from_millis(250);
/// A client that sends nothing for this long is taken for dead.
pub const CLIENT_SILENCE: Duration = Duration::from_secs(60);

/// What somebody will do, and when; each kind of thing is planned at most once.
#[derive(Debug)]
pub struct Agenda<P> {
    pace: Pace,
    plans: BTreeMap<P, Instant>,
}

impl<P: Copy + Ord> Agenda<P> {
    /// Nothing is planned yet.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            plans: BTreeMap::new(),
        }
    }

    /// Plans it for that time.
    pub fn at(&mut self, plan: P, time: Instant) {
        self.plans.insert(plan, time);
    }

    /// Plans it so much later than now.
    pub fn after(&mut self, plan: P, wait: Duration) {
        self.at(plan, Instant::now() + wait);
    }

    /// Plans it after a wait at the pace of people.
    pub fn shortened(&mut self, plan: P, lifelike: Duration, floor: Duration) {
        self.after(plan, self.pace.shorten_to(lifelike, floor));
    }

    /// It is done, or will not be.
    pub fn cancel(&mut self, plan: P) {
        self.plans.remove(&plan);
    }

    /// What comes next, and when.
    pub fn soonest(&self) -> (P, Instant) {
        self.plans
            .iter()
            .min_by_key(|(_, at)| **at)
            .map(|(plan, at)| (*plan, *at))
            .expect("the end of the longest conversation is always planned")
    }
}

/// What goes wrong with one conversation after it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    Crashes,
    OverQuota,
    Silent,
}

/// Something the agent will do at a certain time; each kind is planned at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plan {
    Ping,
    Reply,
    /// The caller has been silent for too long.
    Prompt,
    EndCall,
    Crash,
    GiveUpOnClient,
    ReachMaxDuration,
}

/// Early enough for a client's first latency estimate, after the greeting has been sent.
pub const FIRST_PING: Duration = Duration::from_millis(100);

/// What goes wrong with this session, if anything.
pub fn mishap(simulation: &Simulation, n_session: u64) -> Option<Mishap> {
    let faults = simulation.faults();
    let session = n_session.to_string();
    [
        (Mishap::Crashes, "agent crashes", faults.agent_crashes),
        (
            Mishap::OverQuota,
            "agent over quota",
            faults.agent_over_quota,
        ),
        (Mishap::Silent, "agent silent", faults.agent_silent),
    ]
    .into_iter()
    .find(|(_, name, share)| simulation.chance.about(&[name, &session]).happens(*share))
    .map(|(mishap, ..)| mishap)
}
