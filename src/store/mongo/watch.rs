//! Following the events of all campaigns.
//!
//! A replica set has change streams, which tell of each event when it is written. Elsewhere, and
//! where a change stream was away for longer than the server remembers, events are read by the time
//! at which the server wrote them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use futures_util::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use mongodb::{
    Collection,
    bson::{Document, Timestamp as ServerTime, doc},
    change_stream::{
        ChangeStream,
        event::{ChangeStreamEvent, ResumeToken},
    },
    error::{Error, ErrorKind},
};
use tracing::{error, warn};

use super::{MongoStore, events};
use crate::{domain::event::StoredEvent, store::StoreResult};

/// How often events are read where there are no change streams.
const POLL: Duration = Duration::from_millis(250);

/// How long to wait before trying again after a fault.
const PAUSE: Duration = Duration::from_millis(500);

/// How far back to read again: a write that got its time first may become visible second.
const OVERLAP_SECONDS: u32 = 5;

/// The server's code for a place that its log of changes does not reach back to.
const HISTORY_LOST: i32 = 286;

type Changes = ChangeStream<ChangeStreamEvent<Document>>;

/// Events from now on, as the server tells of them.
pub async fn change_stream(store: &MongoStore) -> StoreResult<BoxStream<'static, StoredEvent>> {
    let events = store.events();
    let recent = Recent::from_now(events.clone()).await?;
    let changes = open(&events, None).await?;
    let follower = Follower {
        token: changes.resume_token(),
        changes: Some(changes),
        ready: VecDeque::new(),
        recent,
        events,
    };
    Ok(stream::unfold(follower, Follower::next).boxed())
}

/// Events from now on, read again and again.
pub async fn polling(store: &MongoStore) -> StoreResult<BoxStream<'static, StoredEvent>> {
    let recent = Recent::from_now(store.events()).await?;
    let poller = Poller {
        recent,
        ready: VecDeque::new(),
    };
    Ok(stream::unfold(poller, Poller::next).boxed())
}

async fn open(events: &Collection<Document>, after: Option<ResumeToken>) -> Result<Changes, Error> {
    let inserts = doc! {"$match": {"operationType": "insert"}};
    events.watch().pipeline([inserts]).resume_after(after).await
}

/// Follows a change stream over faults.
struct Follower {
    events: Collection<Document>,
    changes: Option<Changes>,
    /// After what was told last.
    token: Option<ResumeToken>,
    ready: VecDeque<StoredEvent>,
    recent: Recent,
}

impl Follower {
    async fn next(mut self) -> Option<(StoredEvent, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if let Err(reason) = self.follow().await {
                warn!(%reason, "the stream of events broke off; opening it again");
                self.changes = None;
                if has_lost_history(&reason) {
                    self.read_again().await;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Waits for one event.
    async fn follow(&mut self) -> Result<(), Error> {
        if self.changes.is_none() {
            self.changes = Some(open(&self.events, self.token.clone()).await?);
        }
        let Some(changes) = &mut self.changes else {
            return Ok(());
        };
        let change = changes.next().await.transpose()?;
        self.token = changes.resume_token();
        match change.and_then(|change| change.full_document) {
            Some(document) => {
                self.recent.saw(&document);
                self.ready.extend(read(document));
            }
            // The server ended the stream, as after the database was dropped.
            None => {
                self.changes = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Goes on without a place to resume from: first from now on, then with what was missed.
    async fn read_again(&mut self) {
        self.token = None;
        let missed = async {
            self.changes = Some(open(&self.events, None).await?);
            self.recent.read_new().await
        };
        match missed.await {
            Ok(missed) => self.ready.extend(missed),
            Err(reason) => warn!(%reason, "events could not be read again"),
        }
    }
}

fn has_lost_history(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(command) if command.code == HISTORY_LOST)
}

/// Reads events by time.
struct Poller {
    recent: Recent,
    ready: VecDeque<StoredEvent>,
}

impl Poller {
    async fn next(mut self) -> Option<(StoredEvent, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            tokio::time::sleep(POLL).await;
            match self.recent.read_new().await {
                Ok(new) => self.ready.extend(new),
                Err(reason) => {
                    warn!(%reason, "events could not be read; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What was seen lately, by the server's time.
struct Recent {
    events: Collection<Document>,
    last: u32,
    seen: HashMap<String, u32>,
}

impl Recent {
    /// Everything there is counts as seen.
    async fn from_now(events: Collection<Document>) -> StoreResult<Self> {
        let newest = events.find_one(doc! {}).sort(doc! {"insertedAt": -1});
        let last = newest.await?.map_or(0, |event| inserted_at(&event));
        let mut recent = Self {
            events,
            last,
            seen: HashMap::new(),
        };
        recent.read_new().await?;
        Ok(recent)
    }

    fn saw(&mut self, document: &Document) -> bool {
        let at = inserted_at(document);
        if at > self.last {
            self.last = at;
            let horizon = self.horizon();
            self.seen.retain(|_, seen_at| *seen_at >= horizon);
        }
        let id = document.get_str("_id").unwrap_or_default();
        self.seen.insert(id.to_owned(), at).is_none()
    }

    fn horizon(&self) -> u32 {
        self.last.saturating_sub(OVERLAP_SECONDS)
    }

    /// What was not seen before, in each campaign by number.
    async fn read_new(&mut self) -> Result<Vec<StoredEvent>, Error> {
        let since = ServerTime {
            time: self.horizon(),
            increment: 0,
        };
        let found: Vec<Document> = self
            .events
            .find(doc! {"insertedAt": {"$gte": since}})
            .sort(doc! {"insertedAt": 1})
            .await?
            .try_collect()
            .await?;
        let mut new = BTreeMap::new();
        for document in found {
            if self.saw(&document)
                && let Some(event) = read(document)
            {
                new.insert((event.event.campaign, event.seq), event);
            }
        }
        Ok(new.into_values().collect())
    }
}

fn inserted_at(document: &Document) -> u32 {
    document
        .get_timestamp("insertedAt")
        .map_or(0, |inserted| inserted.time)
}

/// One event that cannot be read must not hold up the others.
fn read(document: Document) -> Option<StoredEvent> {
    events::read(document)
        .inspect_err(|reason| error!(%reason, "an event cannot be shown"))
        .ok()
}
