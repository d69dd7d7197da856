//! The logs of campaigns, and watching them.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::watch;

use super::{MemoryStore, Records, lock};
use crate::{
    domain::{
        Timestamp,
        event::{Event, StoredEvent},
        ids::{AttemptId, CampaignId, TenantId},
    },
    store::{self, StoreResult},
};

/// How many events a watcher takes at once.
const WATCH_BATCH: usize = 1000;

/// All events in the order of adding, and where those of each campaign are.
#[derive(Default)]
pub struct Log {
    events: Vec<StoredEvent>,
    by_campaign: BTreeMap<CampaignId, Vec<usize>>,
}

impl Log {
    /// Adds events at the end of their campaigns' logs.
    pub fn append(&mut self, events: &[Event]) {
        for event in events {
            let places = self.by_campaign.entry(event.campaign).or_default();
            places.push(self.events.len());
            self.events.push(StoredEvent {
                seq: places.len() as u64,
                event: event.clone(),
            });
        }
    }

    /// Puts events in the place of those with the same number.
    pub fn replace(&mut self, events: &[StoredEvent]) {
        for stored in events {
            let places = self.by_campaign.get(&stored.event.campaign);
            let n_before = stored.seq.saturating_sub(1);
            let place = usize::try_from(n_before).ok().and_then(|n| places?.get(n));
            if let Some(place) = place
                && self.events[*place].event.tenant == stored.event.tenant
            {
                self.events[*place] = stored.clone();
            }
        }
    }

    /// A campaign's events from the one behind number `after` on. They are numbered from one.
    fn of(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
    ) -> impl DoubleEndedIterator<Item = &StoredEvent> {
        let after = usize::try_from(after).unwrap_or(usize::MAX);
        let places = self.by_campaign.get(&campaign);
        places
            .and_then(|places| places.get(after..))
            .unwrap_or_default()
            .iter()
            .map(|place| &self.events[*place])
            .filter(move |stored| stored.event.tenant == tenant)
    }
}

#[async_trait]
impl store::Events for MemoryStore {
    async fn append_events(&self, events: &[Event]) -> StoreResult<()> {
        self.records().log.append(events);
        self.logged.send_replace(());
        Ok(())
    }

    async fn events_after(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<StoredEvent>> {
        let records = self.records();
        let later = records.log.of(tenant, campaign, after);
        Ok(later.take(limit.get() as usize).cloned().collect())
    }

    async fn last_seq(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<u64> {
        let records = self.records();
        let last = records.log.of(tenant, campaign, 0).next_back();
        Ok(last.map_or(0, |stored| stored.seq))
    }

    async fn call_events(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
    ) -> StoreResult<Vec<StoredEvent>> {
        let records = self.records();
        Ok(records
            .log
            .events
            .iter()
            .filter(|stored| {
                stored.event.tenant == tenant && stored.event.kind.attempt() == Some(attempt)
            })
            .cloned()
            .collect())
    }

    async fn watch_events(&self) -> StoreResult<BoxStream<'static, StoredEvent>> {
        let watcher = Watcher {
            place: self.records().log.events.len(),
            records: self.records.clone(),
            logged: self.logged.subscribe(),
            ready: VecDeque::new(),
        };
        Ok(stream::unfold(watcher, Watcher::next).boxed())
    }

    async fn check(&self) -> StoreResult<()> {
        Ok(())
    }

    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        Ok(None)
    }
}

/// Follows all logs from a place on, until the store is dropped.
struct Watcher {
    records: Arc<Mutex<Records>>,
    logged: watch::Receiver<()>,
    place: usize,
    ready: VecDeque<StoredEvent>,
}

impl Watcher {
    async fn next(mut self) -> Option<(StoredEvent, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            self.logged.mark_unchanged();
            self.read_on();
            if self.ready.is_empty() && self.logged.changed().await.is_err() {
                return None;
            }
        }
    }

    fn read_on(&mut self) {
        let records = lock(&self.records);
        let later = records.log.events[self.place..].iter();
        self.ready.extend(later.take(WATCH_BATCH).cloned());
        self.place += self.ready.len();
    }
}
