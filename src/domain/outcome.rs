//! How an attempt ended.
//!
//! The telephony result is one of three separate facts about a call. What the agent's vendor judged
//! and what it means for the business are kept apart and never overwrite it.

use std::fmt;

/// How an attempt ended, as far as telephony can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, and an agent was on the line.
    Answered,
    /// Answered, and over before an agent was on the line.
    Abandoned,
    /// Answered, and no agent could be had.
    AgentUnavailable,
    /// The line was busy, or the callee rejected the call.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// A machine answered.
    Voicemail,
    /// The call could not be made.
    Failed(Fault),
    /// We ended it before anybody answered.
    Canceled,
}

/// Why a call could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it is, which decides what happens next.
    pub class: FaultClass,
    /// The carrier's own number for it, when it gave one.
    pub code: Option<u32>,
    /// A sentence for people.
    pub detail: String,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultClass {
    /// The carrier account cannot make calls: credentials, balance, suspension.
    Account,
    /// This number cannot be called, now or later.
    Number,
    /// Our own number cannot be used as caller id.
    CallerNumber,
    /// The country or range is not enabled for the account.
    Destination,
    /// The network failed; another time it may work.
    Network,
    /// The carrier asks for less: too many requests or calls.
    Limit,
    /// Our request or our configuration is wrong.
    Ours,
    /// The carrier gave a reason that is not known here.
    Unclassified,
}

/// The kinds of outcome that a retry policy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetryKind {
    /// See [`Outcome::Busy`].
    Busy,
    /// See [`Outcome::NoAnswer`].
    NoAnswer,
    /// See [`Outcome::Voicemail`].
    Voicemail,
    /// See [`Outcome::Failed`], for faults that may pass.
    Failed,
}

impl Outcome {
    /// The rule that says whether the contact is called again, or none when this is the end.
    pub fn retry_kind(&self) -> Option<RetryKind> {
        match self {
            Self::Busy => Some(RetryKind::Busy),
            Self::NoAnswer => Some(RetryKind::NoAnswer),
            Self::Voicemail => Some(RetryKind::Voicemail),
            Self::Failed(fault) => match fault.class {
                FaultClass::Network | FaultClass::Unclassified | FaultClass::Limit => {
                    Some(RetryKind::Failed)
                }
                FaultClass::Account
                | FaultClass::Number
                | FaultClass::CallerNumber
                | FaultClass::Destination
                | FaultClass::Ours => None,
            },
            Self::Answered | Self::Abandoned | Self::AgentUnavailable | Self::Canceled => None,
        }
    }

    /// Whether a later campaign may do better with the same person.
    pub fn was_missed(&self) -> bool {
        match self {
            Self::Answered => false,
            Self::Failed(fault) => fault.class != FaultClass::Number,
            Self::Abandoned
            | Self::AgentUnavailable
            | Self::Busy
            | Self::NoAnswer
            | Self::Voicemail
            | Self::Canceled => true,
        }
    }

    /// The outcome's name in the API, in events and in stores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Abandoned => "abandoned",
            Self::AgentUnavailable => "agentUnavailable",
            Self::Busy => "busy",
            Self::NoAnswer => "noAnswer",
            Self::Voicemail => "voicemail",
            Self::Failed(_) => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Every name that [`Outcome::name`] can give.
    pub const NAMES: [&'static str; 8] = [
        "answered",
        "abandoned",
        "agentUnavailable",
        "busy",
        "noAnswer",
        "voicemail",
        "failed",
        "canceled",
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FaultClass {
    /// The class's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Number => "number",
            Self::CallerNumber => "callerNumber",
            Self::Destination => "destination",
            Self::Network => "network",
            Self::Limit => "limit",
            Self::Ours => "ours",
            Self::Unclassified => "unclassified",
        }
    }

    /// Whether many such faults mean that no call can be made, rather than these.
    pub fn may_be_an_outage(self) -> bool {
        match self {
            Self::Network | Self::Unclassified => true,
            Self::Account
            | Self::Number
            | Self::CallerNumber
            | Self::Destination
            | Self::Limit
            | Self::Ours => false,
        }
    }

    /// The class of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        use FaultClass::{
            Account, CallerNumber, Destination, Limit, Network, Number, Ours, Unclassified,
        };
        [
            Account,
            Number,
            CallerNumber,
            Destination,
            Network,
            Limit,
            Ours,
            Unclassified,
        ]
        .into_iter()
        .find(|class| class.name() == name)
    }
}

impl RetryKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Busy, Self::NoAnswer, Self::Voicemail, Self::Failed];

    /// The kind's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoAnswer => "noAnswer",
            Self::Voicemail => "voicemail",
            Self::Failed => "failed",
        }
    }
}
