//! Requests of which nobody knows what became, and calls that turn up late.

use super::*;

// proves F-03
#[test]
fn a_lost_reply_is_looked_up_and_never_dialed_again_on_a_guess() {
    let mut case = Case::reserved();
    case.reply(CarrierReply::Unknown, after(15));
    assert_eq!(case.claim(after(20)).effects, []);
    let found = Finding::Found {
        sid: sid("CA1"),
        status: SignalKind::Ringing,
        answered_by: None,
    };
    case.look(found, after(25));
    assert_eq!(case.state(), "ringing");
}

// proves F-02
#[test]
fn an_attempt_is_given_back_only_after_the_carrier_twice_knew_nothing() {
    let mut case = Case::reserved();
    case.reply(CarrierReply::Unknown, after(15));
    case.look(Finding::Unanswered, after(25));
    case.look(Finding::Absent, after(35));
    assert_eq!(case.state(), "unknown");
    case.look(Finding::Absent, after(45));
    assert_eq!(case.state(), "due in 945 s");
    assert_eq!(case.enrollment.n_counted, 0);
}

#[test]
fn a_crash_between_saving_and_dialing_counts_as_one_look() {
    let mut case = Case::reserved();
    case.look(Finding::Absent, after(20));
    case.look(Finding::Absent, after(30));
    assert_eq!(case.state(), "due in 930 s");
}

#[test]
fn a_question_asked_before_the_call_got_its_name_is_no_proof_of_absence() {
    let mut case = Case::reserved();
    let asked_at = case.enrollment.version;
    case.tell(SignalKind::Ringing, after(20));
    case.look_since(asked_at, Finding::Absent, after(21));
    assert_eq!(case.state(), "ringing");
}

// proves F-03
#[test]
fn two_processes_that_ask_at_once_have_asked_once() {
    let mut case = Case::reserved();
    case.reply(CarrierReply::Unknown, after(15));
    let asked_at = case.enrollment.version;
    case.look_since(asked_at, Finding::Absent, after(25));
    case.look_since(asked_at, Finding::Absent, after(25));
    assert_eq!(case.state(), "unknown");
}

#[test]
fn refusals_without_end_count_as_a_failed_attempt_in_the_end() {
    let mut case = Case::new();
    let mut now = NOW;
    for _ in 0..4 {
        case.claim(now);
        case.reply(CarrierReply::Refused(fault(FaultClass::Unclassified)), now);
        now += jiff::SignedDuration::from_secs(60);
    }
    assert_eq!(
        case.past[3].state.outcome().map(Outcome::name),
        Some("failed")
    );
    assert_eq!(case.enrollment.n_counted, 1);
}

// proves F-04
#[test]
fn a_call_that_turns_up_for_a_given_up_attempt_is_ended() {
    let mut case = Case::reserved();
    case.look(Finding::Absent, after(20));
    case.look(Finding::Absent, after(30));
    let decision = case.tell(SignalKind::Ringing, after(60));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    assert_eq!(case.state(), "due in 930 s");
}

// proves F-04
#[test]
fn a_call_that_turns_up_after_it_was_hung_up_and_given_up_is_ended() {
    let mut case = Case::reserved();
    let attempt = case.first();
    let by = Party::Operator;
    case.take(Input::HangUp { attempt, by }, after(1));
    case.look(Finding::Absent, after(20));
    case.look(Finding::Absent, after(30));
    assert_eq!(case.state(), "finished canceled");
    let decision = case.tell(SignalKind::Ringing, after(60));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    assert_eq!(case.state(), "finished canceled");
}

#[test]
fn a_second_call_for_one_attempt_is_ended() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Ringing, after(1));
    let decision = case.tell_of("CA2", SignalKind::Ringing, after(2));
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA2") }]);
    assert_eq!(case.state(), "ringing");
}
