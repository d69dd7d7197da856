//! What rules need to know of a person, over all campaigns of a tenant.

use super::{Timestamp, consent::Consent, suppression::Suppression};

/// The facts of one person that no single campaign has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    /// The entries that name the person, by number or by hash.
    pub suppressions: Vec<Suppression>,
    /// The newest word on being called.
    pub consent: Option<Consent>,
    /// Attempts of all campaigns, in any order, without the one that is judged. Released ones are
    /// not among them: nothing was dialed.
    pub attempts: Vec<PastAttempt>,
}

/// An attempt as far as it matters to later ones. Each counts, however it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PastAttempt {
    /// When it was reserved.
    pub at: Timestamp,
    /// How it stands.
    pub kind: PastAttemptKind,
    /// Whether the person answered and heard nobody.
    pub abandoned: bool,
}

/// How an earlier attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PastAttemptKind {
    /// The phone may ring or be up right now.
    Open,
    /// Nobody knows yet whether the carrier placed it.
    Unknown,
    /// Over.
    Ended,
}
