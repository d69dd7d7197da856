//! The frames of Twilio Media Streams, one JSON object each.
//!
//! Pure: text in, words of [`crate::telephony::media`] out, and back. Audio stays the base64 text
//! that it is. <https://www.twilio.com/docs/voice/media-streams/websocket-messages>

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::{
    domain::ids::{IdError, StreamSid},
    json::{self, Scanner, Spliced},
    telephony::{
        BoxError,
        media::{FromCallee, Heard, StreamDialect, StreamStart, ToCallee},
    },
};

/// Why a frame from Twilio cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Not the JSON object that a frame is.
    #[error("the frame cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Something is missing without which the frame has no meaning.
    #[error("the frame has no {0}")]
    Missing(&'static str),
    /// A stream or call name that is none.
    #[error("the frame has a bad identifier: {0}")]
    Id(#[from] IdError),
    /// Audio that is no base64: passed on as it stands it would end its text there.
    #[error("the frame's audio is not base64")]
    Audio,
    /// The stream is not mu-law, 8 kHz, one channel.
    #[error("the stream's audio is {0}, not audio/x-mulaw at 8000 Hz")]
    Format(String),
}

/// Reads a frame. Frames that tell nothing (`connected`, audio that is not the callee's, events that
/// are not known here) give none.
pub fn parse(text: &str) -> Result<Option<FromCallee>, StreamError> {
    let frame: Frame<'_> = serde_json::from_str(text)?;
    match frame.event.as_ref() {
        "media" => audio(frame.media.ok_or(StreamError::Missing("media"))?),
        "mark" => {
            let mark = frame.mark.ok_or(StreamError::Missing("mark"))?;
            let name = mark.name.ok_or(StreamError::Missing("mark.name"))?;
            Ok(Some(FromCallee::Mark(name.0.into_owned())))
        }
        "dtmf" => {
            let dtmf = frame.dtmf.ok_or(StreamError::Missing("dtmf"))?;
            let digit = dtmf.digit.and_then(|digit| digit.0.chars().next());
            Ok(Some(FromCallee::Key(
                digit.ok_or(StreamError::Missing("dtmf.digit"))?,
            )))
        }
        "start" => {
            let start = frame.start.ok_or(StreamError::Missing("start"))?;
            started(start, frame.stream_sid).map(Some)
        }
        "stop" => Ok(Some(FromCallee::Stopped)),
        _ => Ok(None),
    }
}

/// Reads a frame as [`parse`] does, and audio without a copy where the frame is as plain as they
/// usually are.
pub fn read(text: &str) -> Result<Option<Heard<'_>>, StreamError> {
    if let Some(payload) = plain_audio(text) {
        return Ok(Some(Heard::Audio(Cow::Borrowed(payload))));
    }
    Ok(parse(text)?.map(|event| match event {
        FromCallee::Audio(payload) => Heard::Audio(Cow::Owned(payload)),
        other => Heard::Event(other),
    }))
}

/// The payload of a `media` frame of the callee's track with its usual members, in any order.
fn plain_audio(text: &str) -> Option<&str> {
    let mut scanner = Scanner::new(text);
    let (mut is_media, mut payload) = (false, None);
    let (mut has_number, mut has_stream) = (false, false);
    scanner.enter()?;
    loop {
        match scanner.key()? {
            "event" if !is_media => is_media = scanner.is_string("media")?,
            "media" if payload.is_none() => payload = Some(plain_media(&mut scanner)?),
            "streamSid" if !has_stream => has_stream = scanner.string().map(|_| true)?,
            "sequenceNumber" if !has_number => has_number = scanner.string().map(|_| true)?,
            _ => return None,
        }
        if !scanner.more()? {
            break;
        }
    }
    payload.filter(|payload| is_media && !payload.is_empty() && scanner.is_at_end())
}

fn plain_media<'t>(scanner: &mut Scanner<'t>) -> Option<&'t str> {
    let (mut is_callee, mut payload) = (false, None);
    scanner.enter()?;
    loop {
        match scanner.key()? {
            "track" if !is_callee => is_callee = scanner.is_string("inbound")?,
            "payload" if payload.is_none() => payload = Some(scanner.string()?),
            "chunk" | "timestamp" => {
                scanner.string()?;
            }
            _ => return None,
        }
        if !scanner.more()? {
            return payload.filter(|_| is_callee);
        }
    }
}

fn audio(media: Media<'_>) -> Result<Option<FromCallee>, StreamError> {
    if media
        .track
        .is_some_and(|track| track.starts_with("outbound"))
    {
        return Ok(None);
    }
    let payload = media.payload.ok_or(StreamError::Missing("media.payload"))?;
    if !json::is_plain(&payload) {
        return Err(StreamError::Audio);
    }
    let has_sound = !payload.is_empty();
    Ok(has_sound.then(|| FromCallee::Audio(payload.into_owned())))
}

fn started(start: Start<'_>, outer: Option<Text<'_>>) -> Result<FromCallee, StreamError> {
    if let Some(format) = &start.media_format {
        check_format(format)?;
    }
    let stream = start
        .stream_sid
        .or(outer)
        .ok_or(StreamError::Missing("streamSid"))?;
    let call = start.call_sid.ok_or(StreamError::Missing("callSid"))?;
    Ok(FromCallee::Started(StreamStart {
        stream: stream.0.parse()?,
        call: call.0.parse()?,
        parameters: start
            .custom_parameters
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.0.into_owned()))
            .collect(),
    }))
}

fn check_format(format: &MediaFormat<'_>) -> Result<(), StreamError> {
    let is = |text: &Option<Text<'_>>, expected: &str| {
        text.as_ref().is_none_or(|text| text.0 == expected)
    };
    let fits = is(&format.encoding, "audio/x-mulaw")
        && is(&format.sample_rate, "8000")
        && is(&format.channels, "1");
    if fits {
        Ok(())
    } else {
        Err(StreamError::Format(format!(
            "{} at {} Hz with {} channels",
            shown(&format.encoding),
            shown(&format.sample_rate),
            shown(&format.channels)
        )))
    }
}

fn shown<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map_or("?", |text| text.0.as_ref())
}

/// Writes a frame; [`ToCallee::Close`] is not a frame but the socket's own close.
///
/// Twilio drops frames with an extra or a missing field (warning 31951), so the text is exact.
pub fn render(stream: &StreamSid, message: &ToCallee) -> Option<String> {
    let stream = stream.as_str();
    match message {
        ToCallee::Audio(payload) => {
            Some(Spliced::new(&before_audio(stream), payload, AFTER_AUDIO).to_text())
        }
        ToCallee::Mark(name) => {
            let name = json::escaped(name);
            Some(format!(
                r#"{{"event":"mark","streamSid":"{stream}","mark":{{"name":"{name}"}}}}"#
            ))
        }
        ToCallee::Clear => Some(format!(r#"{{"event":"clear","streamSid":"{stream}"}}"#)),
        ToCallee::Close => None,
    }
}

fn before_audio(stream: &str) -> String {
    format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":""#)
}

const AFTER_AUDIO: &str = r#""}}"#;

/// Twilio's words on the socket of one stream.
#[derive(Debug)]
pub struct Dialect {
    stream: StreamSid,
    before_audio: String,
}

impl Dialect {
    /// For the stream of that name.
    pub fn new(stream: StreamSid) -> Self {
        Self {
            before_audio: before_audio(stream.as_str()),
            stream,
        }
    }
}

impl StreamDialect for Dialect {
    fn read<'t>(&self, text: &'t str) -> Result<Option<Heard<'t>>, BoxError> {
        Ok(read(text)?)
    }

    fn audio<'a>(&'a self, payload: &'a str) -> Spliced<'a> {
        Spliced::new(&self.before_audio, payload, AFTER_AUDIO)
    }

    fn message(&self, message: &ToCallee) -> Option<String> {
        render(&self.stream, message)
    }
}

/// All frames in one, borrowed from the text: one pass, and no copy but the payload's.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
    #[serde(borrow)]
    dtmf: Option<Dtmf<'a>>,
    #[serde(borrow)]
    start: Option<Start<'a>>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Media<'a> {
    #[serde(borrow)]
    track: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Dtmf<'a> {
    #[serde(borrow)]
    digit: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    #[serde(borrow)]
    call_sid: Option<Text<'a>>,
    #[serde(borrow)]
    custom_parameters: Option<BTreeMap<String, Text<'a>>>,
    #[serde(borrow)]
    media_format: Option<MediaFormat<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MediaFormat<'a> {
    #[serde(borrow)]
    encoding: Option<Text<'a>>,
    #[serde(borrow)]
    sample_rate: Option<Text<'a>>,
    #[serde(borrow)]
    channels: Option<Text<'a>>,
}

/// A text, also where a number or a truth value stands in its place.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(truth.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read(text: &str) -> Option<FromCallee> {
        parse(text).unwrap()
    }

    /// Pieces of which frames are made, fitting and not.
    fn piece() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            r#""event":"media""#,
            r#""event" : "media""#,
            r#""event":"mark""#,
            r#""event":"med\u0069a""#,
            r#""event":null"#,
            r#""sequenceNumber":"2""#,
            r#""sequenceNumber":2"#,
            r#""streamSid":"MZ1""#,
            r#""streamSid":null"#,
            r#""media":{"track":"inbound","chunk":"1","timestamp":"102","payload":"f39/"}"#,
            r#""media":{"payload" : "f39/" , "track":"inbound"}"#,
            r#""media":{"track":"inbound","payload":""}"#,
            r#""media":{"track":"inbound","payload":"ab\/\/"}"#,
            r#""media":{"track":"outbound","payload":"f39/"}"#,
            r#""media":{"track":"inbound_track","payload":"é"}"#,
            r#""media":{"track":"inbound","track":"inbound","payload":"f39/"}"#,
            r#""media":{"payload":"f39/"}"#,
            r#""media":{"track":"inbound","payload":"f39/","new":1}"#,
            r#""media":{"track":"inbound"}"#,
            r#""media":{}"#,
            r#""mark":{"name":"a"}"#,
            r#""mark":7"#,
        ])
    }

    proptest! {
        #[test]
        fn what_is_found_without_a_copy_is_what_is_parsed(
            pieces in vec(piece(), 0..6),
            between in prop::sample::select(vec![",", " , ", "\n,\t", ""]),
            end in prop::sample::select(vec!["}", " } ", "", "}x", "}}"]),
        ) {
            let text = format!("{{{}{end}", pieces.join(between));
            if let Some(payload) = plain_audio(&text) {
                prop_assert_eq!(parse(&text).unwrap(), Some(FromCallee::Audio(payload.to_owned())));
            }
        }
    }

    proptest! {
        #[test]
        fn spoiled_frames_are_read_without_a_panic_and_alike(
            at in any::<prop::sample::Index>(),
            piece in "[ -~é]{0,3}",
        ) {
            let frame = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound",
                "chunk":"1","timestamp":"102","payload":"f39/"},"streamSid":"MZ1"}"#;
            let at = at.index(frame.len());
            let text = format!("{}{piece}{}", &frame[..at], &frame[at + 1..]);
            let parsed = parse(&text).ok().flatten();
            if let Some(payload) = plain_audio(&text) {
                prop_assert_eq!(parsed, Some(FromCallee::Audio(payload.to_owned())));
            }
        }
    }

    #[test]
    fn usual_media_takes_the_short_way() {
        for text in [
            r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1",
                "timestamp":"102","payload":"f39/"},"streamSid":"MZ1"}"#,
            r#"{"streamSid":"MZ1","media":{"payload":"f39/","track":"inbound"},"event":"media"}"#,
        ] {
            assert_eq!(plain_audio(text), Some("f39/"), "{text}");
        }
        let outbound = r#"{"event":"media","media":{"track":"outbound","payload":"f39/"}}"#;
        assert_eq!(plain_audio(outbound), None);
    }

    #[test]
    fn audio_that_would_end_its_text_where_it_is_passed_on_is_refused() {
        let frame = r#"{"event":"media","media":{"track":"inbound","payload":"ab\"}"}}"#;
        assert!(matches!(super::read(frame), Err(StreamError::Audio)));
    }

    // proves F-30
    #[test]
    fn captured_frames_are_read() {
        assert_eq!(
            read(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
            None
        );
        let start = r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC1",
            "streamSid":"MZ1","callSid":"CA1","tracks":["inbound"],"mediaFormat":{"encoding":
            "audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"attempt":"77"}},
            "streamSid":"MZ1"}"#;
        assert_eq!(
            read(start),
            Some(FromCallee::Started(StreamStart {
                stream: "MZ1".parse().unwrap(),
                call: "CA1".parse().unwrap(),
                parameters: BTreeMap::from([("attempt".to_owned(), "77".to_owned())]),
            }))
        );
        let media = r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1",
            "timestamp":"102","payload":"f39/"},"streamSid":"MZ1"}"#;
        assert_eq!(read(media), Some(FromCallee::Audio("f39/".to_owned())));
        let mark = r#"{"event":"mark","sequenceNumber":"91","streamSid":"MZ1",
            "mark":{"name":"utt-3-end"}}"#;
        assert_eq!(read(mark), Some(FromCallee::Mark("utt-3-end".to_owned())));
        let dtmf = r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"57",
            "dtmf":{"track":"inbound_track","digit":"5"}}"#;
        assert_eq!(read(dtmf), Some(FromCallee::Key('5')));
        let stop = r#"{"event":"stop","sequenceNumber":"352","streamSid":"MZ1",
            "stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
        assert_eq!(read(stop), Some(FromCallee::Stopped));
    }

    #[test]
    fn numbers_for_texts_escapes_and_unknown_things_are_taken() {
        let start = r#"{"event":"start","sequenceNumber":1,"start":{"callSid":"CA1",
            "customParameters":{"attempt":77,"vip":true},"mediaFormat":{"sampleRate":"8000"},
            "new":[1,{}]},"streamSid":"MZ1"}"#;
        let Some(FromCallee::Started(start)) = read(start) else {
            panic!("not a start");
        };
        assert_eq!(start.parameters["attempt"], "77");
        assert_eq!(start.parameters["vip"], "true");
        assert_eq!(
            read(r#"{"streamSid":"MZ1","media":{"payload":"ab\/\/"},"event":"media"}"#),
            Some(FromCallee::Audio("ab//".to_owned()))
        );
        assert_eq!(
            read(r#"{"event":"dtmf","dtmf":{"digit":5}}"#),
            Some(FromCallee::Key('5'))
        );
        assert_eq!(read(r#"{"event":"weather","sun":null}"#), None);
        assert_eq!(
            read(r#"{"event":"media","media":{"track":"outbound","payload":"ab=="}}"#),
            None
        );
    }

    #[test]
    fn a_frame_without_its_meaning_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"event":"media"}"#,
            r#"{"event":"media","media":{}}"#,
            r#"{"event":"mark","mark":{}}"#,
            r#"{"event":"start","start":{"streamSid":"MZ1"}}"#,
            r#"{"event":"start","start":{"callSid":"CA1"}}"#,
            r#"{"event":"start","start":{"callSid":"CA 1","streamSid":"MZ1"}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    // proves F-29
    #[test]
    fn another_audio_format_is_refused() {
        let start = r#"{"event":"start","start":{"callSid":"CA1","streamSid":"MZ1",
            "mediaFormat":{"encoding":"audio/l16","sampleRate":16000,"channels":1}}}"#;
        assert!(matches!(parse(start), Err(StreamError::Format(_))));
    }

    // proves F-30
    #[test]
    fn frames_to_twilio_are_exact() {
        let stream: StreamSid = "MZ1".parse().unwrap();
        let write = |message: ToCallee| render(&stream, &message);
        assert_eq!(
            write(ToCallee::Audio("//8=".to_owned())).as_deref(),
            Some(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"//8="}}"#)
        );
        assert_eq!(
            write(ToCallee::Mark("g0.t3.1".to_owned())).as_deref(),
            Some(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"g0.t3.1"}}"#)
        );
        assert_eq!(
            write(ToCallee::Clear).as_deref(),
            Some(r#"{"event":"clear","streamSid":"MZ1"}"#)
        );
        assert_eq!(write(ToCallee::Close), None);
    }

    #[test]
    fn a_payload_cannot_break_out_of_its_frame() {
        let stream: StreamSid = "MZ1".parse().unwrap();
        let evil = "\"}},\\ \n";
        let frame = render(&stream, &ToCallee::Audio(evil.to_owned())).unwrap();
        let value: serde_json::Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(value["media"]["payload"], evil);
        assert_eq!(value.as_object().unwrap().len(), 3);
    }
}
