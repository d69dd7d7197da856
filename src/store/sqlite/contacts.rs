//! The address book.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, reads};
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
        records::{self, ContactRecord, unreadable},
    },
};

#[async_trait]
impl Contacts for SqliteStore {
    async fn find_contact(&self, tenant: TenantId, id: ContactId) -> StoreResult<Option<Contact>> {
        self.read(move |connection| find(connection, BY_ID, tenant, &id.to_string()))
            .await
    }

    async fn contacts_of(&self, tenant: TenantId, ids: &[ContactId]) -> StoreResult<Vec<Contact>> {
        let ids: Vec<String> = ids.iter().map(ContactId::to_string).collect();
        self.read(move |connection| find_each(connection, BY_ID, tenant, &ids))
            .await
    }

    async fn contacts_by_phone(
        &self,
        tenant: TenantId,
        phones: &[PhoneNumber],
    ) -> StoreResult<Vec<Contact>> {
        let phones: Vec<String> = phones.iter().map(|it| it.as_str().to_owned()).collect();
        self.read(move |connection| find_each(connection, BY_PHONE, tenant, &phones))
            .await
    }
}

const BY_ID: &str = "SELECT body FROM contacts WHERE tenant = ?1 AND id = ?2";
const BY_PHONE: &str = "SELECT body FROM contacts WHERE tenant = ?1 AND phone = ?2";

fn find(
    connection: &Connection,
    query: &str,
    tenant: TenantId,
    key: &str,
) -> StoreResult<Option<Contact>> {
    let one = params![tenant.to_string(), key];
    let found = reads::bodies::<ContactRecord>(connection, "a contact", query, one)?;
    Ok(found.into_iter().next().map(Contact::from))
}

fn find_each(
    connection: &Connection,
    query: &str,
    tenant: TenantId,
    keys: &[String],
) -> StoreResult<Vec<Contact>> {
    let mut found = Vec::new();
    for key in keys {
        found.extend(find(connection, query, tenant, key)?);
    }
    Ok(found)
}

/// The id of the person in the address book, added if it lacks them. One that is there learns what it
/// did not know.
pub fn know(
    connection: &Connection,
    tenant: TenantId,
    new: &NewEnrollment,
    now: Timestamp,
) -> StoreResult<ContactId> {
    let contact = Contact::of(&new.member, new.contact, tenant, now);
    let (id, phone) = (contact.id, contact.phone.clone());
    let n_added = connection
        .prepare_cached(
            "INSERT INTO contacts (id, tenant, phone, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (tenant, phone) DO NOTHING",
        )?
        .execute(params![
            id.to_string(),
            tenant.to_string(),
            phone.as_str(),
            records::to_json(&ContactRecord(contact)),
        ])?;
    if n_added > 0 {
        return Ok(id);
    }
    let member = &new.member;
    if member.email.is_some() || member.zone.is_some() || member.consent.is_some() {
        teach(connection, tenant, member)?;
    }
    let known: String = connection
        .prepare_cached("SELECT id FROM contacts WHERE tenant = ?1 AND phone = ?2")?
        .query_row([&tenant.to_string(), phone.as_str()], |row| row.get(0))?;
    known.parse().map_err(|error| unreadable(known, error))
}

fn teach(connection: &Connection, tenant: TenantId, member: &Member) -> StoreResult<()> {
    let known = find(connection, BY_PHONE, tenant, member.phone.as_str())?;
    let Some(mut known) = known else {
        return Ok(());
    };
    if known.learn(member) {
        let id = known.id.to_string();
        connection
            .prepare_cached("UPDATE contacts SET body = ?2 WHERE id = ?1")?
            .execute([id, records::to_json(&ContactRecord(known))])?;
    }
    Ok(())
}
