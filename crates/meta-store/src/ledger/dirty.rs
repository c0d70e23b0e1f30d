//! Identities known to have changed and not yet applied.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::dirty::{DirtyMark, DirtyRow, TargetHint};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::identity::Identity;

use super::{BATCH, DefinitionStore, agreement, bytes, identity, key};
use crate::error::Result;
use crate::number::{from_bigint, to_bigint, to_integer};

impl DefinitionStore {
    /// Marks rows dirty and moves the cursor, in one transaction. Each mark gets a new number; the newest
    /// source state that was ever marked is kept.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn mark_dirty(&self, fence: Fence, marks: &[DirtyMark], cursor: Option<&Cursor>) -> Result<()> {
        self.timed(async {
            if marks.is_empty() && cursor.is_none() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            let marks: Vec<DirtyMark> = one_a_row(marks).into_values().collect();
            for batch in marks.chunks(BATCH) {
                self.mark_batch(&mut tx, batch).await?;
            }
            if let Some(cursor) = cursor {
                self.save_cursor(&mut tx, cursor).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
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
        sqlx::query(
            "INSERT INTO dirty AS d (definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                                     suspected_delete, sequence)
             SELECT $1, $2, m.*, nextval('dirty_sequence')
             FROM unnest($3::bytea[], $4::bytea[], $5::integer[], $6::bigint[], $7::boolean[])
                  AS m(identity, key, mark_generation, mark_lsn, suspected_delete)
             ORDER BY m.identity
             ON CONFLICT (definition_id, identity) DO UPDATE SET
                 key = excluded.key,
                 mark_generation = greatest(d.mark_generation, excluded.mark_generation),
                 mark_lsn = CASE WHEN d.mark_generation = excluded.mark_generation
                                 THEN greatest(d.mark_lsn, excluded.mark_lsn)
                                 WHEN d.mark_generation > excluded.mark_generation THEN d.mark_lsn
                                 ELSE excluded.mark_lsn END,
                 suspected_delete = excluded.suspected_delete,
                 sequence = nextval('dirty_sequence')",
        )
        .bind(self.definition.uuid())
        .bind(self.workspace.uuid())
        .bind(bytes(batch.iter().map(|mark| &mark.identity)))
        .bind(batch.iter().map(|mark| mark.key.as_bytes()).collect::<Vec<_>>())
        .bind(generations)
        .bind(lsns)
        .bind(batch.iter().map(|mark| mark.suspected_delete).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// Dirty rows behind `after` in the order of identities.
    ///
    /// # Errors
    /// As any statement.
    pub async fn dirty(&self, after: Option<Identity>, limit: u32) -> Result<Vec<DirtyRow>> {
        self.timed(async {
            let rows = sqlx::query(
                "SELECT identity, key, mark_generation, mark_lsn, suspected_delete, sequence FROM dirty
                 WHERE definition_id = $1 AND ($2::bytea IS NULL OR identity > $2)
                 ORDER BY identity LIMIT $3",
            )
            .bind(self.definition.uuid())
            .bind(after.as_ref().map(|identity| identity.as_bytes().as_slice()))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter()
                .map(|row| {
                    Ok(DirtyRow {
                        mark: DirtyMark {
                            identity: identity(row.try_get(0)?)?,
                            key: key(row.try_get(1)?)?,
                            mark: agreement::mark(row.try_get(2)?, row.try_get(3)?)?,
                            suspected_delete: row.try_get(4)?,
                            target: TargetHint::Presumed,
                        },
                        sequence: from_bigint("dirty sequence", row.try_get(5)?)?,
                        hinted: std::time::Duration::ZERO,
                    })
                })
                .collect()
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

/// A statement may touch a row once: of several marks of one identity the last one counts, with the newest
/// source state of all.
fn one_a_row(marks: &[DirtyMark]) -> BTreeMap<Identity, DirtyMark> {
    let mut out: BTreeMap<Identity, DirtyMark> = BTreeMap::new();
    for mark in marks {
        let newest = out
            .get(&mark.identity)
            .map_or(mark.mark, |earlier| earlier.mark.max(mark.mark));
        out.insert(
            mark.identity,
            DirtyMark {
                mark: newest,
                ..mark.clone()
            },
        );
    }
    out
}
