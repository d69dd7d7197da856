//! Whether an enrollment may be worked on now.
//!
//! Asked when a claimed enrollment is about to get an attempt. The first rule that does not allow
//! decides. What can change until the request leaves is looked at again then, by the engine.

use super::{
    Timestamp,
    campaign::{Campaign, CampaignStatus},
    enrollment::{Enrollment, EnrollmentState},
};

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Dial.
    Allowed,
    /// Not now; nothing is decided about later.
    Hold(Rule),
    /// Never in this campaign.
    Never(Rule),
}

/// The rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The campaign must be active.
    CampaignActive,
    /// The enrollment must be waiting, with nothing open.
    NothingOpen,
    /// The due time must have come.
    Due,
    /// Attempts are left in the budget.
    AttemptBudget,
}

/// What the rules say about beginning an attempt for `enrollment` at `now`.
pub fn may_begin(campaign: &Campaign, enrollment: &Enrollment, now: Timestamp) -> Verdict {
    let EnrollmentState::Waiting { due_at } = &enrollment.state else {
        return Verdict::Hold(Rule::NothingOpen);
    };
    if campaign.status != CampaignStatus::Active {
        return Verdict::Hold(Rule::CampaignActive);
    }
    if enrollment.n_counted >= campaign.retry.max_attempts {
        return Verdict::Never(Rule::AttemptBudget);
    }
    if *due_at > now {
        return Verdict::Hold(Rule::Due);
    }
    Verdict::Allowed
}
