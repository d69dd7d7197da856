//! Listening in: what is said in a call goes to those who listen, without touching the call's way.
//!
//! A call has a [`Tap`]. While nobody listens it is an empty list, and that is all that it costs. Whoever
//! listens has an [`Ear`] behind a bounded channel. The call never waits for one: what does not fit is
//! lost to that listener alone, and counted. [`Playout`] is pure: agents send speech faster than it is
//! played, so it holds an agent's speech back until the callee hears it.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{sync::mpsc, time::sleep_until};

use super::audio::{FRAME, FRAME_BYTES};

/// How much of a call may wait for a listener's task, which takes it at once unless the machine is busy.
const PIECES_WAITING: usize = 256;

/// How much of what the callee said waits for a listener who takes it too slowly, in bytes: a second.
const MAX_CALLEE: usize = 50 * FRAME_BYTES;

/// How far a listener may be behind with what the agent said.
const MAX_LATE: Duration = Duration::from_secs(1);

/// How much of the agent's speech may wait to be played, in bytes: a minute.
const MAX_AGENT: usize = 60 * 50 * FRAME_BYTES;

/// A piece of a call, as it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Overheard {
    Callee(Arc<[u8]>),
    Agent(Arc<[u8]>),
    Cleared,
}

/// What somebody hears who listens in. Audio is mu-law at 8 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// What the callee says, as it comes.
    Callee(Arc<[u8]>),
    /// What the callee hears of the agent, as it is played.
    Agent(Vec<u8>),
    /// The callee spoke over the agent, and hears no more of what it was saying.
    Cleared,
    /// So much was lost to this listener here.
    Lost(Duration),
}

/// Where a call's tap leads to one [`Ear`].
#[derive(Debug)]
pub struct Lead {
    pieces: mpsc::Sender<Overheard>,
    n_lost: Arc<AtomicU64>,
}

/// Where one listener hears a call.
#[derive(Debug)]
pub struct Ear {
    pieces: mpsc::Receiver<Overheard>,
    /// The call is over, or was before anybody listened.
    is_over: bool,
    n_lost: Arc<AtomicU64>,
    playout: Playout,
}

/// An ear, and what a call needs to be heard with it.
pub fn ear() -> (Lead, Ear) {
    let (sender, pieces) = mpsc::channel(PIECES_WAITING);
    let n_lost = Arc::new(AtomicU64::new(0));
    let lead = Lead {
        pieces: sender,
        n_lost: n_lost.clone(),
    };
    let ear = Ear {
        pieces,
        is_over: false,
        n_lost,
        playout: Playout::new(now()),
    };
    (lead, ear)
}

/// Those who listen to a call.
#[derive(Debug, Default)]
pub(super) struct Tap {
    leads: Vec<Lead>,
}

impl Tap {
    /// One more listens, from now on.
    pub fn add(&mut self, lead: Lead) {
        self.leads.push(lead);
    }

    /// The callee said something.
    pub fn callee(&mut self, payload: &str) {
        if !self.leads.is_empty() {
            self.pass_audio(payload, Overheard::Callee);
        }
    }

    /// The agent said something that the callee is going to hear.
    pub fn agent(&mut self, payload: &str) {
        if !self.leads.is_empty() {
            self.pass_audio(payload, Overheard::Agent);
        }
    }

    /// What the callee has not heard of the agent is not played any more.
    pub fn clear(&mut self) {
        if !self.leads.is_empty() {
            self.pass(&Overheard::Cleared, 0);
        }
    }

    /// Nothing more is to be heard.
    pub fn close(&mut self) {
        self.leads = Vec::new();
    }

    /// Decoded once, whoever listens; audio that cannot be decoded is no sound to anybody.
    fn pass_audio(&mut self, payload: &str, piece: fn(Arc<[u8]>) -> Overheard) {
        if let Ok(audio) = STANDARD.decode(payload) {
            let n_bytes = audio.len();
            self.pass(&piece(audio.into()), n_bytes);
        }
    }

    fn pass(&mut self, piece: &Overheard, n_bytes: usize) {
        self.leads
            .retain(|lead| match lead.pieces.try_send(piece.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    lead.n_lost.fetch_add(n_bytes as u64, Ordering::Relaxed);
                    true
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
    }
}

impl Ear {
    /// Waits for what is to be heard next; none when the call is over. May be dropped at any time
    /// without losing anything.
    pub async fn next(&mut self) -> Option<Sound> {
        loop {
            self.take_what_waits();
            if let Some(sound) = self.playout.next(now()) {
                return Some(sound);
            }
            if self.is_over {
                return None;
            }
            let piece = match self.playout.next_at() {
                Some(at) => tokio::select! {
                    piece = self.pieces.recv() => piece,
                    () = sleep_until(at.into()) => continue,
                },
                None => self.pieces.recv().await,
            };
            self.take(piece);
        }
    }

    /// Takes what comes while nothing can be passed on, and drops the oldest of it. Never ends.
    pub async fn fall_behind(&mut self) -> Infallible {
        while !self.is_over {
            let piece = self.pieces.recv().await;
            self.take(piece);
        }
        std::future::pending().await
    }

    fn take_what_waits(&mut self) {
        while !self.is_over {
            match self.pieces.try_recv() {
                Ok(piece) => self.take(Some(piece)),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => self.take(None),
            }
        }
    }

    fn take(&mut self, piece: Option<Overheard>) {
        match piece {
            Some(piece) => self.playout.take(piece, now()),
            None => self.is_over = true,
        }
        self.playout.n_lost += self.n_lost.swap(0, Ordering::Relaxed);
    }
}

/// The time that the runtime goes by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What a listener hears next, and when.
#[derive(Debug)]
struct Playout {
    /// What the callee said and nobody has taken yet.
    callee: VecDeque<Arc<[u8]>>,
    /// What the agent said and the callee has not heard yet.
    agent: VecDeque<u8>,
    /// When the first of it is heard.
    agent_at: Instant,
    is_cleared: bool,
    /// How many bytes were lost since that was told.
    n_lost: u64,
}

impl Playout {
    fn new(now: Instant) -> Self {
        Self {
            callee: VecDeque::new(),
            agent: VecDeque::new(),
            agent_at: now,
            is_cleared: false,
            n_lost: 0,
        }
    }

    fn take(&mut self, piece: Overheard, now: Instant) {
        match piece {
            Overheard::Callee(audio) => {
                self.callee.push_back(audio);
                self.shorten_callee();
            }
            Overheard::Agent(audio) => {
                self.skip_late(now);
                if self.agent.is_empty() {
                    self.agent_at = self.agent_at.max(now);
                }
                self.agent.extend(audio.iter());
                self.n_lost += self.agent.len().saturating_sub(MAX_AGENT) as u64;
                self.agent.truncate(MAX_AGENT);
            }
            Overheard::Cleared => {
                self.agent = VecDeque::new();
                self.agent_at = now;
                self.is_cleared = true;
            }
        }
    }

    fn shorten_callee(&mut self) {
        let mut n_bytes: usize = self.callee.iter().map(|audio| audio.len()).sum();
        while n_bytes > MAX_CALLEE
            && self.callee.len() > 1
            && let Some(oldest) = self.callee.pop_front()
        {
            n_bytes -= oldest.len();
            self.n_lost += oldest.len() as u64;
        }
    }

    /// Drops the oldest of what the callee heard too long ago.
    fn skip_late(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.agent_at);
        if late > MAX_LATE {
            let n_bytes = bytes_of(late - MAX_LATE).min(self.agent.len());
            self.agent.drain(..n_bytes);
            self.agent_at += length_of(n_bytes as u64);
            self.n_lost += n_bytes as u64;
        }
    }

    fn next(&mut self, now: Instant) -> Option<Sound> {
        self.skip_late(now);
        if self.n_lost > 0 {
            return Some(Sound::Lost(length_of(std::mem::take(&mut self.n_lost))));
        }
        if std::mem::take(&mut self.is_cleared) {
            return Some(Sound::Cleared);
        }
        // Never more than is due, so the callee always has a turn.
        if !self.agent.is_empty() && self.agent_at <= now {
            return Some(Sound::Agent(self.agent_until(now)));
        }
        self.callee.pop_front().map(Sound::Callee)
    }

    /// The frames of which the callee has heard the beginning.
    fn agent_until(&mut self, now: Instant) -> Vec<u8> {
        let since = now.saturating_duration_since(self.agent_at);
        let n_frames = usize::try_from(since.as_millis() / FRAME.as_millis()).unwrap_or(0) + 1;
        let n_bytes = (n_frames * FRAME_BYTES).min(self.agent.len());
        self.agent_at += length_of(n_bytes as u64);
        self.agent.drain(..n_bytes).collect()
    }

    /// When there is something to hear, if nothing comes before; none while nothing waits.
    fn next_at(&self) -> Option<Instant> {
        (!self.agent.is_empty()).then_some(self.agent_at)
    }
}

/// How long so many bytes of mu-law play.
fn length_of(n_bytes: u64) -> Duration {
    Duration::from_micros(n_bytes * 125)
}

/// How many whole samples play in that time.
fn bytes_of(time: Duration) -> usize {
    usize::try_from(time.as_micros() / 125).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
