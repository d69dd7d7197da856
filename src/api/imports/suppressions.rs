//! An uploaded list of those who must not be contacted.

use std::{
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Multipart, Request, State},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt as _, sync::mpsc};
use utoipa::{IntoParams, ToSchema};

use super::{RejectedView, form, worker_died};
use crate::{
    api::{
        ApiState,
        auth::Manager,
        error::{ApiError, ApiResult},
        extract::Params,
        suppressions::{checked_reason, region_of, scope_of},
    },
    domain::{
        Timestamp,
        ids::{SuppressionId, TenantId},
        phone::Region,
        suppression::{Scope, Suppression, SuppressionSource},
    },
    engine::EngineResult,
    import::{ListError, SuppressionReader, SuppressionRow},
};

/// How many rows are added at once.
const BATCH: usize = 1000;

/// How many batches may wait between reading and adding.
const BATCHES_WAITING: usize = 4;

/// How many of the rejected rows the answer shows.
const SHOWN: usize = 1000;

/// What holds for every row of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SuppressionListParams {
    /// `all` or one channel; all without it.
    scope: Option<String>,
    /// The reason of rows that have none, up to 500 characters.
    reason: Option<String>,
    /// The country of numbers without `+`; the installation's without it.
    region: Option<String>,
}

/// The one part of the form.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form in the API document")]
pub struct SuppressionForm {
    /// The list: UTF-8, with a column of numbers, one of e-mail addresses, or both.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// What became of a list of those who must not be contacted.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedSuppressions {
    /// Rows read.
    pub rows: u64,
    /// How many entries are new. A row with a number and an address makes two.
    pub added: u64,
    /// How many were in force before.
    pub known: u64,
    /// Rows with something that is neither a number nor an address.
    pub rejected: u64,
    /// The first 1,000 of them. What could be used of such a row is on the list.
    pub rejected_rows: Vec<RejectedView>,
}

/// What each row's entry has in common.
struct Common {
    tenant: TenantId,
    region: Region,
    scope: Scope,
    reason: Option<String>,
    now: Timestamp,
}

/// Adds a list of people who must not be contacted any more, of any length. Columns are found by
/// their usual spellings: phone, e-mail, reason, time; a list of numbers alone needs no header. What
/// is on the list already stays as it is, so the same list again changes nothing.
///
/// `POST /suppressions/import`: the CSV as the body (`text/csv`), or as the part `file` of a form. 422
/// when it cannot be read to its end; what was read before is on the list.
#[utoipa::path(post, path = "/suppressions/import", tag = "suppressions",
    params(SuppressionListParams),
    request_body(content((String = "text/csv"), (SuppressionForm = "multipart/form-data"))),
    responses((status = 200, body = ImportedSuppressions), (status = 413), (status = 415),
        (status = 422)))]
pub async fn import(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Params(params): Params<SuppressionListParams>,
    request: Request,
) -> ApiResult<Json<ImportedSuppressions>> {
    let common = Common {
        tenant: caller.tenant,
        region: region_of(params.region.as_deref(), state.region)?,
        scope: scope_of(params.scope.as_deref())?,
        reason: checked_reason(params.reason.as_deref().unwrap_or_default())?,
        now: state.engine.clock().now(),
    };
    let file = receive(&state, request).await?;
    // A task of its own: an uploader who leaves must not leave half a list behind.
    let adding = state
        .tasks
        .clone()
        .spawn(async move { add_all(&state, file, &common).await });
    let imported = adding.await.map_err(|_| worker_died())??;
    Ok(Json(imported))
}

/// Writes the list to an unnamed file as it comes.
async fn receive(state: &ApiState, request: Request) -> ApiResult<File> {
    if is(request.headers(), "multipart/form-data") {
        let form = Multipart::from_request(request, state).await;
        return of_form(form.map_err(|error| ApiError::invalid(error.body_text()))?).await;
    }
    if is(request.headers(), "text/csv") || is(request.headers(), "text/plain") {
        return of_body(request.into_body(), state.max_upload_bytes).await;
    }
    let detail = "send the list as text/csv, or as the part `file` of multipart/form-data";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiError::new(status, "notCsv", detail))
}

fn is(headers: &HeaderMap, content_type: &str) -> bool {
    let named = headers.get(header::CONTENT_TYPE);
    let named = named.and_then(|value| value.to_str().ok());
    named.is_some_and(|named| named.to_ascii_lowercase().starts_with(content_type))
}

async fn of_form(mut form: Multipart) -> ApiResult<File> {
    let mut file = None;
    while let Some(mut field) = form.next_field().await.map_err(form::broken_form)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let detail = "unknown; expected file";
            return Err(ApiError::field(&format!("/{name}"), "unknown", detail));
        }
        file = Some(form::to_disk(&mut field).await?);
    }
    file.ok_or_else(|| ApiError::field("/file", "missing", "the list is missing"))
}

async fn of_body(body: Body, most_bytes: u64) -> ApiResult<File> {
    let file = tempfile::tempfile().map_err(form::no_room)?;
    let mut writer = tokio::io::BufWriter::new(tokio::fs::File::from_std(file));
    let mut chunks = body.into_data_stream();
    let mut n_bytes = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, "brokenBody", error.to_string())
        })?;
        n_bytes += chunk.len() as u64;
        if n_bytes > most_bytes {
            let detail = format!("an upload has at most {most_bytes} bytes");
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "tooLarge",
                detail,
            ));
        }
        writer.write_all(&chunk).await.map_err(form::no_room)?;
    }
    writer.flush().await.map_err(form::no_room)?;
    Ok(writer.into_inner().into_std().await)
}

/// Reads the list to its end, adding batch by batch.
async fn add_all(
    state: &ApiState,
    mut file: File,
    common: &Common,
) -> ApiResult<ImportedSuppressions> {
    file.seek(SeekFrom::Start(0)).map_err(ListError::Read)?;
    let (batches, mut received) = mpsc::channel(BATCHES_WAITING);
    let region = common.region;
    let reading = tokio::task::spawn_blocking(move || read(file, region, &batches));
    let mut imported = ImportedSuppressions::default();
    while let Some(batch) = received.recv().await {
        add(state, common, batch, &mut imported).await?;
    }
    reading.await.map_err(|_| worker_died())??;
    tracing::info!(
        n_added = imported.added,
        n_known = imported.known,
        n_rejected = imported.rejected,
        "suppressions imported"
    );
    Ok(imported)
}

fn read(
    file: File,
    region: Region,
    batches: &mpsc::Sender<Vec<SuppressionRow>>,
) -> Result<(), ListError> {
    let mut batch = Vec::with_capacity(BATCH);
    let result = SuppressionReader::open(BufReader::new(file), region).and_then(|rows| {
        for row in rows {
            batch.push(row?);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if batches.blocking_send(full).is_err() {
                    // The adding failed and says so itself.
                    return Ok(());
                }
            }
        }
        Ok(())
    });
    // What was read before an error counts too.
    if !batch.is_empty() {
        drop(batches.blocking_send(batch));
    }
    result
}

async fn add(
    state: &ApiState,
    common: &Common,
    rows: Vec<SuppressionRow>,
    imported: &mut ImportedSuppressions,
) -> EngineResult<()> {
    let clock = state.engine.clock();
    let mut entries = Vec::new();
    for row in rows {
        imported.rows += 1;
        let at = row.at.unwrap_or(common.now).min(common.now);
        let reason = row.reason.or_else(|| common.reason.clone());
        entries.extend(row.subjects.into_iter().map(|subject| Suppression {
            id: SuppressionId::new(clock.new_uuid()),
            tenant: common.tenant,
            subject,
            scope: common.scope,
            source: SuppressionSource::Import,
            reason: reason.clone(),
            at,
        }));
        if let Some(rejected) = row.rejected {
            imported.rejected += 1;
            if imported.rejected_rows.len() < SHOWN {
                imported.rejected_rows.push(rejected.into());
            }
        }
    }
    let n_entries = entries.len() as u64;
    let n_added = state.engine.suppress(common.tenant, entries).await?;
    imported.added += n_added;
    imported.known += n_entries - n_added;
    Ok(())
}
