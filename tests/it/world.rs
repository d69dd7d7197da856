//! A whole installation for one test: the real server, the simulated telephone world, and clients.
//!
//! Everything is spoken to over its own protocol. A test says who lives at which number and what goes
//! wrong, acts as a client, and ends the world, which audits what really happened.

pub mod audit;
mod client;
mod place;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher as _};
use dialtone::{
    app::{App, engine_settings, install_tls},
    clock::{Clock as _, SystemClock},
    config::Config,
    domain::{
        access::{Role, User},
        enrollment::EnrollmentState,
        ids::{TenantId, UserId},
    },
    engine::{EngineSettings, decide::Timing},
    sim::{
        AgentSettings, Behaviour, Faults, LedgerSnapshot, Mix, PostCallWebhook, Simulator,
        SimulatorConfig,
    },
    store::{Commit, EnrollmentFilter, PageRequest, Store, StoreError},
};
use serde_json::Value;
use tokio::{net::TcpListener, time::Instant};

pub use self::{
    client::{Answer, Client},
    place::{Kind, Place, run},
};

/// Longer than anything in these tests takes; only a failure waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a poll looks.
const LOOK: Duration = Duration::from_millis(20);

/// How much faster than life people act, unless a test says otherwise.
const SPEED: f64 = 20.0;

/// Twilio lists it whenever a dialer closes the media socket, as it does when the agent has ended.
const STREAM_CLOSED_BY_US: u32 = 31921;

pub const REPORT_SECRET: &str = "wsec_for_tests";

pub const OWNER: &str = "owner@example.com";
pub const PASSWORD: &str = "correct horse";

/// The number of the `n`th person.
pub fn person(n: u32) -> String {
    format!("+1202555{n:04}")
}

/// A list of the people `from..to` with a name and a city each.
pub fn list(people: std::ops::Range<u32>) -> String {
    let rows = people.map(|n| format!("Person {n},{},Town {n}\n", person(n)));
    std::iter::once("name,phone,city\n".to_owned())
        .chain(rows)
        .collect()
}

/// Looks until there is something to see; fails when that takes longer than anything should.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets time pass in which nothing is to happen.
pub async fn watch_for(time: Duration) {
    let end = Instant::now() + time;
    until("the end of the watch", async || {
        (Instant::now() >= end).then_some(())
    })
    .await;
}

/// What a world is made of.
pub struct Scenario {
    place: Arc<Place>,
    simulator: SimulatorConfig,
    settings: Vec<(&'static str, String)>,
    /// What the simulated vendors sign their reports with; none where they send none.
    report_secret: Option<&'static str>,
    engine: Box<dyn Fn(&mut EngineSettings)>,
}

impl Scenario {
    /// A quick world in which everybody converses.
    pub fn on(place: &Arc<Place>) -> Self {
        Self {
            place: place.clone(),
            simulator: SimulatorConfig {
                seed: 7,
                speed: SPEED,
                agent: AgentSettings {
                    turns: (1, 1),
                    ..AgentSettings::default()
                },
                ..SimulatorConfig::for_testing()
            },
            settings: Vec::new(),
            report_secret: None,
            engine: Box::new(|_| {}),
        }
    }

    /// What a person does, call by call; the last entry repeats.
    pub fn callee<const N: usize>(mut self, n: u32, behaviour: [Behaviour; N]) -> Self {
        let overrides = &mut self.simulator.overrides;
        overrides.insert(person(n), behaviour.to_vec());
        self
    }

    /// What everybody does who is not named.
    pub fn everyone(mut self, behaviour: Behaviour) -> Self {
        self.simulator.mix = Mix::only(behaviour);
        self
    }

    pub fn faults(mut self, faults: Faults) -> Self {
        self.simulator.faults = faults;
        self
    }

    /// A change of the simulator that has no word of its own here.
    pub fn simulator(mut self, change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        change(&mut self.simulator);
        self
    }

    /// A variable of the server's environment.
    pub fn setting(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.settings.push((variable, value.to_string()));
        self
    }

    /// The server has an account with the second vendor of agents too.
    pub fn with_vapi(self) -> Self {
        let (key, assistant) = (
            self.simulator.vapi_api_key.clone(),
            self.simulator.vapi_assistant_id.clone(),
        );
        self.setting("VAPI_API_KEY", key)
            .setting("VAPI_ASSISTANT_ID", assistant)
    }

    /// The server takes what the agents' vendors find in conversations, when it is signed with
    /// [`REPORT_SECRET`].
    pub fn takes_reports(self) -> Self {
        self.setting("ELEVENLABS_WEBHOOK_SECRET", REPORT_SECRET)
            .setting("VAPI_WEBHOOK_SECRET", REPORT_SECRET)
    }

    /// The simulated vendors tell what they find, signed with `secret`.
    pub fn sends_reports(mut self, secret: &'static str) -> Self {
        self.report_secret = Some(secret);
        self
    }

    /// A change of how the engine works.
    pub fn engine(mut self, change: impl Fn(&mut EngineSettings) + 'static) -> Self {
        self.engine = Box::new(change);
        self
    }

    /// Waits for the carrier that end within a second, for tests in which its news do not come.
    pub fn impatient(self) -> Self {
        self.engine(|settings| {
            settings.timing = impatient();
            settings.sweep = Duration::from_millis(100);
        })
    }

    pub async fn start(mut self) -> World {
        install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        if let Some(secret) = self.report_secret {
            let webhook = |vendor: &str| {
                Some(PostCallWebhook {
                    url: format!("http://{address}/webhooks/{vendor}"),
                    secret: secret.to_owned(),
                })
            };
            self.simulator.agent.post_call_webhook = webhook("elevenlabs");
            self.simulator.agent.vapi_server = webhook("vapi");
        }
        let simulator = Simulator::start(self.simulator).await.unwrap();
        let mut vars = environment(&self.place, &simulator, &address.to_string());
        vars.extend(
            self.settings
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        let config = Config::from_vars(vars).unwrap();
        let mut settings = engine_settings(&config);
        settings.timing = quick(simulator.config().speed);
        (self.engine)(&mut settings);

        let store = self.place.open().await;
        store.ensure_tenant(TenantId::DEFAULT).await.unwrap();
        add_user(&*store, TenantId::DEFAULT, OWNER, Role::Owner).await;
        let app = App::start_with(config.clone(), settings.clone(), Some(listener))
            .await
            .unwrap();
        let owner = Client::sign_in(&format!("http://{address}"), OWNER, PASSWORD).await;
        World {
            simulator,
            app,
            owner,
            store,
            config,
            settings,
        }
    }
}

/// The environment of a deployment, pointed at the simulator.
pub fn environment(
    place: &Place,
    simulator: &Simulator,
    address: &str,
) -> BTreeMap<String, String> {
    let sim = simulator.config();
    let mut vars = BTreeMap::from([
        ("LISTEN_ADDR", address.to_owned()),
        ("PUBLIC_URL", format!("http://{address}")),
        ("DIALTONE_NODE_URL", format!("http://{address}")),
        ("TWILIO_BASE_URL", simulator.base_url()),
        ("TWILIO_ACCOUNT_SID", sim.account_sid.clone()),
        ("TWILIO_AUTH_TOKEN", sim.auth_token.clone()),
        ("TWILIO_PHONE_NUMBER", sim.numbers.join(",")),
        ("ELEVENLABS_BASE_URL", simulator.base_url()),
        ("ELEVENLABS_API_KEY", sim.agent_api_key.clone()),
        ("ELEVENLABS_AGENT_ID", sim.agent_id.clone()),
        // An account that is set up only where a test says so.
        ("VAPI_BASE_URL", simulator.base_url()),
        ("DIALTONE_CALLS_PER_SECOND", "200".to_owned()),
        // Simulated people may be called at any hour.
        ("DIALTONE_RULE_PROFILE", "none".to_owned()),
        ("DIALTONE_MARK_FILE", "off".to_owned()),
        ("DIALTONE_MEDIA", place.media().to_owned()),
        // The same records are taken up again at another address.
        ("DIALTONE_DEPLOYMENT", "tests".to_owned()),
        ("DIALTONE_ADMIN_EMAIL", OWNER.to_owned()),
        ("DIALTONE_ADMIN_PASSWORD", PASSWORD.to_owned()),
        (
            "JWT_SECRET",
            "a secret that is long enough for tests".to_owned(),
        ),
    ]);
    vars.insert(place.variable(), place.value());
    vars.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Waits for people are as much shorter as people are faster; waits for machines stay.
fn quick(speed: f64) -> Timing {
    let usual = Timing::default();
    Timing {
        answer: usual.answer.div_f64(speed),
        talk: usual.talk.div_f64(speed),
        unplaced_gap: usual.unplaced_gap.div_f64(speed),
        refused_gap: usual.refused_gap.div_f64(speed),
        hold: usual.hold.div_f64(speed),
        ..usual
    }
}

fn impatient() -> Timing {
    Timing {
        // A slow machine must not take a request for lost that is only on its way.
        reply: Duration::from_secs(3),
        look: Duration::from_millis(400),
        answer: Duration::from_millis(100),
        talk: Duration::from_millis(500),
        going_on: Timing::default().going_on,
        hangup: Duration::from_millis(500),
        unplaced_gap: Duration::from_millis(700),
        refused_gap: Duration::from_millis(300),
        hold: Duration::from_millis(300),
        ..Timing::default()
    }
}

/// Adds a user whose password is [`PASSWORD`], hashed with the least effort that there is.
pub async fn add_user(store: &dyn Store, tenant: TenantId, email: &str, role: Role) {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).unwrap();
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(PASSWORD.as_bytes())
        .unwrap();
    let user = User {
        id: UserId::new(SystemClock.new_uuid()),
        tenant,
        email: email.to_owned(),
        password_hash: hash.to_string(),
        role,
        created_at: SystemClock.now(),
    };
    store.insert_user(&user).await.unwrap();
}

/// Which waits are cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// For news of calls that the carrier has named.
    ForNews,
    /// Also for calls that may not exist, and for the next attempt.
    All,
}

/// Lets waits of a campaign of the default tenant end now.
pub async fn end_waits(store: &dyn Store, campaign: &str, waits: Waits) {
    let campaign = campaign.parse().unwrap();
    let (filter, page) = (EnrollmentFilter::default(), PageRequest::first(500));
    let enrollments = store.list_enrollments(TenantId::DEFAULT, campaign, &filter, &page);
    let now = SystemClock.now();
    for mut enrollment in enrollments.await.unwrap().items {
        let is_named = enrollment
            .open_attempt()
            .is_some_and(|open| open.state.sid().is_some());
        let wait = match &mut enrollment.state {
            EnrollmentState::Waiting { due_at, .. } => due_at,
            EnrollmentState::Open { check_at, .. } => check_at,
            EnrollmentState::Finished { .. } => continue,
        };
        if *wait <= now || (waits == Waits::ForNews && !is_named) {
            continue;
        }
        *wait = now;
        enrollment.version += 1;
        let shortened = Commit {
            attempt: enrollment.open_attempt().cloned(),
            enrollment,
            events: vec![],
        };
        match store.commit(&shortened).await {
            // The server was faster: then there was news.
            // A killed server may have left a transaction that holds the record for a while.
            Ok(()) | Err(StoreError::Conflict { .. } | StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// A running installation.
pub struct World {
    pub simulator: Simulator,
    pub app: App,
    /// Signed in as the default tenant's owner.
    pub owner: Client,
    /// A second handle on the records, for what no client can do.
    pub store: Arc<dyn Store>,
    config: Config,
    settings: EngineSettings,
}

impl World {
    /// Starts another process on the same records, which the carrier does not reach.
    pub async fn another_process(&self) -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let node_url = Some(format!("http://{address}"));
        let (mut config, mut settings) = (self.config.clone(), self.settings.clone());
        config.server.node_url = node_url.clone();
        settings.node_url = node_url;
        App::start_with(config, settings, Some(listener))
            .await
            .unwrap()
    }

    /// Where the server is reached.
    pub fn url(&self) -> String {
        format!("http://{}", self.app.address)
    }

    /// What really happened.
    pub fn ledger(&self) -> LedgerSnapshot {
        self.simulator.ledger()
    }

    /// Signs in as a user that [`add_user`] added.
    pub async fn sign_in(&self, email: &str) -> Client {
        Client::sign_in(&self.url(), email, PASSWORD).await
    }

    /// Uploads a list that starts to be called at once; gives the campaign's id.
    pub async fn start_campaign(&self, csv: &str, settings: Value) -> String {
        let started = self.owner.upload(csv, &settings, &[]).await.ok();
        started["campaign"]["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a campaign has that status.
    pub async fn until_status(&self, campaign: &str, status: &str) -> Value {
        let path = format!("/campaigns/{campaign}");
        until(&format!("campaign {status}"), async || {
            let campaign = self.owner.get(&path).await.ok();
            (campaign["status"] == status).then_some(campaign)
        })
        .await
    }

    /// As [`World::until_status`], while every wait for news of a call is cut short: the same happens
    /// as when the minutes pass in which nothing comes.
    pub async fn until_status_as_time_passes(&self, campaign: &str, status: &str) {
        let path = format!("/campaigns/{campaign}");
        until(&format!("campaign {status}"), async || {
            end_waits(&*self.store, campaign, Waits::ForNews).await;
            let campaign = self.owner.get(&path).await.ok();
            (campaign["status"] == status).then_some(())
        })
        .await;
    }

    /// Waits until a figure of a campaign's progress has come to `n`, or to nothing.
    pub async fn until_progress(&self, campaign: &str, figure: &str, n: u64) {
        let path = format!("/campaigns/{campaign}/progress");
        until(&format!("{n} {figure}"), async || {
            let progress = self.owner.get(&path).await.ok();
            let figure = progress[figure].as_u64().unwrap();
            // More than that may have come between two looks.
            let is_there = if n == 0 { figure == 0 } else { figure >= n };
            is_there.then_some(())
        })
        .await;
    }

    /// All calls of a campaign, the first attempt first.
    pub async fn calls(&self, campaign: &str) -> Vec<Value> {
        let mut calls = self
            .owner
            .all(&format!("/campaigns/{campaign}/calls"))
            .await;
        calls.reverse();
        calls
    }

    /// The attempts of one person, the first one first.
    pub async fn calls_to(&self, campaign: &str, n: u32) -> Vec<Value> {
        let mut calls = self.calls(campaign).await;
        calls.retain(|call| call["phone"] == person(n));
        calls.sort_by_key(|call| call["attempt"].as_u64());
        calls
    }

    /// A person in a campaign.
    pub async fn contact(&self, campaign: &str, n: u32) -> Value {
        let contacts = self
            .owner
            .all(&format!("/campaigns/{campaign}/contacts"))
            .await;
        let found = contacts
            .into_iter()
            .find(|contact| contact["phone"] == person(n));
        found.unwrap_or_else(|| panic!("person {n} is not in the campaign"))
    }

    /// Posts a callback as the carrier would, signed.
    pub async fn callback(&self, kind: &str, attempt: &str, fields: &[(&str, &str)]) -> Answer {
        let path = format!("/webhooks/twilio/{kind}/{attempt}");
        let token = &self.simulator.config().auth_token;
        self.owner.form(&self.url(), &path, fields, token).await
    }

    /// Ends the server as a deployment does, and starts it again on the same records.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// As [`World::restart`], configured differently.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        let address = self.app.address;
        self.app.drain().await;
        self.app.close().await;
        let listener = TcpListener::bind(address).await.unwrap();
        let (config, settings) = (self.config.clone(), self.settings.clone());
        let app = App::start_with(config, settings, Some(listener))
            .await
            .unwrap();
        Self { app, ..self }
    }

    /// Audits what happened and takes everything down.
    pub async fn end(self) {
        audit::check(
            &self.simulator,
            &self.owner,
            &BTreeSet::from([STREAM_CLOSED_BY_US]),
        )
        .await;
        let closing = async {
            self.app.close().await;
            self.simulator.shutdown().await;
        };
        let closed = tokio::time::timeout(DEADLINE, closing).await;
        assert!(closed.is_ok(), "the world did not end");
    }
}
