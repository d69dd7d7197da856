//! An uploaded list of those who must not be contacted.

use std::{
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::{FromRequest as _, Multipart, Request, State},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt as _;
use jiff::{civil::Date, tz::Offset};
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
        register::{RegisterName, RegisterNameError},
        suppression::{Channel, Scope, Suppression, SuppressionSource},
    },
    engine::EngineResult,
    import::{ListError, SuppressionReader, SuppressionRow, code},
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
    /// The do-not-call register of which the list is a whole copy, such as `us-national`.
    register: Option<String>,
    /// When the copy was taken: a time or a day, such as `2026-11-02`; now without it.
    #[serde(rename = "asOf")]
    as_of: Option<String>,
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
    /// The register of which the list is a copy; null where none was named.
    pub register: Option<ImportedRegister>,
}

/// A copy of a do-not-call register.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedRegister {
    /// The register.
    pub name: String,
    /// When the copy was taken.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Whether the copy counts. One with a row that cannot be read does not, nor one in which more than
    /// one number in a hundred does not exist: it may be broken, or of another country. Its people are
    /// on the list all the same.
    pub is_whole: bool,
}

/// What each row's entry has in common.
struct Common {
    tenant: TenantId,
    region: Region,
    scope: Scope,
    reason: Option<String>,
    /// The register of which the list is a copy, and when that was taken.
    copy: Option<(RegisterName, Timestamp)>,
    now: Timestamp,
}

/// How the rows of a list could be read.
#[derive(Debug, Default)]
struct Readable {
    n_rows: u64,
    /// Rows whose number does not exist: nobody can be called there.
    n_nobody: u64,
    /// Rows that may name somebody, and cannot be read.
    n_unread: u64,
}

impl Readable {
    fn add(&mut self, row: &SuppressionRow) {
        self.n_rows += 1;
        match row.rejected.as_ref().map(|it| it.code.as_str()) {
            None => {}
            Some(code::PHONE_INVALID) => self.n_nobody += 1,
            Some(_) => self.n_unread += 1,
        }
    }

    /// Whether the list is a whole copy of a register: nobody is taken to be on none because a row
    /// could not be read (F-72).
    fn is_whole(&self) -> bool {
        self.n_rows > 0 && self.n_unread == 0 && self.n_nobody <= self.n_rows / 100
    }
}

/// Adds a list of people who must not be contacted any more, of any length. Columns are found by
/// their usual spellings: phone, e-mail, reason, time; a list of numbers alone needs no header, and may
/// have area codes in a column of their own, as the national registry of the United States is given
/// out. What is on the list already stays as it is, so the same list again changes nothing.
///
/// A list that is a whole copy of a do-not-call register may say so with `register`, and with `asOf`
/// when it was taken. Campaigns that go by the register call nobody without a copy that is at most 31
/// days old. Who has left the register stays on the list.
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
    let now = state.engine.clock().now();
    let common = Common {
        tenant: caller.tenant,
        region: region_of(params.region.as_deref(), state.region)?,
        scope: scope_of(params.scope.as_deref())?,
        reason: checked_reason(params.reason.as_deref().unwrap_or_default())?,
        copy: copy_of(&params, now)?,
        now,
    };
    if common.copy.is_some() && !matches!(common.scope, Scope::All | Scope::Channel(Channel::Voice))
    {
        let detail = "a copy of a register holds for all channels, or for voice";
        return Err(ApiError::field("/scope", "unknown", detail));
    }
    let file = receive(&state, request).await?;
    // A task of its own: an uploader who leaves must not leave half a list behind.
    let adding = state
        .tasks
        .clone()
        .spawn(async move { add_all(&state, file, &common).await });
    let imported = adding.await.map_err(|_| worker_died())??;
    Ok(Json(imported))
}

/// The register of which the list is a copy, and when that was taken.
fn copy_of(
    params: &SuppressionListParams,
    now: Timestamp,
) -> ApiResult<Option<(RegisterName, Timestamp)>> {
    let Some(name) = &params.register else {
        if params.as_of.is_some() {
            let detail = "says when a copy of a register was taken; name the register";
            return Err(ApiError::field("/asOf", "unknown", detail));
        }
        return Ok(None);
    };
    let name = name.parse().map_err(|error: RegisterNameError| {
        ApiError::field("/register", "form", error.to_string())
    })?;
    let taken_at = match &params.as_of {
        Some(text) => taken_at(text, now)?,
        None => now,
    };
    Ok(Some((name, taken_at)))
}

/// A time, or a day from its beginning (UTC). One that is ahead by less than a day is now: clocks and
/// calendars differ that much.
fn taken_at(text: &str, now: Timestamp) -> ApiResult<Timestamp> {
    let refused = |code, detail| ApiError::field("/asOf", code, detail);
    let day = |text: &str| {
        let day: Date = text.parse().ok()?;
        Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    };
    let at = text.parse().ok().or_else(|| day(text));
    let at = at.ok_or_else(|| refused("form", "must be a time or a day, such as 2026-11-02"))?;
    if at > now + Duration::from_secs(24 * 60 * 60) {
        return Err(refused("outOfRange", "must not lie ahead"));
    }
    Ok(at.min(now))
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
    let mut readable = Readable::default();
    while let Some(batch) = received.recv().await {
        batch.iter().for_each(|row| readable.add(row));
        add(state, common, batch, &mut imported).await?;
    }
    reading.await.map_err(|_| worker_died())??;
    // Only now: a list that broke off is no copy.
    if let Some((name, taken_at)) = &common.copy {
        let is_whole = readable.is_whole();
        if is_whole {
            let engine = &state.engine;
            engine
                .save_register_copy(common.tenant, name, *taken_at)
                .await?;
        }
        imported.register = Some(ImportedRegister {
            name: name.to_string(),
            as_of: *taken_at,
            is_whole,
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    // proves F-72
    #[test]
    fn a_copy_that_cannot_be_read_whole_is_none() {
        for (n_rows, n_nobody, n_unread, expected) in [
            (1000, 0, 0, true),
            (1000, 10, 0, true),
            (1000, 11, 0, false),
            (1000, 0, 1, false),
            (1, 0, 0, true),
            (1, 1, 0, false),
            (0, 0, 0, false),
        ] {
            let readable = Readable {
                n_rows,
                n_nobody,
                n_unread,
            };
            assert_eq!(readable.is_whole(), expected, "{readable:?}");
        }
    }

    #[test]
    fn a_copy_is_of_a_time_or_of_a_day_and_not_of_the_future() {
        let of = |text| taken_at(text, NOW).ok();
        let at = |text: &str| text.parse().ok();
        assert_eq!(of("2025-10-01"), at("2025-10-01T00:00:00Z"));
        assert_eq!(of("2025-10-01T12:00:00+02:00"), at("2025-10-01T10:00:00Z"));
        // It is the 9th at 08:53 UTC, and the 10th in no place yet, but soon.
        assert_eq!(of("2025-10-10"), Some(NOW));
        assert_eq!(of("2025-10-11"), None);
        assert_eq!(of("lately"), None);
    }
}
