//! Logs: where they go and in which form. They are written to standard error; standard output is
//! for data.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts logging. `RUST_LOG` chooses what; without it, our own messages from `info` on.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,dialtone=info"));
    let in_colour = std::io::stderr().is_terminal();
    let builder = fmt()
        .with_env_filter(filter)
        .with_ansi(in_colour)
        .with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // A second start, as in tests that share a process, keeps the first.
    drop(started);
}
