//! What became of a transaction, as its ids tell: also where the answer to the commit never came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use syncbridge_domain::row_write::{Commit, TransactionStatus};
use syncbridge_source_postgres::PgSource;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{World, open, run, scalar, world};
use crate::writing::{cell, eventually, insert, is_there, refused, row, staged, update};

const ITEMS: &str = "CREATE TABLE t (k int PRIMARY KEY, name text CHECK (name <> 'bad'));
     INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three')";

async fn items() -> (World, PgSource) {
    let world = world(ITEMS).await;
    let source = open(&world.access, "t", &["k"], &["k", "name"], None).await;
    (world, source)
}

async fn status(source: &PgSource, ids: &[u64]) -> Vec<TransactionStatus> {
    source.transactions(ids).await.unwrap()
}

#[tokio::test]
async fn c_13_ids_of_a_batch_with_a_refused_row_tell_the_truth_before_and_after_the_commit() {
    let (_world, source) = items().await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("uno"))]).await,
        update(&source, &["2"], &[("name", Some("bad"))]).await,
        update(&source, &["3"], &[("name", Some("tre"))]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    let ids = [
        staged(&transaction.receipts()[0]).2,
        staged(&transaction.receipts()[2]).2,
    ];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(refused(&transaction.receipts()[1]).code, "source.check");
    // The id of the refused row lies between them: each write began with a savepoint.
    let between: Vec<u64> = (ids[0] + 1..ids[1]).collect();
    assert!(!between.is_empty());
    let under_way = TransactionStatus::InProgress;
    assert_eq!(status(&source, &ids).await, [under_way, under_way]);
    assert!(
        status(&source, &between)
            .await
            .contains(&TransactionStatus::Aborted),
        "what was rolled back to a savepoint has ended, though its transaction has not"
    );
    assert_eq!(transaction.commit().await, Commit::Committed);
    assert_eq!(status(&source, &ids).await, [TransactionStatus::Committed; 2]);
    assert!(
        status(&source, &between)
            .await
            .contains(&TransactionStatus::Aborted)
    );
    assert_eq!(row(&source, &["2"]).await.cells[1], cell("two"));
}

#[tokio::test]
async fn c_13_what_is_rolled_back_or_dropped_is_aborted() {
    let (world, source) = items().await;
    let write = update(&source, &["1"], &[("name", Some("uno"))]).await;
    let transaction = source.stage(vec![write.clone()]).await.unwrap();
    let rolled_back = staged(&transaction.receipts()[0]).2;
    transaction.roll_back().await;
    assert_eq!(
        status(&source, &[rolled_back]).await,
        [TransactionStatus::Aborted]
    );
    let transaction = source.stage(vec![write.clone()]).await.unwrap();
    let dropped = staged(&transaction.receipts()[0]).2;
    drop(transaction);
    eventually("a dropped transaction goes on", async || {
        status(&source, &[dropped]).await == [TransactionStatus::Aborted]
    })
    .await;
    assert_eq!(row(&source, &["1"]).await.cells[1], cell("one"));
    // A staging that is given up half way leaves nothing behind either.
    let mut theirs = world.pool.begin().await.unwrap();
    run(&mut *theirs, "UPDATE t SET name = 'theirs' WHERE k = 1").await;
    let staging = tokio::spawn({
        let source = source.clone();
        async move { source.stage(vec![write]).await.map(|_| ()) }
    });
    eventually("we do not wait", async || {
        scalar(
            &world.pool,
            "SELECT count(*)::text FROM pg_locks WHERE NOT granted",
        )
        .await
            == "1"
    })
    .await;
    staging.abort();
    assert!(staging.await.unwrap_err().is_cancelled());
    theirs.rollback().await.unwrap();
    eventually("a session stays in a transaction", async || {
        scalar(
            &world.pool,
            "SELECT count(*)::text FROM pg_stat_activity WHERE state LIKE 'idle in%' AND datname = current_database()",
        )
        .await
            == "0"
    })
    .await;
    assert_eq!(row(&source, &["1"]).await.cells[1], cell("one"));
}

#[tokio::test]
async fn c_13_a_session_ended_between_stage_and_commit_is_not_taken_for_a_commit() {
    let (world, source) = items().await;
    let write = update(&source, &["1"], &[("name", Some("uno"))]).await;
    let transaction = source.stage(vec![write]).await.unwrap();
    let xid = staged(&transaction.receipts()[0]).2;
    run(
        &world.pool,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE state = 'idle in transaction' AND datname = current_database()",
    )
    .await;
    assert!(!matches!(transaction.commit().await, Commit::Committed));
    assert_eq!(status(&source, &[xid]).await, [TransactionStatus::Aborted]);
    assert_eq!(row(&source, &["1"]).await.cells[1], cell("one"));
}

#[tokio::test]
async fn c_13_a_commit_whose_answer_is_lost_is_unknown_and_its_id_tells_that_it_happened() {
    let (mut world, direct) = items().await;
    let proxy = Proxy::before(world.access.port).await;
    world.access.port = proxy.port;
    let source = open(&world.access, "t", &["k"], &["k", "name"], None).await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("uno"))]).await,
        insert(&source, &[("k", Some("4")), ("name", Some("bad"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    let xid = staged(&transaction.receipts()[0]).2;
    refused(&transaction.receipts()[1]);
    proxy.swallow_answers.store(true, Ordering::SeqCst);
    match transaction.commit().await {
        Commit::Unknown(failure) => assert_eq!(failure.code, "source.connection_lost"),
        other => panic!("{other:?}"),
    }
    eventually("the commit did not arrive", async || {
        status(&direct, &[xid]).await == [TransactionStatus::Committed]
    })
    .await;
    assert_eq!(row(&direct, &["1"]).await.cells[1], cell("uno"));
    assert!(!is_there(&direct, &["4"]).await);
}

#[tokio::test]
async fn ids_of_another_history_prove_nothing_and_spoil_no_other_answer() {
    let (world, source) = items().await;
    let known: u64 = scalar(&world.pool, "SELECT pg_current_xact_id()::text")
        .await
        .parse()
        .unwrap();
    let answers = status(&source, &[known + 1_000_000_000, known, 0, 2, u64::MAX, known]).await;
    let unknown = TransactionStatus::Unknown;
    assert_eq!(
        answers,
        [
            unknown,
            TransactionStatus::Committed,
            unknown,
            unknown,
            unknown,
            TransactionStatus::Committed
        ]
    );
    assert!(status(&source, &[]).await.is_empty());
}

/// Passes bytes on to a server, and swallows its answers from a moment on: then it hangs up.
struct Proxy {
    port: u16,
    swallow_answers: Arc<AtomicBool>,
}

impl Proxy {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallow_answers = Arc::new(AtomicBool::new(false));
        let swallow = Arc::clone(&swallow_answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&swallow)));
            }
        });
        Self {
            port,
            swallow_answers,
        }
    }
}

async fn pass(client: TcpStream, server: TcpStream, swallow: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if swallow.load(Ordering::SeqCst) || to_client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    asking.abort();
}
