//! Calls that people end, stop or take back.

use super::*;

#[test]
fn hanging_up_ends_the_call_at_the_carrier_and_says_who() {
    let mut case = Case::reserved();
    case.tell(SignalKind::Answered, after(1));
    let attempt = case.first();
    let decision = case.take(
        Input::HangUp {
            attempt,
            by: Party::Operator,
        },
        after(5),
    );
    assert_eq!(decision.effects, [Effect::EndCall { sid: sid("CA1") }]);
    case.tell(
        SignalKind::MediaEnded {
            by: Some(Party::Callee),
        },
        after(6),
    );
    case.tell(over(CallEnd::Completed), after(6));
    assert_eq!(case.past[0].facts.ended_by, Some(Party::Operator));
}

#[test]
fn a_hang_up_before_the_dial_cancels_the_call_when_its_start_comes() {
    let mut case = Case::reserved();
    let attempt = case.first();
    case.take(
        Input::HangUp {
            attempt,
            by: Party::Operator,
        },
        after(1),
    );
    assert_eq!(case.past[0].state, AttemptState::Reserved);
    case.take(Input::Withheld { attempt }, after(2));
    assert_eq!(case.state(), "finished canceled");
}

#[test]
fn a_stop_before_the_dial_leaves_the_contact_as_never_called() {
    let mut case = Case::reserved();
    let attempt = case.first();
    case.campaign.status = CampaignStatus::Cancelled;
    case.take(
        Input::HangUp {
            attempt,
            by: Party::Operator,
        },
        after(1),
    );
    case.take(Input::Withheld { attempt }, after(2));
    let why = ReleaseReason::Withheld;
    assert_eq!(
        case.past[0].state,
        AttemptState::Released { at: after(2), why }
    );
    assert_eq!(case.enrollment.n_counted, 0);
}

#[test]
fn a_hang_up_while_the_request_is_on_its_way_ends_the_call_and_keeps_it_on_record() {
    let mut case = Case::reserved();
    let attempt = case.first();
    let by = Party::Operator;
    case.take(Input::HangUp { attempt, by }, after(1));
    let decision = case.take(
        Input::Replied {
            attempt,
            reply: CarrierReply::Accepted(sid("CA1")),
        },
        after(2),
    );
    assert!(
        decision
            .effects
            .contains(&Effect::EndCall { sid: sid("CA1") })
    );
    assert_eq!(case.past[0].state.sid(), Some(&sid("CA1")));
    case.tell(SignalKind::Ringing, after(2));
    let check_at = match &case.enrollment.state {
        EnrollmentState::Open { check_at, .. } => *check_at,
        other => panic!("{other:?}"),
    };
    assert_eq!(check_at, after(2) + case.timing.hangup);
    case.tell(over(CallEnd::Canceled), after(3));
    assert_eq!(case.past[0].state.outcome(), Some(&Outcome::Canceled));
}

// proves F-24
#[test]
fn a_call_that_a_pause_took_back_is_not_counted_and_is_made_again() {
    let paused = CampaignStatus::Paused(PauseReason::Operator);
    let gap = Timing::default().refused_gap;
    for (status, rang, due_at) in [
        (paused.clone(), false, after(5)),
        (paused, true, after(5) + gap),
        (CampaignStatus::Active, false, after(5) + gap),
    ] {
        let mut case = Case::reserved();
        case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
        if rang {
            case.tell(SignalKind::Ringing, after(2));
        }
        case.campaign.status = status;
        case.tell(over(CallEnd::Canceled), after(5));
        assert_eq!(case.past[0].state.outcome(), Some(&Outcome::Canceled));
        assert_eq!(case.past[0].state.sid(), Some(&sid("CA1")));
        let held_by = None;
        assert_eq!(
            case.enrollment.state,
            EnrollmentState::Waiting { due_at, held_by }
        );
        assert_eq!(
            (case.enrollment.n_attempts, case.enrollment.n_counted),
            (1, 0)
        );
    }
    let mut case = Case::reserved();
    case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
    case.campaign.status = CampaignStatus::Cancelled;
    case.tell(over(CallEnd::Canceled), after(5));
    assert!(matches!(
        case.enrollment.state,
        EnrollmentState::Finished { .. }
    ));
}
