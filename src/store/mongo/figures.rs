//! Figures and facts that policies go by. What is counted is counted from indexes alone.

use std::{collections::BTreeMap, num::NonZeroU32};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Document, doc},
};

use super::{MongoStore, claims, documents, progress};
use crate::{
    domain::{
        Timestamp,
        enrollment::CallRecord,
        ids::{CampaignId, PlaceKey, TenantId},
        phone::PhoneNumber,
        rules::Rule,
    },
    store::{
        CallTotals, CallerUsage, Figures, StoreResult, WaitingGroup,
        records::{self, Bucket, CallDocument, unreadable},
    },
};

#[async_trait]
impl Figures for MongoStore {
    async fn places(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<Vec<PlaceKey>> {
        let one = owned(tenant, campaign);
        let found = self
            .campaigns()
            .find_one(one)
            .projection(doc! {"places": 1})
            .await?
            .unwrap_or_default();
        let places = found.get_array("places").into_iter().flatten();
        let mut places: Vec<PlaceKey> = places
            .filter_map(|place| place.as_str().map(PlaceKey::new))
            .collect();
        places.sort_unstable();
        Ok(places)
    }

    async fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        now: Timestamp,
    ) -> StoreResult<Vec<WaitingGroup>> {
        if !is_owned(self, tenant, campaign).await? {
            return Ok(Vec::new());
        }
        let mut waiting = claims::waiting(tenant, campaign);
        waiting.remove("tenant");
        let is_due = doc! {"$lte": ["$readyAt", now.as_millisecond()]};
        let groups = aggregate(
            self.enrollments(),
            vec![
                doc! {"$match": waiting},
                doc! {"$group": {
                    "_id": {
                        "place": "$place", "heldBy": "$state.heldBy", "bucket": "$bucket",
                    },
                    "n": {"$sum": 1},
                    "nDue": {"$sum": {"$cond": [&is_due, 1, 0]}},
                    "nextDueAt": {"$min": {"$cond": [&is_due, null, "$readyAt"]}},
                }},
                doc! {"$sort": {"_id": 1}},
            ],
        )
        .await?;
        groups.iter().map(waiting_group).collect()
    }

    async fn finished_by_rule(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<BTreeMap<Rule, u64>> {
        if !is_owned(self, tenant, campaign).await? {
            return Ok(BTreeMap::new());
        }
        let ended = doc! {"campaign": campaign.to_string(), "state.byRule": {"$gt": ""}};
        let groups = aggregate(
            self.enrollments(),
            vec![
                doc! {"$match": ended},
                doc! {"$group": {"_id": "$state.byRule", "n": {"$sum": 1}}},
            ],
        )
        .await?;
        let counted = groups.into_iter().map(|group| {
            let rule = records::rule(group.get_str("_id").unwrap_or_default())?;
            Ok((rule, documents::count(&group, "n")))
        });
        counted.collect()
    }

    async fn call_totals(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        since: Timestamp,
    ) -> StoreResult<CallTotals> {
        let counted = doc! {
            "tenant": tenant.to_string(),
            "campaign": campaign.to_string(),
            "attempt.dialAt": {"$gte": since.as_millisecond()},
            "counts.minutes": {"$gte": 0},
        };
        let sums = aggregate(
            self.calls(),
            vec![
                doc! {"$match": counted},
                doc! {"$group": {
                    "_id": null,
                    "calls": {"$sum": 1},
                    "answered": {"$sum": "$counts.answered"},
                    "abandoned": {"$sum": "$counts.abandoned"},
                    "silent": {"$sum": "$counts.silent"},
                    "minutes": {"$sum": "$counts.minutes"},
                }},
            ],
        )
        .await?;
        let sums = sums.into_iter().next().unwrap_or_default();
        Ok(CallTotals {
            n_calls: documents::count(&sums, "calls"),
            n_answered: documents::count(&sums, "answered"),
            n_abandoned: documents::count(&sums, "abandoned"),
            n_silent: documents::count(&sums, "silent"),
            billed_minutes: documents::count(&sums, "minutes"),
        })
    }

    async fn recent_calls(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<CallRecord>> {
        let over = doc! {
            "tenant": tenant.to_string(),
            "campaign": campaign.to_string(),
            "isOpen": false,
        };
        latest_first(self, over, limit.get()).await
    }

    async fn caller_usage(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> StoreResult<BTreeMap<PhoneNumber, CallerUsage>> {
        let started = doc! {
            "tenant": tenant.to_string(),
            "attempt.dialAt": {"$gte": since.as_millisecond()},
            "isReleased": false,
        };
        let groups = aggregate(
            self.calls(),
            vec![
                doc! {"$match": started},
                doc! {"$group": {
                    "_id": "$attempt.from",
                    "n": {"$sum": 1},
                    "last": {"$max": "$attempt.dialAt"},
                }},
            ],
        )
        .await?;
        groups.iter().map(caller_usage).collect()
    }

    async fn attempts_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
        since: Timestamp,
    ) -> StoreResult<Vec<CallRecord>> {
        self.complete_commits_to(tenant, to).await?;
        let started = doc! {
            "tenant": tenant.to_string(),
            "attempt.to": to.as_str(),
            "attempt.dialAt": {"$gte": since.as_millisecond()},
            "isReleased": false,
        };
        latest_first(self, started, 0).await
    }

    async fn open_calls_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> StoreResult<Vec<CallRecord>> {
        self.complete_commits_to(tenant, to).await?;
        let open = doc! {
            "tenant": tenant.to_string(),
            "attempt.to": to.as_str(),
            "isOpen": true,
        };
        latest_first(self, open, 0).await
    }
}

impl MongoStore {
    /// Who asks about one person's calls must see those of a commit that is half way too.
    async fn complete_commits_to(&self, tenant: TenantId, to: &PhoneNumber) -> StoreResult<()> {
        let enrollments = doc! {
            "tenant": tenant.to_string(),
            "pending.call.attempt.to": to.as_str(),
        };
        self.complete_commits_of(enrollments).await
    }
}

/// The campaign, even if it is deleted.
fn owned(tenant: TenantId, campaign: CampaignId) -> Document {
    doc! {"_id": campaign.to_string(), "tenant": tenant.to_string()}
}

/// Asked before counting by campaign alone, because the indexes that carry the counts are.
async fn is_owned(store: &MongoStore, tenant: TenantId, campaign: CampaignId) -> StoreResult<bool> {
    let one = owned(tenant, campaign);
    Ok(store.campaigns().find_one(one).await?.is_some())
}

async fn aggregate(
    collection: Collection<Document>,
    pipeline: Vec<Document>,
) -> StoreResult<Vec<Document>> {
    Ok(collection.aggregate(pipeline).await?.try_collect().await?)
}

async fn latest_first(
    store: &MongoStore,
    calls: Document,
    limit: u32,
) -> StoreResult<Vec<CallRecord>> {
    let found = store
        .calls()
        .find(calls)
        .sort(doc! {"attempt.dialAt": -1, "_id": -1})
        .limit(i64::from(limit))
        .await?;
    let records = documents::read_all::<CallDocument>(found).await?;
    Ok(records.into_iter().map(CallRecord::from).collect())
}

fn waiting_group(group: &Document) -> StoreResult<WaitingGroup> {
    let damaged = |error| unreadable("an enrollment", error);
    let key = group.get_document("_id").map_err(damaged)?;
    let held_by = key.get_str("heldBy").ok().map(records::rule);
    let bucket = key.get_str("bucket").unwrap_or_default();
    let next_due_at = group.get_i64("nextDueAt").is_ok();
    Ok(WaitingGroup {
        place: PlaceKey::new(key.get_str("place").map_err(damaged)?),
        held_by: held_by.transpose()?,
        tried: Bucket::from_name(bucket) == Some(Bucket::Retrying),
        n: documents::count(group, "n"),
        n_due: documents::count(group, "nDue"),
        next_due_at: next_due_at
            .then(|| progress::instant(group, "nextDueAt"))
            .transpose()?,
    })
}

fn caller_usage(group: &Document) -> StoreResult<(PhoneNumber, CallerUsage)> {
    let phone = group.get_str("_id").unwrap_or_default();
    let phone = phone.parse().map_err(|error| unreadable("a call", error));
    let usage = CallerUsage {
        n: u32::try_from(documents::count(group, "n")).unwrap_or(u32::MAX),
        last_start: progress::instant(group, "last")?,
    };
    Ok((phone?, usage))
}
