//! An agent that an operator mutes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_muted_agent_is_not_heard_and_hears_and_comes_back_with_its_next_turn() {
    let mut scene = start_ready().await;
    let said = |turn, text: &str| AgentEvent::AgentSaid {
        turn,
        text: text.to_owned(),
    };
    scene.agent.send(said(1, "One")).await.unwrap();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    let Some(ToCallee::Audio(_)) = scene.heard.recv().await else {
        panic!("no speech");
    };
    scene.operators.mute(true).await.unwrap();
    let (_, cleared) = scene.next_but_speech().await;
    assert_eq!(cleared, Some(ToCallee::Clear));

    // The rest of the turn and a whole one: neither is heard, and the transcript says so.
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    scene.agent.send(said(2, "Two")).await.unwrap();
    for _ in 0..3 {
        scene.agent.send(spoken(2, SECOND)).await.unwrap();
    }
    let frame = speech(SECOND / 50);
    let audio = FromCallee::Audio(frame.clone());
    scene.callee.send(audio).await.unwrap();
    while scene.agent_hears.recv().await != Some(ToAgent::Audio(frame.clone())) {}
    sleep(SECOND).await;
    assert!(scene.heard.try_recv().is_err(), "nothing is heard");
    // Asked once more, nothing changes.
    scene.operators.mute(true).await.unwrap();
    scene.operators.mute(false).await.unwrap();
    scene.agent.send(spoken(2, SECOND)).await.unwrap();
    scene.agent.send(said(3, "Three")).await.unwrap();
    scene.agent.send(spoken(3, SECOND)).await.unwrap();
    let (heard, mark) = scene.next_but_speech().await;
    assert_eq!(heard, SECOND, "the turn that began after it");
    assert!(matches!(mark, Some(ToCallee::Mark(name)) if name.contains("t3")));

    let mut cut = std::collections::BTreeMap::new();
    while let Ok(event) = scene.events.try_recv() {
        assert_ne!(event, BridgeEvent::Interrupted, "the callee said nothing");
        if let BridgeEvent::Line(line) = event {
            cut.insert(line.text, line.interrupted);
        }
    }
    let expected = [("One", true), ("Three", false), ("Two", true)];
    let expected = expected.map(|(text, is_cut)| (text.to_owned(), is_cut));
    assert_eq!(cut.into_iter().collect::<Vec<_>>(), expected);
    scene.stop.cancel();
    assert_eq!(scene.operators.mute(true).await, Err(TalkOver));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_muted_before_its_first_words_is_not_taken_for_silent() {
    let limits = TalkLimits {
        first_words: Some(6 * SECOND),
        silence: Some(60 * SECOND),
        ..TalkLimits::default()
    };
    let mut scene = start_ready_within(limits).await;
    scene.operators.mute(true).await.unwrap();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    let went_on = scene.goes_on_with(audio::SILENCE_FRAME, 100).await;
    // The callee is not left in silence for ever, all the same.
    assert!((59..=61).contains(&went_on), "{went_on}");
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
