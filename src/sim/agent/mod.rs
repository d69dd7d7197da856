//! An ElevenLabs voice agent on the wire: signed URLs, the conversation socket, the record.
//!
//! The agent follows a small script: it greets, listens for a voice by its loudness, answers a few
//! times and ends the call. Of what is said it understands one thing, by its pitch: that the caller
//! wants no more calls. Then it uses the client's tool `do_not_call` and ends the call. It knows nothing
//! of carriers.

pub(super) mod dialogue;
pub(super) mod hearing;
mod initiation;
mod message;
pub(super) mod plan;
mod record;
mod rest;
mod session;
mod talk;
pub(super) mod voice;
mod webhook;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{any, get},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::record::Record;
use super::simulation::Simulation;

/// Everything below `/v1/convai`.
pub(super) fn routes() -> Router<Arc<Simulation>> {
    let routes = Router::new()
        .route("/conversation", any(session::open))
        .route("/conversation/get-signed-url", get(rest::sign_url))
        .route("/conversation/get_signed_url", get(rest::sign_url))
        .route("/conversations", get(rest::list_conversations))
        .route("/conversations/{id}", get(rest::show_conversation))
        .route("/conversations/{id}/audio", get(rest::conversation_audio))
        .route("/agents/{id}", get(rest::show_agent))
        .fallback(unknown_path);
    Router::new().nest("/v1/convai", routes)
}

async fn unknown_path() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"})))
}

/// What the agent's side keeps between requests.
#[derive(Debug, Default)]
pub(super) struct AgentDesk {
    n_sessions: AtomicU64,
    signatures: Mutex<BTreeMap<String, IssuedSignature>>,
    records: Mutex<BTreeMap<String, Record>>,
}

#[derive(Debug, Clone)]
struct IssuedSignature {
    issued: Instant,
    /// Set for a signature that opens one conversation only, which then gets this id.
    single_use_for: Option<String>,
}

const SIGNATURE_LIFETIME: Duration = Duration::from_secs(900);

impl AgentDesk {
    /// The number of a new session, from 0.
    fn next_session(&self) -> u64 {
        self.n_sessions.fetch_add(1, Ordering::Relaxed)
    }

    fn issue(&self, signature: String, single_use_for: Option<String>, now: Instant) {
        let mut signatures = locked(&self.signatures);
        signatures.retain(|_, issued| now - issued.issued < SIGNATURE_LIFETIME);
        signatures.insert(
            signature,
            IssuedSignature {
                issued: now,
                single_use_for,
            },
        );
    }

    /// Accepts a signature that is known and fresh; a single-use one is then spent.
    fn redeem(&self, signature: &str, now: Instant) -> Option<IssuedSignature> {
        let mut signatures = locked(&self.signatures);
        let found = signatures.get(signature)?.clone();
        if found.single_use_for.is_some() {
            signatures.remove(signature);
        }
        (now - found.issued < SIGNATURE_LIFETIME).then_some(found)
    }

    fn save(&self, record: Record) {
        locked(&self.records).insert(record.conversation_id.clone(), record);
    }

    fn find(&self, conversation_id: &str) -> Option<Record> {
        locked(&self.records).get(conversation_id).cloned()
    }

    /// Every record, newest first.
    fn records(&self) -> Vec<Record> {
        let mut records: Vec<_> = locked(&self.records).values().cloned().collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.started_at));
        records
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds the agent's desk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_expires_and_one_with_a_conversation_id_opens_once() {
        let desk = AgentDesk::default();
        let now = Instant::now();
        desk.issue("plain".into(), None, now);
        desk.issue("once".into(), Some("conv_1".into()), now);
        assert!(desk.redeem("plain", now).is_some() && desk.redeem("plain", now).is_some());
        assert!(desk.redeem("once", now).is_some() && desk.redeem("once", now).is_none());
        assert!(desk.redeem("plain", now + SIGNATURE_LIFETIME).is_none());
        assert!(desk.redeem("unknown", now).is_none());
    }
}
