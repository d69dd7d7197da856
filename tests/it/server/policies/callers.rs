//! From which number people are called.

use super::*;

pub async fn a_number_rests_between_its_calls(place: Arc<Place>) {
    let own = ["+15005550006", "+15005550007"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let pool = json!({"callerIds": {"numbers": own, "coolingSeconds": 3600}});
    let campaign = world.start_campaign(&list(0..5), once(pool)).await;
    until_held(&world, &campaign, "callerId", 3).await;
    world.until_progress(&campaign, "finished", 2).await;
    let once_each = own.clone().map(|number| (number, 1));
    assert_eq!(by_caller(&world.ledger()), once_each);

    // Whom a number kept waiting is called as soon as it need not rest for so long.
    let pool = json!({"callerIds": {"numbers": [own[0]], "coolingSeconds": 2}});
    change(&world, &campaign, pool).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    let expected = [(own[0].clone(), 4), (own[1].clone(), 1)];
    assert_eq!(by_caller(&ledger), expected);
    let calls = world.calls(&campaign).await;
    let of_first = calls.iter().filter(|call| call["from"] == own[0].as_str());
    let starts = of_first.map(|call| call["dialAt"].as_str().unwrap());
    let mut starts: Vec<Timestamp> = starts.map(|at| at.parse().unwrap()).collect();
    starts.sort();
    for pair in starts.windows(2) {
        let rest = pair[1].duration_since(pair[0]).unsigned_abs();
        assert!(rest >= Duration::from_secs(2), "{starts:?}");
    }
    world.end().await;
}

/// The versions of those who wait.
async fn waiting_versions(world: &World, campaign: &str) -> Vec<u64> {
    let filter = EnrollmentFilter {
        state: Some("waiting".to_owned()),
    };
    let (id, page) = (campaign.parse().unwrap(), PageRequest::first(500));
    let found = world
        .store
        .list_enrollments(TenantId::DEFAULT, id, &filter, &page);
    let found = found.await.unwrap().items;
    found.iter().map(|enrollment| enrollment.version).collect()
}

pub async fn nobody_is_touched_who_waits_for_a_number(place: Arc<Place>) {
    const PEOPLE: usize = 100;
    let world = Scenario::on(&place).everyone(Busy).start().await;
    let own = world.simulator.config().numbers[0].clone();
    let pool = json!({"callerIds": {"numbers": [own], "coolingSeconds": 3600}});
    let people = list(0..u32::try_from(PEOPLE).unwrap());
    let campaign = draft(&world, &people, once(pool)).await;
    let as_enrolled = waiting_versions(&world, &campaign).await;
    assert_eq!(as_enrolled.len(), PEOPLE);
    ask(&world, &campaign, "start").await;
    world.until_progress(&campaign, "finished", 1).await;
    until_held(&world, &campaign, "callerId", PEOPLE as u64 - 1).await;
    // Rounds of dispatch go by.
    watch_for(Duration::from_secs(2)).await;
    let waiting = waiting_versions(&world, &campaign).await;
    assert_eq!(waiting, as_enrolled[1..], "whoever waits is as enrolled");
    assert_eq!(world.ledger().calls.len(), 1);
    let explained = explain(&world, &campaign, &person(50)).await;
    assert_eq!(explained["decidedBy"], "callerId", "{explained}");

    change(&world, &campaign, json!({ "callerIds": null })).await;
    world.until_status(&campaign, "completed").await;
    assert_eq!(world.ledger().calls.len(), PEOPLE);
    world.end().await;
}

pub async fn callees_see_the_number_that_is_most_like_theirs(place: Arc<Place>) {
    let own = ["+13125550100", "+12025550100", "+442079460018"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let people = [person(1), londoner(1), "+13125550111".to_owned(), person(2)];
    let mut csv = "name,phone,city\n".to_owned();
    for phone in &people {
        csv += &format!("Somebody,{phone},Town\n");
    }
    let pool = json!({"callerIds": {"numbers": own, "choice": "localPresence"}});
    let campaign = world.start_campaign(&csv, once(pool)).await;
    world.until_status(&campaign, "completed").await;
    let ledger = world.ledger();
    let from: BTreeMap<&str, &str> = ledger
        .calls
        .iter()
        .map(|call| (call.to.as_str(), call.from.as_str()))
        .collect();
    let seen = people.each_ref().map(|phone| from[phone.as_str()]);
    assert_eq!(
        seen,
        [&own[1], &own[2], &own[0], &own[1]].map(String::as_str)
    );
    world.end().await;
}

/// How many calls came from each number.
fn by_caller(ledger: &LedgerSnapshot) -> Vec<(String, u32)> {
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for call in &ledger.calls {
        *counts.entry(call.from.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

pub async fn numbers_take_turns_and_each_makes_its_calls_of_a_day_and_no_more(place: Arc<Place>) {
    let own = ["+15005550006", "+15005550007", "+15005550008"].map(str::to_owned);
    let world = Scenario::on(&place)
        .everyone(Busy)
        .simulator(|simulator| simulator.numbers = own.to_vec())
        .start()
        .await;
    let all = world.start_campaign(&list(0..9), once(json!({}))).await;
    world.until_status(&all, "completed").await;
    let evenly = own.clone().map(|number| (number, 3));
    assert_eq!(by_caller(&world.ledger()), evenly);

    // The first has made three calls today, and may make two more.
    let pool = json!({"callerIds": {"numbers": [own[0]], "perDay": 5}});
    let suppressed: Vec<Suppression> = (10..20).map(suppression).collect();
    let engine = &world.app.engine;
    engine
        .suppress(TenantId::DEFAULT, suppressed)
        .await
        .unwrap();
    let few = world.start_campaign(&list(10..24), once(pool)).await;
    until_held(&world, &few, "callerId", 2).await;
    world.until_progress(&few, "finished", 12).await;
    let ledger = world.ledger();
    let expected = [
        (own[0].clone(), 5),
        (own[1].clone(), 3),
        (own[2].clone(), 3),
    ];
    assert_eq!(by_caller(&ledger), expected);
    let found = diagnosis(&world, &few).await;
    assert_eq!(found["finished"], json!({"busy": 2, "none": 10}), "{found}");
    world.end().await;
}
