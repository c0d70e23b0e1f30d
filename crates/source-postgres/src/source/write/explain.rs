//! Which column a refused row was refused for. The server names it rarely; the catalog and the values know.

use sqlx::postgres::PgConnection;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::row::Cell;
use syncbridge_domain::row_write::{Assignment, RowWrite};

use super::facts::Facts;
use super::transaction::{Broken, Transaction};
use crate::catalog::oid;
use crate::fault::write::{Blame, Refusal};
use crate::source::PgSource;
use crate::source::keys::{Look, columns_of, look_up};

/// A write, and what it was refused with.
pub(super) struct RefusedWrite<'a> {
    pub(super) source: &'a PgSource,
    pub(super) facts: &'a Facts,
    pub(super) write: &'a RowWrite,
    pub(super) refusal: Refusal,
}

impl RefusedWrite<'_> {
    /// Names the column, and tells a taken key from another value that has to be unique. The savepoint is open, and
    /// nothing was done under it that was not undone.
    pub(super) async fn explain(self, transaction: &mut Transaction) -> Result<Failure, Broken> {
        let names = match &self.refusal.blame {
            Blame::Nothing => return Ok(self.refusal.failure),
            Blame::Value { or_else } => {
                let culprit = match (assignments(self.write), or_else) {
                    ([(only, _)], None) => Some(*only),
                    _ => self.culprit(transaction).await?,
                };
                return Ok(match (culprit, or_else) {
                    (None, Some(other)) => other.clone(),
                    _ => self.naming(culprit),
                });
            }
            Blame::Constraint {
                schema,
                table,
                name,
                unique,
            } => {
                if *unique
                    && let Some(key) = self.new_key()
                    && self.is_taken(transaction, &key).await?
                {
                    return Ok(self.source.key_taken());
                }
                transaction
                    .run(async |connection| columns_of_constraint(connection, [schema, table, name]).await)
                    .await?
            }
            Blame::Domain { schema, name } => {
                let relation = self.source.oid;
                transaction
                    .run(async |connection| columns_of_domain(connection, relation, [schema, name]).await)
                    .await?
            }
        };
        let concerned: Vec<usize> = assignments(self.write)
            .iter()
            .map(|(at, _)| *at)
            .filter(|at| names.contains(&self.source.shape.columns[*at].name))
            .collect();
        Ok(match (concerned.as_slice(), names.as_slice()) {
            ([one], _) => self.naming(Some(*one)),
            (_, [one]) => self.refusal.failure.column(one),
            _ => self.refusal.failure,
        })
    }

    fn naming(self, column: Option<usize>) -> Failure {
        match column.and_then(|at| self.source.shape.columns.get(at)) {
            Some(column) => self.refusal.failure.column(&column.name),
            None => self.refusal.failure,
        }
    }

    /// The key that the row would have had, if it is another one than it has.
    fn new_key(&self) -> Option<Key> {
        let after = self.source.key_after(self.write)?;
        match self.write {
            RowWrite::Update { key, .. } if *key == after => None,
            _ => Some(after),
        }
    }

    /// The column whose value does not become one of its type: tried one by one.
    async fn culprit(&self, transaction: &mut Transaction) -> Result<Option<usize>, Broken> {
        for (at, cell) in assignments(self.write) {
            // A cast that somebody asks for cuts a text, where an assignment refuses it.
            if longer_than_declared(&self.source.shape.columns[*at].pg_type, cell) {
                return Ok(Some(*at));
            }
            let sql = self
                .source
                .statements
                .probe(*at, &self.facts.columns[*at].declared);
            let tried = transaction
                .run(async |connection| {
                    sqlx::query(sql.statement())
                        .bind(cell.as_deref())
                        .persistent(false)
                        .execute(connection)
                        .await
                        .map(|_| ())
                })
                .await;
            if let Err(broken) = tried {
                broken.refused()?;
                transaction.undo().await?;
                return Ok(Some(*at));
            }
        }
        Ok(None)
    }

    async fn is_taken(&self, transaction: &mut Transaction, key: &Key) -> Result<bool, Broken> {
        let keys = std::slice::from_ref(key);
        let Ok(columns) = columns_of(self.source, keys) else {
            return Ok(false);
        };
        let found = transaction
            .run(async |connection| look_up(self.source, connection, Look::Rows, keys, columns).await)
            .await?;
        Ok(found.is_ok_and(|rows| rows.iter().any(|rows| !rows.is_empty())))
    }
}

impl PgSource {
    /// The key that a row has after a write; `None` where the server chooses it, or the texts are no key.
    pub(super) fn key_after(&self, write: &RowWrite) -> Option<Key> {
        let old = match write {
            RowWrite::Insert { .. } => None,
            RowWrite::Update { key, .. } | RowWrite::Delete { key, .. } => Some(key.texts().ok()?),
        };
        let set = assignments(write);
        let raw: Vec<Option<&str>> = self
            .key
            .iter()
            .enumerate()
            .map(|(nth, column)| {
                let assigned = set
                    .iter()
                    .find(|(at, _)| self.shape.columns.get(*at).is_some_and(|c| c.name == column.name));
                match assigned {
                    Some((_, cell)) => cell.as_deref(),
                    None => old.as_ref().and_then(|texts| texts.get(nth).copied()),
                }
            })
            .collect();
        encode_key(&self.key, &raw).ok()
    }

    /// The key that a write wants is another row's.
    pub(super) fn key_taken(&self) -> Failure {
        let failure = Failure::new(
            Scope::Row,
            "row.key_taken",
            format!("{} has a row with this key already", self.table),
            "nothing where both sides added the same row: they are joined; else give the row another key",
        );
        match &self.key[..] {
            [column] => failure.column(&column.name),
            _ => failure,
        }
    }
}

/// What a write assigns.
pub(super) fn assignments(write: &RowWrite) -> &[Assignment] {
    match write {
        RowWrite::Insert { set } | RowWrite::Update { set, .. } => set,
        RowWrite::Delete { .. } => &[],
    }
}

fn longer_than_declared(pg_type: &syncbridge_domain::pg_type::PgType, cell: &Cell) -> bool {
    use syncbridge_domain::pg_type::PgType;
    let (PgType::Varchar { length: Some(length) } | PgType::Char { length: Some(length) }) = pg_type else {
        return false;
    };
    // Blanks beyond the length are cut silently, as SQL wants it.
    cell.as_deref()
        .is_some_and(|text| text.trim_end_matches(' ').chars().count() > *length as usize)
}

/// Columns that a constraint or a unique index covers.
async fn columns_of_constraint(
    connection: &mut PgConnection,
    [schema, table, name]: [&str; 3],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_catalog.pg_class AS c \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
         WHERE n.nspname = $1::text AND c.relname = $2::text AND ( \
             EXISTS (SELECT FROM pg_catalog.pg_constraint AS k \
                     WHERE k.conrelid = c.oid AND k.conname = $3::text AND a.attnum = ANY (k.conkey)) \
             OR EXISTS (SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid \
                     WHERE i.indrelid = c.oid AND x.relname = $3::text AND a.attnum = ANY (i.indkey::int2[]))) \
         ORDER BY a.attnum",
    )
    .bind(schema)
    .bind(table)
    .bind(name)
    .fetch_all(connection)
    .await
}

/// Columns that were declared with a domain.
async fn columns_of_domain(
    connection: &mut PgConnection,
    relation: i64,
    [schema, name]: [&str; 2],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_catalog.pg_attribute AS a \
         JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
         WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped \
           AND n.nspname = $2::text AND t.typname = $3::text ORDER BY a.attnum",
    )
    .bind(oid(relation)?)
    .bind(schema)
    .bind(name)
    .fetch_all(connection)
    .await
}
