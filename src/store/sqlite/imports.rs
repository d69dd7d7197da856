//! Uploaded lists and the rows that were not accepted.

use async_trait::async_trait;
use rusqlite::params;

use super::{SqliteStore, from_sql, reads, to_sql};
use crate::{
    domain::{
        audience::{Import, RejectedRow},
        ids::{ImportId, TenantId},
    },
    store::{
        Imports, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
        records::{self, ImportRecord, RejectedRecord},
    },
};

#[async_trait]
impl Imports for SqliteStore {
    async fn save_import(&self, import: &Import) -> StoreResult<()> {
        let record = ImportRecord(import.clone());
        self.write(move |connection| {
            let (id, tenant) = (record.0.id.to_string(), record.0.tenant.to_string());
            let n_saved = connection
                .prepare_cached(
                    "INSERT INTO imports (id, tenant, body) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET body = excluded.body
                     WHERE tenant = excluded.tenant",
                )?
                .execute(params![id, tenant, records::to_json(&record)])?;
            match n_saved {
                0 => Err(StoreError::Conflict { record: id }),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn find_import(&self, tenant: TenantId, id: ImportId) -> StoreResult<Option<Import>> {
        self.read(move |connection| {
            let found = reads::bodies::<ImportRecord>(
                connection,
                "an import",
                "SELECT body FROM imports WHERE id = ?1 AND tenant = ?2",
                [id.to_string(), tenant.to_string()],
            )?;
            Ok(found.into_iter().next().map(Import::from))
        })
        .await
    }

    async fn add_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        rows: &[RejectedRow],
    ) -> StoreResult<()> {
        let rows = rows.to_vec();
        self.write(move |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO rejected_rows (tenant, import, line, body)
                 VALUES (?1, ?2, ?3, ?4)",
            )?;
            for row in rows {
                insert.execute(params![
                    tenant.to_string(),
                    import.to_string(),
                    to_sql(row.line),
                    records::to_json(&RejectedRecord(row))
                ])?;
            }
            Ok(())
        })
        .await
    }

    async fn list_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        page: &PageRequest,
    ) -> StoreResult<Page<RejectedRow>> {
        let after = Position::read(page.cursor.as_deref(), Position::START)?;
        let limit = page.limit;
        self.read(move |connection| {
            let key = (tenant.to_string(), import.to_string());
            let total: i64 = connection
                .prepare_cached(
                    "SELECT count(*) FROM rejected_rows WHERE tenant = ?1 AND import = ?2",
                )?
                .query_row(params![key.0, key.1], |row| row.get(0))?;
            let found = reads::bodies::<RejectedRecord>(
                connection,
                "a rejected row",
                "SELECT body FROM rejected_rows WHERE tenant = ?1 AND import = ?2 AND line > ?3
                 ORDER BY line LIMIT ?4",
                params![key.0, key.1, after.number, i64::from(limit.get()) + 1],
            )?;
            let rows = found
                .into_iter()
                .map(|record| (Position::at(to_sql(record.0.line), ""), record.0));
            Ok(paging::cut(rows.collect(), limit, from_sql(total)))
        })
        .await
    }
}
