//! What a watermark feed must not trip over: equal and missing values, a cursor that is forgotten, odd names.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

fn by_watermark(column: &str, page_rows: u32) -> Json {
    json!({
        "source": {"feed": "watermark", "watermark": column},
        "limits": {"pageRows": page_rows},
        "onDelete": "propagate",
    })
}

/// Runs a definition and fails unless everything was applied.
fn complete(world: &World, name: &str, more: &[&str]) -> Json {
    let report = world.run_with(name, more);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    report
}

#[tokio::test]
async fn a_02_rows_with_one_timestamp_all_arrive_and_all_follow_however_small_the_pages() {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, name text not null, updated_at timestamptz not null);
             insert into t select n, 'row ' || n, '2026-01-01 12:00+00' from generate_series(1, 2500) n;",
        )
        .await;
    world
        .apply(&world.definition("t", "public.t", by_watermark("updated_at", 500)))
        .ok();
    let report = complete(&world, "t", &[]);
    assert_eq!(report["outcome"]["counters"]["created"], 2500, "{report:#}");
    world.assert_equal("t", 2500);

    // Once more as a later change: pages of 500 all end inside the one value.
    world
        .sql("update t set name = 'again ' || id, updated_at = '2026-02-01 12:00+00'")
        .await;
    let report = complete(&world, "t", &[]);
    assert_eq!(report["outcome"]["counters"]["patched"], 2500, "{report:#}");
    world.assert_equal("t", 2500);

    // By now the value is the cursor itself, and more rows still join it.
    complete(&world, "t", &[]);
    world
        .sql(
            "update t set name = 'late ' || id where id % 5 = 0;
             insert into t select n, 'row ' || n, '2026-02-01 12:00+00' from generate_series(2501, 2600) n;",
        )
        .await;
    world.reset_account().await;
    complete(&world, "t", &[]);
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 100,
            patches: 500,
            deletes: 0
        }
    );
    world.assert_equal("t", 2600);
}

#[tokio::test]
async fn a_04_rows_without_a_watermark_follow_and_hold_nobody_up() {
    let world = World::new().await;
    for (name, pg_type, old, new) in [
        (
            "instants",
            "timestamptz",
            "'2026-01-01Z'::timestamptz",
            "'2026-02-01Z'::timestamptz",
        ),
        ("numbers", "bigint", "n", "1000 + id"),
    ] {
        world
            .sql(&format!(
                "create table {name} (id int primary key, name text, changed {pg_type});
                 insert into {name} select n, 'row ' || n, case when n % 3 > 0 then {old} end
                 from generate_series(1, 300) n;"
            ))
            .await;
        world
            .apply(&world.definition(name, &format!("public.{name}"), by_watermark("changed", 40)))
            .ok();
        let report = complete(&world, name, &[]);
        assert_eq!(report["outcome"]["counters"]["created"], 300, "{report:#}");
        world.assert_equal(name, 300);
        // The cursor goes up to the newest value before anything else changes.
        world.reset_account().await;
        complete(&world, name, &[]);
        assert_eq!(world.spent().await.1, 0);

        world
            .sql(&format!(
                "update {name} set name = 'without' where id in (3, 150, 300);
                 update {name} set name = 'with', changed = {new} where id in (1, 151, 299);
                 update {name} set name = 'gained', changed = {new} where id = 6;
                 update {name} set name = 'lost', changed = null where id in (2, 4);
                 insert into {name} values (301, 'new', null);"
            ))
            .await;
        complete(&world, name, &[]);
        assert_eq!(
            world.writes().await,
            Writes {
                creates: 1,
                patches: 9,
                deletes: 0
            }
        );
        world.assert_equal(name, 301);
    }
}

#[tokio::test]
async fn a_04_a_table_whose_watermarks_are_all_null_is_followed_and_may_begin_to_have_some() {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, name text, changed timestamptz);
             insert into t select n, 'row ' || n from generate_series(1, 100) n;",
        )
        .await;
    world
        .apply(&world.definition("t", "public.t", by_watermark("changed", 30)))
        .ok();
    complete(&world, "t", &[]);
    world.assert_equal("t", 100);

    world
        .sql("update t set name = 'changed' where id in (1, 100); insert into t values (101, 'new')")
        .await;
    world.reset_account().await;
    complete(&world, "t", &[]);
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 1,
            patches: 2,
            deletes: 0
        }
    );

    world
        .sql("update t set name = 'stamped', changed = '2020-01-01Z' where id = 50")
        .await;
    complete(&world, "t", &[]);
    complete(&world, "t", &[]);
    world
        .sql(
            "update t set name = 'stamped', changed = '2020-01-02Z' where id = 51;
             update t set name = 'unstamped' where id = 52",
        )
        .await;
    complete(&world, "t", &[]);
    world.assert_equal("t", 101);
}

#[tokio::test]
async fn a_06_after_a_cursor_reset_unchanged_rows_cost_nothing_by_either_feed() {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, name text, changed timestamptz);
             insert into t select n, 'row ' || n, case when n % 7 > 0 then '2026-01-01Z'::timestamptz end
             from generate_series(1, 300) n;",
        )
        .await;
    world
        .apply(&world.definition("marked", "public.t", by_watermark("changed", 70)))
        .ok();
    world
        .apply(&world.definition(
            "scanned",
            "public.t",
            json!({"onDelete": "propagate", "limits": {"pageRows": 70}}),
        ))
        .ok();
    for name in ["marked", "scanned"] {
        complete(&world, name, &[]);
    }
    world.reset_account().await;
    for name in ["marked", "scanned"] {
        for _ in 0..2 {
            complete(&world, name, &["--reset-cursor"]);
        }
        complete(&world, name, &[]);
        assert_eq!(world.writes().await, Writes::NONE, "{name}");
        assert_eq!(world.spent().await.1, 0, "{name}");
    }

    // What did change meanwhile goes, and only that.
    world
        .sql("update t set name = 'changed', changed = '2026-02-01Z' where id in (7, 8, 300)")
        .await;
    for name in ["marked", "scanned"] {
        world.reset_account().await;
        complete(&world, name, &["--reset-cursor"]);
        assert_eq!(
            world.writes().await,
            Writes {
                patches: 3,
                ..Writes::NONE
            },
            "{name}"
        );
        world.assert_equal(name, 300);
    }

    // A copy over an existing ledger sees no absence; the scan behind it does.
    world.sql("delete from t where id = 5").await;
    world.reset_account().await;
    complete(&world, "scanned", &["--reset-cursor"]);
    assert_eq!(
        world.writes().await,
        Writes {
            deletes: 1,
            ..Writes::NONE
        }
    );
    world.assert_equal("scanned", 299);
}

#[tokio::test]
async fn identifiers_are_taken_as_they_are_whatever_they_hold() {
    let world = World::new().await;
    // The longest name there is: 63 bytes.
    let long = "x".repeat(63);
    world
        .sql(&format!(
            r#"create schema "Größe ""&"" Co; --";
               create table "Größe ""&"" Co; --"."Order ""x""; drop" (
                   "Id Nr" int, "日本 $1" text, "Straße" text, "STRASSE" text, "strasse" text, "select" bool,
                   "a.b" numeric(10,2), "';--%s{{}}\" date, "{long}" text, "Geändert am" timestamptz,
                   primary key ("日本 $1", "Id Nr"));
               insert into "Größe ""&"" Co; --"."Order ""x""; drop"
               select n, chr(65 + n % 26), 'a' || n, 'b' || n, 'c' || n, n % 2 = 0, n / 4.0, '2026-01-01'::date + n,
                      'd' || n, '2026-01-01Z'
               from generate_series(1, 90) n;
               -- Names that would be one if case were folded.
               create table t (id int primary key, v text); insert into t values (1, 'lower');
               create table "T" ("ID" int primary key, "V" text); insert into "T" values (1, 'upper'), (2, 'upper');"#
        ))
        .await;
    let table = json!({"schema": "Größe \"&\" Co; --", "table": "Order \"x\"; drop"});
    let more = json!({
        "source": {"table": table, "feed": "watermark", "watermark": "Geändert am", "key": ["Id Nr", "日本 $1"]},
        "limits": {"pageRows": 20},
        "onDelete": "propagate",
    });
    world.apply(&world.definition("odd", "", more)).ok();
    world
        .apply(&world.definition("lower", "public.t", json!({})))
        .ok();
    world
        .apply(&world.definition("upper", "public.T", json!({})))
        .ok();
    for (name, rows) in [("odd", 90), ("lower", 1), ("upper", 2)] {
        complete(&world, name, &[]);
        world.assert_equal(name, rows);
    }
    world
        .sql(
            r#"update "Größe ""&"" Co; --"."Order ""x""; drop" set "STRASSE" = '日本', "Geändert am" = now()
               where "Id Nr" in (1, 90);
               delete from "Größe ""&"" Co; --"."Order ""x""; drop" where "Id Nr" = 45"#,
        )
        .await;
    world.reset_account().await;
    complete(&world, "odd", &["--full"]);
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 0,
            patches: 2,
            deletes: 1
        }
    );
    world.assert_equal("odd", 89);
}
