//! Verifications: how far they are, what each page showed, what was found. No values, and no lease: they touch
//! nothing that was agreed on.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::{DefinitionId, RunId};
use syncbridge_domain::run::Verification;
use syncbridge_domain::verification::{
    Cause, Difference, DifferenceKind, SeenItem, VerificationFrom, VerificationStart, VerificationStep,
};
use uuid::Uuid;

use super::{BATCH, DefinitionStore, identity, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint};
use crate::runs::PAGE;

/// Verifications kept for a definition.
const KEPT: i64 = 5;

/// Differences stored for one verification; those beyond are counted.
pub const DIFFERENCES_STORED: u64 = 100_000;

impl DefinitionStore {
    /// Begins a verification, or takes over the newest interrupted one with the same fingerprint; the run that
    /// had it ends as failed, and its next step is refused.
    ///
    /// # Errors
    /// As any statement.
    pub async fn begin_verification(&self, start: &VerificationStart) -> Result<VerificationFrom> {
        self.timed(async {
            let mut tx = self.store.begin().await?;
            if start.resume
                && let Some(from) = self.take_over(&mut tx, start).await?
            {
                tx.commit().await?;
                return Ok(from);
            }
            sqlx::query(
                "INSERT INTO verifications (verification_id, workspace_id, definition_id, run_id, fingerprint, report)
                 VALUES ($1, $2, $3, $1, $4, $5)",
            )
            .bind(start.run.uuid())
            .bind(self.workspace.uuid())
            .bind(self.definition.uuid())
            .bind(&start.fingerprint)
            .bind(Json(Verification::default()))
            .execute(&mut *tx)
            .await?;
            // One that is still under way is never among the oldest for long; if it is, its run says so.
            sqlx::query(
                "DELETE FROM verifications WHERE definition_id = $1 AND verification_id NOT IN
                     (SELECT verification_id FROM verifications WHERE definition_id = $1
                      ORDER BY started_at DESC, verification_id DESC LIMIT $2)",
            )
            .bind(self.definition.uuid())
            .bind(KEPT)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(VerificationFrom::default())
        })
        .await
    }

    async fn take_over(
        &self,
        tx: &mut PgConnection,
        start: &VerificationStart,
    ) -> Result<Option<VerificationFrom>> {
        let found = sqlx::query(
            "SELECT verification_id, run_id, pages, next_link, report FROM verifications
             WHERE definition_id = $1 AND fingerprint = $2 AND NOT finished AND pages > 0
             ORDER BY started_at DESC, verification_id DESC LIMIT 1 FOR UPDATE",
        )
        .bind(self.definition.uuid())
        .bind(&start.fingerprint)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(None) };
        let verification: Uuid = found.try_get(0)?;
        let before: Uuid = found.try_get(1)?;
        // What was found after the last page is found again.
        sqlx::query("DELETE FROM verification_differences WHERE verification_id = $1 AND page IS NULL")
            .bind(verification)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE verifications v SET run_id = $2, updated_at = clock_timestamp(), stored =
                 (SELECT count(*) FROM verification_differences d WHERE d.verification_id = v.verification_id)
             WHERE verification_id = $1",
        )
        .bind(verification)
        .bind(start.run.uuid())
        .execute(&mut *tx)
        .await?;
        let failure = interrupted(start.run);
        sqlx::query(
            "UPDATE runs SET state = 'failed', failure = $2, ended_at = clock_timestamp()
             WHERE run_id = $1 AND ended_at IS NULL",
        )
        .bind(before)
        .bind(Json(&failure))
        .execute(&mut *tx)
        .await?;
        Ok(Some(VerificationFrom {
            pages: from_bigint("pages", found.try_get(2)?)?,
            next: found.try_get(3)?,
            report: found.try_get::<Json<Verification>, _>(4)?.0,
        }))
    }

    /// Keeps progress and differences in one transaction.
    ///
    /// # Errors
    /// [`Error::TakenOver`] where another run went on with the verification, or it was removed.
    pub async fn keep_verification(&self, run: RunId, step: &VerificationStep) -> Result<()> {
        self.timed(async {
            let mut tx = self.store.begin().await?;
            // The report of the pages stands until the end: what follows the last page is found again after an
            // interruption, and must not be counted twice.
            let row = sqlx::query(
                "UPDATE verifications SET updated_at = clock_timestamp(), finished = $2,
                        report = CASE WHEN $4 OR $2 THEN $3 ELSE report END,
                        pages = coalesce($5, pages),
                        next_link = CASE WHEN $4 THEN $6 ELSE next_link END
                 WHERE run_id = $1 AND definition_id = $7 RETURNING verification_id, stored",
            )
            .bind(run.uuid())
            .bind(step.finished)
            .bind(Json(&step.report))
            .bind(step.page.is_some())
            .bind(
                step.page
                    .as_ref()
                    .map(|page| to_bigint("page", page.number))
                    .transpose()?,
            )
            .bind(step.page.as_ref().and_then(|page| page.next.as_deref()))
            .bind(self.definition.uuid())
            .fetch_optional(&mut *tx)
            .await?
            .ok_or(Error::TakenOver)?;
            let verification: Uuid = row.try_get(0)?;
            let stored = from_bigint("differences", row.try_get(1)?)?;
            if let Some(page) = &step.page {
                sqlx::query(
                    "INSERT INTO verification_pages (verification_id, page, seen) VALUES ($1, $2, $3)",
                )
                .bind(verification)
                .bind(to_bigint("page", page.number)?)
                .bind(SeenItem::pack(&page.seen))
                .execute(&mut *tx)
                .await?;
            }
            let page = step.page.as_ref().map(|page| page.number);
            store(&mut tx, verification, page, stored, &step.differences).await?;
            if step.finished {
                sqlx::query("DELETE FROM verification_pages WHERE verification_id = $1")
                    .bind(verification)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The items of a page that was kept.
    ///
    /// # Errors
    /// [`Error::TakenOver`] where the run does not drive the verification (any more); [`Error::Damaged`].
    pub async fn verified_page(&self, run: RunId, number: u64) -> Result<Vec<SeenItem>> {
        self.timed(async {
            let seen: Option<Vec<u8>> = sqlx::query_scalar(
                "SELECT p.seen FROM verification_pages p JOIN verifications v USING (verification_id)
                 WHERE v.run_id = $1 AND v.definition_id = $2 AND p.page = $3",
            )
            .bind(run.uuid())
            .bind(self.definition.uuid())
            .bind(to_bigint("page", number)?)
            .fetch_optional(&mut *self.store.acquire().await?)
            .await?;
            SeenItem::unpack(&seen.ok_or(Error::TakenOver)?).ok_or(Error::Damaged {
                what: "verified page",
            })
        })
        .await
    }

    /// Which of these items another definition owns, in the order asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn owned_elsewhere(&self, items: &[Uuid]) -> Result<Vec<bool>> {
        self.timed(async {
            let mut owned = std::collections::BTreeSet::new();
            let mut connection = self.store.acquire().await?;
            for batch in items.chunks(BATCH) {
                let found: Vec<Uuid> = sqlx::query_scalar(
                    "SELECT item_guid FROM item_links
                     WHERE list_id = $1 AND item_guid = ANY($2) AND definition_id <> $3",
                )
                .bind(&self.list_id)
                .bind(batch)
                .bind(self.definition.uuid())
                .fetch_all(&mut *connection)
                .await?;
                owned.extend(found);
            }
            Ok(items.iter().map(|item| owned.contains(item)).collect())
        })
        .await
    }
}

async fn store(
    tx: &mut PgConnection,
    verification: Uuid,
    page: Option<u64>,
    stored: u64,
    differences: &[Difference],
) -> Result<()> {
    let room = usize::try_from(DIFFERENCES_STORED.saturating_sub(stored)).unwrap_or(usize::MAX);
    let kept = &differences[..differences.len().min(room)];
    let mut ordinal = stored;
    for batch in kept.chunks(BATCH) {
        let ids = batch
            .iter()
            .map(|one| u128::from_str_radix(&one.identity, 16).map(u128::to_be_bytes))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|_| Error::Damaged { what: "identity" })?;
        // Arrays of arrays of several lengths do not travel.
        let columns: Vec<Json<&[String]>> = batch.iter().map(|one| Json(one.columns.as_slice())).collect();
        sqlx::query(
            "INSERT INTO verification_differences
                 (verification_id, page, ordinal, kind, cause, explained, identity, item_id, columns)
             SELECT $1, $2, $3 + d.at, d.kind, d.cause, d.explained, d.identity, left(d.item_id, 100),
                    ARRAY(SELECT jsonb_array_elements_text(d.columns))
             FROM unnest($4::text[], $5::text[], $6::boolean[], $7::bytea[], $8::text[], $9::jsonb[])
                  WITH ORDINALITY AS d(kind, cause, explained, identity, item_id, columns, at)",
        )
        .bind(verification)
        .bind(page.map(|page| to_bigint("page", page)).transpose()?)
        .bind(to_bigint("differences", ordinal)?)
        .bind(batch.iter().map(|one| one.kind.name()).collect::<Vec<_>>())
        .bind(batch.iter().map(|one| one.cause.name()).collect::<Vec<_>>())
        .bind(batch.iter().map(|one| one.explained).collect::<Vec<_>>())
        .bind(ids.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>())
        .bind(batch.iter().map(|one| one.item.as_deref()).collect::<Vec<_>>())
        .bind(columns)
        .execute(&mut *tx)
        .await?;
        ordinal += batch.len() as u64;
    }
    sqlx::query("UPDATE verifications SET stored = $2 WHERE verification_id = $1")
        .bind(verification)
        .bind(to_bigint("differences", ordinal)?)
        .execute(tx)
        .await?;
    Ok(())
}

fn interrupted(by: RunId) -> syncbridge_domain::failure::Failure {
    syncbridge_domain::failure::Failure::new(
        syncbridge_domain::failure::Scope::List,
        "verify.interrupted",
        format!("the process that compared both sides ended before it was done; {by} goes on with it"),
        "nothing to do",
    )
}

/// A verification as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct VerificationRecord {
    /// The run that drove it last.
    pub run: RunId,
    /// What was found, as far as it got.
    pub report: Verification,
    /// Differences that are stored; fewer than were found where there were too many.
    pub stored: u64,
    /// Whether it came to its end.
    pub finished: bool,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it last moved.
    pub updated: DateTime<Utc>,
}

/// A stored difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDifference {
    /// Its place in the order in which differences were found.
    pub ordinal: u64,
    /// What differs.
    pub difference: Difference,
    /// Key of the row, where the ledger knows it.
    pub key: Option<Key>,
}

/// The newest verification of a definition and its differences behind `after`, of one kind or of all, at most
/// 500. `None`: there is none.
///
/// # Errors
/// As any statement.
pub async fn newest_verification(
    connection: &mut PgConnection,
    definition: DefinitionId,
    kind: Option<DifferenceKind>,
    after: u64,
    limit: u32,
) -> Result<Option<(VerificationRecord, Vec<StoredDifference>)>> {
    let found = sqlx::query(
        "SELECT verification_id, run_id, report, stored, finished, started_at, updated_at FROM verifications
         WHERE definition_id = $1 ORDER BY started_at DESC, verification_id DESC LIMIT 1",
    )
    .bind(definition.uuid())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let record = VerificationRecord {
        run: RunId::from_uuid(found.try_get(1)?),
        report: found.try_get::<Json<Verification>, _>(2)?.0,
        stored: from_bigint("differences", found.try_get(3)?)?,
        finished: found.try_get(4)?,
        started: found.try_get(5)?,
        updated: found.try_get(6)?,
    };
    let rows = sqlx::query(
        "SELECT d.ordinal, d.kind, d.cause, d.explained, d.identity, d.item_id, d.columns, l.key
         FROM verification_differences d
         LEFT JOIN ledger l ON l.definition_id = $2 AND l.identity = d.identity
         WHERE d.verification_id = $1 AND ($3::text IS NULL OR d.kind = $3) AND d.ordinal > $4
         ORDER BY d.ordinal LIMIT $5",
    )
    .bind(found.try_get::<Uuid, _>(0)?)
    .bind(definition.uuid())
    .bind(kind.map(DifferenceKind::name))
    .bind(to_bigint("ordinal", after)?)
    .bind(i64::from(limit.min(PAGE)))
    .fetch_all(connection)
    .await?;
    let differences = rows
        .iter()
        .map(|row| {
            let damaged = || Error::Damaged { what: "difference" };
            let whose: Identity = identity(row.try_get(4)?)?;
            Ok(StoredDifference {
                ordinal: from_bigint("ordinal", row.try_get(0)?)?,
                difference: Difference {
                    kind: DifferenceKind::parse(row.try_get(1)?).ok_or_else(damaged)?,
                    cause: Cause::parse(row.try_get(2)?).ok_or_else(damaged)?,
                    explained: row.try_get(3)?,
                    identity: whose.to_string(),
                    item: row.try_get(5)?,
                    columns: row.try_get(6)?,
                },
                key: row.try_get::<Option<Vec<u8>>, _>(7)?.map(key).transpose()?,
            })
        })
        .collect::<Result<_>>()?;
    Ok(Some((record, differences)))
}
