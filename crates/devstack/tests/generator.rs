//! Generated tables on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use sqlx::PgPool;
use syncbridge_devstack::generator::{KeyKind, Table};
use syncbridge_devstack::testing;

const ROWS: u64 = 5_000;

fn table(name: &str, key: KeyKind, seed: u32) -> Table<'_> {
    Table {
        name,
        rows: ROWS,
        key,
        seed,
    }
}

async fn one<T>(pool: &PgPool, question: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

async fn digest(pool: &PgPool, name: &str) -> String {
    one(
        pool,
        &format!("select md5(string_agg(md5(t::text), '' order by number)) from generated.{name} t"),
    )
    .await
}

#[tokio::test]
async fn one_seed_makes_one_table_and_another_seed_another() {
    let database = testing::postgres().await;
    let (url, pool) = (database.url(), database.pool().await.unwrap());
    table("a", KeyKind::Integer, 7).make(&url).await.unwrap();
    table("b", KeyKind::Integer, 7).make(&url).await.unwrap();
    table("c", KeyKind::Integer, 8).make(&url).await.unwrap();
    assert_eq!(digest(&pool, "a").await, digest(&pool, "b").await);
    assert_ne!(digest(&pool, "a").await, digest(&pool, "c").await);
    // The very same on every machine: a change of the generator is a change of every figure measured with it.
    assert_eq!(digest(&pool, "a").await, "26642bab690ee5fcbd2e60bace94e334");
}

#[tokio::test]
async fn a_generated_table_holds_nulls_many_lengths_and_many_scripts() {
    let database = testing::postgres().await;
    let pool = database.pool().await.unwrap();
    let orders = table("orders", KeyKind::Uuid, 7);
    orders.make(&database.url()).await.unwrap();
    for (what, question) in [
        ("NULL in notes", "notes is null"),
        ("NULL in a number", "quantity is null"),
        ("NULL in a boolean", "paid is null"),
        ("NULL in a day", "due is null"),
        ("short notes", "length(notes) < 20"),
        ("long notes", "length(notes) > 350"),
        ("Chinese", "notes ~ '[一-龥]'"),
        ("Hindi", "notes ~ '[ऀ-ॿ]'"),
        ("characters of markup", "notes like '%<%' and notes like '%&%'"),
        ("cents", "amount <> trunc(amount)"),
        ("fractions", "weight <> trunc(weight)"),
    ] {
        let rows: i64 = one(
            &pool,
            &format!("select count(*) from generated.orders where {question}"),
        )
        .await;
        assert!(
            (1..i64::try_from(ROWS).unwrap()).contains(&rows),
            "{what}: {rows}"
        );
    }
    let stages: i64 = one(&pool, "select count(distinct stage) from generated.orders").await;
    assert_eq!(stages, 6);
    let keys: i64 = one(&pool, "select count(distinct id) from generated.orders").await;
    assert_eq!(u64::try_from(keys).unwrap(), ROWS);
}

#[tokio::test]
async fn a_step_touches_the_share_it_is_told_and_the_same_rows_again() {
    let database = testing::postgres().await;
    let (url, pool) = (database.url(), database.pool().await.unwrap());
    let (first, second) = (
        table("first", KeyKind::Integer, 7),
        table("second", KeyKind::Uuid, 7),
    );
    first.make(&url).await.unwrap();
    second.make(&url).await.unwrap();
    let touched = first.change(&url, 10, 1).await.unwrap();
    assert!((20..=90).contains(&touched), "{touched} of {ROWS}");
    assert_eq!(second.change(&url, 10, 1).await.unwrap(), touched);
    let changed = "count(*) filter (where notes like 'Round %')";
    let both: i64 = one(
        &pool,
        &format!(
            "select (select {changed} from generated.first) - (select {changed} from generated.second)
                  + count(*) from generated.first a join generated.second b using (number)
             where (a.notes like 'Round %') <> (b.notes like 'Round %') or a.amount <> b.amount"
        ),
    )
    .await;
    assert_eq!(both, 0, "the same rows, whatever the key");

    let removed = first.remove(&url, 20, 1).await.unwrap();
    assert!((60..=150).contains(&removed), "{removed} of {ROWS}");
    assert_eq!(first.remove(&url, 20, 1).await.unwrap(), 0);
    assert_eq!(first.add(&url, removed).await.unwrap(), removed);
    let rows: i64 = one(&pool, "select count(*) from generated.first").await;
    assert_eq!(u64::try_from(rows).unwrap(), ROWS);
}

#[tokio::test]
async fn a_table_of_no_reasonable_size_is_refused() {
    let database = testing::postgres().await;
    let absurd = Table {
        rows: u64::MAX,
        ..table("absurd", KeyKind::Integer, 1)
    };
    let refused = absurd.make(&database.url()).await.unwrap_err().to_string();
    assert!(refused.contains("10000000"), "{refused}");
}
