use axum::{Router, response::Redirect, routing::any};
use tokio::net::TcpListener;

use super::*;

fn client(private_hosts: &[&str]) -> WebClient {
    crate::app::install_tls();
    let hosts = private_hosts.iter().map(|host| host.parse().unwrap());
    WebClient::new(hosts.collect()).unwrap()
}

fn get(url: &str) -> WebRequest {
    WebRequest {
        method: Method::GET,
        url: Url::parse(url).unwrap(),
        query: Vec::new(),
        body: None,
        header: None,
        within: Duration::from_secs(20),
    }
}

/// A server on this machine; gives its port.
async fn server(router: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

// proves F-90
#[test]
fn an_address_that_says_by_itself_that_it_is_inside_is_refused() {
    let client = client(&["tools.internal:8080", "[::1]"]);
    for (url, forbidden) in [
        ("lookup", Forbidden::Form),
        ("https://", Forbidden::Form),
        ("https://ann:secret@example.com/", Forbidden::Form),
        ("https://example.com/#part", Forbidden::Form),
        ("http://example.com/", Forbidden::Plain),
        ("ftp://example.com/", Forbidden::Plain),
        ("file:///etc/passwd", Forbidden::Form),
        ("https://127.0.0.1/", Forbidden::Private),
        ("https://127.1/", Forbidden::Private),
        ("https://2130706433/", Forbidden::Private),
        ("https://0x7f.0.0.1/", Forbidden::Private),
        ("https://0177.0.0.1/", Forbidden::Private),
        (
            "https://169.254.169.254/latest/meta-data",
            Forbidden::Private,
        ),
        ("https://[::ffff:10.0.0.1]/", Forbidden::Private),
        ("https://[::ffff:a00:1]/", Forbidden::Private),
        ("https://[fd00:ec2::254]/", Forbidden::Private),
        ("http://tools.internal/", Forbidden::Plain),
        ("http://tools.internal:8081/", Forbidden::Plain),
        ("ftp://tools.internal:8080/", Forbidden::Plain),
    ] {
        assert_eq!(client.check(url), Err(forbidden), "{url}");
    }
    for url in [
        "https://example.com/lookup?key=1",
        "https://8.8.8.8:8443/",
        "http://tools.internal:8080/x",
        "http://[::1]:99/",
    ] {
        assert!(client.check(url).is_ok(), "{url}");
    }
    let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
    assert_eq!(client.check(&long), Err(Forbidden::Form));
}

// proves F-90
#[tokio::test]
async fn a_name_that_stands_for_this_machine_is_not_connected_to() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://localhost:{port}/");
    let client = client(&[]);
    assert!(client.check(&url).is_ok(), "a name says nothing by itself");
    let refused = client.ask(get(&url)).await;
    assert!(
        matches!(refused, Err(WebError::Forbidden(Forbidden::Private))),
        "{refused:?}"
    );
    // Had there been a connection, it would wait here.
    assert!(listener.accept().is_err());
}

// proves F-90
#[test]
fn a_name_with_one_private_address_among_others_is_refused() {
    let addresses = |list: &[&str]| -> Vec<SocketAddr> {
        let with_port = list
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        with_port.collect()
    };
    let public = ["1.1.1.1", "2606:4700::1111"];
    let kept: Vec<_> = only_public(addresses(&public)).unwrap().collect();
    assert_eq!(kept, addresses(&public));
    for private in ["10.0.0.1", "::1", "169.254.169.254"] {
        assert!(only_public(addresses(&["1.1.1.1", private])).is_err());
    }
}

// proves F-90
#[tokio::test]
async fn a_redirect_is_an_answer_and_not_a_way() {
    let router = Router::new()
        .route("/away", any(|| async { Redirect::temporary("/inside") }))
        .route("/inside", any(|| async { "secret" }));
    let port = server(router).await;
    let client = client(&["127.0.0.1"]);
    let away = format!("http://127.0.0.1:{port}/away");
    let answer = client.ask(get(&away)).await.unwrap();
    assert_eq!((answer.status, answer.text.as_str()), (307, ""));
}

#[tokio::test]
async fn an_answer_is_cut_where_it_is_too_long_and_a_late_one_is_none() {
    let long = "é".repeat(MAX_ANSWER);
    let exact = "x".repeat(MAX_ANSWER);
    let router = Router::new()
        .route("/long", any(move || async move { format!("a{long}") }))
        .route("/exact", any(move || async move { exact }))
        .route("/never", any(std::future::pending::<&'static str>));
    let port = server(router).await;
    let client = client(&["127.0.0.1"]);
    let at = |path: &str| get(&format!("http://127.0.0.1:{port}{path}"));

    let answer = client.ask(at("/long")).await.unwrap();
    assert!(answer.is_cut && answer.text.len() == MAX_ANSWER - 1);
    assert!(answer.text.ends_with('é'));
    let answer = client.ask(at("/exact")).await.unwrap();
    assert!(!answer.is_cut && answer.text.len() == MAX_ANSWER);

    let mut never = at("/never");
    never.within = Duration::from_millis(200);
    let late = client.ask(never).await;
    assert!(matches!(late, Err(WebError::Late)), "{late:?}");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let url = format!("http://127.0.0.1:{port}/?key=secret");
    let unreachable = client.ask(get(&url)).await.unwrap_err();
    assert!(
        matches!(unreachable, WebError::Unreachable(_)),
        "{unreachable:?}"
    );
    assert!(!format!("{unreachable} {unreachable:?}").contains("secret"));
}
