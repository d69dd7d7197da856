use std::sync::Arc;

use dialtone::{
    domain::{
        campaign::CampaignStatus,
        ids::{EnrollmentId, TenantId},
    },
    store::{CampaignFilter, EnrollmentFilter, PageRequest, StoreError},
};

use super::{data::*, home::Home};

// proves F-48
pub async fn a_number_is_in_a_campaign_once(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 3).await;
    // 2 is in the campaign; 3 is new and then repeated.
    let members = [people(2, 1), people(3, 1), people(3, 1), people(4, 1)].concat();
    let duplicates = store
        .enroll(campaign.tenant, campaign.id, &members, NOW)
        .await
        .unwrap();
    assert_eq!(duplicates, [0, 2]);
    let kept = store
        .find_enrollment(campaign.tenant, members[1].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.phone.known(), Some(&members[1].member.phone));
    assert_eq!((kept.version, kept.n_attempts), (1, 0));
    assert_eq!(kept.fields, members[1].member.fields);
    for dropped in [0, 2] {
        let found = store
            .find_enrollment(campaign.tenant, members[dropped].id)
            .await;
        assert_eq!(found.unwrap(), None);
    }
    let progress = store.progress(campaign.tenant, campaign.id).await.unwrap();
    assert_eq!((progress.n_enrolled, progress.n_untried), (5, 5));
    let owner = store.tenant_of(members[1].id).await.unwrap();
    assert_eq!(owner, Some(campaign.tenant));
    let owner = store.tenant_of(fresh(EnrollmentId::new)).await.unwrap();
    assert_eq!(owner, None);
}

pub async fn a_person_of_two_campaigns_is_one_contact(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let mut contacts = Vec::new();
    for _ in 0..2 {
        let campaign = campaign(tenant, CampaignStatus::Draft);
        store.insert_campaign(&campaign).await.unwrap();
        let members = people(7, 1);
        store
            .enroll(tenant, campaign.id, &members, NOW)
            .await
            .unwrap();
        let found = store.find_enrollment(tenant, members[0].id).await.unwrap();
        contacts.push((found.unwrap().contact, members[0].contact));
    }
    assert_eq!(contacts[0].0, contacts[0].1);
    assert_eq!(contacts[1].0, contacts[0].0);
}

// proves F-48
pub async fn enrolling_the_same_list_at_once_adds_each_number_once(home: Arc<Home>) {
    const N: u32 = 3000;
    let (one, other) = (home.open().await, home.open().await);
    let campaign = campaign(fresh(TenantId::new), CampaignStatus::Draft);
    one.insert_campaign(&campaign).await.unwrap();
    let enroll = |store: Arc<dyn dialtone::store::Store>| {
        let (tenant, id) = (campaign.tenant, campaign.id);
        tokio::spawn(async move {
            let mut n_added = 0;
            for from in (0..N).step_by(500) {
                let members = people(from, 500);
                let duplicates = store.enroll(tenant, id, &members, NOW).await.unwrap();
                assert!(duplicates.is_sorted());
                n_added += 500 - duplicates.len();
            }
            n_added
        })
    };
    let (a, b) = tokio::join!(enroll(one.clone()), enroll(other));
    assert_eq!(a.unwrap() + b.unwrap(), N as usize);
    let page = one
        .list_enrollments(
            campaign.tenant,
            campaign.id,
            &EnrollmentFilter::default(),
            &PageRequest::first(1),
        )
        .await
        .unwrap();
    assert_eq!(page.total, u64::from(N));
}

pub async fn pages_visit_every_enrollment_once_in_the_order_of_adding(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    // Ids do not rise with the order of adding.
    let mut members = people(0, 20);
    members.reverse();
    for half in members.chunks(10) {
        store
            .enroll(campaign.tenant, campaign.id, half, NOW)
            .await
            .unwrap();
    }
    let added: Vec<_> = members.iter().map(|member| member.id).collect();
    for (state, n) in [(None, 20), (Some("waiting"), 20), (Some("open"), 0)] {
        let filter = EnrollmentFilter {
            state: state.map(str::to_owned),
        };
        let listed = all_pages(7, |page| {
            let (store, filter) = (store.clone(), filter.clone());
            let (tenant, id) = (campaign.tenant, campaign.id);
            async move { store.list_enrollments(tenant, id, &filter, &page).await }
        })
        .await;
        let ids: Vec<_> = listed.iter().map(|enrollment| enrollment.id).collect();
        assert_eq!(ids, added[..n]);
    }
}

pub async fn only_a_person_who_was_never_tried_can_be_removed(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 2).await;
    let holder = lease(&*store, &campaign).await;
    let tried = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    store.commit(&opened(&tried[0], NOW)).await.unwrap();
    let page = store
        .list_enrollments(
            campaign.tenant,
            campaign.id,
            &EnrollmentFilter {
                state: Some("waiting".to_owned()),
            },
            &PageRequest::first(9),
        )
        .await
        .unwrap();
    let untried = page.items[0].id;

    let remove = |tenant, id| store.remove_enrollment(tenant, id);
    assert!(!remove(campaign.tenant, tried[0].id).await.unwrap());
    assert!(!remove(fresh(TenantId::new), untried).await.unwrap());
    assert!(remove(campaign.tenant, untried).await.unwrap());
    assert!(!remove(campaign.tenant, untried).await.unwrap());
    let progress = store.progress(campaign.tenant, campaign.id).await.unwrap();
    assert_eq!(
        (progress.n_enrolled, progress.n_untried, progress.n_open),
        (1, 0, 1)
    );
}

pub async fn adding_somebody_raises_the_version_of_the_campaign(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let (tenant, id) = (campaign.tenant, campaign.id);
    let find = async || store.find_campaign(tenant, id).await.unwrap().unwrap();
    let before = find().await;
    // Nobody new: nothing that was decided before is wrong now.
    let duplicates = store.enroll(tenant, id, &people(0, 1), NOW).await.unwrap();
    assert_eq!(duplicates, [0]);
    assert_eq!(find().await, before);

    store.enroll(tenant, id, &people(0, 2), NOW).await.unwrap();
    let after = find().await;
    assert!(after.version > before.version);
    let mut completed = before.with_status(CampaignStatus::Completed, NOW);
    completed.version += 1;
    let refused = store.save_campaign(&completed, &[]).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    assert_eq!(find().await, after);
    assert_eq!(
        store.active_campaigns(tenant).await.unwrap(),
        std::slice::from_ref(&after)
    );
    let listed = store
        .list_campaigns(tenant, &CampaignFilter::default(), &PageRequest::first(9))
        .await
        .unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&after));

    let mut completed = after.with_status(CampaignStatus::Completed, NOW);
    completed.version += 1;
    store.save_campaign(&completed, &[]).await.unwrap();
    assert_eq!(find().await, completed);
}

pub async fn nobody_is_enrolled_in_a_campaign_that_is_gone(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let foreign = store
        .enroll(fresh(TenantId::new), campaign.id, &people(5, 1), NOW)
        .await;
    assert!(
        matches!(foreign, Err(StoreError::Conflict { .. })),
        "{foreign:?}"
    );
    store
        .delete_campaign(campaign.tenant, campaign.id, campaign.version)
        .await
        .unwrap();
    let deleted = store
        .enroll(campaign.tenant, campaign.id, &people(5, 1), NOW)
        .await;
    assert!(
        matches!(deleted, Err(StoreError::Conflict { .. })),
        "{deleted:?}"
    );
}
