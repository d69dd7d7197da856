//! What a person has agreed to.

use super::Timestamp;

/// A person's agreement to be called, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// What was agreed.
    pub kind: ConsentKind,
    /// Where it was given, for those who must show it: a form, a call, a list.
    pub source: String,
    /// When.
    pub at: Timestamp,
}

/// What was agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsentKind {
    /// Agreed in writing, signatures on a screen included.
    Written,
    /// Agreed in words or by a clear act.
    Express,
    /// Never asked; there is business between the two.
    Implied,
    /// Taken back.
    Withdrawn,
}

impl ConsentKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Written, Self::Express, Self::Implied, Self::Withdrawn];

    /// The kind's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Express => "express",
            Self::Implied => "implied",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the person agreed. Business between the two is not agreement: the laws that ask for
    /// consent to calls by a machine do not accept it.
    pub fn is_given(self) -> bool {
        match self {
            Self::Written | Self::Express => true,
            Self::Implied | Self::Withdrawn => false,
        }
    }
}
