//! Calls: what became of each attempt.

use std::{collections::BTreeMap, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiState,
    auth::{Caller, Manager},
    campaigns,
    error::{ApiError, ApiResult},
    extract::{Id, List, Params, page_request},
};
use crate::{
    domain::{
        enrollment::CallRecord,
        event::{EventKind, Latency, StoredEvent},
        ids::{AttemptId, CampaignId},
        report::AgentReport,
    },
    realtime::payload::{self, CallView, TimelineView, TranscriptView},
    store::CallFilter,
};

/// A call with everything that happened in its course.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallDetail {
    /// The call.
    #[serde(flatten)]
    pub call: CallView,
    /// What happened, in order.
    pub timeline: Vec<TimelineView>,
    /// What was said, by turn.
    pub transcript: Vec<TranscriptView>,
    /// How long the agent took to answer; none where no turn of it was measured.
    pub latency: Option<LatencyView>,
    /// What the agent's vendor told after the call; none before, and of a call without a conversation.
    pub report: Option<ReportView>,
}

/// How long the agent took to answer: from the callee's last voice to the first audio of the answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyView {
    /// How many turns were measured.
    pub turns: usize,
    /// The turn in the middle.
    pub median_ms: u64,
    /// The longest.
    pub worst_ms: u64,
}

impl From<Latency> for LatencyView {
    fn from(latency: Latency) -> Self {
        Self {
            turns: latency.n_turns,
            median_ms: payload::millis(latency.median),
            worst_ms: payload::millis(latency.worst),
        }
    }
}

/// What the agent's vendor found in the conversation. It changes nothing in how the call ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportView {
    /// Whether the agent reached what it was to reach: success, failure or unknown. None where the vendor
    /// says nothing of it.
    pub verdict: Option<String>,
    /// The verdict in the vendor's own terms where they say more, such as `8` or `Excellent`.
    pub rating: Option<String>,
    /// The verdict on each thing that the agent's owner asked for, by its name.
    pub criteria: BTreeMap<String, String>,
    /// The conversation in a few sentences.
    pub summary: Option<String>,
    /// What the agent was to find out, by its name.
    pub collected: BTreeMap<String, Value>,
    /// What the conversation cost.
    pub cost: Option<CostView>,
}

/// What a vendor takes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostView {
    /// In millionths of the unit.
    pub millionths: u64,
    /// usd, or credits, whose price depends on the plan.
    pub unit: String,
}

impl From<&AgentReport> for ReportView {
    fn from(report: &AgentReport) -> Self {
        let criteria = report.criteria.iter();
        let collected = report.collected.iter();
        Self {
            verdict: report.verdict.map(|verdict| verdict.name().to_owned()),
            rating: report.rating.clone(),
            criteria: criteria
                .map(|(name, verdict)| (name.clone(), verdict.name().to_owned()))
                .collect(),
            summary: report.summary.clone(),
            collected: collected
                .map(|(name, value)| (name.clone(), value_of(value)))
                .collect(),
            cost: report.cost.map(|cost| CostView {
                millionths: cost.millionths,
                unit: cost.unit.name().to_owned(),
            }),
        }
    }
}

/// A value that is kept as JSON text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

impl CallDetail {
    /// The call with its events, in order.
    pub fn new(call: &CallRecord, events: &[StoredEvent]) -> Self {
        let transcript = transcript(events);
        let turns = transcript.iter().filter_map(|line| line.latency_ms);
        let latency = Latency::of(turns.map(Duration::from_millis));
        Self {
            call: CallView::from(call),
            timeline: events.iter().filter_map(TimelineView::of).collect(),
            latency: latency.map(LatencyView::from),
            transcript,
            report: call.attempt.facts.report.as_ref().map(ReportView::from),
        }
    }
}

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallParams {
    /// Only those of this campaign.
    campaign_id: Option<String>,
    /// Only open ones (true) or only ended ones (false).
    open: Option<bool>,
    /// Only those that ended in this outcome.
    outcome: Option<String>,
    /// At most this many items, 1 to 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Lists calls, latest first.
#[utoipa::path(get, path = "/calls", tag = "calls", params(CallParams),
    responses((status = 200, body = List<CallView>)))]
pub async fn list(
    caller: Caller,
    State(state): State<ApiState>,
    Params(params): Params<CallParams>,
) -> ApiResult<Json<List<CallView>>> {
    let campaign = match &params.campaign_id {
        Some(text) => Some(text.parse().map_err(|_| ApiError::not_found("campaign"))?),
        None => None,
    };
    list_of(&state, caller, campaign, params).await
}

/// Lists a campaign's calls, latest first.
#[utoipa::path(get, path = "/campaigns/{id}/calls", tag = "calls",
    params(("id" = String, Path), CallParams),
    responses((status = 200, body = List<CallView>), (status = 404)))]
pub async fn list_of_campaign(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
    Params(params): Params<CallParams>,
) -> ApiResult<Json<List<CallView>>> {
    campaigns::load(&state, caller.tenant, id).await?;
    list_of(&state, caller, Some(id), params).await
}

async fn list_of(
    state: &ApiState,
    caller: Caller,
    campaign: Option<CampaignId>,
    params: CallParams,
) -> ApiResult<Json<List<CallView>>> {
    let page = page_request(params.limit, params.cursor)?;
    let filter = CallFilter {
        campaign,
        enrollment: None,
        open: params.open,
        outcome: params.outcome,
        ..CallFilter::default()
    };
    let page = state
        .engine
        .store()
        .list_calls(caller.tenant, &filter, &page)
        .await?;
    Ok(Json(List::of(page, |call| CallView::from(&call))))
}

/// The call, if it is the caller's to see.
pub(super) async fn load(state: &ApiState, caller: Caller, id: AttemptId) -> ApiResult<CallRecord> {
    let call = state.engine.store().find_call(caller.tenant, id).await?;
    call.ok_or_else(|| ApiError::not_found("call"))
}

/// One call with its timeline and transcript.
#[utoipa::path(get, path = "/calls/{id}", tag = "calls", params(("id" = String, Path)),
    responses((status = 200, body = CallDetail), (status = 404)))]
pub async fn get(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
) -> ApiResult<Json<CallDetail>> {
    let call = load(&state, caller, id).await?;
    let events = state.engine.store().call_events(caller.tenant, id).await?;
    Ok(Json(CallDetail::new(&call, &events)))
}

/// The last version of each turn, in the order in which the turns began.
fn transcript(events: &[StoredEvent]) -> Vec<TranscriptView> {
    let mut lines: Vec<TranscriptView> = Vec::new();
    for stored in events {
        let EventKind::Transcript { line, .. } = &stored.event.kind else {
            continue;
        };
        let view = TranscriptView::new(line, stored.seq, stored.event.at);
        match lines
            .iter_mut()
            .find(|it| it.turn == view.turn && it.speaker == view.speaker)
        {
            Some(earlier) => *earlier = view,
            None => lines.push(view),
        }
    }
    lines.sort_by_key(|line| line.turn);
    lines
}

/// Asks for a call to be ended. The carrier's callback confirms it.
#[utoipa::path(post, path = "/calls/{id}/hangup", tag = "calls", params(("id" = String, Path)),
    responses((status = 202, body = CallView), (status = 404), (status = 409)))]
pub async fn hang_up(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Id(id): Id<AttemptId>,
) -> ApiResult<(StatusCode, Json<CallView>)> {
    let call = load(&state, caller, id).await?;
    if !call.attempt.state.is_open() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "notAllowed",
            "the call is already over",
        ));
    }
    state.engine.hang_up(caller.tenant, id).await?;
    let call = load(&state, caller, id).await?;
    Ok((StatusCode::ACCEPTED, Json(CallView::from(&call))))
}
