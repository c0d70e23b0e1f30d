//! Watermark pages, ties, NULLs and ceilings.

use syncbridge_source_postgres::WatermarkPosition;

use crate::world::{assert_all_different, by_key, by_watermark, first_texts, open, run, scalar, world};

#[tokio::test]
async fn a_02_all_2500_rows_of_one_timestamp_arrive() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, at timestamptz NOT NULL);
         INSERT INTO t SELECT n, '2024-01-01 00:00:00.123456+00' FROM generate_series(1, 2500) n",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["at"], Some("at")).await;
    let rows = by_watermark(&source, None, 100).await;
    assert_eq!(rows.len(), 2_500);
    assert_all_different(&rows);
    let at = WatermarkPosition {
        value: "2024-01-01 00:00:00.123456+00".into(),
        key: None,
    };
    assert_eq!(
        by_watermark(&source, Some(at), 700).await.len(),
        2_500,
        "a cursor is read again from its value on"
    );
    let behind = WatermarkPosition {
        value: "2024-01-01 00:00:00.123457+00".into(),
        key: None,
    };
    assert!(by_watermark(&source, Some(behind), 700).await.is_empty());
}

#[tokio::test]
async fn a_04_null_watermarks_are_read_apart_and_poison_nothing() {
    let world = world(
        "CREATE TABLE t (k int PRIMARY KEY, at timestamptz);
         INSERT INTO t SELECT n, CASE WHEN n % 2 = 0 THEN now() - interval '1 day' END FROM generate_series(1, 100) n",
    )
    .await;
    let source = open(&world.access, "t", &["k"], &["at"], Some("at")).await;
    assert_eq!(by_watermark(&source, None, 7).await.len(), 50);
    assert!(
        source
            .watermark_ceiling(&source.horizon().await.unwrap())
            .await
            .unwrap()
            .is_some()
    );
    let mut without = Vec::new();
    loop {
        let after = without
            .last()
            .map(|row: &syncbridge_domain::row::SourceRow| row.key.clone());
        let page = source.page_without_watermark(after.as_ref(), 7).await.unwrap();
        if page.rows.is_empty() {
            break;
        }
        without.extend(page.rows);
    }
    assert_eq!(without.len(), 50);
    assert_all_different(&without);
    assert!(
        without
            .iter()
            .all(|row| row.watermark.is_none() && row.cells[0].is_none())
    );
}

#[tokio::test]
async fn an_empty_table_and_one_of_nulls_have_no_ceiling() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY, at timestamptz)").await;
    let source = open(&world.access, "t", &["k"], &[], Some("at")).await;
    let horizon = source.horizon().await.unwrap();
    assert_eq!(source.watermark_ceiling(&horizon).await.unwrap(), None);
    run(&world.pool, "INSERT INTO t VALUES (1, NULL)").await;
    assert_eq!(source.watermark_ceiling(&horizon).await.unwrap(), None);
}

#[tokio::test]
async fn values_above_all_others_do_not_push_the_cursor_past_what_follows() {
    let world = world(
        "CREATE TABLE zoned (k int PRIMARY KEY, w timestamptz);
         INSERT INTO zoned VALUES (1, '2024-01-01+00'), (2, 'infinity'), (3, '9999-01-01+00');
         CREATE TABLE local (k int PRIMARY KEY, w timestamp);
         INSERT INTO local VALUES (1, '2024-01-01'), (2, 'infinity'), (3, '9999-01-01');
         CREATE TABLE days (k int PRIMARY KEY, w date);
         INSERT INTO days VALUES (1, '2024-01-01'), (2, 'infinity'), (3, '9999-01-01');
         CREATE TABLE floats (k int PRIMARY KEY, w float8); INSERT INTO floats VALUES (1, 7.5), (2, 'NaN'), (3, 'Infinity');
         CREATE TABLE numbers (k int PRIMARY KEY, w numeric); INSERT INTO numbers VALUES (1, 7.50), (2, 'NaN');
         CREATE TABLE counts (k int PRIMARY KEY, w int8); INSERT INTO counts VALUES (1, 41), (2, 9), (3, NULL)",
    )
    .await;
    for (table, wanted) in [
        ("local", "2024-01-01 00:00:00"),
        ("days", "2024-01-01"),
        ("floats", "7.5"),
        ("numbers", "7.50"),
        ("counts", "41"),
    ] {
        let source = open(&world.access, table, &["k"], &[], Some("w")).await;
        let horizon = source.horizon().await.unwrap();
        let ceiling = source.watermark_ceiling(&horizon).await.unwrap();
        assert_eq!(ceiling, Some((wanted.to_owned(), false)), "{table}");
    }
    let source = open(&world.access, "zoned", &["k"], &[], Some("w")).await;
    let horizon = source.horizon().await.unwrap();
    let (value, held) = source.watermark_ceiling(&horizon).await.unwrap().unwrap();
    assert!(held);
    let below = scalar(
        &world.pool,
        &format!("SELECT ('{value}'::timestamptz < now())::text"),
    )
    .await;
    assert_eq!(below, "true");
}

#[tokio::test]
async fn watermarks_of_other_ordered_types_page_exactly() {
    for (pg_type, value) in [
        ("int8", "(n / 5)::int8"),
        ("numeric", "(n / 5) / 7.0"),
        ("float4", "((n / 5) / 7.0)::float4"),
        ("text COLLATE \"en-x-icu\"", "chr(97 + n % 5) || chr(65 + n % 3)"),
        ("date", "'2024-01-01'::date + n / 5"),
        (
            "timestamp",
            "'2024-01-01'::timestamp + (n / 5) * interval '1 microsecond'",
        ),
        ("uuid", "md5((n / 5)::text)::uuid"),
        ("pg_lsn", "('0/' || n / 5)::pg_lsn"),
    ] {
        let world = world(&format!(
            "CREATE TABLE t (k text COLLATE \"en-x-icu\" PRIMARY KEY, w {pg_type});
             INSERT INTO t SELECT md5(n::text), {value} FROM generate_series(1, 100) n"
        ))
        .await;
        let source = open(&world.access, "t", &["k"], &[], Some("w")).await;
        let rows = by_watermark(&source, None, 7).await;
        assert_eq!(rows.len(), 100, "{pg_type}");
        assert_all_different(&rows);
        let (value, _) = source
            .watermark_ceiling(&source.horizon().await.unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            rows.last().unwrap().watermark.as_deref(),
            Some(value.as_str()),
            "{pg_type}"
        );
    }
}

#[tokio::test]
async fn without_a_watermark_column_its_pages_are_refused_with_the_way_out() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    assert_eq!(
        source.page_by_watermark(None, 1).await.unwrap_err().code,
        "source.no_watermark"
    );
    assert_eq!(
        source.page_without_watermark(None, 1).await.unwrap_err().code,
        "source.no_watermark"
    );
    let horizon = source.horizon().await.unwrap();
    assert_eq!(
        source.watermark_ceiling(&horizon).await.unwrap_err().code,
        "source.no_watermark"
    );
    assert_eq!(first_texts(&by_key(&source, 1).await), ["1"]);
}

#[tokio::test]
async fn the_position_of_a_page_is_older_than_its_rows() {
    let world = world("CREATE TABLE t (k int PRIMARY KEY)").await;
    let source = open(&world.access, "t", &["k"], &[], None).await;
    let first = source.page_by_key(None, 1).await.unwrap().lsn;
    run(&world.pool, "INSERT INTO t VALUES (1)").await;
    let second = source.page_by_key(None, 1).await.unwrap();
    assert_eq!(second.rows.len(), 1);
    assert!(second.lsn > first);
    let now: String = scalar(&world.pool, "SELECT (pg_current_wal_insert_lsn() - '0/0')::text").await;
    assert!(second.lsn.0 <= now.parse().unwrap());
}
