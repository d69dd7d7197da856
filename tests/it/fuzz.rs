//! Whatever comes over a call's sockets: nothing panics, nothing ill-formed is passed on, and no more is
//! kept than messages are long. The same entry is fed by libFuzzer, see `fuzz/`.

use proptest::{collection::vec, prelude::*, sample};

use crate::feed::{Fed, LIMITS, LINES, Line, messages, socket};

/// Real frames, one per line; the seeds of the fuzz targets.
const CARRIER: &[u8] = include_bytes!("../../fuzz/corpus/carrier/frames");
const ELEVENLABS: &[u8] = include_bytes!("../../fuzz/corpus/elevenlabs/frames");
const VAPI: &[u8] = include_bytes!("../../fuzz/corpus/vapi/frames");
const WEBSOCKET: &[u8] = include_bytes!("../../fuzz/corpus/websocket/frames");

/// Cases of each kind for every line.
const CASES: u32 = 3_000;

fn frames(line: Line) -> Vec<&'static [u8]> {
    let frames = match line {
        Line::Carrier => CARRIER,
        Line::ElevenLabs => ELEVENLABS,
        Line::Vapi | Line::VapiLinear => VAPI,
    };
    frames.split(|byte| *byte == b'\n').collect()
}

fn line() -> impl Strategy<Value = Line> {
    sample::select(LINES.to_vec())
}

/// What is done to a frame.
#[derive(Debug, Clone)]
enum Change {
    Byte(sample::Index, u8),
    CutFrom(sample::Index),
    /// A piece of it stands there so many times.
    Repeat(sample::Index, sample::Index, usize),
    Insert(sample::Index, Vec<u8>),
    /// A number or a text becomes another.
    Token(sample::Index, &'static str),
}

const TOKENS: &[&str] = &[
    "null",
    "true",
    "-1",
    "18446744073709551616",
    "1e999",
    "{}",
    "[]",
    "\"\"",
    "\"\\\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"a\\nb\"",
    "[[[[[[[[[[[[[[[[[[[[]",
    "\"\\\"},\\\"x\\\":{\\\"\"",
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<sample::Index>;
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => at().prop_map(Change::CutFrom),
        2 => (at(), at(), 1usize..200).prop_map(|(at, to, n)| Change::Repeat(at, to, n)),
        2 => (at(), vec(any::<u8>(), 0..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        4 => (at(), sample::select(TOKENS)).prop_map(|(at, token)| Change::Token(at, token)),
    ]
}

fn changed(mut frame: Vec<u8>, change: &Change) -> Vec<u8> {
    let length = frame.len();
    if length == 0 {
        return frame;
    }
    match change {
        Change::Byte(at, byte) => frame[at.index(length)] = *byte,
        Change::CutFrom(at) => frame.truncate(at.index(length)),
        Change::Repeat(from, to, n) => {
            let (from, to) = (from.index(length), to.index(length));
            let piece = frame[from.min(to)..from.max(to)].repeat(*n);
            frame.splice(from.min(to)..from.min(to), piece);
        }
        Change::Insert(at, bytes) => {
            let at = at.index(length);
            frame.splice(at..at, bytes.iter().copied());
        }
        Change::Token(at, token) => {
            // The value that begins after one of the colons.
            let colons: Vec<usize> = (0..length).filter(|n| frame[*n] == b':').collect();
            if !colons.is_empty() {
                let start = colons[at.index(colons.len())] + 1;
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']');
                let end = frame[start..].iter().position(is_end);
                let end = end.map_or(length, |end| start + end);
                frame.splice(start..end, token.bytes());
            }
        }
    }
    frame
}

/// Real frames of a line in any order, some of them spoiled.
fn spoiled() -> impl Strategy<Value = (Line, Vec<u8>)> {
    let one = (any::<sample::Index>(), vec(change(), 0..3));
    (line(), vec(one, 1..30)).prop_map(|(line, picks)| {
        let frames = frames(line);
        // The beginning, without which most would not be looked at.
        let mut all = vec![frames[0].to_vec()];
        all.extend(picks.iter().map(|(pick, changes)| {
            let frame = frames[pick.index(frames.len())].to_vec();
            changes.iter().fold(frame, changed)
        }));
        (line, all.join(&b'\n'))
    })
}

/// One frame of the WebSocket protocol.
fn frame(first: u8, content: &[u8], is_masked: bool) -> Vec<u8> {
    let mask = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![first];
    match u16::try_from(content.len()) {
        Ok(length @ 0..126) => frame.push(mask | u8::try_from(length).unwrap()),
        Ok(length) => {
            frame.push(mask | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(mask | 127);
            frame.extend((content.len() as u64).to_be_bytes());
        }
    }
    if is_masked {
        // A mask of zeros changes nothing.
        frame.extend([0; 4]);
    }
    frame.extend(content);
    frame
}

const TEXT: u8 = 0x81;
const TEXT_BEGUN: u8 = 0x01;
const CONTINUED: u8 = 0x00;

fn wire(line: Line, messages: &[Vec<u8>]) -> Vec<u8> {
    let frames = messages.iter().map(|message| {
        let kind = if std::str::from_utf8(message).is_ok() {
            TEXT
        } else {
            0x82
        };
        frame(kind, message, line == Line::Carrier)
    });
    frames.collect::<Vec<_>>().concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES * 4))]

    #[test]
    fn any_bytes_are_read_as_messages(line in line(), bytes in vec(any::<u8>(), 0..600)) {
        messages(line, &bytes);
    }

    #[test]
    fn any_bytes_are_read_off_the_wire(
        line in line(),
        bytes in vec(any::<u8>(), 0..600),
        cut in 1usize..700,
    ) {
        socket(line, &bytes, cut);
    }

    #[test]
    fn spoiled_frames_are_read_as_messages((line, bytes) in spoiled()) {
        messages(line, &bytes);
    }

    #[test]
    fn spoiled_frames_are_read_off_the_wire(
        (line, bytes) in spoiled(),
        changes in vec(change(), 0..2),
        cut in 1usize..2_000,
    ) {
        let lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let bytes = changes.iter().fold(wire(line, &lines), changed);
        socket(line, &bytes, cut);
    }
}

/// The seeds are what they should be: otherwise everything above would hold for nothing.
#[test]
fn real_frames_are_understood() {
    for line in LINES {
        let frames = frames(line);
        let all: Vec<Vec<u8>> = frames.iter().map(|frame| frame.to_vec()).collect();
        let read = messages(line, &all.join(&b'\n'));
        assert_eq!(read.n_read, frames.len(), "{line:?}: {read:?}");
        assert!(read.n_useful >= 6, "{line:?}: {read:?}");
        for cut in [1, 7, 100_000] {
            let off_the_wire = socket(line, &wire(line, &all), cut);
            assert_eq!(off_the_wire, read, "{line:?}, {cut} at a time");
        }
    }
    let [_, _, bytes @ ..] = WEBSOCKET else {
        panic!("the seed has two bytes of its own");
    };
    let fed = socket(Line::Carrier, bytes, 32);
    assert!(
        fed.is_over && fed.refused.is_none() && fed.n_useful >= 6,
        "{fed:?}"
    );
}

/// A megabyte that never becomes a message is refused as soon as it is longer than one may be.
#[test]
fn endless_messages_are_refused() {
    const MEGABYTE: usize = 1024 * 1024;
    for line in LINES {
        let is_masked = line == Line::Carrier;
        // One frame that says how long it is, and one that comes in many pieces.
        let long = frame(TEXT, &vec![b'a'; MEGABYTE], is_masked);
        let piece = frame(CONTINUED, &[b'a'; 1_000], is_masked);
        let pieces = [
            frame(TEXT_BEGUN, b"{", is_masked),
            piece.repeat(MEGABYTE / piece.len()),
        ]
        .concat();
        for bytes in [long, pieces] {
            let fed = socket(line, &bytes, 4_096);
            assert_eq!(
                fed.refused,
                Some(dialtone::websocket::ProtocolError::TooLong),
                "{line:?}"
            );
            assert_eq!(fed.n_read, 0, "{line:?}");
        }
        // The longest that is taken.
        let longest = vec![b'a'; LIMITS.message];
        let fed = socket(line, &frame(TEXT, &longest, is_masked), 4_096);
        assert_eq!((fed.refused, fed.n_read), (None, 1), "{line:?}");
        // Pieces without anything in them are no message, but they are nothing to keep either.
        let empty = frame(CONTINUED, b"", is_masked);
        let empty = [
            frame(TEXT_BEGUN, b"", is_masked),
            empty.repeat(MEGABYTE / empty.len()),
        ];
        let fed = socket(line, &empty.concat(), 4_096);
        assert_eq!((fed.refused, fed.n_read), (None, 0), "{line:?}");
    }
}

/// A megabyte of messages of one kind, each taken as it should be, and of long ones: what is held is looked at
/// as they come.
#[test]
fn talks_without_end_keep_nothing() {
    const MEGABYTE: usize = 1024 * 1024;
    let is_end = |frame: &[u8]| {
        let text = String::from_utf8_lossy(frame);
        text.contains(r#""ended""#) || text.contains(r#""end_call""#)
    };
    let long = |frame: &[u8]| {
        let text = std::str::from_utf8(frame).ok()?;
        let speech = "Hi Ann. ".repeat(200);
        text.contains("Hi Ann")
            .then(|| text.replace("Hi Ann", &speech).into_bytes())
    };
    for line in LINES {
        let frames = frames(line);
        let usual = frames[1..].iter().map(|frame| frame.to_vec());
        let kinds = usual.chain(frames[1..].iter().filter_map(|frame| long(frame)));
        for frame in kinds.filter(|frame| !is_end(frame)) {
            let n = MEGABYTE / (frame.len() + 1);
            let mut all = vec![frames[0]];
            all.resize(n + 1, &frame);
            let Fed {
                n_read, is_over, ..
            } = messages(line, &all.join(&b'\n'));
            assert_eq!((n_read, is_over), (n + 1, false), "{line:?}");
        }
    }
}

/// A field of a message as long as the message may be.
#[test]
fn huge_fields_are_no_more_than_their_message() {
    for line in LINES {
        let frames = frames(line);
        for frame in &frames {
            let Ok(text) = std::str::from_utf8(frame) else {
                continue;
            };
            for (at, _) in text.match_indices(":\"") {
                let (before, after) = text.split_at(at + 2);
                let field = "A".repeat(LIMITS.message - text.len());
                let huge = format!("{before}{field}{after}");
                let all = [frames[0], huge.as_bytes(), frames[1], frames[2]];
                messages(line, &all.join(&b'\n'));
            }
        }
    }
}
