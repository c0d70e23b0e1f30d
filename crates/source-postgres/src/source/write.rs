//! Writing rows: a transaction in which each write is locked, compared, written and read back, and then waits for its
//! witness to be noted before it commits (DESIGN §6, "Recovery on the source").
//!
//! A write that is refused leaves its neighbours unharmed, as each has a savepoint of its own. What was staged is looked
//! at once more when all are written, so that a receipt shows the row as triggers left it.
//!
//! Triggers, defaults and constraints see the role's own `search_path`, and our fixed settings otherwise: the time zone
//! is UTC, row security is an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite};

use super::PgSource;
use super::keys::{Look, columns_of, look_up};
use crate::fault::Context;
use crate::fault::write::{Verdict, Written};
use explain::{RefusedWrite, assignments};
use facts::Facts;
use one::changes_unique;
use status::widened;
use transaction::{Broken, Ending, Transaction};

mod explain;
pub(super) mod facts;
mod one;
mod status;
mod transaction;

/// Writes that one transaction should hold at most: a session shows others 64 subtransactions, and beyond that
/// everybody's snapshots become dear.
pub const WRITES_MAX: usize = 60;

/// Writes under way in one transaction. Dropping them rolls back and closes the session.
pub struct StagedWrites {
    transaction: Transaction,
    receipts: Vec<RowReceipt>,
}

impl std::fmt::Debug for StagedWrites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StagedWrites")
            .field("receipts", &self.receipts)
            .finish_non_exhaustive()
    }
}

/// What became of a write before the last look at what was staged.
enum Tried {
    /// Inserted or updated.
    Written(Write),
    /// Deleted: the row as it was.
    Deleted(SourceRow),
    Moved(Presence<SourceRow>),
    Refused(Failure),
}

/// What an insert or update answered.
struct Write {
    /// The row's key now.
    key: Key,
    /// A text a value written.
    written: Vec<Cell>,
    /// Where the row is, in a table.
    ctid: Option<String>,
}

impl PgSource {
    /// Begins a transaction and tries each write once in it, in the order of keys; one receipt a write, in the order
    /// asked. More than [`WRITES_MAX`] are allowed and unwise.
    ///
    /// An update or delete is refused as `Moved` where the row shows other texts in its columns than expected, those
    /// that the shape calls passive left out.
    ///
    /// # Errors
    /// What reaches further than a row: the connection, `source.write_permission`, `source.server_read_only`,
    /// `source.not_writable`, `source.row_security`, `source.deadlock`. Nothing was written then.
    pub async fn stage(&self, writes: Vec<RowWrite>) -> Result<StagedWrites, Failure> {
        let facts = self.writing.get_or_try_init(|| Facts::read(self)).await?;
        if let Some(event) = writes.iter().find_map(|write| facts.impossible(write)) {
            return Err(self.context.relation_read_only(event));
        }
        // Rows that a trigger took out of sight after they were written; each turns up once.
        let mut vanished = BTreeMap::new();
        loop {
            let mut transaction = Transaction::begin(&self.sessions, &self.context).await?;
            let tried = self.try_each(facts, &mut transaction, &writes, &vanished).await?;
            let receipts = self.look_again(facts, &mut transaction, tried).await?;
            let before = vanished.len();
            let mut kept = Vec::with_capacity(receipts.len());
            for (at, receipt) in receipts.into_iter().enumerate() {
                match receipt {
                    Ok(receipt) => kept.push(receipt),
                    Err(failure) => {
                        vanished.insert(at, failure);
                    }
                }
            }
            if vanished.len() == before {
                return Ok(StagedWrites {
                    transaction,
                    receipts: kept,
                });
            }
            transaction.roll_back().await;
        }
    }

    /// Whether staged rows bear the id of the subtransaction that wrote them. Where not (views, tables with rules), they
    /// bear that of the whole transaction, which is as good while no row is written by two.
    ///
    /// # Errors
    /// As [`PgSource::stage`].
    pub async fn tells_row_xids(&self) -> Result<bool, Failure> {
        let facts = self.writing.get_or_try_init(|| Facts::read(self)).await?;
        Ok(facts.stored)
    }

    async fn try_each(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        writes: &[RowWrite],
        vanished: &BTreeMap<usize, Failure>,
    ) -> Result<Vec<Tried>, Failure> {
        let mut order: Vec<usize> = (0..writes.len()).collect();
        // All of us lock in one order, so none of us waits for another in a circle. New rows whose key the server
        // chooses come last: nobody else knows them.
        order.sort_by_cached_key(|at| {
            let key = match &writes[*at] {
                RowWrite::Update { key, .. } | RowWrite::Delete { key, .. } => Some(key.clone()),
                insert @ RowWrite::Insert { .. } => self.key_after(insert),
            };
            (key.is_none(), key)
        });
        let mut tried = BTreeMap::new();
        for at in order {
            let outcome = match vanished.get(&at) {
                Some(failure) => Tried::Refused(failure.clone()),
                None => self.try_one(facts, transaction, &writes[at]).await?,
            };
            tried.insert(at, outcome);
        }
        Ok(tried.into_values().collect())
    }

    async fn try_one(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        write: &RowWrite,
    ) -> Result<Tried, Failure> {
        if let Some(failure) = self.unfit(facts, write)? {
            return Ok(Tried::Refused(failure));
        }
        match transaction.savepoint().await {
            Ok(true) => {}
            Ok(false) => return Ok(Tried::Refused(self.context.row_locked())),
            Err(broken) => return Err(broken.failure(&self.context)),
        }
        let outcome = match write {
            RowWrite::Insert { set } => self.insert(facts, transaction, set).await,
            RowWrite::Update { key, expected, set } => {
                self.update(facts, transaction, key, expected, set).await
            }
            RowWrite::Delete { key, expected } => self.delete(facts, transaction, key, expected).await,
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(broken) => Tried::Refused(self.refused(facts, transaction, write, broken).await?),
        };
        if let Tried::Written(write) = &outcome {
            transaction.note_written(write.ctid.clone());
        }
        transaction.end(match outcome {
            Tried::Written(_) | Tried::Deleted(_) => Ending::Keep,
            Tried::Moved(_) | Tried::Refused(_) => Ending::Undo,
        });
        Ok(outcome)
    }

    /// The refusal of a write that cannot be said.
    fn unfit(&self, facts: &Facts, write: &RowWrite) -> Result<Option<Failure>, Failure> {
        for (at, _) in assignments(write) {
            let Some(column) = facts.columns.get(*at) else {
                return Err(self.context.column_missing());
            };
            if column.computed {
                let name = &self.shape.columns[*at].name;
                return Ok(Some(self.context.column_computed().column(name)));
            }
        }
        Ok(None)
    }

    /// Explains why a row was refused; an error where it reaches further than that row.
    async fn refused(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        write: &RowWrite,
        broken: Broken,
    ) -> Result<Failure, Failure> {
        let kind = match write {
            RowWrite::Delete { .. } => Written::Deletion,
            RowWrite::Update { set, .. } if changes_unique(facts, set) => Written::Referable,
            _ => Written::Row,
        };
        let error = broken
            .reported()
            .map_err(|broken| broken.failure(&self.context))?;
        let refusal = match self.context.write_refused(kind, error) {
            Verdict::Row(refusal) => refusal,
            Verdict::Stage(failure) => return Err(failure),
        };
        let explained = async {
            transaction.undo().await?;
            let refused = RefusedWrite {
                source: self,
                facts,
                write,
                refusal,
            };
            refused.explain(transaction).await
        };
        explained
            .await
            .map_err(|broken: Broken| broken.failure(&self.context))
    }

    /// Reads what was staged as it is now. The inner error is why a row that was written is not there.
    async fn look_again(
        &self,
        facts: &Facts,
        transaction: &mut Transaction,
        tried: Vec<Tried>,
    ) -> Result<Vec<Result<RowReceipt, Failure>>, Failure> {
        let broken = |broken: Broken| broken.failure(&self.context);
        transaction.written().await.map_err(broken)?;
        let keys: Vec<Key> = tried
            .iter()
            .filter_map(|tried| match tried {
                Tried::Written(write) => Some(write.key.clone()),
                _ => None,
            })
            .collect();
        let look = if facts.stored {
            Look::RowsAndWriters
        } else {
            Look::Rows
        };
        let columns = columns_of(self, &keys)?;
        let found = transaction
            .run(async |connection| look_up(self, connection, look, &keys, columns).await)
            .await
            .map_err(broken)??;
        let mut found = found.into_iter();
        let top = transaction.top;
        let mut receipts = Vec::with_capacity(tried.len());
        for tried in tried {
            receipts.push(match tried {
                Tried::Written(Write { written, .. }) => {
                    match found.next().unwrap_or_default().as_mut_slice() {
                        [(row, writer)] => Ok(RowReceipt::Staged {
                            row: row.clone(),
                            written,
                            xid: Some(match writer {
                                Some(writer) => widened(top, self.parse_xmin(writer)?),
                                None => top,
                            }),
                        }),
                        [] => Err(self.write_lost()),
                        // A key whose uniqueness is checked at the commit: it would fail there, with all its neighbours.
                        _ => Err(self.key_taken()),
                    }
                }
                Tried::Deleted(row) => Ok(RowReceipt::Staged {
                    row,
                    written: Vec::new(),
                    xid: Some(top),
                }),
                Tried::Moved(now) => Ok(RowReceipt::Moved { now }),
                Tried::Refused(failure) => Ok(RowReceipt::Refused { failure }),
            });
        }
        transaction.staged(&facts.search_path).await.map_err(broken)?;
        Ok(receipts)
    }

    pub(super) fn parse_xmin(&self, text: &str) -> Result<u32, Failure> {
        text.parse().map_err(|_| {
            self.context
                .classify(sqlx::Error::Protocol("an xmin is no number".into()))
        })
    }

    fn write_lost(&self) -> Failure {
        Failure::new(
            Scope::Row,
            "source.write_lost",
            format!(
                "a trigger or rule of {} kept the row from being written, or took it elsewhere",
                self.table
            ),
            "add or change the row the way the application does, or correct the trigger; nothing was written",
        )
    }
}

impl StagedWrites {
    /// One receipt a write, in the order asked.
    #[must_use]
    pub fn receipts(&self) -> &[RowReceipt] {
        &self.receipts
    }

    /// Makes everything staged true. Only what the server says with the session alive proves a rollback: one that ends
    /// the session may have been on its way when the commit was through.
    pub async fn commit(self) -> Commit {
        let context = Arc::clone(&self.transaction.context);
        let (broken, mut transaction) = match self.transaction.commit().await {
            Ok(()) => return Commit::Committed,
            Err(failed) => failed,
        };
        match broken.refused() {
            Ok(error) => {
                transaction.give_back();
                Commit::RolledBack(refused_at_the_end(&context, error))
            }
            Err(broken) => Commit::Unknown(broken.failure(&context)),
        }
    }

    /// Makes nothing of it true.
    pub async fn roll_back(self) {
        self.transaction.roll_back().await;
    }
}

/// A constraint or trigger that waited for the commit.
fn refused_at_the_end(context: &Context, error: sqlx::Error) -> Failure {
    match context.write_refused(Written::Referable, error) {
        Verdict::Row(refusal) => refusal.failure,
        Verdict::Stage(failure) => failure,
    }
}
