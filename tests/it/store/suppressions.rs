use std::sync::Arc;

use dialtone::{
    domain::{
        holiday::Holidays,
        ids::{SuppressionId, TenantId, UserId},
        register::RegisterName,
        suppression::{Channel, Scope, Subject, Suppression, SuppressionSource},
    },
    store::{Lift, PageRequest, Store, SuppressionEntry, TenantRules},
};
use tokio::task::JoinSet;

use super::{data::*, home::Home};

fn phone(i: u32) -> Subject {
    Subject::Phone(people(i, 1)[0].member.phone.clone())
}

fn email() -> Subject {
    Subject::Email("ann@example.com".to_owned())
}

fn entry(tenant: TenantId, subject: Subject, scope: Scope, after: u64) -> Suppression {
    Suppression {
        id: fresh(SuppressionId::new),
        tenant,
        subject,
        scope,
        source: SuppressionSource::Keypad,
        reason: Some("pressed 9".to_owned()),
        at: NOW + seconds(after),
    }
}

fn lift() -> Lift {
    Lift {
        at: NOW + seconds(500),
        by: Some(fresh(UserId::new)),
        reason: Some("was a mistake".to_owned()),
    }
}

// proves F-50
pub async fn a_suppression_is_added_once_and_never_replaced(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let voice = Scope::Channel(Channel::Voice);
    let first = [
        entry(tenant, phone(1), Scope::All, 0),
        entry(tenant, phone(1), voice, 1),
        entry(tenant, email(), Scope::All, 2),
        entry(tenant, Subject::Hash("a1".to_owned()), Scope::All, 3),
    ];
    assert_eq!(store.add_suppressions(&first).await.unwrap(), 4);
    assert_eq!(store.add_suppressions(&first).await.unwrap(), 0);
    let weaker = Suppression {
        source: SuppressionSource::Import,
        reason: None,
        ..entry(tenant, phone(1), Scope::All, 99)
    };
    let mut more = vec![weaker.clone(), weaker];
    more.extend([9, 9].map(|after| entry(tenant, phone(2), voice, after)));
    assert_eq!(store.add_suppressions(&more).await.unwrap(), 1);

    let found = async |subjects: &[Subject]| {
        let found = store.suppressions_of(tenant, subjects).await;
        found.unwrap()
    };
    assert_eq!(found(&[phone(1)]).await, first[..2]);
    // Asked for by everything that is known of a person.
    let known = [Subject::Hash("a1".to_owned()), email(), phone(1), email()];
    assert_eq!(found(&known).await, first);
    assert_eq!(found(&[phone(2)]).await, more[2..3]);
    assert_eq!(found(&[phone(3)]).await, []);
    assert_eq!(found(&[]).await, []);
}

pub async fn lists_that_are_added_at_once_add_each_person_once(home: Arc<Home>) {
    let handles = [home.open().await, home.open().await];
    let tenant = fresh(TenantId::new);
    let mut adding = JoinSet::new();
    for i in 0..6 {
        let store = handles[i % 2].clone();
        let entries: Vec<_> = (0..50)
            .map(|i| entry(tenant, phone(i), Scope::All, 0))
            .collect();
        adding.spawn(async move { store.add_suppressions(&entries).await.unwrap() });
    }
    assert_eq!(adding.join_all().await.into_iter().sum::<u64>(), 50);
    let listed = list(&*handles[0], tenant, None).await;
    assert_eq!(listed.len(), 50);
}

async fn list(store: &dyn Store, tenant: TenantId, search: Option<&str>) -> Vec<SuppressionEntry> {
    let mut items = Vec::new();
    let mut page = PageRequest::first(2);
    loop {
        let found = store.list_suppressions(tenant, search, &page).await;
        let found = found.unwrap();
        items.extend(found.items);
        match found.next {
            Some(cursor) => page.cursor = Some(cursor),
            None => {
                assert_eq!(found.total, items.len() as u64);
                return items;
            }
        }
    }
}

pub async fn a_lifted_suppression_stays_in_the_list(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let old = entry(tenant, phone(1), Scope::All, 0);
    let other = entry(tenant, email(), Scope::All, 1);
    let both = [old.clone(), other.clone()];
    store.add_suppressions(&both).await.unwrap();
    let lift = lift();
    assert!(store.lift_suppression(tenant, old.id, &lift).await.unwrap());
    // The first word on it stands.
    assert!(!store.lift_suppression(tenant, old.id, &lift).await.unwrap());
    let unknown = fresh(SuppressionId::new);
    assert!(
        !store
            .lift_suppression(tenant, unknown, &lift)
            .await
            .unwrap()
    );
    let in_force = async || {
        let subjects = [phone(1), email()];
        store.suppressions_of(tenant, &subjects).await.unwrap()
    };
    assert_eq!(in_force().await, std::slice::from_ref(&other));

    // Asked for again, it is in force again, beside what was.
    let again = entry(tenant, phone(1), Scope::All, 600);
    let n_new = store.add_suppressions(std::slice::from_ref(&again)).await;
    assert_eq!(n_new.unwrap(), 1);
    assert_eq!(in_force().await, [other.clone(), again.clone()]);
    let listed = |suppression: &Suppression, lifted| SuppressionEntry {
        suppression: suppression.clone(),
        lifted,
    };
    let newest_first = [
        listed(&again, None),
        listed(&other, None),
        listed(&old, Some(lift)),
    ];
    assert_eq!(list(&*store, tenant, None).await, newest_first);
}

pub async fn suppressions_are_searched_by_subject_and_reason(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let number = entry(tenant, phone(1234), Scope::All, 2);
    let address = entry(tenant, email(), Scope::All, 1);
    let hash = Suppression {
        reason: Some("asked for 100% erasure".to_owned()),
        ..entry(tenant, Subject::Hash("1234".to_owned()), Scope::All, 0)
    };
    let all = [number.clone(), address.clone(), hash.clone()];
    store.add_suppressions(&all).await.unwrap();
    for (search, expected) in [
        ("1234", vec![&number]),
        ("ANN@", vec![&address]),
        ("Pressed", vec![&number, &address]),
        ("100%", vec![&hash]),
        (".", vec![&address]),
        ("$reason", vec![]),
    ] {
        let found = list(&*store, tenant, Some(search)).await;
        let found: Vec<_> = found.iter().map(|entry| &entry.suppression).collect();
        assert_eq!(found, expected, "{search}");
    }
}

// proves F-86
pub async fn suppressions_of_one_tenant_are_not_anothers(home: Arc<Home>) {
    let store = home.open().await;
    let (tenant, foreign) = (fresh(TenantId::new), fresh(TenantId::new));
    let own = entry(tenant, phone(1), Scope::All, 0);
    let theirs = entry(foreign, phone(1), Scope::All, 0);
    let both = [own.clone(), theirs];
    assert_eq!(store.add_suppressions(&both).await.unwrap(), 2);
    let refused = store.lift_suppression(foreign, own.id, &lift()).await;
    assert!(!refused.unwrap());
    let found = store.suppressions_of(tenant, &[phone(1)]).await;
    assert_eq!(found.unwrap(), [own]);
    let nobody = fresh(TenantId::new);
    let found = store.suppressions_of(nobody, &[phone(1)]).await;
    assert_eq!(found.unwrap(), []);
    assert_eq!(list(&*store, nobody, None).await, []);
    store.save_holidays(tenant, &christmas_eve()).await.unwrap();
    store.keep_salt(tenant, "s").await.unwrap();
    let name = "us-national".parse().unwrap();
    store.save_register_copy(tenant, &name, NOW).await.unwrap();
    let kept = store.tenant_rules(nobody).await.unwrap();
    assert_eq!(kept, TenantRules::default());
}

fn christmas_eve() -> Holidays {
    let mut holidays = Holidays::default();
    holidays.add(None, "2026-12-24".parse().unwrap(), "Christmas Eve");
    let texas = "Texas Independence Day";
    holidays.add("US-TX".parse().ok(), "2027-03-02".parse().unwrap(), texas);
    holidays
}

pub async fn the_first_salt_of_a_tenant_stays(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let kept = store.tenant_rules(tenant).await.unwrap();
    assert_eq!((kept.salt, kept.holidays), (None, Holidays::default()));
    for salt in ["first", "second"] {
        let kept = store.keep_salt(tenant, salt).await.unwrap();
        assert_eq!(kept, "first");
    }
    let kept = store.tenant_rules(tenant).await.unwrap();
    assert_eq!(kept.salt.as_deref(), Some("first"));

    // Of processes that start at the same moment, all go on with one salt.
    let other = fresh(TenantId::new);
    let mut saving = JoinSet::new();
    for i in 0..4 {
        let store = home.open().await;
        saving.spawn(async move {
            let salt = format!("salt {i}");
            store.keep_salt(other, &salt).await.unwrap()
        });
    }
    let salts = saving.join_all().await;
    assert!(salts.iter().all(|salt| *salt == salts[0]), "{salts:?}");
}

pub async fn what_a_tenant_sets_is_saved_part_by_part(home: Arc<Home>) {
    let store = home.open().await;
    let name: RegisterName = "us-national".parse().unwrap();
    // Whichever is saved first, the others find it as it is.
    for first in 0..3 {
        let tenant = fresh(TenantId::new);
        for part in (0..3).map(|n| (first + n) % 3) {
            match part {
                0 => store.save_holidays(tenant, &christmas_eve()).await.unwrap(),
                1 => drop(store.keep_salt(tenant, "salt").await.unwrap()),
                _ => {
                    let saved = store.save_register_copy(tenant, &name, NOW).await;
                    saved.unwrap();
                }
            }
        }
        let kept = store.tenant_rules(tenant).await.unwrap();
        let expected = TenantRules {
            holidays: christmas_eve(),
            registers: [(name.clone(), NOW)].into_iter().collect(),
            salt: Some("salt".to_owned()),
        };
        assert_eq!(kept, expected, "{first} first");
        let none = Holidays::default();
        store.save_holidays(tenant, &none).await.unwrap();
        let kept = store.tenant_rules(tenant).await.unwrap();
        let holidays = none;
        assert_eq!(
            kept,
            TenantRules {
                holidays,
                ..expected
            }
        );
    }
    // At once, from several processes.
    for _ in 0..10 {
        let tenant = fresh(TenantId::new);
        let [one, two, three] = [home.open().await, home.open().await, home.open().await];
        let days = christmas_eve();
        let (holidays, salt, copy) = tokio::join!(
            one.save_holidays(tenant, &days),
            two.keep_salt(tenant, "salt"),
            three.save_register_copy(tenant, &name, NOW),
        );
        holidays.unwrap();
        assert_eq!(salt.unwrap(), "salt");
        copy.unwrap();
        let kept = store.tenant_rules(tenant).await.unwrap();
        assert_eq!(kept.holidays, days);
        assert_eq!(kept.salt.as_deref(), Some("salt"));
        assert_eq!(kept.registers.taken_at(&name), Some(NOW));
    }
}

// proves F-72
pub async fn the_latest_copy_of_each_register_is_known(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let [national, texas]: [RegisterName; 2] =
        ["us-national", "us-texas"].map(|name| name.parse().unwrap());
    for (name, after) in [
        (&national, 50),
        (&national, 90),
        (&national, 70),
        (&texas, 10),
    ] {
        let taken_at = NOW + seconds(after);
        let saved = store.save_register_copy(tenant, name, taken_at).await;
        saved.unwrap();
    }
    let kept = store.tenant_rules(tenant).await.unwrap().registers;
    let copies: Vec<_> = kept.iter().collect();
    let expected = [(&national, NOW + seconds(90)), (&texas, NOW + seconds(10))];
    assert_eq!(copies, expected);
}
