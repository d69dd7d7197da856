//! ElevenLabs Agents: opens a conversation and speaks its WebSocket.
//!
//! Knows ElevenLabs' addresses, messages, close codes and words. Knows no carrier: audio is mu-law
//! 8 kHz base64 in both directions. An agent that is set to linear samples is converted for, where the
//! rate is a multiple of the telephone's; with any other format it is refused.

mod conversation;
mod fault;
mod outgoing;
mod report;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::{
    Client, Url,
    header::{HeaderName, HeaderValue},
    redirect,
};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::debug;

use super::{
    AgentError, AgentSession, Brief, Dialect, VoiceAgent,
    link::{self, AgentLink, LinkError, LinkStream, Prepared},
    opening::{OPEN_TIMEOUT, in_time, socket_address, transport_error, unavailable},
    session,
    sound::SoundByHttp,
};

use crate::domain::ids::AgentVendor;

pub use report::PostCall;

use conversation::Conversation;

/// The vendor's name in settings and records.
pub const VENDOR: &str = "elevenlabs";

/// The header with the workspace's key.
const KEY_HEADER: &str = "xi-api-key";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that was prepared may take for the one round trip that is left. Servers close
/// what stays silent, and networks forget it without a word.
const PREPARED_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Not a key.
    #[error("the key has characters that no key has")]
    Key,
}

impl ElevenLabsConfig {
    fn base(&self) -> Result<Url, ElevenLabsConfigError> {
        Url::parse(&self.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| ElevenLabsConfigError::BaseUrl(self.base_url.clone()))
    }

    /// Where the vendor keeps the sound of its conversations.
    ///
    /// The process's TLS provider must have been installed.
    pub fn sound(&self) -> Result<SoundByHttp, ElevenLabsConfigError> {
        let key = HeaderValue::from_str(self.api_key.expose_secret());
        let key = key.map_err(|_| ElevenLabsConfigError::Key)?;
        let path = &["v1", "convai", "conversations", "{id}", "audio"];
        let key = (HeaderName::from_static(KEY_HEADER), key);
        Ok(SoundByHttp::new(self.base()?, path, key)?)
    }
}

/// ElevenLabs as a [`VoiceAgent`].
pub struct ElevenLabs {
    config: ElevenLabsConfig,
    base: Url,
    client: Client,
    tls: Arc<ClientConfig>,
    sessions: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

impl ElevenLabs {
    /// The vendor's agents. Asks nothing of ElevenLabs yet.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(config: ElevenLabsConfig) -> Result<Self, ElevenLabsConfigError> {
        let base = config.base()?;
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
            tls: link::tls_config(),
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
            .header(KEY_HEADER, self.config.api_key.expose_secret())
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

    /// A connection to the agent's address.
    async fn line(&self, agent_id: Option<&str>) -> Result<Prepared, AgentError> {
        let agent_id = agent_id.unwrap_or(&self.config.agent_id);
        let address = self.signed_url(agent_id).await?;
        link::prepare(&address, &self.tls).await.map_err(link_error)
    }

    /// The WebSocket, over what was prepared if that is still good.
    async fn socket(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<(LinkStream, Vec<u8>), AgentError> {
        if let Some(prepared) = prepared {
            match timeout(PREPARED_TIMEOUT, prepared.open()).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => debug!(%error, "a prepared connection was not good any more"),
                Err(_) => debug!("a prepared connection did not answer"),
            }
        }
        let line = self.line(brief.agent_id.as_deref()).await?;
        line.open().await.map_err(link_error)
    }
}

#[derive(Deserialize)]
struct SignedUrl {
    signed_url: String,
}

/// The vendor's words for one conversation whose connection is up since `now`, for somebody who has no
/// connection.
pub fn dialect(brief: &Brief, now: std::time::Instant) -> Box<dyn Dialect> {
    Box::new(Conversation::new(brief, now))
}

#[async_trait]
impl VoiceAgent for ElevenLabs {
    async fn prepare(
        &self,
        _vendor: Option<&AgentVendor>,
        agent_id: Option<&str>,
    ) -> Result<Option<Prepared>, AgentError> {
        in_time(self.line(agent_id)).await.map(Some)
    }

    async fn open(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentSession, AgentError> {
        let link = self.connect(brief, prepared).await?;
        session::start(link, &self.sessions, self.stop.child_token()).await
    }

    async fn connect(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError> {
        let (stream, received) = in_time(self.socket(brief, prepared)).await?;
        Ok(AgentLink {
            stream,
            received,
            dialect: Box::new(Conversation::new(brief, Instant::now().into_std())),
        })
    }
}

fn link_error(error: LinkError) -> AgentError {
    match error {
        LinkError::Refused { status, body } => fault::http_error(status, &body),
        other => AgentError::Unavailable(other.into()),
    }
}

#[cfg(test)]
mod tests;
