//! `dialtone demo`: server, simulator and a sample campaign on this machine.
//!
//! Everything goes the way it goes in a deployment: the list is uploaded over HTTP, calls are placed
//! over the carrier's protocol, and what is printed at the end is audited against the simulator's own
//! record of what really happened.

mod audit;
mod client;
mod people;

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::{net::TcpListener, time::Instant};

use self::client::Client;
use super::interrupted;
use crate::{
    app::{App, engine_settings},
    config::{Config, LogFormat},
    engine::decide::Timing,
    observability,
    sim::{AgentSettings, Faults, PostCallWebhook, Simulator, SimulatorConfig},
};

/// How the sample campaign runs.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End when the campaign has, without waiting for anybody to look.
    #[arg(long)]
    headless: bool,
    /// Print one line of JSON about the campaign on standard output.
    #[arg(long)]
    json: bool,
    /// How many people to call.
    #[arg(long, default_value_t = 300)]
    contacts: usize,
    /// Decides who answers, who is busy, and how long people talk.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than life people act; audio always runs in real time.
    #[arg(long, default_value_t = 10.0)]
    speed: f64,
    /// Whose simulated agent speaks.
    #[arg(long, value_enum, default_value_t = AgentChoice::Elevenlabs)]
    agent: AgentChoice,
    /// Where to keep records.
    #[arg(long, value_enum, default_value_t = StoreChoice::Sqlite)]
    store: StoreChoice,
    /// The database server, with `--store mongodb`.
    #[arg(long, env = "MONGODB_URI", hide_env_values = true)]
    mongodb_uri: Option<String>,
    /// Where to listen; without it 127.0.0.1:8080, or a free port when that is taken.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// What goes wrong at the carrier, as JSON, such as '{"lost_callback": 0.2}'.
    #[arg(long, value_parser = super::simulate::parse_faults)]
    faults: Option<Faults>,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 900)]
    within: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AgentChoice {
    /// ElevenLabs'.
    Elevenlabs,
    /// Vapi's.
    Vapi,
    /// ElevenLabs', and Vapi's while that one fails.
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StoreChoice {
    /// The embedded store, in a directory that vanishes afterwards.
    Sqlite,
    /// A database of its own at MONGODB_URI.
    Mongodb,
}

/// What is printed at the end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    contacts: u64,
    attempts: u64,
    outcomes: BTreeMap<String, u64>,
    max_calls_per_contact: usize,
    peak_concurrency: u32,
    violations: usize,
    seconds: f64,
}

const EMAIL: &str = "demo@localhost";
const PASSWORD: &str = "demo-demo";

/// The campaign's own limits.
const MAX_CONCURRENT_CALLS: u32 = 40;
const CALLS_PER_SECOND: f64 = 20.0;
const MAX_ATTEMPTS: u32 = 3;

/// How long people wait for another try, in their own time.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// What the simulated vendors sign their reports with.
const WEBHOOK_SECRET: &str = "simulated-webhook-secret";

/// How often the campaign's progress is read.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if std::env::var_os("RUST_LOG").is_some() {
        observability::start(LogFormat::Text);
    }
    if !(args.speed.is_finite() && args.speed > 0.0) {
        bail!("--speed must be above 0");
    }
    let listener = listen(&args).await?;
    let address = listener.local_addr()?;
    let simulator = Simulator::start(simulator_config(&args, address)).await?;
    let data = tempfile::tempdir().context("cannot make a directory for the records")?;
    let config = demo_config(&args, &simulator, address, data.path())?;
    let mut settings = engine_settings(&config);
    settings.timing = timing(args.speed);
    let app = App::start_with(config, settings, Some(listener)).await?;

    let client = Client::sign_in(address, EMAIL, PASSWORD).await?;
    announce(&args, address);
    let began = Instant::now();
    let campaign = client
        .start_campaign(people::list(args.contacts)?, &campaign_settings(&args))
        .await?;
    let outcome = tokio::select! {
        result = watch(&client, &campaign, &args) => Some(result),
        result = interrupted() => { result?; None }
    };
    let code = match outcome {
        None => ExitCode::SUCCESS,
        Some(result) => {
            result?;
            let seconds = began.elapsed().as_secs_f64();
            let violations = report(&args, &client, &campaign, &simulator, seconds).await?;
            if !args.headless {
                eprintln!("the dashboard stays up until you press Ctrl-C");
                interrupted().await?;
            }
            if violations == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    };
    app.close().await;
    simulator.shutdown().await;
    Ok(code)
}

/// `address` is where the agents tell what they found in a conversation.
fn simulator_config(args: &DemoArgs, address: SocketAddr) -> SimulatorConfig {
    let webhook = |vendor: &str| {
        Some(PostCallWebhook {
            url: format!("http://{address}/webhooks/{vendor}"),
            secret: WEBHOOK_SECRET.to_owned(),
        })
    };
    SimulatorConfig {
        agent: AgentSettings {
            post_call_webhook: webhook("elevenlabs"),
            vapi_server: webhook("vapi"),
            ..AgentSettings::default()
        },
        seed: args.seed,
        speed: args.speed,
        calls_per_second: 200.0,
        numbers: vec!["+12025550100".to_owned()],
        faults: args.faults.clone().unwrap_or_default(),
        ..SimulatorConfig::default()
    }
}

async fn listen(args: &DemoArgs) -> anyhow::Result<TcpListener> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match (args.listen, args.headless) {
        (Some(address), _) => TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}")),
        (None, true) => Ok(TcpListener::bind(local(0)).await?),
        (None, false) => match TcpListener::bind(local(8080)).await {
            Ok(listener) => Ok(listener),
            Err(_) => Ok(TcpListener::bind(local(0)).await?),
        },
    }
}

/// The environment of a deployment, pointed at the simulator.
fn demo_config(
    args: &DemoArgs,
    simulator: &Simulator,
    address: SocketAddr,
    data: &std::path::Path,
) -> anyhow::Result<Config> {
    let sim = simulator.config();
    let mut vars = BTreeMap::from([
        ("LISTEN_ADDR", address.to_string()),
        ("PUBLIC_URL", format!("http://{address}")),
        ("TWILIO_BASE_URL", simulator.base_url()),
        ("TWILIO_ACCOUNT_SID", sim.account_sid.clone()),
        ("TWILIO_AUTH_TOKEN", sim.auth_token.clone()),
        ("TWILIO_PHONE_NUMBER", sim.numbers.join(",")),
        ("DIALTONE_DATA_DIR", data.display().to_string()),
        ("DIALTONE_ADMIN_EMAIL", EMAIL.to_owned()),
        ("DIALTONE_ADMIN_PASSWORD", PASSWORD.to_owned()),
        ("DIALTONE_CALLS_PER_SECOND", "200".to_owned()),
        // Simulated people may be called at any hour.
        ("DIALTONE_RULE_PROFILE", "none".to_owned()),
        ("DIALTONE_MARK_FILE", "off".to_owned()),
        (
            "JWT_SECRET",
            (0..32)
                .map(|_| format!("{:02x}", rand::random::<u8>()))
                .collect(),
        ),
    ]);
    if args.agent != AgentChoice::Vapi {
        vars.insert("ELEVENLABS_BASE_URL", simulator.base_url());
        vars.insert("ELEVENLABS_API_KEY", sim.agent_api_key.clone());
        vars.insert("ELEVENLABS_AGENT_ID", sim.agent_id.clone());
        vars.insert("ELEVENLABS_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned());
    }
    if args.agent != AgentChoice::Elevenlabs {
        vars.insert("VAPI_BASE_URL", simulator.base_url());
        vars.insert("VAPI_API_KEY", sim.vapi_api_key.clone());
        vars.insert("VAPI_ASSISTANT_ID", sim.vapi_assistant_id.clone());
        vars.insert("VAPI_WEBHOOK_SECRET", WEBHOOK_SECRET.to_owned());
    }
    if args.store == StoreChoice::Mongodb {
        let uri = args
            .mongodb_uri
            .as_deref()
            .context("--store mongodb needs MONGODB_URI")?;
        let name = format!("dialtone_demo_{:08x}", rand::random::<u32>());
        eprintln!("records are kept in the database {name}");
        vars.insert("MONGODB_URI", with_database(uri, &name)?);
    }
    let vars = vars
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Ok(Config::from_vars(vars)?)
}

/// `uri` with its database replaced.
fn with_database(uri: &str, name: &str) -> anyhow::Result<String> {
    let (scheme, rest) = uri.split_once("://").context("MONGODB_URI has no scheme")?;
    let (hosts_and_path, query) = rest
        .split_once('?')
        .map_or((rest, None), |(a, b)| (a, Some(b)));
    let hosts = hosts_and_path
        .split_once('/')
        .map_or(hosts_and_path, |(hosts, _)| hosts);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{scheme}://{hosts}/{name}{query}"))
}

/// Waits for people are as much shorter as people are faster; waits for machines stay.
fn timing(speed: f64) -> Timing {
    let usual = Timing::default();
    Timing {
        answer: usual.answer.div_f64(speed),
        talk: usual.talk.div_f64(speed),
        going_on: usual.going_on.div_f64(speed),
        unplaced_gap: usual.unplaced_gap.div_f64(speed),
        refused_gap: usual.refused_gap.div_f64(speed),
        ..usual
    }
}

fn campaign_settings(args: &DemoArgs) -> serde_json::Value {
    let delay = RETRY_AFTER.div_f64(args.speed).as_secs().max(1);
    let rule = |count: u32| serde_json::json!({"count": count, "delaySeconds": delay});
    serde_json::json!({
        "maxConcurrentCalls": MAX_CONCURRENT_CALLS,
        "callsPerSecond": CALLS_PER_SECOND,
        "retry": {
            "maxAttempts": MAX_ATTEMPTS,
            "busy": rule(2), "noAnswer": rule(2), "voicemail": rule(1), "failed": rule(1),
        },
    })
}

fn announce(args: &DemoArgs, address: SocketAddr) {
    if !args.headless {
        eprintln!("dashboard: http://{address}/   sign in as {EMAIL} with {PASSWORD}");
    }
    eprintln!(
        "calling {} fictional people, {} times as fast as life",
        args.contacts, args.speed
    );
}

/// Shows progress until the campaign has ended.
async fn watch(client: &Client, campaign: &str, args: &DemoArgs) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(args.within);
    let in_place = std::io::stderr().is_terminal();
    let mut n_looks = 0_u32;
    loop {
        let state = client.campaign(campaign).await?;
        n_looks += 1;
        let line = progress_line(&state);
        let is_over = state.status != "active";
        if in_place {
            eprint!("\r\x1b[2K{line}");
            std::io::stderr().flush()?;
        } else if n_looks % 2 == 1 || is_over {
            eprintln!("{line}");
        }
        match state.status.as_str() {
            "active" => {}
            "completed" => {
                if in_place {
                    eprintln!();
                }
                return Ok(());
            }
            other => bail!(
                "the campaign is {other}: {}",
                state.reason.unwrap_or_default()
            ),
        }
        if Instant::now() >= until {
            bail!("the campaign did not end within {} s: {line}", args.within);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn progress_line(state: &client::Campaign) -> String {
    let progress = &state.progress;
    let outcomes: Vec<String> = progress
        .outcomes
        .iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    format!(
        "{:>5} of {} done · {} on the phone ({} talking) · {} waiting for another try · {} calls · {}",
        progress.finished,
        progress.enrolled,
        progress.open,
        progress.connected,
        progress.retrying,
        progress.calls,
        outcomes.join(", "),
    )
}

/// Audits the campaign against what really happened, and says what came out.
async fn report(
    args: &DemoArgs,
    client: &Client,
    campaign: &str,
    simulator: &Simulator,
    seconds: f64,
) -> anyhow::Result<usize> {
    let state = client.campaign(campaign).await?;
    let calls = client.calls(campaign).await?;
    let contacts = client.contacts(campaign).await?;
    let ledger = simulator.ledger();
    let rules = audit::Rules {
        max_attempts: MAX_ATTEMPTS as usize,
        max_concurrent_calls: MAX_CONCURRENT_CALLS,
        calls_per_second: CALLS_PER_SECOND,
    };
    let violations = audit::violations(&rules, &ledger, &calls, &contacts);
    for violation in &violations {
        eprintln!("violation: {violation}");
    }
    let summary = Summary {
        contacts: state.progress.enrolled,
        attempts: state.progress.calls,
        outcomes: state.progress.outcomes,
        max_calls_per_contact: audit::max_calls_per_number(&ledger),
        peak_concurrency: ledger.totals.live_max,
        violations: violations.len(),
        seconds: (seconds * 10.0).round() / 10.0,
    };
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        eprintln!(
            "{} people, {} calls in {} s; at most {} calls to one person, {} at once; {} violations",
            summary.contacts,
            summary.attempts,
            summary.seconds,
            summary.max_calls_per_contact,
            summary.peak_concurrency,
            summary.violations,
        );
    }
    Ok(violations.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_has_a_database_of_its_own() {
        let uri = with_database("mongodb://u:p@h1,h2/prod?replicaSet=rs0", "demo").unwrap();
        assert_eq!(uri, "mongodb://u:p@h1,h2/demo?replicaSet=rs0");
        assert_eq!(
            with_database("mongodb://h", "demo").unwrap(),
            "mongodb://h/demo"
        );
    }
}
