use super::*;
use crate::domain::{
    erasure::KeptNumber,
    report::{AgentReport, AgentVerdict},
};

fn report(conversation: &str, verdict: AgentVerdict) -> AgentReport {
    AgentReport {
        verdict: Some(verdict),
        summary: Some("Ann wants a call.".to_owned()),
        ..AgentReport::new(conversation.parse().unwrap())
    }
}

fn reported(conversation: &str, verdict: AgentVerdict) -> SignalKind {
    SignalKind::Reported {
        report: report(conversation, verdict),
    }
}

impl Case {
    /// A case with an answered call.
    fn answered() -> Self {
        let mut case = Self::reserved();
        case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
        case.tell(SignalKind::Answered, after(10));
        case
    }

    /// As vendors tell it: without the carrier's name for the call.
    fn report(&mut self, kind: SignalKind, now: Timestamp) -> Decision {
        let signal = Signal {
            sid: None,
            at: now,
            kind,
        };
        let attempt = self.first();
        self.take(Input::Told { attempt, signal }, now)
    }

    fn joined_as(&mut self, conversation: &str, now: Timestamp) {
        let joined = SignalKind::AgentJoined {
            conversation: conversation.parse().unwrap(),
            vendor: "elevenlabs".parse().unwrap(),
        };
        self.tell(joined, now);
    }

    fn hung_up(&mut self, now: Timestamp) {
        let over = SignalKind::Over {
            end: CallEnd::Completed,
            duration: None,
            network_code: None,
        };
        self.tell(over, now);
    }

    fn only_attempt(&self) -> &Attempt {
        assert_eq!(self.past.len(), 1);
        &self.past[0]
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

// proves F-53, F-55
#[test]
fn a_report_is_a_fact_whenever_it_comes_and_comes_once() {
    use AgentVerdict::{Failure, Success, Unknown};

    for verdict in [Success, Failure, Unknown] {
        let mut early = Case::answered();
        early.joined_as("conv_1", after(11));
        let told = early.report(reported("conv_1", verdict), after(40));
        let moment = Moment::Reported {
            verdict: Some(verdict),
        };
        assert_eq!(moments(&told), [&moment]);
        early.hung_up(after(41));

        let mut late = Case::answered();
        late.joined_as("conv_1", after(11));
        late.hung_up(after(41));
        let before = late.enrollment.state.clone();
        let told = late.report(reported("conv_1", verdict), after(86_400 * 3));
        assert_eq!(moments(&told), [&moment]);
        assert_eq!((told.effects, &late.enrollment.state), (vec![], &before));

        for case in [&mut early, &mut late] {
            let attempt = case.only_attempt();
            assert_eq!(attempt.facts.report, Some(report("conv_1", verdict)));
            assert_eq!(attempt.state.outcome(), Some(&Outcome::Answered));
            for again in [verdict, Success, Failure] {
                let told = case.report(reported("conv_1", again), after(86_400 * 4));
                assert_eq!(told, Decision::default());
            }
        }
    }
}

// proves F-53
#[test]
fn a_report_of_success_makes_no_call_answered() {
    let mut case = Case::answered();
    case.hung_up(after(20));
    let outcome = case.only_attempt().state.outcome().cloned();
    assert_ne!(outcome, Some(Outcome::Answered));
    case.report(reported("conv_1", AgentVerdict::Success), after(60));
    let attempt = case.only_attempt();
    assert!(attempt.facts.report.is_some());
    assert_eq!(attempt.state.outcome(), outcome.as_ref());
}

#[test]
fn of_several_conversations_the_one_that_the_callee_was_in_counts() {
    use AgentVerdict::{Failure, Success};

    let mut case = Case::answered();
    case.joined_as("conv_2", after(11));
    case.hung_up(after(40));
    let other = case.report(reported("conv_1", Failure), after(60));
    assert_eq!(other, Decision::default());
    case.report(reported("conv_2", Success), after(61));
    let expected = Some(report("conv_2", Success));
    assert_eq!(case.only_attempt().facts.report, expected);

    // The other way round: the first one led to nothing, which was told before the second was known.
    let mut case = Case::answered();
    case.report(reported("conv_1", Failure), after(11));
    assert!(case.only_attempt().facts.report.is_some());
    case.joined_as("conv_2", after(12));
    assert_eq!(case.only_attempt().facts.report, None);
    case.report(reported("conv_2", Success), after(60));
    assert_eq!(case.only_attempt().facts.report, expected);
}

// proves F-50
#[test]
fn a_report_about_an_erased_person_leaves_nothing() {
    let mut case = Case::answered();
    case.joined_as("conv_1", after(11));
    case.hung_up(after(40));
    case.past[0].to = KeptNumber::Erased(case.enrollment.id);
    let told = case.report(reported("conv_1", AgentVerdict::Success), after(60));
    let forget = Effect::ForgetWords {
        attempt: case.first(),
    };
    let expected = Decision {
        effects: vec![forget],
        ..Decision::default()
    };
    assert_eq!(told, expected);
}
