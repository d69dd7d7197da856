//! What ElevenLabs' errors mean, and what an operator can do about them.
//!
//! Pure tables over HTTP statuses, error bodies, close codes and the words that come with them. The
//! words may change, so they are matched loosely and shown as they came.

use serde_json::Value;

use crate::{
    agents::{AgentEnd, AgentError, shorten},
    audio::{Format, Rate},
};

use super::wire::{ErrorEvent, Metadata};

/// What an HTTP answer other than success means.
pub(super) fn http_error(status: u16, body: &[u8]) -> AgentError {
    let detail = detail_of(body).unwrap_or_else(|| format!("HTTP {status}"));
    let shown = shorten(&detail);
    match status {
        429 => AgentError::Busy(shown),
        401 if is_about_quota(&detail) => AgentError::Busy(shown),
        401 => AgentError::Refused(format!("{shown}; check ELEVENLABS_API_KEY")),
        404 => AgentError::Refused(format!(
            "{shown}; check the agent id and that ELEVENLABS_BASE_URL is the agent's region"
        )),
        408 | 500.. => AgentError::Unavailable(format!("HTTP {status}: {shown}").into()),
        _ => AgentError::Refused(shown),
    }
}

/// The vendor's words in an error body: `detail` is an object with a message, a list of findings, or
/// a text.
fn detail_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let detail = body.get("detail")?;
    let text_of = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    match detail {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) => match (
            text_of(detail, "status").or_else(|| text_of(detail, "code")),
            text_of(detail, "message"),
        ) {
            (Some(code), Some(message)) => Some(format!("{message} ({code})")),
            (code, message) => message.or(code),
        },
        Value::Array(findings) => {
            let texts: Vec<String> = findings.iter().filter_map(finding_text).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        }
        _ => None,
    }
}

/// One finding of a validation: which field, and what is wrong with it.
fn finding_text(finding: &Value) -> Option<String> {
    let message = finding.get("msg")?.as_str()?;
    let place: Vec<&str> = finding
        .get("loc")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Some(if place.is_empty() {
        message.to_owned()
    } else {
        format!("{}: {message}", place.join("."))
    })
}

/// What an agent hears and speaks in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Formats {
    pub ears: Format,
    pub mouth: Format,
}

/// The agent's formats, or why a session cannot go on with them.
pub(super) fn formats(metadata: &Metadata) -> Result<Formats, String> {
    let input = &metadata.user_input_audio_format;
    let output = &metadata.agent_output_audio_format;
    let formats = format_of(input).zip(format_of(output));
    formats
        .map(|(ears, mouth)| Formats { ears, mouth })
        .ok_or_else(|| {
            format!(
                "the agent's audio formats are {input} in and {output} out, of which one cannot be \
                 used; set both to mu-law 8000 Hz (ulaw_8000) in the agent's settings: input under \
                 Advanced, output under Voice"
            )
        })
}

fn format_of(name: &str) -> Option<Format> {
    if name == "ulaw_8000" {
        return Some(Format::Telephone);
    }
    let hertz = name.strip_prefix("pcm_")?.parse().ok()?;
    Rate::of_hertz(hertz).map(Format::Linear)
}

/// What is known when a session's socket is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Closing {
    /// The close frame's code and reason; none when the connection just broke.
    pub frame: Option<(u16, String)>,
    /// The last error that was told before.
    pub error: Option<ErrorEvent>,
    /// Whether the agent had been ready.
    pub was_ready: bool,
    /// Whether the agent said that it hangs up.
    pub end_announced: bool,
}

/// How a session ended that we did not close.
pub(super) fn end_of(closing: &Closing) -> AgentEnd {
    let is_normal = match &closing.frame {
        Some((code, _)) => *code == 1000,
        None => false,
    };
    if closing.end_announced || (is_normal && closing.was_ready) {
        return AgentEnd::Finished;
    }
    AgentEnd::Failed {
        detail: failure_text(closing),
    }
}

fn failure_text(closing: &Closing) -> String {
    let (code, reason) = match &closing.frame {
        Some((code, reason)) => (Some(*code), reason.as_str()),
        None => (None, ""),
    };
    let error = closing.error.as_ref();
    let told = error
        .and_then(|error| error.reason.as_deref().or(error.message.as_deref()))
        .unwrap_or_default();
    let words = if reason.is_empty() { told } else { reason };
    let kind = error
        .and_then(|error| error.error_type.as_deref())
        .unwrap_or_default();
    let shown = match (words.is_empty(), kind.is_empty()) {
        (false, _) => shorten(words),
        (true, false) => kind.to_owned(),
        (true, true) => "no reason was given".to_owned(),
    };
    let place = match code {
        Some(code) => format!("close code {code}"),
        None => "connection lost".to_owned(),
    };
    match remedy(code, kind, words) {
        Some(remedy) => format!("{shown} ({place}); {remedy}"),
        None => format!("{shown} ({place})"),
    }
}

/// What an operator can do about it.
fn remedy(code: Option<u16>, kind: &str, words: &str) -> Option<String> {
    let lower = words.to_lowercase();
    if kind == "override_error" || lower.contains("override for field") {
        let field = quoted(words).unwrap_or("the field");
        return Some(format!(
            "allow overriding '{field}' in the agent's security settings"
        ));
    }
    let remedy = if kind.starts_with("missing_dynamic_variable")
        || lower.contains("missing required dynamic variables")
    {
        "add the named columns to the list, or give the agent a default for them"
    } else if is_about_quota(&lower) {
        "the plan's quota is used up: add credits or raise the plan"
    } else if lower.contains("concurren") || matches!(code, Some(3008 | 4300)) {
        "the plan's number of conversations at a time is reached: lower the campaign's limit"
    } else if lower.contains("does not exist") {
        "check the agent id and that ELEVENLABS_BASE_URL is the agent's region"
    } else if lower.contains("could not authorize") {
        "check that ELEVENLABS_API_KEY belongs to the agent's workspace"
    } else if code == Some(3000) {
        "check the agent id, its region and its access settings"
    } else if lower.contains("misconfigured") {
        "test the agent in the ElevenLabs dashboard"
    } else {
        return None;
    };
    Some(remedy.to_owned())
}

fn is_about_quota(words: &str) -> bool {
    words.to_lowercase().contains("quota")
}

/// The first text in single quotes.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('\'')?;
    let (inner, _) = rest.split_once('\'')?;
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shapes_of_an_error_body_are_read() {
        for (body, words) in [
            (
                r#"{"detail":{"type":"validation_error","code":"invalid_parameters","message":"bad id","status":"invalid_parameters"}}"#,
                "bad id (invalid_parameters)",
            ),
            (
                r#"{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}"#,
                "Invalid API key (invalid_api_key)",
            ),
            (
                r#"{"detail":[{"loc":["body","to_number"],"msg":"field required","type":"x"}]}"#,
                "body.to_number: field required",
            ),
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            ("<html>", "HTTP 422"),
        ] {
            let error = http_error(422, body.as_bytes());
            assert!(
                matches!(&error, AgentError::Refused(text) if text == words),
                "{error}"
            );
        }
    }

    #[test]
    fn statuses_are_sorted_by_what_to_do() {
        for status in [400, 401, 403, 404, 422] {
            assert!(
                matches!(http_error(status, b""), AgentError::Refused(_)),
                "{status}"
            );
        }
        assert!(matches!(http_error(429, b""), AgentError::Busy(_)));
        let quota = br#"{"detail":{"status":"quota_exceeded","message":"over"}}"#;
        assert!(matches!(http_error(401, quota), AgentError::Busy(_)));
        for status in [408, 500, 502, 503] {
            assert!(
                matches!(http_error(status, b""), AgentError::Unavailable(_)),
                "{status}"
            );
        }
    }

    fn detail(code: u16, reason: &str) -> String {
        let closing = Closing {
            frame: Some((code, reason.to_owned())),
            ..Closing::default()
        };
        match end_of(&closing) {
            AgentEnd::Failed { detail } => detail,
            other => panic!("not failed: {other:?}"),
        }
    }

    // proves F-43
    #[test]
    fn a_refused_override_names_the_setting() {
        assert_eq!(
            detail(
                1008,
                "Override for field 'prompt' is not allowed by config."
            ),
            "Override for field 'prompt' is not allowed by config (close code 1008); \
             allow overriding 'prompt' in the agent's security settings"
        );
    }

    #[test]
    fn close_reasons_come_with_a_remedy() {
        for (code, reason, remedy) in [
            (
                1008,
                "Missing required dynamic variables in first message: {'name'}",
                "columns",
            ),
            (1002, "This request exceeds your quota limit.", "credits"),
            (
                1002,
                "The AI agent you are trying to reach appears to be misconfigured",
                "dashboard",
            ),
            (
                3000,
                "The AI agent you are trying to reach does not exist.",
                "region",
            ),
            (
                3000,
                "Could not authorize the conversation.",
                "ELEVENLABS_API_KEY",
            ),
            (3000, "Request error", "access settings"),
            (3008, "too many concurrent connections", "limit"),
        ] {
            let text = detail(code, reason);
            assert!(text.contains(remedy), "{text}");
        }
        assert_eq!(detail(1011, ""), "no reason was given (close code 1011)");
    }

    #[test]
    fn the_error_told_before_speaks_for_a_silent_close() {
        let closing = Closing {
            frame: Some((1002, String::new())),
            error: Some(ErrorEvent {
                error_type: Some("llm_timeout".to_owned()),
                ..ErrorEvent::default()
            }),
            was_ready: true,
            end_announced: false,
        };
        let detail = "llm_timeout (close code 1002)".to_owned();
        assert_eq!(end_of(&closing), AgentEnd::Failed { detail });
    }

    #[test]
    fn a_normal_close_is_the_end_only_of_what_had_begun() {
        let closing = |was_ready, end_announced, frame: Option<u16>| Closing {
            frame: frame.map(|code| (code, String::new())),
            error: None,
            was_ready,
            end_announced,
        };
        assert_eq!(
            end_of(&closing(true, false, Some(1000))),
            AgentEnd::Finished
        );
        assert_eq!(end_of(&closing(true, true, None)), AgentEnd::Finished);
        assert!(matches!(
            end_of(&closing(false, false, Some(1000))),
            AgentEnd::Failed { .. }
        ));
        assert!(matches!(
            end_of(&closing(true, false, None)),
            AgentEnd::Failed { .. }
        ));
    }

    // proves F-29
    #[test]
    fn formats_that_cannot_be_converted_are_named_with_the_remedy() {
        let formats = |input: &str, output: &str| {
            formats(&Metadata {
                conversation_id: "conv_1".to_owned(),
                agent_output_audio_format: output.to_owned(),
                user_input_audio_format: input.to_owned(),
            })
        };
        let linear = Format::Linear(Rate::of_hertz(16_000).unwrap());
        let mixed = Formats {
            ears: Format::Telephone,
            mouth: linear,
        };
        assert_eq!(formats("ulaw_8000", "pcm_16000"), Ok(mixed));
        for other in ["pcm_44100", "mp3_44100_128", "opus_48000_32", "pcm_", ""] {
            let fault = formats("ulaw_8000", other).unwrap_err();
            assert!(
                fault.contains(other) && fault.contains("ulaw_8000"),
                "{fault}"
            );
        }
    }
}
