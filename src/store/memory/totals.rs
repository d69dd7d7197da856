//! The figures that are kept with every change: progress and usage.

use std::collections::BTreeMap;

use crate::{
    domain::{
        Timestamp,
        attempt::AttemptState,
        enrollment::{CallRecord, Progress},
        ids::{CampaignId, TenantId},
        pacing::Usage,
    },
    store::records::Bucket,
};

/// What each campaign comes to.
#[derive(Default)]
pub struct Totals {
    buckets: BTreeMap<CampaignId, BTreeMap<Bucket, u64>>,
    usage: BTreeMap<TenantId, BTreeMap<CampaignId, Usage>>,
}

impl Totals {
    /// Counts something that came into a bucket.
    pub fn add(&mut self, campaign: CampaignId, bucket: Bucket, n: u64) {
        let buckets = self.buckets.entry(campaign).or_default();
        *buckets.entry(bucket).or_default() += n;
    }

    /// Counts something that left a bucket.
    pub fn take(&mut self, campaign: CampaignId, bucket: &Bucket) {
        if let Some(n) = self
            .buckets
            .get_mut(&campaign)
            .and_then(|buckets| buckets.get_mut(bucket))
        {
            *n = n.saturating_sub(1);
        }
    }

    /// Counts what a call was and what it has become.
    pub fn change_call(&mut self, was: Option<&CallRecord>, is: &CallRecord) {
        let named = |call: &CallRecord| call.attempt.state.sid().is_some();
        let connected =
            |call: &CallRecord| matches!(call.attempt.state, AttemptState::Connected { .. });
        let open = |call: &CallRecord| call.attempt.state.is_open();
        for (bucket, counts) in [
            (Bucket::Calls, &named as &dyn Fn(&CallRecord) -> bool),
            (Bucket::Connected, &connected),
        ] {
            match (was.is_some_and(counts), counts(is)) {
                (false, true) => self.add(is.campaign, bucket, 1),
                (true, false) => self.take(is.campaign, &bucket),
                (true, true) | (false, false) => {}
            }
        }
        let usage = self.usage.entry(is.tenant).or_default();
        let usage = usage.entry(is.campaign).or_default();
        usage.last_start = usage.last_start.max(Some(is.attempt.dial_at));
        match (was.is_some_and(open), open(is)) {
            (false, true) => usage.n_open += 1,
            (true, false) => usage.n_open = usage.n_open.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
    }

    /// What is up in each of the tenant's campaigns that has any attempt.
    pub fn usage(&self, tenant: TenantId) -> BTreeMap<CampaignId, Usage> {
        self.usage.get(&tenant).cloned().unwrap_or_default()
    }

    /// All figures of a campaign.
    pub fn progress(&self, campaign: CampaignId, next_due_at: Option<Timestamp>) -> Progress {
        let mut progress = Progress {
            next_due_at,
            ..Progress::default()
        };
        for (bucket, n) in self.buckets.get(&campaign).into_iter().flatten() {
            bucket.clone().add_to(&mut progress, *n);
        }
        progress
    }
}
