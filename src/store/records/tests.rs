use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::domain::{
    Timestamp,
    attempt::{Attempt, AttemptState, CallFacts, Party, Recording, ReleaseReason},
    campaign::{CampaignStatus, PauseReason, tests::campaign},
    disposition::Disposition,
    enrollment::{CallRecord, Enrollment, EnrollmentState},
    follow_up::FollowUp,
    ids::{AttemptId, CampaignId, ContactId, EnrollmentId, PlaceKey, TenantId},
    machine::{AnsweredBy, Detected, MachinePolicy, Message, OnMachine},
    mute::Mute,
    outcome::{Fault, FaultClass, Outcome, RetryKind},
    pacing::{CallRate, Ramp},
    place::ZoneSource,
    price::{CarrierPrice, Price},
    profile::Share,
    retry::RetryDelay,
    rules::{DecisionRecord, Rule},
    signal::{Signal, SignalKind},
    step::Step,
    transfer::{Transfer, TransferEnd, TransferPolicy, TransferResult},
};
use crate::store::InboxEntry;

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
        ring_by: Some(NOW),
        decision: Some(DecisionRecord {
            profile: "us-strict".to_owned(),
            profile_version: "2024-01-01".to_owned(),
            at: NOW,
            local: "2025-10-09T04:53:20-04:00[America/New_York]".to_owned(),
            region: "US-NY".to_owned(),
            registers: [(
                "us-national".parse().unwrap(),
                Timestamp::constant(1_760_000_000, 0),
            )]
            .into_iter()
            .collect(),
            zone_source: ZoneSource::Number,
        }),
        state,
        facts: CallFacts {
            answered_at: Some(NOW),
            duration: Some(Duration::from_millis(1500)),
            ended_by: Some(Party::Callee),
            vendor: Some("vapi".parse().unwrap()),
            answered_by: Some(Detected {
                by: AnsweredBy::MachineReady,
                at: NOW,
            }),
            held_at: Some(NOW),
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
        place: PlaceKey::new("US/DC"),
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
        let owner = enrollment(EnrollmentState::Waiting {
            due_at: NOW,
            held_by: None,
        });
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
        EnrollmentState::Waiting {
            due_at: NOW,
            held_by: Some(Rule::Due),
        },
        EnrollmentState::Open {
            attempt: attempt(AttemptState::Reserved),
            check_at: NOW,
        },
        EnrollmentState::Finished {
            outcome: Some(Outcome::AgentUnavailable),
            by_rule: None,
            at: NOW,
        },
        EnrollmentState::Finished {
            outcome: None,
            by_rule: Some(Rule::AttemptBudget),
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
        CampaignStatus::Scheduled,
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
fn every_form_of_retry_delay_reads_back_from_both_stores() {
    let seconds = Duration::from_secs;
    for delay in [
        RetryDelay::Fixed(seconds(600)),
        RetryDelay::Table(vec![seconds(60), seconds(7200)]),
        RetryDelay::Table(vec![]),
        RetryDelay::Exponential {
            first: seconds(60),
            factor: 3,
            most: seconds(86_400),
        },
    ] {
        let mut campaign = campaign(CampaignStatus::Draft);
        campaign.retry.jitter = Share::per_mille(0).unwrap();
        campaign.retry.other_hours = Some(seconds(4 * 3600));
        let busy = campaign.retry.rules.get_mut(&RetryKind::Busy).unwrap();
        busy.delay = delay;
        let record = CampaignRecord(campaign.clone());
        let json = from_json::<CampaignRecord>("campaign", &to_json(&record)).unwrap();
        assert_eq!(json.0, campaign);
        let document = bson::serialize_to_vec(&record).unwrap();
        let bson: CampaignRecord = bson::deserialize_from_slice(&document).unwrap();
        assert_eq!(bson.0, campaign);
    }
}

#[test]
fn a_campaign_from_before_jitter_could_be_set_has_the_usual_one() {
    let campaign = campaign(CampaignStatus::Draft);
    let json = to_json(&CampaignRecord(campaign.clone()));
    let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let retry = value["retry"].as_object_mut().unwrap();
    assert!(retry.remove("jitterPerMille").is_some() && retry.remove("otherHoursMs").is_some());
    let read = from_json::<CampaignRecord>("campaign", &value.to_string()).unwrap();
    assert_eq!(read.0, campaign);
}

#[test]
fn a_ramp_reads_back_and_none_is_absent() {
    let mut campaign = campaign(CampaignStatus::Draft);
    let json = to_json(&CampaignRecord(campaign.clone()));
    assert!(!json.contains("ramp"), "{json}");
    campaign.pacing.ramp = Some(Ramp {
        from: CallRate::try_from(0.2).unwrap(),
        over: Duration::from_secs(600),
    });
    let json = to_json(&CampaignRecord(campaign.clone()));
    let read = from_json::<CampaignRecord>("campaign", &json).unwrap();
    assert_eq!(read.0, campaign);
}

#[test]
fn a_step_from_before_there_was_an_opt_out_key_has_the_usual_one() {
    let mut campaign = campaign(CampaignStatus::Draft);
    let json = to_json(&CampaignRecord(campaign.clone()));
    let older = json.replace(r#","optOutKey":"9""#, "");
    assert_ne!(older, json);
    let read = from_json::<CampaignRecord>("campaign", &older).unwrap();
    assert_eq!(read.0, campaign);
    let Step::VoiceCall(call) = &mut campaign.steps[0];
    call.opt_out_key = None;
    let json = to_json(&CampaignRecord(campaign.clone()));
    let read = from_json::<CampaignRecord>("campaign", &json).unwrap();
    assert_eq!(read.0, campaign);
}

#[test]
fn what_is_done_about_machines_reads_back() {
    let mut campaign = campaign(CampaignStatus::Draft);
    let text = Message::Text(crate::domain::text::Template::parse("Hi {{name}}").unwrap());
    let audio = Message::Audio("https://a.example/1.mp3".to_owned());
    let left = [text, audio].map(|message| OnMachine::LeaveMessage { message });
    for on_machine in left.into_iter().chain([OnMachine::CarryOn]) {
        let Step::VoiceCall(call) = &mut campaign.steps[0];
        call.machines = MachinePolicy {
            on_machine,
            ..MachinePolicy::default()
        };
        let json = to_json(&CampaignRecord(campaign.clone()));
        let read = from_json::<CampaignRecord>("campaign", &json).unwrap();
        assert_eq!(read.0, campaign);
    }
}

#[test]
fn what_agents_ask_for_reads_back_from_both_stores() {
    let end = TransferEnd {
        result: TransferResult::NoAnswer,
        talked: Some(Duration::from_millis(1500)),
    };
    let transfer = |joined_at, end| Transfer {
        to: "+12025550199".parse().unwrap(),
        by: Party::Agent,
        at: NOW,
        joined_at,
        end,
    };
    for (note, transfer) in [
        (None, transfer(None, None)),
        (Some("a note".to_owned()), transfer(Some(NOW), Some(end))),
    ] {
        let mut attempt = attempt(AttemptState::Reserved);
        attempt.facts.disposition = Some(Disposition {
            name: "interested".to_owned(),
            note: note.clone(),
            at: NOW,
        });
        attempt.facts.follow_up = Some(FollowUp {
            at: NOW,
            note,
            wished_at: NOW,
        });
        attempt.facts.node = Some("http://10.0.0.7:8080".to_owned());
        attempt.facts.mute = Some(Mute {
            is_on: true,
            by: "ann@example.com".to_owned(),
            at: NOW,
        });
        attempt.facts.transfer = Some(transfer);
        let owner = enrollment(EnrollmentState::Open {
            attempt: attempt.clone(),
            check_at: NOW,
        });
        let call = CallDocument(CallRecord::of(&owner, &attempt));
        let json = from_json::<CallDocument>("call", &to_json(&call)).unwrap();
        assert_eq!(json.0, call.0);
        let document = bson::serialize_to_vec(&call).unwrap();
        let bson: CallDocument = bson::deserialize_from_slice(&document).unwrap();
        assert_eq!(bson.0, call.0);
        for kind in [
            SignalKind::Disposed(attempt.facts.disposition.unwrap()),
            SignalKind::FollowUpWished(attempt.facts.follow_up.unwrap()),
            SignalKind::Muted(attempt.facts.mute.unwrap()),
            SignalKind::MediaStarted {
                stream: "MZ1".parse().unwrap(),
                node: attempt.facts.node,
            },
            SignalKind::TransferJoined,
            SignalKind::TransferEnded(end),
        ] {
            let sid = None;
            let entry = InboxEntry {
                key: "key".to_owned(),
                tenant: TenantId::DEFAULT,
                attempt: attempt.id,
                received_at: NOW,
                signal: Signal { sid, at: NOW, kind },
            };
            let json = to_json(&InboxRecord(entry.clone()));
            let read = from_json::<InboxRecord>("signal", &json).unwrap();
            assert_eq!(read.0, entry);
        }
    }
}

#[test]
fn who_takes_transferred_calls_reads_back() {
    let mut campaign = campaign(CampaignStatus::Draft);
    let Step::VoiceCall(call) = &mut campaign.steps[0];
    call.transfer = Some(TransferPolicy {
        to: "+12025550199".parse().unwrap(),
        whisper: Some(crate::domain::text::Template::parse("Hi {{name}}").unwrap()),
        caller_id: Some("+12025550100".parse().unwrap()),
        sentence: None,
    });
    let json = to_json(&CampaignRecord(campaign.clone()));
    let read = from_json::<CampaignRecord>("campaign", &json).unwrap();
    assert_eq!(read.0, campaign);
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
        by_rule: None,
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

// proves F-28
#[test]
fn what_is_learned_after_a_call_reads_back_from_both_stores() {
    let known = CarrierPrice::Known(Price {
        millionths: -5,
        currency: "EUR".parse().unwrap(),
    });
    let awaited = CarrierPrice::Awaited {
        ask_at: NOW,
        n_asked: 3,
    };
    for (price, deleted_at) in [
        (known, None),
        (awaited, Some(NOW)),
        (CarrierPrice::GivenUp, None),
    ] {
        let mut attempt = attempt(AttemptState::Ended {
            sid: Some("CA1".parse().unwrap()),
            outcome: Outcome::Answered,
            at: NOW,
        });
        attempt.facts.price = Some(price);
        attempt.facts.verdict_within = Some(Duration::from_secs(30));
        attempt.facts.recording = Some(Recording {
            sid: "RE1".parse().unwrap(),
            duration: None,
            told_at: NOW,
            deleted_at,
        });
        let owner = enrollment(EnrollmentState::Waiting {
            due_at: NOW,
            held_by: None,
        });
        let call = CallDocument(CallRecord::of(&owner, &attempt));
        let json = from_json::<CallDocument>("call", &to_json(&call)).unwrap();
        assert_eq!(json.0, call.0);
        let document = bson::serialize_to_vec(&call).unwrap();
        let bson: CallDocument = bson::deserialize_from_slice(&document).unwrap();
        assert_eq!(bson.0, call.0);
    }
}
