//! The carrier's callbacks: verified on the raw body, saved, answered; processed after that.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use tracing::{Instrument as _, info, warn};

use super::{
    ApiState,
    error::{ApiError, ApiResult},
};
use crate::{
    domain::{Timestamp, ids::AttemptId},
    engine::{EngineError, Instead},
    telephony::twilio::{
        signature, twiml,
        webhook::{self, Callback, CallbackError},
    },
};

/// How long a callback may wait for the store. The carrier gives up after fifteen seconds, and repeats
/// only what was refused or not answered in time.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The header that carries the carrier's signature.
const SIGNATURE: &str = "x-twilio-signature";

/// `POST /webhooks/twilio/{kind}/{attempt}`.
///
/// - `voice`: the call was answered; 200 with what the carrier is to do.
/// - `after`: the audio ended and the call did not; 200 with what follows.
/// - `transfer`: a transfer is over; 200 with what follows.
/// - `whisper`: the person to whom a callee is transferred has answered; 200 with what they hear first.
/// - `status`, `amd`, `stream`, `recording`: 204, also for repeats. 503 while the signal cannot be saved,
///   so that the carrier repeats it.
/// - 403 for a wrong signature, 404 for an attempt that never was.
pub async fn twilio(
    State(state): State<ApiState>,
    Path((kind, attempt)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Response> {
    let fields = webhook::parse_form(&body);
    verify(&state, &uri, &headers, &fields)?;
    let attempt: AttemptId = attempt
        .parse()
        .map_err(|_| ApiError::not_found("attempt"))?;
    in_time(&state, answer(state.clone(), kind, attempt, fields)).await
}

/// What `answering` comes to, or, when that takes too long, that the sender is to repeat what it told.
///
/// It is a task of its own: what the store was asked is not broken off when the sender is answered.
pub(super) async fn in_time<T: Send + 'static>(
    state: &ApiState,
    answering: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    let answering = state.tasks.spawn(answering.in_current_span());
    match tokio::time::timeout(ANSWER_WITHIN, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => {
            warn!("callback not saved in time; its sender is to repeat it");
            let detail = "the records cannot be reached now; try again later";
            Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                detail,
            ))
        }
    }
}

/// Saves what a verified callback tells and says what is to be done.
async fn answer(
    state: ApiState,
    kind: String,
    attempt: AttemptId,
    fields: Vec<(String, String)>,
) -> ApiResult<Response> {
    let now = state.engine.clock().now();
    match kind.as_str() {
        "voice" => voice(&state, attempt, &fields, now).await,
        "amd" => receive(&state, attempt, webhook::verdict_callback(&fields, now)).await,
        "after" => after(&state, attempt).await,
        "transfer" => transfer(&state, attempt, &fields, now).await,
        "whisper" => whisper(&state, attempt, &fields, now).await,
        "status" => receive(&state, attempt, webhook::status_callback(&fields, now)).await,
        "stream" => receive(&state, attempt, webhook::stream_callback(&fields, now)).await,
        "recording" => match webhook::recording_callback(&fields, now).map_err(unusable)? {
            Some(callback) => receive(&state, attempt, Ok(callback)).await,
            None => Ok(StatusCode::NO_CONTENT.into_response()),
        },
        _ => Err(ApiError::not_found("callback")),
    }
}

/// Checks that the carrier signed this request to the address it was given.
///
/// The address is built from the configuration: behind a proxy the request itself shows another.
fn verify(
    state: &ApiState,
    uri: &Uri,
    headers: &HeaderMap,
    fields: &[(String, String)],
) -> ApiResult<()> {
    let path = uri.path_and_query().map_or(uri.path(), |it| it.as_str());
    let url = format!("{}{path}", state.public_url);
    if is_signed(state, &url, headers, fields) {
        return Ok(());
    }
    warn!(path = uri.path(), "callback with a wrong signature refused");
    let detail = "the signature does not fit; check TWILIO_AUTH_TOKEN, and that PUBLIC_URL is the \
                  address that the carrier calls";
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "wrongSignature",
        detail,
    ))
}

/// Whether the carrier signed a request to `url`.
pub fn is_signed(
    state: &ApiState,
    url: &str,
    headers: &HeaderMap,
    fields: &[(String, String)],
) -> bool {
    headers
        .get(SIGNATURE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|given| {
            signature::verify(state.carrier_token.expose_secret(), url, fields, given)
        })
}

fn unusable(error: CallbackError) -> ApiError {
    warn!(%error, "callback cannot be used");
    ApiError::invalid(error.to_string())
}

/// Saves what a callback tells.
async fn receive(
    state: &ApiState,
    attempt: AttemptId,
    callback: Result<Callback, CallbackError>,
) -> ApiResult<Response> {
    let callback = callback.map_err(unusable)?;
    if let Some(note) = &callback.note {
        warn!(attempt_id = %attempt, note, "carrier reports trouble");
    }
    state
        .engine
        .receive(callback.key, attempt, callback.signal)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Says what is to be done with a call that was just answered.
async fn voice(
    state: &ApiState,
    attempt: AttemptId,
    fields: &[(String, String)],
    now: Timestamp,
) -> ApiResult<Response> {
    let request = webhook::voice_request(fields, now).map_err(unusable)?;
    let verdict = webhook::awaited_verdict(fields, now).map_err(unusable)?;
    match state
        .engine
        .receive(request.key, attempt, request.signal)
        .await
    {
        Ok(()) => {}
        Err(EngineError::NotFound { .. }) => return Ok(instructions(twiml::hang_up())),
        Err(error) => return Err(error.into()),
    }
    if !state.engine.wants_call(attempt).await? {
        info!(attempt_id = %attempt, "answered call belongs to no open attempt; hanging up");
        return Ok(instructions(twiml::hang_up()));
    }
    if let Some((by, callback)) = verdict {
        let (key, signal) = (callback.key, callback.signal);
        state.engine.receive(key, attempt, signal).await?;
        if let Some(instead) = state.engine.instead_of_talk(attempt, by).await? {
            return Ok(instructions(instead_of_talk(&instead)));
        }
    }
    let urls = &state.callbacks;
    let token = state.access.media_token(attempt);
    let id = attempt.to_string();
    let parameters = [("attempt", id.as_str()), ("token", token.as_str())];
    let document = twiml::connect(
        &urls.media(attempt),
        &urls.after(attempt),
        &urls.stream(attempt),
        &parameters,
    );
    Ok(instructions(document))
}

/// Says what follows when the audio ended first: a callee who was left without an agent hears a
/// sentence.
async fn after(state: &ApiState, attempt: AttemptId) -> ApiResult<Response> {
    let instead = state.engine.after_talk(attempt).await?;
    Ok(instructions(instead_of_talk(&instead)))
}

/// Saves what became of a transfer, and says what follows.
async fn transfer(
    state: &ApiState,
    attempt: AttemptId,
    fields: &[(String, String)],
    now: Timestamp,
) -> ApiResult<Response> {
    let (result, callback) = webhook::transfer_callback(fields, now).map_err(unusable)?;
    if let Some(note) = &callback.note {
        warn!(attempt_id = %attempt, note, "carrier reports trouble with a transfer");
    }
    let engine = &state.engine;
    engine
        .receive(callback.key, attempt, callback.signal)
        .await?;
    let instead = engine.after_transfer(attempt, result).await?;
    Ok(instructions(instead_of_talk(&instead)))
}

/// Says what a person hears who is about to be joined to the callee.
async fn whisper(
    state: &ApiState,
    attempt: AttemptId,
    fields: &[(String, String)],
    now: Timestamp,
) -> ApiResult<Response> {
    let callback = webhook::whisper_request(fields, now).map_err(unusable)?;
    let engine = &state.engine;
    engine
        .receive(callback.key, attempt, callback.signal)
        .await?;
    let speech = engine.whisper(attempt).await?;
    Ok(instructions(twiml::whisper(speech.as_ref())))
}

fn instead_of_talk(instead: &Instead) -> String {
    match instead {
        Instead::HangUp => twiml::hang_up(),
        Instead::Speak(speech) => twiml::speech(speech),
    }
}

fn instructions(document: String) -> Response {
    ([(header::CONTENT_TYPE, twiml::CONTENT_TYPE)], document).into_response()
}
