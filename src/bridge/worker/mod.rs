//! Media workers: a few threads that own all calls' sockets.
//!
//! A task per call is woken for each frame, and the waking costs more than the frame. A worker wakes
//! once a tick, reads every socket that has something, sends each peer what it gets in one write and
//! sleeps; without calls it does not wake at all. What it does with a call is the same [`super::call`]
//! that the tasks drive.

mod ends;
mod live;
mod socket;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::future::BoxFuture;
use mio::{Events, Poll, Registry, Token, Waker};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_tungstenite::MaybeTlsStream;
use tokio_util::sync::CancellationToken;

use crate::{
    agents::{
        AgentError, ToolAnswer,
        link::{AgentLink, LinkStream},
    },
    telephony::media::StreamDialect,
};

use super::{BridgeEnd, BridgeSettings, OperatorRequest, Uplink};
use live::{Live, NewCall, Side};
use socket::{Stream, TlsStream};

/// What a worker receives into; a frame has 400 bytes, and few wait in one socket.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How many sockets are told of at once; with more the worker does not sleep in between.
const MAX_EVENTS: usize = 4096;
/// How many commands may wait for a worker; then whoever gives one waits.
const MAX_COMMANDS: usize = 1024;
/// How soon a call's timer rings again.
const SOONEST: Duration = Duration::from_millis(1);
/// The one token that is no socket's.
const WAKE: Token = Token(usize::MAX);

/// How calls are carried by workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSettings {
    /// How many threads.
    pub n_threads: usize,
    /// How long a worker sleeps at least between two rounds. Audio is late by half of it on average.
    pub tick: Duration,
}

impl Default for WorkerSettings {
    /// One thread for two processors: the kernel needs the other. The tick keeps the delay that is added
    /// below a millisecond for most frames.
    fn default() -> Self {
        let n_processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            n_threads: (n_processors / 2).max(1),
            tick: Duration::from_micros(700),
        }
    }
}

/// A connection to an agent that is being opened.
pub type Opening<'a> = BoxFuture<'a, Result<AgentLink, AgentError>>;

/// The carrier's socket of a call, after its first frame was read.
#[derive(Debug)]
pub struct CalleeSocket {
    /// The socket. Does not block, and is registered with no other loop.
    pub stream: std::net::TcpStream,
    /// What came behind the first frame.
    pub received: Vec<u8>,
    /// What is spoken on it.
    pub dialect: Box<dyn StreamDialect>,
}

/// The threads that carry calls. They end when the last clone is dropped and their calls are over.
#[derive(Clone)]
pub struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    workers: Vec<Arc<Handle>>,
    next_id: AtomicU64,
}

/// A worker, as seen from outside.
struct Handle {
    /// Taken when the handle is dropped, so that the worker finds it gone when it is woken.
    commands: Option<mpsc::Sender<Command>>,
    waker: Waker,
    n_calls: Arc<AtomicUsize>,
}

enum Command {
    Begin(NewCall),
    AgentUp(u64, AgentSocket),
    AgentRefused(u64, String),
    Answer(u64, ToolAnswer),
    Stop(u64),
    Operator(u64, OperatorRequest),
    Release(u64, oneshot::Sender<()>),
}

struct AgentSocket {
    stream: Stream,
    received: Vec<u8>,
    dialect: Box<dyn crate::agents::Dialect>,
}

/// A talk that is over, whose media socket is still open: closing it makes the carrier go on with its
/// instructions, which are asked for then.
#[must_use = "the media socket stays open until it is released"]
pub struct Held {
    id: u64,
    worker: Arc<Handle>,
}

impl Held {
    /// Closes the media socket and waits until it is.
    pub async fn release(self) {
        let (closed, is_closed) = oneshot::channel();
        self.worker.tell(Command::Release(self.id, closed)).await;
        // A worker that forgot the call has closed its socket.
        is_closed.await.ok();
    }
}

impl Workers {
    /// Starts the threads.
    pub fn start(settings: WorkerSettings) -> io::Result<Self> {
        let workers = (0..settings.n_threads.max(1))
            .map(|n| Handle::start(n, settings.tick).map(Arc::new))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            inner: Arc::new(Inner {
                workers,
                next_id: AtomicU64::new(1),
            }),
        })
    }

    /// Carries one call from its media stream's start to its end; what holds is said at
    /// [`super::Bridge::run`], except that the media socket is still open when this returns.
    pub async fn carry(
        &self,
        callee: CalleeSocket,
        opening: Opening<'_>,
        settings: BridgeSettings,
        uplink: impl Into<Uplink>,
        stop: &CancellationToken,
    ) -> (BridgeEnd, Held) {
        let Uplink {
            report: reports,
            mut requests,
            mut answers,
        } = uplink.into();
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let worker = self.least_busy();
        let (done, mut is_done) = oneshot::channel();
        let held = Held {
            id,
            worker: worker.clone(),
        };
        let begin = NewCall {
            id,
            callee: Stream::Plain(mio::net::TcpStream::from_std(callee.stream)),
            received: callee.received,
            dialect: callee.dialect,
            settings,
            reports,
            done,
        };
        worker.tell(Command::Begin(begin)).await;
        let guard = StopWhenDropped {
            id,
            worker: &worker,
        };
        // Let go once it is done: it is the largest thing that a call needs.
        let mut opening = Some(opening);
        let mut is_stopped = false;
        let mut is_attended = true;
        let end = loop {
            tokio::select! {
                biased;
                end = &mut is_done => break end.unwrap_or_else(|_| broken()),
                () = stop.cancelled(), if !is_stopped => {
                    is_stopped = true;
                    worker.tell(Command::Stop(id)).await;
                }
                request = requests.recv(), if is_attended => match request {
                    Some(request) => worker.tell(Command::Operator(id, request)).await,
                    None => is_attended = false,
                },
                answer = Uplink::next_answer(&mut answers) => {
                    worker.tell(Command::Answer(id, answer)).await;
                }
                opened = opened(&mut opening) => {
                    opening = None;
                    worker.tell(on_opened(id, opened)).await;
                }
            }
        };
        std::mem::forget(guard);
        (end, held)
    }

    /// A worker that is gone has no calls, and must not get them all.
    fn least_busy(&self) -> Arc<Handle> {
        let burden =
            |worker: &&Arc<Handle>| (worker.is_gone(), worker.n_calls.load(Ordering::Relaxed));
        let worker = self.inner.workers.iter().min_by_key(burden);
        worker.expect("there is at least one worker").clone()
    }
}

/// The agent's connection; for ever nothing once it was had.
async fn opened(opening: &mut Option<Opening<'_>>) -> Result<AgentLink, AgentError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

fn on_opened(id: u64, opened: Result<AgentLink, AgentError>) -> Command {
    let refused = |error: &dyn std::fmt::Display| Command::AgentRefused(id, error.to_string());
    let link = match opened {
        Ok(link) => link,
        Err(error) => return refused(&error),
    };
    match take_over(link.stream) {
        Ok(stream) => Command::AgentUp(
            id,
            AgentSocket {
                stream,
                received: link.received,
                dialect: link.dialect,
            },
        ),
        Err(error) => refused(&error),
    }
}

/// Takes a socket out of the runtime's hands.
fn take_over(stream: LinkStream) -> io::Result<Stream> {
    let to_mio =
        |socket: tokio::net::TcpStream| socket.into_std().map(mio::net::TcpStream::from_std);
    match stream {
        MaybeTlsStream::Plain(socket) => Ok(Stream::Plain(to_mio(socket)?)),
        MaybeTlsStream::Rustls(stream) => {
            let (socket, connection) = stream.into_inner();
            Ok(Stream::Tls(Box::new(TlsStream {
                socket: to_mio(socket)?,
                connection,
            })))
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn broken() -> BridgeEnd {
    BridgeEnd {
        by: None,
        detail: Some("the call's audio broke off".to_owned()),
    }
}

/// Ends the call of a task that was dropped.
struct StopWhenDropped<'a> {
    id: u64,
    worker: &'a Arc<Handle>,
}

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        if let Some(commands) = &self.worker.commands {
            // A full queue leaves the end to the silence of a dead line.
            commands.try_send(Command::Stop(self.id)).ok();
            self.worker.wake();
        }
    }
}

impl Handle {
    fn start(n: usize, tick: Duration) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (commands, incoming) = mpsc::channel(MAX_COMMANDS);
        let n_calls = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            poll,
            tick,
            commands: incoming,
            is_orphaned: false,
            calls: Calls {
                slots: Vec::new(),
                free: Vec::new(),
                by_id: BTreeMap::new(),
                timers: BinaryHeap::new(),
                again: Vec::new(),
                scratch: vec![0; SCRATCH_BYTES],
                n_calls: n_calls.clone(),
            },
        };
        thread::Builder::new()
            .name(format!("media-{n}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            commands: Some(commands),
            waker,
            n_calls,
        })
    }

    async fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands
            && commands.send(command).await.is_err()
        {
            tracing::error!("a media worker is gone");
        }
        self.wake();
    }

    /// Its thread has ended, which only a fault of the machine or of this program does.
    fn is_gone(&self) -> bool {
        self.commands.as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a media worker cannot be woken");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.commands = None;
        self.wake();
    }
}

/// A thread that carries calls.
struct Worker {
    poll: Poll,
    tick: Duration,
    commands: mpsc::Receiver<Command>,
    /// Nobody can begin another call.
    is_orphaned: bool,
    calls: Calls,
}

/// The calls of a worker.
struct Calls {
    slots: Vec<Option<Live>>,
    free: Vec<usize>,
    by_id: BTreeMap<u64, usize>,
    /// When a call's deadline may have come. A deadline that moved on is found out when its timer rings.
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    /// Calls whose sockets were not read to their ends.
    again: Vec<usize>,
    scratch: Vec<u8>,
    n_calls: Arc<AtomicUsize>,
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while self.round(&mut events) {}
    }

    /// Waits until there is something to do, and does it. Returns whether there will be more.
    fn round(&mut self, events: &mut Events) -> bool {
        let now = Instant::now();
        self.take_commands(now);
        if self.is_orphaned && self.calls.by_id.is_empty() {
            return false;
        }
        let wait = if self.calls.again.is_empty() {
            self.calls
                .next_timer()
                .map(|at| at.saturating_duration_since(now))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(events, wait) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::error!(%error, "a media worker cannot wait for its sockets");
                return false;
            }
        }
        let now = Instant::now();
        for event in events.iter() {
            if event.token() != WAKE {
                let is_ending = event.is_read_closed() || event.is_error();
                let is_readable = event.is_readable() || is_ending;
                self.calls
                    .on_ready(event.token(), is_readable, is_ending, now);
            }
        }
        self.calls.read_again(now);
        self.calls.ring(now);
        let is_full = events.iter().nth(MAX_EVENTS - 1).is_some();
        if !is_full && !self.calls.by_id.is_empty() {
            thread::sleep(self.tick.saturating_sub(now.elapsed()));
        }
        true
    }

    fn take_commands(&mut self, now: Instant) {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.calls.obey(command, self.poll.registry(), now),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.is_orphaned = true;
                    return;
                }
            }
        }
    }
}

impl Calls {
    fn obey(&mut self, command: Command, registry: &Registry, now: Instant) {
        let at = now.into_std();
        match command {
            Command::Begin(new) => self.begin(new, registry, now),
            Command::AgentUp(id, agent) => self.with(id, now, |live, slot, scratch| {
                let registered = (registry, token(slot, Side::Agent));
                let AgentSocket {
                    stream,
                    received,
                    dialect,
                } = agent;
                live.agent_is_up(stream, received, dialect, registered, scratch, at);
                live.wants_agent_again()
            }),
            Command::AgentRefused(id, detail) => self.with(id, now, |live, _, _| {
                live.agent_is_refused(detail, at);
                false
            }),
            Command::Answer(id, answer) => self.with(id, now, |live, _, _| {
                live.answer(answer, at);
                false
            }),
            Command::Stop(id) => self.with(id, now, |live, _, _| {
                live.stop(at);
                false
            }),
            Command::Operator(id, request) => self.with(id, now, |live, _, _| {
                live.ask(request, at);
                false
            }),
            Command::Release(id, closed) => self.with(id, now, |live, _, _| {
                live.release(closed, at);
                false
            }),
        }
    }

    fn begin(&mut self, new: NewCall, registry: &Registry, now: Instant) {
        let id = new.id;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let (live, received) = Live::new(new, now.into_std());
        self.slots[slot] = Some(live);
        self.by_id.insert(id, slot);
        self.n_calls.store(self.by_id.len(), Ordering::Relaxed);
        let mut failed = None;
        self.at(slot, now, |live, _| {
            let token = token(slot, Side::Callee);
            failed = live.begin(registry, token, received, now.into_std()).err();
            false
        });
        if let Some(error) = failed {
            tracing::error!(%error, "a media socket cannot be waited for");
            self.forget(slot);
        }
    }

    /// Does something with a call, if it is still here.
    fn with(
        &mut self,
        id: u64,
        now: Instant,
        act: impl FnOnce(&mut Live, usize, &mut [u8]) -> bool,
    ) {
        if let Some(slot) = self.by_id.get(&id).copied() {
            self.at(slot, now, |live, scratch| act(live, slot, scratch));
        }
    }

    /// Does something with the call in a slot, which says whether it has more to read, and sees to its
    /// timer and its end. A panic ends that call alone.
    fn at(&mut self, slot: usize, now: Instant, act: impl FnOnce(&mut Live, &mut [u8]) -> bool) {
        let Some(live) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let scratch = &mut self.scratch;
        let Ok(has_more) = catch_unwind(AssertUnwindSafe(|| act(live, scratch))) else {
            tracing::error!("a call broke off in its media worker");
            return self.forget(slot);
        };
        if live.is_over() {
            return self.forget(slot);
        }
        // Never at once: a deadline that stays would otherwise ring for ever in one round.
        let soonest = now.into_std() + SOONEST;
        let next = live.next_deadline(now.into_std()).max(soonest);
        if live.armed_at.is_none_or(|armed_at| next < armed_at) {
            live.armed_at = Some(next);
            let at = Instant::from_std(next);
            self.timers.push(Reverse((at, slot, live.id)));
        }
        if has_more {
            self.again.push(slot);
        }
    }

    fn forget(&mut self, slot: usize) {
        if let Some(live) = self.slots[slot].take() {
            self.by_id.remove(&live.id);
            self.free.push(slot);
            self.n_calls.store(self.by_id.len(), Ordering::Relaxed);
        }
    }

    fn on_ready(&mut self, token: Token, is_readable: bool, is_ending: bool, now: Instant) {
        let side = if token.0.is_multiple_of(2) {
            Side::Callee
        } else {
            Side::Agent
        };
        self.at(token.0 / 2, now, |live, scratch| {
            live.on_ready(side, is_readable, is_ending, scratch, now.into_std())
        });
    }

    fn read_again(&mut self, now: Instant) {
        for slot in std::mem::take(&mut self.again) {
            self.at(slot, now, |live, scratch| {
                live.read_again(scratch, now.into_std())
            });
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Looks at the calls whose timers ring.
    fn ring(&mut self, now: Instant) {
        while self.next_timer().is_some_and(|at| at <= now) {
            let Some(Reverse((at, slot, id))) = self.timers.pop() else {
                return;
            };
            self.at(slot, now, |live, _| {
                // The slot may have gone to another call, or a nearer timer was set in between.
                if live.id != id || live.armed_at != Some(at.into_std()) {
                    return false;
                }
                live.armed_at = None;
                live.on_deadline(now.into_std());
                live.wants_agent_again()
            });
        }
    }
}

fn token(slot: usize, side: Side) -> Token {
    Token(slot * 2 + usize::from(side == Side::Agent))
}

#[cfg(test)]
mod tests;
