//! Key pages neither skip nor repeat a row, whatever the key's type and collation.

use syncbridge_domain::row::Presence;

use crate::world::{assert_all_different, by_key, by_watermark, first_texts, open, run, scalar, world};

/// Makes a table of the given key, reads it in small pages by key and by (watermark, key) with ties, and asks
/// for all its keys again.
async fn pages_are_exact(key_type: &str, values: &str) {
    let world = world(&format!(
        "CREATE TYPE mood AS ENUM ('zufrieden', 'Ärger', 'okay', 'neu');
         CREATE TABLE t (k {key_type} PRIMARY KEY, at timestamptz NOT NULL, note text);
         INSERT INTO t SELECT v, '2024-01-01 00:00:00.000001+00'::timestamptz
             + (row_number() OVER () % 3) * interval '1 microsecond', 'n' FROM ({values}) AS s(v)"
    ))
    .await;
    let source = open(&world.access, "t", &["k"], &["note"], Some("at")).await;
    let total: usize = scalar(&world.pool, "SELECT count(*)::text FROM t")
        .await
        .parse()
        .unwrap();
    assert!(total > 2, "too few rows to say anything about {key_type}");
    for limit in [1, 3] {
        let rows = by_key(&source, limit).await;
        assert_eq!(rows.len(), total, "{key_type} in pages of {limit}");
        assert_all_different(&rows);
        let rows = by_watermark(&source, None, limit).await;
        assert_eq!(rows.len(), total, "{key_type} by watermark in pages of {limit}");
        assert_all_different(&rows);
    }
    let rows = by_key(&source, 1_000).await;
    let keys: Vec<_> = rows.iter().rev().map(|row| row.key.clone()).collect();
    let (found, _) = source.read_keys(&keys).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|p| p.one().unwrap().key.clone()).collect();
    assert!(found == keys, "{key_type}: point reads answer in the order asked");
    run(&world.pool, "TRUNCATE t").await;
    let (found, _) = source.read_keys(&keys).await.unwrap();
    assert!(found.iter().all(|presence| matches!(presence, Presence::None)));
}

#[tokio::test]
async fn a_07_text_keys_in_a_linguistic_order_page_exactly() {
    let values = "VALUES ('a'), ('A'), ('á'), ('Á'), ('ab'), ('a b'), ('a-b'), ('a '), (' a'), (''), ('Z'), \
                  ('z'), ('ß'), ('ss'), ('Straße'), ('Strasse'), ('日本'), ('🙂'), ('_'), ('''\"\\%')";
    for collation in ["en-x-icu", "und-x-icu", "C", "C.UTF-8"] {
        if collation == "C.UTF-8" {
            // The database's own collation of the test server.
            pages_are_exact("text", values).await;
        } else {
            pages_are_exact(&format!("text COLLATE \"{collation}\""), values).await;
        }
    }
}

#[tokio::test]
async fn a_07_padded_characters_and_limited_texts_page_exactly() {
    pages_are_exact("char(6)", "VALUES ('a'), ('ab'), ('ab c'), ('B'), ('ä'), (' a')").await;
    pages_are_exact("varchar(6)", "VALUES ('a'), ('a '), ('a  '), ('ab'), ('äöüßéñ')").await;
}

#[tokio::test]
async fn a_07_uuid_number_and_time_keys_page_exactly() {
    pages_are_exact("uuid", "SELECT md5(n::text)::uuid FROM generate_series(1, 20) n").await;
    pages_are_exact(
        "numeric",
        "VALUES (1), (1.10), (-1.1), (0), (123456789012345678901234567890.5), (0.000000001), ('NaN')",
    )
    .await;
    pages_are_exact(
        "float8",
        "VALUES ('0'::float8), (0.1), (-1e-300), (1e300), ('NaN'), ('Infinity'), ('-Infinity')",
    )
    .await;
    pages_are_exact(
        "timestamptz",
        "SELECT '2024-03-31 01:59:59.999998+01'::timestamptz + n * interval '1 microsecond' \
         FROM generate_series(0, 9) n",
    )
    .await;
    pages_are_exact(
        "date",
        "VALUES ('0044-03-15 BC'::date), ('2024-02-29'), ('infinity'), ('9999-12-31')",
    )
    .await;
}

#[tokio::test]
async fn a_07_enum_boolean_and_byte_keys_page_exactly() {
    pages_are_exact("mood", "SELECT unnest(enum_range(NULL::mood))").await;
    pages_are_exact(
        "bytea",
        "VALUES ('\\x'::bytea), ('\\x00'), ('\\xff00'), ('\\x61')",
    )
    .await;
    pages_are_exact(
        "inet",
        "VALUES ('10.0.0.1'::inet), ('10.0.0.0/8'), ('::1'), ('10.0.0.10')",
    )
    .await;
}

#[tokio::test]
async fn a_07_composite_keys_page_exactly() {
    let world = world(
        "CREATE TABLE t (a text COLLATE \"en-x-icu\", b char(3), c numeric, at timestamptz, PRIMARY KEY (a, b, c));
         INSERT INTO t SELECT a, b, c, CASE WHEN c > 1 THEN '2024-01-01+00'::timestamptz END
         FROM unnest(ARRAY['x', 'X', 'é', 'e', 'x ']) a, unnest(ARRAY['', 'q', 'Q']) b, \
              unnest(ARRAY[1, 1.5, -2, 2.50]) c",
    )
    .await;
    let source = open(&world.access, "t", &["a", "b", "c"], &["c"], Some("at")).await;
    for limit in [1, 2, 7] {
        let rows = by_key(&source, limit).await;
        assert_eq!(rows.len(), 60);
        assert_all_different(&rows);
        let rows = by_watermark(&source, None, limit).await;
        assert_eq!(rows.len(), 30);
        assert_all_different(&rows);
    }
}

#[tokio::test]
async fn a_domain_is_read_as_its_base_type_and_a_key_longer_than_its_cast_is_not_cut() {
    let world = world(
        "CREATE DOMAIN short AS varchar(4); CREATE DOMAIN shorter AS short NOT NULL;
         CREATE TABLE t (k shorter PRIMARY KEY, b bit(4));
         INSERT INTO t VALUES ('abcd', B'1010'), ('abce', B'1011')",
    )
    .await;
    run(&world.pool, "ALTER TABLE t ALTER k SET NOT NULL").await;
    let source = open(&world.access, "t", &["k"], &["b"], None).await;
    let rows = by_key(&source, 1).await;
    assert_eq!(first_texts(&rows), ["abcd", "abce"]);
    assert_eq!(rows[1].cells[0].as_deref(), Some("1011"));
}

#[tokio::test]
async fn pages_come_in_the_order_the_database_itself_uses() {
    let world = world(
        "CREATE TABLE t (k text COLLATE \"en-x-icu\" PRIMARY KEY);
         INSERT INTO t SELECT md5(n::text) || chr(64 + n % 60) FROM generate_series(1, 500) n",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    let wanted: Vec<String> = sqlx::query_scalar("SELECT k FROM t ORDER BY k")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(first_texts(&by_key(&source, 17).await), wanted);
}

#[tokio::test]
async fn a_monstrous_cell_is_cut_visibly_and_its_changes_are_still_seen() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, body text, doc jsonb);
         INSERT INTO t VALUES (1, repeat('ä', 300000), to_jsonb(repeat('x', 400000)))",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["body", "doc"], None).await;
    let before = by_key(&source, 10).await;
    for cell in &before[0].cells {
        let cell = cell.as_deref().unwrap();
        assert!(
            cell.len() < 300_000 && cell.contains(" [cut from "),
            "{} bytes",
            cell.len()
        );
        assert!(cell.encode_utf16().count() > 63_999, "no list column takes it");
    }
    run(&world.pool, "UPDATE t SET body = body || 'z'").await;
    let after = by_key(&source, 10).await;
    assert!(before[0].cells[0] != after[0].cells[0]);
    assert!(before[0].cells[1] == after[0].cells[1]);
}

#[tokio::test]
async fn a_view_that_shows_a_null_key_is_refused_and_not_read_around() {
    let world = world(
        "CREATE TABLE base (k int, at timestamptz DEFAULT now());
         INSERT INTO base VALUES (1), (2), (NULL); CREATE VIEW v AS SELECT * FROM base",
    )
    .await;
    let source = open(&world.access, "v", &["k"], &["at"], Some("at")).await;
    assert_eq!(
        source.page_by_key(None, 10).await.unwrap_err().code,
        "source.key_null"
    );
    assert_eq!(
        source.page_by_watermark(None, 10).await.unwrap_err().code,
        "source.key_null"
    );
    assert_eq!(
        source.page_without_watermark(None, 10).await.unwrap_err().code,
        "source.key_null"
    );
    run(&world.pool, "DELETE FROM base WHERE k IS NULL").await;
    assert_eq!(first_texts(&by_key(&source, 1).await), ["1", "2"]);
}

#[tokio::test]
async fn the_estimate_is_near_the_truth_and_an_empty_table_has_no_rows() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY); CREATE TABLE parted (k int PRIMARY KEY) PARTITION BY RANGE (k);
         CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100000);
         CREATE TABLE void (k int PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 5000); INSERT INTO parted SELECT generate_series(1, 5000);
         ANALYZE t; ANALYZE parted; ANALYZE part",
    )
    .await;
    for table in ["t", "parted"] {
        let source = open(&world.access, table, &["k"], &[], None).await;
        assert!(
            (4_000..=6_000).contains(&source.estimate().await.unwrap()),
            "{table}"
        );
    }
    assert_eq!(
        open(&world.access, "void", &["k"], &[], None)
            .await
            .estimate()
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn large_rows_end_a_page_early_but_never_a_point_read() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, body text);
         INSERT INTO t SELECT n, repeat('x', 262000) FROM generate_series(1, 1100) n",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["body"], None).await;
    let first = source.page_by_key(None, 2_000).await.unwrap();
    assert!(
        (200..=300).contains(&first.rows.len()),
        "{} rows",
        first.rows.len()
    );
    drop(first);
    let narrow = open(&world.access, "t", &["k"], &[], None).await;
    let rows = by_key(&narrow, 2_000).await;
    let keys: Vec<_> = rows.into_iter().map(|row| row.key).collect();
    assert_eq!(
        source.read_keys(&keys).await.unwrap_err().code,
        "source.read_too_large"
    );
    let (found, _) = source.read_keys(&keys[..300]).await.unwrap();
    assert!(found.iter().all(|row| row.one().is_some()));
    drop(found);
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = source.page_by_key(after.as_ref(), 2_000).await.unwrap();
        let Some(last) = page.rows.last() else { break };
        after = Some(last.key.clone());
        seen += page.rows.len();
    }
    assert_eq!(seen, 1_100, "an early end skips and repeats nothing");
}

#[tokio::test]
async fn pages_and_point_reads_go_through_the_index_and_never_through_the_whole_table() {
    let world = world(
        "CREATE TABLE t (a text COLLATE \"en-x-icu\", b varchar(20), c char(8), at timestamptz NOT NULL,
             PRIMARY KEY (a, b, c));
         INSERT INTO t SELECT md5(n::text), n, n, '2024-01-01+00'::timestamptz + (n / 50) * interval '1 s'
         FROM generate_series(1, 30000) n;
         CREATE INDEX follows ON t (at, a, b, c); ANALYZE t",
    )
    .await;
    let counters = "SELECT seq_tup_read || ' ' || idx_scan FROM pg_stat_user_tables WHERE relname = 't'";
    let whole_before = until(&world.pool, counters, |text| text != "0 0").await;
    let whole_before = whole_before.split_once(' ').unwrap().0.to_owned();
    let source = open(&world.access, "t", &["a", "b", "c"], &["b"], Some("at")).await;
    let rows = by_key(&source, 1_000).await;
    assert_eq!(by_watermark(&source, None, 1_000).await.len(), 30_000);
    let keys: Vec<_> = rows.iter().step_by(300).map(|row| row.key.clone()).collect();
    source.read_keys(&keys).await.unwrap();
    // A session hands its counters over when it ends.
    source.close().await;
    let used = |text: &str| text.split_once(' ').unwrap().1.parse::<u64>().unwrap() >= 62 + 100;
    let after = until(&world.pool, counters, used).await;
    assert_eq!(
        after.split_once(' ').unwrap().0,
        whole_before,
        "rows were read without an index"
    );
}

/// Asks until the answer will do.
async fn until(pool: &sqlx::PgPool, sql: &str, will_do: impl Fn(&str) -> bool) -> String {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let answer = scalar(pool, sql).await;
        if will_do(&answer) {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "still {answer}");
    }
}
