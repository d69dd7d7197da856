//! Whoever decides on an enrollment in this process waits for who was first: losing to ourselves would
//! cost a transaction and another load. Other processes are kept apart by versions alone.

use tokio::sync::{Mutex, MutexGuard};

use crate::domain::ids::EnrollmentId;

/// So many that two of those who are called at once rarely wait for each other.
const N_PLACES: u128 = 1024;

/// Where turns are taken; enrollments share the places.
pub(super) struct Turns(Vec<Mutex<()>>);

impl Default for Turns {
    fn default() -> Self {
        Self((0..N_PLACES).map(|_| Mutex::default()).collect())
    }
}

impl Turns {
    /// Waits for the turn on an enrollment; it ends with the guard.
    pub async fn take(&self, id: EnrollmentId) -> MutexGuard<'_, ()> {
        let place = usize::try_from(id.uuid().as_u128() % N_PLACES);
        self.0[place.expect("a remainder is below the divisor")]
            .lock()
            .await
    }
}
