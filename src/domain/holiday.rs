//! Days on which other hours hold: public holidays by region, and what a tenant adds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::{
    ToSpan,
    civil::{Date, Weekday},
    tz::Offset,
};

use super::{
    place::RegionCode,
    window::{Window, day_from_name},
};

/// The years for which days are worked out.
const YEARS: std::ops::RangeInclusive<i16> = 2020..=2060;

static CALENDARS: LazyLock<BTreeMap<&'static str, Calendar>> =
    LazyLock::new(|| read_calendars(include_str!("data/holidays.txt")));

/// The public holidays of one country, or of one part of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Calendar {
    /// Such as `US-federal` or `GB`.
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    rules: Vec<DayRule>,
    /// Days since 1970, with their names.
    days: BTreeMap<i64, &'static str>,
}

/// The days that a tenant adds, everywhere or for a region (`US`: all of it).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holidays {
    days: BTreeMap<Option<RegionCode>, BTreeMap<i64, String>>,
}

/// The days off of one place, and the hours that hold on them.
#[derive(Debug, Clone)]
pub struct DaysOff<'a> {
    calendars: &'a [&'static Calendar],
    extra: Vec<&'a BTreeMap<i64, String>>,
    hours: &'a Window,
}

impl Calendar {
    /// The calendar of that name.
    pub fn find(id: &str) -> Option<&'static Self> {
        CALENDARS.get(id)
    }

    /// The calendar of a region, or else of its country.
    pub fn of(region: &RegionCode) -> Option<&'static Self> {
        Self::find(region.as_str()).or_else(|| Self::find(region.country()?))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        CALENDARS.values()
    }

    /// The holiday's name, if the date is one.
    pub fn name_of(&self, date: Date) -> Option<&'static str> {
        self.days.get(&day_number(date)).copied()
    }
}

impl Holidays {
    /// Adds a day for a region, or everywhere.
    pub fn add(&mut self, region: Option<RegionCode>, date: Date, name: &str) {
        let days = self.days.entry(region).or_default();
        days.insert(day_number(date), name.to_owned());
    }

    /// Every added day.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&RegionCode>, Date, &str)> {
        self.days.iter().flat_map(|(region, days)| {
            days.iter()
                .map(|(day, name)| (region.as_ref(), date_of(*day), name.as_str()))
        })
    }

    fn of(&self, region: &RegionCode) -> Vec<&BTreeMap<i64, String>> {
        let country = region.country().and_then(|it| it.parse().ok());
        let mut keys = BTreeSet::from([None, country]);
        if !region.is_unknown() {
            keys.insert(Some(region.clone()));
        }
        keys.iter().filter_map(|key| self.days.get(key)).collect()
    }
}

impl<'a> DaysOff<'a> {
    /// No days at all.
    pub fn none() -> DaysOff<'static> {
        static NEVER: LazyLock<Window> = LazyLock::new(Window::never);
        DaysOff {
            calendars: &[],
            extra: Vec::new(),
            hours: &NEVER,
        }
    }

    /// The days of `calendars` and what `added` has for the region; `hours` hold on them.
    pub fn new(
        calendars: &'a [&'static Calendar],
        added: &'a Holidays,
        region: &RegionCode,
        hours: &'a Window,
    ) -> Self {
        Self {
            calendars,
            extra: added.of(region),
            hours,
        }
    }

    /// Whether there is no day.
    pub fn is_empty(&self) -> bool {
        self.calendars.is_empty() && self.extra.is_empty()
    }

    /// The hours that hold on these days.
    pub fn hours(&self) -> &'a Window {
        self.hours
    }

    /// Whether the day, counted from 1970-01-01, is one of them.
    pub fn contains(&self, day: i64) -> bool {
        self.name_of_day(day).is_some()
    }

    /// The holiday's name, if the date is one of them.
    pub fn name_of(&self, date: Date) -> Option<&str> {
        self.name_of_day(day_number(date))
    }

    fn name_of_day(&self, day: i64) -> Option<&str> {
        let built_in = self
            .calendars
            .iter()
            .find_map(|it| it.days.get(&day).copied());
        let extra = || self.extra.iter().find_map(|days| days.get(&day));
        built_in.or_else(|| extra().map(String::as_str))
    }
}

/// Days since 1970-01-01.
fn day_number(date: Date) -> i64 {
    let midnight = date.at(0, 0, 0, 0);
    let second = Offset::UTC
        .to_timestamp(midnight)
        .map_or(i64::MAX, |at| at.as_second());
    second.div_euclid(86_400)
}

fn date_of(day: i64) -> Date {
    let at = super::Timestamp::from_second(day * 86_400).unwrap_or(super::Timestamp::MAX);
    Offset::UTC.to_datetime(at).date()
}

/// How a holiday falls into a year.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DayRule {
    name: &'static str,
    base: Base,
    /// Days after the base; the day after the fourth Thursday in November has 1.
    plus: i32,
    shift: Shift,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// The same date each year.
    Fixed { month: i8, day: i8 },
    /// The first (1) to fifth such weekday of the month; the last is -1.
    Nth {
        nth: i8,
        weekday: Weekday,
        month: i8,
    },
    /// The last such weekday on or before a date.
    OnOrBefore {
        weekday: Weekday,
        month: i8,
        day: i8,
    },
    /// Easter Sunday.
    Easter,
}

/// What happens when a holiday falls on a weekend. The day itself stays a holiday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    /// Nothing.
    Stays,
    /// Saturday's is also kept on Friday, Sunday's on Monday.
    Nearest,
    /// It is also kept on the next weekday that is no holiday.
    Next,
    /// Sunday's is also kept on Monday.
    SundayOnly,
}

impl DayRule {
    fn in_year(&self, year: i16) -> Option<Date> {
        let base = match self.base {
            Base::Fixed { month, day } => Date::new(year, month, day).ok()?,
            Base::Nth {
                nth,
                weekday,
                month,
            } => {
                let first = Date::new(year, month, 1).ok()?;
                first.nth_weekday_of_month(nth, weekday).ok()?
            }
            Base::OnOrBefore {
                weekday,
                month,
                day,
            } => {
                let last = Date::new(year, month, day).ok()?;
                last.checked_sub(i64::from(last.weekday().since(weekday)).days())
                    .ok()?
            }
            Base::Easter => easter(year)?,
        };
        base.checked_add(i64::from(self.plus).days()).ok()
    }
}

/// Easter Sunday of the Western churches (the anonymous Gregorian computus).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (8 * b + 13) / 25;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 19 * l) / 433;
    let month = (h + l - 7 * m + 90) / 25;
    let day = (h + l - 7 * m + 33 * month + 19) % 32;
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// All days of the rules, those that are moved off a weekend included.
fn days_of(rules: &[DayRule]) -> BTreeMap<i64, &'static str> {
    let dates =
        |rule: &DayRule| -> Vec<Date> { YEARS.filter_map(|year| rule.in_year(year)).collect() };
    let mut days = BTreeMap::new();
    for rule in rules {
        for date in dates(rule) {
            days.entry(day_number(date)).or_insert(rule.name);
        }
    }
    // Moved days look for a free one, so they come after all that are not moved.
    for rule in rules {
        for date in dates(rule) {
            if let Some(day) = moved(rule.shift, date, &days) {
                days.entry(day).or_insert(rule.name);
            }
        }
    }
    days
}

fn moved(shift: Shift, date: Date, taken: &BTreeMap<i64, &'static str>) -> Option<i64> {
    use Weekday::{Saturday, Sunday};
    let day = day_number(date);
    match (shift, date.weekday()) {
        (Shift::Nearest, Saturday) => Some(day - 1),
        (Shift::Nearest | Shift::SundayOnly, Sunday) => Some(day + 1),
        (Shift::Next, Saturday | Sunday) => (day + 1..day + 10).find(|next| {
            let weekend = matches!(date_of(*next).weekday(), Saturday | Sunday);
            !weekend && !taken.contains_key(next)
        }),
        (Shift::Stays | Shift::Nearest | Shift::Next | Shift::SundayOnly, _) => None,
    }
}

fn read_calendars(text: &'static str) -> BTreeMap<&'static str, Calendar> {
    let mut calendars: BTreeMap<&str, Calendar> = BTreeMap::new();
    let mut current = "";
    for line in super::data_lines(text) {
        if let Some(head) = line.strip_prefix("calendar ") {
            let (id, title) = head
                .split_once(' ')
                .expect("a calendar has an id and a title");
            current = id;
            let (rules, days) = (Vec::new(), BTreeMap::new());
            let calendar = Calendar {
                id,
                title,
                rules,
                days,
            };
            assert!(calendars.insert(id, calendar).is_none(), "{id} comes once");
        } else if let Some(ids) = line.strip_prefix("include ") {
            for id in ids.split_whitespace() {
                let rules = calendars.get(id).expect("an earlier calendar is included");
                let rules = rules.rules.clone();
                let own = own(&mut calendars, current);
                // A day that two included calendars have must not be moved off a weekend twice.
                let new: Vec<_> = rules.into_iter().filter(|it| !own.contains(it)).collect();
                own.extend(new);
            }
        } else {
            let rule = read_rule(line);
            let rule = rule.unwrap_or_else(|| panic!("no holiday rule: {line}"));
            own(&mut calendars, current).push(rule);
        }
    }
    for calendar in calendars.values_mut() {
        calendar.days = days_of(&calendar.rules);
    }
    calendars
}

fn own<'a>(calendars: &'a mut BTreeMap<&str, Calendar>, id: &str) -> &'a mut Vec<DayRule> {
    let calendar = calendars.get_mut(id).expect("rules follow a calendar line");
    &mut calendar.rules
}

/// `Name | when | shift`, where `when` is `jan 1`, `3 mon jan`, `last mon may`, `mon by may 24` or
/// `easter`, each with `+n` or `-n` days behind it.
fn read_rule(line: &'static str) -> Option<DayRule> {
    let mut fields = line.split('|').map(str::trim);
    let (name, when, shift) = (fields.next()?, fields.next()?, fields.next());
    let mut words: Vec<&str> = when.split_whitespace().collect();
    let plus = match words
        .last()?
        .strip_prefix('+')
        .or(words.last()?.strip_prefix('-'))
    {
        Some(_) => words.pop()?.parse().ok()?,
        None => 0,
    };
    let base = match words[..] {
        ["easter"] => Base::Easter,
        ["last", weekday, month] => Base::Nth {
            nth: -1,
            weekday: day_from_name(weekday)?,
            month: month_of(month)?,
        },
        [weekday, "by", month, day] => Base::OnOrBefore {
            weekday: day_from_name(weekday)?,
            month: month_of(month)?,
            day: day.parse().ok()?,
        },
        [nth, weekday, month] => Base::Nth {
            nth: nth.parse().ok()?,
            weekday: day_from_name(weekday)?,
            month: month_of(month)?,
        },
        [month, day] => Base::Fixed {
            month: month_of(month)?,
            day: day.parse().ok()?,
        },
        _ => return None,
    };
    let shift = match shift {
        None => Shift::Stays,
        Some("nearest") => Shift::Nearest,
        Some("next") => Shift::Next,
        Some("sunday") => Shift::SundayOnly,
        Some(_) => return None,
    };
    Some(DayRule {
        name,
        base,
        plus,
        shift,
    })
}

fn month_of(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let index = MONTHS.iter().position(|it| *it == name)?;
    i8::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(calendar: &str, date: &str) -> Option<&'static str> {
        Calendar::find(calendar)
            .unwrap()
            .name_of(date.parse().unwrap())
    }

    #[test]
    fn known_holidays_are_found() {
        for (calendar, date, expected) in [
            ("US", "2026-11-26", "Thanksgiving Day"),
            ("US", "2026-07-03", "Independence Day"),
            ("US", "2026-07-04", "Independence Day"),
            ("US", "2027-12-31", "New Year's Day"),
            ("US-LA", "2026-02-17", "Mardi Gras"),
            ("GB-EAW", "2026-04-03", "Good Friday"),
            ("GB-EAW", "2022-12-27", "Christmas Day"),
            ("GB-EAW", "2021-12-27", "Christmas Day"),
            ("GB-EAW", "2021-12-28", "Boxing Day"),
            ("GB", "2026-11-30", "St Andrew's Day"),
            ("AU", "2026-01-26", "Australia Day"),
            ("AU", "2028-01-03", "New Year's Day"),
            ("AU-VIC", "2026-11-03", "Melbourne Cup Day"),
            ("CA", "2026-05-18", "Victoria Day"),
            ("CA", "2027-05-24", "Victoria Day"),
            ("DE", "2026-05-14", "Ascension Day"),
            ("FR", "2026-05-25", "Whit Monday"),
            ("AT", "2026-06-04", "Corpus Christi"),
        ] {
            assert_eq!(name(calendar, date), Some(expected), "{calendar} {date}");
        }
        assert_eq!(name("US", "2026-11-27"), None);
        assert_eq!(name("DE", "2026-11-26"), None);
    }

    #[test]
    fn easter_is_where_the_church_puts_it() {
        for date in [
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2038-04-25",
        ] {
            let date: Date = date.parse().unwrap();
            assert_eq!(easter(date.year()), Some(date));
        }
    }

    #[test]
    fn a_region_without_a_calendar_has_its_country_s() {
        let of = |region: &str| Calendar::of(&region.parse().unwrap()).map(|it| it.id);
        assert_eq!(of("US-FL"), Some("US"));
        assert_eq!(of("US-LA"), Some("US-LA"));
        assert_eq!(of("NP"), None);
        assert_eq!(of("unknown"), None);
    }

    #[test]
    fn every_calendar_is_read_and_has_days_in_each_year() {
        assert!(Calendar::all().count() > 30);
        for calendar in Calendar::all() {
            for year in YEARS {
                let in_year = calendar
                    .days
                    .keys()
                    .filter(|day| date_of(**day).year() == year);
                assert!(in_year.count() >= 5, "{} {year}", calendar.id);
            }
        }
    }

    #[test]
    fn added_days_hold_everywhere_or_in_their_region() {
        let date = |text: &str| text.parse::<Date>().unwrap();
        let region = |text: &str| text.parse::<RegionCode>().unwrap();
        let mut added = Holidays::default();
        added.add(None, date("2026-12-24"), "Office closed");
        added.add(
            Some(region("US")),
            date("2026-03-02"),
            "Texas Independence Day, everywhere",
        );
        added.add(
            Some(region("US-CA")),
            date("2026-03-31"),
            "Cesar Chavez Day",
        );
        let never = Window::never();
        let is_off = |place: &str, day: &str| {
            let off = DaysOff::new(&[], &added, &region(place), &never);
            off.name_of(date(day)).is_some()
        };
        for place in ["US-CA", "US-NY", "US", "FR", "unknown"] {
            let in_us = place.starts_with("US");
            assert!(is_off(place, "2026-12-24"), "{place}");
            assert_eq!(is_off(place, "2026-03-02"), in_us, "{place}");
            assert_eq!(is_off(place, "2026-03-31"), place == "US-CA", "{place}");
        }
        assert_eq!(added.iter().count(), 3);
    }
}
