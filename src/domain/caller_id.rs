//! Which of several numbers a call comes from.
//!
//! A number that calls too often is marked as spam by carriers, so each has a daily cap and a least
//! time between its calls. Usage comes from saved attempts; nothing is remembered here. A retry
//! keeps the policy, not the number: it is a new choice from the same pool (F-13). A day is a UTC
//! day, because a pool calls into many zones and the caps only keep the reputation of a number.

use std::{
    cmp::{Reverse, max},
    collections::BTreeMap,
    time::Duration,
};

use super::{
    Timestamp,
    ids::AttemptId,
    phone::PhoneNumber,
    ranges::{self, Country},
    spread,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Numbers to call from, and how one is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerIdPool {
    /// The numbers, in the operator's order.
    pub numbers: Vec<PhoneNumber>,
    /// How one of them is chosen.
    pub choice: Choice,
    /// The most calls from one number in a day.
    pub per_day: Option<u32>,
    /// The least time between two calls from one number.
    pub cooling: Option<Duration>,
}

/// How a number is chosen among those that may call now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// The one that has rested longest.
    RoundRobin,
    /// Any, from a hash of the attempt.
    Random,
    /// The one most like the callee's: country first, then leading digits.
    LocalPresence,
}

/// What is used of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberUsage {
    /// Calls from it since [`day_of`] the moment that is asked about.
    pub n_today: u32,
    /// Its latest dial start, in the past or shortly ahead.
    pub last_start: Option<Timestamp>,
    /// Until when it rests after the carrier refused it as caller id (F-21).
    pub rests_until: Option<Timestamp>,
}

/// What came of choosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// Call from this one.
    Number(PhoneNumber),
    /// None may call now; the first may at this instant.
    Wait(Timestamp),
    /// There is no number that could ever call.
    None,
}

impl Choice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::Random, Self::LocalPresence];

    /// The choice's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "roundRobin",
            Self::Random => "random",
            Self::LocalPresence => "localPresence",
        }
    }

    /// The choice of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == name)
    }
}

impl NumberUsage {
    /// The usage after one more call that starts at `at`: for several choices in one round.
    #[must_use]
    pub fn after_start(self, at: Timestamp) -> Self {
        Self {
            n_today: self.n_today.saturating_add(1),
            last_start: max(self.last_start, Some(at)),
            ..self
        }
    }
}

/// When the day of `at` began.
pub fn day_of(at: Timestamp) -> Timestamp {
    let into_day = at.as_second().rem_euclid(DAY.as_secs().cast_signed());
    Timestamp::from_second(at.as_second() - into_day)
        .expect("a day begins at or after the first instant there is")
}

/// The number that attempt `seed` to `to` comes from when it starts at `at`.
///
/// A number that must wait is passed over rather than waited for: a call from the second best
/// number is worth more than a later one from the best.
pub fn choose(
    pool: &CallerIdPool,
    usage: &BTreeMap<PhoneNumber, NumberUsage>,
    to: &PhoneNumber,
    seed: AttemptId,
    at: Timestamp,
) -> Pick {
    let used = |number: &PhoneNumber| usage.get(number).copied().unwrap_or_default();
    let ready: Vec<(&PhoneNumber, Timestamp)> = pool
        .numbers
        .iter()
        .filter_map(|number| Some((number, ready_at(pool, used(number), at)?)))
        .collect();
    let free: Vec<&PhoneNumber> = ready
        .iter()
        .filter(|(_, ready_at)| *ready_at <= at)
        .map(|(number, _)| *number)
        .collect();
    let best = match pool.choice {
        Choice::Random => free.get(spread::choice(seed, free.len())).copied(),
        // `min_by_key` takes the first of equals: the operator's order.
        Choice::RoundRobin => free
            .into_iter()
            .min_by_key(|number| used(number).last_start),
        Choice::LocalPresence => {
            let country = ranges::country(to);
            free.into_iter().min_by_key(|number| {
                let NumberUsage {
                    n_today,
                    last_start,
                    ..
                } = used(number);
                (Reverse(nearness(number, to, &country)), n_today, last_start)
            })
        }
    };
    match (best, ready.iter().map(|(_, at)| *at).min()) {
        (Some(number), _) => Pick::Number(number.clone()),
        (None, Some(earliest)) => Pick::Wait(earliest),
        (None, None) => Pick::None,
    }
}

/// When the first number of a pool may call, at `now` or later; none when none ever may.
pub fn next_free_at(
    pool: &CallerIdPool,
    usage: &BTreeMap<PhoneNumber, NumberUsage>,
    now: Timestamp,
) -> Option<Timestamp> {
    let used = |number: &PhoneNumber| usage.get(number).copied().unwrap_or_default();
    let numbers = pool.numbers.iter();
    numbers
        .filter_map(|number| ready_at(pool, used(number), now))
        .min()
}

/// Those of `starts`, which rise, for which there is a number that may call then, each start's number
/// counted as used: so many people are worth claiming. Whoever is claimed beyond that is only put off.
pub fn with_numbers(
    pool: &CallerIdPool,
    usage: &BTreeMap<PhoneNumber, NumberUsage>,
    starts: &[Timestamp],
) -> Vec<Timestamp> {
    let mut used: Vec<NumberUsage> = pool
        .numbers
        .iter()
        .map(|number| usage.get(number).copied().unwrap_or_default())
        .collect();
    let mut take = |at: Timestamp| {
        let mut each = used.iter_mut();
        let free = each.find(|used| ready_at(pool, **used, at).is_some_and(|ready| ready <= at))?;
        *free = free.after_start(at);
        Some(at)
    };
    starts.iter().filter_map(|at| take(*at)).collect()
}

/// When a number may call next, at `at` or later; none when its daily cap allows nothing at all.
fn ready_at(pool: &CallerIdPool, usage: NumberUsage, at: Timestamp) -> Option<Timestamp> {
    if pool.per_day == Some(0) {
        return None;
    }
    let is_capped = pool.per_day.is_some_and(|cap| usage.n_today >= cap);
    let tomorrow = is_capped.then(|| day_of(at) + DAY);
    let cooled = usage
        .last_start
        .zip(pool.cooling)
        .map(|(last, cooling)| last + cooling);
    [tomorrow, cooled, usage.rests_until]
        .into_iter()
        .flatten()
        .chain([at])
        .max()
}

/// How like the callee's a number is: same country first, then how many leading digits agree, which
/// in every numbering plan includes the area code.
fn nearness(number: &PhoneNumber, to: &PhoneNumber, country: &Country) -> (bool, usize) {
    let n_same = number
        .as_str()
        .bytes()
        .zip(to.as_str().bytes())
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    (ranges::country(number) == *country, n_same)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::EnrollmentId;

    /// 2025-10-09 08:53:20 UTC.
    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);
    const NEW_YORK: &str = "+12125550100";
    const NEW_YORK_2: &str = "+12125550101";
    const CHICAGO: &str = "+13125550100";
    const LONDON: &str = "+442079460018";

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    fn attempt(n: u128) -> AttemptId {
        AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(n)),
            number: 1,
        }
    }

    fn pool(choice: Choice, numbers: &[&str]) -> CallerIdPool {
        CallerIdPool {
            numbers: numbers.iter().map(|text| number(text)).collect(),
            choice,
            per_day: None,
            cooling: None,
        }
    }

    fn started(n_today: u32, secs_ago: u64) -> NumberUsage {
        NumberUsage {
            n_today,
            last_start: Some(NOW - Duration::from_secs(secs_ago)),
            rests_until: None,
        }
    }

    fn pick(pool: &CallerIdPool, usage: &[(&str, NumberUsage)], to: &str) -> Pick {
        let usage = usage.iter().map(|(text, used)| (number(text), *used));
        choose(pool, &usage.collect(), &number(to), attempt(1), NOW)
    }

    fn picked(text: &str) -> Pick {
        Pick::Number(number(text))
    }

    #[test]
    fn round_robin_takes_the_one_that_rested_longest() {
        let pool = pool(Choice::RoundRobin, &[NEW_YORK, CHICAGO, LONDON]);
        assert_eq!(pick(&pool, &[], CHICAGO), picked(NEW_YORK));
        let usage = [
            (NEW_YORK, started(9, 5)),
            (CHICAGO, started(1, 9)),
            (LONDON, started(1, 2)),
        ];
        assert_eq!(pick(&pool, &usage, LONDON), picked(CHICAGO));
    }

    #[test]
    fn round_robin_takes_all_in_turn() {
        let pool = pool(Choice::RoundRobin, &[NEW_YORK, CHICAGO, LONDON]);
        let mut usage: BTreeMap<PhoneNumber, NumberUsage> = BTreeMap::new();
        for n in 0..9 {
            let at = NOW + Duration::from_secs(n);
            let Pick::Number(chosen) = choose(&pool, &usage, &number(LONDON), attempt(1), at)
            else {
                panic!("one is free")
            };
            let used = usage.entry(chosen).or_default();
            *used = used.after_start(at);
        }
        assert!(usage.len() == 3 && usage.values().all(|used| used.n_today == 3));
    }

    #[test]
    fn random_is_the_same_for_the_same_attempt_and_spread_over_attempts() {
        let pool = pool(Choice::Random, &[NEW_YORK, CHICAGO, LONDON]);
        let of = |n| choose(&pool, &BTreeMap::new(), &number(LONDON), attempt(n), NOW);
        assert_eq!(of(7), of(7));
        let n_london = (0..3_000).filter(|n| of(*n) == picked(LONDON)).count();
        assert!((850..1_150).contains(&n_london), "{n_london}");
    }

    #[test]
    fn local_presence_prefers_the_area_then_the_country_then_the_least_used() {
        let pool = pool(
            Choice::LocalPresence,
            &[LONDON, CHICAGO, NEW_YORK, NEW_YORK_2],
        );
        let usage = [(NEW_YORK, started(5, 60)), (NEW_YORK_2, started(2, 30))];
        assert_eq!(pick(&pool, &usage, "+13125559999"), picked(CHICAGO));
        assert_eq!(pick(&pool, &usage, "+12129995555"), picked(NEW_YORK_2));
        assert_eq!(pick(&pool, &usage, "+441212345678"), picked(LONDON));
    }

    #[test]
    fn local_presence_knows_that_one_prefix_can_be_many_countries() {
        // Jamaica (876) and Texas (817) share more digits than Jamaica's two area codes do.
        let pool = pool(Choice::LocalPresence, &["+18175550100", "+16582345678"]);
        assert_eq!(pick(&pool, &[], "+18762345678"), picked("+16582345678"));
    }

    #[test]
    fn a_number_that_must_wait_is_passed_over() {
        let mut pool = pool(Choice::LocalPresence, &[NEW_YORK, CHICAGO]);
        pool.cooling = Some(Duration::from_secs(60));
        let usage = [(NEW_YORK, started(1, 10))];
        assert_eq!(pick(&pool, &usage, NEW_YORK_2), picked(CHICAGO));
    }

    #[test]
    fn when_all_must_wait_the_first_to_be_free_is_named() {
        let mut pool = pool(Choice::RoundRobin, &[NEW_YORK, CHICAGO]);
        pool.cooling = Some(Duration::from_secs(60));
        let usage = [(NEW_YORK, started(1, 10)), (CHICAGO, started(1, 25))];
        assert_eq!(
            pick(&pool, &usage, LONDON),
            Pick::Wait(NOW + Duration::from_secs(35))
        );
    }

    #[test]
    fn a_capped_number_is_free_on_the_next_day() {
        let mut pool = pool(Choice::Random, &[NEW_YORK]);
        pool.per_day = Some(100);
        assert_eq!(
            pick(&pool, &[(NEW_YORK, started(99, 60))], LONDON),
            picked(NEW_YORK)
        );
        assert_eq!(
            pick(&pool, &[(NEW_YORK, started(100, 60))], LONDON),
            Pick::Wait("2025-10-10T00:00:00Z".parse().unwrap())
        );
    }

    // proves F-21
    #[test]
    fn a_number_that_the_carrier_refused_rests() {
        let pool = pool(Choice::RoundRobin, &[NEW_YORK, CHICAGO]);
        let resting = NumberUsage {
            rests_until: Some(NOW + Duration::from_secs(1)),
            ..NumberUsage::default()
        };
        assert_eq!(
            pick(&pool, &[(NEW_YORK, resting)], NEW_YORK_2),
            picked(CHICAGO)
        );
    }

    #[test]
    fn nothing_to_choose_from_is_no_number() {
        let mut pool = pool(Choice::RoundRobin, &[]);
        assert_eq!(pick(&pool, &[], LONDON), Pick::None);
        pool = CallerIdPool {
            per_day: Some(0),
            ..self::pool(Choice::Random, &[NEW_YORK])
        };
        assert_eq!(pick(&pool, &[], LONDON), Pick::None);
    }

    #[test]
    fn the_pool_is_free_when_its_first_number_is() {
        let mut pool = pool(Choice::LocalPresence, &[NEW_YORK, CHICAGO]);
        pool.cooling = Some(Duration::from_secs(60));
        let free_at = |usage: &[(&str, NumberUsage)]| {
            let usage = usage.iter().map(|(text, used)| (number(text), *used));
            next_free_at(&pool, &usage.collect(), NOW)
        };
        assert_eq!(free_at(&[(NEW_YORK, started(1, 10))]), Some(NOW));
        let both = [(NEW_YORK, started(1, 10)), (CHICAGO, started(1, 25))];
        assert_eq!(free_at(&both), Some(NOW + Duration::from_secs(35)));
        let none = CallerIdPool {
            per_day: Some(0),
            ..pool.clone()
        };
        assert_eq!(next_free_at(&none, &BTreeMap::new(), NOW), None);
    }

    #[test]
    fn no_more_starts_are_worth_a_claim_than_numbers_can_make() {
        let starts: Vec<_> = (0..10)
            .map(|n| NOW + Duration::from_millis(100 * n))
            .collect();
        let n_worth = |pool: &CallerIdPool, used: NumberUsage| {
            let usage = [(number(NEW_YORK), used)].into_iter().collect();
            with_numbers(pool, &usage, &starts).len()
        };
        let mut pool = pool(Choice::RoundRobin, &[NEW_YORK, CHICAGO]);
        assert_eq!(n_worth(&pool, started(9, 1)), 10, "nothing limits it");
        pool.cooling = Some(Duration::from_secs(60));
        assert_eq!(n_worth(&pool, started(1, 90)), 2);
        assert_eq!(n_worth(&pool, started(1, 10)), 1);
        pool.cooling = Some(Duration::from_millis(500));
        assert_eq!(n_worth(&pool, started(1, 10)), 4);
        pool.cooling = None;
        pool.per_day = Some(3);
        assert_eq!(n_worth(&pool, started(3, 10)), 3);
        assert_eq!(n_worth(&pool, started(1, 10)), 5);
    }

    #[test]
    fn names_are_read_back() {
        for choice in Choice::ALL {
            assert_eq!(Choice::from_name(choice.name()), Some(choice));
        }
    }

    proptest! {
        #[test]
        fn every_pick_keeps_cap_cooling_and_rest(
            which in 0_usize..3, per_day in proptest::option::of(0_u32..5),
            cooling_s in proptest::option::of(0_u64..600), seed: u128,
            used in proptest::collection::vec((0_u32..6, proptest::option::of(-60_i64..900), proptest::option::of(-60_i64..60)), 4),
        ) {
            let texts = [NEW_YORK, NEW_YORK_2, CHICAGO, LONDON];
            let pool = CallerIdPool {
                per_day,
                cooling: cooling_s.map(Duration::from_secs),
                ..pool(Choice::ALL[which], &texts)
            };
            let ago = |secs: i64| NOW - jiff::SignedDuration::from_secs(secs);
            let usage: BTreeMap<_, _> = texts.iter().zip(&used).map(|(text, (n_today, last, rests))| {
                let used = NumberUsage {
                    n_today: *n_today,
                    last_start: last.map(ago),
                    rests_until: rests.map(ago),
                };
                (number(text), used)
            }).collect();
            let may = |used: &NumberUsage, at: Timestamp| {
                let n_today = if at >= day_of(NOW) + DAY { 0 } else { used.n_today };
                per_day.is_none_or(|cap| n_today < cap)
                    && used.last_start.zip(pool.cooling).is_none_or(|(last, cooling)| last + cooling <= at)
                    && used.rests_until.is_none_or(|until| until <= at)
            };
            match choose(&pool, &usage, &number(CHICAGO), attempt(seed), NOW) {
                Pick::Number(chosen) => prop_assert!(may(&usage[&chosen], NOW)),
                Pick::Wait(at) => {
                    prop_assert!(at > NOW);
                    prop_assert!(!usage.values().any(|used| may(used, NOW)));
                    prop_assert!(usage.values().any(|used| may(used, at)));
                }
                Pick::None => prop_assert_eq!(per_day, Some(0)),
            }
        }
    }
}
