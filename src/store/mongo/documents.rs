//! Reading and writing records as documents.

use std::num::NonZeroU32;

use futures_util::TryStreamExt;
use mongodb::{
    Collection, Cursor,
    bson::{self, Bson, Document, doc},
    error::{Error, ErrorKind},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;

use super::taken_positions;
use crate::store::{PageRequest, StoreResult, paging::Position, records::unreadable};

/// A record as a document, with `more` fields to find it by.
pub fn write(record: &impl Serialize, more: Document) -> StoreResult<Document> {
    let mut document = bson::serialize_to_document(record)
        .map_err(|error| unreadable("a record to be written", error))?;
    document.extend(more);
    Ok(document)
}

/// The record that a document is; fields beside it are ignored.
pub fn read<R: DeserializeOwned>(document: Document) -> StoreResult<R> {
    let id = document.get("_id").map(Bson::to_string).unwrap_or_default();
    bson::deserialize_from_document(document).map_err(|error| unreadable(id, error))
}

/// All records of a query.
pub async fn read_all<R: DeserializeOwned>(cursor: Cursor<Document>) -> StoreResult<Vec<R>> {
    let documents: Vec<Document> = cursor.try_collect().await?;
    documents.into_iter().map(read).collect()
}

/// The first `limit` records of a query that can be read. The others are logged.
pub async fn readable<R: DeserializeOwned>(
    mut cursor: Cursor<Document>,
    limit: NonZeroU32,
) -> StoreResult<Vec<R>> {
    let mut found = Vec::new();
    while found.len() < limit.get() as usize
        && let Some(document) = cursor.try_next().await?
    {
        let id = document.get("_id").map(Bson::to_string).unwrap_or_default();
        match read(document) {
            Ok(record) => found.push(record),
            Err(_) => warn!(id, "a record cannot be read and is left out"),
        }
    }
    Ok(found)
}

/// The record that a filter finds.
pub async fn find<R: DeserializeOwned>(
    collection: &Collection<Document>,
    filter: Document,
) -> StoreResult<Option<R>> {
    collection.find_one(filter).await?.map(read).transpose()
}

/// Inserts documents; gives the positions of those that a unique index refused.
pub async fn insert_new(
    collection: Collection<Document>,
    new: Vec<Document>,
) -> StoreResult<Vec<usize>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    match collection.insert_many(new).ordered(false).await {
        Ok(_) => Ok(Vec::new()),
        Err(error) => refused(error),
    }
}

fn refused(error: Error) -> StoreResult<Vec<usize>> {
    if let ErrorKind::InsertMany(errors) = &*error.kind
        && let Some(positions) = taken_positions(errors)
    {
        return Ok(positions);
    }
    Err(error.into())
}

/// A count or number of ours as documents keep it.
pub fn to_bson(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The expression for a field in lower case that contains `search` in any case.
pub fn contains(field: &str, search: &str) -> Document {
    // What is looked for is text, never a pattern nor a path.
    let text = doc! {"$literal": search.to_lowercase()};
    let place = doc! {"$indexOfCP": [field, text]};
    doc! {"$gte": [place, 0]}
}

/// A count that a document has, whatever width the server gave it.
pub fn count(document: &Document, field: &str) -> u64 {
    match document.get(field) {
        Some(Bson::Int32(n)) => u64::try_from(*n).unwrap_or_default(),
        Some(Bson::Int64(n)) => u64::try_from(*n).unwrap_or_default(),
        _ => 0,
    }
}

/// How a list is sorted: by a number and then by the id.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// The path of the number.
    pub field: &'static str,
    /// Whether high numbers come first.
    pub is_descending: bool,
}

/// The documents of a page and one more, and how many the whole list has.
pub async fn page(
    collection: &Collection<Document>,
    filter: Document,
    order: Order,
    request: &PageRequest,
) -> StoreResult<(Vec<Document>, u64)> {
    let (direction, beyond, first) = match order.is_descending {
        true => (-1, "$lt", Position::END),
        false => (1, "$gt", Position::START),
    };
    let after = Position::read(request.cursor.as_deref(), first)?;
    let total = collection.count_documents(filter.clone()).await?;
    let mut rest = filter;
    if request.cursor.is_some() {
        let place = vec![
            doc! {order.field: {beyond: after.number}},
            doc! {order.field: after.number, "_id": {beyond: after.id}},
        ];
        rest.insert("$and", vec![doc! {"$or": place}]);
    }
    let documents = collection
        .find(rest)
        .sort(doc! {order.field: direction, "_id": direction})
        .limit(i64::from(request.limit.get()) + 1)
        .await?
        .try_collect()
        .await?;
    Ok((documents, total))
}
