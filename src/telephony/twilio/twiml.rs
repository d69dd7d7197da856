//! What Twilio is told to do with an answered call (TwiML).
//!
//! The documents are the templates in `twiml/`, compiled in. Every value is escaped: a spoken text may
//! have a contact's words in it.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use minijinja::{AutoEscape, Environment, context, value::Value};

use crate::domain::{machine::Speech, transfer::TransferPolicy};

/// The content type under which Twilio takes instructions.
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";

static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Custom(Cow::Borrowed("xml")));
    templates.set_formatter(|out, _state, value| {
        let text: Arc<str> = value.to_str().unwrap_or_else(|| value.to_string().into());
        out.write_str(&escape(&text)).map_err(Into::into)
    });
    for (name, source) in [
        ("connect", include_str!("../../../twiml/connect.xml")),
        ("hangup", include_str!("../../../twiml/hangup.xml")),
        ("play", include_str!("../../../twiml/play.xml")),
        ("say", include_str!("../../../twiml/say.xml")),
        ("transfer", include_str!("../../../twiml/transfer.xml")),
        ("whisper", include_str!("../../../twiml/whisper.xml")),
    ] {
        templates
            .add_template(name, source)
            .expect("the templates are compiled in and rendered by tests");
    }
    templates
});

/// Connects the call's audio to `stream_url`, in both directions.
///
/// - `stream_url`: `wss://`, without a query, because Twilio drops it.
/// - `action`: asked for what to do when the stream ends while the call goes on.
/// - `status_callback`: where the stream's progress is told.
/// - `parameters`: told at the start of the stream; name and value together stay below 500
///   characters each.
pub fn connect(
    stream_url: &str,
    action: &str,
    status_callback: &str,
    parameters: &[(&str, &str)],
) -> String {
    let parameters: Vec<Vec<String>> = parameters
        .iter()
        .map(|(name, value)| vec![(*name).to_owned(), (*value).to_owned()])
        .collect();
    render(
        "connect",
        context! { stream_url, action, status_callback, parameters },
    )
}

/// Speaks or plays something, and ends the call.
pub fn speech(speech: &Speech) -> String {
    match speech {
        Speech::Text { text, language } => render("say", context! { text, language }),
        Speech::Audio(url) => render("play", context! { url }),
    }
}

/// Calls a person and joins them to who is on the line.
///
/// - `to`, `caller_id`: who is called, and the number that they see.
/// - `action`: asked for what to do when that is over, whatever became of it.
/// - `whisper`: asked for what the person hears, once they have answered.
pub fn transfer(to: &str, caller_id: &str, action: &str, whisper: &str) -> String {
    let timeout = TransferPolicy::RING.as_secs();
    let time_limit = TransferPolicy::LENGTH.as_secs();
    render(
        "transfer",
        context! { to, caller_id, action, whisper, timeout, time_limit },
    )
}

/// Speaks to a person who is about to be joined; nothing where there is nothing to be said.
pub fn whisper(speech: Option<&Speech>) -> String {
    match speech {
        Some(Speech::Text { text, language }) => render("whisper", context! { text, language }),
        // What is whispered is always a text.
        Some(Speech::Audio(_)) | None => render("whisper", context! { text => "" }),
    }
}

/// Ends the call at once.
pub fn hang_up() -> String {
    render("hangup", context! {})
}

fn render(name: &str, values: Value) -> String {
    TEMPLATES
        .get_template(name)
        .and_then(|template| template.render(values))
        .expect("a compiled-in template renders with its own values")
}

/// `text` as it may stand in an element or an attribute.
///
/// Line ends and tabs are written as references, because a parser turns bare ones in an attribute
/// into blanks. Characters that XML 1.0 cannot express at all are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            _ if is_legal(character) => escaped.push(character),
            _ => {}
        }
    }
    escaped
}

/// Whether XML 1.0 allows the character. <https://www.w3.org/TR/xml/#charsets>
fn is_legal(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::{XmlVersion, events::Event, reader::Reader};

    use super::*;

    /// An element: its name and its attributes.
    type Element = (String, Vec<(String, String)>);

    /// The elements of a document, in the order in which they open.
    fn elements(document: &str) -> Vec<Element> {
        let mut reader = Reader::from_str(document);
        reader.config_mut().check_end_names = true;
        let mut found = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(element) | Event::Empty(element) => {
                    let attributes = element
                        .attributes()
                        .map(|attribute| {
                            let attribute = attribute.unwrap();
                            let value = attribute.normalized_value(XmlVersion::default()).unwrap();
                            let name: &str = attribute.key.as_ref();
                            (name.to_owned(), value.into_owned())
                        })
                        .collect();
                    let name = element.name();
                    let name: &str = name.as_ref();
                    found.push((name.to_owned(), attributes));
                }
                Event::Eof => return found,
                _ => {}
            }
        }
    }

    fn names(document: &str) -> Vec<String> {
        elements(document)
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    // proves F-40
    #[test]
    fn nothing_after_the_stream_keeps_the_call_alive() {
        let document = connect("wss://d/m", "https://d/a", "https://d/s", &[]);
        assert!(document.starts_with("<?xml"));
        assert_eq!(
            names(&document),
            ["Response", "Connect", "Stream", "Hangup"]
        );
        assert_eq!(names(&hang_up()), ["Response", "Hangup"]);
        for language in [None, Some("en-GB")] {
            let document = speech(&Speech::Text {
                text: "Sorry & <Dial>+15005550009</Dial>".to_owned(),
                language: language.map(str::to_owned),
            });
            assert_eq!(names(&document), ["Response", "Say", "Hangup"]);
            assert_eq!(document.contains("language"), language.is_some());
            assert!(document.contains("Sorry &amp; &lt;Dial&gt;"), "{document}");
        }
    }

    #[test]
    fn a_recording_is_played_from_its_address() {
        let document = speech(&Speech::Audio("https://a.example/1?a=1&b=2".to_owned()));
        assert_eq!(names(&document), ["Response", "Play", "Hangup"]);
        assert!(document.contains("<Play>https://a.example/1?a=1&amp;b=2</Play>"));
    }

    #[test]
    fn a_person_is_called_hears_the_whisper_and_is_joined() {
        let document = transfer("+15005550009", "+15005550006", "https://d/t", "https://d/w");
        let [_, dial, number, _] = elements(&document).try_into().unwrap();
        assert_eq!((dial.0.as_str(), number.0.as_str()), ("Dial", "Number"));
        let attribute = |(_, attributes): &Element, name: &str| {
            let found = attributes.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(attribute(&dial, "action"), "https://d/t");
        assert_eq!(attribute(&dial, "callerId"), "+15005550006");
        assert_eq!(attribute(&dial, "timeout"), "30");
        assert_eq!(attribute(&number, "url"), "https://d/w");
        assert!(document.contains(">+15005550009</Number>"), "{document}");
        for (language, expected) in [(None, "<Say>Ann &amp; Bob"), (Some("en-GB"), "\"en-GB\"")] {
            let document = whisper(Some(&Speech::Text {
                text: "Ann & Bob".to_owned(),
                language: language.map(str::to_owned),
            }));
            // The end of the document joins both: nothing may hang up.
            assert_eq!(names(&document), ["Response", "Say"]);
            assert!(document.contains(expected), "{document}");
        }
        assert_eq!(names(&whisper(None)), ["Response"]);
    }

    // proves F-88
    #[test]
    fn a_value_cannot_become_an_instruction() {
        let evil = "</Response><Dial>+15005550009</Dial>";
        let document = connect(
            "wss://d/m",
            "https://d/a",
            "https://d/s",
            &[("token", evil)],
        );
        assert_eq!(
            names(&document),
            ["Response", "Connect", "Stream", "Parameter", "Hangup"]
        );
    }

    fn legal(text: &str) -> String {
        text.chars().filter(|c| is_legal(*c)).collect()
    }

    proptest! {
        // proves F-88
        #[test]
        fn every_value_reads_back_as_it_was(
            url in any::<String>(), callback in any::<String>(),
            name in any::<String>(), value in any::<String>(),
        ) {
            let parameters = [("attempt", "att_1"), (name.as_str(), value.as_str())];
            let document = connect(&url, "https://d/a", &callback, &parameters);
            let found = elements(&document);
            prop_assert_eq!(found.len(), 6);
            let stream = &found[2].1;
            prop_assert_eq!(&stream[0], &("url".to_owned(), legal(&url)));
            prop_assert_eq!(&stream[1], &("statusCallback".to_owned(), legal(&callback)));
            let parameter = &found[4].1;
            prop_assert_eq!(&parameter[0], &("name".to_owned(), legal(&name)));
            prop_assert_eq!(&parameter[1], &("value".to_owned(), legal(&value)));
        }
    }
}
