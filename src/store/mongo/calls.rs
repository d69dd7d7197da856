//! Call records.

use mongodb::bson::{Document, doc};

use super::{
    MongoStore,
    documents::{self, Order, to_bson},
};
use crate::{
    domain::{attempt::AttemptState, enrollment::CallRecord, ids::TenantId},
    store::{
        CallFilter, Page, PageRequest, StoreResult,
        paging::{self, Position},
        records::{CallCounts, CallDocument},
    },
};

/// The call that a filter finds.
pub async fn find(store: &MongoStore, one: Document) -> StoreResult<Option<CallRecord>> {
    let found = documents::find::<CallDocument>(&store.calls(), one).await?;
    Ok(found.map(CallRecord::from))
}

/// Calls, latest start first.
pub async fn list(
    store: &MongoStore,
    tenant: TenantId,
    filter: &CallFilter,
    page: &PageRequest,
) -> StoreResult<Page<CallRecord>> {
    let order = Order {
        field: "attempt.dialAt",
        is_descending: true,
    };
    let matches = matches(tenant, filter);
    let (found, total) = documents::page(&store.calls(), matches, order, page).await?;
    let rows = found.into_iter().map(|document| {
        let call = CallRecord::from(documents::read::<CallDocument>(document)?);
        let dial_at = call.attempt.dial_at.as_millisecond();
        Ok((Position::at(dial_at, call.attempt.id.to_string()), call))
    });
    let rows = rows.collect::<StoreResult<_>>()?;
    Ok(paging::cut(rows, page.limit, total))
}

fn matches(tenant: TenantId, filter: &CallFilter) -> Document {
    let mut matches = doc! {"tenant": tenant.to_string()};
    if let Some(campaign) = filter.campaign {
        matches.insert("campaign", campaign.to_string());
    }
    if let Some(enrollment) = filter.enrollment {
        matches.insert("enrollment", enrollment.to_string());
    }
    if let Some(is_open) = filter.open {
        matches.insert("isOpen", is_open);
    }
    if let Some(outcome) = &filter.outcome {
        matches.insert("attempt.state.outcome.name", outcome);
    }
    for (field, by) in [
        ("priceAskAt", filter.price_due_by),
        ("recordedAt", filter.recorded_by),
    ] {
        if let Some(by) = by {
            matches.insert(field, doc! {"$lte": by.as_millisecond()});
        }
    }
    matches
}

/// A call's document.
pub fn write(call: &CallRecord) -> StoreResult<Document> {
    let state = &call.attempt.state;
    let mut document = documents::write(
        &CallDocument(call.clone()),
        doc! {
            "_id": call.attempt.id.to_string(),
            "enrollment": call.attempt.id.enrollment.to_string(),
            "isOpen": state.is_open(),
            "hasSid": state.sid().is_some(),
            "isReleased": matches!(state, AttemptState::Released { .. }),
        },
    )?;
    if let Some(counts) = CallCounts::of(&call.attempt) {
        document.insert("counts", counted(counts));
    }
    let facts = &call.attempt.facts;
    for (field, at) in [
        ("priceAskAt", facts.price_ask_at()),
        ("recordedAt", facts.recorded_at()),
    ] {
        if let Some(at) = at {
            document.insert(field, at.as_millisecond());
        }
    }
    Ok(document)
}

/// As numbers, to be added up.
fn counted(counts: CallCounts) -> Document {
    doc! {
        "answered": i64::from(counts.is_answered),
        "abandoned": i64::from(counts.is_abandoned),
        "silent": i64::from(counts.is_silent),
        "minutes": to_bson(counts.billed_minutes),
    }
}
