//! The figures that are kept with every change: progress and usage.

use rusqlite::{Connection, params};

use super::from_sql;
use crate::{
    domain::{
        Timestamp,
        enrollment::Progress,
        ids::{CampaignId, PlaceKey, TenantId},
    },
    store::{
        StoreResult,
        records::{Bucket, unreadable},
    },
};

/// Changes one figure of a campaign by `change`.
pub fn count(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    bucket: &Bucket,
    change: i64,
) -> StoreResult<()> {
    if change == 0 {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO totals (tenant, campaign, bucket, n) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET n = n + excluded.n",
        )?
        .execute(params![
            tenant.to_string(),
            campaign.to_string(),
            bucket.name(),
            change
        ])?;
    Ok(())
}

/// The bucket of that name.
pub fn bucket(name: &str) -> StoreResult<Bucket> {
    Bucket::from_name(name).ok_or_else(|| {
        unreadable(
            "a campaign's totals",
            format!("there is no bucket {name:?}"),
        )
    })
}

/// All figures of a campaign.
pub fn progress(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
) -> StoreResult<Progress> {
    let mut progress = Progress {
        next_due_at: next_due(connection, tenant, campaign, None)?,
        ..Progress::default()
    };
    let mut statement = connection
        .prepare_cached("SELECT bucket, n FROM totals WHERE tenant = ?1 AND campaign = ?2")?;
    let mut rows = statement.query([tenant.to_string(), campaign.to_string()])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        bucket(&name)?.add_to(&mut progress, from_sql(row.get(1)?));
    }
    Ok(progress)
}

/// When the next waiting enrollment may be claimed, everywhere or at one of `places`.
pub fn next_due(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    places: Option<&[PlaceKey]>,
) -> StoreResult<Option<Timestamp>> {
    let (campaign, tenant) = (campaign.to_string(), tenant.to_string());
    let Some(places) = places else {
        const ANYWHERE: &str = "SELECT ready_at FROM enrollments
             WHERE campaign = ?1 AND tenant = ?2 AND state = 'waiting' ORDER BY ready_at LIMIT 1";
        return soonest(connection, ANYWHERE, params![campaign, tenant]);
    };
    let mut next = None;
    for place in places {
        const THERE: &str = "SELECT ready_at FROM enrollments
             WHERE campaign = ?1 AND tenant = ?2 AND state = 'waiting' AND place = ?3
             ORDER BY ready_at LIMIT 1";
        let there = params![campaign, tenant, place.as_str()];
        next = [next, soonest(connection, THERE, there)?]
            .into_iter()
            .flatten()
            .min();
    }
    Ok(next)
}

fn soonest(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Option<Timestamp>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    match rows.next()? {
        Some(row) => instant(row.get(0)?).map(Some),
        None => Ok(None),
    }
}

/// The instant that a column holds.
pub fn instant(millis: i64) -> StoreResult<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|error| unreadable("a time", error))
}
