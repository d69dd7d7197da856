//! What stands a campaign still by itself: too many calls that fail, too many people who hear nobody.
//!
//! Looked at after a call that went wrong, from the records alone: so every process comes to the same
//! result, and a restart forgets nothing.

use std::{
    num::NonZeroU32,
    sync::{Arc, PoisonError},
};

use futures_util::future::BoxFuture;
use tracing::{info, warn};

use super::{Core, EngineResult, decide::Input};
use crate::{
    domain::{
        Timestamp,
        breaker::{self, CallResult, Cause, Trip},
        campaign::{Brake, Campaign, PauseReason},
        enrollment::{CallRecord, Enrollment},
        ids::CampaignId,
        outcome::Outcome,
        quality::{self, Quality, QualityCounts},
        ranges::{self, RangeRest},
    },
    store::CallTotals,
};

/// How many calls are looked at for refused destinations and rows of refused numbers.
const RECENT: NonZeroU32 = NonZeroU32::new(50).expect("50 is not zero");

impl Core {
    /// After a call that ended badly: whether too many did.
    pub(super) async fn watch_failures(&self, campaign: &Campaign) -> EngineResult<()> {
        let policy = &campaign.policy.breakers;
        let Some(window) = NonZeroU32::new(policy.longest_window()) else {
            return Ok(());
        };
        let results = self.recent_results(campaign, window).await?;
        if let Some(trip) = breaker::judge(&results, policy) {
            self.brake(campaign, brake_of(&trip), trip.detail()).await;
        } else if let Some(most) = breaker::caution(&results, policy) {
            self.carrier_state().cautions.insert(campaign.id, most);
        }
        Ok(())
    }

    /// After a call that somebody answered and heard nobody: whether too many did (F-73).
    pub(super) async fn watch_quality(&self, campaign: &Campaign) -> EngineResult<()> {
        let limit = &campaign.policy.silent_limit;
        let since = counted_since(campaign, self.now());
        let totals = self
            .store
            .call_totals(campaign.tenant, campaign.id, since)
            .await?;
        let counts = counts_of(&totals);
        match quality::judge(&counts, limit) {
            Quality::Fine => {}
            Quality::Warn => warn!(
                campaign_id = %campaign.id,
                permille = counts.permille(),
                "people who answer hear nobody too often"
            ),
            Quality::Stop => {
                let detail = format!(
                    "{} of {} people who answered heard nobody within two seconds",
                    counts.n_abandoned + counts.n_silent,
                    counts.n_answered_live
                );
                self.brake(campaign, Brake::SilentCalls, detail).await;
            }
        }
        Ok(())
    }

    /// After a number that the carrier refused: whether it is the account that it refuses (F-23).
    ///
    /// The contacts of the whole row are given back.
    ///
    /// Boxed, because giving a contact back is a decision, and a decision may ask for this.
    pub(super) fn watch_refusals(self: Arc<Self>, campaign: Campaign) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Err(error) = self.give_back_refused(&campaign).await {
                warn!(%error, campaign_id = %campaign.id, "refused numbers were not looked at");
            }
        })
    }

    async fn give_back_refused(self: &Arc<Self>, campaign: &Campaign) -> EngineResult<()> {
        let recent = self
            .store
            .recent_calls(campaign.tenant, campaign.id, RECENT)
            .await?;
        let hears_since = self.hears_since();
        let results = results_of(campaign, &recent, hears_since);
        let Some(fault) = ranges::account_behind(&results) else {
            return Ok(());
        };
        let code = fault.code;
        self.stand_still(campaign, PauseReason::Carrier(fault))
            .await;
        // Longer than it had to be, where several were refused at once.
        let row = recent
            .iter()
            .filter_map(|record| Some((record, result_of(campaign, record, hears_since)?)))
            .take_while(|(_, result)| has_code(result, code));
        for (record, _) in row {
            let input = Input::NotAtFault {
                attempt: record.attempt.id,
            };
            let enrollment = record.attempt.id.enrollment;
            self.handle(campaign.tenant, enrollment, &input).await?;
        }
        Ok(())
    }

    /// After a destination that the carrier does not serve: which ranges rest, and until when (F-22).
    pub(super) async fn watch_destinations(&self, campaign: &Campaign) -> EngineResult<()> {
        let results = self.recent_results(campaign, RECENT).await?;
        let resting = ranges::resting(&results, &RangeRest::default(), self.now());
        for rest in &resting {
            info!(campaign_id = %campaign.id, until = %rest.until, "a range of numbers rests");
        }
        self.carrier_state()
            .resting_ranges
            .insert(campaign.id, resting);
        Ok(())
    }

    /// How many calls the campaign may have open while answered ones get no agent; none when they do.
    pub(super) fn caution(&self, campaign: CampaignId) -> Option<u32> {
        self.carrier_state().cautions.get(&campaign).copied()
    }

    /// Until when nobody is called whose number is like this one; none when they are.
    pub(super) fn range_rests_until(
        &self,
        enrollment: &Enrollment,
        at: Timestamp,
    ) -> Option<Timestamp> {
        let phone = enrollment.phone.known()?;
        let state = self.carrier_state();
        let resting = state.resting_ranges.get(&enrollment.campaign)?;
        resting
            .iter()
            .filter(|rest| rest.until > at && rest.range.covers(phone))
            .map(|rest| rest.until)
            .max()
    }

    async fn recent_results(
        &self,
        campaign: &Campaign,
        limit: NonZeroU32,
    ) -> EngineResult<Vec<CallResult>> {
        let recent = self
            .store
            .recent_calls(campaign.tenant, campaign.id, limit)
            .await?;
        Ok(results_of(campaign, &recent, self.hears_since()))
    }

    /// Callbacks before now may have been lost on our side: this process began, or the store was away.
    pub(super) fn could_not_hear(&self) {
        *self
            .hears_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.now();
    }

    fn hears_since(&self) -> Timestamp {
        *self
            .hears_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn brake(&self, campaign: &Campaign, brake: Brake, detail: String) {
        self.stand_still(campaign, PauseReason::Brake { brake, detail })
            .await;
    }
}

/// From which dial start on calls count against the limit on silent ones: those since the campaign last
/// became active, as far back as the limit looks. Whoever resumed it has seen what was before.
fn counted_since(campaign: &Campaign, now: Timestamp) -> Timestamp {
    let farthest = now - campaign.policy.silent_limit.over;
    campaign
        .active_since
        .map_or(farthest, |since| since.max(farthest))
}

/// What came of calls since the campaign last became active: whoever resumed it has seen what was
/// before.
fn results_of(
    campaign: &Campaign,
    recent: &[CallRecord],
    hears_since: Timestamp,
) -> Vec<CallResult> {
    recent
        .iter()
        .filter_map(|call| result_of(campaign, call, hears_since))
        .collect()
}

/// That the end of a call had to be asked for says nothing about the carrier's callbacks when they
/// could not be taken: the call began before `hears_since`.
fn result_of(campaign: &Campaign, call: &CallRecord, hears_since: Timestamp) -> Option<CallResult> {
    let since = campaign.active_since.unwrap_or(Timestamp::MIN);
    let attempt = &call.attempt;
    let was_told_nothing = attempt.facts.was_looked_up && attempt.dial_at >= hears_since;
    CallResult::of(attempt, was_told_nothing).filter(|result| result.at >= since)
}

fn has_code(result: &CallResult, code: Option<u32>) -> bool {
    matches!(&result.outcome, Outcome::Failed(fault) if fault.code == code)
}

fn brake_of(trip: &Trip) -> Brake {
    match trip.cause {
        Cause::Carrier => Brake::CarrierFailures,
        Cause::Agent => Brake::AgentFailures,
        Cause::Callbacks => Brake::MissingCallbacks,
    }
}

fn counts_of(totals: &CallTotals) -> QualityCounts {
    QualityCounts {
        n_answered_live: totals.n_answered,
        n_abandoned: totals.n_abandoned,
        n_silent: totals.n_silent,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::campaign::{CampaignAction, CampaignStatus, tests};

    // proves F-73
    #[test]
    fn silent_calls_count_from_the_last_resume() {
        let hours = |n: u64| Duration::from_secs(3600 * n);
        let after = |campaign: &Campaign, action, at| campaign.after(action, at).unwrap();
        let draft = tests::campaign(CampaignStatus::Draft);
        let over = draft.policy.silent_limit.over;
        let started_at = tests::NOW;
        let started = after(&draft, CampaignAction::Start, started_at);
        assert_eq!(counted_since(&started, started_at + hours(1)), started_at);
        let long_after = started_at + over + hours(1);
        assert_eq!(counted_since(&started, long_after), started_at + hours(1));
        let paused = after(&started, CampaignAction::Pause, started_at + hours(1));
        let resumed_at = started_at + hours(2);
        let resumed = after(&paused, CampaignAction::Resume, resumed_at);
        assert_eq!(counted_since(&resumed, resumed_at + hours(3)), resumed_at);
    }
}
