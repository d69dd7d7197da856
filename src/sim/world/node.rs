//! One process of the world: a runtime of its own, so that dropping it is what a crash is.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::{
    carrier::InProcessCarrier,
    scene::{Gate, Scene},
    store::FaultyStore,
};
use crate::{
    clock::{Clock as _, ManualClock},
    domain::ids::NodeId,
    engine::{Engine, EngineParts},
    store::Store,
};

/// A running process.
pub struct Node {
    runtime: Runtime,
    idle: Arc<Idle>,
    clock: Arc<ManualClock>,
    engine: Engine,
    control: Control,
}

/// What ties the operations of one life of a process to the world.
#[derive(Clone)]
pub struct Control {
    /// What all share.
    pub scene: Arc<Scene>,
    /// Which process.
    pub node: usize,
    /// Which of its lives.
    pub life: u32,
    /// Its clock.
    pub clock: Arc<ManualClock>,
}

/// Whether every task of a runtime waits.
#[derive(Default)]
struct Idle {
    is_idle: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Node {
    /// Starts the process on a store that others may share.
    pub fn boot(scene: &Arc<Scene>, node: usize, store: Arc<dyn Store>) -> Self {
        let (now, life, settings) = {
            let mut state = scene.lock();
            let own = &mut state.nodes[node];
            own.life += 1;
            own.gate = Gate::Open;
            own.has_work = true;
            own.waiting.clear();
            own.stalls.clear();
            let life = own.life;
            state.note(|| format!("node {node} starts (life {life})"));
            (state.now, life, state.plan.settings.clone())
        };
        let number = (node as u64 + 1) << 32 | u64::from(life);
        let clock = Arc::new(ManualClock::numbering_from(now, number << 16));
        let control = Control {
            scene: scene.clone(),
            node,
            life,
            clock: clock.clone(),
        };
        let idle = Arc::new(Idle::default());
        let told = idle.clone();
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || told.tell())
            .build()
            .expect("a runtime without drivers needs nothing of the machine");
        let parts = EngineParts {
            store: Arc::new(FaultyStore::new(store, control.clone())),
            carrier: Arc::new(InProcessCarrier::new(control.clone())),
            clock: clock.clone(),
            node: NodeId::new(Uuid::from_u128(u128::from(number))),
            settings,
        };
        let engine = {
            let _inside = runtime.enter();
            Engine::start(parts)
        };
        Self {
            runtime,
            idle,
            clock,
            engine,
            control,
        }
    }

    /// Lets the process run until everything in it waits.
    pub fn run(&self) {
        self.runtime.block_on(poll_fn(|context| {
            if self.idle.is_idle.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.idle.waker() = Some(context.waker().clone());
            Poll::Pending
        }));
    }

    /// Lets something else run in the process, as a request from outside does.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// The process's engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The process's clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What ties the process to the world.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Idle {
    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.is_idle.store(true, Ordering::Relaxed);
        if let Some(waker) = self.waker().take() {
            waker.wake();
        }
    }
}

impl Control {
    /// Goes on when the process does: never, once it is dead.
    pub async fn pass(&self) {
        poll_fn(|context| {
            let mut state = self.scene.lock();
            let own = &mut state.nodes[self.node];
            if own.life == self.life && own.gate == Gate::Open {
                return Poll::Ready(());
            }
            if own.life == self.life {
                own.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Waits on the process's clock.
    pub async fn sleep(&self, wait: Duration) {
        self.clock.sleep(wait).await;
        self.pass().await;
    }

    /// Dies or stands still here, if chance has it.
    pub async fn may_break(&self) {
        {
            let mut state = self.scene.lock();
            let (crash, freeze) = (state.faults.crash, state.faults.freeze);
            if state.nodes[self.node].gate == Gate::Open {
                if state.dice.happens(crash) {
                    state.kill(self.node);
                } else if state.dice.happens(freeze) {
                    state.freeze(self.node);
                }
            }
        }
        self.pass().await;
    }
}
