//! Whole calls over in-memory channels, with an agent that a test plays by hand.

mod limits;
mod mute;
mod tools;

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    task::JoinHandle,
    time::{Instant, advance, sleep, timeout},
};

use super::{tap::Sound, *};
use crate::agents::{
    AgentEnd, AgentError, AgentEvent, AgentSession, ToAgent,
    link::{AgentLink, Prepared},
};

/// Opens the one session it was given, after a while.
struct ByHand {
    after: Duration,
    session: Mutex<Option<Result<AgentSession, AgentError>>>,
}

#[async_trait]
impl VoiceAgent for ByHand {
    async fn prepare(
        &self,
        _vendor: Option<&AgentVendor>,
        _agent_id: Option<&str>,
    ) -> Result<Option<Prepared>, AgentError> {
        unreachable!("nothing rings here")
    }

    async fn open(
        &self,
        _brief: &Brief,
        _prepared: Option<Prepared>,
    ) -> Result<AgentSession, AgentError> {
        sleep(self.after).await;
        self.session
            .lock()
            .unwrap()
            .take()
            .expect("a bridge opens one session per call")
    }

    async fn connect(
        &self,
        _brief: &Brief,
        _prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError> {
        unreachable!("a bridge over channels opens sessions")
    }
}

/// A running call with both of its sides in the test's hands.
struct Scene {
    callee: mpsc::Sender<FromCallee>,
    heard: mpsc::Receiver<ToCallee>,
    agent: mpsc::Sender<AgentEvent>,
    agent_hears: mpsc::Receiver<ToAgent>,
    events: mpsc::Receiver<BridgeEvent>,
    operators: Operators,
    answers: mpsc::Sender<ToolAnswer>,
    stop: CancellationToken,
    call: JoinHandle<BridgeEnd>,
}

fn start(after: Duration) -> Scene {
    start_within(after, TalkLimits::default())
}

fn start_within(after: Duration, limits: TalkLimits) -> Scene {
    let (agent, events) = mpsc::channel(64);
    let (commands, agent_hears) = mpsc::channel(8);
    let session = AgentSession { events, commands };
    let (callee, from) = mpsc::channel(512);
    let (to, heard) = mpsc::channel(64);
    let (report, events) = mpsc::channel(64);
    let (operators, requests) = Operators::new();
    let (answers, answered) = mpsc::channel(4);
    let uplink = Uplink {
        report,
        requests,
        answers: answered,
    };
    let stop = CancellationToken::new();
    let vendor = ByHand {
        after,
        session: Mutex::new(Some(Ok(session))),
    };
    let bridge = Bridge::new(Arc::new(vendor), BridgeSettings::default()).limited(limits);
    let call = {
        let stop = stop.clone();
        tokio::spawn(async move {
            bridge
                .run(CalleeLeg { from, to }, Brief::default(), None, uplink, stop)
                .await
        })
    };
    Scene {
        callee,
        heard,
        agent,
        agent_hears,
        events,
        operators,
        answers,
        stop,
        call,
    }
}

async fn start_ready() -> Scene {
    start_ready_within(TalkLimits::default()).await
}

async fn start_ready_within(limits: TalkLimits) -> Scene {
    let mut scene = start_within(Duration::ZERO, limits);
    scene.agent.send(ready()).await.unwrap();
    assert_eq!(
        scene.events.recv().await,
        Some(BridgeEvent::AgentJoined {
            conversation: "conv_1".parse().unwrap(),
            vendor: "by-hand".parse().unwrap(),
        })
    );
    scene
}

fn ready() -> AgentEvent {
    AgentEvent::Ready {
        conversation: "conv_1".parse().unwrap(),
        vendor: "by-hand".parse().unwrap(),
    }
}

/// Base64 speech of that length.
fn speech(length: Duration) -> String {
    let n_bytes = usize::try_from(length.as_millis()).unwrap() * 8;
    STANDARD.encode(vec![0x55; n_bytes])
}

fn spoken(turn: u64, length: Duration) -> AgentEvent {
    AgentEvent::Audio {
        turn,
        payload: speech(length),
    }
}

impl Scene {
    /// What the callee is sent up to the next message that is not speech: the speech's length, and
    /// that message.
    async fn next_but_speech(&mut self) -> (Duration, Option<ToCallee>) {
        let mut length = Duration::ZERO;
        loop {
            match self.heard.recv().await {
                Some(ToCallee::Audio(payload)) => length += audio::duration(&payload),
                other => return (length, other),
            }
        }
    }

    /// The agent uses a tool.
    async fn uses(&mut self, call: ToolCall) {
        let used = AgentEvent::ToolsUsed(vec![Ok(call)]);
        self.agent.send(used).await.unwrap();
    }

    /// What the agent is told next of its tools.
    async fn answer(&mut self) -> ToolAnswer {
        loop {
            match self.agent_hears.recv().await {
                Some(ToAgent::Answer(answer)) => return answer,
                Some(_) => {}
                None => panic!("the agent was left without an answer"),
            }
        }
    }

    /// Waits for the end, and checks that both sides were closed.
    async fn end(mut self) -> BridgeEnd {
        let end = timeout(Duration::from_secs(60), self.call)
            .await
            .unwrap()
            .unwrap();
        self.heard.close();
        let mut last = None;
        while let Some(message) = self.heard.recv().await {
            last = Some(message);
        }
        assert!(matches!(last, None | Some(ToCallee::Close)), "{last:?}");
        while self.agent_hears.recv().await.is_some() {}
        assert!(self.agent.is_closed());
        end
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_greeting_reaches_the_callee_in_pieces_and_is_marked() {
    let mut scene = start_ready().await;
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    assert_eq!(scene.events.recv().await, Some(BridgeEvent::FirstAudio));
    let Some(ToCallee::Audio(first)) = scene.heard.recv().await else {
        panic!("no speech");
    };
    assert_eq!(audio::duration(&first), Duration::from_millis(180));
    let (rest, mark) = scene.next_but_speech().await;
    assert_eq!(rest, Duration::from_millis(820));
    assert_eq!(mark, Some(ToCallee::Mark("g0.t1.1".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn who_listens_hears_the_agent_when_the_callee_does_and_the_callee_at_once() {
    let mut scene = start_ready().await;
    let mut ear = scene.operators.listen().await;
    let hint = "the callee is called Ann".to_owned();
    assert_eq!(scene.operators.hint(hint.clone()).await, Ok(()));
    assert_eq!(scene.agent_hears.recv().await, Some(ToAgent::Hint(hint)));
    let began = Instant::now();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    let mut n_bytes = 0;
    while n_bytes < 8_000 {
        match ear.next().await {
            Some(Sound::Agent(speech)) => n_bytes += speech.len(),
            other => panic!("{other:?}"),
        }
    }
    let played = began.elapsed();
    assert!(
        (SECOND * 9 / 10..SECOND * 2).contains(&played),
        "{played:?}"
    );
    let said = speech(SECOND / 50);
    scene
        .callee
        .send(FromCallee::Audio(said.clone()))
        .await
        .unwrap();
    let said = STANDARD.decode(said).unwrap();
    assert_eq!(ear.next().await, Some(Sound::Callee(said.into())));
    scene.stop.cancel();
    assert_eq!(ear.next().await, None);
    let late = scene.operators.hint("too late".to_owned()).await;
    assert_eq!(late, Err(HintRefused::Gone));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_ready_or_is_done_is_told_nothing() {
    let scene = start(SECOND);
    let told = scene.operators.hint("too early".to_owned()).await;
    assert_eq!(told, Err(HintRefused::NotReady));
    let scene = start_ready().await;
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    let done = AgentEvent::Ended(AgentEnd::Finished);
    scene.agent.send(done).await.unwrap();
    sleep(SECOND / 10).await;
    let told = scene.operators.hint("too late".to_owned()).await;
    assert_eq!(told, Err(HintRefused::Gone));
}

// proves F-34
#[tokio::test(start_paused = true)]
async fn what_the_callee_says_before_the_agent_is_ready_is_delivered_in_order() {
    let mut scene = start(2 * SECOND);
    for n in 0..100 {
        scene
            .callee
            .send(FromCallee::Audio(n.to_string()))
            .await
            .unwrap();
    }
    sleep(3 * SECOND).await;
    assert!(scene.agent_hears.try_recv().is_err());
    scene.agent.send(ready()).await.unwrap();
    for n in 0..100 {
        let expected = ToAgent::Audio(n.to_string());
        assert_eq!(scene.agent_hears.recv().await, Some(expected));
    }
}

// proves F-34
#[tokio::test(start_paused = true)]
async fn beyond_five_seconds_the_oldest_is_dropped() {
    let mut scene = start(SECOND);
    for n in 0..300 {
        scene
            .callee
            .send(FromCallee::Audio(n.to_string()))
            .await
            .unwrap();
    }
    scene.agent.send(ready()).await.unwrap();
    sleep(2 * SECOND).await;
    for n in 50..300 {
        let expected = ToAgent::Audio(n.to_string());
        assert_eq!(scene.agent_hears.recv().await, Some(expected));
    }
}

// proves F-31
#[tokio::test(start_paused = true)]
async fn barge_in_clears_and_void_audio_and_marks_are_ignored() {
    let mut scene = start_ready().await;
    scene.agent.send(spoken(1, 30 * SECOND)).await.unwrap();
    let said = AgentEvent::AgentSaid {
        turn: 1,
        text: "a long story".to_owned(),
    };
    scene.agent.send(said).await.unwrap();
    assert_eq!(scene.events.recv().await, Some(BridgeEvent::FirstAudio));
    assert!(
        matches!(scene.events.recv().await, Some(BridgeEvent::Line(line)) if !line.interrupted)
    );
    scene
        .agent
        .send(AgentEvent::Interrupted { turn: 1 })
        .await
        .unwrap();
    assert_eq!(scene.events.recv().await, Some(BridgeEvent::Interrupted));
    assert!(matches!(
        scene.events.recv().await,
        Some(BridgeEvent::Line(line)) if line.interrupted && line.turn == 1
    ));
    let (sent, next) = scene.next_but_speech().await;
    assert_eq!(next, Some(ToCallee::Clear));
    // What filled the channel had left; what waited behind it was dropped.
    assert!(sent < 15 * SECOND, "{sent:?}");

    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    scene.agent.send(spoken(2, SECOND / 10)).await.unwrap();
    let (sent, next) = scene.next_but_speech().await;
    assert_eq!(sent, SECOND / 10);
    assert_eq!(next, Some(ToCallee::Mark("g1.t2.1".to_owned())));
}

// proves F-33
#[tokio::test(start_paused = true)]
async fn the_last_words_are_waited_for() {
    let mut scene = start_ready().await;
    scene.agent.send(spoken(1, 8 * SECOND)).await.unwrap();
    scene
        .agent
        .send(AgentEvent::Ended(AgentEnd::Finished))
        .await
        .unwrap();
    let (_, mark) = scene.next_but_speech().await;
    let Some(ToCallee::Mark(name)) = mark else {
        panic!("no final mark: {mark:?}");
    };
    sleep(7 * SECOND).await;
    assert!(!scene.call.is_finished());
    scene.callee.send(FromCallee::Mark(name)).await.unwrap();
    assert_eq!(scene.heard.recv().await, Some(ToCallee::Close));
    assert_eq!(
        scene.end().await,
        BridgeEnd {
            by: Some(Party::Agent),
            detail: None
        }
    );
}

// proves F-33
#[tokio::test(start_paused = true)]
async fn a_lost_mark_ends_the_wait_two_seconds_late() {
    let mut scene = start_ready().await;
    let began = Instant::now();
    scene.agent.send(spoken(1, 7 * SECOND)).await.unwrap();
    scene
        .agent
        .send(AgentEvent::Ended(AgentEnd::Finished))
        .await
        .unwrap();
    let (_, mark) = scene.next_but_speech().await;
    assert!(matches!(mark, Some(ToCallee::Mark(_))));
    assert_eq!(scene.heard.recv().await, Some(ToCallee::Close));
    assert_eq!(began.elapsed().as_secs(), 9);
    assert_eq!(scene.end().await.by, Some(Party::Agent));
}

#[tokio::test(start_paused = true)]
async fn a_callee_who_hangs_up_ends_the_agent_at_once() {
    let mut scene = start_ready().await;
    scene.callee.send(FromCallee::Stopped).await.unwrap();
    assert_eq!(scene.agent_hears.recv().await, Some(ToAgent::Close));
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

// proves F-39
#[tokio::test(start_paused = true)]
async fn a_socket_closed_without_a_word_ends_the_call() {
    let Scene {
        callee,
        mut agent_hears,
        call,
        heard,
        ..
    } = start_ready().await;
    drop((callee, heard));
    assert_eq!(agent_hears.recv().await, Some(ToAgent::Close));
    assert_eq!(call.await.unwrap().by, None);
}

// proves F-39
#[tokio::test(start_paused = true)]
async fn a_dead_line_ends_after_ten_seconds() {
    let scene = start_ready().await;
    let began = Instant::now();
    let end = scene.end().await;
    assert_eq!(end.by, Some(Party::System));
    assert!(end.detail.is_some());
    assert_eq!(began.elapsed().as_secs(), 10);
}

// proves F-35
#[tokio::test(start_paused = true)]
async fn a_refused_agent_is_told_and_the_callee_is_let_go() {
    let (callee, from) = mpsc::channel(8);
    let (to, mut heard) = mpsc::channel(8);
    let (report, mut events) = mpsc::channel(8);
    let vendor = ByHand {
        after: Duration::ZERO,
        session: Mutex::new(Some(Err(AgentError::Busy("no free line".to_owned())))),
    };
    let bridge = Bridge::new(Arc::new(vendor), BridgeSettings::default());
    let leg = CalleeLeg { from, to };
    let end = bridge
        .run(
            leg,
            Brief::default(),
            None,
            report,
            CancellationToken::new(),
        )
        .await;
    assert_eq!(end.by, Some(Party::Agent));
    let detail = "the agent has no capacity: no free line".to_owned();
    assert_eq!(
        events.recv().await,
        Some(BridgeEvent::AgentFailed { detail })
    );
    assert_eq!(heard.recv().await, Some(ToCallee::Clear));
    assert_eq!(heard.recv().await, Some(ToCallee::Close));
    assert!(callee.is_closed());
}

// proves F-36
#[tokio::test(start_paused = true)]
async fn an_agent_that_breaks_or_never_gets_ready_fails() {
    let mut scene = start_ready().await;
    let detail = "it broke".to_owned();
    let broken = AgentEnd::Failed {
        detail: detail.clone(),
    };
    scene.agent.send(AgentEvent::Ended(broken)).await.unwrap();
    assert_eq!(
        scene.events.recv().await,
        Some(BridgeEvent::AgentFailed { detail })
    );
    assert_eq!(scene.end().await.by, Some(Party::Agent));

    let mut scene = start(Duration::from_secs(3600));
    for _ in 0..3 {
        scene
            .callee
            .send(FromCallee::Mark("x".to_owned()))
            .await
            .unwrap();
        advance(4 * SECOND).await;
    }
    assert!(matches!(
        scene.events.recv().await,
        Some(BridgeEvent::AgentFailed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_stop_token_closes_both_sides() {
    let mut scene = start_ready().await;
    scene.stop.cancel();
    assert_eq!(scene.agent_hears.recv().await, Some(ToAgent::Close));
    assert_eq!(scene.heard.recv().await, Some(ToCallee::Close));
    assert_eq!(scene.end().await.by, Some(Party::System));
}

// proves F-38
#[tokio::test(start_paused = true)]
async fn a_callee_side_that_does_not_read_stops_nobody_else() {
    let mut scene = start_ready().await;
    scene.agent.send(spoken(1, 120 * SECOND)).await.unwrap();
    scene.agent.send(spoken(1, 120 * SECOND)).await.unwrap();
    for n in 0..20 {
        scene
            .callee
            .send(FromCallee::Audio(n.to_string()))
            .await
            .unwrap();
        let expected = ToAgent::Audio(n.to_string());
        assert_eq!(scene.agent_hears.recv().await, Some(expected));
    }
    scene.callee.send(FromCallee::Stopped).await.unwrap();
    assert_eq!(scene.agent_hears.recv().await, Some(ToAgent::Close));
    assert_eq!(scene.call.await.unwrap().by, Some(Party::Callee));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_read_loses_the_oldest_second() {
    let mut scene = start_ready().await;
    scene
        .callee
        .send(FromCallee::Audio("first".to_owned()))
        .await
        .unwrap();
    for n in 0..200 {
        scene
            .callee
            .send(FromCallee::Audio(n.to_string()))
            .await
            .unwrap();
    }
    sleep(SECOND).await;
    let mut heard = Vec::new();
    for _ in 0..58 {
        match scene.agent_hears.recv().await {
            Some(ToAgent::Audio(text)) => heard.push(text),
            other => panic!("not audio: {other:?}"),
        }
    }
    assert_eq!(heard.first().map(String::as_str), Some("first"));
    assert_eq!(heard.last().map(String::as_str), Some("199"));
    assert_eq!(heard[8], "150");
}

#[tokio::test(start_paused = true)]
async fn how_long_the_agent_took_to_answer_is_with_its_line() {
    let mut scene = start_ready().await;
    let said = |turn, text: &str| AgentEvent::AgentSaid {
        turn,
        text: text.to_owned(),
    };
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    scene.agent.send(said(1, "Hi Ann")).await.unwrap();
    sleep(2 * SECOND).await;
    let frame = FromCallee::Audio(speech(audio::FRAME));
    scene.callee.send(frame).await.unwrap();
    sleep(Duration::from_millis(700)).await;
    scene.agent.send(spoken(2, SECOND)).await.unwrap();
    scene.agent.send(said(2, "It's me")).await.unwrap();
    let mut lines = Vec::new();
    while lines.len() < 2 {
        if let Some(BridgeEvent::Line(line)) = scene.events.recv().await {
            lines.push((line.turn, line.latency.map(|wait| wait.as_millis())));
        }
    }
    assert_eq!(lines, [(1, None), (2, Some(700))]);
    scene.stop.cancel();
    scene.end().await;
}

#[tokio::test(start_paused = true)]
async fn keys_and_lines_are_reported_in_order() {
    let mut scene = start_ready().await;
    scene.callee.send(FromCallee::Key('5')).await.unwrap();
    assert_eq!(scene.events.recv().await, Some(BridgeEvent::Key('5')));
    assert_eq!(scene.agent_hears.recv().await, Some(ToAgent::Key('5')));
    for (text, is_final) in [("hel", false), ("hello", true)] {
        let said = AgentEvent::CalleeSaid {
            text: text.to_owned(),
            is_final,
        };
        scene.agent.send(said).await.unwrap();
        assert_eq!(
            scene.events.recv().await,
            Some(BridgeEvent::Line(TranscriptLine {
                turn: 1,
                speaker: Party::Callee,
                text: text.to_owned(),
                is_final,
                interrupted: false,
                latency: None,
            }))
        );
    }
}

// proves F-71
#[tokio::test(start_paused = true)]
async fn an_opt_out_is_reported_even_if_the_call_ends_with_it() {
    let mut scene = start_ready().await;
    let opted_out = ToolCall {
        id: "tc_1".to_owned(),
        tool: Tool::DoNotCall {
            reason: Some("not interested".to_owned()),
        },
    };
    scene.uses(opted_out.clone()).await;
    let answer = scene.answer().await;
    assert!(!answer.is_error, "{answer:?}");
    let ended = AgentEvent::Ended(AgentEnd::Finished);
    scene.agent.send(ended).await.unwrap();
    assert_eq!(
        scene.events.recv().await,
        Some(BridgeEvent::ToolUsed(opted_out))
    );
    assert_eq!(scene.end().await.by, Some(Party::Agent));
}
