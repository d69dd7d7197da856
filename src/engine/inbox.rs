//! Signals from outside: saved before they are answered, then processed in order per enrollment.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Core, Engine, EngineError, EngineResult, decide::Input};
use crate::{
    domain::{
        ids::{AttemptId, TenantId},
        signal::Signal,
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
        let core = &self.core;
        let tenant = core.tenant_of(attempt).await?;
        let received_at = core.now();
        let entry = InboxEntry {
            key,
            tenant,
            attempt,
            received_at,
            signal,
        };
        let received = core.store.receive(&entry).await;
        if received.is_err() {
            core.could_not_hear();
        }
        if received? {
            core.queue(entry);
        }
        Ok(())
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
