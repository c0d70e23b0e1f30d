//! A run is put back by a plan: both sides are as they were before it, but for what somebody touched since.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::proxy::{Gate, Passing, Proxy};
use syncbridge_end_to_end::{Ran, World, Writes};

const ROWS: u32 = 12;

pub(crate) async fn world_of(spec: Json) -> World {
    filled(World::new().await, spec).await
}

async fn filled(world: World, spec: Json) -> World {
    world
        .sql(&format!(
            "create table t (id int primary key, code text not null, note text, price numeric(10,2));
             insert into t select n, 'code ' || n, 'note ' || n, n from generate_series(1, {ROWS}) n"
        ))
        .await;
    world.applied(spec);
    world.completed(&[]).await;
    world
}

pub(crate) fn push(values: bool) -> Json {
    json!({"onDelete": "propagate", "history": {"values": values}})
}

pub(crate) fn both_ways(values: bool) -> Json {
    json!({"direction": "both", "onDelete": "propagate", "history": {"values": values},
        "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"}})
}

pub(crate) fn state_of(report: &Json) -> &str {
    report["outcome"]["state"]
        .as_str()
        .unwrap_or_else(|| panic!("{report:#}"))
}

pub(crate) fn run_of(report: &Json) -> String {
    report["run"]
        .as_str()
        .unwrap_or_else(|| panic!("{report:#}"))
        .to_owned()
}

/// An ordinary run, and its id.
pub(crate) fn ran(world: &World) -> String {
    run_of(&world.run("t"))
}

pub(crate) fn reverted(world: &World, run: &str) -> Json {
    let plan = world
        .command(&["revert", "t", "--run", run, "-o", "json"])
        .ok()
        .json();
    assert_eq!(state_of(&plan), "completed", "{plan:#}");
    plan
}

pub(crate) fn plan_of(plan: &Json) -> String {
    plan["plan"]["plan"]
        .as_str()
        .unwrap_or_else(|| panic!("{plan:#}"))
        .to_owned()
}

pub(crate) fn run_plan(world: &World, plan: &Json) -> Json {
    let report = world.run_with("t", &["--plan", &plan_of(plan)]);
    assert_eq!(state_of(&report), "completed", "{report:#}");
    report
}

/// Plans to put a run back and does it; answers the run that did.
pub(crate) fn put_back(world: &World, run: &str) -> String {
    run_of(&run_plan(world, &reverted(world, run)))
}

pub(crate) fn changes(plan: &Json) -> BTreeSet<(String, String)> {
    let all = plan["changes"].as_array().unwrap_or_else(|| panic!("{plan:#}"));
    all.iter()
        .map(|change| {
            let key = change["key"].as_array().unwrap();
            let key: Vec<&str> = key.iter().filter_map(Json::as_str).collect();
            (change["kind"].as_str().unwrap().to_owned(), key.join(","))
        })
        .collect()
}

pub(crate) fn remarks(plan: &Json, kind: &str) -> BTreeSet<(String, Option<String>)> {
    let all = plan["remarks"].as_array().unwrap_or_else(|| panic!("{plan:#}"));
    all.iter()
        .filter(|remark| remark["kind"] == kind)
        .map(|remark| {
            let key = remark["key"].as_array().unwrap();
            let key: Vec<&str> = key.iter().filter_map(Json::as_str).collect();
            (key.join(","), remark["code"].as_str().map(str::to_owned))
        })
        .collect()
}

pub(crate) fn set(all: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    all.iter()
        .map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned()))
        .collect()
}

/// What the table holds, row by row.
pub(crate) async fn table(world: &World) -> Vec<String> {
    sqlx::query_scalar("select t::text from t order by id")
        .fetch_all(world.source_pool())
        .await
        .unwrap()
}

/// What people see in the list, by code.
pub(crate) async fn list(world: &World) -> BTreeMap<String, (Json, Json)> {
    let items = world.items("t").await;
    let shown = items.iter().map(|item| {
        let fields = &item["fields"];
        let code = fields["Code"].as_str().unwrap().to_owned();
        (code, (fields["Note"].clone(), fields["Price"].clone()))
    });
    let all: BTreeMap<_, _> = shown.collect();
    assert_eq!(all.len(), items.len(), "no item stands twice");
    all
}

pub(crate) async fn both_sides(world: &World) -> (Vec<String>, BTreeMap<String, (Json, Json)>) {
    (table(world).await, list(world).await)
}

pub(crate) async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

/// Codes of rows in quarantine, by key.
pub(crate) fn held(world: &World) -> BTreeMap<String, String> {
    let all = world
        .command(&["quarantine", "list", "t", "-o", "json"])
        .ok()
        .json();
    let rows = all.as_array().unwrap_or_else(|| panic!("{all:#}")).iter();
    rows.map(|row| {
        let key = row["key"].as_array().unwrap();
        let key: Vec<&str> = key.iter().filter_map(Json::as_str).collect();
        (key.join(","), row["code"].as_str().unwrap().to_owned())
    })
    .collect()
}

/// Nothing is done again by itself, whichever way the table is looked at.
pub(crate) async fn stays(world: &World) {
    let before = both_sides(world).await;
    for more in [&[][..], &["--full"]] {
        world.reset_account().await;
        let report = world.run_with("t", more);
        assert_eq!(world.writes().await, Writes::NONE, "{more:?}: {report:#}");
        assert!(state_of(&report).starts_with("completed"), "{report:#}");
        assert_eq!(both_sides(world).await, before, "{more:?}: {report:#}");
    }
}

pub(crate) fn refused(world: &World, args: &[&str]) -> String {
    let ran: Ran = world.command(args);
    assert_ne!(ran.code(), 0, "{}", ran.out());
    ran.err() + &ran.out()
}

#[tokio::test]
async fn c_08_revert_of_a_push_takes_back_what_it_made_changed_and_deleted_and_nothing_does_it_again() {
    let world = world_of(push(true)).await;
    let before = list(&world).await;
    world
        .sql(
            "update t set note = 'other ' || id, price = null where id in (3, 4); delete from t where id = 5;
             insert into t values (20, 'code 20', 'new', 20)",
        )
        .await;
    let run = ran(&world);
    let after = both_sides(&world).await;
    assert_ne!(after.1, before);

    world.reset_account().await;
    let plan = reverted(&world, &run);
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(
        changes(&plan),
        set(&[
            ("patch_item", "3"),
            ("patch_item", "4"),
            ("create_item", "5"),
            ("delete_item", "20")
        ]),
        "{plan:#}"
    );
    assert_eq!(plan["remarks"], json!([]), "{plan:#}");
    run_plan(&world, &plan);
    // The list is as it was before the run, and the table is nobody's to put back: the run did not write it.
    assert_eq!(list(&world).await, before);
    assert_eq!(table(&world).await, after.0);
    stays(&world).await;
    let waiting = held(&world);
    let rows: Vec<&str> = waiting.keys().map(String::as_str).collect();
    assert_eq!(rows, ["20", "3", "4", "5"]);
    assert!(waiting.values().all(|code| code == "revert.held"), "{waiting:?}");

    // Once more is nothing.
    let again = reverted(&world, &run);
    assert_eq!(
        (&again["changes"], &again["remarks"]),
        (&json!([]), &json!([])),
        "{again:#}"
    );
    // What changes from here on travels, and only that.
    world
        .sql("update t set price = 7 where id = 3; update t set note = 'newer' where id = 20")
        .await;
    world.run("t");
    let now = list(&world).await;
    assert_eq!(now["code 3"], (json!("note 3"), json!(7)));
    assert_eq!(now["code 20"], (json!("newer"), json!(20)));
    assert_eq!(now["code 4"], before["code 4"]);
    // A row that a person lets go is brought to the list again.
    world.command(&["quarantine", "retry", "t", "4"]).ok();
    world.run("t");
    assert!(!held(&world).contains_key("4"), "{:?}", held(&world));
}

#[tokio::test]
async fn c_08_revert_of_a_run_both_ways_restores_both_sides_and_can_be_put_back_itself() {
    let world = world_of(both_ways(true)).await;
    let before = both_sides(&world).await;
    world
        .sql(
            "update t set note = 'of the table' where id = 2; delete from t where id = 3;
             insert into t values (20, 'code 20', 'new in the table', 20)",
        )
        .await;
    for (code, fields) in [
        ("code 6", json!({"Note": "of the list", "Price": 66})),
        ("code 2", json!({"Price": 22})),
    ] {
        world.person_edits("t", &item(&world, code).await, &fields).await;
    }
    world.person_deletes("t", &item(&world, "code 7").await).await;
    let changed = both_sides(&world).await;
    let run = ran(&world);
    let after = both_sides(&world).await;

    let plan = reverted(&world, &run);
    assert_eq!(
        changes(&plan),
        set(&[
            ("patch_item", "2"),
            ("update_row", "2"),
            ("create_item", "3"),
            ("delete_item", "20"),
            ("update_row", "6"),
            ("insert_row", "7"),
        ]),
        "{plan:#}"
    );
    let back = run_of(&run_plan(&world, &plan));
    // Each side is as it was when the run came to it: what was typed on it stays, what came from the other one is gone.
    assert_eq!(both_sides(&world).await, changed);
    assert_ne!(changed, before);
    stays(&world).await;
    assert_eq!(reverted(&world, &run)["changes"], json!([]));

    // What was put back is a run like any other.
    let why = world
        .command(&["why", "t", "6", "note", "-o", "json"])
        .ok()
        .json();
    assert_eq!(
        (&why["changes"][0]["run"], &why["changes"][0]["beside"]),
        (&json!(back), &json!("revert_held")),
        "{why:#}"
    );
    assert_eq!(why["changes"][0]["value_after"], json!("note 6"), "{why:#}");
    let told = why["told"].as_str().unwrap();
    assert!(
        told.contains(&back) && told.contains("syncbridge revert t --run"),
        "{told}"
    );
    put_back(&world, &back);
    assert_eq!(both_sides(&world).await, after);
    assert_eq!(held(&world), BTreeMap::new());
    world.completed(&[]).await;
    world.assert_equal("t", i64::from(ROWS) - 1);
    let why = world
        .command(&["why", "t", "6", "note", "-o", "json"])
        .ok()
        .json();
    let told = why["told"].as_str().unwrap();
    assert!(told.contains("had an earlier run put back"), "{told}");
}

#[tokio::test]
async fn c_08_revert_of_rows_that_people_added_leaves_their_items() {
    let world = world_of(both_ways(true)).await;
    let before = table(&world).await;
    world
        .sql("alter table t alter column id add generated by default as identity (start with 30)")
        .await;
    world
        .person_adds("t", &json!({"Code": "code 30", "Note": "theirs"}))
        .await;
    let run = ran(&world);
    assert_ne!(table(&world).await, before);
    let shown = list(&world).await;
    put_back(&world, &run);
    assert_eq!(table(&world).await, before);
    assert_eq!(list(&world).await, shown, "the item is a person's");
    stays(&world).await;
    assert_eq!(held(&world).get("30").map(String::as_str), Some("revert.held"));
}

#[tokio::test]
async fn c_08_revert_leaves_what_was_touched_since_and_keeps_both_values_as_a_conflict() {
    let world = world_of(both_ways(true)).await;
    world
        .sql("update t set note = 'wrong ' || id where id between 1 and 4")
        .await;
    let run = ran(&world);
    // By another run, by a person in the list and by somebody in the table, before and after the plan.
    world.sql("update t set note = 'right 1' where id = 1").await;
    ran(&world);
    world
        .person_edits("t", &item(&world, "code 2").await, &json!({"Note": "typed 2"}))
        .await;
    let plan = reverted(&world, &run);
    assert_eq!(
        changes(&plan),
        set(&[("patch_item", "3"), ("patch_item", "4")]),
        "{plan:#}"
    );
    let touched = |rows: &[&str]| rows.iter().map(|row| ((*row).to_owned(), None)).collect();
    assert_eq!(remarks(&plan, "overridden"), touched(&["1", "2"]), "{plan:#}");
    world.sql("update t set note = 'right 3' where id = 3").await;
    let report = world.run_with("t", &["--plan", &plan_of(&plan)]);
    let notices = report["outcome"]["notices"].to_string();
    assert!(notices.contains("3 rows were touched after"), "{report:#}");

    let shown = list(&world).await;
    let note = |code: &str| shown[code].0.clone();
    assert_eq!(
        (note("code 1"), note("code 2"), note("code 3"), note("code 4")),
        (
            json!("right 1"),
            json!("typed 2"),
            json!("wrong 3"),
            json!("note 4")
        )
    );
    let all = world
        .command(&["conflicts", "list", "t", "-o", "json"])
        .ok()
        .json();
    let ids: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let mut kept = BTreeMap::new();
    for id in ids {
        let one = world
            .command(&["conflicts", "show", id, "-o", "json"])
            .ok()
            .json();
        kept.insert(
            one["key"][0].as_str().unwrap().to_owned(),
            (
                one["target"].clone(),
                one["source"].clone(),
                one["winner"].clone(),
            ),
        );
    }
    // What the list shows and keeps, and what would have been put back there.
    assert_eq!(
        kept,
        BTreeMap::from([
            (
                "1".to_owned(),
                (json!("right 1"), json!("note 1"), json!("target"))
            ),
            (
                "2".to_owned(),
                (json!("typed 2"), json!("note 2"), json!("target"))
            ),
            (
                "3".to_owned(),
                (json!("wrong 3"), json!("note 3"), json!("target"))
            ),
        ])
    );
    // They go their way as ever.
    world.run("t");
    assert_eq!(list(&world).await["code 3"].0, json!("right 3"));
    assert!(table(&world).await[1].contains("typed 2"));
}

#[tokio::test]
async fn c_08_revert_without_kept_values_refuses_what_nobody_knows_and_says_what_to_do() {
    let world = world_of(push(false)).await;
    world
        .sql(
            "update t set note = 'other' where id = 3; update t set note = null where id = 4;
             insert into t values (20, 'code 20', 'new', 20)",
        )
        .await;
    ran(&world);
    world.sql("update t set note = 'back' where id = 4").await;
    let cleared = ran(&world);
    let runs = world.command(&["runs", "t", "-o", "json"]).ok().json();
    let first = runs[1]["run"]
        .as_str()
        .or(runs[1]["id"].as_str())
        .unwrap_or_else(|| panic!("{runs:#}"));
    let plan = reverted(&world, first);
    assert_eq!(changes(&plan), set(&[("delete_item", "20")]), "{plan:#}");
    assert_eq!(
        remarks(&plan, "refused"),
        BTreeSet::from([("3".to_owned(), Some("revert.no_values".to_owned()))]),
        "{plan:#}"
    );
    let fix = plan["remarks"].to_string();
    assert!(fix.contains("history: {values: true}"), "{plan:#}");
    // An empty cell is known without being kept.
    let plan = reverted(&world, &cleared);
    assert_eq!(changes(&plan), set(&[("patch_item", "4")]), "{plan:#}");
    run_plan(&world, &plan);
    assert_eq!(list(&world).await["code 4"].0, Json::Null);
    // A row that is not put back is none the worse for it.
    assert!(!held(&world).contains_key("3"), "{:?}", held(&world));
}

#[tokio::test]
async fn c_08_revert_that_deletes_more_than_the_guard_lets_pass_waits_for_approval() {
    let mut spec = push(true);
    spec["guards"] = json!({"deletes": {"count": 2, "share": 0.0}});
    let world = world_of(spec).await;
    world
        .sql("insert into t select n, 'code ' || n, 'new', n from generate_series(21, 24) n")
        .await;
    let run = ran(&world);
    let plan = reverted(&world, &run);
    assert_eq!(plan["plan"]["counts"]["beyond_guard"], true, "{plan:#}");
    let id = plan_of(&plan);
    let failure = refused(&world, &["run", "t", "--plan", &id]);
    assert!(failure.contains("plan.not_approved"), "{failure}");
    assert_eq!(list(&world).await.len(), 16);
    world.command(&["plans", "approve", &id]).ok();
    run_plan(&world, &plan);
    assert_eq!(list(&world).await.len(), 12);
    stays(&world).await;
}

#[tokio::test]
async fn c_08_revert_says_what_it_cannot_be_asked_for() {
    let world = world_of(push(true)).await;
    let idle = ran(&world);
    let nothing = world
        .command(&["revert", "t", "--run", &idle, "-o", "json"])
        .ok()
        .json();
    assert_eq!(nothing, json!({"definition": "t", "reverts": idle, "plan": null}));
    let said = world.command(&["revert", "t", "--run", &idle]).ok().out();
    assert!(said.contains(&format!("{idle} wrote nothing")), "{said}");

    let unknown = "run_01980000-0000-7000-8000-000000000000";
    let failure = refused(&world, &["revert", "t", "--run", unknown]);
    assert!(failure.contains("revert.unknown_run"), "{failure}");

    world.sql("create table u (id int primary key, name text)").await;
    world.apply(&world.definition("u", "public.u", json!({}))).ok();
    let other = run_of(&world.run("u"));
    let failure = refused(&world, &["revert", "t", "--run", &other]);
    assert!(failure.contains("revert.of_another"), "{failure}");

    world.sql("update t set note = 'other' where id = 3").await;
    let run = ran(&world);
    sqlx::raw_sql("set syncbridge.history = 'retention'; delete from ledger_history")
        .execute(world.meta_pool())
        .await
        .unwrap();
    let failure = refused(&world, &["revert", "t", "--run", &run]);
    assert!(failure.contains("revert.history_gone"), "{failure}");
    assert_eq!(world.meta_count("select count(*) from plans").await, 0);
}

/// A revert of which the first write is held on its way.
struct Stopped {
    world: World,
    proxy: Proxy,
    /// What the list showed before the run that is reverted.
    before: BTreeMap<String, (Json, Json)>,
    run: String,
    plan: Json,
    gate: Gate,
    child: std::process::Child,
}

/// A run that deleted, made or changed an item, and its revert in the midst of its write.
async fn stopped_at_its_write(kind: &str) -> Stopped {
    let mut world = World::new().await;
    world.shorten_leases();
    let proxy = world.behind_proxy().await;
    let world = filled(world, push(true)).await;
    let before = list(&world).await;
    world
        .sql(match kind {
            "deleted" => "delete from t where id = 5",
            "made" => "insert into t values (20, 'code 20', 'new', 20)",
            _ => "update t set note = 'other' where id = 3",
        })
        .await;
    let run = ran(&world);
    let plan = reverted(&world, &run);
    let gate = proxy.hold_first(Passing::writes_items);
    let child = world.start("killed", &["run", "t", "--plan", &plan_of(&plan)]);
    gate.reached().await;
    Stopped {
        world,
        proxy,
        before,
        run,
        plan,
        gate,
        child,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_08_revert_that_is_killed_is_settled_by_whatever_run_comes_next_and_gone_on_with() {
    for kind in ["deleted", "made", "changed"] {
        let Stopped {
            world,
            proxy,
            before,
            run,
            plan,
            gate,
            mut child,
        } = stopped_at_its_write(kind).await;
        // It lands, and whoever sent it never hears of it.
        child.kill().unwrap();
        child.wait().unwrap();
        gate.land().await;
        proxy.clear();
        world.lease_runs_out("t").await;
        assert_eq!(list(&world).await, before, "{kind}: it landed");
        stays(&world).await;
        assert_eq!(list(&world).await, before, "{kind}");
        let held = held(&world);
        assert!(held.values().eq(["revert.held"]), "{kind}: {held:?}");
        // What the plan asked for is there, by whichever run.
        world.reset_account().await;
        let report = world.run_with("t", &["--plan", &plan_of(&plan)]);
        assert_eq!(world.writes().await, Writes::NONE, "{kind}: {report:#}");
        assert_eq!(reverted(&world, &run)["changes"], json!([]), "{kind}");
        assert_eq!(list(&world).await, before, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_08_revert_that_is_killed_before_its_write_arrives_is_gone_on_with_and_stays() {
    for kind in ["deleted", "made", "changed"] {
        let Stopped {
            world,
            // It carries what was held back to its end.
            proxy: _proxy,
            before,
            plan,
            gate,
            mut child,
            ..
        } = stopped_at_its_write(kind).await;
        child.kill().unwrap();
        child.wait().unwrap();
        world.lease_runs_out("t").await;
        run_plan(&world, &plan);
        assert_eq!(list(&world).await, before, "{kind}");
        // What the killed run left to be looked at is answered by what was put back.
        stays(&world).await;
        assert_eq!(list(&world).await, before, "{kind}");
        let held = held(&world);
        assert!(held.values().eq(["revert.held"]), "{kind}: {held:?}");
        // Its request arrives after all.
        gate.land().await;
        stays(&world).await;
        assert_eq!(list(&world).await, before, "{kind}");
    }
}
