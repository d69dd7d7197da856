//! Recordings, which the carrier keeps: listened to, and deleted when they are as old as the campaign
//! keeps them, or with a person's data.
//!
//! What is too old is found by the records, round by round, until the carrier has deleted it and that is
//! on record: neither a restart nor a carrier that fails keeps a recording that is known.

use std::{num::NonZeroU16, sync::Arc};

use futures_util::{StreamExt as _, stream};
use tracing::{info, warn};

use super::{Core, Engine, EngineError, EngineResult};
use crate::{
    domain::{
        Timestamp,
        attempt::Attempt,
        enrollment::CallRecord,
        event::Moment,
        ids::{AttemptId, CampaignId, RecordingSid, TenantId},
    },
    store::{CallFilter, CampaignFilter, PageRequest},
    telephony::RecordedAudio,
};

/// How many records are taken at once.
const BATCH: u32 = 200;

/// How many recordings are being deleted at once: few, because hang-ups go the same way.
const DELETIONS_AT_ONCE: usize = 2;

impl Engine {
    /// Opens a call's recording; `range` is what the reader asked for, in the words of HTTP's `Range`, of
    /// which the carrier may make nothing.
    ///
    /// - Errors: [`EngineError::NotFound`] for a call that is not there or has no recording;
    ///   [`EngineError::Gone`] for one that was deleted; [`EngineError::NotYet`] while the carrier does not
    ///   have it ready; [`EngineError::Carrier`].
    pub async fn recording(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        range: Option<&str>,
    ) -> EngineResult<RecordedAudio> {
        let call = self.core.store.find_call(tenant, attempt).await?;
        let call = call.ok_or(EngineError::NotFound { what: "call" })?;
        let recording = call.attempt.facts.recording;
        let recording = recording.ok_or(EngineError::NotFound { what: "recording" })?;
        if recording.deleted_at.is_some() {
            return Err(EngineError::Gone(
                "the recording was older than the campaign keeps recordings, and was deleted",
            ));
        }
        let audio = self.core.carrier.recording(&recording.sid, range).await?;
        audio.ok_or(EngineError::NotYet(
            "the carrier has the recording not ready yet, or no longer",
        ))
    }
}

/// Deletes what is too old until the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        if let Err(error) = step(&core).await {
            warn!(%error, "old recordings not looked for yet");
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.clock.sleep(core.settings.retention) => {}
        }
    }
}

/// One round over all tenants that this process dispatches for.
async fn step(core: &Arc<Core>) -> EngineResult<()> {
    for tenant in core.store.list_tenants().await? {
        if core.has_lease(tenant, core.now()) {
            // One tenant's trouble must not hold up the others.
            if let Err(error) = core.delete_old_recordings(tenant).await {
                warn!(%error, %tenant, "old recordings of a tenant not looked for yet");
            }
        }
    }
    Ok(())
}

impl Core {
    /// Has the carrier delete the recordings of calls.
    pub(super) async fn delete_recordings(&self, calls: &[CallRecord]) -> EngineResult<()> {
        for call in calls {
            if let Some(recording) = call.attempt.facts.kept_recording() {
                self.carrier.delete_recording(&recording.sid).await?;
            }
        }
        Ok(())
    }

    /// Goes by the campaigns as they are now: a changed setting holds for what was recorded before, and a
    /// deleted campaign keeps nothing longer.
    async fn delete_old_recordings(&self, tenant: TenantId) -> EngineResult<()> {
        let filter = CampaignFilter {
            with_deleted: true,
            ..CampaignFilter::default()
        };
        let mut page = PageRequest::first(BATCH);
        loop {
            let campaigns = self.store.list_campaigns(tenant, &filter, &page).await?;
            for campaign in campaigns.items {
                if let Some(days) = campaign.recording_days() {
                    let deleted = self.delete_older(tenant, campaign.id, days).await;
                    if let Err(error) = deleted {
                        warn!(%error, campaign_id = %campaign.id, "old recordings not deleted yet");
                    }
                }
            }
            if campaigns.next.is_none() {
                return Ok(());
            }
            page.cursor = campaigns.next;
        }
    }

    /// Deletes a campaign's recordings that are as old as that, or older. One that the carrier does not
    /// delete holds up no other.
    async fn delete_older(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        days: NonZeroU16,
    ) -> EngineResult<()> {
        let age = self.settings.timing.day * u32::from(days.get());
        let filter = CallFilter {
            campaign: Some(campaign),
            recorded_by: Some(self.now() - age),
            ..CallFilter::default()
        };
        let mut page = PageRequest::first(BATCH);
        loop {
            let old = self.store.list_calls(tenant, &filter, &page).await?;
            stream::iter(old.items)
                .for_each_concurrent(DELETIONS_AT_ONCE, |call| async move {
                    let id = call.attempt.id;
                    if let Err(error) = self.delete_old(call).await {
                        warn!(%error, attempt_id = %id, "old recording not deleted yet");
                    }
                })
                .await;
            if old.next.is_none() || self.stopped.is_cancelled() {
                return Ok(());
            }
            page.cursor = old.next;
        }
    }

    /// The carrier first: what is on record as deleted is gone.
    async fn delete_old(&self, call: CallRecord) -> EngineResult<()> {
        let Some(recording) = call.attempt.facts.kept_recording() else {
            return Ok(());
        };
        let deleting = self.carrier.delete_recording(&recording.sid);
        // Nobody waits for the carrier to end: it is asked again.
        match self.stopped.run_until_cancelled(deleting).await {
            Some(deleted) => deleted?,
            None => return Ok(()),
        }
        let now = self.now();
        self.amend(call.tenant, call.attempt.id, |attempt| {
            without_recording(attempt, &recording.sid, now)
        })
        .await?;
        info!(attempt_id = %call.attempt.id, "old recording deleted");
        Ok(())
    }
}

/// The attempt with that recording as deleted; none where it is not kept any more.
fn without_recording(
    attempt: &Attempt,
    deleted: &RecordingSid,
    now: Timestamp,
) -> Option<(Attempt, Option<Moment>)> {
    attempt
        .facts
        .kept_recording()
        .filter(|kept| kept.sid == *deleted)?;
    let mut attempt = attempt.clone();
    attempt.facts.recording.as_mut()?.deleted_at = Some(now);
    Some((attempt, Some(Moment::RecordingDeleted)))
}
