use super::*;
use crate::domain::{
    machine::{AnsweredBy, DetectionMode, MachinePolicy, Message, OnMachine, Speech},
    price::CarrierPrice,
    text::Template,
};

impl Case {
    /// A case with a call that is answered, in which `on_machine` holds.
    fn answered_by(on_machine: OnMachine) -> Self {
        Self::answered_with(MachinePolicy {
            mode: DetectionMode::Async,
            on_machine,
            ..MachinePolicy::default()
        })
    }

    /// A case with a call that is answered, in which `machines` holds.
    fn answered_with(machines: MachinePolicy) -> Self {
        let mut case = Self::new();
        let Step::VoiceCall(call) = &mut case.campaign.steps[0];
        call.machines = machines;
        case.claim(NOW);
        case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
        case.tell(SignalKind::Answered, after(10));
        case
    }

    fn agent_joins(&mut self, now: Timestamp) {
        let conversation = "conv_1".parse().unwrap();
        let vendor = "elevenlabs".parse().unwrap();
        self.tell(
            SignalKind::AgentJoined {
                conversation,
                vendor,
            },
            now,
        );
    }

    fn detect(&mut self, by: AnsweredBy, now: Timestamp) -> Decision {
        let is_asking = false;
        self.tell(SignalKind::Detected { by, is_asking }, now)
    }

    /// When the carrier is to be asked about the call.
    fn check_at(&self) -> Timestamp {
        let EnrollmentState::Open { check_at, .. } = self.enrollment.state else {
            panic!("{:?} is not open", self.enrollment.state);
        };
        check_at
    }

    /// The carrier is asked about a call that goes on.
    fn look_up(&mut self, answered_by: Option<AnsweredBy>, now: Timestamp) -> Decision {
        let finding = Finding::Found {
            sid: sid("CA1"),
            status: SignalKind::Answered,
            answered_by,
        };
        let input = Input::LookedUp {
            attempt: self.first(),
            version: self.enrollment.version,
            finding,
        };
        self.take(input, now)
    }

    fn over(&mut self, now: Timestamp) -> &Outcome {
        let over = SignalKind::Over {
            end: CallEnd::Completed,
            duration: None,
            network_code: None,
        };
        self.tell(over, now);
        let ended = self.past.iter().find(|past| past.id == self.first());
        ended.unwrap().state.outcome().unwrap()
    }

    fn facts(&self) -> &CallFacts {
        &self
            .past
            .iter()
            .find(|past| past.id == self.first())
            .unwrap()
            .facts
    }
}

fn left() -> OnMachine {
    OnMachine::LeaveMessage {
        message: Message::Text(Template::parse("Hello {{name}}").unwrap()),
    }
}

// proves F-26
#[test]
fn a_machine_is_hung_up_on_and_tried_again_as_the_policy_says() {
    let mut case = Case::answered_by(OnMachine::HangUp);
    case.agent_joins(after(11));
    let decision = case.detect(AnsweredBy::Machine, after(14));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    assert_eq!(case.facts().ended_by, Some(Party::System));
    let again = case.detect(AnsweredBy::Machine, after(15));
    assert_eq!(again, Decision::default(), "twice is once");
    assert_eq!(case.over(after(16)), &Outcome::Voicemail);
    assert!(case.state().starts_with("due in"), "{}", case.state());
}

// proves F-26
#[test]
fn a_message_is_left_with_the_persons_name_and_has_its_time() {
    let mut case = Case::answered_by(left());
    case.agent_joins(after(11));
    let decision = case.detect(AnsweredBy::MachineReady, after(20));
    let text = "Hello Ann".to_owned();
    let speech = Speech::Text {
        text,
        language: None,
    };
    let sid = sid("CA1");
    assert_eq!(
        decision.effects,
        [Effect::Speak {
            sid: sid.clone(),
            speech
        }]
    );
    assert_eq!(case.facts().message_at, Some(after(20)));
    case.tell(
        SignalKind::MediaEnded {
            by: Some(Party::Callee),
        },
        after(21),
    );
    assert_eq!(case.facts().ended_by, Some(Party::System), "not the callee");
    let look_up = |case: &Case| Input::LookedUp {
        attempt: case.first(),
        version: case.enrollment.version,
        finding: Finding::Found {
            sid: "CA1".parse().unwrap(),
            status: SignalKind::Answered,
            answered_by: None,
        },
    };
    let early = look_up(&case);
    assert_eq!(case.take(early, after(21)).effects, [], "it is being said");
    let late = look_up(&case);
    assert_eq!(
        case.take(late, after(60)).effects,
        [Effect::EndCall { sid }]
    );
    assert_eq!(case.over(after(61)), &Outcome::Voicemail);
}

// proves F-26
#[test]
fn a_carrier_that_waits_to_be_told_is_told_once() {
    let mut case = Case::answered_by(left());
    let asking = SignalKind::Detected {
        by: AnsweredBy::MachineReady,
        is_asking: true,
    };
    let decision = case.tell(asking, after(20));
    assert_eq!(decision.effects, []);
    assert_eq!(case.facts().message_at, Some(after(20)));
    assert_eq!(case.over(after(30)), &Outcome::Voicemail);
}

// proves F-26
#[test]
fn a_verdict_never_disturbs_a_talk_that_is_held_or_over() {
    for by in [
        AnsweredBy::Machine,
        AnsweredBy::MachineReady,
        AnsweredBy::Fax,
    ] {
        let mut held = Case::answered_by(OnMachine::HangUp);
        held.agent_joins(after(11));
        held.tell(SignalKind::TalkHeld, after(15));
        assert_eq!(held.detect(by, after(16)).effects, []);
        assert_eq!(held.over(after(40)), &Outcome::Answered);
        assert_eq!(held.facts().answered_by.map(|it| it.by), Some(by));

        for has_joined in [true, false] {
            let mut over = Case::answered_by(OnMachine::HangUp);
            if has_joined {
                over.agent_joins(after(11));
            }
            let outcome = over.over(after(40)).clone();
            let (state, decision) = (over.state(), over.detect(by, after(41)));
            assert_eq!(decision.effects, []);
            assert_eq!(over.past[0].state.outcome(), Some(&outcome));
            assert_eq!(over.facts().answered_by.map(|it| it.by), Some(by));
            assert_eq!(over.state(), state);
        }
    }
}

// proves F-26
#[test]
fn a_fax_is_hung_up_on_and_not_tried_again() {
    let mut case = Case::answered_by(OnMachine::CarryOn);
    let decision = case.detect(AnsweredBy::Fax, after(14));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    assert_eq!(case.over(after(16)), &Outcome::Voicemail);
    assert_eq!(case.state(), "finished voicemail");
}

#[test]
fn a_machine_may_be_talked_to_and_is_no_person_for_that() {
    let mut case = Case::answered_by(OnMachine::CarryOn);
    case.agent_joins(after(11));
    assert_eq!(case.detect(AnsweredBy::Machine, after(14)).effects, []);
    assert_eq!(case.over(after(40)), &Outcome::Voicemail);
}

#[test]
fn who_cannot_be_told_is_a_person() {
    let mut case = Case::answered_by(OnMachine::HangUp);
    case.agent_joins(after(11));
    assert_eq!(case.detect(AnsweredBy::Unknown, after(14)).effects, []);
    assert_eq!(case.over(after(40)), &Outcome::Answered);
}

// proves F-36
#[test]
fn a_sentence_that_is_being_spoken_is_not_cut() {
    let mut case = Case::answered_by(OnMachine::HangUp);
    let detail = "the agent said nothing".to_owned();
    case.tell(SignalKind::AgentFailed { detail }, after(16));
    case.tell(
        SignalKind::MediaEnded {
            by: Some(Party::Agent),
        },
        after(16),
    );
    let look_up = |case: &Case| Input::LookedUp {
        attempt: case.first(),
        version: case.enrollment.version,
        finding: Finding::Found {
            sid: "CA1".parse().unwrap(),
            status: SignalKind::Answered,
            answered_by: None,
        },
    };
    let early = look_up(&case);
    assert_eq!(case.take(early, after(18)).effects, []);
    let late = look_up(&case);
    let ended = [Effect::EndCall { sid: sid("CA1") }];
    assert_eq!(case.take(late, after(40)).effects, ended);
}

/// A policy that hangs up on machines and takes the unknown for one or not.
fn listening(unknown_is_machine: bool) -> MachinePolicy {
    MachinePolicy {
        mode: DetectionMode::Async,
        unknown_is_machine,
        ..MachinePolicy::default()
    }
}

fn moments(decision: &Decision) -> Vec<&Moment> {
    let events = decision.save.iter().flat_map(|change| &change.events);
    events
        .filter_map(|event| match &event.kind {
            EventKind::Timeline { moment, .. } => Some(moment),
            _ => None,
        })
        .collect()
}

// proves F-26
#[test]
fn a_verdict_that_was_lost_is_the_one_that_the_carrier_has() {
    let mut case = Case::answered_with(listening(false));
    case.agent_joins(after(11));
    assert_eq!(
        case.check_at(),
        after(10 + 30 + 5),
        "answer, detection, slack"
    );
    let decision = case.look_up(Some(AnsweredBy::Machine), after(45));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    let by = AnsweredBy::Machine;
    assert_eq!(moments(&decision), [&Moment::Detected { by }]);
    assert_eq!(case.over(after(46)), &Outcome::Voicemail);
}

// proves F-26
#[test]
fn a_verdict_that_nobody_has_is_unknown_and_what_the_campaign_says_of_it_holds() {
    for unknown_is_machine in [false, true] {
        let mut case = Case::answered_with(listening(unknown_is_machine));
        case.agent_joins(after(11));
        let early = case.look_up(None, after(44));
        assert_eq!(
            (early.effects.as_slice(), moments(&early)),
            (&[][..], vec![])
        );
        assert_eq!(case.facts().answered_by, None, "it may still come");
        let decision = case.look_up(None, after(45));
        let ends = [Effect::EndCall { sid: sid("CA1") }];
        let expected: &[Effect] = if unknown_is_machine { &ends } else { &[] };
        assert_eq!(decision.effects, expected);
        assert_eq!(moments(&decision), [&Moment::VerdictMissing]);
        assert_eq!(
            case.facts().answered_by.map(|it| it.by),
            Some(AnsweredBy::Unknown)
        );
        assert!(case.check_at() > after(45), "asked once");
        let outcome = if unknown_is_machine {
            Outcome::Voicemail
        } else {
            Outcome::Answered
        };
        assert_eq!(case.over(after(60)), &outcome);
    }
}

// proves F-26
#[test]
fn a_verdict_that_comes_after_all_takes_the_place_of_none() {
    let mut case = Case::answered_with(listening(false));
    case.agent_joins(after(11));
    case.look_up(None, after(45));
    let decision = case.detect(AnsweredBy::Fax, after(50));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    assert_eq!(
        case.facts().answered_by.map(|it| it.by),
        Some(AnsweredBy::Fax)
    );
}

// proves F-26
#[test]
fn no_verdict_is_waited_for_that_changes_nothing_or_was_not_asked_for() {
    let mut held = Case::answered_with(listening(true));
    held.agent_joins(after(11));
    held.tell(SignalKind::TalkHeld, after(20));
    assert!(held.check_at() > after(45));
    assert_eq!(held.look_up(None, after(70)).effects, []);
    assert_eq!(held.facts().answered_by, None);

    let mut off = Case::answered_with(MachinePolicy {
        mode: DetectionMode::Off,
        ..listening(true)
    });
    off.agent_joins(after(11));
    // The call was placed before: the carrier does not listen.
    let Step::VoiceCall(call) = &mut off.campaign.steps[0];
    call.machines.mode = DetectionMode::Async;
    assert_eq!(off.look_up(None, after(70)).effects, []);
    assert_eq!(off.facts().answered_by, None);
}

// proves F-28
#[test]
fn a_price_is_awaited_for_whatever_was_answered_and_nothing_else() {
    let mut answered = Case::answered_by(OnMachine::HangUp);
    answered.agent_joins(after(11));
    answered.over(after(40));
    let first = answered.timing.price;
    let expected = Some(CarrierPrice::awaited(after(40), first));
    assert_eq!(answered.facts().price, expected);

    let mut busy = Case::reserved();
    busy.reply(CarrierReply::Accepted(sid("CA1")), after(1));
    let over = SignalKind::Over {
        end: CallEnd::Busy,
        duration: None,
        network_code: None,
    };
    busy.tell(over, after(5));
    assert_eq!(busy.facts().price, None);
}
