//! The days that a tenant adds to the public holidays.

use axum::{Json, extract::State};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiState,
    auth::{Caller, Manager},
    error::{ApiError, ApiResult},
    extract::Body,
};
use crate::{
    domain::{holiday::Holidays, ids::TenantId, place::RegionCode},
    store::TenantRules,
};

/// The most days.
const MAX_DAYS: usize = 2000;

/// The days that the tenant added, everywhere or in a region. They hold for campaigns that observe
/// holidays.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolidaysBody {
    /// Up to 2,000.
    holidays: Vec<HolidayBody>,
}

/// One day.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolidayBody {
    /// By the calendar where the person is, such as `2026-12-24`.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// For people.
    name: String,
    /// A country or a part of it, such as `GB` or `US-FL`; null for everywhere.
    region: Option<String>,
}

impl From<&Holidays> for HolidaysBody {
    fn from(holidays: &Holidays) -> Self {
        let holidays = holidays.iter().map(|(region, date, name)| HolidayBody {
            date,
            name: name.to_owned(),
            region: region.map(ToString::to_string),
        });
        Self {
            holidays: holidays.collect(),
        }
    }
}

fn holidays_of(body: &HolidaysBody) -> ApiResult<Holidays> {
    if body.holidays.len() > MAX_DAYS {
        return Err(ApiError::field(
            "/holidays",
            "length",
            "must have at most 2000 days",
        ));
    }
    let mut holidays = Holidays::default();
    for (i, day) in body.holidays.iter().enumerate() {
        let region = day.region.as_deref().map(str::parse::<RegionCode>);
        let region = region.transpose().map_err(|error| {
            ApiError::field(&format!("/holidays/{i}/region"), "form", error.to_string())
        })?;
        holidays.add(region, day.date, day.name.trim());
    }
    Ok(holidays)
}

/// What the tenant has set, with a salt of its own before the first save.
async fn kept(state: &ApiState, tenant: TenantId) -> ApiResult<TenantRules> {
    let kept = state.engine.store().tenant_rules(tenant).await?;
    Ok(kept.unwrap_or_else(|| TenantRules {
        holidays: Holidays::default(),
        salt: (0..32)
            .map(|_| format!("{:02x}", rand::random::<u8>()))
            .collect(),
    }))
}

/// The days that the tenant added to the public holidays.
#[utoipa::path(get, path = "/settings/holidays", tag = "settings",
    responses((status = 200, body = HolidaysBody)))]
pub async fn get(caller: Caller, State(state): State<ApiState>) -> ApiResult<Json<HolidaysBody>> {
    let rules = kept(&state, caller.tenant).await?;
    Ok(Json(HolidaysBody::from(&rules.holidays)))
}

/// Replaces the days that the tenant added to the public holidays.
#[utoipa::path(put, path = "/settings/holidays", tag = "settings", request_body = HolidaysBody,
    responses((status = 200, body = HolidaysBody), (status = 422)))]
pub async fn put(
    Manager(caller): Manager,
    State(state): State<ApiState>,
    Body(body): Body<HolidaysBody>,
) -> ApiResult<Json<HolidaysBody>> {
    let rules = TenantRules {
        holidays: holidays_of(&body)?,
        ..kept(&state, caller.tenant).await?
    };
    let engine = &state.engine;
    let saved = engine.save_tenant_rules(caller.tenant, &rules).await?;
    Ok(Json(HolidaysBody::from(&saved.holidays)))
}
