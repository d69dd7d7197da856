//! The tools that a tenant gives its agents, as clients write and read them.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::Body,
    vault::Vault,
};
use crate::{
    bridge::Tool,
    domain::{
        ids::TenantId,
        web_tool::{SecretHeader, ToolName, WebMethod, WebTool},
    },
    web::WebClient,
};

/// How many tools a tenant may have.
const MAX_TOOLS: usize = 50;

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 500;

/// How many arguments a tool may have, and how long their names may be.
const MAX_ARGUMENTS: usize = 20;
const MAX_ARGUMENT: usize = 64;

/// The longest secret, in bytes.
const MAX_SECRET: usize = 4_096;

/// Headers that say how a request is to be read, not who asks.
const NOT_SECRET: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A tool, as it is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebToolBody {
    /// What it is for, in up to 500 characters.
    #[serde(default)]
    description: String,
    /// GET, POST (without it), PUT or PATCH.
    method: Option<String>,
    /// Where it is: https, and on the public internet.
    url: String,
    /// Which of the agent's arguments are sent, by name: up to 20. The others are left out.
    #[serde(default)]
    arguments: Vec<String>,
    /// How long the agent waits for an answer: 100 to 10,000; 5,000 without it.
    time_limit_ms: Option<u64>,
    /// A header by which the other side knows who asks; none without it.
    header: Option<HeaderBody>,
}

/// A header by which the other side knows who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderBody {
    /// Such as `Authorization`.
    name: String,
    /// Its value, which nobody can read again. Without it the one that is kept stays, as long as the
    /// header's name and the address's host are the same.
    #[schema(value_type = Option<String>)]
    value: Option<SecretString>,
}

/// A tool that agents have by its name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebToolView {
    /// The name under which agents have it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// GET, POST, PUT or PATCH.
    pub method: &'static str,
    /// Where it is.
    pub url: String,
    /// Which of the agent's arguments are sent.
    pub arguments: Vec<String>,
    /// How long the agent waits for an answer.
    pub time_limit_ms: u64,
    /// The name of the header by which the other side knows who asks; its value is nobody's to read.
    pub header: Option<String>,
}

/// All tools of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebToolsView {
    /// By name.
    pub tools: Vec<WebToolView>,
}

impl From<&WebTool> for WebToolView {
    fn from(tool: &WebTool) -> Self {
        Self {
            name: tool.name.to_string(),
            description: tool.description.clone(),
            method: tool.method.name(),
            url: tool.url.clone(),
            arguments: tool.arguments.clone(),
            time_limit_ms: u64::try_from(tool.time_limit.as_millis()).unwrap_or(u64::MAX),
            header: tool.header.as_ref().map(|header| header.name.clone()),
        }
    }
}

/// What tools need beside their records.
pub struct WebTools {
    /// Asks their addresses.
    pub client: WebClient,
    /// Keeps their headers.
    pub vault: Vault,
}

impl WebTools {
    /// What a header is sealed for: so a record that is copied to another tool, or another tenant,
    /// opens nothing.
    pub(super) fn purpose(tenant: TenantId, name: &ToolName) -> String {
        format!("tool {tenant} {name}")
    }

    /// The tool that a request describes. `before` is the one that it replaces.
    fn read(
        &self,
        tenant: TenantId,
        name: ToolName,
        body: WebToolBody,
        before: Option<&WebTool>,
    ) -> ApiResult<WebTool> {
        let description = body.description.trim();
        if description.chars().count() > MAX_DESCRIPTION {
            let detail = format!("must have at most {MAX_DESCRIPTION} characters");
            return Err(ApiError::field("/description", "length", detail));
        }
        let url = self
            .client
            .check(body.url.trim())
            .map_err(|error| ApiError::field("/url", "form", error.to_string()))?;
        let header = body.header.map(|header| {
            let kept = before.filter(|before| is_same_host(&before.url, &url));
            let kept = kept.and_then(|before| before.header.as_ref());
            self.seal(&Self::purpose(tenant, &name), header, kept)
        });
        Ok(WebTool {
            description: description.to_owned(),
            method: method_of(body.method.as_deref())?,
            url: url.to_string(),
            arguments: arguments_of(body.arguments)?,
            time_limit: time_limit_of(body.time_limit_ms)?,
            header: header.transpose()?,
            name,
        })
    }

    fn seal(
        &self,
        purpose: &str,
        header: HeaderBody,
        kept: Option<&SecretHeader>,
    ) -> ApiResult<SecretHeader> {
        let name = header.name.trim().to_ascii_lowercase();
        if name.parse::<HeaderName>().is_err() || NOT_SECRET.contains(&name.as_str()) {
            let detail = "must be the name of a header such as Authorization";
            return Err(ApiError::field("/header/name", "form", detail));
        }
        match (header.value, kept) {
            (Some(value), _) if is_header_value(&value) => Ok(SecretHeader {
                sealed: self.vault.seal(purpose, &value),
                name: header.name.trim().to_owned(),
            }),
            (Some(_), _) => {
                let detail = format!("must be 1 to {MAX_SECRET} visible ASCII characters");
                Err(ApiError::field("/header/value", "form", detail))
            }
            (None, Some(kept)) if kept.name.eq_ignore_ascii_case(&name) => Ok(kept.clone()),
            // Whoever may change the address could otherwise have the secret sent to their own.
            (None, _) => {
                let detail = "must be given with another header's name or another host";
                Err(ApiError::field("/header/value", "missing", detail))
            }
        }
    }
}

fn is_header_value(value: &SecretString) -> bool {
    let text = value.expose_secret();
    let is_text = |byte: u8| (b' '..=b'~').contains(&byte);
    (1..=MAX_SECRET).contains(&text.len())
        && text.bytes().all(is_text)
        && HeaderValue::from_str(text).is_ok()
}

/// Whether the address is at the same host and port, as well protected.
fn is_same_host(before: &str, url: &Url) -> bool {
    Url::parse(before).is_ok_and(|before| before.origin() == url.origin())
}

fn method_of(name: Option<&str>) -> ApiResult<WebMethod> {
    let name = name.unwrap_or(WebMethod::Post.name());
    WebMethod::from_name(name).ok_or_else(|| {
        let detail = "must be GET, POST, PUT or PATCH";
        ApiError::field("/method", "form", detail)
    })
}

fn arguments_of(names: Vec<String>) -> ApiResult<Vec<String>> {
    if names.len() > MAX_ARGUMENTS {
        let detail = format!("must have at most {MAX_ARGUMENTS} names");
        return Err(ApiError::field("/arguments", "length", detail));
    }
    for (i, name) in names.iter().enumerate() {
        let refused =
            |code, detail: String| Err(ApiError::field(&format!("/arguments/{i}"), code, detail));
        if name.is_empty() || name.chars().count() > MAX_ARGUMENT {
            return refused(
                "length",
                format!("must have 1 to {MAX_ARGUMENT} characters"),
            );
        }
        if WebTool::OURS.contains(&name.as_str()) {
            return refused("taken", format!("{name} is sent in any case"));
        }
        if names[..i].contains(name) {
            return refused("taken", "is there twice".to_owned());
        }
    }
    Ok(names)
}

fn time_limit_of(ms: Option<u64>) -> ApiResult<Duration> {
    let limit = ms.map_or(WebTool::USUAL, Duration::from_millis);
    if (Duration::from_millis(100)..=WebTool::LONGEST).contains(&limit) {
        return Ok(limit);
    }
    let detail = "must be from 100 to 10000";
    Err(ApiError::field("/timeLimitMs", "outOfRange", detail))
}

/// The tools that the tenant's agents have beside the built-in ones.
#[utoipa::path(get, path = "/settings/tools", tag = "settings",
    responses((status = 200, body = WebToolsView)))]
pub async fn list(caller: Caller, State(state): State<ApiState>) -> ApiResult<Json<WebToolsView>> {
    let tools = state.engine.store().list_web_tools(caller.tenant).await?;
    let tools = tools.iter().map(WebToolView::from).collect();
    Ok(Json(WebToolsView { tools }))
}

/// Adds a tool under the name by which agents call it, or replaces it.
///
/// Whenever an agent of the tenant calls a client tool of that name, the address is asked, with
/// `callId`, `campaignId`, `contactId`, `tool` and the agent's arguments: as JSON in the body, the
/// arguments under `arguments`; or with GET each in the query. What it answers, up to 8 KiB, is what the
/// agent is told. Redirects are not followed. It acts at once, in calls that are up too.
#[utoipa::path(put, path = "/settings/tools/{name}", tag = "settings",
    params(("name" = String, Path)), request_body = WebToolBody,
    responses((status = 200, body = WebToolView), (status = 409), (status = 422)))]
pub async fn put(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Body(body): Body<WebToolBody>,
) -> ApiResult<Json<WebToolView>> {
    let name: ToolName = name
        .parse()
        .map_err(|error| ApiError::field("/name", "form", format!("{error}")))?;
    if Tool::is_built_in(name.as_str()) {
        let detail = "is a tool that every agent has";
        return Err(ApiError::field("/name", "taken", detail));
    }
    let store = state.engine.store();
    let before = store.find_web_tool(caller.tenant, &name).await?;
    let tools = &state.web_tools;
    let tool = tools.read(caller.tenant, name, body, before.as_ref())?;
    if before.is_none() && store.list_web_tools(caller.tenant).await?.len() >= MAX_TOOLS {
        let detail = format!("there are {MAX_TOOLS} tools already");
        return Err(ApiError::new(StatusCode::CONFLICT, "tooMany", detail));
    }
    store.save_web_tool(caller.tenant, &tool).await?;
    info!(tool = %tool.name, user_id = %caller.user, "a tool was saved");
    Ok(Json(WebToolView::from(&tool)))
}

/// Takes a tool away from the tenant's agents.
#[utoipa::path(delete, path = "/settings/tools/{name}", tag = "settings",
    params(("name" = String, Path)), responses((status = 204), (status = 404)))]
pub async fn delete(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> ApiResult<StatusCode> {
    let unknown = || ApiError::not_found("tool");
    let name: ToolName = name.parse().map_err(|_| unknown())?;
    let store = state.engine.store();
    if !store.delete_web_tool(caller.tenant, &name).await? {
        return Err(unknown());
    }
    info!(tool = %name, user_id = %caller.user, "a tool was removed");
    Ok(StatusCode::NO_CONTENT)
}
