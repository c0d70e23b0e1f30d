//! A database with a table in it, and ways to read it to its end.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, PgPool};
use syncbridge_devstack::testing::{PrivatePostgres, TestDatabase, postgres, private_postgres};
use syncbridge_domain::identity::{Key, KeyColumn};
use syncbridge_domain::row::SourceRow;
use syncbridge_domain::run::WatermarkColumn;
use syncbridge_source_postgres::{
    Access, Catalog, PgSource, ReadColumn, ReadShape, TableRef, WatermarkPosition,
};

/// A database of one test on the shared server.
pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) access: Access,
    _database: TestDatabase,
}

/// A server of one test alone.
pub(crate) struct Lonely {
    pub(crate) pool: PgPool,
    pub(crate) access: Access,
    pub(crate) server: PrivatePostgres,
}

pub(crate) async fn world(sql: &str) -> World {
    let database = postgres().await;
    let pool = database.pool().await.unwrap();
    let access = Access::parse_url(&database.url()).unwrap();
    run(&pool, sql).await;
    World {
        pool,
        access,
        _database: database,
    }
}

pub(crate) async fn lonely(sql: &str) -> Lonely {
    let server = private_postgres(|_| {}).await;
    server.cluster.create_database("town").await.unwrap();
    let url = server.cluster.url("town");
    let access = Access::parse_url(&url).unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    run(&pool, sql).await;
    Lonely { pool, access, server }
}

pub(crate) async fn run<'e>(executor: impl sqlx::PgExecutor<'e>, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(executor).await.unwrap();
}

pub(crate) async fn scalar(pool: &PgPool, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The shape of a table with the types its catalog shows.
pub(crate) async fn shape(
    access: &Access,
    table: &TableRef,
    key: &[&str],
    columns: &[&str],
    watermark: Option<&str>,
) -> ReadShape {
    let catalog = Catalog::connect(access).await.unwrap();
    let description = catalog.describe(table).await.unwrap();
    catalog.close().await;
    let pg_type = |name: &&str| description.column(name).unwrap().pg_type.clone();
    ReadShape::new(
        key.iter()
            .map(|name| KeyColumn {
                name: (*name).into(),
                pg_type: pg_type(name),
            })
            .collect(),
        columns
            .iter()
            .map(|name| ReadColumn {
                name: (*name).into(),
                pg_type: pg_type(name),
            })
            .collect(),
        watermark.map(|name| WatermarkColumn {
            name: name.into(),
            pg_type: pg_type(&name),
        }),
    )
}

pub(crate) async fn open(
    access: &Access,
    table: &str,
    key: &[&str],
    columns: &[&str],
    watermark: Option<&str>,
) -> PgSource {
    let table = TableRef::new("public", table);
    let shape = shape(access, &table, key, columns, watermark).await;
    PgSource::connect(access, &table, &shape).await.unwrap()
}

/// All rows in key order, page by page.
pub(crate) async fn by_key(source: &PgSource, limit: u32) -> Vec<SourceRow> {
    let mut all: Vec<SourceRow> = Vec::new();
    loop {
        let after = all.last().map(|row| row.key.clone());
        let page = source.page_by_key(after.as_ref(), limit).await.unwrap();
        if page.rows.is_empty() {
            return all;
        }
        all.extend(page.rows);
    }
}

/// All rows in (watermark, key) order, page by page.
pub(crate) async fn by_watermark(
    source: &PgSource,
    from: Option<WatermarkPosition>,
    limit: u32,
) -> Vec<SourceRow> {
    let mut all: Vec<SourceRow> = Vec::new();
    let mut after = from;
    loop {
        let page = source.page_by_watermark(after.as_ref(), limit).await.unwrap();
        if page.rows.is_empty() {
            return all;
        }
        all.extend(page.rows);
        after = all.last().map(|row| WatermarkPosition {
            value: row.watermark.as_deref().unwrap().to_owned(),
            key: Some(row.key.clone()),
        });
    }
}

/// The first key text of each row.
pub(crate) fn first_texts(rows: &[SourceRow]) -> Vec<String> {
    rows.iter()
        .map(|row| row.key.texts().unwrap()[0].to_owned())
        .collect()
}

pub(crate) fn assert_all_different(rows: &[SourceRow]) {
    let keys: HashSet<&Key> = rows.iter().map(|row| &row.key).collect();
    assert_eq!(keys.len(), rows.len(), "a row was repeated");
}
