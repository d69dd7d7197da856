//! Twilio Programmable Voice on the wire: REST, webhooks, TwiML and media streams.
//!
//! A call is one task (`life`) that dials a scripted person, tells the dialer by signed webhooks,
//! runs the dialer's TwiML (`interpreter`) and speaks over its media socket (`media`). Messaging
//! and lookups are not simulated.

mod account;
mod call;
mod calls;
mod error;
mod exchange;
mod fields;
mod guard;
mod interpreter;
mod life;
mod list;
mod media;
mod media_message;
mod number;
mod playback;
mod recording;
mod request;
mod status_callback;
mod twiml;
mod webhook;

use std::sync::Arc;

use axum::{Router, extract::OriginalUri, middleware, routing::get};

use self::error::Refusal;
pub(super) use self::{exchange::Exchange, recording::Archive, webhook::webhook_client};
use super::simulation::Simulation;

/// Everything below `/2010-04-01`, behind Basic authentication.
pub(super) fn routes(simulation: Arc<Simulation>) -> Router<Arc<Simulation>> {
    let account = Router::new()
        .route("/{account}", get(account::show_account))
        .route("/{account}/Balance.json", get(account::show_balance))
        .route(
            "/{account}/IncomingPhoneNumbers.json",
            get(account::list_numbers),
        )
        .route(
            "/{account}/Calls.json",
            get(list::list_calls).post(calls::create_call),
        )
        .route(
            "/{account}/Calls/{call}",
            get(calls::show_call)
                .post(calls::update_call)
                .delete(calls::delete_call),
        )
        .route(
            "/{account}/Calls/{call}/Recordings.json",
            get(recording::list_of_call),
        )
        .route(
            "/{account}/Recordings/{recording}",
            get(recording::show).delete(recording::delete),
        )
        .fallback(unknown_resource)
        .layer(middleware::from_fn_with_state(simulation, guard::guard));
    Router::new().nest("/2010-04-01/Accounts", account)
}

async fn unknown_resource(OriginalUri(uri): OriginalUri) -> Refusal {
    Refusal::not_found(uri.path())
}
