//! An installation to measure: the real server and the simulated telephone world, and a client.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail, ensure};
use dialtone::{
    app::{App, engine_settings, install_tls},
    clock::{Clock as _, SystemClock},
    config::Config,
    domain::Timestamp,
    engine::decide::Timing,
    sim::{Behaviour, Mix, Simulator, SimulatorConfig},
};
use reqwest::{Method, RequestBuilder, StatusCode, multipart};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};

/// How much faster than life people act: a busy line is over within a tenth of a second.
const SPEED: f64 = 20.0;

/// What the installation allows in all; what a campaign sets stays below.
const CALLS_PER_SECOND: f64 = 200.0;
pub const MAX_CONCURRENT_CALLS: u32 = 2_000;

const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "correct horse";

/// How often a client looks for what it waits for.
const LOOK: Duration = Duration::from_millis(5);

/// Where records are kept.
#[derive(Debug, Clone)]
pub enum StoreChoice {
    /// In a directory that vanishes.
    Sqlite,
    /// In a database of its own at this address, which is dropped in the end.
    Mongo(String),
}

impl StoreChoice {
    /// The word for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Mongo(_) => "MongoDB",
        }
    }
}

/// A running installation.
pub struct World {
    pub simulator: Simulator,
    pub client: Client,
    app: App,
    database: Option<Database>,
    /// Held for as long as the server runs.
    _directory: tempfile::TempDir,
}

struct Database {
    uri: String,
    name: String,
}

impl World {
    /// Starts everything; everybody who is called is busy, so that calls end soon and alike.
    pub async fn start(store: &StoreChoice) -> anyhow::Result<Self> {
        install_tls();
        let simulator = Simulator::start(SimulatorConfig {
            mix: Mix::only(Behaviour::Busy),
            speed: SPEED,
            ..SimulatorConfig::for_testing()
        })
        .await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let directory = tempfile::tempdir()?;
        let database = database(store);
        let vars = environment(
            &simulator,
            &address.to_string(),
            directory.path(),
            &database,
        );
        let config = Config::from_vars(vars)?;
        let mut settings = engine_settings(&config);
        settings.timing = timing();
        let app = App::start_with(config, settings, Some(listener)).await?;
        let client = Client::sign_in(&format!("http://{address}")).await?;
        Ok(Self {
            simulator,
            client,
            app,
            database,
            _directory: directory,
        })
    }

    /// Waits until `look` sees something.
    pub async fn until<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Simulator) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(seen) = look(&self.simulator) {
                return Ok(seen);
            }
            ensure!(Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// When the carrier was asked for each of its calls after the first `skip`, in order.
    pub fn creates(&self, skip: usize) -> Vec<Timestamp> {
        let calls = self.simulator.ledger().calls;
        calls
            .iter()
            .skip(skip)
            .map(|call| call.created_at)
            .collect()
    }

    /// Takes everything down and clears away what was kept.
    pub async fn end(self) -> anyhow::Result<()> {
        self.app.close().await;
        self.simulator.shutdown().await;
        if let Some(Database { uri, name }) = self.database {
            let client = mongodb::Client::with_uri_str(&uri).await?;
            client.database(&name).drop().await?;
        }
        Ok(())
    }
}

fn database(store: &StoreChoice) -> Option<Database> {
    let StoreChoice::Mongo(server) = store else {
        return None;
    };
    let name = format!("dialtone_bench_{}", SystemClock.new_uuid().simple());
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let uri = format!("{}/{name}?{options}", address.trim_end_matches('/'));
    Some(Database { uri, name })
}

/// The environment of a deployment, pointed at the simulator.
fn environment(
    simulator: &Simulator,
    address: &str,
    directory: &Path,
    database: &Option<Database>,
) -> BTreeMap<String, String> {
    let sim = simulator.config();
    let mut vars = vec![
        ("LISTEN_ADDR", address.to_owned()),
        ("PUBLIC_URL", format!("http://{address}")),
        ("TWILIO_BASE_URL", simulator.base_url()),
        ("TWILIO_ACCOUNT_SID", sim.account_sid.clone()),
        ("TWILIO_AUTH_TOKEN", sim.auth_token.clone()),
        ("TWILIO_PHONE_NUMBER", sim.numbers.join(",")),
        ("ELEVENLABS_BASE_URL", simulator.base_url()),
        ("ELEVENLABS_API_KEY", sim.agent_api_key.clone()),
        ("ELEVENLABS_AGENT_ID", sim.agent_id.clone()),
        ("DIALTONE_DATA_DIR", directory.display().to_string()),
        ("DIALTONE_CALLS_PER_SECOND", CALLS_PER_SECOND.to_string()),
        ("DIALTONE_RULE_PROFILE", "none".to_owned()),
        ("DIALTONE_MARK_FILE", "off".to_owned()),
        (
            "DIALTONE_MAX_CONCURRENT_CALLS",
            MAX_CONCURRENT_CALLS.to_string(),
        ),
        ("DIALTONE_ADMIN_EMAIL", EMAIL.to_owned()),
        ("DIALTONE_ADMIN_PASSWORD", PASSWORD.to_owned()),
        (
            "JWT_SECRET",
            SystemClock.new_uuid().simple().to_string().repeat(2),
        ),
    ];
    if let Some(database) = database {
        vars.push(("MONGODB_URI", database.uri.clone()));
    }
    vars.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Waits for people are as much shorter as people are faster; waits for machines stay.
fn timing() -> Timing {
    let usual = Timing::default();
    Timing {
        answer: usual.answer.div_f64(SPEED),
        talk: usual.talk.div_f64(SPEED),
        unplaced_gap: usual.unplaced_gap.div_f64(SPEED),
        refused_gap: usual.refused_gap.div_f64(SPEED),
        ..usual
    }
}

/// A list of `n` people, each with a number that exists: New York's area code has about eight
/// million of them.
pub fn list(n: u32) -> String {
    // No exchange ends in 11.
    let exchanges = (200..1000_u32).filter(|exchange| exchange % 100 != 11);
    let numbers = exchanges.flat_map(|exchange| {
        (0..10_000_u32).map(move |line| format!("+1212{exchange:03}{line:04}"))
    });
    let rows = numbers
        .take(n as usize)
        .zip(1..)
        .map(|(number, n)| format!("Person {n},{number},Town {}\n", n % 1000));
    std::iter::once("name,phone,city\n".to_owned())
        .chain(rows)
        .collect()
}

/// Somebody who speaks to the server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    async fn sign_in(url: &str) -> anyhow::Result<Self> {
        let mut client = Self {
            http: reqwest::Client::builder().no_proxy().build()?,
            base: format!("{url}/api/v1"),
            token: String::new(),
        };
        let login = json!({"email": EMAIL, "password": PASSWORD});
        let session = client.post("/auth/login", Some(&login)).await?;
        client.token = text(&session, "token")?;
        Ok(client)
    }

    /// Uploads a list as a campaign that does not start yet; gives its id.
    pub async fn upload(&self, csv: String, settings: &Value) -> anyhow::Result<String> {
        let form = multipart::Form::new()
            .text("name", "Bench")
            .text("prompt", "You call {{name}} from {{city}}.")
            .text("firstMessage", "Hello {{name}}.")
            .text("settings", settings.to_string())
            .text("start", "false")
            .part("file", multipart::Part::text(csv).file_name("people.csv"));
        let url = format!("{}/campaigns/start-from-csv", self.base);
        let made = self.answer(self.http.post(url).multipart(form)).await?;
        text(&made["campaign"], "id")
    }

    /// Asks something of a campaign, such as to `start`.
    pub async fn ask(&self, campaign: &str, action: &str) -> anyhow::Result<()> {
        self.post(&format!("/campaigns/{campaign}/{action}"), None)
            .await?;
        Ok(())
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        self.answer(self.http.get(url))
            .await
            .with_context(|| format!("GET {path}"))
    }

    async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(Method::POST, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.answer(request)
            .await
            .with_context(|| format!("POST {path}"))
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.bearer_auth(&self.token).send().await?;
        let status = response.status();
        let body = response.text().await?;
        if !status.is_success() {
            bail!("the server answered {status}: {body}");
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        serde_json::from_str(&body).context("the server's answer cannot be read")
    }
}

/// A text in an answer.
pub fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    let text = value[field].as_str();
    Ok(text
        .with_context(|| format!("the answer has no {field}: {value}"))?
        .to_owned())
}
