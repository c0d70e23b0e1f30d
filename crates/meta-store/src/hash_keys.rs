//! The workspace's hash key: made once, sealed by the master key, never rotated in place.

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::identity::HashKey;
use syncbridge_domain::ids::WorkspaceId;
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
    if let Some(key) = newest(connection, ring, workspace).await? {
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
    newest(connection, ring, workspace)
        .await?
        .ok_or(Error::Damaged { what: "hash key" })
}

async fn newest(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
) -> Result<Option<HashKey>> {
    let row = sqlx::query(
        "SELECT hash_key_id, sealed FROM hash_keys WHERE workspace_id = $1 ORDER BY hash_key_id DESC LIMIT 1",
    )
    .bind(workspace.uuid())
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
