//! Bytes, as they came, into messages.

use std::ops::Range;

use super::{Close, Kind, MAX_CONTROL, MaskKey, Message, ProtocolError, Role, mask};

/// How much the other end may send in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame, in bytes of content.
    pub frame: usize,
    /// The longest message, in bytes of content.
    pub message: usize,
}

/// Cuts what one end of a connection receives into messages.
///
/// The caller owns the bytes: it appends what it received, calls [`Reader::next`], throws away what
/// was consumed and calls again with the rest. Here is kept only the beginning of a message that
/// comes in several frames, bounded by [`Limits::message`].
#[derive(Debug)]
pub struct Reader {
    role: Role,
    limits: Limits,
    /// The message whose first frames came.
    begun: Option<Kind>,
    pub(super) fragments: Vec<u8>,
    is_over: bool,
}

/// What the bytes so far gave.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'b> {
    /// How many bytes were used up. They are spoiled: the mask was taken off in place.
    pub consumed: usize,
    /// The next message; none while more bytes are needed.
    pub message: Option<Message<'b>>,
}

/// Where a whole message is.
enum Whole {
    /// In the caller's bytes.
    There(Kind, Range<usize>),
    /// In the fragments.
    Here(Kind),
}

impl Reader {
    /// A reader for the end that plays `role`.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            begun: None,
            fragments: Vec::new(),
            is_over: false,
        }
    }

    /// The next message in `bytes`, which begin where the step before ended. After a close all that
    /// follows is thrown away.
    pub fn next<'b>(&'b mut self, bytes: &'b mut [u8]) -> Result<Step<'b>, ProtocolError> {
        if self.is_over {
            return Ok(Step {
                consumed: bytes.len(),
                message: None,
            });
        }
        if self.begun.is_none() {
            // What was assembled before has been read by now.
            self.fragments = Vec::new();
        }
        let mut consumed = 0;
        let whole = loop {
            let Some(header) = Header::parse(&bytes[consumed..], self.role)? else {
                break None;
            };
            self.check(&header)?;
            let content = consumed + header.size..consumed + header.size + header.length;
            if content.end > bytes.len() {
                break None;
            }
            consumed = content.end;
            if let Some(key) = header.mask {
                mask::apply(key, &mut bytes[content.clone()]);
            }
            if let Some(whole) = self.take(&header, &bytes[content.clone()], content) {
                break Some(whole);
            }
        };
        let message = match whole {
            None => None,
            Some(Whole::There(kind, content)) => Some(message(kind, &bytes[content])?),
            Some(Whole::Here(kind)) => Some(message(kind, &self.fragments)?),
        };
        self.is_over = matches!(message, Some(Message::Close(_)));
        Ok(Step { consumed, message })
    }

    fn check(&self, header: &Header) -> Result<(), ProtocolError> {
        let is_fragment_fine = match header.kind {
            Kind::Continuation => self.begun.is_some(),
            Kind::Text | Kind::Binary => self.begun.is_none(),
            Kind::Close | Kind::Ping | Kind::Pong => true,
        };
        if !is_fragment_fine {
            return Err(ProtocolError::Fragments);
        }
        let is_long = header.length > self.limits.frame
            || header.length > self.limits.message.saturating_sub(self.fragments.len());
        if !header.kind.is_control() && is_long {
            return Err(ProtocolError::TooLong);
        }
        Ok(())
    }

    /// Takes a frame: a whole message, or a part that is kept.
    fn take(&mut self, header: &Header, content: &[u8], at: Range<usize>) -> Option<Whole> {
        if header.kind.is_control() || (header.is_final && self.begun.is_none()) {
            return Some(Whole::There(header.kind, at));
        }
        let kind = *self.begun.get_or_insert(header.kind);
        self.fragments.extend_from_slice(content);
        header.is_final.then(|| {
            self.begun = None;
            Whole::Here(kind)
        })
    }
}

fn message(kind: Kind, content: &[u8]) -> Result<Message<'_>, ProtocolError> {
    let text = |content| std::str::from_utf8(content).map_err(|_| ProtocolError::NotUtf8);
    Ok(match kind {
        Kind::Text => Message::Text(text(content)?),
        // A continuation is taken under the kind of its message.
        Kind::Binary | Kind::Continuation => Message::Binary(content),
        Kind::Ping => Message::Ping(content),
        Kind::Pong => Message::Pong(content),
        Kind::Close => Message::Close(match content {
            [] => None,
            [high, low, reason @ ..] => Some(Close {
                code: close_code(u16::from_be_bytes([*high, *low]))?,
                reason: text(reason)?,
            }),
            [_] => return Err(ProtocolError::CloseCode),
        }),
    })
}

/// `code` if it may be sent.
fn close_code(code: u16) -> Result<u16, ProtocolError> {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(code),
        _ => Err(ProtocolError::CloseCode),
    }
}

struct Header {
    is_final: bool,
    kind: Kind,
    mask: Option<MaskKey>,
    /// Of the header, in bytes.
    size: usize,
    /// Of the content, in bytes.
    length: usize,
}

impl Header {
    /// The header at the beginning of `bytes`; none while it is not whole.
    fn parse(bytes: &[u8], role: Role) -> Result<Option<Self>, ProtocolError> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0x70 != 0 {
            return Err(ProtocolError::Reserved);
        }
        let kind = Kind::try_from(first & 0x0F)?;
        let is_final = first & 0x80 != 0;
        let is_masked = second & 0x80 != 0;
        match (role, is_masked) {
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            (Role::Server, true) | (Role::Client, false) => {}
        }
        let short = usize::from(second & 0x7F);
        if kind.is_control() && (!is_final || short > MAX_CONTROL) {
            return Err(ProtocolError::Control);
        }
        let (length, rest) = match short {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                // Nobody's limit is above what a machine can address.
                Some((length, rest)) => (
                    usize::try_from(u64::from_be_bytes(*length))
                        .map_err(|_| ProtocolError::TooLong)?,
                    rest,
                ),
                None => return Ok(None),
            },
            short => (short, rest),
        };
        let (mask, rest) = match (is_masked, rest.split_first_chunk()) {
            (false, _) => (None, rest),
            (true, Some((key, rest))) => (Some(*key), rest),
            (true, None) => return Ok(None),
        };
        Ok(Some(Self {
            is_final,
            kind,
            mask,
            size: bytes.len() - rest.len(),
            length,
        }))
    }
}
