//! What is kept about the installation as a whole.

use async_trait::async_trait;
use mongodb::bson::doc;

use super::{MongoStore, documents};
use crate::{
    domain::{
        halt::{Halt, HaltScope, Halts},
        ids::TenantId,
    },
    store::{
        Deployment, Installation, StoreResult,
        records::{self, DeploymentRecord, HaltRecord},
    },
};

const DEPLOYMENT: &str = "deployment";

#[async_trait]
impl Installation for MongoStore {
    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        let kept = self.collection("installation");
        let found = documents::find::<DeploymentRecord>(&kept, doc! {"_id": DEPLOYMENT}).await?;
        Ok(found.map(Deployment::from))
    }

    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()> {
        let document = documents::write(&DeploymentRecord(deployment.clone()), doc! {})?;
        self.collection("installation")
            .replace_one(doc! {"_id": DEPLOYMENT}, document)
            .upsert(true)
            .await?;
        Ok(())
    }

    async fn halts(&self, tenant: TenantId) -> StoreResult<Halts> {
        let (own, all) = (HaltScope::Tenant(tenant), HaltScope::Installation);
        let (tenant, installation) = tokio::try_join!(find_halt(self, own), find_halt(self, all))?;
        Ok(Halts {
            tenant,
            installation,
        })
    }

    async fn save_halt(&self, scope: HaltScope, halt: Option<&Halt>) -> StoreResult<()> {
        let kept = self.collection("installation");
        let one = doc! {"_id": records::halt_key(scope)};
        match halt {
            Some(halt) => {
                let document = documents::write(&HaltRecord(halt.clone()), doc! {})?;
                kept.replace_one(one, document).upsert(true).await?;
            }
            None => {
                kept.delete_one(one).await?;
            }
        }
        Ok(())
    }
}

async fn find_halt(store: &MongoStore, scope: HaltScope) -> StoreResult<Option<Halt>> {
    let kept = store.collection("installation");
    let one = doc! {"_id": records::halt_key(scope)};
    let found = documents::find::<HaltRecord>(&kept, one).await?;
    Ok(found.map(Halt::from))
}
