//! The addresses at which Twilio reaches us.
//!
//! Each carries the attempt's id, so that every request names its attempt before any call id is
//! known here.

use reqwest::Url;

use crate::domain::ids::AttemptId;

/// Asks Twilio to repeat a status callback that failed. It is not part of what Twilio signs.
/// <https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>
const RETRY_FRAGMENT: &str = "#rc=2&rp=5xx,ct,rt";

/// Where Twilio's requests and media sockets arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackUrls {
    public_url: String,
}

/// Why an address cannot be given to Twilio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("public address {address:?} is of no use to Twilio: {reason}")]
pub struct PublicUrlError {
    address: String,
    reason: &'static str,
}

impl CallbackUrls {
    /// Addresses below `public_url`, an absolute `http` or `https` address that may have a path.
    pub fn new(public_url: &str) -> Result<Self, PublicUrlError> {
        let refused = |reason| PublicUrlError {
            address: public_url.to_owned(),
            reason,
        };
        let url = Url::parse(public_url).map_err(|_| refused("it is not an absolute address"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("it is neither http nor https"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it has a query or a fragment"));
        }
        if url.host_str().is_none_or(|host| host.contains('_')) {
            return Err(refused("its host name is missing or has an underscore"));
        }
        Ok(Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
        })
    }

    /// Where the call's instructions are asked for.
    pub fn voice(&self, attempt: AttemptId) -> String {
        self.webhook("voice", attempt)
    }

    /// Where the call's progress is told, as Twilio signs it.
    pub fn status(&self, attempt: AttemptId) -> String {
        self.webhook("status", attempt)
    }

    /// [`Self::status`] with the request to repeat what failed: what Twilio is given.
    pub fn status_with_retries(&self, attempt: AttemptId) -> String {
        self.status(attempt) + RETRY_FRAGMENT
    }

    /// Where the detection of machines tells its verdict, as Twilio signs it.
    pub fn verdict(&self, attempt: AttemptId) -> String {
        self.webhook("amd", attempt)
    }

    /// [`Self::verdict`] with the request to repeat what failed: what Twilio is given.
    pub fn verdict_with_retries(&self, attempt: AttemptId) -> String {
        self.verdict(attempt) + RETRY_FRAGMENT
    }

    /// Where the media stream's progress is told.
    pub fn stream(&self, attempt: AttemptId) -> String {
        self.webhook("stream", attempt)
    }

    /// Where it is asked what follows when the media stream has ended and the call has not.
    pub fn after(&self, attempt: AttemptId) -> String {
        self.webhook("after", attempt)
    }

    /// Where it is told what became of a transfer, and asked what follows.
    pub fn transfer(&self, attempt: AttemptId) -> String {
        self.webhook("transfer", attempt)
    }

    /// Where it is asked what a person hears who is about to be joined to the callee.
    pub fn whisper(&self, attempt: AttemptId) -> String {
        self.webhook("whisper", attempt)
    }

    /// Where recordings are told, as Twilio signs it.
    pub fn recording(&self, attempt: AttemptId) -> String {
        self.webhook("recording", attempt)
    }

    /// [`Self::recording`] with the request to repeat what failed: what Twilio is given.
    pub fn recording_with_retries(&self, attempt: AttemptId) -> String {
        self.recording(attempt) + RETRY_FRAGMENT
    }

    /// Where the media socket is opened: `wss://`, or `ws://` below a plain public address.
    pub fn media(&self, attempt: AttemptId) -> String {
        let rest = self
            .public_url
            .strip_prefix("http")
            .expect("the address was checked to be http or https");
        format!("ws{rest}/media/twilio/{attempt}")
    }

    fn webhook(&self, kind: &str, attempt: AttemptId) -> String {
        format!("{}/webhooks/twilio/{kind}/{attempt}", self.public_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> AttemptId {
        "att_00000000000000000000000000000007_2".parse().unwrap()
    }

    #[test]
    fn every_address_names_the_attempt() {
        let urls = CallbackUrls::new("https://dialer.example.com/").unwrap();
        assert_eq!(
            urls.voice(attempt()),
            "https://dialer.example.com/webhooks/twilio/voice/att_00000000000000000000000000000007_2"
        );
        assert_eq!(
            urls.media(attempt()),
            "wss://dialer.example.com/media/twilio/att_00000000000000000000000000000007_2"
        );
    }

    // proves F-17
    #[test]
    fn status_callbacks_are_to_be_repeated_and_the_fragment_is_not_signed() {
        let urls = CallbackUrls::new("http://127.0.0.1:8080").unwrap();
        assert_eq!(
            urls.status_with_retries(attempt()),
            format!("{}#rc=2&rp=5xx,ct,rt", urls.status(attempt()))
        );
        assert!(!urls.status(attempt()).contains('#'));
    }

    #[test]
    fn an_address_that_twilio_would_refuse_is_refused_here() {
        for address in [
            "dialer.example.com",
            "ftp://dialer.example.com",
            "https://dialer.example.com/?a=1",
            "https://my_dialer.example.com",
        ] {
            assert!(CallbackUrls::new(address).is_err(), "{address}");
        }
    }
}
