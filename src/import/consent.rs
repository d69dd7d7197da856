//! What lists say of people's consent.

use jiff::{civil::Date, tz::TimeZone};

use crate::domain::{Timestamp, consent::ConsentKind};

/// What people write for each kind, lower case, beside the kind's own name.
const SPELLINGS: [(ConsentKind, &[&str]); 4] = [
    (
        ConsentKind::Written,
        &["written consent", "express written", "signed", "pewc"],
    ),
    (
        ConsentKind::Express,
        &[
            "express consent",
            "yes",
            "y",
            "true",
            "1",
            "x",
            "ok",
            "given",
            "granted",
            "opt-in",
            "opt in",
            "optin",
            "opted in",
            "opted-in",
            "subscribed",
            "ja",
            "si",
            "oui",
        ],
    ),
    (ConsentKind::Implied, &["implied consent", "inferred"]),
    (
        ConsentKind::Withdrawn,
        &[
            "no",
            "n",
            "false",
            "0",
            "none",
            "denied",
            "refused",
            "revoked",
            "opt-out",
            "opt out",
            "optout",
            "opted out",
            "opted-out",
            "unsubscribed",
            "do not call",
            "dnc",
            "nein",
            "non",
        ],
    ),
];

/// The kind that a cell states. A *no* counts as taken back: whoever wrote it would not want the
/// person called, and the other reading cannot be made good.
pub(super) fn kind(text: &str) -> Option<ConsentKind> {
    let text = text.trim().to_lowercase();
    let spelled = || {
        let found = SPELLINGS
            .iter()
            .find(|(_, names)| names.contains(&text.as_str()));
        found.map(|(kind, _)| *kind)
    };
    ConsentKind::from_name(&text).or_else(spelled)
}

/// The instant that a cell states: RFC 3339, or a date, which begins at midnight UTC.
///
/// Dates like 03/04/2026 are not guessed at: half of the world reads them the other way.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let of_date = || {
        let date: Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse().ok().or_else(of_date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_the_rest_is_refused() {
        for (text, expected) in [
            ("written", Some(ConsentKind::Written)),
            (" Express Written ", Some(ConsentKind::Written)),
            ("YES", Some(ConsentKind::Express)),
            ("Opted In", Some(ConsentKind::Express)),
            ("implied", Some(ConsentKind::Implied)),
            ("no", Some(ConsentKind::Withdrawn)),
            ("DNC", Some(ConsentKind::Withdrawn)),
            ("maybe", None),
            ("2026-01-01", None),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn every_spelling_means_one_kind() {
        let mut seen = std::collections::BTreeSet::new();
        for name in SPELLINGS.iter().flat_map(|(_, names)| names.iter()) {
            assert!(seen.insert(*name), "{name} twice");
            assert_eq!(ConsentKind::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_day_that_can_be_read_two_ways_is_not_guessed_at() {
        let midnight = "2026-03-04T00:00:00Z".parse().ok();
        for (text, expected) in [
            ("2026-03-04", midnight),
            (" 2026-03-04T00:00:00Z ", midnight),
            ("2026-03-04T02:00:00+02:00", midnight),
            ("03/04/2026", None),
            ("4.3.2026", None),
            ("yesterday", None),
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
    }
}
