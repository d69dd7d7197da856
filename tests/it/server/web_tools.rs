//! Tools that a tenant defines: requests to its own server, in the name of an agent during a call.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse as _, Redirect, Response},
};
use dialtone::{
    clock::{Clock as _, SystemClock},
    domain::{access::Role, ids::TenantId},
    sim::{ToolUse, ledger::ToolFacts},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use crate::world::{Client, Place, Scenario, World, add_user, list, until};

const SECRET: &str = "Bearer a-canary-that-nobody-may-see";

/// What the tenant's server was asked.
#[derive(Debug, Clone)]
struct Asked {
    method: Method,
    uri: Uri,
    authorization: Option<String>,
    body: Value,
}

/// The tenant's server.
struct Office {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Each request to `/slow` takes one away before it is answered.
    patience: Arc<Semaphore>,
    serving: JoinHandle<()>,
}

impl Office {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, patience) = (Arc::default(), Arc::new(Semaphore::new(0)));
        let router = Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&asked), Arc::clone(&patience)));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            port,
            asked,
            patience,
            serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Desk = (Arc<Mutex<Vec<Asked>>>, Arc<Semaphore>);

async fn answer(
    State((asked, patience)): State<Desk>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization");
    asked.lock().unwrap().push(Asked {
        method,
        uri: uri.clone(),
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    match uri.path() {
        "/orders" => r#"{"status": "on its way"}"#.into_response(),
        "/none" => (StatusCode::NOT_FOUND, "no such order").into_response(),
        "/away" => Redirect::temporary("/orders").into_response(),
        "/long" => "x".repeat(100_000).into_response(),
        "/slow" => {
            patience.acquire().await.unwrap().forget();
            "at last".into_response()
        }
        other => panic!("asked for {other}"),
    }
}

fn uses(name: &str, parameters: Value) -> ToolUse {
    ToolUse {
        name: name.to_owned(),
        parameters,
        says: None,
    }
}

/// A world whose agents use these tools one after another, and may reach this machine.
fn using(place: &Arc<Place>, tools: Vec<ToolUse>) -> Scenario {
    Scenario::on(place)
        .setting("DIALTONE_TOOL_PRIVATE_HOSTS", "127.0.0.1")
        .simulator(|simulator| {
            simulator.agent.turns = (2, 2);
            simulator.agent.tools = tools;
        })
}

async fn define(client: &Client, name: &str, tool: &Value) -> crate::world::Answer {
    let path = format!("/settings/tools/{name}");
    client.send(Method::PUT, &path, Some(tool)).await
}

/// The one call to a person, with its timeline.
async fn call_to(world: &World, campaign: &str, n: u32) -> Value {
    let calls = world.calls_to(campaign, n).await;
    let id = calls[0]["id"].as_str().unwrap();
    world.owner.get(&format!("/calls/{id}")).await.ok()
}

/// What the timeline says of tools, in order.
fn on_timeline(call: &Value) -> Vec<String> {
    let timeline = call["timeline"].as_array().unwrap().iter();
    let used = timeline.filter(|it| it["kind"] == "toolUsed");
    used.map(|it| it["text"].as_str().unwrap().to_owned())
        .collect()
}

fn told(world: &World) -> VecDeque<ToolFacts> {
    let talks = world.ledger().conversations.into_iter();
    talks.flat_map(|talk| talk.tools).collect()
}

// proves F-90
pub async fn an_agent_asks_the_tenants_server_and_is_told_what_it_says(place: Arc<Place>) {
    let office = Office::open().await;
    let tools = vec![
        uses("lookup", json!({"order": "7", "secretly": "no"})),
        uses("find-order", json!({"order": 7, "with": ["a b"]})),
    ];
    let world = using(&place, tools).start().await;
    let lookup = json!({
        "description": "Where an order is.",
        "url": office.url("/orders"),
        "arguments": ["order", "email"],
        "header": {"name": "Authorization", "value": SECRET},
    });
    let saved = define(&world.owner, "lookup", &lookup).await.ok();
    assert_eq!(saved["header"], "Authorization", "{saved}");
    let find = json!({
        "url": office.url("/orders?of=us"),
        "method": "GET",
        "arguments": ["order", "with"],
        "timeLimitMs": 10_000,
    });
    define(&world.owner, "find-order", &find).await.ok();

    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    let [posted, got] = &office.asked()[..] else {
        panic!("{:?}", office.asked());
    };
    let ids = |name: &str| call[name].as_str().unwrap().to_owned();
    let expected = json!({
        "tool": "lookup",
        "callId": ids("id"),
        "campaignId": campaign,
        "contactId": ids("contactId"),
        "arguments": {"order": "7"},
    });
    assert_eq!((&posted.method, &posted.body), (&Method::POST, &expected));
    assert_eq!(posted.authorization.as_deref(), Some(SECRET));
    assert_eq!((&got.method, &got.authorization), (&Method::GET, &None));
    let query: Vec<(String, String)> = form_urlencoded::parse(got.uri.query().unwrap().as_bytes())
        .into_owned()
        .collect();
    let expected = [
        ("of", "us".to_owned()),
        ("tool", "find-order".to_owned()),
        ("callId", ids("id")),
        ("campaignId", campaign.clone()),
        ("contactId", ids("contactId")),
        ("order", "7".to_owned()),
        ("with", r#"["a b"]"#.to_owned()),
    ];
    assert_eq!(
        query,
        expected.map(|(name, value)| (name.to_owned(), value)),
        "{got:?}"
    );
    for told in told(&world) {
        let expected = r#"{"status": "on its way"}"#;
        assert_eq!((told.result.as_str(), told.is_error), (expected, false));
    }
    let shown = on_timeline(&call);
    assert_eq!(shown.len(), 2, "{call}");
    assert!(shown[0].starts_with("the agent used the tool lookup, which answered in"));

    // The secret is nowhere to be read.
    let listed = world.owner.get("/settings/tools").await;
    assert!(!listed.text.contains("canary"), "{}", listed.text);
    let names: Vec<_> = listed.body["tools"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["name"], "find-order");
    assert_eq!(
        (&names[1]["name"], &names[1]["timeLimitMs"]),
        (&json!("lookup"), &json!(5000))
    );
    assert!(!place.dump().await.contains("canary"));
    assert!(!call.to_string().contains("canary"));
    world.end().await;
}

// proves F-90
pub async fn what_goes_wrong_with_a_tool_is_told_to_the_agent_and_kept(place: Arc<Place>) {
    let office = Office::open().await;
    let names = ["none", "away", "long", "late", "inside", "unknown", "gone"];
    let tools = names.map(|name| uses(name, json!({}))).to_vec();
    let world = using(&place, tools).start().await;
    let inside = format!("https://localhost:{}/orders", office.port);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}/orders", gone.local_addr().unwrap());
    drop(gone);
    for (name, url) in [
        ("none", office.url("/none")),
        ("away", office.url("/away")),
        ("long", office.url("/long")),
        ("late", office.url("/slow")),
        ("inside", inside),
        ("gone", nobody),
    ] {
        let limit = if name == "late" { 200 } else { 10_000 };
        let tool = json!({"url": url, "timeLimitMs": limit});
        define(&world.owner, name, &tool).await.ok();
    }
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    world.until_status(&campaign, "completed").await;
    let call = call_to(&world, &campaign, 1).await;
    assert_eq!(call["outcome"], "answered", "{call}");
    let in_vain = |name: &str, why: &str| format!("the agent used the tool {name} in vain: {why}");
    let (kept, told) = (on_timeline(&call), told(&world));
    assert_eq!((kept.len(), told.len()), (7, 7), "{kept:?} {told:?}");
    for (n, name, words, why) in [
        (
            0,
            "none",
            "the tool failed with status 404: no such order",
            "it answered with status 404",
        ),
        (
            1,
            "away",
            "cannot be used",
            "it answered with a redirect, which is not followed",
        ),
        (
            3,
            "late",
            "gave no answer in time",
            "it gave no answer within 200 ms",
        ),
        (
            4,
            "inside",
            "cannot be used",
            "its address may not be asked: it must be on the public internet",
        ),
        (
            5,
            "unknown",
            "not available during a phone call",
            "there is no such tool",
        ),
        (6, "gone", "cannot be used", "it could not be reached"),
    ] {
        assert_eq!(told[n].name, name);
        assert!(
            told[n].is_error && told[n].result.contains(words),
            "{:?}",
            told[n]
        );
        assert_eq!(kept[n], in_vain(name, why));
    }
    assert!(
        !told[2].is_error && told[2].result.len() < 9_000,
        "{:?}",
        told[2]
    );
    assert!(
        told[2].result.ends_with("the rest is cut)"),
        "{:?}",
        told[2]
    );
    // Neither the redirect nor the name led anywhere.
    let n_asked = office.asked().len();
    assert_eq!(n_asked, 4, "{:?}", office.asked());
    world.end().await;
}

pub async fn a_tool_that_takes_long_holds_up_nothing_else(place: Arc<Place>) {
    let office = Office::open().await;
    let world = using(&place, vec![uses("slow", json!({}))]).start().await;
    let slow = json!({"url": office.url("/slow"), "timeLimitMs": 10_000});
    define(&world.owner, "slow", &slow).await.ok();
    let campaign = world.start_campaign(&list(1..2), json!({})).await;
    until("the agent's request", async || {
        (!office.asked().is_empty()).then_some(())
    })
    .await;
    let id = world.calls_to(&campaign, 1).await[0]["id"].clone();
    let id = id.as_str().unwrap();
    world.owner.ask(&format!("/calls/{id}/hangup")).await.ok();
    world.until_status(&campaign, "completed").await;
    let kinds = |call: &Value| -> Vec<String> {
        let timeline = call["timeline"].as_array().unwrap().iter();
        timeline
            .map(|it| it["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let ended = until("the end of the talk", async || {
        let call = call_to(&world, &campaign, 1).await;
        let is_over = kinds(&call).contains(&"mediaEnded".to_owned());
        is_over.then_some(call)
    })
    .await;
    assert_eq!(on_timeline(&ended), Vec::<String>::new(), "{ended}");
    // It goes on to its end all the same, and is kept.
    office.patience.add_permits(1);
    let used = until("the tool's end", async || {
        on_timeline(&call_to(&world, &campaign, 1).await).pop()
    })
    .await;
    assert!(used.contains("which answered in"), "{used}");
    world.end().await;
}

pub async fn the_other_vendors_agent_uses_the_tenants_tools(place: Arc<Place>) {
    let office = Office::open().await;
    // The second is another's to answer: with Vapi a tool may have a server of its own.
    let tools = vec![
        uses("lookup", json!({"order": "7"})),
        uses("elsewhere", json!({})),
    ];
    let world = using(&place, tools).with_vapi().start().await;
    let tool = json!({"url": office.url("/orders"), "arguments": ["order"]});
    define(&world.owner, "lookup", &tool).await.ok();
    let settings = json!({"agentVendor": "vapi"});
    let campaign = world.start_campaign(&list(1..2), settings).await;
    until("an answer for the agent", async || {
        (!told(&world).is_empty()).then_some(())
    })
    .await;
    let call = call_to(&world, &campaign, 1).await;
    let path = format!("/calls/{}/hangup", call["id"].as_str().unwrap());
    world.owner.ask(&path).await;
    world.until_status(&campaign, "completed").await;
    let told = told(&world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].result.contains("on its way") && !told[0].is_error,
        "{told:?}"
    );
    assert_eq!(office.asked()[0].body["arguments"], json!({"order": "7"}));
    let used = on_timeline(&call_to(&world, &campaign, 1).await);
    assert!(used.iter().all(|text| text.contains("lookup")), "{used:?}");
    world.end().await;
}

// proves F-90
pub async fn a_tool_is_defined_as_it_may_be_or_not_at_all(place: Arc<Place>) {
    let world = Scenario::on(&place)
        .setting("DIALTONE_TOOL_PRIVATE_HOSTS", "tools.internal:8080")
        .start()
        .await;
    let usual = "https://example.com/lookup";
    let refused = async |name: &str, tool: Value, pointer: &str| {
        let problem = define(&world.owner, name, &tool)
            .await
            .refused(422, "invalid");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{tool} {problem}");
    };
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://ann:secret@example.com/",
        "http://tools.internal/",
        "lookup",
    ] {
        refused("lookup", json!({"url": url}), "/url").await;
    }
    refused("end_call", json!({"url": usual}), "/name").await;
    refused("look.up", json!({"url": usual}), "/name").await;
    for (field, value, pointer) in [
        ("method", json!("DELETE"), "/method"),
        ("timeLimitMs", json!(10_001), "/timeLimitMs"),
        ("arguments", json!(["a", "callId"]), "/arguments/1"),
        ("arguments", json!(["a", "a"]), "/arguments/1"),
        ("arguments", json!([""]), "/arguments/0"),
        ("description", json!("x".repeat(501)), "/description"),
        (
            "header",
            json!({"name": "Host", "value": "x"}),
            "/header/name",
        ),
        (
            "header",
            json!({"name": "a b", "value": "x"}),
            "/header/name",
        ),
        (
            "header",
            json!({"name": "X-Key", "value": "a\nb"}),
            "/header/value",
        ),
        ("header", json!({"name": "X-Key"}), "/header/value"),
    ] {
        refused("lookup", json!({"url": usual, field: value}), pointer).await;
    }
    let listed = world.owner.get("/settings/tools").await.ok();
    assert_eq!(listed["tools"], json!([]));
    let internal = json!({"url": "http://tools.internal:8080/"});
    define(&world.owner, "internal", &internal).await.ok();

    // The secret stays where it was to go, and goes nowhere else.
    let with = |url: &str, header: Value| json!({"url": url, "header": header});
    let first = with(usual, json!({"name": "X-Key", "value": SECRET}));
    define(&world.owner, "lookup", &first).await.ok();
    let changed = with("https://example.com/other", json!({"name": "x-key"}));
    let changed = define(&world.owner, "lookup", &changed).await.ok();
    assert_eq!(
        (&changed["header"], &changed["url"]),
        (&json!("X-Key"), &json!("https://example.com/other"))
    );
    for elsewhere in [
        "https://example.org/other",
        "https://example.com:8443/other",
    ] {
        let stolen = with(elsewhere, json!({"name": "X-Key"}));
        refused("lookup", stolen, "/header/value").await;
    }
    let renamed = with(usual, json!({"name": "Authorization"}));
    refused("lookup", renamed, "/header/value").await;
    let without = json!({"url": usual});
    let without = define(&world.owner, "lookup", &without).await.ok();
    assert_eq!(without["header"], Value::Null);

    // Each tenant has its own.
    let tenant = TenantId::new(SystemClock.new_uuid());
    world.store.ensure_tenant(tenant).await.unwrap();
    add_user(&*world.store, tenant, "stranger@example.com", Role::Owner).await;
    let stranger = world.sign_in("stranger@example.com").await;
    assert_eq!(
        stranger.get("/settings/tools").await.ok()["tools"],
        json!([])
    );
    let path = "/settings/tools/lookup";
    let taken = stranger.send(Method::DELETE, path, None).await;
    taken.refused(404, "notFound");
    let gone = world.owner.send(Method::DELETE, path, None).await;
    assert_eq!(gone.status.as_u16(), 204, "{}", gone.text);
    let again = world.owner.send(Method::DELETE, path, None).await;
    again.refused(404, "notFound");
    world.end().await;
}
