//! What is held about one person, and taking it away.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::{SqliteStore, enrollments, reads, to_sql};
use crate::{
    domain::{
        audience::RejectedRow,
        contact::Contact,
        enrollment::Enrollment,
        erasure::Identity,
        event::StoredEvent,
        ids::{AttemptId, ImportId, TenantId},
        phone::PhoneNumber,
    },
    store::{
        People, StoreResult,
        records::{self, ContactRecord, EventRecord, InboxRecord, RejectedRecord, unreadable},
    },
};

#[async_trait]
impl People for SqliteStore {
    async fn contacts_by_email(&self, tenant: TenantId, email: &str) -> StoreResult<Vec<Contact>> {
        let email = email.to_owned();
        self.read(move |connection| {
            let found = reads::bodies::<ContactRecord>(
                connection,
                "a contact",
                "SELECT body FROM contacts WHERE tenant = ?1 AND body ->> '$.email' = ?2",
                [tenant.to_string(), email],
            )?;
            Ok(found.into_iter().map(Contact::from).collect())
        })
        .await
    }

    async fn enrollments_with(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> StoreResult<Vec<Enrollment>> {
        let phone = phone.to_string();
        self.read(move |connection| enrollments_with(connection, tenant, &phone))
            .await
    }

    async fn rejected_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> StoreResult<Vec<(ImportId, RejectedRow)>> {
        let person = person.clone();
        self.read(move |connection| rejected_about(connection, tenant, &person))
            .await
    }

    async fn replace_events(&self, events: &[StoredEvent]) -> StoreResult<()> {
        let events = events.to_vec();
        self.write(move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE events SET body = ?4 WHERE campaign = ?1 AND seq = ?2 AND tenant = ?3",
            )?;
            for stored in events {
                let (campaign, tenant) = (stored.event.campaign, stored.event.tenant);
                update.execute(params![
                    campaign.to_string(),
                    to_sql(stored.seq),
                    tenant.to_string(),
                    records::to_json(&EventRecord(stored.event)),
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn erase_signals(&self, tenant: TenantId, attempts: &[AttemptId]) -> StoreResult<()> {
        let attempts: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
        self.write(move |connection| {
            attempts
                .iter()
                .try_for_each(|attempt| erase_signals(connection, tenant, attempt))
        })
        .await
    }

    async fn forget_person(&self, tenant: TenantId, person: &Identity) -> StoreResult<()> {
        let person = person.clone();
        self.write(move |connection| forget(connection, tenant, &person))
            .await
    }
}

fn enrollments_with(
    connection: &Connection,
    tenant: TenantId,
    phone: &str,
) -> StoreResult<Vec<Enrollment>> {
    // The campaigns first: a number is looked up in each, where it is unique.
    let mut statement = connection.prepare_cached(
        "SELECT it.position, it.version, it.body
         FROM campaigns CROSS JOIN enrollments AS it
              ON it.campaign = campaigns.id AND it.phone = ?2
         WHERE campaigns.tenant = ?1",
    )?;
    let mut rows = statement.query([&tenant.to_string(), phone])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(enrollments::read_row(row)?.1);
    }
    Ok(found)
}

fn rejected_about(
    connection: &Connection,
    tenant: TenantId,
    person: &Identity,
) -> StoreResult<Vec<(ImportId, RejectedRow)>> {
    let mut statement =
        connection.prepare_cached("SELECT import, body FROM rejected_rows WHERE tenant = ?1")?;
    let mut rows = statement.query([tenant.to_string()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let rejected = RejectedRow::from(reads::body::<RejectedRecord>("a rejected row", row, 1)?);
        if person.is_named_in(&rejected) {
            let import: String = row.get(0)?;
            let import = import.parse().map_err(|error| unreadable(import, error))?;
            found.push((import, rejected));
        }
    }
    Ok(found)
}

fn erase_signals(connection: &Connection, tenant: TenantId, attempt: &str) -> StoreResult<()> {
    let found = reads::bodies::<InboxRecord>(
        connection,
        "a received signal",
        "SELECT body FROM inbox WHERE tenant = ?1 AND body ->> '$.attempt' = ?2",
        [&tenant.to_string(), attempt],
    )?;
    let mut update =
        connection.prepare_cached("UPDATE inbox SET body = ?3 WHERE tenant = ?1 AND key = ?2")?;
    for mut record in found {
        record.0.signal = record.0.signal.erased();
        let body = records::to_json(&record);
        update.execute([&tenant.to_string(), &record.0.key, &body])?;
    }
    Ok(())
}

fn forget(connection: &Connection, tenant: TenantId, person: &Identity) -> StoreResult<()> {
    let tenant = tenant.to_string();
    let mut delete =
        connection.prepare_cached("DELETE FROM suppressions WHERE tenant = ?1 AND subject = ?2")?;
    for subject in person.subjects() {
        delete.execute([&tenant, &records::subject_key(&subject)])?;
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM contacts WHERE tenant = ?1 AND phone = ?2")?;
    for phone in &person.phones {
        delete.execute([tenant.as_str(), phone.as_str()])?;
    }
    Ok(())
}
