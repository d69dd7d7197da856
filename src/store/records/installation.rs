//! What is kept about the installation as a whole.

use serde::{Deserialize, Serialize};

use super::{record, wire::millis};
use crate::{domain::Timestamp, store::Deployment};

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
}
