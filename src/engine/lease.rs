//! The leases on dispatching that this process holds.
//!
//! The store decides who holds one. What is remembered here is until when, so that a process that
//! was held up for longer than that neither saves an intent nor sends a request any more.

use tracing::{error, info};

use super::{Core, EngineResult};
use crate::{
    domain::{Timestamp, ids::TenantId},
    store::Fencing,
};

/// A lease as it was last taken or renewed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    fencing: Fencing,
    /// Since when no other process has dispatched for the tenant.
    since: Timestamp,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

impl Core {
    /// The fencing number of the tenant's lease, taken or renewed when it is time; none while
    /// another process holds it.
    pub(super) async fn hold_lease(
        &self,
        tenant: TenantId,
        now: Timestamp,
    ) -> EngineResult<Option<Fencing>> {
        if let Some(lease) = self.lease(tenant)
            && now < lease.renew_at
        {
            return Ok(Some(lease.fencing));
        }
        let ttl = self.settings.lease;
        let held = self.store.hold_lease(tenant, self.node, ttl, now).await?;
        let Some(fencing) = held else {
            self.forget_lease(tenant);
            return Ok(None);
        };
        let before = self.lease(tenant);
        if before.is_none_or(|before| before.fencing != fencing) {
            info!(%tenant, fencing = fencing.0, "dispatching for tenant");
        }
        // A lease that was given back is had at once, however old `now` is.
        let since = since(before, fencing, self.now());
        if before.is_some_and(|before| before.since != since) {
            // Another process dispatched in between, while this one was held up.
            self.close_book(tenant);
        }
        let lease = Lease {
            fencing,
            since,
            renew_at: now + ttl / 3,
            ends_at: now + ttl,
        };
        self.leases().insert(tenant, lease);
        Ok(Some(fencing))
    }

    /// Since when nobody else has dispatched for the tenant: no other process's request left later. None
    /// without the lease.
    pub(super) fn dispatches_since(&self, tenant: TenantId) -> Option<Timestamp> {
        self.lease(tenant).map(|lease| lease.since)
    }

    /// Whether the tenant's lease is this process's at `now`, as far as it remembers.
    pub(super) fn has_lease(&self, tenant: TenantId, now: Timestamp) -> bool {
        self.lease(tenant).is_some_and(|lease| now < lease.ends_at)
    }

    /// Whether this process has held the tenant's lease since it was `fencing`, and nobody else. One that
    /// ran out and was taken again has the next number.
    pub(super) fn still_has_lease(
        &self,
        tenant: TenantId,
        fencing: Fencing,
        now: Timestamp,
    ) -> bool {
        self.has_lease(tenant, now)
            && self
                .lease(tenant)
                .is_some_and(|lease| lease.fencing.0 <= fencing.0 + 1)
    }

    /// Whether none of the leases that this process took has run out meanwhile, as when it stood still.
    pub(super) fn has_leases(&self, now: Timestamp) -> bool {
        self.leases().values().all(|lease| now < lease.ends_at)
    }

    /// Gives the tenant's lease back, so that another process dispatches at once.
    pub(super) async fn let_go(&self, tenant: TenantId) {
        if self.lease(tenant).is_none() {
            return;
        }
        self.forget_lease(tenant);
        if let Err(error) = self.store.release_lease(tenant, self.node).await {
            error!(%error, %tenant, "lease could not be given back; it ends by itself");
        }
    }

    /// The lease has passed to another process.
    pub(super) fn forget_lease(&self, tenant: TenantId) {
        self.leases().remove(&tenant);
        // Whoever dispatches meanwhile uses the tenant's numbers too.
        self.close_book(tenant);
    }

    fn lease(&self, tenant: TenantId) -> Option<Lease> {
        self.leases().get(&tenant).copied()
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<TenantId, Lease>> {
        self.leases
            .lock()
            .expect("no code panics while it holds the leases")
    }
}

/// Since when nobody else has dispatched, by the lease before and the number of this one, had at `now`. A
/// lease that ran out and was taken again by the same process has the next number.
fn since(before: Option<Lease>, fencing: Fencing, now: Timestamp) -> Timestamp {
    let unbroken = before.filter(|before| fencing.0 <= before.fencing.0 + 1);
    unbroken.map_or(now, |before| before.since)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // proves F-11
    #[test]
    fn who_had_the_lease_in_between_is_told_by_its_number() {
        let began = Timestamp::constant(1_760_000_000, 0);
        let later = began + Duration::from_secs(9);
        let before = Lease {
            fencing: Fencing(7),
            since: began,
            renew_at: began + Duration::from_secs(1),
            ends_at: began + Duration::from_secs(3),
        };
        assert_eq!(since(Some(before), Fencing(7), later), began, "renewed");
        assert_eq!(since(Some(before), Fencing(8), later), began, "ran out");
        assert_eq!(since(Some(before), Fencing(9), later), later, "another's");
        assert_eq!(since(None, Fencing(8), later), later, "new or forgotten");
    }
}
