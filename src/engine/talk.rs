//! What the answering and the audio of a call need to know.

use super::{Engine, EngineError, EngineResult};
use crate::{
    domain::{
        attempt::{AttemptState, CallFacts},
        campaign::{Campaign, CampaignStatus},
        enrollment::Enrollment,
        ids::{AttemptId, CallSid, StreamSid, TenantId},
        machine::{AnsweredBy, Detected, Response, Speech},
        signal::{Signal, SignalKind},
        step::{Step, VoiceCall},
    },
    store::InCampaign,
};

/// A call that an agent may join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The carrier's name for the call.
    pub call: CallSid,
    /// The campaign it belongs to.
    pub campaign: Campaign,
    /// Whom it is with.
    pub enrollment: Enrollment,
    /// What the agent is told.
    pub step: VoiceCall,
}

/// What is done with a call that no agent talks in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// It is ended.
    HangUp,
    /// The carrier speaks, and ends it then.
    Speak(Speech),
}

/// What a callee hears who is left without an agent.
fn regret(step: &VoiceCall, enrollment: &Enrollment) -> Instead {
    let sentence = step.silence.sentence.as_ref();
    match sentence.map(|sentence| step.spoken(sentence, enrollment)) {
        Some(Speech::Text { text, .. }) if text.trim().is_empty() => Instead::HangUp,
        Some(speech) => Instead::Speak(speech),
        None => Instead::HangUp,
    }
}

/// Why no agent may join.
#[derive(Debug, thiserror::Error)]
pub enum TalkRefused {
    /// The attempt is not open, or the call is not the attempt's.
    #[error("the call does not belong to an open attempt")]
    NotOpen,
    /// Another stream of the call was there before.
    #[error("the call already has a media stream")]
    SecondStream,
    /// It cannot be known now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Whether a call that was just answered belongs to an attempt that wants it. What the carrier
    /// told with the question was already received.
    pub async fn wants_call(&self, attempt: AttemptId) -> EngineResult<bool> {
        let tenant = self.core.tenant_of(attempt).await?;
        let store = &self.core.store;
        let found = store.find_in_campaign(tenant, attempt.enrollment).await?;
        Ok(found.is_some_and(|it| {
            it.enrollment.has_open(attempt) && it.campaign.status != CampaignStatus::Cancelled
        }))
    }

    /// What is done with a call that waits for its instructions until `by` was found to have answered;
    /// none where an agent is to talk.
    pub async fn instead_of_talk(
        &self,
        attempt: AttemptId,
        by: AnsweredBy,
    ) -> EngineResult<Option<Instead>> {
        let tenant = self.core.tenant_of(attempt).await?;
        let store = &self.core.store;
        let found = store.find_in_campaign(tenant, attempt.enrollment).await?;
        let Some(InCampaign {
            enrollment,
            campaign,
        }) = found
        else {
            return Ok(Some(Instead::HangUp));
        };
        let step = campaign.steps.get(usize::from(enrollment.cursor));
        let Some(Step::VoiceCall(step)) = step else {
            return Ok(Some(Instead::HangUp));
        };
        // Nobody has talked yet, so nothing else counts.
        let at = self.core.now();
        let facts = CallFacts {
            answered_by: Some(Detected { by, at }),
            ..CallFacts::default()
        };
        Ok(match step.machines.response(&facts) {
            Response::CarryOn => None,
            Response::HangUp => Some(Instead::HangUp),
            Response::Leave(message) => Some(Instead::Speak(step.speech(message, &enrollment))),
        })
    }

    /// What the agent of an open attempt is told, before anybody has answered; none when the attempt is
    /// not open any more.
    pub async fn step_of(&self, attempt: AttemptId) -> EngineResult<Option<VoiceCall>> {
        let tenant = self.core.tenant_of(attempt).await?;
        let store = &self.core.store;
        let found = store.find_in_campaign(tenant, attempt.enrollment).await?;
        Ok(found
            .filter(|it| it.enrollment.has_open(attempt))
            .and_then(|it| {
                let step = it.campaign.steps.get(usize::from(it.enrollment.cursor));
                step.map(|Step::VoiceCall(step)| step.clone())
            }))
    }

    /// Whether this process begins the tenant's calls.
    pub fn dispatches_for(&self, tenant: TenantId) -> bool {
        self.core.has_lease(tenant, self.core.now())
    }

    /// What follows for a callee who is still on the line when the audio has ended.
    pub async fn after_talk(&self, attempt: AttemptId) -> EngineResult<Instead> {
        let tenant = self.core.tenant_of(attempt).await?;
        let store = &self.core.store;
        let call = store.find_call(tenant, attempt).await?;
        let call = call.ok_or(EngineError::NotFound { what: "attempt" })?;
        let found = store.find_in_campaign(tenant, attempt.enrollment).await?;
        let Some(found) = found.filter(|_| call.attempt.facts.was_left_alone()) else {
            return Ok(Instead::HangUp);
        };
        let step = found.campaign.steps.get(usize::from(call.attempt.step));
        Ok(step.map_or(Instead::HangUp, |Step::VoiceCall(step)| {
            regret(step, &found.enrollment)
        }))
    }

    /// Binds the call's one media stream to its attempt and says what the agent is told.
    ///
    /// - Holds: of several streams for one attempt exactly one is bound, whatever the number of
    ///   processes. Who comes twice with the same stream is told so twice; [`Talk`]s of one attempt
    ///   in one process are the caller's to keep apart.
    pub async fn begin_talk(
        &self,
        attempt: AttemptId,
        call: CallSid,
        stream: StreamSid,
    ) -> Result<Talk, TalkRefused> {
        let tenant = self.core.tenant_of(attempt).await?;
        let kind = SignalKind::MediaStarted {
            stream: stream.clone(),
            node: self.core.settings.node_url.clone(),
        };
        let signal = Signal {
            sid: Some(call.clone()),
            at: self.core.now(),
            kind,
        };
        self.tell(tenant, attempt, signal).await?;
        let talk = self.load_talk(tenant, attempt, call).await?;
        match talk
            .enrollment
            .open_attempt()
            .and_then(|open| open.facts.stream.as_ref())
        {
            Some(bound) if *bound == stream => Ok(talk),
            _ => Err(TalkRefused::SecondStream),
        }
    }

    async fn load_talk(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        call: CallSid,
    ) -> Result<Talk, TalkRefused> {
        let store = &self.core.store;
        let found = store.find_in_campaign(tenant, attempt.enrollment).await;
        let InCampaign {
            enrollment,
            campaign,
        } = found
            .map_err(EngineError::from)?
            .ok_or(TalkRefused::NotOpen)?;
        let is_bound = enrollment.open_attempt().is_some_and(|open| {
            open.id == attempt
                && matches!(&open.state, AttemptState::Connected { sid, .. } if *sid == call)
        });
        if !is_bound {
            return Err(TalkRefused::NotOpen);
        }
        let Some(Step::VoiceCall(step)) = campaign.steps.get(usize::from(enrollment.cursor)) else {
            return Err(TalkRefused::NotOpen);
        };
        Ok(Talk {
            attempt,
            call,
            step: step.clone(),
            campaign,
            enrollment,
        })
    }
}
