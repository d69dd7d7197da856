//! What a rule says when somebody is claimed, and while they wait to be dialed.

use super::*;

/// A claim under the rules that `own` asks for.
fn claim_under(case: &Case, own: CampaignRules, now: Timestamp) -> Claim {
    let mut claim = case.usual_claim(now);
    claim.standing.rules = Arc::new(RuleSet::new(&own, &Holidays::default(), now));
    claim
}

fn no_profile() -> CampaignRules {
    CampaignRules {
        profile: ProfileId::NONE,
        ..CampaignRules::default()
    }
}

// proves F-69
#[test]
fn outside_the_hours_an_enrollment_is_put_off_until_they_begin() {
    let mut case = Case::new();
    let own = CampaignRules {
        window: Some("thu 05:00-06:00".parse().unwrap()),
        ..no_profile()
    };
    // Thursday 2025-10-09, 04:53:20 in New York.
    let claim = claim_under(&case, own, NOW);
    let decision = case.take(Input::Claimed(Box::new(claim)), NOW);
    assert!(decision.effects.is_empty());
    let due_at = "2025-10-09T09:00:00Z".parse().unwrap();
    let held_by = Some(Rule::CallingWindow);
    assert_eq!(
        case.enrollment.state,
        EnrollmentState::Waiting { due_at, held_by }
    );
    assert_eq!(case.enrollment.n_attempts, 0);
}

// proves F-71
#[test]
fn a_rule_that_never_allows_ends_the_enrollment_by_its_name() {
    let mut case = Case::new();
    let own = CampaignRules {
        requires_consent: true,
        ..no_profile()
    };
    let claim = claim_under(&case, own, NOW);
    case.take(Input::Claimed(Box::new(claim)), NOW);
    let EnrollmentState::Finished {
        by_rule, outcome, ..
    } = &case.enrollment.state
    else {
        panic!("{:?}", case.enrollment.state);
    };
    assert_eq!((*by_rule, outcome), (Some(Rule::Consent), &None));
}

// proves F-22
#[test]
fn whoever_has_a_number_in_a_resting_range_is_put_off() {
    let mut case = Case::new();
    let mut claim = case.usual_claim(NOW);
    claim.range_rests_until = Some(after(3600));
    case.take(Input::Claimed(Box::new(claim)), NOW);
    let (due_at, held_by) = (after(3600), Some(Rule::Destination));
    assert_eq!(
        case.enrollment.state,
        EnrollmentState::Waiting { due_at, held_by }
    );
}

#[test]
fn without_a_free_number_to_call_from_an_enrollment_is_put_off() {
    let mut case = Case::new();
    let mut claim = case.usual_claim(NOW);
    claim.caller = Pick::Wait(after(30));
    case.take(Input::Claimed(Box::new(claim)), NOW);
    let (due_at, held_by) = (after(30), Some(Rule::CallerId));
    assert_eq!(
        case.enrollment.state,
        EnrollmentState::Waiting { due_at, held_by }
    );
}

// proves F-75
#[test]
fn an_attempt_keeps_by_which_rules_it_was_allowed() {
    let case = Case::reserved();
    let open = case.enrollment.open_attempt().unwrap();
    let decision = open.decision.as_ref().unwrap();
    assert_eq!(decision.profile, "none");
    assert_eq!((decision.at, decision.region.as_str()), (NOW, "US-DC"));
}

// proves F-24
#[test]
fn a_call_that_is_still_queued_when_calling_hours_end_is_taken_back() {
    let mut case = Case::new();
    let own = CampaignRules {
        window: Some("thu 04:00-04:54".parse().unwrap()),
        ..no_profile()
    };
    let claim = claim_under(&case, own, NOW);
    case.take(Input::Claimed(Box::new(claim)), NOW);
    case.reply(CarrierReply::Accepted(sid("CA1")), after(1));
    let by = case.enrollment.open_attempt().unwrap().ring_by.unwrap();
    assert!(by > after(2) && by < after(40), "{by}");
    let attempt = case.first();
    let found = |version| Input::LookedUp {
        attempt,
        version,
        finding: Finding::Found {
            sid: sid("CA1"),
            status: SignalKind::Placed,
            answered_by: None,
        },
    };
    let version = case.enrollment.version;
    let early = case.take(found(version), after(2));
    assert_eq!(early.effects, []);
    let version = case.enrollment.version;
    let late = case.take(found(version), by);
    assert_eq!(late.effects, [Effect::Withdraw { sid: sid("CA1") }]);
}

// proves F-23
#[test]
fn a_number_that_was_refused_for_the_account_s_sake_waits_again_uncounted() {
    let mut case = Case::reserved();
    case.reply(CarrierReply::Refused(fault(FaultClass::Number)), after(1));
    assert_eq!(case.state(), "finished failed");
    let attempt = case.first();
    case.take(Input::NotAtFault { attempt }, after(2));
    assert_eq!(case.state(), "due in 2 s");
    assert_eq!(
        (case.enrollment.n_attempts, case.enrollment.n_counted),
        (1, 0)
    );
    let version = case.enrollment.version;
    case.take(Input::NotAtFault { attempt }, after(3));
    assert_eq!(case.enrollment.version, version, "twice is once");
}

#[test]
fn whoever_was_erased_is_not_given_back() {
    let mut case = Case::reserved();
    case.reply(CarrierReply::Refused(fault(FaultClass::Number)), after(1));
    let attempt = case.first();
    case.enrollment = case.enrollment.erased(after(2));
    case.take(Input::NotAtFault { attempt }, after(3));
    assert_eq!(case.state(), "finished failed");
}
