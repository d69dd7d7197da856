//! What vendors of agents tell after a conversation: checked on the raw body, saved, answered; processed
//! after that.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use tracing::{debug, info, warn};

use super::{
    ApiState,
    error::{ApiError, ApiResult},
    hooks,
};
use crate::{
    agents::report::{Delivery, ReportDialect, ReportError, Told},
    engine::EngineError,
};

/// How each vendor of agents tells what it found, by the vendor's name in addresses.
pub type ReportDialects = BTreeMap<String, Arc<dyn ReportDialect>>;

/// `POST /webhooks/{vendor}`.
///
/// - 200 for a report that is saved, also for repeats; for what is no report; and for a conversation that
///   nobody here had, which would only be told again.
/// - 401 for a wrong or old signature, 403 where no secret is set up, 404 for a vendor that is not,
///   422 for a report that cannot be read.
/// - 503 while the report cannot be saved, so that the vendor repeats it.
pub async fn receive(
    State(state): State<ApiState>,
    Path(vendor): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<Value>> {
    let dialect = state.reports.get(&vendor);
    let dialect = dialect.ok_or_else(|| ApiError::not_found("vendor of agents"))?;
    let told = dialect.read(&Delivery {
        header: &|name| headers.get(name).and_then(|value| value.to_str().ok()),
        body: &body,
        now: state.engine.clock().now(),
    });
    match told.map_err(|error| refusal(&vendor, &error))? {
        Some(told) => hooks::in_time(&state, save(state.clone(), told)).await?,
        None => debug!(vendor, "message that is no report passed over"),
    }
    Ok(Json(json!({})))
}

async fn save(state: ApiState, told: Told) -> ApiResult<()> {
    let conversation = told.report.conversation.clone();
    let received = state
        .engine
        .receive_report(told.key, told.attempt, told.report);
    match received.await {
        Ok(()) => Ok(()),
        Err(EngineError::NotFound { .. }) => {
            info!(conversation_id = %conversation, "report on a conversation that nobody here had dropped");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn refusal(vendor: &str, error: &ReportError) -> ApiError {
    warn!(vendor, %error, "webhook of an agent's vendor refused");
    match error {
        ReportError::NoSecret => ApiError::new(
            StatusCode::FORBIDDEN,
            "noWebhookSecret",
            "no secret is set up for this vendor's webhooks; .env.example names the variable",
        ),
        ReportError::WrongSignature(why) => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "wrongSignature",
            format!("{why}; check that the webhook's secret here is the vendor's"),
        ),
        ReportError::Unreadable(_) => ApiError::invalid(error.to_string()),
    }
}
