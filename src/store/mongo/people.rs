//! What is held about one person, and taking it away.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{
    MongoStore,
    documents::{self, to_bson},
};
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
        InboxEntry, People, StoreResult,
        records::{
            self, ContactRecord, EnrollmentRecord, EventRecord, InboxRecord, RejectedRecord,
            unreadable,
        },
    },
};

#[async_trait]
impl People for MongoStore {
    async fn contacts_by_email(&self, tenant: TenantId, email: &str) -> StoreResult<Vec<Contact>> {
        let these = doc! {"tenant": tenant.to_string(), "email": email};
        let found = self.collection("contacts").find(these).await?;
        let found = documents::read_all::<ContactRecord>(found).await?;
        Ok(found.into_iter().map(Contact::from).collect())
    }

    async fn enrollments_with(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> StoreResult<Vec<Enrollment>> {
        // A number is looked up in each campaign, where it is unique.
        let campaigns = doc! {"tenant": tenant.to_string()};
        let campaigns = self.campaigns().distinct("_id", campaigns).await?;
        let these = doc! {"campaign": {"$in": campaigns}, "phone": phone.as_str()};
        let found = self.enrollments().find(these).await?;
        let found = documents::read_all::<EnrollmentRecord>(found).await?;
        Ok(found.into_iter().map(Enrollment::from).collect())
    }

    async fn rejected_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> StoreResult<Vec<(ImportId, RejectedRow)>> {
        let all = doc! {"tenant": tenant.to_string()};
        let mut rows = self.collection("rejectedRows").find(all).await?;
        let mut found = Vec::new();
        while let Some(document) = rows.try_next().await? {
            let import = document.get_str("import").unwrap_or_default().to_owned();
            let row = RejectedRow::from(documents::read::<RejectedRecord>(document)?);
            if person.is_named_in(&row) {
                let import = import.parse().map_err(|error| unreadable(import, error))?;
                found.push((import, row));
            }
        }
        Ok(found)
    }

    async fn replace_events(&self, events: &[StoredEvent]) -> StoreResult<()> {
        for stored in events {
            let event = &stored.event;
            let one = doc! {
                "campaign": event.campaign.to_string(),
                "seq": to_bson(stored.seq),
                "tenant": event.tenant.to_string(),
            };
            let kind = documents::write(&EventRecord(event.clone()), doc! {})?;
            let kind = kind.get("kind").cloned();
            let replaced = doc! {"$set": {"kind": kind}};
            self.events().update_one(one, replaced).await?;
        }
        Ok(())
    }

    async fn erase_signals(&self, tenant: TenantId, attempts: &[AttemptId]) -> StoreResult<()> {
        let attempts: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
        let these = doc! {"tenant": tenant.to_string(), "attempt": {"$in": attempts}};
        let inbox = self.collection("inbox");
        let found: Vec<Document> = inbox.find(these).await?.try_collect().await?;
        for document in found {
            let one = doc! {"_id": document.get("_id")};
            let mut entry = InboxEntry::from(documents::read::<InboxRecord>(document)?);
            entry.signal = entry.signal.erased();
            let erased = documents::write(&InboxRecord(entry), doc! {})?;
            let erased = doc! {"$set": {"signal": erased.get("signal").cloned()}};
            inbox.update_one(one, erased).await?;
        }
        Ok(())
    }

    async fn forget_person(&self, tenant: TenantId, person: &Identity) -> StoreResult<()> {
        let tenant = tenant.to_string();
        let subjects = person.subjects();
        let subjects: Vec<String> = subjects.iter().map(records::subject_key).collect();
        let named = doc! {"tenant": &tenant, "subject": {"$in": subjects}};
        self.collection("suppressions").delete_many(named).await?;
        let phones: Vec<&str> = person.phones.iter().map(PhoneNumber::as_str).collect();
        let known = doc! {"tenant": &tenant, "phone": {"$in": phones}};
        self.collection("contacts").delete_many(known).await?;
        Ok(())
    }
}
