//! What stands a campaign still, or a part of it.

use super::*;

fn refusing(beginning: &str, code: u32) -> Faults {
    Faults {
        create_refused: BTreeMap::from([(beginning.to_owned(), code)]),
        ..Faults::default()
    }
}

pub async fn a_network_that_connects_no_call_pauses_the_campaign_until_it_is_resumed(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 32016))
        .start()
        .await;
    let settings = once(json!({"maxConcurrentCalls": 2, "callsPerSecond": 20.0}));
    let campaign = world.start_campaign(&list(0..30), settings).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    world.until_progress(&campaign, "open", 0).await;
    let n_asked = n_requests(&world.ledger(), "+1202");
    assert!((10..=14).contains(&n_asked), "{n_asked} were tried");
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"failed": n_asked}));

    world.simulator.set_faults(Faults::default());
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 30 - n_asked as usize);
    world.end().await;
}

pub async fn calls_of_the_erased_count_when_a_network_connects_none(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 32016))
        .start()
        .await;
    let settings = once(json!({"maxConcurrentCalls": 1, "callDelayMs": 400}));
    let campaign = world.start_campaign(&list(0..30), settings).await;
    let contacts = format!("/campaigns/{campaign}/contacts");
    let mut n_erased = 0;
    let last = until("the end of the calls", async || {
        for contact in world.owner.all(&contacts).await {
            if contact["state"] == "finished" && contact["phone"] != "erased" {
                let whom = json!({"phone": contact["phone"]});
                world.owner.post("/contacts/erase", &whom).await.ok();
                n_erased += 1;
            }
        }
        let campaign = world.owner.get(&format!("/campaigns/{campaign}")).await;
        let campaign = campaign.ok();
        (campaign["status"] != "active").then_some(campaign)
    })
    .await;
    assert_eq!(last["status"], "paused", "{n_erased} were erased: {last}");
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    assert!(n_erased > 0);
    world.until_progress(&campaign, "open", 0).await;
    ask(&world, &campaign, "stop").await;
    world.end().await;
}

// proves F-03
pub async fn a_carrier_that_answers_no_request_pauses_the_campaign_and_ends_nobody(
    place: Arc<Place>,
) {
    let failing = Faults {
        create_fails: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(failing)
        .impatient()
        .start()
        .await;
    let campaign = world.start_campaign(&list(0..40), once(json!({}))).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::CarrierFailures));
    // First the requests that are still under way: one that is made later would be answered.
    world.until_progress(&campaign, "open", 0).await;
    world.simulator.set_faults(Faults::default());
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({}), "{found}");
    assert_eq!(world.ledger().calls.len(), 0);
    ask(&world, &campaign, "resume").await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), 40);
    world.end().await;
}

// proves F-35
pub async fn an_agent_that_fails_for_most_pauses_the_campaign(place: Arc<Place>) {
    let faults = Faults {
        agent_refuses: 0.75,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = once(json!({
        "maxConcurrentCalls": 2,
        "silentLimit": {"warnPermille": 1000, "stopPermille": 1000, "leastAnswered": 1000},
    }));
    let campaign = world.start_campaign(&list(0..24), settings).await;
    let paused = world.until_status(&campaign, "paused").await;
    let status = stored(&world, &campaign).await.status;
    let is_agents = matches!(
        status,
        CampaignStatus::Paused(
            PauseReason::Agent { .. }
                | PauseReason::Brake {
                    brake: Brake::AgentFailures,
                    ..
                }
        )
    );
    assert!(is_agents, "{paused}");
    world.until_progress(&campaign, "open", 0).await;
    assert!(world.ledger().calls.len() <= 12);
    world.end().await;
}

// proves F-73
pub async fn people_who_hear_nobody_pause_the_campaign_at_the_limit(place: Arc<Place>) {
    let faults = Faults {
        agent_refuses: 1.0,
        ..Faults::default()
    };
    let world = Scenario::on(&place).faults(faults).start().await;
    let settings = once(json!({
        "maxConcurrentCalls": 1,
        "silentLimit": {"warnPermille": 500, "stopPermille": 1000, "leastAnswered": 2},
    }));
    let campaign = world.start_campaign(&list(0..6), settings).await;
    world.until_status(&campaign, "paused").await;
    assert_eq!(brake(&world, &campaign).await, Some(Brake::SilentCalls));
    world.until_progress(&campaign, "open", 0).await;
    let n_calls = world.ledger().calls.len();
    assert!((2..=3).contains(&n_calls), "{n_calls}");

    // A call that the pause took back is made again, so calls are no measure of who is through.
    let path = format!("/campaigns/{campaign}/progress");
    let progress = world.owner.get(&path).await.ok();
    let n_finished = progress["finished"].as_u64().unwrap();
    // Whoever resumes has seen them: one more is no two of the limit. It is alone for a while.
    change(&world, &campaign, json!({"callDelayMs": 20_000})).await;
    ask(&world, &campaign, "resume").await;
    world
        .until_progress(&campaign, "finished", n_finished + 1)
        .await;
    world.simulator.set_faults(Faults::default());
    change(&world, &campaign, json!({"callDelayMs": 0})).await;
    world.until_status(&campaign, "completed").await;
    world.end().await;
}

// proves F-22, F-67
pub async fn a_country_that_is_not_enabled_is_left_alone_and_the_others_are_called(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+44", 21215))
        .start()
        .await;
    let mut people = "name,phone,city\n".to_owned();
    for n in 0..12 {
        people += &format!("Londoner {n},{},London\n", londoner(n));
        people += &format!("Person {n},{},Town {n}\n", person(n));
    }
    let settings = once(json!({"callsPerSecond": 5.0}));
    let campaign = world.start_campaign(&people, settings).await;
    world.until_progress(&campaign, "finished", 12).await;
    until_held(&world, &campaign, "destination", 12).await;
    let ledger = world.ledger();
    assert_eq!(n_requests(&ledger, "+1202"), 12);
    let n_refused = n_requests(&ledger, "+44");
    assert!((1..=3).contains(&n_refused), "{n_refused}");
    let found = diagnosis(&world, &campaign).await;
    assert_eq!(found["finished"], json!({"busy": 12}), "{found}");
    assert_eq!(found["status"], "active");
    let explained = explain(&world, &campaign, &londoner(3)).await;
    assert_eq!(explained["decidedBy"], "destination", "{explained}");
    world.end().await;
}

// proves F-23
pub async fn a_code_that_hits_every_number_is_the_accounts_and_ends_nobody(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .everyone(Busy)
        .faults(refusing("+1202", 21216))
        .start()
        .await;
    for (people, settings, most) in [
        (0..12, json!({"callDelayMs": 1_500}), 5),
        (20..50, json!({"callsPerSecond": 50.0}), 30),
    ] {
        let before = n_requests(&world.ledger(), "+1202");
        let n = people.len();
        let campaign = world.start_campaign(&list(people), once(settings)).await;
        let paused = world.until_status(&campaign, "paused").await;
        let reason = paused["reason"].as_str().unwrap();
        assert!(reason.contains("account"), "{reason}");
        until("everybody given back", async || {
            let path = format!("/campaigns/{campaign}/progress");
            let progress = world.owner.get(&path).await.ok();
            (progress["open"] == 0 && progress["finished"] == 0).then_some(())
        })
        .await;
        let n_asked = n_requests(&world.ledger(), "+1202") - before;
        assert!((5..=most).contains(&n_asked), "{n_asked} were tried");
        let found = diagnosis(&world, &campaign).await;
        assert_eq!(found["waiting"][0]["count"], n, "{found}");
    }
    world.simulator.set_faults(Faults::default());
    for campaign in world.owner.all("/campaigns").await {
        let id = campaign["id"].as_str().unwrap();
        ask(&world, id, "resume").await;
        world.until_status(id, "completed").await;
    }
    assert_eq!(world.ledger().calls.len(), 42);
    world.end().await;
}
