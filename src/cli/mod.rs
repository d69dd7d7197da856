//! The command line: parse arguments, run one command. Standard output is data, standard error is
//! talk.

mod bench;
mod demo;
mod emergency;
mod http;
mod serve;
mod simulate;
mod world;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{api, config::ConfigError};

/// Phones everyone on a list and joins each answered call to a voice agent.
#[derive(Debug, Parser)]
#[command(name = "dialtone", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; settings come from the environment and from .env.
    Serve,
    /// Run server, simulator and a sample campaign on this machine, with no account and no cost.
    Demo(demo::DemoArgs),
    /// Run a simulated carrier with people to call and a simulated agent, for any dialer.
    Simulate(simulate::SimulateArgs),
    /// Measure what this machine can carry.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Stop every call of a running server, or lift that stop. Ends with 0 when no call is queued or
    /// ringing any more, and with 1 when some are after ten seconds.
    EmergencyStop(emergency::EmergencyStopArgs),
    /// Print the API's description (OpenAPI 3.1).
    Openapi,
}

/// The exit code for a configuration that cannot be used.
const BAD_CONFIG: u8 = 2;

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    crate::app::install_tls();
    // Before the arguments, whose defaults may come from it. A missing .env is the ordinary case.
    dotenvy::dotenv().ok();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::anyhow!("cannot start the runtime: {error}")),
    };
    let outcome = runtime.block_on(run(cli.command));
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve => serve::run().await,
        Command::Demo(args) => demo::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Bench(command) => bench::run(command).await,
        Command::EmergencyStop(args) => emergency::run(args).await,
        Command::Openapi => {
            // Not `println!`, which panics when the reader has seen enough.
            writeln!(std::io::stdout(), "{}", api::document().to_pretty_json()?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if error.downcast_ref::<ConfigError>().is_some() {
        return ExitCode::from(BAD_CONFIG);
    }
    ExitCode::FAILURE
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
