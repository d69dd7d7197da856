//! Figures and facts that policies go by, counted where they are asked for.

use std::{collections::BTreeMap, num::NonZeroU32};

use async_trait::async_trait;

use super::{MemoryStore, Records};
use crate::{
    domain::{
        Timestamp,
        attempt::{Attempt, AttemptState},
        enrollment::{CallRecord, EnrollmentState},
        ids::{CampaignId, PlaceKey, TenantId},
        phone::PhoneNumber,
        rules::Rule,
    },
    store::{self, CallTotals, CallerUsage, StoreResult, WaitingGroup, records::CallCounts},
};

#[async_trait]
impl store::Figures for MemoryStore {
    async fn places(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<Vec<PlaceKey>> {
        let records = self.records();
        Ok(match records.campaigns.is_of(tenant, campaign) {
            true => records.enrollments.places(campaign),
            false => Vec::new(),
        })
    }

    async fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        now: Timestamp,
    ) -> StoreResult<Vec<WaitingGroup>> {
        Ok(self.records().waiting(tenant, campaign, now))
    }

    async fn finished_by_rule(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<BTreeMap<Rule, u64>> {
        let records = self.records();
        let mut counted = BTreeMap::new();
        for enrollment in records.enrollments.of(tenant, campaign) {
            if let EnrollmentState::Finished {
                by_rule: Some(rule),
                ..
            } = enrollment.state
            {
                *counted.entry(rule).or_default() += 1;
            }
        }
        Ok(counted)
    }

    async fn call_totals(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        since: Timestamp,
    ) -> StoreResult<CallTotals> {
        let records = self.records();
        let mut totals = CallTotals::default();
        let counts = records
            .calls
            .of_campaign(tenant, campaign)
            .filter(|call| call.attempt.dial_at >= since)
            .filter_map(|call| CallCounts::of(&call.attempt));
        for counts in counts {
            totals.n_calls += 1;
            totals.n_answered += u64::from(counts.is_answered);
            totals.n_abandoned += u64::from(counts.is_abandoned);
            totals.n_silent += u64::from(counts.is_silent);
            totals.billed_minutes += counts.billed_minutes;
        }
        Ok(totals)
    }

    async fn recent_calls(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<CallRecord>> {
        let records = self.records();
        let calls = records.calls.of_campaign(tenant, campaign).rev();
        let over = calls.filter(|call| !call.attempt.state.is_open());
        Ok(over.take(limit.get() as usize).cloned().collect())
    }

    async fn caller_usage(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> StoreResult<BTreeMap<PhoneNumber, CallerUsage>> {
        let records = self.records();
        let mut usage: BTreeMap<PhoneNumber, CallerUsage> = BTreeMap::new();
        let used = records.calls.of_tenant(tenant, since);
        for attempt in used.map(|call| &call.attempt).filter(was_started) {
            let own = usage.entry(attempt.from.clone()).or_insert(CallerUsage {
                n: 0,
                last_start: attempt.dial_at,
            });
            own.n += 1;
            own.last_start = own.last_start.max(attempt.dial_at);
        }
        Ok(usage)
    }

    async fn attempts_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
        since: Timestamp,
    ) -> StoreResult<Vec<CallRecord>> {
        let records = self.records();
        let calls = records.calls.to_person(tenant, to).rev();
        Ok(calls
            .filter(|call| call.attempt.dial_at >= since && was_started(&&call.attempt))
            .cloned()
            .collect())
    }

    async fn open_calls_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> StoreResult<Vec<CallRecord>> {
        let records = self.records();
        let calls = records.calls.to_person(tenant, to).rev();
        let open = calls.filter(|call| call.attempt.state.is_open());
        Ok(open.cloned().collect())
    }
}

fn was_started(attempt: &&Attempt) -> bool {
    !matches!(attempt.state, AttemptState::Released { .. })
}

impl Records {
    fn waiting(&self, tenant: TenantId, campaign: CampaignId, now: Timestamp) -> Vec<WaitingGroup> {
        let mut groups = BTreeMap::new();
        for (enrollment, ready_at) in self.enrollments.waiting(tenant, campaign) {
            let EnrollmentState::Waiting { held_by, .. } = enrollment.state else {
                continue;
            };
            let tried = enrollment.n_attempts > 0;
            let place = enrollment.place.clone();
            let key = (place.clone(), held_by.map(Rule::name), !tried);
            let group = groups.entry(key).or_insert(WaitingGroup {
                place,
                held_by,
                tried,
                n: 0,
                n_due: 0,
                next_due_at: None,
            });
            group.n += 1;
            if ready_at <= now {
                group.n_due += 1;
            } else {
                let next = group.next_due_at.unwrap_or(ready_at);
                group.next_due_at = Some(next.min(ready_at));
            }
        }
        groups.into_values().collect()
    }
}
