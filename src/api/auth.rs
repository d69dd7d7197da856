//! Who is calling, and the routes for signing in.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ApiState,
    error::{ApiError, ApiResult},
    extract::Body,
};
use crate::domain::{
    Timestamp,
    access::{Role, User},
    ids::{SessionId, TenantId, UserId},
};

/// Who is calling. A handler that takes it cannot be reached without signing in.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Whose records the caller may reach.
    pub tenant: TenantId,
    /// Who it is.
    pub user: UserId,
    /// With which session.
    pub session: SessionId,
    /// What the caller may do.
    pub role: Role,
}

/// A caller who may create and run campaigns.
#[derive(Debug, Clone, Copy)]
pub struct Manager(pub Caller);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let token = token(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        state
            .access
            .caller(token)
            .await?
            .ok_or_else(ApiError::unauthorized)
    }
}

/// What is spoken on the socket of somebody who listens to a call.
pub const LISTEN_PROTOCOL: &str = "dialtone.listen";

/// What a subprotocol begins with that is a token.
const TOKEN_PROTOCOL: &str = "bearer.";

/// The token that a request brings: as `Authorization`, or, because a browser's WebSocket has no such
/// header, as one of its subprotocols. Never in the address, which is written to logs.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = protocols
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(TOKEN_PROTOCOL));
    authorization.or(offered).map(str::trim)
}

impl FromRequestParts<ApiState> for Manager {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> ApiResult<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.role >= Role::Manager {
            Ok(Self(caller))
        } else {
            Err(ApiError::forbidden())
        }
    }
}

/// Who wants to sign in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    email: String,
    password: String,
}

/// A token, and whose it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoginView {
    /// To be sent as `Authorization: Bearer …` and in the Socket.IO handshake's `auth.token`.
    pub token: String,
    /// When it stops to be usable.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Who signed in.
    pub user: UserView,
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// Ours.
    pub id: String,
    /// In lower case.
    pub email: String,
    /// owner, manager or viewer.
    pub role: &'static str,
    /// The tenant the user belongs to.
    pub tenant_id: String,
}

impl From<&User> for UserView {
    fn from(user: &User) -> Self {
        let role = match user.role {
            Role::Owner => "owner",
            Role::Manager => "manager",
            Role::Viewer => "viewer",
        };
        Self {
            id: user.id.to_string(),
            email: user.email.clone(),
            role,
            tenant_id: user.tenant.to_string(),
        }
    }
}

/// Signs in.
///
/// `POST /auth/login`: 200 with a token; 401 wrong address or password; 429 too many wrong ones.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()), request_body = Login,
    responses((status = 200, body = LoginView), (status = 401), (status = 429)))]
pub async fn login(
    State(state): State<ApiState>,
    Body(login): Body<Login>,
) -> ApiResult<Json<LoginView>> {
    let (session, user) = state.access.sign_in(&login.email, login.password).await?;
    Ok(Json(LoginView {
        token: state.access.token(&session),
        expires_at: session.expires_at,
        user: UserView::from(&user),
    }))
}

/// Ends the caller's session; its tokens stop to be usable at once.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", responses((status = 204)))]
pub async fn logout(caller: Caller, State(state): State<ApiState>) -> ApiResult<StatusCode> {
    state
        .engine
        .store()
        .delete_session(caller.tenant, caller.session)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is signed in.
#[utoipa::path(get, path = "/auth/me", tag = "auth", responses((status = 200, body = UserView)))]
pub async fn me(caller: Caller, State(state): State<ApiState>) -> ApiResult<Json<UserView>> {
    let user = state
        .engine
        .store()
        .find_user(caller.tenant, caller.user)
        .await?;
    let user = user.ok_or_else(ApiError::unauthorized)?;
    Ok(Json(UserView::from(&user)))
}
