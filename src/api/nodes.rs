//! The installation's other processes: what operators ask of a call whose audio is in one of them is
//! passed on to it, in the operator's own name.
//!
//! Where that is, is on the call's record (`DIALTONE_NODE_URL` of the process that took the audio). A
//! request is passed on once: one that was passed on is answered here or not at all.

use std::time::Duration;

use axum::{
    body::Body,
    extract::ws::{CloseFrame, Message, WebSocket},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, client::IntoClientRequest as _},
};
use tracing::{debug, warn};

use super::{
    auth,
    error::{ApiError, ApiResult},
};
use crate::domain::{enrollment::CallRecord, ids::AttemptId};

/// Marks a request that was passed on.
const PASSED_ON: &str = "x-dialtone-passed-on";

/// How long the other process may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The largest answer that is taken: a call with its timeline and transcript.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long a listener may take nothing before it is let go.
const STUCK: Duration = Duration::from_secs(30);

/// The way to the other processes.
pub struct Nodes {
    own: Option<String>,
    client: reqwest::Client,
}

/// A listener's socket at another process.
pub(super) type FarSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Nodes {
    /// `own` is where this process is reached by the others.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(own: Option<String>) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        Ok(Self { own, client })
    }

    /// The process that has a call's audio, if it is another one that can be asked for this request.
    pub(super) fn of(&self, call: &CallRecord, headers: &HeaderMap) -> Option<String> {
        let node = call.attempt.facts.node.clone()?;
        let is_other = self.own.as_ref() != Some(&node);
        (is_other && !headers.contains_key(PASSED_ON)).then_some(node)
    }

    /// Asks the other process for the same, and gives its answer.
    pub(super) async fn pass_on(
        &self,
        node: &str,
        call: AttemptId,
        action: &str,
        headers: &HeaderMap,
        body: Option<&impl Serialize>,
    ) -> ApiResult<Response> {
        let mut request = self
            .client
            .post(format!("{node}/api/v1/calls/{call}/{action}"))
            .bearer_auth(auth::token(headers).unwrap_or_default())
            .header(PASSED_ON, "1");
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| silent(&error))?;
        let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| silent(&error))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(silent(&"its answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let mut response = (answer.status(), Body::from(bytes)).into_response();
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Ok(response)
    }

    /// Listens to a call at the other process.
    pub(super) async fn listen(
        &self,
        node: &str,
        call: AttemptId,
        headers: &HeaderMap,
    ) -> ApiResult<FarSocket> {
        let rest = node.strip_prefix("http").unwrap_or(node);
        let address = format!("ws{rest}/api/v1/calls/{call}/listen");
        let mut request = address
            .into_client_request()
            .map_err(|error| silent(&error))?;
        let token = format!("Bearer {}", auth::token(headers).unwrap_or_default());
        let mut token = HeaderValue::from_str(&token).map_err(|_| ApiError::unauthorized())?;
        token.set_sensitive(true);
        let wanted = request.headers_mut();
        wanted.insert(header::AUTHORIZATION, token);
        wanted.insert(PASSED_ON, HeaderValue::from_static("1"));
        let connecting = connect_async_with_config(request, None, true);
        match timeout(ANSWER_WITHIN, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(answer))) => Err(refused(answer.status())),
            Ok(Err(error)) => Err(silent(&error)),
            Err(late) => Err(silent(&late)),
        }
    }
}

/// The other process said no; what it is about is not known any better here.
fn refused(status: StatusCode) -> ApiError {
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            ApiError::new(status, "tooManyListeners", "too many listen")
        }
        StatusCode::UNAUTHORIZED => ApiError::unauthorized(),
        _ => {
            let detail = "the process that has the call's audio says that the talk is over";
            ApiError::new(StatusCode::CONFLICT, "notLive", detail)
        }
    }
}

fn silent(error: &impl std::fmt::Display) -> ApiError {
    warn!(%error, "the process that has a call's audio does not answer");
    let detail = "the process that has the call's audio does not answer";
    ApiError::new(StatusCode::CONFLICT, "notHere", detail)
}

/// Passes on what a listener hears, until the call is over or somebody leaves. A listener who takes
/// nothing holds up the other process's socket, which loses what is old and says so.
pub(super) async fn relay(mut near: WebSocket, mut far: FarSocket) {
    loop {
        let message = tokio::select! {
            received = near.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                // Nothing is to be said here; pings are answered by the library.
                Some(Ok(_)) => continue,
            },
            told = far.next() => match told {
                Some(Ok(told)) => told,
                Some(Err(_)) | None => break,
            },
        };
        let Some(message) = as_near(message) else {
            continue;
        };
        let is_last = matches!(message, Message::Close(_));
        let sent = timeout(STUCK, near.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            debug!("a listener took nothing, and is let go");
            break;
        }
        if is_last {
            break;
        }
    }
    // Whoever is left finds the connection closed.
    drop(timeout(ANSWER_WITHIN, far.close(None)).await);
}

/// The same message in the words of the other library; none for what is its own matter.
fn as_near(message: tungstenite::Message) -> Option<Message> {
    match message {
        tungstenite::Message::Binary(audio) => Some(Message::Binary(audio)),
        tungstenite::Message::Text(text) => Some(Message::text(text.as_str())),
        tungstenite::Message::Close(frame) => Some(Message::Close(frame.map(|frame| CloseFrame {
            code: frame.code.into(),
            reason: frame.reason.as_str().into(),
        }))),
        tungstenite::Message::Ping(_)
        | tungstenite::Message::Pong(_)
        | tungstenite::Message::Frame(_) => None,
    }
}
