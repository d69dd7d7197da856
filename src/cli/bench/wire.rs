//! One end of a connection, played for a benchmark.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use crate::websocket::{Limits, Message, Reader, Role, write};

use super::words;

/// What either end may be sent.
const LIMITS: Limits = Limits {
    frame: 64 * 1024,
    message: 64 * 1024,
};

/// A socket with what did not fit.
pub struct Wire {
    pub socket: TcpStream,
    reader: Reader,
    received: Vec<u8>,
    /// What the socket has not taken.
    pub unsent: Vec<u8>,
    /// Of our frames.
    pub mask: Option<[u8; 4]>,
    /// The other end sends nothing more.
    pub is_gone: bool,
}

impl Wire {
    /// A connection that is, or will be, up.
    pub fn new(socket: TcpStream, role: Role) -> Self {
        Self {
            socket,
            reader: Reader::new(role, LIMITS),
            received: Vec::new(),
            unsent: Vec::new(),
            // Peers of a benchmark need no secret key, only the work of one.
            mask: (role == Role::Client).then_some(*b"mask"),
            is_gone: false,
        }
    }

    /// Sends a text, given in parts.
    pub fn text(&mut self, parts: &[&str]) {
        write::text(&mut self.unsent, self.mask, parts);
        self.flush();
    }

    /// Sends what is no frame.
    pub fn raw(&mut self, text: &str) {
        self.unsent.extend_from_slice(text.as_bytes());
        self.flush();
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() && !self.is_gone {
            match self.socket.write(&self.unsent) {
                Ok(n) => {
                    self.unsent.drain(..n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.is_gone = true,
            }
        }
    }

    /// Receives all there is.
    pub fn receive(&mut self, scratch: &mut [u8]) {
        loop {
            match self.socket.read(scratch) {
                Ok(0) => {
                    self.is_gone = true;
                    return;
                }
                Ok(n) => self.received.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.is_gone = true;
                    return;
                }
            }
        }
    }

    /// The HTTP head that was received, taken out; none while it is not whole.
    pub fn head(&mut self) -> Option<String> {
        words::take_head(&mut self.received)
    }

    /// Gives each message that was received to `take`.
    pub fn messages(&mut self, mut take: impl FnMut(Message<'_>)) {
        let mut consumed = 0;
        loop {
            match self.reader.next(&mut self.received[consumed..]) {
                Ok(step) => {
                    consumed += step.consumed;
                    let Some(message) = step.message else {
                        break;
                    };
                    take(message);
                }
                Err(_) => {
                    self.is_gone = true;
                    break;
                }
            }
        }
        self.received.drain(..consumed);
    }
}
