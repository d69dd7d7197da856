//! Who may do what: strangers, viewers, other tenants, and people who guess.

use std::sync::Arc;

use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::{access::Role, ids::TenantId},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::document;
use crate::world::{Answer, Client, OWNER, PASSWORD, Place, Scenario, World, add_user, list};

/// The routes that only those may use who signed in, below the API's address.
async fn guarded_routes(world: &World) -> Vec<(Method, String)> {
    let mut guarded = document::routes(world).await;
    guarded.retain(|(_, path)| path != "/api/v1/auth/login");
    let below = |path: String| path.strip_prefix("/api/v1").map(str::to_owned);
    guarded
        .into_iter()
        .filter_map(|(method, path)| Some((method, below(path)?)))
        .collect()
}

/// The records that the paths of routes are about.
struct Records {
    campaign: String,
    enrollment: String,
    contact: String,
    call: String,
    import: String,
    suppression: String,
}

impl Records {
    /// A campaign that has ended, with everything that belongs to it.
    async fn create(world: &World) -> Self {
        let started = world.owner.upload(&list(1..2), &json!({}), &[]).await.ok();
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        let campaign = id(&started["campaign"]["id"]);
        world.until_status(&campaign, "completed").await;
        let call = world.calls_to(&campaign, 1).await.remove(0);
        Self {
            campaign,
            enrollment: id(&call["enrollmentId"]),
            contact: id(&call["contactId"]),
            call: id(&call["id"]),
            import: id(&started["import"]["id"]),
            suppression: document::suppress(&world.owner, "+12025550198").await,
        }
    }

    fn fill(&self, path: &str) -> String {
        let id = match path.split('/').nth(1) {
            Some("calls") => &self.call,
            Some("contacts") => &self.contact,
            Some("imports") => &self.import,
            Some("suppressions") => &self.suppression,
            _ => &self.campaign,
        };
        path.replace("{id}", id)
            .replace("{enrollment}", &self.enrollment)
    }
}

/// Uses a route with a body that it takes.
async fn try_route(client: &Client, method: &Method, path: &str) -> Answer {
    let body = match (method.as_str(), path) {
        ("POST", path) if path.ends_with("start-from-csv") => {
            return client.upload(&list(5..6), &json!({}), &[]).await;
        }
        ("POST", "/suppressions/import") => return client.post_csv(path, "phone\n").await,
        ("POST", "/contacts/erase") => Some(json!({"phone": "+12025550195"})),
        ("POST", path) if path.ends_with("/contacts") => Some(json!({"contacts": []})),
        ("POST", path) if path.ends_with("/duplicate") => Some(json!({})),
        ("POST", path) if path.ends_with("/retry-failed") => Some(json!({})),
        ("POST", path) if path.ends_with("/test-call") => Some(json!({"phone": "+12025550193"})),
        ("POST", path) if path.ends_with("/hint") => Some(json!({"text": "Be brief"})),
        ("POST", path) if path.ends_with("/lift") => Some(json!({"reason": "by mistake"})),
        ("POST", "/emergency-stop") => Some(json!({})),
        ("POST", path) if path.ends_with("/transfer") => Some(json!({})),
        ("POST", "/suppressions") => Some(json!({"phones": ["+12025550196"]})),
        ("PUT", "/settings/holidays") => Some(json!({"holidays": []})),
        ("POST", "/campaigns") | ("PUT", _) => Some(json!({"name": "Changed"})),
        ("PATCH", _) => Some(json!({"name": "Changed"})),
        _ => None,
    };
    client.send(method.clone(), path, body.as_ref()).await
}

// proves F-85
pub async fn without_a_good_token_every_route_says_unauthorized(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let records = Records::create(&world).await;
    let gone = world.sign_in(OWNER).await;
    gone.ask("/auth/logout").await.ok();
    let of_another_key = world.owner.token.rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    let routes = guarded_routes(&world).await;
    assert!(routes.len() >= 24, "{routes:?}");
    for token in [
        "",
        "garbage",
        &gone.token,
        &of_another_key,
        &expired(&world).await,
    ] {
        let client = world.owner.with_token(token);
        for (method, path) in &routes {
            let answer = try_route(&client, method, &records.fill(path)).await;
            assert_eq!(
                answer.status.as_u16(),
                401,
                "{method} {path} with {token:?}"
            );
            answer.refused(401, "unauthorized");
        }
    }
    assert_eq!(world.owner.get("/campaigns").await.ok()["total"], 1);
    world.end().await;
}

/// A token whose session ran out a second ago.
async fn expired(world: &World) -> String {
    let client = world.sign_in(OWNER).await;
    let payload = client.token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload);
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    let id = claims["sid"].as_str().unwrap().parse().unwrap();
    let session = world
        .store
        .find_session(TenantId::DEFAULT, id)
        .await
        .unwrap();
    let mut session = session.expect("the session that was just begun");
    world
        .store
        .delete_session(TenantId::DEFAULT, id)
        .await
        .unwrap();
    session.expires_at = SystemClock.now() - std::time::Duration::from_secs(1);
    world.store.insert_session(&session).await.unwrap();
    client.token
}

// proves F-85
pub async fn a_viewer_sees_everything_and_changes_nothing(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let records = Records::create(&world).await;
    add_user(
        &*world.store,
        TenantId::DEFAULT,
        "viewer@example.com",
        Role::Viewer,
    )
    .await;
    let viewer = world.sign_in("viewer@example.com").await;
    assert_eq!(viewer.get("/auth/me").await.ok()["role"], "viewer");
    for (method, path) in guarded_routes(&world).await {
        if path == "/auth/logout" {
            continue;
        }
        let answer = try_route(&viewer, &method, &records.fill(&path)).await;
        // Listening in is for those who manage.
        if method == Method::GET && !path.ends_with("/listen") {
            let status = answer.status.as_u16();
            assert!(
                document::is_expected(&path, status),
                "{path}: {}",
                answer.text
            );
        } else {
            assert_eq!(answer.status.as_u16(), 403, "{method} {path}");
            answer.refused(403, "forbidden");
        }
    }
    let campaigns = world.owner.get("/campaigns").await.ok();
    assert_eq!(campaigns["total"], 1);
    assert_eq!(campaigns["items"][0]["name"], "Autumn");
    world.end().await;
}

// proves F-86
pub async fn another_tenant_finds_nothing_of_this_one(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let records = Records::create(&world).await;
    let tenant = TenantId::new(SystemClock.new_uuid());
    world.store.ensure_tenant(tenant).await.unwrap();
    add_user(&*world.store, tenant, "stranger@example.com", Role::Owner).await;
    let stranger = world.sign_in("stranger@example.com").await;
    for (method, path) in guarded_routes(&world).await {
        if !path.contains("{id}") {
            continue;
        }
        let answer = try_route(&stranger, &method, &records.fill(&path)).await;
        assert_eq!(
            answer.status.as_u16(),
            404,
            "{method} {path}: {}",
            answer.text
        );
    }
    let stopped = stranger.post("/emergency-stop", &json!({})).await.ok();
    assert_eq!(stopped["tenant"]["by"], "stranger@example.com");
    let own = world.owner.get("/emergency-stop").await.ok();
    assert_eq!(own["isInForce"], false, "{own}");
    let everywhere = "/emergency-stop?scope=installation";
    let refused = stranger.post(everywhere, &json!({})).await;
    refused.refused(403, "forbidden");
    for path in ["/campaigns", "/campaigns/active", "/calls", "/suppressions"] {
        assert_eq!(stranger.get(path).await.ok()["total"], 0, "{path}");
    }
    let by_campaign = format!("/calls?campaignId={}", records.campaign);
    assert_eq!(stranger.get(&by_campaign).await.ok()["total"], 0);
    assert_eq!(world.owner.get("/calls").await.ok()["total"], 1);
    world.end().await;
}

// proves F-85
pub async fn guessing_a_password_is_refused_after_ten_tries(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let stranger = Client::stranger(&world.url());
    let login = |email: &str, password: &str| json!({"email": email, "password": password});
    for _ in 0..10 {
        let answer = stranger.post("/auth/login", &login(OWNER, "guess")).await;
        answer.refused(401, "badCredentials");
    }
    let right = stranger.post("/auth/login", &login(OWNER, PASSWORD)).await;
    right.refused(429, "tooManyAttempts");
    let unknown = stranger
        .post("/auth/login", &login("nobody@example.com", "guess"))
        .await;
    unknown.refused(401, "badCredentials");
    assert_eq!(world.owner.get("/auth/me").await.ok()["email"], OWNER);
    world.end().await;
}

// proves F-51
pub async fn what_is_not_known_in_a_request_is_refused(place: Arc<Place>) {
    let world = Scenario::on(&place).start().await;
    let owner = &world.owner;
    for body in [
        json!({"name": "A", "promt": "typo"}),
        json!({"name": "A", "settings": {"maxCalls": 3}}),
        json!({"name": "A", "settings": {"retry": {"busy": {"count": 1, "delay": 3}}}}),
        json!({"name": 7}),
        json!({"prompt": "no name"}),
    ] {
        owner
            .post("/campaigns", &body)
            .await
            .refused(422, "invalid");
    }
    for (setting, value) in [
        ("maxConcurrentCalls", json!(0)),
        ("callsPerSecond", json!(1000.0)),
        ("callDelayMs", json!(99_999_999)),
        ("ringTimeoutSeconds", json!(1)),
        ("callerId", json!("me")),
        ("region", json!("Atlantis")),
    ] {
        let body = json!({"name": "A", "settings": {setting: value}});
        let problem = owner
            .post("/campaigns", &body)
            .await
            .refused(422, "invalid");
        assert_eq!(
            problem["errors"][0]["pointer"],
            format!("/settings/{setting}")
        );
    }
    let broken = json!({"name": "A", "prompt": "Hello {{name"});
    let problem = owner
        .post("/campaigns", &broken)
        .await
        .refused(422, "invalid");
    assert_eq!(problem["errors"][0]["pointer"], "/prompt");

    for path in [
        "/campaigns?stauts=active",
        "/calls?opne=true",
        "/calls?open=perhaps",
        "/campaigns?limit=0",
    ] {
        owner.get(path).await.refused(422, "invalid");
    }
    owner.get("/nothing").await.refused(404, "notFound");
    owner
        .get("/campaigns/cmp_garbage")
        .await
        .refused(404, "notFound");
    let large = json!({"name": "A", "prompt": "x".repeat(3 * 1024 * 1024)});
    let answer = owner.post("/campaigns", &large).await;
    assert_eq!(answer.status.as_u16(), 413, "{}", answer.text);
    assert_eq!(owner.get("/campaigns").await.ok()["total"], 0);
    world.end().await;
}
