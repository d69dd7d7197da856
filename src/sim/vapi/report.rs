//! A call as the API shows it, and the report that is sent when it has ended.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Call, Line};
use crate::sim::{config::AudioFormat, simulation::Simulation};

/// Whose calls these are.
pub const ORGANISATION: &str = "0a000000-0000-4000-8000-00000000000f";

const TIME_LIMIT: Duration = Duration::from_secs(20);
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
    let server = ended.overrides["server"].clone();
    let Some(url) = server["url"].as_str() else {
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
    let body = json!({ "message": message });
    let plan = &server["backoffPlan"];
    let n_retries = plan["maxRetries"].as_u64().unwrap_or(0).min(MAX_RETRIES);
    let delay = Duration::from_secs(plan["baseDelaySeconds"].as_u64().unwrap_or(0).min(10));
    for _ in 0..=n_retries {
        let mut request = simulation.http.post(url).timeout(TIME_LIMIT).json(&body);
        for (name, value) in server["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::warn!(status, "end-of-call report was refused");
            }
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(%error, "end-of-call report was not delivered");
            }
        }
        tokio::time::sleep(pace.shorten_to(delay, SHORTEST_PROCESSING)).await;
    }
}
