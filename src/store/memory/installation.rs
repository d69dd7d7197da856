//! What is kept about the installation as a whole.

use async_trait::async_trait;

use super::{MemoryStore, to_millisecond};
use crate::{
    domain::{
        halt::{Halt, HaltScope, Halts},
        ids::TenantId,
    },
    store::{self, Deployment, StoreResult},
};

#[async_trait]
impl store::Installation for MemoryStore {
    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        Ok(self.records().deployment.clone())
    }

    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()> {
        self.records().deployment = Some(deployment.clone());
        Ok(())
    }

    async fn halts(&self, tenant: TenantId) -> StoreResult<Halts> {
        let halts = &self.records().halts;
        Ok(Halts {
            tenant: halts.get(&HaltScope::Tenant(tenant)).cloned(),
            installation: halts.get(&HaltScope::Installation).cloned(),
        })
    }

    async fn save_halt(&self, scope: HaltScope, halt: Option<&Halt>) -> StoreResult<()> {
        let halts = &mut self.records().halts;
        match halt {
            Some(halt) => {
                let at = to_millisecond(halt.at);
                halts.insert(scope, Halt { at, ..halt.clone() });
            }
            None => {
                halts.remove(&scope);
            }
        }
        Ok(())
    }
}
