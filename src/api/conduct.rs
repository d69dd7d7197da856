//! How a call is conducted, as clients write and read it: what a callee hears who is left in silence,
//! what is done about machines that answer, and to whom callees are transferred.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    error::{ApiError, ApiResult},
    policy::number,
};
use crate::domain::{
    machine::{DetectionMode, HeldRule, MachinePolicy, Message, OnMachine, Tuning},
    step::Silence,
    text::Template,
    transfer::TransferPolicy,
};

/// How long a callee may hear nobody, and what they hear then. What is left out or null is not in
/// force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceBody {
    /// How long the agent may take to say its first word, from the answer or from what the callee said
    /// last, and twice as long at most: 2 to 60.
    pub first_words_seconds: Option<u64>,
    /// How long neither side may say anything: 10 to 600.
    pub both_seconds: Option<u64>,
    /// What the carrier says to a callee who is left without an agent, before it hangs up: up to 500
    /// characters, in which `{{column}}` stands for a value of the list.
    pub sentence: Option<String>,
}

impl From<&Silence> for SilenceBody {
    fn from(silence: &Silence) -> Self {
        Self {
            first_words_seconds: silence.first_words_within.map(|it| it.as_secs()),
            both_seconds: silence.both_within.map(|it| it.as_secs()),
            sentence: silence.sentence.as_ref().map(|it| it.source().to_owned()),
        }
    }
}

/// What is done about machines that answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachinesBody {
    /// Whether the carrier listens for machines: off, async (while the agent already speaks) or
    /// beforeConnecting (people hear silence for seconds).
    pub detection: String,
    /// What is done with a machine: hangUp, leaveMessage (once its greeting is over) or carryOn. A fax is
    /// always hung up on.
    #[serde(default = "hang_up")]
    pub on_machine: String,
    /// With leaveMessage: a text that the carrier speaks, up to 500 characters, in which `{{column}}`
    /// stands for a value of the list.
    pub message: Option<String>,
    /// With leaveMessage, in place of the text: the address of a recording that the carrier plays.
    pub audio_url: Option<String>,
    /// Whether a machine is assumed where the carrier cannot tell.
    #[serde(default)]
    pub unknown_is_machine: bool,
    /// A verdict changes nothing once the callee has spoken so many times: 1 to 100; 0 for never. A
    /// greeting is spoken, too.
    #[serde(default = "usual_turns")]
    pub held_after_turns: u32,
    /// A verdict changes nothing so long after the answer, when the agent is on the line: 1 to 600; null
    /// for never.
    pub held_after_seconds: Option<u64>,
    /// After which time the carrier gives up: 3 to 59; null for its own.
    pub timeout_seconds: Option<u64>,
    /// Speech that is longer is a machine's: 1000 to 6000; null for the carrier's own.
    pub speech_threshold_ms: Option<u64>,
    /// The silence that ends a speech: 500 to 5000; null for the carrier's own.
    pub speech_end_threshold_ms: Option<u64>,
    /// The silence at first after which the carrier gives up: 2000 to 10,000; null for its own.
    pub silence_timeout_ms: Option<u64>,
}

fn hang_up() -> String {
    "hangUp".to_owned()
}

fn usual_turns() -> u32 {
    HeldRule::TURNS
}

impl From<&MachinePolicy> for MachinesBody {
    fn from(policy: &MachinePolicy) -> Self {
        let (on_machine, message, audio_url) = match &policy.on_machine {
            OnMachine::HangUp => ("hangUp", None, None),
            OnMachine::CarryOn => ("carryOn", None, None),
            OnMachine::LeaveMessage { message } => match message {
                Message::Text(text) => ("leaveMessage", Some(text.source().to_owned()), None),
                Message::Audio(url) => ("leaveMessage", None, Some(url.clone())),
            },
        };
        let ms = |value: Option<Duration>| value.and_then(|it| it.as_millis().try_into().ok());
        let tuning = &policy.tuning;
        Self {
            detection: policy.mode.name().to_owned(),
            on_machine: on_machine.to_owned(),
            message,
            audio_url,
            unknown_is_machine: policy.unknown_is_machine,
            held_after_turns: policy.held.turns.unwrap_or(0),
            held_after_seconds: policy.held.after.map(|it| it.as_secs()),
            timeout_seconds: tuning.timeout.map(|it| it.as_secs()),
            speech_threshold_ms: ms(tuning.speech),
            speech_end_threshold_ms: ms(tuning.speech_end),
            silence_timeout_ms: ms(tuning.silence),
        }
    }
}

/// What a request says of machines.
pub fn machines_of(body: &MachinesBody) -> ApiResult<MachinePolicy> {
    let mode = DetectionMode::ALL
        .into_iter()
        .find(|mode| mode.name() == body.detection);
    let mode = mode.ok_or_else(|| {
        let detail = "must be off, async or beforeConnecting";
        ApiError::field("/settings/machines/detection", "form", detail)
    })?;
    Ok(MachinePolicy {
        mode,
        on_machine: on_machine_of(body)?,
        unknown_is_machine: body.unknown_is_machine,
        held: held_of(body)?,
        tuning: tuning_of(body)?,
    })
}

fn on_machine_of(body: &MachinesBody) -> ApiResult<OnMachine> {
    let has_message = body.message.is_some() || body.audio_url.is_some();
    match body.on_machine.as_str() {
        "hangUp" | "carryOn" if has_message => {
            let detail = "a message is left with leaveMessage alone";
            Err(ApiError::field(
                "/settings/machines/message",
                "form",
                detail,
            ))
        }
        "hangUp" => Ok(OnMachine::HangUp),
        "carryOn" => Ok(OnMachine::CarryOn),
        "leaveMessage" => Ok(OnMachine::LeaveMessage {
            message: message_of(body)?,
        }),
        _ => {
            let detail = "must be hangUp, leaveMessage or carryOn";
            Err(ApiError::field(
                "/settings/machines/onMachine",
                "form",
                detail,
            ))
        }
    }
}

fn message_of(body: &MachinesBody) -> ApiResult<Message> {
    let pointer = "/settings/machines/message";
    let text = spoken(pointer, body.message.as_deref(), Message::LONGEST_TEXT)?;
    match (text, body.audio_url.as_deref().map(str::trim)) {
        (Some(text), None) => Ok(Message::Text(text)),
        (None, Some(url)) if is_address(url) => Ok(Message::Audio(url.to_owned())),
        (None, Some(_)) => {
            let detail = "must be an http or https address of at most 1000 characters";
            Err(ApiError::field(
                "/settings/machines/audioUrl",
                "form",
                detail,
            ))
        }
        (Some(_), Some(_)) | (None, None) => {
            let detail = "leaveMessage needs either a message or an audioUrl";
            Err(ApiError::field(pointer, "form", detail))
        }
    }
}

fn is_address(url: &str) -> bool {
    let parsed: Option<axum::http::Uri> = url.parse().ok();
    url.len() <= 1000
        && parsed.is_some_and(|url| {
            matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some()
        })
}

fn held_of(body: &MachinesBody) -> ApiResult<HeldRule> {
    if body.held_after_turns > 100 {
        let pointer = "/settings/machines/heldAfterTurns";
        return Err(ApiError::field(
            pointer,
            "outOfRange",
            "must be at most 100",
        ));
    }
    let after = body.held_after_seconds.map(Duration::from_secs);
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(600));
    let pointer = "/settings/machines/heldAfterSeconds";
    Ok(HeldRule {
        turns: Some(body.held_after_turns).filter(|turns| *turns > 0),
        after: after
            .map(|after| within(pointer, after, least, most))
            .transpose()?,
    })
}

fn tuning_of(body: &MachinesBody) -> ApiResult<Tuning> {
    let ms = |name: &str, value: Option<u64>, (least, most): (Duration, Duration)| {
        let Some(value) = value.map(Duration::from_millis) else {
            return Ok(None);
        };
        if (least..=most).contains(&value) {
            return Ok(Some(value));
        }
        let pointer = format!("/settings/machines/{name}");
        let detail = format!("must be from {} to {}", least.as_millis(), most.as_millis());
        Err(ApiError::field(&pointer, "outOfRange", detail))
    };
    let timeout = body.timeout_seconds.map(Duration::from_secs);
    let (least, most) = Tuning::TIMEOUT;
    let pointer = "/settings/machines/timeoutSeconds";
    let (speech, speech_end) = (body.speech_threshold_ms, body.speech_end_threshold_ms);
    Ok(Tuning {
        timeout: timeout
            .map(|timeout| within(pointer, timeout, least, most))
            .transpose()?,
        speech: ms("speechThresholdMs", speech, Tuning::SPEECH)?,
        speech_end: ms("speechEndThresholdMs", speech_end, Tuning::SPEECH_END)?,
        silence: ms("silenceTimeoutMs", body.silence_timeout_ms, Tuning::SILENCE)?,
    })
}

/// To whom callees are transferred, and what is said then.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransferSettings {
    /// The number of the person who takes the calls, in the form +12025550100.
    pub to: String,
    /// What that person hears before being joined to the callee: up to 500 characters, in which
    /// `{{column}}` stands for a value of the list; null for nothing.
    pub whisper: Option<String>,
    /// The number that person sees, which must be one that the carrier accepts of us; null for the one
    /// that the callee saw.
    pub caller_id: Option<String>,
    /// What the callee hears when that person cannot be reached, before the carrier hangs up: as
    /// `whisper`; empty for nothing. The usual one without it.
    #[serde(default = "usual_sentence")]
    pub sentence: Option<String>,
}

fn usual_sentence() -> Option<String> {
    Some(TransferPolicy::SENTENCE.to_owned())
}

impl From<&TransferPolicy> for TransferSettings {
    fn from(policy: &TransferPolicy) -> Self {
        let source = |text: Option<&Template>| text.map(|text| text.source().to_owned());
        Self {
            to: policy.to.to_string(),
            whisper: source(policy.whisper.as_ref()),
            caller_id: policy.caller_id.as_ref().map(ToString::to_string),
            sentence: source(policy.sentence.as_ref()),
        }
    }
}

/// What a request says of transfers.
pub fn transfer_of(body: &TransferSettings) -> ApiResult<TransferPolicy> {
    let text = |pointer: &str, text: Option<&String>| {
        let text = text.map(String::as_str);
        spoken(pointer, text, TransferPolicy::LONGEST_TEXT)
    };
    let caller_id = body.caller_id.as_deref();
    let caller_id = caller_id.map(|text| number("/settings/transfer/callerId", text));
    Ok(TransferPolicy {
        to: number("/settings/transfer/to", &body.to)?,
        whisper: text("/settings/transfer/whisper", body.whisper.as_ref())?,
        caller_id: caller_id.transpose()?,
        sentence: text("/settings/transfer/sentence", body.sentence.as_ref())?,
    })
}

/// What a request says of silence.
pub fn silence_of(body: &SilenceBody) -> ApiResult<Silence> {
    let seconds = |name: &str, value: Option<u64>, (least, _, most)| {
        let pointer = format!("/settings/silence/{name}");
        value
            .map(|value| within(&pointer, Duration::from_secs(value), least, most))
            .transpose()
    };
    let first_words = body.first_words_seconds;
    let pointer = "/settings/silence/sentence";
    Ok(Silence {
        first_words_within: seconds("firstWordsSeconds", first_words, Silence::FIRST_WORDS)?,
        both_within: seconds("bothSeconds", body.both_seconds, Silence::BOTH)?,
        sentence: spoken(pointer, body.sentence.as_deref(), Silence::LONGEST_SENTENCE)?,
    })
}

/// A text that the carrier speaks; none for an empty one.
fn spoken(pointer: &str, text: Option<&str>, longest: usize) -> ApiResult<Option<Template>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > longest {
        let detail = format!("must have at most {longest} characters");
        return Err(ApiError::field(pointer, "outOfRange", detail));
    }
    let refused = |error| ApiError::field(pointer, "template", format!("{error}"));
    Template::parse(text).map(Some).map_err(refused)
}

/// A language with its country, as carriers name voices; none for an empty one.
pub fn spoken_language(text: &str) -> ApiResult<Option<String>> {
    let text = text.trim();
    let is_part = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let is_language = text
        .split_once('-')
        .is_some_and(|(language, country)| is_part(language, 2..=3) && is_part(country, 2..=4));
    if text.is_empty() || is_language {
        return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
    }
    let detail = "must be a language with its country, such as en-GB";
    Err(ApiError::field("/settings/spokenLanguage", "form", detail))
}

fn within(pointer: &str, value: Duration, least: Duration, most: Duration) -> ApiResult<Duration> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let detail = format!("must be from {} to {}", least.as_secs(), most.as_secs());
    Err(ApiError::field(pointer, "outOfRange", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(body: &str) -> ApiResult<Silence> {
        silence_of(&serde_json::from_str(body).unwrap())
    }

    #[test]
    fn what_is_left_out_is_not_in_force() {
        let none = silence("{}").unwrap();
        assert_eq!((none.first_words_within, none.both_within), (None, None));
        assert_eq!(none.sentence, None);
        let usual = SilenceBody::from(&Silence::default());
        assert_eq!(silence_of(&usual).unwrap(), Silence::default());
    }

    #[test]
    fn times_out_of_range_and_broken_texts_are_refused() {
        for body in [
            r#"{"firstWordsSeconds":1}"#,
            r#"{"bothSeconds":601}"#,
            r#"{"sentence":"Hello {{name"}"#,
        ] {
            assert!(silence(body).is_err(), "{body}");
        }
        let long = format!(r#"{{"sentence":"{}"}}"#, "a".repeat(501));
        assert!(silence(&long).is_err());
    }

    fn machines(body: &str) -> ApiResult<MachinePolicy> {
        machines_of(&serde_json::from_str(body).unwrap())
    }

    #[test]
    fn what_is_shown_of_machines_can_be_asked_for() {
        for body in [
            r#"{"detection":"off"}"#,
            r#"{"detection":"async","onMachine":"carryOn","heldAfterTurns":0}"#,
            r#"{"detection":"beforeConnecting","onMachine":"leaveMessage","message":"Hi {{name}}",
                "unknownIsMachine":true,"heldAfterSeconds":10,"timeoutSeconds":59,
                "speechThresholdMs":1000,"speechEndThresholdMs":5000,"silenceTimeoutMs":2000}"#,
            r#"{"detection":"async","onMachine":"leaveMessage","audioUrl":"https://a.example/1.mp3"}"#,
        ] {
            let policy = machines(body).unwrap();
            let shown = MachinesBody::from(&policy);
            assert_eq!(machines_of(&shown).unwrap(), policy, "{body}");
        }
        assert_eq!(
            machines(r#"{"detection":"off"}"#).unwrap(),
            MachinePolicy::default()
        );
    }

    #[test]
    fn what_makes_no_sense_of_machines_is_refused() {
        for wrong in [
            r#""detection":"sometimes""#,
            r#""onMachine":"sing""#,
            r#""onMachine":"leaveMessage""#,
            r#""onMachine":"leaveMessage","message":" ""#,
            r#""onMachine":"leaveMessage","message":"Hi","audioUrl":"https://a.example/1.mp3""#,
            r#""onMachine":"leaveMessage","message":"Hi {{name""#,
            r#""onMachine":"leaveMessage","audioUrl":"file:///etc/passwd""#,
            r#""onMachine":"hangUp","message":"Hi""#,
            r#""heldAfterTurns":101"#,
            r#""heldAfterSeconds":0"#,
            r#""timeoutSeconds":60"#,
            r#""speechThresholdMs":999"#,
            r#""speechEndThresholdMs":5001"#,
            r#""silenceTimeoutMs":1999"#,
        ] {
            let detection = if wrong.contains("detection") {
                ""
            } else {
                r#""detection":"async","#
            };
            let body = format!("{{{detection}{wrong}}}");
            assert!(machines(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn who_takes_transferred_calls_is_checked_and_shown_as_it_was_asked_for() {
        let read = |body: &str| transfer_of(&serde_json::from_str(body).unwrap());
        let usual = read(r#"{"to":"+12025550100"}"#).unwrap();
        let sentence = usual.sentence.as_ref().map(Template::source);
        assert_eq!(sentence, Some(TransferPolicy::SENTENCE));
        for body in [
            r#"{"to":"+12025550100","sentence":null}"#,
            r#"{"to":"+12025550100","whisper":"{{name}} of {{city}}","callerId":"+12025550101"}"#,
        ] {
            let policy = read(body).unwrap();
            let shown = TransferSettings::from(&policy);
            assert_eq!(transfer_of(&shown).unwrap(), policy, "{body}");
        }
        for wrong in [
            r#"{"to":"reception"}"#,
            r#"{"to":"+12025550100","callerId":"Acme"}"#,
            r#"{"to":"+12025550100","whisper":"Hi {{name"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_spoken_language_has_a_country() {
        let read = |text| spoken_language(text).ok();
        assert_eq!(read("en-GB"), Some(Some("en-GB".to_owned())));
        assert_eq!(read(""), Some(None));
        for wrong in ["en", "english", "en-", "en_GB", "e\"-GB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
