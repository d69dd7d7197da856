//! Those who must not be contacted, and what a tenant has set for all its campaigns.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::{
    bson::{Document, doc},
    options::ReturnDocument,
};

use super::{
    MongoStore,
    documents::{self, Order},
    is_taken,
};
use crate::{
    domain::{
        ids::{SuppressionId, TenantId},
        suppression::{Subject, Suppression},
    },
    store::{
        Lift, Page, PageRequest, StoreResult, SuppressionEntry, Suppressions, TenantRules,
        paging::{self, Position},
        records::{self, HolidaysRecord, LiftRecord, SuppressionRecord, unreadable},
    },
};

/// How many entries one round trip adds.
const ADD_BATCH: usize = 5000;

#[async_trait]
impl Suppressions for MongoStore {
    async fn add_suppressions(&self, entries: &[Suppression]) -> StoreResult<u64> {
        let mut n_new = 0;
        for entries in entries.chunks(ADD_BATCH) {
            n_new += add(self, entries).await?;
        }
        Ok(n_new)
    }

    async fn suppressions_of(
        &self,
        tenant: TenantId,
        subjects: &[Subject],
    ) -> StoreResult<Vec<Suppression>> {
        let subjects: Vec<String> = subjects.iter().map(records::subject_key).collect();
        let named = doc! {
            "tenant": tenant.to_string(),
            "subject": {"$in": subjects},
            "isLifted": false,
        };
        let found = self
            .collection("suppressions")
            .find(named)
            .sort(doc! {"at": 1, "_id": 1})
            .await?;
        let found = documents::read_all::<SuppressionRecord>(found).await?;
        Ok(found.into_iter().map(Suppression::from).collect())
    }

    async fn list_suppressions(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>> {
        let order = Order {
            field: "at",
            is_descending: true,
        };
        let mut matches = doc! {"tenant": tenant.to_string()};
        if let Some(search) = search {
            matches.insert("$expr", documents::contains("$searchText", search));
        }
        let suppressions = self.collection("suppressions");
        let (found, total) = documents::page(&suppressions, matches, order, page).await?;
        let rows = found.into_iter().map(|document| {
            let entry = read_entry(document)?;
            let added_at = entry.suppression.at.as_millisecond();
            let position = Position::at(added_at, entry.suppression.id.to_string());
            Ok((position, entry))
        });
        let rows = rows.collect::<StoreResult<_>>()?;
        Ok(paging::cut(rows, page.limit, total))
    }

    async fn lift_suppression(
        &self,
        tenant: TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> StoreResult<bool> {
        let in_force = doc! {
            "_id": id.to_string(),
            "tenant": tenant.to_string(),
            "isLifted": false,
        };
        let lift = documents::write(&LiftRecord(lift.clone()), doc! {})?;
        let lifted = doc! {"$set": {"isLifted": true, "lift": lift}};
        let lifted = self
            .collection("suppressions")
            .update_one(in_force, lifted)
            .await?;
        Ok(lifted.matched_count > 0)
    }

    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<Option<TenantRules>> {
        let found = self
            .collection("tenantRules")
            .find_one(doc! {"_id": tenant.to_string()})
            .await?;
        found.map(read_rules).transpose()
    }

    async fn save_tenant_rules(
        &self,
        tenant: TenantId,
        rules: &TenantRules,
    ) -> StoreResult<TenantRules> {
        let saved = save_rules(self, tenant, rules).await;
        match saved {
            // Another process saved the first ones at this moment: now they are there to be changed.
            Err(error) if is_taken(&error) => read_rules(save_rules(self, tenant, rules).await?),
            saved => read_rules(saved?),
        }
    }
}

async fn add(store: &MongoStore, entries: &[Suppression]) -> StoreResult<u64> {
    let mut seen = HashSet::new();
    let mut new = Vec::new();
    for entry in entries {
        // The server may add a batch in any order, so the first of two is chosen here.
        if seen.insert((entry.tenant, &entry.subject, entry.scope)) {
            let more = doc! {
                "searchText": records::search_text(entry),
                "isLifted": false,
            };
            new.push(documents::write(&SuppressionRecord(entry.clone()), more)?);
        }
    }
    let n_offered = new.len();
    let refused = documents::insert_new(store.collection("suppressions"), new).await?;
    Ok((n_offered - refused.len()) as u64)
}

fn read_entry(document: Document) -> StoreResult<SuppressionEntry> {
    let lift = document.get_document("lift").ok().cloned();
    let lifted = lift.map(documents::read::<LiftRecord>).transpose()?;
    Ok(SuppressionEntry {
        suppression: documents::read::<SuppressionRecord>(document)?.into(),
        lifted: lifted.map(Lift::from),
    })
}

async fn save_rules(
    store: &MongoStore,
    tenant: TenantId,
    rules: &TenantRules,
) -> Result<Document, mongodb::error::Error> {
    let holidays = mongodb::bson::serialize_to_bson(&HolidaysRecord(rules.holidays.clone()))?;
    let update = doc! {
        "$set": {"holidays": holidays},
        "$setOnInsert": {"salt": &rules.salt},
    };
    let saved = store
        .collection("tenantRules")
        .find_one_and_update(doc! {"_id": tenant.to_string()}, update)
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?;
    Ok(saved.unwrap_or_default())
}

fn read_rules(document: Document) -> StoreResult<TenantRules> {
    let damaged = |error: String| unreadable("a tenant's rules", error);
    let holidays = document.get("holidays").cloned().unwrap_or_default();
    let holidays = mongodb::bson::deserialize_from_bson::<HolidaysRecord>(holidays);
    let salt = document.get_str("salt");
    Ok(TenantRules {
        holidays: holidays.map_err(|error| damaged(error.to_string()))?.into(),
        salt: salt.map_err(|error| damaged(error.to_string()))?.to_owned(),
    })
}
