//! Rows that cannot be applied now. Entering moves the dirty row here; being due makes it dirty again, and only
//! being applied (or found to need nothing) ends it. A row that is held after a revert is never due: it waits for a
//! person or for another change.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::dirty::{Ignored, NewQuarantine, Quarantined, TargetHint, retry_delay};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::revert::HELD;

use super::dirty::hint_taken_over;
use super::{BATCH, DefinitionStore, bytes, identity, key};
use crate::error::{Error, Result};
use crate::number::{from_integer, to_bigint};

/// A quarantine entry in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The entry.
    pub quarantined: Quarantined,
    /// When it was last refused.
    pub last_seen: DateTime<Utc>,
    /// By which run.
    pub run: RunId,
}

/// Held after a revert, and neither accepted by a person nor asked to be tried again.
fn is_held() -> String {
    format!("code = '{HELD}' AND retry_at IS NULL AND ignored_at IS NULL")
}

pub(super) const COLUMNS: &str = "identity, key, digest, failure, attempts, retry_at, first_seen, last_seen, run_id, \
                                  ignored_at, ignored_by, ignored_reason";

impl DefinitionStore {
    /// Puts rows into quarantine without a write having been tried; their dirty rows are moved where the
    /// sequence is still the given one.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn quarantine(
        &self,
        fence: Fence,
        run: RunId,
        entries: &[(NewQuarantine, Option<u64>)],
    ) -> Result<()> {
        self.timed(async {
            if entries.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            let entries: Vec<_> = entries
                .iter()
                .map(|(entry, sequence)| (entry, *sequence))
                .collect();
            self.enter_quarantine(&mut tx, run, &entries).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    pub(super) async fn enter_quarantine(
        &self,
        tx: &mut PgConnection,
        run: RunId,
        entries: &[(&NewQuarantine, Option<u64>)],
    ) -> Result<()> {
        // One entry a row, the last one; in the order of identities.
        let entries: BTreeMap<Identity, (&NewQuarantine, Option<u64>)> = entries
            .iter()
            .map(|(entry, sequence)| (entry.identity, (*entry, *sequence)))
            .collect();
        let entries: Vec<_> = entries.into_values().collect();
        for batch in entries.chunks(BATCH) {
            self.enter_batch(tx, run, batch).await?;
        }
        Ok(())
    }

    async fn enter_batch(
        &self,
        tx: &mut PgConnection,
        run: RunId,
        batch: &[(&NewQuarantine, Option<u64>)],
    ) -> Result<()> {
        let each = || batch.iter().map(|(entry, _)| *entry);
        let sequences = batch
            .iter()
            .map(|(_, sequence)| sequence.map(|s| to_bigint("dirty sequence", s)).transpose())
            .collect::<Result<Vec<_>>>()?;
        let failures: Vec<Failure> = each().map(|entry| storable(&entry.failure)).collect();
        let delays = delays();
        sqlx::query(AssertSqlSafe(format!(
            "WITH entry AS (
                 SELECT * FROM unnest($4::bytea[], $5::bytea[], $6::bytea[], $7::text[], $8::jsonb[], $9::bigint[])
                     AS e(identity, key, digest, code, failure, sequence)
             ), moved AS (
                 DELETE FROM dirty d USING entry e
                 WHERE d.definition_id = $1 AND d.identity = e.identity AND d.sequence = e.sequence
                 RETURNING d.identity, d.mark_generation, d.mark_lsn, d.suspected_delete, d.target_hint,
                           d.hinted_at
             )
             INSERT INTO quarantine AS q
                 (definition_id, workspace_id, run_id, identity, key, digest, code, failure, attempts, retry_at,
                  mark_generation, mark_lsn, suspected_delete, target_hint, hinted_at)
             SELECT $1, $2, $3, e.identity, e.key, e.digest, e.code, e.failure, 1,
                    CASE WHEN e.code <> '{HELD}'
                         THEN clock_timestamp() + ($10::double precision[])[1] * interval '1 second' END,
                    coalesce(m.mark_generation, (SELECT generation FROM definitions WHERE definition_id = $1)),
                    coalesce(m.mark_lsn, 0), coalesce(m.suspected_delete, false),
                    coalesce(m.target_hint, {PRESUMED}::smallint), m.hinted_at
             FROM entry e LEFT JOIN moved m USING (identity)
             ORDER BY e.identity
             ON CONFLICT (definition_id, identity) DO UPDATE SET
                 run_id = excluded.run_id, key = excluded.key, digest = excluded.digest, code = excluded.code,
                 failure = excluded.failure, last_seen = now(),
                 mark_generation = excluded.mark_generation, mark_lsn = excluded.mark_lsn,
                 suspected_delete = excluded.suspected_delete, {hint},
                 ignored_at = NULL, ignored_by = NULL, ignored_reason = NULL,
                 attempts = {ATTEMPTS},
                 retry_at = CASE WHEN excluded.code <> '{HELD}'
                     THEN clock_timestamp() + ($10::double precision[])[{ATTEMPTS}] * interval '1 second' END",
            PRESUMED = TargetHint::Presumed.code(),
            hint = hint_taken_over("q"),
        )))
        .bind(self.definition.uuid())
        .bind(self.workspace.uuid())
        .bind(run.uuid())
        .bind(bytes(each().map(|entry| &entry.identity)))
        .bind(each().map(|entry| entry.key.as_bytes()).collect::<Vec<_>>())
        .bind(each().map(|entry| entry.digest.0.as_slice()).collect::<Vec<_>>())
        .bind(failures.iter().map(|failure| failure.code.as_str()).collect::<Vec<_>>())
        .bind(failures.iter().map(Json).collect::<Vec<_>>())
        .bind(sequences)
        .bind(delays)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// What was recorded about these rows takes the ground of their refusals away. Those that are held stay.
    pub(super) async fn leave_quarantine<'a>(
        &self,
        tx: &mut PgConnection,
        ids: impl IntoIterator<Item = &'a Identity>,
    ) -> Result<()> {
        self.take_out(tx, ids, &format!("NOT ({})", is_held())).await
    }

    /// Rows that were held are the same on both sides again.
    pub(super) async fn end_hold<'a>(
        &self,
        tx: &mut PgConnection,
        ids: impl IntoIterator<Item = &'a Identity>,
    ) -> Result<()> {
        self.take_out(tx, ids, &is_held()).await
    }

    async fn take_out<'a>(
        &self,
        tx: &mut PgConnection,
        ids: impl IntoIterator<Item = &'a Identity>,
        which: &str,
    ) -> Result<()> {
        let ids: Vec<&Identity> = ids.into_iter().collect();
        for batch in ids.chunks(BATCH) {
            sqlx::query(AssertSqlSafe(format!(
                "DELETE FROM quarantine WHERE definition_id = $1 AND identity = ANY($2) AND {which}"
            )))
            .bind(self.definition.uuid())
            .bind(bytes(batch.iter().copied()))
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    /// Rows that were held after a revert are the same on both sides again and leave quarantine.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn let_go(&self, fence: Fence, ids: &[Identity]) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            self.end_hold(&mut tx, ids).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Which of these rows are held after a revert.
    ///
    /// # Errors
    /// As any statement.
    pub async fn held(&self, ids: &[Identity]) -> Result<BTreeSet<Identity>> {
        self.timed(async {
            let mut held = BTreeSet::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let found: Vec<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(format!(
                    "SELECT identity FROM quarantine WHERE definition_id = $1 AND identity = ANY($2) AND {}",
                    is_held()
                )))
                .bind(self.definition.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for bytes in &found {
                    held.insert(identity(bytes)?);
                }
            }
            Ok(held)
        })
        .await
    }

    /// Quarantine entries of these identities, in the order asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn quarantined(&self, ids: &[Identity]) -> Result<Vec<Option<Quarantined>>> {
        self.timed(async {
            let mut found = BTreeMap::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let rows = sqlx::query(AssertSqlSafe(format!(
                    "SELECT {COLUMNS} FROM quarantine WHERE definition_id = $1 AND identity = ANY($2)"
                )))
                .bind(self.definition.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for row in &rows {
                    let entry = read(row)?.quarantined;
                    found.insert(entry.entry.identity, entry);
                }
            }
            Ok(ids.iter().map(|identity| found.get(identity).cloned()).collect())
        })
        .await
    }

    /// Makes quarantined rows that are due dirty again and answers how many. The entry stays, with its
    /// attempts, until the row is applied; a row that is dirty already is left alone, so that calling twice
    /// does nothing the second time.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn requeue_due(&self, fence: Fence) -> Result<u64> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let queued = sqlx::query(
                "INSERT INTO dirty (definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                                    suspected_delete, sequence)
                 SELECT definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                        suspected_delete, nextval('dirty_sequence')
                 FROM quarantine
                 WHERE definition_id = $1 AND retry_at <= clock_timestamp()
                 ORDER BY identity
                 ON CONFLICT (definition_id, identity) DO NOTHING",
            )
            .bind(self.definition.uuid())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(queued.rows_affected())
        })
        .await
    }
}

/// Attempts after this refusal: other content begins anew.
const ATTEMPTS: &str = "(CASE WHEN q.digest = excluded.digest THEN q.attempts + 1 ELSE 1 END)";

/// Delays in seconds, the first for the first attempt. PostgreSQL answers NULL beyond the end of an array,
/// which is what "needs a person" looks like.
fn delays() -> Vec<f64> {
    (1..)
        .map_while(|attempts| retry_delay(attempts).map(|delay| delay.as_secs_f64()))
        .collect()
}

/// PostgreSQL keeps no NUL characters in text; an answer from outside may hold some.
fn storable(failure: &Failure) -> Failure {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    Failure {
        code: clean(&failure.code),
        cause: clean(&failure.cause),
        fix: clean(&failure.fix),
        column: failure.column.as_deref().map(clean),
        request_id: failure.request_id.as_deref().map(clean),
        ..failure.clone()
    }
}

pub(super) fn read(row: &PgRow) -> Result<QuarantineEntry> {
    let digest: &[u8] = row.try_get(2)?;
    Ok(QuarantineEntry {
        quarantined: Quarantined {
            entry: NewQuarantine {
                identity: identity(row.try_get(0)?)?,
                key: key(row.try_get(1)?)?,
                digest: RowDigest(digest.try_into().map_err(|_| Error::Damaged { what: "digest" })?),
                failure: row.try_get::<Json<Failure>, _>(3)?.0,
            },
            attempts: from_integer("attempts", row.try_get(4)?)?,
            retry_at: row.try_get(5)?,
            since: row.try_get(6)?,
            ignored: match (row.try_get(9)?, row.try_get(10)?, row.try_get(11)?) {
                (Some(at), Some(by), Some(reason)) => Some(Ignored { at, by, reason }),
                _ => None,
            },
        },
        last_seen: row.try_get(7)?,
        run: RunId::from_uuid(row.try_get(8)?),
    })
}
