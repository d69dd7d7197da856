//! The embedded store: one SQLite file, one writer, readers beside it.
//!
//! It knows SQL and how to make writes cheap; it decides nothing. Every write is durable when its
//! future is ready: writes that arrive together share a transaction and one sync of the disk. The
//! columns are what is searched by; everything else is a record's JSON in `body`.
//!
//! In memory there are no threads: each method runs to its end where it is called. So a run over a
//! virtual clock is the same each time.

mod accounts;
mod calls;
mod campaigns;
mod claims;
mod contacts;
mod dispatch;
mod enrollments;
mod events;
mod figures;
mod imports;
mod inbox;
mod installation;
mod people;
mod reads;
mod schema;
mod suppressions;
mod totals;
mod web_tools;
mod writes;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::watch;

use self::{reads::Reads, writes::Writes};
use super::{StoreError, StoreResult, records::unreadable};

/// How often, and how far apart, write-ahead logging is asked for: five seconds in all.
const WAL_TRIES: u32 = 100;
const WAL_WAIT: Duration = Duration::from_millis(50);

/// How long a connection waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The statements of all methods together, so that none is ever prepared twice.
const N_CACHED_STATEMENTS: usize = 128;

/// The store in one file, or in memory.
pub struct SqliteStore {
    reads: Reads,
    writes: Writes,
    /// Changes after each commit of this process.
    committed: watch::Receiver<()>,
}

impl SqliteStore {
    /// Opens or creates the store in the file `path`, bringing its schema up to date.
    ///
    /// - Errors: [`StoreError::Unreadable`] when a newer release wrote it.
    pub fn open(path: &Path) -> StoreResult<Self> {
        let mut connection = connect(path)?;
        use_write_ahead_log(&connection)?;
        schema::migrate(&mut connection)?;
        let (sender, committed) = watch::channel(());
        Ok(Self {
            reads: Reads::pool(path),
            writes: Writes::thread(connection, sender)?,
            committed,
        })
    }

    /// A store that ends with the value.
    pub fn in_memory() -> StoreResult<Self> {
        let mut connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(N_CACHED_STATEMENTS);
        schema::migrate(&mut connection)?;
        let connection = Arc::new(Mutex::new(connection));
        let (sender, committed) = watch::channel(());
        Ok(Self {
            reads: Reads::inline(connection.clone()),
            writes: Writes::inline(connection, sender),
            committed,
        })
    }

    /// Runs `work`, which only reads, in one transaction.
    async fn read<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        self.reads.run(work).await
    }

    /// Runs `work`: all of it, durably, or on an error nothing.
    async fn write<T, W>(&self, work: W) -> StoreResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> StoreResult<T> + Send + 'static,
    {
        self.writes.run(work).await
    }
}

fn connect(path: &Path) -> StoreResult<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(N_CACHED_STATEMENTS);
    connection.pragma_update(None, "cache_size", -64_000)?;
    Ok(connection)
}

/// A file system that cannot do write-ahead logging (a network share) cannot keep the promises made
/// here either, so it is refused.
fn use_write_ahead_log(connection: &Connection) -> StoreResult<()> {
    let mode = switch_to_wal(connection)?;
    if mode != "wal" {
        let reason = "the file system cannot do write-ahead logging; use a local disk";
        return Err(StoreError::Unavailable(reason.into()));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    Ok(())
}

/// The journal's mode after asking for write-ahead logging. SQLite does not wait by itself for another
/// process that opens the same new file, so the question is asked again.
fn switch_to_wal(connection: &Connection) -> StoreResult<String> {
    let ask = || connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0));
    for _ in 1..WAL_TRIES {
        match ask() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                std::thread::sleep(WAL_WAIT);
            }
            answer => return Ok(answer?),
        }
    }
    Ok(ask()?)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        let is_damaged = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        ) || matches!(
            error,
            FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | InvalidColumnType(..)
                | Utf8Error(..)
        );
        if is_damaged {
            unreadable("the database file", error)
        } else {
            Self::Unavailable(error.into())
        }
    }
}

/// Whether a unique value is already there.
fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// A count or number of ours as SQLite keeps it.
fn to_sql(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A count or number of ours as SQLite kept it.
fn from_sql(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}
