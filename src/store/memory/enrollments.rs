//! Enrollments: adding, listing, removing, and the one way of saving them.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{MemoryStore, Records, to_millisecond, to_whole_milliseconds};
use crate::{
    domain::{
        Timestamp,
        attempt::{Attempt, AttemptState},
        audience::NewEnrollment,
        enrollment::{CallRecord, Enrollment, EnrollmentState, Progress},
        erasure::KeptNumber,
        ids::{
            AttemptId, CallSid, CampaignId, ContactId, ConversationId, EnrollmentId, PlaceKey,
            TenantId,
        },
        retry::Tally,
        rules::Rule,
    },
    store::{
        self, CallFilter, ClaimRequest, Commit, EnrollmentFilter, InCampaign, Page, PageRequest,
        StoreError, StoreResult,
        paging::{self, Position},
        records::Bucket,
    },
};

/// All enrollments.
#[derive(Default)]
pub struct Enrollments {
    by_id: BTreeMap<EnrollmentId, Kept>,
    numbers: BTreeSet<(CampaignId, KeptNumber)>,
    /// Where anybody was when they were enrolled.
    places: BTreeSet<(CampaignId, PlaceKey)>,
    /// In the order of adding.
    added: BTreeMap<(CampaignId, i64), EnrollmentId>,
    n_added: i64,
    /// Those that wait, by when they may be claimed.
    ready: BTreeMap<(CampaignId, Timestamp, i64), EnrollmentId>,
    /// Those that are open, by person.
    open: BTreeMap<(TenantId, ContactId), EnrollmentId>,
    /// Those that are open, by when to ask the carrier.
    checks: BTreeMap<(TenantId, Timestamp, i64), EnrollmentId>,
    /// When the claims that no commit ended run out, by person.
    claims: BTreeMap<(TenantId, ContactId, EnrollmentId), Timestamp>,
}

struct Kept {
    enrollment: Enrollment,
    position: i64,
    /// When a waiting one may be claimed: its due time, or the end of its claim.
    ready_at: Option<Timestamp>,
}

impl Kept {
    fn new(enrollment: Enrollment, position: i64) -> Self {
        let ready_at = match &enrollment.state {
            EnrollmentState::Waiting { due_at, .. } => Some(*due_at),
            EnrollmentState::Open { .. } | EnrollmentState::Finished { .. } => None,
        };
        Self {
            enrollment,
            position,
            ready_at,
        }
    }
}

impl Enrollments {
    /// One enrollment.
    pub fn find(&self, tenant: TenantId, id: EnrollmentId) -> Option<&Enrollment> {
        self.by_id
            .get(&id)
            .map(|kept| &kept.enrollment)
            .filter(|enrollment| enrollment.tenant == tenant)
    }

    /// Everybody of every campaign.
    pub fn all(&self) -> impl Iterator<Item = &Enrollment> {
        self.by_id.values().map(|kept| &kept.enrollment)
    }

    /// A campaign's enrollments in the order of adding.
    pub fn of(&self, tenant: TenantId, campaign: CampaignId) -> impl Iterator<Item = &Enrollment> {
        self.added
            .range((campaign, i64::MIN)..=(campaign, i64::MAX))
            .map(|(_, id)| &self.by_id[id].enrollment)
            .filter(move |enrollment| enrollment.tenant == tenant)
    }

    /// A campaign's enrollments that wait, with the moment from which each may be claimed.
    pub fn waiting(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
    ) -> impl Iterator<Item = (&Enrollment, Timestamp)> {
        self.ready_until(campaign, Timestamp::MAX)
            .map(|(at, kept)| (&kept.enrollment, at))
            .filter(move |(enrollment, _)| enrollment.tenant == tenant)
    }

    fn ready_until(
        &self,
        campaign: CampaignId,
        until: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, &Kept)> {
        self.ready
            .range((campaign, Timestamp::MIN, i64::MIN)..=(campaign, until, i64::MAX))
            .map(|((_, at, _), id)| (*at, &self.by_id[id]))
    }

    /// Every place that anybody enrolled in the campaign was at.
    pub fn places(&self, campaign: CampaignId) -> Vec<PlaceKey> {
        self.places
            .range((campaign, PlaceKey::new(""))..)
            .take_while(|(of, _)| *of == campaign)
            .map(|(_, place)| place.clone())
            .collect()
    }

    /// When the campaign's next waiting enrollment may be claimed, everywhere or at one of `places`.
    pub fn next_due(&self, campaign: CampaignId, places: Option<&[PlaceKey]>) -> Option<Timestamp> {
        self.ready_until(campaign, Timestamp::MAX)
            .find(|(_, kept)| places.is_none_or(|places| places.contains(&kept.enrollment.place)))
            .map(|(at, _)| at)
    }

    /// Claims those that are due and whose person is free.
    pub fn claim(&mut self, request: &ClaimRequest) -> Vec<Enrollment> {
        let &ClaimRequest { tenant, now, .. } = request;
        let places: Option<BTreeSet<&PlaceKey>> = request
            .places
            .as_ref()
            .map(|places| places.iter().collect());
        let free: Vec<EnrollmentId> = self
            .ready_until(request.campaign, now)
            .map(|(_, kept)| &kept.enrollment)
            .filter(|it| {
                places
                    .as_ref()
                    .is_none_or(|places| places.contains(&it.place))
            })
            .filter(|it| self.is_free(tenant, it.contact, now))
            .map(|it| it.id)
            .take(request.limit.get() as usize)
            .collect();
        let claim_end = now + request.lease;
        free.into_iter()
            .map(|id| self.claim_one(id, claim_end))
            .collect()
    }

    fn is_free(&self, tenant: TenantId, contact: ContactId, now: Timestamp) -> bool {
        let first = EnrollmentId::new(uuid::Uuid::nil());
        let last = EnrollmentId::new(uuid::Uuid::max());
        let claims = (tenant, contact, first)..=(tenant, contact, last);
        !self.open.contains_key(&(tenant, contact))
            && self.claims.range(claims).all(|(_, end)| *end <= now)
    }

    fn claim_one(&mut self, id: EnrollmentId, claim_end: Timestamp) -> Enrollment {
        let mut kept = self.take(id).expect("a ready one is there");
        kept.enrollment.version += 1;
        kept.ready_at = Some(claim_end);
        let enrollment = kept.enrollment.clone();
        self.claims
            .insert((enrollment.tenant, enrollment.contact, id), claim_end);
        self.put(kept);
        enrollment
    }

    /// Ends the campaign's claims, and makes those due whom one of `rules` put off until later; says how
    /// many those are.
    pub fn release_held(
        &mut self,
        tenant: TenantId,
        campaign: CampaignId,
        rules: &[Rule],
        now: Timestamp,
    ) -> u64 {
        let later: Vec<EnrollmentId> = self
            .waiting(tenant, campaign)
            .filter(|(_, ready_at)| *ready_at > now)
            .map(|(enrollment, _)| enrollment.id)
            .collect();
        let mut n_held = 0;
        for id in later {
            let kept = self.take(id).expect("a waiting one is there");
            let (mut enrollment, position) = (kept.enrollment, kept.position);
            match &mut enrollment.state {
                EnrollmentState::Waiting { due_at, held_by } if *due_at > now => {
                    if held_by.is_some_and(|rule| rules.contains(&rule)) {
                        *due_at = to_millisecond(now);
                        enrollment.version += 1;
                        n_held += 1;
                    }
                }
                // Ready later than it is due: it is in a claim.
                _ => enrollment.version += 1,
            }
            self.put(Kept::new(enrollment, position));
        }
        n_held
    }

    /// Open enrollments whose time to ask the carrier has come.
    pub fn overdue(&self, tenant: TenantId, now: Timestamp, limit: usize) -> Vec<Enrollment> {
        let due = (tenant, Timestamp::MIN, i64::MIN)..=(tenant, now, i64::MAX);
        self.checks
            .range(due)
            .take(limit)
            .map(|(_, id)| self.by_id[id].enrollment.clone())
            .collect()
    }

    /// Takes one out of every map, its claim included.
    fn take(&mut self, id: EnrollmentId) -> Option<Kept> {
        let kept = self.by_id.remove(&id)?;
        let Enrollment {
            tenant,
            campaign,
            contact,
            ..
        } = kept.enrollment;
        self.added.remove(&(campaign, kept.position));
        self.claims.remove(&(tenant, contact, id));
        if let Some(at) = kept.ready_at {
            self.ready.remove(&(campaign, at, kept.position));
        }
        if let EnrollmentState::Open { check_at, .. } = &kept.enrollment.state {
            self.open.remove(&(tenant, contact));
            self.checks.remove(&(tenant, *check_at, kept.position));
        }
        Some(kept)
    }

    fn put(&mut self, kept: Kept) {
        let Enrollment {
            id,
            tenant,
            campaign,
            contact,
            ..
        } = kept.enrollment;
        self.added.insert((campaign, kept.position), id);
        if let Some(at) = kept.ready_at {
            self.ready.insert((campaign, at, kept.position), id);
        }
        if let EnrollmentState::Open { check_at, .. } = &kept.enrollment.state {
            self.open.insert((tenant, contact), id);
            self.checks.insert((tenant, *check_at, kept.position), id);
        }
        self.by_id.insert(id, kept);
    }

    /// Adds somebody, due now; false when the campaign already has the number.
    fn add(
        &mut self,
        tenant: TenantId,
        campaign: CampaignId,
        contact: ContactId,
        new: &NewEnrollment,
        now: Timestamp,
    ) -> bool {
        let number = (campaign, new.member.phone.clone().into());
        if self.by_id.contains_key(&new.id) || !self.numbers.insert(number) {
            return false;
        }
        self.places.insert((campaign, new.place.clone()));
        self.n_added += 1;
        let enrollment = Enrollment {
            id: new.id,
            tenant,
            campaign,
            contact,
            phone: new.member.phone.clone().into(),
            place: new.place.clone(),
            name: new.member.name.clone(),
            fields: new.member.fields.clone(),
            state: EnrollmentState::Waiting {
                due_at: now,
                held_by: None,
            },
            cursor: 0,
            n_attempts: 0,
            n_counted: 0,
            tally: Tally::new(),
            version: 1,
        };
        self.put(Kept::new(enrollment, self.n_added));
        true
    }

    fn list(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>> {
        let after = Position::read(page.cursor.as_deref(), Position::START)?;
        let all = (campaign, i64::MIN)..=(campaign, i64::MAX);
        let found: Vec<(i64, &Enrollment)> = self
            .added
            .range(all)
            .map(|((_, position), id)| (*position, &self.by_id[id].enrollment))
            .filter(|(_, enrollment)| {
                enrollment.tenant == tenant
                    && filter
                        .state
                        .as_ref()
                        .is_none_or(|state| enrollment.state.name() == state)
            })
            .collect();
        let total = found.len() as u64;
        let rows = found
            .into_iter()
            .filter(|(position, _)| *position > after.number)
            .take(page.limit.get() as usize + 1)
            .map(|(position, enrollment)| (Position::at(position, ""), enrollment.clone()));
        Ok(paging::cut(rows.collect(), page.limit, total))
    }
}

/// The enrollment with its times as the other stores keep them.
fn in_whole_milliseconds(mut enrollment: Enrollment) -> Enrollment {
    match &mut enrollment.state {
        EnrollmentState::Waiting { due_at, .. } => *due_at = to_millisecond(*due_at),
        EnrollmentState::Open { attempt, check_at } => {
            cut_attempt(attempt);
            *check_at = to_millisecond(*check_at);
        }
        EnrollmentState::Finished { .. } => {}
    }
    enrollment
}

/// The attempt's times as the other stores keep them.
fn cut_attempt(attempt: &mut Attempt) {
    let facts = &mut attempt.facts;
    let instants = [
        &mut attempt.ring_by,
        &mut facts.ringing_at,
        &mut facts.answered_at,
        &mut facts.media_ended_at,
    ];
    for at in instants.into_iter().flatten() {
        *at = to_millisecond(*at);
    }
    let durations = [&mut facts.duration, &mut facts.first_audio_after];
    for duration in durations.into_iter().flatten() {
        *duration = to_whole_milliseconds(*duration);
    }
    match &mut attempt.state {
        AttemptState::Unknown { since: at, .. }
        | AttemptState::Connected { since: at, .. }
        | AttemptState::Ended { at, .. }
        | AttemptState::Released { at, .. } => *at = to_millisecond(*at),
        AttemptState::Reserved | AttemptState::Dialing { .. } | AttemptState::Ringing { .. } => {}
    }
    attempt.dial_at = to_millisecond(attempt.dial_at);
}

impl Records {
    /// How far a campaign has come.
    pub fn progress(&self, tenant: TenantId, campaign: CampaignId) -> Progress {
        if !self.campaigns.is_of(tenant, campaign) {
            return Progress::default();
        }
        let next_due = self.enrollments.next_due(campaign, None);
        self.totals.progress(campaign, next_due)
    }

    fn save(&mut self, commit: &Commit) -> StoreResult<()> {
        let next = &commit.enrollment;
        let conflict = || StoreError::Conflict {
            record: next.id.to_string(),
        };
        let is_next = self
            .enrollments
            .find(next.tenant, next.id)
            .is_some_and(|stored| stored.version + 1 == next.version);
        let other = self.enrollments.open.get(&(next.tenant, next.contact));
        let is_second = next.open_attempt().is_some() && other.is_some_and(|id| *id != next.id);
        if !is_next || is_second {
            return Err(conflict());
        }
        let before = self.enrollments.take(next.id).ok_or_else(conflict)?;
        let next = in_whole_milliseconds(next.clone());
        self.totals
            .take(next.campaign, &Bucket::of(&before.enrollment));
        self.totals.add(next.campaign, Bucket::of(&next), 1);
        if before.enrollment.phone != next.phone {
            let numbers = &mut self.enrollments.numbers;
            numbers.remove(&(next.campaign, before.enrollment.phone.clone()));
            numbers.insert((next.campaign, next.phone.clone()));
        }
        if let Some(attempt) = &commit.attempt {
            let mut call = CallRecord::of(&next, attempt);
            cut_attempt(&mut call.attempt);
            self.save_call(call);
        }
        self.enrollments.put(Kept::new(next, before.position));
        self.log.append(&commit.events);
        Ok(())
    }
}

#[async_trait]
impl store::Enrollments for MemoryStore {
    async fn enroll(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        members: &[NewEnrollment],
        now: Timestamp,
    ) -> StoreResult<Vec<usize>> {
        let mut records = self.records();
        if records.campaigns.find(tenant, campaign).is_none() {
            return Err(StoreError::Conflict {
                record: campaign.to_string(),
            });
        }
        let mut duplicates = Vec::new();
        for (i, new) in members.iter().enumerate() {
            let contact = records.contacts.know(tenant, new, now);
            let enrollments = &mut records.enrollments;
            if !enrollments.add(tenant, campaign, contact, new, now) {
                duplicates.push(i);
            }
        }
        let n_added = members.len() - duplicates.len();
        if n_added > 0 {
            records
                .totals
                .add(campaign, Bucket::Untried, n_added as u64);
            records.campaigns.raise_version(campaign);
        }
        Ok(duplicates)
    }

    async fn find_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<Enrollment>> {
        Ok(self.records().enrollments.find(tenant, id).cloned())
    }

    async fn find_in_campaign(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<InCampaign>> {
        let records = self.records();
        let Some(enrollment) = records.enrollments.find(tenant, id) else {
            return Ok(None);
        };
        let campaign = records.campaigns.find(tenant, enrollment.campaign);
        Ok(campaign.map(|campaign| InCampaign {
            enrollment: enrollment.clone(),
            campaign: campaign.clone(),
        }))
    }

    async fn list_enrollments(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>> {
        self.records()
            .enrollments
            .list(tenant, campaign, filter, page)
    }

    async fn remove_enrollment(&self, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool> {
        let mut records = self.records();
        let untried = records
            .enrollments
            .find(tenant, id)
            .is_some_and(|enrollment| enrollment.n_attempts == 0);
        let Some(kept) = untried.then(|| records.enrollments.take(id)).flatten() else {
            return Ok(false);
        };
        let gone = kept.enrollment;
        records.totals.take(gone.campaign, &Bucket::of(&gone));
        records
            .enrollments
            .numbers
            .remove(&(gone.campaign, gone.phone));
        Ok(true)
    }

    async fn commit(&self, commit: &Commit) -> StoreResult<()> {
        self.records().save(commit)?;
        self.logged.send_replace(());
        Ok(())
    }

    async fn tenant_of(&self, enrollment: EnrollmentId) -> StoreResult<Option<TenantId>> {
        let records = self.records();
        let kept = records.enrollments.by_id.get(&enrollment);
        Ok(kept.map(|kept| kept.enrollment.tenant))
    }

    async fn find_call(&self, tenant: TenantId, id: AttemptId) -> StoreResult<Option<CallRecord>> {
        Ok(self.records().calls.find(tenant, id).cloned())
    }

    async fn find_call_by_sid(
        &self,
        tenant: TenantId,
        sid: &CallSid,
    ) -> StoreResult<Option<CallRecord>> {
        Ok(self.records().calls.find_by_sid(tenant, sid).cloned())
    }

    async fn find_call_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> StoreResult<Option<CallRecord>> {
        let records = self.records();
        let found = records.calls.find_by_conversation(tenant, conversation);
        Ok(found.cloned())
    }

    async fn list_calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>> {
        self.records().calls.list(tenant, filter, page)
    }
}
