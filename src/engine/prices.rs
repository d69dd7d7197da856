//! What the carrier takes for calls, asked for after their end.
//!
//! When to ask is on record with the call ([`CarrierPrice`]), so a restart forgets nothing. The process
//! that dispatches for a tenant asks; a question that is put twice does no harm.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tracing::{debug, info, warn};

use super::{Core, EngineResult};
use crate::{
    domain::{
        attempt::Attempt,
        enrollment::CallRecord,
        event::Moment,
        ids::TenantId,
        price::{CarrierPrice, Price},
    },
    store::{CallFilter, PageRequest},
};

/// How many calls are taken at once.
const BATCH: u32 = 200;

/// How many questions are under way at once: few, because hang-ups go the same way.
const QUESTIONS_AT_ONCE: usize = 2;

/// Asks until the engine stops.
pub(super) async fn run(core: Arc<Core>) {
    while !core.stopped.is_cancelled() {
        if let Err(error) = step(&core).await {
            warn!(%error, "prices of calls not asked for yet");
        }
        tokio::select! {
            biased;
            () = core.stopped.cancelled() => {}
            () = core.clock.sleep(core.settings.prices) => {}
        }
    }
}

/// One round over all tenants.
async fn step(core: &Arc<Core>) -> EngineResult<()> {
    for tenant in core.store.list_tenants().await? {
        // One tenant's trouble must not hold up the others.
        if let Err(error) = core.ask_all_prices(tenant).await {
            warn!(%error, %tenant, "prices of a tenant's calls not asked for yet");
        }
    }
    Ok(())
}

impl Core {
    async fn ask_all_prices(&self, tenant: TenantId) -> EngineResult<()> {
        let may_ask = || !self.stopped.is_cancelled() && self.has_lease(tenant, self.now());
        while may_ask() && self.ask_prices(tenant).await? {}
        Ok(())
    }

    /// Asks for the prices that are due. Whether there may be more of them.
    async fn ask_prices(&self, tenant: TenantId) -> EngineResult<bool> {
        let filter = CallFilter {
            price_due_by: Some(self.now()),
            ..CallFilter::default()
        };
        let page = PageRequest::first(BATCH);
        let due = self.store.list_calls(tenant, &filter, &page).await?;
        let is_full = due.next.is_some();
        let n_unsaved = stream::iter(due.items)
            .map(|call| self.ask_price(call))
            .buffer_unordered(QUESTIONS_AT_ONCE)
            .filter(|saved| std::future::ready(saved.is_err()))
            .count()
            .await;
        // What could not be saved would be found again at once.
        Ok(is_full && n_unsaved == 0)
    }

    async fn ask_price(&self, call: CallRecord) -> EngineResult<()> {
        let id = call.attempt.id;
        let asking = self.price_of(&call.attempt);
        // Nobody waits for the carrier to end: it is asked again.
        let Some(told) = self.stopped.run_until_cancelled(asking).await else {
            return Ok(());
        };
        let asked = self.amend(call.tenant, id, |attempt| self.with_price(attempt, told));
        let saved = asked.await;
        if let Err(error) = &saved {
            warn!(%error, attempt_id = %id, "price of a call not saved yet");
        }
        saved
    }

    /// What the carrier says now.
    async fn price_of(&self, attempt: &Attempt) -> Option<Price> {
        let sid = attempt.state.sid()?;
        match self.carrier.fetch(sid).await {
            Ok(report) => report?.price,
            Err(error) => {
                debug!(%error, call_sid = %sid, "carrier cannot be asked for a price");
                None
            }
        }
    }

    /// The attempt as it is after the question, and what the timeline says of it.
    fn with_price(
        &self,
        attempt: &Attempt,
        told: Option<Price>,
    ) -> Option<(Attempt, Option<Moment>)> {
        let before = attempt.facts.price?;
        let price = before.asked(told, self.now(), self.settings.timing.price);
        if price == before {
            return None;
        }
        let moment = match price {
            CarrierPrice::Awaited { .. } => None,
            CarrierPrice::Known(price) => Some(Moment::Priced { price: Some(price) }),
            CarrierPrice::GivenUp => {
                info!(attempt_id = %attempt.id, "the carrier tells no price for a call");
                Some(Moment::Priced { price: None })
            }
        };
        let mut attempt = attempt.clone();
        attempt.facts.price = Some(price);
        Some((attempt, moment))
    }
}
