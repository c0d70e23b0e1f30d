//! What the history holds of a run, with values where they were kept: by it a run is put back.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::effect::EffectKind;
use syncbridge_domain::history::{Cause, Stood};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, RunId};
use syncbridge_domain::ledger::LedgerState;
use syncbridge_domain::revert::{PastWrite, Written};
use syncbridge_domain::version::Version;

use super::{DefinitionStore, agreement, identity, item_link};
use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint};

const WRITE: &str = "history_id, identity, kind, cause, item_id, item_guid, before_counter, before_agreed,
        before_layout, before_state, agreed, layout, state, sealed_sent, sealed_before, sealed_for, after_counter, item_guid";
/// Writes that changed what was agreed on: what was refused, or left the ledger as it was, is nothing to put back.
/// Bytes of sealed values that are held at once: whole rows are large where their cells are.
const PAGE_BYTES: i64 = 8 * 1024 * 1024;
/// What the values of an entry take.
const BYTES: &str = "coalesce(octet_length(sealed_sent), 0) + coalesce(octet_length(sealed_before), 0)";
const IS_WRITE: &str = "effect_id IS NOT NULL AND outcome = 'applied' AND agreed IS NOT NULL";

impl DefinitionStore {
    /// What a run wrote, in the order of identities, behind `after`: about `limit` writes, or fewer where their values
    /// are large, and all of each identity.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn written_by(&self, run: RunId, after: Option<Identity>, limit: u32) -> Result<Vec<Written>> {
        self.timed(async {
            let mut connection = self.store.acquire().await?;
            let after = after.as_ref().map(|identity| identity.as_bytes().as_slice());
            // Where the page ends is asked first: with both ends known the planner sees how little lies between them.
            let until: Option<Vec<u8>> = sqlx::query_scalar(AssertSqlSafe(format!(
                "SELECT identity FROM (
                     SELECT identity, row_number() OVER so_far AS number, sum({BYTES}) OVER so_far AS bytes
                     FROM ledger_history
                     WHERE run_id = $1 AND definition_id = $2 AND ($3::bytea IS NULL OR identity > $3) AND {IS_WRITE}
                     WINDOW so_far AS (ORDER BY identity, history_id ROWS UNBOUNDED PRECEDING)
                     ORDER BY identity, history_id LIMIT $4) AS batch
                 WHERE number = 1 OR bytes <= $5
                 ORDER BY identity DESC LIMIT 1"
            )))
            .bind(run.uuid())
            .bind(self.definition.uuid())
            .bind(after)
            .bind(i64::from(limit))
            .bind(PAGE_BYTES)
            .fetch_optional(&mut *connection)
            .await?;
            let Some(until) = until else {
                return Ok(Vec::new());
            };
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT {WRITE} FROM ledger_history
                 WHERE run_id = $1 AND definition_id = $2 AND ($3::bytea IS NULL OR identity > $3)
                   AND identity <= $4 AND {IS_WRITE}
                 ORDER BY identity, history_id"
            )))
            .bind(run.uuid())
            .bind(self.definition.uuid())
            .bind(after)
            .bind(until)
            .fetch_all(&mut *connection)
            .await?;
            let mut written: Vec<Written> = Vec::new();
            for row in &rows {
                let (identity, write) = self.read_write(row)?;
                match written.last_mut().filter(|last| last.identity == identity) {
                    Some(last) => last.writes.push(write),
                    None => written.push(Written {
                        identity,
                        writes: vec![write],
                    }),
                }
            }
            Ok(written)
        })
        .await
    }

    /// Writes of an identity before this entry that kept values, newest first, at most `limit`, or fewer where their
    /// values are large.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn earlier_writes(&self, whose: Identity, before: u64, limit: u32) -> Result<Vec<PastWrite>> {
        self.timed(async {
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT {WRITE} FROM (
                     SELECT *, sum({BYTES}) OVER (ORDER BY history_id DESC ROWS UNBOUNDED PRECEDING) AS bytes
                     FROM ledger_history
                     WHERE definition_id = $1 AND identity = $2 AND history_id < $3 AND {IS_WRITE}
                       AND sealed_sent IS NOT NULL
                     ORDER BY history_id DESC LIMIT $4) AS earlier
                 WHERE bytes <= $5
                 ORDER BY history_id DESC"
            )))
            .bind(self.definition.uuid())
            .bind(whose.as_bytes().as_slice())
            .bind(to_bigint("history number", before)?)
            .bind(i64::from(limit))
            .bind(PAGE_BYTES)
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter().map(|row| Ok(self.read_write(row)?.1)).collect()
        })
        .await
    }

    fn read_write(&self, row: &PgRow) -> Result<(Identity, PastWrite)> {
        let damaged = || Error::Damaged {
            what: "history entry",
        };
        let whose = identity(row.try_get(1)?)?;
        let sealed_for: Option<&[u8]> = row.try_get(15)?;
        let sealed_for = sealed_for.map(identity).transpose()?.unwrap_or(whose);
        let open = |column, sealed| self.open_kept(column, sealed_for, sealed);
        let item = item_link(row, 4)?;
        let counter: Option<i64> = row.try_get(16)?;
        let version = match (row.try_get(17)?, counter) {
            (Some(guid), Some(counter)) => Some(Version {
                guid,
                counter: from_bigint("item counter", counter)?,
            }),
            _ => None,
        };
        let write = PastWrite {
            number: from_bigint("history number", row.try_get(0)?)?,
            kind: EffectKind::parse(row.try_get(2)?).ok_or_else(damaged)?,
            cause: row.try_get::<Option<Json<Cause>>, _>(3)?.map(|cause| cause.0),
            item,
            was: stood(row, 7)?,
            left: stood(row, 10)?,
            version,
            sent: open("effects.sealed_sent", row.try_get(13)?)?,
            before: open("effects.sealed_before", row.try_get(14)?)?,
        };
        Ok((whose, write))
    }
}

/// What the ledger held, from three columns on: bytes, layout, state.
pub(super) fn stood(row: &PgRow, first: usize) -> Result<Option<Stood>> {
    let agreed: Option<Vec<u8>> = row.try_get(first)?;
    let layout: Option<i64> = row.try_get(first + 1)?;
    let Some((agreed, layout)) = agreed.zip(layout) else {
        return Ok(None);
    };
    let code: Option<i16> = row.try_get(first + 2)?;
    let state = code.map(|code| {
        LedgerState::from_code(code).ok_or(Error::Damaged {
            what: "history entry",
        })
    });
    Ok(Some(Stood {
        agreed,
        layout: agreement::layout(layout)?,
        state: state.transpose()?,
    }))
}

/// Whether the history holds any write of a run.
///
/// # Errors
/// As any statement.
pub async fn run_wrote(connection: &mut PgConnection, definition: DefinitionId, run: RunId) -> Result<bool> {
    Ok(sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT EXISTS (SELECT FROM ledger_history WHERE run_id = $1 AND definition_id = $2 AND {IS_WRITE})"
    )))
    .bind(run.uuid())
    .bind(definition.uuid())
    .fetch_one(connection)
    .await?)
}

/// Whether nothing of a run that began then can have been let go of the history: it goes entry by entry, the oldest first, and one from
/// before the run is still there; or else it holds as many writes as the run counted.
///
/// # Errors
/// As any statement.
pub async fn history_is_whole(
    connection: &mut PgConnection,
    definition: DefinitionId,
    run: RunId,
    began: DateTime<Utc>,
    counted: u64,
) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM ledger_history WHERE definition_id = $1 AND at < $4)
             OR $3 <= (SELECT count(*) FROM ledger_history
                       WHERE run_id = $2 AND definition_id = $1 AND effect_id IS NOT NULL AND outcome = 'applied')",
    )
    .bind(definition.uuid())
    .bind(run.uuid())
    .bind(to_bigint("writes", counted)?)
    .bind(began)
    .fetch_one(connection)
    .await?)
}
