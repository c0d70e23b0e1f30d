//! How far the list's feed was durably taken over, and what it is held against: items by number, pages of live rows.

use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use syncbridge_domain::delta::DeltaCursor;
use syncbridge_domain::dirty::DirtyMark;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::ledger::{LedgerRow, LedgerState};
use syncbridge_domain::receipt::ItemId;

use super::{BATCH, DefinitionStore, agreement};
use crate::error::{Error, Result};

impl DefinitionStore {
    /// The cursor of the list's feed; the very beginning where none was stored.
    ///
    /// # Errors
    /// As any statement.
    pub async fn delta_cursor(&self) -> Result<DeltaCursor> {
        self.timed(async {
            let state: Option<Json<DeltaCursor>> =
                sqlx::query_scalar("SELECT state FROM cursors WHERE definition_id = $1 AND feed = 'delta'")
                    .bind(self.definition.uuid())
                    .fetch_optional(&mut *self.store.acquire().await?)
                    .await?;
            Ok(state.map(|state| state.0).unwrap_or_default())
        })
        .await
    }

    /// Marks rows dirty and moves the cursor of the list's feed, in one transaction.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn keep_delta(&self, fence: Fence, marks: &[DirtyMark], cursor: &DeltaCursor) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            self.mark_all(&mut tx, marks).await?;
            sqlx::query(
                "INSERT INTO cursors (definition_id, feed, state) VALUES ($1, 'delta', $2)
                 ON CONFLICT (definition_id, feed) DO UPDATE SET state = excluded.state, updated_at = now()",
            )
            .bind(self.definition.uuid())
            .bind(Json(cursor))
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Forgets how far the list's feed was taken over: the next run reads the whole list. What was marked dirty
    /// stays so.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn forget_delta(&self, fence: Fence) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            sqlx::query("DELETE FROM cursors WHERE definition_id = $1 AND feed = 'delta'")
                .bind(self.definition.uuid())
                .execute(&mut *tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// The ledger rows of these items of the definition's list, by number, in the order asked; of a tombstone and a
    /// row that bear the same item, the row.
    ///
    /// # Errors
    /// As any statement.
    pub async fn rows_of_items(&self, items: &[ItemId]) -> Result<Vec<Option<LedgerRow>>> {
        self.timed(async {
            let mut rows = vec![None; items.len()];
            let mut connection = self.store.acquire().await?;
            for (batch, found) in items.chunks(BATCH).zip(rows.chunks_mut(BATCH)) {
                let read = sqlx::query(AssertSqlSafe(format!(
                    "SELECT k.*, a.at
                     FROM unnest($2::text[]) WITH ORDINALITY AS a(item_id, at)
                     CROSS JOIN LATERAL (
                         SELECT {} FROM ledger l
                         WHERE l.item_id = a.item_id AND l.list_id = $3 AND l.definition_id IS NOT DISTINCT FROM $1
                         ORDER BY (l.state = {}), l.updated_at DESC LIMIT 1) AS k",
                    agreement::COLUMNS,
                    LedgerState::Tombstone.code(),
                )))
                .bind(self.definition.uuid())
                .bind(batch.iter().map(|item| item.0.as_str()).collect::<Vec<_>>())
                .bind(&self.list_id)
                .fetch_all(&mut *connection)
                .await?;
                for row in &read {
                    let at: i64 = row.try_get("at")?;
                    let place = usize::try_from(at - 1).ok().and_then(|at| found.get_mut(at));
                    *place.ok_or(Error::Damaged {
                        what: "order of items",
                    })? = Some(agreement::read(row)?);
                }
            }
            Ok(rows)
        })
        .await
    }
}
