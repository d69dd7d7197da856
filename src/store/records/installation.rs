//! What is kept about the installation as a whole.

use serde::{Deserialize, Serialize};

use super::{
    record,
    wire::{millis, millis_option},
};
use crate::{
    domain::{
        Timestamp,
        halt::{Halt, HaltScope},
    },
    store::Deployment,
};

record!(
    /// The deployment that the records belong to.
    DeploymentRecord, Deployment, "DeploymentShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Deployment", rename_all = "camelCase")]
struct DeploymentShape {
    identity: String,
    #[serde(with = "millis")]
    since: Timestamp,
    #[serde(with = "millis")]
    beat_at: Timestamp,
    #[serde(with = "millis_option")]
    calls_missing_since: Option<Timestamp>,
}

record!(
    /// An emergency stop.
    HaltRecord, Halt, "HaltShape"
);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Halt", rename_all = "camelCase")]
struct HaltShape {
    #[serde(with = "millis")]
    at: Timestamp,
    by: String,
    reason: Option<String>,
    ends_talks: bool,
}

/// Where the emergency stop of a scope is kept.
pub fn halt_key(scope: HaltScope) -> String {
    match scope {
        HaltScope::Tenant(tenant) => format!("halt/{tenant}"),
        HaltScope::Installation => "halt".to_owned(),
    }
}
