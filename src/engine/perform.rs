//! The only place that carries out effects.
//!
//! An effect is carried out after the decision that asked for it was saved. What became of it comes
//! back as an input; an effect that is lost in a crash is found by `recover`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::SemaphorePermit;
use tracing::{error, info, warn};

use super::{
    Core, EngineError, EngineResult, LaneKey,
    decide::{CarrierReply, Effect, Input},
};
use crate::{
    domain::{
        Timestamp,
        attempt::AttemptState,
        campaign::{Brake, Campaign, CampaignStatus, PauseReason},
        erasure::KeptNumber,
        ids::{AttemptId, CallSid, CampaignId, RecordingSid, TenantId},
        machine::Speech,
        pacing::{self, Lane},
        phone::PhoneNumber,
        rules::{self, Verdict},
        signal::{Signal, SignalKind},
        transfer::{TransferEnd, TransferResult},
    },
    store::{Fencing, InCampaign, StoreError},
    telephony::{CallRequest, CarrierError, TransferRequest},
};

/// How often a call is tried to be ended before that is left to `recover`.
const END_TRIES: u32 = 3;

/// How long to wait before each try to delete a recording.
const DELETES_AFTER: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// How long a request may wait to leave before what is saved is read again: a pause acts sooner than
/// a second.
pub(super) const CHECK_AGAIN: Duration = Duration::from_millis(500);

/// A saved intent on its way to the carrier.
struct DialOrder {
    /// What it was decided on.
    planned: InCampaign,
    /// Under which lease somebody was claimed for it.
    fencing: Option<Fencing>,
    dial_at: Timestamp,
    request: CallRequest,
}

impl Core {
    pub(super) async fn perform(
        self: &Arc<Self>,
        loaded: &InCampaign,
        effect: Effect,
        fencing: Option<Fencing>,
    ) {
        let campaign = &loaded.campaign;
        match effect {
            Effect::Place {
                attempt,
                ring_timeout,
                max_duration,
                detection,
                is_recorded,
            } => {
                self.owners.note(attempt.id.enrollment, campaign.tenant);
                let KeptNumber::Known(to) = attempt.to else {
                    error!(attempt_id = %attempt.id, "a call without a number is not made");
                    return;
                };
                let request = CallRequest {
                    attempt: attempt.id,
                    to,
                    from: attempt.from,
                    ring_timeout,
                    max_duration,
                    detection,
                    is_recorded,
                };
                let order = DialOrder {
                    planned: loaded.clone(),
                    fencing,
                    dial_at: attempt.dial_at,
                    request,
                };
                self.tasks.spawn(self.clone().dial(order));
            }
            Effect::EndCall { sid } => {
                self.tasks.spawn(self.clone().end_call(sid));
            }
            Effect::DeleteRecording { recording } => {
                self.tasks.spawn(self.clone().delete_recording(recording));
            }
            Effect::Speak { sid, speech } => {
                self.tasks.spawn(self.clone().speak(sid, speech));
            }
            Effect::ForgetWords { attempt } => self.forget_words(campaign.tenant, attempt).await,
            // Waited for: whoever asked is told whether the carrier took it.
            Effect::Transfer {
                attempt,
                sid,
                to,
                from,
            } => {
                let request = TransferRequest { attempt, to, from };
                self.clone().transfer(campaign.tenant, sid, request).await;
            }
            Effect::PauseCampaign { fault } => {
                self.stand_still(campaign, PauseReason::Carrier(fault))
                    .await;
            }
            Effect::NoteAgentFailed { detail } => {
                if self.note_agent_failed(campaign.id) >= self.settings.max_agent_failures {
                    self.stand_still(campaign, PauseReason::Agent { detail })
                        .await;
                }
            }
            Effect::NoteAgentJoined => {
                let mut state = self.carrier_state();
                state.agent_failures_in_a_row.remove(&campaign.id);
                state.cautions.remove(&campaign.id);
            }
            Effect::Withdraw { sid } => {
                self.tasks.spawn(self.clone().withdraw_call(sid));
            }
            Effect::WatchFailures => self.watch(campaign, self.watch_failures(campaign)).await,
            Effect::WatchQuality => self.watch(campaign, self.watch_quality(campaign)).await,
            Effect::WatchDestinations => {
                self.watch(campaign, self.watch_destinations(campaign))
                    .await;
            }
            Effect::WatchRefusals => {
                self.tasks
                    .spawn(self.clone().watch_refusals(campaign.clone()));
            }
            Effect::RestNumber { number, fault } => {
                self.rest_number(campaign, &number, fault).await;
            }
            Effect::RestCarrier { wait } => self.rest_carrier(wait),
            Effect::NoteUnclassified { fault } => {
                if self.note_unclassified(campaign.id) >= self.settings.max_unclassified {
                    self.stand_still(campaign, PauseReason::Carrier(fault))
                        .await;
                }
            }
            Effect::NoteUnanswered => {
                let n = self.note_unanswered(campaign.id);
                if n >= self.settings.max_unanswered {
                    let detail = format!("{n} requests in a row got no answer from the carrier");
                    self.brake(campaign, Brake::CarrierFailures, detail).await;
                }
            }
            Effect::NoteAccepted => self.note_accepted(campaign.id),
        }
    }

    async fn forget_words(&self, tenant: TenantId, attempt: AttemptId) {
        if let Err(error) = self.store.erase_signals(tenant, &[attempt]).await {
            warn!(%error, attempt_id = %attempt, "words about an erased person wait to be forgotten");
        }
    }

    /// Asks the carrier for a call at the attempt's dial start, if it may still go out then.
    ///
    /// Boxed, because what follows from the reply may be another dial.
    fn dial(self: Arc<Self>, order: DialOrder) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let attempt = order.request.attempt;
            let tenant = order.planned.campaign.tenant;
            self.wait_until(order.dial_at).await;
            let input = match self.wait_to_depart(&order).await {
                Ok(Some(permit)) => {
                    let placed = self.carrier.place(&order.request).await;
                    let reply = without_number(reply_of(placed), &order.request.to);
                    drop(permit);
                    Input::Replied { attempt, reply }
                }
                Ok(None) => Input::Withheld { attempt },
                Err(error) => {
                    warn!(%error, attempt_id = %attempt, "call withheld: the store did not answer");
                    Input::Withheld { attempt }
                }
            };
            if let Err(error) = self.handle(tenant, attempt.enrollment, &input).await {
                warn!(%error, attempt_id = %attempt, "reply not saved; the call will be looked up");
            }
        })
    }

    /// Waits until the request may leave without coming too close to the one before, and there is
    /// room for it; none when it must not leave any more. What is saved was read again less than
    /// [`CHECK_AGAIN`] before, and after the last emergency stop that this process saved.
    async fn wait_to_depart(&self, order: &DialOrder) -> EngineResult<Option<SemaphorePermit<'_>>> {
        let tenant = order.planned.campaign.tenant;
        loop {
            let n_halts = self.n_halts.load(Ordering::SeqCst);
            let Some(campaign) = self.may_still_dial(order).await? else {
                return Ok(None);
            };
            let again_at = self.now() + CHECK_AGAIN;
            let is_fresh = || {
                let now = self.now();
                now < again_at
                    && self.has_lease(tenant, now)
                    && self.n_halts.load(Ordering::SeqCst) == n_halts
                    && !self.closing.is_cancelled()
            };
            while is_fresh() {
                // A permit is taken only when it is used at once: waiting holds up nobody else.
                let permit = self.room_before(again_at).await;
                // Whoever stood still while waiting looks again.
                let Some(permit) = permit.filter(|_| is_fresh()) else {
                    continue;
                };
                match self.depart(&campaign) {
                    Ok(()) => return Ok(Some(permit)),
                    Err(at) => {
                        drop(permit);
                        self.wait_until(at.min(again_at)).await;
                    }
                }
            }
        }
    }

    /// Room for one more request, in the order of asking; none when there is none until `at`.
    async fn room_before(&self, at: Timestamp) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            permit = self.requests.acquire() => Some(permit.expect("nobody closes the semaphore")),
            () = self.wait_until(at) => None,
        }
    }

    /// Lets a request of that campaign leave now, or says when to try again.
    fn depart(&self, campaign: &Campaign) -> Result<(), Timestamp> {
        let keys = [
            LaneKey::TenantRate(campaign.tenant),
            LaneKey::CampaignRate(campaign.id),
            LaneKey::CampaignDelay(campaign.id),
        ];
        let paces = [
            Lane::of_rate(self.settings.tenant_limits.calls_per_second),
            Lane::of_rate(campaign.rate_at(self.now())),
            Lane::of_delay(campaign.pacing.call_delay),
        ];
        let mut state = self.carrier_state();
        let mut lanes: [Lane; 3] = std::array::from_fn(|n| {
            state
                .lanes
                .get(&keys[n])
                .map_or(paces[n], |lane| lane.at_pace_of(paces[n]))
        });
        pacing::depart(&mut lanes, self.now())?;
        state.lanes.extend(keys.into_iter().zip(lanes));
        Ok(())
    }

    /// The campaign, if the call may still go out by what is saved now (F-05).
    async fn may_still_dial(&self, order: &DialOrder) -> EngineResult<Option<Campaign>> {
        let tenant = order.planned.campaign.tenant;
        let id = order.request.attempt.enrollment;
        let mut known = order.planned.clone();
        loop {
            if !self
                .rules_still_allow(&known, order.request.attempt)
                .await?
            {
                return Ok(None);
            }
            // Last of all, because everything may have changed while the rules were asked.
            let (saved, halts) = tokio::try_join!(
                self.store.find_in_campaign(tenant, id),
                self.store.halts(tenant),
            )?;
            let Some(saved) = saved else {
                return Ok(None);
            };
            if halts.in_force().is_some() || !self.is_still_planned(order, &saved) {
                return Ok(None);
            }
            if saved.campaign.version == known.campaign.version {
                return Ok(Some(saved.campaign));
            }
            // Its rules may be others now.
            known = saved;
        }
    }

    /// Whether the call is still wanted, by what is saved.
    fn is_still_planned(&self, order: &DialOrder, saved: &InCampaign) -> bool {
        let attempt = order.request.attempt;
        let is_wanted = saved.enrollment.open_attempt().is_some_and(|open| {
            open.id == attempt
                && open.state == AttemptState::Reserved
                && open.facts.ended_by.is_none()
        });
        let now = self.now();
        let in_time = now <= order.dial_at + self.settings.send_window;
        // Who dispatched in between did not count this one: it may be one too many.
        let is_ours = order
            .fencing
            .is_some_and(|fencing| self.still_has_lease(saved.campaign.tenant, fencing, now))
            && !self.closing.is_cancelled();
        // A neighbour may have been refused since this was planned (F-22).
        let is_served = self.range_rests_until(&saved.enrollment, now).is_none();
        is_wanted
            && in_time
            && is_ours
            && is_served
            && saved.campaign.status == CampaignStatus::Active
    }

    /// Whether the rules allow the call by what is known now: somebody may have opted out since it was
    /// planned (F-71).
    async fn rules_still_allow(
        &self,
        known: &InCampaign,
        attempt: AttemptId,
    ) -> EngineResult<bool> {
        let InCampaign {
            enrollment,
            campaign,
        } = known;
        let now = self.now();
        let wide = self.tenant_wide(campaign.tenant).await?;
        let rules = self.rules_in_force(campaign, &wide, now).await?;
        let standing = self
            .standing(
                campaign,
                rules.rules.clone(),
                &wide,
                enrollment,
                now,
                Some(attempt),
            )
            .await?;
        let facts = standing.facts(campaign, enrollment, campaign.longest_ring());
        let judgement = rules::judge_dial(&facts, now);
        if let Some(rule) = judgement.decided_by() {
            info!(attempt_id = %attempt, rule = rule.name(), "call withheld by a rule");
        }
        Ok(judgement.verdict() == Verdict::Allowed)
    }

    async fn wait_until(&self, at: Timestamp) {
        let wait = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        tokio::select! {
            biased;
            () = self.clock.sleep(wait) => {}
            () = self.closing.cancelled() => {}
        }
    }

    async fn end_call(self: Arc<Self>, sid: CallSid) {
        for n in 1..=END_TRIES {
            match self.carrier.end(&sid).await {
                Ok(()) => {
                    info!(call_sid = %sid, "call ended at the carrier");
                    return;
                }
                Err(error) => warn!(%error, call_sid = %sid, "call not ended yet"),
            }
            let wait = Duration::from_millis(200) * 2_u32.pow(n);
            self.clock.sleep(wait).await;
        }
        error!(call_sid = %sid, "call could not be ended; asking the carrier again later");
    }

    /// Leaves something on a machine. What cannot be left is not waited for: the call is ended.
    async fn speak(self: Arc<Self>, sid: CallSid, speech: Speech) {
        match self.carrier.speak(&sid, &speech).await {
            Ok(()) => info!(call_sid = %sid, "message being left"),
            Err(error) => {
                warn!(%error, call_sid = %sid, "message not left; the call is ended");
                self.end_call(sid).await;
            }
        }
    }

    /// Has the carrier delete a recording, which may not be there yet.
    async fn delete_recording(self: Arc<Self>, recording: RecordingSid) {
        for wait in DELETES_AFTER {
            self.clock.sleep(wait).await;
            match self.carrier.delete_recording(&recording).await {
                Ok(()) => return info!(recording_sid = %recording, "recording deleted"),
                Err(error) => warn!(%error, recording_sid = %recording, "recording not deleted"),
            }
        }
        error!(recording_sid = %recording, "the carrier keeps a recording that is to be deleted");
    }

    /// Has a callee handed over. One that the carrier does not take stays with the agent.
    ///
    /// Boxed, because what follows from that might be another effect.
    fn transfer(
        self: Arc<Self>,
        tenant: TenantId,
        sid: CallSid,
        request: TransferRequest,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Err(error) = self.carrier.transfer(&sid, &request).await else {
                return;
            };
            warn!(%error, call_sid = %sid, "call not transferred");
            let attempt = request.attempt;
            let end = TransferEnd {
                result: TransferResult::Refused,
                talked: None,
            };
            let signal = Signal {
                sid: Some(sid),
                at: self.now(),
                kind: SignalKind::TransferEnded(end),
            };
            let input = Input::Told { attempt, signal };
            if let Err(error) = self.handle(tenant, attempt.enrollment, &input).await {
                warn!(%error, "a transfer that failed was not noted");
            }
        })
    }

    /// Takes a call back that is still queued. One that was answered meanwhile goes on.
    async fn withdraw_call(self: Arc<Self>, sid: CallSid) {
        if let Err(error) = self.carrier.cancel(&sid).await {
            warn!(%error, call_sid = %sid, "call not withdrawn; asking about it again later");
        }
    }

    /// A look at the records that may stand the campaign still. What it misses because the store is
    /// away, the next call that goes wrong brings up again.
    async fn watch(&self, campaign: &Campaign, look: impl Future<Output = EngineResult<()>>) {
        if let Err(error) = look.await {
            warn!(%error, campaign_id = %campaign.id, "calls that went wrong were not counted");
        }
    }

    /// Pauses a campaign because every call would fail alike. What was counted begins anew.
    pub(super) async fn stand_still(&self, campaign: &Campaign, reason: PauseReason) {
        warn!(campaign_id = %campaign.id, by = reason.name(), "campaign paused");
        self.note_accepted(campaign.id);
        self.carrier_state()
            .agent_failures_in_a_row
            .remove(&campaign.id);
        self.carrier_state().cautions.remove(&campaign.id);
        let pause = |current: &Campaign| Ok(current.paused_for(reason.clone(), self.now()));
        match self
            .change_campaign(campaign.tenant, campaign.id, pause)
            .await
        {
            Ok(_) | Err(EngineError::Store(StoreError::Conflict { .. })) => {}
            Err(error) => error!(%error, "campaign could not be paused"),
        }
    }

    fn note_agent_failed(&self, campaign: CampaignId) -> u32 {
        let mut state = self.carrier_state();
        let n = state.agent_failures_in_a_row.entry(campaign).or_default();
        *n += 1;
        *n
    }

    fn rest_carrier(&self, wait: Duration) {
        let until = self.now() + wait;
        let mut state = self.carrier_state();
        state.rest_until = state.rest_until.max(Some(until));
    }

    /// Until when no call may begin because the carrier asked for it.
    pub(super) fn rest_until(&self) -> Option<Timestamp> {
        self.carrier_state().rest_until
    }

    fn note_unclassified(&self, campaign: CampaignId) -> u32 {
        let mut state = self.carrier_state();
        let n = state.unclassified_in_a_row.entry(campaign).or_default();
        *n += 1;
        *n
    }

    fn note_unanswered(&self, campaign: CampaignId) -> u32 {
        let mut state = self.carrier_state();
        let n = state.unanswered_in_a_row.entry(campaign).or_default();
        *n += 1;
        *n
    }

    fn note_accepted(&self, campaign: CampaignId) {
        let mut state = self.carrier_state();
        state.unclassified_in_a_row.remove(&campaign);
        state.unanswered_in_a_row.remove(&campaign);
    }

    pub(super) fn carrier_state(&self) -> std::sync::MutexGuard<'_, super::CarrierState> {
        self.carrier_state
            .lock()
            .expect("no code panics while it holds the carrier's state")
    }
}

/// The reply without the callee's number, which carriers like to repeat: it would be kept and shown
/// where nobody looks for it.
fn without_number(reply: CarrierReply, to: &PhoneNumber) -> CarrierReply {
    match reply {
        CarrierReply::Refused(mut fault) => {
            fault.detail = fault.detail.replace(to.as_str(), "the number");
            CarrierReply::Refused(fault)
        }
        other => other,
    }
}

fn reply_of(placed: Result<CallSid, CarrierError>) -> CarrierReply {
    match placed {
        Ok(sid) => CarrierReply::Accepted(sid),
        Err(CarrierError::Refused(fault)) => {
            info!(
                code = fault.code,
                class = fault.class.name(),
                "carrier refused the call"
            );
            CarrierReply::Refused(fault)
        }
        Err(CarrierError::Throttled { wait }) => CarrierReply::Throttled { wait },
        Err(error @ CarrierError::Unreachable(_)) => {
            warn!(%error, "carrier cannot be reached");
            CarrierReply::Unreachable
        }
        Err(error @ CarrierError::Unknown(_)) => {
            warn!(%error, "carrier gave no usable answer");
            CarrierReply::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Fault, FaultClass};

    #[test]
    fn every_answer_of_a_carrier_becomes_a_reply() {
        let fault = Fault {
            class: FaultClass::Number,
            code: Some(1),
            detail: String::new(),
        };
        let wait = Duration::from_secs(1);
        let unreachable = CarrierError::Unreachable("down".into());
        let unknown = CarrierError::Unknown("time-out".into());
        assert_eq!(
            reply_of(Err(CarrierError::Refused(fault.clone()))),
            CarrierReply::Refused(fault.clone())
        );
        assert_eq!(
            reply_of(Err(CarrierError::Throttled { wait })),
            CarrierReply::Throttled { wait }
        );
        let named = |detail: &str| {
            CarrierReply::Refused(Fault {
                detail: detail.to_owned(),
                ..fault.clone()
            })
        };
        let to = "+12025550143".parse().unwrap();
        assert_eq!(
            without_number(named("+12025550143 is not valid"), &to),
            named("the number is not valid")
        );
        assert_eq!(reply_of(Err(unreachable)), CarrierReply::Unreachable);
        assert_eq!(reply_of(Err(unknown)), CarrierReply::Unknown);
    }
}
