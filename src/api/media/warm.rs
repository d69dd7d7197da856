//! What is kept ready for calls that ring: how much, and for how long.
//!
//! Pure. What is kept is let go by dropping it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::domain::ids::AttemptId;

/// How long something is kept for a call that rings. No phone rings longer, and servers close a
/// connection on which nothing is said.
const KEPT: Duration = Duration::from_secs(60);

/// How long something is kept for a call that was answered: then its audio is on its way here, or at
/// another process.
const KEPT_ANSWERED: Duration = Duration::from_secs(10);

/// What is kept ready, by the attempt that it is for.
#[derive(Debug)]
pub struct Warm<T> {
    most: usize,
    kept: BTreeMap<AttemptId, Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    what: T,
    until: Instant,
}

impl<T> Warm<T> {
    /// Nothing yet, and never more than `most`.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            kept: BTreeMap::new(),
        }
    }

    /// The call rings: keeps what `begin` gives, unless there is something or no room. A call for which
    /// nothing is kept only waits a little longer for its agent.
    pub fn rings(&mut self, attempt: AttemptId, now: Instant, begin: impl FnOnce() -> T) {
        if self.kept.len() < self.most && !self.kept.contains_key(&attempt) {
            let until = now + KEPT;
            let what = begin();
            self.kept.insert(attempt, Kept { what, until });
        }
    }

    /// The call was answered.
    pub fn is_answered(&mut self, attempt: AttemptId, now: Instant) {
        if let Some(kept) = self.kept.get_mut(&attempt) {
            kept.until = kept.until.min(now + KEPT_ANSWERED);
        }
    }

    /// The call is over.
    pub fn is_over(&mut self, attempt: AttemptId) {
        self.kept.remove(&attempt);
    }

    /// What is kept for a call, which has it from now on.
    pub fn take(&mut self, attempt: AttemptId) -> Option<T> {
        self.kept.remove(&attempt).map(|kept| kept.what)
    }

    /// Lets go what has been kept long enough.
    pub fn expire(&mut self, now: Instant) {
        self.kept.retain(|_, kept| kept.until > now);
    }

    /// Lets go of everything, and keeps nothing any more.
    pub fn close(&mut self) {
        self.most = 0;
        self.kept.clear();
    }

    /// When something will have been kept long enough.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.kept.values().map(|kept| kept.until).min()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    fn attempt(n: u32) -> AttemptId {
        format!("att_{:032x}_{n}", 1).parse().unwrap()
    }

    fn after(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    // proves F-34
    #[test]
    fn there_is_one_for_each_call_that_rings_and_never_more_than_the_limit() {
        let now = tokio::time::Instant::now().into_std();
        let mut warm = Warm::new(2);
        for (n, name) in [(1, "first"), (1, "again"), (2, "second"), (3, "too many")] {
            warm.rings(attempt(n), now, || name);
        }
        assert_eq!(warm.take(attempt(1)), Some("first"));
        assert_eq!(warm.take(attempt(1)), None);
        assert_eq!(warm.take(attempt(3)), None);
        warm.rings(attempt(4), now, || "fourth");
        assert_eq!(warm.take(attempt(4)), Some("fourth"));
        assert_eq!(warm.take(attempt(2)), Some("second"));
    }

    // proves F-34
    #[test]
    fn what_is_kept_for_a_call_that_is_over_or_rang_for_too_long_is_let_go() {
        let now = tokio::time::Instant::now().into_std();
        let what = Rc::new(());
        let mut warm = Warm::new(9);
        for n in 1..=4 {
            warm.rings(attempt(n), after(now, n.into()), || what.clone());
        }
        warm.is_over(attempt(1));
        assert_eq!(Rc::strong_count(&what), 4);
        // Answered, and its audio went to another process.
        warm.is_answered(attempt(2), after(now, 20));
        assert_eq!(warm.next_expiry(), Some(after(now, 30)));
        warm.expire(after(now, 30));
        assert_eq!(Rc::strong_count(&what), 3);
        // An answer never makes it longer.
        warm.is_answered(attempt(3), after(now, 60));
        assert_eq!(warm.next_expiry(), Some(after(now, 63)));
        warm.close();
        warm.rings(attempt(5), now, || what.clone());
        assert_eq!((Rc::strong_count(&what), warm.next_expiry()), (1, None));
    }
}
