//! An opened table: checked once against the catalog, then read in pages, and written row by row.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt as _};
use sqlx::postgres::{PgConnection, PgRow};
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::feed::{Horizon, Lsn};
use syncbridge_domain::identity::{Key, KeyColumn, KeyError, encode_key};
use syncbridge_domain::row::{Cell, Presence, SourceRow};

use crate::access::Access;
use crate::catalog::{Catalog, Found};
use crate::fault::Context;
use crate::session::{Sessions, text};
use crate::shape::{ReadShape, TableRef};
use crate::statements::Statements;

pub use ceiling::CLOCK_MARGIN;
pub use edit::Edit;
pub use keys::KEYS_MAX;
pub use write::{StagedWrites, WRITES_MAX};

mod ceiling;
mod check;
mod edit;
mod horizon;
pub(crate) mod keys;
mod life;
mod range;
mod survey;
mod write;

/// Bytes of cells after which a page ends, however few its rows are. Pages are bounded by rows, cells by
/// [`ReadShape::cell_max_bytes`]; this bounds what many large cells add up to.
pub const PAGE_MAX_BYTES: usize = 64 << 20;

/// Most bytes of cells that one point read takes into memory. It cannot end early: a row left out would look
/// deleted.
pub const KEYS_MAX_BYTES: usize = 256 << 20;

/// A page of rows and what was true just before it was read.
#[derive(Clone, Debug)]
pub struct SourcePage {
    /// Rows in key order, or in (watermark, key) order. None: there are no more. Fewer than asked for means
    /// nothing, since a page also ends at [`PAGE_MAX_BYTES`].
    pub rows: Vec<SourceRow>,
    /// WAL position taken before the snapshot of the page.
    pub lsn: Lsn,
}

/// Where the next watermark page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatermarkPosition {
    /// Raw text of the watermark.
    pub value: String,
    /// `Some`: strictly behind this row. `None`: AT the value, rows that bear it included. A cursor is read
    /// this way, because a transaction that began in the very microsecond of the ceiling may still commit
    /// rows that bear it.
    pub key: Option<Key>,
}

/// One table or view, opened.
///
/// Every read is one statement and so one snapshot; the WAL position is asked in a statement of its own
/// *before* it (in the same session, `read committed`), because inside one statement or one `repeatable read`
/// transaction the snapshot comes first.
#[derive(Clone, Debug)]
pub struct PgSource {
    sessions: Sessions,
    context: Arc<Context>,
    table: TableRef,
    key: Arc<[KeyColumn]>,
    shape: Arc<ReadShape>,
    statements: Arc<Statements>,
    oid: i64,
    /// The server cannot promise that key columns are never NULL (views, foreign tables).
    null_keys_possible: bool,
    /// What kind of relation it is, for people.
    relation: &'static str,
    /// What the catalog says about writing, once somebody wrote.
    writing: Arc<tokio::sync::OnceCell<write::facts::Facts>>,
}

impl PgSource {
    /// Connects, compares the shape with the catalog, and lets the server plan every statement once, so that
    /// missing columns, privileges, hidden rows and unordered types are told before a run begins.
    ///
    /// # Errors
    /// Connection failures as [`Catalog::connect`]; `source.table_missing`, `source.column_missing`,
    /// `source.type_changed`, `source.permission`, `source.row_security`, `source.key_*`, `source.unordered`.
    pub async fn connect(access: &Access, table: &TableRef, shape: &ReadShape) -> Result<Self, Failure> {
        let catalog = Catalog::connect(access).await?;
        let checked = check::check(&catalog, access, table, shape).await;
        let checked = match checked {
            Ok(checked) => checked,
            Err(failure) => {
                catalog.close().await;
                return Err(failure);
            }
        };
        let sessions = catalog.sessions().clone();
        let Found { oid, summary, .. } = checked.found;
        let source = Self {
            context: Arc::new(sessions.context.on(&table.to_string())),
            sessions,
            table: table.clone(),
            key: shape.key.clone().into(),
            shape: Arc::new(shape.clone()),
            statements: Arc::new(checked.statements),
            oid,
            null_keys_possible: !summary.kind.enforces_keys(),
            relation: summary.kind.name(),
            writing: Arc::default(),
        };
        source.rehearse().await?;
        Ok(source)
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &TableRef {
        &self.table
    }

    /// What is read of it.
    #[must_use]
    pub fn shape(&self) -> &ReadShape {
        &self.shape
    }

    /// Ends all sessions.
    pub fn close(&self) -> impl Future<Output = ()> + 'static {
        self.sessions.close()
    }

    /// Rows behind `after` in key order, at most `limit`.
    ///
    /// # Errors
    /// `source.key_null` where a view shows a row without a complete key.
    pub async fn page_by_key(&self, after: Option<&Key>, limit: u32) -> Result<SourcePage, Failure> {
        let values = match after {
            None => {
                self.refuse_null_keys().await?;
                Vec::new()
            }
            Some(key) => self.key_values(key)?,
        };
        let sql = if after.is_some() {
            &self.statements.key_next
        } else {
            &self.statements.key_first
        };
        self.page(sql, values, limit).await
    }

    /// Rows in (watermark, key) order from `after` on, NULL watermarks left out, at most `limit`; `None`
    /// begins at the smallest. See [`WatermarkPosition`] for what is included.
    ///
    /// # Errors
    /// `source.no_watermark` where the shape has none; `source.key_null` as [`PgSource::page_by_key`].
    pub async fn page_by_watermark(
        &self,
        after: Option<&WatermarkPosition>,
        limit: u32,
    ) -> Result<SourcePage, Failure> {
        let statements = self.watermark_statements()?;
        let (sql, values) = match after {
            None => (&statements.first, Vec::new()),
            Some(WatermarkPosition { value, key: None }) => (&statements.from, vec![value.clone()]),
            Some(WatermarkPosition {
                value,
                key: Some(key),
            }) => {
                let mut values = vec![value.clone()];
                values.extend(self.key_values(key)?);
                (&statements.behind, values)
            }
        };
        if after.is_none_or(|position| position.key.is_none()) {
            self.refuse_null_keys().await?;
        }
        self.page(sql, values, limit).await
    }

    /// Rows whose watermark is NULL, behind `after` in key order, at most `limit`.
    ///
    /// # Errors
    /// As [`PgSource::page_by_watermark`].
    pub async fn page_without_watermark(
        &self,
        after: Option<&Key>,
        limit: u32,
    ) -> Result<SourcePage, Failure> {
        let statements = self.watermark_statements()?;
        match after {
            None => {
                self.refuse_null_keys().await?;
                self.page(&statements.null_first, Vec::new(), limit).await
            }
            Some(key) => {
                self.page(&statements.null_next, self.key_values(key)?, limit)
                    .await
            }
        }
    }

    /// The rows with these keys as they are now, in the order asked, all in one snapshot, and the WAL position
    /// before it. `Presence::None` is proof of absence: row security is an error here, never a filter.
    ///
    /// # Errors
    /// `source.too_many_keys` above [`KEYS_MAX`].
    pub async fn read_keys(&self, keys: &[Key]) -> Result<(Vec<Presence<SourceRow>>, Lsn), Failure> {
        keys::read_keys(self, keys).await
    }

    /// What is true right now, in one round trip; to be asked before the snapshot that is to rest on it.
    ///
    /// # Errors
    /// As every read.
    pub async fn horizon(&self) -> Result<Horizon, Failure> {
        horizon::horizon(self).await
    }

    /// The watermark value that may become the cursor, and whether it was held below the start of every open
    /// transaction. `None`: no row bears a watermark.
    ///
    /// Held (`timestamptz`): the value rests on `horizon`, so it may be adopted once the horizon's
    /// transactions have ended. Not held (every other type): it is the largest value *now*, so `horizon` says
    /// nothing about it. A transaction that began since may have drawn a smaller number and commit it later;
    /// the pending value must therefore wait for the transactions of a horizon asked *after* this answer.
    ///
    /// # Errors
    /// `source.no_watermark` where the shape has none.
    pub async fn watermark_ceiling(&self, horizon: &Horizon) -> Result<Option<(String, bool)>, Failure> {
        ceiling::watermark_ceiling(self, horizon).await
    }

    /// About how many rows there are, as the planner sees it; 0 for an empty table and where nobody knows.
    ///
    /// # Errors
    /// As every read.
    pub async fn estimate(&self) -> Result<u64, Failure> {
        let oid = self.oid;
        self.sessions
            .run(&self.context, async |connection| {
                let empty: bool = sqlx::query_scalar(
                    "SELECT c.relkind IN ('r', 'm') AND pg_catalog.pg_relation_size(c.oid) = 0 \
                     FROM pg_catalog.pg_class AS c WHERE c.oid::int8 = $1",
                )
                .bind(oid)
                .fetch_optional(&mut *connection)
                .await?
                .unwrap_or(false);
                if empty {
                    return Ok(0);
                }
                let plan: sqlx::types::JsonValue = sqlx::query_scalar(self.statements.count_plan.statement())
                    .fetch_one(connection)
                    .await?;
                Ok(plan
                    .pointer("/0/Plan/Plan Rows")
                    .and_then(sqlx::types::JsonValue::as_u64)
                    .unwrap_or(0))
            })
            .await
    }

    fn watermark_statements(&self) -> Result<&crate::statements::WatermarkStatements, Failure> {
        self.statements.watermark.as_ref().ok_or_else(|| {
            Failure::new(
                Scope::List,
                "source.no_watermark",
                format!("the definition reads {} without a watermark column", self.table),
                "name a watermark column in the definition, or use the full scan",
            )
        })
    }

    /// The key's texts as parameters.
    fn key_values(&self, key: &Key) -> Result<Vec<String>, Failure> {
        let texts = key.texts().map_err(|_| self.key_of_another_shape())?;
        if texts.len() != self.key.len() {
            return Err(self.key_of_another_shape());
        }
        Ok(texts.into_iter().map(str::to_owned).collect())
    }

    fn key_of_another_shape(&self) -> Failure {
        Failure::new(
            Scope::List,
            "source.key_changed",
            format!(
                "a remembered key does not have the key columns that {} has in this definition",
                self.table
            ),
            "the key columns of a definition are fixed; make a new definition for the new key",
        )
    }

    async fn page(
        &self,
        sql: &crate::sql::Sql,
        values: Vec<String>,
        limit: u32,
    ) -> Result<SourcePage, Failure> {
        let (read, lsn) = self
            .sessions
            .run(&self.context, async |connection| {
                let lsn = position(connection).await?;
                let mut query = sqlx::query(sql.statement()).bind(i64::from(limit));
                for value in values {
                    query = query.bind(value);
                }
                let read = bounded(query.fetch(connection), PAGE_MAX_BYTES, |row| {
                    let row = self.row(row, 0)?;
                    let bytes = size(&row);
                    Ok((row, bytes))
                });
                Ok((read.await?, lsn))
            })
            .await?;
        Ok(SourcePage {
            rows: read?.rows,
            lsn,
        })
    }

    /// Takes a row apart whose key columns begin at `at`, followed by cells and watermark.
    fn row(&self, row: &PgRow, at: usize) -> Result<SourceRow, Failure> {
        let driver = |error| self.context.classify(error);
        let mut raw = Vec::with_capacity(self.key.len());
        for index in 0..self.key.len() {
            raw.push(text(row, at + index).map_err(driver)?);
        }
        let key = encode_key(&self.key, &raw).map_err(|error| self.bad_key(error))?;
        let begin = at + self.key.len();
        let mut cells: Vec<Cell> = Vec::with_capacity(self.shape.columns.len());
        for index in 0..self.shape.columns.len() {
            cells.push(text(row, begin + index).map_err(driver)?.map(Into::into));
        }
        let watermark = match self.shape.watermark {
            Some(_) => text(row, begin + cells.len()).map_err(driver)?.map(Into::into),
            None => None,
        };
        Ok(SourceRow {
            key,
            cells,
            watermark,
        })
    }

    fn bad_key(&self, error: KeyError) -> Failure {
        match error {
            KeyError::Null { column } => self.null_key(Some(column)),
            other => Failure::new(
                Scope::List,
                "source.key_malformed",
                format!("a row of {} has no readable key: {other}", self.table),
                "compare the types of the key columns with the definition and apply it again",
            ),
        }
    }

    fn null_key(&self, column: Option<String>) -> Failure {
        let failure = Failure::new(
            Scope::List,
            "source.key_null",
            format!("{} shows a row whose key is not complete (NULL)", self.table),
            "choose key columns that are never NULL, or leave such rows out in the view's WHERE",
        );
        match column {
            Some(column) => failure.column(column),
            None => failure,
        }
    }

    /// Rows with a NULL in the key would silently fall out of every comparison; so they are looked for.
    async fn refuse_null_keys(&self) -> Result<(), Failure> {
        if !self.null_keys_possible {
            return Ok(());
        }
        let found: bool = self
            .sessions
            .run(&self.context, async |connection| {
                sqlx::query_scalar(self.statements.null_key.statement())
                    .fetch_one(connection)
                    .await
            })
            .await?;
        if found { Err(self.null_key(None)) } else { Ok(()) }
    }

    /// Lets the server plan the statements: `EXPLAIN` checks columns, operators, privileges and row security
    /// without reading a row.
    async fn rehearse(&self) -> Result<(), Failure> {
        for sql in self.statements.rehearsal() {
            self.sessions
                .run(&self.context, async |connection| {
                    sqlx::query(sql.statement())
                        .bind(1_i64)
                        .persistent(false)
                        .fetch_all(connection)
                        .await
                })
                .await?;
        }
        Ok(())
    }
}

/// What was read before the bound was reached.
struct Bounded<T> {
    rows: Vec<T>,
    complete: bool,
}

/// Bytes of a row's texts.
fn size(row: &SourceRow) -> usize {
    let texts = row.cells.iter().chain([&row.watermark]);
    row.key.as_bytes().len() + texts.flatten().map(|text| text.len()).sum::<usize>()
}

/// Takes rows in until they have more than `most` bytes; at least one. Each is taken apart (`take` answers its
/// bytes too) as it comes, while the server works on the next ones. The inner error is what `take` says.
async fn bounded<T>(
    rows: impl Stream<Item = Result<PgRow, sqlx::Error>>,
    most: usize,
    mut take: impl FnMut(&PgRow) -> Result<(T, usize), Failure>,
) -> Result<Result<Bounded<T>, Failure>, sqlx::Error> {
    let mut stream = pin!(rows);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        if bytes > most {
            return Ok(Ok(Bounded {
                rows,
                complete: false,
            }));
        }
        match take(&row) {
            Ok((row, size)) => {
                bytes += size;
                rows.push(row);
            }
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(Bounded { rows, complete: true }))
}

/// The WAL position now: what a commit record written before it did is or will soon be visible; nothing
/// behind it is.
async fn position(connection: &mut PgConnection) -> Result<Lsn, sqlx::Error> {
    let text: String = sqlx::query_scalar(LSN_NOW).fetch_one(connection).await?;
    parse_number(&text).map(Lsn)
}

/// On a standby the replayed position is what its snapshots show.
const LSN_NOW: &str = "SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
     ELSE pg_catalog.pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::text";

fn parse_number(text: &str) -> Result<u64, sqlx::Error> {
    text.parse()
        .map_err(|_| sqlx::Error::Protocol("a position or transaction id is no number".into()))
}
