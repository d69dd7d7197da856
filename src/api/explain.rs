//! Why nobody is called, or this person is not: the engine's answers as clients see them.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::Caller,
    contacts::EnrollmentView,
    emergency::HaltView,
    error::{ApiError, ApiResult},
    extract::Id,
};
use crate::{
    domain::{
        Timestamp,
        forecast::Forecast,
        halt::Halt,
        ids::{CampaignId, EnrollmentId},
        profile::Profile,
        rules::{Finding, Rule, Verdict},
    },
    engine::{Diagnosis, Explanation, Group},
};

/// What every rule and limit says about calling one person.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationView {
    /// The person in this campaign.
    pub contact: EnrollmentView,
    /// When this holds.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether the call may begin now.
    pub is_allowed: bool,
    /// The rule that decides; null when the call may begin.
    pub decided_by: Option<String>,
    /// What that rule says, in a sentence.
    pub reason: Option<String>,
    /// What would change it.
    pub remedy: Option<String>,
    /// The earliest moment at which the call may begin as far as is known; null when time alone does
    /// not bring it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// Every rule's finding.
    pub rules: Vec<FindingView>,
}

/// What one rule says, and what it compared.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingView {
    /// The rule's name.
    pub rule: String,
    /// allowed, hold or never.
    pub verdict: String,
    /// What it compared, by name.
    pub values: BTreeMap<String, String>,
    /// When this rule alone allows it; null when time alone does not bring that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// Where a campaign's people are, and why those who wait do. The numbers add up to all who are
/// enrolled.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisView {
    /// When this holds.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The campaign's status.
    pub status: String,
    /// Why it is paused, or stands still although it is active.
    pub reason: Option<String>,
    /// The emergency stop in force.
    pub emergency_stop: Option<HaltView>,
    /// Everyone enrolled.
    pub enrolled: u64,
    /// Those with an open attempt.
    pub open: u64,
    /// Those who wait, by what keeps them; most first.
    pub waiting: Vec<GroupView>,
    /// Those at their end, by how their last call ended; `none` without any.
    pub finished: BTreeMap<String, u64>,
    /// Of those without any, the ones that a rule ended.
    pub finished_by_rule: Vec<GroupView>,
}

/// People for whom the same rule decides.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// The rule's name; null when nothing keeps them: their calls begin in a moment.
    pub rule: Option<String>,
    /// What it says, in a sentence.
    pub reason: Option<String>,
    /// What would change it.
    pub remedy: Option<String>,
    /// How many people.
    pub count: u64,
    /// When the first of them may be called as far as is known.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
}

/// What a campaign will take from now on. Ranges, because nobody knows exactly; null where too little
/// is known.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastView {
    /// How many people will be called.
    pub people: u64,
    /// How many will not, by the rule that ends them.
    pub skipped: BTreeMap<String, u64>,
    /// The fewest calls.
    pub calls_at_least: u64,
    /// The most calls.
    pub calls_at_most: u64,
    /// The most calls that are open at once.
    pub open_at_most: u32,
    /// The limit that says so: campaignSlots, tenantSlots or agentSlots.
    pub limited_by: String,
    /// The earliest end; null when nobody can be called within a year.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_from: Option<Timestamp>,
    /// The latest end; null also before thirty calls were measured.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends_until: Option<Timestamp>,
    /// The least cost in millionths of a US dollar; null without a price, or before thirty calls.
    pub cost_micro_usd_at_least: Option<u64>,
    /// The most.
    pub cost_micro_usd_at_most: Option<u64>,
    /// Places in which nobody may be called within a year.
    pub never_open: Vec<String>,
}

impl From<Forecast> for ForecastView {
    fn from(it: Forecast) -> Self {
        Self {
            people: it.n_people,
            skipped: it.skipped,
            calls_at_least: it.calls.low,
            calls_at_most: it.calls.high,
            open_at_most: it.most_open,
            limited_by: it.slots.name().to_owned(),
            ends_from: it.finish.low,
            ends_until: it.finish.high,
            cost_micro_usd_at_least: it.cost_micro_usd.map(|cost| cost.low),
            cost_micro_usd_at_most: it.cost_micro_usd.map(|cost| cost.high),
            never_open: it.never_open,
        }
    }
}

/// What a campaign will take from now on: who will be skipped and why, how many calls, until when, at
/// what cost.
#[utoipa::path(get, path = "/campaigns/{id}/forecast", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = ForecastView), (status = 404)))]
pub async fn forecast(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<ForecastView>> {
    let forecast = state.engine.forecast(caller.tenant, id).await?;
    Ok(Json(forecast.into()))
}

/// A ready-made set of calling rules.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView {
    /// Its name in settings.
    pub id: String,
    /// The day from which this version holds.
    pub version: String,
    /// For people.
    pub title: String,
    /// Statutes and regulators, and what is taken from each.
    pub sources: Vec<String>,
    /// What it asks for, by region; `*` is everywhere else.
    pub regions: Vec<ProfileRegionView>,
}

/// What a profile asks for in one region.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileRegionView {
    /// The region, such as `US-FL`, or `*`.
    pub region: String,
    /// The hours by the clock of the person called.
    pub window: String,
    /// How often at most, such as `3 in 24 h`.
    pub caps: Vec<String>,
    /// Whether a person must have agreed.
    pub requires_consent: bool,
    /// Whether holidays have other hours.
    pub observes_holidays: bool,
}

impl From<Explanation> for ExplanationView {
    fn from(it: Explanation) -> Self {
        Self {
            contact: EnrollmentView::from(it.enrollment),
            at: it.at,
            is_allowed: it.decided_by.is_none(),
            decided_by: it.decided_by.map(|rule| rule.name().to_owned()),
            reason: it.decided_by.map(|rule| rule.sentence().to_owned()),
            remedy: it.decided_by.map(|rule| rule.remedy().to_owned()),
            next_at: it.next_at,
            rules: it.findings.iter().map(FindingView::from).collect(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let verdict = match finding.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Hold { .. } => "hold",
            Verdict::Never => "never",
        };
        let values = finding.values.iter();
        Self {
            rule: finding.rule.name().to_owned(),
            verdict: verdict.to_owned(),
            values: values
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
            next_at: finding.next,
        }
    }
}

impl From<Diagnosis> for DiagnosisView {
    fn from(it: Diagnosis) -> Self {
        let by_rule = it.finished_by_rule.into_iter().map(|(rule, n)| {
            GroupView::from(Group {
                rule: Some(rule),
                n,
                next_at: None,
            })
        });
        Self {
            at: it.at,
            status: it.campaign.status.name().to_owned(),
            reason: it
                .campaign
                .status
                .reason()
                .or_else(|| it.halt.as_ref().map(Halt::sentence)),
            emergency_stop: it.halt.as_ref().map(HaltView::from),
            enrolled: it.progress.n_enrolled,
            open: it.progress.n_open,
            waiting: it.waiting.into_iter().map(GroupView::from).collect(),
            finished: it.progress.finished_by_outcome,
            finished_by_rule: by_rule.collect(),
        }
    }
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        let rule = group.rule;
        Self {
            rule: rule.map(|rule| rule.name().to_owned()),
            reason: rule.map(|rule| Rule::sentence(rule).to_owned()),
            remedy: rule.map(|rule| Rule::remedy(rule).to_owned()),
            count: group.n,
            next_at: group.next_at,
        }
    }
}

impl From<&'static Profile> for ProfileView {
    fn from(profile: &'static Profile) -> Self {
        let regions = profile.rows().map(|(region, rules)| ProfileRegionView {
            region: region.to_owned(),
            window: rules.window.to_string(),
            caps: rules.caps.iter().map(ToString::to_string).collect(),
            requires_consent: rules.requires_consent,
            observes_holidays: rules.holidays.is_some(),
        });
        Self {
            id: profile.id.to_string(),
            version: profile.version.to_owned(),
            title: profile.title.to_owned(),
            sources: profile
                .sources
                .iter()
                .map(|source| (*source).to_owned())
                .collect(),
            regions: regions.collect(),
        }
    }
}

/// Why one person of a campaign has not been called yet: what every rule and limit says now.
#[utoipa::path(get, path = "/campaigns/{id}/contacts/{enrollment}/explain", tag = "campaigns",
    params(("id" = String, Path), ("enrollment" = String, Path)),
    responses((status = 200, body = ExplanationView), (status = 404)))]
pub async fn explain(
    caller: Caller,
    State(state): State<ApiState>,
    Path((id, enrollment)): Path<(String, String)>,
) -> ApiResult<Json<ExplanationView>> {
    let id: CampaignId = id.parse().map_err(|_| ApiError::not_found("campaign"))?;
    let enrollment: EnrollmentId = enrollment
        .parse()
        .map_err(|_| ApiError::not_found("contact"))?;
    let explanation = state.engine.explain(caller.tenant, id, enrollment).await?;
    Ok(Json(explanation.into()))
}

/// Why a campaign's people were not called yet, summed up.
#[utoipa::path(get, path = "/campaigns/{id}/diagnostics", tag = "campaigns",
    params(("id" = String, Path)),
    responses((status = 200, body = DiagnosisView), (status = 404)))]
pub async fn diagnostics(
    caller: Caller,
    State(state): State<ApiState>,
    Id(id): Id<CampaignId>,
) -> ApiResult<Json<DiagnosisView>> {
    let diagnosis = state.engine.diagnose(caller.tenant, id).await?;
    Ok(Json(diagnosis.into()))
}

/// The ready-made sets of calling rules. They are data for a computer, not legal advice.
#[utoipa::path(get, path = "/rule-profiles", tag = "campaigns",
    responses((status = 200, body = Vec<ProfileView>)))]
pub async fn profiles(_caller: Caller) -> Json<Vec<ProfileView>> {
    Json(Profile::all().iter().map(ProfileView::from).collect())
}
