//! What comes from a call's sockets: bytes, messages, and what they lead to.

use std::{
    io,
    ops::ControlFlow::{Break, Continue},
    time::Instant,
};

use crate::{
    agents::{AgentEnd, Heard, Reading},
    bridge::{
        BridgeEnd,
        call::{Call, Flow},
    },
    telephony::media,
    websocket::{Message, NORMAL, ProtocolError},
};

use super::{AgentStage, Ends, Live, Side, Stage};

/// How often one socket is read before the others have their turn.
const MAX_READS: usize = 8;

impl Live {
    /// Receives what a socket has. Returns whether it may have more.
    pub(super) fn read(
        &mut self,
        side: Side,
        is_ending: bool,
        scratch: &mut [u8],
        now: Instant,
    ) -> bool {
        for _ in 0..MAX_READS {
            let is_held_back = side == Side::Agent && !self.ends.has_room();
            let half = match side {
                Side::Callee => &mut self.callee,
                Side::Agent => &mut self.agent,
            };
            let Some(half) = half else {
                return false;
            };
            if is_held_back {
                half.has_more = true;
                return false;
            }
            half.has_more = false;
            let received = half.stream.receive(scratch);
            let is_short = half.stream.is_drained_by_short_read();
            match received {
                Ok(0) => {
                    self.socket_is_gone(side, now);
                    return false;
                }
                Ok(n) => {
                    self.feed(side, &mut scratch[..n], now);
                    if is_short && n < scratch.len() && !is_ending {
                        return false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, ?side, "a call's socket broke");
                    self.socket_is_gone(side, now);
                    return false;
                }
            }
        }
        match side {
            Side::Callee => self.callee.iter_mut().for_each(|half| half.has_more = true),
            Side::Agent => self.agent.iter_mut().for_each(|half| half.has_more = true),
        }
        true
    }

    fn feed(&mut self, side: Side, bytes: &mut [u8], now: Instant) {
        match side {
            Side::Callee => self.feed_callee(bytes, now),
            Side::Agent => self.feed_agent(bytes, now),
        }
    }

    pub(super) fn feed_callee(&mut self, bytes: &mut [u8], now: Instant) {
        let Some(half) = &mut self.callee else {
            return;
        };
        let (call, ends) = (&mut self.call, &mut self.ends);
        let is_talking = matches!(self.stage, Stage::Talking);
        let result = half.inbox.feed(bytes, |message| match message {
            Message::Text(text) if is_talking => match read_callee(call, ends, text, now) {
                Continue(()) => Continue(()),
                Break(end) => Break(Stop::Over(end)),
            },
            Message::Ping(content) => {
                ends.to_callee.pong(content);
                Continue(())
            }
            Message::Close(close) => Break(Stop::Closed(close.map_or(NORMAL, |close| close.code))),
            Message::Text(_) | Message::Binary(_) | Message::Pong(_) => Continue(()),
        });
        match result {
            Ok(Continue(())) => {}
            Ok(Break(Stop::Over(end))) => self.follow(Break(end), now),
            Ok(Break(Stop::Closed(code))) => {
                self.ends.to_callee.close(code, "");
                self.flush_callee(now);
                self.socket_is_gone(Side::Callee, now);
            }
            Err(error) => {
                self.refuse(Side::Callee, error, now);
                self.socket_is_gone(Side::Callee, now);
            }
        }
    }

    pub(super) fn feed_agent(&mut self, bytes: &mut [u8], now: Instant) {
        let Some(half) = &mut self.agent else {
            return;
        };
        let (call, ends) = (&mut self.call, &mut self.ends);
        let mut closed = None;
        let is_talking = matches!(self.stage, Stage::Talking);
        let result = half.inbox.feed(bytes, |message| match message {
            Message::Text(_) | Message::Binary(_)
                if is_talking && ends.agent != AgentStage::Done =>
            {
                match read_agent(call, ends, &message, now) {
                    Continue(()) => Continue(()),
                    Break(end) => Break(Stop::Over(end)),
                }
            }
            Message::Ping(content) => {
                ends.to_agent.pong(content);
                Continue(())
            }
            Message::Close(close) => {
                let end = ends
                    .agent_dialect
                    .as_mut()
                    .map(|dialect| dialect.closed(close.map(|it| (it.code, it.reason))));
                closed = end;
                Break(Stop::Closed(close.map_or(NORMAL, |close| close.code)))
            }
            Message::Text(_) | Message::Binary(_) | Message::Pong(_) => Continue(()),
        });
        match result {
            Ok(Continue(())) => {}
            Ok(Break(Stop::Over(end))) => self.follow(Break(end), now),
            Ok(Break(Stop::Closed(code))) => {
                self.ends.to_agent.close(code, "");
                self.flush_agent(now);
                if let Some(end) = closed {
                    self.end_agent(end, now);
                }
                self.leave_agent(now);
            }
            Err(error) => {
                self.refuse(Side::Agent, error, now);
                self.socket_is_gone(Side::Agent, now);
            }
        }
        if self.ends.to_agent.n_bytes() > self.most_to_agent {
            let detail = "the agent's connection took no more answers".to_owned();
            self.end_agent(AgentEnd::Failed { detail }, now);
        }
    }

    /// Tells the other end that it broke the protocol.
    fn refuse(&mut self, side: Side, error: ProtocolError, now: Instant) {
        tracing::debug!(%error, ?side, "a call's socket broke the protocol");
        match side {
            Side::Callee => {
                self.ends.to_callee.close(error.close_code(), "");
                self.flush_callee(now);
            }
            Side::Agent => {
                self.ends.to_agent.close(error.close_code(), "");
                self.flush_agent(now);
            }
        }
    }

    fn socket_is_gone(&mut self, side: Side, now: Instant) {
        match side {
            Side::Callee => self.callee_is_gone(now),
            Side::Agent => {
                self.drop_agent();
                if let Some(dialect) = &mut self.ends.agent_dialect {
                    let end = dialect.closed(None);
                    self.end_agent(end, now);
                }
            }
        }
    }
}

/// Why reading a socket's messages stopped.
enum Stop {
    Over(BridgeEnd),
    Closed(u16),
}

fn read_callee(call: &mut Call, ends: &mut Ends, text: &str, now: Instant) -> Flow {
    match ends.callee_dialect.read(text) {
        Ok(Some(media::Heard::Audio(payload))) => call.on_callee_audio(payload, now, ends),
        Ok(Some(media::Heard::Event(event))) => return call.on_callee(event, now, ends),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "media frame skipped"),
    }
    Continue(())
}

fn read_agent(call: &mut Call, ends: &mut Ends, message: &Message<'_>, now: Instant) -> Flow {
    // Taken out, because speech may stand in a buffer of the dialect's own.
    let Some(mut dialect) = ends.agent_dialect.take() else {
        return Continue(());
    };
    let reading = match message {
        Message::Text(text) => dialect.read(text, now).unwrap_or_else(|error| {
            tracing::warn!(%error, "agent sent something that cannot be read");
            Reading::NOTHING
        }),
        Message::Binary(data) => Reading {
            heard: dialect.read_data(data, now),
            answer: None,
        },
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Reading::NOTHING,
    };
    let answer = reading.answer;
    let event = match reading.heard {
        Heard::Nothing => None,
        Heard::Audio { turn, payload } => {
            call.on_agent_audio(turn, payload, now, ends);
            None
        }
        Heard::Event(event) => Some(event),
    };
    ends.agent_dialect = Some(dialect);
    let flow = match event {
        Some(event) => call.on_agent(event, now, ends),
        None => Continue(()),
    };
    if let Some(answer) = answer {
        ends.to_agent.text(&[&answer]);
    }
    flow
}
