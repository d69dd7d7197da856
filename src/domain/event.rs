//! What happened, as it is stored, numbered and shown.
//!
//! A campaign's events are its log: the live view is fed from them and a call's timeline and
//! transcript are read from them. They record decisions; they are never the source of one.

use std::time::Duration;

use super::{
    Timestamp,
    attempt::Party,
    ids::{AttemptId, CampaignId, ContactId, ConversationId, EnrollmentId, TenantId, UserId},
    machine::AnsweredBy,
    phone::PhoneNumber,
    price::Price,
    report::AgentVerdict,
    suppression::SuppressionSource,
    transfer::TransferResult,
};

/// Something that happened in a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Whose.
    pub tenant: TenantId,
    /// In which campaign.
    pub campaign: CampaignId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The campaign's status or settings changed.
    Campaign {
        /// [`super::campaign::CampaignStatus::name`].
        status: String,
        /// Why it paused, in words for people.
        reason: Option<String>,
    },
    /// An emergency stop that holds for the campaign came into force or was lifted.
    EmergencyStop {
        /// Whether it is in force now.
        is_in_force: bool,
        /// Who stopped or lifted it.
        by: String,
        /// Why, in their words.
        reason: Option<String>,
    },
    /// People were added; the number of them.
    Enrolled {
        /// How many.
        n: u64,
    },
    /// A call changed its state.
    Call {
        /// Which attempt.
        attempt: AttemptId,
        /// Whom it is for.
        contact: ContactId,
        /// [`super::attempt::AttemptState::name`].
        state: String,
        /// [`super::outcome::Outcome::name`], once ended.
        outcome: Option<String>,
    },
    /// An enrollment began to wait for another attempt, or came to its end.
    Enrollment {
        /// Which.
        enrollment: EnrollmentId,
        /// [`super::enrollment::EnrollmentState::name`].
        state: String,
        /// When it is due again.
        due_at: Option<Timestamp>,
    },
    /// Something in the course of a call that changes no state.
    Timeline {
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        moment: Moment,
    },
    /// The data of a person of the campaign was erased.
    Erased {
        /// What is left of the person here.
        enrollment: EnrollmentId,
        /// Who asked for it.
        by: UserId,
    },
    /// A line of what was said.
    Transcript {
        /// Which attempt.
        attempt: AttemptId,
        /// The line.
        line: TranscriptLine,
    },
}

/// Moments in the course of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// The carrier's media stream began.
    MediaStarted,
    /// The agent is on the line.
    AgentJoined {
        /// The vendor's name for the conversation.
        conversation: ConversationId,
    },
    /// No agent could be had, in words for an operator.
    AgentFailed {
        /// Why.
        detail: String,
    },
    /// The carrier's detection said who or what answered.
    Detected {
        /// Who or what.
        by: AnsweredBy,
    },
    /// The carrier told no verdict on who or what answered in its time. It counts as unknown.
    VerdictMissing,
    /// A message is being left on a machine.
    LeavingMessage,
    /// The callee spoke over the agent, and what was not yet heard was discarded.
    Interrupted,
    /// The callee pressed a key.
    KeyPressed {
        /// One of `0-9*#A-D`.
        digit: char,
    },
    /// The callee was taken off the list and is called no more.
    OptedOut {
        /// How the callee said so.
        by: SuppressionSource,
    },
    /// An operator told the agent something that the callee did not hear.
    Hinted {
        /// Who.
        by: String,
        /// What, in their words.
        text: String,
    },
    /// An operator muted the agent, or let it be heard again.
    Muted {
        /// Whether the callee hears nothing of the agent from now on.
        is_on: bool,
        /// Who.
        by: String,
    },
    /// The carrier's recording can be listened to.
    Recorded {
        /// How long it is; none when the carrier does not say.
        duration: Option<Duration>,
    },
    /// The carrier deleted the recording, which was older than recordings are kept.
    RecordingDeleted,
    /// What the carrier takes for the call.
    Priced {
        /// The price; none when it was asked for often enough and not told.
        price: Option<Price>,
    },
    /// The agent said how it sees the call.
    Disposed {
        /// In a word or two.
        disposition: String,
        /// In a sentence.
        note: Option<String>,
    },
    /// The callee wants to be called again.
    FollowUpWished {
        /// When.
        at: Timestamp,
        /// What about.
        note: Option<String>,
    },
    /// The agent used a tool that the tenant defined, or that there is not.
    ToolUsed {
        /// Its name, as the agent called it.
        tool: String,
        /// How long the agent waited.
        took: Duration,
        /// Why nothing came of it; none where it was answered. Nothing of what was said.
        error: Option<String>,
    },
    /// The callee is being handed over to a person.
    Transferring {
        /// To whom.
        to: PhoneNumber,
        /// Who asked for it.
        by: Party,
    },
    /// That person has answered.
    TransferJoined,
    /// The handing over is over.
    TransferEnded {
        /// Whether that person was reached.
        result: TransferResult,
        /// How long callee and person talked, in whole seconds.
        seconds: Option<u64>,
    },
    /// The talk ended.
    MediaEnded {
        /// Who left first, where evidence says so.
        by: Option<Party>,
    },
    /// The agent's vendor told what it found in the conversation.
    Reported {
        /// Whether the agent reached what it was to reach; none where nothing was said of it.
        verdict: Option<AgentVerdict>,
    },
    /// A call turned up for an attempt that was given up; it is being ended.
    LateCall,
    /// What was said or pressed, before the person's data was erased.
    Erased,
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptLine {
    /// Counts turns of the conversation from 1. A line of the same turn and speaker replaces the
    /// one before.
    pub turn: u32,
    /// Who spoke: [`Party::Callee`] or [`Party::Agent`].
    pub speaker: Party,
    /// What was said.
    pub text: String,
    /// Whether the text may still change.
    pub is_final: bool,
    /// Whether the callee did not hear all of this turn of the agent: they spoke over it, or it was muted.
    pub interrupted: bool,
    /// From the callee's last voice to the first audio of this turn of the agent, which answers it: to a
    /// tenth of a second. None for what answers nothing, such as a greeting.
    pub latency: Option<Duration>,
}

/// How long an agent took to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// How many turns were measured.
    pub n_turns: usize,
    /// The one in the middle; of an even number the smaller of the two.
    pub median: Duration,
    /// The longest.
    pub worst: Duration,
}

impl Latency {
    /// Of the turns of one call; none where none was measured.
    pub fn of(turns: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut turns: Vec<Duration> = turns.into_iter().collect();
        turns.sort_unstable();
        let worst = *turns.last()?;
        Some(Self {
            n_turns: turns.len(),
            median: turns[(turns.len() - 1) / 2],
            worst,
        })
    }
}

/// An event with its place in the campaign's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// From 1, rising; the order in which to read a campaign's events.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

impl EventKind {
    /// The attempt that the event is about.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Call { attempt, .. }
            | Self::Timeline { attempt, .. }
            | Self::Transcript { attempt, .. } => Some(*attempt),
            Self::Campaign { .. }
            | Self::EmergencyStop { .. }
            | Self::Enrolled { .. }
            | Self::Enrollment { .. }
            | Self::Erased { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calls_latency_is_that_of_its_middle_and_its_worst_turn() {
        let latency =
            |turns: &[u64]| Latency::of(turns.iter().map(|ms| Duration::from_millis(*ms)));
        let shown = |turns: &[u64]| {
            latency(turns).map(|it| (it.n_turns, it.median.as_millis(), it.worst.as_millis()))
        };
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[700]), Some((1, 700, 700)));
        assert_eq!(shown(&[900, 300, 2_000]), Some((3, 900, 2_000)));
        assert_eq!(shown(&[900, 300, 2_000, 400]), Some((4, 400, 2_000)));
    }
}
