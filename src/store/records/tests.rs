use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, Party, ReleaseReason},
    campaign::{CampaignStatus, PauseReason, tests::campaign},
    enrollment::{CallRecord, Enrollment, EnrollmentState},
    ids::{AttemptId, CampaignId, ContactId, EnrollmentId, TenantId},
    outcome::{Fault, FaultClass, Outcome, RetryKind},
};

const NOW: Timestamp = Timestamp::constant(1_760_000_000, 123_000_000);

fn fault() -> Fault {
    Fault {
        class: FaultClass::CallerNumber,
        code: Some(21_212),
        detail: "not a caller number".to_owned(),
    }
}

fn attempt(state: AttemptState) -> Attempt {
    Attempt {
        id: AttemptId {
            enrollment: EnrollmentId::new(uuid::Uuid::from_u128(7)),
            number: 2,
        },
        step: 0,
        to: "+12025550143".parse().unwrap(),
        from: "+12025550100".parse().unwrap(),
        reserved_at: NOW,
        dial_at: NOW,
        state,
        facts: CallFacts {
            answered_at: Some(NOW),
            duration: Some(Duration::from_millis(1500)),
            ended_by: Some(Party::Callee),
            ..CallFacts::default()
        },
    }
}

fn enrollment(state: EnrollmentState) -> Enrollment {
    Enrollment {
        id: EnrollmentId::new(uuid::Uuid::from_u128(7)),
        tenant: TenantId::DEFAULT,
        campaign: CampaignId::new(uuid::Uuid::from_u128(1)),
        contact: ContactId::new(uuid::Uuid::from_u128(3)),
        phone: "+12025550143".parse().unwrap(),
        name: None,
        fields: BTreeMap::from([("city".to_owned(), "Köln".to_owned())]),
        state,
        cursor: 0,
        n_attempts: 2,
        n_counted: 1,
        tally: BTreeMap::from([(RetryKind::NoAnswer, 1)]),
        version: 9,
    }
}

fn attempt_states() -> Vec<AttemptState> {
    let sid = || "CA1".parse().unwrap();
    vec![
        AttemptState::Reserved,
        AttemptState::Unknown {
            since: NOW,
            n_looks: 1,
        },
        AttemptState::Dialing { sid: sid() },
        AttemptState::Ringing { sid: sid() },
        AttemptState::Connected {
            sid: sid(),
            since: NOW,
        },
        AttemptState::Ended {
            sid: None,
            outcome: Outcome::Failed(fault()),
            at: NOW,
        },
        AttemptState::Released {
            at: NOW,
            why: ReleaseReason::Refused(fault()),
        },
    ]
}

#[test]
fn an_attempt_reads_back_and_its_state_goes_by_its_name() {
    for state in attempt_states() {
        let owner = enrollment(EnrollmentState::Waiting { due_at: NOW });
        let call = CallRecord::of(&owner, &attempt(state.clone()));
        let json = to_json(&CallDocument(call.clone()));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["attempt"]["state"]["name"], state.name(), "{json}");
        assert_eq!(from_json::<CallDocument>("call", &json).unwrap().0, call);
    }
}

#[test]
fn an_enrollment_reads_back_and_its_state_goes_by_its_name() {
    for state in [
        EnrollmentState::Waiting { due_at: NOW },
        EnrollmentState::Open {
            attempt: attempt(AttemptState::Reserved),
            check_at: NOW,
        },
        EnrollmentState::Finished {
            outcome: Some(Outcome::AgentUnavailable),
            at: NOW,
        },
        EnrollmentState::Finished {
            outcome: None,
            at: NOW,
        },
    ] {
        let enrollment = enrollment(state);
        let json = to_json(&EnrollmentRecord(enrollment.clone()));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["state"]["name"], enrollment.state.name(), "{json}");
        let read = from_json::<EnrollmentRecord>("enrollment", &json).unwrap();
        assert_eq!(read.0, enrollment);
    }
}

#[test]
fn a_campaign_reads_back_and_its_status_goes_by_its_name() {
    for status in [
        CampaignStatus::Draft,
        CampaignStatus::Active,
        CampaignStatus::Paused(PauseReason::Operator),
        CampaignStatus::Paused(PauseReason::Carrier(fault())),
        CampaignStatus::Completed,
        CampaignStatus::Cancelled,
    ] {
        let campaign = campaign(status);
        let json = to_json(&CampaignRecord(campaign.clone()));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["status"]["name"], campaign.status.name(), "{json}");
        let read = from_json::<CampaignRecord>("campaign", &json).unwrap();
        assert_eq!(read.0, campaign);
    }
}

#[test]
fn every_outcome_goes_by_its_name_in_its_record_too() {
    for name in Outcome::NAMES {
        let fault = r#""class":"network","code":null,"detail":"""#;
        let json = format!(
            r#"{{"tenant":"{}","campaign":"{}","contact":"{}","name":null,"version":1,"attempt":{{
                "id":"att_00000000000000000000000000000007_1","step":0,"to":"+12025550143",
                "from":"+12025550100","reservedAt":1,"dialAt":2,"facts":{{}},
                "state":{{"name":"ended","sid":null,"at":3,"outcome":{{"name":"{name}",{fault}}}}}
            }}}}"#,
            TenantId::DEFAULT,
            CampaignId::new(uuid::Uuid::from_u128(1)),
            ContactId::new(uuid::Uuid::from_u128(3)),
        );
        let read = from_json::<CallDocument>("call", &json).unwrap();
        assert_eq!(
            read.0.attempt.state.outcome().map(Outcome::name),
            Some(name)
        );
    }
}

// proves F-54
#[test]
fn an_unknown_variant_is_unreadable_and_never_a_guess() {
    let json = to_json(&CampaignRecord(campaign(CampaignStatus::Active)))
        .replace("\"active\"", "\"hibernating\"");
    let error = from_json::<CampaignRecord>("campaign cmp_1", &json).unwrap_err();
    assert!(matches!(error, StoreError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("campaign cmp_1"), "{error}");
}

#[test]
fn a_bucket_reads_back_from_its_name() {
    let finished = enrollment(EnrollmentState::Finished {
        outcome: Some(Outcome::Busy),
        at: NOW,
    });
    for bucket in [
        Bucket::Untried,
        Bucket::Retrying,
        Bucket::Open,
        Bucket::Calls,
        Bucket::Connected,
        Bucket::of(&finished),
    ] {
        assert_eq!(Bucket::from_name(&bucket.name()), Some(bucket));
    }
    assert_eq!(Bucket::from_name("other"), None);
}
