//! Users and sessions.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        access::{Session, User},
        ids::{SessionId, TenantId, UserId},
    },
    store::{self, StoreError, StoreResult},
};

/// Who may sign in.
#[derive(Default)]
pub struct Accounts {
    users: BTreeMap<UserId, User>,
    sessions: BTreeMap<SessionId, Session>,
}

#[async_trait]
impl store::Accounts for MemoryStore {
    async fn insert_user(&self, user: &User) -> StoreResult<()> {
        let users = &mut self.records().accounts.users;
        if users
            .values()
            .any(|known| known.id == user.id || known.email == user.email)
        {
            return Err(StoreError::Taken {
                what: user.email.clone(),
            });
        }
        users.insert(user.id, user.clone());
        Ok(())
    }

    async fn find_user_by_email(&self, email: &str) -> StoreResult<Option<User>> {
        let records = self.records();
        let mut users = records.accounts.users.values();
        Ok(users.find(|user| user.email == email).cloned())
    }

    async fn find_user(&self, tenant: TenantId, id: UserId) -> StoreResult<Option<User>> {
        let records = self.records();
        let user = records.accounts.users.get(&id);
        Ok(user.filter(|user| user.tenant == tenant).cloned())
    }

    async fn count_users(&self) -> StoreResult<u64> {
        Ok(self.records().accounts.users.len() as u64)
    }

    async fn insert_session(&self, session: &Session) -> StoreResult<()> {
        let sessions = &mut self.records().accounts.sessions;
        if sessions.contains_key(&session.id) {
            return Err(StoreError::Taken {
                what: session.id.to_string(),
            });
        }
        sessions.insert(session.id, session.clone());
        Ok(())
    }

    async fn find_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<Option<Session>> {
        let records = self.records();
        let session = records.accounts.sessions.get(&id);
        Ok(session.filter(|session| session.tenant == tenant).cloned())
    }

    async fn delete_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<()> {
        let sessions = &mut self.records().accounts.sessions;
        sessions.retain(|known, session| *known != id || session.tenant != tenant);
        Ok(())
    }
}
