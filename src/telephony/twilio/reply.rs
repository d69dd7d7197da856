//! What an answer of Twilio's REST API means for a call.
//!
//! Pure. The rule behind it: only an answer that proves that nothing was done may be called a
//! refusal. Everything else leaves it open whether a call exists.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    domain::{
        Timestamp,
        ids::CallSid,
        outcome::{Fault, FaultClass},
        price::{self, Price},
    },
    telephony::{CallReport, CarrierError, ListedCall},
};

use super::{
    codes::{EndDetails, fault_class, signal_kind},
    webhook::{answered_by, parse_rfc2822},
};

/// The shortest and the longest wait after "too many requests" without a time of its own.
const THROTTLE_WAIT_MS: (u64, u64) = (100, 3000);
/// The longest wait that is believed: more would be a standstill that nobody ordered.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// The error number of "no such resource".
const NOT_FOUND: u32 = 20404;
/// The error number of "the call is not in the state for this", told of calls that are over.
const WRONG_STATE: u32 = 21220;

/// An answer as it came.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub status: u16,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

/// Twilio's error body, of which any part may be missing.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: Option<Value>,
    #[serde(default)]
    message: Option<String>,
    /// Of the newer form of errors.
    #[serde(default)]
    detail: Option<String>,
}

impl Reply {
    /// The answer's body, or what its absence means. `chance` in `0.0..1.0` spreads waits.
    pub fn read<T: DeserializeOwned>(&self, chance: f64) -> Result<T, CarrierError> {
        if (200..300).contains(&self.status) {
            serde_json::from_slice(&self.body).map_err(|error| CarrierError::Unknown(error.into()))
        } else {
            Err(self.failure(chance))
        }
    }

    /// Whether Twilio was asked for less and did nothing.
    pub fn is_throttled(&self) -> bool {
        self.status == 429 || matches!(self.code(), Some(10004 | 20429))
    }

    /// Whether Twilio itself says that it knows no such call. A bare 404 may be a wrong address.
    pub fn is_unknown_call(&self) -> bool {
        self.code() == Some(NOT_FOUND)
    }

    /// Whether the answer to a hang-up means that the call was already over.
    pub fn means_over(&self) -> bool {
        matches!(self.code(), Some(NOT_FOUND | WRONG_STATE))
    }

    fn failure(&self, chance: f64) -> CarrierError {
        if self.is_throttled() {
            let wait = self
                .retry_after
                .unwrap_or_else(|| throttle_wait(chance))
                .min(MAX_WAIT);
            return CarrierError::Throttled { wait };
        }
        // A gateway or server error, or a request that timed out there, may hide a placed call.
        if self.status >= 500 || self.status == 408 || self.status < 300 {
            return CarrierError::Unknown(format!("HTTP {}", self.status).into());
        }
        let body = self.error_body();
        let code = self.code();
        CarrierError::Refused(Fault {
            class: code.map_or_else(|| class_of_status(self.status), fault_class),
            code,
            detail: body
                .message
                .or(body.detail)
                .map(|text| without_numbers(&text))
                .unwrap_or_else(|| format!("HTTP {} without an explanation", self.status)),
        })
    }

    fn code(&self) -> Option<u32> {
        if (200..300).contains(&self.status) {
            return None;
        }
        match self.error_body().code? {
            Value::Number(number) => number.as_u64()?.try_into().ok(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn error_body(&self) -> ErrorBody {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Whose fault an error is that has no number, as one from a proxy or a wrong host.
fn class_of_status(status: u16) -> FaultClass {
    match status {
        401 | 403 => FaultClass::Account,
        300..=399 | 404 | 405 | 413 | 422 => FaultClass::Ours,
        _ => FaultClass::Unclassified,
    }
}

fn throttle_wait(chance: f64) -> Duration {
    let (shortest, longest) = THROTTLE_WAIT_MS;
    let shortest = Duration::from_millis(shortest);
    let span = Duration::from_millis(longest) - shortest;
    shortest + span.mul_f64(chance.clamp(0.0, 1.0))
}

/// `text` with all but the last four digits of each telephone number hidden: it goes to logs and
/// screens.
fn without_numbers(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().chain(std::iter::once(' ')) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if digits.len() >= 7 {
            shown.push('…');
            shown.push_str(&digits[digits.len() - 4..]);
        } else {
            shown.push_str(&digits);
        }
        digits.clear();
        shown.push(character);
    }
    shown.pop();
    shown
}

/// The name of a call that was just created; nothing else of that answer is filled in reliably.
#[derive(Debug, Deserialize)]
pub(super) struct CreatedCall {
    pub sid: String,
}

/// A call as the REST API shows it. Empty texts and null mean the same.
#[derive(Debug, Deserialize)]
pub(super) struct CallResource {
    sid: String,
    status: String,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
    #[serde(default)]
    duration: Option<Value>,
    #[serde(default)]
    answered_by: Option<String>,
    #[serde(default)]
    price: Option<Value>,
    #[serde(default)]
    price_unit: Option<String>,
}

/// One page of a list of calls.
#[derive(Debug, Deserialize)]
pub(super) struct CallPage {
    pub calls: Vec<CallResource>,
    #[serde(default)]
    pub next_page_uri: Option<String>,
}

impl CallResource {
    /// The call in our words, if it was asked for over the API and goes from one phone number to another:
    /// others were not ours.
    pub fn outbound(self) -> Result<Option<ListedCall>, CarrierError> {
        if self.direction.as_deref() != Some("outbound-api") {
            return Ok(None);
        }
        let number = |text: &Option<String>| text.as_deref()?.parse().ok();
        let (Some(to), Some(from)) = (number(&self.to), number(&self.from)) else {
            return Ok(None);
        };
        let report = self.report()?;
        Ok(Some(ListedCall { to, from, report }))
    }

    /// The call in our words. `start_time` is not looked at: it is set while the phone rings.
    pub fn report(self) -> Result<CallReport, CarrierError> {
        let details = EndDetails {
            duration: self.seconds(),
            ..EndDetails::default()
        };
        let sid: CallSid = self
            .sid
            .parse()
            .map_err(|error| CarrierError::Unknown(Box::new(error)))?;
        let status = signal_kind(&self.status, details)
            .map_err(|error| CarrierError::Unknown(Box::new(error)))?;
        Ok(CallReport {
            sid,
            created_at: self.date_created.as_deref().and_then(parse_rfc2822),
            status,
            answered_by: self.answered_by.as_deref().and_then(answered_by),
            price: self.price(),
        })
    }

    /// What is taken for the call. Twilio tells it as what happens to the balance: below zero.
    fn price(&self) -> Option<Price> {
        let taken = match self.price.as_ref()? {
            Value::String(text) => price::millionths(text)?,
            Value::Number(number) => price::millionths(&number.to_string())?,
            _ => return None,
        };
        Some(Price {
            millionths: -taken,
            currency: self.price_unit.as_deref()?.parse().ok()?,
        })
    }

    fn seconds(&self) -> Option<Duration> {
        let seconds = match self.duration.as_ref()? {
            Value::Number(number) => number.as_u64()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// Whether a call may have been created at or after `since`.
///
/// Twilio tells whole seconds, and nothing at all for some calls; those may be the one looked for.
pub(super) fn may_be_since(report: &CallReport, since: Timestamp) -> bool {
    report
        .created_at
        .is_none_or(|created| created.as_second() >= since.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{machine::AnsweredBy, signal::SignalKind};

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_refusal_shows_no_telephone_number() {
        let text = "The number +12025550143 is unverified (error 21219).";
        assert_eq!(
            without_numbers(text),
            "The number +…0143 is unverified (error 21219)."
        );
        assert_eq!(without_numbers("12345678"), "…5678");
    }

    #[test]
    fn a_wait_without_end_is_not_believed() {
        let asked = Reply {
            retry_after: Some(Duration::MAX),
            ..reply(429, "")
        };
        let CarrierError::Throttled { wait } = asked.failure(0.5) else {
            panic!("{asked:?}")
        };
        assert_eq!(wait, MAX_WAIT);
    }

    fn read(status: u16, body: &str) -> Result<CreatedCall, CarrierError> {
        reply(status, body).read(0.0)
    }

    fn fault(status: u16, body: &str) -> Fault {
        match read(status, body) {
            Err(CarrierError::Refused(fault)) => fault,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn an_answer_that_does_not_prove_anything_leaves_the_call_open() {
        for (status, body) in [
            (500, r#"{"code":20500,"message":"x"}"#),
            (502, "<html>Bad gateway</html>"),
            (503, ""),
            (504, r#"{"code":20504}"#),
            (408, ""),
            (201, "not json"),
            (200, r#"{"status":"queued"}"#),
        ] {
            assert!(
                matches!(read(status, body), Err(CarrierError::Unknown(_))),
                "{status} {body}"
            );
        }
    }

    // proves F-21
    #[test]
    fn a_refusal_is_classified_by_its_number_and_never_by_its_text() {
        let account = fault(
            401,
            r#"{"code":20003,"message":"Authentication Error","status":401}"#,
        );
        assert_eq!(
            (account.class, account.code),
            (FaultClass::Account, Some(20003))
        );
        let number = fault(400, r#"{"code":21211,"message":"not valid","status":400}"#);
        assert_eq!(number.class, FaultClass::Number);
        assert_eq!(number.detail, "not valid");
        let problem = fault(
            400,
            r#"{"type":"t","title":"t","code":"21210","detail":"d"}"#,
        );
        assert_eq!(problem.class, FaultClass::CallerNumber);
        assert_eq!(problem.detail, "d");
    }

    #[test]
    fn a_refusal_without_a_number_is_classified_by_its_status() {
        assert_eq!(fault(403, "").class, FaultClass::Account);
        assert_eq!(fault(301, "").class, FaultClass::Ours);
        assert_eq!(fault(404, "<html>").class, FaultClass::Ours);
        assert_eq!(fault(418, "").class, FaultClass::Unclassified);
    }

    // proves F-27
    #[test]
    fn too_many_requests_is_a_wait() {
        let mut throttled = reply(429, r#"{"code":20429}"#);
        let wait = |reply: &Reply, chance| match reply.read::<CreatedCall>(chance) {
            Err(CarrierError::Throttled { wait }) => wait,
            other => panic!("not throttled: {other:?}"),
        };
        assert_eq!(wait(&throttled, 0.0), Duration::from_millis(100));
        assert_eq!(wait(&throttled, 1.0), Duration::from_millis(3000));
        throttled.retry_after = Some(Duration::from_secs(7));
        assert_eq!(wait(&throttled, 0.5), Duration::from_secs(7));
        assert_eq!(
            wait(&reply(400, r#"{"code":10004}"#), 0.0),
            Duration::from_millis(100)
        );
    }

    #[test]
    fn only_twilios_own_word_makes_a_call_unknown_to_it() {
        assert!(reply(404, r#"{"code":20404}"#).is_unknown_call());
        assert!(!reply(404, "<html>").is_unknown_call());
        assert!(reply(400, r#"{"code":21220}"#).means_over());
        assert!(!reply(200, r#"{"code":21220}"#).means_over());
    }

    // proves F-28
    #[test]
    fn a_price_is_what_is_taken_from_the_balance_and_may_be_missing() {
        let report = |price: &str, unit: &str| {
            let text = format!(
                r#"{{"sid":"CA1","status":"completed","price":{price},"price_unit":{unit}}}"#
            );
            let resource: CallResource = serde_json::from_str(&text).unwrap();
            resource
                .report()
                .unwrap()
                .price
                .map(|price| price.to_string())
        };
        let told = Some("0.013 USD".to_owned());
        assert_eq!(report(r#""-0.0130""#, r#""USD""#), told);
        assert_eq!(report("-0.013", r#""usd""#), told);
        for (price, unit) in [
            ("null", r#""USD""#),
            ("\"\"", r#""USD""#),
            (r#""-0.0130""#, "null"),
            (r#""-0.0130""#, "\"\""),
            (r#""soon""#, r#""USD""#),
        ] {
            assert_eq!(report(price, unit), None, "{price} {unit}");
        }
    }

    // proves F-26
    #[test]
    fn a_verdict_is_read_where_there_is_one() {
        let report = |verdict: &str| {
            let text = format!(r#"{{"sid":"CA1","status":"in-progress","answered_by":{verdict}}}"#);
            let resource: CallResource = serde_json::from_str(&text).unwrap();
            resource.report().unwrap().answered_by
        };
        assert_eq!(report(r#""machine_start""#), Some(AnsweredBy::Machine));
        for none in ["null", "\"\"", r#""robot""#] {
            assert_eq!(report(none), None, "{none}");
        }
    }

    fn call(created: &str) -> CallReport {
        let text = format!(
            r#"{{"sid":"CA1","status":"queued","date_created":{created},"duration":"","new":{{}}}}"#
        );
        let resource: CallResource = serde_json::from_str(&text).unwrap();
        resource.report().unwrap()
    }

    #[test]
    fn a_call_without_a_creation_time_may_be_the_one_looked_for() {
        let since: Timestamp = "2026-10-06T10:00:02.700Z".parse().unwrap();
        assert!(may_be_since(&call("null"), since));
        assert!(may_be_since(&call(r#""""#), since));
        assert!(may_be_since(
            &call(r#""Tue, 06 Oct 2026 10:00:02 +0000""#),
            since
        ));
        assert!(!may_be_since(
            &call(r#""Tue, 06 Oct 2026 10:00:01 +0000""#),
            since
        ));
        assert_eq!(call("null").status, SignalKind::Placed);
    }
}
