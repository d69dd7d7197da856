//! What is kept of a call: its lines and moments as events, what it means as signals.

use std::{collections::BTreeSet, time::Duration};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::{tools::serve, web_tools};
use crate::{
    bridge::{BridgeEvent, Tool, ToolAnswer, ToolCall},
    domain::{
        Timestamp,
        attempt::Party,
        event::{Event, EventKind, Moment},
        ids::{AttemptId, TenantId},
        machine::{DetectionMode, MachinePolicy},
        signal::{Signal, SignalKind},
        suppression::SuppressionSource,
    },
    engine::{Engine, EngineError, EngineResult, Talk},
    store::StoreError,
};

/// How often a fact about a talk is tried to be saved: over six seconds in all.
pub(super) const SAVE_TRIES: u32 = 7;

/// How often a callee's wish for no more calls is tried to be saved: for over a minute.
const OPT_OUT_TRIES: u32 = 14;

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Saves what the bridge reports, in order.
pub(super) async fn keep(
    engine: Engine,
    talk: Talk,
    mut reports: mpsc::Receiver<BridgeEvent>,
    answers: mpsc::Sender<ToolAnswer>,
    uses: web_tools::Uses,
) {
    // Of keys that are pressed again and again, one is a wish.
    let mut wishes = BTreeSet::new();
    let mut turns = BTreeSet::new();
    while let Some(event) = reports.recv().await {
        match event {
            BridgeEvent::AgentJoined {
                conversation,
                vendor,
            } => {
                let joined = SignalKind::AgentJoined {
                    conversation,
                    vendor,
                };
                tell(&engine, &talk, joined).await;
            }
            BridgeEvent::FirstAudio => tell(&engine, &talk, SignalKind::AgentSpoke).await,
            BridgeEvent::AgentFailed { detail } => {
                tell(&engine, &talk, SignalKind::AgentFailed { detail }).await;
            }
            BridgeEvent::Interrupted => note(&engine, &talk, Moment::Interrupted).await,
            BridgeEvent::Key(digit) => {
                note(&engine, &talk, Moment::KeyPressed { digit }).await;
                let by = SuppressionSource::Keypad;
                if talk.step.opt_out_key == Some(digit) && wishes.insert(by) {
                    opt_out(&engine, &talk, by, None).await;
                }
            }
            BridgeEvent::ToolUsed(ToolCall {
                id,
                tool:
                    Tool::Custom {
                        name,
                        arguments,
                        is_shared,
                    },
            }) => uses.begin(id, name, arguments, is_shared),
            BridgeEvent::ToolUsed(call) => {
                let answer = serve(&engine, &talk, &call, &mut wishes).await;
                if let Some(answer) = answer {
                    // Whoever asked may be gone.
                    answers.send(answer).await.ok();
                }
            }
            BridgeEvent::Line(line) => {
                if line.speaker == Party::Callee
                    && line.is_final
                    && turns.insert(line.turn)
                    && is_held_by(&talk.step.machines, turns.len())
                {
                    tell(&engine, &talk, SignalKind::TalkHeld).await;
                }
                let attempt = talk.attempt;
                let line = EventKind::Transcript { attempt, line };
                log(&engine, event_of(&engine, &talk, line)).await;
            }
        }
    }
}

/// Whether a talk begins to count as held with a person at the callee's `n`th turn.
fn is_held_by(machines: &MachinePolicy, n: usize) -> bool {
    let turns = machines.held.turns.and_then(|n| usize::try_from(n).ok());
    machines.mode != DetectionMode::Off && turns == Some(n)
}

/// Sees to it that the callee is called no more (F-71). Of all that is saved about a talk this is what
/// must not be lost, so it is tried the longest.
pub(super) async fn opt_out(
    engine: &Engine,
    talk: &Talk,
    by: SuppressionSource,
    reason: Option<String>,
) {
    let tenant = talk.campaign.tenant;
    let save = || engine.opt_out(tenant, talk.attempt, by, reason.clone());
    match insist(OPT_OUT_TRIES, save).await {
        Ok(()) => {
            info!(by = by.name(), "callee opted out");
            note(engine, talk, Moment::OptedOut { by }).await;
        }
        Err(error) => error!(%error, "an opt-out was not saved: suppress the callee by hand"),
    }
}

pub(super) async fn tell(engine: &Engine, talk: &Talk, kind: SignalKind) {
    let at: Timestamp = engine.clock().now();
    let signal = Signal {
        sid: Some(talk.call.clone()),
        at,
        kind,
    };
    tell_of(engine, talk.campaign.tenant, talk.attempt, signal).await;
}

/// Saves a fact about a talk.
pub(in crate::api) async fn tell_of(
    engine: &Engine,
    tenant: TenantId,
    attempt: AttemptId,
    signal: Signal,
) {
    let save = || engine.tell(tenant, attempt, signal.clone());
    if let Err(error) = insist(SAVE_TRIES, save).await {
        warn!(%error, "a fact about a talk was not saved");
    }
}

pub(super) async fn note(engine: &Engine, talk: &Talk, moment: Moment) {
    let attempt = talk.attempt;
    log(
        engine,
        event_of(engine, talk, EventKind::Timeline { attempt, moment }),
    )
    .await;
}

fn event_of(engine: &Engine, talk: &Talk, kind: EventKind) -> Event {
    Event {
        tenant: talk.campaign.tenant,
        campaign: talk.campaign.id,
        at: engine.clock().now(),
        kind,
    }
}

/// Saves a line of a talk's log.
pub(in crate::api) async fn log(engine: &Engine, event: Event) {
    let event = [event];
    if let Err(error) = insist(SAVE_TRIES, || engine.log(&event)).await {
        warn!(%error, "a line about a talk was not saved");
    }
}

/// Tries again while the store is away for a moment, as when its primary changes.
pub(super) async fn insist<T, F: Future<Output = EngineResult<T>>>(
    tries: u32,
    save: impl Fn() -> F,
) -> EngineResult<T> {
    let mut wait = Duration::from_millis(100);
    for _ in 1..tries {
        match save().await {
            Err(EngineError::Store(StoreError::Unavailable(_))) => tokio::time::sleep(wait).await,
            other => return other,
        }
        wait = LONGEST_WAIT.min(wait * 2);
    }
    save().await
}
