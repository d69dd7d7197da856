use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;
use crate::domain::holiday::Holidays;

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn window(text: &str) -> Window {
    text.parse().unwrap()
}

/// The opening in one zone, as the instants at which it closes or opens.
fn in_zone(hours: &str, name: &str, now: &str) -> Opening {
    opening(&window(hours), &[zone(name)], &DaysOff::none(), at(now))
}

fn open_until(text: &str) -> Opening {
    Opening::Open {
        closes_at: Some(at(text)),
    }
}

fn closed_until(text: &str) -> Opening {
    Opening::Closed {
        opens_at: Some(at(text)),
    }
}

#[test]
fn the_first_minute_is_open_and_the_last_is_not() {
    let hours = "mon-sun 08:00-21:00";
    let london = |now: &str| in_zone(hours, "Europe/London", now);
    assert_eq!(
        london("2026-12-01T07:59:59.999Z"),
        closed_until("2026-12-01T08:00:00Z")
    );
    assert_eq!(
        london("2026-12-01T08:00:00Z"),
        open_until("2026-12-01T21:00:00Z")
    );
    assert_eq!(
        london("2026-12-01T20:59:59.999Z"),
        open_until("2026-12-01T21:00:00Z")
    );
    assert_eq!(
        london("2026-12-01T21:00:00Z"),
        closed_until("2026-12-02T08:00:00Z")
    );
}

// proves F-69
#[test]
fn hours_follow_the_clock_changes() {
    let hours = "mon-sun 08:00-21:00";
    let new_york = |now: &str| in_zone(hours, "America/New_York", now);
    assert_eq!(
        new_york("2027-03-13T13:00:00Z"),
        open_until("2027-03-14T02:00:00Z")
    );
    assert_eq!(
        new_york("2027-03-14T02:00:00Z"),
        closed_until("2027-03-14T12:00:00Z")
    );
    assert_eq!(
        new_york("2026-11-01T01:00:00Z"),
        closed_until("2026-11-01T13:00:00Z")
    );
}

// proves F-69
#[test]
fn an_hour_that_does_not_exist_is_never_open() {
    let skipped = in_zone(
        "sun 02:00-03:00",
        "America/New_York",
        "2027-03-14T06:00:00Z",
    );
    assert_eq!(skipped, closed_until("2027-03-21T06:00:00Z"));
    let shortened = in_zone(
        "sun 01:30-03:30",
        "America/New_York",
        "2027-03-14T06:30:00Z",
    );
    assert_eq!(shortened, open_until("2027-03-14T07:30:00Z"));
}

// proves F-69
#[test]
fn an_hour_that_comes_twice_is_open_twice() {
    let doubled = in_zone(
        "sun 01:00-01:30",
        "America/New_York",
        "2026-11-01T05:00:00Z",
    );
    assert_eq!(doubled, open_until("2026-11-01T05:30:00Z"));
    let again = in_zone(
        "sun 01:00-01:30",
        "America/New_York",
        "2026-11-01T05:30:00Z",
    );
    assert_eq!(again, closed_until("2026-11-01T06:00:00Z"));
    let whole = in_zone(
        "sun 01:00-02:00",
        "America/New_York",
        "2026-11-01T05:00:00Z",
    );
    assert_eq!(whole, open_until("2026-11-01T07:00:00Z"));
}

// proves F-69
#[test]
fn odd_offsets_and_half_hour_changes_are_exact() {
    let hours = "mon-sun 09:00-17:00";
    let nepal = in_zone(hours, "Asia/Kathmandu", "2026-12-01T00:00:00Z");
    assert_eq!(nepal, closed_until("2026-12-01T03:15:00Z"));
    let before = in_zone(hours, "Australia/Lord_Howe", "2026-04-04T12:00:00Z");
    assert_eq!(before, closed_until("2026-04-04T22:30:00Z"));
    let after = in_zone(hours, "Australia/Lord_Howe", "2026-10-03T12:00:00Z");
    assert_eq!(after, closed_until("2026-10-03T22:00:00Z"));
}

#[test]
fn hours_may_run_over_midnight_and_over_the_end_of_the_week() {
    let hours = "fri-sun 22:00-02:00";
    let berlin = |now: &str| in_zone(hours, "Europe/Berlin", now);
    assert_eq!(
        berlin("2026-12-04T21:30:00Z"),
        open_until("2026-12-05T01:00:00Z")
    );
    assert_eq!(
        berlin("2026-12-06T23:30:00Z"),
        open_until("2026-12-07T01:00:00Z")
    );
    assert_eq!(
        berlin("2026-12-07T01:00:00Z"),
        closed_until("2026-12-11T21:00:00Z")
    );
}

// proves F-70
#[test]
fn several_zones_are_open_together_or_not_at_all() {
    let zones = [zone("America/Los_Angeles"), zone("America/New_York")];
    let hours = window("mon-sun 08:00-21:00");
    let look = |now: &str| opening(&hours, &zones, &DaysOff::none(), at(now));
    assert_eq!(
        look("2026-12-01T13:00:00Z"),
        closed_until("2026-12-01T16:00:00Z")
    );
    assert_eq!(
        look("2026-12-01T16:00:00Z"),
        open_until("2026-12-02T02:00:00Z")
    );
    let far = [zone("America/New_York"), zone("Australia/Sydney")];
    let never = opening(
        &window("mon-fri 09:00-17:00"),
        &far,
        &DaysOff::none(),
        at("2026-12-01T13:00:00Z"),
    );
    assert_eq!(never, Opening::Closed { opens_at: None });
}

#[test]
fn nothing_changes_for_hours_that_are_always_or_never_open() {
    let now = "2026-12-01T13:00:00Z";
    assert_eq!(
        in_zone("always", "UTC", now),
        Opening::Open { closes_at: None }
    );
    assert_eq!(
        in_zone("never", "UTC", now),
        Opening::Closed { opens_at: None }
    );
}

#[test]
fn a_day_off_is_the_callee_s_date_not_ours() {
    let mut added = Holidays::default();
    added.add(None, "2026-12-25".parse().unwrap(), "Christmas Day");
    let (hours, never) = (window("mon-sun 08:00-21:00"), Window::never());
    let off = DaysOff::new(
        &[],
        &added,
        &crate::domain::place::RegionCode::unknown(),
        &never,
    );
    let look = |now: &str| opening(&hours, &[zone("Australia/Sydney")], &off, at(now));
    assert_eq!(
        look("2026-12-24T12:00:00Z"),
        closed_until("2026-12-25T21:00:00Z")
    );
    assert_eq!(
        look("2026-12-24T02:00:00Z"),
        open_until("2026-12-24T10:00:00Z")
    );
}

// proves F-69
#[test]
fn ringing_must_end_before_the_hours_do() {
    let (hours, zones, off) = (
        window("mon-sun 08:00-21:00"),
        [zone("UTC")],
        DaysOff::none(),
    );
    let ring = Duration::from_secs(30);
    let look = |now: &str| opening_for(ring, &hours, &zones, &off, at(now));
    assert_eq!(
        look("2026-12-01T20:59:29.999Z"),
        open_until("2026-12-01T20:59:30Z")
    );
    assert_eq!(
        look("2026-12-01T20:59:30Z"),
        closed_until("2026-12-02T08:00:00Z")
    );
    let short = opening_for(
        Duration::from_secs(120),
        &window("mon 08:00-08:02, tue 08:00-08:03"),
        &zones,
        &off,
        at("2026-11-30T00:00:00Z"),
    );
    assert_eq!(
        short,
        closed_until("2026-12-01T08:00:00Z"),
        "Monday's hours are too short"
    );
}

#[test]
fn what_is_wrong_with_hours_is_said_in_words() {
    let error = |text: &str| text.parse::<Window>().unwrap_err().to_string();
    assert_eq!(
        error("mon"),
        "the hours are empty: nobody could ever be called"
    );
    assert_eq!(
        error("mon 09:00-09:00"),
        "mon 09:00-09:00 begins and ends at the same time; a whole day is 00:00-24:00"
    );
    assert_eq!(
        error("mon 09:00-12:00 11:00-13:00"),
        "mon 11:00-13:00 overlaps another slot"
    );
    assert_eq!(
        error("sun 22:00-02:00, mon 01:00-03:00"),
        "mon 01:00-03:00 overlaps another slot"
    );
    for text in [
        "",
        "monday 09:00-10:00",
        "mon 9-10",
        "mon 24:30-25:00",
        "mon 09:60-10:00",
    ] {
        assert!(text.parse::<Window>().is_err(), "{text}");
    }
    assert_eq!(Window::try_from(vec![]), Err(WindowError::Empty));
}

#[test]
fn hours_are_written_as_they_are_read() {
    for text in [
        "always",
        "never",
        "mon-fri 09:00-20:00",
        "mon-fri 09:00-12:00 13:00-20:00, sat 10:00-16:00",
        "fri-sun 22:00-02:00",
        "sun 12:00-24:00",
    ] {
        assert_eq!(window(text).to_string(), text);
    }
    assert_eq!(
        window("mon 00:00-12:00 12:00-24:00").to_string(),
        "mon 00:00-24:00"
    );
    assert_eq!(window("mon-sun 00:00-24:00"), Window::always());
    assert_eq!(
        window("sat-mon 10:00-11:00").to_string(),
        "mon 10:00-11:00, sat-sun 10:00-11:00"
    );
}

/// Slots that make a window, or not.
fn any_slots() -> impl Strategy<Value = Vec<Slot>> {
    let slot = (0_usize..7, 0_u16..288, 0_u16..=288);
    proptest::collection::vec(slot, 1..8).prop_map(|slots| {
        let time = |five_minutes: u16| TimeOfDay(5 * five_minutes);
        let slots = slots.into_iter();
        slots
            .map(|(day, from, to)| Slot {
                day: WEEK[day],
                from: time(from),
                to: time(to),
            })
            .collect()
    })
}

fn any_window() -> impl Strategy<Value = (Vec<Slot>, Window)> {
    any_slots().prop_filter_map("slots overlap", |slots| {
        Window::try_from(slots.clone())
            .ok()
            .map(|window| (slots, window))
    })
}

fn all_zones() -> Vec<Zone> {
    let database = TimeZoneDatabase::bundled();
    let zones: Vec<Zone> = database
        .available()
        .filter_map(|name| name.as_str().parse().ok())
        .collect();
    assert!(zones.len() > 500);
    zones
}

/// The plain meaning of hours, written without any of the code under test.
pub(in crate::domain) fn is_open_naively(slots: &[Slot], zones: &[Zone], at: Timestamp) -> bool {
    zones.iter().all(|zone| {
        let local = at.to_zoned(zone.tz().clone());
        let minute =
            u16::try_from(60 * i32::from(local.hour()) + i32::from(local.minute())).unwrap();
        slots.iter().any(|slot| {
            let (from, to) = (slot.from.minutes(), slot.to.minutes());
            if from < to {
                slot.day == local.weekday() && (from..to).contains(&minute)
            } else {
                (slot.day == local.weekday() && minute >= from)
                    || (slot.day.next() == local.weekday() && minute < to)
            }
        })
    })
}

proptest! {
    #[test]
    fn slots_and_text_give_the_same_window_again((_, window) in any_window()) {
        prop_assert_eq!(&Window::try_from(window.slots()).unwrap(), &window);
        prop_assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
    }

    #[test]
    fn common_hours_are_those_in_both((a, first) in any_window(), (b, second) in any_window()) {
        let both = first.intersect(&second);
        let utc = [Zone::utc()];
        for minute in 0..i64::from(MINUTES_A_WEEK) {
            let at = Timestamp::from_second(1_764_547_200 + 60 * minute).unwrap();
            let expected = is_open_naively(&a, &utc, at) && is_open_naively(&b, &utc, at);
            let found = opening(&both, &utc, &DaysOff::none(), at).is_open();
            prop_assert_eq!(found, expected, "{}", at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 2_000 }))]

    // proves F-69
    #[test]
    fn the_fast_search_finds_what_a_look_at_each_minute_finds(
        (slots, window) in any_window(),
        picks in proptest::collection::vec(0_usize..10_000, 1..4),
        year in 2026_i64..2034,
        change in 0_usize..4,
        before in 0_i64..2 * 1_440,
    ) {
        let all = all_zones();
        let zones: Vec<_> = picks.iter().map(|pick| all[pick % all.len()].clone()).collect();
        let start = Timestamp::from_second((year - 1970) * 31_556_952).unwrap();
        // Days with a clock change are the interesting ones.
        let near = zones[0].tz().following(start).nth(change).map_or(start, |it| it.timestamp());
        let minute = near.as_second().div_euclid(60) - before;
        let instant = |minute: i64| Timestamp::from_second(60 * minute).unwrap();
        let is_open = |minute: i64| is_open_naively(&slots, &zones, instant(minute));
        let found = opening(&window, &zones, &DaysOff::none(), instant(minute));
        let now = is_open(minute);
        let change = (minute + 1..minute + 4 * 1_440).find(|it| is_open(*it) != now).map(instant);
        prop_assert_eq!(found.is_open(), now);
        let next = match found {
            Opening::Open { closes_at } => closes_at,
            Opening::Closed { opens_at } => opens_at,
        };
        match change {
            Some(change) => prop_assert_eq!(next, Some(change)),
            None => prop_assert!(next.is_none_or(|it| it >= instant(minute + 4 * 1_440))),
        }
    }
}
