//! Signals that were received.

use std::num::NonZeroU32;

use async_trait::async_trait;
use rusqlite::params;

use super::{SqliteStore, reads};
use crate::{
    domain::{Timestamp, ids::TenantId},
    store::{
        Inbox, InboxEntry, StoreResult,
        records::{self, InboxRecord},
    },
};

#[async_trait]
impl Inbox for SqliteStore {
    async fn receive(&self, entry: &InboxEntry) -> StoreResult<bool> {
        let record = InboxRecord(entry.clone());
        self.write(move |connection| {
            let n_added = connection
                .prepare_cached(
                    "INSERT INTO inbox (tenant, key, received_at, body) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    record.0.tenant.to_string(),
                    record.0.key,
                    record.0.received_at.as_millisecond(),
                    records::to_json(&record)
                ])?;
            Ok(n_added > 0)
        })
        .await
    }

    async fn settle(&self, tenant: TenantId, key: &str, now: Timestamp) -> StoreResult<()> {
        let key = key.to_owned();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE inbox SET settled_at = ?3
                     WHERE tenant = ?1 AND key = ?2 AND settled_at IS NULL",
                )?
                .execute(params![tenant.to_string(), key, now.as_millisecond()])?;
            Ok(())
        })
        .await
    }

    async fn unsettled(
        &self,
        tenant: TenantId,
        before: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<InboxEntry>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body, key FROM inbox
                 WHERE tenant = ?1 AND settled_at IS NULL AND received_at < ?2
                 ORDER BY received_at, rowid",
            )?;
            let rows = statement.query(params![tenant.to_string(), before.as_millisecond()])?;
            let found = reads::readable(rows, 1, limit, |row| {
                reads::body::<InboxRecord>("a received signal", row, 0)
            })?;
            Ok(found.into_iter().map(InboxEntry::from).collect())
        })
        .await
    }

    async fn forget_settled(&self, tenant: TenantId, before: Timestamp) -> StoreResult<()> {
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "DELETE FROM inbox
                     WHERE tenant = ?1 AND settled_at IS NOT NULL AND received_at < ?2",
                )?
                .execute(params![tenant.to_string(), before.as_millisecond()])?;
            Ok(())
        })
        .await
    }
}
