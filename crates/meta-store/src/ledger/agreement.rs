//! Ledger rows in bulk: how they are written, linked to their items, and read back.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::feed::{Lsn, Mark};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use syncbridge_domain::receipt::ItemId;
use syncbridge_domain::version::Version;
use uuid::Uuid;

use super::{BATCH, DefinitionStore, bytes, identity, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, from_integer, to_bigint, to_integer};

/// Columns of ledger rows as arrays, in one order.
pub(super) struct Columns<'a> {
    pub(super) identities: Vec<&'a [u8]>,
    pub(super) keys: Vec<&'a [u8]>,
    pub(super) item_ids: Vec<&'a str>,
    pub(super) guids: Vec<Uuid>,
    pub(super) versions: Vec<i64>,
    pub(super) agreed: Vec<&'a [u8]>,
    pub(super) layouts: Vec<i64>,
    pub(super) hash_keys: Vec<i16>,
    pub(super) generations: Vec<i32>,
    pub(super) lsns: Vec<i64>,
    pub(super) states: Vec<i16>,
    pub(super) runs: Vec<Uuid>,
    pub(super) row_versions: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(rows: &[&'a LedgerRow]) -> Result<Self> {
        let each = || rows.iter().copied();
        Ok(Self {
            identities: each().map(|row| row.identity.as_bytes().as_slice()).collect(),
            keys: each().map(|row| row.key.as_bytes()).collect(),
            item_ids: each().map(|row| row.item.0.as_str()).collect(),
            guids: each().map(|row| row.version.guid).collect(),
            versions: each()
                .map(|row| to_bigint("item counter", row.version.counter))
                .collect::<Result<_>>()?,
            agreed: each().map(|row| row.agreed.as_slice()).collect(),
            layouts: each().map(|row| i64::from(row.layout.0)).collect(),
            hash_keys: each()
                .map(|row| {
                    i16::try_from(row.hash_key_id).map_err(|_| Error::OutOfRange { what: "hash key id" })
                })
                .collect::<Result<_>>()?,
            generations: each()
                .map(|row| to_integer("mark generation", row.mark.generation))
                .collect::<Result<_>>()?,
            lsns: each()
                .map(|row| to_bigint("mark position", row.mark.lsn.0))
                .collect::<Result<_>>()?,
            states: each().map(|row| row.state.code()).collect(),
            runs: each().map(|row| row.last_run.uuid()).collect(),
            row_versions: each()
                .map(|row| to_bigint("row version", row.row_version))
                .collect::<Result<_>>()?,
        })
    }
}

/// Columns in the order [`read`] takes them.
pub(super) const COLUMNS: &str = "identity, key, item_id, item_guid, version, agreed, layout, hash_key_id,
        mark_generation, mark_lsn, state, row_version, last_run";

pub(super) fn read(row: &PgRow) -> Result<LedgerRow> {
    Ok(LedgerRow {
        identity: identity(row.try_get(0)?)?,
        key: key(row.try_get(1)?)?,
        item: ItemId(row.try_get(2)?),
        version: Version {
            guid: row.try_get(3)?,
            counter: from_bigint("item counter", row.try_get(4)?)?,
        },
        agreed: row.try_get(5)?,
        layout: layout(row.try_get(6)?)?,
        hash_key_id: u16::try_from(row.try_get::<i16, _>(7)?)
            .map_err(|_| Error::Damaged { what: "hash key id" })?,
        mark: mark(row.try_get(8)?, row.try_get(9)?)?,
        state: LedgerState::from_code(row.try_get(10)?).ok_or(Error::Damaged { what: "ledger state" })?,
        row_version: from_bigint("row version", row.try_get(11)?)?,
        last_run: RunId::from_uuid(row.try_get(12)?),
    })
}

pub(super) fn layout(stored: i64) -> Result<LayoutStamp> {
    u32::try_from(stored)
        .map(LayoutStamp)
        .map_err(|_| Error::Damaged { what: "layout stamp" })
}

pub(super) fn mark(generation: i32, lsn: i64) -> Result<Mark> {
    Ok(Mark {
        generation: from_integer("mark generation", generation)?,
        lsn: Lsn(from_bigint("mark position", lsn)?),
    })
}

impl DefinitionStore {
    /// Writes rows whose subjects' slots are held: whatever version is there is raised by one.
    pub(super) async fn upsert_rows(&self, tx: &mut PgConnection, rows: &[&LedgerRow]) -> Result<()> {
        for batch in rows.chunks(BATCH) {
            let columns = Columns::of(batch)?;
            sqlx::query(
                "INSERT INTO ledger
                     (definition_id, workspace_id, list_id, identity, key, item_id, item_guid, version, agreed,
                      layout, hash_key_id, mark_generation, mark_lsn, state, last_run, row_version)
                 SELECT $1, $2, $3, r.*, 1
                 FROM unnest($4::bytea[], $5::bytea[], $6::text[], $7::uuid[], $8::bigint[], $9::bytea[],
                             $10::bigint[], $11::smallint[], $12::integer[], $13::bigint[], $14::smallint[],
                             $15::uuid[]) AS r(identity, key, item_id, item_guid, version, agreed, layout,
                                               hash_key_id, mark_generation, mark_lsn, state, last_run)
                 ORDER BY r.identity
                 ON CONFLICT (definition_id, identity) DO UPDATE SET
                     list_id = excluded.list_id, key = excluded.key, item_id = excluded.item_id,
                     item_guid = excluded.item_guid, version = excluded.version, agreed = excluded.agreed,
                     layout = excluded.layout, hash_key_id = excluded.hash_key_id,
                     mark_generation = excluded.mark_generation, mark_lsn = excluded.mark_lsn,
                     state = excluded.state, last_run = excluded.last_run,
                     row_version = ledger.row_version + 1, updated_at = now()",
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
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    /// Makes the links of these rows true: one item, one identity, over all definitions. Tombstones have none.
    pub(super) async fn link_items(&self, tx: &mut PgConnection, rows: &[&LedgerRow]) -> Result<()> {
        for batch in rows.chunks(BATCH) {
            // First everything these rows no longer hold, so that an item may pass from one to another.
            let held = |row: &LedgerRow| (row.state != LedgerState::Tombstone).then_some(row.version.guid);
            sqlx::query(
                "DELETE FROM item_links WHERE ctid = ANY(ARRAY(
                     SELECT k.place
                     FROM unnest($2::bytea[], $3::uuid[]) AS r(identity, item_guid)
                     CROSS JOIN LATERAL (SELECT l.ctid AS place, l.item_guid FROM item_links l
                                         WHERE l.definition_id = $1 AND l.list_id = $4
                                           AND l.identity = r.identity OFFSET 0) AS k
                     WHERE k.item_guid IS DISTINCT FROM r.item_guid))",
            )
            .bind(self.definition.uuid())
            .bind(bytes(batch.iter().map(|row| &row.identity)))
            .bind(batch.iter().map(|row| held(row)).collect::<Vec<_>>())
            .bind(&self.list_id)
            .execute(&mut *tx)
            .await?;
        }
        let mut linked: Vec<&LedgerRow> = rows
            .iter()
            .copied()
            .filter(|row| row.state != LedgerState::Tombstone)
            .collect();
        linked.sort_unstable_by_key(|row| row.version.guid);
        for batch in linked.chunks(BATCH) {
            self.link_batch(tx, batch).await?;
        }
        Ok(())
    }

    async fn link_batch(&self, tx: &mut PgConnection, batch: &[&LedgerRow]) -> Result<()> {
        let guids: Vec<Uuid> = batch.iter().map(|row| row.version.guid).collect();
        if let Some(pair) = batch
            .windows(2)
            .find(|pair| pair[0].version.guid == pair[1].version.guid)
        {
            return Err(Error::ItemOwned {
                item: pair[0].item.0.clone(),
            });
        }
        // The update changes nothing; it makes a link that is ours already count as taken.
        let taken: Vec<Uuid> = sqlx::query_scalar(
            "INSERT INTO item_links AS k (list_id, item_guid, workspace_id, definition_id, identity)
             SELECT $1, r.item_guid, $2, $3, r.identity
             FROM unnest($4::uuid[], $5::bytea[]) AS r(item_guid, identity) ORDER BY r.item_guid
             ON CONFLICT (list_id, item_guid) DO UPDATE SET workspace_id = excluded.workspace_id
             WHERE k.definition_id = excluded.definition_id AND k.identity = excluded.identity
             RETURNING item_guid",
        )
        .bind(&self.list_id)
        .bind(self.workspace.uuid())
        .bind(self.definition.uuid())
        .bind(&guids)
        .bind(bytes(batch.iter().map(|row| &row.identity)))
        .fetch_all(&mut *tx)
        .await?;
        if taken.len() == batch.len() {
            return Ok(());
        }
        let owned = batch.iter().find(|row| !taken.contains(&row.version.guid));
        Err(Error::ItemOwned {
            item: owned.map(|row| row.item.0.clone()).unwrap_or_default(),
        })
    }

    /// Ledger rows of these identities, in the order asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn rows(&self, ids: &[Identity]) -> Result<Vec<Option<LedgerRow>>> {
        self.timed(async {
            let mut found = BTreeMap::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
                    "SELECT {COLUMNS} FROM ledger WHERE definition_id = $1 AND identity = ANY($2)"
                )))
                .bind(self.definition.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for row in &rows {
                    let row = read(row)?;
                    found.insert(row.identity, row);
                }
            }
            Ok(ids.iter().map(|identity| found.get(identity).cloned()).collect())
        })
        .await
    }
}
