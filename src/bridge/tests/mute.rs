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
