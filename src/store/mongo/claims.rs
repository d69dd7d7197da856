//! Claiming enrollments.
//!
//! Claims go by a token: of two claimers that chose the same enrollment, the server lets one put its
//! token there. What was true before is checked once more after, so that nothing is claimed for a
//! campaign that was paused, under a lease that was lost, or of a person whom another campaign
//! reached for meanwhile. Of two that did so at the same moment, each puts its token before it
//! looks, so at least one of them sees the other and steps back.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt};
use mongodb::{
    action::Action,
    bson::{Document, doc, oid::ObjectId},
    options::Hint,
};

use super::{
    MongoStore, campaigns,
    documents::{self, to_bson},
};
use crate::{
    domain::{
        Timestamp,
        campaign::CampaignStatus,
        enrollment::Enrollment,
        ids::{CampaignId, PlaceKey, TenantId},
        rules::Rule,
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

/// Sorted ranges of an index that the server merges at once. With more than 200 it would read all that
/// is due and sort it.
const MAX_PLACES: usize = 100;

/// The filters that together find what `enrollments` finds at `places`, or everywhere.
pub fn in_places(enrollments: Document, places: Option<&[PlaceKey]>) -> Vec<Document> {
    let Some(places) = places else {
        return vec![enrollments];
    };
    let some = places.chunks(MAX_PLACES).map(|places| {
        let mut there = enrollments.clone();
        let places: Vec<&str> = places.iter().map(PlaceKey::as_str).collect();
        there.insert("place", doc! {"$in": places});
        there
    });
    some.collect()
}

/// The keys of the index for those that wait at a place, sorted as they are claimed. What comes after
/// `order` is there for counting them without reading them.
pub fn by_place() -> Document {
    doc! {
        "campaign": 1, "place": 1, "readyAt": 1, "order": 1,
        "bucket": 1, "state.heldBy": 1, "state.name": 1,
    }
}

/// The index to use: by itself the server may walk through all that is due to find a few at a place.
pub fn hint(enrollments: &Document) -> Option<Hint> {
    let is_placed = enrollments.contains_key("place");
    is_placed.then(|| Hint::Keys(by_place()))
}

/// Claims what is due, as [`crate::store::Dispatch::claim_due`] says.
pub async fn claim(store: &MongoStore, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
    check_lease(store, request).await?;
    if !is_active(store, request).await? {
        return Ok(Vec::new());
    }
    let ids = find_soonest(store, request).await?;
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
    let turn = |record: &EnrollmentRecord| {
        let id = record.0.id.to_string();
        ids.iter().position(|due| *due == id)
    };
    claimed.sort_by_cached_key(turn);
    Ok(claimed.into_iter().map(Enrollment::from).collect())
}

/// Ends every live claim of a campaign; versions stay raised, so what is decided on one is refused.
pub async fn end_all(
    store: &MongoStore,
    tenant: TenantId,
    campaign: CampaignId,
    now: Timestamp,
) -> StoreResult<()> {
    let mut claimed = waiting(tenant, campaign);
    claimed.insert("claim", doc! {"$exists": true});
    claimed.insert("readyAt", doc! {"$gt": now.as_millisecond()});
    let ended = vec![
        doc! {"$set": {"readyAt": "$state.dueAt", "version": {"$add": ["$version", 1_i64]}}},
        doc! {"$unset": "claim"},
    ];
    store.enrollments().update_many(claimed, ended).await?;
    Ok(())
}

/// Makes those due whom one of `rules` put off; says how many.
pub async fn release_held(
    store: &MongoStore,
    tenant: TenantId,
    campaign: CampaignId,
    rules: &[Rule],
    now: Timestamp,
) -> StoreResult<u64> {
    let rules: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    let now = now.as_millisecond();
    let mut held = waiting(tenant, campaign);
    held.insert("claim", doc! {"$exists": false});
    held.insert("readyAt", doc! {"$gt": now});
    held.insert("state.heldBy", doc! {"$in": rules});
    let due = doc! {
        "$set": {"state.dueAt": now, "readyAt": now},
        "$inc": {"version": 1_i64},
    };
    let released = store.enrollments().update_many(held, due).await?;
    Ok(released.modified_count)
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
async fn find_soonest(store: &MongoStore, request: &ClaimRequest) -> StoreResult<Vec<String>> {
    let mut soonest = Vec::new();
    for due in in_places(due(request), request.places.as_deref()) {
        soonest.extend(find_claimable(store, request, due).await?);
    }
    soonest.sort_unstable();
    soonest.truncate(request.limit.get() as usize);
    Ok(soonest.into_iter().map(|(_, id)| id).collect())
}

/// What comes first: the time at which it may be claimed, then the order of adding.
type Turn = (i64, i64);

/// The soonest that one filter finds, each with its turn.
async fn find_claimable(
    store: &MongoStore,
    request: &ClaimRequest,
    due: Document,
) -> StoreResult<Vec<(Turn, String)>> {
    let n_wanted = request.limit.get() as usize;
    let mut cursor = store
        .enrollments()
        .find(due.clone())
        .optional(hint(&due), |find, hint| find.hint(hint))
        .sort(doc! {"readyAt": 1, "order": 1})
        .projection(doc! {"contact": 1, "readyAt": 1, "order": 1})
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
        let turns = next.iter().map(turn);
        let free = turns.zip(texts(&next, "_id")?).zip(contacts);
        claimable.extend(
            free.filter(|(_, contact)| !busy.contains(contact))
                .map(|(due, _)| due),
        );
    }
    Ok(claimable)
}

fn turn(enrollment: &Document) -> Turn {
    let number = |field| enrollment.get_i64(field).unwrap_or_default();
    (number("readyAt"), number("order"))
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
