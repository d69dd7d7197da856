//! Those who must not be contacted, and what a tenant has set for all its campaigns.

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::{
    bson::{Document, doc},
    options::{ReturnDocument, UpdateModifications},
};

use super::{
    MongoStore,
    documents::{self, Order},
    is_taken,
};
use crate::{
    domain::{
        Timestamp,
        holiday::Holidays,
        ids::{SuppressionId, TenantId},
        register::RegisterName,
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

    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<TenantRules> {
        let found = self
            .collection("tenantRules")
            .find_one(doc! {"_id": tenant.to_string()})
            .await?;
        let rules = found.map(read_rules).transpose()?;
        Ok(rules.unwrap_or_default())
    }

    async fn save_holidays(&self, tenant: TenantId, holidays: &Holidays) -> StoreResult<()> {
        let holidays = HolidaysRecord(holidays.clone());
        let holidays = mongodb::bson::serialize_to_bson(&holidays)
            .map_err(|error| unreadable(HOLIDAYS, error))?;
        let update = doc! {"$set": {"holidays": holidays}};
        change_rules(self, tenant, update).await.map(drop)
    }

    async fn keep_salt(&self, tenant: TenantId, salt: &str) -> StoreResult<String> {
        let first = doc! {"$ifNull": ["$salt", {"$literal": salt}]};
        let update = vec![doc! {"$set": {"salt": first}}];
        let kept = change_rules(self, tenant, update).await?;
        let kept = kept.get_str("salt");
        Ok(kept.map_err(|error| unreadable(SALT, error))?.to_owned())
    }

    async fn save_register_copy(
        &self,
        tenant: TenantId,
        register: &RegisterName,
        taken_at: Timestamp,
    ) -> StoreResult<()> {
        // Its name has no character that means anything in a path.
        let field = format!("registers.{register}");
        let update = doc! {"$max": {field: taken_at.as_millisecond()}};
        change_rules(self, tenant, update).await.map(drop)
    }
}

const HOLIDAYS: &str = "a tenant's holidays";
const SALT: &str = "a tenant's salt";
const REGISTERS: &str = "a tenant's copies of registers";

/// Changes what a tenant has set, and gives it as it is then.
async fn change_rules(
    store: &MongoStore,
    tenant: TenantId,
    update: impl Into<UpdateModifications>,
) -> StoreResult<Document> {
    let update = update.into();
    let rules = store.collection("tenantRules");
    let change = || {
        rules
            .find_one_and_update(doc! {"_id": tenant.to_string()}, update.clone())
            .upsert(true)
            .return_document(ReturnDocument::After)
    };
    let changed = match change().await {
        // Another process saved the first ones at this moment: now they are there to be changed.
        Err(error) if is_taken(&error) => change().await?,
        changed => changed?,
    };
    Ok(changed.unwrap_or_default())
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

fn read_rules(document: Document) -> StoreResult<TenantRules> {
    let mut rules = TenantRules::default();
    if let Some(holidays) = document.get("holidays") {
        let read = mongodb::bson::deserialize_from_bson::<HolidaysRecord>(holidays.clone());
        rules.holidays = read.map_err(|error| unreadable(HOLIDAYS, error))?.into();
    }
    if let Some(salt) = document.get("salt") {
        let salt = salt
            .as_str()
            .ok_or_else(|| unreadable(SALT, "is no text"))?;
        rules.salt = Some(salt.to_owned());
    }
    if let Ok(copies) = document.get_document("registers") {
        for (name, taken_at) in copies {
            let taken_at = taken_at.as_i64();
            let taken_at = taken_at.ok_or_else(|| unreadable(REGISTERS, "is no time"))?;
            let (name, taken_at) = records::register_copy(name, taken_at)?;
            rules.registers.add(name, taken_at);
        }
    }
    Ok(rules)
}
