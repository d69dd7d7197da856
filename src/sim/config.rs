//! What a simulator is told when it starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{
    callee::{Behaviour, Mix},
    faults::Faults,
};

/// The whole configuration of one simulator.
///
/// Secrets here guard nothing but the simulator itself; they still have to match, as they would
/// with the real services.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How much faster than life people act; audio always runs in real time.
    pub speed: f64,
    pub account_sid: String,
    /// Opens the REST interface and signs every webhook.
    pub auth_token: String,
    /// Further pairs of key SID and secret for the REST interface.
    pub api_keys: BTreeMap<String, String>,
    /// Caller numbers the account owns; empty: any well-formed number may call.
    pub numbers: Vec<String>,
    pub agent_id: String,
    pub agent_api_key: String,
    /// Vapi's account. What its assistant says is in `agent`, as for the other vendor.
    pub vapi_assistant_id: String,
    pub vapi_api_key: String,
    pub agent: AgentSettings,
    pub mix: Mix,
    /// Fixed behaviour per number or ending of numbers, one for each successive call; the last
    /// one repeats.
    pub overrides: BTreeMap<String, Vec<Behaviour>>,
    /// Ends of numbers on which the detection of machines never comes to a verdict, or never tells it.
    pub undetected: BTreeSet<String>,
    pub faults: Faults,
    /// Call starts per second of simulated people's time; further calls wait in the queue.
    pub calls_per_second: f64,
    /// Live calls beyond this number are refused with 10004.
    pub max_concurrent: Option<u32>,
    pub account_balance_usd: String,
}

/// The voice agent as its owner configured it.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    pub name: String,
    /// Used unless a conversation overrides it; may hold `{{variables}}`.
    pub prompt: String,
    /// As `prompt`; empty: the agent waits for the caller to speak.
    pub first_message: String,
    pub input_format: AudioFormat,
    pub output_format: AudioFormat,
    /// Conversations need a signed URL.
    pub requires_auth: bool,
    /// Dotted paths below `conversation_config_override` that a conversation may set.
    pub allowed_overrides: BTreeSet<String>,
    /// Server events sent unless a conversation asks for others.
    pub client_events: BTreeSet<String>,
    /// Replies before the agent ends the call: least and most.
    pub turns: (usize, usize),
    /// Tools that the agent uses when the caller has spoken for the first time, one after the other.
    pub tools: Vec<ToolUse>,
    pub max_duration: Duration,
    /// How long to wait for the initiation message before starting with defaults.
    pub initiation_wait: Duration,
    /// Where signed addresses lead, unless to the simulator itself.
    pub address: Option<SocketAddr>,
    pub ping_interval: Duration,
    /// Where ElevenLabs sends each finished conversation.
    pub post_call_webhook: Option<PostCallWebhook>,
    /// Where Vapi's assistant sends the report on a call whose request names no server, signed.
    pub vapi_server: Option<PostCallWebhook>,
}

/// A tool that the agent is set to use.
#[derive(Debug, Clone)]
pub struct ToolUse {
    pub name: String,
    pub parameters: serde_json::Value,
    /// What it says to the caller just before.
    pub says: Option<String>,
}

/// Where a vendor posts, and what it signs with.
#[derive(Debug, Clone)]
pub struct PostCallWebhook {
    pub url: String,
    pub secret: String,
}

/// Raw audio as both directions of a conversation may carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFormat {
    /// G.711 mu-law, one byte per sample, 8 kHz.
    Ulaw8000,
    /// Signed 16-bit little-endian samples, 16 kHz.
    Pcm16000,
}

impl Default for SimulatorConfig {
    /// A lifelike account: one call start per second, people in real time.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            speed: 1.0,
            account_sid: format!("AC{:032x}", 1),
            auth_token: "simulated-auth-token".to_owned(),
            api_keys: BTreeMap::from([(
                format!("SK{:032x}", 1),
                "simulated-key-secret".to_owned(),
            )]),
            numbers: vec!["+15005550006".to_owned()],
            agent_id: "agent_sim".to_owned(),
            agent_api_key: "simulated-agent-key".to_owned(),
            vapi_assistant_id: "0a000000-0000-4000-8000-000000000001".to_owned(),
            vapi_api_key: "simulated-vapi-key".to_owned(),
            agent: AgentSettings::default(),
            mix: Mix::default(),
            overrides: BTreeMap::new(),
            undetected: BTreeSet::new(),
            faults: Faults::default(),
            calls_per_second: 1.0,
            max_concurrent: None,
            account_balance_usd: "100.00".to_owned(),
        }
    }
}

impl SimulatorConfig {
    /// A quick world for tests: people twenty times as fast, who all converse; no waiting to dial.
    pub fn for_testing() -> Self {
        Self {
            speed: 20.0,
            mix: Mix::only(Behaviour::Converses),
            calls_per_second: 1_000.0,
            ..Self::default()
        }
    }
}

impl Default for AgentSettings {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            name: "Simulated agent".to_owned(),
            prompt: "You are a friendly caller who keeps every answer short.".to_owned(),
            first_message: "Hello, this is a call from the simulator. Is this a good moment?"
                .to_owned(),
            input_format: AudioFormat::Ulaw8000,
            output_format: AudioFormat::Ulaw8000,
            requires_auth: false,
            allowed_overrides: owned(&[
                "agent.first_message",
                "agent.language",
                "agent.prompt.prompt",
                "tts.voice_id",
                "conversation.text_only",
            ]),
            client_events: owned(&[
                "audio",
                "interruption",
                "agent_response",
                "user_transcript",
                "client_tool_call",
                "agent_tool_response",
                "tentative_user_transcript",
                "conversation_initiation_metadata",
                "ping",
            ]),
            turns: (2, 3),
            tools: Vec::new(),
            max_duration: Duration::from_secs(600),
            initiation_wait: Duration::from_secs(3),
            address: None,
            ping_interval: Duration::from_secs(2),
            post_call_webhook: None,
            vapi_server: None,
        }
    }
}

impl AudioFormat {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            AudioFormat::Ulaw8000 => "ulaw_8000",
            AudioFormat::Pcm16000 => "pcm_16000",
        }
    }

    /// Bytes of one millisecond.
    pub fn bytes_per_ms(self) -> usize {
        match self {
            AudioFormat::Ulaw8000 => 8,
            AudioFormat::Pcm16000 => 32,
        }
    }
}
