//! How far the source feed was durably taken over.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::feed::Cursor;
use syncbridge_domain::ids::DefinitionId;

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

/// How far a definition's source feed was taken over, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The cursor; the very beginning where none was stored.
    pub cursor: Cursor,
    /// When it last moved.
    pub moved: Option<DateTime<Utc>>,
    /// When everything was last compared.
    pub swept: Option<DateTime<Utc>>,
}

/// Where a definition's source feed stands.
///
/// # Errors
/// As any statement.
pub async fn position(connection: &mut PgConnection, definition: DefinitionId) -> Result<Position> {
    let row = sqlx::query(
        "SELECT c.state, c.updated_at, s.completed_at
         FROM (SELECT $1::uuid AS id) d
         LEFT JOIN cursors c ON c.definition_id = d.id AND c.feed = 'source'
         LEFT JOIN sweeps s ON s.definition_id = d.id",
    )
    .bind(definition.uuid())
    .fetch_one(connection)
    .await?;
    let state: Option<Json<Cursor>> = row.try_get(0)?;
    Ok(Position {
        cursor: state.map(|state| state.0).unwrap_or_default(),
        moved: row.try_get(1)?,
        swept: row.try_get(2)?,
    })
}
