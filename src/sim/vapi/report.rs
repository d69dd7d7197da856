//! A call as the API shows it, and the report that is sent when it has ended.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::header;
use serde_json::{Value, json};

use super::{Call, Line};
use crate::sim::{
    config::AudioFormat,
    posting::{post, signature},
    simulation::Simulation,
};

/// Whose calls these are.
pub const ORGANISATION: &str = "0a000000-0000-4000-8000-00000000000f";

/// How long the service thinks about a call that has ended.
const PROCESSING_TIME: Duration = Duration::from_secs(3);
const SHORTEST_PROCESSING: Duration = Duration::from_millis(100);
/// Of what a report's receiver asks for at most.
const MAX_RETRIES: u64 = 10;

/// The call object.
pub fn call(simulation: &Simulation, call: &Call) -> Value {
    let status = match (&call.ended, call.started_at) {
        (Some(_), _) => "ended",
        (None, Some(_)) => "in-progress",
        (None, None) => "queued",
    };
    let (format, rate) = match call.format {
        AudioFormat::Ulaw8000 => ("mulaw", 8_000),
        AudioFormat::Pcm16000 => ("pcm_s16le", 16_000),
    };
    let mut shown = json!({
        "id": call.id,
        "orgId": ORGANISATION,
        "type": "vapi.websocketCall",
        "status": status,
        "createdAt": call.created_at,
        "updatedAt": call.ended.as_ref().map_or(call.created_at, |(at, _)| *at),
        "assistantId": simulation.config.vapi_assistant_id,
        "assistantOverrides": call.overrides,
        "cost": 0,
        "monitor": {},
        "transport": {
            "provider": "vapi.websocket",
            "audioFormat": {"format": format, "container": "raw", "sampleRate": rate},
        },
    });
    if let Some((ended_at, reason)) = &call.ended {
        let facts = json!({
            "startedAt": call.started_at,
            "endedAt": ended_at,
            "endedReason": reason,
            "cost": cost(call),
            "analysis": analysis(call),
            "artifact": artifact(call),
        });
        for (name, value) in facts.as_object().into_iter().flatten() {
            shown[name] = value.clone();
        }
    }
    shown
}

fn cost(call: &Call) -> f64 {
    let lasted = call
        .started_at
        .zip(call.ended.as_ref())
        .map_or(0.0, |(from, (to, _))| to.duration_since(from).as_secs_f64());
    // Five cents a minute.
    (lasted / 60.0 * 0.05 * 10_000.0).round() / 10_000.0
}

fn analysis(call: &Call) -> Value {
    let n_of_user = call.lines.iter().filter(|line| line.is_of_user).count();
    let n_of_agent = call.lines.len() - n_of_user;
    json!({
        "summary": format!("The agent spoke {n_of_agent} times and the caller {n_of_user} times."),
        "successEvaluation": (n_of_user > 0).to_string(),
        "structuredData": {"answers": n_of_user},
    })
}

fn artifact(call: &Call) -> Value {
    let speaker = |line: &Line| if line.is_of_user { "User" } else { "AI" };
    let lines = call.lines.iter();
    let transcript: Vec<String> = lines
        .map(|line| format!("{}: {}", speaker(line), line.text))
        .collect();
    let messages: Vec<Value> = call
        .lines
        .iter()
        .map(|line| {
            let role = if line.is_of_user { "user" } else { "bot" };
            json!({"role": role, "message": line.text})
        })
        .collect();
    json!({"transcript": transcript.join("\n"), "messages": messages})
}

/// Waits for the analysis, then posts the report where the call's request says, again and again if the
/// receiver's plan says so.
pub async fn post_when_done(simulation: Arc<Simulation>, ended: Call) {
    let server = &ended.overrides["server"];
    let owners = simulation.config.agent.vapi_server.as_ref();
    let url = server["url"].as_str();
    let Some(url) = url.or(owners.map(|it| it.url.as_str())) else {
        return;
    };
    let pace = simulation.pace;
    tokio::time::sleep(pace.shorten_to(PROCESSING_TIME, SHORTEST_PROCESSING)).await;
    let shown = call(&simulation, &ended);
    let mut message = json!({
        "type": "end-of-call-report",
        "timestamp": simulation.now().as_millisecond(),
        "call": shown,
    });
    for name in [
        "startedAt",
        "endedAt",
        "endedReason",
        "cost",
        "analysis",
        "artifact",
    ] {
        message[name] = shown[name].clone();
    }
    let body = json!({ "message": message }).to_string();
    let build = |now: Timestamp| {
        let mut request = simulation.http.post(url).body(body.clone());
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in server["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        // Where the call's request names no server, the assistant's own is asked, with its credential.
        match owners.filter(|_| server.is_null()) {
            Some(credential) => {
                let time = now.as_millisecond().to_string();
                let hash = signature(&credential.secret, &time, &body);
                request
                    .header("x-timestamp", time)
                    .header("x-signature", hash)
            }
            None => request,
        }
    };
    let plan = &server["backoffPlan"];
    let n_retries = plan["maxRetries"].as_u64().unwrap_or(0).min(MAX_RETRIES);
    let delay = Duration::from_secs(plan["baseDelaySeconds"].as_u64().unwrap_or(0).min(10));
    for _ in 0..=n_retries {
        if post(&simulation, &ended.id, build).await {
            return;
        }
        tokio::time::sleep(pace.shorten_to(delay, SHORTEST_PROCESSING)).await;
    }
}
