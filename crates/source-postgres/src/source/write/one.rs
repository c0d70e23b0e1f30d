//! One write, tried once under its savepoint.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use syncbridge_domain::failure::Failure;
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::Assignment;

use super::facts::Facts;
use super::transaction::{Broken, Transaction};
use super::{Tried, Write};
use crate::session::text;
use crate::source::PgSource;
use crate::statements::RowLock;

/// A row that was locked.
struct Locked {
    row: SourceRow,
    /// Where it is, in a table.
    ctid: Option<String>,
}

impl PgSource {
    pub(super) async fn insert(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        set: &[Assignment],
    ) -> Result<Tried, Broken> {
        let columns: Vec<usize> = set.iter().map(|(at, _)| *at).collect();
        let sql = self.statements.insert_one(&columns, facts.stored);
        let texts = set.iter().map(|(_, cell)| cell.as_deref());
        let texts: Vec<Option<&str>> = texts.chain([Some(facts.search_path.as_str())]).collect();
        let rows = rows(transaction, &sql, &texts).await?;
        Ok(self.answered(facts, &rows, set.len())?)
    }

    pub(super) async fn update(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        key: &Key,
        expected: &[Cell],
        set: &[Assignment],
    ) -> Result<Tried, Broken> {
        let lock = if changes_unique(facts, set) {
            RowLock::Update
        } else {
            RowLock::NoKeyUpdate
        };
        let keys = self.key_values(key)?;
        let locked = match self.lock(facts, transaction, key, &keys, lock, expected).await? {
            Ok(locked) => locked,
            Err(now) => return Ok(Tried::Moved(now)),
        };
        let columns: Vec<usize> = set.iter().map(|(at, _)| *at).collect();
        let sql = self.statements.update_one(&columns, facts.stored);
        let mut texts: Vec<Option<&str>> = keys.iter().map(|text| Some(text.as_str())).collect();
        texts.extend(locked.ctid.iter().map(|ctid| Some(ctid.as_str())));
        texts.extend(set.iter().map(|(_, cell)| cell.as_deref()));
        texts.push(Some(&facts.search_path));
        let rows = rows(transaction, &sql, &texts).await?;
        Ok(self.answered(facts, &rows, set.len())?)
    }

    pub(super) async fn delete(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        key: &Key,
        expected: &[Cell],
    ) -> Result<Tried, Broken> {
        let keys = self.key_values(key)?;
        let locked = self.lock(facts, transaction, key, &keys, RowLock::Update, expected);
        let locked = match locked.await? {
            Ok(locked) => locked,
            Err(now) => return Ok(Tried::Moved(now)),
        };
        let sql = self.statements.delete_one(facts.stored);
        let mut texts: Vec<Option<&str>> = keys.iter().map(|text| Some(text.as_str())).collect();
        texts.extend(locked.ctid.iter().map(|ctid| Some(ctid.as_str())));
        texts.push(Some(&facts.search_path));
        let rows = rows(transaction, &sql, &texts).await?;
        Ok(match rows.len() {
            1 => Tried::Deleted(locked.row),
            _ => Tried::Refused(self.write_lost()),
        })
    }

    /// Locks the row with this key. The inner error is the row as it is, where it is not as expected.
    async fn lock(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        key: &Key,
        keys: &[String],
        lock: RowLock,
        expected: &[Cell],
    ) -> Result<Result<Locked, Presence<SourceRow>>, Broken> {
        let sql = self.statements.lock_to_write(lock, facts.stored);
        let texts: Vec<Option<&str>> = keys.iter().map(|text| Some(text.as_str())).collect();
        let found = rows(transaction, &sql, &texts).await?;
        let mut locked = Vec::with_capacity(found.len());
        for row in &found {
            let (row, ctid) = (self.row(row, 0)?, self.ctid(facts, row)?);
            // The server's equality may be wider than the key's; that row has another identity.
            if row.key == *key {
                locked.push(Locked { row, ctid });
            }
        }
        if locked.len() > 1 {
            // Where keys are checked at the commit, a row to which this very transaction gave the key of another may
            // stand beside it until that one has a new key too; it is not the one that was meant.
            locked.retain(|locked| !transaction.has_written(locked.ctid.as_deref()));
        }
        Ok(match locked.pop() {
            None => Err(Presence::None),
            Some(last) if !locked.is_empty() => {
                locked.push(last);
                Err(Presence::Many(
                    locked.into_iter().map(|locked| locked.row).collect(),
                ))
            }
            Some(only) if self.is_as_expected(&only.row, expected) => Ok(only),
            Some(only) => Err(Presence::One(only.row)),
        })
    }

    fn ctid(&self, facts: &Facts, row: &PgRow) -> Result<Option<String>, Failure> {
        if !facts.stored {
            return Ok(None);
        }
        let ctid = text(row, row.len() - 1).map_err(|error| self.context.classify(error))?;
        Ok(ctid.map(str::to_owned))
    }

    fn is_as_expected(&self, row: &SourceRow, expected: &[Cell]) -> bool {
        row.cells.len() == expected.len()
            && (row.cells.iter().zip(expected).enumerate())
                .all(|(at, (now, then))| now == then || self.shape.passive.contains(&at))
    }

    /// Takes apart what an insert or update answered: the key, and a text a value written.
    fn answered(&self, facts: &Facts, rows: &[PgRow], values: usize) -> Result<Tried, Failure> {
        let [row] = rows else {
            return Ok(Tried::Refused(self.write_lost()));
        };
        let cell = |at: usize| text(row, at).map_err(|error| self.context.classify(error));
        let raw: Vec<Option<&str>> = (0..self.key.len()).map(cell).collect::<Result<_, _>>()?;
        // A view's trigger may leave the key to its table, and then nobody knows which row it was.
        let Ok(key) = encode_key(&self.key, &raw) else {
            return Ok(Tried::Refused(self.write_lost()));
        };
        let written = (0..values)
            .map(|n| Ok(cell(self.key.len() + n)?.map(Into::into)))
            .collect::<Result<_, Failure>>()?;
        Ok(Tried::Written(Write {
            key,
            written,
            ctid: self.ctid(facts, row)?,
        }))
    }
}

/// Whether columns change to which other tables may refer.
pub(super) fn changes_unique(facts: &Facts, set: &[Assignment]) -> bool {
    set.iter().any(|(at, _)| facts.columns[*at].unique)
}

async fn rows(
    transaction: &mut Transaction,
    sql: &crate::sql::Sql,
    texts: &[Option<&str>],
) -> Result<Vec<PgRow>, Broken> {
    transaction
        .run(async |connection| {
            let mut query = sqlx::query(sql.statement());
            for text in texts {
                query = query.bind(*text);
            }
            query.fetch_all(connection).await
        })
        .await
}
