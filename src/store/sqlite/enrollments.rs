//! Enrollments: adding, listing, removing, and the one way of saving them.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    SqliteStore, calls, campaigns, contacts, events, from_sql, is_taken, reads, to_sql, totals,
};
use crate::{
    domain::{
        Timestamp,
        audience::NewEnrollment,
        enrollment::{CallRecord, Enrollment, EnrollmentState},
        erasure::KeptNumber,
        ids::{AttemptId, CallSid, CampaignId, ConversationId, EnrollmentId, PlaceKey, TenantId},
        retry::Tally,
        rules::Rule,
    },
    store::{
        CallFilter, Commit, EnrollmentFilter, Enrollments, InCampaign, Page, PageRequest,
        StoreError, StoreResult,
        paging::{self, Position},
        records::{self, Bucket, EnrollmentRecord, unreadable},
    },
};

/// How many people one transaction adds: others' writes wait for it.
const ENROLL_BATCH: usize = 5000;

#[async_trait]
impl Enrollments for SqliteStore {
    async fn enroll(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        members: &[NewEnrollment],
        now: Timestamp,
    ) -> StoreResult<Vec<usize>> {
        let mut duplicates = Vec::new();
        for (batch, members) in members.chunks(ENROLL_BATCH).enumerate() {
            let members = members.to_vec();
            let found = self
                .write(move |connection| enroll(connection, tenant, campaign, members, now))
                .await?;
            duplicates.extend(found.into_iter().map(|i| batch * ENROLL_BATCH + i));
        }
        Ok(duplicates)
    }

    async fn find_enrollment(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<Enrollment>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT position, version, body FROM enrollments WHERE id = ?1 AND tenant = ?2",
            )?;
            let mut rows = statement.query([id.to_string(), tenant.to_string()])?;
            rows.next()?
                .map(|row| read_row(row).map(|(_, enrollment)| enrollment))
                .transpose()
        })
        .await
    }

    async fn find_in_campaign(
        &self,
        tenant: TenantId,
        id: EnrollmentId,
    ) -> StoreResult<Option<InCampaign>> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT enrollments.position, enrollments.version, enrollments.body,
                        campaigns.version, campaigns.body
                 FROM enrollments JOIN campaigns ON campaigns.id = enrollments.campaign
                 WHERE enrollments.id = ?1 AND enrollments.tenant = ?2
                   AND campaigns.tenant = ?2 AND campaigns.is_deleted = 0",
            )?;
            let mut rows = statement.query([id.to_string(), tenant.to_string()])?;
            rows.next()?.map(read_in_campaign).transpose()
        })
        .await
    }

    async fn list_enrollments(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        filter: &EnrollmentFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<Enrollment>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| list(connection, tenant, campaign, &filter, &page))
            .await
    }

    async fn remove_enrollment(&self, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool> {
        self.write(move |connection| remove(connection, tenant, id))
            .await
    }

    async fn commit(&self, commit: &Commit) -> StoreResult<()> {
        let commit = commit.clone();
        self.write(move |connection| save(connection, commit)).await
    }

    async fn tenant_of(&self, enrollment: EnrollmentId) -> StoreResult<Option<TenantId>> {
        self.read(move |connection| {
            let tenant: Option<String> = connection
                .prepare_cached("SELECT tenant FROM enrollments WHERE id = ?1")?
                .query_row([enrollment.to_string()], |row| row.get(0))
                .optional()?;
            tenant
                .map(|text| text.parse().map_err(|error| unreadable(text, error)))
                .transpose()
        })
        .await
    }

    async fn find_call(&self, tenant: TenantId, id: AttemptId) -> StoreResult<Option<CallRecord>> {
        self.read(move |connection| calls::find(connection, tenant, id))
            .await
    }

    async fn find_call_by_sid(
        &self,
        tenant: TenantId,
        sid: &CallSid,
    ) -> StoreResult<Option<CallRecord>> {
        let sid = sid.clone();
        self.read(move |connection| calls::find_by_sid(connection, tenant, &sid))
            .await
    }

    async fn find_call_by_conversation(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
    ) -> StoreResult<Option<CallRecord>> {
        let conversation = conversation.clone();
        self.read(move |connection| calls::find_by_conversation(connection, tenant, &conversation))
            .await
    }

    async fn list_calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<CallRecord>> {
        let (filter, page) = (filter.clone(), page.clone());
        self.read(move |connection| calls::list(connection, tenant, &filter, &page))
            .await
    }
}

/// Reads a row of `position, version, body`.
pub fn read_row(row: &Row<'_>) -> StoreResult<(i64, Enrollment)> {
    let position = row.get(0)?;
    let mut enrollment =
        Enrollment::from(reads::body::<EnrollmentRecord>("an enrollment", row, 2)?);
    enrollment.version = from_sql(row.get(1)?);
    Ok((position, enrollment))
}

fn read_in_campaign(row: &Row<'_>) -> StoreResult<InCampaign> {
    let (_, enrollment) = read_row(row)?;
    Ok(InCampaign {
        enrollment,
        campaign: campaigns::read_row(row, 3)?,
    })
}

fn enroll(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    members: Vec<NewEnrollment>,
    now: Timestamp,
) -> StoreResult<Vec<usize>> {
    if campaigns::status(connection, tenant, campaign)?.is_none() {
        return Err(StoreError::Conflict {
            record: campaign.to_string(),
        });
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO enrollments (id, tenant, campaign, contact, phone, place, state, bucket,
                                  ready_at, n_attempts, version, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', 'untried', ?7, 0, 1, ?8)
         ON CONFLICT DO NOTHING",
    )?;
    let n_members = members.len();
    let mut duplicates = Vec::new();
    let mut places = BTreeSet::new();
    for (i, new) in members.into_iter().enumerate() {
        let enrollment = first_record(connection, tenant, campaign, new, now)?;
        let (id, phone) = (enrollment.id.to_string(), enrollment.phone.clone());
        let place = enrollment.place.clone();
        let n_added = insert.execute(params![
            id,
            tenant.to_string(),
            campaign.to_string(),
            enrollment.contact.to_string(),
            phone.to_string(),
            place.as_str(),
            now.as_millisecond(),
            records::to_json(&EnrollmentRecord(enrollment)),
        ])?;
        if n_added == 0 {
            duplicates.push(i);
        } else {
            places.insert(place);
        }
    }
    know_places(connection, tenant, campaign, &places)?;
    let n_added = to_sql((n_members - duplicates.len()) as u64);
    totals::count(connection, tenant, campaign, &Bucket::Untried, n_added)?;
    if n_added > 0 {
        campaigns::raise_version(connection, tenant, campaign)?;
    }
    Ok(duplicates)
}

fn know_places(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    places: &BTreeSet<PlaceKey>,
) -> StoreResult<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO campaign_places (tenant, campaign, place) VALUES (?1, ?2, ?3)
         ON CONFLICT DO NOTHING",
    )?;
    for place in places {
        insert.execute([&tenant.to_string(), &campaign.to_string(), place.as_str()])?;
    }
    Ok(())
}

/// The enrollment of somebody new in the campaign, due now.
fn first_record(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    new: NewEnrollment,
    now: Timestamp,
) -> StoreResult<Enrollment> {
    let contact = contacts::know(connection, tenant, &new, now)?;
    Ok(Enrollment {
        id: new.id,
        tenant,
        campaign,
        contact,
        phone: new.member.phone.into(),
        place: new.place,
        name: new.member.name,
        fields: new.member.fields,
        state: EnrollmentState::Waiting {
            due_at: now,
            held_by: None,
        },
        cursor: 0,
        n_attempts: 0,
        n_counted: 0,
        tally: Tally::new(),
        version: 1,
    })
}

fn list(
    connection: &Connection,
    tenant: TenantId,
    campaign: CampaignId,
    filter: &EnrollmentFilter,
    page: &PageRequest,
) -> StoreResult<Page<Enrollment>> {
    let after = Position::read(page.cursor.as_deref(), Position::START)?;
    let progress = totals::progress(connection, tenant, campaign)?;
    let (matches, total) = match filter.state.as_deref() {
        None => ("?5 IS NULL", progress.n_enrolled),
        Some("waiting") => ("state = ?5", progress.n_untried + progress.n_retrying),
        Some("open") => ("state = ?5", progress.n_open),
        Some("finished") => ("state = ?5", progress.n_finished),
        Some(_) => ("state = ?5", 0),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT position, version, body FROM enrollments
         WHERE campaign = ?1 AND tenant = ?2 AND position > ?3 AND {matches}
         ORDER BY position LIMIT ?4"
    ))?;
    let mut found = statement.query(params![
        campaign.to_string(),
        tenant.to_string(),
        after.number,
        i64::from(page.limit.get()) + 1,
        filter.state,
    ])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (position, enrollment) = read_row(row)?;
        rows.push((Position::at(position, ""), enrollment));
    }
    Ok(paging::cut(rows, page.limit, total))
}

fn remove(connection: &Connection, tenant: TenantId, id: EnrollmentId) -> StoreResult<bool> {
    let removed: Option<(String, String)> = connection
        .prepare_cached(
            "DELETE FROM enrollments WHERE id = ?1 AND tenant = ?2 AND n_attempts = 0
             RETURNING campaign, bucket",
        )?
        .query_row([id.to_string(), tenant.to_string()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((campaign, bucket)) = removed else {
        return Ok(false);
    };
    let campaign = campaign
        .parse()
        .map_err(|error| unreadable(campaign, error))?;
    totals::count(connection, tenant, campaign, &totals::bucket(&bucket)?, -1)?;
    Ok(true)
}

fn save(connection: &Connection, commit: Commit) -> StoreResult<()> {
    let Commit {
        enrollment,
        attempt,
        events,
    } = commit;
    let (tenant, campaign) = (enrollment.tenant, enrollment.campaign);
    let (position, was) = stored_before(connection, &enrollment)?;
    let is = Bucket::of(&enrollment);
    if was != is {
        totals::count(connection, tenant, campaign, &was, -1)?;
        totals::count(connection, tenant, campaign, &is, 1)?;
    }
    if let Some(attempt) = attempt {
        calls::save(connection, CallRecord::of(&enrollment, &attempt))?;
    }
    update(connection, position, &is, enrollment)?;
    events::append(connection, &events)
}

/// Where the enrollment is and counts, if it is still of the version that `next` was made from.
fn stored_before(connection: &Connection, next: &Enrollment) -> StoreResult<(i64, Bucket)> {
    let found: Option<(i64, String)> = connection
        .prepare_cached(
            "SELECT position, bucket FROM enrollments
             WHERE id = ?1 AND tenant = ?2 AND version = ?3 - 1",
        )?
        .query_row(
            params![
                next.id.to_string(),
                next.tenant.to_string(),
                to_sql(next.version)
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (position, name) = found.ok_or_else(|| StoreError::Conflict {
        record: next.id.to_string(),
    })?;
    Ok((position, totals::bucket(&name)?))
}

fn update(
    connection: &Connection,
    position: i64,
    bucket: &Bucket,
    enrollment: Enrollment,
) -> StoreResult<()> {
    let (mut ready_at, mut check_at, mut held, mut ended) = (None, None, None, None);
    match &enrollment.state {
        EnrollmentState::Waiting { due_at, held_by } => {
            (ready_at, held) = (Some(due_at.as_millisecond()), *held_by);
        }
        EnrollmentState::Open { check_at: at, .. } => check_at = Some(at.as_millisecond()),
        EnrollmentState::Finished { by_rule, .. } => ended = *by_rule,
    }
    let record = EnrollmentRecord(enrollment);
    let body = records::to_json(&record);
    let enrollment = record.0;
    connection
        .prepare_cached(
            "UPDATE enrollments SET state = ?2, bucket = ?3, ready_at = ?4, is_claimed = 0,
                                    check_at = ?5, n_attempts = ?6, version = ?7, body = ?8,
                                    held_by = ?9, by_rule = ?10
             WHERE position = ?1",
        )?
        .execute(params![
            position,
            enrollment.state.name(),
            bucket.name(),
            ready_at,
            check_at,
            enrollment.n_attempts,
            to_sql(enrollment.version),
            body,
            held.map(Rule::name),
            ended.map(Rule::name),
        ])
        .map_err(|error| match is_taken(&error) {
            // The person is in a call of another campaign.
            true => StoreError::Conflict {
                record: enrollment.id.to_string(),
            },
            false => error.into(),
        })?;
    if let KeptNumber::Erased(_) = &enrollment.phone {
        connection
            .prepare_cached("UPDATE enrollments SET phone = ?2 WHERE position = ?1")?
            .execute(params![position, enrollment.phone.to_string()])?;
    }
    Ok(())
}
