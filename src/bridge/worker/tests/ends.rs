//! How a call ends, and that it ends alone.

use super::*;

// proves F-33
#[tokio::test]
async fn the_last_words_are_waited_for() {
    let mut scene = start().await;
    say(&mut scene.agent, &format!("audio 1 {}", frame(1))).await;
    let farewell = protocol::CloseFrame {
        code: protocol::frame::coding::CloseCode::Normal,
        reason: "".into(),
    };
    scene.agent.close(Some(farewell)).await.unwrap();
    while let Some(Ok(_)) = scene.agent.next().await {}
    assert_eq!(
        hear(&mut scene.carrier).await,
        format!("audio {}", frame(1))
    );
    let mark = hear(&mut scene.carrier).await;
    assert_eq!(mark, "mark g0.t1.1");
    say(&mut scene.carrier, &mark).await;
    let end = BridgeEnd {
        by: Some(Party::Agent),
        detail: None,
    };
    assert_eq!(scene.end().await, end);
}

// proves F-39
#[tokio::test]
async fn a_socket_closed_without_a_word_ends_the_call() {
    let mut scene = start().await;
    drop(scene.carrier);
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    let (end, held) = timeout(SOON, scene.call).await.unwrap().unwrap();
    assert_eq!(end.by, None);
    timeout(SOON, held.release()).await.unwrap();
}

// proves F-39
#[tokio::test]
async fn a_dead_line_ends() {
    let (open, opened) = oneshot::channel();
    open.send(Ok(())).unwrap();
    let settings = BridgeSettings {
        dead_line_after: Duration::from_millis(300),
        ..settings()
    };
    let mut scene = start_with(settings, opened).await;
    assert_eq!(hear(&mut scene.agent).await, "hello");
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    let end = scene.end().await;
    assert_eq!(end.by, Some(Party::System));
    assert!(end.detail.is_some());
}

// proves F-35
// proves F-36
#[tokio::test]
async fn an_agent_that_never_says_a_word_is_not_waited_for() {
    let limits = TalkLimits {
        first_words: Some(Duration::from_millis(200)),
        ..TalkLimits::default()
    };
    let settings = BridgeSettings {
        limits,
        ..settings()
    };
    let (open, opened) = oneshot::channel();
    open.send(Ok(())).unwrap();
    let mut scene = start_with(settings, opened).await;
    assert_eq!(hear(&mut scene.agent).await, "hello");
    let failed = loop {
        match scene.event().await {
            Some(BridgeEvent::AgentFailed { detail }) => break detail,
            // A slow machine may not see it ready in time.
            Some(_) => {}
            None => panic!("no failure was reported"),
        }
    };
    assert!(failed.contains("said nothing"), "{failed}");
    assert_eq!(scene.end().await.by, Some(Party::Agent));
}

#[tokio::test]
async fn a_refused_agent_is_told_and_the_callee_is_let_go() {
    let (open, opened) = oneshot::channel();
    let mut scene = start_with(settings(), opened).await;
    open.send(Err(AgentError::Busy("no free line".to_owned())))
        .unwrap();
    let detail = "the agent has no capacity: no free line".to_owned();
    assert_eq!(
        scene.event().await,
        Some(BridgeEvent::AgentFailed { detail })
    );
    assert_eq!(hear(&mut scene.carrier).await, "clear");
    assert_eq!(scene.end().await.by, Some(Party::Agent));
}

// proves F-36
#[tokio::test]
async fn an_agent_that_breaks_fails() {
    let Scene {
        mut carrier,
        agent,
        mut events,
        call,
        ..
    } = start().await;
    drop(agent);
    let detail = "broken".to_owned();
    let told = timeout(SOON, events.recv()).await.unwrap();
    assert_eq!(told, Some(BridgeEvent::AgentFailed { detail }));
    assert_eq!(hear(&mut carrier).await, "clear");
    let (end, held) = timeout(SOON, call).await.unwrap().unwrap();
    assert_eq!(end.by, Some(Party::Agent));
    drop(held);
}

#[tokio::test]
async fn the_stop_token_closes_both_sides_and_an_open_line_becomes_final() {
    let mut scene = start().await;
    say(&mut scene.agent, "heard hel").await;
    let line = |is_final| {
        Some(BridgeEvent::Line(TranscriptLine {
            turn: 1,
            speaker: Party::Callee,
            text: "hel".to_owned(),
            is_final,
            interrupted: false,
            latency: None,
        }))
    };
    assert_eq!(scene.event().await, line(false));
    scene.stop.cancel();
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    assert_eq!(scene.event().await, line(true));
    assert_eq!(scene.event().await, None);
    assert_eq!(scene.end().await.by, Some(Party::System));
}

// proves F-38
#[tokio::test]
async fn a_callee_side_that_does_not_read_stops_nobody_else() {
    let mut scene = start().await;
    let minute = "A".repeat(640_000);
    for _ in 0..10 {
        let speech = format!("audio 1 {minute}");
        let sending = scene.agent.send(Message::text(speech));
        // The bridge stops reading when too much waits.
        if timeout(Duration::from_millis(200), sending).await.is_err() {
            break;
        }
    }
    for n in 0..20 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
        assert_eq!(hear(&mut scene.agent).await, format!("audio {}", frame(n)));
    }
    say(&mut scene.carrier, "stop").await;
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

#[tokio::test]
async fn an_agent_that_never_agrees_to_the_end_holds_up_nobody() {
    let mut scene = start().await;
    // Nobody reads the agent's end of the connection from here on, nor closes it.
    for n in 0..100 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
    }
    say(&mut scene.carrier, "stop").await;
    let (end, held) = timeout(SOON, scene.call).await.unwrap().unwrap();
    assert_eq!(end.by, Some(Party::Callee));
    let released = tokio::spawn(held.release());
    while let Some(Ok(_)) = scene.carrier.next().await {}
    timeout(SOON, released).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_ends_its_call_alone() {
    let mut scene = start().await;
    let raw = protocol::frame::Frame::message(
        vec![0xFF],
        protocol::frame::coding::OpCode::Data(protocol::frame::coding::Data::Text),
        true,
    );
    scene.carrier.send(Message::Frame(raw)).await.unwrap();
    assert_eq!(hear(&mut scene.carrier).await, "close 1007");
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    let (end, _held) = timeout(SOON, scene.call).await.unwrap().unwrap();
    assert_eq!(end.by, None);
}

#[tokio::test]
async fn a_panic_ends_its_call_alone() {
    let mut scene = start().await;
    say(&mut scene.carrier, "panic").await;
    assert_eq!(hear(&mut scene.agent).await, "gone");
    assert_eq!(scene.event().await, None);
    let (end, held) = timeout(SOON, scene.call).await.unwrap().unwrap();
    assert!(end.detail.is_some());
    timeout(SOON, held.release()).await.unwrap();
}
