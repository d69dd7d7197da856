//! The API's description, and the routes that it describes.

use std::sync::Arc;

use dialtone::sim::Behaviour::NoAnswer;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Client, Place, Scenario, World, list};

/// Every route that is described; a route that is added belongs here.
const ROUTES: &[&str] = &[
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/logout",
    "GET /api/v1/auth/me",
    "GET /api/v1/calls",
    "GET /api/v1/calls/{id}",
    "GET /api/v1/calls/{id}/agent-recording",
    "POST /api/v1/calls/{id}/hangup",
    "POST /api/v1/calls/{id}/hint",
    "GET /api/v1/calls/{id}/listen",
    "POST /api/v1/calls/{id}/mute",
    "GET /api/v1/calls/{id}/recording",
    "POST /api/v1/calls/{id}/transfer",
    "POST /api/v1/calls/{id}/unmute",
    "GET /api/v1/campaigns",
    "POST /api/v1/campaigns",
    "GET /api/v1/campaigns/active",
    "POST /api/v1/campaigns/start-from-csv",
    "DELETE /api/v1/campaigns/{id}",
    "GET /api/v1/campaigns/{id}",
    "PATCH /api/v1/campaigns/{id}",
    "PUT /api/v1/campaigns/{id}",
    "GET /api/v1/campaigns/{id}/calls",
    "GET /api/v1/campaigns/{id}/contacts",
    "POST /api/v1/campaigns/{id}/contacts",
    "DELETE /api/v1/campaigns/{id}/contacts/{enrollment}",
    "GET /api/v1/campaigns/{id}/contacts/{enrollment}/explain",
    "GET /api/v1/campaigns/{id}/diagnostics",
    "POST /api/v1/campaigns/{id}/duplicate",
    "GET /api/v1/campaigns/{id}/forecast",
    "POST /api/v1/campaigns/{id}/pause",
    "GET /api/v1/campaigns/{id}/progress",
    "POST /api/v1/campaigns/{id}/resume",
    "POST /api/v1/campaigns/{id}/retry-failed",
    "POST /api/v1/campaigns/{id}/start",
    "GET /api/v1/campaigns/{id}/stats",
    "POST /api/v1/campaigns/{id}/stop",
    "POST /api/v1/campaigns/{id}/test-call",
    "POST /api/v1/contacts/erase",
    "POST /api/v1/contacts/{id}/erase",
    "GET /api/v1/contacts/{id}/export",
    "DELETE /api/v1/emergency-stop",
    "GET /api/v1/emergency-stop",
    "POST /api/v1/emergency-stop",
    "GET /api/v1/imports/{id}",
    "GET /api/v1/imports/{id}/rejected",
    "GET /api/v1/imports/{id}/rejected.csv",
    "GET /api/v1/rule-profiles",
    "GET /api/v1/settings/holidays",
    "PUT /api/v1/settings/holidays",
    "GET /api/v1/settings/tools",
    "DELETE /api/v1/settings/tools/{name}",
    "PUT /api/v1/settings/tools/{name}",
    "GET /api/v1/suppressions",
    "POST /api/v1/suppressions",
    "POST /api/v1/suppressions/import",
    "GET /api/v1/suppressions/registers",
    "POST /api/v1/suppressions/{id}/lift",
    "GET /healthz",
    "GET /readyz",
];

/// What the document lists, as `METHOD path`.
pub async fn routes(world: &World) -> Vec<(Method, String)> {
    let document = world.owner.get("/openapi.json").await.ok();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            routes.push((method.to_uppercase().parse().unwrap(), path.clone()));
        }
    }
    routes.sort_by_key(|(method, path): &(Method, String)| (path.clone(), method.to_string()));
    routes
}

pub async fn the_description_lists_the_routes(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let described: Vec<String> = routes(&world)
        .await
        .iter()
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    assert_eq!(described, ROUTES);
    let document = world.owner.get("/openapi.json").await.ok();
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    world.end().await;
}

/// A campaign that nobody is called for, its contact, and what to ask.
struct Draft {
    campaign: String,
    enrollment: String,
    contact: String,
    import: String,
}

impl Draft {
    /// The `n`th draft has people of its own.
    async fn create(owner: &Client, n: u32) -> Self {
        let people = list(100 + 2 * n..102 + 2 * n);
        let created = owner
            .upload(&people, &json!({}), &[("start", "false")])
            .await
            .ok();
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let campaign = id(&created["campaign"]["id"]);
        let contacts = owner.all(&format!("/campaigns/{campaign}/contacts")).await;
        Self {
            enrollment: id(&contacts[0]["enrollmentId"]),
            contact: id(&contacts[0]["contactId"]),
            import: id(&created["import"]["id"]),
            campaign,
        }
    }
}

/// Asks each route for something that fits, on a draft of its own, and expects a success.
pub async fn every_described_route_answers_under_each_prefix(place: Arc<Place>) {
    let world = Scenario::on(&place).everyone(NoAnswer).start().await;
    let settings = json!({"ringTimeoutSeconds": 600});
    let called = world.start_campaign(&list(5..6), settings).await;
    world.until_progress(&called, "open", 1).await;
    let call = world.calls_to(&called, 5).await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let suppression = suppress(&world.owner, "+12025550198").await;
    for (n, (method, path)) in (0..).zip(routes(&world).await) {
        let draft = Draft::create(&world.owner, n).await;
        let id = match path.split('/').nth(3) {
            Some("calls") => &call,
            Some("contacts") => &draft.contact,
            Some("imports") => &draft.import,
            Some("suppressions") => &suppression,
            _ => &draft.campaign,
        };
        let filled = path
            .replace("{id}", id)
            .replace("{name}", "lookup")
            .replace("{enrollment}", &draft.enrollment);
        // The same routes answer under three addresses; each is tried with a third of them.
        let prefix = ["/api/v1", "/api", "/api/db"][n as usize % 3];
        let filled = filled.replace("/api/v1", prefix);
        for action in preparation(&path) {
            world
                .owner
                .ask(&format!("/campaigns/{id}/{action}"))
                .await
                .ok();
        }
        let answer = ask(&world, &method, &filled).await;
        assert!(is_expected(&path, answer), "{method} {filled}: {answer}");
        let campaign = world
            .owner
            .get(&format!("/campaigns/{}", draft.campaign))
            .await;
        if campaign.status.is_success() {
            world
                .owner
                .ask(&format!("/campaigns/{}/stop", draft.campaign))
                .await
                .ok();
        }
    }
    world.until_status(&called, "completed").await;
    world.end().await;
}

/// Puts a number on the list of those who must not be contacted; gives the entry's id.
pub async fn suppress(owner: &Client, phone: &str) -> String {
    let body = json!({"phones": [phone], "reason": "asked for it"});
    assert_eq!(owner.post("/suppressions", &body).await.ok()["added"], 1);
    let entries = owner.get("/suppressions").await.ok();
    entries["items"][0]["id"].as_str().unwrap().to_owned()
}

/// Whether that is the answer of somebody who may ask, about a call that nobody has answered yet.
pub fn is_expected(path: &str, status: u16) -> bool {
    match path.rsplit('/').next() {
        // Nobody talks.
        Some("listen" | "hint" | "mute" | "transfer" | "unmute") => status == 409,
        // Nothing was recorded.
        Some("recording") => status == 404,
        // Unless somebody talked, and then the vendor may take its time.
        Some("agent-recording") => [200, 404, 409].contains(&status),
        // There may be no such tool.
        Some("{name}") => status == 404 || (200..300).contains(&status),
        _ => (200..300).contains(&status),
    }
}

/// What must be asked of a draft before a route fits it.
fn preparation(path: &str) -> &'static [&'static str] {
    match path.rsplit('/').next() {
        Some("pause") => &["start"],
        Some("resume") => &["start", "pause"],
        _ => &[],
    }
}

async fn ask(world: &World, method: &Method, path: &str) -> u16 {
    let owner = world.sign_in(crate::world::OWNER).await;
    let contacts = json!({"contacts": [{"phone": "+12025550199"}]});
    let login = json!({"email": crate::world::OWNER, "password": crate::world::PASSWORD});
    let body = match (method.as_str(), path) {
        ("POST", path) if path.ends_with("/auth/login") => Some(login),
        ("POST", path) if path.ends_with("/contacts") => Some(contacts),
        ("POST", path) if path.ends_with("/campaigns") => Some(json!({"name": "New"})),
        ("POST", path) if path.ends_with("/suppressions") => {
            Some(json!({"phones": ["+12025550197"]}))
        }
        ("POST", path) if path.ends_with("/emergency-stop") => Some(json!({"hangUp": true})),
        ("POST", path) if path.ends_with("/duplicate") => Some(json!({"withContacts": true})),
        ("POST", path) if path.ends_with("/retry-failed") => Some(json!({})),
        ("POST", path) if path.ends_with("/test-call") => Some(json!({"phone": "+12025550193"})),
        ("POST", path) if path.ends_with("/hint") => Some(json!({"text": "Be brief"})),
        ("POST", path) if path.ends_with("/transfer") => Some(json!({"to": "+12025550196"})),
        ("POST", path) if path.ends_with("/lift") => Some(json!({"reason": "by mistake"})),
        ("POST", path) if path.ends_with("/contacts/erase") => {
            Some(json!({"phone": "+12025550195"}))
        }
        ("PUT", path) if path.ends_with("/holidays") => {
            let day = json!({"date": "2026-12-24", "name": "Eve", "region": "GB"});
            Some(json!({"holidays": [day]}))
        }
        ("PUT", path) if path.contains("/settings/tools/") => {
            Some(json!({"url": "https://example.com/lookup"}))
        }
        ("PUT" | "PATCH", _) => Some(json!({"name": "Changed"})),
        _ => None,
    };
    let mut request = owner
        .http
        .request(method.clone(), format!("{}{path}", world.url()));
    request = request.bearer_auth(&owner.token);
    if let Some(body) = &body {
        request = request.json(body);
    }
    if path.ends_with("/suppressions/import") {
        request = request.header("content-type", "text/csv");
        request = request.body("phone\n+12025550194\n");
    }
    if path.ends_with("start-from-csv") {
        let file = reqwest::multipart::Part::text(list(8..9)).file_name("people.csv");
        let form = reqwest::multipart::Form::new()
            .text("start", "false")
            .part("file", file);
        request = request.multipart(form);
    }
    request.send().await.unwrap().status().as_u16()
}
