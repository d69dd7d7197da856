//! A Vapi assistant on the wire: calls over the WebSocket transport, their records and reports.
//!
//! It follows the same script as the other vendor's agent: it greets, listens for a voice by its
//! loudness, answers a few times and ends the call; to a caller who wants no more calls it uses the tool
//! `do_not_call`. Its stream goes on in real time, silence included. It knows nothing of carriers.

mod report;
mod rest;
mod server;
mod talk;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    routing::{any, get, post},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{config::AudioFormat, simulation::Simulation};

/// The API's paths and those of the calls' sockets.
pub(super) fn routes() -> Router<Arc<Simulation>> {
    Router::new()
        .route("/call", post(rest::create).get(rest::list))
        .route("/call/{id}", get(rest::show).patch(rest::rename))
        .route("/call/{id}/mono-recording", get(rest::mono_recording))
        .route("/call/{id}/stereo-recording", get(rest::stereo_recording))
        .route("/assistant/{id}", get(rest::show_assistant))
        .route("/vapi/{id}/transport", any(talk::open))
}

/// What the vendor keeps between requests.
#[derive(Debug, Default)]
pub(super) struct VapiDesk {
    n_calls: AtomicU64,
    calls: Mutex<BTreeMap<String, Call>>,
}

/// A call as the vendor knows it.
#[derive(Debug, Clone)]
struct Call {
    id: String,
    /// From 0; with the seed it decides what is said.
    number: u64,
    /// Whatever its owner calls it.
    name: Option<String>,
    format: AudioFormat,
    /// The request's overrides.
    overrides: Value,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended: Option<(Timestamp, String)>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    is_of_user: bool,
    text: String,
    began_at: Timestamp,
    ended_at: Timestamp,
}

impl VapiDesk {
    fn next_number(&self) -> u64 {
        self.n_calls.fetch_add(1, Ordering::Relaxed)
    }

    fn save(&self, call: Call) {
        self.locked().insert(call.id.clone(), call);
    }

    fn find(&self, id: &str) -> Option<Call> {
        self.locked().get(id).cloned()
    }

    /// Gives the call another name; what it is then.
    fn rename(&self, id: &str, name: Option<String>) -> Option<Call> {
        let mut calls = self.locked();
        let call = calls.get_mut(id)?;
        call.name = name;
        Some(call.clone())
    }

    /// Keeps what a talk knows of its call. The name is whatever it was changed to meanwhile.
    fn save_talk(&self, talk: &Call) {
        let mut calls = self.locked();
        let name = calls.get(&talk.id).and_then(|kept| kept.name.clone());
        let kept = Call {
            name,
            ..talk.clone()
        };
        calls.insert(talk.id.clone(), kept);
    }

    /// The call, for the first who asks: a call has one socket.
    fn take_up(&self, id: &str, now: Timestamp) -> Option<Call> {
        let mut calls = self.locked();
        let call = calls.get_mut(id)?;
        let is_first = call.started_at.is_none() && call.ended.is_none();
        call.started_at = Some(now);
        is_first.then(|| call.clone())
    }

    /// Every call, newest first.
    fn all(&self) -> Vec<Call> {
        let mut calls: Vec<_> = self.locked().values().cloned().collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.number));
        calls
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Call>> {
        self.calls
            .lock()
            .expect("nothing panics while it holds the calls")
    }
}
