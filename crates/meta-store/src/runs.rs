//! Runs: what they were told, how far they are, how they ended.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::ids::{DefinitionId, RunId, WorkspaceId};
use syncbridge_domain::quota::Spending;
use syncbridge_domain::run::{Counters, Prediction, RunKind, RunOutcome, RunSpec, RunState, Verification};
use uuid::Uuid;

use crate::error::{Error, Result};

/// A run as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its definition.
    pub definition: DefinitionId,
    /// What it does.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// What it did so far.
    pub counters: Counters,
    /// What it spent so far.
    pub spending: Spending,
    /// Why it did not complete.
    pub failure: Option<Failure>,
    /// What a verification found.
    pub verification: Option<Verification>,
    /// What a plan predicts.
    pub prediction: Option<Prediction>,
    /// Remarks for people.
    pub notices: Vec<String>,
    /// Who asked for it.
    pub requested_by: String,
    /// When it was asked for.
    pub created: DateTime<Utc>,
    /// When a worker took it.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
}

/// Which runs a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Of this definition only.
    pub definition: Option<DefinitionId>,
    /// Older than this one: the last of the page before.
    pub before: Option<RunId>,
    /// At most so many; 500 is the most.
    pub limit: u32,
}

/// The most that a page of any list holds.
pub const PAGE: u32 = 500;

/// Records a run as queued.
///
/// # Errors
/// As any statement.
pub async fn create(connection: &mut PgConnection, spec: &RunSpec, requested_by: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO runs (run_id, workspace_id, definition_id, kind, state, spec, requested_by)
         VALUES ($1, $2, $3, $4, 'queued', $5, $6)",
    )
    .bind(spec.run.uuid())
    .bind(spec.workspace.uuid())
    .bind(spec.definition.uuid())
    .bind(spec.kind.name())
    .bind(Json(spec))
    .bind(requested_by)
    .execute(connection)
    .await?;
    Ok(())
}

/// A queued run begins. Answers false where it is not queued any more.
///
/// # Errors
/// As any statement.
pub async fn start(connection: &mut PgConnection, run: RunId) -> Result<bool> {
    let started = sqlx::query(
        "UPDATE runs SET state = 'running', started_at = clock_timestamp() WHERE run_id = $1 AND state = 'queued'",
    )
    .bind(run.uuid())
    .execute(connection)
    .await?;
    Ok(started.rows_affected() == 1)
}

/// Notes how far an unfinished run is.
///
/// # Errors
/// As any statement.
pub async fn progress(
    connection: &mut PgConnection,
    run: RunId,
    counters: &Counters,
    spending: &Spending,
) -> Result<()> {
    sqlx::query("UPDATE runs SET counters = $2, spending = $3 WHERE run_id = $1 AND ended_at IS NULL")
        .bind(run.uuid())
        .bind(Json(counters))
        .bind(Json(spending))
        .execute(connection)
        .await?;
    Ok(())
}

/// A run ends. Answers false where it has ended already; what was recorded then stays.
///
/// # Errors
/// As any statement.
pub async fn finish(connection: &mut PgConnection, run: RunId, outcome: &RunOutcome) -> Result<bool> {
    let finished = sqlx::query(
        "UPDATE runs SET state = $2, counters = $3, spending = $4, failure = $5, notices = $6,
                         verification = $7, prediction = $8,
                         ended_at = clock_timestamp()
         WHERE run_id = $1 AND ended_at IS NULL",
    )
    .bind(run.uuid())
    .bind(outcome.state.name())
    .bind(Json(&outcome.counters))
    .bind(Json(&outcome.spending))
    .bind(outcome.failure.as_ref().map(Json))
    .bind(
        outcome
            .notices
            .iter()
            .map(|notice| notice.replace('\0', "\u{fffd}"))
            .collect::<Vec<_>>(),
    )
    .bind(outcome.verification.as_ref().map(Json))
    .bind(outcome.prediction.as_ref().map(Json))
    .execute(connection)
    .await?;
    Ok(finished.rows_affected() == 1)
}

/// Ends writing runs of a definition that a lost worker left unfinished. To be called by whoever has just
/// acquired the writer lease: while it is held, no other writing run can be alive. Answers which.
///
/// # Errors
/// As any statement.
pub async fn end_abandoned(
    connection: &mut PgConnection,
    definition: DefinitionId,
    current: RunId,
    failure: &Failure,
) -> Result<Vec<RunId>> {
    let ended: Vec<Uuid> = sqlx::query_scalar(
        "UPDATE runs SET state = 'failed', failure = $3, ended_at = clock_timestamp()
         WHERE definition_id = $1 AND run_id <> $2 AND state = 'running' AND kind NOT IN ('plan', 'verify')
               AND ended_at IS NULL
         RETURNING run_id",
    )
    .bind(definition.uuid())
    .bind(current.uuid())
    .bind(Json(failure))
    .fetch_all(connection)
    .await?;
    Ok(ended.into_iter().map(RunId::from_uuid).collect())
}

const SELECT: &str =
    "SELECT run_id, workspace_id, definition_id, kind, state, counters, spending, failure, notices,
        requested_by, created_at, started_at, ended_at, verification, prediction FROM runs";

/// The run of this id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(connection: &mut PgConnection, run: RunId) -> Result<Run> {
    let row = sqlx::query(AssertSqlSafe(format!("{SELECT} WHERE run_id = $1")))
        .bind(run.uuid())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| not_found(run))?;
    read(&row)
}

/// What a run was told.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Damaged`] for a document of a schema this version does not read.
pub async fn spec(connection: &mut PgConnection, run: RunId) -> Result<RunSpec> {
    let row = sqlx::query("SELECT spec FROM runs WHERE run_id = $1")
        .bind(run.uuid())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| not_found(run))?;
    Ok(row.try_get::<Json<RunSpec>, _>(0)?.0)
}

/// Runs of a workspace, newest first.
///
/// # Errors
/// As any statement.
pub async fn list(connection: &mut PgConnection, workspace: WorkspaceId, filter: Filter) -> Result<Vec<Run>> {
    // Ids are UUIDv7: their order is that of creation.
    let rows = sqlx::query(AssertSqlSafe(format!(
        "{SELECT} WHERE workspace_id = $1 AND ($2::uuid IS NULL OR definition_id = $2)
             AND ($3::uuid IS NULL OR run_id < $3)
         ORDER BY run_id DESC LIMIT $4"
    )))
    .bind(workspace.uuid())
    .bind(filter.definition.map(DefinitionId::uuid))
    .bind(filter.before.map(RunId::uuid))
    .bind(i64::from(filter.limit.min(PAGE)))
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Adds an event to a run. `detail` holds no values.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn add_event(
    connection: &mut PgConnection,
    run: RunId,
    kind: &str,
    detail: &serde_json::Value,
) -> Result<()> {
    let added = sqlx::query(
        "INSERT INTO run_events (workspace_id, definition_id, run_id, kind, detail)
         SELECT workspace_id, definition_id, run_id, $2, $3 FROM runs WHERE run_id = $1",
    )
    .bind(run.uuid())
    .bind(kind)
    .bind(detail)
    .execute(connection)
    .await?;
    if added.rows_affected() == 0 {
        Err(not_found(run))
    } else {
        Ok(())
    }
}

fn read(row: &PgRow) -> Result<Run> {
    let kind: &str = row.try_get(3)?;
    Ok(Run {
        id: RunId::from_uuid(row.try_get(0)?),
        workspace: WorkspaceId::from_uuid(row.try_get(1)?),
        definition: DefinitionId::from_uuid(row.try_get(2)?),
        kind: RunKind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or(Error::Damaged { what: "run kind" })?,
        state: RunState::parse(row.try_get(4)?).ok_or(Error::Damaged { what: "run state" })?,
        counters: counters(row)?,
        spending: row.try_get::<Json<Spending>, _>(6)?.0,
        failure: row
            .try_get::<Option<Json<Failure>>, _>(7)?
            .map(|failure| failure.0),
        verification: row
            .try_get::<Option<Json<Verification>>, _>(13)?
            .map(|found| found.0),
        prediction: row
            .try_get::<Option<Json<Prediction>>, _>(14)?
            .map(|found| found.0),
        notices: row.try_get(8)?,
        requested_by: row.try_get(9)?,
        created: row.try_get(10)?,
        started: row.try_get(11)?,
        ended: row.try_get(12)?,
    })
}

/// A run that has not reported yet has an empty object, and one of an older version may lack counters that
/// came later: both read as zero.
fn counters(row: &PgRow) -> Result<Counters> {
    let damaged = |_| Error::Damaged { what: "run counters" };
    let stored: serde_json::Map<String, serde_json::Value> = row.try_get::<Json<_>, _>(5)?.0;
    let mut all = serde_json::to_value(Counters::default()).map_err(damaged)?;
    if let Some(all) = all.as_object_mut() {
        all.extend(stored);
    }
    serde_json::from_value(all).map_err(damaged)
}

fn not_found(run: RunId) -> Error {
    Error::NotFound {
        kind: "run",
        name: run.to_string(),
    }
}
