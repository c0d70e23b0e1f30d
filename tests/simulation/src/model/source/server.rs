//! The server behind a model's table: committed rows, open transactions, their ids, the write-ahead log.
//!
//! A transaction's writes lie beside the committed rows until it commits; nobody else sees them, and whoever
//! wants to write the same row is told at once that it is locked, where a server would let them wait a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::row::{Cell, SourceRow};
use syncbridge_domain::row_write::TransactionStatus;

use super::refusal::Refusal;
use super::table::{ColumnDefault, KeyCheck, Table, Trigger};
use super::value::{self, Rank};

/// The first transaction id that is given out.
const FIRST_ID: u64 = 1_000;

/// A row's own number, which a change of its key leaves alone.
pub(super) type RowId = u64;

/// An open transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(u64);

/// A row as it stands in the table.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) cells: Vec<Cell>,
    pub(super) key: Key,
    /// Its place in key order.
    pub(super) place: Vec<Rank>,
}

/// Who would have to give a transaction up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// An application.
    Application,
    /// A worker of ours; its connection ends with its process.
    Worker,
    /// Nobody: its COMMIT was sent, or it was prepared.
    Nobody,
}

/// A committed change of one row.
#[derive(Clone, Debug)]
pub struct Committed {
    /// A worker of ours made it.
    pub by_worker: bool,
    /// The row before; nothing: it was made.
    pub before: Option<SourceRow>,
    /// The row after; nothing: it was deleted.
    pub after: Option<SourceRow>,
}

#[derive(Clone, Debug)]
struct Transaction {
    owner: Owner,
    /// The worker's process that began it.
    session: Option<u64>,
    started: DateTime<Utc>,
    /// Drawn with the first write.
    xid: Option<u64>,
    /// Ids of savepoints that were not rolled back.
    children: Vec<u64>,
    /// What it wrote; `None` is a deleted row.
    writes: BTreeMap<RowId, Option<Stored>>,
    prepared: bool,
}

/// Everything a server keeps. A copy is a backup.
#[derive(Clone, Debug)]
pub struct Server {
    pub(super) table: Arc<Table>,
    rows: BTreeMap<RowId, Stored>,
    open: BTreeMap<TransactionId, Transaction>,
    ended: BTreeMap<u64, TransactionStatus>,
    /// What was committed since somebody asked.
    journal: Vec<Committed>,
    sequences: BTreeMap<usize, i64>,
    uuids: u128,
    next_row: RowId,
    next_transaction: u64,
    next_xid: u64,
    lsn: u64,
}

impl Server {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table: Arc::new(table),
            rows: BTreeMap::new(),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            journal: Vec::new(),
            sequences: BTreeMap::new(),
            uuids: 0,
            next_row: 1,
            next_transaction: 1,
            next_xid: FIRST_ID,
            lsn: 1_000,
        }
    }

    pub(super) fn begin(&mut self, owner: Owner, now: DateTime<Utc>) -> TransactionId {
        self.begin_in(owner, None, now)
    }

    /// As [`Server::begin`], in the session of a worker's process.
    pub(super) fn begin_in(
        &mut self,
        owner: Owner,
        session: Option<u64>,
        now: DateTime<Utc>,
    ) -> TransactionId {
        let id = TransactionId(self.next_transaction);
        self.next_transaction += 1;
        self.open.insert(
            id,
            Transaction {
                owner,
                session,
                started: now,
                xid: None,
                children: Vec::new(),
                writes: BTreeMap::new(),
                prepared: false,
            },
        );
        id
    }

    /// Commits; a deferred constraint may refuse, and then everything is rolled back.
    pub(super) fn commit(&mut self, id: TransactionId) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal_at_commit(id)? {
            self.roll_back(id);
            return Err(refusal);
        }
        let transaction = self.open.remove(&id).ok_or(Refusal::Ended)?;
        for (row, written) in transaction.writes {
            let after = written.as_ref().map(|stored| self.seen(stored));
            let before = match written {
                Some(stored) => self.rows.insert(row, stored),
                None => self.rows.remove(&row),
            };
            let before = before.map(|stored| self.seen(&stored));
            if before.is_some() || after.is_some() {
                self.journal.push(Committed {
                    by_worker: transaction.session.is_some(),
                    before,
                    after,
                });
            }
        }
        self.lsn += 8;
        for xid in transaction.xid.into_iter().chain(transaction.children) {
            self.ended.insert(xid, TransactionStatus::Committed);
        }
        Ok(())
    }

    /// What waits for the commit: the key where it is deferred, and triggers.
    fn refusal_at_commit(&self, id: TransactionId) -> Result<Option<Refusal>, Refusal> {
        let transaction = self.open.get(&id).ok_or(Refusal::Ended)?;
        let deferred = self.table.key_check == KeyCheck::AtCommit;
        for (row, written) in &transaction.writes {
            let Some(stored) = written else { continue };
            if deferred && self.holder(id, *row, |other| other.key == stored.key).is_some() {
                return Ok(Some(Refusal::DuplicateKey));
            }
            let raised = |trigger: &Trigger| match trigger {
                Trigger::RaiseAtCommit { column, text } => stored.cells[*column].as_deref() == Some(text),
                _ => false,
            };
            if self.table.triggers.iter().any(raised) {
                return Ok(Some(Refusal::Raised));
            }
        }
        Ok(None)
    }

    /// Rolls back; one that has ended is left alone.
    pub(super) fn roll_back(&mut self, id: TransactionId) {
        if let Some(transaction) = self.open.remove(&id) {
            for xid in transaction.xid.into_iter().chain(transaction.children) {
                self.ended.insert(xid, TransactionStatus::Aborted);
            }
        }
    }

    /// What was committed since this was asked last, oldest first.
    pub(super) fn take_journal(&mut self) -> Vec<Committed> {
        std::mem::take(&mut self.journal)
    }

    /// Open transactions of a worker's process that wait for it.
    pub(super) fn open_in(&self, session: u64) -> Vec<TransactionId> {
        self.open
            .iter()
            .filter(|(_, transaction)| {
                transaction.owner == Owner::Worker && transaction.session == Some(session)
            })
            .map(|(id, _)| *id)
            .collect()
    }

    /// From now on nobody has to give it up: it ends when somebody says how.
    pub(super) fn set_adrift(&mut self, id: TransactionId) {
        if let Some(transaction) = self.open.get_mut(&id) {
            transaction.owner = Owner::Nobody;
        }
    }

    /// `PREPARE TRANSACTION`.
    pub(super) fn prepare(&mut self, id: TransactionId) {
        if let Some(transaction) = self.open.get_mut(&id) {
            transaction.owner = Owner::Nobody;
            transaction.prepared = true;
        }
    }

    /// Open transactions of this owner that are not prepared.
    pub(super) fn open_of(&self, owner: Owner) -> Vec<TransactionId> {
        self.open
            .iter()
            .filter(|(_, transaction)| transaction.owner == owner && !transaction.prepared)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The server stops and starts again: what was neither committed nor prepared is gone.
    pub(super) fn restart(&mut self) {
        for owner in [Owner::Application, Owner::Worker, Owner::Nobody] {
            for id in self.open_of(owner) {
                self.roll_back(id);
            }
        }
    }

    /// Takes a backup's place: its rows, its log position, and a history of its own from there. Ids that were
    /// given out since belong to the lost history and are never given out again.
    pub(super) fn restore(&mut self, backup: Server) {
        let (next_transaction, next_xid) = (self.next_transaction, self.next_xid);
        *self = backup;
        self.restart();
        self.next_transaction = self.next_transaction.max(next_transaction);
        self.next_xid = self.next_xid.max(next_xid);
        self.ended
            .entry(self.next_xid - 1)
            .or_insert(TransactionStatus::Unknown);
    }

    /// What became of a transaction or savepoint.
    pub(super) fn status(&self, xid: u64) -> TransactionStatus {
        let open = self
            .open
            .values()
            .any(|transaction| transaction.xid == Some(xid) || transaction.children.contains(&xid));
        match open {
            true => TransactionStatus::InProgress,
            false => self
                .ended
                .get(&xid)
                .copied()
                .unwrap_or(TransactionStatus::Unknown),
        }
    }

    pub(super) fn lsn(&self) -> u64 {
        self.lsn
    }

    /// An id below which all have ended, and the first one not yet given out.
    pub(super) fn snapshot(&self) -> (u64, u64) {
        // As in PostgreSQL, no further than the one behind the last that ended.
        let behind = self.ended.last_key_value().map_or(FIRST_ID, |(last, _)| last + 1);
        let running = self.open.values().filter_map(|transaction| transaction.xid).min();
        (running.map_or(behind, |oldest| oldest.min(behind)), self.next_xid)
    }

    /// When the oldest open session began its transaction. Prepared ones are in no session.
    pub(super) fn oldest_start(&self) -> Option<DateTime<Utc>> {
        self.open
            .values()
            .filter(|transaction| !transaction.prepared)
            .map(|transaction| transaction.started)
            .min()
    }

    pub(super) fn anything_prepared(&self) -> bool {
        self.open.values().any(|transaction| transaction.prepared)
    }

    /// Committed rows, in no order that means anything.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Stored> {
        self.rows.values()
    }

    /// A row as a definition sees it.
    pub(super) fn seen(&self, stored: &Stored) -> SourceRow {
        SourceRow {
            key: stored.key.clone(),
            cells: self
                .table
                .fields
                .iter()
                .map(|at| stored.cells[*at].clone())
                .collect(),
            watermark: self.table.watermark.and_then(|at| stored.cells[at].clone()),
        }
    }

    /// A row as the transaction sees it.
    pub(super) fn row(&self, id: TransactionId, row: RowId) -> Option<&Stored> {
        match self
            .open
            .get(&id)
            .and_then(|transaction| transaction.writes.get(&row))
        {
            Some(written) => written.as_ref(),
            None => self.rows.get(&row),
        }
    }

    /// Rows with this key, as the transaction sees them.
    pub(super) fn find(&self, id: TransactionId, key: &Key) -> Vec<RowId> {
        let own = self
            .open
            .get(&id)
            .into_iter()
            .flat_map(|transaction| transaction.writes.keys());
        let mut rows: Vec<RowId> = self.rows.keys().chain(own).copied().collect();
        rows.sort_unstable();
        rows.dedup();
        rows.retain(|row| self.row(id, *row).is_some_and(|stored| stored.key == *key));
        rows
    }

    /// Whether another open transaction wrote this row.
    pub(super) fn locked(&self, id: TransactionId, row: RowId) -> bool {
        self.open
            .iter()
            .any(|(other, transaction)| *other != id && transaction.writes.contains_key(&row))
    }

    /// Whether this very transaction wrote the row.
    pub(super) fn wrote(&self, id: TransactionId, row: RowId) -> bool {
        self.open
            .get(&id)
            .is_some_and(|transaction| transaction.writes.contains_key(&row))
    }

    /// Another row for which this holds, as the transaction sees it.
    fn holder(&self, id: TransactionId, row: RowId, holds: impl Fn(&Stored) -> bool) -> Option<RowId> {
        let own = self
            .open
            .get(&id)
            .into_iter()
            .flat_map(|transaction| transaction.writes.keys());
        self.rows
            .keys()
            .chain(own)
            .copied()
            .find(|other| *other != row && self.row(id, *other).is_some_and(&holds))
    }

    /// Whether another open transaction is about to add or remove such a row, so that one has to wait for it.
    fn undecided(&self, id: TransactionId, holds: impl Fn(&Stored) -> bool) -> bool {
        let others = self.open.iter().filter(|(other, _)| **other != id);
        others
            .flat_map(|(_, transaction)| &transaction.writes)
            .any(|(row, written)| written.as_ref().or(self.rows.get(row)).is_some_and(&holds))
    }

    /// The transaction's id, drawn now if it has none.
    pub(super) fn xid(&mut self, id: TransactionId) -> Result<u64, Refusal> {
        let transaction = self.open.get_mut(&id).ok_or(Refusal::Ended)?;
        let next = &mut self.next_xid;
        Ok(*transaction.xid.get_or_insert_with(|| {
            let drawn = *next;
            *next += 1;
            drawn
        }))
    }

    /// Carries out a write behind a savepoint. Refused, it leaves nothing but its id, which never commits: a row is
    /// put in its place last, when nothing can be refused any more.
    pub(super) fn behind_savepoint<T>(
        &mut self,
        id: TransactionId,
        write: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<(T, u64), Refusal> {
        self.xid(id)?;
        let child = self.next_xid;
        self.next_xid += 1;
        let written = write(self);
        match (written, self.open.get_mut(&id)) {
            (Ok(written), Some(transaction)) => {
                transaction.children.push(child);
                Ok((written, child))
            }
            (Ok(_), None) => Err(Refusal::Ended),
            (Err(refusal), _) => {
                self.ended.insert(child, TransactionStatus::Aborted);
                Err(refusal)
            }
        }
    }

    /// `INSERT`: columns that are not named take their defaults.
    pub(super) fn insert(&mut self, id: TransactionId, set: &[(usize, Cell)]) -> Result<RowId, Refusal> {
        let table = self.table.clone();
        let started = self.open.get(&id).ok_or(Refusal::Ended)?.started;
        let mut cells: Vec<Cell> = Vec::with_capacity(table.columns.len());
        for (at, column) in table.columns.iter().enumerate() {
            let named = set.iter().any(|(named, _)| *named == at);
            cells.push(match &column.default {
                _ if named => None,
                ColumnDefault::Null => None,
                ColumnDefault::Text(text) => Some(text.as_str().into()),
                ColumnDefault::Sequence => Some(self.next_number(at).to_string().into()),
                ColumnDefault::Uuid => Some(self.next_uuid().into()),
                ColumnDefault::Now => Some(value::print_instant(started).into()),
            });
        }
        assign(&table, &mut cells, set)?;
        let row = self.next_row;
        self.next_row += 1;
        self.write(id, row, cells)?;
        Ok(row)
    }

    /// `UPDATE` of one row.
    pub(super) fn update(
        &mut self,
        id: TransactionId,
        row: RowId,
        set: &[(usize, Cell)],
    ) -> Result<(), Refusal> {
        if self.locked(id, row) {
            return Err(Refusal::Locked);
        }
        let table = self.table.clone();
        let mut cells = self.row(id, row).ok_or(Refusal::Swallowed)?.cells.clone();
        assign(&table, &mut cells, set)?;
        self.write(id, row, cells)
    }

    /// `DELETE` of one row.
    pub(super) fn delete(&mut self, id: TransactionId, row: RowId) -> Result<(), Refusal> {
        if self.locked(id, row) {
            return Err(Refusal::Locked);
        }
        self.xid(id)?;
        self.keep(id, row, None)
    }

    fn write(&mut self, id: TransactionId, row: RowId, mut cells: Vec<Cell>) -> Result<(), Refusal> {
        let table = self.table.clone();
        let started = self.open.get(&id).ok_or(Refusal::Ended)?.started;
        fire(&table, &mut cells, started)?;
        constraints(&table, &cells)?;
        let key = key_of(&table, &cells)?;
        for (at, column) in table.columns.iter().enumerate() {
            if column.unique && cells[at].is_some() {
                let same = |stored: &Stored| stored.cells[at] == cells[at];
                let refusal = Refusal::Unique {
                    column: column.name.clone(),
                };
                self.keep_unique(id, row, same, refusal)?;
            }
        }
        if table.key_check == KeyCheck::AtOnce {
            self.keep_unique(id, row, |stored| stored.key == key, Refusal::DuplicateKey)?;
        }
        self.xid(id)?;
        let place = place(&table, &cells);
        self.keep(id, row, Some(Stored { cells, key, place }))
    }

    fn keep_unique(
        &self,
        id: TransactionId,
        row: RowId,
        same: impl Fn(&Stored) -> bool,
        refusal: Refusal,
    ) -> Result<(), Refusal> {
        if self.undecided(id, &same) {
            return Err(Refusal::Locked);
        }
        match self.holder(id, row, &same) {
            Some(_) => Err(refusal),
            None => Ok(()),
        }
    }

    fn keep(&mut self, id: TransactionId, row: RowId, written: Option<Stored>) -> Result<(), Refusal> {
        let transaction = self.open.get_mut(&id).ok_or(Refusal::Ended)?;
        transaction.writes.insert(row, written);
        self.lsn += 1;
        Ok(())
    }

    fn next_number(&mut self, column: usize) -> i64 {
        let number = self.sequences.entry(column).or_insert(0);
        *number += 1;
        *number
    }

    fn next_uuid(&mut self) -> String {
        self.uuids += 1;
        // Spread out, so that the order in which they are drawn is not their order.
        let spread = self.uuids.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        uuid::Builder::from_random_bytes(spread.to_be_bytes())
            .into_uuid()
            .hyphenated()
            .to_string()
    }
}

/// Casts texts to their columns' types, as an assignment does.
fn assign(table: &Table, cells: &mut [Cell], set: &[(usize, Cell)]) -> Result<(), Refusal> {
    for (at, cell) in set {
        let column = &table.columns[*at];
        let name = || column.name.clone();
        cells[*at] = match cell {
            None => None,
            Some(text) => {
                let raw = value::raw_form(&column.pg_type, text)
                    .ok_or_else(|| Refusal::NoValue { column: name() })?;
                let fitted =
                    value::fitted(&column.pg_type, raw).ok_or_else(|| Refusal::TooLong { column: name() })?;
                Some(fitted.into())
            }
        };
    }
    Ok(())
}

fn fire(table: &Table, cells: &mut [Cell], started: DateTime<Utc>) -> Result<(), Refusal> {
    for trigger in &table.triggers {
        match trigger {
            Trigger::UpperCase { column } => {
                cells[*column] = cells[*column].as_deref().map(|text| text.to_uppercase().into());
            }
            Trigger::Touch { column } => cells[*column] = Some(value::print_instant(started).into()),
            Trigger::Raise { column, text } if cells[*column].as_deref() == Some(text) => {
                return Err(Refusal::Raised);
            }
            Trigger::Swallow { column, text } if cells[*column].as_deref() == Some(text) => {
                return Err(Refusal::Swallowed);
            }
            Trigger::Raise { .. } | Trigger::RaiseAtCommit { .. } | Trigger::Swallow { .. } => {}
        }
    }
    Ok(())
}

fn constraints(table: &Table, cells: &[Cell]) -> Result<(), Refusal> {
    for (at, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        let name = || column.name.clone();
        match cell {
            None if column.not_null || table.key.contains(&at) => {
                return Err(Refusal::NotNull { column: name() });
            }
            Some(text) if column.refused.iter().any(|refused| **refused == **text) => {
                return Err(Refusal::Check { column: name() });
            }
            _ => {}
        }
    }
    Ok(())
}

fn key_of(table: &Table, cells: &[Cell]) -> Result<Key, Refusal> {
    let raw: Vec<Option<&str>> = table.key.iter().map(|at| cells[*at].as_deref()).collect();
    let first = table.key.first().map(|at| table.columns[*at].name.clone());
    encode_key(&table.key_columns(), &raw).map_err(|_| Refusal::NoValue {
        column: first.unwrap_or_default(),
    })
}

fn place(table: &Table, cells: &[Cell]) -> Vec<Rank> {
    table
        .key
        .iter()
        .map(|at| {
            value::rank(
                &table.columns[*at].pg_type,
                cells[*at].as_deref().unwrap_or_default(),
            )
        })
        .collect()
}
