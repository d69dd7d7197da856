//! Errors as clients see them: RFC 9457 problem documents with a stable `code`.
//!
//! The cause goes to the log only. Nothing below this layer knows status codes.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::{debug, error, warn};
use utoipa::ToSchema;

use crate::{engine::EngineError, import::ListError, store::StoreError};

/// What handlers give back.
pub type ApiResult<T> = Result<T, ApiError>;

/// Something that a client is told.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    records: Vec<(&'static str, String)>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer such as `/settings/callerId`.
    pub pointer: String,
    /// A stable name for the reason.
    pub code: &'static str,
    /// The reason in words.
    pub detail: String,
}

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says what it is.
    pub r#type: &'static str,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable name for programs.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub detail: String,
    /// What is wrong with the input, field by field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Records that exist all the same, by kind.
    #[serde(flatten)]
    pub records: std::collections::BTreeMap<&'static str, String>,
}

impl ApiError {
    /// An error of that status, with a stable code and words for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            records: Vec::new(),
        }
    }

    /// There is no such record, or it belongs to somebody else.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "notFound",
            format!("there is no such {what}"),
        )
    }

    /// The request cannot be understood as it is.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// Something panicked that should not have.
    pub fn broken() -> Self {
        let detail = "something is broken in the server; the log says what";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// One field of the request is wrong.
    pub fn field(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let error = FieldError {
            pointer: pointer.to_owned(),
            code,
            detail: detail.clone(),
        };
        Self {
            errors: vec![error],
            ..Self::invalid(format!("{pointer}: {detail}"))
        }
    }

    /// Nobody is signed in, or the token is no good.
    pub fn unauthorized() -> Self {
        let detail = "sign in and send the token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// The caller's role does not allow that.
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "your role does not allow that",
        )
    }

    /// Names a record that exists in spite of the error.
    pub fn with_record(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.records.push((kind, id.to_string()));
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            errors: self.errors,
            records: self.records.into_iter().collect(),
        };
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, content_type, Json(problem)).into_response()
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound { what } => Self::not_found(what),
            EngineError::NotAllowed(error) => {
                Self::new(StatusCode::CONFLICT, "notAllowed", error.to_string())
            }
            EngineError::Invalid(detail) => Self::invalid(detail),
            EngineError::InCall(detail) => Self::new(StatusCode::CONFLICT, "inCall", detail),
            EngineError::Gone(detail) => Self::new(StatusCode::GONE, "deleted", detail),
            EngineError::NotYet(detail) => Self::new(StatusCode::CONFLICT, "notYet", detail),
            EngineError::Carrier(error) => {
                warn!(%error, "the carrier did not do what somebody asked for");
                Self::new(StatusCode::BAD_GATEWAY, "carrier", error.to_string())
            }
            EngineError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { .. } => {
                debug!(%error, "request lost a race");
                let detail = "somebody else changed this meanwhile; load it again";
                Self::new(StatusCode::CONFLICT, "conflict", detail)
            }
            StoreError::Taken { what } => Self::new(
                StatusCode::CONFLICT,
                "taken",
                format!("{what} is already taken"),
            ),
            StoreError::BadCursor => Self::field("/cursor", "unknown", error.to_string()),
            StoreError::Unavailable(_) | StoreError::LeaseLost { .. } => {
                error!(%error, "store unavailable");
                let detail = "the store does not answer; try again in a moment";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            }
            StoreError::Unreadable { .. } => {
                error!(%error, "record cannot be read");
                let detail = "a record cannot be read; the log says which";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
            }
        }
    }
}

impl From<ListError> for ApiError {
    fn from(error: ListError) -> Self {
        let code = match &error {
            ListError::Read(_) => "listUnreadable",
            ListError::NotUtf8Text { .. } => "listNotUtf8",
            ListError::Empty => "listEmpty",
            ListError::NoPhoneColumn { .. } => "listNoPhoneColumn",
            ListError::NobodyNamed { .. } => "listNamesNobody",
            ListError::NoSuchColumn { .. } => "listNoSuchColumn",
            ListError::TooManyColumns { .. } => "listTooManyColumns",
            ListError::RecordTooLong { .. } => "listRowTooLong",
            ListError::UnclosedQuote { .. } => "listUnclosedQuote",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, error.to_string())
    }
}

impl ApiError {
    /// The error in the engine's words, for closures that the engine calls.
    pub fn into_engine(self) -> EngineError {
        EngineError::Invalid(self.detail)
    }
}
