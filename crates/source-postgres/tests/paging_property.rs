//! Random keys under linguistic collations.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{assert_all_different, by_key, first_texts, open, run, world};

/// Texts that collations treat oddly: letters that differ in case or accent only, ignorable characters,
/// combining marks, blanks and prefixes.
fn odd_text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "a", "A", "á", "a\u{301}", "ä", "b", "B", "ß", "ss", "-", " ", "_", ".", "'", "\"", "\\", "0", "10",
        "９", "Ω", "ω", "ж", "日", "🙂", "\u{200d}", "\u{ad}", "é", "e",
    ]);
    prop_oneof![
        prop::collection::vec(odd, 0..6).prop_map(|parts| parts.concat()),
        "[^\0]{0,12}"
    ]
}

#[test]
fn a_07_random_text_keys_under_linguistic_collations_are_paged_exactly_and_found_again() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (world, sources) = runtime.block_on(async {
        let world = world(
            "CREATE TABLE own (k text PRIMARY KEY);
             CREATE TABLE icu (k text COLLATE \"en-x-icu\" PRIMARY KEY);
             CREATE TABLE swedish (k varchar(40) COLLATE \"sv-x-icu\" PRIMARY KEY)",
        )
        .await;
        let mut sources = Vec::new();
        for table in ["own", "icu", "swedish"] {
            sources.push((table, open(&world.access, table, &["k"], &["k"], None).await));
        }
        (world, sources)
    });
    let mut runner = TestRunner::new(Config {
        cases: 40,
        ..Config::default()
    });
    let input = (prop::collection::btree_set(odd_text(), 1..40), 1_u32..9);
    let outcome = runner.run(&input, |(texts, limit): (BTreeSet<String>, u32)| {
        runtime.block_on(async {
            for (table, source) in &sources {
                run(&world.pool, &format!("TRUNCATE {table}")).await;
                let list: Vec<&String> = texts.iter().collect();
                sqlx::query(sqlx::AssertSqlSafe(format!(
                    "INSERT INTO {table} SELECT unnest($1::text[])"
                )))
                .bind(&list)
                .execute(&world.pool)
                .await
                .unwrap();
                let rows = by_key(source, limit).await;
                assert_all_different(&rows);
                let read: BTreeSet<String> = first_texts(&rows).into_iter().collect();
                prop_assert_eq!(&read, &texts);
                let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
                let (found, _) = source.read_keys(&keys).await.unwrap();
                prop_assert!(
                    found
                        .iter()
                        .zip(&keys)
                        .all(|(row, key)| row.one().unwrap().key == *key)
                );
            }
            Ok(())
        })
    });
    runtime.block_on(async {
        for (_, source) in &sources {
            source.close().await;
        }
        world.pool.close().await;
    });
    drop(world);
    outcome.unwrap();
}
