//! Records for cases, with no more in them than a case needs.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use dialtone::{
    clock::{Clock, SystemClock},
    domain::{
        Timestamp,
        attempt::{Attempt, AttemptState, CallFacts},
        audience::{Member, NewEnrollment},
        campaign::{Campaign, CampaignStatus, Policy},
        enrollment::{Enrollment, EnrollmentState},
        event::{Event, EventKind},
        ids::{
            CallSid, CampaignId, ContactId, ConversationId, EnrollmentId, NodeId, PlaceKey,
            TenantId,
        },
        machine::MachinePolicy,
        outcome::Outcome,
        pacing::PacingLimits,
        phone::Region,
        price::Price,
        report::{AgentCost, AgentReport, AgentVerdict, CostUnit},
        retry::RetryPolicy,
        rules::Rule,
        step::{Silence, Step, VoiceCall},
        text::Template,
    },
    store::{ClaimRequest, Commit, Fencing, Page, PageRequest, Store, StoreResult},
};
use uuid::Uuid;

pub const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);
pub const LEASE: Duration = Duration::from_secs(30);

/// An identifier that nothing else has.
pub fn fresh<I>(new: fn(Uuid) -> I) -> I {
    new(SystemClock.new_uuid())
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub fn limit(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

pub fn campaign(tenant: TenantId, status: CampaignStatus) -> Campaign {
    Campaign {
        id: fresh(CampaignId::new),
        tenant,
        name: "Autumn".to_owned(),
        started_at: (status == CampaignStatus::Active).then_some(NOW),
        status,
        steps: vec![Step::VoiceCall(VoiceCall {
            prompt: Template::parse("Be kind.").unwrap(),
            first_message: Template::parse("Hi {{name}}").unwrap(),
            language: Some("en".to_owned()),
            voice_id: None,
            agent_vendor: Some("vapi".parse().unwrap()),
            agent_id: None,
            ring_timeout: VoiceCall::RING.1,
            max_duration: VoiceCall::LENGTH.1,
            opt_out_key: Some('#'),
            silence: Silence::default(),
            is_recorded: false,
            recording_days: None,
            machines: MachinePolicy::default(),
            transfer: None,
            spoken_language: None,
        })],
        pacing: PacingLimits::default(),
        retry: RetryPolicy::default(),
        policy: Policy::default(),
        region: Region::US,
        created_at: NOW,
        updated_at: NOW,
        active_since: None,
        ended_at: None,
        version: 1,
    }
}

/// Where people are whose place does not matter.
pub fn home_place() -> PlaceKey {
    PlaceKey::new("US/DC")
}

/// `n` people whose numbers begin at number `from`.
pub fn people(from: u32, n: u32) -> Vec<NewEnrollment> {
    (from..from + n)
        .map(|i| NewEnrollment {
            id: fresh(EnrollmentId::new),
            contact: fresh(ContactId::new),
            place: home_place(),
            member: Member {
                phone: format!("+1202{i:07}").parse().unwrap(),
                name: Some(format!("Person {i}")),
                fields: BTreeMap::from([("city".to_owned(), "Köln".to_owned())]),
                email: None,
                zone: None,
                consent: None,
            },
        })
        .collect()
}

/// As [`people`], at a place.
pub fn people_at(place: &str, from: u32, n: u32) -> Vec<NewEnrollment> {
    let mut people = people(from, n);
    for person in &mut people {
        person.place = PlaceKey::new(place);
    }
    people
}

/// An active campaign of the same tenant, with nobody in it.
pub async fn campaign_beside(store: &dyn Store, first: &Campaign) -> Campaign {
    let campaign = campaign(first.tenant, CampaignStatus::Active);
    store.insert_campaign(&campaign).await.unwrap();
    campaign
}

/// An active campaign of a new tenant with `n` people.
pub async fn active_campaign(store: &dyn Store, n: u32) -> Campaign {
    let campaign = campaign(fresh(TenantId::new), CampaignStatus::Active);
    store.insert_campaign(&campaign).await.unwrap();
    let duplicates = store
        .enroll(campaign.tenant, campaign.id, &people(0, n), NOW)
        .await
        .unwrap();
    assert!(duplicates.is_empty(), "{duplicates:?}");
    let enrolled = store.find_campaign(campaign.tenant, campaign.id).await;
    enrolled.unwrap().expect("it is there")
}

/// The right to dispatch for the campaign's tenant, until an hour from now.
pub async fn lease(store: &dyn Store, campaign: &Campaign) -> (NodeId, Fencing) {
    let node = fresh(NodeId::new);
    let fencing = store
        .hold_lease(campaign.tenant, node, seconds(3600), NOW)
        .await
        .unwrap()
        .expect("nobody else holds it");
    (node, fencing)
}

pub fn claim(campaign: &Campaign, holder: (NodeId, Fencing), n: u32) -> ClaimRequest {
    ClaimRequest {
        tenant: campaign.tenant,
        campaign: campaign.id,
        node: holder.0,
        fencing: holder.1,
        limit: limit(n),
        places: None,
        lease: LEASE,
        now: NOW,
    }
}

/// A sid for the enrollment's `number`th attempt.
pub fn sid(enrollment: &Enrollment) -> CallSid {
    let text = format!(
        "CA{}{}",
        enrollment.id.uuid().simple(),
        enrollment.n_attempts
    );
    text.parse().unwrap()
}

/// Opens the enrollment's next attempt, to be dialed at `dial_at`.
pub fn opened(enrollment: &Enrollment, dial_at: Timestamp) -> Commit {
    let attempt = Attempt {
        id: enrollment.next_attempt_id(),
        step: 0,
        to: enrollment.phone.clone(),
        from: "+12025550100".parse().unwrap(),
        reserved_at: NOW,
        dial_at,
        ring_by: None,
        decision: None,
        state: AttemptState::Reserved,
        facts: CallFacts::default(),
    };
    let mut next = enrollment.clone();
    next.n_attempts += 1;
    next.state = EnrollmentState::Open {
        attempt: attempt.clone(),
        check_at: dial_at + seconds(60),
    };
    commit(next, attempt)
}

/// Moves the open attempt on.
pub fn moved(enrollment: &Enrollment, state: AttemptState) -> Commit {
    let mut next = enrollment.clone();
    let EnrollmentState::Open { attempt, .. } = &mut next.state else {
        panic!("{enrollment:?} has no open attempt");
    };
    attempt.state = state;
    let attempt = attempt.clone();
    commit(next, attempt)
}

/// Ends the open attempt in `outcome`; with a due time the enrollment waits again.
pub fn ended(enrollment: &Enrollment, outcome: Outcome, due_at: Option<Timestamp>) -> Commit {
    let mut attempt = enrollment.open_attempt().expect("an open attempt").clone();
    attempt.state = AttemptState::Ended {
        sid: attempt.state.sid().cloned(),
        outcome: outcome.clone(),
        at: NOW,
    };
    let mut next = enrollment.clone();
    next.n_counted += 1;
    next.state = match due_at {
        Some(due_at) => EnrollmentState::Waiting {
            due_at,
            held_by: None,
        },
        None => EnrollmentState::Finished {
            outcome: Some(outcome),
            by_rule: None,
            at: NOW,
        },
    };
    commit(next, attempt)
}

/// Gives a claimed enrollment back, to wait until `due_at` because of `rule`.
pub fn put_off(enrollment: &Enrollment, rule: Rule, due_at: Timestamp) -> Commit {
    let held_by = Some(rule);
    without_attempt(enrollment, EnrollmentState::Waiting { due_at, held_by })
}

/// Ends an enrollment because of `rule`.
pub fn ended_by(enrollment: &Enrollment, rule: Rule) -> Commit {
    let state = EnrollmentState::Finished {
        outcome: None,
        by_rule: Some(rule),
        at: NOW,
    };
    without_attempt(enrollment, state)
}

fn without_attempt(enrollment: &Enrollment, state: EnrollmentState) -> Commit {
    let mut enrollment = enrollment.clone();
    enrollment.version += 1;
    enrollment.state = state;
    Commit {
        enrollment,
        attempt: None,
        events: vec![],
    }
}

fn commit(mut enrollment: Enrollment, attempt: Attempt) -> Commit {
    enrollment.version += 1;
    let event = Event {
        tenant: enrollment.tenant,
        campaign: enrollment.campaign,
        at: NOW,
        kind: EventKind::Call {
            attempt: attempt.id,
            contact: enrollment.contact,
            state: attempt.state.name().to_owned(),
            outcome: attempt
                .state
                .outcome()
                .map(|outcome| outcome.name().to_owned()),
        },
    };
    Commit {
        enrollment,
        attempt: Some(attempt),
        events: vec![event],
    }
}

/// Everything of a list, in pages of `n`; each page must say the same total.
pub async fn all_pages<T, F>(n: u32, list: impl Fn(PageRequest) -> F) -> Vec<T>
where
    F: Future<Output = StoreResult<Page<T>>>,
{
    let mut items = Vec::new();
    let mut request = PageRequest::first(n);
    loop {
        let page = list(request.clone()).await.unwrap();
        assert!(page.items.len() <= n as usize);
        let total = usize::try_from(page.total).unwrap();
        items.extend(page.items);
        match page.next {
            Some(cursor) => request.cursor = Some(cursor),
            None => {
                assert_eq!(items.len(), total);
                return items;
            }
        }
    }
}

/// A report with names that cannot be a document's keys.
pub fn report(conversation: &ConversationId) -> AgentReport {
    AgentReport {
        verdict: Some(AgentVerdict::Failure),
        rating: Some("4".to_owned()),
        criteria: BTreeMap::from([("$polite".to_owned(), AgentVerdict::Unknown)]),
        summary: Some("Ann said no.".to_owned()),
        collected: BTreeMap::from([
            ("time.of.day".to_owned(), "\"17:00\"".to_owned()),
            (String::new(), "{\"a\":[1]}".to_owned()),
        ]),
        cost: Some(AgentCost {
            millionths: 41_200,
            unit: CostUnit::Usd,
        }),
        ..AgentReport::new(conversation.clone())
    }
}

pub fn price() -> Price {
    Price {
        millionths: 14_000,
        currency: "USD".parse().unwrap(),
    }
}
