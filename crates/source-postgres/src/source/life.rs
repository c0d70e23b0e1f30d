//! Which life of the server this is: what never decreases while it lives on, and whether it still shows rows of ours.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::feed::Lsn;
use syncbridge_domain::identity::Key;
use syncbridge_domain::life::SourceLife;

use super::keys::{Look, columns_of, look_up};
use super::{PgSource, parse_number};

/// Asked for by itself: whoever may not call the function may not even name it in a statement.
const MAY_ASK: &str = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
const IDENTIFIER: &str = "SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c";
/// The name of a WAL file begins with the timeline it is written on.
const LIFE: &str = "\
SELECT r.replica, \
       CASE WHEN r.replica THEN NULL \
            ELSE pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) END, \
       (CASE WHEN r.replica THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::text, \
       (CASE WHEN r.replica THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::text, \
       (pg_catalog.pg_snapshot_xmax(s.now)::text::int8 \
           + pg_catalog.age(pg_catalog.pg_snapshot_xmax(s.now)::pg_catalog.xid))::text \
FROM (SELECT pg_catalog.pg_is_in_recovery() AS replica) AS r, \
     (SELECT pg_catalog.pg_current_snapshot() AS now) AS s";

impl PgSource {
    /// What the server says of its life now.
    ///
    /// # Errors
    /// As every read.
    pub async fn life(&self) -> Result<SourceLife, Failure> {
        self.sessions
            .run(&self.context, async |connection| ask(connection).await)
            .await
    }

    /// Whether one of these rows is older than it was when this transaction of ours had committed it. Nothing is said of
    /// rows that are not there (any more), nor of relations that do not tell who wrote a row, such as views.
    ///
    /// # Errors
    /// As every read.
    pub async fn shows_older(&self, written: &[(Key, u64)]) -> Result<bool, Failure> {
        if written.is_empty() || !self.tells_row_xids().await? {
            return Ok(false);
        }
        let keys: Vec<Key> = written.iter().map(|(key, _)| key.clone()).collect();
        let columns = columns_of(self, &keys)?;
        let found = self
            .sessions
            .run(&self.context, async |connection| {
                look_up(self, connection, Look::RowsAndWriters, &keys, columns).await
            })
            .await??;
        for (rows, (_, xid)) in found.iter().zip(written) {
            if let [(_, Some(writer))] = rows.as_slice()
                && !SourceLife::is_as_new_as(self.parse_xmin(writer)?, *xid)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn ask(connection: &mut PgConnection) -> Result<SourceLife, sqlx::Error> {
    let may_ask: bool = sqlx::query_scalar(MAY_ASK).fetch_one(&mut *connection).await?;
    let identifier = match may_ask {
        true => Some(sqlx::query_scalar(IDENTIFIER).fetch_one(&mut *connection).await?),
        false => None,
    };
    let row = sqlx::query(LIFE).fetch_one(connection).await?;
    let timeline: Option<String> = row.try_get(1)?;
    let number = |at: usize| row.try_get::<String, _>(at).and_then(|text| parse_number(&text));
    Ok(SourceLife {
        identifier,
        timeline: timeline
            .map(|text| u32::from_str_radix(&text, 16))
            .transpose()
            .map_err(|_| sqlx::Error::Protocol("the name of a WAL file begins with no timeline".into()))?,
        durable: Lsn(number(2)?),
        reached: Lsn(number(3)?),
        next_xid: number(4)?,
        replica: row.try_get(0)?,
    })
}
