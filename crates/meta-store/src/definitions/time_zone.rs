//! The time zone of a definition's site, where it was learnt from the list.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::ids::{DefinitionId, WorkspaceId};

use super::not_found;
use crate::error::Result;

/// What was learnt of the list that the definition has now.
///
/// # Errors
/// As any statement.
pub async fn site_time_zone(connection: &mut PgConnection, id: DefinitionId) -> Result<Option<String>> {
    let zone: Option<Option<String>> = sqlx::query_scalar(
        "SELECT time_zone FROM definitions WHERE definition_id = $1 AND list_id IS NOT NULL",
    )
    .bind(id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(zone.flatten())
}

/// All that is learnt, by the names of definitions.
///
/// # Errors
/// As any statement.
pub async fn site_time_zones(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<BTreeMap<String, String>> {
    let rows = sqlx::query(
        "SELECT name, time_zone FROM definitions
         WHERE workspace_id = $1 AND time_zone IS NOT NULL AND list_id IS NOT NULL",
    )
    .bind(workspace.uuid())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// Remembers what was learnt.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn set_site_time_zone(
    connection: &mut PgConnection,
    id: DefinitionId,
    zone: &str,
    actor: &str,
) -> Result<()> {
    let set = sqlx::query(
        "UPDATE definitions SET time_zone = $2, updated_at = now(), updated_by = $3 WHERE definition_id = $1",
    )
    .bind(id.uuid())
    .bind(zone)
    .bind(actor)
    .execute(connection)
    .await?;
    if set.rows_affected() == 0 {
        return Err(not_found(&id.to_string()));
    }
    Ok(())
}
