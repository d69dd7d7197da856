//! What the server of an ElevenLabs conversation says, one JSON object each.
//!
//! Pure: text in. <https://elevenlabs.io/docs/agents-platform/api-reference/agents-platform/websocket>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    agents::{ToolAnswer, ToolCall},
    json::{self, Scanner},
};

/// What the server says, as far as it matters for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerMessage {
    Metadata(Metadata),
    Audio {
        payload: String,
        event_id: u64,
    },
    Interruption {
        event_id: u64,
    },
    AgentResponse {
        text: String,
        event_id: u64,
    },
    Correction {
        text: String,
        event_id: u64,
    },
    UserTranscript {
        text: String,
        is_final: bool,
    },
    /// The id is told back as it came.
    Ping {
        event_id: Value,
    },
    /// The agent uses a tool of ours, or one that nobody here has.
    ToolCall(Result<ToolCall, ToolAnswer>),
    /// The agent hangs up; the server closes next.
    EndCall,
    Error(ErrorEvent),
    Queue {
        status: String,
    },
    /// Something that does not matter for a call, or is not known here.
    Other,
}

/// The server's first message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub conversation_id: String,
    pub agent_output_audio_format: String,
    pub user_input_audio_format: String,
}

/// An error that the server tells, usually before it closes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorEvent {
    pub error_type: Option<String>,
    pub message: Option<String>,
    pub reason: Option<String>,
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("a message cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a message of type {kind} has no content")]
    Empty { kind: String },
}

/// Reads a message.
pub(super) fn parse(text: &str) -> Result<ServerMessage, WireError> {
    let envelope: Envelope<'_> = serde_json::from_str(text)?;
    let kind = envelope.kind.clone().into_owned();
    envelope.into_message().ok_or(WireError::Empty { kind })
}

/// The payload and the number of an `audio` message, where it is as plain as they usually are: found
/// without a copy, and exactly what [`parse`] would give. All others go the long way.
pub(super) fn plain_audio(text: &str) -> Option<(&str, u64)> {
    let mut scanner = Scanner::new(text);
    let (mut is_audio, mut audio) = (false, None);
    scanner.enter()?;
    loop {
        match scanner.key()? {
            "type" if !is_audio => is_audio = scanner.is_string("audio")?,
            "audio_event" if audio.is_none() => audio = Some(audio_event(&mut scanner)?),
            _ => return None,
        }
        if !scanner.more()? {
            break;
        }
    }
    audio.filter(|_| is_audio && scanner.is_at_end())
}

fn audio_event<'t>(scanner: &mut Scanner<'t>) -> Option<(&'t str, u64)> {
    let (mut payload, mut event_id) = (None, None);
    scanner.enter()?;
    loop {
        match scanner.key()? {
            "audio_base_64" if payload.is_none() => payload = Some(scanner.string()?),
            "event_id" if event_id.is_none() => event_id = Some(scanner.number()?),
            "audio_base_64" | "event_id" => return None,
            _ => scanner.skip()?,
        }
        if !scanner.more()? {
            return payload.zip(event_id);
        }
    }
}

/// All messages in one, so that one pass reads any of them.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    conversation_initiation_metadata_event: Option<Metadata>,
    audio_event: Option<AudioEvent>,
    interruption_event: Option<EventId>,
    agent_response_event: Option<AgentResponseEvent>,
    agent_response_correction_event: Option<CorrectionEvent>,
    user_transcription_event: Option<TranscriptEvent>,
    tentative_user_transcription_event: Option<TranscriptEvent>,
    ping_event: Option<PingEvent>,
    client_tool_call: Option<ClientToolCall>,
    agent_tool_response: Option<ToolResponse>,
    error_event: Option<ErrorEvent>,
    queue_status_event: Option<QueueStatus>,
}

#[derive(Deserialize)]
struct AudioEvent {
    audio_base_64: String,
    #[serde(default)]
    event_id: Number,
}

#[derive(Deserialize)]
struct EventId {
    #[serde(default)]
    event_id: Number,
}

#[derive(Deserialize)]
struct AgentResponseEvent {
    agent_response: String,
    #[serde(default)]
    event_id: Number,
}

#[derive(Deserialize)]
struct CorrectionEvent {
    corrected_agent_response: String,
    #[serde(default)]
    event_id: Number,
}

#[derive(Deserialize)]
struct TranscriptEvent {
    user_transcript: String,
}

#[derive(Deserialize)]
struct PingEvent {
    event_id: Value,
}

#[derive(Deserialize)]
struct ClientToolCall {
    tool_call_id: String,
    #[serde(default)]
    tool_name: String,
    #[serde(default)]
    parameters: Value,
}

#[derive(Deserialize)]
struct ToolResponse {
    #[serde(default)]
    tool_name: String,
    #[serde(default)]
    is_error: bool,
}

#[derive(Deserialize)]
struct QueueStatus {
    #[serde(default)]
    status: String,
}

/// A number, also where it is written as a text or with a point.
#[derive(Default, Deserialize)]
#[serde(from = "Value")]
struct Number(u64);

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        let number = match &value {
            Value::Number(number) => number
                .as_u64()
                .or_else(|| number.as_f64().map(|number| number as u64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        Self(number.unwrap_or(0))
    }
}

impl Envelope<'_> {
    /// The message of the envelope's type; none when its content is missing.
    fn into_message(self) -> Option<ServerMessage> {
        let message = match self.kind.as_ref() {
            "conversation_initiation_metadata" => {
                ServerMessage::Metadata(self.conversation_initiation_metadata_event?)
            }
            // Passed on as it stands, anything but base64 could end its text there.
            "audio" => self
                .audio_event
                .filter(|event| json::is_plain(&event.audio_base_64))?
                .into(),
            "interruption" => ServerMessage::Interruption {
                event_id: self.interruption_event?.event_id.0,
            },
            "agent_response" => self.agent_response_event?.into(),
            "agent_response_correction" => self.agent_response_correction_event?.into(),
            "user_transcript" => ServerMessage::UserTranscript {
                text: self.user_transcription_event?.user_transcript,
                is_final: true,
            },
            "tentative_user_transcript" => ServerMessage::UserTranscript {
                text: self.tentative_user_transcription_event?.user_transcript,
                is_final: false,
            },
            "ping" => ServerMessage::Ping {
                event_id: self.ping_event?.event_id,
            },
            "client_tool_call" => self.client_tool_call?.into(),
            "agent_tool_response" => self.agent_tool_response?.into(),
            "error" => ServerMessage::Error(self.error_event?),
            "queue_status" => ServerMessage::Queue {
                status: self.queue_status_event?.status,
            },
            _ => ServerMessage::Other,
        };
        Some(message)
    }
}

impl From<AudioEvent> for ServerMessage {
    fn from(event: AudioEvent) -> Self {
        Self::Audio {
            payload: event.audio_base_64,
            event_id: event.event_id.0,
        }
    }
}

impl From<AgentResponseEvent> for ServerMessage {
    fn from(event: AgentResponseEvent) -> Self {
        Self::AgentResponse {
            text: event.agent_response,
            event_id: event.event_id.0,
        }
    }
}

impl From<CorrectionEvent> for ServerMessage {
    fn from(event: CorrectionEvent) -> Self {
        Self::Correction {
            text: event.corrected_agent_response,
            event_id: event.event_id.0,
        }
    }
}

impl From<ClientToolCall> for ServerMessage {
    fn from(call: ClientToolCall) -> Self {
        let ClientToolCall {
            tool_call_id,
            tool_name,
            parameters,
        } = call;
        Self::ToolCall(ToolCall::read(tool_call_id, &tool_name, &parameters))
    }
}

impl From<ToolResponse> for ServerMessage {
    /// Of the agent's own tools only the one that hangs up matters for a call.
    fn from(response: ToolResponse) -> Self {
        if response.tool_name == "end_call" && !response.is_error {
            Self::EndCall
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::agents::{Tool, elevenlabs::outgoing::pong};

    /// Pieces of which messages are made, fitting and not.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            r#""type":"audio""#,
            r#""type" : "audio""#,
            r#""type":"ping""#,
            r#""type":null"#,
            r#""audio_event":{"audio_base_64":"//8=","event_id":3}"#,
            r#""audio_event":{"event_id":12 ,"audio_base_64":"f39/AA=="}"#,
            r#""audio_event":{"audio_base_64":"\/\/8=","event_id":3}"#,
            r#""audio_event":{"audio_base_64":"//8=","event_id":"3"}"#,
            r#""audio_event":{"audio_base_64":"//8=","event_id":3.0}"#,
            r#""audio_event":{"audio_base_64":"//8=","event_id":07}"#,
            r#""audio_event":{"audio_base_64":"//8="}"#,
            r#""audio_event":{"audio_base_64":"","event_id":3,"event_id":4}"#,
            r#""audio_event":{"audio_base_64":"é","event_id":3,"is_final":false,
                "alignment":{"chars":["H","i"],"char_start_times_ms":[0,60.5]}}"#,
            r#""audio_event":{"audio_base_64":"//8=","event_id":3,"alignment":{"chars":["\""]}}"#,
            r#""audio_event":null"#,
            r#""ping_event":{"event_id":1}"#,
            r#""ping_event":1"#,
            r#""new":[1,{}]"#,
        ])
    }

    proptest! {
        #[test]
        fn what_is_found_without_a_copy_is_what_is_parsed(
            pieces in vec(piece(), 0..5),
            between in prop::sample::select(vec![",", " , ", "\n,\t", ""]),
            end in prop::sample::select(vec!["}", " } ", "", "}x", "}}"]),
        ) {
            let text = format!("{{{}{end}", pieces.join(between));
            if let Some((payload, event_id)) = plain_audio(&text) {
                let payload = payload.to_owned();
                prop_assert_eq!(parse(&text).unwrap(), ServerMessage::Audio { payload, event_id });
            }
        }
    }

    proptest! {
        #[test]
        fn spoiled_messages_are_read_without_a_panic_and_alike(
            at in any::<prop::sample::Index>(),
            piece in "[ -~é]{0,3}",
        ) {
            let message = r#"{"type":"audio","audio_event":{"audio_base_64":"//8=","event_id":3,
                "alignment":{"chars":["H"],"char_start_times_ms":[0]}}}"#;
            let at = at.index(message.len());
            let text = format!("{}{piece}{}", &message[..at], &message[at + 1..]);
            let parsed = parse(&text).ok();
            if let Some((payload, event_id)) = plain_audio(&text) {
                let payload = payload.to_owned();
                prop_assert_eq!(parsed, Some(ServerMessage::Audio { payload, event_id }));
            }
        }
    }

    #[test]
    fn usual_audio_takes_the_short_way() {
        for text in [
            r#"{"type":"audio","audio_event":{"audio_base_64":"//8=","event_id":3}}"#,
            r#"{"audio_event":{"event_id":3,"audio_base_64":"//8=","alignment":null},"type":"audio"}"#,
            r#" { "type" : "audio" , "audio_event" : { "audio_base_64":"//8=", "event_id":3,
                "alignment":{"chars":["H"],"char_start_times_ms":[0],"char_durations_ms":[60]}}}"#,
        ] {
            assert_eq!(plain_audio(text), Some(("//8=", 3)), "{text}");
        }
    }

    #[test]
    fn the_messages_of_a_call_are_read() {
        let metadata = r#"{"type":"conversation_initiation_metadata",
            "conversation_initiation_metadata_event":{"conversation_id":"conv_1",
            "agent_output_audio_format":"ulaw_8000","user_input_audio_format":"pcm_16000"}}"#;
        assert_eq!(
            parse(metadata).unwrap(),
            ServerMessage::Metadata(Metadata {
                conversation_id: "conv_1".to_owned(),
                agent_output_audio_format: "ulaw_8000".to_owned(),
                user_input_audio_format: "pcm_16000".to_owned(),
            })
        );
        let audio = r#"{"type":"audio","audio_event":{"audio_base_64":"\/\/8=","event_id":"3",
            "is_final":false,"alignment":{"chars":["H"],"char_start_times_ms":[0]}}}"#;
        assert_eq!(
            parse(audio).unwrap(),
            ServerMessage::Audio {
                payload: "//8=".to_owned(),
                event_id: 3
            }
        );
        let correction = r#"{"type":"agent_response_correction","agent_response_correction_event":
            {"original_agent_response":"Long text","corrected_agent_response":"Long","event_id":4}}"#;
        assert_eq!(
            parse(correction).unwrap(),
            ServerMessage::Correction {
                text: "Long".to_owned(),
                event_id: 4
            }
        );
        let tentative = r#"{"type":"tentative_user_transcript",
            "tentative_user_transcription_event":{"user_transcript":"hel","event_id":3}}"#;
        assert_eq!(
            parse(tentative).unwrap(),
            ServerMessage::UserTranscript {
                text: "hel".to_owned(),
                is_final: false
            }
        );
        let end = r#"{"type":"agent_tool_response","agent_tool_response":{"tool_name":"end_call",
            "tool_call_id":"tc_3","tool_type":"system","is_error":false,"event_id":6}}"#;
        assert_eq!(parse(end).unwrap(), ServerMessage::EndCall);
        assert_eq!(
            parse(r#"{"type":"vad_score","vad_score_event":{"vad_score":0.3}}"#).unwrap(),
            ServerMessage::Other
        );
        assert!(parse(r#"{"type":"audio"}"#).is_err());
        assert!(parse("audio").is_err());
    }

    // proves F-71
    #[test]
    fn the_tools_of_a_call_are_told_from_others() {
        let parsed = |name: &str| {
            let text = format!(
                r#"{{"type":"client_tool_call","client_tool_call":{{"tool_name":"{name}",
                "tool_call_id":"tc_1","parameters":{{"reason":"never again"}},"event_id":5}}}}"#
            );
            parse(&text).unwrap()
        };
        assert_eq!(
            parsed("do_not_call"),
            ServerMessage::ToolCall(Ok(ToolCall {
                id: "tc_1".to_owned(),
                tool: Tool::DoNotCall {
                    reason: Some("never again".to_owned())
                },
            }))
        );
        let ServerMessage::ToolCall(Ok(custom)) = parsed("lookup") else {
            panic!("not read");
        };
        assert_eq!(custom.tool.name(), "lookup");
        let ServerMessage::ToolCall(Err(answer)) = parsed("look up") else {
            panic!("not refused");
        };
        assert_eq!((answer.call.as_str(), answer.is_error), ("tc_1", true));
    }

    #[test]
    fn a_ping_is_answered_with_its_own_id_even_if_it_is_0() {
        for id in ["0", "7", r#""a""#] {
            let text =
                format!(r#"{{"type":"ping","ping_event":{{"event_id":{id},"ping_ms":null}}}}"#);
            let ServerMessage::Ping { event_id } = parse(&text).unwrap() else {
                panic!("not a ping");
            };
            let pong = pong(&event_id);
            assert_eq!(pong, format!(r#"{{"type":"pong","event_id":{id}}}"#));
        }
    }
}
