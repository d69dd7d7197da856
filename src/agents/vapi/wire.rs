//! What the server of a Vapi call says on its socket, one flat JSON object each.
//!
//! Pure: text in. <https://docs.vapi.ai/calls/websocket-transport>
//!
//! | message | what becomes of it |
//! |---|---|
//! | `status-update` `in-progress` | the agent is ready |
//! | `status-update` `ended` | the call is over, by its `endedReason` |
//! | `status-update`, others | ignored: what leads to these two |
//! | `transcript` of the assistant, final | a line of the agent's turn |
//! | `transcript` of the assistant, partial | ignored: it grows with the speech, and the final one has all |
//! | `transcript` of the user, final or partial | a line of the callee's; of the partial ones one a second |
//! | `user-interrupted` | what the agent said is void |
//! | `speech-update` `started` of the assistant | what follows is another turn, and not the rest of an interrupted one |
//! | `speech-update`, others | ignored: their order says nothing, only audio proves speech |
//! | `tool-calls` with our tools | what they ask for, answered by a message of the system's |
//! | `tool-calls`, others | passed on: answered where the tenant has a tool of that name, else the tool's own server answers |
//! | `hang` | logged: the assistant is slow to answer; nobody hung up |
//! | `transfer-update` | logged: there is nobody to transfer to on this transport |
//! | `conversation-update`, `model-output`, `voice-input`, `assistant.speechStarted` | ignored: the transcript says what was really said |
//! | `tool-calls-result`, `tool.completed`, `function-call`, `assistant.started`, `workflow.node.started`, `language-changed`, `metadata` | ignored: nothing about the call's course |
//! | `end-of-call-report` | ignored: it is promised to the server's webhook alone |
//! | anything else | ignored |

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::agents::{Tool, ToolAnswer, ToolCall, ToolError};

/// What the server says, as far as it matters for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerMessage {
    InProgress,
    Ended {
        reason: String,
    },
    AssistantSaid {
        text: String,
    },
    UserSaid {
        text: String,
        is_final: bool,
    },
    UserInterrupted,
    AssistantStarted,
    /// The assistant uses tools: ours, the tenant's, or such as their own servers answer.
    ToolCalls(Vec<Result<ToolCall, ToolAnswer>>),
    /// The assistant is slow to answer.
    Slow,
    /// Somebody configured a transfer.
    Transfer,
    /// Something that does not matter for a call, or is not known here.
    Other,
}

/// The messages that are asked for; others cost both sides and say nothing here.
pub(super) const WANTED: [&str; 7] = [
    "status-update",
    "transcript",
    "speech-update",
    "user-interrupted",
    "tool-calls",
    "hang",
    "transfer-update",
];

/// More tools at once than this are none that anybody wants.
const MAX_TOOLS: usize = 16;

/// Reads a message.
pub(super) fn parse(text: &str) -> Result<ServerMessage, serde_json::Error> {
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    Ok(envelope.into_message())
}

/// All messages in one, so that one pass reads any of them. What is of another shape than it should be
/// is taken for absent.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(default, rename = "endedReason")]
    ended_reason: Option<String>,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "transcriptType")]
    transcript_type: Option<Cow<'a, str>>,
    #[serde(default)]
    transcript: Value,
    #[serde(default, rename = "toolCallList")]
    tool_calls: Value,
}

impl Envelope<'_> {
    fn into_message(self) -> ServerMessage {
        let is_of_assistant = matches!(self.role.as_deref(), Some("assistant" | "bot"));
        match (self.kind.as_ref(), self.status.as_deref()) {
            ("status-update", Some("in-progress")) => ServerMessage::InProgress,
            ("status-update", Some("ended")) => ServerMessage::Ended {
                reason: self.ended_reason.unwrap_or_default(),
            },
            ("speech-update", Some("started")) if is_of_assistant => {
                ServerMessage::AssistantStarted
            }
            ("user-interrupted", _) => ServerMessage::UserInterrupted,
            ("hang", _) => ServerMessage::Slow,
            ("transfer-update", _) => ServerMessage::Transfer,
            ("tool-calls", _) => ours(&self.tool_calls),
            // With a filter in its name where that was asked for.
            (kind, _) if kind.starts_with("transcript") => self.said(is_of_assistant),
            _ => ServerMessage::Other,
        }
    }

    fn said(self, is_of_assistant: bool) -> ServerMessage {
        let Value::String(text) = self.transcript else {
            return ServerMessage::Other;
        };
        let is_final = self.transcript_type.as_deref() != Some("partial");
        match (is_of_assistant, is_final) {
            (true, true) => ServerMessage::AssistantSaid { text },
            (true, false) => ServerMessage::Other,
            (false, _) => ServerMessage::UserSaid { text, is_final },
        }
    }
}

/// The calls of tools. One that nobody defined here may be answered by its own server.
fn ours(calls: &Value) -> ServerMessage {
    let calls = calls.as_array().into_iter().flatten();
    let ours: Vec<_> = calls.filter_map(call_of).take(MAX_TOOLS).collect();
    if ours.is_empty() {
        ServerMessage::Other
    } else {
        ServerMessage::ToolCalls(ours)
    }
}

fn call_of(call: &Value) -> Option<Result<ToolCall, ToolAnswer>> {
    let function = call.get("function")?;
    let name = function.get("name")?.as_str()?;
    let id = call.get("id").and_then(Value::as_str).unwrap_or_default();
    let parameters = function
        .get("arguments")
        .map_or(Cow::Owned(Value::Null), arguments);
    if let Err(ToolError::Unknown(_)) = Tool::read(name, &parameters) {
        return None;
    }
    let mut call = ToolCall::read(id.to_owned(), name, &parameters);
    if let Ok(ToolCall {
        tool: Tool::Custom { is_shared, .. },
        ..
    }) = &mut call
    {
        *is_shared = true;
    }
    Some(call)
}

/// A tool's arguments, which are an object or, in some versions, its text.
fn arguments(arguments: &Value) -> Cow<'_, Value> {
    match arguments {
        Value::String(text) => Cow::Owned(serde_json::from_str(text).unwrap_or_default()),
        other => Cow::Borrowed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_or_passed_over() {
        let user = |text: &str, is_final| ServerMessage::UserSaid {
            text: text.to_owned(),
            is_final,
        };
        for (text, expected) in [
            (
                r#"{"type":"status-update","status":"in-progress"}"#,
                ServerMessage::InProgress,
            ),
            (
                r#"{"type":"status-update","status":"ended","endedReason":"assistant-ended-call","call":{"id":"c"}}"#,
                ServerMessage::Ended {
                    reason: "assistant-ended-call".to_owned(),
                },
            ),
            (
                r#"{"type":"status-update","status":"ringing"}"#,
                ServerMessage::Other,
            ),
            (
                r#"{"type":"speech-update","status":"started","role":"assistant","turn":0}"#,
                ServerMessage::AssistantStarted,
            ),
            (
                r#"{"type":"speech-update","status":"started","role":"user","turn":0}"#,
                ServerMessage::Other,
            ),
            (
                r#"{"type":"transcript","role":"user","transcriptType":"partial","transcript":"Hel"}"#,
                user("Hel", false),
            ),
            (
                r#"{"type":"transcript","role":"user","transcriptType":"final","transcript":"Hello \"you\"."}"#,
                user("Hello \"you\".", true),
            ),
            (
                r#"{"type":"transcript[transcriptType=\"final\"]","role":"assistant","transcriptType":"final","transcript":"Hi."}"#,
                ServerMessage::AssistantSaid {
                    text: "Hi.".to_owned(),
                },
            ),
            (
                r#"{"type":"transcript","role":"assistant","transcriptType":"partial","transcript":"H"}"#,
                ServerMessage::Other,
            ),
            (
                r#"{"type":"user-interrupted","turnId":"t"}"#,
                ServerMessage::UserInterrupted,
            ),
            (r#"{"type":"hang"}"#, ServerMessage::Slow),
            (
                r#"{"type":"transfer-update","destination":{}}"#,
                ServerMessage::Transfer,
            ),
            (
                r#"{"type":"conversation-update","messages":[],"transcript":7}"#,
                ServerMessage::Other,
            ),
            (
                r#"{"type":"transcript","role":"user"}"#,
                ServerMessage::Other,
            ),
            (r#"{}"#, ServerMessage::Other),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert!(parse("noise").is_err() && parse("7").is_err());
    }

    // proves F-71
    #[test]
    fn tools_are_read_in_both_forms_of_arguments_and_others_may_be_somebody_elses() {
        let parsed = |calls: &[(&str, &str)]| {
            let calls: Vec<String> = calls
                .iter()
                .map(|(name, arguments)| {
                    format!(
                        r#"{{"id":"tc","type":"function",
                        "function":{{"name":"{name}","arguments":{arguments}}}}}"#
                    )
                })
                .collect();
            let calls = calls.join(",");
            parse(&format!(
                r#"{{"type":"tool-calls","toolCallList":[{calls}]}}"#
            ))
            .unwrap()
        };
        let opt_out = |reason: Option<&str>| {
            Ok(ToolCall {
                id: "tc".to_owned(),
                tool: Tool::DoNotCall {
                    reason: reason.map(str::to_owned),
                },
            })
        };
        for (arguments, reason) in [
            (r#"{"reason":" no thanks "}"#, Some("no thanks")),
            (r#""{\"reason\":\"no\"}""#, Some("no")),
            (r#""{""#, None),
            ("{}", None),
        ] {
            assert_eq!(
                parsed(&[("do_not_call", arguments)]),
                ServerMessage::ToolCalls(vec![opt_out(reason)]),
                "{arguments}"
            );
        }
        assert_eq!(parsed(&[("look up", "{}")]), ServerMessage::Other);
        let custom = ToolCall {
            id: "tc".to_owned(),
            tool: Tool::Custom {
                name: "lookup".parse().unwrap(),
                arguments: serde_json::json!({"id": 7}),
                is_shared: true,
            },
        };
        assert_eq!(
            parsed(&[("lookup", r#""{\"id\":7}""#)]),
            ServerMessage::ToolCalls(vec![Ok(custom)])
        );
        let several = parsed(&[
            ("set_disposition", "{}"),
            ("look up", "{}"),
            ("end_call", "{}"),
        ]);
        let ServerMessage::ToolCalls(several) = several else {
            panic!("{several:?}");
        };
        assert!(several[0].as_ref().is_err_and(|answer| answer.is_error));
        assert_eq!(several[1].as_ref().unwrap().tool, Tool::EndCall);
        assert_eq!(several.len(), 2);
    }
}
