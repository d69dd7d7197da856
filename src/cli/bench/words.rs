//! The few words of both sides that a relay needs to know. What the bridge itself reads and writes is
//! in the vendors' directories; this is what somebody writes who relays and does nothing else.

use crate::json::Scanner;

/// Where the agent is asked for.
pub const TARGET: &str = "/v1/convai/conversation?agent_id=agent_1";
/// The first message to the agent.
pub const OPENING: &str = r#"{"type":"conversation_initiation_client_data"}"#;
/// Around what the callee says.
pub const BEFORE_CHUNK: &str = r#"{"user_audio_chunk":""#;
pub const AFTER_CHUNK: &str = r#""}"#;
/// Around what the agent says.
pub const BEFORE_MEDIA: &str =
    r#"{"event":"media","streamSid":"MZ00000000000000000000000000000001","media":{"payload":""#;
pub const AFTER_MEDIA: &str = r#""}}"#;
/// Discards what is not played yet.
pub const CLEAR: &str = r#"{"event":"clear","streamSid":"MZ00000000000000000000000000000001"}"#;

/// What the carrier says.
pub enum FromCallee<'t> {
    Audio(&'t str),
    Stop,
    Other,
}

/// Reads a frame of the carrier.
pub fn from_callee(text: &str) -> FromCallee<'_> {
    match text_of(text, "payload") {
        Some(payload) => FromCallee::Audio(payload),
        None if text.contains(r#""event":"stop""#) => FromCallee::Stop,
        None => FromCallee::Other,
    }
}

/// What the agent says.
pub enum FromAgent<'t> {
    Audio(&'t str),
    Interruption,
    Other,
}

/// Reads a message of the agent.
pub fn from_agent(text: &str) -> FromAgent<'_> {
    match text_of(text, "audio_base_64") {
        Some(payload) => FromAgent::Audio(payload),
        None if text.contains(r#""type":"interruption""#) => FromAgent::Interruption,
        None => FromAgent::Other,
    }
}

/// The text of a member of this name, in an object in an object.
fn text_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut outer = Scanner::new(text);
    outer.enter()?;
    loop {
        outer.key()?;
        let mut inner = outer.clone();
        if inner.enter().is_some() {
            loop {
                if inner.key()? == name {
                    return inner.string();
                }
                inner.skip()?;
                if !inner.more()? {
                    break;
                }
            }
        }
        outer.skip()?;
        if !outer.more()? {
            return None;
        }
    }
}

/// Takes a whole HTTP head out of what was received.
pub fn take_head(received: &mut Vec<u8>) -> Option<String> {
    let end = received.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head: Vec<u8> = received.drain(..end).collect();
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// The WebSocket key of a request, once it is whole.
pub fn key_of_request(received: &mut Vec<u8>) -> Option<String> {
    let head = take_head(received)?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim().to_owned())
    })
}
