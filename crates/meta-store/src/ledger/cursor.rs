//! How far the source feed was durably taken over, and for people, how far both feeds were.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::delta::DeltaCursor;
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

/// How far a definition's feeds were taken over, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The cursor of the source's feed; the very beginning where none was stored.
    pub cursor: Cursor,
    /// When it last moved.
    pub moved: Option<DateTime<Utc>>,
    /// When everything was last compared.
    pub swept: Option<DateTime<Utc>>,
    /// The list's feed; `None` where it was never asked.
    pub delta: Option<DeltaPosition>,
}

/// How far the list's feed was taken over, without the token, which may hold what looks like a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaPosition {
    /// A complete pass left a token to go on with.
    pub token: bool,
    /// A pass is under way.
    pub under_way: bool,
    /// The pass under way reads the whole list.
    pub whole: bool,
    /// When the cursor last moved.
    pub moved: DateTime<Utc>,
}

/// Where a definition's feeds stand.
///
/// # Errors
/// As any statement.
pub async fn position(connection: &mut PgConnection, definition: DefinitionId) -> Result<Position> {
    let row = sqlx::query(
        "SELECT c.state, c.updated_at, s.completed_at, t.state, t.updated_at
         FROM (SELECT $1::uuid AS id) d
         LEFT JOIN cursors c ON c.definition_id = d.id AND c.feed = 'source'
         LEFT JOIN cursors t ON t.definition_id = d.id AND t.feed = 'delta'
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
        delta: match (row.try_get::<Option<Json<DeltaCursor>>, _>(3)?, row.try_get(4)?) {
            (Some(Json(cursor)), Some(moved)) => Some(DeltaPosition {
                token: cursor.token.is_some(),
                under_way: cursor.pass.is_some(),
                whole: cursor.pass.is_some_and(|pass| pass.whole),
                moved,
            }),
            _ => None,
        },
    })
}
