//! The address book.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        Timestamp,
        audience::NewEnrollment,
        contact::Contact,
        ids::{ContactId, TenantId},
        phone::PhoneNumber,
    },
    store::{self, StoreResult},
};

/// All address books.
#[derive(Default)]
pub struct Contacts {
    by_id: BTreeMap<ContactId, Contact>,
    by_phone: BTreeMap<(TenantId, PhoneNumber), ContactId>,
}

impl Contacts {
    fn find(&self, tenant: TenantId, id: ContactId) -> Option<&Contact> {
        self.by_id
            .get(&id)
            .filter(|contact| contact.tenant == tenant)
    }

    /// Everybody of every tenant.
    pub fn all(&self) -> impl Iterator<Item = &Contact> {
        self.by_id.values()
    }

    /// Takes people out of the address book.
    pub fn forget(&mut self, tenant: TenantId, phones: &[PhoneNumber]) {
        for phone in phones {
            if let Some(id) = self.by_phone.remove(&(tenant, phone.clone())) {
                self.by_id.remove(&id);
            }
        }
    }

    /// The id of the person in the address book, added if it lacks them. One that is there learns
    /// what it did not know.
    pub fn know(&mut self, tenant: TenantId, new: &NewEnrollment, now: Timestamp) -> ContactId {
        let person = (tenant, new.member.phone.clone());
        let id = *self.by_phone.entry(person).or_insert(new.contact);
        self.by_id
            .entry(id)
            .and_modify(|known| {
                known.learn(&new.member);
            })
            .or_insert_with(|| Contact::of(&new.member, id, tenant, now));
        id
    }
}

#[async_trait]
impl store::Contacts for MemoryStore {
    async fn find_contact(&self, tenant: TenantId, id: ContactId) -> StoreResult<Option<Contact>> {
        Ok(self.records().contacts.find(tenant, id).cloned())
    }

    async fn contacts_of(&self, tenant: TenantId, ids: &[ContactId]) -> StoreResult<Vec<Contact>> {
        let records = self.records();
        let found = ids
            .iter()
            .filter_map(|id| records.contacts.find(tenant, *id));
        Ok(found.cloned().collect())
    }

    async fn contacts_by_phone(
        &self,
        tenant: TenantId,
        phones: &[PhoneNumber],
    ) -> StoreResult<Vec<Contact>> {
        let contacts = &self.records().contacts;
        let ids = phones
            .iter()
            .filter_map(|phone| contacts.by_phone.get(&(tenant, phone.clone())));
        Ok(ids
            .filter_map(|id| contacts.by_id.get(id))
            .cloned()
            .collect())
    }
}
