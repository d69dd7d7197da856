//! Campaigns made from campaigns: a copy, one for those who were missed, one call to hear how it sounds.

use std::{collections::BTreeMap, num::NonZeroU32};

use tracing::info;

use super::{CampaignEdit, Engine, EngineResult};
use crate::{
    domain::{
        audience::Member,
        campaign::{Campaign, CampaignAction},
        contact::{Contact, Fields},
        enrollment::Enrollment,
        ids::{CampaignId, ContactId, TenantId},
        phone::PhoneNumber,
        schedule::Schedule,
    },
    store::{EnrollmentFilter, PageRequest},
};

/// How many people are taken over at once.
const PAGE: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");

/// Whom of a campaign another one takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenOver {
    /// Everybody, whatever became of them.
    Everyone,
    /// Those whose calls came to nothing: see [`Enrollment::was_missed`].
    Missed,
}

impl TakenOver {
    fn takes(self, enrollment: &Enrollment) -> bool {
        match self {
            Self::Everyone => true,
            Self::Missed => enrollment.was_missed(),
        }
    }
}

/// Who is called to hear how a campaign sounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCallee {
    /// Their own phone.
    pub phone: PhoneNumber,
    /// Their name, in place of the sample's.
    pub name: Option<String>,
    /// Values of columns, in place of the sample's.
    pub fields: Fields,
}

impl Engine {
    /// Adds a draft with the settings of another campaign, but for its schedule: its times were that
    /// campaign's.
    ///
    /// - Errors: [`super::EngineError::NotFound`] for a campaign that is not there.
    pub async fn copy_campaign(
        &self,
        tenant: TenantId,
        id: CampaignId,
        name: Option<String>,
    ) -> EngineResult<Campaign> {
        let original = self.core.load_campaign(tenant, id).await?;
        let name = name.unwrap_or_else(|| original.name.clone());
        self.create_campaign(tenant, copied(&original, name)).await
    }

    /// Enrolls people of one campaign in another, page by page; gives how many were added. Asking again
    /// adds nobody twice. Who was erased stays away.
    pub async fn take_over(
        &self,
        tenant: TenantId,
        from: CampaignId,
        to: CampaignId,
        whom: TakenOver,
    ) -> EngineResult<u64> {
        let filter = EnrollmentFilter::default();
        let mut page = PageRequest {
            limit: PAGE,
            cursor: None,
        };
        let mut n_added = 0;
        loop {
            let store = &self.core.store;
            let found = store.list_enrollments(tenant, from, &filter, &page).await?;
            let mut taken = found.items;
            taken.retain(|enrollment| whom.takes(enrollment));
            let members = self.members(tenant, &taken).await?;
            if !members.is_empty() {
                n_added += self.enroll(tenant, to, members).await?.n_added;
            }
            page.cursor = match found.next {
                Some(cursor) => Some(cursor),
                None => break,
            };
        }
        info!(campaign_id = %to, from = %from, n_added, "people taken over");
        Ok(n_added)
    }

    /// Calls somebody once with what the agent of a campaign would say, in a campaign of its own. All rules
    /// hold for this call too.
    ///
    /// What `callee` leaves open is taken from the first person of the campaign.
    pub async fn call_to_test(
        &self,
        tenant: TenantId,
        id: CampaignId,
        callee: TestCallee,
    ) -> EngineResult<Campaign> {
        let original = self.core.load_campaign(tenant, id).await?;
        let mut edit = copied(&original, format!("Test of {}", original.name));
        edit.retry.max_attempts = 1;
        let sample = self.first_of(tenant, id).await?;
        let (mut fields, name) = sample.map_or_else(Default::default, |it| (it.fields, it.name));
        fields.extend(callee.fields);
        let member = Member {
            phone: callee.phone,
            name: callee.name.or(name),
            fields,
            email: None,
            zone: None,
            consent: None,
        };
        let test = self.create_campaign(tenant, edit).await?;
        self.enroll(tenant, test.id, vec![member]).await?;
        self.change_status(tenant, test.id, CampaignAction::Start)
            .await
    }

    async fn first_of(&self, tenant: TenantId, id: CampaignId) -> EngineResult<Option<Enrollment>> {
        let (filter, page) = (EnrollmentFilter::default(), PageRequest::first(1));
        let store = &self.core.store;
        let mut found = store.list_enrollments(tenant, id, &filter, &page).await?;
        Ok(found.items.pop())
    }

    /// What the campaign and the address book know of these people. The erased are in neither.
    async fn members(
        &self,
        tenant: TenantId,
        enrollments: &[Enrollment],
    ) -> EngineResult<Vec<Member>> {
        let ids: Vec<ContactId> = enrollments.iter().map(|it| it.contact).collect();
        let known = self.core.store.contacts_of(tenant, &ids).await?;
        let known: BTreeMap<ContactId, Contact> = known.into_iter().map(|it| (it.id, it)).collect();
        let member = |enrollment: &Enrollment| {
            let contact = known.get(&enrollment.contact)?;
            Some(Member {
                phone: enrollment.phone.known()?.clone(),
                name: enrollment.name.clone(),
                fields: enrollment.fields.clone(),
                email: contact.email.clone(),
                zone: contact.zone.clone(),
                consent: contact.consent.clone(),
            })
        };
        Ok(enrollments.iter().filter_map(member).collect())
    }
}

fn copied(original: &Campaign, name: String) -> CampaignEdit {
    let mut edit = CampaignEdit {
        name,
        steps: original.steps.clone(),
        pacing: original.pacing,
        retry: original.retry.clone(),
        policy: original.policy.clone(),
        region: original.region,
    };
    edit.policy.schedule = Schedule {
        lateness: original.policy.schedule.lateness,
        ..Schedule::default()
    };
    edit
}
