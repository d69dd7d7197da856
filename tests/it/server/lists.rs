//! Lists: every row is accounted for, and what cannot be used is refused in words.

use std::sync::Arc;

use reqwest::multipart;
use serde_json::{Value, json};

use crate::world::{Place, Scenario, World, list, person};

/// A form that leaves the campaign a draft.
const DRAFT: (&str, &str) = ("start", "false");

async fn n_campaigns(world: &World) -> Value {
    world.owner.get("/campaigns").await.ok()["total"].clone()
}

// proves F-46, F-48
pub async fn every_row_is_accepted_a_duplicate_or_rejected_with_its_reason(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let csv = format!(
        "name,phone,city\nAnn,{},Bonn\nBen,(202) 555-0001,Köln\nCid,12,Ulm\nDan,,Jena\n\
         Eve,6.14E+10,Kiel\nFay,{},Trier\n",
        person(1),
        person(2)
    );
    let created = world.owner.upload(&csv, &json!({}), &[DRAFT]).await.ok();
    let import = &created["import"];
    assert_eq!(import["status"], "finished");
    let figure = |name: &str| import[name].as_u64().unwrap();
    assert_eq!(figure("rows"), 6);
    assert_eq!(figure("accepted"), 2);
    assert_eq!(figure("duplicates"), 1);
    assert_eq!(figure("rejected"), 3);
    assert_eq!(created["campaign"]["progress"]["enrolled"], 2);

    let id = import["id"].as_str().unwrap();
    let rejected = world
        .owner
        .get(&format!("/imports/{id}/rejected"))
        .await
        .ok();
    let reasons: Vec<_> = rejected["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), row["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [
            (3, "duplicateInFile"),
            (4, "phoneInvalid"),
            (5, "phoneMissing"),
            (6, "phoneScientificNotation"),
        ]
    );
    assert_eq!(
        world.owner.get(&format!("/imports/{id}")).await.ok(),
        *import
    );
    world.end().await;
}

// proves F-48
pub async fn people_who_are_added_twice_are_counted_as_duplicates(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let created = world
        .owner
        .upload(&list(1..4), &json!({}), &[DRAFT])
        .await
        .ok();
    let path = format!(
        "/campaigns/{}/contacts",
        created["campaign"]["id"].as_str().unwrap()
    );
    let again = json!({"contacts": [
        {"phone": person(1)}, {"phone": "202-555-0002", "name": "B"}, {"phone": person(9)},
        {"phone": "nonsense"}, {"phone": person(8), "timeZone": "Middle Earth"},
    ]});
    let added = world.owner.post(&path, &again).await.ok();
    assert_eq!(added["accepted"], 1);
    assert_eq!(added["duplicates"], 2);
    assert_eq!(added["rejected"][0]["index"], 3);
    assert_eq!(added["rejected"][1]["code"], "zoneUnknown");
    let once_more = world.owner.post(&path, &again).await.ok();
    assert_eq!(once_more["accepted"], 0);
    assert_eq!(once_more["duplicates"], 3);
    assert_eq!(world.owner.get(&path).await.ok()["total"], 4);
    world.end().await;
}

// proves F-89
pub async fn rejected_rows_are_given_back_without_formulas(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let csv = format!(
        "name,phone,city\n=1+1,nonsense,@SUM(A1)\n-2+3,also,+cmd|' /C calc'!A0\nAnn,{},Bonn\n",
        person(1)
    );
    let created = world.owner.upload(&csv, &json!({}), &[DRAFT]).await.ok();
    let id = created["import"]["id"].as_str().unwrap();
    let file = world
        .owner
        .get(&format!("/imports/{id}/rejected.csv"))
        .await;
    assert_eq!(file.content_type, "text/csv; charset=utf-8");
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(file.text.as_bytes());
    let rows: Vec<Vec<String>> = reader
        .records()
        .map(|row| row.unwrap().iter().skip(3).map(str::to_owned).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["'=1+1", "nonsense", "'@SUM(A1)"],
            ["'-2+3", "also", "'+cmd|' /C calc'!A0"],
        ]
    );
    world.end().await;
}

// proves F-44, F-45, F-49
pub async fn a_list_that_cannot_be_read_is_refused_and_nothing_is_created(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    for (csv, code) in [
        ("", "listEmpty"),
        ("name,city\nAnn,Bonn\n", "listNoPhoneColumn"),
        ("name,phone\n\"Ann,+12025550001\n", "listUnclosedQuote"),
    ] {
        let texts = [("prompt", ""), ("firstMessage", ""), DRAFT];
        let problem = world.owner.upload(csv, &json!({}), &texts).await;
        if code == "listUnclosedQuote" {
            // Found only while rows are read: the campaign stays, and is not started.
            let problem = problem.refused(422, "listBroken");
            assert!(problem["campaignId"].is_string(), "{problem}");
        } else {
            problem.refused(422, code);
        }
    }
    assert_eq!(n_campaigns(&world).await, 1);
    // One line of 8 MiB stands for a file without line ends.
    let endless = "x".repeat(8 * 1024 * 1024);
    world
        .owner
        .upload(&endless, &json!({}), &[DRAFT])
        .await
        .refused(422, "listRowTooLong");
    let header = format!("phone,name\n{endless}");
    let texts = [("prompt", ""), ("firstMessage", ""), DRAFT];
    world
        .owner
        .upload(&header, &json!({}), &texts)
        .await
        .refused(422, "listBroken");
    world.end().await;
}

// proves F-43
pub async fn a_text_that_names_a_missing_column_is_refused_before_anybody_is_called(
    place: Arc<Place>,
) {
    let world = Scenario::on(&place).start().await;
    let parts = [("prompt", "Speak of the {{loan}}.")];
    let problem = world.owner.upload(&list(1..3), &json!({}), &parts).await;
    let problem = problem.refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/prompt");
    assert_eq!(problem["errors"][0]["code"], "unknownColumn");
    assert_eq!(n_campaigns(&world).await, 0);
    assert_eq!(world.ledger().totals.calls_created, 0);
    world.end().await;
}

// proves F-51
pub async fn a_form_with_a_part_or_setting_that_nobody_knows_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let unknown = world
        .owner
        .upload(&list(1..3), &json!({}), &[("promt", "x")])
        .await;
    let unknown = unknown.refused(422, "invalid");
    assert_eq!(unknown["errors"][0]["pointer"], "/promt");
    let setting = world
        .owner
        .upload(&list(1..3), &json!({"maxConcurrent": 5}), &[])
        .await;
    assert_eq!(
        setting.refused(422, "invalid")["errors"][0]["pointer"],
        "/settings"
    );
    let mapping = [("mapping", r#"{"phone": "Fax"}"#)];
    let column = world.owner.upload(&list(1..3), &json!({}), &mapping).await;
    column.refused(422, "listNoSuchColumn");
    let form = multipart::Form::new().text("name", "No list");
    let missing = world.owner.post_form(form).await.refused(422, "invalid");
    assert_eq!(missing["errors"][0]["pointer"], "/file");
    assert_eq!(n_campaigns(&world).await, 0);
    world.end().await;
}

// proves F-49
pub async fn an_upload_above_the_limit_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .setting("DIALTONE_MAX_UPLOAD_MB", 1)
        .start()
        .await;
    let large = format!("phone\n{}", "+12025550001\n".repeat(100_000));
    let refused = world
        .owner
        .upload(&large, &json!({}), &[("prompt", ""), DRAFT])
        .await;
    assert_eq!(refused.status.as_u16(), 413, "{}", refused.text);
    assert_eq!(n_campaigns(&world).await, 0);
    world.end().await;
}
