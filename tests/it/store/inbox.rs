use std::{sync::Arc, time::Duration};

use dialtone::{
    domain::{
        attempt::Party,
        ids::{AttemptId, EnrollmentId, TenantId},
        outcome::{Fault, FaultClass},
        report::AgentReport,
        signal::{CallEnd, Signal, SignalKind},
    },
    store::InboxEntry,
};

use super::{data::*, home::Home};

fn entry(tenant: TenantId, key: &str, received_after: u64, kind: SignalKind) -> InboxEntry {
    InboxEntry {
        key: key.to_owned(),
        tenant,
        attempt: AttemptId {
            enrollment: fresh(EnrollmentId::new),
            number: 1,
        },
        received_at: NOW + seconds(received_after),
        signal: Signal {
            sid: Some("CA1".parse().unwrap()),
            at: NOW,
            kind,
        },
    }
}

// proves F-86: another tenant's equal key is another key
pub async fn a_repeated_signal_is_received_once(home: Arc<Home>) {
    let (store, other) = (home.open().await, home.open().await);
    let tenant = fresh(TenantId::new);
    let ringing = entry(tenant, "CA1/ringing", 0, SignalKind::Ringing);
    let (a, b) = tokio::join!(store.receive(&ringing), other.receive(&ringing));
    assert!(a.unwrap() ^ b.unwrap());
    store.settle(tenant, "CA1/ringing", NOW).await.unwrap();
    assert!(!store.receive(&ringing).await.unwrap());
    let foreign = InboxEntry {
        tenant: fresh(TenantId::new),
        ..ringing
    };
    assert!(store.receive(&foreign).await.unwrap());
}

pub async fn signals_stay_until_they_are_settled(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let over = SignalKind::Over {
        end: CallEnd::Failed(Fault {
            class: FaultClass::Number,
            code: Some(32_009),
            detail: "no such number".to_owned(),
        }),
        duration: Some(Duration::from_secs(3)),
        network_code: Some(404),
    };
    let left = SignalKind::MediaEnded {
        by: Some(Party::Callee),
    };
    let entries = [
        entry(tenant, "c", 3, over),
        entry(tenant, "a", 1, SignalKind::Placed),
        entry(tenant, "b", 2, left),
    ];
    for entry in &entries {
        assert!(store.receive(entry).await.unwrap());
    }
    let unsettled = async |before, n| {
        store
            .unsettled(tenant, NOW + seconds(before), limit(n))
            .await
            .unwrap()
    };
    let [c, a, b] = entries;
    assert_eq!(unsettled(4, 9).await, [a.clone(), b.clone(), c.clone()]);
    assert_eq!(unsettled(4, 2).await, [a.clone(), b.clone()]);
    assert_eq!(unsettled(2, 9).await, std::slice::from_ref(&a));
    store.settle(tenant, "b", NOW + seconds(5)).await.unwrap();
    assert_eq!(unsettled(4, 9).await, [a.clone(), c.clone()]);

    // Only what is settled is forgotten; then its key is new again.
    store
        .forget_settled(tenant, NOW + seconds(2))
        .await
        .unwrap();
    assert!(!store.receive(&b).await.unwrap());
    store
        .forget_settled(tenant, NOW + seconds(9))
        .await
        .unwrap();
    assert!(store.receive(&b).await.unwrap());
    assert_eq!(unsettled(4, 9).await, [a, b, c]);
}

pub async fn an_unreadable_signal_is_no_obstacle_to_the_others(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let entries = [("a", 1), ("b", 2), ("c", 3)]
        .map(|(key, after)| entry(tenant, key, after, SignalKind::Placed));
    for entry in &entries {
        assert!(store.receive(entry).await.unwrap());
    }
    home.damage("inbox", ("key", "a"), "attempt").await;
    let late = NOW + seconds(9);
    let unsettled = store.unsettled(tenant, late, limit(1)).await.unwrap();
    assert_eq!(unsettled, entries[1..2]);
    let unsettled = store.unsettled(tenant, late, limit(9)).await.unwrap();
    assert_eq!(unsettled, entries[1..]);
}

pub async fn a_report_is_received_whole(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let report = report(&"conv_1".parse().unwrap());
    let whole = entry(tenant, "report", 0, SignalKind::Reported { report });
    let kind = SignalKind::Reported {
        report: AgentReport::new("conv_2".parse().unwrap()),
    };
    let empty = entry(tenant, "empty", 1, kind);
    for entry in [&whole, &empty] {
        assert!(store.receive(entry).await.unwrap());
    }
    let left = store.unsettled(tenant, NOW + seconds(9), limit(9)).await;
    assert_eq!(left.unwrap(), [whole, empty]);
}
