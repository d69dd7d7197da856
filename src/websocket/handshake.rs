//! The HTTP exchange that begins a WebSocket, as text.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// No server we talk to sends more headers.
const MAX_HEADERS: usize = 64;

/// What a client asks for a socket with.
#[derive(Debug, Clone)]
pub struct Request {
    key: String,
    /// The request as it goes over the wire.
    pub text: String,
}

impl Request {
    /// Asks `host` (with the port, unless it is the usual one) for the socket at `target` (path and
    /// query). `nonce` is fresh and random.
    pub fn new(host: &str, target: &str, nonce: [u8; 16]) -> Self {
        let key = STANDARD.encode(nonce);
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        Self { key, text }
    }

    /// Reads the server's answer; none while it is not whole.
    pub fn answer(&self, bytes: &[u8]) -> Result<Option<Answer>, HandshakeError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(size) = response.parse(bytes)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or_default();
        let header = |name: &str| {
            response
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .map(str::trim)
        };
        if status == 101 {
            let fits = header("upgrade").is_some_and(|it| it.eq_ignore_ascii_case("websocket"))
                && header("sec-websocket-accept") == Some(accept_key(&self.key).as_str());
            return if fits {
                Ok(Some(Answer::Accepted { size }))
            } else {
                Err(HandshakeError::NotAnUpgrade)
            };
        }
        Ok(Some(Answer::Refused {
            size,
            status,
            body_length: header("content-length").and_then(|length| length.parse().ok()),
        }))
    }
}

/// What the server says to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The socket is open; its first bytes stand after the answer's `size`.
    Accepted {
        /// Of the answer, in bytes.
        size: usize,
    },
    /// It is not; a body may follow.
    Refused {
        /// Of the answer without the body, in bytes.
        size: usize,
        /// The HTTP status.
        status: u16,
        /// How many bytes the body has, where the server says it.
        body_length: Option<usize>,
    },
}

/// An answer that is none.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Not HTTP.
    #[error("the answer to the WebSocket request is not HTTP: {0}")]
    NotHttp(#[from] httparse::Error),
    /// Accepted, but not this request.
    #[error("the answer to the WebSocket request does not belong to it")]
    NotAnUpgrade,
}

/// What a server proves with that it read the request with `key`.
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_standard_gives_its_answer() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let request = Request::new("agent.test", "/talk?a=b", *b"the sample nonce");
        assert!(
            request
                .text
                .starts_with("GET /talk?a=b HTTP/1.1\r\nHost: agent.test\r\n")
        );
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
                        connection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        for end in 0..accepted.len() {
            assert_eq!(request.answer(&accepted.as_bytes()[..end]).unwrap(), None);
        }
        let with_a_frame = format!("{accepted}\u{1}");
        let size = accepted.len();
        assert_eq!(
            request.answer(with_a_frame.as_bytes()).unwrap(),
            Some(Answer::Accepted { size })
        );
        let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(
            request.answer(refused.as_bytes()).unwrap(),
            Some(Answer::Refused {
                size: refused.len() - 2,
                status: 403,
                body_length: Some(2)
            })
        );
        let foreign = accepted.replace("s3p", "xxx");
        assert!(request.answer(foreign.as_bytes()).is_err());
        assert!(request.answer(b"SSH-2.0\r\n\r\n").is_err());
    }
}
