//! One call, without its connection: what the server says becomes events.
//!
//! Nothing on this socket is numbered, so turns are counted here. A turn of the agent's ends when it is
//! interrupted, when the callee has said something, or when another is announced; the next one begins with
//! the speech that follows. What the agent is told to have said belongs to the turn that was last heard,
//! or to one that was announced and is not heard yet.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    agents::{AgentEnd, AgentEvent, BoxError, Dialect, Heard, Piece, Reading, ToolAnswer},
    audio::{Format, FromTelephone, ToTelephone},
    domain::ids::ConversationId,
};

use super::{
    VENDOR, fault,
    gate::{Found, Gate},
    outgoing,
    wire::{self, ServerMessage},
};

/// How long the agent may take to be ready once connected.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The agent's stream goes on while nobody speaks.
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may take to close after the call has ended: the last words may still be told.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How long after an interruption what comes was on its way before.
const GUARD: Duration = Duration::from_millis(200);
/// How often what the callee is saying is told before it is final.
const PARTIAL_EVERY: Duration = Duration::from_secs(1);
/// What comes before the agent is known to be ready is kept up to this many bytes.
const MAX_EARLY: usize = 64 * 1024;

/// What the agent said in one turn is kept up to this many bytes: about an hour of speech.
const MAX_SAID: usize = 64 * 1024;

/// What is known of a call.
#[derive(Debug)]
pub(super) struct Conversation {
    id: ConversationId,
    deadline: Instant,
    is_ready: bool,
    /// How the call ended, once the server has said so.
    end: Option<AgentEnd>,
    turn: u64,
    /// Speech begins another turn.
    is_turn_over: bool,
    /// That one was announced.
    is_announced: bool,
    /// The last turn that was interrupted.
    void_turn: u64,
    /// Until then what comes is of the turn that was interrupted.
    guarded_until: Option<Instant>,
    /// What the agent said in the present turn.
    said: String,
    /// When the callee's words were last told before they were final.
    partial_at: Option<Instant>,
    gate: Gate,
    ears: FromTelephone,
    mouth: ToTelephone,
    buffers: Buffers,
}

/// Used again for each piece of audio.
#[derive(Debug, Default)]
struct Buffers {
    /// What came before the agent was ready.
    early: Vec<u8>,
    /// As the telephone wants it.
    spoken: Vec<u8>,
    passed: Vec<u8>,
    text: String,
    heard: Vec<u8>,
    converted: Vec<u8>,
}

impl Conversation {
    /// A call of that name whose connection is up since `now`.
    pub fn new(id: ConversationId, format: Format, now: Instant) -> Self {
        Self {
            id,
            deadline: now + READY_TIMEOUT,
            is_ready: false,
            end: None,
            turn: 1,
            is_turn_over: false,
            is_announced: false,
            void_turn: 0,
            guarded_until: None,
            said: String::new(),
            partial_at: None,
            gate: Gate::default(),
            ears: FromTelephone::into_format(format),
            mouth: ToTelephone::from_format(format),
            buffers: Buffers::default(),
        }
    }

    fn ready(&mut self) -> Option<AgentEvent> {
        let was_ready = std::mem::replace(&mut self.is_ready, true);
        (!was_ready).then(|| AgentEvent::Ready {
            conversation: self.id.clone(),
            vendor: VENDOR.parse().expect("letters are a name"),
        })
    }

    fn take(&mut self, message: ServerMessage, now: Instant) -> Option<AgentEvent> {
        match message {
            ServerMessage::InProgress => self.ready(),
            ServerMessage::Ended { reason } => match fault::end_of(&reason) {
                AgentEnd::Finished if self.is_ready => {
                    self.end = Some(AgentEnd::Finished);
                    None
                }
                AgentEnd::Finished => Some(AgentEvent::Ended(AgentEnd::Failed {
                    detail: format!("the call ended before the agent was ready: {reason}"),
                })),
                end => Some(AgentEvent::Ended(end)),
            },
            // Whatever is said first has to wait for the agent to be ready.
            _ if !self.is_ready => None,
            ServerMessage::AssistantSaid { text } => self.assistant_said(&text),
            ServerMessage::UserSaid { text, is_final } => self.user_said(text, is_final, now),
            ServerMessage::UserInterrupted => self.interrupted(now),
            ServerMessage::AssistantStarted => {
                self.guarded_until = None;
                self.is_turn_over |= !self.said.is_empty();
                self.is_announced = self.is_turn_over;
                None
            }
            ServerMessage::ToolCalls(calls) => Some(AgentEvent::ToolsUsed(calls)),
            ServerMessage::Slow => {
                tracing::info!("the agent is slow to answer");
                None
            }
            ServerMessage::Transfer => {
                tracing::warn!("the agent wants to transfer the call, which it cannot here");
                None
            }
            ServerMessage::Other => None,
        }
    }

    fn assistant_said(&mut self, text: &str) -> Option<AgentEvent> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        if self.is_announced {
            self.begin_turn();
        }
        let room = MAX_SAID.saturating_sub(self.said.len() + 1);
        let text = &text[..text.floor_char_boundary(room)];
        if text.is_empty() {
            return None;
        }
        if !self.said.is_empty() {
            self.said.push(' ');
        }
        self.said.push_str(text);
        Some(AgentEvent::AgentSaid {
            turn: self.turn,
            text: self.said.clone(),
        })
    }

    fn user_said(&mut self, text: String, is_final: bool, now: Instant) -> Option<AgentEvent> {
        if is_final {
            self.is_turn_over = true;
            self.partial_at = None;
        } else {
            let is_soon = |at: Instant| now.saturating_duration_since(at) < PARTIAL_EVERY;
            if self.partial_at.is_some_and(is_soon) {
                return None;
            }
            self.partial_at = Some(now);
        }
        Some(AgentEvent::CalleeSaid { text, is_final })
    }

    fn interrupted(&mut self, now: Instant) -> Option<AgentEvent> {
        if self.is_announced {
            self.begin_turn();
        }
        self.gate.close();
        self.is_turn_over = true;
        self.guarded_until = Some(now + GUARD);
        let is_news = self.turn > self.void_turn;
        self.void_turn = self.turn;
        is_news.then_some(AgentEvent::Interrupted { turn: self.turn })
    }

    /// Which turn speech belongs to.
    fn turn_of(&mut self, found: Found) -> u64 {
        if found == Found::Speech && self.is_turn_over {
            self.begin_turn();
        }
        self.turn
    }

    fn begin_turn(&mut self) {
        self.is_turn_over = false;
        self.is_announced = false;
        self.turn += 1;
        self.said.clear();
    }

    fn move_deadline(&mut self, now: Instant) {
        if self.end.is_some() {
            self.deadline = self.deadline.min(now + END_TIMEOUT);
        } else if self.is_ready {
            self.deadline = now + QUIET_TIMEOUT;
        }
    }
}

impl Dialect for Conversation {
    fn opening(&self) -> Option<String> {
        None
    }

    fn read<'t>(&'t mut self, text: &'t str, now: Instant) -> Result<Reading<'t>, BoxError> {
        let event = self.take(wire::parse(text)?, now);
        self.move_deadline(now);
        Ok(Reading {
            heard: event.map_or(Heard::Nothing, Heard::Event),
            answer: None,
        })
    }

    fn read_data(&mut self, data: &[u8], now: Instant) -> Heard<'_> {
        // Audio shows as well as any message that the call is up.
        if let Some(event) = self.ready() {
            let n_kept = data.len().min(MAX_EARLY) / 2 * 2;
            self.buffers.early.extend_from_slice(&data[..n_kept]);
            self.move_deadline(now);
            return Heard::Event(event);
        }
        self.move_deadline(now);
        let Buffers {
            early,
            spoken,
            passed,
            ..
        } = &mut self.buffers;
        spoken.clear();
        passed.clear();
        self.mouth.convert(early, spoken);
        *early = Vec::new();
        self.mouth.convert(data, spoken);
        if self.guarded_until.is_some_and(|until| now < until) {
            return Heard::Nothing;
        }
        self.guarded_until = None;
        let found = self.gate.pass(spoken, passed);
        if found == Found::Nothing {
            return Heard::Nothing;
        }
        let turn = self.turn_of(found);
        let Buffers { passed, text, .. } = &mut self.buffers;
        text.clear();
        STANDARD.encode_string(passed, text);
        Heard::Audio {
            turn,
            payload: Cow::Borrowed(text),
        }
    }

    fn audio<'a>(&'a mut self, payload: &'a str) -> Option<Piece<'a>> {
        let Buffers {
            heard, converted, ..
        } = &mut self.buffers;
        heard.clear();
        converted.clear();
        STANDARD.decode_vec(payload, heard).ok()?;
        self.ears.convert(heard, converted);
        Some(Piece::Data(converted))
    }

    fn key(&self, key: char) -> String {
        outgoing::key_pressed(key)
    }

    fn hint(&self, text: &str) -> String {
        outgoing::hint(text)
    }

    fn tool_answer(&self, answer: &ToolAnswer) -> String {
        outgoing::tool_result(answer)
    }

    fn farewell(&self) -> Option<String> {
        self.end.is_none().then(|| outgoing::END_CALL.to_owned())
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn overdue(&mut self) -> AgentEnd {
        let detail = if let Some(end) = &self.end {
            return end.clone();
        } else if self.is_ready {
            "nothing came from the agent for 60 s"
        } else {
            "the agent was not ready within 10 s of being connected"
        };
        AgentEnd::Failed {
            detail: detail.to_owned(),
        }
    }

    fn closed(&mut self, frame: Option<(u16, &str)>) -> AgentEnd {
        let end = self.end.take();
        end.unwrap_or_else(|| fault::closed(self.is_ready, frame))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::audio::Rate;

    const VOICE: [u8; 160] = [0x90; 160];
    const SILENCE: [u8; 160] = [0xFF; 160];

    struct Scene {
        conversation: Conversation,
        now: Instant,
    }

    impl Scene {
        fn of(format: Format) -> Self {
            let now = tokio::time::Instant::now().into_std();
            let id = "call_1".parse().unwrap();
            Self {
                conversation: Conversation::new(id, format, now),
                now,
            }
        }

        fn ready() -> Self {
            let mut scene = Self::of(Format::Telephone);
            let event = scene.event(&json!({"type": "status-update", "status": "in-progress"}));
            assert!(matches!(event, Some(AgentEvent::Ready { .. })), "{event:?}");
            scene
        }

        fn event(&mut self, message: &serde_json::Value) -> Option<AgentEvent> {
            let text = message.to_string();
            let reading = self.conversation.read(&text, self.now).unwrap();
            match reading.heard {
                Heard::Event(event) => Some(event),
                Heard::Nothing => None,
                Heard::Audio { .. } => panic!("audio in a text"),
            }
        }

        /// The turn and the length of what is to be played.
        fn hears(&mut self, audio: &[u8]) -> Option<(u64, usize)> {
            match self.conversation.read_data(audio, self.now) {
                Heard::Audio { turn, payload } => {
                    Some((turn, STANDARD.decode(payload.as_ref()).unwrap().len()))
                }
                Heard::Nothing => None,
                Heard::Event(event) => panic!("{event:?} in audio"),
            }
        }

        fn says(&mut self, role: &str, kind: &str, text: &str) -> Option<AgentEvent> {
            self.event(&json!({
                "type": "transcript", "role": role, "transcriptType": kind, "transcript": text,
            }))
        }

        fn passes(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }
    }

    fn agent_said(turn: u64, text: &str) -> Option<AgentEvent> {
        let text = text.to_owned();
        Some(AgentEvent::AgentSaid { turn, text })
    }

    #[test]
    fn the_first_audio_makes_the_agent_ready_and_is_not_lost() {
        let mut scene = Scene::of(Format::Telephone);
        let early = scene.conversation.read_data(&VOICE, scene.now);
        assert!(matches!(early, Heard::Event(AgentEvent::Ready { .. })));
        assert_eq!(scene.hears(&VOICE), Some((1, 320)));
        let late = json!({"type": "status-update", "status": "in-progress"});
        assert_eq!(scene.event(&late), None);
    }

    // proves F-30
    #[test]
    fn audio_goes_both_ways_as_it_is_and_silence_is_no_speech() {
        let mut scene = Scene::ready();
        assert_eq!(scene.hears(&SILENCE), None);
        assert_eq!(scene.hears(&VOICE[..7]), Some((1, 7 + 160)));
        let said = STANDARD.encode([1, 2, 3]);
        let piece = scene.conversation.audio(&said);
        assert_eq!(piece, Some(Piece::Data(&[1, 2, 3])));
        assert_eq!(scene.conversation.audio("not base64!"), None);
    }

    // proves F-29
    #[test]
    fn linear_samples_are_converted_both_ways() {
        let mut scene = Scene::of(Format::Linear(Rate::of_hertz(16_000).unwrap()));
        scene.event(&json!({"type": "status-update", "status": "in-progress"}));
        let wave: Vec<u8> = (0..3_200_i32)
            .map(|n| if n % 40 < 20 { 8_000_i16 } else { -8_000 })
            .flat_map(i16::to_le_bytes)
            .collect();
        // In frames that end within samples.
        let heard: usize = wave
            .chunks(333)
            .filter_map(|piece| scene.hears(piece))
            .map(|(_, length)| length)
            .sum();
        assert!((1_500..=1_600).contains(&heard), "{heard}");
        let said = STANDARD.encode(SILENCE);
        assert_eq!(
            scene.conversation.audio(&said),
            Some(Piece::Data(&[0; 640]))
        );
    }

    // proves F-31, F-32
    #[test]
    fn an_interrupted_turn_is_void_with_what_was_on_its_way() {
        let mut scene = Scene::ready();
        assert_eq!(scene.hears(&VOICE), Some((1, 160)));
        let interrupted = json!({"type": "user-interrupted", "turnId": "t"});
        let event = scene.event(&interrupted);
        assert_eq!(event, Some(AgentEvent::Interrupted { turn: 1 }));
        assert_eq!(scene.event(&interrupted), None);
        assert_eq!(scene.hears(&VOICE), None);
        // What it had said by then is of the turn that was cut short.
        assert_eq!(
            scene.says("assistant", "final", "Hi."),
            agent_said(1, "Hi.")
        );
        scene.event(&json!({"type": "speech-update", "status": "started", "role": "assistant"}));
        assert_eq!(scene.hears(&VOICE), Some((2, 160)));
        assert_eq!(
            scene.says("assistant", "final", "Yes?"),
            agent_said(2, "Yes?")
        );
    }

    // proves F-31, F-62
    #[test]
    fn a_turn_that_was_announced_and_never_heard_is_a_turn_of_its_own() {
        let mut scene = Scene::ready();
        let started = json!({"type": "speech-update", "status": "started", "role": "assistant"});
        scene.event(&started);
        scene.hears(&VOICE);
        assert_eq!(
            scene.says("assistant", "final", "Hi."),
            agent_said(1, "Hi.")
        );
        scene.event(&started);
        let event = scene.event(&json!({"type": "user-interrupted"}));
        assert_eq!(event, Some(AgentEvent::Interrupted { turn: 2 }));
        assert_eq!(scene.says("assistant", "final", "So"), agent_said(2, "So"));
    }

    // proves F-31
    #[test]
    fn speech_after_the_guard_is_new_without_being_announced() {
        let mut scene = Scene::ready();
        scene.hears(&VOICE);
        scene.event(&json!({"type": "user-interrupted"}));
        scene.passes(199);
        assert_eq!(scene.hears(&VOICE), None);
        scene.passes(1);
        assert_eq!(scene.hears(&VOICE), Some((2, 160)));
    }

    // proves F-62
    #[test]
    fn sentences_of_a_turn_are_one_text_and_the_callees_words_begin_another() {
        let mut scene = Scene::ready();
        scene.hears(&VOICE);
        assert_eq!(scene.says("assistant", "partial", "Hi"), None);
        assert_eq!(
            scene.says("assistant", "final", "Hi."),
            agent_said(1, "Hi.")
        );
        let both = agent_said(1, "Hi. Ann?");
        assert_eq!(scene.says("assistant", "final", "Ann?"), both);
        let callee = |text: &str, is_final| {
            let text = text.to_owned();
            Some(AgentEvent::CalleeSaid { text, is_final })
        };
        assert_eq!(scene.says("user", "partial", "Y"), callee("Y", false));
        assert_eq!(scene.says("user", "partial", "Ye"), None);
        scene.passes(1_000);
        assert_eq!(scene.says("user", "partial", "Yes"), callee("Yes", false));
        assert_eq!(scene.says("user", "final", "Yes."), callee("Yes.", true));
        // Silence behind the last words is not the next turn.
        assert_eq!(scene.hears(&SILENCE), Some((1, 160)));
        assert_eq!(scene.hears(&VOICE), Some((2, 160)));
        assert_eq!(
            scene.says("assistant", "final", "Good."),
            agent_said(2, "Good.")
        );
    }

    // proves F-33, F-36
    #[test]
    fn the_servers_reason_decides_how_the_call_ended() {
        let ended =
            |reason| json!({"type": "status-update", "status": "ended", "endedReason": reason});
        let mut scene = Scene::ready();
        assert!(scene.conversation.farewell().is_some());
        assert_eq!(scene.event(&ended("assistant-ended-call")), None);
        assert_eq!(scene.conversation.farewell(), None);
        assert!(scene.conversation.deadline() <= scene.now + END_TIMEOUT);
        assert_eq!(scene.conversation.overdue(), AgentEnd::Finished);
        assert_eq!(scene.conversation.closed(None), AgentEnd::Finished);
        for (is_ready, reason) in [
            (true, "call.in-progress.error-vapifault-worker-died"),
            (false, "customer-ended-call"),
        ] {
            let mut scene = Scene::of(Format::Telephone);
            if is_ready {
                scene = Scene::ready();
            }
            let event = scene.event(&ended(reason));
            let is_failure = matches!(event, Some(AgentEvent::Ended(AgentEnd::Failed { .. })));
            assert!(is_failure, "{event:?}");
        }
    }

    // proves F-36
    #[test]
    fn an_agent_that_does_not_come_or_falls_silent_has_failed() {
        let failed = |end: AgentEnd| match end {
            AgentEnd::Failed { detail } => detail,
            other => panic!("{other:?}"),
        };
        let mut scene = Scene::of(Format::Telephone);
        assert_eq!(scene.conversation.deadline(), scene.now + READY_TIMEOUT);
        assert!(failed(scene.conversation.overdue()).contains("not ready"));
        assert!(failed(scene.conversation.closed(None)).contains("connection lost"));
        let mut scene = Scene::ready();
        scene.passes(5_000);
        scene.hears(&SILENCE);
        assert_eq!(scene.conversation.deadline(), scene.now + QUIET_TIMEOUT);
        assert!(failed(scene.conversation.overdue()).contains("60 s"));
    }
}
