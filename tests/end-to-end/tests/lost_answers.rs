//! A-9: answers that get lost, and processes that wake too late.
//!
//! Every test ends with the same question: one item a row, the newest value in it, nothing left open, and no
//! conflict on record, since no person ever edited the list.

use std::process::Child;

use serde_json::{Value as Json, json};
use syncbridge_devstack::process::{self, Action};
use syncbridge_end_to_end::proxy::{Fate, Gate, Passing, Proxy};
use syncbridge_end_to_end::{World, Writes, until};

/// `rows` rows with a text, a number that may be NULL, and a time of last change.
fn table(rows: u32) -> String {
    format!(
        "create table t (id int primary key, name text not null, note text, amount numeric(10,2),
                         changed timestamptz not null default clock_timestamp());
         insert into t select n, 'row ' || n, null, n / 4.0 from generate_series(1, {rows}) n;"
    )
}

fn settings(feed: &str) -> Json {
    let source = match feed {
        "watermark" => json!({"feed": "watermark", "watermark": "changed"}),
        _ => json!({"feed": "full_scan"}),
    };
    json!({"source": source, "onDelete": "propagate"})
}

/// A world with a proxy, short leases and the table, applied.
async fn behind_proxy(rows: u32) -> (World, Proxy) {
    let mut world = World::new().await;
    world.shorten_leases();
    let proxy = world.behind_proxy().await;
    world.sql(&table(rows)).await;
    world
        .apply(&world.definition("t", "public.t", settings("full_scan")))
        .ok();
    (world, proxy)
}

async fn equal_and_at_rest(world: &World) {
    let rows = world.count("select count(*) from t").await;
    world.assert_equal("t", rows);
    world.assert_at_rest().await;
    assert_eq!(world.items("t").await.len() as i64, rows, "one item a row");
}

// ---------------------------------------------------------------------------------------------- lost answers

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_answers_of_whole_batches_cut_after_they_took_effect_duplicate_nothing() {
    let (world, proxy) = behind_proxy(300).await;
    let mut seen = 0;
    let cutting = move |passing: &Passing| {
        if !passing.writes_items() {
            return Fate::Forward;
        }
        seen += 1;
        if seen % 2 == 1 {
            Fate::CutAfter
        } else {
            Fate::Forward
        }
    };
    proxy.script(cutting);
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    assert_eq!(world.writes().await.creates, 300, "no item was made twice");

    world.reset_account().await;
    world
        .sql("update t set name = 'new ' || id, note = 'n' where id <= 150; delete from t where id > 280")
        .await;
    proxy.script(cutting);
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 0,
            patches: 150,
            deletes: 20
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_answers_of_single_writes_cut_after_they_took_effect_duplicate_nothing() {
    let (world, proxy) = behind_proxy(3).await;
    for statement in [
        "select 1",
        "insert into t values (4, 'four')",
        "update t set name = 'changed' where id = 2",
        "update t set note = 'a note' where id = 2",
        "delete from t where id = 3",
    ] {
        world.sql(statement).await;
        let mut cut = 0;
        proxy.script(move |passing| {
            if passing.writes_items() && cut < 2 {
                cut += 1;
                return Fate::CutAfter;
            }
            Fate::Forward
        });
        world.run_to_end("t", &[]).await;
        equal_and_at_rest(&world).await;
    }
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 4,
            patches: 2,
            deletes: 1
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_the_source_changes_while_lost_answers_are_sorted_out() {
    let (world, proxy) = behind_proxy(40).await;
    let change = |round: u32| {
        format!(
            "update t set name = 'round {round} of ' || id, note = case when note is null then 'x' end
             where id % 3 = {round} % 3"
        )
    };
    for round in 0..4 {
        // Answers to writes are lost, and the process dies before it can look what became of them.
        let gate = Gate::default();
        let (mut lost, held) = (0, gate.clone());
        proxy.script(move |passing| {
            if passing.writes_items() {
                lost += 1;
                return Fate::CutAfter;
            }
            if lost > 0 {
                Fate::Hold(held.clone())
            } else {
                Fate::Forward
            }
        });
        let mut running = world.start("killed", &["run", "t"]);
        gate.reached().await;
        running.kill().expect("it runs");
        running.wait().expect("it ends");
        gate.open();
        world.sql(&change(round)).await;
        proxy.clear();
        world.run_to_end("t", &[]).await;
        equal_and_at_rest(&world).await;
        world.sql(&change(round + 1)).await;
    }
    assert_eq!(world.writes().await.creates, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_connections_refused_after_a_lost_answer_close_nothing_as_not_done() {
    let (world, mut proxy) = behind_proxy(12).await;
    world.run_to_end("t", &[]).await;
    world
        .sql(
            "update t set name = 'second', note = 'n' where id <= 6;
              insert into t select n, 'new' from generate_series(20, 25) n",
        )
        .await;
    let gate = Gate::default();
    let held = gate.clone();
    proxy.script(move |passing| {
        if passing.writes_items() {
            return Fate::HoldAnswer(held.clone());
        }
        Fate::Forward
    });
    let mut running = world.start("refused", &["run", "t", "-o", "json"]);
    gate.reached().await;
    proxy.refuse_connections().await;
    let ended = tokio::task::block_in_place(|| running.wait()).expect("it ends");
    assert_eq!(ended.code(), Some(1), "it gave up");
    // Both changed again: what the list shows now is neither what was agreed nor what the table holds.
    world
        .sql("update t set name = 'third', note = null where id <= 6; update t set note = 'm' where id >= 20")
        .await;
    proxy.clear();
    proxy.listen_again().await;
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
}

#[tokio::test]
async fn a_09_lost_answers_of_the_simulator_duplicate_nothing_in_both_feeds() {
    for feed in ["watermark", "full_scan"] {
        let world = World::new().await;
        world.sql(&table(400)).await;
        world
            .apply(&world.definition("t", "public.t", settings(feed)))
            .ok();
        world
            .faults(json!([
                {"kind": "lost_answer", "on": ["create", "patch", "delete"], "every": 7},
                {"kind": "lost_answer", "on": ["batch"], "every": 5},
                {"kind": "lost_before", "on": ["write"], "every": 11},
            ]))
            .await;
        world.run_to_end("t", &[]).await;
        assert_eq!(
            world.writes().await.creates,
            400,
            "{feed}: no item was made twice"
        );
        world
            .sql(
                "update t set name = name || '!', note = 'n', changed = clock_timestamp() where id <= 200;
                  delete from t where id > 370",
            )
            .await;
        world.run_to_end("t", &["--full"]).await;
        equal_and_at_rest(&world).await;
        let writes = world.writes().await;
        assert_eq!(
            (writes.creates, writes.patches, writes.deletes),
            (400, 200, 30),
            "{feed}"
        );
    }
}

// -------------------------------------------------------------------------------------- answers of other kinds

async fn survives(kinds: Vec<Json>) {
    let world = World::new().await;
    world.sql(&table(12)).await;
    world
        .apply(&world.definition("t", "public.t", settings("full_scan")))
        .ok();
    world.run_to_end("t", &[]).await;
    for (at, rules) in kinds.into_iter().enumerate() {
        let name = rules.to_string();
        world.faults(rules).await;
        world.reset_account().await;
        world
            .sql(&format!(
                "update t set name = 'kind {at} of ' || id;
                 insert into t select n, 'new' from generate_series({0}, {0} + 3) n;
                 delete from t where id = {at} + 1",
                1000 + at * 10
            ))
            .await;
        world.run_to_end("t", &[]).await;
        let rows = world.count("select count(*) from t").await;
        let expected = Writes {
            creates: 4,
            patches: rows as u64 - 4,
            deletes: 1,
        };
        assert_eq!(world.writes().await, expected, "{name}");
        let struck = world.sim_get("faults").await;
        equal_and_at_rest(&world).await;
        let strikes = |rule: &Json| rule["hits"].as_u64().expect("a count of strikes");
        let rules = struck["faults"].as_array().expect("rules");
        assert!(
            rules.iter().all(|rule| strikes(rule) > 0),
            "it never happened: {struck:#}"
        );
    }
}

#[tokio::test]
async fn a_09_gateway_errors_inside_and_outside_batches_are_survived() {
    survives(vec![
        json!([{"kind": "server_error", "status": 504, "body": "html", "on": ["write"], "every": 3}]),
        json!([{"kind": "server_error", "status": 504, "body": "html", "on": ["batch"], "times": 2}]),
        json!([{"kind": "server_error", "status": 504, "body": "html", "applied": true, "on": ["write"], "every": 3}]),
        json!([{"kind": "server_error", "status": 503, "body": "empty", "on": ["batch"], "times": 2}]),
        json!([{"kind": "server_error", "status": 503, "body": "empty", "on": ["write"], "every": 4}]),
    ])
    .await;
}

#[tokio::test]
async fn a_09_throttled_parts_and_refusals_without_cause_are_survived() {
    survives(vec![
        json!([{"kind": "throttle", "on": ["write"], "every": 4, "retry_after": "1"}]),
        json!([{"kind": "throttle", "on": ["write"], "every": 4, "retry_after": "0.249"}]),
        json!([{"kind": "throttle", "on": ["write"], "every": 4, "retry_after": "date:1"}]),
        json!([{"kind": "throttle", "on": ["batch"], "times": 2, "retry_after": "0.1", "status": 503}]),
        json!([{"kind": "precondition", "on": ["patch", "delete"], "every": 2}]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_refused_connections_for_a_while_lose_nothing() {
    let (world, mut proxy) = behind_proxy(60).await;
    let gate = proxy.hold_first(|passing| passing.writes_items());
    let mut running = world.start("away", &["run", "t", "-o", "json"]);
    gate.reached().await;
    proxy.refuse_connections().await;
    let log = world.folder.path().join("away.err");
    until("a connection was refused", || async {
        let log = std::fs::read_to_string(&log).expect("its log");
        log.contains(r#""kind":"Connect""#)
    })
    .await;
    proxy.clear();
    proxy.listen_again().await;
    gate.open();
    tokio::task::block_in_place(|| running.wait()).expect("it ends");
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    assert_eq!(world.writes().await.creates, 60);
}

#[tokio::test]
async fn a_09_a_mix_of_faults_over_thousands_of_writes_loses_and_duplicates_nothing() {
    let world = World::new().await;
    world.sql(&table(1_500)).await;
    world
        .apply(&world.definition("t", "public.t", settings("watermark")))
        .ok();
    world
        .faults(json!([
            {"kind": "lost_answer", "on": ["write"], "probability": 0.03},
            {"kind": "lost_before", "on": ["write"], "probability": 0.02},
            {"kind": "lost_answer", "on": ["batch"], "probability": 0.05},
            {"kind": "server_error", "status": 504, "body": "html", "on": ["write"], "probability": 0.01},
            {"kind": "server_error", "status": 504, "body": "html", "applied": true, "on": ["write"], "probability": 0.01},
            {"kind": "server_error", "status": 503, "body": "empty", "on": ["batch"], "probability": 0.02},
            {"kind": "throttle", "on": ["write"], "probability": 0.01, "retry_after": "0.05"},
            {"kind": "precondition", "on": ["patch", "delete"], "probability": 0.02},
            {"kind": "lost_answer", "on": ["read"], "probability": 0.02},
        ]))
        .await;
    world.run_to_end("t", &[]).await;
    assert_eq!(world.writes().await.creates, 1_500);
    for round in 0..2 {
        world
            .sql(&format!(
                "update t set name = 'round {round} of ' || id, note = case when note is null then 'n' end,
                              changed = clock_timestamp() where id % 2 = {round};
                 delete from t where id between 1450 - {round} * 30 and 1470 - {round} * 30"
            ))
            .await;
        world.run_to_end("t", &["--full"]).await;
    }
    assert_eq!(world.writes().await.creates, 1_500, "nothing was made twice");
    world.faults(json!([])).await;
    equal_and_at_rest(&world).await;
}

// ----------------------------------------------------------------------------------- stopped and woken workers

/// A worker that was stopped while a write of its was in the network.
struct Stopped {
    child: Child,
    gate: Gate,
}

/// Starts a run, holds its first wanted write back in the network and stops the process.
async fn stop_before(
    world: &World,
    proxy: &Proxy,
    wanted: impl Fn(&Passing) -> bool + Send + 'static,
) -> Stopped {
    let gate = proxy.hold_first(wanted);
    let child = world.start("stopped", &["run", "t", "-o", "json"]);
    gate.reached().await;
    process::send(child.id(), Action::Freeze).expect("it is there");
    Stopped { child, gate }
}

/// What must not change by itself: ledger, effects, dirty rows.
async fn memory(world: &World) -> String {
    let text: Option<String> = sqlx::query_scalar(
        "select string_agg(line, E'\\n' order by line) from (
            select 'ledger ' || encode(identity, 'hex') || ' ' || row_version || ' ' || version || ' ' || state as line from ledger
            union all select 'effect ' || effect_id || ' ' || state from effects
            union all select 'dirty ' || encode(identity, 'hex') || ' ' || sequence from dirty
            union all select 'history ' || count(*) from ledger_history) lines",
    )
    .fetch_one(world.meta_pool())
    .await
    .expect("the meta-store answers");
    text.unwrap_or_default()
}

impl Stopped {
    /// Lets the process go on; it must fail because its lease is lost, and write nothing.
    async fn wakes_in_vain(mut self, world: &World) {
        let before = memory(world).await;
        process::send(self.child.id(), Action::Resume).expect("it is there");
        tokio::task::block_in_place(|| self.child.wait()).expect("it ends");
        let out = std::fs::read_to_string(world.folder.path().join("stopped.out")).expect("its output");
        let report: Json = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        assert_eq!(report["outcome"]["state"], "failed", "{report:#}");
        assert_eq!(report["outcome"]["failure"]["code"], "lease.lost", "{report:#}");
        assert_eq!(
            memory(world).await,
            before,
            "the stale process wrote to the meta-store"
        );
    }
}

/// One late write: what the source does before the first run, and between the two.
struct Late {
    /// Makes the write that is held back.
    before: &'static str,
    /// What the source does while it is held back.
    meanwhile: &'static str,
    /// Whether the request arrives before the process wakes, or after.
    lands_first: bool,
}

async fn a_late_write_changes_nothing_at_rest(late: Late) {
    let (world, proxy) = behind_proxy(6).await;
    world.run_to_end("t", &[]).await;
    world.sql(late.before).await;
    let stopped = stop_before(&world, &proxy, Passing::writes_items).await;
    world.sql(late.meanwhile).await;
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    let gate = stopped.gate.clone();
    if late.lands_first {
        gate.land().await;
        stopped.wakes_in_vain(&world).await;
    } else {
        stopped.wakes_in_vain(&world).await;
        gate.land().await;
    }
    // Whatever it did is ours, and a run sees to it; the delay until it is looked for again is not waited for.
    world.probe_armed_now().await;
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    // And a later change of the row finds nothing strange.
    world.sql("update t set name = 'at last', note = 'n'").await;
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_patch_that_lands_after_another_worker_took_over_never_wins() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "update t set name = 'first' where id = 3",
        meanwhile: "update t set name = 'second', note = 'n' where id = 3",
        lands_first: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_patch_that_lands_after_the_row_went_back_to_what_was_agreed_never_wins() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "update t set name = 'first' where id = 3",
        meanwhile: "update t set name = 'row 3' where id = 3",
        lands_first: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_patch_that_lands_after_its_row_was_deleted_changes_nothing() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "update t set name = 'first' where id = 3",
        meanwhile: "delete from t where id = 3",
        lands_first: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_delete_that_lands_after_its_row_came_back_deletes_nothing() {
    a_late_write_changes_nothing_at_rest(Late {
        // To the microsecond the same row: there is nothing to write, and still the delete must not win.
        before: "create table kept as table t; delete from t where id = 3",
        meanwhile: "insert into t select * from kept where id = 3",
        lands_first: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_delete_that_lands_after_its_row_came_back_changed_deletes_nothing() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "delete from t where id = 3",
        meanwhile: "insert into t (id, name) values (3, 'another')",
        lands_first: false,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_create_that_lands_after_another_worker_made_the_item_makes_no_second_one() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "insert into t values (7, 'seven')",
        meanwhile: "update t set name = 'new seven', note = 'n' where id = 7",
        lands_first: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_create_that_lands_after_its_row_is_gone_is_deleted_by_its_armed_effect() {
    a_late_write_changes_nothing_at_rest(Late {
        before: "insert into t values (7, 'seven')",
        meanwhile: "delete from t where id = 7",
        lands_first: true,
    })
    .await;
}

// -------------------------------------------------------------------------------- several writes of one row

/// Kills a run that was left running.
fn kill(mut child: Child) {
    child.kill().expect("it is there");
    child.wait().expect("it ends");
}

/// Starts a run whose first write stays in the network, and kills it there.
async fn write_left_in_the_network(world: &World, proxy: &Proxy) -> Gate {
    let gate = proxy.hold_first(Passing::writes_items);
    let child = world.start("killed", &["run", "t"]);
    gate.reached().await;
    kill(child);
    world.lease_runs_out("t").await;
    gate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_an_earlier_create_that_lands_before_a_later_one_is_brought_up_to_date() {
    for killed in [false, true] {
        let (world, proxy) = behind_proxy(3).await;
        world.run_to_end("t", &[]).await;
        world.sql("insert into t values (7, 'first')").await;
        let first = write_left_in_the_network(&world, &proxy).await;
        world
            .sql("update t set name = 'second', note = 'n' where id = 7")
            .await;
        let second = Gate::default();
        let answer = Gate::default();
        let (mut writes, at, behind) = (0, second.clone(), answer.clone());
        proxy.script(move |passing| {
            writes += u32::from(passing.writes_items());
            match (writes, passing.writes_items()) {
                (1, true) => Fate::Hold(at.clone()),
                // What the refused process asks next; it never learns it where it is killed.
                (1.., false) if killed => Fate::HoldAnswer(behind.clone()),
                _ => Fate::Forward,
            }
        });
        let mut child = world.start("second", &["run", "t"]);
        second.reached().await;
        let landed = first.land().await;
        assert!(landed.starts_with("HTTP/1.1 201"), "the first create landed late");
        let refused = second.land().await;
        assert!(
            refused.starts_with("HTTP/1.1 409"),
            "the second create found it there"
        );
        if killed {
            answer.reached().await;
            kill(child);
            answer.open();
            world.lease_runs_out("t").await;
        } else {
            let ended = tokio::task::block_in_place(|| child.wait()).expect("it ends");
            assert_eq!(ended.code(), Some(0), "one run sorts it out");
        }
        proxy.clear();
        world.run_to_end("t", &[]).await;
        equal_and_at_rest(&world).await;
        assert_eq!(
            world.effects().await.armed,
            0,
            "the first create is accounted for"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_an_item_made_late_for_a_row_that_came_back_is_that_rows_item() {
    let (world, proxy) = behind_proxy(3).await;
    world.run_to_end("t", &[]).await;
    world.sql("insert into t values (7, 'first')").await;
    let first = write_left_in_the_network(&world, &proxy).await;
    proxy.clear();
    world.sql("delete from t where id = 7").await;
    world.run_to_end("t", &[]).await;
    first.land().await;
    world.sql("insert into t values (7, 'second', 'was empty')").await;
    world.run_to_end("t", &[]).await;
    equal_and_at_rest(&world).await;
    assert_eq!(world.effects().await.armed, 0, "the late create is accounted for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_09_a_person_who_typed_a_part_of_a_lost_write_does_not_hide_the_rest_of_it() {
    for reverted in [false, true] {
        let (world, proxy) = behind_proxy(3).await;
        world.run_to_end("t", &[]).await;
        world
            .sql("update t set name = 'new', note = 'n' where id = 2")
            .await;
        let gate = write_left_in_the_network(&world, &proxy).await;
        proxy.clear();
        let item = world.item_where("t", "Title", &json!("row 2")).await;
        world.person_edits("t", &item, &json!({"Title": "new"})).await;
        gate.land().await;
        if reverted {
            world
                .sql("update t set name = 'row 2', note = null where id = 2")
                .await;
        }
        world.run_to_end("t", &[]).await;
        equal_and_at_rest(&world).await;
    }
}
