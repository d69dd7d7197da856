//! Emergency stops (F-07): one durable flag for a tenant and one for the installation.
//!
//! While one is in force nothing is claimed and no request leaves; calls that nobody has answered are
//! taken back, in every round of whoever dispatches, so a crash in between forgets none. Campaigns stay
//! what they are and go on when it is lifted.

use std::sync::{Arc, atomic::Ordering};

use futures_util::{StreamExt as _, stream};
use tracing::{error, info, warn};

use super::{Core, Engine, EngineResult, decide::Input, perform};
use crate::{
    domain::{
        attempt::{AttemptState, Party},
        enrollment::CallRecord,
        event::{Event, EventKind},
        halt::{Halt, HaltScope, Halts},
        ids::TenantId,
    },
    store::CallFilter,
};

/// How many calls are taken back at once.
const AT_ONCE: usize = 16;

/// Whether everything stands still, and what is still up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standstill {
    /// The stops in force.
    pub halts: Halts,
    /// Open calls that nobody has answered: to be asked for, queued, ringing, or not known yet.
    pub n_unanswered: u64,
    /// Open calls with somebody on the line.
    pub n_talking: u64,
}

impl Engine {
    /// Stops everything in `scope`. A stop that is in force already stays; talks are ended from now on
    /// if either says so.
    ///
    /// - Holds: when it returns, no request for a call leaves any more, in no process, but those that
    ///   are on the wire. Taking back unanswered calls has begun, or begins within a second.
    /// - Errors: after [`super::EngineError::Store`] it may be in force; ask again.
    pub async fn halt(&self, scope: HaltScope, halt: &Halt) -> EngineResult<()> {
        let core = &self.core;
        let tenants = core.tenants_in(scope).await?;
        let kept = core.halt_of(scope, &tenants).await?;
        let is_new = kept.is_none();
        let halt = kept.map_or_else(|| halt.clone(), |kept| kept.with(halt));
        core.store.save_halt(scope, Some(&halt)).await?;
        core.n_halts.fetch_add(1, Ordering::SeqCst);
        core.wake.notify_one();
        warn!(by = halt.by, ?scope, "emergency stop");
        if core.others_dispatch(&tenants).await? {
            core.clock.sleep(perform::CHECK_AGAIN).await;
        }
        if is_new {
            core.tell(&tenants, true, &halt.by, halt.reason.as_deref())
                .await;
        }
        Ok(())
    }

    /// Lifts the stop of `scope`: dialing goes on as it was. False when none was in force.
    pub async fn lift_halt(&self, scope: HaltScope, by: &str) -> EngineResult<bool> {
        let core = &self.core;
        let tenants = core.tenants_in(scope).await?;
        if core.halt_of(scope, &tenants).await?.is_none() {
            return Ok(false);
        }
        core.store.save_halt(scope, None).await?;
        core.wake.notify_one();
        info!(by, ?scope, "emergency stop lifted");
        core.tell(&tenants, false, by, None).await;
        Ok(true)
    }

    /// Whether a tenant stands still, and what is up: in `scope`.
    pub async fn standstill(&self, tenant: TenantId, scope: HaltScope) -> EngineResult<Standstill> {
        let core = &self.core;
        let mut standstill = Standstill {
            halts: core.store.halts(tenant).await?,
            ..Standstill::default()
        };
        for tenant in core.tenants_in(scope).await? {
            for call in core.open_calls(tenant, CallFilter::default()).await? {
                if is_answered(&call) {
                    standstill.n_talking += 1;
                } else {
                    standstill.n_unanswered += 1;
                }
            }
        }
        Ok(standstill)
    }

    /// Whether an emergency stop holds for any tenant.
    pub async fn is_halted(&self) -> EngineResult<bool> {
        let store = &self.core.store;
        for tenant in store.list_tenants().await? {
            if store.halts(tenant).await?.in_force().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Core {
    /// Takes back the tenant's calls that nobody has answered, and ends the talks if `end_talks`. What
    /// may yet turn up is taken back in a later round.
    pub(super) async fn clear_lines(
        self: &Arc<Self>,
        tenant: TenantId,
        end_talks: bool,
    ) -> EngineResult<()> {
        let open = self.open_calls(tenant, CallFilter::default()).await?;
        stream::iter(open)
            .for_each_concurrent(AT_ONCE, |call| async move {
                self.clear_line(call, end_talks).await;
            })
            .await;
        Ok(())
    }

    async fn clear_line(self: &Arc<Self>, call: CallRecord, end_talks: bool) {
        let attempt = call.attempt;
        match &attempt.state {
            AttemptState::Dialing { sid } | AttemptState::Ringing { sid } => {
                if let Err(error) = self.carrier.cancel(sid).await {
                    warn!(%error, call_sid = %sid, "call not withdrawn yet");
                }
            }
            AttemptState::Connected { .. } if end_talks && attempt.facts.ended_by.is_none() => {
                let by = Party::Operator;
                let input = Input::HangUp {
                    attempt: attempt.id,
                    by,
                };
                let ended = self.handle(call.tenant, attempt.id.enrollment, &input);
                if let Err(error) = ended.await {
                    warn!(%error, attempt_id = %attempt.id, "talk not ended yet");
                }
            }
            // A reserved one is given back at its start; of an unknown one nobody knows a name.
            AttemptState::Reserved
            | AttemptState::Unknown { .. }
            | AttemptState::Connected { .. }
            | AttemptState::Ended { .. }
            | AttemptState::Released { .. } => {}
        }
    }

    async fn tenants_in(&self, scope: HaltScope) -> EngineResult<Vec<TenantId>> {
        Ok(match scope {
            HaltScope::Tenant(tenant) => vec![tenant],
            HaltScope::Installation => self.store.list_tenants().await?,
        })
    }

    /// The stop of `scope` that is in force.
    async fn halt_of(&self, scope: HaltScope, tenants: &[TenantId]) -> EngineResult<Option<Halt>> {
        // The installation's is the same for all.
        let any = tenants.first().copied().unwrap_or(TenantId::DEFAULT);
        Ok(self.store.halts(any).await?.of(scope).cloned())
    }

    /// Whether another process dispatches for any of the tenants. It reads what is saved when it next
    /// looks.
    async fn others_dispatch(&self, tenants: &[TenantId]) -> EngineResult<bool> {
        for tenant in tenants {
            let leader = self.store.lease_holder(*tenant, self.now()).await?;
            if leader.is_some_and(|leader| leader != self.node) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Tells the live view, in every campaign that it holds for.
    async fn tell(&self, tenants: &[TenantId], is_in_force: bool, by: &str, reason: Option<&str>) {
        for tenant in tenants {
            if let Err(error) = self.tell_one(*tenant, is_in_force, by, reason).await {
                error!(%error, %tenant, "an emergency stop is not in the log");
            }
        }
    }

    async fn tell_one(
        &self,
        tenant: TenantId,
        is_in_force: bool,
        by: &str,
        reason: Option<&str>,
    ) -> EngineResult<()> {
        for campaign in self.store.active_campaigns(tenant).await? {
            let kind = EventKind::EmergencyStop {
                is_in_force,
                by: by.to_owned(),
                reason: reason.map(str::to_owned),
            };
            let event = Event {
                tenant,
                campaign: campaign.id,
                at: self.now(),
                kind,
            };
            self.store.append_events(&[event]).await?;
        }
        Ok(())
    }
}

fn is_answered(call: &CallRecord) -> bool {
    let attempt = &call.attempt;
    attempt.facts.answered_at.is_some() || matches!(attempt.state, AttemptState::Connected { .. })
}
