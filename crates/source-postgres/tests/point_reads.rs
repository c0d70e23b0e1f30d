//! Point reads: the proof that a row is there or not.

use syncbridge_domain::identity::{KeyColumn, encode_key};
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::row::Presence;
use syncbridge_source_postgres::KEYS_MAX;

use crate::world::{by_key, open, run, world};

#[tokio::test]
async fn keys_are_answered_in_the_order_asked_with_none_one_and_many() {
    let world = world(
        "CREATE TABLE base (k int NOT NULL, note text);
         INSERT INTO base VALUES (1, 'a'), (2, 'b'), (2, 'c'); CREATE VIEW v AS SELECT * FROM base",
    )
    .await;
    let source = open(&world.access, "v", &["k"], &["note"], None).await;
    let column = KeyColumn {
        name: "k".into(),
        pg_type: PgType::Int4,
    };
    let key = |text: &str| encode_key(std::slice::from_ref(&column), &[Some(text)]).unwrap();
    let (found, lsn) = source
        .read_keys(&[key("2"), key("9"), key("1"), key("2")])
        .await
        .unwrap();
    assert!(lsn.0 > 0);
    assert!(matches!(&found[0], Presence::Many(rows) if rows.len() == 2));
    assert!(matches!(&found[1], Presence::None));
    assert!(matches!(&found[2], Presence::One(row) if row.cells[0].as_deref() == Some("a")));
    assert!(matches!(&found[3], Presence::Many(rows) if rows.len() == 2));
}

#[tokio::test]
async fn no_keys_give_no_rows_and_too_many_are_refused() {
    let world =
        world("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5001)").await;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    assert!(source.read_keys(&[]).await.unwrap().0.is_empty());
    let mut keys: Vec<_> = by_key(&source, 2_000)
        .await
        .into_iter()
        .map(|row| row.key)
        .collect();
    assert_eq!(keys.len(), KEYS_MAX + 1);
    assert_eq!(
        source.read_keys(&keys).await.unwrap_err().code,
        "source.too_many_keys"
    );
    keys.pop();
    let (found, _) = source.read_keys(&keys).await.unwrap();
    assert!(found.iter().all(|row| row.one().is_some()));
}

#[tokio::test]
async fn a_key_whose_enum_label_was_renamed_is_absent_and_no_error() {
    let world = world(
        "CREATE TYPE \"Odd State\" AS ENUM ('open', 'closed');
         CREATE TABLE t (k \"Odd State\" PRIMARY KEY); INSERT INTO t VALUES ('open'), ('closed')",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    let keys: Vec<_> = by_key(&source, 5).await.into_iter().map(|row| row.key).collect();
    run(
        &world.pool,
        "ALTER TYPE \"Odd State\" RENAME VALUE 'open' TO 'new'",
    )
    .await;
    let (found, _) = source.read_keys(&keys).await.unwrap();
    assert!(matches!(found[0], Presence::None));
    assert!(found[1].one().is_some());
}

#[tokio::test]
async fn a_key_of_another_shape_is_refused() {
    let world = world("CREATE TABLE t (a int, b int, PRIMARY KEY (a, b))").await;
    let source = open(&world.access, "t", &["a", "b"], &[], None).await;
    let column = KeyColumn {
        name: "a".into(),
        pg_type: PgType::Int4,
    };
    let key = encode_key(&[column], &[Some("1")]).unwrap();
    assert_eq!(
        source.page_by_key(Some(&key), 5).await.unwrap_err().code,
        "source.key_changed"
    );
}
