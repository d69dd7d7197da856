//! Joining rooms, and catching up on what was missed.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use socketioxide::extract::{AckSender, Extension, SocketRef, State, TryData};
use tracing::warn;

use super::{Listener, Shared, call_room, campaign_room, publish, tenant_room};
use crate::{
    domain::ids::{AttemptId, CampaignId, TenantId},
    store::{StoreError, StoreResult},
};

/// What a client wants to hear of. Without ids: every campaign of the tenant in brief.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subscription {
    campaign_id: Option<String>,
    call_id: Option<String>,
    /// The last `seq` the client has of the campaign; what came after is sent again.
    since_seq: Option<u64>,
}

/// The answer to a subscription.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Joined {
        ok: bool,
        /// The campaign's last `seq` when it was joined; 0 for the tenant.
        seq: u64,
        /// Too much was missed: read the state over REST.
        reload: bool,
    },
    Refused {
        ok: bool,
        code: &'static str,
        detail: String,
    },
}

/// More missed events than this are not sent one by one.
const MAX_REPLAY: NonZeroU32 = NonZeroU32::new(1000).expect("1000 is not zero");

enum Target {
    Tenant,
    Campaign(CampaignId),
    Call(CampaignId, AttemptId),
}

pub(super) async fn subscribe(
    socket: SocketRef,
    TryData(wanted): TryData<Subscription>,
    Extension(listener): Extension<Listener>,
    State(shared): State<Shared>,
    ack: AckSender,
) {
    let answer = match wanted {
        Ok(wanted) => match join(&socket, &shared, listener.tenant, &wanted).await {
            Ok(answer) => answer,
            Err(error) => {
                warn!(%error, "subscription failed");
                refused("unavailable", "the store does not answer; try again")
            }
        },
        Err(_) => refused("invalid", "expected {campaignId?, callId?, sinceSeq?}"),
    };
    send(ack, &answer);
}

pub(super) async fn unsubscribe(
    socket: SocketRef,
    TryData(wanted): TryData<Subscription>,
    Extension(listener): Extension<Listener>,
    ack: AckSender,
) {
    let left = wanted
        .ok()
        .and_then(|wanted| room_of(listener.tenant, &wanted));
    let answer = match left {
        Some(room) => {
            socket.leave(room);
            Answer::Joined {
                ok: true,
                seq: 0,
                reload: false,
            }
        }
        None => refused("invalid", "expected {campaignId?, callId?}"),
    };
    send(ack, &answer);
}

fn send(ack: AckSender, answer: &Answer) {
    // A client that left does not read its answer.
    drop(ack.send(answer));
}

fn refused(code: &'static str, detail: &str) -> Answer {
    Answer::Refused {
        ok: false,
        code,
        detail: detail.to_owned(),
    }
}

/// The room that a subscription names; leaving one needs no look-up.
fn room_of(tenant: TenantId, wanted: &Subscription) -> Option<String> {
    match (&wanted.call_id, &wanted.campaign_id) {
        (Some(call), _) => call.parse().ok().map(call_room),
        (None, Some(campaign)) => campaign.parse().ok().map(campaign_room),
        (None, None) => Some(tenant_room(tenant)),
    }
}

async fn join(
    socket: &SocketRef,
    shared: &Shared,
    tenant: TenantId,
    wanted: &Subscription,
) -> StoreResult<Answer> {
    let (campaign, room) = match find_target(shared, tenant, wanted).await? {
        Some(Target::Tenant) => {
            socket.join(tenant_room(tenant));
            let list = publish::active_campaigns(&shared.engine, tenant, shared.now()).await?;
            let reload = !emit(socket, "active_campaigns_list", &list);
            return Ok(Answer::Joined {
                ok: true,
                seq: 0,
                reload,
            });
        }
        Some(Target::Campaign(campaign)) => (campaign, campaign_room(campaign)),
        Some(Target::Call(campaign, call)) => (campaign, call_room(call)),
        None => return Ok(refused("notFound", "there is no such campaign or call")),
    };
    // Joined first, so that nothing falls between the replay and the live events.
    socket.join(room);
    let seq = shared.engine.store().last_seq(tenant, campaign).await?;
    let reload = match wanted.since_seq {
        Some(since) => !replay(socket, shared, tenant, campaign, since).await?,
        None => false,
    };
    Ok(Answer::Joined {
        ok: true,
        seq,
        reload,
    })
}

async fn find_target(
    shared: &Shared,
    tenant: TenantId,
    wanted: &Subscription,
) -> StoreResult<Option<Target>> {
    let store = shared.engine.store();
    match (&wanted.call_id, &wanted.campaign_id) {
        (Some(text), _) => {
            let Ok(id) = text.parse::<AttemptId>() else {
                return Ok(None);
            };
            let call = store.find_call(tenant, id).await?;
            Ok(call.map(|call| Target::Call(call.campaign, id)))
        }
        (None, Some(text)) => {
            let Ok(id) = text.parse::<CampaignId>() else {
                return Ok(None);
            };
            let campaign = store.find_campaign(tenant, id).await?;
            Ok(campaign.map(|campaign| Target::Campaign(campaign.id)))
        }
        (None, None) => Ok(Some(Target::Tenant)),
    }
}

/// Sends what came after `since`; false when that is too much, or more than the listener takes.
async fn replay(
    socket: &SocketRef,
    shared: &Shared,
    tenant: TenantId,
    campaign: CampaignId,
    since: u64,
) -> Result<bool, StoreError> {
    let store = shared.engine.store();
    let missed = store
        .events_after(tenant, campaign, since, MAX_REPLAY)
        .await?;
    if missed.len() >= MAX_REPLAY.get() as usize {
        return Ok(false);
    }
    for event in &missed {
        if let Some(message) = publish::message(&shared.engine, event).await?
            && !emit(socket, message.name, &message.payload)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends one event; false when the listener cannot take it.
fn emit<T: Serialize>(socket: &SocketRef, name: &'static str, payload: &T) -> bool {
    let sent = socket.emit(name, payload);
    if let Err(error) = &sent {
        warn!(%error, "event not sent to a slow or gone listener");
    }
    sent.is_ok()
}
