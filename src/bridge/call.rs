//! The loop of one call: one task, two directions, and nothing in it that waits for a slow side.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    pin::pin,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agents::{AgentEnd, AgentError, AgentEvent, AgentSession, ToAgent},
    domain::{attempt::Party, event::TranscriptLine},
    telephony::media::{FromCallee, ToCallee},
};

use super::{
    BridgeEnd, BridgeEvent, BridgeSettings, CalleeLeg, audio, outlet::Outlet,
    transcript::Transcript, turn::Playback,
};

/// While this much waits for the callee or for reports, nothing more is read from the agent.
const MAX_WAITING: usize = 256;

/// Whether the call goes on, or how it ended.
type Flow = ControlFlow<BridgeEnd>;

/// One call while it lasts.
pub(super) struct Call {
    settings: BridgeSettings,
    began: Instant,
    from_callee: mpsc::Receiver<FromCallee>,
    to_callee: Outlet<ToCallee>,
    report: Outlet<BridgeEvent>,
    session: Option<AgentSession>,
    to_agent: Outlet<ToAgent>,
    phase: Phase,
    playback: Playback,
    transcript: Transcript,
    callee_seen_at: Instant,
    agent_spoke_at: Option<Instant>,
    /// What waited for the agent to be ready has reached it.
    is_caught_up: bool,
    n_dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The agent is not ready.
    Opening {
        until: Instant,
    },
    Live,
    /// The agent is done; its last words are still being played.
    LastWords {
        until: Instant,
    },
}

impl Call {
    pub fn new(
        settings: BridgeSettings,
        leg: CalleeLeg,
        report: mpsc::Sender<BridgeEvent>,
    ) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Opening {
                until: now + settings.agent_ready_within,
            },
            settings,
            began: now,
            from_callee: leg.from,
            to_callee: Outlet::to(leg.to),
            report: Outlet::to(report),
            session: None,
            to_agent: Outlet::not_yet(),
            playback: Playback::default(),
            transcript: Transcript::default(),
            callee_seen_at: now,
            agent_spoke_at: None,
            is_caught_up: false,
            n_dropped: 0,
        }
    }

    /// Carries the call until somebody leaves.
    pub async fn talk(
        &mut self,
        opening: impl Future<Output = Result<AgentSession, AgentError>>,
        stop: &CancellationToken,
    ) -> BridgeEnd {
        let mut opening = pin!(opening);
        let mut is_opening = true;
        // Most deadlines move on with every frame. The timer is set again only when one comes nearer,
        // and when it rings too early; then nothing is due.
        let mut timer = pin!(sleep_until(self.next_deadline()));
        loop {
            let wake_at = self.next_deadline();
            if wake_at < timer.deadline() {
                timer.as_mut().reset(wake_at);
            }
            let flow = tokio::select! {
                biased;
                () = stop.cancelled() => Break(left(Party::System, None)),
                message = self.from_callee.recv() => self.on_callee(message),
                opened = &mut opening, if is_opening => {
                    is_opening = false;
                    self.on_opened(opened)
                }
                event = next_event(&mut self.session), if self.has_room() => self.on_agent(event),
                sent = self.to_callee.forward() => match sent {
                    Ok(()) => Continue(()),
                    Err(_gone) => Break(self.callee_gone()),
                },
                sent = self.to_agent.forward() => {
                    if sent.is_err() {
                        // The session is over; its last event says why.
                        self.to_agent.disconnect();
                    }
                    Continue(())
                }
                sent = self.report.forward() => {
                    if sent.is_err() {
                        self.report.disconnect();
                    }
                    Continue(())
                }
                () = &mut timer => {
                    let flow = self.on_deadline();
                    timer.as_mut().reset(self.next_deadline());
                    flow
                }
            };
            if let Break(end) = flow {
                return end;
            }
        }
    }

    /// Closes both sides: the agent at once, the callee behind what is still to be sent.
    pub async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            // When the channel is full the dropped session says the same.
            session.commands.try_send(ToAgent::Close).ok();
        }
        self.to_agent.disconnect();
        if let Some(line) = self.transcript.finish() {
            self.report.push(BridgeEvent::Line(line));
        }
        self.drop_waiting_speech();
        self.to_callee.push(ToCallee::Close);
        let closing = async { tokio::join!(self.to_callee.flush(), self.report.flush()) };
        if timeout(self.settings.closing_within, closing)
            .await
            .is_err()
        {
            tracing::warn!("the last messages of a call were not taken in time");
        }
        if self.n_dropped > 0 {
            tracing::warn!(
                n_dropped = self.n_dropped,
                "callee audio was dropped because the agent read too slowly"
            );
        }
    }

    fn on_callee(&mut self, message: Option<FromCallee>) -> Flow {
        let Some(message) = message else {
            return Break(self.callee_gone());
        };
        self.callee_seen_at = Instant::now();
        match message {
            FromCallee::Audio(payload) => self.hear(ToAgent::Audio(payload)),
            FromCallee::Key(key) => {
                self.report.push(BridgeEvent::Key(key));
                self.hear(ToAgent::Key(key));
            }
            FromCallee::Mark(name) => {
                self.playback.echoed(&name, self.elapsed());
                return self.end_when_played_out();
            }
            FromCallee::Stopped => return Break(left(self.first_to_leave(Party::Callee), None)),
            // A stream starts once; what it says was read before the call came here.
            FromCallee::Started(_) => {}
        }
        Continue(())
    }

    /// Passes on what the callee says or presses; the oldest is dropped when too much waits.
    fn hear(&mut self, command: ToAgent) {
        self.to_agent.push(command);
        if self.to_agent.n_waiting() == 0 {
            self.is_caught_up = true;
            return;
        }
        let most = if self.is_caught_up {
            self.settings.late_audio
        } else {
            self.settings.early_audio
        };
        let n_frames = most.as_millis() / audio::FRAME.as_millis();
        self.n_dropped += self
            .to_agent
            .shorten(usize::try_from(n_frames).unwrap_or(usize::MAX));
    }

    fn on_opened(&mut self, opened: Result<AgentSession, AgentError>) -> Flow {
        match opened {
            Ok(session) => {
                self.session = Some(session);
                Continue(())
            }
            Err(error) => self.agent_failed(error.to_string()),
        }
    }

    fn on_agent(&mut self, event: Option<AgentEvent>) -> Flow {
        let Some(event) = event else {
            return self.agent_failed("the agent's session broke off without a word".to_owned());
        };
        match event {
            AgentEvent::Ready { conversation } => {
                self.phase = Phase::Live;
                if let Some(session) = &self.session {
                    self.to_agent.connect(session.commands.clone());
                }
                self.report.push(BridgeEvent::AgentJoined { conversation });
            }
            AgentEvent::Audio { turn, payload } => self.speak(turn, payload),
            AgentEvent::Interrupted { turn } => self.interrupt(turn),
            AgentEvent::AgentSaid { turn, text } => {
                let line = self.transcript.agent_said(turn, &text);
                self.report_line(line);
            }
            AgentEvent::AgentCorrected { turn, text } => {
                let line = self.transcript.agent_corrected(turn, &text);
                self.report_line(line);
            }
            AgentEvent::CalleeSaid { text, is_final } => {
                let line = self.transcript.callee_said(&text, is_final);
                self.report_line(line);
            }
            AgentEvent::OptedOut { reason } => self.report.push(BridgeEvent::OptedOut { reason }),
            AgentEvent::Ended(end) => return self.on_agent_end(end),
        }
        Continue(())
    }

    fn on_agent_end(&mut self, end: AgentEnd) -> Flow {
        match end {
            AgentEnd::Finished => {
                self.session = None;
                self.to_agent.disconnect();
                self.push_mark();
                let wait = self.playback.queued(self.elapsed()) + self.settings.last_words_grace;
                self.phase = Phase::LastWords {
                    until: Instant::now() + wait,
                };
                self.end_when_played_out()
            }
            AgentEnd::Closed => Break(left(
                Party::System,
                Some("the agent's session was closed on our side".to_owned()),
            )),
            AgentEnd::Failed { detail } => self.agent_failed(detail),
        }
    }

    /// Sends the agent's speech to the callee, in pieces that a clear can fall between.
    fn speak(&mut self, turn: u64, payload: String) {
        let length = audio::duration(&payload);
        if payload.is_empty() || !self.playback.wants(turn) {
            return;
        }
        let mark = self.playback.send(turn, length, self.elapsed());
        if let Some(name) = mark {
            self.to_callee.push(ToCallee::Mark(name));
        }
        if length <= self.settings.longest_piece {
            self.to_callee.push(ToCallee::Audio(payload));
        } else {
            for piece in audio::parts(&payload, self.settings.longest_piece) {
                self.to_callee.push(ToCallee::Audio(piece.to_owned()));
            }
        }
        if self.agent_spoke_at.replace(Instant::now()).is_none() {
            self.report.push(BridgeEvent::FirstAudio);
        }
    }

    fn interrupt(&mut self, turn: u64) {
        let cut = self.playback.interrupt(turn, self.elapsed());
        self.drop_waiting_speech();
        self.to_callee.push(ToCallee::Clear);
        self.report.push(BridgeEvent::Interrupted);
        for line in self.transcript.cut_short(&cut) {
            self.report.push(BridgeEvent::Line(line));
        }
    }

    fn agent_failed(&mut self, detail: String) -> Flow {
        self.drop_waiting_speech();
        self.to_callee.push(ToCallee::Clear);
        self.report.push(BridgeEvent::AgentFailed {
            detail: detail.clone(),
        });
        Break(left(Party::Agent, Some(detail)))
    }

    fn on_deadline(&mut self) -> Flow {
        let now = Instant::now();
        if now >= self.callee_seen_at + self.settings.dead_line_after {
            let detail = format!(
                "nothing came from the carrier for {} s",
                self.settings.dead_line_after.as_secs()
            );
            return Break(left(Party::System, Some(detail)));
        }
        match self.phase {
            Phase::Opening { until } if now >= until => {
                return self.agent_failed(format!(
                    "the agent was not ready within {} s",
                    self.settings.agent_ready_within.as_secs()
                ));
            }
            Phase::LastWords { until } if now >= until => return Break(left(Party::Agent, None)),
            Phase::Opening { .. } | Phase::LastWords { .. } | Phase::Live => {}
        }
        if self.turn_ends_at().is_some_and(|at| now >= at) {
            self.push_mark();
        }
        Continue(())
    }

    fn next_deadline(&self) -> Instant {
        let dead_line_at = self.callee_seen_at + self.settings.dead_line_after;
        let phase_ends_at = match self.phase {
            Phase::Opening { until } | Phase::LastWords { until } => Some(until),
            Phase::Live => None,
        };
        [phase_ends_at, self.turn_ends_at()]
            .into_iter()
            .flatten()
            .fold(dead_line_at, Instant::min)
    }

    /// When the agent's turn counts as complete if it says no more.
    fn turn_ends_at(&self) -> Option<Instant> {
        self.agent_spoke_at
            .filter(|_| self.playback.is_unmarked())
            .map(|at| at + self.settings.turn_pause)
    }

    fn end_when_played_out(&self) -> Flow {
        match self.phase {
            Phase::LastWords { .. } if self.playback.is_played_out() => {
                Break(left(Party::Agent, None))
            }
            Phase::LastWords { .. } | Phase::Opening { .. } | Phase::Live => Continue(()),
        }
    }

    fn callee_gone(&mut self) -> BridgeEnd {
        self.to_callee.disconnect();
        match self.phase {
            Phase::LastWords { .. } => left(Party::Agent, None),
            Phase::Opening { .. } | Phase::Live => BridgeEnd {
                by: None,
                detail: Some("the carrier closed the media socket".to_owned()),
            },
        }
    }

    /// `party`, unless the agent was done before.
    fn first_to_leave(&self, party: Party) -> Party {
        match self.phase {
            Phase::LastWords { .. } => Party::Agent,
            Phase::Opening { .. } | Phase::Live => party,
        }
    }

    fn push_mark(&mut self) {
        if let Some(name) = self.playback.mark() {
            self.to_callee.push(ToCallee::Mark(name));
        }
    }

    fn drop_waiting_speech(&mut self) {
        self.to_callee
            .retain(|message| matches!(message, ToCallee::Clear | ToCallee::Close));
    }

    fn report_line(&mut self, line: Option<TranscriptLine>) {
        if let Some(line) = line {
            self.report.push(BridgeEvent::Line(line));
        }
    }

    fn has_room(&self) -> bool {
        self.to_callee.n_waiting() < MAX_WAITING && self.report.n_waiting() < MAX_WAITING
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

fn left(by: Party, detail: Option<String>) -> BridgeEnd {
    BridgeEnd {
        by: Some(by),
        detail,
    }
}

/// What the agent says next; for ever nothing while there is no session.
async fn next_event(session: &mut Option<AgentSession>) -> Option<AgentEvent> {
    match session {
        Some(session) => session.events.recv().await,
        None => std::future::pending().await,
    }
}
