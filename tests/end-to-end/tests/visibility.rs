//! What the application does not see is not null and not gone (DESIGN §5): nothing is cleared, deleted or made a
//! second time for it.

use serde_json::{Value as Json, json};
use syncbridge_devstack::testing::private_postgres;
use syncbridge_end_to_end::{World, Writes, until};

const TABLE: &str = "create table t (id int primary key, code text, price numeric(10,2), note text);
    insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(1, 20) n;";

async fn pushed(world: &World, more: Json) {
    world.sql(TABLE).await;
    world.applied(more);
    world.completed(&[]).await;
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

/// An answer to a change of one cell leaves out what is hidden. Nothing was written there, so nothing is learnt of
/// it, and least of all that it is empty.
#[tokio::test]
async fn b_12_what_the_answer_to_another_cells_change_leaves_out_is_no_edit_of_a_person() {
    let world = World::with(|options| options.latency_ms = 20).await;
    pushed(
        &world,
        json!({"onDelete": "propagate", "onForeignEdit": "restore"}),
    )
    .await;
    world
        .sql("insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(21, 200) n")
        .await;
    world.completed(&[]).await;
    world.applied(json!({"onDelete": "propagate", "onForeignEdit": "restore",
                         "limits": {"batchWrites": 5, "batchesInFlight": 1}}));
    world.reset_account().await;
    world.sql("update t set note = 'n' || id").await;
    let mut child = world.start("slow", &["run", "t", "-o", "json"]);
    until("some items are changed", async || {
        world.writes().await.patches >= 20
    })
    .await;
    world
        .sim_send("PATCH", "lists/t/columns/Price", &json!({"hidden": true}))
        .await;
    assert!(
        child.try_wait().expect("a child of ours").is_none(),
        "too late: the run was over"
    );
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.expect("it ends").expect("it ends");
    assert_eq!(world.writes().await.patches, 200);
    // A column of their own makes each item newer than we know, so that each is looked at before the next write.
    let list = world.list_id("t").await;
    world
        .graph_post(
            &format!("/sites/contoso.sharepoint.com:/sites/Company:/lists/{list}/columns"),
            &json!({"name": "Remark", "text": {}}),
        )
        .await;
    for item in world.items("t").await {
        world.person_edits("t", &item, &json!({"Remark": "seen"})).await;
    }
    world.sql("update t set note = 'm' || id").await;
    let once = Writes {
        patches: 200,
        ..Writes::NONE
    };
    assert_eq!(world.completed(&[]).await, once);
    assert_eq!(
        world.meta_count("select count(*) from conflicts").await,
        0,
        "nobody edited anything of ours"
    );
    world.assert_equal("t", 200);
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
    read_as_reader(&world);
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

/// The table is read by a role of its own from here on.
fn read_as_reader(world: &World) {
    let url = reqwest_url(&world.source.url());
    let instance = json!({"apiVersion": "syncbridge/v1", "kind": "Instance", "metadata": {"name": "primary"},
        "spec": {"database": "company", "host": url.0, "port": url.1, "dbname": url.2, "user": "reader",
                 "password": {"value": "reader-password-1"}, "tls": {"mode": "disable"}}});
    let file = world.folder.path().join("reader.yaml");
    std::fs::write(&file, instance.to_string()).expect("a file");
    world
        .command(&["apply", "-f", file.to_str().expect("a path")])
        .ok();
}

/// Here the policy comes when everything was checked and planned already: only the sessions know of it.
#[tokio::test]
async fn b_12_row_security_that_is_switched_on_while_a_run_is_under_way_stops_it_and_nothing_is_deleted() {
    let server = private_postgres(|_| {}).await;
    let world = World::on(&server, "policies", |options| options.latency_ms = 20).await;
    pushed(&world, json!({"onDelete": "propagate"})).await;
    world
        .sql(
            "insert into t select n, 'code ' || n, n, 'note ' || n from generate_series(21, 200) n;
              create role reader login password 'reader-password-1'; grant select on t to reader",
        )
        .await;
    world.completed(&[]).await;
    world.applied(json!({"onDelete": "propagate",
                         "limits": {"pageRows": 20, "batchWrites": 5, "batchesInFlight": 1}}));
    read_as_reader(&world);
    world.reset_account().await;
    world.sql("update t set note = 'n' || id").await;
    let mut child = world.start(
        "slow",
        &["run", "t", "--full", "--allow-deletes", "200", "-o", "json"],
    );
    until("some items are changed", async || {
        world.writes().await.patches >= 20
    })
    .await;
    world
        .sql("alter table t enable row level security; create policy few on t using (id < 3)")
        .await;
    assert!(
        child.try_wait().expect("a child of ours").is_none(),
        "too late: the run was over"
    );
    let ended = tokio::task::spawn_blocking(move || child.wait()).await;
    let ended = ended.expect("it ends").expect("it ends");
    let said = ["slow.out", "slow.err"]
        .map(|name| std::fs::read_to_string(world.folder.path().join(name)).expect("its output"))
        .concat();
    assert!(!ended.success() && said.contains("source.row_security"), "{said}");
    let writes = world.writes().await;
    assert_eq!((writes.creates, writes.deletes), (0, 0));
    assert!(writes.patches < 200, "the policy came too late");
    assert_eq!(world.items("t").await.len(), 200);
    assert_eq!(
        world
            .meta_count("select count(*) from ledger where state <> 1")
            .await,
        0,
        "no row is thought gone"
    );
    // With all rows in sight it goes on as if nothing had been.
    world.sql("alter table t disable row level security").await;
    let writes = world.completed(&["--full", "--allow-deletes", "200"]).await;
    assert_eq!((writes.creates, writes.deletes), (0, 0));
    world.assert_equal("t", 200);
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
