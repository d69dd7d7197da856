//! Whose the enrollments are that this process dealt with of late.
//!
//! Callbacks name an attempt and nothing else, and each would cost a question. An enrollment never
//! changes hands, and one that was tried once is never removed, so what was true stays true.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::{Core, EngineError, EngineResult};
use crate::domain::ids::{AttemptId, EnrollmentId, TenantId};

/// More than are on the phone at once anywhere; about half a megabyte.
const MOST: usize = 8192;

/// Owners, the most recent [`MOST`] of them.
#[derive(Default)]
pub(super) struct Owners(Mutex<Known>);

#[derive(Default)]
struct Known {
    owners: HashMap<EnrollmentId, TenantId>,
    /// Longest known first.
    order: VecDeque<EnrollmentId>,
}

impl Owners {
    fn get(&self, id: EnrollmentId) -> Option<TenantId> {
        self.known().owners.get(&id).copied()
    }

    /// Remembers the owner of an enrollment that has an attempt.
    pub fn note(&self, id: EnrollmentId, tenant: TenantId) {
        let mut known = self.known();
        if known.owners.insert(id, tenant).is_some() {
            return;
        }
        known.order.push_back(id);
        if known.order.len() > MOST
            && let Some(longest_known) = known.order.pop_front()
        {
            known.owners.remove(&longest_known);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Whose attempt that is.
    pub(super) async fn tenant_of(&self, attempt: AttemptId) -> EngineResult<TenantId> {
        let id = attempt.enrollment;
        if let Some(tenant) = self.owners.get(id) {
            return Ok(tenant);
        }
        let tenant = self.store.tenant_of(id).await?;
        tenant.ok_or(EngineError::NotFound { what: "attempt" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn the_most_recent_are_known() {
        let owners = Owners::default();
        let tenant = TenantId::new(Uuid::from_u128(1));
        let enrollment = |n: usize| EnrollmentId::new(Uuid::from_u128(n as u128));
        for n in 0..=MOST {
            owners.note(enrollment(n), tenant);
            owners.note(enrollment(n), tenant);
        }
        assert_eq!(owners.get(enrollment(0)), None);
        assert_eq!(owners.get(enrollment(1)), Some(tenant));
        assert_eq!(owners.get(enrollment(MOST)), Some(tenant));
    }
}
