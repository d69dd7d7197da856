//! How a vendor of agents posts what it found in a conversation: late or twice, where faults say so.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use sha2::Sha256;

use super::simulation::Simulation;

const TIME_LIMIT: Duration = Duration::from_secs(20);
const REPEAT_AFTER: Duration = Duration::from_millis(50);

/// Posts the request that `build` makes for the time of sending. Whether it was taken.
pub async fn post(
    simulation: &Simulation,
    conversation_id: &str,
    build: impl Fn(Timestamp) -> RequestBuilder,
) -> bool {
    let faults = simulation.faults();
    let happens = |what: &str, share: f64| {
        let draw = simulation.chance.about(&["report", what, conversation_id]);
        draw.happens(share)
    };
    if happens("late", faults.late_report) {
        tokio::time::sleep(Duration::from_millis(faults.late_by_ms)).await;
    }
    let is_taken = send(simulation, conversation_id, &build).await;
    if happens("duplicate", faults.duplicate_report) {
        tokio::time::sleep(REPEAT_AFTER).await;
        send(simulation, conversation_id, &build).await;
    }
    is_taken
}

async fn send(
    simulation: &Simulation,
    conversation_id: &str,
    build: &impl Fn(Timestamp) -> RequestBuilder,
) -> bool {
    let is_taken = deliver(build(simulation.now())).await;
    simulation.ledger.report_posted(conversation_id, is_taken);
    is_taken
}

/// Sends the request once. Whether it was taken.
pub async fn deliver(request: RequestBuilder) -> bool {
    match request.timeout(TIME_LIMIT).send().await {
        Ok(response) if response.status().is_success() => true,
        Ok(response) => {
            let status = response.status().as_u16();
            tracing::warn!(status, "report on a conversation was refused");
            false
        }
        Err(error) => {
            let error = error.without_url();
            tracing::warn!(%error, "report on a conversation was not delivered");
            false
        }
    }
}

/// HMAC-SHA256 over `<time>.<body>` in hexadecimal digits.
pub fn signature(secret: &str, time: &str, body: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{time}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_the_published_vectors() {
        let body = concat!(
            r#"{"type":"post_call_transcription","event_timestamp":1700000000,"#,
            r#""data":{"agent_id":"agent_1","conversation_id":"conv_1"}}"#
        );
        assert_eq!(
            signature("wsec_vector_secret_1", "1700000000", body),
            "0cefc3d9644ffd386ecd34cd45b6c10ee29e3b193ab996722a459558d4cf4b4b"
        );
        let body = concat!(
            r#"{"message":{"type":"status-update","timestamp":1767225600000,"#,
            r#""status":"ringing","call":{"id":"call-1"}}}"#
        );
        assert_eq!(
            signature("vapi_vector_secret", "1767225600000", body),
            "6d3a08e57e1587a3c1158986e34ce049822b5dc7c69eb374ce901100b6cc1ac7"
        );
    }
}
