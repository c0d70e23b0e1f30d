//! Lists and their columns: made once and never again, matched with what people have, grown where that is wanted.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create type stand as enum ('idea', 'done');
    create table t (id int primary key, code varchar(80) not null, price numeric(10,2), stand stand, live bool);
    comment on column t.price is 'What it costs, without tax';
    insert into t select n, 'code ' || n, n, 'idea', true from generate_series(1, 20) n;";

/// Every request since the last reset that could have changed something, by kind.
async fn changing_requests(world: &World) -> Vec<String> {
    let ru = world.sim_get("ru").await;
    let kinds = ru["by_kind"].as_object().expect("kinds");
    let changing = [
        "list_create",
        "list_update",
        "list_delete",
        "column_create",
        "column_update",
        "column_delete",
        "create",
        "patch",
        "delete",
    ];
    let asked = |kind: &&&str| kinds.get(**kind).is_some_and(|sum| sum["requests"] != 0);
    changing
        .iter()
        .filter(asked)
        .map(|kind| (*kind).to_owned())
        .collect()
}

async fn columns(world: &World, list: &str) -> Vec<Json> {
    let mut columns = world.sim_get(&format!("lists/{list}/columns")).await["columns"]
        .as_array()
        .expect("columns")
        .clone();
    columns.retain(|column| column["builtIn"] == false);
    columns
}

fn named<'a>(columns: &'a [Json], name: &str) -> &'a Json {
    columns
        .iter()
        .find(|column| column["name"] == name)
        .unwrap_or_else(|| panic!("no column {name}: {columns:#?}"))
}

fn dressed() -> Json {
    json!({"fields": [
        {"column": "id"},
        {"column": "code", "index": true, "required": true},
        {"column": "price", "as": "Price"},
        {"column": "stand", "default": "idea"},
        {"column": "live", "default": false},
    ]})
}

#[tokio::test]
async fn b_02_provisioning_checking_applying_and_running_again_changes_nothing_and_costs_no_write() {
    let world = World::new().await;
    world.sql(TABLE).await;
    let definition = world.definition("t", "public.t", dressed());
    world.apply(&definition).ok();
    assert_eq!(world.completed(&[]).await.creates, 20);
    let made = columns(&world, "t").await;
    assert_eq!(named(&made, "Price")["description"], "What it costs, without tax");
    assert_eq!(named(&made, "Code")["indexed"], true);
    assert_eq!(named(&made, "Code")["required"], true);
    assert_eq!(named(&made, "Stand")["defaultValue"], json!({"value": "idea"}));
    let items = world.items("t").await;

    world.reset_account().await;
    for _ in 0..2 {
        let applied = world.apply(&definition).ok().out();
        assert!(!applied.contains("created"), "{applied}");
        world.command(&["plan", "t", "--check"]).ok();
    }
    assert_eq!(changing_requests(&world).await, Vec::<String>::new());
    for more in [&[][..], &["--full"][..]] {
        assert_eq!(world.completed(more).await, Writes::NONE);
        assert_eq!(world.spent().await.1, 0, "a run that finds nothing asks nothing");
    }
    // Made to fit once more, as if it were not known to: looks, and writes nothing.
    sqlx::query("update definitions set list_facts = '{}'")
        .execute(world.meta_pool())
        .await
        .expect("the meta-store answers");
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(changing_requests(&world).await, Vec::<String>::new());
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    assert_eq!(world.spent().await.1, 0);
    assert_eq!(columns(&world, "t").await, made);
    assert_eq!(world.items("t").await, items);
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn a_null_is_written_where_the_column_has_a_default() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world
        .sql("update t set stand = null, live = null where id = 7")
        .await;
    world.applied(dressed());
    world.completed(&[]).await;
    let item = world.item_where("t", "Code", &json!("code 7")).await;
    assert_eq!(item["fields"].get("Stand"), None, "{item:#}");
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn columns_that_people_made_serve_by_the_names_they_show() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world
        .sim_send(
            "POST",
            "lists",
            &json!({"site": "Company", "displayName": "t", "columns": [
                {"name": "p0", "displayName": "Price", "number": {}, "description": "theirs"},
                {"name": "Remark", "text": {}},
            ]}),
        )
        .await;
    let before = columns(&world, "t").await;
    let definition = world.definition("t", "public.t", dressed());
    world.apply(&definition).ok();
    assert_eq!(columns(&world, "t").await, before, "apply writes nothing");
    assert_eq!(world.completed(&[]).await.creates, 20);
    let after = columns(&world, "t").await;
    assert_eq!(named(&after, "p0"), named(&before, "p0"));
    assert_eq!(named(&after, "Remark"), named(&before, "Remark"));
    assert!(after.iter().all(|column| column["name"] != "Price"), "{after:#?}");
    let item = world.item_where("t", "Code", &json!("code 7")).await;
    assert_eq!(item["fields"]["p0"], 7.0);
    world.assert_equal("t", 20);
    // A name that people see may change: the column stays the field's.
    world
        .sim_send("PATCH", "lists/t/columns/p0", &json!({"displayName": "Cost"}))
        .await;
    world
        .sql("alter table t add column note text; update t set note = 'n', price = 8 where id = 7")
        .await;
    let mut more = dressed();
    more["fields"]
        .as_array_mut()
        .expect("fields")
        .push(json!({"column": "note"}));
    world.applied(more);
    world.run_with("t", &["--approve"]);
    let now = columns(&world, "t").await;
    assert_eq!(now.len(), after.len() + 1, "{now:#?}");
    assert_eq!(
        world.item_where("t", "Code", &json!("code 7")).await["fields"]["p0"],
        8.0
    );
}

#[tokio::test]
async fn a_column_of_that_name_and_another_kind_is_refused_with_both_names() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world
        .sim_send(
            "POST",
            "lists",
            &json!({"site": "Company", "displayName": "t", "columns": [
                {"name": "p0", "displayName": "Price", "text": {"maxLength": 20}},
            ]}),
        )
        .await;
    world.reset_account().await;
    let refused = world.apply(&world.definition("t", "public.t", dressed()));
    assert_ne!(refused.code(), 0);
    let text = refused.err();
    for part in [
        "list.columns_differ",
        "`p0`",
        "`Price`",
        "single-line text",
        "number",
        "`as`",
        "name: Price",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(changing_requests(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_index_is_added_later_and_too_many_are_refused_before_anything_is_written() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.applied(json!({}));
    world.completed(&[]).await;
    assert_eq!(named(&columns(&world, "t").await, "Code")["indexed"], false);
    world.applied(dressed());
    assert_eq!(world.completed(&[]).await, Writes::NONE);
    let now = columns(&world, "t").await;
    assert_eq!(named(&now, "Code")["indexed"], true);
    assert_eq!(named(&now, "Price")["description"], "What it costs, without tax");
    assert_eq!(
        named(&now, "Stand").get("defaultValue"),
        None,
        "only new columns are given a default"
    );

    let lines = json!({"fields": [{"column": "id"}, {"column": "code"}, {"column": "note", "index": true}]});
    world.sql("alter table t add column note text").await;
    let refused = world.apply(&world.definition("t", "public.t", lines));
    assert!(refused.err().contains("list.no_index"), "{}", refused.err());
    assert!(refused.err().contains("`type: text`"), "{}", refused.err());
    let many: Vec<String> = (1..=20).map(|n| format!("c{n} int")).collect();
    world
        .sql(&format!(
            "create table wide (id int primary key, {})",
            many.join(", ")
        ))
        .await;
    let fields: Vec<Json> = std::iter::once(json!({"column": "id"}))
        .chain((1..=20).map(|n| json!({"column": format!("c{n}"), "index": true})))
        .collect();
    let refused = world.apply(&world.definition("wide", "public.wide", json!({ "fields": fields })));
    assert_ne!(refused.code(), 0);
    assert!(refused.err().contains("list.no_index"), "{}", refused.err());
}

#[tokio::test]
async fn a_new_enum_label_grows_the_column_before_its_row_is_written_and_keeps_what_people_added() {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.applied(dressed());
    world.completed(&[]).await;
    world
        .sim_send(
            "PATCH",
            "lists/t/columns/Stand",
            &json!({"choice": {"choices": ["idea", "done", "theirs"]}}),
        )
        .await;
    world.sql("alter type stand add value 'paused'").await;
    world.sql("update t set stand = 'paused' where id = 7").await;
    assert_eq!(
        world.completed(&[]).await,
        Writes {
            patches: 1,
            ..Writes::NONE
        }
    );
    let now = columns(&world, "t").await;
    assert_eq!(
        named(&now, "Stand")["choice"]["choices"],
        json!(["idea", "done", "theirs", "paused"])
    );
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn fixed_choices_stay_as_they_are_and_the_row_says_so() {
    let world = World::new().await;
    world.sql(TABLE).await;
    let fixed = json!({"fields": [{"column": "code"}, {"column": "stand", "newChoices": "fixed"}]});
    world.applied(fixed);
    world.completed(&[]).await;
    let before = columns(&world, "t").await;
    world.sql("alter type stand add value 'paused'").await;
    world
        .sql("update t set stand = 'paused' where id = 7; update t set code = 'c8' where id = 8")
        .await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(columns(&world, "t").await, before);
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'graph.choice_fixed' and failure->>'column' = 'stand'")
            .await,
        1
    );
    assert_eq!(
        world.item_where("t", "Code", &json!("c8")).await["fields"]["Stand"],
        "idea"
    );
}
