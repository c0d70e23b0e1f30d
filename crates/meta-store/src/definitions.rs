//! Definitions: one sync each, with the revisions it had, its data key and the list it owns.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::ids::{DefinitionId, RevisionId, WorkspaceId};
use syncbridge_secrets::{DataKey, Keyring, Place};
use uuid::Uuid;

use crate::documents::Change;
use crate::error::{Error, Result, violates};
use crate::number::{from_bigint, from_integer};

mod list;
mod summary;
mod time_zone;

pub use list::{list_facts, owner_of, set_list, set_list_facts};
pub use summary::{LastRun, Summary, summaries};
pub use time_zone::{set_site_time_zone, site_time_zone, site_time_zones};

/// A definition as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its id.
    pub id: DefinitionId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// Namespace of its identities; fixed.
    pub namespace: String,
    /// The document's `spec`.
    pub spec: Json,
    /// Its newest revision.
    pub revision: RevisionId,
    /// Whether it is paused.
    pub paused: bool,
    /// Generation of source marks.
    pub generation: u32,
    /// Site and list, once the list is provisioned.
    pub list: Option<ProvisionedList>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it was last changed.
    pub updated: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}

/// The list a definition owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisionedList {
    /// Graph's id of the site.
    pub site: String,
    /// Graph's id of the list.
    pub list: String,
}

/// A definition to be stored.
#[derive(Clone, Debug)]
pub struct NewDefinition<'a> {
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: &'a str,
    /// Namespace of its identities.
    pub namespace: &'a str,
    /// The document's `spec`.
    pub spec: &'a Json,
}

/// What storing a definition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Its id.
    pub id: DefinitionId,
    /// The revision that now holds.
    pub revision: RevisionId,
    /// What was done.
    pub change: Change,
}

/// A revision as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its id.
    pub id: RevisionId,
    /// 1 for the first.
    pub number: u32,
    /// The definition's name then.
    pub name: String,
    /// The document's `spec` then.
    pub spec: Json,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
}

/// What becomes of the ledger of a deleted definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerOnDelete {
    /// Kept: a definition of the same name and namespace goes on with it.
    Keep,
    /// Dropped: the list's items are then recognised by their sync key only.
    Drop,
}

fn data_key_place(workspace: WorkspaceId, definition: DefinitionId) -> Place {
    Place::new("definitions.data_key")
        .with(workspace.uuid().as_bytes())
        .with(definition.uuid().as_bytes())
}

/// Creates a definition with its data key and first revision, or adds a revision; the same document again
/// writes nothing.
///
/// # Errors
/// [`Error::NamespaceFixed`] where it exists with another namespace.
pub async fn put(
    connection: &mut PgConnection,
    ring: &Keyring,
    definition: NewDefinition<'_>,
    actor: &str,
) -> Result<StoredDefinition> {
    let id = DefinitionId::from_uuid(Uuid::now_v7());
    let revision = RevisionId::from_uuid(Uuid::now_v7());
    let data_key = DataKey::generate()?.wrap(ring, &data_key_place(definition.workspace, id))?;
    let inserted = sqlx::query(
        "INSERT INTO definitions
             (definition_id, workspace_id, name, namespace, spec, revision_id, data_key, created_by, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (workspace_id, name) DO NOTHING",
    )
    .bind(id.uuid())
    .bind(definition.workspace.uuid())
    .bind(definition.name)
    .bind(definition.namespace)
    .bind(definition.spec)
    .bind(revision.uuid())
    .bind(data_key)
    .bind(actor)
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() == 1 {
        add_revision(connection, id, revision, actor).await?;
        return Ok(StoredDefinition {
            id,
            revision,
            change: Change::Created,
        });
    }
    // Locked, so that two changes at once become two revisions.
    let row = sqlx::query(
        "SELECT definition_id, namespace, revision_id, spec = $3, deleted_at IS NOT NULL
         FROM definitions WHERE workspace_id = $1 AND name = $2 FOR UPDATE",
    )
    .bind(definition.workspace.uuid())
    .bind(definition.name)
    .bind(definition.spec)
    .fetch_optional(&mut *connection)
    .await?
    .ok_or_else(|| not_found(definition.name))?;
    let id = DefinitionId::from_uuid(row.try_get(0)?);
    if row.try_get::<&str, _>(1)? != definition.namespace {
        return Err(Error::NamespaceFixed {
            name: definition.name.to_owned(),
        });
    }
    let deleted: bool = row.try_get(4)?;
    if row.try_get(3)? && !deleted {
        let revision = RevisionId::from_uuid(row.try_get(2)?);
        return Ok(StoredDefinition {
            id,
            revision,
            change: Change::Unchanged,
        });
    }
    sqlx::query(
        "UPDATE definitions SET spec = $2, revision_id = $3, updated_at = now(), updated_by = $4,
                deleted_at = NULL
         WHERE definition_id = $1",
    )
    .bind(id.uuid())
    .bind(definition.spec)
    .bind(revision.uuid())
    .bind(actor)
    .execute(&mut *connection)
    .await?;
    add_revision(connection, id, revision, actor).await?;
    Ok(StoredDefinition {
        id,
        revision,
        change: if deleted { Change::Created } else { Change::Changed },
    })
}

async fn add_revision(
    connection: &mut PgConnection,
    definition: DefinitionId,
    revision: RevisionId,
    actor: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO revisions (revision_id, workspace_id, definition_id, number, name, spec, created_by)
         SELECT $2, workspace_id, definition_id,
                1 + coalesce((SELECT max(number) FROM revisions WHERE definition_id = $1), 0),
                name, spec, $3
         FROM definitions WHERE definition_id = $1",
    )
    .bind(definition.uuid())
    .bind(revision.uuid())
    .bind(actor)
    .execute(connection)
    .await?;
    Ok(())
}

const SELECT: &str =
    "SELECT definition_id, workspace_id, name, namespace, spec, revision_id, state, generation,
        site_id, list_id, created_at, updated_at, updated_by FROM definitions";

/// The definition of this name.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn find(connection: &mut PgConnection, workspace: WorkspaceId, name: &str) -> Result<Definition> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "{SELECT} WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NULL"
    )))
    .bind(workspace.uuid())
    .bind(name)
    .fetch_optional(connection)
    .await?
    .ok_or_else(|| not_found(name))?;
    read(&row)
}

/// The definition of this name that was deleted and whose ledger was kept, if there is one.
///
/// # Errors
/// As any statement.
pub async fn put_away(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
) -> Result<Option<DefinitionId>> {
    let id: Option<Uuid> = sqlx::query_scalar(
        "SELECT definition_id FROM definitions
         WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NOT NULL",
    )
    .bind(workspace.uuid())
    .bind(name)
    .fetch_optional(connection)
    .await?;
    Ok(id.map(DefinitionId::from_uuid))
}

/// The definition of this id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(connection: &mut PgConnection, id: DefinitionId) -> Result<Definition> {
    let row = sqlx::query(AssertSqlSafe(format!("{SELECT} WHERE definition_id = $1")))
        .bind(id.uuid())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| not_found(&id.to_string()))?;
    read(&row)
}

/// All definitions by name.
///
/// # Errors
/// As any statement.
pub async fn list(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Vec<Definition>> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "{SELECT} WHERE workspace_id = $1 AND deleted_at IS NULL ORDER BY name"
    )))
    .bind(workspace.uuid())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// The definition's data key, opened.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Open`] under another master key.
pub async fn data_key(connection: &mut PgConnection, ring: &Keyring, id: DefinitionId) -> Result<DataKey> {
    let row = sqlx::query("SELECT workspace_id, data_key FROM definitions WHERE definition_id = $1")
        .bind(id.uuid())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| not_found(&id.to_string()))?;
    let place = data_key_place(WorkspaceId::from_uuid(row.try_get(0)?), id);
    let sealed: Vec<u8> = row.try_get(1)?;
    DataKey::from_wrapped(ring, &place, &sealed).map_err(|reason| Error::Open {
        what: "the definition's data key",
        reason,
    })
}

/// Gives a definition another name. Its id, ledger and namespace stay.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NameTaken`].
pub async fn rename(connection: &mut PgConnection, id: DefinitionId, name: &str, actor: &str) -> Result<()> {
    let renamed = sqlx::query(
        "UPDATE definitions SET name = $2, updated_at = now(), updated_by = $3 WHERE definition_id = $1",
    )
    .bind(id.uuid())
    .bind(name)
    .bind(actor)
    .execute(connection)
    .await
    .map_err(
        |error| match violates(&error, "definitions_workspace_id_name_key") {
            true => Error::NameTaken {
                kind: "definition",
                name: name.to_owned(),
            },
            false => error.into(),
        },
    )?;
    if renamed.rows_affected() == 0 {
        Err(not_found(&id.to_string()))
    } else {
        Ok(())
    }
}

/// Raises the generation of source marks: positions recorded so far no longer compare. Answers the new one.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn raise_generation(connection: &mut PgConnection, id: DefinitionId, actor: &str) -> Result<u32> {
    let raised: Option<i32> = sqlx::query_scalar(
        "UPDATE definitions SET generation = generation + 1, updated_at = now(), updated_by = $2
         WHERE definition_id = $1 RETURNING generation",
    )
    .bind(id.uuid())
    .bind(actor)
    .fetch_optional(connection)
    .await?;
    from_integer("generation", raised.ok_or_else(|| not_found(&id.to_string()))?)
}

/// Deletes a definition. With [`LedgerOnDelete::Drop`] everything remembered of its rows goes with it;
/// history and runs stay. With [`LedgerOnDelete::Keep`] and a ledger it is only put away. Waits for a writer
/// under way and leaves later ones without a lease.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(connection: &mut PgConnection, id: DefinitionId, ledger: LedgerOnDelete) -> Result<()> {
    let definition = get(connection, id).await?;
    sqlx::query("SELECT FROM writer_leases WHERE definition_id = $1 FOR UPDATE")
        .bind(id.uuid())
        .execute(&mut *connection)
        .await?;
    let rows = ledger_rows(connection, id).await?;
    if rows > 0 && ledger == LedgerOnDelete::Keep {
        for statement in [
            "UPDATE definitions SET deleted_at = now() WHERE definition_id = $1",
            // Whoever still drives it finds out with the next write.
            "UPDATE writer_leases SET epoch = epoch + 1, expires_at = '-infinity' WHERE definition_id = $1",
        ] {
            sqlx::query(statement)
                .bind(definition.id.uuid())
                .execute(&mut *connection)
                .await?;
        }
        return Ok(());
    }
    for statement in [
        "DELETE FROM item_links WHERE definition_id = $1",
        "DELETE FROM ledger WHERE definition_id = $1",
        "DELETE FROM effects WHERE definition_id = $1",
        "DELETE FROM dirty WHERE definition_id = $1",
        "DELETE FROM quarantine WHERE definition_id = $1",
        "DELETE FROM conflicts WHERE definition_id = $1",
        "DELETE FROM field_turns WHERE definition_id = $1",
        "DELETE FROM definitions WHERE definition_id = $1",
    ] {
        sqlx::query(statement)
            .bind(id.uuid())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Rows that are lost with the definition: agreements and unsettled writes.
async fn ledger_rows(connection: &mut PgConnection, id: DefinitionId) -> Result<u64> {
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM ledger WHERE definition_id = $1)
              + (SELECT count(*) FROM effects WHERE definition_id = $1)",
    )
    .bind(id.uuid())
    .fetch_one(connection)
    .await?;
    from_bigint("count", rows)
}

/// Revisions of a definition, newest first.
///
/// # Errors
/// As any statement.
pub async fn revisions(connection: &mut PgConnection, id: DefinitionId, limit: u32) -> Result<Vec<Revision>> {
    let rows = sqlx::query(
        "SELECT revision_id, number, name, spec, created_at, created_by FROM revisions
         WHERE definition_id = $1 ORDER BY number DESC LIMIT $2",
    )
    .bind(id.uuid())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Revision {
                id: RevisionId::from_uuid(row.try_get(0)?),
                number: from_integer("revision number", row.try_get(1)?)?,
                name: row.try_get(2)?,
                spec: row.try_get(3)?,
                created: row.try_get(4)?,
                created_by: row.try_get(5)?,
            })
        })
        .collect()
}

fn read(row: &PgRow) -> Result<Definition> {
    let list = match (row.try_get(8)?, row.try_get(9)?) {
        (Some(site), Some(list)) => Some(ProvisionedList { site, list }),
        _ => None,
    };
    Ok(Definition {
        id: DefinitionId::from_uuid(row.try_get(0)?),
        workspace: WorkspaceId::from_uuid(row.try_get(1)?),
        name: row.try_get(2)?,
        namespace: row.try_get(3)?,
        spec: row.try_get(4)?,
        revision: RevisionId::from_uuid(row.try_get(5)?),
        paused: row.try_get::<&str, _>(6)? == "paused",
        generation: from_integer("generation", row.try_get(7)?)?,
        list,
        created: row.try_get(10)?,
        updated: row.try_get(11)?,
        updated_by: row.try_get(12)?,
    })
}

fn not_found(name: &str) -> Error {
    Error::NotFound {
        kind: "definition",
        name: name.to_owned(),
    }
}
