//! The logs of campaigns, and watching them.

use std::{collections::VecDeque, num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use rusqlite::{Connection, Row, params};
use tokio::sync::watch;
use tracing::warn;

use super::{SqliteStore, from_sql, reads, reads::Reads, to_sql};
use crate::{
    domain::{
        Timestamp,
        event::{Event, StoredEvent},
        ids::{AttemptId, CampaignId, TenantId},
    },
    store::{
        Events, StoreResult,
        records::{self, EventRecord},
    },
};

/// How soon events of another process are seen; those of this one are seen at once.
const POLL: Duration = Duration::from_millis(250);

/// How many events a watcher takes at once.
const WATCH_BATCH: u32 = 1000;

#[async_trait]
impl Events for SqliteStore {
    async fn append_events(&self, events: &[Event]) -> StoreResult<()> {
        let events = events.to_vec();
        self.write(move |connection| append(connection, &events))
            .await
    }

    async fn events_after(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<StoredEvent>> {
        self.read(move |connection| {
            select(
                connection,
                "SELECT seq, body FROM events WHERE campaign = ?1 AND tenant = ?2 AND seq > ?3
                 ORDER BY seq LIMIT ?4",
                params![
                    campaign.to_string(),
                    tenant.to_string(),
                    to_sql(after),
                    limit.get()
                ],
            )
        })
        .await
    }

    async fn last_seq(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<u64> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq FROM events WHERE campaign = ?1 AND tenant = ?2
                 ORDER BY seq DESC LIMIT 1",
            )?;
            let mut rows = statement.query([campaign.to_string(), tenant.to_string()])?;
            let last: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
            Ok(last.map_or(0, from_sql))
        })
        .await
    }

    async fn call_events(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
    ) -> StoreResult<Vec<StoredEvent>> {
        self.read(move |connection| {
            select(
                connection,
                "SELECT seq, body FROM events WHERE attempt = ?1 AND tenant = ?2 ORDER BY seq",
                [attempt.to_string(), tenant.to_string()],
            )
        })
        .await
    }

    async fn watch_events(&self) -> StoreResult<BoxStream<'static, StoredEvent>> {
        let mut committed = self.committed.clone();
        committed.mark_unchanged();
        let last = self.read(last_position).await?;
        let watcher = Watcher {
            reads: self.reads.clone(),
            committed,
            last,
            ready: VecDeque::new(),
        };
        Ok(stream::unfold(watcher, Watcher::next).boxed())
    }

    async fn check(&self) -> StoreResult<()> {
        self.write(|connection| {
            connection
                .prepare_cached("UPDATE pulse SET n = n + 1")?
                .execute([])?;
            Ok(())
        })
        .await
    }

    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        Ok(None)
    }
}

/// Adds events at the end of their campaigns' logs.
pub fn append(connection: &Connection, events: &[Event]) -> StoreResult<()> {
    for events in events.chunk_by(|a, b| a.campaign == b.campaign) {
        let campaign = events[0].campaign.to_string();
        let n_events = to_sql(events.len() as u64);
        let last: i64 = connection
            .prepare_cached(
                "INSERT INTO logs (campaign, last_seq) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET last_seq = last_seq + excluded.last_seq
                 RETURNING last_seq",
            )?
            .query_row(params![campaign, n_events], |row| row.get(0))?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO events (tenant, campaign, seq, attempt, body)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (seq, event) in (last - n_events + 1..).zip(events) {
            insert.execute(params![
                event.tenant.to_string(),
                campaign,
                seq,
                event.kind.attempt().map(|attempt| attempt.to_string()),
                records::to_json(&EventRecord(event.clone()))
            ])?;
        }
    }
    Ok(())
}

fn select(
    connection: &Connection,
    query: &str,
    params: impl rusqlite::Params,
) -> StoreResult<Vec<StoredEvent>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read_row(row)?);
    }
    Ok(events)
}

/// Reads a row of `seq, body`.
fn read_row(row: &Row<'_>) -> StoreResult<StoredEvent> {
    Ok(StoredEvent {
        seq: from_sql(row.get(0)?),
        event: reads::body::<EventRecord>("an event", row, 1)?.into(),
    })
}

fn last_position(connection: &Connection) -> StoreResult<i64> {
    let last = connection
        .prepare_cached("SELECT coalesce(max(position), 0) FROM events")?
        .query_row([], |row| row.get(0))?;
    Ok(last)
}

/// Follows the table of events from a position on.
///
/// Positions are given out inside write transactions, of which there is one at a time in all
/// processes: an event with a lower position never appears after one with a higher.
struct Watcher {
    reads: Reads,
    committed: watch::Receiver<()>,
    last: i64,
    ready: VecDeque<StoredEvent>,
}

impl Watcher {
    async fn next(mut self) -> Option<(StoredEvent, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            // Looked up before reading, so that what is committed last is read too.
            let has_ended = self.committed.has_changed().is_err();
            match self.read_on().await {
                Ok(true) => {}
                Ok(false) if has_ended => return None,
                Ok(false) => self.wait().await,
                Err(reason) => {
                    warn!(%reason, "events could not be read; trying again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// Takes the next events; false when there are none.
    async fn read_on(&mut self) -> StoreResult<bool> {
        self.committed.mark_unchanged();
        let last = self.last;
        let (last, events) = self
            .reads
            .run(move |connection| positions_after(connection, last))
            .await?;
        self.last = last;
        self.ready = events.into();
        Ok(!self.ready.is_empty())
    }

    async fn wait(&mut self) {
        match self.reads {
            // The next round sees that the store has ended, or that there is something to read.
            Reads::Pool(_) => drop(tokio::time::timeout(POLL, self.committed.changed()).await),
            Reads::Inline(_) => drop(self.committed.changed().await),
        }
    }
}

fn positions_after(connection: &Connection, mut last: i64) -> StoreResult<(i64, Vec<StoredEvent>)> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, body, position FROM events WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut rows = statement.query(params![last, WATCH_BATCH])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read_row(row)?);
        last = row.get(2)?;
    }
    Ok((last, events))
}
