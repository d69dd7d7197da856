//! Who may do what.

use super::{
    Timestamp,
    ids::{SessionId, TenantId, UserId},
};

/// What a user may do in a tenant; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// See everything.
    Viewer,
    /// Create and run campaigns.
    Manager,
    /// Change the tenant itself.
    Owner,
}

/// Somebody who signs in with an e-mail address and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Ours.
    pub id: UserId,
    /// The tenant the user belongs to.
    pub tenant: TenantId,
    /// In lower case; unique in the installation.
    pub email: String,
    /// An argon2id hash in PHC form; never the password.
    pub password_hash: String,
    /// What the user may do.
    pub role: Role,
    /// When the user was added.
    pub created_at: Timestamp,
}

/// One sign-in. Tokens name their session, so deleting it ends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Ours.
    pub id: SessionId,
    /// The tenant of the user.
    pub tenant: TenantId,
    /// Who signed in.
    pub user: UserId,
    /// The user's role when signing in.
    pub role: Role,
    /// When the session stops to be usable.
    pub expires_at: Timestamp,
}
