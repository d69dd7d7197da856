//! What is kept about the installation as a whole.

use async_trait::async_trait;

use super::{SqliteStore, reads};
use crate::store::{
    Deployment, Installation, StoreResult,
    records::{self, DeploymentRecord},
};

#[async_trait]
impl Installation for SqliteStore {
    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        self.read(|connection| {
            let found = reads::bodies::<DeploymentRecord>(
                connection,
                "the deployment",
                "SELECT body FROM installation WHERE name = 'deployment'",
                [],
            )?;
            Ok(found.into_iter().next().map(Deployment::from))
        })
        .await
    }

    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()> {
        let body = records::to_json(&DeploymentRecord(deployment.clone()));
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO installation (name, body) VALUES ('deployment', ?1)",
                )?
                .execute([body])?;
            Ok(())
        })
        .await
    }
}
