//! Statements that are written when they are needed: the correction of one row, and counts for a pre-flight.

use syncbridge_domain::pg_type::PgType;

use super::{Column, Statements, column_of_t};
use crate::sql::Sql;

/// What they are put together from.
#[derive(Debug)]
pub(super) struct Parts {
    /// `"schema"."table" AS t`.
    pub(super) relation: Sql,
    /// Key texts, cells and watermark.
    pub(super) selected: Sql,
    /// ` WHERE k1 = $1 AND …`.
    pub(super) at_key: Sql,
    pub(super) key: Vec<Column>,
    pub(super) cells: Vec<Column>,
    pub(super) cell_max_bytes: u32,
}

impl Statements {
    /// `$1…` key. Reads and locks one row; foreign keys that point to it go on being checked meanwhile.
    pub(crate) fn lock_row(&self) -> Sql {
        let mut sql = Sql::new("SELECT ");
        sql.append(&self.parts.selected)
            .text(" FROM ")
            .append(&self.parts.relation)
            .append(&self.parts.at_key)
            .text(" FOR NO KEY UPDATE");
        sql
    }

    /// `$1…` key, then one text a column of `changed` (indexes of cells). Answers the row as it is then.
    pub(crate) fn update_row(&self, changed: &[usize]) -> Sql {
        let parts = &self.parts;
        let mut sql = Sql::new("UPDATE ");
        sql.append(&parts.relation).text(" SET ");
        let columns = changed.iter().filter_map(|at| parts.cells.get(*at)).enumerate();
        sql.list(", ", columns, |sql, (n, column)| {
            sql.name(&column.name)
                .text(" = ")
                .parameter(parts.key.len() + 1 + n, &column.cast);
        });
        sql.append(&parts.at_key)
            .text(" RETURNING ")
            .append(&parts.selected);
        sql
    }

    /// How many keys several rows share.
    pub(crate) fn duplicate_keys(&self) -> Sql {
        let mut sql = Sql::new("SELECT count(*) FROM (SELECT FROM ");
        sql.append(&self.parts.relation).text(" GROUP BY ");
        sql.list(", ", &self.parts.key, |sql, column| {
            column_of_t(sql, column);
        });
        sql.text(" HAVING count(*) > 1) AS g");
        sql
    }

    /// How many keys differ from another one by upper and lower case alone; `None` where no key column is a text.
    pub(crate) fn keys_by_case(&self) -> Option<Sql> {
        let textual =
            |column: &Column| column.pg_type.is_textual() || matches!(column.pg_type, PgType::Char { .. });
        if !self.parts.key.iter().any(textual) {
            return None;
        }
        let keys = |sql: &mut Sql| {
            sql.text("count(DISTINCT (");
            sql.list(", ", &self.parts.key, |sql, column| {
                column_of_t(sql, column);
            });
            sql.text("))");
        };
        let mut sql = Sql::new("SELECT COALESCE(sum(g.n), 0)::int8 FROM (SELECT ");
        keys(&mut sql);
        sql.text(" AS n FROM ")
            .append(&self.parts.relation)
            .text(" GROUP BY ");
        sql.list(", ", &self.parts.key, |sql, column| {
            if textual(column) {
                lower(sql, column);
            } else {
                column_of_t(sql, column);
            }
        });
        sql.text(" HAVING ");
        keys(&mut sql);
        sql.text(" > 1) AS g");
        Some(sql)
    }

    /// How many rows repeat a value of a mapped column, letters compared without regard to case.
    pub(crate) fn repeated(&self, at: usize) -> Sql {
        let column = &self.parts.cells[at];
        let mut sql = Sql::new("SELECT COALESCE(sum(g.n - 1), 0)::int8 FROM (SELECT count(*) AS n FROM ");
        sql.append(&self.parts.relation).text(" WHERE ");
        column_of_t(&mut sql, column).text(" IS NOT NULL GROUP BY ");
        lower(&mut sql, column);
        sql.text(" HAVING count(*) > 1) AS g");
        sql
    }

    /// `$1` smallest, `$2` largest: how many rows have a number outside.
    pub(crate) fn out_of_bounds(&self, at: usize) -> Sql {
        let column = &self.parts.cells[at];
        let mut sql = Sql::new("SELECT count(*) FROM ");
        sql.append(&self.parts.relation).text(" WHERE ");
        // What is not finite is refused for that.
        column_of_t(&mut sql, column).text("::text NOT IN ('NaN', 'Infinity', '-Infinity') AND (");
        column_of_t(&mut sql, column).text("::numeric < $1::float8::numeric OR ");
        column_of_t(&mut sql, column).text("::numeric > $2::float8::numeric)");
        sql
    }
}

fn lower(sql: &mut Sql, column: &Column) {
    sql.text("pg_catalog.lower(");
    column_of_t(sql, column).text("::text)");
}
