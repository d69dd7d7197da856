//! What is kept about the installation as a whole.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{self, Deployment, StoreResult};

#[async_trait]
impl store::Installation for MemoryStore {
    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        Ok(self.records().deployment.clone())
    }

    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()> {
        self.records().deployment = Some(deployment.clone());
        Ok(())
    }
}
