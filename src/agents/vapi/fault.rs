//! What Vapi's errors and reasons mean, and what an operator can do about them.
//!
//! Pure tables over HTTP statuses, error bodies and ended reasons. There are some six hundred reasons and
//! more to come, so they are matched by how they begin.

use serde_json::Value;

use crate::agents::{AgentEnd, AgentError, shorten};

/// What an HTTP answer other than success means.
pub(super) fn http_error(status: u16, body: &[u8]) -> AgentError {
    let detail = detail_of(body).unwrap_or_else(|| format!("HTTP {status}"));
    let shown = shorten(&detail);
    match status {
        402 | 429 => AgentError::Busy(shown),
        400 | 403 if is_about_room(&detail) => AgentError::Busy(shown),
        401 => AgentError::Refused(format!(
            "{shown}; check that VAPI_API_KEY is the private key"
        )),
        403 if String::from_utf8_lossy(body).contains("1010") => AgentError::Refused(
            "the vendor's network turned the request away (error 1010)".to_owned(),
        ),
        404 => AgentError::Refused(format!("{shown}; check the assistant's id")),
        408 | 500.. => AgentError::Unavailable(format!("HTTP {status}: {shown}").into()),
        _ => AgentError::Refused(shown),
    }
}

/// The vendor's words in an error body: `message` is a text or, after a validation, a list of them.
fn detail_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.get("message")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(texts) => {
            let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

fn is_about_room(words: &str) -> bool {
    let lower = words.to_lowercase();
    ["concurren", "credit", "wallet", "daily limit"]
        .iter()
        .any(|word| lower.contains(word))
}

/// How a call ended that we did not end, by its reason.
pub(super) fn end_of(reason: &str) -> AgentEnd {
    const ORDERLY: [&str; 7] = [
        "assistant-ended-call",
        "assistant-said-end-call-phrase",
        "assistant-forwarded-call",
        "customer-ended-call",
        "silence-timed-out",
        "exceeded-max-duration",
        "manually-canceled",
    ];
    if reason == "voicemail" || ORDERLY.iter().any(|orderly| reason.starts_with(orderly)) {
        return AgentEnd::Finished;
    }
    let shown = match reason {
        "" => "the call ended without a reason".to_owned(),
        reason => format!("the call ended: {}", shorten(reason)),
    };
    AgentEnd::Failed {
        detail: match remedy(reason) {
            Some(remedy) => format!("{shown}; {remedy}"),
            None => shown,
        },
    }
}

/// What an operator can do about it.
fn remedy(reason: &str) -> Option<&'static str> {
    let remedy = if reason.contains("concurrency-limit") {
        "the account's number of calls at a time is reached: lower the campaign's limit"
    } else if reason.contains("insufficient-credits") || reason.contains("subscription") {
        "look at the account's credits and plan"
    } else if reason.starts_with("call.start.error-get-")
        || reason.starts_with("assistant-not-")
        || reason.contains("assistant-request")
    {
        "check the assistant's id and settings"
    } else if reason.contains("did-not-receive-customer-audio") {
        "no audio of the callee reached the assistant"
    } else if reason.contains("vapifault") || reason == "worker-shutdown" {
        "the fault is at the vendor's"
    } else if reason.contains("providerfault") || reason.starts_with("pipeline-error") {
        "the fault is at one of the assistant's providers: test it in the Vapi dashboard"
    } else {
        return None;
    };
    Some(remedy)
}

/// How a call ended whose socket was closed before a reason came.
pub(super) fn closed(was_ready: bool, frame: Option<(u16, &str)>) -> AgentEnd {
    if was_ready && matches!(frame, Some((1000, _))) {
        return AgentEnd::Finished;
    }
    let place = match frame {
        Some((code, "")) => format!("close code {code}"),
        Some((code, reason)) => format!("close code {code}: {}", shorten(reason)),
        None => "connection lost".to_owned(),
    };
    AgentEnd::Failed {
        detail: format!("no reason was given ({place})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted_by_what_to_do() {
        let refused = |status, body: &str| match http_error(status, body.as_bytes()) {
            AgentError::Refused(text) => text,
            other => panic!("{status}: {other}"),
        };
        let texts = r#"{"message":["assistantId must be a UUID","x"],"error":"Bad Request","statusCode":400}"#;
        assert_eq!(refused(400, texts), "assistantId must be a UUID; x");
        assert!(refused(401, r#"{"message":"Invalid Key."}"#).contains("VAPI_API_KEY"));
        assert!(refused(403, "error code: 1010").contains("1010"));
        assert!(refused(404, "").contains("assistant's id"));
        assert_eq!(refused(422, "<html>"), "HTTP 422");
        for (status, body) in [
            (429, ""),
            (402, ""),
            (400, r#"{"message":"Over Concurrency Limit."}"#),
            (
                400,
                r#"{"message":"Wallet balance is 0. Purchase more credits."}"#,
            ),
        ] {
            let error = http_error(status, body.as_bytes());
            assert!(matches!(error, AgentError::Busy(_)), "{error}");
        }
        for status in [408, 500, 502, 503] {
            let error = http_error(status, b"");
            assert!(matches!(error, AgentError::Unavailable(_)), "{error}");
        }
    }

    #[test]
    fn reasons_are_an_orderly_end_or_come_with_a_remedy() {
        for reason in [
            "assistant-ended-call",
            "assistant-ended-call-after-message-spoken",
            "customer-ended-call",
            "exceeded-max-duration",
            "silence-timed-out",
            "voicemail",
        ] {
            assert_eq!(end_of(reason), AgentEnd::Finished, "{reason}");
        }
        for (reason, remedy) in [
            (
                "call.start.error-subscription-concurrency-limit-reached",
                "lower",
            ),
            (
                "call.start.error-subscription-insufficient-credits",
                "credits",
            ),
            ("call.start.error-get-assistant", "id"),
            (
                "call.in-progress.error-vapifault-transport-never-connected",
                "vendor",
            ),
            ("call.in-progress.error-providerfault-openai", "dashboard"),
            (
                "call.in-progress.error-assistant-did-not-receive-customer-audio",
                "callee",
            ),
            ("something-new", "something-new"),
            ("", "without a reason"),
        ] {
            let AgentEnd::Failed { detail } = end_of(reason) else {
                panic!("{reason} is no failure");
            };
            assert!(detail.contains(remedy), "{detail}");
        }
    }

    #[test]
    fn a_normal_close_is_the_end_only_of_what_had_begun() {
        assert_eq!(closed(true, Some((1000, ""))), AgentEnd::Finished);
        for (was_ready, frame) in [
            (false, Some((1000, ""))),
            (true, Some((1011, "oops"))),
            (true, None),
        ] {
            let end = closed(was_ready, frame);
            assert!(matches!(end, AgentEnd::Failed { .. }), "{end:?}");
        }
    }
}
