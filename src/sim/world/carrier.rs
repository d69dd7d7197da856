//! The carrier of a world: calls, people's answers and callbacks, in the process and in virtual time.
//!
//! It is not kind: it loses, repeats and reorders what it tells, lists calls late, refuses, asks for
//! patience, and keeps answers to itself. It writes down what it really did.

mod port;

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::oneshot;

use super::{
    invariants::Step,
    ledger::{Answer, Call, Phase, Request, Sender},
    node::Control,
    people::{Fate, Person},
    scene::{Gate, Happening, State},
};
use crate::{
    domain::{
        Timestamp,
        ids::{AttemptId, CallSid, TenantId},
        outcome::{Fault, FaultClass},
        phone::PhoneNumber,
        price::Price,
        signal::{CallEnd, SignalKind},
    },
    telephony::{CallReport, CallRequest, CarrierError, ListedCall},
};

pub use port::InProcessCarrier;

type Placed = Result<CallSid, CarrierError>;

/// What the carrier keeps beside its ledger.
#[derive(Default)]
pub struct Switchboard {
    /// What was asked for, by request.
    orders: Vec<CallRequest>,
    /// Who waits for an answer, by request.
    waiting: BTreeMap<usize, oneshot::Sender<Placed>>,
    /// What becomes of calls, by call.
    fates: Vec<Fate>,
    /// Where the audio of a call goes, to tell its end.
    lines: BTreeMap<usize, oneshot::Sender<()>>,
    /// What an operator hung up, and when that was saved.
    pub hung_up: BTreeMap<AttemptId, Timestamp>,
    /// Whose calls were withdrawn because they are to be called no more, when, and by which process.
    pub withdrawn: BTreeMap<(TenantId, PhoneNumber), (Timestamp, Sender)>,
}

/// Something that the carrier tells of a call.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Of which call.
    pub call: usize,
    /// The same for repeats.
    pub key: String,
    /// When it happened.
    pub at: Timestamp,
    /// What.
    pub kind: SignalKind,
    /// How often it is tried again when nobody takes it.
    pub n_retries: u32,
}

fn report(call: &Call) -> CallReport {
    let status = match &call.phase {
        Phase::Queued => SignalKind::Placed,
        Phase::Ringing => SignalKind::Ringing,
        Phase::Live => SignalKind::Answered,
        Phase::Over(end) => over(call, end.clone()),
    };
    CallReport {
        sid: call.sid.clone(),
        created_at: Some(call.created_at),
        status,
        answered_by: None,
        price: price(call),
    }
}

/// A cent for each call that was answered and is over.
fn price(call: &Call) -> Option<Price> {
    call.answered_at.zip(call.ended_at)?;
    Some(Price {
        millionths: 10_000,
        currency: "USD".parse().ok()?,
    })
}

fn over(call: &Call, end: CallEnd) -> SignalKind {
    let talk = call.answered_at.zip(call.ended_at);
    SignalKind::Over {
        end,
        duration: talk.and_then(|(from, to)| to.duration_since(from).try_into().ok()),
        network_code: None,
    }
}

fn fault(class: FaultClass) -> Fault {
    Fault {
        class,
        code: Some(1),
        detail: "simulated".to_owned(),
    }
}

impl State {
    /// A request leaves a process.
    fn leave(
        &mut self,
        control: &Control,
        order: &CallRequest,
    ) -> (usize, oneshot::Receiver<Placed>) {
        let (tenant, campaign) = self
            .saved
            .enrollments
            .get(&order.attempt.enrollment)
            .map(|enrollment| (enrollment.tenant, enrollment.campaign))
            .expect("everybody was enrolled before the world began");
        let number = self.ledger.requests.len();
        self.note(|| {
            format!(
                "node {} asks for a call for {} to {}",
                control.node,
                order.attempt,
                order.to.as_str()
            )
        });
        self.ledger.requests.push(Request {
            attempt: order.attempt,
            tenant,
            campaign,
            to: order.to.clone(),
            sender: self.sender(control.node),
            left_at: self.now,
            answer: Answer::None,
            call: None,
            unknown_at: Vec::new(),
        });
        self.totals.n_requests += 1;
        self.check(&Step::RequestLeaves { request: number });
        let ledger = &mut self.ledger;
        let enrollment = order.attempt.enrollment;
        ledger
            .of_enrollment
            .entry(enrollment)
            .or_default()
            .push(number);
        ledger.of_campaign.entry(campaign).or_default().push(number);
        ledger.of_tenant.entry(tenant).or_default().push(number);
        ledger.of_attempt.insert(order.attempt, number);
        ledger.up.insert(order.attempt, (tenant, campaign));
        self.board.orders.push(order.clone());
        let (reply, answer) = oneshot::channel();
        self.board.waiting.insert(number, reply);
        self.send(number);
        (number, answer)
    }

    /// Decides how a request travels.
    fn send(&mut self, request: usize) {
        let faults = self.faults.clone();
        if self.dice.happens(faults.request_lost) {
            self.totals.n_lost_requests += 1;
            self.note(|| "the request is lost".to_owned());
            // Whoever waits is told nothing until the deadline.
            return;
        }
        let is_late = self.dice.happens(faults.request_late);
        let wait = match is_late {
            true => self.dice.millis(16_000, 60_000),
            false => self.dice.millis(5, 400),
        };
        self.totals.n_late_requests += u64::from(is_late);
        self.plan_in(wait, Happening::RequestArrives(request));
    }

    /// The sender of a request is told something, or gives up.
    fn learn(&mut self, request: usize, placed: &Placed) {
        let answer = match placed {
            Ok(_) => Answer::Accepted,
            Err(CarrierError::Refused(fault)) if fault.class == FaultClass::Number => {
                Answer::NumberRefused
            }
            Err(CarrierError::Refused(_) | CarrierError::Throttled { .. }) => Answer::Refused,
            Err(CarrierError::Unreachable(_) | CarrierError::Unknown(_)) => Answer::Unknown,
        };
        self.ledger.requests[request].answer = answer;
        let attempt = self.ledger.requests[request].attempt;
        self.note(|| format!("{attempt} is told: {answer:?}"));
    }

    /// A request reaches the carrier.
    pub fn request_arrives(&mut self, request: usize) {
        let answer = match self.refusal(request) {
            Some(refusal) => {
                let attempt = self.ledger.requests[request].attempt;
                self.ledger.frees(attempt);
                Err(refusal)
            }
            None => Ok(self.create(request)),
        };
        let Some(reply) = self.board.waiting.remove(&request) else {
            return;
        };
        let probability = self.faults.answer_lost;
        if self.dice.happens(probability) {
            self.totals.n_lost_replies += 1;
            self.note(|| "the carrier's answer is lost".to_owned());
            if self.dice.happens(0.5) {
                // Nobody ever drops this one, so its sender waits for its deadline.
                self.board.waiting.insert(request, reply);
                return;
            }
            drop(reply);
        } else {
            // Its sender may have died or given up.
            drop(reply.send(answer));
        }
        let node = self.ledger.requests[request].sender.node;
        self.nodes[node].has_work = true;
    }

    fn refusal(&mut self, request: usize) -> Option<CarrierError> {
        let faults = self.faults.clone();
        let to = &self.board.orders[request].to;
        if self.plan.people.get(to) == Some(&Person::Refused) {
            return Some(CarrierError::Refused(fault(FaultClass::Number)));
        }
        if self.dice.happens(faults.throttled) {
            self.totals.n_throttled += 1;
            let wait = self.dice.millis(100, 5_000);
            return Some(CarrierError::Throttled { wait });
        }
        if self.dice.happens(faults.refused) {
            self.totals.n_refused += 1;
            let class = self.dice.pick(&[
                FaultClass::Account,
                FaultClass::CallerNumber,
                FaultClass::Destination,
                FaultClass::Limit,
                FaultClass::Network,
                FaultClass::Unclassified,
                FaultClass::Unclassified,
                FaultClass::Unclassified,
            ]);
            return Some(CarrierError::Refused(fault(class)));
        }
        None
    }

    /// Takes a call.
    fn create(&mut self, request: usize) -> CallSid {
        let number = self.ledger.calls.len();
        let sid: CallSid = format!("CA{number:032x}")
            .parse()
            .expect("letters and digits are a name");
        let order = self.board.orders[request].clone();
        let person = self.plan.people.get(&order.to).copied();
        let fate = person.unwrap_or(Person::Nobody).fate(&mut self.dice);
        self.board.fates.push(fate);
        let lag = self.dice.millis(0, 8_000);
        self.ledger.calls.push(Call {
            sid: sid.clone(),
            request,
            attempt: order.attempt,
            created_at: self.now,
            phase: Phase::Queued,
            answered_at: None,
            ended_at: None,
            listed_at: self.now + lag,
            told_at: None,
            end_asked_at: None,
            max_duration: order.max_duration,
            had_agent: false,
        });
        self.note(|| format!("{sid} is made for {}: {fate:?}", order.attempt));
        self.totals.n_calls += 1;
        let tenant = self.ledger.requests[request].tenant;
        self.ledger.requests[request].call = Some(number);
        let person = (tenant, order.to);
        self.ledger.live.entry(person).or_default().push(number);
        self.check(&Step::CallMade { call: number });
        self.tell(number, SignalKind::Placed);
        let wait = self.dice.millis(50, 1_000);
        self.plan_in(wait, Happening::CallMoves(number));
        sid
    }

    /// A call's fate goes on.
    pub fn call_moves(&mut self, call: usize) {
        let fate = self.board.fates[call];
        let request = self.ledger.calls[call].request;
        let ring_timeout = self.board.orders[request].ring_timeout;
        match (&self.ledger.calls[call].phase, fate) {
            (Phase::Queued, Fate::Busy) => self.call_ends(call, CallEnd::Busy),
            (Phase::Queued, Fate::Unreachable) => {
                self.call_ends(call, CallEnd::Failed(fault(FaultClass::Network)));
            }
            (Phase::Queued, Fate::NoSuchNumber) => {
                self.call_ends(call, CallEnd::Failed(fault(FaultClass::Number)));
            }
            (Phase::Queued, Fate::NoAnswer) => self.rings(call, ring_timeout),
            (Phase::Queued, Fate::Answers { rings, .. }) => {
                self.rings(call, rings.min(ring_timeout));
            }
            (Phase::Ringing, Fate::Answers { talks, .. }) => self.answered(call, talks),
            (Phase::Ringing, _) => self.call_ends(call, CallEnd::NoAnswer),
            (Phase::Live, _) => self.call_ends(call, CallEnd::Completed),
            (Phase::Over(_), _) => {}
        }
    }

    fn rings(&mut self, call: usize, until: Duration) {
        self.ledger.calls[call].phase = Phase::Ringing;
        self.tell(call, SignalKind::Ringing);
        self.plan_in(until, Happening::CallMoves(call));
    }

    fn answered(&mut self, call: usize, talks: Duration) {
        let now = self.now;
        let own = &mut self.ledger.calls[call];
        own.phase = Phase::Live;
        own.answered_at = Some(now);
        let until = talks.min(own.max_duration);
        self.totals.n_answered += 1;
        self.tell(call, SignalKind::Answered);
        let wait = self.dice.millis(10, 200);
        self.plan_in(wait, Happening::Voice(call));
        self.plan_in(until, Happening::CallMoves(call));
    }

    /// A call is over.
    pub fn call_ends(&mut self, call: usize, end: CallEnd) {
        let now = self.now;
        let own = &mut self.ledger.calls[call];
        if own.phase.is_over() {
            return;
        }
        own.phase = Phase::Over(end.clone());
        own.ended_at = Some(now);
        let (sid, attempt, told) = (own.sid.clone(), own.attempt, over(own, end.clone()));
        let request = &self.ledger.requests[own.request];
        let person = (request.tenant, request.to.clone());
        if let Some(live) = self.ledger.live.get_mut(&person) {
            live.retain(|other| *other != call);
        }
        self.ledger.frees(attempt);
        self.note(|| format!("{sid} is over: {end:?}"));
        if let Some(line) = self.board.lines.remove(&call) {
            // The audio may have ended by itself.
            let _ = line.send(());
            self.wake_all();
        }
        self.tell(call, told);
    }

    /// Ends a call that nobody has answered yet, because somebody asked for that.
    fn withdraw_call(&mut self, sid: &CallSid) {
        let calls = &self.ledger.calls;
        let found = calls.iter().position(|call| call.sid == *sid);
        let Some(call) = found else {
            return;
        };
        self.note(|| format!("{sid} is to be withdrawn"));
        if matches!(
            self.ledger.calls[call].phase,
            Phase::Queued | Phase::Ringing
        ) {
            self.call_ends(call, CallEnd::Canceled);
        }
    }

    /// Ends a call because somebody asked for that.
    fn end_call(&mut self, sid: &CallSid) {
        let found = self.ledger.calls.iter().position(|call| call.sid == *sid);
        let Some(call) = found else {
            return;
        };
        let now = self.now;
        self.note(|| format!("{sid} is to be ended"));
        self.ledger.calls[call].end_asked_at.get_or_insert(now);
        match self.ledger.calls[call].phase {
            Phase::Queued | Phase::Ringing => self.call_ends(call, CallEnd::Canceled),
            Phase::Live => self.call_ends(call, CallEnd::Completed),
            Phase::Over(_) => {}
        }
    }

    /// What the carrier's list shows now. It lags behind, and who was not found is written down.
    fn list(&mut self, to: &PhoneNumber, from: &PhoneNumber, since: Timestamp) -> Vec<CallReport> {
        let now = self.now;
        let mut reports = Vec::new();
        for (number, order) in self.board.orders.iter().enumerate() {
            if order.to != *to || order.from != *from {
                continue;
            }
            let request = &mut self.ledger.requests[number];
            let call = request.call.map(|call| &self.ledger.calls[call]);
            match call.filter(|call| call.listed_at <= now) {
                Some(call) if call.created_at >= since => reports.push(report(call)),
                Some(_) => {}
                None => request.unknown_at.push(now),
            }
        }
        reports.reverse();
        reports
    }

    fn list_since(&self, since: Timestamp) -> Vec<ListedCall> {
        let orders = self.board.orders.iter().zip(&self.ledger.requests);
        orders
            .filter_map(|(order, request)| {
                let call = &self.ledger.calls[request.call?];
                let is_listed = call.listed_at <= self.now && call.created_at >= since;
                is_listed.then(|| ListedCall {
                    to: order.to.clone(),
                    from: order.from.clone(),
                    report: report(call),
                })
            })
            .collect()
    }

    /// Tells of a call, once, twice, late, or not at all.
    fn tell(&mut self, call: usize, kind: SignalKind) {
        let faults = self.faults.clone();
        if self.dice.happens(faults.callback_lost) {
            self.totals.n_lost_callbacks += 1;
            return;
        }
        let is_twice = self.dice.happens(faults.callback_twice);
        self.totals.n_repeated_callbacks += u64::from(is_twice);
        let callback = Callback {
            call,
            key: format!("{}:{}", self.ledger.calls[call].sid, name(&kind)),
            at: self.now,
            kind,
            n_retries: 2,
        };
        for _ in 0..=u32::from(is_twice) {
            let is_late = self.dice.happens(faults.callback_late);
            self.totals.n_late_callbacks += u64::from(is_late);
            let wait = match is_late {
                true => self.dice.millis(500, 60_000),
                false => self.dice.millis(10, 400),
            };
            self.plan_in(wait, Happening::Callback(callback.clone()));
        }
    }

    /// A callback that nobody took is tried again, a few times.
    pub fn not_taken(&mut self, mut callback: Callback) {
        if callback.n_retries == 0 {
            self.totals.n_lost_callbacks += 1;
            return;
        }
        callback.n_retries -= 1;
        let wait = self.dice.millis(300, 2_000);
        self.plan_in(wait, Happening::Callback(callback));
    }

    /// Connects a call's audio; what comes back is ready when the call is over.
    pub fn connect(&mut self, call: usize) -> Option<oneshot::Receiver<()>> {
        if self.ledger.calls[call].phase != Phase::Live {
            return None;
        }
        let (line, closed) = oneshot::channel();
        self.board.lines.insert(call, line);
        Some(closed)
    }

    fn wake_all(&mut self) {
        for node in &mut self.nodes {
            node.has_work |= node.gate == Gate::Open;
        }
    }
}

fn name(kind: &SignalKind) -> &'static str {
    match kind {
        SignalKind::Placed => "initiated",
        SignalKind::Ringing => "ringing",
        SignalKind::Answered => "answered",
        SignalKind::Over { .. } => "over",
        SignalKind::Detected { .. } => "detected",
        SignalKind::Recorded { .. } => "recorded",
        SignalKind::MediaStarted { .. }
        | SignalKind::TalkHeld
        | SignalKind::AgentJoined { .. }
        | SignalKind::AgentSpoke
        | SignalKind::AgentFailed { .. }
        | SignalKind::Reported { .. }
        | SignalKind::Disposed(_)
        | SignalKind::FollowUpWished(_)
        | SignalKind::Muted(_)
        | SignalKind::TransferJoined
        | SignalKind::TransferEnded(_)
        | SignalKind::MediaEnded { .. } => "media",
    }
}
