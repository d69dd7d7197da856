use std::sync::Arc;

use dialtone::{
    domain::{
        attempt::AttemptState,
        audience::{Import, ImportStatus, RejectedRow},
        campaign::CampaignStatus,
        enrollment::{Enrollment, Progress},
        ids::{AttemptId, CampaignId, ImportId, NodeId, TenantId},
        outcome::Outcome,
        rules::Rule,
    },
    store::{
        CallFilter, CampaignFilter, Commit, EnrollmentFilter, Fencing, InboxEntry, PageRequest,
        Store, StoreError,
    },
};

use super::{
    accounts::{session, user},
    data::*,
    home::Home,
};

/// A tenant's records, one of each kind.
struct Full {
    tenant: TenantId,
    campaign: CampaignId,
    campaign_version: u64,
    enrollment: Enrollment,
    attempt: AttemptId,
    import: ImportId,
    node: NodeId,
    fencing: Fencing,
}

async fn fill(store: &dyn Store) -> Full {
    let campaign = active_campaign(store, 3).await;
    let tenant = campaign.tenant;
    let holder = lease(store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let sid = sid(&open.enrollment);
    let dialing = moved(&open.enrollment, AttemptState::Dialing { sid });
    store.commit(&dialing).await.unwrap();
    let attempt = dialing.attempt.unwrap().id;
    let signal = dialtone::domain::signal::Signal {
        sid: None,
        at: NOW,
        kind: dialtone::domain::signal::SignalKind::Placed,
    };
    let entry = InboxEntry {
        key: "1".to_owned(),
        tenant,
        attempt,
        received_at: NOW,
        signal,
    };
    assert!(store.receive(&entry).await.unwrap());
    let import = Import {
        id: fresh(ImportId::new),
        tenant,
        campaign: campaign.id,
        file_name: String::new(),
        status: ImportStatus::Finished,
        n_rows: 1,
        n_accepted: 0,
        n_duplicates: 0,
        n_rejected: 1,
        created_at: NOW,
        ended_at: None,
    };
    store.save_import(&import).await.unwrap();
    let row = RejectedRow {
        line: 2,
        code: "phoneInvalid".to_owned(),
        reason: String::new(),
        column: None,
        cells: vec![],
    };
    store.add_rejected(tenant, import.id, &[row]).await.unwrap();
    Full {
        tenant,
        campaign: campaign.id,
        campaign_version: campaign.version,
        enrollment: dialing.enrollment,
        attempt,
        import: import.id,
        node: holder.0,
        fencing: holder.1,
    }
}

/// How many records each reading method gives `tenant` under the ids of `full`.
async fn reach(store: &dyn Store, tenant: TenantId, full: &Full) -> Vec<u64> {
    let first = PageRequest::first(9);
    let campaigns = CampaignFilter::default();
    let enrollments = EnrollmentFilter::default();
    let calls = CallFilter {
        campaign: Some(full.campaign),
        ..CallFilter::default()
    };
    let late = NOW + seconds(999);
    let (campaign, attempt, import) = (full.campaign, full.attempt, full.import);
    let found = |is_some: bool| u64::from(is_some);
    let listed = |len: usize| len as u64;
    vec![
        found(
            store
                .find_campaign(tenant, campaign)
                .await
                .unwrap()
                .is_some(),
        ),
        found(
            store
                .find_campaign_or_deleted(tenant, campaign)
                .await
                .unwrap()
                .is_some(),
        ),
        store
            .list_campaigns(tenant, &campaigns, &first)
            .await
            .unwrap()
            .total,
        found(store.progress(tenant, campaign).await.unwrap() != Progress::default()),
        found(
            store
                .find_enrollment(tenant, full.enrollment.id)
                .await
                .unwrap()
                .is_some(),
        ),
        store
            .list_enrollments(tenant, campaign, &enrollments, &first)
            .await
            .unwrap()
            .total,
        found(store.find_call(tenant, attempt).await.unwrap().is_some()),
        found(
            store
                .find_call_by_sid(tenant, &sid(&full.enrollment))
                .await
                .unwrap()
                .is_some(),
        ),
        store
            .list_calls(tenant, &calls, &first)
            .await
            .unwrap()
            .total,
        listed(store.active_campaigns(tenant).await.unwrap().len()),
        listed(store.usage(tenant).await.unwrap().len()),
        found(
            store
                .next_due(tenant, campaign, None)
                .await
                .unwrap()
                .is_some(),
        ),
        listed(store.overdue(tenant, late, limit(9)).await.unwrap().len()),
        listed(store.unsettled(tenant, late, limit(9)).await.unwrap().len()),
        listed(
            store
                .events_after(tenant, campaign, 0, limit(9))
                .await
                .unwrap()
                .len(),
        ),
        found(store.last_seq(tenant, campaign).await.unwrap() > 0),
        listed(store.call_events(tenant, attempt).await.unwrap().len()),
        found(store.find_import(tenant, import).await.unwrap().is_some()),
        store
            .list_rejected(tenant, import, &first)
            .await
            .unwrap()
            .total,
    ]
}

/// How much each counting method gives `tenant` under the ids of `full`.
async fn reach_figures(store: &dyn Store, tenant: TenantId, full: &Full) -> Vec<u64> {
    let campaign = full.campaign;
    let phone = full.enrollment.phone.known().unwrap();
    let waiting = store.waiting(tenant, campaign, NOW).await.unwrap();
    let by_rule = store.finished_by_rule(tenant, campaign).await.unwrap();
    let totals = store.call_totals(tenant, campaign, NOW).await.unwrap();
    let recent = store.recent_calls(tenant, campaign, limit(9)).await;
    let callers = store.caller_usage(tenant, NOW).await.unwrap();
    let here = [home_place()];
    let next = store.next_due(tenant, campaign, Some(&here)).await.unwrap();
    vec![
        store.places(tenant, campaign).await.unwrap().len() as u64,
        waiting.iter().map(|group| group.n).sum(),
        by_rule.values().sum(),
        totals.n_calls,
        recent.unwrap().len() as u64,
        callers.values().map(|usage| u64::from(usage.n)).sum(),
        store.attempts_to(tenant, phone, NOW).await.unwrap().len() as u64,
        store.open_calls_to(tenant, phone).await.unwrap().len() as u64,
        u64::from(next.is_some()),
        store.scheduled_campaigns(tenant).await.unwrap().len() as u64,
    ]
}

// proves F-86
pub async fn figures_of_one_tenant_are_not_anothers(home: Arc<Home>) {
    let store = home.open().await;
    let full = fill(&*store).await;
    let tenant = full.tenant;
    let holder = (full.node, full.fencing);
    let campaign = store.find_campaign(tenant, full.campaign).await.unwrap();
    let campaign = campaign.expect("it was filled");
    // Of three, one is on the phone; the second ends by a rule; the third was called and waits.
    let claimed = store.claim_due(&claim(&campaign, holder, 9)).await.unwrap();
    let never = ended_by(&claimed[0], Rule::AttemptBudget);
    store.commit(&never).await.unwrap();
    let open = opened(&claimed[1], NOW);
    store.commit(&open).await.unwrap();
    let sid = sid(&open.enrollment);
    let dialing = moved(&open.enrollment, AttemptState::Dialing { sid });
    store.commit(&dialing).await.unwrap();
    let busy = ended(&dialing.enrollment, Outcome::Busy, Some(NOW));
    store.commit(&busy).await.unwrap();
    let scheduled = super::data::campaign(tenant, CampaignStatus::Scheduled);
    store.insert_campaign(&scheduled).await.unwrap();

    let own = reach_figures(&*store, tenant, &full).await;
    assert_eq!(own, [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]);
    let foreign = fresh(TenantId::new);
    let reached = reach_figures(&*store, foreign, &full).await;
    assert_eq!(reached, vec![0; own.len()]);
}

// proves F-86
pub async fn nothing_of_one_tenant_is_reached_by_another(home: Arc<Home>) {
    let store = home.open().await;
    let full = fill(&*store).await;
    let own = reach(&*store, full.tenant, &full).await;
    assert_eq!(
        own,
        [1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 2, 1, 1]
    );
    let foreign = fresh(TenantId::new);
    assert_eq!(reach(&*store, foreign, &full).await, vec![0; own.len()]);

    let ann = user(full.tenant);
    store.insert_user(&ann).await.unwrap();
    let signed_in = session(&ann);
    store.insert_session(&signed_in).await.unwrap();
    assert_eq!(store.find_user(foreign, ann.id).await.unwrap(), None);
    let found = store.find_session(foreign, signed_in.id).await.unwrap();
    assert_eq!(found, None);

    // Writing does not reach across either.
    let mut taken = full.enrollment.clone();
    taken.tenant = foreign;
    taken.version += 1;
    let commit = Commit {
        enrollment: taken,
        attempt: None,
        events: vec![],
    };
    let refused = store.commit(&commit).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    let version = full.campaign_version;
    let refused = store.delete_campaign(foreign, full.campaign, version).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    store.settle(foreign, "1", NOW).await.unwrap();
    assert_eq!(reach(&*store, full.tenant, &full).await, own);
}
