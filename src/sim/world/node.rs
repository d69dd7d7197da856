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
            own.reborn();
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
        let runtime = runtime(&idle);
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
        self.runtime.block_on(self.idle.wait());
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

/// A runtime that tells `idle` when every task of it waits.
///
/// What was woken from outside comes last, always. As tokio does it by itself, it comes first in every
/// 31st turn: then one task that is woken once more, as by a store that tells its watchers of more than
/// it has to, changes the order of all others, and two stores that give the same answers give
/// different worlds.
fn runtime(idle: &Arc<Idle>) -> Runtime {
    let told = idle.clone();
    Builder::new_current_thread()
        .global_queue_interval(u32::MAX)
        .on_thread_park(move || told.tell())
        .build()
        .expect("a runtime without drivers needs nothing of the machine")
}

impl Idle {
    /// Ready when every other task waits.
    fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.is_idle.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.waker() = Some(context.waker().clone());
            Poll::Pending
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which tasks run that were started from outside, and those that they start, beside
    /// another that wakes itself so often.
    fn order_beside(mut n_wakes: u32) -> Vec<(u32, bool)> {
        let idle = Arc::new(Idle::default());
        let runtime = runtime(&idle);
        let restless = poll_fn(move |context| {
            if n_wakes == 0 {
                return Poll::Ready(());
            }
            n_wakes -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        });
        drop(runtime.spawn(restless));
        let ran = Arc::new(Mutex::new(Vec::new()));
        for n in 0..100 {
            let own = ran.clone();
            drop(runtime.spawn(async move {
                own.lock().unwrap().push((n, false));
                let later = own.clone();
                drop(tokio::spawn(async move {
                    later.lock().unwrap().push((n, true));
                }));
            }));
        }
        runtime.block_on(idle.wait());
        std::mem::take(&mut ran.lock().unwrap())
    }

    #[test]
    fn one_more_turn_of_a_task_leaves_the_others_in_their_order() {
        let order = order_beside(0);
        assert_eq!(order.len(), 200);
        for n_wakes in [1, 2, 7, 40] {
            assert_eq!(order_beside(n_wakes), order, "beside {n_wakes}");
        }
    }
}
