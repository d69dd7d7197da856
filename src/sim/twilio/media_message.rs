//! Messages on a media socket: what the dialer may send, read strictly, and what it is sent.
//!
//! Pure. The real carrier drops a message with anything missing, extra or misspelt and says so
//! only in its debugger, so strictness here saves a silent call there.

use std::{borrow::Cow, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::sim::tone::{FRAME_BYTES, SILENCE, Saying, mulaw_tone};

/// What the dialer asks of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Play this much mu-law.
    Media {
        n_bytes: usize,
    },
    Mark {
        name: String,
    },
    Clear,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    stream_sid: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads one text frame; the error says what violates the protocol. `audio` is scratch space.
pub fn read(text: &str, stream_sid: &str, audio: &mut Vec<u8>) -> Result<Command, String> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if message.stream_sid != stream_sid {
        return Err("the streamSid is not that of this stream".to_owned());
    }
    match (message.event.as_ref(), message.media, message.mark) {
        ("media", Some(media), None) => {
            audio.clear();
            STANDARD
                .decode_vec(media.payload.as_ref(), audio)
                .map_err(|error| format!("the payload is not base64: {error}"))?;
            if looks_like_base64(audio) {
                return Err("the payload is base64 twice over".to_owned());
            }
            Ok(Command::Media {
                n_bytes: audio.len(),
            })
        }
        ("mark", None, Some(mark)) => Ok(Command::Mark {
            name: mark.name.into_owned(),
        }),
        ("clear", None, None) => Ok(Command::Clear),
        (event, ..) => Err(format!("the fields do not fit the event {event}")),
    }
}

/// Sound swings both ways and mu-law keeps one half above 0x7f, so real audio never looks so.
fn looks_like_base64(audio: &[u8]) -> bool {
    const TELLING_LENGTH: usize = 64;
    let is_symbol = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    audio.len() >= TELLING_LENGTH && audio.iter().all(is_symbol)
}

/// One frame of silence, ready to send.
pub static SILENT_PAYLOAD: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode([SILENCE; FRAME_BYTES]));

/// One frame of the callee's voice: whole periods of a tone, so frames join without a click.
pub fn spoken_payload(saying: Saying) -> &'static str {
    static SMALL_TALK: LazyLock<String> = LazyLock::new(|| voice(Saying::SmallTalk));
    static DO_NOT_CALL: LazyLock<String> = LazyLock::new(|| voice(Saying::DoNotCall));
    match saying {
        Saying::SmallTalk => &SMALL_TALK,
        Saying::DoNotCall => &DO_NOT_CALL,
    }
}

fn voice(saying: Saying) -> String {
    STANDARD.encode(mulaw_tone(saying.hertz(), FRAME_BYTES))
}

/// Writes the messages of one stream, numbering them.
#[derive(Debug)]
pub struct MessageWriter {
    pub account_sid: String,
    pub call_sid: String,
    pub stream_sid: String,
    n_messages: u64,
    n_chunks: u64,
}

/// Presentation time of the first frame, as real streams have it.
const FIRST_TIMESTAMP_MS: u64 = 102;
const FRAME_MS: u64 = 20;

impl MessageWriter {
    pub fn new(account_sid: String, call_sid: String, stream_sid: String) -> Self {
        Self {
            account_sid,
            call_sid,
            stream_sid,
            n_messages: 0,
            n_chunks: 0,
        }
    }

    pub fn n_chunks(&self) -> u64 {
        self.n_chunks
    }

    pub fn connected() -> String {
        json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}).to_string()
    }

    pub fn start(&mut self, parameters: &[(String, String)]) -> String {
        let custom: Map<String, Value> = parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        json!({
            "event": "start",
            "sequenceNumber": self.next_number(),
            "start": {
                "accountSid": self.account_sid,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": custom,
            },
            "streamSid": self.stream_sid,
        })
        .to_string()
    }

    /// 20 ms of the callee; formatted by hand because it is sent fifty times a second.
    pub fn media(&mut self, payload: &str) -> String {
        self.n_messages += 1;
        self.n_chunks += 1;
        let timestamp = FIRST_TIMESTAMP_MS + (self.n_chunks - 1) * FRAME_MS;
        format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"{}"}}"#,
            self.n_messages, self.n_chunks, self.stream_sid
        )
    }

    pub fn mark(&mut self, name: &str) -> String {
        json!({
            "event": "mark",
            "sequenceNumber": self.next_number(),
            "streamSid": self.stream_sid,
            "mark": {"name": name},
        })
        .to_string()
    }

    /// A key that the callee pressed.
    pub fn key(&mut self, digit: char) -> String {
        json!({
            "event": "dtmf",
            "streamSid": self.stream_sid,
            "sequenceNumber": self.next_number(),
            "dtmf": {"track": "inbound_track", "digit": digit},
        })
        .to_string()
    }

    pub fn stop(&mut self) -> String {
        json!({
            "event": "stop",
            "sequenceNumber": self.next_number(),
            "streamSid": self.stream_sid,
            "stop": {"accountSid": self.account_sid, "callSid": self.call_sid},
        })
        .to_string()
    }

    fn next_number(&mut self) -> String {
        self.n_messages += 1;
        self.n_messages.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(message: Value) -> Result<Command, String> {
        read(&message.to_string(), "MZ1", &mut Vec::new())
    }

    #[test]
    fn the_three_events_are_understood() {
        let media = json!({"event": "media", "streamSid": "MZ1",
            "media": {"payload": SILENT_PAYLOAD.as_str()}});
        assert_eq!(command(media), Ok(Command::Media { n_bytes: 160 }));
        let mark = json!({"event": "mark", "streamSid": "MZ1", "mark": {"name": "m"}});
        assert_eq!(
            command(mark),
            Ok(Command::Mark {
                name: "m".to_owned()
            })
        );
        assert_eq!(
            command(json!({"event": "clear", "streamSid": "MZ1"})),
            Ok(Command::Clear)
        );
    }

    #[test]
    fn anything_missing_extra_or_misspelt_is_a_violation() {
        let payload = SILENT_PAYLOAD.as_str();
        let twice = STANDARD.encode(payload);
        for message in [
            json!({"event": "media", "stream_sid": "MZ1", "media": {"payload": payload}}),
            json!({"event": "media", "streamSid": "MZ2", "media": {"payload": payload}}),
            json!({"event": "media", "streamSid": "MZ1", "media": {"payload": payload, "track": "outbound"}}),
            json!({"event": "media", "streamSid": "MZ1", "media": {"payload": "?"}}),
            json!({"event": "media", "streamSid": "MZ1", "media": {"payload": twice}}),
            json!({"event": "media", "streamSid": "MZ1"}),
            json!({"event": "mark", "streamSid": "MZ1", "mark": {}}),
            json!({"event": "clear", "streamSid": "MZ1", "extra": 1}),
            json!({"event": "hello", "streamSid": "MZ1"}),
        ] {
            assert!(command(message.clone()).is_err(), "{message}");
        }
        assert!(read("not json", "MZ1", &mut Vec::new()).is_err());
    }

    #[test]
    fn messages_are_numbered_from_start_and_chunks_from_the_first_audio() {
        let mut writer = MessageWriter::new("AC1".into(), "CA1".into(), "MZ1".into());
        let start: Value = serde_json::from_str(&writer.start(&[])).unwrap();
        assert_eq!(start["sequenceNumber"], "1");
        assert_eq!(start["start"]["customParameters"], json!({}));
        writer.media(&SILENT_PAYLOAD);
        let media: Value =
            serde_json::from_str(&writer.media(spoken_payload(Saying::SmallTalk))).unwrap();
        assert_eq!(media["sequenceNumber"], "3");
        assert_eq!(media["media"]["chunk"], "2");
        assert_eq!(media["media"]["timestamp"], "122");
        assert_eq!(media["media"]["payload"].as_str().unwrap().len(), 216);
        let key: Value = serde_json::from_str(&writer.key('9')).unwrap();
        let expected = json!({"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "4",
            "dtmf": {"track": "inbound_track", "digit": "9"}});
        assert_eq!(key, expected);
    }
}
