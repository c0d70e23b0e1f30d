//! The life of a definition: full comparisons that come due, items that are archived, its leave and its return.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

fn table(rows: u32) -> String {
    format!(
        "create table t (id int primary key, name text, changed timestamptz not null default now());
         insert into t select n, 'row ' || n, '2026-01-01Z' from generate_series(1, {rows}) n;"
    )
}

fn patches(patches: u64) -> Writes {
    Writes {
        patches,
        ..Writes::NONE
    }
}

fn deletes(deletes: u64) -> Writes {
    Writes {
        deletes,
        ..Writes::NONE
    }
}

fn creates(creates: u64) -> Writes {
    Writes {
        creates,
        ..Writes::NONE
    }
}

#[tokio::test]
async fn a_watermark_definition_finds_deletes_by_itself_once_a_comparison_is_due() {
    let world = World::new().await;
    world.sql(&table(50)).await;
    let source = json!({"feed": "watermark", "watermark": "changed", "sweep": {"every": "1h"}});
    world.applied(json!({"onDelete": "propagate", "source": source}));
    assert_eq!(world.completed(&[]).await, creates(50));
    world.sql("delete from t where id in (7, 8)").await;
    assert_eq!(world.completed(&[]).await, Writes::NONE, "not due yet");

    let age = "update sweeps set completed_at = completed_at - interval '61 minutes'";
    sqlx::query(age).execute(world.meta_pool()).await.unwrap();
    assert_eq!(world.completed(&[]).await, deletes(2));
    let fresh = "select count(*) from sweeps where completed_at > now() - interval '1 minute'";
    assert_eq!(world.meta_count(fresh).await, 1);
    world.sql("delete from t where id = 9").await;
    assert_eq!(world.completed(&[]).await, Writes::NONE, "compared a moment ago");
    let listed = world.command(&["list", "definitions", "-o", "json"]).json();
    assert!(listed[0]["status"]["last_sweep"].is_string(), "{listed:#}");
}

#[tokio::test]
async fn a_comparison_that_breaks_off_is_due_again() {
    let world = World::with_private_source().await;
    world.sql(&table(300)).await;
    let source = json!({"feed": "watermark", "watermark": "changed", "sweep": {"every": "1h"}});
    world.applied(json!({"onDelete": "propagate", "source": source}));
    world.completed(&[]).await;
    let slow = json!({"onDelete": "propagate", "source": source, "limits": {"pageRows": 1}});
    world.applied(slow);
    world.sql("delete from t where id = 7").await;
    let age = "update sweeps set completed_at = completed_at - interval '61 minutes'";
    sqlx::query(age).execute(world.meta_pool()).await.unwrap();
    world.reset_account().await;
    crate::guards::broken_off(&world).await;
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.completed(&[]).await, deletes(1));
}

#[tokio::test]
async fn a_definition_that_never_compares_is_allowed_and_warned_of() {
    let world = World::new().await;
    world.sql(&table(5)).await;
    let source = json!({"feed": "watermark", "watermark": "changed", "sweep": {"every": "off"}});
    let more = json!({"onDelete": "propagate", "source": source});
    let ran = world.applied(more);
    assert!(
        ran.err().contains("warning: ") && ran.err().contains("run t --full"),
        "{}",
        ran.err()
    );
    world.completed(&[]).await;
    sqlx::query("delete from sweeps")
        .execute(world.meta_pool())
        .await
        .unwrap();
    world.sql("delete from t where id = 1").await;
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.completed(&["--full"]).await, deletes(1));
}

#[tokio::test]
async fn the_policy_archive_marks_the_item_and_takes_the_mark_away_when_the_row_is_back() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    world.applied(json!({"onDelete": "archive"}));
    assert_eq!(world.completed(&[]).await, creates(20));
    let before = world.item_where("t", "Title", &json!("row 5")).await;
    assert!(
        before["fields"].get("SyncBridgeState").is_none_or(Json::is_null),
        "{before:#}"
    );

    world.sql("delete from t where id in (5, 6)").await;
    assert_eq!(world.completed(&[]).await, patches(2));
    let marked = world.item_where("t", "Title", &json!("row 5")).await;
    assert_eq!(marked["fields"]["SyncBridgeState"], "archived");
    assert_eq!(marked["guid"], before["guid"]);
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.verify("t")["kept"], 2);

    // One comes back as it was, the other one changed: one write each, to the same items.
    world
        .sql("insert into t values (5, 'row 5', '2026-01-01Z'), (6, 'back', '2026-01-01Z')")
        .await;
    assert_eq!(world.completed(&[]).await, patches(2));
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    let items = world.items("t").await;
    assert_eq!(items.len(), 20);
    let states = items
        .iter()
        .filter(|item| item["fields"]["SyncBridgeState"] == "archived");
    assert_eq!(states.count(), 0);
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn a_table_that_reads_as_empty_archives_nothing_unasked() {
    let world = World::new().await;
    world.sql(&table(300)).await;
    world.applied(json!({"onDelete": "archive"}));
    world.completed(&[]).await;
    world
        .sql("create table rescue as select * from t; truncate t")
        .await;
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE);
    world.sql("insert into t select * from rescue").await;
    assert_eq!(world.completed(&[]).await, Writes::NONE);
}

#[tokio::test]
async fn an_edit_under_an_archive_mark_does_not_stop_it_and_is_not_lost() {
    let world = World::new().await;
    world.sql(&table(10)).await;
    world.applied(json!({"onDelete": "archive"}));
    world.completed(&[]).await;
    let theirs = world.item_where("t", "Title", &json!("row 3")).await;
    world.person_edits("t", &theirs, &json!({"Title": "mine"})).await;
    world.sql("delete from t where id = 3").await;
    assert_eq!(world.completed(&[]).await, patches(1));
    let marked = world.item_where("t", "Title", &json!("mine")).await;
    assert_eq!(marked["fields"]["SyncBridgeState"], "archived");
}

#[tokio::test]
async fn a_definition_that_begins_to_archive_later_gets_its_column_then() {
    let world = World::new().await;
    world.sql(&table(10)).await;
    world.applied(json!({"onDelete": "keep"}));
    world.completed(&[]).await;
    world.applied(json!({"onDelete": "archive"}));
    world.sql("delete from t where id = 3").await;
    world.completed(&[]).await;
    world.completed(&[]).await;
    let marked = world.item_where("t", "Title", &json!("row 3")).await;
    assert_eq!(marked["fields"]["SyncBridgeState"], "archived");
}

#[tokio::test]
async fn an_archive_is_written_once_and_never_changed_or_deleted() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    world.applied(json!({"onDelete": "propagate", "mode": "archive_only"}));
    assert_eq!(world.completed(&[]).await, creates(20));
    world
        .sql(
            "update t set name = 'rewritten' where id = 1; delete from t where id = 2;
              insert into t values (21, 'row 21', now())",
        )
        .await;
    assert_eq!(world.completed(&[]).await, creates(1));
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    let titles: Vec<Json> = world
        .items("t")
        .await
        .iter()
        .map(|item| item["fields"]["Title"].clone())
        .collect();
    assert_eq!(titles.len(), 21);
    assert!(titles.contains(&json!("row 1")) && titles.contains(&json!("row 2")));
    assert!(!titles.contains(&json!("rewritten")));
}

#[tokio::test]
async fn a_tombstone_goes_once_every_feed_is_past_it_and_its_item_cannot_come_back() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    world.applied(json!({"onDelete": "propagate"}));
    world.completed(&[]).await;
    world.sql("delete from t where id in (1, 2)").await;
    assert_eq!(world.completed(&[]).await, deletes(2));
    let tombstones = "select count(*) from ledger where state = 2";
    world.completed(&[]).await;
    assert_eq!(
        world.meta_count(tombstones).await,
        2,
        "the recycle bin still holds them"
    );
    let age = "update ledger set updated_at = updated_at - interval '94 days' where state = 2
               and identity = (select identity from ledger where state = 2 order by identity limit 1)";
    sqlx::query(age).execute(world.meta_pool()).await.unwrap();
    // Something moves the log on, so that the next comparison is certainly later than the deletes.
    world.sql("update t set name = name").await;
    world.completed(&[]).await;
    assert_eq!(world.meta_count(tombstones).await, 1);
}

#[tokio::test]
async fn the_cursor_can_be_seen_and_reset_and_a_reset_costs_nothing() {
    let world = World::new().await;
    world.sql(&table(30)).await;
    let source = json!({"feed": "watermark", "watermark": "changed"});
    world.applied(json!({"source": source}));
    let show = |world: &World| world.command(&["cursor", "show", "t", "-o", "json"]).json();
    assert_eq!(show(&world)["phase"], "first_copy");
    world.completed(&[]).await;
    world.completed(&[]).await;
    let steady = show(&world);
    assert_eq!(steady["phase"], "steady");
    assert!(
        steady["last_sweep"].is_string() && steady["moved"].is_string(),
        "{steady:#}"
    );
    world.command(&["cursor", "reset", "t"]).ok();
    assert_eq!(show(&world)["phase"], "first_copy");
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.spent().await.1, 0);
    assert_eq!(world.command(&["cursor", "show", "nobody"]).code(), 1);
}

#[tokio::test]
async fn items_go_with_their_definition_only_under_the_guard_and_come_back_with_it() {
    let world = World::new().await;
    world.sql(&table(30)).await;
    world.applied(json!({}));
    world.completed(&[]).await;
    world.reset_account().await;
    let delete = |more: &[&str]| {
        let mut args = vec!["delete", "definition", "t", "--items", "delete"];
        args.extend(more);
        world.command(&args)
    };
    let unasked = delete(&[]);
    assert!(unasked.err().contains("--yes"), "{}", unasked.err());
    let guarded = delete(&["--yes"]);
    assert!(
        guarded.err().contains("guard.items") && guarded.err().contains("--allow-deletes 30"),
        "{}",
        guarded.err()
    );
    assert_eq!(world.writes().await, Writes::NONE);
    // A run that breaks off deletes no definition, and the same command goes on.
    world
        .faults(json!([{"kind": "server_error", "on": ["delete"], "after": 12}]))
        .await;
    let broken = delete(&["--yes", "--allow-deletes", "30"]);
    assert_ne!(broken.code(), 0);
    world.faults(json!([])).await;
    delete(&["--yes", "--allow-deletes", "30"]).ok();
    assert_eq!(world.writes().await, deletes(30));
    assert_eq!(world.items("t").await.len(), 0);
    assert_eq!(world.command(&["get", "definition", "t"]).code(), 1);

    world.applied(json!({}));
    assert_eq!(world.completed(&[]).await, creates(30));
    world.assert_equal("t", 30);
}

#[tokio::test]
async fn items_are_archived_with_their_definition_and_taken_up_again_with_it() {
    let world = World::new().await;
    world.sql(&table(30)).await;
    world.applied(json!({}));
    world.completed(&[]).await;
    let args = [
        "delete",
        "definition",
        "t",
        "--items",
        "archive",
        "--allow-deletes",
        "30",
        "--yes",
    ];
    world.command(&args).ok();
    let archived = |items: Vec<Json>| {
        items
            .iter()
            .filter(|i| i["fields"]["SyncBridgeState"] == "archived")
            .count()
    };
    assert_eq!(archived(world.items("t").await), 30);
    world.applied(json!({}));
    assert_eq!(world.completed(&[]).await, patches(30));
    let items = world.items("t").await;
    assert_eq!((items.len(), archived(items)), (30, 0));
    world.assert_equal("t", 30);
}

/// A person brings everything in the list's recycle bin back.
async fn person_restores(world: &World) -> usize {
    let list = world.list_id("t").await;
    let bin = world.sim_get(&format!("lists/{list}/recycle-bin")).await;
    let items = bin["items"].as_array().unwrap().clone();
    for item in &items {
        let path = format!("lists/{list}/recycle-bin/{}/restore", item["id"]);
        world.sim_send("POST", &path, &json!({})).await;
    }
    items.len()
}

/// Puts the list right; the report.
async fn repaired(world: &World, more: &[&str], state: &str) -> Json {
    world.reset_account().await;
    let mut args = vec!["verify", "t", "--repair", "-o", "json"];
    args.extend(more);
    let report = world.command(&args).json();
    assert_eq!(report["outcome"]["state"], state, "{more:?}: {report:#}");
    report
}

#[tokio::test]
async fn b_05_an_item_brought_back_without_its_row_follows_its_policy_under_the_guard() {
    let world = World::new().await;
    world.sql(&table(20)).await;
    let asked = |policy: Json, count: u64| {
        let guards = json!({"deletes": {"count": count, "share": 0.0, "window": "off"}});
        let mut more = json!({"onDelete": "propagate", "guards": guards});
        if !policy.is_null() {
            more["onForeignRestore"] = policy;
        }
        more
    };
    world.applied(asked(Json::Null, 10));
    world.completed(&[]).await;
    world.sql("delete from t where id in (3, 4, 5)").await;
    assert_eq!(world.completed(&[]).await, deletes(3));
    assert_eq!(person_restores(&world).await, 3);

    // Reported and left alone, as long as nobody says otherwise.
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    assert_eq!(world.verify("t")["orphans"], 3);
    let report = repaired(&world, &[], "completed_with_errors").await;
    let said = report["outcome"]["notices"].to_string();
    assert!(said.contains("brought back by a person"), "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE);

    // Deleted again, as far as the guard lets it.
    world.applied(asked(json!("delete"), 2));
    let report = repaired(&world, &[], "completed_with_errors").await;
    assert_eq!(world.writes().await, Writes::NONE, "{report:#}");
    let said = report["outcome"]["notices"].to_string();
    assert!(said.contains("verify t --repair --allow-deletes N"), "{report:#}");
    assert_eq!(world.completed(&[]).await, Writes::NONE, "a push does not look");
    repaired(&world, &["--allow-deletes", "3"], "completed").await;
    assert_eq!(world.writes().await, deletes(3));
    world.assert_equal("t", 17);

    // A missing sentinel is stronger than both.
    assert_eq!(person_restores(&world).await, 3);
    let mut doubted = asked(json!("delete"), 10);
    doubted["guards"]["sentinels"] = json!([3]);
    world.applied(doubted);
    repaired(&world, &["--allow-deletes", "3"], "completed_with_errors").await;
    assert_eq!(world.writes().await, Writes::NONE);

    // Kept in silence, and taken up again with its row.
    world.applied(asked(json!("keep"), 10));
    let report = repaired(&world, &[], "completed").await;
    assert_eq!(report["outcome"]["notices"], json!([]), "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(
        world
            .meta_count("select count(*) from ledger where state = 3")
            .await,
        3
    );
    let found = world.verify("t");
    assert_eq!(
        (&found["kept"], &found["orphans"]),
        (&json!(3), &json!(0)),
        "{found:#}"
    );
    world
        .sql("insert into t values (3, 'row 3', '2026-01-01Z')")
        .await;
    assert_eq!(world.completed(&[]).await.creates, 0);
    assert_eq!(world.items("t").await.len(), 20);
}
