//! The audit trail: every configuration change, chained by hashes per workspace.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::ids::WorkspaceId;

use crate::error::Result;
use crate::number::{from_bigint, to_bigint};

/// A change to be recorded. `detail` names secrets and never holds them.
#[derive(Clone, Debug)]
pub struct NewEntry<'a> {
    /// Who did it.
    pub actor: &'a str,
    /// What was done: `created`, `changed`, `deleted`, `run`, …
    pub action: &'a str,
    /// Kind of thing.
    pub object_kind: &'a str,
    /// Its id as shown.
    pub object_id: &'a str,
    /// Its name.
    pub object_name: &'a str,
    /// Anything else worth knowing.
    pub detail: &'a Json,
}

/// A recorded change.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number in the workspace, from 1 without gaps.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// Kind of thing.
    pub object_kind: String,
    /// Its id.
    pub object_id: String,
    /// Its name.
    pub object_name: String,
    /// Anything else.
    pub detail: Json,
}

/// Appends an entry in the transaction of the change it records. The chain's end stays locked until that
/// transaction ends, so that the chain has no forks.
///
/// # Errors
/// As any statement.
pub async fn append(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    entry: NewEntry<'_>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_heads (workspace_id, last_id, last_hash)
         VALUES ($1, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING",
    )
    .bind(workspace.uuid())
    .execute(&mut *connection)
    .await?;
    let head = sqlx::query("SELECT last_id FROM audit_heads WHERE workspace_id = $1 FOR UPDATE")
        .bind(workspace.uuid())
        .fetch_one(&mut *connection)
        .await?;
    let number: i64 = head.try_get::<i64, _>(0)? + 1;
    sqlx::query(
        "WITH entry AS (
             SELECT h.workspace_id, $2::bigint AS id, clock_timestamp() AS at, h.last_hash AS previous
             FROM audit_heads h WHERE h.workspace_id = $1
         ), added AS (
             INSERT INTO audit (workspace_id, audit_id, at, actor, action, object_kind, object_id, object_name,
                                detail, previous_hash, hash)
             SELECT workspace_id, id, at, $3, $4, $5, $6, $7, $8, previous,
                    audit_hash(previous, id, at, $3, $4, $5, $6, $7, $8)
             FROM entry RETURNING workspace_id, audit_id, hash
         )
         UPDATE audit_heads h SET last_id = added.audit_id, last_hash = added.hash
         FROM added WHERE h.workspace_id = added.workspace_id",
    )
    .bind(workspace.uuid())
    .bind(number)
    .bind(entry.actor)
    .bind(entry.action)
    .bind(entry.object_kind)
    .bind(entry.object_id)
    .bind(entry.object_name)
    .bind(entry.detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries before `before`, newest first.
///
/// # Errors
/// As any statement.
pub async fn list(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Entry>> {
    let before = before
        .map(|number| to_bigint("audit number", number))
        .transpose()?;
    let rows = sqlx::query(
        "SELECT audit_id, at, actor, action, object_kind, object_id, object_name, detail FROM audit
         WHERE workspace_id = $1 AND ($2::bigint IS NULL OR audit_id < $2) ORDER BY audit_id DESC LIMIT $3",
    )
    .bind(workspace.uuid())
    .bind(before)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                number: from_bigint("audit number", row.try_get(0)?)?,
                at: row.try_get(1)?,
                actor: row.try_get(2)?,
                action: row.try_get(3)?,
                object_kind: row.try_get(4)?,
                object_id: row.try_get(5)?,
                object_name: row.try_get(6)?,
                detail: row.try_get(7)?,
            })
        })
        .collect()
}

/// The number of the first entry that does not follow from the one before it: something was changed, removed
/// or put in between. `None`: the chain is whole up to its recorded end.
///
/// # Errors
/// As any statement.
pub async fn first_broken(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Option<u64>> {
    let broken: Option<i64> = sqlx::query_scalar(
        "WITH chain AS (
             SELECT audit_id, previous_hash, hash,
                    audit_hash(previous_hash, audit_id, at, actor, action, object_kind, object_id, object_name,
                               detail) AS expected,
                    lag(audit_id) OVER earlier AS id_before, lag(hash) OVER earlier AS hash_before
             FROM audit WHERE workspace_id = $1 WINDOW earlier AS (ORDER BY audit_id)
         ), wrong AS (
             SELECT audit_id FROM chain
             WHERE hash <> expected
                OR (id_before IS NOT NULL AND (audit_id <> id_before + 1 OR previous_hash <> hash_before))
             UNION ALL
             SELECT last_id FROM audit_heads h
             WHERE workspace_id = $1 AND last_id > 0 AND NOT EXISTS (
                 SELECT FROM chain c WHERE c.audit_id = h.last_id AND c.hash = h.last_hash)
         )
         SELECT min(audit_id) FROM wrong",
    )
    .bind(workspace.uuid())
    .fetch_one(connection)
    .await?;
    broken
        .map(|number| from_bigint("audit number", number))
        .transpose()
}
