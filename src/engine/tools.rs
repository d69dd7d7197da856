//! What an agent, or an operator, asks for during a call: saved as facts, and seen to.

use tracing::info;

use super::{
    Core, Engine, EngineError, EngineResult, Instead, Talk, decide::Input, rules::place_of,
};
use crate::{
    domain::{
        attempt::Party,
        disposition::Disposition,
        follow_up::{self, FollowUp, FollowUpError},
        ids::{AttemptId, TenantId},
        machine::Speech,
        phone::PhoneNumber,
        rules,
        signal::{Signal, SignalKind},
        step::{Step, VoiceCall},
        transfer::{self, TransferRefused, TransferResult},
        window::Opening,
    },
    store::InCampaign,
};

/// Why a callee was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// It cannot be done now.
    #[error(transparent)]
    Refused(#[from] TransferRefused),
    /// The carrier did not take the request.
    #[error("the call could not be transferred: the carrier did not take the request")]
    Carrier,
    /// It cannot be known now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why a callee's wish for another call is not noted.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// In words for the callee.
    #[error(transparent)]
    Refused(#[from] FollowUpError),
    /// It cannot be known now.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Notes how the agent sees a call.
    pub async fn dispose(
        &self,
        talk: &Talk,
        name: String,
        note: Option<String>,
    ) -> EngineResult<()> {
        let at = self.core.now();
        let disposition = Disposition { name, note, at };
        self.tell_of(talk, SignalKind::Disposed(disposition)).await
    }

    /// Notes that the callee wants to be called again, and sees to it that this happens when the call
    /// has ended: at the time named, under all rules that hold then.
    ///
    /// - Shape: the time in words, by the callee's clock.
    /// - Errors: [`WishError::Refused`] when nobody may be called then, or no attempt is left.
    pub async fn call_again(
        &self,
        talk: &Talk,
        at: &str,
        note: Option<String>,
    ) -> Result<String, WishError> {
        let core = &self.core;
        let now = core.now();
        // As they are now: they may have changed since the talk began.
        let InCampaign {
            enrollment,
            campaign,
        } = core.find(talk.campaign.tenant, talk.attempt).await?;
        let place = place_of(&enrollment.place, &campaign);
        let at = follow_up::parse_time(at, place.zones(), now)?;
        // The present attempt will count, too.
        if enrollment.n_counted + 1 >= campaign.retry.max_attempts {
            return Err(FollowUpError::NoMoreCalls.into());
        }
        let zone = place.zones().first();
        let zone = zone.unwrap_or(&campaign.policy.rules.zone).tz();
        let wide = core.tenant_wide(campaign.tenant).await?;
        let in_force = core.rules_in_force(&campaign, &wide, now).await?;
        let ring = talk.step.ring_timeout;
        if let Opening::Closed { opens_at } = rules::opening_of(&in_force.rules, &place, ring, at) {
            let opens = opens_at.map(|opens_at| follow_up::spoken_time(opens_at, zone));
            return Err(FollowUpError::Closed(opens).into());
        }
        let wish = FollowUp {
            at,
            note,
            wished_at: now,
        };
        self.tell_of(talk, SignalKind::FollowUpWished(wish)).await?;
        Ok(follow_up::spoken_time(at, zone))
    }

    /// Hands the callee over to a person: the campaign's, or whoever has the number `to`.
    ///
    /// - Holds: when it returns, the carrier has taken the request, and the agent is left. What became
    ///   of it is told by the carrier.
    pub async fn transfer(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        by: Party,
        to: Option<PhoneNumber>,
    ) -> Result<(), TransferError> {
        self.may_transfer(tenant, attempt, to.as_ref()).await?;
        let core = &self.core;
        let input = Input::Transfer { attempt, by, to };
        core.handle(tenant, attempt.enrollment, &input).await?;
        let call = core.store.find_call(tenant, attempt).await;
        let call = call.map_err(EngineError::from)?;
        let result = call
            .and_then(|call| call.attempt.facts.transfer)
            .map(|transfer| transfer.end.map(|end| end.result));
        match result {
            Some(Some(TransferResult::Refused)) => Err(TransferError::Carrier),
            Some(_) => {
                info!(attempt_id = %attempt, by = by.name(), "call being transferred");
                Ok(())
            }
            // Somebody ended the call in between.
            None => Err(TransferRefused::NotInCall.into()),
        }
    }

    /// Whether [`Self::transfer`] can be asked for now.
    pub async fn may_transfer(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        to: Option<&PhoneNumber>,
    ) -> Result<(), TransferError> {
        let found = self.core.find(tenant, attempt).await?;
        let open = found.enrollment.open_attempt();
        let open = open.filter(|open| open.id == attempt);
        let open = open.ok_or(TransferRefused::NotInCall)?;
        transfer::order(step_of(&found), open, to)?;
        Ok(())
    }

    /// What a person hears before being joined to the callee; none where that is nothing.
    pub async fn whisper(&self, attempt: AttemptId) -> EngineResult<Option<Speech>> {
        let tenant = self.core.tenant_of(attempt).await?;
        let found = self.core.find(tenant, attempt).await?;
        let call = step_of(&found);
        Ok(call.and_then(|call| {
            let whisper = call.transfer.as_ref()?.whisper.as_ref()?;
            Some(call.spoken(whisper, &found.enrollment))
        }))
    }

    /// What follows for a callee when the handing over is over.
    pub async fn after_transfer(
        &self,
        attempt: AttemptId,
        result: TransferResult,
    ) -> EngineResult<Instead> {
        if !result.means_nobody() {
            return Ok(Instead::HangUp);
        }
        let tenant = self.core.tenant_of(attempt).await?;
        let found = self.core.find(tenant, attempt).await?;
        let Some(call) = step_of(&found) else {
            return Ok(Instead::HangUp);
        };
        let sentence = match &call.transfer {
            Some(policy) => policy.sentence.clone(),
            // An operator named the number.
            None => Some(transfer::TransferPolicy::usual_sentence()),
        };
        Ok(sentence.map_or(Instead::HangUp, |sentence| {
            Instead::Speak(call.spoken(&sentence, &found.enrollment))
        }))
    }

    async fn tell_of(&self, talk: &Talk, kind: SignalKind) -> EngineResult<()> {
        let signal = Signal {
            sid: Some(talk.call.clone()),
            at: self.core.now(),
            kind,
        };
        self.tell(talk.campaign.tenant, talk.attempt, signal).await
    }
}

impl Core {
    async fn find(&self, tenant: TenantId, attempt: AttemptId) -> EngineResult<InCampaign> {
        let found = self
            .store
            .find_in_campaign(tenant, attempt.enrollment)
            .await?;
        found.ok_or(EngineError::NotFound { what: "attempt" })
    }
}

/// What the enrollment's present step says of calls.
fn step_of(found: &InCampaign) -> Option<&VoiceCall> {
    let step = found
        .campaign
        .steps
        .get(usize::from(found.enrollment.cursor))?;
    let Step::VoiceCall(call) = step;
    Some(call)
}
