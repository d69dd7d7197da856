//! The media socket of a call, seen from the carrier: it dials the dialer's address, sends the
//! callee's voice every 20 ms and plays what comes back.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use reqwest::Url;
use tokio::{
    net::TcpStream,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, ClientRequestBuilder, Message, http::Uri, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

use super::{
    fields::Target,
    interpreter::Line,
    media_message::{Command, MessageWriter, SILENT_PAYLOAD, read, spoken_payload},
    playback::Playback,
    recording::Tape,
    status_callback::notify,
    twiml::Stream,
    webhook::field,
};
use crate::{
    sim::{mouth::Sound, simulation::Simulation},
    telephony::twilio::signature,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const FRAME_TIME: Duration = Duration::from_millis(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A dialer that does not read for this long loses callee audio.
const SEND_LIMIT: Duration = Duration::from_secs(1);
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// A stream that could not be opened or was lost; `code` is the entry in the debugger.
struct StreamFailure {
    code: u32,
    detail: String,
}

/// Runs one stream until the dialer closes it or `over` says that the line is gone.
pub async fn run(line: &mut Line<'_>, stream: &Stream, over: &CancellationToken) {
    let stream_sid = line.simulation.new_sid("MZ");
    let reporter = Reporter::new(line, stream, &stream_sid);
    let opening = over.run_until_cancelled(open(line.simulation, stream));
    let socket = match opening.await {
        Some(Ok(socket)) => socket,
        Some(Err(failure)) => return reporter.failed(&failure),
        None => return,
    };
    line.simulation.ledger.stream_opened();
    reporter.report("stream-started");
    let mut session = Session::new(line, socket, stream_sid);
    let ended = session.run(&stream.parameters, over).await;
    let (n_sent, n_received) = (session.writer.n_chunks(), session.n_received);
    line.simulation.ledger.stream_closed(n_sent, n_received);
    if let Err(failure) = ended {
        line.simulation.ledger.alert(failure.code, &failure.detail);
    }
    reporter.report("stream-stopped");
}

async fn open(simulation: &Simulation, stream: &Stream) -> Result<Socket, StreamFailure> {
    if stream
        .track
        .as_deref()
        .is_some_and(|track| track != "inbound_track")
    {
        let detail = "a bidirectional stream has only the inbound track".to_owned();
        return Err(StreamFailure {
            code: 31941,
            detail,
        });
    }
    let url = address_to_dial(&stream.url)?;
    let uri: Uri = url.parse().map_err(|error| StreamFailure {
        code: 31923,
        detail: format!("{url}: {error}"),
    })?;
    let signature = signature::sign(&simulation.config.auth_token, &url, &[]);
    let request = ClientRequestBuilder::new(uri)
        .with_header("User-Agent", "Twilio.TmeWs/1.0")
        .with_header("X-Twilio-Signature", signature);
    let config = WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(256 * 1024);
    let connecting = connect_async_with_config(request, Some(config), true);
    match timeout(CONNECT_LIMIT, connecting).await {
        Ok(Ok((socket, _response))) => Ok(socket),
        Ok(Err(error)) => Err(connect_failure(&error)),
        Err(_elapsed) => Err(StreamFailure {
            code: 31901,
            detail: "no answer to the upgrade".to_owned(),
        }),
    }
}

/// The address without its query, which the carrier drops. Plain `ws` is for local use only and
/// so allowed here, unlike with the real carrier.
fn address_to_dial(url: &str) -> Result<String, StreamFailure> {
    let parsed = Url::parse(url).map_err(|error| StreamFailure {
        code: 31923,
        detail: format!("{url}: {error}"),
    })?;
    if !matches!(parsed.scheme(), "ws" | "wss") {
        return Err(StreamFailure {
            code: 31922,
            detail: format!("{url} is not wss"),
        });
    }
    let end = url.find(['?', '#']).unwrap_or(url.len());
    Ok(url[..end].to_owned())
}

fn connect_failure(error: &tungstenite::Error) -> StreamFailure {
    let code = match error {
        tungstenite::Error::Http(_) | tungstenite::Error::Protocol(_) => 31920,
        // A certificate that is not accepted comes as an I/O error of this kind.
        tungstenite::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData => 31910,
        tungstenite::Error::Tls(_) => 31910,
        tungstenite::Error::Io(_) => 31902,
        tungstenite::Error::Url(_) => 31923,
        _ => 31900,
    };
    StreamFailure {
        code,
        detail: error.to_string(),
    }
}

/// Tells the dialer's stream callback what happens to the stream.
struct Reporter {
    simulation: Arc<Simulation>,
    target: Option<Target>,
    fields: Vec<(String, String)>,
}

impl Reporter {
    fn new(line: &Line<'_>, stream: &Stream, stream_sid: &str) -> Self {
        let target = stream
            .status_callback
            .as_ref()
            .and_then(|link| line.resolve(link).ok());
        let fields = vec![
            field("AccountSid", &line.call.account_sid),
            field("CallSid", &line.call.sid),
            field("StreamSid", stream_sid),
            field("StreamName", stream.name.as_deref().unwrap_or(stream_sid)),
        ];
        Self {
            simulation: line.simulation.clone(),
            target,
            fields,
        }
    }

    fn report(&self, event: &str) {
        self.send(vec![field("StreamEvent", event)]);
    }

    fn failed(&self, failure: &StreamFailure) {
        self.simulation.ledger.alert(failure.code, &failure.detail);
        let error = format!("{} - {}", failure.code, failure.detail);
        self.send(vec![
            field("StreamEvent", "stream-error"),
            field("StreamError", &error),
        ]);
    }

    fn send(&self, news: Vec<(String, String)>) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let mut fields = self.fields.clone();
        fields.extend(news);
        fields.push(field("Timestamp", &self.simulation.now().to_string()));
        notify(&self.simulation, target, fields);
    }
}

struct Session<'a, 'b> {
    line: &'a mut Line<'b>,
    socket: Socket,
    writer: MessageWriter,
    playback: Playback,
    /// Everything is timed from here.
    opened: Instant,
    n_received: u64,
    /// The buffer that payloads are decoded into.
    audio: Vec<u8>,
}

impl<'a, 'b> Session<'a, 'b> {
    fn new(line: &'a mut Line<'b>, socket: Socket, stream_sid: String) -> Self {
        let writer = MessageWriter::new(
            line.call.account_sid.clone(),
            line.call.sid.clone(),
            stream_sid,
        );
        Self {
            line,
            socket,
            writer,
            playback: Playback::default(),
            opened: Instant::now(),
            n_received: 0,
            audio: Vec::new(),
        }
    }

    async fn run(
        &mut self,
        parameters: &[(String, String)],
        over: &CancellationToken,
    ) -> Result<(), StreamFailure> {
        self.send(MessageWriter::connected()).await?;
        let start = self.writer.start(parameters);
        self.send(start).await?;
        let mut ticks = frame_ticks(self.opened + FRAME_TIME);
        loop {
            tokio::select! {
                biased;
                () = over.cancelled() => return self.stop().await,
                _ = ticks.tick() => self.tick().await?,
                message = self.socket.next() => match message {
                    Some(Ok(message)) => self.receive(message).await?,
                    Some(Err(error)) => return Err(lost(&error)),
                    None => return Err(closed_by_dialer()),
                },
            }
        }
    }

    /// 20 ms pass: due marks go back, the callee is heard.
    async fn tick(&mut self) -> Result<(), StreamFailure> {
        self.return_due_marks().await?;
        let is_audible = self.playback.is_audible(self.opened.elapsed());
        let since_answer = self.line.answered.elapsed();
        let payload = match self.line.mouth.step(since_answer, is_audible) {
            Sound::Speech(saying) => spoken_payload(saying),
            Sound::Silence => &*SILENT_PAYLOAD,
            Sound::Key(key) => {
                let pressed = self.writer.key(key);
                self.send(pressed).await?;
                &*SILENT_PAYLOAD
            }
            Sound::Gone => {
                self.line.gone.cancel();
                return Ok(());
            }
        };
        self.line.call.record(|tape| {
            if let Ok(audio) = STANDARD.decode(payload) {
                tape.hear_callee(&audio);
            }
        });
        let frame = self.writer.media(payload);
        self.send(frame).await
    }

    async fn receive(&mut self, message: Message) -> Result<(), StreamFailure> {
        match message {
            Message::Text(text) => self.obey(text.as_str()).await,
            Message::Binary(_) => {
                self.warn(31950, "a binary frame");
                Ok(())
            }
            Message::Close(_) => Err(closed_by_dialer()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn obey(&mut self, text: &str) -> Result<(), StreamFailure> {
        let now = self.opened.elapsed();
        match read(text, &self.writer.stream_sid, &mut self.audio) {
            Ok(Command::Media { n_bytes }) => {
                self.n_received += 1;
                let begins = self.opened + self.playback.plays_until(now);
                match self.playback.queue(now, n_bytes) {
                    Ok(()) => self.line.call.record(|tape| tape.play(begins, &self.audio)),
                    Err(_full) => self.warn(31931, "more than ten minutes of audio"),
                }
                Ok(())
            }
            Ok(Command::Mark { name }) => {
                self.playback.mark(now, name);
                self.return_due_marks().await
            }
            Ok(Command::Clear) => {
                self.playback.clear(now);
                self.line.call.record(Tape::clear);
                self.return_due_marks().await
            }
            Err(violation) => {
                self.warn(31951, &violation);
                Ok(())
            }
        }
    }

    async fn return_due_marks(&mut self) -> Result<(), StreamFailure> {
        let now = self.opened.elapsed();
        while let Some(name) = self.playback.take_due_mark(now) {
            let mark = self.writer.mark(&name);
            self.send(mark).await?;
        }
        Ok(())
    }

    /// The line is gone: says so, closes, and waits a moment for the dialer to agree.
    async fn stop(&mut self) -> Result<(), StreamFailure> {
        let stop = self.writer.stop();
        self.send(stop).await?;
        let closing = async {
            self.socket.close(None).await?;
            while let Some(message) = self.socket.next().await {
                message?;
            }
            Ok::<(), tungstenite::Error>(())
        };
        // The call is over either way; a dialer that drops the connection here does no harm.
        if let Ok(Err(error)) = timeout(CLOSE_LIMIT, closing).await {
            tracing::debug!(%error, "media socket did not close in order");
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), StreamFailure> {
        match timeout(SEND_LIMIT, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(tungstenite::Error::WriteBufferFull(_))) | Err(_) => {
                self.warn(31930, "the dialer reads too slowly");
                Ok(())
            }
            Ok(Err(error)) => Err(lost(&error)),
        }
    }

    fn warn(&self, code: u32, detail: &str) {
        self.line.simulation.ledger.alert(code, detail);
    }
}

/// One tick per frame from `first` on; late ticks are made up for, so the rate never drifts.
fn frame_ticks(first: Instant) -> Interval {
    let mut ticks = interval_at(first, FRAME_TIME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

fn closed_by_dialer() -> StreamFailure {
    StreamFailure {
        code: 31921,
        detail: "the dialer closed the stream".to_owned(),
    }
}

fn lost(error: &tungstenite::Error) -> StreamFailure {
    let code = match error {
        tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )
        | tungstenite::Error::Io(_) => 31903,
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => 31921,
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => 31924,
        _ => 31900,
    };
    StreamFailure {
        code,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_stream_address_is_dropped() {
        let dialed = |url| address_to_dial(url).map_err(|failure| failure.code);
        assert_eq!(
            dialed("wss://d.example/media?token=1").as_deref(),
            Ok("wss://d.example/media")
        );
        assert_eq!(dialed("https://d.example/media"), Err(31922));
        assert_eq!(dialed("media"), Err(31923));
    }
}
