//! Starts and ends that were planned.

use std::{cmp::min, sync::Arc};

use tracing::{info, warn};

use crate::{
    domain::{
        Timestamp,
        campaign::{Brake, Campaign, CampaignStatus, PauseReason},
        ids::TenantId,
        schedule::{self, Action, Stage},
    },
    engine::{Core, EngineError, EngineResult},
    store::StoreError,
};

/// Starts and ends the tenant's campaigns whose time has come. Gives those that are active then,
/// oldest start first, and when the next one's time comes.
pub(super) async fn keep(
    core: &Arc<Core>,
    tenant: TenantId,
    now: Timestamp,
) -> EngineResult<(Vec<Campaign>, Timestamp)> {
    let mut next = now + core.settings.idle_wait;
    let mut has_changed = false;
    let scheduled = core.store.scheduled_campaigns(tenant).await?;
    let active = core.store.active_campaigns(tenant).await?;
    for campaign in scheduled.iter().chain(&active) {
        match keep_one(core, campaign, now).await? {
            Kept::Changed => has_changed = true,
            Kept::AsItWas(at) => next = at.map_or(next, |at| min(next, at)),
        }
    }
    let active = match has_changed {
        true => core.store.active_campaigns(tenant).await?,
        false => active,
    };
    Ok((active, next))
}

/// What became of a campaign.
enum Kept {
    /// It was saved, or somebody else changed it at that moment.
    Changed,
    /// Its next time comes then, if any.
    AsItWas(Option<Timestamp>),
}

async fn keep_one(core: &Arc<Core>, campaign: &Campaign, now: Timestamp) -> EngineResult<Kept> {
    let plan = &campaign.policy.schedule;
    let brake = |brake, detail: &str| PauseReason::Brake {
        brake,
        detail: detail.to_owned(),
    };
    let next = match schedule::due(plan, Stage::of(&campaign.status), now) {
        Action::Start => {
            info!(campaign_id = %campaign.id, "scheduled start");
            campaign.with_status(CampaignStatus::Active, now)
        }
        Action::Missed => {
            warn!(campaign_id = %campaign.id, "scheduled start missed");
            let why = "the scheduled start was missed because nothing ran at that time; resume to \
                       begin now";
            campaign.paused_for(brake(Brake::ScheduleMissed, why), now)
        }
        Action::End => {
            info!(campaign_id = %campaign.id, "scheduled end");
            let why = "the scheduled end has come; set a later one and resume to go on";
            campaign.paused_for(brake(Brake::ScheduleEnd, why), now)
        }
        Action::WaitUntil(at) => return Ok(Kept::AsItWas(Some(at))),
        Action::Nothing => return Ok(Kept::AsItWas(None)),
    };
    match core.save_campaign(next).await {
        // Somebody changed it meanwhile: the next round sees what they made of it.
        Ok(_) | Err(EngineError::Store(StoreError::Conflict { .. })) => Ok(Kept::Changed),
        Err(error) => Err(error),
    }
}
