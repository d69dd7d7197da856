//! What is left of a person whose data was erased: what is counted stays, who it was goes.

use std::{fmt, str::FromStr};

use super::{
    Timestamp,
    attempt::{Attempt, AttemptState, ReleaseReason},
    audience::RejectedRow,
    contact::Fields,
    enrollment::{Enrollment, EnrollmentState},
    event::{EventKind, Moment},
    ids::{EnrollmentId, IdError},
    outcome::{Fault, Outcome},
    phone::{PhoneError, PhoneNumber},
    rules::Rule,
    signal::{CallEnd, Signal, SignalKind},
    suppression::Subject,
};

/// What stands where the words of another system were, which may name a person.
const ERASED: &str = "erased";

/// A number as records keep it: itself, or what is left when its person's data was erased.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptNumber {
    /// Whoever has this number.
    Known(PhoneNumber),
    /// Nobody can tell any more. The enrollment's id keeps apart what must be unique, and says
    /// nothing about the person.
    Erased(EnrollmentId),
}

/// What a record names a person by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The person's numbers.
    pub phones: Vec<PhoneNumber>,
    /// The addresses at which the person is written to, lower case.
    pub emails: Vec<String>,
}

/// The text is neither a number nor what is left of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeptNumberError {
    /// It does not read as a number.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// It does not read as what is left of one.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl KeptNumber {
    /// What the text form of an erased one starts with.
    const PREFIX: &'static str = "erased:";

    /// The number, while it is known.
    pub fn known(&self) -> Option<&PhoneNumber> {
        match self {
            Self::Known(phone) => Some(phone),
            Self::Erased(_) => None,
        }
    }

    /// The number, or the word `erased`: for people.
    pub fn shown(&self) -> &str {
        self.known().map_or(ERASED, PhoneNumber::as_str)
    }
}

impl From<PhoneNumber> for KeptNumber {
    fn from(phone: PhoneNumber) -> Self {
        Self::Known(phone)
    }
}

impl FromStr for KeptNumber {
    type Err = KeptNumberError;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, KeptNumberError> {
        Ok(match text.strip_prefix(Self::PREFIX) {
            Some(id) => Self::Erased(id.parse()?),
            None => Self::Known(text.parse()?),
        })
    }
}

impl fmt::Display for KeptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(phone) => fmt::Display::fmt(phone, f),
            Self::Erased(id) => write!(f, "{}{id}", Self::PREFIX),
        }
    }
}

impl fmt::Debug for KeptNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(phone) => fmt::Debug::fmt(phone, f),
            Self::Erased(_) => f.write_str(ERASED),
        }
    }
}

impl Identity {
    /// The entries of the do-not-call list that name the person openly.
    pub fn subjects(&self) -> Vec<Subject> {
        let phones = self.phones.iter().cloned().map(Subject::Phone);
        let emails = self.emails.iter().cloned().map(Subject::Email);
        phones.chain(emails).collect()
    }

    /// Whether a row of a list is about the person: a cell is one of the numbers, however it is
    /// written, or holds one of the addresses.
    pub fn is_named_in(&self, row: &RejectedRow) -> bool {
        row.cells.iter().any(|cell| {
            self.phones.iter().any(|phone| phone.is_written_as(cell)) || {
                let cell = cell.to_lowercase();
                self.emails.iter().any(|email| cell.contains(email))
            }
        })
    }
}

impl Enrollment {
    /// The enrollment without the person's name and values. Its number stays, by which it is found.
    pub fn without_words(&self) -> Self {
        Self {
            name: None,
            fields: Fields::new(),
            ..self.clone()
        }
    }

    /// What is left of the enrollment. One that waits comes to its end, as if the list of those who
    /// must not be called had been looked at.
    pub fn erased(&self, now: Timestamp) -> Self {
        let state = match &self.state {
            EnrollmentState::Waiting { .. } => EnrollmentState::Finished {
                outcome: None,
                by_rule: Some(Rule::Suppression),
                at: now,
            },
            EnrollmentState::Finished {
                outcome,
                by_rule,
                at,
            } => EnrollmentState::Finished {
                outcome: outcome.as_ref().map(erased_outcome),
                by_rule: *by_rule,
                at: *at,
            },
            EnrollmentState::Open { attempt, check_at } => EnrollmentState::Open {
                attempt: attempt.erased(),
                check_at: *check_at,
            },
        };
        Self {
            phone: KeptNumber::Erased(self.id),
            state,
            ..self.without_words()
        }
    }
}

impl Attempt {
    /// What is left of the attempt: when, how long, how it ended, and the carrier's and the agent's
    /// names for it, by which their own records are found.
    pub fn erased(&self) -> Self {
        let mut attempt = self.clone();
        attempt.to = KeptNumber::Erased(self.id.enrollment);
        let facts = &mut attempt.facts;
        if let Some(words) = &mut facts.agent_failure {
            ERASED.clone_into(words);
        }
        if let Some(disposition) = &mut facts.disposition {
            ERASED.clone_into(&mut disposition.name);
            disposition.note = None;
        }
        if let Some(follow_up) = &mut facts.follow_up {
            follow_up.note = None;
        }
        facts.recording = None;
        facts.report = facts.report.take().map(|report| report.erased());
        match &mut attempt.state {
            AttemptState::Ended { outcome, .. } => *outcome = erased_outcome(outcome),
            AttemptState::Released {
                why: ReleaseReason::Refused(fault),
                ..
            } => *fault = erased_fault(fault),
            AttemptState::Reserved
            | AttemptState::Unknown { .. }
            | AttemptState::Dialing { .. }
            | AttemptState::Ringing { .. }
            | AttemptState::Connected { .. }
            | AttemptState::Released { .. } => {}
        }
        attempt
    }
}

impl EventKind {
    /// What is left of an event of a call: that something was said or pressed, not what.
    pub fn erased(&self) -> Self {
        match self {
            Self::Transcript { attempt, .. }
            | Self::Timeline {
                attempt,
                moment: Moment::KeyPressed { .. } | Moment::Hinted { .. },
            } => Self::Timeline {
                attempt: *attempt,
                moment: Moment::Erased,
            },
            Self::Timeline {
                attempt,
                moment: Moment::AgentFailed { .. },
            } => Self::Timeline {
                attempt: *attempt,
                moment: Moment::AgentFailed {
                    detail: ERASED.to_owned(),
                },
            },
            Self::Timeline {
                attempt,
                moment: Moment::Reported { .. },
            } => Self::Timeline {
                attempt: *attempt,
                moment: Moment::Reported { verdict: None },
            },
            Self::Timeline {
                attempt,
                moment: Moment::Disposed { .. },
            } => Self::Timeline {
                attempt: *attempt,
                moment: Moment::Disposed {
                    disposition: ERASED.to_owned(),
                    note: None,
                },
            },
            Self::Timeline {
                attempt,
                moment: Moment::FollowUpWished { at, .. },
            } => Self::Timeline {
                attempt: *attempt,
                moment: Moment::FollowUpWished {
                    at: *at,
                    note: None,
                },
            },
            Self::Timeline { .. }
            | Self::Campaign { .. }
            | Self::EmergencyStop { .. }
            | Self::Enrolled { .. }
            | Self::Call { .. }
            | Self::Enrollment { .. }
            | Self::Erased { .. } => self.clone(),
        }
    }
}

impl Signal {
    /// What is left of a signal: no words of another system.
    pub fn erased(&self) -> Self {
        let mut signal = self.clone();
        match &mut signal.kind {
            SignalKind::Over {
                end: CallEnd::Failed(fault),
                ..
            } => *fault = erased_fault(fault),
            SignalKind::AgentFailed { detail } => ERASED.clone_into(detail),
            SignalKind::Reported { report } => *report = report.erased(),
            SignalKind::Disposed(disposition) => {
                ERASED.clone_into(&mut disposition.name);
                disposition.note = None;
            }
            SignalKind::FollowUpWished(wish) => wish.note = None,
            SignalKind::Placed
            | SignalKind::Ringing
            | SignalKind::Answered
            | SignalKind::Over { .. }
            | SignalKind::MediaStarted { .. }
            | SignalKind::AgentJoined { .. }
            | SignalKind::AgentSpoke
            | SignalKind::TalkHeld
            | SignalKind::Detected { .. }
            | SignalKind::Recorded { .. }
            | SignalKind::Muted(_)
            | SignalKind::TransferJoined
            | SignalKind::TransferEnded(_)
            | SignalKind::MediaEnded { .. } => {}
        }
        signal
    }
}

impl RejectedRow {
    /// What is left of the row: its line and why it was rejected.
    pub fn erased(&self) -> Self {
        Self {
            cells: Vec::new(),
            ..self.clone()
        }
    }
}

fn erased_outcome(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(fault) => Outcome::Failed(erased_fault(fault)),
        other => other.clone(),
    }
}

fn erased_fault(fault: &Fault) -> Fault {
    Fault {
        detail: ERASED.to_owned(),
        ..fault.clone()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{disposition::Disposition, follow_up::FollowUp, ids::AttemptId};

    fn row(cells: &[&str]) -> RejectedRow {
        RejectedRow {
            line: 2,
            code: "duplicateInFile".to_owned(),
            reason: "line 1 has the same number".to_owned(),
            column: None,
            cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
        }
    }

    #[test]
    fn what_an_agent_noted_is_taken_away_and_that_it_did_stays() {
        let attempt = AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(7)),
            number: 1,
        };
        let at = Timestamp::UNIX_EPOCH;
        let note = || Some("Ann has a new job".to_owned());
        let disposed = Moment::Disposed {
            disposition: "Ann is interested".to_owned(),
            note: note(),
        };
        let wished = Moment::FollowUpWished { at, note: note() };
        for moment in [disposed, wished] {
            let left = EventKind::Timeline { attempt, moment }.erased();
            assert!(!format!("{left:?}").contains("Ann"), "{left:?}");
        }
        let disposed = SignalKind::Disposed(Disposition {
            name: "Ann is interested".to_owned(),
            note: note(),
            at,
        });
        let wished = SignalKind::FollowUpWished(FollowUp {
            at,
            note: note(),
            wished_at: at,
        });
        for kind in [disposed, wished] {
            let left = Signal {
                sid: None,
                at,
                kind,
            }
            .erased();
            assert!(!format!("{left:?}").contains("Ann"), "{left:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_number_reads_back_and_is_none() {
        let id = EnrollmentId::new(Uuid::from_u128(7));
        let known: PhoneNumber = "+12025550143".parse().unwrap();
        for kept in [KeptNumber::Known(known), KeptNumber::Erased(id)] {
            assert_eq!(kept.to_string().parse(), Ok(kept));
        }
        let erased = KeptNumber::Erased(id);
        assert_eq!((erased.known(), erased.shown()), (None, "erased"));
        assert!(erased.to_string().parse::<PhoneNumber>().is_err());
        assert!("erased:+12025550143".parse::<KeptNumber>().is_err());
    }

    #[test]
    fn a_row_names_a_person_however_the_number_is_written() {
        let ann = Identity {
            phones: vec!["+442079460018".parse().unwrap()],
            emails: vec!["ann@example.com".to_owned()],
        };
        for cells in [
            ["Ann", "+44 20 7946 0018"],
            ["Ann", "020 7946 0018"],
            ["Ann", "0044 (0)20 7946-0018"],
            ["ANN@Example.com", ""],
            ["Ann <ann@example.com>", "12"],
        ] {
            assert!(ann.is_named_in(&row(&cells)), "{cells:?}");
        }
        for cells in [
            ["Ann", "020 7946 0019"],
            ["Ann", "+1 207 946 0018"],
            ["Ann", ""],
            ["joanne@example.com", "0018"],
        ] {
            assert!(!ann.is_named_in(&row(&cells)), "{cells:?}");
        }
        assert_eq!(row(&["Ann"]).erased(), row(&[]));
    }
}
