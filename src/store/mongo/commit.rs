//! Saving an enrollment with its call and its events.
//!
//! On a replica set this is one transaction. On a single server there is none, so the enrollment
//! carries what belongs to it: one write, which the server makes whole or not at all, saves the
//! enrollment in its new version with the call and the events in `pending`. They are copied to
//! their collections at once; after a crash in between, by the next commit of that enrollment, by
//! any process that looks for the call or for overdue ones, or at the next start. Copying twice changes nothing.
//!
//! Numbers in the log are taken before, because a counter inside the transactions would make all
//! calls of a campaign wait for each other. So a commit that fails leaves a gap in the numbers.

use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    error::Error,
    options::ReturnDocument,
};
use tracing::warn;

use super::{
    MongoStore, Server, calls,
    documents::to_bson,
    enrollments, events, is_taken,
    transaction::{self, Outcome, Writes},
};
use crate::{
    domain::{enrollment::CallRecord, event::Event},
    store::{Commit, StoreError, StoreResult},
};

/// A commit as its documents, but for the events, which have no numbers yet.
struct Prepared {
    before: Document,
    change: Document,
    call: Option<Document>,
    events: Vec<Event>,
}

/// Saves a commit, durably and whole.
pub async fn save(store: &MongoStore, commit: &Commit) -> StoreResult<()> {
    let prepared = prepare(commit)?;
    let is_saved = if store.is_replicated {
        save_in_transaction(store, prepared).await?
    } else {
        save_with_pending(store, prepared).await?
    };
    if is_saved {
        Ok(())
    } else {
        Err(StoreError::Conflict {
            record: commit.enrollment.id.to_string(),
        })
    }
}

fn prepare(commit: &Commit) -> StoreResult<Prepared> {
    let enrollment = &commit.enrollment;
    let call = commit.attempt.as_ref();
    let call = call.map(|attempt| calls::write(&CallRecord::of(enrollment, attempt)));
    Ok(Prepared {
        before: doc! {
            "_id": enrollment.id.to_string(),
            "tenant": enrollment.tenant.to_string(),
            "version": to_bson(enrollment.version) - 1,
        },
        change: change(enrollments::write(enrollment)?),
        call: call.transpose()?,
        events: commit.events.clone(),
    })
}

/// False when the stored version is another, or the person is in a call of another campaign.
async fn save_in_transaction(server: &MongoStore, commit: Prepared) -> StoreResult<bool> {
    let writes = Writes {
        records: server.enrollments(),
        changes: vec![(commit.before, commit.change)],
        calls: commit.call.into_iter().collect(),
        events: events::number(server, &commit.events).await?,
    };
    Ok(transaction::run(server, &writes).await? == Outcome::Written)
}

/// The change to an enrollment's document; its claim ends with it.
fn change(enrollment: Document) -> Document {
    let mut ended = doc! {"claim": ""};
    if !enrollment.contains_key("readyAt") {
        ended.insert("readyAt", "");
    }
    doc! {"$set": enrollment, "$unset": ended}
}

/// False when the stored version is another, or the person is in a call of another campaign.
async fn save_with_pending(store: &MongoStore, commit: Prepared) -> StoreResult<bool> {
    let mut update = commit.change;
    let events = events::number(store, &commit.events).await?;
    let pending = doc! {"call": commit.call, "events": events};
    let mut version = None;
    if let Ok(set) = update.get_document_mut("$set") {
        set.insert("pending", pending.clone());
        version = set.get("version").cloned();
    }
    let was = store
        .enrollments()
        .find_one_and_update(commit.before, update)
        .return_document(ReturnDocument::Before)
        .projection(doc! {"pending": 1})
        .await;
    let was = match was {
        Err(error) if is_taken(&error) => return Ok(false),
        was => was?,
    };
    let Some(was) = was else {
        return Ok(false);
    };
    let copied = async {
        if let Ok(left) = was.get_document("pending") {
            copy(store, left).await?;
        }
        copy(store, &pending).await?;
        forget(store, doc! {"_id": was.get("_id"), "version": version}).await
    };
    if let Err(reason) = copied.await {
        // Saved all the same: what is pending is copied by whoever comes by next.
        warn!(%reason, "a call and its events are saved but not yet in their lists");
    }
    Ok(true)
}

/// Brings a call and events to their collections, where they are not there yet.
async fn copy(store: &Server, pending: &Document) -> StoreResult<()> {
    if let Ok(call) = pending.get_document("call") {
        let older = doc! {"_id": call.get("_id"), "version": {"$lt": call.get("version")}};
        let copied = store.calls().replace_one(older, call).upsert(true).await;
        // A duplicate key: the call is there in this version or a later one.
        copied.map(drop).or_else(ignore_taken)?;
    }
    let events = pending.get_array("events").into_iter().flatten();
    let events: Vec<&Document> = events.filter_map(|event| event.as_document()).collect();
    if !events.is_empty() {
        let copied = store.events().insert_many(events).ordered(false).await;
        copied.map(drop).or_else(ignore_taken)?;
    }
    Ok(())
}

fn ignore_taken(error: Error) -> Result<(), Error> {
    if is_taken(&error) { Ok(()) } else { Err(error) }
}

async fn forget(store: &Server, copied: Document) -> StoreResult<()> {
    let update = doc! {"$unset": {"pending": ""}};
    store.enrollments().update_one(copied, update).await?;
    Ok(())
}

impl MongoStore {
    /// Completes commits of processes that ended half way.
    pub(super) async fn complete_commits(&self) -> StoreResult<()> {
        self.complete_half_commits(doc! {}).await
    }

    /// Completes half a commit of any enrollment among these; where there are transactions, no commit
    /// is ever half.
    pub(super) async fn complete_commits_of(&self, enrollments: Document) -> StoreResult<()> {
        if self.is_replicated {
            return Ok(());
        }
        self.complete_half_commits(enrollments).await
    }

    async fn complete_half_commits(&self, enrollments: Document) -> StoreResult<()> {
        let mut half_way = enrollments;
        half_way.insert("pending", doc! {"$exists": true});
        let mut left = self
            .enrollments()
            .find(half_way)
            .projection(doc! {"pending": 1, "version": 1})
            .await?;
        while let Some(enrollment) = left.try_next().await? {
            if let Ok(pending) = enrollment.get_document("pending") {
                copy(self, pending).await?;
            }
            let copied = doc! {"_id": enrollment.get("_id"), "version": enrollment.get("version")};
            forget(self, copied).await?;
        }
        Ok(())
    }
}
