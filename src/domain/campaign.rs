//! Campaigns: what is done for whom, and the life they go through.

use std::{num::NonZeroU16, time::Duration};

use super::{
    Timestamp,
    breaker::BreakerPolicy,
    budget::Budget,
    caller_id::CallerIdPool,
    fairness::Priority,
    ids::{CampaignId, TenantId},
    outcome::Fault,
    pacing::{CallRate, PacingLimits},
    phone::Region,
    quality::SilentLimit,
    retry::RetryPolicy,
    rules::CampaignRules,
    schedule::Schedule,
    step::{Step, VoiceCall},
};

/// Steps, audience settings and policies under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Ours.
    pub id: CampaignId,
    /// Whose campaign.
    pub tenant: TenantId,
    /// For people; need not be unique.
    pub name: String,
    /// Where in its life it is.
    pub status: CampaignStatus,
    /// What is done for each contact, in order; at least one.
    pub steps: Vec<Step>,
    /// How fast.
    pub pacing: PacingLimits,
    /// How often again.
    pub retry: RetryPolicy,
    /// What must hold for its calls.
    pub policy: Policy,
    /// The country of numbers without `+` in lists for this campaign.
    pub region: Region,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was first started.
    pub started_at: Option<Timestamp>,
    /// When it last became active: a ramp begins there.
    pub active_since: Option<Timestamp>,
    /// When it came to a final status.
    pub ended_at: Option<Timestamp>,
    /// Rises by one with each saved change; a save names the version it was made from.
    pub version: u64,
}

/// What must hold for a campaign's calls, beside its pace and its retries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Who may be called when.
    pub rules: CampaignRules,
    /// The numbers that callees see; none takes the tenant's in turn.
    pub caller_ids: Option<CallerIdPool>,
    /// Its weight against the tenant's other campaigns.
    pub priority: Priority,
    /// What it may cost.
    pub budget: Budget,
    /// When it starts and ends by itself.
    pub schedule: Schedule,
    /// How many of those who answer may hear nobody.
    pub silent_limit: SilentLimit,
    /// How many calls may fail for one cause.
    pub breakers: BreakerPolicy,
}

/// `draft → scheduled → active ⇄ paused → completed`; `cancelled` from any that is not final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CampaignStatus {
    /// Being prepared.
    Draft,
    /// Waits for its start.
    Scheduled,
    /// Dialing.
    Active,
    /// Begins no calls until resumed; calls that are up go on.
    Paused(PauseReason),
    /// Every enrollment came to its end.
    Completed,
    /// Stopped for good by an operator.
    Cancelled,
}

/// Why a campaign stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseReason {
    /// A person paused it.
    Operator,
    /// The carrier refuses for a reason that would hit every contact.
    Carrier(Fault),
    /// Calls are answered and no agent can be had; in words for an operator.
    Agent {
        /// What the last failure said.
        detail: String,
    },
    /// A policy of the campaign or of the installation.
    Brake {
        /// Which.
        brake: Brake,
        /// Why now, in words for an operator.
        detail: String,
    },
}

/// The policies that stand a campaign still by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// The budget is used up.
    Budget,
    /// Too many people answered and heard nobody.
    SilentCalls,
    /// Too many calls failed at the carrier or in the network.
    CarrierFailures,
    /// Too many answered calls got no agent.
    AgentFailures,
    /// The carrier's callbacks do not reach us.
    MissingCallbacks,
    /// No number is left to call from.
    CallerIds,
    /// The scheduled end has come.
    ScheduleEnd,
    /// The scheduled start was missed by more than its lateness.
    ScheduleMissed,
    /// The records are a copy or a restored backup.
    Restored,
}

impl Brake {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Budget,
        Self::SilentCalls,
        Self::CarrierFailures,
        Self::AgentFailures,
        Self::MissingCallbacks,
        Self::CallerIds,
        Self::ScheduleEnd,
        Self::ScheduleMissed,
        Self::Restored,
    ];

    /// The brake's name in the API, in logs and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::SilentCalls => "silentCalls",
            Self::CarrierFailures => "carrierFailures",
            Self::AgentFailures => "agentFailures",
            Self::MissingCallbacks => "missingCallbacks",
            Self::CallerIds => "callerIds",
            Self::ScheduleEnd => "scheduleEnd",
            Self::ScheduleMissed => "scheduleMissed",
            Self::Restored => "restored",
        }
    }

    /// The brake of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|brake| brake.name() == name)
    }
}

/// What an operator may ask of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CampaignAction {
    /// Begin to dial.
    Start,
    /// Stop to begin calls.
    Pause,
    /// Go on after a pause.
    Resume,
    /// End for good.
    Stop,
    /// Change settings.
    Edit,
    /// Add contacts.
    Enroll,
    /// Remove it from lists.
    Delete,
}

/// The campaign is in a status that the action does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a campaign that is {status} cannot be asked to {action}")]
pub struct NotAllowed {
    /// The action's name.
    pub action: &'static str,
    /// The status's name.
    pub status: &'static str,
}

impl PauseReason {
    /// Who or what paused, in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Carrier(_) => "carrier",
            Self::Agent { .. } => "agent",
            Self::Brake { brake, .. } => brake.name(),
        }
    }
}

impl CampaignStatus {
    /// The status's name in the API and in stores.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Paused(_) => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Why the campaign stands still, in words for an operator.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Paused(PauseReason::Operator) => Some("paused by an operator".to_owned()),
            Self::Paused(PauseReason::Carrier(fault)) => Some(match fault.code {
                Some(code) => format!("the carrier refuses calls: {} ({code})", fault.detail),
                None => fault.detail.clone(),
            }),
            Self::Paused(PauseReason::Agent { detail }) => {
                Some(format!("no agent can be had: {detail}"))
            }
            Self::Paused(PauseReason::Brake { detail, .. }) => Some(detail.clone()),
            Self::Draft | Self::Scheduled | Self::Active | Self::Completed | Self::Cancelled => {
                None
            }
        }
    }

    /// Whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Completed | Self::Cancelled => true,
            Self::Draft | Self::Scheduled | Self::Active | Self::Paused(_) => false,
        }
    }

    /// What an operator may ask for now, in the order a screen shows it.
    pub fn allowed_actions(&self) -> &'static [CampaignAction] {
        use CampaignAction::{Delete, Edit, Enroll, Pause, Resume, Start, Stop};
        match self {
            Self::Draft => &[Start, Stop, Edit, Enroll, Delete],
            Self::Scheduled => &[Start, Pause, Stop, Edit, Enroll, Delete],
            Self::Active => &[Pause, Stop, Edit, Enroll],
            Self::Paused(_) => &[Resume, Stop, Edit, Enroll],
            Self::Completed | Self::Cancelled => &[Delete],
        }
    }

    /// Whether `action` fits.
    pub fn allow(&self, action: CampaignAction) -> Result<(), NotAllowed> {
        if self.allowed_actions().contains(&action) {
            Ok(())
        } else {
            Err(NotAllowed {
                action: action.name(),
                status: self.name(),
            })
        }
    }
}

impl CampaignAction {
    /// The action's name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Edit => "edit",
            Self::Enroll => "enroll",
            Self::Delete => "delete",
        }
    }
}

impl Campaign {
    /// The campaign after an operator's `action`, or why it does not fit.
    ///
    /// Asking a campaign for the state it is already in changes nothing and is no error, so that a
    /// repeated request (a double click, a lost answer) is harmless.
    pub fn after(&self, action: CampaignAction, now: Timestamp) -> Result<Self, NotAllowed> {
        use CampaignAction::{Delete, Edit, Enroll, Pause, Resume, Start, Stop};
        let repeated = matches!(
            (action, &self.status),
            (Start | Resume, CampaignStatus::Active)
                | (Start, CampaignStatus::Scheduled)
                | (Pause, CampaignStatus::Paused(_))
                | (Stop, CampaignStatus::Cancelled)
        );
        if repeated {
            return Ok(self.clone());
        }
        self.status.allow(action)?;
        let status = match action {
            Start | Resume if self.starts_later(now) => CampaignStatus::Scheduled,
            Start | Resume => CampaignStatus::Active,
            Pause => CampaignStatus::Paused(PauseReason::Operator),
            Stop => CampaignStatus::Cancelled,
            Edit | Enroll | Delete => self.status.clone(),
        };
        Ok(self.with_status(status, now))
    }

    /// The longest that a phone may ring in any of its steps.
    pub fn longest_ring(&self) -> Duration {
        self.voice_calls()
            .map(|call| call.ring_timeout)
            .max()
            .unwrap_or_default()
    }

    /// How many days recordings are kept; none keeps them.
    pub fn recording_days(&self) -> Option<NonZeroU16> {
        self.voice_calls()
            .filter_map(|call| call.recording_days)
            .min()
    }

    /// The longest that a call may last in any of its steps.
    pub fn longest_call(&self) -> Duration {
        self.voice_calls()
            .map(|call| call.max_duration)
            .max()
            .unwrap_or_default()
    }

    /// The rate of dial starts in force at `now`: a ramp may keep it below the set one.
    pub fn rate_at(&self, now: Timestamp) -> CallRate {
        let active_for = self
            .active_since
            .and_then(|since| Duration::try_from(now.duration_since(since)).ok());
        self.pacing.rate_after(active_for.unwrap_or_default())
    }

    fn voice_calls(&self) -> impl Iterator<Item = &VoiceCall> {
        self.steps.iter().map(|step| match step {
            Step::VoiceCall(call) => call,
        })
    }

    /// Whether its first start is planned for later than `now`.
    fn starts_later(&self, now: Timestamp) -> bool {
        let planned = self.policy.schedule.start_at;
        self.started_at.is_none() && planned.is_some_and(|start_at| start_at > now)
    }

    /// The campaign paused for `reason`; unchanged when it neither dials nor is about to.
    pub fn paused_for(&self, reason: PauseReason, now: Timestamp) -> Self {
        match self.status {
            CampaignStatus::Active | CampaignStatus::Scheduled => {
                self.with_status(CampaignStatus::Paused(reason), now)
            }
            CampaignStatus::Draft
            | CampaignStatus::Paused(_)
            | CampaignStatus::Completed
            | CampaignStatus::Cancelled => self.clone(),
        }
    }

    /// The campaign in `status`, with the times that follow from it.
    pub fn with_status(&self, status: CampaignStatus, now: Timestamp) -> Self {
        let mut next = self.clone();
        if status == CampaignStatus::Active {
            next.started_at.get_or_insert(now);
            if self.status != CampaignStatus::Active {
                next.active_since = Some(now);
            }
        }
        if status.is_final() {
            next.ended_at = Some(now);
        }
        next.status = status;
        next.updated_at = now;
        next
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        machine::MachinePolicy,
        step::{Silence, VoiceCall},
        text::Template,
    };

    pub(crate) const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    /// A campaign with one voice step.
    pub(crate) fn campaign(status: CampaignStatus) -> Campaign {
        Campaign {
            id: CampaignId::new(Uuid::from_u128(1)),
            tenant: TenantId::DEFAULT,
            name: "Autumn".to_owned(),
            status,
            steps: vec![Step::VoiceCall(VoiceCall {
                prompt: Template::parse("Be kind.").unwrap(),
                first_message: Template::parse("Hi {{name}}").unwrap(),
                language: None,
                voice_id: None,
                agent_vendor: None,
                agent_id: None,
                ring_timeout: VoiceCall::RING.1,
                max_duration: VoiceCall::LENGTH.1,
                opt_out_key: Some(VoiceCall::OPT_OUT_KEY),
                silence: Silence::default(),
                is_recorded: false,
                recording_days: None,
                machines: MachinePolicy::default(),
                transfer: None,
                spoken_language: None,
            })],
            pacing: PacingLimits::default(),
            retry: RetryPolicy::default(),
            policy: Policy::default(),
            region: Region::US,
            created_at: NOW,
            updated_at: NOW,
            started_at: None,
            active_since: None,
            ended_at: None,
            version: 1,
        }
    }

    #[test]
    fn a_campaign_lives_from_draft_to_its_end() {
        let active = campaign(CampaignStatus::Draft)
            .after(CampaignAction::Start, NOW)
            .unwrap();
        assert_eq!(
            (active.status.clone(), active.started_at),
            (CampaignStatus::Active, Some(NOW))
        );
        let paused = active.after(CampaignAction::Pause, NOW).unwrap();
        assert_eq!(paused.status, CampaignStatus::Paused(PauseReason::Operator));
        let stopped = paused.after(CampaignAction::Stop, NOW).unwrap();
        assert_eq!(
            (stopped.status, stopped.ended_at),
            (CampaignStatus::Cancelled, Some(NOW))
        );
    }

    // proves F-08
    #[test]
    fn asking_again_changes_nothing() {
        let active = campaign(CampaignStatus::Active);
        assert_eq!(active.after(CampaignAction::Start, NOW), Ok(active.clone()));
    }

    // proves F-84
    #[test]
    fn a_final_status_absorbs() {
        for status in [CampaignStatus::Completed, CampaignStatus::Cancelled] {
            let ended = campaign(status.clone());
            for action in [
                CampaignAction::Start,
                CampaignAction::Pause,
                CampaignAction::Resume,
            ] {
                assert!(ended.after(action, NOW).is_err(), "{status:?} {action:?}");
            }
            assert_eq!(ended.paused_for(PauseReason::Operator, NOW), ended);
        }
    }
}
