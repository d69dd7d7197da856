//! Leases and what pacing needs. Claiming is in [`super::claims`].

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::{
    action::Action,
    bson::{Document, doc},
    options::ReturnDocument,
};

use super::{MongoStore, claims, documents, is_taken, progress};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus},
        enrollment::Enrollment,
        ids::{CampaignId, NodeId, PlaceKey, TenantId},
        pacing::Usage,
        rules::Rule,
    },
    store::{
        ClaimRequest, Dispatch, Fencing, StoreResult,
        records::{CampaignRecord, EnrollmentRecord, unreadable},
    },
};

#[async_trait]
impl Dispatch for MongoStore {
    async fn list_tenants(&self) -> StoreResult<Vec<TenantId>> {
        let found: Vec<Document> = self
            .collection("tenants")
            .find(doc! {})
            .sort(doc! {"_id": 1})
            .await?
            .try_collect()
            .await?;
        found.iter().map(|tenant| id(tenant, "_id")).collect()
    }

    async fn ensure_tenant(&self, tenant: TenantId) -> StoreResult<()> {
        let inserted = self
            .collection("tenants")
            .insert_one(doc! {"_id": tenant.to_string()})
            .await;
        match inserted {
            Err(error) if !is_taken(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn hold_lease(
        &self,
        tenant: TenantId,
        node: NodeId,
        ttl: Duration,
        now: Timestamp,
    ) -> StoreResult<Option<Fencing>> {
        hold(self, tenant, node, now + ttl, now).await
    }

    async fn lease_holder(&self, tenant: TenantId, now: Timestamp) -> StoreResult<Option<NodeId>> {
        let held = doc! {
            "_id": tenant.to_string(),
            "endsAt": {"$gt": now.as_millisecond()},
        };
        let lease = self.collection("leases").find_one(held).await?;
        lease.map(|lease| id(&lease, "node")).transpose()
    }

    async fn release_lease(&self, tenant: TenantId, node: NodeId) -> StoreResult<()> {
        let held = doc! {"_id": tenant.to_string(), "node": node.to_string()};
        let ended = doc! {"$set": {"endsAt": 0_i64}};
        self.collection("leases").update_one(held, ended).await?;
        Ok(())
    }

    async fn active_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        let oldest_start = doc! {"startedAt": 1, "_id": 1};
        in_status(self, tenant, &CampaignStatus::Active, oldest_start).await
    }

    async fn scheduled_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        let created_first = doc! {"createdAt": 1, "_id": 1};
        in_status(self, tenant, &CampaignStatus::Scheduled, created_first).await
    }

    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
        usage(self, tenant).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
        claims::claim(self, request).await
    }

    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> StoreResult<u64> {
        claims::end_all(self, tenant, campaign, now).await?;
        claims::release_held(self, tenant, campaign, rules, now).await
    }

    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        places: Option<&[PlaceKey]>,
    ) -> StoreResult<Option<Timestamp>> {
        let mut soonest = None;
        for waiting in claims::in_places(claims::waiting(tenant, campaign), places) {
            let next = self
                .enrollments()
                .find_one(waiting.clone())
                .optional(claims::hint(&waiting), |find, hint| find.hint(hint))
                .sort(doc! {"readyAt": 1, "order": 1})
                .projection(doc! {"readyAt": 1})
                .await?;
            let next = next.map(|next| progress::instant(&next, "readyAt"));
            soonest = [soonest, next.transpose()?].into_iter().flatten().min();
        }
        Ok(soonest)
    }

    async fn overdue(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<Enrollment>> {
        if !self.is_replicated {
            self.complete_commits().await?;
        }
        let overdue = doc! {
            "tenant": tenant.to_string(),
            "state.name": "open",
            "state.checkAt": {"$lte": now.as_millisecond()},
        };
        let found = self
            .enrollments()
            .find(overdue)
            .sort(doc! {"state.checkAt": 1})
            .batch_size(limit.get())
            .await?;
        let records = documents::readable::<EnrollmentRecord>(found, limit).await?;
        Ok(records.into_iter().map(Enrollment::from).collect())
    }
}

async fn in_status(
    store: &MongoStore,
    tenant: TenantId,
    status: &CampaignStatus,
    order: Document,
) -> StoreResult<Vec<Campaign>> {
    let matches = doc! {
        "tenant": tenant.to_string(),
        "status.name": status.name(),
        "isDeleted": false,
    };
    let found = store.campaigns().find(matches).sort(order).await?;
    let records = documents::read_all::<CampaignRecord>(found).await?;
    Ok(records.into_iter().map(Campaign::from).collect())
}

/// One operation decides: it finds the lease free, run out or held by `node`, or else it tries to
/// add a second one for the tenant and is refused.
async fn hold(
    store: &MongoStore,
    tenant: TenantId,
    node: NodeId,
    until: Timestamp,
    now: Timestamp,
) -> StoreResult<Option<Fencing>> {
    let (node, now) = (node.to_string(), now.as_millisecond());
    let available = doc! {
        "_id": tenant.to_string(),
        "$or": [{"endsAt": {"$lte": now}}, {"node": &node}],
    };
    let next = doc! {"$add": [{"$ifNull": ["$fencing", 0_i64]}, 1_i64]};
    let has_run_out = doc! {"$lte": [{"$ifNull": ["$endsAt", 0_i64]}, now]};
    let taken = doc! {"$set": {
        "fencing": {"$cond": [has_run_out, next, "$fencing"]},
        "node": {"$literal": &node},
        "endsAt": until.as_millisecond(),
    }};
    let lease = store
        .collection("leases")
        .find_one_and_update(available, vec![taken])
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await;
    match lease {
        Ok(lease) => Ok(lease.map(|lease| Fencing(documents::count(&lease, "fencing")))),
        Err(error) if is_taken(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn usage(store: &MongoStore, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
    let tenant = tenant.to_string();
    let calls = store.calls();
    let open = calls.aggregate([
        doc! {"$match": {"tenant": &tenant, "isOpen": true}},
        doc! {"$group": {"_id": "$campaign", "n": {"$sum": 1}}},
    ]);
    // The latest of each campaign is the first of its run in the index: the rest is skipped.
    let latest = calls.aggregate([
        doc! {"$match": {"tenant": &tenant}},
        doc! {"$sort": {"tenant": 1, "campaign": 1, "attempt.dialAt": -1, "_id": -1}},
        doc! {"$group": {"_id": "$campaign", "last": {"$first": "$attempt.dialAt"}}},
    ]);
    let open = async { open.await?.try_collect::<Vec<Document>>().await };
    let latest = async { latest.await?.try_collect::<Vec<Document>>().await };
    let (open, latest) = tokio::try_join!(open, latest)?;
    let mut by_campaign = BTreeMap::new();
    for group in latest {
        let usage = Usage {
            n_open: 0,
            last_start: Some(progress::instant(&group, "last")?),
        };
        by_campaign.insert(id(&group, "_id")?, usage);
    }
    for group in open {
        let usage: &mut Usage = by_campaign.entry(id(&group, "_id")?).or_default();
        usage.n_open = u32::try_from(documents::count(&group, "n")).unwrap_or(u32::MAX);
    }
    Ok(by_campaign)
}

/// The identifier that a field holds.
pub fn id<I>(document: &Document, field: &str) -> StoreResult<I>
where
    I: std::str::FromStr<Err = crate::domain::ids::IdError>,
{
    let text = document.get_str(field).unwrap_or_default();
    text.parse().map_err(|error| unreadable(text, error))
}
