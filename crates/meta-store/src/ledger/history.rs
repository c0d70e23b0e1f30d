//! What happened to an identity: closed effects and adoptions, append-only.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{DefinitionId, EffectId, RunId};
use uuid::Uuid;

use super::{Adopted, BATCH, Closed, Closing, DefinitionStore, bytes, identity};
use crate::error::Result;
use crate::number::{from_bigint, to_bigint};
use crate::runs::PAGE;

/// One entry of the history. Hashes stay in the database; they tell nothing to a reader.
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
    /// `adopt`, or the name of the write's [`syncbridge_domain::effect::EffectKind`].
    pub kind: String,
    /// `applied`, `quarantined`, `released` or `adopted`.
    pub outcome: String,
    /// The item's number.
    pub item: Option<String>,
    /// The item's guid.
    pub guid: Option<Uuid>,
    /// The item's counter before.
    pub before: Option<u64>,
    /// The item's counter after.
    pub after: Option<u64>,
    /// Graph's `request-id`.
    pub request_id: Option<String>,
}

impl DefinitionStore {
    /// Moves effects into the history and answers which were there. An effect answers to the identity it was
    /// recorded under as to the one it is held under since; the row it leaves behind is of the latter.
    pub(super) async fn close_batch(
        &self,
        tx: &mut PgConnection,
        batch: &[Closing<'_>],
    ) -> Result<Vec<Closed>> {
        let after = batch
            .iter()
            .map(|c| {
                c.row
                    .map(|row| to_bigint("item counter", row.version.counter))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let closed = sqlx::query(
            "WITH closing AS (
                 SELECT * FROM unnest($2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::uuid[], $7::text[],
                                      $8::uuid[], $9::bigint[], $10::bytea[], $11::bigint[], $12::bytea[])
                     AS c(effect_id, identity, outcome, request_id, run_id, item_id, item_guid, after_counter,
                          agreed, layout, row_identity)
             ), closed AS (
                 DELETE FROM effects e USING closing c
                 WHERE e.effect_id = ANY($2) AND e.effect_id = c.effect_id
                   AND (e.identity = c.identity OR e.old_identity = c.identity)
                   AND e.identity = coalesce(c.row_identity, e.identity)
                   AND e.definition_id IS NOT DISTINCT FROM $1
                 RETURNING e.effect_id, e.workspace_id, e.kind, e.before_counter, e.old_identity,
                           coalesce(c.row_identity, c.identity) AS identity, c.outcome, c.request_id, c.run_id,
                           c.after_counter, c.agreed, c.layout,
                           coalesce(c.item_id, e.item_id) AS item_id,
                           coalesce(c.item_guid, e.item_guid) AS item_guid
             ), remembered AS (
                 INSERT INTO ledger_history
                     (workspace_id, definition_id, identity, run_id, effect_id, kind, outcome, item_id, item_guid,
                      before_counter, after_counter, agreed, layout, request_id)
                 SELECT workspace_id, $1, identity, run_id, effect_id, kind, outcome, item_id, item_guid,
                        before_counter, after_counter, agreed, layout, left(request_id, 200)
                 FROM closed
             )
             SELECT effect_id, old_identity FROM closed",
        )
        .bind(self.definition.uuid())
        .bind(batch.iter().map(|c| c.effect.uuid()).collect::<Vec<_>>())
        .bind(bytes(batch.iter().map(|c| &c.identity)))
        .bind(batch.iter().map(|c| c.outcome).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.request_id).collect::<Vec<_>>())
        .bind(batch.iter().map(|c| c.run.uuid()).collect::<Vec<_>>())
        .bind(
            batch
                .iter()
                .map(|c| c.row.map(|row| row.item.0.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(
            batch
                .iter()
                .map(|c| c.row.map(|row| row.version.guid))
                .collect::<Vec<_>>(),
        )
        .bind(after)
        .bind(
            batch
                .iter()
                .map(|c| c.row.map(|row| row.agreed.as_slice()))
                .collect::<Vec<_>>(),
        )
        .bind(
            batch
                .iter()
                .map(|c| c.row.map(|row| i64::from(row.layout.0)))
                .collect::<Vec<_>>(),
        )
        .bind(
            batch
                .iter()
                .map(|c| c.row.map(|row| row.identity.as_bytes().as_slice()))
                .collect::<Vec<_>>(),
        )
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

    /// Adds adoptions to the history.
    pub(super) async fn remember_adopted(
        &self,
        tx: &mut PgConnection,
        adopted: &[Adopted<'_>],
    ) -> Result<()> {
        for batch in adopted.chunks(BATCH) {
            let each = || batch.iter().map(|adopted| adopted.row);
            let after = each()
                .map(|row| to_bigint("item counter", row.version.counter))
                .collect::<Result<Vec<_>>>()?;
            sqlx::query(
                "INSERT INTO ledger_history
                     (workspace_id, definition_id, kind, outcome, identity, run_id, item_id, item_guid,
                      after_counter, agreed, layout)
                 SELECT $1, $2, 'adopt', 'adopted', a.*
                 FROM unnest($3::bytea[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::bytea[],
                             $9::bigint[]) AS a",
            )
            .bind(self.workspace.uuid())
            .bind(self.definition.uuid())
            .bind(bytes(each().map(|row| &row.identity)))
            .bind(each().map(|row| row.last_run.uuid()).collect::<Vec<_>>())
            .bind(each().map(|row| row.item.0.as_str()).collect::<Vec<_>>())
            .bind(each().map(|row| row.version.guid).collect::<Vec<_>>())
            .bind(after)
            .bind(each().map(|row| row.agreed.as_slice()).collect::<Vec<_>>())
            .bind(each().map(|row| i64::from(row.layout.0)).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }
}

/// The history of an identity, newest first, at most 500 entries.
///
/// # Errors
/// As any statement.
pub async fn history(
    connection: &mut PgConnection,
    definition: DefinitionId,
    identity: Identity,
    limit: u32,
) -> Result<Vec<HistoryEntry>> {
    let rows = sqlx::query(
        "SELECT history_id, at, run_id, effect_id, kind, outcome, item_id, item_guid, before_counter,
                after_counter, request_id
         FROM ledger_history WHERE definition_id = $1 AND identity = $2 ORDER BY history_id DESC LIMIT $3",
    )
    .bind(definition.uuid())
    .bind(identity.as_bytes().as_slice())
    .bind(i64::from(limit.min(PAGE)))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let counter = |at: usize| {
                row.try_get::<Option<i64>, _>(at)?
                    .map(|counter| from_bigint("item counter", counter))
                    .transpose()
            };
            Ok(HistoryEntry {
                number: from_bigint("history number", row.try_get(0)?)?,
                at: row.try_get(1)?,
                run: RunId::from_uuid(row.try_get(2)?),
                effect: row.try_get::<Option<Uuid>, _>(3)?.map(EffectId::from_uuid),
                kind: row.try_get(4)?,
                outcome: row.try_get(5)?,
                item: row.try_get(6)?,
                guid: row.try_get(7)?,
                before: counter(8)?,
                after: counter(9)?,
                request_id: row.try_get(10)?,
            })
        })
        .collect()
}
