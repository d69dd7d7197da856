//! ElevenLabs Agents: opens a conversation and speaks its WebSocket.
//!
//! Knows ElevenLabs' addresses, messages, close codes and words. Knows no carrier: audio is mu-law
//! 8 kHz base64 in both directions, and an agent that is set to anything else is refused.

mod fault;
mod outgoing;
mod session;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, protocol::WebSocketConfig},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{AgentError, AgentSession, BoxError, Brief, VoiceAgent};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From asking for an address to an open socket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The vendor's own clients take messages of this size: a chunk is seconds of audio.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// The library's default of 128 KiB is paid for by every call.
const READ_BUFFER_BYTES: usize = 8 * 1024;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What is needed to reach an agent.
#[derive(Debug, Clone)]
pub struct ElevenLabsConfig {
    /// A key of the agent's workspace.
    pub api_key: SecretString,
    /// The agent for calls whose brief names none.
    pub agent_id: String,
    /// `https://api.elevenlabs.io`, a regional host, or the simulator.
    pub base_url: String,
}

/// The configuration makes no agent.
#[derive(Debug, thiserror::Error)]
pub enum ElevenLabsConfigError {
    /// Not an address.
    #[error("{0:?} is not an http or https address")]
    BaseUrl(String),
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// ElevenLabs as a [`VoiceAgent`].
pub struct ElevenLabs {
    config: ElevenLabsConfig,
    base: Url,
    client: Client,
    sessions: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl ElevenLabs {
    /// The vendor's agents. Asks nothing of ElevenLabs yet.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(config: ElevenLabsConfig) -> Result<Self, ElevenLabsConfigError> {
        let base = Url::parse(&config.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ElevenLabsConfigError::BaseUrl(config.base_url.clone()))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(OPEN_TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()?;
        let stop = CancellationToken::new();
        Ok(Self {
            config,
            base,
            client,
            sessions: TaskTracker::new(),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Ends all sessions and waits until they are closed.
    pub async fn close(&self) {
        self.stop.cancel();
        self.sessions.close();
        self.sessions.wait().await;
    }

    /// Asks for an address that is good for one connection within 15 minutes. It is as secret as a
    /// key.
    async fn signed_url(&self, agent_id: &str) -> Result<String, AgentError> {
        let mut url = self
            .base
            .join("/v1/convai/conversation/get-signed-url")
            .expect("a constant path joins any base");
        url.query_pairs_mut().append_pair("agent_id", agent_id);
        let response = self
            .client
            .get(url)
            .header("xi-api-key", self.config.api_key.expose_secret())
            .send()
            .await
            .map_err(transport_error)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(transport_error)?;
        if status != 200 {
            return Err(fault::http_error(status, &body));
        }
        let answer: SignedUrl = serde_json::from_slice(&body)
            .map_err(|_| unavailable("the answer has no signed address"))?;
        Ok(socket_address(&answer.signed_url))
    }
}

#[derive(Deserialize)]
struct SignedUrl {
    signed_url: String,
}

#[async_trait]
impl VoiceAgent for ElevenLabs {
    async fn open(&self, brief: &Brief) -> Result<AgentSession, AgentError> {
        let agent_id = brief.agent_id.as_ref().unwrap_or(&self.config.agent_id);
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let opening = async {
            let address = self.signed_url(agent_id).await?;
            let socket = connect(&address).await?;
            session::start(socket, brief, &self.sessions, self.stop.child_token()).await
        };
        timeout_at(deadline, opening)
            .await
            .unwrap_or_else(|_| Err(unavailable("no connection within 10 s")))
    }
}

async fn connect(address: &str) -> Result<Socket, AgentError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let without_delay = true;
    match connect_async_with_config(address, Some(config), without_delay).await {
        Ok((socket, _response)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err(fault::http_error(response.status().as_u16(), body))
        }
        // Other errors may name the address, which is secret.
        Err(tungstenite::Error::Io(error)) => Err(AgentError::Unavailable(error.into())),
        Err(tungstenite::Error::Tls(error)) => Err(AgentError::Unavailable(error.into())),
        Err(_) => Err(unavailable("the WebSocket handshake failed")),
    }
}

/// A signed address as a WebSocket's; some answers give it as HTTP.
fn socket_address(signed_url: &str) -> String {
    match signed_url.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => signed_url.to_owned(),
    }
}

fn transport_error(error: reqwest::Error) -> AgentError {
    AgentError::Unavailable(error.without_url().into())
}

fn unavailable(why: &'static str) -> AgentError {
    AgentError::Unavailable(BoxError::from(why))
}

#[cfg(test)]
mod tests;
