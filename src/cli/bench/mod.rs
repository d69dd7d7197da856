//! `dialtone bench`: what a promise costs on this machine.
//!
//! `media` runs the bridge, the least that a bridge can be, a relay on the usual library and one in Node
//! side by side on loopback, round by round in turn, so that a busy machine is busy for all of them.
//! Each is a process of its own; carrier and agent are played here and not counted.

mod bridge;
mod child;
mod library;
mod limit;
mod peers;
mod report;
mod stamp;
mod tally;
mod wire;
mod words;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use tempfile::TempDir;

use crate::{app, bridge::worker::WorkerSettings};

use child::{Bridge, Usage};
use peers::{Moment, Peers, Plan};
use report::Report;

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The media path: processor time, delay, memory and loss per call, beside other bridges.
    Media(MediaArgs),
    /// One of the bridges; started by `media`.
    #[command(hide = true)]
    MediaBridge(BridgeArgs),
}

/// How the media path is measured.
#[derive(Debug, Args)]
pub struct MediaArgs {
    /// How many calls at once; several separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 200, 500, 1000])]
    calls: Vec<usize>,
    /// How long each round is measured.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each bridge has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Which bridges; all that can be had without it.
    #[arg(long, value_delimiter = ',')]
    bridges: Vec<Kind>,
    /// Threads of the bridge; one for two processors without it.
    #[arg(long)]
    threads: Option<usize>,
    /// The tick of the bridge and the ticked limit, in microseconds.
    #[arg(long, default_value_t = 700)]
    tick_us: u64,
    /// How long the agent takes to accept a connection, in milliseconds.
    #[arg(long, default_value_t = 300)]
    agent_delay_ms: u64,
    /// Print JSON, one object for each number of calls and bridge.
    #[arg(long)]
    json: bool,
}

/// What a bridge under test is told.
#[derive(Debug, Args)]
pub struct BridgeArgs {
    #[arg(long)]
    kind: Kind,
    #[arg(long)]
    agent: SocketAddr,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    tick_us: u64,
}

/// The bridges that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// Dialtone's, by media workers.
    Bridge,
    /// Own framing on bare epoll, untimed: the least that can be done.
    Limit,
    /// The same with the bridge's tick.
    TickedLimit,
    /// A relay on tokio-tungstenite.
    Library,
    /// A relay in Node with the ws package.
    Node,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Bridge,
        Self::Limit,
        Self::TickedLimit,
        Self::Library,
        Self::Node,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Limit => "limit",
            Self::TickedLimit => "ticked-limit",
            Self::Library => "library",
            Self::Node => "node",
        }
    }
}

/// Runs a benchmark.
pub async fn run(command: BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        // The rounds block this thread, which has nothing else to do.
        BenchCommand::Media(args) => tokio::task::block_in_place(|| media(&args)),
        BenchCommand::MediaBridge(args) => serve(args).await,
    }
}

async fn serve(args: BridgeArgs) -> anyhow::Result<ExitCode> {
    end_with_parent();
    match args.kind {
        Kind::Bridge => {
            let agent = app::benchmark_agent(&format!("http://{}", args.agent))?;
            let tick = Duration::from_micros(args.tick_us);
            bridge::run(agent, args.threads, tick, child::tell_ready).await?;
        }
        Kind::Limit | Kind::TickedLimit => {
            let is_ticked = args.kind == Kind::TickedLimit;
            let tick = Duration::from_micros(if is_ticked { args.tick_us } else { 0 });
            tokio::task::spawn_blocking(move || limit::run(args.agent, tick, child::tell_ready))
                .await??;
        }
        Kind::Library => library::run(args.agent, child::tell_ready).await?,
        Kind::Node => anyhow::bail!("the Node bridge is a program of its own"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends this process when the one that started it closes its input.
fn end_with_parent() {
    std::thread::spawn(|| {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
}

fn media(args: &MediaArgs) -> anyhow::Result<ExitCode> {
    let is_wanted = |kind: Kind| args.bridges.is_empty() || args.bridges.contains(&kind);
    let node = if is_wanted(Kind::Node) {
        child::prepare_node()
    } else {
        None
    };
    if is_wanted(Kind::Node) && node.is_none() {
        eprintln!("no Node bridge: node, npm or the ws package is not to be had");
    }
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| is_wanted(*kind) && (*kind != Kind::Node || node.is_some()))
        .collect();
    let n_threads = args
        .threads
        .unwrap_or_else(|| WorkerSettings::default().n_threads);
    let mut report = Report::default();
    for &n_calls in &args.calls {
        for round in 1..=args.rounds {
            for &kind in &kinds {
                let plan = Plan {
                    n_calls,
                    measured: Duration::from_secs(args.seconds),
                    agent_delay: Duration::from_millis(args.agent_delay_ms),
                };
                eprintln!(
                    "{n_calls} calls, round {round} of {}: {}",
                    args.rounds,
                    kind.name()
                );
                let outcome = one_round(kind, plan, n_threads, args.tick_us, node.as_ref())?;
                report.add(n_calls, kind, &outcome);
            }
        }
        report.print(n_calls, args.json)?;
    }
    if report.is_bridge_whole() {
        Ok(ExitCode::SUCCESS)
    } else {
        eprintln!("the bridge lost, doubled or reordered frames, or calls failed");
        Ok(ExitCode::FAILURE)
    }
}

/// What one round gave.
pub struct Outcome {
    plan: Plan,
    idle: Usage,
    begin: Usage,
    end: Usage,
    seen: peers::Seen,
}

fn one_round(
    kind: Kind,
    plan: Plan,
    n_threads: usize,
    tick_us: u64,
    node: Option<&TempDir>,
) -> anyhow::Result<Outcome> {
    let mut peers = Peers::new()?;
    let bridge = Bridge::start(kind, peers.agent, n_threads, tick_us, node)?;
    let (mut idle, mut begin, mut end) = (Usage::default(), Usage::default(), Usage::default());
    let seen = peers.round(bridge.address, plan, |moment| {
        let now = bridge.usage();
        match moment {
            Moment::Idle => idle = now,
            Moment::Begin => begin = now,
            Moment::End => end = now,
        }
    })?;
    Ok(Outcome {
        plan,
        idle,
        begin,
        end,
        seen,
    })
}
