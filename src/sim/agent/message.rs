//! The messages of the conversation socket: building the agent's, reading the client's. Pure.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sim::config::AgentSettings;

/// A client's message, as far as the agent cares.
#[derive(Debug, PartialEq)]
pub enum ClientMessage<'a> {
    /// Base64 of raw audio in the agent's input format.
    Audio(Cow<'a, str>),
    Pong {
        event_id: i64,
    },
    /// Typed text; counts as a turn of the caller.
    UserMessage(String),
    /// Something to know that is no turn of anybody's.
    ContextualUpdate(String),
    /// What the client's tool says.
    ToolResult {
        tool_call_id: String,
        result: String,
        is_error: bool,
    },
    /// Heard and ignored.
    Other,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    user_audio_chunk: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    event_id: Option<i64>,
    text: Option<Value>,
    tool_call_id: Option<String>,
    result: Option<Value>,
    #[serde(default)]
    is_error: bool,
}

impl<'a> ClientMessage<'a> {
    /// Fails with a sentence when the frame is not a message at all.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let frame: Frame<'a> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if let Some(audio) = frame.user_audio_chunk {
            return Ok(ClientMessage::Audio(audio));
        }
        if frame.kind.as_deref() == Some("client_tool_result") {
            return frame.tool_result();
        }
        match (frame.kind.as_deref(), frame.event_id, frame.text) {
            (Some("pong"), Some(event_id), _) => Ok(ClientMessage::Pong { event_id }),
            (Some("pong"), None, _) => Err("pong without event_id".to_owned()),
            (Some("user_message"), _, Some(Value::String(text))) => {
                Ok(ClientMessage::UserMessage(text))
            }
            (Some("contextual_update"), _, Some(Value::String(text))) => {
                Ok(ClientMessage::ContextualUpdate(text))
            }
            (Some("contextual_update"), ..) => Err("a contextual update without a text".to_owned()),
            (Some(_), ..) => Ok(ClientMessage::Other),
            (None, ..) => Err("a message without type".to_owned()),
        }
    }
}

impl<'a> Frame<'a> {
    /// The service takes texts only: objects have to be written as one.
    fn tool_result(self) -> Result<ClientMessage<'a>, String> {
        match (self.tool_call_id, self.result) {
            (Some(tool_call_id), Some(Value::String(result))) => Ok(ClientMessage::ToolResult {
                tool_call_id,
                result,
                is_error: self.is_error,
            }),
            _ => Err("a tool result without tool_call_id or without a text".to_owned()),
        }
    }
}

pub fn metadata(conversation_id: &str, agent: &AgentSettings) -> Value {
    json!({
        "type": "conversation_initiation_metadata",
        "conversation_initiation_metadata_event": {
            "conversation_id": conversation_id,
            "agent_output_audio_format": agent.output_format.name(),
            "user_input_audio_format": agent.input_format.name(),
        },
    })
}

pub fn audio(base64: &str, event_id: u64) -> Value {
    json!({
        "type": "audio",
        "audio_event": {"audio_base_64": base64, "event_id": event_id},
    })
}

pub fn agent_response(text: &str, event_id: u64) -> Value {
    json!({
        "type": "agent_response",
        "agent_response_event": {"agent_response": text, "event_id": event_id},
    })
}

pub fn agent_response_correction(original: &str, corrected: &str, event_id: u64) -> Value {
    json!({
        "type": "agent_response_correction",
        "agent_response_correction_event": {
            "original_agent_response": original,
            "corrected_agent_response": corrected,
            "event_id": event_id,
        },
    })
}

pub fn user_transcript(text: &str, event_id: u64) -> Value {
    json!({
        "type": "user_transcript",
        "user_transcription_event": {"user_transcript": text, "event_id": event_id},
    })
}

pub fn tentative_user_transcript(text: &str, event_id: u64) -> Value {
    json!({
        "type": "tentative_user_transcript",
        "tentative_user_transcription_event": {"user_transcript": text, "event_id": event_id},
    })
}

pub fn interruption(event_id: u64) -> Value {
    json!({"type": "interruption", "interruption_event": {"event_id": event_id}})
}

pub fn ping(event_id: i64, ping_ms: Option<u64>) -> Value {
    json!({"type": "ping", "ping_event": {"event_id": event_id, "ping_ms": ping_ms}})
}

pub fn client_tool_call(
    tool_name: &str,
    tool_call_id: &str,
    parameters: &Value,
    event_id: u64,
) -> Value {
    json!({
        "type": "client_tool_call",
        "client_tool_call": {
            "tool_name": tool_name,
            "tool_call_id": tool_call_id,
            "parameters": parameters,
            "event_id": event_id,
        },
    })
}

pub fn end_call(tool_call_id: &str, event_id: u64) -> Value {
    json!({
        "type": "agent_tool_response",
        "agent_tool_response": {
            "tool_name": "end_call",
            "tool_call_id": tool_call_id,
            "tool_type": "system",
            "is_error": false,
            "is_called": true,
            "event_id": event_id,
        },
    })
}

pub fn error(code: u16, error_type: &str, reason: &str) -> Value {
    json!({
        "type": "error",
        "error_event": {
            "code": code,
            "error_type": error_type,
            "message": reason,
            "reason": reason,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_messages_are_told_apart() {
        let audio = ClientMessage::read(r#"{"user_audio_chunk":"//8="}"#);
        assert_eq!(audio, Ok(ClientMessage::Audio("//8=".into())));
        let pong = ClientMessage::read(r#"{"type":"pong","event_id":0}"#);
        assert_eq!(pong, Ok(ClientMessage::Pong { event_id: 0 }));
        let typed = ClientMessage::read(r#"{"type":"user_message","text":"hi"}"#);
        assert_eq!(typed, Ok(ClientMessage::UserMessage("hi".to_owned())));
        let update = ClientMessage::read(r#"{"type":"contextual_update","text":"page"}"#);
        assert_eq!(
            update,
            Ok(ClientMessage::ContextualUpdate("page".to_owned()))
        );
        assert!(ClientMessage::read(r#"{"type":"contextual_update"}"#).is_err());
        let activity = ClientMessage::read(r#"{"type":"user_activity"}"#);
        assert_eq!(activity, Ok(ClientMessage::Other));
        let result = r#"{"type":"client_tool_result","tool_call_id":"tc_1","result":"noted"}"#;
        assert_eq!(
            ClientMessage::read(result),
            Ok(ClientMessage::ToolResult {
                tool_call_id: "tc_1".to_owned(),
                result: "noted".to_owned(),
                is_error: false,
            })
        );
        assert!(ClientMessage::read(&result.replace("\"noted\"", "{}")).is_err());
        assert!(ClientMessage::read("{}").is_err());
        assert!(ClientMessage::read("hello").is_err());
    }
}
