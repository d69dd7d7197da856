//! A connection to the agent that is prepared before there is a call to carry.

use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::debug;

use crate::{agents::link::Prepared, domain::ids::AgentVendor};

use super::Bridge;

/// A connection that is being prepared, or is. Dropping it lets go of it.
#[derive(Debug)]
pub struct WarmUp(AbortOnDropHandle<Option<Prepared>>);

impl WarmUp {
    /// Begins it on `tasks`.
    pub fn begin(
        tasks: &TaskTracker,
        preparing: impl Future<Output = Option<Prepared>> + Send + 'static,
    ) -> Self {
        Self(AbortOnDropHandle::new(tasks.spawn(preparing)))
    }

    /// The connection, once it is there; none if it could not be had.
    pub(super) async fn ready(warm: Option<Self>) -> Option<Prepared> {
        warm?.0.await.ok().flatten()
    }
}

impl Bridge {
    /// Prepares a connection to the agent of that vendor and id; none takes the one of the
    /// configuration. Why it cannot be had is told by the call that needs it, if one does.
    pub async fn prepare(
        &self,
        vendor: Option<&AgentVendor>,
        agent_id: Option<&str>,
    ) -> Option<Prepared> {
        match self.agent.prepare(vendor, agent_id).await {
            Ok(prepared) => prepared,
            Err(error) => {
                debug!(%error, "no connection to the agent was prepared");
                None
            }
        }
    }
}
