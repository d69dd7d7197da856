//! Users and their sessions.

use serde::{Deserialize, Serialize};

use super::{
    record,
    wire::{millis, text},
};
use crate::domain::{
    Timestamp,
    access::{Role, Session, User},
    ids::{SessionId, TenantId, UserId},
};

record!(
    /// A user.
    UserRecord, User, "UserShape"
);
record!(
    /// A session.
    SessionRecord, Session, "SessionShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "User", rename_all = "camelCase")]
struct UserShape {
    #[serde(rename = "_id", with = "text")]
    id: UserId,
    #[serde(with = "text")]
    tenant: TenantId,
    email: String,
    password_hash: String,
    #[serde(with = "RoleShape")]
    role: Role,
    #[serde(with = "millis")]
    created_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Session", rename_all = "camelCase")]
struct SessionShape {
    #[serde(rename = "_id", with = "text")]
    id: SessionId,
    #[serde(with = "text")]
    tenant: TenantId,
    #[serde(with = "text")]
    user: UserId,
    #[serde(with = "RoleShape")]
    role: Role,
    #[serde(with = "millis")]
    expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Role", rename_all = "camelCase")]
enum RoleShape {
    Viewer,
    Manager,
    Owner,
}
