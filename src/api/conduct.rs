//! How a call is conducted, as clients write and read it: what a callee hears who is left in silence.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ApiResult};
use crate::domain::{step::Silence, text::Template};

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
