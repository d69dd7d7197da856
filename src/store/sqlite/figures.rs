//! Figures and facts that policies go by. The queries that count read indexes alone.

use std::{collections::BTreeMap, num::NonZeroU32};

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, from_sql, reads, totals};
use crate::{
    domain::{
        Timestamp,
        enrollment::CallRecord,
        ids::{CampaignId, PlaceKey, TenantId},
        phone::PhoneNumber,
        rules::Rule,
    },
    store::{
        CallTotals, CallerUsage, Figures, StoreResult, WaitingGroup,
        records::{self, Bucket, CallDocument, unreadable},
    },
};

#[async_trait]
impl Figures for SqliteStore {
    async fn places(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<Vec<PlaceKey>> {
        self.read(move |connection| {
            select(
                connection,
                "SELECT place FROM campaign_places WHERE tenant = ?1 AND campaign = ?2
                 ORDER BY place",
                [tenant.to_string(), campaign.to_string()],
                |row| Ok(PlaceKey::new(row.get::<_, String>(0)?)),
            )
        })
        .await
    }

    async fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        now: Timestamp,
    ) -> StoreResult<Vec<WaitingGroup>> {
        self.read(move |connection| {
            select(
                connection,
                "SELECT place, held_by, bucket, count(*), sum(ready_at <= ?3),
                        min(CASE WHEN ready_at > ?3 THEN ready_at END)
                 FROM enrollments INDEXED BY enrollments_by_place
                 WHERE campaign = ?1 AND state = 'waiting'
                     AND EXISTS (SELECT 1 FROM campaigns WHERE id = ?1 AND tenant = ?2)
                 GROUP BY place, held_by, bucket",
                params![
                    campaign.to_string(),
                    tenant.to_string(),
                    now.as_millisecond()
                ],
                waiting_group,
            )
        })
        .await
    }

    async fn finished_by_rule(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<BTreeMap<Rule, u64>> {
        self.read(move |connection| {
            let counted = select(
                connection,
                "SELECT by_rule, count(*) FROM enrollments INDEXED BY enrollments_by_rule
                 WHERE campaign = ?1 AND by_rule IS NOT NULL
                     AND EXISTS (SELECT 1 FROM campaigns WHERE id = ?1 AND tenant = ?2)
                 GROUP BY by_rule",
                [campaign.to_string(), tenant.to_string()],
                |row| {
                    let name: String = row.get(0)?;
                    Ok((records::rule(&name)?, from_sql(row.get(1)?)))
                },
            )?;
            Ok(counted.into_iter().collect())
        })
        .await
    }

    async fn call_totals(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        since: Timestamp,
    ) -> StoreResult<CallTotals> {
        self.read(move |connection| {
            let totals = connection
                .prepare_cached(
                    "SELECT count(*), coalesce(sum(is_answered), 0), coalesce(sum(is_abandoned), 0),
                            coalesce(sum(is_silent), 0), coalesce(sum(billed_minutes), 0)
                     FROM calls INDEXED BY calls_counted
                     WHERE tenant = ?1 AND campaign = ?2 AND dial_at >= ?3
                         AND billed_minutes IS NOT NULL",
                )?
                .query_row(
                    params![
                        tenant.to_string(),
                        campaign.to_string(),
                        since.as_millisecond()
                    ],
                    |row| {
                        Ok(CallTotals {
                            n_calls: from_sql(row.get(0)?),
                            n_answered: from_sql(row.get(1)?),
                            n_abandoned: from_sql(row.get(2)?),
                            n_silent: from_sql(row.get(3)?),
                            billed_minutes: from_sql(row.get(4)?),
                        })
                    },
                )?;
            Ok(totals)
        })
        .await
    }

    async fn recent_calls(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<CallRecord>> {
        self.read(move |connection| {
            calls(
                connection,
                "SELECT body FROM calls WHERE campaign = ?1 AND tenant = ?2 AND is_open = 0
                 ORDER BY dial_at DESC, id DESC LIMIT ?3",
                params![campaign.to_string(), tenant.to_string(), limit.get()],
            )
        })
        .await
    }

    async fn caller_usage(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> StoreResult<BTreeMap<PhoneNumber, CallerUsage>> {
        self.read(move |connection| {
            let used = select(
                connection,
                "SELECT from_phone, count(*), max(dial_at)
                 FROM calls INDEXED BY calls_by_caller
                 WHERE tenant = ?1 AND dial_at >= ?2 AND state <> 'released'
                 GROUP BY from_phone",
                params![tenant.to_string(), since.as_millisecond()],
                caller_usage,
            )?;
            Ok(used.into_iter().collect())
        })
        .await
    }

    async fn attempts_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
        since: Timestamp,
    ) -> StoreResult<Vec<CallRecord>> {
        let to = to.clone();
        self.read(move |connection| {
            calls(
                connection,
                "SELECT body FROM calls INDEXED BY calls_to_person
                 WHERE tenant = ?1 AND to_phone = ?2 AND dial_at >= ?3 AND state <> 'released'
                 ORDER BY dial_at DESC, id DESC",
                params![tenant.to_string(), to.as_str(), since.as_millisecond()],
            )
        })
        .await
    }

    async fn open_calls_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> StoreResult<Vec<CallRecord>> {
        let to = to.clone();
        self.read(move |connection| {
            calls(
                connection,
                "SELECT body FROM calls INDEXED BY calls_to_person
                 WHERE tenant = ?1 AND to_phone = ?2 AND is_open = 1
                 ORDER BY dial_at DESC, id DESC",
                params![tenant.to_string(), to.as_str()],
            )
        })
        .await
    }
}

fn select<T>(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> StoreResult<T>,
) -> StoreResult<Vec<T>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

fn calls(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<CallRecord>> {
    let found = reads::bodies::<CallDocument>(connection, "a call", query, params)?;
    Ok(found.into_iter().map(CallRecord::from).collect())
}

fn waiting_group(row: &Row<'_>) -> StoreResult<WaitingGroup> {
    let held_by: Option<String> = row.get(1)?;
    let bucket: String = row.get(2)?;
    let next_due_at: Option<i64> = row.get(5)?;
    Ok(WaitingGroup {
        place: PlaceKey::new(row.get::<_, String>(0)?),
        held_by: held_by.as_deref().map(records::rule).transpose()?,
        tried: totals::bucket(&bucket)? == Bucket::Retrying,
        n: from_sql(row.get(3)?),
        n_due: from_sql(row.get(4)?),
        next_due_at: next_due_at.map(totals::instant).transpose()?,
    })
}

fn caller_usage(row: &Row<'_>) -> StoreResult<(PhoneNumber, CallerUsage)> {
    let phone: String = row.get(0)?;
    let usage = CallerUsage {
        n: row.get(1)?,
        last_start: totals::instant(row.get(2)?)?,
    };
    let phone = phone.parse().map_err(|error| unreadable("a call", error));
    Ok((phone?, usage))
}
