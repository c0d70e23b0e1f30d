//! What a person does in a list beside writing items.

use serde_json::{Value, json};

use crate::harness::Sim;

#[test]
fn a_person_adds_renames_hides_and_deletes_columns() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Sort", "choice": { "choices": ["x"] } }]));
    let made = sim.act(
        "POST",
        "lists/L/columns",
        json!({ "displayName": "Due date", "dateTime": { "format": "dateOnly" } }),
    );
    assert_eq!(made["name"], "Due_x0020_date");
    sim.act(
        "POST",
        "lists/L/items",
        json!({ "fields": { "Due_x0020_date": "2026-06-03", "Sort": "x" } }),
    );
    sim.act(
        "PATCH",
        "lists/L/columns/Sort",
        json!({ "displayName": "Kind", "choice": { "choices": ["x", "y"] } }),
    );
    let shown = sim.read(&format!("{list}/columns/Sort"));
    assert_eq!(
        (&shown["displayName"], &shown["choice"]["choices"]),
        (&json!("Kind"), &json!(["x", "y"]))
    );
    sim.act("PATCH", "lists/L/columns/Sort", json!({ "hidden": true }));
    let fields = sim.read(&format!("{list}/items/1?$expand=fields"))["fields"].clone();
    assert!(fields.get("Sort").is_none());
    let listed = sim.read(&format!("{list}/columns"));
    let names: Vec<&Value> = listed["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    assert!(!names.contains(&&json!("Sort")) && names.contains(&&json!("Due_x0020_date")));
    sim.act("DELETE", "lists/L/columns/Due_x0020_date", Value::Null);
    let raw = sim.act("GET", "lists/L/items/1", Value::Null);
    assert_eq!(raw["fields"], json!({ "Sort": "x" }));
    let all = sim.act("GET", "lists/L/columns", Value::Null);
    let sort = all["columns"]
        .as_array()
        .unwrap()
        .iter()
        .find(|column| column["name"] == "Sort");
    assert_eq!(sort.unwrap()["hidden"], true);
    for (method, path, status) in [
        ("DELETE", "lists/L/columns/Title", 400),
        ("DELETE", "lists/L/columns/None", 404),
        ("PUT", "lists/L/columns/Sort", 404),
    ] {
        assert_eq!(
            sim.control(method, path, Value::Null).status,
            status,
            "{method} {path}"
        );
    }
    assert_eq!(
        sim.control("PATCH", "lists/L/columns/Sort", json!({ "hidden": 1 }))
            .status,
        400
    );
    assert_eq!(
        sim.control("POST", "lists/L/columns", json!({ "name": "A" }))
            .status,
        400
    );
    assert_eq!(
        sim.act("GET", "ru", Value::Null)["by_kind"]["column_update"],
        Value::Null
    );
}

#[test]
fn a_person_renames_and_describes_a_list() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.list("Other", json!([]));
    sim.act(
        "PATCH",
        "lists/L",
        json!({ "displayName": "New name", "description": "why", "person": 5 }),
    );
    let shown = sim.read(&list);
    assert_eq!(
        (&shown["displayName"], &shown["name"]),
        (&json!("New name"), &json!("L"))
    );
    assert_eq!(shown["lastModifiedBy"]["user"]["displayName"], "Person 5");
    assert_eq!(
        sim.control("PATCH", "lists/L", json!({ "displayName": "Other" }))
            .status,
        409
    );
    assert_eq!(
        sim.control("PATCH", "lists/L", json!({ "contentApproval": 1 }))
            .status,
        400
    );
    assert_eq!(
        sim.control("PATCH", "lists/L", json!({ "template": "x" })).status,
        400
    );
    assert_eq!(
        sim.control("POST", "lists", json!({ "site": "none", "displayName": "x" }))
            .status,
        404
    );
}

#[test]
fn attaching_a_file_raises_the_flag_and_the_counter() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([]));
    sim.item(&list, json!({}));
    let attached = sim.act("POST", "lists/L/items/1/attach", json!({ "person": 4 }));
    assert_eq!(
        (&attached["attachments"], &attached["counter"]),
        (&json!(true), &json!(2))
    );
    let shown = sim.read(&format!("{list}/items/1?$expand=fields"));
    assert_eq!(
        (
            &shown["fields"]["Attachments"],
            &shown["fields"]["EditorLookupId"]
        ),
        (&json!(true), &json!("4"))
    );
    sim.act("POST", "lists/L/items/1/detach", Value::Null);
    assert_eq!(sim.read(&format!("{list}/items/1/fields"))["Attachments"], false);
    assert_eq!(
        sim.control("POST", "lists/L/items/7/attach", Value::Null).status,
        404
    );
}

#[test]
fn the_raw_items_are_sorted_and_paged_by_the_simulator() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "N", "number": {} }]));
    for n in [3, 1, 2] {
        sim.item(&list, json!({ "Title": format!("t{n}"), "N": n }));
    }
    sim.item(&list, json!({ "Title": "none" }));
    let mut ids = |query: &str| -> Vec<u64> {
        let page = sim.act("GET", &format!("lists/L/items?{query}"), Value::Null);
        assert_eq!(page["count"], 4);
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ids("orderby=N"), [4, 2, 3, 1]);
    assert_eq!(ids("orderby=N&descending=true&limit=2"), [1, 3]);
    assert_eq!(ids("orderby=N&offset=1&limit=2"), [2, 3]);
    assert_eq!(ids("orderby=id&descending=true"), [4, 3, 2, 1]);
    assert_eq!(ids("offset=3"), [4]);
    assert_eq!(
        sim.control("GET", "lists/L/items?orderby=None", Value::Null)
            .status,
        400
    );
}

#[test]
fn lookup_and_person_columns_say_what_they_can_point_to() {
    let mut sim = Sim::new();
    let target = sim.list("Target", json!([]));
    for title in ["alpha", "beta"] {
        sim.item(&target, json!({ "Title": title }));
    }
    let id = target.rsplit('/').next().unwrap();
    let columns = json!([
        { "name": "To", "lookup": { "listId": id, "columnName": "Title" } },
        { "name": "Who", "personOrGroup": {} },
        { "name": "A", "text": {} },
    ]);
    let list = sim.list("L", columns);
    let found = sim.act("GET", "lists/L/columns/To/targets?search=BET", Value::Null);
    assert_eq!(found["targets"], json!([{ "id": 2, "text": "beta" }]));
    let found = sim.act("GET", "lists/L/columns/Who/targets?limit=2", Value::Null);
    assert_eq!(found["targets"][1], json!({ "id": 2, "text": "Person 2" }));
    assert_eq!(
        sim.control("GET", "lists/L/columns/A/targets", Value::Null)
            .status,
        400
    );
    sim.act(
        "POST",
        "lists/L/items",
        json!({ "fields": { "ToLookupId": 2, "WhoLookupId": 7 } }),
    );
    let raw = sim.act("GET", "lists/L/items/1", Value::Null);
    assert_eq!(raw["shown"], json!({ "To": ["beta"], "Who": ["Person 7"] }));
    let shown = sim.read(&format!("{list}/items?$expand=fields($select=To,Who)"));
    assert_eq!(shown["value"][0]["fields"]["Who"], "Person 7");
}

#[test]
fn a_flow_rewrites_what_an_application_wrote_after_it_was_answered_and_leaves_people_alone() {
    let mut sim = Sim::new();
    let list = sim.list("L", json!([{ "name": "Note", "text": {} }]));
    sim.act(
        "PUT",
        "lists/L/flows",
        json!({ "flows": [{ "column": "Note", "text": "flow {n}" }] }),
    );
    let made = sim.item(&list, json!({ "Note": "ours" }));
    assert_eq!(
        made["fields"]["Note"], "ours",
        "the answer shows what was written"
    );
    let stored = |sim: &mut Sim| sim.act("GET", "lists/L/items/1", Value::Null)["fields"]["Note"].clone();
    assert_eq!(stored(&mut sim), "flow 1");
    let path = format!("{list}/items/1/fields");
    sim.call("PATCH", &path, json!({ "Note": "ours again" }));
    assert_eq!(stored(&mut sim), "flow 2");
    sim.act(
        "POST",
        "lists/L/items/1",
        json!({ "fields": { "Note": "a person's" } }),
    );
    assert_eq!(stored(&mut sim), "a person's");
    // One that always writes the same is content with it.
    sim.act(
        "PUT",
        "lists/L/flows",
        json!({ "flows": [{ "column": "Note", "text": "same" }] }),
    );
    let before = sim.act("GET", "lists/L/items/1", Value::Null)["counter"].clone();
    sim.call("PATCH", &path, json!({ "Note": "same" }));
    let after = sim.act("GET", "lists/L/items/1", Value::Null)["counter"].clone();
    assert_eq!(after.as_u64(), before.as_u64().map(|counter| counter + 1));
    let refused = sim.control(
        "PUT",
        "lists/L/flows",
        json!({ "flows": [{ "column": "None", "text": "x" }] }),
    );
    assert_eq!(refused.status, 400);
}
