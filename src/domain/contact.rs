//! People in a tenant's address book.

use std::collections::BTreeMap;

use super::{
    Timestamp,
    audience::Member,
    consent::{Consent, ConsentKind},
    ids::{ContactId, TenantId},
    phone::PhoneNumber,
    zone::Zone,
};

/// What else is known of a person: field name as [`super::text::field_name`] writes it, and value.
pub type Fields = BTreeMap<String, String>;

/// A person in the address book; unique by tenant and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Ours.
    pub id: ContactId,
    /// Whose address book.
    pub tenant: TenantId,
    /// Where the person is called.
    pub phone: PhoneNumber,
    /// As the list wrote it.
    pub name: Option<String>,
    /// The list's other columns.
    pub fields: Fields,
    /// Where the person is written to, lower case.
    pub email: Option<String>,
    /// The time zone that a list stated.
    pub zone: Option<Zone>,
    /// The word on being called that counts.
    pub consent: Option<Consent>,
    /// When the person was first seen.
    pub created_at: Timestamp,
}

impl Contact {
    /// The first entry of a person whom the address book lacks.
    pub fn of(member: &Member, id: ContactId, tenant: TenantId, now: Timestamp) -> Self {
        Self {
            id,
            tenant,
            phone: member.phone.clone(),
            name: member.name.clone(),
            fields: member.fields.clone(),
            email: member.email.clone(),
            zone: member.zone.clone(),
            consent: member.consent.clone(),
            created_at: now,
        }
    }

    /// Adds what a list knows and this entry does not; true when that was anything.
    ///
    /// Nothing that is known is replaced: a list may be older than it looks. Only a consent that was
    /// taken back is believed, unless there is later word.
    pub fn learn(&mut self, member: &Member) -> bool {
        let is_news = |said: &Consent| match &self.consent {
            None => true,
            Some(known) => said.kind == ConsentKind::Withdrawn && said.at >= known.at,
        };
        let consent = member.consent.as_ref().filter(|said| is_news(said));
        let consent = consent.filter(|said| self.consent.as_ref() != Some(said));
        let email = member.email.as_ref().filter(|_| self.email.is_none());
        let zone = member.zone.as_ref().filter(|_| self.zone.is_none());
        let has_learned = consent.is_some() || email.is_some() || zone.is_some();
        self.consent = consent.cloned().or_else(|| self.consent.take());
        self.email = email.cloned().or_else(|| self.email.take());
        self.zone = zone.cloned().or_else(|| self.zone.take());
        has_learned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(kind: ConsentKind, second: i64) -> Consent {
        Consent {
            kind,
            source: "list".to_owned(),
            at: Timestamp::from_second(second).unwrap(),
        }
    }

    fn member() -> Member {
        Member {
            phone: "+12025550143".parse().unwrap(),
            name: None,
            fields: Fields::new(),
            email: None,
            zone: None,
            consent: None,
        }
    }

    fn contact(member: &Member) -> Contact {
        let id = ContactId::new(uuid::Uuid::from_u128(1));
        Contact::of(member, id, TenantId::DEFAULT, Timestamp::UNIX_EPOCH)
    }

    // proves F-50
    #[test]
    fn a_later_list_adds_what_is_missing_and_replaces_nothing() {
        let mut known = contact(&member());
        let first = Member {
            email: Some("ann@example.com".to_owned()),
            zone: Some("America/Denver".parse().unwrap()),
            consent: Some(consent(ConsentKind::Written, 10)),
            ..member()
        };
        assert!(known.learn(&first));
        assert_eq!(known, contact(&first));
        let other = Member {
            email: Some("other@example.com".to_owned()),
            zone: Some("Europe/London".parse().unwrap()),
            consent: Some(consent(ConsentKind::Implied, 99)),
            ..member()
        };
        for later in [other, first.clone(), member()] {
            assert!(!known.learn(&later));
            assert_eq!(known, contact(&first));
        }
    }

    #[test]
    fn a_consent_that_was_taken_back_is_believed_unless_there_is_later_word() {
        for (known_at, back_at, expected) in [(10, 10, true), (10, 9, false), (10, 11, true)] {
            let with = |kind, at| Member {
                consent: Some(consent(kind, at)),
                ..member()
            };
            let mut known = contact(&with(ConsentKind::Express, known_at));
            let back = with(ConsentKind::Withdrawn, back_at);
            assert_eq!(known.learn(&back), expected, "{known_at} {back_at}");
            let is_back = known.consent == back.consent;
            assert_eq!(is_back, expected);
            // And nothing gives it again but a person's own word.
            let again = with(ConsentKind::Written, 99);
            assert!(!known.learn(&again));
        }
    }
}
