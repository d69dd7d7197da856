//! Why somebody has not been called yet, and when they may be: for one person, and summed up for a
//! campaign.
//!
//! Asks the same rules and limits that dispatch goes by. What only the dispatching process remembers
//! (a rest that the carrier asked for, ranges and numbers it refused) is known there alone.

use std::{cmp::min, collections::BTreeMap};

use super::{Core, Engine, EngineError, EngineResult};
use crate::{
    domain::{
        Timestamp,
        caller_id::{self, Pick},
        campaign::{Campaign, CampaignStatus},
        enrollment::{Enrollment, EnrollmentState, Progress},
        halt::Halt,
        ids::{CampaignId, EnrollmentId, PlaceKey, TenantId},
        pacing::{Gate, Usage},
        rules::{self, Finding, Rule, Verdict},
        window::Opening,
    },
    store::WaitingGroup,
};

/// What every rule and limit says about one enrollment at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// As it is stored.
    pub enrollment: Enrollment,
    /// When this holds.
    pub at: Timestamp,
    /// The rules of the person in the order in which they are asked, then the limits.
    pub findings: Vec<Finding>,
    /// The one that decides; none when the call may begin.
    pub decided_by: Option<Rule>,
    /// The earliest moment at which the call may begin as far as is known; none when time alone does
    /// not bring it.
    pub next_at: Option<Timestamp>,
}

/// Where a campaign's people are, and why those who wait do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The campaign as it is stored.
    pub campaign: Campaign,
    /// When this holds.
    pub at: Timestamp,
    /// The figures that the groups add up to.
    pub progress: Progress,
    /// The emergency stop in force.
    pub halt: Option<Halt>,
    /// Those who wait, by the rule or limit that keeps them; most first. They add up to all who wait.
    pub waiting: Vec<Group>,
    /// Those whom a rule ended without a call's outcome.
    pub finished_by_rule: BTreeMap<Rule, u64>,
}

/// People who wait for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The reason; none when nothing keeps them: their call begins in a moment.
    pub rule: Option<Rule>,
    /// How many.
    pub n: u64,
    /// When the first of them may be called as far as is known.
    pub next_at: Option<Timestamp>,
}

impl Engine {
    /// What every rule and limit says about calling one person now.
    pub async fn explain(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        enrollment: EnrollmentId,
    ) -> EngineResult<Explanation> {
        let core = &self.core;
        let campaign = core.load_campaign(tenant, campaign).await?;
        let enrollment = core
            .store
            .find_enrollment(tenant, enrollment)
            .await?
            .filter(|it| it.campaign == campaign.id)
            .ok_or(EngineError::NotFound { what: "contact" })?;
        let at = core.now();
        let wide = core.tenant_wide(tenant).await?;
        let rules = core.rules_in_force(&campaign, &wide.holidays, at).await?;
        let open = enrollment.open_attempt().map(|open| open.id);
        let standing = core
            .standing(&campaign, rules.rules.clone(), &wide, &enrollment, at, open)
            .await?;
        let judgement = rules::explain(
            &standing.facts(&campaign, &enrollment, campaign.longest_ring()),
            at,
        );
        let mut findings = judgement.findings().to_vec();
        findings.extend(core.limit_findings(&campaign, at).await?);
        findings.extend(core.number_findings(&campaign, &enrollment, at));
        let limit = findings
            .iter()
            .skip(judgement.findings().len())
            .find(|finding| finding.verdict != Verdict::Allowed);
        let is_over = matches!(enrollment.state, EnrollmentState::Finished { .. });
        let decided_by = judgement.decided_by().or(limit.map(|finding| finding.rule));
        Ok(Explanation {
            decided_by: behind(&enrollment.state, decided_by, &findings),
            next_at: judgement.next_at().filter(|_| !is_over).map(|at| {
                limit
                    .and_then(|limit| limit.next)
                    .map_or(at, |next| next.max(at))
            }),
            enrollment,
            at,
            findings,
        })
    }

    /// Why a campaign's people were not called yet.
    pub async fn diagnose(&self, tenant: TenantId, id: CampaignId) -> EngineResult<Diagnosis> {
        let core = &self.core;
        let campaign = core.load_campaign(tenant, id).await?;
        let at = core.now();
        let progress = core.store.progress(tenant, id).await?;
        let groups = core.store.waiting(tenant, id, at).await?;
        let wide = core.tenant_wide(tenant).await?;
        let rules = core.rules_in_force(&campaign, &wide.holidays, at).await?;
        let limits = core.limit_findings(&campaign, at).await?;
        let hours = |key: &PlaceKey| {
            let place = super::rules::place_of(key, &campaign);
            rules::opening_of(&rules.rules, &place, campaign.longest_ring(), at)
        };
        Ok(Diagnosis {
            waiting: sum_up(&groups, &campaign.status, &limits, hours),
            finished_by_rule: core.store.finished_by_rule(tenant, id).await?,
            halt: core.store.halts(tenant).await?.in_force().cloned(),
            campaign,
            at,
            progress,
        })
    }
}

/// The rule behind what decides: whom a rule ended is called no more because of it, and who is not
/// due was put off by the rule that holds them, as long as it does.
fn behind(state: &EnrollmentState, decided_by: Option<Rule>, findings: &[Finding]) -> Option<Rule> {
    match (state, decided_by) {
        (EnrollmentState::Finished { by_rule, .. }, _) => by_rule.or(decided_by),
        (EnrollmentState::Waiting { held_by, .. }, Some(Rule::Due)) => held_by
            .filter(|rule| {
                let mut held = findings.iter().filter(|it| it.verdict != Verdict::Allowed);
                held.any(|it| it.rule == *rule)
            })
            .or(decided_by),
        _ => decided_by,
    }
}

/// Those who wait by their reasons, most first.
fn sum_up(
    groups: &[WaitingGroup],
    status: &CampaignStatus,
    limits: &[Finding],
    hours: impl Fn(&PlaceKey) -> Opening,
) -> Vec<Group> {
    let mut sums: BTreeMap<Option<Rule>, Group> = BTreeMap::new();
    let mut add = |rule: Option<Rule>, n: u64, next_at: Option<Timestamp>| {
        if n == 0 {
            return;
        }
        let sum = sums.entry(rule).or_insert(Group {
            rule,
            n: 0,
            next_at: None,
        });
        sum.n += n;
        sum.next_at = match (sum.next_at, next_at) {
            (Some(a), Some(b)) => Some(min(a, b)),
            (a, b) => a.or(b),
        };
    };
    let limit = limits
        .iter()
        .find(|finding| finding.verdict != Verdict::Allowed);
    for group in groups {
        let put_off = group.held_by.unwrap_or(Rule::Due);
        add(Some(put_off), group.n - group.n_due, group.next_due_at);
        let reason = match (status, hours(&group.place), limit) {
            (CampaignStatus::Active, _, Some(limit)) if limit.rule == Rule::EmergencyStop => {
                (Some(limit.rule), None)
            }
            (CampaignStatus::Active, Opening::Closed { opens_at }, _) => {
                (Some(Rule::CallingWindow), opens_at)
            }
            (CampaignStatus::Active, _, Some(limit)) => (Some(limit.rule), limit.next),
            (CampaignStatus::Active, _, None) => (None, None),
            _ => (Some(Rule::CampaignActive), None),
        };
        add(reason.0, group.n_due, reason.1);
    }
    let mut sums: Vec<Group> = sums.into_values().collect();
    sums.sort_by_key(|group| std::cmp::Reverse(group.n));
    sums
}

impl Core {
    /// What the limits say that hold for all of a campaign's people.
    async fn limit_findings(
        &self,
        campaign: &Campaign,
        at: Timestamp,
    ) -> EngineResult<Vec<Finding>> {
        let usage = self.store.usage(campaign.tenant).await?;
        let own = usage.get(&campaign.id).copied().unwrap_or_default();
        let total = usage.values().fold(Usage::default(), |total, usage| Usage {
            n_open: total.n_open + usage.n_open,
            last_start: total.last_start.max(usage.last_start),
        });
        let mut gates = self.gates(campaign, own, at).await?;
        gates.extend(self.settings.tenant_limits.gates(total));
        let halts = self.store.halts(campaign.tenant).await?;
        let mut findings = vec![standstill(halts.in_force(), at)];
        findings.extend(gates.iter().map(|(rule, gate)| slots(*rule, gate, at)));
        findings.push(rate(&gates, at));
        let rest = self.rest_until().filter(|until| *until > at);
        findings.push(Finding::of_limit(
            Rule::CarrierRest,
            rest.is_some(),
            rest,
            BTreeMap::new(),
            at,
        ));
        Ok(findings)
    }

    /// What the limits say that depend on the person's number.
    fn number_findings(
        &self,
        campaign: &Campaign,
        enrollment: &Enrollment,
        at: Timestamp,
    ) -> [Finding; 2] {
        let rest = self.range_rests_until(enrollment, at);
        let pool = self.caller_pool(campaign);
        let usage = self.number_usage(campaign.tenant);
        let id = enrollment.next_attempt_id();
        let pick = enrollment.phone.known().map_or(Pick::None, |phone| {
            caller_id::choose(&pool, &usage, phone, id, at)
        });
        let wait = match &pick {
            Pick::Wait(until) => Some(*until),
            Pick::Number(_) | Pick::None => None,
        };
        let numbers = BTreeMap::from([("numbers", pool.numbers.len().to_string())]);
        let is_free = matches!(pick, Pick::Number(_));
        [
            Finding::of_limit(Rule::Destination, rest.is_some(), rest, BTreeMap::new(), at),
            Finding::of_limit(Rule::CallerId, !is_free, wait, numbers, at),
        ]
    }
}

/// Whether an emergency stop is in force, and whose.
fn standstill(halt: Option<&Halt>, at: Timestamp) -> Finding {
    let mut values = BTreeMap::new();
    if let Some(halt) = halt {
        values.insert("by", halt.by.clone());
        values.insert("since", halt.at.to_string());
        values.extend(halt.reason.clone().map(|reason| ("reason", reason)));
    }
    Finding::of_limit(Rule::EmergencyStop, halt.is_some(), None, values, at)
}

/// Whether there is room for another open call.
fn slots(rule: Rule, gate: &Gate, at: Timestamp) -> Finding {
    let values = BTreeMap::from([
        ("open", gate.usage.n_open.to_string()),
        ("most", gate.max_open.to_string()),
    ]);
    let is_reached = gate.usage.n_open >= gate.max_open;
    Finding::of_limit(rule, is_reached, None, values, at)
}

/// Whether another dial start keeps its distance to the last.
fn rate(gates: &[(Rule, Gate)], at: Timestamp) -> Finding {
    let next = gates
        .iter()
        .filter_map(|(_, gate)| gate.usage.last_start.map(|last| last + gate.interval))
        .max()
        .filter(|next| *next > at);
    let interval = gates.iter().map(|(_, gate)| gate.interval).max();
    let ms = interval.unwrap_or_default().as_millis();
    let values = BTreeMap::from([("intervalMs", ms.to_string())]);
    Finding::of_limit(Rule::DialRate, next.is_some(), next, values, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn group(place: &str, held_by: Option<Rule>, n: u64, n_due: u64) -> WaitingGroup {
        WaitingGroup {
            place: PlaceKey::new(place),
            held_by,
            tried: held_by.is_some(),
            n,
            n_due,
            next_due_at: (n > n_due).then(|| NOW + std::time::Duration::from_secs(60)),
        }
    }

    fn hours(key: &PlaceKey) -> Opening {
        match key.as_str() {
            "closed" => Opening::Closed {
                opens_at: Some(NOW + std::time::Duration::from_secs(3600)),
            },
            _ => Opening::Open { closes_at: None },
        }
    }

    // proves F-67
    #[test]
    fn everybody_who_waits_is_in_exactly_one_group() {
        let groups = [
            group("open", None, 50, 40),
            group("closed", None, 30, 30),
            group("open", Some(Rule::FrequencyCap), 7, 0),
            group("closed", Some(Rule::FrequencyCap), 3, 1),
        ];
        let full = slots(Rule::CampaignSlots, &Gate::of_room(10, 10), NOW);
        let free = slots(Rule::CampaignSlots, &Gate::of_room(10, 9), NOW);
        for (status, limit, expected) in [
            (
                CampaignStatus::Active,
                &full,
                vec![
                    (Some(Rule::CampaignSlots), 40),
                    (Some(Rule::CallingWindow), 31),
                    (Some(Rule::Due), 10),
                    (Some(Rule::FrequencyCap), 9),
                ],
            ),
            (
                CampaignStatus::Active,
                &free,
                vec![
                    (None, 40),
                    (Some(Rule::CallingWindow), 31),
                    (Some(Rule::Due), 10),
                    (Some(Rule::FrequencyCap), 9),
                ],
            ),
            (
                CampaignStatus::Draft,
                &free,
                vec![
                    (Some(Rule::CampaignActive), 71),
                    (Some(Rule::Due), 10),
                    (Some(Rule::FrequencyCap), 9),
                ],
            ),
        ] {
            let sums = sum_up(&groups, &status, std::slice::from_ref(limit), hours);
            let seen: Vec<_> = sums.iter().map(|sum| (sum.rule, sum.n)).collect();
            assert_eq!(seen, expected, "{status:?}");
            assert_eq!(sums.iter().map(|sum| sum.n).sum::<u64>(), 90);
        }
    }

    // proves F-07
    #[test]
    fn an_emergency_stop_comes_before_hours_and_limits() {
        let halt = Halt {
            at: NOW,
            by: "ann@example.com".to_owned(),
            reason: None,
            ends_talks: false,
        };
        let limits = [
            standstill(Some(&halt), NOW),
            slots(Rule::CampaignSlots, &Gate::of_room(1, 1), NOW),
        ];
        let groups = [group("open", None, 2, 2), group("closed", None, 3, 3)];
        let sums = sum_up(&groups, &CampaignStatus::Active, &limits, hours);
        let seen: Vec<_> = sums.iter().map(|sum| (sum.rule, sum.n)).collect();
        assert_eq!(seen, [(Some(Rule::EmergencyStop), 5)]);
        assert_eq!(limits[0].values["by"], "ann@example.com");
        assert_eq!(standstill(None, NOW).verdict, Verdict::Allowed);
    }

    #[test]
    fn a_group_says_when_the_first_of_it_may_be_called() {
        let sums = sum_up(
            &[group("closed", None, 2, 2), group("open", None, 3, 0)],
            &CampaignStatus::Active,
            &[],
            hours,
        );
        let next: Vec<_> = sums.iter().map(|sum| (sum.rule, sum.next_at)).collect();
        let seconds = |n| Some(NOW + std::time::Duration::from_secs(n));
        assert_eq!(
            next,
            [
                (Some(Rule::Due), seconds(60)),
                (Some(Rule::CallingWindow), seconds(3600)),
            ]
        );
    }
}
