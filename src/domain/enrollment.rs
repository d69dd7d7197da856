//! One contact in one campaign: the unit of work and of consistency.

use super::{
    Timestamp,
    attempt::{Attempt, AttemptState},
    contact::Fields,
    erasure::KeptNumber,
    ids::{AttemptId, CampaignId, ContactId, EnrollmentId, PlaceKey, TenantId},
    outcome::Outcome,
    phone::PhoneNumber,
    retry::Tally,
    rules::Rule,
};

/// One contact in one campaign. Everything that must change together is in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// Ours.
    pub id: EnrollmentId,
    /// Whose.
    pub tenant: TenantId,
    /// In which campaign.
    pub campaign: CampaignId,
    /// Which person.
    pub contact: ContactId,
    /// Where the person is called; unique in the campaign.
    pub phone: KeptNumber,
    /// Where the person is, as far as the rules are concerned.
    pub place: PlaceKey,
    /// The person's name as this campaign's list wrote it.
    pub name: Option<String>,
    /// The list's other columns, kept here so that a later list cannot change what is said in a
    /// retry (F-13).
    pub fields: Fields,
    /// What it waits for, does, or came to.
    pub state: EnrollmentState,
    /// The step that is next or being done, from 0.
    pub cursor: u16,
    /// How many attempts were opened; the next one's number is one more.
    pub n_attempts: u32,
    /// How many of them count against the budget: all but released ones.
    pub n_counted: u32,
    /// The kinds in which attempts of this step ended.
    pub tally: Tally,
    /// Rises by one with each saved change; a save names the version it was made from.
    pub version: u64,
}

/// What an enrollment waits for, does, or came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrollmentState {
    /// Nothing is open; may be claimed from `due_at` on.
    Waiting {
        /// When the next attempt may begin.
        due_at: Timestamp,
        /// The rule that put it off until then; none when it is a retry's wait, or never was put off.
        held_by: Option<Rule>,
    },
    /// An attempt is open.
    Open {
        /// The attempt.
        attempt: Attempt,
        /// When to ask the carrier if no news has come.
        check_at: Timestamp,
    },
    /// Every step is done, or the contact is given up. Final.
    Finished {
        /// How the last attempt ended; none when there never was one.
        outcome: Option<Outcome>,
        /// The rule that ended it, where it was not the end of an attempt.
        by_rule: Option<Rule>,
        /// When.
        at: Timestamp,
    },
}

impl EnrollmentState {
    /// The state's name in the API, in events and in stores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Open { .. } => "open",
            Self::Finished { .. } => "finished",
        }
    }
}

impl Enrollment {
    /// The attempt that is open.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        match &self.state {
            EnrollmentState::Open { attempt, .. } => Some(attempt),
            EnrollmentState::Waiting { .. } | EnrollmentState::Finished { .. } => None,
        }
    }

    /// Whether it came to its end without success, and might succeed another time: not by a rule, and not
    /// because the number cannot be called.
    pub fn was_missed(&self) -> bool {
        match &self.state {
            EnrollmentState::Finished {
                outcome: Some(outcome),
                by_rule: None,
                ..
            } => outcome.was_missed(),
            EnrollmentState::Finished { .. }
            | EnrollmentState::Waiting { .. }
            | EnrollmentState::Open { .. } => false,
        }
    }

    /// Whether `attempt` is the one that is open.
    pub fn has_open(&self, attempt: AttemptId) -> bool {
        self.open_attempt().is_some_and(|open| open.id == attempt)
    }

    /// The id of the next attempt.
    pub fn next_attempt_id(&self) -> AttemptId {
        AttemptId {
            enrollment: self.id,
            number: self.n_attempts + 1,
        }
    }

    /// What a placeholder of that name stands for: `name` and `phone`, or a column of the list.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "name" => self.name.as_deref(),
            "phone" => self.phone.known().map(PhoneNumber::as_str),
            column => self.fields.get(column).map(String::as_str),
        }
    }
}

/// How far a campaign has come: a recount of its enrollments and attempts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Everyone enrolled.
    pub n_enrolled: u64,
    /// Waiting and never tried.
    pub n_untried: u64,
    /// Waiting for another try.
    pub n_retrying: u64,
    /// With an open attempt.
    pub n_open: u64,
    /// At their end.
    pub n_finished: u64,
    /// Those at their end by how the last attempt ended ([`Outcome::name`]); `none` without any.
    pub finished_by_outcome: std::collections::BTreeMap<String, u64>,
    /// Attempts for which the carrier had a call, up or over. One that it refused has none.
    pub n_calls: u64,
    /// Open attempts with somebody on the line.
    pub n_connected: u64,
    /// When the next waiting enrollment is due.
    pub next_due_at: Option<Timestamp>,
}

impl Progress {
    /// Nothing is open and nothing can be scheduled.
    pub fn is_done(&self) -> bool {
        self.n_finished == self.n_enrolled
    }
}

/// Where an attempt stands in a list of calls: the attempt and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The person.
    pub contact: ContactId,
    /// The person's name as the list wrote it.
    pub name: Option<String>,
    /// The attempt as last saved.
    pub attempt: Attempt,
    /// The enrollment's version when the attempt was saved with it: a record never goes back.
    pub version: u64,
}

impl CallRecord {
    /// The record of `attempt`, which belongs to `enrollment`.
    pub fn of(enrollment: &Enrollment, attempt: &Attempt) -> Self {
        Self {
            tenant: enrollment.tenant,
            campaign: enrollment.campaign,
            contact: enrollment.contact,
            name: enrollment.name.clone(),
            attempt: attempt.clone(),
            version: enrollment.version,
        }
    }

    /// Whether the call is still going on.
    pub fn is_live(&self) -> bool {
        matches!(
            self.attempt.state,
            AttemptState::Dialing { .. }
                | AttemptState::Ringing { .. }
                | AttemptState::Connected { .. }
        )
    }
}
