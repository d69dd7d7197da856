//! One live call: the callee on one side, a voice agent on the other.
//!
//! Moves audio both ways without decoding it, keeps either side from stopping the other, turns
//! barge-in into a clear, and tells what happened. Knows no vendor's frames, no campaign and no
//! store. [`turn`], [`transcript`], [`audio`] and `call`, which joins them, are pure. There are two
//! ways to drive a call: the threads of [`worker`], which own the sockets, and `channels`, a task for
//! each call, which is slower and easier to read. Operators reach a live call by [`Operators`], and hear
//! it through [`tap`].

pub mod audio;
mod call;
mod channels;
mod latency;
mod operator;
mod outlet;
pub mod tap;
pub mod transcript;
pub mod turn;
mod warm;
pub mod worker;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::{
    operator::{HintRefused, OperatorRequest, Operators, TalkOver, Uplink},
    warm::WarmUp,
};
pub use crate::agents::{Brief, Tool, ToolAnswer, ToolCall, ToolError};
use crate::{
    agents::VoiceAgent,
    domain::{
        attempt::Party,
        event::TranscriptLine,
        ids::{AgentVendor, ConversationId},
    },
    telephony::media::{FromCallee, ToCallee},
};

use worker::{CalleeSocket, Held, Workers};

/// The numbers that bound a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    /// How long the agent may take to be ready. Default 10 s.
    pub agent_ready_within: Duration,
    /// How much of what the callee says waits while the agent is not ready; the oldest is dropped
    /// beyond it. Default 5 s.
    pub early_audio: Duration,
    /// How much of it waits later, when the agent reads too slowly. Default 1 s.
    pub late_audio: Duration,
    /// The longest piece of speech sent to the carrier in one message. Default 200 ms.
    pub longest_piece: Duration,
    /// A pause of the agent after which its turn counts as complete and is marked. Default 250 ms.
    pub turn_pause: Duration,
    /// How long the agent must have been silent, once all it said was heard, before what it asked for is
    /// done that takes the callee away from it. Default 500 ms.
    pub parting_pause: Duration,
    /// How long that is put off at most. Default 15 s.
    pub parting_within: Duration,
    /// How long without anything from the carrier the line counts as dead. Fifty frames a second are
    /// normal, silence included. Default 10 s.
    pub dead_line_after: Duration,
    /// How long beyond its own length the agent's last speech is waited for. Default 2 s.
    pub last_words_grace: Duration,
    /// How long the last messages and reports may take to be taken. Default 2 s.
    pub closing_within: Duration,
    /// How long the call may last, and how long of it in silence. Default: no limit.
    pub limits: TalkLimits,
}

/// How long a call may last, and how long of it in silence; where there is none, for ever. Activity is
/// that of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TalkLimits {
    /// From the stream's start to the agent's first speech. What the callee says meanwhile counts anew,
    /// up to twice the time.
    pub first_words: Option<Duration>,
    /// In which neither side says anything.
    pub silence: Option<Duration>,
    /// From the stream's start.
    pub length: Option<Duration>,
}

impl Default for BridgeSettings {
    fn default() -> Self {
        Self {
            agent_ready_within: Duration::from_secs(10),
            early_audio: Duration::from_secs(5),
            late_audio: Duration::from_secs(1),
            longest_piece: Duration::from_millis(200),
            turn_pause: Duration::from_millis(250),
            parting_pause: Duration::from_millis(500),
            parting_within: Duration::from_secs(15),
            dead_line_after: Duration::from_secs(10),
            last_words_grace: Duration::from_secs(2),
            closing_within: Duration::from_secs(2),
            limits: TalkLimits::default(),
        }
    }
}

/// The carrier's side of a call, after [`FromCallee::Started`] was taken from it.
#[derive(Debug)]
pub struct CalleeLeg {
    /// What comes from the callee. Closed when the socket is.
    pub from: mpsc::Receiver<FromCallee>,
    /// What goes to the callee. The last item is [`ToCallee::Close`], unless nobody takes it; then the
    /// channel's end says the same.
    pub to: mpsc::Sender<ToCallee>,
}

/// What happens in the course of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BridgeEvent {
    /// The agent is ready.
    AgentJoined {
        /// The vendor's name for the conversation.
        conversation: ConversationId,
        /// Whose agent it is.
        vendor: AgentVendor,
    },
    /// The agent's first speech was sent to the callee.
    FirstAudio,
    /// The callee spoke over the agent, and what was not yet heard was discarded.
    Interrupted,
    /// A line of the transcript, new or changed.
    Line(TranscriptLine),
    /// The callee pressed a key.
    Key(char),
    /// The agent used a tool. All but `do_not_call`, which is answered at once, wait for an answer.
    ToolUsed(ToolCall),
    /// No agent could be had, or it was lost.
    AgentFailed {
        /// Why, in words for an operator.
        detail: String,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeEnd {
    /// Who left first, where evidence says so. A hang-up that somebody ordered at the carrier looks
    /// like the callee's from here; who ordered it knows better. An agent that failed counts as the
    /// one who left.
    pub by: Option<Party>,
    /// Why, where there is more to say than who.
    pub detail: Option<String>,
}

/// Joins calls to one vendor's agents.
#[derive(Clone)]
pub struct Bridge {
    agent: Arc<dyn VoiceAgent>,
    settings: BridgeSettings,
}

impl Bridge {
    /// A bridge to `agent`.
    pub fn new(agent: Arc<dyn VoiceAgent>, settings: BridgeSettings) -> Self {
        Self { agent, settings }
    }

    /// The same bridge for calls with these limits.
    #[must_use]
    pub fn limited(&self, limits: TalkLimits) -> Self {
        let settings = BridgeSettings {
            limits,
            ..self.settings.clone()
        };
        Self {
            agent: self.agent.clone(),
            settings,
        }
    }

    /// Carries one call from its media stream's start to its end.
    ///
    /// - Both sides are closed when it returns, whoever left first: the agent at once, the callee
    ///   after the agent's last words.
    /// - What is reported to `uplink` is in order; when nobody reads it, the agent waits, the callee's
    ///   audio does not. What is still unread when the call ends is given `closing_within`.
    /// - `warm` is used if it is there; a call without one takes longer to be joined.
    /// - `stop` ends the call at once.
    /// - Closing the media stream makes the carrier go on with its instructions, an apology. After a
    ///   proper end ([`BridgeEnd::detail`] is none) the call should be ended at the carrier too.
    pub async fn run(
        &self,
        leg: CalleeLeg,
        brief: Brief,
        warm: Option<WarmUp>,
        uplink: impl Into<Uplink>,
        stop: CancellationToken,
    ) -> BridgeEnd {
        let mut talk = channels::Talk::new(self.settings.clone(), leg, uplink.into());
        let opening = async { self.agent.open(&brief, WarmUp::ready(warm).await).await };
        let end = talk.talk(opening, &stop).await;
        talk.close().await;
        end
    }

    /// As [`Self::run`], by a worker that owns the carrier's socket. Returns with that socket still
    /// open.
    pub async fn run_on(
        &self,
        workers: &Workers,
        callee: CalleeSocket,
        brief: &Brief,
        warm: Option<WarmUp>,
        uplink: impl Into<Uplink>,
        stop: &CancellationToken,
    ) -> (BridgeEnd, Held) {
        let opening = async { self.agent.connect(brief, WarmUp::ready(warm).await).await };
        workers
            .carry(callee, opening.boxed(), self.settings.clone(), uplink, stop)
            .await
    }
}

#[cfg(test)]
mod lasting_tests;
#[cfg(test)]
mod tests;
