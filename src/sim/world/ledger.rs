//! What really happened, as the carrier saw it, and what was saved, as the store took it.
//!
//! The auditors read these, never what the engine says of itself.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState},
    campaign::{Campaign, CampaignStatus},
    enrollment::{Enrollment, EnrollmentState},
    erasure::KeptNumber,
    halt::HaltScope,
    ids::{AttemptId, CallSid, CampaignId, EnrollmentId, TenantId},
    phone::PhoneNumber,
    signal::CallEnd,
};

/// What really happened.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Every request for a call that left a process, in order.
    pub requests: Vec<Request>,
    /// Every call, in the order in which the carrier made them.
    pub calls: Vec<Call>,
    /// The requests of each enrollment, in order.
    pub of_enrollment: BTreeMap<EnrollmentId, Vec<usize>>,
    /// The requests of each campaign, in order.
    pub of_campaign: BTreeMap<CampaignId, Vec<usize>>,
    /// The requests of each tenant, in order.
    pub of_tenant: BTreeMap<TenantId, Vec<usize>>,
    /// Calls that are not over, by the tenant and the person.
    pub live: BTreeMap<(TenantId, PhoneNumber), Vec<usize>>,
    /// The requests by attempt.
    pub of_attempt: BTreeMap<AttemptId, usize>,
    /// What holds a place: requests that may be or become a call, until that is over or given up.
    pub up: BTreeMap<AttemptId, (TenantId, CampaignId)>,
}

/// A request for a call, as it left.
#[derive(Debug, Clone)]
pub struct Request {
    /// For which attempt.
    pub attempt: AttemptId,
    /// Whose.
    pub tenant: TenantId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// To whom.
    pub to: PhoneNumber,
    /// Which process sent it.
    pub sender: Sender,
    /// When.
    pub left_at: Timestamp,
    /// What its sender was told.
    pub answer: Answer,
    /// The call that it became.
    pub call: Option<usize>,
    /// When the carrier was asked whether there is a call and knew none.
    pub unknown_at: Vec<Timestamp>,
}

/// One life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// Which process.
    pub node: usize,
    /// How often it was started before.
    pub life: u32,
}

/// What a sender was told about its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    None,
    /// There is a call.
    Accepted,
    /// There is none, because of the number.
    NumberRefused,
    /// There is none, for another reason.
    Refused,
    /// Nothing usable.
    Unknown,
}

/// A call as the carrier knows it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The carrier's name for it.
    pub sid: CallSid,
    /// For which request.
    pub request: usize,
    /// For which attempt.
    pub attempt: AttemptId,
    /// When it was made.
    pub created_at: Timestamp,
    /// How far it has come.
    pub phase: Phase,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// From when on the carrier's list has it.
    pub listed_at: Timestamp,
    /// When a process first took news of it that show that it exists.
    pub told_at: Option<(Timestamp, Sender)>,
    /// When the carrier was asked to end it.
    pub end_asked_at: Option<Timestamp>,
    /// How long it may last from the answer.
    pub max_duration: Duration,
    /// Whether an agent was on the line.
    pub had_agent: bool,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Taken.
    Queued,
    /// The phone rings.
    Ringing,
    /// Somebody is on the line.
    Live,
    /// Over.
    Over(CallEnd),
}

impl Phase {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Over(_))
    }
}

impl Ledger {
    /// How many requests and calls of a campaign, or of a whole tenant, hold a place.
    pub fn n_up(&self, tenant: TenantId, campaign: Option<CampaignId>) -> usize {
        self.up
            .values()
            .filter(|(t, c)| *t == tenant && campaign.is_none_or(|id| id == *c))
            .count()
    }

    /// The call of a request.
    pub fn call_of(&self, request: &Request) -> Option<&Call> {
        request.call.map(|call| &self.calls[call])
    }

    /// The earlier requests of an enrollment, in order.
    pub fn earlier(&self, enrollment: EnrollmentId) -> impl DoubleEndedIterator<Item = &Request> {
        self.of_enrollment
            .get(&enrollment)
            .into_iter()
            .flatten()
            .map(|request| &self.requests[*request])
    }

    /// What holds a place no longer.
    pub fn frees(&mut self, attempt: AttemptId) {
        self.up.remove(&attempt);
    }
}

/// What was saved, taken down with each write.
#[derive(Debug, Default)]
pub struct Saved {
    /// Campaigns as last saved.
    pub campaigns: BTreeMap<CampaignId, CampaignLife>,
    /// Enrollments as last saved.
    pub enrollments: BTreeMap<EnrollmentId, Enrollment>,
    /// The attempts of each enrollment as last saved.
    pub attempts: BTreeMap<AttemptId, Attempt>,
    /// Who must not be called, and since when.
    pub suppressed: BTreeMap<(TenantId, PhoneNumber), Timestamp>,
    /// The emergency stops in force, and since when.
    pub halted: BTreeMap<HaltScope, Timestamp>,
    /// Who is open, by person.
    pub open: BTreeMap<(TenantId, KeptNumber), Vec<EnrollmentId>>,
}

/// A campaign and what its status and limits were.
#[derive(Debug)]
pub struct CampaignLife {
    /// As last saved.
    pub campaign: Campaign,
    /// Each status with the moment from which it held.
    pub statuses: Vec<(Timestamp, CampaignStatus)>,
    /// Each set of limits with the moment from which it held.
    pub limits: Vec<(Timestamp, crate::domain::pacing::PacingLimits)>,
}

impl CampaignLife {
    /// A campaign that was just added.
    pub fn new(campaign: Campaign, now: Timestamp) -> Self {
        Self {
            statuses: vec![(now, campaign.status.clone())],
            limits: vec![(now, campaign.pacing)],
            campaign,
        }
    }

    /// Takes down a save.
    pub fn save(&mut self, campaign: &Campaign, now: Timestamp) {
        if campaign.status != self.campaign.status {
            self.statuses.push((now, campaign.status.clone()));
        }
        if campaign.pacing != self.campaign.pacing {
            self.limits.push((now, campaign.pacing));
        }
        self.campaign = campaign.clone();
    }

    /// When it was last active; none if it never was.
    pub fn active_until(&self, now: Timestamp) -> Option<Timestamp> {
        let (since, status) = self.statuses.last()?;
        if *status == CampaignStatus::Active {
            return Some(now);
        }
        let was_active = self
            .statuses
            .iter()
            .any(|(_, status)| *status == CampaignStatus::Active);
        was_active.then(|| {
            self.statuses
                .windows(2)
                .rev()
                .find(|pair| pair[0].1 == CampaignStatus::Active)
                .map_or(*since, |pair| pair[1].0)
        })
    }

    /// For how long it has been active without a break; none if it was active since `since` before that.
    pub fn active_for(&self, since: Timestamp, now: Timestamp) -> Option<Duration> {
        let began = self
            .statuses
            .iter()
            .rposition(|(_, status)| *status == CampaignStatus::Active)?;
        let was_active = self.statuses[..began]
            .windows(2)
            .any(|pair| pair[0].1 == CampaignStatus::Active && pair[1].0 >= since);
        // By its own word: what was saved slowly began before it was saved.
        let active_since = self.campaign.active_since.filter(|_| !was_active)?;
        Duration::try_from(now.duration_since(active_since)).ok()
    }

    /// The limits that held at some moment since `since`.
    pub fn limits_since(
        &self,
        since: Timestamp,
    ) -> impl Iterator<Item = &crate::domain::pacing::PacingLimits> {
        let first = self.limits.iter().rposition(|(from, _)| *from <= since);
        self.limits[first.unwrap_or(0)..]
            .iter()
            .map(|(_, limits)| limits)
    }
}

impl Saved {
    /// Takes down a saved enrollment.
    pub fn save(&mut self, enrollment: &Enrollment, attempt: Option<&Attempt>) {
        if let Some(attempt) = attempt {
            self.attempts.insert(attempt.id, attempt.clone());
        }
        let person = (enrollment.tenant, enrollment.phone.clone());
        let open = self.open.entry(person).or_default();
        open.retain(|id| *id != enrollment.id);
        if enrollment.open_attempt().is_some() {
            open.push(enrollment.id);
        }
        self.enrollments.insert(enrollment.id, enrollment.clone());
    }

    /// The attempt as last saved.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    /// Whether the attempt was given back without a call.
    pub fn is_released(&self, id: AttemptId) -> bool {
        self.attempt(id)
            .is_some_and(|attempt| matches!(attempt.state, AttemptState::Released { .. }))
    }

    /// The enrollments of a campaign.
    pub fn of(&self, campaign: CampaignId) -> impl Iterator<Item = &Enrollment> {
        self.enrollments
            .values()
            .filter(move |enrollment| enrollment.campaign == campaign)
    }

    /// Whether every enrollment of the campaign is at its end.
    pub fn all_finished(&self, campaign: CampaignId) -> bool {
        self.of(campaign)
            .all(|enrollment| matches!(enrollment.state, EnrollmentState::Finished { .. }))
    }
}
