//! How campaigns of one tenant share what the tenant may use.
//!
//! Two things can be short. Room for open calls is shared by weight over what each campaign has open
//! in all ([`share`]). Dial starts per second are shared by weight over time ([`turns`]): whose turn
//! it is follows from the saved starts of the last while, so that another process, or this one after
//! a restart, goes on with the same turn. A campaign that had nobody to call saves up nothing.

use std::collections::BTreeMap;

use super::ids::CampaignId;

/// A campaign's weight against the others of its tenant, from 1 to 10: one of weight 10 gets twice
/// what one of weight 5 gets, as long as both can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

/// The number is no priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a priority of {0} is not between 1 and 10")]
pub struct PriorityError(u32);

impl Default for Priority {
    /// The middle: 5.
    fn default() -> Self {
        Self(5)
    }
}

impl TryFrom<u32> for Priority {
    type Error = PriorityError;

    fn try_from(value: u32) -> Result<Self, PriorityError> {
        match u8::try_from(value) {
            Ok(weight @ 1..=10) => Ok(Self(weight)),
            _ => Err(PriorityError(value)),
        }
    }
}

impl Priority {
    /// From 1 to 10.
    pub fn weight(self) -> u32 {
        u32::from(self.0)
    }
}

/// What one campaign could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Whose.
    pub campaign: CampaignId,
    /// Its weight against the others.
    pub priority: Priority,
    /// How many calls it could begin now: due people, within its own limits.
    pub n_wanted: u32,
    /// How many calls it has open.
    pub n_open: u32,
}

/// How many of `room` calls each campaign may begin, in the order of `demands`.
///
/// Weighted max-min fairness over open calls: one after the other, each place goes to the campaign
/// that has least for its weight, calls that are open already included. So nobody gets more than it
/// wants, nothing is left over while anybody wants it, and a campaign with nothing open comes first.
pub fn share(demands: &[Demand], room: u32) -> Vec<u32> {
    let mut given = vec![0_u32; demands.len()];
    for _ in 0..room {
        let poorest = demands
            .iter()
            .zip(&given)
            .enumerate()
            .filter(|(_, (demand, given))| **given < demand.n_wanted)
            .min_by(|(_, a), (_, b)| held(a).cmp_by_weight(&held(b)))
            .map(|(place, _)| place);
        match poorest {
            Some(place) => given[place] += 1,
            None => break,
        }
    }
    given
}

/// Places per weight, compared without rounding.
struct Held {
    n: u64,
    weight: u64,
}

fn held((demand, given): &(&Demand, &u32)) -> Held {
    Held {
        n: u64::from(demand.n_open) + u64::from(**given),
        weight: u64::from(demand.priority.weight()),
    }
}

impl Held {
    /// Who has less for its weight; of equals the heavier comes first.
    fn cmp_by_weight(&self, other: &Self) -> std::cmp::Ordering {
        (self.n * other.weight)
            .cmp(&(other.n * self.weight))
            .then(other.weight.cmp(&self.weight))
    }
}

/// How many past starts [`turns`] should be given: enough for the lightest campaign among many heavy
/// ones to appear. One that does not appear is simply next.
pub const HISTORY: usize = 500;

/// One unit of virtual time. Every weight divides it, so that turns are exact.
const UNIT: u64 = 2_520;

/// Whose turn the next `n` dial starts are, soonest first; fewer when no more is wanted.
///
/// `past` has the tenant's latest starts by campaign, oldest first: up to [`HISTORY`] saved attempts.
/// Each start moves its campaign on by a step that is short for a heavy one, and the turn is whose
/// campaign stands furthest back (start-time fair queueing). Who was away joins where the others are
/// now, so it neither waits nor catches up. Of equals the one comes first that started longest ago.
pub fn turns(demands: &[Demand], past: &[CampaignId], n: u32) -> Vec<CampaignId> {
    let mut line = Line::default();
    let weight_of: BTreeMap<CampaignId, Priority> = demands
        .iter()
        .map(|demand| (demand.campaign, demand.priority))
        .collect();
    for campaign in past {
        // A campaign that has ended since took time from nobody who is still here.
        if let Some(priority) = weight_of.get(campaign) {
            line.start(*campaign, *priority);
        }
    }
    let mut wanted: Vec<(&Demand, u32)> = demands
        .iter()
        .map(|demand| (demand, demand.n_wanted))
        .collect();
    let mut turns = Vec::new();
    for _ in 0..n {
        let next = wanted
            .iter_mut()
            .filter(|(_, left)| *left > 0)
            .min_by_key(|(demand, _)| line.place(demand.campaign));
        let Some((demand, left)) = next else { break };
        *left -= 1;
        line.start(demand.campaign, demand.priority);
        turns.push(demand.campaign);
    }
    turns
}

/// How far each campaign has come, and how far all have.
#[derive(Default)]
struct Line {
    /// Where the campaign stands that started last: nobody joins further back.
    now: u64,
    n_starts: u64,
    /// Where a campaign stands after its last start, and which start that was.
    stands: BTreeMap<CampaignId, (u64, u64)>,
}

impl Line {
    fn place(&self, campaign: CampaignId) -> (u64, u64) {
        match self.stands.get(&campaign) {
            Some((stands, last)) => (self.now.max(*stands), *last),
            None => (self.now, 0),
        }
    }

    fn start(&mut self, campaign: CampaignId, priority: Priority) {
        let (place, _) = self.place(campaign);
        self.now = place;
        self.n_starts += 1;
        let step = UNIT / u64::from(priority.weight());
        self.stands.insert(campaign, (place + step, self.n_starts));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn campaign(n: u128) -> CampaignId {
        CampaignId::new(Uuid::from_u128(n))
    }

    fn demand(n: u128, weight: u32, n_wanted: u32, n_open: u32) -> Demand {
        Demand {
            campaign: campaign(n),
            priority: Priority::try_from(weight).unwrap(),
            n_wanted,
            n_open,
        }
    }

    /// `n` starts, one a round, each round knowing only the saved starts before it.
    fn one_by_one(demands: &[Demand], past: &[CampaignId], n: usize) -> Vec<CampaignId> {
        let mut all = past.to_vec();
        for _ in 0..n {
            let from = all.len().saturating_sub(HISTORY);
            let next = turns(demands, &all[from..], 1);
            all.extend(next);
        }
        all.split_off(past.len())
    }

    fn count(starts: &[CampaignId], n: u128) -> usize {
        starts.iter().filter(|start| **start == campaign(n)).count()
    }

    #[test]
    fn room_is_shared_by_weight() {
        let demands = [demand(1, 5, 100, 0), demand(2, 10, 100, 0)];
        assert_eq!(share(&demands, 30), [10, 20]);
    }

    #[test]
    fn what_one_does_not_want_goes_to_the_others() {
        let demands = [
            demand(1, 5, 3, 0),
            demand(2, 5, 100, 0),
            demand(3, 5, 100, 0),
        ];
        assert_eq!(share(&demands, 21), [3, 9, 9]);
    }

    #[test]
    fn open_calls_count_as_received() {
        let demands = [demand(1, 5, 100, 8), demand(2, 5, 100, 0)];
        assert_eq!(share(&demands, 6), [0, 6]);
        assert_eq!(share(&demands, 12), [2, 10]);
    }

    #[test]
    fn a_light_campaign_with_nothing_open_gets_the_next_place() {
        let demands = [demand(1, 10, 100, 1), demand(2, 1, 100, 0)];
        assert_eq!(share(&demands, 1), [0, 1]);
    }

    #[test]
    fn starts_are_shared_by_weight_over_time() {
        let demands = [demand(1, 2, 9, 0), demand(2, 3, 9, 0)];
        let starts = one_by_one(&demands, &[], 500);
        assert_eq!((count(&starts, 1), count(&starts, 2)), (200, 300));
    }

    #[test]
    fn the_lightest_among_many_heavy_ones_is_not_forgotten() {
        let mut demands: Vec<_> = (2..40).map(|n| demand(n, 10, 9, 0)).collect();
        demands.push(demand(1, 1, 9, 0));
        let starts = one_by_one(&demands, &[], 10 * 381);
        let places: Vec<usize> = (0..starts.len())
            .filter(|n| starts[*n] == campaign(1))
            .collect();
        assert!(
            places
                .windows(2)
                .all(|pair| (pair[1] - pair[0]).abs_diff(381) <= 38),
            "{places:?}"
        );
        assert!(count(&starts, 1).abs_diff(10) <= 1);
    }

    #[test]
    fn who_was_away_neither_waits_nor_catches_up() {
        let both = [demand(1, 5, 9, 0), demand(2, 5, 9, 0)];
        let past = vec![campaign(1); 300];
        let starts = one_by_one(&both, &past, 10);
        assert_eq!(starts[0], campaign(2));
        assert_eq!(count(&starts, 1), 5);
    }

    #[test]
    fn a_round_of_many_starts_has_the_turns_of_as_many_rounds() {
        let demands = [
            demand(1, 1, 99, 0),
            demand(2, 4, 99, 0),
            demand(3, 7, 99, 0),
        ];
        let past = [campaign(2), campaign(3), campaign(3)];
        assert_eq!(turns(&demands, &past, 40), one_by_one(&demands, &past, 40));
    }

    #[test]
    fn nobody_is_given_more_than_it_wants() {
        let demands = [demand(1, 1, 2, 0), demand(2, 10, 1, 0)];
        let starts = turns(&demands, &[], 9);
        assert_eq!((count(&starts, 1), count(&starts, 2)), (2, 1));
    }

    #[test]
    fn a_priority_is_from_one_to_ten() {
        assert!(Priority::try_from(0).is_err());
        assert!(Priority::try_from(11).is_err());
        assert_eq!(Priority::default().weight(), 5);
    }

    fn demands() -> impl Strategy<Value = Vec<Demand>> {
        let one = (1_u32..=10, 0_u32..40, 0_u32..40);
        proptest::collection::vec(one, 0..12).prop_map(|all| {
            all.into_iter()
                .zip(1..)
                .map(|((weight, wanted, open), n)| demand(n, weight, wanted, open))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn all_room_is_used_and_nobody_gets_too_much(demands in demands(), room in 0_u32..300) {
            let given = share(&demands, room);
            let n_wanted: u32 = demands.iter().map(|demand| demand.n_wanted).sum();
            prop_assert_eq!(given.iter().sum::<u32>(), room.min(n_wanted));
            for (demand, given) in demands.iter().zip(&given) {
                prop_assert!(*given <= demand.n_wanted);
            }
        }

        // Max-min: nobody could have one more without taking it from somebody who has no more for
        // its weight.
        #[test]
        fn nobody_has_more_at_the_cost_of_somebody_with_less(demands in demands(), room in 0_u32..300) {
            let given = share(&demands, room);
            for (poor, poor_given) in demands.iter().zip(&given) {
                if *poor_given == poor.n_wanted {
                    continue;
                }
                for (rich, rich_given) in demands.iter().zip(&given).filter(|(_, n)| **n > 0) {
                    let before = u64::from(rich.n_open + rich_given - 1) * u64::from(poor.priority.weight());
                    let has = u64::from(poor.n_open + poor_given) * u64::from(rich.priority.weight());
                    prop_assert!(before <= has);
                }
            }
        }

        #[test]
        fn starts_over_time_follow_the_weights(weights in proptest::collection::vec(1_u32..=10, 1..8)) {
            let demands: Vec<_> = weights.iter().zip(1..).map(|(weight, n)| demand(n, *weight, 99, 0)).collect();
            let total: u32 = weights.iter().sum();
            let starts = one_by_one(&demands, &[], total as usize * 4);
            for (weight, n) in weights.iter().zip(1..) {
                let ideal = *weight as usize * 4;
                prop_assert!(count(&starts, n).abs_diff(ideal) <= 1, "{} instead of {ideal}", count(&starts, n));
            }
        }
    }
}
