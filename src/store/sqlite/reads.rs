//! Reading beside the writer.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tracing::warn;

use super::{connect, unreadable};
use crate::store::{StoreError, StoreResult};

/// SQLite reads are short and the machine has few cores: more readers would only wait.
const N_READERS: usize = 4;

/// Where reads run.
#[derive(Clone)]
pub enum Reads {
    /// On the threads for blocking work, each with its own connection.
    Pool(Arc<Pool>),
    /// Where they are called, on the only connection.
    Inline(Arc<Mutex<Connection>>),
}

/// Connections that only read, opened when first needed.
pub struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Reads {
    /// Readers of the file `path`.
    pub fn pool(path: &Path) -> Self {
        Self::Pool(Arc::new(Pool {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(N_READERS)),
        }))
    }

    /// Reads on a connection that is shared with the writer.
    pub fn inline(connection: Arc<Mutex<Connection>>) -> Self {
        Self::Inline(connection)
    }

    /// Runs `work` in one read transaction: what it sees is of one moment.
    pub async fn run<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        match self {
            Self::Pool(pool) => pool.clone().run(work).await,
            Self::Inline(connection) => {
                let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
                work(&connection)
            }
        }
    }
}

impl Pool {
    async fn run<T, W>(self: Arc<Self>, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = self.take()?;
            let result = read_at_one_moment(&connection, work);
            self.give_back(connection);
            result
        });
        done.await
            .unwrap_or_else(|panic| Err(StoreError::Unavailable(panic.into())))
    }

    fn take(&self) -> StoreResult<Connection> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let connection = connect(&self.path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        // A transaction that could not be ended is not handed to the next reader.
        if connection.is_autocommit() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

fn read_at_one_moment<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> StoreResult<T>,
) -> StoreResult<T> {
    let transaction = connection.unchecked_transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// All rows of a query whose first column is a record's JSON.
pub fn bodies<R: serde::de::DeserializeOwned>(
    connection: &Connection,
    what: &str,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<R>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(body(what, row, 0)?);
    }
    Ok(records)
}

/// The first `limit` rows that `read` can read. The others are logged by the column `id`.
pub fn readable<T>(
    mut rows: rusqlite::Rows<'_>,
    id: usize,
    limit: NonZeroU32,
    read: impl Fn(&rusqlite::Row<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut found = Vec::new();
    while found.len() < limit.get() as usize
        && let Some(row) = rows.next()?
    {
        match read(row) {
            Ok(value) => found.push(value),
            Err(StoreError::Unreadable { .. }) => {
                let id: String = row.get(id)?;
                warn!(id, "a record cannot be read and is left out");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The record whose JSON is in a column.
pub fn body<R: serde::de::DeserializeOwned>(
    what: &str,
    row: &rusqlite::Row<'_>,
    column: usize,
) -> StoreResult<R> {
    let text = row
        .get_ref(column)?
        .as_str()
        .map_err(|error| unreadable(what, error))?;
    crate::store::records::from_json(what, text)
}
