//! A media socket whose audio passes through tasks and channels: one reads, one writes.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    bridge::CalleeLeg,
    domain::ids::StreamSid,
    telephony::{
        media::{FromCallee, StreamStart, ToCallee},
        twilio::stream,
    },
};

/// How many 20 ms frames may wait between the socket and the bridge, each way.
const FRAMES_WAITING: usize = 64;

/// How long the carrier may take to agree to the socket's end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long a write to the carrier may take before the socket counts as dead.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// The socket's first frame that tells something, if it is a start.
pub(super) async fn first_frame(socket: &mut WebSocket) -> Option<StreamStart> {
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            match stream::parse(&text) {
                Ok(Some(FromCallee::Started(start))) => return Some(start),
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "media frame cannot be read");
                    return None;
                }
            }
        }
    }
    None
}

/// The tasks of a socket.
pub(super) struct Pumps {
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
    saved: CancellationToken,
}

impl Pumps {
    /// Starts them on `tasks`. Returns them with the channels between.
    pub fn start(tasks: &TaskTracker, socket: WebSocket, stream: StreamSid) -> (Self, CalleeLeg) {
        let (sink, source) = socket.split();
        let (from_socket, from) = mpsc::channel(FRAMES_WAITING);
        let (to, to_socket) = mpsc::channel(FRAMES_WAITING);
        let saved = CancellationToken::new();
        let pumps = Self {
            reading: tasks.spawn(read(source, from_socket)),
            writing: tasks.spawn(write(sink, stream, to_socket, saved.clone())),
            saved,
        };
        (pumps, CalleeLeg { from, to })
    }

    /// The records are saved: closes the socket, and waits until it is.
    pub async fn release(self) {
        self.saved.cancel();
        drop(self.writing.await);
        let cut = self.reading.abort_handle();
        if tokio::time::timeout(CLOSE_WITHIN, self.reading)
            .await
            .is_err()
        {
            cut.abort();
        }
    }
}

/// Frames from the carrier, as far as they can be read; one that cannot is skipped. What comes after
/// the talk is read and thrown away: a socket that is closed with unread frames is cut, not closed.
async fn read(mut source: SplitStream<WebSocket>, to_bridge: mpsc::Sender<FromCallee>) {
    let mut is_wanted = true;
    while let Some(Ok(message)) = source.next().await {
        let Message::Text(text) = message else {
            continue;
        };
        if !is_wanted {
            continue;
        }
        match stream::parse(&text) {
            Ok(Some(event)) => {
                let is_last = event == FromCallee::Stopped;
                is_wanted = to_bridge.send(event).await.is_ok() && !is_last;
            }
            Ok(None) => {}
            Err(error) => debug!(%error, "media frame skipped"),
        }
    }
}

/// Messages to the carrier, until the bridge closes its side; then the socket is closed, after the
/// records were saved.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    stream: StreamSid,
    mut from_bridge: mpsc::Receiver<ToCallee>,
    saved: CancellationToken,
) {
    while let Some(message) = from_bridge.recv().await {
        let Some(frame) = stream::render(&stream, &message) else {
            break;
        };
        let sent = tokio::time::timeout(WRITE_WITHIN, sink.send(Message::Text(frame.into()))).await;
        if !matches!(sent, Ok(Ok(()))) {
            // A timed-out write may still arrive, so the socket is of no use any more.
            return;
        }
    }
    drop(tokio::time::timeout(WRITE_WITHIN, saved.cancelled()).await);
    drop(tokio::time::timeout(WRITE_WITHIN, sink.close()).await);
}
