//! Witnesses of source writes: noted after the rows were staged and before their transaction commits, so that a
//! lost answer, or a crash, can be judged afterwards by the row itself and by its transaction's id.

use syncbridge_domain::effect::{Fence, Witness};
use uuid::Uuid;

use super::admit::first_missing;
use super::{BATCH, DefinitionStore, bytes};
use crate::error::{Error, Result, violates};
use crate::number::{to_bigint, to_integer};

impl DefinitionStore {
    /// Notes witnesses, all or none. An insert is held under its row's identity from here on; the identity it was
    /// recorded under stays with it, and what was sent stays sealed for that one. Noting once more, for a write that
    /// was staged again, replaces what was noted.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::EffectTaken`] where a row's identity has another open effect;
    /// [`Error::EffectUnknown`] for an effect that is not open, writes no row, or is of another identity. Nothing
    /// is noted then.
    pub async fn note_witnesses(&self, fence: Fence, witnesses: &[Witness]) -> Result<()> {
        self.timed(async {
            if witnesses.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            let mut ordered: Vec<&Witness> = witnesses.iter().collect();
            ordered.sort_by_key(|witness| witness.subject.identity);
            for batch in ordered.chunks(BATCH) {
                self.note_batch(&mut tx, batch).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn note_batch(&self, tx: &mut sqlx::PgConnection, batch: &[&Witness]) -> Result<()> {
        let each = || batch.iter().copied();
        let xids = each()
            .map(|witness| {
                witness
                    .xid
                    .map(|xid| to_bigint("transaction id", xid))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let generations = each()
            .map(|witness| to_integer("mark generation", witness.after.mark.generation))
            .collect::<Result<Vec<_>>>()?;
        let lsns = each()
            .map(|witness| to_bigint("mark position", witness.after.mark.lsn.0))
            .collect::<Result<Vec<_>>>()?;
        let noted: Vec<Uuid> = sqlx::query_scalar(
            "UPDATE effects e SET
                 witnessed = true, source_xid = w.xid, after_agreed = w.agreed, after_layout = w.layout,
                 after_generation = w.generation, after_lsn = w.lsn, identity = w.identity, key = w.key,
                 old_identity = CASE WHEN e.identity = w.identity THEN e.old_identity
                                     ELSE coalesce(e.old_identity, e.identity) END
             FROM unnest($2::uuid[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bytea[], $7::bigint[],
                         $8::integer[], $9::bigint[])
                  AS w(effect_id, identity, key, xid, agreed, layout, generation, lsn)
             WHERE e.effect_id = ANY($2) AND e.effect_id = w.effect_id AND e.state = 'open'
               AND e.definition_id IS NOT DISTINCT FROM $1
               AND (e.kind = 'insert_row' OR (e.kind IN ('update_row', 'delete_row') AND e.identity = w.identity))
             RETURNING e.effect_id",
        )
        .bind(self.definition.uuid())
        .bind(each().map(|witness| witness.effect.uuid()).collect::<Vec<_>>())
        .bind(bytes(each().map(|witness| &witness.subject.identity)))
        .bind(each().map(|witness| witness.subject.key.as_bytes()).collect::<Vec<_>>())
        .bind(xids)
        .bind(each().map(|witness| witness.after.agreed.as_slice()).collect::<Vec<_>>())
        .bind(each().map(|witness| i64::from(witness.after.layout.0)).collect::<Vec<_>>())
        .bind(generations)
        .bind(lsns)
        .fetch_all(&mut *tx)
        .await
        .map_err(|error| match violates(&error, "effects_one_open_per_subject") {
            true => Error::EffectTaken,
            false => error.into(),
        })?;
        match first_missing(each().map(|witness| witness.effect), &noted) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
