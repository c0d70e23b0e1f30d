//! What lists of definitions show: sums over their rows, and their newest runs.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::ids::{RunId, WorkspaceId};
use syncbridge_domain::run::RunState;
use uuid::Uuid;

use super::{Definition, read};
use crate::error::{Error, Result};
use crate::number::from_bigint;

/// A definition with what lists of definitions show beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The definition.
    pub definition: Definition,
    /// Ledger rows whose row and item both exist.
    pub live_rows: u64,
    /// Rows known to have changed and not yet applied.
    pub dirty: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Writes that are open or armed.
    pub unsettled: u64,
    /// Its newest run.
    pub last_run: Option<LastRun>,
    /// When everything was last compared.
    pub last_sweep: Option<DateTime<Utc>>,
}

/// The newest run of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Which.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// When it was asked for.
    pub created: DateTime<Utc>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
}

/// All definitions by name, with sums over their rows and their newest runs.
///
/// # Errors
/// As any statement.
pub async fn summaries(connection: &mut PgConnection, workspace: WorkspaceId) -> Result<Vec<Summary>> {
    let rows = sqlx::query(
        "SELECT d.definition_id, d.workspace_id, d.name, d.namespace, d.spec, d.revision_id, d.state,
                d.generation, d.site_id, d.list_id, d.created_at, d.updated_at, d.updated_by,
                (SELECT count(*) FROM ledger l WHERE l.definition_id = d.definition_id AND l.state = 1),
                (SELECT count(*) FROM dirty x WHERE x.definition_id = d.definition_id),
                (SELECT count(*) FROM quarantine q WHERE q.definition_id = d.definition_id AND q.ignored_at IS NULL),
                (SELECT count(*) FROM effects e WHERE e.definition_id = d.definition_id),
                r.run_id, r.state, r.created_at, r.ended_at,
                (SELECT s.completed_at FROM sweeps s WHERE s.definition_id = d.definition_id)
         FROM definitions d
         LEFT JOIN LATERAL (SELECT run_id, state, created_at, ended_at FROM runs
                            WHERE runs.definition_id = d.definition_id
                            ORDER BY created_at DESC LIMIT 1) r ON true
         WHERE d.workspace_id = $1 AND d.deleted_at IS NULL ORDER BY d.name",
    )
    .bind(workspace.uuid())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read_summary).collect()
}

fn read_summary(row: &PgRow) -> Result<Summary> {
    let count = |at: usize| from_bigint("count", row.try_get(at)?);
    let last_run = match row.try_get::<Option<Uuid>, _>(17)? {
        None => None,
        Some(id) => Some(LastRun {
            id: RunId::from_uuid(id),
            state: RunState::parse(row.try_get(18)?).ok_or(Error::Damaged { what: "run state" })?,
            created: row.try_get(19)?,
            ended: row.try_get(20)?,
        }),
    };
    Ok(Summary {
        definition: read(row)?,
        live_rows: count(13)?,
        dirty: count(14)?,
        quarantined: count(15)?,
        unsettled: count(16)?,
        last_run,
        last_sweep: row.try_get(21)?,
    })
}
