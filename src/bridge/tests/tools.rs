//! What an agent asks for in the middle of a call.

use super::*;

fn tool(tool: Tool) -> ToolCall {
    ToolCall {
        id: "tc_1".to_owned(),
        tool,
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_the_call_is_heard_to_its_last_word() {
    let mut scene = start_ready().await;
    let began = Instant::now();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    scene.uses(tool(Tool::EndCall)).await;
    assert!(!scene.answer().await.is_error);
    // Speech may come behind the wish that it belongs before.
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    let mark = loop {
        match scene.next_but_speech().await.1 {
            Some(ToCallee::Mark(name)) if name.ends_with(".2") => break name,
            Some(_) => {}
            None => panic!("no mark behind the last words"),
        }
    };
    sleep(2 * SECOND).await;
    assert!(!scene.call.is_finished(), "its words are being played");
    scene.callee.send(FromCallee::Mark(mark)).await.unwrap();
    let end = scene.end().await;
    assert_eq!((end.by, end.detail), (Some(Party::Agent), None));
    let took = began.elapsed();
    assert!((2 * SECOND..4 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_the_call_ends_it_though_no_mark_comes_and_it_breaks_off() {
    let mut scene = start_ready().await;
    let began = Instant::now();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    scene.uses(tool(Tool::EndCall)).await;
    scene.uses(tool(Tool::EndCall)).await;
    let failed = AgentEnd::Failed {
        detail: "gone".to_owned(),
    };
    scene.agent.send(AgentEvent::Ended(failed)).await.unwrap();
    let end = scene.end().await;
    assert_eq!((end.by, end.detail), (Some(Party::Agent), None));
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_transfer_is_asked_for_once_the_agents_words_were_heard() {
    let mut scene = start_ready().await;
    let began = Instant::now();
    scene.agent.send(spoken(1, SECOND)).await.unwrap();
    assert_eq!(scene.events.recv().await, Some(BridgeEvent::FirstAudio));
    let wish = tool(Tool::TransferToHuman);
    scene.uses(wish.clone()).await;
    scene.uses(wish.clone()).await;
    assert!(scene.answer().await.is_error, "one at a time");
    assert_eq!(
        scene.events.recv().await,
        Some(BridgeEvent::ToolUsed(wish.clone()))
    );
    assert!(began.elapsed() >= SECOND, "{:?}", began.elapsed());
    let refused = wish.refused("nobody can be reached");
    scene.answers.send(refused.clone()).await.unwrap();
    assert_eq!(scene.answer().await, refused);
    assert!(!scene.call.is_finished(), "the agent goes on");
    scene.callee.send(FromCallee::Stopped).await.unwrap();
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}

#[tokio::test(start_paused = true)]
async fn tools_are_told_in_their_order_and_unknown_ones_are_answered_at_once() {
    let mut scene = start_ready().await;
    let read = |name: &str| {
        let parameters = serde_json::json!({"disposition": "interested"});
        ToolCall::read(format!("tc_{name}"), name, &parameters)
    };
    let names = ["set_disposition", "look up", "schedule_callback"];
    let used = AgentEvent::ToolsUsed(names.map(read).to_vec());
    scene.agent.send(used).await.unwrap();
    for name in ["look up", "schedule_callback"] {
        let answer = scene.answer().await;
        assert_eq!((answer.tool.as_str(), answer.is_error), (name, true));
    }
    assert_eq!(
        scene.events.recv().await,
        Some(BridgeEvent::ToolUsed(read("set_disposition").unwrap()))
    );
    scene.stop.cancel();
    scene.end().await;
}
