//! The composition root: settings and adapters become a running application.
//!
//! The only place that names concrete adapters. Starting joins them; draining lets talks end;
//! closing takes everything down in the order in which it depends on each other.

mod deployment;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    agents::{
        VoiceAgent,
        elevenlabs::{self, ElevenLabs, ElevenLabsConfig, PostCall},
        fleet::Fleet,
        vapi::{self, ServerMessages, Vapi, VapiAudio, VapiConfig},
    },
    api::{
        self, ApiState, ConversationSounds, ReportDialects,
        access::{Access, FirstUser},
        media::Media,
        nodes::Nodes,
        vault::Vault,
        web_tools::WebTools,
    },
    bridge::{
        Bridge, BridgeSettings,
        worker::{WorkerSettings, Workers},
    },
    clock::{Clock, FOLLOW_EVERY, Following, SteadyClock, SystemClock},
    config::{
        AgentsConfig, Config, ElevenLabsSettings, MediaConfig, MediaPath, StoreConfig,
        TwilioSettings, VapiSettings, VendorChoice,
    },
    domain::{
        Timestamp,
        ids::{AgentVendor, NodeId, TenantId},
    },
    engine::{Engine, EngineParts, EngineSettings, TenantLimits, decide::Timing},
    realtime::Realtime,
    store::{Store, StoreResult, memory::MemoryStore, mongo::MongoStore, sqlite::SqliteStore},
    telephony::twilio::{CallbackUrls, Credentials, TwilioCarrier, TwilioConfig},
    web::WebClient,
};

/// A running server.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// The first user, when this start created one.
    pub first_user: Option<FirstUser>,
    /// Decides and drives.
    pub engine: Engine,
    media: Arc<Media>,
    realtime: Realtime,
    drain: Duration,
    tasks: TaskTracker,
    /// Ends the talks and the live view.
    stop: CancellationToken,
    /// Ends the HTTP server.
    stop_http: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
}

/// How often a draining server looks whether its talks are over.
const DRAIN_LOOK: Duration = Duration::from_millis(200);

/// A reading of the time that takes longer says too little about it.
const SLOW_READING: SignedDuration = SignedDuration::from_millis(200);

/// How long connections may take to end after everything else has.
const HTTP_END: Duration = Duration::from_secs(5);

/// The shortest waits, however fast the simulated carrier is. A request may leave three seconds late.
const LEAST_REPLY: Duration = Duration::from_secs(5);
const LEAST_LOOK: Duration = Duration::from_secs(1);

/// An empty store that ends with the value and needs no time: what a simulated world runs on.
pub fn store_in_memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// The voice agents of a server that stands in for the vendor's at `base_url`: for measuring.
pub fn benchmark_agent(base_url: &str) -> anyhow::Result<Arc<dyn VoiceAgent>> {
    let config = ElevenLabsConfig {
        api_key: "none".to_owned().into(),
        agent_id: "agent_1".to_owned(),
        base_url: base_url.to_owned(),
    };
    Ok(Arc::new(ElevenLabs::new(config)?))
}

impl App {
    /// Starts everything on the machine's own clock, with the engine's usual settings.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let settings = engine_settings(&config);
        Self::start_with(config, settings, None).await
    }

    /// Starts everything; `listener` takes the place of the configured address.
    pub async fn start_with(
        config: Config,
        settings: EngineSettings,
        listener: Option<TcpListener>,
    ) -> anyhow::Result<Self> {
        install_tls();
        // First of all: nobody is called before the carrier can reach us.
        let listener = bind(&config, listener).await?;
        let address = listener.local_addr()?;
        let store = open_store(&config.store).await?;
        let steady = Arc::new(SteadyClock::new());
        steady.set(reference(&*store).await?);
        let clock: Arc<dyn Clock> = steady.clone();
        store.ensure_tenant(TenantId::DEFAULT).await?;

        let callbacks = CallbackUrls::new(&config.server.public_url)?;
        let carrier = TwilioCarrier::new(twilio_config(&config.twilio, callbacks.clone()))?;
        let agents = agents(&config.agents)?;
        let vendors = agents.iter().map(|(vendor, _)| vendor.clone()).collect();
        let secret = signing_secret(&config)?;
        let web_tools = WebTools {
            client: WebClient::new(config.server.private_hosts.clone())?,
            vault: Vault::new(&secret),
        };
        let access = Arc::new(Access::new(store.clone(), clock.clone(), &secret));
        let first_user = access
            .ensure_first_user(
                &config.access.admin_email,
                config.access.admin_password.as_ref(),
            )
            .await?;

        let engine = Engine::new(EngineParts {
            store: store.clone(),
            carrier: Arc::new(carrier),
            node: NodeId::new(clock.new_uuid()),
            clock,
            settings,
        });
        let mark = config.server.mark.clone();
        deployment::adopt(&engine, &config.server.deployment, mark.as_deref()).await?;
        engine.run();
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        tasks.spawn(deployment::keep_noting(engine.clone(), mark, stop.clone()));
        let bridge = Bridge::new(Arc::new(Fleet::new(agents)), BridgeSettings::default());
        let workers = media_workers(&config.media)?;
        let media = Media::new(
            bridge,
            workers,
            config.media.n_warm,
            tasks.clone(),
            stop.clone(),
        );
        let (realtime, socket_layer) = Realtime::new(engine.clone(), access.clone());
        spawn_listeners(&tasks, &stop, &engine, &media, &realtime);
        tasks.spawn(keep_time(steady, store, stop.clone()));

        let router = api::router(ApiState {
            engine: engine.clone(),
            access,
            media: media.clone(),
            web_tools: Arc::new(web_tools),
            nodes: Arc::new(Nodes::new(config.server.node_url.clone())?),
            tasks: tasks.clone(),
            public_url: config.server.public_url.as_str().into(),
            callbacks: Arc::new(callbacks),
            carrier_token: Arc::new(config.twilio.auth_token.clone()),
            agent_vendors: vendors,
            reports: Arc::new(report_dialects(&config.agents)),
            sounds: Arc::new(conversation_sounds(&config.agents)?),
            region: config.limits.region,
            rules: Arc::new(config.limits.rules.clone()),
            max_upload_bytes: config.server.max_upload_bytes,
            static_dir: config.server.static_dir.clone().map(Arc::new),
            document: Arc::new(api::document()),
        });
        let stop_http = CancellationToken::new();
        let http = tokio::spawn(serve(
            listener,
            router.layer(socket_layer),
            stop_http.clone(),
        ));
        info!(%address, "listening");
        Ok(Self {
            address,
            first_user,
            engine,
            media,
            realtime,
            drain: config.server.drain,
            tasks,
            stop,
            stop_http,
            http,
        })
    }

    /// Begins no more calls and waits until none is left that needs this process, at most the drain
    /// time (F-94): no talk that is here, and where no other process took over, no open call.
    pub async fn drain(&self) {
        self.engine.stop_dialing();
        info!(
            limit_s = self.drain.as_secs(),
            "draining: no new calls, talks go on"
        );
        let quiet = async {
            while self.has_calls().await {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(self.drain, quiet).await.is_err() {
            warn!(
                n = self.media.n_live(),
                "drain time is over; ending the talks that are left"
            );
        }
    }

    async fn has_calls(&self) -> bool {
        // A store that does not answer must not end talks early.
        self.media.n_live() > 0 || self.engine.n_left().await.map_or(true, |n| n > 0)
    }

    /// Takes everything down. Talks that are still up end.
    pub async fn close(self) {
        self.engine.stop_dialing();
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // Before the HTTP server: a polling client would hold it for half a minute.
        self.realtime.close().await;
        self.engine.close().await;
        self.stop_http.cancel();
        let mut http = self.http;
        if tokio::time::timeout(HTTP_END, &mut http).await.is_err() {
            http.abort();
            warn!("connections that would not end were cut");
        }
    }
}

/// Makes `ring` the process's TLS provider. Both outgoing clients need one before they are built.
pub fn install_tls() {
    // A second call, as in tests that share a process, finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The engine's usual settings with what the configuration says of limits and numbers.
pub fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        caller_ids: config.twilio.phone_numbers.clone(),
        node_url: config.server.node_url.clone(),
        tenant_limits: TenantLimits {
            max_concurrent_calls: config.limits.max_concurrent_calls,
            calls_per_second: config.limits.calls_per_second,
            max_conversations: config.limits.max_conversations,
        },
        lease: config.waits.lease,
        // A lease must be renewed before it ends.
        idle_wait: EngineSettings::default()
            .idle_wait
            .min(config.waits.lease / 4),
        prices: EngineSettings::default().prices.div_f64(config.waits.speed),
        timing: Timing {
            unplaced_gap: config.limits.unplaced_gap,
            ..at_speed(config.waits.speed)
        },
        ..EngineSettings::default()
    }
}

/// The usual waits for a carrier that is so much faster than life. What a busy machine needs itself
/// to answer stays.
fn at_speed(speed: f64) -> Timing {
    let usual = Timing::default();
    let shorter = |wait: Duration, least: Duration| wait.div_f64(speed).max(least.min(wait));
    Timing {
        reply: shorter(usual.reply, LEAST_REPLY),
        look: shorter(usual.look, LEAST_LOOK),
        answer: shorter(usual.answer, LEAST_LOOK),
        talk: shorter(usual.talk, LEAST_LOOK),
        going_on: shorter(usual.going_on, LEAST_LOOK),
        hangup: shorter(usual.hangup, LEAST_LOOK),
        unplaced_gap: usual.unplaced_gap,
        refused_gap: shorter(usual.refused_gap, LEAST_LOOK),
        hold: shorter(usual.hold, LEAST_LOOK),
        verdict: shorter(usual.verdict, LEAST_LOOK),
        price: shorter(usual.price, LEAST_LOOK),
        day: usual.day,
    }
}

/// The vendors that are set up, the preferred one first.
fn agents(config: &AgentsConfig) -> anyhow::Result<Vec<(AgentVendor, Arc<dyn VoiceAgent>)>> {
    let mut agents: Vec<(AgentVendor, Arc<dyn VoiceAgent>)> = Vec::new();
    if let Some(settings) = &config.elevenlabs {
        let agent = ElevenLabs::new(elevenlabs_config(settings))?;
        agents.push((elevenlabs::VENDOR.parse()?, Arc::new(agent)));
    }
    if let Some(settings) = &config.vapi {
        let agent = Vapi::new(vapi_config(settings))?;
        agents.push((vapi::VENDOR.parse()?, Arc::new(agent)));
    }
    if config.preferred == VendorChoice::Vapi {
        agents.reverse();
    }
    Ok(agents)
}

fn elevenlabs_config(settings: &ElevenLabsSettings) -> ElevenLabsConfig {
    ElevenLabsConfig {
        api_key: settings.api_key.clone(),
        agent_id: settings.agent_id.clone(),
        base_url: settings.base_url.clone(),
    }
}

fn vapi_config(settings: &VapiSettings) -> VapiConfig {
    VapiConfig {
        api_key: settings.api_key.clone(),
        assistant_id: settings.assistant_id.clone(),
        base_url: settings.base_url.clone(),
        audio: if settings.is_linear {
            VapiAudio::Linear
        } else {
            VapiAudio::Mulaw
        },
    }
}

/// Where the vendors that are set up keep what they recorded, by their names.
fn conversation_sounds(config: &AgentsConfig) -> anyhow::Result<ConversationSounds> {
    let mut sounds = ConversationSounds::new();
    if let Some(settings) = &config.elevenlabs {
        let sound = elevenlabs_config(settings).sound()?;
        sounds.insert(elevenlabs::VENDOR.parse()?, Arc::new(sound));
    }
    if let Some(settings) = &config.vapi {
        let sound = vapi_config(settings).sound()?;
        sounds.insert(vapi::VENDOR.parse()?, Arc::new(sound));
    }
    Ok(sounds)
}

/// What the vendors that are set up tell after a conversation, by their names.
fn report_dialects(config: &AgentsConfig) -> ReportDialects {
    let mut dialects = ReportDialects::new();
    if let Some(settings) = &config.elevenlabs {
        let secrets = settings.webhook_secrets.clone();
        dialects.insert(
            elevenlabs::VENDOR.to_owned(),
            Arc::new(PostCall { secrets }),
        );
    }
    if let Some(settings) = &config.vapi {
        let secrets = settings.webhook_secrets.clone();
        dialects.insert(
            vapi::VENDOR.to_owned(),
            Arc::new(ServerMessages { secrets }),
        );
    }
    dialects
}

/// The threads that carry audio, unless tasks do.
fn media_workers(config: &MediaConfig) -> anyhow::Result<Option<Workers>> {
    let usual = WorkerSettings::default();
    let settings = WorkerSettings {
        n_threads: config.n_workers.unwrap_or(usual.n_threads),
        tick: config.tick,
    };
    match config.path {
        MediaPath::Workers => Workers::start(settings)
            .map(Some)
            .context("cannot start the threads that carry audio"),
        MediaPath::Tasks => Ok(None),
    }
}

async fn bind(config: &Config, listener: Option<TcpListener>) -> anyhow::Result<TcpListener> {
    match listener {
        Some(listener) => Ok(listener),
        None => TcpListener::bind(config.server.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.server.listen)),
    }
}

async fn open_store(config: &StoreConfig) -> anyhow::Result<Arc<dyn Store>> {
    match config {
        StoreConfig::Embedded { dir } => {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot create the directory {}", dir.display()))?;
            let path = dir.join("dialtone.db");
            let store = SqliteStore::open(&path)
                .with_context(|| format!("cannot open the store {}", path.display()))?;
            Ok(Arc::new(store))
        }
        StoreConfig::Mongo { uri } => {
            let store = MongoStore::connect(uri.expose_secret())
                .await
                .context("cannot use the database at MONGODB_URI")?;
            Ok(Arc::new(store))
        }
    }
}

/// The time that all processes of the installation go by (F-93).
async fn reference(store: &dyn Store) -> StoreResult<Timestamp> {
    Ok(store.time().await?.unwrap_or_else(|| SystemClock.now()))
}

/// Leads the process's clock by the reference until `stop`.
async fn keep_time(clock: Arc<SteadyClock>, store: Arc<dyn Store>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
        }
        let asked_at = clock.now();
        let Ok(time) = reference(&*store).await else {
            continue; // Whoever needs the store says that it is away.
        };
        let took = clock.now().duration_since(asked_at);
        if took > SLOW_READING {
            continue;
        }
        match clock.follow(time + took / 2) {
            Following::Steady => {}
            Following::Drifting => warn!("the clocks differ; this process follows the reference"),
            Following::Set(by) => error!(by_s = by.as_secs(), "the clock was set"),
        }
    }
}

fn twilio_config(settings: &TwilioSettings, callbacks: CallbackUrls) -> TwilioConfig {
    let credentials = match &settings.api_key {
        Some((sid, secret)) => Credentials::ApiKey {
            sid: sid.clone(),
            secret: secret.clone(),
        },
        None => Credentials::AuthToken(settings.auth_token.clone()),
    };
    TwilioConfig {
        account_sid: settings.account_sid.clone(),
        credentials,
        base_url: settings.base_url.clone(),
        callbacks,
    }
}

/// `JWT_SECRET`, or one that is generated once and kept beside the embedded store.
fn signing_secret(config: &Config) -> anyhow::Result<SecretString> {
    match (&config.access.jwt_secret, &config.store) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, StoreConfig::Embedded { dir }) => kept_secret(&dir.join("jwt-secret")),
        (None, StoreConfig::Mongo { .. }) => anyhow::bail!("JWT_SECRET is needed with MONGODB_URI"),
    }
}

fn kept_secret(path: &Path) -> anyhow::Result<SecretString> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    if let Ok(secret) = std::fs::read_to_string(path) {
        return Ok(secret.trim().to_owned().into());
    }
    let secret: String = (0..32)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect();
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot keep a signing secret in {}", path.display()))?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    Ok(secret.into())
}

fn spawn_listeners(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    engine: &Engine,
    media: &Arc<Media>,
    realtime: &Realtime,
) {
    let (media, engine) = (media.clone(), engine.clone());
    tasks.spawn(async move { media.follow_calls(&engine).await });
    let (realtime, stop) = (realtime.clone(), stop.clone());
    tasks.spawn(async move { realtime.run(stop).await });
}

async fn serve(
    listener: TcpListener,
    router: axum::Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    // Without it, two small messages in a row wait for each other's acknowledgement.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            warn!(%error, "a connection keeps its send delay");
        }
    });
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}
