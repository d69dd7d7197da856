//! Vapi: creates a call over its WebSocket transport and speaks on it.
//!
//! Knows Vapi's addresses, messages, reasons and words. Knows no carrier: to the outside audio is mu-law
//! 8 kHz base64, to Vapi the same as raw bytes, or linear samples where that is configured. A call is
//! created when somebody has answered, because from then on it counts and costs. The request is never made
//! twice: nothing would tell the second call from the first.

mod conversation;
mod fault;
mod gate;
mod outgoing;
mod report;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use reqwest::{
    Client, RequestBuilder, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect,
};
use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::debug;

use super::{
    AgentError, AgentSession, Brief, Dialect, VoiceAgent,
    link::{self, AgentLink, LinkError, Prepared},
    opening::{OPEN_TIMEOUT, in_time, socket_address, transport_error, unavailable},
    session,
    sound::SoundByHttp,
};
use crate::{
    audio::{Format, Rate},
    domain::ids::{AgentVendor, ConversationId},
};

pub use report::ServerMessages;

use conversation::Conversation;

/// The vendor's name in settings and records.
pub const VENDOR: &str = "vapi";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an assistant's settings are taken for unchanged.
const SETTINGS_FRESH: Duration = Duration::from_secs(60);
/// How many assistants' settings are kept.
const MAX_KEPT: usize = 64;
/// Requests without one are turned away by the vendor's network.
const USER_AGENT: &str = concat!("dialtone/", env!("CARGO_PKG_VERSION"));
/// Samples a second where audio goes as linear samples.
const LINEAR_HERTZ: u32 = 16_000;

/// What is needed to reach an assistant.
#[derive(Debug, Clone)]
pub struct VapiConfig {
    /// The private key of the assistant's organisation.
    pub api_key: SecretString,
    /// The assistant for calls whose brief names none.
    pub assistant_id: String,
    /// `https://api.vapi.ai` or the simulator.
    pub base_url: String,
    /// How audio goes between here and the vendor.
    pub audio: VapiAudio,
}

/// How audio goes between here and the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VapiAudio {
    /// As on the telephone, without conversion.
    #[default]
    Mulaw,
    /// As linear samples at 16 kHz, converted here.
    Linear,
}

impl VapiAudio {
    fn format(self) -> Format {
        match self {
            Self::Mulaw => Format::Telephone,
            Self::Linear => Rate::of_hertz(LINEAR_HERTZ)
                .map(Format::Linear)
                .expect("the rate is a multiple of the telephone's"),
        }
    }
}

/// The configuration makes no agent.
#[derive(Debug, thiserror::Error)]
pub enum VapiConfigError {
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

impl VapiConfig {
    fn base(&self) -> Result<Url, VapiConfigError> {
        Url::parse(&self.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| VapiConfigError::BaseUrl(self.base_url.clone()))
    }

    /// Where the vendor keeps the sound of its calls.
    ///
    /// The process's TLS provider must have been installed.
    pub fn sound(&self) -> Result<SoundByHttp, VapiConfigError> {
        let key = format!("Bearer {}", self.api_key.expose_secret());
        let key = HeaderValue::from_str(&key).map_err(|_| VapiConfigError::Key)?;
        let path = &["call", "{id}", "stereo-recording"];
        Ok(SoundByHttp::new(self.base()?, path, (AUTHORIZATION, key))?)
    }
}

/// Vapi as a [`VoiceAgent`].
pub struct Vapi {
    config: VapiConfig,
    base: Url,
    client: Client,
    tls: Arc<ClientConfig>,
    /// Assistants as their owners set them up, and since when that is known.
    assistants: Mutex<BTreeMap<String, (Instant, Value)>>,
    sessions: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

/// A call that was created and waits for its socket.
struct NewCall {
    id: ConversationId,
    address: String,
}

impl Vapi {
    /// The vendor's assistants. Asks nothing of Vapi yet.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(config: VapiConfig) -> Result<Self, VapiConfigError> {
        let base = config.base()?;
        let client = Client::builder()
            .user_agent(USER_AGENT)
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
            assistants: Mutex::default(),
            sessions: TaskTracker::new(),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Value, AgentError> {
        let key = self.config.api_key.expose_secret();
        let response = request.bearer_auth(key).send().await;
        let response = response.map_err(transport_error)?;
        let status = response.status();
        let body = response.bytes().await.map_err(transport_error)?;
        if !status.is_success() {
            return Err(fault::http_error(status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|_| unavailable("the answer cannot be read"))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// The assistant's settings, asked for unless they were a short while ago.
    async fn assistant(&self, id: &str) -> Result<Value, AgentError> {
        if let Some((known_at, settings)) = self.kept().get(id)
            && known_at.elapsed() < SETTINGS_FRESH
        {
            return Ok(settings.clone());
        }
        let request = self.client.get(self.url(&["assistant", id]));
        let settings = self.ask(request).await?;
        let mut kept = self.kept();
        kept.retain(|_, (known_at, _)| known_at.elapsed() < SETTINGS_FRESH);
        if kept.len() < MAX_KEPT {
            kept.insert(id.to_owned(), (Instant::now(), settings.clone()));
        }
        Ok(settings)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Instant, Value)>> {
        self.assistants
            .lock()
            .expect("nothing panics while it holds the settings")
    }

    async fn create(&self, brief: &Brief) -> Result<NewCall, AgentError> {
        let assistant_id = brief.agent_id.as_ref().unwrap_or(&self.config.assistant_id);
        let assistant = if outgoing::needs_assistant(brief) {
            self.assistant(assistant_id).await?
        } else {
            Value::Null
        };
        let format = self.config.audio.format();
        let wish = outgoing::new_call(brief, assistant_id, &assistant, format)?;
        let request = self.client.post(self.url(&["call"])).json(&wish);
        let call = self.ask(request).await?;
        if call["subscriptionLimits"]["concurrencyBlocked"] == true {
            let limit = &call["subscriptionLimits"]["concurrencyLimit"];
            return Err(AgentError::Busy(format!(
                "the account's {limit} calls at a time are in use; lower the campaign's limit"
            )));
        }
        let id = call["id"].as_str().and_then(|id| id.parse().ok());
        let address = call["transport"]["websocketCallUrl"].as_str();
        let (id, address) = id
            .zip(address)
            .ok_or_else(|| unavailable("the answer has no call with an address"))?;
        Ok(NewCall {
            id,
            address: socket_address(address),
        })
    }

    async fn link(&self, brief: &Brief) -> Result<AgentLink, AgentError> {
        let NewCall { id, address } = self.create(brief).await?;
        debug!(conversation_id = %id, "call created at the agent's vendor");
        let line = link::prepare(&address, &self.tls).await;
        let opened = match line {
            Ok(line) => line.open().await,
            Err(error) => Err(error),
        };
        let (stream, received) = opened.map_err(link_error)?;
        let now = Instant::now().into_std();
        Ok(AgentLink {
            stream,
            received,
            dialect: Box::new(Conversation::new(id, self.config.audio.format(), now)),
        })
    }
}

/// The vendor's words for one call whose connection is up since `now`, for somebody who has no
/// connection.
pub fn dialect(id: ConversationId, audio: VapiAudio, now: std::time::Instant) -> Box<dyn Dialect> {
    Box::new(Conversation::new(id, audio.format(), now))
}

#[async_trait]
impl VoiceAgent for Vapi {
    /// There is no connection without a call. But what a call needs is asked for, which also keeps a
    /// connection to the vendor's API open.
    async fn prepare(
        &self,
        _vendor: Option<&AgentVendor>,
        agent_id: Option<&str>,
    ) -> Result<Option<Prepared>, AgentError> {
        let id = agent_id.unwrap_or(&self.config.assistant_id);
        self.assistant(id).await?;
        Ok(None)
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
        _prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError> {
        in_time(self.link(brief)).await
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
