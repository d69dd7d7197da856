//! What drives campaigns: it decides, saves, acts, and finds out what became of its acts.
//!
//! Knows the rules and the traits of store and carrier; knows no vendor, no HTTP and no screen.
//!
//! - [`decide`]: the decisions, pure.
//! - `commit`: load, decide, save, and begin again when another process was faster.
//! - `perform`: the only place that carries out effects.
//! - `dispatch`: gives out dial starts; one process at a time for a tenant.
//! - `inbox`: signals, saved before they are answered and processed once.
//! - `recover`: asks the carrier about attempts without news, and picks up unprocessed signals.
//! - `operate`: what people ask of campaigns and calls.
//! - `talk`: what the answering and the audio of a call need to know.

mod commit;
pub mod decide;
mod dispatch;
mod inbox;
mod lease;
mod operate;
mod perform;
mod recover;
mod settings;
mod talk;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::StreamExt as _;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

pub use operate::{CampaignEdit, Enrolled};
pub use settings::{EngineSettings, TenantLimits};
pub use talk::{Talk, TalkRefused};

use crate::{
    clock::Clock,
    domain::{
        Timestamp,
        campaign::NotAllowed,
        event::StoredEvent,
        ids::{CampaignId, NodeId, TenantId},
        pacing::Lane,
    },
    store::{InboxEntry, Store, StoreError},
    telephony::Carrier,
};

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such record in this tenant.
    #[error("there is no such {what}")]
    NotFound {
        /// Which kind of record.
        what: &'static str,
    },

    /// The campaign is in a status that this does not fit.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),

    /// The request contradicts itself or the campaign; in words for the operator.
    #[error("{0}")]
    Invalid(String),

    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the engine gives back.
pub type EngineResult<T> = Result<T, EngineError>;

/// What the engine is made of.
pub struct EngineParts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Who connects calls.
    pub carrier: Arc<dyn Carrier>,
    /// The time and new identifiers.
    pub clock: Arc<dyn Clock>,
    /// This process.
    pub node: NodeId,
    /// How it works.
    pub settings: EngineSettings,
}

/// A handle on the engine; clones share it.
#[derive(Clone)]
pub struct Engine {
    core: Arc<Core>,
}

struct Core {
    store: Arc<dyn Store>,
    carrier: Arc<dyn Carrier>,
    clock: Arc<dyn Clock>,
    node: NodeId,
    settings: EngineSettings,
    tasks: TaskTracker,
    /// No new dials from here on.
    closing: CancellationToken,
    /// Every loop ends.
    stopped: CancellationToken,
    /// Something changed that dispatch should look at now.
    wake: Notify,
    /// One bounded queue for each inbox worker.
    inbox: Vec<mpsc::Sender<InboxEntry>>,
    /// One permit for each request under way at the carrier.
    requests: Arc<Semaphore>,
    feed: broadcast::Sender<StoredEvent>,
    carrier_state: Mutex<CarrierState>,
    leases: Mutex<BTreeMap<TenantId, lease::Lease>>,
    owns_all: AtomicBool,
}

/// What this process remembers of its requests to the carrier. Losing it costs a refused request.
#[derive(Debug, Default)]
struct CarrierState {
    /// When requests last left. Only the process that dispatches for a tenant sends its requests.
    lanes: BTreeMap<LaneKey, Lane>,
    rest_until: Option<Timestamp>,
    unclassified_in_a_row: BTreeMap<CampaignId, u32>,
    agent_failures_in_a_row: BTreeMap<CampaignId, u32>,
}

/// What a lane keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LaneKey {
    TenantRate(TenantId),
    CampaignRate(CampaignId),
    CampaignDelay(CampaignId),
}

/// Whether this process does its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The store can be read and written.
    pub store: bool,
    /// This process dispatches for every tenant; otherwise it stands by to take over.
    pub dispatch: bool,
    /// This process is ending.
    pub closing: bool,
}

/// How many events a listener may be behind before it must read the log instead.
const FEED_CAPACITY: usize = 4096;

impl Engine {
    /// Builds the engine and starts its loops.
    pub fn start(parts: EngineParts) -> Self {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..parts.settings.inbox_workers)
            .map(|_| mpsc::channel(parts.settings.inbox_queue))
            .unzip();
        let core = Arc::new(Core {
            requests: Arc::new(Semaphore::new(parts.settings.max_requests)),
            store: parts.store,
            carrier: parts.carrier,
            clock: parts.clock,
            node: parts.node,
            settings: parts.settings,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            wake: Notify::new(),
            inbox: senders,
            feed: broadcast::Sender::new(FEED_CAPACITY),
            carrier_state: Mutex::default(),
            leases: Mutex::default(),
            owns_all: AtomicBool::new(false),
        });
        for queue in receivers {
            core.tasks.spawn(inbox::run(core.clone(), queue));
        }
        core.tasks.spawn(dispatch::run(core.clone()));
        core.tasks.spawn(recover::run(core.clone()));
        core.tasks.spawn(run_feed(core.clone()));
        Self { core }
    }

    /// Where everything is kept: for reading.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    /// The time and new identifiers.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.clock
    }

    /// Every tenant's events from now on. A listener that is told it lagged reads the log instead.
    pub fn feed(&self) -> broadcast::Receiver<StoredEvent> {
        self.core.feed.subscribe()
    }

    /// Whether this process does its part.
    pub async fn health(&self) -> Health {
        Health {
            store: self.core.store.check().await.is_ok(),
            dispatch: self.core.owns_all.load(Ordering::Relaxed),
            closing: self.core.closing.is_cancelled(),
        }
    }

    /// Begins no more calls; what is reserved and not yet asked for is given back, uncounted.
    pub fn stop_dialing(&self) {
        self.core.closing.cancel();
        self.core.wake.notify_one();
    }

    /// How many calls of this installation are open.
    pub async fn n_open(&self) -> EngineResult<u32> {
        let mut n_open = 0;
        for tenant in self.core.store.list_tenants().await? {
            let usage = self.core.store.usage(tenant).await?;
            n_open += usage.values().map(|usage| usage.n_open).sum::<u32>();
        }
        Ok(n_open)
    }

    /// Ends every loop, waits for what is under way, and gives the leases back.
    pub async fn close(&self) {
        self.stop_dialing();
        self.core.stopped.cancel();
        self.core.tasks.close();
        self.core.tasks.wait().await;
        let held: Vec<TenantId> = self
            .core
            .leases
            .lock()
            .map(|held| held.keys().copied().collect())
            .unwrap_or_default();
        for tenant in held {
            self.core.let_go(tenant).await;
        }
        info!("engine stopped");
    }
}

impl Core {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Passes what the store says happened to everyone in this process who listens.
async fn run_feed(core: Arc<Core>) {
    let mut events = loop {
        match core.store.watch_events().await {
            Ok(events) => break events,
            Err(error) => error!(%error, "events cannot be watched yet"),
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => return,
            () = core.clock.sleep(core.settings.idle_wait) => {}
        }
    };
    loop {
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => return,
            event = events.next() => match event {
                // Nobody listening is no fault: the log has it.
                Some(event) => drop(core.feed.send(event)),
                None => {
                    error!("the store ended its watch; live views stand still until a restart");
                    return;
                }
            },
        }
    }
}
