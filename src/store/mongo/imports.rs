//! Uploaded lists and the rows that were not accepted.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use super::{
    MongoStore,
    documents::{self, Order, to_bson},
    is_taken,
};
use crate::{
    domain::{
        audience::{Import, RejectedRow},
        ids::{ImportId, TenantId},
    },
    store::{
        Imports, Page, PageRequest, StoreError, StoreResult,
        paging::{self, Position},
        records::{ImportRecord, RejectedRecord},
    },
};

#[async_trait]
impl Imports for MongoStore {
    async fn save_import(&self, import: &Import) -> StoreResult<()> {
        let document = documents::write(&ImportRecord(import.clone()), doc! {})?;
        let saved = self
            .collection("imports")
            .replace_one(one(import.tenant, import.id), document)
            .upsert(true)
            .await;
        match saved {
            Ok(_) => Ok(()),
            Err(error) if is_taken(&error) => Err(StoreError::Conflict {
                record: import.id.to_string(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    async fn find_import(&self, tenant: TenantId, id: ImportId) -> StoreResult<Option<Import>> {
        let imports = self.collection("imports");
        let found = documents::find::<ImportRecord>(&imports, one(tenant, id)).await?;
        Ok(found.map(Import::from))
    }

    async fn add_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        rows: &[RejectedRow],
    ) -> StoreResult<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let collection = self.collection("rejectedRows");
        let key = |row: &RejectedRow| format!("{tenant}/{import}/{}", row.line);
        let ids: Vec<String> = rows.iter().map(key).collect();
        let documents = rows.iter().map(|row| {
            let more = doc! {
                "_id": key(row),
                "tenant": tenant.to_string(),
                "import": import.to_string(),
            };
            documents::write(&RejectedRecord(row.clone()), more)
        });
        let documents = documents.collect::<StoreResult<Vec<_>>>()?;
        // Rows are added twice only when an import is done again after a fault.
        collection.delete_many(doc! {"_id": {"$in": ids}}).await?;
        collection.insert_many(documents).await?;
        Ok(())
    }

    async fn list_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        page: &PageRequest,
    ) -> StoreResult<Page<RejectedRow>> {
        let order = Order {
            field: "line",
            is_descending: false,
        };
        let matches = doc! {"import": import.to_string(), "tenant": tenant.to_string()};
        let rows = self.collection("rejectedRows");
        let (found, total) = documents::page(&rows, matches, order, page).await?;
        let rows = found.into_iter().map(|document| {
            let id = document.get_str("_id").unwrap_or_default().to_owned();
            let row = RejectedRow::from(documents::read::<RejectedRecord>(document)?);
            Ok((Position::at(to_bson(row.line), id), row))
        });
        let rows = rows.collect::<StoreResult<_>>()?;
        Ok(paging::cut(rows, page.limit, total))
    }
}

fn one(tenant: TenantId, id: ImportId) -> Document {
    doc! {"_id": id.to_string(), "tenant": tenant.to_string()}
}
