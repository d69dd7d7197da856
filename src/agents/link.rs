//! A connection to an agent: TCP, TLS and the WebSocket's handshake, then handed over as it is.
//!
//! The handshake is made here rather than by a library, so that the socket, TLS's state and what the
//! server sent already come out in one piece.

use std::{fmt, io, sync::Arc};

use reqwest::Url;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::MaybeTlsStream;

use crate::websocket::handshake::{Answer, HandshakeError, Request};

use super::Dialect;

/// Agents send seconds of audio in one message; the vendors' own clients take messages of this size.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// No answer to a handshake is longer, with the body of a refusal.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A connected socket, encrypted or not.
pub type LinkStream = MaybeTlsStream<TcpStream>;

/// A connection to an agent, right after its handshake.
#[derive(Debug)]
pub struct AgentLink {
    /// The socket.
    pub stream: LinkStream,
    /// What came behind the handshake's answer.
    pub received: Vec<u8>,
    /// What is spoken on it.
    pub dialect: Box<dyn Dialect>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Not an address of a WebSocket. Addresses are secret, so it is not shown.
    #[error("the address is not a WebSocket's")]
    Address,
    /// The server answered, but not with a socket.
    #[error("HTTP {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says.
        body: Vec<u8>,
    },
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server does not speak WebSocket.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(#[from] HandshakeError),
}

/// What servers' certificates are checked with: the roots that browsers trust. One for all connections,
/// so that TLS sessions are resumed.
///
/// The process's TLS provider must have been installed.
pub fn tls_config() -> Arc<ClientConfig> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A connection on which nothing was said yet: TCP, and TLS where the address wants it. The WebSocket is
/// not asked for, because with that a vendor may begin the conversation.
pub struct Prepared {
    stream: LinkStream,
    request: Request,
}

impl fmt::Debug for Prepared {
    /// Without the address, which is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl Prepared {
    /// Asks for the WebSocket. Returns it with what came behind the answer.
    pub async fn open(mut self) -> Result<(LinkStream, Vec<u8>), LinkError> {
        self.stream.write_all(self.request.text.as_bytes()).await?;
        self.stream.flush().await?;
        let received = answer(&mut self.stream, &self.request).await?;
        Ok((self.stream, received))
    }
}

/// Connects to the server of a `ws` or `wss` address.
pub async fn prepare(address: &str, tls: &Arc<ClientConfig>) -> Result<Prepared, LinkError> {
    let url = Url::parse(address).map_err(|_| LinkError::Address)?;
    let host = url.host_str().ok_or(LinkError::Address)?;
    let port = url.port_or_known_default().ok_or(LinkError::Address)?;
    let name = host.trim_matches(['[', ']']).to_owned();
    let socket = TcpStream::connect((name.as_str(), port)).await?;
    socket.set_nodelay(true)?;
    let stream = match url.scheme() {
        "ws" => MaybeTlsStream::Plain(socket),
        "wss" => {
            let name = ServerName::try_from(name).map_err(|_| LinkError::Address)?;
            let connector = TlsConnector::from(tls.clone());
            MaybeTlsStream::Rustls(connector.connect(name, socket).await?)
        }
        _ => return Err(LinkError::Address),
    };
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Ok(Prepared {
        request: Request::new(&host, &target, rand::random()),
        stream,
    })
}

/// Reads the answer. Returns what came behind it.
async fn answer(stream: &mut LinkStream, request: &Request) -> Result<Vec<u8>, LinkError> {
    let mut bytes = Vec::new();
    loop {
        match request.answer(&bytes)? {
            Some(Answer::Accepted { size }) => {
                bytes.drain(..size);
                return Ok(bytes);
            }
            Some(Answer::Refused {
                size,
                status,
                body_length,
            }) => {
                let wanted = body_length.unwrap_or(0).min(MAX_ANSWER_BYTES);
                // A body that breaks off takes nothing from what the status says.
                while bytes.len() < size + wanted
                    && receive(stream, &mut bytes).await.unwrap_or(false)
                {}
                let body = bytes.split_off(size);
                return Err(LinkError::Refused { status, body });
            }
            None => {
                if bytes.len() > MAX_ANSWER_BYTES || !receive(stream, &mut bytes).await? {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

/// Appends what came next; nothing when the other end closed.
async fn receive(stream: &mut LinkStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.reserve(1024);
    Ok(stream.read_buf(bytes).await? > 0)
}
