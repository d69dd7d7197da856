//! What is held about one person, and taking it away.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        audience::RejectedRow,
        contact::Contact,
        enrollment::Enrollment,
        erasure::{Identity, KeptNumber},
        event::StoredEvent,
        ids::{AttemptId, ImportId, TenantId},
        phone::PhoneNumber,
    },
    store::{self, StoreResult},
};

#[async_trait]
impl store::People for MemoryStore {
    async fn contacts_by_email(&self, tenant: TenantId, email: &str) -> StoreResult<Vec<Contact>> {
        let records = self.records();
        let found = records
            .contacts
            .all()
            .filter(|contact| contact.tenant == tenant && contact.email.as_deref() == Some(email));
        Ok(found.cloned().collect())
    }

    async fn enrollments_with(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> StoreResult<Vec<Enrollment>> {
        let number = KeptNumber::Known(phone.clone());
        let records = self.records();
        let found = records
            .enrollments
            .all()
            .filter(|it| it.tenant == tenant && it.phone == number);
        Ok(found.cloned().collect())
    }

    async fn rejected_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> StoreResult<Vec<(ImportId, RejectedRow)>> {
        let records = self.records();
        let found = records
            .imports
            .rejected_of(tenant)
            .filter(|(_, row)| person.is_named_in(row));
        Ok(found.map(|(import, row)| (import, row.clone())).collect())
    }

    async fn replace_events(&self, events: &[StoredEvent]) -> StoreResult<()> {
        self.records().log.replace(events);
        Ok(())
    }

    async fn erase_signals(&self, tenant: TenantId, attempts: &[AttemptId]) -> StoreResult<()> {
        self.records().inbox.erase(tenant, attempts);
        Ok(())
    }

    async fn forget_person(&self, tenant: TenantId, person: &Identity) -> StoreResult<()> {
        let mut records = self.records();
        records.suppressions.forget(tenant, &person.subjects());
        records.contacts.forget(tenant, &person.phones);
        Ok(())
    }
}
