//! The list of a definition: which it is, who owns it, and what was learnt of it.

use sqlx::PgConnection;
use syncbridge_domain::ids::{DefinitionId, WorkspaceId};
use syncbridge_domain::list_rules::ListFacts;

use super::{ProvisionedList, get, ledger_rows, not_found};
use crate::error::{Error, Result, violates};

/// Remembers the list that was made or found for a definition. The same one again changes nothing.
///
/// # Errors
/// [`Error::ListFixed`] where it has a ledger for another list; [`Error::ListOwned`] where another definition
/// with the same namespace owns it.
pub async fn set_list(
    connection: &mut PgConnection,
    id: DefinitionId,
    list: &ProvisionedList,
    actor: &str,
) -> Result<()> {
    let present = get(connection, id).await?;
    if present.list.as_ref() == Some(list) {
        return Ok(());
    }
    if present.list.is_some() && ledger_rows(connection, id).await? > 0 {
        return Err(Error::ListFixed { name: present.name });
    }
    if let Some(owner) = owner_of(connection, &list.list, &present.namespace, Some(id)).await? {
        return Err(Error::ListOwned {
            name: present.name,
            owner,
            namespace: present.namespace,
        });
    }
    sqlx::query(
        "UPDATE definitions SET site_id = $2, list_id = $3, updated_at = now(), updated_by = $4
         WHERE definition_id = $1",
    )
    .bind(id.uuid())
    .bind(&list.site)
    .bind(&list.list)
    .bind(actor)
    .execute(connection)
    .await
    // Another definition took the list between the question and this statement.
    .map_err(|error| match violates(&error, "definitions_one_owner") {
        true => Error::ListOwned {
            name: present.name,
            owner: "another definition".to_owned(),
            namespace: present.namespace,
        },
        false => error.into(),
    })?;
    Ok(())
}

/// The name of the definition that owns a list for a namespace, `except` left out.
///
/// # Errors
/// As any statement.
pub async fn owner_of(
    connection: &mut PgConnection,
    list: &str,
    namespace: &str,
    except: Option<DefinitionId>,
) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "SELECT name FROM definitions
         WHERE list_id = $1 AND namespace = $2 AND definition_id IS DISTINCT FROM $3",
    )
    .bind(list)
    .bind(namespace)
    .bind(except.map(DefinitionId::uuid))
    .fetch_optional(connection)
    .await?)
}

/// What was learnt of a definition's list.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`] where it is nothing that was ever written.
pub async fn list_facts(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<ListFacts> {
    let stored: Option<serde_json::Value> =
        sqlx::query_scalar("SELECT list_facts FROM definitions WHERE workspace_id = $1 AND name = $2")
            .bind(workspace.uuid())
            .bind(name)
            .fetch_optional(connection)
            .await?;
    let stored = stored.ok_or_else(|| not_found(name))?;
    serde_json::from_value(stored).map_err(|_| Error::Damaged { what: "list facts" })
}

/// Remembers what was learnt of a definition's list.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn set_list_facts(
    connection: &mut PgConnection,
    id: DefinitionId,
    facts: &ListFacts,
) -> Result<()> {
    let updated = sqlx::query("UPDATE definitions SET list_facts = $2 WHERE definition_id = $1")
        .bind(id.uuid())
        .bind(serde_json::json!(facts))
        .execute(connection)
        .await?;
    if updated.rows_affected() == 0 {
        return Err(not_found(&id.to_string()));
    }
    Ok(())
}
