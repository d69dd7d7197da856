//! What a call's decisions go to: frames for both sockets, as far as these take them, what waits, and
//! reports.

use std::{borrow::Cow, collections::VecDeque};

use tokio::sync::mpsc;

use crate::{
    agents::{Dialect, Piece, ToAgent, ToolAnswer},
    bridge::{
        BridgeEvent,
        call::{MAX_WAITING, Outputs},
        tap::Tap,
    },
    telephony::media::{StreamDialect, ToCallee},
    websocket::Role,
};

use super::socket::Outbox;

/// What is put into frames before a socket has taken it; the rest waits as messages, which can still
/// be dropped.
const MAX_UNSENT: usize = 16 * 1024;

/// What the call's decisions go to.
pub(super) struct Ends {
    pub callee_dialect: Box<dyn StreamDialect>,
    pub to_callee: Outbox,
    /// What waits for the carrier's socket.
    pub speech: VecDeque<ToCallee>,
    pub agent_dialect: Option<Box<dyn Dialect>>,
    pub to_agent: Outbox,
    /// What waits for the agent.
    pub unheard: VecDeque<ToAgent>,
    pub agent: AgentStage,
    pub reports: Reports,
    tap: Tap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AgentStage {
    Opening,
    Ready,
    Done,
}

/// Reports on their way out. A full channel never stops the worker.
pub(super) struct Reports {
    channel: Option<mpsc::Sender<BridgeEvent>>,
    waiting: VecDeque<BridgeEvent>,
}

impl Reports {
    /// Reports into `channel`.
    pub fn to(channel: mpsc::Sender<BridgeEvent>) -> Self {
        Self {
            channel: Some(channel),
            waiting: VecDeque::new(),
        }
    }

    /// How many wait.
    pub fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    fn push(&mut self, event: BridgeEvent) {
        self.waiting.push_back(event);
        self.forward();
    }

    /// Lets go what the channel takes.
    pub fn forward(&mut self) {
        let Some(channel) = &self.channel else {
            self.waiting.clear();
            return;
        };
        while let Some(event) = self.waiting.pop_front() {
            match channel.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return self.close(),
            }
        }
        // An empty queue keeps no room.
        self.waiting = VecDeque::new();
    }

    /// Nothing more is told.
    pub fn close(&mut self) {
        self.channel = None;
        self.waiting = VecDeque::new();
    }
}

impl Ends {
    /// Between a callee and an agent that is not there yet.
    pub fn new(dialect: Box<dyn StreamDialect>, reports: mpsc::Sender<BridgeEvent>) -> Self {
        Self {
            callee_dialect: dialect,
            to_callee: Outbox::new(Role::Server),
            speech: VecDeque::new(),
            agent_dialect: None,
            to_agent: Outbox::new(Role::Client),
            unheard: VecDeque::new(),
            agent: AgentStage::Opening,
            reports: Reports::to(reports),
            tap: Tap::default(),
        }
    }

    fn write_to_callee(&mut self, message: &ToCallee) {
        match message {
            ToCallee::Audio(payload) => {
                let frame = self.callee_dialect.audio(payload);
                self.to_callee.text(&frame.parts());
            }
            other => {
                if let Some(text) = self.callee_dialect.message(other) {
                    self.to_callee.text(&[&text]);
                }
            }
        }
    }

    fn write_to_agent(&mut self, command: &ToAgent) {
        let Some(dialect) = &mut self.agent_dialect else {
            return;
        };
        match command {
            ToAgent::Audio(payload) => send_audio(&mut self.to_agent, &mut **dialect, payload),
            ToAgent::Key(key) => self.to_agent.text(&[&dialect.key(*key)]),
            ToAgent::Hint(text) => self.to_agent.text(&[&dialect.hint(text)]),
            ToAgent::Answer(answer) => self.to_agent.text(&[&dialect.tool_answer(answer)]),
            ToAgent::Close => {}
        }
    }

    pub fn callee_takes_more(&self) -> bool {
        takes_more(&self.to_callee)
    }

    pub fn agent_takes_more(&self) -> bool {
        self.agent == AgentStage::Ready && takes_more(&self.to_agent)
    }

    /// Puts what waits for the callee into frames, as much as may be. Returns whether there was any.
    pub fn refill_callee(&mut self) -> bool {
        let had_any = !self.speech.is_empty();
        while self.callee_takes_more() {
            match self.speech.pop_front() {
                Some(message) => self.write_to_callee(&message),
                None => break,
            }
        }
        if had_any && self.speech.is_empty() {
            self.speech = VecDeque::new();
        }
        had_any
    }

    /// As [`Self::refill_callee`], for the agent.
    pub fn refill_agent(&mut self) -> bool {
        let had_any = !self.unheard.is_empty();
        while self.agent_takes_more() {
            match self.unheard.pop_front() {
                Some(command) => self.write_to_agent(&command),
                None => break,
            }
        }
        if had_any && self.unheard.is_empty() {
            self.unheard = VecDeque::new();
        }
        had_any
    }

    /// Whether the agent may say more.
    pub fn has_room(&self) -> bool {
        self.speech.len() < MAX_WAITING && self.reports.n_waiting() < MAX_WAITING
    }
}

fn send_audio(outbox: &mut Outbox, dialect: &mut dyn Dialect, payload: &str) {
    match dialect.audio(payload) {
        Some(Piece::Text(text)) => outbox.text(&text.parts()),
        Some(Piece::Data(data)) => outbox.binary(data),
        None => {}
    }
}

fn takes_more(outbox: &Outbox) -> bool {
    outbox.stuck_since().is_none() && outbox.n_bytes() < MAX_UNSENT
}

impl Outputs for Ends {
    fn play(&mut self, payload: Cow<'_, str>) {
        if self.speech.is_empty() && self.callee_takes_more() {
            let frame = self.callee_dialect.audio(&payload);
            self.to_callee.text(&frame.parts());
        } else {
            self.speech.push_back(ToCallee::Audio(payload.into_owned()));
        }
    }

    fn tell_callee(&mut self, message: ToCallee) {
        if self.speech.is_empty() && self.callee_takes_more() {
            self.write_to_callee(&message);
        } else {
            self.speech.push_back(message);
        }
    }

    fn drop_waiting_speech(&mut self) {
        self.speech
            .retain(|message| matches!(message, ToCallee::Clear | ToCallee::Close));
    }

    fn pass_audio(&mut self, payload: Cow<'_, str>) {
        let is_taken = self.unheard.is_empty() && self.agent_takes_more();
        match &mut self.agent_dialect {
            Some(dialect) if is_taken => {
                send_audio(&mut self.to_agent, &mut **dialect, &payload);
            }
            _ if self.agent == AgentStage::Done => {}
            _ => self.unheard.push_back(ToAgent::Audio(payload.into_owned())),
        }
    }

    fn pass_key(&mut self, key: char) {
        if self.agent != AgentStage::Done {
            self.unheard.push_back(ToAgent::Key(key));
            self.refill_agent();
        }
    }

    fn pass_hint(&mut self, text: String) -> bool {
        // Behind audio that waits it could be dropped with it.
        let is_taken = self.agent_takes_more();
        if is_taken {
            self.write_to_agent(&ToAgent::Hint(text));
        }
        is_taken
    }

    fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    /// Ahead of what the callee says: the agent may be waiting for it.
    fn answer(&mut self, answer: ToolAnswer) {
        let is_there = self.agent == AgentStage::Ready;
        if let Some(dialect) = self.agent_dialect.as_ref().filter(|_| is_there) {
            self.to_agent.text(&[&dialect.tool_answer(&answer)]);
        }
    }

    fn n_unreported(&self) -> usize {
        self.reports.n_waiting()
    }

    fn n_unheard(&self) -> usize {
        self.unheard.len()
    }

    fn shorten_unheard(&mut self, limit: usize) -> u64 {
        let n_excess = self.unheard.len().saturating_sub(limit);
        self.unheard.drain(..n_excess);
        n_excess as u64
    }

    fn agent_is_ready(&mut self) {
        self.agent = AgentStage::Ready;
        self.refill_agent();
    }

    fn agent_is_done(&mut self) {
        self.agent = AgentStage::Done;
        self.unheard = VecDeque::new();
    }

    fn report(&mut self, event: BridgeEvent) {
        self.reports.push(event);
    }
}
