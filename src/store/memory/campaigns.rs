//! Campaigns.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        campaign::{Campaign, CampaignStatus},
        enrollment::Progress,
        event::Event,
        ids::{CampaignId, TenantId},
    },
    store::{
        self, CampaignFilter, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
    },
};

/// All campaigns.
#[derive(Default)]
pub struct Campaigns {
    by_id: BTreeMap<CampaignId, Kept>,
}

struct Kept {
    campaign: Campaign,
    is_deleted: bool,
}

impl Campaigns {
    /// The campaign, unless it is unknown or deleted.
    pub fn find(&self, tenant: TenantId, id: CampaignId) -> Option<&Campaign> {
        self.by_id
            .get(&id)
            .filter(|kept| kept.campaign.tenant == tenant && !kept.is_deleted)
            .map(|kept| &kept.campaign)
    }

    /// Whether it is a campaign of the tenant, deleted or not.
    pub fn is_of(&self, tenant: TenantId, id: CampaignId) -> bool {
        self.by_id
            .get(&id)
            .is_some_and(|kept| kept.campaign.tenant == tenant)
    }

    /// Makes what was decided on the campaign's present version a conflict.
    pub fn raise_version(&mut self, id: CampaignId) {
        if let Some(kept) = self.by_id.get_mut(&id) {
            kept.campaign.version += 1;
        }
    }

    /// The tenant's active campaigns, oldest start first.
    pub fn active(&self, tenant: TenantId) -> Vec<Campaign> {
        let mut active: Vec<Campaign> = self
            .of(tenant)
            .filter(|campaign| campaign.status == CampaignStatus::Active)
            .cloned()
            .collect();
        active.sort_by_key(|campaign| (campaign.started_at, campaign.id));
        active
    }

    /// The tenant's campaigns that wait for their start, first created first.
    pub fn scheduled(&self, tenant: TenantId) -> Vec<Campaign> {
        let mut scheduled: Vec<Campaign> = self
            .of(tenant)
            .filter(|campaign| campaign.status == CampaignStatus::Scheduled)
            .cloned()
            .collect();
        scheduled.sort_by_key(|campaign| (campaign.created_at, campaign.id));
        scheduled
    }

    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Campaign> {
        self.by_id
            .values()
            .filter(move |kept| kept.campaign.tenant == tenant && !kept.is_deleted)
            .map(|kept| &kept.campaign)
    }

    fn of_version(
        &mut self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<&mut Kept> {
        self.by_id
            .get_mut(&id)
            .filter(|kept| {
                kept.campaign.tenant == tenant
                    && kept.campaign.version == version
                    && !kept.is_deleted
            })
            .ok_or_else(|| StoreError::Conflict {
                record: id.to_string(),
            })
    }

    fn list(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>> {
        let after = Position::read(page.cursor.as_deref(), Position::END)?;
        let search = filter.search.as_ref().map(|text| text.to_lowercase());
        let mut found: Vec<(Position, &Campaign)> = self
            .by_id
            .values()
            .filter(|kept| filter.with_deleted || !kept.is_deleted)
            .map(|kept| &kept.campaign)
            .filter(|campaign| campaign.tenant == tenant)
            .filter(|campaign| {
                filter
                    .status
                    .as_ref()
                    .is_none_or(|status| campaign.status.name() == status)
                    && search
                        .as_ref()
                        .is_none_or(|text| campaign.name.to_lowercase().contains(text))
            })
            .map(|campaign| {
                let created_at = campaign.created_at.as_millisecond();
                (Position::at(created_at, campaign.id.to_string()), campaign)
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| (b.number, &b.id).cmp(&(a.number, &a.id)));
        let total = found.len() as u64;
        let rows = found
            .into_iter()
            .filter(|(at, _)| (at.number, &at.id) < (after.number, &after.id))
            .map(|(at, campaign)| (at, campaign.clone()));
        Ok(paging::cut(rows.collect(), page.limit, total))
    }
}

#[async_trait]
impl store::Campaigns for MemoryStore {
    async fn insert_campaign(&self, campaign: &Campaign) -> StoreResult<()> {
        let campaigns = &mut self.records().campaigns.by_id;
        if campaigns.contains_key(&campaign.id) {
            return Err(StoreError::Taken {
                what: campaign.id.to_string(),
            });
        }
        let kept = Kept {
            campaign: campaign.clone(),
            is_deleted: false,
        };
        campaigns.insert(campaign.id, kept);
        Ok(())
    }

    async fn find_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        Ok(self.records().campaigns.find(tenant, id).cloned())
    }

    async fn find_campaign_or_deleted(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        let records = self.records();
        let kept = records.campaigns.by_id.get(&id);
        Ok(kept
            .map(|kept| kept.campaign.clone())
            .filter(|campaign| campaign.tenant == tenant))
    }

    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>> {
        self.records().campaigns.list(tenant, filter, page)
    }

    async fn save_campaign(&self, campaign: &Campaign, events: &[Event]) -> StoreResult<()> {
        let mut records = self.records();
        let before = campaign.version - 1;
        let kept = records
            .campaigns
            .of_version(campaign.tenant, campaign.id, before)?;
        kept.campaign = campaign.clone();
        records.log.append(events);
        self.logged.send_replace(());
        Ok(())
    }

    async fn delete_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<()> {
        let mut records = self.records();
        records
            .campaigns
            .of_version(tenant, id, version)?
            .is_deleted = true;
        Ok(())
    }

    async fn progress(&self, tenant: TenantId, id: CampaignId) -> StoreResult<Progress> {
        Ok(self.records().progress(tenant, id))
    }
}
