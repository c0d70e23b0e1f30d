//! Messages for the bus, committed with what they tell. They carry ids, never values.

use serde_json::Value as Json;
use sqlx::PgConnection;
use syncbridge_domain::ids::WorkspaceId;

use crate::error::Result;

/// Adds a message. One of the same `message_id` is only kept once, as the bus would do.
///
/// # Errors
/// As any statement.
pub async fn append(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    subject: &str,
    message_id: &str,
    payload: &Json,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO outbox (workspace_id, subject, message_id, payload) VALUES ($1, $2, $3, $4)
         ON CONFLICT (message_id) DO NOTHING",
    )
    .bind(workspace.uuid())
    .bind(subject)
    .bind(message_id)
    .bind(payload)
    .execute(connection)
    .await?;
    Ok(())
}
