use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    attempt::ReleaseReason,
    campaign::{CampaignStatus, PauseReason, tests as campaigns},
    contact::Fields,
    holiday::Holidays,
    ids::{ContactId, EnrollmentId, PlaceKey, TenantId},
    outcome::FaultClass,
    profile::ProfileId,
    retry::Tally,
    rules::CampaignRules,
    signal::CallEnd,
};

mod doubt;
/// What answering machines cause.
mod machines;
mod operators;
/// What agents' vendors tell after a conversation.
mod reports;
mod rules;
/// What agents ask for, and transfers to people.
mod tools;

const NOW: Timestamp = campaigns::NOW;

fn after(seconds: i64) -> Timestamp {
    NOW + jiff::SignedDuration::from_secs(seconds)
}

fn sid(text: &str) -> CallSid {
    text.parse().unwrap()
}

/// An enrollment of an active campaign that takes inputs one after the other.
struct Case {
    campaign: Campaign,
    enrollment: Enrollment,
    past: Vec<Attempt>,
    timing: Timing,
}

impl Case {
    fn new() -> Self {
        let campaign = campaigns::campaign(CampaignStatus::Active);
        let enrollment = Enrollment {
            id: EnrollmentId::new(Uuid::from_u128(2)),
            tenant: TenantId::DEFAULT,
            campaign: campaign.id,
            contact: ContactId::new(Uuid::from_u128(3)),
            phone: "+12025550143".parse().unwrap(),
            place: PlaceKey::new(""),
            name: Some("Ann".to_owned()),
            fields: Fields::new(),
            state: EnrollmentState::Waiting {
                due_at: NOW,
                held_by: None,
            },
            cursor: 0,
            n_attempts: 0,
            n_counted: 0,
            tally: Tally::new(),
            version: 1,
        };
        Self {
            campaign,
            enrollment,
            past: vec![],
            timing: Timing::default(),
        }
    }

    /// A case whose first attempt is reserved.
    fn reserved() -> Self {
        let mut case = Self::new();
        case.claim(NOW);
        case
    }

    fn claim(&mut self, now: Timestamp) -> Decision {
        let claim = self.usual_claim(now);
        self.take(Input::Claimed(Box::new(claim)), now)
    }

    /// A claim by a campaign without rules of its own, of a person of whom nothing is known.
    fn usual_claim(&self, now: Timestamp) -> Claim {
        let own = CampaignRules {
            profile: ProfileId::NONE,
            ..CampaignRules::default()
        };
        let rules = RuleSet::new(&own, &Holidays::default(), now);
        Claim {
            dial_at: now,
            caller: Pick::Number("+12025550100".parse().unwrap()),
            range_rests_until: None,
            standing: Standing {
                place: Place::of(self.enrollment.phone.known().unwrap(), None, &own.zone),
                rules: Arc::new(rules),
                person: Person::default(),
                registers: Registers::default(),
            },
        }
    }

    fn take(&mut self, input: Input, now: Timestamp) -> Decision {
        let about = match &input {
            Input::Claimed(_) | Input::Called { .. } => None,
            Input::Withheld { attempt }
            | Input::NotAtFault { attempt }
            | Input::Replied { attempt, .. }
            | Input::Told { attempt, .. }
            | Input::LookedUp { attempt, .. }
            | Input::Transfer { attempt, .. }
            | Input::HangUp { attempt, .. } => Some(*attempt),
        };
        let past = self
            .past
            .iter()
            .find(|past| Some(past.id) == about)
            .cloned();
        let snapshot = Snapshot {
            campaign: &self.campaign,
            enrollment: &self.enrollment,
            past: past.as_ref(),
            timing: &self.timing,
        };
        let decision = decide(&snapshot, &input, now);
        if let Some(change) = &decision.save {
            assert_eq!(change.enrollment.version, self.enrollment.version + 1);
            self.enrollment = change.enrollment.clone();
            if let Some(attempt) = &change.attempt {
                self.past.retain(|past| past.id != attempt.id);
                self.past.push(attempt.clone());
            }
        }
        decision
    }

    fn first(&self) -> AttemptId {
        AttemptId {
            enrollment: self.enrollment.id,
            number: 1,
        }
    }

    fn reply(&mut self, reply: CarrierReply, now: Timestamp) -> Decision {
        let attempt = self
            .enrollment
            .open_attempt()
            .map_or(self.first(), |open| open.id);
        self.take(Input::Replied { attempt, reply }, now)
    }

    fn tell(&mut self, kind: SignalKind, now: Timestamp) -> Decision {
        self.tell_of("CA1", kind, now)
    }

    fn tell_of(&mut self, call: &str, kind: SignalKind, now: Timestamp) -> Decision {
        let signal = Signal {
            sid: Some(sid(call)),
            at: now,
            kind,
        };
        self.take(
            Input::Told {
                attempt: self.first(),
                signal,
            },
            now,
        )
    }

    fn look(&mut self, finding: Finding, now: Timestamp) -> Decision {
        let version = self.enrollment.version;
        self.look_since(version, finding, now)
    }

    fn look_since(&mut self, version: u64, finding: Finding, now: Timestamp) -> Decision {
        let attempt = self.enrollment.open_attempt().unwrap().id;
        self.take(
            Input::LookedUp {
                attempt,
                version,
                finding,
            },
            now,
        )
    }

    fn state(&self) -> String {
        match &self.enrollment.state {
            EnrollmentState::Open { attempt, .. } => attempt.state.name().to_owned(),
            EnrollmentState::Waiting { due_at, .. } => {
                format!("due in {} s", due_at.duration_since(NOW).as_secs())
            }
            EnrollmentState::Finished { outcome, .. } => {
                format!(
                    "finished {}",
                    outcome.as_ref().map_or("none", Outcome::name)
                )
            }
        }
    }
}

fn over(end: CallEnd) -> SignalKind {
    SignalKind::Over {
        end,
        duration: Some(Duration::from_secs(30)),
        network_code: Some(200),
    }
}

fn fault(class: FaultClass) -> Fault {
    Fault {
        class,
        code: Some(1),
        detail: "because".to_owned(),
    }
}

fn joined() -> SignalKind {
    SignalKind::AgentJoined {
        conversation: "conv_1".parse().unwrap(),
        vendor: "somebody".parse().unwrap(),
    }
}

fn media() -> SignalKind {
    SignalKind::MediaStarted {
        stream: "MZ1".parse().unwrap(),
        node: None,
    }
}

#[test]
fn an_answered_call_goes_from_intent_to_its_end() {
    let mut case = Case::new();
    let placed = case.claim(NOW);
    assert!(
        matches!(placed.effects.as_slice(), [Effect::Place { .. }]),
        "{placed:?}"
    );
    let mut states = vec![case.state()];
    case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
    states.push(case.state());
    for kind in [
        SignalKind::Ringing,
        SignalKind::Answered,
        media(),
        joined(),
        over(CallEnd::Completed),
    ] {
        case.tell(kind, after(5));
        states.push(case.state());
    }
    assert_eq!(
        states,
        [
            "reserved",
            "dialing",
            "ringing",
            "connected",
            "connected",
            "connected",
            "finished answered"
        ]
    );
}

#[test]
fn a_late_acceptance_does_not_undo_an_answer() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Answered, after(1));
    case.reply(CarrierReply::Accepted(sid("CA1")), after(3));
    assert_eq!(case.state(), "connected");
}

#[test]
fn a_busy_contact_waits_and_a_dead_number_is_the_end() {
    let mut busy = Case::reserved();
    busy.tell(over(CallEnd::Busy), after(4));
    assert!(busy.state().starts_with("due in"), "{}", busy.state());
    let mut dead = Case::reserved();
    dead.tell(over(CallEnd::Failed(fault(FaultClass::Number))), after(4));
    assert_eq!(dead.state(), "finished failed");
}

// proves F-12
#[test]
fn attempts_never_exceed_the_budget() {
    let mut case = Case::new();
    let mut n_dials = 0;
    while let EnrollmentState::Waiting { due_at: now, .. } = case.enrollment.state {
        n_dials += case.claim(now).effects.len();
        let attempt = case.enrollment.open_attempt().unwrap().id;
        let signal = Signal {
            sid: Some(sid("CA1")),
            at: now,
            kind: over(CallEnd::Busy),
        };
        case.take(Input::Told { attempt, signal }, now);
    }
    assert_eq!(n_dials, 3);
    assert_eq!(case.state(), "finished busy");
}

// proves F-21
#[test]
fn whose_fault_a_refusal_is_decides() {
    let refused = |class| {
        let mut case = Case::reserved();
        let decision = case.reply(CarrierReply::Refused(fault(class)), after(1));
        (case.state(), decision.effects)
    };
    let pause = |class| {
        vec![Effect::PauseCampaign {
            fault: fault(class),
        }]
    };
    assert_eq!(
        refused(FaultClass::Account),
        ("due in 1 s".into(), pause(FaultClass::Account))
    );
    assert_eq!(
        refused(FaultClass::Ours),
        ("due in 1 s".into(), pause(FaultClass::Ours))
    );
    assert_eq!(
        refused(FaultClass::Number),
        ("finished failed".into(), vec![Effect::WatchRefusals])
    );
    assert_eq!(
        refused(FaultClass::Destination),
        ("due in 61 s".into(), vec![Effect::WatchDestinations])
    );
    let number = "+12025550100".parse().unwrap();
    let fault_of_number = fault(FaultClass::CallerNumber);
    assert_eq!(
        refused(FaultClass::CallerNumber),
        (
            "due in 1 s".into(),
            vec![Effect::RestNumber {
                number,
                fault: fault_of_number
            }]
        )
    );
    assert_eq!(
        refused(FaultClass::Unclassified),
        (
            "due in 61 s".into(),
            vec![Effect::NoteUnclassified {
                fault: fault(FaultClass::Unclassified)
            }]
        )
    );
}

#[test]
fn a_refusal_after_a_callback_proved_the_call_is_old_news() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Ringing, after(1));
    case.reply(CarrierReply::Refused(fault(FaultClass::Account)), after(2));
    assert_eq!(case.state(), "ringing");
}

// proves F-05
#[test]
fn nothing_is_dialed_for_a_paused_campaign() {
    let mut case = Case::new();
    case.campaign.status = CampaignStatus::Paused(PauseReason::Operator);
    assert_eq!(case.claim(NOW).effects, []);
    assert_eq!(case.state(), "due in 0 s");
}

#[test]
fn a_withheld_attempt_is_not_counted() {
    let mut case = Case::reserved();
    case.take(
        Input::Withheld {
            attempt: case.first(),
        },
        after(1),
    );
    assert_eq!(
        (case.state().as_str(), case.enrollment.n_counted),
        ("due in 1 s", 0)
    );
    case.claim(after(2));
    assert_eq!(case.enrollment.open_attempt().unwrap().id.number, 2);
}

// proves F-17
#[test]
fn a_talk_is_asked_about_every_minute() {
    let mut case = Case::reserved();
    let check_at = |case: &Case| match &case.enrollment.state {
        EnrollmentState::Open { check_at, .. } => *check_at,
        other => panic!("{other:?}"),
    };
    case.tell(SignalKind::Answered, after(1));
    assert_eq!(check_at(&case), after(61));
    let found = || Finding::Found {
        sid: sid("CA1"),
        status: SignalKind::Answered,
        answered_by: None,
    };
    assert_eq!(case.look(found(), after(61)).effects, []);
    assert_eq!(check_at(&case), after(121));
    // 900 s of talk and 60 s on top are over.
    case.look(found(), after(955));
    assert_eq!(check_at(&case), after(965));
    assert_eq!(
        case.look(found(), after(965)).effects,
        [Effect::EndCall { sid: sid("CA1") }]
    );
}

#[test]
fn a_talk_whose_audio_ended_long_ago_is_ended() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Answered, after(1));
    case.tell(SignalKind::MediaEnded { by: None }, after(30));
    let found = Finding::Found {
        sid: sid("CA1"),
        status: SignalKind::Answered,
        answered_by: None,
    };
    let decision = case.look(found, after(40));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
}

// proves F-35
#[test]
fn a_call_without_an_agent_is_noted_once() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Answered, after(1));
    let failed = || SignalKind::AgentFailed {
        detail: "no quota".to_owned(),
    };
    let noted = Effect::NoteAgentFailed {
        detail: "no quota".to_owned(),
    };
    assert_eq!(case.tell(failed(), after(2)).effects, [noted]);
    assert_eq!(case.tell(failed(), after(3)).effects, []);
}

#[test]
fn the_time_to_the_first_audio_counts_from_the_answer() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Answered, after(1));
    case.tell(SignalKind::AgentSpoke, after(3));
    let facts = &case.enrollment.open_attempt().unwrap().facts;
    assert_eq!(facts.first_audio_after, Some(Duration::from_secs(2)));
}

fn all_signals() -> Vec<SignalKind> {
    vec![
        SignalKind::Placed,
        SignalKind::Ringing,
        SignalKind::Answered,
        media(),
        joined(),
        SignalKind::MediaEnded {
            by: Some(Party::Callee),
        },
        over(CallEnd::Completed),
    ]
}

proptest! {
    // proves F-18, F-20
    #[test]
    fn signals_in_any_order_and_repeated_come_to_the_same(
        order in Just((0..7).chain(0..7).collect::<Vec<usize>>()).prop_shuffle(),
        reply_at in 0_usize..15,
    ) {
        let mut case = Case::reserved();
        for (n, index) in order.iter().enumerate() {
            if n == reply_at {
                let attempt = case.first();
                let reply = CarrierReply::Accepted(sid("CA1"));
                case.take(Input::Replied { attempt, reply }, after(9));
            }
            let kind = all_signals()[*index].clone();
            let decision = case.tell(kind, after(10));
            prop_assert!(
                decision.effects.iter().all(|effect| matches!(
                    effect,
                    Effect::NoteAccepted | Effect::NoteAgentJoined | Effect::WatchQuality
                )),
                "{:?}", decision.effects
            );
        }
        prop_assert_eq!(case.state(), "finished answered");
        let facts = &case.past[0].facts;
        prop_assert_eq!(facts.ended_by, Some(Party::Callee));
        prop_assert_eq!(facts.duration, Some(Duration::from_secs(30)));
        prop_assert_eq!(case.enrollment.n_counted, 1);
    }
}

// proves F-95
#[test]
fn a_call_that_was_made_without_us_is_the_next_attempt() {
    let mut case = Case::new();
    let called = |version| Input::Called {
        version,
        sid: sid("CA11111111111111111111111111111111"),
        from: "+12025550100".parse().unwrap(),
        at: after(-3600),
    };
    // Somebody else was faster.
    assert_eq!(case.take(called(0), NOW), Decision::default());
    let decision = case.take(called(1), NOW);
    assert!(decision.effects.is_empty(), "{:?}", decision.effects);
    let open = case.enrollment.open_attempt().unwrap();
    assert_eq!((open.id, open.dial_at), (case.first(), after(-3600)));
    assert_eq!(case.enrollment.n_attempts, 1);
    // It is open now, and what the carrier says of it ends it.
    let version = case.enrollment.version;
    assert_eq!(case.take(called(version), NOW), Decision::default());
    let finding = Finding::Found {
        sid: sid("CA11111111111111111111111111111111"),
        status: over(CallEnd::Busy),
        answered_by: None,
    };
    let attempt = case.first();
    case.take(
        Input::LookedUp {
            attempt,
            version,
            finding,
        },
        NOW,
    );
    assert_eq!(case.enrollment.n_counted, 1);
    assert_eq!(case.enrollment.open_attempt(), None);
}
