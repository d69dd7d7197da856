//! What is kept about the installation as a whole.

use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteStore, reads};
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

    async fn halts(&self, tenant: TenantId) -> StoreResult<Halts> {
        self.read(move |connection| {
            Ok(Halts {
                tenant: find_halt(connection, HaltScope::Tenant(tenant))?,
                installation: find_halt(connection, HaltScope::Installation)?,
            })
        })
        .await
    }

    async fn save_halt(&self, scope: HaltScope, halt: Option<&Halt>) -> StoreResult<()> {
        let body = halt.map(|halt| records::to_json(&HaltRecord(halt.clone())));
        self.write(move |connection| {
            let key = records::halt_key(scope);
            match body {
                Some(body) => connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO installation (name, body) VALUES (?1, ?2)",
                    )?
                    .execute([key, body])?,
                None => connection
                    .prepare_cached("DELETE FROM installation WHERE name = ?1")?
                    .execute([key])?,
            };
            Ok(())
        })
        .await
    }
}

fn find_halt(connection: &Connection, scope: HaltScope) -> StoreResult<Option<Halt>> {
    let found = reads::bodies::<HaltRecord>(
        connection,
        "an emergency stop",
        "SELECT body FROM installation WHERE name = ?1",
        [records::halt_key(scope)],
    )?;
    Ok(found.into_iter().next().map(Halt::from))
}
