//! Mistakes that must never empty a list: a truncated table, an emptied list, a wrong address, a source that
//! breaks off or hides its rows.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{CLIENT_ID, TENANT, World, Writes};

const ROWS: i64 = 300;

/// The policy that deletes, on a table whose rows are found by comparing everything.
fn deleting() -> Json {
    json!({"onDelete": "propagate", "limits": {"pageRows": 100}})
}

async fn synced(world: &World) {
    world
        .sql(&format!(
            "create table t (id int primary key, name text);
             insert into t select n, 'row ' || n from generate_series(1, {ROWS}) n;"
        ))
        .await;
    world.apply(&world.definition("t", "public.t", deleting())).ok();
    assert_eq!(world.run("t")["outcome"]["state"], "completed");
    world.reset_account().await;
}

/// Runs every kind of run that could notice something missing; none may delete or end well by mistake.
async fn nothing_is_deleted(world: &World, states: &[&str]) {
    for more in [&[][..], &["--full"], &["--reset-cursor"], &["--approve"]] {
        let mut args = vec!["run", "t", "-o", "json"];
        args.extend(more);
        let ran = world.command(&args);
        if ran.output.stdout.is_empty() {
            assert_ne!(ran.code(), 0, "{more:?}: {}", ran.err());
        } else {
            let report = ran.json();
            let state = report["outcome"]["state"].as_str().unwrap();
            assert!(states.contains(&state), "{more:?}: {report:#}");
        }
        assert_eq!(world.writes().await.deletes, 0, "{more:?}");
    }
}

#[tokio::test]
async fn b_05_a_truncated_table_deletes_nothing() {
    let world = World::new().await;
    synced(&world).await;
    world.sql("truncate t").await;
    nothing_is_deleted(&world, &["completed_with_errors"]).await;
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), ROWS as usize);
}

#[tokio::test]
async fn b_05_a_list_that_shows_nothing_deletes_nothing_and_makes_nothing_twice() {
    let world = World::new().await;
    synced(&world).await;
    for item in world.items("t").await {
        world.person_deletes("t", &item).await;
    }
    nothing_is_deleted(&world, &["completed", "completed_with_errors"]).await;
    assert_eq!(
        world.writes().await,
        Writes::NONE,
        "the list is not refilled unasked"
    );
    // The list comes back out of the recycle bin, so to speak: with a list of its own the table is whole again.
    assert_eq!(world.verify("t")["missing"], ROWS);
}

#[tokio::test]
async fn b_05_a_wrong_site_deletes_nothing() {
    let world = World::with(|sim| sim.sites.push("Elsewhere".into())).await;
    synced(&world).await;
    let mut elsewhere = deleting();
    elsewhere["target"] = json!({"site": "contoso.sharepoint.com:/sites/Elsewhere"});
    let applied = world.apply(&world.definition("t", "public.t", elsewhere));
    assert_ne!(
        applied.code(),
        0,
        "a definition with a ledger does not change its site: {}",
        applied.out()
    );
    nothing_is_deleted(&world, &["completed", "completed_with_errors", "failed"]).await;
    // The table is emptied beside it: both mistakes at once.
    world.sql("truncate t").await;
    nothing_is_deleted(&world, &["completed_with_errors", "failed"]).await;
    assert_eq!(world.items("t").await.len(), ROWS as usize);
}

#[tokio::test]
async fn b_05_a_wrong_tenant_deletes_nothing() {
    let world = World::new().await;
    synced(&world).await;
    world
        .sql("update t set name = 'new' where id < 10; delete from t where id > 290")
        .await;
    let connection = json!({"apiVersion": "syncbridge/v1", "kind": "Connection", "metadata": {"name": "contoso"},
        "spec": {"tenant": "fabrikam.onmicrosoft.com", "clientId": CLIENT_ID, "clientSecret": {"value": "wrong"},
                 "custom": {"authority": world.graph_root, "graphRoot": world.graph_root}}});
    let file = world.folder.path().join("connection.json");
    std::fs::write(&file, connection.to_string()).unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()]).ok();
    nothing_is_deleted(&world, &["failed"]).await;
    assert_eq!(world.writes().await, Writes::NONE);
    // Back home, the ten rows that are really gone go, and the nine changes arrive.
    world.apply(&world.definition("t", "public.t", deleting())).ok();
    assert!(world.catalog().contains(TENANT));
    assert_eq!(world.run("t")["outcome"]["state"], "completed");
    let done = Writes {
        patches: 9,
        deletes: 10,
        creates: 0,
    };
    assert_eq!(world.writes().await, done);
}

#[tokio::test]
async fn b_05_a_source_that_breaks_off_in_the_middle_of_a_scan_deletes_nothing() {
    let world = World::with_private_source().await;
    synced(&world).await;
    world.sql("delete from t where id > 290").await;
    // One row a page, so that a scan is long enough to be cut off in its middle.
    let mut slow = deleting();
    slow["limits"] = json!({"pageRows": 1});
    world.apply(&world.definition("t", "public.t", slow)).ok();
    for _ in 0..3 {
        broken_off(&world).await;
        assert_eq!(world.writes().await, Writes::NONE);
    }
    // What is really gone goes once the scan comes to its end.
    assert_eq!(world.run("t")["outcome"]["state"], "completed");
    assert_eq!(world.writes().await.deletes, 10);
}

/// Runs `t` while each of its scans of the table is cut off, and fails unless the run does.
pub(crate) async fn broken_off(world: &World) {
    let mut run = world.start("broken", &["run", "t", "-o", "json"]);
    let mut cuts = 0;
    let ended = loop {
        cuts += world
            .count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and application_name like 'syncbridge%'
                   and query ilike '%order by%limit%'",
            )
            .await;
        if let Some(ended) = run.try_wait().unwrap() {
            break ended;
        }
    };
    let said = std::fs::read_to_string(world.folder.path().join("broken.out")).unwrap();
    assert!(cuts > 0 && !ended.success(), "{cuts} cuts: {ended}\n{said}");
    assert!(said.contains("\"failed\""), "{said}");
}

#[tokio::test]
async fn b_05_row_security_switched_on_for_the_source_role_deletes_nothing() {
    let world = World::with_private_source().await;
    world
        .sql(&format!(
            "create table t (id int primary key, name text);
             insert into t select n, 'row ' || n from generate_series(1, {ROWS}) n;
             create role reader login password 'reader-secret'; grant select on t to reader;"
        ))
        .await;
    let url = reqwest::Url::parse(&world.source.url()).unwrap();
    let owner = format!("\"user\":\"{}\"", url.username());
    let word = format!("\"value\":\"{}\"", url.password().unwrap());
    let catalog = world.catalog();
    assert!(catalog.contains(&owner) && catalog.contains(&word), "{catalog}");
    let catalog = catalog
        .replace(&owner, "\"user\":\"reader\"")
        .replace(&word, "\"value\":\"reader-secret\"");
    let file = world.folder.path().join("reader.yaml");
    std::fs::write(
        &file,
        format!("{catalog}{}\n", world.definition("t", "public.t", deleting())),
    )
    .unwrap();
    world.command(&["apply", "-f", file.to_str().unwrap()]).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world.reset_account().await;
    world
        .sql("alter table t enable row level security; create policy few on t to reader using (id <= 5)")
        .await;
    nothing_is_deleted(&world, &["failed"]).await;
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), ROWS as usize);
}

#[tokio::test]
async fn b_05_deletes_are_counted_over_a_window_so_that_a_slow_leak_is_stopped_too() {
    let world = World::new().await;
    world
        .sql(
            "create table t (id int primary key, name text);
              insert into t select n, 'row ' || n from generate_series(1, 200) n;",
        )
        .await;
    let more =
        json!({"onDelete": "propagate", "guards": {"deletes": {"count": 10, "share": 0.0, "window": "1h"}}});
    world.apply(&world.definition("t", "public.t", more.clone())).ok();
    world.run("t");
    world.reset_account().await;
    for wave in 0..4 {
        world
            .sql(&format!(
                "delete from t where id between {} and {}",
                wave * 4 + 1,
                wave * 4 + 4
            ))
            .await;
        world.run("t");
    }
    // Four and four; the third wave would make twelve.
    assert_eq!(world.writes().await.deletes, 8);
    // A person lets the rest pass; what was let pass is no part of the leak.
    let report = world.run_with("t", &["--allow-deletes", "8"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(world.writes().await.deletes, 16);
    world.sql("delete from t where id in (30, 31)").await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(world.writes().await.deletes, 18);
    // An hour later (by moving the records back) the budget is whole again.
    sqlx::raw_sql(
        "begin; set local session_replication_role = replica;
         update ledger_history set at = at - interval '61 minutes'; commit",
    )
    .execute(world.meta_pool())
    .await
    .unwrap();
    world.sql("delete from t where id between 40 and 49").await;
    world.run("t");
    assert_eq!(world.writes().await.deletes, 28);
}

fn guarded(guards: Json) -> Json {
    let mut more = deleting();
    more["guards"] = guards;
    more
}

fn notices(report: &Json) -> String {
    report["outcome"]["notices"].to_string()
}

#[tokio::test]
async fn b_05_while_a_sentinel_is_missing_nothing_is_deleted_and_everything_else_goes_on() {
    let world = World::new().await;
    synced(&world).await;
    world
        .apply(&world.definition("t", "public.t", guarded(json!({"sentinels": [1, 222]}))))
        .ok();
    world
        .sql("delete from t where id in (222, 5); update t set name = 'new' where id = 9; insert into t values (301, 'one')")
        .await;
    // No number of deletions that a person lets pass is an answer to it.
    let report = world.run_with("t", &["--allow-deletes", "300"]);
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(report["outcome"]["counters"]["parked"], 2, "{report:#}");
    let said = notices(&report);
    assert!(
        said.contains("sentinel 2 of 2 in `guards.sentinels` (id) is not in the table"),
        "{report:#}"
    );
    assert!(!said.contains("222"), "no value: {report:#}");
    let others = Writes {
        creates: 1,
        patches: 1,
        deletes: 0,
    };
    assert_eq!(world.writes().await, others);
    nothing_is_deleted(&world, &["completed_with_errors"]).await;
    assert_eq!(world.writes().await, others);

    // Whoever asks beforehand hears of it: a plan, a check, and an apply.
    let plan = world.command(&["plan", "t", "-o", "json"]).json();
    assert_eq!(
        plan["outcome"]["prediction"]["hold"]["code"], "guard.sentinel",
        "{plan:#}"
    );
    assert_eq!(
        plan["outcome"]["prediction"]["deletes_held_back"], true,
        "{plan:#}"
    );
    let check = world.command(&["plan", "t", "--check", "-o", "json"]).out();
    assert!(check.contains("guard.sentinel"), "{check}");
    let again = world.apply(&world.definition("t", "public.t", guarded(json!({"sentinels": [222, 1]}))));
    assert!(again.ok().out().contains("guard.sentinel"));

    // Taken out, it holds nothing back any more.
    world
        .apply(&world.definition("t", "public.t", guarded(json!({"sentinels": [1]}))))
        .ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(world.writes().await.deletes, 2);
    world.assert_equal("t", ROWS - 1);
}

#[tokio::test]
async fn b_05_a_sentinel_that_is_no_key_of_the_table_is_refused_when_it_is_applied() {
    let world = World::new().await;
    synced(&world).await;
    for wrong in [json!(["first"]), json!([[1, 2]])] {
        let applied = world.apply(&world.definition("t", "public.t", guarded(json!({ "sentinels": wrong }))));
        assert_ne!(applied.code(), 0, "{}", applied.out());
        assert!(
            applied.err().contains("guard.sentinel_key") && applied.err().contains("sentinel 1 "),
            "{}",
            applied.err()
        );
    }
    let exported = world.command(&["get", "definition", "t", "-o", "json"]).out();
    assert!(!exported.contains("sentinels"), "{exported}");
}

/// A window of two hours around now or, `away`, one that lies hours from now; and the hour at which it ends.
pub(crate) async fn window(world: &World, away: bool) -> (Json, String) {
    let (from, to) = if away { (3, 5) } else { (-1, 1) };
    let clock = |hours: i64| {
        format!("select to_char(now() at time zone 'Asia/Kathmandu' + interval '{hours} hours', 'HH24:MI')")
    };
    let shown = async |hours| -> String {
        sqlx::query_scalar(sqlx::AssertSqlSafe(clock(hours)))
            .fetch_one(world.source_pool())
            .await
            .unwrap()
    };
    let end = shown(to).await;
    let window = json!({"from": shown(from).await, "to": end, "timeZone": "Asia/Kathmandu"});
    (json!({ "freeze": [window] }), end)
}

#[tokio::test]
async fn b_05_in_a_freeze_window_nothing_is_deleted_or_marked_and_the_notice_says_when_it_ends() {
    for policy in ["propagate", "archive"] {
        let world = World::new().await;
        synced(&world).await;
        let (frozen, end) = window(&world, false).await;
        let mut more = guarded(frozen);
        more["onDelete"] = json!(policy);
        world.apply(&world.definition("t", "public.t", more.clone())).ok();
        world
            .sql("delete from t where id in (4, 5); update t set name = 'new' where id = 9")
            .await;
        for args in [&["--allow-deletes", "2"][..], &[]] {
            let report = world.run_with("t", args);
            assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
            assert_eq!(report["outcome"]["counters"]["parked"], 2, "{report:#}");
            let said = notices(&report);
            let until = format!("{end} (Asia/Kathmandu)");
            assert!(
                said.contains("freeze window") && said.contains(&until),
                "{until}: {report:#}"
            );
        }
        let others = Writes {
            patches: 1,
            ..Writes::NONE
        };
        assert_eq!(world.writes().await, others, "{policy}");
        // Neither does a definition take its items with it.
        let leave = [
            "delete",
            "definition",
            "t",
            "--items",
            "delete",
            "--allow-deletes",
            "300",
            "--yes",
        ];
        let leave = world.command(&leave);
        assert!(leave.err().contains("guard.frozen"), "{}", leave.err());
        assert_eq!(world.writes().await, others, "{policy}");

        let (later, _) = window(&world, true).await;
        more["guards"] = later;
        world.apply(&world.definition("t", "public.t", more)).ok();
        let report = world.run("t");
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
        let done = match policy {
            "propagate" => Writes { deletes: 2, ..others },
            _ => Writes { patches: 3, ..others },
        };
        assert_eq!(world.writes().await, done, "{policy}");
    }
}
