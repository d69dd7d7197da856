//! What is kept about the installation as a whole.

use async_trait::async_trait;
use mongodb::bson::doc;

use super::{MongoStore, documents};
use crate::store::{Deployment, Installation, StoreResult, records::DeploymentRecord};

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
}
