//! Recording writes before they are sent. This is the mutual exclusion between everything that writes.
//!
//! Two statements, and the order matters. The first takes the slots: it waits for whoever is just giving one
//! up. Only the second, with a snapshot taken after that wait, sees the ledger row that the other one wrote;
//! a single statement would compare with the row as it was before the wait and admit a stale decision.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::types::Json;
use syncbridge_domain::effect::{Admission, Fence, NewEffect};
use syncbridge_domain::ids::{EffectId, RunId};
use uuid::Uuid;

use super::{BATCH, DefinitionStore, bytes};
use crate::error::{Error, Result};
use crate::number::{to_bigint, to_integer};

impl DefinitionStore {
    /// Records writes before they are sent; one answer a write, in order.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; nothing is recorded then.
    pub async fn admit(&self, fence: Fence, run: RunId, effects: &[NewEffect]) -> Result<Vec<Admission>> {
        self.timed(async {
            if effects.is_empty() {
                return Ok(Vec::new());
            }
            let mut tx = self.begin(fence).await?;
            // Over all batches together in one order, or two calls could wait for each other.
            let mut ordered: Vec<&NewEffect> = effects.iter().collect();
            ordered.sort_by_key(|effect| effect.subject.identity);
            let mut taken = BTreeSet::new();
            for batch in ordered.chunks(BATCH) {
                taken.extend(self.take_slots(&mut tx, fence, run, batch).await?);
            }
            let mut stale = BTreeSet::new();
            for batch in ordered.chunks(BATCH) {
                stale.extend(self.give_back_stale(&mut tx, batch, &taken).await?);
            }
            tx.commit().await?;
            let answer = |effect: &NewEffect| match effect.id.uuid() {
                id if stale.contains(&id) => Admission::Stale,
                id if taken.contains(&id) => Admission::Admitted,
                _ => Admission::Busy,
            };
            Ok(effects.iter().map(answer).collect())
        })
        .await
    }

    async fn take_slots(
        &self,
        tx: &mut PgConnection,
        fence: Fence,
        run: RunId,
        batch: &[&NewEffect],
    ) -> Result<Vec<Uuid>> {
        let each = || batch.iter().copied();
        let sealed = each()
            .map(|effect| {
                self.seal(
                    &self.place("effects.sealed_sent", effect.subject.identity),
                    &effect.sent,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let before = each()
            .map(|effect| {
                let place = self.place("effects.sealed_before", effect.subject.identity);
                let seen = !effect.before.is_empty();
                seen.then(|| self.seal(&place, &effect.before)).transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let counters = each()
            .map(|e| {
                e.item
                    .as_ref()
                    .map(|i| to_bigint("item counter", i.before.counter))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let generations = each()
            .map(|e| to_integer("mark generation", e.after.mark.generation))
            .collect::<Result<Vec<_>>>()?;
        let lsns = each()
            .map(|e| to_bigint("mark position", e.after.mark.lsn.0))
            .collect::<Result<Vec<_>>>()?;
        Ok(sqlx::query_scalar(
            "INSERT INTO effects
                 (workspace_id, definition_id, run_id, list_id, epoch, generation, state, effect_id, identity,
                  key, item_id, item_guid, before_counter, kind, sealed_sent, after_agreed, after_layout,
                  after_generation, after_lsn, cause, sealed_before)
             SELECT $1, $2, $3, $4, $5, (SELECT generation FROM definitions WHERE definition_id = $2), 'open', e.*
             FROM unnest($6::uuid[], $7::bytea[], $8::bytea[], $9::text[], $10::uuid[], $11::bigint[],
                         $12::text[], $13::bytea[], $14::bytea[], $15::bigint[], $16::integer[], $17::bigint[],
                         $18::jsonb[], $19::bytea[])
                  AS e(effect_id, identity, key, item_id, item_guid, before_counter, kind, sealed_sent,
                       after_agreed, after_layout, after_generation, after_lsn, cause, sealed_before)
             ORDER BY e.identity
             ON CONFLICT DO NOTHING
             RETURNING effect_id",
        )
        .bind(self.workspace.uuid())
        .bind(self.definition.uuid())
        .bind(run.uuid())
        .bind(&self.list_id)
        .bind(to_bigint("lease epoch", fence.epoch)?)
        .bind(each().map(|effect| effect.id.uuid()).collect::<Vec<_>>())
        .bind(bytes(each().map(|effect| &effect.subject.identity)))
        .bind(each().map(|effect| effect.subject.key.as_bytes()).collect::<Vec<_>>())
        .bind(each().map(|e| e.item.as_ref().map(|item| item.id.0.as_str())).collect::<Vec<_>>())
        .bind(each().map(|e| e.item.as_ref().map(|item| item.before.guid)).collect::<Vec<_>>())
        .bind(counters)
        .bind(each().map(|effect| effect.kind.name()).collect::<Vec<_>>())
        .bind(sealed)
        .bind(each().map(|effect| effect.after.agreed.as_slice()).collect::<Vec<_>>())
        .bind(each().map(|effect| i64::from(effect.after.layout.0)).collect::<Vec<_>>())
        .bind(generations)
        .bind(lsns)
        .bind(each().map(|effect| Json(&effect.cause)).collect::<Vec<_>>())
        .bind(before)
        .fetch_all(&mut *tx)
        .await?)
    }

    /// Removes what was just taken on the ground of a ledger row that is another one by now.
    async fn give_back_stale(
        &self,
        tx: &mut PgConnection,
        batch: &[&NewEffect],
        taken: &BTreeSet<Uuid>,
    ) -> Result<Vec<Uuid>> {
        let taken: Vec<&NewEffect> = batch
            .iter()
            .copied()
            .filter(|effect| taken.contains(&effect.id.uuid()))
            .collect();
        let expected = taken
            .iter()
            .map(|effect| to_bigint("row version", effect.expected_row_version.unwrap_or(0)))
            .collect::<Result<Vec<_>>>()?;
        let stale: Vec<Uuid> = sqlx::query_scalar(
            "SELECT c.effect_id
             FROM unnest($2::uuid[], $3::bytea[], $4::bigint[]) AS c(effect_id, identity, expected)
             WHERE c.expected <> coalesce((SELECT l.row_version FROM ledger l
                                           WHERE l.definition_id = $1 AND l.identity = c.identity), 0)",
        )
        .bind(self.definition.uuid())
        .bind(taken.iter().map(|effect| effect.id.uuid()).collect::<Vec<_>>())
        .bind(bytes(taken.iter().map(|effect| &effect.subject.identity)))
        .bind(expected)
        .fetch_all(&mut *tx)
        .await?;
        if !stale.is_empty() {
            sqlx::query("DELETE FROM effects WHERE effect_id = ANY($1)")
                .bind(&stale)
                .execute(&mut *tx)
                .await?;
        }
        Ok(stale)
    }
}

/// Which of these effects are not among those found.
pub(super) fn first_missing(asked: impl Iterator<Item = EffectId>, found: &[Uuid]) -> Option<Error> {
    let found: BTreeSet<&Uuid> = found.iter().collect();
    asked
        .into_iter()
        .find(|effect| !found.contains(&effect.uuid()))
        .map(|effect| Error::EffectUnknown { effect })
}
