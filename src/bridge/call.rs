//! One call as a state machine: what either side says, and the time, in; what follows, out.
//!
//! Pure. Whoever drives it owns the sockets or channels and says through [`Outputs`] how much waits
//! for them. [`super::channels`] drives it with a task over channels, [`super::worker`] in the loop of
//! a thread that owns many calls.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    ops::ControlFlow::{self, Break, Continue},
    time::{Duration, Instant},
};

use crate::{
    agents::{AgentEnd, AgentEvent, Tool, ToolAnswer, ToolCall},
    domain::{attempt::Party, event::TranscriptLine},
    telephony::media::{FromCallee, ToCallee},
};

use super::{
    BridgeEnd, BridgeEvent, BridgeSettings, HintRefused, OperatorRequest, audio, latency::Latency,
    tap::Tap, transcript::Transcript, turn::Playback,
};

/// While this much waits for the callee or for reports, nothing more is read from the agent.
pub(super) const MAX_WAITING: usize = 256;

/// While this much waits for reports, keys are reported no more. Far above [`MAX_WAITING`], so that the
/// first keys are reported whatever the agent says.
const MAX_KEYS_WAITING: usize = 4 * MAX_WAITING;

/// How often a callee's audio is looked into for a voice.
const LISTENS_EVERY: Duration = Duration::from_millis(100);

/// Whether the call goes on, or how it ended.
pub(super) type Flow = ControlFlow<BridgeEnd>;

/// Where what follows goes. Nothing here waits: what cannot leave is kept, in order.
pub(super) trait Outputs {
    /// Plays a piece of speech to the callee.
    fn play(&mut self, payload: Cow<'_, str>);
    /// Sends the callee's side anything else.
    fn tell_callee(&mut self, message: ToCallee);
    /// Drops speech and marks that still wait for the callee's side.
    fn drop_waiting_speech(&mut self);
    /// Passes on what the callee says.
    fn pass_audio(&mut self, payload: Cow<'_, str>);
    /// Passes on a key that the callee pressed.
    fn pass_key(&mut self, key: char);
    /// Passes on what an operator says to an agent that is ready. Returns whether it was taken.
    fn pass_hint(&mut self, text: String) -> bool;
    /// Those who listen in.
    fn tap(&mut self) -> &mut Tap;
    /// Tells the agent what became of a tool that it used.
    fn answer(&mut self, answer: ToolAnswer);
    /// How much of what the callee said waits for the agent.
    fn n_unheard(&self) -> usize;
    /// Drops the oldest of it beyond `limit`. Returns how many.
    fn shorten_unheard(&mut self, limit: usize) -> u64;
    /// The agent takes what the callee says from now on.
    fn agent_is_ready(&mut self);
    /// The agent takes nothing more.
    fn agent_is_done(&mut self);
    /// How much of what was reported waits.
    fn n_unreported(&self) -> usize;
    /// Tells what happened.
    fn report(&mut self, event: BridgeEvent);
}

/// One call while it lasts.
#[derive(Debug)]
pub(super) struct Call {
    settings: BridgeSettings,
    began: Instant,
    phase: Phase,
    playback: Playback,
    transcript: Transcript,
    latency: Latency,
    callee_seen_at: Instant,
    /// When the callee's words were last understood.
    callee_spoke_at: Option<Instant>,
    agent_spoke_at: Option<Instant>,
    /// Until when either side was last heard: what the agent said is heard while it is played.
    active_until: Instant,
    /// When to look for the callee's voice again.
    listens_at: Instant,
    /// What the agent asked for that takes the callee away from it.
    parting: Option<Parting>,
    /// What an operator says of whether the agent is heard.
    hearing: Hearing,
    /// The latest turn of which the agent said something.
    latest_turn: Option<u64>,
    /// What waited for the agent to be ready has reached it.
    is_caught_up: bool,
    n_dropped: u64,
}

/// Whether the callee hears the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// As ever.
    Open,
    /// An operator muted the agent; of this turn something was not heard.
    Muted { lost_turn: Option<u64> },
    /// It was muted, and is not any more since then.
    Reopened { at: Instant },
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

/// The agent wants to leave the callee: what it has said is to be heard first.
#[derive(Debug)]
struct Parting {
    since: Instant,
    wish: Wish,
}

#[derive(Debug)]
enum Wish {
    /// The call ends.
    End,
    /// Whoever keeps the records sees to it.
    Ask(ToolCall),
}

impl Call {
    pub fn new(settings: BridgeSettings, now: Instant) -> Self {
        Self {
            phase: Phase::Opening {
                until: now + settings.agent_ready_within,
            },
            settings,
            began: now,
            playback: Playback::default(),
            transcript: Transcript::default(),
            latency: Latency::new(now),
            callee_seen_at: now,
            callee_spoke_at: None,
            agent_spoke_at: None,
            active_until: now,
            listens_at: now,
            parting: None,
            hearing: Hearing::Open,
            latest_turn: None,
            is_caught_up: false,
            n_dropped: 0,
        }
    }

    /// The callee said something; the oldest is dropped when too much waits for the agent.
    pub fn on_callee_audio(&mut self, payload: Cow<'_, str>, now: Instant, out: &mut impl Outputs) {
        self.callee_seen_at = now;
        self.listen(&payload, now);
        out.tap().callee(&payload);
        // An agent that has said goodbye is not to answer once more.
        if !self.wants_to_end() {
            out.pass_audio(payload);
        }
        self.bound_unheard(out);
    }

    /// Looks for a voice in what the callee sends, now and then: a callee may speak for minutes before
    /// the agent's vendor tells a word of it.
    fn listen(&mut self, payload: &str, now: Instant) {
        if now >= self.listens_at {
            self.listens_at = now + LISTENS_EVERY;
            if audio::is_loud(payload) {
                self.is_active(now);
                self.latency.voice(now);
            }
        }
    }

    /// Anything else came from the callee's side.
    pub fn on_callee(&mut self, event: FromCallee, now: Instant, out: &mut impl Outputs) -> Flow {
        self.callee_seen_at = now;
        match event {
            FromCallee::Audio(payload) => self.on_callee_audio(Cow::Owned(payload), now, out),
            FromCallee::Key(key) => {
                self.is_active(now);
                if out.n_unreported() < MAX_KEYS_WAITING {
                    out.report(BridgeEvent::Key(key));
                }
                out.pass_key(key);
                self.bound_unheard(out);
            }
            FromCallee::Mark(name) => {
                self.playback.echoed(&name, self.elapsed(now));
                return self.end_when_played_out();
            }
            FromCallee::Stopped => return Break(left(self.first_to_leave(Party::Callee), None)),
            // A stream starts once; what it says was read before the call came here.
            FromCallee::Started(_) => {}
        }
        Continue(())
    }

    fn bound_unheard(&mut self, out: &mut impl Outputs) {
        if out.n_unheard() == 0 {
            self.is_caught_up = true;
            return;
        }
        let most = if self.is_caught_up {
            self.settings.late_audio
        } else {
            self.settings.early_audio
        };
        let n_frames = most.as_millis() / audio::FRAME.as_millis();
        self.n_dropped += out.shorten_unheard(usize::try_from(n_frames).unwrap_or(usize::MAX));
    }

    /// The agent spoke: its speech goes to the callee, in pieces that a clear can fall between.
    pub fn on_agent_audio(
        &mut self,
        turn: u64,
        payload: Cow<'_, str>,
        now: Instant,
        out: &mut impl Outputs,
    ) {
        let length = audio::duration(&payload);
        if payload.is_empty() || !self.playback.wants(turn) {
            return;
        }
        self.latest_turn = Some(turn);
        if let Hearing::Muted { lost_turn } = self.hearing {
            return self.lose(turn, lost_turn, out);
        }
        let heard_from = now + self.playback.queued(self.elapsed(now));
        let mark = self.playback.send(turn, length, self.elapsed(now));
        if let Some(name) = mark {
            out.tell_callee(ToCallee::Mark(name));
        }
        out.tap().agent(&payload);
        if length <= self.settings.longest_piece {
            out.play(payload);
        } else {
            for piece in audio::parts(&payload, self.settings.longest_piece) {
                out.play(Cow::Borrowed(piece));
            }
        }
        let heard_to = now + self.playback.queued(self.elapsed(now));
        self.is_active(heard_to);
        if let Some(latency) = self.latency.speech(turn, heard_from, heard_to) {
            report_line(self.transcript.answered_after(turn, latency), out);
        }
        if self.agent_spoke_at.replace(now).is_none() {
            out.report(BridgeEvent::FirstAudio);
        }
    }

    /// The agent said something that nobody hears.
    fn lose(&mut self, turn: u64, lost_before: Option<u64>, out: &mut impl Outputs) {
        if lost_before == Some(turn) {
            return;
        }
        self.hearing = Hearing::Muted {
            lost_turn: Some(turn),
        };
        self.latency.unheard(turn);
        self.cut_short(&BTreeSet::from([turn]), out);
    }

    fn cut_short(&mut self, turns: &BTreeSet<u64>, out: &mut impl Outputs) {
        for line in self.transcript.cut_short(turns) {
            out.report(BridgeEvent::Line(line));
        }
    }

    /// Keeps the agent from being heard, or lets it be heard again from its next turn on: half a sentence
    /// is worse than none.
    fn mute(&mut self, is_on: bool, now: Instant, out: &mut impl Outputs) {
        if is_on == matches!(self.hearing, Hearing::Muted { .. }) {
            return;
        }
        self.hearing = if is_on {
            Hearing::Muted { lost_turn: None }
        } else {
            Hearing::Reopened { at: now }
        };
        let Some(turn) = self.latest_turn else {
            return;
        };
        let cut = self.playback.interrupt(turn, self.elapsed(now));
        if is_on {
            self.active_until = now;
            self.latency.cleared(now);
            silence(out);
            self.cut_short(&cut, out);
        }
    }

    fn is_active(&mut self, until: Instant) {
        self.active_until = self.active_until.max(until);
    }

    /// Anything else came from the agent.
    pub fn on_agent(&mut self, event: AgentEvent, now: Instant, out: &mut impl Outputs) -> Flow {
        match event {
            AgentEvent::Ready {
                conversation,
                vendor,
            } => {
                self.phase = Phase::Live;
                out.agent_is_ready();
                out.report(BridgeEvent::AgentJoined {
                    conversation,
                    vendor,
                });
            }
            AgentEvent::Audio { turn, payload } => {
                self.on_agent_audio(turn, Cow::Owned(payload), now, out);
            }
            AgentEvent::Interrupted { turn } => self.interrupt(turn, now, out),
            AgentEvent::AgentSaid { turn, text } => {
                report_line(self.transcript.agent_said(turn, &text), out);
            }
            AgentEvent::AgentCorrected { turn, text } => {
                report_line(self.transcript.agent_corrected(turn, &text), out);
            }
            AgentEvent::CalleeSaid { text, is_final } => {
                self.callee_spoke_at = Some(now);
                self.is_active(now);
                report_line(self.transcript.callee_said(&text, is_final), out);
            }
            AgentEvent::ToolsUsed(calls) => {
                for call in calls {
                    match call {
                        Ok(call) => self.on_tool(call, now, out),
                        Err(refusal) => out.answer(refusal),
                    }
                }
            }
            AgentEvent::Ended(end) => return self.on_agent_end(end, now, out),
        }
        Continue(())
    }

    fn on_tool(&mut self, call: ToolCall, now: Instant, out: &mut impl Outputs) {
        match call.tool {
            Tool::EndCall => {
                out.answer(call.done("the call is being ended"));
                self.part(Wish::End, now, out);
            }
            Tool::TransferToHuman => self.part(Wish::Ask(call), now, out),
            // Nothing is worse than an agent that asks again: it is saved for as long as that takes.
            Tool::DoNotCall { .. } => {
                out.answer(call.done("noted, this person will not be called again"));
                out.report(BridgeEvent::ToolUsed(call));
            }
            Tool::SetDisposition { .. } | Tool::ScheduleCallback { .. } | Tool::Custom { .. } => {
                out.report(BridgeEvent::ToolUsed(call));
            }
        }
    }

    /// Remembers what is to be done once the agent's words were heard. An end is the last wish.
    fn part(&mut self, wish: Wish, now: Instant, out: &mut impl Outputs) {
        match &wish {
            Wish::Ask(call) if self.parting.is_some() => {
                return out.answer(call.refused("something else is being done"));
            }
            Wish::End if self.wants_to_end() => return,
            Wish::Ask(_) | Wish::End => {}
        }
        self.push_mark(out);
        self.parting = Some(Parting { since: now, wish });
    }

    /// When the agent's words were heard and it says no more, as far as is known now.
    fn parts_at(&self) -> Option<Instant> {
        let since = self.parting.as_ref()?.since;
        let spoke_at = self.agent_spoke_at.unwrap_or(since);
        let quiet_at = since.max(spoke_at) + self.settings.parting_pause;
        let heard_at = if self.playback.is_played_out() {
            quiet_at
        } else {
            let played_at = self.began + self.playback.queued(Duration::ZERO);
            quiet_at.max(played_at + self.settings.last_words_grace)
        };
        Some(heard_at.min(since + self.settings.parting_within))
    }

    fn wants_to_end(&self) -> bool {
        let wish = self.parting.as_ref().map(|parting| &parting.wish);
        matches!(wish, Some(Wish::End))
    }

    fn on_agent_end(&mut self, end: AgentEnd, now: Instant, out: &mut impl Outputs) -> Flow {
        match end {
            AgentEnd::Finished => {
                out.agent_is_done();
                self.push_mark(out);
                let wait = self.playback.queued(self.elapsed(now)) + self.settings.last_words_grace;
                self.phase = Phase::LastWords { until: now + wait };
                self.end_when_played_out()
            }
            AgentEnd::Closed => Break(left(
                Party::System,
                Some("the agent's session was closed on our side".to_owned()),
            )),
            // It has said what it had to say.
            AgentEnd::Failed { .. } if self.wants_to_end() => {
                self.on_agent_end(AgentEnd::Finished, now, out)
            }
            AgentEnd::Failed { detail } => self.agent_failed(detail, out),
        }
    }

    fn interrupt(&mut self, turn: u64, now: Instant, out: &mut impl Outputs) {
        let cut = self.playback.interrupt(turn, self.elapsed(now));
        // What was to be played is heard no more.
        self.active_until = now;
        self.latency.cleared(now);
        silence(out);
        out.report(BridgeEvent::Interrupted);
        self.cut_short(&cut, out);
    }

    /// No agent can be had, or it was lost.
    pub fn agent_failed(&mut self, detail: String, out: &mut impl Outputs) -> Flow {
        silence(out);
        out.report(BridgeEvent::AgentFailed {
            detail: detail.clone(),
        });
        Break(left(Party::Agent, Some(detail)))
    }

    /// An operator asks something.
    pub fn on_operator(&mut self, request: OperatorRequest, now: Instant, out: &mut impl Outputs) {
        match request {
            OperatorRequest::Mute { is_on, done } => {
                self.mute(is_on, now, out);
                // Whoever asked may have left.
                done.send(()).ok();
            }
            OperatorRequest::Listen(lead) => out.tap().add(lead),
            OperatorRequest::Hint { text, answer } => {
                let told = match self.phase {
                    Phase::Opening { .. } => Err(HintRefused::NotReady),
                    Phase::Live => out.pass_hint(text).then_some(()).ok_or(HintRefused::Stuck),
                    Phase::LastWords { .. } => Err(HintRefused::Gone),
                };
                // Whoever asked may have left.
                answer.send(told).ok();
            }
        }
    }

    /// [`Self::next_deadline`] may have passed; if not, nothing happens.
    pub fn on_deadline(&mut self, now: Instant, out: &mut impl Outputs) -> Flow {
        if now >= self.callee_seen_at + self.settings.dead_line_after {
            let detail = format!(
                "nothing came from the carrier for {} s",
                self.settings.dead_line_after.as_secs()
            );
            return Break(left(Party::System, Some(detail)));
        }
        match self.phase {
            Phase::Opening { until } if now >= until => {
                let detail = format!(
                    "the agent was not ready within {} s",
                    self.settings.agent_ready_within.as_secs()
                );
                return self.agent_failed(detail, out);
            }
            Phase::LastWords { until } if now >= until => return Break(left(Party::Agent, None)),
            Phase::Opening { .. } | Phase::LastWords { .. } | Phase::Live => {}
        }
        if self.parts_at().is_some_and(|at| now >= at) {
            match self.parting.take().map(|parting| parting.wish) {
                Some(Wish::End) => return Break(left(Party::Agent, None)),
                Some(Wish::Ask(call)) => out.report(BridgeEvent::ToolUsed(call)),
                None => {}
            }
        }
        if let Some((at, limit)) = self.ends_at()
            && now >= at
        {
            let detail = format!(
                "the call reached its greatest length of {} s",
                limit.as_secs()
            );
            return Break(left(Party::System, Some(detail)));
        }
        if let Some((at, detail)) = self.silence_ends()
            && now >= at
        {
            return self.agent_failed(detail.to_owned(), out);
        }
        if self.turn_ends_at().is_some_and(|at| now >= at) {
            self.push_mark(out);
        }
        Continue(())
    }

    /// When the call is over however it goes, and after how long.
    fn ends_at(&self) -> Option<(Instant, Duration)> {
        let length = self.settings.limits.length;
        length.map(|length| (self.began + length, length))
    }

    /// When a callee has heard nobody for too long, and what that is called (F-36, F-37).
    fn silence_ends(&self) -> Option<(Instant, &'static str)> {
        if matches!(self.phase, Phase::LastWords { .. }) {
            return None;
        }
        let limits = &self.settings.limits;
        let first_words = limits
            .first_words
            .filter(|_| self.agent_spoke_at.is_none())
            .and_then(|limit| {
                let at = match self.hearing {
                    Hearing::Open => {
                        let since = self.callee_spoke_at.unwrap_or(self.began);
                        (since + limit).min(self.began + limit * 2)
                    }
                    Hearing::Reopened { at } => at + limit,
                    Hearing::Muted { .. } => return None,
                };
                Some((at, "the agent said nothing to the callee in time"))
            });
        let silence = limits.silence.map(|limit| {
            let detail = "neither the agent nor the callee said anything for too long";
            (self.active_until + limit, detail)
        });
        [first_words, silence]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// When [`Self::on_deadline`] has something to do, if nothing comes before.
    pub fn next_deadline(&self) -> Instant {
        let dead_line_at = self.callee_seen_at + self.settings.dead_line_after;
        let phase_ends_at = match self.phase {
            Phase::Opening { until } | Phase::LastWords { until } => Some(until),
            Phase::Live => None,
        };
        let ends_at = self.ends_at().map(|(at, _)| at);
        let silence_ends_at = self.silence_ends().map(|(at, _)| at);
        let turn_ends_at = self.turn_ends_at();
        [
            phase_ends_at,
            turn_ends_at,
            ends_at,
            silence_ends_at,
            self.parts_at(),
        ]
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

    /// The callee's side is gone without a word.
    pub fn callee_gone(&self) -> BridgeEnd {
        match self.phase {
            Phase::LastWords { .. } => left(Party::Agent, None),
            Phase::Opening { .. } | Phase::Live if self.wants_to_end() => left(Party::Agent, None),
            Phase::Opening { .. } | Phase::Live => BridgeEnd {
                by: None,
                detail: Some("the carrier closed the media socket".to_owned()),
            },
        }
    }

    /// The call was ended from here.
    pub fn stopped() -> BridgeEnd {
        left(Party::System, None)
    }

    /// The call is over: what is left to tell.
    pub fn finish(&mut self, out: &mut impl Outputs) {
        report_line(self.transcript.finish(), out);
        out.drop_waiting_speech();
        out.tap().close();
        if self.n_dropped > 0 {
            tracing::warn!(
                n_dropped = self.n_dropped,
                "callee audio was dropped because the agent read too slowly"
            );
        }
    }

    fn end_when_played_out(&self) -> Flow {
        match self.phase {
            Phase::LastWords { .. } if self.playback.is_played_out() => {
                Break(left(Party::Agent, None))
            }
            Phase::LastWords { .. } | Phase::Opening { .. } | Phase::Live => Continue(()),
        }
    }

    /// `party`, unless the agent was done before.
    fn first_to_leave(&self, party: Party) -> Party {
        match self.phase {
            Phase::LastWords { .. } => Party::Agent,
            Phase::Opening { .. } | Phase::Live if self.wants_to_end() => Party::Agent,
            Phase::Opening { .. } | Phase::Live => party,
        }
    }

    fn push_mark(&mut self, out: &mut impl Outputs) {
        if let Some(name) = self.playback.mark() {
            out.tell_callee(ToCallee::Mark(name));
        }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// The callee hears no more of what the agent said.
fn silence(out: &mut impl Outputs) {
    out.drop_waiting_speech();
    out.tell_callee(ToCallee::Clear);
    out.tap().clear();
}

fn report_line(line: Option<TranscriptLine>, out: &mut impl Outputs) {
    if let Some(line) = line {
        out.report(BridgeEvent::Line(line));
    }
}

fn left(by: Party, detail: Option<String>) -> BridgeEnd {
    BridgeEnd {
        by: Some(by),
        detail,
    }
}
