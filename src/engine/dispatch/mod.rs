//! Gives out dial starts: so many enrollments are claimed as limits and spacing allow.
//!
//! One process at a time does this for a tenant, so limits hold exactly. What is up is counted from
//! the saved attempts in every round; nothing is remembered between rounds but the leases.

mod begin;
mod line;
mod schedule;

use std::{
    cmp::{max, min},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use jiff::SignedDuration;
use tracing::{info, warn};

use line::{Line, Ready};

use super::{Core, EngineError, EngineResult, TenantLimits, rules::TenantWide};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus},
        fairness::{self, Demand},
        ids::TenantId,
        pacing::{self, Gate, Usage},
    },
    store::{Fencing, StoreError},
};

/// The most dial starts of one campaign in one round, so that the others get their turn.
const MAX_STARTS: u32 = 250;

/// The farthest ahead that dial starts are given out, however long rounds take: a pause and new limits
/// act sooner than a second.
const LONGEST_HORIZON: Duration = Duration::from_millis(900);

/// Rounds until the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        let now = core.now();
        let stepped = step(&core, now).await;
        core.note_round(core.now().duration_since(now));
        let next = match stepped {
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

impl Core {
    /// How far ahead dial starts are given out. Where rounds take long it is farther, so that starts do
    /// not run out before the next round has more.
    fn horizon(&self) -> Duration {
        let wanted = self.round_time() * 3;
        max(self.settings.horizon, min(wanted, LONGEST_HORIZON))
    }

    /// Remembers how long a round took; the time of a long one wears off.
    fn note_round(&self, took: SignedDuration) {
        let mut round_time = self
            .round_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *round_time = max(took.unsigned_abs(), *round_time * 7 / 8);
    }

    fn round_time(&self) -> Duration {
        *self
            .round_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
    mut fencing: Fencing,
    now: Timestamp,
) -> EngineResult<Timestamp> {
    let (campaigns, mut next) = schedule::keep(core, tenant, now).await?;
    let halts = core.store.halts(tenant).await?;
    if halts.in_force().is_some() {
        core.clear_lines(tenant, halts.end_talks()).await?;
        return Ok(next);
    }
    if campaigns.is_empty() {
        return Ok(next);
    }
    let usage = core.store.usage(tenant).await?;
    let wide = core.tenant_wide(tenant).await?;
    let mut total = sum(usage.values());
    let mut lines = Vec::with_capacity(campaigns.len());
    for campaign in campaigns {
        let own = usage.get(&campaign.id).copied().unwrap_or_default();
        if own.n_open == 0 && complete_if_done(core, &campaign).await? {
            continue;
        }
        match Line::of(core, campaign, own, &wide.holidays, now).await? {
            Line::Ready(ready) => lines.push(ready),
            Line::NotBefore(at) => next = min(next, at.unwrap_or(next)),
        }
    }
    for (line, most) in in_turn(core, tenant, &lines, total, now).await? {
        if core.closing.is_cancelled() {
            // The lease is to be given back now, not after a long round.
            return Ok(now);
        }
        // A round over many campaigns may take longer than the lease lasts. One that ran out and was
        // taken again has the next number: nobody else had it in between.
        let now = core.now();
        fencing = match core.hold_lease(tenant, now).await? {
            Some(held) if held.0 <= fencing.0 + 1 => held,
            _ => return Err(StoreError::LeaseLost { tenant }.into()),
        };
        let round = Round {
            limits: &core.settings.tenant_limits,
            fencing,
            wide: &wide,
            total,
            most,
            now,
        };
        let begun = begin::begin(core, line, &round).await?;
        total.n_open += begun.n;
        total.last_start = max(total.last_start, begun.last_start);
        next = min(next, begun.look_again_at.unwrap_or(next));
    }
    Ok(next)
}

/// What one campaign's turn in a round goes by.
struct Round<'a> {
    /// What the tenant may use.
    limits: &'a TenantLimits,
    fencing: Fencing,
    /// What the tenant has set for all its campaigns.
    wide: &'a TenantWide,
    /// What the whole tenant uses, the turns before included.
    total: Usage,
    /// The most that may begin.
    most: u32,
    now: Timestamp,
}

impl Round<'_> {
    /// The tenant's limits, with what is used of them.
    fn limits(&self) -> impl Iterator<Item = Gate> {
        let limits = self.limits.gates(self.total);
        limits.into_iter().map(|(_, gate)| gate)
    }
}

/// The campaigns in the order of their turns, each with how many calls it may begin now.
///
/// One campaign alone takes what there is. Several share by their priorities: open calls by what each
/// has, dial starts by who began how many of late.
async fn in_turn<'a>(
    core: &Core,
    tenant: TenantId,
    lines: &'a [Ready],
    total: Usage,
    now: Timestamp,
) -> EngineResult<Vec<(&'a Ready, u32)>> {
    if let [line] = lines {
        return Ok(vec![(line, MAX_STARTS)]);
    }
    let limits = core.settings.tenant_limits.gates(total);
    let limits: Vec<Gate> = limits.into_iter().map(|(_, gate)| gate).collect();
    let room = limits.iter().map(Gate::room).min().unwrap_or(0);
    let room = room.min(MAX_STARTS);
    let mut demands: Vec<Demand> = lines
        .iter()
        .map(|line| Demand {
            campaign: line.campaign.id,
            priority: line.campaign.policy.priority,
            n_wanted: line.n_wanted(core.horizon(), now),
            n_open: line.own.n_open,
        })
        .collect();
    let shares = fairness::share(&demands, room);
    for (demand, share) in demands.iter_mut().zip(shares) {
        demand.n_wanted = share;
    }
    let n_starts = pacing::allow(&limits, now, core.horizon(), MAX_STARTS)
        .starts
        .len();
    let past = core.past_starts(tenant).await?;
    let turns = fairness::turns(&demands, &past, u32::try_from(n_starts).unwrap_or(u32::MAX));
    let mut in_turn: Vec<(&Ready, u32)> = Vec::new();
    for campaign in turns {
        match in_turn
            .iter_mut()
            .find(|(line, _)| line.campaign.id == campaign)
        {
            Some((_, most)) => *most += 1,
            None => in_turn.extend(
                lines
                    .iter()
                    .filter(|line| line.campaign.id == campaign)
                    .map(|line| (line, 1)),
            ),
        }
    }
    Ok(in_turn)
}

fn sum<'a>(usages: impl Iterator<Item = &'a Usage>) -> Usage {
    usages.fold(Usage::default(), |total, usage| Usage {
        n_open: total.n_open + usage.n_open,
        last_start: max(total.last_start, usage.last_start),
    })
}

/// Completes a campaign that has nothing open and nothing waiting; true when it has.
async fn complete_if_done(core: &Arc<Core>, campaign: &Campaign) -> EngineResult<bool> {
    if core
        .store
        .next_due(campaign.tenant, campaign.id, None)
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
