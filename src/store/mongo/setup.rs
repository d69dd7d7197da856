//! The version of the schema and the indexes.

use mongodb::{
    IndexModel,
    bson::{Document, doc},
    options::{IndexOptions, ReturnDocument},
};

use super::{MongoStore, claims};
use crate::store::{StoreResult, records::unreadable};

/// The version that this release writes. A later one adds steps here that bring documents of this
/// one up to it; there is no way back.
const VERSION: i64 = 1;

/// Refuses a database of a newer release, and creates what is missing of the indexes.
pub async fn prepare(store: &MongoStore) -> StoreResult<()> {
    let meta = store.collection("meta");
    let schema = meta
        .find_one_and_update(
            doc! {"_id": "schema"},
            doc! {"$setOnInsert": {"version": VERSION}},
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?;
    let found = schema.map_or(0, |schema| super::documents::count(&schema, "version"));
    if found > VERSION.unsigned_abs() {
        let reason =
            format!("its schema has version {found} and this release knows {VERSION} at most");
        return Err(unreadable("the database", reason));
    }
    for (collection, indexes) in indexes() {
        store.collection(collection).create_indexes(indexes).await?;
    }
    Ok(())
}

fn index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn unique(keys: Document) -> IndexModel {
    let options = IndexOptions::builder().unique(true).build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn partial(keys: Document, only: Document) -> IndexModel {
    let options = IndexOptions::builder()
        .partial_filter_expression(only)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn unique_partial(keys: Document, only: Document) -> IndexModel {
    let options = IndexOptions::builder()
        .unique(true)
        .partial_filter_expression(only)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn indexes() -> [(&'static str, Vec<IndexModel>); 10] {
    let campaigns = vec![
        index(doc! {"tenant": 1, "createdAt": -1, "_id": -1}),
        index(doc! {"tenant": 1, "status.name": 1, "startedAt": 1}),
    ];
    let contacts = vec![unique(doc! {"tenant": 1, "phone": 1})];
    let enrollments = vec![
        unique(doc! {"campaign": 1, "phone": 1}),
        index(doc! {"campaign": 1, "order": 1, "_id": 1}),
        index(doc! {"campaign": 1, "bucket": 1, "order": 1}),
        partial(
            doc! {"campaign": 1, "readyAt": 1, "order": 1},
            doc! {"state.name": "waiting"},
        ),
        partial(claims::by_place(), doc! {"state.name": "waiting"}),
        partial(
            doc! {"campaign": 1, "state.byRule": 1},
            doc! {"state.byRule": {"$gt": ""}},
        ),
        partial(
            doc! {"tenant": 1, "state.checkAt": 1},
            doc! {"state.name": "open"},
        ),
        // A person is in one call at most, over all campaigns.
        unique_partial(
            doc! {"tenant": 1, "contact": 1},
            doc! {"state.name": "open"},
        ),
        partial(
            doc! {"tenant": 1, "contact": 1, "readyAt": 1},
            doc! {"claim": {"$exists": true}},
        ),
        partial(doc! {"pending": 1}, doc! {"pending": {"$exists": true}}),
    ];
    let calls = vec![
        index(doc! {"tenant": 1, "attempt.dialAt": -1, "_id": -1}),
        index(doc! {"tenant": 1, "campaign": 1, "attempt.dialAt": -1, "_id": -1}),
        index(doc! {"enrollment": 1, "attempt.dialAt": -1}),
        index(doc! {"campaign": 1, "attempt.state.name": 1, "hasSid": 1}),
        partial(
            doc! {"tenant": 1, "isOpen": 1, "attempt.dialAt": -1, "_id": -1, "campaign": 1},
            doc! {"isOpen": true},
        ),
        partial(
            doc! {"tenant": 1, "attempt.state.sid": 1},
            doc! {"hasSid": true},
        ),
        partial(
            doc! {"tenant": 1, "attempt.facts.conversation": 1},
            doc! {"attempt.facts.conversation": {"$exists": true}},
        ),
        partial(
            doc! {"tenant": 1, "priceAskAt": 1},
            doc! {"priceAskAt": {"$exists": true}},
        ),
        partial(
            doc! {"tenant": 1, "campaign": 1, "recordedAt": 1},
            doc! {"recordedAt": {"$exists": true}},
        ),
        index(doc! {"tenant": 1, "attempt.to": 1, "attempt.dialAt": -1, "_id": -1}),
        partial(
            doc! {"tenant": 1, "attempt.dialAt": -1, "attempt.from": 1, "isReleased": 1},
            doc! {"isReleased": false},
        ),
        partial(
            doc! {
                "tenant": 1, "campaign": 1, "attempt.dialAt": -1, "counts.minutes": 1,
                "counts.answered": 1, "counts.abandoned": 1, "counts.silent": 1,
            },
            doc! {"counts.minutes": {"$gte": 0}},
        ),
    ];
    let events = vec![
        unique(doc! {"campaign": 1, "seq": 1}),
        partial(
            doc! {"attempt": 1, "seq": 1},
            doc! {"attempt": {"$exists": true}},
        ),
        index(doc! {"insertedAt": 1}),
    ];
    let inbox = vec![index(doc! {"tenant": 1, "isSettled": 1, "receivedAt": 1})];
    let rejected_rows = vec![index(doc! {"import": 1, "line": 1, "_id": 1})];
    let suppressions = vec![
        unique_partial(
            doc! {"tenant": 1, "subject": 1, "scope": 1},
            doc! {"isLifted": false},
        ),
        index(doc! {"tenant": 1, "at": -1, "_id": -1}),
    ];
    let users = vec![unique(doc! {"email": 1})];
    [
        ("campaigns", campaigns),
        ("contacts", contacts),
        ("enrollments", enrollments),
        ("calls", calls),
        ("events", events),
        ("inbox", inbox),
        ("rejectedRows", rejected_rows),
        ("suppressions", suppressions),
        ("users", users),
        ("webTools", vec![index(doc! {"tenant": 1, "name": 1})]),
    ]
}
