//! Migrations, compatibility and partitions.

use syncbridge_devstack::testing;
use syncbridge_meta_store::Error;

use crate::fixture::{World, connect};

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let world = World::new().await;
    let tables = world
        .count("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')")
        .await;
    world.store.migrate().await.unwrap();
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations")).unwrap();
    let written = i64::try_from(folder.count()).unwrap();
    assert_eq!(
        world
            .count("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')")
            .await,
        tables
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM _sqlx_migrations WHERE success")
            .await,
        written
    );
    world.store.check_schema().await.unwrap();
}

#[tokio::test]
async fn two_services_may_migrate_at_once() {
    let database = testing::postgres().await;
    let (one, two) = (connect(&database).await, connect(&database).await);
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first.unwrap();
    second.unwrap();
    one.check_schema().await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_refused_with_the_command_that_helps() {
    let database = testing::postgres().await;
    let error = connect(&database).await.check_schema().await.unwrap_err();
    assert!(matches!(error, Error::NoSchema), "{error:?}");
    let failure = syncbridge_domain::failure::Failure::from(error);
    assert!(failure.fix.contains("syncbridge migrate"));
}

#[tokio::test]
async fn a_schema_that_needs_a_newer_service_is_refused_and_not_migrated() {
    let world = World::new().await;
    sqlx::query("UPDATE schema_compat SET schema_version = 9, oldest_reader = 5")
        .execute(&world.pool)
        .await
        .unwrap();
    let refused = world.store.check_schema().await.unwrap_err();
    assert!(
        matches!(refused, Error::SchemaTooNew { needed: 5, known: 3 }),
        "{refused:?}"
    );
    let refused = world.store.migrate().await.unwrap_err();
    assert!(matches!(refused, Error::SchemaTooNew { .. }), "{refused:?}");
}

#[tokio::test]
async fn a_newer_schema_that_still_serves_this_version_is_accepted() {
    let world = World::new().await;
    sqlx::query("UPDATE schema_compat SET schema_version = 4, oldest_reader = 1")
        .execute(&world.pool)
        .await
        .unwrap();
    world.store.check_schema().await.unwrap();
}

#[tokio::test]
async fn a_schema_that_was_not_migrated_yet_is_refused() {
    let world = World::new().await;
    sqlx::query("UPDATE schema_compat SET schema_version = 2")
        .execute(&world.pool)
        .await
        .unwrap();
    let refused = world.store.check_schema().await.unwrap_err();
    assert!(
        matches!(refused, Error::SchemaTooOld { found: 2, needed: 3 }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn every_table_says_what_it_means() {
    let world = World::new().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class c
         WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
           AND relname <> '_sqlx_migrations' AND obj_description(c.oid, 'pg_class') IS NULL",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn every_partitioned_table_has_months_ahead_and_takes_any_time() {
    let world = World::new().await;
    let lacking: Vec<String> = sqlx::query_scalar(
        "SELECT p.relname::text FROM pg_class p JOIN pg_inherits i ON i.inhparent = p.oid
         WHERE p.relkind = 'p' AND p.relname <> 'ledger' GROUP BY 1 HAVING count(*) <> 5",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(lacking, Vec::<String>::new(), "four months and a default");
    for at in ["2001-01-01", "2099-12-31"] {
        sqlx::query(
            "INSERT INTO metrics (workspace_id, definition_id, name, at, value)
             VALUES (gen_random_uuid(), gen_random_uuid(), 'x', $1::timestamptz, 1)",
        )
        .bind(
            at.parse::<chrono::NaiveDate>()
                .unwrap()
                .and_hms_opt(0, 0, 0)
                .unwrap()
                .and_utc(),
        )
        .execute(&world.pool)
        .await
        .unwrap();
    }
    assert_eq!(world.store.ensure_partitions().await.unwrap(), 0);
}

#[tokio::test]
async fn what_had_gone_to_the_default_partition_is_moved_when_its_month_is_made() {
    let world = World::new().await;
    let this_month: String =
        sqlx::query_scalar("SELECT to_char(now() AT TIME ZONE 'UTC', '\"y\"YYYY\"m\"MM')")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    let name = format!("metrics_{this_month}");
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP TABLE {name}")))
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO metrics (workspace_id, definition_id, name, at, value)
         VALUES (gen_random_uuid(), gen_random_uuid(), 'x', now(), 1)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert_eq!(world.count("SELECT count(*) FROM metrics_default").await, 1);
    assert_eq!(world.store.ensure_partitions().await.unwrap(), 1);
    assert_eq!(world.count("SELECT count(*) FROM metrics_default").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM metrics").await, 1);
}
