//! Records about people, as one process of a world reaches them.

use async_trait::async_trait;

use super::{
    FaultyStore,
    Kind::{Read, Write},
    Step,
};
use crate::{
    domain::{
        Timestamp,
        audience::{Import, RejectedRow},
        contact::Contact,
        enrollment::Enrollment,
        erasure::Identity,
        event::StoredEvent,
        holiday::Holidays,
        ids::{AttemptId, ContactId, ImportId, SuppressionId, TenantId},
        phone::PhoneNumber,
        register::RegisterName,
        suppression::{Subject, Suppression},
    },
    store::{
        Contacts, Imports, Lift, Page, PageRequest, People, StoreResult, SuppressionEntry,
        Suppressions, TenantRules,
    },
};

#[async_trait]
impl Contacts for FaultyStore {
    async fn find_contact(&self, tenant: TenantId, id: ContactId) -> StoreResult<Option<Contact>> {
        self.run(Read, self.inner.find_contact(tenant, id)).await
    }

    async fn contacts_of(&self, tenant: TenantId, ids: &[ContactId]) -> StoreResult<Vec<Contact>> {
        self.run(Read, self.inner.contacts_of(tenant, ids)).await
    }

    async fn contacts_by_phone(
        &self,
        tenant: TenantId,
        phones: &[PhoneNumber],
    ) -> StoreResult<Vec<Contact>> {
        self.run(Read, self.inner.contacts_by_phone(tenant, phones))
            .await
    }
}

#[async_trait]
impl People for FaultyStore {
    async fn contacts_by_email(&self, tenant: TenantId, email: &str) -> StoreResult<Vec<Contact>> {
        self.run(Read, self.inner.contacts_by_email(tenant, email))
            .await
    }

    async fn enrollments_with(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> StoreResult<Vec<Enrollment>> {
        self.run(Read, self.inner.enrollments_with(tenant, phone))
            .await
    }

    async fn rejected_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> StoreResult<Vec<(ImportId, RejectedRow)>> {
        self.run(Read, self.inner.rejected_about(tenant, person))
            .await
    }

    async fn replace_events(&self, events: &[StoredEvent]) -> StoreResult<()> {
        self.run(Write, self.inner.replace_events(events)).await
    }

    async fn erase_signals(&self, tenant: TenantId, attempts: &[AttemptId]) -> StoreResult<()> {
        self.run(Write, self.inner.erase_signals(tenant, attempts))
            .await
    }

    async fn forget_person(&self, tenant: TenantId, person: &Identity) -> StoreResult<()> {
        self.run(Write, self.inner.forget_person(tenant, person))
            .await
    }
}

#[async_trait]
impl Suppressions for FaultyStore {
    async fn add_suppressions(&self, entries: &[Suppression]) -> StoreResult<u64> {
        self.run(Write, async {
            let n_new = self.inner.add_suppressions(entries).await?;
            self.check(&Step::Suppressed { entries });
            Ok(n_new)
        })
        .await
    }

    async fn suppressions_of(
        &self,
        tenant: TenantId,
        subjects: &[Subject],
    ) -> StoreResult<Vec<Suppression>> {
        self.run(Read, self.inner.suppressions_of(tenant, subjects))
            .await
    }

    async fn list_suppressions(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>> {
        self.run(Read, self.inner.list_suppressions(tenant, search, page))
            .await
    }

    async fn lift_suppression(
        &self,
        tenant: TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> StoreResult<bool> {
        self.run(Write, self.inner.lift_suppression(tenant, id, lift))
            .await
    }

    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<TenantRules> {
        self.run(Read, self.inner.tenant_rules(tenant)).await
    }

    async fn save_holidays(&self, tenant: TenantId, holidays: &Holidays) -> StoreResult<()> {
        self.run(Write, self.inner.save_holidays(tenant, holidays))
            .await
    }

    async fn keep_salt(&self, tenant: TenantId, salt: &str) -> StoreResult<String> {
        self.run(Write, self.inner.keep_salt(tenant, salt)).await
    }

    async fn save_register_copy(
        &self,
        tenant: TenantId,
        register: &RegisterName,
        taken_at: Timestamp,
    ) -> StoreResult<()> {
        let saving = self.inner.save_register_copy(tenant, register, taken_at);
        self.run(Write, saving).await
    }
}

#[async_trait]
impl Imports for FaultyStore {
    async fn save_import(&self, import: &Import) -> StoreResult<()> {
        self.run(Write, self.inner.save_import(import)).await
    }

    async fn find_import(&self, tenant: TenantId, id: ImportId) -> StoreResult<Option<Import>> {
        self.run(Read, self.inner.find_import(tenant, id)).await
    }

    async fn add_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        rows: &[RejectedRow],
    ) -> StoreResult<()> {
        self.run(Write, self.inner.add_rejected(tenant, import, rows))
            .await
    }

    async fn list_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        page: &PageRequest,
    ) -> StoreResult<Page<RejectedRow>> {
        self.run(Read, self.inner.list_rejected(tenant, import, page))
            .await
    }
}
