//! The tools that a tenant defined, used by an agent during a call.
//!
//! A use is a request to the tenant's address, beside the call: whoever saves what the call reports does
//! not wait for it. What comes back is turned into words for the agent.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, warn};

use super::keep::{insist, note};
use crate::{
    api::web_tools::WebTools,
    bridge::{ToolAnswer, ToolError},
    domain::{
        event::Moment,
        web_tool::{ToolName, WebMethod, WebTool},
    },
    engine::{Engine, Talk},
    web::{WebAnswer, WebError, WebRequest},
};

/// How many uses of a call may be on their way at once.
const AT_ONCE: usize = 4;

/// How many uses of a call are kept count of, the refused ones included. An agent that goes on and on gets
/// no more answers.
const KEPT_AT_ONCE: usize = 32;

/// The longest arguments, as JSON, in bytes.
const MAX_ARGUMENTS: usize = 16 * 1024;

/// How much of an answer that says no is passed on to the agent, in characters.
const MAX_REASON: usize = 300;

/// What an agent is told whose tool cannot be found at the moment.
const NOT_NOW: &str = "this tool cannot be used at the moment; go on without it";

/// What one call's agent uses.
pub(super) struct Uses {
    engine: Engine,
    talk: Arc<Talk>,
    tools: Arc<WebTools>,
    answers: mpsc::Sender<ToolAnswer>,
    tasks: TaskTracker,
    permits: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// Why nothing came of a use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    /// For the call's timeline: nothing that the tenant's server said.
    what: String,
    /// For the agent.
    words: String,
}

impl Uses {
    /// Of a call whose agent is answered by `answers`; each use is a task on `tasks`, which goes on to its
    /// end when the call is over before.
    pub fn new(
        engine: Engine,
        talk: Talk,
        tools: Arc<WebTools>,
        answers: mpsc::Sender<ToolAnswer>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            engine,
            talk: Arc::new(talk),
            tools,
            answers,
            tasks,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(KEPT_AT_ONCE)),
        }
    }

    /// Begins a use. The agent is answered when there is something to say.
    pub fn begin(&self, id: String, name: ToolName, arguments: Value, is_shared: bool) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            warn!(tool = %name, "an agent uses too many tools at once; this use is passed over");
            return;
        };
        let permit = self.permits.clone().try_acquire_owned().ok();
        let used = Use {
            engine: self.engine.clone(),
            talk: self.talk.clone(),
            tools: self.tools.clone(),
            id,
            name,
            arguments,
            is_shared,
        };
        let answers = self.answers.clone();
        let using = async move {
            used.run(permit, &answers).await;
            drop(place);
        };
        self.tasks.spawn(using.in_current_span());
    }
}

/// One use of a tool.
struct Use {
    engine: Engine,
    talk: Arc<Talk>,
    tools: Arc<WebTools>,
    id: String,
    name: ToolName,
    arguments: Value,
    is_shared: bool,
}

impl Use {
    async fn run(self, permit: Option<OwnedSemaphorePermit>, answers: &mpsc::Sender<ToolAnswer>) {
        let began = Instant::now();
        let told = match self.find().await {
            Ok(Some(tool)) if permit.is_some() => self.ask(&tool).await,
            Ok(Some(_)) => Err(failure(
                "too many tools were used at once",
                "too many tools are in use; wait for their answers and try again",
            )),
            // Vapi has it served by whoever has it, and tells us only that it is used.
            Ok(None) if self.is_shared => return,
            Ok(None) => {
                let words = ToolError::unknown(self.name.as_str()).to_string();
                Err(failure("there is no such tool", words))
            }
            Err(failure) => Err(failure),
        };
        drop(permit);
        let (took, error) = (began.elapsed(), told.as_ref().err());
        info!(tool = %self.name, took_ms = took.as_millis(), error = error.map(|it| &it.what),
            "the agent used a tool of the tenant's");
        let error = error.map(|failure| failure.what.clone());
        let (text, is_error) = match told {
            Ok(words) => (words, false),
            Err(failure) => (failure.words, true),
        };
        let answer = ToolAnswer {
            call: self.id.clone(),
            tool: self.name.to_string(),
            text,
            is_error,
        };
        // Somebody on the phone does not wait for records. The agent may be gone.
        answers.send(answer).await.ok();
        self.keep(took, error).await;
    }

    /// The tool as it is now: it may have been changed since the call began.
    async fn find(&self) -> Result<Option<WebTool>, Failure> {
        let tenant = self.talk.campaign.tenant;
        let find = || async {
            let store = self.engine.store();
            Ok(store.find_web_tool(tenant, &self.name).await?)
        };
        insist(2, find).await.map_err(|error| {
            warn!(%error, tool = %self.name, "a tool could not be looked up");
            failure("the records could not be read", NOT_NOW)
        })
    }

    async fn ask(&self, tool: &WebTool) -> Result<String, Failure> {
        let request = self.request(tool)?;
        match self.tools.client.ask(request).await {
            Ok(answer) => in_words(answer),
            Err(error) => {
                warn!(%error, tool = %self.name, "a tenant's tool gave no answer");
                Err(no_answer(&error, tool.time_limit))
            }
        }
    }

    fn request(&self, tool: &WebTool) -> Result<WebRequest, Failure> {
        let url = self.tools.client.check(&tool.url);
        let url = url.map_err(|error| no_answer(&error.into(), tool.time_limit))?;
        let purpose = WebTools::purpose(self.talk.campaign.tenant, &tool.name);
        let header = tool.header.as_ref().map(|header| {
            let value = self.tools.vault.open(&purpose, &header.sealed);
            let value = value.map_err(|error| failure(error.to_string(), NOT_NOW))?;
            let name = header.name.parse();
            let name = name.map_err(|_| failure("its header has no usable name", NOT_NOW))?;
            Ok((name, value))
        });
        let ids = [
            ("tool", tool.name.to_string()),
            ("callId", self.talk.attempt.to_string()),
            ("campaignId", self.talk.campaign.id.to_string()),
            ("contactId", self.talk.enrollment.contact.to_string()),
        ];
        let arguments = sent(tool, &self.arguments)?;
        let (query, body) = match tool.method {
            WebMethod::Get => (query(&ids, &arguments), None),
            WebMethod::Post | WebMethod::Put | WebMethod::Patch => {
                (Vec::new(), Some(body(&ids, arguments)))
            }
        };
        Ok(WebRequest {
            method: match tool.method {
                WebMethod::Get => Method::GET,
                WebMethod::Post => Method::POST,
                WebMethod::Put => Method::PUT,
                WebMethod::Patch => Method::PATCH,
            },
            url,
            query,
            body,
            header: header.transpose()?,
            within: tool.time_limit,
        })
    }

    async fn keep(&self, took: Duration, error: Option<String>) {
        let tool = self.name.to_string();
        let used = Moment::ToolUsed { tool, took, error };
        note(&self.engine, &self.talk, used).await;
    }
}

fn failure(what: impl Into<String>, words: impl Into<String>) -> Failure {
    Failure {
        what: what.into(),
        words: words.into(),
    }
}

/// Those of the agent's arguments that the tool's owner wants.
fn sent(tool: &WebTool, arguments: &Value) -> Result<Map<String, Value>, Failure> {
    let wanted = tool.arguments.iter().filter_map(|name| {
        let value = arguments.get(name)?;
        Some((name.clone(), value.clone()))
    });
    let wanted: Map<String, Value> = wanted.collect();
    let n_bytes = Value::Object(wanted.clone()).to_string().len();
    if n_bytes > MAX_ARGUMENTS {
        let words = "the arguments are too long; say less";
        return Err(failure("the arguments were too long", words));
    }
    Ok(wanted)
}

fn query(ids: &[(&str, String)], arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let ids = ids
        .iter()
        .map(|(name, id)| ((*name).to_owned(), id.clone()));
    let arguments = arguments.iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (name.clone(), text)
    });
    ids.chain(arguments).collect()
}

fn body(ids: &[(&str, String)], arguments: Map<String, Value>) -> Value {
    let mut body: Map<String, Value> = ids
        .iter()
        .map(|(name, id)| ((*name).to_owned(), json!(id)))
        .collect();
    body.insert("arguments".to_owned(), Value::Object(arguments));
    Value::Object(body)
}

/// What the agent is told of an answer.
fn in_words(answer: WebAnswer) -> Result<String, Failure> {
    let text = answer.text.trim();
    match answer.status {
        200..=299 if text.is_empty() => Ok("done".to_owned()),
        200..=299 if answer.is_cut => {
            Ok(format!("{text}… (the answer is longer; the rest is cut)"))
        }
        200..=299 => Ok(text.to_owned()),
        300..=399 => Err(failure(
            "it answered with a redirect, which is not followed",
            NOT_NOW,
        )),
        status => {
            let reason: String = text.chars().take(MAX_REASON).collect();
            let what = format!("it answered with status {status}");
            let words = match reason.as_str() {
                "" => format!("the tool failed with status {status}"),
                reason => format!("the tool failed with status {status}: {reason}"),
            };
            Err(failure(what, words))
        }
    }
}

/// What the agent is told when there is none.
fn no_answer(error: &WebError, limit: Duration) -> Failure {
    match error {
        WebError::Forbidden(forbidden) => failure(
            format!("its address may not be asked: it {forbidden}"),
            NOT_NOW,
        ),
        WebError::Busy => failure("too many requests were on their way", NOT_NOW),
        WebError::Late => failure(
            format!("it gave no answer within {} ms", limit.as_millis()),
            "the tool gave no answer in time; it may have done what was asked all the same",
        ),
        WebError::Unreachable(_) => failure("it could not be reached", NOT_NOW),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::Forbidden;

    fn tool(arguments: &[&str]) -> WebTool {
        WebTool {
            name: "lookup".parse().unwrap(),
            description: String::new(),
            method: WebMethod::Post,
            url: "https://example.com/".to_owned(),
            arguments: arguments.iter().map(|name| (*name).to_owned()).collect(),
            time_limit: WebTool::USUAL,
            header: None,
        }
    }

    #[test]
    fn only_the_arguments_that_are_wanted_are_sent_as_they_are() {
        let said = json!({"order": "7", "deep": {"a": [1]}, "other": "x"});
        let tool = tool(&["deep", "missing", "order"]);
        let arguments = sent(&tool, &said).unwrap();
        let ids = [("callId", "att_1".to_owned())];
        assert_eq!(
            query(&ids, &arguments),
            [
                ("callId".to_owned(), "att_1".to_owned()),
                ("deep".to_owned(), r#"{"a":[1]}"#.to_owned()),
                ("order".to_owned(), "7".to_owned()),
            ]
        );
        assert_eq!(
            body(&ids, arguments),
            json!({"callId": "att_1", "arguments": {"order": "7", "deep": {"a": [1]}}})
        );
        for nothing in [json!(null), json!("text"), json!([1])] {
            assert_eq!(sent(&tool, &nothing), Ok(Map::new()));
        }
        let long = json!({"order": "x".repeat(MAX_ARGUMENTS)});
        assert!(sent(&tool, &long).unwrap_err().words.contains("too long"));
    }

    #[test]
    fn an_agent_is_told_in_words_what_came_of_it() {
        let answer = |status, text: &str, is_cut| {
            let text = text.to_owned();
            in_words(WebAnswer {
                status,
                text,
                is_cut,
            })
        };
        assert_eq!(answer(200, " on its way\n", false).unwrap(), "on its way");
        assert_eq!(answer(204, "", false).unwrap(), "done");
        let cut = answer(200, "long", true).unwrap();
        assert_eq!(cut, "long… (the answer is longer; the rest is cut)");
        let failed = answer(404, &format!("no such order{}", "!".repeat(900)), false);
        let failed = failed.unwrap_err();
        assert!(
            failed
                .words
                .starts_with("the tool failed with status 404: no such order!")
        );
        assert!(failed.words.len() < 400, "{}", failed.words);
        assert_eq!(failed.what, "it answered with status 404");
        let empty = answer(500, "", false).unwrap_err();
        assert_eq!(empty.words, "the tool failed with status 500");
        assert!(
            answer(302, "", false)
                .unwrap_err()
                .what
                .contains("redirect")
        );
        let late = no_answer(&WebError::Late, Duration::from_millis(250));
        assert_eq!(late.what, "it gave no answer within 250 ms");
        let inside = no_answer(&Forbidden::Private.into(), WebTool::USUAL);
        assert!(inside.what.contains("public internet"));
        assert_eq!(inside.words, NOT_NOW);
    }
}
