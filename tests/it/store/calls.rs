use std::{collections::BTreeSet, sync::Arc};

use dialtone::{
    domain::{
        Timestamp,
        attempt::{AttemptState, CallFacts, Recording, ReleaseReason},
        campaign::Campaign,
        enrollment::{Enrollment, EnrollmentState, Progress},
        ids::{AttemptId, ConversationId, TenantId},
        outcome::{Fault, FaultClass, Outcome},
        pacing::Usage,
        price::CarrierPrice,
    },
    store::{CallFilter, Commit, EnrollmentFilter, PageRequest, Store, StoreError},
};

use futures_util::future::join_all;

use super::{data::*, home::Home};

pub async fn a_commit_saves_the_enrollment_the_call_and_the_events(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let tenant = campaign.tenant;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let found = store.find_enrollment(tenant, open.enrollment.id).await;
    assert_eq!(found.unwrap().as_ref(), Some(&open.enrollment));
    let attempt = open.attempt.clone().unwrap();
    let call = store.find_call(tenant, attempt.id).await.unwrap().unwrap();
    assert_eq!(call.attempt, attempt);
    assert_eq!((call.version, call.campaign), (3, campaign.id));
    assert_eq!(call.name, open.enrollment.name);
    let sid = sid(&open.enrollment);
    let unnamed = store.find_call_by_sid(tenant, &sid).await.unwrap();
    assert_eq!(unnamed, None);

    let dialing = AttemptState::Dialing { sid: sid.clone() };
    let dialing = moved(&open.enrollment, dialing);
    store.commit(&dialing).await.unwrap();
    let named = store.find_call_by_sid(tenant, &sid).await.unwrap().unwrap();
    assert_eq!(Some(named.attempt), dialing.attempt);
    let log = store.call_events(tenant, attempt.id).await.unwrap();
    let log: Vec<_> = log.into_iter().map(|stored| stored.event).collect();
    assert_eq!(log, [open.events, dialing.events].concat());
}

pub async fn a_commit_from_an_old_version_changes_nothing(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();

    // Made from the same version, by somebody slower.
    let other = opened(&claimed[0], NOW + seconds(9));
    let skipping = Commit {
        enrollment: Enrollment {
            version: 9,
            ..open.enrollment.clone()
        },
        ..other.clone()
    };
    for late in [other, skipping] {
        let refused = store.commit(&late).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict { .. })),
            "{refused:?}"
        );
    }
    let id = open.attempt.as_ref().unwrap().id;
    let call = store.find_call(campaign.tenant, id).await.unwrap().unwrap();
    assert_eq!(Some(call.attempt), open.attempt);
    let found = store
        .find_enrollment(campaign.tenant, open.enrollment.id)
        .await;
    assert_eq!(found.unwrap(), Some(open.enrollment));
    let log = store.call_events(campaign.tenant, id).await.unwrap();
    assert_eq!(log.len(), 1);
}

pub async fn of_commits_at_once_only_the_late_ones_are_refused(home: Arc<Home>) {
    const N: u32 = 60;
    let store = home.open().await;
    let campaign = active_campaign(&*store, N).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, N)).await.unwrap();
    assert_eq!(claimed.len(), N as usize);
    // Every tenth is committed twice from the same version.
    let commits: Vec<Commit> = claimed
        .iter()
        .zip(0..)
        .flat_map(|(enrollment, i)| {
            let n = if i % 10 == 0 { 2 } else { 1 };
            (0..n).map(|late| opened(enrollment, NOW + seconds(late)))
        })
        .collect();
    let saved = join_all(commits.iter().map(|commit| store.commit(commit))).await;

    let mut n_refused = 0;
    for (commit, saved) in commits.iter().zip(saved) {
        let attempt = commit.attempt.as_ref().unwrap();
        let call = store.find_call(campaign.tenant, attempt.id).await;
        let call = call.unwrap().unwrap();
        match saved {
            Ok(()) => assert_eq!(call.attempt, *attempt),
            Err(StoreError::Conflict { .. }) => {
                n_refused += 1;
                assert_ne!(call.attempt, *attempt);
            }
            Err(other) => panic!("{other}"),
        }
        let log = store.call_events(campaign.tenant, attempt.id).await;
        assert_eq!(log.unwrap().len(), 1);
    }
    assert_eq!(n_refused, N / 10);
    let (tenant, campaign) = (campaign.tenant, campaign.id);
    let log = store.events_after(tenant, campaign, 0, limit(1_000)).await;
    let seqs: Vec<u64> = log.unwrap().iter().map(|event| event.seq).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

pub async fn calls_are_listed_latest_first_and_filtered(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 9).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 9)).await.unwrap();
    for (i, enrollment) in (0..).zip(&claimed) {
        let open = opened(enrollment, NOW + seconds(i / 2));
        store.commit(&open).await.unwrap();
        if i % 3 == 0 {
            let busy = ended(&open.enrollment, Outcome::Busy, None);
            store.commit(&busy).await.unwrap();
        }
    }
    let list = async |filter: CallFilter| {
        all_pages(2, |page| {
            let (store, filter, tenant) = (store.clone(), filter.clone(), campaign.tenant);
            async move { store.list_calls(tenant, &filter, &page).await }
        })
        .await
    };
    let all = list(CallFilter::default()).await;
    assert!(all.is_sorted_by_key(|call| std::cmp::Reverse(call.attempt.dial_at)));
    let ids: BTreeSet<AttemptId> = all.iter().map(|call| call.attempt.id).collect();
    assert_eq!(ids.len(), 9);
    let with = |change: fn(&mut CallFilter)| {
        let mut filter = CallFilter {
            campaign: Some(campaign.id),
            ..CallFilter::default()
        };
        change(&mut filter);
        filter
    };
    assert_eq!(list(with(|_| ())).await.len(), 9);
    assert_eq!(list(with(|filter| filter.open = Some(true))).await.len(), 6);
    assert_eq!(
        list(with(|filter| filter.open = Some(false))).await.len(),
        3
    );
    let busy = with(|filter| filter.outcome = Some("busy".to_owned()));
    assert_eq!(list(busy).await.len(), 3);
    let one = CallFilter {
        enrollment: Some(claimed[4].id),
        ..CallFilter::default()
    };
    assert_eq!(list(one).await.len(), 1);
}

// proves F-28
pub async fn calls_are_found_by_what_is_to_be_done_about_them_later(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 3).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 3)).await.unwrap();
    let recording = |told_at, deleted_at| {
        let sid = "RE00000000000000000000000000000001".parse().unwrap();
        Some(Recording {
            sid,
            duration: None,
            told_at,
            deleted_at,
        })
    };
    let facts = [
        CallFacts {
            price: Some(CarrierPrice::awaited(NOW, seconds(60))),
            recording: recording(NOW + seconds(5), None),
            ..CallFacts::default()
        },
        CallFacts {
            price: Some(CarrierPrice::Known(price())),
            recording: recording(NOW, Some(NOW + seconds(9))),
            ..CallFacts::default()
        },
        CallFacts {
            price: Some(CarrierPrice::GivenUp),
            ..CallFacts::default()
        },
    ];
    let mut calls = Vec::new();
    for (enrollment, facts) in claimed.iter().zip(facts) {
        let open = opened(enrollment, NOW);
        store.commit(&open).await.unwrap();
        let mut over = ended(&open.enrollment, Outcome::Answered, None);
        over.attempt.as_mut().unwrap().facts = facts;
        store.commit(&over).await.unwrap();
        let attempt = over.attempt.clone().unwrap();
        let call = store.find_call(campaign.tenant, attempt.id).await.unwrap();
        assert_eq!(call.unwrap().attempt, attempt);
        calls.push(over);
    }
    let first = calls[0].attempt.clone().unwrap().id;
    let found = async |price_due_by, recorded_by| {
        let filter = CallFilter {
            campaign: Some(campaign.id),
            price_due_by,
            recorded_by,
            ..CallFilter::default()
        };
        let page = PageRequest::first(9);
        let calls = store.list_calls(campaign.tenant, &filter, &page).await;
        let calls = calls.unwrap().items.into_iter();
        calls.map(|call| call.attempt.id).collect::<Vec<_>>()
    };
    let at = |n| Some(NOW + seconds(n));
    assert_eq!(found(at(59), None).await, []);
    assert_eq!(found(at(60), None).await, [first]);
    assert_eq!(found(None, at(4)).await, []);
    assert_eq!(found(None, at(5)).await, [first]);

    let mut settled = calls[0].clone();
    settled.enrollment.version += 1;
    let facts = &mut settled.attempt.as_mut().unwrap().facts;
    facts.price = Some(CarrierPrice::GivenUp);
    facts.recording = recording(NOW, at(600));
    store.commit(&settled).await.unwrap();
    assert_eq!(found(at(99_999), None).await, []);
    assert_eq!(found(None, at(99_999)).await, []);
}

/// A repeatable choice of numbers below `n`.
struct Choice(u64);

impl Choice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// One thing that may happen next to an enrollment.
fn next(enrollment: &Enrollment, choice: &mut Choice) -> Commit {
    let sid = sid(enrollment);
    let Some(attempt) = enrollment.open_attempt() else {
        return opened(enrollment, NOW + seconds(choice.below(50)));
    };
    let again = (choice.below(2) == 0).then(|| NOW + seconds(choice.below(900)));
    match (attempt.state.name(), choice.below(4)) {
        ("reserved", 0) => {
            let mut commit = moved(
                enrollment,
                AttemptState::Released {
                    at: NOW,
                    why: ReleaseReason::Withheld,
                },
            );
            commit.enrollment.state = EnrollmentState::Waiting {
                due_at: NOW,
                held_by: None,
            };
            commit
        }
        ("reserved", _) => moved(enrollment, AttemptState::Dialing { sid }),
        ("dialing", 0..2) => moved(enrollment, AttemptState::Connected { sid, since: NOW }),
        ("dialing", 2) => ended(enrollment, Outcome::NoAnswer, again),
        ("dialing", _) => {
            let fault = Fault {
                class: FaultClass::Network,
                code: None,
                detail: String::new(),
            };
            ended(enrollment, Outcome::Failed(fault), again)
        }
        _ => ended(enrollment, Outcome::Answered, None),
    }
}

pub async fn progress_and_usage_equal_a_recount(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 30).await;
    let holder = lease(&*store, &campaign).await;
    let mut open = store
        .claim_due(&claim(&campaign, holder, 24))
        .await
        .unwrap();
    let mut choice = Choice(42);
    for _ in 0..120 {
        let i = usize::try_from(choice.below(open.len() as u64)).unwrap();
        if open[i].state.name() == "finished" {
            continue;
        }
        let commit = next(&open[i], &mut choice);
        store.commit(&commit).await.unwrap();
        open[i] = commit.enrollment;
    }
    let enrollments = all_pages(50, |page| {
        let (store, campaign) = (store.clone(), campaign.clone());
        let all = EnrollmentFilter::default();
        async move {
            store
                .list_enrollments(campaign.tenant, campaign.id, &all, &page)
                .await
        }
    })
    .await;
    let (calls, usage) = recount_calls(&*store, &campaign).await;
    let mut expected = Progress {
        n_enrolled: 30,
        next_due_at: store
            .next_due(campaign.tenant, campaign.id, None)
            .await
            .unwrap(),
        ..calls
    };
    for enrollment in &enrollments {
        match &enrollment.state {
            EnrollmentState::Waiting { .. } if enrollment.n_attempts == 0 => {
                expected.n_untried += 1;
            }
            EnrollmentState::Waiting { .. } => expected.n_retrying += 1,
            EnrollmentState::Open { .. } => expected.n_open += 1,
            EnrollmentState::Finished { outcome, .. } => {
                let name = outcome.as_ref().map_or("none", Outcome::name);
                expected.n_finished += 1;
                *expected
                    .finished_by_outcome
                    .entry(name.to_owned())
                    .or_default() += 1;
            }
        }
    }
    assert!(expected.n_open > 0 && expected.n_finished > 0 && expected.n_retrying > 0);
    let progress = store.progress(campaign.tenant, campaign.id).await.unwrap();
    assert_eq!(progress, expected);
    let stored = store.usage(campaign.tenant).await.unwrap();
    assert_eq!(
        stored.into_iter().collect::<Vec<_>>(),
        [(campaign.id, usage)]
    );
}

/// What the list of calls says of progress and usage.
async fn recount_calls(store: &dyn Store, campaign: &Campaign) -> (Progress, Usage) {
    let page = store
        .list_calls(
            campaign.tenant,
            &CallFilter::default(),
            &PageRequest::first(500),
        )
        .await
        .unwrap();
    assert_eq!(page.next, None);
    let count = |of: fn(&AttemptState) -> bool| {
        let states = page.items.iter().map(|call| &call.attempt.state);
        states.filter(|state| of(state)).count() as u64
    };
    let progress = Progress {
        n_calls: count(|state| state.sid().is_some()),
        n_connected: count(|state| state.name() == "connected"),
        ..Progress::default()
    };
    let last_start: Option<Timestamp> = page.items.iter().map(|call| call.attempt.dial_at).max();
    let usage = Usage {
        n_open: u32::try_from(count(AttemptState::is_open)).unwrap(),
        last_start,
    };
    (progress, usage)
}

pub async fn a_call_is_found_by_its_conversation_with_what_was_reported(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let tenant = campaign.tenant;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    // Unlike those of other runs on the same database.
    let uuid = open.enrollment.id.uuid().simple();
    let conversation: ConversationId = format!("conv_{uuid}").parse().unwrap();
    let find = async |tenant, conversation: &ConversationId| {
        let found = store.find_call_by_conversation(tenant, conversation).await;
        found.unwrap().map(|call| call.attempt)
    };
    assert_eq!(find(tenant, &conversation).await, None);

    let sid = sid(&open.enrollment);
    let mut talk = moved(
        &open.enrollment,
        AttemptState::Connected { sid, since: NOW },
    );
    let EnrollmentState::Open { attempt, .. } = &mut talk.enrollment.state else {
        panic!("the attempt is open");
    };
    attempt.facts.conversation = Some(conversation.clone());
    attempt.facts.report = Some(report(&conversation));
    talk.attempt = Some(attempt.clone());
    store.commit(&talk).await.unwrap();
    assert_eq!(find(tenant, &conversation).await, talk.attempt);
    let enrollment = store.find_enrollment(tenant, talk.enrollment.id).await;
    assert_eq!(enrollment.unwrap(), Some(talk.enrollment));
    assert_eq!(find(fresh(TenantId::new), &conversation).await, None);
    let other = format!("{conversation}_").parse().unwrap();
    assert_eq!(find(tenant, &other).await, None);
}
