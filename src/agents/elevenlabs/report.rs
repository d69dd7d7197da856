//! The post-call webhook: signature and fields.
//!
//! Pure. Of the events that a workspace may send, `post_call_transcription` is a report. Deliberately not
//! taken: `post_call_audio` (audio is large and nobody asked for it), `call_initiation_failure` and
//! `answering_machine_detection` (of calls that the vendor makes itself; ours are the carrier's), and
//! whatever comes new.

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::VENDOR;
use crate::{
    agents::report::{
        Delivery, ReportDialect, ReportError, Told, any_equal, attempt_in, by_name, collected,
        cost_of, hex, hmac_sha256, is_fresh, summary_of,
    },
    domain::{
        Timestamp,
        ids::ConversationId,
        report::{AgentReport, AgentVerdict, CostUnit},
    },
};

/// The header that carries the signature, in lower case.
const SIGNATURE: &str = "elevenlabs-signature";

/// The one event that is a report.
const REPORT: &str = "post_call_transcription";

/// Reads what ElevenLabs posts after a conversation.
#[derive(Debug, Clone)]
pub struct PostCall {
    /// The webhook's secret; several while it is being changed; none where it is not set up.
    pub secrets: Vec<SecretString>,
}

impl ReportDialect for PostCall {
    fn read(&self, delivery: &Delivery<'_>) -> Result<Option<Told>, ReportError> {
        if self.secrets.is_empty() {
            return Err(ReportError::NoSecret);
        }
        let missing = ReportError::WrongSignature("the signature is missing");
        let signature = (delivery.header)(SIGNATURE).ok_or(missing)?;
        verify(&self.secrets, signature, delivery.body, delivery.now)
            .map_err(ReportError::WrongSignature)?;
        told(delivery.body)
    }
}

/// Checks `t=<unix seconds>,v0=<hex of HMAC-SHA256 over "<t>.<body>">`. With several `v0` one is enough.
fn verify(
    secrets: &[SecretString],
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), &'static str> {
    let fields = signature.split(',').filter_map(|part| part.split_once('='));
    let value_of = |name: &'static str| {
        let mut found = fields.clone().filter(move |(key, _)| *key == name);
        found.next().map(|(_, value)| value)
    };
    let time = value_of("t").ok_or("the signature has no time")?;
    let given = fields.clone().filter(|(key, _)| *key == "v0");
    let expected = secrets
        .iter()
        .map(|secret| hex(&hmac_sha256(secret, &[time.as_bytes(), b".", body])));
    if !any_equal(given.map(|(_, value)| value), expected) {
        return Err("the signature does not fit");
    }
    let at = time.parse().map_err(|_| "the signature's time is none")?;
    if !is_fresh(at, now) {
        return Err("the signature is too old, or the clocks differ");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct ReportEvent {
    data: Conversation,
}

/// What matters of a conversation. Whatever is not understood is as good as missing.
#[derive(Deserialize)]
struct Conversation {
    conversation_id: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    analysis: Value,
    #[serde(default)]
    conversation_initiation_client_data: Value,
}

fn told(body: &[u8]) -> Result<Option<Told>, ReportError> {
    if serde_json::from_slice::<Kind>(body)?.kind != REPORT {
        return Ok(None);
    }
    // The transcript, most of the body, is passed over.
    let conversation = serde_json::from_slice::<ReportEvent>(body)?.data;
    let id: ConversationId = conversation
        .conversation_id
        .parse()
        .map_err(|error| ReportError::Unreadable(Box::new(error)))?;
    Ok(Some(Told {
        key: format!("{VENDOR}:{REPORT}:{id}"),
        attempt: attempt_in(&conversation.conversation_initiation_client_data["dynamic_variables"]),
        report: report(id, &conversation),
    }))
}

fn report(id: ConversationId, conversation: &Conversation) -> AgentReport {
    let analysis = &conversation.analysis;
    let rating = &analysis["call_success_score"];
    let criteria = named(&analysis["evaluation_criteria_results"]);
    let items = named(&analysis["data_collection_results"]);
    AgentReport {
        verdict: verdict(&analysis["call_successful"]),
        rating: (!rating.is_null()).then(|| rating.to_string()),
        criteria: by_name(criteria.filter_map(|(name, it)| Some((name, verdict(&it["result"])?)))),
        summary: summary_of(&analysis["transcript_summary"]),
        collected: collected(items.map(|(name, item)| (name.as_str(), &item["value"]))),
        // Credits: what the vendor takes for them in money is not told for sure.
        cost: cost_of(&conversation.metadata["cost"], CostUnit::Credits),
        ..AgentReport::new(id)
    }
}

fn named(values: &Value) -> impl Iterator<Item = (&String, &Value)> {
    values.as_object().into_iter().flat_map(Map::iter)
}

fn verdict(word: &Value) -> Option<AgentVerdict> {
    Some(match word.as_str()? {
        "success" => AgentVerdict::Success,
        "failure" => AgentVerdict::Failure,
        _ => AgentVerdict::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::report::AgentCost;

    const ONE: &str = r#"{"type":"post_call_transcription","event_timestamp":1700000000,"data":{"agent_id":"agent_1","conversation_id":"conv_1"}}"#;
    const TWO: &str = r#"{"type":"call_initiation_failure","event_timestamp":1700000000,"data":{"agent_id":"agent_1","conversation_id":"conv_2","failure_reason":"no-answer","metadata":{"type":"twilio","body":{"CallSid":"CA00000000000000000000000000000001","CallStatus":"no-answer"}}}}"#;
    const THREE: &str = r#"{"type":"post_call_audio","event_timestamp":1735689600,"data":{"agent_id":"agent_1","conversation_id":"conv_3","full_audio":"SUQzBA=="},"note":"café ✓"}"#;
    const FOUR: &str = "{\n  \"type\": \"post_call_transcription\",\n  \"event_timestamp\": 1767225600,\n  \"data\": {\n    \"agent_id\": \"agent_1\",\n    \"conversation_id\": \"conv_4\",\n    \"status\": \"done\"\n  }\n}\n";
    const V_ONE: &str = "0cefc3d9644ffd386ecd34cd45b6c10ee29e3b193ab996722a459558d4cf4b4b";

    fn at(unix_secs: i64) -> Timestamp {
        Timestamp::from_second(unix_secs).unwrap()
    }

    fn check(
        secret: &str,
        signature: &str,
        body: &str,
        unix_secs: i64,
    ) -> Result<(), &'static str> {
        let secrets = [secret.to_owned().into()];
        verify(&secrets, signature, body.as_bytes(), at(unix_secs))
    }

    // proves F-56
    #[test]
    fn the_vendors_own_signatures_are_good() {
        for (secret, t, body, v0) in [
            ("wsec_vector_secret_1", 1_700_000_000, ONE, V_ONE),
            (
                "wsec_vector_secret_1",
                1_700_000_000,
                TWO,
                "48303d7996463725d41e46dbf8ab5edfbca834194f29aecc827e66f58e9be5ce",
            ),
            (
                "sécret-✓",
                1_735_689_600,
                THREE,
                "1448e8105c4ed2d6f51827497448a5343d798e5180702fb86b4ad5c37af49983",
            ),
            (
                "wsec_vector_secret_2",
                1_767_225_600,
                FOUR,
                "c7746ecc8256c57623a4ca988c501a314ecf45b0f96f79163546c602c7f64633",
            ),
            (
                "wsec_vector_secret_2",
                1_767_225_600,
                "",
                "81afefaa1fb8beacc5f8cc4012e69eac8f7fbd371393786ddfb06a151f4da0b0",
            ),
        ] {
            let signature = format!("t={t},v0={v0}");
            assert_eq!(check(secret, &signature, body, t + 60), Ok(()), "{body}");
            let other = check("wsec_other", &signature, body, t + 60);
            assert_eq!(other, Err("the signature does not fit"));
        }
    }

    // proves F-56
    #[test]
    fn a_signature_fits_its_bytes_its_time_and_nothing_else() {
        const SECRET: &str = "wsec_vector_secret_1";
        const T: i64 = 1_700_000_000;
        let good = format!("t={T},v0={V_ONE}");
        let wrong = |signature: &str, body: &str| check(SECRET, signature, body, T + 60).is_err();
        assert!(wrong(&good, &ONE.replace("conv_1", "conv_9")));
        assert!(wrong(&good, &format!("{ONE}\n")));
        assert!(wrong(&format!("t={},v0={V_ONE}", T + 1), ONE));
        assert!(wrong(&format!("t={T},v0={}", V_ONE.to_uppercase()), ONE));
        assert!(wrong(&format!("t={T}, v0={V_ONE}"), ONE));
        for malformed in [
            "",
            "t=",
            "t=,v0=",
            &format!("v0={V_ONE}"),
            &format!("t={T}"),
        ] {
            assert!(wrong(malformed, ONE), "{malformed:?}");
        }
        let turned = format!("v0={V_ONE},t={T}");
        assert_eq!(check(SECRET, &turned, ONE, T), Ok(()));
        let several = format!("t={T},v0=00,v0={V_ONE},v0=11");
        assert_eq!(check(SECRET, &several, ONE, T), Ok(()));
        assert_eq!(check(SECRET, &good, ONE, T + 1_800), Ok(()));
        assert!(check(SECRET, &good, ONE, T + 1_801).is_err());
        assert!(check(SECRET, &good, ONE, T - 1_801).is_err());
    }

    // proves F-56
    #[test]
    fn without_a_secret_nothing_is_taken_and_of_two_each_is_good() {
        let header = |name: &str| (name == SIGNATURE).then_some("t=1700000000,v0=x");
        let delivery = Delivery {
            header: &header,
            body: ONE.as_bytes(),
            now: at(1_700_000_000),
        };
        let read = |secrets: Vec<SecretString>, delivery: &Delivery<'_>| {
            PostCall { secrets }.read(delivery)
        };
        assert!(matches!(
            read(vec![], &delivery),
            Err(ReportError::NoSecret)
        ));
        let secret = |text: &str| SecretString::from(text.to_owned());
        let both = vec![secret("wsec_new"), secret("wsec_vector_secret_1")];
        assert!(matches!(
            read(both.clone(), &delivery),
            Err(ReportError::WrongSignature(_))
        ));
        let good = format!("t=1700000000,v0={V_ONE}");
        let header = |name: &str| (name == SIGNATURE).then_some(good.as_str());
        let signed = Delivery {
            header: &header,
            ..delivery
        };
        let told = read(both.clone(), &signed).unwrap().unwrap();
        assert_eq!(told.key, "elevenlabs:post_call_transcription:conv_1");
        let none = |_: &str| None;
        let bare = Delivery {
            header: &none,
            ..signed
        };
        assert!(matches!(
            read(both, &bare),
            Err(ReportError::WrongSignature(_))
        ));
    }

    #[test]
    fn a_report_says_what_the_vendor_found() {
        let body = json!({
            "type": "post_call_transcription",
            "event_timestamp": 1_767_225_600,
            "data": {
                "conversation_id": "conv_1", "status": "done",
                "transcript": [{"role": "agent", "message": "Hi"}],
                "metadata": {"cost": 210, "cost_fiat": null},
                "analysis": {
                    "call_successful": "success", "call_success_score": null,
                    "transcript_summary": " Ann wants a call. ",
                    "evaluation_criteria_results": {
                        "interested": {"result": "failure", "rationale": "…"},
                        "polite": {"result": "maybe"},
                        "odd": 7,
                    },
                    "data_collection_results": {
                        "callback_time": {"value": "17:00"},
                        "n": {"value": 2}, "not_told": {"value": null},
                    },
                },
                "conversation_initiation_client_data": {"dynamic_variables": {
                    "attempt_id": "att_00000000000000000000000000000007_2",
                }},
            },
        });
        let found = told(body.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(
            found.attempt.unwrap().to_string(),
            "att_00000000000000000000000000000007_2"
        );
        let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let expected = AgentReport {
            verdict: Some(AgentVerdict::Success),
            rating: None,
            criteria: BTreeMap::from([
                ("interested".to_owned(), AgentVerdict::Failure),
                ("polite".to_owned(), AgentVerdict::Unknown),
            ]),
            summary: Some("Ann wants a call.".to_owned()),
            collected: owned(&[("callback_time", "\"17:00\""), ("n", "2")]),
            cost: Some(AgentCost {
                millionths: 210_000_000,
                unit: CostUnit::Credits,
            }),
            ..AgentReport::new("conv_1".parse().unwrap())
        };
        assert_eq!(found.report, expected);
    }

    // proves F-54
    #[test]
    fn what_cannot_be_understood_loses_nothing_else() {
        let odd = json!({
            "type": "post_call_transcription",
            "data": {
                "conversation_id": "conv_1",
                "metadata": [], "analysis": {"call_successful": 3, "transcript_summary": "Fine."},
                "conversation_initiation_client_data": {"dynamic_variables": {"attempt_id": "x"}},
            },
        });
        let found = told(odd.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(found.attempt, None);
        let expected = AgentReport {
            summary: Some("Fine.".to_owned()),
            ..AgentReport::new("conv_1".parse().unwrap())
        };
        assert_eq!(found.report, expected);
        // A conversation that failed has no analysis.
        let failed = json!({
            "type": "post_call_transcription",
            "data": {"conversation_id": "conv_1", "analysis": null},
        });
        let found = told(failed.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(found.report, AgentReport::new("conv_1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_report_is_passed_over() {
        for body in [TWO, THREE, r#"{"type":"new","data":7}"#] {
            assert_eq!(told(body.as_bytes()).unwrap(), None, "{body}");
        }
        for body in ["", "[]", r#"{"type":"post_call_transcription"}"#] {
            assert!(told(body.as_bytes()).is_err(), "{body}");
        }
    }
}
