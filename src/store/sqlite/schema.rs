//! The tables, and how a file of an older release gets them.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::{StoreResult, records::unreadable};

/// Step `i` brings a file from version `i` to `i + 1`. Steps are only ever added.
const MIGRATIONS: [&str; VERSION as usize] = [include_str!("schema_1.sql")];

/// The version of the schema that this release writes.
const VERSION: u32 = 1;

/// Brings the file to this release's version.
///
/// The version is read under the write lock, so that two processes that start together do not both
/// migrate.
pub fn migrate(connection: &mut Connection) -> StoreResult<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        let reason =
            format!("its schema has version {found} and this release knows {VERSION} at most");
        return Err(unreadable("the database", reason));
    }
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}
