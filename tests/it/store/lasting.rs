use std::{collections::BTreeMap, sync::Arc};

use dialtone::{
    domain::{
        attempt::AttemptState,
        halt::{Halt, HaltScope, Halts},
        ids::TenantId,
    },
    store::{Deployment, StoreError},
};
use mongodb::bson::doc;

use super::{
    accounts::{session, user},
    data::*,
    home::Home,
};

pub async fn a_store_that_works_says_so(home: Arc<Home>) {
    home.open().await.check().await.unwrap();
}

pub async fn everything_is_there_after_reopening(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 2).await;
    let tenant = campaign.tenant;
    store.ensure_tenant(tenant).await.unwrap();
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let ann = user(tenant);
    store.insert_user(&ann).await.unwrap();
    let signed_in = session(&ann);
    store.insert_session(&signed_in).await.unwrap();
    let progress = store.progress(tenant, campaign.id).await.unwrap();
    let log = store
        .events_after(tenant, campaign.id, 0, limit(9))
        .await
        .unwrap();
    drop(store);

    let store = home.open().await;
    assert_eq!(store.list_tenants().await.unwrap(), [tenant]);
    let found = store.find_campaign(tenant, campaign.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&campaign));
    let found = store.find_enrollment(tenant, claimed[0].id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&open.enrollment));
    let usage: BTreeMap<_, _> = store.usage(tenant).await.unwrap();
    assert_eq!(usage[&campaign.id].n_open, 1);
    assert_eq!(store.progress(tenant, campaign.id).await.unwrap(), progress);
    let kept = store.events_after(tenant, campaign.id, 0, limit(9)).await;
    assert_eq!(kept.unwrap(), log);
    assert_eq!(store.find_user(tenant, ann.id).await.unwrap(), Some(ann));
    let found = store.find_session(tenant, signed_in.id).await.unwrap();
    assert_eq!(found, Some(signed_in));
    // The lease is held on, under the same number.
    let held = store
        .hold_lease(tenant, holder.0, seconds(60), NOW)
        .await
        .unwrap();
    assert_eq!(held, Some(holder.1));
}

pub async fn the_deployment_is_kept(home: Arc<Home>) {
    let store = home.open().await;
    assert_eq!(store.deployment().await.unwrap(), None);
    let mut deployment = Deployment {
        identity: "dep_1".to_owned(),
        since: NOW,
        beat_at: NOW,
        calls_missing_since: Some(NOW),
    };
    store.save_deployment(&deployment).await.unwrap();
    drop(store);
    let store = home.open().await;
    assert_eq!(store.deployment().await.unwrap(), Some(deployment.clone()));
    deployment.beat_at = NOW + seconds(60);
    deployment.calls_missing_since = None;
    store.save_deployment(&deployment).await.unwrap();
    assert_eq!(store.deployment().await.unwrap(), Some(deployment));
}

// proves F-07
pub async fn emergency_stops_are_kept_until_they_are_lifted(home: Arc<Home>) {
    let store = home.open().await;
    let (own, other) = (fresh(TenantId::new), fresh(TenantId::new));
    let scope = HaltScope::Tenant(own);
    let none = Halts::default();
    assert_eq!(store.halts(own).await.unwrap(), none);
    let halt = |by: &str| Halt {
        at: NOW,
        by: by.to_owned(),
        reason: Some("wrong prompt".to_owned()),
        ends_talks: true,
    };
    let (ann, ben) = (halt("ann@example.com"), halt("ben@example.com"));
    store.save_halt(scope, Some(&ben)).await.unwrap();
    store.save_halt(scope, Some(&ann)).await.unwrap();
    let of_tenant = Halts {
        tenant: Some(ann.clone()),
        installation: None,
    };
    // By any handle, and by nobody else's name.
    let beside = home.open().await;
    assert_eq!(beside.halts(own).await.unwrap(), of_tenant);
    assert_eq!(beside.halts(other).await.unwrap(), none);

    let everywhere = HaltScope::Installation;
    store.save_halt(everywhere, Some(&ben)).await.unwrap();
    let of_both = Halts {
        tenant: Some(ann),
        installation: Some(ben.clone()),
    };
    assert_eq!(beside.halts(own).await.unwrap(), of_both);
    let of_all = Halts {
        tenant: None,
        installation: Some(ben),
    };
    assert_eq!(beside.halts(other).await.unwrap(), of_all);
    store.save_halt(scope, None).await.unwrap();
    assert_eq!(beside.halts(own).await.unwrap(), of_all);
    store.save_halt(everywhere, None).await.unwrap();
    store.save_halt(everywhere, None).await.unwrap();
    assert_eq!(beside.halts(own).await.unwrap(), none);
    assert_eq!(store.deployment().await.unwrap(), None);
}

pub async fn a_newer_schema_is_refused(home: Arc<Home>) {
    drop(home.open().await);
    home.pretend_newer().await;
    let refused = home.try_open().await.err();
    assert!(
        matches!(&refused, Some(StoreError::Unreadable { source, .. })
            if source.to_string().contains("999")),
        "{refused:?}"
    );
}

/// A single server has no transactions: the enrollment is saved with its call and events inside,
/// which are copied to their places next. This is what a crash between the two leaves behind.
pub async fn a_commit_that_was_cut_short_is_completed(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let tenant = campaign.tenant;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    cut_short(&home).await;

    // Completing it twice adds nothing.
    for _ in 0..2 {
        let store = home.open().await;
        let attempt = open.attempt.clone().unwrap();
        let call = store.find_call(tenant, attempt.id).await.unwrap();
        assert_eq!(call.map(|call| call.attempt), Some(attempt.clone()));
        let log = store.call_events(tenant, attempt.id).await.unwrap();
        assert_eq!(log.len(), 1);
    }
    assert_eq!(n_cut_short(&home).await, 0);
}

/// Who looks for a call is shown it even between the two.
pub async fn a_call_is_found_before_its_commit_is_complete(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 1).await;
    let tenant = campaign.tenant;
    let holder = lease(&*store, &campaign).await;
    let claimed = store.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    store.commit(&open).await.unwrap();
    let sid = sid(&open.enrollment);
    let dialing = AttemptState::Dialing { sid: sid.clone() };
    let dialing = moved(&open.enrollment, dialing);
    store.commit(&dialing).await.unwrap();
    let id = open.attempt.unwrap().id;

    cut_short(&home).await;
    let foreign = fresh(TenantId::new);
    assert_eq!(store.find_call(foreign, id).await.unwrap(), None);
    let call = store.find_call(tenant, id).await.unwrap();
    assert_eq!(call.map(|call| call.attempt), dialing.attempt);
    assert_eq!(n_cut_short(&home).await, 0);

    cut_short(&home).await;
    let call = store.find_call_by_sid(tenant, &sid).await.unwrap();
    assert_eq!(call.map(|call| call.attempt), dialing.attempt);
    assert_eq!(n_cut_short(&home).await, 0);

    let to = open.enrollment.phone.known().unwrap();
    cut_short(&home).await;
    let calls = store.open_calls_to(tenant, to).await.unwrap();
    assert_eq!(calls.len(), 1);
    cut_short(&home).await;
    let calls = store.attempts_to(tenant, to, NOW).await.unwrap();
    assert_eq!(calls.len(), 1);
}

/// Moves the only call and the latest event back into the enrollment, as they are between the two.
async fn cut_short(home: &Home) {
    let take = async |collection| {
        let documents = home.documents(collection).await;
        let taken = documents
            .find_one_and_delete(doc! {})
            .sort(doc! {"seq": -1});
        taken.await.unwrap().expect("the commit wrote one")
    };
    let pending = doc! {"call": take("calls").await, "events": [take("events").await]};
    let enrollments = home.documents("enrollments").await;
    let cut_short = doc! {"$set": {"pending": pending}};
    enrollments.update_one(doc! {}, cut_short).await.unwrap();
}

async fn n_cut_short(home: &Home) -> u64 {
    let enrollments = home.documents("enrollments").await;
    let left = enrollments.count_documents(doc! {"pending": {"$exists": true}});
    left.await.unwrap()
}

mod opening {
    use std::path::Path;

    use dialtone::store::{StoreError, mongo::MongoStore, sqlite::SqliteStore};

    #[test]
    fn a_file_that_cannot_be_opened_makes_the_store_unavailable() {
        let error = SqliteStore::open(Path::new("/nowhere/dialtone.db")).err();
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    }

    #[test]
    fn processes_that_start_together_open_one_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dialtone.db");
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SqliteStore::open(&path).map(drop)))
                .collect();
            for opened in opened {
                opened.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_file_of_something_else_is_unreadable() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dialtone.db");
        std::fs::write(&path, [b'x'; 5000]).unwrap();
        let error = SqliteStore::open(&path).err();
        assert!(
            matches!(error, Some(StoreError::Unreadable { .. })),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_makes_the_store_unavailable() {
        // Bound and closed again: nothing listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .unwrap()
            .port();
        let uri = format!("mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=300");
        let error = MongoStore::connect(&uri).await.err();
        assert!(
            matches!(error, Some(StoreError::Unavailable(_))),
            "{error:?}"
        );
    }
}
