//! The words in which a call's audio is spoken of, whatever the carrier.
//!
//! Audio is mu-law, 8 kHz, mono, as base64 text: the form in which it arrives and leaves, so that it
//! can be passed through without decoding.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::{
    domain::ids::{CallSid, StreamSid},
    json::Spliced,
};

use super::BoxError;

/// What comes from the callee's side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromCallee {
    /// The stream begins. Always first.
    Started(StreamStart),
    /// 20 ms of what the callee says, base64.
    Audio(String),
    /// Everything sent before the mark of this name was played, or discarded by a clear.
    Mark(String),
    /// The callee pressed a key.
    Key(char),
    /// The stream ends; nothing follows.
    Stopped,
}

/// What is known of a stream when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStart {
    /// The carrier's name for the stream.
    pub stream: StreamSid,
    /// The carrier's name for the call.
    pub call: CallSid,
    /// What we put into the answer that opened the stream.
    pub parameters: BTreeMap<String, String>,
}

/// What goes to the callee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToCallee {
    /// Audio to play after what is already queued, base64.
    Audio(String),
    /// Ask to be told when everything sent before was played.
    Mark(String),
    /// Discard everything that is queued.
    Clear,
    /// Close the stream; nothing follows.
    Close,
}

/// One message from the callee's side, borrowed from its frame where that is possible.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'t> {
    /// As [`FromCallee::Audio`].
    Audio(Cow<'t, str>),
    /// Anything else.
    Event(FromCallee),
}

/// A carrier's words on one media socket, without the socket: texts in, [`FromCallee`] out, and back.
pub trait StreamDialect: fmt::Debug + Send {
    /// Reads one frame; none when it tells nothing. An error spoils that frame alone.
    fn read<'t>(&self, text: &'t str) -> Result<Option<Heard<'t>>, BoxError>;

    /// The frame that plays audio.
    fn audio<'a>(&'a self, payload: &'a str) -> Spliced<'a>;

    /// The frame of any message; none for [`ToCallee::Close`], which is the socket's own.
    fn message(&self, message: &ToCallee) -> Option<String>;
}
