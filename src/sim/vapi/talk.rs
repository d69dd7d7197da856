//! A call's socket: greeting, listening, replying, being interrupted, ending. Binary messages are audio,
//! texts are everything else.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::{Interval, interval, sleep_until, timeout};

use super::{Call, Line, report, server};
use crate::sim::{
    agent::{
        dialogue::Dialogue,
        hearing::{Heard, Hearing},
        plan::{
            Agenda, CRASH_AFTER, SHORTEST_CRASH, SHORTEST_THINKING, SHORTEST_TURN_TIMEOUT,
            THINKING_TIME, TURN_TIMEOUT,
        },
        voice,
    },
    config::{AudioFormat, ToolUse},
    ledger::{ConversationFacts, ToolFacts},
    simulation::Simulation,
    tone::{SILENCE, Saying},
};

/// The kinds of messages that the call's server is told too.
const STATUS: &str = "status-update";
const TOOLS: &str = "tool-calls";

const CLOSE_LIMIT: Duration = Duration::from_millis(500);
/// A client that sends no audio for this long is not there.
const CLIENT_SILENCE: Duration = Duration::from_secs(20);
const FRAME: Duration = Duration::from_millis(20);
const FRAME_MS: usize = 20;

/// `GET /vapi/{id}/transport`: the call's socket, once.
pub async fn open(
    State(simulation): State<Arc<Simulation>>,
    Path(id): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Some(call) = simulation.vapi.take_up(&id, simulation.now()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    upgrade
        .read_buffer_size(8 * 1024)
        .write_buffer_size(0)
        .on_upgrade(move |socket| {
            let tasks = simulation.tasks.clone();
            tasks.track_future(converse(simulation, call, socket))
        })
}

async fn converse(simulation: Arc<Simulation>, call: Call, socket: WebSocket) {
    let mut talk = Talk::new(simulation.clone(), call, socket);
    simulation.ledger.conversation_opened(talk.facts.clone());
    let reason = match talk.run().await {
        Ok(never) => match never {},
        Err(reason) => reason,
    };
    talk.end(reason).await;
    let Talk {
        mut call,
        mut facts,
        ..
    } = talk;
    let now = simulation.now();
    facts.closed_at = Some(now);
    simulation.ledger.conversation_changed(facts);
    call.ended = Some((now, reason.to_owned()));
    simulation.vapi.save_talk(&call);
    let ended = json!({"status": "ended", "endedReason": reason});
    server::tell(&simulation, &call, STATUS, &ended);
    simulation.spawn(report::post_when_done(simulation.clone(), call));
}

/// Either the call goes on, or it ends for this reason.
type Step = Result<(), &'static str>;

/// Nobody is there any more to be told.
const GONE: &str = "customer-ended-call";

/// Something the assistant will do at a certain time; each kind is planned at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Plan {
    Reply,
    Crash,
    GiveUpOnClient,
    ReachMaxDuration,
}

struct Talk {
    simulation: Arc<Simulation>,
    call: Call,
    socket: WebSocket,
    facts: ConversationFacts,
    hearing: Hearing,
    dialogue: Dialogue,
    plans: Agenda<Plan>,
    frames: Interval,
    utterance: Vec<u8>,
    /// What is still to be heard of what is being said.
    unheard: VecDeque<u8>,
    /// What is being said, and since when.
    saying: Option<(String, Timestamp)>,
    /// When the caller last began to speak.
    caller_began_at: Timestamp,
    is_last: bool,
    turn: u64,
    /// Tools that it is still to use, and the one of which nothing was heard yet.
    tools: VecDeque<ToolUse>,
    tool_in_use: Option<String>,
}

impl Talk {
    fn new(simulation: Arc<Simulation>, call: Call, socket: WebSocket) -> Self {
        let agent = &simulation.config.agent;
        let variables = call.overrides["variableValues"].as_object().cloned();
        let variables = variables.unwrap_or_default();
        let prompt = call.overrides["model"]["messages"][0]["content"].as_str();
        let first_message = call.overrides["firstMessage"].as_str();
        let facts = ConversationFacts {
            vendor: "vapi",
            conversation_id: call.id.clone(),
            opened_at: simulation.now(),
            closed_at: None,
            close_code: None,
            prompt: filled_in(prompt.unwrap_or(&agent.prompt), &variables),
            first_message: filled_in(first_message.unwrap_or(&agent.first_message), &variables),
            dynamic_variables: variables,
            user_lines: 0,
            agent_lines: 0,
            interruptions: 0,
            hints: Vec::new(),
            tools: Vec::new(),
            pongs: 0,
            slowest_pong_ms: 0,
            reports_taken: 0,
            reports_refused: 0,
        };
        Self {
            hearing: Hearing::new(call.format, simulation.pace),
            dialogue: Dialogue::new(simulation.chance, call.number, agent.turns),
            plans: Agenda::new(simulation.pace),
            frames: interval(FRAME),
            utterance: voice::utterance(call.format, simulation.pace),
            unheard: VecDeque::new(),
            saying: None,
            caller_began_at: simulation.now(),
            is_last: false,
            turn: 0,
            tools: agent.tools.iter().cloned().collect(),
            tool_in_use: None,
            simulation,
            call,
            socket,
            facts,
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, &'static str> {
        self.begin().await?;
        let stop = self.simulation.stop.clone();
        loop {
            let (plan, at) = self.plans.soonest();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Err("worker-shutdown"),
                () = sleep_until(at) => {
                    self.plans.cancel(plan);
                    self.carry_out(plan).await?;
                }
                received = self.socket.recv() => match received {
                    Some(Ok(message)) => self.receive(message).await?,
                    Some(Err(_)) | None => return Err(GONE),
                },
                _ = self.frames.tick() => self.send_frame().await?,
            }
        }
    }

    async fn begin(&mut self) -> Step {
        let seconds = self.call.overrides["maxDurationSeconds"].as_u64();
        self.plans.after(
            Plan::ReachMaxDuration,
            Duration::from_secs(seconds.unwrap_or(600)),
        );
        self.plans.after(Plan::GiveUpOnClient, CLIENT_SILENCE);
        let draw = self
            .simulation
            .chance
            .about(&["vapi crashes", &self.call.number.to_string()]);
        if draw.happens(self.simulation.faults().vapi_crashes) {
            self.plans
                .shortened(Plan::Crash, CRASH_AFTER, SHORTEST_CRASH);
        }
        let up = json!({"status": "in-progress"});
        server::tell(&self.simulation, &self.call, STATUS, &up);
        self.tell(STATUS, up).await?;
        let greeting = self.facts.first_message.clone();
        if greeting.is_empty() {
            Ok(())
        } else {
            self.say(greeting).await
        }
    }

    async fn carry_out(&mut self, plan: Plan) -> Step {
        match plan {
            Plan::Reply => {
                let reply = self.dialogue.reply();
                self.is_last = reply.is_last;
                self.say(reply.text.to_owned()).await
            }
            Plan::Crash => Err("call.in-progress.error-vapifault-worker-died"),
            Plan::GiveUpOnClient => {
                Err("call.in-progress.error-assistant-did-not-receive-customer-audio")
            }
            Plan::ReachMaxDuration => Err("exceeded-max-duration"),
        }
    }

    async fn say(&mut self, text: String) -> Step {
        self.unheard.extend(&self.utterance);
        self.saying = Some((text, self.simulation.now()));
        self.speech_update("assistant", "started").await
    }

    /// The next 20 ms: speech, or silence.
    async fn send_frame(&mut self) -> Step {
        let n_bytes = FRAME_MS * self.call.format.bytes_per_ms();
        let n_spoken = n_bytes.min(self.unheard.len());
        let mut frame: Vec<u8> = self.unheard.drain(..n_spoken).collect();
        frame.resize(n_bytes, silence(self.call.format));
        self.send(Message::Binary(frame.into())).await?;
        if self.unheard.is_empty()
            && let Some((text, since)) = self.saying.take()
        {
            self.has_said(&text, since).await?;
            if self.is_last {
                return Err("assistant-ended-call");
            }
            self.plans
                .shortened(Plan::Reply, TURN_TIMEOUT, SHORTEST_TURN_TIMEOUT);
        }
        Ok(())
    }

    async fn has_said(&mut self, text: &str, since: Timestamp) -> Step {
        self.facts.agent_lines += 1;
        self.speech_update("assistant", "stopped").await?;
        self.transcript("assistant", "final", text).await?;
        self.note(false, text, since);
        Ok(())
    }

    async fn receive(&mut self, received: Message) -> Step {
        match received {
            Message::Binary(audio) => {
                self.plans.after(Plan::GiveUpOnClient, CLIENT_SILENCE);
                self.listen(&audio).await
            }
            Message::Text(text) => self.obey(&text).await,
            Message::Close(_) => Err(GONE),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn obey(&mut self, text: &str) -> Step {
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("end-call") => return Err("manually-canceled"),
            Some("add-message") if message["triggerResponseEnabled"] != false => {
                let content = message["message"]["content"].as_str().unwrap_or_default();
                self.take_tool_result(content);
                return self.go_on().await;
            }
            Some("add-message") => {
                let text = message["message"]["content"].as_str().unwrap_or_default();
                self.facts.hints.push(text.to_owned());
                self.simulation
                    .ledger
                    .conversation_changed(self.facts.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// What the client says of a tool, if it does: this transport has no message for results.
    fn take_tool_result(&mut self, content: &str) {
        let said = |name: &mut String| content.starts_with(&format!("The tool {name} "));
        if let Some(name) = self.tool_in_use.take_if(said) {
            self.facts.tools.push(ToolFacts {
                name,
                result: content.to_owned(),
                is_error: content.contains("was refused"),
            });
            self.simulation
                .ledger
                .conversation_changed(self.facts.clone());
        }
    }

    /// Uses the next tool, or thinks about a reply.
    async fn go_on(&mut self) -> Step {
        let Some(tool) = self.tools.pop_front() else {
            self.reply_soon();
            return Ok(());
        };
        if let Some(text) = tool.says {
            self.say(text).await?;
        }
        self.use_tool(tool.name, &tool.parameters).await
    }

    async fn use_tool(&mut self, name: String, arguments: &Value) -> Step {
        let id = self.simulation.new_sid("call_");
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let calls = json!([{"id": id, "type": "function", "function": function}]);
        let call = json!({"toolCallList": calls, "toolWithToolCallList": []});
        self.tool_in_use = Some(name);
        server::tell(&self.simulation, &self.call, TOOLS, &call);
        self.tell(TOOLS, call).await
    }

    fn reply_soon(&mut self) {
        if !self.is_last {
            self.plans
                .shortened(Plan::Reply, THINKING_TIME, SHORTEST_THINKING);
        }
    }

    async fn listen(&mut self, audio: &[u8]) -> Step {
        for heard in self.hearing.listen(audio) {
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
        self.turn += 1;
        self.speech_update("user", "started").await?;
        self.caller_began_at = self.simulation.now();
        if let Some((text, since)) = self.saying.take() {
            self.be_interrupted(&text, since).await?;
        }
        self.transcript("user", "partial", "...").await
    }

    async fn be_interrupted(&mut self, text: &str, since: Timestamp) -> Step {
        self.facts.interruptions += 1;
        self.is_last = false;
        self.tell("user-interrupted", json!({"turnId": self.turn.to_string()}))
            .await?;
        // What was under way when the caller cut in; a client has to drop it.
        let n_bytes = FRAME_MS * self.call.format.bytes_per_ms();
        let stale = self.utterance[..n_bytes.min(self.utterance.len())].to_vec();
        self.send(Message::Binary(stale.into())).await?;
        self.unheard.clear();
        let half = text.char_indices().nth(text.chars().count() / 2);
        let heard = text[..half.map_or(0, |(index, _)| index)].trim().to_owned();
        self.has_said(&heard, since).await
    }

    /// The caller has said `text`: notes it and thinks about a reply.
    async fn hear_out(&mut self, text: &str) -> Step {
        self.facts.user_lines += 1;
        self.note(true, text, self.caller_began_at);
        self.transcript("user", "final", text).await?;
        self.speech_update("user", "stopped").await?;
        let output = json!({"messages": [], "messagesOpenAIFormatted": []});
        self.tell("conversation-update", output).await?;
        if self.tool_in_use.is_none() {
            return self.go_on().await;
        }
        self.reply_soon();
        Ok(())
    }

    /// The caller wants no more calls: uses the tool for it, then says goodbye.
    async fn be_refused(&mut self) -> Step {
        let reason = self.dialogue.refusal();
        self.hear_out(reason).await?;
        let arguments = json!({ "reason": reason });
        self.use_tool("do_not_call".to_owned(), &arguments).await
    }

    fn note(&mut self, is_of_user: bool, text: &str, began_at: Timestamp) {
        self.call.lines.push(Line {
            is_of_user,
            text: text.to_owned(),
            began_at,
            ended_at: self.simulation.now(),
        });
        self.simulation.vapi.save_talk(&self.call);
        self.simulation
            .ledger
            .conversation_changed(self.facts.clone());
    }

    async fn transcript(&mut self, role: &str, kind: &str, text: &str) -> Step {
        let line = json!({"role": role, "transcriptType": kind, "transcript": text});
        self.tell("transcript", line).await
    }

    async fn speech_update(&mut self, role: &str, status: &str) -> Step {
        let update = json!({"role": role, "status": status, "turn": self.turn});
        self.tell("speech-update", update).await
    }

    /// Sends a message, if the call's request wants that kind.
    async fn tell(&mut self, kind: &str, mut message: Value) -> Step {
        let wanted = self.call.overrides["clientMessages"].as_array();
        if wanted.is_some_and(|kinds| kinds.iter().all(|it| it != kind)) {
            return Ok(());
        }
        message["type"] = json!(kind);
        message["timestamp"] = json!(self.simulation.now().as_millisecond());
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Step {
        self.socket.send(message).await.map_err(|_gone| GONE)
    }

    /// Says why the call ended, and closes.
    async fn end(&mut self, reason: &'static str) {
        let ended = json!({"status": "ended", "endedReason": reason});
        let closing = async {
            // Who is gone is not told.
            let _ = self.tell(STATUS, ended).await;
            let frame = CloseFrame {
                code: 1000,
                reason: "".into(),
            };
            self.socket.send(Message::Close(Some(frame))).await.ok();
            self.facts.close_code = Some(1000);
            // The client's answer completes the handshake.
            while let Some(Ok(message)) = self.socket.recv().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
        };
        if timeout(CLOSE_LIMIT, closing).await.is_err() {
            tracing::debug!("client did not answer the close of its call's socket");
        }
    }
}

fn silence(format: AudioFormat) -> u8 {
    match format {
        AudioFormat::Ulaw8000 => SILENCE,
        AudioFormat::Pcm16000 => 0,
    }
}

/// `template` with its `{{variables}}` replaced; those that are missing are left empty, as the service's
/// templates do.
fn filled_in(template: &str, variables: &Map<String, Value>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        filled.push_str(before);
        match variables.get(name.trim()) {
            Some(Value::String(text)) => filled.push_str(text),
            Some(other) => filled.push_str(&other.to_string()),
            None => {}
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in_and_what_is_missing_is_empty() {
        let variables = json!({"name": "Ann", "n": 2});
        let variables = variables.as_object().unwrap();
        let filled = filled_in("Hi {{ name }}, {{n}}{{city}} {{", variables);
        assert_eq!(filled, "Hi Ann, 2 {{");
    }
}
