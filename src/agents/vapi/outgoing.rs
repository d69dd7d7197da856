//! What we say to Vapi: the request for a call, and the messages on its socket.
//!
//! Pure: values out.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{
    agents::{AgentError, Brief, ToolAnswer},
    audio::Format,
};

use super::wire::WANTED;

/// The shortest and the longest call that the vendor takes, in seconds.
const LENGTH: (u64, u64) = (10, 43_200);

/// The variables that say whose call it is; they go along as metadata too, which comes back in reports.
const IDS: [&str; 4] = ["campaign_id", "contact_id", "attempt_id", "call_sid"];

/// What the campaign changes of an assistant can only be changed within these parts of it, and a part is
/// replaced as a whole.
pub(super) fn needs_assistant(brief: &Brief) -> bool {
    brief.prompt.is_some() || brief.language.is_some() || brief.voice_id.is_some()
}

/// The request for a call over a WebSocket. `assistant` is as its owner set it up; it is needed where
/// [`needs_assistant`] says so.
pub(super) fn new_call(
    brief: &Brief,
    assistant_id: &str,
    assistant: &Value,
    format: Format,
) -> Result<Value, AgentError> {
    let (name, hertz) = match format {
        Format::Telephone => ("mulaw", 8_000),
        Format::Linear(_) => ("pcm_s16le", super::LINEAR_HERTZ),
    };
    Ok(json!({
        "assistantId": assistant_id,
        "transport": {
            "provider": "vapi.websocket",
            "audioFormat": {"format": name, "container": "raw", "sampleRate": hertz},
        },
        "assistantOverrides": overrides(brief, assistant)?,
    }))
}

fn overrides(brief: &Brief, assistant: &Value) -> Result<Map<String, Value>, AgentError> {
    let ids: Map<String, Value> = IDS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), json!(brief.variables.get(*name)?))))
        .collect();
    let mut overrides = Map::new();
    let mut set = |name: &str, value: Value| overrides.insert(name.to_owned(), value);
    set("variableValues", json!(brief.variables));
    set("metadata", Value::Object(ids));
    set("clientMessages", json!(WANTED));
    // A noise that never ends could not be told from speech.
    set("backgroundSound", json!("off"));
    if let Some(text) = &brief.first_message {
        set("firstMessage", json!(literal(text)));
    }
    if let Some(length) = brief.max_duration {
        let seconds = length.as_secs().clamp(LENGTH.0, LENGTH.1);
        set("maxDurationSeconds", json!(seconds));
    }
    if let Some(prompt) = &brief.prompt {
        set("model", with_prompt(part(assistant, "model")?, prompt));
    }
    if let Some(voice_id) = &brief.voice_id {
        let mut voice = part(assistant, "voice")?;
        voice.insert("voiceId".to_owned(), json!(voice_id));
        set("voice", Value::Object(voice));
    }
    if let Some(language) = &brief.language {
        let mut transcriber = part(assistant, "transcriber")?;
        transcriber.insert("language".to_owned(), json!(language));
        set("transcriber", Value::Object(transcriber));
    }
    Ok(overrides)
}

fn part(assistant: &Value, name: &str) -> Result<Map<String, Value>, AgentError> {
    assistant[name].as_object().cloned().ok_or_else(|| {
        AgentError::Refused(format!(
            "the assistant has no {name} of its own to change; set one up in the Vapi dashboard"
        ))
    })
}

/// The assistant's model with another system message; tools and whatever else stay.
fn with_prompt(mut model: Map<String, Value>, prompt: &str) -> Value {
    let others = model.get("messages").and_then(Value::as_array);
    let others = others.into_iter().flatten();
    let prompt = json!({"role": "system", "content": literal(prompt)});
    let messages: Vec<Value> = std::iter::once(prompt)
        .chain(others.filter(|it| it["role"] != "system").cloned())
        .collect();
    model.insert("messages".to_owned(), Value::Array(messages));
    Value::Object(model)
}

/// A text that the vendor takes as it stands. It reads texts as templates (Liquid), and what came from a
/// list must neither be one nor break one.
fn literal(text: &str) -> Cow<'_, str> {
    if !text.contains("{{") && !text.contains("{%") {
        return Cow::Borrowed(text);
    }
    let inner = text.replace("endraw", "end raw");
    Cow::Owned(format!("{{% raw %}}{inner}{{% endraw %}}"))
}

/// Tells that the callee pressed a key. The transport has no message for it, so it is told in words, and
/// the assistant is to answer: somebody who presses a key expects something to happen.
pub(super) fn key_pressed(key: char) -> String {
    json!({
        "type": "add-message",
        "message": {
            "role": "system",
            "content": format!("The caller pressed the key {key} on the phone."),
        },
        "triggerResponseEnabled": true,
    })
    .to_string()
}

/// Tells the assistant something for what it says next, without having it speak.
pub(super) fn hint(text: &str) -> String {
    json!({
        "type": "add-message",
        "message": {"role": "system", "content": text},
        "triggerResponseEnabled": false,
    })
    .to_string()
}

/// Tells what became of a tool. The transport has no message for it either, because a tool is answered
/// by its own server; ours have none, so the assistant goes on by what it is told here.
pub(super) fn tool_result(answer: &ToolAnswer) -> String {
    let outcome = if answer.is_error {
        "was refused"
    } else {
        "was carried out"
    };
    json!({
        "type": "add-message",
        "message": {
            "role": "system",
            "content": format!("The tool {} {outcome}: {}", answer.tool, answer.text),
        },
        "triggerResponseEnabled": true,
    })
    .to_string()
}

/// Ends the call: a socket that is only closed leaves the assistant talking to nobody.
pub(super) const END_CALL: &str = r#"{"type":"end-call"}"#;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::audio::Rate;

    fn brief() -> Brief {
        Brief {
            variables: BTreeMap::from([
                ("contact_id".to_owned(), "con_1".to_owned()),
                ("city".to_owned(), "Cologne".to_owned()),
            ]),
            ..Brief::default()
        }
    }

    // proves F-43
    #[test]
    fn only_what_is_set_is_overridden_and_ids_go_along() {
        let call = new_call(&brief(), "asst", &Value::Null, Format::Telephone).unwrap();
        assert_eq!(
            call,
            json!({
                "assistantId": "asst",
                "transport": {
                    "provider": "vapi.websocket",
                    "audioFormat": {"format": "mulaw", "container": "raw", "sampleRate": 8000},
                },
                "assistantOverrides": {
                    "variableValues": {"contact_id": "con_1", "city": "Cologne"},
                    "metadata": {"contact_id": "con_1"},
                    "clientMessages": WANTED,
                    "backgroundSound": "off",
                },
            })
        );
        let linear = Format::Linear(Rate::of_hertz(16_000).unwrap());
        let call = new_call(&brief(), "asst", &Value::Null, linear).unwrap();
        assert_eq!(
            call["transport"]["audioFormat"],
            json!({"format": "pcm_s16le", "container": "raw", "sampleRate": 16000})
        );
    }

    // proves F-43
    #[test]
    fn what_is_changed_keeps_the_rest_of_the_assistant() {
        let brief = Brief {
            prompt: Some("Be \"kind\".".to_owned()),
            first_message: Some("Hi Ann".to_owned()),
            language: Some("de".to_owned()),
            voice_id: Some("v2".to_owned()),
            max_duration: Some(Duration::from_secs(900)),
            ..brief()
        };
        assert!(needs_assistant(&brief));
        let assistant = json!({
            "model": {"provider": "openai", "model": "m", "toolIds": ["t"], "messages": [
                {"role": "system", "content": "old"}, {"role": "user", "content": "kept"},
            ]},
            "voice": {"provider": "vapi", "voiceId": "v1"},
            "transcriber": {"provider": "deepgram", "language": "en"},
        });
        let call = new_call(&brief, "asst", &assistant, Format::Telephone).unwrap();
        let overrides = &call["assistantOverrides"];
        assert_eq!(
            overrides["model"],
            json!({"provider": "openai", "model": "m", "toolIds": ["t"], "messages": [
                {"role": "system", "content": "Be \"kind\"."}, {"role": "user", "content": "kept"},
            ]})
        );
        assert_eq!(
            overrides["voice"],
            json!({"provider": "vapi", "voiceId": "v2"})
        );
        assert_eq!(overrides["transcriber"]["language"], "de");
        assert_eq!(overrides["firstMessage"], "Hi Ann");
        assert_eq!(overrides["maxDurationSeconds"], 900);
        let refused = new_call(&brief, "asst", &json!({}), Format::Telephone);
        assert!(matches!(refused, Err(AgentError::Refused(text)) if text.contains("model")));
    }

    #[test]
    fn texts_from_a_list_are_no_templates() {
        assert_eq!(literal("Hi {Ann} 50 %"), "Hi {Ann} 50 %");
        assert_eq!(
            literal("{{call.id}} {% endraw %}"),
            "{% raw %}{{call.id}} {% end raw %}{% endraw %}"
        );
    }

    #[test]
    fn messages_are_what_the_vendor_reads() {
        let key: Value = serde_json::from_str(&key_pressed('5')).unwrap();
        assert_eq!(key["type"], "add-message");
        assert_eq!(key["triggerResponseEnabled"], true);
        let hint: Value = serde_json::from_str(&hint("She is Ann.")).unwrap();
        assert_eq!(
            hint,
            json!({
                "type": "add-message",
                "message": {"role": "system", "content": "She is Ann."},
                "triggerResponseEnabled": false,
            })
        );
        let answer = ToolAnswer {
            call: "tc".to_owned(),
            tool: "schedule_callback".to_owned(),
            text: "that time has passed".to_owned(),
            is_error: true,
        };
        let result: Value = serde_json::from_str(&tool_result(&answer)).unwrap();
        assert_eq!(
            result["message"]["content"],
            "The tool schedule_callback was refused: that time has passed"
        );
        let end: Value = serde_json::from_str(END_CALL).unwrap();
        assert_eq!(end, json!({"type": "end-call"}));
    }
}
