//! Those who must not be contacted, and what a tenant has set for all its campaigns.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, from_sql, reads};
use crate::{
    domain::{
        Timestamp,
        holiday::Holidays,
        ids::{SuppressionId, TenantId},
        register::RegisterName,
        suppression::{Subject, Suppression},
    },
    store::{
        Lift, Page, PageRequest, StoreResult, SuppressionEntry, Suppressions, TenantRules,
        paging::{self, Position},
        records::{self, HolidaysRecord, LiftRecord, SuppressionRecord},
    },
};

/// How many entries one transaction adds: others' writes wait for it.
const ADD_BATCH: usize = 5000;

#[async_trait]
impl Suppressions for SqliteStore {
    async fn add_suppressions(&self, entries: &[Suppression]) -> StoreResult<u64> {
        let mut n_new = 0;
        for entries in entries.chunks(ADD_BATCH) {
            let entries = entries.to_vec();
            n_new += self
                .write(move |connection| add(connection, entries))
                .await?;
        }
        Ok(n_new)
    }

    async fn suppressions_of(
        &self,
        tenant: TenantId,
        subjects: &[Subject],
    ) -> StoreResult<Vec<Suppression>> {
        let subjects: Vec<String> = subjects.iter().map(records::subject_key).collect();
        self.read(move |connection| {
            let mut found: Vec<Suppression> = Vec::new();
            for subject in subjects {
                let named = reads::bodies::<SuppressionRecord>(
                    connection,
                    "a suppression",
                    "SELECT body FROM suppressions
                     WHERE tenant = ?1 AND subject = ?2 AND lift IS NULL",
                    [tenant.to_string(), subject],
                )?;
                found.extend(named.into_iter().map(Suppression::from));
            }
            found.sort_by_key(|entry| (entry.at, entry.id));
            found.dedup();
            Ok(found)
        })
        .await
    }

    async fn list_suppressions(
        &self,
        tenant: TenantId,
        search: Option<&str>,
        page: &PageRequest,
    ) -> StoreResult<Page<SuppressionEntry>> {
        let (search, page) = (search.map(str::to_lowercase), page.clone());
        self.read(move |connection| list(connection, tenant, search, &page))
            .await
    }

    async fn lift_suppression(
        &self,
        tenant: TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> StoreResult<bool> {
        let lift = records::to_json(&LiftRecord(lift.clone()));
        self.write(move |connection| {
            let n_lifted = connection
                .prepare_cached(
                    "UPDATE suppressions SET lift = ?3
                     WHERE id = ?1 AND tenant = ?2 AND lift IS NULL",
                )?
                .execute([id.to_string(), tenant.to_string(), lift])?;
            Ok(n_lifted > 0)
        })
        .await
    }

    async fn tenant_rules(&self, tenant: TenantId) -> StoreResult<TenantRules> {
        self.read(move |connection| find_rules(connection, tenant))
            .await
    }

    async fn save_holidays(&self, tenant: TenantId, holidays: &Holidays) -> StoreResult<()> {
        let holidays = records::to_json(&HolidaysRecord(holidays.clone()));
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO tenant_rules (tenant, holidays) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET holidays = excluded.holidays",
                )?
                .execute([tenant.to_string(), holidays])?;
            Ok(())
        })
        .await
    }

    async fn keep_salt(&self, tenant: TenantId, salt: &str) -> StoreResult<String> {
        let salt = salt.to_owned();
        self.write(move |connection| {
            let kept = connection
                .prepare_cached(
                    "INSERT INTO tenant_rules (tenant, salt) VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET salt = coalesce(salt, excluded.salt)
                     RETURNING salt",
                )?
                .query_row([tenant.to_string(), salt], |row| row.get(0))?;
            Ok(kept)
        })
        .await
    }

    async fn save_register_copy(
        &self,
        tenant: TenantId,
        register: &RegisterName,
        taken_at: Timestamp,
    ) -> StoreResult<()> {
        let register = register.to_string();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO register_copies (tenant, register, taken_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET taken_at = max(taken_at, excluded.taken_at)",
                )?
                .execute(params![
                    tenant.to_string(),
                    register,
                    taken_at.as_millisecond()
                ])?;
            Ok(())
        })
        .await
    }
}

fn add(connection: &Connection, entries: Vec<Suppression>) -> StoreResult<u64> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO suppressions (id, tenant, subject, scope, search_text, added_at, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
    )?;
    let mut n_new = 0;
    for entry in entries {
        n_new += insert.execute(params![
            entry.id.to_string(),
            entry.tenant.to_string(),
            records::subject_key(&entry.subject),
            entry.scope.name(),
            records::search_text(&entry),
            entry.at.as_millisecond(),
            records::to_json(&SuppressionRecord(entry)),
        ])?;
    }
    Ok(n_new as u64)
}

fn list(
    connection: &Connection,
    tenant: TenantId,
    search: Option<String>,
    page: &PageRequest,
) -> StoreResult<Page<SuppressionEntry>> {
    const MATCHES: &str = "tenant = ?1 AND (?2 IS NULL OR instr(search_text, ?2) > 0)";
    let after = Position::read(page.cursor.as_deref(), Position::END)?;
    let tenant = tenant.to_string();
    let total: i64 = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM suppressions WHERE {MATCHES}"
        ))?
        .query_row(params![tenant, search], |row| row.get(0))?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT body, lift FROM suppressions WHERE {MATCHES} AND (added_at, id) < (?3, ?4)
         ORDER BY added_at DESC, id DESC LIMIT ?5"
    ))?;
    let mut found = statement.query(params![
        tenant,
        search,
        after.number,
        after.id,
        i64::from(page.limit.get()) + 1
    ])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let entry = read_entry(row)?;
        let added_at = entry.suppression.at.as_millisecond();
        let position = Position::at(added_at, entry.suppression.id.to_string());
        rows.push((position, entry));
    }
    Ok(paging::cut(rows, page.limit, from_sql(total)))
}

/// Reads a row of `body, lift`.
fn read_entry(row: &Row<'_>) -> StoreResult<SuppressionEntry> {
    let lift: Option<String> = row.get(1)?;
    let lift = lift.map(|json| records::from_json::<LiftRecord>("a suppression", &json));
    Ok(SuppressionEntry {
        suppression: reads::body::<SuppressionRecord>("a suppression", row, 0)?.into(),
        lifted: lift.transpose()?.map(Lift::from),
    })
}

/// What the tenant has set for all its campaigns.
pub fn find_rules(connection: &Connection, tenant: TenantId) -> StoreResult<TenantRules> {
    let mut rules = TenantRules::default();
    let mut statement =
        connection.prepare_cached("SELECT holidays, salt FROM tenant_rules WHERE tenant = ?1")?;
    let mut rows = statement.query([tenant.to_string()])?;
    if let Some(row) = rows.next()? {
        let holidays: Option<String> = row.get(0)?;
        let holidays =
            holidays.map(|json| records::from_json::<HolidaysRecord>("a tenant's holidays", &json));
        rules.holidays = holidays
            .transpose()?
            .map(Holidays::from)
            .unwrap_or_default();
        rules.salt = row.get(1)?;
    }
    let mut statement = connection
        .prepare_cached("SELECT register, taken_at FROM register_copies WHERE tenant = ?1")?;
    let mut copies = statement.query([tenant.to_string()])?;
    while let Some(row) = copies.next()? {
        let (name, taken_at): (String, i64) = (row.get(0)?, row.get(1)?);
        let (name, taken_at) = records::register_copy(&name, taken_at)?;
        rules.registers.add(name, taken_at);
    }
    Ok(rules)
}
