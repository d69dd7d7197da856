//! Signals that were received.

use std::num::NonZeroU32;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use super::{MongoStore, Server, documents, group::Job, is_taken};
use crate::{
    domain::{Timestamp, ids::TenantId},
    store::{Inbox, InboxEntry, StoreError, StoreResult, records::InboxRecord},
};

#[async_trait]
impl Inbox for MongoStore {
    async fn receive(&self, entry: &InboxEntry) -> StoreResult<bool> {
        let more = doc! {"_id": id(entry.tenant, &entry.key), "isSettled": false};
        let document = documents::write(&InboxRecord(entry.clone()), more)?;
        match self.collection("inbox").insert_one(document).await {
            Ok(_) => Ok(true),
            Err(error) if is_taken(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn settle(&self, tenant: TenantId, key: &str, now: Timestamp) -> StoreResult<()> {
        let id = id(tenant, key);
        self.settled.run(Settled { id, at: now }).await
    }

    async fn unsettled(
        &self,
        tenant: TenantId,
        before: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<InboxEntry>> {
        let found = self
            .collection("inbox")
            .find(received(tenant, false, before))
            .sort(doc! {"receivedAt": 1})
            .batch_size(limit.get())
            .await?;
        let records = documents::readable::<InboxRecord>(found, limit).await?;
        Ok(records.into_iter().map(InboxEntry::from).collect())
    }

    async fn forget_settled(&self, tenant: TenantId, before: Timestamp) -> StoreResult<()> {
        self.collection("inbox")
            .delete_many(received(tenant, true, before))
            .await?;
        Ok(())
    }
}

/// A signal that was processed.
pub struct Settled {
    id: String,
    at: Timestamp,
}

/// Marks signals as processed, as one request. It does not wait for the journal: a signal whose mark is
/// lost is processed again, which changes nothing.
pub(super) async fn settle_together(server: Server, jobs: Vec<Job<Settled, ()>>) {
    let updates: Vec<Document> = jobs
        .iter()
        .map(|Job { write, .. }| {
            let settled = doc! {"isSettled": true, "settledAt": write.at.as_millisecond()};
            doc! {"q": {"_id": &write.id, "isSettled": false}, "u": {"$set": settled}}
        })
        .collect();
    let command = doc! {
        "update": "inbox",
        "updates": updates,
        "ordered": false,
        "writeConcern": {"w": 1},
    };
    let answer = server.database.run_command(command).await;
    for job in jobs {
        job.answer(match &answer {
            Ok(answer) if !answer.contains_key("writeErrors") => Ok(()),
            Ok(answer) => Err(StoreError::Unavailable(answer.to_string().into())),
            Err(error) => Err(StoreError::Unavailable(error.to_string().into())),
        });
    }
}

fn id(tenant: TenantId, key: &str) -> String {
    format!("{tenant}/{key}")
}

fn received(tenant: TenantId, is_settled: bool, before: Timestamp) -> Document {
    doc! {
        "tenant": tenant.to_string(),
        "isSettled": is_settled,
        "receivedAt": {"$lt": before.as_millisecond()},
    }
}
