//! Saved plans: worked out in batches, known by a hash once complete, approved by people, and run change by change.
//!
//! Working one out takes no lease: nothing that was agreed on is touched. Running one does.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::agreed::RowDigest;
use syncbridge_domain::effect::{EffectKind, Fence};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, PlanId, RevisionId, RunId, WorkspaceId};
use syncbridge_domain::quota::Ru;
use syncbridge_domain::saved_plan::{
    Approval, ChangeState, PlanCounts, PlanHash, PlanHeader, PlanRefusal, PlanState, PlanVerdict,
    PlannedChange, PlannedField,
};
use syncbridge_secrets::Place;

use super::{BATCH, DefinitionStore, bytes, identity, item_link, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, from_integer, to_bigint};
use crate::runs::PAGE;

/// A plan that is about to be worked out.
#[derive(Clone, Copy, Debug)]
pub struct NewPlan<'a> {
    /// Its id.
    pub id: PlanId,
    /// The definition's revision it is worked out for.
    pub revision: RevisionId,
    /// The run that works it out.
    pub run: RunId,
    /// Who asked for it.
    pub requested_by: &'a str,
}

/// A change of a plan, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanChange {
    /// What is planned, with values opened.
    pub change: PlannedChange,
    /// What became of it.
    pub state: ChangeState,
}

/// Somebody's word on a plan, as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenApproval {
    /// Whose word, and which.
    pub approval: Approval,
    /// When.
    pub at: DateTime<Utc>,
}

const CHANGE: &str =
    "identity, ordinal, key, kind, item_id, item_guid, before_counter, row_version, digest, columns,
        sealed_values, state";

impl DefinitionStore {
    /// Begins a plan for the definition's present generation.
    ///
    /// # Errors
    /// As any statement.
    pub async fn begin_plan(&self, new: NewPlan<'_>) -> Result<()> {
        self.timed(async {
            sqlx::query(
                "INSERT INTO plans (plan_id, workspace_id, definition_id, revision_id, run_id, generation, state,
                                    counts, created_by)
                 VALUES ($1, $2, $3, $4, $5, (SELECT generation FROM definitions WHERE definition_id = $3),
                         'building', $6, $7)",
            )
            .bind(new.id.uuid())
            .bind(self.workspace.uuid())
            .bind(self.definition.uuid())
            .bind(new.revision.uuid())
            .bind(new.run.uuid())
            .bind(Json(PlanCounts::default()))
            .bind(new.requested_by)
            .execute(&mut *self.store.acquire().await?)
            .await?;
            Ok(())
        })
        .await
    }

    /// Adds changes to a plan that is being worked out. Values are sealed.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan is complete; [`Error::NotFound`].
    pub async fn add_planned(&self, plan: PlanId, changes: &[PlannedChange]) -> Result<()> {
        self.timed(async {
            let mut tx = self.store.begin().await?;
            let header = locked(&mut tx, plan, Some(self.definition)).await?;
            only_building(&header)?;
            for batch in changes.chunks(BATCH) {
                self.add_batch(&mut tx, plan, batch).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn add_batch(&self, tx: &mut PgConnection, plan: PlanId, batch: &[PlannedChange]) -> Result<()> {
        let each = || batch.iter();
        let sealed = each()
            .map(|change| {
                let values: Vec<(&Value, &Value)> = change
                    .fields
                    .iter()
                    .map(|field| (&field.before, &field.after))
                    .collect();
                self.seal(&self.plan_place(plan, change.identity, change.ordinal), &values)
            })
            .collect::<Result<Vec<_>>>()?;
        // Arrays of arrays of several lengths do not travel.
        let columns: Vec<Json<Vec<&str>>> = each()
            .map(|change| Json(change.fields.iter().map(|field| field.column.as_str()).collect()))
            .collect();
        let counters = each()
            .map(|change| {
                let item = change.item.as_ref();
                item.map(|item| to_bigint("item counter", item.before.counter))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let row_versions = each()
            .map(|change| {
                change
                    .row_version
                    .map(|version| to_bigint("row version", version))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        sqlx::query(
            "INSERT INTO plan_rows (plan_id, identity, ordinal, kind, key, item_id, item_guid, before_counter,
                                    row_version, digest, sealed_values, columns, state)
             SELECT $1, p.identity, p.ordinal, p.kind, p.key, p.item_id, p.item_guid, p.before_counter,
                    p.row_version, p.digest, p.sealed, ARRAY(SELECT jsonb_array_elements_text(p.columns)), 'waiting'
             FROM unnest($2::bytea[], $3::smallint[], $4::text[], $5::bytea[], $6::text[], $7::uuid[], $8::bigint[],
                         $9::bigint[], $10::bytea[], $11::bytea[], $12::jsonb[])
                  AS p(identity, ordinal, kind, key, item_id, item_guid, before_counter, row_version, digest,
                       sealed, columns)",
        )
        .bind(plan.uuid())
        .bind(bytes(each().map(|change| &change.identity)))
        .bind(each().map(|change| to_smallint(change.ordinal)).collect::<Result<Vec<_>>>()?)
        .bind(each().map(|change| change.kind.name()).collect::<Vec<_>>())
        .bind(each().map(|change| change.key.as_bytes()).collect::<Vec<_>>())
        .bind(each().map(|c| c.item.as_ref().map(|item| item.id.0.as_str())).collect::<Vec<_>>())
        .bind(each().map(|c| c.item.as_ref().map(|item| item.before.guid)).collect::<Vec<_>>())
        .bind(counters)
        .bind(row_versions)
        .bind(each().map(|c| c.digest.as_ref().map(|digest| digest.0.as_slice())).collect::<Vec<_>>())
        .bind(sealed)
        .bind(columns)
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// Completes a plan: from here on it is known by its hash and may be judged and run, as long as `lasts`.
    ///
    /// # Errors
    /// [`Error::Plan`] where it is complete already; [`Error::NotFound`].
    pub async fn open_plan(
        &self,
        plan: PlanId,
        hash: PlanHash,
        counts: &PlanCounts,
        predicted: Ru,
        lasts: Duration,
    ) -> Result<()> {
        self.timed(async {
            let mut tx = self.store.begin().await?;
            let header = locked(&mut tx, plan, Some(self.definition)).await?;
            only_building(&header)?;
            sqlx::query(
                "UPDATE plans SET state = 'open', hash = $2, counts = $3, predicted_ru = $4,
                        expires_at = clock_timestamp() + $5 * interval '1 second'
                 WHERE plan_id = $1",
            )
            .bind(plan.uuid())
            .bind(hash.0.as_slice())
            .bind(Json(counts))
            .bind(to_bigint("resource units", predicted.0)?)
            .bind(lasts.as_secs_f64())
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Changes of a plan behind `after` in the order of (identity, ordinal), in which they are hashed, at most
    /// `limit`; values opened. For runs, and endpoints that may show values.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn planned(
        &self,
        plan: PlanId,
        after: Option<(Identity, u16)>,
        limit: u32,
    ) -> Result<Vec<PlanChange>> {
        self.timed(async {
            let sql = format!(
                "SELECT {CHANGE} FROM plan_rows
                 WHERE plan_id = (SELECT plan_id FROM plans WHERE plan_id = $1 AND definition_id = $5)
                   AND ($2::bytea IS NULL OR (identity, ordinal) > ($2, $3))
                 ORDER BY identity, ordinal LIMIT $4"
            );
            let rows = sqlx::query(AssertSqlSafe(sql))
                .bind(plan.uuid())
                .bind(after.as_ref().map(|(identity, _)| identity.as_bytes().as_slice()))
                .bind(after.map(|(_, ordinal)| to_smallint(ordinal)).transpose()?)
                .bind(i64::from(limit))
                .bind(self.definition.uuid())
                .fetch_all(&mut *self.store.acquire().await?)
                .await?;
            rows.iter().map(|row| self.read_change(plan, row)).collect()
        })
        .await
    }

    /// Changes that a plan holds for these identities, in no order.
    ///
    /// # Errors
    /// [`Error::Open`] for values that do not open.
    pub async fn planned_of(&self, plan: PlanId, ids: &[Identity]) -> Result<Vec<PlanChange>> {
        self.timed(async {
            let mut changes = Vec::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let sql = format!(
                    "SELECT {CHANGE} FROM plan_rows
                     WHERE plan_id = (SELECT plan_id FROM plans WHERE plan_id = $1 AND definition_id = $3)
                       AND identity = ANY($2)"
                );
                let rows = sqlx::query(AssertSqlSafe(sql))
                    .bind(plan.uuid())
                    .bind(bytes(batch))
                    .bind(self.definition.uuid())
                    .fetch_all(&mut *connection)
                    .await?;
                for row in &rows {
                    changes.push(self.read_change(plan, row)?);
                }
            }
            Ok(changes)
        })
        .await
    }

    /// Notes what became of changes of a plan that runs.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn mark_planned(
        &self,
        fence: Fence,
        plan: PlanId,
        changes: &[(Identity, u16, ChangeState)],
    ) -> Result<()> {
        self.timed(async {
            if changes.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            for batch in changes.chunks(BATCH) {
                let ordinals = batch.iter().map(|(_, ordinal, _)| to_smallint(*ordinal));
                sqlx::query(
                    "UPDATE plan_rows p SET state = c.state
                     FROM unnest($2::bytea[], $3::smallint[], $4::text[]) AS c(identity, ordinal, state)
                     WHERE p.plan_id = (SELECT plan_id FROM plans WHERE plan_id = $1 AND definition_id = $5)
                       AND p.identity = c.identity AND p.ordinal = c.ordinal",
                )
                .bind(plan.uuid())
                .bind(bytes(batch.iter().map(|(identity, _, _)| identity)))
                .bind(ordinals.collect::<Result<Vec<_>>>()?)
                .bind(batch.iter().map(|(_, _, state)| state.name()).collect::<Vec<_>>())
                .bind(self.definition.uuid())
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// A plan was run to its end.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::Plan`] where it is neither open nor approved; [`Error::NotFound`].
    pub async fn finish_plan(&self, fence: Fence, plan: PlanId) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let header = locked(&mut tx, plan, Some(self.definition)).await?;
            // One that ran past its time ran all the same.
            if !matches!(
                header.state,
                PlanState::Open | PlanState::Approved | PlanState::Expired
            ) {
                return Err(refused(&header, PlanRefusal::State(header.state)));
            }
            set_state(&mut tx, plan, PlanState::Applied).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    fn plan_place(&self, plan: PlanId, identity: Identity, ordinal: u16) -> Place {
        self.place("plan_rows.sealed_values", identity)
            .with(plan.uuid().as_bytes())
            .with(ordinal.to_be_bytes())
    }

    fn read_change(&self, plan: PlanId, row: &PgRow) -> Result<PlanChange> {
        let damaged = || Error::Damaged {
            what: "planned change",
        };
        let identity = identity(row.try_get(0)?)?;
        let ordinal = u16::try_from(row.try_get::<i16, _>(1)?).map_err(|_| damaged())?;
        let item = item_link(row, 4)?;
        let columns: Vec<String> = row.try_get(9)?;
        let sealed: &[u8] = row.try_get(10)?;
        let place = self.plan_place(plan, identity, ordinal);
        let values: Vec<(Value, Value)> = self.unseal("the values of a plan", &place, sealed)?;
        if columns.len() != values.len() {
            return Err(damaged());
        }
        let fields = columns.into_iter().zip(values);
        Ok(PlanChange {
            change: PlannedChange {
                identity,
                ordinal,
                key: key(row.try_get(2)?)?,
                kind: EffectKind::parse(row.try_get(3)?).ok_or_else(damaged)?,
                item,
                row_version: row
                    .try_get::<Option<i64>, _>(7)?
                    .map(|version| from_bigint("row version", version))
                    .transpose()?,
                digest: row
                    .try_get::<Option<&[u8]>, _>(8)?
                    .map(|digest| digest.try_into().map(RowDigest).map_err(|_| damaged()))
                    .transpose()?,
                fields: fields
                    .map(|(column, (before, after))| PlannedField {
                        column,
                        before,
                        after,
                    })
                    .collect(),
            },
            state: ChangeState::parse(row.try_get(11)?).ok_or_else(damaged)?,
        })
    }
}

/// A plan that is past its time is expired, whether somebody noted that or not.
const HEADER: &str = "plan_id, definition_id, revision_id, run_id, generation,
        CASE WHEN state IN ('open', 'approved') AND expires_at <= clock_timestamp() THEN 'expired' ELSE state END,
        hash, counts, predicted_ru, created_by, created_at, expires_at";

fn read_header(row: &PgRow) -> Result<PlanHeader> {
    let damaged = || Error::Damaged { what: "plan" };
    Ok(PlanHeader {
        id: PlanId::from_uuid(row.try_get(0)?),
        definition: DefinitionId::from_uuid(row.try_get(1)?),
        revision: RevisionId::from_uuid(row.try_get(2)?),
        run: RunId::from_uuid(row.try_get(3)?),
        generation: from_integer("generation", row.try_get(4)?)?,
        state: PlanState::parse(row.try_get(5)?).ok_or_else(damaged)?,
        hash: row
            .try_get::<Option<&[u8]>, _>(6)?
            .map(|hash| hash.try_into().map(PlanHash).map_err(|_| damaged()))
            .transpose()?,
        counts: row.try_get::<Json<PlanCounts>, _>(7)?.0,
        predicted_ru: row
            .try_get::<Option<i64>, _>(8)?
            .map(|ru| from_bigint("resource units", ru).map(Ru))
            .transpose()?,
        requested_by: row.try_get(9)?,
        created: row.try_get(10)?,
        expires: row.try_get(11)?,
    })
}

/// A plan without its changes.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn plan(connection: &mut PgConnection, workspace: WorkspaceId, id: PlanId) -> Result<PlanHeader> {
    let sql = format!("SELECT {HEADER} FROM plans WHERE plan_id = $1 AND workspace_id = $2");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.uuid())
        .bind(workspace.uuid())
        .fetch_optional(connection)
        .await?;
    read_header(&row.ok_or_else(|| not_found(id))?)
}

/// Plans of a definition older than `before`, newest first, at most 500.
///
/// # Errors
/// As any statement.
pub async fn list_plans(
    connection: &mut PgConnection,
    definition: DefinitionId,
    before: Option<PlanId>,
    limit: u32,
) -> Result<Vec<PlanHeader>> {
    let sql = format!(
        "SELECT {HEADER} FROM plans
         WHERE definition_id = $1
           AND ($2::uuid IS NULL
                OR (created_at, plan_id) < (SELECT created_at, plan_id FROM plans WHERE plan_id = $2))
         ORDER BY created_at DESC, plan_id DESC LIMIT $3"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(definition.uuid())
        .bind(before.map(PlanId::uuid))
        .bind(i64::from(limit.min(PAGE)))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read_header).collect()
}

/// Records somebody's word on a plan in the caller's transaction: approved, it may run; rejected, it never will.
///
/// # Errors
/// [`Error::Plan`], [`Error::NotFound`]; nothing is recorded then.
pub async fn judge_plan(
    connection: &mut PgConnection,
    plan: PlanId,
    approval: &Approval,
    four_eyes: bool,
) -> Result<PlanHeader> {
    let header = locked(connection, plan, None).await?;
    header
        .may_be_judged(approval, four_eyes)
        .map_err(|refusal| refused(&header, refusal))?;
    sqlx::query(
        "INSERT INTO approvals (approval_id, workspace_id, plan_id, decision, actor, remark)
         SELECT gen_random_uuid(), workspace_id, plan_id, $2, $3, $4 FROM plans WHERE plan_id = $1",
    )
    .bind(plan.uuid())
    .bind(approval.decision.name())
    .bind(&approval.actor)
    .bind(approval.remark.as_deref())
    .execute(&mut *connection)
    .await?;
    let state = match approval.decision {
        PlanVerdict::Approved => PlanState::Approved,
        PlanVerdict::Rejected => PlanState::Discarded,
    };
    set_state(connection, plan, state).await?;
    Ok(PlanHeader { state, ..header })
}

/// What people said about a plan, oldest first.
///
/// # Errors
/// As any statement.
pub async fn approvals(connection: &mut PgConnection, plan: PlanId) -> Result<Vec<GivenApproval>> {
    let rows = sqlx::query(
        "SELECT actor, decision, remark, created_at FROM approvals WHERE plan_id = $1
         ORDER BY created_at, approval_id LIMIT $2",
    )
    .bind(plan.uuid())
    .bind(i64::from(PAGE))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(GivenApproval {
                approval: Approval {
                    actor: row.try_get(0)?,
                    decision: PlanVerdict::parse(row.try_get(1)?)
                        .ok_or(Error::Damaged { what: "approval" })?,
                    remark: row.try_get(2)?,
                },
                at: row.try_get(3)?,
            })
        })
        .collect()
}

/// A plan that may run, held against anybody's word on it until the caller's transaction ends.
///
/// # Errors
/// [`Error::Plan`] where it may not; [`Error::NotFound`], also for a plan of another definition.
pub async fn runnable_plan(
    connection: &mut PgConnection,
    definition: DefinitionId,
    plan: PlanId,
    needs_approval: bool,
) -> Result<PlanHeader> {
    let header = locked(connection, plan, Some(definition)).await?;
    header
        .may_run(needs_approval)
        .map_err(|refusal| refused(&header, refusal))?;
    Ok(header)
}

async fn locked(
    connection: &mut PgConnection,
    plan: PlanId,
    definition: Option<DefinitionId>,
) -> Result<PlanHeader> {
    let sql = format!(
        "SELECT {HEADER} FROM plans
         WHERE plan_id = $1 AND ($2::uuid IS NULL OR definition_id = $2) FOR NO KEY UPDATE"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(plan.uuid())
        .bind(definition.map(DefinitionId::uuid))
        .fetch_optional(connection)
        .await?;
    read_header(&row.ok_or_else(|| not_found(plan))?)
}

async fn set_state(connection: &mut PgConnection, plan: PlanId, state: PlanState) -> Result<()> {
    sqlx::query("UPDATE plans SET state = $2 WHERE plan_id = $1")
        .bind(plan.uuid())
        .bind(state.name())
        .execute(connection)
        .await?;
    Ok(())
}

fn only_building(header: &PlanHeader) -> Result<()> {
    match header.state {
        PlanState::Building => Ok(()),
        state => Err(refused(header, PlanRefusal::State(state))),
    }
}

fn refused(header: &PlanHeader, refusal: PlanRefusal) -> Error {
    Error::Plan {
        plan: header.id,
        refusal,
    }
}

fn not_found(plan: PlanId) -> Error {
    Error::NotFound {
        kind: "plan",
        name: plan.to_string(),
    }
}

fn to_smallint(ordinal: u16) -> Result<i16> {
    i16::try_from(ordinal).map_err(|_| Error::OutOfRange {
        what: "place of a planned change",
    })
}
