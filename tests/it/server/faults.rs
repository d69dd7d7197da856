//! What must hold when the carrier, its callbacks or the agent fail.

use std::{sync::Arc, time::Duration};

use dialtone::sim::{
    Behaviour::{Busy, NoAnswer},
    Faults,
};
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, person, until};

/// Nobody is called twice.
fn once() -> Value {
    json!({"retry": {"maxAttempts": 1}})
}

/// Every person of the list has exactly one call and this outcome.
async fn each_called_once(world: &World, campaign: &str, people: u32, outcome: &str) {
    let ledger = world.ledger();
    for n in 0..people {
        let placed = ledger.calls.iter().filter(|call| call.to == person(n));
        assert_eq!(placed.count(), 1, "person {n}");
        assert_eq!(
            world.contact(campaign, n).await["outcome"],
            outcome,
            "person {n}"
        );
    }
}

// proves F-02, F-17
pub async fn calls_come_to_their_end_without_any_callback(place: Arc<Place>) {
    let faults = Faults {
        lost_callback: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .callee(0, [NoAnswer])
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..4), once()).await;
    world
        .until_status_as_time_passes(&campaign, "completed")
        .await;
    assert_eq!(world.ledger().totals.callbacks.delivered, 0);
    assert_eq!(world.contact(&campaign, 0).await["outcome"], "noAnswer");
    for n in 1..4 {
        assert_eq!(world.contact(&campaign, n).await["outcome"], "busy");
    }
    assert_eq!(world.ledger().calls.len(), 4);
    world.end().await;
}

// proves F-17, F-20
pub async fn a_talk_comes_to_its_end_without_any_callback(place: Arc<Place>) {
    let faults = Faults {
        lost_callback: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..3), once()).await;
    world
        .until_status_as_time_passes(&campaign, "completed")
        .await;
    each_called_once(&world, &campaign, 3, "answered").await;
    world.end().await;
}

// proves F-18
pub async fn late_repeated_and_reordered_callbacks_change_nothing(place: Arc<Place>) {
    let faults = Faults {
        late_callback: 0.4,
        late_by_ms: 700,
        duplicate_callback: 0.6,
        reordered_callback: 0.6,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .callee(0, [Busy])
        .faults(faults)
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..6), once()).await;
    world.until_status(&campaign, "completed").await;
    assert!(world.ledger().totals.callbacks.repeated > 0);
    assert_eq!(world.contact(&campaign, 0).await["outcome"], "busy");
    for n in 1..6 {
        let calls = world.calls_to(&campaign, n).await;
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0]["outcome"], "answered", "{calls:?}");
        assert!(
            calls[0]["answeredAt"].as_str() <= calls[0]["endedAt"].as_str(),
            "{calls:?}"
        );
    }
    world.end().await;
}

// proves F-27
pub async fn a_throttling_carrier_is_asked_again_later_and_nobody_is_lost(place: Arc<Place>) {
    let faults = Faults {
        create_throttled: 0.4,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..6), once()).await;
    world.until_status(&campaign, "completed").await;
    assert!(world.ledger().totals.calls_refused > 0);
    each_called_once(&world, &campaign, 6, "busy").await;
    for n in 0..6 {
        assert_eq!(
            world.contact(&campaign, n).await["attempts"],
            1,
            "refusals do not count"
        );
    }
    world.end().await;
}

// proves F-03
pub async fn a_request_that_failed_is_looked_up_before_it_is_made_again(place: Arc<Place>) {
    let faults = Faults {
        create_fails: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..2), once()).await;
    until("a doubt", async || {
        let calls = world.calls(&campaign).await;
        calls
            .iter()
            .any(|call| call["state"] == "unknown")
            .then_some(())
    })
    .await;
    world.simulator.set_faults(Faults::default());
    world.until_status(&campaign, "completed").await;
    each_called_once(&world, &campaign, 2, "busy").await;
    let released = world.calls(&campaign).await;
    assert!(
        released.iter().any(|call| call["state"] == "released"),
        "{released:?}"
    );
    assert_eq!(world.contact(&campaign, 0).await["attempts"], 1);
    world.end().await;
}

// proves F-03
pub async fn a_call_placed_behind_an_error_is_found_and_never_made_again(place: Arc<Place>) {
    let faults = Faults {
        create_fails_after_placing: 1.0,
        lost_callback: 1.0,
        list_lag_ms: 300,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..4), once()).await;
    world
        .until_status_as_time_passes(&campaign, "completed")
        .await;
    each_called_once(&world, &campaign, 4, "answered").await;
    world.end().await;
}

// proves F-03, F-20
pub async fn an_answer_that_comes_after_the_whole_call_changes_nothing(place: Arc<Place>) {
    let faults = Faults {
        create_hangs: 1.0,
        create_hangs_ms: 2_500,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .callee(0, [Busy])
        .faults(faults)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..3), once()).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.contact(&campaign, 0).await["outcome"], "busy");
    assert_eq!(world.contact(&campaign, 1).await["outcome"], "answered");
    assert_eq!(world.ledger().calls.len(), 3);
    world.end().await;
}

/// However many people hear nobody, that alone stands no campaign still.
fn any_silence() -> Value {
    json!({"warnPermille": 1000, "stopPermille": 1000, "leastAnswered": 1000})
}

/// Runs a campaign with an agent that fails in one way; gives its calls.
async fn with_failing_agent(place: &Arc<Place>, faults: Faults, outcome: &str) -> Vec<Value> {
    let world = Scenario::on(place).faults(faults).start().await;
    let again = json!({"count": 2, "delaySeconds": 0});
    let settings = json!({
        "retry": {"failed": again, "busy": again, "noAnswer": again}, "silentLimit": any_silence(),
    });
    let campaign = world.start_campaign(&list(0..3), settings).await;
    world.until_status(&campaign, "completed").await;
    each_called_once(&world, &campaign, 3, outcome).await;
    let calls = world.calls(&campaign).await;
    for call in &calls {
        assert!(call["agentFailure"].is_string(), "{call}");
        let (answered, ended) = (time(call, "answeredAt"), time(call, "endedAt"));
        let lasted = ended.duration_since(answered).unsigned_abs();
        assert!(
            lasted < Duration::from_secs(8),
            "{lasted:?} on the line without an agent"
        );
    }
    world.end().await;
    calls
}

fn time(call: &Value, field: &str) -> dialtone::domain::Timestamp {
    call[field].as_str().unwrap().parse().unwrap()
}

// proves F-35
pub async fn a_callee_whom_no_agent_can_speak_to_hears_regret_and_is_not_called_again(
    place: Arc<Place>,
) {
    let faults = Faults {
        agent_refuses: 1.0,
        ..Faults::default()
    };
    for call in with_failing_agent(&place, faults, "agentUnavailable").await {
        assert_eq!(call["conversationId"], Value::Null);
        assert_eq!(call["outcome"], "agentUnavailable");
    }
}

// proves F-35
pub async fn a_campaign_whose_agent_never_comes_stands_still(place: Arc<Place>) {
    let faults = Faults {
        agent_refuses: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = json!({"maxConcurrentCalls": 1, "silentLimit": any_silence()});
    let campaign = world.start_campaign(&list(0..12), settings).await;
    let paused = world.until_status(&campaign, "paused").await;
    let reason = paused["reason"].as_str().unwrap();
    assert!(reason.starts_with("no agent can be had"), "{reason}");
    world.until_progress(&campaign, "open", 0).await;
    let n_calls = world.simulator.totals().calls_created;
    assert!(
        (5..=6).contains(&n_calls),
        "{n_calls} people were called for nothing"
    );
    world.end().await;
}

// proves F-36
pub async fn a_crash_of_the_agent_ends_the_talk_and_is_kept(place: Arc<Place>) {
    let faults = Faults {
        agent_crashes: 1.0,
        ..Faults::default()
    };
    for call in with_failing_agent(&place, faults, "answered").await {
        let failure = call["agentFailure"].as_str().unwrap();
        assert!(failure.contains("1011"), "{failure}");
        assert!(call["conversationId"].is_string());
    }
}

// proves F-36
pub async fn an_agent_without_quota_ends_the_talk_and_is_kept(place: Arc<Place>) {
    let faults = Faults {
        agent_over_quota: 1.0,
        ..Faults::default()
    };
    for call in with_failing_agent(&place, faults, "answered").await {
        let failure = call["agentFailure"].as_str().unwrap();
        assert!(failure.contains("quota"), "{failure}");
    }
}

// proves F-36, F-73
pub async fn a_callee_to_whom_the_agent_says_nothing_hears_the_campaigns_sentence(
    place: Arc<Place>,
) {
    let faults = Faults {
        agent_silent: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let sentence = "Sorry {{name}}, <nobody> is here & now.";
    let settings = json!({
        "retry": {"maxAttempts": 1}, "silentLimit": any_silence(),
        "silence": {"firstWordsSeconds": 2, "bothSeconds": 60, "sentence": sentence},
    });
    let campaign = world.start_campaign(&list(0..2), settings).await;
    let shown = world.until_status(&campaign, "completed").await;
    assert_eq!(shown["settings"]["silence"]["sentence"], sentence);
    for n in 0..2 {
        let calls = world.calls_to(&campaign, n).await;
        assert_eq!(calls.len(), 1);
        let failure = calls[0]["agentFailure"].as_str().unwrap();
        assert!(failure.contains("said nothing"), "{failure}");
        assert_eq!(calls[0]["answerToFirstAudioMs"], Value::Null);
        let ledger = world.ledger();
        let call = ledger.calls.iter().find(|call| call.to == person(n));
        let heard = &call.unwrap().announcements;
        assert_eq!(heard.len(), 1, "{heard:?}");
        let expected = format!("Sorry Person {n}, <nobody> is here & now.");
        assert_eq!((&heard[0].content, heard[0].is_whole), (&expected, true));
    }
    world.end().await;
}

// proves F-36
pub async fn a_callee_whose_agent_is_lost_is_hung_up_on_where_there_is_no_sentence(
    place: Arc<Place>,
) {
    let faults = Faults {
        agent_crashes: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = json!({
        "retry": {"maxAttempts": 1}, "silentLimit": any_silence(),
        "silence": {"firstWordsSeconds": 6, "sentence": null},
    });
    let campaign = world.start_campaign(&list(0..1), settings).await;
    world.until_status(&campaign, "completed").await;
    let calls = world.calls(&campaign).await;
    assert!(calls[0]["agentFailure"].is_string(), "{calls:?}");
    assert_eq!(world.ledger().calls[0].announcements.len(), 0);
    world.end().await;
}
