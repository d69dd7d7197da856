//! The last dial starts as they were planned.
//!
//! Records keep a start in whole milliseconds. A rate of 150 a second has one each 6.67 ms: planned from
//! the record, each round would begin up to a millisecond late, and where each call's end begins a round
//! that is 143 a second. So who plans remembers what it planned.

use std::{
    cmp::{max, min},
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{
    Timestamp,
    ids::CampaignId,
    pacing::{self, Usage},
};

/// What this process planned last for each campaign.
#[derive(Default)]
pub struct PlannedStarts(Mutex<BTreeMap<CampaignId, Timestamp>>);

impl PlannedStarts {
    /// Remembers a campaign's last start, if there was one.
    pub fn note(&self, campaign: CampaignId, last_start: Option<Timestamp>) {
        let mut planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        planned.extend(last_start.map(|at| (campaign, at)));
    }

    /// Puts what was planned in the place of what is on record where that is the same start. Where it is
    /// another process's, `departed` says when its request left at the latest: records do not.
    pub fn refine<'a>(
        &self,
        usage: impl IntoIterator<Item = (&'a CampaignId, &'a mut Usage)>,
        departed: impl Fn(Timestamp) -> Timestamp,
    ) {
        let planned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (campaign, usage) in usage {
            let own = planned.get(campaign).copied();
            usage.last_start = usage.last_start.map(|kept| match own {
                Some(own) if kept == pacing::kept_as(own) => own,
                _ => departed(kept),
            });
        }
    }
}

/// When the request of another process's start left at the latest: within the time for which it may be
/// late, and before dispatching was taken over.
pub fn latest_departure(
    start: Timestamp,
    window: Duration,
    taken_over: Option<Timestamp>,
) -> Timestamp {
    let in_window = start + window;
    max(start, taken_over.map_or(in_window, |at| min(in_window, at)))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LATE: Duration = Duration::from_millis(500);
    const NOW: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn last_start_after(planned: &PlannedStarts, id: CampaignId, kept: Timestamp) -> Timestamp {
        let mut usage = BTreeMap::from([(
            id,
            Usage {
                n_open: 1,
                last_start: Some(kept),
            },
        )]);
        planned.refine(&mut usage, |kept| kept + LATE);
        usage[&id].last_start.unwrap()
    }

    // proves F-11
    #[test]
    fn a_plan_is_finer_than_its_record_and_only_than_its_own() {
        let planned = PlannedStarts::default();
        let (mine, other) = (
            CampaignId::new(Uuid::from_u128(1)),
            CampaignId::new(Uuid::from_u128(2)),
        );
        let at = NOW + Duration::from_nanos(6_666_666);
        planned.note(mine, Some(at));
        planned.note(mine, None);
        let kept = NOW + Duration::from_millis(7);
        assert_eq!(last_start_after(&planned, mine, kept), at);
        assert_eq!(last_start_after(&planned, other, kept), kept + LATE);
        let later = kept + Duration::from_millis(1);
        assert_eq!(last_start_after(&planned, mine, later), later + LATE);
    }
    // proves F-11
    #[test]
    fn nobody_leaves_after_the_window_or_a_take_over() {
        let ms = |n| NOW + Duration::from_millis(n);
        let departed =
            |taken_over: Option<Timestamp>| latest_departure(ms(1_000), 3 * LATE, taken_over);
        assert_eq!(departed(Some(ms(1_400))), ms(1_400), "the lease had ended");
        assert_eq!(departed(Some(ms(9_000))), ms(2_500), "the window had");
        assert_eq!(departed(Some(ms(400))), ms(1_000), "long ours");
        assert_eq!(departed(None), ms(2_500));
    }
}
