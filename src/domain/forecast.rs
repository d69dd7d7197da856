//! What a campaign will take: calls, time and money, before it starts or while it runs.
//!
//! A forecast is a range from two runs over the same people: one with every estimate at its
//! favourable end, one with every estimate at the other. What cannot be known stays unknown: without
//! measured answers there is no end and no cost, only the least that is certain.
//!
//! Assumed, and not more exact than that:
//! - Everybody is due at once and whoever is open is called in proportion to how many are left; a
//!   retry is one more call of the same group.
//! - A call holds its place for the ringing and, when somebody answers, for the talk.
//! - A group is called until its opening ends, so the last calls of a day are not cut short.
//! - The waits between the attempts of one person are added once, for the last person, to the later
//!   end only.
//! - Other campaigns, rests, breakers and ramps take nothing away.

use std::{collections::BTreeMap, time::Duration};

use super::{Timestamp, pacing::PacingLimits, rules::Rule};

/// How far ahead a forecast looks; what is not done by then has no end that is worth naming.
pub const FARTHEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The most steps of one run: openings change a few times a day in each group.
const MOST_STEPS: usize = 20_000;

/// A range that the true value is expected in, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span<T> {
    /// The least.
    pub low: T,
    /// The most.
    pub high: T,
}

/// People who may be called at the same times.
pub struct Group<'a> {
    /// What they have in common, for people to read: a zone or a place.
    pub place: &'a str,
    /// How many of them are still to be called.
    pub n_people: u64,
    /// Whether they may be called at an instant, and when that changes next.
    pub opening: &'a dyn Fn(Timestamp) -> Opening,
}

/// Whether a group may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Whether it may be called now.
    pub is_open: bool,
    /// When that changes; none when it never does.
    pub changes_at: Option<Timestamp>,
}

/// What is known about how calls go; none is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimates {
    /// The share of attempts after which a person is not called again; see [`share_of`].
    pub done_share: Option<Span<f64>>,
    /// The share of attempts that somebody or something answers.
    pub answered_share: Option<Span<f64>>,
    /// How long an answered call lasts.
    pub talk: Option<Span<Duration>>,
}

/// What the campaign has set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How fast, the tenant's own limits included.
    pub pacing: PacingLimits,
    /// Whose limit on open calls that is.
    pub slots: Rule,
    /// The most attempts for one person.
    pub max_attempts: u32,
    /// The longest that the waits between all attempts of one person take together.
    pub longest_waits: Duration,
    /// How long it rings at most.
    pub ring: Duration,
    /// How long a call lasts at most.
    pub max_duration: Duration,
    /// What a minute costs, in millionths of a US dollar.
    pub per_minute_micro_usd: Option<u64>,
}

/// What a campaign will take.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// How many people will be called.
    pub n_people: u64,
    /// How many will not, by why not.
    pub skipped: BTreeMap<String, u64>,
    /// How many calls.
    pub calls: Span<u64>,
    /// The most calls that are open at once.
    pub most_open: u32,
    /// The limit that says so.
    pub slots: Rule,
    /// When the last call is over. The early end is none when nobody can be called at all within
    /// [`FARTHEST`]; the late one also when too little is known.
    pub finish: Span<Option<Timestamp>>,
    /// What it costs, in millionths of a US dollar; none without a price or without measured calls.
    pub cost_micro_usd: Option<Span<u64>>,
    /// Places in which nobody may be called within [`FARTHEST`].
    pub never_open: Vec<String>,
}

/// The fewest calls from which a share is estimated at all.
pub const LEAST_MEASURED: u64 = 30;

/// The share that `n_hits` of `n_all` speak for: where the true one lies nineteen times of twenty
/// (Wilson's interval). None below [`LEAST_MEASURED`].
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls stay far below 2^52"
)]
pub fn share_of(n_hits: u64, n_all: u64) -> Option<Span<f64>> {
    const Z: f64 = 1.96;
    if n_all < LEAST_MEASURED {
        return None;
    }
    let (n, share) = (n_all as f64, n_hits.min(n_all) as f64 / n_all as f64);
    let z2 = Z * Z / n;
    let middle = (share + z2 / 2.0) / (1.0 + z2);
    let half = Z * (share * (1.0 - share) / n + z2 / (4.0 * n)).sqrt() / (1.0 + z2);
    Some(Span {
        low: (middle - half).max(0.0),
        high: (middle + half).min(1.0),
    })
}

/// The forecast for `groups` from `now` on; `skipped` are those who will not be called.
pub fn forecast(
    groups: &[Group<'_>],
    skipped: BTreeMap<String, u64>,
    settings: &Settings,
    estimates: &Estimates,
    now: Timestamp,
) -> Forecast {
    let (open, never): (Vec<&Group<'_>>, Vec<&Group<'_>>) = groups
        .iter()
        .filter(|group| group.n_people > 0)
        .partition(|group| next_open(group, now).is_some());
    let n_people: u64 = open.iter().map(|group| group.n_people).sum();
    let per_person = calls_per_person(settings, estimates);
    let calls = Span {
        low: times(n_people, per_person.low),
        high: times(n_people, per_person.high),
    };
    Forecast {
        n_people,
        skipped,
        calls,
        most_open: settings.pacing.max_concurrent_calls,
        slots: settings.slots,
        finish: finish(&open, settings, estimates, per_person, now),
        cost_micro_usd: cost(calls, settings, estimates),
        never_open: never.iter().map(|group| group.place.to_owned()).collect(),
    }
}

/// How many calls a person gets on average. Without measured answers: one at least, the whole budget
/// at most.
fn calls_per_person(settings: &Settings, estimates: &Estimates) -> Span<f64> {
    let most = settings.max_attempts.max(1);
    match estimates.done_share {
        None => Span {
            low: 1.0,
            high: f64::from(most),
        },
        Some(share) => Span {
            low: expected_attempts(share.high, most),
            high: expected_attempts(share.low, most),
        },
    }
}

/// The mean number of attempts when each is the last with probability `share`, and `most` is the end.
fn expected_attempts(share: f64, most: u32) -> f64 {
    let share = share.clamp(0.0, 1.0);
    (0..most.min(1_000))
        .map(|n| (1.0 - share).powi(n.cast_signed()))
        .sum()
}

/// What the calls cost: those that are answered, by whole minutes.
fn cost(calls: Span<u64>, settings: &Settings, estimates: &Estimates) -> Option<Span<u64>> {
    let each = settings.per_minute_micro_usd?;
    let (answered, talk) = (estimates.answered_share?, estimates.talk?);
    estimates.done_share?;
    // A mean length says little about whole minutes: between not rounded at all and all rounded up.
    let minutes = Span {
        low: talk.low.as_secs_f64() / 60.0,
        high: talk.high.as_secs_f64() / 60.0 + 1.0,
    };
    let price =
        |calls: u64, share: f64, minutes: f64| times(times(each, minutes * share), to_f64(calls));
    Some(Span {
        low: price(calls.low, answered.low, minutes.low),
        high: price(calls.high, answered.high, minutes.high),
    })
}

/// The earliest and the latest end.
fn finish(
    groups: &[&Group<'_>],
    settings: &Settings,
    estimates: &Estimates,
    per_person: Span<f64>,
    now: Timestamp,
) -> Span<Option<Timestamp>> {
    let held = |answered: f64, talk: Duration| settings.ring + talk.mul_f64(answered);
    // Nothing measured: a call may be over at once, and it may last as long as it may.
    let answered = estimates.answered_share.unwrap_or(Span {
        low: 0.0,
        high: 1.0,
    });
    let talk = estimates.talk.unwrap_or(Span {
        low: Duration::ZERO,
        high: settings.max_duration,
    });
    let quickest = talk.low.mul_f64(answered.low);
    let slowest = held(answered.high, talk.high);
    let is_known = estimates.done_share.is_some()
        && estimates.answered_share.is_some()
        && estimates.talk.is_some();
    Span {
        low: run(groups, per_person.low, rate(settings, quickest), now),
        high: is_known
            .then(|| run(groups, per_person.high, rate(settings, slowest), now))
            .flatten()
            .map(|at| at + slowest + settings.longest_waits)
            .and_then(|at| after_opening(groups, at)),
    }
}

/// A retry that falls behind the end of an opening waits for the next of some group.
fn after_opening(groups: &[&Group<'_>], at: Timestamp) -> Option<Timestamp> {
    groups
        .iter()
        .filter_map(|group| next_open(group, at))
        .max()
        .or_else(|| groups.is_empty().then_some(at))
}

/// Calls a second: what the limits allow when each call holds its place for `held`.
fn rate(settings: &Settings, held: Duration) -> f64 {
    let pacing = &settings.pacing;
    let spacing = pacing.calls_per_second.interval().max(pacing.call_delay);
    let by_starts = 1.0 / spacing.as_secs_f64();
    let by_places = f64::from(pacing.max_concurrent_calls) / held.as_secs_f64();
    by_starts.min(by_places)
}

/// When all calls have begun at `per_second`; none when that is too far ahead.
///
/// Goes from one change of an opening to the next. Groups that are open together get calls in
/// proportion to what is left of them, so they come to their end together.
fn run(
    groups: &[&Group<'_>],
    per_person: f64,
    per_second: f64,
    now: Timestamp,
) -> Option<Timestamp> {
    let farthest = now + FARTHEST;
    let mut left: Vec<f64> = groups
        .iter()
        .map(|group| to_f64(group.n_people) * per_person)
        .collect();
    let mut at = now;
    for _ in 0..MOST_STEPS {
        if left.iter().all(|n| *n < 0.5) {
            return Some(at);
        }
        let openings: Vec<Opening> = groups.iter().map(|group| (group.opening)(at)).collect();
        let waiting = || left.iter().zip(&openings).filter(|(n, _)| **n >= 0.5);
        let n_open: f64 = waiting()
            .filter(|(_, opening)| opening.is_open)
            .map(|(n, _)| n)
            .sum();
        let changes_at = waiting()
            .filter_map(|(_, opening)| opening.changes_at)
            .filter(|change| *change > at)
            .min()
            .unwrap_or(farthest);
        let for_all = if n_open > 0.0 {
            Duration::try_from_secs_f64(n_open / per_second).unwrap_or(FARTHEST)
        } else {
            FARTHEST
        };
        let step = Duration::try_from(changes_at.duration_since(at))
            .unwrap_or_default()
            .min(for_all);
        let share_done = if n_open > 0.0 {
            (step.as_secs_f64() * per_second / n_open).min(1.0)
        } else {
            0.0
        };
        for (n, opening) in left.iter_mut().zip(&openings) {
            if opening.is_open {
                *n *= 1.0 - share_done;
            }
        }
        at += step;
        if at >= farthest {
            return None;
        }
    }
    None
}

/// When the group may be called at `now` or later, within [`FARTHEST`].
fn next_open(group: &Group<'_>, now: Timestamp) -> Option<Timestamp> {
    let mut at = now;
    for _ in 0..MOST_STEPS {
        let opening = (group.opening)(at);
        if opening.is_open {
            return Some(at);
        }
        at = opening
            .changes_at
            .filter(|change| *change > at && *change < now + FARTHEST)?;
    }
    None
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of people and calls stay far below 2^52"
)]
fn to_f64(n: u64) -> f64 {
    n as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "both factors are at least 0, and the cast stops at the greatest number"
)]
fn times(n: u64, factor: f64) -> u64 {
    (to_f64(n) * factor).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::pacing::CallRate;

    /// 08:00 UTC on a day.
    const NOW: Timestamp = Timestamp::constant(1_760_083_200 - 86_400 + 43_200, 0);
    const HOUR: i64 = 3_600;

    fn always(_: Timestamp) -> Opening {
        Opening {
            is_open: true,
            changes_at: None,
        }
    }

    fn never(_: Timestamp) -> Opening {
        Opening {
            is_open: false,
            changes_at: None,
        }
    }

    /// Open in the first `hours` of every 24 hours counted from `NOW`.
    fn daily(hours: i64) -> impl Fn(Timestamp) -> Opening {
        move |at| {
            let since = at.as_second() - NOW.as_second();
            let (day, into) = (since.div_euclid(24 * HOUR), since.rem_euclid(24 * HOUR));
            let is_open = into < hours * HOUR;
            let change = day * 24 + if is_open { hours } else { 24 };
            Opening {
                is_open,
                changes_at: Some(NOW + jiff::SignedDuration::from_hours(change)),
            }
        }
    }

    fn settings(per_second: f64, max_concurrent_calls: u32) -> Settings {
        Settings {
            pacing: PacingLimits {
                max_concurrent_calls,
                calls_per_second: CallRate::try_from(per_second).unwrap(),
                ..PacingLimits::default()
            },
            slots: Rule::CampaignSlots,
            max_attempts: 1,
            longest_waits: Duration::ZERO,
            ring: Duration::from_secs(25),
            max_duration: Duration::from_secs(900),
            per_minute_micro_usd: None,
        }
    }

    fn exactly<T: Copy>(value: T) -> Option<Span<T>> {
        Some(Span {
            low: value,
            high: value,
        })
    }

    fn known() -> Estimates {
        Estimates {
            done_share: exactly(1.0),
            answered_share: exactly(1.0),
            talk: exactly(Duration::from_secs(75)),
        }
    }

    fn one(
        n_people: u64,
        opening: &dyn Fn(Timestamp) -> Opening,
        settings: &Settings,
        estimates: &Estimates,
    ) -> Forecast {
        let group = Group {
            place: "somewhere",
            n_people,
            opening,
        };
        forecast(&[group], BTreeMap::new(), settings, estimates, NOW)
    }

    fn secs_from_now(at: Option<Timestamp>) -> Option<i64> {
        at.map(|at| at.as_second() - NOW.as_second())
    }

    #[test]
    fn the_rate_decides_when_places_are_plenty() {
        let found = one(7_200, &always, &settings(2.0, 10_000), &known());
        assert_eq!(
            found.calls,
            Span {
                low: 7_200,
                high: 7_200
            }
        );
        assert_eq!(secs_from_now(found.finish.low), Some(HOUR));
        assert_eq!(secs_from_now(found.finish.high), Some(HOUR + 100));
    }

    #[test]
    fn places_decide_when_calls_are_long() {
        // Ten places, 100 s each at the latest and 75 s at the earliest.
        let found = one(360, &always, &settings(50.0, 10), &known());
        assert_eq!(secs_from_now(found.finish.low), Some(2_700));
        assert_eq!(secs_from_now(found.finish.high), Some(3_700));
    }

    #[test]
    fn what_is_closed_waits_for_the_next_day() {
        let found = one(3 * 7_200, &daily(2), &settings(1.0, 10_000), &known());
        assert_eq!(secs_from_now(found.finish.low), Some(50 * HOUR));
    }

    #[test]
    fn groups_share_while_both_are_open() {
        let short = daily(1);
        let groups = [
            Group {
                place: "short",
                n_people: 3_600,
                opening: &short,
            },
            Group {
                place: "long",
                n_people: 3_600,
                opening: &always,
            },
        ];
        let found = forecast(
            &groups,
            BTreeMap::new(),
            &settings(1.0, 10_000),
            &known(),
            NOW,
        );
        // In the first hour each gets half; the rest of the short one waits for the second day.
        assert_eq!(secs_from_now(found.finish.low), Some(24 * HOUR + 1_800));
    }

    #[test]
    fn without_measured_calls_there_is_no_end_and_no_cost() {
        let settings = Settings {
            max_attempts: 3,
            per_minute_micro_usd: Some(100_000),
            ..settings(1.0, 10)
        };
        let found = one(600, &always, &settings, &Estimates::default());
        assert_eq!(
            found.calls,
            Span {
                low: 600,
                high: 1_800
            }
        );
        assert_eq!(secs_from_now(found.finish.low), Some(600));
        assert_eq!((found.finish.high, found.cost_micro_usd), (None, None));
    }

    #[test]
    fn cost_is_minutes_of_answered_calls() {
        let settings = Settings {
            per_minute_micro_usd: Some(100_000),
            ..settings(1.0, 100)
        };
        let estimates = Estimates {
            answered_share: Some(Span {
                low: 0.4,
                high: 0.6,
            }),
            talk: exactly(Duration::from_secs(60)),
            ..known()
        };
        let found = one(1_000, &always, &settings, &estimates);
        assert_eq!(
            found.cost_micro_usd,
            Some(Span {
                low: 40_000_000,
                high: 120_000_000
            })
        );
    }

    #[test]
    fn retries_make_more_calls_and_a_later_end() {
        let settings = Settings {
            max_attempts: 3,
            longest_waits: Duration::from_secs(2 * 3_600),
            ..settings(1.0, 10_000)
        };
        let estimates = Estimates {
            done_share: exactly(0.5),
            ..known()
        };
        let found = one(1_000, &always, &settings, &estimates);
        assert_eq!(
            found.calls,
            Span {
                low: 1_750,
                high: 1_750
            }
        );
        assert_eq!(
            secs_from_now(found.finish.high),
            Some(1_750 + 100 + 2 * HOUR)
        );
    }

    #[test]
    fn who_can_never_be_called_is_named_and_not_counted() {
        let groups = [
            Group {
                place: "nowhere",
                n_people: 5,
                opening: &never,
            },
            Group {
                place: "here",
                n_people: 7,
                opening: &always,
            },
        ];
        let skipped = BTreeMap::from([("suppressed".to_owned(), 3)]);
        let found = forecast(&groups, skipped.clone(), &settings(1.0, 10), &known(), NOW);
        assert_eq!(
            (found.n_people, found.never_open),
            (7, vec!["nowhere".to_owned()])
        );
        assert_eq!(found.skipped, skipped);
    }

    #[test]
    fn an_end_that_is_too_far_away_is_none() {
        let found = one(u64::from(u32::MAX), &always, &settings(1.0, 10), &known());
        assert_eq!((found.finish.low, found.finish.high), (None, None));
    }

    #[test]
    fn few_calls_are_no_measure() {
        assert_eq!(share_of(10, 29), None);
        let share = share_of(50, 100).unwrap();
        assert!((share.low - 0.4038).abs() < 0.001 && (share.high - 0.5962).abs() < 0.001);
    }

    proptest! {
        #[test]
        fn a_share_lies_within_its_range(n_all in 30_u64..100_000, part in 0.0_f64..=1.0) {
            let n_hits = (n_all as f64 * part) as u64;
            let share = share_of(n_hits, n_all).unwrap();
            let measured = n_hits as f64 / n_all as f64;
            prop_assert!(share.low >= 0.0 && share.low <= measured + 1e-9);
            prop_assert!(share.high <= 1.0 && share.high >= measured - 1e-9);
        }

        #[test]
        fn the_low_end_is_never_above_the_high_one(
            n_people in 0_u64..200_000, hours in 1_i64..24, per_second in 0.1_f64..100.0,
            places in 1_u32..500, max_attempts in 1_u32..6,
            done in (0.0_f64..1.0, 0.0_f64..1.0), answered in (0.0_f64..1.0, 0.0_f64..1.0),
            talk in (0_u64..600, 0_u64..600),
        ) {
            let ordered = |(a, b): (f64, f64)| Span { low: a.min(b), high: a.max(b) };
            let settings = Settings {
                max_attempts,
                per_minute_micro_usd: Some(90_000),
                ..settings(per_second, places)
            };
            let estimates = Estimates {
                done_share: Some(ordered(done)),
                answered_share: Some(ordered(answered)),
                talk: Some(Span {
                    low: Duration::from_secs(talk.0.min(talk.1)),
                    high: Duration::from_secs(talk.0.max(talk.1)),
                }),
            };
            let opening = daily(hours);
            let found = one(n_people, &opening, &settings, &estimates);
            prop_assert!(found.calls.low <= found.calls.high && found.calls.low >= n_people);
            let cost = found.cost_micro_usd.unwrap();
            prop_assert!(cost.low <= cost.high);
            if let (Some(low), Some(high)) = (found.finish.low, found.finish.high) {
                prop_assert!(NOW <= low && low <= high);
            }
        }
    }
}
