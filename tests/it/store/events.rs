use std::{collections::BTreeSet, sync::Arc, time::Duration};

use dialtone::{
    domain::{
        attempt::Party,
        campaign::Campaign,
        event::{Event, EventKind, Moment, StoredEvent, TranscriptLine},
        ids::{AttemptId, EnrollmentId},
    },
    store::Store,
};
use futures_util::{Stream, StreamExt};
use tokio::task::JoinSet;

use super::{data::*, home::Home};

fn enrolled(campaign: &Campaign, n: u64) -> Event {
    Event {
        tenant: campaign.tenant,
        campaign: campaign.id,
        at: NOW,
        kind: EventKind::Enrolled { n },
    }
}

pub async fn a_log_is_read_in_order(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let attempt = AttemptId {
        enrollment: fresh(EnrollmentId::new),
        number: 1,
    };
    let of_call = |kind| Event {
        kind,
        ..enrolled(&campaign, 0)
    };
    let moment = |moment| of_call(EventKind::Timeline { attempt, moment });
    let line = TranscriptLine {
        turn: 1,
        speaker: Party::Agent,
        text: "Hello \u{1F600}".to_owned(),
        is_final: true,
        interrupted: false,
        latency: Some(Duration::from_millis(700)),
    };
    let added = [
        enrolled(&campaign, 7),
        moment(Moment::KeyPressed { digit: '#' }),
        of_call(EventKind::Transcript { attempt, line }),
        moment(Moment::Hinted {
            by: "owner@example.com".to_owned(),
            text: "She is called Ann".to_owned(),
        }),
        moment(Moment::MediaEnded { by: None }),
        moment(Moment::VerdictMissing),
        moment(Moment::RecordingDeleted),
        moment(Moment::Priced {
            price: Some(price()),
        }),
        moment(Moment::Priced { price: None }),
    ];
    assert_eq!(last_seq(&*store, &campaign).await, 0);
    store.append_events(&added[..1]).await.unwrap();
    store.append_events(&added[1..]).await.unwrap();
    store.append_events(&[]).await.unwrap();

    let log = after(&*store, &campaign, 0, 9).await;
    assert!(log[0].seq >= 1 && log.is_sorted_by(|a, b| a.seq < b.seq));
    let events: Vec<_> = log.iter().map(|stored| stored.event.clone()).collect();
    assert_eq!(events, added);
    assert_eq!(log.len(), added.len());
    assert_eq!(last_seq(&*store, &campaign).await, log[8].seq);
    assert_eq!(after(&*store, &campaign, log[1].seq, 1).await, log[2..3]);
    assert_eq!(after(&*store, &campaign, log[8].seq, 9).await, []);
    let call = store.call_events(campaign.tenant, attempt).await.unwrap();
    assert_eq!(call, log[1..]);
}

async fn last_seq(store: &dyn Store, campaign: &Campaign) -> u64 {
    store.last_seq(campaign.tenant, campaign.id).await.unwrap()
}

async fn after(store: &dyn Store, campaign: &Campaign, seq: u64, n: u32) -> Vec<StoredEvent> {
    store
        .events_after(campaign.tenant, campaign.id, seq, limit(n))
        .await
        .unwrap()
}

pub async fn concurrent_writers_share_one_rising_order(home: Arc<Home>) {
    let handles = [home.open().await, home.open().await];
    let campaign = active_campaign(&*handles[0], 0).await;
    let mut writers = JoinSet::new();
    for i in 0..16 {
        let (store, campaign) = (handles[i % 2].clone(), campaign.clone());
        writers.spawn(async move {
            for n in 0..5 {
                let events = [enrolled(&campaign, n), enrolled(&campaign, n)];
                store.append_events(&events).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    let log = after(&*handles[1], &campaign, 0, 500).await;
    assert_eq!(log.len(), 160);
    let numbers: BTreeSet<_> = log.iter().map(|stored| stored.seq).collect();
    assert_eq!(numbers.len(), 160);
    assert!(log.is_sorted_by_key(|stored| stored.seq));
}

/// Only SQLite promises this.
pub async fn the_numbers_of_a_log_have_no_gaps(home: Arc<Home>) {
    let handles = [home.open().await, home.open().await];
    let campaign = active_campaign(&*handles[0], 1).await;
    let holder = lease(&*handles[0], &campaign).await;
    let claimed = handles[0].claim_due(&claim(&campaign, holder, 1)).await;
    let open = opened(&claimed.unwrap()[0], NOW);
    let mut writers = JoinSet::new();
    for i in 0..20 {
        let (store, open) = (handles[i % 2].clone(), open.clone());
        writers.spawn(async move {
            let events = store.append_events(&open.events).await;
            // One of these is saved; the others take their number back with them.
            (events.is_ok(), store.commit(&open).await.is_ok())
        });
    }
    let done = writers.join_all().await;
    assert!(done.iter().all(|(appended, _)| *appended));
    assert_eq!(done.iter().filter(|(_, saved)| *saved).count(), 1);
    let log = after(&*handles[0], &campaign, 0, 500).await;
    let numbers: Vec<_> = log.iter().map(|stored| stored.seq).collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<_>>());
}

pub async fn a_watcher_sees_what_is_committed_from_any_handle(home: Arc<Home>) {
    let (store, other) = (home.open().await, home.open().await);
    let campaign = active_campaign(&*store, 1).await;
    let before = enrolled(&campaign, 1);
    store.append_events(&[before]).await.unwrap();
    let mut watched = store.watch_events().await.unwrap();

    other
        .append_events(&[enrolled(&campaign, 2)])
        .await
        .unwrap();
    assert_eq!(next(&mut watched).await.event, enrolled(&campaign, 2));
    let many: Vec<_> = (3..40).map(|n| enrolled(&campaign, n)).collect();
    store.append_events(&many).await.unwrap();
    let holder = lease(&*store, &campaign).await;
    let claimed = other.claim_due(&claim(&campaign, holder, 1)).await.unwrap();
    let open = opened(&claimed[0], NOW);
    other.commit(&open).await.unwrap();

    let mut seen = Vec::new();
    for _ in 0..many.len() + 1 {
        seen.push(next(&mut watched).await);
    }
    let log = after(&*store, &campaign, 0, 500).await;
    assert_eq!(seen, log[2..]);
    assert_eq!(seen.last().unwrap().event, open.events[0]);
}

async fn next(events: &mut (impl Stream<Item = StoredEvent> + Unpin)) -> StoredEvent {
    tokio::time::timeout(Duration::from_secs(10), events.next())
        .await
        .expect("an event comes within 10 s")
        .expect("the stream lasts as long as the store")
}
