//! Which vendor's agent takes a new call, by how the vendors' last conversations went.
//!
//! Time is that of the process that carries the audio: each learns for itself.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::ids::AgentVendor;

/// When a vendor is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// How many of the last conversations are looked at.
    pub window: usize,
    /// How many failures among them are too many.
    pub most_failures: usize,
    /// How long the vendor rests first; each time that it fails again twice as long.
    pub rest: Duration,
    /// The longest rest.
    pub longest_rest: Duration,
}

impl Default for FailoverPolicy {
    /// Three failures among the last ten; rests from half a minute to ten minutes.
    fn default() -> Self {
        Self {
            window: 10,
            most_failures: 3,
            rest: Duration::from_secs(30),
            longest_rest: Duration::from_secs(600),
        }
    }
}

/// How the vendors do.
#[derive(Debug, Default)]
pub struct Standings {
    policy: FailoverPolicy,
    by_vendor: BTreeMap<AgentVendor, Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    /// Whether each of the last conversations failed, the latest last.
    recent: VecDeque<bool>,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    until: Instant,
    length: Duration,
    /// A call finds out whether the vendor is well again; the others wait for what becomes of it.
    is_tried: bool,
}

impl Standings {
    /// Nothing is known of anybody yet.
    pub fn new(policy: FailoverPolicy) -> Self {
        Self {
            policy,
            by_vendor: BTreeMap::new(),
        }
    }

    /// The order in which to ask `vendors` for an agent, of whom the first is wanted most: those that rest
    /// come last. When the rest of one is over that would have been asked first, this call tries it.
    pub fn order(&mut self, vendors: Vec<AgentVendor>, now: Instant) -> Vec<AgentVendor> {
        let mut is_first = true;
        let (well, resting): (Vec<_>, Vec<_>) = vendors.into_iter().partition(|vendor| {
            let standing = self.by_vendor.get_mut(vendor);
            let is_well = match standing.and_then(|it| it.rest.as_mut()) {
                None => true,
                Some(rest) => is_first && rest.may_be_tried(now),
            };
            is_first &= !is_well;
            is_well
        });
        well.into_iter().chain(resting).collect()
    }

    /// A conversation ended as it should. Returns whether the vendor's rest ended with it.
    pub fn went_well(&mut self, vendor: &AgentVendor) -> bool {
        let window = self.policy.window;
        let standing = self.by_vendor.entry(vendor.clone()).or_default();
        match &standing.rest {
            None => {
                standing.remember(false, window);
                false
            }
            // From before it began to rest.
            Some(rest) if !rest.is_tried => false,
            Some(_) => {
                *standing = Standing::default();
                true
            }
        }
    }

    /// No conversation could be had, or it broke. Returns how long the vendor rests, when that is news.
    pub fn failed(&mut self, vendor: &AgentVendor, now: Instant) -> Option<Duration> {
        let policy = self.policy;
        let standing = self.by_vendor.entry(vendor.clone()).or_default();
        standing.remember(true, policy.window);
        let length = match &standing.rest {
            None => {
                let n_failed = standing.recent.iter().filter(|failed| **failed).count();
                (n_failed >= policy.most_failures).then_some(policy.rest)?
            }
            // From before it began to rest, or there was nobody else to ask.
            Some(rest) if !rest.is_tried => return None,
            Some(rest) => (rest.length * 2).min(policy.longest_rest),
        };
        standing.rest = Some(Rest {
            until: now + length,
            length,
            is_tried: false,
        });
        Some(length)
    }
}

impl Rest {
    /// Whether a call may find out now whether the vendor is well again. The next one may when this long
    /// nothing became known of it.
    fn may_be_tried(&mut self, now: Instant) -> bool {
        let is_over = now >= self.until;
        if is_over {
            self.until = now + self.length;
            self.is_tried = true;
        }
        is_over
    }
}

impl Standing {
    fn remember(&mut self, failed: bool, window: usize) {
        self.recent.push_back(failed);
        while self.recent.len() > window {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vendors() -> Vec<AgentVendor> {
        ["one", "other"].map(|name| name.parse().unwrap()).to_vec()
    }

    fn began() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn first(standings: &mut Standings, now: Instant) -> String {
        let order = standings.order(vendors(), now);
        assert_eq!(order.len(), 2);
        order[0].to_string()
    }

    // proves F-36
    #[test]
    fn a_vendor_that_fails_again_and_again_is_asked_last() {
        let (mut standings, now) = (Standings::default(), began());
        let one = &vendors()[0];
        assert_eq!(standings.failed(one, now), None);
        assert!(!standings.went_well(one));
        assert_eq!(standings.failed(one, now), None);
        assert_eq!(first(&mut standings, now), "one");
        assert_eq!(standings.failed(one, now), Some(Duration::from_secs(30)));
        assert_eq!(first(&mut standings, now), "other");
        // What had begun before ends, well or not.
        assert!(!standings.went_well(one));
        assert_eq!(standings.failed(one, now), None);
        assert_eq!(first(&mut standings, now), "other");
    }

    // proves F-36
    #[test]
    fn one_call_finds_out_whether_it_is_well_again() {
        let (mut standings, begin) = (Standings::default(), began());
        let one = &vendors()[0];
        for _ in 0..3 {
            standings.failed(one, begin);
        }
        let mut now = begin + Duration::from_secs(30);
        assert_eq!(first(&mut standings, now), "one");
        assert_eq!(first(&mut standings, now), "other");
        assert_eq!(standings.failed(one, now), Some(Duration::from_secs(60)));
        now += Duration::from_secs(59);
        assert_eq!(first(&mut standings, now), "other");
        now += Duration::from_secs(1);
        assert_eq!(first(&mut standings, now), "one");
        assert!(standings.went_well(one));
        for _ in 0..2 {
            assert_eq!(first(&mut standings, now), "one");
            assert_eq!(standings.failed(one, now), None);
        }
    }

    #[test]
    fn a_few_failures_among_many_conversations_are_no_reason() {
        let (mut standings, now) = (Standings::default(), began());
        let one = &vendors()[0];
        for n in 0..200 {
            if n % 5 == 0 {
                assert_eq!(standings.failed(one, now), None);
            } else {
                standings.went_well(one);
            }
        }
        assert_eq!(first(&mut standings, now), "one");
    }

    #[test]
    fn who_is_not_asked_is_not_tried_and_if_all_rest_all_are_asked() {
        let (mut standings, begin) = (Standings::default(), began());
        let [one, other] = &vendors()[..] else {
            panic!("two vendors");
        };
        for _ in 0..3 {
            standings.failed(other, begin);
        }
        let later = begin + Duration::from_secs(30);
        assert_eq!(first(&mut standings, later), "one");
        // The one call that may try it is still to come.
        for _ in 0..3 {
            standings.failed(one, later);
        }
        assert_eq!(first(&mut standings, later), "other");
        assert_eq!(first(&mut standings, later), "one");
    }

    proptest! {
        #[test]
        fn everybody_is_asked_once_and_no_rest_is_longer_than_the_longest(
            steps in proptest::collection::vec((0_u8..3, 0_usize..2, 0_u64..700), 0..200),
        ) {
            let (mut standings, mut now) = (Standings::default(), began());
            for (step, vendor, seconds) in steps {
                let vendor = &vendors()[vendor];
                match step {
                    0 => {
                        let mut order = standings.order(vendors(), now);
                        order.sort();
                        prop_assert_eq!(order, vendors());
                    }
                    1 => drop(standings.went_well(vendor)),
                    _ => {
                        let rest = standings.failed(vendor, now).unwrap_or_default();
                        prop_assert!(rest <= FailoverPolicy::default().longest_rest);
                    }
                }
                now += Duration::from_secs(seconds);
            }
        }
    }
}
