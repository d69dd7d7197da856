//! What a campaign will take, from what is stored of it.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use super::{Engine, EngineResult, TenantLimits, rules::place_of};
use crate::{
    domain::{
        Timestamp,
        campaign::Campaign,
        enrollment::{Enrollment, EnrollmentState},
        forecast::{self, Estimates, Forecast, Group, Opening, Settings, Span},
        ids::{CampaignId, PlaceKey, TenantId},
        pacing::{PacingLimits, Usage},
        rules::{self, Rule, RuleSet, Verdict},
        window,
    },
    store::{CallTotals, EnrollmentFilter, PageRequest},
};

/// How many people are looked at together.
const PAGE: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");

/// How many people are looked at one by one; beyond, they are taken to be like these.
const SAMPLE: u64 = 2000;

impl Engine {
    /// What the campaign will take from now on: who will not be called and why, how many calls, until
    /// when, at what price.
    ///
    /// Who will be skipped is found by asking the rules about each person who waits, up to two thousand
    /// of them; of more, in proportion.
    pub async fn forecast(&self, tenant: TenantId, id: CampaignId) -> EngineResult<Forecast> {
        let core = &self.core;
        let campaign = core.load_campaign(tenant, id).await?;
        let now = core.now();
        let wide = core.tenant_wide(tenant).await?;
        let in_force = core.rules_in_force(&campaign, &wide.holidays, now).await?;
        let mut people = People::default();
        let filter = EnrollmentFilter {
            state: Some("waiting".to_owned()),
        };
        let mut page = PageRequest {
            limit: PAGE,
            cursor: None,
        };
        while people.n_seen < SAMPLE {
            let found = core
                .store
                .list_enrollments(tenant, id, &filter, &page)
                .await?;
            people.n_all = found.total;
            for enrollment in &found.items {
                let rules = in_force.rules.clone();
                let standing = core
                    .standing(&campaign, rules, &wide, enrollment, now, None)
                    .await?;
                let started = as_if_started(&campaign, enrollment, now);
                let facts = standing.facts(&started.0, &started.1, campaign.longest_ring());
                people.add(enrollment, &rules::judge(&facts, now));
            }
            page.cursor = found.next;
            if page.cursor.is_none() {
                break;
            }
        }
        let totals = core
            .store
            .call_totals(tenant, id, Timestamp::UNIX_EPOCH)
            .await?;
        let (slots, pacing) = within_limits(campaign.pacing, &core.settings.tenant_limits);
        let settings = Settings {
            pacing,
            slots,
            max_attempts: campaign.retry.max_attempts,
            longest_waits: longest_waits(&campaign),
            ring: campaign.longest_ring(),
            max_duration: campaign.longest_call(),
            per_minute_micro_usd: campaign.policy.budget.per_minute_micro_usd,
        };
        Ok(forecast_of(
            &campaign,
            &people,
            &in_force.rules,
            &settings,
            &estimates(&totals),
            now,
        ))
    }
}

/// The campaign and the enrollment as they would be if it ran and everybody were due.
fn as_if_started(
    campaign: &Campaign,
    enrollment: &Enrollment,
    now: Timestamp,
) -> (Campaign, Enrollment) {
    let mut enrollment = enrollment.clone();
    enrollment.state = EnrollmentState::Waiting {
        due_at: now,
        held_by: None,
    };
    let active = crate::domain::campaign::CampaignStatus::Active;
    (campaign.with_status(active, now), enrollment)
}

/// Those who wait: by place who will be called, and by rule who will not.
#[derive(Default)]
struct People {
    n_all: u64,
    n_seen: u64,
    by_place: BTreeMap<PlaceKey, u64>,
    skipped: BTreeMap<String, u64>,
}

impl People {
    fn add(&mut self, enrollment: &Enrollment, judgement: &rules::Judgement) {
        self.n_seen += 1;
        match (judgement.verdict(), judgement.decided_by()) {
            (Verdict::Never, Some(rule)) => {
                *self.skipped.entry(rule.name().to_owned()).or_default() += 1;
            }
            _ => *self.by_place.entry(enrollment.place.clone()).or_default() += 1,
        }
    }

    /// A number of those who were looked at, as a number of all.
    fn of_all(&self, n: u64) -> u64 {
        let scaled = u128::from(n) * u128::from(self.n_all) / u128::from(self.n_seen.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

fn forecast_of(
    campaign: &Campaign,
    people: &People,
    rules: &RuleSet,
    settings: &Settings,
    estimates: &Estimates,
    now: Timestamp,
) -> Forecast {
    let ring = settings.ring;
    let openings: Vec<_> = people
        .by_place
        .keys()
        .map(|key| {
            let place = place_of(key, campaign);
            move |at: Timestamp| opening(rules::opening_of(rules, &place, ring, at))
        })
        .collect();
    let groups: Vec<Group<'_>> = people
        .by_place
        .iter()
        .zip(&openings)
        .map(|((key, n), opening)| Group {
            place: key.as_str(),
            n_people: people.of_all(*n),
            opening,
        })
        .collect();
    let skipped = people
        .skipped
        .iter()
        .map(|(rule, n)| (rule.clone(), people.of_all(*n)))
        .collect();
    forecast::forecast(&groups, skipped, settings, estimates, now)
}

/// The campaign's pace where it has the tenant's limits to itself, and whose limit on open calls that
/// is.
fn within_limits(own: PacingLimits, limits: &TenantLimits) -> (Rule, PacingLimits) {
    let tenants = limits.gates(Usage::default());
    let tenants = tenants
        .into_iter()
        .map(|(rule, gate)| (rule, gate.max_open));
    let (slots, max_concurrent_calls) =
        std::iter::once((Rule::CampaignSlots, own.max_concurrent_calls))
            .chain(tenants)
            .min_by_key(|(_, most)| *most)
            .unwrap_or((Rule::CampaignSlots, own.max_concurrent_calls));
    let pacing = PacingLimits {
        max_concurrent_calls,
        calls_per_second: own.calls_per_second.min(limits.calls_per_second),
        ..own
    };
    (slots, pacing)
}

fn opening(opening: window::Opening) -> Opening {
    let (is_open, changes_at) = match opening {
        window::Opening::Open { closes_at } => (true, closes_at),
        window::Opening::Closed { opens_at } => (false, opens_at),
    };
    Opening {
        is_open,
        changes_at,
    }
}

/// What the campaign's own calls so far say of those to come.
fn estimates(totals: &CallTotals) -> Estimates {
    let answered = forecast::share_of(totals.n_answered, totals.n_calls);
    let minutes = totals.billed_minutes.checked_div(totals.n_answered);
    // A begun minute is a whole one, so the talk is up to a minute shorter than it is billed.
    let talk = answered.and(minutes).map(|minutes| Span {
        low: Duration::from_secs(60 * minutes.saturating_sub(1)),
        high: Duration::from_secs(60 * (minutes + 1)),
    });
    Estimates {
        done_share: answered,
        answered_share: answered,
        talk,
    }
}

/// The longest that one person's waits between attempts take together.
fn longest_waits(campaign: &Campaign) -> Duration {
    let rules = campaign.retry.rules.values();
    let longest = rules.filter_map(|rule| (1..=rule.count).filter_map(|n| rule.delay.nth(n)).max());
    let each = longest.max().unwrap_or_default() + campaign.retry.other_hours.unwrap_or_default();
    each * campaign.retry.max_attempts.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_on_open_calls_is_named() {
        let own = PacingLimits {
            max_concurrent_calls: 10,
            ..PacingLimits::default()
        };
        for (tenants, agents, expected) in [
            (100, None, (Rule::CampaignSlots, 10)),
            (10, Some(10), (Rule::CampaignSlots, 10)),
            (9, Some(100), (Rule::TenantSlots, 9)),
            (9, Some(3), (Rule::AgentSlots, 3)),
        ] {
            let limits = TenantLimits {
                max_concurrent_calls: tenants,
                max_conversations: agents,
                ..TenantLimits::default()
            };
            let (slots, pacing) = within_limits(own, &limits);
            assert_eq!((slots, pacing.max_concurrent_calls), expected);
        }
    }
}
