//! Changing one record with what belongs to it, in one transaction. Only on a replica set.

use std::time::Duration;

use mongodb::{
    ClientSession, Collection,
    bson::{Document, doc},
    error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT},
};
use tokio::time::Instant;

use super::MongoStore;

/// How long a transaction is tried again. Whoever waits for it may be about to dial.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What one transaction writes.
pub struct Writes {
    /// Where the record is.
    pub records: Collection<Document>,
    /// The record as it was before.
    pub before: Document,
    /// The change to it.
    pub change: Document,
    /// The call that was changed with it.
    pub call: Option<Document>,
    /// What is added to the log.
    pub events: Vec<Document>,
}

/// Writes everything or nothing. False when the record is no longer as it was before.
pub async fn run(store: &MongoStore, writes: &Writes) -> Result<bool, Error> {
    let mut session = store.client.start_session().await?;
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        match try_once(store, &mut session, writes, give_up_at).await {
            Err(error)
                if error.contains_label(TRANSIENT_TRANSACTION_ERROR)
                    && Instant::now() < give_up_at =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn try_once(
    store: &MongoStore,
    session: &mut ClientSession,
    writes: &Writes,
    give_up_at: Instant,
) -> Result<bool, Error> {
    session.start_transaction().await?;
    match write_all(store, session, writes).await {
        Ok(true) => {
            commit(session, give_up_at).await?;
            Ok(true)
        }
        Ok(false) => {
            session.abort_transaction().await?;
            Ok(false)
        }
        Err(error) => {
            // The first error says what went wrong; the server forgets the transaction by itself.
            let _ = session.abort_transaction().await;
            Err(error)
        }
    }
}

async fn write_all(
    store: &MongoStore,
    session: &mut ClientSession,
    writes: &Writes,
) -> Result<bool, Error> {
    let saved = writes
        .records
        .update_one(writes.before.clone(), writes.change.clone())
        .session(&mut *session)
        .await?;
    if saved.matched_count == 0 {
        return Ok(false);
    }
    if let Some(call) = &writes.call {
        store
            .calls()
            .replace_one(doc! {"_id": call.get("_id")}, call)
            .upsert(true)
            .session(&mut *session)
            .await?;
    }
    if !writes.events.is_empty() {
        store
            .events()
            .insert_many(&writes.events)
            .session(&mut *session)
            .await?;
    }
    Ok(true)
}

/// Committing again is harmless, and the only way to learn whether a commit without an answer was.
async fn commit(session: &mut ClientSession, give_up_at: Instant) -> Result<(), Error> {
    loop {
        match session.commit_transaction().await {
            Err(error)
                if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
                    && Instant::now() < give_up_at =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}
