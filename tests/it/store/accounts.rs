use std::sync::Arc;

use dialtone::{
    domain::{
        access::{Role, Session, User},
        ids::{SessionId, TenantId, UserId},
    },
    store::StoreError,
};

use super::{data::*, home::Home};

pub fn user(tenant: TenantId) -> User {
    User {
        id: fresh(UserId::new),
        tenant,
        email: "ann@example.com".to_owned(),
        password_hash: "$argon2id$v=19$…".to_owned(),
        role: Role::Manager,
        created_at: NOW,
    }
}

pub fn session(user: &User) -> Session {
    Session {
        id: fresh(SessionId::new),
        tenant: user.tenant,
        user: user.id,
        role: user.role,
        expires_at: NOW + seconds(60),
    }
}

pub async fn an_address_is_taken_once(home: Arc<Home>) {
    let store = home.open().await;
    let ann = user(fresh(TenantId::new));
    assert_eq!(store.count_users().await.unwrap(), 0);
    store.insert_user(&ann).await.unwrap();
    let taken = store.insert_user(&user(fresh(TenantId::new))).await;
    assert!(
        matches!(&taken, Err(StoreError::Taken { what }) if *what == ann.email),
        "{taken:?}"
    );
    assert_eq!(store.count_users().await.unwrap(), 1);
    let found = store.find_user(ann.tenant, ann.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&ann));
    let found = store.find_user_by_email(&ann.email).await.unwrap();
    assert_eq!(found, Some(ann));
    let unknown = store.find_user_by_email("ben@example.com").await.unwrap();
    assert_eq!(unknown, None);
}

pub async fn a_session_lives_until_it_is_deleted(home: Arc<Home>) {
    let store = home.open().await;
    let session = session(&user(fresh(TenantId::new)));
    store.insert_session(&session).await.unwrap();
    let find = || store.find_session(session.tenant, session.id);
    assert_eq!(find().await.unwrap(), Some(session.clone()));
    store
        .delete_session(fresh(TenantId::new), session.id)
        .await
        .unwrap();
    assert_eq!(find().await.unwrap(), Some(session.clone()));
    store
        .delete_session(session.tenant, session.id)
        .await
        .unwrap();
    assert_eq!(find().await.unwrap(), None);
}
