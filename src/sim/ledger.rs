//! What really happened in the simulated world: facts only, no judgement.
//!
//! A dialer's own numbers can be checked against these. The ledger grows with the run; it is as
//! long as the history of the simulated account.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use jiff::Timestamp;
use serde::Serialize;

use super::callee::Behaviour;

/// Everything known at one moment, as a copy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LedgerSnapshot {
    pub totals: Totals,
    /// Facts per number called.
    pub numbers: BTreeMap<String, NumberFacts>,
    /// What the carrier's debugger would list, by error code.
    pub alerts: BTreeMap<u32, AlertFacts>,
    /// Every call created, oldest first.
    pub calls: Vec<CallFacts>,
    /// Every agent conversation opened, oldest first.
    pub conversations: Vec<ConversationFacts>,
}

impl LedgerSnapshot {
    /// How often the carrier reported `code`.
    pub fn n_alerts(&self, code: u32) -> u64 {
        self.alerts.get(&code).map_or(0, |alert| alert.count)
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    pub calls_created: u64,
    pub calls_refused: u64,
    pub calls_answered: u64,
    pub calls_ended: u64,
    /// Final carrier status and how many calls had it.
    pub outcomes: BTreeMap<String, u64>,
    /// Calls accepted and not over.
    pub live: u32,
    pub live_max: u32,
    /// The most calls that one number had at the same time.
    pub live_max_per_number: u32,
    pub callbacks: CallbackFacts,
    pub streams_opened: u64,
    pub streams_open: u32,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub agent_sessions_opened: u64,
    pub agent_sessions_open: u32,
    pub agent_sessions_open_max: u32,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CallbackFacts {
    pub delivered: u64,
    /// Sent, but not answered with 2xx.
    pub failed: u64,
    /// Withheld by a fault.
    pub lost: u64,
    /// Sent a second time by a fault.
    pub repeated: u64,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct NumberFacts {
    /// When each call to this number was accepted.
    pub created_at: Vec<Timestamp>,
    /// Requests to call this number, accepted or not.
    pub requests: u32,
    pub answered: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub live: u32,
    pub live_max: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct CallFacts {
    pub sid: String,
    pub to: String,
    pub from: String,
    pub behaviour: Behaviour,
    pub created_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<String>,
    /// When a machine that answered has said all it says.
    pub beeps_at: Option<Timestamp>,
    /// What documents had spoken or played on the line, in order.
    pub announcements: Vec<Announcement>,
    /// To whom the callee was handed over, in order.
    pub transfers: Vec<TransferFacts>,
}

/// A second person who was called to be joined to the callee.
#[derive(Debug, Clone, Serialize)]
pub struct TransferFacts {
    pub to: String,
    /// The number that they saw, where a document named one.
    pub caller_id: Option<String>,
    /// What they heard before they were joined.
    pub whispered: Option<String>,
    /// The carrier's word for what became of it.
    pub status: &'static str,
}

/// A text that was spoken, or the address of a recording that was played.
#[derive(Debug, Clone, Serialize)]
pub struct Announcement {
    pub began_at: Timestamp,
    pub content: String,
    /// Whether it came to its end before the line was gone.
    pub is_whole: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct AlertFacts {
    pub count: u64,
    pub last_detail: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct ConversationFacts {
    /// Whose agent it was: elevenlabs or vapi.
    pub vendor: &'static str,
    pub conversation_id: String,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    /// The close code, whoever sent it; none when the connection just ended.
    pub close_code: Option<u16>,
    /// The prompt in force, after overrides, with its variables filled in.
    pub prompt: String,
    pub first_message: String,
    pub dynamic_variables: serde_json::Map<String, serde_json::Value>,
    pub user_lines: u32,
    pub agent_lines: u32,
    pub interruptions: u32,
    /// What the client told the agent without taking a turn, in order.
    pub hints: Vec<String>,
    /// Tools of the client that the agent called and got an answer of.
    pub tools: Vec<ToolFacts>,
    /// Pings the client answered, and how long the slowest answer took.
    pub pongs: u32,
    pub slowest_pong_ms: u64,
    /// Reports on it that were posted and taken, and those that were not taken.
    pub reports_taken: u32,
    pub reports_refused: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct ToolFacts {
    pub name: String,
    pub result: String,
    pub is_error: bool,
}

/// What became of one status callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackFate {
    Delivered,
    Failed,
    Lost,
    Repeated,
}

/// The book in which every part of the simulator writes.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    snapshot: LedgerSnapshot,
    call_index: BTreeMap<String, usize>,
    conversation_index: BTreeMap<String, usize>,
}

impl Ledger {
    /// A copy of everything known now.
    pub fn snapshot(&self) -> LedgerSnapshot {
        self.book().snapshot.clone()
    }

    /// The sums alone.
    pub fn totals(&self) -> Totals {
        self.book().snapshot.totals.clone()
    }

    /// Counts a request to call `to` and returns how many there were before.
    pub fn count_request(&self, to: &str) -> u32 {
        let mut book = self.book();
        let number = book.number(to);
        number.requests += 1;
        number.requests - 1
    }

    pub fn count_refusal(&self) {
        self.book().snapshot.totals.calls_refused += 1;
    }

    pub fn call_created(&self, call: CallFacts) {
        let mut book = self.book();
        let number = book.number(&call.to);
        number.created_at.push(call.created_at);
        number.live += 1;
        number.live_max = number.live_max.max(number.live);
        let number_max = number.live_max;
        let totals = &mut book.snapshot.totals;
        totals.calls_created += 1;
        totals.live += 1;
        totals.live_max = totals.live_max.max(totals.live);
        totals.live_max_per_number = totals.live_max_per_number.max(number_max);
        let index = book.snapshot.calls.len();
        book.call_index.insert(call.sid.clone(), index);
        book.snapshot.calls.push(call);
    }

    pub fn call_answered(&self, sid: &str, at: Timestamp) {
        let mut book = self.book();
        let Some(call) = book.call(sid) else { return };
        call.answered_at = Some(at);
        let to = call.to.clone();
        book.number(&to).answered += 1;
        book.snapshot.totals.calls_answered += 1;
    }

    pub fn call_ended(&self, sid: &str, outcome: &str, at: Timestamp) {
        let mut book = self.book();
        let Some(call) = book.call(sid) else { return };
        call.ended_at = Some(at);
        call.outcome = Some(outcome.to_owned());
        let to = call.to.clone();
        let number = book.number(&to);
        number.live -= 1;
        *number.outcomes.entry(outcome.to_owned()).or_default() += 1;
        let totals = &mut book.snapshot.totals;
        totals.live -= 1;
        totals.calls_ended += 1;
        *totals.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    pub fn call_beeps(&self, sid: &str, at: Timestamp) {
        if let Some(call) = self.book().call(sid) {
            call.beeps_at = Some(at);
        }
    }

    pub fn announced(&self, sid: &str, announcement: Announcement) {
        if let Some(call) = self.book().call(sid) {
            call.announcements.push(announcement);
        }
    }

    pub fn transferred(&self, sid: &str, transfer: TransferFacts) {
        if let Some(call) = self.book().call(sid) {
            call.transfers.push(transfer);
        }
    }

    pub fn callback(&self, fate: CallbackFate) {
        let callbacks = &mut self.book().snapshot.totals.callbacks;
        match fate {
            CallbackFate::Delivered => callbacks.delivered += 1,
            CallbackFate::Failed => callbacks.failed += 1,
            CallbackFate::Lost => callbacks.lost += 1,
            CallbackFate::Repeated => callbacks.repeated += 1,
        }
    }

    /// Notes an entry of the carrier's debugger.
    pub fn alert(&self, code: u32, detail: &str) {
        let mut book = self.book();
        let alert = book.snapshot.alerts.entry(code).or_default();
        alert.count += 1;
        detail.clone_into(&mut alert.last_detail);
    }

    pub fn stream_opened(&self) {
        let totals = &mut self.book().snapshot.totals;
        totals.streams_opened += 1;
        totals.streams_open += 1;
    }

    pub fn stream_closed(&self, frames_sent: u64, frames_received: u64) {
        let totals = &mut self.book().snapshot.totals;
        totals.streams_open -= 1;
        totals.frames_sent += frames_sent;
        totals.frames_received += frames_received;
    }

    pub fn conversation_opened(&self, facts: ConversationFacts) {
        let mut book = self.book();
        let index = book.snapshot.conversations.len();
        book.conversation_index
            .insert(facts.conversation_id.clone(), index);
        book.snapshot.conversations.push(facts);
        let totals = &mut book.snapshot.totals;
        totals.agent_sessions_opened += 1;
        totals.agent_sessions_open += 1;
        totals.agent_sessions_open_max = totals
            .agent_sessions_open_max
            .max(totals.agent_sessions_open);
    }

    /// A report on a conversation was posted.
    pub fn report_posted(&self, conversation_id: &str, is_taken: bool) {
        let mut book = self.book();
        let Some(&index) = book.conversation_index.get(conversation_id) else {
            return;
        };
        let facts = &mut book.snapshot.conversations[index];
        let count = if is_taken {
            &mut facts.reports_taken
        } else {
            &mut facts.reports_refused
        };
        *count += 1;
    }

    /// Replaces what is known of an open conversation.
    pub fn conversation_changed(&self, facts: ConversationFacts) {
        let mut book = self.book();
        let Some(&index) = book.conversation_index.get(&facts.conversation_id) else {
            return;
        };
        let was_open = book.snapshot.conversations[index].closed_at.is_none();
        if was_open && facts.closed_at.is_some() {
            book.snapshot.totals.agent_sessions_open -= 1;
        }
        book.snapshot.conversations[index] = facts;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .expect("nothing panics while it writes in the ledger")
    }
}

impl Book {
    fn number(&mut self, number: &str) -> &mut NumberFacts {
        if !self.snapshot.numbers.contains_key(number) {
            self.snapshot
                .numbers
                .insert(number.to_owned(), NumberFacts::default());
        }
        self.snapshot
            .numbers
            .get_mut(number)
            .expect("the number was inserted above")
    }

    fn call(&mut self, sid: &str) -> Option<&mut CallFacts> {
        let index = *self.call_index.get(sid)?;
        self.snapshot.calls.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(sid: &str) -> CallFacts {
        CallFacts {
            sid: sid.to_owned(),
            to: "+15550100".to_owned(),
            from: "+15005550006".to_owned(),
            behaviour: Behaviour::Converses,
            created_at: Timestamp::UNIX_EPOCH,
            answered_at: None,
            ended_at: None,
            outcome: None,
            beeps_at: None,
            announcements: Vec::new(),
            transfers: Vec::new(),
        }
    }

    #[test]
    fn calls_that_overlap_on_one_number_are_seen() {
        let ledger = Ledger::default();
        ledger.call_created(call("CA1"));
        ledger.call_ended("CA1", "busy", Timestamp::UNIX_EPOCH);
        ledger.call_created(call("CA2"));
        assert_eq!(ledger.snapshot().totals.live_max_per_number, 1);
        ledger.call_created(call("CA3"));
        let snapshot = ledger.snapshot();
        assert_eq!(snapshot.totals.live_max_per_number, 2);
        assert_eq!(
            snapshot.totals.outcomes,
            BTreeMap::from([("busy".to_owned(), 1)])
        );
        assert_eq!(snapshot.numbers["+15550100"].created_at.len(), 3);
    }
}
