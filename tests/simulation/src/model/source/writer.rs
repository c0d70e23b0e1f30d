//! Writing source rows: staged in a transaction of the model, each write behind a savepoint of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
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
            let now = self.table.clock.now();
            let (id, receipts) = stage(&mut self.table.server(), self.session, now, &writes)?;
            Ok(ModelStaged {
                table: self.table.clone(),
                steps: self.steps.clone(),
                transaction: Some(id),
                receipts,
            })
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

/// What became of a write, and the row it wrote, to be looked at once more.
type Tried = (RowReceipt, Option<RowId>);

/// Tries each write once in a transaction, and answers in the order asked. What turns out only when all are written
/// is told as well as what turns out at once; the others are written anew without it then.
fn stage(
    server: &mut Server,
    session: u64,
    now: DateTime<Utc>,
    writes: &[RowWrite],
) -> PortResult<(TransactionId, Vec<RowReceipt>)> {
    let order = order(server, writes)?;
    let mut turned_out: BTreeMap<usize, Refusal> = BTreeMap::new();
    loop {
        let id = server.begin_in(Owner::Worker, Some(session), now);
        let mut tried: BTreeMap<usize, Tried> = BTreeMap::new();
        for at in &order {
            let one = match turned_out.get(at) {
                Some(refusal) => (refused(server, refusal), None),
                None => attempt(server, id, &writes[*at]),
            };
            tried.insert(*at, one);
        }
        let before = turned_out.len();
        for (at, (receipt, row)) in &mut tried {
            if let Some(refusal) = row.and_then(|row| look_again(server, id, row, receipt)) {
                turned_out.insert(*at, refusal);
            }
        }
        if turned_out.len() == before {
            return Ok((id, tried.into_values().map(|(receipt, _)| receipt).collect()));
        }
        server.roll_back(id);
    }
}

/// Rows in the order of their keys, new ones last.
fn order(server: &Server, writes: &[RowWrite]) -> PortResult<Vec<usize>> {
    let mut order = Vec::with_capacity(writes.len());
    for (at, write) in writes.iter().enumerate() {
        let place = match write {
            RowWrite::Insert { .. } => None,
            RowWrite::Update { key, .. } | RowWrite::Delete { key, .. } => Some(place_of(server, key)?),
        };
        order.push((place.is_none(), place, at));
    }
    order.sort();
    Ok(order.into_iter().map(|(_, _, at)| at).collect())
}

/// Shows the row as it is when all are written; or answers why it cannot stay.
fn look_again(server: &Server, id: TransactionId, row: RowId, receipt: &mut RowReceipt) -> Option<Refusal> {
    let Some(stored) = server.row(id, row) else {
        return Some(Refusal::Swallowed);
    };
    if server.find(id, &stored.key).len() > 1 {
        return Some(Refusal::DuplicateKey);
    }
    if let RowReceipt::Staged { row, .. } = receipt {
        *row = server.seen(stored);
    }
    None
}

fn attempt(server: &mut Server, id: TransactionId, write: &RowWrite) -> Tried {
    let tried = match write {
        RowWrite::Insert { set } => insert(server, id, set),
        RowWrite::Update { key, expected, set } => match held(server, id, key, expected) {
            Ok(row) => update(server, id, row, set),
            Err(receipt) => return (receipt, None),
        },
        RowWrite::Delete { key, expected } => match held(server, id, key, expected) {
            Ok(row) => delete(server, id, row),
            Err(receipt) => return (receipt, None),
        },
    };
    tried.unwrap_or_else(|refusal| (refused(server, &refusal), None))
}

fn refused(server: &Server, refusal: &Refusal) -> RowReceipt {
    let failure = match (refusal, server.table.key.as_slice()) {
        (Refusal::DuplicateKey, [one]) => refusal.failure().column(&server.table.columns[*one].name),
        _ => refusal.failure(),
    };
    RowReceipt::Refused { failure }
}

/// The row, locked and found as expected; otherwise what is to be said about it.
fn held(server: &Server, id: TransactionId, key: &Key, expected: &[Cell]) -> Result<RowId, RowReceipt> {
    let mut rows = server.find(id, key);
    if rows.iter().any(|row| server.locked(id, *row)) {
        return Err(refused(server, &Refusal::Locked));
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
    if syncbridge_domain::sabotaged!("row written over without comparing it") {
        return true;
    }
    let same = |(at, (now, then)): (usize, (&Cell, &Cell))| now == then || server.table.passive.contains(&at);
    row.cells.len() == expected.len() && row.cells.iter().zip(expected).enumerate().all(same)
}

fn insert(server: &mut Server, id: TransactionId, set: &[Assignment]) -> Result<Tried, Refusal> {
    let columns = columns(server, set);
    let (row, xid) = server.behind_savepoint(id, |server| server.insert(id, &columns))?;
    Ok((staged(server, id, row, &columns, xid), Some(row)))
}

fn update(server: &mut Server, id: TransactionId, row: RowId, set: &[Assignment]) -> Result<Tried, Refusal> {
    let columns = columns(server, set);
    let ((), xid) = server.behind_savepoint(id, |server| server.update(id, row, &columns))?;
    Ok((staged(server, id, row, &columns, xid), Some(row)))
}

fn delete(server: &mut Server, id: TransactionId, row: RowId) -> Result<Tried, Refusal> {
    let before = server
        .row(id, row)
        .map(|stored| server.seen(stored))
        .ok_or(Refusal::Swallowed)?;
    let ((), xid) = server.behind_savepoint(id, |server| server.delete(id, row))?;
    let receipt = RowReceipt::Staged {
        row: before,
        written: Vec::new(),
        xid: server.table.tells_transactions.then_some(xid),
    };
    Ok((receipt, None))
}

fn staged(server: &Server, id: TransactionId, row: RowId, columns: &[(usize, Cell)], xid: u64) -> RowReceipt {
    let Some(stored) = server.row(id, row) else {
        return refused(server, &Refusal::Swallowed);
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
