//! What the tests of writes share.

use std::time::Duration;

use syncbridge_domain::failure::{Failure, Scope};
use syncbridge_domain::identity::{Key, encode_key};
use syncbridge_domain::row::{Cell, Presence, SourceRow};
use syncbridge_domain::row_write::{Assignment, Commit, RowReceipt, RowWrite};
use syncbridge_source_postgres::{PgSource, StagedWrites};

pub(crate) fn cell(text: &str) -> Cell {
    Some(text.into())
}

pub(crate) fn key(source: &PgSource, texts: &[&str]) -> Key {
    let raw: Vec<Option<&str>> = texts.iter().map(|text| Some(*text)).collect();
    encode_key(&source.shape().key, &raw).unwrap()
}

/// Assignments by name of column.
pub(crate) fn set(source: &PgSource, values: &[(&str, Option<&str>)]) -> Vec<Assignment> {
    let at = |name: &str| {
        source
            .shape()
            .columns
            .iter()
            .position(|c| c.name == name)
            .unwrap()
    };
    values
        .iter()
        .map(|(name, text)| (at(name), text.map(Into::into)))
        .collect()
}

pub(crate) fn insert(source: &PgSource, values: &[(&str, Option<&str>)]) -> RowWrite {
    RowWrite::Insert {
        set: set(source, values),
    }
}

/// The row as it is now.
pub(crate) async fn row(source: &PgSource, texts: &[&str]) -> SourceRow {
    let (rows, _) = source.read_keys(&[key(source, texts)]).await.unwrap();
    rows[0].one().expect("one row of this key").clone()
}

pub(crate) async fn is_there(source: &PgSource, texts: &[&str]) -> bool {
    let (rows, _) = source.read_keys(&[key(source, texts)]).await.unwrap();
    !matches!(rows[0], Presence::None)
}

/// An update that rests on what the row shows now.
pub(crate) async fn update(source: &PgSource, texts: &[&str], values: &[(&str, Option<&str>)]) -> RowWrite {
    let now = row(source, texts).await;
    RowWrite::Update {
        key: now.key,
        expected: now.cells,
        set: set(source, values),
    }
}

pub(crate) async fn delete(source: &PgSource, texts: &[&str]) -> RowWrite {
    let now = row(source, texts).await;
    RowWrite::Delete {
        key: now.key,
        expected: now.cells,
    }
}

/// Row, texts written, transaction id.
pub(crate) fn staged(receipt: &RowReceipt) -> (&SourceRow, &[Cell], u64) {
    match receipt {
        RowReceipt::Staged { row, written, xid } => (row, written, xid.expect("an id")),
        RowReceipt::Refused { failure } => panic!("refused: {failure}"),
        other @ RowReceipt::Moved { .. } => panic!("{other:?}"),
    }
}

pub(crate) fn refused(receipt: &RowReceipt) -> &Failure {
    match receipt {
        RowReceipt::Refused { failure } => {
            assert_eq!(failure.scope, Scope::Row, "{failure}");
            assert!(!failure.to_string().contains("SECRET"), "{failure}");
            failure
        }
        other => panic!("{other:?}"),
    }
}

/// Code and column.
pub(crate) fn blamed(receipt: &RowReceipt) -> (&str, Option<&str>) {
    let failure = refused(receipt);
    (&failure.code, failure.column.as_deref())
}

pub(crate) fn moved(receipt: &RowReceipt) -> &Presence<SourceRow> {
    match receipt {
        RowReceipt::Moved { now } => now,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn committed(staged: StagedWrites) {
    assert_eq!(staged.commit().await, Commit::Committed);
}

/// Stages one write that is to be refused, and answers why.
pub(crate) async fn refusal(source: &PgSource, write: RowWrite) -> Failure {
    let staged = source.stage(vec![write]).await.unwrap();
    let failure = refused(&staged.receipts()[0]).clone();
    staged.roll_back().await;
    failure
}

/// Looks until it is so.
pub(crate) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let within = Duration::from_secs(30);
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(within, looking).await.expect(what);
}
