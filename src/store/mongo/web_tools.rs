//! Tools that tenants define.

use async_trait::async_trait;
use mongodb::bson::doc;

use super::{MongoStore, documents, is_taken};
use crate::{
    domain::{
        ids::TenantId,
        web_tool::{ToolName, WebTool},
    },
    store::{StoreResult, WebTools, records::WebToolRecord},
};

const COLLECTION: &str = "webTools";

/// The `_id` of a tool. Neither part has a slash in it.
fn key(tenant: TenantId, name: &ToolName) -> String {
    format!("{tenant}/{name}")
}

#[async_trait]
impl WebTools for MongoStore {
    async fn list_web_tools(&self, tenant: TenantId) -> StoreResult<Vec<WebTool>> {
        let found = self
            .collection(COLLECTION)
            .find(doc! {"tenant": tenant.to_string()})
            .sort(doc! {"name": 1})
            .await?;
        let found = documents::read_all::<WebToolRecord>(found).await?;
        Ok(found.into_iter().map(WebTool::from).collect())
    }

    async fn find_web_tool(
        &self,
        tenant: TenantId,
        name: &ToolName,
    ) -> StoreResult<Option<WebTool>> {
        let one = doc! {"_id": key(tenant, name)};
        let found = documents::find::<WebToolRecord>(&self.collection(COLLECTION), one).await?;
        Ok(found.map(WebTool::from))
    }

    async fn save_web_tool(&self, tenant: TenantId, tool: &WebTool) -> StoreResult<()> {
        let more = doc! {"tenant": tenant.to_string()};
        let document = documents::write(&WebToolRecord(tool.clone()), more)?;
        let tools = self.collection(COLLECTION);
        let one = doc! {"_id": key(tenant, &tool.name)};
        let save = || {
            tools
                .replace_one(one.clone(), document.clone())
                .upsert(true)
        };
        match save().await {
            // Another process saved the first one at this moment: now it is there to be replaced.
            Err(error) if is_taken(&error) => save().await?,
            saved => saved?,
        };
        Ok(())
    }

    async fn delete_web_tool(&self, tenant: TenantId, name: &ToolName) -> StoreResult<bool> {
        let one = doc! {"_id": key(tenant, name)};
        let deleted = self.collection(COLLECTION).delete_one(one).await?;
        Ok(deleted.deleted_count > 0)
    }
}
