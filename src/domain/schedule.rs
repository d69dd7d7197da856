//! When a campaign starts and ends by itself.

use std::time::Duration;

use super::{Timestamp, campaign::CampaignStatus};

/// The times that an operator set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// When it starts; none is by hand.
    pub start_at: Option<Timestamp>,
    /// When it ends; none is when everybody was called.
    pub end_at: Option<Timestamp>,
    /// How much later than planned it may still start: a start that was slept through is shown, not
    /// made up for, because whoever planned it meant that hour (F-95).
    pub lateness: Duration,
}

impl Default for Schedule {
    /// No times; an hour of lateness.
    fn default() -> Self {
        Self {
            start_at: None,
            end_at: None,
            lateness: Duration::from_secs(60 * 60),
        }
    }
}

/// The end does not lie behind the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a campaign that starts at {start_at} cannot end at {end_at}")]
pub struct ScheduleError {
    start_at: Timestamp,
    end_at: Timestamp,
}

/// Where in its life a campaign is, as far as its schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Released for its start, which lies ahead.
    Scheduled,
    /// Started, also when it stands still.
    Started,
    /// Not released, or over, or its start was missed: its times mean nothing.
    Idle,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start it.
    Start,
    /// Its start was missed: say so and leave it to people.
    Missed,
    /// End it.
    End,
    /// Look again then.
    WaitUntil(Timestamp),
    /// No time is set that could come.
    Nothing,
}

impl Schedule {
    /// The schedule, when its times make sense.
    pub fn check(self) -> Result<Self, ScheduleError> {
        match (self.start_at, self.end_at) {
            (Some(start_at), Some(end_at)) if end_at <= start_at => {
                Err(ScheduleError { start_at, end_at })
            }
            _ => Ok(self),
        }
    }
}

impl Stage {
    /// The stage of a campaign in `status`.
    pub fn of(status: &CampaignStatus) -> Self {
        match status {
            CampaignStatus::Scheduled => Self::Scheduled,
            CampaignStatus::Active | CampaignStatus::Paused(_) => Self::Started,
            CampaignStatus::Draft | CampaignStatus::Completed | CampaignStatus::Cancelled => {
                Self::Idle
            }
        }
    }
}

/// What `schedule` asks for at `now`.
pub fn due(schedule: &Schedule, stage: Stage, now: Timestamp) -> Action {
    match stage {
        Stage::Scheduled => match schedule.start_at {
            // Somebody took the time away: it may begin.
            None => Action::Start,
            Some(start_at) if now < start_at => Action::WaitUntil(start_at),
            Some(start_at) if now <= start_at + schedule.lateness && !is_over(schedule, now) => {
                Action::Start
            }
            Some(_) => Action::Missed,
        },
        Stage::Started => match schedule.end_at {
            None => Action::Nothing,
            Some(end_at) if now < end_at => Action::WaitUntil(end_at),
            Some(_) => Action::End,
        },
        Stage::Idle => Action::Nothing,
    }
}

fn is_over(schedule: &Schedule, now: Timestamp) -> bool {
    schedule.end_at.is_some_and(|end_at| end_at <= now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::campaign::PauseReason;

    const START: Timestamp = Timestamp::constant(1_760_000_000, 0);

    fn minutes(n: i64) -> Timestamp {
        START + jiff::SignedDuration::from_mins(n)
    }

    fn schedule(end_min: Option<i64>) -> Schedule {
        Schedule {
            start_at: Some(START),
            end_at: end_min.map(minutes),
            ..Schedule::default()
        }
    }

    // proves F-95
    #[test]
    fn a_start_may_be_59_minutes_late_and_not_61() {
        let at = |min| due(&schedule(None), Stage::Scheduled, minutes(min));
        assert_eq!(at(-1), Action::WaitUntil(START));
        assert_eq!(at(0), Action::Start);
        assert_eq!(at(59), Action::Start);
        assert_eq!(at(60), Action::Start);
        assert_eq!(at(61), Action::Missed);
    }

    // proves F-95
    #[test]
    fn a_start_after_the_end_is_missed_however_early() {
        let at = |min| due(&schedule(Some(30)), Stage::Scheduled, minutes(min));
        assert_eq!(at(29), Action::Start);
        assert_eq!(at(30), Action::Missed);
    }

    #[test]
    fn the_end_comes_whether_it_dials_or_stands_still() {
        let at = |min| due(&schedule(Some(30)), Stage::Started, minutes(min));
        assert_eq!(at(10), Action::WaitUntil(minutes(30)));
        assert_eq!(at(30), Action::End);
        assert_eq!(at(9_999), Action::End);
    }

    #[test]
    fn without_times_there_is_nothing_to_do() {
        for stage in [Stage::Started, Stage::Idle] {
            assert_eq!(due(&Schedule::default(), stage, START), Action::Nothing);
        }
        assert_eq!(
            due(&schedule(Some(30)), Stage::Idle, minutes(99)),
            Action::Nothing
        );
    }

    #[test]
    fn a_start_whose_time_was_taken_away_comes_at_once() {
        let action = due(&Schedule::default(), Stage::Scheduled, START);
        assert_eq!(action, Action::Start);
    }

    #[test]
    fn a_draft_starts_by_itself_only_when_released() {
        assert_eq!(Stage::of(&CampaignStatus::Draft), Stage::Idle);
        assert_eq!(Stage::of(&CampaignStatus::Scheduled), Stage::Scheduled);
        let paused = CampaignStatus::Paused(PauseReason::Operator);
        assert_eq!(Stage::of(&paused), Stage::Started);
        assert_eq!(Stage::of(&CampaignStatus::Cancelled), Stage::Idle);
    }

    #[test]
    fn an_end_before_the_start_is_refused() {
        assert!(schedule(Some(0)).check().is_err());
        assert_eq!(schedule(Some(1)).check(), Ok(schedule(Some(1))));
    }

    proptest! {
        #[test]
        fn nothing_starts_early_late_or_after_the_end(
            now_min in -500_i64..500, late_min in 0_u64..200, end_min in proptest::option::of(1_i64..300),
        ) {
            let schedule = Schedule {
                lateness: Duration::from_secs(late_min * 60),
                ..schedule(end_min)
            };
            let action = due(&schedule, Stage::Scheduled, minutes(now_min));
            let in_time = (0..=late_min.cast_signed()).contains(&now_min)
                && end_min.is_none_or(|end| now_min < end);
            prop_assert_eq!(action == Action::Start, in_time);
        }

        #[test]
        fn what_is_waited_for_lies_ahead(now_min in -500_i64..500, end_min in proptest::option::of(1_i64..300)) {
            for stage in [Stage::Scheduled, Stage::Started, Stage::Idle] {
                if let Action::WaitUntil(at) = due(&schedule(end_min), stage, minutes(now_min)) {
                    prop_assert!(at > minutes(now_min));
                    prop_assert!(!matches!(due(&schedule(end_min), stage, at), Action::WaitUntil(_)));
                }
            }
        }
    }
}
