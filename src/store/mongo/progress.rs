//! The figures of a campaign, counted from indexes alone.

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{MongoStore, documents};
use crate::{
    domain::{
        Timestamp,
        enrollment::Progress,
        ids::{CampaignId, TenantId},
    },
    store::{
        Dispatch, StoreResult,
        records::{Bucket, unreadable},
    },
};

/// Counts a campaign's enrollments and attempts.
pub async fn count(
    store: &MongoStore,
    tenant: TenantId,
    campaign: CampaignId,
) -> StoreResult<Progress> {
    let id = campaign.to_string();
    // The counts below are by campaign alone, because the indexes that carry them are.
    let owned = doc! {"_id": &id, "tenant": tenant.to_string()};
    if store.campaigns().find_one(owned).await?.is_none() {
        return Ok(Progress::default());
    }
    let enrollments = store.enrollments();
    let by_bucket = enrollments.aggregate([
        doc! {"$match": {"campaign": &id}},
        doc! {"$group": {"_id": "$bucket", "n": {"$sum": 1}}},
    ]);
    let calls = store.calls();
    let by_state = calls.aggregate([
        doc! {"$match": {"campaign": &id}},
        doc! {"$group": {
            "_id": {"state": "$attempt.state.name", "hasSid": "$hasSid"},
            "n": {"$sum": 1},
        }},
    ]);
    let counted = async { by_bucket.await?.try_collect::<Vec<Document>>().await };
    let called = async { by_state.await?.try_collect::<Vec<Document>>().await };
    let (buckets, calls, next_due_at) =
        tokio::join!(counted, called, store.next_due(tenant, campaign, None));
    let mut progress = Progress {
        next_due_at: next_due_at?,
        ..Progress::default()
    };
    for group in buckets? {
        add_bucket(&group, &mut progress)?;
    }
    for group in calls? {
        add_calls(&group, &mut progress);
    }
    Ok(progress)
}

fn add_bucket(group: &Document, progress: &mut Progress) -> StoreResult<()> {
    let name = group.get_str("_id").unwrap_or_default();
    let bucket = Bucket::from_name(name)
        .ok_or_else(|| unreadable("an enrollment", format!("there is no bucket {name:?}")))?;
    bucket.add_to(progress, documents::count(group, "n"));
    Ok(())
}

fn add_calls(group: &Document, progress: &mut Progress) {
    let n = documents::count(group, "n");
    let Ok(key) = group.get_document("_id") else {
        return;
    };
    if key.get_bool("hasSid").unwrap_or_default() {
        Bucket::Calls.add_to(progress, n);
    }
    if key.get_str("state").is_ok_and(|state| state == "connected") {
        Bucket::Connected.add_to(progress, n);
    }
}

/// The instant that a field holds.
pub fn instant(document: &Document, field: &str) -> StoreResult<Timestamp> {
    let millis = document
        .get_i64(field)
        .map_err(|error| unreadable("a time", error))?;
    Timestamp::from_millisecond(millis).map_err(|error| unreadable("a time", error))
}
