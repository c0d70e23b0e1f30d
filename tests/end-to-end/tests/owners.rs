//! Who owns what in a list: definitions and installations beside each other.

use serde_json::{Value as Json, json};
use syncbridge_devstack::testing;
use syncbridge_end_to_end::{World, Writes};

const TABLES: &str = "create table a (id int primary key, code text, price numeric(10,2));
    create table b (id int primary key, code text, price numeric(10,2));
    insert into a select n, 'a ' || n, n from generate_series(1, 12) n;
    insert into b select n, 'b ' || n, n from generate_series(1, 12) n;";

fn into_one(world: &World, name: &str, table: &str) -> String {
    let more = json!({"target": {"list": "shared"}, "onDelete": "propagate"});
    world.definition(name, table, more)
}

fn ran(world: &World, name: &str, more: &[&str]) -> Json {
    let report = world.run_with(name, more);
    assert_eq!(report["outcome"]["state"], "completed", "{report:#}");
    report
}

async fn items_of(world: &World, prefix: &str) -> Vec<Json> {
    let mut items = world.items("shared").await;
    items.retain(|item| {
        let code = item["fields"]["Code"].as_str();
        code.is_some_and(|code| code.starts_with(prefix))
    });
    items
}

#[tokio::test]
async fn b_13_two_definitions_on_one_list_never_touch_each_others_items() {
    let world = World::new().await;
    world.sql(TABLES).await;
    world.apply(&into_one(&world, "a", "public.a")).ok();
    world.apply(&into_one(&world, "b", "public.b")).ok();
    ran(&world, "a", &[]);
    let of_a = items_of(&world, "a ").await;
    ran(&world, "b", &[]);
    assert_eq!(items_of(&world, "a ").await, of_a);
    let of_b = items_of(&world, "b ").await;
    assert_eq!((of_a.len(), of_b.len()), (12, 12));

    // Same keys, same columns, changes and deletions on one side only.
    world
        .sql("update a set price = price + 1 where id < 6; delete from a where id > 10; insert into a values (99, 'a 99', 9)")
        .await;
    world.reset_account().await;
    ran(&world, "a", &["--full"]);
    assert_eq!(
        world.writes().await,
        Writes {
            creates: 1,
            patches: 5,
            deletes: 2
        }
    );
    assert_eq!(items_of(&world, "b ").await, of_b);
    world.reset_account().await;
    ran(&world, "b", &["--full"]);
    assert_eq!(world.writes().await, Writes::NONE);
    // The feed is begun anew over a ledger that is there.
    ran(&world, "b", &["--reset-cursor"]);
    assert_eq!(world.writes().await, Writes::NONE);
}

#[tokio::test]
async fn b_13_one_list_and_namespace_has_one_owner_who_is_named() {
    let world = World::new().await;
    world.sql(TABLES).await;
    let claim = |name: &str| {
        let more = json!({"target": {"list": "shared"}, "namespace": "company/a"});
        world.definition(name, "public.a", more)
    };
    world.apply(&claim("first")).ok();
    for when in ["before there is a list", "with a list"] {
        let refused = world.apply(&claim("second"));
        assert_ne!(refused.code(), 0, "{when}");
        let text = refused.err();
        for part in ["configuration.list_owned", "`first`", "company/a"] {
            assert!(text.contains(part), "{when}: {part}: {text}");
        }
        ran(&world, "first", &[]);
    }
    // By another name of the same list: only the list itself tells.
    world
        .sim_send("PATCH", "lists/shared", &json!({"displayName": "renamed"}))
        .await;
    let other = json!({"target": {"list": "renamed"}, "namespace": "company/a"});
    let refused = world.apply(&world.definition("second", "public.a", other));
    assert!(refused.err().contains("`first`"), "{}", refused.err());
    assert_eq!(world.items("renamed").await.len(), 12);
}

#[tokio::test]
async fn b_13_two_installations_on_one_app_registration_never_touch_each_others_items() {
    let mut world = World::new().await;
    world.sql(TABLES).await;
    world.apply(&into_one(&world, "a", "public.a")).ok();
    ran(&world, "a", &[]);
    let first = world.items("shared").await;

    let other = testing::postgres().await;
    world.environment = vec![("SYNCBRIDGE_DATABASE_URL".into(), other.url())];
    world.command(&["migrate"]).ok();
    // The same table under the same namespace, and so under other sync keys.
    world.apply(&into_one(&world, "a", "public.a")).ok();
    world.command(&["run", "a", "--approve", "-o", "json"]);
    let theirs = |items: Vec<Json>| -> Vec<Json> {
        let known = |item: &Json| first.iter().any(|known| known["guid"] == item["guid"]);
        items.into_iter().filter(known).collect()
    };
    assert_eq!(
        theirs(world.items("shared").await),
        first,
        "a second installation ran"
    );
    world
        .sql("update a set price = price + 1; delete from a where id > 6")
        .await;
    world.command(&["run", "a", "--full", "--approve", "-o", "json"]);
    assert_eq!(
        theirs(world.items("shared").await),
        first,
        "rows changed and went"
    );

    // And back: the first one's own items follow, those of the second stay.
    let others = |items: Vec<Json>| -> Vec<Json> {
        let known = |item: &Json| first.iter().any(|known| known["guid"] == item["guid"]);
        items.into_iter().filter(|item| !known(item)).collect()
    };
    let second = others(world.items("shared").await);
    world.environment.clear();
    let report = world.run_with("a", &["--full", "--allow-deletes", "6"]);
    assert_eq!(report["outcome"]["counters"]["patched"], 6, "{report:#}");
    assert_eq!(report["outcome"]["counters"]["deleted"], 6, "{report:#}");
    assert_eq!(others(world.items("shared").await), second);
}
