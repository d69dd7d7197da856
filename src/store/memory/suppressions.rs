//! Those who must not be contacted, and what a tenant has set for all its campaigns.

use std::collections::{BTreeMap, btree_map::Entry};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        ids::{SuppressionId, TenantId},
        suppression::{Scope, Subject, Suppression},
    },
    store::{
        self, Lift, Page, PageRequest, StoreResult, SuppressionEntry, TenantRules,
        paging::{self, Position},
        records,
    },
};

/// All lists of those who must not be contacted.
#[derive(Default)]
pub struct Suppressions {
    by_id: BTreeMap<SuppressionId, SuppressionEntry>,
    in_force: BTreeMap<(TenantId, Subject, Scope), SuppressionId>,
    rules: BTreeMap<TenantId, TenantRules>,
}

impl Suppressions {
    /// Adds an entry; false when there is one in force that says the same.
    fn add(&mut self, entry: &Suppression) -> bool {
        let says = (entry.tenant, entry.subject.clone(), entry.scope);
        let (Entry::Vacant(own), Entry::Vacant(in_force)) =
            (self.by_id.entry(entry.id), self.in_force.entry(says))
        else {
            return false;
        };
        in_force.insert(entry.id);
        own.insert(SuppressionEntry {
            suppression: entry.clone(),
            lifted: None,
        });
        true
    }

    /// The entries in force that name `subject`.
    fn of<'a>(
        &'a self,
        tenant: TenantId,
        subject: &'a Subject,
    ) -> impl Iterator<Item = &'a Suppression> {
        self.in_force
            .range((tenant, subject.clone(), Scope::All)..)
            .take_while(move |((owner, named, _), _)| *owner == tenant && named == subject)
            .map(|(_, id)| &self.by_id[id].suppression)
    }

    /// Takes every entry out that names one of `subjects`, lifted ones too.
    pub fn forget(&mut self, tenant: TenantId, subjects: &[Subject]) {
        let is_named =
            |owner: TenantId, subject: &Subject| owner == tenant && subjects.contains(subject);
        self.by_id
            .retain(|_, entry| !is_named(entry.suppression.tenant, &entry.suppression.subject));
        self.in_force
            .retain(|(owner, subject, _), _| !is_named(*owner, subject));
    }

    fn list(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>> {
        let after = Position::read(page.cursor.as_deref(), Position::END)?;
        let search = search.map(str::to_lowercase);
        let mut found: Vec<(Position, &SuppressionEntry)> = self
            .by_id
            .values()
            .filter(|entry| {
                let own = &entry.suppression;
                own.tenant == tenant
                    && search
                        .as_ref()
                        .is_none_or(|text| records::search_text(own).contains(text))
            })
            .map(|entry| {
                let own = &entry.suppression;
                let at = Position::at(own.at.as_millisecond(), own.id.to_string());
                (at, entry)
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| (b.number, &b.id).cmp(&(a.number, &a.id)));
        let total = found.len() as u64;
        let rows = found
            .into_iter()
            .filter(|(at, _)| (at.number, &at.id) < (after.number, &after.id))
            .take(page.limit.get() as usize + 1)
            .map(|(at, entry)| (at, entry.clone()));
        Ok(paging::cut(rows.collect(), page.limit, total))
    }

    fn lift(&mut self, tenant: TenantId, id: SuppressionId, lift: &Lift) -> bool {
        let Some(entry) = self
            .by_id
            .get_mut(&id)
            .filter(|entry| entry.suppression.tenant == tenant && entry.lifted.is_none())
        else {
            return false;
        };
        entry.lifted = Some(lift.clone());
        let own = &entry.suppression;
        self.in_force
            .remove(&(tenant, own.subject.clone(), own.scope));
        true
    }
}

#[async_trait]
impl store::Suppressions for MemoryStore {
    async fn add_suppressions(&self, entries: &[Suppression]) -> StoreResult<u64> {
        let suppressions = &mut self.records().suppressions;
        let n_new = entries
            .iter()
            .filter(|entry| suppressions.add(entry))
            .count();
        Ok(n_new as u64)
    }

    async fn suppressions_of(
        &self,
        tenant: TenantId,
        subjects: &[Subject],
    ) -> StoreResult<Vec<Suppression>> {
        let suppressions = &self.records().suppressions;
        let mut found: Vec<Suppression> = subjects
            .iter()
            .flat_map(|subject| suppressions.of(tenant, subject))
            .cloned()
            .collect();
        found.sort_by_key(|entry| (entry.at, entry.id));
        found.dedup();
        Ok(found)
    }

    async fn list_suppressions(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>> {
        self.records().suppressions.list(tenant, search, page)
    }

    async fn lift_suppression(
        &self,
        tenant: TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> StoreResult<bool> {
        Ok(self.records().suppressions.lift(tenant, id, lift))
    }

    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<Option<TenantRules>> {
        Ok(self.records().suppressions.rules.get(&tenant).cloned())
    }

    async fn save_tenant_rules(
        &self,
        tenant: TenantId,
        rules: &TenantRules,
    ) -> StoreResult<TenantRules> {
        let all = &mut self.records().suppressions.rules;
        let kept = all.entry(tenant).or_insert_with(|| rules.clone());
        kept.holidays = rules.holidays.clone();
        Ok(kept.clone())
    }
}
