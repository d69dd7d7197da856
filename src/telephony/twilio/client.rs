//! Twilio's REST API for calls.
//!
//! Sends, and hands the answer to `reply`, which says what it means. A request for a call
//! is sent once and never again: Twilio has no idempotency key.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::{
    Client, RequestBuilder, Response, StatusCode, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, RANGE, RETRY_AFTER},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{
    domain::{
        Timestamp,
        ids::{CallSid, RecordingSid},
        machine::{Detection, Speech, Tuning},
        phone::PhoneNumber,
        signal::SignalKind,
        transfer::TransferPolicy,
    },
    telephony::{
        BoxError, CallReport, CallRequest, Carrier, CarrierError, ListedCall, RecordedAudio,
        TransferRequest,
    },
};

use super::{
    reply::{CallPage, CallResource, CreatedCall, Reply, may_be_since},
    twiml,
    urls::CallbackUrls,
};

/// Questions and hang-ups in flight. Twilio's own limit on requests in flight is not published;
/// answers beyond it are 429. Requests for calls do not wait here: whoever asks for one has checked a
/// moment ago that it may go out, and counts how many do.
const MAX_IN_FLIGHT: usize = 8;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time that one request for a recording may take.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(1800);
/// How often a read is repeated after 429, which says that nothing was done.
const MAX_READ_RETRIES: u32 = 3;
/// The longest wait before a read is repeated, whatever the carrier asks for.
const MAX_READ_WAIT: Duration = Duration::from_secs(5);
/// A list between two numbers that is longer than this is not one we can trust to be whole.
const MAX_PAGES: usize = 50;
/// The same for the list of all calls since a moment, by the thousand.
const MAX_PAGES_OF_ALL: usize = 5000;
/// What Twilio takes at most as ring time and as call length.
const MAX_RING: Duration = Duration::from_secs(600);
const MAX_LENGTH: Duration = Duration::from_secs(86_400);

/// What is needed to place calls.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// The account (`AC…`) whose calls they are.
    pub account_sid: String,
    /// How we show that it is ours.
    pub credentials: Credentials,
    /// `https://api.twilio.com`, a regional host, or the simulator.
    pub base_url: String,
    /// Where Twilio reaches us.
    pub callbacks: CallbackUrls,
}

/// How we show that the account is ours.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The account's own secret, which also signs its webhooks.
    AuthToken(SecretString),
    /// A key that can be revoked by itself.
    ApiKey {
        /// The key's name (`SK…`).
        sid: String,
        /// Its secret.
        secret: SecretString,
    },
}

/// Why a configuration makes no carrier.
#[derive(Debug, thiserror::Error)]
pub enum TwilioConfigError {
    /// Not an account's name.
    #[error("{0:?} is not an account SID (AC and 32 digits)")]
    AccountSid(String),
    /// Not an address.
    #[error("{0:?} is not an http or https address")]
    BaseUrl(String),
    /// The HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A Twilio account as a [`Carrier`].
pub struct TwilioCarrier {
    config: TwilioConfig,
    base: Url,
    client: Client,
    in_flight: Semaphore,
}

impl TwilioCarrier {
    /// A carrier for the account. Asks nothing of Twilio yet.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(config: TwilioConfig) -> Result<Self, TwilioConfigError> {
        let sid = &config.account_sid;
        if !(sid.starts_with("AC") && sid.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            return Err(TwilioConfigError::AccountSid(sid.clone()));
        }
        let base = Url::parse(&config.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| TwilioConfigError::BaseUrl(config.base_url.clone()))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self {
            config,
            base,
            client,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
        })
    }

    fn url(&self, resource: &str) -> Url {
        let path = format!(
            "/2010-04-01/Accounts/{}/{resource}.json",
            self.config.account_sid
        );
        self.base
            .join(&path)
            .expect("account and call names have nothing that a path must escape")
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.config.credentials {
            Credentials::AuthToken(token) => {
                request.basic_auth(&self.config.account_sid, Some(token.expose_secret()))
            }
            Credentials::ApiKey { sid, secret } => {
                request.basic_auth(sid, Some(secret.expose_secret()))
            }
        }
    }

    /// Sends when there is room.
    async fn send(&self, request: RequestBuilder) -> Result<Reply, CarrierError> {
        let _permit = self
            .in_flight
            .acquire()
            .await
            .expect("the semaphore is never closed");
        self.send_now(request).await
    }

    async fn send_now(&self, request: RequestBuilder) -> Result<Reply, CarrierError> {
        let response = self
            .authorized(request)
            .send()
            .await
            .map_err(transport_error)?;
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name)?.to_str().ok();
        let retry_after = header(RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map(Duration::from_secs);
        let request_id = header("twilio-request-id").map(str::to_owned);
        let body = response.bytes().await.map_err(transport_error)?.to_vec();
        tracing::debug!(status, request_id, "carrier replied");
        Ok(Reply {
            status,
            retry_after,
            body,
        })
    }

    /// Sends what may be repeated without harm, and repeats it after "too many requests".
    async fn send_repeatable(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Reply, CarrierError> {
        for n_retries in 0..MAX_READ_RETRIES {
            let reply = self.send(request()).await?;
            if !reply.is_throttled() {
                return Ok(reply);
            }
            let backoff = Duration::from_millis((100 << n_retries).min(3000));
            let wait = reply
                .retry_after
                .unwrap_or_else(|| backoff.mul_f64(rand::random()));
            tokio::time::sleep(wait.min(MAX_READ_WAIT)).await;
        }
        self.send(request()).await
    }

    async fn update_status(&self, sid: &CallSid, status: &str) -> Result<Reply, CarrierError> {
        let url = self.url(&format!("Calls/{sid}"));
        self.send_repeatable(|| self.client.post(url.clone()).form(&[("Status", status)]))
            .await
    }

    /// All pages of a list of calls.
    async fn list(
        &self,
        query: &[(&str, &str)],
        max_pages: usize,
    ) -> Result<Vec<CallResource>, CarrierError> {
        let mut url = self.url("Calls");
        url.query_pairs_mut().extend_pairs(query);
        let mut calls = Vec::new();
        for _ in 0..max_pages {
            let reply = self
                .send_repeatable(|| self.client.get(url.clone()))
                .await?;
            let page: CallPage = reply.read(rand::random())?;
            calls.extend(page.calls);
            match page.next_page_uri.filter(|uri| !uri.is_empty()) {
                Some(uri) => url = self.same_host(&uri)?,
                None => return Ok(calls),
            }
        }
        Err(CarrierError::Unknown(
            format!("the list of calls has more than {max_pages} pages").into(),
        ))
    }

    /// The address of a further page; never another host, which would be sent our credentials.
    fn same_host(&self, uri: &str) -> Result<Url, CarrierError> {
        let url = self
            .base
            .join(uri)
            .map_err(|error| CarrierError::Unknown(error.into()))?;
        if url.origin() == self.base.origin() {
            Ok(url)
        } else {
            Err(CarrierError::Unknown(
                "the next page of the list is on another host".into(),
            ))
        }
    }
}

#[async_trait]
impl Carrier for TwilioCarrier {
    async fn place(&self, request: &CallRequest) -> Result<CallSid, CarrierError> {
        let form = creation_form(request, &self.config.callbacks);
        let reply = self
            .send_now(self.client.post(self.url("Calls")).form(&form))
            .await?;
        let created: CreatedCall = reply.read(rand::random())?;
        created
            .sid
            .parse()
            .map_err(|error| CarrierError::Unknown(Box::new(error)))
    }

    async fn fetch(&self, sid: &CallSid) -> Result<Option<CallReport>, CarrierError> {
        let url = self.url(&format!("Calls/{sid}"));
        let reply = self
            .send_repeatable(|| self.client.get(url.clone()))
            .await?;
        if reply.is_unknown_call() {
            return Ok(None);
        }
        let call: CallResource = reply.read(rand::random())?;
        call.report().map(Some)
    }

    /// Asks for all calls, and once more for queued ones, which a list by time may not show. No
    /// filter by start time is used: a queued call has none.
    async fn find(
        &self,
        to: &PhoneNumber,
        from: &PhoneNumber,
        since: Timestamp,
    ) -> Result<Vec<CallReport>, CarrierError> {
        let between = [
            ("To", to.as_str()),
            ("From", from.as_str()),
            ("PageSize", "100"),
        ];
        let queued = [between.as_slice(), &[("Status", "queued")]].concat();
        let mut found = BTreeMap::new();
        // The later list wins: a call may have moved on between the two.
        for query in [queued.as_slice(), &between] {
            for call in self.list(query, MAX_PAGES).await? {
                let report = call.report()?;
                found.insert(report.sid.clone(), report);
            }
        }
        let mut reports: Vec<CallReport> = found
            .into_values()
            .filter(|report| may_be_since(report, since))
            .collect();
        reports
            .sort_by_key(|report| std::cmp::Reverse(report.created_at.unwrap_or(Timestamp::MAX)));
        Ok(reports)
    }

    /// A call that still waits has no start time, so those are asked for by their status. The later
    /// list wins: a call may have moved on between the two.
    async fn calls_since(&self, since: Timestamp) -> Result<Vec<ListedCall>, CarrierError> {
        let since = Timestamp::from_second(since.as_second()).unwrap_or(since);
        let since = since.to_string();
        let mut found = BTreeMap::new();
        for sought in [("Status", "queued"), ("StartTime>", since.as_str())] {
            let query = [sought, ("PageSize", "1000")];
            for call in self.list(&query, MAX_PAGES_OF_ALL).await? {
                if let Some(call) = call.outbound()? {
                    found.insert(call.report.sid.clone(), call);
                }
            }
        }
        let mut calls: Vec<ListedCall> = found.into_values().collect();
        calls.sort_by_key(|call| call.report.created_at);
        Ok(calls)
    }

    async fn cancel(&self, sid: &CallSid) -> Result<(), CarrierError> {
        let reply = self.update_status(sid, "canceled").await?;
        if reply.means_over() {
            return Ok(());
        }
        reply.read::<CallResource>(rand::random()).map(|_call| ())
    }

    /// Cancels, then completes: the first ends a call that nobody answered yet and leaves one alone
    /// that was answered in between, the second ends that one.
    async fn end(&self, sid: &CallSid) -> Result<(), CarrierError> {
        match self.update_status(sid, "canceled").await {
            Ok(reply) if is_over(&reply) => return Ok(()),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "cancel failed, the call is completed instead"),
        }
        let reply = self.update_status(sid, "completed").await?;
        if reply.means_over() {
            return Ok(());
        }
        reply.read::<CallResource>(rand::random()).map(|_call| ())
    }

    /// The address is made from the recording's name, so credentials go to no other host.
    async fn recording(
        &self,
        recording: &RecordingSid,
        range: Option<&str>,
    ) -> Result<Option<RecordedAudio>, CarrierError> {
        let mut url = self.url(&format!("Recordings/{recording}"));
        url.set_path(&url.path().replace(".json", ".wav"));
        url.query_pairs_mut().append_pair("RequestedChannels", "2");
        let mut request = self
            .authorized(self.client.get(url))
            .timeout(LISTEN_TIMEOUT);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let response = request.send().await.map_err(transport_error)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Some(recorded(response))),
            status => {
                let said = format!("the carrier answered {status} when asked for a recording");
                Err(CarrierError::Unknown(said.into()))
            }
        }
    }

    async fn delete_recording(&self, recording: &RecordingSid) -> Result<(), CarrierError> {
        let url = self.url(&format!("Recordings/{recording}"));
        let reply = self
            .send_repeatable(|| self.client.delete(url.clone()))
            .await?;
        if (200..300).contains(&reply.status) || reply.is_unknown_call() {
            return Ok(());
        }
        reply.read::<serde_json::Value>(rand::random()).map(drop)
    }

    /// Replaces the instructions that the call runs by.
    async fn speak(&self, sid: &CallSid, speech: &Speech) -> Result<(), CarrierError> {
        let url = self.url(&format!("Calls/{sid}"));
        let form = [("Twiml", twiml::speech(speech))];
        let reply = self
            .send_repeatable(|| self.client.post(url.clone()).form(&form))
            .await?;
        if reply.means_over() {
            return Ok(());
        }
        reply.read::<CallResource>(rand::random()).map(|_call| ())
    }

    /// Replaces the instructions that the call runs by, and its greatest length: two people talk for
    /// as long as they like. A call that is over is not handed over to anybody.
    async fn transfer(&self, sid: &CallSid, request: &TransferRequest) -> Result<(), CarrierError> {
        let url = self.url(&format!("Calls/{sid}"));
        let callbacks = &self.config.callbacks;
        let document = twiml::transfer(
            request.to.as_str(),
            request.from.as_str(),
            &callbacks.transfer(request.attempt),
            &callbacks.whisper(request.attempt),
        );
        let limit = TransferPolicy::RING + TransferPolicy::LENGTH;
        let form = [
            ("Twiml", document),
            ("TimeLimit", limit.as_secs().to_string()),
        ];
        let reply = self
            .send_repeatable(|| self.client.post(url.clone()).form(&form))
            .await?;
        reply.read::<CallResource>(rand::random()).map(|_call| ())
    }
}

/// A recording as an answer brings it.
fn recorded(response: Response) -> RecordedAudio {
    let header = |name: HeaderName| response.headers().get(name)?.to_str().ok();
    let range = header(CONTENT_RANGE).and_then(content_range);
    let content_type = header(CONTENT_TYPE).unwrap_or("audio/x-wav").to_owned();
    let (range, total) = match range {
        Some((from, to, total)) => (Some((from, to)), total),
        None => (None, response.content_length()),
    };
    RecordedAudio {
        content_type,
        total,
        range,
        bytes: stream::try_unfold(response, next_bytes).boxed(),
    }
}

async fn next_bytes(mut response: Response) -> Result<Option<(Bytes, Response)>, BoxError> {
    match response.chunk().await {
        Ok(bytes) => Ok(bytes.map(|bytes| (bytes, response))),
        Err(error) => Err(error.without_url().into()),
    }
}

/// `bytes 0-99/200`: from, to and how many there are in all.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?, total.parse().ok()))
}

fn milliseconds(length: Duration) -> String {
    length.as_millis().to_string()
}

/// The fields that ask for a detection of machines; the carrier's own values where there is none.
fn detection_fields(
    detection: &Detection,
    request: &CallRequest,
    callbacks: &CallbackUrls,
) -> Vec<(&'static str, String)> {
    let mode = if detection.waits_for_greeting {
        "DetectMessageEnd"
    } else {
        "Enable"
    };
    let mut fields = vec![("MachineDetection", mode.to_owned())];
    if !detection.is_before_connecting {
        let verdict = callbacks.verdict_with_retries(request.attempt);
        fields.push(("AsyncAmd", "true".to_owned()));
        fields.push(("AsyncAmdStatusCallback", verdict));
    }
    let Tuning {
        timeout,
        speech,
        speech_end,
        silence,
    } = detection.tuning;
    let seconds = timeout.map(|it| it.as_secs().to_string());
    let tuned = [
        ("MachineDetectionTimeout", seconds),
        ("MachineDetectionSpeechThreshold", speech.map(milliseconds)),
        (
            "MachineDetectionSpeechEndThreshold",
            speech_end.map(milliseconds),
        ),
        ("MachineDetectionSilenceTimeout", silence.map(milliseconds)),
    ];
    let tuned = tuned.into_iter();
    fields.extend(tuned.filter_map(|(name, value)| value.map(|value| (name, value))));
    fields
}

fn is_over(reply: &Reply) -> bool {
    reply
        .read::<CallResource>(0.0)
        .and_then(CallResource::report)
        .is_ok_and(|report| matches!(report.status, SignalKind::Over { .. }))
}

/// The fields that create a call. `StatusCallbackEvent` is one field per event: joined in one it is
/// accepted and then tells nothing.
fn creation_form(request: &CallRequest, callbacks: &CallbackUrls) -> Vec<(&'static str, String)> {
    let seconds = |length: Duration, most: Duration| {
        let length = length.min(most);
        let whole = length.as_secs() + u64::from(length.subsec_nanos() > 0);
        whole.max(1).to_string()
    };
    let mut form = vec![
        ("To", request.to.to_string()),
        ("From", request.from.to_string()),
        ("Url", callbacks.voice(request.attempt)),
        (
            "StatusCallback",
            callbacks.status_with_retries(request.attempt),
        ),
    ];
    for event in ["initiated", "ringing", "answered", "completed"] {
        form.push(("StatusCallbackEvent", event.to_owned()));
    }
    form.push(("Timeout", seconds(request.ring_timeout, MAX_RING)));
    form.push(("TimeLimit", seconds(request.max_duration, MAX_LENGTH)));
    if request.is_recorded {
        form.push(("Record", "true".to_owned()));
        form.push(("RecordingChannels", "dual".to_owned()));
        let told_at = callbacks.recording_with_retries(request.attempt);
        form.push(("RecordingStatusCallback", told_at));
        form.push(("RecordingStatusCallbackEvent", "completed".to_owned()));
    }
    if let Some(detection) = &request.detection {
        form.extend(detection_fields(detection, request, callbacks));
    }
    form
}

/// What a failure below HTTP means. Only a connection that was never made proves that nothing was
/// asked.
fn transport_error(error: reqwest::Error) -> CarrierError {
    let is_unsent = error.is_connect() || error.is_builder();
    let cause = Box::new(error.without_url());
    if is_unsent {
        CarrierError::Unreachable(cause)
    } else {
        CarrierError::Unknown(cause)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
