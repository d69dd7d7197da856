//! Where everything is kept: one trait, three complete implementations, one suite of cases for all.
//!
//! The methods are the verbs that the engine and the API need. This module knows how records are
//! kept and found again; it does not know what follows from them. Every method takes the tenant, so
//! that one tenant's records cannot be reached through another's request.

mod paging;
mod records;

pub mod memory;
pub mod mongo;
pub mod sqlite;

use std::{collections::BTreeMap, fmt, num::NonZeroU32, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::domain::{
    Timestamp,
    access::{Session, User},
    attempt::Attempt,
    audience::{Import, NewEnrollment, RejectedRow},
    campaign::Campaign,
    contact::Contact,
    enrollment::{CallRecord, Enrollment, Progress},
    erasure::Identity,
    event::{Event, StoredEvent},
    halt::{Halt, HaltScope, Halts},
    holiday::Holidays,
    ids::{
        AttemptId, CallSid, CampaignId, ContactId, ConversationId, EnrollmentId, ImportId, NodeId,
        PlaceKey, SessionId, SuppressionId, TenantId, UserId,
    },
    pacing::Usage,
    phone::PhoneNumber,
    register::{RegisterName, Registers},
    rules::Rule,
    signal::Signal,
    suppression::{Subject, Suppression},
    web_tool::{ToolName, WebTool},
};

/// A cause that is kept for the log only.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what was asked, sorted by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process changed the record first. Load again and decide again.
    #[error("{record} was changed by somebody else meanwhile")]
    Conflict {
        /// Which record.
        record: String,
    },

    /// The caller's lease on the tenant has passed to another process. Stop dispatching.
    #[error("the lease on {tenant} belongs to another process")]
    LeaseLost {
        /// Which tenant.
        tenant: TenantId,
    },

    /// A unique value is taken, such as a user's e-mail address.
    #[error("{what} is already taken")]
    Taken {
        /// Which value.
        what: String,
    },

    /// The cursor is not one that this list gave out.
    #[error("the cursor is not one that this list gave out")]
    BadCursor,

    /// The store does not answer, or has no room. Later it may work. A change that was asked for is
    /// usually not made, but may be where the answer alone was lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] BoxError),

    /// A record cannot be read: written by a newer release, or damaged. A person has to look.
    #[error("{record} cannot be read: {source}")]
    Unreadable {
        /// Which record.
        record: String,
        /// What is wrong with it.
        source: BoxError,
    },
}

/// What a store method gives back.
pub type StoreResult<T> = Result<T, StoreError>;

/// Everything that is kept. All implementations pass the cases of `tests/it/store.rs`.
pub trait Store:
    Campaigns
    + Enrollments
    + Dispatch
    + Figures
    + Contacts
    + People
    + Suppressions
    + WebTools
    + Inbox
    + Events
    + Imports
    + Accounts
    + Installation
{
}

impl<S> Store for S where
    S: Campaigns
        + Enrollments
        + Dispatch
        + Figures
        + Contacts
        + People
        + Suppressions
        + WebTools
        + Inbox
        + Events
        + Imports
        + Accounts
        + Installation
{
}

/// Campaigns.
#[async_trait]
pub trait Campaigns: Send + Sync + 'static {
    /// Adds a campaign.
    async fn insert_campaign(&self, campaign: &Campaign) -> StoreResult<()>;

    /// The campaign, unless it is unknown or deleted.
    async fn find_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>>;

    /// The campaign, even if it is deleted: for what is still going on in it.
    async fn find_campaign_or_deleted(
        &self,
        tenant: TenantId,
        id: CampaignId,
    ) -> StoreResult<Option<Campaign>>;

    /// Campaigns, newest first; deleted ones only where the filter asks for them.
    async fn list_campaigns(
        &self,
        tenant: TenantId,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Campaign>>;

    /// Replaces a campaign, whose `version` is one above the stored one, and adds `events`.
    ///
    /// - Errors: [`StoreError::Conflict`] when the stored version is another; nothing was changed.
    async fn save_campaign(&self, campaign: &Campaign, events: &[Event]) -> StoreResult<()>;

    /// Hides a campaign from every list; its records stay.
    ///
    /// - Errors: [`StoreError::Conflict`] when the stored version is another than `version`, or the
    ///   tenant has no such campaign, or no longer.
    async fn delete_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        version: u64,
    ) -> StoreResult<()>;

    /// How far a campaign has come, counted from its enrollments and attempts.
    async fn progress(&self, tenant: TenantId, id: CampaignId) -> StoreResult<Progress>;
}

/// Enrollments and the attempts made for them.
#[async_trait]
pub trait Enrollments: Send + Sync + 'static {
    /// Enrolls people, due at once, and adds the ones the address book lacks to it.
    ///
    /// - Shape: the positions in `members` whose number the campaign already has, ascending; those
    ///   were not added. The first of two equal numbers within `members` is kept.
    /// - Holds: a number is in a campaign at most once, whatever the number of processes. Where
    ///   anybody was added, the campaign's `version` is higher afterwards: what was decided on it
    ///   before, such as that nobody is left, is refused when it is saved.
    /// - Errors: [`StoreError::Conflict`] when the tenant has no such campaign, or no longer.
    async fn enroll(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        members: &[NewEnrollment],
        now: Timestamp,
    ) -> StoreResult<Vec<usize>>;

    /// One enrollment.
    async fn find_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<Enrollment>>;

    /// One enrollment with its campaign, which is read at the same time or after it; none when either is
    /// unknown, or the campaign is deleted.
    async fn find_in_campaign(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<InCampaign>>;

    /// A campaign's enrollments in the order they were added.
    async fn list_enrollments(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>>;

    /// Takes a person who was never tried out of a campaign. False when there is an attempt or no
    /// such enrollment.
    async fn remove_enrollment(&self, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool>;

    /// Saves an enrollment, whose `version` is one above the stored one, with what belongs to it,
    /// and ends its claim.
    ///
    /// - Holds: durable when it returns. All of it, or nothing: where the database has no
    ///   transactions, the call and the events may be in their lists a moment later, after a crash
    ///   at the latest when the database is opened again.
    /// - Holds: a person has at most one open attempt, over all campaigns of the tenant.
    /// - Errors: [`StoreError::Conflict`] when the stored version is another, the enrollment was
    ///   removed, or it would be the person's second that is open. After [`StoreError::Unavailable`] it may have been saved all the same: load again.
    async fn commit(&self, commit: &Commit) -> StoreResult<()>;

    /// Whose an enrollment is. Only for callbacks, which name an attempt and nothing else; their
    /// signature is checked before.
    async fn tenant_of(&self, enrollment: EnrollmentId) -> StoreResult<Option<TenantId>>;

    /// One attempt, open or past.
    async fn find_call(&self, tenant: TenantId, id: AttemptId) -> StoreResult<Option<CallRecord>>;

    /// The attempt that the carrier calls `sid`.
    async fn find_call_by_sid(
        &self,
        tenant: TenantId,
        sid: &CallSid,
    ) -> StoreResult<Option<CallRecord>>;

    /// The attempt in which the agent's vendor held that conversation.
    async fn find_call_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> StoreResult<Option<CallRecord>>;

    /// Attempts, latest start first.
    async fn list_calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>>;
}

/// What the dispatching of a tenant needs.
#[async_trait]
pub trait Dispatch: Send + Sync + 'static {
    /// All tenants.
    async fn list_tenants(&self) -> StoreResult<Vec<TenantId>>;

    /// Adds a tenant unless it is there.
    async fn ensure_tenant(&self, tenant: TenantId) -> StoreResult<()>;

    /// Takes or renews the lease on dispatching for a tenant, until `now + ttl`.
    ///
    /// - Shape: the fencing number, the same while one holder renews in time, higher with each new
    ///   holder; none while another process holds the lease.
    async fn hold_lease(
        &self,
        tenant: TenantId,
        node: NodeId,
        ttl: Duration,
        now: Timestamp,
    ) -> StoreResult<Option<Fencing>>;

    /// Who holds the lease on dispatching for a tenant now.
    async fn lease_holder(&self, tenant: TenantId, now: Timestamp) -> StoreResult<Option<NodeId>>;

    /// Gives the lease back before its time, if `node` holds it.
    async fn release_lease(&self, tenant: TenantId, node: NodeId) -> StoreResult<()>;

    /// The tenant's active campaigns, oldest start first.
    async fn active_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>>;

    /// The tenant's campaigns that wait for their start, soonest created first.
    async fn scheduled_campaigns(&self, tenant: TenantId) -> StoreResult<Vec<Campaign>>;

    /// What a round of dispatch begins with, read together.
    async fn outlook(&self, tenant: TenantId) -> StoreResult<Outlook>;

    /// What is up in each campaign that has any attempt, counted from the attempts.
    async fn usage(&self, tenant: TenantId) -> StoreResult<BTreeMap<CampaignId, Usage>>;

    /// Leases up to `limit` enrollments of a campaign that wait and are due, soonest first.
    ///
    /// Whoever has an open attempt in another campaign of the tenant, or is in a live claim there, is
    /// passed over and stays due; those behind move up. Of two campaigns that reach for one person
    /// at the same moment, it can be that neither gets them this time.
    ///
    /// - Holds: an enrollment is in at most one live claim, whatever the number of processes, and so
    ///   is a person, whatever the number of campaigns. The campaign's status is read in the same operation: nothing is claimed unless it is active.
    ///   Each claimed enrollment comes back with its version already raised.
    /// - Errors: [`StoreError::LeaseLost`] when `node` and `fencing` are not the current holder's, or
    ///   the lease has run out; nothing was claimed.
    async fn claim_due(&self, request: &ClaimRequest) -> StoreResult<Vec<Enrollment>>;

    /// Makes those of a campaign due at `now` whom one of `rules` put off until later, and ends its
    /// claims: what is being decided on them goes by what held before, and is refused when it is saved.
    /// Retries keep their time.
    ///
    /// - Shape: how many were put off.
    /// - Errors: after [`StoreError::Unavailable`] some may be due. Asking again does the rest.
    async fn release_held(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> StoreResult<u64>;

    /// When the campaign's next waiting enrollment is due; none when nothing waits. A claimed one
    /// counts from the end of its claim. One that [`Dispatch::claim_due`] passed over counts from its
    /// due time, so this may lie in the past although nothing can be claimed.
    /// - Shape: only those at `places`, where that is given.
    async fn next_due(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        places: Option<&[PlaceKey]>,
    ) -> StoreResult<Option<Timestamp>>;

    /// Open enrollments whose time to ask the carrier has come, longest overdue first. One that cannot
    /// be read is logged and left out.
    async fn overdue(
        &self,
        tenant: TenantId,
        now: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<Enrollment>>;
}

/// Figures and facts that policies go by, counted from the records.
#[async_trait]
pub trait Figures: Send + Sync + 'static {
    /// Every place that anybody enrolled in the campaign is at, in the order of their keys. May name
    /// places that nobody is at any more. Changes only together with the campaign's `version`.
    async fn places(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<Vec<PlaceKey>>;

    /// How many enrollments wait, by place and by the rule that put them off.
    async fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        now: Timestamp,
    ) -> StoreResult<Vec<WaitingGroup>>;

    /// How many enrollments ended without an attempt's outcome deciding it, by the rule that did.
    async fn finished_by_rule(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> StoreResult<BTreeMap<Rule, u64>>;

    /// Sums over a campaign's ended calls whose dial start was at `since` or later.
    ///
    /// - Units: `billed` in whole minutes per call, as carriers bill: each begun minute.
    async fn call_totals(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        since: Timestamp,
    ) -> StoreResult<CallTotals>;

    /// A campaign's attempts that are no longer open, latest dial start first.
    async fn recent_calls(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<CallRecord>>;

    /// How often each of the tenant's own numbers was used for a dial start at `since` or later, and
    /// when last. Released attempts do not count.
    async fn caller_usage(
        &self,
        tenant: TenantId,
        since: Timestamp,
    ) -> StoreResult<BTreeMap<PhoneNumber, CallerUsage>>;

    /// The dial starts to one number over all campaigns of the tenant at `since` or later, latest
    /// first, open and unknown ones included, released ones not.
    async fn attempts_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
        since: Timestamp,
    ) -> StoreResult<Vec<CallRecord>>;

    /// The tenant's calls that are open, to that number; for a person who may be called no more.
    async fn open_calls_to(
        &self,
        tenant: TenantId,
        to: &PhoneNumber,
    ) -> StoreResult<Vec<CallRecord>>;
}

/// What is kept about the installation as a whole.
#[async_trait]
pub trait Installation: Send + Sync + 'static {
    /// The deployment that these records belong to; none in a new store.
    async fn deployment(&self) -> StoreResult<Option<Deployment>>;

    /// Replaces it.
    async fn save_deployment(&self, deployment: &Deployment) -> StoreResult<()>;

    /// The emergency stops that hold for a tenant.
    async fn halts(&self, tenant: TenantId) -> StoreResult<Halts>;

    /// Replaces the emergency stop of a scope; none lifts it.
    ///
    /// - Holds: durable when it returns. Whoever reads [`Installation::halts`] after that, in whatever
    ///   process, sees it.
    async fn save_halt(&self, scope: HaltScope, halt: Option<&Halt>) -> StoreResult<()>;
}

/// Signals from outside, saved before they are answered.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Saves a signal under its key. False when that key was received before, processed or not.
    ///
    /// - Holds: durable when it returns.
    async fn receive(&self, entry: &InboxEntry) -> StoreResult<bool>;

    /// Marks a signal as processed; its key stays known for at least a day.
    async fn settle(&self, tenant: TenantId, key: &str, now: Timestamp) -> StoreResult<()>;

    /// Signals received before `before` that are not processed, oldest first. One that cannot be read
    /// is logged and left out.
    async fn unsettled(
        &self,
        tenant: TenantId,
        before: Timestamp,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<InboxEntry>>;

    /// Forgets processed signals that were received before `before`.
    async fn forget_settled(&self, tenant: TenantId, before: Timestamp) -> StoreResult<()>;
}

/// The log of each campaign.
#[async_trait]
pub trait Events: Send + Sync + 'static {
    /// Adds events, which all belong to one campaign, at the end of its log.
    async fn append_events(&self, events: &[Event]) -> StoreResult<()>;

    /// A campaign's events with `seq` above `after`, in order. Numbers may have gaps. Of commits that
    /// run at the same time on MongoDB, a lower number may appear after a higher.
    async fn events_after(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        after: u64,
        limit: NonZeroU32,
    ) -> StoreResult<Vec<StoredEvent>>;

    /// The highest `seq` of a campaign's log; 0 when it is empty.
    async fn last_seq(&self, tenant: TenantId, campaign: CampaignId) -> StoreResult<u64>;

    /// The events of one attempt, in order.
    async fn call_events(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
    ) -> StoreResult<Vec<StoredEvent>>;

    /// Every tenant's events from now on, from all processes, as they are committed: whoever needs a
    /// campaign's order goes by `seq`. Lasts as long as the store; after a fault of the database it
    /// goes on where it stopped, and may repeat some.
    async fn watch_events(&self) -> StoreResult<BoxStream<'static, StoredEvent>>;

    /// Whether the store can be read and written now.
    async fn check(&self) -> StoreResult<()>;

    /// The time by the clock that all processes of this store share; none where they share a machine
    /// and so that one's clock.
    async fn time(&self) -> StoreResult<Option<Timestamp>>;
}

/// Uploaded lists.
#[async_trait]
pub trait Imports: Send + Sync + 'static {
    /// Adds or replaces an import.
    async fn save_import(&self, import: &Import) -> StoreResult<()>;

    /// One import.
    async fn find_import(&self, tenant: TenantId, id: ImportId) -> StoreResult<Option<Import>>;

    /// Keeps rows that were not accepted. The same line again replaces the one before.
    async fn add_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        rows: &[RejectedRow],
    ) -> StoreResult<()>;

    /// Rows that were not accepted, by line.
    async fn list_rejected(
        &self,
        tenant: TenantId,
        import: ImportId,
        page: &PageRequest,
    ) -> StoreResult<Page<RejectedRow>>;
}

/// The address book of each tenant. People come into it by [`Enrollments::enroll`].
#[async_trait]
pub trait Contacts: Send + Sync + 'static {
    /// One person.
    async fn find_contact(&self, tenant: TenantId, id: ContactId) -> StoreResult<Option<Contact>>;

    /// The ones of these that there are, in no order.
    async fn contacts_of(&self, tenant: TenantId, ids: &[ContactId]) -> StoreResult<Vec<Contact>>;

    /// The ones with these numbers that there are, in no order.
    async fn contacts_by_phone(
        &self,
        tenant: TenantId,
        phones: &[PhoneNumber],
    ) -> StoreResult<Vec<Contact>>;
}

/// What is held about one person, and taking it away.
#[async_trait]
pub trait People: Send + Sync + 'static {
    /// Those in the address book who are written to at that address, in no order.
    async fn contacts_by_email(&self, tenant: TenantId, email: &str) -> StoreResult<Vec<Contact>>;

    /// Whoever has that number, in every campaign of the tenant, deleted ones included, in no order.
    async fn enrollments_with(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> StoreResult<Vec<Enrollment>>;

    /// The rows of the tenant's lists that were not accepted and are about the person, in no order.
    async fn rejected_about(
        &self,
        tenant: TenantId,
        person: &Identity,
    ) -> StoreResult<Vec<(ImportId, RejectedRow)>>;

    /// Puts events in the place of those with the same campaign and `seq`. Nobody who watches is
    /// told.
    async fn replace_events(&self, events: &[StoredEvent]) -> StoreResult<()>;

    /// Leaves of the received signals of these attempts what [`Signal::erased`] leaves. Their keys
    /// stay known, and those that are not processed still will be.
    async fn erase_signals(&self, tenant: TenantId, attempts: &[AttemptId]) -> StoreResult<()>;

    /// Takes the entries that name the person openly out of the list of those who must not be
    /// contacted, lifted ones too, and then the person out of the address book.
    ///
    /// - Errors: after [`StoreError::Unavailable`] some of it may be done, and who is still in the
    ///   address book may have entries left.
    async fn forget_person(&self, tenant: TenantId, person: &Identity) -> StoreResult<()>;
}

/// Those who must not be contacted.
#[async_trait]
pub trait Suppressions: Send + Sync + 'static {
    /// Adds entries to their tenants' lists. How many were new.
    ///
    /// - Holds: what is in force stays as it is: another entry for the same subject and scope
    ///   changes nothing. One that was lifted is no obstacle, and stays lifted.
    async fn add_suppressions(&self, entries: &[Suppression]) -> StoreResult<u64>;

    /// The entries in force that name any of these, oldest first.
    async fn suppressions_of(
        &self,
        tenant: TenantId,
        subjects: &[Subject],
    ) -> StoreResult<Vec<Suppression>>;

    /// Every entry, lifted ones too, newest first; with `search`, those whose number, address or
    /// reason contains it in any case.
    async fn list_suppressions(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>>;

    /// Takes an entry out of force; it stays in the list. False when there is none in force.
    async fn lift_suppression(
        &self,
        tenant: TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> StoreResult<bool>;

    /// What the tenant has set for all its campaigns. Each part is saved by itself, so that whoever
    /// saves one leaves the others as they are.
    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<TenantRules>;

    /// Replaces the days that the tenant adds to the public holidays.
    async fn save_holidays(&self, tenant: TenantId, holidays: &Holidays) -> StoreResult<()>;

    /// Keeps what the tenant's hashes are made with, and gives what is kept.
    ///
    /// - Holds: that is the first one that was ever saved. With another, those who are listed by a
    ///   hash would be strangers again.
    async fn keep_salt(&self, tenant: TenantId, salt: &str) -> StoreResult<String>;

    /// Takes a whole copy of a do-not-call register down. One that is older than the one there is
    /// changes nothing.
    async fn save_register_copy(
        &self,
        tenant: TenantId,
        register: &RegisterName,
        taken_at: Timestamp,
    ) -> StoreResult<()>;
}

/// The tools that tenants give their agents.
#[async_trait]
pub trait WebTools: Send + Sync + 'static {
    /// All of a tenant's, by name.
    async fn list_web_tools(&self, tenant: TenantId) -> StoreResult<Vec<WebTool>>;

    /// The one of that name.
    async fn find_web_tool(
        &self,
        tenant: TenantId,
        name: &ToolName,
    ) -> StoreResult<Option<WebTool>>;

    /// Adds a tool, or replaces the one of its name.
    async fn save_web_tool(&self, tenant: TenantId, tool: &WebTool) -> StoreResult<()>;

    /// Removes a tool; false when there is none of that name.
    async fn delete_web_tool(&self, tenant: TenantId, name: &ToolName) -> StoreResult<bool>;
}

/// Who may sign in.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Adds a user. [`StoreError::Taken`] when the e-mail address is.
    async fn insert_user(&self, user: &User) -> StoreResult<()>;

    /// The user of an e-mail address in lower case; the way in for signing in, before the tenant
    /// is known.
    async fn find_user_by_email(&self, email: &str) -> StoreResult<Option<User>>;

    /// One user.
    async fn find_user(&self, tenant: TenantId, id: UserId) -> StoreResult<Option<User>>;

    /// How many users the installation has.
    async fn count_users(&self) -> StoreResult<u64>;

    /// Adds a session.
    async fn insert_session(&self, session: &Session) -> StoreResult<()>;

    /// One session, even if it has run out.
    async fn find_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<Option<Session>>;

    /// Ends a session.
    async fn delete_session(&self, tenant: TenantId, id: SessionId) -> StoreResult<()>;
}

/// Rises with each new holder of a tenant's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fencing(pub u64);

/// What a round of dispatch for a tenant begins with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outlook {
    /// The emergency stops that hold.
    pub halts: Halts,
    /// As [`Dispatch::active_campaigns`].
    pub active: Vec<Campaign>,
    /// As [`Dispatch::scheduled_campaigns`].
    pub scheduled: Vec<Campaign>,
    /// As [`Suppressions::tenant_rules`].
    pub rules: TenantRules,
    /// As [`Dispatch::usage`]; not counted where no campaign is active or scheduled.
    pub usage: BTreeMap<CampaignId, Usage>,
}

/// What to claim, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Of which campaign.
    pub campaign: CampaignId,
    /// Who claims.
    pub node: NodeId,
    /// The claimer's fencing number for the tenant.
    pub fencing: Fencing,
    /// The most to claim.
    pub limit: NonZeroU32,
    /// Only people at these places; none for everywhere.
    pub places: Option<Vec<PlaceKey>>,
    /// How long the claim lasts from `now` unless a commit ends it.
    pub lease: Duration,
    /// The present.
    pub now: Timestamp,
}

/// Enrollments that wait for the same reason at the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingGroup {
    /// Where.
    pub place: PlaceKey,
    /// The rule that put them off; none for those that never were, or wait for a retry.
    pub held_by: Option<Rule>,
    /// Whether they were tried before.
    pub tried: bool,
    /// How many.
    pub n: u64,
    /// How many of them are due.
    pub n_due: u64,
    /// When the first of those that are not due will be.
    pub next_due_at: Option<Timestamp>,
}

/// Sums over calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallTotals {
    /// Attempts for which a call existed.
    pub n_calls: u64,
    /// Calls that a person answered: answered, abandoned or without an agent. Not machines.
    pub n_answered: u64,
    /// Of those, the ones that were over before an agent was on the line, or got none.
    pub n_abandoned: u64,
    /// Of those, the ones in which the agent's first audio came later than two seconds after the
    /// answer.
    pub n_silent: u64,
    /// The carrier's minutes.
    pub billed_minutes: u64,
}

/// An entry of the list of those who must not be contacted, and whether it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionEntry {
    /// The entry as it was added.
    pub suppression: Suppression,
    /// Who took it out of force; none while it is.
    pub lifted: Option<Lift>,
}

/// The end of a suppression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lift {
    /// When.
    pub at: Timestamp,
    /// Who; none where it was a program.
    pub by: Option<UserId>,
    /// Why, in words.
    pub reason: Option<String>,
}

/// What a tenant has set for all its campaigns.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TenantRules {
    /// The days it adds to the public holidays.
    pub holidays: Holidays,
    /// Its copies of do-not-call registers.
    pub registers: Registers,
    /// What hashes of erased numbers are made with; none where nobody was erased.
    pub salt: Option<String>,
}

impl fmt::Debug for TenantRules {
    /// Leaves out the salt: with it, hashes are numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRules")
            .field("holidays", &self.holidays)
            .field("registers", &self.registers)
            .finish_non_exhaustive()
    }
}

/// How one of our own numbers was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallerUsage {
    /// Dial starts.
    pub n: u32,
    /// The latest.
    pub last_start: Timestamp,
}

/// What tells one deployment of the same records from another: a copy, or a restored backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The identity, which is kept outside of the records.
    pub identity: String,
    /// When it began to work with these records.
    pub since: Timestamp,
    /// When it last noted that it writes into them.
    pub beat_at: Timestamp,
    /// Since when the carrier may have made calls that these records do not know; none when they know
    /// all.
    pub calls_missing_since: Option<Timestamp>,
}

/// An enrollment and the campaign that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InCampaign {
    /// The enrollment.
    pub enrollment: Enrollment,
    /// Its campaign.
    pub campaign: Campaign,
}

/// An enrollment to save, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The enrollment, its version already raised by one.
    pub enrollment: Enrollment,
    /// The attempt that changed, open or ended.
    pub attempt: Option<Attempt>,
    /// What happened.
    pub events: Vec<Event>,
}

/// A signal with what is needed to process it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// The same for repeats of the same signal.
    pub key: String,
    /// Whose.
    pub tenant: TenantId,
    /// Which attempt it is about.
    pub attempt: AttemptId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What it says.
    pub signal: Signal,
}

/// Which campaigns to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CampaignFilter {
    /// Only those in a status of this name.
    pub status: Option<String>,
    /// Only those whose name contains this, case aside.
    pub search: Option<String>,
    /// Whether deleted ones are among them.
    pub with_deleted: bool,
}

/// Which enrollments to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnrollmentFilter {
    /// Only those in a state of this name.
    pub state: Option<String>,
}

/// Which calls to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    /// Only those of this campaign.
    pub campaign: Option<CampaignId>,
    /// Only those of this enrollment.
    pub enrollment: Option<EnrollmentId>,
    /// Only open ones (true), only ended or released ones (false).
    pub open: Option<bool>,
    /// Only those that ended in an outcome of this name.
    pub outcome: Option<String>,
    /// Only those whose price the carrier is to be asked for by then.
    pub price_due_by: Option<Timestamp>,
    /// Only those with a recording that the carrier keeps and that was told of by then.
    pub recorded_by: Option<Timestamp>,
}

/// Which part of a list to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The most items.
    pub limit: NonZeroU32,
    /// Where an earlier page ended; none for the first page. What no list gave out is
    /// [`StoreError::BadCursor`].
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The first `limit` items.
    pub fn first(limit: u32) -> Self {
        Self {
            limit: NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN),
            cursor: None,
        }
    }
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of this part.
    pub items: Vec<T>,
    /// How many items the whole list has.
    pub total: u64,
    /// Where the next part begins; none when this is the last.
    pub next: Option<String>,
}
