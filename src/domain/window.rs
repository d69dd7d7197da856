//! Weekly hours, and when they are next open at a place: exact in absolute time.
//!
//! Hours are wall-clock time and have minutes for a grain. What a clock change does follows from
//! asking the zone for its offset: an hour that does not exist is never open, and one that comes
//! twice is open twice.

use std::{fmt, str::FromStr, time::Duration};

use jiff::civil::Weekday;

use super::{Timestamp, holiday::DaysOff, zone::Zone};

const DAY: i64 = 86_400;
const MINUTES_A_DAY: u16 = 1_440;
const MINUTES_A_WEEK: u16 = 7 * MINUTES_A_DAY;

/// How far ahead an opening is looked for: whatever depends on the season comes within a year.
const HORIZON: i64 = 370 * DAY;

/// A time on a clock's face, from 00:00 to 24:00, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

/// The text is not a time such as 09:30.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time from 00:00 to 24:00")]
pub struct TimeOfDayError(String);

/// Hours of one day. When `to` is not after `from` they run into the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The day on which it begins.
    pub day: Weekday,
    /// The first minute.
    pub from: TimeOfDay,
    /// The minute at which it is over.
    pub to: TimeOfDay,
}

/// Weekly hours in wall-clock time: several slots a day, also over midnight.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Minutes from Monday 00:00, first inclusive and last exclusive: sorted, apart, not empty.
    /// Hours over the end of the week are in two parts.
    spans: Vec<(u16, u16)>,
}

/// Why slots are no weekly hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Nothing would ever be called.
    #[error("the hours are empty: nobody could ever be called")]
    Empty,
    /// From and to are the same time.
    #[error("{0} begins and ends at the same time; a whole day is 00:00-24:00")]
    NoLength(String),
    /// Two slots cover the same minutes.
    #[error("{0} overlaps another slot")]
    Overlap(String),
    /// Not written as `mon-fri 09:00-20:00, sat 10:00-16:00`.
    #[error("{0:?} is not written as mon-fri 09:00-20:00")]
    Form(String),
}

/// Whether a place may be called, and until or from when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Now.
    Open {
        /// From when on not any more; none within the next year.
        closes_at: Option<Timestamp>,
    },
    /// Not now.
    Closed {
        /// When it opens; none within the next year.
        opens_at: Option<Timestamp>,
    },
}

impl Opening {
    /// Whether it is open.
    pub fn is_open(self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Closed { .. } => false,
        }
    }

    /// The first instant from `at` on at which it is open.
    pub fn first(self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Open { .. } => Some(at),
            Self::Closed { opens_at } => opens_at,
        }
    }
}

impl TimeOfDay {
    /// The day's first minute.
    pub const MIDNIGHT: Self = Self(0);
    /// The end of the day.
    pub const END: Self = Self(MINUTES_A_DAY);

    /// The time that is so many minutes after midnight, up to 1440.
    pub fn from_minutes(minutes: u16) -> Option<Self> {
        (minutes <= MINUTES_A_DAY).then_some(Self(minutes))
    }

    /// Minutes after midnight.
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let parts = text.split_once(':').filter(|(hours, minutes)| {
            let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            (1..=2).contains(&hours.len()) && minutes.len() == 2 && digits(hours) && digits(minutes)
        });
        parts
            .and_then(|(hours, minutes)| {
                let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
                (minutes < 60).then(|| Self::from_minutes(60 * hours + minutes))?
            })
            .ok_or_else(|| TimeOfDayError(text.chars().take(20).collect()))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Window {
    /// Every minute of the week.
    pub fn always() -> Self {
        Self {
            spans: vec![(0, MINUTES_A_WEEK)],
        }
    }

    /// No minute: what is left of hours that have none in common.
    pub fn never() -> Self {
        Self { spans: vec![] }
    }

    /// The same hours on each day; when `to` is not after `from` they run over midnight.
    pub fn daily(from: TimeOfDay, to: TimeOfDay) -> Result<Self, WindowError> {
        let slots: Vec<_> = WEEK.map(|day| Slot { day, from, to }).to_vec();
        Self::try_from(slots)
    }

    /// Whether no minute of the week is left out.
    pub fn is_always(&self) -> bool {
        self.spans == [(0, MINUTES_A_WEEK)]
    }

    /// Whether no minute is left.
    pub fn is_never(&self) -> bool {
        self.spans.is_empty()
    }

    /// The hours that both allow.
    pub fn intersect(&self, other: &Self) -> Self {
        let mut spans = Vec::new();
        let (mut left, mut right) = (0, 0);
        while let (Some(a), Some(b)) = (self.spans.get(left), other.spans.get(right)) {
            let common = (a.0.max(b.0), a.1.min(b.1));
            if common.0 < common.1 {
                spans.push(common);
            }
            if a.1 < b.1 { left += 1 } else { right += 1 }
        }
        Self { spans }
    }

    /// The hours as slots, in the order of the week.
    pub fn slots(&self) -> Vec<Slot> {
        let mut spans = self.spans.clone();
        // What runs from Sunday night into Monday is one slot, not two.
        if let (Some(first), Some(last)) = (spans.first().copied(), spans.last().copied()) {
            let joined = (last.0, MINUTES_A_WEEK + first.1);
            let is_one = spans.len() > 1 && first.0 == 0 && last.1 == MINUTES_A_WEEK;
            if is_one && is_over_midnight(joined) {
                spans.remove(0);
                spans.pop();
                spans.push(joined);
            }
        }
        spans.into_iter().flat_map(slots_of).collect()
    }

    /// Whether the minute of the week is open, and the minute at which that may change.
    fn at_minute(&self, minute: u16) -> (bool, u16) {
        match self.spans.iter().find(|span| minute < span.1) {
            Some(span) if span.0 <= minute => (true, span.1),
            Some(span) => (false, span.0),
            None => (false, MINUTES_A_WEEK),
        }
    }
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

/// The days as texts have them, from Monday.
const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The day's name in texts: `mon`.
pub fn day_name(day: Weekday) -> &'static str {
    DAY_NAMES[day_index(day)]
}

/// The day of that name.
pub fn day_from_name(name: &str) -> Option<Weekday> {
    let index = DAY_NAMES.iter().position(|it| *it == name)?;
    Some(WEEK[index])
}

fn day_index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).expect("an offset from Monday is not negative")
}

fn is_over_midnight(span: (u16, u16)) -> bool {
    let midnight = (span.0 / MINUTES_A_DAY + 1) * MINUTES_A_DAY;
    span.1 > midnight && !span.0.is_multiple_of(MINUTES_A_DAY) && span.1 - span.0 < MINUTES_A_DAY
}

/// A span of minutes cut into slots: at midnights, unless it is short and runs over one.
fn slots_of(span: (u16, u16)) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut from = span.0;
    while from < span.1 {
        let begin = from - from % MINUTES_A_DAY;
        let to = if is_over_midnight((from, span.1)) {
            span.1
        } else {
            span.1.min(begin + MINUTES_A_DAY)
        };
        let length_of_day = to - begin;
        slots.push(Slot {
            day: WEEK[usize::from(begin / MINUTES_A_DAY) % 7],
            from: TimeOfDay(from - begin),
            to: TimeOfDay(if length_of_day > MINUTES_A_DAY {
                length_of_day - MINUTES_A_DAY
            } else {
                length_of_day
            }),
        });
        from = to;
    }
    slots
}

impl TryFrom<Vec<Slot>> for Window {
    type Error = WindowError;

    /// Weekly hours from slots in any order; slots may touch, not overlap.
    fn try_from(slots: Vec<Slot>) -> Result<Self, WindowError> {
        let mut parts = Vec::new();
        for slot in &slots {
            if slot.from == slot.to || slot.from == TimeOfDay::END {
                return Err(WindowError::NoLength(slot.to_string()));
            }
            let begin = MINUTES_A_DAY * u16::try_from(day_index(slot.day)).expect("below seven");
            let from = begin + slot.from.0;
            let to = if slot.to > slot.from {
                begin + slot.to.0
            } else {
                begin + MINUTES_A_DAY + slot.to.0
            };
            parts.push((from, to.min(MINUTES_A_WEEK), *slot));
            if to > MINUTES_A_WEEK {
                parts.push((0, to - MINUTES_A_WEEK, *slot));
            }
        }
        parts.sort_unstable_by_key(|(from, to, _)| (*from, *to));
        let mut spans: Vec<(u16, u16)> = Vec::new();
        for (from, to, slot) in parts {
            match spans.last_mut() {
                Some(last) if from < last.1 => return Err(WindowError::Overlap(slot.to_string())),
                Some(last) if from == last.1 => last.1 = to,
                _ => spans.push((from, to)),
            }
        }
        if spans.is_empty() {
            return Err(WindowError::Empty);
        }
        Ok(Self { spans })
    }
}

impl FromStr for Window {
    type Err = WindowError;

    /// Reads what `Display` writes: `mon-fri 09:00-12:00 13:00-20:00, sat 10:00-16:00`.
    fn from_str(text: &str) -> Result<Self, WindowError> {
        match text.trim() {
            "always" => return Ok(Self::always()),
            "never" => return Ok(Self::never()),
            _ => {}
        }
        let error = || WindowError::Form(text.chars().take(80).collect());
        let mut slots = Vec::new();
        for group in text.split(',') {
            let mut words = group.split_whitespace();
            let days = words.next().and_then(days_of).ok_or_else(error)?;
            for hours in words {
                let (from, to) = hours.split_once('-').ok_or_else(error)?;
                let from = from.parse().map_err(|_| error())?;
                let to = to.parse().map_err(|_| error())?;
                slots.extend(days.iter().map(|day| Slot {
                    day: *day,
                    from,
                    to,
                }));
            }
        }
        Self::try_from(slots)
    }
}

/// `mon` or `mon-fri`; `sat-mon` goes over the end of the week.
fn days_of(text: &str) -> Option<Vec<Weekday>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day_from_name(first)?, day_from_name(last)?);
    let n_days = usize::try_from(first.until(last)).ok()? + 1;
    Some(first.cycle_forward().take(n_days).collect())
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}-{}", day_name(self.day), self.from, self.to)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_always() {
            return f.write_str("always");
        }
        if self.is_never() {
            return f.write_str("never");
        }
        let mut hours = [const { String::new() }; 7];
        for slot in self.slots() {
            let text = format!(" {}-{}", slot.from, slot.to);
            hours[day_index(slot.day)].push_str(&text);
        }
        let mut separator = "";
        let mut first = 0;
        while first < 7 {
            let n_alike = hours[first..]
                .iter()
                .take_while(|it| **it == hours[first])
                .count();
            if !hours[first].is_empty() {
                write!(f, "{separator}{}", DAY_NAMES[first])?;
                if n_alike > 1 {
                    write!(f, "-{}", DAY_NAMES[first + n_alike - 1])?;
                }
                f.write_str(&hours[first])?;
                separator = ", ";
            }
            first += n_alike;
        }
        Ok(())
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({self})")
    }
}

/// Whether a place with these hours is open at `at`: in all its zones at once.
///
/// `off` are the days on which other hours hold. An answer of `None` in an opening means that
/// nothing changes within a year.
pub fn opening(window: &Window, zones: &[Zone], off: &DaysOff<'_>, at: Timestamp) -> Opening {
    if off.is_empty() {
        if window.is_always() {
            return Opening::Open { closes_at: None };
        }
        if window.is_never() {
            return Opening::Closed { opens_at: None };
        }
    }
    let mut clocks: Vec<_> = zones
        .iter()
        .map(|zone| WallClock::new(zone, window, off))
        .collect();
    let now = at.as_second();
    let last = now + HORIZON;
    let mut t = now;
    // While some zone is closed, none opens before that zone does.
    while let Some(until) = latest_closed(&mut clocks, t) {
        t = until;
        if t > last {
            return Opening::Closed { opens_at: None };
        }
    }
    if t > now {
        return Opening::Closed {
            opens_at: Some(instant(t)),
        };
    }
    loop {
        t = clocks
            .iter_mut()
            .map(|clock| clock.read(t).1)
            .min()
            .unwrap_or(i64::MAX);
        if t > last {
            return Opening::Open { closes_at: None };
        }
        if latest_closed(&mut clocks, t).is_some() {
            return Opening::Open {
                closes_at: Some(instant(t)),
            };
        }
    }
}

/// [`opening`] for something that takes `length`, such as ringing: it must be open all the while.
///
/// `closes_at` is then the last moment to begin at which it would still be cut off.
pub fn opening_for(
    length: Duration,
    window: &Window,
    zones: &[Zone],
    off: &DaysOff<'_>,
    at: Timestamp,
) -> Opening {
    let last = instant(at.as_second() + HORIZON);
    let mut t = at;
    while t <= last {
        match opening(window, zones, off, t) {
            Opening::Closed { opens_at: None } => break,
            Opening::Closed {
                opens_at: Some(next),
            } => t = next,
            Opening::Open {
                closes_at: Some(end),
            } if end <= later(t, length) => t = end,
            Opening::Open { .. } if t > at => return Opening::Closed { opens_at: Some(t) },
            Opening::Open { closes_at } => {
                let closes_at = closes_at.map(|end| end - length);
                return Opening::Open { closes_at };
            }
        }
    }
    Opening::Closed { opens_at: None }
}

/// `at` plus `wait`, or the end of time.
pub fn later(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
}

/// The latest moment until which a zone that is closed at `t` stays closed; none when all are open.
fn latest_closed(clocks: &mut [WallClock<'_>], t: i64) -> Option<i64> {
    clocks
        .iter_mut()
        .map(|clock| clock.read(t))
        .filter(|(is_open, _)| !is_open)
        .map(|(_, until)| until)
        .max()
}

/// One zone's clock and the hours on it. It remembers the offset until the next clock change.
struct WallClock<'a> {
    zone: &'a Zone,
    window: &'a Window,
    off: &'a DaysOff<'a>,
    offset: i64,
    offset_from: i64,
    offset_until: i64,
}

impl<'a> WallClock<'a> {
    fn new(zone: &'a Zone, window: &'a Window, off: &'a DaysOff<'a>) -> Self {
        Self {
            zone,
            window,
            off,
            offset: 0,
            offset_from: i64::MAX,
            offset_until: i64::MIN,
        }
    }

    /// Whether it is open at second `t`, and a later second up to which that holds.
    fn read(&mut self, t: i64) -> (bool, i64) {
        if t < self.offset_from || t >= self.offset_until {
            let at = instant(t);
            self.offset = i64::from(self.zone.tz().to_offset(at).seconds());
            self.offset_from = t;
            let change = self.zone.tz().following(at).next();
            self.offset_until = change.map_or(i64::MAX, |it| it.timestamp().as_second());
        }
        let wall = t + self.offset;
        let (is_open, wall_until) = read_wall(self.window, self.off, wall);
        (is_open, self.offset_until.min(wall_until - self.offset))
    }
}

/// The same in wall-clock seconds since 1970, without regard to clock changes.
fn read_wall(window: &Window, off: &DaysOff<'_>, wall: i64) -> (bool, i64) {
    let day = wall.div_euclid(DAY);
    let midnight = (day + 1) * DAY;
    let is_off = off.contains(day);
    let hours = if is_off { off.hours() } else { window };
    // 1970-01-01 was a Thursday.
    let week = (day + 3).div_euclid(7) * 7 - 3;
    let minute = (wall - week * DAY).div_euclid(60);
    let minute = u16::try_from(minute).expect("a week has 10080 minutes");
    let (is_open, change) = hours.at_minute(minute);
    let change = week * DAY + 60 * i64::from(change);
    let until = if off.is_empty() {
        change
    } else {
        change.min(midnight)
    };
    (is_open, until)
}

#[cfg(test)]
pub(in crate::domain) mod tests;
