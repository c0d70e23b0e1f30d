//! Writing source rows: staged in a transaction of the model, each write behind a savepoint of its own.

use std::sync::Arc;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::Key;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Assignment, Commit, RowReceipt, RowWrite, TransactionStatus};
use syncbridge_engine::ports::PortResult;
use syncbridge_engine::ports::row_writer::{RowWriter, StagedRows};

use super::super::steps::{Call, CommitFate, Part, Steps, step};
use super::refusal::Refusal;
use super::server::{Owner, RowId, Server, TransactionId};
use super::{ModelSource, ModelTable, place_of, value};

/// Writes that are staged and not true yet.
pub struct ModelStaged {
    table: ModelTable,
    steps: Arc<dyn Steps>,
    /// `None` once it was ended.
    transaction: Option<TransactionId>,
    receipts: Vec<RowReceipt>,
}

impl Drop for ModelStaged {
    fn drop(&mut self) {
        if let Some(id) = self.transaction.take() {
            self.table.server().roll_back(id);
        }
    }
}

impl RowWriter for ModelSource {
    type Staged = ModelStaged;

    async fn stage(&self, writes: Vec<RowWrite>) -> PortResult<ModelStaged> {
        step(&*self.steps, rows("stage"), || {
            let id = self.table.server().begin(Owner::Worker, self.table.clock.now());
            // From here on the transaction ends with the value.
            let mut staged = ModelStaged {
                table: self.table.clone(),
                steps: self.steps.clone(),
                transaction: Some(id),
                receipts: Vec::new(),
            };
            let receipts = stage(&mut self.table.server(), id, &writes);
            staged.receipts = receipts?;
            Ok(staged)
        })
        .await
    }

    async fn transactions(&self, ids: &[u64]) -> PortResult<Vec<TransactionStatus>> {
        step(&*self.steps, rows("transactions"), || {
            let server = self.table.server();
            Ok(ids.iter().map(|id| server.status(*id)).collect())
        })
        .await
    }
}

impl StagedRows for ModelStaged {
    fn receipts(&self) -> &[RowReceipt] {
        &self.receipts
    }

    async fn commit(mut self) -> Commit {
        let steps = self.steps.clone();
        if let Err(failure) = steps.before(rows("commit")).await {
            // It never got through, and the server ends what its client left.
            return Commit::Unknown(failure);
        }
        let ended = self.end(steps.commit_fate());
        match steps.after(rows("commit")).await {
            Ok(()) => ended,
            Err(failure) => Commit::Unknown(failure),
        }
    }

    async fn roll_back(mut self) {
        let steps = self.steps.clone();
        // Whether it gets through or not, the transaction ends here: with the statement, or with the connection.
        let _ = steps.before(rows("roll_back")).await;
        if let Some(id) = self.transaction.take() {
            self.table.server().roll_back(id);
        }
        let _ = steps.after(rows("roll_back")).await;
    }
}

impl ModelStaged {
    fn end(&mut self, fate: CommitFate) -> Commit {
        let Some(id) = self.transaction.take() else {
            return Commit::Unknown(lost());
        };
        let mut server = self.table.server();
        let committed = match fate {
            CommitFate::Answered | CommitFate::LostCommitted => server.commit(id),
            CommitFate::LostAborted => {
                server.roll_back(id);
                Ok(())
            }
            CommitFate::LostPending => {
                server.set_adrift(id);
                Ok(())
            }
        };
        match (fate, committed) {
            (CommitFate::Answered, Ok(())) => Commit::Committed,
            // Its connection broke before, and the transaction with it.
            (CommitFate::Answered, Err(Refusal::Ended)) => Commit::Unknown(lost()),
            (CommitFate::Answered, Err(refusal)) => Commit::RolledBack(refusal.failure()),
            _ => Commit::Unknown(lost()),
        }
    }
}

fn rows(name: &'static str) -> Call {
    Call {
        part: Part::Rows,
        name,
    }
}

fn lost() -> Failure {
    Failure::new(
        Scope::Outage,
        "source.connection_lost",
        "the connection was lost while the transaction committed",
        "nothing to do: what became of it is looked up",
    )
}

/// Tries each write once: rows in the order of their keys, new ones last. Answers in the order asked.
fn stage(server: &mut Server, id: TransactionId, writes: &[RowWrite]) -> PortResult<Vec<RowReceipt>> {
    let mut order = Vec::with_capacity(writes.len());
    for (at, write) in writes.iter().enumerate() {
        let place = match write {
            RowWrite::Insert { .. } => None,
            RowWrite::Update { key, .. } | RowWrite::Delete { key, .. } => Some(place_of(server, key)?),
        };
        order.push((place.is_none(), place, at));
    }
    order.sort();
    let mut receipts: Vec<(usize, RowReceipt)> = order
        .into_iter()
        .map(|(_, _, at)| (at, attempt(server, id, &writes[at])))
        .collect();
    receipts.sort_by_key(|(at, _)| *at);
    Ok(receipts.into_iter().map(|(_, receipt)| receipt).collect())
}

fn attempt(server: &mut Server, id: TransactionId, write: &RowWrite) -> RowReceipt {
    let tried = match write {
        RowWrite::Insert { set } => insert(server, id, set),
        RowWrite::Update { key, expected, set } => match held(server, id, key, expected) {
            Ok(row) => update(server, id, row, set),
            Err(receipt) => return receipt,
        },
        RowWrite::Delete { key, expected } => match held(server, id, key, expected) {
            Ok(row) => delete(server, id, row),
            Err(receipt) => return receipt,
        },
    };
    tried.unwrap_or_else(|refusal| refused(&refusal))
}

fn refused(refusal: &Refusal) -> RowReceipt {
    RowReceipt::Refused {
        failure: refusal.failure(),
    }
}

/// The row, locked and found as expected; otherwise what is to be said about it.
fn held(server: &Server, id: TransactionId, key: &Key, expected: &[Cell]) -> Result<RowId, RowReceipt> {
    let mut rows = server.find(id, key);
    if rows.iter().any(|row| server.locked(id, *row)) {
        return Err(refused(&Refusal::Locked));
    }
    if rows.len() > 1 {
        // Where keys are checked at the commit, a row that this very transaction gave the key of another may stand
        // beside it for a while: it is not the one that was meant.
        rows.retain(|row| !server.wrote(id, *row));
    }
    let mut seen: Vec<SourceRow> = rows
        .iter()
        .filter_map(|row| server.row(id, *row))
        .map(|stored| server.seen(stored))
        .collect();
    let now = match (rows.as_slice(), seen.len()) {
        ([row], 1) if is_as_expected(server, &seen[0], expected) => return Ok(*row),
        (_, 0) => Presence::None,
        (_, 1) => Presence::One(seen.remove(0)),
        _ => Presence::Many(seen),
    };
    Err(RowReceipt::Moved { now })
}

fn is_as_expected(server: &Server, row: &SourceRow, expected: &[Cell]) -> bool {
    let same = |(at, (now, then)): (usize, (&Cell, &Cell))| now == then || server.table.passive.contains(&at);
    row.cells.len() == expected.len() && row.cells.iter().zip(expected).enumerate().all(same)
}

fn insert(server: &mut Server, id: TransactionId, set: &[Assignment]) -> Result<RowReceipt, Refusal> {
    let columns = columns(server, set);
    let (row, xid) = server.behind_savepoint(id, |server| server.insert(id, &columns))?;
    Ok(staged(server, id, row, &columns, xid))
}

fn update(
    server: &mut Server,
    id: TransactionId,
    row: RowId,
    set: &[Assignment],
) -> Result<RowReceipt, Refusal> {
    let columns = columns(server, set);
    let ((), xid) = server.behind_savepoint(id, |server| server.update(id, row, &columns))?;
    Ok(staged(server, id, row, &columns, xid))
}

fn delete(server: &mut Server, id: TransactionId, row: RowId) -> Result<RowReceipt, Refusal> {
    let before = server
        .row(id, row)
        .map(|stored| server.seen(stored))
        .ok_or(Refusal::Swallowed)?;
    let ((), xid) = server.behind_savepoint(id, |server| server.delete(id, row))?;
    Ok(RowReceipt::Staged {
        row: before,
        written: Vec::new(),
        xid: server.table.tells_transactions.then_some(xid),
    })
}

fn staged(server: &Server, id: TransactionId, row: RowId, columns: &[(usize, Cell)], xid: u64) -> RowReceipt {
    let Some(stored) = server.row(id, row) else {
        return refused(&Refusal::Swallowed);
    };
    let written = columns
        .iter()
        .map(|(at, cell)| {
            let text = cell.as_deref()?;
            value::raw_form(&server.table.columns[*at].pg_type, text).map(Into::into)
        })
        .collect();
    RowReceipt::Staged {
        row: server.seen(stored),
        written,
        xid: server.table.tells_transactions.then_some(xid),
    }
}

/// Fields of the mapping as columns of the table.
fn columns(server: &Server, set: &[Assignment]) -> Vec<(usize, Cell)> {
    set.iter()
        .map(|(field, cell)| (server.table.fields[*field], cell.clone()))
        .collect()
}
