//! One doing of one step: its states, and the facts that are learned on the way.

use std::time::Duration;

use super::{
    Timestamp,
    disposition::Disposition,
    erasure::KeptNumber,
    follow_up::FollowUp,
    ids::{AgentVendor, AttemptId, CallSid, ConversationId, RecordingSid, StreamSid},
    machine::Detected,
    mute::Mute,
    outcome::{Fault, Outcome},
    phone::PhoneNumber,
    price::CarrierPrice,
    report::AgentReport,
    rules::DecisionRecord,
    transfer::Transfer,
};

/// One dialing of one enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The enrollment and the number of the dialing.
    pub id: AttemptId,
    /// Which of the campaign's steps, from 0.
    pub step: u16,
    /// Whom we call.
    pub to: KeptNumber,
    /// The number that the callee sees.
    pub from: PhoneNumber,
    /// When the intent was saved.
    pub reserved_at: Timestamp,
    /// When the carrier is to be asked: the start that pacing gave out.
    pub dial_at: Timestamp,
    /// By when the phone must begin to ring, so that it stops within calling hours; a call that is
    /// still queued then is taken back. None where the hours do not end.
    pub ring_by: Option<Timestamp>,
    /// By which rules it was allowed.
    pub decision: Option<DecisionRecord>,
    /// What is known to have happened.
    pub state: AttemptState,
    /// Facts that come beside the states, in any order.
    pub facts: CallFacts,
}

/// A state holds what is known by then and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// Saved before the carrier was asked; the carrier has not replied yet.
    Reserved,
    /// The carrier was asked and gave no usable answer: the call may exist.
    Unknown {
        /// When the answer failed to come.
        since: Timestamp,
        /// How often the carrier was asked about it and knew nothing.
        n_looks: u32,
    },
    /// The carrier has named the call; it is queued or on its way.
    Dialing {
        /// The carrier's name for the call.
        sid: CallSid,
    },
    /// The callee's phone rings.
    Ringing {
        /// The carrier's name for the call.
        sid: CallSid,
    },
    /// Somebody or something answered.
    Connected {
        /// The carrier's name for the call.
        sid: CallSid,
        /// When.
        since: Timestamp,
    },
    /// Over. Final: late facts are added, the state stays.
    Ended {
        /// None when the attempt ended before the carrier named a call.
        sid: Option<CallSid>,
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
    /// Given back without a call, and not counted. Final.
    Released {
        /// When.
        at: Timestamp,
        /// Why no call was placed.
        why: ReleaseReason,
    },
}

/// Why an attempt ended without a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The campaign was no longer active, or this process was ending, at the moment of dialing.
    Withheld,
    /// The carrier was asked twice, after its listing delay, and knows no such call.
    NeverPlaced,
    /// The carrier refused for a reason that is not the contact's.
    Refused(Fault),
    /// The carrier could not be reached, so nothing was asked.
    Unreachable,
}

/// Facts about a call that do not depend on the order in which they come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFacts {
    /// When the phone began to ring.
    pub ringing_at: Option<Timestamp>,
    /// When it was answered: from the answered event or the media stream, never from the carrier's
    /// start time, which is set while ringing.
    pub answered_at: Option<Timestamp>,
    /// How long the carrier says the call lasted from the answer.
    pub duration: Option<Duration>,
    /// The network's own result code (SIP).
    pub network_code: Option<u16>,
    /// The one media stream of the call.
    pub stream: Option<StreamSid>,
    /// When the audio ended.
    pub media_ended_at: Option<Timestamp>,
    /// Where other processes reach the one that has the audio, if it says so.
    pub node: Option<String>,
    /// Who or what answered, as the carrier's detection says.
    pub answered_by: Option<Detected>,
    /// For how long after the answer the carrier may listen for a machine while the agent already speaks,
    /// as it was asked to; none where no verdict comes by itself.
    pub verdict_within: Option<Duration>,
    /// When the talk began to count as held with a person.
    pub held_at: Option<Timestamp>,
    /// When the carrier was told to leave a message on a machine.
    pub message_at: Option<Timestamp>,
    /// The carrier's recording of it, once there is one.
    pub recording: Option<Recording>,
    /// What the carrier takes for it; none before its end, and where nobody answered.
    pub price: Option<CarrierPrice>,
    /// The agent vendor's name for the conversation.
    pub conversation: Option<ConversationId>,
    /// Whose agent joined.
    pub vendor: Option<AgentVendor>,
    /// From the answer to the agent's first audio.
    pub first_audio_after: Option<Duration>,
    /// Why no agent could be had, in words for an operator.
    pub agent_failure: Option<String>,
    /// What the agent's vendor told after the conversation.
    pub report: Option<AgentReport>,
    /// How the agent sees the call.
    pub disposition: Option<Disposition>,
    /// When the callee wants to be called again, as the agent understood.
    pub follow_up: Option<FollowUp>,
    /// What an operator last said of whether the callee hears the agent.
    pub mute: Option<Mute>,
    /// The handing over of the callee to a person.
    pub transfer: Option<Transfer>,
    /// Who ended the call, where evidence says so.
    pub ended_by: Option<Party>,
    /// Whether no callback told of its end, so that the carrier had to be asked.
    pub was_looked_up: bool,
}

/// A recording of a call, which the carrier keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// The carrier's name for it.
    pub sid: RecordingSid,
    /// How long it is; none when the carrier does not say.
    pub duration: Option<Duration>,
    /// When it was told of. It is as old as that.
    pub told_at: Timestamp,
    /// When it was deleted at the carrier, because it was older than recordings are kept.
    pub deleted_at: Option<Timestamp>,
}

/// A side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The person called.
    Callee,
    /// The voice agent.
    Agent,
    /// Somebody at the dashboard or the API.
    Operator,
    /// This software: a limit, a shutdown.
    System,
}

impl CallFacts {
    /// The recording that the carrier keeps.
    pub fn kept_recording(&self) -> Option<&Recording> {
        let recording = self.recording.as_ref();
        recording.filter(|recording| recording.deleted_at.is_none())
    }

    /// Since when the carrier keeps a recording, if it does.
    pub fn recorded_at(&self) -> Option<Timestamp> {
        self.kept_recording().map(|recording| recording.told_at)
    }

    /// When the carrier is to be asked for the price, while it is not known.
    pub fn price_ask_at(&self) -> Option<Timestamp> {
        self.price.and_then(CarrierPrice::ask_at)
    }

    /// Whether the callee was left without an agent: none ever joined, or it was lost.
    pub fn was_left_alone(&self) -> bool {
        self.conversation.is_none() || self.agent_failure.is_some()
    }

    /// Whether an operator has muted the agent.
    pub fn is_muted(&self) -> bool {
        self.mute.as_ref().is_some_and(|mute| mute.is_on)
    }

    /// Whether the callee was handed over to a person, or is being.
    pub fn was_transferred(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::takes_over)
    }

    /// Whether the carrier is handing the callee over to a person, or both talk.
    pub fn is_being_transferred(&self) -> bool {
        self.transfer.as_ref().is_some_and(Transfer::is_under_way)
    }
}

impl Attempt {
    /// Whether somebody or something answered, as far as is known.
    pub fn was_answered(&self) -> bool {
        self.facts.answered_at.is_some() || matches!(self.state, AttemptState::Connected { .. })
    }
}

impl ReleaseReason {
    /// The reason's name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Withheld => "withheld",
            Self::NeverPlaced => "neverPlaced",
            Self::Refused(_) => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

impl AttemptState {
    /// The state's name in the API, in events and in stores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Unknown { .. } => "unknown",
            Self::Dialing { .. } => "dialing",
            Self::Ringing { .. } => "ringing",
            Self::Connected { .. } => "connected",
            Self::Ended { .. } => "ended",
            Self::Released { .. } => "released",
        }
    }

    /// The carrier's name for the call, where it has one.
    pub fn sid(&self) -> Option<&CallSid> {
        match self {
            Self::Dialing { sid } | Self::Ringing { sid } | Self::Connected { sid, .. } => {
                Some(sid)
            }
            Self::Ended { sid, .. } => sid.as_ref(),
            Self::Reserved | Self::Unknown { .. } | Self::Released { .. } => None,
        }
    }

    /// Whether the attempt still holds its place: it counts against every limit.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Reserved
            | Self::Unknown { .. }
            | Self::Dialing { .. }
            | Self::Ringing { .. }
            | Self::Connected { .. } => true,
            Self::Ended { .. } | Self::Released { .. } => false,
        }
    }

    /// What an operator may ask for now, by the names that the API has for it.
    pub fn allowed_actions(&self) -> &'static [&'static str] {
        match self {
            Self::Reserved | Self::Unknown { .. } | Self::Dialing { .. } | Self::Ringing { .. } => {
                &["hangUp"]
            }
            Self::Connected { .. } => &["hangUp", "listen", "hint"],
            Self::Ended { .. } | Self::Released { .. } => &[],
        }
    }

    /// When the attempt ended or was given back, once it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Ended { at, .. } | Self::Released { at, .. } => Some(*at),
            Self::Reserved
            | Self::Unknown { .. }
            | Self::Dialing { .. }
            | Self::Ringing { .. }
            | Self::Connected { .. } => None,
        }
    }

    /// How the attempt ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Ended { outcome, .. } => Some(outcome),
            _ => None,
        }
    }
}

impl Party {
    /// The party's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Callee => "callee",
            Self::Agent => "agent",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }

    /// The party of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Callee, Self::Agent, Self::Operator, Self::System]
            .into_iter()
            .find(|party| party.name() == name)
    }
}
