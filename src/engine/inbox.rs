//! Signals from outside: saved before they are answered, then processed in order per enrollment.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{Core, Engine, EngineError, EngineResult, decide::Input};
use crate::{
    domain::{
        enrollment::CallRecord,
        ids::{AttemptId, ConversationId, TenantId},
        report::AgentReport,
        signal::{Signal, SignalKind},
    },
    store::InboxEntry,
};

impl Engine {
    /// Saves a provider's signal about an attempt, to be processed at once. The same key again
    /// changes nothing.
    ///
    /// - Holds: durable when it returns; the provider may be answered.
    /// - Errors: [`EngineError::NotFound`] when no enrollment has such an attempt.
    pub async fn receive(
        &self,
        key: String,
        attempt: AttemptId,
        signal: Signal,
    ) -> EngineResult<()> {
        let tenant = self.core.tenant_of(attempt).await?;
        self.core.receive(key, tenant, attempt, signal).await
    }

    /// Saves what an agent's vendor told after a conversation, as [`Engine::receive`] does. Who names no
    /// attempt, or one that never was, is matched by the conversation.
    ///
    /// - Holds: nothing about an erased person is saved.
    /// - Errors: [`EngineError::NotFound`] for a conversation that nobody here had.
    pub async fn receive_report(
        &self,
        key: String,
        attempt: Option<AttemptId>,
        report: AgentReport,
    ) -> EngineResult<()> {
        let core = &self.core;
        let call = core.reported_call(attempt, &report.conversation).await?;
        let call = call.ok_or(EngineError::NotFound {
            what: "conversation",
        })?;
        let attempt = call.attempt.id;
        if call.attempt.to.known().is_none() {
            info!(attempt_id = %attempt, "report about an erased person dropped");
            return Ok(());
        }
        let signal = Signal {
            sid: None,
            at: core.now(),
            kind: SignalKind::Reported { report },
        };
        core.receive(key, call.tenant, attempt, signal).await
    }

    /// Lets a signal of our own media path happen at once.
    pub async fn tell(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        signal: Signal,
    ) -> EngineResult<()> {
        self.core
            .handle(tenant, attempt.enrollment, &Input::Told { attempt, signal })
            .await
    }
}

impl Core {
    async fn receive(
        &self,
        key: String,
        tenant: TenantId,
        attempt: AttemptId,
        signal: Signal,
    ) -> EngineResult<()> {
        let entry = InboxEntry {
            key,
            tenant,
            attempt,
            received_at: self.now(),
            signal,
        };
        let received = self.store.receive(&entry).await;
        if received.is_err() {
            self.could_not_hear();
        }
        if received? {
            self.queue(entry);
        }
        Ok(())
    }

    /// The call that a conversation belongs to. Vendors give back the attempt that they were told, unless
    /// somebody else's agent was told of one.
    async fn reported_call(
        &self,
        attempt: Option<AttemptId>,
        conversation: &ConversationId,
    ) -> EngineResult<Option<CallRecord>> {
        if let Some(attempt) = attempt
            && let Some(call) = self.call_of(attempt).await?
        {
            return Ok(Some(call));
        }
        for tenant in self.store.list_tenants().await? {
            let found = self.store.find_call_by_conversation(tenant, conversation);
            if let Some(call) = found.await? {
                return Ok(Some(call));
            }
        }
        Ok(None)
    }

    async fn call_of(&self, attempt: AttemptId) -> EngineResult<Option<CallRecord>> {
        match self.tenant_of(attempt).await {
            Ok(tenant) => Ok(self.store.find_call(tenant, attempt).await?),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a saved signal to the worker of its enrollment. A full queue leaves it to the sweep.
    pub(super) fn queue(&self, entry: InboxEntry) {
        let uuid = entry.attempt.enrollment.uuid().as_u128();
        let n_workers = self.inbox.len() as u128;
        let worker = usize::try_from(uuid % n_workers).expect("a remainder is below the divisor");
        if self.inbox[worker].try_send(entry).is_err() {
            debug!("inbox worker is busy; the sweep will process the signal");
        }
    }

    /// Processes one saved signal and marks it as done.
    pub(super) async fn process(self: &Arc<Self>, entry: &InboxEntry) -> EngineResult<()> {
        let input = Input::Told {
            attempt: entry.attempt,
            signal: entry.signal.clone(),
        };
        match self
            .handle(entry.tenant, entry.attempt.enrollment, &input)
            .await
        {
            // The enrollment was removed: nothing can follow from the signal any more.
            Ok(()) | Err(EngineError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.store
            .settle(entry.tenant, &entry.key, self.now())
            .await?;
        Ok(())
    }
}

/// One worker: takes signals until the engine stops.
pub(super) async fn run(core: Arc<Core>, queue: &mut mpsc::Receiver<InboxEntry>) {
    loop {
        let entry = tokio::select! {
            biased;
            () = core.stopped.cancelled() => return,
            entry = queue.recv() => match entry {
                Some(entry) => entry,
                None => return,
            },
        };
        if let Err(error) = core.process(&entry).await {
            warn!(%error, attempt_id = %entry.attempt, "signal not processed yet");
        }
    }
}
