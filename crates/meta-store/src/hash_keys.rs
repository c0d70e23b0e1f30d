//! The workspace's hash key: made once, sealed by the master key, never rotated in place.

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::identity::HashKey;
use syncbridge_domain::ids::{DefinitionId, WorkspaceId};
use syncbridge_secrets::{Keyring, Place, Zeroizing};

use crate::error::{Error, Result};

fn place(workspace: WorkspaceId, id: i16) -> Place {
    Place::new("hash_keys.sealed")
        .with(workspace.uuid().as_bytes())
        .with(id.to_be_bytes())
}

/// The workspace's hash key, made now where there is none. Two callers at once get the same one.
///
/// # Errors
/// [`Error::Open`] under another master key.
pub async fn get_or_create(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
    actor: &str,
) -> Result<HashKey> {
    if let Some(key) = find(connection, ring, workspace, None).await? {
        return Ok(key);
    }
    let secret = syncbridge_secrets::random_secret()?;
    sqlx::query(
        "INSERT INTO hash_keys (workspace_id, hash_key_id, sealed, created_by) VALUES ($1, 1, $2, $3)
         ON CONFLICT DO NOTHING",
    )
    .bind(workspace.uuid())
    .bind(ring.seal(&place(workspace, 1), secret.as_slice())?)
    .bind(actor)
    .execute(&mut *connection)
    .await?;
    // Read back: where somebody was faster, theirs holds.
    find(connection, ring, workspace, None)
        .await?
        .ok_or(Error::Damaged { what: "hash key" })
}

/// The hash key of a definition: the one its ledger was written under, else the workspace's newest. A key that
/// is added later changes nothing for those that began under an older one.
///
/// # Errors
/// As [`get_or_create`]; [`Error::Damaged`] where the ledger names a key that is not there.
pub async fn of_definition(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
    definition: DefinitionId,
    actor: &str,
) -> Result<HashKey> {
    let used: Option<i16> =
        sqlx::query_scalar("SELECT hash_key_id FROM ledger WHERE definition_id = $1 LIMIT 1")
            .bind(definition.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    match used {
        None => get_or_create(connection, ring, workspace, actor).await,
        Some(id) => find(connection, ring, workspace, Some(id))
            .await?
            .ok_or(Error::Damaged { what: "hash key" }),
    }
}

/// The key of this id, or the newest.
async fn find(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
    id: Option<i16>,
) -> Result<Option<HashKey>> {
    let row = sqlx::query(
        "SELECT hash_key_id, sealed FROM hash_keys
         WHERE workspace_id = $1 AND ($2::smallint IS NULL OR hash_key_id = $2)
         ORDER BY hash_key_id DESC LIMIT 1",
    )
    .bind(workspace.uuid())
    .bind(id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let id: i16 = row.try_get(0)?;
    let sealed: Vec<u8> = row.try_get(1)?;
    let opened = ring
        .open(&place(workspace, id), &sealed)
        .map_err(|reason| Error::Open {
            what: "the workspace's hash key",
            reason,
        })?;
    let mut secret = Zeroizing::new([0; 32]);
    if opened.len() != secret.len() {
        return Err(Error::Damaged { what: "hash key" });
    }
    secret.copy_from_slice(&opened);
    let stamp = u16::try_from(id).map_err(|_| Error::Damaged { what: "hash key" })?;
    Ok(Some(HashKey::new(stamp, &secret)))
}
