//! What a campaign does for each contact.

use std::time::Duration;

use super::{ids::AgentVendor, text::Template};

/// One thing to do. A campaign has them in order; the enrollment's cursor says which is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Phone the contact and join the call to a voice agent.
    VoiceCall(VoiceCall),
}

/// What a voice agent is told for a call, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoiceCall {
    /// What the agent is to do; empty keeps what the agent is configured with.
    pub prompt: Template,
    /// What the agent says first; empty keeps what the agent is configured with.
    pub first_message: Template,
    /// A language code of the agent vendor, such as `en`; none keeps the agent's own.
    pub language: Option<String>,
    /// A voice of the agent vendor; none keeps the agent's own.
    pub voice_id: Option<String>,
    /// Whose agent speaks; none takes the vendor that the installation prefers.
    pub agent_vendor: Option<AgentVendor>,
    /// Which agent speaks; none takes the installation's.
    pub agent_id: Option<String>,
    /// How long it may ring, between [`VoiceCall::RING`] bounds.
    pub ring_timeout: Duration,
    /// How long the call may last from the answer.
    pub max_duration: Duration,
    /// The key by which the callee gets off the list, one of `0-9*#`; none when no key does.
    pub opt_out_key: Option<char>,
}

impl VoiceCall {
    /// Least, usual and greatest ringing time. Below 15 s people have no fair chance to answer
    /// (F-73); 600 s is the carrier's own limit.
    pub const RING: (Duration, Duration, Duration) = (
        Duration::from_secs(15),
        Duration::from_secs(25),
        Duration::from_secs(600),
    );

    /// Least, usual and greatest length of a call.
    pub const LENGTH: (Duration, Duration, Duration) = (
        Duration::from_secs(10),
        Duration::from_secs(900),
        Duration::from_secs(14_400),
    );

    /// The key by which callees get off the list unless a campaign has another.
    pub const OPT_OUT_KEY: char = '9';
}
