//! What a database offers: relations, their columns, keys and indexes, and what our role may do with them.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::failure::{Failure, Scope};

use crate::access::Access;
use crate::near::did_you_mean;
use crate::session::Sessions;
use crate::shape::TableRef;

mod column;
mod index;

use column::read_columns;
pub(crate) use column::{CatalogColumn, oid};
pub use column::{CollationDescription, ColumnDescription};
pub use index::{IndexDescription, KeyRefusal, UniqueKey};
pub(crate) use index::{unaddressable, unfit_for_a_key};

/// Most relations listed.
pub const RELATIONS_MAX: i64 = 10_000;

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table (a partition of one, too).
    Table,
    /// A partitioned table.
    PartitionedTable,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    ForeignTable,
}

impl RelationKind {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::PartitionedTable => "partitioned table",
            RelationKind::View => "view",
            RelationKind::MaterializedView => "materialized view",
            RelationKind::ForeignTable => "foreign table",
        }
    }

    fn of(relkind: &str) -> Option<Self> {
        match relkind {
            "r" => Some(RelationKind::Table),
            "p" => Some(RelationKind::PartitionedTable),
            "v" => Some(RelationKind::View),
            "m" => Some(RelationKind::MaterializedView),
            "f" => Some(RelationKind::ForeignTable),
            _ => None,
        }
    }

    /// Whether the server itself can keep keys of this kind unique and complete.
    #[must_use]
    pub fn enforces_keys(self) -> bool {
        matches!(self, RelationKind::Table | RelationKind::PartitionedTable)
    }
}

/// One relation in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationSummary {
    /// Its name.
    pub table: TableRef,
    /// Its kind.
    pub kind: RelationKind,
    /// Its comment.
    pub comment: Option<String>,
    /// Rows by the last ANALYZE; `None` before the first and for views.
    pub analyzed_rows: Option<u64>,
    /// Row security is switched on for it.
    pub row_security: bool,
    /// Our role may read at least one column.
    pub readable: bool,
}

/// Everything about one relation.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDescription {
    /// Its name.
    pub table: TableRef,
    /// Its kind.
    pub kind: RelationKind,
    /// Its comment.
    pub comment: Option<String>,
    /// Rows by the last ANALYZE; `None` before the first and for views.
    pub analyzed_rows: Option<u64>,
    /// Row security is switched on for it.
    pub row_security: bool,
    /// Row security would hide rows from our role; reading it is refused.
    pub rows_hidden: bool,
    /// Our role may use the schema.
    pub schema_usable: bool,
    /// Columns in the table's order.
    pub columns: Vec<ColumnDescription>,
    /// Primary key first, then unique indexes; also those that cannot serve, with the reason.
    pub keys: Vec<UniqueKey>,
    /// All indexes.
    pub indexes: Vec<IndexDescription>,
}

impl TableDescription {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnDescription> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The key to propose: the primary key if it can serve, else the usable unique key with the fewest columns.
    #[must_use]
    pub fn best_key(&self) -> Option<&UniqueKey> {
        self.keys
            .iter()
            .filter(|key| key.refusal.is_none())
            .min_by_key(|key| (!key.primary, key.columns.len()))
    }

    /// An index by which rows can be read in the order of these columns without sorting: the key, or the
    /// watermark followed by the key.
    #[must_use]
    pub fn index_for(&self, columns: &[&str]) -> Option<&IndexDescription> {
        self.indexes.iter().find(|index| index.serves_order(columns))
    }
}

/// A way to look around in a database. Read-only, like everything here.
#[derive(Clone, Debug)]
pub struct Catalog {
    sessions: Sessions,
}

impl Catalog {
    /// Connects.
    ///
    /// # Errors
    /// The first session's failure with its cause: `source.unreachable`, `source.password`, `source.tls_*` …
    pub async fn connect(access: &Access) -> Result<Self, Failure> {
        Ok(Self {
            sessions: Sessions::open(access).await?,
        })
    }

    /// Tables and views outside the system's schemas, at most [`RELATIONS_MAX`], by schema and name.
    ///
    /// # Errors
    /// As every read.
    pub async fn relations(&self) -> Result<Vec<RelationSummary>, Failure> {
        self.sessions
            .run(&self.sessions.context, async |connection| list(connection).await)
            .await
    }

    /// Everything about one relation.
    ///
    /// # Errors
    /// `source.schema_missing` and `source.table_missing` with near names.
    pub async fn describe(&self, table: &TableRef) -> Result<TableDescription, Failure> {
        let Relation {
            found,
            columns,
            indexes,
        } = self.relation(table).await?;
        let columns: Vec<_> = columns.into_iter().map(|column| column.description).collect();
        let keys = index::unique_keys(&indexes, columns.iter());
        let Found {
            summary,
            rows_hidden,
            schema_usable,
            ..
        } = found;
        Ok(TableDescription {
            table: summary.table,
            kind: summary.kind,
            comment: summary.comment,
            analyzed_rows: summary.analyzed_rows,
            row_security: summary.row_security,
            rows_hidden,
            schema_usable,
            columns,
            keys,
            indexes,
        })
    }

    /// Ends all sessions.
    pub async fn close(&self) {
        self.sessions.close().await;
    }

    /// A relation as the checks want it.
    pub(crate) async fn relation(&self, table: &TableRef) -> Result<Relation, Failure> {
        let found = self
            .sessions
            .run(&self.sessions.context, async |c| find(c, table).await)
            .await?;
        let Some(found) = found else {
            return Err(self.missing(table).await?);
        };
        let context = self.sessions.context.on(&table.to_string());
        let oid = found.oid;
        self.sessions
            .run(&context, async |connection| {
                let columns = read_columns(connection, oid).await?;
                let indexes = index::read_indexes(connection, oid).await?;
                Ok(Relation {
                    found,
                    columns,
                    indexes,
                })
            })
            .await
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Says that a relation is missing, with names that come near.
    async fn missing(&self, table: &TableRef) -> Result<Failure, Failure> {
        let relations = self.relations().await?;
        let mut schemas: Vec<&str> = relations.iter().map(|r| r.table.schema.as_str()).collect();
        schemas.dedup();
        let schema_known = self
            .sessions
            .run(&self.sessions.context, async |connection| {
                sqlx::query_scalar::<_, bool>(
                    "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text)",
                )
                .bind(&table.schema)
                .fetch_one(connection)
                .await
            })
            .await?;
        if !schema_known {
            return Ok(Failure::new(
                Scope::List,
                "source.schema_missing",
                format!(
                    "there is no schema `{}`{}",
                    table.schema,
                    did_you_mean(&table.schema, schemas)
                ),
                "correct the definition; upper and lower case matter",
            ));
        }
        let here = relations
            .iter()
            .filter(|r| r.table.schema == table.schema)
            .map(|r| r.table.table.as_str());
        let mut hint = did_you_mean(&table.table, here);
        if hint.is_empty()
            && let Some(elsewhere) = relations.iter().find(|r| r.table.table == table.table)
        {
            hint = format!("; did you mean {}?", elsewhere.table);
        }
        Ok(Failure::new(
            Scope::List,
            "source.table_missing",
            format!("there is no table or view {table}{hint}"),
            "correct the definition; upper and lower case matter",
        ))
    }
}

/// A relation, its columns and indexes, with the server's own spellings.
pub(crate) struct Relation {
    pub(crate) found: Found,
    pub(crate) columns: Vec<CatalogColumn>,
    pub(crate) indexes: Vec<IndexDescription>,
}

impl Relation {
    pub(crate) fn keys(&self) -> Vec<UniqueKey> {
        index::unique_keys(
            &self.indexes,
            self.columns.iter().map(|column| &column.description),
        )
    }
}

/// A relation with what only we need to know.
pub(crate) struct Found {
    pub(crate) oid: i64,
    pub(crate) summary: RelationSummary,
    pub(crate) rows_hidden: bool,
    pub(crate) schema_usable: bool,
}

const SUMMARY: &str = "SELECT n.nspname::text, c.relname::text, c.relkind::text, \
     pg_catalog.obj_description(c.oid, 'pg_class'), \
     CASE WHEN c.relkind IN ('r', 'p', 'm', 'f') AND c.reltuples >= 0 THEN c.reltuples::int8 END, \
     c.relrowsecurity, \
     pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT'), \
     c.oid::int8, pg_catalog.row_security_active(c.oid), pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
     FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')";

fn found(row: &PgRow) -> Result<Found, sqlx::Error> {
    let relkind: String = row.try_get(2)?;
    let rows: Option<i64> = row.try_get(4)?;
    Ok(Found {
        oid: row.try_get(7)?,
        rows_hidden: row.try_get(8)?,
        schema_usable: row.try_get(9)?,
        summary: RelationSummary {
            table: TableRef::new(row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?),
            kind: RelationKind::of(&relkind)
                .ok_or_else(|| sqlx::Error::Protocol("unasked relkind".into()))?,
            comment: row.try_get(3)?,
            analyzed_rows: rows.and_then(|rows| u64::try_from(rows).ok()),
            row_security: row.try_get(5)?,
            readable: row.try_get(6)?,
        },
    })
}

async fn list(connection: &mut PgConnection) -> Result<Vec<RelationSummary>, sqlx::Error> {
    let mut sql = crate::sql::Sql::new(SUMMARY);
    sql.text(
        " AND n.nspname <> 'information_schema' AND n.nspname::text NOT LIKE 'pg\\_%' \
         ORDER BY n.nspname, c.relname LIMIT $1",
    );
    let rows = sqlx::query(sql.statement())
        .bind(RELATIONS_MAX)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| found(row).map(|found| found.summary))
        .collect()
}

async fn find(connection: &mut PgConnection, table: &TableRef) -> Result<Option<Found>, sqlx::Error> {
    let mut sql = crate::sql::Sql::new(SUMMARY);
    sql.text(" AND n.nspname = $1::text AND c.relname = $2::text");
    let row = sqlx::query(sql.statement())
        .bind(&table.schema)
        .bind(&table.table)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(found).transpose()
}
