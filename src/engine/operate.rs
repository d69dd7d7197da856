//! What people ask of campaigns and calls.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{Core, Engine, EngineError, EngineResult, decide::Input};
use crate::{
    domain::{
        Timestamp,
        attempt::{AttemptState, Party},
        audience::{Member, NewEnrollment},
        campaign::{Campaign, CampaignAction, CampaignStatus, NotAllowed, Policy},
        enrollment::CallRecord,
        event::{Event, EventKind},
        holiday::Holidays,
        ids::{AttemptId, CampaignId, ContactId, EnrollmentId, TenantId},
        pacing::PacingLimits,
        phone::Region,
        place::Place,
        register::RegisterName,
        retry::RetryPolicy,
        rules::Rule,
        step::Step,
    },
    store::{CallFilter, CampaignFilter, PageRequest, StoreError},
};

/// Everything about a campaign that its owner decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignEdit {
    /// For people.
    pub name: String,
    /// What is done for each contact.
    pub steps: Vec<Step>,
    /// How fast.
    pub pacing: PacingLimits,
    /// How often again.
    pub retry: RetryPolicy,
    /// What must hold for its calls.
    pub policy: Policy,
    /// The country of numbers without `+`.
    pub region: Region,
}

/// What became of people who were to be enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Enrolled {
    /// How many were added.
    pub n_added: u64,
    /// The positions of those whose number the campaign already has.
    pub duplicates: Vec<usize>,
}

/// How often a change finds that another process was faster before it is given up.
const MAX_CONFLICTS: u32 = 20;

/// How many open calls or campaigns are read at once.
const PAGE: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");

/// How often a paused campaign is searched for calls that wait at the carrier: until every request
/// that was on its way has been answered or has run out.
const WITHDRAWALS: u32 = 60;

/// Between two such searches.
const WITHDRAW_AGAIN: Duration = Duration::from_millis(500);

impl Engine {
    /// Adds a campaign as a draft.
    pub async fn create_campaign(
        &self,
        tenant: TenantId,
        edit: CampaignEdit,
    ) -> EngineResult<Campaign> {
        let now = self.core.now();
        let campaign = Campaign {
            id: CampaignId::new(self.core.clock.new_uuid()),
            tenant,
            name: edit.name,
            status: CampaignStatus::Draft,
            steps: edit.steps,
            pacing: edit.pacing,
            retry: edit.retry,
            policy: edit.policy,
            region: edit.region,
            created_at: now,
            updated_at: now,
            started_at: None,
            active_since: None,
            ended_at: None,
            version: 1,
        };
        self.core.store.insert_campaign(&campaign).await?;
        self.core.store.append_events(&[changed(&campaign)]).await?;
        info!(campaign_id = %campaign.id, "campaign created");
        Ok(campaign)
    }

    /// Changes a campaign's settings; `edit` gives the new ones from the present ones.
    pub async fn edit_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        edit: impl Fn(&Campaign) -> EngineResult<CampaignEdit>,
    ) -> EngineResult<Campaign> {
        let core = &self.core;
        let (before, campaign) = core
            .change_campaign_from(tenant, id, |current| {
                current.status.allow(CampaignAction::Edit)?;
                let edit = edit(current)?;
                Ok(Campaign {
                    name: edit.name,
                    steps: edit.steps,
                    pacing: edit.pacing,
                    retry: edit.retry,
                    policy: edit.policy,
                    region: edit.region,
                    updated_at: core.now(),
                    ..current.clone()
                })
            })
            .await?;
        core.release_held(tenant, id, &touched(&before, &campaign))
            .await?;
        core.wake.notify_one();
        Ok(campaign)
    }

    /// Replaces the days that the tenant adds to the public holidays. Whom a holiday put off is judged
    /// again.
    ///
    /// - Errors: after [`EngineError::Store`] they may be saved, and some people not yet due. Asking
    ///   again does the rest.
    pub async fn save_holidays(&self, tenant: TenantId, holidays: &Holidays) -> EngineResult<()> {
        self.core.store.save_holidays(tenant, holidays).await?;
        let by_holidays = [Rule::CallingWindow, Rule::Holiday];
        self.core.judge_again(tenant, &by_holidays).await
    }

    /// Takes down that every number of a copy of a do-not-call register is on the tenant's list. Whom
    /// the age of the copy before put off is judged again.
    ///
    /// - Errors: as [`Engine::save_holidays`].
    pub async fn save_register_copy(
        &self,
        tenant: TenantId,
        register: &RegisterName,
        taken_at: Timestamp,
    ) -> EngineResult<()> {
        let store = &self.core.store;
        store.save_register_copy(tenant, register, taken_at).await?;
        info!(register = register.as_str(), %taken_at, "copy of a register imported");
        self.core.judge_again(tenant, &[Rule::RegisterFresh]).await
    }

    /// Starts, pauses, resumes or stops a campaign. Asking again changes nothing.
    ///
    /// After a stop, calls that nobody has answered yet are cancelled; talks go on to their end. A
    /// pause takes back the calls that wait at the carrier; what rings and talks goes on.
    pub async fn change_status(
        &self,
        tenant: TenantId,
        id: CampaignId,
        action: CampaignAction,
    ) -> EngineResult<Campaign> {
        let core = &self.core;
        if matches!(action, CampaignAction::Start | CampaignAction::Resume) {
            core.demand_known_calls().await?;
        }
        let campaign = core
            .change_campaign(tenant, id, |current| Ok(current.after(action, core.now())?))
            .await?;
        core.wake.notify_one();
        // Tasks of their own: whoever asked may leave before they are done.
        match action {
            CampaignAction::Stop => {
                let core = core.clone();
                core.tasks
                    .clone()
                    .spawn(async move { core.withdraw_unanswered(tenant, id).await });
            }
            CampaignAction::Pause => {
                let core = core.clone();
                core.tasks
                    .clone()
                    .spawn(async move { core.withdraw_waiting(tenant, id).await });
            }
            _ => {}
        }
        Ok(campaign)
    }

    /// Hides a campaign from every list.
    pub async fn delete_campaign(&self, tenant: TenantId, id: CampaignId) -> EngineResult<()> {
        let campaign = self.core.load_campaign(tenant, id).await?;
        campaign.status.allow(CampaignAction::Delete)?;
        let usage = self.core.store.usage(tenant).await?;
        if usage.get(&id).is_some_and(|usage| usage.n_open > 0) {
            let detail = "calls of this campaign are still up; delete it when they are over";
            return Err(EngineError::Invalid(detail.to_owned()));
        }
        self.core
            .store
            .delete_campaign(tenant, id, campaign.version)
            .await?;
        Ok(())
    }

    /// Adds people to a campaign that has not ended; they are due at once.
    pub async fn enroll(
        &self,
        tenant: TenantId,
        id: CampaignId,
        members: Vec<Member>,
    ) -> EngineResult<Enrolled> {
        let core = &self.core;
        let campaign = core.load_campaign(tenant, id).await?;
        campaign.status.allow(CampaignAction::Enroll)?;
        let enrollments: Vec<NewEnrollment> = members
            .into_iter()
            .map(|member| NewEnrollment {
                id: EnrollmentId::new(core.clock.new_uuid()),
                contact: ContactId::new(core.clock.new_uuid()),
                place: Place::of(
                    &member.phone,
                    member.zone.as_ref(),
                    &campaign.policy.rules.zone,
                )
                .key(),
                member,
            })
            .collect();
        let now = core.now();
        let duplicates = core.store.enroll(tenant, id, &enrollments, now).await?;
        let added: Vec<EnrollmentId> = enrollments
            .iter()
            .enumerate()
            .filter(|(at, _)| duplicates.binary_search(at).is_err())
            .map(|(_, new)| new.id)
            .collect();
        core.undo_if_ended(tenant, id, &added).await?;
        let n_added = added.len() as u64;
        if n_added > 0 {
            let kind = EventKind::Enrolled { n: n_added };
            core.store
                .append_events(&[Event {
                    tenant,
                    campaign: id,
                    at: now,
                    kind,
                }])
                .await?;
            core.wake.notify_one();
        }
        Ok(Enrolled {
            n_added,
            duplicates,
        })
    }

    /// Takes a person who was never tried out of a campaign.
    pub async fn remove(&self, tenant: TenantId, enrollment: EnrollmentId) -> EngineResult<()> {
        if self
            .core
            .store
            .remove_enrollment(tenant, enrollment)
            .await?
        {
            return Ok(());
        }
        match self.core.store.find_enrollment(tenant, enrollment).await? {
            None => Err(EngineError::NotFound { what: "enrollment" }),
            Some(_) => Err(EngineError::Invalid(
                "this contact was already called in the campaign and stays in its records"
                    .to_owned(),
            )),
        }
    }

    /// Ends a call.
    pub async fn hang_up(&self, tenant: TenantId, attempt: AttemptId) -> EngineResult<()> {
        let input = Input::HangUp {
            attempt,
            by: Party::Operator,
        };
        self.core.handle(tenant, attempt.enrollment, &input).await
    }

    /// Adds lines to a campaign's log.
    pub async fn log(&self, events: &[Event]) -> EngineResult<()> {
        Ok(self.core.store.append_events(events).await?)
    }
}

impl Core {
    pub(super) async fn load_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> EngineResult<Campaign> {
        let campaign = self.store.find_campaign(tenant, id).await?;
        campaign.ok_or(EngineError::NotFound { what: "campaign" })
    }

    /// Loads, changes and saves a campaign, and begins again when another process was faster.
    pub(super) async fn change_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        change: impl Fn(&Campaign) -> EngineResult<Campaign>,
    ) -> EngineResult<Campaign> {
        let (_, changed) = self.change_campaign_from(tenant, id, change).await?;
        Ok(changed)
    }

    /// As [`Core::change_campaign`]; gives the campaign before and after.
    async fn change_campaign_from(
        &self,
        tenant: TenantId,
        id: CampaignId,
        change: impl Fn(&Campaign) -> EngineResult<Campaign>,
    ) -> EngineResult<(Campaign, Campaign)> {
        for _ in 0..MAX_CONFLICTS {
            let current = self.load_campaign(tenant, id).await?;
            let next = change(&current)?;
            if next == current {
                return Ok((current, next));
            }
            match self.save_campaign(next).await {
                Err(EngineError::Store(StoreError::Conflict { .. })) => {}
                Err(error) => return Err(error),
                Ok(saved) => return Ok((current, saved)),
            }
        }
        Err(StoreError::Conflict {
            record: id.to_string(),
        }
        .into())
    }

    /// Saves a campaign as changed from the version it carries.
    pub(super) async fn save_campaign(&self, mut campaign: Campaign) -> EngineResult<Campaign> {
        campaign.version += 1;
        self.store
            .save_campaign(&campaign, &[changed(&campaign)])
            .await?;
        info!(campaign_id = %campaign.id, status = campaign.status.name(), "campaign changed");
        Ok(campaign)
    }

    /// Lets those be judged again whom one of `rules` put off.
    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
    ) -> EngineResult<()> {
        if rules.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let n_held = self
            .store
            .release_held(tenant, campaign, rules, now)
            .await?;
        info!(campaign_id = %campaign, n_held, "those who were put off are judged again");
        Ok(())
    }

    /// Lets those be judged again, in all campaigns of a tenant, whom one of `rules` put off.
    async fn judge_again(&self, tenant: TenantId, rules: &[Rule]) -> EngineResult<()> {
        for campaign in self.unfinished_campaigns(tenant).await? {
            self.release_held(tenant, campaign.id, rules).await?;
        }
        self.wake.notify_one();
        Ok(())
    }

    /// The tenant's campaigns in which anybody may still be called.
    async fn unfinished_campaigns(&self, tenant: TenantId) -> EngineResult<Vec<Campaign>> {
        let (filter, mut page) = (
            CampaignFilter::default(),
            PageRequest {
                limit: PAGE,
                cursor: None,
            },
        );
        let mut unfinished = Vec::new();
        loop {
            let found = self.store.list_campaigns(tenant, &filter, &page).await?;
            let campaigns = found.items.into_iter();
            unfinished.extend(campaigns.filter(|it| !it.status.is_final()));
            page.cursor = match found.next {
                Some(cursor) => Some(cursor),
                None => return Ok(unfinished),
            };
        }
    }

    /// Cancels the calls of a stopped campaign that nobody has answered yet. What is missed here,
    /// because a process ends or the store fails, is ended when it is looked up.
    async fn withdraw_unanswered(self: Arc<Self>, tenant: TenantId, campaign: CampaignId) {
        let calls = match self.open_calls(tenant, of(campaign)).await {
            Ok(calls) => calls,
            Err(error) => {
                warn!(%error, campaign_id = %campaign, "calls not withdrawn yet");
                return;
            }
        };
        for call in calls {
            if call.attempt.facts.answered_at.is_some() {
                continue;
            }
            let attempt = call.attempt.id;
            let input = Input::HangUp {
                attempt,
                by: Party::Operator,
            };
            if let Err(error) = self.handle(tenant, attempt.enrollment, &input).await {
                warn!(%error, attempt_id = %attempt, "call not withdrawn yet");
            }
        }
    }

    /// Takes back the calls of a paused campaign that wait at the carrier and do not ring yet, until
    /// there are none: a request may have been on its way (F-24).
    async fn withdraw_waiting(self: Arc<Self>, tenant: TenantId, campaign: CampaignId) {
        for _ in 0..WITHDRAWALS {
            match self.withdraw_once(tenant, campaign).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => warn!(%error, campaign_id = %campaign, "calls not withdrawn yet"),
            }
            tokio::select! {
                biased;
                () = self.stopped.cancelled() => return,
                () = self.clock.sleep(WITHDRAW_AGAIN) => {}
            }
        }
    }

    /// One round; says how many calls were or may yet be waiting at the carrier.
    async fn withdraw_once(&self, tenant: TenantId, id: CampaignId) -> EngineResult<usize> {
        let campaign = self.load_campaign(tenant, id).await?;
        if !matches!(campaign.status, CampaignStatus::Paused(_)) {
            return Ok(0);
        }
        let mut n_waiting = 0;
        for call in self.open_calls(tenant, of(id)).await? {
            match &call.attempt.state {
                AttemptState::Dialing { sid } => {
                    n_waiting += 1;
                    if let Err(error) = self.carrier.cancel(sid).await {
                        warn!(%error, call_sid = %sid, "call not withdrawn yet");
                    }
                }
                AttemptState::Reserved | AttemptState::Unknown { .. } => n_waiting += 1,
                AttemptState::Ringing { .. }
                | AttemptState::Connected { .. }
                | AttemptState::Ended { .. }
                | AttemptState::Released { .. } => {}
            }
        }
        Ok(n_waiting)
    }

    /// Every open call among those.
    pub(super) async fn open_calls(
        &self,
        tenant: TenantId,
        of: CallFilter,
    ) -> EngineResult<Vec<CallRecord>> {
        let filter = CallFilter {
            open: Some(true),
            ..of
        };
        let mut page = PageRequest {
            limit: PAGE,
            cursor: None,
        };
        let mut open = Vec::new();
        loop {
            let calls = self.store.list_calls(tenant, &filter, &page).await?;
            open.extend(calls.items);
            page.cursor = match calls.next {
                Some(cursor) => Some(cursor),
                None => return Ok(open),
            };
        }
    }

    /// Takes people out again who were added while the campaign came to its end: a completed
    /// campaign has nobody waiting.
    async fn undo_if_ended(
        &self,
        tenant: TenantId,
        id: CampaignId,
        added: &[EnrollmentId],
    ) -> EngineResult<()> {
        let campaign = self.load_campaign(tenant, id).await?;
        let Err(NotAllowed { .. }) = campaign.status.allow(CampaignAction::Enroll) else {
            return Ok(());
        };
        for enrollment in added {
            self.store.remove_enrollment(tenant, *enrollment).await?;
        }
        Ok(campaign.status.allow(CampaignAction::Enroll)?)
    }
}

/// The calls of a campaign.
fn of(campaign: CampaignId) -> CallFilter {
    CallFilter {
        campaign: Some(campaign),
        ..CallFilter::default()
    }
}

/// The rules whose settings an edit touched. One that changed nothing touches all: whoever asks again
/// may have been told of a fault.
fn touched(before: &Campaign, after: &Campaign) -> Vec<Rule> {
    let is_again = before == after;
    let (was, is) = (&before.policy, &after.policy);
    let rules = is_again || was.rules != is.rules || before.steps != after.steps;
    let numbers = is_again || was.caller_ids != is.caller_ids;
    let mut touched = Vec::new();
    if rules {
        touched.extend(Rule::OF_SETTINGS);
    }
    if numbers {
        touched.push(Rule::CallerId);
    }
    touched
}

/// The event that says where a campaign stands.
fn changed(campaign: &Campaign) -> Event {
    let status = &campaign.status;
    let kind = EventKind::Campaign {
        status: status.name().to_owned(),
        reason: status.reason(),
    };
    Event {
        tenant: campaign.tenant,
        campaign: campaign.id,
        at: campaign.updated_at,
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        caller_id::{CallerIdPool, Choice},
        campaign::tests::campaign,
    };

    #[test]
    fn an_edit_touches_the_rules_that_it_changes() {
        let before = campaign(CampaignStatus::Active);
        let mut gap = before.clone();
        gap.policy.rules.min_gap = Some(Duration::from_secs(60));
        let mut numbers = before.clone();
        numbers.policy.caller_ids = Some(CallerIdPool {
            numbers: Vec::new(),
            choice: Choice::Random,
            per_day: None,
            cooling: None,
        });
        let mut name = before.clone();
        name.name = "Winter".to_owned();
        let by_settings = Rule::OF_SETTINGS.to_vec();
        let all = [by_settings.clone(), vec![Rule::CallerId]].concat();
        assert_eq!(touched(&before, &gap), by_settings);
        assert_eq!(touched(&before, &numbers), [Rule::CallerId]);
        assert_eq!(touched(&before, &name), []);
        assert_eq!(touched(&before, &before), all);
    }
}
