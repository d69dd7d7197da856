//! Signals that were received.

use std::{collections::BTreeMap, num::NonZeroU32};

use async_trait::async_trait;

use super::{MemoryStore, to_millisecond, to_whole_milliseconds};
use crate::{
    domain::{
        Timestamp,
        ids::{AttemptId, TenantId},
        signal::{Signal, SignalKind},
    },
    store::{self, InboxEntry, StoreResult},
};

/// All signals by key, and those that are not processed in the order of receiving.
#[derive(Default)]
pub struct Inbox {
    by_key: BTreeMap<(TenantId, String), Kept>,
    unsettled: BTreeMap<(TenantId, Timestamp, u64), InboxEntry>,
    n_received: u64,
}

struct Kept {
    received_at: Timestamp,
    number: u64,
    is_settled: bool,
}

impl Inbox {
    /// Leaves of the signals of these attempts what may stay. Processed ones are not kept here.
    pub fn erase(&mut self, tenant: TenantId, attempts: &[AttemptId]) {
        for entry in self.unsettled.values_mut() {
            if entry.tenant == tenant && attempts.contains(&entry.attempt) {
                entry.signal = entry.signal.erased();
            }
        }
    }
}

/// The signal with its times as the other stores keep them.
fn kept_as(entry: &InboxEntry) -> InboxEntry {
    let Signal { sid, at, mut kind } = entry.signal.clone();
    if let SignalKind::Over {
        duration: Some(duration),
        ..
    } = &mut kind
    {
        *duration = to_whole_milliseconds(*duration);
    }
    let at = to_millisecond(at);
    InboxEntry {
        received_at: to_millisecond(entry.received_at),
        signal: Signal { sid, at, kind },
        ..entry.clone()
    }
}

#[async_trait]
impl store::Inbox for MemoryStore {
    async fn receive(&self, entry: &InboxEntry) -> StoreResult<bool> {
        let inbox = &mut self.records().inbox;
        let key = (entry.tenant, entry.key.clone());
        if inbox.by_key.contains_key(&key) {
            return Ok(false);
        }
        inbox.n_received += 1;
        let number = inbox.n_received;
        let kept = Kept {
            received_at: entry.received_at,
            number,
            is_settled: false,
        };
        inbox.by_key.insert(key, kept);
        inbox
            .unsettled
            .insert((entry.tenant, entry.received_at, number), kept_as(entry));
        Ok(true)
    }

    async fn settle(&self, tenant: TenantId, key: &str, _now: Timestamp) -> StoreResult<()> {
        let inbox = &mut self.records().inbox;
        if let Some(kept) = inbox.by_key.get_mut(&(tenant, key.to_owned())) {
            kept.is_settled = true;
            inbox
                .unsettled
                .remove(&(tenant, kept.received_at, kept.number));
        }
        Ok(())
    }

    async fn unsettled(
        &self,
        tenant: TenantId,
        before: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<InboxEntry>> {
        let records = self.records();
        let waiting = (tenant, Timestamp::MIN, 0)..(tenant, before, 0);
        let found = records.inbox.unsettled.range(waiting);
        Ok(found
            .take(limit.get() as usize)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn forget_settled(&self, tenant: TenantId, before: Timestamp) -> StoreResult<()> {
        self.records().inbox.by_key.retain(|(owner, _), kept| {
            *owner != tenant || !kept.is_settled || kept.received_at >= before
        });
        Ok(())
    }
}
