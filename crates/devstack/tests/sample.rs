//! The sample company on a real server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests; clippy knows only the test functions themselves"
)]

use sqlx::PgPool;
use syncbridge_devstack::sample::{self, Kind};
use syncbridge_devstack::{Error, testing};

async fn number(pool: &PgPool, question: &str) -> i64 {
    sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned()))
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_sample_has_the_promised_rows_and_loading_again_touches_nothing() {
    let database = testing::postgres().await;
    let loaded = sample::load(&database.url()).await.unwrap();
    for (table, expected) in [
        ("people", 900),
        ("projects", 600),
        ("contracts", 1500),
        ("tasks", 3200),
    ] {
        assert_eq!(sample::rows(&loaded, table, Kind::Insert), expected, "{table}");
    }
    let again = sample::load(&database.url()).await.unwrap();
    assert!(again.iter().all(|step| step.rows == 0), "{again:?}");
}

#[tokio::test]
async fn the_sample_holds_awkward_values_of_every_sort() {
    let database = testing::postgres().await;
    sample::load(&database.url()).await.unwrap();
    let pool = database.pool().await.unwrap();
    for (what, question) in [
        (
            "leap days",
            "select count(*) from company.projects where starts_on = '2024-02-29'",
        ),
        (
            "a leap day to come",
            "select count(*) from company.projects where ends_on = '2028-02-29'",
        ),
        (
            "the largest number",
            "select count(*) from company.contracts where value = 999999999999.99",
        ),
        (
            "cents",
            "select count(*) from company.contracts where value = 0.01",
        ),
        (
            "Chinese or Japanese",
            "select count(*) from company.people where full_name ~ '[一-龥]'",
        ),
        (
            "accents as combining characters",
            "select count(*) from company.people where full_name <> normalize(full_name, nfc)",
        ),
        (
            "emoji",
            "select count(*) from company.people where full_name like '%🌻%'",
        ),
        (
            "quotes",
            "select count(*) from company.people where full_name like '%''%\"%\"%'",
        ),
        (
            "text like HTML",
            "select count(*) from company.people where about like '%<script>%'",
        ),
        (
            "trailing blanks",
            "select count(*) from company.people where about like '%  '",
        ),
        (
            "carriage returns",
            "select count(*) from company.people where about like E'%\\r\\n%'",
        ),
        (
            "a formula",
            "select count(*) from company.projects where name like '=%'",
        ),
        (
            "text of 8,000 characters",
            "select count(*) from company.tasks where length(details) > 8000",
        ),
        (
            "microseconds",
            "select count(*) from company.tasks where due_at = '2028-02-29 23:59:59.999999+00'",
        ),
        (
            "NULL booleans",
            "select count(*) from company.tasks where blocked is null",
        ),
        (
            "NULL dates",
            "select count(*) from company.contracts where valid_until is null",
        ),
        (
            "rows of one import time",
            "select count(*) from company.tasks where updated_at = '2025-06-30 22:00:00+00' having count(*) = 2500",
        ),
        (
            "every state",
            "select 1::bigint where (select count(distinct state) from company.tasks) = 5",
        ),
    ] {
        assert!(number(&pool, question).await > 0, "no {what}");
    }
    let undescribed = "select count(*) from pg_attribute as a join pg_class as c on c.oid = a.attrelid \
         where c.relnamespace = 'company'::regnamespace and c.relkind = 'r' and a.attnum > 0 \
         and col_description(c.oid, a.attnum) is null";
    assert_eq!(number(&pool, undescribed).await, 0, "columns without a comment");
}

#[tokio::test]
async fn the_sample_is_the_same_every_time() {
    let (one, two) = (testing::postgres().await, testing::postgres().await);
    let mut digests = Vec::new();
    for database in [&one, &two] {
        sample::load(&database.url()).await.unwrap();
        let pool = database.pool().await.unwrap();
        let digest: String = sqlx::query_scalar(
            "select md5(string_agg(row, '|' order by row)) from (\
                 select p::text as row from company.people as p union all select p::text from company.projects as p \
                 union all select c::text from company.contracts as c union all select t::text from company.tasks as t\
             ) as everything",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        digests.push(digest);
        pool.close().await;
    }
    assert_eq!(digests[0], digests[1]);
}

#[tokio::test]
async fn a_working_day_changes_inserts_and_deletes_and_the_next_day_too() {
    let database = testing::postgres().await;
    sample::load(&database.url()).await.unwrap();
    let pool = database.pool().await.unwrap();
    for _day in 0..2 {
        let before: Vec<i64> = counts(&pool).await;
        let latest = "select (extract(epoch from max(updated_at)) * 1000000)::bigint from company.tasks";
        let stamp = number(&pool, latest).await;
        let day = sample::a_working_day(&database.url()).await.unwrap();
        assert!(
            day.iter().all(|step| step.rows > 0),
            "a step touched nothing: {day:?}"
        );
        assert_eq!(sample::rows(&day, "tasks", Kind::Insert), 25);
        assert_eq!(sample::rows(&day, "tasks", Kind::Update), 60);
        assert_eq!(sample::rows(&day, "tasks", Kind::Delete), 5);
        for (position, table) in sample::TABLES.into_iter().enumerate() {
            let grown = sample::rows(&day, table, Kind::Insert) as i64
                - sample::rows(&day, table, Kind::Delete) as i64;
            assert_eq!(counts(&pool).await[position] - before[position], grown, "{table}");
        }
        assert!(
            number(&pool, latest).await > stamp,
            "the trigger stamps changed rows"
        );
    }
    let reset = sample::reset(&database.url()).await.unwrap();
    assert_eq!(sample::rows(&reset, "tasks", Kind::Insert), 3200);
}

async fn counts(pool: &PgPool) -> Vec<i64> {
    let mut all = Vec::new();
    for table in sample::TABLES {
        all.push(number(pool, &format!("select count(*) from company.{table}")).await);
    }
    all
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_neither_used_nor_dropped() {
    let database = testing::postgres().await;
    let pool = database.pool().await.unwrap();
    assert!(matches!(
        sample::a_working_day(&database.url()).await,
        Err(Error::SampleMissing)
    ));
    sqlx::raw_sql("create schema company; create table company.people (precious text)")
        .execute(&pool)
        .await
        .unwrap();
    assert!(matches!(
        sample::load(&database.url()).await,
        Err(Error::ForeignSchema)
    ));
    assert!(matches!(
        sample::reset(&database.url()).await,
        Err(Error::ForeignSchema)
    ));
    assert_eq!(number(&pool, "select count(*) from company.people").await, 0);
}
