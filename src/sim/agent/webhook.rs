//! The post-call webhook: the finished conversation, signed over its raw bytes.

use std::sync::Arc;

use jiff::Timestamp;
use reqwest::header;
use serde_json::json;

use super::record::{Record, processing_time};
use crate::sim::{
    posting::{post, signature},
    simulation::Simulation,
};

/// Waits for the analysis, then posts it if the agent's owner wants that.
pub async fn post_when_done(simulation: Arc<Simulation>, record: Record) {
    let Some(webhook) = &simulation.config.agent.post_call_webhook else {
        return;
    };
    tokio::time::sleep(processing_time(&simulation)).await;
    let data = record.to_json(&simulation);
    let build = |now: Timestamp| {
        let sent_at = now.as_second();
        let body = json!({
            "type": "post_call_transcription",
            "event_timestamp": sent_at,
            "data": data,
        })
        .to_string();
        let hash = signature(&webhook.secret, &sent_at.to_string(), &body);
        let request = simulation.http.post(&webhook.url);
        request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "ElevenLabs/1.0")
            .header("ElevenLabs-Signature", format!("t={sent_at},v0={hash}"))
            .body(body)
    };
    post(&simulation, &record.conversation_id, build).await;
}
