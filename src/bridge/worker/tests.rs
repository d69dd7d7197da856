//! Whole calls over real sockets, with a carrier and an agent that a test plays by hand on the library's
//! sockets.

mod ends;
mod tls;
mod words;

use std::net::Ipv4Addr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, protocol},
};

use super::*;
use crate::{
    bridge::{BridgeEvent, HintRefused, Operators, TalkLimits, tap::Sound},
    domain::{attempt::Party, event::TranscriptLine},
    websocket,
};
use words::{PlainCarrier, plain_agent, plain_agent_with};

const SOON: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A running call with its outer ends in the test's hands.
struct Scene<S = MaybeTlsStream<TcpStream>> {
    carrier: Socket,
    agent: WebSocketStream<S>,
    events: mpsc::Receiver<BridgeEvent>,
    operators: Operators,
    answers: mpsc::Sender<ToolAnswer>,
    stop: CancellationToken,
    call: JoinHandle<(BridgeEnd, Held)>,
}

/// Both ends of a connection.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let connecting = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(connecting, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn socket(stream: TcpStream, role: protocol::Role) -> Socket {
    WebSocketStream::from_raw_socket(MaybeTlsStream::Plain(stream), role, None).await
}

fn workers() -> Workers {
    Workers::start(WorkerSettings {
        n_threads: 1,
        tick: Duration::from_millis(1),
    })
    .unwrap()
}

fn settings() -> BridgeSettings {
    BridgeSettings {
        dead_line_after: Duration::from_secs(60),
        ..BridgeSettings::default()
    }
}

/// A call whose agent's connection is up when `opened` says so.
async fn start_with(
    settings: BridgeSettings,
    opened: oneshot::Receiver<Result<(), AgentError>>,
) -> Scene {
    let (agent, far) = connection().await;
    let opening = async move {
        opened.await.unwrap()?;
        Ok(AgentLink {
            stream: MaybeTlsStream::Plain(agent),
            received: Vec::new(),
            dialect: plain_agent(),
        })
    };
    let far = socket(far, protocol::Role::Server).await;
    start_between(settings, opening, far).await
}

async fn start_between<S>(
    settings: BridgeSettings,
    opening: impl Future<Output = Result<AgentLink, AgentError>> + Send + 'static,
    agent: WebSocketStream<S>,
) -> Scene<S> {
    let (carrier, callee) = connection().await;
    let (report, events) = mpsc::channel(64);
    let (operators, requests) = Operators::new();
    let (answers, answered) = mpsc::channel(4);
    let uplink = Uplink {
        report,
        requests,
        answers: answered,
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let callee = CalleeSocket {
        stream: callee.into_std().unwrap(),
        received: Vec::new(),
        dialect: Box::new(PlainCarrier),
    };
    let call = tokio::spawn(async move {
        workers()
            .carry(callee, Box::pin(opening), settings, uplink, &stopped)
            .await
    });
    Scene {
        carrier: socket(carrier, protocol::Role::Client).await,
        agent,
        events,
        operators,
        answers,
        stop,
        call,
    }
}

async fn start() -> Scene {
    let (open, opened) = oneshot::channel();
    open.send(Ok(())).unwrap();
    let mut scene = start_with(settings(), opened).await;
    assert_eq!(hear(&mut scene.agent).await, "hello");
    say(&mut scene.agent, "ready").await;
    scene.joined().await;
    scene
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The next text; `close CODE` for a close, `gone` for the connection's end.
async fn hear<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> String {
    loop {
        match timeout(SOON, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(0, |frame| u16::from(frame.code));
                return format!("close {code}");
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return "gone".to_owned(),
        }
    }
}

/// The next text that is no mark: how soon a turn counts as complete depends on the machine.
async fn hear_speech(socket: &mut Socket) -> String {
    loop {
        let text = hear(socket).await;
        if !text.starts_with("mark ") {
            return text;
        }
    }
}

/// 20 ms of speech.
fn frame(n: u32) -> String {
    format!("{n:0214}==")
}

/// 20 ms of sound.
fn sound(byte: u8) -> String {
    STANDARD.encode([byte; 160])
}

impl<S> Scene<S> {
    async fn joined(&mut self) {
        let conversation = "conv_1".parse().unwrap();
        assert_eq!(
            self.event().await,
            Some(BridgeEvent::AgentJoined {
                conversation,
                vendor: "plain".parse().unwrap(),
            })
        );
    }

    async fn event(&mut self) -> Option<BridgeEvent> {
        timeout(SOON, self.events.recv())
            .await
            .expect("something is reported")
    }

    /// Waits for the end, lets the carrier's socket close and checks that it does.
    async fn end(mut self) -> BridgeEnd {
        let (end, held) = timeout(SOON, self.call).await.unwrap().unwrap();
        let released = tokio::spawn(held.release());
        loop {
            match hear(&mut self.carrier).await.as_str() {
                "close 1000" | "gone" => break,
                _ => {}
            }
        }
        while let Some(Ok(_)) = self.carrier.next().await {}
        timeout(SOON, released).await.unwrap().unwrap();
        end
    }
}

#[tokio::test]
async fn audio_passes_both_ways_and_a_turn_is_marked() {
    let mut scene = start().await;
    for n in 0..50 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
        say(&mut scene.agent, &format!("audio 1 {}", frame(n))).await;
    }
    for n in 0..50 {
        let expected = format!("audio {}", frame(n));
        assert_eq!(hear(&mut scene.agent).await, expected);
        assert_eq!(hear_speech(&mut scene.carrier).await, expected);
    }
    assert_eq!(scene.event().await, Some(BridgeEvent::FirstAudio));
    assert!(hear(&mut scene.carrier).await.starts_with("mark g0.t1."));
    say(&mut scene.agent, "ask").await;
    assert_eq!(hear(&mut scene.agent).await, "answer");
    say(&mut scene.carrier, "key 5").await;
    assert_eq!(scene.event().await, Some(BridgeEvent::Key('5')));
    assert_eq!(hear(&mut scene.agent).await, "key 5");
    say(&mut scene.carrier, "stop").await;
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

#[tokio::test]
async fn who_listens_hears_both_sides_until_the_call_is_over() {
    let mut scene = start().await;
    let mut ear = scene.operators.listen().await;
    // Behind the other request; so somebody listens when it was answered.
    let hint = "the callee is called Ann".to_owned();
    assert_eq!(scene.operators.hint(hint.clone()).await, Ok(()));
    assert_eq!(hear(&mut scene.agent).await, format!("hint {hint}"));
    say(&mut scene.carrier, &format!("audio {}", sound(1))).await;
    assert_eq!(ear.next().await, Some(Sound::Callee(Arc::new([1; 160]))));
    assert!(hear(&mut scene.agent).await.starts_with("audio "));
    say(&mut scene.agent, &format!("audio 1 {}", sound(2))).await;
    assert_eq!(ear.next().await, Some(Sound::Agent(vec![2; 160])));
    assert!(hear(&mut scene.carrier).await.starts_with("audio "));
    say(&mut scene.agent, "interrupted 1").await;
    assert_eq!(ear.next().await, Some(Sound::Cleared));
    say(&mut scene.carrier, "stop").await;
    assert_eq!(ear.next().await, None);
    let late = scene.operators.hint(hint).await;
    assert_eq!(late, Err(HintRefused::Gone));
    let mut ear = scene.operators.listen().await;
    assert_eq!(ear.next().await, None);
    assert!(hear(&mut scene.agent).await.starts_with("close"));
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

#[tokio::test]
async fn a_listener_who_takes_nothing_does_not_hold_up_the_call() {
    let mut scene = start().await;
    let mut ear = scene.operators.listen().await;
    assert_eq!(scene.operators.hint("now".to_owned()).await, Ok(()));
    assert_eq!(hear(&mut scene.agent).await, "hint now");
    for n in (0..200).chain(0..200) {
        let said = format!("audio {}", sound(n));
        say(&mut scene.carrier, &said).await;
        assert_eq!(hear(&mut scene.agent).await, said);
    }
    assert!(matches!(ear.next().await, Some(Sound::Lost(_))));
    assert!(matches!(ear.next().await, Some(Sound::Callee(_))));
}

#[tokio::test]
async fn an_agent_that_is_not_ready_is_told_nothing() {
    let (open, opened) = oneshot::channel();
    let scene = start_with(settings(), opened).await;
    let told = scene.operators.hint("too early".to_owned()).await;
    assert_eq!(told, Err(HintRefused::NotReady));
    drop(open);
}

#[tokio::test]
async fn a_tools_answer_reaches_the_agent_and_an_unknown_tool_is_refused_at_once() {
    let mut scene = start().await;
    say(&mut scene.agent, "use look.up").await;
    let refusal = hear(&mut scene.agent).await;
    assert!(refusal.starts_with("answered tc_1 the tool"), "{refusal}");
    say(&mut scene.agent, "use set_disposition").await;
    let Some(BridgeEvent::ToolUsed(call)) = scene.event().await else {
        panic!("no tool was used");
    };
    scene.answers.send(call.done("noted")).await.unwrap();
    assert_eq!(hear(&mut scene.agent).await, "answered tc_1 noted");
    say(&mut scene.agent, "use end_call").await;
    let ending = "answered tc_1 the call is being ended";
    assert_eq!(hear(&mut scene.agent).await, ending);
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    assert_eq!(scene.end().await.by, Some(Party::Agent));
}

// proves F-34
#[tokio::test]
async fn what_the_callee_says_before_the_agent_is_ready_is_delivered_in_order() {
    let (open, opened) = oneshot::channel();
    let mut scene = start_with(settings(), opened).await;
    for n in 0..100 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
    }
    open.send(Ok(())).unwrap();
    assert_eq!(hear(&mut scene.agent).await, "hello");
    for n in 100..200 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
    }
    say(&mut scene.agent, "ready").await;
    for n in 0..200 {
        assert_eq!(hear(&mut scene.agent).await, format!("audio {}", frame(n)));
    }
}

// proves F-34
#[tokio::test]
async fn of_what_comes_too_early_the_oldest_is_dropped() {
    let (open, opened) = oneshot::channel();
    let mut scene = start_with(settings(), opened).await;
    for n in 0..300 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
    }
    // A key is reported at once, so all that came before it was read.
    say(&mut scene.carrier, "key 1").await;
    assert_eq!(scene.event().await, Some(BridgeEvent::Key('1')));
    open.send(Ok(())).unwrap();
    assert_eq!(hear(&mut scene.agent).await, "hello");
    say(&mut scene.agent, "ready").await;
    for n in 51..300 {
        assert_eq!(hear(&mut scene.agent).await, format!("audio {}", frame(n)));
    }
    assert_eq!(hear(&mut scene.agent).await, "key 1");
}

// proves F-31
#[tokio::test]
async fn barge_in_clears_and_void_audio_is_dropped() {
    let mut scene = start().await;
    let long = "A".repeat(4 * 2000);
    say(&mut scene.agent, &format!("audio 1 {long}")).await;
    say(&mut scene.agent, "interrupted 1").await;
    say(&mut scene.agent, &format!("audio 1 {}", frame(1))).await;
    say(&mut scene.agent, &format!("audio 2 {}", frame(2))).await;
    let mut pieces = String::new();
    let next = loop {
        let text = hear_speech(&mut scene.carrier).await;
        match text.strip_prefix("audio ") {
            Some(piece) => pieces += piece,
            None => break text,
        }
    };
    assert_eq!(pieces, long);
    assert_eq!(next, "clear");
    assert_eq!(
        hear_speech(&mut scene.carrier).await,
        format!("audio {}", frame(2))
    );
    assert_eq!(scene.event().await, Some(BridgeEvent::FirstAudio));
    assert_eq!(scene.event().await, Some(BridgeEvent::Interrupted));
}

#[tokio::test]
async fn a_ping_is_answered() {
    let mut scene = start().await;
    for socket in [&mut scene.carrier, &mut scene.agent] {
        socket.send(Message::Ping("x".into())).await.unwrap();
        let answer = timeout(SOON, socket.next()).await.unwrap();
        assert!(
            matches!(&answer, Some(Ok(Message::Pong(content))) if content.as_ref() == b"x"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_opening_of_any_length_is_sent_whole() {
    let (agent, far) = connection().await;
    let opening = "h".repeat(1024 * 1024);
    // The agent speaks before it has read any of it.
    let mut received = Vec::new();
    websocket::write::text(&mut received, None, &["ready"]);
    let link = AgentLink {
        stream: MaybeTlsStream::Plain(agent),
        received,
        dialect: plain_agent_with(opening.clone()),
    };
    let far = socket(far, protocol::Role::Server).await;
    let mut scene = start_between(settings(), async move { Ok(link) }, far).await;
    assert!(hear(&mut scene.agent).await == opening);
    scene.joined().await;
    say(&mut scene.carrier, "key 5").await;
    assert_eq!(hear(&mut scene.agent).await, "key 5");
}

#[tokio::test]
async fn keys_that_nobody_takes_note_of_do_not_pile_up() {
    let (_open, opened) = oneshot::channel();
    let settings = BridgeSettings {
        closing_within: SOON,
        ..settings()
    };
    let mut scene = start_with(settings, opened).await;
    for n in 0..2000 {
        say(&mut scene.carrier, &format!("key {}", n % 10)).await;
    }
    // All of them were read once this is answered.
    scene.carrier.send(Message::Ping("x".into())).await.unwrap();
    let answer = timeout(SOON, scene.carrier.next()).await.unwrap();
    assert!(matches!(answer, Some(Ok(Message::Pong(_)))), "{answer:?}");
    say(&mut scene.carrier, "stop").await;
    let mut keys = 0;
    while let Some(event) = scene.event().await {
        assert_eq!(
            event,
            BridgeEvent::Key(char::from(b'0' + (keys % 10) as u8))
        );
        keys += 1;
    }
    assert_eq!(keys, 64 + 1024);
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

#[test]
fn a_worker_that_is_gone_gets_no_calls() {
    let poll = Poll::new().unwrap();
    let (commands, _) = mpsc::channel(1);
    let gone = Handle {
        commands: Some(commands),
        waker: Waker::new(poll.registry(), WAKE).unwrap(),
        n_calls: Arc::default(),
    };
    let busy = Handle::start(1, Duration::from_millis(1)).unwrap();
    busy.n_calls.store(7, Ordering::Relaxed);
    let workers = vec![Arc::new(gone), Arc::new(busy)];
    let next_id = AtomicU64::new(1);
    let workers = Workers {
        inner: Arc::new(Inner { workers, next_id }),
    };
    assert!(Arc::ptr_eq(
        &workers.least_busy(),
        &workers.inner.workers[1]
    ));
}
