//! Emergency stops: everything stands still until somebody lifts them, whatever campaigns are.

use super::{Timestamp, ids::TenantId};

/// An emergency stop that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Since when.
    pub at: Timestamp,
    /// Who stopped it: an e-mail address.
    pub by: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Whether talks that are going on are ended too.
    pub ends_talks: bool,
}

/// What an emergency stop holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HaltScope {
    /// All campaigns of one tenant.
    Tenant(TenantId),
    /// All campaigns of all tenants.
    Installation,
}

/// The emergency stops that hold for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Halts {
    /// Its own.
    pub tenant: Option<Halt>,
    /// The installation's.
    pub installation: Option<Halt>,
}

impl Halt {
    /// The stop with `other`, which was asked for later, on top: who stopped it first and when stays.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        Self {
            ends_talks: self.ends_talks || other.ends_talks,
            ..self
        }
    }

    /// Why nobody is called and what resolves it, in words for an operator.
    pub fn sentence(&self) -> String {
        let why = self.reason.iter().map(|reason| format!(" ({reason})"));
        let why: String = why.collect();
        let Self { at, by, .. } = self;
        format!("an emergency stop by {by} is in force since {at}{why}; lift it to go on")
    }
}

impl Halts {
    /// One that is in force, the installation's first; none when calls may begin.
    pub fn in_force(&self) -> Option<&Halt> {
        self.installation.as_ref().or(self.tenant.as_ref())
    }

    /// Whether talks that are going on are to be ended.
    pub fn end_talks(&self) -> bool {
        let both = [&self.installation, &self.tenant];
        both.into_iter().flatten().any(|halt| halt.ends_talks)
    }

    /// The one of a scope.
    pub fn of(&self, scope: HaltScope) -> Option<&Halt> {
        match scope {
            HaltScope::Tenant(_) => self.tenant.as_ref(),
            HaltScope::Installation => self.installation.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(by: &str, ends_talks: bool) -> Halt {
        Halt {
            at: Timestamp::UNIX_EPOCH,
            by: by.to_owned(),
            reason: Some("wrong prompt".to_owned()),
            ends_talks,
        }
    }

    // proves F-07
    #[test]
    fn who_stopped_first_stays_and_talks_end_when_anybody_wants_that() {
        let both = halt("ann", false).with(&halt("ben", true));
        assert_eq!(both, halt("ann", true));
        assert_eq!(halt("ann", true).with(&halt("ben", false)).by, "ann");
        assert!(halt("ann", true).with(&halt("ben", false)).ends_talks);
    }

    // proves F-07
    #[test]
    fn either_stop_is_in_force_and_is_named() {
        let none = Halts::default();
        assert_eq!((none.in_force(), none.end_talks()), (None, false));
        let own = Halts {
            tenant: Some(halt("ann", true)),
            installation: None,
        };
        assert_eq!(own.in_force(), own.tenant.as_ref());
        let both = Halts {
            installation: Some(halt("ben", false)),
            ..own
        };
        assert_eq!(both.in_force(), both.installation.as_ref());
        assert!(both.end_talks());
        let said = both.in_force().map(Halt::sentence).unwrap_or_default();
        for part in ["ben", "1970-01-01T00:00:00Z", "wrong prompt", "lift it"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
