//! A very small dialer: it answers webhooks and media sockets and reports all it receives.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Form, Router,
    extract::{
        OriginalUri, Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use dialtone::{
    sim::{Behaviour, Simulator, SimulatorConfig},
    telephony::twilio::signature,
};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longer than anything in these tests takes; only a failure waits so long.
const DEADLINE: Duration = Duration::from_secs(5);

/// A number whose behaviour [`callee`] decides.
pub const ANNA: &str = "+15005550101";

/// A quick world in which Anna behaves like this.
pub fn callee(behaviour: Behaviour) -> SimulatorConfig {
    SimulatorConfig {
        overrides: BTreeMap::from([(ANNA.to_owned(), vec![behaviour])]),
        ..SimulatorConfig::for_testing()
    }
}

/// A webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Hook {
    pub path: String,
    pub fields: Vec<(String, String)>,
    pub is_signed: bool,
    pub idempotency_token: String,
}

impl Hook {
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A message on the media socket, and when it came.
#[derive(Debug)]
pub struct Frame {
    pub at: Instant,
    pub message: Value,
}

/// The simulator, the dialer, and an HTTP client between them.
pub struct World {
    pub simulator: Simulator,
    pub http: Client,
    address: SocketAddr,
    hooks: mpsc::Receiver<Hook>,
    frames: mpsc::Receiver<Frame>,
    /// Sent to whatever media socket is open.
    pub to_media: mpsc::Sender<Outgoing>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
pub enum Outgoing {
    Json(Value),
    Close,
}

#[derive(Clone)]
struct DialerState {
    auth_token: String,
    address: SocketAddr,
    twiml: String,
    hooks: mpsc::Sender<Hook>,
    frames: mpsc::Sender<Frame>,
    outgoing: Arc<Mutex<mpsc::Receiver<Outgoing>>>,
}

/// Connects the call to the dialer's media socket.
pub const STREAM: &str = r#"<Response><Connect><Stream url="ws://{address}/media?dropped=1">
    <Parameter name="attempt" value="77"/></Stream></Connect></Response>"#;

impl World {
    pub async fn start(config: SimulatorConfig) -> Self {
        Self::start_with_twiml(config, STREAM).await
    }

    pub async fn start_with_twiml(config: SimulatorConfig, twiml: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hooks_in, hooks) = mpsc::channel(1_000);
        let (frames_in, frames) = mpsc::channel(10_000);
        let (to_media, outgoing) = mpsc::channel(100);
        let state = DialerState {
            auth_token: config.auth_token.clone(),
            address,
            twiml: twiml.replace("{address}", &address.to_string()),
            hooks: hooks_in,
            frames: frames_in,
            outgoing: Arc::new(Mutex::new(outgoing)),
        };
        let routes = Router::new()
            .route("/hook/{kind}", post(hook))
            .route("/media", any(media))
            .with_state(state);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        tasks.spawn(async move {
            let serving = axum::serve(listener, routes);
            stopped.run_until_cancelled(serving.into_future()).await
        });
        let simulator = Simulator::start(config).await.unwrap();
        let http = Client::builder().no_proxy().build().unwrap();
        Self {
            simulator,
            http,
            address,
            hooks,
            frames,
            to_media,
            stop,
            tasks,
        }
    }

    pub fn hook_url(&self, kind: &str) -> String {
        format!("http://{}/hook/{kind}", self.address)
    }

    pub fn calls_url(&self) -> String {
        let account = &self.simulator.config().account_sid;
        format!(
            "{}/2010-04-01/Accounts/{account}/Calls.json",
            self.simulator.base_url()
        )
    }

    pub fn call_url(&self, sid: &str) -> String {
        self.calls_url().replace(".json", &format!("/{sid}.json"))
    }

    /// Orders a call with all callbacks; `extra` fields are added.
    pub async fn order(&self, to: &str, extra: &[(&str, &str)]) -> (StatusCode, Value) {
        let (voice, status) = (self.hook_url("voice"), self.hook_url("status#rc=1&rp=5xx"));
        let mut form = vec![
            ("To", to),
            ("From", "+15005550006"),
            ("Url", voice.as_str()),
            ("StatusCallback", status.as_str()),
        ];
        for event in ["initiated", "ringing", "answered", "completed"] {
            form.push(("StatusCallbackEvent", event));
        }
        form.extend_from_slice(extra);
        self.post(&self.calls_url(), &form).await
    }

    /// Orders a call that must be accepted; returns its SID.
    pub async fn dial(&self, to: &str) -> String {
        let (status, call) = self.order(to, &[]).await;
        assert_eq!(status, StatusCode::CREATED, "{call}");
        assert_eq!(call["status"], "queued");
        call["sid"].as_str().unwrap().to_owned()
    }

    pub async fn post(&self, url: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let config = self.simulator.config();
        let request = self
            .http
            .post(url)
            .basic_auth(&config.account_sid, Some(&config.auth_token))
            .form(form);
        answer(request).await
    }

    pub async fn get(&self, url: &str) -> (StatusCode, Value) {
        let config = self.simulator.config();
        let request = self
            .http
            .get(url)
            .basic_auth(&config.account_sid, Some(&config.auth_token));
        answer(request).await
    }

    /// The next webhook on `/hook/{kind}`; others are passed over.
    pub async fn next_hook(&mut self, kind: &str) -> Hook {
        let path = format!("/hook/{kind}");
        loop {
            let hook = timeout(DEADLINE, self.hooks.recv()).await;
            let hook = hook
                .unwrap_or_else(|_| panic!("no {kind} webhook in time"))
                .unwrap();
            assert!(hook.is_signed, "{hook:?}");
            if hook.path == path {
                return hook;
            }
        }
    }

    /// The next webhook of any kind.
    pub async fn next_any_hook(&mut self) -> Hook {
        let hook = timeout(DEADLINE, self.hooks.recv()).await;
        let hook = hook.expect("a webhook in time").unwrap();
        assert!(hook.is_signed, "{hook:?}");
        hook
    }

    /// Status callbacks up to and with the final one, in the order of their numbers.
    pub async fn statuses_to_the_end(&mut self) -> Vec<Hook> {
        let mut hooks = Vec::new();
        loop {
            hooks.push(self.next_hook("status").await);
            let numbers: Vec<u32> = hooks.iter().map(sequence_number).collect();
            let last = hooks
                .iter()
                .find(|hook| !hook.field("CallDuration").is_empty());
            let is_whole = last.is_some_and(|last| {
                (0..=sequence_number(last)).all(|number| numbers.contains(&number))
            });
            if is_whole {
                hooks.sort_by_key(sequence_number);
                return hooks;
            }
        }
    }

    /// Whether any webhook comes within `time`.
    pub async fn hears_nothing_for(&mut self, time: Duration) -> bool {
        timeout(time, self.hooks.recv()).await.is_err()
    }

    pub async fn next_frame(&mut self) -> Frame {
        let frame = timeout(DEADLINE, self.frames.recv()).await;
        frame.expect("a media message in time").unwrap()
    }

    /// The next media message of this kind; others are passed over.
    pub async fn next_event(&mut self, event: &str) -> Value {
        loop {
            let frame = self.next_frame().await;
            if frame.message["event"] == event {
                return frame.message;
            }
        }
    }

    pub async fn say(&self, message: Value) {
        self.to_media.send(Outgoing::Json(message)).await.unwrap();
    }

    pub async fn close_media(&self) {
        self.to_media.send(Outgoing::Close).await.unwrap();
    }

    /// Stops both sides and checks that nothing of the simulator is left running.
    pub async fn end(self) {
        let began = Instant::now();
        self.simulator.shutdown().await;
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "the simulator did not stop"
        );
        self.stop.cancel();
        self.tasks.close();
        timeout(DEADLINE, self.tasks.wait()).await.unwrap();
    }
}

pub fn sequence_number(hook: &Hook) -> u32 {
    hook.field("SequenceNumber").parse().unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

async fn hook(
    State(state): State<DialerState>,
    Path(kind): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let url = format!("http://{}{uri}", state.address);
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let given = header("x-twilio-signature");
    let hook = Hook {
        path: uri.path().to_owned(),
        is_signed: signature::verify(&state.auth_token, &url, &fields, &given),
        idempotency_token: header("i-twilio-idempotency-token"),
        fields,
    };
    state.hooks.send(hook).await.unwrap();
    match kind.as_str() {
        "voice" => ([(header::CONTENT_TYPE, "text/xml")], state.twiml).into_response(),
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn media(
    State(state): State<DialerState>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let url = format!("ws://{}{uri}", state.address);
    let given = headers["x-twilio-signature"].to_str().unwrap();
    if !signature::verify(&state.auth_token, &url, &[], given) || uri.query().is_some() {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(move |socket| stream(state, socket))
}

async fn stream(state: DialerState, mut socket: WebSocket) {
    let mut outgoing = state.outgoing.lock().await;
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    let message = serde_json::from_str(&text).unwrap();
                    let frame = Frame { at: Instant::now(), message };
                    // The test may have seen enough already.
                    let _nobody_listens = state.frames.send(frame).await;
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            Some(command) = outgoing.recv() => match command {
                Outgoing::Json(message) => {
                    socket.send(Message::Text(message.to_string().into())).await.unwrap();
                }
                Outgoing::Close => {
                    socket.send(Message::Close(None)).await.unwrap();
                }
            },
        }
    }
}
