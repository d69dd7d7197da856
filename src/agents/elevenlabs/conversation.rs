//! One conversation, without its connection: what the server says becomes events and answers.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use crate::agents::{
    AgentEnd, AgentEvent, BoxError, Brief, Dialect, Heard, Piece, Reading, ToolAnswer,
    recode::{Ears, Mouth},
};

use super::{
    VENDOR,
    fault::{Closing, Formats, end_of, formats},
    outgoing,
    wire::{self, Metadata, ServerMessage},
};

/// How long the agent may take to be ready once connected.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The server pings every few seconds and gives up by itself after 60 s.
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may take to close after the agent hung up.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of a conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    opening: String,
    deadline: Instant,
    closing: Closing,
    /// Audio of this turn and those before is void.
    void_turn: Option<u64>,
    last_turn: u64,
    /// Where the agent hears or speaks in another format than the telephone's.
    ears: Option<Ears>,
    mouth: Option<Mouth>,
}

impl Conversation {
    /// A conversation whose connection is up since `now`.
    pub fn new(brief: &Brief, now: Instant) -> Self {
        Self {
            opening: outgoing::initiation(brief),
            deadline: now + READY_TIMEOUT,
            closing: Closing::default(),
            void_turn: None,
            last_turn: 0,
            ears: None,
            mouth: None,
        }
    }

    /// Which turn audio belongs to, if it is still wanted. Turns never fall.
    fn turn_of(&mut self, event_id: u64) -> Option<u64> {
        if self.void_turn.is_some_and(|void| event_id <= void) {
            return None;
        }
        self.last_turn = self.last_turn.max(event_id);
        Some(self.last_turn)
    }

    fn speech<'t>(&'t mut self, payload: &'t str, event_id: u64) -> Heard<'t> {
        let Some(turn) = self.turn_of(event_id) else {
            return Heard::Nothing;
        };
        let payload = match &mut self.mouth {
            Some(mouth) => mouth.say(payload),
            None => Some(payload),
        };
        payload.map_or(Heard::Nothing, |payload| Heard::Audio {
            turn,
            payload: Cow::Borrowed(payload),
        })
    }

    fn take(&mut self, message: ServerMessage) -> Reading<'static> {
        match message {
            ServerMessage::Metadata(metadata) => event_or_nothing(self.begin(&metadata)),
            ServerMessage::Audio { payload, event_id } => Reading {
                heard: match self.speech(&payload, event_id) {
                    Heard::Audio { turn, payload } => Heard::Audio {
                        turn,
                        payload: Cow::Owned(payload.into_owned()),
                    },
                    Heard::Event(event) => Heard::Event(event),
                    Heard::Nothing => Heard::Nothing,
                },
                answer: None,
            },
            ServerMessage::Interruption { event_id } => {
                self.void_turn = self.void_turn.max(Some(event_id));
                event(AgentEvent::Interrupted { turn: event_id })
            }
            ServerMessage::AgentResponse { text, event_id } => {
                let turn = event_id;
                event(AgentEvent::AgentSaid { turn, text })
            }
            ServerMessage::Correction { text, event_id } => {
                let turn = event_id;
                event(AgentEvent::AgentCorrected { turn, text })
            }
            ServerMessage::UserTranscript { text, is_final } => {
                event(AgentEvent::CalleeSaid { text, is_final })
            }
            ServerMessage::Ping { event_id } => answer(outgoing::pong(&event_id)),
            ServerMessage::ToolCall(call) => event(AgentEvent::ToolsUsed(vec![call])),
            ServerMessage::EndCall => {
                self.closing.end_announced = true;
                event_or_nothing(None)
            }
            ServerMessage::Error(error) => {
                self.closing.error = Some(error);
                event_or_nothing(None)
            }
            ServerMessage::Queue { status } => {
                tracing::warn!(status, "the agent's vendor queues the call");
                event_or_nothing(None)
            }
            ServerMessage::Other => event_or_nothing(None),
        }
    }

    fn begin(&mut self, metadata: &Metadata) -> Option<AgentEvent> {
        if self.closing.was_ready {
            return None;
        }
        let Formats { ears, mouth } = match formats(metadata) {
            Ok(formats) => formats,
            Err(detail) => return Some(AgentEvent::Ended(AgentEnd::Failed { detail })),
        };
        self.ears = Ears::unless_telephone(ears);
        self.mouth = Mouth::unless_telephone(mouth);
        let Ok(conversation) = metadata.conversation_id.parse() else {
            return Some(AgentEvent::Ended(failed(
                "the agent gave no usable conversation id",
            )));
        };
        self.closing.was_ready = true;
        Some(AgentEvent::Ready {
            conversation,
            vendor: VENDOR.parse().expect("letters are a name"),
        })
    }

    fn move_deadline(&mut self, now: Instant) {
        if self.closing.end_announced {
            self.deadline = self.deadline.min(now + END_TIMEOUT);
        } else if self.closing.was_ready {
            self.deadline = now + QUIET_TIMEOUT;
        }
    }
}

impl Dialect for Conversation {
    fn opening(&self) -> Option<String> {
        Some(self.opening.clone())
    }

    fn read<'t>(&'t mut self, text: &'t str, now: Instant) -> Result<Reading<'t>, BoxError> {
        if let Some((payload, event_id)) = wire::plain_audio(text) {
            self.move_deadline(now);
            return Ok(Reading {
                heard: self.speech(payload, event_id),
                answer: None,
            });
        }
        let reading = self.take(wire::parse(text)?);
        self.move_deadline(now);
        Ok(reading)
    }

    fn audio<'a>(&'a mut self, payload: &'a str) -> Option<Piece<'a>> {
        let payload = match &mut self.ears {
            Some(ears) => ears.hear(payload)?,
            None => payload,
        };
        Some(Piece::Text(outgoing::user_audio(payload)))
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

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn overdue(&mut self) -> AgentEnd {
        if self.closing.end_announced {
            AgentEnd::Finished
        } else if self.closing.was_ready {
            failed("nothing came from the agent for 60 s")
        } else {
            failed("the agent was not ready within 10 s of being connected")
        }
    }

    fn closed(&mut self, frame: Option<(u16, &str)>) -> AgentEnd {
        self.closing.frame = frame.map(|(code, reason)| (code, reason.to_owned()));
        end_of(&self.closing)
    }
}

fn event(event: AgentEvent) -> Reading<'static> {
    event_or_nothing(Some(event))
}

fn event_or_nothing(event: Option<AgentEvent>) -> Reading<'static> {
    Reading {
        heard: event.map_or(Heard::Nothing, Heard::Event),
        answer: None,
    }
}

fn answer(text: String) -> Reading<'static> {
    Reading {
        heard: Heard::Nothing,
        answer: Some(text),
    }
}

fn failed(detail: &str) -> AgentEnd {
    AgentEnd::Failed {
        detail: detail.to_owned(),
    }
}
