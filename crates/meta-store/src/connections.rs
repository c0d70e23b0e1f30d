//! Connections: one Graph tenant and app registration each. Their credentials are in
//! [`crate::sealed_secrets`].

use serde_json::Value as Json;
use sqlx::PgConnection;
use syncbridge_domain::ids::{ConnectionId, WorkspaceId};

use crate::documents::{Document, NO_PARENT, NewDocument, Stored, Table};
use crate::error::Result;

const CONNECTIONS: Table = Table {
    name: "connections",
    id: "connection_id",
    kind: "connection",
    parent: NO_PARENT,
};

/// Creates or changes a connection.
///
/// # Errors
/// As any statement.
pub async fn put(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
    spec: &Json,
    actor: &str,
) -> Result<Stored<ConnectionId>> {
    let document = NewDocument {
        workspace,
        name,
        parent: None,
        spec,
    };
    Ok(CONNECTIONS
        .put(connection, document, actor)
        .await?
        .typed(ConnectionId::from_uuid))
}

/// The connection of this name.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn find(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Document<ConnectionId>> {
    Ok(CONNECTIONS
        .find(connection, workspace, name)
        .await?
        .typed(ConnectionId::from_uuid))
}

/// The connection of this id.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn get(connection: &mut PgConnection, id: ConnectionId) -> Result<Document<ConnectionId>> {
    Ok(CONNECTIONS
        .get(connection, id.uuid())
        .await?
        .typed(ConnectionId::from_uuid))
}

/// All connections by name.
///
/// # Errors
/// As any statement.
pub async fn list(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<Document<ConnectionId>>> {
    let found = CONNECTIONS.list(connection, workspace).await?;
    Ok(found
        .into_iter()
        .map(|document| document.typed(ConnectionId::from_uuid))
        .collect())
}

/// Deletes a connection. Whoever calls has made sure that no definition names it.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn delete(connection: &mut PgConnection, workspace: WorkspaceId, name: &str) -> Result<()> {
    CONNECTIONS.delete(connection, workspace, name).await
}
