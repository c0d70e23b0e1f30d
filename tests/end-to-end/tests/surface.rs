//! What people keep in a list survives everything push does, and what they edit in fields of the table follows
//! the policy.

use serde_json::{Value as Json, json};
use syncbridge_end_to_end::{World, Writes};

const TABLE: &str = "create type stand as enum ('idea', 'done');
    create table t (id int primary key, code text, price numeric(10,2), note text, stand stand);
    insert into t select n, 'code ' || n, n, 'note ' || n, 'idea' from generate_series(1, 20) n;";

async fn pushed(more: Json) -> World {
    let world = World::new().await;
    world.sql(TABLE).await;
    world.applied(more);
    world.completed(&[]).await;
    world
}

async fn item(world: &World, code: &str) -> Json {
    world.item_where("t", "Code", &json!(code)).await
}

async fn recorded(world: &World) -> i64 {
    world.meta_count("select count(*) from conflicts").await
}

/// The parts of a list that are people's own: their columns, and per item what they put there.
async fn of_people(world: &World) -> (Vec<Json>, Vec<Json>) {
    let all = world.sim_get("lists/t/columns").await;
    let theirs = ["Remark", "Owner", "Seen"];
    let is_theirs = |column: &&Json| theirs.iter().any(|name| column["name"] == *name);
    let columns = all["columns"].as_array().expect("columns").iter();
    let columns = columns.filter(is_theirs).cloned().collect();
    let items = world.items("t").await;
    let items = items.iter().map(|item| {
        let fields: Vec<&Json> = theirs.iter().map(|name| &item["fields"][*name]).collect();
        json!([item["guid"], item["attachments"], fields])
    });
    (columns, items.collect())
}

#[tokio::test]
async fn b_14_columns_values_and_attachments_of_people_survive_everything_push_does() {
    let world = pushed(json!({"onDelete": "propagate"})).await;
    for column in [
        json!({"name": "Remark", "displayName": "Remark", "text": {}, "required": true, "indexed": true}),
        json!({"name": "Owner", "displayName": "Owner", "personOrGroup": {}}),
        json!({"name": "Seen", "displayName": "Seen", "boolean": {}, "defaultValue": {"value": "1"}}),
    ] {
        world.sim_send("POST", "lists/t/columns", &column).await;
    }
    for found in world.items("t").await {
        let id = &found["id"];
        world
            .person_edits(
                "t",
                &found,
                &json!({"Remark": format!("remark {id}"), "Seen": false}),
            )
            .await;
        world
            .sim_send("POST", &format!("lists/t/items/{id}/attach"), &json!({}))
            .await;
    }
    let before = of_people(&world).await;

    // Changes met by a 412 each, a whole comparison, a new column, a longer choice, a feed begun anew, a list that
    // is made to fit again.
    world.sql("update t set price = price + 1").await;
    assert_eq!(world.completed(&[]).await.patches, 20);
    assert_eq!(of_people(&world).await, before);
    world
        .sql("alter type stand add value 'paused'; alter table t add column place text")
        .await;
    world.sql("update t set stand = 'paused', place = 'here'").await;
    world.completed(&["--full", "--approve"]).await;
    world.completed(&["--reset-cursor"]).await;
    sqlx::query("update definitions set list_facts = '{}'")
        .execute(world.meta_pool())
        .await
        .expect("the meta-store answers");
    world.completed(&["--full"]).await;
    world.verify("t");
    assert_eq!(of_people(&world).await, before);
    world
        .sql("insert into t values (21, 'code 21', 1, 'n', 'idea'); delete from t where id = 20")
        .await;
    world.completed(&[]).await;
    let (columns, items) = of_people(&world).await;
    assert_eq!(columns, before.0);
    let kept: Vec<&Json> = before
        .1
        .iter()
        .filter(|known| items.iter().any(|item| item[0] == known[0]))
        .collect();
    assert_eq!(kept.len(), 19);
    assert_eq!(items[..19].iter().collect::<Vec<_>>(), kept);
    world.assert_equal("t", 20);
}

#[tokio::test]
async fn b_14_an_edit_of_a_push_only_field_follows_the_policy_whenever_push_notices_it() {
    for (policy, note, kept_on_record) in [
        ("restore", "note 7", 1),
        ("report", "note 7", 1),
        ("keep", "theirs", 0),
    ] {
        let world = pushed(json!({"onForeignEdit": policy})).await;
        let theirs = item(&world, "code 7").await;
        world.person_edits("t", &theirs, &json!({"Note": "theirs"})).await;
        // A whole comparison of the table does not look at items that nothing changed for.
        assert_eq!(world.completed(&["--full"]).await, Writes::NONE, "{policy}");
        assert_eq!(item(&world, "code 7").await["fields"]["Note"], "theirs");
        // A verification does, and writes nothing.
        let found = world.verify("t");
        let allowed = u64::from(policy == "keep");
        assert_eq!(found["differing"], 1 - allowed, "{policy}: {found:#}");
        assert_eq!(found["kept_edits"], allowed, "{policy}: {found:#}");
        assert_eq!(world.writes().await, Writes::NONE, "{policy}");
        // The next write of the item meets it (412), and settles it as the policy says.
        world.sql("update t set price = 8.25 where id = 7").await;
        assert_eq!(
            world.completed(&[]).await,
            Writes {
                patches: 1,
                ..Writes::NONE
            },
            "{policy}"
        );
        let now = item(&world, "code 7").await;
        assert_eq!(now["fields"]["Note"], note, "{policy}");
        assert_eq!(now["fields"]["Price"], 8.25, "{policy}");
        assert_eq!(
            recorded(&world).await,
            kept_on_record,
            "{policy}: an edit that is overridden is kept"
        );
        assert_eq!(world.completed(&["--full"]).await, Writes::NONE, "{policy}");
        // The owner's own change of the field ends it in every case.
        world.sql("update t set note = 'owner' where id = 7").await;
        assert_eq!(world.completed(&[]).await.patches, 1, "{policy}");
        assert_eq!(
            item(&world, "code 7").await["fields"]["Note"],
            "owner",
            "{policy}"
        );
        world.assert_equal("t", 20);
    }
}
