//! How staged writes end, and what their transactions' ids say of them afterwards.

use std::time::{Duration, Instant};

use syncbridge_domain::row_write::{Commit, TransactionStatus};
use syncbridge_engine::ports::row_writer::{RowWriter, StagedRows as _};

use super::{committed, insert, refused, row, stage, staged, update};
use crate::table::{KeyKind, RAISED_LATE, TableWish};
use crate::world::{Session, SourceWorld};

const TEXT: KeyKind = KeyKind::Text;

async fn with_a_row<W: SourceWorld>(wish: TableWish) -> W {
    let world = W::open(wish).await;
    let row = [("k", Some("a")), ("name", Some("a")), ("code", Some("a"))];
    world.session().await.insert(&row).await;
    world
}

/// How a transaction ended. A server says that it refuses to commit a moment before it has rolled back.
async fn status(source: &impl RowWriter, xid: u64) -> TransactionStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = source.transactions(&[xid]).await.unwrap()[0];
        if status != TransactionStatus::InProgress || Instant::now() >= deadline {
            return status;
        }
    }
}

pub async fn an_id_tells_how_its_own_row_ended<W: SourceWorld<Source: RowWriter>>() {
    let world = with_a_row::<W>(TableWish::new(TEXT)).await;
    let source = world.source();
    for (text, commits) in [("1", true), ("2", false)] {
        let writes = vec![
            update(source, "a", &[("note", Some(text))]).await,
            insert(&[("k", Some(text)), ("name", Some("n"))]),
        ];
        let transaction = stage(source, writes).await;
        let ids: Vec<u64> = transaction
            .receipts()
            .iter()
            .map(|receipt| staged(receipt).2.expect("a plain table can tell"))
            .collect();
        assert_ne!(ids[0], ids[1], "each row has an id of its own");
        let before = source.transactions(&ids).await.unwrap();
        assert_eq!(before, [TransactionStatus::InProgress; 2]);
        let expected = match commits {
            true => {
                committed(transaction).await;
                TransactionStatus::Committed
            }
            false => {
                transaction.roll_back().await;
                TransactionStatus::Aborted
            }
        };
        assert_eq!(source.transactions(&ids).await.unwrap(), [expected; 2]);
    }
    assert_eq!(
        row(source, TEXT, "a").await.unwrap().cells[4].as_deref(),
        Some("1")
    );
}

pub async fn answers_about_ids_come_in_the_order_asked<W: SourceWorld<Source: RowWriter>>() {
    let world = with_a_row::<W>(TableWish::new(TEXT)).await;
    let source = world.source();
    let mut told = Vec::new();
    for (text, commits) in [("1", true), ("2", false), ("3", true)] {
        let transaction = stage(source, vec![insert(&[("k", Some(text)), ("name", Some("n"))])]).await;
        told.push(staged(&transaction.receipts()[0]).2.unwrap());
        match commits {
            true => committed(transaction).await,
            false => transaction.roll_back().await,
        }
    }
    use TransactionStatus::{Aborted, Committed, Unknown};
    let ids = [told[2], told[1], 0, told[0], told[0] + 1_000_000_000, told[1]];
    let answers = source.transactions(&ids).await.unwrap();
    assert_eq!(
        answers,
        [Committed, Aborted, Unknown, Committed, Unknown, Aborted]
    );
    assert!(source.transactions(&[]).await.unwrap().is_empty());
}

pub async fn staged_rows_that_are_dropped_are_rolled_back<W: SourceWorld<Source: RowWriter>>() {
    let world = with_a_row::<W>(TableWish::new(TEXT)).await;
    let source = world.source();
    let write = update(source, "a", &[("note", Some("lost"))]).await;
    let transaction = stage(source, vec![write]).await;
    let xid = staged(&transaction.receipts()[0]).2.unwrap();
    drop(transaction);
    // The server notices in its own time that its client is gone.
    let mut app = world.session().await;
    app.update("a", &[("name", Some("theirs"))]).await;
    assert_eq!(status(source, xid).await, TransactionStatus::Aborted);
    let row = row(source, TEXT, "a").await.unwrap();
    assert_eq!(
        (row.cells[1].as_deref(), row.cells[4].as_deref()),
        (Some("theirs"), None)
    );
}

pub async fn what_is_raised_at_the_commit_rolls_everything_back<W: SourceWorld<Source: RowWriter>>() {
    let wish = TableWish {
        minds_notes: true,
        ..TableWish::new(TEXT)
    };
    let world = with_a_row::<W>(wish).await;
    let source = world.source();
    let writes = vec![
        update(source, "a", &[("note", Some(RAISED_LATE))]).await,
        insert(&[("k", Some("b")), ("name", Some("innocent"))]),
    ];
    let transaction = stage(source, writes).await;
    let xid = staged(&transaction.receipts()[1]).2.unwrap();
    assert!(matches!(transaction.commit().await, Commit::RolledBack(_)));
    assert_eq!(status(source, xid).await, TransactionStatus::Aborted);
    assert!(row(source, TEXT, "b").await.is_none());
    assert_eq!(row(source, TEXT, "a").await.unwrap().cells[4], None);
}

pub async fn a_key_that_would_fail_at_the_commit_is_told_before_it<W: SourceWorld<Source: RowWriter>>() {
    let wish = TableWish {
        deferred_key: true,
        ..TableWish::new(TEXT)
    };
    let world = with_a_row::<W>(wish).await;
    let source = world.source();
    let writes = vec![
        insert(&[("k", Some("a")), ("name", Some("twice"))]),
        insert(&[("k", Some("b")), ("name", Some("innocent"))]),
    ];
    let transaction = stage(source, writes).await;
    assert_eq!(refused(&transaction.receipts()[0]).code, "row.key_taken");
    committed(transaction).await;
    assert!(row(source, TEXT, "b").await.is_some());
    assert_eq!(
        row(source, TEXT, "a").await.unwrap().cells[1].as_deref(),
        Some("a")
    );
}

pub async fn a_transaction_without_a_row_commits_too<W: SourceWorld<Source: RowWriter>>() {
    let world = with_a_row::<W>(TableWish::new(TEXT)).await;
    let source = world.source();
    committed(stage(source, Vec::new()).await).await;
    let transaction = stage(source, vec![insert(&[("k", Some("b"))])]).await;
    refused(&transaction.receipts()[0]);
    committed(transaction).await;
    assert!(row(source, TEXT, "b").await.is_none());
}

pub async fn a_commit_moves_the_mark<W: SourceWorld<Source: RowWriter>>() {
    use syncbridge_engine::ports::Source as _;
    let world = with_a_row::<W>(TableWish::new(TEXT)).await;
    let source = world.source();
    let (_, before) = source.read_keys(&[]).await.unwrap();
    let write = update(source, "a", &[("note", Some("x"))]).await;
    committed(stage(source, vec![write]).await).await;
    let (_, after) = source.read_keys(&[]).await.unwrap();
    assert!(after > before);
}
