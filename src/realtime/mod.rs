//! The live view: stored events become typed payloads in rooms of Socket.IO.
//!
//! Knows the words of the wire and who may listen to what. Decides nothing and keeps nothing: what
//! a client missed is read from the campaign's log again.
//!
//! The server library runs every handler as a task of its own and so does not keep the order of one
//! socket's events; clients order by `seq`. A socket that reads too slowly is disconnected: it comes
//! back with the last `seq` it has and gets what it missed.

pub mod payload;
mod publish;
mod subscribe;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;
use socketioxide::{
    SocketIo,
    extract::{Extension, SocketRef, State, TryData},
    handler::ConnectHandler as _,
    layer::SocketIoLayer,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    clock::Clock,
    domain::ids::{AttemptId, CampaignId, TenantId},
    engine::Engine,
};

/// Who says whether a token may listen, and to whose events.
#[async_trait]
pub trait Doorkeeper: Send + Sync + 'static {
    /// The tenant that the token's owner may listen to; none for a token that is no good.
    async fn admit(&self, token: &str) -> Option<TenantId>;
}

/// The Socket.IO server.
#[derive(Clone)]
pub struct Realtime {
    io: SocketIo,
    engine: Engine,
    door: Arc<dyn Doorkeeper>,
}

#[derive(Clone)]
struct Shared {
    engine: Engine,
    door: Arc<dyn Doorkeeper>,
}

/// Whose events a connected socket may have, and on whose word.
#[derive(Clone)]
struct Listener {
    tenant: TenantId,
    token: Arc<str>,
}

/// What a client sends when it connects.
#[derive(Debug, Deserialize)]
struct Handshake {
    token: String,
}

/// The largest thing a client may send; subscriptions are small.
const MAX_PAYLOAD: u64 = 16 * 1024;

/// How often the sessions of listeners are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// How many events may wait for one slow socket.
const MAX_WAITING: usize = 1024;

impl Realtime {
    /// Builds the server and the layer that serves it.
    pub fn new(engine: Engine, door: Arc<dyn Doorkeeper>) -> (Self, SocketIoLayer) {
        let (layer, io) = SocketIo::builder()
            .max_payload(MAX_PAYLOAD)
            .max_buffer_size(MAX_WAITING)
            .ws_read_buffer_size(8 * 1024)
            .with_state(Shared {
                engine: engine.clone(),
                door: door.clone(),
            })
            .build_layer();
        io.ns("/", connected.with(check_token));
        (Self { io, engine, door }, layer)
    }

    /// Publishes what happens until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(
            publish::run(self.io.clone(), self.engine.clone(), stop.clone()),
            self.look_again(stop),
        );
    }

    /// Disconnects listeners whose session has ended since they came (F-86).
    async fn look_again(&self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            // A store that does not answer is no reason to send anybody away.
            if !self.engine.health().await.store {
                continue;
            }
            for socket in self.io.sockets() {
                let Some(listener) = socket.extensions.get::<Listener>() else {
                    continue;
                };
                if self.door.admit(&listener.token).await != Some(listener.tenant) {
                    debug!(tenant = %listener.tenant, "listener's session has ended");
                    drop(socket.disconnect());
                }
            }
        }
    }

    /// Disconnects every socket. Before the HTTP server is awaited: a polling client would hold it.
    pub async fn close(&self) {
        self.io.close().await;
    }
}

/// Why a client may not connect, as it sees it.
#[derive(Debug, thiserror::Error)]
#[error("not_authorized")]
struct NotAuthorized;

async fn check_token(
    socket: SocketRef,
    TryData(handshake): TryData<Handshake>,
    State(shared): State<Shared>,
) -> Result<(), NotAuthorized> {
    let handshake = handshake.map_err(|_| NotAuthorized)?;
    let tenant = shared
        .door
        .admit(&handshake.token)
        .await
        .ok_or(NotAuthorized)?;
    socket.extensions.insert(Listener {
        tenant,
        token: handshake.token.into(),
    });
    Ok(())
}

async fn connected(socket: SocketRef, Extension(listener): Extension<Listener>) {
    debug!(tenant = %listener.tenant, "listener connected");
    socket.on("subscribe", subscribe::subscribe);
    socket.on("unsubscribe", subscribe::unsubscribe);
}

fn tenant_room(tenant: TenantId) -> String {
    format!("tenant:{tenant}")
}

fn campaign_room(campaign: CampaignId) -> String {
    format!("campaign:{campaign}")
}

fn call_room(call: AttemptId) -> String {
    format!("call:{call}")
}

impl Shared {
    fn now(&self) -> crate::domain::Timestamp {
        let clock: &Arc<dyn Clock> = self.engine.clock();
        clock.now()
    }
}
