//! A relay as it is usually written in Rust: a task for each call on the library's sockets.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use super::words::{self, FromAgent, FromCallee};

/// Relays until the process ends; `ready` is told where.
pub async fn run(agent: SocketAddr, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    ready(listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A relay of a benchmark has nobody to tell.
            drop(relay(socket, agent).await);
        });
    }
}

async fn relay(socket: TcpStream, agent: SocketAddr) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let config = || Some(WebSocketConfig::default());
    let mut callee = accept_async_with_config(socket, config()).await?;
    let mut agent = open(agent, config()).await?;
    agent.send(Message::text(words::OPENING)).await?;
    loop {
        tokio::select! {
            message = callee.next() => match message {
                Some(Ok(Message::Text(text))) => match words::from_callee(&text) {
                    FromCallee::Audio(payload) => {
                        let chunk = [words::BEFORE_CHUNK, payload, words::AFTER_CHUNK].concat();
                        agent.send(Message::text(chunk)).await?;
                    }
                    FromCallee::Stop => break,
                    FromCallee::Other => {}
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            message = agent.next() => match message {
                Some(Ok(Message::Text(text))) => match words::from_agent(&text) {
                    FromAgent::Audio(payload) => {
                        let media = [words::BEFORE_MEDIA, payload, words::AFTER_MEDIA].concat();
                        callee.send(Message::text(media)).await?;
                    }
                    FromAgent::Interruption => callee.send(Message::text(words::CLEAR)).await?,
                    FromAgent::Other => {}
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    agent.close(None).await?;
    while let Some(Ok(_)) = agent.next().await {}
    Ok(())
}

async fn open(
    agent: SocketAddr,
    config: Option<WebSocketConfig>,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let socket = TcpStream::connect(agent).await?;
    socket.set_nodelay(true)?;
    let address = format!("ws://{agent}{}", words::TARGET);
    Ok(client_async_with_config(address, socket, config).await?.0)
}
