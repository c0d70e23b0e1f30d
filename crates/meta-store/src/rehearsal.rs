//! A copy of one definition's memory in which a run is rehearsed, so that a plan is what a run would do and not what
//! other code thinks it would.
//!
//! The copy is made of temporary tables of one session, which stand before the real ones for every statement of this
//! crate. The session is read-only beside: PostgreSQL itself refuses whatever would leave the copy, be it a table that
//! somebody forgets here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::ids::{DefinitionId, PlanId, RunId};
use syncbridge_domain::revert::HELD;
use syncbridge_domain::run::PredictedRefusal;

use crate::error::{Error, Result};
use crate::ledger::PARKED;
use crate::number::from_bigint;
use crate::store::MetaStore;

/// The tables that a run writes, and which of their rows it needs: `$1` the definition, `$2` its list. Of the history
/// only deletions are asked for, by the guard.
const TABLES: [(&str, &str); 13] = [
    ("definitions", "definition_id = $1"),
    ("writer_leases", "definition_id = $1"),
    ("cursors", "definition_id = $1"),
    ("layouts", "definition_id = $1"),
    ("ledger", "definition_id = $1"),
    ("item_links", "definition_id = $1 OR list_id = $2::text"),
    ("effects", "definition_id = $1"),
    ("dirty", "definition_id = $1"),
    ("quarantine", "definition_id = $1"),
    ("conflicts", "definition_id = $1 AND kind = 'parked'"),
    (
        "ledger_history",
        "definition_id = $1 AND kind IN ('delete_item', 'delete_row')",
    ),
    ("sweeps", "definition_id = $1"),
    ("field_turns", "definition_id = $1"),
];
/// Sequences that those tables draw from.
const SEQUENCES: [&str; 2] = ["dirty_sequence", "ledger_history_sequence"];
/// Higher than any lease ever has: a write that left the copy would meet no lease of this epoch.
const EPOCH: i64 = i64::MAX;

/// A copy of a definition's memory; gone when it is dropped.
#[derive(Debug)]
pub struct Rehearsal {
    /// The store over the copy, of one connection.
    pub store: MetaStore,
    /// The lease that holds in the copy.
    pub fence: Fence,
    definition: DefinitionId,
}

impl MetaStore {
    /// Copies what a run of this definition reads and writes into a session of its own. Nothing is locked, and
    /// whoever drives the definition is not disturbed.
    ///
    /// # Errors
    /// [`Error::Refused`] with state 42501 where the role may make no temporary tables.
    pub async fn rehearsal(&self, definition: DefinitionId, list: &str) -> Result<Rehearsal> {
        let store = self.alone();
        let mut connection = store.acquire().await?;
        copy(&mut connection, definition, list).await?;
        drop(connection);
        let epoch = u64::try_from(EPOCH).unwrap_or(u64::MAX);
        Ok(Rehearsal {
            store,
            fence: Fence { definition, epoch },
            definition,
        })
    }

    /// The same database through one connection that is never replaced: what its session holds cannot be had again.
    fn alone(&self) -> Self {
        let opened = Arc::new(AtomicBool::new(false));
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.patience())
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(move |_, _| {
                let again = opened.swap(true, Ordering::AcqRel);
                Box::pin(async move {
                    match again {
                        true => Err(sqlx::Error::PoolClosed),
                        false => Ok(()),
                    }
                })
            });
        self.over(pool)
    }
}

impl Rehearsal {
    /// Notes in a plan what the rehearsed run left as it is, and whose edits it overrode. `alone`: only what that run
    /// came upon, and not what waits besides.
    ///
    /// # Errors
    /// As any statement.
    pub async fn remark(&self, plan: PlanId, run: RunId, alone: bool) -> Result<()> {
        let mut tx = self.store.begin().await?;
        sqlx::raw_sql("SET TRANSACTION READ WRITE")
            .execute(&mut *tx)
            .await?;
        // Whoever approves a plan reads what waits for a person first, and that in the order of its rows.
        for statement in [
            "SELECT $1, 'refused', q.identity, q.key, NULL, q.failure, NULL, NULL, NULL, q.first_seen
             FROM quarantine q
             WHERE q.definition_id = $2 AND q.ignored_at IS NULL AND q.code <> ALL ($4)
               AND (NOT $5 OR q.run_id = $3 AND q.code <> $6)
             ORDER BY q.identity",
            "SELECT $1, 'conflict', c.identity, c.key, c.column_name, NULL, c.sealed_source, c.sealed_target, c.winner,
                    c.created_at
             FROM conflicts c
             WHERE c.definition_id = $2 AND c.kind = 'parked' AND c.closed_at IS NULL AND (NOT $5 OR c.run_id = $3)
               AND $4::text[] IS NOT NULL AND $6::text IS NOT NULL
             ORDER BY c.identity, c.column_name",
            "SELECT $1, 'overridden', c.identity, l.key, c.column_name, NULL, c.sealed_source, c.sealed_target,
                    c.winner, c.created_at
             FROM conflicts c
             LEFT JOIN ledger l ON l.definition_id = c.definition_id AND l.identity = c.identity
             WHERE c.definition_id = $2 AND c.kind = 'overridden' AND c.run_id = $3
               AND $4::text[] IS NOT NULL AND $5 IS NOT NULL AND $6::text IS NOT NULL
             ORDER BY c.identity, c.column_name",
            "SELECT $1, 'waiting', d.identity, d.key, NULL, NULL, NULL, NULL, NULL, d.since
             FROM dirty d
             WHERE d.definition_id = $2 AND NOT $5 AND $3::uuid IS NOT NULL AND $4::text[] IS NOT NULL
               AND $6::text IS NOT NULL
               AND NOT EXISTS (SELECT FROM plan_rows p WHERE p.plan_id = $1 AND p.identity = d.identity)
               AND NOT EXISTS (SELECT FROM quarantine q
                               WHERE q.definition_id = $2 AND q.identity = d.identity AND q.ignored_at IS NULL)
             ORDER BY d.identity",
        ] {
            let sql = format!(
                "INSERT INTO plan_remarks (plan_id, kind, identity, key, column_name, failure, sealed_source,
                                           sealed_target, winner, since)
                 {statement} ON CONFLICT DO NOTHING"
            );
            sqlx::query(AssertSqlSafe(sql))
                .bind(plan.uuid())
                .bind(self.definition.uuid())
                .bind(run.uuid())
                .bind(PARKED)
                .bind(alone)
                .bind(HELD)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// What the rehearsed run refused that nobody had refused before, by cause and column.
    ///
    /// # Errors
    /// As any statement.
    pub async fn refusals(&self, run: RunId) -> Result<Vec<PredictedRefusal>> {
        let rows = sqlx::query(
            "SELECT code, coalesce(failure ->> 'column', ''), count(*), min(failure ->> 'fix') FROM quarantine
             WHERE definition_id = $1 AND run_id = $2 AND ignored_at IS NULL AND code <> ALL ($3) AND code <> $4
             GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 100",
        )
        .bind(self.definition.uuid())
        .bind(run.uuid())
        .bind(PARKED)
        .bind(HELD)
        .fetch_all(&mut *self.store.acquire().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(PredictedRefusal {
                    code: row.try_get(0)?,
                    column: row.try_get(1)?,
                    rows: from_bigint("refused rows", row.try_get(2)?)?,
                    fix: row.try_get::<Option<String>, _>(3)?.unwrap_or_default(),
                })
            })
            .collect()
    }

    /// Gives the session back, and with it the copy.
    pub async fn close(self) {
        self.store.close().await;
    }
}

async fn copy(connection: &mut PgConnection, definition: DefinitionId, list: &str) -> Result<()> {
    let schema: String = sqlx::query_scalar("SELECT quote_ident(current_schema())")
        .fetch_one(&mut *connection)
        .await?;
    // One snapshot: a run that goes on beside shows in all tables or in none. Copying takes as long as it takes.
    raw(
        connection,
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SET LOCAL statement_timeout = 0;
         SET LOCAL idle_in_transaction_session_timeout = 0",
    )
    .await?;
    for sequence in SEQUENCES {
        raw(
            connection,
            &format!(
                "CREATE TEMP SEQUENCE {sequence} AS bigint;
                 SELECT setval('pg_temp.{sequence}', (SELECT last_value FROM {schema}.{sequence}))"
            ),
        )
        .await?;
    }
    for (table, needed) in TABLES {
        copy_table(connection, &schema, table, needed, definition, list).await?;
    }
    raw(
        connection,
        "ALTER TABLE pg_temp.ledger_history
             ALTER COLUMN history_id SET DEFAULT nextval('pg_temp.ledger_history_sequence')",
    )
    .await?;
    sqlx::query(
        "INSERT INTO pg_temp.writer_leases (definition_id, epoch, holder, expires_at)
         VALUES ($1, $2, 'rehearsal', 'infinity')
         ON CONFLICT (definition_id) DO UPDATE
             SET epoch = excluded.epoch, holder = excluded.holder, expires_at = excluded.expires_at",
    )
    .bind(definition.uuid())
    .bind(EPOCH)
    .execute(&mut *connection)
    .await?;
    raw(
        connection,
        "COMMIT; SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    )
    .await
}

async fn copy_table(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
    needed: &str,
    definition: DefinitionId,
    list: &str,
) -> Result<()> {
    raw(
        connection,
        &format!(
            "CREATE TEMP TABLE {table} (LIKE {schema}.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        ),
    )
    .await?;
    let rows = format!("INSERT INTO pg_temp.{table} SELECT * FROM {schema}.{table} WHERE {needed}");
    let query = sqlx::query(AssertSqlSafe(rows)).bind(definition.uuid());
    let query = match needed.contains("$2") {
        true => query.bind(list),
        false => query,
    };
    query.execute(&mut *connection).await?;
    // Under their own names, by which refusals are told apart, and after the rows, which is faster.
    let indexes = sqlx::query(
        "SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i WHERE i.indrelid = $1::regclass ORDER BY i.indexrelid",
    )
    .bind(format!("{schema}.{table}"))
    .fetch_all(&mut *connection)
    .await?;
    for index in indexes {
        let real: String = index.try_get(0)?;
        raw(connection, &moved(&real, table)?).await?;
    }
    raw(connection, &format!("ANALYZE pg_temp.{table}")).await
}

/// The definition of an index, for the temporary table of the same name.
fn moved(definition: &str, table: &str) -> Result<String> {
    let parts = definition.split_once(" ON ");
    let parts = parts.and_then(|(head, tail)| Some((head, tail.split_once(" USING ")?.1)));
    let (head, how) = parts.ok_or(Error::Damaged { what: "index" })?;
    Ok(format!("{head} ON pg_temp.{table} USING {how}"))
}

async fn raw(connection: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_keeps_its_name_and_its_condition() {
        let real = "CREATE UNIQUE INDEX effects_one_open_per_subject ON public.effects USING btree \
                    (definition_id, identity) WHERE (state = 'open'::text)";
        assert_eq!(
            moved(real, "effects").unwrap(),
            "CREATE UNIQUE INDEX effects_one_open_per_subject ON pg_temp.effects USING btree (definition_id, identity) \
             WHERE (state = 'open'::text)"
        );
        let parted =
            "CREATE UNIQUE INDEX ledger_pkey ON ONLY public.ledger USING btree (definition_id, identity)";
        assert!(
            moved(parted, "ledger")
                .unwrap()
                .contains("ledger_pkey ON pg_temp.ledger USING btree")
        );
        assert!(moved("CREATE INDEX x", "ledger").is_err());
    }
}
