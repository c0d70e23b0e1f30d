//! Agreement where nothing had to be written: a compare-and-set on the ledger row's version.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::LedgerRow;

use super::agreement::Columns;
use super::{Adopted, BATCH, DefinitionStore, identity};
use crate::error::Result;

impl DefinitionStore {
    /// Records agreement; `row_version` of each row is the one it rests on (0: no row yet). Answers which were
    /// taken. A taken row leaves quarantine; its dirty row goes where the sequence is still the given one.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`]; [`crate::Error::ItemOwned`] where an item of a row that was taken belongs
    /// to another identity; nothing is written then.
    pub async fn adopt(
        &self,
        fence: Fence,
        rows: &[LedgerRow],
        clears_dirty: &[Option<u64>],
    ) -> Result<Vec<bool>> {
        self.timed(async {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let mut tx = self.begin(fence).await?;
            let mut ordered: Vec<(usize, &LedgerRow)> = rows.iter().enumerate().collect();
            ordered.sort_by_key(|(_, row)| row.identity);
            // Of two rows of one identity only the first can rest on what is there.
            ordered.dedup_by_key(|(_, row)| row.identity);
            let mut taken = BTreeSet::new();
            for batch in ordered.chunks(BATCH) {
                let (new, known): (Vec<_>, Vec<_>) = batch
                    .iter()
                    .map(|(_, row)| *row)
                    .partition(|row| row.row_version == 0);
                taken.extend(self.insert_rows(&mut tx, &new).await?);
                taken.extend(self.update_rows(&mut tx, &known).await?);
            }
            ordered.retain(|(_, row)| taken.contains(&row.identity));
            let written: Vec<&LedgerRow> = ordered.iter().map(|(_, row)| *row).collect();
            self.link_items(&mut tx, &written).await?;
            let cleared: Vec<(Identity, u64)> = ordered
                .iter()
                .filter_map(|(at, row)| Some((row.identity, clears_dirty.get(*at).copied().flatten()?)))
                .collect();
            self.remove_dirty(&mut tx, &cleared).await?;
            self.leave_quarantine(&mut tx, written.iter().map(|row| &row.identity))
                .await?;
            let adopted: Vec<Adopted<'_>> = written.iter().map(|row| Adopted { row }).collect();
            self.remember_adopted(&mut tx, &adopted).await?;
            tx.commit().await?;
            let taken: BTreeSet<usize> = ordered.iter().map(|(at, _)| *at).collect();
            Ok((0..rows.len()).map(|at| taken.contains(&at)).collect())
        })
        .await
    }

    async fn insert_rows(&self, tx: &mut PgConnection, rows: &[&LedgerRow]) -> Result<Vec<Identity>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(rows)?;
        let inserted: Vec<Vec<u8>> = sqlx::query_scalar(
            "INSERT INTO ledger
                 (definition_id, workspace_id, list_id, identity, key, item_id, item_guid, version, agreed,
                  layout, hash_key_id, mark_generation, mark_lsn, state, last_run, row_version)
             SELECT $1, $2, $3, r.*, 1
             FROM unnest($4::bytea[], $5::bytea[], $6::text[], $7::uuid[], $8::bigint[], $9::bytea[],
                         $10::bigint[], $11::smallint[], $12::integer[], $13::bigint[], $14::smallint[],
                         $15::uuid[]) AS r(identity, key, item_id, item_guid, version, agreed, layout,
                                           hash_key_id, mark_generation, mark_lsn, state, last_run)
             ORDER BY r.identity
             ON CONFLICT (definition_id, identity) DO NOTHING
             RETURNING identity",
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
        .fetch_all(&mut *tx)
        .await?;
        inserted.iter().map(|bytes| identity(bytes)).collect()
    }

    async fn update_rows(&self, tx: &mut PgConnection, rows: &[&LedgerRow]) -> Result<Vec<Identity>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let columns = Columns::of(rows)?;
        let updated: Vec<Vec<u8>> = sqlx::query_scalar(
            "UPDATE ledger l SET
                 list_id = $2, key = r.key, item_id = r.item_id, item_guid = r.item_guid, version = r.version,
                 agreed = r.agreed, layout = r.layout, hash_key_id = r.hash_key_id,
                 mark_generation = r.mark_generation, mark_lsn = r.mark_lsn, state = r.state,
                 last_run = r.last_run, row_version = l.row_version + 1, updated_at = now()
             FROM unnest($3::bytea[], $4::bytea[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[],
                         $9::bigint[], $10::smallint[], $11::integer[], $12::bigint[], $13::smallint[],
                         $14::uuid[], $15::bigint[])
                  AS r(identity, key, item_id, item_guid, version, agreed, layout, hash_key_id,
                       mark_generation, mark_lsn, state, last_run, expected)
             WHERE l.definition_id = $1 AND l.identity = r.identity AND l.row_version = r.expected
             RETURNING l.identity",
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
        .fetch_all(&mut *tx)
        .await?;
        updated.iter().map(|bytes| identity(bytes)).collect()
    }
}
