//! A campaign's rules as they hold now, and what they need to know of a person.
//!
//! Which places are open is worked out once until the next of them opens or closes, not for every
//! person and not in every round.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::warn;

use super::{Core, Engine, EngineResult, decide::Standing, erase, perform::CHECK_AGAIN};
use crate::{
    domain::{
        Timestamp,
        attempt::AttemptState,
        campaign::Campaign,
        enrollment::{CallRecord, Enrollment},
        erasure::Identity,
        holiday::Holidays,
        ids::{AttemptId, CampaignId, PlaceKey, TenantId},
        person::{PastAttempt, PastAttemptKind, Person},
        place::Place,
        quality::{self, Reception},
        register::Registers,
        rules::{self, Rule, RuleSet},
        window::Opening,
    },
    store::TenantRules,
};

/// How long a campaign's resolved rules are used before its profile is looked up anew: another
/// version of it may have come into force.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

/// The rules of the campaigns that this process looked at.
pub(super) type RulesByCampaign = Mutex<BTreeMap<CampaignId, Arc<RulesInForce>>>;

/// The rules of one campaign at one version, with the places of its people.
pub(super) struct RulesInForce {
    version: u64,
    holidays: Holidays,
    /// The tenant's copies of do-not-call registers.
    registers: Registers,
    resolved_at: Timestamp,
    pub rules: Arc<RuleSet>,
    places: Vec<(PlaceKey, Place)>,
    open: Mutex<Option<OpenPlaces>>,
}

/// Where people may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenPlaces {
    /// Those of the campaign's places that are open; none when all of them are.
    pub places: Option<Vec<PlaceKey>>,
    /// When the next of them opens or closes.
    pub changes_at: Option<Timestamp>,
}

impl RulesInForce {
    /// Where people may be called from `now` until the phone stops ringing.
    pub fn open_places(&self, campaign: &Campaign, now: Timestamp) -> OpenPlaces {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(known) if known.changes_at.is_none_or(|at| now < at) => known.clone(),
            _ => open
                .insert(self.work_out(campaign.longest_ring(), now))
                .clone(),
        }
    }

    fn work_out(&self, ring: Duration, now: Timestamp) -> OpenPlaces {
        let mut changes_at: Option<Timestamp> = None;
        let mut open = Vec::new();
        for (key, place) in &self.places {
            let asked = &self.rules.in_region(place.region()).registers;
            if !self.registers.may_call(asked, now) {
                // Only another copy of the register opens it.
                continue;
            }
            let change = match rules::opening_of(&self.rules, place, ring, now) {
                Opening::Open { closes_at } => {
                    open.push(key.clone());
                    closes_at
                }
                Opening::Closed { opens_at } => opens_at,
            };
            let stale_at = self.registers.fresh_until(asked);
            changes_at = changes_at.into_iter().chain(change).chain(stale_at).min();
        }
        OpenPlaces {
            places: (open.len() < self.places.len()).then_some(open),
            changes_at,
        }
    }
}

impl RulesInForce {
    /// What keeps everybody at a place from being called at `now`, and until when; none where they may
    /// be.
    pub fn closed_by(
        &self,
        place: &Place,
        ring: Duration,
        now: Timestamp,
    ) -> Option<(Rule, Option<Timestamp>)> {
        let asked = &self.rules.in_region(place.region()).registers;
        if !self.registers.may_call(asked, now) {
            return Some((Rule::RegisterFresh, None));
        }
        match rules::opening_of(&self.rules, place, ring, now) {
            Opening::Open { .. } => None,
            Opening::Closed { opens_at } => Some((Rule::CallingWindow, opens_at)),
        }
    }
}

impl Engine {
    /// What an operator has to know of a campaign before it stands still: copies of do-not-call
    /// registers that are growing old, or are missing. In words.
    pub async fn warnings(&self, campaign: &Campaign) -> EngineResult<Vec<String>> {
        let now = self.core.now();
        let rules = RuleSet::new(&campaign.policy.rules, &Holidays::default(), now);
        let asked = rules.registers();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.core.store.tenant_rules(campaign.tenant).await?;
        let states = kept.registers.states(asked, now);
        Ok(states.iter().filter_map(|it| it.warning(now)).collect())
    }
}

impl Core {
    /// What the tenant has set for all its campaigns.
    pub(super) async fn tenant_wide(&self, tenant: TenantId) -> EngineResult<TenantRules> {
        Ok(self.store.tenant_rules(tenant).await?)
    }

    /// The campaign's rules as they hold at `now`.
    pub(super) async fn rules_in_force(
        &self,
        campaign: &Campaign,
        wide: &TenantRules,
        now: Timestamp,
    ) -> EngineResult<Arc<RulesInForce>> {
        let known = self.known_rules(campaign.id).filter(|known| {
            known.version == campaign.version
                && known.holidays == wide.holidays
                && known.registers == wide.registers
                && now < known.resolved_at + RESOLVE_EVERY
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let keys = self.store.places(campaign.tenant, campaign.id).await?;
        let places = keys
            .into_iter()
            .map(|key| {
                let place = place_of(&key, campaign);
                (key, place)
            })
            .collect();
        let rules = Arc::new(RulesInForce {
            version: campaign.version,
            holidays: wide.holidays.clone(),
            registers: wide.registers.clone(),
            resolved_at: now,
            rules: Arc::new(RuleSet::new(&campaign.policy.rules, &wide.holidays, now)),
            places,
            open: Mutex::default(),
        });
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(campaign.id, rules.clone());
        Ok(rules)
    }

    fn known_rules(&self, campaign: CampaignId) -> Option<Arc<RulesInForce>> {
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&campaign).cloned()
    }

    /// What is known of the enrollment's person for a call at `at`; `but_for` is the attempt that is
    /// judged, if there is one.
    pub(super) async fn standing(
        &self,
        campaign: &Campaign,
        rules: Arc<RuleSet>,
        wide: &TenantRules,
        enrollment: &Enrollment,
        at: Timestamp,
        but_for: Option<AttemptId>,
    ) -> EngineResult<Standing> {
        let place = place_of(&enrollment.place, campaign);
        // Calls are found by their dial start.
        let may_be_late = self.settings.send_window + CHECK_AGAIN;
        let since = at - rules.memory(place.region()) - may_be_late;
        let tenant = enrollment.tenant;
        let Some(phone) = enrollment.phone.known() else {
            return Ok(Standing::of_nobody(rules, place));
        };
        let (contact, attempts) = tokio::try_join!(
            self.store.find_contact(tenant, enrollment.contact),
            self.store.attempts_to(tenant, phone, since),
        )?;
        let (email, consent) = contact.map_or((None, None), |it| (it.email, it.consent));
        let identity = Identity {
            phones: vec![phone.clone()],
            emails: email.into_iter().collect(),
        };
        let mut subjects = identity.subjects();
        if let Some(salt) = &wide.salt {
            subjects.extend(erase::hashes(salt, &identity));
        }
        let suppressions = self.store.suppressions_of(tenant, &subjects).await?;
        let attempts = attempts
            .iter()
            .filter(|call| Some(call.attempt.id) != but_for)
            .map(past_attempt)
            .collect();
        let asked = &rules.in_region(place.region()).registers;
        Ok(Standing {
            registers: wide.registers.of(asked),
            rules,
            place,
            person: Person {
                suppressions,
                consent,
                attempts,
            },
        })
    }
}

/// The place of a key; people whose key says nothing are where the campaign's own zone is.
pub(super) fn place_of(key: &PlaceKey, campaign: &Campaign) -> Place {
    key.as_str().parse().unwrap_or_else(|_| {
        if !key.as_str().is_empty() {
            warn!(
                key = key.as_str(),
                "a place that is not known; the campaign's zone is used"
            );
        }
        Place::unknown(&campaign.policy.rules.zone)
    })
}

fn past_attempt(call: &CallRecord) -> PastAttempt {
    let attempt = &call.attempt;
    let kind = match &attempt.state {
        AttemptState::Unknown { .. } => PastAttemptKind::Unknown,
        state if state.is_open() => PastAttemptKind::Open,
        _ => PastAttemptKind::Ended,
    };
    let abandoned = matches!(
        quality::reception(attempt),
        Some(Reception::Abandoned | Reception::Silent)
    );
    PastAttempt {
        // Held up, it may have been saved after its dial start.
        at: attempt.reserved_at.max(attempt.dial_at),
        kind,
        abandoned,
    }
}
