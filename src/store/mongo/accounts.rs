//! Users and sessions.

use async_trait::async_trait;
use mongodb::bson::doc;

use super::{MongoStore, documents, is_taken};
use crate::{
    domain::{
        access::{Session, User},
        ids::{SessionId, TenantId, UserId},
    },
    store::{
        Accounts, StoreError, StoreResult,
        records::{SessionRecord, UserRecord},
    },
};

#[async_trait]
impl Accounts for MongoStore {
    async fn insert_user(&self, user: &User) -> StoreResult<()> {
        let document = documents::write(&UserRecord(user.clone()), doc! {})?;
        match self.collection("users").insert_one(document).await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Err(StoreError::Taken {
                what: user.email.clone(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_user_by_email(&self, email: &str) -> StoreResult<Option<User>> {
        let users = self.collection("users");
        let found = documents::find::<UserRecord>(&users, doc! {"email": email}).await?;
        Ok(found.map(User::from))
    }

    async fn find_user(&self, tenant: TenantId, id: UserId) -> StoreResult<Option<User>> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        let found = documents::find::<UserRecord>(&self.collection("users"), one).await?;
        Ok(found.map(User::from))
    }

    async fn count_users(&self) -> StoreResult<u64> {
        Ok(self.collection("users").count_documents(doc! {}).await?)
    }

    async fn insert_session(&self, session: &Session) -> StoreResult<()> {
        let document = documents::write(&SessionRecord(session.clone()), doc! {})?;
        match self.collection("sessions").insert_one(document).await {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Err(StoreError::Taken {
                what: session.id.to_string(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<Option<Session>> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        let found = documents::find::<SessionRecord>(&self.collection("sessions"), one).await?;
        Ok(found.map(Session::from))
    }

    async fn delete_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<()> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        self.collection("sessions").delete_one(one).await?;
        Ok(())
    }
}
