//! Twilio's request signature: made over an address and the form fields sent to it.
//!
//! Pure. It knows nothing of HTTP: the caller supplies the address Twilio was given, decoded
//! fields (blank values kept) and, to verify, the `X-Twilio-Signature` header.
//! <https://www.twilio.com/docs/usage/security#validating-requests>

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::{Choice, ConstantTimeEq};

/// The signature of a form POST to `url`, or of a GET or a WebSocket upgrade when `params` is empty.
///
/// Fields are taken in code point order of their keys, each as key then value without separators.
/// Values of a repeated key are sorted and each counts once.
pub fn sign(auth_token: &str, url: &str, params: &[(String, String)]) -> String {
    sign_with_suffix(auth_token, url, &signed_fields(params))
}

/// Whether `signature` was made with `auth_token` for this address and these fields.
///
/// Twilio is not consistent about the port in the address, so the address counts as given, without
/// its port, with `:443`, and with the default port of its scheme. Comparison takes constant time.
pub fn verify(auth_token: &str, url: &str, params: &[(String, String)], signature: &str) -> bool {
    let fields = signed_fields(params);
    spellings(url)
        .iter()
        .map(|spelling| {
            sign_with_suffix(auth_token, spelling, &fields)
                .as_bytes()
                .ct_eq(signature.as_bytes())
        })
        .fold(Choice::from(0), |found, matches| found | matches)
        .into()
}

fn sign_with_suffix(auth_token: &str, url: &str, fields: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes())
        .expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    mac.update(fields.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn signed_fields(params: &[(String, String)]) -> String {
    let mut values_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in params {
        values_of.entry(key).or_default().insert(value);
    }
    let mut fields = String::new();
    for (key, values) in values_of {
        for value in values {
            fields.push_str(key);
            fields.push_str(value);
        }
    }
    fields
}

/// The ways Twilio may have written `url` when it signed it.
fn spellings(url: &str) -> Vec<String> {
    let mut found = vec![url.to_owned()];
    let Some(parts) = AddressParts::split(url) else {
        return found;
    };
    found.push(parts.with_port(""));
    found.push(parts.with_port(":443"));
    found.push(parts.with_port(parts.default_port()));
    found.dedup();
    found
}

struct AddressParts<'a> {
    scheme: &'a str,
    /// User information, if any, and host name.
    host: &'a str,
    rest: &'a str,
}

impl<'a> AddressParts<'a> {
    fn split(url: &'a str) -> Option<Self> {
        let (scheme, after_scheme) = url.split_once("://")?;
        let authority_ends = after_scheme
            .find(['/', '?', '#'])
            .unwrap_or(after_scheme.len());
        let (authority, rest) = after_scheme.split_at(authority_ends);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) | None => authority,
        };
        Some(Self { scheme, host, rest })
    }

    fn with_port(&self, port: &str) -> String {
        format!("{}://{}{port}{}", self.scheme, self.host, self.rest)
    }

    fn default_port(&self) -> &'static str {
        match self.scheme {
            "https" | "wss" => ":443",
            _ => ":80",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345678901234567890123456789012";
    const STATUS_URL: &str = "https://dialer.example.com/twilio/status";

    fn call_sid(digit: u8) -> String {
        format!("CA{:031}{digit}", 0)
    }

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn ringing_callback() -> Vec<(String, String)> {
        fields(&[
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", "CA00000000000000000000000000000001"),
            ("CallStatus", "ringing"),
            ("CallbackSource", "call-progress-events"),
            ("Direction", "outbound-api"),
            ("From", "+15005550006"),
            ("SequenceNumber", "1"),
            ("Timestamp", "Tue, 06 Oct 2026 10:00:02 +0000"),
            ("To", "+15005550010"),
        ])
    }

    fn completed_callback() -> Vec<(String, String)> {
        fields(&[("CallSid", &call_sid(4)), ("CallStatus", "completed")])
    }

    #[track_caller]
    fn assert_vector(token: &str, url: &str, params: &[(String, String)], signature: &str) {
        assert_eq!(sign(token, url, params), signature);
        assert!(verify(token, url, params, signature));
    }

    #[test]
    fn a_form_is_signed_with_its_fields_in_order() {
        let published = fields(&[
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
        ]);
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert_vector("12345", url, &published, "GvWf1cFY/Q7PnoempGyD5oXAezc=");
        assert_vector(
            TOKEN,
            STATUS_URL,
            &ringing_callback(),
            "lomYRiaYJIsstmki+Qjzaeb7X2c=",
        );
        let with_query = format!("{STATUS_URL}?campaign=42&lead=a%20b");
        assert_vector(
            TOKEN,
            &with_query,
            &ringing_callback(),
            "JiqEjHPODOD5NhdUlEsbj+/5cHE=",
        );
        let mixed_case = fields(&[("b", "2"), ("B", "1"), ("a", "4"), ("A", "3"), ("_", "5")]);
        let url = "https://dialer.example.com/s";
        assert_vector(TOKEN, url, &mixed_case, "q8jMhHe1W4y92URtvjNDAnPww5I=");
    }

    #[test]
    fn unicode_empty_and_repeated_values_are_signed_as_sent() {
        let unicode = fields(&[
            ("CallSid", &call_sid(2)),
            ("CallerName", "Zoë 李"),
            ("ToCity", "São Paulo"),
            ("ToState", ""),
        ]);
        assert_vector(TOKEN, STATUS_URL, &unicode, "MhXbx+au8gK/ob764prC3+Mc1ro=");
        let without_blank = &unicode[..3];
        assert!(!verify(
            TOKEN,
            STATUS_URL,
            without_blank,
            "MhXbx+au8gK/ob764prC3+Mc1ro="
        ));
        let repeated = fields(&[
            ("CallSid", &call_sid(3)),
            ("MediaUrl", "https://b.example/2"),
            ("MediaUrl", "https://a.example/1"),
            ("MediaUrl", "https://a.example/1"),
        ]);
        assert_vector(TOKEN, STATUS_URL, &repeated, "bR93LfVdn9/dMcJX1mMthPVHSn4=");
    }

    #[test]
    fn the_port_may_be_named_or_left_out() {
        let params = completed_callback();
        let at = |port: &str| format!("https://dialer.example.com{port}/twilio/status");
        assert_vector(TOKEN, &at(":8443"), &params, "Rb4HahWmBnbo5R79lrU1tIq9TJo=");
        assert_vector(TOKEN, &at(":443"), &params, "TK6mdljgTFBHp+YLXs+4Od61eLA=");
        let portless = "D4f8gAn/A2z/YCZH9mKpLDI8r6o=";
        assert_vector(TOKEN, &at(""), &params, portless);
        assert!(verify(TOKEN, &at(":443"), &params, portless));
        assert!(verify(TOKEN, &at(":8443"), &params, portless));
        assert!(verify(
            TOKEN,
            &at(""),
            &params,
            "TK6mdljgTFBHp+YLXs+4Od61eLA="
        ));
        assert!(!verify(
            TOKEN,
            "http://dialer.example.com/twilio/status",
            &params,
            portless
        ));
        assert!(!verify(TOKEN, &format!("{}/", at("")), &params, portless));
        assert!(!verify("another token", &at(""), &params, portless));
        assert!(!verify(TOKEN, &at(""), &params, ""));
    }

    #[test]
    fn requests_without_a_body_are_signed_by_their_address() {
        let get = format!(
            "{STATUS_URL}?CallSid={}&CallStatus=busy&To=%2B15005550010",
            call_sid(5)
        );
        assert_vector(TOKEN, &get, &[], "V5KyJKpzTgIKNly+KO4v3jkW4Zg=");
        let json = "https://dialer.example.com/twilio/json?bodySHA256=\
                    27ebfe91a318dc07829eec267640f3751e9a3cdc12079c47803ad76b3404b82e";
        assert_vector(TOKEN, json, &[], "LGg2USArHaSjq8LoiPaA+vBXi6g=");
    }

    #[test]
    fn a_socket_is_signed_with_its_own_scheme() {
        let signature = "LKrhBKvj+jHl3ccVs7E4w5JeGJ0=";
        assert_vector(TOKEN, "wss://dialer.example.com/media", &[], signature);
        assert!(verify(
            TOKEN,
            "wss://dialer.example.com:443/media",
            &[],
            signature
        ));
        assert!(verify(
            TOKEN,
            "wss://dialer.example.com:9000/media",
            &[],
            signature
        ));
        assert!(!verify(
            TOKEN,
            "https://dialer.example.com/media",
            &[],
            signature
        ));
        assert!(!verify(
            TOKEN,
            "wss://dialer.example.com/media/",
            &[],
            signature
        ));
        let over_https = "CUWm/iDV5NXxM/5EIpQMvZgoIVk=";
        assert_vector(TOKEN, "https://dialer.example.com/media", &[], over_https);
        let slash = "wss://dialer.example.com/media/";
        assert_vector(TOKEN, slash, &[], "g1GR0EjstL1gcIOXMg0bmrlYtVM=");
        let with_port = "wss://dialer.example.com:8443/media/CA123";
        assert_vector(TOKEN, with_port, &[], "S3e6wR8jWaebvZMl+U6wsxPwYY8=");
        let tls_port = "wss://dialer.example.com:443/media";
        assert_vector(TOKEN, tls_port, &[], "D/YSAXOFdf7GId1LNdUIEyl2d2s=");
        let relay = fields(&[("token", "abc"), ("z", "1")]);
        let relay_url = "wss://dialer.example.com/relay";
        assert_vector(TOKEN, relay_url, &relay, "uOkWZlYnMvfQ+qDM4TmCg6aIe3s=");
    }

    #[test]
    fn a_local_address_is_signed_with_its_port() {
        let params = fields(&[
            ("CallSid", &call_sid(7)),
            ("CallStatus", "in-progress"),
            ("AnsweredBy", "human"),
        ]);
        let url = "http://127.0.0.1:4010/twiml";
        assert_vector(TOKEN, url, &params, "d3npW6j4Ft2sN58LodVj1JB7Q0Y=");
    }
}
