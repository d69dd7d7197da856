//! Several vendors as one: a call gets the agent of the vendor that its campaign names, and another's while
//! that one fails.
//!
//! A conversation never changes its vendor. One that cannot be opened is asked for at the next vendor at
//! once, since the callee is on the line already.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tracing::{info, warn};

use super::{
    AgentEnd, AgentError, AgentEvent, AgentSession, BoxError, Brief, Dialect, Heard, Piece,
    Reading, ToolAnswer, VoiceAgent,
    link::{AgentLink, Prepared},
    session,
};
use crate::domain::{failover::Standings, ids::AgentVendor};

/// How long an agent may take to be ready once connected before it has failed, if the call ends then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Vendors' agents as one [`VoiceAgent`].
pub struct Fleet {
    /// The first serves campaigns that name none.
    members: Vec<Member>,
    standings: Shared,
    sessions: TaskTracker,
    stop: CancellationToken,
    _stop_when_dropped: DropGuard,
}

struct Member {
    vendor: AgentVendor,
    agent: Arc<dyn VoiceAgent>,
}

type Shared = Arc<Mutex<Standings>>;

impl Fleet {
    /// The agents of at least one vendor; the first serves campaigns that name none.
    pub fn new(members: Vec<(AgentVendor, Arc<dyn VoiceAgent>)>) -> Self {
        let stop = CancellationToken::new();
        Self {
            members: members
                .into_iter()
                .map(|(vendor, agent)| Member { vendor, agent })
                .collect(),
            standings: Shared::default(),
            sessions: TaskTracker::new(),
            _stop_when_dropped: stop.clone().drop_guard(),
            stop,
        }
    }

    /// The vendor that is wanted, where it is there.
    fn wanted(&self, vendor: Option<&AgentVendor>) -> Option<&Member> {
        let is_wanted = |member: &&Member| vendor.is_none_or(|it| *it == member.vendor);
        self.members.iter().find(is_wanted)
    }

    /// All vendors in the order in which to ask them for a conversation.
    fn order(&self, wanted: Option<&AgentVendor>) -> Vec<&Member> {
        let first = self.wanted(wanted).or(self.members.first());
        let vendors = first
            .into_iter()
            .chain(&self.members)
            .map(|member| member.vendor.clone());
        let mut names: Vec<AgentVendor> = Vec::new();
        for vendor in vendors {
            if !names.contains(&vendor) {
                names.push(vendor);
            }
        }
        let order = locked(&self.standings).order(names, now());
        order
            .iter()
            .filter_map(|vendor| self.wanted(Some(vendor)))
            .collect()
    }

    async fn link(
        &self,
        brief: &Brief,
        mut prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError> {
        let own = self.wanted(brief.vendor.as_ref()).map(|it| &it.vendor);
        let mut failures = Vec::new();
        for member in self.order(brief.vendor.as_ref()) {
            let is_own = own == Some(&member.vendor);
            let adapted = if is_own {
                None
            } else {
                Some(for_another(brief))
            };
            let brief = adapted.as_ref().unwrap_or(brief);
            let prepared = if is_own { prepared.take() } else { None };
            match member.agent.connect(brief, prepared).await {
                Ok(link) => {
                    if !is_own {
                        info!(vendor = %member.vendor, "another vendor's agent takes the call");
                    }
                    return Ok(self.watched(link, member));
                }
                Err(error) => {
                    note_failure(&self.standings, &member.vendor);
                    warn!(vendor = %member.vendor, %error, "no agent of this vendor");
                    failures.push((member.vendor.clone(), error));
                }
            }
        }
        Err(all_failed(failures))
    }

    fn watched(&self, link: AgentLink, member: &Member) -> AgentLink {
        AgentLink {
            dialect: Box::new(Watched {
                dialect: link.dialect,
                note: Note {
                    vendor: member.vendor.clone(),
                    standings: self.standings.clone(),
                    connected_at: now(),
                    so_far: SoFar::Opening,
                },
            }),
            ..link
        }
    }
}

/// What the campaign says for another vendor than it was written for: whose agents and voices have other
/// names.
fn for_another(brief: &Brief) -> Brief {
    Brief {
        agent_id: None,
        voice_id: None,
        ..brief.clone()
    }
}

/// One error for all: how the vendor that was asked first failed decides what kind it is.
fn all_failed(failures: Vec<(AgentVendor, AgentError)>) -> AgentError {
    let n_failures = failures.len();
    let texts: Vec<String> = failures
        .iter()
        .map(|(vendor, error)| format!("{vendor}: {}", error.detail()))
        .collect();
    let text = texts.join("; ");
    match failures.into_iter().next() {
        Some((_, only)) if n_failures == 1 => only,
        Some((_, AgentError::Refused(_))) => AgentError::Refused(text),
        Some((_, AgentError::Busy(_))) => AgentError::Busy(text),
        Some((_, AgentError::Unavailable(_))) => AgentError::Unavailable(BoxError::from(text)),
        None => AgentError::Unavailable(BoxError::from("no vendor of agents is set up")),
    }
}

fn note_failure(standings: &Shared, vendor: &AgentVendor) {
    if let Some(rest) = locked(standings).failed(vendor, now()) {
        warn!(%vendor, rest_s = rest.as_secs(), "a vendor's agents fail; new calls ask another's first");
    }
}

/// The time that the runtime goes by.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn locked(standings: &Shared) -> MutexGuard<'_, Standings> {
    standings
        .lock()
        .expect("nothing panics while it holds the standings")
}

#[async_trait]
impl VoiceAgent for Fleet {
    async fn prepare(
        &self,
        vendor: Option<&AgentVendor>,
        agent_id: Option<&str>,
    ) -> Result<Option<Prepared>, AgentError> {
        match self.wanted(vendor) {
            Some(member) => member.agent.prepare(vendor, agent_id).await,
            None => Ok(None),
        }
    }

    async fn open(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentSession, AgentError> {
        let link = self.link(brief, prepared).await?;
        session::start(link, &self.sessions, self.stop.child_token()).await
    }

    async fn connect(
        &self,
        brief: &Brief,
        prepared: Option<Prepared>,
    ) -> Result<AgentLink, AgentError> {
        self.link(brief, prepared).await
    }
}

/// A dialect whose conversation's end is noted.
#[derive(Debug)]
struct Watched {
    dialect: Box<dyn Dialect>,
    note: Note,
}

/// What is to be noted of a conversation: whether its vendor did well.
#[derive(Debug)]
struct Note {
    vendor: AgentVendor,
    standings: Shared,
    connected_at: Instant,
    so_far: SoFar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SoFar {
    Opening,
    Ready,
    Failed,
}

impl Note {
    fn hears(&mut self, heard: &Heard<'_>) {
        match heard {
            Heard::Event(AgentEvent::Ready { .. }) => self.so_far = SoFar::Ready,
            Heard::Event(AgentEvent::Ended(end)) => self.ended(end),
            Heard::Nothing | Heard::Audio { .. } | Heard::Event(_) => {}
        }
    }

    fn ended(&mut self, end: &AgentEnd) {
        if matches!(end, AgentEnd::Failed { .. }) && self.so_far != SoFar::Failed {
            self.so_far = SoFar::Failed;
            note_failure(&self.standings, &self.vendor);
        }
    }
}

impl Drop for Note {
    /// A conversation that did not fail went well, whoever ended it. An agent that was waited for in vain
    /// has failed; a callee who hung up at once says nothing about it.
    fn drop(&mut self) {
        match self.so_far {
            SoFar::Ready => {
                if locked(&self.standings).went_well(&self.vendor) {
                    info!(vendor = %self.vendor, "a vendor's agents are well again");
                }
            }
            SoFar::Opening if now().duration_since(self.connected_at) >= PATIENCE => {
                note_failure(&self.standings, &self.vendor);
            }
            SoFar::Opening | SoFar::Failed => {}
        }
    }
}

impl Dialect for Watched {
    fn opening(&self) -> Option<String> {
        self.dialect.opening()
    }

    fn read<'t>(&'t mut self, text: &'t str, now: Instant) -> Result<Reading<'t>, BoxError> {
        let reading = self.dialect.read(text, now)?;
        self.note.hears(&reading.heard);
        Ok(reading)
    }

    fn read_data(&mut self, data: &[u8], now: Instant) -> Heard<'_> {
        let heard = self.dialect.read_data(data, now);
        self.note.hears(&heard);
        heard
    }

    fn audio<'a>(&'a mut self, payload: &'a str) -> Option<Piece<'a>> {
        self.dialect.audio(payload)
    }

    fn key(&self, key: char) -> String {
        self.dialect.key(key)
    }

    fn hint(&self, text: &str) -> String {
        self.dialect.hint(text)
    }

    fn tool_answer(&self, answer: &ToolAnswer) -> String {
        self.dialect.tool_answer(answer)
    }

    fn farewell(&self) -> Option<String> {
        self.dialect.farewell()
    }

    fn deadline(&self) -> Instant {
        self.dialect.deadline()
    }

    fn overdue(&mut self) -> AgentEnd {
        let end = self.dialect.overdue();
        self.note.ended(&end);
        end
    }

    fn closed(&mut self, frame: Option<(u16, &str)>) -> AgentEnd {
        let end = self.dialect.closed(frame);
        self.note.ended(&end);
        end
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Refuses every call in its own way.
    struct Refusing {
        refusal: fn(String) -> AgentError,
        words: &'static str,
        /// Whether the campaign's agent is its own; of another vendor's it must not be told.
        is_meant: bool,
        n_asked: AtomicUsize,
    }

    impl Refusing {
        fn new(
            refusal: fn(String) -> AgentError,
            words: &'static str,
            is_meant: bool,
        ) -> Arc<Self> {
            Arc::new(Self {
                refusal,
                words,
                is_meant,
                n_asked: AtomicUsize::new(0),
            })
        }
    }

    #[async_trait]
    impl VoiceAgent for Refusing {
        async fn prepare(
            &self,
            _vendor: Option<&AgentVendor>,
            _agent_id: Option<&str>,
        ) -> Result<Option<Prepared>, AgentError> {
            Ok(None)
        }

        async fn open(
            &self,
            _brief: &Brief,
            _prepared: Option<Prepared>,
        ) -> Result<AgentSession, AgentError> {
            unreachable!("a fleet connects")
        }

        async fn connect(
            &self,
            brief: &Brief,
            _prepared: Option<Prepared>,
        ) -> Result<AgentLink, AgentError> {
            self.n_asked.fetch_add(1, Ordering::Relaxed);
            let told = (brief.agent_id.is_some(), brief.voice_id.is_some());
            assert_eq!(told, (self.is_meant, self.is_meant));
            Err((self.refusal)(self.words.to_owned()))
        }
    }

    fn vendor(name: &str) -> AgentVendor {
        name.parse().unwrap()
    }

    // proves F-35, F-36
    #[tokio::test]
    async fn all_vendors_are_asked_and_the_error_names_each() {
        let one = Refusing::new(AgentError::Busy, "full", true);
        let other = Refusing::new(AgentError::Refused, "unknown", false);
        let fleet = Fleet::new(vec![
            (vendor("one"), one.clone() as Arc<dyn VoiceAgent>),
            (vendor("other"), other),
        ]);
        let brief = Brief {
            agent_id: Some("agent_1".to_owned()),
            voice_id: Some("voice_1".to_owned()),
            language: Some("en".to_owned()),
            ..Brief::default()
        };
        let error = fleet.connect(&brief, None).await.unwrap_err();
        let expected = "the agent has no capacity: one: full; other: unknown";
        assert_eq!(error.to_string(), expected);
        assert_eq!(one.n_asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_error_of_the_only_vendor_is_told_as_it_is() {
        let other = Refusing::new(AgentError::Refused, "unknown", false);
        let fleet = Fleet::new(vec![(vendor("other"), other)]);
        let error = fleet.connect(&Brief::default(), None).await.unwrap_err();
        assert_eq!(error.to_string(), "the agent refused the call: unknown");
    }
}
