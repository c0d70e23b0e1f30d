//! A plan on its way: which rows it speaks of already, what it holds in the end, and what became of its changes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::postgres::PgRow;
use sqlx::types::Json as Document;
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::conflict::Side;
use syncbridge_domain::effect::{EffectKind, Fence};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::{HashKey, Identity};
use syncbridge_domain::ids::{DefinitionId, PlanId};
use syncbridge_domain::plan_remark::{ForeignEdit, PlanRemark, RemarkKind};
use syncbridge_domain::quota::Ru;
use syncbridge_domain::saved_plan::{ChangeState, PlanCounts, PlanHash, PlanHasher};

use super::{BATCH, DefinitionStore, bytes, identity, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint};

/// Changes read at once.
const PAGE: u32 = 1_000;

/// How the changes of a plan stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanTally {
    /// Not tried yet.
    pub waiting: u64,
    /// Made.
    pub applied: u64,
    /// Not made, because what they rest on had changed.
    pub outdated: u64,
    /// Refused by the other side.
    pub refused: u64,
}

impl DefinitionStore {
    /// How many changes a plan holds for each of these identities; those without any are left out.
    ///
    /// # Errors
    /// As any statement.
    pub async fn planned_counts(&self, plan: PlanId, ids: &[Identity]) -> Result<Vec<(Identity, u64)>> {
        self.timed(async {
            let mut counts = Vec::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let rows = sqlx::query(
                    "SELECT identity, count(*) FROM plan_rows WHERE plan_id = $1 AND identity = ANY($2)
                     GROUP BY identity",
                )
                .bind(plan.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for row in &rows {
                    counts.push((
                        identity(row.try_get(0)?)?,
                        from_bigint("planned changes", row.try_get(1)?)?,
                    ));
                }
            }
            Ok(counts)
        })
        .await
    }

    /// Notes edits on the side that does not own their fields. Values are sealed.
    ///
    /// # Errors
    /// As any statement.
    pub async fn note_foreign(&self, plan: PlanId, edits: &[ForeignEdit]) -> Result<()> {
        self.timed(async {
            for batch in edits.chunks(BATCH) {
                let each = || batch.iter();
                let sealed = |side, value: fn(&ForeignEdit) -> &Json| {
                    each()
                        .map(|edit| {
                            self.seal(&self.value_place(side, edit.identity, &edit.column), value(edit))
                        })
                        .collect::<Result<Vec<_>>>()
                };
                sqlx::query(
                    "INSERT INTO plan_remarks (plan_id, kind, identity, key, column_name, sealed_source,
                                               sealed_target, since)
                     SELECT $1, 'foreign', f.*, clock_timestamp()
                     FROM unnest($2::bytea[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[])
                          AS f(identity, key, column_name, source, target)
                     ON CONFLICT DO NOTHING",
                )
                .bind(plan.uuid())
                .bind(bytes(each().map(|edit| &edit.identity)))
                .bind(each().map(|edit| edit.key.as_bytes()).collect::<Vec<_>>())
                .bind(each().map(|edit| edit.column.as_str()).collect::<Vec<_>>())
                .bind(sealed(Side::Source, |edit| &edit.source)?)
                .bind(sealed(Side::Target, |edit| &edit.target)?)
                .execute(&mut *self.store.acquire().await?)
                .await?;
            }
            Ok(())
        })
        .await
    }

    /// Completes a plan whose changes and remarks are all there: counts and hashes them, change by change, and opens
    /// it. Answers what it holds.
    ///
    /// # Errors
    /// [`Error::Plan`] where it is complete already; [`Error::NotFound`].
    pub async fn complete_plan(
        &self,
        plan: PlanId,
        hash_key: &HashKey,
        predicted: Ru,
        beyond_guard: bool,
        lasts: Duration,
    ) -> Result<PlanCounts> {
        let mut counts = PlanCounts {
            beyond_guard,
            ..self.remark_counts(plan).await?
        };
        let hash = self.hash_planned(plan, hash_key, |kind| counts.add(kind)).await?;
        self.open_plan(plan, hash, &counts, predicted, lasts).await?;
        Ok(counts)
    }

    /// Whether a plan still holds the very changes by whose hash it is known.
    ///
    /// # Errors
    /// As any statement.
    pub async fn is_as_hashed(&self, plan: PlanId, hash_key: &HashKey, known: PlanHash) -> Result<bool> {
        Ok(self.hash_planned(plan, hash_key, |_| ()).await? == known)
    }

    /// Hashes the changes of a plan one by one.
    async fn hash_planned(
        &self,
        plan: PlanId,
        hash_key: &HashKey,
        mut each: impl FnMut(EffectKind) + Send,
    ) -> Result<PlanHash> {
        let mut hasher = PlanHasher::new(hash_key);
        let mut after: Option<(Identity, u16)> = None;
        loop {
            let page = self.planned(plan, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.change.identity, last.change.ordinal));
            for one in &page {
                each(one.change.kind);
                hasher.push(&one.change);
            }
        }
        Ok(hasher.finish())
    }

    /// Gives a plan up that could not be completed.
    ///
    /// # Errors
    /// As any statement.
    pub async fn abandon_plan(&self, plan: PlanId) -> Result<()> {
        self.timed(async {
            sqlx::query(
                "UPDATE plans SET state = 'discarded'
                 WHERE plan_id = $1 AND definition_id = $2 AND state = 'building'",
            )
            .bind(plan.uuid())
            .bind(self.definition.uuid())
            .execute(&mut *self.store.acquire().await?)
            .await?;
            Ok(())
        })
        .await
    }

    async fn remark_counts(&self, plan: PlanId) -> Result<PlanCounts> {
        self.timed(async {
            let rows =
                sqlx::query("SELECT kind, count(*) FROM plan_remarks WHERE plan_id = $1 GROUP BY kind")
                    .bind(plan.uuid())
                    .fetch_all(&mut *self.store.acquire().await?)
                    .await?;
            let mut counts = PlanCounts::default();
            for row in &rows {
                let number = from_bigint("remarks", row.try_get(1)?)?;
                match kind(row.try_get(0)?)? {
                    RemarkKind::Conflict => counts.conflicts = number,
                    RemarkKind::Foreign => counts.foreign = number,
                    RemarkKind::Overridden => counts.overridden = number,
                    RemarkKind::Refused => counts.refused = number,
                    RemarkKind::Waiting => counts.waiting = number,
                }
            }
            Ok(counts)
        })
        .await
    }

    /// Says of every change of a plan that ran to its end what became of it, by the history of all runs of this plan:
    /// what was killed between a write and here is found all the same. Answers how they stand.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn conclude_plan(&self, fence: Fence, plan: PlanId) -> Result<PlanTally> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            // Neither table was counted since it filled: the planner would compare each change with each entry.
            sqlx::query("SET LOCAL enable_nestloop = off")
                .execute(&mut *tx)
                .await?;
            // An insert is held under its row's identity once that is known, and the item's stamp too: both are known
            // by the item they belong to.
            sqlx::query(
                "WITH made AS (
                     SELECT h.identity, h.item_guid, h.kind, bool_or(h.outcome = 'applied') AS applied
                     FROM ledger_history h
                     JOIN runs r ON r.run_id = h.run_id
                     WHERE h.definition_id = $1 AND r.definition_id = $1
                       AND r.spec -> 'options' ->> 'plan' = $3 AND h.outcome IN ('applied', 'quarantined')
                     GROUP BY h.identity, h.item_guid, h.kind
                 ), matched AS (
                     SELECT p.identity, p.ordinal, m.applied
                     FROM plan_rows p JOIN made m ON m.kind = p.kind AND m.identity = p.identity
                     WHERE p.plan_id = $2 AND p.state = 'waiting'
                     UNION ALL
                     SELECT p.identity, p.ordinal, m.applied
                     FROM plan_rows p JOIN made m ON m.kind = p.kind AND m.item_guid = p.item_guid
                     WHERE p.plan_id = $2 AND p.state = 'waiting'
                 ), judged AS (
                     SELECT p.identity, p.ordinal, bool_or(m.applied) AS applied
                     FROM plan_rows p
                     LEFT JOIN matched m ON m.identity = p.identity AND m.ordinal = p.ordinal
                     WHERE p.plan_id = $2 AND p.state = 'waiting'
                     GROUP BY p.identity, p.ordinal
                 )
                 UPDATE plan_rows p
                 SET state = CASE j.applied WHEN true THEN 'applied' WHEN false THEN 'refused' ELSE 'outdated' END
                 FROM judged j
                 WHERE p.plan_id = $2 AND p.identity = j.identity AND p.ordinal = j.ordinal",
            )
            .bind(self.definition.uuid())
            .bind(plan.uuid())
            .bind(plan.to_string())
            .execute(&mut *tx)
            .await?;
            let tally = tally(&mut tx, plan).await?;
            tx.commit().await?;
            Ok(tally)
        })
        .await
    }

    /// Remarks of a plan behind this number, at most `limit`, values opened. For endpoints that may show values.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn plan_remarks(&self, plan: PlanId, after: u64, limit: u32) -> Result<Vec<PlanRemark>> {
        self.timed(async {
            let rows = sqlx::query(
                "SELECT number, kind, identity, key, column_name, failure, sealed_source, sealed_target, winner, since
                 FROM plan_remarks
                 WHERE plan_id = (SELECT plan_id FROM plans WHERE plan_id = $1 AND definition_id = $4)
                   AND number > $2
                 ORDER BY number LIMIT $3",
            )
            .bind(plan.uuid())
            .bind(to_bigint("remark", after)?)
            .bind(i64::from(limit))
            .bind(self.definition.uuid())
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter().map(|row| self.read_remark(row)).collect()
        })
        .await
    }

    fn read_remark(&self, row: &PgRow) -> Result<PlanRemark> {
        let identity = identity(row.try_get(2)?)?;
        let column: Option<String> = row.try_get(4)?;
        let sealed: (Option<&[u8]>, Option<&[u8]>) = (row.try_get(6)?, row.try_get(7)?);
        let open = |side, sealed: &[u8]| -> Result<Json> {
            let place = self.value_place(side, identity, column.as_deref().unwrap_or_default());
            self.unseal("the values of a plan", &place, sealed)
        };
        let values = match sealed {
            (Some(source), Some(target)) => Some((open(Side::Source, source)?, open(Side::Target, target)?)),
            _ => None,
        };
        Ok(PlanRemark {
            number: from_bigint("remark", row.try_get(0)?)?,
            kind: kind(row.try_get(1)?)?,
            identity,
            key: row.try_get::<Option<Vec<u8>>, _>(3)?.map(key).transpose()?,
            failure: row
                .try_get::<Option<Document<Failure>>, _>(5)?
                .map(|failure| failure.0),
            values,
            winner: row
                .try_get::<Option<&str>, _>(8)?
                .map(|name| Side::parse(name).ok_or(Error::Damaged { what: "remark" }))
                .transpose()?,
            since: row.try_get::<DateTime<Utc>, _>(9)?,
            column,
        })
    }
}

/// How the changes of a plan stand.
///
/// # Errors
/// As any statement.
pub async fn tally(connection: &mut PgConnection, plan: PlanId) -> Result<PlanTally> {
    let rows = sqlx::query("SELECT state, count(*) FROM plan_rows WHERE plan_id = $1 GROUP BY state")
        .bind(plan.uuid())
        .fetch_all(connection)
        .await?;
    let mut tally = PlanTally::default();
    for row in &rows {
        let number = from_bigint("planned changes", row.try_get(1)?)?;
        let state = ChangeState::parse(row.try_get(0)?).ok_or(Error::Damaged {
            what: "planned change",
        })?;
        match state {
            ChangeState::Waiting => tally.waiting = number,
            ChangeState::Applied => tally.applied = number,
            ChangeState::Outdated => tally.outdated = number,
            ChangeState::Refused => tally.refused = number,
        }
    }
    Ok(tally)
}

/// Which plan of a definition is still to be gone on with: one that a run began and did not end.
///
/// # Errors
/// As any statement.
pub async fn plan_was_begun(
    connection: &mut PgConnection,
    definition: DefinitionId,
    plan: PlanId,
) -> Result<bool> {
    let begun: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM runs WHERE definition_id = $1 AND spec -> 'options' ->> 'plan' = $2
                        AND kind NOT IN ('plan', 'verify') AND started_at IS NOT NULL)",
    )
    .bind(definition.uuid())
    .bind(plan.to_string())
    .fetch_one(connection)
    .await?;
    Ok(begun)
}

fn kind(name: &str) -> Result<RemarkKind> {
    RemarkKind::parse(name).ok_or(Error::Damaged { what: "remark" })
}
