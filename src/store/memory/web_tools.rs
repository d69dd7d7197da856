//! Tools that tenants define.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryStore, to_whole_milliseconds};
use crate::{
    domain::{
        ids::TenantId,
        web_tool::{ToolName, WebTool},
    },
    store::{self, StoreResult},
};

/// All tenants' tools.
#[derive(Default)]
pub struct WebTools {
    by_name: BTreeMap<(TenantId, ToolName), WebTool>,
}

#[async_trait]
impl store::WebTools for MemoryStore {
    async fn list_web_tools(&self, tenant: TenantId) -> StoreResult<Vec<WebTool>> {
        let records = self.records();
        let tools = records.web_tools.by_name.iter();
        let own = tools.filter(|((owner, _), _)| *owner == tenant);
        Ok(own.map(|(_, tool)| tool.clone()).collect())
    }

    async fn find_web_tool(
        &self,
        tenant: TenantId,
        name: &ToolName,
    ) -> StoreResult<Option<WebTool>> {
        let tools = &self.records().web_tools.by_name;
        Ok(tools.get(&(tenant, name.clone())).cloned())
    }

    async fn save_web_tool(&self, tenant: TenantId, tool: &WebTool) -> StoreResult<()> {
        let kept = WebTool {
            time_limit: to_whole_milliseconds(tool.time_limit),
            ..tool.clone()
        };
        let tools = &mut self.records().web_tools.by_name;
        tools.insert((tenant, tool.name.clone()), kept);
        Ok(())
    }

    async fn delete_web_tool(&self, tenant: TenantId, name: &ToolName) -> StoreResult<bool> {
        let tools = &mut self.records().web_tools.by_name;
        Ok(tools.remove(&(tenant, name.clone())).is_some())
    }
}
