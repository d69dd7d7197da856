//! Identifiers: one type per kind of thing, with a prefix that says which in text form.
//!
//! Ours are UUIDs written as `cmp_` and 32 hexadecimal digits. Those of other systems (`CallSid`,
//! `ConversationId`, …) are opaque text that is only checked for a sane alphabet and length.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// Why a text is not the identifier it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct IdError {
    text: String,
    expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self {
            text: text.chars().take(80).collect(),
            expected,
        }
    }
}

macro_rules! our_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form starts with, underscore included.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// Names a thing by a fresh UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", Self::PREFIX, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError::new(text, concat!("an id of the form ", $prefix, "_…"));
                let hex = text.strip_prefix(Self::PREFIX).ok_or_else(error)?;
                parse_simple(hex).map(Self).ok_or_else(error)
            }
        }
    };
}

/// Reads exactly the 32 lower-case digits that `Display` writes: one spelling per identifier.
fn parse_simple(hex: &str) -> Option<Uuid> {
    let canonical = hex.len() == 32 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    canonical.then(|| Uuid::try_parse(hex).ok()).flatten()
}

our_id!(
    /// An isolated customer of the installation.
    TenantId, "ten"
);
our_id!(
    /// A list of people with the steps to do for each.
    CampaignId, "cmp"
);
our_id!(
    /// A person in a tenant's address book.
    ContactId, "con"
);
our_id!(
    /// One contact in one campaign.
    EnrollmentId, "enr"
);
our_id!(
    /// One uploaded list.
    ImportId, "imp"
);
our_id!(
    /// Somebody who signs in.
    UserId, "usr"
);
our_id!(
    /// One sign-in of a user; revoking it ends its tokens.
    SessionId, "ses"
);
our_id!(
    /// One entry of the list of those who must not be contacted.
    SuppressionId, "sup"
);
our_id!(
    /// One running process.
    NodeId, "nod"
);

impl TenantId {
    /// The tenant that an installation configured by environment variables alone works for.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}

/// One doing of one step for one enrollment: the enrollment and the number of the doing, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// Whose attempt it is.
    pub enrollment: EnrollmentId,
    /// 1 for the enrollment's first attempt; never used twice.
    pub number: u32,
}

impl AttemptId {
    /// What the text form starts with, underscore included.
    pub const PREFIX: &'static str = "att_";
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}_{}",
            Self::PREFIX,
            self.enrollment.uuid().simple(),
            self.number
        )
    }
}

impl fmt::Debug for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AttemptId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError::new(text, "an id of the form att_…_1");
        let (hex, number) = text
            .strip_prefix(Self::PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or_else(error)?;
        let uuid = parse_simple(hex).ok_or_else(error)?;
        let canonical = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        let number = canonical
            .then(|| number.parse().ok())
            .flatten()
            .ok_or_else(error)?;
        Ok(Self {
            enrollment: EnrollmentId::new(uuid),
            number,
        })
    }
}

/// Where a person is as far as the rules are concerned, as a stable text: people of equal keys may be
/// called at the same times. What it says is known to [`super::place`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey(String);

impl PlaceKey {
    /// The key of that text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PlaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PlaceKey {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

macro_rules! foreign_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text as the other system wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_foreign_id(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::new(text, "an identifier of letters, digits, '-' and '_'"))
                }
            }
        }
    };
}

fn is_foreign_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

foreign_id!(
    /// The carrier's name for a call's recording.
    RecordingSid
);
foreign_id!(
    /// A vendor of voice agents, by the name it has in settings and records.
    AgentVendor
);
foreign_id!(
    /// The carrier's name for a call.
    CallSid
);
foreign_id!(
    /// The carrier's name for one media stream of a call.
    StreamSid
);
foreign_id!(
    /// The agent vendor's name for a conversation.
    ConversationId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = CampaignId::new(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_002a));
        assert_eq!(id.to_string(), "cmp_0190000000007000800000000000002a");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_or_spelling_is_refused() {
        for text in [
            "con_0190000000007000800000000000002a",
            "cmp_0190000000007000800000000000002A",
            "cmp_01900000-0000-7000-8000-00000000002a",
            "cmp_",
            "",
        ] {
            assert!(text.parse::<CampaignId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_attempt_id_carries_its_enrollment_and_number() {
        let id = AttemptId {
            enrollment: EnrollmentId::new(Uuid::from_u128(7)),
            number: 12,
        };
        assert_eq!(id.to_string(), "att_00000000000000000000000000000007_12");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            "att_00000000000000000000000000000007_012"
                .parse::<AttemptId>()
                .is_err()
        );
        assert!(
            "att_00000000000000000000000000000007"
                .parse::<AttemptId>()
                .is_err()
        );
    }

    #[test]
    fn a_foreign_id_has_a_sane_alphabet() {
        assert!("CA0123".parse::<CallSid>().is_ok());
        assert!("CA 1".parse::<CallSid>().is_err());
        assert!("".parse::<CallSid>().is_err());
    }
}
