//! The tenant's own numbers: which one a call comes from, and which of them rest.
//!
//! Counted from the records when this process begins to dispatch for a tenant and when a day begins;
//! in between it opens every attempt itself, so it counts along.

use std::{
    cmp::max,
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tracing::{info, warn};

use super::{Core, EngineResult};
use crate::{
    domain::{
        Timestamp,
        caller_id::{self, CallerIdPool, Choice, NumberUsage, Pick},
        campaign::{Campaign, PauseReason},
        enrollment::Enrollment,
        fairness,
        ids::{CampaignId, TenantId},
        outcome::Fault,
        phone::PhoneNumber,
    },
    store::{CallFilter, PageRequest},
};

/// How long a number rests that the carrier refused as caller id.
const REST: Duration = Duration::from_secs(3600);

/// How often a campaign that has no call of the day left has them counted again.
const COUNT_AGAIN: Duration = Duration::from_secs(60);

/// What is known of a tenant's numbers on one day. Attempts that are given back stay counted until the
/// records are read again.
#[derive(Debug, Default)]
pub(super) struct NumberBook {
    counted_at: Option<Timestamp>,
    usage: BTreeMap<PhoneNumber, NumberUsage>,
}

impl Core {
    /// The numbers that a campaign calls from: its own, or the tenant's in turn.
    pub(super) fn caller_pool(&self, campaign: &Campaign) -> CallerIdPool {
        campaign.policy.caller_ids.clone().unwrap_or(CallerIdPool {
            numbers: self.settings.caller_ids.clone(),
            choice: Choice::RoundRobin,
            per_day: None,
            cooling: None,
        })
    }

    /// The number that the enrollment's next attempt comes from when it starts at `at`. It counts when
    /// the start is noted.
    pub(super) async fn pick_caller(
        &self,
        campaign: &Campaign,
        enrollment: &Enrollment,
        at: Timestamp,
    ) -> EngineResult<Pick> {
        self.open_book(campaign.tenant, at).await?;
        let pool = self.caller_pool(campaign);
        let mut state = self.carrier_state();
        let book = state.numbers.entry(campaign.tenant).or_default();
        let id = enrollment.next_attempt_id();
        Ok(enrollment.phone.known().map_or(Pick::None, |phone| {
            caller_id::choose(&pool, &book.usage, phone, id, at)
        }))
    }

    /// Until when a campaign can call from none of its numbers, as far as is known at `now`, because
    /// they cool down, rest or have made their calls of the day; none when it can, and where it has no
    /// number at all.
    pub(super) async fn numbers_rest_until(
        &self,
        campaign: &Campaign,
        now: Timestamp,
    ) -> EngineResult<Option<Timestamp>> {
        let tenant = campaign.tenant;
        self.open_book(tenant, now).await?;
        let pool = self.caller_pool(campaign);
        let rest_until = || {
            let free_at = caller_id::next_free_at(&pool, &self.number_usage(tenant), now);
            free_at.filter(|at| *at > now)
        };
        let until = rest_until();
        if until.is_none_or(|until| caller_id::day_of(until) == caller_id::day_of(now)) {
            return Ok(until);
        }
        if self
            .counted_at(tenant)
            .is_none_or(|at| at + COUNT_AGAIN <= now)
        {
            self.count_numbers(tenant, now).await?;
        }
        let again_at = self.counted_at(tenant).map(|at| at + COUNT_AGAIN);
        Ok(rest_until().map(|until| again_at.map_or(until, |again| until.min(again))))
    }

    /// Those of `starts` for which the campaign has a number to call from.
    pub(super) async fn with_numbers(
        &self,
        campaign: &Campaign,
        starts: &[Timestamp],
    ) -> EngineResult<Vec<Timestamp>> {
        let Some(first) = starts.first() else {
            return Ok(Vec::new());
        };
        self.open_book(campaign.tenant, *first).await?;
        let pool = self.caller_pool(campaign);
        let usage = self.number_usage(campaign.tenant);
        Ok(caller_id::with_numbers(&pool, &usage, starts))
    }

    /// How the tenant's numbers are used, as far as this process knows.
    pub(super) fn number_usage(&self, tenant: TenantId) -> BTreeMap<PhoneNumber, NumberUsage> {
        let state = self.carrier_state();
        let book = state.numbers.get(&tenant);
        book.map(|book| book.usage.clone()).unwrap_or_default()
    }

    /// Reads how the tenant's numbers were used on the day of `at`, unless that is known.
    async fn open_book(&self, tenant: TenantId, at: Timestamp) -> EngineResult<()> {
        let is_open = self
            .counted_at(tenant)
            .is_some_and(|counted_at| caller_id::day_of(counted_at) == caller_id::day_of(at));
        if !is_open {
            self.count_numbers(tenant, at).await?;
        }
        Ok(())
    }

    fn counted_at(&self, tenant: TenantId) -> Option<Timestamp> {
        self.carrier_state().numbers.get(&tenant)?.counted_at
    }

    /// Reads how the tenant's numbers were used on the day of `at`.
    async fn count_numbers(&self, tenant: TenantId, at: Timestamp) -> EngineResult<()> {
        let used = self
            .store
            .caller_usage(tenant, caller_id::day_of(at))
            .await?;
        let mut state = self.carrier_state();
        let book = state.numbers.entry(tenant).or_default();
        book.counted_at = Some(at);
        for usage in book.usage.values_mut() {
            usage.n_today = 0;
        }
        for (number, used) in used {
            let usage = book.usage.entry(number).or_default();
            usage.n_today = used.n;
            usage.last_start = max(usage.last_start, Some(used.last_start));
        }
        Ok(())
    }

    /// Whose the tenant's latest dial starts were, oldest first.
    pub(super) async fn past_starts(&self, tenant: TenantId) -> EngineResult<Vec<CampaignId>> {
        if let Some(starts) = self.carrier_state().starts.get(&tenant) {
            return Ok(starts.iter().copied().collect());
        }
        let latest = PageRequest::first(u32::try_from(fairness::HISTORY).unwrap_or(u32::MAX));
        let calls = self
            .store
            .list_calls(tenant, &CallFilter::default(), &latest)
            .await?;
        let starts: VecDeque<CampaignId> =
            calls.items.iter().rev().map(|call| call.campaign).collect();
        self.carrier_state().starts.insert(tenant, starts.clone());
        Ok(starts.into())
    }

    /// Remembers a dial start that was given out. Whom a rule holds back takes neither a number's
    /// place nor a campaign's turn.
    pub(super) fn note_start(&self, enrollment: &Enrollment, from: &PhoneNumber, at: Timestamp) {
        let mut state = self.carrier_state();
        let book = state.numbers.entry(enrollment.tenant).or_default();
        let usage = book.usage.entry(from.clone()).or_default();
        *usage = usage.after_start(at);
        if let Some(starts) = state.starts.get_mut(&enrollment.tenant) {
            starts.push_back(enrollment.campaign);
            if starts.len() > fairness::HISTORY {
                starts.pop_front();
            }
        }
    }

    /// Whoever dispatches next counts anew.
    pub(super) fn close_book(&self, tenant: TenantId) {
        let mut state = self.carrier_state();
        state.numbers.remove(&tenant);
        state.starts.remove(&tenant);
    }

    /// Lets a number rest that the carrier does not accept as caller id (F-21). The campaign stands
    /// still when no other is left.
    pub(super) async fn rest_number(
        &self,
        campaign: &Campaign,
        number: &PhoneNumber,
        fault: Fault,
    ) {
        let now = self.now();
        let pool = self.caller_pool(campaign);
        let has_another = {
            let mut state = self.carrier_state();
            let book = state.numbers.entry(campaign.tenant).or_default();
            book.usage.entry(number.clone()).or_default().rests_until = Some(now + REST);
            let rests = |number: &PhoneNumber| {
                book.usage
                    .get(number)
                    .is_some_and(|usage| usage.rests_until.is_some_and(|until| until > now))
            };
            pool.numbers.iter().any(|number| !rests(number))
        };
        if has_another {
            warn!(from = %number.masked(), detail = fault.detail, "a caller number rests");
            return;
        }
        info!("no caller number is left");
        self.stand_still(campaign, PauseReason::Carrier(fault))
            .await;
        // Whoever resumes has mended it, or wants to see.
        self.close_book(campaign.tenant);
    }
}
