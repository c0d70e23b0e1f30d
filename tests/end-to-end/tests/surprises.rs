//! What no side does on purpose to us: keys that change places, changes that overtake their own way across, counters
//! that move by themselves, items that are called deleted while they are only out of sight.

use serde_json::{Value as Json, json};
use sqlx::{Connection as _, PgConnection};
use syncbridge_end_to_end::proxy::Passing;
use syncbridge_end_to_end::{World, Writes, until};

const TABLE: &str = "create table t (id int primary key, code text not null, note text);
    insert into t select n, 'code ' || n, 'note ' || n from generate_series(1, 6) n;";

/// Rows in the tests below.
const ROWS: i64 = 6;

const DIRECTIONS: [&str; 2] = ["push", "both"];

/// A definition at rest. Nobody vouches that everything can be seen.
async fn at_rest(world: &World, direction: &str) {
    world.sql(TABLE).await;
    let mut spec = json!({"direction": direction, "onDelete": "propagate"});
    if direction == "both" {
        spec["twoWay"] = json!({"deleteDelay": "off", "lossy": "allow"});
    }
    world.applied(spec);
    world.completed(&[]).await;
}

async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

async fn note(world: &World, code: &str) -> Option<String> {
    sqlx::query_scalar("select note from t where code = $1")
        .bind(code)
        .fetch_one(world.source_pool())
        .await
        .expect("one row")
}

async fn nothing_is_left(world: &World, what: &str) {
    assert_eq!(
        (world.conflicts_kept().await, world.quarantined().await),
        (0, 0),
        "{what}"
    );
    world.assert_equal("t", ROWS);
    assert_eq!(world.items("t").await.len() as i64, ROWS, "{what}");
}

/// Something a person does to an item that is no edit.
async fn person(world: &World, item: &Json, act: &str) {
    let path = format!("lists/{}/items/{}/{act}", world.list_id("t").await, item["id"]);
    world.sim_send("POST", &path, &json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_15_rows_that_change_keys_with_each_other_in_one_transaction_lose_nothing() {
    for direction in DIRECTIONS {
        let world = World::new().await;
        at_rest(&world, direction).await;
        world.reset_account().await;
        world
            .sql(
                "begin;
                 update t set id = -1 where id = 1;
                 update t set id = 1 where id = 2;
                 update t set id = 2 where id = -1;
                 commit",
            )
            .await;
        world.until_nothing_happens().await;
        let writes = world.writes().await;
        assert_eq!((writes.creates, writes.deletes), (0, 0), "{direction}");
        assert_eq!(world.count("select count(*) from t").await, ROWS, "{direction}");
        assert_eq!(
            item(&world, "code 1").await["fields"]["Note"],
            "note 1",
            "{direction}"
        );
        nothing_is_left(&world, direction).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_15_a_row_that_changes_while_its_change_is_under_way_arrives_as_it_is_last() {
    for direction in DIRECTIONS {
        let mut world = World::new().await;
        let proxy = world.behind_proxy().await;
        at_rest(&world, direction).await;
        world.sql("update t set note = 'first' where id = 3").await;
        let gate = proxy.hold_first(Passing::writes_items);
        let mut child = world.start("run", &["run", "t"]);
        gate.reached().await;
        world.sql("update t set note = 'second' where id = 3").await;
        gate.open();
        child.wait().expect("it ends");
        proxy.clear();
        world.until_nothing_happens().await;
        assert_eq!(
            item(&world, "code 3").await["fields"]["Note"],
            "second",
            "{direction}"
        );
        assert_eq!(
            note(&world, "code 3").await.as_deref(),
            Some("second"),
            "{direction}"
        );
        nothing_is_left(&world, direction).await;
    }
}

/// Commits that wait while somebody holds the lock; it takes longer than locks of ours may take, so it is exempt.
const SLOW_COMMITS: &str =
    "create function wait() returns trigger language plpgsql set lock_timeout = 0 as $$ begin
        perform pg_advisory_xact_lock_shared(15); return null; end $$;
    create constraint trigger wait after update on t
        deferrable initially deferred for each row execute function wait();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_15_an_item_that_is_edited_while_its_edit_is_under_way_arrives_as_it_is_last() {
    let world = World::new().await;
    at_rest(&world, "both").await;
    world.sql(SLOW_COMMITS).await;
    let mut holder = PgConnection::connect(&world.source.url())
        .await
        .expect("the source answers");
    let say = async |holder: &mut PgConnection, text: &'static str| {
        sqlx::raw_sql(text).execute(holder).await.expect("it is done");
    };
    say(&mut holder, "select pg_advisory_lock(15)").await;
    let edited = item(&world, "code 3").await;
    world.person_edits("t", &edited, &json!({"Note": "first"})).await;
    let mut child = world.start("run", &["run", "t"]);
    until("the source commits", || async {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and query = 'COMMIT' and wait_event = 'advisory'";
        world.count(waiting).await == 1
    })
    .await;
    world.person_edits("t", &edited, &json!({"Note": "second"})).await;
    say(&mut holder, "select pg_advisory_unlock(15)").await;
    child.wait().expect("it ends");
    world.until_nothing_happens().await;
    assert_eq!(note(&world, "code 3").await.as_deref(), Some("second"));
    nothing_is_left(&world, "an edit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_15_counters_that_move_by_themselves_are_neither_edits_nor_in_the_way_of_any() {
    for direction in DIRECTIONS {
        let world = World::new().await;
        at_rest(&world, direction).await;
        for moved in world.items("t").await {
            person(&world, &moved, "touch").await;
        }
        assert_eq!(world.completed(&[]).await, Writes::NONE, "{direction}");
        if direction == "both" {
            let edited = item(&world, "code 2").await;
            world.person_edits("t", &edited, &json!({"Note": "theirs"})).await;
            person(&world, &edited, "touch").await;
        }
        world.sql("update t set note = 'ours' where id = 4").await;
        person(&world, &item(&world, "code 4").await, "touch").await;
        world.until_nothing_happens().await;
        assert_eq!(
            item(&world, "code 4").await["fields"]["Note"],
            "ours",
            "{direction}"
        );
        if direction == "both" {
            assert_eq!(note(&world, "code 2").await.as_deref(), Some("theirs"));
        }
        nothing_is_left(&world, direction).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_15_an_item_out_of_sight_that_is_called_deleted_costs_no_row_and_no_second_item() {
    for direction in DIRECTIONS {
        let world = World::with(|options| {
            let told = r#"{"unseen_in_delta": "deleted"}"#;
            options.extra.extend(["--behaviour".into(), told.into()]);
        })
        .await;
        at_rest(&world, direction).await;
        let hidden = [item(&world, "code 2").await, item(&world, "code 4").await];
        for hidden in &hidden {
            person(&world, hidden, "hide").await;
        }
        world.reset_account().await;
        world.run("t");
        // One of the rows changes while nobody sees its item.
        world.sql("update t set note = 'ours' where id = 4").await;
        world.run("t");
        world.run_with("t", &["--full"]);
        assert_eq!(world.count("select count(*) from t").await, ROWS, "{direction}");
        let writes = world.writes().await;
        assert_eq!((writes.creates, writes.deletes), (0, 0), "{direction}");
        for hidden in &hidden {
            person(&world, hidden, "show").await;
        }
        sqlx::query("update quarantine set retry_at = now()")
            .execute(world.meta_pool())
            .await
            .expect("the statement is right");
        world.until_nothing_happens().await;
        assert_eq!(
            item(&world, "code 4").await["fields"]["Note"],
            "ours",
            "{direction}"
        );
        nothing_is_left(&world, direction).await;
    }
}
