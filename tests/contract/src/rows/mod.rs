//! Writing source rows.

use syncbridge_domain::failure::Failure;
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Commit, RowReceipt, RowWrite};
use syncbridge_engine::ports::Source;
use syncbridge_engine::ports::row_writer::{RowWriter, StagedRows};

use crate::table::{FIELDS, KeyKind};

pub mod committing;
pub mod staging;

/// Fields by name.
fn fields(values: &[(&str, Option<&str>)]) -> Vec<(usize, Cell)> {
    values
        .iter()
        .map(|(name, value)| {
            let at = FIELDS.iter().position(|field| field == name);
            (at.expect("a mapped column"), value.map(Into::into))
        })
        .collect()
}

fn insert(values: &[(&str, Option<&str>)]) -> RowWrite {
    RowWrite::Insert { set: fields(values) }
}

/// The row with this key, as it is now.
async fn row(source: &impl Source, kind: KeyKind, key: &str) -> Option<SourceRow> {
    let (mut found, _) = source.read_keys(&[kind.key(key)]).await.unwrap();
    match found.remove(0) {
        Presence::One(row) => Some(row),
        Presence::None => None,
        Presence::Many(_) | Presence::Unseen => panic!("a key is unique and was looked for"),
    }
}

/// Changes the row with this text key, resting on what it shows now.
async fn update(source: &impl Source, key: &str, values: &[(&str, Option<&str>)]) -> RowWrite {
    RowWrite::Update {
        key: KeyKind::Text.key(key),
        expected: row(source, KeyKind::Text, key)
            .await
            .expect("the row is there")
            .cells,
        set: fields(values),
    }
}

/// Deletes the row with this text key, resting on what it shows now.
async fn delete(source: &impl Source, key: &str) -> RowWrite {
    RowWrite::Delete {
        key: KeyKind::Text.key(key),
        expected: row(source, KeyKind::Text, key)
            .await
            .expect("the row is there")
            .cells,
    }
}

async fn stage<S: RowWriter>(source: &S, writes: Vec<RowWrite>) -> S::Staged {
    let asked = writes.len();
    let staged = source.stage(writes).await.unwrap();
    assert_eq!(staged.receipts().len(), asked, "one receipt a write");
    staged
}

async fn committed(staged: impl StagedRows) {
    assert_eq!(staged.commit().await, Commit::Committed);
}

/// A staged row, what was written to it, and under which id.
fn staged(receipt: &RowReceipt) -> (&SourceRow, &[Cell], Option<u64>) {
    match receipt {
        RowReceipt::Staged { row, written, xid } => (row, written, *xid),
        other => panic!("not staged: {other:?}"),
    }
}

fn moved(receipt: &RowReceipt) -> &Presence<SourceRow> {
    match receipt {
        RowReceipt::Moved { now } => now,
        other => panic!("not moved: {other:?}"),
    }
}

fn refused(receipt: &RowReceipt) -> &Failure {
    match receipt {
        RowReceipt::Refused { failure } => failure,
        other => panic!("not refused: {other:?}"),
    }
}

fn texts(cells: &[Cell]) -> Vec<Option<&str>> {
    cells.iter().map(|cell| cell.as_deref()).collect()
}
