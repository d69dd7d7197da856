//! What is kept of a conversation, and how REST and the post-call webhook show it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sim::simulation::Simulation;

#[derive(Debug, Clone)]
pub struct Record {
    pub conversation_id: String,
    pub authorization_method: &'static str,
    pub user_id: Option<String>,
    pub started_at: Timestamp,
    pub transcript: Vec<Line>,
    /// The initiation message as the client sent it.
    pub client_data: Value,
    pub end: Option<End>,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub speaker: Speaker,
    pub text: String,
    pub at: Timestamp,
    pub event_id: u64,
    pub is_interrupted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Agent,
    User,
}

#[derive(Debug, Clone)]
pub struct End {
    pub at: Timestamp,
    /// The close code; none when the connection just ended.
    pub code: Option<u16>,
    pub reason: String,
    pub is_failure: bool,
}

/// How long the service thinks about a finished conversation.
const PROCESSING_TIME: Duration = Duration::from_secs(3);
const SHORTEST_PROCESSING: Duration = Duration::from_millis(100);

/// What a conversation costs.
const CREDITS_PER_SECOND: i64 = 7;

/// The time from the end of a conversation until its analysis is there.
pub fn processing_time(simulation: &Simulation) -> Duration {
    simulation
        .pace
        .shorten_to(PROCESSING_TIME, SHORTEST_PROCESSING)
}

impl Record {
    pub fn n_lines(&self, speaker: Speaker) -> usize {
        self.transcript
            .iter()
            .filter(|line| line.speaker == speaker)
            .count()
    }

    fn status(&self, simulation: &Simulation) -> &'static str {
        match &self.end {
            None => "in-progress",
            Some(end) if end.is_failure => "failed",
            Some(end) if simulation.now() < end.at + processing_time(simulation) => "processing",
            Some(_) => "done",
        }
    }

    /// Whether its recording is ready.
    pub fn has_audio(&self, simulation: &Simulation) -> bool {
        self.status(simulation) == "done"
    }

    pub fn duration_secs(&self, now: Timestamp) -> i64 {
        let end = self.end.as_ref().map_or(now, |end| end.at);
        (end.duration_since(self.started_at).as_millis() as f64 / 1_000.0).round() as i64
    }

    fn verdict(&self) -> &'static str {
        match self.n_lines(Speaker::User) {
            0 => "failure",
            1 => "unknown",
            _ => "success",
        }
    }

    fn summary(&self) -> String {
        format!(
            "The agent spoke {} times and the caller {} times.",
            self.n_lines(Speaker::Agent),
            self.n_lines(Speaker::User)
        )
    }

    /// The whole conversation object.
    pub fn to_json(&self, simulation: &Simulation) -> Value {
        let status = self.status(simulation);
        let analysis = (status == "done").then(|| {
            json!({
                "call_successful": self.verdict(),
                "transcript_summary": self.summary(),
                "call_summary_title": "Simulated conversation",
                "evaluation_criteria_results": {
                    "answered": {
                        "criteria_id": "answered",
                        "result": self.verdict(),
                        "rationale": "The verdict goes by how often the caller spoke.",
                    },
                },
                "data_collection_results": {
                    "answers": {
                        "data_collection_id": "answers",
                        "value": self.n_lines(Speaker::User),
                        "json_schema": {"type": "integer"},
                        "rationale": "How often the caller spoke.",
                    },
                },
            })
        });
        json!({
            "conversation_id": self.conversation_id,
            "agent_id": simulation.config.agent_id,
            "agent_name": simulation.config.agent.name,
            "status": status,
            "user_id": self.user_id,
            "branch_id": null,
            "version_id": null,
            "environment": null,
            "tag_ids": [],
            "has_audio": self.has_audio(simulation),
            "has_user_audio": self.has_audio(simulation),
            "has_response_audio": self.has_audio(simulation),
            "user_message_count": self.n_lines(Speaker::User),
            "agent_message_count": self.n_lines(Speaker::Agent),
            "transcript": self.transcript.iter().map(|line| self.line_json(line)).collect::<Vec<_>>(),
            "metadata": self.metadata(simulation),
            "analysis": analysis,
            "conversation_initiation_client_data": self.client_data,
        })
    }

    fn line_json(&self, line: &Line) -> Value {
        let seconds = line.at.duration_since(self.started_at).as_secs();
        json!({
            "role": match line.speaker { Speaker::Agent => "agent", Speaker::User => "user" },
            "message": line.text,
            "time_in_call_secs": seconds,
            "interrupted": line.is_interrupted,
            "original_message": null,
            "tool_calls": [],
            "tool_results": [],
            "feedback": null,
            "source_event_id": line.event_id,
            "created_at_unix_ms": line.at.as_millisecond(),
        })
    }

    fn metadata(&self, simulation: &Simulation) -> Value {
        let error = self
            .end
            .as_ref()
            .filter(|end| end.is_failure)
            .map(|end| json!({"code": end.code, "reason": end.reason}));
        json!({
            "start_time_unix_secs": self.started_at.as_second(),
            "accepted_time_unix_secs": self.started_at.as_second(),
            "call_duration_secs": self.duration_secs(simulation.now()),
            "cost": self.duration_secs(simulation.now()).max(1) * CREDITS_PER_SECOND,
            "termination_reason": self.end.as_ref().map_or("", |end| &end.reason),
            "error": error,
            "warnings": [],
            "main_language": "en",
            "text_only": false,
            "authorization_method": self.authorization_method,
            "phone_call": null,
            "batch_call": null,
            "deletion_settings": {},
            "feedback": {"likes": 0, "dislikes": 0},
            "charging": {},
            "conversation_initiation_source": "unknown",
        })
    }

    /// The shorter form in lists.
    pub fn to_list_item(&self, simulation: &Simulation) -> Value {
        let status = self.status(simulation);
        let is_done = status == "done";
        json!({
            "agent_id": simulation.config.agent_id,
            "agent_name": simulation.config.agent.name,
            "conversation_id": self.conversation_id,
            "start_time_unix_secs": self.started_at.as_second(),
            "call_duration_secs": self.duration_secs(simulation.now()),
            "message_count": self.transcript.len(),
            "user_message_count": self.n_lines(Speaker::User),
            "agent_message_count": self.n_lines(Speaker::Agent),
            "status": status,
            "call_successful": if is_done { self.verdict() } else { "unknown" },
            "transcript_summary": is_done.then(|| self.summary()),
            "termination_reason": self.end.as_ref().map_or("", |end| &end.reason),
        })
    }
}
