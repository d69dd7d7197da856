use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dialtone::{
    domain::{
        Timestamp,
        attempt::{AttemptState, ReleaseReason},
        campaign::Campaign,
        enrollment::{CallRecord, Enrollment, EnrollmentState},
        ids::{AttemptId, PlaceKey},
        outcome::Outcome,
        phone::PhoneNumber,
        rules::Rule,
    },
    store::{CallTotals, CallerUsage, Commit, Store, WaitingGroup},
};

use super::{data::*, home::Home};

pub async fn places_are_known_and_change_with_the_version(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let known = async || store.places(tenant, id).await.unwrap();
    let version = async || {
        let found = store.find_campaign(tenant, id).await.unwrap();
        found.expect("it is there").version
    };
    assert_eq!(known().await, []);
    let mut members = people_at("US/NY", 0, 2);
    members.extend(people_at("GB", 2, 1));
    store.enroll(tenant, id, &members, NOW).await.unwrap();
    let places = ["GB", "US/NY"].map(PlaceKey::new);
    assert_eq!(known().await, places);
    let before = version().await;

    // Whoever is enrolled already adds no place; whoever is removed takes none away.
    let again = people_at("US/NY", 0, 2);
    store.enroll(tenant, id, &again, NOW).await.unwrap();
    assert_eq!(version().await, before);
    assert!(
        store
            .remove_enrollment(tenant, members[2].id)
            .await
            .unwrap()
    );
    assert_eq!(known().await, places);

    let more = people_at("DE", 9, 1);
    store.enroll(tenant, id, &more, NOW).await.unwrap();
    assert_eq!(known().await, ["DE", "GB", "US/NY"].map(PlaceKey::new));
    assert!(version().await > before);
    // Another campaign has its own.
    let other = campaign_beside(&*store, &campaign).await;
    assert_eq!(store.places(tenant, other.id).await.unwrap(), []);
}

pub async fn those_that_wait_are_counted_by_place_rule_and_time(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let mut members = people_at("GB", 0, 5);
    members.extend(people_at("US/NY", 5, 2));
    store.enroll(tenant, id, &members, NOW).await.unwrap();
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 6)).await.unwrap();
    // In London one is open, one waits for a retry, and two were put off; one is in a claim.
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let busy = opened(&claimed[1], NOW);
    store.commit(&busy).await.unwrap();
    let retry = ended(&busy.enrollment, Outcome::Busy, Some(NOW + seconds(90)));
    store.commit(&retry).await.unwrap();
    for (enrollment, until) in claimed[2..4].iter().zip([0, 40]) {
        let held = put_off(enrollment, Rule::Due, NOW + seconds(until));
        store.commit(&held).await.unwrap();
    }
    // In New York one was put off by a rule that does not hold any more, one was never touched.
    let held = put_off(&claimed[5], Rule::CampaignActive, NOW);
    store.commit(&held).await.unwrap();

    let group = |place: &str, held_by, tried, n, n_due, next: Option<u64>| WaitingGroup {
        place: PlaceKey::new(place),
        held_by,
        tried,
        n,
        n_due,
        next_due_at: next.map(|after| NOW + seconds(after)),
    };
    let claim_end = LEASE.as_secs();
    let mut found = store.waiting(tenant, id, NOW).await.unwrap();
    let mut expected = [
        group("GB", None, false, 1, 0, Some(claim_end)),
        group("GB", None, true, 1, 0, Some(90)),
        group("GB", Some(Rule::Due), false, 2, 1, Some(40)),
        group("US/NY", None, false, 1, 1, None),
        group("US/NY", Some(Rule::CampaignActive), false, 1, 1, None),
    ];
    let order = |group: &WaitingGroup| (group.place.clone(), group.held_by, group.tried);
    found.sort_by_key(order);
    expected.sort_by_key(order);
    assert_eq!(found, expected);

    let later = store.waiting(tenant, id, NOW + seconds(90)).await.unwrap();
    assert!(
        later.iter().all(|group| group.n_due == group.n),
        "{later:?}"
    );
    assert!(later.iter().all(|group| group.next_due_at.is_none()));
}

pub async fn ends_by_a_rule_are_counted(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 4).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 4)).await.unwrap();
    let none = store.finished_by_rule(tenant, id).await.unwrap();
    assert_eq!(none, BTreeMap::new());
    for enrollment in &claimed[..2] {
        store
            .commit(&ended_by(enrollment, Rule::AttemptBudget))
            .await
            .unwrap();
    }
    // An attempt's end is none of a rule's.
    let open = opened(&claimed[2], NOW);
    store.commit(&open).await.unwrap();
    let answered = ended(&open.enrollment, Outcome::Answered, None);
    store.commit(&answered).await.unwrap();
    let counted = store.finished_by_rule(tenant, id).await.unwrap();
    assert_eq!(counted, BTreeMap::from([(Rule::AttemptBudget, 2)]));
    let progress = store.progress(tenant, id).await.unwrap();
    assert_eq!(progress.n_finished, 3);
}

/// One call of a campaign, as it ended.
struct Ending {
    outcome: Outcome,
    has_sid: bool,
    duration: Option<u64>,
    first_audio_ms: Option<u64>,
}

async fn call(store: &dyn Store, enrollment: &Enrollment, dial_at: Timestamp, ending: Ending) {
    let mut open = opened(enrollment, dial_at);
    store.commit(&open).await.unwrap();
    if ending.has_sid {
        let sid = sid(&open.enrollment);
        open = moved(&open.enrollment, AttemptState::Dialing { sid });
        store.commit(&open).await.unwrap();
    }
    let mut end = ended(&open.enrollment, ending.outcome, None);
    let attempt = end.attempt.as_mut().expect("the one that ended");
    attempt.facts.duration = ending.duration.map(seconds);
    attempt.facts.first_audio_after = ending.first_audio_ms.map(Duration::from_millis);
    store.commit(&end).await.unwrap();
}

pub async fn totals_are_sums_over_ended_calls(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 12).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store
        .claim_due(&claim(&campaign, holder, 12))
        .await
        .unwrap();
    let ending = |outcome, duration, first_audio_ms| Ending {
        outcome,
        has_sid: true,
        duration,
        first_audio_ms,
    };
    let at = NOW + seconds(100);
    let never_placed = Ending {
        has_sid: false,
        ..ending(Outcome::NoAnswer, None, None)
    };
    let calls = [
        (at, ending(Outcome::Answered, Some(61), Some(2001))),
        (at, ending(Outcome::Answered, Some(60), Some(2000))),
        (at, ending(Outcome::Answered, Some(1), Some(2500))),
        (at, ending(Outcome::Abandoned, Some(3), None)),
        (at, ending(Outcome::AgentUnavailable, Some(4), None)),
        (at, ending(Outcome::Voicemail, Some(30), Some(3000))),
        (at, ending(Outcome::Busy, Some(0), None)),
        (at, ending(Outcome::NoAnswer, None, None)),
        (at, never_placed),
        (NOW, ending(Outcome::Answered, Some(600), Some(9000))),
    ];
    for (enrollment, (dial_at, ending)) in claimed.iter().zip(calls) {
        call(&*store, enrollment, dial_at, ending).await;
    }
    // One that is still up counts when it is over, and one that was released never.
    let open = opened(&claimed[10], at);
    store.commit(&open).await.unwrap();
    release(&*store, &claimed[11], at).await;

    let totals = async |since| {
        store
            .call_totals(campaign.tenant, campaign.id, since)
            .await
            .unwrap()
    };
    let later = CallTotals {
        n_calls: 8,
        n_answered: 5,
        n_abandoned: 2,
        n_silent: 2,
        billed_minutes: 2 + 1 + 1 + 1 + 1 + 1,
    };
    assert_eq!(totals(at).await, later);
    let all = CallTotals {
        n_calls: 9,
        n_answered: 6,
        n_abandoned: 2,
        n_silent: 3,
        billed_minutes: later.billed_minutes + 10,
    };
    assert_eq!(totals(NOW).await, all);
    assert_eq!(totals(at + seconds(1)).await, CallTotals::default());

    // What is learned of a call after its end counts too.
    let busy = store.find_enrollment(campaign.tenant, claimed[6].id).await;
    let mut late = busy.unwrap().expect("it is there");
    late.version += 1;
    let mut attempt = last_call(&*store, &campaign, &late).await.attempt;
    attempt.facts.duration = Some(seconds(125));
    let late = Commit {
        enrollment: late,
        attempt: Some(attempt),
        events: vec![],
    };
    store.commit(&late).await.unwrap();
    assert_eq!(totals(at).await.billed_minutes, later.billed_minutes + 3);
}

async fn last_call(store: &dyn Store, campaign: &Campaign, of: &Enrollment) -> CallRecord {
    let id = AttemptId {
        enrollment: of.id,
        number: of.n_attempts,
    };
    let found = store.find_call(campaign.tenant, id).await.unwrap();
    found.expect("there was one")
}

async fn release(store: &dyn Store, enrollment: &Enrollment, dial_at: Timestamp) {
    let open = opened(enrollment, dial_at);
    store.commit(&open).await.unwrap();
    let why = ReleaseReason::Withheld;
    let mut released = moved(&open.enrollment, AttemptState::Released { at: NOW, why });
    released.enrollment.state = EnrollmentState::Waiting {
        due_at: NOW,
        held_by: None,
    };
    store.commit(&released).await.unwrap();
}

fn ids(calls: &[CallRecord]) -> Vec<AttemptId> {
    calls.iter().map(|call| call.attempt.id).collect()
}

pub async fn recent_calls_come_latest_first_without_open_ones(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 5).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 5)).await.unwrap();
    for (enrollment, after) in claimed.iter().zip([20, 40, 10, 30]) {
        let open = opened(enrollment, NOW + seconds(after));
        store.commit(&open).await.unwrap();
        if after != 30 {
            let busy = ended(&open.enrollment, Outcome::Busy, None);
            store.commit(&busy).await.unwrap();
        }
    }
    release(&*store, &claimed[4], NOW + seconds(50)).await;
    let recent = async |n| {
        let found = store
            .recent_calls(campaign.tenant, campaign.id, limit(n))
            .await
            .unwrap();
        ids(&found)
    };
    let expected = [4, 1, 0, 2].map(|i: usize| claimed[i].next_attempt_id());
    assert_eq!(recent(9).await, expected);
    assert_eq!(recent(2).await, expected[..2]);
    let other = campaign_beside(&*store, &campaign).await;
    let none = store.recent_calls(campaign.tenant, other.id, limit(9));
    assert_eq!(none.await.unwrap(), []);
}

fn from(mut commit: Commit, number: &PhoneNumber) -> Commit {
    let EnrollmentState::Open { attempt, .. } = &mut commit.enrollment.state else {
        panic!("{commit:?} opens no attempt");
    };
    attempt.from = number.clone();
    commit.attempt = Some(attempt.clone());
    commit
}

pub async fn the_use_of_own_numbers_is_counted(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 6).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 6)).await.unwrap();
    let numbers: [PhoneNumber; 2] =
        ["+12025550100", "+12025550101"].map(|number| number.parse().unwrap());
    for (enrollment, (number, after)) in
        claimed
            .iter()
            .zip([(0, 0), (0, 10), (0, 30), (1, 20), (1, 5)])
    {
        let open = from(opened(enrollment, NOW + seconds(after)), &numbers[number]);
        store.commit(&open).await.unwrap();
    }
    release(&*store, &claimed[5], NOW + seconds(60)).await;
    let usage = async |after| {
        store
            .caller_usage(campaign.tenant, NOW + seconds(after))
            .await
            .unwrap()
    };
    let used = |n, after| CallerUsage {
        n,
        last_start: NOW + seconds(after),
    };
    let [first, second] = &numbers;
    let expected = [(first.clone(), used(2, 30)), (second.clone(), used(1, 20))];
    assert_eq!(usage(10).await, BTreeMap::from(expected));
    assert_eq!(
        usage(21).await,
        BTreeMap::from([(first.clone(), used(1, 30))])
    );
    assert_eq!(usage(31).await, BTreeMap::new());
}

pub async fn calls_to_a_person_are_found_over_all_campaigns(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 2).await;
    let second = campaign_beside(&*store, &first).await;
    let tenant = first.tenant;
    store
        .enroll(tenant, second.id, &people(0, 1), NOW)
        .await
        .unwrap();
    let holder = lease(&*store, &first).await;
    let claimed = store.claim_due(&claim(&first, holder, 2)).await.unwrap();
    let person = claimed[0].phone.known().unwrap().clone();
    let busy = opened(&claimed[0], NOW + seconds(10));
    store.commit(&busy).await.unwrap();
    let open_to = async || ids(&store.open_calls_to(tenant, &person).await.unwrap());
    assert_eq!(open_to().await, [claimed[0].next_attempt_id()]);
    let over = ended(&busy.enrollment, Outcome::Busy, Some(NOW));
    store.commit(&over).await.unwrap();
    release(&*store, &over.enrollment, NOW + seconds(30)).await;
    let somebody_else = opened(&claimed[1], NOW + seconds(20));
    store.commit(&somebody_else).await.unwrap();
    assert_eq!(open_to().await, []);

    let claimed_beside = store.claim_due(&claim(&second, holder, 1)).await.unwrap();
    let open = opened(&claimed_beside[0], NOW + seconds(40));
    store.commit(&open).await.unwrap();
    let unknown = AttemptState::Unknown {
        since: NOW,
        n_looks: 0,
    };
    let unknown = moved(&open.enrollment, unknown);
    store.commit(&unknown).await.unwrap();
    let attempts = async |after| {
        let found = store.attempts_to(tenant, &person, NOW + seconds(after));
        ids(&found.await.unwrap())
    };
    let (now, before) = (
        claimed_beside[0].next_attempt_id(),
        claimed[0].next_attempt_id(),
    );
    assert_eq!(attempts(10).await, [now, before]);
    assert_eq!(attempts(11).await, [now]);
    assert_eq!(attempts(41).await, []);
    assert_eq!(open_to().await, [now]);
}
