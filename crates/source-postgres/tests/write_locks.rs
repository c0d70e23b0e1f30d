//! What others notice of our locks, and we of theirs.

use std::time::Duration;

use sqlx::PgPool;
use syncbridge_domain::failure::Scope;
use syncbridge_domain::row_write::{Commit, TransactionStatus};
use syncbridge_source_postgres::PgSource;

use crate::world::{World, open, run, scalar, world};
use crate::writing::{
    blamed, cell, committed, delete, eventually, insert, is_there, key, refused, row, staged, update,
};

const FAMILY: &str = "CREATE TABLE parent (k int PRIMARY KEY, name text); INSERT INTO parent VALUES (1, 'p'), (2, 'q'), (3, 'r');
     CREATE TABLE child (k int PRIMARY KEY, parent int REFERENCES parent)";

async fn family(adjust: impl FnOnce(&mut syncbridge_source_postgres::Timeouts)) -> (World, PgSource) {
    let mut world = world(FAMILY).await;
    adjust(&mut world.access.timeouts);
    let source = open(&world.access, "parent", &["k"], &["k", "name"], None).await;
    (world, source)
}

/// Waits for no lock at all.
async fn at_once(pool: &PgPool, sql: &str) -> Result<(), String> {
    let mut transaction = pool.begin().await.unwrap();
    run(&mut *transaction, "SET LOCAL lock_timeout = 1").await;
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(&mut *transaction)
        .await;
    let code = done.map(|_| ()).map_err(|error| {
        let code = error.as_database_error().unwrap().code().unwrap();
        code.into_owned()
    });
    match code {
        Ok(()) => transaction.commit().await.unwrap(),
        Err(_) => transaction.rollback().await.unwrap(),
    }
    code
}

#[tokio::test]
async fn c_14_a_row_that_refers_to_a_staged_one_is_inserted_without_waiting() {
    let (world, source) = family(|_| {}).await;
    let writes = vec![update(&source, &["1"], &[("name", Some("new"))]).await];
    let transaction = source.stage(writes).await.unwrap();
    staged(&transaction.receipts()[0]);
    at_once(&world.pool, "INSERT INTO child VALUES (10, 1)")
        .await
        .unwrap();
    assert_eq!(
        at_once(&world.pool, "UPDATE parent SET name = 'theirs' WHERE k = 1").await,
        Err("55P03".to_owned()),
        "the row itself is ours until the commit"
    );
    committed(transaction).await;
    at_once(&world.pool, "UPDATE parent SET name = 'theirs' WHERE k = 1")
        .await
        .unwrap();
}

#[tokio::test]
async fn c_14_a_row_that_is_just_being_referred_to_is_staged_without_waiting() {
    let (world, source) = family(|timeouts| timeouts.write_lock = Duration::from_millis(1)).await;
    let mut theirs = world.pool.begin().await.unwrap();
    run(&mut *theirs, "INSERT INTO child VALUES (10, 1), (11, 2)").await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("new"))]).await,
        delete(&source, &["2"]).await,
        delete(&source, &["3"]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    staged(&transaction.receipts()[0]);
    assert_eq!(
        blamed(&transaction.receipts()[1]),
        ("source.row_locked", None),
        "a row that may get a child is not deleted"
    );
    staged(&transaction.receipts()[2]);
    committed(transaction).await;
    theirs.commit().await.unwrap();
    assert!(is_there(&source, &["2"]).await);
}

#[tokio::test]
async fn c_14_a_row_that_is_locked_for_too_long_is_left_and_its_neighbours_are_unharmed() {
    let (world, source) = family(|timeouts| timeouts.write_lock = Duration::from_millis(50)).await;
    let mut theirs = world.pool.begin().await.unwrap();
    run(
        &mut *theirs,
        "UPDATE parent SET name = 'theirs' WHERE k = 2; INSERT INTO parent VALUES (9, 'theirs')",
    )
    .await;
    let writes = vec![
        update(&source, &["3"], &[("name", Some("c"))]).await,
        update(&source, &["2"], &[("name", Some("b"))]).await,
        update(&source, &["1"], &[("name", Some("a"))]).await,
        insert(&source, &[("k", Some("9"))]),
    ];
    let transaction = source.stage(writes).await.unwrap();
    for at in [1, 3] {
        assert_eq!(refused(&transaction.receipts()[at]).code, "source.row_locked");
    }
    staged(&transaction.receipts()[0]);
    staged(&transaction.receipts()[2]);
    committed(transaction).await;
    theirs.rollback().await.unwrap();
    assert_eq!(
        scalar(&world.pool, "SELECT string_agg(name, ' ' ORDER BY k) FROM parent").await,
        "a q c"
    );
}

#[tokio::test]
async fn c_14_rows_that_wait_in_turn_do_not_make_the_first_of_them_wait_for_ever() {
    let (world, source) = family(|timeouts| {
        timeouts.write_lock = Duration::from_secs(600);
        timeouts.hold = Duration::from_millis(600);
    })
    .await;
    let mut theirs = world.pool.begin().await.unwrap();
    run(&mut *theirs, "UPDATE parent SET name = 'theirs' WHERE k >= 2").await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("a"))]).await,
        update(&source, &["2"], &[("name", Some("b"))]).await,
        update(&source, &["3"], &[("name", Some("c"))]).await,
    ];
    let staging = source.stage(writes);
    let transaction = tokio::time::timeout(Duration::from_secs(30), staging)
        .await
        .expect("all that while the first row is locked")
        .unwrap();
    staged(&transaction.receipts()[0]);
    for at in [1, 2] {
        let code = refused(&transaction.receipts()[at]).code.as_str();
        assert!(
            matches!(code, "source.row_locked" | "source.row_too_slow"),
            "{code}"
        );
    }
    theirs.rollback().await.unwrap();
    transaction.roll_back().await;
}

#[tokio::test]
async fn c_14_locks_of_a_worker_that_stands_still_are_taken_from_it_by_the_server() {
    let (world, source) = family(|timeouts| timeouts.hold = Duration::from_secs(1)).await;
    let writes = vec![update(&source, &["1"], &[("name", Some("ours"))]).await];
    let transaction = source.stage(writes).await.unwrap();
    let xid = staged(&transaction.receipts()[0]).2;
    // Nobody commits; this waits for the row and gets it.
    run(
        &world.pool,
        "SET lock_timeout = '30s'; UPDATE parent SET name = 'theirs' WHERE k = 1",
    )
    .await;
    assert_eq!(
        source.transactions(&[xid]).await.unwrap(),
        [TransactionStatus::Aborted]
    );
    match transaction.commit().await {
        Commit::Unknown(failure) | Commit::RolledBack(failure) => {
            assert_eq!(failure.scope, Scope::Outage, "{failure}");
        }
        Commit::Committed => panic!("it was ended by the server"),
    }
    assert_eq!(row(&source, &["1"]).await.cells[1], cell("theirs"));
}

#[tokio::test]
async fn a_slow_trigger_costs_its_row_the_turn_and_no_other() {
    let (world, source) = family(|timeouts| timeouts.hold = Duration::from_secs(2)).await;
    run(
        &world.pool,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
         CREATE TRIGGER f BEFORE UPDATE ON parent FOR EACH ROW WHEN (NEW.k = 3) EXECUTE FUNCTION f()",
    )
    .await;
    let writes = vec![
        update(&source, &["3"], &[("name", Some("c"))]).await,
        update(&source, &["1"], &[("name", Some("a"))]).await,
    ];
    let transaction = source.stage(writes).await.unwrap();
    assert_eq!(refused(&transaction.receipts()[0]).code, "source.row_too_slow");
    staged(&transaction.receipts()[1]);
    committed(transaction).await;
}

#[tokio::test]
async fn a_deadlock_ends_the_whole_transaction_and_nothing_is_written() {
    let (world, source) = family(|timeouts| {
        timeouts.write_lock = Duration::from_secs(60);
        timeouts.hold = Duration::from_secs(120);
    })
    .await;
    let mut theirs = world.pool.begin().await.unwrap();
    // They look for deadlocks later than we do, so that we are the ones who find it.
    run(
        &mut *theirs,
        "SET LOCAL deadlock_timeout = '120s'; UPDATE parent SET name = 'theirs' WHERE k = 2",
    )
    .await;
    let writes = vec![
        update(&source, &["1"], &[("name", Some("a"))]).await,
        update(&source, &["2"], &[("name", Some("b"))]).await,
    ];
    let staging = tokio::spawn({
        let source = source.clone();
        async move { source.stage(writes).await.map(|_| ()) }
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
    run(&mut *theirs, "UPDATE parent SET name = 'theirs' WHERE k = 1").await;
    let failure = staging.await.unwrap().unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.scope),
        ("source.deadlock", Scope::Outage)
    );
    theirs.commit().await.unwrap();
    assert_eq!(
        scalar(&world.pool, "SELECT string_agg(name, ' ' ORDER BY k) FROM parent").await,
        "theirs theirs r"
    );
}

#[tokio::test]
async fn writing_sessions_are_among_the_few_and_none_stays_in_a_transaction() {
    let mut world = world(FAMILY).await;
    world.access.application_name = "syncbridge test of writes".to_owned();
    world.access.max_connections = 2;
    let source = open(&world.access, "parent", &["k"], &["k", "name"], None).await;
    let each = (0..10).map(|n| {
        let source = &source;
        async move {
            let text = (100 + n).to_string();
            let transaction = source
                .stage(vec![insert(source, &[("k", Some(&text))])])
                .await
                .unwrap();
            match n % 3 {
                0 => committed(transaction).await,
                1 => transaction.roll_back().await,
                _ => drop(transaction),
            }
            is_there(source, &[&text]).await
        }
    });
    let kept = futures_util::future::join_all(each).await;
    assert_eq!(kept, (0..10).map(|n| n % 3 == 0).collect::<Vec<_>>());
    eventually("a session stays in a transaction", async || {
        let sessions: (i64, Option<bool>) = sqlx::query_as(
            "SELECT count(*), bool_and(state = 'idle') FROM pg_stat_activity WHERE application_name = $1",
        )
        .bind(&world.access.application_name)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        sessions.0 <= 2 && sessions.1 != Some(false)
    })
    .await;
    assert_eq!(key(&source, &["1"]), row(&source, &["1"]).await.key);
}
