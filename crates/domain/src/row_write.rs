//! Single attempts to write source rows, and what they answered (DESIGN §5, §6).
//!
//! A source write has two steps, because its witness is the row: rows are *staged* inside a transaction, which
//! locks them, compares them with what the decision rested on, writes, and reads back; then the witness is noted
//! in the meta-store; only then does the transaction commit.

use crate::failure::Failure;
use crate::identity::Key;
use crate::row::{Cell, Presence, SourceRow};

/// One cell to be written: index of the field in the mapping, and the text PostgreSQL is to cast to the column's
/// type (`None` is NULL).
pub type Assignment = (usize, Cell);

/// One write to a source row, to be tried once. Never printed with its values.
#[derive(Clone, PartialEq, Eq)]
pub enum RowWrite {
    /// A new row. Columns that are not named take their defaults; the key comes back with the receipt.
    Insert {
        /// Cells to be written, key columns among them where the list has them.
        set: Vec<Assignment>,
    },
    /// Changed columns of a row.
    Update {
        /// Which row.
        key: Key,
        /// The mapped cells the decision rests on; a row that shows others is not written.
        expected: Vec<Cell>,
        /// Changed columns only.
        set: Vec<Assignment>,
    },
    /// The row goes.
    Delete {
        /// Which row.
        key: Key,
        /// The mapped cells the decision rests on; a row that shows others stays.
        expected: Vec<Cell>,
    },
}

impl std::fmt::Debug for RowWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowWrite::Insert { set } => write!(f, "Insert({} columns)", set.len()),
            RowWrite::Update { set, .. } => write!(f, "Update({} columns)", set.len()),
            RowWrite::Delete { .. } => f.write_str("Delete"),
        }
    }
}

/// What became of one write inside its transaction. Nothing of it is final before the commit.
#[derive(Clone, PartialEq, Eq)]
pub enum RowReceipt {
    /// Written, and true once the transaction commits.
    Staged {
        /// The row as the table now holds it (`RETURNING`, triggers included); for a delete, as it was.
        row: SourceRow,
        /// For each assignment, in order: what was written, in the raw stable form of its column's type before
        /// length and precision of the column and any trigger had their say. Where it differs from `row`, the
        /// source altered our value, and that is a change of the source's own.
        written: Vec<Cell>,
        /// Transaction id (64 bit) under which exactly this row was written: that of its savepoint, so that it
        /// says nothing about a neighbour that was rolled back. `None` where the table cannot tell.
        xid: Option<u64>,
    },
    /// Another row than the decision rested on, or none: nothing was written.
    Moved {
        /// As it is now.
        now: Presence<SourceRow>,
    },
    /// The source refused this row (a constraint, a lock that was not to be had, a trigger); its neighbours are
    /// unharmed.
    Refused {
        /// Why, with the column where PostgreSQL names one.
        failure: Failure,
    },
}

impl std::fmt::Debug for RowReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RowReceipt::Staged { xid, .. } => write!(f, "Staged({xid:?})"),
            RowReceipt::Moved { .. } => f.write_str("Moved"),
            RowReceipt::Refused { failure } => write!(f, "Refused({})", failure.code),
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Everything staged is true.
    Committed,
    /// Nothing staged is true, and never will be.
    RolledBack(Failure),
    /// The answer was lost: it may have committed, or may still.
    Unknown(Failure),
}

/// What the source knows of a transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// Committed.
    Committed,
    /// Rolled back.
    Aborted,
    /// Not ended yet.
    InProgress,
    /// Too old, or of another history of the server: it proves nothing.
    Unknown,
}
