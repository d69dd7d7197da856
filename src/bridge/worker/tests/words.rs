//! The words of a test's own carrier and agent: `audio 3 aGk=`, `ready`, `clear`.

use std::{
    borrow::Cow,
    time::{Duration, Instant as StdInstant},
};

use tokio::time::Instant;

use crate::{
    agents::{
        AgentEnd, AgentEvent, BoxError, Dialect, Heard, Piece, Reading, ToolAnswer, ToolCall,
    },
    json::Spliced,
    telephony::media::{self, FromCallee, StreamDialect, ToCallee},
};

#[derive(Debug)]
pub struct PlainCarrier;

impl StreamDialect for PlainCarrier {
    fn read<'t>(&self, text: &'t str) -> Result<Option<media::Heard<'t>>, BoxError> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match word {
            "audio" => Some(media::Heard::Audio(Cow::Borrowed(rest))),
            "mark" => Some(media::Heard::Event(FromCallee::Mark(rest.to_owned()))),
            "key" => rest
                .chars()
                .next()
                .map(|key| media::Heard::Event(FromCallee::Key(key))),
            "stop" => Some(media::Heard::Event(FromCallee::Stopped)),
            "panic" => panic!("a test asked for it"),
            other => return Err(other.to_owned().into()),
        })
    }

    fn audio<'a>(&'a self, payload: &'a str) -> Spliced<'a> {
        Spliced::new("audio ", payload, "")
    }

    fn message(&self, message: &ToCallee) -> Option<String> {
        match message {
            ToCallee::Audio(payload) => Some(self.audio(payload).to_text()),
            ToCallee::Mark(name) => Some(format!("mark {name}")),
            ToCallee::Clear => Some("clear".to_owned()),
            ToCallee::Close => None,
        }
    }
}

#[derive(Debug)]
struct PlainAgent {
    opening: String,
    until: StdInstant,
}

pub fn plain_agent() -> Box<dyn Dialect> {
    plain_agent_with("hello".to_owned())
}

pub fn plain_agent_with(opening: String) -> Box<dyn Dialect> {
    Box::new(PlainAgent {
        opening,
        until: Instant::now().into_std() + Duration::from_secs(600),
    })
}

impl Dialect for PlainAgent {
    fn opening(&self) -> Option<String> {
        Some(self.opening.clone())
    }

    fn read<'t>(&'t mut self, text: &'t str, _now: StdInstant) -> Result<Reading<'t>, BoxError> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let event = |event| Reading {
            heard: Heard::Event(event),
            answer: None,
        };
        Ok(match word {
            "ready" => event(AgentEvent::Ready {
                conversation: "conv_1".parse()?,
                vendor: "plain".parse()?,
            }),
            "audio" => {
                let (turn, payload) = rest.split_once(' ').ok_or("no turn")?;
                Reading {
                    heard: Heard::Audio {
                        turn: turn.parse()?,
                        payload: Cow::Borrowed(payload),
                    },
                    answer: None,
                }
            }
            "interrupted" => event(AgentEvent::Interrupted {
                turn: rest.parse()?,
            }),
            "heard" => event(AgentEvent::CalleeSaid {
                text: rest.to_owned(),
                is_final: false,
            }),
            "use" => event(AgentEvent::ToolsUsed(vec![ToolCall::read(
                "tc_1".to_owned(),
                rest,
                &serde_json::json!({"disposition": "interested"}),
            )])),
            "ask" => Reading {
                heard: Heard::Nothing,
                answer: Some("answer".to_owned()),
            },
            other => return Err(other.to_owned().into()),
        })
    }

    fn audio<'a>(&'a mut self, payload: &'a str) -> Option<Piece<'a>> {
        Some(Piece::Text(Spliced::new("audio ", payload, "")))
    }

    fn key(&self, key: char) -> String {
        format!("key {key}")
    }

    fn hint(&self, text: &str) -> String {
        format!("hint {text}")
    }

    fn tool_answer(&self, answer: &ToolAnswer) -> String {
        format!("answered {} {}", answer.call, answer.text)
    }

    fn deadline(&self) -> StdInstant {
        self.until
    }

    fn overdue(&mut self) -> AgentEnd {
        AgentEnd::Failed {
            detail: "silent".to_owned(),
        }
    }

    fn closed(&mut self, frame: Option<(u16, &str)>) -> AgentEnd {
        match frame {
            Some((1000, _)) => AgentEnd::Finished,
            Some((code, reason)) => AgentEnd::Failed {
                detail: format!("{code} {reason}"),
            },
            None => AgentEnd::Failed {
                detail: "broken".to_owned(),
            },
        }
    }
}
