//! What the dialer's TwiML makes a call do.

use axum::http::StatusCode;
use dialtone::sim::Behaviour;

use super::dialer::{ANNA, World, callee};

#[tokio::test]
async fn instructions_that_fail_are_fetched_from_the_fallback() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    let (broken, fallback) = (world.hook_url("broken"), world.hook_url("voice"));
    let form = [
        ("To", ANNA),
        ("From", "+15005550006"),
        ("Url", &*broken),
        ("FallbackUrl", &*fallback),
    ];
    world.post(&world.calls_url(), &form).await;
    let hook = world.next_hook("voice").await;
    assert_eq!(
        (hook.field("ErrorCode"), hook.field("ErrorUrl")),
        ("11200", &*broken)
    );
    assert_eq!(world.simulator.ledger().n_alerts(11200), 1);
    world.end().await;
}

#[tokio::test]
async fn an_answering_machine_is_recognised() {
    let mut world = World::start(callee(Behaviour::Machine)).await;
    let verdict = world.hook_url("amd");
    let detection = [
        ("MachineDetection", "Enable"),
        ("AsyncAmd", "true"),
        ("AsyncAmdStatusCallback", &*verdict),
    ];
    world.order(ANNA, &detection).await;
    assert_eq!(
        world.next_hook("amd").await.field("AnsweredBy"),
        "machine_start"
    );
    world.end().await;
}

#[tokio::test]
async fn a_verb_that_is_not_simulated_ends_the_call_with_an_alert() {
    let twiml = "<Response><Gather/></Response>";
    let mut world = World::start_with_twiml(callee(Behaviour::Converses), twiml).await;
    world.dial(ANNA).await;
    let hooks = world.statuses_to_the_end().await;
    assert_eq!(hooks.last().unwrap().field("CallStatus"), "completed");
    assert_eq!(world.simulator.ledger().n_alerts(12200), 1);
    world.end().await;
}

#[tokio::test]
async fn a_redirect_leaves_the_stream_for_new_instructions() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    let sid = world.dial(ANNA).await;
    world.next_event("media").await;
    let next = world.hook_url("voice");
    let (status, _) = world.post(&world.call_url(&sid), &[("Url", &next)]).await;
    assert_eq!(status, StatusCode::OK);
    world.next_event("stop").await;
    let start = world.next_event("start").await;
    assert_eq!(start["sequenceNumber"], "1");
    world.end().await;
}

#[tokio::test]
async fn a_verdict_that_instructions_depend_on_comes_with_their_request() {
    let mut world = World::start(callee(Behaviour::Converses)).await;
    world.order(ANNA, &[("MachineDetection", "Enable")]).await;
    assert_eq!(world.next_hook("voice").await.field("AnsweredBy"), "human");
    world.end().await;
}

#[tokio::test]
async fn a_second_person_is_dialed_and_the_outcome_told_to_a_relative_address() {
    let twiml = "<Response><Dial action=\"after?leg=1\">+15005550102</Dial></Response>";
    let mut world = World::start_with_twiml(callee(Behaviour::Converses), twiml).await;
    world.dial(ANNA).await;
    let outcome = world.next_hook("after").await;
    assert_eq!(outcome.field("DialCallStatus"), "completed");
    assert_eq!(outcome.field("DialBridged"), "true");
    world.end().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_opened_is_reported_and_the_next_verb_runs() {
    let twiml = r#"<Response><Connect>
        <Stream url="ws://{address}/nowhere" statusCallback="http://{address}/hook/stream"/>
        </Connect><Redirect>/hook/after</Redirect></Response>"#;
    let mut world = World::start_with_twiml(callee(Behaviour::Converses), twiml).await;
    let sid = world.dial(ANNA).await;
    let (mut is_reported, mut is_continued) = (false, false);
    while !(is_reported && is_continued) {
        let hook = world.next_any_hook().await;
        assert_eq!(hook.field("CallSid"), sid);
        is_continued |= hook.path == "/hook/after";
        if hook.path == "/hook/stream" {
            assert_eq!(hook.field("StreamEvent"), "stream-error");
            assert!(hook.field("StreamError").starts_with("31920"));
            is_reported = true;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn a_call_ends_at_its_time_limit() {
    let twiml = "<Response><Pause length=\"600\"/></Response>";
    let mut world = World::start_with_twiml(callee(Behaviour::Converses), twiml).await;
    world.order(ANNA, &[("TimeLimit", "1")]).await;
    let last = world.statuses_to_the_end().await.pop().unwrap();
    assert_eq!(last.field("CallStatus"), "completed");
    let seconds: u32 = last.field("CallDuration").parse().unwrap();
    assert!((1..=4).contains(&seconds), "{seconds}");
    assert_eq!(world.simulator.ledger().n_alerts(32015), 1);
    world.end().await;
}
