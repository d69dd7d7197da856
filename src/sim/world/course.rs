//! The course of a world: which process runs when, and what comes from outside.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{
    invariants::{CampaignAudit, LastLook, Step},
    ledger::CampaignLife,
    node::Node,
    plan::{BEGINNING, CampaignPlan, Faults, Plan},
    report::Report,
    requests,
    scene::{Gate, Happening, Scene},
};
use crate::{
    domain::{
        Timestamp,
        audience::{Member, NewEnrollment},
        campaign::{Brake, Campaign, CampaignStatus, PauseReason},
        consent::Consent,
        holiday::Holidays,
        ids::{AttemptId, CampaignId, ContactId, EnrollmentId, NodeId, TenantId},
        machine::MachinePolicy,
        phone::{PhoneNumber, Region},
        place::Place,
        signal::CallEnd,
        step::{Silence, Step as CampaignStep, VoiceCall},
        text::Template,
    },
    store::{EnrollmentFilter, PageRequest, Store},
};

/// How often the auditors look at the store.
const AUDIT_EVERY: Duration = Duration::from_secs(5);

/// How long after healing the last traces of faults may last.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// When the next call is further ahead than this, an operator gives the campaign up.
const TOO_LONG: Duration = Duration::from_secs(3600);

/// How long after healing everything must have come to its end.
const ENDS_WITHIN: Duration = Duration::from_secs(2 * 3600);

/// One world.
pub struct World {
    scene: Arc<Scene>,
    store: Arc<dyn Store>,
    nodes: Vec<Option<Node>>,
    campaigns: Vec<(TenantId, CampaignId)>,
    last_seq: Vec<u64>,
    healed_at: Option<Timestamp>,
    is_over: bool,
}

impl World {
    /// A world at its beginning, on an empty store whose operations take no time.
    pub fn new(plan: Plan, store: Arc<dyn Store>, keeps_timeline: bool) -> Self {
        let plan = Arc::new(plan);
        let scene = Scene::new(plan.clone(), keeps_timeline);
        let mut world = Self {
            scene,
            store,
            nodes: (0..plan.n_nodes).map(|_| None).collect(),
            campaigns: Vec::new(),
            last_seq: Vec::new(),
            healed_at: None,
            is_over: false,
        };
        for (number, campaign) in plan.campaigns.iter().enumerate() {
            world.prepare(number, campaign);
        }
        let mut state = world.scene.lock();
        for node in 0..plan.n_nodes {
            state.plan_in(Duration::ZERO, Happening::Boot(node));
        }
        for (number, campaign) in plan.campaigns.iter().enumerate() {
            state.plan_in(campaign.starts_after, Happening::Start(number));
        }
        if plan.faults.commands > 0.0 {
            state.plan_in(Duration::from_secs(1), Happening::Command);
        }
        state.plan_in(plan.heals_after, Happening::Heal);
        state.plan_in(AUDIT_EVERY, Happening::Audit);
        state.totals.n_seeds = 1;
        drop(state);
        world
    }

    /// Lets everything happen until it is over, or something that must not.
    pub fn run(mut self) -> Report {
        while !self.is_over && self.scene.lock().violation.is_none() {
            if self.run_a_node() {
                continue;
            }
            match self.next_happening() {
                Some(happening) => self.happen(happening),
                None => self.move_clocks(),
            }
        }
        self.report()
    }

    /// Lets one process run that has something to do; false when none has.
    fn run_a_node(&mut self) -> bool {
        let next = {
            let mut state = self.scene.lock();
            let next = state
                .nodes
                .iter()
                .position(|node| node.gate == Gate::Open && node.has_work);
            if let Some(node) = next {
                state.nodes[node].has_work = false;
            }
            next
        };
        let Some(node) = next else {
            return false;
        };
        if let Some(running) = &self.nodes[node] {
            running.run();
        }
        if self.scene.lock().nodes[node].gate == Gate::Dead {
            self.nodes[node] = None;
        }
        self.scene.lock().make_up_for_answers();
        true
    }

    /// What is planned for now.
    fn next_happening(&mut self) -> Option<Happening> {
        let mut state = self.scene.lock();
        let now = state.now;
        let first = state.agenda.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Moves every clock to the next moment at which something happens.
    fn move_clocks(&mut self) {
        let mut state = self.scene.lock();
        let planned = state.agenda.keys().next().map(|(at, _)| *at);
        let wakes = self.nodes.iter().flatten().filter_map(|node| {
            let is_awake = state.nodes[node.control().node].gate == Gate::Open;
            is_awake.then(|| node.clock().next_wake()).flatten()
        });
        let next = wakes.chain(planned).min();
        let next = next.expect("an audit is planned as long as the world lasts");
        state.now = state.now.max(next);
        let now = state.now;
        for node in self.nodes.iter().flatten() {
            let own = &mut state.nodes[node.control().node];
            if own.gate == Gate::Open {
                own.has_work |= node.clock().set(now);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::RequestArrives(request) => self.scene.lock().request_arrives(request),
            Happening::CallMoves(call) => self.scene.lock().call_moves(call),
            Happening::HangUp(call) => self.scene.lock().call_ends(call, CallEnd::Completed),
            Happening::Boot(node) => self.boot(node),
            Happening::Thaw(node) => self.thaw(node),
            Happening::Heal => self.heal(),
            Happening::Audit => self.audit(),
            Happening::Start(campaign) => {
                let started = self.on_any_node(|node| {
                    requests::start(node, self.campaigns[campaign]);
                });
                let is_draft = self.status(campaign) == CampaignStatus::Draft;
                if is_draft || !started {
                    let mut state = self.scene.lock();
                    state.plan_in(Duration::from_secs(2), Happening::Start(campaign));
                }
            }
            Happening::Callback(callback) => {
                let taken = callback.clone();
                if !self.on_any_node(|node| requests::callback(node, taken)) {
                    self.scene.lock().not_taken(callback);
                }
            }
            Happening::Voice(call) => {
                if !self.on_any_node(|node| requests::voice(node, call)) {
                    self.scene.lock().call_ends(call, CallEnd::Completed);
                }
            }
            Happening::Media(call) => {
                if !self.on_any_node(|node| requests::media(node, call)) {
                    self.scene.lock().call_ends(call, CallEnd::Completed);
                }
            }
            Happening::Command => self.command(),
        }
    }

    /// Lets a process that answers take something; false when there is none.
    fn on_any_node(&self, take: impl FnOnce(&Node)) -> bool {
        let Some(node) = self.scene.lock().any_node() else {
            return false;
        };
        let Some(running) = &self.nodes[node] else {
            return false;
        };
        take(running);
        self.scene.lock().nodes[node].has_work = true;
        true
    }

    fn boot(&mut self, node: usize) {
        // What is left of its last life goes first.
        self.nodes[node] = None;
        self.scene.lock().make_up_for_answers();
        self.nodes[node] = Some(Node::boot(&self.scene, node, self.store.clone()));
    }

    fn thaw(&mut self, node: usize) {
        let (now, waiting) = {
            let mut state = self.scene.lock();
            if state.nodes[node].gate != Gate::Frozen {
                return;
            }
            state.note(|| format!("node {node} goes on"));
            let own = &mut state.nodes[node];
            own.gate = Gate::Open;
            own.has_work = true;
            let waiting = std::mem::take(&mut own.waiting);
            (state.now, waiting)
        };
        if let Some(running) = &self.nodes[node] {
            running.clock().set(now);
        }
        for waker in waiting {
            waker.wake();
        }
    }

    fn heal(&mut self) {
        let mut state = self.scene.lock();
        state.note(|| "everything heals".to_owned());
        state.faults = Faults::default();
        state.has_healed = true;
        self.healed_at = Some(state.now);
    }

    fn command(&mut self) {
        {
            let mut state = self.scene.lock();
            if state.has_healed {
                return;
            }
            let mean = 60_000.0 / state.faults.commands.max(1.0);
            let wait = Duration::from_millis((mean * 2.0 * state.dice.fraction()) as u64 + 1);
            state.plan_in(wait, Happening::Command);
        }
        let campaigns = &self.campaigns;
        self.on_any_node(|node| requests::command(node, campaigns));
    }

    fn status(&self, campaign: usize) -> CampaignStatus {
        let state = self.scene.lock();
        let (_, id) = self.campaigns[campaign];
        state.saved.campaigns[&id].campaign.status.clone()
    }

    fn audit(&mut self) {
        let audits: Vec<CampaignAudit> = (0..self.campaigns.len())
            .map(|number| self.audit_one(number))
            .collect();
        let waits: Vec<_> = audits.iter().map(|it| it.progress.next_due_at).collect();
        let mut state = self.scene.lock();
        state.check(&Step::Audit { campaigns: &audits });
        state.plan_in(AUDIT_EVERY, Happening::Audit);
        let now = state.now;
        drop(state);
        let Some(healed_at) = self.healed_at else {
            return;
        };
        self.lift_halts();
        for (number, due) in waits.into_iter().enumerate() {
            match self.status(number) {
                // Whoever sees that nothing is left of the budget, or that the end has come, does not
                // resume.
                CampaignStatus::Paused(PauseReason::Brake {
                    brake: Brake::Budget | Brake::ScheduleEnd,
                    ..
                }) => {
                    self.on_any_node(|node| requests::stop(node, self.campaigns[number]));
                }
                CampaignStatus::Paused(_) => {
                    self.on_any_node(|node| requests::resume(node, self.campaigns[number]));
                }
                // Nobody waits until its numbers may call again tomorrow.
                CampaignStatus::Active
                    if due.is_some_and(|due| due > now + TOO_LONG)
                        || self.has_used_up_its_numbers(number) =>
                {
                    self.on_any_node(|node| requests::stop(node, self.campaigns[number]));
                }
                _ => {}
            }
        }
        match self.what_goes_on() {
            // The lease of a process that died just before has to run out by itself.
            None if now < healed_at + SETTLES_WITHIN => {}
            None => self.end(None),
            Some(what) if now > healed_at + ENDS_WITHIN => self.end(Some(what)),
            Some(_) => {}
        }
    }

    /// Whether every number that a campaign calls from has made its calls of the day.
    fn has_used_up_its_numbers(&self, number: usize) -> bool {
        let state = self.scene.lock();
        let plan = &state.plan.campaigns[number];
        let Some((pool, most)) = plan.pool.as_ref().and_then(|it| Some((it, it.per_day?))) else {
            return false;
        };
        let tenant = self.campaigns[number].0;
        let is_own = |id: AttemptId| state.saved.enrollments[&id.enrollment].tenant == tenant;
        let n_calls = |from: &PhoneNumber| {
            let attempts = state.saved.attempts.values();
            let counted = attempts
                .filter(|it| it.from == *from && is_own(it.id) && !state.saved.is_released(it.id));
            u32::try_from(counted.count()).unwrap_or(u32::MAX)
        };
        pool.numbers.iter().all(|from| n_calls(from) >= most)
    }

    fn lift_halts(&mut self) {
        if self.scene.lock().saved.halted.is_empty() {
            return;
        }
        for tenant in self.tenants() {
            self.on_any_node(|node| requests::lift(node, tenant));
        }
    }

    fn audit_one(&mut self, number: usize) -> CampaignAudit {
        let (tenant, id) = self.campaigns[number];
        let last_seq = self.last_seq[number];
        let all = NonZeroU32::MAX;
        let events = at_once(self.store.events_after(tenant, id, last_seq, all));
        if let Some(last) = events.last() {
            self.last_seq[number] = last.seq;
        }
        let usage = at_once(self.store.usage(tenant));
        CampaignAudit {
            id,
            progress: at_once(self.store.progress(tenant, id)),
            usage: usage.get(&id).copied().unwrap_or_default(),
            events,
            last_seq,
        }
    }

    /// What keeps the world from its end.
    fn what_goes_on(&self) -> Option<String> {
        let state = self.scene.lock();
        let planned = state
            .agenda
            .values()
            .find(|it| !matches!(it, Happening::Audit | Happening::Command));
        if let Some(planned) = planned {
            return Some(format!("there is still to come: {planned:?}"));
        }
        for life in state.saved.campaigns.values() {
            let campaign = &life.campaign;
            if !campaign.status.is_final() {
                let left = state
                    .saved
                    .of(campaign.id)
                    .find(|enrollment| enrollment.state.name() != "finished");
                return Some(format!(
                    "{} is {}, left: {left:?}",
                    campaign.id,
                    campaign.status.name()
                ));
            }
            let mut enrollments = state.saved.of(campaign.id);
            if let Some(open) = enrollments.find(|it| it.open_attempt().is_some()) {
                return Some(format!("{} is open: {:?}", open.id, open.state));
            }
        }
        let n_unsettled = self.n_unsettled(state.now);
        (n_unsettled > 0).then(|| format!("{n_unsettled} signals are not processed"))
    }

    fn n_unsettled(&self, now: Timestamp) -> usize {
        let later = now + Duration::from_secs(1);
        self.tenants()
            .into_iter()
            .map(|tenant| at_once(self.store.unsettled(tenant, later, NonZeroU32::MAX)).len())
            .sum()
    }

    fn tenants(&self) -> Vec<TenantId> {
        at_once(self.store.list_tenants())
    }

    /// Closes every process and takes the last look.
    fn end(&mut self, stuck: Option<String>) {
        self.is_over = true;
        for node in self.nodes.iter().flatten() {
            let engine = node.engine().clone();
            node.spawn(async move { engine.close().await });
            self.scene.lock().nodes[node.control().node].has_work = true;
        }
        while self.run_a_node() {}
        let now = self.scene.lock().now;
        let stranger = NodeId::new(Uuid::max());
        let ttl = Duration::from_secs(1);
        let held = self
            .tenants()
            .into_iter()
            .filter(|tenant| at_once(self.store.hold_lease(*tenant, stranger, ttl, now)).is_none())
            .collect();
        let last = LastLook {
            n_unsettled: self.n_unsettled(now),
            held,
            stuck,
        };
        self.scene.lock().check(&Step::End { last: &last });
    }

    fn report(self) -> Report {
        let mut state = self.scene.lock();
        let violation = state.violation.take();
        state.totals.n_violations = u64::from(violation.is_some());
        Report {
            seed: state.plan.seed,
            totals: state.totals.clone(),
            violation,
            timeline: state.timeline.take().unwrap_or_default(),
            ended_at: state.now,
            fingerprint: state.fingerprint,
        }
    }

    /// What the list says of a person's consent.
    fn consent(&self, phone: &PhoneNumber) -> Option<Consent> {
        let plan = self.scene.lock().plan.clone();
        plan.consents.get(phone).map(|kind| Consent {
            kind: *kind,
            source: "list".to_owned(),
            at: BEGINNING,
        })
    }

    /// Saves the day that the tenant adds to the holidays.
    fn add_day_off(&self, tenant: TenantId) {
        let Some(day) = self.scene.lock().plan.day_off else {
            return;
        };
        let mut holidays = Holidays::default();
        holidays.add(None, day, "eve");
        at_once(self.store.save_holidays(tenant, &holidays));
    }

    /// Puts a campaign and its people into the store and takes them down.
    fn prepare(&mut self, number: usize, plan: &CampaignPlan) {
        let id = CampaignId::new(Uuid::from_u128(1 + number as u128));
        let zone = plan.policy().rules.zone;
        at_once(self.store.ensure_tenant(plan.tenant));
        self.add_day_off(plan.tenant);
        at_once(self.store.insert_campaign(&draft(id, plan)));
        let members: Vec<NewEnrollment> = plan
            .numbers
            .iter()
            .enumerate()
            .map(|(i, phone)| {
                let own = ((number as u128 + 1) << 64) + i as u128;
                NewEnrollment {
                    id: EnrollmentId::new(Uuid::from_u128(own)),
                    contact: ContactId::new(Uuid::from_u128(own)),
                    place: Place::of(phone, None, &zone).key(),
                    member: Member {
                        phone: phone.clone(),
                        name: None,
                        fields: Default::default(),
                        email: None,
                        zone: None,
                        consent: self.consent(phone),
                    },
                }
            })
            .collect();
        at_once(self.store.enroll(plan.tenant, id, &members, BEGINNING));
        let all = PageRequest::first(u32::MAX - 1);
        let filter = EnrollmentFilter::default();
        let enrolled = at_once(self.store.list_enrollments(plan.tenant, id, &filter, &all));
        let campaign = at_once(self.store.find_campaign(plan.tenant, id));
        let mut state = self.scene.lock();
        state.totals.n_campaigns += 1;
        state.totals.n_contacts += enrolled.items.len() as u64;
        for enrollment in &enrolled.items {
            state.saved.save(enrollment, None);
        }
        if let Some(campaign) = campaign {
            let life = CampaignLife::new(campaign, BEGINNING);
            state.saved.campaigns.insert(id, life);
        }
        drop(state);
        self.campaigns.push((plan.tenant, id));
        self.last_seq.push(0);
    }
}

fn draft(id: CampaignId, plan: &CampaignPlan) -> Campaign {
    let text = |text| Template::parse(text).expect("there is no brace in it");
    let step = CampaignStep::VoiceCall(VoiceCall {
        prompt: text(""),
        first_message: text(""),
        language: None,
        voice_id: None,
        agent_vendor: None,
        agent_id: None,
        ring_timeout: VoiceCall::RING.0,
        max_duration: Duration::from_secs(15),
        opt_out_key: None,
        silence: Silence::default(),
        is_recorded: false,
        recording_days: None,
        transfer: None,
        machines: MachinePolicy::default(),
        spoken_language: None,
    });
    Campaign {
        id,
        tenant: plan.tenant,
        name: String::new(),
        status: CampaignStatus::Draft,
        steps: vec![step; plan.n_steps],
        pacing: plan.pacing,
        retry: plan.retry.clone(),
        policy: plan.policy(),
        region: Region::US,
        created_at: BEGINNING,
        updated_at: BEGINNING,
        started_at: None,
        active_since: None,
        ended_at: None,
        version: 1,
    }
}

/// The result of an operation of a store that never waits.
fn at_once<T>(operation: impl Future<Output = crate::store::StoreResult<T>>) -> T {
    operation
        .now_or_never()
        .expect("a store in memory does not wait")
        .expect("a store in memory does not fail")
}
