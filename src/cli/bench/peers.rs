//! The two ends of many calls, played by one thread: a carrier that sends what callees say, and an
//! agent's server that speaks. What each hears of the other tells how late it is and what is missing.

use std::{io, net::SocketAddr, time::Duration};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tokio::time::Instant;

use crate::websocket::{
    Message, NORMAL, Role,
    handshake::{Request, accept_key},
    write,
};

use super::{
    stamp::{Stamp, payload},
    tally::{Frames, Tally},
    wire::Wire,
};

/// Frames are 20 ms apart. Each call speaks in one of so many slots of them, so that frames do not come
/// in bursts.
const SLOTS: usize = 200;
/// In microseconds.
const SLOT: u64 = 100;
/// Calls begin so many microseconds apart.
const BETWEEN_CALLS: u64 = 2000;
/// From the last frame to the hang-up.
const ON_THE_WAY: u64 = 1_000_000;
const LISTENER: Token = Token(usize::MAX - 1);
/// How a round goes.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub n_calls: usize,
    /// How long it is measured.
    pub measured: Duration,
    /// How long the agent's server takes to accept a connection.
    pub agent_delay: Duration,
}

/// A moment at which the bridge is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// No call is up yet.
    Idle,
    /// All are, and measuring begins.
    Begin,
    /// Measuring ends.
    End,
}

/// What was seen in a round. Times are in microseconds.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub to_agent: Vec<u32>,
    pub to_callee: Vec<u32>,
    /// From an interruption to the clear.
    pub clears: Vec<u32>,
    /// From the stream's start to the agent's first audio.
    pub set_up: Vec<u32>,
    /// From the callee's hang-up to the agent's closed session.
    pub closed: Vec<u32>,
    /// What became of the frames of each direction, from the first of each call to its last.
    pub frames_to_agent: Frames,
    pub frames_to_callee: Frames,
    /// Calls that did not come up, or whose agent session was left.
    pub n_failed: u64,
}

/// The carrier and the agent.
pub struct Peers {
    poll: Poll,
    listener: TcpListener,
    /// Where the agent is reached.
    pub agent: SocketAddr,
    epoch: Instant,
    calls: Vec<Call>,
    agents: Vec<Agent>,
    seen: Seen,
    is_measured: bool,
    agent_delay: Duration,
    /// How many agents have begun to speak.
    n_speaking: usize,
}

/// The carrier's end of a call.
struct Call {
    wire: Wire,
    is_up: bool,
    request: Request,
    started_at: Option<u64>,
    n_sent: u32,
    /// What came of the agent's frames.
    heard: Tally,
    /// Whose they are.
    agent: Option<usize>,
    stopped_at: Option<u64>,
}

/// The agent's end of a call, or a question for an address.
struct Agent {
    wire: Wire,
    state: AgentState,
    n_sent: u32,
    /// In which slot it speaks.
    slot: usize,
    turn: u32,
    interrupted_at: Option<u64>,
    /// What came of the callee's frames.
    heard: Tally,
    call: Option<usize>,
}

enum AgentState {
    /// The request is not whole, or waits to be answered.
    Asked,
    Accepting {
        answer: String,
        at: u64,
    },
    /// Accepted; the opening has not come.
    Open,
    Speaking,
    Gone,
}

/// When what happens in a round, in microseconds.
struct Times {
    begun: u64,
    settled: u64,
    ends: u64,
    /// What was on its way has arrived by then.
    hangs_up: u64,
    over: u64,
}

impl Times {
    /// A call every two milliseconds, then two seconds for all to be up and quiet.
    fn of(plan: Plan, begun: u64) -> Self {
        let whole = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let set_up = plan.n_calls as u64 * BETWEEN_CALLS + whole(plan.agent_delay);
        let settled = begun + set_up + 2_000_000;
        let ends = settled + whole(plan.measured);
        Self {
            begun,
            settled,
            ends,
            hangs_up: ends + ON_THE_WAY,
            over: ends + ON_THE_WAY + 3_000_000,
        }
    }

    /// How many calls should have begun.
    fn n_due(&self, plan: Plan, now: u64) -> usize {
        plan.n_calls
            .min(((now - self.begun) / BETWEEN_CALLS) as usize)
    }
}

impl Peers {
    /// Begins to listen as the agent.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            agent: listener.local_addr()?,
            listener,
            epoch: Instant::now(),
            calls: Vec::new(),
            agents: Vec::new(),
            seen: Seen::default(),
            is_measured: false,
            agent_delay: Duration::ZERO,
            n_speaking: 0,
        })
    }

    /// Plays one round of calls through the bridge at `bridge`.
    pub fn round(
        &mut self,
        bridge: SocketAddr,
        plan: Plan,
        mut look: impl FnMut(Moment),
    ) -> io::Result<Seen> {
        self.calls.clear();
        self.agents.clear();
        self.seen = Seen::default();
        self.agent_delay = plan.agent_delay;
        look(Moment::Idle);
        let mut events = Events::with_capacity(4096);
        let mut scratch = vec![0; 64 * 1024];
        let times = Times::of(plan, self.now());
        let mut tick = times.begun / SLOT;
        let mut has_hung_up = false;
        loop {
            self.poll
                .poll(&mut events, Some(Duration::from_millis(1)))?;
            for event in events.iter() {
                self.on_ready(event.token(), &mut scratch)?;
            }
            let now = self.now();
            while self.calls.len() < times.n_due(plan, now) {
                self.begin_call(bridge)?;
            }
            if !self.is_measured && now >= times.settled && now < times.ends {
                self.begin_measuring();
                look(Moment::Begin);
            }
            if self.is_measured && now >= times.ends {
                self.is_measured = false;
                look(Moment::End);
            }
            if !has_hung_up && now >= times.hangs_up {
                has_hung_up = true;
                self.hang_up();
            }
            // Both ends stop when measuring ends, so that what is on its way arrives.
            while now < times.ends && tick < now / SLOT {
                tick += 1;
                self.speak(tick);
            }
            if now >= times.over || (has_hung_up && self.is_quiet()) {
                break;
            }
        }
        self.sum_up();
        Ok(std::mem::take(&mut self.seen))
    }

    fn is_quiet(&self) -> bool {
        let is_gone = |agent: &Agent| matches!(agent.state, AgentState::Gone);
        self.agents.iter().all(is_gone)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn begin_call(&mut self, bridge: SocketAddr) -> io::Result<()> {
        let mut socket = TcpStream::connect(bridge)?;
        let index = self.calls.len();
        self.poll.registry().register(
            &mut socket,
            Token(index * 2),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let request = Request::new(&bridge.to_string(), "/media", rand::random());
        let mut call = Call {
            wire: Wire::new(socket, Role::Client),
            is_up: false,
            request,
            started_at: None,
            n_sent: 0,
            heard: Tally::default(),
            agent: None,
            stopped_at: None,
        };
        call.wire
            .unsent
            .extend_from_slice(call.request.text.as_bytes());
        self.calls.push(call);
        Ok(())
    }

    fn begin_measuring(&mut self) {
        let set_up = std::mem::take(&mut self.seen.set_up);
        self.is_measured = true;
        self.seen = Seen {
            set_up,
            ..Seen::default()
        };
    }

    /// Sends what is due in a slot.
    fn speak(&mut self, tick: u64) {
        let slot = (tick % SLOTS as u64) as usize;
        let epoch = self.epoch;
        let now = || u64::try_from(epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        for (index, call) in self.calls.iter_mut().enumerate() {
            if slot_of(index) == slot && call.started_at.is_some() && call.stopped_at.is_none() {
                let number = (call.n_sent + 2).to_string();
                let chunk = (call.n_sent + 1).to_string();
                let stamp = (call.n_sent * 20).to_string();
                let payload = payload(index, call.n_sent, now());
                call.wire.text(&[
                    r#"{"event":"media","sequenceNumber":""#,
                    &number,
                    r#"","media":{"track":"inbound","chunk":""#,
                    &chunk,
                    r#"","timestamp":""#,
                    &stamp,
                    r#"","payload":""#,
                    &payload,
                    r#""},"streamSid":"MZ00000000000000000000000000000001"}"#,
                ]);
                call.n_sent += 1;
            }
        }
        for (index, agent) in self.agents.iter_mut().enumerate() {
            if let AgentState::Accepting { answer, at } = &agent.state
                && *at <= now()
            {
                let answer = answer.clone();
                agent.wire.raw(&answer);
                agent.state = AgentState::Open;
            }
            if agent.slot == slot && matches!(agent.state, AgentState::Speaking) {
                agent.speak(index, now());
            }
        }
    }

    fn on_ready(&mut self, token: Token, scratch: &mut [u8]) -> io::Result<()> {
        if token == LISTENER {
            return self.accept();
        }
        let index = token.0 / 2;
        if token.0.is_multiple_of(2) {
            if let Some(call) = self.calls.get_mut(index) {
                call.wire.flush();
                call.wire.receive(scratch);
            }
            self.read_call(index);
        } else {
            if let Some(agent) = self.agents.get_mut(index) {
                agent.wire.flush();
                agent.wire.receive(scratch);
            }
            self.read_agent(index);
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            socket.set_nodelay(true)?;
            let token = Token(self.agents.len() * 2 + 1);
            self.poll.registry().register(
                &mut socket,
                token,
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.agents.push(Agent {
                wire: Wire::new(socket, Role::Server),
                state: AgentState::Asked,
                n_sent: 0,
                slot: 0,
                turn: 1,
                interrupted_at: None,
                heard: Tally::default(),
                call: None,
            });
        }
    }

    fn read_call(&mut self, index: usize) {
        let now = self.now();
        let (is_measured, seen) = (self.is_measured, &mut self.seen);
        let Some(call) = self.calls.get_mut(index) else {
            return;
        };
        if !call.is_up {
            if call.wire.head().is_none() {
                return;
            }
            call.is_up = true;
            call.wire.socket.set_nodelay(true).ok();
            call.wire
                .text(&[r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#]);
            let start = format!(
                r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC1","streamSid":"MZ00000000000000000000000000000001","callSid":"CA{index}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{}}}},"streamSid":"MZ00000000000000000000000000000001"}}"#
            );
            call.wire.text(&[&start]);
            call.started_at = Some(now);
        }
        let started_at = call.started_at.unwrap_or(now);
        let (heard, speaker) = (&mut call.heard, &mut call.agent);
        let agents = &mut self.agents;
        let mut marks = Vec::new();
        call.wire.messages(|message| {
            let Message::Text(text) = message else {
                return;
            };
            let Some(stamp) = Stamp::of(text) else {
                if text.contains(r#""clear""#) {
                    // Which agent it was is told by the frame that came before.
                    let agent = agents.iter_mut().find(|it| it.call == Some(index));
                    if let Some(at) = agent.and_then(|it| it.interrupted_at.take())
                        && is_measured
                    {
                        seen.clears.push(micros(now - at));
                    }
                } else if let Some(name) = mark_name(text) {
                    marks.push(name.to_owned());
                }
                return;
            };
            *speaker = Some(stamp.call);
            if heard.take(stamp.number) {
                seen.set_up.push(micros(now - started_at));
            }
            if is_measured {
                seen.to_callee.push(micros(now.saturating_sub(stamp.at)));
            }
        });
        for name in marks {
            let frame = format!(
                r#"{{"event":"mark","streamSid":"MZ00000000000000000000000000000001","mark":{{"name":"{name}"}}}}"#
            );
            call.wire.text(&[&frame]);
        }
    }

    fn read_agent(&mut self, index: usize) {
        let now = self.now();
        let address = self.agent;
        let delay = u64::try_from(self.agent_delay.as_micros()).unwrap_or(u64::MAX);
        let (is_measured, seen) = (self.is_measured, &mut self.seen);
        let Some(agent) = self.agents.get_mut(index) else {
            return;
        };
        if matches!(agent.state, AgentState::Asked)
            && let Some(head) = agent.wire.head()
        {
            agent.answer(&head, address, now + delay);
        }
        let (mut is_opened, mut is_closed) = (false, agent.wire.is_gone);
        let (heard, call) = (&mut agent.heard, &mut agent.call);
        if matches!(agent.state, AgentState::Open | AgentState::Speaking) {
            agent.wire.messages(|message| match message {
                Message::Text(text) => match Stamp::of(text) {
                    Some(stamp) => {
                        *call = Some(stamp.call);
                        heard.take(stamp.number);
                        if is_measured {
                            seen.to_agent.push(micros(now.saturating_sub(stamp.at)));
                        }
                    }
                    None => is_opened |= text.contains("conversation_initiation_client_data"),
                },
                Message::Close(_) => is_closed = true,
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) => {}
            });
        }
        if is_opened && matches!(agent.state, AgentState::Open) {
            agent.state = AgentState::Speaking;
            agent.slot = slot_of(self.n_speaking);
            self.n_speaking += 1;
            let metadata = format!(
                r#"{{"type":"conversation_initiation_metadata","conversation_initiation_metadata_event":{{"conversation_id":"conv_{index}","agent_output_audio_format":"ulaw_8000","user_input_audio_format":"ulaw_8000"}}}}"#
            );
            agent.wire.text(&[&metadata]);
            agent.speak(index, now);
        }
        if is_closed && !matches!(agent.state, AgentState::Gone) {
            if matches!(agent.state, AgentState::Speaking) {
                let mask = agent.wire.mask;
                write::close(&mut agent.wire.unsent, mask, NORMAL, "");
                agent.wire.flush();
            }
            agent.state = AgentState::Gone;
            let stopped_at = agent
                .call
                .and_then(|call| self.calls.get(call))
                .and_then(|call| call.stopped_at);
            if let Some(at) = stopped_at {
                seen.closed.push(micros(now - at));
            }
            // The socket is closed with what it still has to send.
            drop(agent.wire.socket.shutdown(std::net::Shutdown::Write));
        }
    }

    fn hang_up(&mut self) {
        let now = self.now();
        for call in &mut self.calls {
            if call.is_up {
                call.wire.text(&[
                    r#"{"event":"stop","sequenceNumber":"9","streamSid":"MZ00000000000000000000000000000001","stop":{"accountSid":"AC1","callSid":"CA1"}}"#,
                ]);
                call.stopped_at = Some(now);
            }
        }
    }

    /// What became of all frames, and which calls did not come up or were left.
    fn sum_up(&mut self) {
        let seen = &mut self.seen;
        for agent in &self.agents {
            if let Some(call) = agent.call.and_then(|call| self.calls.get(call)) {
                seen.frames_to_agent += agent.heard.frames(call.n_sent);
            }
            if matches!(agent.state, AgentState::Speaking | AgentState::Open) {
                seen.n_failed += 1;
            }
        }
        for call in &self.calls {
            if let Some(agent) = call.agent.and_then(|agent| self.agents.get(agent)) {
                seen.frames_to_callee += call.heard.frames(agent.n_sent);
            }
            // Of such a call it is not known whose frames are missing.
            if call.heard.is_empty() {
                seen.n_failed += 1;
            }
        }
    }
}

impl Agent {
    /// Answers a request: with an address, or with a socket a little later.
    fn answer(&mut self, head: &str, address: SocketAddr, at: u64) {
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key")
                .then(|| value.trim())
        });
        match key {
            Some(key) => {
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {}\r\n\r\n",
                    accept_key(key)
                );
                self.state = AgentState::Accepting { answer, at };
            }
            None => {
                let body = format!(
                    r#"{{"signed_url":"ws://{address}/v1/convai/conversation?agent_id=agent_1"}}"#
                );
                self.wire.raw(&format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                ));
                self.state = AgentState::Gone;
                drop(self.wire.socket.shutdown(std::net::Shutdown::Write));
            }
        }
    }

    /// 20 ms of speech, and every two seconds an interruption before it.
    fn speak(&mut self, index: usize, now: u64) {
        if self.n_sent % 100 == 99 {
            let turn = self.turn.to_string();
            self.interrupted_at = Some(now);
            self.wire.text(&[
                r#"{"type":"interruption","interruption_event":{"event_id":"#,
                &turn,
                "}}",
            ]);
            self.turn += 1;
        }
        let turn = self.turn.to_string();
        let payload = payload(index, self.n_sent, now);
        self.wire.text(&[
            r#"{"type":"audio","audio_event":{"audio_base_64":""#,
            &payload,
            r#"","event_id":"#,
            &turn,
            "}}",
        ]);
        self.n_sent += 1;
    }
}

/// The slot of the `n`th who speaks: far from those of its neighbours.
fn slot_of(n: usize) -> usize {
    n * 77 % SLOTS
}

fn mark_name(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(r#""mark":{"name":""#)?;
    rest.split_once('"').map(|(name, _)| name)
}

fn micros(duration: u64) -> u32 {
    u32::try_from(duration).unwrap_or(u32::MAX)
}
