//! Voice agents: how a session with one is opened, and what is exchanged.
//!
//! Knows no carrier and no campaign. Vendor words stay in the vendor's file: a [`Dialect`] turns what
//! an agent says on a connection into [`AgentEvent`]s, whoever drives the connection. [`session`] does
//! so with tasks and channels; a media worker does it in its own loop.

pub mod elevenlabs;
pub mod fleet;
pub mod link;
mod opening;
mod recode;
pub mod report;
mod session;
pub mod sound;
mod tool;
pub mod vapi;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    domain::ids::{AgentVendor, ConversationId},
    json::Spliced,
};

pub use tool::{Tool, ToolAnswer, ToolCall, ToolError};

use link::{AgentLink, Prepared};

/// A cause that is kept for the log only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What an agent is told before a call. Texts are complete: no placeholders are left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Brief {
    /// Whose agent; none takes the vendor that the installation prefers.
    pub vendor: Option<AgentVendor>,
    /// Which agent; none takes the one of the configuration.
    pub agent_id: Option<String>,
    /// How long the call may last; none leaves that to the agent.
    pub max_duration: Option<Duration>,
    /// What it is to do; none keeps the agent's own.
    pub prompt: Option<String>,
    /// What it says first; none keeps the agent's own.
    pub first_message: Option<String>,
    /// The language to speak; none keeps the agent's own.
    pub language: Option<String>,
    /// The voice to speak with; none keeps the agent's own.
    pub voice_id: Option<String>,
    /// Values by name: `campaign_id`, `contact_id`, `attempt_id`, `call_sid`, `name`, `phone` and
    /// every column of the list.
    pub variables: BTreeMap<String, String>,
}

/// Why no session could be opened, or why one was lost, sorted by what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Our request or the agent's settings are wrong; the same call again fails again. The text
    /// tells an operator what to change.
    #[error("the agent refused the call: {0}")]
    Refused(String),

    /// The vendor has no room: quota or concurrency.
    #[error("the agent has no capacity: {0}")]
    Busy(String),

    /// The vendor does not answer, or its service failed.
    #[error("the agent could not be reached: {0}")]
    Unavailable(#[source] BoxError),
}

impl AgentError {
    /// Why, without what it is about.
    pub fn detail(&self) -> String {
        match self {
            Self::Refused(text) | Self::Busy(text) => text.clone(),
            Self::Unavailable(cause) => cause.to_string(),
        }
    }
}

/// A vendor's words about trouble, as much of them as helps an operator.
fn shorten(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let text = text.trim().trim_end_matches('.');
    text.chars().take(MAX_CHARS).collect()
}

/// What comes from an agent during a session, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The agent is ready. Always first.
    Ready {
        /// The vendor's name for the conversation.
        conversation: ConversationId,
        /// Whose agent it is.
        vendor: AgentVendor,
    },
    /// Speech to play: mu-law 8 kHz as base64. `turn` never falls.
    Audio {
        /// Which of the agent's turns it belongs to.
        turn: u64,
        /// Any length, often far more than 20 ms, faster than real time.
        payload: String,
    },
    /// The callee spoke over the agent: audio of this turn and the ones before is void.
    Interrupted {
        /// The last void turn.
        turn: u64,
    },
    /// What the agent says in a turn, as intended.
    AgentSaid {
        /// Which turn.
        turn: u64,
        /// The whole text of the turn.
        text: String,
    },
    /// What the agent really said in a turn that was cut short.
    AgentCorrected {
        /// Which turn.
        turn: u64,
        /// The text that replaces the earlier one.
        text: String,
    },
    /// What the callee said.
    CalleeSaid {
        /// The text so far or in whole.
        text: String,
        /// Whether the text may still change.
        is_final: bool,
    },
    /// The agent uses tools, in this order. Of those that cannot be served it is told why.
    ToolsUsed(Vec<Result<ToolCall, ToolAnswer>>),
    /// The session is over; nothing follows.
    Ended(AgentEnd),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEnd {
    /// The agent ended the conversation: its last words are still to be heard.
    Finished,
    /// We closed the session.
    Closed,
    /// It broke; in words for an operator.
    Failed {
        /// Why.
        detail: String,
    },
}

/// What goes to an agent during a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAgent {
    /// What the callee says: mu-law 8 kHz as base64.
    Audio(String),
    /// The callee pressed a key.
    Key(char),
    /// What the agent is to know from now on: no words of the callee's, and nothing to answer.
    Hint(String),
    /// What became of a tool that the agent used.
    Answer(ToolAnswer),
    /// End the session.
    Close,
}

/// A session with an agent: both directions, bounded. Dropping it ends the session.
#[derive(Debug)]
pub struct AgentSession {
    /// What comes from the agent; the sender waits when nobody reads.
    pub events: mpsc::Receiver<AgentEvent>,
    /// What goes to the agent.
    pub commands: mpsc::Sender<ToAgent>,
}

/// What one message of an agent means.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading<'t> {
    /// For the call.
    pub heard: Heard<'t>,
    /// What has to be said back at once: one text message.
    pub answer: Option<String>,
}

impl Reading<'_> {
    /// Nothing that matters.
    pub const NOTHING: Self = Self {
        heard: Heard::Nothing,
        answer: None,
    };
}

/// What an agent said, borrowed from the message where that is possible.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'t> {
    /// Nothing that matters for a call.
    Nothing,
    /// Speech to play, as in [`AgentEvent::Audio`].
    Audio {
        /// Which of the agent's turns it belongs to.
        turn: u64,
        /// Base64, as it stands in the message.
        payload: Cow<'t, str>,
    },
    /// Anything else.
    Event(AgentEvent),
}

/// One message to an agent with a piece of what the callee says.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A text.
    Text(Spliced<'a>),
    /// Binary data.
    Data(&'a [u8]),
}

/// A vendor's words on one connection, without the connection: messages in, events out, and back.
///
/// Pure; the time is an argument. Whoever drives it sends [`Self::opening`] first, reads until an
/// [`AgentEvent::Ended`], treats a missed deadline and the connection's end as told here, and sends
/// [`Self::farewell`] before it closes.
pub trait Dialect: fmt::Debug + Send {
    /// The first message to the agent; none where the connection itself is the beginning.
    fn opening(&self) -> Option<String>;

    /// Reads one text. An error spoils that message alone.
    fn read<'t>(&'t mut self, text: &'t str, now: Instant) -> Result<Reading<'t>, BoxError>;

    /// Reads binary data, which most vendors do not send.
    fn read_data(&mut self, _data: &[u8], _now: Instant) -> Heard<'_> {
        Heard::Nothing
    }

    /// The message with a piece of what the callee says; none where it cannot be used.
    fn audio<'a>(&'a mut self, payload: &'a str) -> Option<Piece<'a>>;

    /// The message that the callee pressed a key.
    fn key(&self, key: char) -> String;

    /// The message that tells the agent something which the callee does not hear, for what it says
    /// next; it is not asked to speak.
    fn hint(&self, text: &str) -> String;
    /// The message that tells what became of a tool that the agent used.
    fn tool_answer(&self, answer: &ToolAnswer) -> String;

    /// What is said before the connection is closed from here, where that alone does not end the
    /// conversation.
    fn farewell(&self) -> Option<String> {
        None
    }

    /// By when something must have come from the agent.
    fn deadline(&self) -> Instant;

    /// How the session ends when nothing has come by the deadline.
    fn overdue(&mut self) -> AgentEnd;

    /// How the session ends when the agent closes with that code and reason, or, without them, when
    /// the connection breaks.
    fn closed(&mut self, frame: Option<(u16, &str)>) -> AgentEnd;
}

/// A vendor of voice agents.
///
/// What was prepared may be too old by the time it is used; then a connection is made anew.
#[async_trait]
pub trait VoiceAgent: Send + Sync + 'static {
    /// Prepares a connection to the agent of that vendor and id; none takes the one of the
    /// configuration. Nothing is said on it: no conversation begins, and none is counted or paid for.
    /// None where there is no connection without a conversation.
    async fn prepare(
        &self,
        vendor: Option<&AgentVendor>,
        agent_id: Option<&str>,
    ) -> Result<Option<Prepared>, AgentError>;

    /// Opens a session and sends the brief. Returns when the connection is up; the first event says
    /// that the agent is ready.
    async fn open(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentSession, AgentError>;

    /// Opens a connection for somebody who drives it. Nothing was said on it yet.
    async fn connect(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError>;
}
