//! One call as the carrier keeps it: the order, the state, the JSON resource.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    number,
    recording::Tape,
    request::{NewCall, Source},
};
use crate::sim::callee::Script;

/// The status of the resource; `initiated` exists only in callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    Ringing,
    InProgress,
    Completed,
    Busy,
    Failed,
    NoAnswer,
    Canceled,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Queued => "queued",
            Status::Ringing => "ringing",
            Status::InProgress => "in-progress",
            Status::Completed => "completed",
            Status::Busy => "busy",
            Status::Failed => "failed",
            Status::NoAnswer => "no-answer",
            Status::Canceled => "canceled",
        }
    }

    pub fn is_final(self) -> bool {
        match self {
            Status::Queued | Status::Ringing | Status::InProgress => false,
            Status::Completed
            | Status::Busy
            | Status::Failed
            | Status::NoAnswer
            | Status::Canceled => true,
        }
    }
}

/// A call; shared by its task and the REST handlers.
#[derive(Debug)]
pub struct Call {
    pub sid: String,
    pub account_sid: String,
    pub order: NewCall,
    pub script: Script,
    /// How many calls this number had before.
    pub n_earlier: u32,
    pub created_at: Timestamp,
    /// When lists begin to show it.
    pub listed_from: Timestamp,
    /// Cancelled when the dialer ends the call by REST.
    pub hang_up: CancellationToken,
    redirects: mpsc::Sender<Source>,
    /// What is being recorded; none where nothing is, or no longer.
    tape: Mutex<Option<Tape>>,
    state: Mutex<CallState>,
}

#[derive(Debug, Clone)]
pub struct CallState {
    pub status: Status,
    pub queue_time_ms: u128,
    pub started_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    pub answered_by: Option<&'static str>,
    /// Whether its price is known by now.
    pub is_priced: bool,
    /// How long the call may last from the answer.
    pub time_limit: Duration,
    next_sequence: u32,
}

/// What is fixed when a call is accepted.
pub struct Placement {
    pub sid: String,
    pub account_sid: String,
    pub order: NewCall,
    pub script: Script,
    pub n_earlier: u32,
    pub created_at: Timestamp,
    pub listed_from: Timestamp,
    pub queue_time_ms: u128,
    pub hang_up: CancellationToken,
}

/// Redirects wait here only for the moment the call's task needs to take them.
const MAX_WAITING_REDIRECTS: usize = 4;

impl Call {
    /// A queued call, and where its task receives redirects.
    pub fn queued(placement: Placement) -> (Self, mpsc::Receiver<Source>) {
        let (redirects, received) = mpsc::channel(MAX_WAITING_REDIRECTS);
        let state = CallState {
            status: Status::Queued,
            queue_time_ms: placement.queue_time_ms,
            started_at: None,
            answered_at: None,
            ended_at: None,
            updated_at: placement.created_at,
            answered_by: None,
            is_priced: false,
            time_limit: placement.order.time_limit,
            next_sequence: 0,
        };
        let call = Self {
            sid: placement.sid,
            account_sid: placement.account_sid,
            order: placement.order,
            script: placement.script,
            n_earlier: placement.n_earlier,
            created_at: placement.created_at,
            listed_from: placement.listed_from,
            hang_up: placement.hang_up,
            redirects,
            tape: Mutex::default(),
            state: Mutex::new(state),
        };
        (call, received)
    }

    pub fn state(&self) -> CallState {
        self.lock().clone()
    }

    pub fn status(&self) -> Status {
        self.lock().status
    }

    /// The number of the next progress event; events nobody subscribed to count too.
    pub fn take_sequence_number(&self) -> u32 {
        let mut state = self.lock();
        state.next_sequence += 1;
        state.next_sequence - 1
    }

    pub fn begin_dialing(&self, now: Timestamp) {
        self.change(now, |state| state.started_at = Some(now));
    }

    pub fn ring(&self, now: Timestamp) {
        self.change(now, |state| state.status = Status::Ringing);
    }

    /// Connects the call, unless the dialer has ended it in the meantime.
    pub fn answer(&self, now: Timestamp) -> bool {
        let mut state = self.lock();
        if self.hang_up.is_cancelled() {
            return false;
        }
        state.status = Status::InProgress;
        state.answered_at = Some(now);
        state.updated_at = now;
        true
    }

    pub fn detect(&self, answered_by: &'static str, now: Timestamp) {
        self.change(now, |state| state.answered_by = Some(answered_by));
    }

    pub fn end(&self, status: Status, now: Timestamp) {
        self.change(now, |state| {
            state.status = status;
            state.ended_at = Some(now);
        });
    }

    /// From now on the call's resource has its price.
    pub fn put_a_price(&self, now: Timestamp) {
        self.change(now, |state| state.is_priced = true);
    }

    /// Ends a call that is not answered yet and leaves any other alone.
    pub fn cancel_before_answer(&self) {
        let state = self.lock();
        match state.status {
            Status::Queued | Status::Ringing => self.hang_up.cancel(),
            Status::InProgress
            | Status::Completed
            | Status::Busy
            | Status::Failed
            | Status::NoAnswer
            | Status::Canceled => {}
        }
    }

    /// Begins to record, if that was ordered.
    pub fn start_tape(&self) {
        if self.order.recording.is_some() {
            *self.lock_tape() = Some(Tape::new());
        }
    }

    /// Lets `put` add to what is being recorded, if anything is.
    pub fn record(&self, put: impl FnOnce(&mut Tape)) {
        if self.order.recording.is_some()
            && let Some(tape) = self.lock_tape().as_mut()
        {
            put(tape);
        }
    }

    /// What was recorded; nothing is recorded any more.
    pub fn take_tape(&self) -> Option<Tape> {
        self.lock_tape().take()
    }

    fn lock_tape(&self) -> MutexGuard<'_, Option<Tape>> {
        self.tape
            .lock()
            .expect("nothing panics while it holds a call's tape")
    }

    /// Hands new instructions to the call's task; false when it takes no more.
    pub fn redirect(&self, source: Source) -> bool {
        self.redirects.try_send(source).is_ok()
    }

    /// From now on the call may last so long from the answer.
    pub fn limit_to(&self, length: Duration) {
        self.lock().time_limit = length;
    }

    fn change(&self, now: Timestamp, change: impl FnOnce(&mut CallState)) {
        let mut state = self.lock();
        change(&mut state);
        state.updated_at = now;
    }

    fn lock(&self) -> MutexGuard<'_, CallState> {
        self.state
            .lock()
            .expect("nothing panics while it holds a call's state")
    }

    /// The resource that create, fetch, update and list answer with.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        let base = format!(
            "/2010-04-01/Accounts/{}/Calls/{}",
            self.account_sid, self.sid
        );
        let under = |name: &str| format!("{base}/{name}.json");
        json!({
            "sid": self.sid,
            "account_sid": self.account_sid,
            "to": self.order.to,
            "to_formatted": number::formatted(&self.order.to),
            "from": self.order.from,
            "from_formatted": number::formatted(&self.order.from),
            "phone_number_sid": phone_number_sid(&self.order.from),
            "parent_call_sid": null,
            "status": state.status.name(),
            "direction": "outbound-api",
            "answered_by": state.answered_by,
            "api_version": API_VERSION,
            "start_time": state.started_at.map(rfc_2822),
            "end_time": state.ended_at.map(rfc_2822),
            "duration": state.ended_at.map(|_| state.talk_seconds().to_string()),
            "price": state.price_usd(),
            "price_unit": "USD",
            "date_created": rfc_2822(self.created_at),
            "date_updated": rfc_2822(state.updated_at),
            "annotation": null,
            "forwarded_from": null,
            "group_sid": null,
            "caller_name": "",
            "queue_time": state.queue_time_ms.to_string(),
            "trunk_sid": "",
            "uri": format!("{base}.json"),
            "subresource_uris": {
                "notifications": under("Notifications"),
                "recordings": under("Recordings"),
                "payments": under("Payments"),
                "events": under("Events"),
                "siprec": under("Siprec"),
                "streams": under("Streams"),
                "transcriptions": under("Transcriptions"),
                "user_defined_messages": under("UserDefinedMessages"),
                "user_defined_message_subscriptions": under("UserDefinedMessageSubscriptions"),
            },
        })
    }
}

impl CallState {
    /// Whole seconds from answer to end, started seconds counted; 0 when never answered.
    pub fn talk_seconds(&self) -> u64 {
        let (Some(answered), Some(ended)) = (self.answered_at, self.ended_at) else {
            return 0;
        };
        let millis = ended.duration_since(answered).as_millis();
        u64::try_from(millis).unwrap_or(0).div_ceil(1_000)
    }

    /// Minutes that would be billed, started minutes counted.
    pub fn billed_minutes(&self) -> u64 {
        self.talk_seconds().div_ceil(60)
    }

    fn price_usd(&self) -> Option<String> {
        const PRICE_PER_MINUTE: f64 = 0.014;
        let is_billed = self.is_priced && self.answered_at.is_some();
        is_billed.then(|| format!("-{:.4}", PRICE_PER_MINUTE * self.billed_minutes() as f64))
    }
}

pub const API_VERSION: &str = "2010-04-01";

/// `Tue, 06 Oct 2026 10:00:02 +0000`.
pub fn rfc_2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// A stable SID for an owned number.
pub fn phone_number_sid(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    format!("PN{digits:0>32}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_whole_seconds_of_utc() {
        let at: Timestamp = "2026-10-06T10:00:02.7Z".parse().unwrap();
        assert_eq!(rfc_2822(at), "Tue, 06 Oct 2026 10:00:02 +0000");
    }

    #[test]
    fn owned_numbers_have_sids_of_the_right_length() {
        assert_eq!(
            phone_number_sid("+15005550006"),
            "PN00000000000000000000015005550006"
        );
    }
}
