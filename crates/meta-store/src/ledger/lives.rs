//! Which life of its source, and of this memory itself, a definition last saw.

use sqlx::Row as _;
use syncbridge_domain::effect::Fence;
use syncbridge_domain::feed::Lsn;
use syncbridge_domain::identity::{Identity, Key};
use syncbridge_domain::life::KnownLife;

use super::{DefinitionStore, identity, key};
use crate::error::Result;
use crate::number::{from_bigint, from_integer, to_bigint, to_integer};

/// So many of our newest writes are looked at.
const WITNESSES: i64 = 20;

/// Ledger rows taken over in one transaction.
const PAGE: i64 = 2_000;

/// Cluster, timeline, database and the tables themselves: a memory that is restored from a dump, or recovered to a
/// point in time, differs in one of them.
const OWN_LIFE: &str = "\
SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) || '/' || d.oid || '/' || 'definitions'::regclass::oid
FROM pg_database d WHERE d.datname = current_database()";
const CLUSTER: &str = "SELECT system_identifier::text FROM pg_control_system()";
/// Asked by itself: whoever may not call a function may not even name it in a statement. Some hosts forbid it.
const MAY_ASK: &str = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')";

impl DefinitionStore {
    /// What was noted at the end of the last run that came to its end; `None` before the first.
    ///
    /// # Errors
    /// As any statement.
    pub async fn known_life(&self) -> Result<Option<KnownLife>> {
        self.timed(async {
            let found = sqlx::query(
                "SELECT identifier, timeline, durable_lsn, memory FROM lives WHERE definition_id = $1",
            )
            .bind(self.definition.uuid())
            .fetch_optional(&mut *self.store.acquire().await?)
            .await?;
            let Some(row) = found else { return Ok(None) };
            let timeline: Option<i32> = row.try_get(1)?;
            Ok(Some(KnownLife {
                identifier: row.try_get(0)?,
                timeline: timeline
                    .map(|number| from_integer("timeline", number))
                    .transpose()?,
                durable: Lsn(from_bigint("position", row.try_get(2)?)?),
                memory: row.try_get(3)?,
            }))
        })
        .await
    }

    /// Which life of itself this memory lives now.
    ///
    /// # Errors
    /// As any statement.
    pub async fn own_life(&self) -> Result<String> {
        self.timed(async {
            let mut connection = self.store.acquire().await?;
            let may_ask: bool = sqlx::query_scalar(MAY_ASK).fetch_one(&mut *connection).await?;
            let cluster: String = match may_ask {
                true => sqlx::query_scalar(CLUSTER).fetch_one(&mut *connection).await?,
                false => String::new(),
            };
            let life: String = sqlx::query_scalar(OWN_LIFE).fetch_one(&mut *connection).await?;
            Ok(format!("{cluster}/{life}"))
        })
        .await
    }

    /// Notes which lives a run came to its end in. Rows that are neither to be applied nor refused are agreed on in
    /// them: they are no longer of an earlier generation.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    pub async fn note_life(&self, fence: Fence, life: &KnownLife, settles: Option<u32>) -> Result<()> {
        // First the rows: as long as the life is not noted, a run that is cut off here is asked for again.
        if let Some(generation) = settles {
            let mut after = None;
            while let Some(last) = self.settle_page(fence, generation, after).await? {
                after = Some(last);
            }
        }
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let timeline = life
                .timeline
                .map(|number| to_integer("timeline", number))
                .transpose()?;
            sqlx::query(
                "INSERT INTO lives (definition_id, workspace_id, identifier, timeline, durable_lsn, memory, noted_at)
                 VALUES ($1, $2, $3, $4, $5, $6, now())
                 ON CONFLICT (definition_id) DO UPDATE SET
                     identifier = excluded.identifier, timeline = excluded.timeline,
                     durable_lsn = excluded.durable_lsn, memory = excluded.memory, noted_at = excluded.noted_at,
                     written_since = CASE WHEN $7 THEN clock_timestamp() ELSE lives.written_since END",
            )
            .bind(self.definition.uuid())
            .bind(self.workspace.uuid())
            .bind(life.identifier.as_deref())
            .bind(timeline)
            .bind(to_bigint("position", life.durable.0)?)
            .bind(life.memory.as_deref())
            .bind(settles.is_some())
            .execute(&mut *tx)
            .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Takes the rows at rest of a page behind `after` over into a generation. Answers where the page ended; nothing
    /// behind the last row.
    async fn settle_page(
        &self,
        fence: Fence,
        generation: u32,
        after: Option<Identity>,
    ) -> Result<Option<Identity>> {
        self.timed(async {
            let mut tx = self.begin(fence).await?;
            let last: Option<Vec<u8>> = sqlx::query_scalar(
                "WITH page AS MATERIALIZED (
                     SELECT identity FROM ledger
                     WHERE definition_id = $1 AND ($3::bytea IS NULL OR identity > $3)
                     ORDER BY identity LIMIT $4
                 ), moved AS (
                     UPDATE ledger l SET mark_generation = $2, mark_lsn = 0
                     WHERE l.definition_id = $1 AND l.identity IN (SELECT identity FROM page)
                       AND l.mark_generation < $2
                       AND NOT EXISTS (SELECT FROM dirty d
                                       WHERE d.definition_id = $1 AND d.identity = l.identity)
                       AND NOT EXISTS (SELECT FROM quarantine q
                                       WHERE q.definition_id = $1 AND q.identity = l.identity)
                       AND NOT EXISTS (SELECT FROM effects e
                                       WHERE e.definition_id = $1 AND e.identity = l.identity)
                 )
                 SELECT identity FROM page ORDER BY identity DESC LIMIT 1",
            )
            .bind(self.definition.uuid())
            .bind(to_integer("mark generation", generation)?)
            .bind(after.as_ref().map(|identity| identity.as_bytes().as_slice()))
            .bind(PAGE)
            .fetch_optional(&mut *tx)
            .await?;
            tx.commit().await?;
            last.as_deref().map(identity).transpose()
        })
        .await
    }

    /// The newest rows of the source that we are known to have written and that should still be there: the key of each,
    /// and the newest transaction that wrote it.
    ///
    /// # Errors
    /// As any statement.
    pub async fn newest_written(&self) -> Result<Vec<(Key, u64)>> {
        self.timed(async {
            let found = sqlx::query(
                "SELECT l.key, max(h.source_xid)
                 FROM (SELECT identity, source_xid FROM ledger_history
                       WHERE definition_id = $1 AND source_xid IS NOT NULL
                         AND at > (SELECT written_since FROM lives WHERE definition_id = $1)
                       ORDER BY source_xid DESC LIMIT $2) h
                 JOIN ledger l ON l.definition_id = $1 AND l.identity = h.identity AND l.state = 1
                 GROUP BY l.key",
            )
            .bind(self.definition.uuid())
            .bind(WITNESSES)
            .fetch_all(&mut *self.store.acquire().await?)
            .await?;
            found
                .iter()
                .map(|row| {
                    Ok((
                        key(row.try_get(0)?)?,
                        from_bigint("transaction id", row.try_get(1)?)?,
                    ))
                })
                .collect()
        })
        .await
    }
}
