//! What the catalog says about writing to a relation, asked once a table.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::failure::Failure;
use syncbridge_domain::row_write::RowWrite;

use crate::catalog::oid;
use crate::source::PgSource;
use crate::sql::CastName;

/// A mapped column, as far as writing goes.
#[derive(Debug)]
pub(crate) struct ColumnFacts {
    /// Its type with length, precision and domain.
    pub(super) declared: CastName,
    /// The server computes it and takes no value.
    pub(super) computed: bool,
    /// A unique index covers it, so that other tables may refer to it.
    pub(super) unique: bool,
}

/// A relation, as far as writing goes.
#[derive(Debug)]
pub(crate) struct Facts {
    /// In the order of the shape.
    pub(super) columns: Vec<ColumnFacts>,
    /// Rows are its own, so each has `ctid` and `xmin`.
    pub(super) stored: bool,
    /// The `search_path` that the role has by default.
    pub(super) search_path: String,
    can_insert: bool,
    can_update: bool,
    can_delete: bool,
}

impl Facts {
    pub(super) async fn read(source: &PgSource) -> Result<Self, Failure> {
        let oid = source.oid;
        let (relation, columns) = source
            .sessions
            .run(&source.context, async |connection| ask(connection, oid).await)
            .await?;
        source
            .writable(&relation, &columns)
            .map_err(|error| source.context.classify(error))?
    }

    /// The refusal of a write for which the relation has no way at all.
    pub(super) fn impossible(&self, write: &RowWrite) -> Option<&'static str> {
        match write {
            RowWrite::Insert { .. } if !self.can_insert => Some("INSERT"),
            RowWrite::Update { .. } if !self.can_update => Some("UPDATE"),
            RowWrite::Delete { .. } if !self.can_delete => Some("DELETE"),
            _ => None,
        }
    }
}

impl PgSource {
    fn writable(&self, relation: &PgRow, columns: &[PgRow]) -> Result<Result<Facts, Failure>, sqlx::Error> {
        let (standby, read_only): (bool, String) = (relation.try_get(0)?, relation.try_get(1)?);
        // Our sessions override the setting, but whoever made the role or database read-only meant us too.
        if standby || read_only == "on" {
            return Ok(Err(self.context.server_read_only()));
        }
        let events: i32 = relation.try_get(3)?;
        let mut facts = Vec::with_capacity(self.shape.columns.len());
        for wanted in &self.shape.columns {
            let mut found = None;
            for row in columns {
                if row.try_get::<&str, _>(0)? == wanted.name {
                    found = Some(ColumnFacts {
                        declared: CastName::printed_by_the_server(row.try_get(1)?),
                        computed: row.try_get(2)?,
                        unique: row.try_get(3)?,
                    });
                }
            }
            let Some(found) = found else {
                return Ok(Err(self.context.column_missing().column(&wanted.name)));
            };
            facts.push(found);
        }
        Ok(Ok(Facts {
            columns: facts,
            stored: relation.try_get(4)?,
            search_path: relation.try_get(2)?,
            // Numbers of the commands in `pg_relation_is_updatable`: 2 updates, 3 inserts, 4 deletes.
            can_update: events & (1 << 2) != 0,
            can_insert: events & (1 << 3) != 0,
            can_delete: events & (1 << 4) != 0,
        }))
    }
}

/// A rule that puts another statement in the place of a write leaves it open which row was written.
const RELATION: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), \
       (SELECT s.reset_val FROM pg_catalog.pg_settings AS s WHERE s.name = 'default_transaction_read_only'), \
       (SELECT s.reset_val FROM pg_catalog.pg_settings AS s WHERE s.name = 'search_path'), \
       pg_catalog.pg_relation_is_updatable(c.oid::regclass, true), \
       c.relkind IN ('r', 'p') AND NOT EXISTS ( \
           SELECT FROM pg_catalog.pg_rewrite AS r \
           WHERE r.ev_class = c.oid AND r.is_instead AND r.ev_type IN ('2', '3', '4')) \
FROM pg_catalog.pg_class AS c WHERE c.oid = $1::oid";

const COLUMNS: &str = "\
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), \
       a.attgenerated <> '' OR a.attidentity = 'a', \
       EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique \
               AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attnum = ANY (i.indkey::int2[])) \
FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped";

async fn ask(connection: &mut PgConnection, relation: i64) -> Result<(PgRow, Vec<PgRow>), sqlx::Error> {
    let found = sqlx::query(RELATION)
        .bind(oid(relation)?)
        .fetch_one(&mut *connection)
        .await?;
    let columns = sqlx::query(COLUMNS)
        .bind(oid(relation)?)
        .fetch_all(connection)
        .await?;
    Ok((found, columns))
}
