//! Campaigns.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use super::{
    MongoStore,
    documents::{self, Order, to_bson},
    events, is_taken,
    transaction::{self, Outcome, Writes},
};
use crate::{
    domain::{
        campaign::Campaign,
        enrollment::Progress,
        event::Event,
        ids::{CampaignId, PlaceKey, TenantId},
    },
    store::{
        CampaignFilter, Campaigns, Events, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
        records::CampaignRecord,
    },
};

#[async_trait]
impl Campaigns for MongoStore {
    async fn insert_campaign(&self, campaign: &Campaign) -> StoreResult<()> {
        let mut document = write(campaign)?;
        document.insert("isDeleted", false);
        match self.campaigns().insert_one(document).await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Err(StoreError::Taken {
                what: campaign.id.to_string(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        let found = documents::find::<CampaignRecord>(&self.campaigns(), one(tenant, id)).await?;
        Ok(found.map(Campaign::from))
    }

    async fn find_campaign_or_deleted(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        let found = documents::find::<CampaignRecord>(&self.campaigns(), one).await?;
        Ok(found.map(Campaign::from))
    }

    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>> {
        let order = Order {
            field: "createdAt",
            is_descending: true,
        };
        let matches = matches(tenant, filter);
        let (found, total) = documents::page(&self.campaigns(), matches, order, page).await?;
        let rows = found.into_iter().map(|document| {
            let campaign = Campaign::from(documents::read::<CampaignRecord>(document)?);
            let created_at = campaign.created_at.as_millisecond();
            Ok((Position::at(created_at, campaign.id.to_string()), campaign))
        });
        let rows = rows.collect::<StoreResult<_>>()?;
        Ok(paging::cut(rows, page.limit, total))
    }

    /// On a single server the log follows the campaign: a crash between the two loses the event, which
    /// only shows the change and is no part of it.
    async fn save_campaign(&self, campaign: &Campaign, events: &[Event]) -> StoreResult<()> {
        let mut before = one(campaign.tenant, campaign.id);
        before.insert("version", to_bson(campaign.version) - 1);
        let change = doc! {"$set": write(campaign)?};
        if self.is_replicated {
            let writes = Writes {
                records: self.campaigns(),
                changes: vec![(before, change)],
                calls: vec![],
                events: events::number(self, events).await?,
            };
            let saved = transaction::run(self, &writes).await?;
            return expect_changed(saved == Outcome::Written, campaign.id);
        }
        let saved = self.campaigns().update_one(before, change).await?;
        expect_changed(saved.matched_count > 0, campaign.id)?;
        self.append_events(events).await
    }

    async fn delete_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<()> {
        let mut before = one(tenant, id);
        before.insert("version", to_bson(version));
        let update = doc! {"$set": {"isDeleted": true}};
        let deleted = self.campaigns().update_one(before, update).await?;
        expect_changed(deleted.matched_count > 0, id)
    }

    async fn progress(&self, tenant: TenantId, id: CampaignId) -> StoreResult<Progress> {
        super::progress::count(self, tenant, id).await
    }
}

/// The filter for a campaign that is not deleted.
pub fn one(tenant: TenantId, id: CampaignId) -> Document {
    doc! {"_id": id.to_string(), "tenant": tenant.to_string(), "isDeleted": false}
}

/// Makes what was decided on the campaign's present version a conflict.
pub async fn raise_version(
    store: &MongoStore,
    tenant: TenantId,
    id: CampaignId,
) -> StoreResult<()> {
    let raise = doc! {"$inc": {"version": 1_i64}};
    let raised = store.campaigns().update_one(one(tenant, id), raise).await?;
    expect_changed(raised.matched_count > 0, id)
}

/// Adds places to the ones that the campaign knows. It is done before anybody is added there, so that
/// nobody is at a place that is not known.
pub async fn know_places(
    store: &MongoStore,
    tenant: TenantId,
    id: CampaignId,
    places: BTreeSet<&PlaceKey>,
) -> StoreResult<()> {
    let places: Vec<&str> = places.into_iter().map(PlaceKey::as_str).collect();
    if places.is_empty() {
        return Ok(());
    }
    let mut lacking = one(tenant, id);
    lacking.insert("places", doc! {"$not": {"$all": &places}});
    let add = doc! {
        "$addToSet": {"places": {"$each": &places}},
        "$inc": {"version": 1_i64},
    };
    store.campaigns().update_one(lacking, add).await?;
    Ok(())
}

fn expect_changed(is_changed: bool, id: CampaignId) -> StoreResult<()> {
    match is_changed {
        true => Ok(()),
        false => Err(StoreError::Conflict {
            record: id.to_string(),
        }),
    }
}

fn write(campaign: &Campaign) -> StoreResult<Document> {
    let search_name = campaign.name.to_lowercase();
    documents::write(
        &CampaignRecord(campaign.clone()),
        doc! {"searchName": search_name},
    )
}

fn matches(tenant: TenantId, filter: &CampaignFilter) -> Document {
    let mut matches = doc! {"tenant": tenant.to_string()};
    if !filter.with_deleted {
        matches.insert("isDeleted", false);
    }
    if let Some(status) = &filter.status {
        matches.insert("status.name", status);
    }
    if let Some(search) = &filter.search {
        matches.insert("$expr", documents::contains("$searchName", search));
    }
    matches
}
