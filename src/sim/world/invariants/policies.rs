//! What must hold because an operator or the law set it: hours, days off, suppressions, consent, caps,
//! budgets, schedules, and the numbers that calls come from.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{PAUSE_ACTS, Step, had_time_to_end, holds, is_given_up, leaving, since, stalled};
use crate::{
    domain::{Timestamp, consent::ConsentKind, ids::CampaignId, step::VoiceCall},
    sim::world::{
        ledger::{Call, Phase, Request},
        plan::{CampaignPlan, zone_of},
        scene::State,
    },
};

fn planned(state: &State, campaign: CampaignId) -> &CampaignPlan {
    let number = usize::try_from(campaign.uuid().as_u128() - 1);
    &state.plan.campaigns[number.expect("campaigns are numbered from one")]
}

// F-69, F-70
pub(super) fn hours_are_kept(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let Some(hours) = planned(state, request.campaign).hours else {
        return Ok(());
    };
    let zone = zone_of_person(request)?;
    let is_open = |at: Timestamp| {
        let local = at.to_zoned(zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
        minute.is_ok_and(|minute| hours.is_open(minute))
    };
    // The last look was shortly before, but for what held the process up since.
    let reserved_at = state.saved.attempts[&request.attempt].reserved_at;
    let allowed = PAUSE_ACTS + stalled(state, request, reserved_at - PAUSE_ACTS);
    let rings_until = |at: Timestamp| at + VoiceCall::RING.0;
    let was_open = (0..=allowed.as_secs())
        .map(|seconds| request.left_at - Duration::from_secs(seconds))
        .any(|at| is_open(at) && is_open(rings_until(at)));
    holds(was_open, || {
        let local = request.left_at.to_zoned(zone.clone());
        format!("{} is asked for at {local}", request.attempt)
    })
}

// F-71
pub(super) fn the_suppressed_are_left_alone(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let person = (request.tenant, request.to.clone());
    let Some(suppressed_at) = state.saved.suppressed.get(&person) else {
        return Ok(());
    };
    let late = since(*suppressed_at, request.left_at);
    let allowed = PAUSE_ACTS + stalled(state, request, *suppressed_at - PAUSE_ACTS);
    holds(late <= allowed, || {
        format!(
            "{} is asked for {late:?} after somebody said no",
            request.attempt
        )
    })
}

// F-74
pub(super) fn caps_hold(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    for cap in &planned(state, request.campaign).caps {
        let n_earlier = state
            .ledger
            .of_tenant
            .get(&request.tenant)
            .into_iter()
            .flatten()
            .map(|earlier| &state.ledger.requests[*earlier])
            .filter(|earlier| earlier.to == request.to)
            .filter(|earlier| !state.saved.is_released(earlier.attempt))
            .map(|earlier| &state.saved.attempts[&earlier.attempt])
            .map(|earlier| earlier.reserved_at.max(earlier.dial_at))
            .filter(|at| since(*at, request.left_at) < cap.within)
            .count();
        holds(n_earlier < cap.most as usize, || {
            format!(
                "{} is asked for after {n_earlier} within {:?}",
                request.attempt, cap.within
            )
        })?;
    }
    Ok(())
}

/// The minutes that the carrier bills so far.
fn billed(state: &State, call: &Call) -> u64 {
    let Some(answered_at) = call.answered_at else {
        return 0;
    };
    let talk = since(answered_at, call.ended_at.unwrap_or(state.now));
    let is_begun = u64::from(talk.subsec_nanos() > 0);
    (talk.as_secs() + is_begun).div_ceil(60)
}

// §7.3
pub(super) fn budgets_hold(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Audit { campaigns } = step else {
        return Ok(());
    };
    for audit in *campaigns {
        let Some(most) = planned(state, audit.id).budget.most_minutes else {
            continue;
        };
        let n_minutes: u64 = state
            .ledger
            .of_campaign
            .get(&audit.id)
            .into_iter()
            .flatten()
            .filter_map(|request| state.ledger.call_of(&state.ledger.requests[*request]))
            .filter(|call| !is_given_up(state, call))
            .map(|call| billed(state, call))
            .sum();
        holds(n_minutes <= most, || {
            format!("{n_minutes} minutes of a campaign that may use {most}")
        })?;
    }
    Ok(())
}

fn zone_of_person(request: &Request) -> Result<TimeZone, String> {
    let zone = zone_of(&request.to).ok_or("nobody lives there")?;
    TimeZone::get(zone).map_err(|error| error.to_string())
}

// §7.4
pub(super) fn days_off_are_kept(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let observes = planned(state, request.campaign).observes_holidays;
    let Some(day_off) = state.plan.day_off.filter(|_| observes) else {
        return Ok(());
    };
    let local = request.left_at.to_zoned(zone_of_person(request)?);
    holds(local.date() != day_off, || {
        format!("{} is asked for on a day off: {local}", request.attempt)
    })
}

/// How soon a call rings no more after it was answered that the person will not be called again.
const WITHDRAWN_ENDS: Duration = Duration::from_secs(3);

// F-71
pub(super) fn calls_to_the_suppressed_are_withdrawn(
    state: &State,
    step: &Step<'_>,
) -> Result<(), String> {
    let Step::Audit { .. } = step else {
        return Ok(());
    };
    for (person, (at, by)) in &state.board.withdrawn {
        let node = &state.nodes[by.node];
        let has_time = node.life == by.life
            && since(*at, state.now) > WITHDRAWN_ENDS + node.stalled_since(*at, state.now);
        let live = state.ledger.live.get(person).into_iter().flatten();
        for call in live.map(|call| &state.ledger.calls[*call]) {
            let is_unanswered = matches!(call.phase, Phase::Queued | Phase::Ringing);
            let is_left = has_time && is_unanswered && had_time_to_end(state, call);
            holds(!is_left, || {
                format!("{} still rings somebody who said no", call.sid)
            })?;
        }
    }
    Ok(())
}

// §7.4
pub(super) fn consent_is_given(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let consent = state.plan.consents.get(&request.to);
    let may = match consent {
        Some(ConsentKind::Written | ConsentKind::Express) => true,
        Some(ConsentKind::Withdrawn) => false,
        Some(ConsentKind::Implied) | None => !planned(state, request.campaign).asks_consent,
    };
    holds(may, || {
        format!("{} is asked for with consent: {consent:?}", request.attempt)
    })
}

// §7.4, F-95
pub(super) fn schedules_are_kept(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let schedule = &planned(state, request.campaign).schedule;
    let is_early = schedule.start_at.is_some_and(|at| request.left_at < at);
    holds(!is_early, || {
        format!("{} is asked for before the start", request.attempt)
    })?;
    let Some(end_at) = schedule.end_at else {
        return Ok(());
    };
    // What was given out before the end may leave as long as any request may.
    let allowed =
        PAUSE_ACTS + state.plan.settings.send_window + stalled(state, request, end_at - PAUSE_ACTS);
    let late = since(end_at, request.left_at);
    holds(late <= allowed, || {
        format!("{} is asked for {late:?} after the end", request.attempt)
    })
}

// §7.3
pub(super) fn caller_numbers_rest(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let Some(pool) = &planned(state, request.campaign).pool else {
        return Ok(());
    };
    let own = &state.saved.attempts[&request.attempt];
    holds(pool.numbers.contains(&own.from), || {
        format!("{} comes from a number of others", own.id)
    })?;
    let mut n_today = 0;
    let of_tenant = state.ledger.of_tenant.get(&request.tenant);
    for earlier in of_tenant.into_iter().flatten() {
        let earlier = &state.ledger.requests[*earlier];
        let before = &state.saved.attempts[&earlier.attempt];
        // Another campaign's call that was given out at the same moment or later goes by its own rules.
        let was_known =
            earlier.campaign == request.campaign || before.reserved_at < own.reserved_at;
        if before.from != own.from || !was_known || state.saved.is_released(before.id) {
            continue;
        }
        n_today += 1;
        let apart = own.dial_at.duration_since(before.dial_at).unsigned_abs();
        let cooling = pool.cooling.unwrap_or_default();
        holds(apart >= cooling, || {
            format!(
                "{} comes {apart:?} after {} from one number",
                own.id, before.id
            )
        })?;
    }
    holds(pool.per_day.is_none_or(|most| n_today < most), || {
        format!("{} is call {} of its number today", own.id, n_today + 1)
    })
}
