//! Ten minutes in which one side only listens, in time that the test makes pass: the call's decisions
//! between the carrier's and the vendors' real words, without sockets. Every limit is in force.

use std::{
    borrow::Cow,
    collections::VecDeque,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    audio::{FRAME, SILENCE_FRAME},
    call::{Call, Flow, Outputs},
    tap::Tap,
    *,
};
use crate::{
    agents::{
        Dialect, Heard, Piece, Reading, elevenlabs,
        vapi::{self, VapiAudio},
    },
    telephony::{
        media::{self, StreamDialect},
        twilio::stream,
    },
};

const TEN_MINUTES: Duration = Duration::from_secs(600);
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const STREAM: &str = "MZ00000000000000000000000000000001";
/// 20 ms of a loud tone, in mu-law.
const VOICE: [u8; 160] = [0x10; 160];
const QUIET: [u8; 160] = [0xFF; 160];
/// How often ElevenLabs asks for a sign of life.
const PING_EVERY: u32 = 100;

/// Where a call's decisions go: an agent and a telephone that take everything at once.
struct Ends {
    dialect: Box<dyn Dialect>,
    now: Instant,
    n_passed: u32,
    /// Until when the telephone has something to play.
    played_until: Instant,
    played: Duration,
    /// Marks, with when they are played.
    marks: VecDeque<(Instant, String)>,
    n_clears: u32,
    reports: Vec<BridgeEvent>,
    tap: Tap,
}

impl Outputs for Ends {
    fn play(&mut self, payload: Cow<'_, str>) {
        let length = super::audio::duration(&payload);
        self.played_until = self.played_until.max(self.now) + length;
        self.played += length;
    }

    fn tell_callee(&mut self, message: ToCallee) {
        match message {
            ToCallee::Mark(name) => self
                .marks
                .push_back((self.played_until.max(self.now), name)),
            ToCallee::Clear => self.n_clears += 1,
            ToCallee::Audio(_) | ToCallee::Close => panic!("{message:?} in the middle of a call"),
        }
    }

    fn drop_waiting_speech(&mut self) {}

    fn pass_audio(&mut self, payload: Cow<'_, str>) {
        match self.dialect.audio(&payload) {
            Some(Piece::Text(text)) => assert!(text.to_text().contains(payload.as_ref())),
            Some(Piece::Data(data)) => assert_eq!(data.len(), 160),
            None => panic!("the agent cannot be told {payload}"),
        }
        self.n_passed += 1;
    }

    fn pass_key(&mut self, _key: char) {
        unreachable!("nobody presses a key");
    }

    fn pass_hint(&mut self, _text: String) -> bool {
        unreachable!("nobody listens in");
    }

    fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    fn answer(&mut self, _answer: ToolAnswer) {
        unreachable!("no tool is used");
    }

    fn n_unheard(&self) -> usize {
        0
    }

    fn shorten_unheard(&mut self, _limit: usize) -> u64 {
        0
    }

    fn agent_is_ready(&mut self) {}

    fn agent_is_done(&mut self) {}

    fn n_unreported(&self) -> usize {
        0
    }

    fn report(&mut self, event: BridgeEvent) {
        self.reports.push(event);
    }
}

/// Whose agent it is, as a script: what comes from it in each 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    ElevenLabs,
    Vapi,
}

enum Said {
    Text(String),
    Data(Vec<u8>),
}

impl Vendor {
    fn dialect(self, now: Instant) -> Box<dyn Dialect> {
        match self {
            Self::ElevenLabs => elevenlabs::dialect(&Brief::default(), now),
            Self::Vapi => vapi::dialect("call-1".parse().unwrap(), VapiAudio::Mulaw, now),
        }
    }

    /// What the agent sends in the `n`th 20 ms, while it speaks or not. It is there at the first.
    fn says(self, n: u32, speaks: bool) -> Vec<Said> {
        match self {
            Self::ElevenLabs => elevenlabs_says(n, speaks),
            // A stream that goes on.
            Self::Vapi if n > 0 => vec![Said::Data(if speaks { VOICE } else { QUIET }.to_vec())],
            Self::Vapi => {
                let up = r#"{"type":"status-update","status":"in-progress"}"#;
                vec![Said::Text(up.to_owned())]
            }
        }
    }
}

fn elevenlabs_says(n: u32, speaks: bool) -> Vec<Said> {
    let mut said = Vec::new();
    if n == 0 {
        let metadata = r#"{"type":"conversation_initiation_metadata",
            "conversation_initiation_metadata_event":{"conversation_id":"conv_1",
            "agent_output_audio_format":"ulaw_8000","user_input_audio_format":"ulaw_8000"}}"#;
        said.push(Said::Text(metadata.to_owned()));
    }
    if n % PING_EVERY == 1 {
        let ping = r#"{"type":"ping","ping_event":{"event_id":N,"ping_ms":null}}"#;
        said.push(Said::Text(ping.replace('N', &n.to_string())));
    }
    // A second of speech at once.
    if speaks && n % 50 == 1 {
        let payload = STANDARD.encode(VOICE.repeat(50));
        said.push(Said::Text(format!(
            r#"{{"type":"audio","audio_event":{{"audio_base_64":"{payload}","event_id":1}}}}"#
        )));
    }
    said
}

/// A call and the time in it.
struct Scene {
    vendor: Vendor,
    call: Call,
    ends: Ends,
    carrier: stream::Dialect,
    n: u32,
    n_pongs: u32,
}

impl Scene {
    fn new(vendor: Vendor) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let limits = TalkLimits {
            first_words: Some(Duration::from_secs(6)),
            silence: Some(SILENCE_LIMIT),
            length: Some(TEN_MINUTES * 2),
        };
        let settings = BridgeSettings {
            limits,
            ..BridgeSettings::default()
        };
        Self {
            vendor,
            call: Call::new(settings, now),
            ends: Ends {
                dialect: vendor.dialect(now),
                now,
                n_passed: 0,
                played_until: now,
                played: Duration::ZERO,
                marks: VecDeque::new(),
                n_clears: 0,
                reports: Vec::new(),
                tap: Tap::default(),
            },
            carrier: stream::Dialect::new(STREAM.parse().unwrap()),
            n: 0,
            n_pongs: 0,
        }
    }

    /// Lets 20 ms pass.
    fn step(&mut self, callee_speaks: bool, agent_speaks: bool) -> Flow {
        for said in self.vendor.says(self.n, agent_speaks) {
            self.hear_agent(&said)?;
        }
        self.n += 1;
        let voice = STANDARD.encode(VOICE);
        let payload = if callee_speaks { &voice } else { SILENCE_FRAME };
        self.hear_callee(&format!(
            r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"1","timestamp":"1","payload":"{payload}"}},"streamSid":"{STREAM}"}}"#,
            self.n + 1
        ))?;
        let now = self.ends.now;
        while let Some((_, name)) = self.ends.marks.pop_front_if(|(at, _)| *at <= now) {
            self.hear_callee(&format!(
                r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"{name}"}}}}"#
            ))?;
        }
        assert!(now < self.ends.dialect.deadline(), "the agent is given up");
        self.ends.now += FRAME;
        if self.ends.now >= self.call.next_deadline() {
            let now = self.ends.now;
            self.call.on_deadline(now, &mut self.ends)?;
        }
        Flow::Continue(())
    }

    fn hear_callee(&mut self, frame: &str) -> Flow {
        match self.carrier.read(frame).unwrap() {
            Some(media::Heard::Audio(payload)) => {
                let now = self.ends.now;
                self.call.on_callee_audio(payload, now, &mut self.ends);
                Flow::Continue(())
            }
            Some(media::Heard::Event(event)) => {
                let now = self.ends.now;
                self.call.on_callee(event, now, &mut self.ends)
            }
            None => panic!("nothing in {frame}"),
        }
    }

    fn hear_agent(&mut self, said: &Said) -> Flow {
        let now = self.ends.now;
        // Not there for as long as it is read, as its buffers are in use.
        let nobody = self.vendor.dialect(now);
        let mut dialect = std::mem::replace(&mut self.ends.dialect, nobody);
        let reading = match said {
            Said::Text(text) => dialect.read(text, now).unwrap(),
            Said::Data(data) => Reading {
                heard: dialect.read_data(data, now),
                answer: None,
            },
        };
        if let Some(answer) = &reading.answer {
            assert!(answer.contains("pong"), "{answer}");
            self.n_pongs += 1;
        }
        let event = match reading.heard {
            Heard::Nothing => None,
            Heard::Audio { turn, payload } => {
                self.call.on_agent_audio(turn, payload, now, &mut self.ends);
                None
            }
            Heard::Event(event) => Some(event),
        };
        self.ends.dialect = dialect;
        match event {
            Some(event) => self.call.on_agent(event, now, &mut self.ends),
            None => Flow::Continue(()),
        }
    }

    /// Lets that much time pass, in which nothing may end the call.
    fn lasts(&mut self, time: Duration, callee_speaks: bool, agent_speaks: bool) {
        let n_steps = time.as_millis() / FRAME.as_millis();
        for _ in 0..n_steps {
            let flow = self.step(callee_speaks, agent_speaks);
            assert!(flow.is_continue(), "after {} ms: {flow:?}", self.n * 20);
        }
    }

    /// What holds after one side alone has spoken: nothing is missing, and silence ends the call.
    fn ends_in_silence(mut self) {
        assert_eq!(self.ends.n_passed, self.n, "frames for the agent");
        assert_eq!(self.ends.n_clears, 0, "speech was thrown away");
        if self.vendor == Vendor::ElevenLabs {
            assert_eq!(self.n_pongs, self.n.div_ceil(PING_EVERY));
        }
        let joined = |event: &BridgeEvent| matches!(event, BridgeEvent::AgentJoined { .. });
        assert!(self.ends.reports.iter().any(joined));
        let from = self.ends.now;
        let end = loop {
            if let Flow::Break(end) = self.step(false, false) {
                break end;
            }
            assert!(self.ends.now < from + SILENCE_LIMIT * 2, "nothing ends it");
        };
        let detail = end.detail.unwrap();
        assert!(detail.contains("neither"), "{detail}");
        assert!(self.ends.now + Duration::from_secs(2) >= from + SILENCE_LIMIT);
    }
}

const VENDORS: [Vendor; 2] = [Vendor::ElevenLabs, Vendor::Vapi];

#[test]
fn a_callee_may_listen_for_ten_minutes() {
    for vendor in VENDORS {
        let mut scene = Scene::new(vendor);
        scene.lasts(TEN_MINUTES, false, true);
        let missing = TEN_MINUTES.saturating_sub(scene.ends.played);
        assert!(missing <= FRAME, "{vendor:?}: {missing:?} were not played");
        scene.ends_in_silence();
    }
}

#[test]
fn an_agent_may_listen_for_ten_minutes() {
    for vendor in VENDORS {
        let mut scene = Scene::new(vendor);
        scene.lasts(Duration::from_secs(2), false, true);
        scene.lasts(TEN_MINUTES, true, false);
        scene.ends_in_silence();
    }
}
