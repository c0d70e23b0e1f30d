//! What the application does not see is not null and not gone (DESIGN §5): nothing is cleared, deleted or made a
//! second time for it.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes, until};

const TABLE: &str = "create table t (id int primary key, code text, price numeric(10,2), note text);
    insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(1, 20) n;";

async fn pushed(world: &World, more: Json) {
    world.sql(TABLE).await;
    world.apply(&world.definition("t", "public.t", more)).ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
}

/// What the list really holds in these columns, by row.
async fn held(world: &World, columns: &[&str]) -> Vec<(String, Vec<Json>)> {
    let items = world.items("t").await;
    let mut held: Vec<_> = items
        .iter()
        .map(|item| {
            let values = columns.iter().map(|name| item["fields"][*name].clone()).collect();
            (
                item["fields"]["Code"].as_str().unwrap_or_default().to_owned(),
                values,
            )
        })
        .collect();
    held.sort_by(|a, b| a.0.cmp(&b.0));
    held
}

#[tokio::test]
async fn b_12_items_that_wait_for_approval_are_neither_cleared_nor_deleted_nor_made_twice() {
    let world = World::new().await;
    pushed(&world, json!({"onDelete": "propagate"})).await;
    world
        .sim_send("PATCH", "lists/t", &json!({"contentApproval": true}))
        .await;
    // Written once, they wait for approval; written again, they are out of sight.
    world
        .sql("update t set price = price + 1 where id < 6; insert into t values (21, 'code 21', 1, 'new')")
        .await;
    world.run("t");
    assert_eq!(world.items("t").await.len(), 21);
    let before = held(&world, &["Price", "Note"]).await;
    world.reset_account().await;
    world
        .sql("update t set price = price + 1 where id < 6 or id = 21")
        .await;
    for _ in 0..2 {
        let report = world.run_with("t", &["--full"]);
        assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
        assert_eq!(report["outcome"]["failure"], Json::Null, "{report:#}");
    }
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(held(&world, &["Price", "Note"]).await, before);
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'item.invisible'")
            .await,
        6
    );
    // Approved, they follow as if nothing had been.
    for item in world.items("t").await {
        if item["approval"] == "pending" {
            let path = format!("lists/t/items/{}/approve", item["id"]);
            world.sim_send("POST", &path, &json!({})).await;
        }
    }
    world
        .sim_send("PATCH", "lists/t", &json!({"contentApproval": false}))
        .await;
    world
        .sql("update t set price = price + 1 where id < 6 or id = 21")
        .await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            patches: 6,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 21);
}

#[tokio::test]
async fn b_12_items_with_permissions_of_their_own_are_not_made_twice() {
    let world = World::new().await;
    pushed(&world, json!({"onDelete": "propagate"})).await;
    let hidden = world.item_where("t", "Code", &json!("code 7")).await;
    let path = format!("lists/t/items/{}/hide", hidden["id"]);
    world.sim_send("POST", &path, &json!({})).await;
    world.sql("update t set note = 'n' where id = 7").await;
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.items("t").await.len(), 20);
    let path = format!("lists/t/items/{}/show", hidden["id"]);
    world.sim_send("POST", &path, &json!({})).await;
    world.sql("update t set note = 'm' where id = 7").await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn b_12_more_than_twelve_lookups_that_people_add_take_nothing_away() {
    let world = World::with(|options| {
        let behaviour = r#"{"lookup_overflow": "all", "builtin_lookups_count": true}"#;
        options.extra.extend(["--behaviour".into(), behaviour.into()]);
    })
    .await;
    pushed(
        &world,
        json!({"onDelete": "propagate", "onForeignEdit": "restore"}),
    )
    .await;
    let list = world.list_id("t").await;
    for n in 1..=14 {
        let column = json!({"name": format!("Look{n}"), "lookup": {"listId": list, "columnName": "Title"}});
        world.sim_send("POST", "lists/t/columns", &column).await;
    }
    for item in world.items("t").await {
        world
            .person_edits("t", &item, &json!({"Look1LookupId": 1, "Look14LookupId": 2}))
            .await;
    }
    world.reset_account().await;
    world.assert_equal("t", 20);
    let before = held(&world, &["Price", "Note", "Look1", "Look14"]).await;
    for more in [&["--full"][..], &["--reset-cursor"][..]] {
        let report = world.run_with("t", more);
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    }
    assert_eq!(world.writes().await, Writes::NONE);
    world.sql("update t set price = price + 1").await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            patches: 20,
            ..Writes::NONE
        }
    );
    let after = held(&world, &["Note", "Look1", "Look14"]).await;
    let kept: Vec<_> = before
        .into_iter()
        .map(|(code, values)| (code, values[1..].to_vec()))
        .collect();
    assert_eq!(after, kept);
    world.assert_equal("t", 20);
}

/// A slow run of 400 rows in which something happens to a column while writes are under way.
async fn while_it_runs(meanwhile: (&str, &str, Json)) -> World {
    let world = World::with(|options| options.latency_ms = 20).await;
    world.sql(TABLE).await;
    world
        .sql("insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(21, 300) n")
        .await;
    let slow = json!({"onDelete": "propagate", "onForeignEdit": "restore",
                      "limits": {"batchWrites": 5, "batchesInFlight": 1}});
    world.apply(&world.definition("t", "public.t", slow)).ok();
    let mut child = world.start("slow", &["run", "t", "-o", "json"]);
    until("some items are made", async || world.writes().await.creates >= 20).await;
    let (method, path, body) = meanwhile;
    world.sim_send(method, path, &body).await;
    assert!(
        child.try_wait().expect("a child of ours").is_none(),
        "too late: the run was over"
    );
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.expect("it ends").expect("it ends");
    world
}

#[tokio::test]
async fn b_12_a_column_hidden_while_a_run_is_under_way_loses_no_value() {
    let world = while_it_runs(("PATCH", "lists/t/columns/Price", json!({"hidden": true}))).await;
    let missing =
        |held: &[(String, Vec<Json>)]| held.iter().filter(|(_, v)| v.iter().any(Json::is_null)).count();
    let before = held(&world, &["Price", "Note"]).await;
    assert_eq!((before.len(), missing(&before)), (300, 0));
    world.reset_account().await;
    for more in [&["--full"][..], &[][..]] {
        let report = world.run_with("t", more);
        assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    }
    assert_eq!(world.writes().await, Writes::NONE);
    world.sql("update t set note = 'n'").await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            patches: 300,
            ..Writes::NONE
        }
    );
    assert_eq!(missing(&held(&world, &["Price", "Note"]).await), 0);
    assert_eq!(
        world.meta_count("select count(*) from conflicts").await,
        0,
        "nobody edited anything"
    );
    world.assert_equal("t", 300);
}

#[tokio::test]
async fn b_12_a_column_deleted_while_a_run_is_under_way_takes_no_other_value_and_no_item_with_it() {
    let world = while_it_runs(("DELETE", "lists/t/columns/Note", json!({}))).await;
    let report = world.run_with("t", &["--full"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    let after = held(&world, &["Price"]).await;
    assert_eq!(after.len(), 300);
    assert!(after.iter().all(|(_, values)| !values[0].is_null()));
    assert_eq!(world.writes().await.deletes, 0);
    let columns = world.sim_get("lists/t/columns").await;
    let columns = columns["columns"].as_array().expect("columns");
    assert_eq!(
        columns.iter().filter(|column| column["name"] == "Note").count(),
        1
    );
}

#[tokio::test]
async fn b_12_row_security_on_the_source_stops_the_run_before_anything_is_thought_gone() {
    let world = World::with_private_source().await;
    pushed(&world, json!({"onDelete": "propagate"})).await;
    world
        .sql(
            "create role reader login password 'reader-password-1'; grant select on t to reader;
              alter table t enable row level security; create policy few on t using (id < 3)",
        )
        .await;
    let url = reqwest_url(&world.source.url());
    let instance = json!({"apiVersion": "syncbridge/v1", "kind": "Instance", "metadata": {"name": "primary"},
        "spec": {"database": "company", "host": url.0, "port": url.1, "dbname": url.2, "user": "reader",
                 "password": {"value": "reader-password-1"}, "tls": {"mode": "disable"}}});
    let file = world.folder.path().join("reader.yaml");
    std::fs::write(&file, instance.to_string()).expect("a file");
    world
        .command(&["apply", "-f", file.to_str().expect("a path")])
        .ok();
    let before = world.items("t").await;
    world.reset_account().await;
    let ran = world.command(&["run", "t", "--full", "--allow-deletes", "20", "-o", "json"]);
    assert_ne!(ran.code(), 0);
    assert!(
        format!("{}{}", ran.out(), ran.err()).contains("source.row_security"),
        "{}{}",
        ran.out(),
        ran.err()
    );
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.items("t").await, before);
}

/// Host, port and database of a URL.
fn reqwest_url(url: &str) -> (String, u16, String) {
    let rest = url.rsplit('@').next().expect("a host");
    let (address, database) = rest.split_once('/').expect("a database");
    let (host, port) = address.split_once(':').expect("a port");
    let database = database.split('?').next().expect("a name");
    (
        host.to_owned(),
        port.parse().expect("a number"),
        database.to_owned(),
    )
}
