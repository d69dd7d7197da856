//! Lists: uploaded to a file, read row by row, and enrolled in batches.
//!
//! An upload is written to disk first, because its parts may come in any order and a list may be
//! larger than memory. Reading blocks and so has a thread of its own; a short queue joins it to the
//! enrolling, so that memory stays flat whatever the length of the list. A list of those who must not
//! be contacted goes the same way.

mod form;
mod reading;
pub mod suppressions;

use std::fs::File;

use axum::{
    Json,
    body::Body,
    extract::{Multipart, State, multipart::MultipartRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use self::form::CsvForm;
use super::{
    ApiState,
    auth::{Caller, Manager},
    campaigns::{self, CampaignView},
    error::{ApiError, ApiResult},
    extract::{Id, List, PageParams, Params, page_request},
};
use crate::{
    domain::{
        Timestamp,
        audience::{Import, ImportStatus, RejectedRow},
        campaign::CampaignAction,
        ids::{ImportId, TenantId},
    },
    engine::CampaignEdit,
    import::ListSettings,
    store::{PageRequest, StoreError},
};

/// An uploaded list and what became of its rows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportView {
    /// Ours.
    pub id: String,
    /// Into which campaign.
    pub campaign_id: String,
    /// As the uploader called it.
    pub file_name: String,
    /// running, finished or failed.
    pub status: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Rows read: the sum of the next three.
    pub rows: u64,
    /// Rows that became contacts of the campaign.
    pub accepted: u64,
    /// Rows whose number the file or the campaign already had.
    pub duplicates: u64,
    /// Rows that could not be used.
    pub rejected: u64,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl From<&Import> for ImportView {
    fn from(import: &Import) -> Self {
        let reason = match &import.status {
            ImportStatus::Failed { reason } => Some(reason.clone()),
            ImportStatus::Running | ImportStatus::Finished => None,
        };
        Self {
            id: import.id.to_string(),
            campaign_id: import.campaign.to_string(),
            file_name: import.file_name.clone(),
            status: import.status.name().to_owned(),
            reason,
            rows: import.n_rows,
            accepted: import.n_accepted,
            duplicates: import.n_duplicates,
            rejected: import.n_rejected,
            created_at: import.created_at,
            ended_at: import.ended_at,
        }
    }
}

/// A row that did not become a contact of the campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedView {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// A stable name for the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// The header of the column at fault.
    pub column: Option<String>,
    /// The row's cells.
    pub cells: Vec<String>,
}

impl From<RejectedRow> for RejectedView {
    fn from(row: RejectedRow) -> Self {
        let RejectedRow {
            line,
            code,
            reason,
            column,
            cells,
        } = row;
        Self {
            line,
            code,
            reason,
            column,
            cells,
        }
    }
}

/// A campaign made from a list, and what became of the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct StartedFromCsv {
    /// The campaign.
    pub campaign: CampaignView,
    /// What became of the rows.
    pub import: ImportView,
}

/// Creates a campaign from a list and starts it, unless told not to.
///
/// `POST /campaigns/start-from-csv`: 201 with what became of every row; 422 when the form or the
/// list cannot be used. When the list breaks off in the middle, what was read stays in the campaign,
/// which is then not started, and the answer names both.
#[utoipa::path(post, path = "/campaigns/start-from-csv", tag = "imports",
    request_body(content = CsvForm, content_type = "multipart/form-data"),
    responses((status = 201, body = StartedFromCsv), (status = 413), (status = 422)))]
pub async fn start_from_csv(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    form: Result<Multipart, MultipartRejection>,
) -> ApiResult<(StatusCode, Json<StartedFromCsv>)> {
    let form = form.map_err(|error| ApiError::invalid(error.body_text()))?;
    let upload = form::receive(form).await?;
    let edit = campaigns::edit_of(&state, &upload.new)?;
    let settings = ListSettings {
        mapping: upload.mapping,
        ..ListSettings::new(edit.region, state.engine.clock().now())
    };
    let file = reading::check_list(upload.file, settings.clone(), &edit).await?;

    // A task of its own: an uploader who leaves must not leave half a list behind.
    let started = state.tasks.clone().spawn(async move {
        let list = CheckedList {
            file,
            file_name: upload.file_name,
            settings,
        };
        run_import(&state, caller.tenant, edit, list, upload.start).await
    });
    let started = started.await.map_err(|_| worker_died())??;
    Ok((StatusCode::CREATED, Json(started)))
}

/// A list that was looked at and can be read.
struct CheckedList {
    file: File,
    file_name: String,
    settings: ListSettings,
}

/// Creates the campaign, reads the list into it, and starts it.
async fn run_import(
    state: &ApiState,
    tenant: TenantId,
    edit: CampaignEdit,
    list: CheckedList,
    start: bool,
) -> ApiResult<StartedFromCsv> {
    let campaign = state.engine.create_campaign(tenant, edit).await?;
    let import =
        reading::read_into(state, &campaign, list.file_name, list.file, list.settings).await?;
    if let ImportStatus::Failed { reason } = &import.status {
        return Err(
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "listBroken", reason)
                .with_record("campaignId", campaign.id)
                .with_record("importId", import.id),
        );
    }
    if import.n_accepted == 0 {
        let detail = "the list has nobody who can be called; see the import's rejected rows";
        return Err(
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "listNoContacts", detail)
                .with_record("campaignId", campaign.id)
                .with_record("importId", import.id),
        );
    }
    let campaign = if start {
        state
            .engine
            .change_status(tenant, campaign.id, CampaignAction::Start)
            .await?
    } else {
        campaign
    };
    let campaign = campaigns::view(state, &campaign).await?;
    Ok(StartedFromCsv {
        campaign,
        import: ImportView::from(&import),
    })
}

fn worker_died() -> ApiError {
    let detail = "reading the list failed; the log says why";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}

async fn load(state: &ApiState, tenant: TenantId, id: ImportId) -> ApiResult<Import> {
    let import = state.engine.store().find_import(tenant, id).await?;
    import.ok_or_else(|| ApiError::not_found("import"))
}

/// One import.
#[utoipa::path(get, path = "/imports/{id}", tag = "imports", params(("id" = String, Path)),
    responses((status = 200, body = ImportView), (status = 404)))]
pub async fn get(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<ImportId>,
) -> ApiResult<Json<ImportView>> {
    Ok(Json(ImportView::from(
        &load(&state, caller.tenant, id).await?,
    )))
}

/// The rows that did not become contacts of the campaign, by line.
#[utoipa::path(get, path = "/imports/{id}/rejected", tag = "imports",
    params(("id" = String, Path), PageParams),
    responses((status = 200, body = List<RejectedView>), (status = 404)))]
pub async fn rejected(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<ImportId>,
    Params(page): Params<PageParams>,
) -> ApiResult<Json<List<RejectedView>>> {
    load(&state, caller.tenant, id).await?;
    let page = page_request(page.limit, page.cursor)?;
    let page = state
        .engine
        .store()
        .list_rejected(caller.tenant, id, &page)
        .await?;
    Ok(Json(List::of(page, RejectedView::from)))
}

/// The rows that did not become contacts of the campaign, as a CSV with the reason in front.
#[utoipa::path(get, path = "/imports/{id}/rejected.csv", tag = "imports",
    params(("id" = String, Path)),
    responses((status = 200, content_type = "text/csv"), (status = 404)))]
pub async fn rejected_csv(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<ImportId>,
) -> ApiResult<Response> {
    let import = load(&state, caller.tenant, id).await?;
    let disposition = format!("attachment; filename=\"rejected-{}.csv\"", import.id);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    let head = stream::once(async { Ok(csv_of([HEADERS.map(str::to_owned).to_vec()])) });
    let body = head.chain(rejected_parts(state, import));
    Ok((headers, Body::from_stream(body)).into_response())
}

/// The first line of `rejected.csv`; the row's own cells follow under the last of them.
const HEADERS: [&str; 4] = ["line", "code", "reason", "cells"];

/// The rejected rows as CSV, a page at a time, so that memory stays flat.
fn rejected_parts(
    state: ApiState,
    import: Import,
) -> impl Stream<Item = Result<Vec<u8>, StoreError>> {
    stream::try_unfold(Some(PageRequest::first(1000)), move |page| {
        let (state, tenant, id) = (state.clone(), import.tenant, import.id);
        async move {
            let Some(page) = page else { return Ok(None) };
            let rows = state
                .engine
                .store()
                .list_rejected(tenant, id, &page)
                .await?;
            let next = rows.next.map(|cursor| PageRequest {
                cursor: Some(cursor),
                ..page
            });
            Ok(Some((csv_of(rows.items.into_iter().map(cells_of)), next)))
        }
    })
}

fn cells_of(row: RejectedRow) -> Vec<String> {
    let mut cells = vec![row.line.to_string(), row.code, row.reason];
    cells.extend(row.cells.iter().map(|cell| without_formula(cell)));
    cells
}

fn csv_of(records: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new()
        .flexible(true)
        .from_writer(Vec::new());
    for record in records {
        writer
            .write_record(record)
            .expect("a vector takes every byte");
    }
    writer.into_inner().expect("a vector takes every byte")
}

/// A cell that no spreadsheet takes for a formula (F-89). A number with its `+` is none.
fn without_formula(cell: &str) -> String {
    let is_number = cell.strip_prefix('+').is_some_and(|rest| {
        rest.bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'(' | b')'))
    });
    if !is_number && cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves F-89
    #[test]
    fn a_cell_cannot_become_a_formula() {
        assert_eq!(without_formula("=1+1"), "'=1+1");
        assert_eq!(without_formula("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(without_formula("+1 (202) 555-0143"), "+1 (202) 555-0143");
        assert_eq!(without_formula("+cmd|' /C calc'!A0"), "'+cmd|' /C calc'!A0");
    }
}
