//! Leases and what pacing needs. Claiming is in [`super::claims`].

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, campaigns, claims, enrollments, from_sql, reads, to_sql, totals};
use crate::{
    domain::{
        Timestamp,
        campaign::Campaign,
        enrollment::Enrollment,
        ids::{CampaignId, NodeId, PlaceKey, TenantId},
        pacing::Usage,
        rules::Rule,
    },
    store::{
        ClaimRequest, Dispatch, Fencing, StoreResult,
        records::{self, unreadable},
    },
};

#[async_trait]
impl Dispatch for SqliteStore {
    async fn list_tenants(&self) -> StoreResult<Vec<TenantId>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT id FROM tenants ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut tenants = Vec::new();
            while let Some(row) = rows.next()? {
                tenants.push(id(row.get(0)?)?);
            }
            Ok(tenants)
        })
        .await
    }

    async fn ensure_tenant(&self, tenant: TenantId) -> StoreResult<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT INTO tenants (id) VALUES (?1) ON CONFLICT DO NOTHING")?
                .execute([tenant.to_string()])?;
            Ok(())
        })
        .await
    }

    async fn hold_lease(
        &self,
        tenant: TenantId,
        node: NodeId,
        ttl: Duration,
        now: Timestamp,
    ) -> StoreResult<Option<Fencing>> {
        self.write(move |connection| hold(connection, tenant, node, now + ttl, now))
            .await
    }

    async fn lease_holder(&self, tenant: TenantId, now: Timestamp) -> StoreResult<Option<NodeId>> {
        self.read(move |connection| {
            find_lease(connection, tenant)?
                .filter(|lease| lease.ends_at > now.as_millisecond())
                .map(|lease| id(lease.node))
                .transpose()
        })
        .await
    }

    async fn release_lease(&self, tenant: TenantId, node: NodeId) -> StoreResult<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("UPDATE leases SET ends_at = 0 WHERE tenant = ?1 AND node = ?2")?
                .execute([tenant.to_string(), node.to_string()])?;
            Ok(())
        })
        .await
    }

    async fn active_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        self.read(move |connection| {
            campaigns::select(
                connection,
                "SELECT version, body FROM campaigns
                 WHERE tenant = ?1 AND status = 'active' AND is_deleted = 0
                 ORDER BY started_at, id",
                [tenant.to_string()],
            )
        })
        .await
    }

    async fn scheduled_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        self.read(move |connection| {
            campaigns::select(
                connection,
                "SELECT version, body FROM campaigns
                 WHERE tenant = ?1 AND status = 'scheduled' AND is_deleted = 0
                 ORDER BY created_at, id",
                [tenant.to_string()],
            )
        })
        .await
    }

    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
        self.read(move |connection| usage(connection, tenant)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
        let request = request.clone();
        self.write(move |connection| claims::claim(connection, &request))
            .await
    }

    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> StoreResult<u64> {
        self.write(move |connection| claims::end_all(connection, tenant, campaign, now))
            .await?;
        let rules: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let rules = records::to_json(&rules);
        let mut n_held = 0;
        loop {
            let rules = rules.clone();
            let n = self
                .write(move |connection| {
                    claims::release_held(connection, tenant, campaign, &rules, now)
                })
                .await?;
            n_held += n;
            if n < claims::RELEASED_AT_ONCE {
                return Ok(n_held);
            }
        }
    }

    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        places: Option<&[PlaceKey]>,
    ) -> StoreResult<Option<Timestamp>> {
        let places = places.map(<[PlaceKey]>::to_vec);
        self.read(move |connection| {
            totals::next_due(connection, tenant, campaign, places.as_deref())
        })
        .await
    }

    async fn overdue(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<Enrollment>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, version, body, id FROM enrollments
                 WHERE tenant = ?1 AND state = 'open' AND check_at <= ?2
                 ORDER BY check_at, position",
            )?;
            let rows = statement.query(params![tenant.to_string(), now.as_millisecond()])?;
            let found = reads::readable(rows, 3, limit, enrollments::read_row)?;
            Ok(found
                .into_iter()
                .map(|(_, enrollment)| enrollment)
                .collect())
        })
        .await
    }
}

/// Who dispatches for a tenant.
pub struct Lease {
    /// The process.
    pub node: String,
    /// The number that it holds the lease under.
    pub fencing: u64,
    /// Until when, in milliseconds.
    pub ends_at: i64,
}

/// The tenant's lease, even if it has run out.
pub fn find_lease(connection: &Connection, tenant: TenantId) -> StoreResult<Option<Lease>> {
    let lease = connection
        .prepare_cached("SELECT node, fencing, ends_at FROM leases WHERE tenant = ?1")?
        .query_row([tenant.to_string()], |row| {
            Ok(Lease {
                node: row.get(0)?,
                fencing: from_sql(row.get(1)?),
                ends_at: row.get(2)?,
            })
        })
        .optional()?;
    Ok(lease)
}

fn hold(
    connection: &Connection,
    tenant: TenantId,
    node: NodeId,
    until: Timestamp,
    now: Timestamp,
) -> StoreResult<Option<Fencing>> {
    let lease = find_lease(connection, tenant)?;
    let fencing = match lease {
        None => 1,
        Some(lease) if lease.ends_at <= now.as_millisecond() => lease.fencing + 1,
        Some(lease) if lease.node == node.to_string() => lease.fencing,
        Some(_) => return Ok(None),
    };
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO leases (tenant, node, fencing, ends_at)
             VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            tenant.to_string(),
            node.to_string(),
            to_sql(fencing),
            until.as_millisecond()
        ])?;
    Ok(Some(Fencing(fencing)))
}

fn usage(connection: &Connection, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
    let mut statement = connection
        .prepare_cached("SELECT campaign, n_open, last_start FROM usage WHERE tenant = ?1")?;
    let mut rows = statement.query([tenant.to_string()])?;
    let mut by_campaign = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let usage = Usage {
            n_open: row.get(1)?,
            last_start: Some(totals::instant(row.get(2)?)?),
        };
        by_campaign.insert(id(row.get(0)?)?, usage);
    }
    Ok(by_campaign)
}

/// The identifier that a column holds.
pub fn id<I>(text: String) -> StoreResult<I>
where
    I: std::str::FromStr<Err = crate::domain::ids::IdError>,
{
    text.parse().map_err(|error| unreadable(text, error))
}
