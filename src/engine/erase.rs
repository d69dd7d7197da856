//! Taking what identifies a person out of every record.
//!
//! The list of those who must not be contacted comes first, as hashes, and the address book last. So
//! whoever asks again after a crash finds what is left to do, and nobody is called in between. What
//! is counted (how many, how they ended, when, how long) stays.

use std::{sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tracing::info;

use super::{Core, Engine, EngineError, EngineResult};
use crate::{
    domain::{
        Timestamp,
        contact::Contact,
        enrollment::{CallRecord, Enrollment, EnrollmentState},
        erasure::Identity,
        event::{Event, EventKind},
        ids::{AttemptId, ContactId, EnrollmentId, SuppressionId, TenantId, UserId},
        phone::PhoneNumber,
        suppression::{Scope, Subject, Suppression, SuppressionSource},
    },
    store::{Commit, StoreError},
};

/// How often a save may find that another process was faster.
const MAX_CONFLICTS: u32 = 50;

/// How often, and how far apart, it is looked whether the calls that were taken back are over.
const LOOKS: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// After this time nothing more is saved about a talk, also when its process died and never said
/// that the audio ended.
const WORDS_COME_WITHIN: Duration = Duration::from_secs(600);

const IN_A_TALK: &str = "somebody is talking with this person; end the call or wait for its end, \
                         then erase again (no further call will be made)";
const IN_A_CALL: &str = "a call to this person is just coming to its end; erase again in a moment \
                         (no further call will be made)";

/// Who is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// Somebody in the address book.
    Contact(ContactId),
    /// Whoever has this number, in the address book or not.
    Phone(PhoneNumber),
    /// Whoever is written to at this address, lower case.
    Email(String),
}

/// What the person's data was taken out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// How many times the person was in a campaign.
    pub n_enrollments: u64,
    /// How many attempts there were to call the person.
    pub n_calls: u64,
    /// How many rows of lists, that were not accepted, were about the person.
    pub n_rejected_rows: u64,
}

impl Engine {
    /// What records name a person by. Whoever is not in the address book may be in others.
    ///
    /// - Errors: [`EngineError::NotFound`] for a contact that is not there, or no longer;
    ///   [`EngineError::Invalid`] where several people share the address.
    pub async fn identify(&self, tenant: TenantId, whom: &Whom) -> EngineResult<Identity> {
        let store = &self.core.store;
        let mut identity = Identity::default();
        let known = match whom {
            Whom::Contact(id) => {
                let found = store.find_contact(tenant, *id).await?;
                Some(found.ok_or(EngineError::NotFound { what: "contact" })?)
            }
            Whom::Phone(phone) => {
                identity.phones.push(phone.clone());
                let phones = std::slice::from_ref(phone);
                store.contacts_by_phone(tenant, phones).await?.pop()
            }
            Whom::Email(email) => {
                identity.emails.push(email.clone());
                the_only(store.contacts_by_email(tenant, email).await?)?
            }
        };
        if let Some(contact) = known {
            identity.phones.push(contact.phone);
            identity.emails.extend(contact.email);
        }
        identity.phones.dedup();
        identity.emails.dedup();
        Ok(identity)
    }

    /// Takes what identifies a person out of every record of the tenant, and sees to it that the
    /// person is contacted no more.
    ///
    /// - Holds: the person is on the list of those who must not be contacted, as a hash, before
    ///   anything is taken away. Figures stay as they are.
    /// - Errors: those of [`Engine::identify`]; [`EngineError::InCall`] while a call to the person is
    ///   up: the person is on the list all the same. After [`EngineError::Store`] a part may be done;
    ///   asking again does the rest.
    pub async fn erase(&self, tenant: TenantId, whom: &Whom, by: UserId) -> EngineResult<Erased> {
        let core = &self.core;
        let person = self.identify(tenant, whom).await?;
        core.suppress_as_hash(tenant, &person).await?;
        for phone in &person.phones {
            core.withdraw_calls_to(tenant, phone).await?;
            core.until_calls_are_over(tenant, phone).await?;
        }
        let mut erased = Erased::default();
        for phone in &person.phones {
            for enrollment in core.store.enrollments_with(tenant, phone).await? {
                erased.n_calls += core.erase_calls(tenant, enrollment.id).await?;
                core.erase_enrollment(tenant, enrollment.id, by).await?;
                erased.n_enrollments += 1;
            }
        }
        erased.n_rejected_rows = core.erase_rejected(tenant, &person).await?;
        core.store.forget_person(tenant, &person).await?;
        core.wake.notify_one();
        info!(user_id = %by, n_enrollments = erased.n_enrollments, "person erased");
        Ok(erased)
    }
}

/// The person, if it is one.
fn the_only(mut found: Vec<Contact>) -> EngineResult<Option<Contact>> {
    if found.len() > 1 {
        let ids: Vec<String> = found.iter().map(|one| one.id.to_string()).collect();
        let detail = format!(
            "{} people share this address; name one of them: {}",
            ids.len(),
            ids.join(", ")
        );
        return Err(EngineError::Invalid(detail));
    }
    Ok(found.pop())
}

impl Core {
    /// Puts a person on the list of those who must not be contacted, by hashes alone.
    async fn suppress_as_hash(&self, tenant: TenantId, person: &Identity) -> EngineResult<()> {
        let salt = self.salt(tenant).await?;
        let entries: Vec<Suppression> = hashes(&salt, person)
            .map(|subject| Suppression {
                id: SuppressionId::new(self.clock.new_uuid()),
                tenant,
                subject,
                scope: Scope::All,
                source: SuppressionSource::Erasure,
                reason: None,
                at: self.now(),
            })
            .collect();
        self.store.add_suppressions(&entries).await?;
        Ok(())
    }

    /// What the tenant's hashes are made with; made before its first one.
    async fn salt(&self, tenant: TenantId) -> EngineResult<String> {
        if let Some(salt) = self.store.tenant_rules(tenant).await?.salt {
            return Ok(salt);
        }
        let new = || self.clock.new_uuid().simple().to_string();
        Ok(self.store.keep_salt(tenant, &(new() + &new())).await?)
    }

    /// Waits until no call to a number is up whose end is near.
    async fn until_calls_are_over(&self, tenant: TenantId, to: &PhoneNumber) -> EngineResult<()> {
        for _ in 0..LOOKS {
            let open = self.store.open_calls_to(tenant, to).await?;
            if open.is_empty() {
                return Ok(());
            }
            if open.iter().any(|call| call.attempt.was_answered()) {
                return Err(EngineError::InCall(IN_A_TALK));
            }
            self.clock.sleep(LOOK_AGAIN).await;
        }
        Err(EngineError::InCall(IN_A_CALL))
    }

    /// Takes the person out of the calls of an enrollment. How many there are.
    async fn erase_calls(&self, tenant: TenantId, id: EnrollmentId) -> EngineResult<u64> {
        // Once before the calls are read: what a commit has left to do is done by the next.
        self.change(tenant, id, |enrollment| enrollment.without_words().into())
            .await?;
        let calls = self.calls_without_news(tenant, id).await?;
        self.delete_recordings(&calls).await?;
        let attempts: Vec<AttemptId> = calls.iter().map(|call| call.attempt.id).collect();
        self.store.erase_signals(tenant, &attempts).await?;
        for attempt in &attempts {
            self.erase_events(tenant, *attempt).await?;
            self.erase_call(tenant, *attempt).await?;
        }
        Ok(attempts.len() as u64)
    }

    /// The calls of an enrollment, when nothing more will be saved about their talks.
    async fn calls_without_news(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> EngineResult<Vec<CallRecord>> {
        for _ in 0..LOOKS {
            let calls = self.calls_of(tenant, id).await?;
            let now = self.now();
            if !calls.iter().any(|call| may_bring_words(call, now)) {
                return Ok(calls);
            }
            self.clock.sleep(LOOK_AGAIN).await;
        }
        Err(EngineError::InCall(IN_A_CALL))
    }

    async fn erase_events(&self, tenant: TenantId, attempt: AttemptId) -> EngineResult<()> {
        let mut events = self.store.call_events(tenant, attempt).await?;
        events.retain_mut(|stored| {
            let left = stored.event.kind.erased();
            let has_changed = left != stored.event.kind;
            stored.event.kind = left;
            has_changed
        });
        Ok(self.store.replace_events(&events).await?)
    }

    /// Takes the person out of one call. It is saved with its enrollment, so that a callback that is
    /// processed at the same moment cannot bring anything back.
    async fn erase_call(&self, tenant: TenantId, id: AttemptId) -> EngineResult<()> {
        for _ in 0..MAX_CONFLICTS {
            let enrollment = self.store.find_enrollment(tenant, id.enrollment).await?;
            let call = self.store.find_call(tenant, id).await?;
            let (Some(enrollment), Some(call)) = (enrollment, call) else {
                return Ok(());
            };
            let mut change = Changed::from(enrollment.without_words());
            change.attempt = Some(call.attempt.erased());
            if self.try_commit(change).await? {
                return Ok(());
            }
        }
        Err(conflict(id.enrollment))
    }

    /// Takes the person out of an enrollment, and says so in the campaign's log.
    async fn erase_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
        by: UserId,
    ) -> EngineResult<()> {
        let now = self.now();
        self.change(tenant, id, |enrollment| {
            let erased = enrollment.erased(now);
            let events = events_of(enrollment, &erased, by, now);
            Changed {
                events,
                ..erased.into()
            }
        })
        .await
    }

    /// Saves an enrollment as changed, and begins again when another process was faster.
    async fn change(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
        change: impl Fn(&Enrollment) -> Changed,
    ) -> EngineResult<()> {
        for _ in 0..MAX_CONFLICTS {
            // Removed meanwhile: nothing is left of it.
            let Some(enrollment) = self.store.find_enrollment(tenant, id).await? else {
                return Ok(());
            };
            if enrollment.open_attempt().is_some() {
                return Err(EngineError::InCall(IN_A_CALL));
            }
            if self.try_commit(change(&enrollment)).await? {
                return Ok(());
            }
        }
        Err(conflict(id))
    }

    /// False when another process was faster.
    async fn try_commit(&self, change: Changed) -> EngineResult<bool> {
        let mut enrollment = change.enrollment;
        enrollment.version += 1;
        let commit = Commit {
            enrollment,
            attempt: change.attempt,
            events: change.events,
        };
        match self.store.commit(&commit).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn erase_rejected(
        self: &Arc<Self>,
        tenant: TenantId,
        person: &Identity,
    ) -> EngineResult<u64> {
        let rows = self.store.rejected_about(tenant, person).await?;
        for (import, row) in &rows {
            let left = [row.erased()];
            self.store.add_rejected(tenant, *import, &left).await?;
        }
        Ok(rows.len() as u64)
    }
}

/// What of an enrollment is saved, still in the version it was loaded in.
struct Changed {
    enrollment: Enrollment,
    attempt: Option<crate::domain::attempt::Attempt>,
    events: Vec<Event>,
}

impl From<Enrollment> for Changed {
    fn from(enrollment: Enrollment) -> Self {
        Self {
            enrollment,
            attempt: None,
            events: Vec::new(),
        }
    }
}

fn conflict(id: EnrollmentId) -> EngineError {
    let record = id.to_string();
    StoreError::Conflict { record }.into()
}

/// What the log says of an erased enrollment: its end, if it had none before, and who asked for it.
fn events_of(before: &Enrollment, after: &Enrollment, by: UserId, now: Timestamp) -> Vec<Event> {
    let event = |kind| Event {
        tenant: after.tenant,
        campaign: after.campaign,
        at: now,
        kind,
    };
    let enrollment = after.id;
    let ended = matches!(before.state, EnrollmentState::Waiting { .. }).then(|| {
        event(EventKind::Enrollment {
            enrollment,
            state: after.state.name().to_owned(),
            due_at: None,
        })
    });
    let erased = event(EventKind::Erased { enrollment, by });
    ended.into_iter().chain([erased]).collect()
}

/// Whether words of a talk may still be on their way to the records.
fn may_bring_words(call: &CallRecord, now: Timestamp) -> bool {
    let facts = &call.attempt.facts;
    let ended_at = call.attempt.state.ended_at().unwrap_or(now);
    facts.stream.is_some() && facts.media_ended_at.is_none() && now < ended_at + WORDS_COME_WITHIN
}

/// The entries that name a person without saying who it is: nobody can tell the number or the address
/// from one without the tenant's salt.
pub(super) fn hashes(salt: &str, person: &Identity) -> impl Iterator<Item = Subject> {
    let phones = person.phones.iter().map(PhoneNumber::as_str);
    let texts = phones.chain(person.emails.iter().map(String::as_str));
    texts.map(move |text| hashed(salt, text))
}

fn hashed(salt: &str, text: &str) -> Subject {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("a key may have any length");
    mac.update(text.as_bytes());
    let digest = mac.finalize().into_bytes();
    Subject::Hash(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_salt_and_names_number_and_address() {
        let ann = Identity {
            phones: vec!["+12025550143".parse().unwrap()],
            emails: vec!["ann@example.com".to_owned()],
        };
        let of = |salt: &str| hashes(salt, &ann).collect::<Vec<_>>();
        assert_eq!(of("a"), of("a"));
        assert_eq!(of("a").len(), 2);
        assert!(of("a").iter().all(|hash| !of("b").contains(hash)));
    }
}
