use std::{collections::BTreeSet, sync::Arc};

use dialtone::{
    domain::{
        campaign::{Campaign, CampaignStatus, PauseReason},
        enrollment::EnrollmentState,
        ids::{NodeId, PlaceKey, TenantId},
        outcome::Outcome,
        rules::Rule,
    },
    store::{ClaimRequest, Store, StoreError},
};
use tokio::task::JoinSet;

use super::{data::*, home::Home};

// proves F-01
pub async fn each_enrollment_is_claimed_once(home: Arc<Home>) {
    const N: usize = 1000;
    let handles = [home.open().await, home.open().await];
    let campaign = active_campaign(&*handles[0], 1000).await;
    let holder = lease(&*handles[0], &campaign).await;
    let mut claimers = JoinSet::new();
    for i in 0..50 {
        let store = handles[i % 2].clone();
        let request = claim(&campaign, holder, 15);
        claimers.spawn(async move {
            let mut claimed = Vec::new();
            // Those that see nothing left may have seen others' claims in the making.
            for _ in 0..200 {
                let batch = store.claim_due(&request).await.unwrap();
                assert!(batch.len() <= 15);
                if batch.is_empty() && store_is_empty(&*store, &request).await {
                    break;
                }
                claimed.extend(batch.into_iter().map(|enrollment| enrollment.id));
            }
            claimed
        });
    }
    let claimed = claimers.join_all().await.concat();
    assert_eq!(claimed.len(), N);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), N);
}

async fn store_is_empty(store: &dyn Store, request: &ClaimRequest) -> bool {
    let next = store.next_due(request.tenant, request.campaign, None).await;
    next.unwrap() > Some(request.now)
}

pub async fn due_ones_are_claimed_soonest_first(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    for (from, due) in [(0, 20), (3, 10), (6, 30)] {
        let members = people(from, 3);
        store
            .enroll(campaign.tenant, campaign.id, &members, NOW + seconds(due))
            .await
            .unwrap();
    }
    let holder = lease(&*store, &campaign).await;
    let next = store
        .next_due(campaign.tenant, campaign.id, None)
        .await
        .unwrap();
    assert_eq!(next, Some(NOW + seconds(10)));
    let mut request = claim(&campaign, holder, 9);
    assert_eq!(store.claim_due(&request).await.unwrap(), []);
    request.now = NOW + seconds(20);
    let claimed = store.claim_due(&request).await.unwrap();
    let numbers: Vec<_> = claimed
        .iter()
        .map(|enrollment| enrollment.phone.shown())
        .collect();
    let digits = |i: u32| format!("+1202{i:07}");
    assert_eq!(numbers, [3, 4, 5, 0, 1, 2].map(digits));
    assert!(claimed.iter().all(|enrollment| enrollment.version == 2));
    let stored = store
        .find_enrollment(campaign.tenant, claimed[0].id)
        .await
        .unwrap();
    assert_eq!(stored.as_ref(), Some(&claimed[0]));
}

/// The numbers of a claim at these places.
async fn phones_at(store: &dyn Store, request: &ClaimRequest, places: &[&str]) -> Vec<String> {
    let mut request = request.clone();
    request.places = Some(places.iter().copied().map(PlaceKey::new).collect());
    phones(store, &request).await
}

pub async fn only_people_at_the_places_asked_for_are_claimed(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    for (place, from, due) in [("GB", 0, 0), ("US/NY", 4, 10), ("DE", 8, 5), ("GB", 12, 20)] {
        let members = people_at(place, from, 2);
        let at = NOW + seconds(due);
        store.enroll(tenant, id, &members, at).await.unwrap();
    }
    let holder = lease(&*store, &campaign).await;
    let mut request = claim(&campaign, holder, 9);
    request.now = NOW + seconds(60);
    let next = async |places: &[&str]| {
        let places: Vec<_> = places.iter().copied().map(PlaceKey::new).collect();
        let next = store.next_due(tenant, id, Some(&places)).await.unwrap();
        next.map(|at| at.as_second() - NOW.as_second())
    };
    assert_eq!(next(&["US/NY", "DE"]).await, Some(5));
    assert_eq!(next(&["FR"]).await, None);
    assert_eq!(next(&[]).await, None);

    let nobody = phones_at(&*store, &request, &[]).await;
    assert_eq!(nobody, [""; 0]);
    let nobody = phones_at(&*store, &request, &["FR"]).await;
    assert_eq!(nobody, [""; 0]);
    // Over several places the soonest come first, however the places are named.
    request.limit = limit(3);
    let claimed = phones_at(&*store, &request, &["US/NY", "GB", "DE", "GB"]).await;
    assert_eq!(claimed, [0, 1, 8].map(number));
    request.limit = limit(9);
    let claimed = phones_at(&*store, &request, &["US/NY", "GB"]).await;
    assert_eq!(claimed, [4, 5, 12, 13].map(number));
    // In claims they are due when those end.
    assert_eq!(next(&["US/NY"]).await, Some(60 + 30));
    assert_eq!(phones(&*store, &request).await, [9].map(number));
}

pub async fn a_claim_at_more_places_than_a_query_takes_is_in_order_too(home: Arc<Home>) {
    const N: u32 = 230;
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let place = |i: u32| format!("place {i}");
    // The last enrolled are due first.
    let mut members = Vec::new();
    for i in 0..N {
        members.extend(people_at(&place(i), i, 1));
    }
    for (due, some) in (0..).zip(members.rchunks(50)) {
        let due = NOW + seconds(due);
        store
            .enroll(campaign.tenant, campaign.id, some, due)
            .await
            .unwrap();
    }
    let holder = lease(&*store, &campaign).await;
    let mut request = claim(&campaign, holder, 60);
    request.now = NOW + seconds(60);
    let places: Vec<String> = (0..N).map(place).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let expected: Vec<String> = (180..230).chain(130..140).map(number).collect();
    assert_eq!(phones_at(&*store, &request, &places).await, expected);
}

// proves F-16
pub async fn whoever_is_on_the_phone_is_passed_over_at_every_place(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 2).await;
    let second = another(&*store, &first, 0, 4).await;
    let holder = lease(&*store, &first).await;
    let claimed = store.claim_due(&claim(&first, holder, 2)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let request = claim(&second, holder, 9);
    let here = home_place();
    let free = phones_at(&*store, &request, &[here.as_str()]).await;
    assert_eq!(free, [2, 3].map(number));
}

/// An active campaign of the same tenant, with the people of these numbers.
async fn another(store: &dyn Store, first: &Campaign, from: u32, n: u32) -> Campaign {
    let campaign = campaign_beside(store, first).await;
    store
        .enroll(campaign.tenant, campaign.id, &people(from, n), NOW)
        .await
        .unwrap();
    campaign
}

async fn phones(store: &dyn Store, request: &ClaimRequest) -> Vec<String> {
    let claimed = store.claim_due(request).await.unwrap();
    claimed.iter().map(|one| one.phone.to_string()).collect()
}

fn number(i: u32) -> String {
    people(i, 1)[0].member.phone.to_string()
}

// proves F-16
pub async fn a_person_on_the_phone_for_one_campaign_is_passed_over_by_the_others(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 2).await;
    let second = another(&*store, &first, 0, 4).await;
    let holder = lease(&*store, &first).await;
    let claimed = store.claim_due(&claim(&first, holder, 2)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();

    // The first person is in a call, the second is about to be; the others move up.
    let mut request = claim(&second, holder, 1);
    assert_eq!(phones(&*store, &request).await, [number(2)]);
    assert_eq!(phones(&*store, &request).await, [number(3)]);
    assert_eq!(phones(&*store, &request).await, [""; 0]);
    // Whoever was passed over is due all the same.
    let next = store
        .next_due(second.tenant, second.id, None)
        .await
        .unwrap();
    assert_eq!(next, Some(NOW));

    // The claim that was not used has run out: that person is free.
    request.now = NOW + LEASE;
    request.limit = limit(1);
    assert_eq!(phones(&*store, &request).await, [number(1)]);
    // The call is over: so is that one.
    let over = ended(&open.enrollment, Outcome::Busy, Some(NOW + seconds(900)));
    store.commit(&over).await.unwrap();
    assert_eq!(phones(&*store, &request).await, [number(0)]);
    // And now the first campaign has to wait for them.
    let mut retry = claim(&first, holder, 9);
    retry.now = NOW + LEASE + seconds(1);
    assert_eq!(phones(&*store, &retry).await, [""; 0]);

    // Somebody else's customer is somebody else.
    let foreign = active_campaign(&*store, 2).await;
    let holder = lease(&*store, &foreign).await;
    let request = claim(&foreign, holder, 9);
    assert_eq!(phones(&*store, &request).await, [number(0), number(1)]);
}

// proves F-16
pub async fn campaigns_that_claim_at_once_share_nobody(home: Arc<Home>) {
    let handles = [home.open().await, home.open().await];
    let first = active_campaign(&*handles[0], 60).await;
    let mut campaigns = vec![first.clone()];
    for _ in 0..3 {
        campaigns.push(another(&*handles[0], &first, 0, 60).await);
    }
    let holder = lease(&*handles[0], &first).await;
    let mut claimers = JoinSet::new();
    for (i, campaign) in campaigns.iter().enumerate() {
        let (store, request) = (handles[i % 2].clone(), claim(campaign, holder, 7));
        claimers.spawn(async move {
            let mut claimed = Vec::new();
            for _ in 0..20 {
                claimed.extend(phones(&*store, &request).await);
            }
            claimed
        });
    }
    let claimed = claimers.join_all().await.concat();
    let people: BTreeSet<_> = claimed.iter().collect();
    assert_eq!(people.len(), claimed.len());
    // Two that met at one person both stepped back; nobody is left out for good.
    let mut left = claimed.len();
    for campaign in &campaigns {
        left += phones(&*handles[0], &claim(campaign, holder, 99))
            .await
            .len();
    }
    assert_eq!(left, 60);
}

// proves F-16
pub async fn a_person_has_one_open_attempt_whoever_is_late(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 1).await;
    let second = another(&*store, &first, 0, 1).await;
    let holder = lease(&*store, &first).await;
    let held_up = store.claim_due(&claim(&first, holder, 1)).await.unwrap();
    let mut request = claim(&second, holder, 1);
    request.now = NOW + LEASE;
    let claimed = store.claim_due(&request).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();

    let late = opened(&held_up[0], NOW);
    let refused = store.commit(&late).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    let attempt = late.attempt.unwrap().id;
    let call = store.find_call(first.tenant, attempt).await.unwrap();
    assert_eq!(call, None);
    let found = store.find_enrollment(first.tenant, held_up[0].id).await;
    assert_eq!(found.unwrap().as_ref(), Some(&held_up[0]));
}

pub async fn an_unreadable_enrollment_is_no_obstacle_to_overdue_ones(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 3).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 3)).await.unwrap();
    for (after, enrollment) in (0..).zip(&claimed) {
        let open = opened(enrollment, NOW + seconds(after));
        store.commit(&open).await.unwrap();
    }
    let damaged = claimed[0].id.to_string();
    home.damage("enrollments", ("id", &damaged), "phone").await;
    let late = NOW + seconds(999);
    for n in [1, 9] {
        let overdue = store
            .overdue(campaign.tenant, late, limit(n))
            .await
            .unwrap();
        let ids: Vec<_> = overdue.iter().map(|one| one.id).collect();
        let others = [claimed[1].id, claimed[2].id];
        assert_eq!(ids, others[..others.len().min(n as usize)]);
    }
}

// proves F-05
pub async fn a_paused_campaign_claims_nothing(home: Arc<Home>) {
    let (store, other) = (home.open().await, home.open().await);
    let active = active_campaign(&*store, 5).await;
    let holder = lease(&*store, &active).await;
    let request = claim(&active, holder, 2);
    assert_eq!(store.claim_due(&request).await.unwrap().len(), 2);

    let mut paused = active.paused_for(PauseReason::Operator, NOW);
    paused.version += 1;
    other.save_campaign(&paused, &[]).await.unwrap();
    assert_eq!(store.claim_due(&request).await.unwrap(), []);

    let mut resumed = paused.with_status(CampaignStatus::Active, NOW);
    resumed.version += 1;
    other.save_campaign(&resumed, &[]).await.unwrap();
    assert_eq!(store.claim_due(&request).await.unwrap().len(), 2);
    assert_eq!(store.claim_due(&request).await.unwrap().len(), 1);
}

pub async fn a_claim_ends_by_commit_or_by_time(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 2).await;
    let holder = lease(&*store, &campaign).await;
    let mut request = claim(&campaign, holder, 9);
    let claimed = store.claim_due(&request).await.unwrap();
    let next = store
        .next_due(campaign.tenant, campaign.id, None)
        .await
        .unwrap();
    assert_eq!(next, Some(NOW + LEASE));

    // The first is given back by a commit, and so due again at once.
    let mut given_back = claimed[0].clone();
    given_back.version += 1;
    let commit = dialtone::store::Commit {
        enrollment: given_back,
        attempt: None,
        events: vec![],
    };
    store.commit(&commit).await.unwrap();
    let again = store.claim_due(&request).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].id, again[0].version), (claimed[0].id, 4));

    // The second is forgotten, and so claimed again when its time is over.
    request.now = NOW + LEASE - seconds(1);
    assert_eq!(store.claim_due(&request).await.unwrap(), []);
    request.now = NOW + LEASE;
    let again = store.claim_due(&request).await.unwrap();
    assert_eq!(again.len(), 2);
    let late = store.commit(&opened(&claimed[1], NOW)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
}

pub async fn a_lease_has_one_holder_and_a_rising_number(home: Arc<Home>) {
    let (store, other) = (home.open().await, home.open().await);
    let tenant = fresh(TenantId::new);
    let (ann, ben) = (fresh(NodeId::new), fresh(NodeId::new));
    let ttl = seconds(10);
    let hold = async |store: &Arc<dyn Store>, node, after| {
        let held = store.hold_lease(tenant, node, ttl, NOW + seconds(after));
        held.await.unwrap()
    };
    let holder = async |after| {
        let holder = other.lease_holder(tenant, NOW + seconds(after));
        holder.await.unwrap()
    };
    assert_eq!(holder(0).await, None);
    let first = hold(&store, ann, 0).await.expect("it is free");
    assert_eq!(holder(9).await, Some(ann));
    assert_eq!(holder(10).await, None, "it has run out");
    assert_eq!(hold(&other, ben, 5).await, None);
    assert_eq!(hold(&store, ann, 5).await, Some(first));
    assert_eq!(hold(&other, ben, 14).await, None);
    let second = hold(&other, ben, 15).await.expect("it has run out");
    assert!(second > first);
    assert_eq!(hold(&store, ann, 16).await, None);

    store.release_lease(tenant, ann).await.unwrap();
    assert_eq!(hold(&store, ann, 16).await, None);
    assert_eq!(holder(16).await, Some(ben));
    other.release_lease(tenant, ben).await.unwrap();
    assert_eq!(holder(16).await, None);
    let third = hold(&store, ann, 16).await.expect("it was given back");
    assert!(third > second);
    // Two that want it at the same moment: one gets it.
    let later = async |store: Arc<dyn Store>| hold(&store, fresh(NodeId::new), 99).await;
    let (a, b) = tokio::join!(later(store.clone()), later(other.clone()));
    assert_eq!(a.is_some() as u8 + b.is_some() as u8, 1, "{a:?} {b:?}");
}

pub async fn a_stale_holder_claims_nothing(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 3).await;
    let no_lease = (fresh(NodeId::new), dialtone::store::Fencing(1));
    refuse(&*store, &claim(&campaign, no_lease, 1)).await;

    let stale = lease(&*store, &campaign).await;
    let late = NOW + seconds(3600);
    let node = fresh(NodeId::new);
    let fencing = store
        .hold_lease(campaign.tenant, node, seconds(60), late)
        .await
        .unwrap()
        .expect("it has run out");
    let mut request = claim(&campaign, stale, 1);
    request.now = late;
    refuse(&*store, &request).await;
    // The old number does not do with the new name, nor the other way round.
    request.node = node;
    refuse(&*store, &request).await;
    request.fencing = fencing;
    assert_eq!(store.claim_due(&request).await.unwrap().len(), 1);
}

async fn refuse(store: &dyn Store, request: &ClaimRequest) {
    let refused = store.claim_due(request).await;
    assert!(
        matches!(refused, Err(StoreError::LeaseLost { tenant }) if tenant == request.tenant),
        "{refused:?}"
    );
    let next = store.next_due(request.tenant, request.campaign, None).await;
    assert_eq!(next.unwrap(), Some(NOW));
}

pub async fn active_campaigns_come_oldest_start_first(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let mut expected: Vec<Campaign> = Vec::new();
    for (status, started) in [
        (CampaignStatus::Active, 3),
        (CampaignStatus::Draft, 0),
        (CampaignStatus::Active, 1),
        (CampaignStatus::Completed, 2),
    ] {
        let mut campaign = campaign(tenant, status);
        campaign.started_at = Some(NOW + seconds(started));
        store.insert_campaign(&campaign).await.unwrap();
        if campaign.status == CampaignStatus::Active {
            expected.push(campaign);
        }
    }
    expected.reverse();
    assert_eq!(store.active_campaigns(tenant).await.unwrap(), expected);
}

pub async fn scheduled_campaigns_come_first_created_first(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let mut expected: Vec<Campaign> = Vec::new();
    for (status, created) in [
        (CampaignStatus::Scheduled, 3),
        (CampaignStatus::Active, 0),
        (CampaignStatus::Scheduled, 1),
        (CampaignStatus::Scheduled, 2),
    ] {
        let mut campaign = campaign(tenant, status);
        campaign.created_at = NOW + seconds(created);
        store.insert_campaign(&campaign).await.unwrap();
        if campaign.status == CampaignStatus::Scheduled {
            expected.push(campaign);
        }
    }
    expected.sort_by_key(|campaign| campaign.created_at);
    assert_eq!(store.scheduled_campaigns(tenant).await.unwrap(), expected);
    let gone = expected.remove(0);
    store
        .delete_campaign(tenant, gone.id, gone.version)
        .await
        .unwrap();
    assert_eq!(store.scheduled_campaigns(tenant).await.unwrap(), expected);
}

pub async fn open_enrollments_become_overdue(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 4).await;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 3)).await.unwrap();
    for (after, enrollment) in [20, 0, 40].into_iter().zip(&claimed) {
        let open = opened(enrollment, NOW + seconds(after));
        store.commit(&open).await.unwrap();
    }
    let overdue = async |after, n| {
        let found = store
            .overdue(campaign.tenant, NOW + seconds(after), limit(n))
            .await
            .unwrap();
        found.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    // Each is to be looked after a minute after its dialing.
    assert_eq!(overdue(59, 9).await, []);
    assert_eq!(overdue(80, 9).await, [claimed[1].id, claimed[0].id]);
    assert_eq!(overdue(999, 1).await, [claimed[1].id]);
}

pub async fn a_tenant_is_added_once(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    assert_eq!(store.list_tenants().await.unwrap(), []);
    store.ensure_tenant(tenant).await.unwrap();
    store.ensure_tenant(tenant).await.unwrap();
    assert_eq!(store.list_tenants().await.unwrap(), [tenant]);
}

pub async fn whom_a_rule_put_off_is_due_when_it_is_released(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 7).await;
    let beside = campaign_beside(&*store, &campaign).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let elsewhere = people(20, 1);
    store
        .enroll(tenant, beside.id, &elsewhere, NOW)
        .await
        .unwrap();
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 6)).await.unwrap();
    let other = store.claim_due(&claim(&beside, holder, 1)).await.unwrap();
    let tomorrow = NOW + seconds(86_400);
    let rules = [Rule::FrequencyCap, Rule::MinimumGap];
    // Two are put off by the rules in question, one of another campaign too; one by another rule; one
    // waits for a retry; one is open; one is in a claim, one was never touched.
    let mut held = Vec::new();
    for (enrollment, rule) in claimed.iter().zip(rules).chain([(&other[0], rules[0])]) {
        let put_off = put_off(enrollment, rule, tomorrow);
        store.commit(&put_off).await.unwrap();
        held.push(put_off.enrollment);
    }
    let destination = put_off(&claimed[2], Rule::Destination, tomorrow);
    store.commit(&destination).await.unwrap();
    let busy = opened(&claimed[3], NOW);
    store.commit(&busy).await.unwrap();
    let retry = ended(&busy.enrollment, Outcome::Busy, Some(tomorrow));
    store.commit(&retry).await.unwrap();
    let open = opened(&claimed[4], NOW);
    store.commit(&open).await.unwrap();

    let later = NOW + seconds(10);
    let strangers = store.release_held(fresh(TenantId::new), id, &rules, later);
    assert_eq!(strangers.await.unwrap(), 0);
    assert_eq!(
        store.release_held(tenant, id, &rules, later).await.unwrap(),
        2
    );

    // What is decided on a claim goes by the rules that were.
    let late = put_off(&claimed[5], Rule::MinimumGap, tomorrow);
    let refused = store.commit(&late).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    for enrollment in &held[..2] {
        let late = put_off(enrollment, Rule::MinimumGap, tomorrow);
        let refused = store.commit(&late).await;
        assert!(
            matches!(refused, Err(StoreError::Conflict { .. })),
            "{refused:?}"
        );
        let now_due = store
            .find_enrollment(tenant, enrollment.id)
            .await
            .unwrap()
            .unwrap();
        let state = EnrollmentState::Waiting {
            due_at: later,
            held_by: match &enrollment.state {
                EnrollmentState::Waiting { held_by, .. } => *held_by,
                _ => None,
            },
        };
        assert_eq!(now_due.state, state);
    }
    for unchanged in [
        &held[2],
        &destination.enrollment,
        &retry.enrollment,
        &open.enrollment,
    ] {
        let found = store.find_enrollment(tenant, unchanged.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(unchanged));
    }
    let mut request = claim(&campaign, holder, 9);
    request.now = later;
    let mut again = phones(&*store, &request).await;
    again.sort();
    assert_eq!(again, [0, 1, 5, 6].map(number));
    // Asking again releases nobody who is in a claim, but ends the claims.
    assert_eq!(
        store.release_held(tenant, id, &rules, later).await.unwrap(),
        0
    );
    let mut once_more = phones(&*store, &request).await;
    once_more.sort();
    assert_eq!(once_more, again);
    let progress = store.progress(tenant, id).await.unwrap();
    assert_eq!((progress.n_enrolled, progress.n_open), (7, 1));
}
