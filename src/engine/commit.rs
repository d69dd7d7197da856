//! Load, decide, save; and begin again when another process was faster.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;
use tracing::{Instrument as _, Span, field::Empty, info, info_span};

use super::{
    Core, EngineError, EngineResult,
    decide::{Change, Decision, Effect, Input, Snapshot, decide},
};
use crate::{
    domain::{
        attempt::{Attempt, AttemptState},
        enrollment::{Enrollment, EnrollmentState},
        event::{Event, EventKind, Moment},
        ids::{AttemptId, EnrollmentId, TenantId},
    },
    store::{Commit, Fencing, InCampaign, StoreError},
};

/// How often a save may find that another process was faster. Each time the other one got on, so
/// only a broken store comes this far.
const MAX_CONFLICTS: u32 = 50;

impl Core {
    /// Lets `input` happen to an enrollment, and carries out what follows.
    pub(super) async fn handle(
        self: &Arc<Self>,
        tenant: TenantId,
        enrollment: EnrollmentId,
        input: &Input,
    ) -> EngineResult<()> {
        let span = info_span!(
            "enrollment",
            campaign_id = Empty,
            contact_id = Empty,
            attempt_id = Empty,
            call_sid = Empty,
        );
        self.handle_in_span(tenant, enrollment, input)
            .instrument(span)
            .await
    }

    async fn handle_in_span(
        self: &Arc<Self>,
        tenant: TenantId,
        id: EnrollmentId,
        input: &Input,
    ) -> EngineResult<()> {
        self.shielded(id, async {
            let turn = self.turns.take(id).await;
            let (loaded, effects) = self.load_and_decide(tenant, id, input).await?;
            drop(turn);
            self.perform_all(&loaded, effects, None).await;
            Ok(())
        })
        .await
    }

    /// Lets somebody who was just claimed under the lease of `fencing` be decided, and carries out what
    /// follows.
    pub(super) async fn handle_claimed(
        self: &Arc<Self>,
        claimed: &InCampaign,
        input: &Input,
        fencing: Fencing,
    ) -> EngineResult<()> {
        self.shielded(claimed.enrollment.id, async {
            let effects = self.decide_and_save(claimed, input).await?;
            self.perform_all(claimed, effects, Some(fencing)).await;
            Ok(())
        })
        .await
    }

    /// A panic is this enrollment's trouble alone: the loop that came upon it goes on with the others.
    async fn shielded(
        &self,
        id: EnrollmentId,
        deciding: impl Future<Output = EngineResult<()>>,
    ) -> EngineResult<()> {
        AssertUnwindSafe(deciding)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                self.loops.note_panic("enrollment");
                Err(StoreError::Unreadable {
                    record: id.to_string(),
                    source: "deciding on it panicked".into(),
                }
                .into())
            })
    }

    /// Loads, decides and saves; gives what it was decided on, and what is to be carried out.
    async fn load_and_decide(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
        input: &Input,
    ) -> EngineResult<(InCampaign, Vec<Effect>)> {
        for _ in 0..MAX_CONFLICTS {
            let loaded = self
                .store
                .find_in_campaign(tenant, id)
                .await?
                .ok_or(EngineError::NotFound { what: "enrollment" })?;
            match self.decide_and_save(&loaded, input).await {
                Err(EngineError::Store(StoreError::Conflict { .. })) => {}
                other => return other.map(|effects| (loaded, effects)),
            }
        }
        Err(StoreError::Conflict {
            record: id.to_string(),
        }
        .into())
    }

    /// One round: decides on the enrollment as it was loaded, and saves.
    async fn decide_and_save(
        &self,
        loaded: &InCampaign,
        input: &Input,
    ) -> EngineResult<Vec<Effect>> {
        let enrollment = &loaded.enrollment;
        let past = self.past_attempt(enrollment, input).await?;
        let snapshot = Snapshot {
            campaign: &loaded.campaign,
            enrollment,
            past: past.as_ref(),
            timing: &self.settings.timing,
        };
        let decision = decide(&snapshot, input, self.now());
        record_ids(enrollment, &decision);
        if let Some(change) = decision.save {
            self.save(enrollment, change).await?;
        }
        if !decision.events.is_empty() {
            self.store.append_events(&decision.events).await?;
        }
        Ok(decision.effects)
    }

    /// Changes what is on record of an attempt that is over, whatever became of its campaign, and adds to
    /// its timeline. `change` gives none where there is nothing to change.
    pub(super) async fn amend(
        &self,
        tenant: TenantId,
        id: AttemptId,
        change: impl Fn(&Attempt) -> Option<(Attempt, Option<Moment>)>,
    ) -> EngineResult<()> {
        let _turn = self.turns.take(id.enrollment).await;
        for _ in 0..MAX_CONFLICTS {
            // The enrollment first: a call that changes meanwhile comes with another version of it.
            let enrollment = self.store.find_enrollment(tenant, id.enrollment).await?;
            let call = self.store.find_call(tenant, id).await?;
            let (Some(mut enrollment), Some(call)) = (enrollment, call) else {
                return Ok(());
            };
            let past = Some(&call.attempt).filter(|attempt| !attempt.state.is_open());
            let Some((attempt, moment)) = past.and_then(&change) else {
                return Ok(());
            };
            let event = |moment| Event {
                tenant,
                campaign: enrollment.campaign,
                at: self.now(),
                kind: EventKind::Timeline {
                    attempt: id,
                    moment,
                },
            };
            let events = moment.map(event).into_iter().collect();
            enrollment.version += 1;
            let commit = Commit {
                enrollment,
                attempt: Some(attempt),
                events,
            };
            match self.store.commit(&commit).await {
                Err(StoreError::Conflict { .. }) => {}
                saved => return Ok(saved?),
            }
        }
        Err(StoreError::Conflict {
            record: id.to_string(),
        }
        .into())
    }

    async fn save(&self, before: &Enrollment, change: Change) -> EngineResult<()> {
        let frees_a_place = before.open_attempt().is_some()
            && !matches!(change.enrollment.state, EnrollmentState::Open { .. });
        log_change(&change);
        let Change {
            enrollment,
            attempt,
            events,
        } = change;
        self.store
            .commit(&Commit {
                enrollment,
                attempt,
                events,
            })
            .await?;
        if frees_a_place {
            self.freed.notify_one();
        }
        Ok(())
    }

    async fn perform_all(
        self: &Arc<Self>,
        loaded: &InCampaign,
        effects: Vec<Effect>,
        fencing: Option<Fencing>,
    ) {
        for effect in effects {
            self.perform(loaded, effect, fencing).await;
        }
    }

    /// The attempt that `input` is about, when it is not the open one.
    async fn past_attempt(
        &self,
        enrollment: &Enrollment,
        input: &Input,
    ) -> EngineResult<Option<Attempt>> {
        let Some(id) = about(input).filter(|id| !enrollment.has_open(*id)) else {
            return Ok(None);
        };
        let call = self.store.find_call(enrollment.tenant, id).await?;
        Ok(call.map(|call| call.attempt))
    }
}

fn about(input: &Input) -> Option<AttemptId> {
    match input {
        Input::Claimed(_) | Input::Called { .. } => None,
        Input::Withheld { attempt }
        | Input::NotAtFault { attempt }
        | Input::Replied { attempt, .. }
        | Input::Told { attempt, .. }
        | Input::LookedUp { attempt, .. }
        | Input::Transfer { attempt, .. }
        | Input::HangUp { attempt, .. } => Some(*attempt),
    }
}

fn record_ids(enrollment: &Enrollment, decision: &Decision) {
    let span = Span::current();
    span.record("campaign_id", tracing::field::display(enrollment.campaign));
    span.record("contact_id", tracing::field::display(enrollment.contact));
    let changed = decision
        .save
        .as_ref()
        .and_then(|change| change.attempt.as_ref());
    if let Some(attempt) = changed.or(enrollment.open_attempt()) {
        span.record("attempt_id", tracing::field::display(attempt.id));
        if let Some(sid) = attempt.state.sid() {
            span.record("call_sid", tracing::field::display(sid));
        }
    }
}

/// One line for each change of state.
fn log_change(change: &Change) {
    let Some(attempt) = &change.attempt else {
        return;
    };
    match &attempt.state {
        AttemptState::Ended { outcome, .. } => info!(outcome = %outcome, "call ended"),
        AttemptState::Released { why, .. } => info!(why = why.name(), "attempt released"),
        state => info!(state = state.name(), "call changed"),
    }
}
