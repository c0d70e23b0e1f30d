//! Agreement where nothing had to be written: a compare-and-set on the ledger row's version, and its entry in the
//! history in the same statement.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use sqlx::types::Json;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::history::{Cause, Happening};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::LedgerRow;
use syncbridge_domain::reconcile::RowDecision;

use super::agreement::Columns;
use super::{BATCH, DefinitionStore, Recorded, identity};
use crate::error::Result;

impl DefinitionStore {
    /// Records agreement, and why; `row_version` of each row is the one it rests on (0: no row yet). Answers which
    /// were taken. A taken row leaves quarantine; its dirty row goes where the sequence is still the given one.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`]; [`crate::Error::ItemOwned`] where an item of a row that was taken belongs
    /// to another identity; nothing is written then.
    pub async fn adopt(
        &self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
        causes: &[Cause],
    ) -> Result<Vec<bool>> {
        self.timed(async {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let mut tx = self.begin(fence).await?;
            let unexplained = Cause::of(RowDecision::Adopt);
            let mut ordered: Vec<(usize, Recorded<'_>)> = rows
                .iter()
                .enumerate()
                .map(|(at, row)| {
                    let cause = causes.get(at).unwrap_or(&unexplained);
                    (at, Recorded { row, cause })
                })
                .collect();
            ordered.sort_by_key(|(_, recorded)| recorded.row.identity);
            // Of two rows of one identity only the first can rest on what is there.
            ordered.dedup_by_key(|(_, recorded)| recorded.row.identity);
            let mut taken = BTreeSet::new();
            for batch in ordered.chunks(BATCH) {
                let (new, known): (Vec<_>, Vec<_>) = batch
                    .iter()
                    .map(|(_, recorded)| *recorded)
                    .partition(|recorded| recorded.row.row_version == 0);
                taken.extend(self.insert_rows(&mut tx, &new).await?);
                taken.extend(self.update_rows(&mut tx, &known).await?);
            }
            ordered.retain(|(_, recorded)| taken.contains(&recorded.row.identity));
            let written: Vec<&LedgerRow> = ordered.iter().map(|(_, recorded)| recorded.row).collect();
            self.link_items(&mut tx, &written).await?;
            let cleared: Vec<(Identity, u64)> = ordered
                .iter()
                .filter_map(|(at, recorded)| {
                    Some((recorded.row.identity, clears_dirty.get(*at).copied().flatten()?))
                })
                .collect();
            self.remove_dirty(&mut tx, &cleared).await?;
            self.leave_quarantine(&mut tx, written.iter().map(|row| &row.identity))
                .await?;
            tx.commit().await?;
            let taken: BTreeSet<usize> = ordered.iter().map(|(at, _)| *at).collect();
            Ok((0..rows.len()).map(|at| taken.contains(&at)).collect())
        })
        .await
    }

    async fn insert_rows(&self, tx: &mut PgConnection, recorded: &[Recorded<'_>]) -> Result<Vec<Identity>> {
        if recorded.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(&rows_of(recorded))?;
        let inserted: Vec<Vec<u8>> = sqlx::query_scalar(
            "WITH r AS NOT MATERIALIZED (
                 SELECT * FROM unnest($4::bytea[], $5::bytea[], $6::text[], $7::uuid[], $8::bigint[], $9::bytea[],
                                      $10::bigint[], $11::smallint[], $12::integer[], $13::bigint[],
                                      $14::smallint[], $15::uuid[], $16::text[], $17::jsonb[])
                     AS r(identity, key, item_id, item_guid, version, agreed, layout, hash_key_id,
                          mark_generation, mark_lsn, state, last_run, kind, cause)
             ), taken AS (
                 INSERT INTO ledger
                     (definition_id, workspace_id, list_id, identity, key, item_id, item_guid, version, agreed,
                      layout, hash_key_id, mark_generation, mark_lsn, state, last_run, row_version)
                 SELECT $1, $2, $3, r.identity, r.key, r.item_id, r.item_guid, r.version, r.agreed, r.layout,
                        r.hash_key_id, r.mark_generation, r.mark_lsn, r.state, r.last_run, 1
                 FROM r ORDER BY r.identity
                 ON CONFLICT (definition_id, identity) DO NOTHING
                 RETURNING identity
             ), remembered AS (
                 INSERT INTO ledger_history
                     (workspace_id, definition_id, outcome, row_version, identity, run_id, kind, cause, item_id,
                      item_guid, after_counter, agreed, layout, state, mark_generation, mark_lsn)
                 SELECT $2, $1, 'adopted', 1, r.identity, r.last_run, r.kind, r.cause, r.item_id, r.item_guid,
                        r.version, r.agreed, r.layout, r.state, r.mark_generation, r.mark_lsn
                 FROM r JOIN taken t ON t.identity = r.identity
             )
             SELECT identity FROM taken",
        )
        .bind(self.definition.uuid())
        .bind(self.workspace.uuid())
        .bind(&self.list_id)
        .bind(columns.identities)
        .bind(columns.keys)
        .bind(columns.item_ids)
        .bind(columns.guids)
        .bind(columns.versions)
        .bind(columns.agreed)
        .bind(columns.layouts)
        .bind(columns.hash_keys)
        .bind(columns.generations)
        .bind(columns.lsns)
        .bind(columns.states)
        .bind(columns.runs)
        .bind(kinds_of(recorded))
        .bind(causes_of(recorded))
        .fetch_all(&mut *tx)
        .await?;
        inserted.iter().map(|bytes| identity(bytes)).collect()
    }

    /// What stood there before is taken from the statement's own snapshot; where another writer came between, the
    /// version tells, and the entry says nothing of it.
    async fn update_rows(&self, tx: &mut PgConnection, recorded: &[Recorded<'_>]) -> Result<Vec<Identity>> {
        if recorded.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(&rows_of(recorded))?;
        let updated: Vec<Vec<u8>> = sqlx::query_scalar(
            "WITH r AS NOT MATERIALIZED (
                 SELECT * FROM unnest($3::bytea[], $4::bytea[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[],
                                      $9::bigint[], $10::smallint[], $11::integer[], $12::bigint[],
                                      $13::smallint[], $14::uuid[], $15::bigint[], $16::text[], $17::jsonb[])
                     AS r(identity, key, item_id, item_guid, version, agreed, layout, hash_key_id,
                          mark_generation, mark_lsn, state, last_run, expected, kind, cause)
             ), taken AS (
                 UPDATE ledger l SET
                     list_id = $2, key = r.key, item_id = r.item_id, item_guid = r.item_guid, version = r.version,
                     agreed = r.agreed, layout = r.layout, hash_key_id = r.hash_key_id,
                     mark_generation = r.mark_generation, mark_lsn = r.mark_lsn, state = r.state,
                     last_run = r.last_run, row_version = l.row_version + 1, updated_at = now()
                 FROM r
                 WHERE l.definition_id = $1 AND l.identity = r.identity AND l.row_version = r.expected
                 RETURNING l.identity
             ), remembered AS (
                 INSERT INTO ledger_history
                     (workspace_id, definition_id, outcome, row_version, identity, run_id, kind, cause, item_id,
                      item_guid, before_counter, after_counter, before_agreed, before_layout, before_state, agreed,
                      layout, state, mark_generation, mark_lsn)
                 SELECT $18, $1, 'adopted', r.expected + 1, r.identity, r.last_run, r.kind, r.cause, r.item_id,
                        r.item_guid, b.version, r.version, b.agreed, b.layout, b.state, r.agreed, r.layout, r.state,
                        r.mark_generation, r.mark_lsn
                 FROM r JOIN taken t ON t.identity = r.identity
                 LEFT JOIN LATERAL (SELECT l.version, l.agreed, l.layout, l.state FROM ledger l
                                    WHERE l.definition_id = $1 AND l.identity = r.identity
                                      AND l.row_version = r.expected OFFSET 0) b ON true
             )
             SELECT identity FROM taken",
        )
        .bind(self.definition.uuid())
        .bind(&self.list_id)
        .bind(columns.identities)
        .bind(columns.keys)
        .bind(columns.item_ids)
        .bind(columns.guids)
        .bind(columns.versions)
        .bind(columns.agreed)
        .bind(columns.layouts)
        .bind(columns.hash_keys)
        .bind(columns.generations)
        .bind(columns.lsns)
        .bind(columns.states)
        .bind(columns.runs)
        .bind(columns.row_versions)
        .bind(kinds_of(recorded))
        .bind(causes_of(recorded))
        .bind(self.workspace.uuid())
        .fetch_all(&mut *tx)
        .await?;
        updated.iter().map(|bytes| identity(bytes)).collect()
    }
}

fn rows_of<'a>(recorded: &[Recorded<'a>]) -> Vec<&'a LedgerRow> {
    recorded.iter().map(|one| one.row).collect()
}

fn kinds_of(recorded: &[Recorded<'_>]) -> Vec<&'static str> {
    recorded
        .iter()
        .map(|one| Happening::without_write(one.cause.rule).name())
        .collect()
}

fn causes_of<'a>(recorded: &[Recorded<'a>]) -> Vec<Json<&'a Cause>> {
    recorded.iter().map(|one| Json(one.cause)).collect()
}
