//! Where a person is as far as rules are concerned: a region and its time zones.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::LazyLock};

use rlibphonenumber::PHONE_NUMBER_UTIL;

use super::{ids::PlaceKey, phone::PhoneNumber, zone::Zone};

/// The zones of each country.
static COUNTRIES: LazyLock<BTreeMap<&'static str, Country>> =
    LazyLock::new(|| countries(include_str!("data/zones.txt")).collect());

/// Areas by the digits that their numbers begin with, calling code first.
static AREAS: LazyLock<BTreeMap<u32, Area>> = LazyLock::new(|| {
    let whole = whole_countries();
    whole.chain(areas(include_str!("data/areas.txt"))).collect()
});

/// The most digits of a prefix in the table.
const LONGEST_PREFIX: usize = 7;

/// A country, or a part of it that has rules of its own: `GB`, `US-FL`, `AU-NSW`; or unknown.
///
/// A country without a part means: some part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionCode(String);

/// The text is no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a region such as GB or US-FL")]
pub struct RegionCodeError(String);

/// Where a person is: the region whose rules hold, and every time zone that may be theirs.
///
/// A call must be allowed in all the zones: more zones mean fewer hours, never wrong ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    region: RegionCode,
    /// Sorted, at least one.
    zones: Vec<Zone>,
}

/// The text is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a place such as US-FL|America/Chicago+America/New_York")]
pub struct PlaceError(String);

/// What a place's zones were taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneSource {
    /// The number's country and area.
    Number,
    /// The list's time-zone column, which fits the number.
    List,
    /// Both, because they disagree.
    NumberAndList,
    /// The list, or the campaign's own zone: the number says nothing.
    Fallback,
}

impl RegionCode {
    /// Nothing is known.
    pub fn unknown() -> Self {
        Self("unknown".to_owned())
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.0 == "unknown"
    }

    /// As it is written: `US-FL`, `GB`, `unknown`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The two letters of the country.
    pub fn country(&self) -> Option<&str> {
        (!self.is_unknown()).then(|| &self.0[..2])
    }

    /// Whether it is a part of a country.
    pub fn is_part(&self) -> bool {
        self.0.contains('-')
    }
}

impl FromStr for RegionCode {
    type Err = RegionCodeError;

    fn from_str(text: &str) -> Result<Self, RegionCodeError> {
        let text = text.trim();
        if text == "unknown" {
            return Ok(Self::unknown());
        }
        let code = text.to_ascii_uppercase();
        let (country, part) = match code.split_once('-') {
            Some((country, part)) => (country, Some(part)),
            None => (code.as_str(), None),
        };
        let is_country = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let is_part = part.is_none_or(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if is_country && is_part {
            Ok(Self(code))
        } else {
            Err(RegionCodeError(text.chars().take(20).collect()))
        }
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Place {
    /// A place with at least one zone, the first of which is given apart.
    pub fn new(region: RegionCode, zone: Zone, more: impl IntoIterator<Item = Zone>) -> Self {
        let mut zones = vec![zone];
        zones.extend(more);
        zones.sort();
        zones.dedup();
        Self { region, zones }
    }

    /// Where a person with this number is; `column` is the zone that a list states.
    ///
    /// A stated zone that fits the number is the only one. One that does not is added to the
    /// number's: a mobile may have moved, or the list may be wrong, and nobody can tell which. A
    /// number that belongs to no place has all the zones of its country.
    pub fn of(phone: &PhoneNumber, column: Option<&Zone>, fallback: &Zone) -> Self {
        match (Area::of(phone), column) {
            (None, column) => {
                let zone = column.unwrap_or(fallback);
                Self::new(RegionCode::unknown(), zone.clone(), None)
            }
            (Some(area), None) => area.place(),
            (Some(area), Some(zone)) if area.has(zone) => {
                Self::new(area.region.clone(), zone.clone(), None)
            }
            (Some(area), Some(zone)) => Self::new(
                area.region.clone(),
                zone.clone(),
                area.zones.iter().cloned(),
            ),
        }
    }

    /// Where somebody is of whom nothing is known but that `zone` is to be taken.
    pub fn unknown(zone: &Zone) -> Self {
        Self::new(RegionCode::unknown(), zone.clone(), None)
    }

    /// The place's text, for records.
    pub fn key(&self) -> PlaceKey {
        PlaceKey::new(self.to_string())
    }

    /// The region whose rules hold.
    pub fn region(&self) -> &RegionCode {
        &self.region
    }

    /// Every zone that may be the person's: sorted, at least one.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// What the zones were taken from, seen from the number.
    pub fn source(&self, phone: &PhoneNumber) -> ZoneSource {
        let Some(area) = Area::of(phone) else {
            return ZoneSource::Fallback;
        };
        if self.zones == area.place().zones {
            ZoneSource::Number
        } else if self.zones.iter().all(|zone| area.has(zone)) {
            ZoneSource::List
        } else {
            ZoneSource::NumberAndList
        }
    }
}

impl fmt::Display for Place {
    /// One text for equal places, short enough for a database key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.region)?;
        let mut separator = '|';
        for zone in &self.zones {
            write!(f, "{separator}{zone}")?;
            separator = '+';
        }
        Ok(())
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let read = || -> Option<Self> {
            let (region, zones) = text.split_once('|')?;
            let mut zones = zones.split('+').map(str::parse::<Zone>);
            let first = zones.next()?.ok()?;
            let more: Vec<_> = zones.collect::<Result<_, _>>().ok()?;
            Some(Self::new(region.parse().ok()?, first, more))
        };
        read().ok_or_else(|| PlaceError(text.chars().take(80).collect()))
    }
}

impl ZoneSource {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Number,
        Self::List,
        Self::NumberAndList,
        Self::Fallback,
    ];

    /// The source of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// The source's name in records and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::List => "list",
            Self::NumberAndList => "numberAndList",
            Self::Fallback => "fallback",
        }
    }
}

/// The zones of a country; those that keep the same time stand for one another.
#[derive(Debug)]
struct Country {
    /// One zone of each time that is kept in the country.
    zones: Vec<Zone>,
    /// Each zone's name, and the one of `zones` with the same clock.
    like: BTreeMap<&'static str, Zone>,
}

/// What numbers that begin alike have in common.
#[derive(Debug)]
struct Area {
    region: RegionCode,
    zones: Vec<Zone>,
}

impl Area {
    /// The area with the longest prefix that fits.
    fn of(phone: &PhoneNumber) -> Option<&'static Self> {
        let digits = phone.as_str().trim_start_matches('+');
        (1..=LONGEST_PREFIX.min(digits.len()))
            .rev()
            .find_map(|length| AREAS.get(&digits[..length].parse().ok()?))
    }

    /// Whether the zone is one of the area's, or keeps the same time as one.
    fn has(&self, zone: &Zone) -> bool {
        let country = self.region.country().and_then(|it| COUNTRIES.get(it));
        let like = |zone: &Zone| country.and_then(|it| it.like.get(zone.name()));
        let wanted = like(zone);
        self.zones
            .iter()
            .any(|own| own == zone || (wanted.is_some() && like(own) == wanted))
    }

    fn place(&self) -> Place {
        let (first, more) = self.zones.split_first().expect("an area has a zone");
        Place::new(self.region.clone(), first.clone(), more.iter().cloned())
    }
}

/// The lines of the file: `US America/New_York=America/Detroit America/Chicago …`.
fn countries(text: &'static str) -> impl Iterator<Item = (&'static str, Country)> {
    super::data_lines(text).map(|line| {
        let (code, groups) = line.split_once(' ').expect("a country has zones");
        let (mut zones, mut like) = (Vec::new(), BTreeMap::new());
        for group in groups.split_whitespace() {
            let mut names = group.split('=');
            let first = names.next().expect("splitting gives at least one");
            let zone: Zone = first.parse().expect("the file has zones of the database");
            zones.push(zone.clone());
            like.insert(first, zone.clone());
            like.extend(names.map(|name| (name, zone.clone())));
        }
        (code, Country { zones, like })
    })
}

/// The areas that are whole countries, by calling code; of several, the main one.
fn whole_countries() -> impl Iterator<Item = (u32, Area)> {
    PHONE_NUMBER_UTIL
        .get_supported_calling_codes()
        .filter_map(|code| {
            let country = PHONE_NUMBER_UTIL.get_region_for_country_code(code)?;
            let region: RegionCode = country.as_region_str().as_str().parse().ok()?;
            let zones = COUNTRIES.get(region.as_str())?.zones.clone();
            Some((u32::try_from(code).ok()?, Area { region, zones }))
        })
}

/// The lines of the file: `US-FL | zone+zone | 1 | 305 321 …`; no zones means all of the country.
fn areas(text: &'static str) -> impl Iterator<Item = (u32, Area)> {
    super::data_lines(text).flat_map(|line| {
        let fields: Vec<_> = line.split('|').map(str::trim).collect();
        let [region, zones, calling_code, areas] = fields[..] else {
            panic!("an area has four fields: {line}");
        };
        let region: RegionCode = region.parse().expect("the file has regions");
        let country = region.country().and_then(|it| COUNTRIES.get(it));
        let zones: Vec<Zone> = match (zones, country) {
            ("", Some(country)) => country.zones.clone(),
            (zones, _) => zones
                .split('+')
                .map(|name| name.parse().expect("the file has zones of the database"))
                .collect(),
        };
        areas.split_whitespace().map(move |area| {
            let prefix = format!("{calling_code}{area}");
            let prefix = prefix.parse().expect("a prefix has digits only");
            let area = Area {
                region: region.clone(),
                zones: zones.clone(),
            };
            (prefix, area)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn phone(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    fn zone(text: &str) -> Zone {
        text.parse().unwrap()
    }

    fn place(number: &str, column: Option<&str>) -> String {
        let column = column.map(zone);
        Place::of(&phone(number), column.as_ref(), &Zone::utc()).to_string()
    }

    #[test]
    fn the_area_code_tells_state_and_zones() {
        for (number, expected) in [
            ("+12125550143", "US-NY|America/New_York"),
            ("+18505550143", "US-FL|America/Chicago+America/New_York"),
            ("+14805550143", "US-AZ|America/Phoenix"),
            ("+18085550143", "US-HI|Pacific/Honolulu"),
            ("+14165550143", "CA-ON|America/Toronto"),
            ("+17875550143", "PR|America/Puerto_Rico"),
            ("+18765550143", "JM|America/Jamaica"),
            ("+442079460018", "GB|Europe/London"),
            ("+61291234567", "AU-NSW|Australia/Sydney"),
            ("+61731234567", "AU-QLD|Australia/Brisbane"),
            ("+61891234567", "AU-WA|Australia/Perth"),
            ("+61889123456", "AU-NT|Australia/Darwin"),
            ("+5568999990000", "BR|America/Rio_Branco"),
            ("+9779812345678", "NP|Asia/Kathmandu"),
            ("+77011234567", "KZ|Asia/Almaty"),
        ] {
            assert_eq!(place(number, None), expected, "{number}");
        }
    }

    // proves F-70
    #[test]
    fn a_number_without_a_place_has_all_zones_of_its_country() {
        assert_eq!(
            place("+18005550143", None),
            "US|America/Adak+America/Anchorage+America/Chicago+America/Denver+America/Los_Angeles\
             +America/New_York+America/Phoenix+Pacific/Honolulu"
        );
        let mobile: Place = place("+61491570156", None).parse().unwrap();
        assert_eq!(mobile.zones().len(), 7);
        let russia: Place = place("+79161234567", None).parse().unwrap();
        assert_eq!(russia.zones().len(), 11);
        assert_eq!(place("+33612345678", None), "FR|Europe/Paris");
    }

    // proves F-70
    #[test]
    fn a_stated_zone_that_fits_is_taken_and_one_that_does_not_is_added() {
        assert_eq!(
            place("+61491570156", Some("Australia/Melbourne")),
            "AU|Australia/Melbourne"
        );
        assert_eq!(
            place("+13135550143", Some("America/Detroit")),
            "US-MI|America/Detroit"
        );
        assert_eq!(
            place("+18505550143", Some("Central")),
            "US-FL|America/Chicago"
        );
        assert_eq!(
            place("+12125550143", Some("Pacific")),
            "US-NY|America/Los_Angeles+America/New_York"
        );
        assert_eq!(
            place("+442079460018", Some("EST")),
            "GB|America/New_York+Europe/London"
        );
    }

    #[test]
    fn a_number_that_says_nothing_takes_the_list_or_the_campaign() {
        assert_eq!(place("+80012345678", None), "unknown|UTC");
        assert_eq!(
            place("+80012345678", Some("Asia/Tokyo")),
            "unknown|Asia/Tokyo"
        );
    }

    // proves F-75
    #[test]
    fn the_source_of_the_zones_can_be_told_afterwards() {
        for (number, column, expected) in [
            ("+12125550143", None, ZoneSource::Number),
            ("+18505550143", Some("Central"), ZoneSource::List),
            ("+12125550143", Some("Pacific"), ZoneSource::NumberAndList),
            ("+80012345678", Some("Pacific"), ZoneSource::Fallback),
        ] {
            let column = column.map(zone);
            let found = Place::of(&phone(number), column.as_ref(), &Zone::utc());
            assert_eq!(
                found.source(&phone(number)),
                expected,
                "{number} {column:?}"
            );
        }
    }

    #[test]
    fn equal_places_have_equal_keys_and_keys_are_read_back() {
        let key = "US-FL|America/Chicago+America/New_York";
        let read: Place = "US-FL|America/New_York+America/Chicago+America/New_York"
            .parse()
            .unwrap();
        assert_eq!(read, key.parse().unwrap());
        assert_eq!(read.to_string(), key);
        for area in AREAS.values() {
            let place = area.place();
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "US", "US|", "US|Mars/Olympus", "USA|UTC", "us_fl|UTC"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_line_of_the_areas_is_read_once_and_fits_its_country() {
        let mut seen = BTreeMap::new();
        for (prefix, area) in areas(include_str!("data/areas.txt")) {
            assert!(prefix.to_string().len() <= LONGEST_PREFIX);
            assert!(!area.zones.is_empty());
            for zone in &area.zones {
                let country = area.region.country().unwrap();
                assert!(
                    COUNTRIES[country].like.contains_key(zone.name()),
                    "{prefix} {zone}"
                );
            }
            assert!(seen.insert(prefix, area.region).is_none(), "{prefix} twice");
        }
        assert!(seen.len() > 450);
    }

    proptest! {
        // proves F-70
        #[test]
        fn any_number_has_a_place_that_holds_what_the_list_states(
            number in "\\+(1[2-9][0-9]{9}|61[0-9]{9}|55[0-9]{10}|7[0-9]{10}|[2-9][0-9]{6,13})",
            column in proptest::option::of(proptest::sample::select(vec![
                "America/New_York", "Pacific/Honolulu", "Australia/Melbourne", "Asia/Kathmandu",
            ])),
        ) {
            let (number, column) = (phone(&number), column.map(zone));
            let silent = Place::of(&number, None, &Zone::utc());
            let found = Place::of(&number, column.as_ref(), &Zone::utc());
            prop_assert_eq!(&found.to_string().parse::<Place>().unwrap(), &found);
            prop_assert!(found.zones().is_sorted() && !found.zones().is_empty());
            prop_assert_eq!(found.region(), silent.region());
            let Some(column) = column else {
                prop_assert_eq!(found, silent);
                return Ok(());
            };
            prop_assert!(found.zones().contains(&column));
            // Either the list chose among the number's zones, or all of those hold too.
            let is_all = silent.zones().iter().all(|it| found.zones().contains(it));
            prop_assert!(found.zones().len() == 1 || is_all);
        }
    }

    #[test]
    fn every_country_with_numbers_has_zones() {
        for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
            let country = PHONE_NUMBER_UTIL.get_region_for_country_code(code).unwrap();
            let country = country.as_region_str().as_str().to_owned();
            let is_known = country == "001" || COUNTRIES.contains_key(country.as_str());
            assert!(is_known, "+{code} {country}");
        }
    }

    #[test]
    fn zones_that_stand_for_one_another_keep_the_same_time() {
        let hours = || {
            let first: super::super::Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
            (0..5 * 366).map(move |day| first + std::time::Duration::from_secs(86_400 * day))
        };
        for (code, country) in countries(include_str!("data/zones.txt")) {
            for (name, zone) in &country.like {
                let other: Zone = name.parse().unwrap();
                let differs =
                    hours().find(|at| zone.tz().to_offset(*at) != other.tz().to_offset(*at));
                assert_eq!(differs, None, "{code}: {name} and {zone}");
            }
        }
    }
}
