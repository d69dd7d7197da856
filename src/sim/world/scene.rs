//! What all parts of a world share: the time, the dice, what comes next, what happened.
//!
//! One lock, held for a moment and never across a wait. A world runs on one thread, so nobody waits
//! for it either.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::Duration,
};

use super::{
    carrier::Switchboard,
    dice::Dice,
    invariants::{self, Step},
    ledger::{Ledger, Saved, Sender},
    plan::{BEGINNING, Faults, Plan},
    report::Totals,
};
use crate::domain::Timestamp;

/// The shared part of a world.
pub struct Scene {
    state: Mutex<State>,
}

/// What is shared.
pub struct State {
    /// What was decided before.
    pub plan: Arc<Plan>,
    /// The time outside of all processes.
    pub now: Timestamp,
    /// Everything left to chance.
    pub dice: Dice,
    /// What goes wrong now.
    pub faults: Faults,
    /// Whether everything has healed.
    pub has_healed: bool,
    /// What comes next, by time and then by the order in which it was planned.
    pub agenda: BTreeMap<(Timestamp, u64), Happening>,
    n_planned: u64,
    /// What a process took and did not answer, in the order of taking.
    pub unanswered: BTreeMap<u64, Happening>,
    /// The carrier's side.
    pub board: Switchboard,
    /// What really happened.
    pub ledger: Ledger,
    /// What was saved.
    pub saved: Saved,
    /// The processes.
    pub nodes: Vec<NodeState>,
    /// What is counted.
    pub totals: Totals,
    /// Depends on everything that happened.
    pub fingerprint: u64,
    /// The first thing that must not happen and did.
    pub violation: Option<String>,
    /// What happened, in words, where somebody will read it.
    pub timeline: Option<Vec<(Timestamp, String)>>,
}

/// Something that happens outside of every process.
#[derive(Debug)]
pub enum Happening {
    /// A campaign is started.
    Start(usize),
    /// A request reaches the carrier.
    RequestArrives(usize),
    /// A call's fate goes on.
    CallMoves(usize),
    /// A callback reaches a process, if there is one.
    Callback(super::carrier::Callback),
    /// A call was answered, and the carrier asks what to do with it.
    Voice(usize),
    /// A call's audio is connected.
    Media(usize),
    /// The carrier ends a call whose audio is over.
    HangUp(usize),
    /// Somebody at a dashboard does something.
    Command,
    /// A process is started.
    Boot(usize),
    /// A process goes on that stood still.
    Thaw(usize),
    /// Nothing goes wrong any more.
    Heal,
    /// The auditors look at everything.
    Audit,
}

/// A process as the rest of the world sees it.
#[derive(Debug, Default)]
pub struct NodeState {
    /// Which life it is in.
    pub life: u32,
    /// Whether it runs.
    pub gate: Gate,
    /// Something came for it that it has not looked at.
    pub has_work: bool,
    /// Who waits for it to go on.
    pub waiting: Vec<Waker>,
    /// When it, or something it waited for, stood still in this life.
    stalls: Vec<Stall>,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gate {
    /// It does.
    Open,
    /// It stands still and does not know it.
    Frozen,
    /// It is dead; what is left of it is to be cleared away.
    #[default]
    Dead,
}

/// A time in which a process stood still. Those of a process are apart, and in order.
#[derive(Debug, Clone, Copy)]
struct Stall {
    from: Timestamp,
    to: Timestamp,
    /// How long it stood still before.
    before: Duration,
}

impl Stall {
    /// How much of it lies between two moments.
    fn within(&self, since: Timestamp, until: Timestamp) -> Duration {
        let (from, to) = (self.from.max(since), self.to.min(until));
        Duration::try_from(to.duration_since(from)).unwrap_or_default()
    }
}

impl NodeState {
    /// Begins its next life, in which it did not stand still yet.
    pub fn reborn(&mut self) {
        self.life += 1;
        self.gate = Gate::Open;
        self.has_work = true;
        self.waiting.clear();
        self.stalls.clear();
    }

    /// How much of the time since `since` it stood still.
    pub fn stalled_since(&self, since: Timestamp, now: Timestamp) -> Duration {
        let first = self.stalls.partition_point(|stall| stall.to <= since);
        let (Some(first), Some(last)) = (self.stalls.get(first), self.stalls.last()) else {
            return Duration::ZERO;
        };
        let whole = last.before - first.before;
        let missed = first.within(Timestamp::MIN, since);
        (whole + last.within(Timestamp::MIN, now)).saturating_sub(missed)
    }

    /// It stands still from `now` on, where it does not already. `now` never goes back.
    fn stands_still(&mut self, now: Timestamp, to: Timestamp) {
        match self.stalls.last_mut() {
            Some(last) if now <= last.to => last.to = last.to.max(to),
            last => {
                let before = last.map_or(Duration::ZERO, |last| {
                    last.before + last.within(last.from, last.to)
                });
                let from = now;
                self.stalls.push(Stall { from, to, before });
            }
        }
    }
}

impl Scene {
    /// A world at its beginning.
    pub fn new(plan: Arc<Plan>, keeps_timeline: bool) -> Arc<Self> {
        let nodes = (0..plan.n_nodes).map(|_| NodeState::default()).collect();
        let state = State {
            dice: Dice::seeded(plan.seed ^ 0x5eed),
            now: BEGINNING,
            faults: plan.faults.clone(),
            has_healed: false,
            agenda: BTreeMap::new(),
            n_planned: 0,
            unanswered: BTreeMap::new(),
            board: Switchboard::default(),
            ledger: Ledger::default(),
            saved: Saved::default(),
            nodes,
            totals: Totals::default(),
            fingerprint: 0,
            violation: None,
            timeline: keeps_timeline.then(Vec::new),
            plan,
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// What is shared.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Plans something for `wait` from now.
    pub fn plan_in(&mut self, wait: Duration, happening: Happening) {
        let number = self.next_number();
        self.agenda.insert((self.now + wait, number), happening);
    }

    /// Tells apart what happens at one moment.
    pub fn next_number(&mut self) -> u64 {
        self.n_planned += 1;
        self.n_planned
    }

    /// Lets happen what follows from what was not answered.
    pub fn make_up_for_answers(&mut self) {
        while let Some((_, happening)) = self.unanswered.pop_first() {
            match happening {
                Happening::Callback(callback) => self.not_taken(callback),
                other => self.plan_in(Duration::from_millis(500), other),
            }
        }
    }

    /// Takes down what happened, if anybody will read it.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.push((self.now, line()));
        }
    }

    /// Lets the auditors look at something that just happened.
    pub fn check(&mut self, step: &Step<'_>) {
        self.totals.n_checks += 1;
        self.fingerprint = self.dice.mixed_with(self.fingerprint, self.now);
        if self.violation.is_some() {
            return;
        }
        if let Err(violation) = invariants::check(self, step) {
            self.note(|| format!("VIOLATION: {violation}"));
            self.violation = Some(violation);
        }
    }

    /// Kills a process where it stands and plans its next start.
    pub fn kill(&mut self, node: usize) {
        self.note(|| format!("node {node} dies"));
        self.totals.n_crashes += 1;
        self.nodes[node].gate = Gate::Dead;
        let wait = self.dice.millis(100, 12_000);
        self.plan_in(wait, Happening::Boot(node));
    }

    /// A process ended by itself; it is started again soon.
    pub fn has_ended(&mut self, node: usize, life: u32) {
        if self.nodes[node].life != life || self.nodes[node].gate == Gate::Dead {
            return;
        }
        self.note(|| format!("node {node} has ended"));
        self.totals.n_restarts += 1;
        self.nodes[node].gate = Gate::Dead;
        let wait = self.dice.millis(100, 3_000);
        self.plan_in(wait, Happening::Boot(node));
    }

    /// Stands a process still and plans when it goes on.
    pub fn freeze(&mut self, node: usize) {
        let longest = self.dice.pick(&[500, 4_000, 4_000, 60_000]);
        let wait = self.dice.millis(100, longest);
        self.note(|| format!("node {node} freezes for {wait:?}"));
        self.totals.n_freezes += 1;
        self.nodes[node].gate = Gate::Frozen;
        self.stall(node, wait);
        self.plan_in(wait, Happening::Thaw(node));
    }

    /// Takes down that a process waits `wait` for something that should take no time.
    pub fn stall(&mut self, node: usize, wait: Duration) {
        let now = self.now;
        self.nodes[node].stands_still(now, now + wait);
    }

    /// The life that a process is in.
    pub fn sender(&self, node: usize) -> Sender {
        Sender {
            node,
            life: self.nodes[node].life,
        }
    }

    /// A process that answers now.
    pub fn any_node(&mut self) -> Option<usize> {
        let open: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].gate == Gate::Open)
            .collect();
        (!open.is_empty()).then(|| self.dice.pick(&open))
    }
}
