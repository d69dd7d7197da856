//! Claiming enrollments.
//!
//! Claims go by a token: of two claimers that chose the same enrollment, the server lets one put its
//! token there. What was true before is checked once more after, so that nothing is claimed for a
//! campaign that was paused, under a lease that was lost, or of a person whom another campaign
//! reached for meanwhile. Of two that did so at the same moment, each puts its token before it
//! looks, so at least one of them sees the other and steps back.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt};
use mongodb::bson::{Document, doc, oid::ObjectId};

use super::{
    MongoStore, campaigns,
    documents::{self, to_bson},
};
use crate::{
    domain::{
        campaign::CampaignStatus,
        enrollment::Enrollment,
        ids::{CampaignId, TenantId},
    },
    store::{
        ClaimRequest, StoreError, StoreResult,
        records::{EnrollmentRecord, unreadable},
    },
};

/// A campaign's enrollments that wait.
pub fn waiting(tenant: TenantId, campaign: CampaignId) -> Document {
    doc! {
        "campaign": campaign.to_string(),
        "tenant": tenant.to_string(),
        "state.name": "waiting",
    }
}

/// Claims what is due, as [`crate::store::Dispatch::claim_due`] says.
pub async fn claim(store: &MongoStore, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
    check_lease(store, request).await?;
    if !is_active(store, request).await? {
        return Ok(Vec::new());
    }
    let ids = find_claimable(store, request).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let token = ObjectId::new();
    put_token(store, request, &ids, token).await?;
    let mine = doc! {"_id": {"$in": &ids}, "claim": token};
    let found = store.enrollments().find(mine.clone()).await?;
    let mut claimed = documents::read_all::<EnrollmentRecord>(found).await?;

    let lease = check_lease(store, request).await;
    if lease.is_err() || !is_active(store, request).await? {
        give_back(store, mine).await?;
        return lease.map(|()| Vec::new());
    }
    step_back(store, request, token, &mut claimed).await?;
    let place = |record: &EnrollmentRecord| {
        let id = record.0.id.to_string();
        ids.iter().position(|due| *due == id)
    };
    claimed.sort_by_cached_key(place);
    Ok(claimed.into_iter().map(Enrollment::from).collect())
}

async fn check_lease(store: &MongoStore, request: &ClaimRequest) -> StoreResult<()> {
    let held = doc! {
        "_id": request.tenant.to_string(),
        "node": request.node.to_string(),
        "fencing": to_bson(request.fencing.0),
        "endsAt": {"$gt": request.now.as_millisecond()},
    };
    match store.collection("leases").find_one(held).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::LeaseLost {
            tenant: request.tenant,
        }),
    }
}

async fn is_active(store: &MongoStore, request: &ClaimRequest) -> StoreResult<bool> {
    let mut active = campaigns::one(request.tenant, request.campaign);
    active.insert("status.name", CampaignStatus::Active.name());
    Ok(store.campaigns().find_one(active).await?.is_some())
}

/// The campaign's enrollments that are due.
fn due(request: &ClaimRequest) -> Document {
    let mut due = waiting(request.tenant, request.campaign);
    due.insert("readyAt", doc! {"$lte": request.now.as_millisecond()});
    due
}

/// The ids of those that are due and whose person is free, soonest first.
async fn find_claimable(store: &MongoStore, request: &ClaimRequest) -> StoreResult<Vec<String>> {
    let n_wanted = request.limit.get() as usize;
    let mut cursor = store
        .enrollments()
        .find(due(request))
        .sort(doc! {"readyAt": 1, "order": 1})
        .projection(doc! {"contact": 1})
        .batch_size(request.limit.get())
        .await?;
    let mut claimable = Vec::new();
    while claimable.len() < n_wanted {
        let next = cursor.by_ref().take(n_wanted - claimable.len());
        let next: Vec<Document> = next.try_collect().await?;
        if next.is_empty() {
            break;
        }
        let contacts = texts(&next, "contact")?;
        let busy = busy_contacts(store, request, &contacts, None).await?;
        let free = texts(&next, "_id")?.into_iter().zip(contacts);
        claimable.extend(
            free.filter(|(_, contact)| !busy.contains(contact))
                .map(|(id, _)| id),
        );
    }
    Ok(claimable)
}

fn texts(enrollments: &[Document], field: &str) -> StoreResult<Vec<String>> {
    let texts = enrollments
        .iter()
        .map(|it| it.get_str(field).map(str::to_owned));
    texts
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable("an enrollment", error))
}

/// Which of these people are in a live claim, but for the one of token `mine`, or in a call.
///
/// The claims are read first, because a claim becomes a call: one that is no longer seen as the
/// first is seen as the second.
async fn busy_contacts(
    store: &MongoStore,
    request: &ClaimRequest,
    contacts: &[String],
    mine: Option<ObjectId>,
) -> StoreResult<HashSet<String>> {
    let of_these = doc! {"tenant": request.tenant.to_string(), "contact": {"$in": contacts}};
    let mut claimed = of_these.clone();
    claimed.insert("claim", doc! {"$exists": true, "$ne": mine});
    claimed.insert("readyAt", doc! {"$gt": request.now.as_millisecond()});
    let mut open = of_these;
    open.insert("state.name", "open");
    let mut busy = HashSet::new();
    for enrollments in [claimed, open] {
        let found: Vec<Document> = store
            .enrollments()
            .find(enrollments)
            .projection(doc! {"contact": 1})
            .await?
            .try_collect()
            .await?;
        busy.extend(texts(&found, "contact")?);
    }
    Ok(busy)
}

async fn put_token(
    store: &MongoStore,
    request: &ClaimRequest,
    ids: &[String],
    token: ObjectId,
) -> StoreResult<()> {
    let mut free = due(request);
    free.insert("_id", doc! {"$in": ids});
    let claim_end = (request.now + request.lease).as_millisecond();
    let update = doc! {
        "$set": {"claim": token, "readyAt": claim_end},
        "$inc": {"version": 1_i64},
    };
    store.enrollments().update_many(free, update).await?;
    Ok(())
}

/// Gives back those of the claimed whom another campaign reached for meanwhile.
async fn step_back(
    store: &MongoStore,
    request: &ClaimRequest,
    token: ObjectId,
    claimed: &mut Vec<EnrollmentRecord>,
) -> StoreResult<()> {
    let contacts: Vec<String> = claimed.iter().map(|it| it.0.contact.to_string()).collect();
    let busy = busy_contacts(store, request, &contacts, Some(token)).await?;
    if busy.is_empty() {
        return Ok(());
    }
    let is_busy = |record: &mut EnrollmentRecord| busy.contains(&record.0.contact.to_string());
    let given_back: Vec<String> = claimed
        .extract_if(.., is_busy)
        .map(|record| record.0.id.to_string())
        .collect();
    give_back(store, doc! {"_id": {"$in": given_back}, "claim": token}).await
}

/// Ends claims at once; their versions stay raised, because versions only rise.
async fn give_back(store: &MongoStore, mine: Document) -> StoreResult<()> {
    let undo = vec![
        doc! {"$set": {"readyAt": "$state.dueAt"}},
        doc! {"$unset": "claim"},
    ];
    store.enrollments().update_many(mine, undo).await?;
    Ok(())
}
