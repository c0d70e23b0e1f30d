//! What a scan compares, how many rows are live, and which layouts there were.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ledger::{LedgerDigest, LedgerState};
use syncbridge_domain::mapping::LayoutStamp;
use uuid::Uuid;

use super::{BATCH, DefinitionStore, agreement, identity};
use crate::error::{Error, Result};
use crate::number::{from_bigint, from_integer};

impl DefinitionStore {
    /// Digests in the order of identities, behind `after`, up to and including `until`, at most `limit`.
    ///
    /// # Errors
    /// As any statement.
    pub async fn digests(
        &self,
        after: Option<Identity>,
        until: Option<Identity>,
        limit: u32,
    ) -> Result<Vec<LedgerDigest>> {
        self.timed(async {
            let rows = sqlx::query(
                "SELECT identity, substring(agreed FROM 1 FOR 16), state, layout FROM ledger
                 WHERE definition_id = $1 AND ($2::bytea IS NULL OR identity > $2)
                   AND ($3::bytea IS NULL OR identity <= $3)
                 ORDER BY identity LIMIT $4",
            )
            .bind(self.definition.uuid())
            .bind(after.as_ref().map(|identity| identity.as_bytes().as_slice()))
            .bind(until.as_ref().map(|identity| identity.as_bytes().as_slice()))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter()
                .map(|row| {
                    let digest: &[u8] = row.try_get(1)?;
                    Ok(LedgerDigest {
                        identity: identity(row.try_get(0)?)?,
                        digest: RowDigest(digest.try_into().map_err(|_| Error::Damaged { what: "digest" })?),
                        state: LedgerState::from_code(row.try_get(2)?)
                            .ok_or(Error::Damaged { what: "ledger state" })?,
                        layout: agreement::layout(row.try_get(3)?)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Which of these items of the list belong to a row, of this definition or of another one.
    ///
    /// # Errors
    /// As any statement.
    pub async fn owned(&self, items: &[Uuid]) -> Result<BTreeSet<Uuid>> {
        self.timed(async {
            let owned: Vec<Uuid> = sqlx::query_scalar(
                "SELECT item_guid FROM item_links WHERE list_id = $1 AND item_guid = ANY($2)",
            )
            .bind(&self.list_id)
            .bind(items)
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            Ok(owned.into_iter().collect())
        })
        .await
    }

    /// Which row of this definition each of these items belongs to, in the order asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn linked(&self, items: &[Uuid]) -> Result<Vec<Option<Identity>>> {
        self.timed(async {
            let mut found = BTreeMap::new();
            let mut connection = self.store.acquire().await?;
            for batch in items.chunks(BATCH) {
                let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
                    "SELECT item_guid, identity FROM item_links
                     WHERE list_id = $1 AND item_guid = ANY($2) AND definition_id = $3",
                )
                .bind(&self.list_id)
                .bind(batch)
                .bind(self.definition.uuid())
                .fetch_all(&mut *connection)
                .await?;
                for (item, bytes) in rows {
                    found.insert(item, identity(&bytes)?);
                }
            }
            Ok(items.iter().map(|item| found.get(item).copied()).collect())
        })
        .await
    }

    /// How many rows are in quarantine for this code.
    ///
    /// # Errors
    /// As any statement.
    pub async fn quarantined_with(&self, code: &str) -> Result<u64> {
        self.timed(async {
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM quarantine WHERE definition_id = $1 AND code = $2")
                    .bind(self.definition.uuid())
                    .bind(code)
                    .fetch_one(&mut *self.store.acquire().await?)
                    .await?;
            from_bigint("count", count)
        })
        .await
    }

    /// How many rows are live.
    ///
    /// # Errors
    /// As any statement.
    pub async fn live_rows(&self) -> Result<u64> {
        self.timed(async {
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM ledger WHERE definition_id = $1 AND state = 1")
                    .bind(self.definition.uuid())
                    .fetch_one(&mut *self.store.acquire().await?)
                    .await?;
            from_bigint("count", count)
        })
        .await
    }

    /// Stamps of the fields of a layout used before.
    ///
    /// # Errors
    /// As any statement.
    pub async fn layout(&self, stamp: LayoutStamp) -> Result<Option<Vec<u64>>> {
        self.timed(async {
            let fields: Option<Vec<i64>> =
                sqlx::query_scalar("SELECT fields FROM layouts WHERE definition_id = $1 AND stamp = $2")
                    .bind(self.definition.uuid())
                    .bind(i64::from(stamp.0))
                    .fetch_optional(&mut *self.store.acquire().await?)
                    .await?;
            Ok(fields.map(|fields| fields.into_iter().map(i64::cast_unsigned).collect()))
        })
        .await
    }

    /// Remembers a layout. A stamp that is known keeps its fields.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn remember_layout(&self, fence: Fence, stamp: LayoutStamp, fields: &[u64]) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let fields: Vec<i64> = fields.iter().map(|stamp| stamp.cast_signed()).collect();
            sqlx::query(
                "INSERT INTO layouts (definition_id, stamp, fields) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(self.definition.uuid())
            .bind(i64::from(stamp.0))
            .bind(fields)
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The generation of source marks.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn generation(&self) -> Result<u32> {
        self.timed(async {
            let generation: Option<i32> =
                sqlx::query_scalar("SELECT generation FROM definitions WHERE definition_id = $1")
                    .bind(self.definition.uuid())
                    .fetch_optional(&mut *self.store.acquire().await?)
                    .await?;
            let missing = || Error::NotFound {
                kind: "definition",
                name: self.definition.to_string(),
            };
            from_integer("generation", generation.ok_or_else(missing)?)
        })
        .await
    }
}
