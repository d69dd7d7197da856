//! `dialtone simulate`: the carrier, the people and the agents, for use with any dialer.

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroUsize, process::ExitCode};

use clap::Args;

use super::interrupted;
use crate::{
    config::LogFormat,
    observability,
    sim::{AgentSettings, Faults, PostCallWebhook, Simulator, SimulatorConfig},
};

/// What the simulator pretends to be. The accounts are read from the variables that a dialer uses,
/// so that both can be started from one environment.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Run the whole dialer in virtual time instead, with everything going wrong that can, and check
    /// its promises after every step: one seed with what happened in it, or with `--seeds` many.
    #[arg(long)]
    world: bool,
    /// How many seeds, from `--seed` on.
    #[arg(long, requires = "world")]
    seeds: Option<u64>,
    /// One campaign with so many people in each world, instead of what the seed says.
    #[arg(long, requires = "world")]
    people: Option<u64>,
    /// How many worlds run at a time; as many as there are cores without it.
    #[arg(long, requires = "world")]
    threads: Option<NonZeroUsize>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// Decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much faster than life people act; audio always runs in real time.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Call starts per second that the carrier releases.
    #[arg(long, default_value_t = 1.0)]
    calls_per_second: f64,
    /// What goes wrong, as JSON, such as '{"lost_callback": 0.3, "duplicate_callback": 0.2}'.
    #[arg(long, value_parser = parse_faults)]
    faults: Option<Faults>,
    /// The carrier account.
    #[arg(long, env = "TWILIO_ACCOUNT_SID")]
    account_sid: Option<String>,
    /// The account's secret.
    #[arg(long, env = "TWILIO_AUTH_TOKEN", hide_env_values = true)]
    auth_token: Option<String>,
    /// A further key of the account.
    #[arg(long, env = "TWILIO_API_KEY_SID")]
    api_key_sid: Option<String>,
    /// The key's secret.
    #[arg(long, env = "TWILIO_API_KEY_SECRET", hide_env_values = true)]
    api_key_secret: Option<String>,
    /// The account's numbers, separated by commas.
    #[arg(long, env = "TWILIO_PHONE_NUMBER")]
    numbers: Option<String>,
    /// The agent.
    #[arg(long, env = "ELEVENLABS_AGENT_ID")]
    agent_id: Option<String>,
    /// The agent account's key.
    #[arg(long, env = "ELEVENLABS_API_KEY", hide_env_values = true)]
    agent_api_key: Option<String>,
    /// Vapi's assistant.
    #[arg(long, env = "VAPI_ASSISTANT_ID")]
    vapi_assistant_id: Option<String>,
    /// Vapi's key.
    #[arg(long, env = "VAPI_API_KEY", hide_env_values = true)]
    vapi_api_key: Option<String>,
    /// The dialer, which is told after each conversation what the agent found.
    #[arg(long, env = "PUBLIC_URL")]
    dialer_url: Option<String>,
    /// What ElevenLabs' post-call webhook is signed with; without it none is sent.
    #[arg(long, env = "ELEVENLABS_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
    /// What Vapi's report is signed with; without it none is sent.
    #[arg(long, env = "VAPI_WEBHOOK_SECRET", hide_env_values = true)]
    vapi_webhook_secret: Option<String>,
}

pub(super) fn parse_faults(text: &str) -> Result<Faults, String> {
    let changes = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Faults::default().changed(changes)
}

impl SimulateArgs {
    fn config(self) -> SimulatorConfig {
        let usual = SimulatorConfig::default();
        let api_keys = match self.api_key_sid.zip(self.api_key_secret) {
            Some(key) => BTreeMap::from([key]),
            None => usual.api_keys,
        };
        let numbers = self.numbers.map(|list| {
            list.split(',')
                .map(|number| number.trim().to_owned())
                .filter(|it| !it.is_empty())
                .collect()
        });
        let webhook = |vendor: &str, secret: Option<String>| {
            let url = self.dialer_url.as_deref()?.trim_end_matches('/');
            let url = format!("{url}/webhooks/{vendor}");
            Some(PostCallWebhook {
                url,
                secret: secret?,
            })
        };
        let agent = AgentSettings {
            post_call_webhook: webhook("elevenlabs", self.webhook_secret),
            vapi_server: webhook("vapi", self.vapi_webhook_secret),
            ..usual.agent
        };
        SimulatorConfig {
            agent,
            listen: self.listen,
            seed: self.seed,
            speed: self.speed,
            calls_per_second: self.calls_per_second,
            faults: self.faults.unwrap_or_default(),
            account_sid: self.account_sid.unwrap_or(usual.account_sid),
            auth_token: self.auth_token.unwrap_or(usual.auth_token),
            api_keys,
            numbers: numbers.unwrap_or(usual.numbers),
            agent_id: self.agent_id.unwrap_or(usual.agent_id),
            agent_api_key: self.agent_api_key.unwrap_or(usual.agent_api_key),
            vapi_assistant_id: self.vapi_assistant_id.unwrap_or(usual.vapi_assistant_id),
            vapi_api_key: self.vapi_api_key.unwrap_or(usual.vapi_api_key),
            ..SimulatorConfig::default()
        }
    }
}

/// Runs the simulator until it is told to end.
pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    if args.world {
        return super::world::run(args.seed, args.seeds, args.people, args.threads).await;
    }
    observability::start(LogFormat::Text);
    let simulator = Simulator::start(args.config()).await?;
    let config = simulator.config();
    let url = simulator.base_url();
    eprintln!("simulating Twilio, ElevenLabs and Vapi; give your dialer:");
    println!("TWILIO_BASE_URL={url}");
    println!("TWILIO_ACCOUNT_SID={}", config.account_sid);
    println!("TWILIO_AUTH_TOKEN={}", config.auth_token);
    println!("TWILIO_PHONE_NUMBER={}", config.numbers.join(","));
    println!("ELEVENLABS_BASE_URL={url}");
    println!("ELEVENLABS_API_KEY={}", config.agent_api_key);
    println!("ELEVENLABS_AGENT_ID={}", config.agent_id);
    println!("VAPI_BASE_URL={url}");
    println!("VAPI_API_KEY={}", config.vapi_api_key);
    println!("VAPI_ASSISTANT_ID={}", config.vapi_assistant_id);
    // Simulated people may be called at any hour.
    println!("DIALTONE_RULE_PROFILE=none");
    eprintln!("what really happened: {url}/sim/ledger; faults: POST {url}/sim/faults");
    interrupted().await?;
    simulator.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
