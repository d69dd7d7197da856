//! Telling the dialer how a call progresses, with the faults of the day.
//!
//! Each callback is its own task: as with the real carrier, nothing orders them and only the
//! sequence number tells which came first.

use std::{sync::Arc, time::Duration};

use super::{
    call::{Call, rfc_2822},
    fields::Target,
    request::Progress,
    webhook::{self, call_fields, field},
};
use crate::sim::{ledger::CallbackFate, simulation::Simulation};

/// Something that happened to a call, as the dialer is told.
pub struct Announcement {
    pub progress: Progress,
    /// The value of `CallStatus`; `answered` is told as `in-progress`.
    pub status: &'static str,
    pub extra: Vec<(String, String)>,
}

impl Announcement {
    pub fn of(progress: Progress) -> Self {
        let status = match progress {
            Progress::Initiated => "initiated",
            Progress::Ringing => "ringing",
            Progress::Answered => "in-progress",
            Progress::Completed => "completed",
        };
        Self {
            progress,
            status,
            extra: Vec::new(),
        }
    }
}

/// Sends the callback for `announcement` if the dialer asked for such events.
pub fn announce(simulation: &Arc<Simulation>, call: &Arc<Call>, announcement: Announcement) {
    let sequence_number = call.take_sequence_number().to_string();
    let Some(subscription) = &call.order.status_callback else {
        return;
    };
    if !subscription.events.contains(&announcement.progress) {
        return;
    }
    let mut fields = call_fields(call, announcement.status);
    fields.push(field("Timestamp", &rfc_2822(simulation.now())));
    fields.push(field("CallbackSource", "call-progress-events"));
    fields.push(field("SequenceNumber", &sequence_number));
    fields.extend(announcement.extra);
    let journey = Journey::planned(simulation, call, &sequence_number);
    let sending = send(
        simulation.clone(),
        subscription.target.clone(),
        fields,
        journey,
    );
    simulation.spawn(sending);
}

/// What happens to one callback on its way.
#[derive(Debug, Clone, Copy)]
struct Journey {
    is_lost: bool,
    delay: Duration,
    is_repeated: bool,
}

impl Journey {
    fn planned(simulation: &Simulation, call: &Call, sequence_number: &str) -> Self {
        let faults = simulation.faults();
        let n_earlier = call.n_earlier.to_string();
        let draw = |what: &str| {
            let subject = [
                "callback",
                what,
                &call.order.to,
                &n_earlier,
                sequence_number,
            ];
            simulation.chance.about(&subject)
        };
        let jitter = draw("jitter").between(SHORTEST_JITTER, LONGEST_JITTER);
        let mut delay = simulation.pace.shorten(jitter);
        if draw("late").happens(faults.late_callback) {
            delay += Duration::from_millis(faults.late_by_ms);
        }
        if draw("reordered").happens(faults.reordered_callback) {
            delay += simulation
                .pace
                .shorten_to(OVERTAKING_TIME, MIN_OVERTAKING_TIME);
        }
        Self {
            is_lost: draw("lost").happens(faults.lost_callback),
            delay,
            is_repeated: draw("duplicate").happens(faults.duplicate_callback),
        }
    }
}

const SHORTEST_JITTER: Duration = Duration::from_millis(5);
const LONGEST_JITTER: Duration = Duration::from_millis(60);
/// Long enough for the next event of most calls to be told first.
const OVERTAKING_TIME: Duration = Duration::from_secs(12);
const MIN_OVERTAKING_TIME: Duration = Duration::from_millis(250);
const REPEAT_AFTER: Duration = Duration::from_millis(50);

async fn send(
    simulation: Arc<Simulation>,
    target: Target,
    fields: Vec<(String, String)>,
    journey: Journey,
) {
    if journey.is_lost {
        simulation.ledger.callback(CallbackFate::Lost);
        return;
    }
    tokio::time::sleep(journey.delay).await;
    deliver(&simulation, &target, &fields).await;
    if journey.is_repeated {
        tokio::time::sleep(REPEAT_AFTER).await;
        simulation.ledger.callback(CallbackFate::Repeated);
        deliver(&simulation, &target, &fields).await;
    }
}

async fn deliver(simulation: &Simulation, target: &Target, fields: &[(String, String)]) {
    match webhook::request(simulation, target, fields).await {
        Ok(_answer) => simulation.ledger.callback(CallbackFate::Delivered),
        Err(failure) => {
            simulation.ledger.callback(CallbackFate::Failed);
            simulation.ledger.alert(failure.code, &failure.detail);
        }
    }
}

/// A webhook outside the status series (detection verdicts, stream events): sent once, no faults.
pub fn notify(simulation: &Arc<Simulation>, target: Target, fields: Vec<(String, String)>) {
    let notified = simulation.clone();
    simulation.spawn(async move {
        if let Err(failure) = webhook::request(&notified, &target, &fields).await {
            notified.ledger.alert(failure.code, &failure.detail);
        }
    });
}
