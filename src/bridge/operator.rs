//! What operators ask of a live call: to listen in, to tell its agent something, and to mute it.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use super::{
    BridgeEvent, ToolAnswer,
    tap::{self, Ear, Lead},
};

/// How many requests may wait for a call; then whoever asks waits.
const REQUESTS_WAITING: usize = 8;

/// Something that an operator asks of a call.
#[derive(Debug)]
pub enum OperatorRequest {
    /// To hear what is said from now on.
    Listen(Lead),
    /// To tell the agent something that the callee does not hear.
    Hint {
        /// What.
        text: String,
        /// Told whether the agent was.
        answer: oneshot::Sender<Result<(), HintRefused>>,
    },
    /// To keep the agent from being heard, or to let it be heard again.
    Mute {
        /// Whether it is to be muted.
        is_on: bool,
        /// Told when it is so.
        done: oneshot::Sender<()>,
    },
}

/// There is no talk any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the talk is over")]
pub struct TalkOver;

/// Why an agent was not told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HintRefused {
    /// It is still being joined.
    #[error("the agent is not ready yet")]
    NotReady,
    /// Its connection takes nothing at the moment.
    #[error("the agent's connection takes nothing at the moment")]
    Stuck,
    /// It is done, or the call is over.
    #[error("the agent has left the call")]
    Gone,
}

/// A live call, as operators reach it.
#[derive(Debug, Clone)]
pub struct Operators {
    requests: mpsc::Sender<OperatorRequest>,
    muting: Arc<Mutex<()>>,
}

/// A call's connection to whoever began it.
#[derive(Debug)]
pub struct Uplink {
    /// Takes what happens in its course.
    pub report: mpsc::Sender<BridgeEvent>,
    /// What operators ask of it; closed where none can reach it.
    pub requests: mpsc::Receiver<OperatorRequest>,
    /// What became of the tools that the agent used; closed where nobody serves them.
    pub answers: mpsc::Receiver<ToolAnswer>,
}

impl From<mpsc::Sender<BridgeEvent>> for Uplink {
    /// For a call that no operator reaches, and whose agent's tools nobody serves.
    fn from(report: mpsc::Sender<BridgeEvent>) -> Self {
        let (_, requests) = mpsc::channel(1);
        let (_, answers) = mpsc::channel(1);
        Self {
            report,
            requests,
            answers,
        }
    }
}

impl Uplink {
    /// The next answer; for ever nothing once nobody gives any.
    pub(super) async fn next_answer(answers: &mut mpsc::Receiver<ToolAnswer>) -> ToolAnswer {
        match answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

impl Operators {
    /// The way to a call, and what is asked over it.
    pub fn new() -> (Self, mpsc::Receiver<OperatorRequest>) {
        let (requests, asked) = mpsc::channel(REQUESTS_WAITING);
        let operators = Self {
            requests,
            muting: Arc::default(),
        };
        (operators, asked)
    }

    /// Listens in from now on. The ear hears nothing when the call is over.
    pub async fn listen(&self) -> Ear {
        let (lead, ear) = tap::ear();
        self.requests.send(OperatorRequest::Listen(lead)).await.ok();
        ear
    }

    /// Tells the agent something that the callee does not hear.
    pub async fn hint(&self, text: String) -> Result<(), HintRefused> {
        let (answer, answered) = oneshot::channel();
        let hint = OperatorRequest::Hint { text, answer };
        self.requests.send(hint).await.ok();
        // A call that is over drops what it is asked.
        answered.await.unwrap_or(Err(HintRefused::Gone))
    }

    /// Held by whoever changes whether the agent is heard, until that is on record too.
    pub async fn muting(&self) -> OwnedMutexGuard<()> {
        self.muting.clone().lock_owned().await
    }

    /// Keeps the agent from being heard, or lets it be heard again. When this returns, what the carrier
    /// had of its speech is cleared. The agent hears the callee all the same.
    pub async fn mute(&self, is_on: bool) -> Result<(), TalkOver> {
        let (done, is_done) = oneshot::channel();
        let mute = OperatorRequest::Mute { is_on, done };
        self.requests.send(mute).await.ok();
        // A call that is over drops what it is asked.
        is_done.await.map_err(|_| TalkOver)
    }
}
