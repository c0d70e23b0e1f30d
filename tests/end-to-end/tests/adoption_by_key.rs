//! Items that were in the list before us, recognised by what they show of a row's key; and lists that people own.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create table t (id int primary key, code varchar(80), price numeric(10,2));
    insert into t select n, 'code ' || n, n from generate_series(1, 30) n;";

/// A list that people made and filled: rows 1 to 20 as in the table, but for a price of row 5.
async fn filled(world: &World, columns: Json) {
    world.sql(TABLE).await;
    let list = json!({"site": "Company", "displayName": "t", "columns": columns});
    world.sim_send("POST", "lists", &list).await;
    for n in 1..=20 {
        let price = if n == 5 { 999 } else { n };
        add(
            world,
            json!({"Nr": n, "Code": format!("code {n}"), "Price": price, "Remark": "theirs"}),
        )
        .await;
    }
}

async fn add(world: &World, fields: Json) {
    world
        .sim_send("POST", "lists/t/items", &json!({ "fields": fields }))
        .await;
}

fn plain() -> Json {
    json!([{"name": "Nr", "number": {"decimalPlaces": "none"}}, {"name": "Code", "text": {}},
           {"name": "Price", "number": {}}, {"name": "Remark", "text": {}}])
}

fn fields() -> Json {
    json!([{"column": "id", "name": "Nr"}, {"column": "code", "name": "Code"}, {"column": "price", "name": "Price"}])
}

fn guids(items: &[Json]) -> Vec<Json> {
    items.iter().map(|item| item["guid"].clone()).collect()
}

#[tokio::test]
async fn items_of_people_become_their_rows_items_with_one_write_each_and_the_list_is_read_in_pages() {
    let world = World::new().await;
    filled(&world, plain()).await;
    let before = world.items("t").await;
    world
        .apply(&world.definition("t", "public.t", json!({ "fields": fields() })))
        .ok();
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed_with_errors", "{report:#}");
    assert_eq!(report["outcome"]["counters"]["adopted"], 20, "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 10,
            patches: 19,
            deletes: 0
        }
    );
    let (by_tag, _) = world.spent().await;
    assert_eq!(by_tag["scan"]["ru"], 2, "one page: {by_tag:#?}");
    assert_eq!(
        by_tag["probe"]["ru"], 1,
        "only the one that differs is looked at: {by_tag:#?}"
    );
    let after = world.items("t").await;
    assert_eq!(guids(&after)[..20], guids(&before), "no item was made twice");
    assert_eq!(after.len(), 30);
    assert!(
        after[..20]
            .iter()
            .all(|item| item["fields"]["Remark"] == "theirs")
    );
    assert_eq!(
        after[4]["fields"]["Price"], 999.0,
        "what differs waits for a person's word"
    );
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'plan.needed'")
            .await,
        1
    );
    world.reset_account().await;
    let report = world.run_with("t", &["--full", "--approve"]);
    assert_eq!(report["outcome"]["counters"]["created"], 0, "{report:#}");
    world.sql("update t set price = 6 where id = 5").await;
    let report = world.run_with("t", &["--full", "--approve"]);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    world.assert_equal("t", 30);
    world.reset_account().await;
    world.run_with("t", &["--full"]);
    assert_eq!(world.writes().await, Writes::NONE);
    assert_eq!(world.spent().await.1, 0);
}

#[tokio::test]
async fn two_items_of_one_key_are_never_chosen_between() {
    let world = World::new().await;
    filled(&world, plain()).await;
    add(
        &world,
        json!({"Nr": 7, "Code": "code 7", "Price": 7, "Remark": "a copy"}),
    )
    .await;
    world
        .apply(&world.definition("t", "public.t", json!({ "fields": fields() })))
        .ok();
    world.run("t");
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'item.ambiguous'")
            .await,
        1
    );
    let sevens = async || {
        let mut items = world.items("t").await;
        items.retain(|item| item["fields"]["Nr"] == 7.0);
        items
    };
    let before = sevens().await;
    assert_eq!(before.len(), 2);
    // A change of the row does not make a third one.
    world.sql("update t set price = 7.5 where id = 7").await;
    world.run_with("t", &["--full"]);
    assert_eq!(sevens().await, before);
    // A person says which it is by deleting the other.
    world.person_deletes("t", &before[1]).await;
    world.sql("update t set price = 7 where id = 7").await;
    world.run_with("t", &["--full"]);
    let after = sevens().await;
    assert_eq!(guids(&after), guids(&before[..1]));
    assert_eq!(
        world
            .meta_count("select count(*) from quarantine where code = 'item.ambiguous'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_list_of_peoples_own_is_filled_by_its_key_column_and_never_changed() {
    let world = World::new().await;
    let mut columns = plain();
    columns[0]["indexed"] = json!(true);
    columns[0]["enforceUniqueValues"] = json!(true);
    filled(&world, columns).await;
    let before = world.sim_get("lists/t/columns").await;
    let own = json!({"target": {"mode": "bring_your_own"}, "fields": fields(), "onDelete": "propagate"});
    world.apply(&world.definition("t", "public.t", own)).ok();
    world.reset_account().await;
    let report = world.run("t");
    assert_eq!(report["outcome"]["counters"]["adopted"], 20, "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 10,
            ..Writes::NONE
        }
    );
    world
        .sql(
            "update t set price = price + 0.5 where id > 10; delete from t where id = 30;
              insert into t values (31, 'code 31', 31)",
        )
        .await;
    world.reset_account().await;
    let report = world.run_with("t", &["--full"]);
    assert_eq!(report["outcome"]["failure"], Json::Null, "{report:#}");
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 1,
            patches: 19,
            deletes: 1
        }
    );
    // An answer that is lost is found by the key.
    world
        .faults(json!([{"kind": "lost_answer", "on": ["create"], "times": 1}]))
        .await;
    world.sql("insert into t values (32, 'code 32', 32)").await;
    world.run_with("t", &["--full"]);
    let items = world.items("t").await;
    assert_eq!(
        items.iter().filter(|item| item["fields"]["Nr"] == 32.0).count(),
        1
    );
    assert_eq!(world.sim_get("lists/t/columns").await, before);
    // Verification knows the items by the ledger's links, since the list keeps no sync key.
    world.run_with("t", &["--full", "--approve"]);
    world.assert_equal("t", 31);
    let edited = world.item_where("t", "Nr", &json!(12)).await;
    world.person_edits("t", &edited, &json!({"Price": 1})).await;
    assert_eq!(world.verify("t")["differing"], 1);
    world.reset_account().await;
    world.command(&["verify", "t", "--repair"]).ok();
    assert_eq!(
        world.writes().await,
        Writes {
            patches: 1,
            ..Writes::NONE
        }
    );
    world.assert_equal("t", 31);
}

#[tokio::test]
async fn without_unique_values_a_lost_create_waits_until_it_is_certain_that_it_did_not_arrive() {
    let world = World::new().await;
    filled(&world, plain()).await;
    let own = json!({"target": {"mode": "bring_your_own"}, "fields": fields()});
    world.apply(&world.definition("t", "public.t", own)).ok();
    let report = world.run("t");
    let notices = report["outcome"]["notices"].to_string();
    assert!(notices.contains("`Nr`"), "{notices}");
    assert_eq!(world.items("t").await.len(), 30);
    // Lost on its way: it did not arrive, and nobody knows.
    world
        .faults(json!([{"kind": "lost_before", "on": ["create"], "times": 1}]))
        .await;
    world.sql("insert into t values (31, 'code 31', 31)").await;
    for _ in 0..2 {
        world.run_with("t", &["--full"]);
        assert_eq!(
            world.items("t").await.len(),
            30,
            "never sent again while it could be under way"
        );
    }
    sqlx::query("update effects set created_at = created_at - interval '2 minutes'")
        .execute(world.meta_pool())
        .await
        .expect("the meta-store answers");
    world.run_with("t", &["--full"]);
    assert_eq!(world.items("t").await.len(), 31);
    // Lost on its way back: it is found by reading the list.
    world
        .faults(json!([{"kind": "lost_answer", "on": ["create"], "times": 1}]))
        .await;
    world.sql("insert into t values (32, 'code 32', 32)").await;
    world.run_with("t", &["--full"]);
    assert_eq!(world.items("t").await.len(), 32);
    world.run_with("t", &["--full"]);
    assert_eq!(world.items("t").await.len(), 32);
}

#[tokio::test]
async fn a_list_of_peoples_own_refuses_what_it_lacks_and_says_what_to_do() {
    let world = World::new().await;
    filled(&world, plain()).await;
    let own = |target: Json, fields: Json| {
        world.definition("t", "public.t", json!({"target": target, "fields": fields}))
    };
    let missing = world.apply(&own(
        json!({"mode": "bring_your_own"}),
        json!([{"column": "id", "name": "Nr"}, {"column": "code", "name": "Nowhere"}]),
    ));
    assert!(missing.err().contains("list.columns_differ"), "{}", missing.err());
    assert!(missing.err().contains("Nowhere"), "{}", missing.err());
    let no_key = world.apply(&own(
        json!({"mode": "bring_your_own"}),
        json!([{"column": "code", "name": "Code"}]),
    ));
    assert!(no_key.err().contains("list.no_identity"), "{}", no_key.err());
    let nowhere = world.apply(&own(json!({"mode": "bring_your_own", "list": "none"}), fields()));
    assert!(
        nowhere.err().contains("graph.list_not_found"),
        "{}",
        nowhere.err()
    );
    // A text column of its own holds the sync key.
    world
        .sim_send(
            "POST",
            "lists/t/columns",
            &json!({"name": "RowKey", "text": {}, "indexed": true, "enforceUniqueValues": true}),
        )
        .await;
    let keyed = json!({"mode": "bring_your_own", "identityColumn": "RowKey"});
    world
        .apply(&own(keyed, json!([{"column": "code", "name": "Code"}])))
        .ok();
    let report = world.run("t");
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    let items = world.items("t").await;
    assert_eq!(
        items
            .iter()
            .filter(|item| item["fields"]["RowKey"].is_string())
            .count(),
        30,
        "{items:#?}"
    );
    assert!(
        items
            .iter()
            .all(|item| item["fields"].get("SyncBridgeKey").is_none())
    );
}
