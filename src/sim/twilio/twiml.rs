//! TwiML: a document in, a list of [`Verb`]s or a [`BadDocument`] out. Pure.

use std::time::Duration;

use quick_xml::{Reader, XmlVersion, escape::resolve_predefined_entity, events::Event};

use super::fields::{Method, method};

/// One instruction of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    Say {
        text: String,
    },
    Play {
        url: String,
    },
    Pause(Duration),
    Hangup,
    /// Refuses an incoming call; ends any other.
    Reject,
    Redirect(Link),
    Connect {
        stream: Stream,
        action: Option<Link>,
    },
    Dial(Dial),
}

/// A second person who is called and joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    pub number: String,
    pub caller_id: Option<String>,
    pub timeout: Duration,
    /// What that person hears first is asked for there.
    pub whisper: Option<Link>,
    pub action: Option<Link>,
}

/// An address in a document; it may be relative to the document's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub url: String,
    pub method: Method,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub url: String,
    pub name: Option<String>,
    pub track: Option<String>,
    pub status_callback: Option<Link>,
    /// In document order.
    pub parameters: Vec<(String, String)>,
}

/// A document that cannot be run; `code` is the carrier's number for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDocument {
    pub code: u32,
    pub detail: String,
}

impl BadDocument {
    fn new(code: u32, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// Reads a document. A verb that the simulator cannot run is an error, never skipped.
pub fn parse(text: &str) -> Result<Vec<Verb>, BadDocument> {
    if text.trim().is_empty() {
        return Err(BadDocument::new(11770, "the document is empty"));
    }
    let root = Element::parse(text)?;
    if root.name != "Response" {
        return Err(BadDocument::new(
            12102,
            format!("the root is <{}>", root.name),
        ));
    }
    root.children.iter().map(Verb::read).collect()
}

impl Verb {
    fn read(element: &Element) -> Result<Self, BadDocument> {
        match element.name.as_str() {
            "Say" => Ok(Verb::Say {
                text: element.text.trim().to_owned(),
            }),
            "Play" => Ok(Verb::Play {
                url: element.text.trim().to_owned(),
            }),
            "Pause" => {
                let seconds = element.number("length", 1, 13910)?;
                Ok(Verb::Pause(Duration::from_secs(seconds)))
            }
            "Hangup" => Ok(Verb::Hangup),
            "Reject" => Ok(Verb::Reject),
            "Redirect" => Ok(Verb::Redirect(Link {
                url: element.text.trim().to_owned(),
                method: element.method("method", 13710)?,
            })),
            "Connect" => read_connect(element),
            "Dial" => read_dial(element),
            other => Err(BadDocument::new(
                12200,
                format!("<{other}> is not simulated"),
            )),
        }
    }
}

fn read_connect(element: &Element) -> Result<Verb, BadDocument> {
    let [stream] = element.children.as_slice() else {
        return Err(BadDocument::new(
            12200,
            "<Connect> must hold exactly one noun",
        ));
    };
    if stream.name != "Stream" {
        let detail = format!("<Connect><{}> is not simulated", stream.name);
        return Err(BadDocument::new(12200, detail));
    }
    let url = stream
        .attribute("url")
        .ok_or_else(|| BadDocument::new(31923, "<Stream> has no url"))?;
    let parameters = stream
        .children
        .iter()
        .filter(|child| child.name == "Parameter")
        .map(|child| {
            let value = |name| child.attribute(name).unwrap_or_default().to_owned();
            (value("name"), value("value"))
        })
        .collect();
    Ok(Verb::Connect {
        stream: Stream {
            url: url.to_owned(),
            name: stream.attribute("name").map(str::to_owned),
            track: stream.attribute("track").map(str::to_owned),
            status_callback: stream.link("statusCallback", "statusCallbackMethod", 12200)?,
            parameters,
        },
        action: element.link("action", "method", 12200)?,
    })
}

fn read_dial(element: &Element) -> Result<Verb, BadDocument> {
    let (number, whisper) = match element.children.as_slice() {
        [] => (element.text.trim(), None),
        [noun] if noun.name == "Number" => (noun.text.trim(), noun.link("url", "method", 13224)?),
        [noun, ..] => {
            let detail = format!("<Dial><{}> is not simulated", noun.name);
            return Err(BadDocument::new(12200, detail));
        }
    };
    Ok(Verb::Dial(Dial {
        number: number.to_owned(),
        caller_id: element.attribute("callerId").map(str::to_owned),
        timeout: Duration::from_secs(element.number("timeout", 30, 13212)?),
        whisper,
        action: element.link("action", "method", 13240)?,
    }))
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Element>,
    /// The element's own text, without that of its children.
    text: String,
}

impl Element {
    /// The root element of `text`.
    fn parse(text: &str) -> Result<Self, BadDocument> {
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            let event = reader.read_event().map_err(malformed)?;
            match event {
                Event::Start(start) => open.push(Element::opened(&start)?),
                Event::Empty(start) => adopt(&mut open, Element::opened(&start)?),
                Event::End(_) => {
                    let closed = open.pop().expect("the reader checks that tags match");
                    adopt(&mut open, closed);
                }
                Event::Text(piece) => append(&mut open, &piece.xml_content(XML_1_0)),
                Event::CData(piece) => append(&mut open, &piece.xml_content(XML_1_0)),
                Event::GeneralRef(reference) => append(&mut open, &resolved(&reference)?),
                Event::Eof => break,
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
        let document = open.pop().expect("the outermost element is never closed");
        match (open.is_empty(), document.children.into_iter().next()) {
            (true, Some(root)) => Ok(root),
            (false, _) => Err(BadDocument::new(12100, "an element is not closed")),
            (true, None) => Err(BadDocument::new(12100, "there is no element")),
        }
    }

    fn opened(start: &quick_xml::events::BytesStart<'_>) -> Result<Self, BadDocument> {
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(malformed)?;
            let value = attribute.normalized_value(XML_1_0).map_err(malformed)?;
            attributes.push((attribute.key.0.to_owned(), value.into_owned()));
        }
        Ok(Self {
            name: start.name().0.to_owned(),
            attributes,
            ..Self::default()
        })
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str, default: u64, code: u32) -> Result<u64, BadDocument> {
        let Some(value) = self.attribute(name) else {
            return Ok(default);
        };
        let invalid = |_| BadDocument::new(code, format!("{name} must be a number, not {value}"));
        value.parse().map_err(invalid)
    }

    fn method(&self, name: &str, code: u32) -> Result<Method, BadDocument> {
        method(self.attribute(name))
            .ok_or_else(|| BadDocument::new(code, format!("{name} must be GET or POST")))
    }

    fn link(&self, url: &str, method: &str, code: u32) -> Result<Option<Link>, BadDocument> {
        let Some(url) = self.attribute(url) else {
            return Ok(None);
        };
        Ok(Some(Link {
            url: url.to_owned(),
            method: self.method(method, code)?,
        }))
    }
}

const XML_1_0: XmlVersion = XmlVersion::Implicit1_0;

fn adopt(open: &mut [Element], child: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(child);
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolved(reference: &quick_xml::events::BytesRef<'_>) -> Result<String, BadDocument> {
    if let Some(character) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(character.to_string());
    }
    resolve_predefined_entity(reference)
        .map(str::to_owned)
        .ok_or_else(|| BadDocument::new(12100, "unknown entity"))
}

fn malformed(error: impl std::fmt::Display) -> BadDocument {
    BadDocument::new(12100, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> u32 {
        parse(text).unwrap_err().code
    }

    #[test]
    fn a_stream_document_is_read_with_its_escapes() {
        let verbs = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Response>
              <Connect action="https://d.example/after?a=1&amp;b=2">
                <Stream url="wss://d.example/media" name="agent" statusCallback="https://d.example/s">
                  <Parameter name="who" value="Zo&#235; &quot;Z&quot; &lt;z@example.com>"/>
                </Stream>
              </Connect>
              <Say voice='alice'>Good&amp;bye.</Say><Pause length="2"/><Hangup/>
            </Response>"#,
        )
        .unwrap();
        let [Verb::Connect { stream, action }, rest @ ..] = verbs.as_slice() else {
            panic!("{verbs:?}");
        };
        assert_eq!(stream.url, "wss://d.example/media");
        let who = ("who".to_owned(), "Zoë \"Z\" <z@example.com>".to_owned());
        assert_eq!(stream.parameters, [who]);
        assert_eq!(
            action.as_ref().unwrap().url,
            "https://d.example/after?a=1&b=2"
        );
        let expected = [
            Verb::Say {
                text: "Good&bye.".to_owned(),
            },
            Verb::Pause(Duration::from_secs(2)),
            Verb::Hangup,
        ];
        assert_eq!(rest, expected);
    }

    #[test]
    fn broken_documents_have_the_carriers_codes() {
        assert_eq!(code(""), 11770);
        assert_eq!(code("<Response><Say>hi</Response>"), 12100);
        assert_eq!(
            code("<Response><Redirect>https://d.example/?a=1&b=2</Redirect></Response>"),
            12100
        );
        assert_eq!(code("<Answer/>"), 12102);
        assert_eq!(code("<Response><Gather/></Response>"), 12200);
        assert_eq!(code("<Response>"), 12100);
        assert_eq!(parse("<Response/>").unwrap(), []);
    }

    #[test]
    fn dial_takes_a_number_as_text_or_noun() {
        let dial = |text| match parse(text).unwrap().remove(0) {
            Verb::Dial(dial) => dial,
            other => panic!("{other:?}"),
        };
        let plain = dial("<Response><Dial>+15005550011</Dial></Response>");
        assert_eq!(
            (plain.number.as_str(), plain.whisper),
            ("+15005550011", None)
        );
        let noun = dial(
            r#"<Response><Dial callerId="+15005550006" timeout="9"><Number url="https://d/w">
            +15005550012</Number></Dial></Response>"#,
        );
        assert_eq!(noun.number, "+15005550012");
        assert_eq!(noun.whisper.unwrap().url, "https://d/w");
        assert_eq!(noun.caller_id.as_deref(), Some("+15005550006"));
        assert_eq!(noun.timeout, Duration::from_secs(9));
    }
}
