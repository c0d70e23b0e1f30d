//! What our sessions may do, and how they print.

use sqlx::Row as _;
use syncbridge_domain::failure::Scope;
use syncbridge_source_postgres::{Catalog, PgSource};

use crate::world::{by_key, open, run, scalar, world};

#[tokio::test]
async fn a_session_cannot_write_not_even_through_a_function_of_a_view() {
    let world = world(
        "CREATE TABLE log (k int PRIMARY KEY);
         CREATE FUNCTION note() RETURNS int LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO public.log VALUES (1); RETURN 1; END $$;
         CREATE VIEW v AS SELECT public.note() AS k",
    )
    .await;
    let source = open(&world.access, "v", &["k"], &["k"], None).await;
    let failure = source.page_by_key(None, 5).await.unwrap_err();
    assert_eq!(failure.code, "source.read_only");
    assert_eq!(scalar(&world.pool, "SELECT count(*)::text FROM log").await, "0");
}

#[tokio::test]
async fn the_settings_of_role_and_database_do_not_change_what_a_cell_looks_like() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, at timestamptz, d date, f float8, b bytea, i interval, m money, x bool, \
             c char(5));
         INSERT INTO t VALUES (1, '2024-07-01 12:00:00.5+02', '2024-02-03', 0.1::float8 + 0.2, '\\xdead', '1 day 02:00', 12, \
             true, 'ab')",
    )
    .await;
    let database = scalar(&world.pool, "SELECT quote_ident(current_database())").await;
    for setting in [
        "DateStyle = 'German'",
        "TimeZone = 'Europe/Berlin'",
        "extra_float_digits = -10",
        "bytea_output = 'escape'",
        "IntervalStyle = 'postgres_verbose'",
        "default_transaction_read_only = off",
        "row_security = on",
        "search_path = 'nowhere'",
    ] {
        run(&world.pool, &format!("ALTER DATABASE {database} SET {setting}")).await;
    }
    let source = open(
        &world.access,
        "t",
        &["k"],
        &["at", "d", "f", "b", "i", "m", "x", "c"],
        None,
    )
    .await;
    let rows = by_key(&source, 5).await;
    let cells: Vec<&str> = rows[0]
        .cells
        .iter()
        .map(|cell| cell.as_deref().unwrap())
        .collect();
    assert_eq!(
        cells,
        [
            "2024-07-01 10:00:00.5+00",
            "2024-02-03",
            "0.30000000000000004",
            "\\xdead",
            "P1DT2H",
            "12.00",
            "true",
            "ab"
        ]
    );
}

#[tokio::test]
async fn sessions_bear_our_name_have_limits_and_never_exceed_their_number() {
    let mut world = world("CREATE TABLE t (k int PRIMARY KEY)").await;
    world.access.application_name = "syncbridge test of sessions".to_owned();
    world.access.max_connections = 2;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    let reads = (0..20).map(|_| source.page_by_key(None, 10));
    for page in futures_util::future::join_all(reads).await {
        page.unwrap();
    }
    let row = sqlx::query(
        "SELECT count(*), bool_and(state = 'idle') FROM pg_stat_activity WHERE application_name = $1",
    )
    .bind(&world.access.application_name)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let (sessions, idle): (i64, bool) = (row.get(0), row.get(1));
    assert!((1..=2).contains(&sessions), "{sessions} sessions");
    assert!(idle, "a session was left inside a transaction");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server_and_explained() {
    let mut world = world("CREATE VIEW v AS SELECT 1 AS k, pg_sleep(30)::text AS s").await;
    world.access.timeouts.statement = std::time::Duration::from_millis(200);
    let source = open(&world.access, "v", &["k"], &["s"], None).await;
    let failure = source.page_by_key(None, 5).await.unwrap_err();
    assert_eq!(failure.code, "source.statement_timeout");
    assert_eq!(failure.scope, Scope::List);
}

#[tokio::test]
async fn a_locked_table_is_told_as_locked() {
    let mut world = world("CREATE TABLE t (k int PRIMARY KEY)").await;
    world.access.timeouts.lock = std::time::Duration::from_millis(200);
    let source = open(&world.access, "t", &["k"], &[], None).await;
    let mut locker = world.pool.begin().await.unwrap();
    run(&mut *locker, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await;
    assert_eq!(
        source.page_by_key(None, 5).await.unwrap_err().code,
        "source.lock_timeout"
    );
    locker.rollback().await.unwrap();
    assert!(source.page_by_key(None, 5).await.is_ok());
}

#[tokio::test]
async fn every_read_can_be_driven_from_another_thread() {
    let world =
        world("CREATE TABLE t (k int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, now())").await;
    let access = world.access.clone();
    let source = open(&access, "t", &["k"], &["at"], Some("at")).await;
    let reads = async move {
        let horizon = source.horizon().await?;
        source.watermark_ceiling(&horizon).await?;
        source.estimate().await?;
        let page = source.page_by_key(None, 1).await?;
        source.page_by_watermark(None, 1).await?;
        source.page_without_watermark(None, 1).await?;
        source.read_keys(&[page.rows[0].key.clone()]).await?;
        let catalog = Catalog::connect(&access).await?;
        catalog.relations().await?;
        catalog.describe(source.table()).await?;
        PgSource::connect(&access, source.table(), source.shape()).await
    };
    assert!(tokio::spawn(reads).await.unwrap().is_ok());
}
