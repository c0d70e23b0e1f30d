//! What is true in the source just before a pass looks at it.
//!
//! Three statements travel in one message and run one after the other, in an order that leaves no gap:
//! 1. the clock: whoever begins later bears a later start;
//! 2. the sessions: whoever began earlier and still is at work is seen here …
//! 3. the snapshot: … or has prepared its transaction since, and then has an id below this `xmax`; or has
//!    committed, and then the read that follows sees its rows.
//!
//! A session shows its transaction's start a moment after it took it. That moment is covered by the margin
//! the ceiling keeps below the clock (see `ceiling`).
//!
//! **Which sessions count.** All of this database that can write rows: client sessions, also those idle in a
//! transaction, and background workers. Not: our own, autovacuum (it changes no values), parallel workers
//! (their leader counts), and walsenders, whose "transaction start" is the start of their stream, days ago,
//! and who change nothing. Sessions of other databases cannot write here; transaction ids, though, are one
//! sequence for all databases, so a long transaction elsewhere holds `xmin` back and delays adoption.
//!
//! **Where they cannot be seen.** Without `pg_read_all_stats` the server blanks the rows of other roles'
//! sessions; a superuser may also switch `track_activities` off. One such session in this database is
//! enough: `oldest_start` is then `None`. The same on a standby, whose rows are written by sessions of the
//! primary; its clock is the commit time of the last transaction replayed.
//!
//! **The first id not yet given out** is further than the snapshot's `xmax`, which is the one behind the last that
//! ended: a transaction that drew its id since, and was prepared, would be passed. `age` counts from the former.
//!
//! **Prepared transactions** are in no session list, and their `prepared` time is not their start. A server-
//! written instant needs no more than `xmin` (they have an id). A watermark of any other type is judged by
//! starts, so a prepared transaction is reported as having begun before everything.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::feed::{Horizon, Lsn};
use syncbridge_domain::pg_type::PgType;

use super::{PgSource, parse_number};

/// Each statement answers one row. Instants travel as microseconds, so that nothing is rounded.
const HORIZON: &str = "\
SELECT (pg_catalog.date_part('epoch', CASE WHEN pg_catalog.pg_is_in_recovery() \
           THEN LEAST(pg_catalog.clock_timestamp(), pg_catalog.pg_last_xact_replay_timestamp()) \
           ELSE pg_catalog.clock_timestamp() END) * 1000000)::int8::text, \
       (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
           ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::text; \
SELECT (pg_catalog.date_part('epoch', pg_catalog.min(a.xact_start) FILTER (WHERE \
           COALESCE(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker', 'walsender'))) \
           * 1000000)::int8::text, \
       (pg_catalog.pg_is_in_recovery() OR COALESCE(pg_catalog.bool_or( \
           a.backend_type IS NULL OR a.state = 'disabled'), false))::text \
FROM pg_catalog.pg_stat_activity AS a \
WHERE a.pid <> pg_catalog.pg_backend_pid() \
  AND a.datid = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()); \
SELECT pg_catalog.pg_snapshot_xmin(s.now)::text, \
       (pg_catalog.pg_snapshot_xmax(s.now)::text::int8 \
           + pg_catalog.age(pg_catalog.pg_snapshot_xmax(s.now)::pg_catalog.xid))::text, \
       EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts AS p \
               WHERE p.database = pg_catalog.current_database())::text \
FROM (SELECT pg_catalog.pg_current_snapshot() AS now) AS s";

pub(super) async fn horizon(source: &PgSource) -> Result<Horizon, Failure> {
    let by_start = source
        .shape
        .watermark
        .as_ref()
        .is_some_and(|w| w.pg_type != PgType::TimestampTz);
    source
        .sessions
        .run(&source.context, async |connection| {
            ask(connection, by_start).await
        })
        .await
}

async fn ask(connection: &mut PgConnection, by_start: bool) -> Result<Horizon, sqlx::Error> {
    let rows: Vec<PgRow> = sqlx::raw_sql(HORIZON).fetch(connection).try_collect().await?;
    let [clock, sessions, snapshot] = rows.as_slice() else {
        return Err(sqlx::Error::Protocol("the horizon has three parts".into()));
    };
    let now = instant(&cell(clock, 0)?)?;
    let oldest: Option<String> = sessions.try_get(0)?;
    let oldest = oldest
        .as_deref()
        .map(instant)
        .transpose()?
        .map_or(now, |start| start.min(now));
    let unseen = cell(sessions, 1)? == "true";
    let prepared = cell(snapshot, 2)? == "true";
    let oldest = if by_start && prepared {
        DateTime::UNIX_EPOCH
    } else {
        oldest
    };
    Ok(Horizon {
        clock: now,
        lsn: Lsn(parse_number(&cell(clock, 1)?)?),
        xmin: parse_number(&cell(snapshot, 0)?)?,
        xmax: parse_number(&cell(snapshot, 1)?)?,
        oldest_start: if unseen { None } else { Some(oldest) },
    })
}

fn cell(row: &PgRow, at: usize) -> Result<String, sqlx::Error> {
    row.try_get(at)
}

fn instant(microseconds: &str) -> Result<DateTime<Utc>, sqlx::Error> {
    microseconds
        .parse()
        .ok()
        .and_then(DateTime::from_timestamp_micros)
        .ok_or_else(|| sqlx::Error::Protocol("an instant is out of range".into()))
}
