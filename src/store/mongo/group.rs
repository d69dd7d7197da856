//! Writes that wait are made together.
//!
//! Every request costs the server and the network the same, however much it carries, and every wait for
//! the journal covers all that was written before. So writes queue up while others are under way, and
//! all that wait go as one. A write that comes alone goes at once.

use std::{mem, sync::Arc};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::Server;
use crate::store::{StoreError, StoreResult};

/// The most that go together: more would make the first of them wait long for its answer.
const MAX_TOGETHER: usize = 64;

/// When so many wait, callers wait to hand in theirs.
const QUEUE_LENGTH: usize = 1024;

/// One write that waits, with who asked for it.
pub struct Job<W, A> {
    /// What is to be written.
    pub write: W,
    answer: oneshot::Sender<StoreResult<A>>,
}

impl<W, A> Job<W, A> {
    /// Tells what became of it; who does not wait any more needs no answer.
    pub fn answer(self, result: StoreResult<A>) {
        self.answer.send(result).ok();
    }
}

/// Where writes of one kind are handed in. The last handle's end is the end of the group.
pub struct Group<W, A> {
    jobs: mpsc::Sender<Job<W, A>>,
}

impl<W, A> Clone for Group<W, A> {
    fn clone(&self) -> Self {
        Self {
            jobs: self.jobs.clone(),
        }
    }
}

impl<W: Send + 'static, A: Send + 'static> Group<W, A> {
    /// Takes writes for `server`; `write` makes some of them together and answers each. So many groups
    /// are under way at once: with one alone more go together, with several each waits less.
    pub fn start<R>(
        server: Server,
        n_at_once: usize,
        write: fn(Server, Vec<Job<W, A>>) -> R,
    ) -> Self
    where
        R: Future<Output = ()> + Send + 'static,
    {
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        tokio::spawn(work_off(server, queue, n_at_once, write));
        Self { jobs }
    }

    /// Hands in a write; gives what became of it.
    ///
    /// Not bound to the caller: once handed in it is made, also when nobody waits for it any more.
    pub async fn run(&self, write: W) -> StoreResult<A> {
        let ended = || StoreError::Unavailable("the group of writes has ended".into());
        let (answer, answered) = oneshot::channel();
        let job = Job { write, answer };
        self.jobs.send(job).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

async fn work_off<W, A, R>(
    server: Server,
    mut queue: mpsc::Receiver<Job<W, A>>,
    n_at_once: usize,
    write: fn(Server, Vec<Job<W, A>>) -> R,
) where
    W: Send + 'static,
    A: Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(n_at_once));
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, MAX_TOGETHER).await > 0 {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        while waiting.len() < MAX_TOGETHER
            && let Ok(job) = queue.try_recv()
        {
            waiting.push(job);
        }
        let group = write(server.clone(), mem::take(&mut waiting));
        tokio::spawn(async move {
            group.await;
            drop(place);
        });
    }
}
