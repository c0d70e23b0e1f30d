//! Mistakes that must never empty a table or a list where both sides are written: people who empty a list, a list that is
//! gone, a list that hides items, tokens that are lost or no longer understood, and the guards that stand before every
//! deletion, whichever side it comes from.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{CLIENT_ID, World, Writes};

const ROWS: i64 = 120;

/// Both ways, deletions travel, and a person vouched that nothing is hidden.
fn spec(more: Json) -> Json {
    let mut spec = json!({"direction": "both", "onDelete": "propagate",
        "twoWay": {"fullVisibility": "attested", "deleteDelay": "off", "lossy": "allow"}});
    for (key, value) in more.as_object().expect("an object") {
        spec[key] = value.clone();
    }
    spec
}

async fn synced(world: &World, more: Json) {
    world
        .sql(&format!(
            "create table t (id int primary key, code text not null, note text);
             insert into t select n, 'code ' || n, 'note ' || n from generate_series(1, {ROWS}) n;"
        ))
        .await;
    world.applied(spec(more));
    world.completed(&[]).await;
    assert_eq!(world.completed(&[]).await, Writes::NONE);
}

async fn both(more: Json) -> World {
    let world = World::new().await;
    synced(&world, more).await;
    world
}

async fn item(world: &World, number: i64) -> Json {
    world
        .item_where("t", "Code", &json!(format!("code {number}")))
        .await
}

/// People delete the items of these rows.
async fn deleted_in_the_list(world: &World, numbers: std::ops::RangeInclusive<i64>) {
    for number in numbers {
        let theirs = item(world, number).await;
        world.person_deletes("t", &theirs).await;
    }
}

async fn rows(world: &World) -> i64 {
    world.count("select count(*) from t").await
}

async fn act(world: &World, item: &Json, act: &str) {
    world
        .sim_send("POST", &format!("lists/t/items/{}/{act}", item["id"]), &json!({}))
        .await;
}

/// The next run finds that the list no longer knows its token.
async fn token_lost(world: &World) {
    world
        .faults(json!([{"kind": "resync", "on": ["delta"], "times": 1}]))
        .await;
}

/// Every kind of run that could notice something missing: none deletes anything on either side.
async fn nothing_is_deleted(world: &World, kept: (i64, usize), states: &[&str]) {
    for more in [&[][..], &["--full"], &["--reset-cursor"]] {
        world.reset_account().await;
        let mut args = vec!["run", "t", "-o", "json"];
        args.extend(more);
        let ran = world.command(&args);
        if ran.output.stdout.is_empty() {
            assert_ne!(ran.code(), 0, "{more:?}: {}", ran.err());
        } else {
            let report = ran.json();
            let state = report["outcome"]["state"].as_str().expect("a state");
            assert!(states.contains(&state), "{more:?}: {report:#}");
            assert_eq!(
                report["outcome"]["counters"]["deleted_rows"], 0,
                "{more:?}: {report:#}"
            );
        }
        assert_eq!(world.writes().await.deletes, 0, "{more:?}");
    }
    assert_eq!((rows(world).await, world.items("t").await.len()), kept);
}

#[tokio::test]
async fn c_07_a_list_that_people_empty_empties_no_table() {
    let world = both(json!({})).await;
    deleted_in_the_list(&world, 1..=ROWS).await;
    nothing_is_deleted(&world, (ROWS, 0), &["completed_with_errors"]).await;
    // One more than a person lets pass holds all of them; as many as that go.
    let (_, report) = world
        .ended("t", &["--allow-deletes", "119"], "completed_with_errors")
        .await;
    assert_eq!(report["outcome"]["counters"]["deleted_rows"], 0, "{report:#}");
    world.completed(&["--allow-deletes", "120"]).await;
    assert_eq!(rows(&world).await, 0);
}

#[tokio::test]
async fn c_07_a_table_that_is_truncated_empties_no_list_and_an_emptied_list_no_table() {
    let world = both(json!({})).await;
    world.sql("truncate t").await;
    nothing_is_deleted(&world, (0, 120), &["completed_with_errors"]).await;
    // The rows come back, and are the rows of their items.
    world
        .sql("insert into t select n, 'code ' || n, 'note ' || n from generate_series(1, 120) n")
        .await;
    assert_eq!(world.completed(&["--full"]).await, Writes::NONE);
    world.assert_equal("t", ROWS);
}

#[tokio::test]
async fn c_07_deletions_of_both_sides_are_one_leak() {
    let world = both(json!({"guards": {"deletes": {"count": 10, "share": 0.0, "window": "1h"}}})).await;
    deleted_in_the_list(&world, 1..=4).await;
    world.completed(&[]).await;
    world.sql("delete from t where id between 5 and 8").await;
    world.completed(&[]).await;
    assert_eq!((rows(&world).await, world.items("t").await.len()), (112, 112));
    // The third wave would make twelve, whichever side it comes from.
    deleted_in_the_list(&world, 9..=12).await;
    nothing_is_deleted(&world, (112, 108), &["completed_with_errors"]).await;
    world.completed(&["--allow-deletes", "4"]).await;
    assert_eq!(rows(&world).await, 108);
}

#[tokio::test]
async fn c_07_while_a_sentinel_is_missing_no_row_goes_with_its_item() {
    let world = both(json!({"guards": {"sentinels": [1, 77]}})).await;
    // People take the item of a sentinel away: its row is not deleted either, since it would be missing then.
    deleted_in_the_list(&world, 77..=78).await;
    let edited = item(&world, 9).await;
    world.person_edits("t", &edited, &json!({"Note": "typed"})).await;
    world.sql("delete from t where id = 1").await;
    let report = world.run_with("t", &["--allow-deletes", "120"]);
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert!(
        report["outcome"]["notices"]
            .to_string()
            .contains("sentinel 1 of 2 in `guards.sentinels` (id) is not in the table"),
        "{report:#}"
    );
    assert_eq!(rows(&world).await, ROWS - 1);
    assert_eq!(world.items("t").await.len(), 118);
    let typed = world
        .count("select count(*) from t where id = 9 and note = 'typed'")
        .await;
    assert_eq!(typed, 1, "everything else goes on");
    nothing_is_deleted(&world, (ROWS - 1, 118), &["completed_with_errors"]).await;
}

#[tokio::test]
async fn c_07_in_a_freeze_window_no_row_goes_with_its_item() {
    let world = both(json!({})).await;
    let clock = async |hours: i64| -> String {
        let shown = format!(
            "select to_char(now() at time zone 'Asia/Kathmandu' + interval '{hours} hours', 'HH24:MI')"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(shown))
            .fetch_one(world.source_pool())
            .await
            .expect("the source answers")
    };
    let window = async |from, to| {
        let window = json!({"from": clock(from).await, "to": clock(to).await, "timeZone": "Asia/Kathmandu"});
        json!({"guards": {"freeze": [window]}})
    };
    world.applied(spec(window(-1, 1).await));
    deleted_in_the_list(&world, 4..=5).await;
    let report = world.run_with("t", &["--allow-deletes", "2"]);
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert!(
        report["outcome"]["notices"].to_string().contains("freeze window"),
        "{report:#}"
    );
    nothing_is_deleted(&world, (ROWS, 118), &["completed_with_errors"]).await;
    world.applied(spec(window(3, 5).await));
    world.completed(&[]).await;
    assert_eq!(rows(&world).await, 118);
    world.assert_equal("t", 118);
}

#[tokio::test]
async fn c_07_what_a_lost_token_leaves_out_is_suspected_only() {
    let world = both(json!({})).await;
    deleted_in_the_list(&world, 1..=3).await;
    let edited = item(&world, 9).await;
    world.person_edits("t", &edited, &json!({"Note": "typed"})).await;
    token_lost(&world).await;
    // The whole list is read: that three items are not in it proves nothing of their rows.
    let (writes, report) = world.ended("t", &[], "completed_with_errors").await;
    assert_eq!(
        (writes, &report["outcome"]["counters"]["deleted_rows"]),
        (Writes::NONE, &json!(0)),
        "{report:#}"
    );
    assert_eq!(rows(&world).await, ROWS);
    let typed = world
        .count("select count(*) from t where id = 9 and note = 'typed'")
        .await;
    assert_eq!(typed, 1, "what people typed meanwhile arrives");
    nothing_is_deleted(&world, (ROWS, 117), &["completed_with_errors"]).await;
    // A person looked, and lets them go.
    world.completed(&["--approve"]).await;
    assert_eq!(rows(&world).await, 117);
    world.assert_equal("t", 117);
}

#[tokio::test]
async fn c_07_an_approval_is_no_leave_to_empty_a_table() {
    let world = both(json!({})).await;
    deleted_in_the_list(&world, 1..=ROWS).await;
    token_lost(&world).await;
    nothing_is_deleted(&world, (ROWS, 0), &["completed_with_errors", "failed"]).await;
    // That they are gone is approved; that it may be so many is another question.
    world.run_with("t", &["--approve"]);
    assert_eq!(rows(&world).await, ROWS);
    world.run_with("t", &["--approve", "--allow-deletes", "120"]);
    assert_eq!(rows(&world).await, 0);
}

#[tokio::test]
async fn c_07_items_out_of_sight_while_the_token_is_lost_keep_their_rows() {
    for attested in [true, false] {
        let world = both(match attested {
            true => json!({}),
            false => json!({"twoWay": {"deleteDelay": "off", "lossy": "allow"}}),
        })
        .await;
        let hidden = [item(&world, 1).await, item(&world, 2).await];
        for item in &hidden {
            act(&world, item, "hide").await;
        }
        token_lost(&world).await;
        nothing_is_deleted(
            &world,
            (ROWS, ROWS as usize),
            &["completed", "completed_with_errors"],
        )
        .await;
        for item in &hidden {
            act(&world, item, "show").await;
        }
        world.run_with("t", &["--full"]);
        world.until_nothing_happens().await;
        assert_eq!(world.items("t").await.len(), ROWS as usize, "and no second items");
        world.assert_equal("t", ROWS);
    }
}

#[tokio::test]
async fn c_07_a_token_that_is_not_understood_stops_the_run_before_anything_goes() {
    let world = both(json!({})).await;
    deleted_in_the_list(&world, 1..=3).await;
    world.sql("delete from t where id between 4 and 6").await;
    world
        .faults(
            json!([{"kind": "refuse", "on": ["delta"], "status": 400, "code": "invalidRequest",
            "message": "Provided sync token is malformed."}]),
        )
        .await;
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "failed", "{report:#}");
    assert!(
        report.to_string().contains("graph.sync_token_malformed"),
        "{report:#}"
    );
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!((rows(&world).await, world.items("t").await.len()), (117, 117));
    // Understood again, each of the six goes to where it still is.
    world.faults(json!([])).await;
    world.completed(&[]).await;
    assert_eq!((rows(&world).await, world.items("t").await.len()), (114, 114));
    world.assert_equal("t", 114);
}

#[tokio::test]
async fn c_07_a_list_that_is_gone_takes_no_table_with_it() {
    let world = both(json!({})).await;
    let list = world.list_id("t").await;
    world
        .sim_send("DELETE", &format!("lists/{list}"), &json!({}))
        .await;
    for more in [&[][..], &["--full"], &["--reset-cursor"], &["--approve"]] {
        let mut args = vec!["run", "t", "-o", "json"];
        args.extend(more);
        let ran = world.command(&args);
        assert_ne!(ran.code(), 0, "{more:?}: {}", ran.out());
        assert_eq!(rows(&world).await, ROWS, "{more:?}");
    }
    world
        .sim_send("POST", &format!("recycle-bin/{list}/restore"), &json!({}))
        .await;
    world.run("t");
    assert_eq!(
        (rows(&world).await, world.items("t").await.len()),
        (ROWS, ROWS as usize)
    );
}

#[tokio::test]
async fn c_07_a_wrong_tenant_takes_no_row_and_no_item() {
    let world = both(json!({})).await;
    deleted_in_the_list(&world, 1..=2).await;
    world.sql("delete from t where id between 3 and 4").await;
    let connection = json!({"apiVersion": "syncbridge/v1", "kind": "Connection", "metadata": {"name": "contoso"},
        "spec": {"tenant": "fabrikam.onmicrosoft.com", "clientId": CLIENT_ID, "clientSecret": {"value": "wrong"},
                 "custom": {"authority": world.graph_root, "graphRoot": world.graph_root}}});
    let file = world.folder.path().join("connection.json");
    std::fs::write(&file, connection.to_string()).expect("the folder is ours");
    world
        .command(&["apply", "-f", file.to_str().expect("a path in ASCII")])
        .ok();
    nothing_is_deleted(&world, (118, 118), &["failed"]).await;
    world.applied(spec(json!({})));
    world.completed(&[]).await;
    assert_eq!((rows(&world).await, world.items("t").await.len()), (116, 116));
    world.assert_equal("t", 116);
}

#[tokio::test]
async fn c_07_a_table_that_hides_rows_takes_no_item_and_no_row() {
    let world = World::with_private_source().await;
    world
        .sql(
            "create role reader login password 'reader-secret'; grant all on schema public to reader;
              alter default privileges grant all on tables to reader",
        )
        .await;
    let url = reqwest::Url::parse(&world.source.url()).expect("a URL");
    let owner = format!("\"user\":\"{}\"", url.username());
    let word = format!("\"value\":\"{}\"", url.password().expect("a password"));
    let catalog = world
        .catalog()
        .replace(&owner, "\"user\":\"reader\"")
        .replace(&word, "\"value\":\"reader-secret\"");
    let file = world.folder.path().join("reader.yaml");
    synced(&world, json!({})).await;
    std::fs::write(&file, format!("{catalog}\n")).expect("the folder is ours");
    world
        .command(&["apply", "-f", file.to_str().expect("a path in ASCII")])
        .ok();
    world.completed(&[]).await;
    deleted_in_the_list(&world, 100..=101).await;
    world
        .sql("alter table t enable row level security; create policy few on t to reader using (id <= 5)")
        .await;
    nothing_is_deleted(&world, (ROWS, 118), &["failed"]).await;
    world.sql("alter table t disable row level security").await;
    world.completed(&[]).await;
    world.assert_equal("t", 118);
}
