//! What must hold, one function each, asked after every step of a world.
//!
//! They read the carrier's ledger and what was saved, taken down at the moment of the write. To add
//! one, write a function and put it into [`INVARIANTS`]; for something new that happens, add a [`Step`].

mod policies;

use std::{collections::BTreeMap, time::Duration};

use super::{
    ledger::{Answer, Call, CampaignLife, Phase, Request},
    plan::BEGINNING,
    scene::State,
};
use crate::{
    domain::{
        Timestamp,
        attempt::{AttemptState, ReleaseReason},
        campaign::{Campaign, CampaignStatus},
        enrollment::{Enrollment, EnrollmentState, Progress},
        event::StoredEvent,
        halt::HaltScope,
        ids::{CampaignId, TenantId},
        outcome::{FaultClass, Outcome, RetryKind},
        pacing::{PacingLimits, Usage},
        signal::CallEnd,
        suppression::{Subject, Suppression},
    },
    store::Commit,
};

/// Something that just happened, or is about to be taken down.
pub enum Step<'a> {
    /// A process sends a request for a call; it is in the ledger, and not yet among the others.
    RequestLeaves {
        /// Which.
        request: usize,
    },
    /// The carrier has made a call.
    CallMade {
        /// Which.
        call: usize,
    },
    /// An enrollment was saved.
    Saved {
        /// With what.
        commit: &'a Commit,
    },
    /// A campaign was saved.
    CampaignSaved {
        /// As it is now.
        campaign: &'a Campaign,
    },
    /// People were put on a list of those who must not be called.
    Suppressed {
        /// With which entries.
        entries: &'a [Suppression],
    },
    /// An emergency stop came into force, or was lifted.
    Halted {
        /// For whom.
        scope: HaltScope,
        /// Whether it is in force now.
        is_in_force: bool,
    },
    /// An agent is about to join a call.
    TalkBegins {
        /// Which.
        call: usize,
    },
    /// The auditors look at the store.
    Audit {
        /// What it says of each campaign.
        campaigns: &'a [CampaignAudit],
    },
    /// Everything healed long ago, and the engine was closed.
    End {
        /// What the store says at last.
        last: &'a LastLook,
    },
}

/// What the store says of a campaign.
pub struct CampaignAudit {
    /// Which.
    pub id: CampaignId,
    /// Its figures.
    pub progress: Progress,
    /// What is up.
    pub usage: Usage,
    /// What its log gained since the last look.
    pub events: Vec<StoredEvent>,
    /// Up to which number the log was read before.
    pub last_seq: u64,
}

/// What the store says at the end of a world.
pub struct LastLook {
    /// Signals that nobody processed.
    pub n_unsettled: usize,
    /// Tenants whose lease is still held.
    pub held: Vec<TenantId>,
    /// How long the world had to come to its end and did not.
    pub stuck: Option<String>,
}

type Invariant = fn(&State, &Step<'_>) -> Result<(), String>;

/// All that must hold.
const INVARIANTS: &[(&str, Invariant)] = &[
    ("one call per attempt", one_call_per_attempt),
    ("intent is saved before the act", intent_is_saved_first),
    ("one open attempt", one_open_attempt),
    ("one live call per person", one_live_call_per_person),
    ("attempts keep their budget", attempts_keep_their_budget),
    ("retries follow the policy", retries_follow_the_policy),
    ("unknown is asked about", unknown_is_asked_about),
    ("limits hold", limits_hold),
    ("starts keep their distance", starts_keep_their_distance),
    ("starts keep their rate", starts_keep_their_rate),
    ("no dial unless active", no_dial_unless_active),
    ("no dial while halted", no_dial_while_halted),
    ("hours are kept", policies::hours_are_kept),
    ("days off are kept", policies::days_off_are_kept),
    (
        "the suppressed are left alone",
        policies::the_suppressed_are_left_alone,
    ),
    (
        "calls to the suppressed are withdrawn",
        policies::calls_to_the_suppressed_are_withdrawn,
    ),
    ("consent is given", policies::consent_is_given),
    ("caps hold", policies::caps_hold),
    ("budgets hold", policies::budgets_hold),
    ("schedules are kept", policies::schedules_are_kept),
    ("caller numbers rest", policies::caller_numbers_rest),
    ("final states absorb", final_states_absorb),
    ("states never go back", states_never_go_back),
    ("attempts are counted once", attempts_are_counted_once),
    ("completed means completed", completed_means_completed),
    ("no talk in a call given up", no_talk_in_a_call_given_up),
    ("late calls are ended", late_calls_are_ended),
    ("a hang-up ends the call", a_hang_up_ends_the_call),
    ("figures equal a recount", figures_equal_a_recount),
    ("logs rise without gaps", logs_rise_without_gaps),
    ("everything ends", everything_ends),
    ("calls and attempts match", calls_and_attempts_match),
];

/// How soon a pause acts.
const PAUSE_ACTS: Duration = Duration::from_millis(1_000);

/// How soon a call that nobody wants any more is ended after its first sign.
const UNWANTED_ENDS: Duration = Duration::from_secs(10);

/// Asks every invariant, then takes down what happened.
pub fn check(state: &mut State, step: &Step<'_>) -> Result<(), String> {
    for (name, invariant) in INVARIANTS {
        invariant(state, step).map_err(|what| format!("{name}: {what}"))?;
    }
    take_down(state, step);
    Ok(())
}

fn take_down(state: &mut State, step: &Step<'_>) {
    match step {
        Step::Saved { commit } => {
            let attempt = commit.attempt.as_ref();
            state.saved.save(&commit.enrollment, attempt);
            if let Some(attempt) = attempt {
                state.note(|| format!("saved {} as {:?}", attempt.id, attempt.state));
                let is_up = state
                    .ledger
                    .of_attempt
                    .get(&attempt.id)
                    .and_then(|request| state.ledger.call_of(&state.ledger.requests[*request]))
                    .is_some_and(|call| !call.phase.is_over());
                match attempt.state {
                    AttemptState::Released { .. } => state.ledger.frees(attempt.id),
                    AttemptState::Ended { .. } if !is_up => state.ledger.frees(attempt.id),
                    _ => {}
                }
            }
        }
        Step::CampaignSaved { campaign } => {
            let now = state.now;
            state.note(|| format!("saved {} as {}", campaign.id, campaign.status.name()));
            match state.saved.campaigns.get_mut(&campaign.id) {
                Some(life) => life.save(campaign, now),
                None => {
                    let life = CampaignLife::new((*campaign).clone(), now);
                    state.saved.campaigns.insert(campaign.id, life);
                }
            }
        }
        Step::Suppressed { entries } => {
            let now = state.now;
            for entry in *entries {
                if let Subject::Phone(phone) = &entry.subject {
                    let person = (entry.tenant, phone.clone());
                    state.saved.suppressed.entry(person).or_insert(now);
                }
            }
        }
        Step::Halted { scope, is_in_force } => {
            let now = state.now;
            if *is_in_force {
                state.totals.n_halts += 1;
                state.note(|| "an emergency stop is in force".to_owned());
                state.saved.halted.entry(*scope).or_insert(now);
            } else {
                state.note(|| "the emergency stop is lifted".to_owned());
                state.saved.halted.remove(scope);
            }
        }
        Step::RequestLeaves { .. }
        | Step::CallMade { .. }
        | Step::TalkBegins { .. }
        | Step::Audit { .. }
        | Step::End { .. } => {}
    }
}

fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(earlier)).unwrap_or_default()
}

fn leaving<'a>(state: &'a State, step: &Step<'_>) -> Option<&'a Request> {
    match step {
        Step::RequestLeaves { request } => Some(&state.ledger.requests[*request]),
        _ => None,
    }
}

fn life<'a>(state: &'a State, request: &Request) -> &'a CampaignLife {
    &state.saved.campaigns[&request.campaign]
}

/// How long the sender of a request stood still since `from`.
fn stalled(state: &State, request: &Request, from: Timestamp) -> Duration {
    state.nodes[request.sender.node].stalled_since(from, state.now)
}

// §7.1, F-01, F-03
fn one_call_per_attempt(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    holds(
        !state.ledger.of_attempt.contains_key(&request.attempt),
        || format!("a second request leaves for {}", request.attempt),
    )
}

// F-91, F-92
fn intent_is_saved_first(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let enrollment = &state.saved.enrollments[&request.attempt.enrollment];
    holds(enrollment.has_open(request.attempt), || {
        format!("{} is asked for and is not saved as open", request.attempt)
    })
}

// §7.1, F-01, F-16
fn one_open_attempt(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Saved { commit } = step else {
        return Ok(());
    };
    let next = &commit.enrollment;
    let Some(open) = next.open_attempt() else {
        return Ok(());
    };
    let before = &state.saved.enrollments[&next.id];
    match before.open_attempt() {
        Some(was) => holds(was.id == open.id, || {
            format!("{} is opened while {} is open", open.id, was.id)
        })?,
        None => holds(open.id.number == before.n_attempts + 1, || {
            format!("{} is opened after {} attempts", open.id, before.n_attempts)
        })?,
    }
    let person = (next.tenant, next.phone.clone());
    let others = state.saved.open.get(&person).into_iter().flatten();
    let n_others = others.filter(|id| **id != next.id).count();
    holds(n_others == 0, || {
        format!(
            "{} is opened while the person is in a call elsewhere",
            open.id
        )
    })
}

// §7.1, F-01, F-02, F-04
fn one_live_call_per_person(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::CallMade { call } = step else {
        return Ok(());
    };
    let call = &state.ledger.calls[*call];
    let request = &state.ledger.requests[call.request];
    let person = (request.tenant, request.to.clone());
    let n_live = state.ledger.live.get(&person).map_or(0, Vec::len);
    holds(n_live <= 1, || {
        format!("{} rings a person who has {} calls", call.sid, n_live)
    })
}

/// Whether a request became a call that was not found in time and so is not counted, or none.
fn counts(state: &State, request: &Request) -> bool {
    let has_result = match state.ledger.call_of(request) {
        // Nobody was reached; where an operator meant this contact, that was the last attempt.
        Some(call) => call.phase != Phase::Over(CallEnd::Canceled),
        None => request.answer == Answer::NumberRefused,
    };
    has_result && !state.saved.is_released(request.attempt)
}

/// Whether a commit gives an attempt back that had ended: its number was refused, and it was the
/// account that the carrier refused (F-23).
fn gives_back(state: &State, commit: &Commit) -> bool {
    let Some(attempt) = &commit.attempt else {
        return false;
    };
    let was_refused = state.saved.attempt(attempt.id).is_some_and(|was| {
        matches!(&was.state, AttemptState::Ended { sid: None, outcome: Outcome::Failed(fault), .. }
            if fault.class == FaultClass::Number)
    });
    let is_given_back = matches!(
        attempt.state,
        AttemptState::Released {
            why: ReleaseReason::Refused(_),
            ..
        }
    );
    was_refused && is_given_back
}

/// Whether a commit ends a call that was taken back before anybody answered, so that the contact is
/// still to be called (F-24).
fn is_withdrawn(commit: &Commit) -> bool {
    let is_waiting = matches!(commit.enrollment.state, EnrollmentState::Waiting { .. });
    let outcome = commit
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.state.outcome());
    is_waiting && outcome == Some(&Outcome::Canceled)
}

/// Whether the attempt was given up before anybody knew of a call.
fn is_given_up(state: &State, call: &Call) -> bool {
    state.saved.attempt(call.attempt).is_some_and(|attempt| {
        matches!(
            attempt.state,
            AttemptState::Released { .. } | AttemptState::Ended { sid: None, .. }
        )
    })
}

// §7.2, F-12
fn attempts_keep_their_budget(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let max = life(state, request).campaign.retry.max_attempts;
    let earlier = state.ledger.earlier(request.attempt.enrollment);
    let n_counted = earlier.filter(|earlier| counts(state, earlier)).count();
    holds(n_counted < max as usize, || {
        format!(
            "{} is asked for after {n_counted} of {max} attempts",
            request.attempt
        )
    })
}

/// What the policy makes of how a call ended.
fn kind_of(call: &Call) -> Option<RetryKind> {
    match &call.phase {
        Phase::Over(CallEnd::Busy) => Some(RetryKind::Busy),
        Phase::Over(CallEnd::NoAnswer) => Some(RetryKind::NoAnswer),
        Phase::Over(CallEnd::Failed(fault)) => Outcome::Failed(fault.clone()).retry_kind(),
        Phase::Over(CallEnd::Completed | CallEnd::Canceled)
        | Phase::Queued
        | Phase::Ringing
        | Phase::Live => None,
    }
}

// §7.2, F-12, F-13
fn retries_follow_the_policy(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let campaign = &life(state, request).campaign;
    let earlier: Vec<&Call> = state
        .ledger
        .earlier(request.attempt.enrollment)
        .filter(|earlier| counts(state, earlier))
        .filter_map(|earlier| state.ledger.call_of(earlier))
        .collect();
    let n_talks = earlier.iter().filter(|call| call.answered_at.is_some());
    holds(n_talks.count() < campaign.steps.len(), || {
        format!(
            "{} is asked for after every step was answered",
            request.attempt
        )
    })?;
    let Some(last) = earlier.last() else {
        return Ok(());
    };
    let Some(ended_at) = last.ended_at else {
        return Err(format!(
            "{} is asked for while {} is up",
            request.attempt, last.sid
        ));
    };
    if last.answered_at.is_some() {
        return Ok(());
    }
    let rule = kind_of(last).and_then(|kind| Some((kind, campaign.retry.rules.get(&kind)?)));
    let Some((kind, rule)) = rule else {
        return Err(format!(
            "{} is asked for after {:?}",
            request.attempt, last.phase
        ));
    };
    // What comes after an answered call is another step, with counts of its own.
    let in_step = earlier
        .iter()
        .rev()
        .take_while(|call| call.answered_at.is_none());
    let n_of_kind = in_step.filter(|call| kind_of(call) == Some(kind)).count();
    holds(n_of_kind <= rule.count as usize, || {
        format!(
            "{} is asked for after {n_of_kind} times {kind:?}",
            request.attempt
        )
    })?;
    let waited = since(ended_at, request.left_at);
    let delay = u32::try_from(n_of_kind)
        .ok()
        .and_then(|n| rule.delay.nth(n))
        .unwrap_or(Duration::MAX);
    holds(waited >= delay.mul_f64(0.899), || {
        format!("{} is asked for {waited:?} after {kind:?}", request.attempt)
    })
}

// §7.2, F-02, F-03
fn unknown_is_asked_about(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let earlier = state.ledger.earlier(request.attempt.enrollment).next_back();
    let Some(last) = earlier.filter(|last| matches!(last.answer, Answer::None | Answer::Unknown))
    else {
        return Ok(());
    };
    if !state.saved.is_released(last.attempt) {
        // Its call was found, and came to an end.
        return Ok(());
    }
    let timing = &state.plan.settings.timing;
    let looks: Vec<_> = last
        .unknown_at
        .iter()
        .filter(|at| **at > last.left_at)
        .collect();
    let (Some(first), Some(second)) = (looks.first(), looks.last()) else {
        return Err(format!(
            "{} was given up and never asked about",
            last.attempt
        ));
    };
    holds(since(**first, **second) >= timing.look, || {
        format!(
            "{} was given up after one look, or two at once",
            last.attempt
        )
    })?;
    let given_up = match &state.saved.attempts[&last.attempt].state {
        AttemptState::Released { at, .. } => *at,
        _ => **second,
    };
    let waited = since(given_up, request.left_at);
    holds(waited >= timing.unplaced_gap, || {
        format!(
            "{} is asked for {waited:?} after one that was given up",
            request.attempt
        )
    })
}

// §7.3, F-08, F-09
fn limits_hold(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    // A limit acts when the intent is saved.
    let reserved_at = state.saved.attempts[&request.attempt].reserved_at;
    let from = reserved_at - PAUSE_ACTS - stalled(state, request, BEGINNING);
    let limit = life(state, request)
        .limits_since(from)
        .map(|limits| limits.max_concurrent_calls)
        .max()
        .unwrap_or_default() as usize;
    let n_up = 1 + state.ledger.n_up(request.tenant, Some(request.campaign));
    holds(n_up <= limit, || {
        format!("{n_up} calls of a campaign that may have {limit}")
    })?;
    let limits = &state.plan.settings.tenant_limits;
    let agents = limits.max_conversations.unwrap_or(u32::MAX);
    let limit = limits.max_concurrent_calls.min(agents) as usize;
    let n_up = 1 + state.ledger.n_up(request.tenant, None);
    holds(n_up <= limit, || {
        format!("{n_up} calls of a tenant that may have {limit}")
    })
}

// §7.3, F-11
fn starts_keep_their_distance(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let earlier = state.ledger.of_campaign.get(&request.campaign);
    let Some(last) = earlier.and_then(|all| all.last()) else {
        return Ok(());
    };
    let last = &state.ledger.requests[*last];
    let distance = since(last.left_at, request.left_at);
    let from = request.left_at - PAUSE_ACTS - stalled(state, request, BEGINNING);
    let delays = life(state, request).limits_since(from);
    let delay = delays.map(|limits| limits.call_delay).min();
    holds(distance >= delay.unwrap_or_default(), || {
        format!("two requests leave {distance:?} apart and {delay:?} is the least")
    })
}

// §7.3, F-11
fn starts_keep_their_rate(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    // In a second one more than the rate may leave, never two; over ten they even out, but for a
    // second's worth that was late before and is made up for.
    for (seconds, made_up) in [(1, 0.0), (10, 1.0)] {
        let window = Duration::from_secs(seconds);
        let from = request.left_at - window - PAUSE_ACTS - stalled(state, request, BEGINNING);
        let life = life(state, request);
        let active_for = life.active_for(from, request.left_at);
        let rate = life
            .limits_since(from)
            .map(|limits| highest_rate(limits, active_for))
            .fold(0.0, f64::max);
        let own = state.ledger.of_campaign.get(&request.campaign);
        at_most(state, request, own, (window, made_up), rate)?;
        let rate = state.plan.settings.tenant_limits.calls_per_second;
        let own = state.ledger.of_tenant.get(&request.tenant);
        at_most(state, request, own, (window, made_up), rate.per_second())?;
    }
    Ok(())
}

/// The rate that limits have risen to, per second.
fn highest_rate(limits: &PacingLimits, active_for: Option<Duration>) -> f64 {
    let set = limits.calls_per_second.per_second();
    let Some((ramp, active_for)) = limits.ramp.zip(active_for) else {
        return set;
    };
    let from = ramp.from.per_second();
    let done = active_for.as_secs_f64() / ramp.over.as_secs_f64();
    if from < set && done < 1.0 {
        from + (set - from) * done
    } else {
        set
    }
}

fn at_most(
    state: &State,
    request: &Request,
    earlier: Option<&Vec<usize>>,
    (window, made_up): (Duration, f64),
    rate: f64,
) -> Result<(), String> {
    let within = |earlier: &&usize| {
        since(state.ledger.requests[**earlier].left_at, request.left_at) < window
    };
    let n_left = 1 + earlier.map_or(0, |all| all.iter().rev().take_while(within).count());
    let most = (rate * (window.as_secs_f64() + made_up)).ceil() + 1.0;
    holds(n_left as f64 <= most, || {
        format!("{n_left} requests leave within {window:?} and the rate is {rate}")
    })
}

// §7.4, F-05, F-07
fn no_dial_unless_active(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    let Some(active_until) = life(state, request).active_until(request.left_at) else {
        return Err(format!("{} is asked for before the start", request.attempt));
    };
    let late = since(active_until, request.left_at);
    let allowed = PAUSE_ACTS + stalled(state, request, active_until - PAUSE_ACTS);
    holds(late <= allowed, || {
        format!(
            "{} is asked for {late:?} after the campaign stood still",
            request.attempt
        )
    })
}

// F-07
fn no_dial_while_halted(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Some(request) = leaving(state, step) else {
        return Ok(());
    };
    for scope in [HaltScope::Tenant(request.tenant), HaltScope::Installation] {
        let Some(halted_at) = state.saved.halted.get(&scope) else {
            continue;
        };
        let late = since(*halted_at, request.left_at);
        let allowed = PAUSE_ACTS + stalled(state, request, *halted_at - PAUSE_ACTS);
        holds(late <= allowed, || {
            format!(
                "{} is asked for {late:?} after an emergency stop",
                request.attempt
            )
        })?;
    }
    Ok(())
}

// §7.6, F-18, F-84
fn final_states_absorb(state: &State, step: &Step<'_>) -> Result<(), String> {
    match step {
        Step::Saved { commit } => {
            let before = &state.saved.enrollments[&commit.enrollment.id];
            let was_finished = matches!(before.state, EnrollmentState::Finished { .. });
            let is_finished = matches!(commit.enrollment.state, EnrollmentState::Finished { .. });
            let may_go_on = !was_finished || gives_back(state, commit);
            holds(may_go_on || is_finished, || {
                format!(
                    "{} was finished and is {}",
                    before.id,
                    commit.enrollment.state.name()
                )
            })
        }
        Step::CampaignSaved { campaign } => {
            let Some(before) = state.saved.campaigns.get(&campaign.id) else {
                return Ok(());
            };
            let was = &before.campaign.status;
            holds(!was.is_final() || *was == campaign.status, || {
                format!(
                    "a campaign was {} and is {}",
                    was.name(),
                    campaign.status.name()
                )
            })
        }
        _ => Ok(()),
    }
}

fn rank(state: &AttemptState) -> u8 {
    match state {
        AttemptState::Reserved => 0,
        AttemptState::Unknown { .. } => 1,
        AttemptState::Dialing { .. } => 2,
        AttemptState::Ringing { .. } => 3,
        AttemptState::Connected { .. } => 4,
        AttemptState::Ended { .. } => 5,
        AttemptState::Released { .. } => 6,
    }
}

// §7.6, F-18, F-19, F-20
fn states_never_go_back(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Saved { commit } = step else {
        return Ok(());
    };
    let Some(attempt) = &commit.attempt else {
        return Ok(());
    };
    let Some(before) = state.saved.attempt(attempt.id) else {
        return holds(attempt.state == AttemptState::Reserved, || {
            format!("{} begins as {}", attempt.id, attempt.state.name())
        });
    };
    let (was, is) = (rank(&before.state), rank(&attempt.state));
    let is_final = was >= rank_of_ended();
    let fits = match is_final {
        true => is == was || gives_back(state, commit),
        false => is >= was,
    };
    holds(fits, || {
        format!(
            "{} goes from {} to {}",
            attempt.id,
            before.state.name(),
            attempt.state.name()
        )
    })?;
    // A call that was named once keeps its name, and is never taken for none.
    let (named, now_named) = (before.state.sid(), attempt.state.sid());
    holds(named.is_none() || named == now_named, || {
        format!("{} was {named:?} and is {now_named:?}", attempt.id)
    })
}

fn rank_of_ended() -> u8 {
    5
}

// §7.6, F-12, F-18
fn attempts_are_counted_once(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Saved { commit } = step else {
        return Ok(());
    };
    let next = &commit.enrollment;
    let before = &state.saved.enrollments[&next.id];
    let ends = commit.attempt.as_ref().is_some_and(|attempt| {
        matches!(attempt.state, AttemptState::Ended { .. })
            && state
                .saved
                .attempt(attempt.id)
                .is_none_or(|was| was.state.is_open())
    });
    let counts = ends && !is_withdrawn(commit);
    let expected =
        (before.n_counted + u32::from(counts)).saturating_sub(gives_back(state, commit).into());
    holds(next.n_counted == expected, || {
        format!(
            "{} counts {} attempts and has {expected}",
            next.id, next.n_counted
        )
    })?;
    let opens = before.open_attempt().is_none() && next.open_attempt().is_some();
    let expected = before.n_attempts + u32::from(opens);
    holds(next.n_attempts == expected, || {
        format!(
            "{} says {} attempts and has {expected}",
            next.id, next.n_attempts
        )
    })
}

// §7.5, F-14
fn completed_means_completed(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::CampaignSaved { campaign } = step else {
        return Ok(());
    };
    let is_completed = campaign.status == CampaignStatus::Completed;
    holds(
        !is_completed || state.saved.all_finished(campaign.id),
        || format!("{} is completed with people left", campaign.id),
    )
}

// F-04, F-20
fn no_talk_in_a_call_given_up(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::TalkBegins { call } = step else {
        return Ok(());
    };
    let call = &state.ledger.calls[*call];
    holds(!state.saved.is_released(call.attempt), || {
        format!("an agent joins {}, whose attempt was given up", call.sid)
    })
}

/// Whether the process that first heard of a call is still the same and had nothing in its way.
fn had_time_to_end(state: &State, call: &Call) -> bool {
    let Some((told_at, by)) = call.told_at else {
        return false;
    };
    let node = &state.nodes[by.node];
    node.life == by.life
        && state.faults.question_fails == 0.0
        && state.faults.store_fails == 0.0
        && state.faults.store_answer_lost == 0.0
        && since(told_at, state.now) > UNWANTED_ENDS + node.stalled_since(told_at, state.now)
}

// F-04
fn late_calls_are_ended(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Audit { .. } = step else {
        return Ok(());
    };
    let live = state.ledger.live.values().flatten();
    for call in live.map(|call| &state.ledger.calls[*call]) {
        let is_late = is_given_up(state, call) && had_time_to_end(state, call);
        holds(!is_late, || {
            format!("{} is up, and its attempt was given up", call.sid)
        })?;
    }
    Ok(())
}

// F-07, F-25
fn a_hang_up_ends_the_call(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Audit { .. } = step else {
        return Ok(());
    };
    let hung_up = state.board.hung_up.iter();
    for (attempt, at) in hung_up {
        let Some(request) = state.ledger.of_attempt.get(attempt) else {
            continue;
        };
        let Some(call) = state.ledger.call_of(&state.ledger.requests[*request]) else {
            continue;
        };
        let has_time = had_time_to_end(state, call) && since(*at, state.now) > UNWANTED_ENDS * 3;
        holds(call.phase.is_over() || !has_time, || {
            format!("{} is up long after it was hung up", call.sid)
        })?;
    }
    Ok(())
}

// §7.8
fn figures_equal_a_recount(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Audit { campaigns } = step else {
        return Ok(());
    };
    for audit in *campaigns {
        let recounted = recount(state, audit.id);
        let said = Progress {
            next_due_at: None,
            ..audit.progress.clone()
        };
        holds(said == recounted, || {
            format!("the store says {said:?} and there are {recounted:?}")
        })?;
        holds(u64::from(audit.usage.n_open) == recounted.n_open, || {
            format!(
                "the store says {:?} and {} are open",
                audit.usage, recounted.n_open
            )
        })?;
    }
    Ok(())
}

fn recount(state: &State, campaign: CampaignId) -> Progress {
    let mut progress = Progress::default();
    for enrollment in state.saved.of(campaign) {
        progress.n_enrolled += 1;
        match &enrollment.state {
            EnrollmentState::Waiting { .. } if enrollment.n_attempts == 0 => {
                progress.n_untried += 1;
            }
            EnrollmentState::Waiting { .. } => progress.n_retrying += 1,
            EnrollmentState::Open { attempt, .. } => {
                progress.n_open += 1;
                let is_connected = matches!(attempt.state, AttemptState::Connected { .. });
                progress.n_connected += u64::from(is_connected);
            }
            EnrollmentState::Finished { outcome, .. } => {
                progress.n_finished += 1;
                let name = outcome.as_ref().map_or("none", Outcome::name);
                *progress
                    .finished_by_outcome
                    .entry(name.to_owned())
                    .or_default() += 1;
            }
        }
        progress.n_calls += attempts_of(state, enrollment)
            .filter(|attempt| attempt.state.sid().is_some())
            .count() as u64;
    }
    progress
}

fn attempts_of<'a>(
    state: &'a State,
    enrollment: &Enrollment,
) -> impl Iterator<Item = &'a crate::domain::attempt::Attempt> {
    let id = |number| crate::domain::ids::AttemptId {
        enrollment: enrollment.id,
        number,
    };
    state
        .saved
        .attempts
        .range(id(0)..=id(u32::MAX))
        .map(|(_, attempt)| attempt)
}

// §7.8, F-61
fn logs_rise_without_gaps(_: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::Audit { campaigns } = step else {
        return Ok(());
    };
    for audit in *campaigns {
        let rises = (audit.last_seq + 1..)
            .zip(&audit.events)
            .all(|(seq, stored)| stored.seq == seq);
        holds(rises, || {
            format!("the log of {} has a gap after {}", audit.id, audit.last_seq)
        })?;
    }
    Ok(())
}

// §7.5
fn everything_ends(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::End { last } = step else {
        return Ok(());
    };
    if let Some(stuck) = &last.stuck {
        return Err(stuck.clone());
    }
    holds(last.n_unsettled == 0, || {
        format!("{} signals are not processed", last.n_unsettled)
    })?;
    holds(last.held.is_empty(), || {
        format!("leases are held: {:?}", last.held)
    })?;
    for life in state.saved.campaigns.values() {
        let campaign = &life.campaign;
        holds(campaign.status.is_final(), || {
            format!("{} is {}", campaign.id, campaign.status.name())
        })?;
        let is_left = |enrollment: &Enrollment| match campaign.status {
            CampaignStatus::Completed => {
                !matches!(enrollment.state, EnrollmentState::Finished { .. })
            }
            _ => enrollment.open_attempt().is_some(),
        };
        holds(!state.saved.of(campaign.id).any(is_left), || {
            format!(
                "{} is {} and people are left",
                campaign.id,
                campaign.status.name()
            )
        })?;
    }
    let n_live: usize = state.ledger.live.values().map(Vec::len).sum();
    holds(n_live == 0, || format!("{n_live} calls are still up"))
}

// §7.5, §7.6, §7.8
fn calls_and_attempts_match(state: &State, step: &Step<'_>) -> Result<(), String> {
    let Step::End { .. } = step else {
        return Ok(());
    };
    let mut owners = BTreeMap::new();
    for attempt in state.saved.attempts.values() {
        if let Some(sid) = attempt.state.sid() {
            let other = owners.insert(sid, attempt.id);
            holds(other.is_none(), || {
                format!("{sid} belongs to {other:?} and {}", attempt.id)
            })?;
        }
    }
    for call in &state.ledger.calls {
        let attempt = &state.saved.attempts[&call.attempt];
        let fits = match &attempt.state {
            AttemptState::Ended {
                sid: Some(sid),
                outcome,
                ..
            } => *sid == call.sid && outcome_fits(call, outcome),
            // Hung up, looked for twice and not found: the call came later still.
            AttemptState::Ended {
                sid: None,
                outcome: Outcome::Canceled,
                ..
            } => true,
            AttemptState::Released {
                why: ReleaseReason::NeverPlaced,
                ..
            } => true,
            _ => false,
        };
        holds(fits, || {
            format!(
                "{} ended as {:?} and is kept as {:?}",
                call.sid, call.phase, attempt.state
            )
        })?;
        let owner = owners.remove(&call.sid);
        holds(owner.is_none_or(|owner| owner == call.attempt), || {
            format!(
                "{} was made for {} and belongs to {owner:?}",
                call.sid, call.attempt
            )
        })?;
    }
    holds(owners.is_empty(), || {
        format!("nobody made these calls: {owners:?}")
    })
}

fn outcome_fits(call: &Call, outcome: &Outcome) -> bool {
    match (&call.phase, outcome) {
        (Phase::Over(CallEnd::Completed), Outcome::Answered) => true,
        (Phase::Over(CallEnd::Completed), Outcome::Abandoned | Outcome::AgentUnavailable) => {
            !call.had_agent
        }
        (Phase::Over(CallEnd::Busy), Outcome::Busy)
        | (Phase::Over(CallEnd::NoAnswer), Outcome::NoAnswer)
        | (Phase::Over(CallEnd::Canceled), Outcome::Canceled) => true,
        (Phase::Over(CallEnd::Failed(fault)), Outcome::Failed(kept)) => fault == kept,
        _ => false,
    }
}
