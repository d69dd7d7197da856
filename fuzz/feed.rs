//! What is fed to whatever reads from a call's sockets, and what must hold then.
//!
//! The fuzz targets here feed what libFuzzer finds; on a stable toolchain `tests/it/fuzz.rs` feeds what
//! proptest makes. A panic is a failure, and so is a message that is not well-formed, a turn that
//! falls, a deadline that is nowhere near, and more kept in memory than the size of a message explains.

// Each target uses a part of it.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use dialtone::{
    agents::{
        AgentEvent, Brief, Dialect, Heard, Piece, ToolAnswer, elevenlabs,
        vapi::{self, VapiAudio},
    },
    telephony::{
        media::{self, FromCallee, StreamDialect, ToCallee},
        twilio::stream,
    },
    websocket::{Limits, Message, ProtocolError, Reader, Role},
};

/// Whose words are fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Twilio, who connects to us.
    Carrier,
    /// To whom we connect.
    ElevenLabs,
    /// With mu-law.
    Vapi,
    /// With linear samples.
    VapiLinear,
}

/// Every line.
pub const LINES: [Line; 4] = [
    Line::Carrier,
    Line::ElevenLabs,
    Line::Vapi,
    Line::VapiLinear,
];

/// What one message may bring.
pub const LIMITS: Limits = Limits {
    frame: 64 * 1024,
    message: 64 * 1024,
};

/// What may be kept whatever came, as [`Debug`](std::fmt::Debug) shows it: what a dialect keeps of what
/// was said, and early audio.
const HELD_ALWAYS: usize = 600 * 1024;
/// And how often the longest message so far, as it is shown: a byte takes up to five characters, and some
/// buffers hold the same audio in several forms.
const HELD_PER_BYTE: usize = 40;

/// The latest that anything may be waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How much was made of what was fed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fed {
    /// Messages that were read.
    pub n_read: usize,
    /// Those that were of any use.
    pub n_useful: usize,
    /// Whether the end of the conversation was among them.
    pub is_over: bool,
    /// Why the bytes were no WebSocket.
    pub refused: Option<ProtocolError>,
}

/// Feeds messages, one per line: those that are no text as binary data.
pub fn messages(line: Line, bytes: &[u8]) -> Fed {
    let mut talk = Talk::new(line);
    for message in bytes.split(|byte| *byte == b'\n') {
        match std::str::from_utf8(message) {
            Ok(text) => talk.read(text),
            Err(_) => talk.read_data(message),
        }
    }
    talk.end()
}

/// Feeds bytes off the wire, received `cut` at a time.
pub fn socket(line: Line, bytes: &[u8], cut: usize) -> Fed {
    let role = match line {
        Line::Carrier => Role::Server,
        Line::ElevenLabs | Line::Vapi | Line::VapiLinear => Role::Client,
    };
    let mut reader = Reader::new(role, LIMITS);
    let mut talk = Talk::new(line);
    let mut unread = Vec::new();
    for received in bytes.chunks(cut.max(1)) {
        unread.extend_from_slice(received);
        let mut at = 0;
        loop {
            let step = match reader.next(&mut unread[at..]) {
                Ok(step) => step,
                Err(error) => {
                    talk.fed.refused = Some(error);
                    assert!((1002..=1009).contains(&error.close_code()), "{error}");
                    return talk.end();
                }
            };
            let is_message = step.message.is_some();
            if let Some(message) = step.message {
                talk.take(&message);
            }
            at += step.consumed;
            if !is_message {
                break;
            }
        }
        unread.drain(..at);
        assert!(
            unread.len() < LIMITS.frame + 14,
            "{} bytes of an unfinished frame are kept",
            unread.len()
        );
        talk.n_since_look += 1;
        if talk.n_since_look.is_multiple_of(256) {
            check_held(&reader, LIMITS.message, "the reader");
        }
    }
    check_held(&reader, LIMITS.message, "the reader");
    talk.end()
}

/// What somebody keeps shows in how it describes itself.
fn check_held(keeper: &impl std::fmt::Debug, longest: usize, who: &str) {
    let held = format!("{keeper:?}").len();
    let most = HELD_ALWAYS + HELD_PER_BYTE * longest;
    assert!(
        held <= most,
        "{who} keeps {held} characters, and messages had {longest} bytes at most"
    );
}

/// A dialect and what was seen of it.
struct Talk {
    mind: Mind,
    now: Instant,
    turn: u64,
    longest: usize,
    n_since_look: usize,
    fed: Fed,
}

enum Mind {
    Carrier(stream::Dialect),
    Agent(Box<dyn Dialect>),
}

/// 20 ms of telephone audio.
const AUDIO: &str = "f39/f39/f39/f39/f39/f39/f39/f39/";

impl Talk {
    fn new(line: Line) -> Self {
        let now = start();
        let vapi = |audio| vapi::dialect("call-1".parse().expect("a name"), audio, now);
        let mind = match line {
            Line::Carrier => {
                let stream = "MZ00000000000000000000000000000001".parse();
                Mind::Carrier(stream::Dialect::new(stream.expect("a stream's name")))
            }
            Line::ElevenLabs => Mind::Agent(elevenlabs::dialect(&Brief::default(), now)),
            Line::Vapi => Mind::Agent(vapi(VapiAudio::Mulaw)),
            Line::VapiLinear => Mind::Agent(vapi(VapiAudio::Linear)),
        };
        Self {
            mind,
            now,
            turn: 0,
            longest: 0,
            n_since_look: 0,
            fed: Fed::default(),
        }
    }

    fn take(&mut self, message: &Message<'_>) {
        match message {
            Message::Text(text) => self.read(text),
            Message::Binary(data) => self.read_data(data),
            Message::Ping(content) | Message::Pong(content) => assert!(content.len() <= 125),
            Message::Close(close) => {
                if let (Mind::Agent(dialect), Some(close)) = (&mut self.mind, close) {
                    let end = dialect.closed(Some((close.code, close.reason)));
                    assert!(!format!("{end:?}").is_empty());
                }
                self.fed.is_over = true;
            }
        }
    }

    fn read(&mut self, text: &str) {
        if !self.is_next(text.len()) {
            return;
        }
        match &mut self.mind {
            Mind::Carrier(dialect) => {
                if let Ok(Some(heard)) = dialect.read(text) {
                    self.fed.n_useful += 1;
                    check_callee(dialect, text, heard);
                }
            }
            Mind::Agent(dialect) => {
                let Ok(reading) = dialect.read(text, self.now) else {
                    return;
                };
                if let Some(answer) = &reading.answer {
                    self.fed.n_useful += 1;
                    assert!(answer.len() <= text.len() * 6 + 256, "{answer}");
                    well_formed(answer);
                }
                let turn = check_agent(&reading.heard, text.len(), &mut self.fed);
                self.follow(turn);
            }
        }
        self.look();
    }

    fn read_data(&mut self, data: &[u8]) {
        if !self.is_next(data.len()) {
            return;
        }
        let Mind::Agent(dialect) = &mut self.mind else {
            return;
        };
        let heard = dialect.read_data(data, self.now);
        let turn = check_agent(&heard, data.len(), &mut self.fed);
        self.follow(turn);
        self.look();
    }

    /// Counts a message, unless the conversation is over: nobody reads on.
    fn is_next(&mut self, length: usize) -> bool {
        if self.fed.is_over {
            return false;
        }
        self.fed.n_read += 1;
        self.longest = self.longest.max(length);
        self.now += Duration::from_millis(20);
        true
    }

    fn follow(&mut self, turn: Option<u64>) {
        if let Some(turn) = turn {
            assert!(
                turn >= self.turn,
                "speech of turn {turn} after {}",
                self.turn
            );
            self.turn = turn;
        }
        if let Mind::Agent(dialect) = &mut self.mind {
            let latest = self.now + LONGEST_WAIT;
            assert!(dialect.deadline() <= latest, "nobody waits that long");
            match dialect.audio(AUDIO) {
                Some(Piece::Text(message)) => well_formed(&message.to_text()),
                Some(Piece::Data(data)) => assert!(!data.is_empty()),
                None => panic!("good audio cannot be said"),
            }
        }
    }

    fn look(&mut self) {
        self.n_since_look += 1;
        if self.n_since_look.is_multiple_of(256) {
            self.check_held();
        }
    }

    fn check_held(&self) {
        match &self.mind {
            Mind::Carrier(dialect) => check_held(dialect, 0, "the carrier's dialect"),
            Mind::Agent(dialect) => check_held(dialect, self.longest, "the agent's dialect"),
        }
    }

    fn end(mut self) -> Fed {
        self.check_held();
        if let Mind::Agent(dialect) = &mut self.mind {
            for message in [
                dialect.key('9'),
                dialect.hint("they \"know\" \u{1}"),
                dialect.tool_answer(&ToolAnswer {
                    call: "tc\"1".to_owned(),
                    tool: "end_call".to_owned(),
                    text: "noted\n".to_owned(),
                    is_error: false,
                }),
            ] {
                well_formed(&message);
            }
            if let Some(message) = dialect.farewell() {
                well_formed(&message);
            }
            let ends = [dialect.overdue(), dialect.closed(None)];
            assert!(!format!("{ends:?}").is_empty());
        }
        self.fed
    }
}

/// What is understood of the callee's side can be passed on, and the short way says what the long one does.
fn check_callee(dialect: &stream::Dialect, text: &str, heard: media::Heard<'_>) {
    let parsed = stream::parse(text).ok().flatten();
    let event = match heard {
        media::Heard::Audio(payload) => FromCallee::Audio(payload.into_owned()),
        media::Heard::Event(event) => event,
    };
    assert_eq!(parsed.as_ref(), Some(&event), "{text}");
    match event {
        FromCallee::Audio(payload) => {
            assert!(!payload.is_empty() && payload.len() <= text.len());
            well_formed(&dialect.audio(&payload).to_text());
            // What any agent would be sent.
            let mut agent = elevenlabs::dialect(&Brief::default(), start());
            if let Some(Piece::Text(message)) = agent.audio(&payload) {
                well_formed(&message.to_text());
            }
        }
        FromCallee::Mark(name) => {
            let frame = dialect.message(&ToCallee::Mark(name));
            well_formed(&frame.expect("a mark is a frame"));
        }
        FromCallee::Started(_) | FromCallee::Key(_) | FromCallee::Stopped => {}
    }
}

/// What is understood of an agent can be passed on; the turn of speech.
fn check_agent(heard: &Heard<'_>, length: usize, fed: &mut Fed) -> Option<u64> {
    match heard {
        Heard::Nothing => None,
        Heard::Audio { turn, payload } => {
            fed.n_useful += 1;
            assert!(payload.len() <= 4 * length + 256 * 1024);
            let stream = "MZ00000000000000000000000000000001".parse();
            let carrier = stream::Dialect::new(stream.expect("a stream's name"));
            well_formed(&carrier.audio(payload).to_text());
            Some(*turn)
        }
        Heard::Event(event) => {
            fed.n_useful += 1;
            fed.is_over = matches!(event, AgentEvent::Ended(_));
            None
        }
    }
}

fn well_formed(message: &str) {
    if let Err(error) = serde_json::from_str::<serde_json::Value>(message) {
        panic!("{error} in what would be sent: {message}");
    }
}

/// Any time will do.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
