//! One session over channels: a task that reads and a task that writes, so that neither waits for the
//! other. The readable way to drive a [`Dialect`]; what it means is the dialect's.

use std::{sync::Arc, time::Duration};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    AgentEnd, AgentError, AgentEvent, AgentSession, BoxError, Dialect, Heard, Piece, ToAgent,
    link::{AgentLink, LinkStream, MAX_MESSAGE_BYTES},
};

/// Events that may wait for whoever reads them; then reading from the server waits.
const MAX_EVENTS: usize = 64;
/// Commands that may wait for the socket. Whoever sends audio drops its oldest beyond that.
const MAX_COMMANDS: usize = 16;
/// Answers to the server that may wait. More at once than this is not a conversation.
const MAX_ANSWERS: usize = 32;
/// A frame that the socket has not taken by then means that nobody reads it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a farewell may take, on either side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The library's default of 128 KiB is paid for by every call.
const READ_BUFFER_BYTES: usize = 8 * 1024;

type Socket = WebSocketStream<LinkStream>;

/// How the two tasks of a session end each other.
#[derive(Debug, Clone)]
struct Signals {
    /// The session is to be closed, by us or because it is over.
    closing: CancellationToken,
    /// The socket takes nothing any more.
    is_stuck: CancellationToken,
}

/// Sends the opening and begins the session.
pub(super) async fn start(
    link: AgentLink,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<AgentSession, AgentError> {
    let AgentLink {
        stream,
        received,
        dialect,
    } = link;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let mut socket =
        WebSocketStream::from_partially_read(stream, received, Role::Client, Some(config)).await;
    if let Some(opening) = dialect.opening() {
        socket
            .send(Message::text(opening))
            .await
            .map_err(|error| AgentError::Unavailable(error.into()))?;
    }
    let (sink, stream) = socket.split();
    let (events, events_out) = mpsc::channel(MAX_EVENTS);
    let (commands_in, commands) = mpsc::channel(MAX_COMMANDS);
    let (answers_in, answers) = mpsc::channel(MAX_ANSWERS);
    let signals = Signals {
        closing: stop,
        is_stuck: CancellationToken::new(),
    };
    let dialect = Arc::new(std::sync::Mutex::new(dialect));
    let reader = Reader {
        events,
        answers: answers_in,
        signals: signals.clone(),
        dialect: dialect.clone(),
    };
    tasks.spawn(reader.run(stream).in_current_span());
    tasks.spawn(write(sink, dialect, commands, answers, signals).in_current_span());
    Ok(AgentSession {
        events: events_out,
        commands: commands_in,
    })
}

/// What both tasks of a session speak with. Held for as long as it takes to read or write one message.
type Shared = Arc<std::sync::Mutex<Box<dyn Dialect>>>;

fn with<T>(dialect: &Shared, speak: impl FnOnce(&mut dyn Dialect) -> T) -> T {
    let mut dialect = dialect
        .lock()
        .expect("no dialect panics over what it reads or writes");
    speak(&mut **dialect)
}

/// Writes until the session is to be closed. Answers go ahead of audio.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    dialect: Shared,
    mut commands: mpsc::Receiver<ToAgent>,
    mut answers: mpsc::Receiver<String>,
    signals: Signals,
) {
    loop {
        let message = tokio::select! {
            biased;
            () = signals.closing.cancelled() => break,
            Some(answer) = answers.recv() => Message::text(answer),
            command = commands.recv() => match command {
                Some(ToAgent::Audio(payload)) => {
                    match with(&dialect, |dialect| dialect.audio(&payload).map(message_of)) {
                        Some(message) => message,
                        None => continue,
                    }
                }
                Some(ToAgent::Key(key)) => Message::text(with(&dialect, |dialect| dialect.key(key))),
                Some(ToAgent::Hint(text)) => {
                    Message::text(with(&dialect, |dialect| dialect.hint(&text)))
                }
                Some(ToAgent::Answer(answer)) => {
                    Message::text(with(&dialect, |dialect| dialect.tool_answer(&answer)))
                }
                Some(ToAgent::Close) | None => break,
            },
        };
        let sending = timeout(SEND_TIMEOUT, sink.send(message));
        let sent = tokio::select! {
            biased;
            () = signals.closing.cancelled() => break,
            sent = sending => sent,
        };
        match sent {
            Ok(Ok(())) => {}
            // The reader sees the same end and knows more about it.
            Ok(Err(error)) => {
                tracing::debug!(%error, "agent socket cannot be written");
                return;
            }
            Err(_elapsed) => {
                signals.is_stuck.cancel();
                return;
            }
        }
    }
    signals.closing.cancel();
    let close = Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "call ended".into(),
    }));
    let closing = async {
        if let Some(farewell) = with(&dialect, |dialect| dialect.farewell()) {
            sink.send(Message::text(farewell)).await?;
        }
        sink.send(close).await
    };
    // A server that closed first, or is gone, needs no farewell.
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

fn message_of(piece: Piece<'_>) -> Message {
    match piece {
        Piece::Text(text) => Message::text(text.to_text()),
        Piece::Data(data) => Message::binary(data.to_vec()),
    }
}

/// What the reading task knows.
struct Reader {
    events: mpsc::Sender<AgentEvent>,
    answers: mpsc::Sender<String>,
    signals: Signals,
    dialect: Shared,
}

/// Why reading stopped.
enum Stopped {
    /// The session is to be closed by us.
    ByUs,
    /// It is over.
    Over(AgentEnd),
}

impl Reader {
    async fn run(mut self, mut stream: SplitStream<Socket>) {
        let end = match self.read(&mut stream).await {
            Stopped::Over(end) => end,
            Stopped::ByUs => AgentEnd::Closed,
        };
        self.signals.closing.cancel();
        // Nobody has to take the last event, so it is not waited for without end.
        let told = self.events.send(AgentEvent::Ended(end));
        if timeout(CLOSE_TIMEOUT, told).await.is_err() {
            tracing::debug!("nobody took the end of an agent session");
        }
        // What the server still sends is read, so that it gets our close frame and not a reset.
        let rest = async { while let Some(Ok(_)) = stream.next().await {} };
        let _ = timeout(CLOSE_TIMEOUT, rest).await;
    }

    async fn read(&mut self, stream: &mut SplitStream<Socket>) -> Stopped {
        loop {
            let deadline = with(&self.dialect, |dialect| dialect.deadline());
            let signals = &self.signals;
            let received = tokio::select! {
                biased;
                () = signals.closing.cancelled() => return Stopped::ByUs,
                () = self.events.closed() => return Stopped::ByUs,
                () = signals.is_stuck.cancelled() => {
                    return failed("the agent's connection took no more audio");
                }
                received = timeout_at(Instant::from_std(deadline), stream.next()) => received,
            };
            let Ok(message) = received else {
                return Stopped::Over(with(&self.dialect, |dialect| dialect.overdue()));
            };
            let taken = match message {
                Some(Ok(Message::Text(text))) => self.take(&text).await,
                Some(Ok(Message::Binary(data))) => self.take_data(&data).await,
                Some(Ok(Message::Close(frame))) => {
                    let words = frame
                        .as_ref()
                        .map(|frame| (frame.code.into(), frame.reason.as_str()));
                    return Stopped::Over(with(&self.dialect, |dialect| dialect.closed(words)));
                }
                Some(Ok(_)) => continue,
                None => return self.broken(),
                Some(Err(error)) => {
                    tracing::debug!(%error, "agent socket broke");
                    return self.broken();
                }
            };
            if let Err(stopped) = taken {
                return stopped;
            }
        }
    }

    /// Turns a message into an event or an answer.
    async fn take(&mut self, text: &str) -> Result<(), Stopped> {
        let now = Instant::now().into_std();
        let read = with(&self.dialect, |dialect| {
            let reading = dialect.read(text, now)?;
            Ok::<_, BoxError>((event_of(reading.heard), reading.answer))
        });
        let (event, answer) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "agent sent something that cannot be read");
                return Ok(());
            }
        };
        self.pass_on(event).await?;
        answer.map_or(Ok(()), |text| self.answer(text))
    }

    /// Turns binary data into an event.
    async fn take_data(&mut self, data: &[u8]) -> Result<(), Stopped> {
        let now = Instant::now().into_std();
        let event = with(&self.dialect, |dialect| {
            event_of(dialect.read_data(data, now))
        });
        self.pass_on(event).await
    }

    async fn pass_on(&self, event: Option<AgentEvent>) -> Result<(), Stopped> {
        match event {
            Some(AgentEvent::Ended(end)) => Err(Stopped::Over(end)),
            Some(event) => self.tell(event).await,
            None => Ok(()),
        }
    }

    /// Hands an event on, and waits while too many wait.
    async fn tell(&self, event: AgentEvent) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.signals.closing.cancelled() => Err(Stopped::ByUs),
            sent = self.events.send(event) => sent.map_err(|_| Stopped::ByUs),
        }
    }

    fn answer(&self, text: String) -> Result<(), Stopped> {
        self.answers
            .try_send(text)
            .map_err(|_| failed("the agent's connection took no more answers"))
    }

    /// The connection broke without a close frame.
    fn broken(&self) -> Stopped {
        Stopped::Over(with(&self.dialect, |dialect| dialect.closed(None)))
    }
}

fn event_of(heard: Heard<'_>) -> Option<AgentEvent> {
    match heard {
        Heard::Nothing => None,
        Heard::Audio { turn, payload } => Some(AgentEvent::Audio {
            turn,
            payload: payload.into_owned(),
        }),
        Heard::Event(event) => Some(event),
    }
}

fn failed(detail: &str) -> Stopped {
    Stopped::Over(AgentEnd::Failed {
        detail: detail.to_owned(),
    })
}
