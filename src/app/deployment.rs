//! What is known of the records outside of them: whose they are, and when this deployment last wrote
//! into them. A copy or a restored backup does not know either.

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::engine::{Adoption, Engine, EngineResult};

/// How often the time is noted.
const NOTE_EVERY: Duration = Duration::from_secs(30);

/// Takes the records into use before anything is dialed.
pub async fn adopt(engine: &Engine, identity: &str, mark: Option<&Path>) -> EngineResult<Adoption> {
    let noted = mark.and_then(read);
    let adoption = engine.adopt(identity, noted).await?;
    info!(?adoption, identity, "records taken into use");
    note(engine, mark).await;
    Ok(adoption)
}

/// Notes the time, inside of the records and outside, until it is told to stop.
pub async fn keep_noting(engine: Engine, mark: Option<PathBuf>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(NOTE_EVERY) => note(&engine, mark.as_deref()).await,
        }
    }
}

/// First inside: a mark that is ahead of the records would make them look restored.
async fn note(engine: &Engine, mark: Option<&Path>) {
    match engine.beat().await {
        Ok(at) => {
            if let Some(mark) = mark
                && let Err(error) = write(mark, at)
            {
                warn!(%error, file = %mark.display(), "the time of the last write was not noted; a restored backup would not be noticed");
            }
        }
        Err(error) => warn!(%error, "the time was not noted in the records"),
    }
}

fn read(mark: &Path) -> Option<Timestamp> {
    match std::fs::read_to_string(mark) {
        Ok(text) => text
            .trim()
            .parse()
            .inspect_err(|error| warn!(%error, file = %mark.display(), "this is not a time"))
            .ok(),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            warn!(%error, file = %mark.display(), "the mark cannot be read");
            None
        }
    }
}

/// Whole or not at all: a mark that is cut short says nothing.
fn write(mark: &Path, at: Timestamp) -> std::io::Result<()> {
    let dir = mark.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(dir.unwrap_or(Path::new(".")))?;
    writeln!(file, "{at}")?;
    file.persist(mark).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_damaged_one_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("data.mark");
        let at = Timestamp::constant(1_760_000_000, 0);
        assert_eq!(read(&mark), None);
        write(&mark, at).unwrap();
        assert_eq!(read(&mark), Some(at));
        std::fs::write(&mark, "2025-1").unwrap();
        assert_eq!(read(&mark), None);
    }
}
