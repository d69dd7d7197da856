//! Tools that tenants define.

use async_trait::async_trait;

use super::{SqliteStore, reads};
use crate::{
    domain::{
        ids::TenantId,
        web_tool::{ToolName, WebTool},
    },
    store::{
        StoreResult, WebTools,
        records::{self, WebToolRecord},
    },
};

const WHAT: &str = "a tenant's tool";

#[async_trait]
impl WebTools for SqliteStore {
    async fn list_web_tools(&self, tenant: TenantId) -> StoreResult<Vec<WebTool>> {
        self.read(move |connection| {
            let query = "SELECT body FROM web_tools WHERE tenant = ?1 ORDER BY name";
            let found =
                reads::bodies::<WebToolRecord>(connection, WHAT, query, [tenant.to_string()])?;
            Ok(found.into_iter().map(WebTool::from).collect())
        })
        .await
    }

    async fn find_web_tool(
        &self,
        tenant: TenantId,
        name: &ToolName,
    ) -> StoreResult<Option<WebTool>> {
        let key = [tenant.to_string(), name.to_string()];
        self.read(move |connection| {
            let query = "SELECT body FROM web_tools WHERE tenant = ?1 AND name = ?2";
            let found = reads::bodies::<WebToolRecord>(connection, WHAT, query, key)?;
            Ok(found.into_iter().next().map(WebTool::from))
        })
        .await
    }

    async fn save_web_tool(&self, tenant: TenantId, tool: &WebTool) -> StoreResult<()> {
        let body = records::to_json(&WebToolRecord(tool.clone()));
        let row = [tenant.to_string(), tool.name.to_string(), body];
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO web_tools (tenant, name, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET body = excluded.body",
                )?
                .execute(row)?;
            Ok(())
        })
        .await
    }

    async fn delete_web_tool(&self, tenant: TenantId, name: &ToolName) -> StoreResult<bool> {
        let key = [tenant.to_string(), name.to_string()];
        self.write(move |connection| {
            let n_deleted = connection
                .prepare_cached("DELETE FROM web_tools WHERE tenant = ?1 AND name = ?2")?
                .execute(key)?;
            Ok(n_deleted > 0)
        })
        .await
    }
}
