//! Identities known to have changed and not yet applied.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, TargetHint};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::identity::Identity;

use super::{BATCH, DefinitionStore, agreement, bytes, identity, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint, to_integer};

impl DefinitionStore {
    /// Marks rows dirty and moves the cursor, in one transaction. Each mark gets a new number; the newest
    /// source state that was ever marked is kept. What the list's feed said last of the item stays until it says
    /// something else.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn mark_dirty(&self, fence: Fence, marks: &[DirtyMark], cursor: Option<&Cursor>) -> Result<()> {
        self.timed(async {
            if marks.is_empty() && cursor.is_none() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            self.mark_all(&mut tx, marks).await?;
            if let Some(cursor) = cursor {
                self.save_cursor(&mut tx, cursor).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Makes marks part of a transaction.
    pub(super) async fn mark_all(&self, tx: &mut PgConnection, marks: &[DirtyMark]) -> Result<()> {
        let marks: Vec<DirtyMark> = one_a_row(marks).into_values().collect();
        for batch in marks.chunks(BATCH) {
            self.mark_batch(tx, batch).await?;
        }
        Ok(())
    }

    async fn mark_batch(&self, tx: &mut PgConnection, batch: &[DirtyMark]) -> Result<()> {
        let generations = batch
            .iter()
            .map(|mark| to_integer("mark generation", mark.mark.generation))
            .collect::<Result<Vec<_>>>()?;
        let lsns = batch
            .iter()
            .map(|mark| to_bigint("mark position", mark.mark.lsn.0))
            .collect::<Result<Vec<_>>>()?;
        // The number of an existing row is drawn anew once its lock is held: drawn before, a mark that waited
        // for another could carry the lower number of the two.
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO dirty AS d (definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                                     suspected_delete, target_hint, hinted_at, sequence)
             SELECT $1, $2, m.*, CASE WHEN m.target_hint <> {PRESUMED} THEN clock_timestamp() END,
                    nextval('dirty_sequence')
             FROM unnest($3::bytea[], $4::bytea[], $5::integer[], $6::bigint[], $7::boolean[], $8::smallint[])
                  AS m(identity, key, mark_generation, mark_lsn, suspected_delete, target_hint)
             ORDER BY m.identity
             ON CONFLICT (definition_id, identity) DO UPDATE SET
                 key = excluded.key,
                 mark_generation = greatest(d.mark_generation, excluded.mark_generation),
                 mark_lsn = CASE WHEN d.mark_generation = excluded.mark_generation
                                 THEN greatest(d.mark_lsn, excluded.mark_lsn)
                                 WHEN d.mark_generation > excluded.mark_generation THEN d.mark_lsn
                                 ELSE excluded.mark_lsn END,
                 suspected_delete = CASE WHEN excluded.target_hint = {PRESUMED} THEN excluded.suspected_delete
                                         ELSE d.suspected_delete OR excluded.suspected_delete END,
                 {hint},
                 sequence = nextval('dirty_sequence')",
            PRESUMED = TargetHint::Presumed.code(),
            hint = hint_taken_over("d"),
        )))
        .bind(self.definition.uuid())
        .bind(self.workspace.uuid())
        .bind(bytes(batch.iter().map(|mark| &mark.identity)))
        .bind(batch.iter().map(|mark| mark.key.as_bytes()).collect::<Vec<_>>())
        .bind(generations)
        .bind(lsns)
        .bind(batch.iter().map(|mark| mark.suspected_delete).collect::<Vec<_>>())
        .bind(batch.iter().map(|mark| mark.target.code()).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// Dirty rows behind `after` in the order of identities. One without a hint of its own has that of its
    /// quarantine entry: whatever made it dirty again, its item is looked at again.
    ///
    /// # Errors
    /// As any statement.
    pub async fn dirty(&self, after: Option<Identity>, limit: u32) -> Result<Vec<DirtyRow>> {
        self.timed(async {
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT d.identity, d.key, d.mark_generation, d.mark_lsn, d.suspected_delete, d.sequence,
                        CASE WHEN d.target_hint = {PRESUMED} THEN coalesce(q.target_hint, {PRESUMED}::smallint)
                             ELSE d.target_hint END,
                        greatest(extract(epoch FROM clock_timestamp() -
                            CASE WHEN d.target_hint = {PRESUMED} THEN q.hinted_at
                                 WHEN d.target_hint = {DELETED} AND q.target_hint = {DELETED}
                                      THEN least(d.hinted_at, q.hinted_at)
                                 ELSE d.hinted_at END), 0)::double precision
                 FROM (SELECT * FROM dirty
                       WHERE definition_id = $1 AND ($2::bytea IS NULL OR identity > $2)
                       ORDER BY identity LIMIT $3) d
                 LEFT JOIN LATERAL (SELECT e.target_hint, e.hinted_at FROM quarantine e
                                    WHERE e.definition_id = $1 AND e.identity = d.identity OFFSET 0) q ON true
                 ORDER BY d.identity",
                PRESUMED = TargetHint::Presumed.code(),
                DELETED = TargetHint::Deleted.code(),
            )))
            .bind(self.definition.uuid())
            .bind(after.as_ref().map(|identity| identity.as_bytes().as_slice()))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Removes dirty rows whose sequence is still the given one: they were found to need nothing. So a
    /// quarantine entry of theirs has lost its ground and goes too.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn clear_dirty(&self, fence: Fence, rows: &[(Identity, u64)]) -> Result<()> {
        self.timed(async {
            if rows.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            let gone = self.remove_dirty(&mut tx, rows).await?;
            self.leave_quarantine(&mut tx, gone.iter()).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Removes dirty rows where the sequence is still the given one and answers which.
    pub(super) async fn remove_dirty(
        &self,
        tx: &mut PgConnection,
        rows: &[(Identity, u64)],
    ) -> Result<Vec<Identity>> {
        let mut gone = Vec::new();
        for batch in rows.chunks(BATCH) {
            let sequences = batch
                .iter()
                .map(|(_, sequence)| to_bigint("dirty sequence", *sequence))
                .collect::<Result<Vec<_>>>()?;
            let removed: Vec<Vec<u8>> = sqlx::query_scalar(
                "DELETE FROM dirty d USING unnest($2::bytea[], $3::bigint[]) AS c(identity, sequence)
                 WHERE d.definition_id = $1 AND d.identity = ANY($2) AND d.identity = c.identity
                   AND d.sequence = c.sequence
                 RETURNING d.identity",
            )
            .bind(self.definition.uuid())
            .bind(bytes(batch.iter().map(|(identity, _)| identity)))
            .bind(sequences)
            .fetch_all(&mut *tx)
            .await?;
            for bytes in &removed {
                gone.push(identity(bytes)?);
            }
        }
        Ok(gone)
    }
}

/// Assignments that take a newer hint over into the row called `kept`: none leaves it as it is, and a deletion that
/// is reported again keeps its first time, since proof is a look some minutes after the first report.
pub(super) fn hint_taken_over(kept: &str) -> String {
    let (presumed, deleted) = (TargetHint::Presumed.code(), TargetHint::Deleted.code());
    format!(
        "target_hint = CASE WHEN excluded.target_hint = {presumed} THEN {kept}.target_hint
                            ELSE excluded.target_hint END,
         hinted_at = CASE WHEN excluded.target_hint = {presumed}
                            OR (excluded.target_hint = {deleted} AND {kept}.target_hint = {deleted})
                          THEN {kept}.hinted_at ELSE excluded.hinted_at END"
    )
}

fn read(row: &PgRow) -> Result<DirtyRow> {
    let damaged = || Error::Damaged { what: "dirty row" };
    let hinted: Option<f64> = row.try_get(7)?;
    Ok(DirtyRow {
        mark: DirtyMark {
            identity: identity(row.try_get(0)?)?,
            key: key(row.try_get(1)?)?,
            mark: agreement::mark(row.try_get(2)?, row.try_get(3)?)?,
            suspected_delete: row.try_get(4)?,
            target: TargetHint::from_code(row.try_get(6)?).ok_or_else(damaged)?,
        },
        sequence: from_bigint("dirty sequence", row.try_get(5)?)?,
        hinted: Duration::try_from_secs_f64(hinted.unwrap_or_default()).map_err(|_| damaged())?,
    })
}

/// A statement may touch a row once, so several marks of one identity become one, as if they had come one after the
/// other.
fn one_a_row(marks: &[DirtyMark]) -> BTreeMap<Identity, DirtyMark> {
    let mut out: BTreeMap<Identity, DirtyMark> = BTreeMap::new();
    for mark in marks {
        let merged = match out.get(&mark.identity) {
            None => mark.clone(),
            Some(earlier) => followed_by(earlier, mark),
        };
        out.insert(mark.identity, merged);
    }
    out
}

/// The newest source state counts, the last word of each side's feed, and the last key.
fn followed_by(earlier: &DirtyMark, later: &DirtyMark) -> DirtyMark {
    let of_the_list = later.target != TargetHint::Presumed;
    DirtyMark {
        mark: earlier.mark.max(later.mark),
        suspected_delete: later.suspected_delete || (of_the_list && earlier.suspected_delete),
        target: if of_the_list { later.target } else { earlier.target },
        ..later.clone()
    }
}
