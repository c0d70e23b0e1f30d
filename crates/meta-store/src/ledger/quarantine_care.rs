//! What people do about refused rows: look through them, have them tried again, or accept them as they are.
//!
//! None of this takes the writer's lease: an entry is a note about a row, and the run that comes next reads it.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::dirty::WaitsFor;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::DefinitionId;

use super::bytes;
use super::quarantine::{COLUMNS, QuarantineEntry, read};
use crate::error::Result;
use crate::number::from_bigint;
use crate::runs::PAGE;

/// Which entries are meant; every part that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// These rows.
    pub identities: Option<Vec<Identity>>,
    /// Refused with this code.
    pub code: Option<String>,
    /// Refused for this column.
    pub column: Option<String>,
    /// Waiting for this.
    pub waits_for: Option<WaitsFor>,
}

/// `$1` definition, `$2` identities, `$3` code, `$4` column, `$5` what it waits for.
const MATCHES: &str = "definition_id = $1
    AND ($2::bytea[] IS NULL OR identity = ANY($2))
    AND ($3::text IS NULL OR code = $3)
    AND ($4::text IS NULL OR failure ->> 'column' = $4)
    AND ($5::text IS NULL OR $5 = CASE WHEN ignored_at IS NOT NULL THEN 'nothing'
                                       WHEN retry_at IS NULL THEN 'person' ELSE 'retry' END)";

macro_rules! bound {
    ($query:expr, $definition:expr, $filter:expr) => {
        $query
            .bind($definition.uuid())
            .bind($filter.identities.as_ref().map(|ids| bytes(ids)))
            .bind($filter.code.as_deref())
            .bind($filter.column.as_deref())
            .bind($filter.waits_for.map(WaitsFor::name))
    };
}

/// Refused rows with one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineGroup {
    /// Stable code.
    pub code: String,
    /// Column at fault, where it is known.
    pub column: Option<String>,
    /// What to do about it, in the words of the newest entry.
    pub fix: String,
    /// Rows that are tried again by themselves.
    pub retry: u64,
    /// Rows that need a person.
    pub person: u64,
    /// Rows a person accepted.
    pub ignored: u64,
    /// When the first of them was refused.
    pub oldest: chrono::DateTime<chrono::Utc>,
}

/// Entries of a definition behind `after` in the order of identities, at most 500.
///
/// # Errors
/// As any statement.
pub async fn list_quarantine(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &QuarantineFilter,
    after: Option<Identity>,
    limit: u32,
) -> Result<Vec<QuarantineEntry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM quarantine
         WHERE {MATCHES} AND ($6::bytea IS NULL OR identity > $6) ORDER BY identity LIMIT $7"
    );
    let rows = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .bind(after.as_ref().map(|identity| identity.as_bytes().as_slice()))
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// The quarantine by cause, the most frequent first.
///
/// # Errors
/// As any statement.
pub async fn summarize_quarantine(
    connection: &mut PgConnection,
    definition: DefinitionId,
) -> Result<Vec<QuarantineGroup>> {
    let rows = sqlx::query(
        "SELECT code, failure ->> 'column',
                (array_agg(failure ->> 'fix' ORDER BY last_seen DESC))[1],
                count(*) FILTER (WHERE ignored_at IS NULL AND retry_at IS NOT NULL),
                count(*) FILTER (WHERE ignored_at IS NULL AND retry_at IS NULL),
                count(*) FILTER (WHERE ignored_at IS NOT NULL),
                min(first_seen)
         FROM quarantine WHERE definition_id = $1
         GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT 500",
    )
    .bind(definition.uuid())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let count = |at: usize| from_bigint("rows in quarantine", row.try_get(at)?);
            Ok(QuarantineGroup {
                code: row.try_get(0)?,
                column: row.try_get(1)?,
                fix: row.try_get::<Option<String>, _>(2)?.unwrap_or_default(),
                retry: count(3)?,
                person: count(4)?,
                ignored: count(5)?,
                oldest: row.try_get(6)?,
            })
        })
        .collect()
}

/// Makes the entries due now and begins their schedule anew; accepted ones are no longer accepted. Answers how
/// many.
///
/// # Errors
/// As any statement.
pub async fn retry_quarantined(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &QuarantineFilter,
) -> Result<u64> {
    let sql = format!(
        "UPDATE quarantine SET retry_at = clock_timestamp(), attempts = 1,
                ignored_at = NULL, ignored_by = NULL, ignored_reason = NULL
         WHERE {MATCHES}"
    );
    let done = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Accepts the entries as they are: they are not tried again until their row changes. Answers how many.
///
/// # Errors
/// As any statement.
pub async fn ignore_quarantined(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &QuarantineFilter,
    by: &str,
    reason: &str,
) -> Result<u64> {
    let sql = format!(
        "UPDATE quarantine SET retry_at = NULL, ignored_at = clock_timestamp(), ignored_by = $6, ignored_reason = $7
         WHERE {MATCHES}"
    );
    let done = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .bind(by)
        .bind(reason)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// How many rows a definition has in quarantine, those left out that a person accepted.
///
/// # Errors
/// As any statement.
pub async fn count_quarantined(connection: &mut PgConnection, definition: DefinitionId) -> Result<u64> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM quarantine WHERE definition_id = $1 AND ignored_at IS NULL")
            .bind(definition.uuid())
            .fetch_one(connection)
            .await?;
    from_bigint("count", count)
}
