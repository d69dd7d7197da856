//! The logs of campaigns.

use std::{collections::BTreeMap, num::NonZeroU32};

use async_trait::async_trait;
use futures_util::{TryStreamExt, stream::BoxStream};
use mongodb::{
    bson::{Document, Timestamp as ServerTime, doc},
    options::{ReturnDocument, WriteConcern},
};

use super::{
    MongoStore, Server,
    documents::{self, to_bson},
    group::Job,
    watch,
};
use crate::{
    domain::{
        Timestamp,
        event::{Event, StoredEvent},
        ids::{AttemptId, CampaignId, TenantId},
    },
    store::{
        Events, StoreError, StoreResult,
        records::{EventRecord, unreadable},
    },
};

#[async_trait]
impl Events for MongoStore {
    async fn append_events(&self, events: &[Event]) -> StoreResult<()> {
        let documents = number(self, events).await?;
        if !documents.is_empty() {
            self.events().insert_many(documents).await?;
        }
        Ok(())
    }

    async fn events_after(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<StoredEvent>> {
        let filter = doc! {
            "campaign": campaign.to_string(),
            "tenant": tenant.to_string(),
            "seq": {"$gt": to_bson(after)},
        };
        self.read_events(filter, i64::from(limit.get())).await
    }

    async fn last_seq(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<u64> {
        let last = self
            .events()
            .find_one(doc! {"campaign": campaign.to_string(), "tenant": tenant.to_string()})
            .sort(doc! {"seq": -1})
            .projection(doc! {"seq": 1})
            .await?;
        Ok(last.map_or(0, |event| documents::count(&event, "seq")))
    }

    async fn call_events(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
    ) -> StoreResult<Vec<StoredEvent>> {
        let filter = doc! {"attempt": attempt.to_string(), "tenant": tenant.to_string()};
        self.read_events(filter, 0).await
    }

    async fn watch_events(&self) -> StoreResult<BoxStream<'static, StoredEvent>> {
        if self.is_replicated {
            watch::change_stream(self).await
        } else {
            watch::polling(self).await
        }
    }

    async fn check(&self) -> StoreResult<()> {
        self.collection("meta")
            .update_one(doc! {"_id": "pulse"}, doc! {"$inc": {"n": 1_i64}})
            .upsert(true)
            .await?;
        Ok(())
    }

    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        let hello = self.database.run_command(doc! {"hello": 1}).await?;
        let time = hello.get_datetime("localTime");
        let time = time.map_err(|error| unreadable("the server's time", error))?;
        let time = Timestamp::from_millisecond(time.timestamp_millis());
        time.map(Some)
            .map_err(|error| unreadable("the server's time", error))
    }
}

impl MongoStore {
    async fn read_events(&self, filter: Document, limit: i64) -> StoreResult<Vec<StoredEvent>> {
        let found: Vec<Document> = self
            .events()
            .find(filter)
            .sort(doc! {"seq": 1})
            .limit(limit)
            .await?
            .try_collect()
            .await?;
        found.into_iter().map(read).collect()
    }
}

/// The event that a document is.
pub fn read(document: Document) -> StoreResult<StoredEvent> {
    Ok(StoredEvent {
        seq: documents::count(&document, "seq"),
        event: documents::read::<EventRecord>(document)?.into(),
    })
}

/// Gives events their numbers in the log, and so their ids: writing one again adds nothing.
///
/// A reader that asks for events above the last it saw can miss one that was numbered earlier and
/// written later; who watches gets it.
pub async fn number(store: &MongoStore, events: &[Event]) -> StoreResult<Vec<Document>> {
    let mut documents = Vec::with_capacity(events.len());
    for events in events.chunk_by(|a, b| a.campaign == b.campaign) {
        let campaign = events[0].campaign;
        let wanted = Numbers {
            campaign,
            n: events.len() as i64,
        };
        let last = store.numbered.run(wanted).await?;
        let first = last - events.len() as i64 + 1;
        for (seq, event) in (first..).zip(events) {
            documents.push(write(event, seq)?);
        }
    }
    Ok(documents)
}

/// The next numbers in a campaign's log.
pub struct Numbers {
    campaign: CampaignId,
    n: i64,
}

/// Takes numbers for all who wait, with one request for each campaign; each gets the last of its own.
pub(super) async fn take_together(server: Server, jobs: Vec<Job<Numbers, i64>>) {
    let mut of_campaigns: BTreeMap<CampaignId, Vec<Job<Numbers, i64>>> = BTreeMap::new();
    for job in jobs {
        let of_campaign = of_campaigns.entry(job.write.campaign).or_default();
        of_campaign.push(job);
    }
    for (campaign, jobs) in of_campaigns {
        let n: i64 = jobs.iter().map(|job| job.write.n).sum();
        match reserve(&server, campaign, "lastSeq", n).await {
            Ok(last) => {
                let mut given = last - n;
                for job in jobs {
                    given += job.write.n;
                    job.answer(Ok(given));
                }
            }
            Err(error) => {
                let why = error.to_string();
                for job in jobs {
                    job.answer(Err(StoreError::Unavailable(why.clone().into())));
                }
            }
        }
    }
}

fn write(event: &Event, seq: i64) -> StoreResult<Document> {
    let mut document = documents::write(
        &EventRecord(event.clone()),
        doc! {
            "_id": format!("{}/{seq}", event.campaign),
            "seq": seq,
            // The server puts its own time in the place of an empty one.
            "insertedAt": ServerTime { time: 0, increment: 0 },
        },
    )?;
    if let Some(attempt) = event.kind.attempt() {
        document.insert("attempt", attempt.to_string());
    }
    Ok(document)
}

/// Takes the next `n` numbers of a campaign's counter; gives the last of them.
///
/// This need not be durable by itself: the server keeps the order of writes, so whatever is written
/// under a number is lost before the taking of that number is.
pub async fn reserve(
    store: &Server,
    campaign: CampaignId,
    counter: &str,
    n: i64,
) -> StoreResult<i64> {
    let reserved = store
        .collection("counters")
        .find_one_and_update(
            doc! {"_id": campaign.to_string()},
            doc! {"$inc": {counter: n}},
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .write_concern(WriteConcern::nodes(1))
        .await?;
    reserved
        .and_then(|document| document.get_i64(counter).ok())
        .ok_or_else(|| unreadable(campaign.to_string(), "its counter has no number"))
}
