//! Twilio's form posts, read into signals.
//!
//! Pure. The request was verified before it comes here; saving and answering it happen elsewhere.
//! Fields may be missing, empty, repeated or unknown: only what a signal cannot do without is an
//! error.

use std::time::Duration;

use crate::domain::{
    Timestamp,
    ids::{CallSid, IdError, StreamSid},
    machine::AnsweredBy,
    signal::{Signal, SignalKind},
    transfer::{TransferEnd, TransferResult},
};

use super::codes::{EndDetails, UnknownStatus, signal_kind};

/// A post that tells something about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The same for every repetition of the post, and for no other.
    pub key: String,
    /// What it tells.
    pub signal: Signal,
    /// Twilio's words about trouble, for the log.
    pub note: Option<String>,
}

/// Why a post tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// A field without which the post has no meaning.
    #[error("the post has no {0}")]
    Missing(&'static str),
    /// An identifier that is none.
    #[error("the post has a bad identifier: {0}")]
    Id(#[from] IdError),
    /// A status that is not in the documentation; the text is kept.
    #[error(transparent)]
    Status(#[from] UnknownStatus),
    /// A verdict that is not in the documentation; the text is kept.
    #[error("unknown verdict {0:?}")]
    AnsweredBy(String),
    /// A transfer's result that is not in the documentation; the text is kept.
    #[error("unknown result of a transfer {0:?}")]
    DialStatus(String),
    /// A stream event that is not in the documentation; the text is kept.
    #[error("unknown stream event {0:?}")]
    StreamEvent(String),
}

/// Reads a form body (or a query): pairs in their order, blank values kept, because both take part
/// in the signature.
pub fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// Reads the request for a call's instructions, which Twilio makes when the call is answered.
///
/// It has no time of its own, so `received_at` is when it was answered. It races with the answered
/// callback; either may be first.
pub fn voice_request(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Callback, CallbackError> {
    let form = Form(fields);
    let call = form.call()?;
    Ok(Callback {
        key: format!("twilio:{call}:voice"),
        signal: Signal {
            sid: Some(call),
            at: received_at,
            kind: SignalKind::Answered,
        },
        note: None,
    })
}

/// Reads the verdict on who answered that a request for instructions carries, if one was waited for.
/// A verdict that is not known says nothing.
pub fn awaited_verdict(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Option<(AnsweredBy, Callback)>, CallbackError> {
    let form = Form(fields);
    let Some(text) = form.text("AnsweredBy") else {
        return Ok(None);
    };
    let by = answered_by(text).unwrap_or(AnsweredBy::Unknown);
    Ok(Some((by, verdict(form.call()?, by, true, received_at))))
}

/// Reads the verdict on who answered that comes by itself, at most once for a call.
pub fn verdict_callback(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Callback, CallbackError> {
    let form = Form(fields);
    let text = form.required("AnsweredBy")?;
    let by = answered_by(text).ok_or_else(|| CallbackError::AnsweredBy(text.to_owned()))?;
    Ok(verdict(form.call()?, by, false, received_at))
}

fn verdict(call: CallSid, by: AnsweredBy, is_asking: bool, received_at: Timestamp) -> Callback {
    Callback {
        key: format!("twilio:{call}:amd"),
        signal: Signal {
            sid: Some(call),
            at: received_at,
            kind: SignalKind::Detected { by, is_asking },
        },
        note: None,
    }
}

/// Who or what answered, by Twilio's word for it; none for a word that nobody knows.
pub(super) fn answered_by(text: &str) -> Option<AnsweredBy> {
    Some(match text {
        "human" => AnsweredBy::Human,
        "machine_start" => AnsweredBy::Machine,
        "machine_end_beep" | "machine_end_silence" | "machine_end_other" => {
            AnsweredBy::MachineReady
        }
        "fax" => AnsweredBy::Fax,
        "unknown" => AnsweredBy::Unknown,
        _ => return None,
    })
}

/// Reads a report of a call's progress.
///
/// `Timestamp` has whole seconds and is used where it can be read; `Duration` is billed minutes and
/// is not looked at, `CallDuration` is seconds.
pub fn status_callback(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Callback, CallbackError> {
    let form = Form(fields);
    let call = form.call()?;
    let status = form.required("CallStatus")?;
    let details = EndDetails {
        duration: form.seconds("CallDuration"),
        sip_code: form.number("SipResponseCode"),
        error_code: form.number("ErrorCode"),
        error_message: form.text("ErrorMessage").map(str::to_owned),
    };
    let sequence = form.text("SequenceNumber").unwrap_or("-");
    let key = format!("twilio:{call}:{sequence}:{status}");
    let note = details.error_message.clone();
    Ok(Callback {
        key,
        signal: Signal {
            kind: signal_kind(status, details)?,
            sid: Some(call),
            at: form
                .rfc2822("Timestamp")
                .map_or(received_at, |second| within(second, received_at)),
        },
        note,
    })
}

/// The moment that was told as a whole second. What was received before that second was over had just
/// happened: taken for the second's first instant, an answer would seem up to a second earlier than it
/// was, and the agent slower by as much.
fn within(second: Timestamp, received_at: Timestamp) -> Timestamp {
    const REST: Duration = Duration::from_millis(999);
    if (second..=second + REST).contains(&received_at) {
        received_at
    } else {
        second
    }
}

/// Reads a report of a media stream's progress.
///
/// `stream-error` is told as the end of the media: Twilio reports it even when we close the socket
/// on purpose (31921). Its text is kept as the note.
pub fn stream_callback(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Callback, CallbackError> {
    let form = Form(fields);
    let call = form.call()?;
    let stream: StreamSid = form.required("StreamSid")?.parse()?;
    let event = form.required("StreamEvent")?;
    let key = format!("twilio:{stream}:{event}");
    let kind = match event {
        "stream-started" => SignalKind::MediaStarted { stream, node: None },
        "stream-stopped" | "stream-error" => SignalKind::MediaEnded { by: None },
        _ => return Err(CallbackError::StreamEvent(event.to_owned())),
    };
    Ok(Callback {
        key,
        signal: Signal {
            sid: Some(call),
            at: form.iso8601("Timestamp").unwrap_or(received_at),
            kind,
        },
        note: form.text("StreamError").map(str::to_owned),
    })
}

/// Reads what became of a transfer, with which the carrier asks what follows.
pub fn transfer_callback(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<(TransferResult, Callback), CallbackError> {
    let form = Form(fields);
    let call = form.call()?;
    let status = form.required("DialCallStatus")?;
    let result = match status {
        "completed" | "answered" => TransferResult::Answered,
        "busy" => TransferResult::Busy,
        "no-answer" => TransferResult::NoAnswer,
        "failed" => TransferResult::Failed,
        "canceled" => TransferResult::Canceled,
        _ => return Err(CallbackError::DialStatus(status.to_owned())),
    };
    let leg = form.text("DialCallSid").unwrap_or("-");
    let talked = form.seconds("DialCallDuration");
    let end = TransferEnd {
        result,
        talked: talked.filter(|_| result == TransferResult::Answered),
    };
    let callback = Callback {
        key: format!("twilio:{call}:transfer:{leg}:{status}"),
        signal: Signal {
            sid: Some(call),
            at: received_at,
            kind: SignalKind::TransferEnded(end),
        },
        note: form.text("ErrorMessage").map(str::to_owned),
    };
    Ok((result, callback))
}

/// Reads the question what a person hears who has answered and is about to be joined. The call that it
/// names first is that person's own.
pub fn whisper_request(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Callback, CallbackError> {
    let form = Form(fields);
    let leg = form.call()?;
    let parent = form.text("ParentCallSid");
    Ok(Callback {
        key: format!("twilio:{leg}:whisper"),
        signal: Signal {
            sid: parent.map(str::parse).transpose()?,
            at: received_at,
            kind: SignalKind::TransferJoined,
        },
        note: None,
    })
}

/// Reads a report of a recording, which comes seconds after the call; none while there is none to
/// listen to. Its address is not used: it is made from its name, so that nobody can name another host.
pub fn recording_callback(
    fields: &[(String, String)],
    received_at: Timestamp,
) -> Result<Option<Callback>, CallbackError> {
    let form = Form(fields);
    let call = form.call()?;
    let recording = form.required("RecordingSid")?;
    let status = form.required("RecordingStatus")?;
    if status != "completed" {
        return Ok(None);
    }
    let kind = SignalKind::Recorded {
        recording: recording.parse()?,
        duration: form.seconds("RecordingDuration"),
    };
    Ok(Some(Callback {
        key: format!("twilio:{recording}:{status}"),
        signal: Signal {
            sid: Some(call),
            at: received_at,
            kind,
        },
        note: None,
    }))
}

/// A form's fields. The first of a repeated key counts; an empty value is a missing one.
struct Form<'a>(&'a [(String, String)]);

impl<'a> Form<'a> {
    fn text(&self, key: &str) -> Option<&'a str> {
        let (_, value) = self.0.iter().find(|(name, _)| name == key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    fn required(&self, key: &'static str) -> Result<&'a str, CallbackError> {
        self.text(key).ok_or(CallbackError::Missing(key))
    }

    fn call(&self) -> Result<CallSid, CallbackError> {
        Ok(self.required("CallSid")?.parse()?)
    }

    fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.text(key)?.trim().parse().ok()
    }

    fn seconds(&self, key: &str) -> Option<Duration> {
        self.number(key).map(Duration::from_secs)
    }

    fn rfc2822(&self, key: &str) -> Option<Timestamp> {
        parse_rfc2822(self.text(key)?)
    }

    fn iso8601(&self, key: &str) -> Option<Timestamp> {
        let at: Timestamp = self.text(key)?.parse().ok()?;
        Timestamp::from_millisecond(at.as_millisecond()).ok()
    }
}

/// Reads Twilio's usual way of writing a time: `Tue, 06 Oct 2026 10:00:02 +0000`.
pub(super) fn parse_rfc2822(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::signal::CallEnd;

    const RECEIVED: &str = "2026-02-12T11:48:30.123Z";
    const CALL: &str = "CA00000000000000000000000000000001";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn status(body: &str) -> Result<Callback, CallbackError> {
        status_callback(&parse_form(body.as_bytes()), at(RECEIVED))
    }

    #[test]
    fn a_captured_initiated_post_is_read() {
        let body = "Called=%2B15005550010&ToState=&CallerCountry=US&Direction=outbound-api\
            &Timestamp=Thu%2C+12+Feb+2026+11%3A48%3A25+%2B0000&CallbackSource=call-progress-events\
            &CallerState=&ToZip=&SequenceNumber=0&CallSid=CA00000000000000000000000000000001\
            &To=%2B15005550010&CallStatus=initiated&From=%2B15005550006&SomethingNew=1";
        let callback = status(body).unwrap();
        assert_eq!(callback.key, format!("twilio:{CALL}:0:initiated"));
        assert_eq!(
            callback.signal,
            Signal {
                sid: Some(CALL.parse().unwrap()),
                at: at("2026-02-12T11:48:25Z"),
                kind: SignalKind::Placed,
            }
        );
    }

    // proves F-28
    #[test]
    fn what_is_told_within_its_second_has_just_happened() {
        let second = at("2026-02-12T11:48:25Z");
        let told = |received| within(second, at(received));
        assert_eq!(told("2026-02-12T11:48:25.7Z"), at("2026-02-12T11:48:25.7Z"));
        assert_eq!(told("2026-02-12T11:48:26.1Z"), second);
        assert_eq!(told("2026-02-12T11:48:24.9Z"), second);
    }

    // proves F-28
    #[test]
    fn billed_minutes_are_not_taken_for_seconds() {
        let body = format!(
            "CallSid={CALL}&CallStatus=completed&Duration=1&CallDuration=49&SipResponseCode=200\
             &SequenceNumber=3&AnsweredBy=&Timestamp="
        );
        let callback = status(&body).unwrap();
        assert_eq!(
            callback.signal.kind,
            SignalKind::Over {
                end: CallEnd::Completed,
                duration: Some(Duration::from_secs(49)),
                network_code: Some(200),
            }
        );
        assert_eq!(callback.signal.at, at(RECEIVED));
    }

    #[test]
    fn minutes_alone_give_no_duration() {
        let body = format!("CallSid={CALL}&CallStatus=completed&Duration=1");
        let callback = status(&body).unwrap();
        assert_eq!(callback.key, format!("twilio:{CALL}:-:completed"));
        assert_eq!(
            callback.signal.kind,
            SignalKind::Over {
                end: CallEnd::Completed,
                duration: None,
                network_code: None,
            }
        );
    }

    #[test]
    fn what_a_signal_cannot_do_without_is_named() {
        assert_eq!(
            status("CallStatus=ringing"),
            Err(CallbackError::Missing("CallSid"))
        );
        assert_eq!(
            status(&format!("CallSid={CALL}&CallStatus=")),
            Err(CallbackError::Missing("CallStatus"))
        );
        assert_eq!(
            status(&format!("CallSid={CALL}&CallStatus=warped")),
            Err(CallbackError::Status(UnknownStatus("warped".to_owned())))
        );
        assert!(matches!(
            status("CallSid=no+id&CallStatus=ringing"),
            Err(CallbackError::Id(_))
        ));
    }

    #[test]
    fn the_request_for_instructions_means_answered() {
        let body = format!("CallSid={CALL}&CallStatus=in-progress&Direction=outbound-api");
        let callback = voice_request(&parse_form(body.as_bytes()), at(RECEIVED)).unwrap();
        assert_eq!(callback.key, format!("twilio:{CALL}:voice"));
        assert_eq!(callback.signal.kind, SignalKind::Answered);
        assert_eq!(callback.signal.at, at(RECEIVED));
    }

    // proves F-26
    #[test]
    fn a_verdict_is_read_with_the_request_and_by_itself() {
        for (text, expected) in [
            ("human", AnsweredBy::Human),
            ("machine_start", AnsweredBy::Machine),
            ("machine_end_beep", AnsweredBy::MachineReady),
            ("machine_end_silence", AnsweredBy::MachineReady),
            ("machine_end_other", AnsweredBy::MachineReady),
            ("fax", AnsweredBy::Fax),
            ("unknown", AnsweredBy::Unknown),
        ] {
            let fields = parse_form(format!("CallSid={CALL}&AnsweredBy={text}").as_bytes());
            let told = verdict_callback(&fields, at(RECEIVED)).unwrap();
            assert_eq!(told.key, format!("twilio:{CALL}:amd"));
            let (by, is_asking) = (expected, false);
            assert_eq!(told.signal.kind, SignalKind::Detected { by, is_asking });
            let (awaited, asked) = awaited_verdict(&fields, at(RECEIVED)).unwrap().unwrap();
            let is_asking = true;
            assert_eq!(awaited, expected);
            assert_eq!(asked.signal.kind, SignalKind::Detected { by, is_asking });
        }
        let fields = parse_form(format!("CallSid={CALL}&AnsweredBy=robot").as_bytes());
        let refused = CallbackError::AnsweredBy("robot".to_owned());
        assert_eq!(verdict_callback(&fields, at(RECEIVED)), Err(refused));
        let (awaited, _) = awaited_verdict(&fields, at(RECEIVED)).unwrap().unwrap();
        assert_eq!(awaited, AnsweredBy::Unknown);
        let fields = parse_form(format!("CallSid={CALL}&AnsweredBy=").as_bytes());
        assert_eq!(awaited_verdict(&fields, at(RECEIVED)), Ok(None));
    }

    #[test]
    fn what_became_of_a_transfer_is_read_with_its_length_where_people_talked() {
        for (status, expected) in [
            ("completed", TransferResult::Answered),
            ("answered", TransferResult::Answered),
            ("busy", TransferResult::Busy),
            ("no-answer", TransferResult::NoAnswer),
            ("failed", TransferResult::Failed),
            ("canceled", TransferResult::Canceled),
        ] {
            let body = format!(
                "CallSid={CALL}&DialCallStatus={status}&DialCallSid=CA2&DialCallDuration=42"
            );
            let fields = parse_form(body.as_bytes());
            let (result, callback) = transfer_callback(&fields, at(RECEIVED)).unwrap();
            assert_eq!(result, expected);
            assert_eq!(callback.key, format!("twilio:{CALL}:transfer:CA2:{status}"));
            let was_answered = expected == TransferResult::Answered;
            let talked = was_answered.then_some(Duration::from_secs(42));
            let end = TransferEnd { result, talked };
            assert_eq!(callback.signal.kind, SignalKind::TransferEnded(end));
        }
        let unknown = parse_form(format!("CallSid={CALL}&DialCallStatus=asleep").as_bytes());
        let refused = CallbackError::DialStatus("asleep".to_owned());
        assert_eq!(transfer_callback(&unknown, at(RECEIVED)), Err(refused));
    }

    #[test]
    fn a_person_who_is_to_be_joined_is_not_taken_for_the_callee() {
        let body = format!("CallSid=CA2&ParentCallSid={CALL}&CallStatus=in-progress");
        let callback = whisper_request(&parse_form(body.as_bytes()), at(RECEIVED)).unwrap();
        assert_eq!(callback.key, "twilio:CA2:whisper");
        assert_eq!(callback.signal.sid, Some(CALL.parse().unwrap()));
        let alone = parse_form(b"CallSid=CA2");
        let callback = whisper_request(&alone, at(RECEIVED)).unwrap();
        assert_eq!(callback.signal.sid, None, "it may be anybody's");
    }

    #[test]
    fn a_stream_report_has_nanoseconds_that_are_cut() {
        let body = format!(
            "CallSid={CALL}&StreamSid=MZ1&StreamName=MZ1&StreamEvent=stream-started\
             &Timestamp=2024-11-29T00:09:39.602648368Z"
        );
        let callback = stream_callback(&parse_form(body.as_bytes()), at(RECEIVED)).unwrap();
        assert_eq!(callback.key, "twilio:MZ1:stream-started");
        assert_eq!(callback.signal.at, at("2024-11-29T00:09:39.602Z"));
        assert_eq!(
            callback.signal.kind,
            SignalKind::MediaStarted {
                stream: "MZ1".parse().unwrap(),
                node: None,
            }
        );
    }

    #[test]
    fn a_stream_error_ends_the_media_and_keeps_its_text() {
        let body = format!(
            "CallSid={CALL}&StreamSid=MZ1&StreamEvent=stream-error&StreamError=31920+Handshake"
        );
        let callback = stream_callback(&parse_form(body.as_bytes()), at(RECEIVED)).unwrap();
        assert_eq!(callback.signal.kind, SignalKind::MediaEnded { by: None });
        assert_eq!(callback.note.as_deref(), Some("31920 Handshake"));
    }

    #[test]
    fn a_recording_is_told_once_it_is_complete() {
        let read = |rest: &str| {
            let body = format!("CallSid={CALL}&{rest}");
            recording_callback(&parse_form(body.as_bytes()), at(RECEIVED))
        };
        let complete = read("RecordingSid=RE1&RecordingStatus=completed&RecordingDuration=42");
        let told = complete.unwrap().unwrap();
        assert_eq!(told.key, "twilio:RE1:completed");
        let recorded = SignalKind::Recorded {
            recording: "RE1".parse().unwrap(),
            duration: Some(Duration::from_secs(42)),
        };
        assert_eq!(told.signal.kind, recorded);
        assert_eq!(read("RecordingSid=RE1&RecordingStatus=absent"), Ok(None));
        assert!(read("RecordingSid=..%2FRE1&RecordingStatus=completed").is_err());
    }

    proptest! {
        #[test]
        fn a_form_keeps_blanks_order_and_every_character(
            pairs in proptest::collection::vec((".{0,8}", ".{0,16}"), 0..8)
        ) {
            let body = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&pairs)
                .finish();
            prop_assert_eq!(parse_form(body.as_bytes()), pairs);
        }
    }
}
