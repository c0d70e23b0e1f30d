//! Indexes and the unique keys among them.

use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::pg_type::PgType;

use super::column::{ColumnDescription, oid};

/// One index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDescription {
    /// Its name.
    pub name: String,
    /// It keeps its columns unique.
    pub unique: bool,
    /// It serves the primary key.
    pub primary: bool,
    /// It is complete and in use (a failed `CREATE INDEX CONCURRENTLY` leaves one that is not).
    pub valid: bool,
    /// It covers only rows that meet a condition.
    pub partial: bool,
    /// Its access method, such as `btree`.
    pub method: String,
    /// Its columns in their order, without included ones; `None` is an expression.
    pub columns: Vec<Option<String>>,
    /// Direction flags a column: bit 0 descending, bit 1 NULLs first.
    pub options: Vec<i16>,
    /// It orders texts as its columns do.
    pub same_collation: bool,
}

impl IndexDescription {
    /// Whether reading it forwards or backwards yields the order of these columns, all ascending, NULLs last.
    #[must_use]
    pub fn serves_order(&self, columns: &[&str]) -> bool {
        let prefix = self.columns.len() >= columns.len()
            && self
                .columns
                .iter()
                .zip(columns)
                .all(|(have, want)| have.as_deref() == Some(*want));
        let options = self.options.get(..columns.len()).unwrap_or(&[]);
        let one_way = options.iter().all(|o| *o == 0) || options.iter().all(|o| *o == 3);
        prefix && one_way && self.valid && !self.partial && self.same_collation && self.method == "btree"
    }
}

/// Why a unique index cannot serve as key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// NULLs are not equal to each other, so such rows have no identity.
    #[error("column `{0}` takes NULL; a key must be complete: add NOT NULL")]
    Nullable(String),
    /// Equality that texts do not show.
    #[error("column `{0}` has a nondeterministic collation, under which different texts are one value")]
    Nondeterministic(String),
    /// A type whose equality texts do not show.
    #[error("column `{0}` has a type whose equal values may be written differently")]
    TypeEquality(String),
    /// It covers an expression.
    #[error("the index covers an expression, not only columns")]
    Expression,
    /// It covers only some rows.
    #[error("the index covers only rows that meet its condition")]
    Partial,
    /// It is not complete.
    #[error("the index is not valid; build it again (REINDEX)")]
    Invalid,
}

/// A primary or unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueKey {
    /// Name of its index.
    pub index: String,
    /// Its columns in their order.
    pub columns: Vec<String>,
    /// It is the primary key.
    pub primary: bool,
    /// Why it cannot serve as key, if it cannot.
    pub refusal: Option<KeyRefusal>,
}

/// All indexes of a relation, the primary key's first.
pub(super) async fn read_indexes(
    connection: &mut PgConnection,
    relation: i64,
) -> Result<Vec<IndexDescription>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.relname::text, i.indisunique, i.indisprimary, i.indisvalid AND i.indisready, \
             i.indpred IS NOT NULL, m.amname::text, \
             ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, at) \
                   LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number \
                        AND k.number <> 0 \
                   WHERE k.at <= i.indnkeyatts ORDER BY k.at), \
             ARRAY(SELECT o.flags FROM pg_catalog.unnest(i.indoption::int2[]) WITH ORDINALITY AS o(flags, at) \
                   ORDER BY o.at), \
             COALESCE((SELECT pg_catalog.bool_and(s.sorts = a.attcollation) \
                   FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, at) \
                   JOIN pg_catalog.unnest(i.indcollation::oid[]) WITH ORDINALITY AS s(sorts, at) USING (at) \
                   JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number), true) \
         FROM pg_catalog.pg_index AS i \
         JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_am AS m ON m.oid = c.relam \
         WHERE i.indrelid = $1::oid ORDER BY i.indisprimary DESC, c.relname",
    )
    .bind(oid(relation)?)
    .fetch_all(connection)
    .await?;
    rows.iter().map(index).collect()
}

fn index(row: &PgRow) -> Result<IndexDescription, sqlx::Error> {
    Ok(IndexDescription {
        name: row.try_get(0)?,
        unique: row.try_get(1)?,
        primary: row.try_get(2)?,
        valid: row.try_get(3)?,
        partial: row.try_get(4)?,
        method: row.try_get(5)?,
        columns: row.try_get(6)?,
        options: row.try_get(7)?,
        same_collation: row.try_get(8)?,
    })
}

/// The unique indexes as keys, each with the reason if it cannot serve.
pub(super) fn unique_keys<'a>(
    indexes: &[IndexDescription],
    columns: impl Iterator<Item = &'a ColumnDescription>,
) -> Vec<UniqueKey> {
    let columns: Vec<&ColumnDescription> = columns.collect();
    indexes
        .iter()
        .filter(|index| index.unique)
        .map(|index| UniqueKey {
            index: index.name.clone(),
            columns: index.columns.iter().flatten().cloned().collect(),
            primary: index.primary,
            refusal: refusal(index, &columns),
        })
        .collect()
}

fn refusal(index: &IndexDescription, columns: &[&ColumnDescription]) -> Option<KeyRefusal> {
    if !index.valid {
        return Some(KeyRefusal::Invalid);
    }
    if index.partial {
        return Some(KeyRefusal::Partial);
    }
    index.columns.iter().find_map(|name| {
        let Some(column) = columns.iter().find(|column| Some(&column.name) == name.as_ref()) else {
            return Some(KeyRefusal::Expression);
        };
        unfit_for_a_key(column)
    })
}

/// Why this column can be part of no key, if it cannot.
pub(crate) fn unfit_for_a_key(column: &ColumnDescription) -> Option<KeyRefusal> {
    let name = || column.name.clone();
    if column.nullable {
        return Some(KeyRefusal::Nullable(name()));
    }
    unaddressable(column)
}

/// Why equal values of this column need not be equal texts, if so.
pub(crate) fn unaddressable(column: &ColumnDescription) -> Option<KeyRefusal> {
    let name = || column.name.clone();
    if column
        .collation
        .as_ref()
        .is_some_and(|collation| !collation.deterministic)
    {
        return Some(KeyRefusal::Nondeterministic(name()));
    }
    match &column.pg_type {
        // Its text changes with the server's `lc_monetary`, and with it would every row's identity.
        PgType::Money => Some(KeyRefusal::TypeEquality(name())),
        PgType::Other { name: spelled } | PgType::Array { name: spelled, .. }
            if !EQUAL_AS_TEXT.contains(&spelled.as_str()) =>
        {
            Some(KeyRefusal::TypeEquality(name()))
        }
        _ => None,
    }
}

/// Types without a canonical form of their own whose values are equal only if their texts are. Not among
/// them: `interval` (1 day = 24 hours), `citext`, `jsonb`, arrays and ranges of types that are not.
const EQUAL_AS_TEXT: &[&str] = &[
    "bytea",
    "oid",
    "name",
    "\"char\"",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "pg_lsn",
    "xid8",
    "time without time zone",
    "\"bit\"",
    "bit varying",
    "text[]",
    "integer[]",
    "bigint[]",
    "uuid[]",
];
