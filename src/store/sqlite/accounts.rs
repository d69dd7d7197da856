//! Users and sessions.

use async_trait::async_trait;
use rusqlite::params;

use super::{SqliteStore, from_sql, is_taken, reads};
use crate::{
    domain::{
        access::{Session, User},
        ids::{SessionId, TenantId, UserId},
    },
    store::{
        Accounts, StoreError, StoreResult,
        records::{self, SessionRecord, UserRecord},
    },
};

#[async_trait]
impl Accounts for SqliteStore {
    async fn insert_user(&self, user: &User) -> StoreResult<()> {
        let record = UserRecord(user.clone());
        self.write(move |connection| {
            let user = &record.0;
            connection
                .prepare_cached(
                    "INSERT INTO users (id, tenant, email, body) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    user.id.to_string(),
                    user.tenant.to_string(),
                    user.email,
                    records::to_json(&record)
                ])
                .map_err(|error| match is_taken(&error) {
                    true => StoreError::Taken {
                        what: user.email.clone(),
                    },
                    false => error.into(),
                })?;
            Ok(())
        })
        .await
    }

    async fn find_user_by_email(&self, email: &str) -> StoreResult<Option<User>> {
        let email = email.to_owned();
        self.read(move |connection| {
            let found = reads::bodies::<UserRecord>(
                connection,
                "a user",
                "SELECT body FROM users WHERE email = ?1",
                [email],
            )?;
            Ok(found.into_iter().next().map(User::from))
        })
        .await
    }

    async fn find_user(&self, tenant: TenantId, id: UserId) -> StoreResult<Option<User>> {
        self.read(move |connection| {
            let found = reads::bodies::<UserRecord>(
                connection,
                "a user",
                "SELECT body FROM users WHERE id = ?1 AND tenant = ?2",
                [id.to_string(), tenant.to_string()],
            )?;
            Ok(found.into_iter().next().map(User::from))
        })
        .await
    }

    async fn count_users(&self) -> StoreResult<u64> {
        self.read(|connection| {
            let n_users: i64 = connection
                .prepare_cached("SELECT count(*) FROM users")?
                .query_row([], |row| row.get(0))?;
            Ok(from_sql(n_users))
        })
        .await
    }

    async fn insert_session(&self, session: &Session) -> StoreResult<()> {
        let record = SessionRecord(session.clone());
        self.write(move |connection| {
            let id = record.0.id.to_string();
            connection
                .prepare_cached("INSERT INTO sessions (id, tenant, body) VALUES (?1, ?2, ?3)")?
                .execute(params![
                    id,
                    record.0.tenant.to_string(),
                    records::to_json(&record)
                ])
                .map_err(|error| match is_taken(&error) {
                    true => StoreError::Taken { what: id },
                    false => error.into(),
                })?;
            Ok(())
        })
        .await
    }

    async fn find_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<Option<Session>> {
        self.read(move |connection| {
            let found = reads::bodies::<SessionRecord>(
                connection,
                "a session",
                "SELECT body FROM sessions WHERE id = ?1 AND tenant = ?2",
                [id.to_string(), tenant.to_string()],
            )?;
            Ok(found.into_iter().next().map(Session::from))
        })
        .await
    }

    async fn delete_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<()> {
        self.write(move |connection| {
            connection
                .prepare_cached("DELETE FROM sessions WHERE id = ?1 AND tenant = ?2")?
                .execute([id.to_string(), tenant.to_string()])?;
            Ok(())
        })
        .await
    }
}
