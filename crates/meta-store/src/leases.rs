//! Writer leases: who drives a definition. Judged by the database's clock only.
//!
//! A writer's transaction takes the lease row `FOR KEY SHARE`; taking over takes it `FOR UPDATE` and so waits
//! until writers under way have committed, after which every later writer sees the new epoch. Renewing changes
//! no key column and runs beside both writers and readers.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use syncbridge_domain::effect::Fence;
use syncbridge_domain::ids::{DefinitionId, RunId};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::number::{from_bigint, to_bigint};
use crate::store::MetaStore;

/// What asking for a lease answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It is ours.
    Acquired(Acquired),
    /// Somebody has it.
    Held(Held),
}

/// A lease that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// To be given with every write.
    pub fence: Fence,
    /// How long it holds, counted from *before* the request was made: the answer took time to come.
    pub expires_in: Duration,
}

/// A lease that is somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who has it.
    pub by: String,
    /// For which run.
    pub run: Option<RunId>,
    /// How long it holds if it is not renewed.
    pub remaining: Duration,
}

/// Asks for the lease of a definition. Each success has a higher epoch than all before, so that whoever held
/// it earlier can no longer write, be it the same process.
///
/// # Errors
/// [`Error::NotFound`] for an unknown definition; [`Error::Busy`] where a writer stays in the way.
pub async fn acquire(
    store: &MetaStore,
    definition: DefinitionId,
    holder: &str,
    run: RunId,
    term: Duration,
) -> Result<Lease> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO writer_leases (definition_id, epoch, expires_at)
         SELECT definition_id, 0, '-infinity' FROM definitions WHERE definition_id = $1
         ON CONFLICT DO NOTHING",
    )
    .bind(definition.uuid())
    .execute(&mut *tx)
    .await?;
    let row = sqlx::query(
        "SELECT epoch, holder, run_id, expires_at > clock_timestamp(),
                CASE WHEN expires_at > clock_timestamp()
                     THEN (extract(epoch FROM expires_at - clock_timestamp()) * 1000000)::bigint
                     ELSE 0 END
         FROM writer_leases WHERE definition_id = $1 FOR UPDATE",
    )
    .bind(definition.uuid())
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::NotFound {
        kind: "definition",
        name: definition.to_string(),
    })?;
    if row.try_get(3)? {
        let micros: i64 = row.try_get(4)?;
        return Ok(Lease::Held(Held {
            by: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
            run: row.try_get::<Option<Uuid>, _>(2)?.map(RunId::from_uuid),
            remaining: Duration::from_micros(u64::try_from(micros).unwrap_or(0)),
        }));
    }
    let epoch = from_bigint("lease epoch", row.try_get(0)?)? + 1;
    sqlx::query(
        "UPDATE writer_leases
         SET epoch = $2, holder = $3, run_id = $4, expires_at = clock_timestamp() + $5 * interval '1 microsecond'
         WHERE definition_id = $1",
    )
    .bind(definition.uuid())
    .bind(to_bigint("lease epoch", epoch)?)
    .bind(holder)
    .bind(run.uuid())
    .bind(micros(term)?)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Lease::Acquired(Acquired {
        fence: Fence { definition, epoch },
        expires_in: term,
    }))
}

/// Prolongs a lease from now on. Count the term from before the call.
///
/// # Errors
/// [`Error::LeaseLost`] where it was taken over, released, or has run out: a lease that ran out is never
/// revived, because its holder may have been judged dead already.
pub async fn renew(store: &MetaStore, fence: Fence, term: Duration) -> Result<Duration> {
    let renewed = sqlx::query(
        "UPDATE writer_leases SET expires_at = clock_timestamp() + $3 * interval '1 microsecond'
         WHERE definition_id = $1 AND epoch = $2 AND expires_at > clock_timestamp()",
    )
    .bind(fence.definition.uuid())
    .bind(to_bigint("lease epoch", fence.epoch)?)
    .bind(micros(term)?)
    .execute(&mut *store.acquire().await?)
    .await?;
    if renewed.rows_affected() == 1 {
        Ok(term)
    } else {
        Err(lost(fence, "it was taken over or has run out"))
    }
}

/// Gives a lease back at once. One that is lost already is left alone.
///
/// # Errors
/// As any statement.
pub async fn release(store: &MetaStore, fence: Fence) -> Result<()> {
    sqlx::query(
        "UPDATE writer_leases SET expires_at = clock_timestamp(), holder = NULL, run_id = NULL
         WHERE definition_id = $1 AND epoch = $2",
    )
    .bind(fence.definition.uuid())
    .bind(to_bigint("lease epoch", fence.epoch)?)
    .execute(&mut *store.acquire().await?)
    .await?;
    Ok(())
}

/// Checks a fence inside a writing transaction and keeps the lease from being taken over until it ends.
pub(crate) async fn check(connection: &mut PgConnection, fence: Fence) -> Result<()> {
    // Where this has to wait for a take-over, PostgreSQL judges the condition again on the row as it is then.
    let holds = sqlx::query(
        "SELECT 1 FROM writer_leases
         WHERE definition_id = $1 AND epoch = $2 AND expires_at > clock_timestamp() FOR KEY SHARE",
    )
    .bind(fence.definition.uuid())
    .bind(to_bigint("lease epoch", fence.epoch)?)
    .fetch_optional(&mut *connection)
    .await?;
    if holds.is_some() {
        return Ok(());
    }
    let epoch: Option<i64> = sqlx::query_scalar("SELECT epoch FROM writer_leases WHERE definition_id = $1")
        .bind(fence.definition.uuid())
        .fetch_optional(connection)
        .await?;
    let reason = match epoch.map(|epoch| from_bigint("lease epoch", epoch)).transpose()? {
        None => "there is no such lease",
        Some(epoch) if epoch == fence.epoch => "it has run out",
        Some(_) => "another holder has taken over",
    };
    Err(lost(fence, reason))
}

fn lost(fence: Fence, reason: &'static str) -> Error {
    Error::LeaseLost {
        definition: fence.definition,
        epoch: fence.epoch,
        reason,
    }
}

/// A term as microseconds; beyond a day it is a mistake.
fn micros(term: Duration) -> Result<i64> {
    if term > Duration::from_hours(24) {
        return Err(Error::OutOfRange {
            what: "a lease term of more than a day",
        });
    }
    i64::try_from(term.as_micros()).map_err(|_| Error::OutOfRange { what: "lease term" })
}
