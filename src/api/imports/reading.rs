//! A list on its way into a campaign: checked first, then read and enrolled batch by batch.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
};

use tokio::sync::mpsc;

use super::worker_died;
use crate::{
    api::{
        ApiState,
        error::{ApiError, ApiResult},
    },
    domain::{
        audience::{Import, ImportStatus, Member, RejectedRow},
        campaign::Campaign,
        ids::ImportId,
        step::Step,
    },
    engine::{CampaignEdit, EngineResult},
    import::{ListError, ListReader, ListSettings, Row},
};

/// How many rows are enrolled at once.
const BATCH: usize = 1000;

/// How many batches may wait between reading and enrolling.
const BATCHES_WAITING: usize = 4;

/// Reads the header before anything is created: is there a phone column, and does every placeholder
/// of the texts name a column?
pub(super) async fn check_list(
    mut file: File,
    settings: ListSettings,
    edit: &CampaignEdit,
) -> ApiResult<File> {
    let rewind = |file: &mut File| file.seek(SeekFrom::Start(0)).map_err(ListError::Read);
    rewind(&mut file)?;
    let checked = tokio::task::spawn_blocking(move || {
        let reader = ListReader::open(BufReader::new(&file), &settings)?;
        let names = reader
            .field_names()
            .into_iter()
            .map(str::to_owned)
            .collect();
        Ok::<(File, BTreeSet<String>), ListError>((file, names))
    });
    let (mut file, names) = checked.await.map_err(|_| worker_died())??;
    rewind(&mut file)?;
    check_placeholders(edit, &names)?;
    Ok(file)
}

// proves F-43: a text that names a missing column is refused before anybody is called.
fn check_placeholders(edit: &CampaignEdit, names: &BTreeSet<String>) -> ApiResult<()> {
    for Step::VoiceCall(call) in &edit.steps {
        let transfer = call.transfer.as_ref();
        let texts = [
            ("/prompt", Some(&call.prompt)),
            ("/firstMessage", Some(&call.first_message)),
            ("/settings/machines/message", call.machines.text()),
            ("/settings/silence/sentence", call.silence.sentence.as_ref()),
            (
                "/settings/transfer/whisper",
                transfer.and_then(|transfer| transfer.whisper.as_ref()),
            ),
            (
                "/settings/transfer/sentence",
                transfer.and_then(|transfer| transfer.sentence.as_ref()),
            ),
        ];
        for (pointer, text) in texts {
            let Some(text) = text else { continue };
            let missing = text
                .placeholders()
                .into_iter()
                .find(|name| !names.contains(*name));
            if let Some(name) = missing {
                let known: Vec<_> = names.iter().map(String::as_str).collect();
                let detail = format!(
                    "{{{{{name}}}}} is not a column of the list; it has {}",
                    known.join(", ")
                );
                return Err(ApiError::field(pointer, "unknownColumn", detail));
            }
        }
    }
    Ok(())
}

/// Reads a list to its end into a campaign. Rows enrolled before an error stay.
pub(super) async fn read_into(
    state: &ApiState,
    campaign: &Campaign,
    file_name: String,
    file: File,
    settings: ListSettings,
) -> ApiResult<Import> {
    let clock = state.engine.clock();
    let mut import = Import {
        id: ImportId::new(clock.new_uuid()),
        tenant: campaign.tenant,
        campaign: campaign.id,
        file_name,
        status: ImportStatus::Running,
        n_rows: 0,
        n_accepted: 0,
        n_duplicates: 0,
        n_rejected: 0,
        created_at: clock.now(),
        ended_at: None,
    };
    state.engine.store().save_import(&import).await?;
    let read = enroll_rows(state, &mut import, file, settings).await;
    import.status = match &read {
        Ok(Ok(())) => ImportStatus::Finished,
        Ok(Err(error)) => ImportStatus::Failed {
            reason: error.to_string(),
        },
        Err(_) => ImportStatus::Failed {
            reason: "the rows could not be saved".to_owned(),
        },
    };
    import.ended_at = Some(clock.now());
    state.engine.store().save_import(&import).await?;
    if let Err(error) = read {
        return Err(error
            .with_record("campaignId", campaign.id)
            .with_record("importId", import.id));
    }
    tracing::info!(
        import_id = %import.id, campaign_id = %campaign.id,
        n_accepted = import.n_accepted, n_duplicates = import.n_duplicates,
        n_rejected = import.n_rejected, "list imported"
    );
    Ok(import)
}

/// Reads and enrolls until the list ends, cannot be read, or cannot be saved.
async fn enroll_rows(
    state: &ApiState,
    import: &mut Import,
    file: File,
    settings: ListSettings,
) -> ApiResult<Result<(), ListError>> {
    let (batches, mut received) = mpsc::channel(BATCHES_WAITING);
    let reading = tokio::task::spawn_blocking(move || read_rows(file, &settings, &batches));
    while let Some(batch) = received.recv().await {
        enroll_batch(state, import, batch).await?;
        state.engine.store().save_import(import).await?;
    }
    reading.await.map_err(|_| worker_died())
}

fn read_rows(
    file: File,
    settings: &ListSettings,
    batches: &mpsc::Sender<Vec<Row>>,
) -> Result<(), ListError> {
    let mut batch = Vec::with_capacity(BATCH);
    let result = ListReader::open(BufReader::new(file), settings).and_then(|reader| {
        for row in reader {
            batch.push(row?);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if batches.blocking_send(full).is_err() {
                    // The enrolling failed and says so itself.
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

/// An accepted row on its way into the campaign.
struct Accepted {
    line: u64,
    cells: Vec<String>,
}

async fn enroll_batch(state: &ApiState, import: &mut Import, rows: Vec<Row>) -> EngineResult<()> {
    let n_rows = rows.len() as u64;
    let mut members: Vec<Member> = Vec::new();
    let mut accepted: Vec<Accepted> = Vec::new();
    let mut rejected: Vec<RejectedRow> = Vec::new();
    for row in rows {
        match row {
            Row::Accepted {
                line,
                cells,
                member,
            } => {
                members.push(member);
                accepted.push(Accepted { line, cells });
            }
            Row::Rejected(row) => rejected.push(row),
        }
    }
    let enrolled = state
        .engine
        .enroll(import.tenant, import.campaign, members)
        .await?;
    rejected.extend(
        enrolled
            .duplicates
            .iter()
            .map(|at| duplicate(&accepted[*at])),
    );
    state
        .engine
        .store()
        .add_rejected(import.tenant, import.id, &rejected)
        .await?;
    let is_duplicate = |row: &&RejectedRow| {
        row.code == RejectedRow::DUPLICATE_IN_FILE || row.code == RejectedRow::DUPLICATE_IN_CAMPAIGN
    };
    let n_duplicates = rejected.iter().filter(is_duplicate).count() as u64;
    import.n_rows += n_rows;
    import.n_accepted += enrolled.n_added;
    import.n_duplicates += n_duplicates;
    import.n_rejected += rejected.len() as u64 - n_duplicates;
    Ok(())
}

fn duplicate(row: &Accepted) -> RejectedRow {
    RejectedRow {
        line: row.line,
        code: RejectedRow::DUPLICATE_IN_CAMPAIGN.to_owned(),
        reason: "this number is already in the campaign".to_owned(),
        column: None,
        cells: row.cells.clone(),
    }
}
