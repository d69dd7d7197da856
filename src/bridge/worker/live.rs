//! One call in a worker: two sockets around a [`Call`], and its last moments. What comes from the
//! sockets is read in [`receive`], what goes to them is in [`super::ends`].

mod receive;

use std::{
    collections::VecDeque,
    io, mem,
    ops::ControlFlow::Break,
    time::{Duration, Instant},
};

use mio::{Registry, Token};
use tokio::sync::{mpsc, oneshot};

use crate::{
    agents::{AgentEnd, AgentEvent, Dialect, ToolAnswer, link::MAX_MESSAGE_BYTES},
    bridge::{
        BridgeEnd, BridgeEvent, BridgeSettings, OperatorRequest,
        call::{Call, Flow, Outputs as _},
    },
    telephony::media::StreamDialect,
    websocket::{Limits, NORMAL, Role},
};

use super::{
    ends::{AgentStage, Ends},
    socket::{Inbox, Stream},
};

/// The largest frame the carrier may send; an ordinary one has 400 bytes.
const CALLEE_LIMITS: Limits = Limits {
    frame: 64 * 1024,
    message: 64 * 1024,
};
const AGENT_LIMITS: Limits = Limits {
    frame: MAX_MESSAGE_BYTES,
    message: MAX_MESSAGE_BYTES,
};
/// Answers to somebody who takes none are not kept beyond this, in bytes. More than the longest frame
/// of audio with what was unsent before it.
const MAX_ANSWERS: usize = 128 * 1024;
/// How long the agent's socket may take nothing before nobody reads it.
const AGENT_STUCK: Duration = Duration::from_secs(5);
/// How long the carrier's socket may take nothing before it counts as dead.
const CALLEE_STUCK: Duration = Duration::from_secs(10);
/// How long the agent may take to agree to the end.
const AGENT_CLOSE: Duration = Duration::from_secs(1);
/// How long the carrier may take to agree to the end.
const CALLEE_CLOSE: Duration = Duration::from_secs(2);
/// How long the carrier's socket waits for the records to be saved before it is closed all the same.
const RELEASE: Duration = Duration::from_secs(10);
/// How soon a full channel of reports is tried again.
const REPORT_AGAIN: Duration = Duration::from_millis(10);

/// Which of a call's sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Callee,
    Agent,
}

/// What a call begins with.
pub(super) struct NewCall {
    pub id: u64,
    pub callee: Stream,
    /// What came from the callee's side already.
    pub received: Vec<u8>,
    pub dialect: Box<dyn StreamDialect>,
    pub settings: BridgeSettings,
    pub reports: mpsc::Sender<BridgeEvent>,
    pub done: oneshot::Sender<BridgeEnd>,
}

/// One call, from its media socket's arrival to its close.
pub(super) struct Live {
    pub id: u64,
    /// When the worker's timer for it rings.
    pub armed_at: Option<Instant>,
    call: Call,
    closing_within: Duration,
    callee: Option<Half>,
    agent: Option<Half>,
    /// How much may wait for the agent, in bytes; its opening may be long.
    most_to_agent: usize,
    ends: Ends,
    stage: Stage,
    /// The agent was left; by then its socket is closed.
    agent_until: Option<Instant>,
    done: Option<oneshot::Sender<BridgeEnd>>,
    released: Option<oneshot::Sender<()>>,
}

/// The receiving half of a socket.
struct Half {
    stream: Stream,
    inbox: Inbox,
    /// The callee's socket is read in any case; the agent's not while too much waits.
    has_more: bool,
}

#[derive(Debug)]
enum Stage {
    Talking,
    /// Somebody left; what is still to be sent and reported is.
    Ending {
        end: BridgeEnd,
        until: Instant,
    },
    /// The end was told; the carrier's socket stays open until the records are saved.
    Held {
        until: Instant,
    },
    /// The carrier was told goodbye.
    Closing {
        until: Instant,
    },
}

impl Live {
    /// A call whose agent is being opened. The worker feeds it what was received and registers it.
    pub fn new(new: NewCall, now: Instant) -> (Self, Vec<u8>) {
        let live = Self {
            id: new.id,
            armed_at: None,
            call: Call::new(new.settings.clone(), now),
            closing_within: new.settings.closing_within,
            callee: Some(Half {
                stream: new.callee,
                inbox: Inbox::new(Role::Server, CALLEE_LIMITS),
                has_more: false,
            }),
            agent: None,
            most_to_agent: MAX_ANSWERS,
            ends: Ends::new(new.dialect, new.reports),
            stage: Stage::Talking,
            agent_until: None,
            done: Some(new.done),
            released: None,
        };
        (live, new.received)
    }

    /// The carrier's socket tells its events from now on; what came before is read.
    pub fn begin(
        &mut self,
        registry: &Registry,
        token: Token,
        mut received: Vec<u8>,
        now: Instant,
    ) -> io::Result<()> {
        if let Some(half) = &mut self.callee {
            half.stream.register(registry, token)?;
        }
        self.feed_callee(&mut received, now);
        self.settle(now);
        Ok(())
    }

    /// The agent's connection is up.
    pub fn agent_is_up(
        &mut self,
        mut stream: Stream,
        mut received: Vec<u8>,
        dialect: Box<dyn Dialect>,
        registered: (&Registry, Token),
        scratch: &mut [u8],
        now: Instant,
    ) {
        if !matches!(self.stage, Stage::Talking) || self.ends.agent == AgentStage::Done {
            return;
        }
        if let Err(error) = stream.register(registered.0, registered.1) {
            return self.agent_is_refused(error.to_string(), now);
        }
        if let Some(opening) = dialect.opening() {
            self.most_to_agent = MAX_ANSWERS + opening.len();
            self.ends.to_agent.text(&[&opening]);
        }
        self.ends.agent_dialect = Some(dialect);
        self.agent = Some(Half {
            stream,
            inbox: Inbox::new(Role::Client, AGENT_LIMITS),
            has_more: false,
        });
        self.feed_agent(&mut received, now);
        // TLS may hold what came with its handshake, of which the socket tells no more.
        self.read(Side::Agent, true, scratch, now);
        self.settle(now);
    }

    /// No agent can be had.
    pub fn agent_is_refused(&mut self, detail: String, now: Instant) {
        if matches!(self.stage, Stage::Talking) {
            let flow = self.call.agent_failed(detail, &mut self.ends);
            self.follow(flow, now);
            self.settle(now);
        }
    }

    /// Something became of a tool that the agent used.
    pub fn answer(&mut self, answer: ToolAnswer, now: Instant) {
        if matches!(self.stage, Stage::Talking) {
            self.ends.answer(answer);
            self.settle(now);
        }
    }

    /// Ends the call from here.
    pub fn stop(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Talking) {
            self.follow(Break(Call::stopped()), now);
            self.settle(now);
        }
    }

    /// An operator asks something. Of a call that is over nobody learns anything.
    pub fn ask(&mut self, request: OperatorRequest, now: Instant) {
        if matches!(self.stage, Stage::Talking) {
            self.call.on_operator(request, now, &mut self.ends);
            self.settle(now);
        }
    }

    /// The records are saved: the carrier's socket may close. `closed` is told when it has.
    pub fn release(&mut self, closed: oneshot::Sender<()>, now: Instant) {
        self.released = Some(closed);
        self.say_goodbye(now);
        self.settle(now);
    }

    /// A socket has something, or takes something. Returns whether it may have more.
    pub fn on_ready(
        &mut self,
        side: Side,
        is_readable: bool,
        is_ending: bool,
        scratch: &mut [u8],
        now: Instant,
    ) -> bool {
        let has_more = is_readable && self.read(side, is_ending, scratch, now);
        self.settle(now);
        // The agent may have been held back until what it said before had left.
        has_more || self.wants_agent_again()
    }

    /// Reads again what was left in a socket. Returns whether it may have more.
    pub fn read_again(&mut self, scratch: &mut [u8], now: Instant) -> bool {
        let mut has_more = false;
        for side in [Side::Callee, Side::Agent] {
            if self.half(side).is_some_and(|half| half.has_more) {
                has_more |= self.read(side, true, scratch, now);
            }
        }
        self.settle(now);
        has_more || self.wants_agent_again()
    }

    /// Whether the agent was held back and may go on.
    pub fn wants_agent_again(&self) -> bool {
        self.ends.has_room() && self.agent.as_ref().is_some_and(|half| half.has_more)
    }

    /// Whether nothing is left of the call.
    pub fn is_over(&self) -> bool {
        self.callee.is_none()
            && self.agent.is_none()
            && self.done.is_none()
            && matches!(self.stage, Stage::Closing { .. })
    }

    /// When [`Self::on_deadline`] has something to do, if nothing comes before.
    pub fn next_deadline(&self, now: Instant) -> Instant {
        let again = (self.ends.reports.n_waiting() > 0).then(|| now + REPORT_AGAIN);
        let callee_stuck = self
            .ends
            .to_callee
            .stuck_since()
            .map(|at| at + CALLEE_STUCK);
        let stage = match &self.stage {
            Stage::Talking => self.call.next_deadline(),
            Stage::Ending { until, .. } | Stage::Held { until } | Stage::Closing { until } => {
                *until
            }
        };
        // An agent that was left has the time until it is dropped, and no other.
        let is_joined = matches!(self.stage, Stage::Talking) && self.ends.agent != AgentStage::Done;
        let dialect = self.ends.agent_dialect.as_ref().filter(|_| is_joined);
        let agent = dialect.map(|dialect| dialect.deadline());
        let stuck_since = self.ends.to_agent.stuck_since().filter(|_| is_joined);
        let agent_stuck = stuck_since.map(|at| at + AGENT_STUCK);
        [again, callee_stuck, agent, agent_stuck, self.agent_until]
            .into_iter()
            .flatten()
            .fold(stage, Instant::min)
    }

    /// [`Self::next_deadline`] may have passed.
    pub fn on_deadline(&mut self, now: Instant) {
        self.ends.reports.forward();
        let is_past = |since: Option<Instant>, limit| since.is_some_and(|at| now >= at + limit);
        if is_past(self.ends.to_callee.stuck_since(), CALLEE_STUCK) {
            self.callee_is_gone(now);
        }
        if self.agent_until.is_some_and(|at| now >= at) {
            self.drop_agent();
        }
        let is_agent_stuck = is_past(self.ends.to_agent.stuck_since(), AGENT_STUCK);
        match &self.stage {
            Stage::Talking => {
                let flow = self.call.on_deadline(now, &mut self.ends);
                self.follow(flow, now);
                self.on_agent_deadline(is_agent_stuck, now);
            }
            Stage::Ending { until, .. } if now >= *until => {
                tracing::warn!("the last messages of a call were not taken in time");
                self.ends.speech = VecDeque::new();
                self.ends.reports.close();
                self.tell_end(now);
            }
            Stage::Held { until } if now >= *until => self.say_goodbye(now),
            Stage::Closing { until } if now >= *until => self.drop_callee(),
            Stage::Ending { .. } | Stage::Held { .. } | Stage::Closing { .. } => {}
        }
        self.settle(now);
    }

    fn on_agent_deadline(&mut self, is_stuck: bool, now: Instant) {
        if !matches!(self.stage, Stage::Talking) || self.ends.agent == AgentStage::Done {
            return;
        }
        let Some(dialect) = &mut self.ends.agent_dialect else {
            return;
        };
        if is_stuck {
            let detail = "the agent's connection took no more audio".to_owned();
            self.end_agent(AgentEnd::Failed { detail }, now);
        } else if now >= dialect.deadline() {
            let end = dialect.overdue();
            self.end_agent(end, now);
        }
    }

    fn half(&self, side: Side) -> Option<&Half> {
        match side {
            Side::Callee => self.callee.as_ref(),
            Side::Agent => self.agent.as_ref(),
        }
    }

    fn callee_is_gone(&mut self, now: Instant) {
        self.drop_callee();
        if matches!(self.stage, Stage::Talking) {
            self.follow(Break(self.call.callee_gone()), now);
        }
    }

    /// The agent's session is over, unless that is known.
    fn end_agent(&mut self, end: AgentEnd, now: Instant) {
        if matches!(self.stage, Stage::Talking) && self.ends.agent != AgentStage::Done {
            let flow = self
                .call
                .on_agent(AgentEvent::Ended(end), now, &mut self.ends);
            self.follow(flow, now);
        }
        self.leave_agent(now);
    }

    /// Goes on, or begins to end.
    fn follow(&mut self, flow: Flow, now: Instant) {
        let Break(end) = flow else {
            return;
        };
        if !matches!(self.stage, Stage::Talking) {
            return;
        }
        self.leave_agent(now);
        self.call.finish(&mut self.ends);
        self.stage = Stage::Ending {
            end,
            until: now + self.closing_within,
        };
    }

    /// Says goodbye to the agent, once.
    fn leave_agent(&mut self, now: Instant) {
        self.ends.agent_is_done();
        if self.agent.is_some() && self.agent_until.is_none() {
            let dialect = self.ends.agent_dialect.as_ref();
            if let Some(farewell) = dialect.and_then(|dialect| dialect.farewell()) {
                self.ends.to_agent.text(&[&farewell]);
            }
            self.ends.to_agent.close(NORMAL, "call ended");
            self.agent_until = Some(now + AGENT_CLOSE);
            self.flush_agent(now);
        }
    }

    fn drop_agent(&mut self) {
        self.agent = None;
        self.agent_until = None;
        self.ends.to_agent.abandon();
    }

    fn drop_callee(&mut self) {
        self.callee = None;
        self.ends.to_callee.abandon();
        self.ends.speech = VecDeque::new();
    }

    fn say_goodbye(&mut self, now: Instant) {
        self.ends.to_callee.close(NORMAL, "");
        self.stage = Stage::Closing {
            until: now + CALLEE_CLOSE,
        };
    }

    /// Sends what there is to send, and sees whether an end is reached.
    fn settle(&mut self, now: Instant) {
        if self.ends.agent == AgentStage::Done && matches!(self.stage, Stage::Talking) {
            // Its last words are played without it.
            self.leave_agent(now);
        }
        self.flush_agent(now);
        self.flush_callee(now);
        if matches!(self.stage, Stage::Ending { .. })
            && self.ends.speech.is_empty()
            && !self.ends.to_callee.has_something()
            && self.ends.reports.n_waiting() == 0
        {
            self.tell_end(now);
        }
        if self.callee.is_none()
            && matches!(self.stage, Stage::Closing { .. })
            && let Some(closed) = self.released.take()
        {
            closed.send(()).ok();
        }
    }

    fn tell_end(&mut self, now: Instant) {
        let held = Stage::Held {
            until: now + RELEASE,
        };
        if let Stage::Ending { end, .. } = mem::replace(&mut self.stage, held) {
            self.ends.reports.close();
            if let Some(done) = self.done.take() {
                // Whoever waited for it may be gone with the process's end.
                done.send(end).ok();
            }
        }
    }

    fn flush_callee(&mut self, now: Instant) {
        let Some(half) = &mut self.callee else {
            return;
        };
        loop {
            if self.ends.to_callee.has_something()
                && let Err(error) = self.ends.to_callee.flush(&mut half.stream, now)
            {
                tracing::debug!(%error, "the carrier's socket cannot be written");
                return self.callee_is_gone(now);
            }
            if !self.ends.callee_takes_more() || !self.ends.refill_callee() {
                break;
            }
        }
        if self.ends.to_callee.n_bytes() > MAX_ANSWERS {
            self.callee_is_gone(now);
        }
    }

    fn flush_agent(&mut self, now: Instant) {
        let Some(half) = &mut self.agent else {
            return;
        };
        loop {
            if self.ends.to_agent.has_something()
                && let Err(error) = self.ends.to_agent.flush(&mut half.stream, now)
            {
                // What can be read of it says more about the end.
                tracing::debug!(%error, "the agent's socket cannot be written");
                self.ends.to_agent.abandon();
                break;
            }
            if !self.ends.agent_takes_more() || !self.ends.refill_agent() {
                break;
            }
        }
    }
}
