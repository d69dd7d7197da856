//! Countries and ranges of numbers that the carrier does not call for us.
//!
//! Where a country is not enabled, every number in it is refused, so it is the country that must
//! wait and not one contact after the other (F-22). And when numbers of all kinds are refused one
//! after the other, it is not the numbers that are wrong (F-23).

use std::{collections::BTreeSet, time::Duration};

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::{
    Timestamp,
    breaker::CallResult,
    erasure::KeptNumber,
    outcome::{Fault, FaultClass, Outcome},
    phone::PhoneNumber,
};

/// The country of a number: two letters (ISO 3166), or the number itself where no country is known.
///
/// Not the calling code: `+1` is 25 countries, and a carrier enables each by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(String);

/// Numbers that are refused together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Range {
    /// All of a country.
    Country(Country),
    /// Those that begin like this, `+` included.
    Prefix(String),
}

/// How refused destinations rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeRest {
    /// How long after the last refusal.
    pub rest: Duration,
    /// In how many different prefixes of a country numbers must be refused, with none of the country
    /// called in between, to rest all of it.
    pub n_prefixes: usize,
}

impl Default for RangeRest {
    /// An hour, which is soon enough after somebody enables a country; the second refused prefix
    /// rests the country.
    fn default() -> Self {
        Self {
            rest: Duration::from_secs(60 * 60),
            n_prefixes: 2,
        }
    }
}

/// A range that is not called for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// Which numbers.
    pub range: Range,
    /// Until when.
    pub until: Timestamp,
    /// What the carrier said last.
    pub fault: Fault,
}

/// How many different numbers must be refused in a row before the account is to blame.
pub const ROW: usize = 5;

/// The country of `number`; for one that no country has given out, the main one of its calling code.
pub fn country(number: &PhoneNumber) -> Country {
    let region = PHONE_NUMBER_UTIL
        .parse(number.as_str(), None)
        .ok()
        .and_then(|parsed| {
            parsed
                .get_region_code()
                .or_else(|| PHONE_NUMBER_UTIL.get_region_for_country_code(parsed.country_code))
        });
    Country(match region {
        Some(region) => region.as_region_str().as_str().to_owned(),
        None => number.as_str().to_owned(),
    })
}

impl Country {
    /// Two letters, or a whole number where no country is known.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Range {
    /// The prefix of `number`: calling code and the first three digits behind it, which is the area
    /// code in North America and a range of an operator or a city elsewhere.
    pub fn prefix_of(number: &PhoneNumber) -> Self {
        let calling_code = PHONE_NUMBER_UTIL
            .parse(number.as_str(), None)
            .map_or(1, |parsed| parsed.country_code.to_string().len());
        let n_chars = (1 + calling_code + 3).min(number.as_str().len());
        Self::Prefix(number.as_str()[..n_chars].to_owned())
    }

    /// Whether `number` lies in it.
    pub fn covers(&self, number: &PhoneNumber) -> bool {
        match self {
            Self::Country(country) => self::country(number) == *country,
            Self::Prefix(prefix) => number.as_str().starts_with(prefix),
        }
    }
}

/// The ranges that rest at `now`, from what came of recent calls, newest first.
///
/// A call that the carrier did make clears what was refused before it in the same range, so that a
/// country that somebody enabled is called again in full after the first call. Of an erased person
/// nobody knows any more in which range the number was.
pub fn resting(recent: &[CallResult], policy: &RangeRest, now: Timestamp) -> Vec<Resting> {
    let mut reached: Vec<&PhoneNumber> = Vec::new();
    let mut found: Vec<Resting> = Vec::new();
    for result in recent {
        match &result.outcome {
            Outcome::Failed(fault) if fault.class == FaultClass::Destination => {
                let until = result.at + policy.rest;
                let Some(to) = result.to.known() else {
                    continue;
                };
                let range = Range::prefix_of(to);
                let is_known = found.iter().any(|resting| resting.range == range);
                let is_cleared = reached.iter().any(|number| range.covers(number));
                if until > now && !is_known && !is_cleared {
                    found.push(Resting {
                        range,
                        until,
                        fault: fault.clone(),
                    });
                }
            }
            outcome if was_called(outcome) => reached.extend(result.to.known()),
            _ => {}
        }
    }
    with_countries(found, recent, &reached, policy)
}

/// Whether the carrier got as far as calling the number.
fn was_called(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered
        | Outcome::Abandoned
        | Outcome::AgentUnavailable
        | Outcome::Busy
        | Outcome::NoAnswer
        | Outcome::Voicemail => true,
        Outcome::Failed(_) | Outcome::Canceled => false,
    }
}

/// Puts a country in the place of its prefixes where enough of them are refused and none of its
/// numbers was called.
fn with_countries(
    prefixes: Vec<Resting>,
    recent: &[CallResult],
    reached: &[&PhoneNumber],
    policy: &RangeRest,
) -> Vec<Resting> {
    let country_of = |resting: &Resting| {
        let mut numbers = recent.iter().filter_map(|result| result.to.known());
        numbers
            .find(|number| resting.range.covers(number))
            .map(country)
    };
    let reached: BTreeSet<Country> = reached.iter().map(|number| country(number)).collect();
    let countries: Vec<Option<Country>> = prefixes.iter().map(country_of).collect();
    let mut all: Vec<Resting> = Vec::new();
    for (resting, country) in prefixes.iter().zip(&countries) {
        let n_prefixes = countries.iter().filter(|other| *other == country).count();
        let whole = country
            .clone()
            .filter(|country| n_prefixes >= policy.n_prefixes && !reached.contains(country))
            .map(Range::Country);
        let range = whole.unwrap_or_else(|| resting.range.clone());
        // The newest refusal comes first, and with it the latest end of the rest.
        if !all.iter().any(|known| known.range == range) {
            all.push(Resting {
                range,
                ..resting.clone()
            });
        }
    }
    all
}

/// The fault of the account behind a row of refused numbers, newest first, if there is one.
///
/// Some codes mean "this number is wrong" and also "this account may not call": when the last
/// [`ROW`] results are one such code for as many different numbers, it is the account. The contacts
/// of the whole row are then to be given back.
pub fn account_behind(recent: &[CallResult]) -> Option<Fault> {
    let code = refusal(recent.first()?)?.code?;
    let row = recent
        .iter()
        .take_while(|result| refusal(result).is_some_and(|fault| fault.code == Some(code)));
    let numbers: BTreeSet<&KeptNumber> = row.map(|result| &result.to).collect();
    (numbers.len() >= ROW).then(|| Fault {
        class: FaultClass::Account,
        code: Some(code),
        detail: format!(
            "{} different numbers were refused in a row with the same code, so it is the account \
             that may not call",
            numbers.len()
        ),
    })
}

/// What the carrier said when it refused for the number, or for a reason that is not known.
fn refusal(result: &CallResult) -> Option<&Fault> {
    match &result.outcome {
        Outcome::Failed(fault) => match fault.class {
            FaultClass::Number | FaultClass::Unclassified => Some(fault),
            FaultClass::Account
            | FaultClass::CallerNumber
            | FaultClass::Destination
            | FaultClass::Network
            | FaultClass::Limit
            | FaultClass::Ours => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{breaker::News, ids::EnrollmentId};

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    fn failed(to: &str, class: FaultClass, code: u32, secs_ago: u64) -> CallResult {
        let fault = Fault {
            class,
            code: Some(code),
            detail: "refused".to_owned(),
        };
        with_outcome(to, Outcome::Failed(fault), secs_ago)
    }

    fn refused(to: &str, secs_ago: u64) -> CallResult {
        failed(to, FaultClass::Destination, 21215, secs_ago)
    }

    fn with_outcome(to: &str, outcome: Outcome, secs_ago: u64) -> CallResult {
        CallResult {
            to: number(to).into(),
            outcome,
            news: News::NotDue,
            at: NOW - Duration::from_secs(secs_ago),
        }
    }

    fn ranges(recent: &[CallResult]) -> Vec<Range> {
        let resting = resting(recent, &RangeRest::default(), NOW);
        resting.into_iter().map(|resting| resting.range).collect()
    }

    #[test]
    fn one_refusal_rests_its_prefix_alone() {
        let found = ranges(&[refused("+19005550100", 10)]);
        assert_eq!(found, [Range::Prefix("+1900".to_owned())]);
        assert!(found[0].covers(&number("+19005550199")));
        assert!(!found[0].covers(&number("+12125550100")));
    }

    // proves F-22
    #[test]
    fn a_country_that_is_not_enabled_rests_after_two_refusals() {
        let recent = [refused("+442079460018", 5), refused("+441212345678", 9)];
        let found = resting(&recent, &RangeRest::default(), NOW);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].range, Range::Country(Country("GB".to_owned())));
        assert_eq!(found[0].until, NOW + Duration::from_secs(3_595));
        assert!(found[0].range.covers(&number("+447400123456")));
        assert!(!found[0].range.covers(&number("+12125550100")));
    }

    // proves F-22
    #[test]
    fn a_hundred_people_in_two_countries_cost_two_refusals() {
        let mut recent: Vec<CallResult> = Vec::new();
        let mut n_refused = 0;
        for n in 0..100_u64 {
            let (us, gb) = (
                format!("+1212555{n:04}"),
                format!("+4420{}946{n:04}", n % 10),
            );
            recent.insert(0, with_outcome(&us, Outcome::Answered, 0));
            let rests = resting(&recent, &RangeRest::default(), NOW);
            if !rests
                .iter()
                .any(|resting| resting.range.covers(&number(&gb)))
            {
                recent.insert(0, refused(&gb, 0));
                n_refused += 1;
            }
            assert!(
                !rests
                    .iter()
                    .any(|resting| resting.range.covers(&number(&us)))
            );
        }
        assert!((1..=3).contains(&n_refused), "{n_refused}");
    }

    #[test]
    fn a_country_with_one_call_through_is_not_rested_as_a_whole() {
        let recent = [
            with_outcome("+447400123456", Outcome::Busy, 1),
            refused("+442079460018", 5),
            refused("+441212345678", 9),
        ];
        assert_eq!(
            ranges(&recent),
            [
                Range::Prefix("+44207".to_owned()),
                Range::Prefix("+44121".to_owned())
            ]
        );
    }

    #[test]
    fn a_later_call_into_the_range_clears_it() {
        let recent = [
            with_outcome("+442079460000", Outcome::NoAnswer, 1),
            refused("+442079460018", 5),
        ];
        assert_eq!(ranges(&recent), []);
    }

    #[test]
    fn a_rest_ends() {
        assert_eq!(ranges(&[refused("+442079460018", 3_600)]), []);
    }

    // proves F-23
    #[test]
    fn five_different_numbers_in_a_row_blame_the_account() {
        let bad = |n: u32| failed(&format!("+1212555{n:04}"), FaultClass::Number, 21216, 1);
        let recent: Vec<_> = (0..5).map(bad).collect();
        let blamed = account_behind(&recent).unwrap();
        assert_eq!(
            (blamed.class, blamed.code),
            (FaultClass::Account, Some(21216))
        );
        assert_eq!(account_behind(&recent[..4]), None);
        let same: Vec<_> = (0..9).map(|_| bad(7)).collect();
        assert_eq!(account_behind(&same), None);

        // Who was erased was refused all the same.
        let mut erased = recent.clone();
        for (n, result) in (1..).zip(&mut erased) {
            result.to = KeptNumber::Erased(EnrollmentId::new(Uuid::from_u128(n)));
        }
        assert_eq!(account_behind(&erased), Some(blamed));
    }

    // proves F-23
    #[test]
    fn a_row_is_broken_by_a_call_and_by_another_code() {
        let bad = |n: u32| failed(&format!("+1212555{n:04}"), FaultClass::Number, 21216, 1);
        let mut recent: Vec<_> = (0..5).map(bad).collect();
        recent.insert(2, with_outcome("+12125559999", Outcome::NoAnswer, 1));
        assert_eq!(account_behind(&recent), None);
        recent[2] = failed("+12125559999", FaultClass::Number, 21211, 1);
        assert_eq!(account_behind(&recent), None);
    }

    // proves F-21
    #[test]
    fn an_unknown_code_five_times_in_a_row_blames_the_account() {
        let recent: Vec<_> = (0..5)
            .map(|n| {
                failed(
                    &format!("+1212555{n:04}"),
                    FaultClass::Unclassified,
                    99_999,
                    1,
                )
            })
            .collect();
        assert!(account_behind(&recent).is_some());
    }

    proptest! {
        #[test]
        fn only_what_was_refused_rests(
            calls in proptest::collection::vec((0_usize..6, 0_u8..3, 0_u64..7_000), 0..30),
        ) {
            let texts = ["+12125550100", "+13125550100", "+442079460018", "+441212345678", "+493012345678", "+8613912345678"];
            let recent: Vec<_> = calls.iter().map(|(which, how, ago)| match how {
                0 => refused(texts[*which], *ago),
                1 => with_outcome(texts[*which], Outcome::Answered, *ago),
                _ => failed(texts[*which], FaultClass::Network, 1, *ago),
            }).collect();
            let refused: BTreeSet<Country> = recent.iter()
                .filter(|result| refusal_of_destination(result))
                .filter_map(|result| result.to.known().map(country))
                .collect();
            for rest in resting(&recent, &RangeRest::default(), NOW) {
                prop_assert!(rest.until > NOW);
                for text in texts {
                    if rest.range.covers(&number(text)) {
                        prop_assert!(refused.contains(&country(&number(text))));
                    }
                }
            }
        }
    }

    fn refusal_of_destination(result: &CallResult) -> bool {
        matches!(&result.outcome, Outcome::Failed(fault) if fault.class == FaultClass::Destination)
    }
}
