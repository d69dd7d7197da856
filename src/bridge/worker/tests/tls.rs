//! An agent behind TLS.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async;

use super::*;
use crate::agents::link;

/// A certificate for `localhost` that nobody else trusts, and its key.
const CERTIFICATE: &str = concat!(
    "MIIBlzCCAT6gAwIBAgIUWtxCBgyufQOYDXOdBPj0cYI91n8wCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxo",
    "b3N0MCAXDTI2MTEyMTE2MzAzM1oYDzIxMjYxMDI4MTYzMDMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcq",
    "hkjOPQIBBggqhkjOPQMBBwNCAAR+MMG4HuYPdKDxTqhIupYmXszCuaSdi92DnNJX1gLat64SMjxYJi9zGwCfyP+K",
    "ae/U8r0pIu9Jt1A/BCFz2Wybo2wwajAdBgNVHQ4EFgQUK8eLOuMHfMUFBQQ/FCIXvfYDqbswHwYDVR0jBBgwFoAU",
    "K8eLOuMHfMUFBQQ/FCIXvfYDqbswGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMAwGA1UdEwEB/wQCMAAwCgYI",
    "KoZIzj0EAwIDRwAwRAIgWJXXTY4dU/wS6tgY3vTxmDV8c1ReMvEg7GJsobMNmv0CIEsFvyUQIJZr/sVvFMjRbnaB",
    "uj5vQIj/TnqnozkF/hxe",
);
const KEY: &str = concat!(
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgew7Bc14Ym9xo5ozvXjT3hnGrYop6yovWz5tn6N7D",
    "0IShRANCAAR+MMG4HuYPdKDxTqhIupYmXszCuaSdi92DnNJX1gLat64SMjxYJi9zGwCfyP+Kae/U8r0pIu9Jt1A/",
    "BCFz2Wyb",
);

fn tls() -> (TlsAcceptor, Arc<ClientConfig>) {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let certificate = STANDARD.decode(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::Pkcs8(STANDARD.decode(KEY).unwrap().into());
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone().into()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into()).unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Arc::new(client))
}

#[tokio::test]
async fn an_encrypted_agent_is_taken_over_with_its_state() {
    let (acceptor, client) = tls();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut agent = accept_async(acceptor.accept(socket).await.unwrap())
            .await
            .unwrap();
        // Before anything was said to it, so it comes with the handshake's last bytes or soon after.
        say(&mut agent, "ready").await;
        agent
    };
    let address = format!("wss://localhost:{port}/talk");
    let connecting = async { link::prepare(&address, &client).await?.open().await };
    let (link, agent) = tokio::join!(connecting, accepting);
    let (stream, received) = link.unwrap();
    let opening = async move {
        Ok(AgentLink {
            stream,
            received,
            dialect: plain_agent(),
        })
    };
    let mut scene = start_between(settings(), opening, agent).await;
    assert_eq!(hear(&mut scene.agent).await, "hello");
    scene.joined().await;
    let long = "A".repeat(400_000);
    say(&mut scene.agent, &format!("audio 1 {long}")).await;
    let mut n_heard = 0;
    while n_heard < long.len() {
        n_heard += hear_speech(&mut scene.carrier).await.len() - "audio ".len();
    }
    for n in 0..300 {
        say(&mut scene.carrier, &format!("audio {}", frame(n))).await;
        say(&mut scene.agent, &format!("audio 1 {}", frame(n))).await;
        let expected = format!("audio {}", frame(n));
        assert_eq!(hear(&mut scene.agent).await, expected);
        assert_eq!(hear_speech(&mut scene.carrier).await, expected);
    }
    say(&mut scene.carrier, "stop").await;
    assert_eq!(hear(&mut scene.agent).await, "close 1000");
    assert_eq!(scene.end().await.by, Some(Party::Callee));
}
