//! The carrier's media sockets: let in, bound to their attempt, and handed to the bridge.
//!
//! A socket goes to a media worker as it is, or, where the configuration says so, through tasks and
//! channels. Everything but its frames is the same for both.

mod keep;
pub mod listeners;
pub mod raw;
mod tasks;
mod tools;
mod warm;
mod web_tools;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts as _, Path, Request, State, WebSocketUpgrade, ws::WebSocket},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, info, info_span, warn};

use super::{
    ApiState,
    error::{ApiError, ApiResult},
    hooks,
};
use crate::{
    bridge::{
        Bridge, BridgeEnd, Brief, OperatorRequest, Operators, TalkLimits, Uplink, WarmUp,
        worker::{Held, Workers},
    },
    domain::{
        attempt::Party,
        event::{EventKind, StoredEvent},
        ids::{AttemptId, StreamSid},
        signal::SignalKind,
        step::VoiceCall,
    },
    engine::{Engine, Talk},
    telephony::media::StreamStart,
};

use self::{
    keep::{keep, tell},
    listeners::Listeners,
    warm::Warm,
};

pub(super) use self::keep::{log, tell_of};

/// The largest frame the carrier may send; an ordinary one has 400 bytes.
const MAX_FRAME: usize = 64 * 1024;

/// How long a socket may stay silent before it says what it is (F-42).
const START_WITHIN: Duration = Duration::from_secs(5);

/// How many reports of the bridge may wait to be saved.
const REPORTS_WAITING: usize = 64;

/// How many answers to an agent's tools may wait for it.
const ANSWERS_WAITING: usize = 16;

/// The calls whose audio is here.
pub struct Media {
    bridge: Bridge,
    /// Who carries the audio; none leaves it to tasks.
    workers: Option<Workers>,
    tasks: TaskTracker,
    stop: CancellationToken,
    live: Mutex<BTreeMap<AttemptId, Live>>,
    listeners: Arc<Listeners>,
    /// Connections to agents for calls that ring.
    warm: Mutex<Warm<WarmUp>>,
}

/// A talk, as others reach it.
struct Live {
    stop: CancellationToken,
    operators: Operators,
}

/// A talk's place, and what comes to it.
struct Admitted {
    stop: CancellationToken,
    requests: mpsc::Receiver<OperatorRequest>,
}

impl Media {
    /// Carries calls over `bridge`, by `workers` or by tasks on `tasks`, until `stop`. Connections to
    /// agents are prepared for `n_warm` calls that ring, and no more.
    pub fn new(
        bridge: Bridge,
        workers: Option<Workers>,
        n_warm: usize,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            bridge,
            workers,
            tasks,
            stop,
            live: Mutex::default(),
            listeners: Arc::default(),
            warm: Mutex::new(Warm::new(n_warm)),
        })
    }

    /// How many calls have their audio here.
    pub fn n_live(&self) -> usize {
        self.lock().len()
    }

    /// Operators of a talk that is here.
    pub fn operators(&self, attempt: AttemptId) -> Option<Operators> {
        Some(self.lock().get(&attempt)?.operators.clone())
    }

    /// Who listens to the talks that are here.
    pub fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    /// Waits until this process is told to end.
    pub async fn ending(&self) {
        self.stop.cancelled().await;
    }

    /// Whose end the process waits for.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// A place for the one talk of an attempt; none while it has one here (F-41).
    fn admit(&self, attempt: AttemptId) -> Option<Admitted> {
        let mut live = self.lock();
        if live.contains_key(&attempt) {
            return None;
        }
        let stop = self.stop.child_token();
        let (operators, requests) = Operators::new();
        let admitted = Admitted {
            stop: stop.clone(),
            requests,
        };
        live.insert(attempt, Live { stop, operators });
        Some(admitted)
    }

    /// Follows calls until `stop`: prepares for those that ring, and ends the audio of those that are
    /// over by the carrier's word (F-39).
    pub async fn follow_calls(&self, engine: &Engine) {
        let mut feed = engine.feed();
        loop {
            let next_expiry = self.warm().next_expiry();
            let event = tokio::select! {
                () = self.stop.cancelled() => break,
                () = until(next_expiry) => {
                    self.warm().expire(now());
                    continue;
                }
                event = feed.recv() => event,
            };
            match event {
                Ok(stored) => self.follow(engine, &stored),
                // The silence of a dead line ends what is missed here, and age what is prepared.
                Err(RecvError::Lagged(n)) => warn!(n, "missed news of calls"),
                Err(RecvError::Closed) => break,
            }
        }
        self.warm().close();
    }

    fn follow(&self, engine: &Engine, stored: &StoredEvent) {
        let EventKind::Call { attempt, state, .. } = &stored.event.kind else {
            return;
        };
        match state.as_str() {
            // Of several processes the one that dispatches.
            "ringing" if engine.dispatches_for(stored.event.tenant) => {
                let begin = || self.warm_up(engine.clone(), *attempt);
                self.warm().rings(*attempt, now(), begin);
            }
            "connected" => self.warm().is_answered(*attempt, now()),
            "ended" | "released" => {
                self.warm().is_over(*attempt);
                if let Some(live) = self.lock().get(attempt) {
                    live.stop.cancel();
                }
            }
            _ => {}
        }
    }

    /// Prepares a connection to the agent of a call (F-34).
    fn warm_up(&self, engine: Engine, attempt: AttemptId) -> WarmUp {
        let bridge = self.bridge.clone();
        WarmUp::begin(&self.tasks, async move {
            let step = match engine.step_of(attempt).await {
                Ok(step) => step?,
                Err(error) => {
                    debug!(%error, "nothing is prepared for a call that rings");
                    return None;
                }
            };
            bridge
                .prepare(step.agent_vendor.as_ref(), step.agent_id.as_deref())
                .await
        })
    }

    fn warm(&self) -> std::sync::MutexGuard<'_, Warm<WarmUp>> {
        self.warm
            .lock()
            .expect("no code panics while it holds what is prepared")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<AttemptId, Live>> {
        self.live
            .lock()
            .expect("no code panics while it holds the live calls")
    }
}

/// The time that the runtime goes by.
fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until then; for ever where there is no such time.
async fn until(time: Option<std::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// `GET /media/twilio/{attempt}`: a media socket. 403 for a wrong signature, 503 while ending.
pub async fn twilio(
    State(state): State<ApiState>,
    Path(attempt): Path<String>,
    request: Request,
) -> ApiResult<Response> {
    let (mut parts, _) = request.into_parts();
    let attempt: AttemptId = attempt
        .parse()
        .map_err(|_| ApiError::not_found("attempt"))?;
    let rest = state
        .public_url
        .strip_prefix("http")
        .unwrap_or(&state.public_url);
    let url = format!("ws{rest}{}", parts.uri.path());
    if !hooks::is_signed(&state, &url, &parts.headers, &[]) {
        warn!(attempt_id = %attempt, "media socket with a wrong signature refused");
        let detail = "the signature does not fit";
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "wrongSignature",
            detail,
        ));
    }
    if state.media.stop.is_cancelled() {
        let detail = "this server is ending";
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ending",
            detail,
        ));
    }
    let span = info_span!("call", attempt_id = %attempt, campaign_id = tracing::field::Empty,
        contact_id = tracing::field::Empty, call_sid = tracing::field::Empty);
    let raw = raw::upgrade_of(&parts).zip(state.media.workers.clone());
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let tasks = state.media.tasks.clone();
    // On the tracker, so that ending the process waits for the talk.
    Ok(match raw {
        Some((raw, workers)) => {
            let answer = raw.answer();
            tasks.spawn(take_over(state, attempt, raw, workers).instrument(span));
            answer
        }
        None => upgrade
            .max_message_size(MAX_FRAME)
            .max_frame_size(MAX_FRAME)
            .on_upgrade(move |socket| async move {
                let talk = carry(state, attempt, Socket::Tasks(socket)).instrument(span);
                drop(tasks.spawn(talk).await);
            }),
    })
}

/// Carries one call once its socket is out of the HTTP server.
async fn take_over(state: ApiState, attempt: AttemptId, raw: raw::RawUpgrade, workers: Workers) {
    match tokio::time::timeout(START_WITHIN, raw.socket()).await {
        Ok(Some(socket)) => carry(state, attempt, Socket::Raw(socket, workers)).await,
        Ok(None) => warn!("a media socket could not be taken over"),
        Err(_) => warn!("a media socket was not opened in time"),
    }
}

/// A media socket after its handshake.
enum Socket {
    /// As tasks read it.
    Tasks(WebSocket),
    /// As a worker takes it, and which workers.
    Raw(raw::RawSocket, Workers),
}

impl Socket {
    async fn first_frame(&mut self) -> Option<StreamStart> {
        let first = async {
            match self {
                Self::Tasks(socket) => tasks::first_frame(socket).await,
                Self::Raw(socket, _) => socket.first_frame().await,
            }
        };
        tokio::time::timeout(START_WITHIN, first)
            .await
            .ok()
            .flatten()
    }
}

/// A socket whose talk is over. It is closed after the records were saved: what the carrier asks then
/// depends on them.
enum Open {
    Tasks(tasks::Pumps),
    Worker(Held),
    Gone,
}

impl Open {
    async fn release(self) {
        match self {
            Self::Tasks(pumps) => pumps.release().await,
            Self::Worker(held) => held.release().await,
            Self::Gone => {}
        }
    }
}

/// Carries one call's audio from the socket's first frame to its last.
async fn carry(state: ApiState, attempt: AttemptId, mut socket: Socket) {
    let Some(start) = socket.first_frame().await else {
        warn!("media socket did not say what it is");
        return;
    };
    let token = start
        .parameters
        .get("token")
        .map(String::as_str)
        .unwrap_or_default();
    if !state.access.is_media_token(attempt, token) {
        warn!("media socket with a wrong token refused");
        return;
    }
    let talk = match state
        .engine
        .begin_talk(attempt, start.call.clone(), start.stream.clone())
        .await
    {
        Ok(talk) => talk,
        Err(error) => {
            warn!(%error, "no agent joins this call");
            return;
        }
    };
    let span = tracing::Span::current();
    span.record("campaign_id", tracing::field::display(talk.campaign.id));
    span.record(
        "contact_id",
        tracing::field::display(talk.enrollment.contact),
    );
    span.record("call_sid", tracing::field::display(&talk.call));
    let Some(admitted) = state.media.admit(attempt) else {
        warn!("a second socket for a talk refused");
        return;
    };
    info!("talk begins");
    let end = join(&state, &talk, start.stream, socket, admitted).await;
    state.media.lock().remove(&attempt);
    info!(
        by = end.by.map(Party::name),
        detail = end.detail,
        "talk ended"
    );
}

/// Joins the socket to the bridge and keeps the records while they talk.
async fn join(
    state: &ApiState,
    talk: &Talk,
    stream: StreamSid,
    socket: Socket,
    Admitted { stop, requests }: Admitted,
) -> BridgeEnd {
    let media = &state.media;
    let (report, reports) = mpsc::channel(REPORTS_WAITING);
    let (answer, answers) = mpsc::channel(ANSWERS_WAITING);
    let uses = web_tools::Uses::new(
        state.engine.clone(),
        talk.clone(),
        state.web_tools.clone(),
        answer.clone(),
        media.tasks.clone(),
    );
    let keeping = keep(state.engine.clone(), talk.clone(), reports, answer, uses);
    let keeping = media.tasks.spawn(keeping.in_current_span());
    let warm = media.warm().take(talk.attempt);
    let limits = limits_of(&talk.step);
    let callee = (stream, socket);
    let uplink = Uplink {
        report,
        requests,
        answers,
    };
    let (end, open) = bridge(media, limits, brief(talk), warm, callee, uplink, stop).await;
    // The records first: what is asked after the audio's end depends on them.
    drop(keeping.await);
    tell(
        &state.engine,
        talk,
        SignalKind::MediaEnded {
            by: evidence(media, &end),
        },
    )
    .await;
    open.release().await;
    end
}

/// How long a call may last, and how long of it in silence.
fn limits_of(step: &VoiceCall) -> TalkLimits {
    TalkLimits {
        first_words: step.silence.first_words_within,
        silence: step.silence.both_within,
        length: Some(step.max_duration),
    }
}

async fn bridge(
    media: &Media,
    limits: TalkLimits,
    brief: Brief,
    warm: Option<WarmUp>,
    (stream, socket): (StreamSid, Socket),
    uplink: Uplink,
    stop: CancellationToken,
) -> (BridgeEnd, Open) {
    let bridge = media.bridge.limited(limits);
    match socket {
        Socket::Raw(socket, workers) => {
            let callee = match socket.into_callee(stream) {
                Ok(callee) => callee,
                Err(error) => return (unusable(&error), Open::Gone),
            };
            let (end, held) = bridge
                .run_on(&workers, callee, &brief, warm, uplink, &stop)
                .await;
            (end, Open::Worker(held))
        }
        Socket::Tasks(socket) => {
            let (pumps, leg) = tasks::Pumps::start(&media.tasks, socket, stream);
            let end = bridge.run(leg, brief, warm, uplink, stop).await;
            (end, Open::Tasks(pumps))
        }
    }
}

fn unusable(error: &std::io::Error) -> BridgeEnd {
    BridgeEnd {
        by: None,
        detail: Some(format!("the media socket cannot be used: {error}")),
    }
}

/// Who left first. A talk that was closed here because the carrier said the call was over is no
/// evidence that we ended it; one that reached a limit says so.
fn evidence(media: &Media, end: &BridgeEnd) -> Option<Party> {
    end.by
        .filter(|by| *by != Party::System || end.detail.is_some() || media.stop.is_cancelled())
}

/// What the agent is told: the campaign's texts with the contact's values, and every value by name.
fn brief(talk: &Talk) -> Brief {
    let enrollment = &talk.enrollment;
    let render = |text: &crate::domain::text::Template| {
        Some(text.render(|name| enrollment.field(name))).filter(|text| !text.is_empty())
    };
    let mut variables: BTreeMap<String, String> = enrollment.fields.clone();
    variables.insert(
        "name".to_owned(),
        enrollment.name.clone().unwrap_or_default(),
    );
    variables.insert("phone".to_owned(), enrollment.phone.shown().to_owned());
    variables.insert("campaign_id".to_owned(), talk.campaign.id.to_string());
    variables.insert("contact_id".to_owned(), enrollment.contact.to_string());
    variables.insert("attempt_id".to_owned(), talk.attempt.to_string());
    variables.insert("call_sid".to_owned(), talk.call.to_string());
    Brief {
        vendor: talk.step.agent_vendor.clone(),
        agent_id: talk.step.agent_id.clone(),
        max_duration: Some(talk.step.max_duration),
        prompt: render(&talk.step.prompt),
        first_message: render(&talk.step.first_message),
        language: talk.step.language.clone(),
        voice_id: talk.step.voice_id.clone(),
        variables,
    }
}
