//! One conversation: a task that reads and a task that writes, so that neither waits for the other.

use std::time::Duration;

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::agents::{AgentEnd, AgentError, AgentEvent, AgentSession, Brief, ToAgent};

use super::{
    Socket,
    fault::{Closing, end_of, format_fault},
    outgoing,
    wire::{self, Metadata, ServerMessage},
};

/// Events that may wait for whoever reads them; then reading from the server waits.
const MAX_EVENTS: usize = 64;
/// Commands that may wait for the socket. Whoever sends audio drops its oldest beyond that.
const MAX_COMMANDS: usize = 16;
/// Answers to the server that may wait. More at once than this is not a conversation.
const MAX_ANSWERS: usize = 32;
/// How long the agent may take to be ready once connected.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// The server pings every few seconds and gives up by itself after 60 s.
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server may take to close after the agent hung up.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// A frame that the socket has not taken by then means that nobody reads it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a farewell may take, on either side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How the two tasks of a session end each other.
#[derive(Debug, Clone)]
struct Signals {
    /// The session is to be closed, by us or because it is over.
    closing: CancellationToken,
    /// The socket takes nothing any more.
    is_stuck: CancellationToken,
}

/// Sends the brief and begins the conversation.
pub(super) async fn start(
    mut socket: Socket,
    brief: &Brief,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<AgentSession, AgentError> {
    socket
        .send(Message::text(outgoing::initiation(brief)))
        .await
        .map_err(|error| AgentError::Unavailable(error.into()))?;
    let (sink, stream) = socket.split();
    let (events, events_out) = mpsc::channel(MAX_EVENTS);
    let (commands_in, commands) = mpsc::channel(MAX_COMMANDS);
    let (answers_in, answers) = mpsc::channel(MAX_ANSWERS);
    let signals = Signals {
        closing: stop,
        is_stuck: CancellationToken::new(),
    };
    let reader = Reader {
        events,
        answers: answers_in,
        signals: signals.clone(),
        closing: Closing::default(),
        void_turn: None,
        last_turn: 0,
    };
    tasks.spawn(reader.run(stream).in_current_span());
    tasks.spawn(write(sink, commands, answers, signals).in_current_span());
    Ok(AgentSession {
        events: events_out,
        commands: commands_in,
    })
}

/// Writes until the session is to be closed. Answers go ahead of audio.
async fn write(
    mut sink: SplitSink<Socket, Message>,
    mut commands: mpsc::Receiver<ToAgent>,
    mut answers: mpsc::Receiver<String>,
    signals: Signals,
) {
    loop {
        let text = tokio::select! {
            biased;
            () = signals.closing.cancelled() => break,
            Some(answer) = answers.recv() => answer,
            command = commands.recv() => match command {
                Some(ToAgent::Audio(payload)) => outgoing::user_audio(&payload),
                Some(ToAgent::Key(key)) => outgoing::key_pressed(key),
                Some(ToAgent::Close) | None => break,
            },
        };
        let sending = timeout(SEND_TIMEOUT, sink.send(Message::text(text)));
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
    let farewell = Message::Close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "call ended".into(),
    }));
    // A server that closed first, or is gone, needs no farewell.
    let _ = timeout(CLOSE_TIMEOUT, sink.send(farewell)).await;
}

/// What the reading task knows.
struct Reader {
    events: mpsc::Sender<AgentEvent>,
    answers: mpsc::Sender<String>,
    signals: Signals,
    closing: Closing,
    /// Audio of this turn and those before is void.
    void_turn: Option<u64>,
    last_turn: u64,
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
        let mut deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let signals = &self.signals;
            let received = tokio::select! {
                biased;
                () = signals.closing.cancelled() => return Stopped::ByUs,
                () = self.events.closed() => return Stopped::ByUs,
                () = signals.is_stuck.cancelled() => {
                    return failed("the agent's connection took no more audio");
                }
                received = timeout_at(deadline, stream.next()) => received,
            };
            let Ok(message) = received else {
                return self.silent_too_long();
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    self.closing.frame = frame.map(close_words);
                    return Stopped::Over(end_of(&self.closing));
                }
                Some(Ok(_)) => continue,
                None => return Stopped::Over(end_of(&self.closing)),
                Some(Err(error)) => return self.broken(&error),
            };
            let message = match wire::parse(text.as_str()) {
                Ok(message) => message,
                Err(error) => {
                    tracing::warn!(%error, "agent sent something that cannot be read");
                    continue;
                }
            };
            if let Err(stopped) = self.take(message).await {
                return stopped;
            }
            if self.closing.end_announced {
                deadline = deadline.min(Instant::now() + END_TIMEOUT);
            } else if self.closing.was_ready {
                deadline = Instant::now() + QUIET_TIMEOUT;
            }
        }
    }

    /// Turns a message into an event or an answer.
    async fn take(&mut self, message: ServerMessage) -> Result<(), Stopped> {
        match message {
            ServerMessage::Metadata(metadata) => self.begin(&metadata).await,
            ServerMessage::Audio { payload, event_id } => {
                if self.void_turn.is_some_and(|void| event_id <= void) {
                    return Ok(());
                }
                self.last_turn = self.last_turn.max(event_id);
                let turn = self.last_turn;
                self.tell(AgentEvent::Audio { turn, payload }).await
            }
            ServerMessage::Interruption { event_id } => {
                self.void_turn = self.void_turn.max(Some(event_id));
                self.tell(AgentEvent::Interrupted { turn: event_id }).await
            }
            ServerMessage::AgentResponse { text, event_id } => {
                let turn = event_id;
                self.tell(AgentEvent::AgentSaid { turn, text }).await
            }
            ServerMessage::Correction { text, event_id } => {
                let turn = event_id;
                self.tell(AgentEvent::AgentCorrected { turn, text }).await
            }
            ServerMessage::UserTranscript { text, is_final } => {
                self.tell(AgentEvent::CalleeSaid { text, is_final }).await
            }
            ServerMessage::Ping { event_id } => self.answer(outgoing::pong(&event_id)),
            ServerMessage::DoNotCall {
                tool_call_id,
                reason,
            } => {
                self.tell(AgentEvent::OptedOut { reason }).await?;
                self.answer(outgoing::opt_out_noted(&tool_call_id))
            }
            ServerMessage::ToolCall {
                tool_call_id,
                tool_name,
            } => self.answer(outgoing::tool_refusal(&tool_call_id, &tool_name)),
            ServerMessage::EndCall => {
                self.closing.end_announced = true;
                Ok(())
            }
            ServerMessage::Error(error) => {
                self.closing.error = Some(error);
                Ok(())
            }
            ServerMessage::Queue { status } => {
                tracing::warn!(status, "the agent's vendor queues the call");
                Ok(())
            }
            ServerMessage::Other => Ok(()),
        }
    }

    async fn begin(&mut self, metadata: &Metadata) -> Result<(), Stopped> {
        if self.closing.was_ready {
            return Ok(());
        }
        if let Some(detail) = format_fault(metadata) {
            return Err(Stopped::Over(AgentEnd::Failed { detail }));
        }
        let conversation = metadata
            .conversation_id
            .parse()
            .map_err(|_| failed("the agent gave no usable conversation id"))?;
        self.closing.was_ready = true;
        self.tell(AgentEvent::Ready { conversation }).await
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

    fn silent_too_long(&self) -> Stopped {
        if self.closing.end_announced {
            Stopped::Over(AgentEnd::Finished)
        } else if self.closing.was_ready {
            failed("nothing came from the agent for 60 s")
        } else {
            failed("the agent was not ready within 10 s of being connected")
        }
    }

    /// The connection broke without a close frame.
    fn broken(&self, error: &tungstenite::Error) -> Stopped {
        tracing::debug!(%error, "agent socket broke");
        Stopped::Over(end_of(&self.closing))
    }
}

fn failed(detail: &str) -> Stopped {
    Stopped::Over(AgentEnd::Failed {
        detail: detail.to_owned(),
    })
}

fn close_words(frame: CloseFrame) -> (u16, String) {
    (frame.code.into(), frame.reason.as_str().to_owned())
}
