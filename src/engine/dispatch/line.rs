//! What a campaign may do at this moment.

use std::{sync::Arc, time::Duration};

use super::begin::Begun;

use crate::{
    domain::{
        Timestamp,
        budget::{self, Spent},
        campaign::{Brake, Campaign},
        ids::PlaceKey,
        pacing::{self, Gate, Usage},
        rules::Rule,
    },
    engine::{Core, EngineResult, rules::RulesInForce},
    store::TenantRules,
};

/// A campaign in the line for dial starts.
pub(super) enum Line {
    /// It has people to call.
    Ready(Ready),
    /// Nothing can begin, unless something changes, before then.
    NotBefore(Option<Timestamp>),
}

/// A campaign that has somebody to call now.
pub(super) struct Ready {
    pub campaign: Campaign,
    /// What of its own is up.
    pub own: Usage,
    /// Its rules, resolved.
    pub rules: Arc<RulesInForce>,
    /// Where people may be called now; none for everywhere.
    pub places: Option<Vec<PlaceKey>>,
    /// The limits that are its own, by name.
    limits: Vec<(Rule, Gate)>,
}

impl Line {
    /// Where `campaign` stands, of which `own` is up.
    pub async fn of(
        core: &Arc<Core>,
        campaign: Campaign,
        own: Usage,
        wide: &TenantRules,
        now: Timestamp,
    ) -> EngineResult<Self> {
        if let Some(until) = core.rest_until().filter(|until| *until > now) {
            return Ok(Self::NotBefore(Some(until)));
        }
        if let Some(until) = core.numbers_rest_until(&campaign, now).await? {
            return Ok(Self::NotBefore(Some(until)));
        }
        let rules = core.rules_in_force(&campaign, wide, now).await?;
        let open = rules.open_places(&campaign, now);
        if open.places.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Self::NotBefore(open.changes_at));
        }
        let Some(limits) = core.own_limits(&campaign, own, now).await? else {
            return Ok(Self::NotBefore(None));
        };
        let ready = Ready {
            campaign,
            own,
            rules,
            places: open.places,
            limits,
        };
        match ready.next_due(core).await? {
            Some(due) if due <= now => Ok(Self::Ready(ready)),
            later => Ok(Self::NotBefore(
                later.into_iter().chain(open.changes_at).min(),
            )),
        }
    }
}

impl Ready {
    /// Its own limits.
    pub fn gates(&self) -> Vec<Gate> {
        self.gates_after(None)
    }

    /// Its own limits, with what began in its turn.
    pub fn gates_after(&self, begun: Option<&Begun>) -> Vec<Gate> {
        let (n, last_start) = begun.map_or((0, None), |begun| (begun.n, begun.last_start));
        let gates = self.limits.iter().map(|(_, gate)| Gate {
            usage: gate.usage.after(n, last_start),
            ..*gate
        });
        gates.collect()
    }

    /// How many calls its own limits let it begin within `horizon`.
    pub fn n_wanted(&self, horizon: Duration, now: Timestamp) -> u32 {
        let starts = pacing::allow(&self.gates(), now, horizon, super::MAX_STARTS);
        u32::try_from(starts.len()).unwrap_or(u32::MAX)
    }

    /// When the next of those who may be called at this time of day is due.
    pub async fn next_due(&self, core: &Core) -> EngineResult<Option<Timestamp>> {
        let (tenant, id) = (self.campaign.tenant, self.campaign.id);
        Ok(core
            .store
            .next_due(tenant, id, self.places.as_deref())
            .await?)
    }
}

impl Core {
    /// The limits that a campaign sets itself, with what is used of them; none when its budget is
    /// used up, which pauses it.
    async fn own_limits(
        &self,
        campaign: &Campaign,
        own: Usage,
        now: Timestamp,
    ) -> EngineResult<Option<Vec<(Rule, Gate)>>> {
        if own.n_open == 0
            && self
                .budget_room(campaign, own)
                .await?
                .is_some_and(|room| room.is_exhausted)
        {
            let detail = "the campaign's budget is used up: another call could exceed it";
            self.brake(campaign, Brake::Budget, detail.to_owned()).await;
            return Ok(None);
        }
        self.gates(campaign, own, now).await.map(Some)
    }

    /// The limits that a campaign sets itself, with what is used of them.
    pub(in crate::engine) async fn gates(
        &self,
        campaign: &Campaign,
        own: Usage,
        now: Timestamp,
    ) -> EngineResult<Vec<(Rule, Gate)>> {
        let active_for = campaign
            .active_since
            .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
            .unwrap_or_default();
        let mut limits = vec![(
            Rule::CampaignSlots,
            Gate::ramping(&campaign.pacing, own, active_for),
        )];
        if let Some(most) = self.caution(campaign.id) {
            limits.push((Rule::AgentCaution, Gate::of_room(most, own.n_open)));
        }
        if let Some(room) = self.budget_room(campaign, own).await? {
            limits.push((Rule::Budget, room.gate(own.n_open)));
        }
        Ok(limits)
    }

    /// What the campaign's budget leaves; none without a budget.
    async fn budget_room(
        &self,
        campaign: &Campaign,
        own: Usage,
    ) -> EngineResult<Option<budget::Room>> {
        let budget = &campaign.policy.budget;
        if !budget.limits() {
            return Ok(None);
        }
        // After `own` was counted: a call that ended in between counts twice, never not at all.
        let totals = self
            .store
            .call_totals(campaign.tenant, campaign.id, Timestamp::UNIX_EPOCH)
            .await?;
        let spent = Spent {
            n_minutes: totals.billed_minutes,
            n_open: own.n_open,
        };
        Ok(Some(budget::room(budget, &spent, campaign.longest_call())))
    }
}
