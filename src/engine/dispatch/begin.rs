//! One campaign's turn: people are claimed, and each gets an attempt if the rules allow it.

use std::{cmp::max, num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tracing::{error, warn};

use super::{Round, line::Ready};
use crate::{
    domain::{
        Timestamp,
        caller_id::Pick,
        campaign::{Brake, Campaign},
        enrollment::Enrollment,
        pacing,
    },
    engine::{
        Core, EngineError, EngineResult,
        decide::{Claim, Input},
    },
    store::{ClaimRequest, InCampaign},
};

/// How soon to look again for people who are due and were passed over, because another campaign has
/// them on the phone.
const PASSED_OVER: Duration = Duration::from_millis(50);

/// How often people are claimed in one turn while the rules leave none of them to be called: a slow
/// campaign with many of those gets through them without a whole round for each.
const CLAIMS_IN_A_TURN: u32 = 16;

/// How many claimed enrollments are saved at once.
const SAVES_AT_ONCE: usize = 32;

/// What began in a turn.
#[derive(Default)]
pub(super) struct Begun {
    /// How many attempts that is.
    pub n: u32,
    /// The last dial start that was given out, as planned.
    pub last_start: Option<Timestamp>,
    /// What else than places and spacing keeps it from beginning more.
    pub look_again: Option<LookAgain>,
}

/// When to look again at a campaign that could begin more.
#[derive(Debug, Clone, Copy)]
pub(super) enum LookAgain {
    At(Timestamp),
    /// When something changes.
    OnChange,
}

impl LookAgain {
    fn at(at: Option<Timestamp>) -> Self {
        at.map_or(Self::OnChange, Self::At)
    }
}

/// Claims as many people as may be called now, and opens an attempt for each.
pub(super) async fn begin(
    core: &Arc<Core>,
    line: &Ready,
    round: &Round<'_>,
) -> EngineResult<Begun> {
    let mut gates = line.gates();
    gates.extend(round.limits());
    let horizon = core.horizon();
    let allowed = pacing::allow(&gates, round.now, horizon, round.most);
    let mut begun = Begun::default();
    if allowed.is_empty() {
        return Ok(begun);
    }
    let campaign = &line.campaign;
    if core.caller_pool(campaign).numbers.is_empty() {
        no_caller_id(core, campaign).await;
        begun.look_again = Some(LookAgain::OnChange);
        return Ok(begun);
    }
    // Whoever is claimed beyond what the numbers can call would only be put off, again and again.
    let served = core.with_numbers(campaign, &allowed).await?;
    let Some(limit) = NonZeroU32::new(u32::try_from(served.len()).unwrap_or(u32::MAX)) else {
        let rest_until = core.numbers_rest_until(campaign, round.now).await?;
        begun.look_again = Some(LookAgain::at(rest_until));
        return Ok(begun);
    };
    let is_short_of_numbers = served.len() < allowed.len();
    for _ in 0..CLAIMS_IN_A_TURN {
        let claimed = claim(core, line, round, limit).await?;
        let n_claimed = claimed.len();
        let claims = claimed.into_iter().zip(served.iter().copied());
        let starts = open_attempts(core, line, round, claims).await?;
        begun.n = u32::try_from(starts.len()).unwrap_or(u32::MAX);
        begun.last_start = starts.last().copied();
        core.planned.note(campaign.id, begun.last_start);
        if n_claimed < served.len() {
            let due = line.next_due(core).await?;
            let due = due.map(|due| max(due, round.now + PASSED_OVER));
            begun.look_again = Some(LookAgain::at(due));
        }
        if starts.len() < n_claimed || is_short_of_numbers && n_claimed == served.len() {
            // Whom a rule put off or ended has used no start: the next in line takes it at once. And
            // the next look sees when a number is free again.
            begun.look_again = Some(LookAgain::At(round.now));
        }
        let are_all_left = starts.is_empty() && n_claimed == served.len();
        // Starts that were given out much earlier would leave too close to the next.
        if !are_all_left || core.now() > round.now + horizon / 2 {
            break;
        }
    }
    Ok(begun)
}

/// Takes up to `limit` people who are due where people may be called now.
async fn claim(
    core: &Core,
    line: &Ready,
    round: &Round<'_>,
    limit: NonZeroU32,
) -> EngineResult<Vec<Enrollment>> {
    let campaign = &line.campaign;
    Ok(core
        .store
        .claim_due(&ClaimRequest {
            tenant: campaign.tenant,
            campaign: campaign.id,
            node: core.node,
            fencing: round.fencing,
            limit,
            places: line.places.clone(),
            lease: core.settings.claim,
            now: round.now,
        })
        .await?)
}

/// Lets each claim be decided; gives the planned dial starts that were used.
async fn open_attempts(
    core: &Arc<Core>,
    line: &Ready,
    round: &Round<'_>,
    claims: impl Iterator<Item = (Enrollment, Timestamp)>,
) -> EngineResult<Vec<Timestamp>> {
    let judged: Vec<_> = stream::iter(claims)
        .map(|(enrollment, planned)| async move {
            let dial_at = pacing::kept_as(planned);
            let rules = line.rules.rules.clone();
            let standing = core
                .standing(
                    &line.campaign,
                    rules,
                    round.wide,
                    &enrollment,
                    dial_at,
                    None,
                )
                .await;
            (enrollment, planned, standing)
        })
        .buffered(SAVES_AT_ONCE)
        .collect()
        .await;
    let fencing = round.fencing;
    let mut starts = Vec::new();
    let mut decided = Vec::new();
    for (enrollment, planned, standing) in judged {
        let dial_at = pacing::kept_as(planned);
        let standing = match standing {
            Ok(standing) => standing,
            Err(error) => {
                not_used(&enrollment, &error);
                continue;
            }
        };
        let range_rests_until = core.range_rests_until(&enrollment, dial_at);
        let caller = core
            .pick_caller(&line.campaign, &enrollment, dial_at)
            .await?;
        let is_allowed =
            range_rests_until.is_none() && standing.allows(&line.campaign, &enrollment, dial_at);
        if let (Pick::Number(number), true) = (&caller, is_allowed) {
            core.note_start(&enrollment, number, dial_at);
            starts.push(planned);
        }
        let claim = Claim {
            dial_at,
            caller,
            range_rests_until,
            standing,
        };
        decided.push((enrollment, Input::Claimed(Box::new(claim))));
    }
    stream::iter(decided)
        .for_each_concurrent(SAVES_AT_ONCE, |(enrollment, input)| async move {
            if !core.has_lease(enrollment.tenant, core.now()) {
                // This process was held up; the claim ends by itself.
                return;
            }
            let claimed = InCampaign {
                enrollment,
                campaign: line.campaign.clone(),
            };
            if let Err(error) = core.handle_claimed(&claimed, &input, fencing).await {
                not_used(&claimed.enrollment, &error);
            }
        })
        .await;
    Ok(starts)
}

fn not_used(enrollment: &Enrollment, error: &EngineError) {
    warn!(%error, enrollment_id = %enrollment.id, "claim not used; it ends by itself");
}

/// Stands a campaign still that has no number to call from.
async fn no_caller_id(core: &Arc<Core>, campaign: &Campaign) {
    error!(campaign_id = %campaign.id, "campaign has no number to call from");
    let detail = "there is no number to call from: give the campaign a callerId, or the \
                  installation a phone number";
    core.brake(campaign, Brake::CallerIds, detail.to_owned())
        .await;
}
