//! The recycle bin of items and of lists.

use serde_json::{Value, json};
use syncbridge_graph_sim::Behaviour;

use crate::harness::Sim;

const UNIQUE: &str = "Key";

fn list(sim: &mut Sim) -> String {
    let list = sim.list(
        "L",
        json!([{ "name": UNIQUE, "text": {}, "indexed": true, "enforceUniqueValues": true }]),
    );
    for key in ["a", "b", "c"] {
        sim.item(&list, json!({ "Title": "first", UNIQUE: key }));
    }
    list
}

#[test]
fn a_restored_item_keeps_id_and_guid_and_appears_as_a_change() {
    let mut sim = Sim::new();
    let list = list(&mut sim);
    let before = sim.act("GET", "lists/L/items/2", Value::Null);
    let (_, link) = sim.changes(&format!("{list}/items/delta?token=latest"));
    assert_eq!(
        sim.call("DELETE", &format!("{list}/items/2"), Value::Null).status,
        204
    );
    let (seen, link) = sim.changes(&link);
    assert_eq!(seen, [("2".to_owned(), true)]);
    let bin = sim.act("GET", "lists/L/recycle-bin", Value::Null);
    assert_eq!(
        (&bin["items"][0]["id"], &bin["items"][0]["deletedBy"]),
        (&json!(2), &json!("sim-client"))
    );
    sim.act("POST", "lists/L/recycle-bin/2/restore", Value::Null);
    let after = sim.act("GET", "lists/L/items/2", Value::Null);
    for same in ["guid", "fields", "created", "modified"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(after["counter"], before["counter"].as_u64().unwrap() + 1);
    let (seen, _) = sim.changes(&link);
    assert_eq!(seen, [("2".to_owned(), false)]);
    assert_eq!(
        sim.act("GET", "lists/L/recycle-bin", Value::Null)["items"],
        json!([])
    );
    // Found through the index again, and new items do not take its id.
    let found = sim.read(&format!("{list}/items?$filter=fields/Key%20eq%20'b'"));
    assert_eq!(found["value"][0]["id"], "2");
    assert_eq!(sim.item(&list, json!({}))["id"], "4");
    assert_eq!(
        sim.control("POST", "lists/L/recycle-bin/2/restore", Value::Null)
            .status,
        404
    );
}

#[test]
fn a_value_taken_meanwhile_keeps_an_item_in_the_bin() {
    let mut sim = Sim::new();
    let list = list(&mut sim);
    sim.act("DELETE", "lists/L/items/2", Value::Null);
    sim.item(&list, json!({ UNIQUE: "b" }));
    assert_eq!(
        sim.control("POST", "lists/L/recycle-bin/2/restore", Value::Null)
            .status,
        409
    );
    sim.act("DELETE", "lists/L/items/4", Value::Null);
    sim.act("POST", "lists/L/recycle-bin/2/restore", Value::Null);
    assert_eq!(sim.ids(&list), ["1", "2", "3"]);
}

#[test]
fn a_permanent_deletion_leaves_nothing_to_restore() {
    let mut sim = Sim::new();
    let list = list(&mut sim);
    sim.act("DELETE", "lists/L/items/1", Value::Null);
    sim.act("DELETE", "lists/L/recycle-bin/1", Value::Null);
    sim.act("DELETE", "lists/L/items/2?permanently=true", Value::Null);
    assert_eq!(
        sim.act("GET", "lists/L/recycle-bin", Value::Null)["items"],
        json!([])
    );
    assert_eq!(
        sim.control("DELETE", "lists/L/recycle-bin/1", Value::Null).status,
        404
    );
    assert_eq!(sim.ids(&list), ["3"]);
    // A deleted column takes its values out of the bin as well.
    sim.act("DELETE", "lists/L/items/3", Value::Null);
    sim.act("DELETE", "lists/L/columns/Key", Value::Null);
    sim.act("POST", "lists/L/recycle-bin/3/restore", Value::Null);
    let fields = sim.act("GET", "lists/L/items/3", Value::Null)["fields"].clone();
    assert_eq!(fields, json!({ "Title": "first" }));
}

#[test]
fn a_restored_list_has_its_id_its_items_and_its_changes() {
    let mut sim = Sim::new();
    let list = list(&mut sim);
    let (_, link) = sim.changes(&format!("{list}/items/delta?token=latest"));
    assert_eq!(sim.call("DELETE", &list, Value::Null).status, 204);
    assert_eq!(sim.get(&list).status, 404);
    assert_eq!(sim.control("GET", "lists/L/items", Value::Null).status, 404);
    let binned = sim.act("GET", "recycle-bin", Value::Null)["lists"][0].clone();
    assert_eq!(
        (&binned["displayName"], &binned["items"]),
        (&json!("L"), &json!(3))
    );
    let id = binned["id"].as_str().unwrap().to_owned();
    // Its name is taken meanwhile: the person makes room first.
    let other = sim.act("POST", "lists", json!({ "site": "demo", "displayName": "l" }));
    let restore = format!("recycle-bin/{id}/restore");
    assert_eq!(sim.control("POST", &restore, Value::Null).status, 409);
    let other = other["id"].as_str().unwrap();
    sim.act(
        "PATCH",
        &format!("lists/{other}"),
        json!({ "displayName": "Other" }),
    );
    sim.act("POST", &restore, Value::Null);
    assert_eq!(sim.ids(&list), ["1", "2", "3"]);
    assert_eq!(sim.changes(&link).0, []);
    sim.act("DELETE", "lists/Other", Value::Null);
    sim.act("DELETE", &format!("recycle-bin/{other}"), Value::Null);
    assert_eq!(
        sim.control("POST", &format!("recycle-bin/{other}/restore"), Value::Null)
            .status,
        404
    );
}

#[test]
fn a_list_can_come_back_with_older_counters_and_values() {
    for by_behaviour in [true, false] {
        let mut sim = Sim::behaving(Behaviour {
            restored_list_writes_back: if by_behaviour { 2 } else { 0 },
            ..Behaviour::default()
        });
        let list = list(&mut sim);
        for n in 1..=3 {
            let body = json!({ "Title": format!("edit {n}"), UNIQUE: format!("a{n}") });
            sim.call("PATCH", &format!("{list}/items/1/fields"), body);
        }
        let (_, link) = sim.changes(&format!("{list}/items/delta?token=latest"));
        let id = list.rsplit('/').next().unwrap().to_owned();
        sim.call("DELETE", &list, Value::Null);
        let body = if by_behaviour {
            Value::Null
        } else {
            json!({ "writesBack": 2 })
        };
        sim.act("POST", &format!("recycle-bin/{id}/restore"), body);
        let item = sim.act("GET", "lists/L/items/1", Value::Null);
        assert_eq!(item["counter"], 2);
        assert_eq!(item["fields"], json!({ "Title": "edit 1", UNIQUE: "a1" }));
        assert_eq!(item["versions"].as_array().unwrap().len(), 1);
        let other = sim.act("GET", "lists/L/items/2", Value::Null);
        assert_eq!(other["counter"], 1, "an item written once stays as it is");
        assert_eq!(sim.changes(&link).0.len(), 3);
        let filter = format!("{list}/items?$filter=fields/Key%20eq%20'a1'");
        assert_eq!(sim.read(&filter)["value"][0]["id"], "1");
    }
}
