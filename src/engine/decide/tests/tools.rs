use super::*;
use crate::domain::{
    disposition::Disposition,
    follow_up::FollowUp,
    machine::{AnsweredBy, DetectionMode, MachinePolicy},
    text::Template,
    transfer::{TransferEnd, TransferPolicy, TransferResult},
};

impl Case {
    /// A case with a call in which an agent talks; its callees can be transferred.
    fn in_talk() -> Self {
        let mut case = Self::reserved();
        let Step::VoiceCall(call) = &mut case.campaign.steps[0];
        call.transfer = Some(TransferPolicy {
            to: "+12025550199".parse().unwrap(),
            whisper: None,
            caller_id: None,
            sentence: Some(Template::parse("Nobody is there.").unwrap()),
        });
        case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
        case.tell(SignalKind::Answered, after(10));
        case.tell(joined(), after(11));
        case
    }

    fn transfer(&mut self, to: Option<&str>, now: Timestamp) -> Decision {
        let input = Input::Transfer {
            attempt: self.first(),
            by: Party::Agent,
            to: to.map(|to| to.parse().unwrap()),
        };
        self.take(input, now)
    }

    fn transfer_ends(&mut self, result: TransferResult, now: Timestamp) -> Decision {
        let talked = None;
        let end = TransferEnd { result, talked };
        self.tell(SignalKind::TransferEnded(end), now)
    }

    fn is_up(&mut self, now: Timestamp) -> Vec<Effect> {
        let finding = Finding::Found {
            sid: sid("CA1"),
            status: SignalKind::Answered,
            answered_by: None,
        };
        self.look(finding, now).effects
    }

    fn known(&self) -> &CallFacts {
        let known = self.past.iter().find(|past| past.id == self.first());
        &known.unwrap().facts
    }

    fn wishes(&mut self, at: i64, said: i64) {
        self.tell(
            SignalKind::FollowUpWished(FollowUp {
                at: after(at),
                note: None,
                wished_at: after(said),
            }),
            after(said),
        );
    }
}

fn left_by(by: Party) -> SignalKind {
    SignalKind::MediaEnded { by: Some(by) }
}

fn ends_call(effects: &[Effect]) -> bool {
    let end = Effect::EndCall { sid: sid("CA1") };
    effects.contains(&end)
}

#[test]
fn who_wants_to_be_called_again_is_called_again_at_that_time() {
    let mut case = Case::in_talk();
    case.wishes(7200, 20);
    case.wishes(3600, 30);
    // The last word counts, whenever it is told.
    case.wishes(9000, 25);
    case.tell(over(CallEnd::Completed), after(40));
    assert_eq!(case.state(), "due in 3600 s");
    assert_eq!(case.enrollment.cursor, 0, "the step is done again");
    assert_eq!(case.enrollment.n_counted, 1);
    let claimed = case.claim(after(3600));
    assert!(matches!(claimed.effects[..], [Effect::Place { .. }]));
}

#[test]
fn a_time_that_has_passed_when_the_call_ends_is_now() {
    let mut case = Case::in_talk();
    case.wishes(60, 20);
    case.tell(over(CallEnd::Completed), after(100));
    assert_eq!(case.state(), "due in 100 s");
}

#[test]
fn nobody_is_called_more_often_than_the_campaign_allows_whatever_they_wish() {
    let mut case = Case::in_talk();
    case.campaign.retry.max_attempts = 1;
    case.wishes(3600, 20);
    case.tell(over(CallEnd::Completed), after(40));
    assert_eq!(case.state(), "finished answered");
    let mut case = Case::in_talk();
    case.wishes(3600, 20);
    case.campaign.status = CampaignStatus::Cancelled;
    case.tell(over(CallEnd::Completed), after(40));
    assert_eq!(case.state(), "finished answered");
}

#[test]
fn the_last_disposition_counts_in_whatever_order_they_come() {
    let disposed = |name: &str, at| {
        SignalKind::Disposed(Disposition {
            name: name.to_owned(),
            note: None,
            at: after(at),
        })
    };
    let mut case = Case::in_talk();
    let told = case.tell(disposed("interested", 20), after(20));
    let events = told.save.unwrap().events;
    assert!(events.iter().any(|event| matches!(
        &event.kind,
        EventKind::Timeline { moment: Moment::Disposed { disposition, .. }, .. }
            if disposition == "interested"
    )));
    case.tell(disposed("sold", 22), after(23));
    let old_news = case.tell(disposed("undecided", 21), after(24));
    assert_eq!(old_news, Decision::default());
    case.tell(over(CallEnd::Completed), after(30));
    // Also when the call is over.
    case.tell(disposed("lost", 29), after(31));
    let known = case.known().disposition.as_ref();
    assert_eq!(known.unwrap().name, "lost");
    assert_eq!(case.state(), "finished answered");
}

#[test]
fn a_callee_is_transferred_once_and_has_not_hung_up_on_the_agent() {
    let mut case = Case::in_talk();
    let decision = case.transfer(None, after(20));
    assert_eq!(
        decision.effects,
        [Effect::Transfer {
            attempt: case.first(),
            sid: sid("CA1"),
            to: "+12025550199".parse().unwrap(),
            from: "+12025550100".parse().unwrap(),
        }]
    );
    assert_eq!(case.transfer(None, after(21)), Decision::default());
    case.tell(left_by(Party::Callee), after(22));
    assert_eq!(case.known().ended_by, None);
    assert!(!ends_call(&case.is_up(after(60))), "two people talk");
    case.tell(SignalKind::TransferJoined, after(30));
    // Long after a call with an agent would have been too long.
    assert!(!ends_call(&case.is_up(after(5000))));
    case.transfer_ends(TransferResult::Answered, after(5100));
    case.tell(over(CallEnd::Completed), after(5101));
    assert_eq!(case.state(), "finished answered");
    let transfer = case.known().transfer.as_ref().unwrap();
    assert!(transfer.was_answered());
    assert_eq!(transfer.joined_at, Some(after(30)));
    assert_eq!(case.known().ended_by, None, "nobody knows who hung up");
}

#[test]
fn a_transfer_of_which_nothing_is_heard_is_ended_some_time() {
    let mut case = Case::in_talk();
    case.transfer(None, after(20));
    case.tell(left_by(Party::Callee), after(22));
    assert!(ends_call(&case.is_up(after(5 * 3600))));
}

#[test]
fn a_callee_for_whom_nobody_is_there_hears_so_and_is_hung_up_on() {
    let mut case = Case::in_talk();
    case.transfer(Some("+12025550177"), after(20));
    case.tell(left_by(Party::Callee), after(22));
    case.transfer_ends(TransferResult::NoAnswer, after(50));
    assert_eq!(case.known().ended_by, Some(Party::System));
    assert!(!ends_call(&case.is_up(after(51))), "it is being said");
    assert!(ends_call(&case.is_up(after(120))));
    // The carrier's first word counts.
    case.transfer_ends(TransferResult::Answered, after(121));
    let end = case.known().transfer.as_ref().unwrap().end;
    assert_eq!(end.unwrap().result, TransferResult::NoAnswer);
}

#[test]
fn a_transfer_that_the_carrier_refuses_leaves_the_callee_with_the_agent() {
    let mut case = Case::in_talk();
    case.transfer(None, after(20));
    case.transfer_ends(TransferResult::Refused, after(21));
    assert_eq!(case.known().ended_by, None);
    assert_eq!(case.transfer(None, after(30)).effects.len(), 1, "once more");
    case.transfer_ends(TransferResult::Refused, after(31));
    case.tell(left_by(Party::Agent), after(40));
    assert_eq!(case.known().ended_by, Some(Party::Agent));
    assert!(ends_call(&case.is_up(after(60))));
    // It had taken it after all.
    case.transfer_ends(TransferResult::Answered, after(61));
    let transfer = case.known().transfer.as_ref().unwrap();
    assert!(transfer.was_answered());
}

#[test]
fn nobody_is_transferred_who_is_not_in_a_talk() {
    let mut case = Case::reserved();
    let to = Some("+12025550177");
    assert_eq!(case.transfer(to, after(1)), Decision::default());
    let mut case = Case::in_talk();
    let attempt = case.first();
    let by = Party::Operator;
    case.take(Input::HangUp { attempt, by }, after(20));
    assert_eq!(case.transfer(to, after(21)), Decision::default());
    let mut case = Case::in_talk();
    let Step::VoiceCall(call) = &mut case.campaign.steps[0];
    call.transfer = None;
    assert_eq!(case.transfer(None, after(20)), Decision::default());
    assert_eq!(case.transfer(to, after(21)).effects.len(), 1);
}

#[test]
fn a_transferred_call_is_ended_when_an_operator_says_so() {
    let mut case = Case::in_talk();
    case.transfer(None, after(20));
    case.tell(left_by(Party::Callee), after(22));
    let attempt = case.first();
    let by = Party::Operator;
    let asked = case.take(Input::HangUp { attempt, by }, after(30));
    assert!(ends_call(&asked.effects));
    assert!(ends_call(&case.is_up(after(41))), "once more");
}

// proves F-26
#[test]
fn a_late_verdict_does_not_disturb_a_transferred_call() {
    let mut case = Case::in_talk();
    let Step::VoiceCall(call) = &mut case.campaign.steps[0];
    call.machines = MachinePolicy {
        mode: DetectionMode::Async,
        ..MachinePolicy::default()
    };
    case.transfer(None, after(20));
    let by = AnsweredBy::Machine;
    let is_asking = false;
    let decision = case.tell(SignalKind::Detected { by, is_asking }, after(21));
    assert_eq!(decision.effects, []);
    case.tell(SignalKind::TransferJoined, after(30));
    case.tell(over(CallEnd::Completed), after(60));
    assert_eq!(case.state(), "finished answered");
}
