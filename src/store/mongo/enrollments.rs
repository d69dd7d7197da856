//! Enrollments: adding, listing and removing. Saving them is in [`super::commit`].

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use mongodb::bson::{Document, doc};

use super::{
    MongoStore, calls, campaigns, contacts,
    documents::{self, Order},
    events,
};
use crate::{
    domain::{
        Timestamp,
        audience::NewEnrollment,
        enrollment::{CallRecord, Enrollment, EnrollmentState},
        ids::{
            AttemptId, CallSid, CampaignId, ContactId, ConversationId, EnrollmentId, PlaceKey,
            TenantId,
        },
        retry::Tally,
    },
    store::{
        CallFilter, Campaigns, Commit, EnrollmentFilter, Enrollments, InCampaign, Page,
        PageRequest, StoreError, StoreResult,
        paging::{self, Position},
        records::{Bucket, EnrollmentRecord, unreadable},
    },
};

/// How many people one round trip adds.
const ENROLL_BATCH: usize = 5000;

#[async_trait]
impl Enrollments for MongoStore {
    async fn enroll(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        members: &[NewEnrollment],
        now: Timestamp,
    ) -> StoreResult<Vec<usize>> {
        let mut duplicates = Vec::new();
        for (batch, members) in members.chunks(ENROLL_BATCH).enumerate() {
            let found = enroll(self, tenant, campaign, members, now).await?;
            duplicates.extend(found.into_iter().map(|i| batch * ENROLL_BATCH + i));
        }
        Ok(duplicates)
    }

    async fn find_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<Enrollment>> {
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        let found = documents::find::<EnrollmentRecord>(&self.enrollments(), one).await?;
        Ok(found.map(Enrollment::from))
    }

    async fn find_in_campaign(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<InCampaign>> {
        // Two reads by key: one with a `$lookup` costs the server several times as much.
        let Some(enrollment) = self.find_enrollment(tenant, id).await? else {
            return Ok(None);
        };
        let campaign = self.find_campaign(tenant, enrollment.campaign).await?;
        Ok(campaign.map(|campaign| InCampaign {
            enrollment,
            campaign,
        }))
    }

    async fn list_enrollments(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>> {
        let order = Order {
            field: "order",
            is_descending: false,
        };
        let matches = matches(tenant, campaign, filter);
        let (found, total) = documents::page(&self.enrollments(), matches, order, page).await?;
        let rows = found.into_iter().map(|document| {
            let order = document.get_i64("order").unwrap_or_default();
            let enrollment = Enrollment::from(documents::read::<EnrollmentRecord>(document)?);
            Ok((Position::at(order, enrollment.id.to_string()), enrollment))
        });
        let rows = rows.collect::<StoreResult<_>>()?;
        Ok(paging::cut(rows, page.limit, total))
    }

    async fn remove_enrollment(&self, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool> {
        let untried = doc! {"_id": id.to_string(), "tenant": tenant.to_string(), "nAttempts": 0};
        let removed = self.enrollments().delete_one(untried).await?;
        Ok(removed.deleted_count > 0)
    }

    async fn commit(&self, commit: &Commit) -> StoreResult<()> {
        super::commit::save(self, commit).await
    }

    async fn tenant_of(&self, enrollment: EnrollmentId) -> StoreResult<Option<TenantId>> {
        let found = self
            .enrollments()
            .find_one(doc! {"_id": enrollment.to_string()})
            .projection(doc! {"tenant": 1})
            .await?;
        let Some(document) = found else {
            return Ok(None);
        };
        let tenant = document.get_str("tenant").unwrap_or_default();
        let tenant = tenant.parse();
        tenant
            .map(Some)
            .map_err(|error| unreadable(enrollment.to_string(), error))
    }

    async fn find_call(&self, tenant: TenantId, id: AttemptId) -> StoreResult<Option<CallRecord>> {
        let enrollment = doc! {"_id": id.enrollment.to_string(), "tenant": tenant.to_string()};
        self.complete_commits_of(enrollment).await?;
        let one = doc! {"_id": id.to_string(), "tenant": tenant.to_string()};
        calls::find(self, one).await
    }

    async fn find_call_by_sid(
        &self,
        tenant: TenantId,
        sid: &CallSid,
    ) -> StoreResult<Option<CallRecord>> {
        let enrollment = doc! {
            "tenant": tenant.to_string(),
            "pending.call.attempt.state.sid": sid.as_str(),
        };
        self.complete_commits_of(enrollment).await?;
        let one = doc! {
            "tenant": tenant.to_string(),
            "attempt.state.sid": sid.as_str(),
            "hasSid": true,
        };
        calls::find(self, one).await
    }

    async fn find_call_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> StoreResult<Option<CallRecord>> {
        let enrollment = doc! {
            "tenant": tenant.to_string(),
            "pending.call.attempt.facts.conversation": conversation.as_str(),
        };
        self.complete_commits_of(enrollment).await?;
        let one = doc! {
            "tenant": tenant.to_string(),
            "attempt.facts.conversation": conversation.as_str(),
        };
        calls::find(self, one).await
    }

    async fn list_calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>> {
        calls::list(self, tenant, filter, page).await
    }
}

fn matches(tenant: TenantId, campaign: CampaignId, filter: &EnrollmentFilter) -> Document {
    let mut matches = doc! {"campaign": campaign.to_string(), "tenant": tenant.to_string()};
    match filter.state.as_deref() {
        None => {}
        // By bucket where that says the same: there is an index for it.
        Some("open") => {
            matches.insert("bucket", Bucket::Open.name().into_owned());
        }
        Some(state) => {
            matches.insert("state.name", state);
        }
    }
    matches
}

/// The fields of an enrollment's document, but not its place in the order.
pub fn write(enrollment: &Enrollment) -> StoreResult<Document> {
    let mut document = documents::write(
        &EnrollmentRecord(enrollment.clone()),
        doc! {"bucket": Bucket::of(enrollment).name().into_owned()},
    )?;
    if let EnrollmentState::Waiting { due_at, .. } = &enrollment.state {
        document.insert("readyAt", due_at.as_millisecond());
    }
    Ok(document)
}

async fn enroll(
    store: &MongoStore,
    tenant: TenantId,
    campaign: CampaignId,
    members: &[NewEnrollment],
    now: Timestamp,
) -> StoreResult<Vec<usize>> {
    let one = campaigns::one(tenant, campaign);
    if store.campaigns().find_one(one).await?.is_none() {
        return Err(StoreError::Conflict {
            record: campaign.to_string(),
        });
    }
    let contacts = contacts::know(store, tenant, members, now).await?;
    let last = events::reserve(store, campaign, "lastOrder", members.len() as i64).await?;
    let mut seen = HashSet::new();
    let (mut positions, mut new) = (Vec::new(), Vec::new());
    let first = last - members.len() as i64 + 1;
    for ((i, order), member) in (0..).zip(first..).zip(members) {
        // The server may add a batch in any order, so the first of two is chosen here.
        if seen.insert(&member.member.phone) {
            let contact = contacts.get(member.member.phone.as_str());
            let mut document = write(&untried(tenant, campaign, member, contact, now))?;
            document.insert("order", order);
            positions.push(i);
            new.push(document);
        }
    }
    let places: BTreeSet<&PlaceKey> = members.iter().map(|new| &new.place).collect();
    campaigns::know_places(store, tenant, campaign, places).await?;
    let refused = documents::insert_new(store.enrollments(), new).await?;
    let refused: HashSet<usize> = refused.into_iter().map(|i| positions[i]).collect();
    let kept: HashSet<usize> = positions
        .into_iter()
        .filter(|i| !refused.contains(i))
        .collect();
    if !kept.is_empty() {
        campaigns::raise_version(store, tenant, campaign).await?;
    }
    Ok((0..members.len()).filter(|i| !kept.contains(i)).collect())
}

fn untried(
    tenant: TenantId,
    campaign: CampaignId,
    new: &NewEnrollment,
    contact: Option<&ContactId>,
    now: Timestamp,
) -> Enrollment {
    Enrollment {
        id: new.id,
        tenant,
        campaign,
        contact: contact.copied().unwrap_or(new.contact),
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
    }
}
