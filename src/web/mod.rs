//! Requests to addresses that tenants name.
//!
//! Knows what such a request may reach and how much of an answer is taken: `https` on the public
//! internet, no redirects, a deadline and a bound for everything. A name is resolved once, each of its
//! addresses is checked, and the connection goes to one of those that were checked, so that a name
//! which changes its mind leads nowhere else. Does not know what is asked, or why.

use std::{error::Error as _, fmt, net::SocketAddr, time::Duration};

use reqwest::{
    Client, ClientBuilder, Method, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderName, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::{net::lookup_host, sync::Semaphore};

use crate::domain::address::{PrivateHost, is_public};

/// The longest address, in bytes.
pub const MAX_URL: usize = 2_000;

/// How much of an answer is taken, in bytes: more is more than an agent can say.
pub const MAX_ANSWER: usize = 8 * 1024;

/// How many requests may be on their way at once.
const MAX_IN_FLIGHT: usize = 256;

/// Why an address may not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Not an address at all, or one with a password or a fragment in it.
    #[error("must be an address such as https://example.com/path, without a user or a fragment")]
    Form,
    /// Not encrypted.
    #[error("must begin with https://")]
    Plain,
    /// Not on the public internet.
    #[error("must be on the public internet")]
    Private,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// It was not asked.
    #[error("the address may not be asked: it {0}")]
    Forbidden(#[from] Forbidden),
    /// Too many requests are on their way.
    #[error("too many requests are on their way")]
    Busy,
    /// It took too long. Whoever was asked may have done it.
    #[error("no answer came in time")]
    Late,
    /// It cannot be reached, or broke off.
    #[error("it could not be reached: {0}")]
    Unreachable(#[source] reqwest::Error),
}

/// What is asked of an address.
#[derive(Debug)]
pub struct WebRequest {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Added to the address.
    pub query: Vec<(String, String)>,
    /// Sent as JSON.
    pub body: Option<Value>,
    /// By which the other side knows who asks.
    pub header: Option<(HeaderName, SecretString)>,
    /// How long everything may take, from the name's look-up to the answer's last byte.
    pub within: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAnswer {
    /// HTTP's status.
    pub status: u16,
    /// As text, at most [`MAX_ANSWER`] bytes of it.
    pub text: String,
    /// Whether there was more.
    pub is_cut: bool,
}

/// Asks addresses that tenants name.
pub struct WebClient {
    public: Client,
    /// For hosts that the installation's operator named.
    private: Client,
    private_hosts: Vec<PrivateHost>,
    in_flight: Semaphore,
}

impl WebClient {
    /// A client that reaches these hosts too, though they are private, and without TLS.
    ///
    /// The process's TLS provider must have been installed.
    pub fn new(private_hosts: Vec<PrivateHost>) -> reqwest::Result<Self> {
        Ok(Self {
            public: builder().https_only(true).dns_resolver(Checked).build()?,
            private: builder().build()?,
            private_hosts,
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
        })
    }

    /// The address, if it may be asked as far as it says so itself. What its name stands for is looked
    /// at with each request.
    pub fn check(&self, text: &str) -> Result<Url, Forbidden> {
        let url = Url::parse(text).map_err(|_| Forbidden::Form)?;
        let is_plain_text = url.username().is_empty() && url.password().is_none();
        if url.as_str().len() > MAX_URL
            || !url.has_host()
            || !is_plain_text
            || url.fragment().is_some()
        {
            return Err(Forbidden::Form);
        }
        match url.scheme() {
            "http" | "https" if self.is_exempt(&url) => Ok(url),
            "https" if is_private_literal(&url) => Err(Forbidden::Private),
            "https" => Ok(url),
            _ => Err(Forbidden::Plain),
        }
    }

    fn is_exempt(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default();
        self.private_hosts.iter().any(|named| named.is(host, port))
    }

    /// Asks once.
    pub async fn ask(&self, request: WebRequest) -> Result<WebAnswer, WebError> {
        let url = self.check(request.url.as_str())?;
        let _permit = self.in_flight.try_acquire().map_err(|_| WebError::Busy)?;
        let client = if self.is_exempt(&url) {
            &self.private
        } else {
            &self.public
        };
        let mut sending = client.request(request.method, url).timeout(request.within);
        if !request.query.is_empty() {
            sending = sending.query(&request.query);
        }
        if let Some(body) = &request.body {
            sending = sending.json(body);
        }
        if let Some((name, value)) = &request.header {
            let value = HeaderValue::from_str(value.expose_secret());
            // A wrong one was refused when it was given.
            let mut value = value.map_err(|_| Forbidden::Form)?;
            value.set_sensitive(true);
            sending = sending.header(name, value);
        }
        let response = sending.send().await.map_err(failed)?;
        read(response).await.map_err(failed)
    }
}

/// The whole answer, or its beginning.
async fn read(mut response: Response) -> reqwest::Result<WebAnswer> {
    let mut bytes = Vec::new();
    while bytes.len() <= MAX_ANSWER
        && let Some(chunk) = response.chunk().await?
    {
        let n_wanted = MAX_ANSWER + 1 - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(n_wanted)]);
    }
    let is_cut = bytes.len() > MAX_ANSWER;
    bytes.truncate(MAX_ANSWER);
    Ok(WebAnswer {
        status: response.status().as_u16(),
        text: text_of(&bytes, is_cut),
        is_cut,
    })
}

/// As text; of a character that was cut through nothing is left.
fn text_of(bytes: &[u8], is_cut: bool) -> String {
    match std::str::from_utf8(bytes) {
        Err(error) if is_cut && error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn failed(error: reqwest::Error) -> WebError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<PrivateAddress>().is_some() {
            return Forbidden::Private.into();
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        return WebError::Late;
    }
    // An address may have a secret in its query.
    WebError::Unreachable(error.without_url())
}

fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        // A proxy would look names up by itself.
        .no_proxy()
        .user_agent(concat!("dialtone/", env!("CARGO_PKG_VERSION")))
}

/// Whether the host is written as an address, and that is no public one: those are never looked up.
fn is_private_literal(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().is_ok_and(|address| !is_public(address))
}

/// Looks names up, and knows none of which an address is not public.
struct Checked;

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            Ok(only_public(found.collect())?)
        })
    }
}

/// The addresses, if all of them are public: a name that has one of each is not to be trusted.
fn only_public(found: Vec<SocketAddr>) -> Result<Addrs, PrivateAddress> {
    if found.iter().all(|address| is_public(address.ip())) {
        Ok(Box::new(found.into_iter()))
    } else {
        Err(PrivateAddress)
    }
}

/// A name stands for an address that is not public.
#[derive(Debug)]
struct PrivateAddress;

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name stands for an address that is not on the public internet")
    }
}

impl std::error::Error for PrivateAddress {}

#[cfg(test)]
mod tests;
