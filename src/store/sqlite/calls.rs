//! Call records.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

use super::{from_sql, reads, to_sql, totals};
use crate::{
    domain::{
        Timestamp,
        attempt::AttemptState,
        enrollment::CallRecord,
        ids::{AttemptId, CallSid, ConversationId, TenantId},
        outcome::Outcome,
    },
    store::{
        CallFilter, Page, PageRequest, StoreResult,
        paging::{self, Position},
        records::{self, Bucket, CallCounts, CallDocument},
    },
};

const CONNECTED: &str = "connected";

/// One call.
pub fn find(
    connection: &Connection,
    tenant: TenantId,
    id: AttemptId,
) -> StoreResult<Option<CallRecord>> {
    let found = reads::bodies::<CallDocument>(
        connection,
        "a call",
        "SELECT body FROM calls WHERE id = ?1 AND tenant = ?2",
        [id.to_string(), tenant.to_string()],
    )?;
    Ok(found.into_iter().next().map(CallRecord::from))
}

/// The call that the carrier calls `sid`.
pub fn find_by_sid(
    connection: &Connection,
    tenant: TenantId,
    sid: &CallSid,
) -> StoreResult<Option<CallRecord>> {
    let found = reads::bodies::<CallDocument>(
        connection,
        "a call",
        "SELECT body FROM calls WHERE tenant = ?1 AND sid = ?2",
        [tenant.to_string(), sid.to_string()],
    )?;
    Ok(found.into_iter().next().map(CallRecord::from))
}

/// The call in which the agent's vendor held that conversation.
pub fn find_by_conversation(
    connection: &Connection,
    tenant: TenantId,
    conversation: &ConversationId,
) -> StoreResult<Option<CallRecord>> {
    let found = reads::bodies::<CallDocument>(
        connection,
        "a call",
        "SELECT body FROM calls WHERE tenant = ?1 AND conversation = ?2",
        [tenant.to_string(), conversation.to_string()],
    )?;
    Ok(found.into_iter().next().map(CallRecord::from))
}

/// Calls, latest start first.
pub fn list(
    connection: &Connection,
    tenant: TenantId,
    filter: &CallFilter,
    page: &PageRequest,
) -> StoreResult<Page<CallRecord>> {
    let after = Position::read(page.cursor.as_deref(), Position::END)?;
    let (matches, mut values) = conditions(tenant, filter);
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM calls WHERE {matches}"))?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    values.extend([
        after.number.into(),
        after.id.into(),
        (i64::from(page.limit.get()) + 1).into(),
    ]);
    // Few are due: they are found by that, and sorted. The order's own index would lead over all calls.
    let is_about_later = filter.price_due_by.is_some() || filter.recorded_by.is_some();
    let no_index = if is_about_later { "+" } else { "" };
    let found = reads::bodies::<CallDocument>(
        connection,
        "a call",
        &format!(
            "SELECT body FROM calls WHERE {matches} AND ({no_index}dial_at, id) < (?, ?)
             ORDER BY {no_index}dial_at DESC, id DESC LIMIT ?"
        ),
        params_from_iter(values),
    )?;
    let rows = found.into_iter().map(|record| {
        let call = CallRecord::from(record);
        let dial_at = call.attempt.dial_at.as_millisecond();
        (Position::at(dial_at, call.attempt.id.to_string()), call)
    });
    Ok(paging::cut(rows.collect(), page.limit, from_sql(total)))
}

/// The conditions with a `?` for each value: only those that are asked for, so that an index fits.
fn conditions(tenant: TenantId, filter: &CallFilter) -> (String, Vec<Value>) {
    let mut conditions = vec!["tenant = ?"];
    let mut values = vec![Value::from(tenant.to_string())];
    if let Some(campaign) = filter.campaign {
        conditions.push("campaign = ?");
        values.push(campaign.to_string().into());
    }
    if let Some(enrollment) = filter.enrollment {
        conditions.push("enrollment = ?");
        values.push(enrollment.to_string().into());
    }
    if let Some(outcome) = &filter.outcome {
        conditions.push("outcome = ?");
        values.push(outcome.clone().into());
    }
    for (condition, by) in [
        ("price_ask_at <= ?", filter.price_due_by),
        ("recorded_at <= ?", filter.recorded_by),
    ] {
        if let Some(by) = by {
            conditions.push(condition);
            values.push(by.as_millisecond().into());
        }
    }
    match filter.open {
        Some(true) => conditions.push("is_open = 1"),
        Some(false) => conditions.push("is_open = 0"),
        None => {}
    }
    (conditions.join(" AND "), values)
}

/// What of a call counts in its campaign's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    exists: bool,
    is_connected: bool,
    is_open: bool,
}

impl Counted {
    fn of(state: &AttemptState) -> Self {
        Self {
            exists: state.sid().is_some(),
            is_connected: state.name() == CONNECTED,
            is_open: state.is_open(),
        }
    }
}

/// Adds or replaces a call and what it counts for.
pub fn save(connection: &Connection, call: CallRecord) -> StoreResult<()> {
    let id = call.attempt.id.to_string();
    let was = counted_before(connection, &id)?;
    let is = Counted::of(&call.attempt.state);
    let change = |was: bool, is: bool| i64::from(is) - i64::from(was);
    let calls = change(was.exists, is.exists);
    totals::count(
        connection,
        call.tenant,
        call.campaign,
        &Bucket::Calls,
        calls,
    )?;
    let connected = change(was.is_connected, is.is_connected);
    totals::count(
        connection,
        call.tenant,
        call.campaign,
        &Bucket::Connected,
        connected,
    )?;
    count_usage(connection, &call, change(was.is_open, is.is_open))?;
    upsert(connection, &id, call)
}

fn counted_before(connection: &Connection, id: &str) -> StoreResult<Counted> {
    let found = connection
        .prepare_cached(
            "SELECT sid IS NOT NULL, state = 'connected', is_open FROM calls WHERE id = ?1",
        )?
        .query_row([id], |row| {
            Ok(Counted {
                exists: row.get(0)?,
                is_connected: row.get(1)?,
                is_open: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

fn count_usage(connection: &Connection, call: &CallRecord, opened: i64) -> StoreResult<()> {
    connection
        .prepare_cached(
            "INSERT INTO usage (tenant, campaign, n_open, last_start) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET n_open = n_open + excluded.n_open,
                                       last_start = max(last_start, excluded.last_start)",
        )?
        .execute(params![
            call.tenant.to_string(),
            call.campaign.to_string(),
            opened,
            call.attempt.dial_at.as_millisecond()
        ])?;
    Ok(())
}

fn upsert(connection: &Connection, id: &str, call: CallRecord) -> StoreResult<()> {
    let attempt = &call.attempt;
    let counts = CallCounts::of(attempt);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO calls
                 (id, tenant, campaign, enrollment, to_phone, from_phone, sid, conversation, state,
                  is_open, outcome, dial_at, is_answered, is_abandoned, is_silent, billed_minutes,
                  price_ask_at, recorded_at, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                     ?18, ?19)",
        )?
        .execute(params![
            id,
            call.tenant.to_string(),
            call.campaign.to_string(),
            attempt.id.enrollment.to_string(),
            attempt.to.to_string(),
            attempt.from.as_str(),
            attempt.state.sid().map(CallSid::as_str),
            attempt
                .facts
                .conversation
                .as_ref()
                .map(ConversationId::as_str),
            attempt.state.name(),
            attempt.state.is_open(),
            attempt.state.outcome().map(Outcome::name),
            attempt.dial_at.as_millisecond(),
            counts.map(|counts| counts.is_answered),
            counts.map(|counts| counts.is_abandoned),
            counts.map(|counts| counts.is_silent),
            counts.map(|counts| to_sql(counts.billed_minutes)),
            attempt.facts.price_ask_at().map(Timestamp::as_millisecond),
            attempt.facts.recorded_at().map(Timestamp::as_millisecond),
            records::to_json(&CallDocument(call.clone())),
        ])?;
    Ok(())
}
