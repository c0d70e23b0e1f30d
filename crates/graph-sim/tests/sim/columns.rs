//! Columns of a list.

use serde_json::{Value, json};
use syncbridge_graph_sim::Behaviour;

use crate::harness::{Sim, refusal};

fn names(body: &Value) -> Vec<String> {
    body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_new_list_has_the_built_in_columns_and_those_of_its_body() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "displayName": "Start date", "dateTime": { "format": "dateOnly" } }]),
    );
    let names = names(&sim.read(&format!("{list}/columns")));
    assert_eq!(names.len(), 25);
    assert_eq!(names.last().unwrap(), "Start_x0020_date");
}

#[test]
fn hidden_columns_are_listed_only_where_hidden_is_selected() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([{ "name": "SyncBridgeKey", "text": {}, "hidden": true }]),
    );
    assert!(!names(&sim.read(&format!("{list}/columns"))).contains(&"SyncBridgeKey".to_owned()));
    let selected = sim.read(&format!("{list}/columns?$select=name,hidden"));
    assert!(names(&selected).contains(&"SyncBridgeKey".to_owned()));
    assert_eq!(sim.read(&format!("{list}/columns/SyncBridgeKey"))["hidden"], true);
    let mut open = Sim::behaving(Behaviour {
        hidden_columns_listed: true,
        ..Behaviour::default()
    });
    let list = open.list(
        "L",
        json!([{ "name": "SyncBridgeKey", "text": {}, "hidden": true }]),
    );
    assert!(names(&open.read(&format!("{list}/columns"))).contains(&"SyncBridgeKey".to_owned()));
}

#[test]
fn a_column_is_made_changed_and_deleted_with_its_values() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    let made = sim.call(
        "POST",
        &format!("{list}/columns"),
        json!({ "name": "A", "text": {} }),
    );
    let id = made.json().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(made.status, 201);
    sim.item(&list, json!({ "A": "kept" }));
    let changed = sim.call(
        "PATCH",
        &format!("{list}/columns/{id}"),
        json!({ "displayName": "B" }),
    );
    assert_eq!(
        (changed.status, &changed.json().unwrap()["displayName"]),
        (200, &json!("B"))
    );
    assert_eq!(
        sim.call("DELETE", &format!("{list}/columns/A"), Value::Null)
            .status,
        204
    );
    assert!(
        sim.read(&format!("{list}/items/1?$expand=fields"))["fields"]
            .get("A")
            .is_none()
    );
    assert_eq!(sim.get(&format!("{list}/columns/{id}")).status, 404);
    let again = sim.call(
        "POST",
        &format!("{list}/columns"),
        json!({ "name": "A", "text": {} }),
    );
    assert_eq!(again.status, 201);
    assert!(
        sim.read(&format!("{list}/items/1?$expand=fields"))["fields"]
            .get("A")
            .is_none()
    );
    assert_eq!(
        sim.call("DELETE", &format!("{list}/columns/Title"), Value::Null)
            .status,
        400
    );
}

#[test]
fn a_name_that_is_taken_gets_a_number() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "A", "text": {} }]));
    let again = sim.call(
        "POST",
        &format!("{list}/columns"),
        json!({ "name": "A", "text": {} }),
    );
    assert_eq!(again.json().unwrap()["name"], "A0");
}

#[test]
fn twenty_columns_may_be_indexed_and_none_in_a_large_list() {
    let mut sim = Sim::behaving(Behaviour {
        list_view_threshold: 2,
        ..Behaviour::default()
    });
    let columns: Vec<Value> = (0..20)
        .map(|n| json!({ "name": format!("C{n}"), "text": {}, "indexed": true }))
        .collect();
    let list = sim.list("L", json!(columns));
    let more = json!({ "name": "More", "text": {}, "indexed": true });
    assert_eq!(
        sim.call("POST", &format!("{list}/columns"), more.clone()).status,
        400
    );
    let large = sim.list("Large", json!([{ "name": "A", "text": {} }]));
    for _ in 0..3 {
        sim.item(&large, json!({}));
    }
    assert_eq!(sim.call("POST", &format!("{large}/columns"), more).status, 400);
    assert_eq!(
        sim.call("PATCH", &format!("{large}/columns/A"), json!({ "indexed": true }))
            .status,
        400
    );
}

#[test]
fn uniqueness_cannot_be_switched_on_over_duplicates() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "A", "text": {} }]));
    sim.item(&list, json!({ "A": "x" }));
    let second = sim.item(&list, json!({ "A": "X" }));
    let both = json!({ "indexed": true, "enforceUniqueValues": true });
    assert_eq!(
        refusal(&sim.call("PATCH", &format!("{list}/columns/A"), both.clone())).0,
        400
    );
    let second = format!("{list}/items/{}/fields", second["id"].as_str().unwrap());
    assert_eq!(sim.call("PATCH", &second, json!({ "A": "y" })).status, 200);
    assert_eq!(sim.call("PATCH", &format!("{list}/columns/A"), both).status, 200);
    assert_eq!(sim.call("PATCH", &second, json!({ "A": "x" })).status, 409);
}

#[test]
fn a_lookup_must_point_to_a_list_of_the_same_site() {
    let mut sim = Sim::new();
    let target = sim.list("T", json!([]));
    let id = target.rsplit('/').next().unwrap().to_owned();
    let list = sim.list(
        "L",
        json!([{ "name": "To", "lookup": { "listId": id, "columnName": "Title" } }]),
    );
    let own = list.rsplit('/').next().unwrap().to_owned();
    let itself = json!({ "name": "Own", "lookup": { "listId": own, "columnName": "Title" } });
    assert_eq!(sim.call("POST", &format!("{list}/columns"), itself).status, 201);
    let nowhere = json!({ "name": "No", "lookup": { "listId": "00000000-0000-4000-8000-000000000000" } });
    assert_eq!(sim.call("POST", &format!("{list}/columns"), nowhere).status, 400);
}

#[test]
fn defaults_fill_what_a_create_leaves_out() {
    let mut sim = Sim::new();
    let list = sim.list(
        "L",
        json!([
            { "name": "T", "text": {}, "defaultValue": { "value": "none" } },
            { "name": "N", "number": {}, "defaultValue": { "value": "4.5" } },
            { "name": "B", "boolean": {}, "defaultValue": { "value": "1" } },
            { "name": "D", "dateTime": { "format": "dateOnly" }, "defaultValue": { "value": "[today]" } },
            { "name": "F", "text": {}, "defaultValue": { "formula": "=1+1" } },
        ]),
    );
    let item = sim.item(&list, json!({ "T": "own" }));
    let fields = &item["fields"];
    assert_eq!(
        (&fields["T"], &fields["N"], &fields["B"]),
        (&json!("own"), &json!(4.5), &json!(true))
    );
    assert_eq!(fields["D"], "2026-06-03T00:00:00Z");
    assert!(fields.get("F").is_none(), "formulas are kept and not evaluated");
    let cleared = sim.item(&list, json!({ "N": null }));
    assert!(cleared["fields"].get("N").is_none());
}
