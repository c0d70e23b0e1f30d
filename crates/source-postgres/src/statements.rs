//! The statements of one opened table, written once.
//!
//! Pages go on by row comparison, `(watermark, k1, k2) > ($2, $3, $4)`: the comparison takes place in the
//! columns' own types and collations, in which `ORDER BY` sorts too, so a page begins exactly where the last
//! one ended, and an index in that order serves both. Parameters travel as text and are cast to the column's
//! type without its length, since a cast to `varchar(3)` would cut. A parameter has no collation of its own,
//! so the column's decides.

use syncbridge_domain::pg_type::PgType;

use crate::sql::{CastName, Identifier, Sql};
use parts::Parts;

pub(crate) use writes::RowLock;

mod parts;
mod writes;

/// A column that takes part in statements.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: Identifier,
    pub(crate) cast: CastName,
    pub(crate) pg_type: PgType,
}

/// Statements over a watermark column.
#[derive(Debug)]
pub(crate) struct WatermarkStatements {
    /// `$1` limit.
    pub(crate) first: Sql,
    /// `$1` limit, `$2` watermark, which is included.
    pub(crate) from: Sql,
    /// `$1` limit, `$2` watermark, `$3…` key.
    pub(crate) behind: Sql,
    /// `$1` limit.
    pub(crate) null_first: Sql,
    /// `$1` limit, `$2…` key.
    pub(crate) null_next: Sql,
    /// `$1` bound, where there is one.
    pub(crate) ceiling: Sql,
    pub(crate) ceiling_takes_bound: bool,
}

/// Statements over a range of keys, both ends included.
#[derive(Debug)]
pub(crate) struct RangeStatements {
    /// `$1` limit, `$2…` first key.
    pub(crate) from: Sql,
    /// `$1` limit, `$2…` first key, then last key.
    pub(crate) from_to: Sql,
    /// `$1` limit, `$2…` last key.
    pub(crate) to: Sql,
    /// `$1` limit, `$2…` key of the row before, then last key.
    pub(crate) next_to: Sql,
    /// `$1…` one array of texts a key column, then the first key: the ordinals of those that are not before it.
    pub(crate) not_before: Sql,
    /// The same with the last key, of those that are not behind it.
    pub(crate) not_behind: Sql,
}

/// All statements of one opened table. Pages select the key's texts, the cells, and the watermark if there
/// is one.
#[derive(Debug)]
pub(crate) struct Statements {
    /// `$1` limit.
    pub(crate) key_first: Sql,
    /// `$1` limit, `$2…` key.
    pub(crate) key_next: Sql,
    /// `$1…` one array of texts a key column; selects the ordinal first.
    pub(crate) by_keys: Sql,
    /// The same, with the `xmin` of each row behind all else; not for views.
    pub(crate) by_keys_with_xmin: Sql,
    pub(crate) ranges: RangeStatements,
    /// Whether a row without a complete key exists.
    pub(crate) null_key: Sql,
    /// The planner's view of the whole table.
    pub(crate) count_plan: Sql,
    pub(crate) watermark: Option<WatermarkStatements>,
    /// What statements about one row, or about rules of the list, are put together from.
    parts: Parts,
}

impl Statements {
    pub(crate) fn new(
        [schema, table]: [&Identifier; 2],
        key: &[Column],
        cells: &[Column],
        watermark: Option<&Column>,
        cell_max_bytes: u32,
    ) -> Self {
        let mut relation = Sql::default();
        relation.name(schema).text(".").name(table).text(" AS t");
        let mut from = Sql::new(" FROM ");
        from.append(&relation);
        let writer = Writer {
            relation,
            from,
            key,
            cells,
            watermark,
            cell_max_bytes,
        };
        Self {
            key_first: writer.page(&Sql::default(), None),
            key_next: writer.page(&writer.behind(None, 2), None),
            by_keys: writer.by_keys(""),
            by_keys_with_xmin: writer.by_keys(", t.xmin::text"),
            ranges: writer.ranges(),
            null_key: writer.null_key(),
            count_plan: writer.count_plan(),
            watermark: watermark.map(|column| writer.watermark(column)),
            parts: Parts {
                selected: writer.selected(),
                at_key: writer.at_key(),
                relation: writer.relation,
                key: key.to_vec(),
                cells: cells.to_vec(),
                cell_max_bytes,
            },
        }
    }

    /// First pages with `EXPLAIN`: planning them checks everything but the values.
    pub(crate) fn rehearsal(&self) -> Vec<Sql> {
        let pages = [Some(&self.key_first), self.watermark.as_ref().map(|w| &w.first)];
        pages
            .into_iter()
            .flatten()
            .map(|page| {
                let mut sql = Sql::new("EXPLAIN ");
                sql.append(page);
                sql
            })
            .collect()
    }
}

struct Writer<'a> {
    /// `"schema"."table" AS t`.
    relation: Sql,
    /// The same behind `FROM`.
    from: Sql,
    key: &'a [Column],
    cells: &'a [Column],
    watermark: Option<&'a Column>,
    cell_max_bytes: u32,
}

impl Writer<'_> {
    /// Key texts, cells and watermark, all as text.
    fn selected(&self) -> Sql {
        let mut sql = Sql::default();
        sql.list(", ", self.key, |sql, column| {
            column_of_t(sql, column).text("::text");
        });
        for column in self.cells {
            sql.text(", ");
            self.cell(&mut sql, column);
        }
        if let Some(column) = self.watermark {
            sql.text(", ");
            column_of_t(&mut sql, column).text("::text");
        }
        sql
    }

    fn cell(&self, sql: &mut Sql, column: &Column) {
        raw_form(sql, &column.pg_type, self.cell_max_bytes, |sql| {
            column_of_t(sql, column);
        });
    }

    /// `SELECT … WHERE condition ORDER BY [first,] key LIMIT $1`.
    fn page(&self, condition: &Sql, first: Option<&Column>) -> Sql {
        let mut sql = Sql::new("SELECT ");
        sql.append(&self.selected())
            .append(&self.from)
            .append(condition)
            .text(" ORDER BY ");
        sql.list(", ", first.into_iter().chain(self.key), |sql, column| {
            column_of_t(sql, column);
        });
        sql.text(" LIMIT $1");
        sql
    }

    /// ` WHERE ([first,] key) > ($n, …)`.
    fn behind(&self, first: Option<&Column>, parameter: usize) -> Sql {
        let mut sql = Sql::new(" WHERE ");
        self.greater(&mut sql, first, parameter);
        sql
    }

    fn greater(&self, sql: &mut Sql, first: Option<&Column>, parameter: usize) {
        self.compared(sql, first, ") > (", parameter);
    }

    fn ranges(&self) -> RangeStatements {
        let behind = 2 + self.key.len();
        let page = |conditions: &[(&'static str, usize)]| {
            let mut sql = Sql::new(" WHERE ");
            sql.list(" AND ", conditions, |sql, (operator, parameter)| {
                self.compared(sql, None, operator, *parameter);
            });
            self.page(&sql, None)
        };
        RangeStatements {
            from: page(&[(") >= (", 2)]),
            from_to: page(&[(") >= (", 2), (") <= (", behind)]),
            to: page(&[(") <= (", 2)]),
            next_to: page(&[(") > (", 2), (") <= (", behind)]),
            not_before: self.keys_compared(") >= ("),
            not_behind: self.keys_compared(") <= ("),
        }
    }

    /// Which of the keys given compare so with one key. No row takes part: the table only lends its columns, so
    /// that their collations decide.
    fn keys_compared(&self, operator: &'static str) -> Sql {
        let mut sql = Sql::new("SELECT u.at FROM ROWS FROM (");
        sql.list(", ", 1..=self.key.len(), |sql, number| {
            sql.text("pg_catalog.unnest($")
                .number(number as u64)
                .text("::text[])");
        });
        sql.text(") WITH ORDINALITY AS u(");
        for at in 0..self.key.len() {
            sql.text("k").number(at as u64).text(", ");
        }
        sql.text("at) LEFT JOIN ")
            .append(&self.relation)
            .text(" ON false WHERE (");
        sql.list(", ", self.key.iter().enumerate(), |sql, (at, column)| {
            sql.text("COALESCE(");
            key_value(sql, at, column);
            sql.text(", ");
            column_of_t(sql, column).text(")");
        });
        sql.text(operator);
        sql.list(", ", self.key.iter().enumerate(), |sql, (at, column)| {
            sql.parameter(self.key.len() + 1 + at, &column.cast);
        });
        sql.text(")");
        sql
    }

    /// `([first,] key) OPERATOR ($n, …)`; the operator comes with the brackets around it.
    fn compared(&self, sql: &mut Sql, first: Option<&Column>, operator: &'static str, parameter: usize) {
        sql.text("(");
        sql.list(", ", first.into_iter().chain(self.key), |sql, column| {
            column_of_t(sql, column);
        });
        sql.text(operator);
        sql.list(
            ", ",
            first.into_iter().chain(self.key).enumerate(),
            |sql, (at, column)| {
                sql.parameter(parameter + at, &column.cast);
            },
        );
        sql.text(")");
    }

    fn watermark(&self, column: &Column) -> WatermarkStatements {
        let is_null = |text: &'static str| {
            let mut sql = Sql::new(" WHERE ");
            column_of_t(&mut sql, column).text(text);
            sql
        };
        let mut at_least = Sql::new(" WHERE ");
        column_of_t(&mut at_least, column)
            .text(" >= ")
            .parameter(2, &column.cast);
        let mut null_next = is_null(" IS NULL AND ");
        self.greater(&mut null_next, None, 2);
        let (ceiling, ceiling_takes_bound) = self.ceiling(column);
        WatermarkStatements {
            first: self.page(&is_null(" IS NOT NULL"), Some(column)),
            from: self.page(&at_least, Some(column)),
            behind: self.page(&self.behind(Some(column), 2), Some(column)),
            null_first: self.page(&is_null(" IS NULL"), None),
            null_next: self.page(&null_next, None),
            ceiling,
            ceiling_takes_bound,
        }
    }

    /// The largest watermark, held below a bound where the type knows time. Values that stand above all
    /// others for ever (NaN, infinity) are no position: everything behind them would be skipped.
    fn ceiling(&self, column: &Column) -> (Sql, bool) {
        let zoned = column.pg_type == PgType::TimestampTz;
        let mut sql = Sql::new("SELECT ");
        if zoned {
            sql.text("LEAST(");
            column_of_t(&mut sql, column).text(", $1::text::timestamptz)::text");
        } else {
            column_of_t(&mut sql, column).text("::text");
        }
        sql.append(&self.from).text(" WHERE ");
        column_of_t(&mut sql, column).text(" IS NOT NULL");
        let bounded = match &column.pg_type {
            PgType::Timestamp => " <= ($1::text::timestamptz AT TIME ZONE 'UTC')",
            PgType::Date => " <= ($1::text::timestamptz AT TIME ZONE 'UTC')::date",
            PgType::Float4 | PgType::Float8 | PgType::Numeric { .. } => "::text NOT IN ('NaN', 'Infinity')",
            _ => "",
        };
        if !bounded.is_empty() {
            sql.text(" AND ");
            column_of_t(&mut sql, column).text(bounded);
        }
        sql.text(" ORDER BY ");
        column_of_t(&mut sql, column).text(" DESC LIMIT 1");
        (
            sql,
            zoned || matches!(column.pg_type, PgType::Timestamp | PgType::Date),
        )
    }

    /// Keys travel as one array a column; the cast makes them values of the column's type, so that its
    /// index serves.
    /// What is selected `besides` stands behind all else.
    fn by_keys(&self, besides: &'static str) -> Sql {
        let mut sql = Sql::new("SELECT q.at, ");
        sql.append(&self.selected())
            .text(besides)
            .text(" FROM (SELECT u.at");
        for (at, column) in self.key.iter().enumerate() {
            sql.text(", ");
            key_value(&mut sql, at, column);
            sql.text(" AS v").number(at as u64);
        }
        sql.text(" FROM ROWS FROM (");
        sql.list(", ", 1..=self.key.len(), |sql, number| {
            sql.text("pg_catalog.unnest($")
                .number(number as u64)
                .text("::text[])");
        });
        sql.text(") WITH ORDINALITY AS u(");
        for at in 0..self.key.len() {
            sql.text("k").number(at as u64).text(", ");
        }
        // OFFSET 0 keeps the casts out of the join's conditions, where they would be done once a row.
        sql.text("at) OFFSET 0) AS q JOIN ");
        sql.append(&self.relation).text(" ON ");
        sql.list(" AND ", self.key.iter().enumerate(), |sql, (at, column)| {
            column_of_t(sql, column).text(" = q.v").number(at as u64);
        });
        sql
    }

    fn at_key(&self) -> Sql {
        let mut sql = Sql::new(" WHERE ");
        sql.list(" AND ", self.key.iter().enumerate(), |sql, (at, column)| {
            column_of_t(sql, column)
                .text(" = ")
                .parameter(at + 1, &column.cast);
        });
        sql
    }

    fn null_key(&self) -> Sql {
        let mut sql = Sql::new("SELECT EXISTS (SELECT");
        sql.append(&self.from).text(" WHERE ");
        sql.list(" OR ", self.key, |sql, column| {
            column_of_t(sql, column).text(" IS NULL");
        });
        sql.text(")");
        sql
    }

    fn count_plan(&self) -> Sql {
        let mut sql = Sql::new("EXPLAIN (FORMAT JSON) SELECT 1");
        sql.append(&self.from);
        sql
    }
}

/// `t."column"`.
fn column_of_t<'a>(sql: &'a mut Sql, column: &Column) -> &'a mut Sql {
    sql.text("t.").name(&column.name)
}

/// The text in which a value of this type is read.
fn raw_form(sql: &mut Sql, pg_type: &PgType, cell_max_bytes: u32, value: impl Fn(&mut Sql)) {
    let as_text = |sql: &mut Sql| {
        value(sql);
        sql.text(match pg_type {
            // Without a currency sign and separators, which `lc_monetary` would put there.
            PgType::Money => "::numeric::text",
            _ => "::text",
        });
    };
    if !may_be_long(pg_type) {
        return as_text(sql);
    }
    sql.text("CASE WHEN pg_catalog.octet_length(");
    as_text(sql);
    sql.text(") > ")
        .number(u64::from(cell_max_bytes))
        .text(" THEN pg_catalog.left(");
    as_text(sql);
    // Characters take up to four bytes.
    sql.text(", ")
        .number(u64::from(cell_max_bytes / 4))
        .text(") || ' [cut from ' || pg_catalog.octet_length(");
    as_text(sql);
    sql.text(") || ' bytes, MD5 ' || pg_catalog.md5(");
    as_text(sql);
    sql.text(") || ']' ELSE ");
    as_text(sql);
    sql.text(" END");
}

/// A key's text as a value of the column's type.
fn key_value(sql: &mut Sql, at: usize, column: &Column) {
    let number = at as u64;
    if matches!(column.pg_type, PgType::Enum { .. }) {
        // A label that was renamed away is no value any more, and so no row's key: not an error, just absent.
        sql.text("CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_enum AS e WHERE e.enumlabel = u.k")
            .number(number)
            .text(" AND e.enumtypid = pg_catalog.pg_typeof(NULL::")
            .cast(&column.cast)
            .text(")) THEN u.k")
            .number(number)
            .text("::")
            .cast(&column.cast)
            .text(" END");
    } else {
        sql.text("u.k").number(number).text("::").cast(&column.cast);
    }
}

/// Whether a text of this type can exceed any sensible cell.
fn may_be_long(pg_type: &PgType) -> bool {
    match pg_type {
        PgType::Text | PgType::Array { .. } | PgType::Other { .. } => true,
        PgType::Varchar { length } | PgType::Char { length } => length.is_none_or(|length| length > 10_000),
        _ => false,
    }
}
