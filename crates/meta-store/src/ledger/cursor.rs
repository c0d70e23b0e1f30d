//! How far the source feed was durably taken over.

use sqlx::PgConnection;
use sqlx::types::Json;
use syncbridge_domain::feed::Cursor;

use super::DefinitionStore;
use crate::error::Result;

impl DefinitionStore {
    /// The cursor; the very beginning where none was stored.
    ///
    /// # Errors
    /// As any statement.
    pub async fn cursor(&self) -> Result<Cursor> {
        self.timed(async {
            let state: Option<Json<Cursor>> =
                sqlx::query_scalar("SELECT state FROM cursors WHERE definition_id = $1 AND feed = 'source'")
                    .bind(self.definition.uuid())
                    .fetch_optional(&mut *self.store.acquire().await?)
                    .await?;
            Ok(state.map(|state| state.0).unwrap_or_default())
        })
        .await
    }

    pub(super) async fn save_cursor(&self, tx: &mut PgConnection, cursor: &Cursor) -> Result<()> {
        sqlx::query(
            "INSERT INTO cursors (definition_id, feed, state) VALUES ($1, 'source', $2)
             ON CONFLICT (definition_id, feed) DO UPDATE SET state = excluded.state, updated_at = now()",
        )
        .bind(self.definition.uuid())
        .bind(Json(cursor))
        .execute(tx)
        .await?;
        Ok(())
    }
}
