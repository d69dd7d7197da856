use std::{collections::BTreeSet, sync::Arc};

use dialtone::domain::{
    audience::NewEnrollment,
    consent::{Consent, ConsentKind},
    contact::Contact,
    ids::{ContactId, TenantId},
};
use tokio::task::JoinSet;

use super::{data::*, home::Home};

fn consent(kind: ConsentKind, after: u64) -> Consent {
    Consent {
        kind,
        source: "web form".to_owned(),
        at: NOW + seconds(after),
    }
}

fn with(change: impl Fn(&mut NewEnrollment)) -> Vec<NewEnrollment> {
    let mut person = people(0, 1);
    change(&mut person[0]);
    person
}

// proves F-50
pub async fn the_address_book_learns_and_never_forgets(home: Arc<Home>) {
    let store = home.open().await;
    let first = active_campaign(&*store, 0).await;
    let tenant = first.tenant;
    let bare = people(0, 2);
    store.enroll(tenant, first.id, &bare, NOW).await.unwrap();
    let mut expected = Contact::of(&bare[0].member, bare[0].contact, tenant, NOW);
    let found = async || {
        let found = store.find_contact(tenant, bare[0].contact).await.unwrap();
        found.expect("it was added")
    };
    assert_eq!(found().await, expected);

    // Each list brings a little more; what is known stays, also when a list has no word of it.
    let second = campaign_beside(&*store, &first).await;
    let zone = "America/Denver".parse().ok();
    let stated = with(|person| {
        person.member.zone = zone.clone();
        person.member.name = Some("Somebody else".to_owned());
    });
    let late = NOW + seconds(9);
    store
        .enroll(tenant, second.id, &stated, late)
        .await
        .unwrap();
    expected.zone = zone;
    assert_eq!(found().await, expected);
    let third = campaign_beside(&*store, &first).await;
    let agreed = with(|person| {
        person.member.zone = "Asia/Tokyo".parse().ok();
        person.member.email = Some("ann@example.com".to_owned());
        person.member.consent = Some(consent(ConsentKind::Written, 5));
    });
    store.enroll(tenant, third.id, &agreed, late).await.unwrap();
    expected.email = agreed[0].member.email.clone();
    expected.consent = agreed[0].member.consent.clone();
    assert_eq!(found().await, expected);
    let fourth = campaign_beside(&*store, &first).await;
    let silent = people(0, 1);
    store
        .enroll(tenant, fourth.id, &silent, late)
        .await
        .unwrap();
    assert_eq!(found().await, expected);

    // Even a person whom the campaign has already.
    let taken_back = with(|person| {
        person.member.consent = Some(consent(ConsentKind::Withdrawn, 6));
    });
    let known = store.enroll(tenant, fourth.id, &taken_back, late).await;
    assert_eq!(known.unwrap(), [0]);
    expected.consent = taken_back[0].member.consent.clone();
    assert_eq!(found().await, expected);
}

pub async fn contacts_are_found_by_id_and_by_number(home: Arc<Home>) {
    let store = home.open().await;
    let campaign = active_campaign(&*store, 0).await;
    let tenant = campaign.tenant;
    let mut new = people(0, 3);
    new[1].member.consent = Some(consent(ConsentKind::Implied, 0));
    store.enroll(tenant, campaign.id, &new, NOW).await.unwrap();
    let expected: BTreeSet<ContactId> = new[..2].iter().map(|one| one.contact).collect();
    let ids = |contacts: Vec<Contact>| -> BTreeSet<ContactId> {
        contacts.into_iter().map(|contact| contact.id).collect()
    };
    let asked = [new[0].contact, new[1].contact, fresh(ContactId::new)];
    let found = store.contacts_of(tenant, &asked).await.unwrap();
    assert_eq!(ids(found), expected);
    let phones: Vec<_> = [&new[0], &new[1], &people(9, 1)[0]]
        .map(|one| one.member.phone.clone())
        .into();
    let found = store.contacts_by_phone(tenant, &phones).await.unwrap();
    let agreed = found.iter().filter(|contact| contact.consent.is_some());
    assert_eq!(agreed.count(), 1);
    assert_eq!(ids(found), expected);
    assert_eq!(store.contacts_of(tenant, &[]).await.unwrap(), []);

    // proves F-86
    let foreign = fresh(TenantId::new);
    let found = store.find_contact(foreign, new[0].contact).await;
    assert_eq!(found.unwrap(), None);
    assert_eq!(store.contacts_of(foreign, &asked).await.unwrap(), []);
    let found = store.contacts_by_phone(foreign, &phones).await;
    assert_eq!(found.unwrap(), []);
}

pub async fn lists_that_teach_at_once_lose_nothing(home: Arc<Home>) {
    let handles = [home.open().await, home.open().await];
    let first = active_campaign(&*handles[0], 30).await;
    let tenant = first.tenant;
    let mut teaching = JoinSet::new();
    for i in 0..6 {
        let store = handles[i % 2].clone();
        let campaign = campaign_beside(&*store, &first).await;
        let mut list = people(0, 30);
        for person in &mut list {
            match i % 3 {
                0 => person.member.zone = "America/Denver".parse().ok(),
                1 => person.member.email = Some("ann@example.com".to_owned()),
                _ => person.member.consent = Some(consent(ConsentKind::Express, 0)),
            }
        }
        teaching.spawn(async move {
            let added = store.enroll(tenant, campaign.id, &list, NOW).await;
            added.unwrap()
        });
    }
    teaching.join_all().await;
    let phones: Vec<_> = people(0, 30)
        .into_iter()
        .map(|one| one.member.phone)
        .collect();
    let known = handles[0].contacts_by_phone(tenant, &phones).await.unwrap();
    assert_eq!(known.len(), 30);
    for contact in known {
        let is_known = contact.zone.is_some() && contact.email.is_some();
        assert!(is_known && contact.consent.is_some(), "{contact:?}");
    }
}
