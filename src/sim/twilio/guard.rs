//! What surrounds every REST request: Basic authentication and the response headers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    extract::{OriginalUri, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::error::Refusal;
use crate::sim::{config::SimulatorConfig, simulation::Simulation};

/// REST requests being answered at this moment.
#[derive(Debug, Default)]
pub struct InFlight(AtomicU32);

/// Counts one request for as long as it lives, also when its client goes away.
struct Counted<'a> {
    in_flight: &'a InFlight,
    n_concurrent: u32,
}

impl InFlight {
    fn enter(&self) -> Counted<'_> {
        let n_concurrent = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        Counted {
            in_flight: self,
            n_concurrent,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.in_flight.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub async fn guard(
    State(simulation): State<Arc<Simulation>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let counted = simulation.exchange.in_flight.enter();
    let mut response = if may_enter(&simulation.config, request.headers(), uri.path()) {
        next.run(request).await
    } else {
        Refusal::not_authenticated().into_response()
    };
    let seconds = started.elapsed().as_secs_f64();
    let headers = response.headers_mut();
    set(headers, "twilio-request-id", &simulation.new_sid("RQ"));
    set(headers, "twilio-request-duration", &format!("{seconds:.3}"));
    set(
        headers,
        "twilio-concurrent-requests",
        &counted.n_concurrent.to_string(),
    );
    set(headers, "x-home-region", "us1");
    set(headers, "x-api-domain", "api.twilio.com");
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("the values are plain ASCII");
    headers.insert(HeaderName::from_static(name), value);
}

/// Whether the credentials fit and belong to the account that the path names.
fn may_enter(config: &SimulatorConfig, headers: &HeaderMap, path: &str) -> bool {
    let Some((user, password)) = basic_credentials(headers) else {
        return false;
    };
    let expected = if user == config.account_sid {
        Some(&config.auth_token)
    } else {
        config.api_keys.get(&user)
    };
    account_in(path) == Some(config.account_sid.as_str())
        && expected.is_some_and(|secret| secret.as_bytes().ct_eq(password.as_bytes()).into())
}

/// The account SID in `/2010-04-01/Accounts/{sid}/...` or `/2010-04-01/Accounts/{sid}.json`.
fn account_in(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/2010-04-01/Accounts/")?;
    rest.split(['/', '.']).next()
}

fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enters(user: &str, password: &str, account: &str) -> bool {
        let config = SimulatorConfig::default();
        let mut headers = HeaderMap::new();
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let value = HeaderValue::from_str(&format!("Basic {encoded}")).unwrap();
        headers.insert(header::AUTHORIZATION, value);
        may_enter(
            &config,
            &headers,
            &format!("/2010-04-01/Accounts/{account}/Calls.json"),
        )
    }

    #[test]
    fn the_account_and_its_keys_may_enter_and_nobody_else() {
        let account = "AC00000000000000000000000000000001";
        let key = "SK00000000000000000000000000000001";
        assert!(enters(account, "simulated-auth-token", account));
        assert!(enters(key, "simulated-key-secret", account));
        assert!(!enters(account, "wrong", account));
        assert!(!enters(key, "simulated-auth-token", account));
        assert!(!enters(
            account,
            "simulated-auth-token",
            "AC00000000000000000000000000000002"
        ));
        let config = SimulatorConfig::default();
        assert!(!may_enter(
            &config,
            &HeaderMap::new(),
            "/2010-04-01/Accounts"
        ));
    }
}
