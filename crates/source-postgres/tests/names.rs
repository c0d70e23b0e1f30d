//! Names that would break out of carelessly written SQL.

use syncbridge_domain::identity::KeyColumn;
use syncbridge_domain::pg_type::PgType;
use syncbridge_source_postgres::{PgSource, ReadShape, TableRef};

use crate::world::{by_key, by_watermark, shape, world};

#[tokio::test]
async fn odd_names_of_schemas_tables_columns_and_types_are_read_like_any_other() {
    let odd = [
        "Order \"x\"; drop",
        "two  blanks ",
        "Ünïcødé 日本 🙂",
        "UPPER",
        "select",
        "a.b",
        "it's",
        "back\\slash",
        "$1",
        "-- comment",
        "tab\tnewline\n",
        &"n".repeat(63),
        "äöüäöüäöüäöüäöüäöüäöüäöüäöüäöüä",
    ];
    let world = world("CREATE SCHEMA keep; CREATE TABLE keep.me (k int)").await;
    for name in odd {
        let q = format!("\"{}\"", name.replace('"', "\"\""));
        crate::world::run(
            &world.pool,
            &format!(
                "CREATE SCHEMA {q}; CREATE TYPE keep.{q} AS ENUM ('a', 'b');
                 CREATE TABLE {q}.{q} (k int, {q} keep.{q}, at timestamptz NOT NULL, PRIMARY KEY (k, {q}));
                 INSERT INTO {q}.{q} VALUES (1, 'a', now()), (1, 'b', now()), (2, 'a', now())"
            ),
        )
        .await;
        let table = TableRef::new(name, name);
        let shape = shape(&world.access, &table, &["k", name], &[name], Some("at")).await;
        let source = PgSource::connect(&world.access, &table, &shape).await.unwrap();
        let rows = by_key(&source, 1).await;
        assert_eq!(rows.len(), 3, "{name}");
        assert_eq!(by_watermark(&source, None, 2).await.len(), 3, "{name}");
        let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
        assert!(
            source
                .read_keys(&keys)
                .await
                .unwrap()
                .0
                .iter()
                .all(|row| row.one().is_some())
        );
        assert!(source.horizon().await.is_ok() && source.estimate().await.unwrap() > 0);
        source.close().await;
    }
    assert_eq!(
        crate::world::scalar(&world.pool, "SELECT count(*)::text FROM keep.me").await,
        "0"
    );
}

#[tokio::test]
async fn names_postgresql_cannot_hold_are_refused_before_anything_is_sent() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY)").await;
    let shape = ReadShape::new(
        vec![KeyColumn {
            name: "k".into(),
            pg_type: PgType::Int4,
        }],
        vec![],
        None,
    );
    for name in ["", "nul\0", &"n".repeat(64)] {
        let table = TableRef::new("public", name);
        let failure = PgSource::connect(&world.access, &table, &shape)
            .await
            .unwrap_err();
        assert_eq!(failure.code, "source.identifier");
    }
}
