//! A row that a policy hides must never look like one that is gone. Three things stand before that, each with a
//! test in which the others cannot help: the catalog's own word, the rehearsal of every statement, the sessions.

use syncbridge_domain::identity::KeyColumn;
use syncbridge_domain::pg_type::PgType;
use syncbridge_domain::verification::KeyRange;
use syncbridge_source_postgres::{Access, Catalog, PgSource, ReadShape, TableRef};

use crate::world::{Lonely, lonely, open, run};

/// Tables and a view that the role `reader` may read, without a policy yet.
async fn town() -> Lonely {
    let mut town = lonely(
        "CREATE TABLE t (k int PRIMARY KEY, at int); INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL);
         CREATE TABLE loose (k int NOT NULL); CREATE VIEW v AS SELECT * FROM t;
         CREATE ROLE reader LOGIN PASSWORD 'r'; GRANT SELECT ON t, loose, v TO reader;
         CREATE ROLE owner; ALTER VIEW v OWNER TO owner; GRANT SELECT ON t TO owner;
         GRANT USAGE ON SCHEMA public TO owner",
    )
    .await;
    town.access.user = "reader".to_owned();
    town.access.password = "r".to_owned().into();
    town
}

async fn hide_rows(town: &Lonely) {
    run(
        &town.pool,
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (k = 1);
         ALTER TABLE loose ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON loose USING (k = 1)",
    )
    .await;
}

fn by_k() -> ReadShape {
    let key = KeyColumn {
        name: "k".into(),
        pg_type: PgType::Int4,
    };
    ReadShape::new(vec![key], Vec::new(), None)
}

async fn opened(access: &Access, table: &str) -> Result<PgSource, String> {
    let source = PgSource::connect(access, &TableRef::new("public", table), &by_k()).await;
    source.map_err(|failure| failure.code)
}

async fn says_hidden(access: &Access, table: &str) -> bool {
    let catalog = Catalog::connect(access).await.unwrap();
    let description = catalog.describe(&TableRef::new("public", table)).await.unwrap();
    description.rows_hidden
}

#[tokio::test]
async fn b_12_no_read_of_a_source_that_is_open_passes_a_policy_over() {
    let town = town().await;
    let source = open(&town.access, "t", &["k"], &[], Some("at")).await;
    let page = source.page_by_key(None, 5).await.unwrap();
    let keys: Vec<_> = page.rows.into_iter().map(|row| row.key).collect();
    assert_eq!(keys.len(), 3);
    let horizon = source.horizon().await.unwrap();
    hide_rows(&town).await;
    let failure = source.read_keys(&keys).await.unwrap_err();
    assert_eq!(failure.code, "source.row_security");
    assert!(failure.fix.contains("BYPASSRLS"), "{failure}");
    // Neither for a key that the policy shows.
    let reads = [
        ("one key", source.read_keys(&keys[..1]).await.err()),
        ("by key", source.page_by_key(None, 5).await.err()),
        ("behind a key", source.page_by_key(Some(&keys[0]), 5).await.err()),
        ("by watermark", source.page_by_watermark(None, 5).await.err()),
        (
            "without watermark",
            source.page_without_watermark(None, 5).await.err(),
        ),
        ("the ceiling", source.watermark_ceiling(&horizon).await.err()),
        (
            "a range",
            source
                .page_in_range(
                    &KeyRange {
                        from: Some(keys[0].clone()),
                        to: None,
                    },
                    None,
                    5,
                )
                .await
                .err(),
        ),
        ("an estimate", source.estimate().await.err()),
    ];
    for (read, failure) in reads {
        let code = failure.map(|failure| failure.code);
        assert_eq!(code.as_deref(), Some("source.row_security"), "{read}");
    }
    run(&town.pool, "ALTER ROLE reader BYPASSRLS").await;
    assert_eq!(source.read_keys(&keys).await.unwrap().0.len(), 3);
}

#[tokio::test]
async fn b_12_the_catalog_tells_that_rows_are_hidden_before_anything_is_planned() {
    let town = town().await;
    let reader = town.access.clone();
    assert!(!says_hidden(&reader, "t").await);
    hide_rows(&town).await;
    assert!(says_hidden(&reader, "t").await);
    // A table that nothing could be planned for, since nothing keeps its key unique: the policy is told first.
    assert_eq!(opened(&reader, "loose").await.unwrap_err(), "source.row_security");
    run(&town.pool, "ALTER ROLE reader BYPASSRLS").await;
    assert!(!says_hidden(&reader, "t").await);
    assert_eq!(
        opened(&reader, "loose").await.unwrap_err(),
        "source.key_not_unique"
    );
    assert!(opened(&reader, "t").await.is_ok());
}

#[tokio::test]
async fn b_12_the_rehearsal_finds_what_a_view_hides_and_the_catalog_does_not_tell() {
    let town = town().await;
    assert!(opened(&town.access, "v").await.is_ok());
    hide_rows(&town).await;
    assert!(!says_hidden(&town.access, "v").await);
    assert_eq!(
        opened(&town.access, "v").await.unwrap_err(),
        "source.row_security"
    );
}
