//! Changes that become visible later than their watermark says: late commits, sessions without a transaction
//! id, prepared transactions, and rows that change while they are being written.

use serde_json::{Value as Json, json};
use sqlx::{Connection as _, PgConnection};
use syncbridge_end_to_end::{World, until};

/// Seconds by which a cursor stays below the clock in any case, and one more: only a transaction older than
/// this proves that open transactions hold it.
const PAST_THE_MARGIN: i64 = 11;

const TABLE: &str = "create sequence counter;
    create table t (id int primary key, name text, changed timestamptz not null default now(), number bigint not null);
    insert into t select n, 'row ' || n, '2026-01-01Z', nextval('counter') from generate_series(1, 50) n;";

fn definitions(world: &World) {
    for (name, column) in [("instants", "changed"), ("numbers", "number")] {
        let source = json!({"feed": "watermark", "watermark": column});
        let more = json!({"source": source, "limits": {"pageRows": 20}, "onDelete": "propagate"});
        world.apply(&world.definition(name, "public.t", more)).ok();
    }
}

fn complete(world: &World) {
    for name in ["instants", "numbers"] {
        let report = world.run(name);
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    }
}

async fn session(world: &World) -> PgConnection {
    PgConnection::connect(&world.source.url())
        .await
        .expect("the source answers")
}

async fn say(session: &mut PgConnection, text: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()))
        .execute(session)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
}

/// Waits until the oldest open transaction of the source is so old that only it can hold the cursor.
async fn until_past_the_margin(world: &World, instant: &str) {
    let old = format!(
        "select count(*) from (select 1 where clock_timestamp() - {instant} > interval '{PAST_THE_MARGIN} s') s"
    );
    until("the transaction is older than the margin", || async {
        world.count(&old).await == 1
    })
    .await;
}

/// Other rows change with newer watermarks and are taken over, twice, so that whatever may be adopted is.
async fn others_move_on(world: &World) {
    for round in 0..2 {
        world
            .sql(&format!(
                "update t set name = 'other {round}', changed = clock_timestamp(), number = nextval('counter')
                 where id between 21 and 30"
            ))
            .await;
        complete(world);
    }
    complete(world);
}

async fn assert_arrived(world: &World, rows: i64) {
    complete(world);
    for name in ["instants", "numbers"] {
        world.assert_equal(name, rows);
    }
    // And from now on the cursor is free again: nothing is left to be written.
    world.reset_account().await;
    complete(world);
    assert_eq!(world.spent().await.1, 0);
}

#[tokio::test]
async fn a_05_a_transaction_that_commits_late_with_an_older_watermark_is_not_missed() {
    let world = World::with_private_source().await;
    world.sql(TABLE).await;
    definitions(&world);
    complete(&world);
    let mut late = session(&world).await;
    say(
        &mut late,
        "begin;
         insert into t values (101, 'late', now(), nextval('counter'));
         update t set name = 'late', changed = now(), number = nextval('counter') where id = 1;",
    )
    .await;
    until_past_the_margin(
        &world,
        "(select xact_start from pg_stat_activity where state = 'idle in transaction')",
    )
    .await;
    others_move_on(&world).await;
    say(&mut late, "commit").await;
    assert_arrived(&world, 51).await;
}

#[tokio::test]
async fn a_05_a_transaction_without_an_id_when_the_reader_passed_is_not_missed() {
    let world = World::with_private_source().await;
    world.sql(TABLE).await;
    definitions(&world);
    complete(&world);
    let mut late = session(&world).await;
    // Its clock stands and its number is drawn, in a session that took numbers ahead and so needs no id for it.
    say(
        &mut late,
        "alter sequence counter cache 10; select nextval('counter');
         begin; create temporary table kept as select 1; rollback;
         begin; select now(); select nextval('counter');",
    )
    .await;
    let id: Option<String> = sqlx::query_scalar("select pg_current_xact_id_if_assigned()::text")
        .fetch_one(&mut late)
        .await
        .unwrap();
    assert_eq!(id, None, "the test needs a transaction without an id");
    until_past_the_margin(
        &world,
        "(select xact_start from pg_stat_activity where state = 'idle in transaction')",
    )
    .await;
    others_move_on(&world).await;
    say(
        &mut late,
        "insert into t values (101, 'late', now(), currval('counter'));
         update t set name = 'late', changed = now(), number = currval('counter') where id = 1;
         commit",
    )
    .await;
    assert_arrived(&world, 51).await;
}

#[tokio::test]
async fn a_05_a_prepared_transaction_is_not_missed() {
    let world = World::with_private_source().await;
    world.sql(TABLE).await;
    definitions(&world);
    complete(&world);
    let mut late = session(&world).await;
    say(
        &mut late,
        "begin;
         insert into t values (101, 'late', now(), nextval('counter'));
         update t set name = 'late', changed = now(), number = nextval('counter') where id = 1;
         prepare transaction 'late';",
    )
    .await;
    // No session holds it any more, as after a crash of whoever coordinates.
    late.close().await.unwrap();
    until_past_the_margin(&world, "(select prepared from pg_prepared_xacts)").await;
    others_move_on(&world).await;
    world.sql("commit prepared 'late'").await;
    assert_arrived(&world, 51).await;
}

#[tokio::test]
async fn a_05_what_was_open_during_the_first_copy_is_not_missed() {
    let world = World::with_private_source().await;
    world.sql(TABLE).await;
    definitions(&world);
    let (mut late, mut without) = (session(&world).await, session(&world).await);
    say(
        &mut late,
        "begin;
         insert into t values (-1, 'late', now(), nextval('counter'));
         update t set name = 'late', changed = now(), number = nextval('counter') where id = 1;",
    )
    .await;
    say(&mut without, "begin; select now();").await;
    until_past_the_margin(
        &world,
        "(select max(xact_start) from pg_stat_activity where state = 'idle in transaction')",
    )
    .await;
    complete(&world);
    others_move_on(&world).await;
    say(&mut late, "commit").await;
    complete(&world);
    say(
        &mut without,
        "insert into t values (0, 'later', now(), nextval('counter'));
         update t set name = 'later', changed = now(), number = nextval('counter') where id = 2; commit",
    )
    .await;
    assert_arrived(&world, 52).await;
}

/// Item writes that the simulator has seen, whether or not their answer has left it.
async fn seen(world: &World, kind: &str) -> usize {
    let requests = world.sim_get("requests?limit=1000").await;
    let requests = requests["requests"].as_array().expect("requests").clone();
    requests.iter().filter(|request| request["kind"] == kind).count()
}

/// Changes row 7 a second time while the write of its first change (or of the row itself) is under way; another
/// row's watermark then passes by.
async fn changed_meanwhile(world: &World, name: &str, kind: &str, more: &str) -> Json {
    let before = seen(world, kind).await;
    world
        .faults(json!([{
            "kind": "hang", "on": [kind], "field": "Title", "equals": "first", "millis": 3000, "applied": true,
        }]))
        .await;
    let mut run = world.start(name, &["run", name, "-o", "json"]);
    until("the write is under way", || async {
        seen(world, kind).await > before && run_is_waiting(world).await
    })
    .await;
    world
        .sql(&format!(
            "update t set name = 'second'{more} where id = 7;
             update t set name = 'passes by', changed = clock_timestamp(), number = nextval('counter') where id = 8"
        ))
        .await;
    assert!(
        run.try_wait().expect("a child").is_none(),
        "the run ended before the row changed"
    );
    run.wait().expect("the run ends");
    world.faults(json!([])).await;
    let report = std::fs::read(world.folder.path().join(format!("{name}.out"))).expect("a report");
    serde_json::from_slice(&report).expect("JSON")
}

/// Whether the rule has struck: the write took effect and its answer is held back.
async fn run_is_waiting(world: &World) -> bool {
    world.sim_get("faults").await["faults"][0]["hits"] == 1
}

/// Row 7 changes once more while its first state is written: when it is copied, and again when a change of it is.
async fn a_second_change_follows(name: &str, source: Json, stamp: &str) {
    let world = World::new().await;
    world.sql(TABLE).await;
    let first = "update t set name = 'first', changed = now(), number = nextval('counter') where id = 7";
    world.sql(first).await;
    world
        .apply(&world.definition(
            name,
            "public.t",
            json!({"source": source, "onDelete": "propagate"}),
        ))
        .ok();
    let report = changed_meanwhile(&world, name, "create", stamp).await;
    assert_eq!(report["outcome"]["counters"]["created"], 50, "{report:#}");
    follows(&world, name).await;
    world.sql(first).await;
    let report = changed_meanwhile(&world, name, "patch", stamp).await;
    assert_eq!(report["outcome"]["counters"]["patched"], 1, "{report:#}");
    follows(&world, name).await;
}

#[tokio::test]
async fn a_05_a_row_changed_again_while_it_is_applied_is_not_lost_to_a_watermark_of_instants() {
    let source = json!({"feed": "watermark", "watermark": "changed"});
    a_second_change_follows("instants", source, ", changed = clock_timestamp()").await;
}

#[tokio::test]
async fn a_05_a_row_changed_again_under_the_same_watermark_is_not_lost() {
    let source = json!({"feed": "watermark", "watermark": "changed"});
    a_second_change_follows("ties", source, "").await;
}

#[tokio::test]
async fn a_05_a_row_changed_again_while_it_is_applied_is_not_lost_to_a_watermark_of_numbers() {
    let source = json!({"feed": "watermark", "watermark": "number"});
    a_second_change_follows("numbers", source, ", number = nextval('counter')").await;
}

#[tokio::test]
async fn a_05_a_row_changed_again_while_it_is_applied_is_not_lost_to_a_full_scan() {
    a_second_change_follows("scanned", json!({"feed": "full_scan"}), "").await;
}

/// The next run writes what the last one could not know, and is the last to write.
async fn follows(world: &World, name: &str) {
    world.item_where(name, "Title", &json!("first")).await;
    for patches in [2, 0] {
        world.reset_account().await;
        let report = world.run(name);
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
        assert_eq!(world.writes().await.patches, patches, "{name}: {report:#}");
    }
    world.assert_equal(name, 50);
}
