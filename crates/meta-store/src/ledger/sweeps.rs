//! Full comparisons, what the guard counts, and what makes one worth its while.

use std::time::Duration;

use syncbridge_domain::effect::Fence;
use syncbridge_domain::failure::AWAIT_APPROVAL;
use syncbridge_domain::feed::Mark;
use syncbridge_domain::ids::RunId;
use syncbridge_domain::mapping::LayoutStamp;

use super::DefinitionStore;
use crate::error::Result;
use crate::number::{from_bigint, to_bigint, to_integer};

/// How long an item can come back from the site's recycle bin, and its tombstone is of use.
const RECYCLE_BIN_DAYS: i32 = 93;

impl DefinitionStore {
    /// Whether the last full comparison ended so long ago by the database's clock, or there never was one.
    ///
    /// # Errors
    /// As any statement.
    pub async fn sweep_due(&self, every: Duration) -> Result<bool> {
        self.timed(async {
            let fresh: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM sweeps WHERE definition_id = $1
                                AND completed_at > clock_timestamp() - $2 * interval '1 second')",
            )
            .bind(self.definition.uuid())
            .bind(every.as_secs_f64())
            .fetch_one(&mut *self.store.acquire().await?)
            .await?;
            Ok(!fresh)
        })
        .await
    }

    /// Records that everything was compared as of this mark. Tombstones that every feed is past go, once no
    /// item of theirs can come back from the recycle bin and no write of theirs is unsettled.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn swept(&self, fence: Fence, run: RunId, mark: Mark) -> Result<()> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            sqlx::query(
                "INSERT INTO sweeps (definition_id, completed_at, run_id) VALUES ($1, clock_timestamp(), $2)
                 ON CONFLICT (definition_id) DO UPDATE
                 SET completed_at = excluded.completed_at, run_id = excluded.run_id",
            )
            .bind(self.definition.uuid())
            .bind(run.uuid())
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "DELETE FROM ledger l
                 WHERE l.definition_id = $1 AND l.state = 2
                   AND (l.mark_generation, l.mark_lsn) < ($2, $3)
                   AND l.updated_at < clock_timestamp() - make_interval(days => $4)
                   AND NOT EXISTS (SELECT FROM effects e WHERE e.definition_id = $1 AND e.identity = l.identity)
                   AND NOT EXISTS (SELECT FROM dirty d WHERE d.definition_id = $1 AND d.identity = l.identity)",
            )
            .bind(self.definition.uuid())
            .bind(to_integer("mark generation", mark.generation)?)
            .bind(to_bigint("mark position", mark.lsn.0)?)
            .bind(RECYCLE_BIN_DAYS)
            .execute(&mut *tx)
            .await?;
            self.forget_old_turns(&mut tx).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// How many items and source rows were deleted within this time before now. What a person let pass by name, or
    /// within a plan, is not counted: it was asked for, and is no sign of anything going wrong.
    ///
    /// # Errors
    /// As any statement.
    pub async fn deleted_within(&self, window: Duration) -> Result<u64> {
        self.timed(async {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM ledger_history h
                 WHERE h.definition_id = $1 AND h.kind IN ('delete_item', 'delete_row')
                   AND h.outcome = 'applied'
                   AND h.at > clock_timestamp() - $2 * interval '1 second'
                   AND NOT EXISTS (SELECT FROM runs r WHERE r.run_id = h.run_id
                                   AND (r.spec -> 'options' ->> 'allow_deletes' IS NOT NULL
                                        OR r.spec -> 'options' ->> 'plan_approved' = 'true'))",
            )
            .bind(self.definition.uuid())
            .bind(window.as_secs_f64())
            .fetch_one(&mut *self.store.acquire().await?)
            .await?;
            from_bigint("count", count)
        })
        .await
    }

    /// Makes quarantined rows dirty again that wait for nothing but a person's approval; those that a person
    /// accepted as they are stay. Answers how many.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn requeue_approved(&self, fence: Fence) -> Result<u64> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let queued = sqlx::query(
                "INSERT INTO dirty (definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                                    suspected_delete, sequence)
                 SELECT definition_id, workspace_id, identity, key, mark_generation, mark_lsn,
                        suspected_delete, nextval('dirty_sequence')
                 FROM quarantine
                 WHERE definition_id = $1 AND code = ANY($2) AND ignored_at IS NULL
                 ORDER BY identity
                 ON CONFLICT (definition_id, identity) DO NOTHING",
            )
            .bind(self.definition.uuid())
            .bind(AWAIT_APPROVAL.as_slice())
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(queued.rows_affected())
        })
        .await
    }

    /// How many live rows hold hashes of another layout or hash key. Rows in quarantine wait for a person and
    /// are left out.
    ///
    /// # Errors
    /// As any statement.
    pub async fn stale_rows(&self, layout: LayoutStamp, hash_key: u16) -> Result<u64> {
        self.timed(async {
            let count: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM ledger l
                 WHERE l.definition_id = $1 AND l.state = 1 AND (l.layout <> $2 OR l.hash_key_id <> $3)
                   AND NOT EXISTS (SELECT FROM quarantine q
                                   WHERE q.definition_id = $1 AND q.identity = l.identity)",
            )
            .bind(self.definition.uuid())
            .bind(i64::from(layout.0))
            .bind(i16::try_from(hash_key).unwrap_or(i16::MAX))
            .fetch_one(&mut *self.store.acquire().await?)
            .await?;
            from_bigint("count", count)
        })
        .await
    }
}
