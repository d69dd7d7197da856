//! What opening a conversation has in common, whoever the vendor is.

use std::time::Duration;

use tokio::time::timeout;

use super::{AgentError, BoxError};

/// How long opening may take. Somebody who has answered the phone waits for it.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What `opening` comes to within [`OPEN_TIMEOUT`].
pub async fn in_time<T>(
    opening: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, AgentError> {
    timeout(OPEN_TIMEOUT, opening)
        .await
        .unwrap_or_else(|_| Err(unavailable("no connection within 10 s")))
}

/// An address as a WebSocket's; some answers give it as HTTP.
pub fn socket_address(address: &str) -> String {
    match address.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => address.to_owned(),
    }
}

/// What a request that brought no answer means.
pub fn transport_error(error: reqwest::Error) -> AgentError {
    AgentError::Unavailable(error.without_url().into())
}

/// A vendor that cannot be used at the moment.
pub fn unavailable(why: &'static str) -> AgentError {
    AgentError::Unavailable(BoxError::from(why))
}
