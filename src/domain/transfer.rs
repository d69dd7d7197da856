//! Handing a callee over to a person.
//!
//! The carrier calls the person and joins both. What became of it is a fact beside the call's outcome.

use std::time::Duration;

use super::{
    Timestamp,
    attempt::{Attempt, AttemptState, Party},
    ids::CallSid,
    phone::PhoneNumber,
    step::VoiceCall,
    text::Template,
};

/// To whom a campaign's callees are handed over, and what is said then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferPolicy {
    /// Who takes the calls.
    pub to: PhoneNumber,
    /// What that person hears before being joined to the callee.
    pub whisper: Option<Template>,
    /// The number that person sees; none shows the one that the callee saw.
    pub caller_id: Option<PhoneNumber>,
    /// What the callee hears when that person cannot be reached; none hangs up.
    pub sentence: Option<Template>,
}

impl TransferPolicy {
    /// How long that person's phone rings.
    pub const RING: Duration = Duration::from_secs(30);
    /// How long callee and person may talk.
    pub const LENGTH: Duration = Duration::from_secs(4 * 3600);
    /// The longest text, in characters.
    pub const LONGEST_TEXT: usize = 500;
    /// What the callee hears unless a campaign has another sentence.
    pub const SENTENCE: &str = "We are sorry, nobody can take your call at the moment. Goodbye.";

    /// The usual sentence.
    pub fn usual_sentence() -> Template {
        Template::parse(Self::SENTENCE).expect("it has no braces")
    }
}

/// What is known of a handing over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// To whom.
    pub to: PhoneNumber,
    /// Who asked for it: the agent, or an operator.
    pub by: Party,
    /// When.
    pub at: Timestamp,
    /// When that person answered.
    pub joined_at: Option<Timestamp>,
    /// How it ended, once it has.
    pub end: Option<TransferEnd>,
}

/// How a handing over ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferEnd {
    /// Whether that person was reached.
    pub result: TransferResult,
    /// How long callee and person talked.
    pub talked: Option<Duration>,
}

/// Whether a person to whom a callee is handed over was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransferResult {
    /// They talked.
    Answered,
    /// The line was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The carrier could not call.
    Failed,
    /// The callee hung up first.
    Canceled,
    /// The carrier did not take the request: the callee is where they were.
    Refused,
}

impl TransferResult {
    /// Every result.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Busy,
        Self::NoAnswer,
        Self::Failed,
        Self::Canceled,
        Self::Refused,
    ];

    /// Whether the person was called in vain: the callee is told so.
    pub fn means_nobody(self) -> bool {
        match self {
            Self::Busy | Self::NoAnswer | Self::Failed => true,
            Self::Answered | Self::Canceled | Self::Refused => false,
        }
    }

    /// The result's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Busy => "busy",
            Self::NoAnswer => "noAnswer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Refused => "refused",
        }
    }
}

impl Transfer {
    /// Whether the carrier is seeing to it.
    pub fn is_under_way(&self) -> bool {
        self.end.is_none()
    }

    /// Whether the callee was taken away from the agent.
    pub fn takes_over(&self) -> bool {
        let result = self.end.map(|end| end.result);
        result != Some(TransferResult::Refused)
    }

    /// The carrier's word on its end, which counts more than that it gave none.
    pub fn ends(&mut self, end: TransferEnd) {
        if !self.takes_over() {
            self.end = None;
        }
        self.end.get_or_insert(end);
    }

    /// Whether callee and person talked.
    pub fn was_answered(&self) -> bool {
        self.joined_at.is_some()
            || self
                .end
                .is_some_and(|end| end.result == TransferResult::Answered)
    }

    /// Whether that person was called in vain.
    pub fn was_in_vain(&self) -> bool {
        self.end.is_some_and(|end| end.result.means_nobody())
    }

    /// By when it is over in any case.
    pub fn is_over_by(&self) -> Timestamp {
        self.at + TransferPolicy::RING + TransferPolicy::LENGTH
    }
}

/// Why a callee cannot be handed over, in words for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefused {
    /// The campaign names nobody.
    #[error("nobody can be reached in this campaign: it has no number to transfer calls to")]
    Nobody,
    /// Nobody is on the line, or the call is being ended.
    #[error("the call cannot be transferred now: nobody is on the line")]
    NotInCall,
    /// It is being done.
    #[error("the call is being transferred already")]
    UnderWay,
}

/// The call whose callee may be handed over now.
pub fn can_be_asked(attempt: &Attempt) -> Result<&CallSid, TransferRefused> {
    let facts = &attempt.facts;
    let AttemptState::Connected { sid, .. } = &attempt.state else {
        return Err(TransferRefused::NotInCall);
    };
    if facts.is_being_transferred() {
        return Err(TransferRefused::UnderWay);
    }
    if facts.ended_by.is_some() || facts.media_ended_at.is_some() {
        return Err(TransferRefused::NotInCall);
    }
    Ok(sid)
}

/// The call to hand over, and to whom; `to` takes the place of the campaign's number.
pub fn order(
    call: Option<&VoiceCall>,
    attempt: &Attempt,
    to: Option<&PhoneNumber>,
) -> Result<(CallSid, PhoneNumber), TransferRefused> {
    let sid = can_be_asked(attempt)?;
    let usual = call.and_then(|call| call.transfer.as_ref());
    let to = to.or(usual.map(|policy| &policy.to));
    let to = to.ok_or(TransferRefused::Nobody)?;
    Ok((sid.clone(), to.clone()))
}
