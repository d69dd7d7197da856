//! `dialtone emergency-stop`: asks the running server to stop everything, and waits until it has.

use std::{io::Write as _, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::http::{self, PATIENCE};

/// How long the lines may take to be clear.
const CLEAR_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks whether they are.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct EmergencyStopArgs {
    /// End the talks that are going on, too.
    #[arg(long, conflicts_with = "lift")]
    hang_up: bool,

    /// Why, for whoever wonders why nobody is called.
    #[arg(long, conflicts_with = "lift")]
    reason: Option<String>,

    /// Lift the stop: dialing goes on as it was.
    #[arg(long)]
    lift: bool,

    /// Of the whole installation, instead of the user's tenant.
    #[arg(long)]
    installation: bool,

    /// Where the server is; LISTEN_ADDR without it.
    #[arg(long, env = "PUBLIC_URL")]
    url: Option<String>,

    #[arg(
        long,
        env = "LISTEN_ADDR",
        default_value = "127.0.0.1:8080",
        hide = true
    )]
    listen: SocketAddr,

    /// Who stops it: a user who may run campaigns.
    #[arg(long, env = "DIALTONE_ADMIN_EMAIL", default_value = "admin@localhost")]
    email: String,

    /// The user's password.
    #[arg(long, env = "DIALTONE_ADMIN_PASSWORD", hide_env_values = true)]
    password: Option<String>,
}

/// What the command reads of the server's answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Standstill {
    is_in_force: bool,
    unanswered: u64,
    talking: u64,
}

/// The server, and who asks.
struct Server {
    http: reqwest::Client,
    stop: String,
    token: String,
}

impl Server {
    async fn sign_in(args: &EmergencyStopArgs) -> anyhow::Result<Self> {
        let password = args.password.as_deref().filter(|text| !text.is_empty());
        let password =
            password.context("no password: use --password, or set DIALTONE_ADMIN_PASSWORD")?;
        let url = args.url.as_deref().filter(|url| !url.is_empty());
        let url = url.map_or_else(|| format!("http://{}", args.listen), str::to_owned);
        let base = format!("{}/api/v1", url.trim_end_matches('/'));
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let token = http::sign_in(&http, &base, &args.email, password).await?;
        let scope = if args.installation {
            "installation"
        } else {
            "tenant"
        };
        Ok(Self {
            http,
            stop: format!("{base}/emergency-stop?scope={scope}"),
            token,
        })
    }

    async fn ask(&self, method: Method, body: Option<&Value>) -> anyhow::Result<Standstill> {
        let mut request = self.http.request(method, &self.stop);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::answer(request.bearer_auth(&self.token)).await
    }
}

/// Stops everything and waits until no call is queued or ringing any more, or lifts the stop.
pub(super) async fn run(args: EmergencyStopArgs) -> anyhow::Result<ExitCode> {
    let server = Server::sign_in(&args).await?;
    if args.lift {
        let lifted = server.ask(Method::DELETE, None).await?;
        let said = if lifted.is_in_force {
            "lifted; another stop is still in force"
        } else {
            "lifted: dialing goes on as it was"
        };
        writeln!(std::io::stdout(), "{said}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let body = json!({"hangUp": args.hang_up, "reason": args.reason});
    let mut now = server.ask(Method::POST, Some(&body)).await?;
    let deadline = Instant::now() + CLEAR_WITHIN;
    while now.unanswered > 0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
        now = server.ask(Method::GET, None).await?;
    }
    let Standstill {
        unanswered,
        talking,
        ..
    } = now;
    if unanswered > 0 {
        eprintln!("stopped, but {unanswered} calls may still be queued or ringing");
        eprintln!("hint: no new call begins; run it again to see whether they are gone");
        return Ok(ExitCode::FAILURE);
    }
    let said = format!("stopped: no call is queued or ringing, {talking} are talking");
    writeln!(std::io::stdout(), "{said}")?;
    Ok(ExitCode::SUCCESS)
}
