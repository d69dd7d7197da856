//! The HTTP doors: one list of routes, and what may pass through each.
//!
//! A handler extracts, calls once and converts. Reads go to the store, writes to the engine. What
//! needs a caller takes [`auth::Caller`] or [`auth::Manager`] as an argument, so a route without one
//! is visible in review.

pub mod access;
mod attend;
pub mod auth;
mod calls;
mod campaigns;
mod conduct;
mod contacts;
mod copies;
mod dashboard;
mod emergency;
mod erase;
mod error;
mod explain;
mod export;
mod extract;
mod health;
mod holidays;
mod hooks;
mod imports;
pub mod media;
pub mod nodes;
mod openapi;
mod policy;
mod recording;
mod reports;
mod settings;
mod suppressions;
mod take_over;
pub mod vault;
pub mod web_tools;

use std::{any::Any, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use secrecy::SecretString;
use tokio_util::task::TaskTracker;
use tower_http::{
    catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tracing::error;
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    domain::{ids::AgentVendor, phone::Region, rules::CampaignRules},
    engine::{CampaignEdit, Engine},
    telephony::twilio::CallbackUrls,
};
use error::ApiError;

pub use recording::ConversationSounds;
pub use reports::ReportDialects;

/// What handlers share.
#[derive(Clone)]
pub struct ApiState {
    /// Decides and drives.
    pub engine: Engine,
    /// Signs users in.
    pub access: Arc<access::Access>,
    /// The calls whose audio is here.
    pub media: Arc<media::Media>,
    /// The installation's other processes.
    pub nodes: Arc<nodes::Nodes>,
    /// What the tools that tenants define need.
    pub web_tools: Arc<web_tools::WebTools>,
    /// What goes on when its client has left.
    pub tasks: TaskTracker,
    /// What the carrier calls, without a slash at the end.
    pub public_url: Arc<str>,
    /// Where the carrier finds what.
    pub callbacks: Arc<CallbackUrls>,
    /// Signs the carrier's callbacks.
    pub carrier_token: Arc<SecretString>,
    /// The vendors whose agents there are, the one that is preferred first.
    pub agent_vendors: Arc<[AgentVendor]>,
    /// How these vendors tell what they found in a conversation.
    pub reports: Arc<ReportDialects>,
    /// Where these vendors keep what they recorded.
    pub sounds: Arc<ConversationSounds>,
    /// The country of numbers without `+` in campaigns that name none.
    pub region: Region,
    /// The rules of campaigns that name none.
    pub rules: Arc<CampaignRules>,
    /// The largest upload.
    pub max_upload_bytes: u64,
    /// Where the dashboard's files are; none for the ones in the binary.
    pub static_dir: Option<Arc<PathBuf>>,
    /// The API's description.
    pub document: Arc<utoipa::openapi::OpenApi>,
}

impl ApiState {
    /// What a campaign has that says nothing else.
    fn defaults(&self) -> CampaignEdit {
        settings::defaults(self.region, &self.rules)
    }
}

/// Bodies other than uploads are small.
const MAX_BODY: usize = 2 * 1024 * 1024;

/// Callbacks are smaller still.
const MAX_CALLBACK: usize = 64 * 1024;

/// What a vendor of agents tells has the whole transcript in it.
const MAX_REPORT: usize = 8 * 1024 * 1024;

/// How long an ordinary request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// How long an upload may take.
const UPLOAD: Duration = Duration::from_secs(3600);

/// The resources, each with its entry in the API's description.
fn resources() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(auth::login))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me))
        .routes(routes!(campaigns::list, campaigns::create))
        .routes(routes!(campaigns::active))
        .routes(routes!(
            campaigns::get,
            campaigns::patch,
            campaigns::put,
            campaigns::delete
        ))
        .routes(routes!(campaigns::start))
        .routes(routes!(campaigns::pause))
        .routes(routes!(campaigns::resume))
        .routes(routes!(campaigns::stop))
        .routes(routes!(copies::duplicate))
        .routes(routes!(copies::retry_failed))
        .routes(routes!(copies::test_call))
        .routes(routes!(campaigns::progress))
        .routes(routes!(campaigns::stats))
        .routes(routes!(explain::diagnostics))
        .routes(routes!(explain::explain))
        .routes(routes!(explain::forecast))
        .routes(routes!(explain::profiles))
        .routes(routes!(contacts::list, contacts::add))
        .routes(routes!(contacts::remove))
        .routes(routes!(erase::contact))
        .routes(routes!(erase::whoever))
        .routes(routes!(export::contact))
        .routes(routes!(calls::list))
        .routes(routes!(calls::list_of_campaign))
        .routes(routes!(calls::get))
        .routes(routes!(calls::hang_up))
        .routes(routes!(attend::listen))
        .routes(routes!(attend::hint))
        .routes(routes!(take_over::mute))
        .routes(routes!(take_over::unmute))
        .routes(routes!(recording::get))
        .routes(routes!(recording::of_agent))
        .routes(routes!(take_over::transfer))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::lift))
        .routes(routes!(suppressions::registers))
        .routes(routes!(holidays::get, holidays::put))
        .routes(routes!(web_tools::list))
        .routes(routes!(web_tools::put, web_tools::delete))
        .routes(routes!(emergency::get, emergency::stop, emergency::lift))
        .routes(routes!(imports::get))
        .routes(routes!(imports::rejected))
        .routes(routes!(imports::rejected_csv))
}

/// The resources whose bodies are large.
fn uploads() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(imports::start_from_csv))
        .routes(routes!(imports::suppressions::import))
}

/// The API's description, for the server and for `dialtone openapi`.
pub fn document() -> utoipa::openapi::OpenApi {
    // Nesting takes paths and components over and drops the rest, so the outermost has the title.
    let all = OpenApiRouter::with_openapi(openapi::Document::openapi())
        .nest("/api/v1", resources().merge(uploads()))
        .routes(routes!(health::alive))
        .routes(routes!(health::ready));
    let (_, document) = all.split_for_parts();
    document
}

/// Every route of the server.
pub fn router(state: ApiState) -> Router {
    let upload_limit = usize::try_from(state.max_upload_bytes).unwrap_or(usize::MAX);
    let (uploads, _) = uploads().split_for_parts();
    let uploads =
        uploads
            .layer(DefaultBodyLimit::max(upload_limit))
            .layer(TimeoutLayer::with_status_code(
                StatusCode::REQUEST_TIMEOUT,
                UPLOAD,
            ));
    let (resources, _) = resources().split_for_parts();
    let resources = resources
        .route("/openapi.json", get(openapi::document))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            REQUEST,
        ));
    let api = resources.merge(uploads).fallback(unknown);
    Router::new()
        .nest("/api/v1", api.clone())
        .nest("/api/db", api.clone())
        .nest("/api", api)
        .route(
            "/webhooks/twilio/{kind}/{attempt}",
            post(hooks::twilio).layer(DefaultBodyLimit::max(MAX_CALLBACK)),
        )
        .route(
            "/webhooks/{vendor}",
            post(reports::receive).layer(DefaultBodyLimit::max(MAX_REPORT)),
        )
        .route("/media/twilio/{attempt}", get(media::twilio))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(get(dashboard::file))
        .with_state(state)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http())
        .layer(always("content-security-policy", CONTENT_POLICY))
        .layer(always("x-content-type-options", "nosniff"))
        .layer(always("referrer-policy", "no-referrer"))
        .layer(always("x-frame-options", "DENY"))
}

/// Nothing but our own files, what the page itself fetched to be heard, and the live view's socket.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

fn always(name: &'static str, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

async fn unknown() -> ApiError {
    ApiError::not_found("route")
}

/// A panic ends one request, not the process.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    error!(panic = text, "request handler panicked");
    ApiError::broken().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_ours_and_closes_what_needs_a_caller() {
        let document = document();
        assert_eq!(document.info.title, "Dialtone");
        assert!(document.info.contact.is_none());
        assert_eq!(document.security.map(|it| it.len()), Some(1));
        assert!(document.paths.paths.contains_key("/api/v1/campaigns"));
    }
}
