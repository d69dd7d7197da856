//! Ready-made sets of calling rules, by law and regulator, as versioned data.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::LazyLock, time::Duration};

use jiff::{civil::Date, tz::Offset};

use super::{
    Timestamp, cap::Cap, holiday::Calendar, place::RegionCode, register::RegisterName,
    window::Window,
};

static PROFILES: LazyLock<Vec<Profile>> =
    LazyLock::new(|| read_profiles(include_str!("data/profiles.txt")));

/// Rules by region under a name, as they hold from a day on.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Which profile; all its versions have the same.
    pub id: ProfileId,
    /// The day from which this version holds, as `2024-01-01`.
    pub version: &'static str,
    /// For people.
    pub title: &'static str,
    /// Statutes, regulators, and what is taken from each.
    pub sources: Vec<&'static str>,
    holds_from: Timestamp,
    /// What holds where no row fits better; then the rows by pattern.
    regions: Vec<(&'static str, RegionRules)>,
}

/// The name of a profile that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(&'static str);

/// No profile has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile of calling rules named {0:?}")]
pub struct ProfileError(String);

/// What a profile asks for in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionRules {
    /// When people may be called, by their own clock.
    pub window: Window,
    /// Days with other hours.
    pub holidays: Option<HolidayRule>,
    /// How often, over all campaigns.
    pub caps: Vec<Cap>,
    /// The least time between two attempts, over all campaigns.
    pub min_gap: Option<Duration>,
    /// Whether the person must have agreed.
    pub requires_consent: bool,
    /// The do-not-call registers of which callers must have a copy that is not too old. A campaign
    /// goes by them if it asks for that.
    pub registers: BTreeSet<RegisterName>,
    /// The least time that a phone must be let ring.
    pub least_ring: Duration,
    /// What share of answered calls may meet silence.
    pub silent_limit: Option<SilentLimit>,
    /// How long a person is left alone by machines after answering and hearing nobody.
    pub abandoned_rest: Option<Duration>,
}

/// Days with other hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolidayRule {
    /// Whose holidays.
    pub calendar: HolidayCalendar,
    /// The hours on them; often none.
    pub hours: Window,
}

/// Whose holidays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolidayCalendar {
    /// Those of the region called, or else of its country.
    OfRegion,
    /// Those of one calendar.
    Named(&'static Calendar),
}

/// What share of answered calls may meet silence over 30 days (F-73).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SilentLimit {
    /// From here on the operator is warned.
    pub warn: Share,
    /// From here on the campaign stops.
    pub stop: Share,
}

/// What the calls of the last 30 days say about silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Silence {
    /// Below the limits, or too few calls to tell.
    Normal,
    /// The operator is to be warned.
    Warn,
    /// The campaign is to stop.
    Stop,
}

impl SilentLimit {
    /// Of fewer answered calls no share is taken: one of ten would be ten percent.
    pub const LEAST_ANSWERED: u64 = 100;

    /// What `n_silent` of `n_answered` calls mean. Both count people only, no machines; silent are
    /// those that were abandoned, and those in which the agent's first word came too late.
    pub fn judge(&self, n_silent: u64, n_answered: u64) -> Silence {
        if n_answered < Self::LEAST_ANSWERED {
            Silence::Normal
        } else if self.stop.is_reached(n_silent, n_answered) {
            Silence::Stop
        } else if self.warn.is_reached(n_silent, n_answered) {
            Silence::Warn
        } else {
            Silence::Normal
        }
    }
}

/// A share in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u16);

impl Share {
    /// So many thousandths, up to the whole.
    pub const fn per_mille(thousandths: u16) -> Option<Self> {
        if thousandths <= 1000 {
            Some(Self(thousandths))
        } else {
            None
        }
    }

    /// In thousandths.
    pub const fn thousandths(self) -> u16 {
        self.0
    }

    /// Whether `part` is at least this share of `whole`. Nothing is no share of nothing.
    pub fn is_reached(self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * 1000 >= u128::from(whole) * u128::from(self.0)
    }
}

impl HolidayCalendar {
    /// The calendar that this means for a region.
    pub fn resolve(self, region: &RegionCode) -> Option<&'static Calendar> {
        match self {
            Self::OfRegion => Calendar::of(region),
            Self::Named(calendar) => Some(calendar),
        }
    }
}

impl ProfileId {
    /// No rules but the campaign's own.
    pub const NONE: Self = Self("none");
    /// The federal rules of the United States.
    pub const US_FEDERAL: Self = Self("us-federal");

    /// The profile for a country's own people: two capital letters. Where there is none, daytime hours
    /// as the United States have them.
    pub fn for_country(country: &str) -> Self {
        const EU: [&str; 27] = [
            "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
            "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
        ];
        match country {
            "GB" => Self("uk"),
            "AU" => Self("au"),
            "CA" => Self("ca"),
            country if EU.contains(&country) => Self("eu"),
            _ => Self::US_FEDERAL,
        }
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for ProfileId {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let known = PROFILES.iter().find(|profile| profile.id.0 == text.trim());
        known
            .map(|profile| profile.id)
            .ok_or_else(|| ProfileError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl RegionRules {
    /// No rules.
    fn none() -> Self {
        Self {
            window: Window::always(),
            holidays: None,
            caps: Vec::new(),
            min_gap: None,
            requires_consent: false,
            registers: BTreeSet::new(),
            least_ring: Duration::ZERO,
            silent_limit: None,
            abandoned_rest: None,
        }
    }
}

impl Profile {
    /// Every version of every profile, in the order of the file.
    pub fn all() -> &'static [Self] {
        &PROFILES
    }

    /// The version of a profile that holds at `at`; before the first, the first.
    pub fn find(id: ProfileId, at: Timestamp) -> &'static Self {
        let versions = || PROFILES.iter().filter(move |profile| profile.id == id);
        versions()
            .filter(|profile| profile.holds_from <= at)
            .max_by_key(|profile| profile.holds_from)
            .or_else(|| versions().min_by_key(|profile| profile.holds_from))
            .expect("the id of a profile is read from the profiles")
    }

    /// One version, for a look back at a decision that was made with it (F-75).
    pub fn find_version(id: ProfileId, version: &str) -> Option<&'static Self> {
        let mut all = PROFILES.iter();
        all.find(|profile| profile.id == id && profile.version == version)
    }

    /// What holds in a region: its own row, else that of any part of its country, else the rest's.
    pub fn rules_for(&self, region: &RegionCode) -> &RegionRules {
        &self.regions[self.row_of(region)].1
    }

    /// The row that [`Profile::rules_for`] picks, as an index into [`Profile::rows`].
    pub(super) fn row_of(&self, region: &RegionCode) -> usize {
        let row = |wanted: &str| {
            self.regions
                .iter()
                .position(|(pattern, _)| *pattern == wanted)
        };
        let any_part = || match region.country() {
            Some(country) if region.is_part() => row(&format!("{country}-*")),
            _ => None,
        };
        row(region.as_str()).or_else(any_part).unwrap_or(0)
    }

    /// Every row's pattern and rules; the first is the one for all other regions.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &RegionRules)> {
        self.regions
            .iter()
            .map(|(pattern, rules)| (*pattern, rules))
    }
}

fn read_profiles(text: &'static str) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Vec::new();
    for line in super::data_lines(text) {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let read = match key {
            "profile" => read_head(value).map(|profile| profiles.push(profile)),
            _ => profiles
                .last_mut()
                .and_then(|profile| read_line(profile, key, value)),
        };
        assert!(read.is_some(), "no line of a profile: {line}");
    }
    profiles
}

/// `ID VERSION TITLE`.
fn read_head(text: &'static str) -> Option<Profile> {
    let (id, rest) = text.split_once(' ')?;
    let (version, title) = rest.split_once(' ')?;
    let date: Date = version.parse().ok()?;
    Some(Profile {
        id: ProfileId(id),
        version,
        title,
        sources: Vec::new(),
        holds_from: Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?,
        regions: Vec::new(),
    })
}

fn read_line(profile: &mut Profile, key: &str, value: &'static str) -> Option<()> {
    match key {
        "source" => profile.sources.push(value),
        "region" => {
            let base = profile.regions.first().map(|(_, rules)| rules.clone());
            let is_base = value == "*";
            if is_base != base.is_none() {
                return None;
            }
            let rules = base.unwrap_or_else(RegionRules::none);
            profile.regions.push((value, rules));
        }
        _ => read_rule(&mut profile.regions.last_mut()?.1, key, value)?,
    }
    Some(())
}

fn read_rule(rules: &mut RegionRules, key: &str, value: &'static str) -> Option<()> {
    let hours = |text: &str| {
        text.parse::<u64>()
            .ok()
            .map(|n| Duration::from_secs(3600 * n))
    };
    match key {
        "hours" => rules.window = value.parse().ok()?,
        "holidays" => {
            let (calendar, window) = value.split_once(' ')?;
            let calendar = match calendar {
                "region" => HolidayCalendar::OfRegion,
                id => HolidayCalendar::Named(Calendar::find(id)?),
            };
            let hours = window.parse().ok()?;
            rules.holidays = Some(HolidayRule { calendar, hours });
        }
        "cap" => {
            let (most, within) = value.split_once(' ')?;
            rules.caps.push(Cap {
                most: most.parse().ok()?,
                within: hours(within)?,
            });
        }
        "gap" => rules.min_gap = Some(hours(value)?),
        "consent" => rules.requires_consent = true,
        "register" => {
            rules.registers.insert(value.parse().ok()?);
        }
        "ring" => rules.least_ring = Duration::from_secs(value.parse().ok()?),
        "silent" => {
            let (warn, stop) = value.split_once(' ')?;
            rules.silent_limit = Some(SilentLimit {
                warn: Share::per_mille(warn.parse().ok()?)?,
                stop: Share::per_mille(stop.parse().ok()?)?,
            });
        }
        "rest" => rules.abandoned_rest = Some(hours(value)?),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(id: &str) -> &'static Profile {
        let at = "2026-11-01T00:00:00Z".parse().unwrap();
        Profile::find(id.parse().unwrap(), at)
    }

    fn region(text: &str) -> RegionCode {
        text.parse().unwrap()
    }

    #[test]
    fn every_line_is_read_and_every_profile_names_its_sources() {
        let ids: Vec<_> = Profile::all().iter().map(|it| it.id.as_str()).collect();
        assert_eq!(
            ids,
            ["none", "us-federal", "us-strict", "uk", "au", "ca", "eu"]
        );
        for profile in Profile::all() {
            assert!(!profile.sources.is_empty(), "{}", profile.id);
            assert_eq!(profile.regions[0].0, "*", "{}", profile.id);
            assert_eq!(
                Profile::find_version(profile.id, profile.version),
                Some(profile)
            );
            let mut patterns: Vec<_> = profile.rows().map(|(pattern, _)| pattern).collect();
            patterns.sort_unstable();
            patterns.dedup();
            assert_eq!(
                patterns.len(),
                profile.regions.len(),
                "{}: a row twice",
                profile.id
            );
        }
        assert_eq!(ProfileId::NONE, "none".parse().unwrap());
        assert_eq!(ProfileId::US_FEDERAL, "us-federal".parse().unwrap());
        assert!("us".parse::<ProfileId>().is_err());
    }

    #[test]
    fn hours_are_those_of_the_regulators() {
        for (profile, place, hours) in [
            ("none", "US-NY", "always"),
            ("us-federal", "US-FL", "mon-sun 08:00-21:00"),
            ("us-strict", "US-NY", "mon-sun 08:00-21:00"),
            ("us-strict", "US-FL", "mon-sun 08:00-20:00"),
            ("us-strict", "US-TX", "mon-sat 09:00-21:00, sun 12:00-21:00"),
            ("us-strict", "US", "mon-fri 10:00-18:00"),
            ("uk", "GB", "mon-fri 08:00-21:00, sat-sun 09:00-20:00"),
            ("au", "AU-NSW", "mon-fri 09:00-20:00, sat 09:00-17:00"),
            ("ca", "CA-ON", "mon-fri 09:00-21:30, sat-sun 10:00-18:00"),
            ("eu", "DE", "mon-fri 09:00-20:00"),
        ] {
            let rules = find(profile).rules_for(&region(place));
            assert_eq!(rules.window.to_string(), hours, "{profile} {place}");
        }
    }

    // proves F-72
    #[test]
    fn the_profiles_of_the_united_states_name_the_national_register() {
        for profile in Profile::all() {
            let is_of_us = profile.id.as_str().starts_with("us-");
            for (pattern, rules) in profile.rows() {
                let names: Vec<_> = rules.registers.iter().map(RegisterName::as_str).collect();
                let expected: &[&str] = if is_of_us { &["us-national"] } else { &[] };
                assert_eq!(names, expected, "{} {pattern}", profile.id);
            }
        }
    }

    // proves F-73
    #[test]
    fn safe_profiles_limit_silence_and_ask_for_ringing_and_rest() {
        for id in ["us-strict", "uk", "eu"] {
            let rules = find(id).rules_for(&region("GB"));
            assert!(rules.least_ring >= Duration::from_secs(15), "{id}");
            assert_eq!(
                rules.abandoned_rest,
                Some(Duration::from_secs(72 * 3600)),
                "{id}"
            );
            let limit = rules.silent_limit.unwrap();
            for (n_silent, n_answered, expected) in [
                (99, 99, Silence::Normal),
                (1, 100, Silence::Normal),
                (199, 10_000, Silence::Normal),
                (200, 10_000, Silence::Warn),
                (299, 10_000, Silence::Warn),
                (300, 10_000, Silence::Stop),
            ] {
                assert_eq!(limit.judge(n_silent, n_answered), expected, "{n_silent}");
            }
            assert!(!limit.stop.is_reached(0, 0));
        }
    }

    #[test]
    fn where_the_state_is_unknown_no_state_is_stricter() {
        let strict = find("us-strict");
        let unknown = strict.rules_for(&region("US"));
        for (pattern, rules) in strict.rows() {
            let both = unknown.window.intersect(&rules.window);
            assert_eq!(both, unknown.window, "{pattern} has fewer hours");
            assert!(
                rules.caps.iter().all(|cap| unknown.caps.contains(cap)),
                "{pattern}"
            );
            assert!(!rules.requires_consent || unknown.requires_consent);
        }
    }

    // proves F-75
    #[test]
    fn a_version_holds_from_its_day_on() {
        let text = "profile p 2025-01-01 First\nregion *\nhours mon-sun 08:00-21:00\n\
                    profile p 2026-01-01 Second\nregion *\nhours mon-sun 09:00-21:00\n";
        let [first, second] = &read_profiles(text)[..] else {
            panic!("two versions are read");
        };
        assert_eq!(first.holds_from, "2025-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(second.holds_from, "2026-01-01T00:00:00Z".parse().unwrap());
        let long_ago = "1999-01-01T00:00:00Z".parse().unwrap();
        let eu = Profile::find("eu".parse().unwrap(), long_ago);
        assert_eq!(eu.version, "2023-03-01", "before the first, the first");
    }

    #[test]
    #[should_panic(expected = "no line of a profile: hours mon-sun 25:00-21:00")]
    fn a_wrong_line_is_noticed() {
        read_profiles("profile p 2025-01-01 First\nregion *\nhours mon-sun 25:00-21:00\n");
    }
}
