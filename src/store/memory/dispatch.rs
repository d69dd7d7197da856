//! Leases, claims and what pacing needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus},
        enrollment::Enrollment,
        ids::{CampaignId, NodeId, PlaceKey, TenantId},
        pacing::Usage,
        rules::Rule,
    },
    store::{self, ClaimRequest, Fencing, StoreError, StoreResult},
};

/// The tenants and who dispatches for them.
#[derive(Default)]
pub struct Leases {
    tenants: BTreeSet<TenantId>,
    by_tenant: BTreeMap<TenantId, Lease>,
}

struct Lease {
    node: NodeId,
    fencing: u64,
    /// None once it was given back.
    ends_at: Option<Timestamp>,
}

impl Lease {
    fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|end| end <= now)
    }
}

impl Leases {
    fn hold(
        &mut self,
        tenant: TenantId,
        node: NodeId,
        until: Timestamp,
        now: Timestamp,
    ) -> Option<Fencing> {
        let fencing = match self.by_tenant.get(&tenant) {
            None => 1,
            Some(lease) if lease.has_ended(now) => lease.fencing + 1,
            Some(lease) if lease.node == node => lease.fencing,
            Some(_) => return None,
        };
        let lease = Lease {
            node,
            fencing,
            ends_at: Some(until),
        };
        self.by_tenant.insert(tenant, lease);
        Some(Fencing(fencing))
    }

    fn holds(&self, request: &ClaimRequest) -> bool {
        self.by_tenant.get(&request.tenant).is_some_and(|lease| {
            lease.fencing == request.fencing.0
                && lease.node == request.node
                && !lease.has_ended(request.now)
        })
    }
}

#[async_trait]
impl store::Dispatch for MemoryStore {
    async fn list_tenants(&self) -> StoreResult<Vec<TenantId>> {
        Ok(self.records().dispatch.tenants.iter().copied().collect())
    }

    async fn ensure_tenant(&self, tenant: TenantId) -> StoreResult<()> {
        self.records().dispatch.tenants.insert(tenant);
        Ok(())
    }

    async fn hold_lease(
        &self,
        tenant: TenantId,
        node: NodeId,
        ttl: Duration,
        now: Timestamp,
    ) -> StoreResult<Option<Fencing>> {
        Ok(self.records().dispatch.hold(tenant, node, now + ttl, now))
    }

    async fn lease_holder(&self, tenant: TenantId, now: Timestamp) -> StoreResult<Option<NodeId>> {
        let records = self.records();
        let lease = records.dispatch.by_tenant.get(&tenant);
        let held = lease.filter(|lease| !lease.has_ended(now));
        Ok(held.map(|lease| lease.node))
    }

    async fn release_lease(&self, tenant: TenantId, node: NodeId) -> StoreResult<()> {
        if let Some(lease) = self
            .records()
            .dispatch
            .by_tenant
            .get_mut(&tenant)
            .filter(|lease| lease.node == node)
        {
            lease.ends_at = None;
        }
        Ok(())
    }

    async fn active_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        Ok(self.records().campaigns.active(tenant))
    }

    async fn scheduled_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        Ok(self.records().campaigns.scheduled(tenant))
    }

    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
        Ok(self.records().totals.usage(tenant))
    }

    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
        let mut records = self.records();
        if !records.dispatch.holds(request) {
            return Err(StoreError::LeaseLost {
                tenant: request.tenant,
            });
        }
        let is_active = records
            .campaigns
            .find(request.tenant, request.campaign)
            .is_some_and(|campaign| campaign.status == CampaignStatus::Active);
        if !is_active {
            return Ok(Vec::new());
        }
        Ok(records.enrollments.claim(request))
    }

    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> StoreResult<u64> {
        let enrollments = &mut self.records().enrollments;
        Ok(enrollments.release_held(tenant, campaign, rules, now))
    }

    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        places: Option<&[PlaceKey]>,
    ) -> StoreResult<Option<Timestamp>> {
        let records = self.records();
        let is_theirs = records.campaigns.is_of(tenant, campaign);
        Ok(is_theirs
            .then(|| records.enrollments.next_due(campaign, places))
            .flatten())
    }

    async fn overdue(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<Enrollment>> {
        let limit = limit.get() as usize;
        Ok(self.records().enrollments.overdue(tenant, now, limit))
    }
}
