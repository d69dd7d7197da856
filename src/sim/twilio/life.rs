//! One call from the queue to its end: dialing, ringing, talking, hanging up.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{Call, Status},
    fields::Target,
    interpreter::{self, Line},
    recording,
    request::{Progress, Source, VerdictReport},
    status_callback::{Announcement, announce, notify},
    webhook::field,
};
use crate::sim::{
    callee::{Behaviour, Reaction, Voice},
    mouth::Mouth,
    simulation::Simulation,
};

/// How a call ended.
struct Ending {
    status: Status,
    sip_code: Option<u16>,
}

impl Ending {
    fn new(status: Status, sip_code: u16) -> Self {
        Self {
            status,
            sip_code: Some(sip_code),
        }
    }

    /// The dialer ended the call before it was answered.
    fn canceled(was_dialed: bool) -> Self {
        Self {
            status: Status::Canceled,
            sip_code: was_dialed.then_some(487),
        }
    }
}

/// The whole life of `call`, which starts at `release_at`.
pub async fn live(
    simulation: Arc<Simulation>,
    call: Arc<Call>,
    redirects: mpsc::Receiver<Source>,
    release_at: Instant,
) {
    let queued = call.hang_up.run_until_cancelled(sleep_until(release_at));
    let ending = match queued.await {
        Some(()) => dial(&simulation, &call, redirects).await,
        None => Ending::canceled(false),
    };
    end(&simulation, &call, ending);
}

async fn dial(
    simulation: &Arc<Simulation>,
    call: &Arc<Call>,
    redirects: mpsc::Receiver<Source>,
) -> Ending {
    call.begin_dialing(simulation.now());
    announce(simulation, call, Announcement::of(Progress::Initiated));
    let ring_timeout = simulation.pace.shorten(call.order.ring_timeout);
    let (after, response) = match &call.script.reaction {
        Reaction::PicksUp {
            after,
            voice,
            is_machine,
            patience,
        } if *after < ring_timeout => {
            let person = Person {
                voice,
                is_machine: *is_machine,
                patience: *patience,
            };
            (*after, Response::Answer(person))
        }
        Reaction::PicksUp { .. } | Reaction::NeverAnswers => (
            ring_timeout,
            Response::Over(Ending::new(Status::NoAnswer, 487)),
        ),
        Reaction::Busy { after } => (*after, Response::Over(Ending::new(Status::Busy, 486))),
        Reaction::Unreachable { after } => {
            let failed = Ending::new(Status::Failed, 404);
            return wait_unless_canceled(call, *after).await.unwrap_or(failed);
        }
        Reaction::RefusedByCarrier => return Ending::new(Status::Failed, 403),
    };
    if let Some(canceled) = ring(simulation, call, after).await {
        return canceled;
    }
    match response {
        Response::Answer(person) => talk(simulation, call, redirects, person).await,
        Response::Over(ending) => ending,
    }
}

/// What ringing leads to.
enum Response<'a> {
    Answer(Person<'a>),
    Over(Ending),
}

/// The share of the time until the reaction that passes before the callee's telephone rings.
const SILENT_SHARE: f64 = 0.25;

/// Lets `total` pass, ringing after a while; `Some` when the dialer cancels meanwhile.
async fn ring(simulation: &Arc<Simulation>, call: &Arc<Call>, total: Duration) -> Option<Ending> {
    let silent = total.mul_f64(SILENT_SHARE);
    if let Some(canceled) = wait_unless_canceled(call, silent).await {
        return Some(canceled);
    }
    call.ring(simulation.now());
    announce(simulation, call, Announcement::of(Progress::Ringing));
    wait_unless_canceled(call, total - silent).await
}

async fn wait_unless_canceled(call: &Call, time: Duration) -> Option<Ending> {
    match call.hang_up.run_until_cancelled(sleep(time)).await {
        Some(()) => None,
        None => Some(Ending::canceled(true)),
    }
}

/// Who picked up.
struct Person<'a> {
    voice: &'a Voice,
    is_machine: bool,
    patience: Duration,
}

/// How long the dialer's socket may take to close after the line is gone.
const HANG_UP_LIMIT: Duration = Duration::from_secs(2);

async fn talk(
    simulation: &Arc<Simulation>,
    call: &Arc<Call>,
    mut redirects: mpsc::Receiver<Source>,
    person: Person<'_>,
) -> Ending {
    if !call.answer(simulation.now()) {
        return Ending::canceled(true);
    }
    call.start_tape();
    let now = simulation.now();
    simulation.ledger.call_answered(&call.sid, now);
    if person.is_machine {
        let beeps_at = now + person.voice.length();
        simulation.ledger.call_beeps(&call.sid, beeps_at);
    }
    announce(simulation, call, Announcement::of(Progress::Answered));
    let over = CancellationToken::new();
    let gone = CancellationToken::new();
    let mut line = Line {
        simulation,
        call,
        mouth: Mouth::new(person.voice, Duration::ZERO),
        answered: Instant::now(),
        gone: gone.clone(),
        extra_fields: Vec::new(),
        base: None,
    };
    let mut conversation = pin!(async {
        detect_machine(&mut line, &person, &over).await;
        let first = call.order.source.clone();
        interpreter::run(&mut line, first, &mut redirects, &over).await;
    });
    let is_finished = tokio::select! {
        () = &mut conversation => true,
        () = call.hang_up.cancelled() => false,
        () = gone.cancelled() => false,
        () = sleep(person.patience) => false,
        () = reach_limit(call) => {
            simulation.ledger.alert(32015, "the call reached its time limit");
            false
        }
    };
    over.cancel();
    if !is_finished && timeout(HANG_UP_LIMIT, conversation).await.is_err() {
        tracing::debug!("a document did not end with its call");
    }
    Ending::new(Status::Completed, 200)
}

/// Waits until the call that was just answered has lasted as long as it may, which may change.
async fn reach_limit(call: &Call) {
    let answered = Instant::now();
    loop {
        let limit = call.state().time_limit;
        sleep_until(answered + limit).await;
        if call.state().time_limit <= limit {
            return;
        }
    }
}

/// How long after the beep the detection is sure of it.
const HEARS_BEEP: Duration = Duration::from_millis(200);

/// Starts the detection that the dialer asked for and, if instructions depend on it, waits.
async fn detect_machine(line: &mut Line<'_>, person: &Person<'_>, over: &CancellationToken) {
    let Some(detection) = &line.call.order.machine_detection else {
        return;
    };
    let simulation = line.simulation;
    let undetected = &simulation.config.undetected;
    if undetected
        .iter()
        .any(|end| line.call.order.to.ends_with(end))
    {
        return;
    }
    let after = |seconds| {
        let lifelike = Duration::from_secs(seconds);
        simulation
            .pace
            .shorten_to(lifelike, Duration::from_millis(100))
    };
    let is_fax = line.call.script.behaviour == Behaviour::Fax;
    let (answered_by, delay) = match (person.is_machine, detection.waits_for_end) {
        (false, _) => ("human", after(3)),
        (true, _) if is_fax => ("fax", after(4)),
        (true, false) => ("machine_start", after(4)),
        (true, true) => ("machine_end_beep", person.voice.length() + HEARS_BEEP),
    };
    match &detection.report {
        VerdictReport::BeforeDocument => {
            if over.run_until_cancelled(sleep(delay)).await.is_some() {
                line.call.detect(answered_by, simulation.now());
                line.extra_fields.push(field("AnsweredBy", answered_by));
            }
        }
        VerdictReport::Callback(target) => {
            let verdict = Verdict {
                answered_by,
                delay,
                target: target.clone(),
            };
            simulation.spawn(verdict.tell(simulation.clone(), line.call.clone()));
        }
    }
}

struct Verdict {
    answered_by: &'static str,
    delay: Duration,
    target: Option<Target>,
}

impl Verdict {
    /// Reports the verdict, unless the call ends first.
    async fn tell(self, simulation: Arc<Simulation>, call: Arc<Call>) {
        sleep(self.delay).await;
        if call.status() != Status::InProgress {
            return;
        }
        call.detect(self.answered_by, simulation.now());
        let n_earlier = call.n_earlier.to_string();
        let draw = simulation
            .chance
            .about(&["verdict", &call.order.to, &n_earlier]);
        let is_lost = draw.happens(simulation.faults().lost_verdict);
        let Some(target) = self.target.filter(|_| !is_lost) else {
            return;
        };
        let fields = vec![
            field("CallSid", &call.sid),
            field("AccountSid", &call.account_sid),
            field("AnsweredBy", self.answered_by),
            field(
                "MachineDetectionDuration",
                &self.delay.as_millis().to_string(),
            ),
        ];
        notify(&simulation, target, fields);
    }
}

/// How long after its end a call has a price.
const PRICED_AFTER: Duration = Duration::from_secs(20);
const PRICED_AFTER_AT_LEAST: Duration = Duration::from_millis(200);

/// Puts a price on a call that is over, as late as the real carrier does.
async fn put_a_price(simulation: Arc<Simulation>, call: Arc<Call>) {
    let usual = simulation
        .pace
        .shorten_to(PRICED_AFTER, PRICED_AFTER_AT_LEAST);
    sleep(usual + Duration::from_millis(simulation.faults().price_late_ms)).await;
    call.put_a_price(simulation.now());
}

fn end(simulation: &Arc<Simulation>, call: &Arc<Call>, ending: Ending) {
    let now = simulation.now();
    call.end(ending.status, now);
    simulation.exchange.give_place_back();
    simulation
        .ledger
        .call_ended(&call.sid, ending.status.name(), now);
    recording::finish(simulation, call);
    simulation.spawn(put_a_price(simulation.clone(), call.clone()));
    let state = call.state();
    let mut extra = vec![
        field("CallDuration", &state.talk_seconds().to_string()),
        field("Duration", &state.billed_minutes().to_string()),
    ];
    if let Some(code) = ending.sip_code {
        extra.push(field("SipResponseCode", &code.to_string()));
    }
    if let Some(answered_by) = state.answered_by {
        extra.push(field("AnsweredBy", answered_by));
    }
    let status = ending.status.name();
    announce(
        simulation,
        call,
        Announcement {
            progress: Progress::Completed,
            status,
            extra,
        },
    );
}
