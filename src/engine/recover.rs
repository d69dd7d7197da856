//! Finds out what became of attempts without news, and of signals that nobody processed.
//!
//! Runs on every node and may run twice: every step is repeatable.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tracing::{info, warn};

use super::{
    Core, EngineResult,
    decide::{Finding, Input},
};
use crate::{
    domain::{Timestamp, attempt::Attempt, enrollment::Enrollment, ids::TenantId},
    telephony::CallReport,
};

/// How much of each kind one sweep takes.
const BATCH: NonZeroU32 = NonZeroU32::new(200).expect("200 is not zero");

/// How many questions to the carrier are under way at once.
const LOOKS_AT_ONCE: usize = 8;

/// How long a signal may wait for its worker before the sweep takes it.
const SIGNAL_PATIENCE: Duration = Duration::from_secs(3);

/// How long the keys of processed signals are kept, to recognise repeats.
const KEY_MEMORY: Duration = Duration::from_secs(2 * 24 * 3600);

/// How often old keys are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How much earlier than our request the carrier's clock may date the call.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(10);

/// Sweeps until the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    let mut forget_at = core.now() + FORGET_EVERY;
    while !core.stopped.is_cancelled() {
        let now = core.now();
        if let Err(error) = step(&core, now).await {
            warn!(%error, "sweep failed; the next one does its work");
        }
        if now >= forget_at {
            forget_at = now + FORGET_EVERY;
            if let Err(error) = forget(&core, now).await {
                warn!(%error, "old signals not forgotten yet");
            }
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.clock.sleep(core.settings.sweep) => {}
        }
    }
}

/// One sweep over all tenants.
async fn step(core: &Arc<Core>, now: Timestamp) -> EngineResult<()> {
    for tenant in core.store.list_tenants().await? {
        let waiting = core
            .store
            .unsettled(tenant, now - SIGNAL_PATIENCE, BATCH)
            .await?;
        for entry in waiting {
            // One that cannot be processed must not hold up the others.
            if let Err(error) = core.process(&entry).await {
                warn!(%error, attempt_id = %entry.attempt, "signal not processed yet");
            }
        }
        let overdue = core.store.overdue(tenant, now, BATCH).await?;
        stream::iter(overdue)
            .for_each_concurrent(LOOKS_AT_ONCE, |enrollment| async move {
                if core.stopped.is_cancelled() {
                    return;
                }
                if let Err(error) = look_up(core, &enrollment).await {
                    warn!(%error, enrollment_id = %enrollment.id, "call not looked up yet");
                }
            })
            .await;
    }
    Ok(())
}

async fn forget(core: &Arc<Core>, now: Timestamp) -> EngineResult<()> {
    for tenant in core.store.list_tenants().await? {
        core.store.forget_settled(tenant, now - KEY_MEMORY).await?;
    }
    Ok(())
}

/// Asks the carrier about the open attempt and lets the answer happen.
async fn look_up(core: &Arc<Core>, enrollment: &Enrollment) -> EngineResult<()> {
    let Some(attempt) = enrollment.open_attempt() else {
        return Ok(());
    };
    let finding = match ask(core, enrollment.tenant, attempt).await? {
        Ok(Some(report)) => Finding::Found {
            sid: report.sid,
            status: report.status,
            answered_by: report.answered_by,
        },
        Ok(None) => Finding::Absent,
        Err(error) => {
            warn!(%error, attempt_id = %attempt.id, "carrier cannot be asked about a call");
            Finding::Unanswered
        }
    };
    info!(attempt_id = %attempt.id, ?finding, "call looked up");
    let input = Input::LookedUp {
        attempt: attempt.id,
        version: enrollment.version,
        finding,
    };
    core.handle(enrollment.tenant, enrollment.id, &input).await
}

type Answer = Result<Option<CallReport>, crate::telephony::CarrierError>;

/// What the carrier knows of the attempt's call: by its name, else by who called whom and when.
async fn ask(core: &Core, tenant: TenantId, attempt: &Attempt) -> EngineResult<Answer> {
    if let Some(sid) = attempt.state.sid() {
        return Ok(core.carrier.fetch(sid).await);
    }
    let since = attempt.dial_at - CLOCK_SKEW;
    // Nobody is erased while a call is open.
    let Some(to) = attempt.to.known() else {
        return Ok(Ok(None));
    };
    let reports = match core.carrier.find(to, &attempt.from, since).await {
        Ok(reports) => reports,
        Err(error) => return Ok(Err(error)),
    };
    for report in reports {
        let known = core.store.find_call_by_sid(tenant, &report.sid).await?;
        if known.is_none_or(|call| call.attempt.id == attempt.id) {
            return Ok(Ok(Some(report)));
        }
    }
    Ok(Ok(None))
}
