//! Credentials, sealed by the master key and bound to what they were entered for.

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::ids::WorkspaceId;
use syncbridge_secrets::{ExposeSecret as _, Keyring, Place, SecretString, Zeroizing};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Whom a credential may be shown to. When one of these changes, the credential is dropped and must be
/// entered again: a changed address cannot carry it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Host and port that get it.
    pub host: &'a str,
    /// Authority that gives tokens for it; empty where there is none.
    pub authority: &'a str,
    /// Client id or user it belongs to.
    pub client_id: &'a str,
}

fn place(workspace: WorkspaceId, name: &str, binding: Binding<'_>) -> Place {
    Place::new("secrets.sealed")
        .with(workspace.uuid().as_bytes())
        .with(name)
        .with(binding.host)
        .with(binding.authority)
        .with(binding.client_id)
}

/// Stores a credential, replacing one of the same name.
///
/// # Errors
/// [`Error::Seal`].
pub async fn put(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
    name: &str,
    binding: Binding<'_>,
    secret: &SecretString,
    actor: &str,
) -> Result<()> {
    let sealed = ring.seal(
        &place(workspace, name, binding),
        secret.expose_secret().as_bytes(),
    )?;
    sqlx::query(
        "INSERT INTO secrets
             (secret_id, workspace_id, name, host, authority, client_id, sealed, created_by, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (workspace_id, name) DO UPDATE
         SET host = excluded.host, authority = excluded.authority, client_id = excluded.client_id,
             sealed = excluded.sealed, updated_at = now(), updated_by = excluded.updated_by",
    )
    .bind(Uuid::now_v7())
    .bind(workspace.uuid())
    .bind(name)
    .bind(binding.host)
    .bind(binding.authority)
    .bind(binding.client_id)
    .bind(sealed)
    .bind(actor)
    .execute(connection)
    .await?;
    Ok(())
}

/// The credential of this name for this binding; `None` where there is none, or only one for another binding.
///
/// # Errors
/// [`Error::Open`] under another master key.
pub async fn open(
    connection: &mut PgConnection,
    ring: &Keyring,
    workspace: WorkspaceId,
    name: &str,
    binding: Binding<'_>,
) -> Result<Option<SecretString>> {
    let row = sqlx::query(
        "SELECT sealed FROM secrets
         WHERE workspace_id = $1 AND name = $2 AND host = $3 AND authority = $4 AND client_id = $5",
    )
    .bind(workspace.uuid())
    .bind(name)
    .bind(binding.host)
    .bind(binding.authority)
    .bind(binding.client_id)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get(0)?;
    let opened = ring
        .open(&place(workspace, name, binding), &sealed)
        .map_err(|reason| Error::Open {
            what: "a stored credential",
            reason,
        })?;
    let text = Zeroizing::new(
        std::str::from_utf8(&opened)
            .map_err(|_| Error::Damaged { what: "credential" })?
            .to_owned(),
    );
    Ok(Some(SecretString::from(text.as_str())))
}

/// Drops the credential of this name where it was entered for another binding. Answers whether one went.
///
/// # Errors
/// As any statement.
pub async fn drop_unless_bound(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    name: &str,
    binding: Binding<'_>,
) -> Result<bool> {
    let dropped = sqlx::query(
        "DELETE FROM secrets WHERE workspace_id = $1 AND name = $2
         AND (host, authority, client_id) IS DISTINCT FROM ($3, $4, $5)",
    )
    .bind(workspace.uuid())
    .bind(name)
    .bind(binding.host)
    .bind(binding.authority)
    .bind(binding.client_id)
    .execute(connection)
    .await?;
    Ok(dropped.rows_affected() > 0)
}

/// Deletes the credential of this name. Answers whether there was one.
///
/// # Errors
/// As any statement.
pub async fn delete(connection: &mut PgConnection, workspace: WorkspaceId, name: &str) -> Result<bool> {
    let deleted = sqlx::query("DELETE FROM secrets WHERE workspace_id = $1 AND name = $2")
        .bind(workspace.uuid())
        .bind(name)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() > 0)
}
