//! One call as one task over channels, one for each direction: the readable way to drive a [`Call`].
//! Nothing in the loop waits for a slow side.

use std::{
    borrow::Cow,
    ops::ControlFlow::{Break, Continue},
    pin::pin,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    agents::{AgentError, AgentEvent, AgentSession, ToAgent, ToolAnswer},
    telephony::media::{FromCallee, ToCallee},
};

use super::{
    BridgeEnd, BridgeEvent, BridgeSettings, CalleeLeg, OperatorRequest, Uplink,
    call::{Call, Flow, MAX_WAITING, Outputs},
    outlet::Outlet,
    tap::Tap,
};

/// One call while it lasts.
pub(super) struct Talk {
    settings: BridgeSettings,
    call: Call,
    from_callee: mpsc::Receiver<FromCallee>,
    requests: mpsc::Receiver<OperatorRequest>,
    answers: mpsc::Receiver<ToolAnswer>,
    ends: Ends,
}

/// What the call's decisions go to.
struct Ends {
    to_callee: Outlet<ToCallee>,
    report: Outlet<BridgeEvent>,
    session: Option<AgentSession>,
    to_agent: Outlet<ToAgent>,
    tap: Tap,
}

impl Outputs for Ends {
    fn play(&mut self, payload: Cow<'_, str>) {
        self.to_callee.push(ToCallee::Audio(payload.into_owned()));
    }

    fn tell_callee(&mut self, message: ToCallee) {
        self.to_callee.push(message);
    }

    fn drop_waiting_speech(&mut self) {
        self.to_callee
            .retain(|message| matches!(message, ToCallee::Clear | ToCallee::Close));
    }

    fn pass_audio(&mut self, payload: Cow<'_, str>) {
        self.to_agent.push(ToAgent::Audio(payload.into_owned()));
    }

    fn pass_key(&mut self, key: char) {
        self.to_agent.push(ToAgent::Key(key));
    }

    fn pass_hint(&mut self, text: String) -> bool {
        // Behind audio that waits it could be dropped with it.
        let is_taken = self.to_agent.n_waiting() == 0;
        if is_taken {
            self.to_agent.push(ToAgent::Hint(text));
        }
        is_taken
    }

    fn tap(&mut self) -> &mut Tap {
        &mut self.tap
    }

    fn n_unheard(&self) -> usize {
        self.to_agent.n_waiting()
    }

    fn shorten_unheard(&mut self, limit: usize) -> u64 {
        self.to_agent.shorten(limit)
    }

    fn agent_is_ready(&mut self) {
        if let Some(session) = &self.session {
            self.to_agent.connect(session.commands.clone());
        }
    }

    fn agent_is_done(&mut self) {
        self.session = None;
        self.to_agent.disconnect();
    }

    fn answer(&mut self, answer: ToolAnswer) {
        self.to_agent.push(ToAgent::Answer(answer));
    }

    fn n_unreported(&self) -> usize {
        self.report.n_waiting()
    }

    fn report(&mut self, event: BridgeEvent) {
        self.report.push(event);
    }
}

impl Talk {
    pub fn new(settings: BridgeSettings, leg: CalleeLeg, uplink: Uplink) -> Self {
        Self {
            call: Call::new(settings.clone(), Instant::now().into_std()),
            settings,
            from_callee: leg.from,
            requests: uplink.requests,
            answers: uplink.answers,
            ends: Ends {
                to_callee: Outlet::to(leg.to),
                report: Outlet::to(uplink.report),
                session: None,
                to_agent: Outlet::not_yet(),
                tap: Tap::default(),
            },
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
        let mut is_attended = true;
        // Most deadlines move on with every frame. The timer is set again only when one comes nearer,
        // and when it rings too early; then nothing is due.
        let mut timer = pin!(sleep_until(self.next_deadline()));
        loop {
            let wake_at = self.next_deadline();
            if wake_at < timer.deadline() {
                timer.as_mut().reset(wake_at);
            }
            let has_room = self.has_room();
            let Ends {
                to_callee,
                report,
                session,
                to_agent,
                ..
            } = &mut self.ends;
            let flow = tokio::select! {
                biased;
                () = stop.cancelled() => Break(Call::stopped()),
                message = self.from_callee.recv() => self.on_callee(message),
                opened = &mut opening, if is_opening => {
                    is_opening = false;
                    self.on_opened(opened)
                }
                request = self.requests.recv(), if is_attended => {
                    match request {
                        Some(request) => self.call.on_operator(request, now(), &mut self.ends),
                        None => is_attended = false,
                    }
                    Continue(())
                }
                event = next_event(session), if has_room => self.on_agent(event),
                answer = Uplink::next_answer(&mut self.answers) => {
                    self.ends.answer(answer);
                    Continue(())
                }
                sent = to_callee.forward() => match sent {
                    Ok(()) => Continue(()),
                    Err(_gone) => Break(self.callee_gone()),
                },
                sent = to_agent.forward() => {
                    if sent.is_err() {
                        // The session is over; its last event says why.
                        self.ends.to_agent.disconnect();
                    }
                    Continue(())
                }
                sent = report.forward() => {
                    if sent.is_err() {
                        self.ends.report.disconnect();
                    }
                    Continue(())
                }
                () = &mut timer => {
                    let flow = self.call.on_deadline(now(), &mut self.ends);
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
        if let Some(session) = self.ends.session.take() {
            // When the channel is full the dropped session says the same.
            session.commands.try_send(ToAgent::Close).ok();
        }
        self.ends.to_agent.disconnect();
        self.call.finish(&mut self.ends);
        self.ends.to_callee.push(ToCallee::Close);
        let closing = async { tokio::join!(self.ends.to_callee.flush(), self.ends.report.flush()) };
        if timeout(self.settings.closing_within, closing)
            .await
            .is_err()
        {
            tracing::warn!("the last messages of a call were not taken in time");
        }
    }

    fn on_callee(&mut self, message: Option<FromCallee>) -> Flow {
        match message {
            Some(message) => self.call.on_callee(message, now(), &mut self.ends),
            None => Break(self.callee_gone()),
        }
    }

    fn on_opened(&mut self, opened: Result<AgentSession, AgentError>) -> Flow {
        match opened {
            Ok(session) => {
                self.ends.session = Some(session);
                Continue(())
            }
            Err(error) => self.call.agent_failed(error.to_string(), &mut self.ends),
        }
    }

    fn on_agent(&mut self, event: Option<AgentEvent>) -> Flow {
        match event {
            Some(event) => self.call.on_agent(event, now(), &mut self.ends),
            None => {
                let detail = "the agent's session broke off without a word".to_owned();
                self.call.agent_failed(detail, &mut self.ends)
            }
        }
    }

    fn callee_gone(&mut self) -> BridgeEnd {
        self.ends.to_callee.disconnect();
        self.call.callee_gone()
    }

    fn next_deadline(&self) -> Instant {
        Instant::from_std(self.call.next_deadline())
    }

    fn has_room(&self) -> bool {
        self.ends.to_callee.n_waiting() < MAX_WAITING && self.ends.report.n_waiting() < MAX_WAITING
    }
}

/// The time that the runtime goes by.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// What the agent says next; for ever nothing while there is no session.
async fn next_event(session: &mut Option<AgentSession>) -> Option<AgentEvent> {
    match session {
        Some(session) => session.events.recv().await,
        None => std::future::pending().await,
    }
}
