//! Who must not be contacted any more.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tracing::{info, warn};

use super::{Core, Engine, EngineError, EngineResult, decide::Input};
use crate::domain::{
    attempt::{AttemptState, Party},
    enrollment::CallRecord,
    ids::{AttemptId, SuppressionId, TenantId},
    phone::PhoneNumber,
    suppression::{Channel, Scope, Subject, Suppression, SuppressionSource},
};

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
        let suppression = Suppression {
            id: SuppressionId::new(core.clock.new_uuid()),
            tenant,
            subject: Subject::Phone(call.attempt.to),
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
        let mut outcome = Ok(n_new);
        for suppression in &suppressions {
            if let Subject::Phone(phone) = &suppression.subject
                && suppression.applies(Channel::Voice)
            {
                let withdrawn = core.withdraw_calls_to(tenant, phone).await;
                outcome = outcome.and_then(|n_new| withdrawn.map(|()| n_new));
            }
        }
        outcome
    }
}

impl Core {
    /// Ends the open calls to a number that nobody has answered yet. One that cannot be ended now does
    /// not keep the others up.
    async fn withdraw_calls_to(
        self: &Arc<Self>,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> EngineResult<()> {
        let mut outcome = Ok(());
        for call in self.store.open_calls_to(tenant, phone).await? {
            if is_answered(&call) {
                continue;
            }
            let attempt = call.attempt.id;
            let by = Party::System;
            let input = Input::HangUp { attempt, by };
            let ended = self.handle(tenant, attempt.enrollment, &input).await;
            if let Err(error) = &ended {
                warn!(%error, attempt_id = %attempt, "call not withdrawn yet");
            }
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// Whoever had this number and was erased: nobody can tell the number from it without the tenant's
/// salt.
pub(super) fn erased(salt: &str, phone: &PhoneNumber) -> Subject {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("a key may have any length");
    mac.update(phone.as_str().as_bytes());
    let digest = mac.finalize().into_bytes();
    Subject::Hash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether somebody is on the line, who may be saying just now that this is the last call.
fn is_answered(call: &CallRecord) -> bool {
    let attempt = &call.attempt;
    attempt.facts.answered_at.is_some() || matches!(attempt.state, AttemptState::Connected { .. })
}
