//! What we say in an ElevenLabs conversation, one JSON object each.
//!
//! Pure: text out. The server ends a conversation over a message that it cannot validate.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::{
    agents::{Brief, ToolAnswer},
    json::Spliced,
};

/// Names of variables that the vendor keeps for itself.
const RESERVED_PREFIX: &str = "system__";

/// The first message to the server. Only what the brief sets is overridden: each override needs a
/// permission in the agent's settings, and one without it ends the conversation.
pub(super) fn initiation(brief: &Brief) -> String {
    let agent = AgentOverride {
        prompt: brief
            .prompt
            .as_deref()
            .map(|prompt| PromptOverride { prompt }),
        first_message: brief.first_message.as_deref(),
        language: brief.language.as_deref(),
    };
    let tts = brief
        .voice_id
        .as_deref()
        .map(|voice_id| TtsOverride { voice_id });
    let has_agent =
        agent.prompt.is_some() || agent.first_message.is_some() || agent.language.is_some();
    let overrides = Overrides {
        agent: has_agent.then_some(agent),
        tts,
    };
    let has_overrides = overrides.agent.is_some() || overrides.tts.is_some();
    to_json(&Initiation {
        kind: "conversation_initiation_client_data",
        conversation_config_override: has_overrides.then_some(overrides),
        dynamic_variables: brief
            .variables
            .iter()
            .filter(|(name, _)| !name.starts_with(RESERVED_PREFIX))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
    })
}

#[derive(Serialize)]
struct Initiation<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_config_override: Option<Overrides<'a>>,
    dynamic_variables: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Overrides<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<AgentOverride<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tts: Option<TtsOverride<'a>>,
}

#[derive(Serialize)]
struct AgentOverride<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<PromptOverride<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
}

#[derive(Serialize)]
struct PromptOverride<'a> {
    prompt: &'a str,
}

#[derive(Serialize)]
struct TtsOverride<'a> {
    voice_id: &'a str,
}

/// A piece of what the callee says.
pub(super) fn user_audio(payload: &str) -> Spliced<'_> {
    Spliced::new(r#"{"user_audio_chunk":""#, payload, r#""}"#)
}

/// The answer to a ping.
pub(super) fn pong(event_id: &Value) -> String {
    format!(r#"{{"type":"pong","event_id":{event_id}}}"#)
}

/// Tells that the callee pressed a key. The protocol has no key event, so it is told in words, as a
/// turn of the callee: somebody who presses a key expects something to happen.
pub(super) fn key_pressed(key: char) -> String {
    to_json(&serde_json::json!({
        "type": "user_message",
        "text": format!("(The caller pressed the key {key} on the phone.)"),
    }))
}

/// Tells the agent something without taking a turn. Without a `context_id`, so that a hint adds to the
/// ones before instead of replacing them.
pub(super) fn hint(text: &str) -> String {
    to_json(&serde_json::json!({"type": "contextual_update", "text": text}))
}

/// Answers the use of a tool, also of one that nobody here has. Without an answer the agent would
/// wait.
pub(super) fn tool_result(answer: &ToolAnswer) -> String {
    to_json(&serde_json::json!({
        "type": "client_tool_result",
        "tool_call_id": answer.call,
        "result": answer.text,
        "is_error": answer.is_error,
    }))
}

fn to_json(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("texts and maps by text always serialize")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    // proves F-43
    #[test]
    fn only_what_is_set_is_overridden() {
        let mut brief = Brief {
            variables: BTreeMap::from([
                ("contact_id".to_owned(), "con_1".to_owned()),
                ("system__time".to_owned(), "never".to_owned()),
            ]),
            ..Brief::default()
        };
        assert_eq!(
            value(&initiation(&brief)),
            json!({
                "type": "conversation_initiation_client_data",
                "dynamic_variables": {"contact_id": "con_1"},
            })
        );
        brief.prompt = Some("Be \"kind\".".to_owned());
        brief.first_message = Some("Hi Ann".to_owned());
        brief.language = Some("en".to_owned());
        brief.voice_id = Some("voice_1".to_owned());
        assert_eq!(
            value(&initiation(&brief)),
            json!({
                "type": "conversation_initiation_client_data",
                "conversation_config_override": {
                    "agent": {
                        "prompt": {"prompt": "Be \"kind\"."},
                        "first_message": "Hi Ann",
                        "language": "en",
                    },
                    "tts": {"voice_id": "voice_1"},
                },
                "dynamic_variables": {"contact_id": "con_1"},
            })
        );
    }

    // proves F-30
    #[test]
    fn what_goes_to_the_server_is_exact() {
        assert_eq!(
            user_audio("//8=").to_text(),
            r#"{"user_audio_chunk":"//8="}"#
        );
        assert_eq!(
            value(&user_audio("\"}").to_text()),
            json!({"user_audio_chunk": "\"}"})
        );
        for is_error in [false, true] {
            let answer = ToolAnswer {
                call: "tc_1".to_owned(),
                tool: "lookup".to_owned(),
                text: "what became of \"it\"".to_owned(),
                is_error,
            };
            assert_eq!(
                value(&tool_result(&answer)),
                json!({
                    "type": "client_tool_result",
                    "tool_call_id": "tc_1",
                    "result": "what became of \"it\"",
                    "is_error": is_error,
                })
            );
        }
        assert_eq!(value(&key_pressed('5'))["type"], "user_message");
        assert_eq!(
            value(&hint("She is \"Ann\".")),
            json!({"type": "contextual_update", "text": "She is \"Ann\"."})
        );
    }
}
