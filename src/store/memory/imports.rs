//! Uploaded lists and the rows that were not accepted.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        audience::{Import, RejectedRow},
        ids::{ImportId, TenantId},
    },
    store::{
        self, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
    },
};

/// All uploaded lists.
#[derive(Default)]
pub struct Imports {
    by_id: BTreeMap<ImportId, Import>,
    rejected: BTreeMap<(TenantId, ImportId, u64), RejectedRow>,
}

impl Imports {
    /// The rows of a tenant's lists that were not accepted.
    pub fn rejected_of(&self, tenant: TenantId) -> impl Iterator<Item = (ImportId, &RejectedRow)> {
        self.rejected
            .iter()
            .filter(move |((owner, _, _), _)| *owner == tenant)
            .map(|((_, import, _), row)| (*import, row))
    }
}

#[async_trait]
impl store::Imports for MemoryStore {
    async fn save_import(&self, import: &Import) -> StoreResult<()> {
        let imports = &mut self.records().imports.by_id;
        if imports
            .get(&import.id)
            .is_some_and(|kept| kept.tenant != import.tenant)
        {
            return Err(StoreError::Conflict {
                record: import.id.to_string(),
            });
        }
        imports.insert(import.id, import.clone());
        Ok(())
    }

    async fn find_import(&self, tenant: TenantId, id: ImportId) -> StoreResult<Option<Import>> {
        let records = self.records();
        let import = records.imports.by_id.get(&id);
        Ok(import.filter(|import| import.tenant == tenant).cloned())
    }

    async fn add_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        rows: &[RejectedRow],
    ) -> StoreResult<()> {
        let mut records = self.records();
        let keyed = rows
            .iter()
            .map(|row| ((tenant, import, row.line), row.clone()));
        records.imports.rejected.extend(keyed);
        Ok(())
    }

    async fn list_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        page: &PageRequest,
    ) -> StoreResult<Page<RejectedRow>> {
        let after = Position::read(page.cursor.as_deref(), Position::START)?;
        let records = self.records();
        let all = (tenant, import, 0)..=(tenant, import, u64::MAX);
        let rows = records.imports.rejected.range(all);
        let total = rows.clone().count() as u64;
        let later = rows
            .map(|((_, _, line), row)| (i64::try_from(*line).unwrap_or(i64::MAX), row))
            .filter(|(line, _)| *line > after.number)
            .take(page.limit.get() as usize + 1)
            .map(|(line, row)| (Position::at(line, ""), row.clone()));
        Ok(paging::cut(later.collect(), page.limit, total))
    }
}
