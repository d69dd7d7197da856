//! `GET Calls.json`: filters and pages.

use std::sync::Arc;

use axum::{
    Json,
    extract::{OriginalUri, Query, State},
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use reqwest::Url;
use serde_json::{Value, json};

use super::{call::Call, error::Refusal, fields::Fields};
use crate::sim::simulation::Simulation;

const DEFAULT_PAGE_SIZE: usize = 50;
const MAX_PAGE_SIZE: usize = 1_000;

/// Newest first; calls too young for the listing lag are not there yet.
pub async fn list_calls(
    State(simulation): State<Arc<Simulation>>,
    OriginalUri(uri): OriginalUri,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let fields = Fields(pairs);
    let filter = Filter::parse(&fields)?;
    let page_size = page_size(&fields)?;
    let now = simulation.now();
    let matching: Vec<_> = simulation
        .exchange
        .newest_first()
        .into_iter()
        .filter(|call| call.listed_from <= now && filter.admits(call))
        .collect();
    let start = match fields.get("PageToken") {
        Some(token) => start_of(&matching, token)
            .ok_or_else(|| Refusal::bad_request(20001, "invalid PageToken"))?,
        None => 0,
    };
    let end = (start + page_size).min(matching.len());
    let page = start / page_size;
    let link = |page: usize, token: Option<String>| {
        page_uri(uri.path(), &fields, page_size, page, token.as_deref())
    };
    let shown = &matching[start..end];
    let next = (end < matching.len())
        .then(|| shown.last())
        .flatten()
        .map(|last| link(page + 1, Some(format!("PA{}", last.sid))));
    let previous = (start > 0).then(|| shown.first()).flatten().map(|first| {
        link(
            page.saturating_sub(1),
            Some(format!("PB{}.{page_size}", first.sid)),
        )
    });
    Ok(Json(json!({
        "calls": shown.iter().map(|call| call.to_json()).collect::<Vec<_>>(),
        "page": page,
        "page_size": page_size,
        "start": start,
        "end": end.saturating_sub(1),
        "first_page_uri": link(0, None),
        "next_page_uri": next,
        "previous_page_uri": previous,
        "uri": uri.path_and_query().map_or(uri.path(), |whole| whole.as_str()),
    })))
}

fn page_size(fields: &Fields) -> Result<usize, Refusal> {
    let Some(value) = fields.get("PageSize") else {
        return Ok(DEFAULT_PAGE_SIZE);
    };
    match value.parse() {
        Ok(size @ 1..=MAX_PAGE_SIZE) => Ok(size),
        Ok(_) | Err(_) => Err(Refusal::bad_request(
            20007,
            "Page size must be from 1 to 1000",
        )),
    }
}

/// `PA<sid>` begins after that call, `PB<sid>.<size>` one page before it.
fn start_of(calls: &[Arc<Call>], token: &str) -> Option<usize> {
    let position = |sid: &str| calls.iter().position(|call| call.sid == sid);
    if let Some(sid) = token.strip_prefix("PA") {
        return Some(position(sid)? + 1);
    }
    let (sid, size) = token.strip_prefix("PB")?.split_once('.')?;
    let size: usize = size.parse().ok()?;
    Some(position(sid)?.saturating_sub(size))
}

fn page_uri(
    path: &str,
    fields: &Fields,
    page_size: usize,
    page: usize,
    token: Option<&str>,
) -> String {
    let mut url = Url::parse("http://host").expect("this address is well formed");
    let mut query = url.query_pairs_mut();
    let is_filter = |key: &str| !matches!(key, "Page" | "PageSize" | "PageToken");
    for (key, value) in fields.0.iter().filter(|(key, _)| is_filter(key)) {
        query.append_pair(key, value);
    }
    query.append_pair("PageSize", &page_size.to_string());
    query.append_pair("Page", &page.to_string());
    if let Some(token) = token {
        query.append_pair("PageToken", token);
    }
    drop(query);
    format!("{path}?{}", url.query().unwrap_or_default())
}

/// What a listed call must match.
#[derive(Debug)]
struct Filter {
    to: Option<String>,
    from: Option<String>,
    status: Option<String>,
    parent: Option<String>,
    start: TimeRange,
    end: TimeRange,
}

impl Filter {
    fn parse(fields: &Fields) -> Result<Self, Refusal> {
        let text = |name| fields.get(name).map(str::to_owned);
        Ok(Self {
            to: text("To"),
            from: text("From"),
            status: text("Status"),
            parent: text("ParentCallSid"),
            start: TimeRange::parse(fields, "StartTime")?,
            end: TimeRange::parse(fields, "EndTime")?,
        })
    }

    fn admits(&self, call: &Call) -> bool {
        let state = call.state();
        let fits = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        fits(&self.to, &call.order.to)
            && fits(&self.from, &call.order.from)
            && fits(&self.status, state.status.name())
            && self.parent.is_none()
            && self.start.admits(state.started_at)
            && self.end.admits(state.ended_at)
    }
}

/// From `earliest` (included) to before `latest`; a call without that time is outside any bound.
#[derive(Debug, Default, PartialEq)]
struct TimeRange {
    earliest: Option<Timestamp>,
    latest: Option<Timestamp>,
}

impl TimeRange {
    /// The sign is part of the parameter's name: `StartTime`, `StartTime<` or `StartTime>`.
    fn parse(fields: &Fields, name: &str) -> Result<Self, Refusal> {
        let moment = |sign: &str| {
            let value = fields.get(&format!("{name}{sign}"));
            value.map(|value| parse_moment(name, value)).transpose()
        };
        let mut range = Self {
            earliest: moment(">")?,
            latest: moment("<")?,
        };
        if let Some(day) = moment("")? {
            range.earliest = Some(day);
            range.latest = Some(day + 24.hours());
        }
        Ok(range)
    }

    fn admits(&self, at: Option<Timestamp>) -> bool {
        if *self == Self::default() {
            return true;
        }
        at.is_some_and(|at| {
            self.earliest.is_none_or(|earliest| at >= earliest)
                && self.latest.is_none_or(|latest| at < latest)
        })
    }
}

fn parse_moment(name: &str, value: &str) -> Result<Timestamp, Refusal> {
    let at_midnight = |date: Date| {
        let start = date.to_zoned(TimeZone::UTC).ok()?;
        Some(start.timestamp())
    };
    value
        .parse()
        .ok()
        .or_else(|| value.parse().ok().and_then(at_midnight))
        .ok_or_else(|| {
            let message = format!("{name} must be a date or a time in ISO 8601, not {value}");
            Refusal::bad_request(20001, message)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(pairs: &[(&str, &str)]) -> TimeRange {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let fields = Fields(pairs.iter().map(owned).collect());
        TimeRange::parse(&fields, "StartTime").unwrap()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_bound_hides_calls_without_a_start_and_none_hides_nothing() {
        assert!(range(&[]).admits(None));
        let since = range(&[("StartTime>", "2026-10-06T10:00:00Z")]);
        assert!(!since.admits(None));
        assert!(since.admits(at("2026-10-06T10:00:00Z")));
        assert!(!since.admits(at("2026-10-06T09:59:59Z")));
    }

    #[test]
    fn a_plain_date_means_that_day() {
        let day = range(&[("StartTime", "2026-10-06")]);
        assert!(day.admits(at("2026-10-06T23:59:59Z")));
        assert!(!day.admits(at("2026-10-07T00:00:00Z")));
    }
}
