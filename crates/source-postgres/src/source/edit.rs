//! Correcting one row: what a person changes in a refused row before it is tried again.
//!
//! Beside `write` the only statement of this crate that writes. It changes named columns of one row, and only if the mapped
//! columns still hold what the person saw: compare and set under a row lock that foreign-key checks do not wait
//! for. Before the commit the row as it would be is shown to the caller, who may refuse it.

use sqlx::Connection as _;
use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Cell, SourceRow};

use super::PgSource;

/// A correction of one row.
#[derive(Clone)]
pub struct Edit<'a> {
    /// Which row.
    pub key: &'a Key,
    /// What its mapped columns held when the person looked, in the order of the shape.
    pub seen: &'a [Cell],
    /// Index of a mapped column, and its new text; `None` is NULL.
    pub changes: &'a [(usize, Cell)],
}

impl std::fmt::Debug for Edit<'_> {
    // Cells never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edit")
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}

impl PgSource {
    /// Changes one row and answers it as the database holds it then (triggers included). `accept` sees that row
    /// before the commit; what it refuses is rolled back.
    ///
    /// # Errors
    /// `source.row_gone`, `source.row_changed`; `source.edit_refused` where the database does not take the value;
    /// `source.edit_permission`; what `accept` answers. Nothing is changed then.
    pub async fn edit(
        &self,
        edit: Edit<'_>,
        accept: impl Fn(&SourceRow) -> Result<(), Failure>,
    ) -> Result<SourceRow, Failure> {
        let keys = self.key_values(edit.key)?;
        let columns: Vec<usize> = edit.changes.iter().map(|(at, _)| *at).collect();
        let lock = self.statements.lock_row();
        let update = self.statements.update_row(&columns);
        let texts: Vec<Option<String>> = edit
            .changes
            .iter()
            .map(|(_, cell)| cell.as_deref().map(str::to_owned))
            .collect();
        self.sessions
            .run(&self.context, async |connection| {
                let mut tx = connection.begin().await?;
                sqlx::raw_sql("SET TRANSACTION READ WRITE")
                    .execute(&mut *tx)
                    .await?;
                let mut query = sqlx::query(lock.statement());
                for value in &keys {
                    query = query.bind(value);
                }
                let found = match query.fetch_all(&mut *tx).await {
                    Ok(rows) => rows,
                    Err(error) => return Ok(Err(self.context.edit_refused(error))),
                };
                let [found] = found.as_slice() else {
                    return Ok(Err(self.edit_failure("source.row_gone")));
                };
                match self.row(found, 0) {
                    Err(failure) => return Ok(Err(failure)),
                    Ok(now) if now.key != *edit.key => return Ok(Err(self.edit_failure("source.row_gone"))),
                    Ok(now) if now.cells != edit.seen => {
                        return Ok(Err(self.edit_failure("source.row_changed")));
                    }
                    Ok(_) => {}
                }
                let mut query = sqlx::query(update.statement());
                for value in &keys {
                    query = query.bind(value);
                }
                for text in &texts {
                    query = query.bind(text);
                }
                let written = match query.fetch_all(&mut *tx).await {
                    Ok(rows) => rows,
                    Err(error) => return Ok(Err(self.context.edit_refused(error))),
                };
                let [written] = written.as_slice() else {
                    return Ok(Err(self.edit_failure("source.edit_lost")));
                };
                let accepted = self.row(written, 0).and_then(|row| accept(&row).map(|()| row));
                match accepted {
                    Err(failure) => Ok(Err(failure)),
                    Ok(row) => match tx.commit().await {
                        Ok(()) => Ok(Ok(row)),
                        // A deferred constraint speaks here.
                        Err(error @ sqlx::Error::Database(_)) => Ok(Err(self.context.edit_refused(error))),
                        Err(error) => Err(error),
                    },
                }
            })
            .await?
    }

    fn edit_failure(&self, code: &str) -> Failure {
        let (cause, fix) = match code {
            "source.row_gone" => (
                format!("the row is not in {} any more", self.table),
                "run the definition again: the row leaves the quarantine by itself",
            ),
            "source.row_changed" => (
                format!("the row of {} was changed since it was looked at", self.table),
                "look at it again with `syncbridge quarantine explain`, then decide anew; nothing was changed",
            ),
            _ => (
                format!(
                    "a rule or trigger of {} kept the row from being changed",
                    self.table
                ),
                "change the row the way the application does; nothing was changed",
            ),
        };
        Failure::new(Scope::Row, code, cause, fix)
    }
}
