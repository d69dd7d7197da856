//! Whether the callee of a live call hears its agent: an operator may have muted it.

use super::{Timestamp, attempt::Attempt, transfer};

/// What an operator last said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Whether the callee is to hear nothing of the agent.
    pub is_on: bool,
    /// Who said so.
    pub by: String,
    /// When. Of several the last one counts.
    pub at: Timestamp,
}

/// What an operator may ask for, by the name that the API has for it; none while there is no agent to
/// mute.
pub fn allowed_action(attempt: &Attempt) -> Option<&'static str> {
    // Whoever can be taken away from the agent has one.
    transfer::can_be_asked(attempt).ok()?;
    Some(if attempt.facts.is_muted() {
        "unmute"
    } else {
        "mute"
    })
}
