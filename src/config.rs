//! Settings: read once from the environment, checked at once, handed out in parts.
//!
//! Nothing else reads the environment. `.env.example` is the reference of all variables.

use std::{
    collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration,
};

use secrecy::SecretString;

use crate::domain::{
    address::PrivateHost,
    pacing::CallRate,
    phone::{PhoneNumber, Region},
    profile::ProfileId,
    rules::CampaignRules,
};

/// Everything that an operator of the installation decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens and how it is reached.
    pub server: ServerConfig,
    /// Where records are kept.
    pub store: StoreConfig,
    /// The carrier account.
    pub twilio: TwilioSettings,
    /// The accounts with voice agents.
    pub agents: AgentsConfig,
    /// Who may sign in.
    pub access: AccessConfig,
    /// What the default tenant may use.
    pub limits: LimitsConfig,
    /// How patient it is.
    pub waits: WaitsConfig,
    /// Who carries the audio of calls.
    pub media: MediaConfig,
    /// How it logs.
    pub log: LogFormat,
}

/// Where the server listens and how it is reached.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `LISTEN_ADDR`.
    pub listen: SocketAddr,
    /// `PUBLIC_URL` without a slash at the end: what the carrier calls and signs.
    pub public_url: String,
    /// `DIALTONE_NODE_URL`: where other processes of the installation reach this one.
    pub node_url: Option<String>,
    /// `DIALTONE_DEPLOYMENT`: what tells this deployment's records from a copy of them; the public
    /// address without it.
    pub deployment: String,
    /// `DIALTONE_MARK_FILE`: where it is noted outside of the records when they were last written, so
    /// that a restored backup is noticed. Beside the embedded store's directory without it; `off` for
    /// nowhere.
    pub mark: Option<PathBuf>,
    /// `DIALTONE_DRAIN_SECONDS`: how long talks may go on after a SIGTERM.
    pub drain: Duration,
    /// `DIALTONE_MAX_UPLOAD_MB`, in bytes: the largest list.
    pub max_upload_bytes: u64,
    /// `DIALTONE_STATIC_DIR`: read the dashboard from there instead of from the binary.
    pub static_dir: Option<PathBuf>,
    /// `DIALTONE_TOOL_PRIVATE_HOSTS`: what tools of tenants may reach although it is private, and without
    /// TLS; several separated by commas.
    pub private_hosts: Vec<PrivateHost>,
}

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// A file in `DIALTONE_DATA_DIR`.
    Embedded {
        /// The directory.
        dir: PathBuf,
    },
    /// `MONGODB_URI`.
    Mongo {
        /// With user and password, so not to be printed.
        uri: SecretString,
    },
}

/// The carrier account.
#[derive(Debug, Clone)]
pub struct TwilioSettings {
    /// `TWILIO_ACCOUNT_SID`.
    pub account_sid: String,
    /// `TWILIO_AUTH_TOKEN`: signs callbacks, and requests where there is no API key.
    pub auth_token: SecretString,
    /// `TWILIO_API_KEY_SID` and `TWILIO_API_KEY_SECRET`.
    pub api_key: Option<(String, SecretString)>,
    /// `TWILIO_PHONE_NUMBER`, several separated by commas.
    pub phone_numbers: Vec<PhoneNumber>,
    /// `TWILIO_BASE_URL`.
    pub base_url: String,
}

/// The accounts with voice agents; at least one.
#[derive(Debug, Clone)]
pub struct AgentsConfig {
    /// `ELEVENLABS_…`.
    pub elevenlabs: Option<ElevenLabsSettings>,
    /// `VAPI_…`.
    pub vapi: Option<VapiSettings>,
    /// `DIALTONE_AGENT_VENDOR`: whose agents serve campaigns that name no vendor.
    pub preferred: VendorChoice,
}

/// The vendors of agents that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VendorChoice {
    /// `elevenlabs`.
    ElevenLabs,
    /// `vapi`.
    Vapi,
}

/// An account with Vapi.
#[derive(Debug, Clone)]
pub struct VapiSettings {
    /// `VAPI_API_KEY`.
    pub api_key: SecretString,
    /// `VAPI_ASSISTANT_ID`.
    pub assistant_id: String,
    /// `VAPI_BASE_URL`.
    pub base_url: String,
    /// `VAPI_AUDIO`: whether audio goes as linear samples instead of mu-law.
    pub is_linear: bool,
    /// `VAPI_WEBHOOK_SECRET`: what server messages are authenticated with; several separated by commas.
    pub webhook_secrets: Vec<SecretString>,
}

/// An account with ElevenLabs.
#[derive(Debug, Clone)]
pub struct ElevenLabsSettings {
    /// `ELEVENLABS_API_KEY`.
    pub api_key: SecretString,
    /// `ELEVENLABS_AGENT_ID`.
    pub agent_id: String,
    /// `ELEVENLABS_BASE_URL`.
    pub base_url: String,
    /// `ELEVENLABS_WEBHOOK_SECRET`: signs post-call webhooks; several separated by commas.
    pub webhook_secrets: Vec<SecretString>,
}

/// Who may sign in.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// `JWT_SECRET`; none lets the embedded store's directory keep a generated one.
    pub jwt_secret: Option<SecretString>,
    /// `DIALTONE_ADMIN_EMAIL`: the first user, created when there is none.
    pub admin_email: String,
    /// `DIALTONE_ADMIN_PASSWORD`; none generates one and prints it once.
    pub admin_password: Option<SecretString>,
}

/// What the default tenant may use.
#[derive(Debug, Clone)]
pub struct LimitsConfig {
    /// `DIALTONE_MAX_CONCURRENT_CALLS`.
    pub max_concurrent_calls: u32,
    /// `DIALTONE_CALLS_PER_SECOND`.
    pub calls_per_second: CallRate,
    /// `DIALTONE_AGENT_MAX_CONVERSATIONS`: how many the agent's account holds at once; none where it
    /// sets no limit.
    pub max_conversations: Option<u32>,
    /// `DIALTONE_UNPLACED_GAP_SECONDS`: how long nobody dials a person whose call was never placed
    /// after all, as far as the carrier knows.
    pub unplaced_gap: Duration,
    /// `DIALTONE_DEFAULT_REGION`.
    pub region: Region,
    /// `DIALTONE_RULE_PROFILE` and `DIALTONE_TIME_ZONE`: the rules of a campaign that names none, and
    /// the zone of people whose number and list tell none.
    pub rules: CampaignRules,
}

/// How long the server waits for others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WaitsConfig {
    /// `DIALTONE_LEASE_MS`: how long the dispatching of a process that died stays with it.
    pub lease: Duration,
    /// `DIALTONE_SIMULATED_SPEED`: how much faster than life the carrier is. Above 1 with the
    /// simulator alone.
    pub speed: f64,
}

/// Who carries the audio of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaConfig {
    /// `DIALTONE_MEDIA`.
    pub path: MediaPath,
    /// `DIALTONE_MEDIA_WORKERS`: how many threads; none takes one for two processors.
    pub n_workers: Option<usize>,
    /// `DIALTONE_MEDIA_TICK_US`: how long a worker sleeps between two rounds.
    pub tick: Duration,
    /// `DIALTONE_AGENT_WARM_UP`: for how many calls that ring a connection to the agent is prepared.
    pub n_warm: usize,
}

/// The ways audio can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaPath {
    /// A few threads that own all sockets.
    Workers,
    /// Tasks for each call, which are easier to follow and cost more.
    Tasks,
}

/// How the server logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One thing that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which variable.
    pub variable: &'static str,
    /// What is wrong, and what is expected. Never holds a secret's value.
    pub what: String,
}

/// Everything that is wrong with the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration cannot be used:")?;
        for problem in &self.0 {
            writeln!(f, "  {}: {}", problem.variable, problem.what)?;
        }
        write!(
            f,
            "hint: see .env.example; `dialtone demo` needs no configuration at all"
        )
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the process's environment, `.env` in the working directory included.
    pub fn from_env() -> Result<Self, ConfigError> {
        // A missing .env is the ordinary case.
        dotenvy::dotenv().ok();
        Self::from_vars(std::env::vars().collect())
    }

    /// Reads settings from variables by name; an empty value is as good as none.
    pub fn from_vars(vars: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut reader = Reader {
            vars,
            problems: Vec::new(),
        };
        let config = Self {
            server: reader.server(),
            store: reader.store(),
            twilio: reader.twilio(),
            agents: reader.agents(),
            access: reader.access(),
            limits: reader.limits(),
            waits: reader.waits(),
            media: reader.media(),
            log: reader.log(),
        };
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(reader.problems))
        }
    }
}

/// A shorter lease would be lost whenever a machine is busy.
const MIN_LEASE_MS: u64 = 300;

/// Audio that is late by more is noticed.
const MAX_TICK_US: u64 = 20_000;

/// No machine has processors for more threads than this to carry audio.
const MAX_MEDIA_WORKERS: usize = 256;

/// Reads variables and remembers what is wrong with them, so that all is reported at once.
struct Reader {
    vars: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn server(&mut self) -> ServerConfig {
        let drain = self.parse("DIALTONE_DRAIN_SECONDS", "600", "a number of seconds");
        let upload_mb: u64 = self.parse("DIALTONE_MAX_UPLOAD_MB", "2048", "a number of megabytes");
        let reached = "the address at which the carrier reaches this server, such as \
                       https://dialer.example.com";
        let listen = self.parse("LISTEN_ADDR", "127.0.0.1:8080", "an address and a port");
        let public_url = self.url("PUBLIC_URL", None, reached);
        ServerConfig {
            deployment: self
                .get("DIALTONE_DEPLOYMENT")
                .unwrap_or_else(|| public_url.clone()),
            node_url: self.node_url(),
            mark: self.mark(),
            listen,
            public_url,
            drain: Duration::from_secs(drain),
            max_upload_bytes: upload_mb.saturating_mul(1024 * 1024),
            static_dir: self.get("DIALTONE_STATIC_DIR").map(PathBuf::from),
            private_hosts: self.private_hosts(),
        }
    }

    fn node_url(&mut self) -> Option<String> {
        const VARIABLE: &str = "DIALTONE_NODE_URL";
        self.get(VARIABLE)?;
        let expected = "the address at which other processes reach this one, such as \
                        http://10.0.0.7:8080";
        Some(self.url(VARIABLE, None, expected))
    }

    fn private_hosts(&mut self) -> Vec<PrivateHost> {
        const VARIABLE: &str = "DIALTONE_TOOL_PRIVATE_HOSTS";
        let text = self.get(VARIABLE).unwrap_or_default();
        let mut hosts = Vec::new();
        let parts = text.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            match part.parse::<PrivateHost>() {
                Ok(host) => hosts.push(host),
                Err(error) => self.problem(VARIABLE, error.to_string()),
            }
        }
        hosts
    }

    fn mark(&self) -> Option<PathBuf> {
        match (self.get("DIALTONE_MARK_FILE"), self.get("MONGODB_URI")) {
            (Some(text), _) if text == "off" => None,
            (Some(text), _) => Some(text.into()),
            (None, Some(_)) => None,
            (None, None) => Some(self.data_dir().with_extension("mark")),
        }
    }

    fn data_dir(&self) -> PathBuf {
        let dir = self.get("DIALTONE_DATA_DIR");
        dir.unwrap_or_else(|| "data".to_owned()).into()
    }

    fn store(&mut self) -> StoreConfig {
        match self.get("MONGODB_URI") {
            Some(uri) => StoreConfig::Mongo { uri: uri.into() },
            None => StoreConfig::Embedded {
                dir: self.data_dir(),
            },
        }
    }

    fn twilio(&mut self) -> TwilioSettings {
        let key_sid = self.get("TWILIO_API_KEY_SID");
        let key_secret = self.get("TWILIO_API_KEY_SECRET");
        if key_sid.is_some() != key_secret.is_some() {
            self.problem(
                "TWILIO_API_KEY_SID",
                "needs TWILIO_API_KEY_SECRET beside it".to_owned(),
            );
        }
        TwilioSettings {
            account_sid: self.required(
                "TWILIO_ACCOUNT_SID",
                "the account's SID, which begins with AC",
            ),
            auth_token: self
                .required(
                    "TWILIO_AUTH_TOKEN",
                    "the account's auth token, which signs callbacks",
                )
                .into(),
            api_key: key_sid.zip(key_secret.map(SecretString::from)),
            phone_numbers: self.phone_numbers(),
            base_url: self.url(
                "TWILIO_BASE_URL",
                Some("https://api.twilio.com"),
                "an https address",
            ),
        }
    }

    fn phone_numbers(&mut self) -> Vec<PhoneNumber> {
        let text = self.required(
            "TWILIO_PHONE_NUMBER",
            "the numbers to call from, in the form +12025550100, separated by commas",
        );
        let mut numbers = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.parse() {
                Ok(number) => numbers.push(number),
                Err(_) => self.problem(
                    "TWILIO_PHONE_NUMBER",
                    format!("{part:?} is not of the form +12025550100"),
                ),
            }
        }
        numbers
    }

    fn agents(&mut self) -> AgentsConfig {
        let has = |reader: &Self, variables: [&str; 2]| {
            let mut variables = variables.into_iter();
            variables.any(|variable| reader.get(variable).is_some())
        };
        let has_vapi = has(self, ["VAPI_API_KEY", "VAPI_ASSISTANT_ID"]);
        let has_elevenlabs = has(self, ["ELEVENLABS_API_KEY", "ELEVENLABS_AGENT_ID"]);
        let elevenlabs = (has_elevenlabs || !has_vapi).then(|| self.elevenlabs());
        let vapi = has_vapi.then(|| self.vapi());
        let (preferred, is_there) = match self.get("DIALTONE_AGENT_VENDOR").as_deref() {
            None if elevenlabs.is_some() => (VendorChoice::ElevenLabs, true),
            None => (VendorChoice::Vapi, true),
            Some("elevenlabs") => (VendorChoice::ElevenLabs, elevenlabs.is_some()),
            Some("vapi") => (VendorChoice::Vapi, vapi.is_some()),
            Some(_) => (VendorChoice::ElevenLabs, false),
        };
        if !is_there {
            let what = "is neither elevenlabs nor vapi, or that account is not set up";
            self.problem("DIALTONE_AGENT_VENDOR", what.to_owned());
        }
        AgentsConfig {
            elevenlabs,
            vapi,
            preferred,
        }
    }

    fn vapi(&mut self) -> VapiSettings {
        let is_linear = match self.get("VAPI_AUDIO").as_deref() {
            None | Some("mulaw") => false,
            Some("linear") => true,
            Some(other) => {
                let what = format!("{other:?} is neither mulaw nor linear");
                self.problem("VAPI_AUDIO", what);
                false
            }
        };
        VapiSettings {
            api_key: self
                .required("VAPI_API_KEY", "the private key of the organisation")
                .into(),
            assistant_id: self.required("VAPI_ASSISTANT_ID", "the assistant that speaks"),
            base_url: self.url(
                "VAPI_BASE_URL",
                Some("https://api.vapi.ai"),
                "an https address",
            ),
            is_linear,
            webhook_secrets: self.secrets("VAPI_WEBHOOK_SECRET"),
        }
    }

    /// Secrets that are separated by commas: two while one takes the place of the other.
    fn secrets(&self, variable: &str) -> Vec<SecretString> {
        let text = self.get(variable).unwrap_or_default();
        let secrets = text.split(',').map(str::trim);
        secrets
            .filter(|secret| !secret.is_empty())
            .map(|secret| secret.to_owned().into())
            .collect()
    }

    fn elevenlabs(&mut self) -> ElevenLabsSettings {
        ElevenLabsSettings {
            api_key: self
                .required("ELEVENLABS_API_KEY", "an API key with access to agents")
                .into(),
            agent_id: self.required("ELEVENLABS_AGENT_ID", "the agent that speaks"),
            base_url: self.url(
                "ELEVENLABS_BASE_URL",
                Some("https://api.elevenlabs.io"),
                "an https address",
            ),
            webhook_secrets: self.secrets("ELEVENLABS_WEBHOOK_SECRET"),
        }
    }

    fn access(&mut self) -> AccessConfig {
        let jwt_secret = self.get("JWT_SECRET");
        if jwt_secret.as_ref().is_some_and(|secret| secret.len() < 32) {
            self.problem("JWT_SECRET", "needs at least 32 characters".to_owned());
        }
        if jwt_secret.is_none() && self.get("MONGODB_URI").is_some() {
            self.problem(
                "JWT_SECRET",
                "is needed with MONGODB_URI: at least 32 random characters, the same on every node"
                    .to_owned(),
            );
        }
        AccessConfig {
            jwt_secret: jwt_secret.map(SecretString::from),
            admin_email: self
                .get("DIALTONE_ADMIN_EMAIL")
                .unwrap_or_else(|| "admin@localhost".to_owned()),
            admin_password: self.get("DIALTONE_ADMIN_PASSWORD").map(SecretString::from),
        }
    }

    fn limits(&mut self) -> LimitsConfig {
        let per_second: f64 = self.parse("DIALTONE_CALLS_PER_SECOND", "1", "a number of calls");
        let calls_per_second = CallRate::try_from(per_second).unwrap_or_else(|error| {
            self.problem("DIALTONE_CALLS_PER_SECOND", error.to_string());
            CallRate::default()
        });
        let region = self.parse(
            "DIALTONE_DEFAULT_REGION",
            "US",
            "a country such as US or GB",
        );
        LimitsConfig {
            max_concurrent_calls: self.parse(
                "DIALTONE_MAX_CONCURRENT_CALLS",
                "100",
                "a number of calls",
            ),
            calls_per_second,
            max_conversations: self.max_conversations(),
            unplaced_gap: Duration::from_secs(self.parse(
                "DIALTONE_UNPLACED_GAP_SECONDS",
                "900",
                "a number of seconds",
            )),
            region,
            rules: self.rules(region),
        }
    }

    fn max_conversations(&mut self) -> Option<u32> {
        const VARIABLE: &str = "DIALTONE_AGENT_MAX_CONVERSATIONS";
        let text = self.get(VARIABLE)?;
        let most = text.parse().ok().filter(|most| *most > 0);
        if most.is_none() {
            let what = format!("{text:?} is not a number of conversations, 1 or more");
            self.problem(VARIABLE, what);
        }
        most
    }

    fn rules(&mut self, region: Region) -> CampaignRules {
        let usual = CampaignRules::default();
        let profile = ProfileId::for_country(&region.code()).as_str();
        CampaignRules {
            profile: self.parse(
                "DIALTONE_RULE_PROFILE",
                profile,
                "a profile of calling rules such as us-strict, uk or none",
            ),
            zone: self.parse(
                "DIALTONE_TIME_ZONE",
                usual.zone.name(),
                "a time zone such as America/New_York",
            ),
            ..usual
        }
    }

    fn waits(&mut self) -> WaitsConfig {
        let lease: u64 = self.parse("DIALTONE_LEASE_MS", "3000", "a number of milliseconds");
        if lease < MIN_LEASE_MS {
            let what =
                format!("{lease} is too short to be renewed in time; at least {MIN_LEASE_MS}");
            self.problem("DIALTONE_LEASE_MS", what);
        }
        let speed: f64 = self.parse("DIALTONE_SIMULATED_SPEED", "1", "a number of times");
        let is_simulated = self.get("TWILIO_BASE_URL").is_some_and(|url| {
            reqwest::Url::parse(&url).is_ok_and(|url| {
                !url.host_str()
                    .is_some_and(|host| host.ends_with("twilio.com"))
            })
        });
        if !(1.0..=100.0).contains(&speed) {
            let what = format!("{speed} is not from 1 to 100");
            self.problem("DIALTONE_SIMULATED_SPEED", what);
        } else if speed > 1.0 && !is_simulated {
            let what = "is for the simulator: TWILIO_BASE_URL must name it".to_owned();
            self.problem("DIALTONE_SIMULATED_SPEED", what);
        }
        WaitsConfig {
            lease: Duration::from_millis(lease),
            speed,
        }
    }

    fn media(&mut self) -> MediaConfig {
        let path = match self.get("DIALTONE_MEDIA").as_deref() {
            None | Some("workers") => MediaPath::Workers,
            Some("tasks") => MediaPath::Tasks,
            Some(other) => {
                let what = format!("{other:?} is neither workers nor tasks");
                self.problem("DIALTONE_MEDIA", what);
                MediaPath::Workers
            }
        };
        let n_workers: usize = self.parse("DIALTONE_MEDIA_WORKERS", "0", "a number of threads");
        if n_workers > MAX_MEDIA_WORKERS {
            let what = format!("{n_workers} is above {MAX_MEDIA_WORKERS}");
            self.problem("DIALTONE_MEDIA_WORKERS", what);
        }
        let tick: u64 = self.parse("DIALTONE_MEDIA_TICK_US", "700", "a number of microseconds");
        if tick > MAX_TICK_US {
            let what = format!("{tick} is above {MAX_TICK_US}");
            self.problem("DIALTONE_MEDIA_TICK_US", what);
        }
        MediaConfig {
            path,
            n_workers: (n_workers > 0).then_some(n_workers),
            tick: Duration::from_micros(tick),
            n_warm: self.parse("DIALTONE_AGENT_WARM_UP", "100", "a number of connections"),
        }
    }

    fn log(&mut self) -> LogFormat {
        match self.get("DIALTONE_LOG_FORMAT").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let what = format!("{other:?} is neither text nor json");
                self.problem("DIALTONE_LOG_FORMAT", what);
                LogFormat::Text
            }
        }
    }

    fn get(&self, variable: &str) -> Option<String> {
        self.vars
            .get(variable)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
    }

    fn required(&mut self, variable: &'static str, expected: &str) -> String {
        self.get(variable).unwrap_or_else(|| {
            self.problem(variable, format!("is not set; expected {expected}"));
            String::new()
        })
    }

    /// The variable read as `T`, or its default, which must be readable.
    fn parse<T: FromStr>(&mut self, variable: &'static str, default: &str, expected: &str) -> T {
        let text = self.get(variable);
        if let Some(value) = text.as_deref().and_then(|text| text.parse().ok()) {
            return value;
        }
        if let Some(text) = text {
            self.problem(variable, format!("{text:?} is not {expected}"));
        }
        default
            .parse()
            .ok()
            .expect("a default is of its variable's form")
    }

    /// An http or https address without a slash at the end.
    fn url(&mut self, variable: &'static str, default: Option<&str>, expected: &str) -> String {
        let text = match (self.get(variable), default) {
            (Some(text), _) => text,
            (None, Some(default)) => default.to_owned(),
            (None, None) => return self.required(variable, expected),
        };
        let text = text.trim_end_matches('/').to_owned();
        let usable = reqwest::Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
        });
        if !usable {
            self.problem(variable, format!("{text:?} is not {expected}"));
        }
        text
    }

    fn problem(&mut self, variable: &'static str, what: String) {
        self.problems.push(Problem { variable, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let needed = [
            ("TWILIO_ACCOUNT_SID", "AC1"),
            ("TWILIO_AUTH_TOKEN", "token"),
            ("TWILIO_PHONE_NUMBER", "+12025550100, +12025550101"),
            ("ELEVENLABS_API_KEY", "key"),
            ("ELEVENLABS_AGENT_ID", "agent_1"),
            ("PUBLIC_URL", "https://dialer.example.com/"),
        ];
        needed
            .iter()
            .chain(pairs)
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn a_minimal_environment_is_enough() {
        let config = Config::from_vars(vars(&[])).unwrap();
        assert_eq!(config.server.public_url, "https://dialer.example.com");
        assert_eq!(config.twilio.phone_numbers.len(), 2);
        assert!(matches!(config.store, StoreConfig::Embedded { .. }));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let error = Config::from_vars(BTreeMap::from([
            ("LISTEN_ADDR".to_owned(), "here".to_owned()),
            ("PUBLIC_URL".to_owned(), "dialer.example.com".to_owned()),
            ("DIALTONE_CALLS_PER_SECOND".to_owned(), "1000".to_owned()),
            ("MONGODB_URI".to_owned(), "mongodb://localhost".to_owned()),
        ]))
        .unwrap_err();
        let variables: Vec<_> = error.0.iter().map(|problem| problem.variable).collect();
        assert_eq!(
            variables,
            [
                "LISTEN_ADDR",
                "PUBLIC_URL",
                "TWILIO_ACCOUNT_SID",
                "TWILIO_AUTH_TOKEN",
                "TWILIO_PHONE_NUMBER",
                "ELEVENLABS_API_KEY",
                "ELEVENLABS_AGENT_ID",
                "JWT_SECRET",
                "DIALTONE_CALLS_PER_SECOND",
            ]
        );
    }

    #[test]
    fn audio_goes_by_workers_unless_told_otherwise() {
        let media = |pairs: &[(&str, &str)]| Config::from_vars(vars(pairs)).map(|it| it.media);
        let usual = MediaConfig {
            path: MediaPath::Workers,
            n_workers: None,
            tick: Duration::from_micros(700),
            n_warm: 100,
        };
        assert_eq!(media(&[]), Ok(usual));
        let chosen = [
            ("DIALTONE_MEDIA", "tasks"),
            ("DIALTONE_MEDIA_WORKERS", "3"),
            ("DIALTONE_MEDIA_TICK_US", "500"),
            ("DIALTONE_AGENT_WARM_UP", "0"),
        ];
        let expected = MediaConfig {
            path: MediaPath::Tasks,
            n_workers: Some(3),
            tick: Duration::from_micros(500),
            n_warm: 0,
        };
        assert_eq!(media(&chosen), Ok(expected));
        assert!(media(&[("DIALTONE_MEDIA", "carrier pigeon")]).is_err());
        assert!(media(&[("DIALTONE_MEDIA_TICK_US", "20001")]).is_err());
        assert!(media(&[("DIALTONE_MEDIA_WORKERS", "257")]).is_err());
    }

    #[test]
    fn shorter_waits_are_for_the_simulator_alone() {
        let speed = ("DIALTONE_SIMULATED_SPEED", "10");
        let wrong = |pairs: &[(&str, &str)]| match Config::from_vars(vars(pairs)) {
            Ok(_) => String::new(),
            Err(error) => error.0[0].what.clone(),
        };
        let real = "is for the simulator: TWILIO_BASE_URL must name it";
        assert_eq!(wrong(&[speed]), real);
        let region = ("TWILIO_BASE_URL", "https://api.dublin.ie1.twilio.com");
        assert_eq!(wrong(&[speed, region]), real);
        let simulator = ("TWILIO_BASE_URL", "http://127.0.0.1:4010");
        assert_eq!(wrong(&[speed, simulator]), "");
        let slow = ("DIALTONE_SIMULATED_SPEED", "0.5");
        assert_eq!(wrong(&[slow, simulator]), "0.5 is not from 1 to 100");
        let short = "10 is too short to be renewed in time; at least 300";
        assert_eq!(wrong(&[("DIALTONE_LEASE_MS", "10")]), short);
    }

    #[test]
    fn the_agents_account_sets_no_limit_or_one_that_lets_somebody_talk() {
        let of = |text| Config::from_vars(vars(&[("DIALTONE_AGENT_MAX_CONVERSATIONS", text)]));
        assert_eq!(of("").unwrap().limits.max_conversations, None);
        assert_eq!(of("15").unwrap().limits.max_conversations, Some(15));
        for wrong in ["0", "-1", "many"] {
            let problem = of(wrong).unwrap_err().0.remove(0);
            assert_eq!(problem.variable, "DIALTONE_AGENT_MAX_CONVERSATIONS");
            assert!(problem.what.contains(wrong), "{}", problem.what);
        }
    }

    #[test]
    fn one_vendor_of_agents_is_enough_and_the_preferred_one_must_be_there() {
        let of = |pairs: &[(&str, &str)]| Config::from_vars(vars(pairs)).map(|it| it.agents);
        let vapi = [("VAPI_API_KEY", "key"), ("VAPI_ASSISTANT_ID", "asst")];
        let without = [("ELEVENLABS_API_KEY", ""), ("ELEVENLABS_AGENT_ID", "")];
        let usual = of(&[]).unwrap();
        assert!(usual.vapi.is_none() && usual.preferred == VendorChoice::ElevenLabs);
        let both = of(&vapi).unwrap();
        assert!(both.elevenlabs.is_some() && both.vapi.is_some());
        assert_eq!(both.preferred, VendorChoice::ElevenLabs);
        let chosen = of(&[vapi[0], vapi[1], ("DIALTONE_AGENT_VENDOR", "vapi")]).unwrap();
        assert_eq!(chosen.preferred, VendorChoice::Vapi);
        let alone = of(&[vapi[0], vapi[1], without[0], without[1]]).unwrap();
        assert!(alone.elevenlabs.is_none() && alone.preferred == VendorChoice::Vapi);
        for wrong in [
            vec![("DIALTONE_AGENT_VENDOR", "vapi")],
            vec![("VAPI_API_KEY", "key")],
            vec![vapi[0], vapi[1], ("VAPI_AUDIO", "opus")],
        ] {
            assert!(of(&wrong).is_err(), "{wrong:?}");
        }
    }

    // proves F-56
    #[test]
    fn a_webhook_may_have_two_secrets_and_none() {
        let of = |text| {
            let vars = vars(&[("ELEVENLABS_WEBHOOK_SECRET", text)]);
            let agents = Config::from_vars(vars).unwrap().agents;
            agents.elevenlabs.unwrap().webhook_secrets.len()
        };
        assert_eq!(
            ["", " , ", "wsec_1", "wsec_1, wsec_2"].map(of),
            [0, 0, 1, 2]
        );
    }

    // proves F-90
    #[test]
    fn secrets_are_not_printed() {
        let config = Config::from_vars(vars(&[
            ("MONGODB_URI", "mongodb://u:hunter2@h"),
            ("ELEVENLABS_WEBHOOK_SECRET", "wsec_hunter2"),
            ("JWT_SECRET", "0123456789012345678901234567890123"),
        ]))
        .unwrap();
        let printed = format!("{config:?}");
        assert!(
            !printed.contains("hunter2") && !printed.contains("token\""),
            "{printed}"
        );
    }
}
