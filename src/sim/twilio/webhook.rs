//! One signed request to the dialer: time limits, retries, and what counts as failure.
//!
//! The fragment of an address (`#rc=2&rp=5xx,rt`) tunes time limits and retries; it is neither
//! sent nor signed. Without it only a failed connection is tried once more.

use std::time::Duration;

use reqwest::{StatusCode, Url, header, redirect};
use tokio::time::Instant;

use super::{
    call::{API_VERSION, Call},
    fields::{Method, Target},
    number,
};
use crate::{sim::simulation::Simulation, telephony::twilio::signature};

/// The client that all webhooks share.
pub fn webhook_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .user_agent("TwilioProxy/1.1")
        .connect_timeout(MAX_CONNECT_TIME)
        .redirect(redirect::Policy::limited(5))
        .no_proxy()
        .build()
}

const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the dialer answered, with 2xx.
#[derive(Debug)]
pub struct Answer {
    pub content_type: String,
    pub body: String,
}

/// A webhook that did not work; `code` is the entry in the carrier's debugger.
#[derive(Debug, Clone)]
pub struct WebhookFailure {
    pub code: u32,
    pub detail: String,
}

impl WebhookFailure {
    fn new(code: u32, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// Sends `params` to `target`, signed, and returns the answer.
pub async fn request(
    simulation: &Simulation,
    target: &Target,
    params: &[(String, String)],
) -> Result<Answer, WebhookFailure> {
    let (url, fragment) = target.url.split_once('#').unwrap_or((&target.url, ""));
    let overrides = ConnectionOverrides::parse(fragment).unwrap_or_else(|problem| {
        simulation.ledger.alert(11243, &problem);
        ConnectionOverrides::default()
    });
    let request = Request::new(simulation, url, target.method, params)?;
    let deadline = Instant::now() + overrides.total_time;
    let mut n_retries = 0;
    loop {
        let time_left = deadline.saturating_duration_since(Instant::now());
        let try_time = overrides.read_time.min(time_left);
        match request.send(&simulation.http, try_time).await {
            Ok(answer) => return Ok(answer),
            Err((cause, failure)) => {
                let is_last = n_retries >= overrides.n_retries || Instant::now() >= deadline;
                if is_last || !overrides.retries_on(cause) {
                    return Err(failure);
                }
            }
        }
        n_retries += 1;
    }
}

struct Request {
    url: Url,
    method: Method,
    form: Vec<(String, String)>,
    signature: String,
    /// The same for every try, so that the receiver can tell a retry from a second event.
    idempotency_token: String,
}

impl Request {
    fn new(
        simulation: &Simulation,
        url: &str,
        method: Method,
        params: &[(String, String)],
    ) -> Result<Self, WebhookFailure> {
        let malformed = |_| WebhookFailure::new(11100, format!("invalid URL {url}"));
        let mut parsed = Url::parse(url).map_err(malformed)?;
        let auth_token = &simulation.config.auth_token;
        let (signature, form) = match method {
            Method::Post => (signature::sign(auth_token, url, params), params.to_vec()),
            Method::Get => {
                parsed.query_pairs_mut().extend_pairs(params);
                (
                    signature::sign(auth_token, parsed.as_str(), &[]),
                    Vec::new(),
                )
            }
        };
        Ok(Self {
            url: parsed,
            method,
            form,
            signature,
            idempotency_token: simulation.clock.new_uuid().to_string(),
        })
    }

    async fn send(
        &self,
        http: &reqwest::Client,
        time_limit: Duration,
    ) -> Result<Answer, (Cause, WebhookFailure)> {
        let request = match self.method {
            Method::Post => http.post(self.url.clone()).form(&self.form),
            Method::Get => http.get(self.url.clone()),
        };
        let response = request
            .header("X-Twilio-Signature", &self.signature)
            .header("I-Twilio-Idempotency-Token", &self.idempotency_token)
            .header(header::ACCEPT, "*/*")
            .timeout(time_limit)
            .send()
            .await
            .map_err(transport_failure)?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status));
        }
        let content_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = response.bytes().await.map_err(transport_failure)?;
        if body.len() > MAX_BODY_BYTES {
            let failure = WebhookFailure::new(11750, "the answer is longer than 64 kB");
            return Err((Cause::Answer, failure));
        }
        Ok(Answer {
            content_type,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

fn transport_failure(error: reqwest::Error) -> (Cause, WebhookFailure) {
    let (cause, code) = if error.is_connect() {
        (Cause::Connect, 11205)
    } else if error.is_timeout() {
        (Cause::Read, 11200)
    } else {
        (Cause::Read, 11206)
    };
    (
        cause,
        WebhookFailure::new(code, error.without_url().to_string()),
    )
}

fn refusal(status: StatusCode) -> (Cause, WebhookFailure) {
    let cause = if status.is_server_error() {
        Cause::Status5xx
    } else {
        Cause::Status4xx
    };
    (
        cause,
        WebhookFailure::new(11200, format!("the answer was {status}")),
    )
}

/// Why one try failed, as far as retrying is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Connect,
    Read,
    Status4xx,
    Status5xx,
    /// The answer itself is unusable; another one would be too.
    Answer,
}

/// Time limits and retries of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ConnectionOverrides {
    read_time: Duration,
    total_time: Duration,
    n_retries: u32,
    retry_on: Vec<Cause>,
}

const LONGEST: Duration = Duration::from_secs(15);

impl Default for ConnectionOverrides {
    fn default() -> Self {
        Self {
            read_time: LONGEST,
            total_time: LONGEST,
            n_retries: 1,
            retry_on: vec![Cause::Connect],
        }
    }
}

impl ConnectionOverrides {
    /// Reads the fragment of an address; fails with a sentence on a value out of range.
    fn parse(fragment: &str) -> Result<Self, String> {
        let mut overrides = Self::default();
        for pair in fragment.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "rc" => overrides.n_retries = in_range(key, value, 0, 5)?,
                "rt" => overrides.read_time = millis(key, value)?,
                "tt" => overrides.total_time = millis(key, value)?,
                "rp" => overrides.retry_on = retry_policy(value)?,
                // Connecting within the loopback has no tunable time; edges and SNI do not exist.
                "ct" | "e" | "sni" => {}
                unknown => return Err(format!("unknown connection override {unknown}")),
            }
        }
        Ok(overrides)
    }

    fn retries_on(&self, cause: Cause) -> bool {
        self.retry_on.contains(&cause)
    }
}

fn millis(key: &str, value: &str) -> Result<Duration, String> {
    in_range(key, value, 100, 15_000).map(|millis| Duration::from_millis(millis.into()))
}

fn in_range(key: &str, value: &str, low: u32, high: u32) -> Result<u32, String> {
    match value.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("{key} must be from {low} to {high}, not {value}")),
    }
}

fn retry_policy(value: &str) -> Result<Vec<Cause>, String> {
    let mut causes = Vec::new();
    for name in value.split(',') {
        match name {
            "ct" => causes.push(Cause::Connect),
            "rt" => causes.push(Cause::Read),
            "4xx" => causes.push(Cause::Status4xx),
            "5xx" => causes.push(Cause::Status5xx),
            "all" => causes.extend([
                Cause::Connect,
                Cause::Read,
                Cause::Status4xx,
                Cause::Status5xx,
            ]),
            unknown => return Err(format!("unknown retry policy {unknown}")),
        }
    }
    Ok(causes)
}

/// The fields that every webhook about a call carries; unknown places are blank, not absent.
pub fn call_fields(call: &Call, status: &str) -> Vec<(String, String)> {
    let (from, to) = (call.order.from.as_str(), call.order.to.as_str());
    let mut fields = vec![
        field("CallSid", &call.sid),
        field("AccountSid", &call.account_sid),
        field("ApiVersion", API_VERSION),
        field("Direction", "outbound-api"),
        field("CallStatus", status),
        field("From", from),
        field("To", to),
        field("Caller", from),
        field("Called", to),
    ];
    for (side, number) in [("From", from), ("Caller", from), ("To", to), ("Called", to)] {
        for place in ["City", "State", "Zip"] {
            fields.push(field(&format!("{side}{place}"), ""));
        }
        fields.push(field(&format!("{side}Country"), number::country(number)));
    }
    fields
}

pub fn field(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_sets_retries_and_their_causes() {
        let overrides = ConnectionOverrides::parse("rc=3&rp=5xx,rt&rt=2000").unwrap();
        assert_eq!(overrides.n_retries, 3);
        assert_eq!(overrides.read_time, Duration::from_secs(2));
        assert!(overrides.retries_on(Cause::Status5xx) && overrides.retries_on(Cause::Read));
        assert!(!overrides.retries_on(Cause::Connect));
    }

    #[test]
    fn without_a_fragment_only_a_failed_connection_is_retried_once() {
        let overrides = ConnectionOverrides::parse("").unwrap();
        assert_eq!(overrides, ConnectionOverrides::default());
        assert!(overrides.retries_on(Cause::Connect));
        assert!(!overrides.retries_on(Cause::Status5xx));
    }

    #[test]
    fn a_value_out_of_range_is_a_problem() {
        for fragment in ["rc=6", "rt=50", "rp=6xx", "zz=1"] {
            assert!(ConnectionOverrides::parse(fragment).is_err(), "{fragment}");
        }
    }
}
