use std::{collections::BTreeSet, sync::Arc};

use dialtone::{
    domain::{
        campaign::{CampaignStatus, PauseReason},
        event::{Event, EventKind},
        ids::TenantId,
        outcome::{Fault, FaultClass},
    },
    store::{CampaignFilter, PageRequest, StoreError},
};

use super::{data::*, home::Home};

pub async fn a_campaign_reads_back(home: Arc<Home>) {
    let store = home.open().await;
    let fault = Fault {
        class: FaultClass::Account,
        code: Some(20_003),
        detail: "the credentials are wrong".to_owned(),
    };
    let status = CampaignStatus::Paused(PauseReason::Carrier(fault));
    let campaign = campaign(fresh(TenantId::new), status);
    store.insert_campaign(&campaign).await.unwrap();
    let found = store.find_campaign(campaign.tenant, campaign.id).await;
    assert_eq!(found.unwrap(), Some(campaign.clone()));

    let again = store.insert_campaign(&campaign).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
}

pub async fn campaigns_are_listed_newest_first_and_filtered(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    for i in 0..7 {
        let mut campaign = campaign(tenant, CampaignStatus::Draft);
        // Some are of the same moment.
        campaign.created_at = NOW + seconds(i / 2);
        campaign.name = format!("Éclair {i} (50% $off)");
        store.insert_campaign(&campaign).await.unwrap();
    }
    let all = CampaignFilter::default();
    let listed = all_pages(3, |page| {
        let (store, all) = (store.clone(), all.clone());
        async move { store.list_campaigns(tenant, &all, &page).await }
    })
    .await;
    assert!(listed.is_sorted_by_key(|campaign| std::cmp::Reverse(campaign.created_at)));
    let ids: BTreeSet<_> = listed.iter().map(|campaign| campaign.id).collect();
    assert_eq!(ids.len(), 7);

    for (status, search, n) in [
        (Some("draft"), None, 7),
        (Some("active"), None, 0),
        (None, Some("éCLAIR 3 (50% $"), 1),
        (None, Some("."), 0),
        (Some("draft"), Some("ÉCLAIR"), 7),
    ] {
        let filter = CampaignFilter {
            status: status.map(str::to_owned),
            search: search.map(str::to_owned),
            ..CampaignFilter::default()
        };
        let page = store
            .list_campaigns(tenant, &filter, &PageRequest::first(50))
            .await
            .unwrap();
        assert_eq!((page.items.len(), page.total), (n, n as u64), "{filter:?}");
    }
}

pub async fn a_save_from_an_old_version_is_a_conflict(home: Arc<Home>) {
    let store = home.open().await;
    let first = campaign(fresh(TenantId::new), CampaignStatus::Draft);
    store.insert_campaign(&first).await.unwrap();
    let mut second = first.with_status(CampaignStatus::Active, NOW);
    second.version = 2;
    let event = Event {
        tenant: first.tenant,
        campaign: first.id,
        at: NOW,
        kind: EventKind::Campaign {
            status: "active".to_owned(),
            reason: None,
        },
    };
    store
        .save_campaign(&second, std::slice::from_ref(&event))
        .await
        .unwrap();

    let mut late = first.with_status(CampaignStatus::Cancelled, NOW);
    late.version = 2;
    let refused = store.save_campaign(&late, &[event]).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    let found = store.find_campaign(first.tenant, first.id).await.unwrap();
    assert_eq!(found, Some(second));
    let log = store
        .events_after(first.tenant, first.id, 0, limit(9))
        .await
        .unwrap();
    assert_eq!(log.len(), 1);
}

pub async fn a_deleted_campaign_is_hidden(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 2).await;
    let (tenant, id, version) = (campaign.tenant, campaign.id, campaign.version);
    store.delete_campaign(tenant, id, version).await.unwrap();
    let found = store.find_campaign(campaign.tenant, campaign.id).await;
    assert_eq!(found.unwrap(), None);
    let found = store.find_campaign_or_deleted(tenant, id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&campaign));
    let again = store.delete_campaign(tenant, id, version).await;
    assert!(
        matches!(again, Err(StoreError::Conflict { .. })),
        "{again:?}"
    );
    let page = store
        .list_campaigns(
            campaign.tenant,
            &CampaignFilter::default(),
            &PageRequest::first(9),
        )
        .await
        .unwrap();
    assert_eq!((page.items, page.total), (vec![], 0));
    let all = CampaignFilter {
        with_deleted: true,
        ..CampaignFilter::default()
    };
    let page = PageRequest::first(9);
    let page = store.list_campaigns(tenant, &all, &page).await.unwrap();
    assert_eq!((page.items, page.total), (vec![campaign.clone()], 1));
    let active = store.active_campaigns(campaign.tenant).await.unwrap();
    assert_eq!(active, []);
    let mut next = campaign.clone();
    next.version += 1;
    let refused = store.save_campaign(&next, &[]).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    // Its records stay.
    let progress = store.progress(campaign.tenant, campaign.id).await.unwrap();
    assert_eq!(progress.n_enrolled, 2);
}

pub async fn a_delete_from_an_old_version_is_a_conflict(home: Arc<Home>) {
    let store = home.open().await;
    let draft = campaign(fresh(TenantId::new), CampaignStatus::Draft);
    let (tenant, id) = (draft.tenant, draft.id);
    store.insert_campaign(&draft).await.unwrap();
    let mut started = draft.with_status(CampaignStatus::Active, NOW);
    started.version += 1;
    store.save_campaign(&started, &[]).await.unwrap();
    let refused = store.delete_campaign(tenant, id, draft.version).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    for found in [
        store.find_campaign(tenant, id).await,
        store.find_campaign_or_deleted(tenant, id).await,
    ] {
        assert_eq!(found.unwrap().as_ref(), Some(&started));
    }
    let found = store
        .find_campaign_or_deleted(fresh(TenantId::new), id)
        .await;
    assert_eq!(found.unwrap(), None);
}
