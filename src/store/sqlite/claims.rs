//! Claiming enrollments.

use std::{collections::BTreeSet, num::NonZeroU32};

use rusqlite::{Connection, params};

use super::{campaigns, dispatch, enrollments, to_sql};
use crate::{
    domain::{
        Timestamp,
        campaign::CampaignStatus,
        enrollment::Enrollment,
        ids::{CampaignId, PlaceKey, TenantId},
    },
    store::{ClaimRequest, StoreError, StoreResult},
};

/// How many put-off enrollments one transaction makes due: others' writes wait for it.
pub const RELEASED_AT_ONCE: u64 = 5000;

/// Enrollments that are due, without those whose person is in a call or a live claim.
macro_rules! claimable {
    ($columns:literal, $where:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM enrollments AS due
             WHERE campaign = ?1 AND tenant = ?2 AND state = 'waiting' AND ready_at <= ?3",
            $where,
            " AND NOT EXISTS (SELECT 1 FROM enrollments
                              WHERE tenant = ?2 AND contact = due.contact AND state = 'open')
              AND NOT EXISTS (SELECT 1 FROM enrollments
                              WHERE tenant = ?2 AND contact = due.contact AND is_claimed = 1
                                  AND ready_at > ?3)
             ORDER BY ready_at, position LIMIT ?4"
        )
    };
}

/// Claims what is due, as [`crate::store::Dispatch::claim_due`] says.
pub fn claim(connection: &Connection, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
    check_lease(connection, request)?;
    let status = campaigns::status(connection, request.tenant, request.campaign)?;
    if status.as_deref() != Some(CampaignStatus::Active.name()) {
        return Ok(Vec::new());
    }
    let positions = match &request.places {
        None => soonest_anywhere(connection, request)?,
        Some(places) => soonest_at(connection, request, places)?,
    };
    let claim_end = (request.now + request.lease).as_millisecond();
    let mut raise = connection.prepare_cached(
        "UPDATE enrollments SET version = version + 1, ready_at = ?2, is_claimed = 1
         WHERE position = ?1 RETURNING position, version, body",
    )?;
    positions
        .into_iter()
        .map(|position| {
            let mut rows = raise.query([position, claim_end])?;
            let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            enrollments::read_row(row).map(|(_, enrollment)| enrollment)
        })
        .collect()
}

/// Ends every live claim of a campaign; versions stay raised, so what is decided on one is refused.
pub fn end_all(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    now: Timestamp,
) -> StoreResult<()> {
    connection
        .prepare_cached(
            "UPDATE enrollments SET version = version + 1, is_claimed = 0,
                                    ready_at = json_extract(body, '$.state.dueAt')
             WHERE tenant = ?1 AND campaign = ?2 AND is_claimed = 1 AND ready_at > ?3
                 AND state = 'waiting'",
        )?
        .execute(params![
            tenant.to_string(),
            campaign.to_string(),
            now.as_millisecond()
        ])?;
    Ok(())
}

/// Makes up to [`RELEASED_AT_ONCE`] of those due whom one of `rules`, a list in JSON, put off; says how
/// many.
pub fn release_held(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    rules: &str,
    now: Timestamp,
) -> StoreResult<u64> {
    let n_held = connection
        .prepare_cached(
            "UPDATE enrollments SET version = version + 1, ready_at = ?3,
                                    body = json_set(body, '$.state.dueAt', ?3)
             WHERE is_claimed = 0 AND position IN (
                 SELECT position FROM enrollments INDEXED BY enrollments_by_place
                 WHERE campaign = ?1 AND state = 'waiting' AND ready_at > ?3
                     AND held_by IN (SELECT value FROM json_each(?4))
                     AND EXISTS (SELECT 1 FROM campaigns WHERE id = ?1 AND tenant = ?2)
                 LIMIT ?5)",
        )?
        .execute(params![
            campaign.to_string(),
            tenant.to_string(),
            now.as_millisecond(),
            rules,
            to_sql(RELEASED_AT_ONCE),
        ])?;
    Ok(n_held as u64)
}

fn check_lease(connection: &Connection, request: &ClaimRequest) -> StoreResult<()> {
    let holds = dispatch::find_lease(connection, request.tenant)?.is_some_and(|lease| {
        lease.fencing == request.fencing.0
            && lease.node == request.node.to_string()
            && lease.ends_at > request.now.as_millisecond()
    });
    match holds {
        true => Ok(()),
        false => Err(StoreError::LeaseLost {
            tenant: request.tenant,
        }),
    }
}

/// The positions of the first that can be claimed, soonest first.
fn soonest_anywhere(connection: &Connection, request: &ClaimRequest) -> StoreResult<Vec<i64>> {
    let mut statement = connection.prepare_cached(claimable!("position", ""))?;
    let mut rows = statement.query(params![
        request.campaign.to_string(),
        request.tenant.to_string(),
        request.now.as_millisecond(),
        request.limit.get()
    ])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        positions.push(row.get(0)?);
    }
    Ok(positions)
}

/// As [`soonest_anywhere`], of people at `places` only.
///
/// Each place is a range of the index in the order that is wanted, and is left as soon as it goes
/// on with later ones than were found elsewhere. One query for all places would read all that is due.
fn soonest_at(
    connection: &Connection,
    request: &ClaimRequest,
    places: &[PlaceKey],
) -> StoreResult<Vec<i64>> {
    let mut soonest = Soonest::of(request.limit);
    let mut statement =
        connection.prepare_cached(claimable!("ready_at, position", " AND place = ?5"))?;
    for place in places {
        let mut rows = statement.query(params![
            request.campaign.to_string(),
            request.tenant.to_string(),
            request.now.as_millisecond(),
            request.limit.get(),
            place.as_str(),
        ])?;
        while let Some(row) = rows.next()?
            && soonest.admits((row.get(0)?, row.get(1)?))
        {}
    }
    Ok(soonest.positions())
}

/// The soonest of what was offered, each by `ready_at` and position.
struct Soonest {
    limit: usize,
    found: BTreeSet<(i64, i64)>,
}

impl Soonest {
    fn of(limit: NonZeroU32) -> Self {
        Self {
            limit: limit.get() as usize,
            found: BTreeSet::new(),
        }
    }

    /// False when neither this one nor any later one is among the soonest.
    fn admits(&mut self, due: (i64, i64)) -> bool {
        self.found.insert(due);
        let is_over = self.found.len() > self.limit;
        !(is_over && self.found.pop_last() == Some(due))
    }

    fn positions(self) -> Vec<i64> {
        let found = self.found.into_iter();
        found.map(|(_, position)| position).collect()
    }
}
