//! Uploaded lists of those who must not be contacted.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, person};

const IMPORT: &str = "/suppressions/import";

fn counts(answer: &Value) -> [u64; 4] {
    ["rows", "added", "known", "rejected"].map(|name| answer[name].as_u64().unwrap())
}

async fn n_entries(world: &World) -> u64 {
    let entries = world.owner.get("/suppressions?limit=1").await.ok();
    entries["total"].as_u64().unwrap()
}

pub async fn a_list_is_added_once_and_what_is_wrong_with_it_is_named(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let csv = format!(
        "E-Mail;Phone;Reason;Date\nAnn@Example.com;(202) 555-0001;\"wrote; twice\";2026-03-31\n\
         ;{};;\nben@example.com;12;;\n;;nobody;\nann@example.com;{};;soon\n",
        person(2),
        person(1)
    );
    let path = format!("{IMPORT}?reason=from%20the%20old%20system");
    let answer = world.owner.post_csv(&path, &csv).await.ok();
    assert_eq!(counts(&answer), [5, 4, 2, 2], "{answer}");
    let rejected: Vec<_> = answer["rejectedRows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), row["code"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(4, "phoneInvalid"), (5, "namesNobody")]);

    let entries = world.owner.all("/suppressions").await;
    let of = |field: &str, value: &str| {
        let found = entries.iter().find(|entry| entry[field] == value);
        found.unwrap_or_else(|| panic!("{value} is not in {entries:?}"))
    };
    let ann = of("email", "ann@example.com");
    assert_eq!(ann["reason"], "wrote; twice");
    assert_eq!(ann["at"], "2026-03-31T00:00:00Z");
    assert_eq!(
        (&ann["source"], &ann["scope"]),
        (&json!("import"), &json!("all"))
    );
    assert_eq!(of("phone", &person(2))["reason"], "from the old system");
    of("email", "ben@example.com");

    // The same list again changes nothing, in whatever way it comes.
    let again = world.owner.post_csv_form(IMPORT, "file", &csv).await.ok();
    assert_eq!(counts(&again), [5, 0, 6, 2], "{again}");
    assert_eq!(world.owner.all("/suppressions").await, entries);
    world.end().await;
}

// proves F-50
pub async fn nobody_on_an_uploaded_list_is_called_whatever_is_uploaded_next(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    // Numbers alone, without a header.
    let csv = format!("{}\n(202) 555-0002\n", person(1));
    let added = world.owner.post_csv(IMPORT, &csv).await.ok();
    assert_eq!(counts(&added), [2, 2, 0, 0]);
    let only_texts = format!("{IMPORT}?scope=sms");
    let added = world.owner.post_csv(&only_texts, &person(3)).await.ok();
    assert_eq!(counts(&added), [1, 1, 0, 0]);
    for _ in 0..2 {
        let agreed = format!(
            "name,phone,city,consent\nAnn,{},Bonn,written\nBen,{},Ulm,yes\nCid,{},Jena,yes\n",
            person(1),
            person(2),
            person(3)
        );
        let campaign = world.start_campaign(&agreed, json!({})).await;
        world.until_status(&campaign, "completed").await;
    }
    let ledger = world.ledger();
    let called = |n: u32| {
        ledger
            .calls
            .iter()
            .filter(|call| call.to == person(n))
            .count()
    };
    assert_eq!([1, 2, 3].map(called), [0, 0, 2]);
    assert_eq!(n_entries(&world).await, 3);
    world.end().await;
}

pub async fn what_is_no_list_is_refused_and_nobody_is_added(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .setting("DIALTONE_MAX_UPLOAD_MB", 1)
        .start()
        .await;
    let owner = &world.owner;
    let unknown = "name,city\nAnn,Bonn\n";
    owner
        .post_csv(IMPORT, unknown)
        .await
        .refused(422, "listNamesNobody");
    owner.post_csv(IMPORT, "").await.refused(422, "listEmpty");
    let json = json!({"phones": []});
    owner.post(IMPORT, &json).await.refused(415, "notCsv");
    let other = owner.post_csv_form(IMPORT, "list", &person(1)).await;
    other.refused(422, "invalid");
    for wrong in ["scope=fax", "region=Atlantis", "color=red"] {
        let path = format!("{IMPORT}?{wrong}");
        owner
            .post_csv(&path, &person(1))
            .await
            .refused(422, "invalid");
    }
    let long = format!("{}\n", person(1)).repeat(100_000);
    owner.post_csv(IMPORT, &long).await.refused(413, "tooLarge");
    assert_eq!(n_entries(&world).await, 0);
    world.end().await;
}

pub async fn a_long_list_is_added_whole_and_once(place: Arc<Place>) {
    const ROWS: u64 = 100_000;
    let world = Scenario::on(&place).start().await;
    let number = |n: u64| format!("+1202{:03}{:04}\n", 220 + n / 10_000, n % 10_000);
    let csv: String = (0..ROWS).map(number).collect();
    let added = world.owner.post_csv(IMPORT, &csv).await.ok();
    assert_eq!(
        counts(&added),
        [ROWS, ROWS, 0, 0],
        "{}",
        added["rejectedRows"][0]
    );
    assert_eq!(n_entries(&world).await, ROWS);
    let again = world.owner.post_csv(IMPORT, &csv).await.ok();
    assert_eq!(counts(&again), [ROWS, 0, ROWS, 0]);
    assert_eq!(n_entries(&world).await, ROWS);
    world.end().await;
}
