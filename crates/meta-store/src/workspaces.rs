//! Workspaces: the outermost scope of names and rights.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::ids::WorkspaceId;
use uuid::Uuid;

use crate::error::{Error, Result, violates};

/// A workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
}

/// Makes a workspace.
///
/// # Errors
/// [`Error::NameTaken`].
pub async fn create(connection: &mut PgConnection, name: &str, actor: &str) -> Result<WorkspaceId> {
    let id = WorkspaceId::from_uuid(Uuid::now_v7());
    sqlx::query("INSERT INTO workspaces (workspace_id, name, created_by) VALUES ($1, $2, $3)")
        .bind(id.uuid())
        .bind(name)
        .bind(actor)
        .execute(connection)
        .await
        .map_err(|error| match violates(&error, "workspaces_name_key") {
            true => Error::NameTaken {
                kind: "workspace",
                name: name.to_owned(),
            },
            false => error.into(),
        })?;
    Ok(id)
}

/// All workspaces by name.
///
/// # Errors
/// As any statement.
pub async fn list(connection: &mut PgConnection) -> Result<Vec<Workspace>> {
    let rows = sqlx::query("SELECT workspace_id, name, created_at, created_by FROM workspaces ORDER BY name")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Workspace {
                id: WorkspaceId::from_uuid(row.try_get(0)?),
                name: row.try_get(1)?,
                created: row.try_get(2)?,
                created_by: row.try_get(3)?,
            })
        })
        .collect()
}
