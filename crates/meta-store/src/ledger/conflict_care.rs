//! What people do about conflicts: look through them, see both values of one, and decide who wins.
//!
//! None of this takes the writer's lease: a decision is a note about a field, and the run that comes next carries it
//! out through the same reconciliation as everything else.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::conflict::{ParkReason, Side};
use syncbridge_domain::dirty::TargetHint;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::ids::{ConflictId, DefinitionId, RunId, WorkspaceId};
use uuid::Uuid;

use super::{DefinitionStore, bytes, identity, key};
use crate::error::{Error, Result};
use crate::number::from_bigint;
use crate::runs::PAGE;

/// Codes under which the rows of parked conflicts wait in quarantine.
pub(crate) const PARKED: [&str; 2] = ["conflict.parked", "conflict.ping_pong"];

/// Where a conflict stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConflictStatus {
    /// It waits for a person.
    Open,
    /// A person decided, or both sides agree again.
    Resolved,
    /// The policy decided; the losing edit is kept.
    Overridden,
}

impl ConflictStatus {
    /// Every status.
    pub const ALL: [ConflictStatus; 3] = [
        ConflictStatus::Open,
        ConflictStatus::Resolved,
        ConflictStatus::Overridden,
    ];

    /// The name shown and taken as a filter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConflictStatus::Open => "open",
            ConflictStatus::Resolved => "resolved",
            ConflictStatus::Overridden => "overridden",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// Which conflicts are meant; every part that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// These.
    pub ids: Option<Vec<ConflictId>>,
    /// Of these rows.
    pub identities: Option<Vec<Identity>>,
    /// Of this column.
    pub column: Option<String>,
    /// Standing here.
    pub status: Option<ConflictStatus>,
    /// For this reason.
    pub reason: Option<ParkReason>,
}

const STATUS: &str = "CASE WHEN c.kind = 'overridden' THEN 'overridden'
          WHEN c.winner IS NULL AND c.closed_at IS NULL THEN 'open' ELSE 'resolved' END";

/// `$1` definition, `$2` ids, `$3` identities, `$4` column, `$5` status, `$6` reason.
fn matches() -> String {
    format!(
        "c.definition_id = $1
         AND ($2::uuid[] IS NULL OR c.conflict_id = ANY($2))
         AND ($3::bytea[] IS NULL OR c.identity = ANY($3))
         AND ($4::text IS NULL OR c.column_name = $4)
         AND ($5::text IS NULL OR $5 = {STATUS})
         AND ($6::text IS NULL OR c.reason = $6)"
    )
}

macro_rules! bound {
    ($query:expr, $definition:expr, $filter:expr) => {
        $query
            .bind($definition.uuid())
            .bind(
                $filter
                    .ids
                    .as_ref()
                    .map(|ids| ids.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>()),
            )
            .bind($filter.identities.as_ref().map(|ids| bytes(ids)))
            .bind($filter.column.as_deref())
            .bind($filter.status.map(ConflictStatus::name))
            .bind($filter.reason.map(ParkReason::name))
    };
}

/// Where a page of conflicts ended: the next one begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictPlace {
    /// When the last one was noticed.
    pub noticed: DateTime<Utc>,
    /// Its id.
    pub id: ConflictId,
}

/// A person's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictDecision {
    /// Who decided.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// A conflict in a list, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictEntry {
    /// Its id. A conflict about other values is another one.
    pub id: ConflictId,
    /// Whose.
    pub identity: Identity,
    /// Addresses the row, where it is known.
    pub key: Option<Key>,
    /// Source column.
    pub column: String,
    /// Where it stands.
    pub status: ConflictStatus,
    /// Why nobody won; of an overridden edit only that who was first cannot be told.
    pub reason: Option<ParkReason>,
    /// Whose value stands, or is to stand.
    pub winner: Option<Side>,
    /// Who decided that; only of parked ones.
    pub decided: Option<ConflictDecision>,
    /// When a parked one was carried out, or both sides were found to agree again.
    pub closed: Option<DateTime<Utc>>,
    /// Who edited the list's side last, where the list told.
    pub target_by: Option<String>,
    /// When the list's side was edited last, where it told.
    pub target_at: Option<DateTime<Utc>>,
    /// The run that noticed it.
    pub run: RunId,
    /// When it was noticed.
    pub noticed: DateTime<Utc>,
}

impl ConflictEntry {
    /// Where a page that ends with this one ended.
    #[must_use]
    pub fn place(&self) -> ConflictPlace {
        ConflictPlace {
            noticed: self.noticed,
            id: self.id,
        }
    }
}

/// A conflict with both values, for endpoints that may show values.
#[derive(Clone, PartialEq)]
pub struct OpenedConflict {
    /// Everything but the values.
    pub entry: ConflictEntry,
    /// What the source held (canonical JSON).
    pub source: Json,
    /// What the list held.
    pub target: Json,
}

impl std::fmt::Debug for OpenedConflict {
    // Values stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OpenedConflict").field(&self.entry).finish()
    }
}

/// Overridden edits know no key of their own; the ledger does, while the row is known.
const COLUMNS: &str = "c.conflict_id, c.identity, c.column_name, c.kind, c.reason, c.winner, c.resolved_by,
        c.resolved_at, c.closed_at, c.target_by, c.target_at, c.run_id, c.created_at,
        coalesce(c.key, (SELECT l.key FROM ledger l
                         WHERE l.definition_id = c.definition_id AND l.identity = c.identity))";

fn read(row: &PgRow) -> Result<ConflictEntry> {
    let damaged = || Error::Damaged { what: "conflict" };
    let overridden = row.try_get::<&str, _>(3)? == "overridden";
    let reason: Option<&str> = row.try_get(4)?;
    let winner: Option<&str> = row.try_get(5)?;
    let closed: Option<DateTime<Utc>> = row.try_get(8)?;
    Ok(ConflictEntry {
        id: ConflictId::from_uuid(row.try_get(0)?),
        identity: identity(row.try_get(1)?)?,
        key: row.try_get::<Option<Vec<u8>>, _>(13)?.map(key).transpose()?,
        column: row.try_get(2)?,
        status: match (overridden, winner, closed) {
            (true, _, _) => ConflictStatus::Overridden,
            (false, None, None) => ConflictStatus::Open,
            (false, _, _) => ConflictStatus::Resolved,
        },
        reason: reason
            .map(|name| ParkReason::parse(name).ok_or_else(damaged))
            .transpose()?,
        winner: winner
            .map(|name| Side::parse(name).ok_or_else(damaged))
            .transpose()?,
        decided: match (row.try_get(6)?, row.try_get(7)?) {
            (Some(by), Some(at)) => Some(ConflictDecision { by, at }),
            _ => None,
        },
        closed,
        target_by: row.try_get(9)?,
        target_at: row.try_get(10)?,
        run: RunId::from_uuid(row.try_get(11)?),
        noticed: row.try_get(12)?,
    })
}

/// Conflicts of a definition behind `after`, newest first, at most 500.
///
/// # Errors
/// As any statement.
pub async fn list_conflicts(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &ConflictFilter,
    after: Option<ConflictPlace>,
    limit: u32,
) -> Result<Vec<ConflictEntry>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM conflicts c
         WHERE {} AND ($7::timestamptz IS NULL OR (c.created_at, c.conflict_id) < ($7, $8))
         ORDER BY c.created_at DESC, c.conflict_id DESC LIMIT $9",
        matches()
    );
    let rows = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .bind(after.map(|place| place.noticed))
        .bind(after.map(|place| place.id.uuid()))
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// How many conflicts of a definition are like that.
///
/// # Errors
/// As any statement.
pub async fn count_conflicts(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &ConflictFilter,
) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM conflicts c WHERE {}", matches());
    let row = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .fetch_one(connection)
        .await?;
    from_bigint("count", row.try_get(0)?)
}

/// A conflict that was asked for by its id alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundConflict {
    /// Whose.
    pub definition: DefinitionId,
    /// The definition's name.
    pub definition_name: String,
    /// The conflict.
    pub entry: ConflictEntry,
}

/// Those of these conflicts that there are (still), of definitions that were not deleted.
///
/// # Errors
/// As any statement.
pub async fn find_conflicts(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    ids: &[ConflictId],
) -> Result<Vec<FoundConflict>> {
    let sql = format!(
        "SELECT {COLUMNS}, c.definition_id, d.name
         FROM conflicts c JOIN definitions d ON d.definition_id = c.definition_id AND d.deleted_at IS NULL
         WHERE d.workspace_id = $1 AND c.conflict_id = ANY($2)
         ORDER BY d.name, c.conflict_id"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(workspace.uuid())
        .bind(ids.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(FoundConflict {
                definition: DefinitionId::from_uuid(row.try_get(14)?),
                definition_name: row.try_get(15)?,
                entry: read(row)?,
            })
        })
        .collect()
}

/// Whose value is to stand, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConflictChoice<'a> {
    /// The side that wins.
    pub winner: Side,
    /// Who decides.
    pub by: &'a str,
}

/// What a decision was about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Conflicts.
    pub conflicts: u64,
    /// Rows they belong to.
    pub rows: u64,
}

/// Decides parked conflicts that were not carried out yet; a later decision replaces an earlier one. Their rows
/// become dirty, with a look at their items asked for, and are due where they wait in quarantine for the decision.
///
/// # Errors
/// As any statement.
pub async fn resolve_conflicts(
    connection: &mut PgConnection,
    definition: DefinitionId,
    filter: &ConflictFilter,
    choice: ConflictChoice<'_>,
) -> Result<Resolved> {
    // A row that waits with a stronger word of the list's feed keeps it: any hint leads to a look at the item.
    let sql = format!(
        "WITH decided AS (
             UPDATE conflicts SET winner = $7, resolved_by = $8, resolved_at = clock_timestamp()
             WHERE conflict_id IN (SELECT c.conflict_id FROM conflicts c
                                   WHERE {matches} AND c.kind = 'parked' AND c.closed_at IS NULL
                                   ORDER BY c.identity, c.column_name FOR UPDATE)
             RETURNING workspace_id, identity, key
         ), touched AS (
             SELECT DISTINCT ON (identity) workspace_id, identity, key FROM decided ORDER BY identity
         ), due AS (
             UPDATE quarantine q SET retry_at = clock_timestamp(), attempts = 1,
                    ignored_at = NULL, ignored_by = NULL, ignored_reason = NULL
             FROM touched t WHERE q.definition_id = $1 AND q.identity = t.identity AND q.code = ANY($9)
         ), marked AS (
             INSERT INTO dirty AS d (definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                                     suspected_delete, target_hint, hinted_at, sequence)
             SELECT $1, t.workspace_id, t.identity, t.key,
                    coalesce(q.mark_generation, (SELECT generation FROM definitions WHERE definition_id = $1)),
                    coalesce(q.mark_lsn, 0), coalesce(q.suspected_delete, false),
                    coalesce(nullif(q.target_hint, {presumed}), {changed}::smallint),
                    coalesce(q.hinted_at, clock_timestamp()), nextval('dirty_sequence')
             FROM touched t LEFT JOIN quarantine q ON q.definition_id = $1 AND q.identity = t.identity
             ORDER BY t.identity
             ON CONFLICT (definition_id, identity) DO UPDATE SET
                 target_hint = CASE WHEN d.target_hint = {presumed} THEN excluded.target_hint ELSE d.target_hint END,
                 hinted_at = coalesce(d.hinted_at, excluded.hinted_at),
                 sequence = nextval('dirty_sequence')
         )
         SELECT (SELECT count(*) FROM decided), (SELECT count(*) FROM touched)",
        matches = matches(),
        presumed = TargetHint::Presumed.code(),
        changed = TargetHint::Changed.code(),
    );
    let row = bound!(sqlx::query(AssertSqlSafe(sql)), definition, filter)
        .bind(choice.winner.name())
        .bind(choice.by)
        .bind(PARKED)
        .fetch_one(connection)
        .await?;
    Ok(Resolved {
        conflicts: from_bigint("count", row.try_get(0)?)?,
        rows: from_bigint("count", row.try_get(1)?)?,
    })
}

impl DefinitionStore {
    /// One conflict with both values opened.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none with this id (any more); [`Error::Open`] for a value that does not
    /// open.
    pub async fn conflict(&self, id: ConflictId) -> Result<OpenedConflict> {
        self.timed(async {
            let sql = format!(
                "SELECT {COLUMNS}, c.sealed_source, c.sealed_target FROM conflicts c
                 WHERE c.definition_id = $1 AND c.conflict_id = $2"
            );
            let row = sqlx::query(AssertSqlSafe(sql))
                .bind(self.definition.uuid())
                .bind(id.uuid())
                .fetch_optional(&mut *self.store.acquire().await?)
                .await?
                .ok_or_else(|| Error::NotFound {
                    kind: "conflict",
                    name: id.to_string(),
                })?;
            let entry = read(&row)?;
            let open = |side, at: usize| -> Result<Json> {
                let place = self.value_place(side, entry.identity, &entry.column);
                self.unseal("conflict value", &place, row.try_get(at)?)
            };
            Ok(OpenedConflict {
                source: open(Side::Source, 14)?,
                target: open(Side::Target, 15)?,
                entry,
            })
        })
        .await
    }
}
