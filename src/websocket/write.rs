//! Frames, appended to a buffer. A message is one frame: nothing here is long enough to be cut.
//!
//! `mask` is the key of a client's frame and none for a server's.

use super::{Kind, MAX_CONTROL, MaskKey, mask};

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Appends a text that is given in parts, so that what stands between two others need not be joined
/// with them first.
pub fn text(out: &mut Vec<u8>, mask: Option<MaskKey>, parts: &[&str]) {
    let length = parts.iter().map(|part| part.len()).sum();
    let start = begin(out, Kind::Text, mask, length);
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    finish(out, mask, start);
}

/// Appends binary data.
pub fn binary(out: &mut Vec<u8>, mask: Option<MaskKey>, data: &[u8]) {
    whole(out, Kind::Binary, mask, data);
}

/// Appends a ping; of its content at most 125 bytes.
pub fn ping(out: &mut Vec<u8>, mask: Option<MaskKey>, content: &[u8]) {
    let length = content.len().min(MAX_CONTROL);
    whole(out, Kind::Ping, mask, &content[..length]);
}

/// Appends a pong; of its content at most 125 bytes.
pub fn pong(out: &mut Vec<u8>, mask: Option<MaskKey>, content: &[u8]) {
    let length = content.len().min(MAX_CONTROL);
    whole(out, Kind::Pong, mask, &content[..length]);
}

/// Appends a close; of the reason as much as fits.
pub fn close(out: &mut Vec<u8>, mask: Option<MaskKey>, code: u16, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let start = begin(out, Kind::Close, mask, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
    finish(out, mask, start);
}

fn whole(out: &mut Vec<u8>, kind: Kind, mask: Option<MaskKey>, content: &[u8]) {
    let start = begin(out, kind, mask, content.len());
    out.extend_from_slice(content);
    finish(out, mask, start);
}

/// Appends a frame's header. Returns where its content begins.
fn begin(out: &mut Vec<u8>, kind: Kind, mask: Option<MaskKey>, length: usize) -> usize {
    out.push(FINAL | kind as u8);
    let bit = if mask.is_some() { MASKED } else { 0 };
    match length {
        0..=125 => out.push(bit | length as u8),
        126..=0xFFFF => {
            out.push(bit | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(mask.as_ref().map_or(&[], |key| key.as_slice()));
    out.len()
}

fn finish(out: &mut [u8], mask: Option<MaskKey>, start: usize) {
    if let Some(key) = mask {
        mask::apply(key, &mut out[start..]);
    }
}
