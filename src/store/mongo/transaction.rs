//! Changing records with what belongs to them, in one transaction. Only on a replica set.

use std::time::Duration;

use mongodb::{
    ClientSession, Collection,
    bson::{Document, doc},
    error::{Error, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT},
};
use tokio::time::Instant;

use super::{DUPLICATE_KEY, Server, documents};
use crate::store::{StoreError, StoreResult};

/// How long a transaction is tried again. Whoever waits for it may be about to dial.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What one transaction writes.
pub struct Writes {
    /// Where the records are.
    pub records: Collection<Document>,
    /// Each record as it was before, with the change to it.
    pub changes: Vec<(Document, Document)>,
    /// The calls that were changed with them.
    pub calls: Vec<Document>,
    /// What is added to the log.
    pub events: Vec<Document>,
}

/// What became of a transaction. All but the first leave everything as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is written.
    Written,
    /// A record is no longer as it was before.
    NotAsBefore,
    /// A value that must be unique is there already.
    Taken,
}

/// Writes everything or nothing.
pub async fn run(server: &Server, writes: &Writes) -> StoreResult<Outcome> {
    let mut session = server.client.start_session().await?;
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        match try_once(server, &mut session, writes, give_up_at).await {
            Err(Failure::Server(error))
                if error.contains_label(TRANSIENT_TRANSACTION_ERROR)
                    && Instant::now() < give_up_at =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Server(error)) => return Err(error.into()),
            Err(Failure::Refused(said)) => return Err(StoreError::Unavailable(said.into())),
        }
    }
}

/// Why a try was none.
enum Failure {
    Server(Error),
    /// The server refused one write among many.
    Refused(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Server(error)
    }
}

async fn try_once(
    server: &Server,
    session: &mut ClientSession,
    writes: &Writes,
    give_up_at: Instant,
) -> Result<Outcome, Failure> {
    session.start_transaction().await?;
    match write_all(server, session, writes).await {
        Ok(Outcome::Written) => {
            commit(session, give_up_at).await?;
            Ok(Outcome::Written)
        }
        other => {
            // What was said first says what is the matter; the server forgets the transaction by
            // itself.
            let _ = session.abort_transaction().await;
            other
        }
    }
}

async fn write_all(
    server: &Server,
    session: &mut ClientSession,
    writes: &Writes,
) -> Result<Outcome, Failure> {
    let changes = writes
        .changes
        .iter()
        .map(|(before, change)| doc! {"q": before, "u": change});
    let changes = update(server, session, &writes.records, changes.collect()).await?;
    if changes != Outcome::Written {
        return Ok(changes);
    }
    if !writes.calls.is_empty() {
        let calls = writes
            .calls
            .iter()
            .map(|call| doc! {"q": {"_id": call.get("_id")}, "u": call, "upsert": true});
        let calls = update(server, session, &server.calls(), calls.collect()).await?;
        if calls != Outcome::Written {
            return Ok(calls);
        }
    }
    if !writes.events.is_empty() {
        server
            .events()
            .insert_many(&writes.events)
            .session(&mut *session)
            .await?;
    }
    Ok(Outcome::Written)
}

/// Makes updates of one document each as one request.
async fn update(
    server: &Server,
    session: &mut ClientSession,
    records: &Collection<Document>,
    updates: Vec<Document>,
) -> Result<Outcome, Failure> {
    let n_expected = updates.len() as u64;
    let command = doc! {"update": records.name(), "updates": updates};
    let answer = server
        .database
        .run_command(command)
        .session(&mut *session)
        .await?;
    if let Ok(errors) = answer.get_array("writeErrors") {
        let first = errors.first().and_then(|error| error.as_document());
        return match first.map(|error| error.get_i32("code")) {
            Some(Ok(DUPLICATE_KEY)) => Ok(Outcome::Taken),
            _ => Err(Failure::Refused(format!("the server refused: {errors:?}"))),
        };
    }
    // What is upserted counts too.
    if documents::count(&answer, "n") == n_expected {
        Ok(Outcome::Written)
    } else {
        Ok(Outcome::NotAsBefore)
    }
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
