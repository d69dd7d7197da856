//! How long a call may last, and how long of it in silence.

use super::*;

impl Scene {
    /// The callee sends `frame` every second, until the call ends or `most` seconds have passed.
    /// Returns for how many it went on.
    pub(super) async fn goes_on_with(&mut self, frame: &str, most: u32) -> u32 {
        for second in 0..most {
            if self.call.is_finished() {
                return second;
            }
            let audio = FromCallee::Audio(frame.to_owned());
            // The call may end in between.
            drop(self.callee.send(audio).await);
            while self.heard.try_recv().is_ok() {}
            sleep(SECOND).await;
        }
        most
    }
}

// proves F-36
#[tokio::test(start_paused = true)]
async fn an_agent_that_never_says_a_word_is_not_waited_for() {
    let limits = TalkLimits {
        first_words: Some(6 * SECOND),
        ..TalkLimits::default()
    };
    for is_ready in [true, false] {
        let mut scene = if is_ready {
            start_ready_within(limits).await
        } else {
            start_within(Duration::ZERO, limits)
        };
        let went_on = scene.goes_on_with(audio::SILENCE_FRAME, 60).await;
        assert!((6..=7).contains(&went_on), "{went_on}");
        let failed = scene.events.recv().await;
        assert!(matches!(failed, Some(BridgeEvent::AgentFailed { .. })));
        let end = scene.end().await;
        let detail = end.detail.unwrap();
        assert!(detail.contains("said nothing"), "{detail}");
    }
}

// proves F-36
#[tokio::test(start_paused = true)]
async fn an_agent_that_lets_the_callee_speak_first_has_longer_but_not_for_ever() {
    let limits = TalkLimits {
        first_words: Some(6 * SECOND),
        ..TalkLimits::default()
    };
    let mut scene = start_ready_within(limits).await;
    let mut went_on = 0;
    for _ in 0..10 {
        let text = "Hello?".to_owned();
        let said = AgentEvent::CalleeSaid {
            text,
            is_final: true,
        };
        drop(scene.agent.send(said).await);
        went_on += scene.goes_on_with(audio::SILENCE_FRAME, 3).await;
    }
    assert!((12..=13).contains(&went_on), "{went_on}");
    scene.end().await;
}

// proves F-37
#[tokio::test(start_paused = true)]
async fn one_sided_speech_of_minutes_survives_and_silence_of_both_ends_the_call() {
    let limits = TalkLimits {
        silence: Some(60 * SECOND),
        ..TalkLimits::default()
    };
    let loud = speech(audio::FRAME);
    let mut scene = start_ready_within(limits).await;
    assert_eq!(scene.goes_on_with(&loud, 300).await, 300);
    let in_silence = scene.goes_on_with(audio::SILENCE_FRAME, 300).await;
    assert!((59..=61).contains(&in_silence), "{in_silence}");
    scene.end().await;

    let mut scene = start_ready_within(limits).await;
    scene.agent.send(spoken(1, 90 * SECOND)).await.unwrap();
    let until_silent = scene.goes_on_with(audio::SILENCE_FRAME, 300).await;
    assert!((149..=152).contains(&until_silent), "{until_silent}");
    scene.end().await;
}

// proves F-37
#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_greatest_length() {
    let limits = TalkLimits {
        length: Some(30 * SECOND),
        ..TalkLimits::default()
    };
    let mut scene = start_ready_within(limits).await;
    let went_on = scene.goes_on_with(&speech(audio::FRAME), 300).await;
    assert!((30..=31).contains(&went_on), "{went_on}");
    let end = scene.end().await;
    assert_eq!(end.by, Some(Party::System));
    assert!(end.detail.unwrap().contains("30 s"));
}
