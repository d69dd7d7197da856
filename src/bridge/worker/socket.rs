//! A socket in a worker: bytes, TLS and frames, and what did not fit.

use std::{
    io::{self, Read as _, Write as _},
    mem,
    ops::ControlFlow::{self, Break, Continue},
    time::Instant,
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::ClientConnection;

use crate::websocket::{Limits, Message, ProtocolError, Reader, Role, write};

/// What is kept of a buffer that nothing waits in. An ordinary frame has 300 bytes.
const KEPT_BYTES: usize = 2048;

/// A connected socket that never blocks.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    /// Boxed: TLS's state is larger than all the rest of a call.
    Tls(Box<TlsStream>),
}

#[derive(Debug)]
pub(super) struct TlsStream {
    pub socket: TcpStream,
    pub connection: ClientConnection,
}

impl Stream {
    /// Has events of this socket told under `token`, from now on.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.socket,
        };
        registry.register(socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether a read that does not fill the buffer leaves nothing behind.
    pub fn is_drained_by_short_read(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Receives; nothing when the other end has closed.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.receive(buffer),
        }
    }

    /// Sends as much as is taken now.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.connection.writer().write(bytes),
        }
    }

    /// Sends what TLS holds back.
    fn push(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => {
                while stream.connection.wants_write() {
                    stream.connection.write_tls(&mut stream.socket)?;
                }
                Ok(())
            }
        }
    }
}

impl TlsStream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Closed without TLS's farewell, as many servers do.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if self.connection.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.connection
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            // TLS answers some of what it reads; what does not leave now goes with what is sent next.
            if self.connection.wants_write() {
                self.connection.write_tls(&mut self.socket).ok();
            }
        }
    }
}

/// What comes from a socket: messages, and the beginning of one that is not whole.
#[derive(Debug)]
pub(super) struct Inbox {
    reader: Reader,
    unread: Vec<u8>,
}

impl Inbox {
    pub fn new(role: Role, limits: Limits) -> Self {
        Self {
            reader: Reader::new(role, limits),
            unread: Vec::new(),
        }
    }

    /// Takes what was received, and gives each message in it to `take` until that breaks.
    pub fn feed<B>(
        &mut self,
        bytes: &mut [u8],
        take: impl FnMut(Message<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ProtocolError> {
        if self.unread.is_empty() {
            let (consumed, flow) = cut(&mut self.reader, bytes, take)?;
            self.unread.extend_from_slice(&bytes[consumed..]);
            return Ok(flow);
        }
        let mut unread = mem::take(&mut self.unread);
        unread.extend_from_slice(bytes);
        let (consumed, flow) = cut(&mut self.reader, &mut unread, take)?;
        unread.drain(..consumed);
        if !unread.is_empty() {
            self.unread = unread;
        }
        Ok(flow)
    }
}

fn cut<B>(
    reader: &mut Reader,
    bytes: &mut [u8],
    mut take: impl FnMut(Message<'_>) -> ControlFlow<B>,
) -> Result<(usize, ControlFlow<B>), ProtocolError> {
    let mut consumed = 0;
    loop {
        let step = reader.next(&mut bytes[consumed..])?;
        consumed += step.consumed;
        let Some(message) = step.message else {
            return Ok((consumed, Continue(())));
        };
        if let Break(end) = take(message) {
            return Ok((consumed, Break(end)));
        }
    }
}

/// What goes to a socket and was not taken yet. Holds whole frames, but for the first, of which a part
/// may have left.
#[derive(Debug)]
pub(super) struct Outbox {
    role: Role,
    unsent: Vec<u8>,
    /// Since when the socket takes no more.
    stuck_since: Option<Instant>,
    is_closed: bool,
}

impl Outbox {
    pub fn new(role: Role) -> Self {
        Self {
            role,
            unsent: Vec::new(),
            stuck_since: None,
            is_closed: false,
        }
    }

    /// How much waits.
    pub fn n_bytes(&self) -> usize {
        self.unsent.len()
    }

    /// Whether there is something that the socket has not taken.
    pub fn has_something(&self) -> bool {
        !self.unsent.is_empty() || self.stuck_since.is_some()
    }

    pub fn stuck_since(&self) -> Option<Instant> {
        self.stuck_since
    }

    pub fn text(&mut self, parts: &[&str]) {
        if !self.is_closed {
            write::text(&mut self.unsent, mask_key(self.role), parts);
        }
    }

    pub fn binary(&mut self, data: &[u8]) {
        if !self.is_closed {
            write::binary(&mut self.unsent, mask_key(self.role), data);
        }
    }

    pub fn pong(&mut self, content: &[u8]) {
        if !self.is_closed {
            write::pong(&mut self.unsent, mask_key(self.role), content);
        }
    }

    /// The last frame; what is said after it is let go.
    pub fn close(&mut self, code: u16, reason: &str) {
        if !self.is_closed {
            write::close(&mut self.unsent, mask_key(self.role), code, reason);
            self.is_closed = true;
        }
    }

    /// The socket is gone: nothing waits for it any more.
    pub fn abandon(&mut self) {
        self.is_closed = true;
        self.stuck_since = None;
        self.unsent = Vec::new();
    }

    /// Sends what waits, as far as the socket takes it. An error means that it takes nothing any more.
    pub fn flush(&mut self, stream: &mut Stream, now: Instant) -> io::Result<()> {
        match self.send_all(stream) {
            Ok(()) => {
                self.stuck_since = None;
                if self.unsent.capacity() > KEPT_BYTES {
                    self.unsent = Vec::new();
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.stuck_since.get_or_insert(now);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn send_all(&mut self, stream: &mut Stream) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match stream.send(&self.unsent) {
                // TLS holds back as much as it may.
                Ok(0) => stream.push()?,
                Ok(n) if n == self.unsent.len() => self.unsent.clear(),
                Ok(n) => {
                    self.unsent.drain(..n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        stream.push()
    }
}

/// A client's frames have keys that nobody foresees.
fn mask_key(role: Role) -> Option<[u8; 4]> {
    match role {
        Role::Client => Some(rand::random()),
        Role::Server => None,
    }
}
