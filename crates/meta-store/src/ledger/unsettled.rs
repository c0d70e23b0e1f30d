//! Writes whose outcome is not known yet, or that may still land.

use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use syncbridge_domain::dirty::retry_delay;
use syncbridge_domain::effect::{AfterState, Effect, EffectKind, EffectState, Fence, Subject};
use syncbridge_domain::history::Cause;
use syncbridge_domain::identity::Identity;
use syncbridge_domain::ids::{EffectId, RunId};

use super::{DefinitionStore, agreement, identity, item_link, key};
use crate::error::{Error, Result};
use crate::number::{from_bigint, from_integer};

/// How long after the last step of [`retry_delay`] an armed write is looked for again.
const SELDOM: Duration = Duration::from_hours(24);

/// Columns in the order they are read in.
const EFFECT: &str =
    "effect_id, run_id, identity, key, item_id, item_guid, before_counter, kind, sealed_sent,
        after_agreed, after_layout, after_generation, after_lsn, epoch, state, probes,
        greatest(extract(epoch FROM clock_timestamp() - created_at), 0)::bigint,
        witnessed, source_xid, coalesce(old_identity, identity), cause";

impl DefinitionStore {
    /// Open effects, then armed ones whose next look is due; oldest first in both.
    ///
    /// # Errors
    /// [`Error::Open`] where sent values do not open.
    pub async fn unsettled(&self, limit: u32) -> Result<Vec<Effect>> {
        self.timed(async {
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT {EFFECT} FROM effects
                 WHERE definition_id = $1 AND (state = 'open' OR next_probe_at <= clock_timestamp())
                 ORDER BY (state = 'armed'), created_at, effect_id LIMIT $2"
            )))
            .bind(self.definition.uuid())
            .bind(i64::from(limit))
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter().map(|row| self.read_effect(row)).collect()
        })
        .await
    }

    /// Writes of one identity whose outcome is not settled, oldest first, armed ones included whether their next look is
    /// due or not.
    ///
    /// # Errors
    /// [`Error::Open`] where sent values do not open.
    pub async fn writes_of(&self, identity: Identity) -> Result<Vec<Effect>> {
        self.timed(async {
            let rows = sqlx::query(AssertSqlSafe(format!(
                "SELECT {EFFECT} FROM effects
                 WHERE definition_id = $1 AND (identity = $2 OR old_identity = $2)
                 ORDER BY created_at, effect_id LIMIT 100"
            )))
            .bind(self.definition.uuid())
            .bind(identity.as_bytes().as_slice())
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            rows.iter().map(|row| self.read_effect(row)).collect()
        })
        .await
    }

    fn read_effect(&self, row: &PgRow) -> Result<Effect> {
        let recorded_under = identity(row.try_get(19)?)?;
        let identity = identity(row.try_get(2)?)?;
        let item = item_link(row, 4)?;
        let sealed: &[u8] = row.try_get(8)?;
        Ok(Effect {
            id: EffectId::from_uuid(row.try_get(0)?),
            run: RunId::from_uuid(row.try_get(1)?),
            subject: Subject {
                identity,
                key: key(row.try_get(3)?)?,
            },
            kind: EffectKind::parse(row.try_get(7)?).ok_or(Error::Damaged { what: "effect kind" })?,
            item,
            sent: self.unseal(
                "the values of a recorded write",
                &self.place("effects.sealed_sent", recorded_under),
                sealed,
            )?,
            beside: row
                .try_get::<Option<Json<Cause>>, _>(20)?
                .and_then(|cause| cause.0.beside),
            after: AfterState {
                agreed: row.try_get(9)?,
                layout: agreement::layout(row.try_get(10)?)?,
                mark: agreement::mark(row.try_get(11)?, row.try_get(12)?)?,
            },
            witnessed: match (row.try_get(17)?, row.try_get::<Option<i64>, _>(18)?) {
                (true, xid) => Some(xid.map(|xid| from_bigint("transaction id", xid)).transpose()?),
                (false, _) => None,
            },
            epoch: from_bigint("lease epoch", row.try_get(13)?)?,
            state: match row.try_get(14)? {
                "open" => EffectState::Open,
                "armed" => EffectState::Armed,
                _ => return Err(Error::Damaged { what: "effect state" }),
            },
            probes: from_integer("probes", row.try_get(15)?)?,
            age: Duration::from_secs(from_bigint("age of a recorded write", row.try_get(16)?)?),
        })
    }

    /// Notes that armed effects were looked for and not found: the next look comes later each time, at last
    /// once a day.
    ///
    /// # Errors
    /// [`Error::LeaseLost`].
    pub async fn probed(&self, fence: Fence, effects: &[EffectId]) -> Result<()> {
        self.timed(async {
            if effects.is_empty() {
                return Ok(());
            }
            let mut tx = self.begin(fence).await?;
            // After the first look `probes` is 1; the first step of the delay was the one before it.
            let delays: String = (1u32..=8)
                .map_while(|probes| {
                    retry_delay(probes + 1).map(|delay| format!("WHEN {probes} THEN {} ", delay.as_secs()))
                })
                .collect();
            let seldom = SELDOM.as_secs();
            sqlx::query(AssertSqlSafe(format!(
                "UPDATE effects SET probes = probes + 1,
                        next_probe_at = clock_timestamp()
                            + (CASE probes + 1 {delays} ELSE {seldom} END) * interval '1 second'
                 WHERE definition_id = $1 AND effect_id = ANY($2) AND state = 'armed'"
            )))
            .bind(self.definition.uuid())
            .bind(effects.iter().map(|effect| effect.uuid()).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}
