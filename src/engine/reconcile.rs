//! Calls that the carrier made and the records do not know: those since a backup that was restored, and
//! those of the original since it was copied (F-95).
//!
//! Until they are on record nothing can be started or resumed, because whoever was called since would
//! be called again. Runs on every node that took the records into use and may run twice: whoever was
//! given a call by another node has changed since this one looked.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{Core, EngineError, EngineResult, decide::Input, recover::CLOCK_SKEW};
use crate::{
    domain::{
        campaign::CampaignStatus,
        enrollment::{Enrollment, EnrollmentState},
        ids::TenantId,
    },
    store::Deployment,
    telephony::ListedCall,
};

/// How often the carrier is asked until every call is on record.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long after the records were taken into use the carrier may still not list the last calls of
/// before.
const LISTING_DELAY: Duration = Duration::from_secs(10);

/// Who may have been meant by a call.
enum Callee {
    /// Nobody who waits to be called.
    Nobody,
    /// Somebody with an open attempt, which may be this very call.
    Busy,
    /// Somebody who waits.
    Waiting(Box<Enrollment>),
}

/// Goes on until every call is on record, or the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        match step(&core).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => warn!(%error, "not every call is on record yet"),
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.clock.sleep(ASK_EVERY) => {}
        }
    }
}

/// Whether the records know every call, after what was missing was added.
async fn step(core: &Arc<Core>) -> EngineResult<bool> {
    let Some(kept) = core.store.deployment().await? else {
        return Ok(true);
    };
    let Some(since) = kept.calls_missing_since else {
        return Ok(true);
    };
    let mut is_complete = core.now() >= kept.since + LISTING_DELAY;
    let calls = match core.carrier.calls_since(since - CLOCK_SKEW).await {
        Ok(calls) => calls,
        Err(error) => {
            warn!(%error, "the carrier does not say which calls it made");
            return Ok(false);
        }
    };
    for call in &calls {
        is_complete &= core.put_on_record(call).await?;
    }
    if is_complete {
        info!(n_calls = calls.len(), %since, "every call that the carrier made is on record");
        let known = Deployment {
            calls_missing_since: None,
            ..kept
        };
        core.store.save_deployment(&known).await?;
    }
    // It is read again: a process that notes the time may have saved what it read before.
    Ok(false)
}

impl Core {
    /// Fails while calls may have been made that the records do not know.
    pub(super) async fn demand_known_calls(&self) -> EngineResult<()> {
        let kept = self.store.deployment().await?;
        if kept.is_none_or(|kept| kept.calls_missing_since.is_none()) {
            return Ok(());
        }
        Err(EngineError::NotYet(
            "the carrier is still asked which calls it made that these records do not know; try again \
             in some seconds",
        ))
    }

    /// Gives a call that no record knows to whoever waited for it; false while it cannot be told.
    async fn put_on_record(self: &Arc<Self>, call: &ListedCall) -> EngineResult<bool> {
        let tenants = self.store.list_tenants().await?;
        let mut callee = Callee::Nobody;
        for tenant in &tenants {
            callee = match (callee, self.callee_of(*tenant, call).await?) {
                (Callee::Busy, _) | (_, Callee::Busy) => Callee::Busy,
                (Callee::Waiting(one), _) => Callee::Waiting(one),
                (Callee::Nobody, other) => other,
            };
        }
        // After the callee was read: whoever is given the call meanwhile is not as read any more.
        for tenant in &tenants {
            let known = self
                .store
                .find_call_by_sid(*tenant, &call.report.sid)
                .await?;
            if known.is_some() {
                return Ok(true);
            }
        }
        match callee {
            Callee::Nobody => Ok(true),
            Callee::Busy => Ok(false),
            Callee::Waiting(enrollment) => {
                info!(call_sid = %call.report.sid, enrollment_id = %enrollment.id, "a call that was not on record");
                let input = Input::Called {
                    version: enrollment.version,
                    sid: call.report.sid.clone(),
                    from: call.from.clone(),
                    at: call.report.created_at.unwrap_or_else(|| self.now()),
                };
                self.handle(enrollment.tenant, enrollment.id, &input)
                    .await?;
                // How it went is looked up; then a further call may be theirs too.
                Ok(false)
            }
        }
    }

    /// Who was called. The carrier does not say for which campaign: of several that may still call the
    /// person, the one whose turn was first.
    async fn callee_of(&self, tenant: TenantId, call: &ListedCall) -> EngineResult<Callee> {
        let mut first: Option<(bool, crate::domain::Timestamp, Enrollment)> = None;
        for enrollment in self.store.enrollments_with(tenant, &call.to).await? {
            let campaign = self
                .store
                .find_campaign(tenant, enrollment.campaign)
                .await?;
            let Some(campaign) = campaign.filter(|it| !it.status.is_final()) else {
                continue;
            };
            match enrollment.state {
                EnrollmentState::Waiting { due_at, .. } => {
                    let turn = (campaign.status == CampaignStatus::Draft, due_at);
                    let is_first = first
                        .as_ref()
                        .is_none_or(|(is_draft, due_at, _)| turn < (*is_draft, *due_at));
                    if is_first {
                        first = Some((turn.0, turn.1, enrollment));
                    }
                }
                _ if enrollment.open_attempt().is_some() => return Ok(Callee::Busy),
                _ => {}
            }
        }
        Ok(first.map_or(Callee::Nobody, |(_, _, enrollment)| {
            Callee::Waiting(Box::new(enrollment))
        }))
    }
}
