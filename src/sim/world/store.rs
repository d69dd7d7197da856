//! The store as one process of a world reaches it: slow, failing, or with its answers lost.
//!
//! What is under it is a real store. Each write is shown to the auditors at the moment it is made,
//! whether or not its maker ever learns of it.

mod people;

use std::{collections::BTreeMap, future::Future, num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::{invariants::Step, node::Control};
use crate::{
    domain::{
        Timestamp,
        access::{Session, User},
        audience::NewEnrollment,
        campaign::Campaign,
        enrollment::{CallRecord, Enrollment, Progress},
        event::{Event, StoredEvent},
        halt::{Halt, HaltScope, Halts},
        ids::{
            AttemptId, CallSid, CampaignId, ConversationId, EnrollmentId, NodeId, PlaceKey,
            SessionId, TenantId, UserId,
        },
        pacing::Usage,
        phone::PhoneNumber,
        rules::Rule,
        web_tool::{ToolName, WebTool},
    },
    store::{
        Accounts, CallFilter, CallTotals, CallerUsage, CampaignFilter, Campaigns, ClaimRequest,
        Commit, Deployment, Dispatch, EnrollmentFilter, Enrollments, Events, Fencing, Figures,
        InCampaign, Inbox, InboxEntry, Installation, Outlook, Page, PageRequest, Store, StoreError,
        StoreResult, WaitingGroup, WebTools,
    },
};

/// A store with faults in front of it.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    control: Control,
}

/// Whether an operation changes anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
}
use Kind::{Read, Write};

/// What happens to one operation.
#[derive(Default)]
struct Fate {
    fails: bool,
    answer_lost: bool,
    before: Duration,
    after: Duration,
}

impl FaultyStore {
    /// The store of one life of a process.
    pub fn new(inner: Arc<dyn Store>, control: Control) -> Self {
        Self { inner, control }
    }

    async fn run<T>(
        &self,
        kind: Kind,
        operation: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        self.control.pass().await;
        let fate = self.fate(kind);
        if !fate.before.is_zero() {
            self.control.sleep(fate.before).await;
        }
        self.control.may_break().await;
        if fate.fails {
            return Err(StoreError::Unavailable("the store is away".into()));
        }
        let result = operation.await;
        self.control.may_break().await;
        if !fate.after.is_zero() {
            self.control.sleep(fate.after).await;
        }
        if fate.answer_lost {
            return Err(StoreError::Unavailable("the answer was lost".into()));
        }
        result
    }

    fn fate(&self, kind: Kind) -> Fate {
        let mut state = self.control.scene.lock();
        state.totals.n_operations += 1;
        let faults = state.faults.clone();
        let mut fate = Fate {
            fails: state.dice.happens(faults.store_fails),
            answer_lost: kind == Write && state.dice.happens(faults.store_answer_lost),
            ..Fate::default()
        };
        if state.dice.happens(faults.store_slow) {
            let longest = state.dice.pick(&[20, 200, 3_000]);
            fate.before = state.dice.millis(0, longest);
            fate.after = state.dice.millis(0, longest);
            state.stall(self.control.node, fate.before + fate.after);
            state.totals.n_slow += 1;
        }
        state.totals.n_store_failures += u64::from(fate.fails);
        state.totals.n_lost_answers += u64::from(fate.answer_lost && !fate.fails);
        fate
    }

    fn check(&self, step: &Step<'_>) {
        self.control.scene.lock().check(step);
    }
}

#[async_trait]
impl Campaigns for FaultyStore {
    async fn insert_campaign(&self, campaign: &Campaign) -> StoreResult<()> {
        self.run(Write, self.inner.insert_campaign(campaign)).await
    }

    async fn find_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        self.run(Read, self.inner.find_campaign(tenant, id)).await
    }

    async fn find_campaign_or_deleted(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>> {
        self.run(Read, self.inner.find_campaign_or_deleted(tenant, id))
            .await
    }

    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>> {
        self.run(Read, self.inner.list_campaigns(tenant, filter, page))
            .await
    }

    async fn save_campaign(&self, campaign: &Campaign, events: &[Event]) -> StoreResult<()> {
        self.run(Write, async {
            self.inner.save_campaign(campaign, events).await?;
            self.check(&Step::CampaignSaved { campaign });
            Ok(())
        })
        .await
    }

    async fn delete_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<()> {
        self.run(Write, self.inner.delete_campaign(tenant, id, version))
            .await
    }

    async fn progress(&self, tenant: TenantId, id: CampaignId) -> StoreResult<Progress> {
        self.run(Read, self.inner.progress(tenant, id)).await
    }
}

#[async_trait]
impl Enrollments for FaultyStore {
    async fn enroll(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        members: &[NewEnrollment],
        now: Timestamp,
    ) -> StoreResult<Vec<usize>> {
        let adding = self.inner.enroll(tenant, campaign, members, now);
        self.run(Write, adding).await
    }

    async fn find_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<Enrollment>> {
        self.run(Read, self.inner.find_enrollment(tenant, id)).await
    }

    async fn find_in_campaign(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<InCampaign>> {
        self.run(Read, self.inner.find_in_campaign(tenant, id))
            .await
    }

    async fn list_enrollments(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>> {
        let listing = self.inner.list_enrollments(tenant, campaign, filter, page);
        self.run(Read, listing).await
    }

    async fn remove_enrollment(&self, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool> {
        self.run(Write, self.inner.remove_enrollment(tenant, id))
            .await
    }

    async fn commit(&self, commit: &Commit) -> StoreResult<()> {
        self.run(Write, async {
            self.inner.commit(commit).await?;
            self.check(&Step::Saved { commit });
            Ok(())
        })
        .await
    }

    async fn tenant_of(&self, enrollment: EnrollmentId) -> StoreResult<Option<TenantId>> {
        self.run(Read, self.inner.tenant_of(enrollment)).await
    }

    async fn find_call(&self, tenant: TenantId, id: AttemptId) -> StoreResult<Option<CallRecord>> {
        self.run(Read, self.inner.find_call(tenant, id)).await
    }

    async fn find_call_by_sid(
        &self,
        tenant: TenantId,
        sid: &CallSid,
    ) -> StoreResult<Option<CallRecord>> {
        self.run(Read, self.inner.find_call_by_sid(tenant, sid))
            .await
    }

    async fn find_call_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> StoreResult<Option<CallRecord>> {
        let found = self.inner.find_call_by_conversation(tenant, conversation);
        self.run(Read, found).await
    }

    async fn list_calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>> {
        self.run(Read, self.inner.list_calls(tenant, filter, page))
            .await
    }
}

#[async_trait]
impl Dispatch for FaultyStore {
    async fn list_tenants(&self) -> StoreResult<Vec<TenantId>> {
        self.run(Read, self.inner.list_tenants()).await
    }

    async fn ensure_tenant(&self, tenant: TenantId) -> StoreResult<()> {
        self.run(Write, self.inner.ensure_tenant(tenant)).await
    }

    async fn hold_lease(
        &self,
        tenant: TenantId,
        node: NodeId,
        ttl: Duration,
        now: Timestamp,
    ) -> StoreResult<Option<Fencing>> {
        self.run(Write, self.inner.hold_lease(tenant, node, ttl, now))
            .await
    }

    async fn lease_holder(&self, tenant: TenantId, now: Timestamp) -> StoreResult<Option<NodeId>> {
        self.run(Read, self.inner.lease_holder(tenant, now)).await
    }

    async fn release_lease(&self, tenant: TenantId, node: NodeId) -> StoreResult<()> {
        self.run(Write, self.inner.release_lease(tenant, node))
            .await
    }

    async fn active_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        self.run(Read, self.inner.active_campaigns(tenant)).await
    }

    async fn scheduled_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>> {
        self.run(Read, self.inner.scheduled_campaigns(tenant)).await
    }

    async fn outlook(&self, tenant: TenantId) -> StoreResult<Outlook> {
        self.run(Read, self.inner.outlook(tenant)).await
    }

    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>> {
        self.run(Read, self.inner.usage(tenant)).await
    }

    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>> {
        self.run(Write, self.inner.claim_due(request)).await
    }

    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> StoreResult<u64> {
        let releasing = self.inner.release_held(tenant, campaign, rules, now);
        self.run(Write, releasing).await
    }

    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        places: Option<&[PlaceKey]>,
    ) -> StoreResult<Option<Timestamp>> {
        self.run(Read, self.inner.next_due(tenant, campaign, places))
            .await
    }

    async fn overdue(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<Enrollment>> {
        self.run(Read, self.inner.overdue(tenant, now, limit)).await
    }
}

#[async_trait]
impl Figures for FaultyStore {
    async fn places(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<Vec<PlaceKey>> {
        self.run(Read, self.inner.places(tenant, campaign)).await
    }

    async fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        now: Timestamp,
    ) -> StoreResult<Vec<WaitingGroup>> {
        self.run(Read, self.inner.waiting(tenant, campaign, now))
            .await
    }

    async fn finished_by_rule(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<BTreeMap<Rule, u64>> {
        self.run(Read, self.inner.finished_by_rule(tenant, campaign))
            .await
    }

    async fn call_totals(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        since: Timestamp,
    ) -> StoreResult<CallTotals> {
        self.run(Read, self.inner.call_totals(tenant, campaign, since))
            .await
    }

    async fn recent_calls(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<CallRecord>> {
        self.run(Read, self.inner.recent_calls(tenant, campaign, limit))
            .await
    }

    async fn caller_usage(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> StoreResult<BTreeMap<PhoneNumber, CallerUsage>> {
        self.run(Read, self.inner.caller_usage(tenant, since)).await
    }

    async fn attempts_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
        since: Timestamp,
    ) -> StoreResult<Vec<CallRecord>> {
        self.run(Read, self.inner.attempts_to(tenant, to, since))
            .await
    }

    async fn open_calls_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> StoreResult<Vec<CallRecord>> {
        self.run(Read, self.inner.open_calls_to(tenant, to)).await
    }
}

#[async_trait]
impl Inbox for FaultyStore {
    async fn receive(&self, entry: &InboxEntry) -> StoreResult<bool> {
        self.run(Write, self.inner.receive(entry)).await
    }

    async fn settle(&self, tenant: TenantId, key: &str, now: Timestamp) -> StoreResult<()> {
        self.run(Write, self.inner.settle(tenant, key, now)).await
    }

    async fn unsettled(
        &self,
        tenant: TenantId,
        before: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<InboxEntry>> {
        self.run(Read, self.inner.unsettled(tenant, before, limit))
            .await
    }

    async fn forget_settled(&self, tenant: TenantId, before: Timestamp) -> StoreResult<()> {
        self.run(Write, self.inner.forget_settled(tenant, before))
            .await
    }
}

#[async_trait]
impl Events for FaultyStore {
    async fn append_events(&self, events: &[Event]) -> StoreResult<()> {
        self.run(Write, self.inner.append_events(events)).await
    }

    async fn events_after(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<StoredEvent>> {
        let reading = self.inner.events_after(tenant, campaign, after, limit);
        self.run(Read, reading).await
    }

    async fn last_seq(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<u64> {
        self.run(Read, self.inner.last_seq(tenant, campaign)).await
    }

    async fn call_events(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
    ) -> StoreResult<Vec<StoredEvent>> {
        self.run(Read, self.inner.call_events(tenant, attempt))
            .await
    }

    async fn watch_events(&self) -> StoreResult<BoxStream<'static, StoredEvent>> {
        self.run(Read, self.inner.watch_events()).await
    }

    async fn check(&self) -> StoreResult<()> {
        self.run(Write, self.inner.check()).await
    }

    async fn time(&self) -> StoreResult<Option<Timestamp>> {
        self.run(Read, self.inner.time()).await
    }
}

#[async_trait]
impl Installation for FaultyStore {
    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        self.run(Read, self.inner.deployment()).await
    }

    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()> {
        self.run(Write, self.inner.save_deployment(deployment))
            .await
    }

    async fn halts(&self, tenant: TenantId) -> StoreResult<Halts> {
        self.run(Read, self.inner.halts(tenant)).await
    }

    async fn save_halt(&self, scope: HaltScope, halt: Option<&Halt>) -> StoreResult<()> {
        self.run(Write, async {
            self.inner.save_halt(scope, halt).await?;
            let is_in_force = halt.is_some();
            self.check(&Step::Halted { scope, is_in_force });
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl WebTools for FaultyStore {
    async fn list_web_tools(&self, tenant: TenantId) -> StoreResult<Vec<WebTool>> {
        self.run(Read, self.inner.list_web_tools(tenant)).await
    }

    async fn find_web_tool(
        &self,
        tenant: TenantId,
        name: &ToolName,
    ) -> StoreResult<Option<WebTool>> {
        self.run(Read, self.inner.find_web_tool(tenant, name)).await
    }

    async fn save_web_tool(&self, tenant: TenantId, tool: &WebTool) -> StoreResult<()> {
        self.run(Write, self.inner.save_web_tool(tenant, tool))
            .await
    }

    async fn delete_web_tool(&self, tenant: TenantId, name: &ToolName) -> StoreResult<bool> {
        self.run(Write, self.inner.delete_web_tool(tenant, name))
            .await
    }
}

#[async_trait]
impl Accounts for FaultyStore {
    async fn insert_user(&self, user: &User) -> StoreResult<()> {
        self.run(Write, self.inner.insert_user(user)).await
    }

    async fn find_user_by_email(&self, email: &str) -> StoreResult<Option<User>> {
        self.run(Read, self.inner.find_user_by_email(email)).await
    }

    async fn find_user(&self, tenant: TenantId, id: UserId) -> StoreResult<Option<User>> {
        self.run(Read, self.inner.find_user(tenant, id)).await
    }

    async fn count_users(&self) -> StoreResult<u64> {
        self.run(Read, self.inner.count_users()).await
    }

    async fn insert_session(&self, session: &Session) -> StoreResult<()> {
        self.run(Write, self.inner.insert_session(session)).await
    }

    async fn find_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<Option<Session>> {
        self.run(Read, self.inner.find_session(tenant, id)).await
    }

    async fn delete_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<()> {
        self.run(Write, self.inner.delete_session(tenant, id)).await
    }
}
