//! The API's own description, made from the code.

use axum::{Json, extract::State};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{ApiState, error::Problem};
use crate::realtime::payload::{
    ActiveCampaigns, CampaignUpdate, EmergencyStopUpdate, TranscriptView,
};

/// The parts of the document that no route brings.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Dialtone",
        description = "Campaigns of phone calls by voice agents.\n\nErrors are RFC 9457 problem \
            documents with a stable `code`. Unknown fields are refused with 422. Lists are \
            `{items, total, next}`. Times are RFC 3339 in UTC. The schemas `CampaignUpdate`, \
            `ProgressView`, `CallView`, `ActiveCampaigns`, `TranscriptView` and \
            `EmergencyStopUpdate` are also the payloads of the Socket.IO events \
            `campaign_update`, `campaign_progress`, `campaign_call_update`, \
            `active_campaigns_list`, `call_transcript` and `emergency_stop`.",
    ),
    components(schemas(Problem, CampaignUpdate, ActiveCampaigns, TranscriptView, EmergencyStopUpdate)),
    security(("token" = [])),
    modifiers(&BearerToken),
)]
pub struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// `GET /openapi.json`: the API's description.
pub async fn document(State(state): State<ApiState>) -> Json<utoipa::openapi::OpenApi> {
    Json((*state.document).clone())
}
