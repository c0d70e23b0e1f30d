//! The catalog of sources: applications own databases, databases have instances.

use serde_json::Value as Json;
use sqlx::PgConnection;
use syncbridge_domain::ids::{ApplicationId, DatabaseId, InstanceId, WorkspaceId};

use crate::documents::{Document, NO_PARENT, NewDocument, Stored, Table};
use crate::error::Result;

const APPLICATIONS: Table = Table {
    name: "applications",
    id: "application_id",
    kind: "application",
    parent: NO_PARENT,
};
const DATABASES: Table = Table {
    name: "databases",
    id: "database_id",
    kind: "database",
    parent: "application_id",
};
const INSTANCES: Table = Table {
    name: "instances",
    id: "instance_id",
    kind: "instance",
    parent: "database_id",
};

/// Creates or changes an application.
///
/// # Errors
/// As any statement.
pub async fn put_application(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
    spec: &Json,
    actor: &str,
) -> Result<Stored<ApplicationId>> {
    let document = NewDocument {
        workspace,
        name,
        parent: None,
        spec,
    };
    Ok(APPLICATIONS
        .put(connection, document, actor)
        .await?
        .typed(ApplicationId::from_uuid))
}

/// The application of this name.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn find_application(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Document<ApplicationId>> {
    Ok(APPLICATIONS
        .find(connection, workspace, name)
        .await?
        .typed(ApplicationId::from_uuid))
}

/// All applications by name.
///
/// # Errors
/// As any statement.
pub async fn list_applications(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<Document<ApplicationId>>> {
    let found = APPLICATIONS.list(connection, workspace).await?;
    Ok(found
        .into_iter()
        .map(|document| document.typed(ApplicationId::from_uuid))
        .collect())
}

/// Deletes an application.
///
/// # Errors
/// [`crate::Error::InUse`] while databases belong to it; [`crate::Error::NotFound`].
pub async fn delete_application(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<()> {
    APPLICATIONS.delete(connection, workspace, name).await
}

/// Creates or changes a database.
///
/// # Errors
/// As any statement.
pub async fn put_database(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    application: Option<ApplicationId>,
    name: &str,
    spec: &Json,
    actor: &str,
) -> Result<Stored<DatabaseId>> {
    let document = NewDocument {
        workspace,
        name,
        parent: application.map(ApplicationId::uuid),
        spec,
    };
    Ok(DATABASES
        .put(connection, document, actor)
        .await?
        .typed(DatabaseId::from_uuid))
}

/// The database of this name.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn find_database(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Document<DatabaseId>> {
    Ok(DATABASES
        .find(connection, workspace, name)
        .await?
        .typed(DatabaseId::from_uuid))
}

/// All databases by name.
///
/// # Errors
/// As any statement.
pub async fn list_databases(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
) -> Result<Vec<Document<DatabaseId>>> {
    let found = DATABASES.list(connection, workspace).await?;
    Ok(found
        .into_iter()
        .map(|document| document.typed(DatabaseId::from_uuid))
        .collect())
}

/// Deletes a database.
///
/// # Errors
/// [`crate::Error::InUse`] while instances belong to it; [`crate::Error::NotFound`].
pub async fn delete_database(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<()> {
    DATABASES.delete(connection, workspace, name).await
}

/// Creates or changes an instance of a database.
///
/// # Errors
/// As any statement.
pub async fn put_instance(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    database: DatabaseId,
    name: &str,
    spec: &Json,
    actor: &str,
) -> Result<Stored<InstanceId>> {
    let document = NewDocument {
        workspace,
        name,
        parent: Some(database.uuid()),
        spec,
    };
    Ok(INSTANCES
        .put(connection, document, actor)
        .await?
        .typed(InstanceId::from_uuid))
}

/// The instance of this name.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn find_instance(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Document<InstanceId>> {
    Ok(INSTANCES
        .find(connection, workspace, name)
        .await?
        .typed(InstanceId::from_uuid))
}

/// All instances by name; of one database where one is given.
///
/// # Errors
/// As any statement.
pub async fn list_instances(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    database: Option<DatabaseId>,
) -> Result<Vec<Document<InstanceId>>> {
    let found = INSTANCES.list(connection, workspace).await?;
    let wanted = database.map(DatabaseId::uuid);
    Ok(found
        .into_iter()
        .filter(|document| wanted.is_none() || document.parent == wanted)
        .map(|document| document.typed(InstanceId::from_uuid))
        .collect())
}

/// Deletes an instance.
///
/// # Errors
/// [`crate::Error::NotFound`].
pub async fn delete_instance(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<()> {
    INSTANCES.delete(connection, workspace, name).await
}
