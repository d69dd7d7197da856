//! A campaign's rules as they hold now, and what they need to know of a person.
//!
//! Which places are open is worked out once until the next of them opens or closes, not for every
//! person and not in every round.

use std::{
    cmp::min,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::warn;

use super::{Core, EngineResult, decide::Standing, erase};
use crate::domain::{
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
    rules::{self, RuleSet},
    window::Opening,
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
    resolved_at: Timestamp,
    pub rules: Arc<RuleSet>,
    places: Vec<(PlaceKey, Place)>,
    open: Mutex<Option<OpenPlaces>>,
}

/// What a tenant has set for all its campaigns, as far as there is anything.
#[derive(Default)]
pub(super) struct TenantWide {
    pub holidays: Holidays,
    /// What hashes of erased numbers are made with; none where nobody was erased.
    salt: Option<String>,
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
            let change = match rules::opening_of(&self.rules, place, ring, now) {
                Opening::Open { closes_at } => {
                    open.push(key.clone());
                    closes_at
                }
                Opening::Closed { opens_at } => opens_at,
            };
            changes_at = match (changes_at, change) {
                (Some(a), Some(b)) => Some(min(a, b)),
                (a, b) => a.or(b),
            };
        }
        OpenPlaces {
            places: (open.len() < self.places.len()).then_some(open),
            changes_at,
        }
    }
}

impl Core {
    /// What the tenant has set for all its campaigns.
    pub(super) async fn tenant_wide(&self, tenant: TenantId) -> EngineResult<TenantWide> {
        let kept = self.store.tenant_rules(tenant).await?;
        Ok(kept.map_or_else(TenantWide::default, |kept| TenantWide {
            holidays: kept.holidays,
            salt: Some(kept.salt),
        }))
    }

    /// The campaign's rules as they hold at `now`.
    pub(super) async fn rules_in_force(
        &self,
        campaign: &Campaign,
        holidays: &Holidays,
        now: Timestamp,
    ) -> EngineResult<Arc<RulesInForce>> {
        let known = self.known_rules(campaign.id).filter(|known| {
            known.version == campaign.version
                && known.holidays == *holidays
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
            holidays: holidays.clone(),
            resolved_at: now,
            rules: Arc::new(RuleSet::new(&campaign.policy.rules, holidays, now)),
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
        wide: &TenantWide,
        enrollment: &Enrollment,
        at: Timestamp,
        but_for: Option<AttemptId>,
    ) -> EngineResult<Standing> {
        let place = place_of(&enrollment.place, campaign);
        let since = at - rules.memory(place.region());
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
        Ok(Standing {
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
        at: attempt.reserved_at,
        kind,
        abandoned,
    }
}
