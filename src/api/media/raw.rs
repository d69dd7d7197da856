//! A media socket as it is, on its way to a worker.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tracing::warn;

use crate::{
    bridge::worker::CalleeSocket,
    domain::ids::StreamSid,
    telephony::{
        media::{FromCallee, StreamStart},
        twilio::stream,
    },
    websocket::{Limits, Message, Reader, Role, handshake::accept_key},
};

use super::MAX_FRAME;

/// A request for a WebSocket that was not answered yet.
pub struct RawUpgrade {
    on_upgrade: OnUpgrade,
    accept: HeaderValue,
}

/// The request, if it is one for a WebSocket; what else it needs is checked by whoever answers.
pub fn upgrade_of(parts: &Parts) -> Option<RawUpgrade> {
    let key = parts
        .headers
        .get(header::SEC_WEBSOCKET_KEY)?
        .to_str()
        .ok()?;
    Some(RawUpgrade {
        on_upgrade: parts.extensions.get::<OnUpgrade>()?.clone(),
        accept: HeaderValue::from_str(&accept_key(key)).ok()?,
    })
}

impl RawUpgrade {
    /// What the carrier is answered.
    pub fn answer(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        response
    }

    /// The socket, once the answer has left.
    pub async fn socket(self) -> Option<RawSocket> {
        let upgraded = self.on_upgrade.await.ok()?;
        let parts = downcast::<TokioIo<TcpStream>>(upgraded).ok()?;
        Some(RawSocket {
            stream: parts.io.into_inner(),
            received: parts.read_buf.to_vec(),
        })
    }
}

/// A socket after its handshake, with what was received on it and not read.
pub struct RawSocket {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawSocket {
    /// The socket's first frame that tells something, if it is a start.
    pub async fn first_frame(&mut self) -> Option<StreamStart> {
        let limits = Limits {
            frame: MAX_FRAME,
            message: MAX_FRAME,
        };
        let mut reader = Reader::new(Role::Server, limits);
        loop {
            let step = reader.next(&mut self.received).ok()?;
            let (consumed, is_short) = (step.consumed, step.message.is_none());
            let first = match step.message {
                Some(Message::Text(text)) => stream::parse(text),
                Some(Message::Close(_)) => return None,
                None | Some(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => Ok(None),
            };
            self.received.drain(..consumed);
            match first {
                Ok(Some(FromCallee::Started(start))) => return Some(start),
                Ok(_) => {}
                Err(error) => {
                    warn!(%error, "media frame cannot be read");
                    return None;
                }
            }
            if is_short && self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The socket for a worker.
    pub fn into_callee(self, stream: StreamSid) -> std::io::Result<CalleeSocket> {
        Ok(CalleeSocket {
            stream: self.stream.into_std()?,
            received: self.received,
            dialect: Box::new(stream::Dialect::new(stream)),
        })
    }
}
