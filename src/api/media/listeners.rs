//! How many listen to which call, and to how many of a tenant's.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::domain::ids::{AttemptId, TenantId};

/// How many may listen to one call.
pub const PER_CALL: usize = 8;

/// How many may listen to a tenant's calls.
pub const PER_TENANT: usize = 64;

/// Who listens.
#[derive(Debug, Default)]
pub struct Listeners {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_call: BTreeMap<AttemptId, usize>,
    by_tenant: BTreeMap<TenantId, usize>,
}

/// A listener's place, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    listeners: Arc<Listeners>,
    tenant: TenantId,
    call: AttemptId,
}

impl Listeners {
    /// A place for one more who listens to a call; none when there are too many.
    pub fn seat(self: &Arc<Self>, tenant: TenantId, call: AttemptId) -> Option<Seat> {
        let mut counts = self.lock();
        let of_call = counts.by_call.get(&call).copied().unwrap_or(0);
        let of_tenant = counts.by_tenant.get(&tenant).copied().unwrap_or(0);
        if of_call >= PER_CALL || of_tenant >= PER_TENANT {
            return None;
        }
        counts.by_call.insert(call, of_call + 1);
        counts.by_tenant.insert(tenant, of_tenant + 1);
        Some(Seat {
            listeners: self.clone(),
            tenant,
            call,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts
            .lock()
            .expect("no code panics while it holds the counts")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.listeners.lock();
        leave(&mut counts.by_call, self.call);
        leave(&mut counts.by_tenant, self.tenant);
    }
}

/// One less; what nobody listens to is forgotten.
fn leave<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    match counts.get_mut(&key) {
        Some(n) if *n > 1 => *n -= 1,
        _ => drop(counts.remove(&key)),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::EnrollmentId;

    fn call(n: u32) -> AttemptId {
        AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(7)),
            number: n,
        }
    }

    #[test]
    fn places_are_limited_by_call_and_by_tenant_and_are_given_back() {
        let listeners = Arc::new(Listeners::default());
        let (ours, theirs) = (
            TenantId::new(Uuid::from_u128(1)),
            TenantId::new(Uuid::from_u128(2)),
        );
        let mut seats: Vec<Seat> = (0..PER_CALL)
            .map(|_| listeners.seat(ours, call(0)).unwrap())
            .collect();
        assert!(listeners.seat(ours, call(0)).is_none());
        while let Some(seat) = listeners.seat(ours, call(seats.len() as u32)) {
            seats.push(seat);
        }
        assert_eq!(seats.len(), PER_TENANT);
        assert!(listeners.seat(theirs, call(999)).is_some());
        seats.remove(0);
        assert!(listeners.seat(ours, call(0)).is_some());
        drop(seats);
        let counts = listeners.lock();
        assert!(counts.by_call.is_empty() && counts.by_tenant.is_empty());
    }
}
