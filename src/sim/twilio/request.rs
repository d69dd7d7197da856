//! A request to place a call: form fields in, [`NewCall`] or a [`Refusal`] out.
//!
//! Pure. Checks run in the carrier's order: callee, caller, document, then tuning values.

use std::{collections::BTreeSet, time::Duration};

use super::{
    error::Refusal,
    fields::{Fields, Target, target},
    number,
    recording::RecordingOrder,
};

/// Where the instructions for an answered call come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Inline(String),
    Fetch(Target),
}

/// A moment of a call's progress that a dialer can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    Initiated,
    Ringing,
    Answered,
    Completed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusSubscription {
    pub target: Target,
    pub events: BTreeSet<Progress>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineDetection {
    /// The verdict on a machine waits for the end of its greeting.
    pub waits_for_end: bool,
    pub report: VerdictReport,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerdictReport {
    /// The document is asked for after the verdict, which is a field of that request.
    BeforeDocument,
    /// The document runs at once; the verdict goes to the callback, if there is one.
    Callback(Option<Target>),
}

/// A call as it was ordered.
#[derive(Debug, Clone)]
pub struct NewCall {
    pub to: String,
    pub from: String,
    pub source: Source,
    pub fallback: Option<Target>,
    pub status_callback: Option<StatusSubscription>,
    pub ring_timeout: Duration,
    pub time_limit: Duration,
    pub machine_detection: Option<MachineDetection>,
    /// Whether and how the call is recorded.
    pub recording: Option<RecordingOrder>,
    /// Things that are wrong without being refused: debugger code and detail.
    pub warnings: Vec<(u32, String)>,
}

const DEFAULT_RING_TIMEOUT_S: u64 = 60;
const MAX_RING_TIMEOUT_S: u64 = 600;
const DEFAULT_TIME_LIMIT_S: u64 = 4 * 3600;
const MAX_INLINE_TWIML_CHARS: usize = 4_000;

impl NewCall {
    /// Reads the form of `POST Calls.json`. `owned` are the account's numbers (empty: any).
    pub fn parse(fields: &Fields, owned: &[String]) -> Result<Self, Refusal> {
        let to = callee(fields)?;
        let from = caller(fields, owned)?;
        if to == from {
            return Err(invalid_callee(&to));
        }
        let mut warnings = Vec::new();
        let source = source(fields, &mut warnings)?
            .ok_or_else(|| Refusal::bad_request(21205, "Url parameter is required"))?;
        let ring_timeout = fields
            .number("Timeout", 21207)?
            .unwrap_or(DEFAULT_RING_TIMEOUT_S);
        if !(1..=MAX_RING_TIMEOUT_S).contains(&ring_timeout) {
            return Err(Refusal::bad_request(21207, "Timeout must be from 1 to 600"));
        }
        let time_limit = fields
            .number("TimeLimit", 20001)?
            .unwrap_or(DEFAULT_TIME_LIMIT_S);
        Ok(Self {
            to,
            from,
            source,
            fallback: target(fields, "FallbackUrl", "FallbackMethod", 21205)?,
            status_callback: status_subscription(fields, &mut warnings)?,
            ring_timeout: Duration::from_secs(ring_timeout),
            time_limit: Duration::from_secs(time_limit),
            machine_detection: machine_detection(fields, &mut warnings)?,
            recording: RecordingOrder::parse(fields)?,
            warnings,
        })
    }
}

fn callee(fields: &Fields) -> Result<String, Refusal> {
    let to = fields
        .get("To")
        .ok_or_else(|| Refusal::bad_request(21201, "No 'To' number is specified"))?;
    if number::is_e164(to) {
        Ok(to.to_owned())
    } else {
        Err(invalid_callee(to))
    }
}

/// The refusal of a number that nobody can be reached at.
pub fn invalid_callee(to: &str) -> Refusal {
    let message = format!("The phone number you are attempting to call, {to}, is not valid.");
    Refusal::bad_request(21211, message)
}

fn caller(fields: &Fields, owned: &[String]) -> Result<String, Refusal> {
    let from = fields
        .get("From")
        .ok_or_else(|| Refusal::bad_request(21213, "No 'From' number is specified"))?;
    if !number::is_e164(from) {
        let message = format!("The phone number {from} provided as the From is not valid");
        return Err(Refusal::bad_request(21212, message));
    }
    if !owned.is_empty() && !owned.iter().any(|number| number == from) {
        let message = format!(
            "The source phone number provided, {from}, is not yet verified for your account."
        );
        return Err(Refusal::bad_request(21210, message));
    }
    Ok(from.to_owned())
}

/// The instructions named in `Url` or `Twiml`; `Url` wins when both are given.
pub fn source(
    fields: &Fields,
    warnings: &mut Vec<(u32, String)>,
) -> Result<Option<Source>, Refusal> {
    let inline = fields.get("Twiml");
    if inline.is_some_and(|twiml| twiml.chars().count() > MAX_INLINE_TWIML_CHARS) {
        return Err(Refusal::bad_request(
            32018,
            "Twiml must be at most 4000 characters",
        ));
    }
    let fetched = target(fields, "Url", "Method", 21205)?;
    if inline.is_some() && fetched.is_some() {
        warnings.push((
            32019,
            "both Url and Twiml were given; Url is used".to_owned(),
        ));
    }
    Ok(match (fetched, inline) {
        (Some(target), _) => Some(Source::Fetch(target)),
        (None, Some(twiml)) => Some(Source::Inline(twiml.to_owned())),
        (None, None) => None,
    })
}

fn status_subscription(
    fields: &Fields,
    warnings: &mut Vec<(u32, String)>,
) -> Result<Option<StatusSubscription>, Refusal> {
    let Some(target) = target(fields, "StatusCallback", "StatusCallbackMethod", 21609)? else {
        return Ok(None);
    };
    let mut events = BTreeSet::new();
    let mut n_named = 0;
    for name in fields.all("StatusCallbackEvent") {
        n_named += 1;
        match name {
            "initiated" => events.insert(Progress::Initiated),
            "ringing" => events.insert(Progress::Ringing),
            "answered" => events.insert(Progress::Answered),
            "completed" => events.insert(Progress::Completed),
            // Several names in one value are one unknown name: nobody hears of those events.
            unknown => {
                warnings.push((21626, format!("invalid StatusCallbackEvent: {unknown}")));
                false
            }
        };
    }
    if n_named == 0 {
        events.insert(Progress::Completed);
    }
    Ok(Some(StatusSubscription { target, events }))
}

fn machine_detection(
    fields: &Fields,
    warnings: &mut Vec<(u32, String)>,
) -> Result<Option<MachineDetection>, Refusal> {
    let waits_for_end = match fields.get("MachineDetection") {
        None => return Ok(None),
        Some("Enable") => false,
        Some("DetectMessageEnd") => true,
        Some(other) => {
            let message = format!("invalid MachineDetection: {other}");
            return Err(Refusal::bad_request(21207, message));
        }
    };
    check_tuning(fields)?;
    if fields.get("SendDigits").is_some() {
        return Ok(None);
    }
    let report = if fields.is_true("AsyncAmd") {
        let name = "AsyncAmdStatusCallback";
        let callback = target(fields, name, "AsyncAmdStatusCallbackMethod", 21609)?;
        if callback.is_none() {
            warnings.push((21262, "AsyncAmd without a callback".to_owned()));
        }
        VerdictReport::Callback(callback)
    } else {
        VerdictReport::BeforeDocument
    };
    Ok(Some(MachineDetection {
        waits_for_end,
        report,
    }))
}

fn check_tuning(fields: &Fields) -> Result<(), Refusal> {
    let ranges = [
        ("MachineDetectionTimeout", 3..=59),
        ("MachineDetectionSpeechThreshold", 1000..=6000),
        ("MachineDetectionSpeechEndThreshold", 500..=5000),
        ("MachineDetectionSilenceTimeout", 2000..=10000),
    ];
    for (name, range) in ranges {
        if let Some(value) = fields.number(name, 21234)?
            && !range.contains(&value)
        {
            let message = format!("{name} must be from {} to {}", range.start(), range.end());
            return Err(Refusal::bad_request(21234, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::fields::Method, *};

    const OWNED: &str = "+15005550006";

    fn parse(changes: &[(&str, &str)]) -> Result<NewCall, Refusal> {
        let mut fields = vec![
            ("To", "+15005550010"),
            ("From", OWNED),
            ("Url", "https://dialer.example.com/voice"),
        ];
        for change in changes {
            let is_listed = change.0 == "StatusCallbackEvent";
            match fields
                .iter_mut()
                .find(|field| field.0 == change.0 && !is_listed)
            {
                Some(field) => field.1 = change.1,
                None => fields.push(*change),
            }
        }
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let fields = Fields(fields.into_iter().map(owned).collect());
        NewCall::parse(&fields, &[OWNED.to_owned()])
    }

    fn code(changes: &[(&str, &str)]) -> u32 {
        parse(changes).unwrap_err().code
    }

    #[test]
    fn a_plain_order_gets_the_carriers_defaults() {
        let call = parse(&[("StatusCallback", "https://dialer.example.com/status")]).unwrap();
        assert_eq!(call.ring_timeout, Duration::from_secs(60));
        let subscription = call.status_callback.unwrap();
        assert_eq!(subscription.events, BTreeSet::from([Progress::Completed]));
        assert_eq!(subscription.target.method, Method::Post);
    }

    #[test]
    fn each_mistake_has_its_own_code() {
        assert_eq!(code(&[("To", "")]), 21201);
        assert_eq!(code(&[("To", "15005550010")]), 21211);
        assert_eq!(code(&[("To", OWNED)]), 21211);
        assert_eq!(code(&[("From", "")]), 21213);
        assert_eq!(code(&[("From", "bob")]), 21212);
        assert_eq!(code(&[("From", "+15005550007")]), 21210);
        assert_eq!(code(&[("Url", "")]), 21205);
        assert_eq!(code(&[("Url", "https://my_host.example.com/")]), 21205);
        assert_eq!(code(&[("Twiml", &"x".repeat(4_001))]), 32018);
        assert_eq!(code(&[("Method", "PUT")]), 21209);
        assert_eq!(code(&[("Timeout", "601")]), 21207);
        let tuned = [
            ("MachineDetection", "Enable"),
            ("MachineDetectionTimeout", "90"),
        ];
        assert_eq!(code(&tuned), 21234);
    }

    #[test]
    fn events_joined_in_one_value_subscribe_to_nothing() {
        let callback = ("StatusCallback", "https://dialer.example.com/status");
        let joined = [callback, ("StatusCallbackEvent", "initiated ringing")];
        let call = parse(&joined).unwrap();
        assert!(call.status_callback.unwrap().events.is_empty());
        assert_eq!(call.warnings[0].0, 21626);
        let repeated = [
            callback,
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "answered"),
        ];
        let events = parse(&repeated).unwrap().status_callback.unwrap().events;
        assert_eq!(
            events,
            BTreeSet::from([Progress::Initiated, Progress::Answered])
        );
    }

    #[test]
    fn booleans_are_read_in_any_case_and_digits_switch_detection_off() {
        let detection = [("MachineDetection", "Enable"), ("AsyncAmd", "True")];
        let call = parse(&detection).unwrap();
        let report = call.machine_detection.unwrap().report;
        assert_eq!(report, VerdictReport::Callback(None));
        assert_eq!(call.warnings[0].0, 21262);
        let with_digits = [("MachineDetection", "Enable"), ("SendDigits", "ww1")];
        assert!(parse(&with_digits).unwrap().machine_detection.is_none());
    }
}
