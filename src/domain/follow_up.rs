//! Another call that a callee asked for: when it is to be, as an agent writes it.
//!
//! Pure. What is refused is refused in words that the agent can say to the callee.

use std::time::Duration;

use jiff::{civil::DateTime, tz::TimeZone};

use super::{Timestamp, window::later, zone::Zone};

/// A callee's wish to be called again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// When.
    pub at: Timestamp,
    /// What about, in the agent's words.
    pub note: Option<String>,
    /// When it was said. Of several wishes the last one counts.
    pub wished_at: Timestamp,
}

/// How far ahead a call can be asked for: who knows what will hold then.
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3600);

/// Why nobody can be called again at a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowUpError {
    /// It is no time, or not a whole one.
    #[error(
        "the time {0:?} cannot be read; give date and time like 2026-11-23T15:00, with an offset \
         like 2026-11-23T15:00-05:00 if it is not the callee's own time"
    )]
    Unreadable(String),
    /// The callee may be in any of several time zones, in which it is different moments.
    #[error(
        "the callee's time zone is not known for certain; ask for it and give the time with its \
         offset, like 2026-11-23T15:00-05:00"
    )]
    Zone,
    /// It is not ahead.
    #[error("that time has passed; for the callee it is now {0}")]
    Past(String),
    /// It is too far ahead.
    #[error("that is too far ahead; a call can be scheduled up to 90 days from now")]
    TooFar,
    /// Nobody may be called then.
    #[error("no calls are allowed at that time{}", next_time(.0.as_deref()))]
    Closed(Option<String>),
    /// The campaign calls this person no more.
    #[error("no further call to this person is possible in this campaign")]
    NoMoreCalls,
}

fn next_time(opens: Option<&str>) -> String {
    opens.map_or_else(String::new, |opens| {
        format!("; the next possible time for the callee is {opens}")
    })
}

/// Reads a time: with an offset from UTC, or by the clocks of the callee, who is in one of `zones`.
pub fn parse_time(text: &str, zones: &[Zone], now: Timestamp) -> Result<Timestamp, FollowUpError> {
    let unreadable = || FollowUpError::Unreadable(text.chars().take(40).collect());
    let text = text.trim();
    // A bare date would be read as its midnight.
    if !text.contains(':') {
        return Err(unreadable());
    }
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) if has_offset(text) => return Err(unreadable()),
        Err(_) => local(text.parse().map_err(|_| unreadable())?, zones)?,
    };
    let at = Timestamp::from_millisecond(at.as_millisecond()).map_err(|_| unreadable())?;
    if at <= now {
        let zone = zones.first().cloned().unwrap_or_else(Zone::utc);
        return Err(FollowUpError::Past(spoken_time(now, zone.tz())));
    }
    if at > later(now, LONGEST) {
        return Err(FollowUpError::TooFar);
    }
    Ok(at)
}

/// Whether something stands behind the time of day that a time without an offset does not have.
fn has_offset(text: &str) -> bool {
    let time = text.find(':').map_or("", |at| &text[at..]);
    time.contains(['+', '-', 'Z', 'z', '['])
}

/// The moment at which clocks show `local`, which must be the same in all zones.
fn local(local: DateTime, zones: &[Zone]) -> Result<Timestamp, FollowUpError> {
    let mut moments = zones.iter().map(|zone| zone.tz().to_timestamp(local).ok());
    match moments.next() {
        Some(Some(first)) if moments.all(|other| other == Some(first)) => Ok(first),
        _ => Err(FollowUpError::Zone),
    }
}

/// A time as it is said: `Monday 23 November 15:00`.
pub fn spoken_time(at: Timestamp, zone: &TimeZone) -> String {
    let local = zone.to_datetime(at);
    local.strftime("%A %-d %B %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon in New York.
    const NOW: &str = "2026-11-22T17:00:00Z";

    fn read_in(text: &str, zones: &[&str]) -> Result<String, FollowUpError> {
        let zones: Vec<Zone> = zones.iter().map(|zone| zone.parse().unwrap()).collect();
        parse_time(text, &zones, NOW.parse().unwrap()).map(|at| at.to_string())
    }

    fn read(text: &str) -> Result<String, FollowUpError> {
        read_in(text, &["America/New_York"])
    }

    #[test]
    fn times_are_read_with_an_offset_or_by_the_callees_clock() {
        let three = Ok("2026-11-23T20:00:00Z".to_owned());
        for text in [
            "2026-11-23T15:00:00-05:00",
            "2026-11-23T20:00:00Z",
            "2026-11-23T20:00Z",
            "2026-11-23T15:00",
            " 2026-11-23 15:00:00 ",
            "2026-11-23T15:00:00.0001",
        ] {
            assert_eq!(read(text), three, "{text}");
        }
        assert_eq!(
            read_in("2026-11-23T15:00", &["Europe/Berlin"]),
            Ok("2026-11-23T14:00:00Z".to_owned())
        );
    }

    #[test]
    fn what_is_no_whole_time_is_refused() {
        for text in [
            "tomorrow at 3",
            "15:00",
            "2026-11-23",
            "2026-11-23T15",
            "2026-11-31T15:00",
            "2026-11-23T25:00",
            "2026-11-23T15:00+99:00",
            "2026-11-23T15:00[Nowhere/Town]",
            "",
        ] {
            let error = read(text).unwrap_err();
            assert!(
                matches!(error, FollowUpError::Unreadable(_)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_callee_who_may_be_in_several_zones_has_to_name_the_offset() {
        let zones = ["America/New_York", "America/Chicago"];
        assert_eq!(
            read_in("2026-11-23T15:00", &zones),
            Err(FollowUpError::Zone)
        );
        assert!(read_in("2026-11-23T15:00-06:00", &zones).is_ok());
        // Zones that agree leave no doubt.
        let alike = ["America/New_York", "America/Detroit"];
        assert!(read_in("2026-11-23T15:00", &alike).is_ok());
    }

    #[test]
    fn what_has_passed_or_is_too_far_is_refused_in_words() {
        let past = read("2026-11-22T11:59").unwrap_err();
        assert_eq!(
            past.to_string(),
            "that time has passed; for the callee it is now Sunday 22 November 12:00"
        );
        assert_eq!(
            read("2027-02-20T11:00"),
            Ok("2027-02-20T16:00:00Z".to_owned())
        );
        assert_eq!(read("2027-02-20T13:00"), Err(FollowUpError::TooFar));
    }
}
