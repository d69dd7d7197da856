//! The address book.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures_util::{TryStreamExt, future};
use mongodb::bson::{Document, doc};

use super::{MongoStore, documents};
use crate::{
    domain::{
        Timestamp,
        audience::{Member, NewEnrollment},
        contact::Contact,
        ids::{ContactId, TenantId},
        phone::PhoneNumber,
    },
    store::{
        Contacts, StoreResult,
        records::{ContactRecord, unreadable},
    },
};

/// How many people learn at the same time.
const TAUGHT_AT_ONCE: usize = 16;

#[async_trait]
impl Contacts for MongoStore {
    async fn find_contact(&self, tenant: TenantId, id: ContactId) -> StoreResult<Option<Contact>> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        let found = documents::find::<ContactRecord>(&self.collection("contacts"), one).await?;
        Ok(found.map(Contact::from))
    }

    async fn contacts_of(&self, tenant: TenantId, ids: &[ContactId]) -> StoreResult<Vec<Contact>> {
        let ids: Vec<String> = ids.iter().map(ContactId::to_string).collect();
        let these = doc! {"tenant": tenant.to_string(), "_id": {"$in": ids}};
        read(self, these).await
    }

    async fn contacts_by_phone(
        &self,
        tenant: TenantId,
        phones: &[PhoneNumber],
    ) -> StoreResult<Vec<Contact>> {
        let phones: Vec<&str> = phones.iter().map(PhoneNumber::as_str).collect();
        let these = doc! {"tenant": tenant.to_string(), "phone": {"$in": phones}};
        read(self, these).await
    }
}

async fn read(store: &MongoStore, these: Document) -> StoreResult<Vec<Contact>> {
    let found = store.collection("contacts").find(these).await?;
    let records = documents::read_all::<ContactRecord>(found).await?;
    Ok(records.into_iter().map(Contact::from).collect())
}

/// Adds the people whom the address book lacks; those it has learn what it did not know. Gives the ids
/// of those that it had, by number.
pub async fn know(
    store: &MongoStore,
    tenant: TenantId,
    members: &[NewEnrollment],
    now: Timestamp,
) -> StoreResult<HashMap<String, ContactId>> {
    let phones: Vec<&str> = members
        .iter()
        .map(|new| new.member.phone.as_str())
        .collect();
    let mut known = find_ids(store, tenant, &phones).await?;
    let mut seen = HashSet::new();
    let (mut new_phones, mut new) = (Vec::new(), Vec::new());
    for member in members {
        let phone = member.member.phone.as_str();
        if !known.contains_key(phone) && seen.insert(phone) {
            let contact = Contact::of(&member.member, member.contact, tenant, now);
            new_phones.push(phone);
            new.push(documents::write(&ContactRecord(contact), doc! {})?);
        }
    }
    let refused = documents::insert_new(store.collection("contacts"), new).await?;
    if !refused.is_empty() {
        // Somebody else added them since they were looked for.
        let phones: Vec<&str> = refused.into_iter().map(|i| new_phones[i]).collect();
        known.extend(find_ids(store, tenant, &phones).await?);
    }
    teach(store, tenant, members, &known).await?;
    Ok(known)
}

async fn find_ids(
    store: &MongoStore,
    tenant: TenantId,
    phones: &[&str],
) -> StoreResult<HashMap<String, ContactId>> {
    let found: Vec<Document> = store
        .collection("contacts")
        .find(doc! {"tenant": tenant.to_string(), "phone": {"$in": phones}})
        .projection(doc! {"phone": 1})
        .batch_size(10_000)
        .await?
        .try_collect()
        .await?;
    let text = |document: &Document, field| document.get_str(field).unwrap_or_default().to_owned();
    let ids = found.iter().map(|document| {
        let id = text(document, "_id");
        let parsed = id.parse().map_err(|error| unreadable(id, error))?;
        Ok((text(document, "phone"), parsed))
    });
    ids.collect()
}

async fn teach(
    store: &MongoStore,
    tenant: TenantId,
    members: &[NewEnrollment],
    known: &HashMap<String, ContactId>,
) -> StoreResult<()> {
    let teachers: Vec<&Member> = members
        .iter()
        .map(|new| &new.member)
        .filter(|it| it.email.is_some() || it.zone.is_some() || it.consent.is_some())
        .filter(|it| known.contains_key(it.phone.as_str()))
        .collect();
    let phones: Vec<PhoneNumber> = teachers.iter().map(|it| it.phone.clone()).collect();
    if phones.is_empty() {
        return Ok(());
    }
    let contacts = store.contacts_by_phone(tenant, &phones).await?;
    let mut contacts: HashMap<_, _> = contacts
        .into_iter()
        .map(|contact| (contact.phone.clone(), contact))
        .collect();
    let has_news = |member: &&Member| {
        let contact = contacts.get_mut(&member.phone);
        contact.is_some_and(|contact| contact.learn(member))
    };
    let teachers: Vec<&Member> = teachers.into_iter().filter(has_news).collect();
    for some in teachers.chunks(TAUGHT_AT_ONCE) {
        let taught: Vec<_> = some
            .iter()
            .map(|member| teach_one(store, tenant, member))
            .collect();
        future::try_join_all(taught).await?;
    }
    Ok(())
}

/// Looks again as long as somebody else teaches the same person something first.
async fn teach_one(store: &MongoStore, tenant: TenantId, member: &Member) -> StoreResult<()> {
    let contacts = store.collection("contacts");
    let one = doc! {"tenant": tenant.to_string(), "phone": member.phone.as_str()};
    while let Some(before) = contacts.find_one(one.clone()).await? {
        let mut unchanged = one.clone();
        for key in ["email", "zone", "consent"] {
            unchanged.insert(key, before.get(key).cloned());
        }
        let mut contact = Contact::from(documents::read::<ContactRecord>(before)?);
        if !contact.learn(member) {
            break;
        }
        let after = documents::write(&ContactRecord(contact), doc! {})?;
        let replaced = contacts.replace_one(unchanged, after).await?;
        if replaced.matched_count > 0 {
            break;
        }
    }
    Ok(())
}
