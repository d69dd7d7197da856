//! Everything that is held about one person.

use std::num::NonZeroU32;

use super::{Core, Engine, EngineError, EngineResult, erase, erase::Whom};
use crate::{
    domain::{
        audience::RejectedRow,
        contact::Contact,
        enrollment::{CallRecord, Enrollment},
        erasure::Identity,
        event::StoredEvent,
        ids::{ContactId, EnrollmentId, ImportId, TenantId},
        suppression::Subject,
    },
    store::{CallFilter, PageRequest, SuppressionEntry},
};

/// How many calls or entries are read at once.
const PAGE: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");

/// Everything that is held about one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The address book's entry.
    pub contact: Contact,
    /// The person in each campaign.
    pub enrollments: Vec<Enrollment>,
    /// Every attempt to call the person, with what happened and what was said, in order.
    pub calls: Vec<(CallRecord, Vec<StoredEvent>)>,
    /// The entries of the do-not-call list that name the person, lifted ones too, and those in force
    /// that name the person by a hash.
    pub suppressions: Vec<SuppressionEntry>,
    /// The rows of lists that were not accepted and are about the person.
    pub rejected_rows: Vec<(ImportId, RejectedRow)>,
}

impl Engine {
    /// Everything that is held about somebody in the address book.
    pub async fn held_about(&self, tenant: TenantId, id: ContactId) -> EngineResult<Held> {
        let core = &self.core;
        let person = self.identify(tenant, &Whom::Contact(id)).await?;
        let contact = core.store.find_contact(tenant, id).await?;
        let contact = contact.ok_or(EngineError::NotFound { what: "contact" })?;
        let mut enrollments = Vec::new();
        for phone in &person.phones {
            enrollments.extend(core.store.enrollments_with(tenant, phone).await?);
        }
        let mut calls = Vec::new();
        for enrollment in &enrollments {
            for call in core.calls_of(tenant, enrollment.id).await? {
                let events = core.store.call_events(tenant, call.attempt.id).await?;
                calls.push((call, events));
            }
        }
        Ok(Held {
            contact,
            enrollments,
            calls,
            suppressions: core.entries_about(tenant, &person).await?,
            rejected_rows: core.store.rejected_about(tenant, &person).await?,
        })
    }
}

impl Core {
    /// Every attempt made for an enrollment.
    pub(super) async fn calls_of(
        &self,
        tenant: TenantId,
        enrollment: EnrollmentId,
    ) -> EngineResult<Vec<CallRecord>> {
        let filter = CallFilter {
            enrollment: Some(enrollment),
            ..CallFilter::default()
        };
        let mut page = PageRequest {
            limit: PAGE,
            cursor: None,
        };
        let mut calls = Vec::new();
        loop {
            let found = self.store.list_calls(tenant, &filter, &page).await?;
            calls.extend(found.items);
            page.cursor = match found.next {
                Some(cursor) => Some(cursor),
                None => return Ok(calls),
            };
        }
    }

    async fn entries_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> EngineResult<Vec<SuppressionEntry>> {
        let mut entries = Vec::new();
        for subject in person.subjects() {
            entries.extend(self.entries_naming(tenant, &subject).await?);
        }
        if let Some(rules) = self.store.tenant_rules(tenant).await? {
            let hashes: Vec<Subject> = erase::hashes(&rules.salt, person).collect();
            let in_force = self.store.suppressions_of(tenant, &hashes).await?;
            entries.extend(in_force.into_iter().map(|suppression| SuppressionEntry {
                suppression,
                lifted: None,
            }));
        }
        Ok(entries)
    }

    async fn entries_naming(
        &self,
        tenant: TenantId,
        subject: &Subject,
    ) -> EngineResult<Vec<SuppressionEntry>> {
        let search = match subject {
            Subject::Phone(phone) => phone.as_str(),
            Subject::Email(text) | Subject::Hash(text) => text,
        };
        let mut page = PageRequest {
            limit: PAGE,
            cursor: None,
        };
        let mut entries = Vec::new();
        loop {
            let found = self
                .store
                .list_suppressions(tenant, Some(search), &page)
                .await?;
            let about = |entry: &SuppressionEntry| entry.suppression.subject == *subject;
            entries.extend(found.items.into_iter().filter(about));
            page.cursor = match found.next {
                Some(cursor) => Some(cursor),
                None => return Ok(entries),
            };
        }
    }
}
