//! Server messages: how they are authenticated, and the report at a call's end.
//!
//! Pure. Of the messages that an assistant may send to a server, `end-of-call-report` is a report.
//! Deliberately not taken: `status-update`, `transcript`, `speech-update`, `user-interrupted` and
//! `conversation-update`, which come on the call's socket, sooner and in order; and whatever asks for an
//! answer (`tool-calls`, `assistant-request`, …), which belongs to the server of the assistant's owner.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::VENDOR;
use crate::{
    agents::report::{
        Delivery, ReportDialect, ReportError, Told, any_equal, attempt_in, collected, cost_of, hex,
        hmac_sha256, is_fresh, short, summary_of,
    },
    domain::{
        ids::{AttemptId, ConversationId},
        report::{AgentReport, AgentVerdict, CostUnit},
    },
};

/// The headers of an HMAC credential as the vendor sets it up by itself, in lower case.
const SIGNATURE: &str = "x-signature";
const TIMESTAMP: &str = "x-timestamp";
/// What some put before the signature.
const PREFIX: &str = "sha256=";

/// The header of a server's plain secret, and of a bearer credential.
const PLAIN_SECRET: &str = "x-vapi-secret";
const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "Bearer ";

/// The one message that is a report.
const REPORT: &str = "end-of-call-report";

/// Times above are milliseconds: as seconds they would be in the year 5138.
const MOST_SECONDS: i64 = 100_000_000_000;

const MAX_RATING: usize = 200;

/// Reads what Vapi posts to a server.
#[derive(Debug, Clone)]
pub struct ServerMessages {
    /// The credential's secret; several while it is being changed; none where it is not set up.
    pub secrets: Vec<SecretString>,
}

impl ReportDialect for ServerMessages {
    fn read(&self, delivery: &Delivery<'_>) -> Result<Option<Told>, ReportError> {
        if self.secrets.is_empty() {
            return Err(ReportError::NoSecret);
        }
        verify(&self.secrets, delivery).map_err(ReportError::WrongSignature)?;
        told(delivery.body)
    }
}

/// Checks the HMAC of the time and the body, or, where there is none, the secret itself: which of the two
/// is sent is the assistant's owner's choice.
fn verify(secrets: &[SecretString], delivery: &Delivery<'_>) -> Result<(), &'static str> {
    let header = |name| (delivery.header)(name);
    if let Some(signature) = header(SIGNATURE) {
        return verify_hmac(secrets, signature, delivery);
    }
    let bearer = header(AUTHORIZATION).and_then(|value| value.strip_prefix(BEARER));
    let given = header(PLAIN_SECRET)
        .or(bearer)
        .ok_or("the signature is missing")?;
    // Compared as hashes: those are of one length, whatever the secrets' is.
    let hashed = |text: &str| {
        hex(&hmac_sha256(
            &SecretString::from(VENDOR.to_owned()),
            &[text.as_bytes()],
        ))
    };
    let expected = secrets.iter().map(|secret| hashed(secret.expose_secret()));
    let given = hashed(given);
    if any_equal(std::iter::once(given.as_str()), expected) {
        Ok(())
    } else {
        Err("the secret is another")
    }
}

fn verify_hmac(
    secrets: &[SecretString],
    signature: &str,
    delivery: &Delivery<'_>,
) -> Result<(), &'static str> {
    let time = (delivery.header)(TIMESTAMP).ok_or("the signature has no time")?;
    let given = signature.strip_prefix(PREFIX).unwrap_or(signature);
    let expected = secrets.iter().flat_map(|secret| {
        let mac = hmac_sha256(secret, &[time.as_bytes(), b".", delivery.body]);
        [hex(&mac), STANDARD.encode(mac)]
    });
    if !any_equal(std::iter::once(given), expected) {
        return Err("the signature does not fit");
    }
    let at: i64 = time.parse().map_err(|_| "the signature's time is none")?;
    let seconds = if at > MOST_SECONDS { at / 1_000 } else { at };
    if !is_fresh(seconds, delivery.now) {
        return Err("the signature is too old, or the clocks differ");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Posted<M> {
    message: M,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// What matters of a report. Whatever is not understood is as good as missing.
#[derive(Deserialize)]
struct Message {
    call: Call,
    #[serde(default)]
    cost: Value,
    #[serde(default)]
    analysis: Value,
    artifact: Option<Artifact>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    id: String,
    #[serde(default)]
    metadata: Value,
    assistant_overrides: Option<Overrides>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Overrides {
    metadata: Value,
    variable_values: Value,
}

/// The rest of it, most of the body, is passed over.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Artifact {
    structured_outputs: Value,
}

fn told(body: &[u8]) -> Result<Option<Told>, ReportError> {
    if serde_json::from_slice::<Posted<Kind>>(body)?.message.kind != REPORT {
        return Ok(None);
    }
    let message = serde_json::from_slice::<Posted<Message>>(body)?.message;
    let id: ConversationId = message
        .call
        .id
        .parse()
        .map_err(|error| ReportError::Unreadable(Box::new(error)))?;
    Ok(Some(Told {
        key: format!("{VENDOR}:{REPORT}:{id}"),
        attempt: attempt_of(&message.call),
        report: report(id, &message),
    }))
}

/// The metadata comes first: it is ours alone, while a variable may be a column of a list.
fn attempt_of(call: &Call) -> Option<AttemptId> {
    let overrides = call.assistant_overrides.as_ref();
    overrides
        .and_then(|it| attempt_in(&it.metadata))
        .or_else(|| attempt_in(&call.metadata))
        .or_else(|| attempt_in(&overrides?.variable_values))
}

fn report(id: ConversationId, message: &Message) -> AgentReport {
    let analysis = &message.analysis;
    let (verdict, rating) = evaluation(&analysis["successEvaluation"]);
    let data = named(&analysis["structuredData"]);
    let data = data.map(|(name, value)| (name.as_str(), value));
    let outputs = message.artifact.iter();
    let outputs = outputs.flat_map(|it| named(&it.structured_outputs));
    let outputs = outputs.filter_map(|(_, it)| Some((it["name"].as_str()?, &it["result"])));
    AgentReport {
        verdict,
        rating,
        summary: summary_of(&analysis["summary"]),
        collected: collected(data.chain(outputs)),
        cost: cost_of(&message.cost, CostUnit::Usd),
        ..AgentReport::new(id)
    }
}

fn named(values: &Value) -> impl Iterator<Item = (&String, &Value)> {
    values.as_object().into_iter().flat_map(Map::iter)
}

/// The evaluation is a text in the terms of the rubric that the assistant's owner chose. Only one rubric
/// says yes or no; what another says is kept as it is, and no guess is made of it.
fn evaluation(told: &Value) -> (Option<AgentVerdict>, Option<String>) {
    let text = match told {
        Value::Null => return (None, None),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    match text.to_ascii_lowercase().as_str() {
        "" => (None, None),
        "true" | "pass" => (Some(AgentVerdict::Success), None),
        "false" | "fail" => (Some(AgentVerdict::Failure), None),
        _ => (Some(AgentVerdict::Unknown), Some(short(&text, MAX_RATING))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::{Timestamp, report::AgentCost};

    const SECRET: &str = "vapi_vector_secret";
    const BODY: &str = r#"{"message":{"type":"status-update","timestamp":1767225600000,"status":"ringing","call":{"id":"call-1"}}}"#;
    const IN_HEX: &str = "a3255cb8807effbd58d87e47ebe886b6ec36f35575ebe22a57cb520c5e083320";
    const SENT: i64 = 1_767_225_600;

    /// Whether a message with these headers is taken `after` seconds later.
    fn check(headers: &[(&str, &str)], body: &str, after: i64) -> Result<(), &'static str> {
        let of = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|it| it.1);
        let secrets = ["an older one", SECRET].map(|secret| secret.to_owned().into());
        let delivery = Delivery {
            header: &of,
            body: body.as_bytes(),
            now: Timestamp::from_second(SENT + after).unwrap(),
        };
        verify(&secrets, &delivery)
    }

    // proves F-56
    #[test]
    fn a_signature_is_of_the_time_and_the_body_in_either_spelling() {
        let seconds = (TIMESTAMP, "1767225600");
        let milliseconds = (TIMESTAMP, "1767225600000");
        for (time, signature) in [
            (seconds, IN_HEX),
            (seconds, "oyVcuIB+/71Y2H5H6+iGtuw281V16+IqV8tSDF4IMyA="),
            (
                milliseconds,
                "6d3a08e57e1587a3c1158986e34ce049822b5dc7c69eb374ce901100b6cc1ac7",
            ),
        ] {
            let headers = [time, (SIGNATURE, signature)];
            assert_eq!(check(&headers, BODY, 60), Ok(()), "{signature}");
            assert!(check(&headers, &format!("{BODY}\n"), 60).is_err());
            assert_eq!(check(&headers, BODY, 1_800), Ok(()));
            assert!(check(&headers, BODY, 1_801).is_err());
            assert!(check(&headers, BODY, -1_801).is_err());
        }
        let prefixed = format!("sha256={IN_HEX}");
        assert_eq!(check(&[seconds, (SIGNATURE, &prefixed)], BODY, 0), Ok(()));
        let later = (TIMESTAMP, "1767225601");
        assert!(check(&[later, (SIGNATURE, IN_HEX)], BODY, 0).is_err());
        // Over the body alone, so that it would be good for ever.
        let body_only = "5e5d9effbfc033137ca1dc66997cbfb45464b7f2e1b78d83fc1450598c1efd35";
        assert!(check(&[(SIGNATURE, body_only)], BODY, 0).is_err());
        assert!(check(&[seconds, (SIGNATURE, body_only)], BODY, 0).is_err());
    }

    // proves F-56
    #[test]
    fn a_plain_secret_is_as_good_and_a_wrong_signature_is_not_saved_by_it() {
        assert_eq!(check(&[(PLAIN_SECRET, SECRET)], BODY, 0), Ok(()));
        let bearer = format!("Bearer {SECRET}");
        assert_eq!(check(&[(AUTHORIZATION, &bearer)], BODY, 0), Ok(()));
        for wrong in ["", "vapi_vector_secre", "Bearer "] {
            assert!(check(&[(PLAIN_SECRET, wrong)], BODY, 0).is_err());
            assert!(check(&[(AUTHORIZATION, wrong)], BODY, 0).is_err());
        }
        assert!(check(&[], BODY, 0).is_err());
        let both = [
            (SIGNATURE, "00"),
            (TIMESTAMP, "1767225600"),
            (PLAIN_SECRET, SECRET),
        ];
        assert!(check(&both, BODY, 0).is_err());
    }

    #[test]
    fn without_a_secret_nothing_is_taken() {
        let header = |_: &str| Some("");
        let delivery = Delivery {
            header: &header,
            body: BODY.as_bytes(),
            now: Timestamp::from_second(SENT).unwrap(),
        };
        let read = ServerMessages { secrets: vec![] }.read(&delivery);
        assert!(matches!(read, Err(ReportError::NoSecret)));
    }

    #[test]
    fn a_report_says_what_the_vendor_found() {
        let body = json!({"message": {
            "type": "end-of-call-report", "endedReason": "customer-ended-call", "cost": 0.04,
            "analysis": {
                "summary": "Ann agreed.", "successEvaluation": "true",
                "structuredData": {"callback": true, "at": null},
            },
            "artifact": {
                "transcript": "AI: Hi", "messages": [],
                "structuredOutputs": {"o-1": {"name": "mood", "result": "good"}, "o-2": 3},
            },
            "call": {"id": "0a-1", "type": "vapi.websocketCall", "assistantOverrides": {
                "metadata": {"attempt_id": "att_00000000000000000000000000000007_1"},
                "variableValues": {"attempt_id": "att_00000000000000000000000000000008_1"},
            }},
        }});
        let found = told(body.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(found.key, "vapi:end-of-call-report:0a-1");
        assert_eq!(
            found.attempt.unwrap().to_string(),
            "att_00000000000000000000000000000007_1"
        );
        let expected = AgentReport {
            verdict: Some(AgentVerdict::Success),
            summary: Some("Ann agreed.".to_owned()),
            collected: BTreeMap::from([
                ("callback".to_owned(), "true".to_owned()),
                ("mood".to_owned(), "\"good\"".to_owned()),
            ]),
            cost: Some(AgentCost {
                millionths: 40_000,
                unit: CostUnit::Usd,
            }),
            ..AgentReport::new("0a-1".parse().unwrap())
        };
        assert_eq!(found.report, expected);
    }

    // proves F-53, F-54
    #[test]
    fn an_evaluation_that_is_neither_yes_nor_no_stays_what_it_is() {
        use AgentVerdict::{Failure, Success, Unknown};

        for (told, verdict, rating) in [
            (json!(null), None, None),
            (json!(""), None, None),
            (json!("True"), Some(Success), None),
            (json!(true), Some(Success), None),
            (json!("false"), Some(Failure), None),
            (json!("8"), Some(Unknown), Some("8")),
            (json!(8), Some(Unknown), Some("8")),
            (json!("Excellent"), Some(Unknown), Some("Excellent")),
        ] {
            let found = evaluation(&told);
            assert_eq!(found, (verdict, rating.map(str::to_owned)), "{told}");
        }
    }

    #[test]
    fn what_is_no_report_is_passed_over_and_what_is_odd_loses_nothing_else() {
        assert_eq!(told(BODY.as_bytes()).unwrap(), None);
        let odd = r#"{"message":{"type":"end-of-call-report","call":{"id":"c"},"artifact":null,"analysis":[],"cost":"?"}}"#;
        let found = told(odd.as_bytes()).unwrap().unwrap();
        assert_eq!(found.report, AgentReport::new("c".parse().unwrap()));
        for body in ["", "{}", r#"{"message":{"type":"end-of-call-report"}}"#] {
            assert!(told(body.as_bytes()).is_err(), "{body}");
        }
    }
}
