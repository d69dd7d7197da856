//! The one place where it is decided what happens next.
//!
//! [`decide`] is a plain function: what is known, what came in and the time go in; what to save, what
//! to do after that and what to tell come out. It knows no store, no carrier and no clock. Old news
//! is ordinary input: signals come late, twice and in any order, and must never move a call
//! backwards.

mod ending;
mod reply;
mod told;
mod transfer;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, Party},
    caller_id::Pick,
    campaign::Campaign,
    enrollment::{Enrollment, EnrollmentState},
    event::{Event, EventKind, Moment},
    ids::{AttemptId, CallSid, RecordingSid},
    machine::{AnsweredBy, Detection, Speech},
    outcome::{Fault, Outcome},
    person::Person,
    phone::PhoneNumber,
    place::Place,
    register::Registers,
    rules::{self, DecisionRecord, Facts, Rule, RuleSet, Verdict},
    signal::{Signal, SignalKind},
    step::{Step, VoiceCall},
    window::Opening,
};

/// How soon a campaign without any number to call from is looked at again.
const CALLER_ID_AGAIN: Duration = Duration::from_secs(60);

/// What is known when something comes in.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The campaign as last saved.
    pub campaign: &'a Campaign,
    /// The enrollment as last saved.
    pub enrollment: &'a Enrollment,
    /// The attempt that the input is about, when it is not the open one.
    pub past: Option<&'a Attempt>,
    /// How long to wait for what.
    pub timing: &'a Timing,
}

/// How long to wait for what, before the carrier is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// For the carrier's reply to our request, counted from the dial start. Longer than the
    /// request's own deadline, so that a reply that comes at all comes first.
    pub reply: Duration,
    /// Between two questions about a call that the carrier does not know, or does not answer for.
    /// Longer than the carrier's list lags behind.
    pub look: Duration,
    /// For an answer, beyond the ringing time: the network may need a minute to reach the phone.
    pub answer: Duration,
    /// For the end of a call, beyond its greatest length.
    pub talk: Duration,
    /// Between two questions about a talk that goes on: its end may have been told to a process that
    /// died.
    pub going_on: Duration,
    /// For the end of a call whose audio has ended.
    pub hangup: Duration,
    /// Before a person is dialed again whose call was never placed after all (F-02).
    pub unplaced_gap: Duration,
    /// Before an enrollment is tried again that the carrier could not take.
    pub refused_gap: Duration,
    /// Before a rule is asked again that could not say when it will allow.
    pub hold: Duration,
    /// For the verdict of a detection, beyond the time for which the carrier listens.
    pub verdict: Duration,
    /// From the end of a call to the first question for its price; each further wait is longer.
    pub price: Duration,
    /// What a day is by which recordings are as old as they may become.
    pub day: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            reply: Duration::from_secs(20),
            look: Duration::from_secs(10),
            answer: Duration::from_secs(75),
            talk: Duration::from_secs(60),
            going_on: Duration::from_secs(60),
            hangup: Duration::from_secs(10),
            unplaced_gap: Duration::from_secs(15 * 60),
            refused_gap: Duration::from_secs(60),
            hold: Duration::from_secs(60),
            verdict: Duration::from_secs(5),
            price: Duration::from_secs(60),
            day: Duration::from_secs(24 * 3600),
        }
    }
}

/// Everything that can happen to an enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Dispatch claimed the enrollment and pacing gave it a dial start.
    Claimed(Box<Claim>),
    /// The dial start came and the call must not go out any more. The carrier was not asked.
    Withheld {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The carrier was asked for a call.
    Replied {
        /// Which attempt.
        attempt: AttemptId,
        /// What it said.
        reply: CarrierReply,
    },
    /// Somebody told something about a call.
    Told {
        /// Which attempt.
        attempt: AttemptId,
        /// What.
        signal: Signal,
    },
    /// No news came in time, and the carrier was asked about the call.
    LookedUp {
        /// Which attempt.
        attempt: AttemptId,
        /// The enrollment's version when the question was asked. Who has moved on meanwhile is not
        /// unknown to the carrier because the question was asked too early.
        version: u64,
        /// What it knows.
        finding: Finding,
    },
    /// The carrier refused the attempt as if for its number, and for many others alike: it is not the
    /// number's fault after all.
    NotAtFault {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// The carrier made a call to the person of which the records know nothing.
    Called {
        /// The enrollment's version when it was seen that no record knows the call.
        version: u64,
        /// The carrier's name for it.
        sid: CallSid,
        /// The number it came from.
        from: PhoneNumber,
        /// When it was created.
        at: Timestamp,
    },
    /// The callee is to be handed over to a person.
    Transfer {
        /// Which attempt.
        attempt: AttemptId,
        /// Who wants that.
        by: Party,
        /// To whom; none for whom the campaign names.
        to: Option<PhoneNumber>,
    },
    /// The call is to be ended, in whatever state it is.
    HangUp {
        /// Which attempt.
        attempt: AttemptId,
        /// Who wants that.
        by: Party,
    },
}

/// What a claimed enrollment gets its attempt by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// When to ask the carrier.
    pub dial_at: Timestamp,
    /// The number the callee would see.
    pub caller: Pick,
    /// Until when the callee's range of numbers is not called; none when it is.
    pub range_rests_until: Option<Timestamp>,
    /// What the rules go by.
    pub standing: Standing,
}

/// What the rules go by, beside the campaign and the enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The campaign's rules as they hold.
    pub rules: Arc<RuleSet>,
    /// Where the person is.
    pub place: Place,
    /// What is known of the person over all campaigns.
    pub person: Person,
    /// The tenant's copies of the do-not-call registers that are asked for.
    pub registers: Registers,
}

impl Standing {
    /// What is known of somebody whose data was erased.
    pub fn of_nobody(rules: Arc<RuleSet>, place: Place) -> Self {
        Self {
            rules,
            place,
            person: Person::default(),
            registers: Registers::default(),
        }
    }

    /// Whether an attempt may begin at `at` as far as the rules are concerned.
    pub fn allows(&self, campaign: &Campaign, enrollment: &Enrollment, at: Timestamp) -> bool {
        match campaign.steps.get(usize::from(enrollment.cursor)) {
            Some(Step::VoiceCall(call)) => {
                let facts = self.facts(campaign, enrollment, call.ring_timeout);
                rules::judge(&facts, at).verdict() == Verdict::Allowed
            }
            None => false,
        }
    }

    /// What is judged, when the phone may ring for `expected_ring`.
    pub fn facts<'a>(
        &'a self,
        campaign: &'a Campaign,
        enrollment: &'a Enrollment,
        expected_ring: Duration,
    ) -> Facts<'a> {
        Facts {
            campaign,
            enrollment,
            place: &self.place,
            rules: &self.rules,
            person: &self.person,
            registers: &self.registers,
            expected_ring,
        }
    }

    /// Until when the phone must have begun to ring, so that it stops within calling hours; none
    /// where they do not end.
    fn closes_at(&self, ring: Duration, at: Timestamp) -> Option<Timestamp> {
        match rules::opening_of(&self.rules, &self.place, ring, at) {
            Opening::Open { closes_at } => closes_at,
            Opening::Closed { .. } => None,
        }
    }
}

/// What a carrier says to a request for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarrierReply {
    /// The call exists under this name.
    Accepted(CallSid),
    /// No call exists.
    Refused(Fault),
    /// No call exists; ask again later.
    Throttled {
        /// How much later.
        wait: Duration,
    },
    /// Nothing was asked.
    Unreachable,
    /// No usable answer: the call may exist.
    Unknown,
}

/// What a carrier knows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The call, and how far it has come.
    Found {
        /// The carrier's name for it.
        sid: CallSid,
        /// How far it has come.
        status: SignalKind,
        /// What its detection found.
        answered_by: Option<AnsweredBy>,
    },
    /// No such call.
    Absent,
    /// The carrier did not answer.
    Unanswered,
}

/// What to save, and what to do when that is saved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// What to save, if anything changed.
    pub save: Option<Change>,
    /// What to tell where nothing is saved.
    pub events: Vec<Event>,
    /// What to do, after saving.
    pub effects: Vec<Effect>,
}

/// An enrollment with its version raised, the attempt that changed with it, and what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The enrollment to save.
    pub enrollment: Enrollment,
    /// The attempt to save, open or past.
    pub attempt: Option<Attempt>,
    /// What happened.
    pub events: Vec<Event>,
}

/// What to do outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the carrier for a call at the attempt's dial start.
    Place {
        /// The saved intent.
        attempt: Attempt,
        /// How long it may ring.
        ring_timeout: Duration,
        /// How long the call may last.
        max_duration: Duration,
        /// Whether and how the carrier listens for machines.
        detection: Option<Detection>,
        /// Whether the carrier records it.
        is_recorded: bool,
    },
    /// Have the carrier delete a recording that nobody may listen to.
    DeleteRecording {
        /// Which.
        recording: RecordingSid,
    },
    /// Speak to who is on the line in the agent's place, and end the call then.
    Speak {
        /// Which call.
        sid: CallSid,
        /// What.
        speech: Speech,
    },
    /// Take away what others said of a person in signals about an attempt that were received.
    ForgetWords {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Have the callee handed over to a person.
    Transfer {
        /// Which attempt.
        attempt: AttemptId,
        /// Which call.
        sid: CallSid,
        /// To whom.
        to: PhoneNumber,
        /// The number that the person sees.
        from: PhoneNumber,
    },
    /// End a call at the carrier.
    EndCall {
        /// Which.
        sid: CallSid,
    },
    /// Take a call back at the carrier that waits there to be made.
    Withdraw {
        /// Which.
        sid: CallSid,
    },
    /// Stand the campaign still, because every call would fail alike.
    PauseCampaign {
        /// Why.
        fault: Fault,
    },
    /// Count a call that was answered and got no agent; several in a row stand the campaign still.
    NoteAgentFailed {
        /// Why, in words for an operator.
        detail: String,
    },
    /// A call got its agent: failures before it were not a row.
    NoteAgentJoined,
    /// Begin no calls for a while.
    RestCarrier {
        /// How long.
        wait: Duration,
    },
    /// A call failed: too many failures stand the campaign still.
    WatchFailures,
    /// Somebody answered and heard nobody: too many such calls stand the campaign still.
    WatchQuality,
    /// The carrier refused a number: a row of such refusals is the account's.
    WatchRefusals,
    /// The carrier does not serve the destination: its range of numbers rests.
    WatchDestinations,
    /// The carrier does not accept our own number.
    RestNumber {
        /// Which.
        number: PhoneNumber,
        /// What it says.
        fault: Fault,
    },
    /// Count a refusal that nobody has classified; several in a row stand the campaign still.
    NoteUnclassified {
        /// What the carrier said.
        fault: Fault,
    },
    /// Count a request that got no usable answer; several in a row stand the campaign still.
    NoteUnanswered,
    /// The carrier accepted a call: refusals and silence before it were not a row.
    NoteAccepted,
}

/// What follows from `input`, given what is known.
pub fn decide(snapshot: &Snapshot<'_>, input: &Input, now: Timestamp) -> Decision {
    match input {
        Input::Claimed(claim) => open(snapshot, claim, now),
        Input::Withheld { attempt } => match snapshot.open(*attempt) {
            Some(open) => reply::withheld(snapshot, open, now),
            None => Decision::default(),
        },
        Input::Replied { attempt, reply } => match snapshot.open(*attempt) {
            Some(open) => reply::replied(snapshot, open, reply, now),
            None => reply::replied_late(snapshot, reply, now),
        },
        Input::Told { attempt, signal } => match snapshot.open(*attempt) {
            Some(open) => told::told(snapshot, open, signal, now),
            None => told::told_late(snapshot, signal, now),
        },
        Input::LookedUp {
            attempt,
            version,
            finding,
        } => match snapshot.open(*attempt) {
            Some(_) if *finding == Finding::Absent && *version != snapshot.enrollment.version => {
                Decision::default()
            }
            Some(open) => reply::looked_up(snapshot, open, finding, now),
            None => Decision::default(),
        },
        Input::NotAtFault { attempt } => reply::not_at_fault(snapshot, *attempt, now),
        Input::Called {
            version,
            sid,
            from,
            at,
        } => {
            let is_as_read = *version == snapshot.enrollment.version;
            match snapshot.enrollment.state {
                EnrollmentState::Waiting { .. } if is_as_read => {
                    called(snapshot, sid, from, *at, now)
                }
                _ => Decision::default(),
            }
        }
        Input::Transfer { attempt, by, to } => match snapshot.open(*attempt) {
            Some(open) => transfer::transfer(snapshot, open, *by, to.as_ref(), now),
            None => Decision::default(),
        },
        Input::HangUp { attempt, by } => match snapshot.open(*attempt) {
            Some(open) => hang_up(snapshot, open, *by, now),
            None => Decision::default(),
        },
    }
}

/// Opens an attempt for a claimed enrollment, if the rules allow it at its dial start.
fn open(snapshot: &Snapshot<'_>, claim: &Claim, now: Timestamp) -> Decision {
    let enrollment = snapshot.enrollment;
    let Some(Step::VoiceCall(call)) = snapshot.campaign.steps.get(usize::from(enrollment.cursor))
    else {
        return snapshot.finish(None, None, None, now);
    };
    let facts = claim
        .standing
        .facts(snapshot.campaign, enrollment, call.ring_timeout);
    let judgement = rules::judge(&facts, claim.dial_at);
    let from = match (judgement.verdict(), judgement.decided_by()) {
        (Verdict::Allowed, _) => match open_way(claim) {
            Ok(from) => from,
            Err((rule, until)) => return hold(snapshot, rule, until, now),
        },
        (Verdict::Never, rule) => return snapshot.finish(None, None, rule, now),
        // These say that the claim is old news. Saving the enrollment unchanged ends it.
        (_, Some(Rule::NothingOpen | Rule::CampaignActive | Rule::Due) | None) => {
            return snapshot.save(enrollment.state.clone(), None, vec![]);
        }
        (Verdict::Hold { until }, Some(rule)) => {
            let until = until.unwrap_or(now + snapshot.timing.hold);
            return hold(snapshot, rule, until, now);
        }
    };
    let attempt = Attempt {
        id: enrollment.next_attempt_id(),
        step: enrollment.cursor,
        to: enrollment.phone.clone(),
        from: from.clone(),
        reserved_at: now,
        dial_at: claim.dial_at,
        ring_by: claim.standing.closes_at(call.ring_timeout, claim.dial_at),
        decision: Some(DecisionRecord::new(&facts, claim.dial_at)),
        state: AttemptState::Reserved,
        facts: CallFacts {
            verdict_within: call.machines.verdict_within(),
            ..CallFacts::default()
        },
    };
    let check_at = claim.dial_at + snapshot.timing.reply;
    let mut decision = snapshot.keep_open(attempt.clone(), check_at, now);
    if let Some(change) = &mut decision.save {
        change.enrollment.n_attempts = attempt.id.number;
    }
    decision.effects.push(Effect::Place {
        attempt,
        ring_timeout: call.ring_timeout,
        max_duration: call.max_duration,
        detection: call.machines.detection(),
        is_recorded: call.is_recorded,
    });
    decision
}

/// Takes a call that was made without us for the next attempt. How it went is asked at once.
fn called(
    snapshot: &Snapshot<'_>,
    sid: &CallSid,
    from: &PhoneNumber,
    at: Timestamp,
    now: Timestamp,
) -> Decision {
    let enrollment = snapshot.enrollment;
    let attempt = Attempt {
        id: enrollment.next_attempt_id(),
        step: enrollment.cursor,
        to: enrollment.phone.clone(),
        from: from.clone(),
        reserved_at: at,
        dial_at: at,
        ring_by: None,
        decision: None,
        state: AttemptState::Dialing { sid: sid.clone() },
        facts: CallFacts::default(),
    };
    let number = attempt.id.number;
    let mut decision = snapshot.keep_open(attempt, now, now);
    if let Some(change) = &mut decision.save {
        change.enrollment.n_attempts = number;
    }
    decision
}

/// The number to call from, or what stands in the way beside the rules, and until when.
fn open_way(claim: &Claim) -> Result<&PhoneNumber, (Rule, Timestamp)> {
    if let Some(until) = claim.range_rests_until {
        return Err((Rule::Destination, until));
    }
    match &claim.caller {
        Pick::Number(from) => Ok(from),
        Pick::Wait(until) => Err((Rule::CallerId, *until)),
        Pick::None => Err((Rule::CallerId, claim.dial_at + CALLER_ID_AGAIN)),
    }
}

/// Puts an enrollment off until a rule may allow it, which is told once.
fn hold(snapshot: &Snapshot<'_>, rule: Rule, until: Timestamp, now: Timestamp) -> Decision {
    let state = EnrollmentState::Waiting {
        due_at: until,
        held_by: Some(rule),
    };
    let was_told = matches!(
        snapshot.enrollment.state,
        EnrollmentState::Waiting { held_by: Some(before), .. } if before == rule
    );
    let events = if was_told {
        vec![]
    } else {
        vec![snapshot.enrollment_event(&state, now)]
    };
    snapshot.save(state, None, events)
}

/// Ends a call, or sees to it that the one that may be on its way is ended.
fn hang_up(snapshot: &Snapshot<'_>, open: &Attempt, by: Party, now: Timestamp) -> Decision {
    let mut attempt = open.clone();
    attempt.facts.ended_by.get_or_insert(by);
    match open.state.sid().cloned() {
        Some(sid) => {
            let mut decision = snapshot.keep_open(attempt, now + snapshot.timing.hangup, now);
            decision.effects.push(Effect::EndCall { sid });
            decision
        }
        // The request may be on its way: it is held back at its start, or else the carrier's reply
        // names the call, which is then ended and stays on record.
        None if open.state == AttemptState::Reserved => {
            snapshot.keep_open(attempt, open.dial_at + snapshot.timing.reply, now)
        }
        None => snapshot.keep_open(attempt, now + snapshot.timing.look, now),
    }
}

impl Snapshot<'_> {
    /// The open attempt, if that is its id.
    fn open(&self, id: AttemptId) -> Option<&Attempt> {
        self.enrollment.open_attempt().filter(|open| open.id == id)
    }

    /// Saves the enrollment in `state`.
    fn save(
        &self,
        state: EnrollmentState,
        attempt: Option<Attempt>,
        events: Vec<Event>,
    ) -> Decision {
        let mut enrollment = self.enrollment.clone();
        enrollment.state = state;
        enrollment.version += 1;
        Decision {
            save: Some(Change {
                enrollment,
                attempt,
                events,
            }),
            ..Decision::default()
        }
    }

    /// Saves the open attempt, and tells of it when its state changed.
    fn keep_open(&self, attempt: Attempt, check_at: Timestamp, now: Timestamp) -> Decision {
        let before = self.enrollment.open_attempt().map(|open| open.state.name());
        let changed = before != Some(attempt.state.name());
        let events = changed
            .then(|| self.call_event(&attempt, now))
            .into_iter()
            .collect();
        let state = EnrollmentState::Open {
            attempt: attempt.clone(),
            check_at,
        };
        self.save(state, Some(attempt), events)
    }

    /// Saves the enrollment as done.
    fn finish(
        &self,
        attempt: Option<Attempt>,
        outcome: Option<Outcome>,
        by_rule: Option<Rule>,
        now: Timestamp,
    ) -> Decision {
        let mut events: Vec<Event> = attempt
            .iter()
            .map(|attempt| self.call_event(attempt, now))
            .collect();
        let state = EnrollmentState::Finished {
            outcome,
            by_rule,
            at: now,
        };
        events.push(self.enrollment_event(&state, now));
        self.save(state, attempt, events)
    }

    /// Saves the enrollment as waiting until `due_at`.
    fn wait(&self, attempt: Attempt, due_at: Timestamp, now: Timestamp) -> Decision {
        let state = EnrollmentState::Waiting {
            due_at,
            held_by: None,
        };
        let events = vec![
            self.call_event(&attempt, now),
            self.enrollment_event(&state, now),
        ];
        self.save(state, Some(attempt), events)
    }

    fn event(&self, kind: EventKind, now: Timestamp) -> Event {
        Event {
            tenant: self.enrollment.tenant,
            campaign: self.enrollment.campaign,
            at: now,
            kind,
        }
    }

    fn call_event(&self, attempt: &Attempt, now: Timestamp) -> Event {
        let kind = EventKind::Call {
            attempt: attempt.id,
            contact: self.enrollment.contact,
            state: attempt.state.name().to_owned(),
            outcome: attempt
                .state
                .outcome()
                .map(|outcome| outcome.name().to_owned()),
        };
        self.event(kind, now)
    }

    fn enrollment_event(&self, state: &EnrollmentState, now: Timestamp) -> Event {
        let due_at = match state {
            EnrollmentState::Waiting { due_at, .. } => Some(*due_at),
            EnrollmentState::Open { .. } | EnrollmentState::Finished { .. } => None,
        };
        let kind = EventKind::Enrollment {
            enrollment: self.enrollment.id,
            state: state.name().to_owned(),
            due_at,
        };
        self.event(kind, now)
    }

    fn moment(&self, attempt: AttemptId, moment: Moment, now: Timestamp) -> Event {
        self.event(EventKind::Timeline { attempt, moment }, now)
    }

    /// What an attempt was to do; none where the campaign has no such step any more.
    fn voice_call(&self, attempt: &Attempt) -> Option<&VoiceCall> {
        let step = self.campaign.steps.get(usize::from(attempt.step))?;
        let Step::VoiceCall(call) = step;
        Some(call)
    }

    /// The longest that a call of the present step may ring and last.
    fn call_limits(&self) -> (Duration, Duration) {
        match self.campaign.steps.get(usize::from(self.enrollment.cursor)) {
            Some(Step::VoiceCall(call)) => (call.ring_timeout, call.max_duration),
            None => (Duration::ZERO, Duration::ZERO),
        }
    }
}
