//! Where a call's messages to a server go, and how they are posted there.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{RequestBuilder, header};
use serde_json::{Map, Value, json};

use super::{Call, report};
use crate::sim::{
    config::PostCallWebhook,
    posting::{deliver, signature},
    simulation::Simulation,
};

/// Of what a server asks for at most.
const MAX_RETRIES: u64 = 10;
const LONGEST_DELAY_S: u64 = 10;

/// The server that is told of one call.
pub struct Server<'a> {
    simulation: &'a Simulation,
    url: String,
    /// What the call's request says of it; null where it names none.
    settings: &'a Value,
    /// The kinds that it is told, where the request says so.
    kinds: Option<&'a Vec<Value>>,
    /// The assistant's own, with what it is signed for.
    credential: Option<&'a PostCallWebhook>,
}

/// How often something is posted once more, and how long to wait before.
pub struct Retries {
    pub n_max: u64,
    pub delay: Duration,
}

impl<'a> Server<'a> {
    /// The server that the call's request names, else the assistant's own; none where neither is.
    pub fn of(simulation: &'a Simulation, call: &'a Call) -> Option<Self> {
        let settings = &call.overrides["server"];
        let own = simulation.config.agent.vapi_server.as_ref();
        let url = settings["url"].as_str().or(own.map(|it| it.url.as_str()))?;
        Some(Self {
            simulation,
            url: url.to_owned(),
            settings,
            kinds: call.overrides["serverMessages"].as_array(),
            credential: own.filter(|_| settings.is_null()),
        })
    }

    /// Whether it is told messages of this kind; of those that there are here, all, unless it chooses.
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds
            .is_none_or(|kinds| kinds.iter().any(|it| it == kind))
    }

    /// The body of a message: `facts`, with its kind, its time and the call as the API shows it.
    pub fn message(&self, kind: &str, shown: &Value, mut facts: Map<String, Value>) -> String {
        facts.insert("type".to_owned(), json!(kind));
        let sent_at = self.simulation.now().as_millisecond();
        facts.insert("timestamp".to_owned(), json!(sent_at));
        facts.insert("call".to_owned(), shown.clone());
        json!({ "message": facts }).to_string()
    }

    /// The request that brings `body`, with the headers that the call's request asks for, or signed.
    pub fn request(&self, body: &str, now: Timestamp) -> RequestBuilder {
        let http = &self.simulation.http;
        let mut request = http.post(&self.url).body(body.to_owned());
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in self.settings["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        let Some(credential) = self.credential else {
            return request;
        };
        let time = now.as_millisecond().to_string();
        let hash = signature(&credential.secret, &time, body);
        request
            .header("x-timestamp", time)
            .header("x-signature", hash)
    }

    pub fn retries(&self) -> Retries {
        let plan = &self.settings["backoffPlan"];
        let delay_s = plan["baseDelaySeconds"].as_u64().unwrap_or(0);
        Retries {
            n_max: plan["maxRetries"].as_u64().unwrap_or(0).min(MAX_RETRIES),
            delay: Duration::from_secs(delay_s.min(LONGEST_DELAY_S)),
        }
    }
}

/// Posts a message about a call that goes on, once and in its own time: the talk does not wait for it.
pub fn tell(simulation: &Arc<Simulation>, call: &Call, kind: &str, facts: &Value) {
    let Some(server) = Server::of(simulation, call).filter(|it| it.wants(kind)) else {
        return;
    };
    let facts = facts.as_object().cloned().unwrap_or_default();
    let body = server.message(kind, &report::call(simulation, call), facts);
    let request = server.request(&body, simulation.now());
    simulation.spawn(async move {
        deliver(request).await;
    });
}
