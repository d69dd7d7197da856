//! What handlers take: bodies, queries and ids, each refused with a problem document.

use std::{num::NonZeroU32, str::FromStr};

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use crate::store::{Page, PageRequest};

/// A JSON body. Unknown and wrong fields are refused with 422, because a field that is silently
/// dropped is a setting that somebody believes in.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => Err(wrong_field(&error.body_text())),
            Err(JsonRejection::JsonSyntaxError(error)) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "notJson",
                error.body_text(),
            )),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "notJson",
                "send JSON with `Content-Type: application/json`",
            )),
            Err(other) => Err(ApiError::new(
                other.status(),
                "unreadable",
                other.body_text(),
            )),
        }
    }
}

/// The field that the JSON reader names, as a pointer: it says `path.to.field: what is wrong`.
fn wrong_field(text: &str) -> ApiError {
    let text = text
        .rsplit_once("target type: ")
        .map_or(text, |(_, rest)| rest);
    match text.split_once(": ") {
        Some((path, detail)) if !path.contains(' ') => {
            ApiError::field(&format!("/{}", path.replace('.', "/")), "form", detail)
        }
        _ => ApiError::invalid(text),
    }
}

/// An id in the path. One that cannot exist is answered like one that does not.
pub struct Id<T>(pub T);

impl<T: FromStr + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("record"))?;
        text.parse()
            .map(Self)
            .map_err(|_| ApiError::not_found("record"))
    }
}

/// Query parameters. Unknown ones are refused like unknown fields.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(params) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::invalid(error.body_text()))?;
        Ok(Self(params))
    }
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// At most this many items, 1 to 500; 50 without it.
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

const USUAL_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

/// The page that `limit` and `cursor` ask for.
pub fn page_request(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, ApiError> {
    let limit = NonZeroU32::new(limit.unwrap_or(USUAL_LIMIT))
        .filter(|limit| limit.get() <= MAX_LIMIT)
        .ok_or_else(|| ApiError::field("/limit", "outOfRange", "must be from 1 to 500"))?;
    Ok(PageRequest { limit, cursor })
}

/// Part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items of this part.
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: u64,
    /// `cursor` of the next part; null when this is the last.
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A store's page with each item made into what clients see.
    pub fn of<R>(page: Page<R>, view: impl FnMut(R) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(view).collect(),
            total: page.total,
            next: page.next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_at_fault_is_named_by_a_pointer() {
        let prefix = "Failed to deserialize the JSON body into the target type: ";
        let named = wrong_field(&format!("{prefix}settings.retry.busy: unknown field `x`"));
        assert!(
            format!("{named:?}").contains("\"/settings/retry/busy\""),
            "{named:?}"
        );
        let unnamed = wrong_field(&format!("{prefix}missing field `name` at line 1"));
        assert!(format!("{unnamed:?}").contains("errors: []"), "{unnamed:?}");
    }
}
