//! How an agent sees a call: a fact beside its outcome, never in its place.

use super::Timestamp;

/// What an agent says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// In a word or two, such as `interested`.
    pub name: String,
    /// In a sentence.
    pub note: Option<String>,
    /// When it said so. Of several the last one counts.
    pub at: Timestamp,
}
