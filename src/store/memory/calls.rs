//! Call records.

use std::collections::{BTreeMap, BTreeSet};

use super::Records;
use crate::{
    domain::{
        Timestamp,
        enrollment::CallRecord,
        erasure::KeptNumber,
        ids::{AttemptId, CallSid, CampaignId, ConversationId, EnrollmentId, TenantId},
        outcome::Outcome,
        phone::PhoneNumber,
    },
    store::{
        CallFilter, Page, PageRequest, StoreResult,
        paging::{self, Position},
    },
};

const FIRST: AttemptId = AttemptId {
    enrollment: EnrollmentId::new(uuid::Uuid::nil()),
    number: 0,
};
const LAST: AttemptId = AttemptId {
    enrollment: EnrollmentId::new(uuid::Uuid::max()),
    number: u32::MAX,
};

/// All calls.
#[derive(Default)]
pub struct Calls {
    by_id: BTreeMap<AttemptId, CallRecord>,
    by_sid: BTreeMap<(TenantId, CallSid), AttemptId>,
    by_conversation: BTreeMap<(TenantId, ConversationId), AttemptId>,
    /// By dial start.
    by_tenant: BTreeSet<(TenantId, Timestamp, AttemptId)>,
    by_campaign: BTreeSet<(CampaignId, Timestamp, AttemptId)>,
    by_person: BTreeSet<(TenantId, KeptNumber, Timestamp, AttemptId)>,
}

impl Calls {
    /// One call.
    pub fn find(&self, tenant: TenantId, id: AttemptId) -> Option<&CallRecord> {
        self.by_id.get(&id).filter(|call| call.tenant == tenant)
    }

    /// The call that the carrier calls `sid`.
    pub fn find_by_sid(&self, tenant: TenantId, sid: &CallSid) -> Option<&CallRecord> {
        let id = self.by_sid.get(&(tenant, sid.clone()))?;
        self.by_id.get(id)
    }

    /// The call in which the agent's vendor held that conversation.
    pub fn find_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> Option<&CallRecord> {
        let id = self.by_conversation.get(&(tenant, conversation.clone()))?;
        self.by_id.get(id)
    }

    /// A tenant's calls whose dial start was at `since` or later, in order.
    pub fn of_tenant(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> impl DoubleEndedIterator<Item = &CallRecord> {
        self.by_tenant
            .range((tenant, since, FIRST)..=(tenant, Timestamp::MAX, LAST))
            .map(|(_, _, id)| &self.by_id[id])
    }

    /// A campaign's calls by their dial start.
    pub fn of_campaign(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> impl DoubleEndedIterator<Item = &CallRecord> {
        self.by_campaign
            .range((campaign, Timestamp::MIN, FIRST)..=(campaign, Timestamp::MAX, LAST))
            .map(|(_, _, id)| &self.by_id[id])
            .filter(move |call| call.tenant == tenant)
    }

    /// The calls to a number by their dial start.
    pub fn to_person(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> impl DoubleEndedIterator<Item = &CallRecord> {
        let to = KeptNumber::Known(to.clone());
        let first = (tenant, to.clone(), Timestamp::MIN, FIRST);
        let last = (tenant, to, Timestamp::MAX, LAST);
        self.by_person
            .range(first..=last)
            .map(|(_, _, _, id)| &self.by_id[id])
    }

    fn put(&mut self, call: CallRecord) {
        let id = call.attempt.id;
        if let Some(before) = self.by_id.get(&id) {
            let (dial_at, to) = (before.attempt.dial_at, before.attempt.to.clone());
            self.by_tenant.remove(&(before.tenant, dial_at, id));
            self.by_campaign.remove(&(before.campaign, dial_at, id));
            self.by_person.remove(&(before.tenant, to, dial_at, id));
        }
        let (dial_at, to) = (call.attempt.dial_at, call.attempt.to.clone());
        self.by_tenant.insert((call.tenant, dial_at, id));
        self.by_campaign.insert((call.campaign, dial_at, id));
        self.by_person.insert((call.tenant, to, dial_at, id));
        if let Some(sid) = call.attempt.state.sid() {
            self.by_sid.insert((call.tenant, sid.clone()), id);
        }
        if let Some(conversation) = &call.attempt.facts.conversation {
            self.by_conversation
                .insert((call.tenant, conversation.clone()), id);
        }
        self.by_id.insert(id, call);
    }

    /// Calls, latest start first.
    pub fn list(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>> {
        let after = Position::read(page.cursor.as_deref(), Position::END)?;
        let mut found: Vec<(Position, &CallRecord)> = self
            .by_id
            .values()
            .filter(|call| call.tenant == tenant && matches(filter, call))
            .map(|call| {
                let dial_at = call.attempt.dial_at.as_millisecond();
                (Position::at(dial_at, call.attempt.id.to_string()), call)
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| (b.number, &b.id).cmp(&(a.number, &a.id)));
        let total = found.len() as u64;
        let rows = found
            .into_iter()
            .filter(|(at, _)| (at.number, &at.id) < (after.number, &after.id))
            .take(page.limit.get() as usize + 1)
            .map(|(at, call)| (at, call.clone()));
        Ok(paging::cut(rows.collect(), page.limit, total))
    }
}

fn matches(filter: &CallFilter, call: &CallRecord) -> bool {
    let attempt = &call.attempt;
    filter.campaign.is_none_or(|id| call.campaign == id)
        && filter
            .enrollment
            .is_none_or(|id| attempt.id.enrollment == id)
        && filter
            .open
            .is_none_or(|open| attempt.state.is_open() == open)
        && filter
            .outcome
            .as_ref()
            .is_none_or(|name| attempt.state.outcome().map(Outcome::name) == Some(name))
        && is_by(filter.price_due_by, attempt.facts.price_ask_at())
        && is_by(filter.recorded_by, attempt.facts.recorded_at())
}

/// Whether something happens by then, where that is asked.
fn is_by(asked: Option<Timestamp>, at: Option<Timestamp>) -> bool {
    asked.is_none_or(|by| at.is_some_and(|at| at <= by))
}

impl Records {
    /// Adds or replaces a call and what it counts for.
    pub fn save_call(&mut self, call: CallRecord) {
        let id = call.attempt.id;
        let was = self.calls.by_id.get(&id);
        self.totals.change_call(was, &call);
        self.calls.put(call);
    }
}
