//! Gives out dial starts: so many enrollments are claimed as limits and spacing allow.
//!
//! One process at a time does this for a tenant, so limits hold exactly. What is up is counted from
//! the saved attempts in every round; nothing is remembered between rounds but the leases.

use std::{
    cmp::{max, min},
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tracing::{error, info, warn};

use super::{Core, EngineError, EngineResult, decide::Input};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus, PauseReason},
        ids::TenantId,
        outcome::{Fault, FaultClass},
        pacing::{self, Gate, Usage},
    },
    store::{ClaimRequest, Fencing, StoreError},
};

/// The most dial starts of one campaign in one round, so that the others get their turn.
const MAX_STARTS: u32 = 100;

/// How soon to look again for people who are due and were passed over, because another campaign has
/// them on the phone.
const PASSED_OVER: Duration = Duration::from_millis(50);

/// How many claimed enrollments are saved at once.
const SAVES_AT_ONCE: usize = 32;

/// Rounds until the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        let now = core.now();
        let next = match step(&core, now).await {
            Ok(next) => next,
            Err(error) => {
                warn!(%error, "dispatch round failed; nothing was dialed");
                core.owns_all.store(false, Ordering::Relaxed);
                now + core.settings.idle_wait
            }
        };
        let wait = Duration::try_from(next.duration_since(core.now())).unwrap_or_default();
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.wake.notified() => {}
            () = core.clock.sleep(min(wait, core.settings.idle_wait)) => {}
        }
    }
}

/// One round over all tenants; says when the next is worth it.
async fn step(core: &Arc<Core>, now: Timestamp) -> EngineResult<Timestamp> {
    let mut next = now + core.settings.idle_wait;
    let mut owns_all = true;
    for tenant in core.store.list_tenants().await? {
        if core.closing.is_cancelled() {
            // Another process need not wait for the talks that end here.
            core.let_go(tenant).await;
            owns_all = false;
            continue;
        }
        // One tenant's trouble must not hold up the others.
        match step_tenant(core, tenant, now).await {
            Ok(Some(at)) => next = min(next, at),
            Ok(None) => owns_all = false,
            Err(error) => {
                warn!(%error, %tenant, "dispatch round failed; nothing more was dialed");
                owns_all = false;
            }
        }
    }
    core.owns_all.store(owns_all, Ordering::Relaxed);
    Ok(next)
}

/// One round for a tenant, if it is this process's to dispatch for.
async fn step_tenant(
    core: &Arc<Core>,
    tenant: TenantId,
    now: Timestamp,
) -> EngineResult<Option<Timestamp>> {
    let Some(fencing) = core.hold_lease(tenant, now).await? else {
        return Ok(None);
    };
    match dispatch_tenant(core, tenant, fencing, now).await {
        Ok(next) => Ok(Some(next)),
        Err(EngineError::Store(StoreError::LeaseLost { tenant })) => {
            warn!(%tenant, "another process dispatches for this tenant now");
            core.forget_lease(tenant);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One round for a tenant: every active campaign gets its share of what may begin.
async fn dispatch_tenant(
    core: &Arc<Core>,
    tenant: TenantId,
    fencing: Fencing,
    now: Timestamp,
) -> EngineResult<Timestamp> {
    let mut campaigns = core.store.active_campaigns(tenant).await?;
    let mut next = now + core.settings.idle_wait;
    if campaigns.is_empty() {
        return Ok(next);
    }
    let usage = core.store.usage(tenant).await?;
    let used = |campaign: &Campaign| usage.get(&campaign.id).copied().unwrap_or_default();
    // Whoever has waited longest comes first, so that campaigns share what the tenant may use.
    campaigns.sort_by_key(|campaign| used(campaign).last_start);
    let mut total = sum(usage.values());
    for campaign in &campaigns {
        let own = used(campaign);
        if own.n_open == 0 && complete_if_done(core, campaign).await? {
            continue;
        }
        if let Some(until) = core.rest_until().filter(|until| *until > now) {
            next = min(next, until);
            continue;
        }
        let gates = [
            Gate::of(&campaign.pacing, own),
            core.settings.tenant_limits.gate(total),
        ];
        let allowance = pacing::allow(&gates, now, core.settings.horizon, MAX_STARTS);
        let begun = begin(core, campaign, fencing, &allowance.starts, now).await?;
        if let Some(last) = begun.last() {
            total.n_open += u32::try_from(begun.len()).unwrap_or(u32::MAX);
            total.last_start = max(total.last_start, Some(*last));
        }
        if begun.len() < allowance.starts.len() {
            if let Some(due) = core.store.next_due(tenant, campaign.id).await? {
                next = min(next, max(due, now + PASSED_OVER));
            }
        } else if let Some(at) = allowance.look_again_at {
            // Starts lie up to the horizon ahead; the next must be given out before it comes.
            next = min(
                next,
                max(
                    now + Duration::from_millis(1),
                    at - core.settings.horizon / 2,
                ),
            );
        }
    }
    Ok(next)
}

fn sum<'a>(usages: impl Iterator<Item = &'a Usage>) -> Usage {
    usages.fold(Usage::default(), |total, usage| Usage {
        n_open: total.n_open + usage.n_open,
        last_start: max(total.last_start, usage.last_start),
    })
}

/// Claims as many enrollments as there are starts and opens an attempt for each. Gives back the
/// starts that were used.
async fn begin(
    core: &Arc<Core>,
    campaign: &Campaign,
    fencing: Fencing,
    starts: &[Timestamp],
    now: Timestamp,
) -> EngineResult<Vec<Timestamp>> {
    let Some(limit) = u32::try_from(starts.len()).ok().and_then(NonZeroU32::new) else {
        return Ok(Vec::new());
    };
    let Some(from) = campaign
        .caller_id
        .clone()
        .or_else(|| core.settings.caller_ids.first().cloned())
    else {
        no_caller_id(core, campaign).await?;
        return Ok(Vec::new());
    };
    let claimed = core
        .store
        .claim_due(&ClaimRequest {
            tenant: campaign.tenant,
            campaign: campaign.id,
            node: core.node,
            fencing,
            limit,
            lease: core.settings.claim,
            now,
        })
        .await?;
    let begun: Vec<Timestamp> = starts.iter().copied().take(claimed.len()).collect();
    stream::iter(claimed.into_iter().zip(begun.iter().copied()))
        .for_each_concurrent(SAVES_AT_ONCE, |(enrollment, dial_at)| {
            let input = Input::Claimed { dial_at, from: from.clone() };
            async move {
                if !core.has_lease(enrollment.tenant, core.now()) {
                    // This process was held up; the claim ends by itself.
                    return;
                }
                if let Err(error) = core.decide_and_save(&enrollment, &input).await {
                    warn!(%error, enrollment_id = %enrollment.id, "claim not used; it ends by itself");
                }
            }
        })
        .await;
    Ok(begun)
}

/// Stands a campaign still that has no number to call from.
async fn no_caller_id(core: &Arc<Core>, campaign: &Campaign) -> EngineResult<()> {
    let fault = Fault {
        class: FaultClass::CallerNumber,
        code: None,
        detail:
            "there is no number to call from: give the campaign a callerId, or the installation \
                 a phone number"
                .to_owned(),
    };
    error!(campaign_id = %campaign.id, "campaign has no number to call from");
    let pause = |current: &Campaign| {
        Ok(current.paused_for(PauseReason::Carrier(fault.clone()), core.now()))
    };
    core.change_campaign(campaign.tenant, campaign.id, pause)
        .await?;
    Ok(())
}

/// Completes a campaign that has nothing open and nothing waiting; true when it has.
async fn complete_if_done(core: &Arc<Core>, campaign: &Campaign) -> EngineResult<bool> {
    if core
        .store
        .next_due(campaign.tenant, campaign.id)
        .await?
        .is_some()
    {
        return Ok(false);
    }
    let progress = core.store.progress(campaign.tenant, campaign.id).await?;
    if !progress.is_done() {
        return Ok(false);
    }
    complete(core, campaign).await?;
    Ok(true)
}

/// Completes a campaign in which nothing is open and nothing can be scheduled, unless it changed
/// since it was read.
async fn complete(core: &Arc<Core>, campaign: &Campaign) -> EngineResult<()> {
    let completed = campaign.with_status(CampaignStatus::Completed, core.now());
    match core.save_campaign(completed).await {
        Ok(_) => info!(campaign_id = %campaign.id, "campaign completed"),
        Err(EngineError::Store(StoreError::Conflict { .. })) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
