//! Statements that write one row.
//!
//! Our own operators and casts are resolved when a statement is parsed, under an empty `search_path`. The table's
//! triggers run later, and they are written for the path that the role has by default; so each statement sets that
//! path while it is executed, just before its row is touched.

use super::{Column, Statements, column_of_t, raw_form};
use crate::sql::{CastName, Sql};

/// How a row is locked before it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowLock {
    /// Lets rows that refer to this one be inserted meanwhile.
    NoKeyUpdate,
    /// What the write would take anyway where a row goes or its unique columns change. Taken at once: who holds the
    /// weaker lock while waiting for this one can end in a deadlock with whoever refers to the row.
    Update,
}

impl Statements {
    /// `$1…` key. Locks and reads a row; where it is `stored` in a table, with `ctid` behind.
    pub(crate) fn lock_to_write(&self, lock: RowLock, stored: bool) -> Sql {
        let mut sql = Sql::new("SELECT ");
        sql.append(&self.parts.selected);
        if stored {
            sql.text(", t.ctid::text");
        }
        sql.text(" FROM ")
            .append(&self.parts.relation)
            .append(&self.parts.at_key)
            .text(match lock {
                RowLock::NoKeyUpdate => " FOR NO KEY UPDATE OF t",
                RowLock::Update => " FOR UPDATE OF t",
            });
        sql
    }

    /// `$1…` one text a column of `set` (indexes of cells), then the triggers' `search_path`. Answers the key, what
    /// was written a column, and where it is `stored` its `ctid`.
    pub(crate) fn insert_one(&self, set: &[usize], stored: bool) -> Sql {
        let columns = self.written(set);
        let mut sql = Sql::new("INSERT INTO ");
        sql.append(&self.parts.relation);
        if !columns.is_empty() {
            sql.text(" (");
            sql.list(", ", &columns, |sql, column| {
                sql.name(&column.name);
            });
            sql.text(")");
        }
        sql.text(" SELECT ");
        sql.list(", ", columns.iter().enumerate(), |sql, (n, column)| {
            sql.parameter(n + 1, &column.cast);
        });
        sql.text(" WHERE ");
        path_set(&mut sql, columns.len() + 1);
        self.returning(&mut sql, &columns, 1, stored);
        sql
    }

    /// `$1…` key, then `ctid` where it is `stored`, one text a column of `set` (indexes of cells), the triggers'
    /// `search_path`. Answers as an insert does.
    pub(crate) fn update_one(&self, set: &[usize], stored: bool) -> Sql {
        let columns = self.written(set);
        let first = self.parts.key.len() + 1 + usize::from(stored);
        let mut sql = Sql::new("UPDATE ");
        sql.append(&self.parts.relation).text(" SET ");
        sql.list(", ", columns.iter().enumerate(), |sql, (n, column)| {
            sql.name(&column.name)
                .text(" = ")
                .parameter(first + n, &column.cast);
        });
        self.that_row(&mut sql, stored, first + columns.len());
        self.returning(&mut sql, &columns, first, stored);
        sql
    }

    /// `$1…` key, then `ctid` where it is `stored`, the triggers' `search_path`. Answers the key.
    pub(crate) fn delete_one(&self, stored: bool) -> Sql {
        let mut sql = Sql::new("DELETE FROM ");
        sql.append(&self.parts.relation);
        self.that_row(&mut sql, stored, self.parts.key.len() + 1 + usize::from(stored));
        self.returning(&mut sql, &[], 1, false);
        sql
    }

    /// `$1` a text: whether it becomes a value of a column, length and precision included.
    pub(crate) fn probe(&self, at: usize, declared: &CastName) -> Sql {
        let mut sql = Sql::new("SELECT (");
        sql.parameter(1, &self.parts.cells[at].cast)
            .text("::")
            .cast(declared)
            .text(") IS NULL");
        sql
    }

    fn written(&self, set: &[usize]) -> Vec<&Column> {
        set.iter().filter_map(|at| self.parts.cells.get(*at)).collect()
    }

    fn that_row(&self, sql: &mut Sql, stored: bool, path: usize) {
        sql.append(&self.parts.at_key);
        if stored {
            sql.text(" AND t.ctid = $")
                .number(self.parts.key.len() as u64 + 1)
                .text("::text::tid");
        }
        sql.text(" AND ");
        path_set(sql, path);
    }

    fn returning(&self, sql: &mut Sql, columns: &[&Column], first: usize, stored: bool) {
        sql.text(" RETURNING ");
        sql.list(", ", &self.parts.key, |sql, column| {
            column_of_t(sql, column).text("::text");
        });
        for (n, column) in columns.iter().enumerate() {
            sql.text(", ");
            raw_form(sql, &column.pg_type, self.parts.cell_max_bytes, |sql| {
                sql.text("(").parameter(first + n, &column.cast).text(")");
            });
        }
        if stored {
            sql.text(", t.ctid::text");
        }
    }
}

fn path_set(sql: &mut Sql, parameter: usize) {
    sql.text("pg_catalog.set_config('search_path', $")
        .number(parameter as u64)
        .text(", true) IS NOT NULL");
}
