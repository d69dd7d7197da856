//! A call as the API shows it, and the report that is sent when it has ended.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Call, Line, server::Server};
use crate::sim::{config::AudioFormat, posting::post, simulation::Simulation};

/// Whose calls these are.
pub const ORGANISATION: &str = "0a000000-0000-4000-8000-00000000000f";

/// How long the service thinks about a call that has ended.
const PROCESSING_TIME: Duration = Duration::from_secs(3);
const SHORTEST_PROCESSING: Duration = Duration::from_millis(100);

const KIND: &str = "end-of-call-report";

/// What a report says of a call beside the call itself.
const FACTS: [&str; 6] = [
    "startedAt",
    "endedAt",
    "endedReason",
    "cost",
    "analysis",
    "artifact",
];

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
    if let Some(name) = &call.name {
        shown["name"] = json!(name);
    }
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
    let messages: Vec<Value> = call.lines.iter().map(|line| message(call, line)).collect();
    json!({"transcript": transcript.join("\n"), "messages": messages})
}

/// One line of the history, with when it was said.
fn message(call: &Call, line: &Line) -> Value {
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    json!({
        "role": if line.is_of_user { "user" } else { "bot" },
        "message": line.text,
        "time": line.began_at.as_millisecond(),
        "endTime": line.ended_at.as_millisecond(),
        "secondsFromStart": call.started_at.map_or(0.0, |start| seconds(start, line.began_at)),
        "duration": seconds(line.began_at, line.ended_at),
    })
}

/// Waits for the analysis, then posts the report where the call's request says, again and again if the
/// receiver's plan says so.
pub async fn post_when_done(simulation: Arc<Simulation>, ended: Call) {
    let Some(server) = Server::of(&simulation, &ended).filter(|it| it.wants(KIND)) else {
        return;
    };
    let pace = simulation.pace;
    tokio::time::sleep(pace.shorten_to(PROCESSING_TIME, SHORTEST_PROCESSING)).await;
    let shown = call(&simulation, &ended);
    let facts: Map<String, Value> = FACTS
        .iter()
        .map(|name| ((*name).to_owned(), shown[*name].clone()))
        .collect();
    let body = server.message(KIND, &shown, facts);
    let build = |now: Timestamp| server.request(&body, now);
    let plan = server.retries();
    for _ in 0..=plan.n_max {
        if post(&simulation, &ended.id, build).await {
            return;
        }
        tokio::time::sleep(pace.shorten_to(plan.delay, SHORTEST_PROCESSING)).await;
    }
}
