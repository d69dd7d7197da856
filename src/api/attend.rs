//! Operators in a live call: to hear it, to tell its agent something, and to mute it.
//!
//! What is said on a listener's socket is in [`listen`]'s description. The socket is the listener's own
//! matter: a call does not know whether anybody takes what it hears.

use std::{future::poll_fn, time::Duration};

use axum::{
    Json,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument as _, debug, info, info_span};
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::{Caller, LISTEN_PROTOCOL, Manager},
    calls::{self, CallDetail},
    emergency::name_of,
    error::{ApiError, ApiResult},
    extract::{Body, Id},
    media::{self, listeners},
    nodes,
};
use crate::{
    bridge::{
        HintRefused, Operators,
        tap::{Ear, Sound},
    },
    domain::{
        attempt::AttemptState,
        enrollment::CallRecord,
        event::{Event, EventKind, Moment},
        ids::AttemptId,
    },
};

/// The longest hint, in characters.
const MAX_HINT: usize = 1_000;

/// The first byte of a message with what the callee says.
const CALLEE: u8 = 0;

/// The first byte of a message with what the callee hears of the agent.
const AGENT: u8 = 1;

/// The largest message that a listener may send; none is needed.
const MAX_MESSAGE: usize = 4 * 1024;

/// How long a listener may take nothing before it is let go.
const STUCK: Duration = Duration::from_secs(30);

/// How often it is seen whether a listener is still signed in.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// How long a listener may take to be told the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Listens to a live call, over a WebSocket.
///
/// Programs send the token as `Authorization: Bearer …`; a browser, whose WebSocket cannot, offers the
/// subprotocols `dialtone.listen` and `bearer.TOKEN`. The answer is 101 and a socket on which the server
/// sends, and takes nothing:
///
/// - binary messages: a byte for the side (0 the callee, 1 the agent), then audio of any length, mu-law
///   at 8,000 samples a second. The callee is heard at once; the agent at the moment at which the callee
///   hears it.
/// - texts, one JSON object each, by `type`: `started` (first, with `callId`, `encoding` and
///   `sampleRate`), `cleared` (the callee spoke over the agent, which falls silent), `lost` (`ms` of audio
///   that this listener did not take in time) and `ended` (last; the socket is closed then).
///
/// 409 `notLive` before and after the talk, 409 `notHere` when this process does not have its audio, 426
/// without a WebSocket's handshake, 429 when too many listen.
#[utoipa::path(get, path = "/calls/{id}/listen", tag = "calls", params(("id" = String, Path)),
    responses((status = 101), (status = 403), (status = 404), (status = 409), (status = 426),
        (status = 429)))]
pub async fn listen(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let call = calls::load(&state, caller, id).await?;
    let reached = reach(&state, &call, &headers)?;
    let upgrade = upgrade.map_err(|rejection| {
        let detail = format!("ask for a WebSocket: {}", rejection.body_text());
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "upgradeRequired", detail)
    })?;
    let upgrade = upgrade
        .protocols([LISTEN_PROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(MAX_MESSAGE)
        .write_buffer_size(0);
    let operators = match reached {
        Reached::Here(operators) => operators,
        Reached::At(node) => {
            let far = state.nodes.listen(&node, id, &headers).await?;
            let tasks = state.media.tasks().clone();
            return Ok(upgrade.on_upgrade(move |near| {
                tasks.track_future(async move {
                    tokio::select! {
                        () = nodes::relay(near, far) => {}
                        () = state.media.ending() => {}
                    }
                })
            }));
        }
    };
    let seat = state
        .media
        .listeners()
        .seat(caller.tenant, id)
        .ok_or_else(too_many)?;
    let span = info_span!("listen", attempt_id = %id, user_id = %caller.user);
    let tasks = state.media.tasks().clone();
    Ok(upgrade.on_upgrade(move |socket| {
        let listening = async move {
            info!("somebody listens in");
            let ear = operators.listen().await;
            tokio::select! {
                () = play(socket, ear, id) => {}
                () = until_signed_out(&state, caller) => info!("a listener was signed out"),
            }
            drop(seat);
        };
        tasks.track_future(listening.instrument(span))
    }))
}

fn too_many() -> ApiError {
    let detail = format!(
        "too many listen: at most {} to a call and {} in all",
        listeners::PER_CALL,
        listeners::PER_TENANT
    );
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "tooManyListeners", detail)
}

/// The way to a call's talk.
pub(super) enum Reached {
    /// Its operators are here.
    Here(Operators),
    /// In another process, which is reached at this address.
    At(String),
}

/// A call's operators, if its talk is here, or else the process that has it.
pub(super) fn reach(
    state: &ApiState,
    call: &CallRecord,
    headers: &HeaderMap,
) -> ApiResult<Reached> {
    let refused = |code, detail| ApiError::new(StatusCode::CONFLICT, code, detail);
    let attempt = &call.attempt;
    if !matches!(attempt.state, AttemptState::Connected { .. }) {
        let detail = format!("the call is {}, not connected", attempt.state.name());
        return Err(refused("notLive", detail));
    }
    if attempt.facts.stream.is_none() {
        let detail = "the call's audio has not begun yet".to_owned();
        return Err(refused("notLive", detail));
    }
    if let Some(operators) = state.media.operators(attempt.id) {
        return Ok(Reached::Here(operators));
    }
    state.nodes.of(call, headers).map(Reached::At).ok_or_else(|| {
        let detail = "the call's audio is not in this process: the talk is just over, or another \
                      process of this installation carries it";
        refused("notHere", detail.to_owned())
    })
}

/// Waits until the caller's session is over.
async fn until_signed_out(state: &ApiState, caller: Caller) {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let store = state.engine.store();
        let now = state.engine.clock().now();
        match store.find_session(caller.tenant, caller.session).await {
            Ok(Some(session)) if session.expires_at > now => {}
            Ok(_) => return,
            // A store that is away for a moment has signed nobody out.
            Err(error) => debug!(%error, "it cannot be seen whether a listener is signed in"),
        }
    }
}

type Sink = SplitSink<WebSocket, Message>;

/// Sends what an ear hears, until the call is over or the listener leaves. While the socket takes
/// nothing, the ear loses what is old.
async fn play(socket: WebSocket, mut ear: Ear, call: AttemptId) {
    let (mut sink, mut source) = socket.split();
    let mut waiting = Some(started(call));
    let mut stuck_at = Instant::now() + STUCK;
    loop {
        tokio::select! {
            biased;
            received = source.next() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                // Nothing is to be said here; pings are answered by the library.
                Some(Ok(_)) => {}
            },
            sound = hear(&mut ear, waiting.is_none()) => match sound {
                Some(sound) => {
                    waiting = Some(message_of(sound));
                    stuck_at = Instant::now() + STUCK;
                }
                None => return end(sink).await,
            },
            ready = timeout_at(stuck_at, poll_fn(|cx| sink.poll_ready_unpin(cx))),
                if waiting.is_some() => {
                let Ok(Ok(())) = ready else {
                    debug!("a listener took nothing, and is let go");
                    return;
                };
                if let Some(message) = waiting.take()
                    && sink.start_send_unpin(message).is_err()
                {
                    return;
                }
            }
        }
    }
    // The answer to a close frame, where there was one.
    drop(timeout(CLOSE_WITHIN, sink.close()).await);
}

/// What is heard next; for ever nothing while nothing is wanted.
async fn hear(ear: &mut Ear, is_wanted: bool) -> Option<Sound> {
    if is_wanted {
        ear.next().await
    } else {
        match ear.fall_behind().await {}
    }
}

/// Tells that the call is over.
async fn end(mut sink: Sink) {
    let frame = CloseFrame {
        code: close_code::NORMAL,
        reason: "call ended".into(),
    };
    let closing = async {
        sink.send(text(&json!({"type": "ended"}))).await?;
        sink.send(Message::Close(Some(frame))).await
    };
    drop(timeout(CLOSE_WITHIN, closing).await);
}

fn started(call: AttemptId) -> Message {
    text(&json!({
        "type": "started",
        "callId": call.to_string(),
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
    }))
}

fn message_of(sound: Sound) -> Message {
    let audio = |side: u8, audio: &[u8]| Message::binary([&[side][..], audio].concat());
    match sound {
        Sound::Callee(bytes) => audio(CALLEE, &bytes),
        Sound::Agent(bytes) => audio(AGENT, &bytes),
        Sound::Cleared => text(&json!({"type": "cleared"})),
        Sound::Lost(time) => {
            let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            text(&json!({"type": "lost", "ms": ms}))
        }
    }
}

fn text(message: &serde_json::Value) -> Message {
    Message::text(message.to_string())
}

/// Something for an agent to know.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// What the agent is to know for what it says next, in 1 to 1,000 characters. The callee does not
    /// hear it, and the agent is not asked to speak.
    text: String,
}

/// Tells the agent of a live call something that the callee does not hear.
///
/// It is kept in the call's timeline with who said it. 409 `notLive` before and after the talk, 409
/// `notHere` when this process does not have its audio, 409 `agentNotReady` when the agent takes nothing.
#[utoipa::path(post, path = "/calls/{id}/hint", tag = "calls", params(("id" = String, Path)),
    request_body = Hint,
    responses((status = 200, body = CallDetail), (status = 403), (status = 404), (status = 409),
        (status = 422)))]
pub async fn hint(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
    headers: HeaderMap,
    Body(hint): Body<Hint>,
) -> ApiResult<Response> {
    let call = calls::load(&state, caller, id).await?;
    let text = hint.text.trim();
    if text.is_empty() || text.chars().count() > MAX_HINT {
        let detail = format!("must have 1 to {MAX_HINT} characters");
        return Err(ApiError::field("/text", "length", detail));
    }
    let operators = match reach(&state, &call, &headers)? {
        Reached::Here(operators) => operators,
        Reached::At(node) => {
            let nodes = &state.nodes;
            return nodes
                .pass_on(&node, id, "hint", &headers, Some(&hint))
                .await;
        }
    };
    let by = name_of(&caller, &state).await?;
    operators.hint(text.to_owned()).await.map_err(not_told)?;
    keep(&state, caller, &call, by, text).await;
    detail(&state, caller, id).await
}

/// The call as it is then.
pub(super) async fn detail(state: &ApiState, caller: Caller, id: AttemptId) -> ApiResult<Response> {
    let call = calls::load(state, caller, id).await?;
    let events = state.engine.store().call_events(caller.tenant, id).await?;
    Ok(Json(CallDetail::new(&call, &events)).into_response())
}

fn not_told(refused: HintRefused) -> ApiError {
    let code = match refused {
        HintRefused::NotReady | HintRefused::Stuck => "agentNotReady",
        HintRefused::Gone => "notLive",
    };
    ApiError::new(StatusCode::CONFLICT, code, refused.to_string())
}

/// Saves that the agent was told. It was, so an answer that says otherwise would have it told twice.
async fn keep(state: &ApiState, caller: Caller, call: &CallRecord, by: String, text: &str) {
    let moment = Moment::Hinted {
        by,
        text: text.to_owned(),
    };
    let event = Event {
        tenant: caller.tenant,
        campaign: call.campaign,
        at: state.engine.clock().now(),
        kind: EventKind::Timeline {
            attempt: call.attempt.id,
            moment,
        },
    };
    media::log(&state.engine, event).await;
}
