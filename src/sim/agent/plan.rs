//! When the agent acts, and what goes wrong with it.

use std::time::Duration;

use crate::sim::simulation::Simulation;

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
