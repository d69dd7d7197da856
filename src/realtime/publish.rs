//! From stored events to messages in rooms.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use socketioxide::SocketIo;
use tokio::{sync::broadcast::error::RecvError, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    call_room, campaign_room,
    payload::{
        self, ActiveCampaign, ActiveCampaigns, CallView, EmergencyStopUpdate, ProgressView,
        TranscriptView,
    },
    tenant_room,
};
use crate::{
    domain::{
        Timestamp,
        event::{EventKind, Moment, StoredEvent},
        ids::{AttemptId, CampaignId, TenantId},
    },
    engine::Engine,
    store::StoreResult,
};

/// At most four progress messages a second for a campaign.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// One message, ready to be sent.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) payload: Value,
}

/// Campaigns whose progress changed since it was last sent.
#[derive(Debug, Default)]
struct Dirty {
    progress: BTreeMap<(TenantId, CampaignId), u64>,
    lists: BTreeSet<TenantId>,
}

/// Sends what happens until `stop`.
pub(super) async fn run(io: SocketIo, engine: Engine, stop: CancellationToken) {
    let mut feed = engine.feed();
    let mut dirty = Dirty::default();
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            event = feed.recv() => match event {
                Ok(event) => {
                    dirty.note(&event);
                    publish(&io, &engine, &event).await;
                }
                Err(RecvError::Lagged(n)) => {
                    warn!(n, "live view fell behind; listeners reconnect to catch up");
                    drop(io.disconnect().await);
                }
                Err(RecvError::Closed) => return,
            },
            _ = ticks.tick(), if !dirty.is_empty() => {
                send_dirty(&io, &engine, std::mem::take(&mut dirty)).await;
            }
        }
    }
}

impl Dirty {
    fn note(&mut self, stored: &StoredEvent) {
        let event = &stored.event;
        self.progress
            .insert((event.tenant, event.campaign), stored.seq);
        if matches!(event.kind, EventKind::Campaign { .. }) {
            self.lists.insert(event.tenant);
        }
    }

    fn is_empty(&self) -> bool {
        self.progress.is_empty() && self.lists.is_empty()
    }
}

async fn publish(io: &SocketIo, engine: &Engine, event: &StoredEvent) {
    let rooms = rooms_of(event);
    // Whoever joins from now on finds the event in the log.
    if !is_anybody_in(io, &rooms) {
        return;
    }
    match message(engine, event).await {
        Ok(Some(message)) => emit(io, rooms, &message),
        Ok(None) => {}
        Err(error) => warn!(%error, "event not shown live"),
    }
}

/// Where an event is told; nowhere if it only changes figures.
fn rooms_of(stored: &StoredEvent) -> Vec<String> {
    let event = &stored.event;
    let campaign = campaign_room(event.campaign);
    match &event.kind {
        EventKind::Campaign { .. } | EventKind::EmergencyStop { .. } => {
            vec![tenant_room(event.tenant), campaign]
        }
        EventKind::Call { attempt, .. } | EventKind::Transcript { attempt, .. } => {
            vec![campaign, call_room(*attempt)]
        }
        EventKind::Timeline { attempt, moment } if changes_a_call(moment) => {
            vec![campaign, call_room(*attempt)]
        }
        EventKind::Enrolled { .. }
        | EventKind::Enrollment { .. }
        | EventKind::Erased { .. }
        | EventKind::Timeline { .. } => vec![],
    }
}

/// Whether what is told in one of these rooms reaches somebody: to put it together costs questions to
/// the store, for every step of every call.
fn is_anybody_in(io: &SocketIo, rooms: &[String]) -> bool {
    !rooms.is_empty() && !io.within(rooms.to_vec()).sockets().is_empty()
}

/// Sends a message to every socket in the rooms, once each. One that cannot take it is
/// disconnected, so that it comes back and catches up.
fn emit(io: &SocketIo, rooms: Vec<String>, message: &Message) {
    for socket in io.within(rooms).sockets() {
        if let Err(error) = socket.emit(message.name, &message.payload) {
            warn!(%error, "slow listener disconnected");
            drop(socket.disconnect());
        }
    }
}

/// The message that an event stands for; none for events that only change figures.
pub(super) async fn message(engine: &Engine, stored: &StoredEvent) -> StoreResult<Option<Message>> {
    let event = &stored.event;
    Ok(match &event.kind {
        EventKind::Campaign { .. } => {
            let record = engine
                .store()
                .find_campaign(event.tenant, event.campaign)
                .await?;
            payload::campaign_update(event, stored.seq, record.map(|record| record.name)).map(
                |update| Message {
                    name: "campaign_update",
                    payload: to_value(&update),
                },
            )
        }
        EventKind::EmergencyStop {
            is_in_force,
            by,
            reason,
        } => {
            let update = EmergencyStopUpdate {
                campaign_id: event.campaign.to_string(),
                seq: stored.seq,
                at: event.at,
                is_in_force: *is_in_force,
                by: by.clone(),
                reason: reason.clone(),
            };
            Some(Message {
                name: "emergency_stop",
                payload: to_value(&update),
            })
        }
        EventKind::Call { attempt, .. } => call_update(engine, stored, *attempt).await?,
        EventKind::Timeline { attempt, moment } if changes_a_call(moment) => {
            call_update(engine, stored, *attempt).await?
        }
        EventKind::Transcript { attempt, line } => {
            let view = TranscriptView {
                call_id: Some(attempt.to_string()),
                campaign_id: Some(event.campaign.to_string()),
                ..TranscriptView::new(line, stored.seq, event.at)
            };
            Some(Message {
                name: "call_transcript",
                payload: to_value(&view),
            })
        }
        EventKind::Enrolled { .. }
        | EventKind::Enrollment { .. }
        | EventKind::Erased { .. }
        | EventKind::Timeline { .. } => None,
    })
}

/// What changes how a call is shown without a change of its state.
fn changes_a_call(moment: &Moment) -> bool {
    matches!(
        moment,
        Moment::Muted { .. }
            | Moment::Reported { .. }
            | Moment::Priced { .. }
            | Moment::RecordingDeleted
    )
}

async fn call_update(
    engine: &Engine,
    stored: &StoredEvent,
    attempt: AttemptId,
) -> StoreResult<Option<Message>> {
    let call = engine
        .store()
        .find_call(stored.event.tenant, attempt)
        .await?;
    Ok(call.map(|call| Message {
        name: "campaign_call_update",
        payload: to_value(&CallView::brought_by(&call, stored)),
    }))
}

fn to_value<T: serde::Serialize>(payload: &T) -> Value {
    serde_json::to_value(payload).expect("payloads hold only texts, numbers and string keys")
}

async fn send_dirty(io: &SocketIo, engine: &Engine, dirty: Dirty) {
    let now = engine.clock().now();
    for ((tenant, campaign), seq) in dirty.progress {
        let rooms = vec![tenant_room(tenant), campaign_room(campaign)];
        if !is_anybody_in(io, &rooms) {
            continue;
        }
        match engine.store().progress(tenant, campaign).await {
            Ok(progress) => {
                let view = ProgressView::new(campaign, progress, seq, now);
                let message = Message {
                    name: "campaign_progress",
                    payload: to_value(&view),
                };
                emit(io, rooms, &message);
            }
            Err(error) => warn!(%error, "progress not shown live"),
        }
    }
    for tenant in dirty.lists {
        let rooms = vec![tenant_room(tenant)];
        if !is_anybody_in(io, &rooms) {
            continue;
        }
        match active_campaigns(engine, tenant, now).await {
            Ok(list) => {
                let message = Message {
                    name: "active_campaigns_list",
                    payload: to_value(&list),
                };
                emit(io, rooms, &message);
            }
            Err(error) => warn!(%error, "active campaigns not shown live"),
        }
    }
}

/// The tenant's campaigns that are dialing, with their progress.
pub(super) async fn active_campaigns(
    engine: &Engine,
    tenant: TenantId,
    now: Timestamp,
) -> StoreResult<ActiveCampaigns> {
    let store = engine.store();
    let mut items = Vec::new();
    for campaign in store.active_campaigns(tenant).await? {
        let seq = store.last_seq(tenant, campaign.id).await?;
        let progress = store.progress(tenant, campaign.id).await?;
        items.push(ActiveCampaign {
            id: campaign.id.to_string(),
            name: campaign.name.clone(),
            status: campaign.status.name().to_owned(),
            progress: ProgressView::new(campaign.id, progress, seq, now),
        });
    }
    Ok(ActiveCampaigns { at: now, items })
}
