//! What other systems tell us about an attempt.
//!
//! Signals come repeated, late and in any order, from callbacks, from look-ups and from the media
//! path. They are facts, not commands: what follows from one is decided elsewhere.

use std::time::Duration;

use super::{
    Timestamp,
    attempt::Party,
    disposition::Disposition,
    follow_up::FollowUp,
    ids::{AgentVendor, CallSid, ConversationId, RecordingSid, StreamSid},
    machine::AnsweredBy,
    mute::Mute,
    outcome::Fault,
    report::AgentReport,
    transfer::TransferEnd,
};

/// One thing that was told about an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The carrier's name for the call, when the teller gave it.
    pub sid: Option<CallSid>,
    /// When it happened, or arrived where the teller does not say.
    pub at: Timestamp,
    /// What happened.
    pub kind: SignalKind,
}

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalKind {
    /// The carrier has the call.
    Placed,
    /// The callee's phone rings.
    Ringing,
    /// Somebody or something answered.
    Answered,
    /// The carrier says that the call is over.
    Over {
        /// How.
        end: CallEnd,
        /// From the answer to the end.
        duration: Option<Duration>,
        /// The network's own result code (SIP).
        network_code: Option<u16>,
    },
    /// The call's audio arrives here.
    MediaStarted {
        /// The carrier's name for the stream.
        stream: StreamSid,
        /// Where other processes reach the one that has the audio, if it says so.
        node: Option<String>,
    },
    /// The agent is on the line.
    AgentJoined {
        /// The vendor's name for the conversation.
        conversation: ConversationId,
        /// Whose agent it is.
        vendor: AgentVendor,
    },
    /// The agent's first audio was sent to the callee.
    AgentSpoke,
    /// The callee has spoken so often that the talk counts as held with a person.
    TalkHeld,
    /// The carrier's detection came to a verdict.
    Detected {
        /// Who or what answered.
        by: AnsweredBy,
        /// Whether the carrier waits to be told what to do with the call, and is told by the answer.
        is_asking: bool,
    },
    /// The agent said how it sees the call.
    Disposed(Disposition),
    /// The callee wants to be called again.
    FollowUpWished(FollowUp),
    /// An operator muted the agent, or let it be heard again.
    Muted(Mute),
    /// The person to whom the callee is handed over has answered.
    TransferJoined,
    /// The handing over is over, whatever became of it.
    TransferEnded(TransferEnd),
    /// No agent could be had, or it was lost; in words for an operator.
    AgentFailed {
        /// Why.
        detail: String,
    },
    /// The agent's vendor told what it found in the conversation, after its end.
    Reported {
        /// What.
        report: AgentReport,
    },
    /// The carrier's recording of the call is complete.
    Recorded {
        /// The carrier's name for the recording.
        recording: RecordingSid,
        /// How long it is; none when the carrier does not say.
        duration: Option<Duration>,
    },
    /// The audio ended.
    MediaEnded {
        /// Who left first, where evidence says so.
        by: Option<Party>,
    },
}

/// How the carrier says a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// It was answered and is over.
    Completed,
    /// Busy or rejected.
    Busy,
    /// Rang until the time was over.
    NoAnswer,
    /// Could not be made.
    Failed(Fault),
    /// Ended by us before anybody answered.
    Canceled,
}
