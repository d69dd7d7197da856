//! The bridge itself, without campaigns: sockets are taken over and joined to the agent as the server
//! does it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
    serve::ListenerExt as _,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    agents::VoiceAgent,
    api::media::raw,
    bridge::{
        Bridge, BridgeSettings, Brief,
        worker::{WorkerSettings, Workers},
    },
};

/// Reports that may wait for whoever keeps the records.
const REPORTS_WAITING: usize = 64;

#[derive(Clone)]
struct Shared {
    bridge: Bridge,
    workers: Workers,
}

/// Bridges to `agent` until the process ends; `ready` is told where.
pub async fn run(
    agent: Arc<dyn VoiceAgent>,
    n_threads: usize,
    tick: Duration,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let shared = Shared {
        bridge: Bridge::new(agent, BridgeSettings::default()),
        workers: Workers::start(WorkerSettings { n_threads, tick })?,
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    ready(listener.local_addr()?);
    let listener = listener.tap_io(|socket| {
        // A benchmark shows what is late.
        socket.set_nodelay(true).ok();
    });
    let router = Router::new().route("/media", get(media)).with_state(shared);
    Ok(axum::serve(listener, router).await?)
}

async fn media(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let Some(upgrade) = raw::upgrade_of(&parts) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let answer = upgrade.answer();
    tokio::spawn(async move {
        if let Some(socket) = upgrade.socket().await {
            talk(shared, socket).await;
        }
    });
    answer
}

async fn talk(shared: Shared, mut socket: raw::RawSocket) {
    let Some(start) = socket.first_frame().await else {
        return;
    };
    let Ok(callee) = socket.into_callee(start.stream) else {
        return;
    };
    let (report, mut reports) = mpsc::channel(REPORTS_WAITING);
    let keeping = tokio::spawn(async move { while reports.recv().await.is_some() {} });
    let brief = Brief::default();
    let stop = CancellationToken::new();
    let (_end, held) = shared
        .bridge
        .run_on(&shared.workers, callee, &brief, None, report, &stop)
        .await;
    drop(keeping.await);
    held.release().await;
}
