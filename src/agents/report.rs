//! What vendors tell after a conversation: how it is checked and read, without HTTP.
//!
//! A vendor's header names, signatures and fields stay in its [`ReportDialect`]; what comes out is the same
//! for all.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::BoxError;
use crate::domain::{
    Timestamp,
    ids::AttemptId,
    report::{AgentCost, AgentReport, CostUnit},
};

/// How far the time of a signature may be from ours: longer than a vendor repeats a delivery for.
const MAX_AGE_SECS: u64 = 30 * 60;

/// What is kept of a text, in characters, and how many things by name.
const MAX_SUMMARY: usize = 8_000;
const MAX_VALUE: usize = 2_000;
const MAX_NAME: usize = 200;
const MAX_NAMED: usize = 50;

/// The variable under which a vendor is told the attempt, and under which it gives it back.
const ATTEMPT: &str = "attempt_id";

/// A vendor's words after a conversation.
pub trait ReportDialect: Send + Sync + 'static {
    /// Checks who sent `delivery`, and reads it; none for whatever is no report.
    fn read(&self, delivery: &Delivery<'_>) -> Result<Option<Told>, ReportError>;
}

/// A request that a vendor made to us.
pub struct Delivery<'a> {
    /// The value of a header by its name in lower case; none where it is missing or no text.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body as it came.
    pub body: &'a [u8],
    /// When it came.
    pub now: Timestamp,
}

/// A report, and what it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The same for each time that the vendor tells this.
    pub key: String,
    /// The attempt, as the vendor was told it with the brief; none where it does not give it back.
    pub attempt: Option<AttemptId>,
    /// What it found.
    pub report: AgentReport,
}

/// Why a delivery is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing could be checked.
    #[error("no secret is set up for this vendor's webhooks")]
    NoSecret,
    /// It is not from the vendor, or too old.
    #[error("{0}")]
    WrongSignature(&'static str),
    /// It is from the vendor and cannot be read.
    #[error("the report cannot be read: {0}")]
    Unreadable(#[source] BoxError),
}

impl From<serde_json::Error> for ReportError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// HMAC-SHA256 over the parts as one text.
pub(super) fn hmac_sha256(secret: &SecretString, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether any of `given` is one of `expected`; takes the same time whichever it is.
pub(super) fn any_equal<'a>(
    given: impl Iterator<Item = &'a str> + Clone,
    expected: impl Iterator<Item = String>,
) -> bool {
    let mut found = Choice::from(0);
    for expected in expected {
        for given in given.clone() {
            found |= expected.as_bytes().ct_eq(given.as_bytes());
        }
    }
    found.into()
}

/// Whether a signature made at `unix_secs` is neither too old nor from the future.
pub(super) fn is_fresh(unix_secs: i64, now: Timestamp) -> bool {
    now.as_second().abs_diff(unix_secs) <= MAX_AGE_SECS
}

/// The attempt among values that were sent along with the brief.
pub(super) fn attempt_in(values: &Value) -> Option<AttemptId> {
    values[ATTEMPT].as_str()?.parse().ok()
}

/// A text that says something, as much of it as is kept.
pub(super) fn summary_of(value: &Value) -> Option<String> {
    let text = value.as_str().map(str::trim);
    text.filter(|text| !text.is_empty())
        .map(|text| short(text, MAX_SUMMARY))
}

/// Collected values by name, as JSON text. What was not found out is left out, and so is a value that is
/// too long: half of it would be none.
pub(super) fn collected<'a>(
    values: impl Iterator<Item = (&'a str, &'a Value)>,
) -> BTreeMap<String, String> {
    values
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (short(name, MAX_NAME), value.to_string()))
        .filter(|(_, value)| value.len() <= MAX_VALUE)
        .take(MAX_NAMED)
        .collect()
}

/// What is kept of things by name.
pub(super) fn by_name<T>(
    values: impl Iterator<Item = (impl AsRef<str>, T)>,
) -> BTreeMap<String, T> {
    values
        .take(MAX_NAMED)
        .map(|(name, value)| (short(name.as_ref(), MAX_NAME), value))
        .collect()
}

/// An amount as a cost; none for what is none.
pub(super) fn cost_of(amount: &Value, unit: CostUnit) -> Option<AgentCost> {
    /// More than any conversation costs, and far from the limits of the numbers here.
    const MOST: f64 = 1e9;
    let amount = amount
        .as_f64()
        .filter(|amount| (0.0..=MOST).contains(amount))?;
    Some(AgentCost {
        millionths: (amount * 1e6).round() as u64,
        unit,
    })
}

/// As many characters of a text as are kept.
pub(super) fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_is_a_cost_and_anything_else_is_none() {
        let of = |amount: Value| cost_of(&amount, CostUnit::Usd).map(|cost| cost.millionths);
        assert_eq!(of(json!(0.0412)), Some(41_200));
        assert_eq!(of(json!(210)), Some(210_000_000));
        assert_eq!(of(json!(0)), Some(0));
        for none in [json!(null), json!("0.04"), json!(-1), json!(1e30)] {
            assert_eq!(of(none.clone()), None, "{none}");
        }
    }

    // proves F-54
    #[test]
    fn values_keep_their_kind_and_what_is_no_value_is_left_out() {
        let values = json!({
            "time": "17:00", "n": 2, "yes": true, "none": null, "list": [1],
            "long": "x".repeat(MAX_VALUE + 1),
        });
        let values = values.as_object().unwrap().iter();
        let found = collected(values.map(|(name, value)| (name.as_str(), value)));
        let expected = [
            ("list", "[1]"),
            ("n", "2"),
            ("time", "\"17:00\""),
            ("yes", "true"),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(short("naïve", 3), "naï");
        assert_eq!(summary_of(&json!("  ")), None);
        assert_eq!(summary_of(&json!(7)), None);
        let long = "é".repeat(MAX_SUMMARY + 1);
        let kept = summary_of(&json!(long)).unwrap();
        assert_eq!(kept.chars().count(), MAX_SUMMARY);
    }

    // proves F-56
    #[test]
    fn a_signature_is_good_for_half_an_hour_in_both_directions() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (shift, expected) in [(0, true), (1_800, true), (1_801, false)] {
            assert_eq!(is_fresh(1_700_000_000 - shift, now), expected);
            assert_eq!(is_fresh(1_700_000_000 + shift, now), expected);
        }
        assert!(!is_fresh(i64::MIN, now) && !is_fresh(i64::MAX, now));
    }
}
