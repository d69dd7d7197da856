//! The account itself: status, balance and the numbers it owns. Read only.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, Query, State},
};
use serde_json::{Value, json};

use super::{
    call::{phone_number_sid, rfc_2822},
    error::Refusal,
    fields::Fields,
    number,
};
use crate::sim::simulation::Simulation;

/// `GET Accounts/{sid}.json`.
pub async fn show_account(
    State(simulation): State<Arc<Simulation>>,
    OriginalUri(uri): OriginalUri,
) -> Result<Json<Value>, Refusal> {
    if !uri.path().ends_with(".json") {
        return Err(Refusal::not_found(uri.path()));
    }
    let sid = &simulation.config.account_sid;
    let now = rfc_2822(simulation.now());
    Ok(Json(json!({
        "sid": sid,
        "owner_account_sid": sid,
        "friendly_name": "Simulated account",
        "status": "active",
        "type": "Full",
        "auth_token": simulation.config.auth_token,
        "date_created": now,
        "date_updated": now,
        "uri": uri.path(),
        "subresource_uris": {},
    })))
}

/// `GET Balance.json`.
pub async fn show_balance(State(simulation): State<Arc<Simulation>>) -> Json<Value> {
    Json(json!({
        "account_sid": simulation.config.account_sid,
        "balance": simulation.config.account_balance_usd,
        "currency": "USD",
    }))
}

/// `GET IncomingPhoneNumbers.json`, with the `PhoneNumber` filter; always one page.
pub async fn list_numbers(
    State(simulation): State<Arc<Simulation>>,
    OriginalUri(uri): OriginalUri,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Json<Value> {
    let fields = Fields(pairs);
    let wanted = fields.get("PhoneNumber");
    let numbers: Vec<_> = simulation
        .config
        .numbers
        .iter()
        .filter(|number| wanted.is_none_or(|wanted| wanted == number.as_str()))
        .map(|number| owned_number(&simulation.config.account_sid, number))
        .collect();
    let whole = uri
        .path_and_query()
        .map_or(uri.path(), |whole| whole.as_str());
    Json(json!({
        "end": numbers.len().saturating_sub(1),
        "incoming_phone_numbers": numbers,
        "page": 0,
        "page_size": 50,
        "start": 0,
        "first_page_uri": whole,
        "next_page_uri": null,
        "previous_page_uri": null,
        "uri": whole,
    }))
}

fn owned_number(account_sid: &str, phone_number: &str) -> Value {
    let sid = phone_number_sid(phone_number);
    json!({
        "sid": sid,
        "account_sid": account_sid,
        "phone_number": phone_number,
        "friendly_name": number::formatted(phone_number),
        "capabilities": {"voice": true, "sms": true, "mms": false, "fax": false},
        "voice_url": "",
        "voice_method": "POST",
        "status_callback": "",
        "status": "in-use",
        "origin": "twilio",
        "address_requirements": "none",
        "beta": false,
        "uri": format!("/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers/{sid}.json"),
    })
}
