//! Keeps loops running: one that panics is begun again, and the process says so.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How long to wait before a loop that panicked is begun again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long the process is not well after a panic: long enough for whoever watches it to see.
const UNWELL: Duration = Duration::from_secs(60);

/// The loops of a process, and which of them panicked lately.
#[derive(Debug, Default)]
pub(super) struct Loops {
    panicked: Mutex<BTreeMap<&'static str, Instant>>,
}

impl Loops {
    /// Runs a loop until it ends or `stopped`; begins it again whenever it panics.
    pub(super) async fn keep<F: Future<Output = ()>>(
        &self,
        name: &'static str,
        stopped: &CancellationToken,
        mut run: impl FnMut() -> F,
    ) {
        while !stopped.is_cancelled() {
            if AssertUnwindSafe(run()).catch_unwind().await.is_ok() {
                return;
            }
            self.note_panic(name);
            tokio::select! {
                () = stopped.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Something panicked and goes on: a loop that begins again, or work for one enrollment.
    pub(super) fn note_panic(&self, name: &'static str) {
        error!(name, "panicked, and goes on");
        self.panicked().insert(name, Instant::now());
    }

    /// Whether nothing panicked lately.
    pub(super) fn are_well(&self) -> bool {
        let mut panicked = self.panicked();
        panicked.retain(|_, at| at.elapsed() < UNWELL);
        panicked.is_empty()
    }

    fn panicked(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Instant>> {
        self.panicked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_begins_again_and_the_process_is_unwell_for_a_while() {
        let loops = Loops::default();
        let stopped = CancellationToken::new();
        let mut n_runs = 0;
        let began = Instant::now();
        loops
            .keep("test", &stopped, || {
                n_runs += 1;
                let is_well = n_runs > 2;
                async move { assert!(is_well, "on purpose") }
            })
            .await;
        assert_eq!(n_runs, 3);
        assert_eq!(began.elapsed(), 2 * PAUSE);
        assert!(!loops.are_well());
        tokio::time::advance(UNWELL).await;
        assert!(loops.are_well());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_again_and_again_ends_when_it_is_told_to() {
        let loops = Loops::default();
        let stopped = CancellationToken::new();
        let keeping = loops.keep("test", &stopped, || async { panic!("on purpose") });
        let ending = async {
            tokio::time::sleep(10 * PAUSE).await;
            stopped.cancel();
        };
        tokio::join!(keeping, ending);
        assert!(!loops.are_well());
    }
}
