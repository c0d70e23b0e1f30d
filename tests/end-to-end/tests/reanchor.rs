//! What is known is lost, old or made anew: nothing is made twice, what is equal is taken over without a write,
//! what differs is listed and written only with a person's word (B-6).

#![allow(clippy::print_stdout, reason = "a drill reports what it measured")]

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

/// Every kind of value that does not come back as it went: blanks cut off, fractions of seconds dropped, digits
/// of numbers in many spellings, days as instants, nothing and empty text.
fn lossy(rows: u64) -> String {
    format!(
        "create table t (id int primary key, padded char(12), price numeric(12,4), wide numeric(30,10), day date,
                         at timestamptz, plain timestamp, ratio double precision, flag boolean, note text,
                         empty text, changed timestamptz not null);
         insert into t select n, 'code ' || n, n + 0.1000, n * 1000000007.0000000001, date '2020-01-01' + n % 3000,
                '2026-03-29 01:59:59.987654Z'::timestamptz + n * interval '61.123456 s',
                '2026-01-01 00:00:00.5'::timestamp + n * interval '1 minute', n / 3.0, n % 2 = 0,
                case when n % 5 = 0 then null else 'line ' || n || E'\\nsecond' end,
                case when n % 2 = 0 then '' end, '2026-01-01Z'::timestamptz + n * interval '1 second'
         from generate_series(1, {rows}) n;"
    )
}

fn by_watermark() -> Json {
    json!({"source": {"feed": "watermark", "watermark": "changed"}})
}

async fn meta(world: &World, statement: &'static str) {
    sqlx::raw_sql(statement).execute(world.meta_pool()).await.unwrap();
}

/// Everything that is remembered of rows is gone; the definition stays.
const DROP_LEDGER: &str =
    "delete from ledger; delete from item_links; delete from cursors; delete from effects;
                           delete from dirty; delete from quarantine; delete from sweeps";

/// Nothing may be written, and the list is read at two units a page (plus its columns) instead of row by row.
async fn silently(world: &World, rows: i64, what: &str) {
    let began = std::time::Instant::now();
    let writes = world.completed(&[]).await;
    let spent = world.spent().await.1;
    println!(
        "{what}: {rows} rows, {spent} RU, {:.2} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(writes, Writes::NONE, "{what}");
    let pages = u64::try_from(rows).unwrap().div_ceil(2_000);
    assert!(spent <= 2 * pages + 4, "{what}: {spent} RU for {pages} pages");
    assert_eq!(world.completed(&[]).await, Writes::NONE, "{what}, once more");
    assert_eq!(world.spent().await.1, 0, "{what}: agreed for good");
}

/// The rows of the drill: few in `make test`, a million in the long form.
fn drill_rows() -> i64 {
    std::env::var("SYNCBRIDGE_DRILL_ROWS").map_or(5_000, |rows| rows.parse().expect("a number of rows"))
}

#[tokio::test]
async fn b_06_a_lost_ledger_of_lossy_fields_is_taken_over_without_a_write() {
    let world = World::new().await;
    let rows = drill_rows();
    world.sql(&lossy(rows.unsigned_abs())).await;
    world.applied(by_watermark());
    let began = std::time::Instant::now();
    world.completed(&[]).await;
    println!("first load: {rows} rows, {:.2} s", began.elapsed().as_secs_f64());
    meta(&world, DROP_LEDGER).await;
    silently(&world, rows, "ledger dropped").await;
    // Hashes in a form nobody can read any more, as after an upgrade of the canonical form.
    meta(&world, "update ledger set layout = 7; delete from layouts").await;
    silently(&world, rows, "canonical form raised").await;
    world.assert_equal("t", rows);
}

#[tokio::test]
async fn b_06_a_definition_made_anew_goes_on_with_its_items_with_or_without_its_ledger() {
    let world = World::new().await;
    world.sql(&lossy(500)).await;
    for feed in [json!({}), by_watermark()] {
        world.applied(feed.clone());
        world.run("t");
        world.command(&["delete", "definition", "t"]).ok();
        assert_eq!(world.command(&["get", "definition", "t"]).code(), 1);
        world.applied(feed.clone());
        assert_eq!(world.completed(&[]).await, Writes::NONE);
        assert_eq!(world.spent().await.1, 0, "the ledger was kept");
        world
            .command(&["delete", "definition", "t", "--ledger", "drop", "--yes"])
            .ok();
        assert_eq!(world.meta_count("select count(*) from ledger").await, 0);
        world.applied(feed);
        world.reset_account().await;
        let report = world.run("t");
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
        assert_eq!(report["outcome"]["counters"]["adopted"], 500, "{report:#}");
        assert_eq!(world.writes().await, Writes::NONE);
        world
            .command(&["delete", "definition", "t", "--ledger", "drop", "--yes"])
            .ok();
    }
    assert_eq!(world.items("t").await.len(), 500);
}

#[tokio::test]
async fn b_06_rows_that_differ_are_listed_and_counted_and_written_only_with_approval() {
    let world = World::new().await;
    world.sql(&lossy(300)).await;
    world.applied(json!({}));
    world.completed(&[]).await;
    meta(&world, DROP_LEDGER).await;
    // Two edits in the list, three changes in the table, one new row, and one that is gone.
    for code in ["code 10", "code 11"] {
        let item = world.item_where("t", "Padded", &json!(code)).await;
        world.person_edits("t", &item, &json!({"Price": 1.5})).await;
    }
    world
        .sql(
            "update t set price = 7 where id in (20, 21, 22); delete from t where id = 30;
              insert into t (id, padded, changed) values (301, 'new', now())",
        )
        .await;
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(report["outcome"]["counters"]["quarantined"], 5, "{report:#}");
    let new = Writes {
        creates: 1,
        ..Writes::NONE
    };
    assert_eq!(world.writes().await, new);
    let listed = world
        .command(&["quarantine", "list", "t", "--limit", "500", "-o", "json"])
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 5, "{listed:#}");
    assert!(listed.to_string().contains("plan.needed"), "{listed:#}");
    // Again and again: nothing is written.
    for _ in 0..2 {
        world.reset_account().await;
        world.run_with("t", &["--full"]);
        assert_eq!(world.writes().await, Writes::NONE);
    }
    let approved = Writes {
        patches: 5,
        ..Writes::NONE
    };
    assert_eq!(world.completed(&["--approve"]).await, approved);
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    let found = world.verify("t");
    assert_eq!(
        (&found["equal"], &found["duplicates"]),
        (&json!(300), &json!(0)),
        "{found:#}"
    );
    // The row that went while nothing was known of it: its item is an orphan, reported and left alone.
    assert_eq!(found["orphans"], 1, "{found:#}");
}

#[tokio::test]
async fn b_06_an_older_meta_store_makes_nothing_twice_and_loses_nothing() {
    let world = World::new().await;
    world.sql(&lossy(200)).await;
    world.applied(json!({"onDelete": "propagate"}));
    world.completed(&[]).await;
    const TABLES: [&str; 6] = [
        "ledger",
        "item_links",
        "cursors",
        "dirty",
        "quarantine",
        "effects",
    ];
    for table in TABLES {
        let copy = format!("create table old_{table} as select * from {table}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(copy))
            .execute(world.meta_pool())
            .await
            .unwrap();
    }
    // Life goes on after the backup: new rows, changed rows, rows that go.
    world
        .sql("insert into t (id, padded, changed) select n, 'late ' || n, now() from generate_series(201, 220) n;
              update t set price = 77 where id <= 10; delete from t where id between 100 and 104")
        .await;
    world.completed(&[]).await;
    for table in TABLES {
        let back = format!("delete from {table}; insert into {table} select * from old_{table}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(back))
            .execute(world.meta_pool())
            .await
            .unwrap();
    }
    assert_eq!(
        world.completed(&[]).await,
        Writes::NONE,
        "everything is in the list already"
    );
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), 215);
    world.assert_equal("t", 215);
}

#[tokio::test]
async fn b_06_a_changed_mapping_is_a_plan_for_the_fields_it_concerns_and_nothing_else() {
    let world = World::new().await;
    world.sql(&lossy(300)).await;
    let mut more = by_watermark();
    more["exclude"] = json!(["note"]);
    world.applied(more);
    world.completed(&[]).await;
    // A column more: the list has nothing in it yet, so that rows whose note is empty agree at once.
    world.applied(by_watermark());
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE);
    let waiting = 240;
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'plan.needed'")
            .await,
        waiting
    );
    assert_eq!(world.completed(&["--approve"]).await.patches, waiting as u64);
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.spent().await.1, 0);
    world.assert_equal("t", 300);
    // A column less, and the order of the others turned round: no value changes, nothing is written.
    let fields: Vec<Json> = ["changed", "note", "padded", "price", "id"]
        .iter()
        .map(|column| json!({"column": column}))
        .collect();
    let mut fewer = by_watermark();
    fewer["fields"] = json!(fields);
    world.applied(fewer);
    silently(&world, 300, "mapping cut down").await;
}

#[tokio::test]
async fn b_06_another_hash_key_makes_nothing_twice() {
    let world = World::new().await;
    world.sql(&lossy(100)).await;
    world.applied(json!({"onDelete": "propagate"}));
    world.completed(&[]).await;
    // A second key beside the first changes nothing for what began under the first.
    meta(
        &world,
        "insert into hash_keys (workspace_id, hash_key_id, sealed, created_by)
         select workspace_id, 2, sealed, created_by from hash_keys",
    )
    .await;
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    // The key is lost and another one is made for another definition: this one stops before it writes.
    meta(&world, "delete from hash_keys").await;
    world
        .sql("create table other (id int primary key); insert into other values (1)")
        .await;
    world
        .apply(&world.definition("other", "public.other", json!({})))
        .ok();
    assert_eq!(world.run("other")["outcome"]["state"], "completed");
    world.reset_account().await;
    for more in [
        &[][..],
        &["--full", "--allow-deletes", "1000"],
        &["--reset-cursor"],
        &["--approve"],
    ] {
        let report = world.run_with("t", more);
        assert_eq!(
            report["outcome"]["failure"]["code"], "ledger.other_hash_key",
            "{report:#}"
        );
    }
    assert_eq!(world.writes().await, Writes::NONE);
    // Nor does it begin anew beside its own items once the ledger is gone too.
    meta(&world, DROP_LEDGER).await;
    for more in [&[][..], &["--full"], &["--reset-cursor"]] {
        let report = world.run_with("t", more);
        assert_eq!(
            report["outcome"]["failure"]["code"], "list.other_hash_key",
            "{report:#}"
        );
    }
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), 100);
}

#[tokio::test]
async fn b_06_rows_that_moved_on_after_a_restored_meta_store_are_written_only_with_approval() {
    let world = World::new().await;
    world.sql(&lossy(100)).await;
    world.applied(json!({}));
    world.completed(&[]).await;
    const TABLES: [&str; 4] = ["ledger", "item_links", "cursors", "dirty"];
    let meta = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(world.meta_pool())
            .await
            .unwrap();
    };
    for table in TABLES {
        meta(format!("create table old_{table} as select * from {table}")).await;
    }
    world.sql("update t set price = 77 where id <= 10").await;
    world.completed(&[]).await;
    for table in TABLES {
        meta(format!(
            "delete from {table}; insert into {table} select * from old_{table}"
        ))
        .await;
    }
    // Five rows move on before the restored meta-store is used; five stay as the list has them.
    world.sql("update t set price = 90 + id where id <= 5").await;
    world.reset_account().await;
    let report = world.run_with("t", &["--full"]);
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE, "{report:#}");
    assert!(
        report["outcome"]["notices"].to_string().contains("restored"),
        "{report:#}"
    );
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'plan.needed'")
            .await,
        5
    );
    assert_eq!(world.completed(&["--approve"]).await.patches, 5);
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    world.assert_equal("t", 100);
}
