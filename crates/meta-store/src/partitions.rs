//! Monthly partitions: made ahead of time; what had gone to a default partition is moved.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::error::Result;

/// Months made beside the present one.
const AHEAD: i32 = 3;

/// Partitioned tables and the column they are partitioned by.
const TABLES: [(&str, &str); 6] = [
    ("runs", "created_at"),
    ("run_events", "at"),
    ("ledger_history", "at"),
    ("audit", "at"),
    ("deliveries", "at"),
    ("metrics", "at"),
];

struct Month {
    suffix: String,
    from: String,
    until: String,
}

/// Makes what is missing for the database's present month and the next ones. Answers how many were made.
///
/// # Errors
/// As any statement; what was not made is made the next time.
pub async fn ensure(connection: &mut PgConnection) -> Result<usize> {
    let months = months(connection).await?;
    let mut made = 0;
    for (table, column) in TABLES {
        for month in &months {
            if make(connection, table, column, month).await? {
                made += 1;
            }
        }
    }
    Ok(made)
}

async fn months(connection: &mut PgConnection) -> Result<Vec<Month>> {
    let rows = sqlx::query(
        "SELECT to_char(month, '\"y\"YYYY\"m\"MM'), to_char(month, 'YYYY-MM-DD'),
                to_char(month + interval '1 month', 'YYYY-MM-DD')
         FROM generate_series(
             date_trunc('month', now() AT TIME ZONE 'UTC'),
             date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => $1),
             interval '1 month') AS month",
    )
    .bind(AHEAD)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Month {
                suffix: row.try_get(0)?,
                from: row.try_get(1)?,
                until: row.try_get(2)?,
            })
        })
        .collect()
}

/// Names come from the table above and from `to_char`, never from outside.
async fn make(connection: &mut PgConnection, table: &str, column: &str, month: &Month) -> Result<bool> {
    let Month { suffix, from, until } = month;
    let name = format!("{table}_{suffix}");
    let mut tx = connection.begin().await?;
    // Two services may start at once.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('syncbridge partitions'))")
        .execute(&mut *tx)
        .await?;
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&name)
        .fetch_one(&mut *tx)
        .await?;
    if exists {
        return Ok(false);
    }
    // Entries of the history are only ever moved by this, and let go by retention.
    sqlx::query("SELECT set_config('syncbridge.history', 'partition', true)")
        .execute(&mut *tx)
        .await?;
    let range = format!("{column} >= '{from} 00:00+00' AND {column} < '{until} 00:00+00'");
    for statement in [
        format!("LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE"),
        format!("CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"),
        format!(
            "WITH moved AS (DELETE FROM {table}_default WHERE {range} RETURNING *)
             INSERT INTO {name} SELECT * FROM moved"
        ),
        format!(
            "ALTER TABLE {table} ATTACH PARTITION {name}
             FOR VALUES FROM ('{from} 00:00+00') TO ('{until} 00:00+00')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}
