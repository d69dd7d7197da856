//! Signals that were received.

use std::num::NonZeroU32;

use async_trait::async_trait;
use mongodb::bson::doc;

use super::{MongoStore, documents, is_taken};
use crate::{
    domain::{Timestamp, ids::TenantId},
    store::{Inbox, InboxEntry, StoreResult, records::InboxRecord},
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
        let unsettled = doc! {"_id": id(tenant, key), "isSettled": false};
        let settled = doc! {"$set": {"isSettled": true, "settledAt": now.as_millisecond()}};
        self.collection("inbox")
            .update_one(unsettled, settled)
            .await?;
        Ok(())
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

fn id(tenant: TenantId, key: &str) -> String {
    format!("{tenant}/{key}")
}

fn received(tenant: TenantId, is_settled: bool, before: Timestamp) -> mongodb::bson::Document {
    doc! {
        "tenant": tenant.to_string(),
        "isSettled": is_settled,
        "receivedAt": {"$lt": before.as_millisecond()},
    }
}
