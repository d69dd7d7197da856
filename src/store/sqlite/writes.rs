//! Writing: one thread, many jobs to a transaction.
//!
//! A sync of the disk costs a few milliseconds however much it covers. So the writer takes all jobs
//! that wait, up to a limit, runs them in one transaction and answers them after its commit. Each
//! job has a savepoint: its failure undoes its own changes alone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::store::{StoreError, StoreResult};

/// More would make the first job of a batch wait long for its answer.
const MAX_BATCH: usize = 256;

/// When so many jobs wait, callers wait to hand in theirs.
const QUEUE_LENGTH: usize = 1024;

/// Where writes run.
pub enum Writes {
    /// On a thread of their own.
    Thread(Writer),
    /// Where they are called, on the only connection.
    Inline {
        /// Shared with the readers.
        connection: Arc<Mutex<Connection>>,
        /// Told after each commit.
        committed: watch::Sender<()>,
    },
}

/// The thread that writes. Dropping it finishes what is queued.
pub struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writes {
    /// Starts a writer on `connection`; `committed` is told after each commit.
    pub fn thread(connection: Connection, committed: watch::Sender<()>) -> StoreResult<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE_LENGTH);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work_off(&connection, queue, &committed))
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        Ok(Self::Thread(Writer {
            jobs: Some(jobs),
            thread: Some(thread),
        }))
    }

    /// Writes on a connection that is shared with the readers.
    pub fn inline(connection: Arc<Mutex<Connection>>, committed: watch::Sender<()>) -> Self {
        Self::Inline {
            connection,
            committed,
        }
    }

    /// Runs `work`: all of it, durably, or on an error nothing.
    pub async fn run<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        match self {
            Self::Thread(writer) => writer.run(work).await,
            Self::Inline {
                connection,
                committed,
            } => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                let transaction = connection.unchecked_transaction()?;
                let result = work(&transaction)?;
                transaction.commit()?;
                committed.send_replace(());
                Ok(result)
            }
        }
    }
}

impl Writer {
    async fn run<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let ended = || StoreError::Unavailable("the writer has ended".into());
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Write {
            work: Some(work),
            result: None,
            reply,
        });
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the store's writer had panicked");
        }
    }
}

/// One write as the thread sees it.
trait Job: Send {
    /// Does the work under a savepoint. An error means that the transaction is lost, not that the
    /// work failed: that is kept for its caller.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Answers the caller; `lost` says why the transaction was not committed.
    fn finish(self: Box<Self>, lost: Option<&str>);
}

struct Write<T, W> {
    work: Option<W>,
    result: Option<StoreResult<T>>,
    reply: oneshot::Sender<StoreResult<T>>,
}

impl<T, W> Job for Write<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> StoreResult<T> + Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        execute(connection, "SAVEPOINT job")?;
        let result = work(connection);
        if result.is_err() {
            execute(connection, "ROLLBACK TO job")?;
        }
        execute(connection, "RELEASE job")?;
        self.result = Some(result);
        Ok(())
    }

    fn finish(self: Box<Self>, lost: Option<&str>) {
        let result = match (lost, self.result) {
            (None, Some(result)) => result,
            (Some(reason), _) => Err(StoreError::Unavailable(reason.into())),
            (None, None) => Err(StoreError::Unavailable("the write was not begun".into())),
        };
        // A caller that went away does not need the answer.
        let _ = self.reply.send(result);
    }
}

fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(statement)?
        .execute([])
        .map(|_| ())
}

fn work_off(
    connection: &Connection,
    mut queue: mpsc::Receiver<Box<dyn Job>>,
    committed: &watch::Sender<()>,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        while batch.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let lost = run_batch(connection, &mut batch).err();
        if let Some(reason) = &lost {
            error!(%reason, n_jobs = batch.len(), "a batch of writes was not committed");
            roll_back(connection);
        }
        let lost = lost.map(|error| error.to_string());
        for job in batch.drain(..) {
            job.finish(lost.as_deref());
        }
        committed.send_replace(());
    }
}

/// Runs and commits a batch. On an error none of it is kept.
fn run_batch(connection: &Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    execute(connection, "BEGIN IMMEDIATE")?;
    for job in batch {
        // On some faults, such as a full disk, SQLite itself ends the transaction; then this fails
        // at the next savepoint statement, because there is none any more.
        job.run(connection)?;
    }
    execute(connection, "COMMIT")
}

fn roll_back(connection: &Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(reason) = execute(connection, "ROLLBACK") {
        error!(%reason, "a batch of writes could not be rolled back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer<T> = oneshot::Receiver<StoreResult<T>>;

    fn job<T: Send + 'static>(
        work: impl FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    ) -> (Box<dyn Job>, Answer<T>) {
        let (reply, answer) = oneshot::channel();
        let job = Write {
            work: Some(work),
            result: None,
            reply,
        };
        (Box::new(job), answer)
    }

    fn insert(n: i64) -> impl FnOnce(&Connection) -> StoreResult<()> {
        move |connection| {
            connection.execute("INSERT INTO t VALUES (?1)", [n])?;
            Ok(())
        }
    }

    fn table() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (n INTEGER) STRICT")
            .unwrap();
        connection
    }

    fn rows(connection: &Connection) -> Vec<i64> {
        let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_job_that_fails_undoes_its_own_changes_alone() {
        let connection = table();
        let (first, first_answer) = job(insert(1));
        let (failing, failing_answer) = job(|connection| {
            insert(2)(connection)?;
            Err::<(), _>(StoreError::Conflict {
                record: "it".to_owned(),
            })
        });
        let (last, last_answer) = job(insert(3));
        let mut batch = vec![first, failing, last];
        run_batch(&connection, &mut batch).unwrap();
        for job in batch {
            job.finish(None);
        }
        assert_eq!(rows(&connection), [1, 3]);
        assert!(first_answer.blocking_recv().unwrap().is_ok());
        let failed = failing_answer.blocking_recv().unwrap();
        assert!(
            matches!(failed, Err(StoreError::Conflict { .. })),
            "{failed:?}"
        );
        assert!(last_answer.blocking_recv().unwrap().is_ok());
    }

    // proves F-92
    #[test]
    fn nothing_counts_as_written_when_the_transaction_is_lost() {
        let connection = table();
        let (first, first_answer) = job(insert(1));
        // What SQLite does by itself when the disk is full.
        let (fatal, fatal_answer) = job(|connection| {
            connection.execute_batch("ROLLBACK")?;
            Ok(())
        });
        let (last, last_answer) = job(insert(3));
        let mut batch = vec![first, fatal, last];
        let lost = run_batch(&connection, &mut batch).unwrap_err();
        roll_back(&connection);
        for job in batch {
            job.finish(Some(&lost.to_string()));
        }
        assert_eq!(rows(&connection), [] as [i64; 0]);
        for answer in [first_answer, fatal_answer, last_answer] {
            let answer = answer.blocking_recv().unwrap();
            assert!(
                matches!(answer, Err(StoreError::Unavailable(_))),
                "{answer:?}"
            );
        }
    }
}
