//! What is held about one person, and taking it away.

use std::sync::Arc;

use dialtone::{
    domain::{
        attempt::{Attempt, AttemptState},
        audience::{NewEnrollment, RejectedRow},
        campaign::Campaign,
        enrollment::Enrollment,
        erasure::Identity,
        event::{Event, EventKind, Moment, TranscriptLine},
        ids::{EnrollmentId, ImportId, SuppressionId, TenantId},
        outcome::{Fault, FaultClass, Outcome},
        phone::PhoneNumber,
        signal::{CallEnd, Signal, SignalKind},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    store::{Commit, InboxEntry, Lift, PageRequest, Store},
};

use super::{data::*, home::Home};

const EMAIL: &str = "ann@example.com";

fn ann() -> NewEnrollment {
    let mut person = people(7, 1).remove(0);
    person.member.phone = "+12025550143".parse().unwrap();
    person.member.email = Some(EMAIL.to_owned());
    person
}

fn identity(person: &NewEnrollment) -> Identity {
    Identity {
        phones: vec![person.member.phone.clone()],
        emails: vec![EMAIL.to_owned()],
    }
}

fn row(line: u64, cells: &[&str]) -> RejectedRow {
    RejectedRow {
        line,
        code: RejectedRow::DUPLICATE_IN_FILE.to_owned(),
        reason: "twice".to_owned(),
        column: None,
        cells: cells.iter().map(|cell| (*cell).to_owned()).collect(),
    }
}

pub async fn what_is_held_about_a_person_is_found_over_all_campaigns(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 3).await;
    let (tenant, other) = (first.tenant, campaign_beside(&*store, &first).await);
    let ann = ann();
    let again = NewEnrollment {
        id: fresh(EnrollmentId::new),
        ..ann.clone()
    };
    for (campaign, new) in [(&first, &ann), (&other, &again)] {
        let new = std::slice::from_ref(new);
        let duplicates = store.enroll(tenant, campaign.id, new, NOW).await.unwrap();
        assert!(duplicates.is_empty(), "{duplicates:?}");
    }
    let changed = store.find_campaign(tenant, other.id).await.unwrap();
    let version = changed.unwrap().version;
    let deleted = store.delete_campaign(tenant, other.id, version).await;
    deleted.unwrap();
    let import = fresh(ImportId::new);
    let rows = [
        row(2, &["Ann", "(202) 555-0143"]),
        row(3, &["Ben", "(202) 555-0144"]),
        row(4, &["Ann@Example.com", ""]),
    ];
    store.add_rejected(tenant, import, &rows).await.unwrap();

    let person = identity(&ann);
    let phone = &ann.member.phone;
    let found = store.enrollments_with(tenant, phone).await.unwrap();
    let mut ids: Vec<EnrollmentId> = found.iter().map(|it| it.id).collect();
    ids.sort();
    let mut expected = [ann.id, again.id];
    expected.sort();
    assert_eq!(ids, expected);
    let found = store.contacts_by_email(tenant, EMAIL).await.unwrap();
    let ids: Vec<_> = found.iter().map(|contact| contact.id).collect();
    assert_eq!(ids, [ann.contact]);
    let mut found = store.rejected_about(tenant, &person).await.unwrap();
    found.sort_by_key(|(_, row)| row.line);
    assert_eq!(
        found,
        [(import, rows[0].clone()), (import, rows[2].clone())]
    );

    // proves F-86
    let foreign = fresh(TenantId::new);
    let found = store.enrollments_with(foreign, phone).await;
    assert_eq!(found.unwrap(), []);
    let found = store.contacts_by_email(foreign, EMAIL).await;
    assert_eq!(found.unwrap(), []);
    let found = store.rejected_about(foreign, &person).await;
    assert_eq!(found.unwrap(), []);
}

fn refused() -> Outcome {
    Outcome::Failed(Fault {
        class: FaultClass::Network,
        code: Some(32_005),
        detail: "no route to +12020000000".to_owned(),
    })
}

/// The first of a campaign, who was called once in vain and waits.
async fn called(store: &dyn Store, campaign: &Campaign) -> (Enrollment, Attempt) {
    let holder = lease(store, campaign).await;
    let claimed = store.claim_due(&claim(campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let sid = sid(&open.enrollment);
    let dialing = moved(&open.enrollment, AttemptState::Dialing { sid });
    store.commit(&dialing).await.unwrap();
    let over = ended(&dialing.enrollment, refused(), Some(NOW));
    store.commit(&over).await.unwrap();
    (over.enrollment, over.attempt.unwrap())
}

/// Saves what is left of an enrollment and its attempt.
async fn erase(store: &dyn Store, enrollment: &Enrollment, attempt: &Attempt) -> Enrollment {
    let mut erased = enrollment.erased(NOW);
    erased.version += 1;
    let commit = Commit {
        enrollment: erased.clone(),
        attempt: Some(attempt.erased()),
        events: vec![],
    };
    store.commit(&commit).await.unwrap();
    erased
}

pub async fn an_erased_person_counts_as_before_and_is_found_no_more(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 2).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let (enrollment, attempt) = called(&*store, &campaign).await;
    let phone: PhoneNumber = enrollment.phone.known().unwrap().clone();
    let figures = async || {
        let totals = store.call_totals(tenant, id, NOW).await.unwrap();
        let usage = store.usage(tenant).await.unwrap();
        let callers = store.caller_usage(tenant, NOW).await.unwrap();
        (totals, usage, callers)
    };
    let before = figures().await;
    let progress = store.progress(tenant, id).await.unwrap();
    let erased = erase(&*store, &enrollment, &attempt).await;

    assert_eq!(figures().await, before);
    let now = store.progress(tenant, id).await.unwrap();
    assert_eq!(now.n_calls, progress.n_calls);
    assert_eq!(now.n_enrolled, progress.n_enrolled);
    assert_eq!((progress.n_retrying, progress.n_finished), (1, 0));
    assert_eq!((now.n_retrying, now.n_finished), (0, 1));
    let found = store.find_enrollment(tenant, enrollment.id).await;
    assert_eq!(found.unwrap(), Some(erased));
    let call = store.find_call(tenant, attempt.id).await.unwrap().unwrap();
    assert_eq!(call.attempt, attempt.erased());
    assert_eq!((call.name, call.attempt.to.known()), (None, None));
    let found = store.enrollments_with(tenant, &phone).await;
    assert_eq!(found.unwrap(), []);
    let found = store.attempts_to(tenant, &phone, NOW).await;
    assert_eq!(found.unwrap(), []);

    // The number is free, and whoever comes with it is somebody else, also to be erased again.
    let index = if phone == people(0, 1)[0].member.phone {
        0
    } else {
        1
    };
    let new = people(index, 1);
    let duplicates = store.enroll(tenant, id, &new, NOW).await.unwrap();
    assert!(duplicates.is_empty(), "{duplicates:?}");
    let new = store.find_enrollment(tenant, new[0].id).await.unwrap();
    let new = new.unwrap();
    let mut again = new.erased(NOW);
    again.version += 1;
    let commit = Commit {
        enrollment: again.clone(),
        attempt: None,
        events: vec![],
    };
    store.commit(&commit).await.unwrap();
    let found = store.find_enrollment(tenant, new.id).await.unwrap();
    assert_eq!(found, Some(again));
}

pub async fn events_are_replaced_where_they_are(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let (enrollment, attempt) = called(&*store, &campaign).await;
    let line = TranscriptLine {
        turn: 1,
        speaker: dialtone::domain::attempt::Party::Callee,
        text: "my name is Ann".to_owned(),
        is_final: true,
        interrupted: false,
        latency: None,
    };
    let event = |kind| Event {
        tenant: campaign.tenant,
        campaign: campaign.id,
        at: NOW,
        kind,
    };
    let said = event(EventKind::Transcript {
        attempt: attempt.id,
        line,
    });
    let pressed = event(EventKind::Timeline {
        attempt: attempt.id,
        moment: Moment::KeyPressed { digit: '4' },
    });
    let hinted = event(EventKind::Timeline {
        attempt: attempt.id,
        moment: Moment::Hinted {
            by: "owner@example.com".to_owned(),
            text: "She is called Ann".to_owned(),
        },
    });
    store.append_events(&[said, pressed, hinted]).await.unwrap();
    let log = async || {
        let log = store.call_events(campaign.tenant, attempt.id).await;
        log.unwrap()
    };
    let before = log().await;
    let mut expected = before.clone();
    for stored in &mut expected {
        stored.event.kind = stored.event.kind.erased();
    }
    let n_changed = before.iter().zip(&expected).filter(|(a, b)| a != b).count();
    assert_eq!(n_changed, 3);
    store.replace_events(&expected).await.unwrap();
    assert_eq!(log().await, expected);

    // Another tenant cannot reach it, and the log goes on behind it.
    let mut foreign = before.clone();
    for stored in &mut foreign {
        stored.event.tenant = fresh(TenantId::new);
    }
    store.replace_events(&foreign).await.unwrap();
    assert_eq!(log().await, expected);
    let last = store.last_seq(campaign.tenant, campaign.id).await.unwrap();
    let next = event(EventKind::Enrolled { n: 1 });
    store.append_events(&[next]).await.unwrap();
    let after = store
        .events_after(campaign.tenant, campaign.id, last, limit(9))
        .await
        .unwrap();
    assert_eq!(after.len(), 1);
    assert!(after[0].seq > last);
    assert_eq!(attempt.id.enrollment, enrollment.id);
}

pub async fn signals_lose_their_words_and_stay_to_be_processed(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let (_, attempt) = called(&*store, &campaign).await;
    let Outcome::Failed(fault) = refused() else {
        panic!("it is a failure");
    };
    let signal = Signal {
        sid: None,
        at: NOW,
        kind: SignalKind::Over {
            end: CallEnd::Failed(fault),
            duration: None,
            network_code: None,
        },
    };
    let entry = |key: &str| InboxEntry {
        key: key.to_owned(),
        tenant: campaign.tenant,
        attempt: attempt.id,
        received_at: NOW,
        signal: signal.clone(),
    };
    for key in ["1", "2"] {
        assert!(store.receive(&entry(key)).await.unwrap());
    }
    store.settle(campaign.tenant, "1", NOW).await.unwrap();
    let attempts = [attempt.id];
    let erased = store.erase_signals(fresh(TenantId::new), &attempts).await;
    erased.unwrap();
    let left = async || {
        let late = NOW + seconds(9);
        let left = store.unsettled(campaign.tenant, late, limit(9)).await;
        left.unwrap()
    };
    assert_eq!(left().await, [entry("2")]);
    let erased = store.erase_signals(campaign.tenant, &attempts).await;
    erased.unwrap();
    let expected = InboxEntry {
        signal: signal.erased(),
        ..entry("2")
    };
    assert_ne!(expected, entry("2"));
    assert_eq!(left().await, [expected]);
    for key in ["1", "2"] {
        assert!(!store.receive(&entry(key)).await.unwrap());
    }
}

pub async fn who_is_forgotten_is_no_entry_and_no_contact(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let tenant = campaign.tenant;
    let ann = ann();
    let new = std::slice::from_ref(&ann);
    store.enroll(tenant, campaign.id, new, NOW).await.unwrap();
    let person = identity(&ann);
    let entry = |subject: Subject| Suppression {
        id: fresh(SuppressionId::new),
        tenant,
        subject,
        scope: Scope::All,
        source: SuppressionSource::Operator,
        reason: Some("Ann said so".to_owned()),
        at: NOW,
    };
    let [phone, email] = &person.subjects()[..] else {
        panic!("a number and an address");
    };
    let lifted = entry(phone.clone());
    store
        .add_suppressions(std::slice::from_ref(&lifted))
        .await
        .unwrap();
    let lift = Lift {
        at: NOW,
        by: None,
        reason: None,
    };
    assert!(
        store
            .lift_suppression(tenant, lifted.id, &lift)
            .await
            .unwrap()
    );
    let hash = entry(Subject::Hash("a1".to_owned()));
    let other = entry(Subject::Phone(people(9, 1)[0].member.phone.clone()));
    let entries = [
        entry(phone.clone()),
        entry(email.clone()),
        hash.clone(),
        other.clone(),
    ];
    assert_eq!(store.add_suppressions(&entries).await.unwrap(), 4);

    let listed = async || {
        let page = PageRequest::first(9);
        let all = store.list_suppressions(tenant, None, &page).await;
        all.unwrap().total
    };
    let foreign = fresh(TenantId::new);
    store.forget_person(foreign, &person).await.unwrap();
    assert_eq!(listed().await, 5);
    for _ in 0..2 {
        store.forget_person(tenant, &person).await.unwrap();
        assert_eq!(listed().await, 2);
    }
    let subjects = [phone.clone(), email.clone(), hash.subject.clone()];
    let in_force = store.suppressions_of(tenant, &subjects).await.unwrap();
    assert_eq!(in_force, [hash]);
    let found = store.find_contact(tenant, ann.contact).await.unwrap();
    assert_eq!(found, None);
    let found = store.contacts_by_phone(tenant, &person.phones).await;
    assert_eq!(found.unwrap(), []);
    // An entry for the number may be made again.
    let again = store.add_suppressions(&[entry(phone.clone())]).await;
    assert_eq!(again.unwrap(), 1);
}
