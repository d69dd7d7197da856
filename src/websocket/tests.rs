//! Compared with tungstenite, byte for byte and message for message.

use std::io::{self, Cursor, Read, Write};

use proptest::{collection::vec, prelude::*};
use tokio_tungstenite::tungstenite::{
    self, WebSocket,
    protocol::{
        CloseFrame, Role as TheirRole, WebSocketConfig,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::*;

/// A message that owns what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Message<'_>> for Said {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(data) => Self::Binary(data.to_vec()),
            Message::Ping(data) => Self::Ping(data.to_vec()),
            Message::Pong(data) => Self::Pong(data.to_vec()),
            Message::Close(close) => {
                Self::Close(close.map(|close| (close.code, close.reason.to_owned())))
            }
        }
    }
}

impl From<tungstenite::Message> for Said {
    fn from(message: tungstenite::Message) -> Self {
        use tungstenite::Message as Theirs;
        match message {
            Theirs::Text(text) => Self::Text(text.as_str().to_owned()),
            Theirs::Binary(data) => Self::Binary(data.to_vec()),
            Theirs::Ping(data) => Self::Ping(data.to_vec()),
            Theirs::Pong(data) => Self::Pong(data.to_vec()),
            Theirs::Close(close) => {
                Self::Close(close.map(|it| (it.code.into(), it.reason.as_str().to_owned())))
            }
            Theirs::Frame(_) => unreachable!("a reader gives no raw frame"),
        }
    }
}

impl From<Said> for tungstenite::Message {
    fn from(said: Said) -> Self {
        match said {
            Said::Text(text) => Self::text(text),
            Said::Binary(data) => Self::binary(data),
            Said::Ping(data) => Self::Ping(data.into()),
            Said::Pong(data) => Self::Pong(data.into()),
            Said::Close(close) => Self::Close(close.map(|(code, reason)| CloseFrame {
                code: code.into(),
                reason: reason.into(),
            })),
        }
    }
}

/// A socket that gives what it has and takes everything.
struct Wire {
    incoming: Cursor<Vec<u8>>,
    outgoing: Vec<u8>,
}

impl Wire {
    fn with(incoming: Vec<u8>) -> Self {
        Self {
            incoming: Cursor::new(incoming),
            outgoing: Vec::new(),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const LIMITS: Limits = Limits {
    frame: 80_000,
    message: 90_000,
};

/// What we read from bytes that come in pieces of these sizes, up to an error.
fn ours(role: Role, bytes: &[u8], cuts: &[usize]) -> (Vec<Said>, Option<ProtocolError>) {
    let mut reader = Reader::new(role, LIMITS);
    let mut said = Vec::new();
    let mut buffer = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() {
        let cut = cuts.next().unwrap_or(rest.len()).clamp(1, rest.len());
        buffer.extend_from_slice(&rest[..cut]);
        rest = &rest[cut..];
        loop {
            match reader.next(&mut buffer) {
                Ok(step) => {
                    let is_message = step.message.is_some();
                    said.extend(step.message.map(Said::from));
                    let consumed = step.consumed;
                    buffer.drain(..consumed);
                    if !is_message {
                        break;
                    }
                }
                Err(error) => return (said, Some(error)),
            }
        }
        assert!(reader.fragments.len() <= LIMITS.message);
        assert!(
            buffer.len() < LIMITS.frame + 14 + cut,
            "only an unfinished frame is kept"
        );
    }
    (said, None)
}

/// What tungstenite reads from the same bytes.
fn theirs(role: Role, bytes: Vec<u8>) -> (Vec<Said>, bool) {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(LIMITS.frame))
        .max_message_size(Some(LIMITS.message));
    let mut socket = WebSocket::from_raw_socket(Wire::with(bytes), role, Some(config));
    let mut said = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => said.push(message.into()),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (said, false);
            }
            Err(tungstenite::Error::ConnectionClosed) => return (said, false),
            Err(_) => return (said, true),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,300}",
        "\\PC{0,60}",
        (65_500usize..65_600).prop_map(|length| "a".repeat(length)),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        6 => text().prop_map(Said::Text),
        2 => vec(any::<u8>(), 0..300).prop_map(Said::Binary),
        1 => vec(any::<u8>(), 0..=125).prop_map(Said::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Said::Pong),
    ]
}

fn close() -> impl Strategy<Value = Option<Said>> {
    let frame = (
        prop_oneof![Just(1000u16), Just(1011), 3000u16..5000],
        "[ -~]{0,100}",
    );
    proptest::option::of(proptest::option::of(frame).prop_map(Said::Close))
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn write_ours(out: &mut Vec<u8>, mask: Option<MaskKey>, said: &Said) {
    match said {
        Said::Text(text) => {
            let middle = text.floor_char_boundary(text.len() / 2);
            write::text(out, mask, &[&text[..middle], "", &text[middle..]]);
        }
        Said::Binary(data) => write::binary(out, mask, data),
        Said::Ping(data) => write::ping(out, mask, data),
        Said::Pong(data) => write::pong(out, mask, data),
        Said::Close(Some((code, reason))) => write::close(out, mask, *code, reason),
        Said::Close(None) => write::close(out, mask, NORMAL, ""),
    }
}

/// The same message cut into frames, with a ping between.
fn fragments(out: &mut Vec<u8>, mask: Option<MaskKey>, said: &Said, cuts: &[usize]) {
    let (kind, content) = match said {
        Said::Text(text) => (Data::Text, text.as_bytes()),
        Said::Binary(data) => (Data::Binary, data.as_slice()),
        Said::Ping(_) | Said::Pong(_) | Said::Close(_) => return write_ours(out, mask, said),
    };
    let mut rest = content;
    let mut kind = kind;
    let push = |out: &mut Vec<u8>, content: &[u8], kind: Data, is_final: bool| {
        let mut frame = Frame::message(content.to_vec(), OpCode::Data(kind), is_final);
        frame.header_mut().mask = mask;
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        out.extend_from_slice(&bytes);
    };
    for cut in cuts {
        let (part, after) = rest.split_at((*cut).min(rest.len()));
        push(out, part, kind, false);
        write::ping(out, mask, b"?");
        rest = after;
        kind = Data::Continue;
    }
    push(out, rest, kind, true);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_they_write_we_read_whole_however_it_is_cut(
        role in role(),
        sent in vec(said(), 0..8),
        close in close(),
        cuts in vec(1usize..400, 1..20),
    ) {
        let sent: Vec<Said> = sent.into_iter().chain(close).collect();
        let other = match role {
            Role::Client => TheirRole::Server,
            Role::Server => TheirRole::Client,
        };
        let mut socket = WebSocket::from_raw_socket(Wire::with(Vec::new()), other, None);
        for said in &sent {
            socket.send(said.clone().into()).unwrap();
        }
        let bytes = socket.get_ref().outgoing.clone();
        prop_assert_eq!(ours(role, &bytes, &cuts), (sent, None));
    }

    #[test]
    fn what_we_write_they_read(
        role in role(),
        sent in vec(said(), 0..8),
        close in close(),
        key in any::<[u8; 4]>(),
    ) {
        let mask = (role == Role::Client).then_some(key);
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for said in sent.into_iter().chain(close) {
            write_ours(&mut bytes, mask, &said);
            expected.push(match said {
                Said::Close(None) => Said::Close(Some((NORMAL, String::new()))),
                said => said,
            });
        }
        let other = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        prop_assert_eq!(theirs(other, bytes), (expected, false));
    }

    #[test]
    fn fragments_are_put_together(
        role in role(),
        sent in vec((said(), vec(0usize..200, 0..4)), 1..5),
        key in any::<[u8; 4]>(),
        cuts in vec(1usize..400, 1..20),
    ) {
        let mask = (role == Role::Server).then_some(key);
        let mut bytes = Vec::new();
        for (said, cuts) in &sent {
            fragments(&mut bytes, mask, said, cuts);
        }
        let (read, error) = ours(role, &bytes, &cuts);
        prop_assert_eq!(error, None);
        prop_assert_eq!((read, false), theirs(role, bytes));
    }

    #[test]
    fn spoiled_bytes_are_refused_where_they_refuse_them_and_never_more_than_bounded(
        role in role(),
        sent in vec((said(), vec(0usize..200, 0..3)), 1..4),
        key in any::<[u8; 4]>(),
        spoiled in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cuts in vec(1usize..400, 1..20),
    ) {
        let mask = (role == Role::Server).then_some(key);
        let mut bytes = Vec::new();
        for (said, cuts) in &sent {
            fragments(&mut bytes, mask, said, cuts);
        }
        for (at, value) in spoiled {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (read, error) = ours(role, &bytes, &cuts);
        let (expected, is_refused) = theirs(role, bytes);
        // They answer a close with a wrong code before they tell of it.
        if error != Some(ProtocolError::CloseCode) {
            // They look at a text's beginning before the rest of it is there, and at a frame's header
            // only when the frame is whole; so one may refuse a little earlier than the other.
            let agree = if is_refused || error.is_some() {
                read.starts_with(&expected) || expected.starts_with(&read)
            } else {
                read == expected
            };
            prop_assert!(agree, "{:?} ({:?}) is not {:?} ({})", read, error, expected, is_refused);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        role in role(),
        bytes in vec(any::<u8>(), 0..2000),
        cuts in vec(1usize..50, 1..20),
    ) {
        ours(role, &bytes, &cuts);
    }

    #[test]
    fn a_mask_taken_twice_changes_nothing(key in any::<[u8; 4]>(), bytes in vec(any::<u8>(), 0..100)) {
        let mut masked = bytes.clone();
        mask::apply(key, &mut masked);
        for (n, byte) in masked.iter().enumerate() {
            prop_assert_eq!(*byte, bytes[n] ^ key[n % 4]);
        }
        mask::apply(key, &mut masked);
        prop_assert_eq!(masked, bytes);
    }
}

fn error_of(role: Role, bytes: &[u8]) -> Option<ProtocolError> {
    ours(role, bytes, &[1]).1
}

#[test]
fn each_way_to_break_the_protocol_has_its_name_and_code() {
    use ProtocolError as P;
    for (bytes, error, code) in [
        (&[0xC1, 0x00][..], P::Reserved, 1002),
        (&[0x83, 0x00], P::Kind(3), 1002),
        (&[0x81, 0x80, 0, 0, 0, 0], P::Masked, 1002),
        (&[0x09, 0x00], P::Control, 1002),
        (&[0x89, 126, 0, 126], P::Control, 1002),
        (&[0x80, 0x00], P::Fragments, 1002),
        (&[0x01, 0x00, 0x81, 0x00], P::Fragments, 1002),
        (&[0x81, 0x01, 0xFF], P::NotUtf8, 1007),
        (&[0x88, 0x01, 0x03], P::CloseCode, 1002),
        (&[0x88, 0x02, 0x03, 0xED], P::CloseCode, 1002),
        (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0x38, 0x81], P::TooLong, 1009),
        (
            &[0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            P::TooLong,
            1009,
        ),
    ] {
        assert_eq!(error_of(Role::Client, bytes), Some(error), "{bytes:x?}");
        assert_eq!(error.close_code(), code);
    }
    assert_eq!(error_of(Role::Server, &[0x81, 0x00]), Some(P::Unmasked));
}

#[test]
fn after_a_close_nothing_is_read() {
    let mut bytes = Vec::new();
    write::close(&mut bytes, None, NORMAL, "bye");
    write::text(&mut bytes, None, &["more"]);
    let close = Said::Close(Some((NORMAL, "bye".to_owned())));
    assert_eq!(ours(Role::Client, &bytes, &[3]), (vec![close], None));
}

#[test]
fn a_long_reason_is_cut_at_a_whole_character() {
    let mut bytes = Vec::new();
    write::close(&mut bytes, None, NORMAL, &"é".repeat(100));
    let close = Said::Close(Some((NORMAL, "é".repeat(61))));
    assert_eq!(ours(Role::Client, &bytes, &[200]), (vec![close], None));
}
