//! The way through: a table becomes a list, changes follow, nothing costs nothing.

use serde_json::json;
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str =
    "create table t (id int primary key, name text not null, amount numeric(10,2), seen timestamptz);
    insert into t select n, 'row ' || n, n / 4.0, '2026-01-01'::timestamptz + n * interval '1 minute'
    from generate_series(1, 500) n;";

#[tokio::test]
async fn a_table_becomes_a_list_and_changes_follow() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world
        .apply(&world.definition("t", "public.t", json!({"onDelete": "propagate"})))
        .ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world.assert_equal("t", 500);

    world.sql("update t set name = 'changed' where id <= 3; delete from t where id = 500; insert into t values (501, 'new')").await;
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 1,
            patches: 3,
            deletes: 1
        }
    );
    world.assert_equal("t", 500);
}

#[tokio::test]
async fn a_run_that_finds_nothing_changed_costs_nothing() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    world.run("t");
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["counters"]["unchanged"], 500, "{report:#}");
    assert_eq!(world.spent().await.1, 0);
}

#[tokio::test]
async fn a_plan_before_the_first_run_says_what_it_would_make_and_makes_nothing() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.sql("insert into t values (501, repeat('long', 100))").await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    world.reset_account().await;
    let plan = world.command(&["plan", "t", "-o", "json"]).ok().json();
    let found = &plan["outcome"]["prediction"];
    assert_eq!(found["creates"], 500, "{plan:#}");
    assert_eq!(found["refusals"][0]["rows"], 1, "{plan:#}");
    assert_eq!(found["ru"], 1000, "{plan:#}");
    assert_eq!(found["refusals"][0]["column"], "name", "{plan:#}");
    assert_eq!(world.spent().await.1, 0, "a plan asks nothing of Graph");
    assert_eq!(world.writes().await, Writes::NONE);
}

#[tokio::test]
async fn whoever_has_read_enough_of_an_output_may_go() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.apply(&world.definition("t", "public.t", json!({}))).ok();
    for args in [
        &["list", "definitions"][..],
        &["get", "definition", "t"],
        &["runs", "t", "-o", "json"],
        &["plan", "t", "-o", "json"],
        &["plan", "t"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = world.prepare(args);
        command.stdout(writer).stderr(std::process::Stdio::piped());
        let ended = command
            .spawn()
            .expect("it starts")
            .wait_with_output()
            .expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {said}");
    }
}
