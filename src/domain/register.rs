//! Copies of do-not-call registers, and how old they may be.
//!
//! Whoever may call only people who are not on a register must go by a copy that is not too old.
//! A copy that is missing or stale says nothing about anybody, so nobody is called by it (F-72).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    time::Duration,
};

use super::{Timestamp, window::later};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A copy that is older than this is stale: 31 days (47 CFR 64.1200(c)(2)(i)(D)).
pub const MOST_AGE: Duration = DAY.saturating_mul(31);

/// From this age on people are told to take a new copy: 25 days.
pub const WARN_AGE: Duration = DAY.saturating_mul(25);

/// The name of a do-not-call register, such as `us-national`: up to 60 small letters, digits and
/// hyphens, of which the first is a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterName(String);

/// The text is no name of a register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a register has up to 60 small letters, digits and hyphens, such as us-national"
)]
pub struct RegisterNameError;

/// When the latest whole copy of each register was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registers(BTreeMap<RegisterName, Timestamp>);

/// How old a copy is, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// People may be called by it.
    Fresh,
    /// As fresh; a new one is wanted soon.
    Aging,
    /// Too old to call anybody by.
    Stale,
    /// There is none.
    Missing,
}

/// A register that somebody goes by, and the tenant's copy of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterState {
    /// The register.
    pub name: RegisterName,
    /// When the copy was taken; none where there is no copy.
    pub taken_at: Option<Timestamp>,
    /// How old that is.
    pub freshness: Freshness,
}

impl RegisterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegisterName {
    type Err = RegisterNameError;

    fn from_str(text: &str) -> Result<Self, RegisterNameError> {
        let is_of_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_name = (1..=60).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(is_of_name);
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or(RegisterNameError)
    }
}

impl fmt::Display for RegisterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Freshness {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Aging => "aging",
            Self::Stale => "stale",
            Self::Missing => "missing",
        }
    }

    /// Whether people may be called by such a copy.
    pub fn may_call(self) -> bool {
        match self {
            Self::Fresh | Self::Aging => true,
            Self::Stale | Self::Missing => false,
        }
    }
}

impl Registers {
    /// Takes a whole copy down. One that is older than the one there is changes nothing.
    pub fn add(&mut self, name: RegisterName, taken_at: Timestamp) {
        let latest = self.0.entry(name).or_insert(taken_at);
        *latest = taken_at.max(*latest);
    }

    /// When the copy of a register was taken.
    pub fn taken_at(&self, name: &RegisterName) -> Option<Timestamp> {
        self.0.get(name).copied()
    }

    /// Every register with a copy, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&RegisterName, Timestamp)> {
        self.0.iter().map(|(name, taken_at)| (name, *taken_at))
    }

    /// The copies of these registers alone.
    #[must_use]
    pub fn of(&self, names: &BTreeSet<RegisterName>) -> Self {
        let copies = names.iter().filter_map(|name| self.0.get_key_value(name));
        Self(copies.map(|(name, at)| (name.clone(), *at)).collect())
    }

    /// How old the copy of a register is at `at`.
    pub fn freshness(&self, name: &RegisterName, at: Timestamp) -> Freshness {
        match self.taken_at(name) {
            None => Freshness::Missing,
            Some(taken_at) if at > later(taken_at, MOST_AGE) => Freshness::Stale,
            Some(taken_at) if at >= later(taken_at, WARN_AGE) => Freshness::Aging,
            Some(_) => Freshness::Fresh,
        }
    }

    /// Whether people may be called by the copies of all these registers.
    pub fn may_call(&self, names: &BTreeSet<RegisterName>, at: Timestamp) -> bool {
        let mut each = names.iter().map(|name| self.freshness(name, at));
        each.all(Freshness::may_call)
    }

    /// The last instant at which none of the copies of these registers that there are is stale; none
    /// where there are none.
    pub fn fresh_until(&self, names: &BTreeSet<RegisterName>) -> Option<Timestamp> {
        let copies = names.iter().filter_map(|name| self.taken_at(name));
        copies.min().map(|oldest| later(oldest, MOST_AGE))
    }

    /// How each of these registers stands at `at`.
    pub fn states<'a>(
        &self,
        names: impl IntoIterator<Item = &'a RegisterName>,
        at: Timestamp,
    ) -> Vec<RegisterState> {
        let state = |name: &RegisterName| RegisterState {
            name: name.clone(),
            taken_at: self.taken_at(name),
            freshness: self.freshness(name, at),
        };
        names.into_iter().map(state).collect()
    }
}

impl FromIterator<(RegisterName, Timestamp)> for Registers {
    fn from_iter<I: IntoIterator<Item = (RegisterName, Timestamp)>>(copies: I) -> Self {
        let mut registers = Self::default();
        for (name, taken_at) in copies {
            registers.add(name, taken_at);
        }
        registers
    }
}

impl RegisterState {
    /// The last instant at which people may be called by the copy.
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.taken_at.map(|taken_at| later(taken_at, MOST_AGE))
    }

    /// What an operator has to know about the copy at `at`; none while it is fresh.
    pub fn warning(&self, at: Timestamp) -> Option<String> {
        let name = &self.name;
        let age = self.taken_at.map_or_else(String::new, |it| age(it, at));
        match self.freshness {
            Freshness::Fresh => None,
            Freshness::Aging => Some(format!(
                "The copy of the do-not-call register {name} is {age} old. Nobody is called by one \
                 that is older than {}: import a new one.",
                in_days(MOST_AGE)
            )),
            Freshness::Stale => Some(format!(
                "The copy of the do-not-call register {name} is {age} old. Nobody is called until \
                 a newer one is imported."
            )),
            Freshness::Missing => Some(format!(
                "There is no copy of the do-not-call register {name}. Nobody is called until one \
                 is imported."
            )),
        }
    }
}

/// How old what was taken at `taken_at` is, in whole days: for people.
pub(super) fn age(taken_at: Timestamp, at: Timestamp) -> String {
    let age = Duration::try_from(at.duration_since(taken_at)).unwrap_or_default();
    in_days(age)
}

/// A length of time in whole days.
pub(super) fn in_days(length: Duration) -> String {
    match length.as_secs() / DAY.as_secs() {
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn name(text: &str) -> RegisterName {
        text.parse().unwrap()
    }

    fn names<const N: usize>(texts: [&str; N]) -> BTreeSet<RegisterName> {
        texts.into_iter().map(name).collect()
    }

    #[test]
    fn a_name_is_plain() {
        for text in ["us-national", "uk-tps", "a1"] {
            assert_eq!(name(text).to_string(), text);
        }
        let long = "a".repeat(61);
        for text in [
            "",
            "US",
            "us national",
            "us.national",
            "$us",
            "1us",
            "-us",
            &long,
        ] {
            assert_eq!(text.parse::<RegisterName>(), Err(RegisterNameError));
        }
    }

    // proves F-72
    #[test]
    fn a_copy_is_warned_of_from_day_25_and_stale_after_day_31() {
        let registers: Registers = [(name("us-national"), TAKEN)].into_iter().collect();
        let moment = Duration::from_millis(1);
        for (age, expected) in [
            (Duration::ZERO, Freshness::Fresh),
            (DAY * 25 - moment, Freshness::Fresh),
            (DAY * 25, Freshness::Aging),
            (DAY * 31, Freshness::Aging),
            (DAY * 31 + moment, Freshness::Stale),
            (DAY * 32, Freshness::Stale),
        ] {
            let at = TAKEN + age;
            let found = registers.freshness(&name("us-national"), at);
            assert_eq!(found, expected, "{age:?}");
            let [state] = &registers.states(&names(["us-national"]), at)[..] else {
                panic!("one register has one state");
            };
            assert_eq!(state.warning(at).is_some(), expected != Freshness::Fresh);
            assert_eq!(
                registers.may_call(&names(["us-national"]), at),
                at <= state.fresh_until().unwrap()
            );
        }
        assert_eq!(
            registers.freshness(&name("uk-tps"), TAKEN),
            Freshness::Missing
        );
    }

    // proves F-72
    #[test]
    fn all_that_are_asked_for_must_be_fresh_and_a_missing_one_is_not() {
        let old = TAKEN - jiff::SignedDuration::from_hours(24 * 10);
        let copies = [(name("us-national"), TAKEN), (name("uk-tps"), old)];
        let registers: Registers = copies.into_iter().collect();
        let until = |names| registers.fresh_until(&names);
        let both = names(["us-national", "uk-tps"]);
        assert_eq!(until(both.clone()), Some(old + MOST_AGE));
        assert!(registers.may_call(&both, old + MOST_AGE));
        assert!(!registers.may_call(&both, TAKEN + MOST_AGE));
        assert!(registers.may_call(&names(["us-national"]), TAKEN + MOST_AGE));
        assert!(!registers.may_call(&names(["us-national", "au"]), TAKEN));
        assert!(registers.may_call(&names([]), TAKEN + MOST_AGE + DAY));
        assert_eq!(until(names([])), None);
        assert_eq!(registers.of(&names(["uk-tps", "au"])).iter().count(), 1);
    }

    #[test]
    fn an_older_copy_changes_nothing() {
        let mut registers = Registers::default();
        registers.add(name("a"), TAKEN);
        registers.add(name("a"), TAKEN - jiff::SignedDuration::from_secs(1));
        assert_eq!(registers.taken_at(&name("a")), Some(TAKEN));
        registers.add(name("a"), TAKEN + DAY);
        assert_eq!(registers.taken_at(&name("a")), Some(TAKEN + DAY));
    }
}
