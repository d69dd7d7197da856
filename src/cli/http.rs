//! Speaking to a running server, as anybody could.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::RequestBuilder;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

/// How long one answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The token of a user who signs in at the API under `base`.
pub(super) async fn sign_in(
    http: &reqwest::Client,
    base: &str,
    email: &str,
    password: &str,
) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Login {
        token: String,
    }
    let body = json!({"email": email, "password": password});
    let login: Login = answer(http.post(format!("{base}/auth/login")).json(&body)).await?;
    Ok(login.token)
}

/// The body of a success.
pub(super) async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    let response = request.send().await.context("the server does not answer")?;
    let status = response.status();
    let body = response.bytes().await?;
    if !status.is_success() {
        bail!(
            "the server answered {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    serde_json::from_slice(&body).context("the server's answer cannot be read")
}
