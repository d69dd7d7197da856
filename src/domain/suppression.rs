//! Who must not be contacted.

use std::fmt;

use super::{
    Timestamp,
    ids::{SuppressionId, TenantId},
    phone::PhoneNumber,
};

/// One entry of a tenant's list of those who must not be contacted.
///
/// Entries are added and never weakened: an import may bring more, and a contact that is deleted
/// stays here as a hash (F-50).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Ours.
    pub id: SuppressionId,
    /// Whose list.
    pub tenant: TenantId,
    /// Who.
    pub subject: Subject,
    /// On which channels.
    pub scope: Scope,
    /// Who or what asked for it.
    pub source: SuppressionSource,
    /// As the operator or the callee put it.
    pub reason: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// Who must not be contacted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Whoever has this number.
    Phone(PhoneNumber),
    /// Whoever has this address, lower case.
    Email(String),
    /// Somebody whose data was erased: a salted hash of the number.
    Hash(String),
}

/// On which channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// On every one, those that are added later included.
    All,
    /// On one only.
    Channel(Channel),
}

/// A way to reach a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Telephone calls.
    Voice,
    /// Text messages.
    Sms,
    /// WhatsApp messages.
    Whatsapp,
    /// E-mail.
    Email,
    /// LinkedIn messages.
    Linkedin,
}

/// Who or what asked for a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionSource {
    /// Somebody at the dashboard.
    Operator,
    /// An uploaded list.
    Import,
    /// The person called, by pressing a key.
    Keypad,
    /// The voice agent, on the person's word.
    Agent,
    /// A carrier or messaging provider, which refuses the number.
    Provider,
    /// A request to erase the person's data.
    Erasure,
    /// A program that uses the API.
    Api,
}

impl Suppression {
    /// Whether the person must not be contacted on `channel`.
    pub fn applies(&self, channel: Channel) -> bool {
        match self.scope {
            Scope::All => true,
            Scope::Channel(only) => only == channel,
        }
    }
}

impl fmt::Debug for Subject {
    /// Says as little about the person as a log may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(phone) => write!(f, "Phone({phone:?})"),
            Self::Email(_) => f.write_str("Email(…)"),
            Self::Hash(_) => f.write_str("Hash(…)"),
        }
    }
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Voice,
        Self::Sms,
        Self::Whatsapp,
        Self::Email,
        Self::Linkedin,
    ];

    /// The channel's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
            Self::Email => "email",
            Self::Linkedin => "linkedin",
        }
    }

    /// The channel of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

impl Scope {
    /// The scope's name in the API and in stores: `all`, or the channel's.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Channel(channel) => channel.name(),
        }
    }

    /// The scope of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "all" {
            return Some(Self::All);
        }
        Channel::from_name(name).map(Self::Channel)
    }
}

impl SuppressionSource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Operator,
        Self::Import,
        Self::Keypad,
        Self::Agent,
        Self::Provider,
        Self::Erasure,
        Self::Api,
    ];

    /// The source's name in the API and in stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Import => "import",
            Self::Keypad => "keypad",
            Self::Agent => "agent",
            Self::Provider => "provider",
            Self::Erasure => "erasure",
            Self::Api => "api",
        }
    }

    /// The source of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// The e-mail address in the one spelling that is compared, if it is one.
pub fn email_address(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (name, host) = text.split_once('@')?;
    let is_one = !name.is_empty()
        && host.contains('.')
        && !host.contains('@')
        && !text.contains(char::is_whitespace);
    is_one.then_some(text)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    // proves F-82
    #[test]
    fn an_opt_out_holds_on_its_channel_or_on_all() {
        for scope in [
            Scope::All,
            Scope::Channel(Channel::Voice),
            Scope::Channel(Channel::Sms),
        ] {
            let entry = Suppression {
                id: SuppressionId::new(Uuid::from_u128(1)),
                tenant: TenantId::DEFAULT,
                subject: Subject::Phone("+12025550143".parse().unwrap()),
                scope,
                source: SuppressionSource::Keypad,
                reason: None,
                at: Timestamp::UNIX_EPOCH,
            };
            for channel in Channel::ALL {
                let holds = scope == Scope::All || scope == Scope::Channel(channel);
                assert_eq!(entry.applies(channel), holds, "{scope:?} {channel:?}");
            }
            assert!(
                !format!("{entry:?}").contains("202555"),
                "numbers stay out of logs"
            );
        }
    }

    #[test]
    fn an_address_has_one_spelling_and_anything_else_is_none() {
        assert_eq!(
            email_address(" Ann@Example.COM "),
            Some("ann@example.com".to_owned())
        );
        for wrong in ["ann", "@example.com", "ann@example", "a b@example.com", ""] {
            assert_eq!(email_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for source in SuppressionSource::ALL {
            assert_eq!(SuppressionSource::from_name(source.name()), Some(source));
        }
        for scope in [Scope::All, Scope::Channel(Channel::Linkedin)] {
            assert_eq!(Scope::from_name(scope.name()), Some(scope));
        }
        assert_eq!(Scope::from_name("fax"), None);
    }
}
