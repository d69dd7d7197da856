//! Runs the dialer's instructions on an answered call, verb by verb.

use std::{pin::pin, sync::Arc, time::Duration};

use reqwest::Url;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    call::{API_VERSION, Call},
    fields::Target,
    media,
    request::Source,
    status_callback::notify,
    twiml::{self, Dial, Link, Verb},
    webhook::{self, WebhookFailure, call_fields, field},
};
use crate::sim::{
    callee::Reaction,
    ledger::{Announcement, TransferFacts},
    mouth::Mouth,
    simulation::Simulation,
};

/// The answered call that a document runs on.
pub struct Line<'a> {
    pub simulation: &'a Arc<Simulation>,
    pub call: &'a Arc<Call>,
    pub mouth: Mouth,
    pub answered: Instant,
    /// Cancelled when the callee hangs up.
    pub gone: CancellationToken,
    /// Fields that every request for instructions carries in addition.
    pub extra_fields: Vec<(String, String)>,
    /// Where the running document came from; relative addresses start there.
    pub base: Option<Url>,
}

impl Line<'_> {
    /// The absolute address of `link`.
    pub fn resolve(&self, link: &Link) -> Result<Target, WebhookFailure> {
        let parsed = match &self.base {
            Some(base) => base.join(&link.url),
            None => Url::parse(&link.url),
        };
        // An absolute address stays as it was written, because its spelling is what gets signed.
        let url = match parsed {
            Ok(_) if link.url.contains("://") => link.url.clone(),
            Ok(url) => url.to_string(),
            Err(error) => {
                let detail = format!("invalid URL {}: {error}", link.url);
                return Err(WebhookFailure {
                    code: 11100,
                    detail,
                });
            }
        };
        Ok(Target {
            url,
            method: link.method,
        })
    }

    fn alert(&self, failure: &WebhookFailure) {
        self.simulation.ledger.alert(failure.code, &failure.detail);
    }
}

/// What follows one verb.
enum Flow {
    NextVerb,
    /// These instructions instead of the rest; the fields belong to the request for them.
    Goto(Source, Vec<(String, String)>),
    /// Nothing more to run: the call ends.
    End,
}

/// How long an abandoned document may take to close its stream.
const ABANDON_LIMIT: Duration = Duration::from_secs(1);
/// A loop of redirects would otherwise run as fast as the dialer answers.
const MAX_DOCUMENTS: usize = 500;

/// Runs `first` and whatever it or a redirect leads to; returns when the call has nothing to do
/// or `over` says that the line is gone.
pub async fn run(
    line: &mut Line<'_>,
    first: Source,
    redirects: &mut mpsc::Receiver<Source>,
    over: &CancellationToken,
) {
    let mut next = Some((first, Vec::new()));
    for _ in 0..MAX_DOCUMENTS {
        let Some((source, fields)) = next.take() else {
            return;
        };
        let document_over = over.child_token();
        let mut running = pin!(run_document(line, source, &fields, &document_over));
        next = tokio::select! {
            next = &mut running => next,
            Some(redirected) = redirects.recv() => {
                document_over.cancel();
                if timeout(ABANDON_LIMIT, running).await.is_err() {
                    tracing::debug!("an abandoned document did not end in time");
                }
                Some((redirected, Vec::new()))
            }
        };
    }
    line.simulation
        .ledger
        .alert(12400, "the documents never end");
}

type Instructions = (Source, Vec<(String, String)>);

async fn run_document(
    line: &mut Line<'_>,
    source: Source,
    fields: &[(String, String)],
    over: &CancellationToken,
) -> Option<Instructions> {
    let verbs = over.run_until_cancelled(load_or_fall_back(line, source, fields));
    for verb in verbs.await?? {
        match run_verb(line, verb, over).await {
            Flow::NextVerb if over.is_cancelled() => return None,
            Flow::NextVerb => {}
            Flow::Goto(source, fields) => return Some((source, fields)),
            Flow::End => return None,
        }
    }
    None
}

/// The verbs to run; `None` after a failure that nothing could replace.
async fn load_or_fall_back(
    line: &mut Line<'_>,
    source: Source,
    fields: &[(String, String)],
) -> Option<Vec<Verb>> {
    let address = match &source {
        Source::Fetch(target) => target.url.clone(),
        Source::Inline(_) => String::new(),
    };
    let failure = match load(line, source, fields).await {
        Ok(verbs) => return Some(verbs),
        Err(failure) => failure,
    };
    line.alert(&failure);
    let fallback = line.call.order.fallback.clone()?;
    let fields = [
        field("ErrorCode", &failure.code.to_string()),
        field("ErrorUrl", &address),
    ];
    match load(line, Source::Fetch(fallback), &fields).await {
        Ok(verbs) => Some(verbs),
        Err(failure) => {
            line.alert(&failure);
            None
        }
    }
}

async fn load(
    line: &mut Line<'_>,
    source: Source,
    fields: &[(String, String)],
) -> Result<Vec<Verb>, WebhookFailure> {
    let text = match source {
        Source::Inline(text) => text,
        Source::Fetch(target) => {
            line.base = Url::parse(&target.url).ok();
            fetch(line, &target, fields).await?
        }
    };
    twiml::parse(&text).map_err(|bad| WebhookFailure {
        code: bad.code,
        detail: bad.detail,
    })
}

async fn fetch(
    line: &Line<'_>,
    target: &Target,
    fields: &[(String, String)],
) -> Result<String, WebhookFailure> {
    let mut params = call_fields(line.call, "in-progress");
    params.extend_from_slice(&line.extra_fields);
    params.extend_from_slice(fields);
    let answer = webhook::request(line.simulation, target, &params).await?;
    let media_type = answer
        .content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    match media_type {
        "text/xml" | "application/xml" | "text/html" => Ok(answer.body),
        other => Err(WebhookFailure {
            code: 12300,
            detail: format!("content type {other} is not TwiML"),
        }),
    }
}

async fn run_verb(line: &mut Line<'_>, verb: Verb, over: &CancellationToken) -> Flow {
    match verb {
        Verb::Say { text } => {
            let length = SPEECH_PER_CHAR * text.chars().count() as u32;
            announce(line, text, length, over).await
        }
        Verb::Play { url } => announce(line, url, TYPICAL_RECORDING, over).await,
        Verb::Pause(length) => pass(line, length, over).await,
        Verb::Hangup | Verb::Reject => Flow::End,
        Verb::Redirect(link) => follow(line, &link, Vec::new()),
        Verb::Connect { stream, action } => {
            let stream = with_absolute_url(line, stream);
            media::run(line, &stream, over).await;
            match action {
                Some(link) if !over.is_cancelled() => follow(line, &link, Vec::new()),
                Some(_) | None => Flow::NextVerb,
            }
        }
        Verb::Dial(order) => {
            let fields = dial(line, &order, over).await;
            match order.action {
                Some(link) if over.is_cancelled() => {
                    tell_in_vain(line, &link, fields);
                    Flow::End
                }
                Some(link) => follow(line, &link, fields),
                None => Flow::NextVerb,
            }
        }
    }
}

const SPEECH_PER_CHAR: Duration = Duration::from_millis(60);
/// Recordings are not fetched; each takes as long as a short announcement.
const TYPICAL_RECORDING: Duration = Duration::from_secs(4);

/// Speaks or plays `content`, which is written down.
async fn announce(
    line: &Line<'_>,
    content: String,
    lifelike: Duration,
    over: &CancellationToken,
) -> Flow {
    let began_at = line.simulation.now();
    let flow = pass(line, lifelike, over).await;
    let announcement = Announcement {
        began_at,
        content,
        is_whole: matches!(flow, Flow::NextVerb),
    };
    line.simulation
        .ledger
        .announced(&line.call.sid, announcement);
    flow
}

/// Lets `lifelike` pass at the simulator's pace.
async fn pass(line: &Line<'_>, lifelike: Duration, over: &CancellationToken) -> Flow {
    let wait = tokio::time::sleep(line.simulation.pace.shorten(lifelike));
    match over.run_until_cancelled(wait).await {
        Some(()) => Flow::NextVerb,
        None => Flow::End,
    }
}

fn follow(line: &Line<'_>, link: &Link, fields: Vec<(String, String)>) -> Flow {
    match line.resolve(link) {
        Ok(target) => Flow::Goto(Source::Fetch(target), fields),
        Err(failure) => {
            line.alert(&failure);
            Flow::End
        }
    }
}

/// A relative stream address is completed from the document's, with the socket scheme.
fn with_absolute_url(line: &Line<'_>, mut stream: twiml::Stream) -> twiml::Stream {
    if stream.url.contains("://") {
        return stream;
    }
    if let Some(url) = line
        .base
        .as_ref()
        .and_then(|base| base.join(&stream.url).ok())
    {
        stream.url = url.as_str().replacen("http", "ws", 1);
    }
    stream
}

/// What became of a second person's call is told also when the first has hung up; the answer does not
/// matter then.
fn tell_in_vain(line: &Line<'_>, link: &Link, fields: Vec<(String, String)>) {
    match line.resolve(link) {
        Ok(target) => {
            let mut params = call_fields(line.call, "completed");
            params.extend(fields);
            notify(line.simulation, target, params);
        }
        Err(failure) => line.alert(&failure),
    }
}

/// Calls a second person and, if they answer, lets both talk; returns the fields of the outcome.
async fn dial(line: &Line<'_>, order: &Dial, over: &CancellationToken) -> Vec<(String, String)> {
    let simulation = line.simulation;
    let n_earlier = simulation.exchange.count_call_to(&order.number);
    let ring_timeout = simulation.pace.shorten(order.timeout);
    let (status, ring) = match simulation.script(&order.number, n_earlier).reaction {
        Reaction::PicksUp { after, .. } if after < ring_timeout => ("completed", after),
        Reaction::PicksUp { .. } | Reaction::NeverAnswers => ("no-answer", ring_timeout),
        Reaction::Busy { after } => ("busy", after),
        Reaction::Unreachable { after } => ("failed", after),
        Reaction::RefusedByCarrier => ("failed", Duration::ZERO),
    };
    let leg = simulation.new_sid("CA");
    let rang = over.run_until_cancelled(tokio::time::sleep(ring)).await;
    let status = if rang.is_none() { "canceled" } else { status };
    let mut whispered = None;
    let mut talked = Duration::ZERO;
    if status == "completed" {
        whispered = whisper(line, order, &leg, over).await;
        let began = Instant::now();
        let talk = simulation.pace.shorten(TRANSFERRED_TALK);
        let _hung_up = over.run_until_cancelled(tokio::time::sleep(talk)).await;
        talked = began.elapsed();
    }
    simulation.ledger.transferred(
        &line.call.sid,
        TransferFacts {
            to: order.number.clone(),
            caller_id: order.caller_id.clone(),
            whispered,
            status,
        },
    );
    let is_bridged = status == "completed";
    vec![
        field("DialCallSid", &leg),
        field("DialCallStatus", status),
        field("DialCallDuration", &talked.as_secs().to_string()),
        field("DialBridged", if is_bridged { "true" } else { "false" }),
    ]
}

/// Asks what the second person is to hear, and lets them hear it. Returns what was said.
async fn whisper(
    line: &Line<'_>,
    order: &Dial,
    leg: &str,
    over: &CancellationToken,
) -> Option<String> {
    let target = match line.resolve(order.whisper.as_ref()?) {
        Ok(target) => target,
        Err(failure) => {
            line.alert(&failure);
            return None;
        }
    };
    let from = order.caller_id.as_deref().unwrap_or(&line.call.order.from);
    let params = [
        field("CallSid", leg),
        field("ParentCallSid", &line.call.sid),
        field("AccountSid", &line.call.account_sid),
        field("ApiVersion", API_VERSION),
        field("Direction", "outbound-dial"),
        field("CallStatus", "in-progress"),
        field("From", from),
        field("To", &order.number),
    ];
    let asking = webhook::request(line.simulation, &target, &params);
    let verbs = match over.run_until_cancelled(asking).await? {
        Ok(answer) => twiml::parse(&answer.body).map_err(|bad| WebhookFailure {
            code: bad.code,
            detail: bad.detail,
        }),
        Err(failure) => Err(failure),
    };
    match verbs {
        Ok(verbs) => {
            let mut said = None;
            for verb in verbs {
                if let Verb::Say { text } = verb {
                    let length = SPEECH_PER_CHAR * text.chars().count() as u32;
                    pass(line, length, over).await;
                    said = Some(text);
                }
            }
            said
        }
        Err(failure) => {
            line.alert(&failure);
            None
        }
    }
}

const TRANSFERRED_TALK: Duration = Duration::from_secs(20);
