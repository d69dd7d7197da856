//! What comes to a process from outside, as its HTTP side would hand it to the engine: callbacks,
//! questions what to do with a call, a call's audio, and operators.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    carrier::Callback,
    invariants::Step,
    node::{Control, Node},
    plan::rate,
    scene::{Happening, Scene},
};
use crate::{
    clock::Clock as _,
    domain::{
        attempt::Party,
        campaign::{Campaign, CampaignAction},
        halt::{Halt, HaltScope},
        ids::{AttemptId, CallSid, CampaignId, EnrollmentId, SuppressionId, TenantId},
        pacing::PacingLimits,
        phone::PhoneNumber,
        signal::{Signal, SignalKind},
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    engine::{CampaignEdit, Engine, EngineError, EngineResult},
    store::StoreError,
};

/// How often a fact about a talk is tried to be saved.
const SAVE_TRIES: u32 = 6;

/// From this throw on, the person who is to be called no more is one with an open attempt.
const SOMEBODY_WITH_A_CALL: u64 = 83;

/// Starts a campaign.
pub fn start(node: &Node, (tenant, campaign): (TenantId, CampaignId)) {
    change(node, tenant, campaign, CampaignAction::Start);
}

/// Resumes a campaign.
pub fn resume(node: &Node, (tenant, campaign): (TenantId, CampaignId)) {
    change(node, tenant, campaign, CampaignAction::Resume);
}

/// Ends a campaign for good.
pub fn stop(node: &Node, (tenant, campaign): (TenantId, CampaignId)) {
    change(node, tenant, campaign, CampaignAction::Stop);
}

fn change(node: &Node, tenant: TenantId, campaign: CampaignId, action: CampaignAction) {
    let engine = node.engine().clone();
    let scene = node.control().scene.clone();
    scene
        .lock()
        .note(|| format!("operator: {} {campaign}", action.name()));
    node.spawn(async move {
        // Who is told that it failed asks again, or finds that it does not fit any more.
        drop(engine.change_status(tenant, campaign, action).await);
    });
}

/// Does something that an operator may do, at random.
pub fn command(node: &Node, campaigns: &[(TenantId, CampaignId)]) {
    let mut state = node.control().scene.lock();
    state.totals.n_commands += 1;
    let (tenant, campaign) = state.dice.pick(campaigns);
    let what = state.dice.number(0, 99);
    let limits = PacingLimits {
        max_concurrent_calls: u32::try_from(state.dice.number(1, 20)).unwrap_or(1),
        call_delay: Duration::from_millis(state.dice.pick(&[0, 0, 100, 500])),
        calls_per_second: rate(state.dice.pick(&[1.0, 5.0, 20.0, 50.0])),
        ramp: None,
    };
    let open: Vec<AttemptId> = state
        .saved
        .of(campaign)
        .filter_map(|enrollment| enrollment.open_attempt())
        .filter(|attempt| what < 93 || attempt.state.sid().is_none())
        .map(|attempt| attempt.id)
        .collect();
    let attempt = (!open.is_empty()).then(|| state.dice.pick(&open));
    let people: Vec<EnrollmentId> = state.saved.of(campaign).map(|it| it.id).collect();
    let person = state.dice.pick(&people);
    // Often somebody who is about to be called, or is being called.
    let person = attempt
        .filter(|_| what >= SOMEBODY_WITH_A_CALL)
        .map_or(person, |attempt| attempt.enrollment);
    let phone = state.saved.enrollments[&person].phone.known().cloned();
    // An edit that changes nothing lets all be judged again whom a rule put off.
    let limits = if what > 77 {
        state.saved.campaigns[&campaign].campaign.pacing
    } else {
        limits
    };
    drop(state);
    match what {
        0..=29 => change(node, tenant, campaign, CampaignAction::Pause),
        30..=60 => change(node, tenant, campaign, CampaignAction::Resume),
        61 => halt(node, HaltScope::Tenant(tenant)),
        62 => halt(node, HaltScope::Installation),
        63..=64 => lift(node, tenant),
        65..=66 => change(node, tenant, campaign, CampaignAction::Stop),
        67..=80 => edit(node, tenant, campaign, limits),
        81..=87 => {
            let phone = phone.expect("nobody is erased in a world");
            suppress(node, tenant, phone);
        }
        88..=95 => hang_up(node, tenant, attempt),
        _ => restart(node),
    }
}

/// Stops everything in a scope; talks too, where it is the whole installation.
fn halt(node: &Node, scope: HaltScope) {
    let engine = node.engine().clone();
    let scene = node.control().scene.clone();
    scene.lock().note(|| format!("operator: stop {scope:?}"));
    node.spawn(async move {
        let halt = Halt {
            at: engine.clock().now(),
            by: "an operator".to_owned(),
            reason: None,
            ends_talks: scope == HaltScope::Installation,
        };
        // Who is told that it failed asks again; what was saved holds all the same.
        drop(engine.halt(scope, &halt).await);
    });
}

/// Lifts every emergency stop that holds for a tenant.
pub fn lift(node: &Node, tenant: TenantId) {
    let engine = node.engine().clone();
    let scene = node.control().scene.clone();
    scene.lock().note(|| "operator: lift the stops".to_owned());
    node.spawn(async move {
        for scope in [HaltScope::Tenant(tenant), HaltScope::Installation] {
            drop(engine.lift_halt(scope, "an operator").await);
        }
    });
}

fn edit(node: &Node, tenant: TenantId, campaign: CampaignId, limits: PacingLimits) {
    let engine = node.engine().clone();
    let scene = node.control().scene.clone();
    scene
        .lock()
        .note(|| format!("operator: limits of {campaign} are {limits:?}"));
    node.spawn(async move {
        let edited = engine.edit_campaign(tenant, campaign, |current: &Campaign| {
            Ok(CampaignEdit {
                name: current.name.clone(),
                steps: current.steps.clone(),
                pacing: PacingLimits {
                    ramp: current.pacing.ramp,
                    ..limits
                },
                retry: current.retry.clone(),
                policy: current.policy.clone(),
                region: current.region,
            })
        });
        drop(edited.await);
    });
}

/// Somebody is to be called no more.
fn suppress(node: &Node, tenant: TenantId, phone: PhoneNumber) {
    let engine = node.engine().clone();
    let (scene, number) = (node.control().scene.clone(), node.control().node);
    scene
        .lock()
        .note(|| format!("operator: no more calls to {}", phone.as_str()));
    node.spawn(async move {
        let entry = Suppression {
            id: SuppressionId::new(engine.clock().new_uuid()),
            tenant,
            subject: Subject::Phone(phone.clone()),
            scope: Scope::All,
            source: SuppressionSource::Operator,
            reason: None,
            at: engine.clock().now(),
        };
        // Whoever is told that it failed may ask again; what was saved holds all the same.
        if engine.suppress(tenant, vec![entry]).await.is_ok() {
            let mut state = scene.lock();
            let by = state.sender(number);
            let withdrawn = (state.now, by);
            let person = (tenant, phone);
            state.board.withdrawn.entry(person).or_insert(withdrawn);
        }
    });
}

fn hang_up(node: &Node, tenant: TenantId, attempt: Option<AttemptId>) {
    let Some(attempt) = attempt else {
        return;
    };
    let engine = node.engine().clone();
    let scene = node.control().scene.clone();
    scene.lock().note(|| format!("operator: hang up {attempt}"));
    node.spawn(async move {
        if engine.hang_up(tenant, attempt).await.is_ok() {
            let mut state = scene.lock();
            let now = state.now;
            state.board.hung_up.insert(attempt, now);
        }
    });
}

/// Ends the process as it should be ended, and starts it again.
fn restart(node: &Node) {
    let (engine, control) = (node.engine().clone(), node.control().clone());
    control
        .scene
        .lock()
        .note(|| format!("node {} is to end", control.node));
    node.spawn(async move {
        engine.close().await;
        control.scene.lock().has_ended(control.node, control.life);
    });
}

/// What is to happen if a process goes before it has answered.
///
/// What a dead process held is dropped in no particular order, so it is only put down here, and happens
/// in the order in which it was asked for.
struct Otherwise {
    scene: Arc<Scene>,
    number: u64,
    happening: Option<Happening>,
}

impl Otherwise {
    fn new(node: &Node, happening: Happening) -> Self {
        let scene = node.control().scene.clone();
        let number = scene.lock().next_number();
        Self {
            scene,
            number,
            happening: Some(happening),
        }
    }

    /// It was answered.
    fn not(mut self) {
        self.happening = None;
    }
}

impl Drop for Otherwise {
    fn drop(&mut self) {
        if let Some(happening) = self.happening.take() {
            let mut state = self.scene.lock();
            state.unanswered.insert(self.number, happening);
        }
    }
}

/// A callback reaches the process.
pub fn callback(node: &Node, callback: Callback) {
    let otherwise = Otherwise::new(node, Happening::Callback(callback.clone()));
    let (engine, control) = (node.engine().clone(), node.control().clone());
    node.spawn(async move {
        if receive(&engine, &control, &callback).await {
            otherwise.not();
        }
    });
}

/// Saves what a callback tells; false when it is to be told again.
async fn receive(engine: &Engine, control: &Control, callback: &Callback) -> bool {
    control.pass().await;
    let (attempt, sid) = names(control, callback.call);
    let signal = Signal {
        sid: Some(sid),
        at: callback.at,
        kind: callback.kind.clone(),
    };
    match engine.receive(callback.key.clone(), attempt, signal).await {
        Ok(()) => {
            let mut state = control.scene.lock();
            let (now, sender) = (state.now, state.sender(control.node));
            if !matches!(callback.kind, SignalKind::Over { .. }) {
                let call = &mut state.ledger.calls[callback.call];
                call.told_at.get_or_insert((now, sender));
            }
            true
        }
        Err(EngineError::NotFound { .. }) => true,
        Err(_) => false,
    }
}

fn names(control: &Control, call: usize) -> (AttemptId, CallSid) {
    let state = control.scene.lock();
    let call = &state.ledger.calls[call];
    (call.attempt, call.sid.clone())
}

/// The carrier asks what to do with an answered call.
pub fn voice(node: &Node, call: usize) {
    let otherwise = Otherwise::new(node, Happening::HangUp(call));
    let (engine, control) = (node.engine().clone(), node.control().clone());
    node.spawn(async move {
        let (attempt, sid) = names(&control, call);
        let asked = Callback {
            call,
            key: format!("{sid}:voice"),
            at: control.clock.now(),
            kind: SignalKind::Answered,
            n_retries: 0,
        };
        let is_wanted = receive(&engine, &control, &asked).await
            && engine.wants_call(attempt).await.unwrap_or(false);
        if is_wanted {
            otherwise.not();
            let mut state = control.scene.lock();
            let wait = state.dice.millis(50, 400);
            state.plan_in(wait, Happening::Media(call));
        }
    });
}

/// A call's audio reaches the process, which joins an agent to it.
pub fn media(node: &Node, call: usize) {
    // However it goes, the call is over when its audio is.
    let otherwise = Otherwise::new(node, Happening::HangUp(call));
    let (engine, control) = (node.engine().clone(), node.control().clone());
    node.spawn(async move {
        let _otherwise = otherwise;
        control.pass().await;
        let Some(closed) = control.scene.lock().connect(call) else {
            return;
        };
        talk(&engine, &control, call, closed).await;
    });
}

async fn talk(
    engine: &Engine,
    control: &Control,
    call: usize,
    closed: tokio::sync::oneshot::Receiver<()>,
) {
    let (attempt, sid) = names(control, call);
    let stream = format!("MZ{call:032x}")
        .parse()
        .expect("letters and digits are a name");
    let Ok(talk) = engine.begin_talk(attempt, sid.clone(), stream).await else {
        return;
    };
    control.scene.lock().check(&Step::TalkBegins { call });
    let tenant = talk.campaign.tenant;
    let (sets_up, fails, lasts) = {
        let mut state = control.scene.lock();
        let fails = state.faults.agent_fails;
        (
            state.dice.millis(100, 2_000),
            state.dice.happens(fails),
            state.dice.millis(2_000, 20_000),
        )
    };
    let tell = async |kind: SignalKind| {
        let signal = Signal {
            sid: Some(sid.clone()),
            at: control.clock.now(),
            kind,
        };
        insist(control, || engine.tell(tenant, attempt, signal.clone())).await
    };
    let mut closed = closed;
    if first(control, sets_up, &mut closed).await {
        if fails {
            control.scene.lock().totals.n_agent_failures += 1;
            let detail = "no agent".to_owned();
            drop(tell(SignalKind::AgentFailed { detail }).await);
        } else {
            let conversation = format!("conv_{call}")
                .parse()
                .expect("letters and digits are a name");
            let vendor = "simulated".parse().expect("letters are a name");
            let joined = SignalKind::AgentJoined {
                conversation,
                vendor,
            };
            if tell(joined).await.is_ok() {
                let mut state = control.scene.lock();
                state.ledger.calls[call].had_agent = true;
                state.totals.n_talks += 1;
            }
            drop(tell(SignalKind::AgentSpoke).await);
            first(control, lasts, &mut closed).await;
        }
    }
    let by = Some(Party::Callee);
    drop(tell(SignalKind::MediaEnded { by }).await);
    drop(engine.after_talk(attempt).await);
}

/// Waits that long; false when the call is over before.
async fn first(
    control: &Control,
    wait: Duration,
    closed: &mut tokio::sync::oneshot::Receiver<()>,
) -> bool {
    tokio::select! {
        biased;
        _ = closed => false,
        () = control.sleep(wait) => true,
    }
}

/// Tries again while the store is away.
async fn insist<F: Future<Output = EngineResult<()>>>(
    control: &Control,
    save: impl Fn() -> F,
) -> EngineResult<()> {
    let mut wait = Duration::from_millis(100);
    for _ in 1..SAVE_TRIES {
        match save().await {
            Err(EngineError::Store(StoreError::Unavailable(_))) => control.sleep(wait).await,
            other => return other,
        }
        wait *= 2;
    }
    save().await
}
