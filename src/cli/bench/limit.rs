//! The limit: as little as a bridge can do. One thread on bare epoll: whatever came is cut into messages,
//! its payload is spliced into a frame, and that is written at once. It knows no turns, keeps no
//! transcript, and breaks where the bridge would mend.
//!
//! Untimed it is woken for each frame; with a tick it sleeps between its rounds as the bridge does, which
//! shows what a tick is worth on this machine.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    thread,
    time::Duration,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use tokio::time::Instant;

use crate::websocket::{
    Limits, Message, NORMAL, Reader, Role,
    handshake::{Request, accept_key},
    write,
};

use super::words::{self, FromAgent, FromCallee};

const LISTENER: Token = Token(usize::MAX - 1);
const LIMITS: Limits = Limits {
    frame: 64 * 1024,
    message: 64 * 1024,
};

struct End {
    socket: TcpStream,
    reader: Reader,
    received: Vec<u8>,
    unsent: Vec<u8>,
    is_up: bool,
}

impl End {
    fn new(socket: TcpStream, role: Role) -> Self {
        Self {
            socket,
            reader: Reader::new(role, LIMITS),
            received: Vec::new(),
            unsent: Vec::new(),
            is_up: false,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.is_up && !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(n) if n == self.unsent.len() => self.unsent.clear(),
                Ok(n) => {
                    self.unsent.drain(..n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

struct Pair {
    callee: End,
    agent: Option<End>,
    request: Request,
}

/// Relays until the process ends, in rounds at least `tick` apart; `ready` is told where.
pub fn run(agent: SocketAddr, tick: Duration, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    ready(listener.local_addr()?);
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Instant::now();
        for event in events.iter() {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut pairs, agent)?;
                continue;
            }
            let index = event.token().0 / 2;
            let Some(pair) = pairs.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            let done = if event.token().0.is_multiple_of(2) {
                on_callee(pair, index, &poll, agent, &mut scratch)
            } else {
                on_agent(pair, &mut scratch)
            };
            if done.is_err() {
                pairs[index] = None;
            }
        }
        if !tick.is_zero() {
            thread::sleep(tick.saturating_sub(now.elapsed()));
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    pairs: &mut Vec<Option<Pair>>,
    agent: SocketAddr,
) -> io::Result<()> {
    loop {
        let mut socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nodelay(true)?;
        let token = Token(pairs.len() * 2);
        poll.registry()
            .register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        pairs.push(Some(Pair {
            callee: End::new(socket, Role::Server),
            agent: None,
            request: Request::new(&agent.to_string(), words::TARGET, rand::random()),
        }));
    }
}

/// Reads what a socket has; nothing means that it has no more.
fn receive<'s>(end: &mut End, scratch: &'s mut [u8]) -> io::Result<Option<&'s mut [u8]>> {
    match end.socket.read(scratch) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(n) => Ok(Some(&mut scratch[..n])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Cuts what was received into messages.
fn cut(end: &mut End, bytes: &mut [u8], mut take: impl FnMut(&str)) -> io::Result<()> {
    let broken = |_| io::Error::from(io::ErrorKind::InvalidData);
    let mut kept = std::mem::take(&mut end.received);
    let bytes = if kept.is_empty() {
        bytes
    } else {
        kept.extend_from_slice(bytes);
        kept.as_mut_slice()
    };
    let mut consumed = 0;
    loop {
        let step = end.reader.next(&mut bytes[consumed..]).map_err(broken)?;
        consumed += step.consumed;
        match step.message {
            Some(Message::Text(text)) => take(text),
            Some(Message::Close(_)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => {}
            None => break,
        }
    }
    end.received.extend_from_slice(&bytes[consumed..]);
    Ok(())
}

fn on_callee(
    pair: &mut Pair,
    index: usize,
    poll: &Poll,
    agent: SocketAddr,
    scratch: &mut [u8],
) -> io::Result<()> {
    pair.callee.flush()?;
    let Some(bytes) = receive(&mut pair.callee, scratch)? else {
        return Ok(());
    };
    if !pair.callee.is_up {
        pair.callee.received.extend_from_slice(bytes);
        let Some(key) = words::key_of_request(&mut pair.callee.received) else {
            return Ok(());
        };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(&key)
        );
        pair.callee.unsent.extend_from_slice(answer.as_bytes());
        pair.callee.is_up = true;
        pair.callee.flush()?;
        let mut socket = TcpStream::connect(agent)?;
        poll.registry().register(
            &mut socket,
            Token(index * 2 + 1),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        pair.agent = Some(End::new(socket, Role::Client));
        return Ok(());
    }
    let Some(agent) = &mut pair.agent else {
        return Ok(());
    };
    let mut is_over = false;
    cut(&mut pair.callee, bytes, |text| {
        match words::from_callee(text) {
            FromCallee::Audio(payload) => {
                let mask = Some(rand::random());
                write::text(
                    &mut agent.unsent,
                    mask,
                    &[words::BEFORE_CHUNK, payload, words::AFTER_CHUNK],
                );
            }
            FromCallee::Stop => is_over = true,
            FromCallee::Other => {}
        }
    })?;
    if is_over {
        write::close(&mut agent.unsent, Some(rand::random()), NORMAL, "");
    }
    agent.flush()
}

fn on_agent(pair: &mut Pair, scratch: &mut [u8]) -> io::Result<()> {
    let Some(agent) = &mut pair.agent else {
        return Ok(());
    };
    if !agent.is_up && agent.socket.take_error()?.is_none() && agent.received.is_empty() {
        // Connected, as its first event tells: ask for the socket before anything else.
        if agent.socket.peer_addr().is_ok() && !pair.request.text.is_empty() {
            agent.socket.set_nodelay(true)?;
            agent.socket.write_all(pair.request.text.as_bytes())?;
            pair.request.text.clear();
        }
    }
    agent.flush()?;
    let Some(bytes) = receive(agent, scratch)? else {
        return Ok(());
    };
    if !agent.is_up {
        agent.received.extend_from_slice(bytes);
        let Some(_) = words::take_head(&mut agent.received) else {
            return Ok(());
        };
        agent.is_up = true;
        let mut first = Vec::new();
        write::text(&mut first, Some(rand::random()), &[words::OPENING]);
        // What the callee said meanwhile comes behind it.
        first.append(&mut agent.unsent);
        agent.unsent = first;
        return agent.flush();
    }
    let callee = &mut pair.callee;
    cut(agent, bytes, |text| match words::from_agent(text) {
        FromAgent::Audio(payload) => {
            write::text(
                &mut callee.unsent,
                None,
                &[words::BEFORE_MEDIA, payload, words::AFTER_MEDIA],
            );
        }
        FromAgent::Interruption => write::text(&mut callee.unsent, None, &[words::CLEAR]),
        FromAgent::Other => {}
    })?;
    callee.flush()
}
