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
//! - `rules`: campaigns' rules as they hold now; `callers`: the numbers that calls come from;
//!   `brakes`: what stands a campaign still by itself.
//! - `explain`: why somebody was not called yet, for one person and summed up.
//! - `erase`: what identifies a person is taken out of every record.
//! - `held`: everything about one person.
//! - `halt`: emergency stops.
//! - `deployment`: whether the records are this deployment's own.
//! - `operate`: what people ask of campaigns and calls.
//! - `prices`: what the carrier takes for calls, asked for after their end.
//! - `recording`: recordings, listened to, and deleted when they are as old as they may become.
//! - `owners`: whose the enrollments are that were dealt with of late.
//! - `supervise`: loops that panic begin again.
//! - `suppress`: who must not be contacted any more.
//! - `talk`: what the answering and the audio of a call need to know.
//! - `tools`: what an agent asks for during a call, and transfers to people.
//! - `turns`: decisions on one enrollment come one after the other.

mod brakes;
mod callers;
mod commit;
mod copies;
pub mod decide;
mod deployment;
mod dispatch;
mod erase;
mod explain;
mod forecast;
mod halt;
mod held;
mod inbox;
mod lease;
mod operate;
mod owners;
mod perform;
mod prices;
mod reconcile;
mod recording;
mod recover;
mod rules;
mod settings;
mod supervise;
mod suppress;
mod talk;
mod tools;
mod turns;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

pub use copies::{TakenOver, TestCallee};
pub use deployment::Adoption;
pub use erase::{Erased, Whom};
pub use explain::{Diagnosis, Explanation, Group};
pub use halt::Standstill;
pub use held::Held;
pub use operate::{CampaignEdit, Enrolled};
pub use settings::{EngineSettings, TenantLimits};
pub use talk::{Instead, Talk, TalkRefused};
pub use tools::{TransferError, WishError};

use crate::{
    clock::Clock,
    domain::{
        Timestamp,
        campaign::NotAllowed,
        event::StoredEvent,
        ids::{CampaignId, NodeId, TenantId},
        pacing::Lane,
        ranges::Resting,
    },
    store::{InboxEntry, Store, StoreError},
    telephony::{Carrier, CarrierError},
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

    /// A call to the person is up; what to do, in words for the operator.
    #[error("{0}")]
    InCall(&'static str),

    /// What was asked for was there and was deleted; in words for the operator.
    #[error("{0}")]
    Gone(&'static str),

    /// Something has to be known first; in words for the operator.
    #[error("{0}")]
    NotYet(&'static str),

    /// The carrier failed.
    #[error(transparent)]
    Carrier(#[from] CarrierError),

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
    /// Told of each call that ended.
    freed: Notify,
    /// One bounded queue for each inbox worker.
    inbox: Vec<mpsc::Sender<InboxEntry>>,
    /// Where the workers take from.
    signals: Vec<Arc<tokio::sync::Mutex<mpsc::Receiver<InboxEntry>>>>,
    /// One permit for each request under way at the carrier.
    requests: Arc<Semaphore>,
    feed: broadcast::Sender<StoredEvent>,
    carrier_state: Mutex<CarrierState>,
    /// Since when callbacks could be taken without a break.
    hears_since: Mutex<Timestamp>,
    /// Rises with each emergency stop that this process saved: what was read before is no last look.
    n_halts: AtomicU64,
    rules: rules::RulesByCampaign,
    turns: turns::Turns,
    owners: owners::Owners,
    leases: Mutex<BTreeMap<TenantId, lease::Lease>>,
    owns_all: AtomicBool,
    /// How long rounds of dispatch take of late.
    round_time: Mutex<Duration>,
    /// The last dial starts, finer than they are on record.
    planned: dispatch::PlannedStarts,
    loops: supervise::Loops,
    /// Held while the store is asked whether it is there.
    pulse: Arc<tokio::sync::Mutex<()>>,
}

/// What this process remembers of its requests to the carrier. Losing it costs a refused request.
#[derive(Debug, Default)]
struct CarrierState {
    /// When requests last left. Only the process that dispatches for a tenant sends its requests.
    lanes: BTreeMap<LaneKey, Lane>,
    rest_until: Option<Timestamp>,
    unclassified_in_a_row: BTreeMap<CampaignId, u32>,
    unanswered_in_a_row: BTreeMap<CampaignId, u32>,
    agent_failures_in_a_row: BTreeMap<CampaignId, u32>,
    /// How many calls a campaign may have open whose answered calls got no agent lately.
    cautions: BTreeMap<CampaignId, u32>,
    /// The ranges of numbers that the carrier refused to a campaign.
    resting_ranges: BTreeMap<CampaignId, Vec<Resting>>,
    /// How the tenant's own numbers are used.
    numbers: BTreeMap<TenantId, callers::NumberBook>,
    /// Whose the tenant's latest dial starts were, oldest first.
    starts: BTreeMap<TenantId, VecDeque<CampaignId>>,
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
    /// No loop of this process panicked lately.
    pub loops: bool,
    /// This process is ending.
    pub closing: bool,
}

/// How many events a listener may be behind before it must read the log instead.
const FEED_CAPACITY: usize = 4096;

/// How long the store may take to say that it is there.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Builds the engine and starts its loops.
    pub fn start(parts: EngineParts) -> Self {
        let engine = Self::new(parts);
        engine.run();
        engine
    }

    /// Builds the engine. Nothing is dialed before [`Engine::run`].
    pub fn new(parts: EngineParts) -> Self {
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
            freed: Notify::new(),
            inbox: senders,
            feed: broadcast::Sender::new(FEED_CAPACITY),
            carrier_state: Mutex::default(),
            hears_since: Mutex::new(Timestamp::MIN),
            n_halts: AtomicU64::new(0),
            rules: rules::RulesByCampaign::default(),
            turns: turns::Turns::default(),
            owners: owners::Owners::default(),
            leases: Mutex::default(),
            owns_all: AtomicBool::new(false),
            round_time: Mutex::default(),
            planned: dispatch::PlannedStarts::default(),
            loops: supervise::Loops::default(),
            pulse: Arc::default(),
            signals: receivers
                .into_iter()
                .map(|queue| Arc::new(tokio::sync::Mutex::new(queue)))
                .collect(),
        });
        Self { core }
    }

    /// Starts the loops.
    pub fn run(&self) {
        let core = &self.core;
        core.could_not_hear();
        for queue in &core.signals {
            let queue = queue.clone();
            core.keep("inbox", move |core| {
                let queue = queue.clone();
                async move { inbox::run(core, &mut *queue.lock().await).await }
            });
        }
        core.keep("dispatch", dispatch::run);
        core.keep("recover", recover::run);
        core.keep("prices", prices::run);
        core.keep("retention", recording::run);
        core.keep("feed", run_feed);
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

    /// Whether this process does its part. Answers soon, also while the store does not.
    pub async fn health(&self) -> Health {
        Health {
            store: self.core.has_store().await,
            dispatch: self.core.owns_all.load(Ordering::Relaxed)
                && self.core.has_leases(self.core.now()),
            loops: self.core.loops.are_well(),
            closing: self.core.closing.is_cancelled(),
        }
    }

    /// Begins no more calls; what is reserved and not yet asked for is given back, uncounted.
    pub fn stop_dialing(&self) {
        self.core.closing.cancel();
        self.core.wake.notify_one();
    }

    /// How many open calls nobody sees to when this process ends: all of the tenants that no other
    /// process dispatches for. Where one does, it answers for what is not up here (F-94).
    pub async fn n_left(&self) -> EngineResult<u32> {
        let core = &self.core;
        let mut n_left = 0;
        for tenant in core.store.list_tenants().await? {
            let leader = core.store.lease_holder(tenant, core.now()).await?;
            if leader.is_none_or(|leader| leader == core.node) {
                let usage = core.store.usage(tenant).await?;
                n_left += usage.values().map(|usage| usage.n_open).sum::<u32>();
            }
        }
        Ok(n_left)
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
    /// Runs a loop until the engine stops.
    fn keep<F: Future<Output = ()> + Send>(
        self: &Arc<Self>,
        name: &'static str,
        run: impl Fn(Arc<Self>) -> F + Send + Sync + 'static,
    ) {
        let core = self.clone();
        self.tasks.spawn(async move {
            let run = || run(core.clone());
            core.loops.keep(name, &core.stopped, run).await;
        });
    }

    /// Whether the store can be read and written. One that hangs is asked once, however often somebody
    /// wants to know.
    async fn has_store(&self) -> bool {
        let asking = async {
            let turn = self.pulse.clone().lock_owned().await;
            let store = self.store.clone();
            // A task of its own: what a database was asked is not broken off.
            let check = self.tasks.spawn(async move {
                let _turn = turn;
                store.check().await.is_ok()
            });
            check.await.unwrap_or(false)
        };
        let answer = tokio::time::timeout(STORE_PATIENCE, asking).await;
        answer.unwrap_or(false)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Passes what the store says happened to everyone in this process who listens.
async fn run_feed(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        match core.store.watch_events().await {
            Ok(events) => pass_on(&core, events).await,
            Err(error) => error!(%error, "events cannot be watched yet"),
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.clock.sleep(core.settings.idle_wait) => {}
        }
    }
}

async fn pass_on(core: &Core, mut events: BoxStream<'static, StoredEvent>) {
    loop {
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => return,
            event = events.next() => match event {
                // Nobody listening is no fault: the log has it.
                Some(event) => drop(core.feed.send(event)),
                None => {
                    error!("the store ended its watch; it begins anew");
                    return;
                }
            },
        }
    }
}
