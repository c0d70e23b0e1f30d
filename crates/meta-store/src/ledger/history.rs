//! What happened to an identity: closed effects and agreements without a write, append-only.
//!
//! An entry is written by the very statement that closes its effect or records its agreement, with what the ledger
//! said before it; so there is none without a change and no change without one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::feed::Mark;
pub use syncbridge_domain::history::Stood;
use syncbridge_domain::history::{Cause, Happening};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use syncbridge_domain::receipt::Fields;
use uuid::Uuid;

use super::past::stood;
use super::{Closed, Closing, DefinitionStore, agreement, bytes, identity};
use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint, to_integer};
use crate::runs::PAGE;

/// One entry of the history. It holds no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its number; later entries have higher ones.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// By which run.
    pub run: RunId,
    /// The write, where there was one.
    pub effect: Option<EffectId>,
    /// What was done.
    pub kind: Happening,
    /// `applied`, `quarantined`, `released` or `adopted`.
    pub outcome: String,
    /// Why; `None` for entries from before that was kept.
    pub cause: Option<Cause>,
    /// The item's number.
    pub item: Option<String>,
    /// The item's guid.
    pub guid: Option<Uuid>,
    /// The item's counter before.
    pub before: Option<u64>,
    /// The item's counter after.
    pub after: Option<u64>,
    /// What the ledger held before; `None` where it held nothing, or that was not kept yet.
    pub was: Option<Stood>,
    /// What it held afterwards; `None` where nothing changed in it.
    pub stands: Option<Stood>,
    /// The ledger row's version afterwards.
    pub row_version: Option<u64>,
    /// How new the source state was.
    pub mark: Option<Mark>,
    /// Whether values were kept with it.
    pub has_values: bool,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}

/// Values that were kept with an entry, opened. Named by the side that was written: list columns or table columns.
#[derive(Clone, Default, PartialEq)]
pub struct ValuesOf {
    /// What was sent.
    pub sent: Fields,
    /// What was there before, as far as it was seen.
    pub before: Fields,
}

impl std::fmt::Debug for ValuesOf {
    // Values never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ValuesOf({} sent, {} before)",
            self.sent.len(),
            self.before.len()
        )
    }
}

/// Which entries are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// Older than this number; from the newest on where absent.
    pub before: Option<u64>,
    /// Not newer than this.
    pub until: Option<DateTime<Utc>>,
    /// How many; at most 500 are answered.
    pub limit: u32,
}

impl HistoryPage {
    /// The newest entries.
    #[must_use]
    pub fn newest(limit: u32) -> Self {
        Self {
            before: None,
            until: None,
            limit,
        }
    }
}

const ENTRY: &str =
    "history_id, at, run_id, effect_id, kind, outcome, cause, item_id, item_guid, before_counter,
        after_counter, before_agreed, before_layout, before_state, agreed, layout, state, row_version,
        mark_generation, mark_lsn, request_id, sealed_sent IS NOT NULL";

impl DefinitionStore {
    /// Moves effects into the history and answers which were there. An effect answers to the identity it was
    /// recorded under as to the one it is held under since; the row it leaves behind is of the latter.
    ///
    /// The ledger is read as it is before the settlement writes it.
    pub(super) async fn close_batch(
        &self,
        tx: &mut PgConnection,
        batch: &[Closing<'_>],
    ) -> Result<Vec<Closed>> {
        let rows = || batch.iter().map(|closing| closing.row);
        let after = rows()
            .map(|row| {
                row.map(|row| to_bigint("item counter", row.version.counter))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let generations = rows()
            .map(|row| {
                row.map(|row| to_integer("mark generation", row.mark.generation))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let lsns = rows()
            .map(|row| {
                row.map(|row| to_bigint("mark position", row.mark.lsn.0))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let closed = sqlx::query(
            "WITH closing AS (
                 SELECT * FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                                      $8::uuid[], $9::bigint[], $10::bytea[], $11::bigint[], $12::bytea[],
                                      $13::integer[], $14::bigint[], $15::smallint[])
                     AS c(effect_id, identity, outcome, request_id, run_id, item_id, item_guid, after_counter,
                          agreed, layout, row_identity, mark_generation, mark_lsn, state)
             ), closed AS (
                 DELETE FROM effects e USING closing c
                 WHERE e.effect_id = ANY($2) AND e.effect_id = c.effect_id
                   AND (e.identity = c.identity OR e.old_identity = c.identity)
                   AND e.identity = coalesce(c.row_identity, e.identity)
                   AND e.definition_id IS NOT DISTINCT FROM $1
                 RETURNING e.effect_id, e.workspace_id, e.kind, e.before_counter, e.old_identity,
                           CASE WHEN c.outcome = 'applied' THEN e.source_xid END AS source_xid,
                           coalesce(c.row_identity, c.identity) AS identity, c.outcome, c.request_id, c.run_id,
                           c.after_counter, c.agreed, c.layout, c.mark_generation, c.mark_lsn, c.state, e.cause,
                           coalesce(c.item_id, e.item_id) AS item_id,
                           coalesce(c.item_guid, e.item_guid) AS item_guid,
                           CASE WHEN $16 THEN e.sealed_sent END AS sealed_sent,
                           CASE WHEN $16 THEN e.sealed_before END AS sealed_before,
                           coalesce(e.old_identity, e.identity) AS sealed_for
             ), remembered AS (
                 INSERT INTO ledger_history
                     (workspace_id, definition_id, identity, run_id, effect_id, kind, outcome, cause, item_id,
                      item_guid, before_counter, after_counter, before_agreed, before_layout, before_state, agreed,
                      layout, state, row_version, mark_generation, mark_lsn, sealed_sent, sealed_before, sealed_for,
                      request_id, source_xid)
                 SELECT c.workspace_id, $1, c.identity, c.run_id, c.effect_id, c.kind, c.outcome, c.cause, c.item_id,
                        c.item_guid, c.before_counter, c.after_counter, b.agreed, b.layout, b.state, c.agreed,
                        c.layout, c.state, CASE WHEN c.agreed IS NOT NULL THEN coalesce(b.row_version, 0) + 1 END,
                        c.mark_generation, c.mark_lsn, c.sealed_sent, c.sealed_before,
                        nullif(c.sealed_for, c.identity), left(c.request_id, 200), c.source_xid
                 FROM closed c
                 LEFT JOIN LATERAL (SELECT l.agreed, l.layout, l.state, l.row_version FROM ledger l
                                    WHERE c.agreed IS NOT NULL AND l.definition_id = $1
                                      AND l.identity = c.identity OFFSET 0) b ON true
             )
             SELECT effect_id, old_identity FROM closed",
        )
        .bind(self.definition.uuid())
        .bind(batch.iter().map(|c| c.effect.uuid()).collect::<Vec<_>>())
        .bind(bytes(batch.iter().map(|c| &c.identity)))
        .bind(batch.iter().map(|c| c.outcome).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.request_id).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.run.uuid()).collect::<Vec<_>>())
        .bind(rows().map(|row| row.map(|row| row.item.0.as_str())).collect::<Vec<_>>())
        .bind(rows().map(|row| row.map(|row| row.version.guid)).collect::<Vec<_>>())
        .bind(after)
        .bind(rows().map(|row| row.map(|row| row.agreed.as_slice())).collect::<Vec<_>>())
        .bind(rows().map(|row| row.map(|row| i64::from(row.layout.0))).collect::<Vec<_>>())
        .bind(
            rows()
                .map(|row| row.map(|row| row.identity.as_bytes().as_slice()))
                .collect::<Vec<_>>(),
        )
        .bind(generations)
        .bind(lsns)
        .bind(rows().map(|row| row.map(|row| row.state.code())).collect::<Vec<_>>())
        .bind(self.keeps_values)
        .fetch_all(&mut *tx)
        .await?;
        closed
            .iter()
            .map(|row| {
                let recorded: Option<&[u8]> = row.try_get(1)?;
                Ok(Closed {
                    effect: row.try_get(0)?,
                    recorded_under: recorded.map(identity).transpose()?,
                })
            })
            .collect()
    }

    /// Values that were kept with an entry; `None` where none were.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn history_values(&self, whose: Identity, number: u64) -> Result<Option<ValuesOf>> {
        self.timed(async {
            let row = sqlx::query(
                "SELECT sealed_sent, sealed_before, sealed_for FROM ledger_history
                 WHERE definition_id = $1 AND identity = $2 AND history_id = $3 AND sealed_sent IS NOT NULL",
            )
            .bind(self.definition.uuid())
            .bind(whose.as_bytes().as_slice())
            .bind(to_bigint("history number", number)?)
            .fetch_optional(&mut *self.store.acquire().await?)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let sealed_for: Option<&[u8]> = row.try_get(2)?;
            let sealed_for = sealed_for.map(identity).transpose()?.unwrap_or(whose);
            // They are sealed as they were with the effect, from where they came.
            let open = |column, sealed| self.open_kept(column, sealed_for, sealed);
            Ok(Some(ValuesOf {
                sent: open("effects.sealed_sent", row.try_get(0)?)?,
                before: open("effects.sealed_before", row.try_get(1)?)?,
            }))
        })
        .await
    }

    /// Opens values that an entry kept; none were kept where nothing is sealed.
    pub(super) fn open_kept(
        &self,
        column: &'static str,
        whose: Identity,
        sealed: Option<&[u8]>,
    ) -> Result<Fields> {
        match sealed {
            Some(sealed) => self.unseal(
                "the values of a history entry",
                &self.place(column, whose),
                sealed,
            ),
            None => Ok(Fields::new()),
        }
    }

    /// Lets entries go that are older than this, oldest partition first and at most so many; answers how many went.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn forget_history(&self, fence: Fence, older_than: Duration, most: u32) -> Result<u64> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            sqlx::query("SELECT set_config('syncbridge.history', 'retention', true)")
                .execute(&mut *tx)
                .await?;
            let gone = sqlx::query(
                "DELETE FROM ledger_history h
                 USING (SELECT history_id, at FROM ledger_history
                        WHERE definition_id = $1 AND at < now() - $2 * interval '1 second'
                        ORDER BY at LIMIT $3) old
                 WHERE h.history_id = old.history_id AND h.at = old.at",
            )
            .bind(self.definition.uuid())
            .bind(older_than.as_secs_f64())
            .bind(i64::from(most))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(gone.rows_affected())
        })
        .await
    }
}

/// The history of an identity, newest first.
///
/// # Errors
/// As any statement.
pub async fn history(
    connection: &mut PgConnection,
    definition: DefinitionId,
    identity: Identity,
    page: HistoryPage,
) -> Result<Vec<HistoryEntry>> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT {ENTRY} FROM ledger_history
         WHERE definition_id = $1 AND identity = $2 AND ($3::bigint IS NULL OR history_id < $3)
           AND ($4::timestamptz IS NULL OR at <= $4)
         ORDER BY history_id DESC LIMIT $5"
    )))
    .bind(definition.uuid())
    .bind(identity.as_bytes().as_slice())
    .bind(
        page.before
            .map(|number| to_bigint("history number", number))
            .transpose()?,
    )
    .bind(page.until)
    .bind(i64::from(page.limit.min(PAGE)))
    .fetch_all(connection)
    .await?;
    rows.iter().map(entry).collect()
}

/// The two entries that tell how an identity stood at a time: the last that changed what was agreed on until then, and
/// the first after it.
///
/// # Errors
/// As any statement.
pub async fn state_at(
    connection: &mut PgConnection,
    definition: DefinitionId,
    identity: Identity,
    at: DateTime<Utc>,
) -> Result<(Option<HistoryEntry>, Option<HistoryEntry>)> {
    let rows = sqlx::query(AssertSqlSafe(format!(
        "(SELECT {ENTRY} FROM ledger_history
          WHERE definition_id = $1 AND identity = $2 AND agreed IS NOT NULL AND at <= $3
          ORDER BY history_id DESC LIMIT 1)
         UNION ALL
         (SELECT {ENTRY} FROM ledger_history
          WHERE definition_id = $1 AND identity = $2 AND agreed IS NOT NULL AND at > $3
          ORDER BY history_id LIMIT 1)"
    )))
    .bind(definition.uuid())
    .bind(identity.as_bytes().as_slice())
    .bind(at)
    .fetch_all(connection)
    .await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>>>()?;
    let (until, after): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.at <= at);
    Ok((until.into_iter().next(), after.into_iter().next()))
}

fn entry(row: &PgRow) -> Result<HistoryEntry> {
    let damaged = || Error::Damaged {
        what: "history entry",
    };
    let number = |at: usize, what| {
        row.try_get::<Option<i64>, _>(at)?
            .map(|number| from_bigint(what, number))
            .transpose()
    };
    let mark = match (row.try_get(18)?, row.try_get(19)?) {
        (Some(generation), Some(lsn)) => Some(agreement::mark(generation, lsn)?),
        _ => None,
    };
    Ok(HistoryEntry {
        number: from_bigint("history number", row.try_get(0)?)?,
        at: row.try_get(1)?,
        run: RunId::from_uuid(row.try_get(2)?),
        effect: row.try_get::<Option<Uuid>, _>(3)?.map(EffectId::from_uuid),
        kind: Happening::parse(row.try_get(4)?).ok_or_else(damaged)?,
        outcome: row.try_get(5)?,
        cause: row.try_get::<Option<Json<Cause>>, _>(6)?.map(|cause| cause.0),
        item: row.try_get(7)?,
        guid: row.try_get(8)?,
        before: number(9, "item counter")?,
        after: number(10, "item counter")?,
        was: stood(row, 11)?,
        stands: stood(row, 14)?,
        row_version: number(17, "row version")?,
        mark,
        request_id: row.try_get(20)?,
        has_values: row.try_get(21)?,
    })
}
