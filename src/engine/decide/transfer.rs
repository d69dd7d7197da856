//! What follows when a callee is to be handed over to a person, and from what becomes of it.

use super::{Decision, Effect, Snapshot, told};
use crate::domain::{
    Timestamp,
    attempt::{Attempt, Party},
    event::Moment,
    phone::PhoneNumber,
    transfer::{self, Transfer},
};

/// Hands the callee over, where that can be done.
pub(super) fn transfer(
    snapshot: &Snapshot<'_>,
    open: &Attempt,
    by: Party,
    to: Option<&PhoneNumber>,
    now: Timestamp,
) -> Decision {
    let call = snapshot.voice_call(open);
    let Ok((sid, to)) = transfer::order(call, open, to) else {
        return Decision::default();
    };
    let policy = call.and_then(|call| call.transfer.as_ref());
    let caller_id = policy.and_then(|policy| policy.caller_id.clone());
    let mut attempt = open.clone();
    attempt.facts.transfer = Some(Transfer {
        to: to.clone(),
        by,
        at: now,
        joined_at: None,
        end: None,
    });
    let check_at = told::check_at(snapshot, &attempt, now);
    let mut decision = snapshot.keep_open(attempt, check_at, now);
    if let Some(change) = &mut decision.save {
        let to = to.clone();
        let moment = Moment::Transferring { to, by };
        change.events.push(snapshot.moment(open.id, moment, now));
    }
    decision.effects.push(Effect::Transfer {
        attempt: open.id,
        sid,
        to,
        from: caller_id.unwrap_or_else(|| open.from.clone()),
    });
    decision
}
