//! Who must not be contacted any more.

use std::{collections::BTreeSet, sync::Arc};

use tracing::{info, warn};

use super::{Core, Engine, EngineError, EngineResult, decide::Input};
use crate::{
    domain::{
        attempt::Party,
        enrollment::CallRecord,
        erasure::KeptNumber,
        ids::{AttemptId, SuppressionId, TenantId},
        phone::PhoneNumber,
        suppression::{Channel, Scope, Subject, Suppression, SuppressionSource},
    },
    store::CallFilter,
};

/// From so many numbers on, all open calls are looked at instead of looking for calls to each.
const MANY: usize = 50;

impl Engine {
    /// Sees to it that whoever an attempt is for is contacted no more, by any campaign and on any
    /// channel: somebody said so during the call. The talk itself goes on to its end.
    pub async fn opt_out(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        source: SuppressionSource,
        reason: Option<String>,
    ) -> EngineResult<()> {
        let core = &self.core;
        let call = core.store.find_call(tenant, attempt).await?;
        let call = call.ok_or(EngineError::NotFound { what: "attempt" })?;
        // Whoever was erased is on the list.
        let KeptNumber::Known(phone) = call.attempt.to else {
            return Ok(());
        };
        let suppression = Suppression {
            id: SuppressionId::new(core.clock.new_uuid()),
            tenant,
            subject: Subject::Phone(phone),
            scope: Scope::All,
            source,
            reason,
            at: core.now(),
        };
        self.suppress(tenant, vec![suppression]).await?;
        Ok(())
    }

    /// Adds to the tenant's list of those who must not be contacted, and withdraws the calls to them
    /// that nobody has answered yet. Talks go on to their end.
    ///
    /// - Shape: how many entries were new.
    /// - Holds: whoever begins a call to them meanwhile, in whatever process, finds them on the list
    ///   at the second look, or is found here.
    /// - Errors: after [`EngineError::Store`] they may be on the list, and some calls not withdrawn.
    ///   Asking again does the rest.
    pub async fn suppress(
        &self,
        tenant: TenantId,
        suppressions: Vec<Suppression>,
    ) -> EngineResult<u64> {
        let core = &self.core;
        let n_new = core.store.add_suppressions(&suppressions).await?;
        info!(n_new, "suppressions added");
        let applies = |it: &&Suppression| it.applies(Channel::Voice);
        let phones = suppressions.iter().filter(applies).filter_map(phone_of);
        let phones: BTreeSet<&PhoneNumber> = phones.collect();
        if phones.len() > MANY {
            core.withdraw_calls_to_any(tenant, &phones).await?;
            return Ok(n_new);
        }
        let mut outcome = Ok(n_new);
        for phone in phones {
            let withdrawn = core.withdraw_calls_to(tenant, phone).await;
            outcome = outcome.and_then(|n_new| withdrawn.map(|()| n_new));
        }
        outcome
    }
}

impl Core {
    /// Ends the open calls to a number that nobody has answered yet. One that cannot be ended now does
    /// not keep the others up.
    pub(super) async fn withdraw_calls_to(
        self: &Arc<Self>,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> EngineResult<()> {
        let mut outcome = Ok(());
        for call in self.store.open_calls_to(tenant, phone).await? {
            let withdrawn = self.withdraw(tenant, &call).await;
            outcome = outcome.and(withdrawn);
        }
        outcome
    }

    /// As [`Core::withdraw_calls_to`], for more numbers than there are open calls.
    async fn withdraw_calls_to_any(
        self: &Arc<Self>,
        tenant: TenantId,
        phones: &BTreeSet<&PhoneNumber>,
    ) -> EngineResult<()> {
        let mut outcome = Ok(());
        for call in self.open_calls(tenant, CallFilter::default()).await? {
            let to = call.attempt.to.known();
            if to.is_some_and(|to| phones.contains(to)) {
                let withdrawn = self.withdraw(tenant, &call).await;
                outcome = outcome.and(withdrawn);
            }
        }
        outcome
    }

    async fn withdraw(self: &Arc<Self>, tenant: TenantId, call: &CallRecord) -> EngineResult<()> {
        // Somebody is on the line, who may be saying just now that this is the last call.
        if call.attempt.was_answered() {
            return Ok(());
        }
        let attempt = call.attempt.id;
        let by = Party::System;
        let input = Input::HangUp { attempt, by };
        let ended = self.handle(tenant, attempt.enrollment, &input).await;
        if let Err(error) = &ended {
            warn!(%error, attempt_id = %attempt, "call not withdrawn yet");
        }
        ended
    }
}

fn phone_of(suppression: &Suppression) -> Option<&PhoneNumber> {
    match &suppression.subject {
        Subject::Phone(phone) => Some(phone),
        Subject::Email(_) | Subject::Hash(_) => None,
    }
}
