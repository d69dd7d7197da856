//! The post-call webhook: the finished conversation, signed over its raw bytes.

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header;
use serde_json::json;
use sha2::Sha256;

use super::record::{Record, processing_time};
use crate::sim::simulation::Simulation;

const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Waits for the analysis, then posts it if the agent's owner wants that.
pub async fn post_when_done(simulation: Arc<Simulation>, record: Record) {
    let Some(webhook) = &simulation.config.agent.post_call_webhook else {
        return;
    };
    tokio::time::sleep(processing_time(&simulation)).await;
    let sent_at = simulation.now().as_second();
    let body = json!({
        "type": "post_call_transcription",
        "event_timestamp": sent_at,
        "data": record.to_json(&simulation),
    })
    .to_string();
    let request = simulation
        .http
        .post(&webhook.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "ElevenLabs/1.0")
        .header(
            "ElevenLabs-Signature",
            signature(&webhook.secret, sent_at, &body),
        )
        .timeout(TIME_LIMIT)
        .body(body);
    match request.send().await {
        Ok(response) if response.status().is_success() => {}
        Ok(response) => {
            let status = response.status().as_u16();
            tracing::warn!(status, "post-call webhook was refused");
        }
        Err(error) => {
            let error = error.without_url();
            tracing::warn!(%error, "post-call webhook was not delivered");
        }
    }
}

/// `t=<unix seconds>,v0=<hex of HMAC-SHA256 over "<t>.<body>">`.
fn signature(secret: &str, at_unix: i64, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{at_unix}.{body}").as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={at_unix},v0={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_the_vendors_verifier() {
        let body = concat!(
            r#"{"type":"post_call_transcription","event_timestamp":1700000000,"#,
            r#""data":{"agent_id":"agent_1","conversation_id":"conv_1"}}"#
        );
        assert_eq!(
            signature("wsec_vector_secret_1", 1_700_000_000, body),
            "t=1700000000,v0=0cefc3d9644ffd386ecd34cd45b6c10ee29e3b193ab996722a459558d4cf4b4b"
        );
    }
}
