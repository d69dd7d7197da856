//! Leases, claims and what pacing needs.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{SqliteStore, campaigns, enrollments, from_sql, reads, to_sql, totals};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus},
        enrollment::Enrollment,
        ids::{CampaignId, NodeId, TenantId},
        pacing::Usage,
    },
    store::{ClaimRequest, Dispatch, Fencing, StoreError, StoreResult, records::unreadable},
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

    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
        self.read(move |connection| usage(connection, tenant)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
        let request = request.clone();
        self.write(move |connection| claim(connection, &request))
            .await
    }

    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<Option<Timestamp>> {
        self.read(move |connection| totals::next_due(connection, tenant, campaign))
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

/// Enrollments that are due, without those whose person is in a call or a live claim.
const CLAIMABLE: &str = "SELECT position, version, body FROM enrollments AS due
     WHERE campaign = ?1 AND tenant = ?2 AND state = 'waiting' AND ready_at <= ?3
         AND NOT EXISTS (SELECT 1 FROM enrollments
                         WHERE tenant = ?2 AND contact = due.contact AND state = 'open')
         AND NOT EXISTS (SELECT 1 FROM enrollments
                         WHERE tenant = ?2 AND contact = due.contact AND is_claimed = 1
                             AND ready_at > ?3)
     ORDER BY ready_at, position LIMIT ?4";

struct Lease {
    node: String,
    fencing: u64,
    ends_at: i64,
}

fn find_lease(connection: &Connection, tenant: TenantId) -> StoreResult<Option<Lease>> {
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

fn claim(connection: &Connection, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
    let holds = find_lease(connection, request.tenant)?.is_some_and(|lease| {
        lease.fencing == request.fencing.0
            && lease.node == request.node.to_string()
            && lease.ends_at > request.now.as_millisecond()
    });
    if !holds {
        return Err(StoreError::LeaseLost {
            tenant: request.tenant,
        });
    }
    let status = campaigns::status(connection, request.tenant, request.campaign)?;
    if status.as_deref() != Some(CampaignStatus::Active.name()) {
        return Ok(Vec::new());
    }
    let due = select(
        connection,
        CLAIMABLE,
        params![
            request.campaign.to_string(),
            request.tenant.to_string(),
            request.now.as_millisecond(),
            request.limit.get()
        ],
    )?;
    let claim_end = (request.now + request.lease).as_millisecond();
    let mut raise = connection.prepare_cached(
        "UPDATE enrollments SET version = version + 1, ready_at = ?2, is_claimed = 1
         WHERE position = ?1",
    )?;
    due.into_iter()
        .map(|(position, mut enrollment)| {
            raise.execute([position, claim_end])?;
            enrollment.version += 1;
            Ok(enrollment)
        })
        .collect()
}

fn select(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<(i64, Enrollment)>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(enrollments::read_row(row)?);
    }
    Ok(found)
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

fn id<I>(text: String) -> StoreResult<I>
where
    I: std::str::FromStr<Err = crate::domain::ids::IdError>,
{
    text.parse().map_err(|error| unreadable(text, error))
}
