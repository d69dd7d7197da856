//! Time zones by name.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::LazyLock,
};

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// What people write instead of an IANA name, lower case, with the zone that it stands for.
static OTHER_NAMES: LazyLock<BTreeMap<&'static str, &'static str>> =
    LazyLock::new(|| other_names(include_str!("data/zone_names.txt")).collect());

/// The database that is compiled in: the same rules on every machine, and no file is read.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone of the IANA database.
///
/// A fixed offset is none: it does not follow the clock changes of the place it is meant for.
#[derive(Clone)]
pub struct Zone {
    tz: TimeZone,
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time zone; write it as America/New_York")]
pub struct ZoneError(String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        "UTC".parse().expect("UTC is in the database")
    }

    /// The name in the IANA database, such as `America/New_York`.
    pub fn name(&self) -> &str {
        self.tz
            .iana_name()
            .expect("zones are read by their IANA name")
    }

    /// The zone's rules.
    pub fn tz(&self) -> &TimeZone {
        &self.tz
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    /// Reads IANA names in any case, and the names that are common in lists: `Eastern`, `AEST`.
    ///
    /// An abbreviation that several places use is read as the American or Australian one. That is
    /// safe: when the number says otherwise, both must be open.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let name = text.trim();
        let error = || ZoneError(name.chars().take(60).collect());
        let known = OTHER_NAMES.get(name.to_lowercase().as_str());
        let has_digit = name.contains(|c: char| c.is_ascii_digit());
        let is_offset = has_digit && name.contains(['+', '-']) && !name.contains('/');
        if name.is_empty() || (is_offset && known.is_none()) || name.eq_ignore_ascii_case("factory")
        {
            return Err(error());
        }
        let tz = DATABASE
            .get(known.copied().unwrap_or(name))
            .map_err(|_| error())?;
        // A zone without a name would be no zone that can be stored.
        if tz.iana_name().is_none() || tz.is_unknown() {
            return Err(error());
        }
        Ok(Self { tz })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl PartialOrd for Zone {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Zone {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// The lines of the file: `zone = name, name, …`.
fn other_names(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    super::data_lines(text).flat_map(|line| {
        let (zone, names) = line.split_once('=').expect("a line is zone = names");
        names.split(',').map(move |name| (name.trim(), zone.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<String> {
        text.parse::<Zone>().ok().map(|zone| zone.to_string())
    }

    // proves F-70
    #[test]
    fn people_s_spellings_become_one_name_and_unknown_text_is_refused() {
        for text in [
            "America/New_York",
            "america/new_york",
            " US/Eastern ",
            "Eastern",
            "EST",
            "ET",
        ] {
            assert_eq!(name(text).as_deref(), Some("America/New_York"), "{text}");
        }
        assert_eq!(name("AEST").as_deref(), Some("Australia/Sydney"));
        assert_eq!(name("Australia/NSW").as_deref(), Some("Australia/Sydney"));
        assert_eq!(name("utc").as_deref(), Some("UTC"));
        assert_eq!(name("GB-Eire").as_deref(), Some("GB-Eire"));
        for text in [
            "",
            "UTC+10",
            "+10:00",
            "GMT-5",
            "Mars/Olympus",
            "soon",
            "Factory",
            "../etc",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
        let error = "Easten".parse::<Zone>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"Easten\" is not a time zone; write it as America/New_York"
        );
    }

    #[test]
    fn every_line_names_a_zone_and_no_name_stands_for_two() {
        let mut seen = BTreeMap::new();
        for (name, zone) in other_names(include_str!("data/zone_names.txt")) {
            assert_eq!(name, name.to_lowercase(), "looked up in lower case");
            let read: Zone = zone.parse().unwrap();
            assert_eq!(read.to_string(), zone, "{name} stands for a canonical name");
            assert_eq!(seen.insert(name, zone), None, "{name} twice");
        }
        assert!(seen.len() > 60);
    }
}
