//! RFC 6455 framing as values: bytes in, messages out, and back.
//!
//! Pure: no socket, no task, no randomness (masking keys are arguments). [`Reader`] cuts a stream of
//! bytes that somebody else received into messages, in place and without a copy where a message came
//! in one frame. [`write`] appends frames to a buffer that somebody else sends. [`handshake`] is the
//! HTTP exchange before. Extensions are neither offered nor taken.

pub mod handshake;
mod mask;
mod reader;
pub mod write;

pub use reader::{Limits, Reader, Step};

/// Which end of a connection we are. A client masks what it sends, a server does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end that connected.
    Client,
    /// The end that was connected to.
    Server,
}

/// The key that a client's frame is masked with; fresh and unpredictable for every frame.
pub type MaskKey = [u8; 4];

/// What the other end said, borrowed from where it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'b> {
    /// A whole text.
    Text(&'b str),
    /// Whole binary data.
    Binary(&'b [u8]),
    /// To be answered with a pong of the same content.
    Ping(&'b [u8]),
    /// The answer to a ping.
    Pong(&'b [u8]),
    /// The other end sends nothing more. To be answered with a close, unless one was sent.
    Close(Option<Close<'b>>),
}

/// Why an end closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close<'b> {
    /// One of the codes that may be sent.
    pub code: u16,
    /// In words, perhaps none.
    pub reason: &'b str,
}

/// The purpose was fulfilled.
pub const NORMAL: u16 = 1000;

/// How the other end broke the protocol. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A bit was set that no extension gave a meaning to.
    #[error("a reserved bit is set")]
    Reserved,
    /// A kind of frame that does not exist.
    #[error("a frame of an unknown kind ({0})")]
    Kind(u8),
    /// A client sent a frame without masking it.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A server masked a frame.
    #[error("a server's frame is masked")]
    Masked,
    /// A ping, pong or close in several frames, or above 125 bytes.
    #[error("a control frame is fragmented or too long")]
    Control,
    /// A continuation of nothing, or a new message within another.
    #[error("the fragments of a message are out of order")]
    Fragments,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// A close frame with a code that must not be sent, or without a whole one.
    #[error("a close frame without a proper code")]
    CloseCode,
    /// A frame or message above the limit.
    #[error("a message is too long")]
    TooLong,
}

impl ProtocolError {
    /// The code to close with.
    pub fn close_code(self) -> u16 {
        match self {
            Self::NotUtf8 => 1007,
            Self::TooLong => 1009,
            Self::Reserved
            | Self::Kind(_)
            | Self::Unmasked
            | Self::Masked
            | Self::Control
            | Self::Fragments
            | Self::CloseCode => 1002,
        }
    }
}

/// The kinds of frames, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Kind {
    fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

impl TryFrom<u8> for Kind {
    type Error = ProtocolError;

    fn try_from(nibble: u8) -> Result<Self, ProtocolError> {
        match nibble {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            other => Err(ProtocolError::Kind(other)),
        }
    }
}

/// The longest content of a ping, pong or close.
const MAX_CONTROL: usize = 125;

#[cfg(test)]
mod tests;
