//! Campaigns.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{SqliteStore, events, from_sql, is_taken, reads, to_sql, totals};
use crate::{
    domain::{
        campaign::Campaign,
        enrollment::Progress,
        event::Event,
        ids::{CampaignId, TenantId},
    },
    store::{
        CampaignFilter, Campaigns, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
        records::{self, CampaignRecord},
    },
};

#[async_trait]
impl Campaigns for SqliteStore {
    async fn insert_campaign(&self, campaign: &Campaign) -> StoreResult<()> {
        let campaign = campaign.clone();
        self.write(move |connection| insert(connection, campaign))
            .await
    }

    async fn find_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        self.read(move |connection| {
            let found = select(
                connection,
                "SELECT version, body FROM campaigns
                 WHERE id = ?1 AND tenant = ?2 AND is_deleted = 0",
                [id.to_string(), tenant.to_string()],
            )?;
            Ok(found.into_iter().next())
        })
        .await
    }

    async fn find_campaign_or_deleted(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        self.read(move |connection| {
            let found = select(
                connection,
                "SELECT version, body FROM campaigns WHERE id = ?1 AND tenant = ?2",
                [id.to_string(), tenant.to_string()],
            )?;
            Ok(found.into_iter().next())
        })
        .await
    }

    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| list(connection, tenant, filter, &page))
            .await
    }

    async fn save_campaign(&self, campaign: &Campaign, events: &[Event]) -> StoreResult<()> {
        let (campaign, events) = (campaign.clone(), events.to_vec());
        self.write(move |connection| {
            update(connection, campaign)?;
            events::append(connection, &events)
        })
        .await
    }

    async fn delete_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<()> {
        self.write(move |connection| {
            let n_changed = connection
                .prepare_cached(
                    "UPDATE campaigns SET is_deleted = 1
                     WHERE id = ?1 AND tenant = ?2 AND version = ?3 AND is_deleted = 0",
                )?
                .execute(params![id.to_string(), tenant.to_string(), to_sql(version)])?;
            expect_changed(n_changed, id)
        })
        .await
    }

    async fn progress(&self, tenant: TenantId, id: CampaignId) -> StoreResult<Progress> {
        self.read(move |connection| totals::progress(connection, tenant, id))
            .await
    }
}

/// The status of a campaign that is not deleted.
pub fn status(
    connection: &Connection,
    tenant: TenantId,
    id: CampaignId,
) -> StoreResult<Option<String>> {
    let status = connection
        .prepare_cached(
            "SELECT status FROM campaigns WHERE id = ?1 AND tenant = ?2 AND is_deleted = 0",
        )?
        .query_row([id.to_string(), tenant.to_string()], |row| row.get(0))
        .optional()?;
    Ok(status)
}

/// The campaigns of a query for `version, body`.
pub fn select(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<Campaign>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut campaigns = Vec::new();
    while let Some(row) = rows.next()? {
        campaigns.push(read_row(row, 0)?);
    }
    Ok(campaigns)
}

/// Reads a row whose columns from `first` on are `version, body`.
pub fn read_row(row: &Row<'_>, first: usize) -> StoreResult<Campaign> {
    let record = reads::body::<CampaignRecord>("a campaign", row, first + 1)?;
    let mut campaign = Campaign::from(record);
    campaign.version = from_sql(row.get(first)?);
    Ok(campaign)
}

/// Makes what was decided on the campaign's present version a conflict.
pub fn raise_version(connection: &Connection, tenant: TenantId, id: CampaignId) -> StoreResult<()> {
    let n_changed = connection
        .prepare_cached(
            "UPDATE campaigns SET version = version + 1
             WHERE id = ?1 AND tenant = ?2 AND is_deleted = 0",
        )?
        .execute([id.to_string(), tenant.to_string()])?;
    expect_changed(n_changed, id)
}

fn expect_changed(n_changed: usize, id: CampaignId) -> StoreResult<()> {
    match n_changed {
        0 => Err(StoreError::Conflict {
            record: id.to_string(),
        }),
        _ => Ok(()),
    }
}

fn insert(connection: &Connection, campaign: Campaign) -> StoreResult<()> {
    let (id, tenant) = (campaign.id.to_string(), campaign.tenant.to_string());
    let columns = (
        campaign.status.name(),
        campaign.name.to_lowercase(),
        campaign.created_at.as_millisecond(),
        campaign.started_at.map(|at| at.as_millisecond()),
        to_sql(campaign.version),
    );
    let body = records::to_json(&CampaignRecord(campaign));
    connection
        .prepare_cached(
            "INSERT INTO campaigns
                 (id, tenant, status, search_name, created_at, started_at, version, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            id, tenant, columns.0, columns.1, columns.2, columns.3, columns.4, body
        ])
        .map_err(|error| match is_taken(&error) {
            true => StoreError::Taken { what: id },
            false => error.into(),
        })?;
    Ok(())
}

fn update(connection: &Connection, campaign: Campaign) -> StoreResult<()> {
    let (id, tenant) = (campaign.id, campaign.tenant.to_string());
    let version = to_sql(campaign.version);
    let columns = (
        campaign.status.name(),
        campaign.name.to_lowercase(),
        campaign.started_at.map(|at| at.as_millisecond()),
    );
    let body = records::to_json(&CampaignRecord(campaign));
    let n_changed = connection
        .prepare_cached(
            "UPDATE campaigns
             SET status = ?3, search_name = ?4, started_at = ?5, version = ?6, body = ?7
             WHERE id = ?1 AND tenant = ?2 AND version = ?6 - 1 AND is_deleted = 0",
        )?
        .execute(params![
            id.to_string(),
            tenant,
            columns.0,
            columns.1,
            columns.2,
            version,
            body
        ])?;
    expect_changed(n_changed, id)
}

fn list(
    connection: &Connection,
    tenant: TenantId,
    filter: CampaignFilter,
    page: &PageRequest,
) -> StoreResult<Page<Campaign>> {
    // A condition of its own, so that the index over those that are not deleted fits.
    let matches = format!(
        "tenant = ?1 AND (?2 IS NULL OR status = ?2)
         AND (?3 IS NULL OR instr(search_name, ?3) > 0){}",
        if filter.with_deleted {
            ""
        } else {
            " AND is_deleted = 0"
        }
    );
    let after = Position::read(page.cursor.as_deref(), Position::END)?;
    let tenant = tenant.to_string();
    let search = filter.search.map(|text| text.to_lowercase());
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM campaigns WHERE {matches}"))?
        .query_row(params![tenant, filter.status, search], |row| row.get(0))?;
    let found = select(
        connection,
        &format!(
            "SELECT version, body FROM campaigns WHERE {matches} AND (created_at, id) < (?4, ?5)
             ORDER BY created_at DESC, id DESC LIMIT ?6"
        ),
        params![
            tenant,
            filter.status,
            search,
            after.number,
            after.id,
            i64::from(page.limit.get()) + 1
        ],
    )?;
    let rows = found.into_iter().map(|campaign| {
        let position = Position::at(
            campaign.created_at.as_millisecond(),
            campaign.id.to_string(),
        );
        (position, campaign)
    });
    Ok(paging::cut(rows.collect(), page.limit, from_sql(total)))
}
