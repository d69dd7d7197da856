//! What every part of one running simulator shares.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    agent::AgentDesk,
    callee::{Population, Script},
    chance::Chance,
    config::SimulatorConfig,
    faults::Faults,
    ledger::Ledger,
    pace::Pace,
    twilio::{Archive, Exchange},
    vapi::VapiDesk,
};
use crate::clock::Clock;

pub(super) struct Simulation {
    pub config: SimulatorConfig,
    pub address: SocketAddr,
    pub clock: Arc<dyn Clock>,
    pub began_at: Timestamp,
    pub chance: Chance,
    pub pace: Pace,
    pub ledger: Ledger,
    pub http: reqwest::Client,
    pub exchange: Exchange,
    pub recordings: Archive,
    pub agents: AgentDesk,
    pub vapi: VapiDesk,
    /// Everything that runs, runs here, so that shutting down can wait for it.
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    population: Population,
    faults: RwLock<Faults>,
}

impl Simulation {
    pub fn new(
        config: SimulatorConfig,
        address: SocketAddr,
        clock: Arc<dyn Clock>,
        http: reqwest::Client,
    ) -> Self {
        let population = Population {
            mix: config.mix.clone(),
            overrides: config.overrides.clone(),
        };
        Self {
            address,
            began_at: clock.now(),
            clock,
            chance: Chance::seeded(config.seed),
            pace: Pace::new(config.speed),
            ledger: Ledger::default(),
            http,
            exchange: Exchange::default(),
            recordings: Archive::default(),
            agents: AgentDesk::default(),
            vapi: VapiDesk::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            population,
            faults: RwLock::new(config.faults.clone()),
            config,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A fresh identifier: `prefix` and 32 lower-case hexadecimal digits.
    pub fn new_sid(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.clock.new_uuid().simple())
    }

    pub fn faults(&self) -> Faults {
        self.faults
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set_faults(&self, faults: Faults) {
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// What `number` does when called after `n_earlier` calls, at the simulator's pace.
    pub fn script(&self, number: &str, n_earlier: u32) -> Script {
        self.population
            .script(self.chance, number, n_earlier)
            .at_pace(self.pace)
    }

    /// Runs `work` until it is done or the simulator stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled_owned(work).await;
        });
    }
}
