//! Fields that both sides changed: edits that lost by policy, and those that wait for a person. Both values are
//! sealed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::Row as _;
use syncbridge_domain::agreed::CellHash;
use syncbridge_domain::conflict::{ParkReason, ParkedConflict, Resolution, Side};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::RunId;
use syncbridge_secrets::Place;

use super::{BATCH, DefinitionStore, bytes, identity};
use crate::error::{Error, Result};

/// An edit that lost against the other side by policy.
#[derive(Clone, PartialEq)]
pub struct OverriddenEdit {
    /// Whose.
    pub identity: Identity,
    /// Source column.
    pub column: String,
    /// What the source held (canonical JSON), sealed before it is stored.
    pub source: Json,
    /// What the list held, sealed before it is stored.
    pub target: Json,
    /// Whose value stands.
    pub winner: Side,
    /// Who edited the list's side last, where the list told.
    pub target_by: Option<String>,
    /// When the list's side was edited last, by the list's clock, where it told.
    pub target_at: Option<DateTime<Utc>>,
    /// It cannot be told any more who changed what.
    pub ambiguous: bool,
}

impl std::fmt::Debug for OverriddenEdit {
    // Values stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "OverriddenEdit({} `{}`, {} won)",
            self.identity,
            self.column,
            self.winner.name()
        )
    }
}

impl DefinitionStore {
    /// Records overridden edits.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn record_conflicts(
        &self,
        fence: Fence,
        run: RunId,
        conflicts: &[OverriddenEdit],
    ) -> Result<()> {
        self.timed(async {
            if conflicts.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            for batch in conflicts.chunks(BATCH) {
                let each = || batch.iter();
                let sealed = |side, value: fn(&OverriddenEdit) -> &Json| {
                    each()
                        .map(|edit| {
                            self.seal(&self.value_place(side, edit.identity, &edit.column), value(edit))
                        })
                        .collect::<Result<Vec<_>>>()
                };
                sqlx::query(
                    "INSERT INTO conflicts (workspace_id, definition_id, run_id, kind, identity, column_name,
                                            sealed_source, sealed_target, winner, target_by, target_at, reason)
                     SELECT $1, $2, $3, 'overridden', c.identity, c.column_name, c.source, c.target, c.winner,
                            nullif(left(c.target_by, 500), ''), c.target_at, c.reason
                     FROM unnest($4::bytea[], $5::text[], $6::bytea[], $7::bytea[], $8::text[], $9::text[],
                                 $10::timestamptz[], $11::text[])
                          AS c(identity, column_name, source, target, winner, target_by, target_at, reason)",
                )
                .bind(self.workspace.uuid())
                .bind(self.definition.uuid())
                .bind(run.uuid())
                .bind(bytes(each().map(|edit| &edit.identity)))
                .bind(each().map(|edit| edit.column.as_str()).collect::<Vec<_>>())
                .bind(sealed(Side::Source, |edit| &edit.source)?)
                .bind(sealed(Side::Target, |edit| &edit.target)?)
                .bind(each().map(|edit| edit.winner.name()).collect::<Vec<_>>())
                .bind(
                    each()
                        .map(|edit| edit.target_by.as_ref().map(|by| by.replace('\0', "\u{fffd}")))
                        .collect::<Vec<_>>(),
                )
                .bind(each().map(|edit| edit.target_at).collect::<Vec<_>>())
                .bind(
                    each()
                        .map(|edit| edit.ambiguous.then(|| ParkReason::Ambiguous.name()))
                        .collect::<Vec<_>>(),
                )
                .execute(&mut *tx)
                .await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Keeps conflicts that wait for a person. One that is parked for the same field with the same two hashes stays
    /// as it is, a decision about it included; one with others is replaced and gets a new id, so that nobody decides
    /// about values they did not see.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn park_conflicts(&self, fence: Fence, run: RunId, conflicts: &[ParkedConflict]) -> Result<()> {
        self.timed(async {
            if conflicts.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            // One a field, the last one; in one order, so that two callers wait for each other.
            let conflicts: BTreeMap<(Identity, &str), &ParkedConflict> = conflicts
                .iter()
                .map(|conflict| ((conflict.identity, conflict.column.as_str()), conflict))
                .collect();
            let conflicts: Vec<&ParkedConflict> = conflicts.into_values().collect();
            for batch in conflicts.chunks(BATCH) {
                self.park_batch(&mut tx, run, batch).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn park_batch(
        &self,
        tx: &mut sqlx::PgConnection,
        run: RunId,
        batch: &[&ParkedConflict],
    ) -> Result<()> {
        let each = || batch.iter().copied();
        let sealed = |side, value: fn(&ParkedConflict) -> &Json| {
            each()
                .map(|one| self.seal(&self.value_place(side, one.identity, &one.column), value(one)))
                .collect::<Result<Vec<_>>>()
        };
        sqlx::query(
            "INSERT INTO conflicts AS c
                 (workspace_id, definition_id, run_id, kind, identity, key, column_name, reason, sealed_source,
                  sealed_target, source_hash, target_hash)
             SELECT $1, $2, $3, 'parked', p.*
             FROM unnest($4::bytea[], $5::bytea[], $6::text[], $7::text[], $8::bytea[], $9::bytea[],
                         $10::bigint[], $11::bigint[])
                  AS p(identity, key, column_name, reason, source, target, source_hash, target_hash)
             ORDER BY p.identity, p.column_name
             ON CONFLICT (definition_id, identity, column_name) WHERE kind = 'parked' AND closed_at IS NULL
             DO UPDATE SET
                 conflict_id = excluded.conflict_id, run_id = excluded.run_id, key = excluded.key,
                 reason = excluded.reason, sealed_source = excluded.sealed_source,
                 sealed_target = excluded.sealed_target, source_hash = excluded.source_hash,
                 target_hash = excluded.target_hash, created_at = now(),
                 winner = NULL, resolved_at = NULL, resolved_by = NULL
             WHERE (c.source_hash, c.target_hash) IS DISTINCT FROM (excluded.source_hash, excluded.target_hash)",
        )
        .bind(self.workspace.uuid())
        .bind(self.definition.uuid())
        .bind(run.uuid())
        .bind(bytes(each().map(|one| &one.identity)))
        .bind(each().map(|one| one.key.as_bytes()).collect::<Vec<_>>())
        .bind(each().map(|one| one.column.as_str()).collect::<Vec<_>>())
        .bind(each().map(|one| one.reason.name()).collect::<Vec<_>>())
        .bind(sealed(Side::Source, |one| &one.source)?)
        .bind(sealed(Side::Target, |one| &one.target)?)
        .bind(each().map(|one| to_pattern(one.source_hash)).collect::<Vec<_>>())
        .bind(each().map(|one| to_pattern(one.target_hash)).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        Ok(())
    }

    /// What people decided about parked conflicts of these identities and what was not carried out yet, in the order
    /// asked.
    ///
    /// # Errors
    /// As any statement.
    pub async fn resolutions(&self, ids: &[Identity]) -> Result<Vec<Vec<Resolution>>> {
        self.timed(async {
            let mut found: BTreeMap<Identity, Vec<Resolution>> = BTreeMap::new();
            let mut connection = self.store.acquire().await?;
            for batch in ids.chunks(BATCH) {
                let rows = sqlx::query(
                    "SELECT identity, column_name, winner, source_hash, target_hash FROM conflicts
                     WHERE definition_id = $1 AND identity = ANY($2) AND kind = 'parked' AND closed_at IS NULL
                       AND winner IS NOT NULL
                     ORDER BY identity, column_name",
                )
                .bind(self.definition.uuid())
                .bind(bytes(batch))
                .fetch_all(&mut *connection)
                .await?;
                for row in &rows {
                    let winner = Side::parse(row.try_get(2)?).ok_or(Error::Damaged { what: "conflict" })?;
                    found
                        .entry(identity(row.try_get(0)?)?)
                        .or_default()
                        .push(Resolution {
                            column: row.try_get(1)?,
                            winner,
                            source_hash: from_pattern(row.try_get(3)?),
                            target_hash: from_pattern(row.try_get(4)?),
                        });
                }
            }
            Ok(ids
                .iter()
                .map(|identity| found.get(identity).cloned().unwrap_or_default())
                .collect())
        })
        .await
    }

    /// Closes parked conflicts of these fields: carried out, or gone because both sides agree again. Values and
    /// decision stay, as a record; what was counted against the fields is forgotten.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn close_conflicts(&self, fence: Fence, fields: &[(Identity, String)]) -> Result<()> {
        self.timed(async {
            if fields.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            for batch in fields.chunks(BATCH) {
                sqlx::query(
                    "UPDATE conflicts c SET closed_at = clock_timestamp()
                     FROM unnest($2::bytea[], $3::text[]) AS f(identity, column_name)
                     WHERE c.definition_id = $1 AND c.identity = ANY($2) AND c.identity = f.identity
                       AND c.column_name = f.column_name AND c.kind = 'parked' AND c.closed_at IS NULL",
                )
                .bind(self.definition.uuid())
                .bind(bytes(batch.iter().map(|(identity, _)| identity)))
                .bind(
                    batch
                        .iter()
                        .map(|(_, column)| column.as_str())
                        .collect::<Vec<_>>(),
                )
                .execute(&mut *tx)
                .await?;
                self.forget_turns(&mut tx, batch).await?;
            }
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Where a conflict's value is sealed for.
    pub(super) fn value_place(&self, side: Side, identity: Identity, column: &str) -> Place {
        let place = match side {
            Side::Source => "conflicts.sealed_source",
            Side::Target => "conflicts.sealed_target",
        };
        self.place(place, identity).with(column)
    }
}

fn to_pattern(hash: CellHash) -> Option<i64> {
    hash.map(|hash| hash.get().cast_signed())
}

fn from_pattern(stored: Option<i64>) -> CellHash {
    stored.and_then(|stored| std::num::NonZeroU64::new(stored.cast_unsigned()))
}
