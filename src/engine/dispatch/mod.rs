//! Gives out dial starts: so many enrollments are claimed as limits and spacing allow.
//!
//! One process at a time does this for a tenant, so limits hold exactly. What is up is counted from
//! the saved attempts in every round; nothing is remembered between rounds but the leases.

mod begin;
mod line;
mod planned;
mod schedule;

use std::{
    cmp::{max, min},
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use jiff::SignedDuration;
use tracing::{info, warn};

use begin::{Begun, LookAgain};
use line::{Line, Ready};
pub(super) use planned::PlannedStarts;

use super::{Core, EngineError, EngineResult, TenantLimits, perform::CHECK_AGAIN};
use crate::{
    domain::{
        Timestamp,
        campaign::{Campaign, CampaignStatus},
        fairness::{self, Demand},
        ids::TenantId,
        pacing::{self, Gate, Usage},
    },
    store::{Fencing, Outlook, StoreError, TenantRules},
};

/// The most dial starts of one campaign in one round, so that the others get their turn.
const MAX_STARTS: u32 = 250;

/// The farthest ahead that dial starts are given out, however long rounds take: a pause and new limits
/// act sooner than a second.
const LONGEST_HORIZON: Duration = Duration::from_millis(900);

/// The least time to the next round for spacing alone.
const STEP: Duration = Duration::from_millis(1);

/// The least time to the next round for a campaign that got no turn though it could begin.
const NOT_IN_TURN: Duration = Duration::from_millis(50);

/// When another round is worth it.
#[derive(Debug, Clone, Copy)]
struct Next {
    at: Timestamp,
    /// Whether the end of any call is reason enough. While only the spacing of starts holds a tenant
    /// back, a round for each call that ends would cost more than all the rest.
    on_an_end: bool,
}

impl Next {
    /// At a time, or when any call ends.
    fn at(at: Timestamp) -> Self {
        Self {
            at,
            on_an_end: true,
        }
    }

    /// For one campaign after what it began in its turn, if it had one; `gates` are the limits that hold
    /// for it with all that is used of them now.
    fn for_campaign(begun: Option<&Begun>, gates: &[Gate], now: Timestamp, waits: &Waits) -> Self {
        let by_rule = begun.and_then(|begun| begun.look_again);
        match (by_rule, pacing::next_start(gates, now)) {
            (Some(LookAgain::At(at)), _) => Self::at(at),
            (Some(LookAgain::OnChange), _) | (None, None) => Self::at(now + waits.idle),
            // Starts lie up to the horizon ahead; the next must be given out before it comes.
            (None, Some(start)) => {
                let soonest = if begun.is_some() { STEP } else { NOT_IN_TURN };
                Self {
                    at: max(now + soonest, start - waits.horizon / 2),
                    on_an_end: false,
                }
            }
        }
    }

    /// When either of two is worth it.
    fn or(self, other: Self) -> Self {
        Self {
            at: min(self.at, other.at),
            on_an_end: self.on_an_end || other.on_an_end,
        }
    }
}

/// How long rounds may wait.
struct Waits {
    /// While nothing is to be expected.
    idle: Duration,
    /// How far ahead dial starts are given out.
    horizon: Duration,
}

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
                Next::at(now + core.settings.idle_wait)
            }
        };
        let wait = Duration::try_from(next.at.duration_since(core.now())).unwrap_or_default();
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.wake.notified() => {}
            () = core.freed.notified(), if next.on_an_end => {}
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

    /// When the request of another process's start may have left at the latest.
    fn latest_departure(&self, tenant: TenantId, start: Timestamp) -> Timestamp {
        let window = self.settings.send_window + CHECK_AGAIN;
        planned::latest_departure(start, window, self.dispatches_since(tenant))
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
async fn step(core: &Arc<Core>, now: Timestamp) -> EngineResult<Next> {
    let mut next = Next {
        at: now + core.settings.idle_wait,
        on_an_end: false,
    };
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
            Ok(Some(of_tenant)) => next = next.or(of_tenant),
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
) -> EngineResult<Option<Next>> {
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
) -> EngineResult<Next> {
    let Outlook {
        halts,
        active,
        scheduled,
        rules: wide,
        mut usage,
    } = core.store.outlook(tenant).await?;
    core.planned
        .refine(&mut usage, |kept| core.latest_departure(tenant, kept));
    let (campaigns, next) = schedule::keep(core, tenant, (scheduled, active), now).await?;
    if halts.in_force().is_some() {
        core.clear_lines(tenant, halts.end_talks()).await?;
        return Ok(Next::at(next));
    }
    let mut next = Next {
        at: next,
        on_an_end: false,
    };
    let mut total = sum(usage.values());
    let mut lines = Vec::with_capacity(campaigns.len());
    for campaign in campaigns {
        let own = usage.get(&campaign.id).copied().unwrap_or_default();
        if own.n_open == 0 && complete_if_done(core, &campaign).await? {
            continue;
        }
        match Line::of(core, campaign, own, &wide, now).await? {
            Line::Ready(ready) => lines.push(ready),
            Line::NotBefore(at) => next = next.or(Next::at(at.unwrap_or(next.at))),
        }
    }
    if lines.is_empty() {
        return Ok(next);
    }
    let mut begun = BTreeMap::new();
    for (line, most) in in_turn(core, tenant, &lines, total, now).await? {
        if core.closing.is_cancelled() {
            // The lease is to be given back now, not after a long round.
            return Ok(Next::at(now));
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
        let of_line = begin::begin(core, line, &round).await?;
        total = total.after(of_line.n, of_line.last_start);
        begun.insert(line.campaign.id, of_line);
    }
    let waits = Waits {
        idle: core.settings.idle_wait,
        horizon: core.horizon(),
    };
    for line in &lines {
        let begun = begun.get(&line.campaign.id);
        let mut gates = line.gates_after(begun);
        gates.extend(gates_of(&core.settings.tenant_limits, total));
        next = next.or(Next::for_campaign(begun, &gates, now, &waits));
    }
    Ok(next)
}

/// What one campaign's turn in a round goes by.
struct Round<'a> {
    /// What the tenant may use.
    limits: &'a TenantLimits,
    fencing: Fencing,
    /// What the tenant has set for all its campaigns.
    wide: &'a TenantRules,
    /// What the whole tenant uses, the turns before included.
    total: Usage,
    /// The most that may begin.
    most: u32,
    now: Timestamp,
}

impl Round<'_> {
    /// The tenant's limits, with what is used of them.
    fn limits(&self) -> impl Iterator<Item = Gate> {
        gates_of(self.limits, self.total)
    }
}

/// A tenant's limits, with what is used of them.
fn gates_of(limits: &TenantLimits, total: Usage) -> impl Iterator<Item = Gate> {
    limits.gates(total).into_iter().map(|(_, gate)| gate)
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
    let limits: Vec<Gate> = gates_of(&core.settings.tenant_limits, total).collect();
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
    let n_starts = pacing::allow(&limits, now, core.horizon(), MAX_STARTS).len();
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);
    const WAITS: Waits = Waits {
        idle: Duration::from_millis(500),
        horizon: Duration::from_millis(250),
    };

    fn gate(max_open: u32, last_start_ms: u64) -> Gate {
        Gate {
            max_open,
            interval: Duration::from_millis(100),
            usage: Usage {
                n_open: 5,
                last_start: Some(NOW + Duration::from_millis(last_start_ms)),
            },
        }
    }

    fn next(begun: Option<&Begun>, gate: Gate) -> (i64, bool) {
        let next = Next::for_campaign(begun, &[gate], NOW, &WAITS);
        let wait = next.at.as_millisecond() - NOW.as_millisecond();
        (wait, next.on_an_end)
    }

    // proves F-11
    #[test]
    fn no_call_needs_to_end_for_the_next_start_in_its_time() {
        let begun = Begun::default();
        assert_eq!(next(Some(&begun), gate(100, 200)), (175, false));
        assert_eq!(next(Some(&begun), gate(100, 0)), (1, false));
        // Others had all turns: their last start is what the next one keeps its distance from.
        assert_eq!(next(None, gate(100, 200)), (175, false));
        assert_eq!(next(None, gate(100, 0)), (50, false));
    }

    #[test]
    fn a_full_house_looks_again_when_a_call_ends() {
        assert_eq!(next(Some(&Begun::default()), gate(5, 200)), (500, true));
        assert_eq!(next(None, gate(5, 200)), (500, true));
    }

    #[test]
    fn what_else_holds_a_campaign_back_says_when_to_look() {
        let begun = |look_again| Begun {
            look_again: Some(look_again),
            ..Begun::default()
        };
        let due = begun(LookAgain::At(NOW + Duration::from_millis(50)));
        assert_eq!(next(Some(&due), gate(100, 200)), (50, true));
        let changed = begun(LookAgain::OnChange);
        assert_eq!(next(Some(&changed), gate(100, 200)), (500, true));
    }
}
