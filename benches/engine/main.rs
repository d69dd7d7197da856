//! The engine's promises about time, measured on a whole installation.
//!
//! Each command starts the real server and the simulated telephone world in this process, speaks to
//! them over HTTP as a client does, prints a table and exits with 1 when a promise is not kept:
//!
//! ```text
//! cargo bench --bench engine -- pacing
//! cargo bench --bench engine -- first-dial
//! cargo bench --bench engine -- explain
//! ```

mod explain;
mod first_dial;
mod machine;
mod pacing;
mod world;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use dialtone::{config::LogFormat, observability};

#[derive(Debug, Parser)]
#[command(name = "engine", about = "Measures the engine's promises about time")]
struct Cli {
    #[command(subcommand)]
    what: What,
    /// Given by cargo.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How well set rates of dial starts are kept, by the carrier's own record.
    Pacing(pacing::PacingArgs),
    /// From the start of a campaign with very many people to its first call.
    FirstDial(first_dial::FirstDialArgs),
    /// How long the answers about one contact and about a campaign take.
    Explain(explain::ExplainArgs),
}

/// What all measurements take.
#[derive(Debug, Args)]
struct Common {
    /// Measure on this database server too, each time in a database of its own.
    #[arg(long, env = "DIALTONE_TEST_MONGODB_URI", hide_env_values = true)]
    mongodb_uri: Option<String>,
    /// Leave the embedded store out.
    #[arg(long)]
    no_sqlite: bool,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 1_800)]
    within: u64,
}

impl Common {
    /// The stores to measure on, in order.
    fn stores(&self) -> Vec<world::StoreChoice> {
        let sqlite = (!self.no_sqlite).then_some(world::StoreChoice::Sqlite);
        let mongo = self.mongodb_uri.clone().map(world::StoreChoice::Mongo);
        sqlite.into_iter().chain(mongo).collect()
    }
}

fn main() -> ExitCode {
    if std::env::var_os("RUST_LOG").is_some() {
        observability::start(LogFormat::Text);
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli.what));
    runtime.shutdown_timeout(Duration::from_secs(5));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a promise was not kept");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures; true when every promise was kept.
async fn run(what: What) -> anyhow::Result<bool> {
    println!("{}", machine::describe());
    let within = match &what {
        What::Pacing(args) => args.common.within,
        What::FirstDial(args) => args.common.within,
        What::Explain(args) => args.common.within,
    };
    let measured = async {
        match what {
            What::Pacing(args) => pacing::run(&args).await,
            What::FirstDial(args) => first_dial::run(&args).await,
            What::Explain(args) => explain::run(&args).await,
        }
    };
    tokio::time::timeout(Duration::from_secs(within), measured)
        .await
        .with_context(|| format!("not done within {within} s"))?
}
