//! The client against a small server that answers from a list.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::net::TcpListener;

use super::*;
use crate::domain::outcome::FaultClass;

type Answer = (u16, &'static str);

/// A server that gives its answers in order and keeps what it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn answer(
    State(script): State<Script>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert!(headers.contains_key("authorization"));
    let request = format!("{method} {uri} {}", String::from_utf8_lossy(&body));
    script
        .requests
        .lock()
        .unwrap()
        .push(request.trim_end().to_owned());
    let (status, body) = script
        .answers
        .lock()
        .unwrap()
        .pop_front()
        .expect("the script has an answer for every request");
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    if status == 429 {
        let at_once = HeaderValue::from_static("0");
        response.headers_mut().insert("retry-after", at_once);
    }
    response
}

async fn carrier(answers: &[Answer]) -> (TwilioCarrier, Script) {
    let script = Script::default();
    script.answers.lock().unwrap().extend(answers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Router::new().fallback(answer).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, server).await });
    (carrier_at(&format!("http://{address}")), script)
}

fn carrier_at(base_url: &str) -> TwilioCarrier {
    let _ = rustls::crypto::ring::default_provider().install_default();
    TwilioCarrier::new(TwilioConfig {
        account_sid: "AC1".to_owned(),
        credentials: Credentials::AuthToken("secret".to_owned().into()),
        base_url: base_url.to_owned(),
        callbacks: CallbackUrls::new("https://d.example.com").unwrap(),
    })
    .unwrap()
}

fn request() -> CallRequest {
    CallRequest {
        attempt: "att_00000000000000000000000000000007_1".parse().unwrap(),
        to: "+15005550010".parse().unwrap(),
        from: "+15005550006".parse().unwrap(),
        ring_timeout: Duration::from_millis(24_500),
        max_duration: Duration::from_secs(900),
        detection: None,
        is_recorded: false,
    }
}

fn asked(script: &Script) -> Vec<String> {
    script.requests.lock().unwrap().clone()
}

fn sid() -> CallSid {
    "CA1".parse().unwrap()
}

// proves F-19
#[tokio::test]
async fn a_call_is_asked_for_with_one_field_per_event() {
    let (carrier, script) = carrier(&[(201, r#"{"sid":"CA1","status":"queued"}"#)]).await;
    assert_eq!(carrier.place(&request()).await.unwrap(), sid());
    let expected = "POST /2010-04-01/Accounts/AC1/Calls.json To=%2B15005550010&From=%2B15005550006\
        &Url=https%3A%2F%2Fd.example.com%2Fwebhooks%2Ftwilio%2Fvoice%2Fatt_00000000000000000000000000000007_1\
        &StatusCallback=https%3A%2F%2Fd.example.com%2Fwebhooks%2Ftwilio%2Fstatus%2Fatt_00000000000000000000000000000007_1%23rc%3D2%26rp%3D5xx%2Cct%2Crt\
        &StatusCallbackEvent=initiated&StatusCallbackEvent=ringing&StatusCallbackEvent=answered\
        &StatusCallbackEvent=completed&Timeout=25&TimeLimit=900";
    assert_eq!(asked(&script), [expected]);
}

#[tokio::test]
async fn a_request_for_a_call_is_never_repeated() {
    let (carrier, script) = carrier(&[(429, ""), (500, "")]).await;
    assert!(matches!(
        carrier.place(&request()).await,
        Err(CarrierError::Throttled { wait }) if wait.is_zero()
    ));
    assert!(matches!(
        carrier.place(&request()).await,
        Err(CarrierError::Unknown(_))
    ));
    assert_eq!(asked(&script).len(), 2);
}

#[tokio::test]
async fn without_a_connection_nothing_was_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let carrier = carrier_at(&format!("http://{address}"));
    assert!(matches!(
        carrier.place(&request()).await,
        Err(CarrierError::Unreachable(_))
    ));
}

#[tokio::test]
async fn a_connection_that_breaks_after_sending_leaves_the_call_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt;
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut seen = [0; 64];
        let n_read = socket.read(&mut seen).await.unwrap();
        assert!(n_read > 0);
    });
    let carrier = carrier_at(&format!("http://{address}"));
    assert!(matches!(
        carrier.place(&request()).await,
        Err(CarrierError::Unknown(_))
    ));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (carrier, script) = carrier(&[(307, "")]).await;
    assert!(matches!(
        carrier.place(&request()).await,
        Err(CarrierError::Refused(fault)) if fault.class == FaultClass::Ours
    ));
    assert_eq!(asked(&script).len(), 1);
}

#[tokio::test]
async fn a_read_is_repeated_after_too_many_requests() {
    let call =
        r#"{"sid":"CA1","status":"in-progress","date_created":"Tue, 06 Oct 2026 10:00:02 +0000"}"#;
    let (carrier, script) = carrier(&[(429, ""), (429, ""), (200, call)]).await;
    let report = carrier.fetch(&sid()).await.unwrap().unwrap();
    assert_eq!(report.status, SignalKind::Answered);
    assert_eq!(asked(&script).len(), 3);
}

#[tokio::test]
async fn a_call_that_the_carrier_does_not_know_is_none() {
    let (carrier, _script) = carrier(&[(404, r#"{"code":20404}"#), (404, "nginx")]).await;
    assert!(carrier.fetch(&sid()).await.unwrap().is_none());
    assert!(carrier.fetch(&sid()).await.is_err());
}

#[tokio::test]
async fn a_search_follows_pages_and_keeps_calls_without_a_time() {
    let queued = r#"{"calls":[{"sid":"CA3","status":"queued","date_created":null}]}"#;
    let first = r#"{"calls":[{"sid":"CA2","status":"ringing","date_created":"Tue, 06 Oct 2026 10:00:05 +0000"}],
        "next_page_uri":"/2010-04-01/Accounts/AC1/Calls.json?PageToken=PA1"}"#;
    let second = r#"{"calls":[{"sid":"CA1","status":"busy","date_created":"Tue, 06 Oct 2026 09:00:00 +0000"}],
        "next_page_uri":null}"#;
    let (carrier, script) = carrier(&[(200, queued), (200, first), (200, second)]).await;
    let call = request();
    let since = "2026-10-06T10:00:00Z".parse().unwrap();
    let found = carrier.find(&call.to, &call.from, since).await.unwrap();
    let sids: Vec<&str> = found.iter().map(|report| report.sid.as_str()).collect();
    assert_eq!(sids, ["CA3", "CA2"]);
    let between = "GET /2010-04-01/Accounts/AC1/Calls.json?To=%2B15005550010&From=%2B15005550006&PageSize=100";
    assert_eq!(
        asked(&script),
        [
            format!("{between}&Status=queued"),
            between.to_owned(),
            "GET /2010-04-01/Accounts/AC1/Calls.json?PageToken=PA1".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_page_on_another_host_is_not_asked_for() {
    let page = r#"{"calls":[],"next_page_uri":"https://elsewhere.example.com/x"}"#;
    let (carrier, script) = carrier(&[(200, page)]).await;
    let call = request();
    let found = carrier
        .find(&call.to, &call.from, Timestamp::UNIX_EPOCH)
        .await;
    assert!(matches!(found, Err(CarrierError::Unknown(_))));
    assert_eq!(asked(&script).len(), 1);
}

// proves F-25
#[tokio::test]
async fn ending_cancels_then_completes_and_a_call_that_is_over_is_no_error() {
    let live = r#"{"sid":"CA1","status":"in-progress"}"#;
    let canceled = r#"{"sid":"CA1","status":"canceled"}"#;
    let over = r#"{"code":21220,"message":"not in-progress"}"#;
    for (answers, n_requests) in [
        (vec![(200, canceled)], 1),
        (vec![(200, live), (200, live)], 2),
        (vec![(200, live), (404, r#"{"code":20404}"#)], 2),
        (vec![(400, over), (400, over)], 2),
    ] {
        let (carrier, script) = carrier(&answers).await;
        carrier.end(&sid()).await.unwrap();
        let asked = asked(&script);
        assert_eq!(asked.len(), n_requests);
        assert!(asked[0].ends_with("Calls/CA1.json Status=canceled"));
        assert!(
            asked
                .iter()
                .skip(1)
                .all(|r| r.ends_with("Status=completed"))
        );
    }
    let (carrier, _script) = carrier(&[(500, ""), (500, "")]).await;
    assert!(carrier.end(&sid()).await.is_err());
}

// proves F-24, F-25
#[tokio::test]
async fn withdrawing_only_cancels_and_a_call_that_was_answered_or_is_over_is_no_error() {
    let live = r#"{"sid":"CA1","status":"in-progress"}"#;
    let canceled = r#"{"sid":"CA1","status":"canceled"}"#;
    let over = r#"{"code":21220,"message":"not in-progress"}"#;
    let gone = r#"{"code":20404}"#;
    for answer in [(200, canceled), (200, live), (404, gone), (400, over)] {
        let (carrier, script) = carrier(&[answer]).await;
        carrier.cancel(&sid()).await.unwrap();
        let asked = asked(&script);
        assert_eq!(asked.len(), 1);
        assert!(asked[0].ends_with("Calls/CA1.json Status=canceled"));
    }
    let (carrier, _script) = carrier(&[(500, "")]).await;
    assert!(carrier.cancel(&sid()).await.is_err());
}

/// How many requests the server works on, and the most there ever were.
#[derive(Clone, Default)]
struct Load(Arc<Mutex<(usize, usize)>>);

async fn work(State(load): State<Load>) -> &'static str {
    {
        let (n_now, n_most) = &mut *load.0.lock().unwrap();
        *n_now += 1;
        *n_most = (*n_most).max(*n_now);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    load.0.lock().unwrap().0 -= 1;
    r#"{"sid":"CA1","status":"ringing"}"#
}

// proves F-27
#[tokio::test]
async fn no_more_than_eight_questions_are_in_flight() {
    let load = Load::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Router::new().fallback(work).with_state(load.clone());
    tokio::spawn(async move { axum::serve(listener, server).await });
    let carrier = Arc::new(carrier_at(&format!("http://{address}")));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let carrier = carrier.clone();
        asking.spawn(async move { carrier.fetch(&sid()).await });
    }
    for answer in asking.join_all().await {
        assert_eq!(answer.unwrap().unwrap().status, SignalKind::Ringing);
    }
    assert_eq!(*load.0.lock().unwrap(), (0, 8));
}

#[test]
fn a_secret_does_not_show() {
    let config = TwilioConfig {
        account_sid: "AC1".to_owned(),
        credentials: Credentials::AuthToken("hush".to_owned().into()),
        base_url: "http://127.0.0.1".to_owned(),
        callbacks: CallbackUrls::new("https://d.example.com").unwrap(),
    };
    assert!(!format!("{config:?}").contains("hush"));
}

// proves F-26
#[tokio::test]
async fn a_recording_is_asked_for_with_each_side_on_its_own_channel() {
    let (carrier, script) = carrier(&[(201, r#"{"sid":"CA1","status":"queued"}"#)]).await;
    let recorded = CallRequest {
        is_recorded: true,
        ..request()
    };
    carrier.place(&recorded).await.unwrap();
    let asked = asked(&script);
    let fields = "&Record=true&RecordingChannels=dual\
        &RecordingStatusCallback=https%3A%2F%2Fd.example.com%2Fwebhooks%2Ftwilio%2Frecording%2Fatt_00000000000000000000000000000007_1%23rc%3D2%26rp%3D5xx%2Cct%2Crt\
        &RecordingStatusCallbackEvent=completed";
    assert!(asked[0].ends_with(fields), "{asked:?}");
}

#[tokio::test]
async fn a_recording_that_is_gone_is_deleted_already() {
    let gone = (404, r#"{"code":20404,"status":404}"#);
    let (carrier, script) = carrier(&[(204, ""), gone, (401, r#"{"code":20003}"#)]).await;
    let recording = "RE1".parse().unwrap();
    for _ in 0..2 {
        carrier.delete_recording(&recording).await.unwrap();
    }
    assert!(carrier.delete_recording(&recording).await.is_err());
    let delete = "DELETE /2010-04-01/Accounts/AC1/Recordings/RE1.json";
    assert!(asked(&script).iter().all(|asked| asked.trim() == delete));
}

#[tokio::test]
async fn a_detection_is_asked_for_as_the_campaign_has_it() {
    let created = (201, r#"{"sid":"CA1","status":"queued"}"#);
    let (carrier, script) = carrier(&[created, created]).await;
    let mut detection = Detection {
        is_before_connecting: false,
        waits_for_greeting: true,
        tuning: Tuning::default(),
    };
    let asking = |detection| CallRequest {
        detection: Some(detection),
        ..request()
    };
    carrier.place(&asking(detection)).await.unwrap();
    detection.is_before_connecting = true;
    detection.waits_for_greeting = false;
    detection.tuning = Tuning {
        timeout: Some(Duration::from_secs(20)),
        speech: Some(Duration::from_millis(2000)),
        speech_end: Some(Duration::from_millis(900)),
        silence: Some(Duration::from_millis(4000)),
    };
    carrier.place(&asking(detection)).await.unwrap();
    let fields: Vec<String> = asked(&script)
        .iter()
        .map(|request| request.split_once("&TimeLimit=900").unwrap().1.to_owned())
        .collect();
    assert_eq!(
        fields,
        [
            "&MachineDetection=DetectMessageEnd&AsyncAmd=true&AsyncAmdStatusCallback=https%3A%2F%2F\
             d.example.com%2Fwebhooks%2Ftwilio%2Famd%2Fatt_00000000000000000000000000000007_1\
             %23rc%3D2%26rp%3D5xx%2Cct%2Crt",
            "&MachineDetection=Enable&MachineDetectionTimeout=20\
             &MachineDetectionSpeechThreshold=2000&MachineDetectionSpeechEndThreshold=900\
             &MachineDetectionSilenceTimeout=4000",
        ]
    );
}

#[tokio::test]
async fn a_call_is_spoken_on_unless_it_is_over() {
    let answers = [
        (200, r#"{"sid":"CA1","status":"in-progress"}"#),
        (400, r#"{"code":21220}"#),
    ];
    let (carrier, script) = carrier(&answers).await;
    let speech = Speech::Audio("https://a.example/1.mp3".to_owned());
    for _ in answers {
        carrier.speak(&sid(), &speech).await.unwrap();
    }
    let request = &asked(&script)[0];
    assert!(
        request.contains("Calls/CA1.json Twiml=%3C%3Fxml"),
        "{request}"
    );
    assert!(request.contains("%3CPlay%3Ehttps%3A%2F%2Fa.example%2F1.mp3"));
}

#[tokio::test]
async fn a_call_is_transferred_by_other_instructions_and_one_that_is_over_is_not() {
    let answers = [
        (200, r#"{"sid":"CA1","status":"in-progress"}"#),
        (400, r#"{"code":21220,"message":"Call is not in-progress"}"#),
    ];
    let (carrier, script) = carrier(&answers).await;
    let request = TransferRequest {
        attempt: "att_00000000000000000000000000000007_2".parse().unwrap(),
        to: "+15005550009".parse().unwrap(),
        from: "+15005550006".parse().unwrap(),
    };
    carrier.transfer(&sid(), &request).await.unwrap();
    assert!(carrier.transfer(&sid(), &request).await.is_err());
    let asked = &asked(&script)[0];
    assert!(asked.contains("Calls/CA1.json Twiml=%3C%3Fxml"), "{asked}");
    assert!(asked.contains("callerId%3D%22%2B15005550006%22"), "{asked}");
    assert!(asked.contains("%2Ftransfer%2Fatt_00000000000000000000000000000007_2"));
    assert!(asked.ends_with("&TimeLimit=14430"), "{asked}");
}
