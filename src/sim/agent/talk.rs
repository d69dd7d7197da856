//! The conversation itself: greeting, listening, replying, being interrupted, ending.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    dialogue::Dialogue,
    hearing::{Heard, Hearing},
    initiation::Initiation,
    message::{self, ClientMessage},
    plan::{
        Agenda, CLIENT_SILENCE, CRASH_AFTER, FAREWELL_TIME, FIRST_PING, Mishap, Plan,
        SHORTEST_CRASH, SHORTEST_FAREWELL, SHORTEST_THINKING, SHORTEST_TURN_TIMEOUT, THINKING_TIME,
        TOOL_TIMEOUT, TURN_TIMEOUT, mishap,
    },
    record::{Line, Record, Speaker},
    session::{Ending, stopped},
    voice::AgentVoice,
};
use crate::sim::{
    config::ToolUse,
    ledger::{ConversationFacts, ToolFacts},
    simulation::Simulation,
    tone::Saying,
};

pub struct Talk<'a> {
    simulation: Arc<Simulation>,
    socket: &'a mut WebSocket,
    initiation: Initiation,
    record: &'a mut Record,
    facts: &'a mut ConversationFacts,
    hearing: Hearing,
    dialogue: Dialogue,
    voice: AgentVoice,
    mishap: Option<Mishap>,
    plans: Agenda<Plan>,
    /// The last id given to a turn of either side.
    event_id: u64,
    /// The id of the agent's last utterance and when a client that plays it has finished.
    spoken: (u64, Instant),
    is_farewell_said: bool,
    /// The call of the client's tool that has no answer yet.
    tool_call: Option<ToolInUse>,
    /// Tools that it is still to use.
    tools: VecDeque<ToolUse>,
    next_ping: i64,
    /// When each unanswered ping was sent.
    pings: BTreeMap<i64, Instant>,
    last_ping_ms: Option<u64>,
}

/// A tool of the client that was called.
struct ToolInUse {
    id: String,
    name: String,
}

/// The client's tool for callers who want no more calls.
const DO_NOT_CALL: &str = "do_not_call";

/// Either the talk goes on, or it ends like this.
type Step = Result<(), Ending>;

impl<'a> Talk<'a> {
    pub fn new(
        simulation: Arc<Simulation>,
        socket: &'a mut WebSocket,
        initiation: Initiation,
        n_session: u64,
        record: &'a mut Record,
        facts: &'a mut ConversationFacts,
    ) -> Self {
        let agent = &simulation.config.agent;
        let pace = simulation.pace;
        Self {
            hearing: Hearing::new(agent.input_format, pace),
            dialogue: Dialogue::new(simulation.chance, n_session, agent.turns),
            voice: AgentVoice::new(agent.output_format, pace),
            mishap: mishap(&simulation, n_session),
            plans: Agenda::new(pace),
            event_id: 0,
            spoken: (0, Instant::now()),
            is_farewell_said: false,
            tool_call: None,
            tools: agent.tools.iter().cloned().collect(),
            next_ping: 1,
            pings: BTreeMap::new(),
            last_ping_ms: None,
            simulation,
            socket,
            initiation,
            record,
            facts,
        }
    }

    /// Holds the conversation until one side ends it.
    pub async fn hold(&mut self) -> Ending {
        match self.run().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, Ending> {
        self.begin().await?;
        let stop = self.simulation.stop.clone();
        loop {
            let (plan, at) = self.plans.soonest();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err(stopped()),
                () = sleep_until(at) => {
                    self.plans.cancel(plan);
                    self.carry_out(plan).await?;
                }
                received = self.socket.recv() => match received {
                    Some(Ok(message)) => self.receive(message).await?,
                    Some(Err(_)) | None => return Err(Ending::by_client(None)),
                },
            }
        }
    }

    async fn begin(&mut self) -> Step {
        let agent = &self.simulation.config.agent;
        let (max_duration, ping_interval) = (agent.max_duration, agent.ping_interval);
        let metadata = message::metadata(&self.record.conversation_id, agent);
        self.send(metadata).await?;
        self.plans.after(Plan::ReachMaxDuration, max_duration);
        self.plans.after(Plan::GiveUpOnClient, CLIENT_SILENCE);
        self.plans.after(Plan::Ping, ping_interval.min(FIRST_PING));
        match self.mishap {
            Some(Mishap::OverQuota) => {
                let reason = "This request exceeds your quota limit.";
                return Err(Ending::failure(1002, "http_exception", reason));
            }
            Some(Mishap::Silent) => return Ok(()),
            Some(Mishap::Crashes) => self
                .plans
                .shortened(Plan::Crash, CRASH_AFTER, SHORTEST_CRASH),
            None => {}
        }
        let greeting = self.initiation.first_message.clone();
        if greeting.is_empty() {
            Ok(())
        } else {
            self.say(&greeting).await
        }
    }

    async fn carry_out(&mut self, plan: Plan) -> Step {
        match plan {
            Plan::Ping => self.ping().await,
            Plan::Reply | Plan::Prompt => self.reply().await,
            Plan::EndCall => self.end_call().await,
            Plan::Crash => {
                let reason = "An unexpected error occurred.";
                Err(Ending::failure(1011, "unknown_websocket_crash", reason))
            }
            Plan::GiveUpOnClient => {
                let reason = "No user input for 60 seconds.";
                Err(Ending::failure(1002, "transport_receive_timeout", reason))
            }
            Plan::ReachMaxDuration => {
                let reason = "The conversation reached its maximum duration.";
                Err(Ending::failure(1000, "max_duration_exceeded", reason))
            }
        }
    }

    async fn ping(&mut self) -> Step {
        let ping = message::ping(self.next_ping, self.last_ping_ms);
        self.pings.insert(self.next_ping, Instant::now());
        self.next_ping += 1;
        self.plans
            .after(Plan::Ping, self.simulation.config.agent.ping_interval);
        self.send_if_wanted("ping", ping).await
    }

    async fn reply(&mut self) -> Step {
        let reply = self.dialogue.reply();
        self.say(reply.text).await?;
        if reply.is_last {
            self.is_farewell_said = true;
            self.plans.cancel(Plan::Prompt);
            self.plans
                .shortened(Plan::EndCall, FAREWELL_TIME, SHORTEST_FAREWELL);
        }
        Ok(())
    }

    /// Sends an utterance at once, far faster than it plays, as the real service does.
    async fn say(&mut self, text: &str) -> Step {
        self.event_id += 1;
        let id = self.event_id;
        let opening = message::audio(&self.voice.opening, id);
        let rest = message::audio(&self.voice.rest, id);
        self.send_audio(opening).await?;
        self.send_if_wanted("agent_response", message::agent_response(text, id))
            .await?;
        self.send_audio(rest).await?;
        self.note(Speaker::Agent, text, id);
        let length = if self.initiation.is_text_only {
            Duration::ZERO
        } else {
            self.voice.length
        };
        self.spoken = (id, self.spoken.1.max(Instant::now()) + length);
        let patience = self
            .simulation
            .pace
            .shorten_to(TURN_TIMEOUT, SHORTEST_TURN_TIMEOUT);
        self.plans.at(Plan::Prompt, self.spoken.1 + patience);
        Ok(())
    }

    async fn end_call(&mut self) -> Step {
        let tool_call_id = self.simulation.new_sid("tc_");
        self.event_id += 1;
        let announced = message::end_call(&tool_call_id, self.event_id);
        self.send_if_wanted("agent_tool_response", announced)
            .await?;
        Err(Ending::normal("end_call tool was called."))
    }

    async fn receive(&mut self, received: Message) -> Step {
        let text = match received {
            Message::Text(text) => text,
            Message::Close(frame) => {
                return Err(Ending::by_client(frame.map(|frame| frame.code)));
            }
            Message::Binary(_) => {
                return Err(Ending::failure(
                    1008,
                    "invalid_message",
                    "binary frames are not used",
                ));
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        self.plans.after(Plan::GiveUpOnClient, CLIENT_SILENCE);
        match ClientMessage::read(&text) {
            Ok(ClientMessage::Audio(base64)) => self.listen(&base64).await,
            Ok(ClientMessage::Pong { event_id }) => {
                self.note_pong(event_id);
                Ok(())
            }
            Ok(ClientMessage::UserMessage(text)) => self.hear_out(&text).await,
            Ok(ClientMessage::ContextualUpdate(text)) => {
                self.facts.hints.push(text);
                self.simulation
                    .ledger
                    .conversation_changed(self.facts.clone());
                Ok(())
            }
            Ok(ClientMessage::ToolResult {
                tool_call_id,
                result,
                is_error,
            }) => self.take_tool_result(&tool_call_id, result, is_error).await,
            Ok(ClientMessage::Other) => Ok(()),
            Err(problem) => Err(Ending::failure(1008, "invalid_message", problem)),
        }
    }

    fn note_pong(&mut self, event_id: i64) {
        let Some(sent) = self.pings.remove(&event_id) else {
            return;
        };
        let millis = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ping_ms = Some(millis);
        self.facts.pongs += 1;
        self.facts.slowest_pong_ms = self.facts.slowest_pong_ms.max(millis);
    }

    async fn listen(&mut self, base64: &str) -> Step {
        let Ok(audio) = STANDARD.decode(base64) else {
            return Err(Ending::failure(
                1008,
                "invalid_message",
                "the audio is not base64",
            ));
        };
        if self.mishap == Some(Mishap::Silent) {
            return Ok(());
        }
        for heard in self.hearing.listen(&audio) {
            match heard {
                Heard::SpeechBegan => self.fall_silent().await?,
                Heard::SpeechEnded(Saying::SmallTalk) => {
                    let text = self.dialogue.transcript();
                    self.hear_out(text).await?;
                }
                Heard::SpeechEnded(Saying::DoNotCall) => self.be_refused().await?,
            }
        }
        Ok(())
    }

    /// The caller begins to speak: waits for them, and stops talking if need be.
    async fn fall_silent(&mut self) -> Step {
        self.plans.cancel(Plan::Reply);
        self.plans.cancel(Plan::Prompt);
        if Instant::now() < self.spoken.1 {
            self.be_interrupted().await?;
        }
        self.event_id += 1;
        let tentative = message::tentative_user_transcript("...", self.event_id);
        self.send_if_wanted("tentative_user_transcript", tentative)
            .await
    }

    async fn be_interrupted(&mut self) -> Step {
        let id = self.spoken.0;
        self.spoken.1 = Instant::now();
        self.facts.interruptions += 1;
        self.send_if_wanted("interruption", message::interruption(id))
            .await?;
        // Audio that was under way when the caller cut in; a client has to drop it.
        let stale = message::audio(&self.voice.opening, id);
        self.send_audio(stale).await?;
        let line = self
            .record
            .transcript
            .iter_mut()
            .rev()
            .find(|line| line.event_id == id);
        let Some(line) = line else {
            return Ok(());
        };
        line.is_interrupted = true;
        let original = line.text.clone();
        let half = original.char_indices().nth(original.chars().count() / 2);
        let heard = &original[..half.map_or(0, |(index, _)| index)];
        let correction = message::agent_response_correction(&original, heard, id);
        self.send_if_wanted("agent_response_correction", correction)
            .await
    }

    /// The caller has said `text`: notes it and thinks about a reply.
    async fn hear_out(&mut self, text: &str) -> Step {
        self.event_id += 1;
        let id = self.event_id;
        self.note(Speaker::User, text, id);
        let transcript = message::user_transcript(text, id);
        self.send_if_wanted("user_transcript", transcript).await?;
        if !self.is_farewell_said && self.mishap != Some(Mishap::Silent) {
            self.plans.cancel(Plan::Prompt);
            if self.tool_call.is_none() {
                return self.go_on().await;
            }
        }
        Ok(())
    }

    /// Uses the next tool, or thinks about a reply.
    async fn go_on(&mut self) -> Step {
        let Some(tool) = self.tools.pop_front() else {
            self.plans
                .shortened(Plan::Reply, THINKING_TIME, SHORTEST_THINKING);
            return Ok(());
        };
        if let Some(text) = &tool.says {
            self.say(text).await?;
            self.plans.cancel(Plan::Prompt);
        }
        self.use_tool(tool.name, &tool.parameters).await
    }

    async fn use_tool(&mut self, name: String, parameters: &Value) -> Step {
        let id = self.simulation.new_sid("tc_");
        self.event_id += 1;
        let call = message::client_tool_call(&name, &id, parameters, self.event_id);
        self.tool_call = Some(ToolInUse { id, name });
        self.plans.after(Plan::Reply, TOOL_TIMEOUT);
        self.send(call).await
    }

    /// The caller wants no more calls: has the client note it, then says goodbye.
    async fn be_refused(&mut self) -> Step {
        let reason = self.dialogue.refusal();
        self.hear_out(reason).await?;
        let has_tool = self.initiation.client_events.contains("client_tool_call");
        if self.is_farewell_said || !has_tool {
            return Ok(());
        }
        let parameters = json!({ "reason": reason });
        self.use_tool(DO_NOT_CALL.to_owned(), &parameters).await
    }

    async fn take_tool_result(
        &mut self,
        tool_call_id: &str,
        result: String,
        is_error: bool,
    ) -> Step {
        let used = self.tool_call.take_if(|used| used.id == tool_call_id);
        let Some(ToolInUse { name, .. }) = used else {
            return Ok(());
        };
        self.facts.tools.push(ToolFacts {
            name,
            result,
            is_error,
        });
        self.simulation
            .ledger
            .conversation_changed(self.facts.clone());
        if self.is_farewell_said {
            return Ok(());
        }
        self.go_on().await
    }

    fn note(&mut self, speaker: Speaker, text: &str, event_id: u64) {
        match speaker {
            Speaker::Agent => self.facts.agent_lines += 1,
            Speaker::User => self.facts.user_lines += 1,
        }
        self.record.transcript.push(Line {
            speaker,
            text: text.to_owned(),
            at: self.simulation.now(),
            event_id,
            is_interrupted: false,
        });
        self.simulation.agents.save(self.record.clone());
    }

    async fn send_audio(&mut self, audio: Value) -> Step {
        if self.initiation.is_text_only {
            return Ok(());
        }
        self.send_if_wanted("audio", audio).await
    }

    async fn send_if_wanted(&mut self, event: &str, message: Value) -> Step {
        if self.initiation.client_events.contains(event) {
            self.send(message).await
        } else {
            Ok(())
        }
    }

    async fn send(&mut self, message: Value) -> Step {
        let frame = Message::Text(message.to_string().into());
        self.socket
            .send(frame)
            .await
            .map_err(|_gone| Ending::by_client(None))
    }
}
