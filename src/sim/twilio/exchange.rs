//! The account's calls, and the queue that releases them at the account's rate.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::{call::Call, guard::InFlight};

/// What the carrier keeps for the one simulated account.
#[derive(Debug, Default)]
pub struct Exchange {
    pub in_flight: InFlight,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    by_sid: BTreeMap<String, Arc<Call>>,
    /// Oldest first.
    history: Vec<Arc<Call>>,
    n_calls_to: BTreeMap<String, u32>,
    n_live: u32,
    next_release: Option<Instant>,
}

impl Exchange {
    /// Counts a call to `number` and returns how many there were before.
    pub fn count_call_to(&self, number: &str) -> u32 {
        let mut book = self.book();
        let n_calls = book.n_calls_to.entry(number.to_owned()).or_default();
        *n_calls += 1;
        *n_calls - 1
    }

    /// Takes one of `limit` places for live calls; false when all are taken.
    pub fn take_place(&self, limit: Option<u32>) -> bool {
        let mut book = self.book();
        if limit.is_some_and(|limit| book.n_live >= limit) {
            return false;
        }
        book.n_live += 1;
        true
    }

    pub fn give_place_back(&self) {
        self.book().n_live -= 1;
    }

    /// When a call accepted `now` may start, one every `interval`.
    pub fn next_release(&self, now: Instant, interval: Duration) -> Instant {
        let mut book = self.book();
        let release = book.next_release.map_or(now, |next| next.max(now));
        book.next_release = Some(release + interval);
        release
    }

    pub fn insert(&self, call: Arc<Call>) {
        let mut book = self.book();
        book.by_sid.insert(call.sid.clone(), call.clone());
        book.history.push(call);
    }

    pub fn find(&self, sid: &str) -> Option<Arc<Call>> {
        self.book().by_sid.get(sid).cloned()
    }

    pub fn remove(&self, sid: &str) {
        let mut book = self.book();
        book.by_sid.remove(sid);
        book.history.retain(|call| call.sid != sid);
    }

    /// Every call, newest first.
    pub fn newest_first(&self) -> Vec<Arc<Call>> {
        self.book().history.iter().rev().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("nothing panics while it holds the account's calls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_the_queue_one_per_interval() {
        let exchange = Exchange::default();
        let now = Instant::now();
        let interval = Duration::from_secs(1);
        let waits: Vec<_> = (0..3)
            .map(|_| (exchange.next_release(now, interval) - now).as_secs())
            .collect();
        assert_eq!(waits, [0, 1, 2]);
        let later = now + Duration::from_secs(60);
        assert_eq!(exchange.next_release(later, interval), later);
    }

    #[test]
    fn places_are_limited_and_come_back() {
        let exchange = Exchange::default();
        assert!(exchange.take_place(Some(1)));
        assert!(!exchange.take_place(Some(1)));
        exchange.give_place_back();
        assert!(exchange.take_place(Some(1)));
    }
}
